/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fault points: admin commands that fail, hang, take long or lie, for tests
 *
 * A host arms them by a vendor specific command on the PF. Each is a slot of a
 * small table: which command it looks for, and what becomes of that command.
 * docs/specs/nvme-lm-faults.rst describes the command.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "hw/pci/pci_device.h"

#include "lm-fault.h"
#include "trace.h"

#define NVME_LM_FAULT_POINT 0xe0    /* opcode */
#define NVME_LM_FAULT_SLOTS 16

enum NvmeLmFaultOp {
    NVME_LM_FAULT_CLEAR     = 0x0,
    NVME_LM_FAULT_MATCH     = 0x1,
    NVME_LM_FAULT_ARM       = 0x2,
    NVME_LM_FAULT_MATCHED   = 0x3,
    NVME_LM_FAULT_APPLIED   = 0x4,
    NVME_LM_FAULT_HELD      = 0x5,
    NVME_LM_FAULT_RELEASE   = 0x6,
    NVME_LM_FAULT_PAUSE     = 0x7,
    NVME_LM_FAULT_CONTINUE  = 0x8,
    NVME_LM_FAULT_RESETS    = 0x9,
};

/* What resets and CC.EN do not do */
enum NvmeLmFaultResets {
    NVME_LM_FAULT_KEEPS_VFS     = 1 << 0,
    NVME_LM_FAULT_IGNORES_FLR   = 1 << 1,
    NVME_LM_FAULT_KEEPS_FAULTS  = 1 << 2,
    NVME_LM_FAULT_NEVER_READY   = 1 << 3,
    NVME_LM_FAULT_RESETS_MASK   = (1 << 4) - 1,
};

/* What Result alters: dword 0, dword 1, the CID */
#define NVME_LM_FAULT_RESULT_CID    2

typedef enum NvmeLmFaultAct {
    NVME_LM_FAULT_COUNT     = 0x0,
    NVME_LM_FAULT_STATUS    = 0x1,
    NVME_LM_FAULT_HOLD      = 0x2,
    NVME_LM_FAULT_DELAY     = 0x3,
    NVME_LM_FAULT_DATA      = 0x4,
    NVME_LM_FAULT_SHORT     = 0x5,
    NVME_LM_FAULT_RESULT    = 0x6,
    NVME_LM_FAULT_ACTS,
} NvmeLmFaultAct;

#define NVME_LM_FAULT_STATUS_MASK   (NVME_DNR | 0x7ff)

/* Firmware activation: what block/nvme.h lacks */
#define NVME_LM_CSTS_PP                     (1 << 5)
#define NVME_LM_OAES_FW_ACT                 (1 << 9)
#define NVME_LM_AER_INFO_FW_ACT_STARTING    1

/* For how long a host waits for the end of an activation, in 100 ms */
#define NVME_LM_FAULT_MTFA                  6000

typedef struct NvmeLmFault {
    bool armed;
    bool execute;               /* the command first, then the action */
    NvmeLmFaultAct act;
    uint8_t opcode;
    uint32_t dw10, dw10_mask;
    uint32_t dw11, dw11_mask;
    uint32_t skip;
    uint32_t times;             /* 0: for ever */
    uint32_t arg;
    uint32_t mask;
    uint32_t value;
    uint32_t matched;
    uint32_t applied;
} NvmeLmFault;

/* A command that is not executed yet, or whose completion is kept back */
typedef struct NvmeLmHold {
    BlockAIOCB common;
    NvmeCtrl *n;
    NvmeRequest *req;
    QEMUBH *bh;
    QEMUTimer *timer;           /* NULL: until it is released */
    bool execute;
    bool released;
    QTAILQ_ENTRY(NvmeLmHold) entry;
} NvmeLmHold;

struct NvmeLmFaults {
    NvmeLmFault slot[NVME_LM_FAULT_SLOTS];
    QTAILQ_HEAD(, NvmeLmHold) held;
    uint32_t resets;            /* NvmeLmFaultResets */
    NvmeCtrl *n;
    QLIST_ENTRY(NvmeLmFaults) entry;
};

static QLIST_HEAD(, NvmeLmFaults) nvme_lm_fault_pfs =
    QLIST_HEAD_INITIALIZER(nvme_lm_fault_pfs);

QEMU_BUILD_BUG_ON(sizeof_field(NvmeRequest, lm_faults) * 8 !=
                  NVME_LM_FAULT_SLOTS);

