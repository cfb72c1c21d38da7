/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_VENDOR_H
#define NVMEVF_VENDOR_H

struct nvmevf_lm_ops;

extern const struct nvmevf_lm_ops nvmevf_vs_ops;

#endif /* NVMEVF_VENDOR_H */
