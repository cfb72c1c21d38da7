/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Host managed live migration (TP4159): properties, Identify, commands
 *
 * The PF is the Migration Management Controller (MMC), the VFs of its
 * subsystem are the controllers that migrate, and so are PFs with lm=target.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "system/block-backend.h"

#include "lm-vs.h"
#include "trace.h"

/* ed05abd7-bd03-4191-92dd-512313b66b83 */
static const uint8_t nvme_lm_uuid[16] = {
    0xed, 0x05, 0xab, 0xd7, 0xbd, 0x03, 0x41, 0x91,
    0x92, 0xdd, 0x51, 0x23, 0x13, 0xb6, 0x6b, 0x83,
};

/*
 * A state has a record for each completion that a full queue holds back, and
 * it is collected in memory: that is 1 GiB for so many entries of all queues.
 */
#define NVME_LM_MAX_ENTRIES (1 * GiB / sizeof(NvmeLmVsHeld))

/* Properties */

bool nvme_lm_check_params(NvmeCtrl *n, Error **errp)
{
    if (n->params.lm.mode == NVME_LM_MODE_OFF) {
        return true;
    }

    if (n->params.lm.mode == NVME_LM_MODE_TARGET) {
        /* a state has no place for them */
        if (n->params.sriov_max_vfs || n->params.cmb_size_mb || n->pmr.dev) {
            error_setg(errp, "lm=target is not supported with SR-IOV, a "
                       "controller memory buffer or persistent memory");
            return false;
        }
    } else if (!n->params.sriov_max_vfs) {
        error_setg(errp, "lm needs SR-IOV (sriov_max_vfs)");
        return false;
    }

    if (n->subsys->params.fdp.enabled) {
        error_setg(errp, "lm is not supported in a subsystem with FDP");
        return false;
    }

    if (n->params.max_ioqpairs * (n->params.mqes + 1ULL) >
        NVME_LM_MAX_ENTRIES) {
        error_setg(errp, "lm: max_ioqpairs times mqes allows a state larger "
                   "than can be loaded");
        return false;
    }

    return true;
}

/* Identify and the other data a controller shows */

void nvme_lm_init(NvmeCtrl *n)
{
    uint32_t *acs = n->cse.acs;
    uint16_t oacs = le16_to_cpu(n->id_ctrl.oacs);

    if (n->params.lm.mode == NVME_LM_MODE_OFF) {
        return;
    }

    n->lm = g_new0(NvmeLm, 1);
    QTAILQ_INIT(&n->lm->waiters);

    if (!nvme_lm_is_mmc(n)) {
        /* what reaches beyond it is not for the guest that has it */
        oacs &= ~(NVME_OACS_VMS | NVME_OACS_NMS | NVME_OACS_FORMAT);
        acs[NVME_ADM_CMD_VIRT_MNGMT] = 0;
        acs[NVME_ADM_CMD_NS_ATTACHMENT] = 0;
        acs[NVME_ADM_CMD_FORMAT_NVM] = 0;
    } else {
        oacs |= NVME_OACS_HMLMS;
        acs[NVME_ADM_CMD_MIGRATION_SEND] = NVME_CMD_EFF_CSUPP;
        acs[NVME_ADM_CMD_MIGRATION_RECV] = NVME_CMD_EFF_CSUPP;
        nvme_lm_track_init(n);
    }

    n->id_ctrl.oacs = cpu_to_le16(oacs);
    n->lm->own_id = n->id_ctrl;
    n->lm->own_ocp = n->params.ocp;
}

void nvme_lm_exit(NvmeCtrl *n)
{
    if (!n->lm) {
        return;
    }

    nvme_lm_track_drop(n);
    nvme_lm_image_drop(n->lm);
    nvme_lm_load_drop(n->lm);
    g_free(n->lm);
    n->lm = NULL;
}

