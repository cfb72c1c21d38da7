// SPDX-License-Identifier: GPL-2.0-only
/*
 * Raw live migration commands on a PF, and the layout of a controller state.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "function.h"
#include "lm.h"
#include "tap.h"

/* No command is ever given up by the kernel: that would reset the PF. */
#define LM_TIMEOUT_MS	(24 * 3600 * 1000)

/* The kernel maps at most this much for one command behind an IOMMU. */
#define LM_KERNEL_XFER	(64 * 1024)

/* ---- the PF ---- */

static int find_node(struct lm_pf *pf)
{
	char path[64];
	struct dirent *e;
	DIR *dir;
	int nr = -1;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/nvme", pf->bdf);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (nr < 0) {
		e = readdir(dir);
		if (!e)
			break;
		if (sscanf(e->d_name, "nvme%d", &nr) != 1)
			nr = -1;
	}
	closedir(dir);
	if (nr < 0)
		return -ENODEV;
	snprintf(pf->node, sizeof(pf->node), "/dev/nvme%d", nr);
	return 0;
}

int lm_open(struct lm_pf *pf, const char *bdf)
{
	int err;

	memset(pf, 0, sizeof(*pf));
	pf->fd = -1;
	snprintf(pf->bdf, sizeof(pf->bdf), "%s", bdf);
	err = find_node(pf);
	if (err)
		return err;
	pf->fd = open(pf->node, O_RDWR | O_CLOEXEC);
	if (pf->fd < 0)
		return -errno;
	err = lm_probe(pf);
	if (err)
		lm_close(pf);
	return err > 0 ? -EIO : err;
}

void lm_close(struct lm_pf *pf)
{
	if (pf->fd >= 0)
		close(pf->fd);
	pf->fd = -1;
}

static int probe_formats(struct lm_pf *pf)
{
	u8 buf[4096];
	unsigned int i;
	u16 version;
	int st;

	st = lm_identify(pf, 0x20, 0, buf);
	if (st)
		return st;
	pf->nv = buf[0];
	pf->nuuid = buf[1];
	for (i = pf->nv; i > 0; i--) {
		memcpy(&version, buf + 2 * i, 2);
		if (!version)
			pf->csvi = i;
	}
	if (pf->nuuid) {
		pf->csuuidi = 1;
		memcpy(pf->uuid, buf + 2 + 2 * pf->nv, 16);
	}
	return 0;
}

int lm_probe(struct lm_pf *pf)
{
	u16 oacs;
	int st;

	st = lm_identify(pf, 0x01, 0, pf->id);
	if (st)
		return st;
	memcpy(&pf->cntlid, pf->id + 78, 2);
	memcpy(&oacs, pf->id + 256, 2);
	pf->hmlms = oacs & 1 << 11;
	pf->vendor = pf->id[3072] == 1;
	pf->max_xfer = LM_KERNEL_XFER;
	if (pf->id[77] && 4096u << pf->id[77] < pf->max_xfer)
		pf->max_xfer = 4096u << pf->id[77];
	return pf->hmlms ? probe_formats(pf) : 0;
}

int lm_exec(struct lm_pf *pf, struct lm_cmd *cmd)
{
	struct nvme_passthru_cmd64 c = {
		.opcode = cmd->opcode,
		.nsid = cmd->nsid,
		.cdw10 = cmd->cdw10,
		.cdw11 = cmd->cdw11,
		.cdw12 = cmd->cdw12,
		.cdw13 = cmd->cdw13,
		.cdw14 = cmd->cdw14,
		.cdw15 = cmd->cdw15,
		.addr = (u64)(unsigned long)cmd->data,
		.data_len = cmd->data ? cmd->len : 0,
		.timeout_ms = LM_TIMEOUT_MS,
	};
	int st = ioctl(pf->fd, NVME_IOCTL_ADMIN64_CMD, &c);

	cmd->result = c.result;
	cmd->result1 = c.result >> 32;
	if (st < 0)
		return -errno;
	cmd->dnr = st & LM_FAULT_DNR;
	return st & 0x7ff;
}

int lm_identify(struct lm_pf *pf, u8 cns, u16 cntid, void *buf)
{
	struct lm_cmd cmd = {
		.opcode = NVME_ADM_IDENTIFY, .cdw10 = cns | (u32)cntid << 16,
		.data = buf, .len = 4096,
	};

	return lm_exec(pf, &cmd);
}

