// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands that suspend, save, load and resume a VF: NVMe host managed live
 * migration (TP4159) and the vendor specific set proposed in 2022.
 *
 * The controller id, format indexes, offsets and lengths of a command come from the
 * driver; nothing that a user writes becomes a field of a command.
 */

#include <linux/cleanup.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/pci_ids.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "buf.h"
#include "cmds.h"
#include "ident.h"
#include "lm.h"
#include "match.h"
#include "mmc.h"
#include "nvme_lm_vs.h"
#include "stats.h"
#include "trace.h"
#include "track.h"
#include "wire.h"

static bool io_queues_only;
module_param(io_queues_only, bool, 0644);
MODULE_PARM_DESC(io_queues_only,
		 "Allow migration of devices whose state has I/O queues only; for VMMs that keep the admin queue to themselves (default: off)");

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

static void nvmevf_note_sent(struct nvmevf_lm *lm, const struct nvme_command *cmd, ktime_t start)
{
	nvmevf_note_command(&lm->stats, cmd->common.opcode, start);
	nvmevf_mmc_live(lm->mmc, &lm->sent_resets);
}

static void nvmevf_note_answer(struct nvmevf_lm *lm, const struct nvme_command *cmd, size_t len,
			       int ret, ktime_t start)
{
	nvmevf_note_command(&lm->stats, 0, 0);

	nvmevf_count(&lm->stats, NVMEVF_NR_COMMANDS, 1);
	if (ret)
		nvmevf_count(&lm->stats, ret > 0 ? NVMEVF_NR_REFUSED : NVMEVF_NR_UNANSWERED, 1);
	trace_nvmevf_command(lm->vf, cmd, lm->cntlid, len, ret,
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
	nvmevf_note_answer(lm, &ahead->cmd, ahead->len, ahead->ret, ahead->start);
}

/* nvmevf_mmc_exec(), with statistics and a trace event */
static int nvmevf_exec_once(struct nvmevf_lm *lm, struct nvme_command *cmd,
			    struct nvmevf_buf *buf, size_t len, union nvme_result *result,
			    unsigned int timeout_ms, unsigned int flags)
{
	ktime_t start;
	int ret;

	nvmevf_settle_ahead(lm);
	start = ktime_get();
	nvmevf_note_sent(lm, cmd, start);
	ret = nvmevf_mmc_exec(lm->mmc, cmd, buf, len, result, timeout_ms, flags);
	nvmevf_note_answer(lm, cmd, len, ret, start);
	return ret;
}

/* If the PF was reset, it may never have got the command, and need not have lost anything: retry */
static int nvmevf_exec(struct nvmevf_lm *lm, struct nvme_command *cmd, struct nvmevf_buf *buf,
		       size_t len, union nvme_result *result, unsigned int timeout_ms,
		       unsigned int flags)
{
	int ret;

	ret = nvmevf_exec_once(lm, cmd, buf, len, result, timeout_ms, flags);
	if (ret == -ENOTCONN && (flags & NVMEVF_EXEC_AGAIN))
		ret = nvmevf_exec_once(lm, cmd, buf, len, result, timeout_ms, flags);
	return ret;
}

/* Log why the PF takes no command of this VF */
static void nvmevf_err_busy(struct nvmevf_lm *lm, const char *what)
{
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
	case NVME_LM_SC_CONTROLLER_ACTIVE:
		return ", Controller Active";
	case NVME_LM_SC_INVALID_ASSOCIATION:
		return ", Invalid Exported Association";
	case NVME_LM_SC_INVALID_CONFIG_STATE:
		return ", Invalid Exported Configuration State";
	default:
		return "";
	}
}

/* Log the error of a command and turn a status into an errno */
static int nvmevf_cmd_error(struct nvmevf_lm *lm, const char *what, int ret)
{
	int err;

	err = ret > 0 ? nvmevf_status_to_errno(ret) : ret;
	if (ret > 0)
		nvmevf_err(&lm->stats, "%s of controller %u: NVMe status %#x%s (%pe)",
			   what, lm->cntlid, ret, nvmevf_status_name(ret), ERR_PTR(err));
	else if (ret == -EBUSY)
		nvmevf_err_busy(lm, what);
	else if (ret == -EAGAIN)
		nvmevf_err(&lm->stats, "%s of controller %u: aborted, VF did not stop in time and goes on",
			   what, lm->cntlid);
	else if (ret != -ECANCELED)
		nvmevf_err(&lm->stats, "%s of controller %u: %pe", what, lm->cntlid, ERR_PTR(err));

	return err;
}

static int nvmevf_cmd(struct nvmevf_lm *lm, const char *what, struct nvme_command *cmd,
		      struct nvmevf_buf *buf, size_t len, u32 *dw0,
		      unsigned int timeout_ms, unsigned int flags)
{
	union nvme_result result;
	int ret;

	ret = nvmevf_exec(lm, cmd, buf, len, &result, timeout_ms, flags);
	if (ret)
		return nvmevf_cmd_error(lm, what, ret);

	if (dw0)
		*dw0 = le32_to_cpu(result.u32);
	return 0;
}

