/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_PROBE_H
#define NVMEVF_PROBE_H

#include <linux/types.h>

struct nvmevf_lm;
struct pci_dev;

struct nvmevf_lm *nvmevf_lm_probe(struct pci_dev *vf, const char **why_not);
void nvmevf_lm_free(struct nvmevf_lm *lm);
int nvmevf_lm_refresh(struct nvmevf_lm *lm, unsigned int flags);

#endif /* NVMEVF_PROBE_H */
