// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracking of memory as a client sees it.
 */
#include <stdlib.h>
#include <string.h>

#include "track.h"

#define HEADER		8
#define DESCRIPTOR	12

struct changed_header {
	u8 ver;
	u8 attrb;
	u16 cntlid;
	u32 ntmcd;
	u16 rpmpg;
	u8 rsvd[6];
} __packed;

struct changed_desc {
	u64 saddr;
	u32 len;
	u32 rsvd;
} __packed;

struct track_limits track_limits(const u8 *id)
{
	struct track_limits l = {
		.thmcs = id[576] & 1, .pow2 = id[576] & 4,
		.minmrtg = id[574], .maxmrtg = id[575],
	};

	memcpy(&l.cmmrtd, id + 570, 2);
	memcpy(&l.nmmrtd, id + 572, 2);
	return l;
}

/* ---- requests ---- */

void track_init(struct track *t, struct vf *d, u8 rmrtg)
{
	memset(t, 0, sizeof(*t));
	t->pf = d->pf;
	t->cntlid = d->cntlid;
	t->rmrtg = rmrtg;
}

void track_add(struct track *t, u64 start, u32 units)
{
	t->range[t->nr++] = (struct track_range){ start, units };
}

void track_arena(struct track *t, struct vf *d, u8 rmrtg)
{
	track_init(t, d, rmrtg);
	track_add(t, arena.iova, arena.size / TRACK_PAGE >> rmrtg);
}

size_t track_build(const struct track *t, void *buf)
{
	u8 *p = buf;
	unsigned int i;

	memset(p, 0, HEADER);
	p[0] = t->ver;
	p[3] = t->rmrtg;
	memcpy(p + 4, &t->nr, 4);
	for (i = 0; i < t->nr; i++) {
		memcpy(p + HEADER + DESCRIPTOR * i, &t->range[i].start, 8);
		memcpy(p + HEADER + DESCRIPTOR * i + 8, &t->range[i].units, 4);
	}
	return HEADER + DESCRIPTOR * t->nr;
}

int track_start(struct track *t)
{
	static u8 buf[HEADER + DESCRIPTOR * (TRACK_RANGES + 1)] __aligned(4096);
	struct lm_cmd cmd = lm_track_cmd(t->cntlid, true, buf, track_build(t, buf));
	int st = lm_exec(t->pf, &cmd);

	t->mrtg = cmd.result;
	t->nmrtd = cmd.result1;
	return st;
}

int track_stop(struct track *t)
{
	return pf_do(t->pf, lm_track_cmd(t->cntlid, false, NULL, 0));
}

void track_end(struct lm_pf *pf)
{
	u16 id;

	if (!pf->hmlms || !track_limits(pf->id).thmcs)
		return;
	for (id = 0; id < 16; id++)
		pf_do(pf, lm_track_cmd(id, false, NULL, 0));
}

/* ---- the log ---- */

static u64 unit_size(unsigned int mrtg)
{
	return (u64)TRACK_PAGE << mrtg;
}

/* The requested range that an address is in, or NULL. */
static const struct track_range *range_of(const struct track *t, u64 addr)
{
	unsigned int i;

	for (i = 0; i < t->nr; i++)
		if (addr >= t->range[i].start &&
		    addr - t->range[i].start < t->range[i].units * unit_size(t->rmrtg))
			return &t->range[i];
	return NULL;
}

static bool is_tracked(const struct track *t, u64 addr, u64 end)
{
	const struct track_range *r;

	for (; addr < end; addr = r->start + r->units * unit_size(t->rmrtg)) {
		r = range_of(t, addr);
		if (!r)
			return false;
	}
	return true;
}

static bool add_desc(const struct track *t, const struct changed_desc *d, u8 *now,
		     struct track_log *log)
{
	u64 unit = unit_size(log->rpmpg), end = d->saddr + d->len * unit, page;
	u64 arena_end = arena.iova + arena.size;

	if (!EXPECT(d->len && !d->rsvd && d->saddr % unit == 0, "%#lx, %u units, reserved %#x",
		    d->saddr, d->len, d->rsvd) ||
	    !EXPECT(is_tracked(t, d->saddr, end), "%#lx to %#lx", d->saddr, end) ||
	    !EXPECT(d->saddr + unit > arena.iova && end - unit < arena_end,
		    "%#lx to %#lx: out of reach", d->saddr, end))
		return false;
	for (page = max(d->saddr, arena.iova); page < min(end, arena_end); page += TRACK_PAGE) {
		u64 nr = (page - arena.iova) / TRACK_PAGE;

		if (!EXPECT(!now[nr], "%#lx twice in one answer", page))
			return false;
		now[nr] = 1;
		log->hit[nr] = 1;
	}
	return true;
}

