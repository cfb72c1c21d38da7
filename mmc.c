// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of a VF to its MMC, the controller that takes migration commands: the
 * controller of the PF.
 *
 * The PF stays bound to the nvme driver, which sends the commands.
 * This file decides who may send a command and how long to wait for it, and handles
 * late answers.
 *
 * A timeout of nvme on the admin queue would reset the PF under every VM on it. So the
 * waits here have their own, shorter timeouts. A command that takes too
 * long is aborted. If the device does not answer it even then, it is an orphan: it keeps
 * its tag and its buffer until the device answers, and its VF gets no other command
 * until then.
 */

#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/limits.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "admission.h"
#include "buf.h"
#include "mmc.h"
#include "nvme_pf.h"
#include "nvme_pf_log.h"
#include "trace.h"
#include "wire.h"

/* So long a Suspend may take if others wait: a guest can make its own one endless */
#define NVMEVF_SLICE_MS		1000

/* How long an aborted command may take to be answered */
#define NVMEVF_ABORT_MS		1000

/* The same after the Abort was answered */
#define NVMEVF_STRAY_MS		100

/* How long a reset waits for the answers to commands that it cut off */
#define NVMEVF_SETTLE_MS	1000

/* The longest wait that nobody can end */
#define NVMEVF_BRIEF_MS		1000

/* How soon sending is tried again if the admin queue has no tag or is stopped */
#define NVMEVF_RETRY_MS		10

/* How long to try to resume a VF that has another owner by now */
#define NVMEVF_UNDO_MS		30000

/* Commands for logs are admitted by controller id, from here on: no function has such a number */
#define NVMEVF_LOG_ID		(INT_MIN / 2)

/* When commands that take long are logged for the first time, and how often from then on */
#define NVMEVF_WATCH_FIRST_S	10
#define NVMEVF_WATCH_S		60

#define NVMEVF_MAX_XFER		((size_t)SZ_1M)

/* Functions that are no VFs have numbers from here on, which are all negative */
#define NVMEVF_NO_VF		INT_MIN

struct nvmevf_req;

/**
 * struct nvmevf_ctrl - the MMC of one PF, shared by its VFs
 * @node: in nvmevf_ctrls
 * @ref: one for each struct nvmevf_mmc
 * @rcu: a completion may still hold @lock when the last reference is dropped
 * @nvme: the controller, referenced
 * @max_xfer: bytes that one command can transfer
 * @lock: protects @admission, @last_id, @aborts, the state of requests and Aborts, and
 *	  aborting and flr_gen of the VFs; taken in interrupts
 * @admission: commands that wait, and those in flight
 * @last_id: id of the latest request
 * @aborts: number of Aborts in flight
 * @wait: woken at each completion
 * @watch: logs commands that take long
 */
struct nvmevf_ctrl {
	struct list_head node;
	struct kref ref;
	struct rcu_head rcu;
	struct nvme_ctrl *nvme;
	size_t max_xfer;
	spinlock_t lock;	/* protects admission, and aborting and flr_gen of the VFs */
	struct nvmevf_admission admission;
	u64 last_id;
	unsigned int aborts;
	wait_queue_head_t wait;
	struct delayed_work watch;
};

/**
 * struct nvmevf_mmc - one VF's handle to its MMC
 * @ref: one for the VF's driver, one for each command in flight
 * @ctrl: the PF's controller
 * @vf: the VF, referenced
 * @pf: the PF, referenced
 * @vf_id: number of the VF, counted from 0; negative: it is no VF
 * @target: the VF as nvme knows it
 * @wait: woken when a command of this handle is admitted or answered, or is to be
 *	  ended, and at each change of @aborting
 * @stalled: the last Suspend had to be aborted
 * @aborting: no command may be sent or waited for
 * @resetting: the VF is being reset: a command answered now may have run after it
 * @late_suspends: Suspends that were given up, and whose effect is not undone yet
 * @flr_gen: counts the VF's resets
 * @undo: what resumes the VF if a Suspend succeeds after it was given up
 * @late_lock: protects @late and @priv, held during the call
 * @late: called when a given-up command succeeds; NULL: the VF has another owner
 * @priv: its argument
 */
struct nvmevf_mmc {
	struct kref ref;
	struct nvmevf_ctrl *ctrl;
	struct pci_dev *vf;
	struct pci_dev *pf;
	int vf_id;
	struct nvme_pf_vf target;
	wait_queue_head_t wait;
	bool stalled;
	bool aborting;
	bool resetting;
	unsigned int late_suspends;
	unsigned long flr_gen;
	struct nvme_pf_op undo;
	struct mutex late_lock;	/* protects late and priv */
	nvmevf_late_fn late;
	void *priv;
};

/**
 * struct nvmevf_req - one command in flight
 * @cmd: the command as nvme gets it, and its result
 * @mmc: the handle that sent it, referenced
 * @buf: its data, referenced, or NULL
 * @ticket: its place in the admission
 * @id: unique on its PF
 * @work: clean-up of a command that had been given up
 * @queued: when it asked for admission
 * @admitted: when it was admitted
 * @sent: when it was sent
 * @answered: when the device answered, valid when @done
 * @timeout: how long to wait for the answer, in jiffies
 * @deadline: until when to wait for the answer, in jiffies
 * @flr_gen: the VF's generation when it was sent
 * @flags: enum nvmevf_exec_flags
 * @err: 0, a negative errno or an NVMe status, valid when @done
 * @reset_since: the VF had been reset, or was being reset, when the device answered
 * @done: the device answered
 * @given_up: nobody waits; the completion owns this structure
 * @preempted: to be ended in favour of others
 * @abort_failed: the device did not abort it
 * @abort: the Abort for it that is in flight, or NULL
 */
struct nvmevf_req {
	struct nvme_pf_cmd cmd;
	struct nvmevf_mmc *mmc;
	struct nvmevf_buf *buf;
	struct nvmevf_ticket ticket;
	u64 id;
	struct work_struct work;
	ktime_t queued;
	ktime_t admitted;
	ktime_t sent;
	ktime_t answered;
	unsigned long timeout;
	unsigned long deadline;
	unsigned long flr_gen;
	unsigned int flags;
	int err;
	bool reset_since;
	bool done;
	bool given_up;
	bool preempted;
	bool abort_failed;
	struct nvmevf_abort *abort;
};

