/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_EXEC_H
#define NVMEVF_EXEC_H

#include <linux/types.h>

struct nvme_pf_op;
struct nvmevf_buf;
struct nvmevf_lm;
union nvme_result;

/**
 * enum nvmevf_limit - time limits that the administrator can set
 * @NVMEVF_LIMIT_SUSPEND: for suspending a VF
 * @NVMEVF_LIMIT_DATA: for a transfer of state, resuming a VF, or tracking memory
 * @NVMEVF_LIMIT_IDENTIFY: for an Identify command
 */
enum nvmevf_limit {
	NVMEVF_LIMIT_SUSPEND,
	NVMEVF_LIMIT_DATA,
	NVMEVF_LIMIT_IDENTIFY,
};

unsigned int nvmevf_limit_ms(enum nvmevf_limit limit);
int nvmevf_exec(struct nvmevf_lm *lm, const struct nvme_pf_op *op, struct nvmevf_buf *buf,
		size_t len, union nvme_result *result, enum nvmevf_limit limit,
		unsigned int flags);
int nvmevf_cmd_error(struct nvmevf_lm *lm, const struct nvme_pf_op *op, int ret);
int nvmevf_cmd(struct nvmevf_lm *lm, const struct nvme_pf_op *op, struct nvmevf_buf *buf,
	       size_t len, u32 *dw0, enum nvmevf_limit limit, unsigned int flags);
int nvmevf_begin_ahead(struct nvmevf_lm *lm, const struct nvme_pf_op *op, struct nvmevf_buf *buf,
		       size_t len, bool wait, unsigned int flags);
int nvmevf_end_ahead(struct nvmevf_lm *lm);
void nvmevf_lm_drop_ahead(struct nvmevf_lm *lm);
int nvmevf_ask(struct nvmevf_lm *lm, const struct nvme_pf_op *op, struct nvmevf_buf *buf,
	       unsigned int flags);

#endif /* NVMEVF_EXEC_H */
