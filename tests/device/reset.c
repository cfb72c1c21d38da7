// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resets of the VF and of the PF in every situation, and the next tenant of the VF.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

static void expect_running(struct vf *d, const char *what)
{
	if (d->pf->vendor)
		EXPECT(lmt_resume(&d->t) > 0, "%s: still suspended", what);
	else
		EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "%s", what);
}

static void expect_usable(struct vf *d)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };

	unvme_fini(&d->u);
	if (!vf_up(d, &opts))
		return;
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 8, 8), 0, "write");
	EXPECT_EQ(unvme_rw(&d->u, 2, false, 8, 8), 0, "read");
	unvme_check_idle(&d->u, 0);
}

static void test_flr_suspended(void)
{
	struct vf *d = &vf_a;

	if (!vf_start(d, tap_arg(), 1, 2) || !vf_suspend(d))
		return;
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	expect_running(d, "after a function level reset");
	expect_usable(d);
}

static void test_cc_suspended(void)
{
	struct vf *d = &vf_a;
	u64 asq;

	if (!vf_start(d, tap_arg(), 1, 2) || !vf_suspend(d))
		return;
	asq = vdev_read64(&d->dev, NVME_REG_ASQ);
	unvme_disable(&d->u);
	EXPECT_EQ(vdev_read64(&d->dev, NVME_REG_ASQ), asq, "a controller reset keeps ASQ");
	expect_running(d, "after CC.EN=0");
	expect_usable(d);
}

/*
 * Work for seconds, as the namespaces are throttled for the group "draining". The Suspend waits
 * for it until something ends that.
 */
static bool start_long_work(struct vf *d, struct lm_async *a)
{
	static const struct unvme_opts opts = { .queues = 1, .depth = 128 };
	struct nvme_sqe sqe = { .opcode = NVME_IO_READ, .nsid = 1 };
	struct lm_cmd cmd;
	unsigned int i;
	u64 end;
	u8 *buf;

	if (!vf_open(d, tap_arg(), 1) || !vf_up(d, &opts))
		return false;
	if (!EXPECT(d->u.mdts <= 1 << 20, "MDTS %u", d->u.mdts))
		return false;
	buf = arena_alloc(&arena, d->u.mdts);
	sqe.cdw12 = d->u.mdts / d->u.lba_size - 1;
	unvme_set_prp(&d->u, &sqe, buf, d->u.mdts, arena_alloc(&arena, 4096));
	for (i = 0; i < 127; i++)
		unvme_queue_cmd(&d->u, 1, &sqe, NULL, NULL);
	unvme_ring(&d->u, 1);
	/* the first of them is done, so the device has fetched them */
	end = now_ms() + UNVME_TIMEOUT_MS;
	while (!unvme_cq_pending(&d->u, 1) && now_ms() < end)
		sched_yield();
	if (!EXPECT(unvme_cq_pending(&d->u, 1), "no read was completed"))
		return false;
	cmd = lm_suspend_cmd(d->cntlid, LM_SUSPEND, false);
	if (d->pf->vendor)
		cmd = lm_vs_cmd(LM_OP_VS_SUSPEND, d->t.vfn, NULL, 0);
	return EXPECT_EQ(lm_async_start(a, d->pf, cmd), 0, "thread");
}

/* The Suspend must be on its way: a Get answers, and says the VF is not suspended. */
static bool expect_draining(struct vf *d, struct lm_async *a)
{
	static u8 buf[4096] __aligned(4096);
	struct lm_cmd cmd = lm_get_cmd(d->cntlid, d->pf->csvi, 0, 0, buf, LM_HEADER);

	if (!d->pf->vendor) {
		EXPECT_EQ(lm_exec(d->pf, &cmd), 0, "Get while draining");
		EXPECT_EQ(cmd.result & 1, 0, "CSUP while draining");
		EXPECT_EQ(buf[2] & 1, 0, "CSATTR while draining");
		EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED,
			  "Resume while draining");
	}
	return EXPECT(lm_async_pending(a), "the Suspend was over at once: status %#x",
		      lm_async_wait(a, 0));
}