/**
 * struct nvmevf_abort - an Abort command in flight
 * @cmd: the command as nvme gets it, and its result
 * @mmc: the handle whose command it ends, referenced
 * @victim: that command; NULL once it is answered
 * @rq: the victim's request, which keeps its CID from being used again, if @victim is
 *	NULL
 * @work: clean-up
 */
struct nvmevf_abort {
	struct nvme_pf_cmd cmd;
	struct nvmevf_mmc *mmc;
	struct nvmevf_req *victim;
	struct request *rq;
	struct work_struct work;
};

static LIST_HEAD(nvmevf_ctrls);
static DEFINE_MUTEX(nvmevf_ctrls_lock);	/* protects nvmevf_ctrls */

VISIBLE_IF_KUNIT struct workqueue_struct *nvmevf_wq;
EXPORT_SYMBOL_IF_KUNIT(nvmevf_wq);
/* Commands in flight that nobody waits for */
static atomic_t nvmevf_nr_unattended = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(nvmevf_exit_wait);

/* wait_event_timeout(), killable if the flags say so */
#define nvmevf_wait(mmc, condition, timeout, flags)				\
	___wait_event((mmc)->wait, ___wait_cond_timeout(condition),		\
		      ((flags) & NVMEVF_EXEC_KILLABLE) ? TASK_KILLABLE :	\
							 TASK_UNINTERRUPTIBLE,	\
		      0, timeout, __ret = schedule_timeout(__ret))

