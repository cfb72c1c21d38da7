// SPDX-License-Identifier: GPL-2.0-only
/*
 * User Data Migration Queues: memory of the host that the device writes the log of
 * changed user data to.
 *
 * The memory is freed when the device has said that it has no such queue any more. A
 * queue whose deletion fails is tried again until it succeeds, or stays in memory.
 *
 * A queue is named by an identifier that the device chooses, and chooses again once the
 * queue is deleted, which a reset of the PF does unseen. So all commands that create or
 * name a queue of one MMC come one after the other, and when an identifier is chosen
 * again, the earlier queue is known to be lost, and nothing is sent for it any more.
 */

#include <asm/barrier.h>
#include <linux/cleanup.h>
#include <linux/compiler.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "buf.h"
#include "cdq.h"
#include "exec.h"
#include "mmc.h"
#include "nvme_lm_log.h"
#include "nvme_pf.h"
#include "nvme_pf_log.h"
#include "trace.h"
#include "wire.h"

/* How soon the deletion of a queue is tried again */
#define NVMEVF_CDQ_RETRY_MS	2000

static struct device *nvmevf_cdqs_dma(const struct nvmevf_cdqs *cdqs)
{
	return &nvmevf_mmc_pf(cdqs->mmc)->dev;
}

/* ---- commands ---- */

/* The device has answered all commands, and the clean-up of those given up is complete */
static bool nvmevf_cdq_answered(const struct nvmevf_cdq *cdq)
{
	if (kref_read(&cdq->token->ref) > 1)
		return false;

	/* what nvmevf_cdq_late() has written */
	smp_rmb();
	return true;
}

/* The command's reference to the token, which is dropped afterwards, orders this */
static void nvmevf_cdq_late(void *priv, unsigned int flags, bool reset_since, u32 dw0)
{
	struct nvmevf_cdq *cdq = priv;

	cdq->late_id = dw0;
	cdq->late = true;
}

/* Returns 0, an NVMe status or a negative errno */
static int nvmevf_cdq_exec_once(struct nvmevf_cdq *cdq, const struct nvme_pf_op *op,
				size_t len, union nvme_result *result, unsigned int flags)
{
	ktime_t start = ktime_get();
	int ret;

	ret = nvmevf_mmc_exec(cdq->mmc, op, cdq->token, len, result,
			      nvmevf_limit_ms(NVMEVF_LIMIT_DATA), flags);
	trace_nvmevf_command(nvmevf_mmc_pf(cdq->mmc), op, cdq->cntlid, len, ret,
			     ktime_us_delta(ktime_get(), start));
	return ret;
}

/*
 * Send a command and wait for it; with NVMEVF_EXEC_AGAIN once more if the PF was reset,
 * so that the device has the word. Returns as nvmevf_cdq_exec_once().
 */
static int nvmevf_cdq_exec(struct nvmevf_cdq *cdq, const struct nvme_pf_op *op, size_t len,
			   union nvme_result *result, unsigned int flags)
{
	int ret;

	lockdep_assert_held(&cdq->cdqs->lock);

	if (cdq->lost)
		return -ENOTCONN;

	ret = nvmevf_cdq_exec_once(cdq, op, len, result, flags);
	if (ret == -ENOTCONN && (flags & NVMEVF_EXEC_AGAIN))
		ret = nvmevf_cdq_exec_once(cdq, op, len, result, flags);
	return ret;
}

static int nvmevf_cdq_error(const struct nvmevf_cdq *cdq, const struct nvme_pf_op *op, int ret)
{
	int err = ret > 0 ? nvmevf_status_to_errno(ret) : ret;

	/* that the controller is suspended is ordinary in a migration */
	if (ret > 0 && err == -EBUSY)
		return err;

	if (ret > 0)
		dev_err_ratelimited(cdq->cdqs->log, "%s of controller %u: NVMe status %#x (%pe)\n",
				    op->verb->name, cdq->cntlid, ret, ERR_PTR(err));
	else if (ret && ret != -EINTR)
		dev_err_ratelimited(cdq->cdqs->log, "%s of controller %u: %pe\n",
				    op->verb->name, cdq->cntlid, ERR_PTR(err));
	return err;
}

