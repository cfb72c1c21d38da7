// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of dirty_bitmap.c: dirty memory is found once, and a page that is asked for
 * only partly stays dirty. Sizes are literals here; none comes from the driver.
 */

#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/prandom.h>

#include "dirty_bitmap.h"

#define PAGE		4096ULL
#define CHUNK		(128ULL << 20)
#define CHUNK_PAGES	32768

/* The end of the memory whose chunks can have an entry: 2^64 (0 here), or on 32 bits 2^59 */
#define END		(BITS_PER_LONG == 64 ? 0 : 1ULL << 59)

/* Maximum number of bitmaps in these tests */
#define BITMAPS		64

static int dirty_bitmap_test_init(struct kunit *test)
{
	struct nvmevf_dirty_bitmap *map = kunit_kzalloc(test, sizeof(*map), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, map);
	nvmevf_dirty_bitmap_init(map, BITMAPS);
	test->priv = map;
	return 0;
}

static void dirty_bitmap_test_exit(struct kunit *test)
{
	if (test->priv)
		nvmevf_dirty_bitmap_destroy(test->priv);
}

static void add(struct kunit *test, u64 first, u64 len)
{
	struct nvmevf_range r = { first, first + len - 1 };

	nvmevf_dirty_bitmap_add(test->priv, &r);
}

/* The first dirty memory from @first on; 0 bytes if there is none */
static struct nvmevf_range take(struct kunit *test, u64 first, u64 last)
{
	struct nvmevf_range in = { first, last }, out = { 1, 0 };

	nvmevf_dirty_bitmap_take(test->priv, &in, &out);
	return out;
}

static void expect_taken(struct kunit *test, u64 first, u64 last, u64 want_first, u64 want_len)
{
	struct nvmevf_range out = take(test, first, last);

	KUNIT_EXPECT_EQ_MSG(test, out.first, want_first, "in %#llx..%#llx", first, last);
	KUNIT_EXPECT_EQ_MSG(test, out.last - out.first + 1, want_len, "in %#llx..%#llx", first,
			    last);
}

static void expect_nothing(struct kunit *test, u64 first, u64 last)
{
	expect_taken(test, first, last, 1, 0);
}

static void test_log_empty(struct kunit *test)
{
	expect_nothing(test, 0, U64_MAX);
	expect_nothing(test, 0, 0);
	expect_nothing(test, U64_MAX, U64_MAX);
}

static void test_log_once(struct kunit *test)
{
	add(test, 5 * PAGE, 1);
	add(test, 9 * PAGE - 1, 2);
	expect_taken(test, 0, U64_MAX, 5 * PAGE, PAGE);
	expect_taken(test, 0, U64_MAX, 8 * PAGE, 2 * PAGE);
	expect_nothing(test, 0, U64_MAX);
}

static void test_log_ends(struct kunit *test)
{
	add(test, 0, 1);
	add(test, END - PAGE, PAGE);
	expect_nothing(test, PAGE, END - PAGE - 1);
	expect_taken(test, 0, U64_MAX, 0, PAGE);
	expect_taken(test, 0, U64_MAX, END - PAGE, PAGE);
	expect_nothing(test, 0, U64_MAX);
}

/* With an index of 32 bits, memory whose chunk can have no entry makes all memory dirty */
static void test_log_beyond(struct kunit *test)
{
	const u64 at = (1ULL << 60) + 5 * PAGE;

	expect_nothing(test, at, U64_MAX);
	add(test, at, PAGE);
	expect_taken(test, at, at + PAGE - 1, at, PAGE);
	if (BITS_PER_LONG == 64)
		expect_nothing(test, 0, U64_MAX);
	else
		expect_taken(test, 5 * PAGE, 6 * PAGE - 1, 5 * PAGE, PAGE);
}

/* The number of chunks is not taken modulo that of the indices */
static void test_log_across(struct kunit *test)
{
	add(test, 0, (1ULL << 59) + 5 * PAGE);
	expect_taken(test, CHUNK, 2 * CHUNK - 1, CHUNK, CHUNK);
}

/* A page that is asked for only partly is found each time */
static void test_log_part(struct kunit *test)
{
	add(test, 3 * PAGE, 3 * PAGE);
	expect_taken(test, 3 * PAGE + 8, 3 * PAGE + 15, 3 * PAGE + 8, 8);
	expect_taken(test, 3 * PAGE + 8, 5 * PAGE + 7, 3 * PAGE + 8, 2 * PAGE);
	expect_taken(test, 0, 4 * PAGE - 1, 3 * PAGE, PAGE);
	expect_taken(test, 0, 9 * PAGE - 1, 5 * PAGE, PAGE);
	add(test, 0, PAGE);
	expect_taken(test, 0, 0, 0, 1);
	expect_taken(test, 0, PAGE - 1, 0, PAGE);
	expect_nothing(test, 0, U64_MAX);
}

