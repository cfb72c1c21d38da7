/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Verbs for the log of the user data that a controller changes: a Controller Data Queue
 * that the device fills with entries (TP4159).
 */

#ifndef NVME_PF_LOG_H
#define NVME_PF_LOG_H

#include <linux/bits.h>
#include <linux/types.h>

/* Opcode of the Admin command set, Fig 28 and 141 of Base Specification 2.1 */
enum {
	nvme_admin_cdq			= 0x45,
};

/* Controller Data Queue CDW10 and CDW11, Fig 161 to 168 */
enum {
	NVME_LM_CDQ_CREATE		= 0x0,
	NVME_LM_CDQ_DELETE		= 0x1,
	NVME_LM_CDQ_CONTIGUOUS		= 1 << 0,
	NVME_LM_CDQ_CQS_SHIFT		= 16,
};

/* Track Send CDW10, Fig 464 and 465 */
enum {
	NVME_LM_TRACK_SEND_USER_DATA	= 0x0,
	NVME_LM_TRACK_LACT_SHIFT	= 16,
	NVME_LM_TRACK_LACT_STOP		= 0x0,
	NVME_LM_TRACK_LACT_START	= 0x1,
};

/* Feature identifier, Fig 385, and bytes of what Get Features returns, Fig 427 */
#define NVME_LM_FEAT_CDQ		0x21
#define NVME_LM_FEAT_CDQ_LEN		512

/* Command specific status value (SCT 1h), Fig 103: Invalid Controller Data Queue */
#define NVME_SC_CDQ_INVALID		0x137

struct nvme_pf_verb;
struct nvme_pf_vf;

extern const struct nvme_pf_verb nvme_pf_verb_identify_nvm;
extern const struct nvme_pf_verb nvme_pf_verb_cdq_create;
extern const struct nvme_pf_verb nvme_pf_verb_cdq_delete;
extern const struct nvme_pf_verb nvme_pf_verb_cdq_get;
extern const struct nvme_pf_verb nvme_pf_verb_cdq_set;
extern const struct nvme_pf_verb nvme_pf_verb_log_start;
extern const struct nvme_pf_verb nvme_pf_verb_log_stop;

void nvme_pf_set_controller(struct nvme_pf_vf *vf, u16 cntlid);

#endif /* NVME_PF_LOG_H */
