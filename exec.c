// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands for one VF: time limits, statistics, the log, and the transfer that is under
 * way while the user does something else.
 */

#include <linux/moduleparam.h>
#include <linux/nvme.h>
#include <linux/pci.h>

#include "buf.h"
#include "exec.h"
#include "lm.h"
#include "mmc.h"
#include "stats.h"
#include "trace.h"
#include "wire.h"

static unsigned int suspend_timeout_ms = 30000;
module_param(suspend_timeout_ms, uint, 0644);
MODULE_PARM_DESC(suspend_timeout_ms,
		 "Time limit for suspending a VF, in milliseconds (default: 30000)");

static unsigned int data_timeout_ms = 30000;
module_param(data_timeout_ms, uint, 0644);
MODULE_PARM_DESC(data_timeout_ms,
		 "Time limit for a command that transfers state, resumes a VF or tracks memory, in milliseconds (default: 30000)");

static unsigned int identify_timeout_ms = 10000;
module_param(identify_timeout_ms, uint, 0644);
MODULE_PARM_DESC(identify_timeout_ms,
		 "Time limit for an Identify command, in milliseconds (default: 10000)");

/**
 * nvmevf_limit_ms - get a time limit, which the administrator may have changed
 * @limit: which one
 *
 * Return: milliseconds.
 */
unsigned int nvmevf_limit_ms(enum nvmevf_limit limit)
{
	switch (limit) {
	case NVMEVF_LIMIT_SUSPEND:
		return READ_ONCE(suspend_timeout_ms);
	case NVMEVF_LIMIT_IDENTIFY:
		return READ_ONCE(identify_timeout_ms);
	default:
		return READ_ONCE(data_timeout_ms);
	}
}

static void nvmevf_note_sent(struct nvmevf_lm *lm, const struct nvme_pf_op *op, ktime_t start)
{
	nvmevf_note_command(&lm->stats, op->verb->opcode, start);
	nvmevf_mmc_live(lm->mmc, &lm->sent_resets);
}

static void nvmevf_note_answer(struct nvmevf_lm *lm, const struct nvme_pf_op *op, size_t len,
			       int ret, ktime_t start)
{
	nvmevf_note_command(&lm->stats, 0, 0);

	nvmevf_count(&lm->stats, NVMEVF_NR_COMMANDS, 1);
	if (ret)
		nvmevf_count(&lm->stats, ret > 0 ? NVMEVF_NR_REFUSED : NVMEVF_NR_UNANSWERED, 1);
	trace_nvmevf_command(lm->vf, op, lm->cntlid, len, ret,
			     ktime_us_delta(ktime_get(), start));
}

/* Wait until the transfer that is under way, if any, is answered; its result is kept */
static void nvmevf_settle_ahead(struct nvmevf_lm *lm)
{
	struct nvmevf_ahead *ahead = &lm->ahead;
	union nvme_result result = {};

	if (!ahead->req)
		return;

	ahead->ret = nvmevf_mmc_finish(ahead->req, &result);
	ahead->req = NULL;
	ahead->dw0 = le32_to_cpu(result.u32);
	nvmevf_note_answer(lm, &ahead->op, ahead->len, ahead->ret, ahead->start);
}

/* nvmevf_mmc_exec(), with statistics and a trace event */
static int nvmevf_exec_once(struct nvmevf_lm *lm, const struct nvme_pf_op *op,
			    struct nvmevf_buf *buf, size_t len, union nvme_result *result,
			    enum nvmevf_limit limit, unsigned int flags)
{
	ktime_t start;
	int ret;

	nvmevf_settle_ahead(lm);
	start = ktime_get();
	nvmevf_note_sent(lm, op, start);
	ret = nvmevf_mmc_exec(lm->mmc, op, buf, len, result, nvmevf_limit_ms(limit), flags);
	nvmevf_note_answer(lm, op, len, ret, start);
	return ret;
}

