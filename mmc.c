// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of a VF to its MMC, the controller that takes migration commands: the
 * controller of the PF.
 *
 * The PF stays bound to the nvme driver, which sends the commands: nvme_pf.h.
 * This file decides who may send a command and how long to wait for it, and handles
 * late answers.
 *
 * A timeout of the block layer on the admin queue would reset the PF under every VM
 * on it. So the waits here have their own, shorter timeouts. A command that the driver
 * no longer waits for (given up) keeps its slot and its buffer until the device
 * answers, and its VF gets no other command until then.
 */

#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "buf.h"
#include "mmc.h"
#include "nvme_pf.h"
#include "wire.h"

/* Commands of this driver in flight per PF: most of its tags are left for others */
#define NVMEVF_SLOTS		4
/* A guest can make its own Suspend endless and must not starve other VFs */
#define NVMEVF_SUSPEND_SLOTS	(NVMEVF_SLOTS / 2)

/* After this time the block layer resets the PF, as the last resort */
#define NVMEVF_HARD_TIMEOUT	(30 * 60 * HZ)
#define NVMEVF_NO_TIMEOUT	((unsigned int)INT_MAX)

/* How long a reset waits for the answers to commands that it cut off */
#define NVMEVF_SETTLE_MS	1000

/* The longest wait that nobody can end */
#define NVMEVF_BRIEF_MS		1000

/* How soon sending is tried again if the admin queue has no tag or is stopped */
#define NVMEVF_RETRY_MS		10

/* How long to try to resume a VF that has another owner by now */
#define NVMEVF_UNDO_MS		30000

#define NVMEVF_MAX_XFER		((size_t)SZ_1M)

struct nvmevf_req;

/**
 * struct nvmevf_ctrl - the MMC of one PF, shared by its VFs
 * @node: in nvmevf_ctrls
 * @ref: one for each struct nvmevf_mmc
 * @rcu: a completion may still hold @lock when the last reference is dropped
 * @nvme: the controller, referenced
 * @max_xfer: bytes that one command can transfer
 * @lock: protects @slots, the state of requests, and aborting and flr_gen of
 *	  the VFs; taken in interrupts
 * @slots: commands in flight, including those that were given up
 * @wait: woken at each completion and at each change of aborting
 */
struct nvmevf_ctrl {
	struct list_head node;
	struct kref ref;
	struct rcu_head rcu;
	struct nvme_ctrl *nvme;
	size_t max_xfer;
	spinlock_t lock;	/* protects slots, and aborting and flr_gen of the VFs */
	struct nvmevf_req *slots[NVMEVF_SLOTS];
	wait_queue_head_t wait;
};

/**
 * struct nvmevf_mmc - one VF's handle to its MMC
 * @ref: one for the VF's driver, one for each command in flight
 * @ctrl: the PF's controller
 * @vf: the VF, referenced
 * @vf_id: number of the VF, counted from 0
 * @aborting: no command may be sent or waited for
 * @resetting: the VF is being reset: a command answered now may have run after it
 * @flr_gen: counts the VF's resets
 * @undo: command that resumes the VF if a Suspend succeeds after it was given up
 * @late_lock: protects @late and @priv, held during the call
 * @late: called when a given-up command succeeds; NULL: the VF has another owner
 * @priv: its argument
 */
struct nvmevf_mmc {
	struct kref ref;
	struct nvmevf_ctrl *ctrl;
	struct pci_dev *vf;
	int vf_id;
	bool aborting;
	bool resetting;
	unsigned long flr_gen;
	struct nvme_command undo;
	struct mutex late_lock;	/* protects late and priv */
	nvmevf_late_fn late;
	void *priv;
};

