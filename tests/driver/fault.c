// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes wrong: suspends that do not end, a PF that is reset or taken away, resets and closes at
 * the worst moment.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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
		/* what SAVE returned is in memory, and before 7.0 nothing tells of the reset */
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
	/* where the kernel does not count resets it is seen that the VF went offline with its PF */
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

/* ---- suspends without an end; PFs of the special machine whose full queues block ---- */

/* A completion queue of four entries that nobody drains, and more commands than that. */
static bool start_endless(struct vf *v, unsigned int vfn, unsigned int *done)
{
	static const struct unvme_opts o = { .irq = true, .vectors = 2 };
	unsigned int i;

	if (!vf_open(v, tap_arg(), vfn) || !vf_up(v, &o))
		return false;
	EXPECT_EQ(unvme_create_cq(&v->u, 1, 4, 1), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(&v->u, 1, 16, 1), 0, "SQ");
	if (tap_failed())
		return false;
	for (i = 0; i < 10; i++)
		unvme_queue_cmd(&v->u, 1, &flush_cmd, count_done, done);
	unvme_ring(&v->u, 1);
	return wait_entries(&v->u, 1, 3);
}

/* The clock that moves with jiffies, which the driver's limits count: both are late together. */
static u64 tick_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (u64)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void give_up(struct vf *v, const char *ms)
{
	u64 begin;

	if (!set_param("suspend_timeout_ms", ms))
		return;
	begin = tick_ms();
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -ETIMEDOUT, "Suspend");
	begin = tick_ms() - begin;
	EXPECT(begin >= (u64)atoi(ms) - 10 && begin < (u64)atoi(ms) + 5000,
	       "given up after %lu ms", begin);
	set_param("suspend_timeout_ms", "30000");
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
	v->u.faults = 0;
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
	u64 end;

	if (!load_module() || !start_endless(v, 1, &done))
		return;
	give_up(v, "100");
	end = now_ms() + UNVME_TIMEOUT_MS;
	while (done < 10 && now_ms() < end)
		unvme_reap(&v->u, 1);
	EXPECT_EQ(done, 10, "commands");
	vf_expect_state(v, ST_ERROR);
	unvme_submit(&v->u, 1, &flush_cmd, count_done, &done);
	EXPECT_EQ(quiet_start(&quiet, &v->u), 0, "watch");
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
	v->u.faults = 0;
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

/* As many as may hang at a time: the PF works, others can ask and load, only not suspend. */
static void test_endless_two(void)
{
	unsigned int done_a = 0, done_b = 0;
	struct vf *v = &vf_c;
	u64 size = 0;

	if (!load_module() || !start_endless(&vf_a, 1, &done_a) ||
	    !start_endless(&vf_b, 2, &done_b))
		return;
	give_up(&vf_a, "100");
	give_up(&vf_b, "100");
	pf_check(tap_arg());
	if (!vf_open(v, tap_arg(), 3) || !vf_up(v, &small_opts))
		return;
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "data size of a third VF");
	set_param("suspend_timeout_ms", "200");
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -EBUSY, "third Suspend");
	set_param("suspend_timeout_ms", "30000");
	vf_expect_state(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write on the third VF");
	/* one reset makes room */
	vf_reset(&vf_a);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write on the third VF");
	vf_reset(&vf_b);
	vf_a.u.faults = 0;
	vf_b.u.faults = 0;
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
	v->u.faults = 0;
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
	v->u.faults = 0;
	vf_close(v);
	pf_provision(tap_arg());
	if (!vf_open(v, tap_arg(), 1))
		return;
	vf_check_usable(v);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	pf_check(tap_arg());
}

/* ---- other devices ---- */