static void expect_memory(struct kunit *test, unsigned long bitmaps, unsigned long entries)
{
	struct nvmevf_dirty_bitmap *map = test->priv;

	KUNIT_EXPECT_EQ(test, map->bitmaps, bitmaps);
	KUNIT_EXPECT_EQ(test, map->entries, entries);
}

/* One run of dirty memory in a chunk needs no bitmap, however it grows and shrinks */
static void test_log_run(struct kunit *test)
{
	add(test, 5 * PAGE, PAGE);
	add(test, 6 * PAGE, 2 * PAGE);
	add(test, 3 * PAGE, 2 * PAGE);
	add(test, 4 * PAGE, 5 * PAGE);
	expect_memory(test, 0, 1);
	expect_nothing(test, 0, 3 * PAGE - 1);
	expect_nothing(test, 9 * PAGE, CHUNK - 1);
	expect_taken(test, 0, 4 * PAGE - 1, 3 * PAGE, PAGE);
	expect_taken(test, 8 * PAGE, CHUNK - 1, 8 * PAGE, PAGE);
	expect_memory(test, 0, 1);
	expect_taken(test, 5 * PAGE, 6 * PAGE - 1, 5 * PAGE, PAGE);
	expect_memory(test, 1, 1);
	expect_taken(test, 0, U64_MAX, 4 * PAGE, PAGE);
	expect_taken(test, 0, U64_MAX, 6 * PAGE, 2 * PAGE);
	expect_memory(test, 0, 0);
	/* a page apart is another run */
	add(test, 5 * PAGE, PAGE);
	add(test, 7 * PAGE, PAGE);
	expect_memory(test, 1, 1);
	expect_taken(test, 0, U64_MAX, 5 * PAGE, PAGE);
	expect_taken(test, 0, U64_MAX, 7 * PAGE, PAGE);
	/* the last pages of a chunk */
	add(test, CHUNK - PAGE, PAGE);
	add(test, CHUNK - 3 * PAGE, 2 * PAGE);
	expect_memory(test, 0, 1);
	expect_taken(test, 0, U64_MAX, CHUNK - 3 * PAGE, 3 * PAGE);
	expect_memory(test, 0, 0);
}

/* Whole chunks and parts of some */
static void test_log_chunks(struct kunit *test)
{
	add(test, CHUNK - PAGE, 3 * CHUNK + 2 * PAGE);
	expect_memory(test, 0, 5);
	expect_taken(test, 0, U64_MAX, CHUNK - PAGE, PAGE);
	expect_taken(test, 0, U64_MAX, CHUNK, CHUNK);
	expect_taken(test, 3 * CHUNK - PAGE, 3 * CHUNK - 1, 3 * CHUNK - PAGE, PAGE);
	expect_taken(test, 0, U64_MAX, 2 * CHUNK, CHUNK - PAGE);
	expect_taken(test, 0, U64_MAX, 3 * CHUNK, CHUNK);
	expect_taken(test, 0, U64_MAX, 4 * CHUNK, PAGE);
	expect_nothing(test, 0, U64_MAX);
}

static void test_log_all(struct kunit *test)
{
	nvmevf_dirty_bitmap_add_all(test->priv);
	expect_taken(test, 7 * PAGE, 8 * PAGE - 1, 7 * PAGE, PAGE);
	expect_nothing(test, 7 * PAGE, 8 * PAGE - 1);
	expect_taken(test, 0, 9 * PAGE - 1, 0, 7 * PAGE);
	expect_taken(test, 0, 9 * PAGE - 1, 8 * PAGE, PAGE);
	expect_taken(test, 0, 4 * CHUNK - 1, 9 * PAGE, CHUNK - 9 * PAGE);
	expect_taken(test, 0, 4 * CHUNK - 1, CHUNK, 3 * CHUNK);
	expect_nothing(test, 0, 4 * CHUNK - 1);
	add(test, 2 * CHUNK, CHUNK);
	add(test, CHUNK + PAGE, PAGE);
	expect_taken(test, 0, 4 * CHUNK - 1, CHUNK + PAGE, PAGE);
	expect_taken(test, 0, 4 * CHUNK - 1, 2 * CHUNK, CHUNK);
	expect_nothing(test, 0, 4 * CHUNK - 1);
	expect_taken(test, 0, 5 * CHUNK - 1, 4 * CHUNK, CHUNK);
	nvmevf_dirty_bitmap_add_all(test->priv);
	expect_taken(test, 0, 4 * CHUNK - 1, 0, 4 * CHUNK);
}

