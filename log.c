// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kept log: which memory was written and not reported yet.
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

#include "log.h"

/* Pages in one bitmap of 4 KiB: 128 MiB */
#define NVMEVF_LOG_BITS		(SZ_4K * BITS_PER_BYTE)

/* The bytes in one chunk as a power of two */
#define NVMEVF_LOG_CHUNK_SHIFT	(NVMEVF_LOG_SHIFT + ilog2(NVMEVF_LOG_BITS))

/* Chunks of 32 TiB: bitmaps of 1 GiB at most, and 3 MiB for the tree of them */
#define NVMEVF_LOG_ENTRIES_MAX	SZ_256K

/* Bitmaps for what is outside of what the user has tracked, like completion queues */
#define NVMEVF_LOG_SPARE	SZ_1K

/* In place of a bitmap: all of it is otherwise than where nothing is stored */
#define NVMEVF_LOG_WHOLE	xa_mk_value(1)

/**
 * nvmevf_log_limit - how many bitmaps a log may need
 * @ranges: what is tracked
 * @nr: how many ranges
 *
 * Context: Any.
 * Return: the number, for nvmevf_log_init(): enough for writes to each chunk of the
 * ranges and some outside, but no more than 32 TiB of memory take.
 */
unsigned long nvmevf_log_limit(const struct nvmevf_range *ranges, unsigned int nr)
{
	u64 chunks = NVMEVF_LOG_SPARE;

	for (; nr && chunks < NVMEVF_LOG_ENTRIES_MAX; nr--, ranges++)
		chunks += (ranges->last >> NVMEVF_LOG_CHUNK_SHIFT) -
			  (ranges->first >> NVMEVF_LOG_CHUNK_SHIFT) + 1;

	return min_t(u64, chunks, NVMEVF_LOG_ENTRIES_MAX);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_limit);

/**
 * nvmevf_log_init - begin a log in which nothing is dirty
 * @log: the log
 * @limit: how many bitmaps there may be
 *
 * Context: Any.
 */
void nvmevf_log_init(struct nvmevf_log *log, unsigned long limit)
{
	xa_init_flags(&log->chunks, XA_FLAGS_ACCOUNT);
	log->limit = limit;
	log->bitmaps = 0;
	log->entries = 0;
	log->all = false;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_init);

/**
 * nvmevf_log_destroy - free the memory of a log
 * @log: the log, which says then what it said last of no chunk: nothing or all
 *
 * Context: Process; sleeps.
 */
void nvmevf_log_destroy(struct nvmevf_log *log)
{
	unsigned long i;
	void *entry;

	xa_for_each(&log->chunks, i, entry)
		if (!xa_is_value(entry))
			kfree(entry);

	xa_destroy(&log->chunks);
	log->bitmaps = 0;
	log->entries = 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_destroy);

/**
 * nvmevf_log_add_all - count all memory as written
 * @log: the log
 *
 * Context: Process; sleeps. Cannot fail.
 */
void nvmevf_log_add_all(struct nvmevf_log *log)
{
	nvmevf_log_destroy(log);
	log->all = true;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_add_all);

/* Put @entry in the place of @old; NULL is none */
static bool nvmevf_log_store(struct nvmevf_log *log, unsigned long i, void *old, void *entry)
{
	if (entry && !old && log->entries == NVMEVF_LOG_ENTRIES_MAX)
		return false;
	if (xa_is_err(xa_store(&log->chunks, i, entry, GFP_KERNEL | __GFP_NOWARN)))
		return false;

	log->entries += !!entry - !!old;
	if (old && !xa_is_value(old)) {
		kfree(old);
		log->bitmaps--;
	}
	if (entry && !xa_is_value(entry))
		log->bitmaps++;
	return true;
}

/* A bitmap in the place of @old, which is none, with what that said */
static unsigned long *nvmevf_log_split(struct nvmevf_log *log, unsigned long i, void *old)
{
	unsigned long *bits;

	if (log->bitmaps >= log->limit)
		return NULL;

	bits = kmalloc(SZ_4K, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!bits)
		return NULL;

	memset(bits, log->all != !!old ? 0xff : 0, SZ_4K);
	if (!nvmevf_log_store(log, i, old, bits)) {
		kfree(bits);
		return NULL;
	}

	return bits;
}

/* Free a bitmap if all of its bits are @dirty now */
static void nvmevf_log_shrink(struct nvmevf_log *log, unsigned long i, unsigned long *bits,
			      bool dirty)
{
	if (dirty ? bitmap_full(bits, NVMEVF_LOG_BITS) : bitmap_empty(bits, NVMEVF_LOG_BITS))
		nvmevf_log_store(log, i, bits, dirty == log->all ? NULL : NVMEVF_LOG_WHOLE);
}

