/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: the log of the user data that a controller changes
 *
 * An MMC has a Controller Data Queue in its memory for each controller that is
 * logged, a User Data Migration Queue (UDMQ). ctrl.c reports a change after it
 * has reached the medium and before the completion of its command is posted,
 * whether that command succeeds or not. An entry thus never promises what a
 * host cannot read yet, and no completion comes before its entries. All of
 * this runs in the main loop with the BQL held.
 *
 * A device may do that otherwise: report more than was changed, or later, but
 * not after a Suspend has completed. There are properties for that.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qapi/error.h"

#include "lm.h"
#include "trace.h"

/* Changes that wait for their time; more of them do not wait */
#define NVME_LM_LOG_MAX_HELD    1024

/* A queue with one entry would be full while it is empty. */
#define NVME_LM_LOG_MIN_SLOTS   2

typedef struct NvmeLmChange {
    uint32_t nsid;
    uint64_t slba;
    uint64_t nlb;
    bool dealloc;
} NvmeLmChange;

/* The UDMQ of a controller */
struct NvmeLmLog {
    NvmeCtrl *mmc;              /* in whose memory it is */
    uint16_t cdqid;
    uint32_t slots;
    uint32_t head;
    uint32_t tail;
    bool phase;                 /* of the next entry */

    bool contiguous;
    uint32_t nr_ranges;
    uint64_t *range;            /* addresses, of @page_size each */
    uint32_t page_size;

    bool logging;
    bool first;                 /* the next entry is the first one */
    bool etpt;
    uint32_t tpt;
    uint8_t events;             /* bits by event information, to be reported */

    GArray *held;               /* changes without an entry so far */
    QEMUTimer *timer;           /* for them */
};

/* Properties and Identify */

bool nvme_lm_log_check_params(NvmeCtrl *n, Error **errp)
{
    if (!n->params.lm_log.on) {
        return true;
    }

    if (!n->params.lm_log.queues ||
        n->params.lm_log.queues_total < n->params.lm_log.queues) {
        error_setg(errp, "lm-log-queues has to be at least 1 and at most "
                   "lm-log-queues-total");
        return false;
    }

    if (!n->params.lm_log.ranges ||
        n->params.lm_log.ranges_total < n->params.lm_log.ranges) {
        error_setg(errp, "lm-log-ranges has to be at least 1 and at most "
                   "lm-log-ranges-total");
        return false;
    }

    if (!n->params.lm_log.unit) {
        error_setg(errp, "lm-log-unit has to be at least 1");
        return false;
    }

    return true;
}

/* Byte 24 of Identify CNS 06h (LBAMQF) is 0 for entries of type 0. */
void nvme_lm_log_init(NvmeCtrl *n)
{
    NvmeIdCtrl *id = &n->id_ctrl;

    if (!n->params.lm_log.on) {
        return;
    }

    QEMU_BUILD_BUG_ON(offsetof(NvmeIdCtrl, mcudmq) != 578);
    QEMU_BUILD_BUG_ON(offsetof(NvmeIdCtrl, subnqn) != 768);
    id->trattr |= NVME_TRATTR_TUDCS;
    id->mcudmq = cpu_to_le16(n->params.lm_log.queues);
    id->mnsudmq = cpu_to_le16(n->params.lm_log.queues_total);
    id->mcmr = cpu_to_le16(n->params.lm_log.ranges);
    id->nmcmr = cpu_to_le16(n->params.lm_log.ranges_total);
    id->mcdqpc = cpu_to_le16(n->params.lm_log.ranges);

    n->cse.acs[NVME_ADM_CMD_CDQ] = NVME_CMD_EFF_CSUPP;
    n->cse.acs[NVME_ADM_CMD_TRACK_SEND] = NVME_CMD_EFF_CSUPP;
}

/* Queues */

