/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fault points: admin commands that fail, hang, take long or lie, for tests
 *
 * ctrl.c calls the inline functions below; all of them do nothing for a
 * controller without fault points (NvmeCtrl::lm_faults is NULL).
 */

#ifndef HW_NVME_LM_FAULT_H
#define HW_NVME_LM_FAULT_H

#include "lm.h"

void nvme_lm_fault_init(NvmeCtrl *n);
void nvme_lm_fault_exit(NvmeCtrl *n);
uint16_t nvme_lm_fault_cmd(NvmeCtrl *n, NvmeRequest *req);
void *nvme_lm_fault_data(NvmeCtrl *n, NvmeRequest *req, const void *ptr,
                         uint32_t *len);
bool nvme_lm_fault_end(NvmeCtrl *n, NvmeRequest *req);
void nvme_lm_fault_reset(NvmeCtrl *n, bool function);
void nvme_lm_fault_event_seen(NvmeCtrl *n);
bool nvme_lm_fault_keeps_vfs(NvmeCtrl *n);
bool nvme_lm_fault_ignores_flr(NvmeCtrl *pf);
bool nvme_lm_fault_never_ready(NvmeCtrl *n);

static inline uint16_t nvme_lm_admin_cmd(NvmeCtrl *n, NvmeRequest *req)
{
    return n->lm_faults ? nvme_lm_fault_cmd(n, req) : nvme_admin_cmd(n, req);
}

static inline void *nvme_lm_altered(NvmeCtrl *n, NvmeRequest *req,
                                    const void *ptr, uint32_t *len)
{
    return req->lm_faults ? nvme_lm_fault_data(n, req, ptr, len) : NULL;
}

static inline bool nvme_lm_held(NvmeCtrl *n, NvmeRequest *req)
{
    return req->lm_faults && nvme_lm_fault_end(n, req);
}

static inline void nvme_lm_fw_log_read(NvmeCtrl *n, bool retain_event)
{
    if (n->lm_faults && !retain_event) {
        nvme_lm_fault_event_seen(n);
    }
}

static inline bool nvme_lm_keeps_vfs(NvmeCtrl *n, NvmeResetType rst)
{
    return n->lm_faults && rst == NVME_RESET_CONTROLLER &&
           nvme_lm_fault_keeps_vfs(n);
}

static inline bool nvme_lm_ignores_flr(NvmeCtrl *n)
{
    NvmeCtrl *pf;

    if (!n->lm || nvme_lm_is_mmc(n)) {
        return false;
    }

    pf = nvme_lm_pf(n);
    return pf->lm_faults && nvme_lm_fault_ignores_flr(pf);
}

static inline bool nvme_lm_never_ready(NvmeCtrl *n)
{
    return n->lm_faults && nvme_lm_fault_never_ready(n);
}

/* Before live migration forgets what it has under way */
static inline void nvme_lm_fault_reset_begin(NvmeCtrl *n, NvmeResetType rst)
{
    if (n->lm_faults) {
        nvme_lm_fault_reset(n, rst == NVME_RESET_FUNCTION);
    }
}

#endif /* HW_NVME_LM_FAULT_H */
