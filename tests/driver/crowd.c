// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many VFs of one PF at once, on the machine "crowd": who gets to send a command when not all can,
 * because guests stall or the device does not answer.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define NR_VFS		64
#define NR_FLUSHES	10

/* A VF, and a thread that calls on it */
struct member {
	struct vf v;
	unsigned int done;	/* flushes of a guest that stalls */
	bool stalls;
	u16 cntlid;
	pthread_t thread;
	bool running;
	const struct scene *sc;
	pid_t tid;
	int err;
	bool over;
};

static struct member crowd[NR_VFS];
static unsigned int nr_open;

static const struct unvme_opts opts = { .queues = 1, .irq = true };

static bool member_open(struct member *m, unsigned int vfn, bool stalls)
{
	memset(m, 0, sizeof(*m));
	m->stalls = stalls;
	m->cntlid = lm_cntlid(pf_get(tap_arg()), vfn);
	if (stalls)
		return start_endless(&m->v, vfn, &m->done);
	return vf_open(&m->v, tap_arg(), vfn) && vf_up(&m->v, &opts);
}

/* So many VFs with their guests, of which the first ones stall */
static bool crowd_open(unsigned int nr, unsigned int stalled)
{
	if (!load_module() || !pf_get(tap_arg()))
		return false;
	for (nr_open = 0; nr_open < nr; nr_open++)
		if (!member_open(&crowd[nr_open], nr_open + 1, nr_open < stalled))
			return false;
	return true;
}

static void *member_thread(void *arg)
{
	struct member *m = arg;

	__atomic_store_n(&m->tid, gettid(), __ATOMIC_RELEASE);
	m->err = m->sc->act(&m->v);
	__atomic_store_n(&m->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Returns when its command is on its way, or waits to be sent, or is over */
static bool member_start(struct member *m, const struct scene *sc)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	pid_t tid;

	m->sc = sc;
	m->tid = 0;
	m->over = false;
	m->running = EXPECT_EQ(pthread_create(&m->thread, NULL, member_thread, m), 0, "thread");
	while (m->running && !__atomic_load_n(&m->over, __ATOMIC_ACQUIRE)) {
		tid = __atomic_load_n(&m->tid, __ATOMIC_ACQUIRE);
		if (tid && thread_state(getpid(), tid) == 'D')
			break;
		if (!EXPECT(now_ms() < end, "VF %u does not get to wait", m->v.vfn))
			return false;
		sched_yield();
	}
	return m->running;
}

static int member_end(struct member *m)
{
	if (m->running)
		pthread_join(m->thread, NULL);
	m->running = false;
	return m->err;
}

/* A guest that stalled takes its completions: each of them, once */
static void member_drain(struct member *m)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;

	while (m->done < NR_FLUSHES && now_ms() < end)
		unvme_reap(&m->v.u, 1);
	EXPECT_EQ(m->done, NR_FLUSHES, "VF %u: commands", m->v.vfn);
}

static void check_runs(struct member *m)
{
	if (m->stalls) {
		unvme_submit(&m->v.u, 1, &flush_cmd, count_done, &m->done);
		EXPECT_EQ(unvme_drain(&m->v.u, 1, 0), 0, "VF %u: flush", m->v.vfn);
		EXPECT_EQ(m->done, NR_FLUSHES + 1, "VF %u: commands", m->v.vfn);
	} else {
		EXPECT_EQ(unvme_rw(&m->v.u, 1, true, 0, 8), 0, "VF %u: write", m->v.vfn);
	}
}

static void crowd_close(void)
{
	unsigned int i;

	pf_end_faults(tap_arg());
	if (tap_failed())
		/* it ends the waits */
		for (i = 0; i < nr_open; i++)
			vdev_reset(&crowd[i].v.dev);
	for (i = 0; i < nr_open; i++)
		member_end(&crowd[i]);
	for (i = 0; i < NR_VFS; i++)
		vf_close(&crowd[i].v);
	nr_open = 0;
}

