// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands that suspend, save, load and resume a VF, and track the memory that it
 * writes: NVMe host managed live migration (TP4159).
 *
 * The format indexes, offsets and lengths of a command come from the driver; nothing
 * that a user writes becomes a field of a command.
 */

#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include "buf.h"
#include "exec.h"
#include "lm.h"
#include "mmc.h"
#include "nvme_pf.h"
#include "stats.h"
#include "tp4159.h"
#include "track.h"
#include "wire.h"

static bool io_queues_only;
module_param(io_queues_only, bool, 0644);
MODULE_PARM_DESC(io_queues_only,
		 "Allow migration of devices whose state has I/O queues only; for VMMs that keep the admin queue to themselves (default: off)");

/* Only a hint: a device without support may refuse it */
static int nvmevf_tp_notify(struct nvmevf_lm *lm, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_suspend_notification };
	int ret;

	ret = nvmevf_exec(lm, &op, NULL, 0, NULL, NVMEVF_LIMIT_DATA, flags | NVMEVF_EXEC_AGAIN);
	if (ret > 0) {
		pci_dbg(lm->vf, "Suspend Notification: NVMe status %#x\n", ret);
		return 0;
	}

	return ret;
}

static int nvmevf_tp_suspend(struct nvmevf_lm *lm, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_suspend };

	return nvmevf_cmd(lm, &op, NULL, 0, NULL, NVMEVF_LIMIT_SUSPEND,
			  flags | NVMEVF_EXEC_SUSPEND | NVMEVF_EXEC_AGAIN);
}

static int nvmevf_tp_resume(struct nvmevf_lm *lm, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_resume };

	return nvmevf_cmd(lm, &op, NULL, 0, NULL, NVMEVF_LIMIT_DATA,
			  flags | NVMEVF_EXEC_AGAIN | NVMEVF_EXEC_RESUME);
}

/* @offset: offset in the state to begin at; 0 is its header */
static struct nvme_pf_op nvmevf_tp_get_op(const struct nvmevf_lm *lm, u64 offset)
{
	return (struct nvme_pf_op) {
		.verb = &nvme_pf_verb_get_state,
		.csvi = lm->csvi,
		.csuuidi = lm->csuuidi,
		.offset = offset,
	};
}

static struct nvme_pf_op nvmevf_tp_set_op(const struct nvmevf_lm *lm, u64 offset, bool last)
{
	return (struct nvme_pf_op) {
		.verb = &nvme_pf_verb_set_state,
		.csvi = lm->csvi,
		.csuuidi = lm->load_csuuidi,
		.last = last,
		.offset = offset,
	};
}

