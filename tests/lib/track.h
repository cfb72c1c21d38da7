/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client's side of Track Send and Track Receive: requests, logs, and a book about the writes
 * that the device was asked for. An own reading of TP4159 on purpose, as in lm.h.
 */
#ifndef TESTS_TRACK_H
#define TESTS_TRACK_H

#include "vf.h"

#define TRACK_RANGES	64
#define TRACK_PAGE	4096u
#define TRACK_PAGES	(ARENA_SIZE / TRACK_PAGE)

/* What Identify says of it. */
struct track_limits {
	bool thmcs;
	bool pow2;		/* MRTLL */
	u16 cmmrtd;
	u16 nmmrtd;
	u8 minmrtg;
	u8 maxmrtg;
};

struct track_limits track_limits(const u8 *id);

struct track_range {
	u64 start;
	u32 units;
};

struct track {
	struct lm_pf *pf;
	u16 cntlid;
	u8 ver;
	u8 rmrtg;
	unsigned int nr;
	struct track_range range[TRACK_RANGES + 1];
	/* of the last command */
	u32 mrtg;		/* DW0 */
	u32 nmrtd;		/* DW1 */
};

/* A request for this VF, without ranges; and one for all of the arena. */
void track_init(struct track *t, struct vf *d, u8 rmrtg);
void track_arena(struct track *t, struct vf *d, u8 rmrtg);
void track_add(struct track *t, u64 start, u32 units);

/* The structure as the device reads it: bytes used of @buf. */
size_t track_build(const struct track *t, void *buf);

/* NVMe status or -errno. */
int track_start(struct track *t);
int track_stop(struct track *t);

/* ---- reports of the device ---- */

struct track_log {
	u8 hit[TRACK_PAGES];	/* pages of the arena */
	bool mtr;
	bool susp;
	u16 rpmpg;
	u32 ntmcd;		/* of the last command */
	unsigned int commands;
	unsigned int descriptors;
};

/* One Track Receive of so many bytes, checked and added to the log. */
bool track_receive(struct track *t, u32 bytes, struct track_log *log);

/* Until nothing is left. */
bool track_read(struct track *t, u32 bytes, struct track_log *log);

/* ---- writes that it was asked for ---- */

struct book {
	u8 page[TRACK_PAGES];
};

void book_iova(struct book *b, u64 iova, u64 len);

/* The last entry taken from a completion queue. */
void book_cqe(struct book *b, const struct unvme_cq *cq);

/* Entries that were taken since @reaped of it were. */
void book_cqes(struct book *b, const struct unvme_cq *cq, u64 reaped);

/* The log covers the book, and at its granularity nothing else. */
bool track_check(const struct track *t, const struct track_log *log, const struct book *b);

/* Read all there is, which must be the book; both begin anew. */
bool track_expect(struct track *t, struct book *b);

/* Stop the tracking of all controllers that a PF may track. */
void track_end(struct lm_pf *pf);

#endif /* TESTS_TRACK_H */
