/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: a controller, as all files of live migration see it
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "hw/pci/pcie_sriov.h"
#include "system/block-backend.h"

#include "lm.h"
#include "trace.h"

/* Of a controller that is no VF, itself */
NvmeCtrl *nvme_lm_pf(NvmeCtrl *n)
{
    PCIDevice *pci = PCI_DEVICE(n);

    return pci_is_vf(pci) ? NVME(pcie_sriov_get_pf(pci)) : n;
}

/* Whether it migrates others; a controller is never both an MMC and a target */
bool nvme_lm_is_mmc(NvmeCtrl *n)
{
    return n->lm && !pci_is_vf(PCI_DEVICE(n)) &&
           n->params.lm.mode != NVME_LM_MODE_TARGET;
}

bool nvme_lm_enabled(NvmeCtrl *n)
{
    return NVME_CC_EN(ldl_le_p(&n->bar.cc));
}

bool nvme_lm_admin_queues(NvmeCtrl *n)
{
    return n->sq[0] && n->cq[0];
}

bool nvme_lm_offline(NvmeCtrl *n)
{
    return pci_is_vf(PCI_DEVICE(n)) && !nvme_sctrl(n)->scs;
}

bool nvme_lm_has_io_queues(NvmeCtrl *n)
{
    unsigned i;

    for (i = 1; i < n->params.max_ioqpairs + 1; i++) {
        if (n->sq[i] || n->cq[i]) {
            return true;
        }
    }

    return false;
}

/* I/O queue pairs that it has, whatever the guest was told */
unsigned nvme_lm_own_pairs(NvmeCtrl *n)
{
    uint16_t nvq;

    if (!pci_is_vf(PCI_DEVICE(n))) {
        return n->params.max_ioqpairs;
    }

    nvq = le16_to_cpu(nvme_sctrl(n)->nvq);
    return nvq ? nvq - 1 : 0;
}

/* Every controller of the subsystem except an MMC may be named. */
NvmeCtrl *nvme_lm_target(NvmeCtrl *n, uint16_t cntlid)
{
    NvmeCtrl *target = nvme_subsys_ctrl(n->subsys, cntlid);

    if (!target || !target->lm || nvme_lm_is_mmc(target)) {
        return NULL;
    }

    return target;
}

uint64_t nvme_lm_max_transfer(NvmeCtrl *n)
{
    uint64_t cap = ldq_le_p(&n->bar.cap);

    return (4ULL * KiB) << (NVME_CAP_MPSMIN(cap) + n->params.mdts);
}

/* Refusals */

/* Whether the same command may succeed once something else has happened */
static bool nvme_lm_transient(uint16_t status)
{
    switch (status) {
    case NVME_CMD_SEQ_ERROR:
    case NVME_NOT_ENOUGH_RESOURCES:
    case NVME_CTRL_SUSPENDED:
    case NVME_CTRL_NOT_SUSPENDED:
        return true;
    default:
        return false;
    }
}

/* The status to complete a refused command with */
uint16_t nvme_lm_refused(NvmeRequest *req, uint16_t status,
                         const NvmeLmWhy *why)
{
    trace_pci_nvme_lm_refused(why->target ? why->target->cntlid : 0xffff,
                              req->cmd.opcode, status, why->what, why->got,
                              why->want);
    return nvme_lm_transient(status) ? status : status | NVME_DNR;
}

/* What a controller keeps for a transfer */

void nvme_lm_image_drop(NvmeLm *lm)
{
    unsigned i, j;

    for (i = 0; i <= NVME_LM_NV; i++) {
        for (j = 0; j <= NVME_LM_NUUID; j++) {
            g_clear_pointer(&lm->image[i][j], g_bytes_unref);
        }
    }
}

void nvme_lm_load_drop(NvmeLm *lm)
{
    g_clear_pointer(&lm->load, g_byte_array_unref);
    lm->load_mmc = NULL;
}

void nvme_lm_drop_sg(NvmeSg *sg)
{
    if (sg->flags & NVME_SG_ALLOC) {
        if (sg->flags & NVME_SG_DMA) {
            qemu_sglist_destroy(&sg->qsg);
        } else {
            qemu_iovec_destroy(&sg->iov);
        }
    }
    memset(sg, 0, sizeof(*sg));
}

/*
 * Volatile write cache. The block layer has one switch per namespace, which
 * all controllers share: it is off if it was configured so, and while at least
 * one of them wants it off. Each controller reads back what it chose itself.
 */
static bool nvme_lm_wc_off_wanted(NvmeSubsystem *subsys, uint32_t nsid)
{
    NvmeCtrl *ctrl;
    int i;

    for (i = 0; i < NVME_MAX_CONTROLLERS; i++) {
        ctrl = nvme_subsys_ctrl(subsys, i);
        if (ctrl && ctrl->lm && ctrl->lm->wc_off && nvme_ns(ctrl, nsid)) {
            return true;
        }
    }

    return false;
}

void nvme_lm_wc_choose(NvmeCtrl *n, bool off)
{
    NvmeNamespace *ns;
    int i;

    n->lm->wc_off = off;

    for (i = 1; i <= NVME_MAX_NAMESPACES; i++) {
        ns = nvme_ns(n, i);
        if (ns) {
            blk_set_enable_write_cache(ns->blkconf.blk, ns->wce &&
                                       !nvme_lm_wc_off_wanted(n->subsys, i));
        }
    }
}

bool nvme_lm_wc_enabled(NvmeCtrl *n, bool enabled)
{
    int i;

    if (n->lm->wc_off || enabled) {
        return enabled && !n->lm->wc_off;
    }

    /* off, but neither by this controller nor by the configuration */
    for (i = 1; i <= NVME_MAX_NAMESPACES; i++) {
        if (nvme_ns(n, i) && nvme_ns(n, i)->wce &&
            nvme_lm_wc_off_wanted(n->subsys, i)) {
            return true;
        }
    }

    return false;
}