/* The UDMQ of the controller with this id if it is one of @mmc's, or NULL */
static NvmeLmLog *nvme_lm_log_of(NvmeCtrl *mmc, unsigned cntlid)
{
    NvmeCtrl *ctrl = nvme_subsys_ctrl(mmc->subsys, cntlid);

    return ctrl && ctrl->lm_log && ctrl->lm_log->mmc == mmc ? ctrl->lm_log
                                                             : NULL;
}

/* The controller with the UDMQ that @mmc knows by this id, or NULL */
static NvmeCtrl *nvme_lm_log_target(NvmeCtrl *mmc, uint16_t cdqid)
{
    NvmeLmLog *q;
    unsigned i;

    for (i = 0; i < NVME_MAX_CONTROLLERS; i++) {
        q = nvme_lm_log_of(mmc, i);
        if (q && q->cdqid == cdqid) {
            return nvme_subsys_ctrl(mmc->subsys, i);
        }
    }

    return NULL;
}

static uint16_t nvme_lm_log_free_id(NvmeCtrl *mmc)
{
    uint16_t cdqid = 0;

    while (nvme_lm_log_target(mmc, cdqid)) {
        cdqid++;
    }

    return cdqid;
}

void nvme_lm_log_drop(NvmeCtrl *target)
{
    NvmeLmLog *q = target->lm_log;

    if (!q) {
        return;
    }

    trace_pci_nvme_lm_cdq_gone(q->mmc->cntlid, q->cdqid, target->cntlid);
    target->lm_log = NULL;
    timer_free(q->timer);
    g_array_free(q->held, true);
    g_free(q->range);
    g_free(q);
}

/* The MMC was reset, which deletes all its queues. */
void nvme_lm_log_mmc_reset(NvmeCtrl *n, NvmeCtrl *target)
{
    if (target->lm_log && target->lm_log->mmc == n) {
        nvme_lm_log_drop(target);
    }
}

/* How many more entries there is room for; one slot stays free. */
static uint32_t nvme_lm_log_room(const NvmeLmLog *q)
{
    return (q->head + q->slots - q->tail - 1) % q->slots;
}

static hwaddr nvme_lm_log_slot(const NvmeLmLog *q, uint32_t slot)
{
    uint64_t offset = (uint64_t)slot * sizeof(NvmeUdmqEntry);

    if (q->contiguous) {
        return q->range[0] + offset;
    }

    return q->range[offset / q->page_size] + offset % q->page_size;
}

/* Events */

static NvmeLmLog *nvme_lm_log_event(NvmeCtrl *n)
{
    NvmeLmLog *q;
    unsigned i;

    for (i = 0; i < NVME_MAX_CONTROLLERS; i++) {
        q = nvme_lm_log_of(n, i);
        if (q && q->events) {
            return q;
        }
    }

    return NULL;
}

bool nvme_lm_log_has_event(NvmeCtrl *n)
{
    return nvme_lm_log_event(n);
}

/*
 * These events are one-shot: nothing masks them. They wait in their queue, so
 * none is lost because there are too many of others.
 */
void nvme_lm_log_report(NvmeCtrl *n)
{
    NvmeAerResult *result;
    NvmeRequest *req;
    NvmeLmLog *q;
    uint8_t info;

    while (n->outstanding_aers && (q = nvme_lm_log_event(n))) {
        info = ctz32(q->events);
        q->events &= ~(1 << info);

        n->outstanding_aers--;
        req = n->aer_reqs[n->outstanding_aers];
        result = (NvmeAerResult *)&req->cqe.result;
        result->event_type = NVME_AER_TYPE_ONE_SHOT;
        result->event_info = info;
        req->cqe.dw1 = cpu_to_le32(q->cdqid);
        trace_pci_nvme_lm_cdq_event(n->cntlid, q->cdqid, info);
        nvme_enqueue_req_completion(&n->admin_cq, req);
    }
}

/* Entries */

static bool nvme_lm_log_write(NvmeCtrl *mmc, hwaddr addr,
                              const NvmeUdmqEntry *entry)
{
    const size_t last = offsetof(NvmeUdmqEntry, attr);
    PCIDevice *pci = PCI_DEVICE(mmc);

    if (pci_dma_write(pci, addr, entry, last)) {
        return false;
    }
    /* Whoever finds the phase has to find the rest of the entry, too. */
    smp_wmb();
    return !pci_dma_write(pci, addr + last, &entry->attr,
                          sizeof(entry->attr));
}

