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
#include "hw/pci/pcie_sriov.h"

#include "lm.h"
#include "trace.h"

static NvmeCtrl *nvme_lm_vendor_target(NvmeCtrl *n, uint16_t index)
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

    if (status) {
        return status;
    }

    req->cqe.result = cpu_to_le32(g_bytes_get_size(target->lm->image[1][1]));
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_vendor_save(NvmeCtrl *n, NvmeCtrl *target,
                                    NvmeRequest *req, NvmeLmWhy *why)
{
    NvmeLm *lm = target->lm;
    g_autoptr(GBytes) image = NULL;
    uint16_t status;
    size_t size;

    if (lm->run != NVME_LM_SUSPENDED) {
        *why = (NvmeLmWhy) { "save: not suspended", 0, 1 };
        return NVME_CMD_SEQ_ERROR;
    }

    image = lm->image[1][1] ? g_bytes_ref(lm->image[1][1]) : NULL;
    status = nvme_lm_freeze_image(target, 1, 1, why);
    if (status) {
        return status;
    }

    /* the host's buffer has the size that QUERY_DATA_SIZE told */
    if (!image || g_bytes_get_size(image) == g_bytes_get_size(lm->image[1][1])) {
        g_clear_pointer(&image, g_bytes_unref);
        image = g_bytes_ref(lm->image[1][1]);
    }

    size = g_bytes_get_size(image);
    if (size > nvme_lm_max_transfer(n)) {
        *why = (NvmeLmWhy) { "save: state is longer than MDTS allows", size,
                             nvme_lm_max_transfer(n) };
        return NVME_INVALID_FIELD;
    }

    status = nvme_c2h(n, (void *)g_bytes_get_data(image, NULL), size, req);
    if (status) {
        *why = (NvmeLmWhy) { "save: data transfer", size, 0 };
        return status;
    }

    trace_pci_nvme_lm_vendor_save(target->cntlid, size,
                                  n->params.lm.save_disables);
    if (n->params.lm.save_disables && lm->run == NVME_LM_SUSPENDED) {
        nvme_lm_disable(target);
        lm->save_disabled = true;
    }

    return NVME_SUCCESS;
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

    if (lm->run != NVME_LM_SUSPENDED &&
        (lm->run != NVME_LM_RUNNING || nvme_lm_enabled(target))) {
        *why = (NvmeLmWhy) { "load: neither suspended nor disabled", 0, 0 };
        return NVME_CMD_SEQ_ERROR;
    }
    if (!size || (size & 3) || size > max) {
        *why = (NvmeLmWhy) { "load: size", size, max };
        return NVME_INVALID_FIELD;
    }

    buf = g_malloc(size);
    status = nvme_h2c(n, buf, size, req);
    if (status) {
        *why = (NvmeLmWhy) { "load: data transfer", size, 0 };
        return status;
    }

    lm->load_begun = true;
    if (!nvme_lm_parse_header(buf, size, max, true, true, &total, why)) {
        return NVME_INVALID_FIELD;
    }
    if (size != total) {
        *why = (NvmeLmWhy) { "load: size is not that of the state", size,
                             total };
        return NVME_INVALID_FIELD;
    }

    status = nvme_lm_commit(target, buf, size, true, why);
    if (status) {
        return status;
    }

    lm->load_begun = false;
    lm->save_disabled = false;
    if (lm->run != NVME_LM_SUSPENDED) {
        nvme_lm_freeze(n, target);
    }

    return NVME_SUCCESS;
}

static bool nvme_lm_vendor_usable(NvmeCtrl *target)
{
    return nvme_lm_pf(target)->params.lm.suspend_disabled ||
           nvme_lm_enabled(target) || target->lm->save_disabled;
}

uint16_t nvme_lm_vendor_cmd(NvmeCtrl *n, NvmeRequest *req)
{
    uint16_t index = le32_to_cpu(req->cmd.cdw10) & 0xffff;
    uint8_t opcode = req->cmd.opcode;
    NvmeCtrl *target = nvme_lm_vendor_target(n, index);
    NvmeLmWhy why = {};
    uint16_t status;

    if (!target) {
        why = (NvmeLmWhy) { "vendor: no VF of this index", index,
                            pcie_sriov_num_vfs(PCI_DEVICE(n)) };
        return nvme_lm_refuse(NULL, opcode, NVME_INVALID_FIELD, &why);
    }

    if (opcode == NVME_LM_VS_RESUME) {
        return nvme_lm_resume(target, opcode, NVME_CMD_SEQ_ERROR);
    }

    if (!nvme_lm_vendor_usable(target)) {
        why = (NvmeLmWhy) { "vendor: VF is not enabled", 0, 1 };
        return nvme_lm_refuse(target, opcode, NVME_CMD_SEQ_ERROR, &why);
    }

    switch (opcode) {
    case NVME_LM_VS_QUERY_DATA_SIZE:
        status = nvme_lm_vendor_query(target, req, &why);
        break;
    case NVME_LM_VS_SUSPEND:
        status = nvme_lm_suspend(n, target, req, NVME_CMD_SEQ_ERROR);
        break;
    case NVME_LM_VS_SAVE_DATA:
        status = nvme_lm_vendor_save(n, target, req, &why);
        break;
    default:
        status = nvme_lm_vendor_load(n, target, req, &why);
        break;
    }

    if (status && status != NVME_NO_COMPLETE) {
        return nvme_lm_refuse(target, opcode, status, &why);
    }

    return status;
}
