// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a suspended VF still is: a reset of the PF that the host knows of is a suspicion, the
 * device decides. A migration is neither given up for a hint nor completed on trust.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

static const struct unvme_opts opts = { .queues = 1, .irq = true };

/* The PF of this host through whose fault points an activation of @pf is ended. */
static struct lm_pf *other_pf(int pf)
{
	return pf_get(pf ? 0 : 2);
}

static void check_works(struct vf *v)
{
	struct stream s = { 0 };

	if (go(v, ST_STOP) && vf_save(v, &s) && go(v, ST_RUNNING))
		EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	stream_free(&s);
}

/* ---- the number of resets, which root can write ---- */

static bool write_count(const char *value)
{
	struct lm_pf *pf = pf_get(tap_arg());
	char path[80];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "/sys/class/nvme/%s/diag/reset_count", pf->node + 5);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		tap_skip("kernel that does not count resets");
		return false;
	}
	ok = EXPECT_EQ(write(fd, value, strlen(value)), (ssize_t)strlen(value), "%s", path);
	close(fd);
	return ok;
}

static void test_count_written(void)
{
	struct vf *v = &vf_a;
	struct stream s = { 0 };

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts) || !go(v, ST_STOP))
		return;
	klog_mark();
	if (write_count("77") && vf_save(v, &s) && write_count("0") && go(v, ST_STOP) &&
	    write_count("78") && go(v, ST_RUNNING))
		EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	EXPECT_EQ(klog_count(v->bdf, ""), 0, "lines in the log");
	stream_free(&s);
}

/* The old number is back: the suspended bit shows that the VF ran. */
static void test_count_put_back(void)
{
	struct vf *v = &vf_a;
	struct stream s = { 0 };
	int fd;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts) || !write_count("5") ||
	    !go(v, ST_STOP))
		return;
	/* online again, so that nothing but the device knows that it ran */
	if (pf_reset(tap_arg()) && write_count("5") && pf_provision(tap_arg())) {
		fd = vdev_mig_open(&v->dev, ST_STOP_COPY);
		if (fd >= 0) {
			EXPECT(stream_read(fd, &s, 0), "the stream of a VF that ran");
			close(fd);
		} else {
			EXPECT_EQ(fd, -ENOTCONN, "-> STOP_COPY");
		}
	}
	stream_free(&s);
	v->u.udrv.faults = 0;
	vf_close(v);
}

/* ---- a firmware activation: the PF is "resetting", and is not reset ---- */

static bool begin_activation(void)
{
	struct lm_pf *pf = pf_get(tap_arg());

	return other_pf(tap_arg()) && EXPECT_EQ(lm_activation_begin(pf), 0, "begin") &&
	       lm_wait_ctrl_state(pf, "resetting");
}

static bool end_activation(void)
{
	struct lm_pf *pf = pf_get(tap_arg());

	return EXPECT_EQ(lm_activation_end(other_pf(tap_arg()), pf), 0, "end") &&
	       lm_wait_ctrl_state(pf, "live");
}

/* An arc that is walked while the PF pauses, and waits for it. */
static void check_arc(const struct scene *sc, struct vf *v)
{
	if (!scene_begin(sc, v) || !begin_activation())
		return;
	klog_mark();
	if (actor_start(sc, v))
		actor_waits();
	end_activation();
	EXPECT_EQ(actor_end(), 0, "during the activation");
	EXPECT_EQ(klog_count(v->bdf, ""), 0, "lines in the log");
}

static void test_activation(void)
{
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()))
		return;
	check_arc(test_scene(), v);
	if (scene_fd >= 0) {
		close(scene_fd);
		scene_fd = -1;
	}
	if (vf_state(v) != ST_RUNNING)
		go(v, ST_RUNNING);
	check_works(v);
}

/* It came and went between two arcs. */
static void test_activation_over(void)
{
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts) || !go(v, ST_STOP))
		return;
	klog_mark();
	if (!begin_activation() || !end_activation())
		return;
	check_works(v);
	EXPECT_EQ(klog_count(v->bdf, ""), 0, "lines in the log");
}