/* The host's own commands */
static void check_host(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	u8 log[512];
	struct lm_cmd smart = {
		.opcode = NVME_ADM_GET_LOG, .nsid = 0xffffffff, .cdw10 = 2 | 127 << 16,
		.data = log, .len = sizeof(log),
	};
	struct lm_cmd format = { .opcode = NVME_ADM_FORMAT, .nsid = 1 };

	pf_check(tap_arg());
	EXPECT_ST(pf, smart, 0, "SMART log");
	EXPECT_ST(pf, format, 0, "Format");
}

/* ---- guests that stall ---- */

/*
 * Whatever the number of guests that stall, all others suspend, and nobody is refused or reset.
 * The host's commands work. The stalled guests go on where they were.
 */
static void check_stalled(unsigned int stalled)
{
	unsigned int i;

	if (!crowd_open(NR_VFS, stalled) || !set_timeouts("600000"))
		return;
	for (i = 0; i < nr_open; i++)
		if (!member_start(&crowd[i], &scene_suspend))
			return;
	check_host();
	for (i = stalled; i < nr_open; i++)
		EXPECT_EQ(member_end(&crowd[i]), 0, "Suspend of VF %u", crowd[i].v.vfn);
	for (i = 0; i < stalled; i++) {
		EXPECT(!__atomic_load_n(&crowd[i].over, __ATOMIC_ACQUIRE), "VF %u is suspended",
		       crowd[i].v.vfn);
		member_drain(&crowd[i]);
	}
	for (i = 0; i < nr_open; i++) {
		EXPECT_EQ(member_end(&crowd[i]), 0, "Suspend of VF %u", crowd[i].v.vfn);
		go(&crowd[i].v, ST_RUNNING);
		check_runs(&crowd[i]);
	}
	pf_check_no_reset(tap_arg());
}

static void test_eight(void)
{
	check_stalled(8);
	crowd_close();
}

/* More than may be suspended at a time */
static void test_most(void)
{
	check_stalled(40);
	crowd_close();
}

/* ---- a device that does not answer ---- */

/* As many as the PF has for this driver, of which so many for Suspends of guests */
static bool budgets(unsigned int *budget, unsigned int *guests)
{
	const char *value = debugfs_value(crowd[0].v.bdf, "commands of all VFs");
	unsigned int inflight, suspends;
	int nr;

	nr = sscanf(value, "%u of %u in flight, %u of %u by guests,", &inflight, budget, &suspends,
		    guests);
	return EXPECT_EQ(nr, 4, "'%s'", value) &&
	       EXPECT(*budget < NR_VFS / 2 && *guests < *budget, "%u, %u", *budget, *guests);
}

static bool hold(const struct scene *sc, unsigned int times)
{
	return fault_arm(tap_arg(), 0, scene_fault(sc, tap_arg(), LM_ACT_HOLD, times)) &&
	       fault_abort(tap_arg(), ABORT_LIMIT);
}

static int matched(unsigned int slot)
{
	return lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, slot);
}

#define EVENT		"nvme/nvme_setup_cmd"
#define LINE		"cmd=(0x41 cdw10="

/*
 * The VFs that a Migration Send with this SEL, or any (-1), was sent for, in that order; lines end
 * with "cmd=(0x41 cdw10=" and 24 bytes: the first is SEL, the fifth and sixth the controller id.
 */
static unsigned int sent(int sel, u16 *cntlids, unsigned int max)
{
	unsigned int nr = 0, b[6];
	char line[1024], *at;
	FILE *f;

	trace_switch(EVENT, false);
	f = fopen(TRACING "/trace", "r");
	if (!EXPECT(f, "trace"))
		return 0;
	while (fgets(line, sizeof(line), f)) {
		at = strstr(line, LINE);
		if (at && sscanf(at + strlen(LINE), "%x %x %x %x %x %x", &b[0], &b[1], &b[2],
				 &b[3], &b[4], &b[5]) == 6 && (sel < 0 || (int)b[0] == sel) &&
		    nr < max)
			cntlids[nr++] = b[4] | b[5] << 8;
	}
	fclose(f);
	return nr;
}

