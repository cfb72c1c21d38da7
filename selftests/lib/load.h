/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Data with a stamp, and a load: reads and writes with verification, kept in flight on all
 * channels of a device.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_LOAD_H
#define SELFTESTS_VFIO_MIGRATION_LOAD_H

#include "udrv.h"

/* Fill blocks; their contents depend on address, version and seed. */
void pattern_fill(void *data, u32 block_size, u64 block, u32 nr, u32 version, u32 seed);

/* The first of them that is not as pattern_fill() made it; @nr: all are. */
u32 pattern_bad(const void *data, u32 block_size, u64 block, u32 nr, u32 version, u32 seed);

struct load_slot;

struct load {
	/* set by the caller */
	struct udrv *u;
	u64 first_block;
	u32 units;		/* areas, each with at most one request in flight */
	u32 unit_blocks;	/* blocks per area */
	unsigned int qd;	/* requests in flight per channel */
	u32 seed;
	bool control;		/* keep one on channel 0 in flight as well */

	/* results */
	u64 reads;
	u64 writes;
	u64 controls;
	u64 errors;		/* requests that failed */
	u64 miscompares;

	/* own */
	u32 *version;
	u8 *busy;
	struct load_slot *slots;
	unsigned int nr_slots;
	bool stop_submit;
	bool control_busy;
	struct udrv_io control_io;
	u32 rnd;
	pthread_t thread;
	pthread_mutex_t ctl;
	pthread_cond_t cond;
	int want;		/* LOAD_RUN, LOAD_PAUSE, LOAD_END */
	int is;
};

enum { LOAD_RUN, LOAD_PAUSE, LOAD_END };

/* Allocate buffers (in the arena, once per load). Return 0 or -errno. */
int load_init(struct load *l);

/* Submit as much as may be in flight; then reap without waiting. Return how many ended. */
unsigned int load_step(struct load *l);

/* Run until @ops more requests ended. Return 0 or -ETIMEDOUT. */
int load_run(struct load *l, u64 ops);

/* Submit no more, wait for all. Return 0 or -ETIMEDOUT. */
int load_drain(struct load *l);

/* Read all that was ever written and compare. Return number of bad areas or -errno. */
int load_verify(struct load *l);

/*
 * The same in a thread of its own, which plays the part of a virtual CPU: it goes on submitting
 * whatever happens to the device, until load_pause() stopped it.
 */
int load_start(struct load *l);
void load_pause(struct load *l);
void load_resume(struct load *l);
int load_wait_ops(struct load *l, u64 ops);
int load_end(struct load *l);
void load_fini(struct load *l);

#endif /* SELFTESTS_VFIO_MIGRATION_LOAD_H */
