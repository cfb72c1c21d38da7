// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver with work in flight is moved to another VF by raw commands and goes on there.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

enum { ACROSS, SAME_PF, ACROSS_VENDOR, SAME_PF_VENDOR, FUNCTIONS };

static const struct { int pf; unsigned int vfn; } ends[][2] = {
	[ACROSS] = { { PF_TP, 1 }, { PF_TP2, 2 } },
	[SAME_PF] = { { PF_TP, 1 }, { PF_TP, 3 } },
	[ACROSS_VENDOR] = { { PF_VS, 1 }, { PF_VS2, 2 } },
	[SAME_PF_VENDOR] = { { PF_VS, 1 }, { PF_VS, 3 } },
	[FUNCTIONS] = { { PF_FN, 1 }, { PF_FN, 2 } },
};

/* The driver always lives in vf_a.u, whichever VF it runs on. */
#define drv (vf_a.u)

static bool open_ends(int way, const struct unvme_opts *o)
{
	return vf_open(&vf_a, ends[way][0].pf, ends[way][0].vfn) &&
	       vf_open(&vf_b, ends[way][1].pf, ends[way][1].vfn) && vf_up(&vf_a, o);
}

/* Everything after the suspend of the source up to the resume of the destination. */
static bool transfer(struct vf *from, struct vf *to, unsigned int held)
{
	struct quiet quiet;
	struct lm_state s;
	struct lm_view v;
	bool ok = false;

	if (!EXPECT_EQ(quiet_start(&quiet, &drv.udrv), 0, "watch"))
		return false;
	if (!vf_get(from, &s, &v))
		return false;
	if (!from->pf->vendor)
		check_view(&drv, &v, held);
	if (vf_suspend(to) && EXPECT_EQ(lmt_load(&to->t, &s), LM_SC_OK, "load"))
		ok = EXPECT_EQ(quiet_check(&quiet, 200), 0, "silence until Resume");
	lm_state_free(&s);
	quiet_end(&quiet);
	if (ok)
		unvme_move(&drv, &to->dev);
	return ok;
}

static bool move(struct vf *from, struct vf *to, unsigned int held)
{
	return vf_suspend(from) && transfer(from, to, held) && vf_resume(to);
}

/* ---- under load ---- */

static void move_under_load(int way, const struct unvme_opts *o)
{
	struct vf *from = &vf_a, *to = &vf_b, *t;
	int round;

	if (!open_ends(way, o))
		return;
	load = (struct load){
		.u = &drv.udrv, .units = 128, .unit_blocks = 32, .qd = 10, .seed = 3 + way,
		.control = true,
	};
	if (!EXPECT_EQ(load_init(&load), 0, "load") ||
	    !EXPECT_EQ(load_start(&load), 0, "thread"))
		return;
	for (round = 0; round < 4 && !tap_failed() && !drv.udrv.faults; round++) {
		EXPECT_EQ(load_wait_ops(&load, 40), 0, "round %d", round);
		if (!vf_suspend(from))
			break;
		load_pause(&load);
		if (!transfer(from, to, 0) || !vf_resume(to))
			break;
		load_resume(&load);
		EXPECT_EQ(load_wait_ops(&load, 40), 0, "after move %d", round);
		EXPECT_EQ(vdev_reset(&from->dev), 0, "reset of the source");
		t = from;
		from = to;
		to = t;
	}
	EXPECT_EQ(load_end(&load), 0, "end");
	EXPECT_EQ(load_verify(&load), 0, "verify");
	unvme_check_idle(&drv, 0);
	tap_note("%lu reads, %lu writes, %lu admin commands, %lu doorbells", load.reads,
		 load.writes, load.controls, drv.mmio_doorbells);
}

static void test_load_polled(void)
{
	static const struct unvme_opts o = { .queues = 4, .depth = 32 };

	move_under_load(tap_arg(), &o);
}

