// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty memory that the device has returned and the user has not asked for yet.
 *
 * A device returns each piece only once, and may return more than the user asks for.
 * There is one bit for each 4 KiB, in bitmaps that exist as long as the dirty pages of a
 * chunk are more than one run. Their number is limited: if there are too many, all memory
 * counts as dirty. The dirty memory of a large guest is sparse: one run needs no bitmap.
 */

#include <kunit/visibility.h>
#include <linux/bitmap.h>
#include <linux/export.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "dirty_bitmap.h"
#include "nvme_lm.h"

#define NVMEVF_BITMAP_SIZE	SZ_4K

/* Pages in one chunk, which has one bitmap: 128 MiB */
#define NVMEVF_CHUNK_PAGES	(NVMEVF_BITMAP_SIZE * BITS_PER_BYTE)

/* Bytes in one chunk, as a power of two */
#define NVMEVF_CHUNK_SHIFT	(NVME_LM_TRACK_SHIFT + ilog2(NVMEVF_CHUNK_PAGES))

/* The chunks of 32 TiB: at most 1 GiB of bitmaps, and 3 MiB for the tree */
#define NVMEVF_CHUNKS_MAX	SZ_256K

/* Bitmaps for dirty memory outside of the user's ranges, such as completion queues */
#define NVMEVF_CHUNKS_SPARE	SZ_1K

/* An entry instead of a bitmap has the end of a run in this many bits, its beginning above */
#define NVMEVF_RUN_SHIFT	16

/**
 * nvmevf_dirty_bitmap_limit - compute the maximum number of bitmaps
 * @ranges: the tracked ranges
 * @nr: number of ranges
 *
 * Return: the number, for nvmevf_dirty_bitmap_init(): enough for each chunk of the ranges
 * and some chunks outside, but not more than 32 TiB of memory need.
 */
unsigned long nvmevf_dirty_bitmap_limit(const struct nvmevf_range *ranges, unsigned int nr)
{
	u64 chunks = NVMEVF_CHUNKS_SPARE;

	for (; nr && chunks < NVMEVF_CHUNKS_MAX; nr--, ranges++)
		chunks += (ranges->last >> NVMEVF_CHUNK_SHIFT) -
			  (ranges->first >> NVMEVF_CHUNK_SHIFT) + 1;

	return min_t(u64, chunks, NVMEVF_CHUNKS_MAX);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_dirty_bitmap_limit);

/**
 * nvmevf_dirty_bitmap_init - initialise the bitmaps with nothing dirty
 * @map: the dirty memory
 * @limit: maximum number of bitmaps
 */
void nvmevf_dirty_bitmap_init(struct nvmevf_dirty_bitmap *map, unsigned long limit)
{
	xa_init_flags(&map->chunks, XA_FLAGS_ACCOUNT);
	map->limit = limit;
	map->bitmaps = 0;
	map->entries = 0;
	map->all = false;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_dirty_bitmap_init);

/**
 * nvmevf_dirty_bitmap_destroy - free the bitmaps
 * @map: the dirty memory; no chunk has an entry afterwards
 *
 * Context: Process; sleeps.
 */
void nvmevf_dirty_bitmap_destroy(struct nvmevf_dirty_bitmap *map)
{
	unsigned long i;
	void *entry;

	xa_for_each(&map->chunks, i, entry)
		if (!xa_is_value(entry))
			kfree(entry);

	xa_destroy(&map->chunks);
	map->bitmaps = 0;
	map->entries = 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_dirty_bitmap_destroy);

/**
 * nvmevf_dirty_bitmap_add_all - mark all memory as dirty
 * @map: the dirty memory
 *
 * Context: Process; sleeps. Cannot fail.
 */
void nvmevf_dirty_bitmap_add_all(struct nvmevf_dirty_bitmap *map)
{
	nvmevf_dirty_bitmap_destroy(map);
	map->all = true;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_dirty_bitmap_add_all);

/* The dirty pages of a chunk without a bitmap: those from @from on and before @end */
struct nvmevf_run {
	unsigned int from;
	unsigned int end;
};

static struct nvmevf_run nvmevf_bitmap_run(const struct nvmevf_dirty_bitmap *map, const void *entry)
{
	struct nvmevf_run run = { 0, map->all ? NVMEVF_CHUNK_PAGES : 0 };

	if (entry) {
		run.from = xa_to_value(entry) >> NVMEVF_RUN_SHIFT;
		run.end = xa_to_value(entry) & (BIT(NVMEVF_RUN_SHIFT) - 1);
	}
	return run;
}

