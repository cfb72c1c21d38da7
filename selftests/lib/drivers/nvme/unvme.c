// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small NVMe driver in user space: queues, commands, and the book about them.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/kernel.h>

#include "unvme.h"

#define PAGE		4096u
#define CID_SLOT_BITS	9
#define CID_GENS	126	/* the id FFFFh must never come up */

/* ---- doorbells ---- */

static u32 db_index(u16 qid, bool cq)
{
	return 2 * qid + cq;
}

/* With shadow doorbells: is the controller waiting for a value in (old, new]? */
static bool event_wanted(u16 event, u16 new_val, u16 old_val)
{
	return (u16)(new_val - event - 1) < (u16)(new_val - old_val);
}

static void write_doorbell(struct unvme *u, u16 qid, bool cq, u16 val)
{
	u32 i = db_index(qid, cq);

	if (u->dbs && qid) {
		u32 *db = u->dbs + i * u->dstrd / sizeof(u32);
		u32 *ei = u->eis + i * u->dstrd / sizeof(u32);
		u16 old = __atomic_exchange_n(db, val, __ATOMIC_SEQ_CST);

		if (!event_wanted(__atomic_load_n(ei, __ATOMIC_SEQ_CST), val, old))
			return;
	}
	u->mmio_doorbells++;
	vdev_write32(u->udrv.dev, NVME_REG_DBS + i * u->dstrd, val);
}

/* ---- submission ---- */

static struct unvme_cmd *free_cmd(struct unvme_sq *sq)
{
	unsigned int i;

	for (i = 0; i < UNVME_MAX_CMDS; i++) {
		struct unvme_cmd *c = &sq->cmds[(sq->next_cmd + i) % UNVME_MAX_CMDS];

		if (!c->busy) {
			sq->next_cmd = c - sq->cmds + 1;
			return c;
		}
	}
	return NULL;
}

static u16 cid_of(const struct unvme_sq *sq, const struct unvme_cmd *c)
{
	return (c - sq->cmds) | c->gen << CID_SLOT_BITS;
}

struct unvme_cmd *unvme_queue_cmd(struct unvme *u, u16 sqid, const struct nvme_sqe *sqe,
				  unvme_done_fn done, void *priv)
{
	struct unvme_sq *sq = &u->sqs[sqid];
	struct unvme_cmd *c = NULL;

	pthread_mutex_lock(&u->udrv.lock);
	if ((sq->tail + 1) % sq->depth != sq->head)
		c = free_cmd(sq);
	if (c) {
		c->busy = true;
		c->gen = (c->gen + 1) % CID_GENS;
		c->nr = sq->submitted;
		c->sqe = *sqe;
		c->sqe.cid = cid_of(sq, c);
		c->done = done;
		c->priv = priv;
		memcpy(&sq->ring[sq->tail], &c->sqe, sizeof(c->sqe));
		sq->tail = (sq->tail + 1) % sq->depth;
		sq->inflight++;
		sq->submitted++;
	}
	pthread_mutex_unlock(&u->udrv.lock);
	return c;
}

void unvme_ring(struct unvme *u, u16 sqid)
{
	struct unvme_sq *sq = &u->sqs[sqid];

	pthread_mutex_lock(&u->udrv.lock);
	if (sq->rung != sq->tail) {
		sq->rung = sq->tail;
		write_doorbell(u, sqid, false, sq->tail);
	}
	pthread_mutex_unlock(&u->udrv.lock);
}

struct unvme_cmd *unvme_submit(struct unvme *u, u16 sqid, const struct nvme_sqe *sqe,
			       unvme_done_fn done, void *priv)
{
	struct unvme_cmd *c;

	pthread_mutex_lock(&u->udrv.lock);
	c = unvme_queue_cmd(u, sqid, sqe, done, priv);
	if (c)
		unvme_ring(u, sqid);
	pthread_mutex_unlock(&u->udrv.lock);
	return c;
}

/* ---- completion ---- */

/* Slots from a to b, going forward in the ring. */
static u16 ring_dist(const struct unvme_sq *sq, u16 a, u16 b)
{
	return (b + sq->depth - a) % sq->depth;
}

/*
 * The reported head may not go back, not pass the tail the controller was told, and must lie
 * behind the command that completed.
 */
