/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: Get LBA Status, the allocated blocks of a namespace
 *
 * Whoever copies a namespace need not read what was never written. A block is
 * allocated unless the block layer knows that it reads as zeroes. To find out
 * may take long, so a coroutine does it.
 */

#include "qemu/osdep.h"
#include "qemu/coroutine.h"
#include "block/block-io.h"
#include "block/graph-lock.h"
#include "system/block-backend.h"

#include "lm.h"
#include "trace.h"

typedef struct NvmeLmAllocAIOCB {
    BlockAIOCB common;
    NvmeRequest *req;
    NvmeNamespace *ns;
    uint64_t lba;               /* that is looked at next */
    uint64_t end;
    bool cancelled;
    int ret;

    uint64_t len;               /* of the answer */
    NvmeLbaStatusHdr *hdr;
    NvmeLbaStatusDescr *descr;
    uint32_t nr;
    uint32_t max;
} NvmeLmAllocAIOCB;

/* What OACS has of it */
uint16_t nvme_lm_alloc_init(NvmeCtrl *n)
{
    if (!n->params.lm_lba_status) {
        return 0;
    }

    n->cse.acs[NVME_ADM_CMD_GET_LBA_STATUS] = NVME_CMD_EFF_CSUPP;
    return NVME_OACS_GLSS;
}

/* Add the blocks to the last descriptor, or make one; false: it has no room. */
static bool nvme_lm_alloc_add(NvmeLmAllocAIOCB *iocb, uint64_t slba,
                              uint64_t end)
{
    NvmeLbaStatusDescr *d = iocb->descr + iocb->nr - 1;
    uint64_t first, nlb;

    if (iocb->nr) {
        first = le64_to_cpu(d->dslba);
        nlb = le32_to_cpu(d->nlb) + 1ULL;
        if (slba <= first + nlb && end - first <= 1ULL << 32) {
            d->nlb = cpu_to_le32(end - first - 1);
            return true;
        }
        slba = MAX(slba, first + nlb);
    }
    if (iocb->nr == iocb->max) {
        return false;
    }

    nlb = MIN(end - slba, 1ULL << 32);
    iocb->descr[iocb->nr] = (NvmeLbaStatusDescr) {
        .dslba = cpu_to_le64(slba),
        .nlb = cpu_to_le32(nlb - 1),
    };
    iocb->nr++;
    return nlb == end - slba || nvme_lm_alloc_add(iocb, slba + nlb, end);
}

/* Look at a run of blocks; false: there is no room for more. */
static bool coroutine_fn GRAPH_RDLOCK
nvme_lm_alloc_run(NvmeLmAllocAIOCB *iocb, BlockDriverState *bs)
{
    NvmeNamespace *ns = iocb->ns;
    int64_t bytes = nvme_l2b(ns, MIN(iocb->end - iocb->lba, 1ULL << 31));
    uint64_t end = iocb->end;
    int64_t pnum;
    int ret;

    ret = bdrv_co_block_status_above(bs, NULL, nvme_l2b(ns, iocb->lba), bytes,
                                     &pnum, NULL, NULL);
    if (ret < 0 || pnum <= 0) {
        iocb->ret = ret < 0 ? ret : -EIO;
        return false;
    }

    /* a block of which only a part is zeroes is not */
    if (pnum < ns->lbasz) {
        pnum = ns->lbasz;
        ret = 0;
    }
    end = MIN(end, iocb->lba + pnum / ns->lbasz);
    if (!(ret & BDRV_BLOCK_ZERO) &&
        !nvme_lm_alloc_add(iocb, iocb->lba, end)) {
        return false;
    }

    iocb->lba = end;
    return true;
}