/* A command that names the queue; returns 0 or a negative errno */
static int nvmevf_cdq_cmd_locked(struct nvmevf_cdq *cdq, struct nvme_pf_op *op,
				 unsigned int flags)
{
	int ret;

	op->cdqid = cdq->cdqid;
	ret = nvmevf_cdq_exec(cdq, op, 0, NULL, flags | NVMEVF_EXEC_AGAIN);
	if (ret == NVME_SC_CDQ_INVALID)
		WRITE_ONCE(cdq->lost, true);
	if (ret == NVME_SC_CDQ_INVALID || ret == -ENOTCONN)
		return -ENOTCONN;

	return nvmevf_cdq_error(cdq, op, ret);
}

static int nvmevf_cdqs_lock(struct nvmevf_cdqs *cdqs, unsigned int flags)
{
	if (flags & NVMEVF_EXEC_KILLABLE)
		return mutex_lock_killable(&cdqs->lock);

	mutex_lock(&cdqs->lock);
	return 0;
}

static int nvmevf_cdq_cmd(struct nvmevf_cdq *cdq, struct nvme_pf_op *op, unsigned int flags)
{
	int ret;

	ret = nvmevf_cdqs_lock(cdq->cdqs, flags);
	if (ret)
		return ret;

	ret = nvmevf_cdq_cmd_locked(cdq, op, flags);
	mutex_unlock(&cdq->cdqs->lock);
	return ret;
}

/* ---- memory ---- */

static void nvmevf_cdq_free_slots(struct nvmevf_cdq *cdq)
{
	if (cdq->slots)
		dma_free_coherent(nvmevf_cdqs_dma(cdq->cdqs), cdq->len, cdq->slots, cdq->dma);
	cdq->slots = NULL;
}

/* The device cannot write to it any more, or its memory is never freed */
static void nvmevf_cdq_free(struct nvmevf_cdq *cdq)
{
	nvmevf_mmc_put(cdq->mmc);
	nvmevf_buf_put(cdq->token);
	kfree(cdq);
}

static void nvmevf_cdq_remove_locked(struct nvmevf_cdq *cdq)
{
	lockdep_assert_held(&cdq->cdqs->lock);

	list_del(&cdq->node);
	nvmevf_cdq_free_slots(cdq);
	nvmevf_cdq_free(cdq);
}

static struct nvmevf_cdq *nvmevf_cdq_new(struct nvmevf_cdqs *cdqs, u16 cntlid, u32 entries)
{
	struct nvmevf_cdq *cdq = kzalloc_obj(*cdq);

	if (!cdq)
		return NULL;

	cdq->cdqs = cdqs;
	cdq->cntlid = cntlid;
	cdq->entries = entries;
	cdq->len = entries * sizeof(struct nvme_lm_log_entry);
	cdq->token = nvmevf_buf_alloc(NVME_LM_FEAT_CDQ_LEN);
	cdq->mmc = nvmevf_mmc_get_log(cdqs->mmc, cntlid);
	cdq->slots = dma_alloc_coherent(nvmevf_cdqs_dma(cdqs), cdq->len, &cdq->dma,
					GFP_KERNEL | __GFP_NOWARN);
	if (cdq->token && cdq->mmc && cdq->slots) {
		nvmevf_mmc_set_late(cdq->mmc, nvmevf_cdq_late, cdq);
		return cdq;
	}

	nvmevf_cdq_free_slots(cdq);
	if (cdq->mmc)
		nvmevf_mmc_put(cdq->mmc);
	nvmevf_buf_put(cdq->token);
	kfree(cdq);
	return NULL;
}

/* ---- creation ---- */

static int nvmevf_cdqs_room_locked(const struct nvmevf_cdqs *cdqs, u16 cntlid)
{
	const struct nvmevf_cdq *cdq;
	unsigned int n = 0;

	list_for_each_entry(cdq, &cdqs->all, node) {
		if (cdq->lost)
			continue;
		if (cdq->cntlid == cntlid)
			return -EBUSY;
		n++;
	}

	return n < cdqs->max ? 0 : -ENOSPC;
}

/*
 * The device chose this identifier. Of two queues with the same one the earlier one is
 * lost: a creation that was under way during the reset would have failed.
 */
