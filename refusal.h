/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_REFUSAL_H
#define NVMEVF_REFUSAL_H

#include <linux/compiler_attributes.h>

/**
 * struct nvmevf_refusal - why a stream is refused
 * @why: one line for the log, or ""
 */
struct nvmevf_refusal {
	char why[512];
};

__printf(3, 4) int nvmevf_refuse(struct nvmevf_refusal *refusal, int err, const char *fmt, ...);

#endif /* NVMEVF_REFUSAL_H */