/* Pages @from to @to of one chunk */
static bool nvmevf_log_mark_chunk(struct nvmevf_log *log, unsigned long i, unsigned int from,
				  unsigned int to, bool dirty)
{
	void *entry = xa_load(&log->chunks, i);
	unsigned long *bits = entry;

	if (!entry || xa_is_value(entry)) {
		if ((log->all != !!entry) == dirty)
			return true;
		bits = NULL;
	}

	if (!from && to == NVMEVF_LOG_BITS - 1)
		return nvmevf_log_store(log, i, entry, dirty == log->all ? NULL : NVMEVF_LOG_WHOLE);

	if (!bits)
		bits = nvmevf_log_split(log, i, entry);
	if (!bits)
		return false;

	if (dirty)
		bitmap_set(bits, from, to - from + 1);
	else
		bitmap_clear(bits, from, to - from + 1);
	nvmevf_log_shrink(log, i, bits, dirty);
	return true;
}

static bool nvmevf_log_mark(struct nvmevf_log *log, u64 from, u64 to, bool dirty)
{
	unsigned long i, last = to / NVMEVF_LOG_BITS;
	unsigned long first = from / NVMEVF_LOG_BITS;

	if (last - first >= NVMEVF_LOG_ENTRIES_MAX)
		return false;

	for (i = first; i <= last; i++)
		if (!nvmevf_log_mark_chunk(log, i, i == first ? from % NVMEVF_LOG_BITS : 0,
					   i == last ? to % NVMEVF_LOG_BITS : NVMEVF_LOG_BITS - 1,
					   dirty))
			return false;

	return true;
}

/**
 * nvmevf_log_add - count memory as written
 * @log: the log
 * @r: the memory; pages that are in it in part count
 *
 * Where there is no memory to note it, everything counts as written.
 *
 * Context: Process; sleeps.
 */
void nvmevf_log_add(struct nvmevf_log *log, const struct nvmevf_range *r)
{
	if (!nvmevf_log_mark(log, r->first >> NVMEVF_LOG_SHIFT, r->last >> NVMEVF_LOG_SHIFT, true))
		nvmevf_log_add_all(log);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_add);

/* What is said of page @p, up to which page: @to is the last of interest, or nearer */
static bool nvmevf_log_look(struct nvmevf_log *log, u64 p, u64 *to)
{
	unsigned long i = p / NVMEVF_LOG_BITS, next = i, bit = p % NVMEVF_LOG_BITS;
	u64 base = p - bit;
	unsigned long *bits;
	void *entry;
	bool dirty;

	entry = xa_load(&log->chunks, i);
	if (!entry) {
		if (xa_find_after(&log->chunks, &next, ULONG_MAX, XA_PRESENT))
			*to = min(*to, (u64)next * NVMEVF_LOG_BITS - 1);
		return log->all;
	}
	if (xa_is_value(entry)) {
		*to = min(*to, base + NVMEVF_LOG_BITS - 1);
		return !log->all;
	}

	bits = entry;
	dirty = test_bit(bit, bits);
	bit = dirty ? find_next_zero_bit(bits, NVMEVF_LOG_BITS, bit) :
		      find_next_bit(bits, NVMEVF_LOG_BITS, bit);
	*to = min(*to, base + bit - 1);
	return dirty;
}

/**
 * nvmevf_log_take - find memory that was written, and forget it
 * @log: the log
 * @in: where to look
 * @out: what was found, within @in
 *
 * A page that is in @in in part is found, and stays in the log. So does what
 * there is no memory for to note that it is not there any more.
 *
 * Context: Process; sleeps.
 * Return: whether something was found.
 */
bool nvmevf_log_take(struct nvmevf_log *log, const struct nvmevf_range *in,
		     struct nvmevf_range *out)
{
	u64 from = in->first >> NVMEVF_LOG_SHIFT, last = in->last >> NVMEVF_LOG_SHIFT, to;

	for (;; from = to + 1) {
		to = last;
		if (nvmevf_log_look(log, from, &to))
			break;
		if (to == last)
			return false;
	}

	out->first = max(in->first, from << NVMEVF_LOG_SHIFT);
	out->last = min(in->last, (to << NVMEVF_LOG_SHIFT) + (SZ_4K - 1));

	if (!IS_ALIGNED(out->first, SZ_4K))
		from++;
	if (!IS_ALIGNED(out->last + 1, SZ_4K))
		to--;
	/* both ends may be in one page */
	if (from <= to && to != U64_MAX)
		nvmevf_log_mark(log, from, to, false);
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_take);