/**
 * struct nvmevf_req - one command in flight
 * @cmd: the command as nvme gets it, and its result
 * @mmc: the handle that sent it, referenced
 * @buf: its data, referenced, or NULL
 * @work: clean-up of a command that had been given up
 * @sent: when it was sent
 * @flr_gen: the VF's generation when it was sent
 * @flags: enum nvmevf_exec_flags
 * @err: 0, a negative errno or an NVMe status, valid when @done
 * @reset_since: the VF had been reset, or was being reset, when the device answered
 * @done: the device answered
 * @given_up: nobody waits; the completion owns this structure
 */
struct nvmevf_req {
	struct nvme_pf_cmd cmd;
	struct nvmevf_mmc *mmc;
	struct nvmevf_buf *buf;
	struct work_struct work;
	ktime_t sent;
	unsigned long flr_gen;
	unsigned int flags;
	int err;
	bool reset_since;
	bool done;
	bool given_up;
};

static LIST_HEAD(nvmevf_ctrls);
static DEFINE_MUTEX(nvmevf_ctrls_lock);	/* protects nvmevf_ctrls */

VISIBLE_IF_KUNIT struct workqueue_struct *nvmevf_wq;
EXPORT_SYMBOL_IF_KUNIT(nvmevf_wq);
static atomic_t nvmevf_nr_given_up = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(nvmevf_exit_wait);

/* wait_event_timeout(), killable if the flags say so */
#define nvmevf_wait(ctrl, condition, timeout, flags)				\
	___wait_event((ctrl)->wait, ___wait_cond_timeout(condition),		\
		      ((flags) & NVMEVF_EXEC_KILLABLE) ? TASK_KILLABLE :	\
							 TASK_UNINTERRUPTIBLE,	\
		      0, timeout, __ret = schedule_timeout(__ret))

static void nvmevf_ctrl_release(struct kref *ref)
{
	struct nvmevf_ctrl *ctrl = container_of(ref, struct nvmevf_ctrl, ref);

	list_del(&ctrl->node);
	mutex_unlock(&nvmevf_ctrls_lock);

	nvme_pf_put(ctrl->nvme);
	kfree_rcu(ctrl, rcu);
}

static void nvmevf_ctrl_put(struct nvmevf_ctrl *ctrl)
{
	kref_put_mutex(&ctrl->ref, nvmevf_ctrl_release, &nvmevf_ctrls_lock);
}

static struct nvmevf_ctrl *nvmevf_ctrl_find_locked(const struct nvme_ctrl *nvme)
{
	struct nvmevf_ctrl *ctrl;

	lockdep_assert_held(&nvmevf_ctrls_lock);

	list_for_each_entry(ctrl, &nvmevf_ctrls, node)
		if (ctrl->nvme == nvme)
			return ctrl;

	return NULL;
}

/* On success the new structure owns the reference to @nvme */
static struct nvmevf_ctrl *nvmevf_ctrl_new_locked(struct nvme_ctrl *nvme)
{
	struct nvmevf_ctrl *ctrl = kzalloc_obj(*ctrl);

	lockdep_assert_held(&nvmevf_ctrls_lock);

	if (!ctrl)
		return NULL;

	kref_init(&ctrl->ref);
	ctrl->nvme = nvme;
	ctrl->max_xfer = min(nvme_pf_max_xfer(nvme), NVMEVF_MAX_XFER);
	spin_lock_init(&ctrl->lock);
	init_waitqueue_head(&ctrl->wait);
	list_add(&ctrl->node, &nvmevf_ctrls);
	return ctrl;
}

static struct nvmevf_ctrl *nvmevf_ctrl_get(struct pci_dev *vf)
{
	struct nvme_ctrl *nvme = nvme_pf_get(vf);
	struct nvmevf_ctrl *ctrl;

	if (IS_ERR(nvme))
		return ERR_CAST(nvme);

	guard(mutex)(&nvmevf_ctrls_lock);

	ctrl = nvmevf_ctrl_find_locked(nvme);
	if (ctrl) {
		kref_get(&ctrl->ref);
		nvme_pf_put(nvme);
		return ctrl;
	}

