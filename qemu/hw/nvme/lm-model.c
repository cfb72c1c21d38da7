/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: a model of the hardware, for measurements
 *
 * The firmware of a device takes time for a command, moves a state at some
 * rate, and works on few commands at once. A command waits here, in the order
 * of arrival, until it may occupy the firmware, and does so for as long as its
 * kind takes. Then it is executed, as it would have been at once without the
 * model. A Suspend keeps its target from fetching as soon as the firmware works
 * on it. All times are those of the virtual clock.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/visitor.h"

#include "lm-model.h"
#include "lm-vendor.h"
#include "trace.h"

#define NVME_LM_NO_TARGET       0xffff  /* no controller has this id */
#define NVME_LM_MAX_EXTRA       (1 * GiB)
#define NVME_LM_MAX_US          (3600ULL * 1000000)

typedef enum NvmeLmKind {
    NVME_LM_KIND_NONE,          /* refused, so that it takes no time */
    NVME_LM_KIND_SUSPEND,
    NVME_LM_KIND_RESUME,
    NVME_LM_KIND_GET,
    NVME_LM_KIND_SET,
    NVME_LM_KIND_TRACK,
} NvmeLmKind;

/* What the model knows of a command */
typedef struct NvmeLmWork {
    NvmeLmKind kind;
    bool stops;                 /* its target from fetching */
    uint16_t cntlid;            /* of its target */
    uint64_t bytes;             /* of a state */
} NvmeLmWork;

/* A command that is not executed yet */
struct NvmeLmJob {
    BlockAIOCB common;
    NvmeCtrl *mmc;
    NvmeRequest *req;
    NvmeLmExecute *execute;
    NvmeLmWork work;
    bool working;
    int64_t arrived;
    int64_t started;
    NvmeCtrl *stopped;          /* target that does not fetch, or NULL */
    QEMUBH *bh;
    QEMUTimer *timer;
    QTAILQ_ENTRY(NvmeLmJob) entry;
    QTAILQ_ENTRY(NvmeLmJob) suspend;
};

/* Properties */

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

bool nvme_lm_model_check_params(NvmeCtrl *n, Error **errp)
{
    uint32_t size = n->params.lm.model.state_size;

    if (size > NVME_LM_MAX_EXTRA || size % 4) {
        error_setg(errp, "lm-model-state-size has to be a multiple of 4 and "
                   "at most 1 GiB");
        return false;
    }

    if (size && (n->params.lm.state_revision < 2 ||
                 (n->params.lm.mode == NVME_LM_MODE_TP4159 &&
                  !n->params.lm.vendor_state))) {
        error_setg(errp, "lm-model-state-size needs vendor state of "
                   "revision 2");
        return false;
    }

    return true;
}

static bool nvme_lm_model_on(NvmeCtrl *n)
{
    const NvmeLmModelParams *p = &n->params.lm.model;

    return p->suspend_us || p->resume_us || p->get_us || p->set_us ||
           p->track_us || p->drain_us || p->bandwidth || p->parallel;
}

/* Commands */

static void nvme_lm_work_send(const NvmeCmd *cmd, NvmeLmWork *w)
{
    switch (le32_to_cpu(cmd->cdw10) & 0xff) {
    case NVME_MIGRATION_SEND_SUSPEND:
        w->kind = NVME_LM_KIND_SUSPEND;
        w->stops = extract32(le32_to_cpu(cmd->cdw11), 16, 8) ==
                   NVME_SUSPEND_TYPE_SUSPEND;
        break;
    case NVME_MIGRATION_SEND_RESUME:
        w->kind = NVME_LM_KIND_RESUME;
        break;
    case NVME_MIGRATION_SEND_SET:
        w->kind = NVME_LM_KIND_SET;
        w->bytes = (uint64_t)le32_to_cpu(cmd->cdw15) << 2;
        break;
    default:
        break;
    }
}

static void nvme_lm_work_tp4159(NvmeCtrl *n, const NvmeCmd *cmd,
                                NvmeLmWork *w)
{
    w->cntlid = le32_to_cpu(cmd->cdw11) & 0xffff;

    switch (cmd->opcode) {
    case NVME_ADM_CMD_TRACK_SEND:
    case NVME_ADM_CMD_TRACK_RECV:
        w->kind = NVME_LM_KIND_TRACK;
        break;
    case NVME_ADM_CMD_MIGRATION_SEND:
        nvme_lm_work_send(cmd, w);
        break;
    default:
        w->kind = le32_to_cpu(cmd->cdw10) & 0xff ? NVME_LM_KIND_NONE
                                                 : NVME_LM_KIND_GET;
        w->bytes = ((uint64_t)le32_to_cpu(cmd->cdw15) + 1) << 2;
    }
}