void nvme_lm_fault_init(NvmeCtrl *n)
{
    if (!n->params.lm.fault_points || pci_is_vf(PCI_DEVICE(n))) {
        return;
    }

    n->lm_faults = g_new0(NvmeLmFaults, 1);
    n->lm_faults->n = n;
    QTAILQ_INIT(&n->lm_faults->held);
    QLIST_INSERT_HEAD(&nvme_lm_fault_pfs, n->lm_faults, entry);
    n->cse.acs[NVME_LM_FAULT_POINT] = NVME_CMD_EFF_CSUPP;
    n->id_ctrl.oaes |= cpu_to_le32(NVME_LM_OAES_FW_ACT);
    n->id_ctrl.mtfa = cpu_to_le16(NVME_LM_FAULT_MTFA);
}

void nvme_lm_fault_exit(NvmeCtrl *n)
{
    if (n->lm_faults) {
        QLIST_REMOVE(n->lm_faults, entry);
    }
    g_clear_pointer(&n->lm_faults, g_free);
}

/* The first slot that says this about a command, or NULL */
static NvmeLmFault *nvme_lm_fault_find(NvmeCtrl *n, NvmeRequest *req,
                                       NvmeLmFaultAct act, bool execute)
{
    NvmeLmFault *f;
    unsigned i;

    for (i = 0; i < NVME_LM_FAULT_SLOTS; i++) {
        f = &n->lm_faults->slot[i];
        if ((req->lm_faults & (1 << i)) && f->act == act &&
            f->execute == execute) {
            return f;
        }
    }

    return NULL;
}

/* Commands that are kept */

static void nvme_lm_hold_end(NvmeLmHold *h)
{
    QTAILQ_REMOVE(&h->n->lm_faults->held, h, entry);
    qemu_bh_delete(h->bh);
    if (h->timer) {
        timer_free(h->timer);
    }
}

static uint16_t nvme_lm_fault_execute(NvmeCtrl *n, NvmeRequest *req)
{
    NvmeLmFault *f = nvme_lm_fault_find(n, req, NVME_LM_FAULT_STATUS, false);

    return f ? f->arg : nvme_admin_cmd(n, req);
}

static void nvme_lm_hold_bh(void *opaque)
{
    NvmeLmHold *h = opaque;
    NvmeCtrl *n = h->n;
    NvmeRequest *req = h->req;
    bool execute = h->execute;
    uint16_t status;

    nvme_lm_hold_end(h);
    req->aiocb = NULL;
    qemu_aio_unref(h);

    if (execute) {
        status = nvme_lm_fault_execute(n, req);
        if (status == NVME_NO_COMPLETE) {
            return;
        }
        req->status = status;
    }

    nvme_enqueue_req_completion(nvme_cq(req), req);
}

static void nvme_lm_hold_release(NvmeLmHold *h)
{
    h->released = true;
    qemu_bh_schedule(h->bh);
}

static void nvme_lm_hold_timer(void *opaque)
{
    nvme_lm_hold_release(opaque);
}

/* Called by an Abort of the command and by a reset of the controller. */
static void nvme_lm_hold_cancel(BlockAIOCB *acb)
{
    NvmeLmHold *h = container_of(acb, NvmeLmHold, common);

    nvme_lm_hold_end(h);
    h->req->lm_faults = 0;
    h->common.cb(h->common.opaque, -ECANCELED);
    qemu_aio_unref(h);
}

static const AIOCBInfo nvme_lm_hold_info = {
    .aiocb_size = sizeof(NvmeLmHold),
    .cancel_async = nvme_lm_hold_cancel,
};

/* Whether a slot keeps the command now: before its execution or after it */
static bool nvme_lm_fault_hold(NvmeCtrl *n, NvmeRequest *req, bool executed)
{
    NvmeLmFault *hold, *delay;
    NvmeLmHold *h;

    hold = nvme_lm_fault_find(n, req, NVME_LM_FAULT_HOLD, executed);
    delay = nvme_lm_fault_find(n, req, NVME_LM_FAULT_DELAY, executed);
    if (!hold && !delay) {
        return false;
    }

    h = qemu_aio_get(&nvme_lm_hold_info, NULL, nvme_misc_cb, req);
    h->n = n;
    h->req = req;
    h->execute = !executed;
    h->released = false;
    h->bh = qemu_bh_new_guarded(nvme_lm_hold_bh, h,
                                &DEVICE(n)->mem_reentrancy_guard);
    h->timer = NULL;
    if (!hold) {
        h->timer = timer_new_ms(QEMU_CLOCK_VIRTUAL, nvme_lm_hold_timer, h);
        timer_mod(h->timer,
                  qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) + delay->arg);
    }
    req->aiocb = &h->common;
    QTAILQ_INSERT_TAIL(&n->lm_faults->held, h, entry);
    return true;
}

