// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands that the device does not answer, each that the driver sends: they are aborted after
 * their time, or given up if the device does not abort them either, cut by a reset, a close, a
 * fatal signal, a reset or the loss of the PF; what is given up is in nobody's way but its own
 * VF's, and its late answer does no harm.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

#define SHORT_MS	"100"
#define LONG_MS		"600000"

static const struct unvme_opts opts = { .queues = 1, .irq = true };

static bool is_size(const struct scene *sc)
{
	return sc == &scene_size || sc == &scene_size_running;
}

static bool vendor(void)
{
	return pf_get(tap_arg())->vendor;
}

/* What the call answers when the command ended with an error; a size is the last one known. */
static int wanted(const struct scene *sc, int err)
{
	return is_size(sc) ? 0 : -err;
}

/* ---- given up after their time ---- */

/* Commands that only ask leave a state that is known. */
static u32 state_after(const struct scene *sc)
{
	if (is_size(sc) || sc == &scene_list || sc == &scene_read || sc == &scene_write ||
	    (sc == &scene_save && !vendor()))
		return sc->from;
	return ST_ERROR;
}

static void check_line(const struct scene *sc, struct vf *v)
{
	char line[128];

	if (sc == &scene_list)
		snprintf(line, sizeof(line), "%s: ", scene_what(sc, v->pf_nr));
	else
		snprintf(line, sizeof(line), "%s of controller %d: ", scene_what(sc, v->pf_nr),
			 lm_cntlid(pf_get(v->pf_nr), v->vfn));
	EXPECT_EQ(klog_count_err(v->bdf, line, ETIMEDOUT), 1, "'%s'", line);
}

/* A transfer that failed stays failed. */
static void check_failed_file(const struct scene *sc, struct vf *v)
{
	char byte = 0;

	if (sc == &scene_write) {
		EXPECT(write(scene_fd, &byte, 1) == -1 && errno == ETIMEDOUT, "write again");
		EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -ETIMEDOUT, "SET");
		vf_expect_state(v, ST_ERROR);
	}
	if (sc == &scene_read) {
		EXPECT(read(scene_fd, &byte, 1) == -1 && errno == ETIMEDOUT, "read again");
		go(v, ST_STOP);
		close(scene_fd);
		scene_fd = -1;
	}
}

/* Until it is answered the VF gets no other command. */
static void check_orphan(const struct scene *sc, struct vf *v)
{
	u64 size = 0;

	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "size");
	check_failed_file(sc, v);
	if (sc == &scene_size_running) {
		refuse_set(v, ST_P2P, EBUSY);
		EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write meanwhile");
	} else if (sc != &scene_write) {
		refuse_set(v, ST_STOP_COPY, EBUSY);
		refuse_set(v, ST_RESUMING, EBUSY);
	}
}

static void check_other(unsigned int vfn)
{
	struct vf *v = &vf_b;

	if (vf_open(v, tap_arg(), vfn) && vf_up(v, &opts) && go(v, ST_STOP_COPY) &&
	    go(v, ST_RUNNING))
		EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write on another VF");
	vf_close(v);
}

static void check_works(struct vf *v)
{
	vf_check_usable(v);
	if (go(v, ST_STOP_COPY) && go(v, ST_RUNNING))
		EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write after a stop");
}

/* What was given up is no longer in the way: the VF goes on from where it is. */
static void check_goes_on(const struct scene *sc, struct vf *v)
{
	if (vf_state(v) == ST_ERROR) {
		if (scene_again(v))
			check_works(v);
		return;
	}
	if (sc == &scene_read)
		scene_fd = go_fd(v, ST_STOP_COPY);
	scene_finish(sc, v);
}

static bool give_up(const struct scene *sc, struct vf *v)
{
	if (!scene_begin(sc, v) || !fault_hold(sc, tap_arg(), false) || !set_timeouts(SHORT_MS))
		return false;
	klog_mark();
	EXPECT_EQ(sc->act(v), wanted(sc, ETIMEDOUT), "%s", scene_what(sc, v->pf_nr));
	vf_expect_state(v, state_after(sc));
	return set_timeouts(LONG_MS) && EXPECT_EQ(nr_held(tap_arg()), 1, "held");
}

static void test_timeout(void)
{
	const struct scene *sc = test_scene();
	struct vf *v = &vf_a;
	struct lm_pf *pf;

	/* a fresh limit of lines in the log */
	if (!reload_module() || !scene_open(v, tap_arg()) || !give_up(sc, v))
		return;
	check_line(sc, v);
	expect_debugfs_begin(v->bdf, "command given up", "opcode 0x");
	pf = pf_get(tap_arg());
	if (state_after(sc) == ST_ERROR)
		check_error_state(v);
	else
		check_orphan(sc, v);
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_MATCHED, 0), 1, "commands");
	check_other(2);
	pf_check(tap_arg());
	EXPECT_EQ(nr_held(tap_arg()), 1, "held");
	fault_release(tap_arg());
	check_goes_on(sc, v);
	expect_debugfs(v->bdf, "command given up", "none");
	pf_check_no_reset(tap_arg());
}

