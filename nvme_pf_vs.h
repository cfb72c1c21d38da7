/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vendor specific command set for NVMe live migration that was proposed in 2022.
 */

#ifndef NVME_PF_VS_H
#define NVME_PF_VS_H

/* Opcodes, and the PF's Identify byte 3072 */
#define NVME_LM_VS_QUERY_DATA_SIZE	0xc4
#define NVME_LM_VS_SUSPEND		0xc8
#define NVME_LM_VS_RESUME		0xcc
#define NVME_LM_VS_SAVE_DATA		0xd2
#define NVME_LM_VS_LOAD_DATA		0xd5
#define NVME_LM_VS_SUPPORTED		0x01

struct nvme_pf_verb;

extern const struct nvme_pf_verb nvme_pf_verb_vs_query_data_size;
extern const struct nvme_pf_verb nvme_pf_verb_vs_suspend;
extern const struct nvme_pf_verb nvme_pf_verb_vs_resume;
extern const struct nvme_pf_verb nvme_pf_verb_vs_save_data;
extern const struct nvme_pf_verb nvme_pf_verb_vs_load_data;

#endif /* NVME_PF_VS_H */
