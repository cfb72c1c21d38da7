// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data with a stamp, a load of reads and writes kept in flight, and the watch for silence.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/kernel.h>

#include "unvme.h"

#define PAGE	4096u

/* ---- pattern ---- */

static u64 mix(u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static u64 word_at(u64 lba, u32 version, u32 seed, u32 i)
{
	if (i == 0)
		return lba;
	if (i == 1)
		return version | (u64)seed << 32;
	return mix(lba * 0x9e3779b97f4a7c15ULL + version + ((u64)seed << 32)) + i * 0x1b3ULL;
}

void pattern_fill(void *block, u32 lba_size, u64 lba, u32 version, u32 seed)
{
	u64 *w = block;
	u32 i;

	for (i = 0; i < lba_size / 8; i++)
		w[i] = word_at(lba, version, seed, i);
}

bool pattern_ok(const void *block, u32 lba_size, u64 lba, u32 version, u32 seed)
{
	const u64 *w = block;
	u32 i;

	for (i = 0; i < lba_size / 8; i++)
		if (w[i] != word_at(lba, version, seed, i))
			return false;
	return true;
}

/* ---- load ---- */

struct load_slot {
	struct unvme_load *l;
	bool busy;
	u16 sqid;
	u32 unit;
	bool write;
	u8 *buf;
	u64 *list;
};

static u32 rnd(struct unvme_load *l)
{
	l->rnd ^= l->rnd << 13;
	l->rnd ^= l->rnd >> 17;
	l->rnd ^= l->rnd << 5;
	return l->rnd;
}

static size_t unit_bytes(const struct unvme_load *l)
{
	return (size_t)l->unit_blocks * l->u->lba_size;
}

static u64 unit_lba(const struct unvme_load *l, u32 unit)
{
	return l->first_lba + (u64)unit * l->unit_blocks;
}

static u64 load_ops(const struct unvme_load *l)
{
	return l->reads + l->writes;
}

static void compare(struct unvme_load *l, const u8 *buf, u32 unit)
{
	u64 lba = unit_lba(l, unit);
	u32 i;

	for (i = 0; i < l->unit_blocks; i++) {
		const u64 *w = (const u64 *)(buf + i * l->u->lba_size);

		if (pattern_ok(w, l->u->lba_size, lba + i, l->version[unit], l->seed))
			continue;
		l->miscompares++;
		unvme_fault(l->u, "LBA %lu: version %u expected, found LBA %lu version %u",
			    lba + i, l->version[unit], w[0], (u32)w[1]);
		return;
	}
}

static void io_done(struct unvme *u, struct unvme_cmd *c)
{
	struct load_slot *s = c->priv;
	struct unvme_load *l = s->l;

	if (unvme_status(c)) {
		l->errors++;
		unvme_fault(u, "SQ %u: opcode %#x at LBA %u ended with status %#x", s->sqid,
			    c->sqe.opcode, c->sqe.cdw10, unvme_status(c));
	} else if (!s->write) {
		compare(l, s->buf, s->unit);
	}
	if (s->write)
		l->writes++;
	else
		l->reads++;
	s->busy = false;
	l->busy[s->unit] = 0;
}

static bool pick_unit(struct unvme_load *l, u32 *unit)
{
	u32 i, first = rnd(l) % l->units;

	for (i = 0; i < l->units; i++) {
		*unit = (first + i) % l->units;
		if (!l->busy[*unit])
			return true;
	}
	return false;
}

static bool submit_io(struct unvme_load *l, struct load_slot *s)
{
	struct unvme *u = l->u;
	struct nvme_sqe sqe = { .nsid = u->nsid };
	u32 unit, i;
	u64 lba;

	if (!pick_unit(l, &unit))
		return false;
	lba = unit_lba(l, unit);
	s->unit = unit;
	s->write = !l->version[unit] || rnd(l) % 2;
	sqe.opcode = s->write ? NVME_IO_WRITE : NVME_IO_READ;
	sqe.cdw10 = lba;
	sqe.cdw11 = lba >> 32;
	sqe.cdw12 = l->unit_blocks - 1;
	unvme_set_prp(u, &sqe, s->buf, unit_bytes(l), s->list);
	if (s->write)
		for (i = 0; i < l->unit_blocks; i++)
			pattern_fill(s->buf + i * u->lba_size, u->lba_size, lba + i,
				     l->version[unit] + 1, l->seed);
	else
		memset(s->buf, 0xa5, unit_bytes(l));
	if (!unvme_queue_cmd(u, s->sqid, &sqe, io_done, s))
		return false;
	l->version[unit] += s->write;
	l->busy[unit] = 1;
	s->busy = true;
	return true;
}

/* Admin commands whose results are known: Identify, a feature, a log. */
static void admin_done(struct unvme *u, struct unvme_cmd *c)
{
	struct unvme_load *l = c->priv;

	l->admin_busy = false;
	l->admin_done++;
	if (unvme_status(c)) {
		l->errors++;
		unvme_fault(u, "admin opcode %#x ended with status %#x", c->sqe.opcode,
			    unvme_status(c));
		return;
	}
	/* serial, model and firmware are those of the subsystem; only CNTLID may change */
	if (c->sqe.opcode == NVME_ADM_IDENTIFY && memcmp(l->admin_buf, u->id_ctrl, 72)) {
		l->errors++;
		unvme_fault(u, "Identify Controller has other data than at the start");
	}
}

static void submit_admin(struct unvme_load *l)
{
	static const struct nvme_sqe script[] = {
		{ .opcode = NVME_ADM_IDENTIFY, .cdw10 = 1 },
		{ .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 4 },
		{ .opcode = NVME_ADM_GET_LOG, .nsid = 0xffffffff, .cdw10 = 2 | 127u << 16 },
	};
	struct nvme_sqe sqe = script[l->admin_step % 3];

	memset(l->admin_buf, 0x5a, PAGE);
	unvme_set_prp(l->u, &sqe, l->admin_buf, PAGE, NULL);
	if (!unvme_submit(l->u, 0, &sqe, admin_done, l))
		return;
	l->admin_busy = true;
	l->admin_step++;
}

int load_init(struct unvme_load *l)
{
	struct unvme *u = l->u;
	unsigned int i, q, nr = u->opts.queues * l->qd;

	if (!nr || !l->units || !l->unit_blocks || unit_bytes(l) > u->mdts)
		return -EINVAL;
	if (l->first_lba + (u64)l->units * l->unit_blocks > u->nsze)
		return -EINVAL;
	l->version = calloc(l->units, sizeof(*l->version));
	l->busy = calloc(l->units, 1);
	l->slots = calloc(nr, sizeof(*l->slots));
	if (!l->version || !l->busy || !l->slots)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		q = 1 + i / l->qd;
		l->slots[i].l = l;
		l->slots[i].sqid = q;
		l->slots[i].buf = arena_alloc(u->arena, unit_bytes(l));
		l->slots[i].list = arena_alloc(u->arena, PAGE);
	}
	l->nr_slots = nr;
	l->admin_buf = arena_alloc(u->arena, PAGE);
	l->rnd = l->seed * 2654435761u | 1;
	l->is = LOAD_END;
	pthread_mutex_init(&l->ctl, NULL);
	pthread_cond_init(&l->cond, NULL);
	return 0;
}