/* What the entry says besides its change; the last that fits ends the log. */
static void nvme_lm_log_set_esa(NvmeLmLog *q, NvmeUdmqEntry *entry, uint8_t esa)
{
    if (esa != NVME_UDMQ_ESA_STOPPED && nvme_lm_log_room(q) <= 1) {
        q->logging = false;
        q->events |= 1 << NVME_AER_INFO_ONE_SHOT_CDQ_FULL;
        esa = NVME_UDMQ_ESA_FULL;
    } else if (esa == NVME_UDMQ_ESA_CHANGE && q->first) {
        esa = NVME_UDMQ_ESA_FIRST;
        if (q->mmc->params.lm_log.whole) {
            entry->slba = 0;
            entry->nlb = 0;
            entry->attr = NVME_UDMQ_LBACIR_NAMESPACE;
        }
    }

    q->first = esa == NVME_UDMQ_ESA_SUSPENDED;
    entry->attr |= esa | q->phase;
}

static void nvme_lm_log_post(NvmeCtrl *target, NvmeUdmqEntry *entry,
                             uint8_t esa)
{
    NvmeLmLog *q = target->lm_log;
    NvmeCtrl *mmc = q->mmc;
    uint32_t slot = q->tail;
    hwaddr addr = nvme_lm_log_slot(q, slot);

    nvme_lm_log_set_esa(q, entry, esa);
    q->tail = (slot + 1) % q->slots;
    q->phase ^= !q->tail;

    trace_pci_nvme_lm_log_entry(target->cntlid, slot, le32_to_cpu(entry->nsid),
                                le64_to_cpu(entry->slba),
                                le32_to_cpu(entry->nlb), entry->attr);
    if (!nvme_lm_log_write(mmc, addr, entry) && target->lm_log) {
        /* nothing says better that changes are lost */
        target->lm_log->logging = false;
        target->lm_log->events |= 1 << NVME_AER_INFO_ONE_SHOT_CDQ_FULL;
    }

    /* the write may have hit a register, so this may be another queue */
    q = target->lm_log;
    if (q && q->etpt && q->tpt == slot) {
        q->etpt = false;
        q->events |= 1 << NVME_AER_INFO_ONE_SHOT_CDQ_TAIL;
    }
    if (q && q->events) {
        nvme_process_aers(mmc);
    }
}

static bool nvme_lm_log_on(NvmeCtrl *target)
{
    return target->lm_log && target->lm_log->logging;
}

/* An entry without a range */
static void nvme_lm_log_mark(NvmeCtrl *target, uint8_t esa)
{
    NvmeUdmqEntry entry = { .attr = NVME_UDMQ_LBACIR_NONE };

    if (nvme_lm_log_on(target)) {
        nvme_lm_log_post(target, &entry, esa);
    }
}

static void nvme_lm_log_change(NvmeCtrl *target, const NvmeLmChange *change)
{
    uint64_t slba = change->slba, left = change->nlb;

    while (left && nvme_lm_log_on(target)) {
        uint64_t nlb = MIN(left, 1ULL << 32);
        NvmeUdmqEntry entry = {
            .nsid = cpu_to_le32(change->nsid),
            .nlb = cpu_to_le32(nlb - 1),
            .slba = cpu_to_le64(slba),
            .attr = change->dealloc ? NVME_UDMQ_DLBA : 0,
        };

        nvme_lm_log_post(target, &entry, NVME_UDMQ_ESA_CHANGE);
        slba += nlb;
        left -= nlb;
    }
}

/* Changes that wait */

static void nvme_lm_log_flush(NvmeCtrl *target)
{
    NvmeLmLog *q = target->lm_log;
    g_autoptr(GArray) held = g_steal_pointer(&q->held);
    unsigned i;

    q->held = g_array_new(false, false, sizeof(NvmeLmChange));
    timer_del(q->timer);

    for (i = 0; i < held->len; i++) {
        nvme_lm_log_change(target, &g_array_index(held, NvmeLmChange, i));
    }
}

