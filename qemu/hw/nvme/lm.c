/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Host managed live migration (TP4159): properties, Identify, commands
 *
 * The PF is the Migration Management Controller (MMC), the VFs of its
 * subsystem are the controllers that migrate. The vendor specific commands of
 * lm-vendor.c run on the same engine.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "system/block-backend.h"

#include "lm.h"
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

static const char *const nvme_lm_mode_names[] = {
    [NVME_LM_OFF]       = "off",
    [NVME_LM_TP4159]    = "tp4159",
    [NVME_LM_VENDOR]    = "vendor",
};

static const QEnumLookup nvme_lm_mode_lookup = {
    .array = nvme_lm_mode_names,
    .size = ARRAY_SIZE(nvme_lm_mode_names),
};

static void nvme_lm_get_mode(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    const Property *prop = opaque;
    int *mode = object_field_prop_ptr(obj, prop);

    visit_type_enum(v, name, mode, &nvme_lm_mode_lookup, errp);
}

const PropertyInfo nvme_lm_prop_mode = {
    .type = "str",
    .description = "live migration: off, tp4159 or vendor",
    .get = nvme_lm_get_mode,
    .set = nvme_lm_get_mode,
};

static void nvme_lm_get_bool(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    const Property *prop = opaque;
    bool *value = object_field_prop_ptr(obj, prop);

    visit_type_bool(v, name, value, errp);
}

static void nvme_lm_set_bool(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    NvmeCtrl *n = NVME(obj);

    nvme_lm_get_bool(obj, v, name, opaque, errp);
    if (n->lm) {
        nvme_lm_look_again(n);
    }
}

static void nvme_lm_default_bool(ObjectProperty *op, const Property *prop)
{
    object_property_set_default_bool(op, prop->defval.u);
}

/* A bool that a monitor may change while the device is in use */
const PropertyInfo nvme_lm_prop_live_bool = {
    .type = "bool",
    .description = "on/off",
    .realized_set_allowed = true,
    .get = nvme_lm_get_bool,
    .set = nvme_lm_set_bool,
    .set_default_value = nvme_lm_default_bool,
};

static void nvme_lm_get_uint64(Object *obj, Visitor *v, const char *name,
                               void *opaque, Error **errp)
{
    const Property *prop = opaque;
    uint64_t *value = object_field_prop_ptr(obj, prop);

    visit_type_uint64(v, name, value, errp);
}

static void nvme_lm_set_uint64(Object *obj, Visitor *v, const char *name,
                               void *opaque, Error **errp)
{
    NvmeCtrl *n = NVME(obj);

    nvme_lm_get_uint64(obj, v, name, opaque, errp);
    if (n->lm) {
        nvme_lm_model_look_again(n);
    }
}

static void nvme_lm_default_uint64(ObjectProperty *op, const Property *prop)
{
    object_property_set_default_uint(op, prop->defval.u);
}

/* A number of the hardware model that a monitor may change as well */
const PropertyInfo nvme_lm_prop_live_uint64 = {
    .type = "uint64",
    .realized_set_allowed = true,
    .get = nvme_lm_get_uint64,
    .set = nvme_lm_set_uint64,
    .set_default_value = nvme_lm_default_uint64,
};

