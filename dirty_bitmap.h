/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_DIRTY_BITMAP_H
#define NVMEVF_DIRTY_BITMAP_H

#include <linux/types.h>
#include <linux/xarray.h>

#include "nvme.h"

/**
 * struct nvmevf_dirty_bitmap - dirty memory
 * @chunks: for each chunk of the address space a bitmap, or the only run of dirty pages in it
 * @limit: maximum number of bitmaps
 * @bitmaps: number of bitmaps
 * @entries: number of chunks with an entry
 * @all: chunks without an entry are dirty, not clean
 */
struct nvmevf_dirty_bitmap {
	struct xarray chunks;
	unsigned long limit;
	unsigned long bitmaps;
	unsigned long entries;
	bool all;
};

unsigned long nvmevf_dirty_bitmap_limit(const struct nvmevf_range *ranges, unsigned int nr);
void nvmevf_dirty_bitmap_init(struct nvmevf_dirty_bitmap *map, unsigned long limit);
void nvmevf_dirty_bitmap_destroy(struct nvmevf_dirty_bitmap *map);
void nvmevf_dirty_bitmap_add_all(struct nvmevf_dirty_bitmap *map);
void nvmevf_dirty_bitmap_add(struct nvmevf_dirty_bitmap *map, const struct nvmevf_range *r);
bool nvmevf_dirty_bitmap_take(struct nvmevf_dirty_bitmap *map, const struct nvmevf_range *in,
			      struct nvmevf_range *out);

#endif /* NVMEVF_DIRTY_BITMAP_H */
