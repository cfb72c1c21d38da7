/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: the vendor specific command set of 2022
 *
 * Five opcodes on the PF that name a VF by its number. A state moves in one
 * command each way; its bytes are the same container that TP4159 moves, with
 * both parts in it.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "hw/pci/pcie_sriov.h"

#include "lm-vendor.h"
#include "trace.h"

/* The VF of that number, from 1 on; NULL if it is not enabled */
NvmeCtrl *nvme_lm_vf(NvmeCtrl *n, uint16_t index)
{
    PCIDevice *vf;

    if (!index || index > n->nr_sec_ctrls) {
        return NULL;
    }

    vf = pcie_sriov_get_vf_at_index(PCI_DEVICE(n), index - 1);
    return vf ? NVME(vf) : NULL;
}

/*
 * The size of a suspended VF is what SAVE will transfer. A VF that runs may
 * grow until it is suspended.
 */
static uint16_t nvme_lm_vendor_query(NvmeCtrl *target, NvmeRequest *req,
                                     NvmeLmWhy *why)
{
    uint16_t status = nvme_lm_freeze_image(target, 1, 1, why);
    NvmeLm *lm = target->lm;

    if (status) {
        return status;
    }

    lm->size_told = g_bytes_get_size(lm->image[1][1]);
    req->cqe.result = cpu_to_le32(lm->size_told);
    return NVME_SUCCESS;
}

/*
 * The state as it is, or as it was at the last QUERY_DATA_SIZE if an event has
 * made it larger since then: SAVE_DATA has no length, so the host's buffer has
 * the size that was told.
 */
static GBytes *nvme_lm_vendor_image(NvmeCtrl *target, uint16_t *status,
                                    NvmeLmWhy *why)
{
    g_autoptr(GBytes) image = NULL;
    NvmeLm *lm = target->lm;

    image = lm->image[1][1] ? g_bytes_ref(lm->image[1][1]) : NULL;
    *status = nvme_lm_freeze_image(target, 1, 1, why);
    if (*status) {
        return NULL;
    }

    if (!image || g_bytes_get_size(lm->image[1][1]) <= lm->size_told) {
        g_clear_pointer(&image, g_bytes_unref);
        image = g_bytes_ref(lm->image[1][1]);
    }

    return g_steal_pointer(&image);
}

static uint16_t nvme_lm_vendor_save_suspended(NvmeCtrl *n, NvmeCtrl *target,
                                              NvmeRequest *req, NvmeLmWhy *why)
{
    NvmeLm *lm = target->lm;
    g_autoptr(GBytes) image = NULL;
    g_autofree uint8_t *buf = NULL;
    uint16_t status;
    size_t size;

    image = nvme_lm_vendor_image(target, &status, why);
    if (status) {
        return status;
    }

    size = g_bytes_get_size(image);
    NVME_LM_CHECK(size <= lm->size_told, NVME_NOT_ENOUGH_RESOURCES, why,
                  "save: state is larger than the host was told", size,
                  lm->size_told);
    NVME_LM_CHECK(lm->size_told <= nvme_lm_max_transfer(n), NVME_INVALID_FIELD,
                  why, "save: state is longer than MDTS allows", lm->size_told,
                  nvme_lm_max_transfer(n));

    /* the PRPs are those of the size that was told, not of a smaller one */
    buf = g_malloc0(lm->size_told);
    memcpy(buf, g_bytes_get_data(image, NULL), size);
    status = nvme_c2h(n, buf, lm->size_told, req);
    NVME_LM_CHECK(!status, status, why, "save: data transfer", lm->size_told,
                  0);

    trace_pci_nvme_lm_vendor_save(target->cntlid, size);
    return NVME_SUCCESS;
}

/* A VF that only SAVE_DATA suspended runs again if nothing was saved. */
static void nvme_lm_vendor_save_failed(NvmeCtrl *target)
{
    NvmeLm *lm = target->lm;

    if (lm->run == NVME_LM_SUSPENDED && !lm->suspend_asked &&
        QTAILQ_EMPTY(&lm->waiters)) {
        nvme_lm_release(target);
    }
}

