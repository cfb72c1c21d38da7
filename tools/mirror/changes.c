// SPDX-License-Identifier: GPL-2.0-only
/*
 * What has to be copied, by the log.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "changes.h"
#include "report.h"

#define UNIT_MIN	4096
#define BATCH		1024

#define NSID_ALL	0xffffffff

/* Events after which the log has no more entries */
#define ENDS	(CHANGES_FULL | CHANGES_LOST | CHANGES_STOPPED)

static u64 to_units(const struct changed *s, u64 bytes)
{
	return bytes / s->unit + !!(bytes % s->unit);
}

static int init_space(struct changed *s, const struct disk *d)
{
	u64 units;

	s->disk = d;
	s->unit = max_t(u32, d->lba_size, UNIT_MIN);
	units = to_units(s, d->size);
	return bitmap_init(&s->dirty, units);
}

static void init_lock(struct changes *c)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->moved, &attr);
	pthread_condattr_destroy(&attr);
}

int changes_init(struct changes *c, const struct disk *disks, u32 nr, bool all)
{
	int ret;

	memset(c, 0, sizeof(*c));
	init_lock(c);
	c->log = -1;
	c->nr = nr;
	c->all = all;
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->spaces = calloc(nr, sizeof(*c->spaces));
	if (c->wake < 0 || !c->spaces)
		return -ENOMEM;

	for (u32 i = 0; i < nr; i++) {
		ret = init_space(&c->spaces[i], &disks[i]);
		if (ret)
			return ret;
	}
	return 0;
}

void changes_free(struct changes *c)
{
	changes_stop(c);
	for (u32 i = 0; c->spaces && i < c->nr; i++)
		bitmap_free(&c->spaces[i].dirty);
	free(c->spaces);
	if (c->wake >= 0)
		close(c->wake);
}

static void note_range(struct changes *c, struct changed *s, u64 offset, u64 len)
{
	u64 first = offset / s->unit, end = to_units(s, offset + len);

	c->logged += bitmap_add(&s->dirty, first, end - first) * s->unit;
}

static void note_blocks(struct changes *c, struct changed *s, const struct nvme_lm_log_entry *e)
{
	u64 slba = le64_to_cpu(e->slba), blocks = s->disk->size / s->disk->lba_size;
	u64 n = (u64)le32_to_cpu(e->nlb) + 1;

	if (slba >= blocks || n > blocks - slba)
		c->events |= CHANGES_OUTSIDE;
	if (slba >= blocks)
		return;
	n = min(n, blocks - slba);
	note_range(c, s, slba * s->disk->lba_size, n * s->disk->lba_size);
}

static struct changed *find_space(struct changes *c, u32 nsid)
{
	for (u32 i = 0; i < c->nr; i++) {
		if (c->spaces[i].disk->nsid == nsid)
			return &c->spaces[i];
	}
	return NULL;
}

static void note_whole(struct changes *c, struct changed *s)
{
	c->events |= CHANGES_NAMESPACE;
	note_range(c, s, 0, s->disk->size);
}

static void note_change(struct changes *c, const struct nvme_lm_log_entry *e)
{
	u32 nsid = le32_to_cpu(e->nsid);
	struct changed *s = find_space(c, nsid);

	if (nsid == NSID_ALL) {
		for (u32 i = 0; i < c->nr; i++)
			note_whole(c, &c->spaces[i]);
	} else if (!s) {
		if (!c->all)
			return;
		c->events |= CHANGES_STRANGER;
		c->nsid = nsid;
	} else if ((e->attr & NVME_LM_LOG_LBACIR_MASK) == NVME_LM_LOG_LBACIR_RANGE) {
		note_blocks(c, s, e);
	} else {
		note_whole(c, s);
	}
}

static void note_entry(struct changes *c, const struct nvme_lm_log_entry *e)
{
	if ((e->attr & NVME_LM_LOG_LBACIR_MASK) != NVME_LM_LOG_LBACIR_NONE)
		note_change(c, e);

	switch (e->attr & NVME_LM_LOG_ESA_MASK) {
	case NVME_LM_LOG_ESA_CHANGE:
		break;
	case NVME_LM_LOG_ESA_FIRST:
		c->suspended = false;
		break;
	case NVME_LM_LOG_ESA_SUSPENDED:
		c->suspended = true;
		break;
	case NVME_LM_LOG_ESA_FULL:
		c->events |= CHANGES_FULL;
		break;
	default:
		c->events |= CHANGES_STOPPED;
	}
}

/* What one read of the log returned; returns whether there can be more */
static bool note(struct changes *c, const struct nvme_lm_log_entry *entries, int n)
{
	pthread_mutex_lock(&c->lock);
	for (int i = 0; i < n; i++)
		note_entry(c, &entries[i]);
	if (n < 0 && n != -EAGAIN && n != -EINTR) {
		c->events |= CHANGES_LOST;
		c->error = -n;
	} else if (!n && !(c->events & ENDS)) {
		c->events |= CHANGES_STOPPED;
	}
	n = c->events & ENDS ? 0 : n;
	pthread_cond_broadcast(&c->moved);
	pthread_mutex_unlock(&c->lock);
	return n > 0 || n == -EINTR;
}

/* Read until there is nothing left, and answer who asked before */
static bool drain(struct changes *c, struct nvme_lm_log_entry *entries)
{
	bool go_on;
	u64 asked;

	pthread_mutex_lock(&c->lock);
	asked = c->asked;
	pthread_mutex_unlock(&c->lock);

	while (note(c, entries, log_read(c->log, entries, BATCH)))
		;

	pthread_mutex_lock(&c->lock);
	c->answered = asked;
	go_on = !c->quit && !(c->events & ENDS);
	pthread_cond_broadcast(&c->moved);
	pthread_mutex_unlock(&c->lock);
	return go_on;
}

