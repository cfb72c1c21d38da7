/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_TP4159_H
#define NVMEVF_TP4159_H

struct nvmevf_lm_ops;

extern const struct nvmevf_lm_ops nvmevf_tp_ops;

#endif /* NVMEVF_TP4159_H */