	ctrl = nvmevf_ctrl_new_locked(nvme);
	if (!ctrl) {
		nvme_pf_put(nvme);
		return ERR_PTR(-ENOMEM);
	}

	return ctrl;
}

/**
 * nvmevf_mmc_get - find the MMC of a VF
 * @vf: the virtual function
 *
 * Without nvmevf_mmc_link() the handle is only for queries at probe: the PF
 * may go away, and commands then fail.
 *
 * Context: Process, probe of @vf; sleeps.
 * Return: the handle, or an ERR_PTR: -ENODEV if the PF is not bound to nvme,
 * -EAGAIN if its controller is not live, -ENOEXEC if the module was built for
 * another kernel, -ENOMEM.
 */
struct nvmevf_mmc *nvmevf_mmc_get(struct pci_dev *vf)
{
	struct nvmevf_ctrl *ctrl;
	struct nvmevf_mmc *mmc;

	ctrl = nvmevf_ctrl_get(vf);
	if (IS_ERR(ctrl))
		return ERR_CAST(ctrl);

	mmc = kzalloc_obj(*mmc);
	if (!mmc) {
		nvmevf_ctrl_put(ctrl);
		return ERR_PTR(-ENOMEM);
	}

	kref_init(&mmc->ref);
	mutex_init(&mmc->late_lock);
	mmc->ctrl = ctrl;
	mmc->vf = pci_dev_get(vf);
	mmc->vf_id = pci_iov_vf_id(vf);
	return mmc;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_get);

/**
 * nvmevf_mmc_link - link the VF to its PF
 * @mmc: the handle
 *
 * From here on the driver core unbinds the VF before the PF, so that the
 * handle stays valid until nvmevf_mmc_put().
 *
 * Context: Process, probe of the VF; sleeps.
 * Return: 0; -EPROBE_DEFER if the PF is being unbound; -ENOEXEC if the module was
 * built against another nvme module.
 */
int nvmevf_mmc_link(struct nvmevf_mmc *mmc)
{
	return nvme_pf_link(mmc->vf);
}

/**
 * nvmevf_mmc_set_undo - set the command that resumes a suspended VF
 * @mmc: the handle
 * @undo: the command, without data
 *
 * It is sent if a Suspend that was given up succeeds after the VF was reset and
 * unbound from its driver: the new owner of the VF does not know about it.
 *
 * Context: Process, probe of the VF.
 */
void nvmevf_mmc_set_undo(struct nvmevf_mmc *mmc, const struct nvme_command *undo)
{
	mmc->undo = *undo;
}

/**
 * nvmevf_mmc_set_late - set the function to call when a given-up command succeeds
 * @mmc: the handle
 * @late: the function
 * @priv: its argument
 *
 * Context: Process; sleeps.
 */
void nvmevf_mmc_set_late(struct nvmevf_mmc *mmc, nvmevf_late_fn late, void *priv)
{
	guard(mutex)(&mmc->late_lock);
	mmc->late = late;
	mmc->priv = priv;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_set_late);

static void nvmevf_mmc_release(struct kref *ref)
{
	struct nvmevf_mmc *mmc = container_of(ref, struct nvmevf_mmc, ref);

	nvmevf_ctrl_put(mmc->ctrl);
	pci_dev_put(mmc->vf);
	mutex_destroy(&mmc->late_lock);
	kfree(mmc);
}

/**
 * nvmevf_mmc_put - release the handle
 * @mmc: the handle; nobody may be waiting for a command
 *
 * Commands that were given up keep their resources. Their late answers are not
 * reported after this returns; a Suspend that succeeds after the VF was reset is
 * undone by the PF.
 *
 * Context: Process; sleeps.
 */
void nvmevf_mmc_put(struct nvmevf_mmc *mmc)
{
	nvmevf_mmc_set_late(mmc, NULL, NULL);
	kref_put(&mmc->ref, nvmevf_mmc_release);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_put);