/*
 * Begin a transfer that nvmevf_end_ahead() or nvmevf_lm_drop_ahead() completes.
 * @wait_ms: how long to wait until it is sent, in milliseconds
 */
static int nvmevf_begin_ahead(struct nvmevf_lm *lm, const struct nvme_command *cmd,
			      struct nvmevf_buf *buf, u64 offset, size_t len,
			      unsigned int wait_ms, unsigned int flags)
{
	struct nvmevf_ahead *ahead = &lm->ahead;
	struct nvmevf_req *req;

	if (WARN_ON_ONCE(ahead->buf))
		return -EBUSY;

	ahead->start = ktime_get();
	nvmevf_note_sent(lm, cmd, ahead->start);
	req = nvmevf_mmc_send(lm->mmc, cmd, buf, len, wait_ms, data_timeout_ms, flags);
	if (IS_ERR(req)) {
		nvmevf_note_command(&lm->stats, 0, 0);
		return PTR_ERR(req);
	}

	ahead->req = req;
	ahead->buf = buf;
	kref_get(&buf->ref);
	ahead->cmd = *cmd;
	ahead->offset = offset;
	ahead->len = len;
	return 0;
}

/* Returns as nvmevf_mmc_exec() does */
static int nvmevf_end_ahead(struct nvmevf_lm *lm)
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

/* Silent: the caller knows what a failure means */
static int nvmevf_identify(struct nvmevf_lm *lm, u8 cns, u16 cntid, struct nvmevf_buf *buf,
			   unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_identify(cns, cntid);
	int ret;

	/* Identify has no length field: the device always transfers 4096 bytes */
	ret = nvmevf_exec(lm, &cmd, buf, NVME_IDENTIFY_DATA_SIZE, NULL, identify_timeout_ms,
			  flags | NVMEVF_EXEC_AGAIN);
	return ret > 0 ? nvmevf_status_to_errno(ret) : ret;
}

/* Only a hint: a device without support may refuse it */
static int nvmevf_tp_notify(struct nvmevf_lm *lm, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_suspend(lm->cntlid, NVME_LM_STYPE_NOTIFICATION);
	int ret;

	ret = nvmevf_exec(lm, &cmd, NULL, 0, NULL, data_timeout_ms, flags | NVMEVF_EXEC_AGAIN);
	if (ret > 0) {
		pci_dbg(lm->vf, "Suspend Notification: NVMe status %#x\n", ret);
		return 0;
	}

	return ret;
}

static int nvmevf_tp_suspend(struct nvmevf_lm *lm, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_suspend(lm->cntlid, NVME_LM_STYPE_SUSPEND);

	return nvmevf_cmd(lm, "Suspend", &cmd, NULL, 0, NULL, suspend_timeout_ms,
			  flags | NVMEVF_EXEC_SUSPEND | NVMEVF_EXEC_GUEST |
			  NVMEVF_EXEC_AGAIN);
}

static int nvmevf_tp_resume(struct nvmevf_lm *lm, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_resume(lm->cntlid);

	return nvmevf_cmd(lm, "Resume", &cmd, NULL, 0, NULL, data_timeout_ms,
			  flags | NVMEVF_EXEC_AGAIN | NVMEVF_EXEC_RESUME);
}

static int nvmevf_tp_get(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset, size_t len,
			 bool *csup, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_get(lm, offset, len);
	u32 dw0;
	int ret;

	ret = nvmevf_cmd(lm, "Get Controller State", &cmd, buf, len, &dw0, data_timeout_ms,
			 flags | NVMEVF_EXEC_AGAIN);
	if (!ret)
		*csup = dw0 & NVME_LM_GET_CSUP;
	return ret;
}

static int nvmevf_state_len(struct nvmevf_lm *lm, const struct nvme_lm_state_header *hdr, u64 *size)
{
	if (!nvmevf_container_len(hdr, size)) {
		nvmevf_err(&lm->stats, "controller state has an invalid header, version %u",
			   le16_to_cpu(hdr->ver));
		return -EIO;
	}

	/* a VM would continue without that part and not notice */
	if (!hdr->nvmecss[0] || (lm->csuuidi && !hdr->vss[0])) {
		nvmevf_err(&lm->stats, "controller state lacks a requested part");
		return -EIO;
	}

	return 0;
}

/* The first 48 bytes contain the size of the rest, and whether the VF is suspended */
static int nvmevf_tp_get_header(struct nvmevf_lm *lm, struct nvme_lm_state_header *hdr,
				bool *csup, unsigned int flags)
{
	struct nvmevf_buf *buf = nvmevf_buf_alloc(sizeof(*hdr));
	int ret;

	if (!buf)
		return -ENOMEM;

	ret = nvmevf_tp_get(lm, buf, 0, sizeof(*hdr), csup, flags);
	if (!ret)
		memcpy(hdr, buf->data, sizeof(*hdr));

	nvmevf_buf_put(buf);
	return ret;
}

/* For a VF that the device suspended; others need not be suspended */
static int nvmevf_tp_check_suspended(struct nvmevf_lm *lm, const struct nvme_lm_state_header *hdr,
				     bool csup)
{
	if (!lm->suspended)
		return 0;
	if (!(hdr->csattr & NVME_LM_CSATTR_SUSPENDED)) {
		nvmevf_err(&lm->stats, "controller is no longer suspended: the VF or its PF was reset");
		return -ENOTCONN;
	}

	if (!csup && !lm->csup)
		dev_warn_once(&lm->vf->dev, "device does not report CSUP: relying on CSATTR\n");

	lm->csup |= csup;
	return 0;
}

