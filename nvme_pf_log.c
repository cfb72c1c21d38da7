// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands to a PF for the log of the user data that a controller changes. Nothing here
 * accesses a device.
 *
 * Figure numbers are those of NVM Express Base Specification 2.1.
 */

#include <kunit/visibility.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/nvme.h>

#include "nvme_pf.h"
#include "nvme_pf_log.h"

/* Identify Controller of the NVM Command Set; CSI 0h */
const struct nvme_pf_verb nvme_pf_verb_identify_nvm = {
	.name	= "Identify",
	.opcode	= nvme_admin_identify,
	.select	= NVME_ID_CNS_CS_CTRL,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_identify_nvm, NVME_PF_USERS);

/* Fig 161 to 165; queue type 0h is the User Data Migration Queue */
static void nvme_pf_encode_cdq_create(struct nvme_command *c, const struct nvme_pf_vf *vf,
				      const struct nvme_pf_op *op, size_t len)
{
	c->common.dptr.prp1 = cpu_to_le64(op->queue);
	c->common.cdw11 = cpu_to_le32(NVME_LM_CDQ_CONTIGUOUS |
				      (u32)vf->cntlid << NVME_LM_CDQ_CQS_SHIFT);
	c->common.cdw12 = cpu_to_le32(op->queue_len / sizeof(__le32));
}

const struct nvme_pf_verb nvme_pf_verb_cdq_create = {
	.name	= "Create Controller Data Queue",
	.opcode	= nvme_admin_cdq,
	.select	= NVME_LM_CDQ_CREATE,
	.encode	= nvme_pf_encode_cdq_create,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_cdq_create, NVME_PF_USERS);

/* Fig 168 of Delete, 465 of Track Send, 424 of the feature */
static void nvme_pf_encode_cdqid(struct nvme_command *c, const struct nvme_pf_vf *vf,
				 const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw11 = cpu_to_le32(op->cdqid);
}

const struct nvme_pf_verb nvme_pf_verb_cdq_delete = {
	.name	= "Delete Controller Data Queue",
	.opcode	= nvme_admin_cdq,
	.select	= NVME_LM_CDQ_DELETE,
	.encode	= nvme_pf_encode_cdqid,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_cdq_delete, NVME_PF_USERS);

const struct nvme_pf_verb nvme_pf_verb_cdq_get = {
	.name	= "Get Features, Controller Data Queue",
	.opcode	= nvme_admin_get_features,
	.select	= NVME_LM_FEAT_CDQ,
	.encode	= nvme_pf_encode_cdqid,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_cdq_get, NVME_PF_USERS);

/* Fig 424 to 426; no event at a tail pointer is asked for: it would go to nvme */
static void nvme_pf_encode_cdq_set(struct nvme_command *c, const struct nvme_pf_vf *vf,
				   const struct nvme_pf_op *op, size_t len)
{
	nvme_pf_encode_cdqid(c, vf, op, len);
	c->common.cdw12 = cpu_to_le32(op->head);
}

const struct nvme_pf_verb nvme_pf_verb_cdq_set = {
	.name	= "Set Features, Controller Data Queue",
	.opcode	= nvme_admin_set_features,
	.select	= NVME_LM_FEAT_CDQ,
	.encode	= nvme_pf_encode_cdq_set,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_cdq_set, NVME_PF_USERS);

/* Fig 464 and 465 */
static void nvme_pf_encode_log_start(struct nvme_command *c, const struct nvme_pf_vf *vf,
				     const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw10 |= cpu_to_le32(NVME_LM_TRACK_LACT_START << NVME_LM_TRACK_LACT_SHIFT);
	nvme_pf_encode_cdqid(c, vf, op, len);
}

const struct nvme_pf_verb nvme_pf_verb_log_start = {
	.name	= "Log User Data Changes",
	.opcode	= nvme_admin_track_send,
	.select	= NVME_LM_TRACK_SEND_USER_DATA,
	.encode	= nvme_pf_encode_log_start,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_log_start, NVME_PF_USERS);

static void nvme_pf_encode_log_stop(struct nvme_command *c, const struct nvme_pf_vf *vf,
				    const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw10 |= cpu_to_le32(NVME_LM_TRACK_LACT_STOP << NVME_LM_TRACK_LACT_SHIFT);
	nvme_pf_encode_cdqid(c, vf, op, len);
}

const struct nvme_pf_verb nvme_pf_verb_log_stop = {
	.name	= "Log User Data Changes",
	.opcode	= nvme_admin_track_send,
	.select	= NVME_LM_TRACK_SEND_USER_DATA,
	.encode	= nvme_pf_encode_log_stop,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_log_stop, NVME_PF_USERS);

/**
 * nvme_pf_set_controller - have commands name a controller by its id
 * @vf: describes the controller, which need not be that of a VF
 * @cntlid: its controller id
 *
 * The device refuses an id that is not one of its NVM subsystem.
 */
void nvme_pf_set_controller(struct nvme_pf_vf *vf, u16 cntlid)
{
	*vf = (struct nvme_pf_vf) { .cntlid = cntlid };
}
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_set_controller, NVME_PF_USERS);