static void nvmevf_req_free(struct nvmevf_req *req)
{
	nvmevf_buf_put(req->buf);
	kref_put(&req->mmc->ref, nvmevf_mmc_release);
	kfree(req);
}

static struct nvmevf_req **nvmevf_slot_of(struct nvmevf_ctrl *ctrl, const struct nvmevf_req *req)
{
	unsigned int i;

	lockdep_assert_held(&ctrl->lock);

	for (i = 0; i < NVMEVF_SLOTS; i++)
		if (ctrl->slots[i] == req)
			return &ctrl->slots[i];

	return NULL;
}

static void nvmevf_slot_release(struct nvmevf_ctrl *ctrl, const struct nvmevf_req *req)
{
	*nvmevf_slot_of(ctrl, req) = NULL;
	wake_up_all(&ctrl->wait);
}

/* A Suspend that stopped a VF after its reset: it keeps the slot until it is undone */
static bool nvmevf_is_late_suspend(const struct nvmevf_req *req)
{
	return req->given_up && req->reset_since && !req->err &&
	       (req->flags & NVMEVF_EXEC_SUSPEND);
}

/* In an RCU read-side section: for nvmevf_mmc_exit(), and for ctrl once a waiter has seen @done */
static void nvmevf_req_done(struct nvme_pf_cmd *cmd)
{
	struct nvmevf_req *req = container_of(cmd, struct nvmevf_req, cmd);
	struct nvmevf_ctrl *ctrl = req->mmc->ctrl;
	unsigned long irqflags;

	spin_lock_irqsave(&ctrl->lock, irqflags);
	req->err = nvmevf_answer_error(cmd->status, cmd->cancelled, cmd->err);
	req->reset_since = req->mmc->resetting || req->flr_gen != req->mmc->flr_gen;
	req->done = true;
	if (!nvmevf_is_late_suspend(req))
		nvmevf_slot_release(ctrl, req);
	/* last, because the work frees the request without taking this lock before */
	if (req->given_up)
		queue_work(nvmevf_wq, &req->work);
	spin_unlock_irqrestore(&ctrl->lock, irqflags);
}

static bool nvmevf_is_orphan(const struct nvmevf_req *req)
{
	return req->given_up && !req->done;
}

/* Returns 0 with a slot taken, -EAGAIN to wait for one, or an error that ends the wait */
static int nvmevf_slot_try_locked(struct nvmevf_req *req)
{
	struct nvmevf_mmc *mmc = req->mmc;
	struct nvmevf_ctrl *ctrl = mmc->ctrl;
	unsigned int suspends = 0, i;
	struct nvmevf_req **slot;

	lockdep_assert_held(&ctrl->lock);

	if (mmc->aborting)
		return -ECANCELED;

	for (i = 0; i < NVMEVF_SLOTS; i++) {
		const struct nvmevf_req *other = ctrl->slots[i];

		if (!other)
			continue;
		if (other->mmc->vf_id == mmc->vf_id)
			return nvmevf_is_orphan(other) ? -EBUSY : -EAGAIN;
		if (other->flags & NVMEVF_EXEC_SUSPEND)
			suspends++;
	}

	if ((req->flags & NVMEVF_EXEC_SUSPEND) && suspends >= NVMEVF_SUSPEND_SLOTS)
		return -EAGAIN;

	slot = nvmevf_slot_of(ctrl, NULL);
	if (!slot)
		return -EAGAIN;

	*slot = req;
	req->flr_gen = mmc->flr_gen;
	return 0;
}

static int nvmevf_slot_try(struct nvmevf_req *req)
{
	int ret;

	spin_lock_irq(&req->mmc->ctrl->lock);
	ret = nvmevf_slot_try_locked(req);
	spin_unlock_irq(&req->mmc->ctrl->lock);
	return ret;
}

