// SPDX-License-Identifier: GPL-2.0-only
/*
 * Admin commands to a PF for the driver of one of its VFs.
 *
 * Everything that needs nvme's private structures. A kernel tree has this in nvme. The
 * PF stays bound to nvme; its controller is found as the child of class "nvme", and
 * commands go out as passthrough requests on its admin queue.
 */

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/cleanup.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>

#include "host/nvme.h"

#include "nvme_pf.h"

/* After this time nvme resets the PF, as the last resort */
#define NVME_PF_TIMEOUT		(30 * 60 * HZ)
#define NVME_PF_NO_TIMEOUT	((unsigned int)INT_MAX)

static int nvme_pf_match(struct device *dev, NVMEVF_MATCH_DATA data)
{
	return dev->class && !strcmp(dev->class->name, "nvme");
}

/* nvme frees the controller; its code stays for a grace period after a controller was live */
static bool nvme_pf_pin(struct nvme_ctrl *ctrl)
{
	guard(rcu)();
	return nvme_ctrl_state(ctrl) == NVME_CTRL_LIVE && try_module_get(ctrl->ops->module);
}

/**
 * nvme_pf_get - find the controller of a PF
 * @pf: the physical function
 *
 * The reference pins the controller and the module, but does not keep the PF bound:
 * without nvme_pf_link() commands may fail at any time.
 *
 * Context: Process; sleeps.
 * Return: the controller, or an ERR_PTR: -ENODEV if the PF is not bound to
 * nvme, -EAGAIN if its controller is not live, -ENOEXEC if the module was built
 * for another kernel.
 */
struct nvme_ctrl *nvme_pf_get(struct pci_dev *pf)
{
	struct nvme_ctrl *ctrl;
	struct device *dev;
	int err;

	KUNIT_STATIC_STUB_REDIRECT(nvme_pf_get, pf);

	dev = device_find_child(&pf->dev, NULL, nvme_pf_match);
	if (!dev)
		return ERR_PTR(-ENODEV);

	ctrl = dev_get_drvdata(dev);
	err = -ENOEXEC;
	if (!nvmevf_layout_fits(pf, dev))
		goto err_put;

	err = -EAGAIN;
	if (!nvme_pf_pin(ctrl))
		goto err_put;

	err = -ENODEV;
	if (!blk_get_queue(ctrl->admin_q))
		goto err_unpin;

	return ctrl;

err_unpin:
	module_put(ctrl->ops->module);
err_put:
	put_device(dev);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_IF_KUNIT(nvme_pf_get);

/**
 * nvme_pf_why_not - say what an error of nvme_pf_get() means
 * @err: the error
 *
 * Return: a text for the log.
 */
const char *nvme_pf_why_not(long err)
{
	switch (err) {
	case -ENODEV:
		return "PF is not bound to nvme";
	case -EAGAIN:
		return "PF's controller is not live";
	case -ENOEXEC:
		return "module was built for another kernel";
	default:
		return "out of memory";
	}
}

/**
 * nvme_pf_put - release a controller from nvme_pf_get()
 * @ctrl: the controller; all commands have been answered
 *
 * Context: Process; sleeps.
 */
void nvme_pf_put(struct nvme_ctrl *ctrl)
{
	struct module *module;

	KUNIT_STATIC_STUB_REDIRECT(nvme_pf_put, ctrl);

	module = ctrl->ops->module;
	blk_put_queue(ctrl->admin_q);
	nvme_put_ctrl(ctrl);
	module_put(module);
}
EXPORT_SYMBOL_IF_KUNIT(nvme_pf_put);

/**
 * nvme_pf_link - link the VF to its PF
 * @vf: the virtual function, or another function that the PF migrates
 * @pf: the PF
 *
 * From here on the driver core unbinds the VF before the PF.
 *
 * Context: Process, probe of the VF; sleeps.
 * Return: 0; -EPROBE_DEFER if the PF is being unbound; -ENOEXEC if the module was
 * built against another nvme module.
 */
int nvme_pf_link(struct pci_dev *vf, struct pci_dev *pf)
{
	struct device_link *link;

	/* a managed link cannot be deleted by hand: a failed probe deletes it */
	link = device_link_add(&vf->dev, &pf->dev, DL_FLAG_AUTOREMOVE_CONSUMER);
	if (!link || link->status != DL_STATE_CONSUMER_PROBE)
		return -EPROBE_DEFER;

	return nvmevf_same_nvme(vf, pf);
}

static enum rq_end_io_ret nvme_pf_end_io(NVMEVF_END_IO_ARGS)
{
	struct nvme_pf_cmd *cmd = rq->end_io_data;