static void *read_log(void *arg)
{
	struct nvme_lm_log_entry entries[BATCH];
	struct changes *c = arg;
	struct pollfd fds[] = { { .fd = c->log, .events = POLLIN },
				{ .fd = c->wake, .events = POLLIN } };
	u64 n;

	while (drain(c, entries)) {
		if (poll(fds, ARRAY_SIZE(fds), -1) > 0 && fds[1].revents &&
		    read(c->wake, &n, sizeof(n)) < 0)
			continue;
	}
	return NULL;
}

static void wake(struct changes *c)
{
	u64 one = 1;

	/* it can only fail if the thread is going to be woken anyway */
	if (write(c->wake, &one, sizeof(one)) < 0)
		return;
}

void changes_all(struct changes *c)
{
	pthread_mutex_lock(&c->lock);
	for (u32 i = 0; i < c->nr; i++)
		bitmap_add(&c->spaces[i].dirty, 0, c->spaces[i].dirty.size);
	c->nr_unconfirmed = 0;
	pthread_mutex_unlock(&c->lock);
}

int changes_start(struct changes *c, const char *pf, u16 cntlid, u32 queue)
{
	int ret = log_open(pf, cntlid, queue);

	if (ret < 0)
		return ret;

	c->log = ret;
	c->quit = false;
	c->events = 0;
	c->suspended = false;
	changes_all(c);
	ret = pthread_create(&c->thread, NULL, read_log, c);
	if (ret) {
		log_close(c->log);
		c->log = -1;
	}
	return -ret;
}

void changes_stop(struct changes *c)
{
	if (c->log < 0)
		return;

	pthread_mutex_lock(&c->lock);
	c->quit = true;
	pthread_mutex_unlock(&c->lock);
	wake(c);
	pthread_join(c->thread, NULL);
	log_close(c->log);
	c->log = -1;
}

/* Take from one namespace, whose end may cut its last unit */
static bool take(struct changed *s, struct run *run, u64 most)
{
	u64 first = bitmap_next(&s->dirty, to_units(s, run->offset)), end;

	if (first >= s->dirty.size)
		return false;

	end = bitmap_next_absent(&s->dirty, first);
	end = min(end, first + most / s->unit);
	bitmap_remove(&s->dirty, first, end - first);
	run->offset = first * s->unit;
	run->len = min(end * s->unit, s->disk->size) - run->offset;
	return true;
}

bool changes_take(struct changes *c, struct run *run, u64 most)
{
	bool found = false;

	if (c->nr_unconfirmed == CHANGES_UNCONFIRMED_MAX)
		return false;

	pthread_mutex_lock(&c->lock);
	for (; run->space < c->nr && !found; run->space += !found) {
		found = take(&c->spaces[run->space], run, most);
		if (!found)
			run->offset = 0;
	}
	pthread_mutex_unlock(&c->lock);
	if (found)
		c->unconfirmed[c->nr_unconfirmed++] = *run;
	return found;
}

void changes_confirm(struct changes *c)
{
	c->nr_unconfirmed = 0;
}

void changes_return(struct changes *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->nr_unconfirmed) {
		const struct run *r = &c->unconfirmed[--c->nr_unconfirmed];
		struct changed *s = &c->spaces[r->space];
		u64 first = r->offset / s->unit;

		bitmap_add(&s->dirty, first, to_units(s, r->offset + r->len) - first);
	}
	pthread_mutex_unlock(&c->lock);
}

u64 changes_dirty(struct changes *c)
{
	u64 bytes = 0;

	pthread_mutex_lock(&c->lock);
	for (u32 i = 0; i < c->nr; i++)
		bytes += c->spaces[i].dirty.count * c->spaces[i].unit;
	pthread_mutex_unlock(&c->lock);
	return bytes;
}

u64 changes_logged(struct changes *c)
{
	u64 bytes;

	pthread_mutex_lock(&c->lock);
	bytes = c->logged;
	pthread_mutex_unlock(&c->lock);
	return bytes;
}

u32 changes_events(struct changes *c)
{
	u32 events;

	pthread_mutex_lock(&c->lock);
	events = c->events;
	c->events &= ~(CHANGES_NAMESPACE | CHANGES_OUTSIDE);
	pthread_mutex_unlock(&c->lock);
	return events;
}

bool changes_suspended(struct changes *c)
{
	bool suspended;

	pthread_mutex_lock(&c->lock);
	suspended = c->suspended;
	pthread_mutex_unlock(&c->lock);
	return suspended;
}

static struct timespec deadline(u32 ms)
{
	u64 then = now_ms() + ms;

	return (struct timespec){ .tv_sec = then / 1000, .tv_nsec = then % 1000 * 1000000 };
}

void changes_wait(struct changes *c, u32 ms)
{
	struct timespec until = deadline(ms);

	pthread_mutex_lock(&c->lock);
	pthread_cond_timedwait(&c->moved, &c->lock, &until);
	pthread_mutex_unlock(&c->lock);
}

bool changes_drain(struct changes *c, u32 ms)
{
	struct timespec until = deadline(ms);
	bool suspended;
	int ret = 0;

	pthread_mutex_lock(&c->lock);
	c->asked++;
	wake(c);
	while (!ret && !(c->events & ENDS) && !(c->answered == c->asked && c->suspended))
		ret = pthread_cond_timedwait(&c->moved, &c->lock, &until);
	suspended = c->suspended && c->answered == c->asked && !(c->events & ENDS);
	pthread_mutex_unlock(&c->lock);
	return suspended;
}
