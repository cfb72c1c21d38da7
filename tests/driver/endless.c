// SPDX-License-Identifier: GPL-2.0-only
/*
 * Suspends that do not end, on PFs of the special machine: a full completion queue keeps them
 * waiting. One of the PFs ends them by Abort, the other ignores it.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

static const struct unvme_opts small_opts = { .queues = 1, .irq = true };

/* The clock that moves with jiffies, which the driver's limits count: both are late together. */
static u64 tick_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (u64)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void give_up(struct vf *v, const char *ms)
{
	bool aborts = tap_arg() == SP_ENDLESS;
	u64 begin;

	if (!set_param("suspend_timeout_ms", ms))
		return;
	begin = tick_ms();
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), aborts ? -EAGAIN : -ETIMEDOUT,
		  "Suspend");
	vf_expect_state(v, aborts ? ST_RUNNING : ST_ERROR);
	begin = tick_ms() - begin;
	EXPECT(begin >= (u64)atoi(ms) - 10 && begin < (u64)atoi(ms) + 5000,
	       "given up after %lu ms", begin);
	set_param("suspend_timeout_ms", "30000");
}

/* Take completions until so many commands are done. */
static void drain(struct vf *v, unsigned int *done, unsigned int nr)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;

	while (*done < nr && now_ms() < end)
		unvme_reap(&v->u, 1);
	EXPECT_EQ(*done, nr, "commands");
}

/* All that another VF of the PF does works meanwhile. */
static void check_other(unsigned int vfn)
{
	struct vf *v = &vf_b;
	struct stream s;

	if (!vf_open(v, tap_arg(), vfn) || !vf_up(v, &small_opts))
		return;
	go(v, ST_P2P);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write on the other VF");
	if (vf_save(v, &s)) {
		vf_reset(v);
		vf_load(v, &s);
		stream_free(&s);
		go(v, ST_RUNNING);
	}
	vf_reset(v);
	vf_check_usable(v);
	vf_close(v);
}

/* The VF runs on, with what it was doing: once drained it can be suspended. */
static void test_endless_aborted(void)
{
	unsigned int done = 0, i;
	struct vf *v = &vf_a;

	if (!load_module() || !start_endless(v, 1, &done))
		return;
	for (i = 0; i < 3; i++)
		give_up(v, "100");
	check_other(2);
	drain(v, &done, 10);
	unvme_submit(&v->u, 1, &flush_cmd, count_done, &done);
	drain(v, &done, 11);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	unvme_submit(&v->u, 1, &flush_cmd, count_done, &done);
	drain(v, &done, 12);
	pf_check_no_reset(tap_arg());
}

static void test_endless(void)
{
	unsigned int done = 0;
	struct vf *v = &vf_a;

	if (!load_module() || !start_endless(v, 1, &done))
		return;
	give_up(v, "300");
	check_error_state(v);
	check_other(2);
	pf_check(tap_arg());
	vf_close(v);
	if (!vf_open(v, tap_arg(), 1))
		return;
	vf_expect_state(v, ST_RUNNING);
	vf_check_off(v);
	vf_check_usable(v);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	pf_check_no_reset(tap_arg());
}

static void test_endless_reset(void)
{
	unsigned int done = 0;
	struct vf *v = &vf_a;
	u64 begin;

	if (!load_module() || !start_endless(v, 1, &done))
		return;
	give_up(v, "300");
	check_error_state(v);
	check_other(2);
	pf_check(tap_arg());
	begin = now_ms();
	vf_reset(v);
	EXPECT(now_ms() - begin < 5000, "the reset took %lu ms", now_ms() - begin);
	v->u.udrv.faults = 0;
	vf_check_off(v);
	vf_check_usable(v);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	pf_check_no_reset(tap_arg());
}

/* The guest drains its queue after all: the late end of the Suspend changes nothing by itself. */
static void test_endless_late(void)
{
	unsigned int done = 0;
	struct vf *v = &vf_a;
	struct quiet quiet;

	if (!load_module() || !start_endless(v, 1, &done))
		return;
	give_up(v, "100");
	drain(v, &done, 10);
	vf_expect_state(v, ST_ERROR);
	unvme_submit(&v->u, 1, &flush_cmd, count_done, &done);
	EXPECT_EQ(quiet_start(&quiet, &v->u.udrv), 0, "watch");
	EXPECT_EQ(quiet_check(&quiet, 300), 0, "a VF that was suspended late");
	quiet_end(&quiet);
	check_error_state(v);
	vf_reset(v);
	vf_check_usable(v);
	pf_check_no_reset(tap_arg());
}

struct setter {
	struct vf *v;
	u32 state;
	int err;
	pid_t tid;
};

static void *set_thread(void *arg)
{
	struct setter *s = arg;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	s->err = vdev_mig_set_state(&s->v->dev, s->state, NULL);
	return NULL;
}

static bool start_setter(struct setter *s, pthread_t *t)
{
	if (!EXPECT_EQ(pthread_create(t, NULL, set_thread, s), 0, "thread"))
		return false;
	while (!__atomic_load_n(&s->tid, __ATOMIC_ACQUIRE))
		sched_yield();
	return wait_blocked(getpid(), s->tid);
}