unsigned int load_step(struct unvme_load *l)
{
	struct unvme *u = l->u;
	unsigned int i, n;
	u16 id;

	pthread_mutex_lock(&u->lock);
	for (i = 0; i < l->nr_slots && !l->stop_submit; i++)
		if (!l->slots[i].busy)
			submit_io(l, &l->slots[i]);
	for (id = 1; id <= u->opts.queues; id++)
		unvme_ring(u, id);
	if (l->admin && !l->admin_busy && !l->stop_submit)
		submit_admin(l);
	n = unvme_wait(u, 0);
	pthread_mutex_unlock(&u->lock);
	return n;
}

struct until {
	struct unvme_load *l;
	u64 ops;
};

static bool ops_reached(struct unvme *u, void *priv)
{
	struct until *until = priv;

	load_step(until->l);
	return load_ops(until->l) >= until->ops;
}

int load_run(struct unvme_load *l, u64 ops)
{
	struct until until = { l, load_ops(l) + ops };

	l->stop_submit = false;
	return unvme_wait_for(l->u, ops_reached, &until, UNVME_TIMEOUT_MS);
}

static bool all_idle(struct unvme *u, void *priv)
{
	struct unvme_load *l = priv;
	unsigned int i;

	for (i = 0; i < l->nr_slots; i++)
		if (l->slots[i].busy)
			return false;
	return !l->admin_busy;
}

int load_drain(struct unvme_load *l)
{
	u16 id;

	l->stop_submit = true;
	for (id = 1; id <= l->u->opts.queues; id++)
		unvme_ring(l->u, id);
	return unvme_wait_for(l->u, all_idle, l, UNVME_TIMEOUT_MS);
}

static int verify_unit(struct unvme_load *l, u32 unit)
{
	struct unvme *u = l->u;
	struct nvme_sqe sqe = { .opcode = NVME_IO_READ, .nsid = u->nsid };
	u64 lba = unit_lba(l, unit);
	u64 before = l->miscompares;
	int st;

	sqe.cdw10 = lba;
	sqe.cdw11 = lba >> 32;
	sqe.cdw12 = l->unit_blocks - 1;
	unvme_set_prp(u, &sqe, l->slots[0].buf, unit_bytes(l), l->slots[0].list);
	st = unvme_exec(u, 1 + unit % u->opts.queues, &sqe, NULL);
	if (st)
		return st > 0 ? -EIO : st;
	compare(l, l->slots[0].buf, unit);
	return l->miscompares != before;
}

int load_verify(struct unvme_load *l)
{
	int st, bad = 0;
	u32 unit;

	for (unit = 0; unit < l->units; unit++) {
		if (!l->version[unit])
			continue;
		st = verify_unit(l, unit);
		if (st < 0)
			return st;
		bad += st;
	}
	return bad;
}

