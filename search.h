/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_SEARCH_H
#define NVMEVF_SEARCH_H

struct nvme_id_ctrl;
struct nvmevf_lm;

int nvmevf_find_mmc(struct nvmevf_lm *lm, struct nvme_id_ctrl *id);

#endif /* NVMEVF_SEARCH_H */
