// SPDX-License-Identifier: GPL-2.0-only
/*
 * dirty_bitmap.c against a list of spans: what was added is found, once, and nothing else.
 * Memory that could not be marked as clean, because an allocation failed or there are too many
 * bitmaps, may be found again.
 */

#include <linux/kernel.h>
#include <linux/string.h>

#include "dirty_bitmap.h"
#include "fuzz.h"

#define PAGE_SHIFT	12
#define LAST_PAGE	(~0ULL >> PAGE_SHIFT)
#define CHUNK_PAGES	32768
#define CHUNKS_MAX	262144
#define OPS_MAX		64

enum kind { CLEAN, DIRTY, MAYBE };

/* What the pages are from @first on, up to the next span */
struct span {
	u64 first;
	enum kind kind;
};

struct model {
	struct span span[4 * OPS_MAX + 4];
	size_t nr;
};

static size_t find_span(const struct model *m, u64 page)
{
	size_t i = m->nr - 1;

	while (m->span[i].first > page)
		i--;
	return i;
}

static u64 span_last(const struct model *m, size_t i)
{
	return i + 1 < m->nr ? m->span[i + 1].first - 1 : LAST_PAGE;
}

/* Make a span begin at @page */
static size_t split(struct model *m, u64 page)
{
	size_t i = find_span(m, page);

	if (m->span[i].first == page)
		return i;

	require(m->nr < ARRAY_SIZE(m->span));
	memmove(&m->span[i + 2], &m->span[i + 1], (m->nr - i - 1) * sizeof(m->span[0]));
	m->span[i + 1] = (struct span){ page, m->span[i].kind };
	m->nr++;
	return i + 1;
}

static void set(struct model *m, u64 first, u64 last, enum kind kind)
{
	size_t from = split(m, first), to = last == LAST_PAGE ? m->nr : split(m, last + 1), i;

	for (i = from; i < to; i++)
		if (kind != MAYBE || m->span[i].kind == DIRTY)
			m->span[i].kind = kind;

	if (kind == MAYBE)
		return;
	memmove(&m->span[from + 1], &m->span[to], (m->nr - to) * sizeof(m->span[0]));
	m->nr -= to - from - 1;
}

static bool has(const struct model *m, u64 first, u64 last, enum kind kind)
{
	size_t i;

	if (first > last)
		return false;
	for (i = find_span(m, first); i < m->nr && m->span[i].first <= last; i++)
		if (m->span[i].kind == kind)
			return true;

	return false;
}

/* Near the beginning, in the middle, and at the end of the address space */
static u64 take_page(struct input *in)
{
	static const u64 bases[] = { 0, 1ULL << 36, LAST_PAGE + 1 - 4 * CHUNK_PAGES };
	u64 base = bases[take_below(in, ARRAY_SIZE(bases))] + take_below(in, 4) * CHUNK_PAGES;

	switch (take_below(in, 4)) {
	case 0:
		return base + take_below(in, CHUNK_PAGES);
	case 1:
		return base + CHUNK_PAGES - 1 - take_below(in, 4);
	case 2:
		return base + take_below(in, 4);
	default:
		return base + take_below(in, 8) * 64 + take_below(in, 3);
	}
}

static u64 take_length(struct input *in)
{
	static const u64 lengths[] = {
		1, 2, 63, 64, CHUNK_PAGES - 1, CHUNK_PAGES, CHUNK_PAGES + 1
	};
	u8 kind = take(in, 1);

	return kind < 128 ? kind / 16 + 1 : lengths[kind % ARRAY_SIZE(lengths)];
}

static struct nvmevf_range take_range(struct input *in)
{
	u64 first = take_page(in), last;
	struct nvmevf_range r;

	if (take_below(in, 8))
		last = first + min(take_length(in) - 1, LAST_PAGE - first);
	else
		last = max(first, take_page(in));
	/* more is slow, less than all of it */
	if (last - first > 16 * CHUNK_PAGES && last - first < (u64)CHUNKS_MAX * CHUNK_PAGES)
		last = first;

	r.first = first << PAGE_SHIFT;
	r.last = last << PAGE_SHIFT | 0xfff;
	if (!take_below(in, 4))
		r.first += take_below(in, 0x1000);
	if (!take_below(in, 4))
		r.last -= take_below(in, 0x1000);
	if (r.first > r.last)
		r.last = r.first;
	return r;
}

static u64 page(u64 address)
{
	return address >> PAGE_SHIFT;
}