static void nvmevf_ctrl_release(struct kref *ref)
{
	struct nvmevf_ctrl *ctrl = container_of(ref, struct nvmevf_ctrl, ref);

	list_del(&ctrl->node);
	mutex_unlock(&nvmevf_ctrls_lock);

	cancel_delayed_work_sync(&ctrl->watch);
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

/* A command that holds up other VFs, or its own one */
struct nvmevf_slow {
	struct pci_dev *vf;	/* referenced */
	u64 id;
	s64 seconds;
	u8 opcode;
	bool orphan;
};

static bool nvmevf_is_slow(const struct nvmevf_req *req)
{
	return req->ticket.orphan || (!req->done && req->abort_failed);
}

/* Find the one with the next id */
static bool nvmevf_find_slow(struct nvmevf_ctrl *ctrl, struct nvmevf_slow *slow)
{
	const struct nvmevf_ticket *ticket;
	const struct nvmevf_req *req, *next = NULL;

	spin_lock_irq(&ctrl->lock);
	list_for_each_entry(ticket, &ctrl->admission.inflight, node) {
		req = container_of(ticket, struct nvmevf_req, ticket);
		if (nvmevf_is_slow(req) && req->id > slow->id && (!next || req->id < next->id))
			next = req;
	}
	if (next) {
		slow->vf = pci_dev_get(next->mmc->vf);
		slow->id = next->id;
		slow->seconds = ktime_divns(ktime_sub(ktime_get(), next->sent), NSEC_PER_SEC);
		slow->opcode = next->cmd.op.verb->opcode;
		slow->orphan = next->ticket.orphan;
	}
	spin_unlock_irq(&ctrl->lock);
	return next;
}

/* Once a minute, for whoever looks for the VF that others wait for */
static void nvmevf_watch(struct work_struct *work)
{
	struct nvmevf_ctrl *ctrl = container_of(work, struct nvmevf_ctrl, watch.work);
	struct nvmevf_slow slow = {};

	while (nvmevf_find_slow(ctrl, &slow)) {
		if (slow.orphan)
			pci_info(slow.vf, "command with opcode %#x was given up, and is unanswered after %lld s\n",
				 slow.opcode, slow.seconds);
		else
			pci_info(slow.vf, "command with opcode %#x keeps others waiting, and has taken %lld s\n",
				 slow.opcode, slow.seconds);
		pci_dev_put(slow.vf);
	}

	if (slow.id)
		queue_delayed_work(nvmevf_wq, &ctrl->watch, NVMEVF_WATCH_S * HZ);
}

/* With the lock of the MMC */
static void nvmevf_admitted(struct nvmevf_ticket *ticket)
{
	struct nvmevf_req *req = container_of(ticket, struct nvmevf_req, ticket);

	req->admitted = ktime_get();
	req->flr_gen = req->mmc->flr_gen;
	wake_up_all(&req->mmc->wait);
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
	nvmevf_admission_init(&ctrl->admission, nvme_pf_tags(nvme), nvmevf_admitted);
	init_waitqueue_head(&ctrl->wait);
	INIT_DELAYED_WORK(&ctrl->watch, nvmevf_watch);
	list_add(&ctrl->node, &nvmevf_ctrls);
	return ctrl;
}

static struct nvmevf_ctrl *nvmevf_ctrl_get(struct pci_dev *pf)
{
	struct nvme_ctrl *nvme = nvme_pf_get(pf);
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

/* Owns the reference to @ctrl, even if it fails */
static struct nvmevf_mmc *nvmevf_mmc_new(struct nvmevf_ctrl *ctrl, struct pci_dev *vf,
					 struct pci_dev *pf)
{
	struct nvmevf_mmc *mmc = kzalloc_obj(*mmc);

	if (!mmc) {
		nvmevf_ctrl_put(ctrl);
		return NULL;
	}

	kref_init(&mmc->ref);
	mutex_init(&mmc->late_lock);
	init_waitqueue_head(&mmc->wait);
	mmc->ctrl = ctrl;
	mmc->vf = pci_dev_get(vf);
	mmc->pf = pci_dev_get(pf);
	return mmc;
}

/**
 * nvmevf_mmc_get - find the MMC of a VF
 * @vf: the virtual function, or another function of the same NVM subsystem
 * @pf: the PF whose controller is the MMC
 *
 * Without nvmevf_mmc_link() the handle is only for queries at probe: the PF
 * may go away, and commands then fail.
 *
 * Context: Process, probe of @vf; sleeps.
 * Return: the handle, or an ERR_PTR: -ENOMEM, or what nvmevf_mmc_why_not() explains.
 */
struct nvmevf_mmc *nvmevf_mmc_get(struct pci_dev *vf, struct pci_dev *pf)
{
	struct nvmevf_ctrl *ctrl;
	struct nvmevf_mmc *mmc;

	ctrl = nvmevf_ctrl_get(pf);
	if (IS_ERR(ctrl))
		return ERR_CAST(ctrl);

	mmc = nvmevf_mmc_new(ctrl, vf, pf);
	if (!mmc)
		return ERR_PTR(-ENOMEM);

	mmc->vf_id = vf->is_virtfn ? pci_iov_vf_id(vf) : NVMEVF_NO_VF;
	nvme_pf_vf_init(&mmc->target, vf);
	return mmc;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_get);

/**
 * nvmevf_mmc_get_log - get a handle for the log of a controller
 * @mmc: any handle to the MMC
 * @cntlid: the controller
 *
 * Commands for the log are admitted beside those that migrate the controller: neither
 * waits for the other. The handle is valid as long as the link of any function that
 * has this MMC.
 *
 * Context: Process.
 * Return: the handle, for nvmevf_mmc_put(), or NULL.
 */
struct nvmevf_mmc *nvmevf_mmc_get_log(const struct nvmevf_mmc *mmc, u16 cntlid)
{
	struct nvmevf_mmc *log;

	kref_get(&mmc->ctrl->ref);
	log = nvmevf_mmc_new(mmc->ctrl, mmc->pf, mmc->pf);
	if (!log)
		return NULL;

	log->vf_id = NVMEVF_LOG_ID + cntlid;
	nvme_pf_set_controller(&log->target, cntlid);
	return log;
}

/**
 * nvmevf_mmc_link - link the VF to its PF
 * @mmc: the handle
 *
 * From here on the driver core unbinds the VF before the PF, so that the
 * handle stays valid until nvmevf_mmc_put().
 *
 * Context: Process, probe of the VF; sleeps.
 * Return: 0; -EPROBE_DEFER if the PF is being unbound; another negative errno.
 */
int nvmevf_mmc_link(struct nvmevf_mmc *mmc)
{
	return nvme_pf_link(mmc->vf, mmc->pf);
}

/**
 * nvmevf_mmc_why_not - say what an error of nvmevf_mmc_get() means
 * @err: the error
 *
 * Return: a text for the log.
 */
const char *nvmevf_mmc_why_not(long err)
{
	return nvme_pf_why_not(err);
}

/**
 * nvmevf_mmc_find_secondary - find the VF in a Secondary Controller List: Fig 331
 * @mmc: the handle
 * @list: one page of the list
 *
 * Return: the entry, or NULL.
 */
const struct nvme_lm_secondary_entry *
nvmevf_mmc_find_secondary(const struct nvmevf_mmc *mmc, const struct nvme_lm_secondary_list *list)
{
	return nvme_pf_find_secondary(&mmc->target, nvmevf_mmc_cntlid(mmc), list);
}

/**
 * nvmevf_mmc_set_secondary - have commands name the controller of a list's entry
 * @mmc: the handle
 * @entry: the entry, from nvmevf_mmc_find_secondary()
 *
 * Context: Process, probe of the VF.
 */
void nvmevf_mmc_set_secondary(struct nvmevf_mmc *mmc, const struct nvme_lm_secondary_entry *entry)
{
	nvme_pf_set_secondary(&mmc->target, entry);
}

/**
 * nvmevf_mmc_set_identity - have commands name the controller that the VF says it is
 * @mmc: the handle
 * @id: the VF's own Identify Controller data
 *
 * For a PF without a list of secondary controllers, and for a function that is no VF.
 *
 * Context: Process, probe of the VF.
 */
void nvmevf_mmc_set_identity(struct nvmevf_mmc *mmc, const struct nvme_id_ctrl *id)
{
	/* admission tells functions apart by this number */
	if (mmc->vf_id < 0)
		mmc->vf_id = NVMEVF_NO_VF + 1 + le16_to_cpu(id->cntlid);
	nvme_pf_set_identity(&mmc->target, id);
}

/**
 * nvmevf_mmc_set_undo - say what resumes a suspended VF
 * @mmc: the handle
 * @verb: its verb, which takes no arguments
 *
 * It is sent if a Suspend that was given up succeeds after the VF was reset and
 * unbound from its driver: the new owner of the VF does not know about it.
 *
 * Context: Process, probe of the VF.
 */
void nvmevf_mmc_set_undo(struct nvmevf_mmc *mmc, const struct nvme_pf_verb *verb)
{
	mmc->undo = (struct nvme_pf_op) { .verb = verb };
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_set_undo);

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
	pci_dev_put(mmc->pf);
	pci_dev_put(mmc->vf);
	mutex_destroy(&mmc->late_lock);
	kfree(mmc);
}

static void nvmevf_req_free(struct nvmevf_req *req)
{
	nvmevf_buf_put(req->buf);
	kref_put(&req->mmc->ref, nvmevf_mmc_release);
	kfree(req);
}

/* A Suspend that stopped a VF after its reset */
static bool nvmevf_is_late_suspend(const struct nvmevf_req *req)
{
	return req->given_up && req->reset_since && !req->err &&
	       (req->flags & NVMEVF_EXEC_SUSPEND);
}

/* Nothing was read since, so the VF may run, whatever it did before the Abort */
static bool nvmevf_is_aborted_suspend(const struct nvmevf_req *req)
{
	return !req->given_up && req->err == NVME_SC_ABORT_REQ &&
	       (req->flags & NVMEVF_EXEC_SUSPEND);
}

/* What has to be undone keeps its place until it is */
static bool nvmevf_keeps_place(const struct nvmevf_req *req)
{
	return nvmevf_is_late_suspend(req) || nvmevf_is_aborted_suspend(req);
}

/* Returns whether an Abort is in flight, which would otherwise hit the next user of the CID */
static bool nvmevf_detach_abort(struct nvmevf_req *req)
{
	struct nvmevf_abort *abort = req->abort;

	if (!abort)
		return false;

	abort->victim = NULL;
	abort->rq = req->cmd.rq;
	req->abort = NULL;
	return true;
}

/* In an RCU read-side section: for nvmevf_mmc_exit(), and for ctrl once a waiter has seen @done */
static bool nvmevf_req_done(struct nvme_pf_cmd *cmd)
{
	struct nvmevf_req *req = container_of(cmd, struct nvmevf_req, cmd);
	struct nvmevf_ctrl *ctrl = req->mmc->ctrl;
	unsigned long irqflags;
	bool keep;

	spin_lock_irqsave(&ctrl->lock, irqflags);
	req->err = nvmevf_answer_error(cmd->status, cmd->cancelled, cmd->err);
	req->reset_since = req->mmc->resetting || req->flr_gen != req->mmc->flr_gen;
	req->answered = ktime_get();
	req->done = true;
	req->ticket.orphan = false;
	req->ticket.endable = false;
	keep = nvmevf_detach_abort(req);
	if (!nvmevf_keeps_place(req))
		nvmevf_admission_leave(&ctrl->admission, &req->ticket);
	wake_up_all(&req->mmc->wait);
	wake_up_all(&ctrl->wait);
	/* last, because the work frees the request without taking this lock before */
	if (req->given_up)
		queue_work(nvmevf_wq, &req->work);
	spin_unlock_irqrestore(&ctrl->lock, irqflags);
	return keep;
}

static void nvmevf_leave(struct nvmevf_req *req)
{
	struct nvmevf_ctrl *ctrl = req->mmc->ctrl;

	spin_lock_irq(&ctrl->lock);
	nvmevf_admission_leave(&ctrl->admission, &req->ticket);
	wake_up_all(&ctrl->wait);
	spin_unlock_irq(&ctrl->lock);
}

/* Have the Suspend that has taken longest ended, if its time is over */
static void nvmevf_preempt(struct nvmevf_ctrl *ctrl)
{
	struct nvmevf_ticket *ticket;
	struct nvmevf_req *req;

	spin_lock_irq(&ctrl->lock);
	ticket = nvmevf_admission_longest(&ctrl->admission);
	req = ticket ? container_of(ticket, struct nvmevf_req, ticket) : NULL;
	if (req && ktime_ms_delta(ktime_get(), req->sent) >= NVMEVF_SLICE_MS) {
		ticket->endable = false;
		req->preempted = true;
		wake_up_all(&req->mmc->wait);
	}
	spin_unlock_irq(&ctrl->lock);
}

static unsigned long nvmevf_patience(const struct nvmevf_req *req, unsigned long deadline)
{
	unsigned long left = max_t(long, deadline - jiffies, 1);

	if (req->ticket.class == NVMEVF_CLASS_STALLED)
		return max(left / 2, 1UL);
	return min(left, msecs_to_jiffies(NVMEVF_SLICE_MS));
}

/*
 * Whoever stalled before must not end the Suspends of others; but it may have been slow
 * for once, and those who are before it need not end, so it waits half its time only.
 */
static void nvmevf_wait_more(struct nvmevf_req *req)
{
	struct nvmevf_ctrl *ctrl = req->mmc->ctrl;

	if (req->ticket.class != NVMEVF_CLASS_STALLED) {
		nvmevf_preempt(ctrl);
		return;
	}

	spin_lock_irq(&ctrl->lock);
	nvmevf_admission_promote(&ctrl->admission, &req->ticket);
	spin_unlock_irq(&ctrl->lock);
}

static int nvmevf_enter(struct nvmevf_req *req)
{
	struct nvmevf_ctrl *ctrl = req->mmc->ctrl;
	int ret;

	spin_lock_irq(&ctrl->lock);
	req->id = ++ctrl->last_id;
	req->queued = ktime_get();
	ret = req->mmc->aborting ? -ECANCELED :
				   nvmevf_admission_enter(&ctrl->admission, &req->ticket);
	spin_unlock_irq(&ctrl->lock);
	return ret;
}

/* Returns 0 if the command may be sent; if not, it has no place in a queue any more */
static int nvmevf_get_admission(struct nvmevf_req *req, unsigned long deadline)
{
	struct nvmevf_mmc *mmc = req->mmc;
	long left;
	int ret;

	ret = nvmevf_enter(req);
	if (ret)
		return ret;

	for (;;) {
		left = nvmevf_wait(mmc, READ_ONCE(req->ticket.admitted) || READ_ONCE(mmc->aborting),
				   nvmevf_patience(req, deadline), req->flags);
		if (left || time_after_eq(jiffies, deadline))
			break;
		nvmevf_wait_more(req);
	}

	if (READ_ONCE(mmc->aborting))
		ret = -ECANCELED;
	else if (!READ_ONCE(req->ticket.admitted))
		ret = left < 0 ? -EINTR : -EBUSY;
	if (ret)
		nvmevf_leave(req);
	return ret;
}

/* From now on the guest has its time; the device may have answered already */
static void nvmevf_note_sent(struct nvmevf_req *req)
{
	struct nvmevf_ctrl *ctrl = req->mmc->ctrl;

	spin_lock_irq(&ctrl->lock);
	if (!req->done)
		req->ticket.endable = req->flags & NVMEVF_EXEC_SUSPEND;
	spin_unlock_irq(&ctrl->lock);
}

/* nvme would wait for a tag forever, and not at all for a controller that is not live */
static int nvmevf_submit(struct nvmevf_req *req, unsigned long deadline)
{
	struct nvmevf_mmc *mmc = req->mmc;
	long left;
	int ret;

	for (;;) {
		req->sent = ktime_get();
		req->deadline = jiffies + req->timeout;
		ret = nvme_pf_submit(mmc->ctrl->nvme, &req->cmd);
		if (!ret)
			nvmevf_note_sent(req);
		if (ret != -EAGAIN)
			return ret;
		if (time_after_eq(jiffies, deadline))
			return -EBUSY;

		left = nvmevf_wait(mmc, READ_ONCE(mmc->aborting),
				   msecs_to_jiffies(NVMEVF_RETRY_MS), req->flags);
		if (left > 0)
			return -ECANCELED;
		if (left < 0)
			return -EINTR;
	}
}

/* ---- Abort ---- */

static void nvmevf_put_unattended(struct nvmevf_mmc *mmc)
{
	kref_put(&mmc->ref, nvmevf_mmc_release);
	if (atomic_dec_and_test(&nvmevf_nr_unattended))
		wake_up(&nvmevf_exit_wait);
}

static void nvmevf_abort_free(struct work_struct *work)
{
	struct nvmevf_abort *abort = container_of(work, struct nvmevf_abort, work);
	struct nvmevf_mmc *mmc = abort->mmc;

	kfree(abort);
	nvmevf_put_unattended(mmc);
}

static bool nvmevf_has_no_effect(const struct nvme_pf_cmd *cmd)
{
	int err = nvmevf_answer_error(cmd->status, cmd->cancelled, cmd->err);

	/* a reset of the PF that ends the Abort ends the command as well */
	if (err == -ENOTCONN)
		return false;
	return err || (le32_to_cpu(cmd->result.u32) & 1);
}

static void nvmevf_end_abort_locked(struct nvmevf_abort *abort, bool no_effect)
{
	struct nvmevf_req *req = abort->victim;

	lockdep_assert_held(&abort->mmc->ctrl->lock);

	abort->mmc->ctrl->aborts--;
	nvme_pf_free_request(abort->rq);
	if (!req)
		return;

	req->abort = NULL;
	if (no_effect) {
		req->abort_failed = true;
		wake_up_all(&req->mmc->wait);
	}
}

/* In an RCU read-side section */
static bool nvmevf_abort_done(struct nvme_pf_cmd *cmd)
{
	struct nvmevf_abort *abort = container_of(cmd, struct nvmevf_abort, cmd);
	struct nvmevf_ctrl *ctrl = abort->mmc->ctrl;
	unsigned long irqflags;

	spin_lock_irqsave(&ctrl->lock, irqflags);
	nvmevf_end_abort_locked(abort, nvmevf_has_no_effect(cmd));
	queue_work(nvmevf_wq, &abort->work);
	spin_unlock_irqrestore(&ctrl->lock, irqflags);
	return false;
}

static struct nvmevf_abort *nvmevf_abort_new(struct nvmevf_mmc *mmc)
{
	struct nvmevf_abort *abort = kzalloc_obj(*abort);

	if (!abort)
		return NULL;

	INIT_WORK(&abort->work, nvmevf_abort_free);
	abort->cmd.done = nvmevf_abort_done;
	abort->mmc = mmc;
	kref_get(&mmc->ref);
	atomic_inc(&nvmevf_nr_unattended);
	return abort;
}

/* Find the command of the VF to abort; its CID is not used again until the Abort has ended */
static bool nvmevf_attach_abort(struct nvmevf_abort *abort, bool orphan, u16 *cid, bool *others)
{
	struct nvmevf_mmc *mmc = abort->mmc;
	struct nvmevf_ctrl *ctrl = mmc->ctrl;
	struct nvmevf_ticket *ticket;
	struct nvmevf_req *req;
	bool found;

	spin_lock_irq(&ctrl->lock);
	ticket = nvmevf_admission_of_vf(&ctrl->admission, mmc->vf_id);
	req = ticket ? container_of(ticket, struct nvmevf_req, ticket) : NULL;
	/* a Suspend that is answered stays there until it is undone */
	found = req && !req->done && !req->abort && ticket->orphan == orphan;
	if (found) {
		req->abort = abort;
		abort->victim = req;
		*cid = nvme_pf_cid(&req->cmd);
		*others = ctrl->aborts++;
	}
	spin_unlock_irq(&ctrl->lock);
	return found;
}

/*
 * Abort the VF's command that somebody waits for, or the orphan. Returns 0 if an Abort was
 * sent, or none is needed; -EAGAIN to try again.
 */
static int nvmevf_send_abort(struct nvmevf_mmc *mmc, bool orphan)
{
	struct nvmevf_ctrl *ctrl = mmc->ctrl;
	struct nvmevf_abort *abort;
	bool others;
	u16 cid;
	int ret;

	abort = nvmevf_abort_new(mmc);
	if (!abort)
		return -ENOMEM;

	if (!nvmevf_attach_abort(abort, orphan, &cid, &others)) {
		nvmevf_abort_free(&abort->work);
		return 0;
	}

	ret = nvme_pf_abort(ctrl->nvme, cid, &abort->cmd, others);
	if (!ret)
		return 0;

	spin_lock_irq(&ctrl->lock);
	nvmevf_end_abort_locked(abort, false);
	spin_unlock_irq(&ctrl->lock);
	nvmevf_abort_free(&abort->work);
	return ret;
}

/* Abort a command; returns when the device has answered, or clearly will not */
static void nvmevf_abort(struct nvmevf_req *req)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(NVMEVF_ABORT_MS);
	struct nvmevf_mmc *mmc = req->mmc;
	int ret = -EAGAIN;
	long left;

	WRITE_ONCE(req->abort_failed, false);
	do {
		if (ret == -EAGAIN)
			ret = nvmevf_send_abort(mmc, false);
		if (ret && ret != -EAGAIN)
			return;
		left = nvmevf_wait(mmc, READ_ONCE(req->done) || READ_ONCE(req->abort_failed) ||
				   READ_ONCE(mmc->aborting),
				   msecs_to_jiffies(ret ? NVMEVF_RETRY_MS : NVMEVF_ABORT_MS), 0);
	} while (!left && time_before(jiffies, deadline));

	/* its answer may be on the way to another CPU */
	if (READ_ONCE(req->abort_failed))
		nvmevf_wait(mmc, READ_ONCE(req->done) || READ_ONCE(mmc->aborting),
			    msecs_to_jiffies(NVMEVF_STRAY_MS), 0);
}