/* ---- aborted after their time ---- */

/* A Suspend that is aborted may have been executed: it is undone, and the VF is known to run. */
static void check_aborted_suspend(struct vf *v)
{
	EXPECT_EQ(lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, 1), 1, "Resumes");
	EXPECT_EQ(klog_count(v->bdf, "aborted, VF did not stop in time and goes on"), 1,
		  "lines in the log");
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write");
}

/* A device that takes Abort: the VF gets the next command at once. */
static void check_aborted(const struct scene *sc, bool execute)
{
	struct lm_fault hold = scene_fault(sc, tap_arg(), LM_ACT_HOLD, 1);
	bool suspend = sc == &scene_suspend;
	struct vf *v = &vf_a;

	hold.execute = execute;
	if (!reload_module() || !scene_open(v, tap_arg()) || !scene_begin(sc, v) ||
	    !fault_arm(tap_arg(), 0, hold) ||
	    !fault_arm(tap_arg(), 1, scene_fault(&scene_resume, tap_arg(), LM_ACT_COUNT, 0)) ||
	    !set_timeouts(SHORT_MS))
		return;
	klog_mark();
	EXPECT_EQ(sc->act(v), wanted(sc, suspend ? EAGAIN : ETIMEDOUT), "%s",
		  scene_what(sc, v->pf_nr));
	set_timeouts(LONG_MS);
	EXPECT_EQ(nr_held(tap_arg()), 0, "held");
	expect_debugfs(v->bdf, "command given up", "none");
	vf_expect_state(v, suspend ? ST_RUNNING : state_after(sc));
	if (suspend)
		check_aborted_suspend(v);
	check_failed_file(sc, v);
	check_goes_on(sc, v);
	pf_check_no_reset(tap_arg());
}

static void test_aborted(void)
{
	check_aborted(test_scene(), false);
}

static void test_aborted_executed(void)
{
	check_aborted(test_scene(), true);
}

/* An Abort claims to have ended the Suspend, which is not answered: nobody knows what it does. */
static void test_abort_claims(void)
{
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()) || !scene_begin(&scene_suspend, v) ||
	    !fault_hold(&scene_suspend, tap_arg(), false) ||
	    !fault_abort(tap_arg(), 0) ||
	    !set_timeouts(SHORT_MS))
		return;
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_P2P, NULL), -ETIMEDOUT, "Suspend");
	set_timeouts(LONG_MS);
	EXPECT_EQ(lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, SLOT_ABORT), 1, "Aborts");
	check_error_state(v);
	expect_debugfs_begin(v->bdf, "command given up", "opcode 0x");
	check_other(2);
	fault_release(tap_arg());
	if (scene_again(v))
		check_works(v);
	pf_check_no_reset(tap_arg());
}

/* ---- cut ---- */

/* What is done about an answer that comes after the VF was reset. */
enum late { LATE_NOTHING, LATE_RESUME, LATE_CHANGED };

/*
 * A Suspend is undone. What loads or disables has changed the VF if the device did it only then,
 * and nobody knows if it did it before.
 */
static enum late late_effect(const struct scene *sc, bool execute)
{
	if (sc == &scene_suspend)
		return LATE_RESUME;
	if (sc == &scene_undo || (sc == &scene_write && (vendor() || execute)) ||
	    (sc == &scene_save_data && execute))
		return LATE_CHANGED;
	return LATE_NOTHING;
}

/* The VF was reset with a command on its way that is answered now; it is open, and off. */
static void check_late(const struct scene *sc, struct vf *v, bool execute)
{
	enum late late = late_effect(sc, execute);
	struct lm_pf *pf = pf_get(tap_arg());

	EXPECT_EQ(nr_held(tap_arg()), 1, "held");
	refuse_set(v, ST_STOP, EBUSY);
	klog_mark();
	fault_arm(tap_arg(), 1, scene_fault(&scene_resume, tap_arg(), LM_ACT_COUNT, 0));
	fault_release(tap_arg());
	if (late == LATE_RESUME)
		lm_fault_wait_matched(pf, 1, 1);
	else if (late == LATE_CHANGED && klog_wait(v->bdf, "was changed after its reset"))
		EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -ENOTCONN, "SET");
	if (late == LATE_CHANGED) {
		check_error_state(v);
		vf_reset(v);
		vf_check_off(v);
	}
	check_works(v);
	EXPECT_EQ(klog_count(v->bdf, "was changed after its reset"), late == LATE_CHANGED,
		  "lines in the log");
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_MATCHED, 1), 1 + (late == LATE_RESUME), "Resumes");
	pf_check_no_reset(tap_arg());
}

