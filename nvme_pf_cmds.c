// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands to a PF about one of its VFs: host managed live migration (TP4159), and what
 * has to be asked before. Nothing here accesses a device.
 *
 * Figure numbers are those of NVM Express Base Specification 2.1.
 */

#include <kunit/visibility.h>
#include <linux/build_bug.h>
#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/nvme.h>

#include "nvme_pf.h"

/* Identify has no length: the device always transfers 4096 bytes */
const struct nvme_pf_verb nvme_pf_verb_identify = {
	.name	= "Identify",
	.opcode	= nvme_admin_identify,
	.select	= NVME_ID_CNS_CTRL,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_identify, NVME_PF_USERS);

/* Fig 310 */
const struct nvme_pf_verb nvme_pf_verb_list_formats = {
	.name	= "Identify",
	.opcode	= nvme_admin_identify,
	.select	= NVME_ID_CNS_STATE_FORMATS,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_list_formats, NVME_PF_USERS);

/* Fig 331 */
static void nvme_pf_encode_first(struct nvme_command *c, const struct nvme_pf_vf *vf,
				 const struct nvme_pf_op *op, size_t len)
{
	c->identify.ctrlid = cpu_to_le16(op->first);
}

const struct nvme_pf_verb nvme_pf_verb_list_secondary = {
	.name	= "Identify",
	.opcode	= nvme_admin_identify,
	.select	= NVME_ID_CNS_SCNDRY_CTRL_LIST,
	.encode	= nvme_pf_encode_first,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_list_secondary, NVME_PF_USERS);

const struct nvme_pf_verb nvme_pf_verb_list_controllers = {
	.name	= "Identify",
	.opcode	= nvme_admin_identify,
	.select	= NVME_ID_CNS_CTRL_LIST,
	.encode	= nvme_pf_encode_first,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_list_controllers, NVME_PF_USERS);

/* Fig 351 and 352; a User Data Migration Queue would be kept */
static void nvme_pf_encode_suspend(struct nvme_command *c, const struct nvme_pf_vf *vf,
				   const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw11 = cpu_to_le32(vf->cntlid |
				      NVME_LM_STYPE_SUSPEND << NVME_LM_SUSPEND_STYPE_SHIFT);
}

const struct nvme_pf_verb nvme_pf_verb_suspend = {
	.name		= "Suspend",
	.opcode		= nvme_admin_migration_send,
	.select		= NVME_LM_SEND_SUSPEND,
	.guest_paced	= true,
	.encode		= nvme_pf_encode_suspend,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_suspend, NVME_PF_USERS);

static void nvme_pf_encode_notification(struct nvme_command *c, const struct nvme_pf_vf *vf,
					const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw11 = cpu_to_le32(vf->cntlid |
				      NVME_LM_STYPE_NOTIFICATION << NVME_LM_SUSPEND_STYPE_SHIFT);
}

const struct nvme_pf_verb nvme_pf_verb_suspend_notification = {
	.name	= "Suspend Notification",
	.opcode	= nvme_admin_migration_send,
	.select	= NVME_LM_SEND_SUSPEND,
	.encode	= nvme_pf_encode_notification,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_suspend_notification, NVME_PF_USERS);

/* Fig 353 */
static void nvme_pf_encode_cntlid(struct nvme_command *c, const struct nvme_pf_vf *vf,
				  const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw11 = cpu_to_le32(vf->cntlid);
}

const struct nvme_pf_verb nvme_pf_verb_resume = {
	.name	= "Resume",
	.opcode	= nvme_admin_migration_send,
	.select	= NVME_LM_SEND_RESUME,
	.encode	= nvme_pf_encode_cntlid,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_resume, NVME_PF_USERS);

/* Fig 341 to 347; NUMDL is 0's based */
static void nvme_pf_encode_get_state(struct nvme_command *c, const struct nvme_pf_vf *vf,
				     const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw10 |= cpu_to_le32(op->csvi << NVME_LM_GET_CSVI_SHIFT);
	c->common.cdw11 = cpu_to_le32(vf->cntlid | op->csuuidi << NVME_LM_GET_CSUUIDI_SHIFT);
	c->common.cdw12 = cpu_to_le32(lower_32_bits(op->offset));
	c->common.cdw13 = cpu_to_le32(upper_32_bits(op->offset));
	c->common.cdw15 = cpu_to_le32(len / sizeof(__le32) - 1);
}

const struct nvme_pf_verb nvme_pf_verb_get_state = {
	.name	= "Get Controller State",
	.opcode	= nvme_admin_migration_recv,
	.select	= NVME_LM_RECEIVE_GET_STATE,
	.encode	= nvme_pf_encode_get_state,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_get_state, NVME_PF_USERS);

/* Fig 354 to 357; an offset of 0 begins a sequence, and NUMD is a plain count */
static void nvme_pf_encode_set_state(struct nvme_command *c, const struct nvme_pf_vf *vf,
				     const struct nvme_pf_op *op, size_t len)
{
	u32 seqind = (op->offset ? 0 : NVME_LM_SEQIND_FIRST) |
		     (op->last ? NVME_LM_SEQIND_LAST : 0);

	static_assert((NVME_LM_SEQIND_FIRST | NVME_LM_SEQIND_LAST) == NVME_LM_SEQIND_ONLY);

	c->common.cdw10 |= cpu_to_le32(seqind << NVME_LM_SEND_SEQIND_SHIFT);
	c->common.cdw11 = cpu_to_le32(vf->cntlid | op->csvi << NVME_LM_SET_CSVI_SHIFT |
				      (u32)op->csuuidi << NVME_LM_SET_CSUUIDI_SHIFT);
	c->common.cdw12 = cpu_to_le32(lower_32_bits(op->offset));
	c->common.cdw13 = cpu_to_le32(upper_32_bits(op->offset));
	c->common.cdw15 = cpu_to_le32(len / sizeof(__le32));
}