/* The entry for a run: NULL if that has the same meaning */
static void *nvmevf_bitmap_run_entry(const struct nvmevf_dirty_bitmap *map,
				     const struct nvmevf_run *run)
{
	unsigned int nr = run->end - run->from;

	if (nr == (map->all ? NVMEVF_CHUNK_PAGES : 0))
		return NULL;
	/* an empty run may be at the end, which a value has no bit for if a long has 32 bits */
	if (!nr)
		return xa_mk_value(0);
	return xa_mk_value((unsigned long)run->from << NVMEVF_RUN_SHIFT | run->end);
}

/* Mark pages of a run; false if the result is not a run */
static bool nvmevf_run_mark(struct nvmevf_run *run, unsigned int from, unsigned int end, bool dirty)
{
	bool none = run->from == run->end;

	if (dirty && none) {
		run->from = from;
		run->end = end;
	} else if (dirty) {
		if (from > run->end || end < run->from)
			return false;
		run->from = min(run->from, from);
		run->end = max(run->end, end);
	} else if (end > run->from && from < run->end) {
		if (from > run->from && end < run->end)
			return false;
		if (from > run->from)
			run->end = from;
		else
			run->from = min(run->end, end);
	}

	return true;
}

/* Replace @old by @entry; NULL is no entry */
static bool nvmevf_bitmap_store(struct nvmevf_dirty_bitmap *map, unsigned long i, void *old,
				void *entry)
{
	if (entry && !old && map->entries == NVMEVF_CHUNKS_MAX)
		return false;
	if (xa_is_err(xa_store(&map->chunks, i, entry, GFP_KERNEL | __GFP_NOWARN)))
		return false;

	map->entries += !!entry - !!old;
	if (old && !xa_is_value(old)) {
		kfree(old);
		map->bitmaps--;
	}
	if (entry && !xa_is_value(entry))
		map->bitmaps++;
	return true;
}

/* Replace @old, which is not a bitmap, by a bitmap with the same meaning */
static unsigned long *nvmevf_bitmap_split(struct nvmevf_dirty_bitmap *map, unsigned long i,
					  void *old)
{
	struct nvmevf_run run = nvmevf_bitmap_run(map, old);
	unsigned long *bits;

	if (map->bitmaps >= map->limit)
		return NULL;

	bits = kzalloc(NVMEVF_BITMAP_SIZE, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!bits)
		return NULL;

	bitmap_set(bits, run.from, run.end - run.from);
	if (!nvmevf_bitmap_store(map, i, old, bits)) {
		kfree(bits);
		return NULL;
	}

	return bits;
}

/* Free a bitmap if all of its bits are @dirty now */
static void nvmevf_bitmap_shrink(struct nvmevf_dirty_bitmap *map, unsigned long i,
				 unsigned long *bits, bool dirty)
{
	const struct nvmevf_run run = { 0, dirty ? NVMEVF_CHUNK_PAGES : 0 };

	if (dirty ? bitmap_full(bits, NVMEVF_CHUNK_PAGES) : bitmap_empty(bits, NVMEVF_CHUNK_PAGES))
		nvmevf_bitmap_store(map, i, bits, nvmevf_bitmap_run_entry(map, &run));
}

/* Pages of one chunk, from @from on and before @end */
static bool nvmevf_bitmap_mark_chunk(struct nvmevf_dirty_bitmap *map, unsigned long i,
				     unsigned int from, unsigned int end, bool dirty)
{
	void *entry = xa_load(&map->chunks, i), *next;
	unsigned long *bits = entry;
	struct nvmevf_run run;

	if (!entry || xa_is_value(entry)) {
		run = nvmevf_bitmap_run(map, entry);
		if (nvmevf_run_mark(&run, from, end, dirty)) {
			next = nvmevf_bitmap_run_entry(map, &run);
			return next == entry || nvmevf_bitmap_store(map, i, entry, next);
		}
		bits = nvmevf_bitmap_split(map, i, entry);
		if (!bits)
			return false;
	}

	if (dirty)
		bitmap_set(bits, from, end - from);
	else
		bitmap_clear(bits, from, end - from);
	nvmevf_bitmap_shrink(map, i, bits, dirty);
	return true;
}