/* Abort what nobody waits for; a reset of the VF may have cut it off without ending it */
static void nvmevf_abort_orphan(struct nvmevf_mmc *mmc)
{
	nvmevf_send_abort(mmc, true);
}

/**
 * nvmevf_mmc_put - release the handle
 * @mmc: the handle; nobody may be waiting for a command
 *
 * An orphan is aborted, and keeps its resources if that does not help. A late answer is
 * not reported after this returns; a Suspend that succeeds after the VF was reset is
 * undone by the PF.
 *
 * Context: Process; sleeps.
 */
void nvmevf_mmc_put(struct nvmevf_mmc *mmc)
{
	nvmevf_mmc_set_late(mmc, NULL, NULL);
	nvmevf_abort_orphan(mmc);
	kref_put(&mmc->ref, nvmevf_mmc_release);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_put);

/* ---- waiting for the answer ---- */

/* Returns 0 if the device answered, or why the wait ended: -EAGAIN in favour of other VFs */
static int nvmevf_await(struct nvmevf_req *req)
{
	struct nvmevf_mmc *mmc = req->mmc;
	long left;

	left = nvmevf_wait(mmc, READ_ONCE(req->done) || READ_ONCE(mmc->aborting) ||
			   (READ_ONCE(req->preempted) && !READ_ONCE(req->abort_failed)),
			   max_t(long, req->deadline - jiffies, 1), req->flags);
	if (READ_ONCE(req->done))
		return 0;
	if (READ_ONCE(mmc->aborting))
		return -ECANCELED;
	if (left > 0)
		return -EAGAIN;
	return left < 0 ? -EINTR : -ETIMEDOUT;
}

