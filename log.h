/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_LOG_H
#define NVMEVF_LOG_H

#include <linux/types.h>
#include <linux/xarray.h>

#include "nvme.h"

/**
 * struct nvmevf_log - memory that was written and not reported yet
 * @chunks: by chunk of the address space a bitmap, or that all of it is otherwise
 * @limit: how many bitmaps there may be
 * @bitmaps: how many bitmaps there are
 * @entries: how many chunks of which something is stored
 * @all: where nothing is stored, all was written
 */
struct nvmevf_log {
	struct xarray chunks;
	unsigned long limit;
	unsigned long bitmaps;
	unsigned long entries;
	bool all;
};

#define NVMEVF_LOG_SHIFT	12

unsigned long nvmevf_log_limit(const struct nvmevf_range *ranges, unsigned int nr);
void nvmevf_log_init(struct nvmevf_log *log, unsigned long limit);
void nvmevf_log_destroy(struct nvmevf_log *log);
void nvmevf_log_add_all(struct nvmevf_log *log);
void nvmevf_log_add(struct nvmevf_log *log, const struct nvmevf_range *r);
bool nvmevf_log_take(struct nvmevf_log *log, const struct nvmevf_range *in,
		     struct nvmevf_range *out);

#endif /* NVMEVF_LOG_H */