static void check_ended(struct vf *d, struct lm_async *a, const char *what)
{
	int st = lm_async_wait(a, UNVME_TIMEOUT_MS);

	if (!EXPECT(st >= 0, "%s: the Suspend did not end", what))
		exit(2);	/* its thread and its buffer live on */
	tap_note("%s: the Suspend ended with status %#x", what, st);
	EXPECT(st > 0, "%s: the Suspend succeeded though the VF is not suspended", what);
	expect_running(d, what);
	d->u.udrv.faults = 0;
	expect_usable(d);
}

static void test_flr_draining(void)
{
	struct lm_async a;

	if (!start_long_work(&vf_a, &a) || !expect_draining(&vf_a, &a))
		return;
	EXPECT_EQ(vdev_reset(&vf_a.dev), 0, "reset");
	check_ended(&vf_a, &a, "function level reset");
}

static void test_cc_draining(void)
{
	struct lm_async a;

	if (!start_long_work(&vf_a, &a) || !expect_draining(&vf_a, &a))
		return;
	unvme_disable(&vf_a.u);
	check_ended(&vf_a, &a, "CC.EN=0");
}

/* Left alone it ends well, and one VF at work does not hold up another. */
static void test_draining_others(void)
{
	struct lm_async a;
	struct vf *d = &vf_a;

	if (!start_long_work(d, &a) || !expect_draining(d, &a))
		return;
	if (vf_start(&vf_b, tap_arg(), 2, 1)) {
		vf_suspend(&vf_b);
		vf_resume(&vf_b);
		EXPECT_EQ(unvme_rw(&vf_b.u, 1, true, 8, 8), 0, "write on the other VF");
	}
	if (!EXPECT_EQ(lm_async_wait(&a, 4 * UNVME_TIMEOUT_MS), 0, "Suspend"))
		exit(2);
	vf_resume(d);
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	expect_usable(d);
}

/*
 * The VF may not write to memory any more: what is completed until it may is part of its state,
 * and the Suspend ends.
 */
static void test_draining_off_bus(void)
{
	struct vf *d = &vf_a;
	struct lm_async a;

	if (!start_long_work(d, &a) || !expect_draining(d, &a))
		return;
	vdev_bus_master(&d->dev, false);
	if (!EXPECT_EQ(lm_async_wait(&a, 4 * UNVME_TIMEOUT_MS), 0, "Suspend"))
		exit(2);
	EXPECT(cq_entries(&d->u, 1) < 127, "all entries were written");
	vdev_bus_master(&d->dev, true);
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "queue 1");
	EXPECT_EQ(vdev_read32(&d->dev, NVME_REG_CSTS), NVME_CSTS_RDY, "CSTS");
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	expect_usable(d);
}

/* Two Suspends of one VF on their way: both wait. */
static void test_two_waiters(void)
{
	struct lm_async a, b;
	struct vf *d = &vf_a;

	if (!start_long_work(d, &a) || !expect_draining(d, &a))
		return;
	EXPECT_EQ(lm_async_start(&b, d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)), 0,
		  "thread");
	EXPECT(lm_async_pending(&b), "the second Suspend did not wait");
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	EXPECT(lm_async_wait(&b, UNVME_TIMEOUT_MS) > 0, "second Suspend");
	check_ended(d, &a, "function level reset");
}

/* ---- the PF ---- */

/* A reset of the PF ends the suspended state of VFs that it suspended, and a pending Suspend. */
static void test_pf_reset(void)
{
	struct vf *d = &vf_a;

	if (!vf_start(d, tap_arg(), 1, 2) || !vf_suspend(d))
		return;
	if (!pf_restart(tap_arg()))
		return;
	expect_running(d, "after a reset of the PF");
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	expect_usable(d);
}

static void test_pf_reset_draining(void)
{
	struct lm_async a;
	int st;

	if (!start_long_work(&vf_a, &a) || !expect_draining(&vf_a, &a))
		return;
	if (!pf_restart(tap_arg()))
		return;
	st = lm_async_wait(&a, UNVME_TIMEOUT_MS);
	if (!EXPECT(st > 0 || (st < 0 && st != -ETIMEDOUT), "Suspend over a PF reset: %d", st))
		exit(2);
	expect_running(&vf_a, "after a reset of the PF");
	vf_a.u.udrv.faults = 0;
	EXPECT_EQ(vdev_reset(&vf_a.dev), 0, "reset");
	expect_usable(&vf_a);
}