/* The device does not end the command: it keeps its place */
static void nvmevf_end_preemption(struct nvmevf_req *req)
{
	struct nvmevf_ctrl *ctrl = req->mmc->ctrl;

	spin_lock_irq(&ctrl->lock);
	req->abort_failed = true;
	spin_unlock_irq(&ctrl->lock);
	queue_delayed_work(nvmevf_wq, &ctrl->watch, NVMEVF_WATCH_FIRST_S * HZ);
}

/* Returns with the device's answer, or with the reason to give the command up */
static int nvmevf_await_or_abort(struct nvmevf_req *req)
{
	int err;

	for (;;) {
		err = nvmevf_await(req);
		if (!err || err == -ECANCELED)
			return err;

		nvmevf_abort(req);
		if (err != -EAGAIN || READ_ONCE(req->done))
			return err;
		nvmevf_end_preemption(req);
	}
}

/* Returns true with the answer in @req, or false if the command is an orphan from now on */
static bool nvmevf_take_answer(struct nvmevf_req *req)
{
	struct nvmevf_ctrl *ctrl = req->mmc->ctrl;
	bool done;

	spin_lock_irq(&ctrl->lock);
	done = req->done;
	if (!done) {
		req->given_up = true;
		req->mmc->late_suspends += !!(req->flags & NVMEVF_EXEC_SUSPEND);
		atomic_inc(&nvmevf_nr_unattended);
		nvmevf_admission_orphan(&ctrl->admission, &req->ticket);
		queue_delayed_work(nvmevf_wq, &ctrl->watch, NVMEVF_WATCH_FIRST_S * HZ);
	}
	spin_unlock_irq(&ctrl->lock);
	return done;
}