/* ---- the load in its own thread ---- */

static int load_say(struct unvme_load *l)
{
	int want;

	pthread_mutex_lock(&l->ctl);
	want = l->want;
	l->is = want;
	pthread_cond_broadcast(&l->cond);
	while (l->want == LOAD_PAUSE)
		pthread_cond_wait(&l->cond, &l->ctl);
	want = l->want;
	l->is = want;
	pthread_mutex_unlock(&l->ctl);
	return want;
}

static void *load_thread(void *arg)
{
	struct unvme_load *l = arg;

	while (load_say(l) == LOAD_RUN)
		if (!load_step(l))
			unvme_wait(l->u, 5);
	return NULL;
}

static void load_tell(struct unvme_load *l, int want)
{
	pthread_mutex_lock(&l->ctl);
	l->want = want;
	pthread_cond_broadcast(&l->cond);
	while (want == LOAD_PAUSE && l->is != LOAD_PAUSE)
		pthread_cond_wait(&l->cond, &l->ctl);
	pthread_mutex_unlock(&l->ctl);
}

int load_start(struct unvme_load *l)
{
	int err;

	l->stop_submit = false;
	l->want = LOAD_RUN;
	l->is = LOAD_RUN;
	err = pthread_create(&l->thread, NULL, load_thread, l);
	if (err)
		l->is = LOAD_END;
	return -err;
}

void load_pause(struct unvme_load *l)
{
	load_tell(l, LOAD_PAUSE);
}

void load_resume(struct unvme_load *l)
{
	load_tell(l, LOAD_RUN);
}

int load_wait_ops(struct unvme_load *l, u64 ops)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	u64 target, done;

	pthread_mutex_lock(&l->u->lock);
	target = load_ops(l) + ops;
	pthread_mutex_unlock(&l->u->lock);
	do {
		sched_yield();
		pthread_mutex_lock(&l->u->lock);
		done = load_ops(l);
		pthread_mutex_unlock(&l->u->lock);
		if (done >= target)
			return 0;
	} while (now_ms() < end);
	unvme_fault(l->u, "the load got stuck at %lu commands", done);
	return -ETIMEDOUT;
}

int load_end(struct unvme_load *l)
{
	load_tell(l, LOAD_END);
	pthread_join(l->thread, NULL);
	return load_drain(l);
}

void load_fini(struct unvme_load *l)
{
	free(l->version);
	free(l->busy);
	free(l->slots);
	l->version = NULL;
	l->busy = NULL;
	l->slots = NULL;
	l->nr_slots = 0;
}

/* ---- silence ---- */

/* Value of an eventfd, which keeps it. */
static u64 peek_eventfd(int fd)
{
	u64 count = 0;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	if (write(fd, &count, sizeof(count)) != sizeof(count))
		return ~0ULL;
	return count;
}

/*
 * An interrupt may have reached its CPU and not yet its eventfd. A CPU that runs this thread has
 * taken all it had.
 */
static int take_interrupts(void)
{
	cpu_set_t old, one;
	int cpu, err = 0;

	if (sched_getaffinity(0, sizeof(old), &old))
		return -errno;
	for (cpu = 0; cpu < CPU_SETSIZE && !err; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		/* a CPU that does not exist or is offline has none */
		if (sched_setaffinity(0, sizeof(one), &one) && errno != EINVAL)
			err = -errno;
	}
	if (sched_setaffinity(0, sizeof(old), &old))
		err = -errno;
	return err;
}

int quiet_start(struct quiet *q, struct unvme *u)
{
	unsigned int i;
	int err;

	err = take_interrupts();
	if (err)
		return err;
	q->u = u;
	q->copy = malloc(u->arena->used);
	if (!q->copy)
		return -ENOMEM;
	q->used = u->arena->used;
	for (i = 0; i < u->nr_vectors; i++)
		q->fired[i] = peek_eventfd(u->evfds[i]);
	memcpy(q->copy, u->arena->va, q->used);
	return 0;
}

static int quiet_memory(struct quiet *q)
{
	const u8 *va = q->u->arena->va;
	size_t i;

	if (!memcmp(va, q->copy, q->used))
		return 0;
	for (i = 0; va[i] == q->copy[i]; i++)
		;
	unvme_fault(q->u, "memory changed while suspended, first at IO address %#lx",
		    q->u->arena->iova + i);
	return 1;
}

int quiet_check(struct quiet *q, unsigned int watch_ms)
{
	u64 end = now_ms() + watch_ms;
	unsigned int i;
	int bad;

	do {
		poll(NULL, 0, min(watch_ms, 50u));
		bad = quiet_memory(q);
		for (i = 0; i < q->u->nr_vectors; i++) {
			if (peek_eventfd(q->u->evfds[i]) == q->fired[i])
				continue;
			unvme_fault(q->u, "interrupt of vector %u while suspended", i);
			bad = 1;
		}
	} while (!bad && now_ms() < end);
	return bad;
}

void quiet_end(struct quiet *q)
{
	free(q->copy);
	q->copy = NULL;
}
