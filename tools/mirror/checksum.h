/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checksum of extents, which both sides compare
 *
 * Of an extent with data: namespace, offset, length, and the data. Of one with zeros: the same
 * without data, since the receiver compares it with zeros. It finds faults; an attacker is what
 * TLS is for.
 */

#ifndef MIRROR_CHECKSUM_H
#define MIRROR_CHECKSUM_H

#include <stdbool.h>

#include <linux/kernel.h>

#define CHECKSUM_SIZE	16

struct XXH3_state_s;

/**
 * struct checksum - a running checksum
 * @state: of the library
 */
struct checksum {
	struct XXH3_state_s *state;
};

/* Returns 0 or -ENOMEM. */
int checksum_init(struct checksum *c);
void checksum_free(struct checksum *c);

void checksum_reset(struct checksum *c);

/* Add an extent; @data is NULL if it is zeros. */
void checksum_extent(struct checksum *c, u32 nsid, u64 offset, u64 len, const void *data);

void checksum_get(struct checksum *c, u8 sum[static CHECKSUM_SIZE]);

#endif /* MIRROR_CHECKSUM_H */