/* SAVE disables the VF: what it returned is the only copy, and serves for a second save. */
static void test_save_disables(void)
{
	static const struct unvme_opts opts = { .queues = 3, .irq = true };
	struct vf *v = &vf_a;
	struct stream a, b;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts) || !vf_save(v, &a))
		return;
	go(v, ST_STOP);
	if (vf_save(v, &b)) {
		EXPECT_EQ(b.size, a.size, "bytes");
		EXPECT(b.size == a.size && !memcmp(a.data, b.data, a.size), "other bytes");
		stream_free(&b);
	}
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	EXPECT_EQ(unvme_rw(&v->u, 3, false, 0, 8), 0, "read afterwards");
	/* and to another VF */
	if (go(v, ST_STOP) && vf_open(&vf_b, tap_arg(), 2)) {
		stream_free(&a);
		if (vf_save(v, &a) && vf_load(&vf_b, &a)) {
			unvme_move(&v->u, &vf_b.dev);
			if (go(&vf_b, ST_RUNNING))
				EXPECT_EQ(unvme_rw(&v->u, 2, false, 0, 8), 0, "read there");
		}
	}
	stream_free(&a);
	unvme_check_idle(&v->u, 0);
}

/* No Suspend at CC.EN=0: the migration of such a guest fails, and nothing else. */
/* A disabled VF starts nothing: that it is not suspended does not keep a guest from being moved */
static void test_enabled_only(void)
{
	struct vf *v = &vf_a;
	struct stream s;
	int fd;

	/* of a VF that may be suspended */
	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &small_opts) || !vf_save(v, &s))
		return;
	vf_reset(v);
	klog_mark();
	go(v, ST_STOP);
	EXPECT_EQ(klog_count(v->bdf, "VF is disabled and counts as suspended"), 1, "lines");
	/* this one refuses the rest as well, which costs nothing but the migration */
	refuse_set(v, ST_STOP_COPY, ENXIO);
	fd = go_fd(v, ST_RESUMING);
	EXPECT_EQ(stream_write(fd, &s, 0), -ENXIO, "write");
	close(fd);
	vf_reset(v);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	vf_check_usable(v);
	go(v, ST_STOP);
	go(v, ST_STOP_COPY);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	stream_free(&s);
}

const struct drv_test fault_tests[] = {
	{ "faults: close leaves nothing in the device", test_closed_raw, ON_BOTH },
	{ "faults: PF reset while suspended", test_pf_reset, ON_BOTH },
	{ "faults: PF reset while suspended, ERROR", test_pf_reset_error, ON_TP },
	{ "faults: PF reset while running", test_pf_reset_running, ON_BOTH },
	{ "faults: PF unbound", test_pf_unbind, ON_BOTH },
};

const struct drv_test special_tests[] = {
	{ "endless: given up, undone by a reset", test_endless_reset, ON_SPECIAL, SP_ENDLESS },
	{ "endless: given up, undone by a reset, vendor set", test_endless_reset, ON_SPECIAL,
	  SP_ENDLESS_VS },
	{ "endless: given up, undone by close", test_endless, ON_SPECIAL, SP_ENDLESS },
	{ "endless: ends late", test_endless_late, ON_SPECIAL, SP_ENDLESS },
	{ "endless: ends late, vendor set", test_endless_late, ON_SPECIAL, SP_ENDLESS_VS },
	{ "endless: cut by a reset", test_endless_cut, ON_SPECIAL, SP_ENDLESS },
	{ "endless: cut by a reset, vendor set", test_endless_cut, ON_SPECIAL, SP_ENDLESS_VS },
	{ "endless: owner killed", test_endless_killed, ON_SPECIAL, SP_ENDLESS },
	{ "endless: two VFs", test_endless_two, ON_SPECIAL, SP_ENDLESS },
	{ "endless: PF reset", test_endless_pf_reset, ON_SPECIAL, SP_ENDLESS },
	{ "endless: PF reset under it", test_endless_pf_reset_now, ON_SPECIAL, SP_ENDLESS },
	{ "device: SAVE disables", test_save_disables, ON_SPECIAL, SP_DISABLES },
	{ "device: no Suspend at CC.EN=0, which is taken as suspended", test_enabled_only,
	  ON_SPECIAL, SP_ENABLED },
};

const size_t nr_fault_tests = ARRAY_SIZE(fault_tests);
const size_t nr_special_tests = ARRAY_SIZE(special_tests);