/* The requests of a controller are about to be freed. */
static void nvme_lm_fault_abandon(NvmeCtrl *n)
{
    NvmeLmHold *h, *next;

    QTAILQ_FOREACH_SAFE(h, &n->lm_faults->held, entry, next) {
        nvme_lm_hold_end(h);
        qemu_aio_unref(h);
    }
}

/* What becomes of a command */

static bool nvme_lm_fault_matches(NvmeLmFault *f, NvmeCmd *cmd)
{
    return f->armed && f->opcode == cmd->opcode &&
           !((le32_to_cpu(cmd->cdw10) ^ f->dw10) & f->dw10_mask) &&
           !((le32_to_cpu(cmd->cdw11) ^ f->dw11) & f->dw11_mask);
}

static uint16_t nvme_lm_fault_match(NvmeCtrl *n, NvmeRequest *req)
{
    uint16_t faults = 0;
    NvmeLmFault *f;
    unsigned i;

    for (i = 0; i < NVME_LM_FAULT_SLOTS; i++) {
        f = &n->lm_faults->slot[i];
        if (!nvme_lm_fault_matches(f, &req->cmd)) {
            continue;
        }
        if (f->matched++ < f->skip ||
            (f->times && f->applied == f->times)) {
            continue;
        }
        f->applied++;
        faults |= 1 << i;
        trace_pci_nvme_lm_fault(nvme_cid(req), req->cmd.opcode, i, f->act);
    }

    return faults;
}

static uint32_t nvme_lm_fault_alter(const NvmeLmFault *f, uint32_t dw)
{
    return cpu_to_le32((le32_to_cpu(dw) & ~f->mask) ^ f->value);
}

static void nvme_lm_fault_result(NvmeCtrl *n, NvmeRequest *req)
{
    NvmeLmFault *f;
    unsigned i;

    for (i = 0; i < NVME_LM_FAULT_SLOTS; i++) {
        f = &n->lm_faults->slot[i];
        if (!(req->lm_faults & (1 << i)) || f->act != NVME_LM_FAULT_RESULT) {
            continue;
        }
        if (f->arg == NVME_LM_FAULT_RESULT_CID) {
            req->cqe.cid = cpu_to_le16((le16_to_cpu(req->cqe.cid) & ~f->mask) ^
                                       f->value);
        } else if (f->arg) {
            req->cqe.dw1 = nvme_lm_fault_alter(f, req->cqe.dw1);
        } else {
            req->cqe.result = nvme_lm_fault_alter(f, req->cqe.result);
        }
    }
}

/* The command is done; true where its completion is kept back. */
bool nvme_lm_fault_end(NvmeCtrl *n, NvmeRequest *req)
{
    NvmeLmFault *f = nvme_lm_fault_find(n, req, NVME_LM_FAULT_STATUS, true);
    bool held;

    if (f) {
        req->status = f->arg;
    }
    nvme_lm_fault_result(n, req);

    held = nvme_lm_fault_hold(n, req, true);
    req->lm_faults = 0;
    return held;
}

static void nvme_lm_fault_poke(const NvmeLmFault *f, uint8_t *buf,
                               uint32_t len)
{
    unsigned i;

    for (i = 0; i < sizeof(uint32_t) && f->arg < len && i < len - f->arg; i++) {
        buf[f->arg + i] &= ~(f->mask >> 8 * i);
        buf[f->arg + i] ^= f->value >> 8 * i;
    }
}

/*
 * The data that a command returns instead of @ptr, for the caller to free, or
 * NULL: what it points to may be more than a copy. @len may shrink.
 */
void *nvme_lm_fault_data(NvmeCtrl *n, NvmeRequest *req, const void *ptr,
                         uint32_t *len)
{
    uint8_t *buf = g_memdup2(ptr, *len);
    NvmeLmFault *f;
    unsigned i;

    for (i = 0; i < NVME_LM_FAULT_SLOTS; i++) {
        f = &n->lm_faults->slot[i];
        if (!(req->lm_faults & (1 << i))) {
            continue;
        }
        if (f->act == NVME_LM_FAULT_DATA) {
            nvme_lm_fault_poke(f, buf, *len);
        } else if (f->act == NVME_LM_FAULT_SHORT) {
            *len = MIN(*len, f->arg);
        }
    }

    return buf;
}

