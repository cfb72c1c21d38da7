// SPDX-License-Identifier: GPL-2.0-only
/*
 * Suspend and Resume on one controller, with work in flight: what is completed, what is kept
 * waiting, and that nothing at all happens in between.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

#define WATCH_MS	300

/* Watch a suspended VF; with its state, whose queues must be where the driver knows them. */
static void check_suspended(struct vf *d, unsigned int held)
{
	struct quiet quiet;
	struct lm_state s;
	struct lm_view v;

	if (!EXPECT_EQ(quiet_start(&quiet, &d->u.udrv), 0, "watch"))
		return;
	EXPECT_EQ(quiet_check(&quiet, WATCH_MS), 0, "silence");
	if (vf_get(d, &s, &v) && !d->pf->vendor) {
		EXPECT_EQ(v.csattr, 1, "CSATTR");
		check_view(&d->u, &v, held);
	}
	EXPECT_EQ(quiet_check(&quiet, 0), 0, "silence during the transfer");
	lm_state_free(&s);
	quiet_end(&quiet);
}

/* ---- under load ---- */

static void load_for(struct unvme *u, unsigned int qd, u32 blocks)
{
	load = (struct load){
		.u = &u->udrv, .units = 128, .unit_blocks = blocks, .qd = qd, .seed = 7,
		.control = true,
	};
	EXPECT_EQ(load_init(&load), 0, "load");
}

static void suspend_under_load(const struct unvme_opts *opts)
{
	struct vf *d = &vf_a;
	int round;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, opts))
		return;
	load_for(&d->u, 12, 32);
	if (!EXPECT_EQ(load_start(&load), 0, "thread"))
		return;
	for (round = 0; round < 4; round++) {
		EXPECT_EQ(load_wait_ops(&load, 50), 0, "round %d", round);
		if (!vf_suspend(d))
			break;
		/* the virtual CPU stops some time after the device did */
		load_pause(&load);
		check_suspended(d, 0);
		if (!vf_resume(d))
			break;
		load_resume(&load);
		if (d->u.udrv.faults || tap_failed())
			break;
	}
	EXPECT_EQ(load_end(&load), 0, "end");
	EXPECT_EQ(load_verify(&load), 0, "verify");
	EXPECT(load.controls > 4, "%lu admin commands", load.controls);
	unvme_check_idle(&d->u, 0);
}

static void test_load_polled(void)
{
	static const struct unvme_opts opts = { .queues = 4 };

	suspend_under_load(&opts);
}

static void test_load_irq(void)
{
	static const struct unvme_opts opts = { .queues = 3, .irq = true, .depth = 32 };

	suspend_under_load(&opts);
}

static void test_load_shadow(void)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true, .dbbuf = true };

	suspend_under_load(&opts);
}

/* Its state may be read while a controller works: nothing is disturbed, and it says so. */
static void test_get_running(void)
{
	static const struct unvme_opts opts = { .queues = 4, .irq = true };
	struct vf *d = &vf_a;
	struct lm_state s;
	struct lm_view v;
	int i;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts))
		return;
	load_for(&d->u, 12, 32);
	if (!EXPECT_EQ(load_start(&load), 0, "thread"))
		return;
	for (i = 0; i < 10 && !tap_failed(); i++) {
		if (vf_get(d, &s, &v)) {
			EXPECT_EQ(v.csattr, 0, "CSATTR of a running controller");
			EXPECT(v.nr_sq == 4 && v.nr_cq == 4, "%u SQs, %u CQs", v.nr_sq, v.nr_cq);
		}
		lm_state_free(&s);
		EXPECT_EQ(load_wait_ops(&load, 20), 0, "round %d", i);
	}
	EXPECT_EQ(load_end(&load), 0, "end");
	EXPECT_EQ(load_verify(&load), 0, "verify");
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "after all that");
	unvme_check_idle(&d->u, 0);
}

