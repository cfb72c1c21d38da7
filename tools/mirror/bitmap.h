/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A set of numbers below a limit, as a bit each.
 */

#ifndef MIRROR_BITMAP_H
#define MIRROR_BITMAP_H

#include <stdbool.h>

#include <linux/kernel.h>

/**
 * struct bitmap - a set
 * @words: the bits
 * @size: the numbers are below it
 * @count: how many are in the set
 */
struct bitmap {
	u64 *words;
	u64 size;
	u64 count;
};

/* Returns 0 or -ENOMEM. */
int bitmap_init(struct bitmap *b, u64 size);
void bitmap_free(struct bitmap *b);

/* Add or remove the numbers from @first, @n of them; returns how many changed. */
u64 bitmap_add(struct bitmap *b, u64 first, u64 n);
u64 bitmap_remove(struct bitmap *b, u64 first, u64 n);

/* The first number from @from on that is in the set (or, not in it); @size if there is none. */
u64 bitmap_next(const struct bitmap *b, u64 from);
u64 bitmap_next_absent(const struct bitmap *b, u64 from);

#endif /* MIRROR_BITMAP_H */