bool nvme_lm_check_params(NvmeCtrl *n, Error **errp)
{
    if (n->params.lm.mode == NVME_LM_OFF) {
        return true;
    }

    if (!n->params.sriov_max_vfs) {
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

    if (!n->params.lm.state_revision ||
        n->params.lm.state_revision > NVME_LM_VS_REVISION) {
        error_setg(errp, "lm-state-revision is not known");
        return false;
    }

    if (!nvme_lm_model_check_params(n, errp)) {
        return false;
    }

    if (n->params.lm.mode == NVME_LM_VENDOR) {
        n->params.use_intel_id = true;
        return true;
    }

    return nvme_lm_track_check_params(n, errp);
}

/* Identify and the other data a controller shows */

void nvme_lm_init(NvmeCtrl *n)
{
    uint32_t *acs = n->cse.acs;
    uint16_t oacs = le16_to_cpu(n->id_ctrl.oacs);

    nvme_lm_fault_init(n);
    if (n->params.lm.mode == NVME_LM_OFF) {
        return;
    }

    n->lm = g_new0(NvmeLm, 1);
    QTAILQ_INIT(&n->lm->waiters);
    QTAILQ_INIT(&n->lm->suspends);
    QTAILQ_INIT(&n->lm->jobs);

    if (pci_is_vf(PCI_DEVICE(n))) {
        /* what reaches beyond a VF is not for the guest that has it */
        oacs &= ~(NVME_OACS_VMS | NVME_OACS_NMS | NVME_OACS_FORMAT);
        acs[NVME_ADM_CMD_VIRT_MNGMT] = 0;
        acs[NVME_ADM_CMD_NS_ATTACHMENT] = 0;
        acs[NVME_ADM_CMD_FORMAT_NVM] = 0;
    } else if (n->params.lm.mode == NVME_LM_TP4159) {
        oacs |= NVME_LM_OACS_HMLMS;
        acs[NVME_LM_MIGRATION_SEND] = NVME_CMD_EFF_CSUPP;
        acs[NVME_LM_MIGRATION_RECV] = NVME_CMD_EFF_CSUPP;
        nvme_lm_track_init(n);
    } else {
        n->id_ctrl.vs[0] = 1;
        acs[NVME_LM_VS_QUERY_DATA_SIZE] = NVME_CMD_EFF_CSUPP;
        acs[NVME_LM_VS_SUSPEND] = NVME_CMD_EFF_CSUPP;
        acs[NVME_LM_VS_RESUME] = NVME_CMD_EFF_CSUPP;
        acs[NVME_LM_VS_SAVE_DATA] = NVME_CMD_EFF_CSUPP;
        acs[NVME_LM_VS_LOAD_DATA] = NVME_CMD_EFF_CSUPP;
    }

    QEMU_BUILD_BUG_ON(offsetof(NvmeIdCtrl, oacs) != 256);
    QEMU_BUILD_BUG_ON(offsetof(NvmeIdCtrl, vs) != 3072);
    n->id_ctrl.oacs = cpu_to_le16(oacs);
    if (n->params.lm.firmware_revision) {
        strpadcpy((char *)n->id_ctrl.fr, sizeof(n->id_ctrl.fr),
                  n->params.lm.firmware_revision, ' ');
    }
    n->lm->own_id = n->id_ctrl;
    n->lm->own_ocp = n->params.ocp;
}

void nvme_lm_exit(NvmeCtrl *n)
{
    nvme_lm_fault_exit(n);
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

    if (pci_is_vf(PCI_DEVICE(n)) || n->params.lm.mode != NVME_LM_TP4159) {
        trace_pci_nvme_err_invalid_identify_cns(NVME_LM_CNS_STATE_FORMATS);
        return NVME_INVALID_FIELD | NVME_DNR;
    }

    id[0] = NVME_LM_NV;
    /* bytes 3:2 are the only version, 0h */
    if (n->params.lm.vendor_state) {
        id[1] = 1;
        memcpy(id + 2 + 2 * NVME_LM_NV, nvme_lm_uuid, sizeof(nvme_lm_uuid));
    }

    return nvme_c2h(n, id, sizeof(id), req);
}

bool nvme_lm_opcode(NvmeCtrl *n, uint8_t opcode)
{
    switch (opcode) {
    case NVME_LM_TRACK_SEND:
    case NVME_LM_TRACK_RECV:
    case NVME_LM_MIGRATION_SEND:
    case NVME_LM_MIGRATION_RECV:
    case NVME_LM_VS_QUERY_DATA_SIZE:
    case NVME_LM_VS_SUSPEND:
    case NVME_LM_VS_RESUME:
    case NVME_LM_VS_SAVE_DATA:
    case NVME_LM_VS_LOAD_DATA:
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
    uint8_t nuuid = n->params.lm.vendor_state;

    NVME_LM_CHECK(!(p->off & 3), NVME_INVALID_FIELD, why,
                  "offset not dword aligned", p->off, 0);
    NVME_LM_CHECK(p->len <= max, NVME_INVALID_FIELD, why,
                  "longer than MDTS allows", p->len, max);
    NVME_LM_CHECK(p->csvi <= NVME_LM_NV, NVME_INVALID_FIELD, why, "CSVI",
                  p->csvi, NVME_LM_NV);
    NVME_LM_CHECK(p->csuuidi <= nuuid, NVME_INVALID_FIELD, why, "CSUUIDI",
                  p->csuuidi, nuuid);
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
    size = nvme_lm_image_size(image);
    NVME_LM_CHECK(p.off <= size, NVME_INVALID_FIELD, why,
                  "get: offset beyond the state", p.off, size);

    buf = g_malloc0(p.len);
    nvme_lm_image_read(image, p.off, buf, MIN(p.len, size - p.off));

    status = nvme_c2h(n, buf, p.len, req);
    NVME_LM_CHECK(!status, status, why, "get: data transfer", p.len, 0);

    /* the transfer itself may have hit a register of the target */
    suspended = suspended && lm->run == NVME_LM_SUSPENDED;
    req->cqe.result = cpu_to_le32(suspended && n->params.lm.csup);
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
    NVME_LM_CHECK(nvme_lm_usable(target), NVME_INVALID_CTRL_ID, why,
                  "get: target is not enabled", 0, 1);
    return nvme_lm_get(n, target, req, why);
}

/* Migration Send, Set Controller State */

/* How much of a state has come so far */
static uint64_t nvme_lm_loaded(const NvmeLm *lm)
{
    return lm->load->len + lm->load_extra;
}

static uint16_t nvme_lm_set_open(NvmeCtrl *n, NvmeCtrl *target, uint8_t seq,
                                 const NvmeLmPiece *p, NvmeLmWhy *why)
{
    NvmeLm *lm = target->lm;

    if (seq & NVME_LM_SEQ_FIRST) {
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
    NVME_LM_CHECK(p->off == nvme_lm_loaded(lm), NVME_INVALID_FIELD, why,
                  "set: piece does not follow the last one", p->off,
                  nvme_lm_loaded(lm));

    return NVME_SUCCESS;
}

static uint16_t nvme_lm_set_fetch(NvmeCtrl *n, NvmeCtrl *target, uint64_t len,
                                  NvmeRequest *req, NvmeLmWhy *why)
{
    uint64_t max = nvme_lm_max_state(target);
    NvmeLm *lm = target->lm;
    g_autofree uint8_t *buf = NULL;
    uint16_t status;

    NVME_LM_CHECK(nvme_lm_loaded(lm) + len <= max, NVME_INVALID_FIELD, why,
                  "set: larger than any state of this controller",
                  nvme_lm_loaded(lm) + len, max);

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
    const NvmeLmHeader *hdr = (const NvmeLmHeader *)lm->load->data;
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
    NVME_LM_CHECK(nvme_lm_loaded(lm) <= total, NVME_INVALID_FIELD, why,
                  "set: data beyond the state", nvme_lm_loaded(lm), total);
    NVME_LM_CHECK(!last || nvme_lm_loaded(lm) >= total, NVME_INVALID_FIELD,
                  why, "set: state is not complete", nvme_lm_loaded(lm),
                  total);

    return nvme_lm_extra_take(lm, why) ? NVME_SUCCESS : NVME_INVALID_FIELD;
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
    NVME_LM_CHECK(p.len || seq == NVME_LM_SEQ_LAST, NVME_INVALID_FIELD, why,
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
    status = nvme_lm_set_check(target, seq & NVME_LM_SEQ_LAST, why);
    if (status || !(seq & NVME_LM_SEQ_LAST)) {
        return status;
    }

    status = nvme_lm_commit(target, lm->load->data, lm->load->len,
                            lm->load_extra, false, why);
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
    case NVME_LM_STYPE_NOTIFY:
        return NVME_SUCCESS;
    case NVME_LM_STYPE_SUSPEND:
        NVME_LM_CHECK(nvme_lm_usable(target), NVME_INVALID_CTRL_ID, why,
                      "suspend: target is not enabled", 0, 1);
        return nvme_lm_suspend(n, target, req, nvme_misc_cb,
                               NVME_LM_CTRL_NOT_SUSPENDED);
    default:
        NVME_LM_REFUSE(NVME_INVALID_FIELD, why, "suspend: STYPE", stype,
                       NVME_LM_STYPE_SUSPEND);
    }
}

static uint16_t nvme_lm_send(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    uint8_t sel = le32_to_cpu(req->cmd.cdw10) & 0xff;
    uint16_t cntlid = le32_to_cpu(req->cmd.cdw11) & 0xffff;
    NvmeCtrl *target = nvme_lm_target(n, cntlid);

    NVME_LM_CHECK(sel <= NVME_LM_SEND_SET, NVME_INVALID_FIELD, why, "send: SEL",
                  sel, NVME_LM_SEND_SET);
    NVME_LM_CHECK(target, NVME_INVALID_CTRL_ID, why,
                  "send: CNTLID names no migratable controller", cntlid, 0);
    why->target = target;

    switch (sel) {
    case NVME_LM_SEND_SUSPEND:
        return nvme_lm_send_suspend(n, target, req, why);
    case NVME_LM_SEND_RESUME:
        return nvme_lm_resume(target, NVME_LM_CTRL_NOT_SUSPENDED, why);
    default:
        return nvme_lm_set(n, target, req, why);
    }
}

static uint16_t nvme_lm_dispatch(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    NVME_LM_CHECK(!req->cmd.nsid, NVME_INVALID_FIELD, why, "NSID is not 0",
                  le32_to_cpu(req->cmd.nsid), 0);

    switch (req->cmd.opcode) {
    case NVME_LM_TRACK_SEND:
        return nvme_lm_track_send(n, req, why);
    case NVME_LM_TRACK_RECV:
        return nvme_lm_track_receive(n, req, why);
    case NVME_LM_MIGRATION_SEND:
        return nvme_lm_send(n, req, why);
    case NVME_LM_MIGRATION_RECV:
        return nvme_lm_receive(n, req, why);
    default:
        return nvme_lm_vendor_cmd(n, req, why);
    }
}

static uint16_t nvme_lm_execute(NvmeCtrl *n, NvmeRequest *req)
{
    NvmeLmWhy why = {};
    uint16_t status = nvme_lm_dispatch(n, req, &why);

    if (status && status != NVME_NO_COMPLETE) {
        return nvme_lm_refused(req, status, &why);
    }

    return status;
}

uint16_t nvme_lm_cmd(NvmeCtrl *n, NvmeRequest *req)
{
    return nvme_lm_model_cmd(n, req, nvme_lm_execute);
}

/* Abort */

/* A piece of a state that is aborted ends its sequence, as a refused one. */
static void nvme_lm_abort_set(NvmeCtrl *n, const NvmeCmd *cmd)
{
    NvmeCtrl *target = nvme_lm_target(n, le32_to_cpu(cmd->cdw11) & 0xffff);

    if (cmd->opcode == NVME_LM_MIGRATION_SEND &&
        (le32_to_cpu(cmd->cdw10) & 0xff) == NVME_LM_SEND_SET &&
        target && target->lm->load_mmc == n) {
        nvme_lm_load_drop(target->lm);
    }
}

/* End a command that waits, with its completion before that of the Abort. */
bool nvme_lm_abort(NvmeCtrl *n, NvmeRequest *req)
{
    if (!n->params.lm.abort || !req->aiocb) {
        return false;
    }

    nvme_lm_abort_set(n, &req->cmd);
    /* a fault point would keep the completion back */
    req->lm_faults = 0;
    req->status = NVME_CMD_ABORT_REQ;
    blk_aio_cancel_async(req->aiocb);
    return true;
}
