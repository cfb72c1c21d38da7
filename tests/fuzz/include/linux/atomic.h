/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_LINUX_ATOMIC_H
#define FUZZ_LINUX_ATOMIC_H

#include <linux/types.h>

typedef struct {
	s64 counter;
} atomic64_t;

#endif /* FUZZ_LINUX_ATOMIC_H */