/* All that was fetched is completed when the Suspend is, and it stays in memory to be found. */
static void test_drained(void)
{
	static const struct unvme_opts opts = { .queues = 2, .depth = 64 };
	struct nvme_sqe sqe = { .opcode = NVME_IO_READ, .nsid = 1, .cdw12 = 31 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	unsigned int q, i, n;
	struct lm_state s;
	struct lm_view v;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts))
		return;
	unvme_set_prp(u, &sqe, u->scratch, 16384, u->scratch_list);
	for (q = 1; q <= 2; q++) {
		for (i = 0; i < 60; i++)
			unvme_queue_cmd(u, q, &sqe, NULL, NULL);
		unvme_ring(u, q);
	}
	if (!vf_suspend(d) || !vf_get(d, &s, &v))
		return;
	if (!d->pf->vendor)
		check_view(u, &v, 0);
	lm_state_free(&s);
	n = cq_entries(u, 1) + cq_entries(u, 2);
	tap_note("%u of 120 commands were completed by the suspend", n);
	check_suspended(d, 0);
	EXPECT_EQ(cq_entries(u, 1) + cq_entries(u, 2), n, "entries while suspended");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(u, 1, 0), 0, "queue 1");
	EXPECT_EQ(unvme_drain(u, 2, 0), 0, "queue 2");
	unvme_check_idle(u, 0);
}

/* ---- doorbells while suspended ---- */

static void count_done(struct unvme *u, struct unvme_cmd *c)
{
	unsigned int *n = c->priv;

	if (unvme_status(c))
		unvme_fault(u, "status %#x", unvme_status(c));
	(*n)++;
}

/* Rung while suspended: latched, seen by Get, executed after Resume, once. */
static void check_doorbells(const struct unvme_opts *opts)
{
	struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	struct nvme_sqe features = { .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 7 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	unsigned int io = 0, admin = 0;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, opts) || !vf_suspend(d))
		return;
	unvme_submit(u, 1, &flush, count_done, &io);
	unvme_submit(u, 1, &flush, count_done, &io);
	unvme_submit(u, 2, &flush, count_done, &io);
	unvme_submit(u, 0, &features, count_done, &admin);
	unvme_submit(u, 0, &features, count_done, &admin);
	check_suspended(d, 0);
	if (!vf_resume(d))
		return;
	EXPECT_EQ(unvme_drain(u, 0, 0), 0, "admin queue");
	EXPECT_EQ(unvme_drain(u, 1, 0), 0, "queue 1");
	EXPECT_EQ(unvme_drain(u, 2, 0), 0, "queue 2");
	EXPECT_EQ(io, 3, "I/O commands");
	EXPECT_EQ(admin, 2, "admin commands");
	EXPECT_EQ(unvme_rw(u, 1, true, 0, 8), 0, "write afterwards");
	unvme_check_idle(u, 0);
}

static void test_doorbells(void)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };

	check_doorbells(&opts);
}

static void test_doorbells_shadow(void)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true, .dbbuf = true };

	check_doorbells(&opts);
}

/* Admin only: no I/O queue kicks the controller as a side effect. */
static void test_admin_doorbell(void)
{
	static const struct unvme_opts opts = { .irq = true };
	struct nvme_sqe features = { .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 7 };
	struct vf *d = &vf_a;
	unsigned int admin = 0;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts) || !vf_suspend(d))
		return;
	unvme_submit(&d->u, 0, &features, count_done, &admin);
	check_suspended(d, 0);
	EXPECT_EQ(admin, 0, "early");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 0, 0), 0, "admin queue");
	EXPECT_EQ(admin, 1, "commands");
}

/* ---- registers while suspended ---- */

