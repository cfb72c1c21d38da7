/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: resets of an MMC and of a controller that migrates
 *
 * A reset ends everything that the MMC or the controller has under way. The
 * previous user's settings do not remain for the next user.
 */

#include "qemu/osdep.h"

#include "lm.h"
#include "trace.h"

void nvme_lm_mmc_reset_begin(NvmeCtrl *n)
{
    NvmeCtrl *target;
    int i;

    for (i = 0; i < NVME_MAX_CONTROLLERS; i++) {
        target = nvme_subsys_ctrl(n->subsys, i);
        if (target && target->lm) {
            nvme_lm_abandon(n, target);
        }
    }
}

/*
 * What this MMC suspended runs again, be it its own VF or another PF's. An
 * offline VF takes no reset of its own from the reset of its PF, so nothing
 * here relies on that.
 */
void nvme_lm_mmc_reset_end(NvmeCtrl *n)
{
    NvmeCtrl *target;
    NvmeLm *lm;
    int i;

    for (i = 0; i < NVME_MAX_CONTROLLERS; i++) {
        target = nvme_subsys_ctrl(n->subsys, i);
        if (!target || !target->lm) {
            continue;
        }

        nvme_lm_track_mmc_reset(n, target);
        lm = target->lm;
        if (lm->load_mmc == n) {
            nvme_lm_load_drop(lm);
            lm->load_begun = false;
        }
        if (lm->mmc != n) {
            continue;
        }
        if (!QTAILQ_EMPTY(&lm->waiters)) {
            lm->mmc = QTAILQ_FIRST(&lm->waiters)->mmc;
            continue;
        }

        trace_pci_nvme_lm_reset(target->cntlid, "by reset of its MMC");
        nvme_lm_release(target);
    }
}

/* Settings of the last tenant that nvme_ctrl_reset() leaves in place */
static void nvme_lm_scrub(NvmeCtrl *n, bool function)
{
    n->features.temp_thresh_hi = le16_to_cpu(n->id_ctrl.wctemp);
    n->features.temp_thresh_low = 0;
    n->features.async_config = 0;
    memset(&n->features.hbs, 0, sizeof(n->features.hbs));
    memset(n->features.err_rec, 0, sizeof(n->features.err_rec));
    bitmap_zero(n->changed_nsids, NVME_CHANGED_NSID_SIZE);
    n->irq_status = 0;
    n->cq_pending = 0;
    n->host_timestamp = 0;
    n->lm->clock_stopped = false;
    nvme_lm_wc_choose(n, false);
    nvme_set_write_atomicity(n, n->dn);

    if (function) {
        n->bar.aqa = 0;
        n->bar.asq = 0;
        n->bar.acq = 0;
        n->bar.cmbmsc = 0;
    }
}

/*
 * The guest is going to ask again, and gets the values of this controller. Its
 * id is an exception: a guest whose drivers reset their controllers one by one
 * must not find an id twice.
 */
static void nvme_lm_show_own(NvmeCtrl *n, bool function)
{
    uint16_t cntlid = n->id_ctrl.cntlid;
    NvmeLm *lm = n->lm;

    n->params.ocp = lm->own_ocp;
    n->id_ctrl = lm->own_id;
    if (!function) {
        n->id_ctrl.cntlid = cntlid;
    }

    if (lm->pairs_lowered) {
        n->conf_ioqpairs = nvme_lm_own_pairs(n);
    }
    lm->pairs_lowered = false;
    lm->pairs_told = false;
}

void nvme_lm_target_reset(NvmeCtrl *n, bool function)
{
    NvmeLm *lm = n->lm;

    if (lm->run != NVME_LM_RUNNING || lm->load_begun) {
        trace_pci_nvme_lm_reset(n->cntlid, "by its own reset");
    }

    nvme_lm_image_drop(lm);
    nvme_lm_load_drop(lm);
    lm->load_begun = false;
    nvme_lm_show_own(n, function);
    nvme_lm_scrub(n, function);
    nvme_lm_end_run(n);
}