/* Pieces are fetched ahead: that one is held does not mean that a reader waits for it. */
static bool begin_held(const struct scene *sc, struct vf *v, bool execute)
{
	return scene_open(v, tap_arg()) && scene_begin(sc, v) &&
	       fault_hold(sc, tap_arg(), execute) && set_timeouts(LONG_MS) &&
	       actor_start(sc, v) && fault_held(tap_arg(), 1) && actor_waits();
}

/* A reader that has got a part already comes back once more, perhaps to a dead file. */
static void check_cut(const struct scene *sc, int err, int want)
{
	EXPECT(err == want || (sc == &scene_read && err == -ENODEV), "%s: %d, not %d",
	       scene_what(sc, vf_a.pf_nr), err, want);
}

static void check_dead_file(const struct scene *sc)
{
	char byte;

	if (sc == &scene_read)
		EXPECT(read(scene_fd, &byte, 1) == -1 && errno == ENODEV, "read");
	if (sc == &scene_write)
		EXPECT(write(scene_fd, &byte, 1) == -1 && errno == ENODEV, "write");
}

/* The reset is over before the command is. */
static void check_reset(const struct scene *sc, bool execute)
{
	struct vf *v = &vf_a;

	if (!begin_held(sc, v, execute) || !vf_reset(v))
		return;
	check_cut(sc, actor_end(), wanted(sc, ECANCELED));
	v->u.udrv.faults = 0;
	check_dead_file(sc);
	vf_check_off(v);
	check_late(sc, v, execute);
}

/*
 * An answer that is not far is waited for. A load is in before the function level reset, which
 * wipes it; after the reset nothing is on its way any more.
 */
static void test_reset_settles(void)
{
	const struct scene *sc = test_scene();
	struct lm_fault f = scene_fault(sc, tap_arg(), LM_ACT_DELAY, 1);
	struct vf *v = &vf_a;
	int err;

	f.arg = 100;
	f.execute = sc == &scene_suspend;
	if (!scene_open(v, tap_arg()) || !scene_begin(sc, v) || !fault_arm(tap_arg(), 0, f))
		return;
	klog_mark();
	if (!actor_start(sc, v) || !lm_fault_wait_matched(pf_get(tap_arg()), 0, 1) ||
	    !vf_reset(v))
		return;
	/* 0 if this thread was slower than that, -ENODEV if the reset came between two reads */
	err = actor_end();
	EXPECT(!err || err == -ECANCELED || (sc == &scene_read && err == -ENODEV), "%s: %d",
	       scene_what(sc, v->pf_nr), err);
	v->u.udrv.faults = 0;
	vf_check_off(v);
	check_works(v);
	EXPECT_EQ(klog_count(v->bdf, "was changed after its reset"), 0, "lines in the log");
}

/* The owner lets go of the VF, but not yet of the file. */
static void test_close(void)
{
	const struct scene *sc = test_scene();
	struct vf *v = &vf_a;

	if (!begin_held(sc, v, false))
		return;
	v->u.udrv.faults = 0;
	vf_close(v);
	check_cut(sc, actor_end(), -ECANCELED);
	check_dead_file(sc);
	if (!vf_open(v, tap_arg(), 1) || !vf_expect_state(v, ST_RUNNING))
		return;
	vf_check_off(v);
	check_late(sc, v, false);
}

static pid_t start_child(const struct scene *sc, int *ready, int *go_on)
{
	int to[2], from[2];
	pid_t pid;
	char byte;

	if (pipe(to) || pipe(from))
		return -1;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		close(to[1]);
		if (scene_open(&vf_a, tap_arg()) && scene_begin(sc, &vf_a) &&
		    write(from[1], "x", 1) == 1 && read(to[0], &byte, 1) == 1)
			sc->act(&vf_a);
		_exit(1);
	}
	close(to[0]);
	close(from[1]);
	*ready = from[0];
	*go_on = to[1];
	return pid;
}

/* A fatal signal ends the wait, and the process; its VF is like new for the next one. */
static void test_killed(void)
{
	const struct scene *sc = test_scene();
	struct vf *v = &vf_a;
	int ready = -1, go_on = -1;
	char byte;
	pid_t pid;

	if (!load_module() || !pf_get(tap_arg()) || !scene_init(tap_arg()))
		return;
	pid = start_child(sc, &ready, &go_on);
	if (EXPECT_EQ(read(ready, &byte, 1), 1, "the owner did not get far") &&
	    fault_hold(sc, tap_arg(), false) && set_timeouts(LONG_MS) &&
	    EXPECT_EQ(write(go_on, "x", 1), 1, "go on"))
		fault_held(tap_arg(), 1);
	close(ready);
	close(go_on);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (tap_failed() || !vf_open(v, tap_arg(), 1) || !vf_expect_state(v, ST_RUNNING))
		return;
	vf_check_off(v);
	check_late(sc, v, false);
}