static void test_load_irq(void)
{
	static const struct unvme_opts o = { .queues = 4, .depth = 16, .irq = true };

	move_under_load(tap_arg(), &o);
}

static void test_load_shadow(void)
{
	static const struct unvme_opts o = {
		.queues = 3, .depth = 24, .irq = true, .dbbuf = true
	};

	move_under_load(tap_arg(), &o);
}

/* ---- commands that wait ---- */

static void count_done(struct unvme *u, struct unvme_cmd *c)
{
	unsigned int *n = c->priv;

	if (unvme_status(c))
		unvme_fault(u, "status %#x", unvme_status(c));
	(*n)++;
}

static const struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
static const struct nvme_sqe get_queues = { .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 7 };

/* Doorbells rung on the suspended source are executed by the destination. */
static void check_doorbells(const struct unvme_opts *o)
{
	unsigned int io = 0, admin = 0;

	if (!open_ends(tap_arg(), o) || !vf_suspend(&vf_a))
		return;
	unvme_submit(&drv, 1, &flush, count_done, &io);
	unvme_submit(&drv, 1, &flush, count_done, &io);
	unvme_submit(&drv, 2, &flush, count_done, &io);
	unvme_submit(&drv, 0, &get_queues, count_done, &admin);
	if (!transfer(&vf_a, &vf_b, 0) || !vf_resume(&vf_b))
		return;
	EXPECT_EQ(unvme_drain(&drv, 0, 0), 0, "admin queue");
	EXPECT_EQ(unvme_drain(&drv, 1, 0), 0, "queue 1");
	EXPECT_EQ(unvme_drain(&drv, 2, 0), 0, "queue 2");
	EXPECT(io == 3 && admin == 1, "%u I/O and %u admin commands", io, admin);
	EXPECT_EQ(unvme_rw(&drv, 2, true, 0, 8), 0, "write afterwards");
	unvme_check_idle(&drv, 0);
}

static void test_doorbells(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };

	check_doorbells(&o);
}

static void test_doorbells_shadow(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true, .dbbuf = true };

	check_doorbells(&o);
}

static void test_admin_doorbell(void)
{
	static const struct unvme_opts o = { .irq = true };
	unsigned int admin = 0;

	if (!open_ends(tap_arg(), &o) || !vf_suspend(&vf_a))
		return;
	unvme_submit(&drv, 0, &get_queues, count_done, &admin);
	if (!transfer(&vf_a, &vf_b, 0) || !vf_resume(&vf_b))
		return;
	EXPECT_EQ(unvme_drain(&drv, 0, 0), 0, "admin queue");
	EXPECT_EQ(admin, 1, "commands");
}

/* Doorbells rung on the destination before its Resume count as well. */
static void test_doorbells_loaded(void)
{
	static const struct unvme_opts o = { .queues = 1, .irq = true };
	unsigned int io = 0, admin = 0;
	struct quiet quiet;

	if (!open_ends(tap_arg(), &o) || !vf_suspend(&vf_a) ||
	    !transfer(&vf_a, &vf_b, 0))
		return;
	unvme_submit(&drv, 1, &flush, count_done, &io);
	unvme_submit(&drv, 0, &get_queues, count_done, &admin);
	EXPECT_EQ(quiet_start(&quiet, &drv.udrv), 0, "watch");
	EXPECT_EQ(quiet_check(&quiet, 200), 0, "silence before Resume");
	quiet_end(&quiet);
	if (!vf_resume(&vf_b))
		return;
	EXPECT_EQ(unvme_drain(&drv, 0, 0), 0, "admin queue");
	EXPECT_EQ(unvme_drain(&drv, 1, 0), 0, "queue 1");
	EXPECT(io == 1 && admin == 1, "%u I/O and %u admin commands", io, admin);
}

/* ---- completions and interrupts ---- */

static bool wait_entry(u16 cqid)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;

	while (!unvme_cq_pending(&drv, cqid) && now_ms() < end)
		;
	return EXPECT(unvme_cq_pending(&drv, cqid), "CQ %u: no entry", cqid);
}

