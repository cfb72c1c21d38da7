/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_LINUX_MINMAX_H
#define FUZZ_LINUX_MINMAX_H

#include <linux/kernel.h>
#include <linux/limits.h>

#define min3(a, b, c)	min(min(a, b), c)

#endif /* FUZZ_LINUX_MINMAX_H */