int lm_cntlid(struct lm_pf *pf, unsigned int vfn)
{
	u8 buf[4096], *e;
	u16 scid = 0, pcid, nr;
	int i, next = 0;

	do {
		if (lm_identify(pf, 0x15, next, buf))
			return -1;
		for (i = 0; i < buf[0]; i++) {
			e = buf + 32 + 32 * i;
			memcpy(&scid, e, 2);
			memcpy(&pcid, e + 2, 2);
			memcpy(&nr, e + 8, 2);
			if (nr == vfn && pcid == pf->cntlid)
				return scid;
		}
		next = scid + 1;
	} while (buf[0] == 127);
	return -1;
}

int lm_virt_mgmt(struct lm_pf *pf, u16 cntlid, u8 act, u8 rt, u16 nr)
{
	struct lm_cmd cmd = {
		.opcode = NVME_ADM_VIRT_MGMT,
		.cdw10 = act | (u32)rt << 8 | (u32)cntlid << 16, .cdw11 = nr,
	};

	return lm_exec(pf, &cmd);
}

/* ---- encoders ---- */

struct lm_cmd lm_suspend_cmd(u16 cntlid, u8 stype, bool dudmq)
{
	return (struct lm_cmd){
		.opcode = LM_OP_SEND, .cdw10 = 0,
		.cdw11 = cntlid | (u32)stype << 16 | (u32)dudmq << 31,
	};
}

struct lm_cmd lm_resume_cmd(u16 cntlid)
{
	return (struct lm_cmd){ .opcode = LM_OP_SEND, .cdw10 = 1, .cdw11 = cntlid };
}

struct lm_cmd lm_get_cmd(u16 cntlid, u8 csvi, u8 csuuidi, u64 offset, void *buf, u32 bytes)
{
	return (struct lm_cmd){
		.opcode = LM_OP_RECV,
		.cdw10 = (u32)csvi << 16,
		.cdw11 = cntlid | (u32)csuuidi << 16,
		.cdw12 = offset, .cdw13 = offset >> 32,
		.cdw15 = bytes / 4 - 1,
		.data = buf, .len = bytes,
	};
}

struct lm_cmd lm_set_cmd(u16 cntlid, u8 seqind, u8 csvi, u8 csuuidi, u64 offset, const void *buf,
			 u32 bytes)
{
	return (struct lm_cmd){
		.opcode = LM_OP_SEND,
		.cdw10 = 2 | (u32)seqind << 16,
		.cdw11 = cntlid | (u32)csvi << 16 | (u32)csuuidi << 24,
		.cdw12 = offset, .cdw13 = offset >> 32,
		.cdw15 = bytes / 4,
		.data = bytes ? (void *)buf : NULL, .len = bytes,
	};
}

struct lm_cmd lm_cdq_create_cmd(u16 cntlid, void *buf, u32 bytes)
{
	return (struct lm_cmd){
		.opcode = LM_OP_CDQ, .cdw11 = 1 | (u32)cntlid << 16, .cdw12 = bytes / 4,
		.data = buf, .len = bytes,
	};
}

struct lm_cmd lm_cdq_delete_cmd(u16 cdqid)
{
	return (struct lm_cmd){ .opcode = LM_OP_CDQ, .cdw10 = 1, .cdw11 = cdqid };
}

struct lm_cmd lm_user_log_cmd(u16 cdqid, bool start)
{
	return (struct lm_cmd){
		.opcode = LM_OP_TRACK_SEND, .cdw10 = (u32)start << 16, .cdw11 = cdqid,
	};
}

struct lm_cmd lm_track_cmd(u16 cntlid, bool start, void *buf, u32 bytes)
{
	return (struct lm_cmd){
		.opcode = LM_OP_TRACK_SEND, .cdw10 = 1 | (u32)start << 16, .cdw11 = cntlid,
		.data = start ? buf : NULL, .len = start ? bytes : 0,
	};
}

struct lm_cmd lm_track_recv_cmd(u16 cntlid, void *buf, u32 bytes)
{
	return (struct lm_cmd){
		.opcode = LM_OP_TRACK_RECV, .cdw11 = cntlid, .cdw12 = bytes / 4 - 1,
		.data = buf, .len = bytes,
	};
}