/* ---- the PF goes ---- */

/*
 * What is harmless is sent again when the PF is live, and answered for a VF that went offline with
 * it. With the vendor set a suspended VF is not asked again: it could not say that it ran.
 */
static int after_pf_reset(const struct scene *sc)
{
	if (sc == &scene_suspend || is_size(sc))
		return 0;
	if (sc == &scene_resume && !vendor())
		return -EREMOTEIO;
	if (sc == &scene_list)
		return -ENODEV;
	return -ENOTCONN;
}

static void test_pf_reset(void)
{
	const struct scene *sc = test_scene();
	struct vf *v = &vf_a;

	if (!begin_held(sc, v, false) || !pf_reset(tap_arg()))
		return;
	EXPECT_EQ(actor_end(), after_pf_reset(sc), "%s", scene_what(sc, v->pf_nr));
	if (sc == &scene_suspend) {
		go(v, ST_RUNNING);
	} else {
		if (vf_state(v) != ST_ERROR)
			EXPECT(vdev_mig_set_state(&v->dev, ST_RUNNING, NULL), "-> RUNNING");
		check_error_state(v);
	}
	EXPECT_EQ(nr_held(tap_arg()), 0, "held");
	v->u.udrv.faults = 0;
	scene_again(v);
	vf_close(v);
	pf_provision(tap_arg());
	if (vf_open(v, tap_arg(), 1))
		check_works(v);
	pf_check(tap_arg());
}

/* The PF is unbound with a command on its way that was given up. */
static void test_pf_unbind(void)
{
	const struct scene *sc = test_scene();
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()) || !give_up(sc, v))
		return;
	v->u.udrv.faults = 0;
	vf_close(v);
	EXPECT_EQ(nr_held(tap_arg()), 1, "held");
	EXPECT_EQ(pf_unbind(tap_arg()), 0, "unbind the PF");
	EXPECT(!*bound_to(v->bdf), "the VF is still bound to %s", bound_to(v->bdf));
	if (!pf_bind(tap_arg()) || !vf_open(v, tap_arg(), 1))
		return;
	vf_expect_state(v, ST_RUNNING);
	check_works(v);
	pf_check(tap_arg());
}

/*
 * The VF has another owner when a Suspend of the last one succeeds, after the reset at close: the
 * PF undoes it, and the VF's driver need not be there for that.
 */
static void test_late_unbound(void)
{
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()) || !give_up(&scene_suspend, v))
		return;
	v->u.udrv.faults = 0;
	vf_close(v);
	klog_mark();
	EXPECT_EQ(bind_to(v->bdf, "vfio-pci"), 0, "bind to vfio-pci");
	if (!fault_arm(tap_arg(), 1, scene_fault(&scene_resume, tap_arg(), LM_ACT_COUNT, 0)))
		return;
	fault_release(tap_arg());
	lm_fault_wait_matched(pf_get(tap_arg()), 1, 1);
	EXPECT_EQ(klog_count_any("resuming the VF"), 1, "lines in the log");
	if (!vf_open(v, tap_arg(), 1))
		return;
	vf_check_off(v);
	check_works(v);
	pf_check_no_reset(tap_arg());
}

/* The same for nvme, which has a working disk then. */
static void test_late_nvme(void)
{
	struct vf *v = &vf_a;
	struct lm_pf as_host;

	if (!scene_open(v, tap_arg()) || !give_up(&scene_suspend, v))
		return;
	v->u.udrv.faults = 0;
	vf_close(v);
	if (!EXPECT_EQ(bind_to(v->bdf, "nvme"), 0, "bind to nvme") ||
	    !fault_arm(tap_arg(), 1, scene_fault(&scene_resume, tap_arg(), LM_ACT_COUNT, 0)))
		return;
	fault_release(tap_arg());
	lm_fault_wait_matched(pf_get(tap_arg()), 1, 1);
	if (EXPECT_EQ(lm_open(&as_host, v->bdf), 0, "open %s", v->bdf)) {
		EXPECT_EQ(lm_probe(&as_host), 0, "%s does not answer", v->bdf);
		lm_close(&as_host);
	}
	if (vf_open(v, tap_arg(), 1))
		check_works(v);
	pf_check(tap_arg());
}

static void *unbind_thread(void *arg)
{
	*(int *)arg = pf_unbind(tap_arg());
	return NULL;
}