static void forget_interrupt(unsigned int vector)
{
	u64 count, end = now_ms() + UNVME_TIMEOUT_MS;

	while (read(drv.udrv.evfds[vector], &count, sizeof(count)) < 0 && now_ms() < end)
		;
}

/* Entries there, interrupt taken, but the driver has not looked yet: there is another one. */
static void test_unconsumed(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };
	unsigned int io = 0, admin = 0;

	if (!open_ends(tap_arg(), &o))
		return;
	unvme_submit(&drv, 2, &flush, count_done, &io);
	unvme_submit(&drv, 0, &get_queues, count_done, &admin);
	if (!wait_entry(2) || !wait_entry(0))
		return;
	forget_interrupt(2);
	forget_interrupt(0);
	if (!move(&vf_a, &vf_b, 0))
		return;
	EXPECT_EQ(unvme_drain(&drv, 2, 0), 0, "interrupt of queue 2");
	EXPECT_EQ(unvme_drain(&drv, 0, 0), 0, "interrupt of the admin queue");
	EXPECT(io == 1 && admin == 1, "%u I/O and %u admin commands", io, admin);
	unvme_check_idle(&drv, 0);
}

static void test_masked(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };
	unsigned int io = 0;
	u64 count;

	if (!open_ends(tap_arg(), &o))
		return;
	vdev_mask_vector(&vf_a.dev, 2, true);
	unvme_submit(&drv, 2, &flush, count_done, &io);
	if (!wait_entry(2) || !vf_suspend(&vf_a) || !transfer(&vf_a, &vf_b, 0))
		return;
	vdev_mask_vector(&vf_b.dev, 2, true);
	if (!vf_resume(&vf_b))
		return;
	EXPECT(read(drv.udrv.evfds[2], &count, sizeof(count)) < 0, "masked vector fired");
	vdev_mask_vector(&vf_b.dev, 2, false);
	EXPECT_EQ(unvme_drain(&drv, 2, 0), 0, "interrupt after the unmask");
	EXPECT_EQ(io, 1, "commands");
}

/* Completions held back by a full queue arrive at the destination, in order and once. */
static void check_full_cq(const struct unvme_opts *o)
{
	unsigned int i, io = 0, end;

	if (!open_ends(tap_arg(), o))
		return;
	end = o->irq ? 1 : UNVME_POLLED;
	EXPECT_EQ(unvme_create_cq(&drv, 1, 4, end), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(&drv, 1, 16, 1), 0, "SQ 1");
	EXPECT_EQ(unvme_create_sq(&drv, 2, 16, 1), 0, "SQ 2");
	for (i = 0; i < 8; i++) {
		unvme_queue_cmd(&drv, 1, &flush, count_done, &io);
		unvme_queue_cmd(&drv, 2, &flush, count_done, &io);
	}
	unvme_ring(&drv, 1);
	unvme_ring(&drv, 2);
	while (cq_entries(&drv, 1) + cq_entries(&drv, 2) < 3)
		;
	if (!vf_suspend(&vf_a))
		return;
	EXPECT_EQ(cq_entries(&drv, 1) + cq_entries(&drv, 2), 3, "entries in a queue of four");
	/* which of the commands are held is not in version 0: no check of the heads */
	if (!transfer(&vf_a, &vf_b, HELD_UNKNOWN) || !vf_resume(&vf_b))
		return;
	EXPECT_EQ(unvme_drain(&drv, 1, 0), 0, "drain 1");
	EXPECT_EQ(unvme_drain(&drv, 2, 0), 0, "drain 2");
	EXPECT_EQ(io, 16, "commands");
	unvme_check_idle(&drv, 0);
}

static void test_full_cq(void)
{
	static const struct unvme_opts o = { .irq = true, .vectors = 2 };

	check_full_cq(&o);
}

/* ---- features and events ---- */

