// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading what is dirty, and sending it.
 */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "copy.h"

/* Most bytes to take at once, and to send without a confirmation */
#define TAKE_MAX	(64ULL << 20)
#define SYNC_BYTES	(256ULL << 20)

/* Zeros in the midst of data are worth a message of their own from here on */
#define ZEROS_MIN	65536
#define ZEROS_STEP	4096

/* How often to attend to other things while the receiver writes */
#define ANSWER_MS	100

/* Bytes that may be sent before the rate is looked at again */
#define PACE_BYTES	65536

static void sleep_ms(u64 ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static void pace(struct copy *c)
{
	u64 sent = peer_sent(c->peer) - c->paced, now = now_ms(), due;

	if (!c->o->rate || c->urgent || sent < PACE_BYTES)
		return;
	due = c->paced_at + sent * 1000 / c->o->rate;
	if (due > now)
		sleep_ms(min_t(u64, due - now, 1000));
	else
		due = now;
	c->paced_at = max(due, now);
	c->paced += sent;
}

static int send_zeros(struct copy *c, const struct disk *d, u64 offset, u64 len)
{
	c->zeros += len;
	return peer_extent(c->peer, d->nsid, offset, len, NULL);
}

/* How many bytes from @at on are zeros, or, with @zero false, are not worth a message as zeros */
static u32 same_kind(const u8 *buf, u32 at, u32 len, bool zero)
{
	u32 n, end;

	for (n = 0; at + n < len; n += end) {
		end = min_t(u32, zero ? ZEROS_STEP : ZEROS_MIN, len - at - n);
		if (is_zero(buf + at + n, end) != zero)
			break;
	}
	return n;
}

/* Zeros are looked for in steps from the begin of the message, which may be one step */
static int send_data(struct copy *c, const struct disk *d, u64 offset, u32 len)
{
	int ret = 0;
	u32 n;

	for (u32 at = 0; at < len && !ret; at += n) {
		n = same_kind(c->buf, at, len, true);
		if (n >= ZEROS_MIN || (n && n == len)) {
			ret = send_zeros(c, d, offset + at, n);
			continue;
		}
		n += same_kind(c->buf, at + n, len, false);
		ret = peer_extent(c->peer, d->nsid, offset + at, n, c->buf + at);
	}
	return ret;
}

static int copy_data(struct copy *c, const struct disk *d, u64 offset, u64 len)
{
	int ret;
	u32 n;

	for (; len; offset += n, len -= n) {
		ret = c->attend(c->arg);
		if (ret)
			return ret;
		n = min_t(u64, len, WIRE_DATA_MAX);
		ret = disk_read(d, c->buf, n, offset);
		c->left -= n;
		if (ret)
			return fail(MIRROR_FAILED, "namespace %u: %s: read: %s", d->nsid, d->path,
				    strerror(-ret));
		ret = send_data(c, d, offset, n);
		if (ret)
			return ret;
		pace(c);
	}
	return 0;
}

static int copy_run(struct copy *c, const struct run *run)
{
	const struct disk *d = c->changes->spaces[run->space].disk;
	u64 offset = run->offset, end = offset + run->len;
	struct disk_extent e;
	int ret = 0;

	for (; offset < end && !ret; offset += e.len) {
		disk_extent(d, offset, end - offset, &e);
		if (e.data && c->full)
			c->unconfirmed += e.len;
		c->left = end - offset;
		ret = e.data ? copy_data(c, d, offset, e.len) : send_zeros(c, d, offset, e.len);
	}
	return ret;
}

int copy_sync(struct copy *c, u16 flags)
{
	int ret = peer_sync(c->peer, flags);

	while (!ret && !peer_answers(c->peer, ANSWER_MS))
		ret = c->attend(c->arg);
	ret = ret ?: peer_synced(c->peer, flags);
	if (ret)
		return ret;
	changes_confirm(c->changes);
	c->allocated += c->unconfirmed;
	c->unconfirmed = 0;
	return 0;
}

/* Only between ranges: a confirmation is for whole ones */
static int sync_if_due(struct copy *c)
{
	u16 flags = c->o->verify || c->urgent ? WIRE_VERIFY : 0;

	if (c->peer->extents < WIRE_EXTENTS_MAX / 2 && c->peer->bytes < SYNC_BYTES)
		return 0;
	return copy_sync(c, flags);
}

int copy_pass(struct copy *c, u16 flags)
{
	struct run run = { };
	int ret;

	c->full = c->full || c->again;
	c->again = false;
	ret = c->attend(c->arg);
	for (; !ret && changes_take(c->changes, &run, TAKE_MAX); run.offset += run.len) {
		ret = c->attend(c->arg);
		ret = ret ?: copy_run(c, &run);
		c->left = 0;
		ret = ret ?: sync_if_due(c);
	}
	ret = ret ?: copy_sync(c, flags);
	if (!ret)
		c->full = false;
	return ret;
}

void copy_return(struct copy *c)
{
	changes_return(c->changes);
	c->unconfirmed = 0;
}

void copy_all(struct copy *c)
{
	changes_all(c->changes);
	c->again = true;
}