/* The command that arms them */

/* A command in flight does not meet what its slot is used for next. */
static void nvme_lm_fault_disarm(NvmeCtrl *n, unsigned slot)
{
    NvmeRequest *req;

    n->lm_faults->slot[slot] = (NvmeLmFault) {};
    if (!n->sq[0]) {
        return;
    }
    QTAILQ_FOREACH(req, &n->admin_sq.out_req_list, entry) {
        req->lm_faults &= ~(1 << slot);
    }
}

static void nvme_lm_fault_clear(NvmeCtrl *n)
{
    unsigned i;

    n->lm_faults->resets = 0;
    for (i = 0; i < NVME_LM_FAULT_SLOTS; i++) {
        nvme_lm_fault_disarm(n, i);
    }
}

static void nvme_lm_fault_set_match(NvmeCtrl *n, unsigned slot,
                                    const NvmeCmd *cmd)
{
    nvme_lm_fault_disarm(n, slot);
    n->lm_faults->slot[slot] = (NvmeLmFault) {
        .opcode = le32_to_cpu(cmd->cdw11) & 0xff,
        .dw10 = le32_to_cpu(cmd->cdw12),
        .dw10_mask = le32_to_cpu(cmd->cdw13),
        .dw11 = le32_to_cpu(cmd->cdw14),
        .dw11_mask = le32_to_cpu(cmd->cdw15),
    };
}

static uint16_t nvme_lm_fault_arm(NvmeLmFault *f, const NvmeCmd *cmd)
{
    uint32_t dw10 = le32_to_cpu(cmd->cdw10);
    uint32_t arg = le32_to_cpu(cmd->cdw13);
    uint8_t act = extract32(dw10, 16, 8);

    if (f->armed || act >= NVME_LM_FAULT_ACTS ||
        (act == NVME_LM_FAULT_STATUS && (arg & ~NVME_LM_FAULT_STATUS_MASK)) ||
        (act == NVME_LM_FAULT_RESULT && arg > NVME_LM_FAULT_RESULT_CID)) {
        return NVME_INVALID_FIELD | NVME_DNR;
    }

    f->armed = true;
    f->act = act;
    f->execute = extract32(dw10, 24, 1);
    f->skip = le32_to_cpu(cmd->cdw11);
    f->times = le32_to_cpu(cmd->cdw12);
    f->arg = arg;
    f->mask = le32_to_cpu(cmd->cdw14);
    f->value = le32_to_cpu(cmd->cdw15);
    return NVME_SUCCESS;
}

static uint32_t nvme_lm_fault_held(NvmeCtrl *n, uint32_t release)
{
    NvmeLmHold *h;
    uint32_t count = 0;

    QTAILQ_FOREACH(h, &n->lm_faults->held, entry) {
        if (h->timer) {
            continue;
        }
        count++;
        if (!h->released && release) {
            nvme_lm_hold_release(h);
            release--;
        }
    }

    return count;
}

/* Firmware activation without a reset */

/* The PF with this routing id, @n itself if it is 0; NULL: none with faults */
static NvmeCtrl *nvme_lm_fault_pf(NvmeCtrl *n, uint32_t rid)
{
    NvmeLmFaults *f;

    if (!rid) {
        return n;
    }

    QLIST_FOREACH(f, &nvme_lm_fault_pfs, entry) {
        if (pci_get_bdf(PCI_DEVICE(f->n)) == rid) {
            return f->n;
        }
    }

    return NULL;
}

