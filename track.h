/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_TRACK_H
#define NVMEVF_TRACK_H

#include <linux/sizes.h>
#include <linux/types.h>

#include "nvme.h"
#include "nvme_lm.h"

struct nvme_id_ctrl;

/**
 * struct nvmevf_track_hints - what a device could track instead
 * @mrtg: finest granularity for these ranges, 2^n times 4 KiB
 * @ranges: how many ranges of this granularity
 */
struct nvmevf_track_hints {
	u16 mrtg;
	u32 ranges;
};

/**
 * struct nvmevf_track_limits - what the PF can track
 * @ranges: how many ranges; 0: it does not track memory
 * @min: finest granularity, 2^n times 4 KiB
 * @max: coarsest granularity
 * @pow2: the length of a range has to be a power of two
 * @why_not: why it cannot be used although it claims to track memory, or NULL
 */
struct nvmevf_track_limits {
	u16 ranges;
	u8 min;
	u8 max;
	bool pow2;
	const char *why_not;
};

/**
 * struct nvmevf_track_plan - what a device is asked to track
 * @limits: what it can
 * @page_size: what the user would like, a power of two, at least 4 KiB
 * @mrtg: granularity, 2^n times 4 KiB
 * @limit: how many ranges the device may be asked for
 * @used: how many it was asked for
 * @nr: how many ranges the user has
 * @wanted: those ranges, ascending, not overlapping
 * @work: as many, to work with
 */
struct nvmevf_track_plan {
	const struct nvmevf_track_limits *limits;
	u64 page_size;
	u8 mrtg;
	u32 limit;
	u32 used;
	unsigned int nr;
	struct nvmevf_range *wanted;
	struct nvmevf_range *work;
};

/* Ranges in one Track Send, whatever the device can */
#define NVMEVF_TRACK_MAX	SZ_4K

void nvmevf_track_parse_limits(struct nvmevf_track_limits *limits, const struct nvme_id_ctrl *id);
void nvmevf_track_begin(struct nvmevf_track_plan *plan);
int nvmevf_track_fill(struct nvmevf_track_plan *plan, struct nvme_lm_track *out, size_t *len);
void nvmevf_track_fill_one(const struct nvmevf_track_plan *plan, struct nvme_lm_track *out,
			   size_t *len);
int nvmevf_track_adjust(struct nvmevf_track_plan *plan, int err,
			const struct nvmevf_track_hints *hints);
int nvmevf_changes_check(const struct nvme_lm_changes *c, size_t len, u16 cntlid);
int nvmevf_changes_get(const struct nvme_lm_changes *c, unsigned int i, struct nvmevf_range *r);

#endif /* NVMEVF_TRACK_H */