static void nvmevf_trace_wait(const struct nvmevf_req *req)
{
	trace_nvmevf_wait(req->mmc->vf, &req->cmd.op,
			  ktime_us_delta(req->admitted, req->queued),
			  ktime_us_delta(req->sent, req->admitted),
			  ktime_us_delta(req->done ? req->answered : ktime_get(), req->sent));
}

/* ---- Suspends that are undone ---- */

/*
 * Send the handle's undo command in the place of a Suspend; returns false if it is an
 * orphan, or true with its result in @req
 */
static bool nvmevf_req_undo(struct nvmevf_req *req, unsigned int timeout_ms)
{
	spin_lock_irq(&req->mmc->ctrl->lock);
	req->cmd.op = req->mmc->undo;
	req->timeout = msecs_to_jiffies(timeout_ms);
	req->flags = 0;
	req->done = false;
	req->given_up = false;
	req->preempted = false;
	req->abort_failed = false;
	spin_unlock_irq(&req->mmc->ctrl->lock);

	req->err = nvmevf_submit(req, jiffies + req->timeout);
	if (req->err) {
		nvmevf_leave(req);
		return true;
	}

	nvmevf_await_or_abort(req);
	return nvmevf_take_answer(req);
}

/* Returns 0 if the VF runs now, or an errno */
static int nvmevf_undo_error(int err)
{
	if (err > 0)
		err = nvmevf_status_to_errno(err);
	/* it was not suspended; the vendor set has no status of its own for this */
	return err == -EREMOTEIO || err == -EPROTO ? 0 : err;
}

/* A Suspend was aborted; returns -EAGAIN if the VF runs, and frees the request */
static int nvmevf_undo_suspend(struct nvmevf_req *req)
{
	struct nvmevf_mmc *mmc = req->mmc;
	int ret;

	/* a reset of the VF does the same */
	if (READ_ONCE(mmc->aborting)) {
		nvmevf_leave(req);
		ret = -ECANCELED;
		goto out_free;
	}

	if (!nvmevf_req_undo(req, fatal_signal_pending(current) ? NVMEVF_BRIEF_MS :
								  NVMEVF_UNDO_MS))
		return READ_ONCE(mmc->aborting) ? -ECANCELED : -ETIMEDOUT;

	ret = nvmevf_undo_error(req->err);
	if (!ret)
		ret = -EAGAIN;
	else if (ret != -ENOTCONN && ret != -ECANCELED)
		ret = -ETIMEDOUT;
out_free:
	nvmevf_req_free(req);
	return ret;
}

/* ---- late answers ---- */

/* The VF has another owner, who knows nothing of the Suspend */
static bool nvmevf_undo_late(struct nvmevf_req *req)
{
	pci_info(req->mmc->vf, "a Suspend that was given up succeeded: resuming the VF\n");

	if (!nvmevf_req_undo(req, NVMEVF_UNDO_MS))
		return false;

	if (nvmevf_undo_error(req->err))
		pci_err(req->mmc->vf, "cannot be resumed: reset it\n");
	return true;
}

/* Returns whether the caller still owns the request */
static bool nvmevf_req_tell_late(struct nvmevf_req *req)
{
	bool late_suspend = nvmevf_is_late_suspend(req);
	struct nvmevf_mmc *mmc = req->mmc;

	guard(mutex)(&mmc->late_lock);

	if (late_suspend && !mmc->late)
		return nvmevf_undo_late(req);
	if (late_suspend)
		nvmevf_leave(req);
	if (!req->err && mmc->late)
		mmc->late(mmc->priv, req->flags, req->reset_since,
			  le32_to_cpu(req->cmd.result.u32));
	else if (!req->err && req->reset_since && (req->flags & NVMEVF_EXEC_LOAD))
		pci_err(mmc->vf, "was changed after its reset: reset it again\n");
	return true;
}

/* A command that was given up has been answered: undo its effect if necessary */
static void nvmevf_req_late(struct work_struct *work)
{
	struct nvmevf_req *req = container_of(work, struct nvmevf_req, work);
	bool suspend = req->flags & NVMEVF_EXEC_SUSPEND;
	struct nvmevf_mmc *mmc = req->mmc;

	/* an answer that came during a reset is handled after the reset */
	wait_event(mmc->wait, !READ_ONCE(mmc->aborting));

	kref_get(&mmc->ref);
	if (nvmevf_req_tell_late(req))
		nvmevf_req_free(req);
	spin_lock_irq(&mmc->ctrl->lock);
	mmc->late_suspends -= suspend;
	spin_unlock_irq(&mmc->ctrl->lock);
	nvmevf_put_unattended(mmc);
}

/* ---- sending ---- */

/* What a guest can make last never uses all that a PF takes */
static enum nvmevf_class nvmevf_class_of(const struct nvmevf_mmc *mmc,
					 const struct nvme_pf_verb *verb, unsigned int flags)
{
	if (flags & NVMEVF_EXEC_RESUME)
		return NVMEVF_CLASS_RESUME;
	if (!verb->guest_paced)
		return NVMEVF_CLASS_ORDINARY;
	return mmc->stalled ? NVMEVF_CLASS_STALLED : NVMEVF_CLASS_GUEST;
}

static struct nvmevf_req *nvmevf_req_new(struct nvmevf_mmc *mmc, const struct nvme_pf_op *op,
					 struct nvmevf_buf *buf, size_t len, unsigned int flags)
{
	struct nvmevf_req *req = kzalloc_obj(*req);