/* ---- resets of the PF ---- */

/*
 * The last byte of a stream makes the device take it over; the PF is reset before that. Set is
 * legal for a VF that went offline with its PF: the device says that it took the state.
 */
static void test_load(void)
{
	struct lm_fault f = scene_fault(&scene_write, tap_arg(), LM_ACT_STATUS, 0);
	struct stream s = { 0 };
	struct vf *v = &vf_a;
	int fd;

	f.arg = LM_SC_OK;
	if (!scene_open(v, tap_arg()) || !firmware_stream(tap_arg(), &s) ||
	    !fault_arm(tap_arg(), 0, f))
		return;
	fd = go_fd(v, ST_RESUMING);
	EXPECT_EQ(write(fd, s.data, s.size - 1), (ssize_t)s.size - 1, "write all but a byte");
	if (pf_reset(tap_arg())) {
		EXPECT_EQ(write(fd, s.data + s.size - 1, 1), -1, "write the last byte");
		EXPECT_EQ(errno, ENOTCONN, "write the last byte");
	}
	close(fd);
	EXPECT(vdev_mig_set_state(&v->dev, ST_STOP, NULL), "-> STOP");
	stream_free(&s);
	vf_close(v);
	pf_provision(tap_arg());
}

/* ---- resets of the VF that do nothing ---- */

/* libvfio ends the program if it cannot open a device */
static bool can_open(void)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(!vf_open(&vf_b, tap_arg(), 1));
	EXPECT_EQ(waitpid(pid, &status, 0), pid, "child");
	return !status;
}

static void test_flr_ignored(void)
{
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts) || !go(v, ST_STOP) ||
	    !EXPECT_EQ(lm_fault_resets(pf_get(tap_arg()), LM_IGNORES_FLR), 0, "ignore"))
		return;
	klog_mark();
	vf_reset(v);
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -ENOTCONN, "SET");
	EXPECT_EQ(klog_count(v->bdf, "still suspended after its reset"), 1, "lines in the log");
	check_error_state(v);
	/* nor is it given to the next user as if it were new */
	v->u.udrv.faults = 0;
	vf_close(v);
	klog_mark();
	EXPECT(!can_open(), "opened by the next user");
	EXPECT_EQ(klog_count(v->bdf, "still holds the previous user's state"), 1, "lines");
	fault_clear(tap_arg());
	if (!vf_open(v, tap_arg(), 1))
		return;
	vf_check_usable(v);
	check_works(v);
}

/* One that works costs one question, once. */
static void test_flr_verified(void)
{
	struct lm_fault get = { .opcode = LM_OP_RECV };
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts) || !go(v, ST_STOP) || !vf_reset(v) ||
	    !fault_arm(tap_arg(), 0, get))
		return;
	go(v, ST_P2P);
	go(v, ST_RUNNING);
	go(v, ST_P2P);
	EXPECT_EQ(lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, 0), 1, "questions");
	go(v, ST_RUNNING);
	vf_check_usable(v);
}

static const struct drv_test lost_tests[] = {
	{ "a count of resets that root writes costs nothing", test_count_written, ON_TP },
	{ "a count of resets put back hides no reset", test_count_put_back, ON_TP },
	{ "firmware activation of the PF during Suspend", test_activation, ON_BOTH,
	  .scene = &scene_suspend },
	{ "firmware activation of the PF before a save", test_activation, ON_TP,
	  .scene = &scene_save },
	{ "firmware activation of the PF during a save", test_activation, ON_SPECIAL, SP_SMALL,
	  .scene = &scene_read },
	{ "firmware activation of the PF before Resume", test_activation, ON_TP,
	  .scene = &scene_resume },
	{ "firmware activation of the PF while the VF is stopped", test_activation_over,
	  ON_TP },
	{ "PF reset before the last piece is loaded", test_load, ON_TP },
	{ "reset of the VF that resets nothing", test_flr_ignored, ON_TP },
	{ "reset of the VF that works", test_flr_verified, ON_TP },
};

const struct test_group lost_group = { "lost", lost_tests, ARRAY_SIZE(lost_tests) };