/* The PF is unbound while a command is waited for: that is for its owner to end. */
static void test_pf_unbind_wait(void)
{
	const struct scene *sc = test_scene();
	struct vf *v = &vf_a;
	struct lm_pf pf;
	struct pollfd pfd;
	pthread_t t;
	int err = 1;

	/* an own file of the PF, as the thread closes the common one */
	if (!begin_held(sc, v, false) ||
	    !EXPECT_EQ(lm_open(&pf, pf_bdf(tap_arg())), 0, "open the PF"))
		return;
	pfd = (struct pollfd){ .fd = request_eventfd(v), .events = POLLIN };
	EXPECT_EQ(pthread_create(&t, NULL, unbind_thread, &err), 0, "thread");
	EXPECT_EQ(poll(&pfd, 1, UNVME_TIMEOUT_MS), 1, "no request came");
	EXPECT_EQ(lm_fault_count(&pf, LM_FAULT_HELD, 0), 1, "held");
	EXPECT_EQ(lm_fault_release(&pf, 0), 1, "release");
	EXPECT_EQ(actor_end(), 0, "%s", scene_what(sc, v->pf_nr));
	lm_close(&pf);
	vf_close(v);
	pthread_join(t, NULL);
	close(pfd.fd);
	EXPECT_EQ(err, 0, "unbind the PF");
	if (pf_bind(tap_arg()) && vf_open(v, tap_arg(), 1))
		check_works(v);
}

/* ---- several VFs ---- */

static void suspend_given_up(struct vf *v)
{
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_P2P, NULL), -ETIMEDOUT, "Suspend of %s", v->bdf);
}

/* Suspends that the device neither ends nor lets be aborted are in no other VF's way. */
static void test_two_suspends(void)
{
	if (!scene_open(&vf_a, tap_arg()) || !vf_open(&vf_b, tap_arg(), 2) ||
	    !vf_up(&vf_a, &opts) || !vf_up(&vf_b, &opts) || !fault_abort(tap_arg(), ABORT_LIMIT) ||
	    !fault_arm(tap_arg(), 0, scene_fault(&scene_suspend, tap_arg(), LM_ACT_HOLD, 2)) ||
	    !set_timeouts(SHORT_MS))
		return;
	suspend_given_up(&vf_a);
	suspend_given_up(&vf_b);
	set_timeouts(LONG_MS);
	EXPECT_EQ(nr_held(tap_arg()), 2, "held");
	if (!vf_open(&vf_c, tap_arg(), 3) || !vf_up(&vf_c, &opts))
		return;
	check_works(&vf_c);
	fault_release(tap_arg());
	vf_a.u.udrv.faults = 0;
	vf_b.u.udrv.faults = 0;
	vf_reset(&vf_a);
	vf_reset(&vf_b);
	check_works(&vf_a);
	check_works(&vf_b);
	pf_check_no_reset(tap_arg());
}

/* ---- no tag: the host itself has as many commands on the admin queue as it takes ---- */

#define NR_BUSY	40

static struct lm_async busy[NR_BUSY];

static bool fill_admin_queue(void)
{
	/* the number of queues: no data, and the kernel does not ask for it */
	struct lm_cmd cmd = { .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 7 };
	struct lm_fault f = { .opcode = cmd.opcode, .act = LM_ACT_HOLD };
	unsigned int i;

	if (!fault_arm(tap_arg(), 0, f))
		return false;
	for (i = 0; i < NR_BUSY; i++)
		EXPECT_EQ(lm_async_start(&busy[i], pf_get(tap_arg()), cmd), 0, "thread %u", i);
	return !tap_failed();
}

/* Nothing can be sent any more, not even the release: only a reset of the PF helps. */
static void empty_admin_queue(void)
{
	unsigned int i;

	pf_reset(tap_arg());
	fault_clear(tap_arg());
	for (i = 0; i < NR_BUSY; i++)
		if (lm_async_wait(&busy[i], UNVME_TIMEOUT_MS) == -ETIMEDOUT)
			exit(2);
}

static void test_no_tag(void)
{
	int ready = -1, go_on = -1;
	struct vf *v = &vf_b;
	char byte;
	pid_t pid;

	if (!load_module() || !pf_get(tap_arg()) || !scene_init(tap_arg()) ||
	    !fault_clear(tap_arg()))
		return;
	pid = start_child(&scene_suspend, &ready, &go_on);
	EXPECT_EQ(read(ready, &byte, 1), 1, "the owner did not get far");
	if (!tap_failed() && vf_open(v, tap_arg(), 2) && vf_up(v, &opts) && fill_admin_queue()) {
		set_timeouts(SHORT_MS);
		refuse_set(v, ST_P2P, EBUSY);
		EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write");
		if (vf_open(&vf_c, tap_arg(), 3))
			vf_close(&vf_c);
		set_timeouts(LONG_MS);
		if (actor_start(&scene_suspend, v) && actor_waits() && vf_reset(v))
			EXPECT_EQ(actor_end(), -ECANCELED, "Suspend");
		v->u.udrv.faults = 0;
		EXPECT_EQ(write(go_on, "x", 1), 1, "go on");
		wait_blocked(pid, pid);
		kill(pid, SIGKILL);
		EXPECT_EQ(waitpid(pid, NULL, 0), pid, "killed");
		vf_check_usable(v);
		empty_admin_queue();
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready);
	close(go_on);
	vf_close(v);
	pf_provision(tap_arg());
	if (vf_open(v, tap_arg(), 2))
		check_works(v);
}