static void test_registers(void)
{
	struct vf *d = &vf_a;
	struct vdev *v = &vf_a.dev;
	u64 cap, asq;
	u32 cc, vs;

	if (!vf_start(d, tap_arg(), 1, 1))
		return;
	cap = vdev_read64(v, NVME_REG_CAP);
	asq = vdev_read64(v, NVME_REG_ASQ);
	cc = vdev_read32(v, NVME_REG_CC);
	vs = vdev_read32(v, NVME_REG_VS);
	if (!vf_suspend(d))
		return;
	EXPECT_EQ(vdev_read64(v, NVME_REG_CAP), cap, "CAP");
	EXPECT_EQ(vdev_read64(v, NVME_REG_ASQ), asq, "ASQ");
	EXPECT_EQ(vdev_read32(v, NVME_REG_CC), cc, "CC");
	EXPECT_EQ(vdev_read32(v, NVME_REG_VS), vs, "VS");
	EXPECT_EQ(vdev_read32(v, NVME_REG_CSTS), NVME_CSTS_RDY, "CSTS");
	vf_resume(d);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write afterwards");
}

/* Suspended at CC.EN=0, enabled meanwhile: quiet until Resume, ready then at the latest. */
static void test_enable_suspended(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct quiet quiet;
	u64 end;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts))
		return;
	unvme_disable(u);
	if (!vf_suspend(d))
		return;
	EXPECT_EQ(quiet_start(&quiet, &u->udrv), 0, "watch");
	vdev_write32(&d->dev, NVME_REG_CC, NVME_CC_DEFAULT | NVME_CC_EN);
	EXPECT_EQ(quiet_check(&quiet, WATCH_MS), 0, "silence");
	quiet_end(&quiet);
	EXPECT_EQ(vdev_read32(&d->dev, NVME_REG_CC), NVME_CC_DEFAULT | NVME_CC_EN, "CC");
	vf_resume(d);
	end = now_ms() + UNVME_TIMEOUT_MS;
	while (!(vdev_read32(&d->dev, NVME_REG_CSTS) & NVME_CSTS_RDY) && now_ms() < end)
		;
	EXPECT_EQ(vdev_read32(&d->dev, NVME_REG_CSTS), NVME_CSTS_RDY, "CSTS after Resume");
}

/* ---- events ---- */

static void got_event(struct unvme *u, struct unvme_cmd *c)
{
	u32 *event = c->priv;

	*event = c->cqe.result | 1u << 31;
}

/* Requests do not keep a Suspend from finishing; an event of the time waits for Resume. */
static void test_events(void)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	u32 event[2] = { 0 };

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts))
		return;
	unvme_aer(u, got_event, &event[0]);
	unvme_aer(u, got_event, &event[1]);
	EXPECT_EQ(unvme_get_features(u, 7, 0, NULL), 0, "barrier");
	if (!vf_suspend(d))
		return;
	check_suspended(d, 0);
	/* a doorbell value outside the queue is an error event */
	vdev_write32(&d->dev, NVME_REG_DBS + 2 * u->dstrd, 0xffff);
	check_suspended(d, 0);
	EXPECT(!event[0] && !event[1], "event while suspended");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(u, 0, 1), 0, "the event after Resume");
	EXPECT((event[0] | event[1]) >> 31, "no event");
	EXPECT_EQ((event[0] | event[1]) & 7, 0, "type of event");
}

/* ---- interrupts that are owed ---- */

static bool fired(struct unvme *u, unsigned int vector)
{
	u64 count;

	return read(u->udrv.evfds[vector], &count, sizeof(count)) == sizeof(count);
}

static bool wait_fired(struct unvme *u, unsigned int vector)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;

	while (now_ms() < end)
		if (fired(u, vector))
			return true;
	return false;
}

static bool wait_entry(struct unvme *u, u16 cqid)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;

	while (!unvme_cq_pending(u, cqid) && now_ms() < end)
		;
	return EXPECT(unvme_cq_pending(u, cqid), "CQ %u: no entry", cqid);
}

/* The vector is masked when the command completes; unmasked after Resume it must fire. */
static void test_masked_vector(void)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };
	struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	unsigned int n = 0;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts))
		return;
	vdev_mask_vector(&d->dev, 1, true);
	unvme_submit(u, 1, &flush, count_done, &n);
	if (!wait_entry(u, 1))
		return;
	EXPECT(!fired(u, 1), "masked vector fired");
	if (!vf_suspend(d))
		return;
	check_suspended(d, 0);
	vdev_mask_vector(&d->dev, 1, false);
	check_suspended(d, 0);
	vf_resume(d);
	EXPECT_EQ(unvme_drain(u, 1, 0), 0, "interrupt after Resume");
	EXPECT_EQ(n, 1, "commands");
}