static int nvmevf_slot_get(struct nvmevf_req *req, unsigned long deadline)
{
	struct nvmevf_ctrl *ctrl = req->mmc->ctrl;
	int err = -EAGAIN;
	long left;

	left = nvmevf_wait(ctrl, (err = nvmevf_slot_try(req)) != -EAGAIN,
			   max_t(long, deadline - jiffies, 1), req->flags);
	if (err != -EAGAIN)
		return err;
	return left < 0 ? -EINTR : -EBUSY;
}

static void nvmevf_slot_put(struct nvmevf_req *req)
{
	spin_lock_irq(&req->mmc->ctrl->lock);
	nvmevf_slot_release(req->mmc->ctrl, req);
	spin_unlock_irq(&req->mmc->ctrl->lock);
}

/* nvme would wait for a tag forever, and not at all for a controller that is not live */
static int nvmevf_submit(struct nvmevf_req *req, unsigned long deadline)
{
	struct nvmevf_mmc *mmc = req->mmc;
	long left;
	int ret;

	for (;;) {
		req->sent = ktime_get();
		ret = nvme_pf_submit(mmc->ctrl->nvme, &req->cmd);
		if (ret != -EAGAIN)
			return ret;
		if (time_after(jiffies, deadline))
			return -EBUSY;

		left = nvmevf_wait(mmc->ctrl, READ_ONCE(mmc->aborting),
				   msecs_to_jiffies(NVMEVF_RETRY_MS), req->flags);
		if (left > 0)
			return -ECANCELED;
		if (left < 0)
			return -EINTR;
	}
}

static int nvmevf_send(struct nvmevf_req *req, unsigned long deadline)
{
	int ret;

	ret = nvmevf_slot_get(req, deadline);
	if (ret)
		return ret;

	ret = nvmevf_submit(req, deadline);
	if (ret)
		nvmevf_slot_put(req);
	return ret;
}

/* Returns true with the answer in @req, or false if the command was given up because of @err */
static bool nvmevf_wait_done(struct nvmevf_req *req, unsigned long deadline, int *err)
{
	struct nvmevf_mmc *mmc = req->mmc;
	struct nvmevf_ctrl *ctrl = mmc->ctrl;
	bool done;
	long left;

	left = nvmevf_wait(ctrl, READ_ONCE(req->done) || READ_ONCE(mmc->aborting),
			   max_t(long, deadline - jiffies, 1), req->flags);

	*err = left > 0 ? -ECANCELED : left < 0 ? -EINTR : -ETIMEDOUT;

	spin_lock_irq(&ctrl->lock);
	done = req->done;
	if (!done) {
		req->given_up = true;
		atomic_inc(&nvmevf_nr_given_up);
	}
	spin_unlock_irq(&ctrl->lock);
	return done;
}

/* Send the handle's undo command in the slot of @req; returns false if it is given up, too */
static bool nvmevf_req_undo(struct nvmevf_req *req)
{
	int err;

	pci_info(req->mmc->vf, "a Suspend that was given up succeeded: resuming the VF\n");

	spin_lock_irq(&req->mmc->ctrl->lock);
	req->cmd.cmd = req->mmc->undo;
	req->cmd.timeout = NVMEVF_HARD_TIMEOUT;
	req->flags = 0;
	req->done = false;
	req->given_up = false;
	spin_unlock_irq(&req->mmc->ctrl->lock);

	if (!nvmevf_submit(req, jiffies + msecs_to_jiffies(NVMEVF_UNDO_MS)))
		return nvmevf_wait_done(req, jiffies + msecs_to_jiffies(NVMEVF_UNDO_MS), &err);

	nvmevf_slot_put(req);
	return true;
}