static void check_sq_head(struct unvme *u, struct unvme_sq *sq, const struct unvme_cmd *c,
			  u16 head)
{
	if (head >= sq->depth) {
		unvme_fault(u, "SQ %u: head %u of %u entries reported", sq->id, head, sq->depth);
		return;
	}
	if (ring_dist(sq, sq->head, head) > ring_dist(sq, sq->head, sq->rung))
		unvme_fault(u, "SQ %u: head %u reported, was %u, tail %u", sq->id, head, sq->head,
			    sq->rung);
	sq->fetched += ring_dist(sq, sq->head, head);
	sq->head = head;
	if (sq->fetched <= c->nr)
		unvme_fault(u, "SQ %u: head %u reported with a command it has not passed", sq->id,
			    head);
}

static void complete_one(struct unvme *u, struct unvme_cq *cq, const struct nvme_cqe *cqe)
{
	struct unvme_sq *sq;
	struct unvme_cmd *c;

	if (cqe->sq_id >= UNVME_MAX_QUEUES || !u->sqs[cqe->sq_id].live ||
	    u->sqs[cqe->sq_id].cq != cq) {
		unvme_fault(u, "CQ %u: completion for SQ %u, cid %#x", cq->id, cqe->sq_id,
			    cqe->cid);
		return;
	}
	sq = &u->sqs[cqe->sq_id];
	c = &sq->cmds[cqe->cid & (UNVME_MAX_CMDS - 1)];
	if (!c->busy || cid_of(sq, c) != cqe->cid) {
		unvme_fault(u, "SQ %u: completion of cid %#x, which is not in flight", sq->id,
			    cqe->cid);
		return;
	}
	check_sq_head(u, sq, c, cqe->sq_head);
	c->cqe = *cqe;
	sq->inflight--;
	sq->completed++;
	if (c->done)
		c->done(u, c);
	c->busy = false;
}

bool unvme_cq_pending(struct unvme *u, u16 cqid)
{
	struct unvme_cq *cq = &u->cqs[cqid];

	if (!cq->live)
		return false;
	return (__atomic_load_n(&cq->ring[cq->head].status, __ATOMIC_ACQUIRE) & 1) == cq->phase;
}

unsigned int unvme_reap(struct unvme *u, u16 cqid)
{
	struct unvme_cq *cq = &u->cqs[cqid];
	unsigned int n = 0;

	pthread_mutex_lock(&u->udrv.lock);
	while (unvme_cq_pending(u, cqid)) {
		struct nvme_cqe cqe;

		memcpy(&cqe, &cq->ring[cq->head], sizeof(cqe));
		if (++cq->head == cq->depth) {
			cq->head = 0;
			cq->phase ^= 1;
		}
		n++;
		cq->reaped++;
		complete_one(u, cq, &cqe);
		if (!cq->live)
			break;
	}
	if (n && cq->live)
		write_doorbell(u, cqid, true, cq->head);
	pthread_mutex_unlock(&u->udrv.lock);
	return n;
}

unsigned int unvme_reap_all(struct unvme *u)
{
	unsigned int n = 0;
	u16 id;

	for (id = 0; id < UNVME_MAX_QUEUES; id++)
		if (u->cqs[id].live)
			n += unvme_reap(u, id);
	return n;
}

static unsigned int reap_vector(struct unvme *u, int vector)
{
	unsigned int n = 0;
	u16 id;

	for (id = 0; id < UNVME_MAX_QUEUES; id++)
		if (u->cqs[id].live && u->cqs[id].vector == vector)
			n += unvme_reap(u, id);
	return n;
}

static unsigned int reap_fired(struct unvme *u, int timeout_ms)
{
	struct pollfd pfd[UNVME_MAX_QUEUES];
	unsigned int i, n = 0;
	u64 count;

	for (i = 0; i < u->udrv.nr_vectors; i++) {
		pfd[i].fd = u->udrv.evfds[i];
		pfd[i].events = POLLIN;
		pfd[i].revents = 0;
	}
	if (poll(pfd, u->udrv.nr_vectors, timeout_ms) <= 0)
		return 0;
	for (i = 0; i < u->udrv.nr_vectors; i++) {
		if (!(pfd[i].revents & POLLIN))
			continue;
		if (read(u->udrv.evfds[i], &count, sizeof(count)) != sizeof(count))
			continue;	/* another thread took it */
		n += reap_vector(u, i);
	}
	return n;
}

