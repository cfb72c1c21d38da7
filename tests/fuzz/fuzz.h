/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the harnesses share. Each takes the bytes of libFuzzer as a list of things to do
 * with one file of the driver, and compares the results with what they have to be.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>

struct nvmevf_refusal;

/* libFuzzer's name for it is set by the Makefile */
int fuzz_one(const u8 *data, size_t len);

#define require(what) do {							\
	if (!(what)) {								\
		fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);	\
		abort();							\
	}									\
} while (0)

/**
 * struct input - bytes of libFuzzer that are left; zeros follow
 * @at: the next one
 * @left: number of them
 */
struct input {
	const u8 *at;
	size_t left;
};

/* A number of @bytes bytes */
u64 take(struct input *in, unsigned int bytes);

/* One below @n, which is not 0 */
u64 take_below(struct input *in, u64 n);

/* A number of 64 bits that is likely to be at a limit of something */
u64 take_edge(struct input *in);

void take_bytes(struct input *in, void *to, size_t len);

/* Memory whose end AddressSanitizer watches, with bytes of the input; free() it */
void *take_buffer(struct input *in, size_t len);
void *copy_buffer(const void *from, size_t len);

/* The reason for a refusal is one line */
void check_refusal(const struct nvmevf_refusal *refusal);

/* The next @n allocations of the driver work, the one after them does not; -1: all work */
void fail_allocation(int n);

/* Whether one has failed since the last call */
bool allocation_failed(void);

#endif /* FUZZ_H */