/* The end of a SAVE_DATA that waited for its VF to drain */
static void nvme_lm_vendor_drained(void *opaque, int ret)
{
    NvmeRequest *req = opaque;
    NvmeCtrl *n = nvme_ctrl(req);
    NvmeCtrl *target;
    NvmeLmWhy why = {};
    uint16_t status;

    if (!ret) {
        target = nvme_lm_vf(n, le32_to_cpu(req->cmd.cdw10));
        why.target = target;
        status = nvme_lm_vendor_save_suspended(n, target, req, &why);
        if (status) {
            req->status = nvme_lm_refused(req, status, &why);
            nvme_lm_vendor_save_failed(target);
        }
    }

    nvme_misc_cb(req, ret);
}

static uint16_t nvme_lm_vendor_save(NvmeCtrl *n, NvmeCtrl *target,
                                    NvmeRequest *req, NvmeLmWhy *why)
{
    uint16_t status;

    if (target->lm->run == NVME_LM_SUSPENDED) {
        return nvme_lm_vendor_save_suspended(n, target, req, why);
    }

    status = nvme_lm_suspend(n, target, req, nvme_lm_vendor_drained,
                             NVME_CMD_SEQ_ERROR);
    if (status) {
        return status;
    }

    status = nvme_lm_vendor_save_suspended(n, target, req, why);
    if (status) {
        nvme_lm_vendor_save_failed(target);
    }

    return status;
}

/*
 * LOAD replaces whatever the VF has, I/O queues included. The VF is suspended
 * afterwards, also if it was only disabled before: nothing moves until RESUME.
 */
static uint16_t nvme_lm_vendor_load(NvmeCtrl *n, NvmeCtrl *target,
                                    NvmeRequest *req, NvmeLmWhy *why)
{
    uint32_t size = le32_to_cpu(req->cmd.cdw11);
    NvmeLm *lm = target->lm;
    g_autofree uint8_t *buf = NULL;
    uint64_t max = MIN(nvme_lm_max_transfer(n), nvme_lm_max_state(target));
    uint64_t total;
    uint16_t status;

    NVME_LM_CHECK(lm->run == NVME_LM_SUSPENDED ||
                  (lm->run == NVME_LM_RUNNING && !nvme_lm_enabled(target)),
                  NVME_CMD_SEQ_ERROR, why,
                  "load: neither suspended nor disabled", 0, 0);
    NVME_LM_CHECK(size && !(size & 3) && size <= max, NVME_INVALID_FIELD, why,
                  "load: size", size, max);

    buf = g_malloc(size);
    status = nvme_h2c(n, buf, size, req);
    NVME_LM_CHECK(!status, status, why, "load: data transfer", size, 0);

    lm->load_begun = true;
    if (!nvme_lm_parse_header(buf, size, max, true, true, &total, why)) {
        return NVME_INVALID_FIELD;
    }
    NVME_LM_CHECK(size >= total && buffer_is_zero(buf + total, size - total),
                  NVME_INVALID_FIELD, why,
                  "load: size is not that of the state", size, total);

    status = nvme_lm_commit(target, buf, total, true, why);
    if (status) {
        return status;
    }

    lm->load_begun = false;
    if (lm->run != NVME_LM_SUSPENDED) {
        nvme_lm_freeze(n, target);
    }

    return NVME_SUCCESS;
}

uint16_t nvme_lm_vendor_cmd(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    uint16_t index = le32_to_cpu(req->cmd.cdw10) & 0xffff;
    uint8_t opcode = req->cmd.opcode;
    NvmeCtrl *target = nvme_lm_vf(n, index);

    NVME_LM_CHECK(target, NVME_INVALID_FIELD, why,
                  "vendor: no VF of this index", index,
                  pcie_sriov_num_vfs(PCI_DEVICE(n)));
    why->target = target;

    if (opcode == NVME_LM_VS_RESUME) {
        return nvme_lm_resume(target, NVME_CMD_SEQ_ERROR, why);
    }

    switch (opcode) {
    case NVME_LM_VS_QUERY_DATA_SIZE:
        return nvme_lm_vendor_query(target, req, why);
    case NVME_LM_VS_SUSPEND:
        return nvme_lm_suspend(n, target, req, nvme_misc_cb,
                               NVME_CMD_SEQ_ERROR);
    case NVME_LM_VS_SAVE_DATA:
        return nvme_lm_vendor_save(n, target, req, why);
    default:
        return nvme_lm_vendor_load(n, target, req, why);
    }
}