/* The other PF may suspend, too; then its reset counts, not ours. */
static void test_other_pf_reset(void)
{
	struct vf *d = &vf_a;
	struct lm_pf *other = pf_get(PF_TP2);

	if (!other || !vf_start(d, PF_TP, 1, 1))
		return;
	EXPECT_ST(other, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false), LM_SC_OK,
		  "suspend through the other PF");
	if (!pf_restart(PF_TP2))
		return;
	expect_running(d, "after a reset of the PF that suspended it");
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 8, 8), 0, "write afterwards");
}

/* ---- leftovers ---- */

#define TEMP_OVER	0x0170
#define TEMP_UNDER	0x0110
#define NR_FEATURES	6

/* Everything a guest can set. */
static void dirty(struct unvme *u)
{
	static const u8 stamp[8] = { 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12 };
	unsigned int i;

	EXPECT_EQ(unvme_set_features(u, 4, TEMP_OVER, NULL), 0, "over temperature");
	EXPECT_EQ(unvme_set_features(u, 4, TEMP_UNDER | 1 << 20, NULL), 0, "under temperature");
	EXPECT_EQ(unvme_set_features(u, 0x0a, 1, NULL), 0, "write atomicity");
	EXPECT_EQ(unvme_set_features(u, 0x0b, 0x11f, NULL), 0, "event configuration");
	memcpy(u->scratch, stamp, sizeof(stamp));
	EXPECT_EQ(unvme_set_features(u, 0x0e, 0, NULL), 0, "timestamp");
	for (i = 0; i < 3; i++)
		unvme_aer(u, NULL, NULL);
}

/* Features of a VF that nobody has touched since power on. */
static void read_features(struct unvme *u, u32 *f)
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
	EXPECT_EQ(unvme_get_features(u, 0x0a, 0, &f[5]), 0, "write atomicity");
}

static void check_tenant(struct vf *d, const u32 *fresh)
{
	static const struct unvme_opts opts = { .irq = true };
	u32 f[NR_FEATURES];
	int i;

	if (!vf_up(d, &opts))
		return;
	read_features(&d->u, f);
	for (i = 0; i < NR_FEATURES; i++)
		EXPECT_EQ(f[i], fresh[i], "feature value %d", i);
	/* no queue is left, and their number can be chosen again */
	EXPECT_EQ(unvme_set_features(&d->u, 7, 0x10001, NULL), 0, "number of queues");
	/* no event request is left: all of them are free */
	for (i = 0; i <= d->u.id_ctrl[259]; i++)
		unvme_aer(&d->u, NULL, NULL);
	EXPECT_EQ(unvme_get_features(&d->u, 7, 0, NULL), 0, "barrier");
	EXPECT_EQ(d->u.sqs[0].inflight, d->u.id_ctrl[259] + 1, "event requests outstanding");
}

/* VF 4 is never used before, so its features are the defaults. */
static bool fresh_features(struct vf *d, u32 *fresh)
{
	if (!vf_start(d, tap_arg(), 4, 0))
		return false;
	read_features(&d->u, fresh);
	vf_close(d);
	return true;
}

static void test_tenant(void)
{
	struct vf *d = &vf_a;
	u32 fresh[NR_FEATURES];

	if (!fresh_features(&vf_b, fresh) || !vf_start(d, tap_arg(), 3, 2))
		return;
	dirty(&d->u);
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	EXPECT_EQ(vdev_read64(&d->dev, NVME_REG_ASQ), 0, "ASQ");
	EXPECT_EQ(vdev_read64(&d->dev, NVME_REG_ACQ), 0, "ACQ");
	EXPECT_EQ(vdev_read32(&d->dev, NVME_REG_AQA), 0, "AQA");
	EXPECT_EQ(vdev_read32(&d->dev, NVME_REG_CC), 0, "CC");
	unvme_fini(&d->u);
	check_tenant(d, fresh);
}

