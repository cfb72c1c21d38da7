// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data with a stamp, and a load of reads and writes that is kept in flight.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <linux/kernel.h>

#include "load.h"

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

static u64 word_at(u64 block, u32 version, u32 seed, u32 i)
{
	if (i == 0)
		return block;
	if (i == 1)
		return version | (u64)seed << 32;
	return mix(block * 0x9e3779b97f4a7c15ULL + version + ((u64)seed << 32)) + i * 0x1b3ULL;
}

static bool block_ok(const u64 *words, u32 block_size, u64 block, u32 version, u32 seed)
{
	u32 i;

	for (i = 0; i < block_size / 8; i++)
		if (words[i] != word_at(block, version, seed, i))
			return false;
	return true;
}

void pattern_fill(void *data, u32 block_size, u64 block, u32 nr, u32 version, u32 seed)
{
	u64 *words = data;
	u32 i, n;

	for (n = 0; n < nr; n++)
		for (i = 0; i < block_size / 8; i++)
			*words++ = word_at(block + n, version, seed, i);
}

u32 pattern_bad(const void *data, u32 block_size, u64 block, u32 nr, u32 version, u32 seed)
{
	u32 n;

	for (n = 0; n < nr; n++)
		if (!block_ok(data + (size_t)n * block_size, block_size, block + n, version, seed))
			break;
	return n;
}

/* ---- load ---- */

struct load_slot {
	struct load *l;
	struct udrv_io io;
	bool busy;
	u32 unit;
};

static u32 rnd(struct load *l)
{
	l->rnd ^= l->rnd << 13;
	l->rnd ^= l->rnd >> 17;
	l->rnd ^= l->rnd << 5;
	return l->rnd;
}

static size_t unit_bytes(const struct load *l)
{
	return (size_t)l->unit_blocks * l->u->block_size;
}

static u64 unit_block(const struct load *l, u32 unit)
{
	return l->first_block + (u64)unit * l->unit_blocks;
}

static u64 load_ops(const struct load *l)
{
	return l->reads + l->writes;
}

static void compare(struct load *l, const u8 *buf, u32 unit)
{
	u64 block = unit_block(l, unit);
	u32 bad = pattern_bad(buf, l->u->block_size, block, l->unit_blocks, l->version[unit],
			      l->seed);
	const u64 *w = (const u64 *)(buf + (size_t)bad * l->u->block_size);

	if (bad == l->unit_blocks)
		return;
	l->miscompares++;
	udrv_fault(l->u, "block %lu: version %u expected, found block %lu version %u", block + bad,
		   l->version[unit], w[0], (u32)w[1]);
}

static void io_done(struct udrv *u, struct udrv_io *io)
{
	struct load_slot *s = io->priv;
	struct load *l = s->l;

	if (io->error)
		l->errors++;
	else if (!io->write)
		compare(l, io->buf, s->unit);
	if (io->write)
		l->writes++;
	else
		l->reads++;
	s->busy = false;
	l->busy[s->unit] = 0;
}

static bool pick_unit(struct load *l, u32 *unit)
{
	u32 i, first = rnd(l) % l->units;

	for (i = 0; i < l->units; i++) {
		*unit = (first + i) % l->units;
		if (!l->busy[*unit])
			return true;
	}
	return false;
}

static void submit_io(struct load *l, struct load_slot *s)
{
	struct udrv_io *io = &s->io;
	u32 unit;

	if (!pick_unit(l, &unit))
		return;
	s->unit = unit;
	io->write = !l->version[unit] || rnd(l) % 2;
	io->block = unit_block(l, unit);
	if (io->write)
		pattern_fill(io->buf, l->u->block_size, io->block, io->blocks,
			     l->version[unit] + 1, l->seed);
	else
		memset(io->buf, 0xa5, unit_bytes(l));
	if (udrv_queue(l->u, io))
		return;
	l->version[unit] += io->write;
	l->busy[unit] = 1;
	s->busy = true;
}

static void control_done(struct udrv *u, struct udrv_io *io)
{
	struct load *l = io->priv;

	l->control_busy = false;
	l->controls++;
	l->errors += !!io->error;
}

static void submit_control(struct load *l)
{
	struct udrv_io *io = &l->control_io;

	io->write = !io->write;
	memset(io->buf, 0x5a, PAGE);
	l->control_busy = !udrv_submit(l->u, io);
}

static void init_slots(struct load *l)
{
	unsigned int i;

	for (i = 0; i < l->nr_slots; i++)
		l->slots[i] = (struct load_slot){
			.l = l,
			.io = {
				.channel = 1 + i / l->qd, .blocks = l->unit_blocks,
				.buf = arena_alloc(l->u->arena, unit_bytes(l)),
				.done = io_done, .priv = &l->slots[i],
			},
		};
	l->control_io = (struct udrv_io){
		.write = true, .buf = arena_alloc(l->u->arena, PAGE),
		.done = control_done, .priv = l,
	};
}