const struct nvme_pf_verb nvme_pf_verb_set_state = {
	.name	= "Set Controller State",
	.opcode	= nvme_admin_migration_send,
	.select	= NVME_LM_SEND_SET_STATE,
	.encode	= nvme_pf_encode_set_state,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_set_state, NVME_PF_USERS);

/* Fig 464 to 467; the length is in the data */
static void nvme_pf_encode_track_start(struct nvme_command *c, const struct nvme_pf_vf *vf,
				       const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw10 |= cpu_to_le32(NVME_LM_TRACK_TACT_START << NVME_LM_TRACK_TACT_SHIFT);
	c->common.cdw11 = cpu_to_le32(vf->cntlid);
}

const struct nvme_pf_verb nvme_pf_verb_track_start = {
	.name	= "Track Memory Changes",
	.opcode	= nvme_admin_track_send,
	.select	= NVME_LM_TRACK_SEND_MEMORY,
	.encode	= nvme_pf_encode_track_start,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_track_start, NVME_PF_USERS);

static void nvme_pf_encode_track_stop(struct nvme_command *c, const struct nvme_pf_vf *vf,
				      const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw10 |= cpu_to_le32(NVME_LM_TRACK_TACT_STOP << NVME_LM_TRACK_TACT_SHIFT);
	c->common.cdw11 = cpu_to_le32(vf->cntlid);
}

const struct nvme_pf_verb nvme_pf_verb_track_stop = {
	.name	= "Track Memory Changes",
	.opcode	= nvme_admin_track_send,
	.select	= NVME_LM_TRACK_SEND_MEMORY,
	.encode	= nvme_pf_encode_track_stop,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_track_stop, NVME_PF_USERS);

/* Fig 457 to 459; NUMDL is 0's based */
static void nvme_pf_encode_track_read(struct nvme_command *c, const struct nvme_pf_vf *vf,
				      const struct nvme_pf_op *op, size_t len)
{
	c->common.cdw11 = cpu_to_le32(vf->cntlid);
	c->common.cdw12 = cpu_to_le32(len / sizeof(__le32) - 1);
}

const struct nvme_pf_verb nvme_pf_verb_track_read = {
	.name	= "Tracked Memory Changes",
	.opcode	= nvme_admin_track_recv,
	.select	= NVME_LM_TRACK_RECEIVE_MEMORY,
	.encode	= nvme_pf_encode_track_read,
};
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_verb_track_read, NVME_PF_USERS);

/**
 * nvme_pf_encode - make a command of a verb and its arguments
 * @c: the command, without a data pointer
 * @vf: the VF that it is for
 * @op: the verb and its arguments
 * @len: bytes of its data, a multiple of 4
 *
 * Context: Any.
 */
void nvme_pf_encode(struct nvme_command *c, const struct nvme_pf_vf *vf,
		    const struct nvme_pf_op *op, size_t len)
{
	*c = (struct nvme_command) {
		.common.opcode = op->verb->opcode,
		.common.cdw10 = cpu_to_le32(op->verb->select),
	};
	if (op->verb->encode)
		op->verb->encode(c, vf, op, len);
}
EXPORT_SYMBOL_IF_KUNIT(nvme_pf_encode);

/**
 * nvme_pf_find_secondary - find a VF in a Secondary Controller List: Fig 331
 * @vf: the VF; only its number counts
 * @pcid: controller id of its PF
 * @list: one page of the list
 *
 * Return: the entry, or NULL. The PF itself is never the VF.
 */
const struct nvme_lm_secondary_entry *
nvme_pf_find_secondary(const struct nvme_pf_vf *vf, u16 pcid,
		       const struct nvme_lm_secondary_list *list)
{
	unsigned int i, n = min_t(unsigned int, list->nument, NVME_LM_SECONDARY_MAX);
	const struct nvme_lm_secondary_entry *entry;

	for (i = 0; i < n; i++) {
		entry = &list->entry[i];
		if (le16_to_cpu(entry->vfn) == vf->vfn && le16_to_cpu(entry->pcid) == pcid &&
		    le16_to_cpu(entry->scid) != pcid)
			return entry;
	}

	return NULL;
}
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_find_secondary, NVME_PF_USERS);

/**
 * nvme_pf_set_secondary - have commands for a VF name the controller of a list's entry
 * @vf: the VF
 * @entry: the entry, from nvme_pf_find_secondary()
 */
void nvme_pf_set_secondary(struct nvme_pf_vf *vf, const struct nvme_lm_secondary_entry *entry)
{
	vf->cntlid = le16_to_cpu(entry->scid);
}
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_set_secondary, NVME_PF_USERS);

/**
 * nvme_pf_set_identity - have commands for a VF name the controller that it says it is
 * @vf: the VF
 * @id: its own Identify Controller data
 *
 * For a PF that lists no secondary controllers, and for a function that is no VF. The
 * caller has made sure that it is of the NVM subsystem of the PF.
 */
void nvme_pf_set_identity(struct nvme_pf_vf *vf, const struct nvme_id_ctrl *id)
{
	vf->cntlid = le16_to_cpu(id->cntlid);
}
EXPORT_SYMBOL_FOR_MODULES(nvme_pf_set_identity, NVME_PF_USERS);