/* Returns whether the caller still owns the request */
static bool nvmevf_req_tell_late(struct nvmevf_req *req)
{
	bool late_suspend = nvmevf_is_late_suspend(req);
	struct nvmevf_mmc *mmc = req->mmc;

	guard(mutex)(&mmc->late_lock);

	if (late_suspend && !mmc->late)
		return nvmevf_req_undo(req);
	if (late_suspend)
		nvmevf_slot_put(req);
	if (!req->err && mmc->late)
		mmc->late(mmc->priv, req->flags, req->reset_since);
	else if (!req->err && req->reset_since && (req->flags & NVMEVF_EXEC_LOAD))
		pci_err(mmc->vf, "was changed after its reset: reset it again\n");
	return true;
}

/* A command that was given up has been answered: undo its effect if necessary */
static void nvmevf_req_late(struct work_struct *work)
{
	struct nvmevf_req *req = container_of(work, struct nvmevf_req, work);

	/* an answer that came during a reset is handled after the reset */
	wait_event(req->mmc->ctrl->wait, !READ_ONCE(req->mmc->aborting));

	if (nvmevf_req_tell_late(req))
		nvmevf_req_free(req);
	if (atomic_dec_and_test(&nvmevf_nr_given_up))
		wake_up(&nvmevf_exit_wait);
}

static struct nvmevf_req *nvmevf_req_new(struct nvmevf_mmc *mmc, const struct nvme_command *cmd,
					 struct nvmevf_buf *buf, size_t len, unsigned int flags)
{
	struct nvmevf_req *req = kzalloc_obj(*req);

	if (!req)
		return NULL;

	INIT_WORK(&req->work, nvmevf_req_late);
	req->cmd.cmd = *cmd;
	req->cmd.len = len;
	req->cmd.timeout = (flags & NVMEVF_EXEC_SUSPEND) ? NVMEVF_NO_TIMEOUT : NVMEVF_HARD_TIMEOUT;
	req->cmd.done = nvmevf_req_done;
	req->flags = flags;
	kref_get(&mmc->ref);
	req->mmc = mmc;
	if (buf) {
		kref_get(&buf->ref);
		req->buf = buf;
		req->cmd.buf = buf->data;
	}
	return req;
}

/**
 * nvmevf_mmc_exec - send a command on the MMC's admin queue and wait for it
 * @mmc: the handle
 * @cmd: the command; opcode and dwords as they go out, no data pointer
 * @buf: its data or NULL; a command that was given up keeps a reference
 * @len: bytes of @buf to transfer, a multiple of 4, at most nvmevf_mmc_max_xfer()
 * @result: completion dwords 0 and 1, or NULL; set only if the device answered
 * @timeout_ms: how long to wait until the command is sent, which takes a slot, a
 *	       tag and a live PF, and again for the answer; in milliseconds
 * @flags: enum nvmevf_exec_flags
 *
 * Context: Process; sleeps. One command per VF at a time: the caller
 * serialises.
 * Return: 0, or an NVMe status (SCT and SC, greater than 0), or a negative errno.
 * Not sent: -EBUSY while an earlier command of this VF is unanswered, or if the
 * PF did not take the command in time, -ENOMEM, -EINVAL. -ENOTCONN: the PF was
 * reset, which may have been before or after the command, or is gone.
 * Given up: -ETIMEDOUT, -EINTR (fatal signal), -ECANCELED
 * (nvmevf_mmc_abort_begin()); the latter two also before it was sent.
 */
int nvmevf_mmc_exec(struct nvmevf_mmc *mmc, struct nvme_command *cmd,
		    struct nvmevf_buf *buf, size_t len, union nvme_result *result,
		   unsigned int timeout_ms, unsigned int flags)
{
	struct nvmevf_req *req;
	int ret;

	if (WARN_ON_ONCE(len && (!buf || len > buf->len)))
		return -EINVAL;

	if (flags & NVMEVF_EXEC_BRIEF)
		timeout_ms = min(timeout_ms, NVMEVF_BRIEF_MS);

	req = nvmevf_req_new(mmc, cmd, buf, len, flags);
	if (!req)
		return -ENOMEM;

	ret = nvmevf_send(req, jiffies + msecs_to_jiffies(timeout_ms));
	if (ret)
		goto out_free;

	/* time spent waiting for other VFs must not count: a command cut off costs a disk */
	if (!nvmevf_wait_done(req, jiffies + msecs_to_jiffies(timeout_ms), &ret))
		return ret;

	ret = req->err;
	if (ret >= 0 && result)
		*result = req->cmd.result;

out_free:
	nvmevf_req_free(req);
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_exec);