static void nvme_lm_log_time(void *opaque)
{
    nvme_lm_log_flush(opaque);
}

/* Make one of two changes if they touch. */
static bool nvme_lm_log_merge(NvmeLmChange *to, const NvmeLmChange *change)
{
    uint64_t end = MAX(to->slba + to->nlb, change->slba + change->nlb);

    if (to->nsid != change->nsid || to->dealloc != change->dealloc ||
        change->slba > to->slba + to->nlb ||
        to->slba > change->slba + change->nlb) {
        return false;
    }

    to->slba = MIN(to->slba, change->slba);
    to->nlb = end - to->slba;
    return true;
}

static void nvme_lm_log_hold(NvmeCtrl *target, const NvmeLmChange *change)
{
    NvmeLmLog *q = target->lm_log;
    GArray *held = q->held;
    uint64_t us = q->mmc->params.lm_log.late_us;

    if (held->len &&
        nvme_lm_log_merge(&g_array_index(held, NvmeLmChange, held->len - 1),
                          change)) {
        return;
    }

    g_array_append_val(held, *change);
    if (held->len == NVME_LM_LOG_MAX_HELD) {
        nvme_lm_log_flush(target);
    } else if (!timer_pending(q->timer)) {
        timer_mod(q->timer, qemu_clock_get_us(QEMU_CLOCK_VIRTUAL) + us);
    }
}

/* What ctrl.c reports */

/* Round to what the device reports. */
static void nvme_lm_log_widen(NvmeLmChange *change, uint32_t unit,
                              uint64_t nsze)
{
    uint64_t end = QEMU_ALIGN_UP(change->slba + change->nlb, unit);

    change->slba = QEMU_ALIGN_DOWN(change->slba, unit);
    change->nlb = MIN(end, nsze) - change->slba;
}

void nvme_lm_log_blocks(NvmeCtrl *n, NvmeNamespace *ns, uint64_t slba,
                        uint64_t nlb, bool dealloc)
{
    NvmeLmLog *q = n->lm_log;
    NvmeLmChange change = {
        .nsid = nvme_nsid(ns), .slba = slba, .nlb = nlb,
    };

    if (!q->logging || !nlb) {
        return;
    }

    change.dealloc = dealloc && q->mmc->params.lm_log.dealloc;
    nvme_lm_log_widen(&change, q->mmc->params.lm_log.unit,
                      le64_to_cpu(ns->id_ns.nsze));
    if (q->mmc->params.lm_log.late_us) {
        nvme_lm_log_hold(n, &change);
    } else {
        nvme_lm_log_change(n, &change);
    }
}

void nvme_lm_log_namespace(NvmeCtrl *n, NvmeNamespace *ns)
{
    nvme_lm_log_blocks(n, ns, 0, le64_to_cpu(ns->id_ns.nsze), false);
}

/* The target has drained, and is suspended from now on. */
void nvme_lm_log_suspended(NvmeCtrl *target)
{
    if (nvme_lm_log_on(target)) {
        nvme_lm_log_flush(target);
        nvme_lm_log_mark(target, NVME_UDMQ_ESA_SUSPENDED);
    }
}

/* A Suspend succeeds. With DUDMQ its target has no queue afterwards. */
void nvme_lm_log_suspend_ends(NvmeCtrl *target, NvmeRequest *req)
{
    if (req->cmd.opcode == NVME_ADM_CMD_MIGRATION_SEND &&
        le32_to_cpu(req->cmd.cdw11) >> 31) {
        nvme_lm_log_drop(target);
    }
}

/* Track Send, SEL 0: Log User Data Changes */