#define TEMP_OVER	0x0170
#define TEMP_UNDER	0x0110
#define EVENTS		0x011f
#define STAMP		0x123456000000ull
#define AER_LIMIT	0x105

struct event {
	unsigned int count;
	u32 result;
	u16 cid;
};

static void got_event(struct unvme *u, struct unvme_cmd *c)
{
	struct event *e = c->priv;

	if (unvme_status(c) == AER_LIMIT)
		return;
	e->count++;
	e->result = c->cqe.result;
	e->cid = c->cqe.cid;
}

static void set_all(struct unvme *u)
{
	u64 stamp = STAMP;

	EXPECT_EQ(unvme_set_features(u, 4, TEMP_OVER, NULL), 0, "over temperature");
	EXPECT_EQ(unvme_set_features(u, 4, TEMP_UNDER | 1 << 20, NULL), 0, "under temperature");
	EXPECT_EQ(unvme_set_features(u, 0x0a, 1, NULL), 0, "write atomicity");
	EXPECT_EQ(unvme_set_features(u, 0x0b, EVENTS, NULL), 0, "event configuration");
	memcpy(u->scratch, &stamp, sizeof(stamp));
	EXPECT_EQ(unvme_set_features(u, 0x0e, 0, NULL), 0, "timestamp");
	memset(u->scratch, 0, 512);
	u->scratch[0] = 1;
	EXPECT_EQ(unvme_set_features(u, 0x16, 0, NULL), 0, "host behavior");
}

static void check_all(struct unvme *u, u32 queues)
{
	u32 val;
	u64 stamp;

	EXPECT_EQ(unvme_get_features(u, 4, 0, &val), 0, "over temperature");
	EXPECT_EQ(val & 0xffff, TEMP_OVER, "over temperature");
	EXPECT_EQ(unvme_get_features(u, 4, 1 << 20, &val), 0, "under temperature");
	EXPECT_EQ(val & 0xffff, TEMP_UNDER, "under temperature");
	EXPECT_EQ(unvme_get_features(u, 0x0a, 0, &val), 0, "write atomicity");
	EXPECT_EQ(val, 1, "write atomicity");
	EXPECT_EQ(unvme_get_features(u, 0x0b, 0, &val), 0, "event configuration");
	EXPECT_EQ(val, EVENTS, "event configuration");
	EXPECT_EQ(unvme_get_features(u, 0x0e, 0, NULL), 0, "timestamp");
	memcpy(&stamp, u->scratch, sizeof(stamp));
	stamp &= 0xffffffffffffull;
	EXPECT(stamp >= STAMP && stamp < STAMP + 3600 * 1000, "timestamp %#lx", stamp);
	EXPECT_EQ(unvme_get_features(u, 0x16, 0, NULL), 0, "host behavior");
	EXPECT_EQ(u->scratch[0], 1, "host behavior");
	EXPECT_EQ(unvme_get_features(u, 7, 0, &val), 0, "number of queues");
	EXPECT_EQ(val, queues, "number of queues");
	EXPECT_EQ(unvme_set_features(u, 7, 0x10001, NULL), LM_SC_SEQUENCE_ERROR,
		  "number of queues while there are some");
}

static void test_features(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };
	u32 queues;

	if (!open_ends(tap_arg(), &o))
		return;
	set_all(&drv);
	EXPECT_EQ(unvme_get_features(&drv, 7, 0, &queues), 0, "number of queues");
	if (!move(&vf_a, &vf_b, 0))
		return;
	check_all(&drv, queues);
	EXPECT_EQ(vdev_read32(&vf_b.dev, NVME_REG_CC), NVME_CC_DEFAULT | NVME_CC_EN, "CC");
	EXPECT_EQ(vdev_read32(&vf_b.dev, NVME_REG_CSTS), NVME_CSTS_RDY, "CSTS");
	EXPECT_EQ(vdev_read32(&vf_b.dev, NVME_REG_AQA), 31 | 31 << 16, "AQA");
	EXPECT_EQ(vdev_read64(&vf_b.dev, NVME_REG_ASQ), arena_iova(&arena, drv.sqs[0].ring),
		  "ASQ");
	EXPECT_EQ(vdev_read64(&vf_b.dev, NVME_REG_ACQ), arena_iova(&arena, drv.cqs[0].ring),
		  "ACQ");
}