static void nvmevf_cdq_take_id_locked(struct nvmevf_cdq *cdq, u16 cdqid)
{
	struct nvmevf_cdq *other, *earlier;
	bool later = true;

	list_for_each_entry(other, &cdq->cdqs->all, node) {
		earlier = later ? cdq : other;
		if (other == cdq)
			later = false;
		else if (other->created && other->cdqid == cdqid)
			WRITE_ONCE(earlier->lost, true);
	}

	cdq->cdqid = cdqid;
	cdq->created = true;
}

/* Returns 0 or a negative errno; then the device may have created it if it was not answered */
static int nvmevf_cdq_send_create(struct nvmevf_cdq *cdq)
{
	const struct nvme_pf_op op = {
		.verb = &nvme_pf_verb_cdq_create,
		.queue = cdq->dma,
		.queue_len = cdq->len,
	};
	union nvme_result result = {};
	int ret;

	nvmevf_mmc_live(cdq->mmc, &cdq->resets);
	ret = nvmevf_cdq_exec(cdq, &op, 0, &result, NVMEVF_EXEC_KILLABLE);
	/* the caller may try again with fewer slots */
	if (ret == NVME_SC_INVALID_FIELD)
		return -EINVAL;
	if (ret)
		return nvmevf_cdq_error(cdq, &op, ret);

	nvmevf_cdq_take_id_locked(cdq, le32_to_cpu(result.u32));
	return 0;
}

static void nvmevf_cdq_orphan_locked(struct nvmevf_cdq *cdq)
{
	dev_warn(cdq->cdqs->log, "the queue of controller %u cannot be deleted: its memory is kept until it is\n",
		 cdq->cntlid);
	cdq->orphan = true;
	queue_delayed_work(system_long_wq, &cdq->cdqs->retry,
			   msecs_to_jiffies(NVMEVF_CDQ_RETRY_MS));
}

static struct nvmevf_cdq *nvmevf_cdq_create_locked(struct nvmevf_cdqs *cdqs, u16 cntlid,
						   u32 entries)
{
	struct nvmevf_cdq *cdq;
	int ret;

	ret = nvmevf_cdqs_room_locked(cdqs, cntlid);
	if (ret)
		return ERR_PTR(ret);

	cdq = nvmevf_cdq_new(cdqs, cntlid, entries);
	if (!cdq)
		return ERR_PTR(-ENOMEM);

	list_add(&cdq->node, &cdqs->all);
	ret = nvmevf_cdq_send_create(cdq);
	if (!ret)
		return cdq;

	if (nvmevf_cdq_answered(cdq) && !cdq->late)
		nvmevf_cdq_remove_locked(cdq);
	else
		nvmevf_cdq_orphan_locked(cdq);
	return ERR_PTR(ret);
}

/**
 * nvmevf_cdq_create - create a queue for the log of a controller
 * @cdqs: the queues of the MMC
 * @cntlid: the controller
 * @entries: number of slots
 *
 * Context: Process; sleeps, a fatal signal ends it.
 * Return: the queue, for nvmevf_cdq_delete(), or an ERR_PTR: -EBUSY if the controller
 * has one, -ENOSPC, -ENOMEM, -EINVAL if the device does not take so many slots or says
 * that the controller has a queue, or the errno of the command.
 */
struct nvmevf_cdq *nvmevf_cdq_create(struct nvmevf_cdqs *cdqs, u16 cntlid, u32 entries)
{
	struct nvmevf_cdq *cdq;
	int ret;

	ret = nvmevf_cdqs_lock(cdqs, NVMEVF_EXEC_KILLABLE);
	if (ret)
		return ERR_PTR(ret);

	cdq = nvmevf_cdq_create_locked(cdqs, cntlid, entries);
	mutex_unlock(&cdqs->lock);
	return cdq;
}

/* ---- use ---- */

static int nvmevf_cdq_start_locked(struct nvmevf_cdq *cdq)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_log_start, .cdqid = cdq->cdqid };
	int ret;

	ret = nvmevf_cdq_exec(cdq, &op, 0, NULL, NVMEVF_EXEC_KILLABLE);
	if (ret == -ENOTCONN)
		return ret;
	/* either the queue is lost, or the controller is logged already */
	if (ret == NVME_SC_CDQ_INVALID && nvmevf_cdq_is_suspect(cdq))
		return -ENOTCONN;
	if (ret == NVME_SC_CDQ_INVALID)
		ret = -EBUSY;

	return nvmevf_cdq_error(cdq, &op, ret);
}