/**
 * nvmevf_exec - send a command for a VF and wait for it, without a word in the log
 * @lm: the VF
 * @op: the verb and its arguments
 * @buf: its data or NULL
 * @len: bytes of @buf to transfer, a multiple of 4
 * @result: completion dwords 0 and 1, or NULL; set only if the device answered
 * @limit: how long it may take
 * @flags: enum nvmevf_exec_flags
 *
 * With NVMEVF_EXEC_AGAIN it is sent again if the PF was reset: it may never have got
 * the command, and need not have lost anything.
 *
 * Context: Process, probe or state mutex held; sleeps.
 * Return: as nvmevf_mmc_exec().
 */
int nvmevf_exec(struct nvmevf_lm *lm, const struct nvme_pf_op *op, struct nvmevf_buf *buf,
		size_t len, union nvme_result *result, enum nvmevf_limit limit,
		unsigned int flags)
{
	int ret;

	ret = nvmevf_exec_once(lm, op, buf, len, result, limit, flags);
	if (ret == -ENOTCONN && (flags & NVMEVF_EXEC_AGAIN))
		ret = nvmevf_exec_once(lm, op, buf, len, result, limit, flags);
	return ret;
}

/* Log why the PF takes no command of this VF */
static void nvmevf_err_busy(struct nvmevf_lm *lm, const struct nvme_pf_op *op)
{
	const char *what = op->verb->name;
	struct nvmevf_orphan orphan;
	long resets;

	if (nvmevf_mmc_orphan(lm->mmc, &orphan))
		nvmevf_err(&lm->stats, "%s of controller %u: device has not answered an earlier command, opcode %#x",
			   what, lm->cntlid, orphan.opcode);
	else if (!nvmevf_mmc_live(lm->mmc, &resets))
		nvmevf_err(&lm->stats, "%s of controller %u: controller of the PF is not live",
			   what, lm->cntlid);
	else
		nvmevf_err(&lm->stats, "%s of controller %u: PF is busy with other commands", what,
			   lm->cntlid);
}

/* Names of the status codes that few people know by number yet */
static const char *nvmevf_status_name(u16 status)
{
	switch (status) {
	case NVME_SC_CTRL_ACTIVE:
		return ", Controller Active";
	case NVME_SC_EXPORT_ASSOC_INVALID:
		return ", Invalid Exported Association";
	case NVME_SC_EXPORT_STATE_INVALID:
		return ", Invalid Exported Configuration State";
	default:
		return "";
	}
}

/**
 * nvmevf_cmd_error - log the error of a command and turn a status into an errno
 * @lm: the VF
 * @op: the command
 * @ret: what nvmevf_exec() or nvmevf_end_ahead() returned, not 0
 *
 * Context: Process.
 * Return: a negative errno.
 */
int nvmevf_cmd_error(struct nvmevf_lm *lm, const struct nvme_pf_op *op, int ret)
{
	const char *what = op->verb->name;
	int err;

	err = ret > 0 ? nvmevf_status_to_errno(ret) : ret;
	if (ret > 0)
		nvmevf_err(&lm->stats, "%s of controller %u: NVMe status %#x%s (%pe)",
			   what, lm->cntlid, ret, nvmevf_status_name(ret), ERR_PTR(err));
	else if (ret == -EBUSY)
		nvmevf_err_busy(lm, op);
	else if (ret == -EAGAIN)
		nvmevf_err(&lm->stats, "%s of controller %u: aborted, VF did not stop in time and goes on",
			   what, lm->cntlid);
	else if (ret != -ECANCELED)
		nvmevf_err(&lm->stats, "%s of controller %u: %pe", what, lm->cntlid, ERR_PTR(err));

	return err;
}

/**
 * nvmevf_cmd - send a command for a VF and wait for it; an error is logged
 * @lm: the VF
 * @op: the verb and its arguments
 * @buf: its data or NULL
 * @len: bytes of @buf to transfer, a multiple of 4
 * @dw0: dword 0 of the completion, or NULL; set only on success
 * @limit: how long it may take
 * @flags: enum nvmevf_exec_flags
 *
 * Context: Process, state mutex held; sleeps.
 * Return: 0 or a negative errno.
 */