static int nvmevf_tp_state_size(struct nvmevf_lm *lm, u64 *size, unsigned int flags)
{
	struct nvme_lm_state_header hdr;
	bool csup;
	int ret;

	ret = nvmevf_tp_get_header(lm, &hdr, &csup, flags);
	if (!ret)
		ret = nvmevf_tp_check_suspended(lm, &hdr, csup);
	return ret ?: nvmevf_state_len(lm, &hdr, size);
}

static int nvmevf_tp_check(struct nvmevf_lm *lm, unsigned int flags)
{
	struct nvme_lm_state_header hdr;
	bool csup;
	int ret;

	ret = nvmevf_tp_get_header(lm, &hdr, &csup, flags);
	return ret ?: nvmevf_tp_check_suspended(lm, &hdr, csup);
}

/* Silent: a device that refuses this for a disabled VF has not suspended it */
static int nvmevf_tp_is_suspended(struct nvmevf_lm *lm, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_get(lm, 0, sizeof(struct nvme_lm_state_header));
	const struct nvme_lm_state_header *hdr;
	struct nvmevf_buf *buf;
	int ret;

	buf = nvmevf_buf_alloc(sizeof(*hdr));
	if (!buf)
		return -ENOMEM;

	hdr = buf->data;
	ret = nvmevf_exec(lm, &cmd, buf, buf->len, NULL, data_timeout_ms,
			  flags | NVMEVF_EXEC_AGAIN);
	if (!ret)
		ret = hdr->csattr & NVME_LM_CSATTR_SUSPENDED;
	else if (ret > 0)
		ret = 0;

	nvmevf_buf_put(buf);
	return ret;
}

/* Read @len bytes from the beginning, or all if that is less; the header has the real size */
static int nvmevf_tp_read_first(struct nvmevf_lm *lm, struct nvmevf_buf *buf, size_t len,
				u64 *size, unsigned int flags)
{
	bool csup;
	int ret;

	ret = nvmevf_tp_get(lm, buf, 0, len, &csup, flags);
	if (!ret)
		ret = nvmevf_tp_check_suspended(lm, buf->data, csup);
	return ret ?: nvmevf_state_len(lm, buf->data, size);
}

/*
 * While the VM waits, one command has to be enough for an ordinary state: it may ask for
 * more than there is. A state that has grown takes another one.
 */
static int nvmevf_tp_read_beginning(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 *size,
				    unsigned int flags)
{
	size_t len, want = clamp_t(u64, ALIGN(*size, SZ_4K), SZ_4K, buf->len);
	int ret, tries;

	for (tries = 0; tries < 2; tries++) {
		len = want;
		ret = nvmevf_tp_read_first(lm, buf, len, size, flags);
		want = min_t(u64, *size, buf->len);
		if (ret || len >= want)
			return ret;
	}

	nvmevf_err(&lm->stats, "save failed: size of the controller state changed");
	return -EIO;
}

static struct nvmevf_buf *nvmevf_tp_save_begin(struct nvmevf_lm *lm, u64 *size, unsigned int flags)
{
	struct nvmevf_buf *buf = nvmevf_buf_alloc(nvmevf_mmc_max_xfer(lm->mmc));
	int ret;

	if (!buf)
		return ERR_PTR(-ENOMEM);

	ret = nvmevf_tp_read_beginning(lm, buf, size, flags);
	if (ret) {
		nvmevf_buf_put(buf);
		return ERR_PTR(ret);
	}

	return buf;
}

static int nvmevf_tp_read_ahead(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset,
				size_t len, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_get(lm, offset, len);

	/* what has arrived already need not wait for this one */
	return nvmevf_begin_ahead(lm, &cmd, buf, offset, len, 0, flags);
}

/*
 * A transfer that could not be sent ahead is sent now. So is one that a reset of the PF may
 * have cut off, if the VF is still suspended: the state may be another one by now.
 */
static int nvmevf_tp_complete_get(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset,
				  size_t len, bool *csup, unsigned int flags)
{
	const struct nvmevf_ahead *ahead = &lm->ahead;
	int ret;

	if (!ahead->buf)
		return nvmevf_tp_get(lm, buf, offset, len, csup, flags);
	if (WARN_ON_ONCE(ahead->buf != buf || ahead->offset != offset || ahead->len != len))
		return -EIO;

	ret = nvmevf_end_ahead(lm);
	if (ret == -ENOTCONN)
		return nvmevf_tp_check(lm, flags) ?:
		       nvmevf_tp_get(lm, buf, offset, len, csup, flags);
	if (ret)
		return nvmevf_cmd_error(lm, "Get Controller State", ret);

	*csup = ahead->dw0 & NVME_LM_GET_CSUP;
	return 0;
}

