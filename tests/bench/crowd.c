// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many VFs of one PF at once, each with a thread of its own.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "function.h"

#define NR_VFS		64
#define NR_FLUSHES	10
#define NR_IDLE		500
#define NR_SAMPLES	100000

struct member {
	struct vf v;
	unsigned int done;	/* flushes of a guest that stalls */
	u8 *data;
	pthread_t thread;
	pid_t tid;
	int err;
	u64 end;
	bool over;
};

static struct member crowd[NR_VFS];
static pthread_barrier_t together;

/* ---- a save ---- */

static void *save_thread(void *arg)
{
	struct member *m = arg;
	ssize_t n = -1;
	int fd;

	pthread_barrier_wait(&together);
	fd = vdev_mig_open(&m->v.dev, ST_STOP_COPY);
	if (fd >= 0) {
		do
			n = read(fd, m->data, STEP);
		while (n > 0);
		close(fd);
	}
	m->err = n ? -EIO : 0;
	m->end = now_ns();
	__atomic_store_n(&m->over, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool open_crowd(int pf, unsigned int first, unsigned int nr)
{
	for (; first < nr; first++)
		if (!open_guest(&crowd[first].v, pf, first + 1, 1))
			return false;
	return true;
}

/* Threads of all from @first on, which begin together: the returned time */
static u64 start_threads(unsigned int first, unsigned int nr, void *(*run)(void *arg))
{
	unsigned int i;
	u64 start;

	pthread_barrier_init(&together, NULL, nr - first + 1);
	for (i = first; i < nr; i++)
		if (pthread_create(&crowd[i].thread, NULL, run, &crowd[i]))
			exit(2);
	start = now_ns();
	pthread_barrier_wait(&together);
	return start;
}

/* When the last of them was done */
static u64 end_threads(unsigned int first, unsigned int nr)
{
	u64 last = 0;

	for (; first < nr; first++) {
		pthread_join(crowd[first].thread, NULL);
		EXPECT_EQ(crowd[first].err, 0, "VF %u", first + 1);
		if (crowd[first].end > last)
			last = crowd[first].end;
	}
	return last;
}

static bool prepare_saves(int pf, unsigned int nr)
{
	unsigned int i;

	if (!EXPECT(nr <= NR_VFS, "%u VFs", nr) || !open_crowd(pf, 0, nr))
		return false;
	for (i = 0; i < nr; i++) {
		crowd[i].data = populated(STEP);
		if (!set_state(&crowd[i].v, ST_STOP))
			return false;
	}
	return true;
}

void measure_saves(int pf, unsigned int nr)
{
	u64 start;

	if (!prepare_saves(pf, nr))
		return;
	start = start_threads(0, nr, save_thread);
	report("last_ns", end_threads(0, nr) - start);
}

/* ---- the host's own commands meanwhile ---- */

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static bool busy(unsigned int nr)
{
	while (nr--)
		if (!__atomic_load_n(&crowd[nr].over, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

static u64 identify_ns(struct lm_pf *pf)
{
	static u8 buf[4096];
	u64 start = now_ns();

	EXPECT_EQ(lm_identify(pf, 1, 0, buf), 0, "Identify");
	return now_ns() - start;
}

/* Without @savers so many, else until none of them is busy any more */
static void sample(struct lm_pf *pf, unsigned int savers, const char *what)
{
	u64 *ns = populated(NR_SAMPLES * sizeof(*ns));
	unsigned int n = 0;
	char name[32];

	while (n < NR_SAMPLES && (savers ? busy(savers) : n < NR_IDLE))
		ns[n++] = identify_ns(pf);
	qsort(ns, n, sizeof(*ns), compare);
	snprintf(name, sizeof(name), "%s_ns", what);
	report(name, n ? ns[n / 2] : 0);
	snprintf(name, sizeof(name), "%s_p99_ns", what);
	report(name, n ? ns[n * 99 / 100] : 0);
	snprintf(name, sizeof(name), "%s_samples", what);
	report(name, n);
}

void measure_latency(int pf_nr, unsigned int nr)
{
	struct lm_pf *pf = pf_get(pf_nr);

	if (!pf || !prepare_saves(pf_nr, nr))
		return;
	sample(pf, 0, "idle");
	start_threads(0, nr, save_thread);
	sample(pf, nr, "busy");
	end_threads(0, nr);
}

/* ---- Suspends ---- */

static void *suspend_thread(void *arg)
{
	struct member *m = arg;

	__atomic_store_n(&m->tid, gettid(), __ATOMIC_RELEASE);
	pthread_barrier_wait(&together);
	m->err = vdev_mig_set_state(&m->v.dev, ST_P2P, NULL);
	m->end = now_ns();
	__atomic_store_n(&m->over, true, __ATOMIC_RELEASE);
	return NULL;
}

static void count_done(struct unvme *u, struct unvme_cmd *c)
{
	(*(unsigned int *)c->priv)++;
}

/* A guest that does not take its completions, which do not fit into its queue: it never drains */
static bool open_stalled(struct member *m, int pf, unsigned int vfn)
{
	static const struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	static const struct unvme_opts o = { .irq = true, .vectors = 2 };
	struct unvme *u = &m->v.u;
	unsigned int i;

	if (!vf_find(&m->v, pf, vfn) || !vf_attach(&m->v) || !vf_up(&m->v, &o) ||
	    !EXPECT_EQ(unvme_create_cq(u, 1, 4, 1), 0, "CQ") ||
	    !EXPECT_EQ(unvme_create_sq(u, 1, 16, 1), 0, "SQ"))
		return false;
	for (i = 0; i < NR_FLUSHES; i++)
		unvme_queue_cmd(u, 1, &flush, count_done, &m->done);
	unvme_ring(u, 1);
	/* all of the queue but one entry */
	while (!(__atomic_load_n(&u->cqs[1].ring[2].status, __ATOMIC_ACQUIRE) & 1))
		sched_yield();
	return true;
}

/* Their Suspends are on their way, and stay there */
static void start_stalled(unsigned int nr)
{
	unsigned int i;
	pid_t tid;

	start_threads(0, nr, suspend_thread);
	for (i = 0; i < nr; i++) {
		do {
			sched_yield();
			tid = __atomic_load_n(&crowd[i].tid, __ATOMIC_ACQUIRE);
		} while (!tid || thread_state(getpid(), tid) != 'D');
	}
}

static void end_stalled(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		EXPECT(!__atomic_load_n(&crowd[i].over, __ATOMIC_ACQUIRE), "VF %u is suspended",
		       i + 1);
		while (crowd[i].done < NR_FLUSHES)
			unvme_reap(&crowd[i].v.u, 1);
	}
	end_threads(0, nr);
}

/* All VFs, after the first ones, which stall */
void measure_suspends(int pf, unsigned int stalled)
{
	unsigned int i;
	u64 start;

	for (i = 0; i < stalled; i++)
		if (!open_stalled(&crowd[i], pf, i + 1))
			return;
	if (!open_crowd(pf, stalled, NR_VFS))
		return;
	if (stalled)
		start_stalled(stalled);
	start = start_threads(stalled, NR_VFS, suspend_thread);
	report("last_ns", end_threads(stalled, NR_VFS) - start);
	end_stalled(stalled);
}