/**
 * nvmevf_cdq_start - start logging
 * @cdq: the queue
 *
 * Context: Process; sleeps, a fatal signal ends it.
 * Return: 0; -EBUSY if the controller is suspended, or another MMC logs its changes;
 * -ENOTCONN if the PF was reset; another negative errno.
 */
int nvmevf_cdq_start(struct nvmevf_cdq *cdq)
{
	int ret;

	ret = nvmevf_cdqs_lock(cdq->cdqs, NVMEVF_EXEC_KILLABLE);
	if (ret)
		return ret;

	ret = nvmevf_cdq_start_locked(cdq);
	mutex_unlock(&cdq->cdqs->lock);
	return ret;
}

/**
 * nvmevf_cdq_stop - stop logging
 * @cdq: the queue
 * @flags: NVMEVF_EXEC_KILLABLE or NVMEVF_EXEC_BRIEF
 *
 * Context: Process; sleeps.
 * Return: 0; -EBUSY if the controller is suspended, or the PF takes no command;
 * -ENOTCONN if the PF was reset; another negative errno.
 */
int nvmevf_cdq_stop(struct nvmevf_cdq *cdq, unsigned int flags)
{
	struct nvme_pf_op op = { .verb = &nvme_pf_verb_log_stop };

	return nvmevf_cdq_cmd(cdq, &op, flags);
}

/**
 * nvmevf_cdq_set_head - give slots back to the device
 * @cdq: the queue
 * @head: the first slot that is not given back
 *
 * Context: Process; sleeps, a fatal signal ends it.
 * Return: 0; -ENOTCONN if the PF was reset; -EBUSY, -EINTR, -ENOMEM or -ETIMEDOUT if this
 * can be tried again; another negative errno.
 */
int nvmevf_cdq_set_head(struct nvmevf_cdq *cdq, u32 head)
{
	struct nvme_pf_op op = { .verb = &nvme_pf_verb_cdq_set, .head = head };

	return nvmevf_cdq_cmd(cdq, &op, NVMEVF_EXEC_KILLABLE);
}

/**
 * nvmevf_cdq_is_suspect - check for a reset of the PF, without asking the device
 * @cdq: the queue
 *
 * Context: Any.
 * Return: whether the queue may be lost, so that nvmevf_cdq_check() should ask. Before
 * 7.0 a reset is not seen. The activation of firmware may look like one.
 */
bool nvmevf_cdq_is_suspect(const struct nvmevf_cdq *cdq)
{
	long resets;

	return READ_ONCE(cdq->lost) ||
	       (nvmevf_mmc_live(cdq->mmc, &resets) && resets != READ_ONCE(cdq->resets));
}

/**
 * nvmevf_cdq_check - ask the device whether it has the queue
 * @cdq: the queue
 *
 * Context: Process; sleeps for seconds at most.
 * Return: 0 if it has, or if it does not answer; -ENOTCONN if not.
 */
int nvmevf_cdq_check(struct nvmevf_cdq *cdq)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_cdq_get, .cdqid = cdq->cdqid };
	long resets;
	int ret;

	guard(mutex)(&cdq->cdqs->lock);

	nvmevf_mmc_live(cdq->mmc, &resets);
	ret = nvmevf_cdq_exec(cdq, &op, NVME_LM_FEAT_CDQ_LEN, NULL,
			      NVMEVF_EXEC_BRIEF | NVMEVF_EXEC_AGAIN);
	if (!ret)
		WRITE_ONCE(cdq->resets, resets);
	if (ret == NVME_SC_CDQ_INVALID)
		WRITE_ONCE(cdq->lost, true);
	return ret == NVME_SC_CDQ_INVALID || ret == -ENOTCONN ? -ENOTCONN : 0;
}

/* ---- deletion ---- */