static int nvmevf_tp_get(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset, size_t len,
			 bool *csup, unsigned int flags)
{
	const struct nvme_pf_op op = nvmevf_tp_get_op(lm, offset);
	u32 dw0;
	int ret;

	ret = nvmevf_cmd(lm, &op, buf, len, &dw0, NVMEVF_LIMIT_DATA,
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
	const struct nvme_pf_op op = nvmevf_tp_get_op(lm, 0);
	const struct nvme_lm_state_header *hdr;
	struct nvmevf_buf *buf;
	int ret;

	buf = nvmevf_buf_alloc(sizeof(*hdr));
	if (!buf)
		return -ENOMEM;

	hdr = buf->data;
	ret = nvmevf_exec(lm, &op, buf, buf->len, NULL, NVMEVF_LIMIT_DATA,
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
	const struct nvme_pf_op op = nvmevf_tp_get_op(lm, offset);

	/* what has arrived already need not wait for this one */
	return nvmevf_begin_ahead(lm, &op, buf, len, false, flags);
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
	if (WARN_ON_ONCE(ahead->buf != buf || ahead->op.offset != offset || ahead->len != len))
		return -EIO;

	ret = nvmevf_end_ahead(lm);
	if (ret == -ENOTCONN)
		return nvmevf_tp_check(lm, flags) ?:
		       nvmevf_tp_get(lm, buf, offset, len, csup, flags);
	if (ret)
		return nvmevf_cmd_error(lm, &ahead->op, ret);

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
	const struct nvme_pf_op op = nvmevf_tp_set_op(lm, offset, false);
	int ret;

	ret = nvmevf_begin_ahead(lm, &op, buf, len, true, flags | NVMEVF_EXEC_LOAD);
	return ret ? nvmevf_cmd_error(lm, &op, ret) : 0;
}

static int nvmevf_tp_write_end(struct nvmevf_lm *lm)
{
	int ret = lm->ahead.buf ? nvmevf_end_ahead(lm) : 0;

	return ret ? nvmevf_cmd_error(lm, &lm->ahead.op, ret) : 0;
}

static int nvmevf_tp_write_state(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset,
				 size_t len, unsigned int flags)
{
	const struct nvme_pf_op op = nvmevf_tp_set_op(lm, offset, true);

	return nvmevf_cmd(lm, &op, buf, len, NULL, NVMEVF_LIMIT_DATA,
			  flags | NVMEVF_EXEC_LOAD);
}

/*
 * Silent: if a device cannot track the ranges, the caller asks for others, and it is
 * not always known whether a VF is tracked at all.
 */
static int nvmevf_tp_track(struct nvmevf_lm *lm, const struct nvme_pf_op *op,
			   struct nvmevf_buf *buf, size_t len, struct nvmevf_track_hints *hints,
			   enum nvmevf_limit limit, unsigned int flags)
{
	union nvme_result result = {};
	int ret;

	ret = nvmevf_exec(lm, op, buf, len, &result, limit, flags);
	if (!ret)
		return 0;

	if (hints) {
		hints->mrtg = le32_to_cpu(result.u32);
		hints->ranges = upper_32_bits(le64_to_cpu(result.u64));
	}

	pci_dbg(lm->vf, "opcode %#x: NVMe status or errno %d\n", op->verb->opcode, ret);
	return ret > 0 ? nvmevf_status_to_errno(ret) : ret;
}

static int nvmevf_tp_track_start(struct nvmevf_lm *lm, struct nvmevf_buf *buf, size_t len,
				 struct nvmevf_track_hints *hints, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_track_start };

	return nvmevf_tp_track(lm, &op, buf, ALIGN(len, sizeof(__le32)), hints, NVMEVF_LIMIT_DATA,
			       flags);
}

static int nvmevf_tp_track_stop(struct nvmevf_lm *lm, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_track_stop };

	return nvmevf_tp_track(lm, &op, NULL, 0, NULL, NVMEVF_LIMIT_IDENTIFY,
			       flags | NVMEVF_EXEC_AGAIN);
}

static int nvmevf_tp_track_read(struct nvmevf_lm *lm, struct nvmevf_buf *buf, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_track_read };

	/* bytes that a device leaves unwritten must not look like an answer */
	memset(buf->data, 0xff, buf->len);
	return nvmevf_tp_track(lm, &op, buf, buf->len, NULL, NVMEVF_LIMIT_DATA, flags);
}

/*
 * Ask without the vendor specific part, which may be long. A device may refuse that if
 * it needs this part for completions that wait for a full queue.
 */
static int nvmevf_tp_get_queues(struct nvmevf_lm *lm, struct nvmevf_buf *buf, size_t len,
				unsigned int flags)
{
	struct nvme_pf_op op = nvmevf_tp_get_op(lm, 0), whole = op;
	int ret;

	/* bytes that a device leaves unwritten must not look like queues */
	memset(buf->data, 0xff, len);
	op.csuuidi = 0;
	ret = nvmevf_tp_track(lm, &op, buf, len, NULL, NVMEVF_LIMIT_DATA, flags);
	if (ret && ret != -ENOTCONN && lm->csuuidi)
		ret = nvmevf_tp_track(lm, &whole, buf, len, NULL, NVMEVF_LIMIT_DATA, flags);
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
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_list_formats };
	int ret;

	lm->why_not = "cannot read the list of state formats";
	ret = nvmevf_ask(lm, &op, buf, 0);
	if (ret)
		return ret;

	lm->why_not = "list of state formats exceeds its 4096 bytes";
	return nvmevf_parse_formats(lm, buf->data);
}

static int nvmevf_tp_probe(struct nvmevf_lm *lm)
{
	struct nvmevf_buf *buf;
	int ret;

	buf = nvmevf_buf_alloc(NVME_IDENTIFY_DATA_SIZE);
	if (!buf)
		return -ENOMEM;

	nvmevf_mmc_set_undo(lm->mmc, &nvme_pf_verb_resume);
	ret = nvmevf_tp_read_formats(lm, buf);
	nvmevf_buf_put(buf);

	return ret ?: nvmevf_tp_choose_format(lm);
}

static bool nvmevf_tp_announced(struct pci_dev *vf, const struct nvme_id_ctrl *id)
{
	return nvmevf_has_hmlms(id);
}

const struct nvmevf_lm_ops nvmevf_tp_ops = {
	.cmdset		= NVME_LM_CMDSET_TP4159,
	.name		= "TP4159",
	.announced	= nvmevf_tp_announced,
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