struct lm_cmd lm_vs_cmd(u8 opcode, u16 vfn, void *buf, u32 bytes)
{
	return (struct lm_cmd){
		.opcode = opcode, .cdw10 = vfn,
		.cdw11 = opcode == LM_OP_VS_LOAD ? bytes : 0,
		.data = buf, .len = bytes,
	};
}

int lm_suspend(struct lm_pf *pf, u16 cntlid)
{
	struct lm_cmd cmd = lm_suspend_cmd(cntlid, LM_SUSPEND, false);

	return lm_exec(pf, &cmd);
}

int lm_resume(struct lm_pf *pf, u16 cntlid)
{
	struct lm_cmd cmd = lm_resume_cmd(cntlid);

	return lm_exec(pf, &cmd);
}

/* ---- pending commands ---- */

static void *async_thread(void *arg)
{
	struct lm_async *a = arg;
	u64 one = 1;

	__atomic_store_n(&a->tid, gettid(), __ATOMIC_RELEASE);
	a->status = lm_exec(a->pf, &a->cmd);
	if (write(a->evfd, &one, sizeof(one)) != sizeof(one))
		abort();
	return NULL;
}

int lm_async_start(struct lm_async *a, struct lm_pf *pf, struct lm_cmd cmd)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	int err, tid;

	memset(a, 0, sizeof(*a));
	a->pf = pf;
	a->cmd = cmd;
	a->evfd = eventfd(0, EFD_CLOEXEC);
	if (a->evfd < 0)
		return -errno;
	err = pthread_create(&a->thread, NULL, async_thread, a);
	a->running = !err;
	while (!err && lm_async_pending(a)) {
		tid = __atomic_load_n(&a->tid, __ATOMIC_ACQUIRE);
		/* a thread that waits for its command is in uninterruptible sleep */
		if (tid && thread_state(getpid(), tid) == 'D')
			break;
		if (now_ms() > end)
			return -ETIMEDOUT;
		sched_yield();
	}
	return -err;
}

bool lm_async_pending(struct lm_async *a)
{
	struct pollfd pfd = { .fd = a->evfd, .events = POLLIN };

	return a->running && poll(&pfd, 1, 0) == 0;
}

int lm_async_wait(struct lm_async *a, unsigned int timeout_ms)
{
	struct pollfd pfd = { .fd = a->evfd, .events = POLLIN };

	if (!a->running)
		return -EINVAL;
	if (poll(&pfd, 1, timeout_ms) != 1)
		return -ETIMEDOUT;
	pthread_join(a->thread, NULL);
	close(a->evfd);
	a->running = false;
	return a->status;
}

/* ---- fault points ---- */

struct lm_cmd lm_fault_cmd(u8 op, unsigned int slot)
{
	return (struct lm_cmd){ .opcode = LM_OP_FAULT, .cdw10 = op | slot << 8 };
}

struct lm_cmd lm_fault_match_cmd(unsigned int slot, const struct lm_fault *f)
{
	struct lm_cmd cmd = lm_fault_cmd(LM_FAULT_MATCH, slot);

	cmd.cdw11 = f->opcode;
	cmd.cdw12 = f->dw10;
	cmd.cdw13 = f->dw10_mask;
	cmd.cdw14 = f->dw11;
	cmd.cdw15 = f->dw11_mask;
	return cmd;
}

struct lm_cmd lm_fault_arm_cmd(unsigned int slot, const struct lm_fault *f)
{
	struct lm_cmd cmd = lm_fault_cmd(LM_FAULT_ARM, slot);

	cmd.cdw10 |= (u32)f->act << 16 | (u32)f->execute << 24;
	cmd.cdw11 = f->skip;
	cmd.cdw12 = f->times;
	cmd.cdw13 = f->arg;
	cmd.cdw14 = f->mask;
	cmd.cdw15 = f->value;
	return cmd;
}

int lm_fault_arm(struct lm_pf *pf, unsigned int slot, const struct lm_fault *f)
{
	struct lm_cmd match = lm_fault_match_cmd(slot, f), arm = lm_fault_arm_cmd(slot, f);
	int st = lm_exec(pf, &match);

	return st ? st : lm_exec(pf, &arm);
}

int lm_fault_end(struct lm_pf *pf)
{
	struct lm_cmd clear = lm_fault_cmd(LM_FAULT_CLEAR, 0);
	int st = lm_exec(pf, &clear);

	return st ? st : lm_fault_release(pf, 0) < 0 ? -EIO : 0;
}

