/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_TRACK_H
#define NVMEVF_TRACK_H

#include <linux/sizes.h>
#include <linux/types.h>

#include "nvme.h"
#include "nvme_lm.h"

struct nvme_id_ctrl;

/**
 * struct nvmevf_track_hints - hints of a device that refused to track
 * @mrtg: finest granularity possible for these ranges, 2^n times 4 KiB
 * @ranges: number of ranges possible with this granularity
 */
struct nvmevf_track_hints {
	u16 mrtg;
	u32 ranges;
};

/**
 * struct nvmevf_track_limits - tracking capabilities of the PF
 * @ranges: number of ranges; 0: it does not track memory
 * @min: finest granularity, 2^n times 4 KiB
 * @max: coarsest granularity
 * @pow2: the length of a range has to be a power of two
 * @why_not: why tracking cannot be used although the PF claims to support it, or NULL
 */
struct nvmevf_track_limits {
	u16 ranges;
	u8 min;
	u8 max;
	bool pow2;
	const char *why_not;
};

/**
 * struct nvmevf_track_plan - what to ask a device to track
 * @limits: capabilities of the PF
 * @page_size: granularity that the user prefers, a power of two, at least 4 KiB
 * @mrtg: granularity, 2^n times 4 KiB
 * @limit: maximum number of ranges to ask for
 * @used: number of ranges asked for
 * @nr: number of the user's ranges
 * @wanted: the user's ranges, ascending, not overlapping
 * @work: working space for @nr ranges
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

/* Maximum number of ranges in one Track Send, whatever the device supports */
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