int nvmevf_cmd(struct nvmevf_lm *lm, const struct nvme_pf_op *op, struct nvmevf_buf *buf,
	       size_t len, u32 *dw0, enum nvmevf_limit limit, unsigned int flags)
{
	union nvme_result result;
	int ret;

	ret = nvmevf_exec(lm, op, buf, len, &result, limit, flags);
	if (ret)
		return nvmevf_cmd_error(lm, op, ret);

	if (dw0)
		*dw0 = le32_to_cpu(result.u32);
	return 0;
}

/**
 * nvmevf_begin_ahead - begin a transfer of state that need not be waited for
 * @lm: the VF, without such a transfer
 * @op: the verb and its arguments
 * @buf: its data
 * @len: bytes of @buf to transfer, a multiple of 4
 * @wait: wait until it is sent, unless that is possible at once
 * @flags: enum nvmevf_exec_flags
 *
 * Context: Process, state mutex held; sleeps.
 * Return: 0, and nvmevf_end_ahead() or nvmevf_lm_drop_ahead() completes it; or what
 * nvmevf_mmc_send() returns.
 */
int nvmevf_begin_ahead(struct nvmevf_lm *lm, const struct nvme_pf_op *op, struct nvmevf_buf *buf,
		       size_t len, bool wait, unsigned int flags)
{
	unsigned int limit_ms = nvmevf_limit_ms(NVMEVF_LIMIT_DATA);
	struct nvmevf_ahead *ahead = &lm->ahead;
	struct nvmevf_req *req;

	if (WARN_ON_ONCE(ahead->buf))
		return -EBUSY;

	ahead->start = ktime_get();
	nvmevf_note_sent(lm, op, ahead->start);
	req = nvmevf_mmc_send(lm->mmc, op, buf, len, wait ? limit_ms : 0, limit_ms, flags);
	if (IS_ERR(req)) {
		nvmevf_note_command(&lm->stats, 0, 0);
		return PTR_ERR(req);
	}

	ahead->req = req;
	ahead->buf = buf;
	kref_get(&buf->ref);
	ahead->op = *op;
	ahead->len = len;
	return 0;
}

/**
 * nvmevf_end_ahead - wait until the transfer of nvmevf_begin_ahead() is answered
 * @lm: the VF
 *
 * Context: Process, state mutex held; sleeps.
 * Return: as nvmevf_mmc_exec().
 */
int nvmevf_end_ahead(struct nvmevf_lm *lm)
{
	struct nvmevf_ahead *ahead = &lm->ahead;

	nvmevf_settle_ahead(lm);
	nvmevf_buf_put(ahead->buf);
	ahead->buf = NULL;
	return ahead->ret;
}

/**
 * nvmevf_lm_drop_ahead - end the transfer that is under way, and forget it
 * @lm: the VF
 *
 * If the device does not answer it within a second, it is aborted.
 *
 * Context: Process, state mutex held; sleeps for three seconds at most.
 */
void nvmevf_lm_drop_ahead(struct nvmevf_lm *lm)
{
	if (lm->ahead.req)
		nvmevf_mmc_hurry(lm->ahead.req);
	if (lm->ahead.buf)
		nvmevf_end_ahead(lm);
}

/**
 * nvmevf_ask - ask the PF for a page of Identify data, without a word in the log
 * @lm: the VF
 * @op: the verb and its arguments
 * @buf: the data, NVME_IDENTIFY_DATA_SIZE bytes
 * @flags: NVMEVF_EXEC_KILLABLE or 0
 *
 * Context: Process, probe or state mutex held; sleeps.
 * Return: 0 or a negative errno.
 */
int nvmevf_ask(struct nvmevf_lm *lm, const struct nvme_pf_op *op, struct nvmevf_buf *buf,
	       unsigned int flags)
{
	int ret;

	ret = nvmevf_exec(lm, op, buf, NVME_IDENTIFY_DATA_SIZE, NULL, NVMEVF_LIMIT_IDENTIFY,
			  flags | NVMEVF_EXEC_AGAIN);
	return ret > 0 ? nvmevf_status_to_errno(ret) : ret;
}