/* Queues were created and deleted: their number stays fixed, on the destination, too. */
static void test_sticky_queues(void)
{
	static const struct unvme_opts o = { .queues = 1 };

	if (!open_ends(tap_arg(), &o))
		return;
	EXPECT_EQ(unvme_delete_sq(&drv, 1), 0, "delete SQ");
	EXPECT_EQ(unvme_delete_cq(&drv, 1), 0, "delete CQ");
	EXPECT_EQ(unvme_set_features(&drv, 7, 0x10001, NULL), LM_SC_SEQUENCE_ERROR, "source");
	if (!move(&vf_a, &vf_b, 0))
		return;
	EXPECT_EQ(unvme_set_features(&drv, 7, 0x10001, NULL), LM_SC_SEQUENCE_ERROR,
		  "destination");
	EXPECT_EQ(unvme_create_cq(&drv, 1, 8, UNVME_POLLED), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(&drv, 1, 8, 1), 0, "SQ");
	EXPECT_EQ(unvme_rw(&drv, 1, true, 0, 8), 0, "write");
}

/*
 * All event requests are outstanding. Their number survives (one more is over the limit), their
 * ids do (an event completes one of them), and none completes by the move itself.
 */
static void test_aers(void)
{
	static const struct unvme_opts o = { .queues = 1, .irq = true };
	struct unvme_cmd *c[16];
	struct event e = { 0 };
	unsigned int i, limit;
	bool ours = false;
	u16 cid[16];
	int st;

	if (!open_ends(tap_arg(), &o))
		return;
	limit = drv.id_ctrl[259] + 1;
	if (!EXPECT(limit >= 2 && limit <= 16, "AERL %u", limit))
		return;
	EXPECT_EQ(unvme_set_features(&drv, 0x0b, EVENTS, NULL), 0, "event configuration");
	for (i = 0; i < limit; i++) {
		c[i] = unvme_aer(&drv, got_event, &e);
		cid[i] = c[i]->sqe.cid;
	}
	EXPECT_EQ(unvme_get_features(&drv, 7, 0, NULL), 0, "barrier");
	if (!move(&vf_a, &vf_b, 0))
		return;
	EXPECT_EQ(unvme_rw(&drv, 1, true, 0, 8), 0, "write");
	EXPECT_EQ(e.count, 0, "events by the move");
	EXPECT_EQ(drv.sqs[0].inflight, limit, "requests outstanding");
	st = unvme_exec(&drv, 0, &(struct nvme_sqe){ .opcode = NVME_ADM_AER }, NULL);
	EXPECT_EQ(st, AER_LIMIT, "one request more");

	EXPECT_EQ(unvme_set_features(&drv, 4, 1, NULL), 0, "temperature event");
	EXPECT_EQ(unvme_drain(&drv, 0, limit - 1), 0, "event");
	EXPECT_EQ(e.count, 1, "events");
	EXPECT_EQ(e.result & 7, 1, "type");
	for (i = 0; i < limit; i++)
		ours |= cid[i] == e.cid;
	EXPECT(ours, "cid %#x was not outstanding", e.cid);
}

