/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: suspend and resume of a controller
 *
 * A Suspend stops fetching at once and then waits until every command that was
 * fetched has its completion posted. What it waits for ends in
 * nvme_post_cqes(), which therefore looks whether the drain is over.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "hw/pci/msix.h"

#include "lm.h"
#include "trace.h"

/* How many commands of a queue are outstanding; counting ends at @max. */
static unsigned nvme_lm_sq_outstanding(NvmeSQueue *sq, unsigned max)
{
    NvmeRequest *req;
    unsigned count = 0;

    QTAILQ_FOREACH(req, &sq->out_req_list, entry) {
        if (count == max) {
            break;
        }
        count++;
    }

    return count;
}

/* Of the outstanding commands event requests do not count: nothing ends them */
static unsigned nvme_lm_outstanding(NvmeCtrl *n)
{
    unsigned i, count = 0;

    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        if (n->sq[i]) {
            count += nvme_lm_sq_outstanding(n->sq[i], UINT_MAX);
        }
    }

    return count - n->outstanding_aers;
}

/* The same without counting, because every completion of a drain asks */
static bool nvme_lm_has_outstanding(NvmeCtrl *n)
{
    unsigned i, aers = n->outstanding_aers;

    for (i = 1; i < n->params.max_ioqpairs + 1; i++) {
        if (n->sq[i] && !QTAILQ_EMPTY(&n->sq[i]->out_req_list)) {
            return true;
        }
    }

    return n->sq[0] && nvme_lm_sq_outstanding(n->sq[0], aers + 1) > aers;
}

static bool nvme_lm_cq_full(NvmeCQueue *cq)
{
    return (cq->tail + 1) % cq->size == cq->head;
}

/*
 * Nobody consumes entries any more once a VMM has stopped its vCPUs: what a
 * full queue holds back is part of the state instead of something to wait for.
 * A queue that failed a write will not post again either.
 */
static bool nvme_lm_cq_settled(NvmeCtrl *n, NvmeCQueue *cq)
{
    if (QTAILQ_EMPTY(&cq->req_list)) {
        return true;
    }

    if (NVME_CSTS_CFS(ldl_le_p(&n->bar.csts))) {
        return true;
    }

    if (nvme_lm_cq_full(cq)) {
        if (n->dbbuf_enabled) {
            ldl_le_pci_dma(PCI_DEVICE(n), cq->db_addr, &cq->head,
                           MEMTXATTRS_UNSPECIFIED);
        }
        if (nvme_lm_cq_full(cq)) {
            return true;
        }
    }

    if (nvme_lm_off_bus(n)) {
        return true;
    }

    qemu_bh_schedule(cq->bh);
    return false;
}

static bool nvme_lm_quiesced(NvmeCtrl *n)
{
    bool settled = true;
    unsigned i;

    if (nvme_lm_has_outstanding(n)) {
        return false;
    }

    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        if (n->cq[i] && !nvme_lm_cq_settled(n, n->cq[i])) {
            settled = false;
        }
    }

    return settled;
}

static void nvme_lm_waiter_end(NvmeLmWaiter *w, uint16_t status)
{
    QTAILQ_REMOVE(&w->target->lm->waiters, w, entry);

    if (!w->req->status) {
        w->req->status = status;
    }
    w->common.cb(w->common.opaque, status ? -ECANCELED : 0);
    qemu_aio_unref(w);
}

/* Called by an Abort of the Suspend and by a reset of the MMC. */
static void nvme_lm_waiter_cancel(BlockAIOCB *acb)
{
    NvmeLmWaiter *w = container_of(acb, NvmeLmWaiter, common);
    NvmeCtrl *target = w->target;

    trace_pci_nvme_lm_suspend_cancelled(target->cntlid, "aborted");
    nvme_lm_waiter_end(w, NVME_CMD_ABORT_REQ);
    nvme_lm_let_go(target);
}

