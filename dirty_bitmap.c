// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty memory that the device reported and the user has not asked for yet.
 *
 * A device reports once, and what it reports is not all what a user asks for. One
 * bit for each 4 KiB, in bitmaps that exist as long as a chunk is dirty in part.
 * Their number is limited: if there are too many, all memory counts as dirty.
 */

#include <kunit/visibility.h>
#include <linux/bitmap.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "dirty_bitmap.h"
#include "nvme_lm.h"

#define NVMEVF_BITMAP_SIZE	SZ_4K

/* Pages that a bitmap has bits for: 128 MiB */
#define NVMEVF_CHUNK_PAGES	(NVMEVF_BITMAP_SIZE * BITS_PER_BYTE)

/* The bytes in one chunk as a power of two */
#define NVMEVF_CHUNK_SHIFT	(NVME_LM_TRACK_SHIFT + ilog2(NVMEVF_CHUNK_PAGES))

/* Chunks of 32 TiB: bitmaps of 1 GiB at most, and 3 MiB for the tree of them */
#define NVMEVF_CHUNKS_MAX	SZ_256K

/* Bitmaps for what is outside of what the user has tracked, like completion queues */
#define NVMEVF_CHUNKS_SPARE	SZ_1K

/* In place of a bitmap, for a whole chunk */
#define NVMEVF_CHUNK_CLEAN	xa_mk_value(0)
#define NVMEVF_CHUNK_DIRTY	xa_mk_value(1)

/**
 * nvmevf_dirty_bitmap_limit - how many bitmaps may be needed
 * @ranges: what is tracked
 * @nr: how many ranges
 *
 * Return: the number, for nvmevf_dirty_bitmap_init(): enough for writes to each chunk of the
 * ranges and some outside, but no more than 32 TiB of memory take.
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
 * nvmevf_dirty_bitmap_init - begin with nothing dirty
 * @map: the dirty memory
 * @limit: how many bitmaps there may be
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
 * @map: the dirty memory; all chunks are then as those without an entry
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
 * nvmevf_dirty_bitmap_add_all - count all memory as written
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

/* Whether a chunk is dirty that has no bitmap */
static bool nvmevf_bitmap_is_dirty(const struct nvmevf_dirty_bitmap *map, const void *entry)
{
	return entry ? entry == NVMEVF_CHUNK_DIRTY : map->all;
}

/* What stands for a whole chunk: no entry where the other ones without are like it */
static void *nvmevf_bitmap_whole(const struct nvmevf_dirty_bitmap *map, bool dirty)
{
	if (dirty == map->all)
		return NULL;
	return dirty ? NVMEVF_CHUNK_DIRTY : NVMEVF_CHUNK_CLEAN;
}

/* Put @entry in the place of @old; NULL is none */
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

/* A bitmap in the place of @old, which is none, with what that said */
static unsigned long *nvmevf_bitmap_split(struct nvmevf_dirty_bitmap *map, unsigned long i,
					  void *old)
{
	unsigned long *bits;

	if (map->bitmaps >= map->limit)
		return NULL;

	bits = kmalloc(NVMEVF_BITMAP_SIZE, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!bits)
		return NULL;

	memset(bits, nvmevf_bitmap_is_dirty(map, old) ? 0xff : 0, NVMEVF_BITMAP_SIZE);
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
	if (dirty ? bitmap_full(bits, NVMEVF_CHUNK_PAGES) : bitmap_empty(bits, NVMEVF_CHUNK_PAGES))
		nvmevf_bitmap_store(map, i, bits, nvmevf_bitmap_whole(map, dirty));
}

/* Pages @from to @to of one chunk */
static bool nvmevf_bitmap_mark_chunk(struct nvmevf_dirty_bitmap *map, unsigned long i,
				     unsigned int from, unsigned int to, bool dirty)
{
	void *entry = xa_load(&map->chunks, i);
	unsigned long *bits = entry;

	if (!entry || xa_is_value(entry)) {
		if (nvmevf_bitmap_is_dirty(map, entry) == dirty)
			return true;
		bits = NULL;
	}

	if (!from && to == NVMEVF_CHUNK_PAGES - 1)
		return nvmevf_bitmap_store(map, i, entry, nvmevf_bitmap_whole(map, dirty));

	if (!bits)
		bits = nvmevf_bitmap_split(map, i, entry);
	if (!bits)
		return false;

	if (dirty)
		bitmap_set(bits, from, to - from + 1);
	else
		bitmap_clear(bits, from, to - from + 1);
	nvmevf_bitmap_shrink(map, i, bits, dirty);
	return true;
}

static bool nvmevf_bitmap_mark(struct nvmevf_dirty_bitmap *map, u64 from, u64 to, bool dirty)
{
	unsigned long i = from / NVMEVF_CHUNK_PAGES, last = to / NVMEVF_CHUNK_PAGES;

	if (last - i >= NVMEVF_CHUNKS_MAX)
		return false;

	for (from %= NVMEVF_CHUNK_PAGES; i < last; i++, from = 0)
		if (!nvmevf_bitmap_mark_chunk(map, i, from, NVMEVF_CHUNK_PAGES - 1, dirty))
			return false;

	return nvmevf_bitmap_mark_chunk(map, last, from, to % NVMEVF_CHUNK_PAGES, dirty);
}

/**
 * nvmevf_dirty_bitmap_add - count memory as written
 * @map: the dirty memory
 * @r: the memory; pages that are in it in part count
 *
 * Where there is no memory to note it, everything counts as written.
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

/* What is said of page @p, up to which page: @to is the last of interest, or nearer */
static bool nvmevf_bitmap_look(struct nvmevf_dirty_bitmap *map, u64 p, u64 *to)
{
	unsigned long i = p / NVMEVF_CHUNK_PAGES, next = i, bit = p % NVMEVF_CHUNK_PAGES;
	u64 base = p - bit;
	unsigned long *bits;
	void *entry;
	bool dirty;

	entry = xa_load(&map->chunks, i);
	if (!entry) {
		if (xa_find_after(&map->chunks, &next, ULONG_MAX, XA_PRESENT))
			*to = min(*to, (u64)next * NVMEVF_CHUNK_PAGES - 1);
		return map->all;
	}
	if (xa_is_value(entry)) {
		*to = min(*to, base + NVMEVF_CHUNK_PAGES - 1);
		return entry == NVMEVF_CHUNK_DIRTY;
	}

	bits = entry;
	dirty = test_bit(bit, bits);
	bit = dirty ? find_next_zero_bit(bits, NVMEVF_CHUNK_PAGES, bit) :
		      find_next_bit(bits, NVMEVF_CHUNK_PAGES, bit);
	*to = min(*to, base + bit - 1);
	return dirty;
}

/**
 * nvmevf_dirty_bitmap_take - find memory that was written, and forget it
 * @map: the dirty memory
 * @in: where to look
 * @out: what was found, within @in
 *
 * A page that is in @in in part is found, and stays dirty. So does what
 * there is no memory for to note that it is not there any more.
 *
 * Context: Process; sleeps.
 * Return: whether something was found.
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