/* ---- Identify ---- */

/* The list of secondary controllers is asked for at open, which goes on without it. */
static void test_open(void)
{
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()))
		return;
	vf_close(v);
	if (!fault_hold(&scene_list, tap_arg(), false) || !set_timeouts(SHORT_MS) ||
	    !vf_open(v, tap_arg(), 1))
		return;
	set_timeouts(LONG_MS);
	vf_expect_state(v, ST_RUNNING);
	vf_check_usable(v);
	EXPECT_EQ(nr_held(tap_arg()), 1, "held");
	refuse_set(v, ST_STOP, EBUSY);
	fault_release(tap_arg());
	check_works(v);
	go(v, ST_STOP);
	go(v, ST_RESUMING);
	vf_reset(v);
}

/* Who opens a VF of a PF that does not answer can be killed. */
static void test_open_killed(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (!scene_open(&vf_a, tap_arg()))
		return;
	vf_close(&vf_a);
	if (!fault_hold(&scene_list, tap_arg(), false) || !set_timeouts(LONG_MS) ||
	    !EXPECT_EQ(pipe(ready), 0, "pipe"))
		return;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		vf_open(&vf_a, tap_arg(), 1);
		_exit(write(ready[1], "x", 1) != 1);
	}
	close(ready[1]);
	fault_held(tap_arg(), 1);
	kill(pid, SIGKILL);
	EXPECT_EQ(waitpid(pid, NULL, 0), pid, "killed");
	EXPECT_EQ(read(ready[0], &byte, 1), 0, "opened");
	close(ready[0]);
	fault_release(tap_arg());
	if (vf_open(&vf_a, tap_arg(), 1))
		check_works(&vf_a);
}

/* Nobody can end the wait of a close, so that it is short whatever the timeouts are. */
static void test_close_brief(void)
{
	struct vfio_device_feature_dma_logging_range range = { ARENA_IOVA, 1 << 20 };
	u64 page_size = 4096;
	struct lm_fault f = {
		.opcode = LM_OP_TRACK_SEND, .dw10 = 1, .dw10_mask = 0x100ff,
		.act = LM_ACT_HOLD, .times = 1,
	};
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()))
		return;
	if (vdev_log_start(&v->dev, &page_size, &range, 1)) {
		tap_skip("kernel that cannot report");
		return;
	}
	if (!fault_arm(tap_arg(), 0, f) || !fault_abort(tap_arg(), ABORT_LIMIT) ||
	    !set_timeouts(LONG_MS))
		return;
	vf_close(v);
	EXPECT_EQ(nr_held(tap_arg()), 1, "held");
	fault_release(tap_arg());
	if (vf_open(v, tap_arg(), 1))
		check_works(v);
}

/* The VF is bound without migration; the command in flight does not prevent a second try. */
static void check_probe(u8 cns, const char *why)
{
	struct lm_fault f = {
		.opcode = NVME_ADM_IDENTIFY, .dw10 = cns, .dw10_mask = 0xff,
		.act = LM_ACT_HOLD, .times = 1,
	};
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct vf *v = &vf_a;

	if (!load_module() || !EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") ||
	    !set_timeouts(SHORT_MS) || !fault_arm(tap_arg(), 0, f) ||
	    !fault_abort(tap_arg(), ABORT_LIMIT))
		return;
	bind_plain(bdf, why);
	EXPECT_EQ(nr_held(tap_arg()), 1, "held");
	if (vf_open(v, tap_arg(), 1)) {
		check_plain(&v->dev);
		vf_check_usable(v);
	}
	vf_close(v);
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");
	bind_plain(bdf, "device has not answered an earlier command of this VF");
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");
	fault_release(tap_arg());
	set_timeouts(LONG_MS);
	if (vf_open(v, tap_arg(), 1))
		check_works(v);
	vf_close(v);
}

static void test_probe(void)
{
	if (!pf_get(tap_arg()) || !fault_clear(tap_arg()))
		return;
	check_probe(0x01, "cannot identify the PF");
	check_probe(0x15, "does not list this VF");
	if (!vendor())
		check_probe(0x20, "cannot read the list of state formats");
}

/* ---- the module ---- */