static void nvme_lm_work_vendor(NvmeCtrl *n, const NvmeCmd *cmd,
                                NvmeLmWork *w)
{
    NvmeCtrl *target = nvme_lm_vf(n, le32_to_cpu(cmd->cdw10) & 0xffff);

    w->cntlid = target ? target->cntlid : NVME_LM_NO_TARGET;

    switch (cmd->opcode) {
    case NVME_LM_VS_SUSPEND:
        w->kind = NVME_LM_KIND_SUSPEND;
        w->stops = true;
        break;
    case NVME_LM_VS_RESUME:
        w->kind = NVME_LM_KIND_RESUME;
        break;
    case NVME_LM_VS_LOAD_DATA:
        w->kind = NVME_LM_KIND_SET;
        w->bytes = le32_to_cpu(cmd->cdw11);
        break;
    case NVME_LM_VS_SAVE_DATA:
        w->bytes = target ? target->lm->size_told : 0;
        /* fallthrough */
    default:
        w->kind = NVME_LM_KIND_GET;
    }
}

static NvmeLmWork nvme_lm_work(NvmeCtrl *n, const NvmeCmd *cmd)
{
    NvmeLmWork w = { .cntlid = NVME_LM_NO_TARGET };

    if (n->params.lm.mode == NVME_LM_MODE_VENDOR) {
        nvme_lm_work_vendor(n, cmd, &w);
    } else if (!cmd->nsid) {
        nvme_lm_work_tp4159(n, cmd, &w);
    }
    if (w.bytes > nvme_lm_max_transfer(n)) {
        w.bytes = 0;            /* refused before anything is moved */
    }

    return w;
}

/* How long the firmware is occupied */
static int64_t nvme_lm_work_ns(NvmeCtrl *n, const NvmeLmJob *job)
{
    const NvmeLmModelParams *p = &n->params.lm.model;
    const uint64_t us[] = {
        [NVME_LM_KIND_SUSPEND] = p->suspend_us,
        [NVME_LM_KIND_RESUME] = p->resume_us,
        [NVME_LM_KIND_GET] = p->get_us,
        [NVME_LM_KIND_SET] = p->set_us,
        [NVME_LM_KIND_TRACK] = p->track_us,
    };
    uint64_t ns = MIN(us[job->work.kind], NVME_LM_MAX_US) * SCALE_US;
    uint64_t transfer = 0;

    if (job->stopped && nvme_lm_enabled(job->stopped)) {
        ns += MIN(p->drain_us, NVME_LM_MAX_US) * SCALE_US;
    }
    if (p->bandwidth) {
        /* at most 2^34 bytes, which is just not too much */
        transfer = job->work.bytes * NANOSECONDS_PER_SECOND / p->bandwidth;
    }

    return ns + MIN(transfer, NVME_LM_MAX_US * SCALE_US);
}

static void nvme_lm_model_trace(NvmeCtrl *n, NvmeRequest *req,
                                const NvmeLmWork *w, int64_t arrived,
                                int64_t started, uint16_t status)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    trace_pci_nvme_lm_model_command(n->cntlid, nvme_cid(req), req->cmd.opcode,
                                    w->cntlid, w->bytes, arrived,
                                    started - arrived, now - started, status);
}

/* Jobs */

/* It neither waits nor occupies the firmware any more. */
static void nvme_lm_job_remove(NvmeLmJob *job)
{
    NvmeLm *lm = job->mmc->lm;

    QTAILQ_REMOVE(&lm->jobs, job, entry);
    lm->nr_working -= job->working;
    if (job->stopped) {
        QTAILQ_REMOVE(&job->stopped->lm->suspends, job, suspend);
    }
    timer_free(job->timer);
    qemu_bh_delete(job->bh);
    job->req->aiocb = NULL;
}

static void nvme_lm_job_trace(NvmeLmJob *job, uint16_t status)
{
    int64_t started = job->working ? job->started
                                   : qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    nvme_lm_model_trace(job->mmc, job->req, &job->work, job->arrived, started,
                        status);
}

/* End it, not executed. */
static void nvme_lm_job_end(NvmeLmJob *job, uint16_t status)
{
    NvmeCtrl *stopped = job->stopped;

    nvme_lm_job_remove(job);
    if (!job->req->status) {
        job->req->status = status;
    }
    nvme_lm_job_trace(job, job->req->status);
    job->common.cb(job->common.opaque, -ECANCELED);
    qemu_aio_unref(job);
    if (stopped) {
        nvme_lm_let_go(stopped);
    }
}

static void nvme_lm_job_start(NvmeLmJob *job)
{
    NvmeCtrl *target = nvme_lm_target(job->mmc, job->work.cntlid);

    job->working = true;
    job->mmc->lm->nr_working++;
    job->started = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    if (job->work.stops && target && nvme_lm_usable(target) &&
        target->lm->run != NVME_LM_SUSPENDED) {
        job->stopped = target;
        QTAILQ_INSERT_TAIL(&target->lm->suspends, job, suspend);
        nvme_lm_stop_fetch(job->mmc, target);
    }

    timer_mod(job->timer, job->started + nvme_lm_work_ns(job->mmc, job));
}