/* An event that was reported and whose log was not read is not reported again; then it is. */
static void test_event_mask(void)
{
	static const struct unvme_opts o = { .queues = 1, .irq = true };
	struct event e = { 0 };

	if (!open_ends(tap_arg(), &o))
		return;
	EXPECT_EQ(unvme_set_features(&drv, 0x0b, EVENTS, NULL), 0, "event configuration");
	unvme_aer(&drv, got_event, &e);
	unvme_aer(&drv, got_event, &e);
	EXPECT_EQ(unvme_set_features(&drv, 4, 1, NULL), 0, "temperature event");
	EXPECT_EQ(unvme_drain(&drv, 0, 1), 0, "first event");
	if (!move(&vf_a, &vf_b, 0))
		return;
	EXPECT_EQ(unvme_set_features(&drv, 4, 2, NULL), 0, "second event");
	EXPECT_EQ(unvme_rw(&drv, 1, true, 0, 8), 0, "write");
	EXPECT_EQ(e.count, 1, "events before the log was read");
	EXPECT_EQ(unvme_get_log(&drv, 2, 0xffffffff, 512), 0, "log");
	EXPECT_EQ(unvme_set_features(&drv, 4, 3, NULL), 0, "third event");
	EXPECT_EQ(unvme_drain(&drv, 0, 0), 0, "event after the log was read");
	EXPECT_EQ(e.count, 2, "events");
}

/* An event that came while the source was suspended is part of its state. */
static void test_event_meanwhile(void)
{
	static const struct unvme_opts o = { .queues = 1, .irq = true };
	struct event e = { 0 };

	if (!open_ends(tap_arg(), &o))
		return;
	unvme_aer(&drv, got_event, &e);
	EXPECT_EQ(unvme_get_features(&drv, 7, 0, NULL), 0, "barrier");
	if (!vf_suspend(&vf_a))
		return;
	/* a doorbell value outside the queue is an error event */
	vdev_write32(&vf_a.dev, NVME_REG_DBS + 2 * drv.dstrd, 0xffff);
	if (!transfer(&vf_a, &vf_b, 0) || !vf_resume(&vf_b))
		return;
	EXPECT_EQ(unvme_drain(&drv, 0, 0), 0, "event");
	EXPECT_EQ(e.count, 1, "events");
	EXPECT_EQ(e.result & 7, 0, "type");
	EXPECT_EQ(unvme_rw(&drv, 1, true, 0, 8), 0, "write");
}

/* ---- a controller that is off, and one that is only enabled ---- */

static void test_disabled(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct lm_state s;
	struct lm_view v;

	if (!open_ends(tap_arg(), &o))
		return;
	unvme_disable(&drv);
	if (!vf_suspend(&vf_a) || !vf_get(&vf_a, &s, &v) || !vf_suspend(&vf_b))
		return;
	EXPECT_EQ(lmt_load(&vf_b.t, &s), LM_SC_OK, "load");
	lm_state_free(&s);
	vf_resume(&vf_b);
	EXPECT_EQ(vdev_read32(&vf_b.dev, NVME_REG_CSTS), 0, "CSTS");
	EXPECT_EQ(vdev_read64(&vf_b.dev, NVME_REG_ASQ), arena_iova(&arena, drv.sqs[0].ring),
		  "ASQ, which a controller reset keeps");
	unvme_fini(&drv);
	if (EXPECT_EQ(unvme_init(&drv, &vf_b.dev, &arena, &o), 0, "enable the destination"))
		EXPECT_EQ(unvme_rw(&drv, 1, true, 0, 8), 0, "write");
}

/*
 * Queues only: the destination has an admin queue of its own, as a VMM that keeps it to itself
 * would have it, and takes over the I/O queues with what waits in them.
 */