static int nvmevf_tp_read_state(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset,
				size_t len, unsigned int flags)
{
	bool csup;
	int ret;

	ret = nvmevf_tp_complete_get(lm, buf, offset, len, &csup, flags);
	if (ret)
		return ret;

	if (lm->suspended && lm->csup && !csup) {
		nvmevf_err(&lm->stats, "controller is no longer suspended at offset %llu", offset);
		return -ENOTCONN;
	}

	return 0;
}

static int nvmevf_tp_write_ahead(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset,
				 size_t len, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_set(lm, offset, len, false);
	int ret;

	ret = nvmevf_begin_ahead(lm, &cmd, buf, offset, len, data_timeout_ms,
				 flags | NVMEVF_EXEC_LOAD);
	return ret ? nvmevf_cmd_error(lm, "Set Controller State", ret) : 0;
}

static int nvmevf_tp_write_end(struct nvmevf_lm *lm)
{
	int ret = lm->ahead.buf ? nvmevf_end_ahead(lm) : 0;

	return ret ? nvmevf_cmd_error(lm, "Set Controller State", ret) : 0;
}

static int nvmevf_tp_write_state(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset,
				 size_t len, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_set(lm, offset, len, true);

	return nvmevf_cmd(lm, "Set Controller State", &cmd, buf, len, NULL, data_timeout_ms,
			  flags | NVMEVF_EXEC_LOAD);
}

/*
 * Silent: if a device cannot track the ranges, the caller asks for others, and it is
 * not always known whether a VF is tracked at all.
 */
static int nvmevf_tp_track(struct nvmevf_lm *lm, struct nvme_command *cmd, struct nvmevf_buf *buf,
			   size_t len, struct nvmevf_track_hints *hints, unsigned int timeout_ms,
			   unsigned int flags)
{
	union nvme_result result = {};
	int ret;

	ret = nvmevf_exec(lm, cmd, buf, len, &result, timeout_ms, flags);
	if (!ret)
		return 0;

	if (hints) {
		hints->mrtg = le32_to_cpu(result.u32);
		hints->ranges = upper_32_bits(le64_to_cpu(result.u64));
	}

	pci_dbg(lm->vf, "opcode %#x: NVMe status or errno %d\n", cmd->common.opcode, ret);
	return ret > 0 ? nvmevf_status_to_errno(ret) : ret;
}

static int nvmevf_tp_track_start(struct nvmevf_lm *lm, struct nvmevf_buf *buf, size_t len,
				 struct nvmevf_track_hints *hints, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_track(lm->cntlid, NVME_LM_TRACK_TACT_START);

	return nvmevf_tp_track(lm, &cmd, buf, ALIGN(len, sizeof(__le32)), hints, data_timeout_ms,
			       flags);
}

static int nvmevf_tp_track_stop(struct nvmevf_lm *lm, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_track(lm->cntlid, NVME_LM_TRACK_TACT_STOP);

	return nvmevf_tp_track(lm, &cmd, NULL, 0, NULL, identify_timeout_ms,
			       flags | NVMEVF_EXEC_AGAIN);
}

static int nvmevf_tp_track_read(struct nvmevf_lm *lm, struct nvmevf_buf *buf, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_changes(lm->cntlid, buf->len);

	/* bytes that a device leaves unwritten must not look like an answer */
	memset(buf->data, 0xff, buf->len);
	return nvmevf_tp_track(lm, &cmd, buf, buf->len, NULL, data_timeout_ms, flags);
}

/*
 * Ask without the vendor specific part, which may be long. A device may refuse that if
 * it needs this part for completions that wait for a full queue.
 */
static int nvmevf_tp_get_queues(struct nvmevf_lm *lm, struct nvmevf_buf *buf, size_t len,
				unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_get(lm, 0, len), whole = cmd;
	int ret;

	/* bytes that a device leaves unwritten must not look like queues */
	memset(buf->data, 0xff, len);
	cmd.common.cdw11 = cpu_to_le32(lm->cntlid);
	ret = nvmevf_tp_track(lm, &cmd, buf, len, NULL, data_timeout_ms, flags);
	if (ret && ret != -ENOTCONN && lm->csuuidi)
		ret = nvmevf_tp_track(lm, &whole, buf, len, NULL, data_timeout_ms, flags);
	return ret;
}

/*
 * Most VFs have so few queues that the second command is not needed. A running VF may
 * have more queues by the second command: what was not read must not be parsed.
 */
static int nvmevf_tp_read_queues(struct nvmevf_lm *lm, struct nvmevf_buf *buf, unsigned int flags)
{
	const struct nvme_lm_state_header *hdr = buf->data;
	size_t len = min_t(size_t, buf->len, SZ_4K);
	unsigned int i;
	u64 total;
	int ret;

	for (i = 0; i < 2; i++) {
		ret = nvmevf_tp_get_queues(lm, buf, len, flags);
		if (ret)
			return ret;
		if (!nvmevf_container_len(hdr, &total))
			return -EPROTO;
		/* the vendor specific part follows the queues */
		total = sizeof(*hdr) + le64_to_cpu(hdr->nvmecss[0]) * sizeof(__le32);
		if (total > buf->len)
			return -EFBIG;
		if (total <= len)
			return 0;
		len = total;
	}

	return -EAGAIN;
}