static bool any_polled(const struct unvme *u)
{
	u16 id;

	for (id = 0; id < UNVME_MAX_QUEUES; id++)
		if (u->cqs[id].live && u->cqs[id].vector == UNVME_POLLED)
			return true;
	return false;
}

unsigned int unvme_wait(struct unvme *u, unsigned int timeout_ms)
{
	u64 end = now_ms() + timeout_ms;
	unsigned int n;

	if (!any_polled(u)) {
		/* an interrupt may come for entries that were reaped already */
		do {
			u64 now = now_ms();

			n = reap_fired(u, now < end ? end - now : 0);
		} while (!n && now_ms() < end);
		return n;
	}
	do {
		n = reap_vector(u, UNVME_POLLED);
		if (u->udrv.nr_vectors)
			n += reap_fired(u, 0);
		if (!n)
			sched_yield();
	} while (!n && now_ms() < end);
	return n;
}

void unvme_report_stuck(struct unvme *u)
{
	bool found = false;
	u16 id;

	for (id = 0; id < UNVME_MAX_QUEUES; id++) {
		struct unvme_cq *cq = &u->cqs[id];

		if (cq->vector == UNVME_POLLED || !unvme_cq_pending(u, id))
			continue;
		unvme_fault(u, "CQ %u: entries are there, but the interrupt of vector %d was lost",
			    id, cq->vector);
		found = true;
	}
	if (!found)
		unvme_fault(u, "no completion came, CSTS %#x",
			    vdev_read32(u->udrv.dev, NVME_REG_CSTS));
}

int unvme_wait_for(struct unvme *u, bool (*cond)(struct unvme *u, void *priv), void *priv,
		   unsigned int timeout_ms)
{
	u64 end = now_ms() + timeout_ms;

	while (!cond(u, priv)) {
		u64 now = now_ms();

		if (now >= end) {
			unvme_report_stuck(u);
			return -ETIMEDOUT;
		}
		/* woken now and then, as another thread may reap what we wait for */
		unvme_wait(u, min_t(u64, end - now, 100));
	}
	return 0;
}

struct drain_arg {
	u16 sqid;
	unsigned int left;
};

static bool is_drained(struct unvme *u, void *priv)
{
	struct drain_arg *arg = priv;

	return u->sqs[arg->sqid].inflight <= arg->left;
}

int unvme_drain(struct unvme *u, u16 sqid, unsigned int left)
{
	struct drain_arg arg = { sqid, left };

	return unvme_wait_for(u, is_drained, &arg, UNVME_TIMEOUT_MS);
}

struct exec_arg {
	bool done;
	u16 status;
	u32 result;
};

static void exec_done(struct unvme *u, struct unvme_cmd *c)
{
	struct exec_arg *arg = c->priv;

	arg->status = unvme_status(c);
	arg->result = c->cqe.result;
	arg->done = true;
}

static bool is_exec_done(struct unvme *u, void *priv)
{
	return ((struct exec_arg *)priv)->done;
}

int unvme_exec(struct unvme *u, u16 sqid, const struct nvme_sqe *sqe, u32 *result)
{
	struct exec_arg arg = { 0 };
	struct unvme_cmd *c;
	int err;

	c = unvme_submit(u, sqid, sqe, exec_done, &arg);
	if (!c)
		return -EBUSY;
	err = unvme_wait_for(u, is_exec_done, &arg, UNVME_TIMEOUT_MS);
	if (err) {
		c->done = NULL;	/* our stack goes away */
		return err;
	}
	if (result)
		*result = arg.result;
	return arg.status;
}

/* ---- commands ---- */

void unvme_set_prp(struct unvme *u, struct nvme_sqe *sqe, const void *buf, size_t len, u64 *list)
{
	u64 iova = arena_iova(u->udrv.arena, buf);
	size_t first = PAGE - iova % PAGE;
	u64 next = iova + first;
	unsigned int i;

	sqe->prp1 = iova;
	sqe->prp2 = 0;
	if (len <= first)
		return;
	if (len <= first + PAGE) {
		sqe->prp2 = next;
		return;
	}
	for (i = 0; next < iova + len; i++, next += PAGE)
		list[i] = next;
	sqe->prp2 = arena_iova(u->udrv.arena, list);
}

int unvme_identify(struct unvme *u, u8 cns, u32 nsid, u16 cntid)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_ADM_IDENTIFY, .nsid = nsid, .cdw10 = cns | (u32)cntid << 16,
	};

	memset(u->scratch, 0, PAGE);
	unvme_set_prp(u, &sqe, u->scratch, PAGE, NULL);
	return unvme_exec(u, 0, &sqe, NULL);
}