int lm_fault_count(struct lm_pf *pf, u8 op, unsigned int slot)
{
	struct lm_cmd cmd = lm_fault_cmd(op, slot);

	return lm_exec(pf, &cmd) ? -1 : (int)cmd.result;
}

int lm_fault_release(struct lm_pf *pf, unsigned int nr)
{
	struct lm_cmd cmd = lm_fault_cmd(LM_FAULT_RELEASE, 0);

	cmd.cdw11 = nr;
	return lm_exec(pf, &cmd) ? -1 : (int)cmd.result;
}

int lm_fault_resets(struct lm_pf *pf, u32 resets)
{
	struct lm_cmd cmd = lm_fault_cmd(LM_FAULT_RESETS, 0);

	cmd.cdw11 = resets;
	return lm_exec(pf, &cmd);
}

int lm_fault_resets_of(struct lm_pf *pf, const char *bdf, u32 resets)
{
	struct lm_cmd cmd = lm_fault_cmd(LM_FAULT_RESETS, 0);
	unsigned int domain, bus, slot, function;

	if (sscanf(bdf, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return -EINVAL;
	cmd.cdw11 = resets;
	cmd.cdw12 = bus << 8 | slot << 3 | function;
	return lm_exec(pf, &cmd);
}

int lm_activation_begin(struct lm_pf *pf)
{
	struct lm_cmd cmd = lm_fault_cmd(LM_FAULT_PAUSE, 0);

	return lm_exec(pf, &cmd);
}

int lm_activation_end(struct lm_pf *via, struct lm_pf *pf)
{
	struct lm_cmd cmd = lm_fault_cmd(LM_FAULT_CONTINUE, 0);
	unsigned int bus, dev, fn;

	if (sscanf(pf->bdf, "%*x:%x:%x.%x", &bus, &dev, &fn) != 3)
		return -EINVAL;
	cmd.cdw11 = bus << 8 | dev << 3 | fn;
	return lm_exec(via, &cmd);
}

static bool read_ctrl_state(struct lm_pf *pf, char *buf, int size)
{
	char path[64];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "/sys/class/nvme/%s/state", pf->node + 5);
	f = fopen(path, "r");
	ok = f && fgets(buf, size, f);
	if (f)
		fclose(f);
	buf[ok ? strcspn(buf, "\n") : 0] = 0;
	return ok;
}

bool lm_wait_ctrl_state(struct lm_pf *pf, const char *state)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	char now[32];

	while (read_ctrl_state(pf, now, sizeof(now)) && strcmp(now, state) && now_ms() < end)
		sched_yield();
	return EXPECT(!strcmp(now, state), "nvme is \"%s\", not \"%s\"", now, state);
}

static bool wait_count(struct lm_pf *pf, u8 op, unsigned int slot, int nr)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	int got;

	do {
		got = lm_fault_count(pf, op, slot);
		if (got == nr)
			return true;
		sched_yield();
	} while (got >= 0 && now_ms() < end);
	return EXPECT_EQ(got, nr, "%s", op == LM_FAULT_HELD ? "held commands" : "matches");
}

bool lm_fault_wait_held(struct lm_pf *pf, int nr)
{
	return wait_count(pf, LM_FAULT_HELD, 0, nr);
}

bool lm_fault_wait_matched(struct lm_pf *pf, unsigned int slot, int nr)
{
	return wait_count(pf, LM_FAULT_MATCHED, slot, nr);
}

/* ---- controller state ---- */

static bool all_zero(const void *p, size_t n)
{
	const u8 *b = p;

	while (n--)
		if (*b++)
			return false;
	return true;
}

static const char *parse_cqs(struct lm_view *v)
{
	int i;

	for (i = 0; i < v->nr_cq; i++) {
		struct lm_cq_state *cq = &v->cq[i];

		if (!cq->qid)
			return "CQ with id 0";
		if (i && cq->qid <= cq[-1].qid)
			return "CQ ids not ascending";
		if (!cq->qsize)
			return "CQ with one entry";
		if (cq->head > cq->qsize || cq->tail > cq->qsize)
			return "CQ head or tail outside the queue";
		if (cq->attr & 0xfff8)
			return "reserved CQ attributes";
		if (cq->rsvd)
			return "reserved CQ bytes";
	}
	return NULL;
}