static void test_queues_only(void)
{
	static const struct unvme_opts o = { .queues = 2, .depth = 16, .irq = true };
	static const struct unvme_opts none = { .irq = true, .vectors = 3 };
	unsigned int i, io = 0;
	struct lm_state s;

	if (!open_ends(tap_arg(), &o) || !vf_up(&vf_b, &none))
		return;
	for (i = 0; i < 21; i++)
		EXPECT_EQ(unvme_rw(&drv, 1 + i % 2, true, i * 8, 8), 0, "write");
	if (!vf_suspend(&vf_a))
		return;
	unvme_submit(&drv, 1, &flush, count_done, &io);
	unvme_submit(&drv, 2, &flush, count_done, &io);
	EXPECT_EQ(lm_get(vf_a.pf, vf_a.cntlid, vf_a.pf->csvi, 0, 0, &s), 0, "get");
	if (!vf_suspend(&vf_b))
		return;
	EXPECT_EQ(lm_set(vf_b.pf, vf_b.cntlid, vf_b.pf->csvi, 0, 0, &s), 0, "set");
	lm_state_free(&s);
	for (i = 1; i <= 2; i++) {
		vf_b.u.cqs[i] = drv.cqs[i];
		vf_b.u.sqs[i] = drv.sqs[i];
		vf_b.u.sqs[i].cq = &vf_b.u.cqs[i];
		drv.sqs[i].cmds = NULL;
		drv.sqs[i].live = false;
		drv.cqs[i].live = false;
	}
	vf_resume(&vf_b);
	EXPECT_EQ(unvme_drain(&vf_b.u, 1, 0), 0, "queue 1");
	EXPECT_EQ(unvme_drain(&vf_b.u, 2, 0), 0, "queue 2");
	EXPECT_EQ(io, 2, "commands");
	for (i = 0; i < 21; i++)
		EXPECT_EQ(unvme_rw(&vf_b.u, 1 + i % 2, false, i * 8, 8), 0, "read");
	EXPECT_EQ(unvme_delete_sq(&vf_b.u, 1), 0, "delete SQ");
	EXPECT_EQ(unvme_delete_cq(&vf_b.u, 1), 0, "delete CQ");
	unvme_check_idle(&vf_b.u, 0);
}

/* ---- a state the destination cannot take ---- */

/* The state of vf_a does not go into vf_b, which stays as it is. */
static void expect_refused(const char *what)
{
	struct lm_state s, before, after;
	struct lm_view v;

	if (!vf_suspend(&vf_a) || !vf_get(&vf_a, &s, &v) || !vf_suspend(&vf_b) ||
	    !vf_get(&vf_b, &before, &v))
		return;
	EXPECT(lmt_load(&vf_b.t, &s) > 0, "%s: taken", what);
	if (vf_get(&vf_b, &after, &v)) {
		EXPECT(same_state(&before, &after), "%s: something has changed", what);
		lm_state_free(&after);
	}
	EXPECT_EQ(vdev_read32(&vf_b.dev, NVME_REG_CC), 0, "CC");
	lm_state_free(&before);
	lm_state_free(&s);
}

static bool give(struct lm_pf *pf, int id, u16 queues, u16 vectors)
{
	return EXPECT_EQ(lm_virt_mgmt(pf, id, 7, 0, 0), 0, "offline") &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 0, queues), 0, "queues") &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 1, vectors), 0, "vectors") &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 9, 0, 0), 0, "online");
}

/* The destination has other resources. */
static void test_resources(void)
{
	static const struct unvme_opts o = { .queues = 4, .irq = true };
	static const struct {
		const char *what;
		u16 queues, vectors;
	} has[] = {
		{ "two queues for four", 3, 5 },
		{ "three vectors for five", 5, 3 },
		{ "four vectors for five", 5, 4 },
	};
	struct lm_pf *pf;
	unsigned int i;
	int id;

	if (!open_ends(ACROSS, &o))
		return;
	pf = vf_b.pf;
	id = vf_b.cntlid;
	for (i = 0; i < ARRAY_SIZE(has); i++) {
		vf_close(&vf_b);
		if (!give(pf, id, has[i].queues, has[i].vectors) ||
		    !vf_open(&vf_b, ends[ACROSS][1].pf, ends[ACROSS][1].vfn))
			break;
		expect_refused(has[i].what);
	}
	vf_close(&vf_b);
	give(pf, id, 5, 5);
}

