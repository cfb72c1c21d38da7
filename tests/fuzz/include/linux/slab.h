/* SPDX-License-Identifier: GPL-2.0-only */
/* Each allocation is its own for AddressSanitizer, and fails if the harness wants that */
#ifndef FUZZ_LINUX_SLAB_H
#define FUZZ_LINUX_SLAB_H

#include <linux/types.h>

#define GFP_KERNEL_ACCOUNT	GFP_KERNEL
#define __GFP_NOWARN		0

void *kzalloc(size_t size, unsigned int gfp);
void *kmemdup(const void *from, size_t size, unsigned int gfp);
void kfree(void *p);

#endif /* FUZZ_LINUX_SLAB_H */
