// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands to a PF about one of its VFs: the vendor specific set that was proposed in
 * 2022. It knows a VF by its number.
 */

#include <linux/export.h>
#include <linux/module.h>
#include <linux/nvme.h>

#include "nvme_pf.h"
#include "nvme_pf_vs.h"

static void nvme_pf_encode_vs(struct nvme_command *c, const struct nvme_pf_vf *vf,
			      const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw10 = cpu_to_le32(vf->vfn);
}

const struct nvme_pf_verb nvme_pf_verb_vs_query_data_size = {
	.name	= "QUERY_DATA_SIZE",
	.opcode	= NVME_LM_VS_QUERY_DATA_SIZE,
	.encode	= nvme_pf_encode_vs,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_vs_query_data_size, NVME_PF_USERS);

const struct nvme_pf_verb nvme_pf_verb_vs_suspend = {
	.name		= "SUSPEND",
	.opcode		= NVME_LM_VS_SUSPEND,
	.guest_paced	= true,
	.encode		= nvme_pf_encode_vs,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_vs_suspend, NVME_PF_USERS);

const struct nvme_pf_verb nvme_pf_verb_vs_resume = {
	.name	= "RESUME",
	.opcode	= NVME_LM_VS_RESUME,
	.encode	= nvme_pf_encode_vs,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_vs_resume, NVME_PF_USERS);

/* It may have to drain the VF like a Suspend */
const struct nvme_pf_verb nvme_pf_verb_vs_save_data = {
	.name		= "SAVE_DATA",
	.opcode		= NVME_LM_VS_SAVE_DATA,
	.guest_paced	= true,
	.encode		= nvme_pf_encode_vs,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_vs_save_data, NVME_PF_USERS);

static void nvme_pf_encode_vs_load_data(struct nvme_command *c, const struct nvme_pf_vf *vf,
					const struct nvme_pf_op *op, size_t len)
{
	nvme_pf_encode_vs(c, vf, op, len);
	c->common.cdw11 = cpu_to_le32(op->state_len);
}

const struct nvme_pf_verb nvme_pf_verb_vs_load_data = {
	.name	= "LOAD_DATA",
	.opcode	= NVME_LM_VS_LOAD_DATA,
	.encode	= nvme_pf_encode_vs_load_data,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_vs_load_data, NVME_PF_USERS);