int unvme_get_features(struct unvme *u, u8 fid, u32 cdw11, u32 *result)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_ADM_GET_FEATURES, .cdw10 = fid, .cdw11 = cdw11,
	};

	unvme_set_prp(u, &sqe, u->scratch, PAGE, NULL);
	return unvme_exec(u, 0, &sqe, result);
}

int unvme_set_features(struct unvme *u, u8 fid, u32 cdw11, u32 *result)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_ADM_SET_FEATURES, .cdw10 = fid, .cdw11 = cdw11,
	};

	unvme_set_prp(u, &sqe, u->scratch, PAGE, NULL);
	return unvme_exec(u, 0, &sqe, result);
}

int unvme_get_log(struct unvme *u, u8 lid, u32 nsid, u32 len)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_ADM_GET_LOG, .nsid = nsid,
		.cdw10 = lid | (len / 4 - 1) << 16, .cdw11 = (len / 4 - 1) >> 16,
	};

	unvme_set_prp(u, &sqe, u->scratch, len, u->scratch_list);
	return unvme_exec(u, 0, &sqe, NULL);
}

int unvme_rw(struct unvme *u, u16 sqid, bool write, u64 lba, u32 blocks)
{
	struct nvme_sqe sqe = {
		.opcode = write ? NVME_IO_WRITE : NVME_IO_READ, .nsid = u->nsid,
		.cdw10 = lba, .cdw11 = lba >> 32, .cdw12 = blocks - 1,
	};

	unvme_set_prp(u, &sqe, u->scratch, blocks * u->lba_size, u->scratch_list);
	return unvme_exec(u, sqid, &sqe, NULL);
}

struct unvme_cmd *unvme_aer(struct unvme *u, unvme_done_fn done, void *priv)
{
	struct nvme_sqe sqe = { .opcode = NVME_ADM_AER };

	return unvme_submit(u, 0, &sqe, done, priv);
}

/* ---- queues ---- */

static void init_cq(struct unvme *u, u16 id, u16 depth, int vector)
{
	struct unvme_cq *cq = &u->cqs[id];

	memset(cq, 0, sizeof(*cq));
	cq->id = id;
	cq->depth = depth;
	cq->phase = 1;
	cq->vector = vector;
	cq->ring = arena_alloc(u->udrv.arena, depth * sizeof(struct nvme_cqe));
}

static int init_sq(struct unvme *u, u16 id, u16 depth, u16 cqid)
{
	struct unvme_sq *sq = &u->sqs[id];

	free(sq->cmds);
	memset(sq, 0, sizeof(*sq));
	sq->cmds = calloc(UNVME_MAX_CMDS, sizeof(*sq->cmds));
	if (!sq->cmds)
		return -ENOMEM;
	sq->id = id;
	sq->depth = depth;
	sq->cq = &u->cqs[cqid];
	sq->ring = arena_alloc(u->udrv.arena, depth * sizeof(struct nvme_sqe));
	return 0;
}

int unvme_create_cq(struct unvme *u, u16 id, u16 depth, int vector)
{
	struct nvme_sqe sqe = { .opcode = NVME_ADM_CREATE_CQ };
	int st;

	init_cq(u, id, depth, vector);
	sqe.prp1 = arena_iova(u->udrv.arena, u->cqs[id].ring);
	sqe.cdw10 = id | (u32)(depth - 1) << 16;
	sqe.cdw11 = 1;
	if (vector != UNVME_POLLED)
		sqe.cdw11 |= 2 | (u32)vector << 16;
	st = unvme_exec(u, 0, &sqe, NULL);
	u->cqs[id].live = !st;
	return st;
}

int unvme_create_sq(struct unvme *u, u16 id, u16 depth, u16 cqid)
{
	struct nvme_sqe sqe = { .opcode = NVME_ADM_CREATE_SQ };
	int st;

	st = init_sq(u, id, depth, cqid);
	if (st)
		return st;
	sqe.prp1 = arena_iova(u->udrv.arena, u->sqs[id].ring);
	sqe.cdw10 = id | (u32)(depth - 1) << 16;
	sqe.cdw11 = 1 | (u32)cqid << 16;
	st = unvme_exec(u, 0, &sqe, NULL);
	u->sqs[id].live = !st;
	return st;
}

