// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of changed user data as the device writes it: whether there is one, and the
 * entries in its queue. Nothing here accesses a device.
 */

#include <asm/barrier.h>
#include <kunit/visibility.h>
#include <linux/compiler.h>
#include <linux/export.h>
#include <linux/nvme.h>
#include <linux/unaligned.h>

#include "log_ring.h"
#include "nvme_lm_log.h"

/* Identify Controller, Fig 312: TRATTR and MCUDMQ */
#define NVMEVF_ID_TRATTR	576
#define NVMEVF_TRATTR_TUDCS	0x2
#define NVMEVF_ID_MCUDMQ	578

/* Identify Controller of the NVM Command Set: LBAMQF */
#define NVMEVF_ID_NVM_LBAMQF	24

/**
 * nvmevf_log_queues - get the number of logs that a PF can keep
 * @id: its Identify Controller data
 *
 * Return: the number of User Data Migration Queues; 0 if it cannot log.
 */
u16 nvmevf_log_queues(const struct nvme_id_ctrl *id)
{
	const u8 *bytes = (const u8 *)id;

	if (!(bytes[NVMEVF_ID_TRATTR] & NVMEVF_TRATTR_TUDCS))
		return 0;

	return get_unaligned_le16(bytes + NVMEVF_ID_MCUDMQ);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_queues);

/**
 * nvmevf_log_has_format - check that a PF logs entries of type 0
 * @id_nvm: its Identify Controller data of the NVM Command Set
 *
 * Return: whether it does. Other types are vendor specific.
 */
bool nvmevf_log_has_format(const void *id_nvm)
{
	return !((const u8 *)id_nvm)[NVMEVF_ID_NVM_LBAMQF];
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_has_format);

/**
 * nvmevf_log_ring_init - begin to read a queue
 * @ring: the ring
 * @slots: its memory, all zeroes
 * @size: number of slots
 */
void nvmevf_log_ring_init(struct nvmevf_log_ring *ring, const void *slots, u32 size)
{
	*ring = (struct nvmevf_log_ring) { .slots = slots, .size = size };
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_ring_init);

/**
 * nvmevf_log_ring_empty - check for an entry
 * @ring: the ring
 *
 * Return: whether the device has not written the next entry yet.
 */
bool nvmevf_log_ring_empty(const struct nvmevf_log_ring *ring)
{
	u8 attr = READ_ONCE(ring->slots[ring->head].attr);

	return !(attr & NVME_LM_LOG_PHASE) != ring->wrapped;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_ring_empty);

static bool nvmevf_log_is_last(const struct nvme_lm_log_entry *entry)
{
	u8 esa = entry->attr & NVME_LM_LOG_ESA_MASK;

	return esa == NVME_LM_LOG_ESA_STOPPED || esa == NVME_LM_LOG_ESA_FULL;
}

/**
 * nvmevf_log_ring_take - copy entries that the device has written
 * @ring: the ring
 * @to: where to
 * @max: maximum number of entries
 * @last: set if one says that no other follows; it is the last one taken
 *
 * What counts is the copy: the device may change its memory at any time.
 *
 * Return: number of entries.
 */
unsigned int nvmevf_log_ring_take(struct nvmevf_log_ring *ring, struct nvme_lm_log_entry *to,
				  unsigned int max, bool *last)
{
	unsigned int n = 0;

	while (n < max && !*last && !nvmevf_log_ring_empty(ring)) {
		/* the phase tag was written last */
		dma_rmb();
		to[n] = ring->slots[ring->head];
		*last = nvmevf_log_is_last(&to[n++]);
		if (++ring->head == ring->size) {
			ring->head = 0;
			ring->wrapped = !ring->wrapped;
		}
	}

	return n;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_ring_take);

/**
 * nvmevf_log_ring_back - find the slot of an entry that was taken
 * @ring: the ring
 * @n: how many entries ago, at most the size of the ring
 *
 * Return: the slot.
 */
u32 nvmevf_log_ring_back(const struct nvmevf_log_ring *ring, unsigned int n)
{
	return ring->head >= n ? ring->head - n : ring->head + ring->size - n;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_log_ring_back);
