// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that differ if the specification leaves a choice. On a machine of their own: PF 0
 * moves I/O queues only, PF 1 does nothing for a VF that is off, PF 2 disables a VF by SAVE_DATA,
 * PF 3 lets a Suspend wait for a full completion queue.
 */
#include <stdlib.h>
#include <string.h>

#include "device.h"

enum { QUEUES_ONLY, ENABLED_ONLY, SAVE_DISABLES, NO_HOLD };

static const struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };

static void count_done(struct unvme *u, struct unvme_cmd *c)
{
	unsigned int *n = c->priv;

	if (unvme_status(c))
		unvme_fault(u, "status %#x", unvme_status(c));
	(*n)++;
}

/* ---- I/O queues only ---- */

static void test_queues_only_formats(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	u8 buf[4096];
	struct v0 q;

	if (!vf_start(d, QUEUES_ONLY, 1, 0))
		return;
	EXPECT_EQ(lm_identify(d->pf, 0x20, 0, buf), 0, "CNS 20h");
	EXPECT_EQ(buf[1], 0, "NUUID");
	EXPECT(d->pf->csvi, "version 0 is not there");
	EXPECT_ST(d->pf, lm_get_cmd(d->cntlid, d->pf->csvi, 1, 0, buf, 48), LM_SC_INVALID_FIELD,
		  "Get with CSUUIDI 1");
	vf_suspend(d);
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	EXPECT_ST(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, d->pf->csvi, 1, 0, s.data, s.size),
		  LM_SC_INVALID_FIELD, "Set with CSUUIDI 1");
	lm_state_free(&s);
	EXPECT_EQ(v0_set(d, &q), 0, "Set of queues");
	vf_resume(d);
	v0_adopt(&q, &d->u);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write on the loaded queue");
}

/* ---- nothing for a VF that is off ---- */

static void test_enabled_only(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	static u8 buf[4096] __aligned(4096);
	struct vf *d = &vf_a;
	struct v0 q;

	if (!vf_start(d, ENABLED_ONLY, 1, 0))
		return;
	v0_init(&q, &d->u);
	unvme_disable(&d->u);
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false), LM_SC_INVALID_CTRL,
		  "Suspend");
	EXPECT_ST(d->pf, lm_get_cmd(d->cntlid, d->pf->csvi, 0, 0, buf, 48), LM_SC_INVALID_CTRL,
		  "Get");
	EXPECT_EQ(v0_set(d, &q), LM_SC_INVALID_CTRL, "Set");
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "Resume");

	unvme_fini(&d->u);
	arena_reset(&arena);
	if (!vf_up(d, &opts))
		return;
	vf_suspend(d);
	EXPECT_ST(d->pf, lm_get_cmd(d->cntlid, d->pf->csvi, 0, 0, buf, 48), 0, "Get, enabled");
	vf_resume(d);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write");
}

/* ---- SAVE_DATA that disables ---- */

static void check_saved(struct vf *from, struct vf *to)
{
	struct unvme *u = &from->u;
	unsigned int n = 0;
	struct lm_state s;

	EXPECT_EQ(unvme_rw(u, 1, true, 0, 8), 0, "write");
	if (!vf_suspend(from))
		return;
	unvme_submit(u, 1, &flush, count_done, &n);
	if (!EXPECT_EQ(lmt_save(&from->t, &s), 0, "save"))
		return;
	EXPECT_EQ(vdev_read32(&from->dev, NVME_REG_CC) & NVME_CC_EN, 0, "CC.EN after the save");
	EXPECT_EQ(vdev_read32(&from->dev, NVME_REG_CSTS) & NVME_CSTS_RDY, 0, "CSTS.RDY");
	EXPECT(lmt_resume(&from->t) > 0, "Resume of a disabled VF");
	EXPECT_EQ(n, 0, "command while suspended");
	if (to != from)
		unvme_move(u, &to->dev);
	EXPECT_EQ(lmt_load(&to->t, &s), 0, "load");
	lm_state_free(&s);
	vf_resume(to);
	EXPECT_EQ(unvme_drain(u, 1, 0), 0, "the command rung before the save");
	EXPECT_EQ(n, 1, "commands");
	EXPECT_EQ(unvme_rw(u, 2, false, 0, 8), 0, "read");
	unvme_check_idle(u, 0);
}

