/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs played on a device, each result checked against the model.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_PLAYER_H
#define SELFTESTS_VFIO_MIGRATION_PLAYER_H

#include <pthread.h>

#include "migration.h"
#include "model.h"
#include "program.h"

/* Text that says what was wrong */
#define PLAYER_WHY	1024

/* Steps of a program of several threads between two points at which all have returned */
#define PLAYER_ROUND	6

/* A stream that a device saved to its end; @id tells the model which one a write is of */
struct saved {
	struct stream s;
	u32 id;
};

/* One that the device gave */
struct played_file {
	int fd;			/* -1: the slot is free */
	int copy;		/* the same file by dup(), or -1 */
	bool load;
	bool mixed;		/* save: several threads read */
	u64 written;
	u64 age;
	struct stream data;	/* save: what was read */
};

/**
 * struct around - what is around the device; NULL: it is left alone
 * @sibling: another device behind the same physical function
 * @pf: the physical function, if it can be reset
 * @pf_reset: how
 * @restore: command after which both can be used when @pf was reset
 * @disturb: command that makes the device fail, as the number behind it says; 0: no more
 */
struct around {
	const char *sibling;
	const char *pf;
	int (*pf_reset)(const char *bdf);
	const char *restore;
	const char *disturb;
};

/**
 * struct player - a device on which programs are played
 * @dev: the device
 * @bdf: its name, to open it again
 * @arena: memory that is mapped for it
 * @around: what is around it
 * @trace: print each call
 * @why: what was wrong in the last program
 * @good: number of calls that succeeded, by what was called
 * @failed: number of calls that failed, by what was called
 * @unsure: number of rounds with too many possibilities
 */
struct player {
	struct vdev *dev;
	const char *bdf;
	const struct arena *arena;
	struct around around;
	bool trace;
	char why[PLAYER_WHY];
	u32 good[MODEL_OPS];
	u32 failed[MODEL_OPS];
	u32 unsure;

	/* private */
	struct model model;
	struct model_caps caps;
	pthread_mutex_t lock;
	u64 clock;
	u64 opened;
	u32 ids;
	u32 nth[PROGRAM_THREADS];	/* allocation of the next call that fails; 0: none */
	pthread_mutex_t sibling_lock;
	struct vdev sibling;
	struct stream saved_sibling;	/* of a fresh one */
	pid_t holder;			/* process that has all files, too; 0: none */
	bool disturbed;
	bool pf_was_reset;
	struct saved saved[2];	/* of a fresh device; the last one */
	struct played_file files[MODEL_FILES];
	struct model_call calls[MODEL_CALLS];
	unsigned int nr_calls;
	u8 *buffers[PROGRAM_THREADS];
};

/* The device is open, and nobody has used it. 0 or -errno. */
int player_init(struct player *p, struct vdev *dev, const char *bdf, const struct arena *arena,
		const struct around *around);
void player_fini(struct player *p);

/**
 * player_run - play a program
 * @p: the player
 * @program: the program; it begins with a device that is opened, and opened again at its end
 *
 * Return: whether all results were right, and the device works afterwards.
 */
bool player_run(struct player *p, const struct program *program);

#endif /* SELFTESTS_VFIO_MIGRATION_PLAYER_H */