/* They were sent one after the other, in the order they were asked for. */
static void check_order(const struct member *first, unsigned int nr)
{
	u16 cntlids[NR_VFS];
	unsigned int i;

	EXPECT_EQ(sent(0, cntlids, ARRAY_SIZE(cntlids)), nr, "Suspends");
	for (i = 0; i < nr && !tap_failed(); i++)
		EXPECT_EQ(cntlids[i], first[i].cntlid, "Suspend %u", i);
}

/* All places are taken, and others wait: the first free one is for the Resume. */
static void check_resume_first(void)
{
	struct member *resume = &crowd[0], *suspend = &crowd[1], *size = &crowd[2];
	unsigned int budget, guests, i;
	u16 first = 0;

	if (!crowd_open(24, 0) || !budgets(&budget, &guests) || !set_timeouts("600000") ||
	    !go(&resume->v, ST_P2P) || !hold(&scene_size_running, budget) ||
	    !fault_arm(tap_arg(), 1, scene_fault(&scene_suspend, tap_arg(), LM_ACT_COUNT, 0)) ||
	    !fault_arm(tap_arg(), 2, scene_fault(&scene_resume, tap_arg(), LM_ACT_COUNT, 0)))
		return;
	for (i = 0; i < budget; i++)
		member_start(&crowd[3 + i], &scene_size_running);
	fault_held(tap_arg(), budget);
	member_start(suspend, &scene_suspend);
	member_start(size, &scene_size_running);
	member_start(resume, &scene_resume);
	check_host();
	EXPECT_EQ(matched(1) + matched(2), 0, "commands beyond the budget");
	if (!trace_switch(EVENT, true))
		return;
	EXPECT_EQ(lm_fault_release(pf_get(tap_arg()), 1), (int)budget, "held");
	EXPECT_EQ(member_end(resume), 0, "Resume");
	EXPECT_EQ(member_end(size), 0, "size");
	EXPECT_EQ(member_end(suspend), 0, "Suspend");
	EXPECT(sent(-1, &first, 1) && first == resume->cntlid, "controller %u was first", first);
	EXPECT_EQ(matched(1), 1, "Suspends");
	EXPECT_EQ(nr_held(tap_arg()), (int)budget - 1, "held");
	fault_release(tap_arg());
	for (i = 0; i < budget; i++)
		EXPECT_EQ(member_end(&crowd[3 + i]), 0, "size");
	go(&suspend->v, ST_RUNNING);
	for (i = 0; i < nr_open; i++)
		check_runs(&crowd[i]);
	pf_check_no_reset(tap_arg());
}

static void test_resume_first(void)
{
	check_resume_first();
	crowd_close();
}

/*
 * All places for Suspends are taken: a save and a Resume work. Those that wait share the
 * one place that gets free, first come, first served.
 */
static void check_reserve(void)
{
	struct member *first, *other = &crowd[23];
	unsigned int budget, guests, i;
	struct stream s;

	if (!crowd_open(24, 0) || !budgets(&budget, &guests) || !set_timeouts("600000") ||
	    !go(&other->v, ST_STOP) || !hold(&scene_suspend, guests))
		return;
	for (i = 0; i < guests; i++)
		member_start(&crowd[i], &scene_suspend);
	fault_held(tap_arg(), guests);
	first = &crowd[guests];
	for (; &crowd[i] < other; i++)
		member_start(&crowd[i], &scene_suspend);
	if (vf_save(&other->v, &s)) {
		stream_free(&s);
		go(&other->v, ST_RUNNING);
		check_runs(other);
	}
	EXPECT_EQ(matched(0), (int)guests, "Suspends");
	if (!trace_switch(EVENT, true))
		return;
	EXPECT_EQ(lm_fault_release(pf_get(tap_arg()), 1), (int)guests, "held");
	for (i = guests; &crowd[i] < other; i++)
		EXPECT_EQ(member_end(&crowd[i]), 0, "Suspend whose turn it is");
	check_order(first, other - first);
	fault_release(tap_arg());
	for (i = 0; &crowd[i] < other; i++) {
		EXPECT_EQ(member_end(&crowd[i]), 0, "Suspend");
		go(&crowd[i].v, ST_RUNNING);
	}
	for (i = 0; i < nr_open; i++)
		check_runs(&crowd[i]);
	pf_check_no_reset(tap_arg());
}

static void test_reserve(void)
{
	check_reserve();
	crowd_close();
}

