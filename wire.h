/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_WIRE_H
#define NVMEVF_WIRE_H

#include <linux/blk_types.h>
#include <linux/types.h>

#include "nvme_lm.h"

struct nvme_id_ctrl;
struct nvmevf_lm;
struct nvmevf_range;
struct nvmevf_refusal;

/**
 * struct nvmevf_queues - the I/O queues in a controller state
 * @nsq: number of submission queues
 * @ncq: number of completion queues
 * @sq: the submission queues, by ascending identifier
 * @cq: the completion queues, likewise
 * @end: offset of their end, in bytes from the beginning of the state
 */
struct nvmevf_queues {
	unsigned int nsq;
	unsigned int ncq;
	const struct nvme_lm_state_sq *sq;
	const struct nvme_lm_state_cq *cq;
	size_t end;
};

int nvmevf_status_to_errno(u16 status);
int nvmevf_answer_error(u16 status, bool cancelled, blk_status_t err);
bool nvmevf_container_len(const struct nvme_lm_state_header *hdr, u64 *len);
int nvmevf_state_queues(const void *state, size_t len, struct nvmevf_queues *q);
int nvmevf_queues_parse(const void *state, size_t len, u32 cqe_size, struct nvmevf_range *cqs,
			unsigned int max);
bool nvmevf_is_identity(const struct nvme_id_ctrl *id, u16 vid, u16 ssvid, u16 cntlid);
bool nvmevf_has_hmlms(const struct nvme_id_ctrl *id);
int nvmevf_parse_formats(struct nvmevf_lm *lm, const struct nvme_lm_state_formats *f);
int nvmevf_next_secondary(const struct nvme_lm_secondary_list *list, u16 cntid);
int nvmevf_state_check(struct nvmevf_refusal *refusal, const void *state, size_t len,
		       const struct nvmevf_lm *lm);
bool nvmevf_io_queues_only(const struct nvmevf_lm *lm);

#endif /* NVMEVF_WIRE_H */