static bool has_cq(const struct lm_view *v, u16 id)
{
	int i;

	for (i = 0; i < v->nr_cq; i++)
		if (v->cq[i].qid == id)
			return true;
	return false;
}

static const char *parse_sqs(struct lm_view *v)
{
	int i;

	for (i = 0; i < v->nr_sq; i++) {
		struct lm_sq_state *sq = &v->sq[i];

		if (!sq->qid)
			return "SQ with id 0";
		if (i && sq->qid <= sq[-1].qid)
			return "SQ ids not ascending";
		if (!has_cq(v, sq->cqid))
			return "SQ without its CQ";
		if (!sq->qsize)
			return "SQ with one entry";
		if (sq->head > sq->qsize || sq->tail > sq->qsize)
			return "SQ head or tail outside the queue";
		if (sq->attr & 0xfff8)
			return "reserved SQ attributes";
		if (sq->rsvd)
			return "reserved SQ bytes";
	}
	return NULL;
}

static const char *parse_nvme(u8 *p, struct lm_view *v)
{
	const char *why;
	u16 f[4];

	if (v->nvmecss < 2)
		return "NVMe state shorter than its header";
	memcpy(f, p, sizeof(f));
	if (f[0])
		return "NVMe state version";
	if (f[3])
		return "reserved bytes of the NVMe state";
	v->nr_sq = f[1];
	v->nr_cq = f[2];
	if (v->nvmecss != 2 + 6ull * (v->nr_sq + v->nr_cq))
		return "NVMECSS does not match the number of queues";
	v->sq = (void *)(p + 8);
	v->cq = (void *)(p + 8 + 24 * v->nr_sq);
	why = parse_cqs(v);
	return why ? why : parse_sqs(v);
}

const char *lm_parse(void *bytes, size_t size, struct lm_view *v)
{
	u8 *b = bytes;

	memset(v, 0, sizeof(*v));
	if (size < LM_HEADER)
		return "shorter than a header";
	if (b[0] || b[1])
		return "container version";
	if (b[2] & ~LM_CSATTR_SUSPENDED)
		return "reserved bits of CSATTR";
	if (!all_zero(b + 3, 13))
		return "reserved bytes of the header";
	if (!all_zero(b + 24, 8) || !all_zero(b + 40, 8))
		return "upper half of a size";
	v->csattr = b[2];
	memcpy(&v->nvmecss, b + 16, 8);
	memcpy(&v->vss, b + 32, 8);
	if (v->nvmecss > size / 4 || v->vss > size / 4 ||
	    LM_HEADER + 4 * (v->nvmecss + v->vss) != size)
		return "sizes do not add up";
	v->vendor = b + LM_HEADER + 4 * v->nvmecss;
	return v->nvmecss ? parse_nvme(b + LM_HEADER, v) : NULL;
}

void lm_build(struct lm_state *s, const struct lm_sq_state *sq, u16 nr_sq,
	      const struct lm_cq_state *cq, u16 nr_cq)
{
	u64 dwords = 2 + 6ull * (nr_sq + nr_cq);
	u16 f[4] = { 0, nr_sq, nr_cq, 0 };
	u8 *p;

	s->size = LM_HEADER + 4 * dwords;
	s->data = aligned_alloc(4096, roundup(s->size, 4096));
	if (!s->data)
		abort();
	memset(s->data, 0, roundup(s->size, 4096));
	memcpy(s->data + 16, &dwords, sizeof(dwords));
	p = s->data + LM_HEADER;
	memcpy(p, f, sizeof(f));
	if (nr_sq)
		memcpy(p + 8, sq, 24 * nr_sq);
	if (nr_cq)
		memcpy(p + 8 + 24 * nr_sq, cq, 24 * nr_cq);
}

static int alloc_state(struct lm_state *s, size_t size)
{
	s->size = size;
	s->data = aligned_alloc(4096, roundup(size + 1, 4096));
	return s->data ? 0 : -ENOMEM;
}

static int get_header(struct lm_pf *pf, u16 cntlid, u8 csvi, u8 csuuidi, u8 *header, size_t *size)
{
	struct lm_cmd cmd = lm_get_cmd(cntlid, csvi, csuuidi, 0, header, LM_HEADER);
	u64 nvmecss, vss;
	int st = lm_exec(pf, &cmd);

	if (st)
		return st;
	memcpy(&nvmecss, header + 16, 8);
	memcpy(&vss, header + 32, 8);
	if (nvmecss > 1 << 22 || vss > 1 << 28)
		return -EOVERFLOW;
	*size = LM_HEADER + 4 * (nvmecss + vss);
	return 0;
}