static void nvme_lm_alloc_bh(void *opaque)
{
    NvmeLmAllocAIOCB *iocb = opaque;
    NvmeRequest *req = iocb->req;

    iocb->hdr->nlsd = cpu_to_le32(iocb->nr);
    iocb->hdr->cmpc = iocb->lba == iocb->end ? NVME_LBA_STATUS_COMPLETE
                                             : NVME_LBA_STATUS_MNDW;
    if (iocb->cancelled) {
        iocb->ret = -ECANCELED;
    } else if (!iocb->ret) {
        req->status = nvme_c2h(nvme_ctrl(req), iocb->hdr, iocb->len, req);
    }

    blk_dec_in_flight(iocb->ns->blkconf.blk);
    iocb->common.cb(iocb->common.opaque, iocb->ret);
    g_free(iocb->hdr);
    qemu_aio_unref(iocb);
}

static void coroutine_fn nvme_lm_alloc_co(void *opaque)
{
    NvmeLmAllocAIOCB *iocb = opaque;
    BlockDriverState *bs = blk_bs(iocb->ns->blkconf.blk);

    while (!iocb->cancelled && iocb->lba < iocb->end) {
        GRAPH_RDLOCK_GUARD();

        if (!nvme_lm_alloc_run(iocb, bs)) {
            break;
        }
    }

    aio_bh_schedule_oneshot(qemu_get_current_aio_context(), nvme_lm_alloc_bh,
                            iocb);
}

static void nvme_lm_alloc_cancel(BlockAIOCB *aiocb)
{
    NvmeLmAllocAIOCB *iocb = container_of(aiocb, NvmeLmAllocAIOCB, common);

    iocb->cancelled = true;
}

static const AIOCBInfo nvme_lm_alloc_info = {
    .aiocb_size = sizeof(NvmeLmAllocAIOCB),
    .cancel_async = nvme_lm_alloc_cancel,
};

static void nvme_lm_alloc_start(NvmeNamespace *ns, NvmeRequest *req,
                                uint64_t slba, uint64_t end, uint64_t len)
{
    BlockBackend *blk = ns->blkconf.blk;
    NvmeLmAllocAIOCB *iocb = blk_aio_get(&nvme_lm_alloc_info, blk,
                                         nvme_misc_cb, req);

    iocb->req = req;
    iocb->ns = ns;
    iocb->lba = slba;
    iocb->end = end;
    iocb->cancelled = false;
    iocb->ret = 0;
    iocb->len = len;
    iocb->hdr = g_malloc0(len);
    iocb->descr = (NvmeLbaStatusDescr *)(iocb->hdr + 1);
    iocb->nr = 0;
    iocb->max = (len - sizeof(*iocb->hdr)) / sizeof(*iocb->descr);

    req->aiocb = &iocb->common;
    blk_inc_in_flight(blk);
    qemu_coroutine_enter(qemu_coroutine_create(nvme_lm_alloc_co, iocb));
}

uint16_t nvme_lm_alloc(NvmeCtrl *n, NvmeRequest *req)
{
    uint64_t slba = le32_to_cpu(req->cmd.cdw10) |
                    (uint64_t)le32_to_cpu(req->cmd.cdw11) << 32;
    uint64_t len = (le32_to_cpu(req->cmd.cdw12) + 1ULL) << 2;
    uint32_t cdw13 = le32_to_cpu(req->cmd.cdw13);
    uint32_t nsid = le32_to_cpu(req->cmd.nsid);
    NvmeNamespace *ns = nvme_ns(n, nsid);
    uint64_t nsze;

    trace_pci_nvme_lm_alloc(n->cntlid, nsid, slba, cdw13, len);

    if (!ns) {
        return NVME_INVALID_NSID | NVME_DNR;
    }
    if (cdw13 >> 24 != NVME_LBA_STATUS_ALLOCATED ||
        len < sizeof(NvmeLbaStatusHdr) || len > nvme_lm_max_transfer(n)) {
        return NVME_INVALID_FIELD | NVME_DNR;
    }
    nsze = le64_to_cpu(ns->id_ns.nsze);
    if (slba >= nsze) {
        return NVME_LBA_RANGE | NVME_DNR;
    }

    cdw13 &= 0xffff;
    nvme_lm_alloc_start(ns, req, slba,
                        cdw13 ? MIN(nsze, slba + cdw13) : nsze, len);
    return NVME_NO_COMPLETE;
}
