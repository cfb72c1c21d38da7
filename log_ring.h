/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_LOG_RING_H
#define NVMEVF_LOG_RING_H

#include <linux/types.h>

struct nvme_id_ctrl;
struct nvme_lm_log_entry;

/**
 * struct nvmevf_log_ring - entries that the device writes, in memory that it shares
 * @slots: the memory, whose phase tags were 0 when the device got it
 * @size: number of slots
 * @head: the slot of the next entry
 * @wrapped: the device has begun again at slot 0 for an odd number of times
 */
struct nvmevf_log_ring {
	const struct nvme_lm_log_entry *slots;
	u32 size;
	u32 head;
	bool wrapped;
};

u16 nvmevf_log_queues(const struct nvme_id_ctrl *id);
bool nvmevf_log_has_format(const void *id_nvm);
void nvmevf_log_ring_init(struct nvmevf_log_ring *ring, const void *slots, u32 size);
bool nvmevf_log_ring_empty(const struct nvmevf_log_ring *ring);
unsigned int nvmevf_log_ring_take(struct nvmevf_log_ring *ring, struct nvme_lm_log_entry *to,
				  unsigned int max, bool *last);
u32 nvmevf_log_ring_back(const struct nvmevf_log_ring *ring, unsigned int n);

#endif /* NVMEVF_LOG_RING_H */