int lm_get(struct lm_pf *pf, u16 cntlid, u8 csvi, u8 csuuidi, u32 piece, struct lm_state *s)
{
	u8 header[LM_HEADER];
	size_t off, n, size = 0;
	int st;

	memset(s, 0, sizeof(*s));
	if (!piece)
		piece = pf->max_xfer;
	st = get_header(pf, cntlid, csvi, csuuidi, header, &size);
	if (!st)
		st = alloc_state(s, size);
	if (!st)
		memcpy(s->data, header, LM_HEADER);
	/* the header is not read twice: a running controller might have another one by now */
	for (off = LM_HEADER; !st && off < size; off += n) {
		struct lm_cmd cmd;

		n = min_t(size_t, piece, size - off);
		cmd = lm_get_cmd(cntlid, csvi, csuuidi, off, s->data + off, n);
		st = lm_exec(pf, &cmd);
	}
	return st;
}

int lm_set(struct lm_pf *pf, u16 cntlid, u8 csvi, u8 csuuidi, u32 piece,
	   const struct lm_state *s)
{
	size_t off, n;
	int st = 0;

	if (!piece)
		piece = pf->max_xfer;
	for (off = 0; !st && off < s->size; off += n) {
		struct lm_cmd cmd;
		u8 seq = 0;

		n = min_t(size_t, piece, s->size - off);
		if (!off)
			seq |= LM_SEQ_FIRST;
		if (off + n == s->size)
			seq |= LM_SEQ_LAST;
		cmd = lm_set_cmd(cntlid, seq, csvi, csuuidi, off, s->data + off, n);
		st = lm_exec(pf, &cmd);
	}
	return st;
}

void lm_state_free(struct lm_state *s)
{
	free(s->data);
	memset(s, 0, sizeof(*s));
}

/* ---- both command sets ---- */

int lmt_init(struct lm_target *t, struct lm_pf *pf, unsigned int vfn)
{
	int id = lm_cntlid(pf, vfn);

	t->pf = pf;
	t->vfn = vfn;
	t->cntlid = id;
	return id < 0 ? -ENODEV : 0;
}

static int vendor_nodata(struct lm_target *t, u8 opcode, u32 *result)
{
	struct lm_cmd cmd = lm_vs_cmd(opcode, t->vfn, NULL, 0);
	int st = lm_exec(t->pf, &cmd);

	if (result)
		*result = cmd.result;
	return st;
}

int lmt_suspend(struct lm_target *t)
{
	if (t->pf->vendor)
		return vendor_nodata(t, LM_OP_VS_SUSPEND, NULL);
	return lm_suspend(t->pf, t->cntlid);
}

int lmt_resume(struct lm_target *t)
{
	if (t->pf->vendor)
		return vendor_nodata(t, LM_OP_VS_RESUME, NULL);
	return lm_resume(t->pf, t->cntlid);
}

int lmt_save(struct lm_target *t, struct lm_state *s)
{
	struct lm_cmd cmd;
	u32 size;
	int st;

	if (!t->pf->vendor)
		return lm_get(t->pf, t->cntlid, t->pf->csvi, t->pf->csuuidi, 0, s);
	memset(s, 0, sizeof(*s));
	st = vendor_nodata(t, LM_OP_VS_QUERY, &size);
	if (st)
		return st;
	if (!size || size > 1 << 20)
		return -EOVERFLOW;
	st = alloc_state(s, size);
	if (st)
		return st;
	memset(s->data, 0, size);
	cmd = lm_vs_cmd(LM_OP_VS_SAVE, t->vfn, s->data, size);
	return lm_exec(t->pf, &cmd);
}

int lmt_load(struct lm_target *t, const struct lm_state *s)
{
	struct lm_cmd cmd;

	if (!t->pf->vendor)
		return lm_set(t->pf, t->cntlid, t->pf->csvi, t->pf->csuuidi, 0, s);
	cmd = lm_vs_cmd(LM_OP_VS_LOAD, t->vfn, s->data, s->size);
	return lm_exec(t->pf, &cmd);
}