static bool nvmevf_bitmap_mark(struct nvmevf_dirty_bitmap *map, u64 from, u64 to, bool dirty)
{
	u64 i = from / NVMEVF_CHUNK_PAGES, last = to / NVMEVF_CHUNK_PAGES;

	/* a long may be too short for the index of a chunk */
	if (last - i >= NVMEVF_CHUNKS_MAX || last > ULONG_MAX)
		return false;

	for (from %= NVMEVF_CHUNK_PAGES; i < last; i++, from = 0)
		if (!nvmevf_bitmap_mark_chunk(map, i, from, NVMEVF_CHUNK_PAGES, dirty))
			return false;

	return nvmevf_bitmap_mark_chunk(map, last, from, to % NVMEVF_CHUNK_PAGES + 1, dirty);
}

/**
 * nvmevf_dirty_bitmap_add - mark memory as dirty
 * @map: the dirty memory
 * @r: the range to mark, including pages that are only partly in it
 *
 * If no memory can be allocated for a bitmap, all memory is marked as dirty.
 *
 * Context: Process; sleeps.
 */
void nvmevf_dirty_bitmap_add(struct nvmevf_dirty_bitmap *map, const struct nvmevf_range *r)
{
	if (!nvmevf_bitmap_mark(map, r->first >> NVME_LM_TRACK_SHIFT,
				r->last >> NVME_LM_TRACK_SHIFT, true))
		nvmevf_dirty_bitmap_add_all(map);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_dirty_bitmap_add);

/* Whether page @p is dirty; @to is reduced to the last page of the same kind */
static bool nvmevf_bitmap_look(struct nvmevf_dirty_bitmap *map, u64 p, u64 *to)
{
	unsigned long i = p / NVMEVF_CHUNK_PAGES, next = i, bit = p % NVMEVF_CHUNK_PAGES;
	u64 base = p - bit;
	struct nvmevf_run run;
	unsigned long *bits;
	void *entry;
	bool dirty;

	/* no such chunk has an entry */
	if (p / NVMEVF_CHUNK_PAGES > ULONG_MAX)
		return map->all;

	entry = xa_load(&map->chunks, i);
	if (!entry) {
		if (xa_find_after(&map->chunks, &next, ULONG_MAX, XA_PRESENT))
			*to = min(*to, (u64)next * NVMEVF_CHUNK_PAGES - 1);
		return map->all;
	}
	if (xa_is_value(entry)) {
		run = nvmevf_bitmap_run(map, entry);
		dirty = bit >= run.from && bit < run.end;
		bit = bit < run.from ? run.from : dirty ? run.end : NVMEVF_CHUNK_PAGES;
		*to = min(*to, base + bit - 1);
		return dirty;
	}

	bits = entry;
	dirty = test_bit(bit, bits);
	bit = dirty ? find_next_zero_bit(bits, NVMEVF_CHUNK_PAGES, bit) :
		      find_next_bit(bits, NVMEVF_CHUNK_PAGES, bit);
	*to = min(*to, base + bit - 1);
	return dirty;
}

/**
 * nvmevf_dirty_bitmap_take - find dirty memory, and mark it as clean
 * @map: the dirty memory
 * @in: the range to search
 * @out: the dirty memory found, within @in
 *
 * A page that is only partly in @in is found, and stays dirty. Memory also stays dirty
 * if no bitmap can be allocated to mark it as clean.
 *
 * Context: Process; sleeps.
 * Return: whether dirty memory was found.
 */
bool nvmevf_dirty_bitmap_take(struct nvmevf_dirty_bitmap *map, const struct nvmevf_range *in,
			      struct nvmevf_range *out)
{
	u64 from = in->first >> NVME_LM_TRACK_SHIFT, last = in->last >> NVME_LM_TRACK_SHIFT, to;

	for (;; from = to + 1) {
		to = last;
		if (nvmevf_bitmap_look(map, from, &to))
			break;
		if (to == last)
			return false;
	}

	out->first = max(in->first, from << NVME_LM_TRACK_SHIFT);
	out->last = min(in->last, (to << NVME_LM_TRACK_SHIFT) + (NVME_LM_TRACK_UNIT - 1));

	if (!IS_ALIGNED(out->first, NVME_LM_TRACK_UNIT))
		from++;
	if (!IS_ALIGNED(out->last + 1, NVME_LM_TRACK_UNIT))
		to--;
	/* both ends may be in one page */
	if (from <= to && to != U64_MAX)
		nvmevf_bitmap_mark(map, from, to, false);
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_dirty_bitmap_take);