struct remover {
	pid_t tid;
	int err;
};

static void *remove_thread(void *arg)
{
	struct remover *r = arg;

	__atomic_store_n(&r->tid, gettid(), __ATOMIC_RELEASE);
	r->err = remove_module();
	return NULL;
}

/* It stays as long as an answer may come to it. */
static void test_unload(void)
{
	struct remover r = { 0 };
	struct vf *v = &vf_a;
	pthread_t t;

	if (!scene_open(v, tap_arg()) || !give_up(&scene_save, v))
		return;
	v->u.udrv.faults = 0;
	vf_close(v);
	EXPECT_EQ(pthread_create(&t, NULL, remove_thread, &r), 0, "thread");
	while (!__atomic_load_n(&r.tid, __ATOMIC_ACQUIRE))
		sched_yield();
	klog_wait_any("is unanswered: module removal waits for it");
	wait_blocked(getpid(), r.tid);
	EXPECT_EQ(nr_held(tap_arg()), 1, "held");
	fault_release(tap_arg());
	pthread_join(t, NULL);
	EXPECT_EQ(r.err, 0, "unload");
	if (vf_open(v, tap_arg(), 1))
		check_works(v);
}

static void test_reset(void)
{
	check_reset(test_scene(), false);
}

static void test_reset_executed(void)
{
	check_reset(test_scene(), true);
}