int unvme_delete_sq(struct unvme *u, u16 id)
{
	struct nvme_sqe sqe = { .opcode = NVME_ADM_DELETE_SQ, .cdw10 = id };
	int st = unvme_exec(u, 0, &sqe, NULL);

	if (!st)
		u->sqs[id].live = false;
	return st;
}

int unvme_delete_cq(struct unvme *u, u16 id)
{
	struct nvme_sqe sqe = { .opcode = NVME_ADM_DELETE_CQ, .cdw10 = id };
	int st = unvme_exec(u, 0, &sqe, NULL);

	if (!st)
		u->cqs[id].live = false;
	return st;
}

int unvme_dbbuf(struct unvme *u)
{
	struct nvme_sqe sqe = { .opcode = NVME_ADM_DBBUF };
	void *dbs = arena_alloc(u->udrv.arena, PAGE);
	void *eis = arena_alloc(u->udrv.arena, PAGE);
	int st;

	sqe.prp1 = arena_iova(u->udrv.arena, dbs);
	sqe.prp2 = arena_iova(u->udrv.arena, eis);
	st = unvme_exec(u, 0, &sqe, NULL);
	if (!st) {
		u->dbs = dbs;
		u->eis = eis;
	}
	return st;
}

/* ---- enable, disable ---- */

static int wait_ready(struct unvme *u, u32 want)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;

	while ((vdev_read32(u->udrv.dev, NVME_REG_CSTS) & NVME_CSTS_RDY) != want) {
		if (now_ms() >= end) {
			unvme_fault(u, "CSTS.RDY did not become %u", want);
			return -ETIMEDOUT;
		}
		sched_yield();
	}
	return 0;
}

int unvme_disable(struct unvme *u)
{
	u16 id;
	int err;

	vdev_write32(u->udrv.dev, NVME_REG_CC, vdev_read32(u->udrv.dev, NVME_REG_CC) & ~NVME_CC_EN);
	err = wait_ready(u, 0);
	for (id = 0; id < UNVME_MAX_QUEUES; id++) {
		u->sqs[id].live = false;
		u->cqs[id].live = false;
		u->sqs[id].inflight = 0;
	}
	return err;
}

static int setup_vectors(struct unvme *u)
{
	if (!u->opts.irq)
		return 0;
	return udrv_connect_vectors(&u->udrv, u->opts.vectors ?: u->opts.queues + 1);
}

static void init_struct(struct unvme *u, struct vdev *d, struct arena *a,
			const struct unvme_opts *o)
{
	memset(u, 0, sizeof(*u));
	u->opts = *o;
	if (!u->opts.depth)
		u->opts.depth = 64;
	if (!u->opts.admin_depth)
		u->opts.admin_depth = 32;
	udrv_setup(&u->udrv, &unvme_ops, d, a);
}

int unvme_enable(struct unvme *u, struct vdev *d, struct arena *a, const struct unvme_opts *o)
{
	u32 admin_depth;
	u64 cap;
	int err;

	init_struct(u, d, a, o);
	admin_depth = u->opts.admin_depth;
	cap = vdev_read64(d, NVME_REG_CAP);
	u->dstrd = 4 << ((cap >> 32) & 0xf);
	err = unvme_disable(u);
	if (err)
		return err;
	err = setup_vectors(u);
	if (err)
		return err;
	u->scratch = arena_alloc(a, UNVME_SCRATCH);
	u->scratch_list = arena_alloc(a, PAGE);
	init_cq(u, 0, admin_depth, u->udrv.nr_vectors ? 0 : UNVME_POLLED);
	err = init_sq(u, 0, admin_depth, 0);
	if (err)
		return err;
	vdev_write32(d, NVME_REG_AQA, (admin_depth - 1) | (admin_depth - 1) << 16);
	vdev_write64(d, NVME_REG_ASQ, arena_iova(a, u->sqs[0].ring));
	vdev_write64(d, NVME_REG_ACQ, arena_iova(a, u->cqs[0].ring));
	vdev_write32(d, NVME_REG_CC, NVME_CC_DEFAULT | NVME_CC_EN);
	err = wait_ready(u, NVME_CSTS_RDY);
	u->cqs[0].live = !err;
	u->sqs[0].live = !err;
	return err;
}