static uint16_t nvme_lm_log_start(NvmeCtrl *target, NvmeLmWhy *why)
{
    NvmeLmLog *q = target->lm_log;

    NVME_LM_CHECK(!q->logging, NVME_INVALID_CDQ, why, "log: target is logged",
                  q->cdqid, 0);
    NVME_LM_CHECK(nvme_lm_log_room(q), NVME_CDQ_FULL, why,
                  "log: the queue is full", q->head, q->slots);

    q->logging = true;
    q->first = true;
    trace_pci_nvme_lm_log_start(target->cntlid, q->cdqid, q->tail);
    return NVME_SUCCESS;
}

static void nvme_lm_log_stop(NvmeCtrl *target)
{
    if (!nvme_lm_log_on(target)) {
        return;
    }

    trace_pci_nvme_lm_log_stop(target->cntlid, target->lm_log->cdqid);
    nvme_lm_log_flush(target);
    nvme_lm_log_mark(target, NVME_UDMQ_ESA_STOPPED);
    if (target->lm_log) {
        target->lm_log->logging = false;
    }
}

uint16_t nvme_lm_log_send(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    uint8_t lact = extract32(le32_to_cpu(req->cmd.cdw10), 16, 4);
    uint16_t cdqid = le32_to_cpu(req->cmd.cdw11) & 0xffff;
    NvmeCtrl *target = nvme_lm_log_target(n, cdqid);

    NVME_LM_CHECK(lact <= NVME_LACT_START, NVME_INVALID_FIELD, why,
                  "log: LACT", lact, NVME_LACT_START);
    NVME_LM_CHECK(target, NVME_INVALID_CDQ, why, "log: CDQID", cdqid, 0);
    why->target = target;
    NVME_LM_CHECK(target->lm->run != NVME_LM_SUSPENDED, NVME_CTRL_SUSPENDED,
                  why, "log: target is suspended", lact, 0);

    if (lact == NVME_LACT_START) {
        return nvme_lm_log_start(target, why);
    }

    nvme_lm_log_stop(target);
    return NVME_SUCCESS;
}

/* Controller Data Queue */

typedef struct NvmeLmLogUse {
    unsigned queues;
    unsigned ranges;
} NvmeLmLogUse;

/* What this MMC has, or all of the subsystem have */
static NvmeLmLogUse nvme_lm_log_use(NvmeCtrl *mmc, bool all)
{
    NvmeLmLogUse use = {};
    NvmeCtrl *ctrl;
    unsigned i;

    for (i = 0; i < NVME_MAX_CONTROLLERS; i++) {
        ctrl = nvme_subsys_ctrl(mmc->subsys, i);
        if (ctrl && ctrl->lm_log && (all || ctrl->lm_log->mmc == mmc)) {
            use.queues++;
            use.ranges += ctrl->lm_log->nr_ranges;
        }
    }

    return use;
}

static uint16_t nvme_lm_cdq_limits(NvmeCtrl *n, uint64_t slots, uint64_t ranges,
                                   NvmeLmWhy *why)
{
    NvmeLmLogUse mine = nvme_lm_log_use(n, false);
    NvmeLmLogUse all = nvme_lm_log_use(n, true);

    NVME_LM_CHECK(ranges <= n->params.lm_log.ranges, NVME_INVALID_FIELD, why,
                  "cdq: ranges above MCMR", ranges, n->params.lm_log.ranges);
    NVME_LM_CHECK(ranges + all.ranges <= n->params.lm_log.ranges_total,
                  NVME_INVALID_FIELD, why, "cdq: ranges above NMCMR",
                  ranges + all.ranges, n->params.lm_log.ranges_total);
    NVME_LM_CHECK(mine.queues < n->params.lm_log.queues,
                  NVME_NOT_ENOUGH_RESOURCES, why, "cdq: MCUDMQ", mine.queues,
                  n->params.lm_log.queues);
    NVME_LM_CHECK(all.queues < n->params.lm_log.queues_total,
                  NVME_NOT_ENOUGH_RESOURCES, why, "cdq: MNSUDMQ", all.queues,
                  n->params.lm_log.queues_total);
    NVME_LM_CHECK(slots <= n->params.lm_log.entries,
                  NVME_NOT_ENOUGH_RESOURCES, why, "cdq: entries", slots,
                  n->params.lm_log.entries);
    return NVME_SUCCESS;
}