static const AIOCBInfo nvme_lm_waiter_info = {
    .aiocb_size = sizeof(NvmeLmWaiter),
    .cancel_async = nvme_lm_waiter_cancel,
};

static void nvme_lm_wait(NvmeCtrl *mmc, NvmeCtrl *target, NvmeRequest *req)
{
    NvmeLmWaiter *w;

    w = qemu_aio_get(&nvme_lm_waiter_info, NULL, nvme_misc_cb, req);
    w->req = req;
    w->mmc = mmc;
    w->target = target;
    req->aiocb = &w->common;
    QTAILQ_INSERT_TAIL(&target->lm->waiters, w, entry);
}

/*
 * From here on nothing leaves the controller. A pending bit left in the PBA
 * would become a message as soon as somebody unmasks its vector; Resume raises
 * all interrupts again whose entries were not consumed.
 */
static void nvme_lm_freeze(NvmeCtrl *mmc, NvmeCtrl *target)
{
    PCIDevice *pci = PCI_DEVICE(target);
    int i;

    target->lm->run = NVME_LM_SUSPENDED;
    target->lm->mmc = mmc;
    target->lm->irq_owed = false;
    nvme_lm_image_drop(target->lm);

    if (msix_present(pci)) {
        for (i = 0; i < pci->msix_entries_nr; i++) {
            msix_clr_pending(pci, i);
        }
    }
}

static void nvme_lm_suspended(NvmeCtrl *n)
{
    NvmeLm *lm = n->lm;

    lm->frozen_ms = qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL);
    nvme_lm_freeze(lm->mmc, n);
    trace_pci_nvme_lm_suspended(n->cntlid);

    while (!QTAILQ_EMPTY(&lm->waiters)) {
        nvme_lm_waiter_end(QTAILQ_FIRST(&lm->waiters), NVME_SUCCESS);
    }
}

void nvme_lm_drained(NvmeCtrl *n)
{
    if (!QTAILQ_EMPTY(&n->lm->waiters) && nvme_lm_quiesced(n)) {
        nvme_lm_suspended(n);
    }
}

static void nvme_lm_stop_fetch(NvmeCtrl *mmc, NvmeCtrl *target)
{
    NvmeLm *lm = target->lm;

    if (lm->run == NVME_LM_RUNNING) {
        nvme_lm_image_drop(lm);
        lm->run = NVME_LM_DRAINING;
        lm->mmc = mmc;
    }
}

/* Suspend the target now, or end the command when it is suspended. */
uint16_t nvme_lm_suspend(NvmeCtrl *mmc, NvmeCtrl *target, NvmeRequest *req)
{
    NvmeLm *lm = target->lm;

    trace_pci_nvme_lm_suspend(target->cntlid, nvme_lm_outstanding(target));

    if (lm->run == NVME_LM_SUSPENDED) {
        return NVME_SUCCESS;
    }

    nvme_lm_stop_fetch(mmc, target);
    if (QTAILQ_EMPTY(&lm->waiters) && nvme_lm_quiesced(target)) {
        nvme_lm_suspended(target);
        return NVME_SUCCESS;
    }

    nvme_lm_wait(mmc, target, req);
    return NVME_NO_COMPLETE;
}

/* Look at every queue again; nothing is called directly, all of it is a BH. */
void nvme_lm_kick(NvmeCtrl *n)
{
    unsigned i;

    nvme_process_aers(n);

    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        if (n->cq[i]) {
            qemu_bh_schedule(n->cq[i]->bh);
        }
    }

    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        if (n->sq[i]) {
            qemu_bh_schedule(n->sq[i]->bh);
        }
    }
}

/*
 * A doorbell of queue 0 is written through to its shadow, because drivers
 * need not do that themselves. What came while suspended is made up for here,
 * before anything reads the old value back.
 */