/* The interrupt came, but its entries were not taken yet: it comes again. */
static void test_unconsumed(void)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };
	struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	unsigned int n = 0;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts))
		return;
	unvme_submit(u, 1, &flush, count_done, &n);
	EXPECT(wait_fired(u, 1), "no interrupt");
	if (!wait_entry(u, 1) || !vf_suspend(d))
		return;
	check_suspended(d, 0);
	vf_resume(d);
	EXPECT_EQ(unvme_drain(u, 1, 0), 0, "interrupt after Resume");
	EXPECT_EQ(n, 1, "commands");
}

/* ---- a completion queue that is full ---- */

/* Its completions are held back, the Suspend finishes all the same, and none is lost. */
static void test_full_cq(void)
{
	static const struct unvme_opts opts = { .irq = true, .vectors = 2 };
	struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	unsigned int i, n = 0;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts))
		return;
	EXPECT_EQ(unvme_create_cq(u, 1, 4, 1), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(u, 1, 16, 1), 0, "SQ");
	for (i = 0; i < 10; i++)
		unvme_queue_cmd(u, 1, &flush, count_done, &n);
	unvme_ring(u, 1);
	while (cq_entries(u, 1) < 3)
		;
	if (!vf_suspend(d))
		return;
	EXPECT_EQ(cq_entries(u, 1), 3, "entries in a queue of four");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 10, "commands");
	unvme_check_idle(u, 0);
}

/* Two submission queues on one completion queue. */
static void test_shared_cq(void)
{
	static const struct unvme_opts opts = { .irq = true, .vectors = 2 };
	struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	unsigned int i, n = 0;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts))
		return;
	EXPECT_EQ(unvme_create_cq(u, 2, 32, 1), 0, "CQ 2");
	EXPECT_EQ(unvme_create_sq(u, 1, 8, 2), 0, "SQ 1");
	EXPECT_EQ(unvme_create_sq(u, 4, 16, 2), 0, "SQ 4");
	for (i = 0; i < 7; i++) {
		unvme_submit(u, 1, &flush, count_done, &n);
		unvme_submit(u, 4, &flush, count_done, &n);
	}
	if (!vf_suspend(d))
		return;
	check_suspended(d, 0);
	vf_resume(d);
	EXPECT_EQ(unvme_drain(u, 1, 0), 0, "SQ 1");
	EXPECT_EQ(unvme_drain(u, 4, 0), 0, "SQ 4");
	EXPECT_EQ(n, 14, "commands");
	unvme_check_idle(u, 0);
}

static void test_disabled(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	struct lm_view v;

	if (!vf_open(d, tap_arg(), 1) || !vf_suspend(d) || !vf_get(d, &s, &v))
		return;
	if (!d->pf->vendor)
		EXPECT_EQ(v.nr_sq + v.nr_cq, 0, "queues of a controller that is off");
	lm_state_free(&s);
	vf_resume(d);
}

/* ---- bus mastering ---- */

/* A VF that may not access memory waits: it does not fail, and nothing is lost. */
static void check_off_bus(struct vf *d, const char *when)
{
	struct quiet quiet;

	if (!EXPECT_EQ(quiet_start(&quiet, &d->u.udrv), 0, "watch"))
		return;
	EXPECT_EQ(quiet_check(&quiet, WATCH_MS), 0, "%s: silence", when);
	quiet_end(&quiet);
	EXPECT_EQ(vdev_read32(&d->dev, NVME_REG_CSTS), NVME_CSTS_RDY, "%s: CSTS", when);
}