static int nvmevf_tp_choose_format(struct nvmevf_lm *lm)
{
	lm->why_not = "device has no vendor state format for the admin queue (io_queues_only)";
	if (!lm->csuuidi && !io_queues_only)
		return -EOPNOTSUPP;

	lm->why_not = "device lists no known version of the controller state";
	if (!lm->csvi)
		return -EOPNOTSUPP;

	lm->hello.state_ver = cpu_to_le16(NVME_LM_STATE_VERSION);
	if (lm->csuuidi)
		export_uuid(lm->hello.uuid, &lm->uuids[lm->csuuidi - 1]);
	return 0;
}

static int nvmevf_tp_read_formats(struct nvmevf_lm *lm, struct nvmevf_buf *buf)
{
	int ret;

	lm->why_not = "cannot read the list of state formats";
	ret = nvmevf_identify(lm, NVME_LM_CNS_STATE_FORMATS, 0, buf, 0);
	if (ret)
		return ret;

	lm->why_not = "list of state formats exceeds its 4096 bytes";
	return nvmevf_parse_formats(lm, buf->data);
}

static int nvmevf_tp_probe(struct nvmevf_lm *lm)
{
	struct nvme_command resume = nvmevf_encode_resume(lm->cntlid);
	struct nvmevf_buf *buf;
	int ret;

	buf = nvmevf_buf_alloc(NVME_IDENTIFY_DATA_SIZE);
	if (!buf)
		return -ENOMEM;

	nvmevf_mmc_set_undo(lm->mmc, &resume);
	ret = nvmevf_tp_read_formats(lm, buf);
	nvmevf_buf_put(buf);

	return ret ?: nvmevf_tp_choose_format(lm);
}

static const struct nvmevf_lm_ops nvmevf_tp_ops = {
	.cmdset		= NVME_LM_CMDSET_TP4159,
	.name		= "TP4159",
	.probe		= nvmevf_tp_probe,
	.notify		= nvmevf_tp_notify,
	.suspend	= nvmevf_tp_suspend,
	.resume		= nvmevf_tp_resume,
	.state_size	= nvmevf_tp_state_size,
	.save_begin	= nvmevf_tp_save_begin,
	.read_ahead	= nvmevf_tp_read_ahead,
	.read_state	= nvmevf_tp_read_state,
	.write_ahead	= nvmevf_tp_write_ahead,
	.write_end	= nvmevf_tp_write_end,
	.write_state	= nvmevf_tp_write_state,
	.check_suspended = nvmevf_tp_check,
	.is_suspended	= nvmevf_tp_is_suspended,
	.track_start	= nvmevf_tp_track_start,
	.track_stop	= nvmevf_tp_track_stop,
	.track_read	= nvmevf_tp_track_read,
	.read_queues	= nvmevf_tp_read_queues,
};

/* Devices count VFs from 1 */
static u16 nvmevf_vfn(const struct nvmevf_lm *lm)
{
	return pci_iov_vf_id(lm->vf) + 1;
}

static int nvmevf_vs_cmd(struct nvmevf_lm *lm, const char *what, u8 opcode, u32 cdw11,
			 struct nvmevf_buf *buf, size_t len, u32 *dw0,
			 unsigned int timeout_ms, unsigned int flags)
{
	struct nvme_command cmd = nvmevf_encode_vs(opcode, nvmevf_vfn(lm), cdw11);

	/* a cut-off command is the only sign that a reset of the PF made the VF run */
	if (lm->suspended)
		flags &= ~NVMEVF_EXEC_AGAIN;
	return nvmevf_cmd(lm, what, &cmd, buf, len, dw0, timeout_ms, flags);
}

static int nvmevf_vs_suspend(struct nvmevf_lm *lm, unsigned int flags)
{
	return nvmevf_vs_cmd(lm, "SUSPEND", NVME_LM_VS_SUSPEND, 0, NULL, 0, NULL,
			     suspend_timeout_ms,
			     flags | NVMEVF_EXEC_SUSPEND | NVMEVF_EXEC_GUEST |
			  NVMEVF_EXEC_AGAIN);
}

/* This set has no status for a VF that is not suspended */
static int nvmevf_vs_resume(struct nvmevf_lm *lm, unsigned int flags)
{
	int ret;

	ret = nvmevf_vs_cmd(lm, "RESUME", NVME_LM_VS_RESUME, 0, NULL, 0, NULL, data_timeout_ms,
			    flags | NVMEVF_EXEC_AGAIN | NVMEVF_EXEC_RESUME);
	return ret == -EPROTO ? -EREMOTEIO : ret;
}

static int nvmevf_vs_state_size(struct nvmevf_lm *lm, u64 *size, unsigned int flags)
{
	u32 dw0;
	int ret;

	if (lm->saved) {
		*size = lm->saved_len;
		return 0;
	}

	ret = nvmevf_vs_cmd(lm, "QUERY_DATA_SIZE", NVME_LM_VS_QUERY_DATA_SIZE, 0, NULL, 0, &dw0,
			    data_timeout_ms, flags | NVMEVF_EXEC_AGAIN);
	if (ret)
		return ret;
	if (!dw0) {
		nvmevf_err(&lm->stats, "QUERY_DATA_SIZE: device reports a state of 0 bytes");
		return -EIO;
	}

	*size = dw0;
	return 0;
}

