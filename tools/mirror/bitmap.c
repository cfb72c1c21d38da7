// SPDX-License-Identifier: GPL-2.0-only
/*
 * A set of numbers, as a bit each.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"

#define BITS	64

static u64 nr_words(const struct bitmap *b)
{
	return b->size / BITS + 1;
}

int bitmap_init(struct bitmap *b, u64 size)
{
	b->size = size;
	b->count = 0;
	b->words = calloc(nr_words(b), sizeof(*b->words));
	return b->words ? 0 : -ENOMEM;
}

void bitmap_free(struct bitmap *b)
{
	free(b->words);
	b->words = NULL;
}

/* The bits of one word that belong to numbers from @first to before @end */
static u64 word_mask(u64 word, u64 first, u64 end)
{
	u64 mask = ~0ULL;

	if (first > word * BITS)
		mask <<= first % BITS;
	if (end < (word + 1) * BITS)
		mask &= ~(~0ULL << end % BITS);
	return mask;
}

u64 bitmap_add(struct bitmap *b, u64 first, u64 n)
{
	u64 end = first + n, before = b->count;

	for (u64 w = first / BITS; w * BITS < end; w++) {
		u64 mask = word_mask(w, first, end);

		b->count += __builtin_popcountll(mask & ~b->words[w]);
		b->words[w] |= mask;
	}
	return b->count - before;
}

u64 bitmap_remove(struct bitmap *b, u64 first, u64 n)
{
	u64 end = first + n, before = b->count;

	for (u64 w = first / BITS; w * BITS < end; w++) {
		u64 mask = word_mask(w, first, end);

		b->count -= __builtin_popcountll(mask & b->words[w]);
		b->words[w] &= ~mask;
	}
	return before - b->count;
}

static u64 find(const struct bitmap *b, u64 from, u64 inverted)
{
	u64 word;

	for (u64 w = from / BITS; w * BITS < b->size; w++) {
		word = (b->words[w] ^ inverted) & word_mask(w, max(from, w * BITS), b->size);
		if (word)
			return w * BITS + __builtin_ctzll(word);
	}
	return b->size;
}

u64 bitmap_next(const struct bitmap *b, u64 from)
{
	return find(b, from, 0);
}

u64 bitmap_next_absent(const struct bitmap *b, u64 from)
{
	return find(b, from, ~0ULL);
}