static void check_bus_master(const struct unvme_opts *opts, bool suspended)
{
	struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	struct nvme_sqe features = { .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 7 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	unsigned int io = 0, admin = 0, i;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, opts))
		return;
	vdev_bus_master(&d->dev, false);
	for (i = 0; i < 4; i++)
		unvme_submit(u, 1 + i % 2, &flush, count_done, &io);
	unvme_submit(u, 0, &features, count_done, &admin);
	check_off_bus(d, "running");
	if (suspended && vf_suspend(d) && vf_resume(d))
		check_off_bus(d, "resumed");
	EXPECT_EQ(io + admin, 0, "commands");
	vdev_bus_master(&d->dev, true);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(unvme_drain(u, i, 0), 0, "queue %u", i);
	EXPECT_EQ(io, 4, "I/O commands");
	EXPECT_EQ(admin, 1, "admin commands");
	EXPECT_EQ(unvme_rw(u, 1, true, 0, 8), 0, "write afterwards");
	unvme_check_idle(u, 0);
}

static void test_bus_master(void)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };

	check_bus_master(&opts, false);
	vf_close(&vf_a);
	check_bus_master(&opts, true);
}

static void test_bus_master_shadow(void)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true, .dbbuf = true };

	check_bus_master(&opts, true);
}

static const struct tap_test suspend_tests[] = {
	{ "under load, polled", test_load_polled, PF_TP },
	{ "under load, interrupts", test_load_irq, PF_TP },
	{ "under load, shadow doorbells", test_load_shadow, PF_TP },
	{ "under load, vendor set", test_load_irq, PF_VS },
	{ "not needed to read the state", test_get_running, PF_TP },
	{ "fetched commands are completed", test_drained, PF_TP },
	{ "fetched commands are completed, vendor set", test_drained, PF_VS },
	{ "doorbells rung meanwhile", test_doorbells, PF_TP },
	{ "doorbells rung meanwhile, shadow", test_doorbells_shadow, PF_TP },
	{ "doorbells rung meanwhile, vendor set", test_doorbells, PF_VS },
	{ "admin doorbell rung meanwhile", test_admin_doorbell, PF_TP },
	{ "admin doorbell rung meanwhile, vendor set", test_admin_doorbell, PF_VS },
	{ "registers", test_registers, PF_TP },
	{ "CC.EN 0 to 1", test_enable_suspended, PF_TP },
	{ "event requests and events", test_events, PF_TP },
	{ "masked vector", test_masked_vector, PF_TP },
	{ "entries not consumed", test_unconsumed, PF_TP },
	{ "full completion queue", test_full_cq, PF_TP },
	{ "full completion queue, vendor set", test_full_cq, PF_VS },
	{ "two SQs on one CQ", test_shared_cq, PF_TP },
	{ "without bus mastering", test_bus_master, PF_TP },
	{ "without bus mastering, shadow", test_bus_master_shadow, PF_TP },
	{ "controller that is off", test_disabled, PF_TP },
	{ "controller that is off, vendor set", test_disabled, PF_VS },
};

const struct test_group suspend_group = { "suspend", suspend_tests, ARRAY_SIZE(suspend_tests) };

static const struct tap_test suspend_functions_tests[] = {
	{ "suspend: under load, interrupts", test_load_irq, PF_FN },
	{ "suspend: under load, shadow doorbells", test_load_shadow, PF_FN },
	{ "suspend: not needed to read the state", test_get_running, PF_FN },
	{ "suspend: doorbells rung meanwhile", test_doorbells, PF_FN },
	{ "suspend: admin doorbell rung meanwhile", test_admin_doorbell, PF_FN },
	{ "suspend: registers", test_registers, PF_FN },
	{ "suspend: CC.EN 0 to 1", test_enable_suspended, PF_FN },
	{ "suspend: event requests and events", test_events, PF_FN },
	{ "suspend: masked vector", test_masked_vector, PF_FN },
	{ "suspend: full completion queue", test_full_cq, PF_FN },
	{ "suspend: without bus mastering", test_bus_master, PF_FN },
	{ "suspend: controller that is off", test_disabled, PF_FN },
};

const struct test_group suspend_functions_group = {
	"functions", suspend_functions_tests, ARRAY_SIZE(suspend_functions_tests)
};
