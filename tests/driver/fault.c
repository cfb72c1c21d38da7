// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes wrong: suspends that do not end, a PF that is reset or taken away, resets and closes at
 * the worst moment.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static const struct unvme_opts small_opts = { .queues = 1, .irq = true };

/* ---- the PF is reset ---- */

/* The VF ran meanwhile, or was reset: nobody may take it for suspended. */
static void pf_reset_in(struct vf *v, u32 state, struct stream *s)
{
	struct stream rest;
	int err, fd = -1;

	if (!vf_open(v, tap_arg(), 1) || (state != ST_RESUMING && !vf_up(v, &small_opts)))
		return;
	if (state == ST_STOP_COPY || state == ST_RESUMING)
		fd = go_fd(v, state);
	else
		go(v, state);
	if (!pf_reset(tap_arg()))
		return;
	if (state == ST_STOP_COPY) {
		err = stream_read(fd, &rest, 0);
		EXPECT(err, "%zu bytes could be read", rest.size);
		stream_free(&rest);
	} else if (state == ST_RESUMING) {
		EXPECT(stream_write(fd, s, 0), "the stream could be written");
	}
	if (fd >= 0)
		close(fd);
	EXPECT(vdev_mig_set_state(&v->dev, ST_RUNNING, NULL), "%s -> RUNNING",
	       mig_state_name(state));
	EXPECT(vf_state(v) != ST_RUNNING, "RUNNING");
	if (state != ST_RESUMING)
		EXPECT(vdev_mig_set_state(&v->dev, ST_STOP_COPY, NULL), "-> STOP_COPY");
	vf_reset(v);
	vf_close(v);
	pf_provision(tap_arg());
}

static void test_pf_reset(void)
{
	static const u32 states[] = { ST_P2P, ST_STOP, ST_STOP_COPY, ST_RESUMING };
	struct vf *v = &vf_a;
	struct stream s;
	unsigned int i;

	if (!firmware_stream(tap_arg(), &s))
		return;
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		/* the data of SAVE is in memory, and before 7.0 nothing shows the reset */
		if (states[i] == ST_STOP_COPY && tap_arg() == 2 && !counts_pf_resets())
			continue;
		arena_reset(&arena);
		pf_reset_in(v, states[i], &s);
		if (tap_failed())
			tap_note("with the VF in %s", mig_state_name(states[i]));
	}
	stream_free(&s);
	pf_provision(tap_arg());
	if (vf_open(v, tap_arg(), 1))
		vf_check_usable(v);
	pf_check(tap_arg());
}

/* ERROR is entered when the loss is noticed, and only a reset leaves it. */
static void test_pf_reset_error(void)
{
	struct vf *v = &vf_a;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &small_opts) || !go(v, ST_STOP) ||
	    !pf_reset(tap_arg()))
		return;
	/* if the kernel does not count resets, the VF is found offline, as its PF was reset */
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP_COPY, NULL),
		  counts_pf_resets() ? -ENOTCONN : -ENODEV, "STOP_COPY");
	if (!counts_pf_resets())
		EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_RUNNING, NULL), -EREMOTEIO, "RUNNING");
	check_error_state(v);
	vf_reset(v);
	vf_close(v);
	pf_provision(tap_arg());
	if (vf_open(v, tap_arg(), 1))
		vf_check_usable(v);
}

/* A VF that is not suspended minds only that it is offline. */
static void test_pf_reset_running(void)
{
	struct vf *v = &vf_a;

	if (!vf_open(v, tap_arg(), 1) || !pf_reset(tap_arg()))
		return;
	vf_expect_state(v, ST_RUNNING);
	if (pf_provision(tap_arg()) && vf_reset(v))
		vf_check_usable(v);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
}

/* ---- the PF is taken away ---- */

/* Without its PF a VF is a function like others. */
static void test_pf_unbind(void)
{
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct vf *v = &vf_a;

	if (!bdf || !load_module() || !EXPECT_EQ(pf_unbind(tap_arg()), 0, "unbind the PF"))
		return;
	klog_mark();
	EXPECT_EQ(bind_to(bdf, DRIVER), 0, "bind");
	EXPECT_EQ(klog_count(bdf, "PF is not bound to nvme"), 1, "line in the log");
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind the VF");
	if (pf_bind(tap_arg()) && vf_open(v, tap_arg(), 1))
		vf_check_usable(v);
}

/* What raw commands of the PF see of a VF that was reset: it runs, and has no queues. */
static void check_raw_reset(int pf_nr, unsigned int vfn)
{
	struct lm_pf *pf = pf_get(pf_nr);
	struct lm_target t;
	struct lm_state s;
	struct lm_view v;

	if (!pf || !EXPECT_EQ(lmt_init(&t, pf, vfn), 0, "controller id"))
		return;
	EXPECT_EQ(lmt_resume(&t), pf->vendor ? LM_SC_SEQUENCE_ERROR : LM_SC_NOT_SUSPENDED,
		  "Resume of a VF that was reset");
	if (pf->vendor || !EXPECT_EQ(lm_get(pf, t.cntlid, pf->csvi, 0, 0, &s), 0, "get"))
		return;
	EXPECT(!lm_parse(s.data, s.size, &v), "parse");
	EXPECT_EQ(v.nr_sq + v.nr_cq, 0, "queues of a VF that was reset");
	lm_state_free(&s);
}

/* The same after every way to close, without an open in between, which would reset it as well. */
static void test_closed_raw(void)
{
	static const u32 states[] = { ST_RUNNING, ST_STOP, ST_STOP_COPY };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		if (!vf_open(&vf_a, tap_arg(), 1) || !vf_up(&vf_a, &small_opts))
			return;
		go(&vf_a, states[i]);
		vf_close(&vf_a);
		check_raw_reset(tap_arg(), 1);
	}
}

static const struct drv_test fault_tests[] = {
	{ "close leaves nothing in the device", test_closed_raw, ON_BOTH },
	{ "PF reset while suspended", test_pf_reset, ON_BOTH },
	{ "PF reset while suspended, ERROR", test_pf_reset_error, ON_TP },
	{ "PF reset while running", test_pf_reset_running, ON_BOTH },
	{ "PF unbound", test_pf_unbind, ON_BOTH },
};

const struct test_group fault_group = { "fault", fault_tests, ARRAY_SIZE(fault_tests) };
