// SPDX-License-Identifier: GPL-2.0-only
/*
 * A User Data Migration Queue from its host's side.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "udmq.h"

static u16 le16(const u8 *p)
{
	return p[0] | p[1] << 8;
}

struct udmq_limits udmq_limits(const u8 *id)
{
	return (struct udmq_limits){
		.tudcs = id[576] & 2, .mcudmq = le16(id + 578), .mnsudmq = le16(id + 580),
		.mcmr = le16(id + 582), .nmcmr = le16(id + 584), .mcdqpc = le16(id + 586),
	};
}

u64 udmq_phys(const void *p)
{
	u64 entry = 0, va = (unsigned long)p;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (pread(fd, &entry, 8, va / UDMQ_PAGE * 8) != 8)
			entry = 0;
		close(fd);
	}
	/* bits 54:0 are the page frame, bit 63: it is in memory */
	EXPECT(entry >> 63 && entry << 9, "no physical address of %p", p);
	return (entry & ((1ull << 55) - 1)) * UDMQ_PAGE + va % UDMQ_PAGE;
}

static void init(struct udmq *q, struct lm_pf *pf, struct vf *d, u32 slots)
{
	*q = (struct udmq){ .pf = pf, .cntlid = d->cntlid, .slots = slots, .phase = 1 };
	q->ring = arena_alloc(&arena, slots * UDMQ_ENTRY);
}

static int create(struct udmq *q, struct lm_cmd cmd)
{
	int st = lm_exec(q->pf, &cmd);

	q->cdqid = cmd.result;
	return st;
}

int udmq_create(struct udmq *q, struct lm_pf *pf, struct vf *d, u32 slots)
{
	init(q, pf, d, slots);
	return create(q, lm_cdq_create_cmd(d->cntlid, q->ring, slots * UDMQ_ENTRY));
}

/* The last entry of a page of the list leads to the next page, unless it is the last of all. */
int udmq_create_list(struct udmq *q, struct lm_pf *pf, struct vf *d, u32 slots)
{
	u32 pages = DIV_ROUND_UP(slots, UDMQ_PER_PAGE), i;
	u64 *list, *first;
	struct lm_cmd cmd;

	init(q, pf, d, slots);
	first = arena_alloc(&arena, UDMQ_PAGE);
	list = first;
	for (i = 0; i < pages; i++) {
		if ((unsigned long)list % UDMQ_PAGE == UDMQ_PAGE - 8 && i + 1 < pages) {
			u64 *next = arena_alloc(&arena, UDMQ_PAGE);

			*list = udmq_phys(next);
			list = next;
		}
		*list++ = udmq_phys((u8 *)q->ring + i * UDMQ_PAGE);
	}
	cmd = lm_cdq_create_cmd(d->cntlid, first, UDMQ_PAGE);
	cmd.cdw11 &= ~1u;
	cmd.cdw12 = slots * UDMQ_ENTRY / 4;
	return create(q, cmd);
}

int udmq_start(struct udmq *q)
{
	return pf_do(q->pf, lm_user_log_cmd(q->cdqid, true));
}

int udmq_stop(struct udmq *q)
{
	return pf_do(q->pf, lm_user_log_cmd(q->cdqid, false));
}

int udmq_delete(struct udmq *q)
{
	return pf_do(q->pf, lm_cdq_delete_cmd(q->cdqid));
}

struct lm_cmd udmq_set_cmd(u16 cdqid, u32 head, bool etpt, u32 tpt)
{
	return (struct lm_cmd){
		.opcode = NVME_ADM_SET_FEATURES, .cdw10 = 0x21,
		.cdw11 = cdqid | (u32)etpt << 31, .cdw12 = head, .cdw13 = tpt,
	};
}

struct lm_cmd udmq_get_cmd(u16 cdqid, void *buf)
{
	return (struct lm_cmd){
		.opcode = NVME_ADM_GET_FEATURES, .cdw10 = 0x21, .cdw11 = cdqid,
		.data = buf, .len = 512,
	};
}

int udmq_consume(struct udmq *q)
{
	return pf_do(q->pf, udmq_set_cmd(q->cdqid, q->next, false, 0));
}

const struct udmq_entry *udmq_read(struct udmq *q)
{
	const struct udmq_entry *e = &q->ring[q->next];
	u8 attr = __atomic_load_n(&e->attr, __ATOMIC_ACQUIRE);

	if ((attr & 1) != q->phase)
		return NULL;
	EXPECT(!(attr & 0x10), "reserved bit in %#x", attr);
	if (++q->next == q->slots) {
		q->next = 0;
		q->phase ^= 1;
	}
	return e;
}

void udmq_end(struct lm_pf *pf)
{
	u16 id;

	if (!pf->hmlms || !udmq_limits(pf->id).tudcs)
		return;
	for (id = 0; id < 16; id++)
		pf_do(pf, lm_cdq_delete_cmd(id));
}