/*
 * SAVE_DATA returns the whole state at once and may disable the VF. The returned data
 * is then the only copy: it is kept, and serves a second save, too. The command may
 * have to drain the VF like a Suspend, and would disable a VF that was reset meanwhile.
 */
static struct nvmevf_buf *nvmevf_vs_save_begin(struct nvmevf_lm *lm, u64 *size, unsigned int flags)
{
	struct nvmevf_buf *buf;
	int ret;

	ret = nvmevf_vs_state_size(lm, size, flags);
	if (ret)
		return ERR_PTR(ret);

	if (!lm->saved) {
		if (*size > nvmevf_mmc_max_xfer(lm->mmc)) {
			nvmevf_err(&lm->stats, "state of %llu bytes exceeds one transfer of %zu bytes",
				   *size, nvmevf_mmc_max_xfer(lm->mmc));
			return ERR_PTR(-EFBIG);
		}
		/* the command has no length: a device that sends more must not hit other memory */
		buf = nvmevf_buf_alloc(PAGE_ALIGN(*size));
		if (!buf)
			return ERR_PTR(-ENOMEM);
		ret = nvmevf_vs_cmd(lm, "SAVE_DATA", NVME_LM_VS_SAVE_DATA, 0, buf,
				    ALIGN(*size, sizeof(__le32)), NULL,
				    suspend_timeout_ms,
				    flags | NVMEVF_EXEC_GUEST | NVMEVF_EXEC_LOAD);
		if (ret) {
			nvmevf_buf_put(buf);
			return ERR_PTR(ret);
		}
		lm->saved = buf;
		lm->saved_len = *size;
	}

	kref_get(&lm->saved->ref);
	return lm->saved;
}

static int nvmevf_vs_write_state(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset,
				 size_t len, unsigned int flags)
{
	if (offset)
		return -EFBIG;

	return nvmevf_vs_cmd(lm, "LOAD_DATA", NVME_LM_VS_LOAD_DATA, len, buf,
			     ALIGN(len, sizeof(__le32)), NULL,
			     data_timeout_ms, flags | NVMEVF_EXEC_LOAD);
}

static int nvmevf_vs_undo_save(struct nvmevf_lm *lm, unsigned int flags)
{
	if (!lm->saved)
		return 0;

	return nvmevf_vs_write_state(lm, lm->saved, 0, lm->saved_len, flags);
}

/* VFs for which byte 3072 of their PF is known to announce this set */
static const struct pci_device_id nvmevf_vs_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x1457) },
	{ }
};

static int nvmevf_vs_probe(struct nvmevf_lm *lm)
{
	struct nvme_command resume = nvmevf_encode_vs(NVME_LM_VS_RESUME, nvmevf_vfn(lm), 0);

	nvmevf_mmc_set_undo(lm->mmc, &resume);
	lm->hello.state_ver = cpu_to_le16(NVME_LM_STATE_VERSION_NONE);
	return 0;
}

static const struct nvmevf_lm_ops nvmevf_vs_ops = {
	.cmdset		= NVME_LM_CMDSET_VENDOR,
	.name		= "vendor set of 2022",
	.probe		= nvmevf_vs_probe,
	.suspend	= nvmevf_vs_suspend,
	.resume		= nvmevf_vs_resume,
	.state_size	= nvmevf_vs_state_size,
	.save_begin	= nvmevf_vs_save_begin,
	.write_state	= nvmevf_vs_write_state,
	.undo_save	= nvmevf_vs_undo_save,
};

static const struct nvmevf_lm_ops *nvmevf_choose_ops(struct pci_dev *vf,
						     const struct nvme_id_ctrl *id)
{
	switch (nvmevf_find_cmdset(id)) {
	case NVME_LM_CMDSET_TP4159:
		return &nvmevf_tp_ops;
	case NVME_LM_CMDSET_VENDOR:
		return pci_match_id(nvmevf_vs_ids, vf) ? &nvmevf_vs_ops : NULL;
	default:
		return NULL;
	}
}

/* If it was not this PF that answered, the queue is not its admin queue */
static bool nvmevf_is_pf(const struct nvmevf_lm *lm, const struct nvme_id_ctrl *id)
{
	const struct pci_dev *pf = pci_physfn(lm->vf);

	return nvmevf_is_identity(id, pf->vendor, pf->subsystem_vendor, nvmevf_mmc_cntlid(lm->mmc));
}

/* Base Specification 2.4: not used, but logged to tell such devices from others */
static const char *nvmevf_exports(const struct nvme_id_ctrl *id)
{
	u8 ensa = ((const u8 *)id)[NVME_LM_ID_ENSA];

	if (!(le16_to_cpu(id->oacs) & NVME_LM_OACS_EXPORTS))
		return "";

	switch (ensa & (NVME_LM_ENSA_ENSTS | NVME_LM_ENSA_ENSMS)) {
	case NVME_LM_ENSA_ENSTS | NVME_LM_ENSA_ENSMS:
		return "; exported subsystems with templates and migration";
	case NVME_LM_ENSA_ENSTS:
		return "; exported subsystems with templates";
	case NVME_LM_ENSA_ENSMS:
		return "; exported subsystems with migration";
	default:
		return "; exported subsystems";
	}
}

