// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random input.
 */
#include <stdlib.h>

#include "device.h"

static u64 random_state;

unsigned int rounds(unsigned int standard, u64 seed)
{
	const char *n = getenv("LM_FUZZ"), *s = getenv("LM_SEED");

	random_state = (s ? strtoull(s, NULL, 0) : seed) * 2 + 1;
	return n ? strtoul(n, NULL, 0) : standard;
}

u32 rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state >> 16;
}
