/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: numbers of the vendor specific command set of 2022
 */

#ifndef HW_NVME_LM_VENDOR_H
#define HW_NVME_LM_VENDOR_H

#include "lm.h"

enum NvmeLmVsOpcode {
    NVME_LM_VS_QUERY_DATA_SIZE  = 0xc4,
    NVME_LM_VS_SUSPEND          = 0xc8,
    NVME_LM_VS_RESUME           = 0xcc,
    NVME_LM_VS_SAVE_DATA        = 0xd2,
    NVME_LM_VS_LOAD_DATA        = 0xd5,
};

#define NVME_LM_VF_DEVICE_ID    0x1457

uint16_t nvme_lm_vendor_cmd(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why);
NvmeCtrl *nvme_lm_vf(NvmeCtrl *n, uint16_t index);

static inline uint16_t nvme_lm_vf_device_id(NvmeCtrl *n, uint16_t id)
{
    return n->params.lm.mode == NVME_LM_MODE_VENDOR ? NVME_LM_VF_DEVICE_ID : id;
}

#endif /* HW_NVME_LM_VENDOR_H */
