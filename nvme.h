/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Definitions shared by many files of the VFIO variant driver for NVMe.
 */

#ifndef NVMEVF_NVME_H
#define NVMEVF_NVME_H

#include <linux/types.h>

/**
 * struct nvmevf_range - a piece of the VF's address space
 * @first: its first byte
 * @last: its last byte
 */
struct nvmevf_range {
	u64 first;
	u64 last;
};

/* CAP.CQR: Contiguous Queues Required */
#define NVMEVF_CAP_CQR(cap)	(((cap) >> 16) & 0x1)

#endif /* NVMEVF_NVME_H */