static int nvmevf_probe_identify(struct nvmevf_lm *lm)
{
	struct nvmevf_buf *buf = nvmevf_buf_alloc(NVME_IDENTIFY_DATA_SIZE);
	const struct nvme_id_ctrl *id;
	int ret;

	if (!buf)
		return -ENOMEM;
	id = buf->data;

	lm->why_not = "cannot identify the PF";
	ret = nvmevf_identify(lm, NVME_ID_CNS_CTRL, 0, buf, 0);
	if (ret)
		goto out;

	ret = -ENXIO;
	lm->why_not = "Identify data does not match the PF";
	if (!nvmevf_is_pf(lm, id))
		goto out;

	ret = -EOPNOTSUPP;
	lm->why_not = "PF does not support host managed live migration";
	lm->ops = nvmevf_choose_ops(lm->vf, id);
	if (!lm->ops)
		goto out;

	if (lm->ops->track_start)
		nvmevf_track_parse_limits(&lm->track, id);
	nvmevf_hello_fill(&lm->hello, id, NVME_LM_IDENT_PF);
	lm->hello.cmdset = lm->ops->cmdset;
	lm->pf_hello = lm->hello;
	lm->exports = nvmevf_exports(id);
	ret = 0;
out:
	nvmevf_buf_put(buf);
	return ret;
}

/* Find the VF in the Secondary Controller List (CNS 15h), page by page */
static int nvmevf_read_entry(struct nvmevf_lm *lm, struct nvme_lm_secondary_entry *entry,
			     unsigned int flags)
{
	struct nvmevf_buf *buf = nvmevf_buf_alloc(NVME_IDENTIFY_DATA_SIZE);
	const struct nvme_lm_secondary_entry *found;
	const struct nvme_lm_secondary_list *list;
	int ret, cntid = 0;

	if (!buf)
		return -ENOMEM;
	list = buf->data;

	do {
		ret = nvmevf_identify(lm, NVME_ID_CNS_SCNDRY_CTRL_LIST, cntid, buf, flags);
		if (ret)
			break;
		lm->listed |= list->nument;
		found = nvmevf_find_secondary(list, nvmevf_vfn(lm), nvmevf_mmc_cntlid(lm->mmc));
		if (found) {
			*entry = *found;
			break;
		}
		cntid = nvmevf_next_secondary(list, cntid);
		ret = cntid < 0 ? cntid : 0;
	} while (!ret);

	nvmevf_buf_put(buf);
	return ret;
}

static void nvmevf_store_entry(struct nvmevf_lm *lm, const struct nvme_lm_secondary_entry *entry)
{
	lm->online = entry->scs & NVME_LM_SCS_ONLINE;
	lm->hello.nvq = entry->nvq;
	lm->hello.nvi = entry->nvi;
}

/**
 * nvmevf_lm_refresh - ask again whether the VF is online, and for its resources
 * @lm: the VF
 * @flags: NVMEVF_EXEC_KILLABLE or 0
 *
 * Identify CNS 15h, Fig 331. If the PF has no such list, the VF counts as online if its
 * registers could be read when it was opened.
 *
 * Context: Process, state mutex held; sleeps.
 * Return: 0; -ENXIO if the list does not contain the VF with the controller id
 * that it had at probe; or the result of nvmevf_mmc_exec(), as an errno.
 */
int nvmevf_lm_refresh(struct nvmevf_lm *lm, unsigned int flags)
{
	struct nvme_lm_secondary_entry entry;
	int ret;

	if (!lm->listed) {
		lm->online = lm->hello.cap;
		return 0;
	}

	ret = nvmevf_read_entry(lm, &entry, flags);
	if (ret)
		return ret;
	if (le16_to_cpu(entry.scid) != lm->cntlid)
		return -ENXIO;

	nvmevf_store_entry(lm, &entry);
	return 0;
}

static int nvmevf_probe_list(struct nvmevf_lm *lm)
{
	struct nvme_lm_secondary_entry entry;
	int ret;

	lm->why_not = "PF does not list this VF as a secondary controller";
	ret = nvmevf_read_entry(lm, &entry, 0);
	if (ret)
		return ret;

	lm->cntlid = le16_to_cpu(entry.scid);
	nvmevf_store_entry(lm, &entry);
	return 0;
}

static const char *nvmevf_function_reason(int err)
{
	switch (err) {
	case -EBUSY:
		return "PF lists no secondary controllers, and this VF shares its IOMMU group";
	case -ENODEV:
		return "PF lists no secondary controllers, and this VF is offline or failed";
	case -ETIMEDOUT:
		return "PF lists no secondary controllers, and this VF does not answer in time";
	default:
		return "PF lists no secondary controllers, and this VF cannot be identified";
	}
}