/* Let the firmware begin with what it may work on now. */
void nvme_lm_model_look_again(NvmeCtrl *n)
{
    uint64_t parallel = n->params.lm.model.parallel;
    NvmeLmJob *job;

    QTAILQ_FOREACH(job, &n->lm->jobs, entry) {
        if (parallel && n->lm->nr_working >= parallel) {
            break;
        }
        if (!job->working) {
            nvme_lm_job_start(job);
        }
    }
}

static void nvme_lm_job_bh(void *opaque)
{
    NvmeLmJob *job = opaque;
    NvmeCtrl *n = job->mmc;
    NvmeRequest *req = job->req;
    NvmeCtrl *stopped = job->stopped;
    uint16_t status;

    nvme_lm_job_remove(job);
    status = job->execute(n, req);
    nvme_lm_job_trace(job, status);
    qemu_aio_unref(job);

    if (stopped) {
        nvme_lm_let_go(stopped);
    }
    if (status != NVME_NO_COMPLETE) {
        req->status = status;
        nvme_enqueue_req_completion(nvme_cq(req), req);
    }
    nvme_lm_model_look_again(n);
}

static void nvme_lm_job_timer(void *opaque)
{
    NvmeLmJob *job = opaque;

    qemu_bh_schedule(job->bh);
}

/* Called by an Abort of the command and by a reset of the MMC. */
static void nvme_lm_job_cancel(BlockAIOCB *acb)
{
    NvmeLmJob *job = container_of(acb, NvmeLmJob, common);
    NvmeCtrl *n = job->mmc;

    nvme_lm_job_end(job, NVME_CMD_ABORT_REQ);
    nvme_lm_model_look_again(n);
}

static const AIOCBInfo nvme_lm_job_info = {
    .aiocb_size = sizeof(NvmeLmJob),
    .cancel_async = nvme_lm_job_cancel,
};

static void nvme_lm_job_new(NvmeCtrl *n, NvmeRequest *req,
                            const NvmeLmWork *work, NvmeLmExecute *execute)
{
    NvmeLmJob *job = qemu_aio_get(&nvme_lm_job_info, NULL, nvme_misc_cb, req);

    job->mmc = n;
    job->req = req;
    job->execute = execute;
    job->work = *work;
    job->working = false;
    job->arrived = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    job->stopped = NULL;
    job->bh = qemu_bh_new_guarded(nvme_lm_job_bh, job,
                                  &DEVICE(n)->mem_reentrancy_guard);
    job->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, nvme_lm_job_timer, job);
    req->aiocb = &job->common;
    QTAILQ_INSERT_TAIL(&n->lm->jobs, job, entry);
}

/* Execute a command of live migration when the hardware would. */
uint16_t nvme_lm_model_cmd(NvmeCtrl *n, NvmeRequest *req,
                           NvmeLmExecute *execute)
{
    NvmeLmWork work = nvme_lm_work(n, &req->cmd);
    int64_t now;
    uint16_t status;

    if (work.kind && nvme_lm_model_on(n)) {
        nvme_lm_job_new(n, req, &work, execute);
        nvme_lm_model_look_again(n);
        return NVME_NO_COMPLETE;
    }

    now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    status = execute(n, req);
    nvme_lm_model_trace(n, req, &work, now, now, status);
    return status;
}

/* Resets */

/* The MMC is about to free its requests: no job may lead to one of them. */
void nvme_lm_model_abandon(NvmeCtrl *n)
{
    NvmeLmJob *job, *next;

    QTAILQ_FOREACH_SAFE(job, &n->lm->jobs, entry, next) {
        nvme_lm_job_remove(job);
        qemu_aio_unref(job);
    }
}

static void nvme_lm_model_end_suspends(NvmeCtrl *mmc, NvmeCtrl *target)
{
    uint16_t status = mmc->params.lm.mode == NVME_LM_MODE_VENDOR ?
                      NVME_CMD_SEQ_ERROR : NVME_CTRL_NOT_SUSPENDED;
    NvmeLmJob *job, *next;

    QTAILQ_FOREACH_SAFE(job, &mmc->lm->jobs, entry, next) {
        if (job->work.stops && job->work.cntlid == target->cntlid) {
            trace_pci_nvme_lm_suspend_cancelled(target->cntlid,
                                                "target reset");
            nvme_lm_job_end(job, status);
        }
    }

    nvme_lm_model_look_again(mmc);
}

/* The target was reset: a Suspend of it ends, whether it was begun or not. */
void nvme_lm_model_target_reset(NvmeCtrl *n)
{
    NvmeCtrl *mmc;
    int i;

    for (i = 0; i < NVME_MAX_CONTROLLERS; i++) {
        mmc = nvme_subsys_ctrl(n->subsys, i);
        if (mmc && mmc->lm && !QTAILQ_EMPTY(&mmc->lm->jobs)) {
            nvme_lm_model_end_suspends(mmc, n);
        }
    }
}

/* Whose Suspend the model works on first, of those of a target */
NvmeCtrl *nvme_lm_model_suspender(NvmeLm *lm)
{
    return QTAILQ_FIRST(&lm->suspends)->mmc;
}