static void nvme_lm_write_shadows(NvmeCtrl *n)
{
    NvmeLm *lm = n->lm;

    if (nvme_lm_off_bus(n)) {
        return;
    }
    if (n->dbbuf_enabled && n->sq[0]) {
        if (lm->sq0_db) {
            nvme_lm_stl(n, n->admin_sq.db_addr, n->admin_sq.tail);
        }
        if (lm->cq0_db) {
            nvme_lm_stl(n, n->admin_cq.db_addr, n->admin_cq.head);
        }
    }

    lm->sq0_db = false;
    lm->cq0_db = false;
}

/* Back to RUNNING, with everything looked at that came in the meantime. */
void nvme_lm_release(NvmeCtrl *n)
{
    NvmeLm *lm = n->lm;

    nvme_lm_image_drop(lm);
    lm->run = NVME_LM_RUNNING;
    lm->mmc = NULL;
    lm->irq_owed = !msix_enabled(PCI_DEVICE(n));
    nvme_lm_write_shadows(n);
    nvme_lm_kick(n);
}

/* A Suspend has ended in vain: the target runs again if it was the last one. */
void nvme_lm_let_go(NvmeCtrl *target)
{
    NvmeLm *lm = target->lm;

    if (lm->run == NVME_LM_DRAINING && QTAILQ_EMPTY(&lm->waiters)) {
        nvme_lm_release(target);
    }
}

/* MSI-X was off when the controller was resumed, and has come on now. */
static void nvme_lm_raise_owed(NvmeCtrl *n)
{
    unsigned i;

    if (nvme_lm_silent(n) || !msix_enabled(PCI_DEVICE(n))) {
        return;
    }

    n->lm->irq_owed = false;
    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        if (n->cq[i]) {
            qemu_bh_schedule(n->cq[i]->bh);
        }
    }
}

/* Config space was written: what waited for it can go on, perhaps. */
void nvme_lm_make_up(NvmeCtrl *n)
{
    NvmeLm *lm = n->lm;

    if (lm->work_owed && !nvme_lm_off_bus(n)) {
        lm->work_owed = false;
        if (lm->run == NVME_LM_RUNNING) {
            nvme_lm_write_shadows(n);
        }
        nvme_lm_kick(n);
    }
    if (lm->irq_owed) {
        nvme_lm_raise_owed(n);
    }
}

uint16_t nvme_lm_resume(NvmeCtrl *target, NvmeLmWhy *why)
{
    NvmeLm *lm = target->lm;

    NVME_LM_CHECK(lm->run == NVME_LM_SUSPENDED, NVME_CTRL_NOT_SUSPENDED, why,
                  "resume: not suspended", 0, 0);
    NVME_LM_CHECK(!lm->load_begun, NVME_CMD_SEQ_ERROR, why,
                  "resume: a state was begun and not committed", 0, 0);

    trace_pci_nvme_lm_resume(target->cntlid);
    nvme_lm_release(target);
    return NVME_SUCCESS;
}

/* The MMC is about to free its requests: no waiter may lead to one of them. */
void nvme_lm_abandon(NvmeCtrl *mmc, NvmeCtrl *target)
{
    NvmeLmWaiter *w, *next;

    QTAILQ_FOREACH_SAFE(w, &target->lm->waiters, entry, next) {
        if (w->mmc == mmc) {
            QTAILQ_REMOVE(&target->lm->waiters, w, entry);
            qemu_aio_unref(w);
        }
    }
}

/* The target was reset: it runs, and who waited for its drain waits in vain. */
void nvme_lm_end_run(NvmeCtrl *n)
{
    NvmeLm *lm = n->lm;
    NvmeLmWaiter *w, *next;

    lm->run = NVME_LM_RUNNING;
    lm->mmc = NULL;
    lm->sq0_db = false;
    lm->cq0_db = false;
    lm->irq_owed = false;
    lm->work_owed = false;

    QTAILQ_FOREACH_SAFE(w, &lm->waiters, entry, next) {
        trace_pci_nvme_lm_suspend_cancelled(n->cntlid, "target reset");
        nvme_lm_waiter_end(w, NVME_CTRL_NOT_SUSPENDED);
    }
}
