/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_MATCH_H
#define NVMEVF_MATCH_H

#include <linux/types.h>

#include "nvme_lm_stream.h"

struct nvme_id_ctrl;
struct nvmevf_lm;
struct nvmevf_refusal;

void nvmevf_hello_fill(struct nvme_lm_hello *hello, const struct nvme_id_ctrl *id,
		       enum nvme_lm_ident ident);
bool nvmevf_hello_is_sibling(const struct nvme_lm_hello *hello, const struct nvme_id_ctrl *id);
bool nvmevf_hello_is_exported(const struct nvme_lm_hello *hello, const struct nvme_id_ctrl *id);
int nvmevf_hello_check(struct nvmevf_refusal *refusal, const struct nvme_lm_hello *in,
		       size_t max_xfer, struct nvmevf_lm *lm);

#endif /* NVMEVF_MATCH_H */