/* The controller id that the VF reports is valid only within the subsystem of its PF */
static int nvmevf_take_target(struct nvmevf_lm *lm, const struct nvme_id_ctrl *id)
{
	lm->why_not = "Identify data of this VF is that of another NVM subsystem";
	if (!nvmevf_hello_is_sibling(&lm->hello, id))
		return -ENXIO;

	lm->why_not = "Identify data of this VF is that of a PF";
	if (le16_to_cpu(id->cntlid) == nvmevf_mmc_cntlid(lm->mmc) ||
	    nvmevf_find_cmdset(id) == NVME_LM_CMDSET_TP4159)
		return -ENXIO;

	lm->cntlid = le16_to_cpu(id->cntlid);
	lm->online = true;
	return 0;
}

static int nvmevf_take_function(struct nvmevf_lm *lm, const struct nvme_id_ctrl *id)
{
	int ret;

	lm->why_not = "this VF looks like a controller of an exported NVM subsystem";
	if (nvmevf_hello_is_exported(&lm->hello, id))
		return -EOPNOTSUPP;

	if (!lm->listed) {
		ret = nvmevf_take_target(lm, id);
		if (ret)
			return ret;
	}

	if (le16_to_cpu(id->cntlid) == lm->cntlid)
		nvmevf_hello_fill(&lm->hello, id, NVME_LM_IDENT_VF);
	return 0;
}

/*
 * A VF that is offline cannot be asked. If the PF lists the VF, that does not matter:
 * HELLO then contains the PF's data instead.
 */
static int nvmevf_probe_function(struct nvmevf_lm *lm)
{
	struct nvme_id_ctrl *id __free(kfree) = NULL;
	int ret;

	if (lm->listed && !lm->online)
		return 0;

	id = kzalloc_obj(*id);
	if (!id)
		return -ENOMEM;

	ret = nvmevf_function_identify(lm->vf, id, identify_timeout_ms);
	if (!ret)
		return nvmevf_take_function(lm, id);
	if (!lm->listed) {
		lm->why_not = nvmevf_function_reason(ret);
		return ret;
	}

	pci_dbg(lm->vf, "cannot be identified: %pe\n", ERR_PTR(ret));
	return 0;
}

/*
 * The list belongs to Virtualization Management, which is optional: a PF without it
 * does not know this CNS, or returns an empty list.
 */
static bool nvmevf_has_no_list(const struct nvmevf_lm *lm, int err)
{
	return !lm->listed && (err == -EINVAL || err == -EOPNOTSUPP || err == -ENXIO);
}

/* Find the controller that commands are for, and its identity */
static int nvmevf_probe_target(struct nvmevf_lm *lm)
{
	int ret;

	ret = nvmevf_probe_list(lm);
	if (ret && !nvmevf_has_no_list(lm, ret))
		return ret;

	return nvmevf_probe_function(lm);
}

static const char nvmevf_no_memory[] = "out of memory";

static const char *nvmevf_mmc_get_reason(long err)
{
	switch (err) {
	case -ENODEV:
		return "PF is not bound to nvme";
	case -EAGAIN:
		return "PF's controller is not live";
	case -ENOEXEC:
		return "module was built for another kernel";
	default:
		return nvmevf_no_memory;
	}
}

/* Nothing was asked if a command of an earlier owner of the VF is still unanswered */
static const char *nvmevf_probe_reason(const struct nvmevf_lm *lm, int err)
{
	struct nvmevf_orphan orphan;

	if (err == -ENOMEM)
		return nvmevf_no_memory;
	if (err == -EBUSY && nvmevf_mmc_orphan(lm->mmc, &orphan))
		return "device has not answered an earlier command of this VF";
	return lm->why_not;
}

/**
 * nvmevf_lm_probe - find out whether and how a VF can be migrated
 * @vf: the virtual function
 * @why_not: set to the reason if it cannot
 *
 * Context: Process, probe of @vf; sleeps.
 * Return: the VF's migration data, for nvmevf_lm_free(), or an ERR_PTR.
 */
struct nvmevf_lm *nvmevf_lm_probe(struct pci_dev *vf, const char **why_not)
{
	struct nvmevf_lm *lm;
	int ret;

	*why_not = nvmevf_no_memory;
	lm = kzalloc_obj(*lm);
	if (!lm)
		return ERR_PTR(-ENOMEM);

	nvmevf_stats_init(&lm->stats, vf);
	lm->vf = vf;
	lm->mmc = nvmevf_mmc_get(vf);
	if (IS_ERR(lm->mmc)) {
		ret = PTR_ERR(lm->mmc);
		*why_not = nvmevf_mmc_get_reason(ret);
		kfree(lm);
		return ERR_PTR(ret);
	}

	ret = nvmevf_probe_identify(lm);
	if (!ret)
		ret = nvmevf_probe_target(lm);
	if (!ret)
		ret = lm->ops->probe(lm);
	if (ret) {
		*why_not = nvmevf_probe_reason(lm, ret);
		nvmevf_lm_free(lm);
		return ERR_PTR(ret);
	}

	return lm;
}

/**
 * nvmevf_lm_free - undo nvmevf_lm_probe()
 * @lm: the migration data or NULL
 *
 * Context: Process; sleeps.
 */
void nvmevf_lm_free(struct nvmevf_lm *lm)
{
	if (!lm)
		return;

	nvmevf_mmc_put(lm->mmc);
	nvmevf_buf_put(lm->saved);
	kfree(lm->uuids);
	kfree(lm);
}