	/* the module that owns done() waits for a grace period before it goes away */
	guard(rcu)();

	cmd->status = nvme_req(rq)->status;
	cmd->cancelled = nvme_req(rq)->flags & NVME_REQ_CANCELLED;
	cmd->err = err;
	cmd->result = nvme_req(rq)->result;
	if (cmd->limit)
		atomic_inc(cmd->limit);
	return cmd->done(cmd) ? RQ_END_IO_NONE : RQ_END_IO_FREE;
}

/* NVME_CTRL_RESETTING may also mean a firmware activation, which resets nothing */
static int nvme_pf_ready(struct nvme_ctrl *ctrl)
{
	switch (nvme_ctrl_state(ctrl)) {
	case NVME_CTRL_LIVE:
		return 0;
	case NVME_CTRL_NEW:
	case NVME_CTRL_RESETTING:
	case NVME_CTRL_CONNECTING:
		return -EAGAIN;
	default:
		return -ENOTCONN;
	}
}

static int nvme_pf_map(struct request *rq, const struct nvme_pf_cmd *cmd)
{
	return cmd->len ? blk_rq_map_kern(rq, cmd->buf, cmd->len, GFP_KERNEL) : 0;
}

/* Returns as nvme_pf_submit() does */
static int nvme_pf_send(struct nvme_ctrl *ctrl, struct nvme_pf_cmd *cmd, struct nvme_command *c,
			unsigned int timeout)
{
	struct request *rq;
	int ret;

	ret = nvme_pf_ready(ctrl);
	if (ret)
		return ret;

	rq = blk_mq_alloc_request(ctrl->admin_q, nvme_req_op(c), BLK_MQ_REQ_NOWAIT);
	if (IS_ERR(rq))
		return PTR_ERR(rq) == -EAGAIN ? -EAGAIN : -ENOTCONN;

	cmd->rq = rq;
	c->common.command_id = NVME_PF_NO_CID;
	nvme_init_request(rq, c);
	/* fail instead of running in the middle of a reset of the PF */
	nvme_req(rq)->flags |= NVME_REQ_USERCMD;
	rq->timeout = timeout;
	ret = nvme_pf_map(rq, cmd);
	if (ret) {
		blk_mq_free_request(rq);
		return ret;
	}

	rq->end_io = nvme_pf_end_io;
	rq->end_io_data = cmd;
	blk_execute_rq_nowait(rq, false);
	return 0;
}

/**
 * nvme_pf_submit - send a command on the admin queue of a PF
 * @ctrl: the controller
 * @cmd: the command, which belongs to nvme until done() is called
 *
 * If the PF is reset meanwhile, the command fails; it is never sent again. A command
 * that the device does not answer makes nvme reset the PF after half an hour, unless
 * a guest decides how long it takes.
 *
 * Context: Process; sleeps, but waits neither for a tag nor for the controller.
 * Return: 0, and done() will be called or has already been called; -EAGAIN if no tag
 * is free, or the controller is not live but may become live; -ENOTCONN if it is gone;
 * another negative errno if the data cannot be mapped.
 */
int nvme_pf_submit(struct nvme_ctrl *ctrl, struct nvme_pf_cmd *cmd)
{
	struct nvme_command c;

	KUNIT_STATIC_STUB_REDIRECT(nvme_pf_submit, ctrl, cmd);

	nvme_pf_encode(&c, cmd->vf, &cmd->op, cmd->len);
	return nvme_pf_send(ctrl, cmd, &c, cmd->op.verb->guest_paced ? NVME_PF_NO_TIMEOUT :
								       NVME_PF_TIMEOUT);
}
EXPORT_SYMBOL_IF_KUNIT(nvme_pf_submit);

/**
 * nvme_pf_cid - get the command identifier of a command in flight
 * @cmd: the command; the caller keeps done() from being called
 *
 * Context: Any.
 * Return: the CID, or NVME_PF_NO_CID if nvme has not passed the command on yet.
 */
u16 nvme_pf_cid(const struct nvme_pf_cmd *cmd)
{
	KUNIT_STATIC_STUB_REDIRECT(nvme_pf_cid, cmd);

	return READ_ONCE(nvme_req(cmd->rq)->cmd->common.command_id);
}
EXPORT_SYMBOL_IF_KUNIT(nvme_pf_cid);

/**
 * nvme_pf_free_request - free the request of a command whose done() returned true
 * @rq: the request, or NULL
 *
 * Context: Any.
 */
void nvme_pf_free_request(struct request *rq)
{
	if (rq)
		blk_mq_free_request(rq);
}

static bool nvme_pf_get_abort(struct nvme_ctrl *ctrl, bool leave_one)
{
	if (atomic_dec_return(&ctrl->abort_limit) >= leave_one)
		return true;

	atomic_inc(&ctrl->abort_limit);
	return false;
}

/**
 * nvme_pf_abort - send an Abort for a command on the admin queue of a PF
 * @ctrl: the controller
 * @cid: the CID of the command, from nvme_pf_cid()
 * @cmd: the Abort; only @done is set
 * @leave_one: leave one to nvme, which otherwise cannot end what has timed out
 *
 * nvme limits the number of Aborts in flight to what the device takes.
 *
 * Context: Process; sleeps, but waits neither for a tag nor for the controller.
 * Return: as nvme_pf_submit(); -EAGAIN, too, if the limit is reached or the command is
 * not on its way yet.
 */
int nvme_pf_abort(struct nvme_ctrl *ctrl, u16 cid, struct nvme_pf_cmd *cmd, bool leave_one)
{
	struct nvme_command c = {
		.abort.opcode = nvme_admin_abort_cmd,
		.abort.cid = cid,
	};
	int ret;

	KUNIT_STATIC_STUB_REDIRECT(nvme_pf_abort, ctrl, cid, cmd, leave_one);

	if (cid == NVME_PF_NO_CID)
		return -EAGAIN;
	if (!nvme_pf_get_abort(ctrl, leave_one))
		return -EAGAIN;

	cmd->limit = &ctrl->abort_limit;
	ret = nvme_pf_send(ctrl, cmd, &c, NVME_PF_TIMEOUT);
	if (ret)
		atomic_inc(&ctrl->abort_limit);
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(nvme_pf_abort);

/**
 * nvme_pf_tags - get the number of commands that the admin queue can hold
 * @ctrl: the controller
 *
 * Return: the number, without those that nvme keeps for itself.
 */
unsigned int nvme_pf_tags(const struct nvme_ctrl *ctrl)
{
	const struct blk_mq_tag_set *set;

	KUNIT_STATIC_STUB_REDIRECT(nvme_pf_tags, ctrl);

	set = ctrl->admin_q->tag_set;
	return set->queue_depth - set->reserved_tags;
}
EXPORT_SYMBOL_IF_KUNIT(nvme_pf_tags);

/**
 * nvme_pf_max_xfer - get the largest transfer of one command
 * @ctrl: the controller
 *
 * Return: bytes, a multiple of the page size.
 */
size_t nvme_pf_max_xfer(const struct nvme_ctrl *ctrl)
{
	size_t sectors, segments;

	KUNIT_STATIC_STUB_REDIRECT(nvme_pf_max_xfer, ctrl);

	sectors = (size_t)queue_max_hw_sectors(ctrl->admin_q) << SECTOR_SHIFT;
	/* each page of a buffer may be a segment of its own */
	segments = (size_t)queue_max_segments(ctrl->admin_q) * PAGE_SIZE;
	return ALIGN_DOWN(min(sectors, segments), PAGE_SIZE);
}
EXPORT_SYMBOL_IF_KUNIT(nvme_pf_max_xfer);

/**
 * nvme_pf_cntlid - get the PF's own controller id
 * @ctrl: the controller
 *
 * Return: the controller id that nvme read from the PF.
 */
u16 nvme_pf_cntlid(const struct nvme_ctrl *ctrl)
{
	return ctrl->cntlid;
}

/**
 * nvme_pf_live - check whether the PF's controller works, and how often it was reset
 * @ctrl: the controller
 * @resets: set to the number of its resets; -1 if nvme does not count them
 *
 * Context: Any; the caller holds the link of nvme_pf_link().
 * Return: whether the controller is live.
 */
bool nvme_pf_live(struct nvme_ctrl *ctrl, long *resets)
{
	*resets = nvmevf_ctrl_resets(ctrl);
	return nvme_ctrl_state(ctrl) == NVME_CTRL_LIVE;
}

/**
 * nvme_pf_vf_init - begin to describe a VF
 * @vf: the description; its controller id is still to be found out
 * @pdev: the VF, or another function that a PF migrates
 */
void nvme_pf_vf_init(struct nvme_pf_vf *vf, struct pci_dev *pdev)
{
	*vf = (struct nvme_pf_vf) {
		.vfn = pdev->is_virtfn ? pci_iov_vf_id(pdev) + 1 : 0,
	};
}