/* CNS 20h, Supported Controller State Formats */
uint16_t nvme_lm_identify(NvmeCtrl *n, NvmeRequest *req)
{
    uint8_t id[NVME_IDENTIFY_DATA_SIZE] = {};

    if (!nvme_lm_is_mmc(n)) {
        trace_pci_nvme_err_invalid_identify_cns(NVME_ID_CNS_CTRL_STATE_FORMATS);
        return NVME_INVALID_FIELD | NVME_DNR;
    }

    id[0] = NVME_LM_NV;
    id[1] = NVME_LM_NUUID;
    /* bytes 3:2 are the only version, 0h */
    memcpy(id + 2 + 2 * NVME_LM_NV, nvme_lm_uuid, sizeof(nvme_lm_uuid));

    return nvme_c2h(n, id, sizeof(id), req);
}

bool nvme_lm_opcode(NvmeCtrl *n, uint8_t opcode)
{
    switch (opcode) {
    case NVME_ADM_CMD_TRACK_SEND:
    case NVME_ADM_CMD_TRACK_RECV:
    case NVME_ADM_CMD_MIGRATION_SEND:
    case NVME_ADM_CMD_MIGRATION_RECV:
        return true;
    default:
        return false;
    }
}

/* The part of an image that a Get or a Set moves */
typedef struct NvmeLmPiece {
    uint8_t csvi;
    uint8_t csuuidi;
    uint64_t off;
    uint64_t len;
} NvmeLmPiece;

static uint64_t nvme_lm_offset(const NvmeCmd *cmd)
{
    return le32_to_cpu(cmd->cdw12) | (uint64_t)le32_to_cpu(cmd->cdw13) << 32;
}

static uint16_t nvme_lm_check_piece(NvmeCtrl *n, const NvmeLmPiece *p,
                                    NvmeLmWhy *why)
{
    uint64_t max = nvme_lm_max_transfer(n);

    NVME_LM_CHECK(!(p->off & 3), NVME_INVALID_FIELD, why,
                  "offset not dword aligned", p->off, 0);
    NVME_LM_CHECK(p->len <= max, NVME_INVALID_FIELD, why,
                  "longer than MDTS allows", p->len, max);
    NVME_LM_CHECK(p->csvi <= NVME_LM_NV, NVME_INVALID_FIELD, why, "CSVI",
                  p->csvi, NVME_LM_NV);
    NVME_LM_CHECK(p->csuuidi <= NVME_LM_NUUID, NVME_INVALID_FIELD, why,
                  "CSUUIDI", p->csuuidi, NVME_LM_NUUID);
    return NVME_SUCCESS;
}

/* Migration Receive */

