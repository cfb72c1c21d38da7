/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_LINUX_COMPILER_ATTRIBUTES_H
#define FUZZ_LINUX_COMPILER_ATTRIBUTES_H

#include <linux/compiler.h>

#endif /* FUZZ_LINUX_COMPILER_ATTRIBUTES_H */