/* The same when all that came by migration, was never resumed, and is reset. */
static void test_loaded_tenant(void)
{
	struct vf *s = &vf_a, *d = &vf_b;
	struct quiet quiet;
	struct lm_state st, after;
	struct lm_view v;
	u32 fresh[NR_FEATURES];

	if (!fresh_features(d, fresh) || !vf_start(s, tap_arg(), 3, 2))
		return;
	dirty(&s->u);
	if (!vf_suspend(s) || !vf_get(s, &st, &v) || !vf_open(d, tap_arg(), 2))
		return;
	EXPECT_EQ(quiet_start(&quiet, &s->u.udrv), 0, "watch");
	vf_suspend(d);
	EXPECT_EQ(lmt_load(&d->t, &st), 0, "load");
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	expect_running(d, "loaded and reset");
	EXPECT_EQ(quiet_check(&quiet, 300), 0, "silence of a VF that was loaded and reset");
	quiet_end(&quiet);
	lm_state_free(&st);
	EXPECT_EQ(vdev_read32(&d->dev, NVME_REG_CC), 0, "CC");
	EXPECT_EQ(vdev_read64(&d->dev, NVME_REG_ASQ), 0, "ASQ");
	if (!d->pf->vendor) {
		EXPECT_EQ(lm_get(d->pf, d->cntlid, d->pf->csvi, 0, 0, &after), 0, "get");
		EXPECT(!lm_parse(after.data, after.size, &v), "parse");
		EXPECT_EQ(v.nr_sq + v.nr_cq, 0, "queues");
		lm_state_free(&after);
	}
	check_tenant(d, fresh);
}

/* An open sequence does not survive the reset of its target. */
static void test_sequence_reset(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	struct v0 q;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	EXPECT_ST(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_FIRST, d->pf->csvi, 0, 0, s.data, 48),
		  LM_SC_OK, "first");
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	vf_suspend(d);
	EXPECT_ST(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_LAST, d->pf->csvi, 0, 48, s.data + 48, 56),
		  LM_SC_SEQUENCE_ERROR, "last after the reset");
	vf_resume(d);
	lm_state_free(&s);
	expect_usable(d);
}

static const struct tap_test reset_tests[] = {
	{ "FLR of a suspended VF", test_flr_suspended, PF_TP },
	{ "FLR of a suspended VF, vendor set", test_flr_suspended, PF_VS },
	{ "CC.EN=0 of a suspended VF", test_cc_suspended, PF_TP },
	{ "CC.EN=0 of a suspended VF, vendor set", test_cc_suspended, PF_VS },
	{ "PF, with a suspended VF", test_pf_reset, PF_TP },
	{ "PF, with a suspended VF, vendor set", test_pf_reset, PF_VS },
	{ "the other PF that suspended", test_other_pf_reset, PF_TP },
	{ "the next tenant finds nothing", test_tenant, PF_TP },
	{ "the next tenant finds nothing, vendor set", test_tenant, PF_VS },
	{ "nothing loaded survives", test_loaded_tenant, PF_TP },
	{ "nothing loaded survives, vendor set", test_loaded_tenant, PF_VS },
	{ "an open sequence ends", test_sequence_reset, PF_TP },
};

static const struct tap_test reset_draining_tests[] = {
	{ "FLR", test_flr_draining, PF_TP },
	{ "FLR, vendor set", test_flr_draining, PF_VS },
	{ "CC.EN=0", test_cc_draining, PF_TP },
	{ "others are not held up", test_draining_others, PF_TP },
	{ "bus mastering off", test_draining_off_bus, PF_TP },
	{ "two Suspends on their way", test_two_waiters, PF_TP },
	{ "PF reset", test_pf_reset_draining, PF_TP },
};

const struct test_group reset_group = { "reset", reset_tests, ARRAY_SIZE(reset_tests) };

const struct test_group reset_draining_group = {
	"draining", reset_draining_tests, ARRAY_SIZE(reset_draining_tests)
};

static const struct tap_test reset_functions_tests[] = {
	{ "reset: FLR of a suspended function", test_flr_suspended, PF_FN },
	{ "reset: CC.EN=0 of a suspended function", test_cc_suspended, PF_FN },
	{ "reset: the next tenant finds nothing", test_tenant, PF_FN },
	{ "reset: nothing loaded survives", test_loaded_tenant, PF_FN },
};

const struct test_group reset_functions_group = {
	"functions", reset_functions_tests, ARRAY_SIZE(reset_functions_tests)
};