/**
 * nvmevf_mmc_max_xfer - get the largest transfer of one command
 * @mmc: the handle
 *
 * Return: bytes, a multiple of the page size.
 */
size_t nvmevf_mmc_max_xfer(const struct nvmevf_mmc *mmc)
{
	return mmc->ctrl->max_xfer;
}

/**
 * nvmevf_mmc_cntlid - get the MMC's own controller id
 * @mmc: the handle
 *
 * Return: the controller id that the nvme driver read from the PF.
 */
u16 nvmevf_mmc_cntlid(const struct nvmevf_mmc *mmc)
{
	return nvme_pf_cntlid(mmc->ctrl->nvme);
}

/**
 * nvmevf_mmc_live - check whether the MMC works, and how often it was reset
 * @mmc: the handle
 * @resets: set to a number that changes with each reset, if the kernel
 *	    counts them (not before 7.0)
 *
 * Context: Any; the caller holds the link of nvmevf_mmc_link().
 * Return: whether the controller is live.
 */
bool nvmevf_mmc_live(const struct nvmevf_mmc *mmc, long *resets)
{
	return nvme_pf_live(mmc->ctrl->nvme, resets);
}

/**
 * nvmevf_mmc_orphan - find a command of a VF that was given up and is unanswered
 * @mmc: the handle; the command may have been sent by an earlier one of this VF
 * @orphan: set to its opcode and time
 *
 * Context: Process.
 * Return: whether there is one: the VF gets no other command until it is answered.
 */
bool nvmevf_mmc_orphan(const struct nvmevf_mmc *mmc, struct nvmevf_orphan *orphan)
{
	struct nvmevf_ctrl *ctrl = mmc->ctrl;
	bool found = false;
	unsigned int i;

	spin_lock_irq(&ctrl->lock);
	for (i = 0; i < NVMEVF_SLOTS && !found; i++) {
		const struct nvmevf_req *req = ctrl->slots[i];

		found = req && req->mmc->vf_id == mmc->vf_id && nvmevf_is_orphan(req);
		if (found) {
			orphan->opcode = req->cmd.cmd.common.opcode;
			orphan->sent = req->sent;
		}
	}
	spin_unlock_irq(&ctrl->lock);
	return found;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_orphan);

/**
 * nvmevf_mmc_abort_begin - end the waits of this VF and refuse new commands
 * @mmc: the handle
 *
 * Commands in flight are given up. Until nvmevf_mmc_abort_end() each
 * nvmevf_mmc_exec() returns -ECANCELED.
 *
 * Context: Process.
 */
void nvmevf_mmc_abort_begin(struct nvmevf_mmc *mmc)
{
	spin_lock_irq(&mmc->ctrl->lock);
	mmc->aborting = true;
	wake_up_all(&mmc->ctrl->wait);
	spin_unlock_irq(&mmc->ctrl->lock);
}

static bool nvmevf_mmc_settled(struct nvmevf_mmc *mmc, unsigned int flags)
{
	struct nvmevf_ctrl *ctrl = mmc->ctrl;
	bool settled = true;
	unsigned int i;

	spin_lock_irq(&ctrl->lock);
	for (i = 0; i < NVMEVF_SLOTS; i++) {
		const struct nvmevf_req *req = ctrl->slots[i];

		if (req && req->mmc->vf_id == mmc->vf_id && !req->done &&
		    (!flags || (req->flags & flags)))
			settled = false;
	}
	spin_unlock_irq(&ctrl->lock);
	return settled;
}

