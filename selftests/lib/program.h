/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs: steps of several threads that can be made at random, written and read as text, and made
 * shorter. What a step does is in player.c.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_PROGRAM_H
#define SELFTESTS_VFIO_MIGRATION_PROGRAM_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PROGRAM_THREADS	4
#define PROGRAM_STEPS	1000

enum step_kind {
	STEP_GET,
	STEP_SET,
	STEP_SIZE,
	STEP_INFO_V2,
	STEP_FEATURE,
	STEP_READ,
	STEP_WRITE,
	STEP_POLL,
	STEP_INFO,
	STEP_IOCTL,
	STEP_SEEK,
	STEP_CLOSE,
	STEP_LOG_START,
	STEP_LOG_STOP,
	STEP_LOG_REPORT,
	STEP_RESET,
	STEP_FLR,
	STEP_REOPEN,
	STEP_HOT_RESET,
	STEP_UNBIND,
	STEP_PF_RESET,
	STEP_SIBLING,
	STEP_DUP,
	STEP_NONBLOCK,
	STEP_FORK,
	STEP_KILL_HOLDER,
	STEP_KILLED,
	STEP_NTH,
	STEP_DISTURB,
	STEP_KINDS,
};

/* How STEP_SET, STEP_READ and STEP_WRITE are done; others have numbers of their own */
enum {
	WITH_NOTHING,
	WITH_BAD_POINTER,
	WITH_EDGE,		/* only the first half is in memory */
	WITH_HUGE_SIZE,		/* far more than is in memory */
	WITH_FLIPPED_BIT,	/* of STEP_WRITE only, and the following */
	WITH_GAP,
	WITH_MORE,		/* than there is in the stream */
	WITH_BAR,		/* from the device's own registers */
};

/* What the other device is used for: @args[0] of STEP_SIBLING */
enum {
	SIBLING_SAVE,
	SIBLING_LOAD,
	SIBLING_RESET,
	SIBLING_USES,
};

/* What a process is killed in: @args[0] of STEP_KILLED */
enum {
	KILLED_SET,
	KILLED_READ,
	KILLED_WRITE,
	KILLED_RESET,
	KILLED_LOG_START,
	KILLED_LOG_REPORT,
	KILLED_SIZE,
	KILLED_IN,
};

#define STEP_ARGS	3

/**
 * struct step - one step
 * @kind: what is done
 * @thread: who does it
 * @args: file (0: the newest), size, variant and so on, as the kind has them
 */
struct step {
	enum step_kind kind;
	unsigned int thread;
	__u32 args[STEP_ARGS];
};

struct program {
	unsigned int nr;
	struct step steps[PROGRAM_STEPS];
};

/* Whether nobody else does anything meanwhile */
bool step_is_alone(const struct step *s);

/* Make a program; the same seed makes the same. */
void program_random(struct program *p, __u32 seed, unsigned int steps, unsigned int threads);

/* As program_read() reads it */
void program_print(const struct program *p, FILE *to);

/* 0, or the number of the line that is wrong. */
int program_read(struct program *p, FILE *from);

/**
 * program_shrink - leave out steps as long as the rest still fails
 * @p: a program that fails; what is left of it
 * @fails: whether a program fails
 * @arg: argument of @fails
 * @tries: at most so many calls of @fails
 */
void program_shrink(struct program *p, bool (*fails)(const struct program *p, void *arg), void *arg,
		    unsigned int tries);

#endif /* SELFTESTS_VFIO_MIGRATION_PROGRAM_H */