int load_init(struct load *l)
{
	unsigned int nr = l->u->channels * l->qd;

	if (!nr || !l->units || !l->unit_blocks || unit_bytes(l) > l->u->max_bytes)
		return -EINVAL;
	if (l->first_block + (u64)l->units * l->unit_blocks > l->u->blocks)
		return -EINVAL;
	l->version = calloc(l->units, sizeof(*l->version));
	l->busy = calloc(l->units, 1);
	l->slots = calloc(nr, sizeof(*l->slots));
	if (!l->version || !l->busy || !l->slots)
		return -ENOMEM;
	l->nr_slots = nr;
	init_slots(l);
	l->rnd = l->seed * 2654435761u | 1;
	l->is = LOAD_END;
	pthread_mutex_init(&l->ctl, NULL);
	pthread_cond_init(&l->cond, NULL);
	return 0;
}

static void kick_all(struct load *l)
{
	unsigned int i;

	for (i = 1; i <= l->u->channels; i++)
		udrv_kick(l->u, i);
}

unsigned int load_step(struct load *l)
{
	struct udrv *u = l->u;
	unsigned int i, n;

	pthread_mutex_lock(&u->lock);
	for (i = 0; i < l->nr_slots && !l->stop_submit; i++)
		if (!l->slots[i].busy)
			submit_io(l, &l->slots[i]);
	kick_all(l);
	if (l->control && !l->control_busy && !l->stop_submit)
		submit_control(l);
	n = u->ops->wait(u, 0);
	pthread_mutex_unlock(&u->lock);
	return n;
}

struct until {
	struct load *l;
	u64 ops;
};

static bool ops_reached(struct udrv *u, void *priv)
{
	struct until *until = priv;

	load_step(until->l);
	return load_ops(until->l) >= until->ops;
}

int load_run(struct load *l, u64 ops)
{
	struct until until = { l, load_ops(l) + ops };

	l->stop_submit = false;
	return udrv_wait_for(l->u, ops_reached, &until, UDRV_TIMEOUT_MS);
}

static bool all_idle(struct udrv *u, void *priv)
{
	struct load *l = priv;
	unsigned int i;

	for (i = 0; i < l->nr_slots; i++)
		if (l->slots[i].busy)
			return false;
	return !l->control_busy;
}

int load_drain(struct load *l)
{
	l->stop_submit = true;
	kick_all(l);
	return udrv_wait_for(l->u, all_idle, l, UDRV_TIMEOUT_MS);
}

static int verify_unit(struct load *l, u32 unit)
{
	u64 before = l->miscompares;
	struct udrv_io io = {
		.channel = 1 + unit % l->u->channels, .block = unit_block(l, unit),
		.blocks = l->unit_blocks, .buf = l->slots[0].io.buf,
	};
	int err = udrv_exec(l->u, &io);

	if (err)
		return err;
	compare(l, io.buf, unit);
	return l->miscompares != before;
}

int load_verify(struct load *l)
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

static int load_say(struct load *l)
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
	struct load *l = arg;

	while (load_say(l) == LOAD_RUN)
		if (!load_step(l))
			l->u->ops->wait(l->u, 5);
	return NULL;
}

static void load_tell(struct load *l, int want)
{
	pthread_mutex_lock(&l->ctl);
	l->want = want;
	pthread_cond_broadcast(&l->cond);
	while (want == LOAD_PAUSE && l->is != LOAD_PAUSE)
		pthread_cond_wait(&l->cond, &l->ctl);
	pthread_mutex_unlock(&l->ctl);
}

int load_start(struct load *l)
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

void load_pause(struct load *l)
{
	load_tell(l, LOAD_PAUSE);
}

void load_resume(struct load *l)
{
	load_tell(l, LOAD_RUN);
}

int load_wait_ops(struct load *l, u64 ops)
{
	u64 end = now_ms() + UDRV_TIMEOUT_MS;
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
	udrv_fault(l->u, "the load got stuck after %lu requests", done);
	return -ETIMEDOUT;
}

int load_end(struct load *l)
{
	load_tell(l, LOAD_END);
	pthread_join(l->thread, NULL);
	return load_drain(l);
}

void load_fini(struct load *l)
{
	free(l->version);
	free(l->busy);
	free(l->slots);
	l->version = NULL;
	l->busy = NULL;
	l->slots = NULL;
	l->nr_slots = 0;
}