/* Whether pages of a range may fail to be marked: a chunk with more than one run needs a bitmap */
static bool may_fail(const struct nvmevf_dirty_bitmap *map, unsigned long bitmaps,
		     const struct nvmevf_range *r)
{
	return allocation_failed() || bitmaps + 2 > map->limit ||
	       page(r->last) / CHUNK_PAGES - page(r->first) / CHUNK_PAGES >= CHUNKS_MAX;
}

static void add(struct nvmevf_dirty_bitmap *map, struct model *m, struct input *in)
{
	struct nvmevf_range r = take_range(in);
	unsigned long bitmaps = map->bitmaps;
	bool fails;

	nvmevf_dirty_bitmap_add(map, &r);
	fails = may_fail(map, bitmaps, &r);
	set(m, page(r.first), page(r.last), DIRTY);
	if (!map->all || map->entries)
		return;

	require(fails || !has(m, 0, LAST_PAGE, CLEAN));
	set(m, 0, LAST_PAGE, DIRTY);
}

static void check_found(const struct model *m, const struct nvmevf_range *in,
			const struct nvmevf_range *out)
{
	require(out->first >= in->first && out->first <= out->last && out->last <= in->last);
	require(out->first == in->first || !(out->first & 0xfff));
	require(out->last == in->last || (out->last & 0xfff) == 0xfff);
	require(!has(m, page(out->first), page(out->last), CLEAN));
	if (page(out->first) != page(in->first))
		require(!has(m, page(in->first), page(out->first) - 1, DIRTY));
	/* a piece ends with its chunk */
	if (page(out->last) != page(in->last) && (page(out->last) + 1) % CHUNK_PAGES)
		require(!has(m, page(out->last) + 1, page(out->last) + 1, DIRTY));
}

/* Pages that were found as a whole are clean now */
static void clean(struct model *m, const struct nvmevf_range *out, enum kind kind)
{
	u64 first = page(out->first), last = page(out->last);

	if (out->first & 0xfff)
		first++;
	if ((out->last & 0xfff) != 0xfff) {
		if (!last)
			return;
		last--;
	}
	if (first <= last)
		set(m, first, last, kind);
}

static void find(struct nvmevf_dirty_bitmap *map, struct model *m, struct input *in)
{
	struct nvmevf_range r = take_range(in), out;
	unsigned long bitmaps = map->bitmaps;

	if (!take_below(in, 4))
		r = (struct nvmevf_range){ 0, ~0ULL };
	if (!nvmevf_dirty_bitmap_take(map, &r, &out)) {
		require(!has(m, page(r.first), page(r.last), DIRTY));
		set(m, page(r.first), page(r.last), CLEAN);
		return;
	}

	check_found(m, &r, &out);
	clean(m, &out, may_fail(map, bitmaps, &out) ? MAYBE : CLEAN);
}

/* In the end each dirty page is found */
static void find_all(struct nvmevf_dirty_bitmap *map, struct model *m)
{
	struct nvmevf_range all = { 0, ~0ULL }, out;

	while (nvmevf_dirty_bitmap_take(map, &all, &out)) {
		check_found(m, &all, &out);
		if (out.last == ~0ULL)
			return;
		all.first = out.last + 1;
	}
	require(!has(m, page(all.first), LAST_PAGE, DIRTY));
}

int fuzz_one(const u8 *data, size_t len)
{
	struct model m = { .span[0] = { 0, CLEAN }, .nr = 1 };
	struct input in = { data, len };
	struct nvmevf_dirty_bitmap map;
	unsigned int n;

	nvmevf_dirty_bitmap_init(&map, take_below(&in, 2) ? 64 : take_below(&in, 8));
	for (n = 0; n < OPS_MAX && in.left; n++) {
		switch (take_below(&in, 16)) {
		case 0:
			nvmevf_dirty_bitmap_add_all(&map);
			set(&m, 0, LAST_PAGE, DIRTY);
			break;
		case 1:
			fail_allocation(take_below(&in, 4));
			break;
		case 2 ... 8:
			add(&map, &m, &in);
			break;
		default:
			find(&map, &m, &in);
		}
		require(map.bitmaps <= map.limit && map.bitmaps <= map.entries);
		require(map.entries == map.chunks.nr);
	}

	fail_allocation(-1);
	allocation_failed();
	find_all(&map, &m);
	nvmevf_dirty_bitmap_destroy(&map);
	require(!map.bitmaps && !map.entries);
	return 0;
}
