/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_LINUX_KTIME_H
#define FUZZ_LINUX_KTIME_H

#include <linux/types.h>

typedef s64 ktime_t;
typedef s64 time64_t;

#endif /* FUZZ_LINUX_KTIME_H */