/* Memory that is too large to be marked as clean is found again, rather than missed */
static void test_log_too_much(struct kunit *test)
{
	nvmevf_dirty_bitmap_add_all(test->priv);
	expect_taken(test, 0, U64_MAX, 0, 0);
	expect_taken(test, PAGE, 2 * PAGE - 1, PAGE, PAGE);
}

static void test_log_too_long(struct kunit *test)
{
	add(test, 0, 1ULL << 60);
	expect_taken(test, 1ULL << 60, (1ULL << 60) + PAGE - 1, 1ULL << 60, PAGE);
}

/* Beyond the maximum number of bitmaps all memory counts as dirty, and the bitmaps are freed */
static void test_log_too_scattered(struct kunit *test)
{
	struct nvmevf_dirty_bitmap *map = test->priv;
	unsigned int i;

	for (i = 0; i < BITMAPS; i++) {
		add(test, i * CHUNK, PAGE);
		add(test, i * CHUNK + 2 * PAGE, PAGE);
	}
	KUNIT_EXPECT_EQ(test, map->bitmaps, BITMAPS);
	expect_nothing(test, PAGE, 2 * PAGE - 1);
	expect_nothing(test, 3 * PAGE, CHUNK - 1);
	expect_nothing(test, 200 * CHUNK, U64_MAX);
	add(test, i * CHUNK, PAGE);
	KUNIT_EXPECT_EQ(test, map->bitmaps, BITMAPS);
	add(test, i * CHUNK + 2 * PAGE, PAGE);
	KUNIT_EXPECT_EQ(test, map->bitmaps, 0);
	expect_taken(test, PAGE, CHUNK - 1, PAGE, CHUNK - PAGE);
	expect_taken(test, 200 * CHUNK, 201 * CHUNK - 1, 200 * CHUNK, CHUNK);
}

/* Memory that is reported page by page needs no bitmap in the end, in however many chunks */
static void test_log_empty_again(struct kunit *test)
{
	u64 at;

	for (at = 0; at < 3 * BITMAPS * CHUNK; at += CHUNK) {
		add(test, at + 7 * PAGE, PAGE);
		add(test, at + 9 * PAGE, 2 * PAGE);
		expect_memory(test, 1, 1);
		expect_taken(test, at, at + CHUNK - 1, at + 7 * PAGE, PAGE);
		expect_memory(test, 1, 1);
		expect_taken(test, at, at + CHUNK - 1, at + 9 * PAGE, 2 * PAGE);
		expect_memory(test, 0, 0);
	}
	expect_nothing(test, 0, U64_MAX);
}

/* The same if chunks without an entry are dirty */
static void test_log_full_again(struct kunit *test)
{
	u64 at;

	nvmevf_dirty_bitmap_add_all(test->priv);
	for (at = 0; at < 3 * BITMAPS * CHUNK; at += CHUNK) {
		expect_taken(test, at, at + PAGE - 1, at, PAGE);
		expect_memory(test, 0, 1);
		expect_taken(test, at + 2 * PAGE, at + 3 * PAGE - 1, at + 2 * PAGE, PAGE);
		expect_memory(test, 1, 1);
		add(test, at + 2 * PAGE, PAGE);
		expect_memory(test, 1, 1);
		add(test, at, PAGE);
		expect_memory(test, 0, 0);
	}
	expect_taken(test, 0, at - 1, 0, at);
}

/* A chunk that becomes dirty or clean bit by bit needs no bitmap in the end */
static void test_log_bit_by_bit(struct kunit *test)
{
	u64 at;

	for (at = 0; at < CHUNK; at += PAGE)
		add(test, at, PAGE);
	expect_memory(test, 0, 1);
	expect_taken(test, 0, U64_MAX, 0, CHUNK);
	expect_memory(test, 0, 0);
	nvmevf_dirty_bitmap_add_all(test->priv);
	for (at = 0; at < CHUNK; at += PAGE)
		expect_taken(test, at, at + PAGE - 1, at, PAGE);
	expect_memory(test, 0, 1);
	expect_nothing(test, 0, CHUNK - 1);
}