/* Entries of a PRP list; the last of a page leads to the next page. */
static uint16_t nvme_lm_cdq_fetch_list(NvmeCtrl *n, uint64_t addr,
                                       uint64_t *range, uint32_t nr,
                                       NvmeLmWhy *why)
{
    uint32_t per_page = n->page_size / sizeof(uint64_t);
    uint32_t done = 0, fits;
    uint64_t next;

    for (;;) {
        fits = MIN(nr - done, per_page);
        fits -= done + fits < nr;
        if (pci_dma_read(PCI_DEVICE(n), addr, range + done,
                         fits * sizeof(*range))) {
            NVME_LM_REFUSE(NVME_DATA_TRAS_ERROR, why, "cdq: PRP list", addr,
                           0);
        }
        done += fits;
        if (done == nr) {
            return NVME_SUCCESS;
        }

        if (pci_dma_read(PCI_DEVICE(n), addr + fits * sizeof(*range), &next,
                         sizeof(next))) {
            NVME_LM_REFUSE(NVME_DATA_TRAS_ERROR, why, "cdq: PRP list", addr,
                           0);
        }
        addr = le64_to_cpu(next);
        NVME_LM_CHECK(!(addr & (n->page_size - 1)), NVME_INVALID_PRP_OFFSET,
                      why, "cdq: page of the PRP list", addr, 0);
    }
}

static uint16_t nvme_lm_cdq_fetch(NvmeCtrl *n, NvmeLmLog *q, uint64_t prp1,
                                  NvmeLmWhy *why)
{
    uint16_t status;
    uint32_t i;

    if (q->contiguous) {
        q->range[0] = prp1;
        return NVME_SUCCESS;
    }

    status = nvme_lm_cdq_fetch_list(n, prp1, q->range, q->nr_ranges, why);
    if (status) {
        return status;
    }

    for (i = 0; i < q->nr_ranges; i++) {
        le64_to_cpus(&q->range[i]);
        NVME_LM_CHECK(!(q->range[i] & (q->page_size - 1)),
                      NVME_INVALID_PRP_OFFSET, why, "cdq: entry of the list",
                      q->range[i], i);
    }

    return NVME_SUCCESS;
}

static NvmeLmLog *nvme_lm_cdq_new(NvmeCtrl *mmc, NvmeCtrl *target,
                                  uint32_t slots, uint32_t ranges,
                                  bool contiguous)
{
    NvmeLmLog *q = g_new0(NvmeLmLog, 1);

    q->mmc = mmc;
    q->cdqid = nvme_lm_log_free_id(mmc);
    q->slots = slots;
    q->phase = true;
    q->contiguous = contiguous;
    q->page_size = mmc->page_size;
    q->nr_ranges = ranges;
    q->range = g_new0(uint64_t, ranges);
    q->held = g_array_new(false, false, sizeof(NvmeLmChange));
    q->timer = timer_new_us(QEMU_CLOCK_VIRTUAL, nvme_lm_log_time, target);
    return q;
}