/* Returns whether the device has no such queue any more */
static bool nvmevf_cdq_try_delete_locked(struct nvmevf_cdq *cdq)
{
	struct nvme_pf_op op = { .verb = &nvme_pf_verb_cdq_delete };

	if (!nvmevf_cdq_answered(cdq))
		return false;
	if (!cdq->created && !cdq->late)
		return true;
	if (!cdq->created)
		nvmevf_cdq_take_id_locked(cdq, cdq->late_id);

	return cdq->lost || !nvmevf_cdq_cmd_locked(cdq, &op, NVMEVF_EXEC_BRIEF) || cdq->lost;
}

/**
 * nvmevf_cdq_delete - delete a queue
 * @cdq: the queue, which the caller does not touch any more
 *
 * If the device does not delete it, its memory is kept, and this is tried again.
 *
 * Context: Process; sleeps for seconds at most.
 */
void nvmevf_cdq_delete(struct nvmevf_cdq *cdq)
{
	struct nvmevf_cdqs *cdqs = cdq->cdqs;

	guard(mutex)(&cdqs->lock);

	if (nvmevf_cdq_try_delete_locked(cdq))
		nvmevf_cdq_remove_locked(cdq);
	else
		nvmevf_cdq_orphan_locked(cdq);
}

static void nvmevf_cdqs_retry_locked(struct nvmevf_cdqs *cdqs)
{
	struct nvmevf_cdq *cdq, *next;

	list_for_each_entry_safe(cdq, next, &cdqs->all, node) {
		if (!cdq->orphan || !nvmevf_cdq_try_delete_locked(cdq))
			continue;
		dev_info(cdqs->log, "the queue of controller %u is deleted\n", cdq->cntlid);
		nvmevf_cdq_remove_locked(cdq);
	}
}

static bool nvmevf_cdqs_has_orphan(const struct nvmevf_cdqs *cdqs)
{
	const struct nvmevf_cdq *cdq;

	list_for_each_entry(cdq, &cdqs->all, node)
		if (cdq->orphan)
			return true;

	return false;
}

static void nvmevf_cdqs_retry(struct work_struct *work)
{
	struct nvmevf_cdqs *cdqs = container_of(work, struct nvmevf_cdqs, retry.work);

	guard(mutex)(&cdqs->lock);

	nvmevf_cdqs_retry_locked(cdqs);
	if (nvmevf_cdqs_has_orphan(cdqs))
		queue_delayed_work(system_long_wq, &cdqs->retry,
				   msecs_to_jiffies(NVMEVF_CDQ_RETRY_MS));
}

/**
 * nvmevf_cdqs_init - begin to manage the queues of an MMC
 * @cdqs: the queues; the caller sets @log before it creates one
 * @mmc: any handle to the MMC
 * @max: number of queues that the MMC can have
 *
 * Context: Process, probe of a function that has this MMC.
 * Return: 0 or -ENOMEM.
 */
int nvmevf_cdqs_init(struct nvmevf_cdqs *cdqs, const struct nvmevf_mmc *mmc, unsigned int max)
{
	/* no command is sent by this handle */
	cdqs->mmc = nvmevf_mmc_get_log(mmc, 0);
	if (!cdqs->mmc)
		return -ENOMEM;

	cdqs->max = max;
	mutex_init(&cdqs->lock);
	INIT_LIST_HEAD(&cdqs->all);
	INIT_DELAYED_WORK(&cdqs->retry, nvmevf_cdqs_retry);
	return 0;
}

/**
 * nvmevf_cdqs_exit - undo nvmevf_cdqs_init()
 * @cdqs: the queues; nvmevf_cdq_delete() was called for each
 *
 * Memory that the device may still write to is lost for this host until it boots.
 *
 * Context: Process, a function that has this MMC is linked to it; sleeps.
 */
void nvmevf_cdqs_exit(struct nvmevf_cdqs *cdqs)
{
	struct nvmevf_cdq *cdq, *next;

	cancel_delayed_work_sync(&cdqs->retry);
	scoped_guard(mutex, &cdqs->lock)
		nvmevf_cdqs_retry_locked(cdqs);

	list_for_each_entry_safe(cdq, next, &cdqs->all, node) {
		dev_err(cdqs->log, "the queue of controller %u was not deleted: its memory is never freed\n",
			cdq->cntlid);
		list_del(&cdq->node);
		nvmevf_cdq_free(cdq);
	}

	mutex_destroy(&cdqs->lock);
	nvmevf_mmc_put(cdqs->mmc);
}