/* A reset does not wait for the Suspend, it ends it. */
static void test_endless_cut(void)
{
	struct setter s = { &vf_a, ST_STOP };
	unsigned int done = 0;
	struct vf *v = &vf_a;
	pthread_t t;
	u64 begin;

	if (!start_endless(v, 1, &done) || !start_setter(&s, &t))
		return;
	begin = now_ms();
	vf_reset(v);
	pthread_join(t, NULL);
	EXPECT(now_ms() - begin < 5000, "the reset took %lu ms", now_ms() - begin);
	EXPECT_EQ(s.err, -ECANCELED, "the Suspend");
	vf_expect_state(v, ST_RUNNING);
	v->u.udrv.faults = 0;
	vf_check_off(v);
	vf_check_usable(v);
	pf_check_no_reset(tap_arg());
}

/* The owner is killed while it waits: it dies at once, the next one finds a VF like new. */
static void test_endless_killed(void)
{
	unsigned int done = 0;
	struct vf *v = &vf_a;
	char byte;
	int fd[2];
	pid_t pid;
	u64 begin;

	if (!load_module() || pipe(fd))
		return;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		if (start_endless(v, 1, &done) && write(fd[1], "x", 1) == 1)
			vdev_mig_set_state(&v->dev, ST_STOP, NULL);
		_exit(1);
	}
	close(fd[1]);
	EXPECT_EQ(read(fd[0], &byte, 1), 1, "the owner did not get far");
	close(fd[0]);
	wait_blocked(pid, pid);
	begin = now_ms();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT(now_ms() - begin < 10000, "it took %lu ms to die", now_ms() - begin);
	if (!vf_open(v, tap_arg(), 1))
		return;
	vf_expect_state(v, ST_RUNNING);
	vf_check_off(v);
	vf_check_usable(v);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	pf_check(tap_arg());
	pf_check_no_reset(tap_arg());
}

/* What two VFs will not end does not keep a third from suspending. */
static void test_endless_two(void)
{
	unsigned int done_a = 0, done_b = 0;
	struct vf *v = &vf_c;

	if (!load_module() || !start_endless(&vf_a, 1, &done_a) ||
	    !start_endless(&vf_b, 2, &done_b))
		return;
	give_up(&vf_a, "100");
	give_up(&vf_b, "100");
	pf_check(tap_arg());
	if (!vf_open(v, tap_arg(), 3) || !vf_up(v, &small_opts))
		return;
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write on the third VF");
	vf_reset(&vf_a);
	vf_reset(&vf_b);
	vf_a.u.udrv.faults = 0;
	vf_b.u.udrv.faults = 0;
	vf_check_usable(&vf_a);
	vf_check_usable(&vf_b);
	pf_check_no_reset(tap_arg());
}

/* The PF is reset with a Suspend on its way that was given up. */
static void test_endless_pf_reset(void)
{
	unsigned int done = 0;
	struct vf *v = &vf_a;

	if (!load_module() || !start_endless(v, 1, &done))
		return;
	give_up(v, "100");
	if (!pf_reset(tap_arg()))
		return;
	vf_expect_state(v, ST_ERROR);
	vf_reset(v);
	v->u.udrv.faults = 0;
	vf_close(v);
	pf_provision(tap_arg());
	if (!vf_open(v, tap_arg(), 1))
		return;
	vf_check_usable(v);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	pf_check(tap_arg());
}

/* The same while the Suspend is waited for. */
static void test_endless_pf_reset_now(void)
{
	struct setter s = { &vf_a, ST_STOP };
	unsigned int done = 0;
	struct vf *v = &vf_a;
	pthread_t t;

	if (!start_endless(v, 1, &done) || !start_setter(&s, &t))
		return;
	pf_reset(tap_arg());
	pthread_join(t, NULL);
	/* it is sent again once the PF is live, and meets a VF that went offline with it */
	EXPECT_EQ(s.err, 0, "the Suspend");
	vf_expect_state(v, ST_STOP);
	vf_reset(v);
	v->u.udrv.faults = 0;
	vf_close(v);
	pf_provision(tap_arg());
	if (!vf_open(v, tap_arg(), 1))
		return;
	vf_check_usable(v);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	pf_check(tap_arg());
}

static const struct drv_test endless_tests[] = {
	{ "aborted", test_endless_aborted, ON_SPECIAL, SP_ENDLESS },
	{ "given up, undone by a reset", test_endless_reset, ON_SPECIAL, SP_ENDLESS_VS },
	{ "given up, undone by close", test_endless, ON_SPECIAL, SP_ENDLESS_VS },
	{ "ends late", test_endless_late, ON_SPECIAL, SP_ENDLESS_VS },
	{ "cut by a reset", test_endless_cut, ON_SPECIAL, SP_ENDLESS },
	{ "cut by a reset, Abort ignored", test_endless_cut, ON_SPECIAL, SP_ENDLESS_VS },
	{ "owner killed", test_endless_killed, ON_SPECIAL, SP_ENDLESS },
	{ "owner killed, Abort ignored", test_endless_killed, ON_SPECIAL, SP_ENDLESS_VS },
	{ "two VFs", test_endless_two, ON_SPECIAL, SP_ENDLESS },
	{ "two VFs, Abort ignored", test_endless_two, ON_SPECIAL, SP_ENDLESS_VS },
	{ "PF reset", test_endless_pf_reset, ON_SPECIAL, SP_ENDLESS_VS },
	{ "PF reset under it", test_endless_pf_reset_now, ON_SPECIAL, SP_ENDLESS },
};

const struct test_group endless_group = { "endless", endless_tests, ARRAY_SIZE(endless_tests) };