static uint16_t nvme_lm_cdq_check(NvmeCtrl *n, NvmeCtrl *target,
                                  const NvmeCmd *cmd, NvmeLmWhy *why)
{
    uint8_t qt = extract32(le32_to_cpu(cmd->cdw10), 16, 8);
    uint64_t prp1 = le64_to_cpu(cmd->dptr.prp1);
    uint64_t bytes = (uint64_t)le32_to_cpu(cmd->cdw12) << 2;

    NVME_LM_CHECK(qt == NVME_CDQ_QT_UDMQ, NVME_INVALID_FIELD, why, "cdq: QT",
                  qt, NVME_CDQ_QT_UDMQ);
    NVME_LM_CHECK(target, NVME_INVALID_CTRL_ID, why,
                  "cdq: CQS names no migratable controller",
                  le32_to_cpu(cmd->cdw11) >> 16, 0);
    why->target = target;
    NVME_LM_CHECK(!target->lm_log, NVME_INVALID_FIELD, why,
                  "cdq: target has a queue", target->lm_log->cdqid, 0);
    NVME_LM_CHECK(!(bytes % sizeof(NvmeUdmqEntry)) &&
                  bytes >= NVME_LM_LOG_MIN_SLOTS * sizeof(NvmeUdmqEntry),
                  NVME_INVALID_FIELD, why, "cdq: CDQSIZE", bytes,
                  sizeof(NvmeUdmqEntry));
    NVME_LM_CHECK(!(prp1 & (n->page_size - 1)), NVME_INVALID_PRP_OFFSET, why,
                  "cdq: PRP1", prp1, 0);
    NVME_LM_CHECK(prp1, NVME_INVALID_FIELD, why, "cdq: no memory", 0, 0);
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_cdq_create(NvmeCtrl *n, NvmeRequest *req,
                                   NvmeLmWhy *why)
{
    uint32_t cdw11 = le32_to_cpu(req->cmd.cdw11);
    uint64_t bytes = (uint64_t)le32_to_cpu(req->cmd.cdw12) << 2;
    uint64_t prp1 = le64_to_cpu(req->cmd.dptr.prp1);
    NvmeCtrl *target = nvme_lm_target(n, cdw11 >> 16);
    uint64_t slots = bytes / sizeof(NvmeUdmqEntry);
    bool pc = cdw11 & NVME_CDQ_PC;
    uint64_t ranges = pc ? 1 : DIV_ROUND_UP(bytes, n->page_size);
    NvmeLmLog *q;
    uint16_t status;

    status = nvme_lm_cdq_check(n, target, &req->cmd, why);
    if (status) {
        return status;
    }
    status = nvme_lm_cdq_limits(n, slots, ranges, why);
    if (status) {
        return status;
    }

    q = nvme_lm_cdq_new(n, target, slots, ranges, pc);
    target->lm_log = q;
    status = nvme_lm_cdq_fetch(n, q, prp1, why);
    if (status) {
        nvme_lm_log_drop(target);
        return status;
    }

    req->cqe.result = cpu_to_le32(q->cdqid);
    trace_pci_nvme_lm_cdq_create(n->cntlid, q->cdqid, target->cntlid, slots,
                                 pc);
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_cdq_delete(NvmeCtrl *n, NvmeRequest *req,
                                   NvmeLmWhy *why)
{
    uint16_t cdqid = le32_to_cpu(req->cmd.cdw11) & 0xffff;
    NvmeCtrl *target = nvme_lm_log_target(n, cdqid);

    NVME_LM_CHECK(target, NVME_INVALID_CDQ, why, "cdq: CDQID", cdqid, 0);
    nvme_lm_log_drop(target);
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_cdq_select(NvmeCtrl *n, NvmeRequest *req,
                                   NvmeLmWhy *why)
{
    uint8_t sel = le32_to_cpu(req->cmd.cdw10) & 0xff;

    NVME_LM_CHECK(!req->cmd.nsid, NVME_INVALID_FIELD, why, "NSID is not 0",
                  le32_to_cpu(req->cmd.nsid), 0);

    switch (sel) {
    case NVME_CDQ_CREATE:
        return nvme_lm_cdq_create(n, req, why);
    case NVME_CDQ_DELETE:
        return nvme_lm_cdq_delete(n, req, why);
    default:
        NVME_LM_REFUSE(NVME_INVALID_FIELD, why, "cdq: SEL", sel,
                       NVME_CDQ_DELETE);
    }
}

uint16_t nvme_lm_cdq(NvmeCtrl *n, NvmeRequest *req)
{
    NvmeLmWhy why = {};
    uint16_t status = nvme_lm_cdq_select(n, req, &why);

    return status ? nvme_lm_refused(req, status, &why) : NVME_SUCCESS;
}

/* Feature 21h, Controller Data Queue */

static uint16_t nvme_lm_cdq_get(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    uint8_t sel = NVME_GETFEAT_SELECT(le32_to_cpu(req->cmd.cdw10));
    uint16_t cdqid = le32_to_cpu(req->cmd.cdw11) & 0xffff;
    NvmeCtrl *target = nvme_lm_log_target(n, cdqid);
    NvmeCdqFeature data = {};
    NvmeLmLog *q;

    if (sel == NVME_GETFEAT_SELECT_CAP) {
        req->cqe.result = cpu_to_le32(NVME_FEAT_CAP_CHANGE);
        return NVME_SUCCESS;
    }

    /* a queue has neither a default nor a saved value */
    NVME_LM_CHECK(sel == NVME_GETFEAT_SELECT_CURRENT, NVME_INVALID_FIELD, why,
                  "cdq feature: SEL", sel, 0);
    NVME_LM_CHECK(target, NVME_INVALID_CDQ, why, "cdq feature: CDQID", cdqid,
                  0);

    q = target->lm_log;
    data.hp = cpu_to_le32(q->head);
    data.tpt = cpu_to_le32(q->etpt ? q->tpt : 0);
    req->cqe.result = cpu_to_le32(cdqid | (q->etpt ? NVME_CDQ_ETPT : 0));
    return nvme_c2h(n, &data, sizeof(data), req);
}

/* The slots of entries that were not consumed, and the one after them */
static bool nvme_lm_cdq_is_head(const NvmeLmLog *q, uint32_t slot)
{
    uint32_t used = (q->tail + q->slots - q->head) % q->slots;

    return slot < q->slots &&
           (slot + q->slots - q->head) % q->slots <= used;
}

static uint16_t nvme_lm_cdq_set(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    uint32_t dw11 = le32_to_cpu(req->cmd.cdw11);
    uint32_t hp = le32_to_cpu(req->cmd.cdw12);
    uint32_t tpt = le32_to_cpu(req->cmd.cdw13);
    NvmeCtrl *target = nvme_lm_log_target(n, dw11 & 0xffff);
    uint32_t nsid = le32_to_cpu(req->cmd.nsid);
    bool etpt = dw11 & NVME_CDQ_ETPT;
    NvmeLmLog *q;

    NVME_LM_CHECK(!NVME_SETFEAT_SAVE(le32_to_cpu(req->cmd.cdw10)),
                  NVME_FID_NOT_SAVEABLE, why, "cdq feature: SV", 1, 0);
    NVME_LM_CHECK(!nsid || nsid == NVME_NSID_BROADCAST,
                  NVME_FEAT_NOT_NS_SPEC, why, "cdq feature: NSID", nsid, 0);
    NVME_LM_CHECK(target, NVME_INVALID_CDQ, why, "cdq feature: CDQID",
                  dw11 & 0xffff, 0);
    why->target = target;
    q = target->lm_log;
    NVME_LM_CHECK(nvme_lm_cdq_is_head(q, hp), NVME_INVALID_FIELD, why,
                  "cdq feature: HP", hp, q->tail);
    NVME_LM_CHECK(!etpt || tpt < q->slots, NVME_INVALID_FIELD, why,
                  "cdq feature: TPT", tpt, q->slots);

    q->head = hp;
    q->etpt = etpt;
    q->tpt = tpt;
    q->events &= ~(1 << NVME_AER_INFO_ONE_SHOT_CDQ_TAIL);
    return NVME_SUCCESS;
}

uint16_t nvme_lm_cdq_get_feature(NvmeCtrl *n, NvmeRequest *req)
{
    NvmeLmWhy why = { .what = "cdq feature: data transfer" };
    uint16_t status = nvme_lm_cdq_get(n, req, &why);

    return status ? nvme_lm_refused(req, status, &why) : NVME_SUCCESS;
}

uint16_t nvme_lm_cdq_set_feature(NvmeCtrl *n, NvmeRequest *req)
{
    NvmeLmWhy why = {};
    uint16_t status = nvme_lm_cdq_set(n, req, &why);

    return status ? nvme_lm_refused(req, status, &why) : NVME_SUCCESS;
}
