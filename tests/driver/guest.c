// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of a guest, and what it can set.
 */
#include <string.h>

#include "driver.h"

const struct nvme_sqe flush_cmd = { .opcode = NVME_IO_FLUSH, .nsid = 1 };

void count_done(struct unvme *u, struct unvme_cmd *c)
{
	unsigned int *n = c->priv;

	if (unvme_status(c))
		unvme_fault(u, "status %#x", unvme_status(c));
	(*n)++;
}

bool wait_entries(struct unvme *u, u16 cqid, unsigned int nr)
{
	struct unvme_cq *cq = &u->cqs[cqid];
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	unsigned int last = cq->head + nr - 1;
	u16 *status = &cq->ring[last % cq->depth].status;
	u8 phase = cq->phase ^ (last >= cq->depth);

	while ((__atomic_load_n(status, __ATOMIC_ACQUIRE) & 1) != phase)
		if (now_ms() > end)
			return EXPECT(0, "CQ %u does not fill", cqid);
	return true;
}

void got_event(struct unvme *u, struct unvme_cmd *c)
{
	struct event *e = c->priv;

	e->count++;
	e->result = c->cqe.result;
}

#define TEMP_OVER	0x0170
#define TEMP_UNDER	0x0110
#define EVENTS		0x011f

void set_everything(struct unvme *u)
{
	static const u8 stamp[8] = { 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12 };
	unsigned int i;

	EXPECT_EQ(unvme_set_features(u, 4, TEMP_OVER, NULL), 0, "over temperature");
	EXPECT_EQ(unvme_set_features(u, 4, TEMP_UNDER | 1 << 20, NULL), 0, "under temperature");
	EXPECT_EQ(unvme_set_features(u, 0x0b, EVENTS, NULL), 0, "event configuration");
	memcpy(u->scratch, stamp, sizeof(stamp));
	EXPECT_EQ(unvme_set_features(u, 0x0e, 0, NULL), 0, "timestamp");
	for (i = 0; i < 3; i++)
		unvme_aer(u, NULL, NULL);
	EXPECT_EQ(unvme_get_features(u, 7, 0, NULL), 0, "barrier");
}

void read_features(struct unvme *u, u32 *f)
{
	u64 stamp;

	EXPECT_EQ(unvme_get_features(u, 4, 0, &f[0]), 0, "over temperature");
	EXPECT_EQ(unvme_get_features(u, 4, 1 << 20, &f[1]), 0, "under temperature");
	EXPECT_EQ(unvme_get_features(u, 0x0b, 0, &f[2]), 0, "event configuration");
	EXPECT_EQ(unvme_get_features(u, 0x0e, 0, NULL), 0, "timestamp");
	memcpy(&stamp, u->scratch, sizeof(stamp));
	f[3] = (stamp & 0xffffffffffffull) >> 30;	/* a set one differs from a fresh one */
	EXPECT_EQ(unvme_get_features(u, 0x16, 0, NULL), 0, "host behavior");
	memcpy(&f[4], u->scratch, sizeof(u32));
}

/* ---- a guest that stalls ---- */

bool queue_flushes(struct vf *v, unsigned int *done)
{
	unsigned int i;

	for (i = 0; i < 10; i++)
		unvme_queue_cmd(&v->u, 1, &flush_cmd, count_done, done);
	unvme_ring(&v->u, 1);
	return wait_entries(&v->u, 1, 3);
}

bool fill_cq(struct vf *v, unsigned int *done)
{
	EXPECT_EQ(unvme_create_cq(&v->u, 1, 4, 1), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(&v->u, 1, 16, 1), 0, "SQ");
	return !tap_failed() && queue_flushes(v, done);
}

bool start_endless(struct vf *v, unsigned int vfn, unsigned int *done)
{
	static const struct unvme_opts o = { .irq = true, .vectors = 2 };

	return vf_open(v, tap_arg(), vfn) && vf_up(v, &o) && fill_cq(v, done);
}

/* ---- a state of several transfers, on PFs that move 8 KiB at a time ---- */

#define HELD	420

bool up_large(struct vf *v)
{
	static const struct unvme_opts o = { .irq = true, .vectors = 2 };
	unsigned int q;

	if (!vf_up(v, &o))
		return false;
	for (q = 1; q <= 4; q++) {
		EXPECT_EQ(unvme_create_cq(&v->u, q, 4, 1), 0, "CQ %u", q);
		EXPECT_EQ(unvme_create_sq(&v->u, q, 512, q), 0, "SQ %u", q);
	}
	return !tap_failed();
}

bool start_large(struct vf *v)
{
	return vf_open(v, tap_arg(), 1) && up_large(v);
}

static unsigned int large_done;

void fill_large(void)
{
	unsigned int i, q;

	large_done = 0;
	for (q = 1; q <= 4; q++) {
		for (i = 0; i < HELD; i++)
			unvme_queue_cmd(&vf_a.u, q, &flush_cmd, count_done, &large_done);
		unvme_ring(&vf_a.u, q);
	}
	/* the guest does not reap: three entries fit, the rest waits in the device */
	for (q = 1; q <= 4; q++)
		wait_entries(&vf_a.u, q, 3);
}

void drain_large(void)
{
	unsigned int q;

	for (q = 1; q <= 4; q++)
		EXPECT_EQ(unvme_drain(&vf_a.u, q, 0), 0, "queue %u", q);
	EXPECT_EQ(large_done, 4 * HELD, "commands");
	unvme_check_idle(&vf_a.u, 0);
}
