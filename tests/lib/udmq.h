/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A User Data Migration Queue from its host's side, an own reading of TP4159 as in lm.h.
 *
 * Its memory is in the arena, and stays where it is while a VF has that mapped. The device reaches
 * it by physical addresses: the host must not have its PF behind an IOMMU (iommu.passthrough=1).
 */
#ifndef TESTS_UDMQ_H
#define TESTS_UDMQ_H

#include "vf.h"

#define UDMQ_ENTRY	32u
#define UDMQ_PAGE	4096u
#define UDMQ_PER_PAGE	(UDMQ_PAGE / UDMQ_ENTRY)

enum {
	UDMQ_CHANGE,		/* ESA */
	UDMQ_FIRST,
	UDMQ_STOPPED,
	UDMQ_SUSPENDED,
	UDMQ_FULL		= 7,
};

enum {
	UDMQ_RANGE,		/* LBACIR */
	UDMQ_NAMESPACE,
	UDMQ_NONE,
};

struct udmq_entry {
	u32 nsid;
	u32 nlb;		/* 0's based */
	u64 slba;
	u8 rsvd[15];
	u8 attr;
} __packed;

struct udmq {
	struct lm_pf *pf;
	u16 cntlid;
	u16 cdqid;
	u32 slots;
	struct udmq_entry *ring;
	u32 next;		/* slot that is read next */
	u8 phase;		/* of a new entry there */
};

/* What Identify says of it. */
struct udmq_limits {
	bool tudcs;
	u16 mcudmq;
	u16 mnsudmq;
	u16 mcmr;
	u16 nmcmr;
	u16 mcdqpc;
};

struct udmq_limits udmq_limits(const u8 *id);

/* Physical address of memory of the arena. */
u64 udmq_phys(const void *p);

/* Create a queue for a VF: contiguous in a page, or with a PRP list. NVMe status or -errno. */
int udmq_create(struct udmq *q, struct lm_pf *pf, struct vf *d, u32 slots);
int udmq_create_list(struct udmq *q, struct lm_pf *pf, struct vf *d, u32 slots);

int udmq_start(struct udmq *q);
int udmq_stop(struct udmq *q);
int udmq_delete(struct udmq *q);

/* Feature 21h. NVMe status or -errno. */
struct lm_cmd udmq_set_cmd(u16 cdqid, u32 head, bool etpt, u32 tpt);
struct lm_cmd udmq_get_cmd(u16 cdqid, void *buf);

/* Give all slots that were read back to the device. */
int udmq_consume(struct udmq *q);

/* The next entry, or NULL: there is none yet. */
const struct udmq_entry *udmq_read(struct udmq *q);

/* Delete all queues that a PF may have. */
void udmq_end(struct lm_pf *pf);

static inline unsigned int udmq_esa(const struct udmq_entry *e)
{
	return e->attr >> 1 & 7;
}

static inline unsigned int udmq_lbacir(const struct udmq_entry *e)
{
	return e->attr >> 6;
}

static inline bool udmq_dlba(const struct udmq_entry *e)
{
	return e->attr & 0x20;
}

#endif /* TESTS_UDMQ_H */