static uint16_t nvme_lm_fault_pause(NvmeCtrl *n, bool pause)
{
    uint32_t csts = ldl_le_p(&n->bar.csts);

    if (!NVME_CSTS_RDY(csts) || !!(csts & NVME_LM_CSTS_PP) == pause) {
        return NVME_CMD_SEQ_ERROR | NVME_DNR;
    }

    trace_pci_nvme_lm_activation(n->cntlid, pause);
    stl_le_p(&n->bar.csts, csts ^ NVME_LM_CSTS_PP);
    if (pause && (n->features.async_config & NVME_LM_OAES_FW_ACT)) {
        nvme_enqueue_event(n, NVME_AER_TYPE_NOTICE,
                           NVME_LM_AER_INFO_FW_ACT_STARTING,
                           NVME_LOG_FW_SLOT_INFO);
    }
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_fault_activation(NvmeCtrl *n, uint32_t rid, bool pause)
{
    NvmeCtrl *pf = nvme_lm_fault_pf(n, rid);

    return pf ? nvme_lm_fault_pause(pf, pause) : NVME_INVALID_FIELD | NVME_DNR;
}

/*
 * The host has read the log page of the event, so that the next one may be
 * reported. Events about namespaces are of the same type; they stay.
 */
void nvme_lm_fault_event_seen(NvmeCtrl *n)
{
    n->aer_mask &= ~(1 << NVME_AER_TYPE_NOTICE);
    nvme_process_aers(n);
}

/* Resets that do less than they should, and a controller that does not start */

bool nvme_lm_fault_keeps_vfs(NvmeCtrl *n)
{
    return n->lm_faults->resets & NVME_LM_FAULT_KEEPS_VFS;
}

bool nvme_lm_fault_ignores_flr(NvmeCtrl *pf)
{
    return pf->lm_faults->resets & NVME_LM_FAULT_IGNORES_FLR;
}

bool nvme_lm_fault_never_ready(NvmeCtrl *n)
{
    return n->lm_faults->resets & NVME_LM_FAULT_NEVER_READY;
}

static uint16_t nvme_lm_fault_resets(NvmeCtrl *n, uint32_t rid, uint32_t resets)
{
    NvmeCtrl *pf = nvme_lm_fault_pf(n, rid);

    if (!pf || (resets & ~NVME_LM_FAULT_RESETS_MASK)) {
        return NVME_INVALID_FIELD | NVME_DNR;
    }

    pf->lm_faults->resets = resets;
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_fault_point(NvmeCtrl *n, NvmeRequest *req)
{
    uint32_t dw10 = le32_to_cpu(req->cmd.cdw10);
    uint32_t dw11 = le32_to_cpu(req->cmd.cdw11);
    uint8_t slot = extract32(dw10, 8, 8);
    uint32_t result = 0;
    NvmeLmFault *f;

    if (slot >= NVME_LM_FAULT_SLOTS) {
        return NVME_INVALID_FIELD | NVME_DNR;
    }

    f = &n->lm_faults->slot[slot];
    switch (extract32(dw10, 0, 8)) {
    case NVME_LM_FAULT_CLEAR:
        nvme_lm_fault_clear(n);
        break;
    case NVME_LM_FAULT_MATCH:
        nvme_lm_fault_set_match(n, slot, &req->cmd);
        break;
    case NVME_LM_FAULT_ARM:
        return nvme_lm_fault_arm(f, &req->cmd);
    case NVME_LM_FAULT_MATCHED:
        result = f->matched;
        break;
    case NVME_LM_FAULT_APPLIED:
        result = f->applied;
        break;
    case NVME_LM_FAULT_HELD:
        result = nvme_lm_fault_held(n, 0);
        break;
    case NVME_LM_FAULT_RELEASE:
        result = nvme_lm_fault_held(n, dw11 ? dw11 : UINT32_MAX);
        break;
    case NVME_LM_FAULT_PAUSE:
        return nvme_lm_fault_activation(n, dw11, true);
    case NVME_LM_FAULT_CONTINUE:
        return nvme_lm_fault_activation(n, dw11, false);
    case NVME_LM_FAULT_RESETS:
        return nvme_lm_fault_resets(n, le32_to_cpu(req->cmd.cdw12), dw11);
    default:
        return NVME_INVALID_FIELD | NVME_DNR;
    }

    req->cqe.result = cpu_to_le32(result);
    return NVME_SUCCESS;
}

/* An admin command: execute it, or what the slots that match say instead. */
uint16_t nvme_lm_fault_cmd(NvmeCtrl *n, NvmeRequest *req)
{
    if (req->cmd.opcode == NVME_LM_FAULT_POINT) {
        return nvme_lm_fault_point(n, req);
    }

    req->lm_faults = nvme_lm_fault_match(n, req);
    if (nvme_lm_fault_hold(n, req, false)) {
        return NVME_NO_COMPLETE;
    }

    return nvme_lm_fault_execute(n, req);
}

/* A controller reset leaves all of them, a function level reset mostly none. */
void nvme_lm_fault_reset(NvmeCtrl *n, bool function)
{
    nvme_lm_fault_abandon(n);
    if (function && !(n->lm_faults->resets & NVME_LM_FAULT_KEEPS_FAULTS)) {
        nvme_lm_fault_clear(n);
    }
}