	if (!req)
		return NULL;

	INIT_WORK(&req->work, nvmevf_req_late);
	req->cmd.vf = &mmc->target;
	req->cmd.op = *op;
	req->cmd.len = len;
	req->cmd.done = nvmevf_req_done;
	req->ticket.class = nvmevf_class_of(mmc, op->verb, flags);
	req->ticket.vf = mmc->vf_id;
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

/* @deadline: until when to wait for admission and a tag, in jiffies */
static struct nvmevf_req *nvmevf_send(struct nvmevf_mmc *mmc, const struct nvme_pf_op *op,
				      struct nvmevf_buf *buf, size_t len, unsigned long deadline,
				      unsigned long timeout, unsigned int flags)
{
	struct nvmevf_req *req;
	int ret;

	req = nvmevf_req_new(mmc, op, buf, len, flags);
	if (!req)
		return ERR_PTR(-ENOMEM);

	/* time spent waiting for other VFs must not count: a command cut off costs a disk */
	req->timeout = timeout;
	ret = nvmevf_get_admission(req, deadline);
	if (ret)
		goto out_free;

	ret = nvmevf_submit(req, deadline);
	if (!ret)
		return req;

	nvmevf_leave(req);
out_free:
	nvmevf_req_free(req);
	return ERR_PTR(ret);
}

/* A guest whose Suspend took longer than its slice, and then failed, goes last next time */
static void nvmevf_note_stalled(struct nvmevf_req *req)
{
	if (!(req->flags & NVMEVF_EXEC_SUSPEND))
		return;

	if (req->done && !req->err)
		req->mmc->stalled = false;
	else if (ktime_ms_delta(ktime_get(), req->sent) >= NVMEVF_SLICE_MS)
		req->mmc->stalled = true;
}

/* @preempted: set to whether it was aborted in favour of others; not set if it is an orphan */
static int nvmevf_finish(struct nvmevf_req *req, union nvme_result *result, bool *preempted)
{
	int err, ret;

	err = nvmevf_await_or_abort(req);
	nvmevf_trace_wait(req);
	nvmevf_note_stalled(req);
	if (!nvmevf_take_answer(req))
		return err;

	*preempted = req->preempted;
	if (nvmevf_is_aborted_suspend(req))
		return nvmevf_undo_suspend(req);

	ret = req->err;
	if (ret >= 0 && result)
		*result = req->cmd.result;
	if (err && ret == NVME_SC_ABORT_REQ)
		ret = err;
	nvmevf_req_free(req);
	return ret;
}

static int nvmevf_exec_once(struct nvmevf_mmc *mmc, const struct nvme_pf_op *op,
			    struct nvmevf_buf *buf, size_t len, union nvme_result *result,
			    unsigned int timeout_ms, unsigned int flags)
{
	unsigned long timeout = msecs_to_jiffies(timeout_ms);
	struct nvmevf_req *req;
	bool preempted;

	req = nvmevf_send(mmc, op, buf, len, jiffies + timeout, timeout, flags);
	return IS_ERR(req) ? PTR_ERR(req) : nvmevf_finish(req, result, &preempted);
}

/* A Suspend that was aborted in favour of others gets another chance, behind them */
static int nvmevf_exec_suspend(struct nvmevf_mmc *mmc, const struct nvme_pf_op *op,
			       unsigned int timeout_ms, unsigned int flags)
{
	unsigned long timeout = msecs_to_jiffies(timeout_ms);
	unsigned long deadline = jiffies + timeout;
	struct nvmevf_req *req;
	bool preempted;
	int ret;

	do {
		req = nvmevf_send(mmc, op, NULL, 0, deadline, timeout, flags);
		if (IS_ERR(req))
			return PTR_ERR(req);

		preempted = false;
		ret = nvmevf_finish(req, NULL, &preempted);
	} while (ret == -EAGAIN && preempted && time_before(jiffies, deadline));

	return ret;
}

/**
 * nvmevf_mmc_send - send a command on the MMC's admin queue, and do not wait for it
 * @mmc: the handle
 * @op: the verb and its arguments, as for nvmevf_mmc_exec(); no Suspend
 * @buf: its data, which must not be touched before nvmevf_mmc_finish()
 * @len: bytes of @buf to transfer
 * @wait_ms: how long to wait until the command is sent, in milliseconds
 * @timeout_ms: how long nvmevf_mmc_finish() waits for the answer, in milliseconds from now
 * @flags: enum nvmevf_exec_flags, for the wait until it is sent and for that of
 *	   nvmevf_mmc_finish()
 *
 * Context: Process; sleeps until the command is sent.
 * Return: the command, for nvmevf_mmc_finish(), or an ERR_PTR with what
 * nvmevf_mmc_exec() returns for a command that was not sent.
 */
struct nvmevf_req *nvmevf_mmc_send(struct nvmevf_mmc *mmc, const struct nvme_pf_op *op,
				   struct nvmevf_buf *buf, size_t len, unsigned int wait_ms,
				   unsigned int timeout_ms, unsigned int flags)
{
	if (WARN_ON_ONCE(len > buf->len || (flags & NVMEVF_EXEC_SUSPEND)))
		return ERR_PTR(-EINVAL);

	return nvmevf_send(mmc, op, buf, len, jiffies + msecs_to_jiffies(wait_ms),
			   msecs_to_jiffies(timeout_ms), flags);
}

/**
 * nvmevf_mmc_hurry - do not wait long for the answer to a command
 * @req: the command, from nvmevf_mmc_send()
 *
 * nvmevf_mmc_finish() aborts it after a second.
 *
 * Context: Process.
 */
void nvmevf_mmc_hurry(struct nvmevf_req *req)
{
	unsigned long soon = jiffies + msecs_to_jiffies(NVMEVF_BRIEF_MS);

	if (time_before(soon, req->deadline))
		req->deadline = soon;
}

/**
 * nvmevf_mmc_finish - wait for the answer to a command and free it
 * @req: the command, from nvmevf_mmc_send()
 * @result: completion dwords 0 and 1, or NULL; set only if the device answered
 *
 * Context: Process; sleeps.
 * Return: as nvmevf_mmc_exec() for a command that was sent.
 */
int nvmevf_mmc_finish(struct nvmevf_req *req, union nvme_result *result)
{
	bool preempted;

	return nvmevf_finish(req, result, &preempted);
}

/**
 * nvmevf_mmc_exec - send a command on the MMC's admin queue and wait for it
 * @mmc: the handle
 * @op: the verb and its arguments
 * @buf: its data or NULL; an orphan keeps a reference
 * @len: bytes of @buf to transfer, a multiple of 4, at most nvmevf_mmc_max_xfer()
 * @result: completion dwords 0 and 1, or NULL; set only if the device answered
 * @timeout_ms: how long to wait until the command is sent, which takes admission, a
 *	       tag and a live PF, and again for the answer; in milliseconds
 * @flags: enum nvmevf_exec_flags
 *
 * A command that is not answered in time, or whose sender gets a fatal signal, is
 * aborted. The device has a second to answer it then.
 *
 * Context: Process; sleeps. One command per VF at a time: the caller
 * serialises.
 * Return: 0, or an NVMe status (SCT and SC, greater than 0), or a negative errno.
 * Not sent: -EBUSY while an orphan of this VF is unanswered, or if the
 * PF did not take the command in time, -ENOMEM, -EINVAL. -ENOTCONN: the PF was
 * reset, which may have been before or after the command, or is gone.
 * -EAGAIN: a Suspend was aborted, and the VF runs.
 * Aborted or an orphan: -ETIMEDOUT, -EINTR (fatal signal). Cut off by
 * nvmevf_mmc_abort_begin(): -ECANCELED. The latter two also before it was sent.
 */
int nvmevf_mmc_exec(struct nvmevf_mmc *mmc, const struct nvme_pf_op *op,
		    struct nvmevf_buf *buf, size_t len, union nvme_result *result,
		    unsigned int timeout_ms, unsigned int flags)
{
	if (WARN_ON_ONCE(len && (!buf || len > buf->len)))
		return -EINVAL;

	if (flags & NVMEVF_EXEC_BRIEF)
		timeout_ms = min(timeout_ms, NVMEVF_BRIEF_MS);

	if (flags & NVMEVF_EXEC_SUSPEND)
		return nvmevf_exec_suspend(mmc, op, timeout_ms, flags);
	return nvmevf_exec_once(mmc, op, buf, len, result, timeout_ms, flags);
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
 * nvmevf_mmc_pf - get the PF whose controller is the MMC
 * @mmc: the handle
 *
 * Return: the PF, valid as long as the handle.
 */
struct pci_dev *nvmevf_mmc_pf(const struct nvmevf_mmc *mmc)
{
	return mmc->pf;
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
	const struct nvmevf_ticket *ticket;
	bool found;

	spin_lock_irq(&ctrl->lock);
	ticket = nvmevf_admission_of_vf(&ctrl->admission, mmc->vf_id);
	found = ticket && ticket->orphan;
	if (found) {
		const struct nvmevf_req *req = container_of(ticket, struct nvmevf_req, ticket);

		orphan->opcode = req->cmd.op.verb->opcode;
		orphan->sent = req->sent;
	}
	spin_unlock_irq(&ctrl->lock);
	return found;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_orphan);

static void nvmevf_show_req(struct seq_file *seq, const struct nvmevf_req *req)
{
	seq_printf(seq, "command of %s: opcode %#x, for %lld ms%s%s\n", pci_name(req->mmc->vf),
		   req->cmd.op.verb->opcode, ktime_ms_delta(ktime_get(), req->admitted),
		   req->ticket.orphan ? ", given up" : "",
		   req->abort_failed ? ", Abort had no effect" : "");
}

/**
 * nvmevf_mmc_show - print what all VFs of the PF have in flight
 * @mmc: the handle
 * @seq: where to
 *
 * Context: Process.
 */
void nvmevf_mmc_show(const struct nvmevf_mmc *mmc, struct seq_file *seq)
{
	struct nvmevf_ctrl *ctrl = mmc->ctrl;
	const struct nvmevf_ticket *ticket;
	struct nvmevf_usage usage;

	spin_lock_irq(&ctrl->lock);
	nvmevf_admission_usage(&ctrl->admission, &usage);
	seq_printf(seq, "commands of all VFs: %u of %u in flight, %u of %u by guests, %u waiting, %u given up\n",
		   usage.inflight, usage.budget, usage.guests, usage.guest_budget,
		   usage.waiting, usage.orphans);
	list_for_each_entry(ticket, &ctrl->admission.inflight, node)
		nvmevf_show_req(seq, container_of(ticket, struct nvmevf_req, ticket));
	spin_unlock_irq(&ctrl->lock);
}

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
	wake_up_all(&mmc->wait);
	spin_unlock_irq(&mmc->ctrl->lock);
}

/**
 * nvmevf_mmc_suspends_late - check whether a Suspend of this VF may take effect late
 * @mmc: the handle
 *
 * Context: Process.
 * Return: whether a Suspend was given up, and the device has not answered it yet, or
 * the late function has not undone it yet.
 */
bool nvmevf_mmc_suspends_late(const struct nvmevf_mmc *mmc)
{
	bool late;

	spin_lock_irq(&mmc->ctrl->lock);
	late = mmc->late_suspends;
	spin_unlock_irq(&mmc->ctrl->lock);
	return late;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_mmc_suspends_late);

static bool nvmevf_mmc_settled(struct nvmevf_mmc *mmc, unsigned int flags)
{
	struct nvmevf_ctrl *ctrl = mmc->ctrl;
	const struct nvmevf_ticket *ticket;
	const struct nvmevf_req *req;
	bool settled;

	spin_lock_irq(&ctrl->lock);
	ticket = nvmevf_admission_of_vf(&ctrl->admission, mmc->vf_id);
	req = ticket ? container_of(ticket, struct nvmevf_req, ticket) : NULL;
	settled = !req || req->done || (flags && !(req->flags & flags));
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
	wake_up_all(&mmc->wait);
	spin_unlock_irq(&ctrl->lock);
	if (was_reset)
		nvmevf_abort_orphan(mmc);
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
	const struct nvmevf_ticket *ticket;

	spin_lock_irq(&ctrl->lock);
	list_for_each_entry(ticket, &ctrl->admission.inflight, node) {
		const struct nvmevf_req *req = container_of(ticket, struct nvmevf_req, ticket);

		if (ticket->orphan)
			pci_warn(req->mmc->vf, "command with opcode %#x is unanswered: module removal waits for it\n",
				 req->cmd.op.verb->opcode);
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

	wait_event(nvmevf_exit_wait, !atomic_read(&nvmevf_nr_unattended));
	synchronize_rcu();
	destroy_workqueue(nvmevf_wq);
}