/* Another subsystem, another NQN, another serial number. */
static void test_other_subsystem(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct lm_state s;
	struct lm_view v;

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_up(&vf_a, &o) ||
	    !vf_open(&vf_b, tap_arg() == PF_TP ? PF_VS : PF_TP, 1))
		return;
	if (!vf_suspend(&vf_a) || !vf_get(&vf_a, &s, &v) || !vf_suspend(&vf_b))
		return;
	EXPECT(lmt_load(&vf_b.t, &s) > 0, "the state of another subsystem");
	EXPECT_EQ(vdev_read32(&vf_b.dev, NVME_REG_CC), 0, "CC");
	lm_state_free(&s);
}

static const struct tap_test move_tests[] = {
	{ "load, polled", test_load_polled, ACROSS },
	{ "load, polled, same PF", test_load_polled, SAME_PF },
	{ "load, interrupts", test_load_irq, ACROSS },
	{ "load, shadow doorbells", test_load_shadow, ACROSS },
	{ "load, shadow doorbells, same PF", test_load_shadow, SAME_PF },
	{ "load, interrupts, vendor set", test_load_irq, ACROSS_VENDOR },
	{ "load, shadow doorbells, vendor set", test_load_shadow, SAME_PF_VENDOR },
	{ "doorbells rung meanwhile", test_doorbells, ACROSS },
	{ "doorbells rung meanwhile, shadow", test_doorbells_shadow, ACROSS },
	{ "doorbells rung meanwhile, vendor set", test_doorbells, ACROSS_VENDOR },
	{ "admin doorbell rung meanwhile", test_admin_doorbell, ACROSS },
	{ "admin doorbell rung meanwhile, vendor set", test_admin_doorbell, SAME_PF_VENDOR },
	{ "doorbells rung on the loaded VF", test_doorbells_loaded, SAME_PF },
	{ "entries not consumed", test_unconsumed, ACROSS },
	{ "entries not consumed, vendor set", test_unconsumed, ACROSS_VENDOR },
	{ "masked vector", test_masked, ACROSS },
	{ "masked vector, vendor set", test_masked, ACROSS_VENDOR },
	{ "full completion queue", test_full_cq, ACROSS },
	{ "full completion queue, vendor set", test_full_cq, ACROSS_VENDOR },
	{ "features and registers", test_features, ACROSS },
	{ "features and registers, vendor set", test_features, SAME_PF_VENDOR },
	{ "number of queues stays fixed", test_sticky_queues, ACROSS },
	{ "event requests", test_aers, ACROSS },
	{ "event requests, vendor set", test_aers, ACROSS_VENDOR },
	{ "reported events", test_event_mask, ACROSS },
	{ "controller that is off", test_disabled, ACROSS },
	{ "I/O queues only", test_queues_only, ACROSS },
	{ "event of the suspended time", test_event_meanwhile, ACROSS },
	{ "other resources", test_resources },
	{ "other subsystem", test_other_subsystem, PF_TP },
	{ "other subsystem, vendor set", test_other_subsystem, PF_VS },
};

const struct test_group move_group = { "move", move_tests, ARRAY_SIZE(move_tests) };

static const struct tap_test move_functions_tests[] = {
	{ "move: load, polled", test_load_polled, FUNCTIONS },
	{ "move: load, interrupts", test_load_irq, FUNCTIONS },
	{ "move: load, shadow doorbells", test_load_shadow, FUNCTIONS },
	{ "move: doorbells rung on the loaded function", test_doorbells_loaded, FUNCTIONS },
	{ "move: entries not consumed", test_unconsumed, FUNCTIONS },
	{ "move: masked vector", test_masked, FUNCTIONS },
	{ "move: full completion queue", test_full_cq, FUNCTIONS },
	{ "move: features and registers", test_features, FUNCTIONS },
	{ "move: number of queues stays fixed", test_sticky_queues, FUNCTIONS },
	{ "move: event requests", test_aers, FUNCTIONS },
	{ "move: controller that is off", test_disabled, FUNCTIONS },
	{ "move: I/O queues only", test_queues_only, FUNCTIONS },
};

const struct test_group move_functions_group = {
	"functions", move_functions_tests, ARRAY_SIZE(move_functions_tests)
};
