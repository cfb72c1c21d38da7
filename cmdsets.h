/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_CMDSETS_H
#define NVMEVF_CMDSETS_H

struct nvmevf_lm_ops;

/* The first one that is announced is used; ends with NULL */
extern const struct nvmevf_lm_ops *const nvmevf_cmdsets[];

#endif /* NVMEVF_CMDSETS_H */