static bool add_answer(const struct track *t, const u8 *buf, u32 bytes, struct track_log *log)
{
	const struct changed_header *h = (const void *)buf;
	const struct changed_desc *d = (const void *)(h + 1);
	static const u8 zero[6];
	static u8 now[TRACK_PAGES];
	u32 i;

	if (!EXPECT_EQ(h->ver, 0, "VER") || !EXPECT_EQ(h->cntlid, t->cntlid, "CNTLID") ||
	    !EXPECT_EQ(h->attrb & ~3, 0, "ATTRB") ||
	    !EXPECT(!memcmp(h->rsvd, zero, sizeof(zero)), "reserved") ||
	    !EXPECT(h->ntmcd <= (bytes - sizeof(*h)) / sizeof(*d), "%u", h->ntmcd) ||
	    !EXPECT(h->ntmcd || !(h->attrb & 1), "nothing, and more to come"))
		return false;
	memset(now, 0, sizeof(now));
	log->mtr = h->attrb & 1;
	log->susp = h->attrb & 2;
	log->rpmpg = h->rpmpg;
	log->ntmcd = h->ntmcd;
	log->commands++;
	log->descriptors += h->ntmcd;
	for (i = sizeof(*h) + h->ntmcd * sizeof(*d); i < bytes; i++)
		if (!EXPECT_EQ(buf[i], 0, "byte %u, behind the descriptors", i))
			return false;
	for (i = 0; i < h->ntmcd; i++) {
		if (!add_desc(t, &d[i], now, log))
			return false;
		if (i)
			EXPECT(d[i - 1].saddr + d[i - 1].len * unit_size(h->rpmpg) != d[i].saddr,
			       "%#lx: not merged", d[i].saddr);
	}
	return true;
}

bool track_receive(struct track *t, u32 bytes, struct track_log *log)
{
	static u8 buf[65536 + 4] __aligned(4096);

	memset(buf, 0xaa, bytes + 4);
	if (!EXPECT_ST(t->pf, lm_track_recv_cmd(t->cntlid, buf, bytes), LM_SC_OK, "Track Receive"))
		return false;
	return EXPECT_EQ(buf[bytes], 0xaa, "a byte behind the buffer") &&
	       add_answer(t, buf, bytes, log);
}

bool track_read(struct track *t, u32 bytes, struct track_log *log)
{
	unsigned int first = log->commands;

	do {
		if (!track_receive(t, bytes, log) ||
		    !EXPECT(log->commands - first <= 2 * TRACK_PAGES, "the log has no end"))
			return false;
	} while (log->mtr);
	return true;
}

/* ---- the book ---- */

void book_iova(struct book *b, u64 iova, u64 len)
{
	u64 page;

	for (page = (iova - arena.iova) / TRACK_PAGE;
	     page <= (iova + len - 1 - arena.iova) / TRACK_PAGE; page++)
		b->page[page] = 1;
}

static void book_slot(struct book *b, const struct unvme_cq *cq, u64 slot)
{
	book_iova(b, arena_iova(&arena, &cq->ring[slot % cq->depth]), sizeof(struct nvme_cqe));
}

void book_cqe(struct book *b, const struct unvme_cq *cq)
{
	book_slot(b, cq, cq->head + cq->depth - 1);
}

void book_cqes(struct book *b, const struct unvme_cq *cq, u64 reaped)
{
	for (; reaped < cq->reaped; reaped++)
		book_slot(b, cq, reaped);
}

bool track_check(const struct track *t, const struct track_log *log, const struct book *b)
{
	static u8 want[TRACK_PAGES];
	unsigned int i, missing = 0, more = 0;
	u64 unit = unit_size(log->rpmpg), addr;

	memset(want, 0, sizeof(want));
	for (i = 0; i < TRACK_PAGES; i++) {
		addr = arena.iova + (u64)i * TRACK_PAGE;
		if (!b->page[i] || !range_of(t, addr))
			continue;
		addr = addr / unit * unit;
		memset(want + (addr - arena.iova) / TRACK_PAGE, 1,
		       min(unit, arena.iova + arena.size - addr) / TRACK_PAGE);
	}
	for (i = 0; i < TRACK_PAGES; i++) {
		addr = arena.iova + (u64)i * TRACK_PAGE;
		if (want[i] && !log->hit[i] && missing++ < 4)
			tap_note("page %#lx was written and is not in the log", addr);
		if (!want[i] && log->hit[i] && more++ < 4)
			tap_note("page %#lx is in the log and was not written", addr);
	}
	return EXPECT(!missing && !more, "granularity %u: %u pages missing, %u too many",
		      log->rpmpg, missing, more);
}

bool track_expect(struct track *t, struct book *b)
{
	static struct track_log log;
	bool ok;

	memset(&log, 0, sizeof(log));
	ok = track_read(t, 4096, &log) && track_check(t, &log, b);
	memset(b, 0, sizeof(*b));
	return ok;
}