static uint16_t nvme_lm_get(NvmeCtrl *n, NvmeCtrl *target, NvmeRequest *req,
                            NvmeLmWhy *why)
{
    const NvmeLmPiece p = {
        .csvi = extract32(le32_to_cpu(req->cmd.cdw10), 16, 8),
        .csuuidi = extract32(le32_to_cpu(req->cmd.cdw11), 16, 8),
        .off = nvme_lm_offset(&req->cmd),
        .len = ((uint64_t)le32_to_cpu(req->cmd.cdw15) + 1) << 2,
    };
    NvmeLm *lm = target->lm;
    bool suspended = lm->run == NVME_LM_SUSPENDED;
    g_autofree uint8_t *buf = NULL;
    g_autoptr(GBytes) image = NULL;
    const uint8_t *data;
    uint16_t status;
    size_t size;

    status = nvme_lm_check_piece(n, &p, why);
    if (status) {
        return status;
    }

    if (!p.off || !lm->image[p.csvi][p.csuuidi]) {
        status = nvme_lm_freeze_image(target, p.csvi, p.csuuidi, why);
        if (status) {
            return status;
        }
    }

    image = g_bytes_ref(lm->image[p.csvi][p.csuuidi]);
    data = g_bytes_get_data(image, &size);
    NVME_LM_CHECK(p.off <= size, NVME_INVALID_FIELD, why,
                  "get: offset beyond the state", p.off, size);

    buf = g_malloc0(p.len);
    memcpy(buf, data + p.off, MIN(p.len, size - p.off));

    status = nvme_c2h(n, buf, p.len, req);
    NVME_LM_CHECK(!status, status, why, "get: data transfer", p.len, 0);

    /* the transfer itself may have hit a register of the target */
    suspended = suspended && lm->run == NVME_LM_SUSPENDED;
    req->cqe.result = cpu_to_le32(suspended);
    trace_pci_nvme_lm_get(target->cntlid, p.csvi, p.csuuidi, p.off, p.len, size,
                          suspended);
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_receive(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    uint8_t sel = le32_to_cpu(req->cmd.cdw10) & 0xff;
    uint16_t cntlid = le32_to_cpu(req->cmd.cdw11) & 0xffff;
    NvmeCtrl *target = nvme_lm_target(n, cntlid);

    NVME_LM_CHECK(!sel, NVME_INVALID_FIELD, why, "receive: SEL", sel, 0);
    NVME_LM_CHECK(target, NVME_INVALID_CTRL_ID, why,
                  "get: CNTLID names no migratable controller", cntlid, 0);
    why->target = target;
    return nvme_lm_get(n, target, req, why);
}

/* Migration Send, Set Controller State */

static uint16_t nvme_lm_set_open(NvmeCtrl *n, NvmeCtrl *target, uint8_t seq,
                                 const NvmeLmPiece *p, NvmeLmWhy *why)
{
    NvmeLm *lm = target->lm;

    if (seq & NVME_SEQIND_FIRST) {
        nvme_lm_load_drop(lm);
        NVME_LM_CHECK(!p->off, NVME_INVALID_FIELD, why,
                      "set: first piece not at offset 0", p->off, 0);
        lm->load = g_byte_array_new();
        lm->load_mmc = n;
        lm->load_csvi = p->csvi;
        lm->load_csuuidi = p->csuuidi;
        return NVME_SUCCESS;
    }

    NVME_LM_CHECK(lm->load_mmc == n, NVME_CMD_SEQ_ERROR, why,
                  "set: no sequence is open", seq, 0);
    NVME_LM_CHECK(p->csvi == lm->load_csvi && p->csuuidi == lm->load_csuuidi,
                  NVME_INVALID_FIELD, why,
                  "set: formats changed within a sequence",
                  p->csuuidi << 8 | p->csvi,
                  lm->load_csuuidi << 8 | lm->load_csvi);
    NVME_LM_CHECK(p->off == lm->load->len, NVME_INVALID_FIELD, why,
                  "set: piece does not follow the last one", p->off,
                  lm->load->len);

    return NVME_SUCCESS;
}

static uint16_t nvme_lm_set_fetch(NvmeCtrl *n, NvmeCtrl *target, uint64_t len,
                                  NvmeRequest *req, NvmeLmWhy *why)
{
    uint64_t max = nvme_lm_max_state(target);
    NvmeLm *lm = target->lm;
    g_autofree uint8_t *buf = NULL;
    uint16_t status;

    NVME_LM_CHECK(lm->load->len + len <= max, NVME_INVALID_FIELD, why,
                  "set: larger than any state of this controller",
                  lm->load->len + len, max);

    if (len) {
        buf = g_malloc(len);
        status = nvme_h2c(n, buf, len, req);
        NVME_LM_CHECK(!status, status, why, "set: data transfer", len, 0);
        NVME_LM_CHECK(lm->load_mmc == n, NVME_CMD_SEQ_ERROR, why,
                      "set: target reset meanwhile", 0, 0);
        g_byte_array_append(lm->load, buf, len);
    }

    lm->load_begun = true;
    return NVME_SUCCESS;
}

/* The sizes in the header are known as soon as it is complete. */
static uint16_t nvme_lm_set_check(NvmeCtrl *target, bool last, NvmeLmWhy *why)
{
    NvmeLm *lm = target->lm;
    const NvmeCtrlStateHdr *hdr = (const NvmeCtrlStateHdr *)lm->load->data;
    uint64_t total;

    if (lm->load->len < sizeof(*hdr)) {
        NVME_LM_CHECK(!last, NVME_INVALID_FIELD, why,
                      "set: shorter than a header", lm->load->len,
                      sizeof(*hdr));
        return NVME_SUCCESS;
    }

    if (!nvme_lm_parse_header(lm->load->data, lm->load->len,
                              nvme_lm_max_state(target), lm->load_csvi,
                              lm->load_csuuidi, &total, why)) {
        return NVME_INVALID_FIELD;
    }
    NVME_LM_CHECK(!hdr->nvmecss[0] || !nvme_lm_has_io_queues(target),
                  NVME_INVALID_FIELD, why, "set: target has I/O queues", 1, 0);
    NVME_LM_CHECK(lm->load->len <= total, NVME_INVALID_FIELD, why,
                  "set: data beyond the state", lm->load->len, total);
    NVME_LM_CHECK(!last || lm->load->len >= total, NVME_INVALID_FIELD,
                  why, "set: state is not complete", lm->load->len,
                  total);

    return NVME_SUCCESS;
}

static uint16_t nvme_lm_set_piece(NvmeCtrl *n, NvmeCtrl *target,
                                  NvmeRequest *req, NvmeLmWhy *why)
{
    uint8_t seq = extract32(le32_to_cpu(req->cmd.cdw10), 16, 2);
    uint32_t cdw11 = le32_to_cpu(req->cmd.cdw11);
    const NvmeLmPiece p = {
        .csvi = extract32(cdw11, 16, 8),
        .csuuidi = extract32(cdw11, 24, 8),
        .off = nvme_lm_offset(&req->cmd),
        .len = (uint64_t)le32_to_cpu(req->cmd.cdw15) << 2,
    };
    NvmeLm *lm = target->lm;
    uint16_t status;

    trace_pci_nvme_lm_set(target->cntlid, seq, p.csvi, p.csuuidi, p.off,
                          p.len);

    status = nvme_lm_check_piece(n, &p, why);
    if (status) {
        return status;
    }
    NVME_LM_CHECK(p.len || seq == NVME_SEQIND_LAST, NVME_INVALID_FIELD, why,
                  "set: NUMD is 0 before the last piece", 0, 1);
    NVME_LM_CHECK(p.csvi || p.csuuidi, NVME_INVALID_FIELD, why,
                  "set: CSVI and CSUUIDI are both 0", 0, 1);

    status = nvme_lm_set_open(n, target, seq, &p, why);
    if (status) {
        return status;
    }
    status = nvme_lm_set_fetch(n, target, p.len, req, why);
    if (status) {
        return status;
    }
    status = nvme_lm_set_check(target, seq & NVME_SEQIND_LAST, why);
    if (status || !(seq & NVME_SEQIND_LAST)) {
        return status;
    }

    status = nvme_lm_commit(target, lm->load->data, lm->load->len, why);
    if (status) {
        return status;
    }

    nvme_lm_load_drop(lm);
    lm->load_begun = false;
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_set(NvmeCtrl *n, NvmeCtrl *target, NvmeRequest *req,
                            NvmeLmWhy *why)
{
    NvmeLm *lm = target->lm;
    uint16_t status;

    NVME_LM_CHECK(lm->run == NVME_LM_SUSPENDED || nvme_lm_enabled(target) ||
                  nvme_lm_offline(target), NVME_INVALID_CTRL_ID, why,
                  "set: neither suspended nor enabled nor offline", 0, 0);

    status = nvme_lm_set_piece(n, target, req, why);
    if (status && lm->load_mmc == n) {
        nvme_lm_load_drop(lm);
    }

    return status;
}

/* Migration Send */

static uint16_t nvme_lm_send_suspend(NvmeCtrl *n, NvmeCtrl *target,
                                     NvmeRequest *req, NvmeLmWhy *why)
{
    uint8_t stype = extract32(le32_to_cpu(req->cmd.cdw11), 16, 8);

    switch (stype) {
    case NVME_SUSPEND_TYPE_NOTIFY:
        return NVME_SUCCESS;
    case NVME_SUSPEND_TYPE_SUSPEND:
        return nvme_lm_suspend(n, target, req);
    default:
        NVME_LM_REFUSE(NVME_INVALID_FIELD, why, "suspend: STYPE", stype,
                       NVME_SUSPEND_TYPE_SUSPEND);
    }
}

static uint16_t nvme_lm_send(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    uint8_t sel = le32_to_cpu(req->cmd.cdw10) & 0xff;
    uint16_t cntlid = le32_to_cpu(req->cmd.cdw11) & 0xffff;
    NvmeCtrl *target = nvme_lm_target(n, cntlid);

    NVME_LM_CHECK(sel <= NVME_MIGRATION_SEND_SET, NVME_INVALID_FIELD, why,
                  "send: SEL", sel, NVME_MIGRATION_SEND_SET);
    NVME_LM_CHECK(target, NVME_INVALID_CTRL_ID, why,
                  "send: CNTLID names no migratable controller", cntlid, 0);
    why->target = target;

    switch (sel) {
    case NVME_MIGRATION_SEND_SUSPEND:
        return nvme_lm_send_suspend(n, target, req, why);
    case NVME_MIGRATION_SEND_RESUME:
        return nvme_lm_resume(target, why);
    default:
        return nvme_lm_set(n, target, req, why);
    }
}

static uint16_t nvme_lm_dispatch(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    NVME_LM_CHECK(!req->cmd.nsid, NVME_INVALID_FIELD, why, "NSID is not 0",
                  le32_to_cpu(req->cmd.nsid), 0);

    switch (req->cmd.opcode) {
    case NVME_ADM_CMD_TRACK_SEND:
        return nvme_lm_track_send(n, req, why);
    case NVME_ADM_CMD_TRACK_RECV:
        return nvme_lm_track_receive(n, req, why);
    case NVME_ADM_CMD_MIGRATION_SEND:
        return nvme_lm_send(n, req, why);
    default:
        return nvme_lm_receive(n, req, why);
    }
}

uint16_t nvme_lm_cmd(NvmeCtrl *n, NvmeRequest *req)
{
    NvmeLmWhy why = {};
    uint16_t status = nvme_lm_dispatch(n, req, &why);

    if (status && status != NVME_NO_COMPLETE) {
        return nvme_lm_refused(req, status, &why);
    }

    return status;
}

/* Abort */

/* A piece of a state that is aborted ends its sequence, as a refused one. */
static void nvme_lm_abort_set(NvmeCtrl *n, const NvmeCmd *cmd)
{
    NvmeCtrl *target = nvme_lm_target(n, le32_to_cpu(cmd->cdw11) & 0xffff);

    if (cmd->opcode == NVME_ADM_CMD_MIGRATION_SEND &&
        (le32_to_cpu(cmd->cdw10) & 0xff) == NVME_MIGRATION_SEND_SET &&
        target && target->lm->load_mmc == n) {
        nvme_lm_load_drop(target->lm);
    }
}

/* End a command that waits, with its completion before that of the Abort. */
bool nvme_lm_abort(NvmeCtrl *n, NvmeRequest *req)
{
    if (!req->aiocb) {
        return false;
    }

    nvme_lm_abort_set(n, &req->cmd);
    req->status = NVME_CMD_ABORT_REQ;
    blk_aio_cancel_async(req->aiocb);
    return true;
}
