/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a migratable device may answer to each call, by include/uapi/linux/vfio.h and the migration
 * contract. The model is an automaton that may be in several states at once: a call and its result
 * lead from each of them to those that explain the result. If none is left, the result is wrong.
 * Calls of several threads that overlap may have been executed in any order; one order has to
 * explain all their results.
 *
 * Nothing here calls the kernel.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_MODEL_H
#define SELFTESTS_VFIO_MIGRATION_MODEL_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/* Files of sessions that are known at a time */
#define MODEL_FILES	16

/* Calls that model_check() takes at once */
#define MODEL_CALLS	64

/* States that the model may be in at a time, in the middle of overlapping calls too */
#define MODEL_STATES	8192

/**
 * struct model_caps - what the device and the kernel offer
 * @flags: VFIO_MIGRATION_*
 * @logging: DMA logging
 * @info_v2: MIG_PRECOPY_INFOv2
 */
struct model_caps {
	__u64 flags;
	bool logging;
	bool info_v2;
};

enum model_op {
	MODEL_GET = 1,		/* of MIG_DEVICE_STATE */
	MODEL_SET,
	MODEL_SIZE,		/* GET of MIG_DATA_SIZE */
	MODEL_INFO_V2,		/* SET of MIG_PRECOPY_INFOv2 */
	MODEL_FEATURE,		/* any feature, with a flaw */
	MODEL_READ,
	MODEL_WRITE,
	MODEL_POLL,
	MODEL_INFO,		/* VFIO_MIG_GET_PRECOPY_INFO */
	MODEL_IOCTL,		/* one of the file that nobody knows */
	MODEL_SEEK,		/* lseek, pread or pwrite */
	MODEL_CLOSE,		/* of the file */
	MODEL_LOG_START,
	MODEL_LOG_STOP,
	MODEL_LOG_REPORT,
	MODEL_RESET,		/* VFIO_DEVICE_RESET */
	MODEL_HOT_RESET,	/* VFIO_DEVICE_PCI_HOT_RESET */
	MODEL_FLR,		/* by config space, which returns no error */
	MODEL_REOPEN,		/* the device is closed and opened, and all is well again */
	MODEL_FAULTS,		/* from now on the device or the kernel may fail in any call */
	MODEL_SIBLING,		/* another device is used */
	MODEL_OPS,
};

/* What is wrong with the arguments, and what the kernel has to say to it */
enum model_flaw {
	MODEL_FINE,
	MODEL_POINTER,		/* cannot be read: EFAULT, without any effect */
	MODEL_ANSWER,		/* can be read and not written: EFAULT */
	MODEL_INVALID,		/* EINVAL */
	MODEL_TOO_BIG,		/* E2BIG */
	MODEL_WRAPS,		/* EOVERFLOW */
	MODEL_UNKNOWN,		/* ENOTTY */
	MODEL_WRONG,		/* some errno */
	MODEL_PROBE,		/* nothing is wrong, and nothing happens */
	MODEL_FLAWS,
};

/**
 * struct model_call - a call and its result
 * @op: what was called
 * @flaw: what was wrong with the arguments
 * @file: read and so on: the file; SET: the one that it returned, or -1; below MODEL_FILES
 * @state: SET: the state asked for; GET: the one returned
 * @len: read, write: number of bytes
 * @missing: number of bytes, at the end, that are not in memory
 * @spoilt: write: number of bytes, at the end, that are not those of stream @stream from @at on
 * @at: write: offset in that stream
 * @total: write: length of that stream, which a device saved to its end
 * @stream: write: a number for that stream
 * @value: MIG_DATA_SIZE; initial_bytes; events that poll() returned
 * @flags: flags of the pre-copy info
 * @fault: something in the kernel was made to fail in this call
 * @unseen: the caller was killed, at any moment; @ret and what was returned mean nothing
 * @ret: what was returned, -errno in case of an error
 * @thread: number of the thread, for messages
 * @begin: a number taken before the call, from a counter of all threads
 * @end: a number taken after the call, from the same counter
 */
struct model_call {
	enum model_op op;
	enum model_flaw flaw;
	int file;
	__u32 state;
	size_t len;
	size_t missing;
	size_t spoilt;
	__u64 at;
	__u64 total;
	__u32 stream;
	__u32 flags;
	__u64 value;
	bool fault;
	bool unseen;
	long ret;
	int thread;
	__u64 begin;
	__u64 end;
};

/* What has been written to the file of a load */
enum model_load {
	MODEL_PREFIX,		/* the beginning of a good stream, or all of it */
	MODEL_DOUBTFUL,		/* something else, which may be refused or not */
	MODEL_REFUSED,		/* what was refused before it was complete */
};

/* What is known of what was read from the file of a save */
enum model_reads {
	MODEL_SEEN,
	MODEL_FAILED,		/* a read failed, so that there is no end */
	MODEL_UNSEEN,		/* somebody read who was killed */
};

/* No padding: states are compared as bytes */
struct model_file {
	__u8 kind;
	__u8 ended;
	__u8 reads;
	__u8 load;
	__u32 stream;
	__u64 pos;
	__u64 size;
	__u64 initial_min;
	__u64 initial_max;
};

struct model_state {
	__u32 state;
	__s32 session;
	__u16 logging;
	__u16 info_v2;
	__u16 faulty;		/* any call may fail, and the device may go to ERROR */
	__u16 doomed;		/* a reset has ended a call, and is still to come */
	__u64 bound;
	struct model_file orphan;
	struct model_file files[MODEL_FILES];
};

/**
 * struct model - a device as the calls so far have shown it
 * @caps: what it offers
 * @nr: number of states that explain all results so far
 * @states: these states
 * @search: memory of model_check()
 */
struct model {
	struct model_caps caps;
	unsigned int nr;
	struct model_state *states;
	struct search *search;
};

enum model_verdict {
	MODEL_RIGHT,
	MODEL_IMPOSSIBLE,	/* no order of the calls explains the results */
	MODEL_TOO_MANY,		/* too many possibilities: nothing is known any more */
};

/* A device that was opened just now. */
void model_init(struct model *m, const struct model_caps *caps);
void model_fini(struct model *m);

/**
 * model_check - check the results of calls
 * @m: the device; the states after the calls if the results are right, or else as it was
 * @calls: the calls, in any order; all calls before have returned before the first of them
 * @nr: their number, at most MODEL_CALLS
 */
enum model_verdict model_check(struct model *m, const struct model_call *calls, unsigned int nr);

/* "SET STOP_COPY = 0, file 1" */
void model_describe(const struct model_call *c, char *text, size_t size);

/* "in RUNNING_P2P or ERROR" */
void model_describe_states(const struct model *m, char *text, size_t size);

/* "SET", "read" */
const char *model_op_name(enum model_op op);

#endif /* SELFTESTS_VFIO_MIGRATION_MODEL_H */
