/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What has to be copied: a thread reads the log all the time, so that its queue does not fill, and
 * notes the changed blocks.
 */

#ifndef MIRROR_CHANGES_H
#define MIRROR_CHANGES_H

#include <pthread.h>
#include <stdbool.h>

#include <linux/bits.h>
#include <linux/kernel.h>

#include "bitmap.h"
#include "disk.h"
#include "log.h"

/* Why the log ended, or what the main thread has to look at */
enum changes_event {
	CHANGES_FULL		= BIT(0),	/* the queue was full: changes were lost */
	CHANGES_LOST		= BIT(1),	/* the log is gone, @error is why */
	CHANGES_STOPPED		= BIT(2),	/* somebody else stopped it */
	CHANGES_STRANGER	= BIT(3),	/* a namespace changed that is not copied */
	CHANGES_NAMESPACE	= BIT(4),	/* an entry was for a whole namespace */
	CHANGES_OUTSIDE		= BIT(5),	/* an entry was for blocks that do not exist */
};

/* Most ranges that can be taken without a confirmation */
#define CHANGES_UNCONFIRMED_MAX	16384

/**
 * struct changed - blocks of a namespace, in units
 * @disk: the namespace
 * @unit: bytes of a unit
 * @dirty: to be copied
 */
struct changed {
	const struct disk *disk;
	u32 unit;
	struct bitmap dirty;
};

/**
 * struct run - a range to copy
 * @space: index of its namespace
 * @offset: bytes
 * @len: bytes
 */
struct run {
	u32 space;
	u64 offset;
	u64 len;
};

/**
 * struct changes - of all namespaces that are copied
 * @spaces: one for each
 * @nr: how many
 * @all: they are all that the controller has: a change in another one is an event
 * @lock: protects what follows, and the bitmaps
 * @moved: something happened
 * @log: from log_open(), or -1
 * @wake: eventfd that makes the thread look at @quit and @asked
 * @thread: reads the log
 * @quit: it shall end
 * @asked: how often it was asked to read all that there is
 * @answered: how often it did
 * @suspended: the controller is suspended, the last entry said so
 * @events: enum changes_event
 * @error: errno of CHANGES_LOST
 * @nsid: of CHANGES_STRANGER
 * @logged: bytes that became dirty by the log
 * @unconfirmed: what was sent, but not confirmed
 * @nr_unconfirmed: how many ranges that is
 */
struct changes {
	struct changed *spaces;
	u32 nr;
	bool all;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	int log;
	int wake;
	pthread_t thread;
	bool quit;
	u64 asked;
	u64 answered;
	bool suspended;
	u32 events;
	int error;
	u32 nsid;
	u64 logged;
	struct run unconfirmed[CHANGES_UNCONFIRMED_MAX];
	u32 nr_unconfirmed;
};

/* Prepare for @nr disks, with nothing dirty; @all: see struct changes. 0 or a negative errno. */
int changes_init(struct changes *c, const struct disk *disks, u32 nr, bool all);
void changes_free(struct changes *c);

/**
 * changes_start() - start a log and its thread
 * @c: prepared, without a log
 * @pf: PCI address of the physical function
 * @cntlid: the controller
 * @queue: entries of the log's queue, or 0
 *
 * Everything is dirty then.
 *
 * Return: 0 or a negative errno.
 */
int changes_start(struct changes *c, const char *pf, u16 cntlid, u32 queue);

/* End the log and its thread, if there are any. */
void changes_stop(struct changes *c);

/* Everything is dirty, and nothing unconfirmed. */
void changes_all(struct changes *c);

/**
 * changes_take() - take a range that is dirty
 * @c: running
 * @run: begins with the place from which to look on; filled in
 * @most: most bytes to take, at least the largest unit
 *
 * The range is unconfirmed then, and not dirty: what changes from now on makes it dirty again.
 *
 * Return: whether there was one, and fewer than CHANGES_UNCONFIRMED_MAX are unconfirmed.
 */
bool changes_take(struct changes *c, struct run *run, u64 most);

/* What was taken is confirmed; or it was not, and is dirty again. */
void changes_confirm(struct changes *c);
void changes_return(struct changes *c);

/* Bytes that are dirty, bytes that the log made dirty so far */
u64 changes_dirty(struct changes *c);
u64 changes_logged(struct changes *c);

/* Take what happened: events that are not those of an end are forgotten by it. */
u32 changes_events(struct changes *c);

/* Whether the controller is suspended, as far as the log was read. */
bool changes_suspended(struct changes *c);

/* Wait for the log to say anything, for @ms milliseconds at most. */
void changes_wait(struct changes *c, u32 ms);

/**
 * changes_drain() - have everything read that the log has, up to the suspension
 * @c: running
 * @ms: how long to wait for it
 *
 * Return: whether the controller is suspended, and every change before that is noted.
 */
bool changes_drain(struct changes *c, u32 ms);

#endif /* MIRROR_CHANGES_H */