/* As many bitmaps as there are chunks in the tracked ranges, and 1024 for the rest */
static void test_log_limit(struct kunit *test)
{
	const struct nvmevf_range r[] = {
		{ 0, 0 }, { CHUNK - 1, CHUNK }, { 5 * CHUNK, 9 * CHUNK - 1 },
		{ 1ULL << 46, (1ULL << 46) + (4ULL << 40) - 1 }, { 0, U64_MAX },
	};

	KUNIT_EXPECT_EQ(test, nvmevf_dirty_bitmap_limit(r, 1), 1025);
	KUNIT_EXPECT_EQ(test, nvmevf_dirty_bitmap_limit(r, 2), 1027);
	KUNIT_EXPECT_EQ(test, nvmevf_dirty_bitmap_limit(r, 3), 1031);
	/* 4 TiB, which needs more bitmaps than the 16384 for 2 TiB */
	KUNIT_EXPECT_EQ(test, nvmevf_dirty_bitmap_limit(r, 4), 1031 + 32768);
	KUNIT_EXPECT_EQ(test, nvmevf_dirty_bitmap_limit(r, 5), 262144);
	KUNIT_EXPECT_EQ(test, nvmevf_dirty_bitmap_limit(&r[4], 1), 262144);
}

#define MODEL_PAGES	(4 * CHUNK_PAGES)

static void random_pages(struct rnd_state *rnd, u32 *first, u32 *nr)
{
	u32 most = 1 << prandom_u32_state(rnd) % 17;

	*first = prandom_u32_state(rnd) % MODEL_PAGES;
	if (prandom_u32_state(rnd) % 4 == 0)
		*first = round_down(*first, CHUNK_PAGES);
	*nr = min(1 + prandom_u32_state(rnd) % most, MODEL_PAGES - *first);
	if (prandom_u32_state(rnd) % 4 == 0)
		*nr = min(round_up(*nr, CHUNK_PAGES), MODEL_PAGES - *first);
}

/* Take all dirty memory in the range from the bitmaps and from the model, and compare */
static void compare(struct kunit *test, unsigned long *model, u64 base, u32 first, u32 nr)
{
	u64 at = base + first * PAGE, last = at + nr * PAGE - 1;
	struct nvmevf_range out;
	u32 page = first;

	while (at <= last && (out = take(test, at, last), out.first <= out.last)) {
		u32 from = (out.first - base) / PAGE, to = (out.last - base) / PAGE;

		KUNIT_ASSERT_LE(test, page, from);
		KUNIT_ASSERT_LT(test, to, first + nr);
		/* no dirty memory was skipped, and all of this is dirty */
		KUNIT_ASSERT_EQ(test, find_next_bit(model, from, page), from);
		KUNIT_ASSERT_EQ(test, find_next_zero_bit(model, to + 1, from), to + 1);
		page = to + 1;
		at = out.last + 1;
	}

	KUNIT_ASSERT_EQ(test, find_next_bit(model, first + nr, page), first + nr);
	bitmap_clear(model, first, nr);
}

static void test_log_random(struct kunit *test)
{
	unsigned long *model = kunit_kzalloc(test, MODEL_PAGES / 8, GFP_KERNEL);
	const u64 base = 12345 * CHUNK;
	struct rnd_state rnd;
	unsigned int i;
	u32 first, nr;

	KUNIT_ASSERT_NOT_NULL(test, model);
	prandom_seed_state(&rnd, 20260821);

	for (i = 0; i < 4000; i++) {
		random_pages(&rnd, &first, &nr);
		if (prandom_u32_state(&rnd) % 3) {
			bitmap_set(model, first, nr);
			add(test, base + first * PAGE, nr * PAGE);
		} else {
			compare(test, model, base, first, nr);
		}
		if (i % 1000 == 500) {
			bitmap_fill(model, MODEL_PAGES);
			nvmevf_dirty_bitmap_add_all(test->priv);
		}
	}

	compare(test, model, base, 0, MODEL_PAGES);
}

static struct kunit_case dirty_bitmap_cases[] = {
	KUNIT_CASE(test_log_empty),
	KUNIT_CASE(test_log_once),
	KUNIT_CASE(test_log_ends),
	KUNIT_CASE(test_log_beyond),
	KUNIT_CASE(test_log_across),
	KUNIT_CASE(test_log_part),
	KUNIT_CASE(test_log_run),
	KUNIT_CASE(test_log_chunks),
	KUNIT_CASE(test_log_all),
	KUNIT_CASE(test_log_too_much),
	KUNIT_CASE(test_log_too_long),
	KUNIT_CASE(test_log_too_scattered),
	KUNIT_CASE(test_log_empty_again),
	KUNIT_CASE(test_log_full_again),
	KUNIT_CASE(test_log_bit_by_bit),
	KUNIT_CASE(test_log_limit),
	KUNIT_CASE(test_log_random),
	{}
};

static struct kunit_suite dirty_bitmap_suite = {
	.name = "nvme-vfio-pci-dirty-bitmap",
	.init = dirty_bitmap_test_init,
	.exit = dirty_bitmap_test_exit,
	.test_cases = dirty_bitmap_cases,
};

kunit_test_suite(dirty_bitmap_suite);