static int identify_all(struct unvme *u)
{
	u8 flbas;
	int st;

	st = unvme_identify(u, 1, 0, 0);
	if (st)
		return st;
	u->id_ctrl = arena_alloc(u->udrv.arena, PAGE);
	memcpy(u->id_ctrl, u->scratch, PAGE);
	u->mdts = u->id_ctrl[77] ? PAGE << u->id_ctrl[77] : UNVME_SCRATCH;

	st = unvme_identify(u, 2, 0, 0);
	if (st)
		return st;
	memcpy(&u->nsid, u->scratch, sizeof(u->nsid));
	if (!u->nsid)
		return -ENODEV;
	st = unvme_identify(u, 0, u->nsid, 0);
	if (st)
		return st;
	memcpy(&u->nsze, u->scratch, sizeof(u->nsze));
	flbas = u->scratch[26] & 0xf;
	u->lba_size = 1u << u->scratch[128 + 4 * flbas + 2];
	return 0;
}

/* OACS bit 8 */
static bool offers_dbbuf(const struct unvme *u)
{
	return u->id_ctrl[257] & 1;
}

static int create_pairs(struct unvme *u)
{
	unsigned int id, nr = u->udrv.nr_vectors;
	u16 granted[2];		/* SQs and CQs, 0's based */
	u32 result;
	int st;

	if (!u->opts.queues)
		return 0;
	if (u->opts.queues >= UNVME_MAX_QUEUES)
		return -EINVAL;
	st = unvme_set_features(u, 7, (u->opts.queues - 1) * 0x10001, &result);
	if (st)
		return st;
	memcpy(granted, &result, sizeof(granted));
	u->opts.queues = min(u->opts.queues, min(granted[0], granted[1]) + 1u);
	for (id = 1; id <= u->opts.queues && !st; id++) {
		int vector = UNVME_POLLED;

		if (nr)
			vector = nr > 1 ? 1 + (id - 1) % (nr - 1) : 0;
		st = unvme_create_cq(u, id, u->opts.depth, vector);
		if (!st)
			st = unvme_create_sq(u, id, u->opts.depth, id);
	}
	return st;
}

/* As users see it that know nothing of NVMe */
static void set_geometry(struct unvme *u)
{
	u->udrv.channels = u->opts.queues;
	u->udrv.block_size = u->lba_size;
	u->udrv.blocks = u->nsze;
	u->udrv.max_bytes = min_t(u32, u->mdts, UNVME_SCRATCH);
	u->udrv.align = 4;
	udrv_ready(&u->udrv);
}

int unvme_init(struct unvme *u, struct vdev *d, struct arena *a, const struct unvme_opts *o)
{
	const char *step = "enable";
	int st;

	st = unvme_enable(u, d, a, o);
	if (!st) {
		step = "identify";
		st = identify_all(u);
	}
	if (!st && o->dbbuf) {
		step = "shadow doorbells";
		st = offers_dbbuf(u) ? unvme_dbbuf(u) : -EOPNOTSUPP;
	}
	if (!st) {
		step = "queues";
		st = create_pairs(u);
	}
	if (!st)
		set_geometry(u);
	if (st) {
		printf("# unvme %s: %s failed: %s %#x\n", d->bdf, step,
		       st < 0 ? strerror(-st) : "status", st < 0 ? 0 : st);
		fflush(stdout);
	}
	return st > 0 ? -EIO : st;
}

void unvme_fini(struct unvme *u)
{
	unsigned int i;

	udrv_cleanup(&u->udrv);
	unvme_free_requests(u);
	for (i = 0; i < UNVME_MAX_QUEUES; i++)
		free(u->sqs[i].cmds);
	memset(u, 0, sizeof(*u));
}

void unvme_check_idle(struct unvme *u, unsigned int aers)
{
	u16 id;

	for (id = 0; id < UNVME_MAX_QUEUES; id++) {
		struct unvme_sq *sq = &u->sqs[id];

		if (!sq->live)
			continue;
		if (sq->inflight != (id ? 0 : aers))
			unvme_fault(u, "SQ %u: %u commands in flight at rest", id, sq->inflight);
		/* an AER may have been fetched after the last completion was posted */
		if (sq->completed && sq->head != sq->tail && (id || !aers))
			unvme_fault(u, "SQ %u: head %u at rest, tail %u", id, sq->head, sq->tail);
		if (unvme_cq_pending(u, sq->cq->id))
			unvme_fault(u, "CQ %u: an entry nobody waits for", sq->cq->id);
	}
}