static void test_save_disables(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };

	if (!vf_open(&vf_a, SAVE_DISABLES, 1) || !vf_up(&vf_a, &o))
		return;
	check_saved(&vf_a, &vf_a);
}

static void test_save_disables_move(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };

	if (!vf_open(&vf_a, SAVE_DISABLES, 1) || !vf_up(&vf_a, &o) ||
	    !vf_open(&vf_b, SAVE_DISABLES, 2))
		return;
	check_saved(&vf_a, &vf_b);
}

/* ---- a Suspend that waits for room in a completion queue ---- */

static bool start_full(struct vf *d, int pf, struct lm_async *a, unsigned int *n)
{
	struct unvme *u = &d->u;
	unsigned int i;

	if (!vf_start(d, pf, 1, 0))
		return false;
	EXPECT_EQ(unvme_create_cq(u, 1, 4, UNVME_POLLED), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(u, 1, 16, 1), 0, "SQ");
	for (i = 0; i < 10; i++)
		unvme_queue_cmd(u, 1, &flush, count_done, n);
	unvme_ring(u, 1);
	while (cq_entries(u, 1) < 3)
		;
	return EXPECT_EQ(lm_async_start(a, d->pf,
					lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)), 0, "thread");
}

/*
 * Give the Suspend the time in which another VF is suspended and resumed; it must not have ended
 * by then, and the other VF not have waited for it.
 */
static void expect_waiting(struct lm_async *a, int pf)
{
	if (vf_start(&vf_b, pf, 2, 1)) {
		vf_suspend(&vf_b);
		vf_resume(&vf_b);
		EXPECT_EQ(unvme_rw(&vf_b.u, 1, true, 0, 8), 0, "write on another VF");
	}
	EXPECT(lm_async_pending(a), "the Suspend did not wait: %#x", lm_async_wait(a, 0));
}

static void test_full_waits(void)
{
	unsigned int n = 0;
	struct lm_async a;
	struct vf *d = &vf_a;

	if (!start_full(d, tap_arg(), &a, &n))
		return;
	expect_waiting(&a, tap_arg());
	/* room is made, step by step, and the Suspend ends */
	while (lm_async_pending(&a))
		unvme_wait(&d->u, 10);
	EXPECT_EQ(lm_async_wait(&a, UNVME_TIMEOUT_MS), 0, "Suspend");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 10, "commands");
	unvme_check_idle(&d->u, 0);
}

static void test_full_reset(void)
{
	unsigned int n = 0;
	struct lm_async a;
	struct vf *d = &vf_a;
	int st;

	if (!start_full(d, tap_arg(), &a, &n))
		return;
	expect_waiting(&a, tap_arg());
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	st = lm_async_wait(&a, UNVME_TIMEOUT_MS);
	if (!EXPECT(st > 0, "Suspend: %d", st))
		exit(2);
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "after the reset");
}

/* The administrator changes how the device treats a full queue while a Suspend waits. */
static void test_full_switched(void)
{
	unsigned int n = 0;
	struct lm_async a;
	struct vf *d = &vf_a;

	if (!start_full(d, NO_HOLD, &a, &n))
		return;
	expect_waiting(&a, NO_HOLD);
	tap_note("monitor: qom-set /machine/peripheral/nv%d lm-hold-cqes true", NO_HOLD);
	EXPECT_EQ(lm_async_wait(&a, UNVME_TIMEOUT_MS), 0, "Suspend");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 10, "commands");
}

static const struct tap_test variant_tests[] = {
	{ "I/O queues only", test_queues_only_formats },
	{ "I/O queues only, full queue", test_full_waits, QUEUES_ONLY },
	{ "nothing for a VF that is off", test_enabled_only },
	{ "SAVE disables, loaded again", test_save_disables },
	{ "SAVE disables, loaded elsewhere", test_save_disables_move },
	{ "full queue keeps Suspend waiting", test_full_waits, NO_HOLD },
	{ "full queue and a reset", test_full_reset, NO_HOLD },
	/* the last one, because it changes the device */
	{ "full queue, switched to hold its completions", test_full_switched },
};

const struct test_group variant_group = { "variant", variant_tests, ARRAY_SIZE(variant_tests) };
