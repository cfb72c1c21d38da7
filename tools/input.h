/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is read, from a file or a pipe: once, from its beginning to its end.
 */

#ifndef TOOLS_INPUT_H
#define TOOLS_INPUT_H

#include <stdbool.h>
#include <stdio.h>

#include <linux/kernel.h>

/* Bytes that can be looked at before they are read */
#define INPUT_AHEAD	24

/**
 * struct input - a file or pipe being read
 * @file: where from
 * @offset: bytes that were read
 * @error: errno, where reading failed: that looks like the end otherwise
 * @ahead: bytes that were looked at
 * @ahead_at: how many of them were read
 * @ahead_len: how many there are
 */
struct input {
	FILE *file;
	u64 offset;
	int error;
	u8 ahead[INPUT_AHEAD];
	size_t ahead_at;
	size_t ahead_len;
};

/* Look at the first INPUT_AHEAD bytes; returns how many there are. Nothing was read before. */
size_t input_peek(struct input *in, const u8 **p);

/* Read @len bytes; returns less at the end. */
size_t input_read(struct input *in, void *buf, size_t len);

#endif /* TOOLS_INPUT_H */