static const struct drv_test hang_tests[] = {
	{ "given up, Suspend", test_timeout, ON_BOTH, .scene = &scene_suspend },
	{ "given up, size", test_timeout, ON_BOTH, .scene = &scene_size },
	{ "given up, begin of a save", test_timeout, ON_BOTH, .scene = &scene_save },
	{ "given up, read", test_timeout, ON_SPECIAL, SP_SMALL, .scene = &scene_read },
	{ "given up, SAVE_DATA", test_timeout, ON_VS, .scene = &scene_save_data },
	{ "given up, list", test_timeout, ON_BOTH, .scene = &scene_list },
	{ "given up, write", test_timeout, ON_BOTH, .scene = &scene_write },
	{ "given up, state loaded back", test_timeout, ON_VS, .scene = &scene_undo },
	{ "given up, Resume", test_timeout, ON_BOTH, .scene = &scene_resume },
	{ "given up, size of a VF that runs", test_timeout, ON_BOTH,
	  .scene = &scene_size_running },
	{ "aborted, Suspend", test_aborted, ON_BOTH, .scene = &scene_suspend },
	{ "aborted, size", test_aborted, ON_BOTH, .scene = &scene_size },
	{ "aborted, begin of a save", test_aborted, ON_BOTH, .scene = &scene_save },
	{ "aborted, read", test_aborted, ON_SPECIAL, SP_SMALL, .scene = &scene_read },
	{ "aborted, SAVE_DATA", test_aborted, ON_VS, .scene = &scene_save_data },
	{ "aborted, list", test_aborted, ON_BOTH, .scene = &scene_list },
	{ "aborted, write", test_aborted, ON_BOTH, .scene = &scene_write },
	{ "aborted, Resume", test_aborted, ON_BOTH, .scene = &scene_resume },
	{ "aborted although executed, Suspend", test_aborted_executed, ON_BOTH,
	  .scene = &scene_suspend },
	{ "Abort only claims", test_abort_claims, ON_BOTH },
	{ "cut by a reset, Suspend", test_reset, ON_BOTH, .scene = &scene_suspend },
	{ "cut by a reset, size", test_reset, ON_BOTH, .scene = &scene_size },
	{ "cut by a reset, begin of a save", test_reset, ON_BOTH, .scene = &scene_save },
	{ "cut by a reset, read", test_reset, ON_SPECIAL, SP_SMALL, .scene = &scene_read },
	{ "cut by a reset, SAVE_DATA", test_reset, ON_VS, .scene = &scene_save_data },
	{ "cut by a reset, list", test_reset, ON_BOTH, .scene = &scene_list },
	{ "cut by a reset, write", test_reset, ON_BOTH, .scene = &scene_write },
	{ "cut by a reset, state loaded back", test_reset, ON_VS, .scene = &scene_undo },
	{ "cut by a reset, Resume", test_reset, ON_BOTH, .scene = &scene_resume },
	{ "cut by a reset, size of a VF that runs", test_reset, ON_BOTH,
	  .scene = &scene_size_running },
	{ "answer cut by a reset, Suspend", test_reset_executed, ON_BOTH,
	  .scene = &scene_suspend },
	{ "answer cut by a reset, SAVE_DATA", test_reset_executed, ON_VS,
	  .scene = &scene_save_data },
	{ "answer cut by a reset, write", test_reset_executed, ON_BOTH,
	  .scene = &scene_write },
	{ "answer cut by a reset, state loaded back", test_reset_executed, ON_VS,
	  .scene = &scene_undo },
	{ "answer cut by a reset, Resume", test_reset_executed, ON_BOTH,
	  .scene = &scene_resume },
	{ "short, and a reset, Suspend", test_reset_settles, ON_BOTH,
	  .scene = &scene_suspend },
	{ "short, and a reset, write", test_reset_settles, ON_VS, .scene = &scene_write },
	{ "short, and a reset, state loaded back", test_reset_settles, ON_VS,
	  .scene = &scene_undo },
	{ "cut by close, read", test_close, ON_SPECIAL, SP_SMALL, .scene = &scene_read },
	{ "cut by close, write", test_close, ON_BOTH, .scene = &scene_write },
	{ "owner killed, Suspend", test_killed, ON_BOTH, .scene = &scene_suspend },
	{ "owner killed, size", test_killed, ON_BOTH, .scene = &scene_size },
	{ "owner killed, begin of a save", test_killed, ON_BOTH, .scene = &scene_save },
	{ "owner killed, read", test_killed, ON_SPECIAL, SP_SMALL, .scene = &scene_read },
	{ "owner killed, SAVE_DATA", test_killed, ON_VS, .scene = &scene_save_data },
	{ "owner killed, list", test_killed, ON_BOTH, .scene = &scene_list },
	{ "owner killed, write", test_killed, ON_BOTH, .scene = &scene_write },
	{ "owner killed, state loaded back", test_killed, ON_VS, .scene = &scene_undo },
	{ "owner killed, Resume", test_killed, ON_BOTH, .scene = &scene_resume },
	{ "owner killed, size of a VF that runs", test_killed, ON_BOTH,
	  .scene = &scene_size_running },
	{ "PF reset, Suspend", test_pf_reset, ON_BOTH, .scene = &scene_suspend },
	{ "PF reset, size", test_pf_reset, ON_BOTH, .scene = &scene_size },
	{ "PF reset, begin of a save", test_pf_reset, ON_BOTH, .scene = &scene_save },
	{ "PF reset, read", test_pf_reset, ON_SPECIAL, SP_SMALL, .scene = &scene_read },
	{ "PF reset, SAVE_DATA", test_pf_reset, ON_VS, .scene = &scene_save_data },
	{ "PF reset, list", test_pf_reset, ON_BOTH, .scene = &scene_list },
	{ "PF reset, write", test_pf_reset, ON_BOTH, .scene = &scene_write },
	{ "PF reset, state loaded back", test_pf_reset, ON_VS, .scene = &scene_undo },
	{ "PF reset, Resume", test_pf_reset, ON_BOTH, .scene = &scene_resume },
	{ "PF unbound, Suspend", test_pf_unbind, ON_BOTH, .scene = &scene_suspend },
	{ "PF unbound, size", test_pf_unbind, ON_BOTH, .scene = &scene_size },
	{ "PF unbound, begin of a save", test_pf_unbind, ON_BOTH, .scene = &scene_save },
	{ "PF unbound, read", test_pf_unbind, ON_SPECIAL, SP_SMALL, .scene = &scene_read },
	{ "PF unbound, SAVE_DATA", test_pf_unbind, ON_VS, .scene = &scene_save_data },
	{ "PF unbound, list", test_pf_unbind, ON_BOTH, .scene = &scene_list },
	{ "PF unbound, write", test_pf_unbind, ON_BOTH, .scene = &scene_write },
	{ "PF unbound, state loaded back", test_pf_unbind, ON_VS, .scene = &scene_undo },
	{ "PF unbound, Resume", test_pf_unbind, ON_BOTH, .scene = &scene_resume },
	{ "PF unbound under it, Suspend", test_pf_unbind_wait, ON_BOTH,
	  .scene = &scene_suspend },
	{ "PF unbound under it, read", test_pf_unbind_wait, ON_SPECIAL, SP_SMALL,
	  .scene = &scene_read },
	{ "PF unbound under it, write", test_pf_unbind_wait, ON_BOTH, .scene = &scene_write },
	{ "two Suspends", test_two_suspends, ON_BOTH },
	{ "full admin queue", test_no_tag, ON_BOTH },
	{ "open", test_open, ON_BOTH },
	{ "open, killed", test_open_killed, ON_BOTH },
	{ "close of a tracked VF waits for a second only", test_close_brief, ON_TP },
	{ "a late Suspend does not stop the next owner", test_late_unbound, ON_BOTH },
	{ "a late Suspend does not stop a VF of the host", test_late_nvme, ON_BOTH },
	{ "probe", test_probe, ON_BOTH },
	{ "module unloaded", test_unload, ON_TP },
};

const struct test_group hang_group = { "hang", hang_tests, ARRAY_SIZE(hang_tests) };