/* An open that gets no place waits for the time limit of its command, and does without it. */
static void check_open(void)
{
	struct member *late = &crowd[NR_VFS - 1];
	unsigned int budget, guests, i;

	if (!crowd_open(24, 0) || !budgets(&budget, &guests) || !set_timeouts("600000") ||
	    !hold(&scene_size_running, budget))
		return;
	for (i = 0; i < budget; i++)
		member_start(&crowd[i], &scene_size_running);
	fault_held(tap_arg(), budget);
	set_timeouts("100");
	if (member_open(late, NR_VFS, false)) {
		refuse_set(&late->v, ST_P2P, EBUSY);
		check_runs(late);
	}
	vf_close(&late->v);
	EXPECT_EQ(nr_held(tap_arg()), (int)budget, "held");
	fault_release(tap_arg());
	for (i = 0; i < budget; i++)
		EXPECT_EQ(member_end(&crowd[i]), 0, "size");
	pf_check_no_reset(tap_arg());
}

static void test_open(void)
{
	check_open();
	crowd_close();
}

/* ---- a device that ignores Abort ---- */

#define IGNORED		24

/* A VF's own file names the one that others wait for. */
static void check_named(const struct member *by, const struct member *stalled)
{
	const char *value;
	char key[64];

	snprintf(key, sizeof(key), "command of %s", stalled->v.bdf);
	value = debugfs_value(by->v.bdf, key);
	EXPECT(!strncmp(value, "opcode 0x41, for ", 17) && strstr(value, ", given up"), "'%s'",
	       value);
}

/*
 * Guests that stall, more than may: each loses its VF for itself only, until so many have that
 * the PF takes no Suspend any more, which is said. Resume works. A reset of each VF helps.
 */
static void check_ignored(void)
{
	unsigned int i, given_up = 0;
	struct member *other = &crowd[IGNORED + 1];
	int err;

	if (!crowd_open(IGNORED + 2, IGNORED) || !go(&other->v, ST_P2P) || !set_timeouts("100"))
		return;
	for (i = 0; i < IGNORED; i++) {
		err = vdev_mig_set_state(&crowd[i].v.dev, ST_P2P, NULL);
		if (err == -EBUSY)
			break;
		EXPECT_EQ(err, -ETIMEDOUT, "Suspend of VF %u", crowd[i].v.vfn);
		vf_expect_state(&crowd[i].v, ST_ERROR);
		given_up++;
	}
	tap_note("%u Suspends given up", given_up);
	EXPECT(given_up > 12 && given_up < IGNORED, "Suspends given up: %u", given_up);
	vf_expect_state(&crowd[given_up].v, ST_RUNNING);
	set_timeouts("600000");
	check_named(other, &crowd[0]);
	klog_wait(crowd[0].v.bdf, "was given up, and is unanswered after");
	go(&other->v, ST_RUNNING);
	check_runs(other);
	check_host();
	for (i = 0; i < given_up; i++) {
		crowd[i].v.u.udrv.faults = 0;
		vf_reset(&crowd[i].v);
		vf_check_usable(&crowd[i].v);
	}
	other--;
	go(&other->v, ST_STOP);
	go(&other->v, ST_RUNNING);
	check_runs(other);
	pf_check_no_reset(tap_arg());
}

static void test_ignored(void)
{
	check_ignored();
	crowd_close();
}

static const struct drv_test crowd_tests[] = {
	{ "64 VFs, 8 guests stall", test_eight, ON_SPECIAL, CR_ABORTS },
	{ "64 VFs, 40 guests stall", test_most, ON_SPECIAL, CR_ABORTS },
	{ "Resume first", test_resume_first, ON_SPECIAL, CR_ABORTS },
	{ "Suspends wait in order, and leave some to others", test_reserve, ON_SPECIAL, CR_ABORTS },
	{ "open of a VF of a busy PF", test_open, ON_SPECIAL, CR_ABORTS },
	{ "Abort ignored", test_ignored, ON_SPECIAL, CR_IGNORES },
};

const struct test_group crowd_group = { "crowd", crowd_tests, ARRAY_SIZE(crowd_tests) };