/**
 * nvmevf_mmc_reset_begin - the VF is going to be reset
 * @mmc: the handle, between nvmevf_mmc_abort_begin() and nvmevf_mmc_abort_end()
 *
 * A load that was cut off could still fill the VF after the reset has emptied it. So
 * this waits for its answer, but at most a second; an answer that comes even later is
 * reported to the late function.
 *
 * Context: Process; sleeps for a second at most.
 */
void nvmevf_mmc_reset_begin(struct nvmevf_mmc *mmc)
{
	struct nvmevf_ctrl *ctrl = mmc->ctrl;

	wait_event_timeout(ctrl->wait, nvmevf_mmc_settled(mmc, NVMEVF_EXEC_LOAD),
			   msecs_to_jiffies(NVMEVF_SETTLE_MS));

	spin_lock_irq(&ctrl->lock);
	mmc->resetting = true;
	spin_unlock_irq(&ctrl->lock);
}

/**
 * nvmevf_mmc_abort_end - allow commands for this VF again
 * @mmc: the handle
 * @was_reset: the VF was reset since nvmevf_mmc_reset_begin()
 *
 * A reset makes the device answer a pending Suspend, so this waits for the answer,
 * but at most a second.
 *
 * Context: Process; sleeps for a second at most.
 */
void nvmevf_mmc_abort_end(struct nvmevf_mmc *mmc, bool was_reset)
{
	struct nvmevf_ctrl *ctrl = mmc->ctrl;

	if (was_reset) {
		spin_lock_irq(&ctrl->lock);
		mmc->flr_gen++;
		spin_unlock_irq(&ctrl->lock);
		wait_event_timeout(ctrl->wait, nvmevf_mmc_settled(mmc, 0),
				   msecs_to_jiffies(NVMEVF_SETTLE_MS));
	}

	spin_lock_irq(&ctrl->lock);
	mmc->resetting = false;
	mmc->aborting = false;
	wake_up_all(&ctrl->wait);
	spin_unlock_irq(&ctrl->lock);
}

/**
 * nvmevf_mmc_init - set up the workqueue that all PFs share
 *
 * Context: Process, module_init.
 * Return: 0 or -ENOMEM.
 */
int nvmevf_mmc_init(void)
{
	nvmevf_wq = alloc_workqueue("nvme-vfio-pci", WQ_UNBOUND, 0);
	return nvmevf_wq ? 0 : -ENOMEM;
}

/* Log the commands that the module waits for: only the device or a reset of the PF ends the wait */
static void nvmevf_warn_orphans(struct nvmevf_ctrl *ctrl)
{
	unsigned int i;

	spin_lock_irq(&ctrl->lock);
	for (i = 0; i < NVMEVF_SLOTS; i++) {
		const struct nvmevf_req *req = ctrl->slots[i];

		if (req && nvmevf_is_orphan(req))
			pci_warn(req->mmc->vf, "command with opcode %#x is unanswered: module removal waits for it\n",
				 req->cmd.cmd.common.opcode);
	}
	spin_unlock_irq(&ctrl->lock);
}

/**
 * nvmevf_mmc_exit - wait until no completion can run in this module any more
 *
 * Context: Process, module_exit, after the last VF was unbound; sleeps until
 * the device has answered every command that was given up.
 */
void nvmevf_mmc_exit(void)
{
	struct nvmevf_ctrl *ctrl;

	scoped_guard(mutex, &nvmevf_ctrls_lock) {
		list_for_each_entry(ctrl, &nvmevf_ctrls, node)
			nvmevf_warn_orphans(ctrl);
	}

	wait_event(nvmevf_exit_wait, !atomic_read(&nvmevf_nr_given_up));
	synchronize_rcu();
	destroy_workqueue(nvmevf_wq);
}
