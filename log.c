// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of the user data that a controller changes: a character device for each MMC
 * that can log. An open file is the log of one controller.
 *
 * The events that announce entries go to nvme. So somebody who waits for entries has the
 * queue looked at from time to time.
 */

#include <linux/capability.h>
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "buf.h"
#include "cdq.h"
#include "exec.h"
#include "lm.h"
#include "log.h"
#include "log_ring.h"
#include "mmc.h"
#include "nvme_lm_log.h"
#include "nvme_pf.h"
#include "nvme_pf_log.h"

/* Numbers of slots: the least, the most, what is tried first, and where trying ends */
#define NVMEVF_LOG_MIN		2
#define NVMEVF_LOG_MAX		SZ_1M
#define NVMEVF_LOG_DEFAULT	SZ_64K
#define NVMEVF_LOG_LEAST	SZ_256

/* The most entries that one read() returns */
#define NVMEVF_LOG_BATCH	SZ_2K

/* How often the queue is looked at; the time doubles as long as there is nothing */
#define NVMEVF_LOG_PACE_MS	1
#define NVMEVF_LOG_PACE_MAX_MS	20

/* How often the device is asked whether it has the queue, if there is nothing in it */
#define NVMEVF_LOG_CHECK_MS	1000

/**
 * struct nvmevf_log_dev - the character device of an MMC
 * @node: in nvmevf_log_devs
 * @users: functions with this MMC that are bound; protected by nvmevf_log_devs_lock
 * @ref: one for all functions, one for each file
 * @misc: the character device
 * @cdqs: its queues
 * @lock: protects @gone, @logs, and the changes of what nvmevf_log_show() prints
 * @gone: the last function was unbound
 * @logs: those that may have a queue
 */
struct nvmevf_log_dev {
	struct list_head node;
	unsigned int users;
	struct kref ref;
	struct miscdevice misc;
	struct nvmevf_cdqs cdqs;
	struct mutex lock;	/* protects gone and logs */
	bool gone;
	struct list_head logs;
};

/**
 * struct nvmevf_log - an open file
 * @ref: one for the file, one for nvmevf_log_remove()
 * @node: in the list of @dev, or empty
 * @dev: the device, referenced
 * @read_lock: held by a read(), across its copy to the user; protects @batch, and @taken
 *	       and @returned together with @lock
 * @batch: entries that were taken from the queue
 * @taken: number of them
 * @returned: number of those that the user has
 * @lock: protects what follows; held during commands, never during a copy to the user.
 *	  Before the lock of @dev
 * @cntlid: the controller, valid if @started
 * @cdq: the queue, or NULL
 * @ring: what is in it
 * @given: the head that the device knows
 * @started: there is or was a log
 * @stopped: logging was stopped
 * @last: the last entry was taken
 * @err: why there are no more entries, or 0
 * @entries: number of entries that the user has got
 * @checked: when the device was last asked, in jiffies
 * @wait: woken when @ready is set
 * @ready: read() would not wait
 * @watch: looks at the queue as long as somebody waits
 * @pace_ms: how soon @watch looks again
 */
struct nvmevf_log {
	struct kref ref;
	struct list_head node;
	struct nvmevf_log_dev *dev;
	struct mutex read_lock;	/* protects batch */
	struct nvme_lm_log_entry *batch;
	unsigned int taken;
	unsigned int returned;
	struct mutex lock;	/* protects what follows */
	u16 cntlid;
	struct nvmevf_cdq *cdq;
	struct nvmevf_log_ring ring;
	u32 given;
	bool started;
	bool stopped;
	bool last;
	int err;
	u64 entries;
	unsigned long checked;
	wait_queue_head_t wait;
	bool ready;
	struct delayed_work watch;
	unsigned int pace_ms;
};

static LIST_HEAD(nvmevf_log_devs);
static DEFINE_MUTEX(nvmevf_log_devs_lock);	/* protects nvmevf_log_devs */

/* ---- references ---- */

static void nvmevf_log_dev_release(struct kref *ref)
{
	struct nvmevf_log_dev *dev = container_of(ref, struct nvmevf_log_dev, ref);

	mutex_destroy(&dev->lock);
	kfree(dev->misc.name);
	kfree(dev->misc.nodename);
	kfree(dev);
}

static void nvmevf_log_release(struct kref *ref)
{
	struct nvmevf_log *log = container_of(ref, struct nvmevf_log, ref);

	kref_put(&log->dev->ref, nvmevf_log_dev_release);
	mutex_destroy(&log->read_lock);
	mutex_destroy(&log->lock);
	kvfree(log->batch);
	kfree(log);
}

/* ---- the queue ---- */

static void nvmevf_log_set_ready_locked(struct nvmevf_log *log, bool ready)
{
	lockdep_assert_held(&log->lock);

	WRITE_ONCE(log->ready, ready);
	if (ready)
		wake_up_interruptible_poll(&log->wait, EPOLLIN | EPOLLRDNORM);
}

/* The queue is gone, or useless */
static void nvmevf_log_fail_locked(struct nvmevf_log *log, int err)
{
	lockdep_assert_held(&log->lock);

	WRITE_ONCE(log->err, err);
	nvmevf_log_set_ready_locked(log, true);
}

/* There will be no more entries in the queue */
static bool nvmevf_log_is_over_locked(const struct nvmevf_log *log)
{
	return !log->cdq || log->err || log->last;
}

/* A queue that a reset of the PF has deleted looks like one that nothing is written to */
static void nvmevf_log_check_locked(struct nvmevf_log *log)
{
	bool due = time_after(jiffies, log->checked + msecs_to_jiffies(NVMEVF_LOG_CHECK_MS));

	lockdep_assert_held(&log->lock);

	if (nvmevf_log_is_over_locked(log))
		return;
	if (!nvmevf_cdq_is_suspect(log->cdq) && (!due || !nvmevf_log_ring_empty(&log->ring)))
		return;

	log->checked = jiffies;
	if (nvmevf_cdq_check(log->cdq))
		nvmevf_log_fail_locked(log, -ENOTCONN);
}

/* Whether read() would not wait */
static bool nvmevf_log_is_ready_locked(const struct nvmevf_log *log)
{
	return nvmevf_log_is_over_locked(log) || READ_ONCE(log->returned) < READ_ONCE(log->taken) ||
	       !nvmevf_log_ring_empty(&log->ring);
}

static void nvmevf_log_watch(struct work_struct *work)
{
	struct nvmevf_log *log = container_of(work, struct nvmevf_log, watch.work);

	guard(mutex)(&log->lock);

	nvmevf_log_check_locked(log);
	if (nvmevf_log_is_ready_locked(log)) {
		nvmevf_log_set_ready_locked(log, true);
		return;
	}
	if (!wq_has_sleeper(&log->wait))
		return;

	queue_delayed_work(system_long_wq, &log->watch, msecs_to_jiffies(log->pace_ms));
	log->pace_ms = min(2 * log->pace_ms, NVMEVF_LOG_PACE_MAX_MS);
}

/* The caller is in the wait queue, or about to be */
static void nvmevf_log_begin_watch(struct nvmevf_log *log)
{
	queue_delayed_work(system_long_wq, &log->watch, msecs_to_jiffies(NVMEVF_LOG_PACE_MS));
}

/* ---- start and stop ---- */

/* From here on nvmevf_log_remove() ends the log */
static int nvmevf_log_join(struct nvmevf_log *log, u16 cntlid)
{
	struct nvmevf_log_dev *dev = log->dev;

	guard(mutex)(&dev->lock);

	if (dev->gone)
		return -ENODEV;

	log->cntlid = cntlid;
	list_add(&log->node, &dev->logs);
	return 0;
}

static void nvmevf_log_leave(struct nvmevf_log *log)
{
	guard(mutex)(&log->dev->lock);
	list_del_init(&log->node);
}

/* A suspended controller refuses the stop: deleting the queue is enough */
static void nvmevf_log_end_locked(struct nvmevf_log *log, int err)
{
	lockdep_assert_held(&log->lock);

	if (log->cdq) {
		if (!log->stopped && !nvmevf_log_is_over_locked(log))
			nvmevf_cdq_stop(log->cdq, NVMEVF_EXEC_BRIEF);
		nvmevf_cdq_delete(log->cdq);
		log->cdq = NULL;
	}
	if (!log->err && !log->last)
		nvmevf_log_fail_locked(log, err);
	nvmevf_log_leave(log);
}

/* If the caller leaves the number of slots to us, as many as possible */
static struct nvmevf_cdq *nvmevf_log_create_cdq(struct nvmevf_log *log, u32 entries)
{
	struct nvmevf_cdqs *cdqs = &log->dev->cdqs;
	struct nvmevf_cdq *cdq;

	if (entries)
		return nvmevf_cdq_create(cdqs, log->cntlid, entries);

	for (entries = NVMEVF_LOG_DEFAULT; ; entries /= 2) {
		cdq = nvmevf_cdq_create(cdqs, log->cntlid, entries);
		if (entries == NVMEVF_LOG_LEAST ||
		    (cdq != ERR_PTR(-ENOMEM) && cdq != ERR_PTR(-EINVAL)))
			return cdq;
	}
}

/* The errno of a status means something else to the user, who gets what the header lists */
static int nvmevf_log_user_error(int err)
{
	switch (err) {
	case -ENXIO:
		return -ENODEV;
	case -EINVAL:
	case -EOPNOTSUPP:
	case -EPROTO:
	case -EREMOTEIO:
	case -ENOENT:
		return -EIO;
	default:
		return err;
	}
}

static int nvmevf_log_begin_locked(struct nvmevf_log *log, u32 entries)
{
	struct nvmevf_cdq *cdq;
	int ret;

	cdq = nvmevf_log_create_cdq(log, entries);
	if (cdq == ERR_PTR(-EINVAL))
		dev_err_ratelimited(log->dev->cdqs.log, "controller %u has a queue, or so many slots are not possible: %u\n",
				    log->cntlid, entries ?: NVMEVF_LOG_LEAST);
	if (IS_ERR(cdq))
		return PTR_ERR(cdq);

	ret = nvmevf_cdq_start(cdq);
	if (ret) {
		nvmevf_cdq_delete(cdq);
		return ret;
	}

	log->cdq = cdq;
	nvmevf_log_ring_init(&log->ring, cdq->slots, cdq->entries);
	log->checked = jiffies;
	log->started = true;
	nvmevf_log_set_ready_locked(log, false);
	return 0;
}

static int nvmevf_log_start_locked(struct nvmevf_log *log, struct nvme_lm_log_start *start)
{
	int ret;

	lockdep_assert_held(&log->lock);

	if (log->started)
		return -EBUSY;
	if (!log->batch)
		log->batch = kvmalloc_array(NVMEVF_LOG_BATCH, sizeof(*log->batch),
					    GFP_KERNEL_ACCOUNT);
	if (!log->batch)
		return -ENOMEM;

	ret = nvmevf_log_join(log, start->cntlid);
	if (ret)
		return ret;

	ret = nvmevf_log_begin_locked(log, start->entries);
	if (ret) {
		nvmevf_log_leave(log);
		return nvmevf_log_user_error(ret);
	}

	start->entries = log->cdq->entries;
	return 0;
}

static int nvmevf_log_ioctl_start(struct nvmevf_log *log,
				  struct nvme_lm_log_start __user *arg)
{
	struct nvme_lm_log_start start;
	int ret;

	if (copy_from_user(&start, arg, sizeof(start)))
		return -EFAULT;
	if (start.argsz < sizeof(start) || start.flags || start.rsvd ||
	    (start.entries && start.entries < NVMEVF_LOG_MIN) || start.entries > NVMEVF_LOG_MAX)
		return -EINVAL;

	ret = mutex_lock_interruptible(&log->lock);
	if (ret)
		return ret;
	ret = nvmevf_log_start_locked(log, &start);
	mutex_unlock(&log->lock);
	if (ret || !copy_to_user(arg, &start, sizeof(start)))
		return ret;

	/* the user does not know of it */
	guard(mutex)(&log->lock);
	nvmevf_log_end_locked(log, -EIO);
	return -EFAULT;
}

static int nvmevf_log_stop_locked(struct nvmevf_log *log)
{
	int ret;

	if (!log->started)
		return -EINVAL;
	if (log->err)
		return log->err;
	if (log->stopped || log->last)
		return 0;

	ret = nvmevf_cdq_stop(log->cdq, NVMEVF_EXEC_KILLABLE);
	if (ret == -ENOTCONN)
		nvmevf_log_fail_locked(log, ret);
	log->stopped = !ret;
	return nvmevf_log_user_error(ret);
}

static int nvmevf_log_ioctl_stop(struct nvmevf_log *log)
{
	int ret;

	ret = mutex_lock_interruptible(&log->lock);
	if (ret)
		return ret;

	ret = nvmevf_log_stop_locked(log);
	mutex_unlock(&log->lock);
	return ret;
}

static long nvmevf_log_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case NVME_LM_LOG_START:
		return nvmevf_log_ioctl_start(file->private_data, (void __user *)arg);
	case NVME_LM_LOG_STOP:
		return nvmevf_log_ioctl_stop(file->private_data);
	default:
		return -ENOTTY;
	}
}

/* ---- reading ---- */

/* Fill an empty batch; returns the number of entries, 0 after the last one, or an errno */
static int nvmevf_log_fill_locked(struct nvmevf_log *log)
{
	lockdep_assert_held(&log->read_lock);
	lockdep_assert_held(&log->lock);

	if (!log->started)
		return -EINVAL;
	nvmevf_log_check_locked(log);
	if (log->err || log->last)
		return log->err;

	WRITE_ONCE(log->returned, 0);
	WRITE_ONCE(log->taken, nvmevf_log_ring_take(&log->ring, log->batch, NVMEVF_LOG_BATCH,
						    &log->last));
	if (log->taken)
		log->pace_ms = NVMEVF_LOG_PACE_MS;
	nvmevf_log_set_ready_locked(log, log->taken);
	return log->taken ?: -EAGAIN;
}

static int nvmevf_log_fill(struct nvmevf_log *log)
{
	int ret;

	if (log->returned < log->taken)
		return log->taken - log->returned;

	ret = mutex_lock_interruptible(&log->lock);
	if (ret)
		return ret;

	ret = nvmevf_log_fill_locked(log);
	mutex_unlock(&log->lock);
	return ret;
}

static int nvmevf_log_fill_or_wait(struct nvmevf_log *log, bool nonblock)
{
	int ret;

	for (;;) {
		ret = nvmevf_log_fill(log);
		if (ret != -EAGAIN || nonblock)
			return ret;

		nvmevf_log_begin_watch(log);
		ret = wait_event_interruptible(log->wait, READ_ONCE(log->ready));
		if (ret)
			return ret;
	}
}

/* Give the slots of what the user has back to the device; if it fails the next read() does it */
static void nvmevf_log_give_back_locked(struct nvmevf_log *log)
{
	u32 head = nvmevf_log_ring_back(&log->ring, log->taken - log->returned);
	int ret;

	if (nvmevf_log_is_over_locked(log) || head == log->given)
		return;

	ret = nvmevf_cdq_set_head(log->cdq, head);
	if (!ret)
		log->given = head;
	else if (ret != -EBUSY && ret != -EINTR && ret != -ETIMEDOUT && ret != -ENOMEM)
		nvmevf_log_fail_locked(log, ret == -ENOTCONN ? ret : -EIO);
}

static void nvmevf_log_returned(struct nvmevf_log *log, unsigned int n)
{
	guard(mutex)(&log->lock);

	WRITE_ONCE(log->returned, log->returned + n);
	WRITE_ONCE(log->entries, log->entries + n);
	nvmevf_log_give_back_locked(log);
	nvmevf_log_set_ready_locked(log, nvmevf_log_is_ready_locked(log));
}

/* Returns bytes or an errno */
static ssize_t nvmevf_log_copy(struct nvmevf_log *log, char __user *buf, size_t max)
{
	size_t n = min_t(size_t, max, log->taken - log->returned), left;

	left = copy_to_user(buf, log->batch + log->returned, n * sizeof(*log->batch));
	n = (n * sizeof(*log->batch) - left) / sizeof(*log->batch);
	if (!n)
		return -EFAULT;

	nvmevf_log_returned(log, n);
	return n * sizeof(*log->batch);
}

static int nvmevf_log_lock_read(struct nvmevf_log *log, bool nonblock)
{
	if (!nonblock)
		return mutex_lock_interruptible(&log->read_lock);

	return mutex_trylock(&log->read_lock) ? 0 : -EAGAIN;
}

static ssize_t nvmevf_log_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	bool nonblock = file->f_flags & O_NONBLOCK;
	struct nvmevf_log *log = file->private_data;
	size_t max = count / sizeof(*log->batch);
	ssize_t ret;

	if (!max)
		return -EINVAL;

	ret = nvmevf_log_lock_read(log, nonblock);
	if (ret)
		return ret;

	ret = nvmevf_log_fill_or_wait(log, nonblock);
	if (ret > 0)
		ret = nvmevf_log_copy(log, buf, max);
	mutex_unlock(&log->read_lock);
	return ret;
}

/* It does not wait for a command: the watch wakes the caller if there is something */
static __poll_t nvmevf_log_poll(struct file *file, struct poll_table_struct *table)
{
	struct nvmevf_log *log = file->private_data;
	__poll_t mask = 0;

	poll_wait(file, &log->wait, table);

	if (mutex_trylock(&log->lock)) {
		WRITE_ONCE(log->ready, nvmevf_log_is_ready_locked(log));
		if (log->err || log->last)
			mask |= EPOLLHUP;
		mutex_unlock(&log->lock);
	}
	if (READ_ONCE(log->ready))
		return mask | EPOLLIN | EPOLLRDNORM;

	nvmevf_log_begin_watch(log);
	return mask;
}

/* ---- files ---- */

static int nvmevf_log_open(struct inode *inode, struct file *file)
{
	struct nvmevf_log_dev *dev = container_of(file->private_data, struct nvmevf_log_dev, misc);
	struct nvmevf_log *log;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;

	log = kzalloc_obj(*log, GFP_KERNEL_ACCOUNT);
	if (!log)
		return -ENOMEM;

	/* misc holds its lock: the device is still registered */
	kref_get(&dev->ref);
	log->dev = dev;
	kref_init(&log->ref);
	INIT_LIST_HEAD(&log->node);
	mutex_init(&log->read_lock);
	mutex_init(&log->lock);
	init_waitqueue_head(&log->wait);
	INIT_DELAYED_WORK(&log->watch, nvmevf_log_watch);
	log->pace_ms = NVMEVF_LOG_PACE_MS;
	log->ready = true;
	file->private_data = log;
	return stream_open(inode, file);
}

static int nvmevf_log_close(struct inode *inode, struct file *file)
{
	struct nvmevf_log *log = file->private_data;

	scoped_guard(mutex, &log->lock)
		nvmevf_log_end_locked(log, -EIO);
	cancel_delayed_work_sync(&log->watch);
	kref_put(&log->ref, nvmevf_log_release);
	return 0;
}

static const struct file_operations nvmevf_log_fops = {
	.owner		= THIS_MODULE,
	.open		= nvmevf_log_open,
	.release	= nvmevf_log_close,
	.read		= nvmevf_log_read,
	.poll		= nvmevf_log_poll,
	.unlocked_ioctl	= nvmevf_log_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

/* ---- devices ---- */

/* Whether the entries are of the type that read() promises */
static bool nvmevf_log_format_fits(struct nvmevf_lm *lm)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_identify_nvm };
	struct nvmevf_buf *buf = nvmevf_buf_alloc(NVME_IDENTIFY_DATA_SIZE);
	int ret;

	if (!buf)
		return false;

	ret = nvmevf_ask(lm, &op, buf, 0);
	if (!ret && !nvmevf_log_has_format(buf->data))
		ret = -EOPNOTSUPP;
	if (ret)
		pci_info(lm->vf, "no log of user data: format of its entries: %pe\n", ERR_PTR(ret));
	nvmevf_buf_put(buf);
	return !ret;
}

static struct nvmevf_log_dev *nvmevf_log_dev_alloc(struct pci_dev *pdev)
{
	struct nvmevf_log_dev *dev = kzalloc_obj(*dev);

	if (!dev)
		return NULL;

	kref_init(&dev->ref);
	mutex_init(&dev->lock);
	INIT_LIST_HEAD(&dev->logs);
	dev->misc.minor = MISC_DYNAMIC_MINOR;
	dev->misc.fops = &nvmevf_log_fops;
	dev->misc.parent = &pdev->dev;
	dev->misc.mode = 0600;
	dev->misc.name = kasprintf(GFP_KERNEL, "nvme-lm-%s", pci_name(pdev));
	dev->misc.nodename = kasprintf(GFP_KERNEL, "nvme-lm/%s", pci_name(pdev));
	if (dev->misc.name && dev->misc.nodename)
		return dev;

	nvmevf_log_dev_release(&dev->ref);
	return NULL;
}

static int nvmevf_log_dev_register(struct nvmevf_log_dev *dev, struct nvmevf_lm *lm)
{
	int ret;

	ret = nvmevf_cdqs_init(&dev->cdqs, lm->mmc, lm->log_queues);
	if (ret)
		return ret;

	/* not before the device is complete: a log may be started at once */
	guard(mutex)(&dev->lock);
	ret = misc_register(&dev->misc);
	if (ret) {
		nvmevf_cdqs_exit(&dev->cdqs);
		return ret;
	}

	dev->cdqs.log = dev->misc.this_device;
	return 0;
}

static struct nvmevf_log_dev *nvmevf_log_dev_new(struct nvmevf_lm *lm)
{
	struct nvmevf_log_dev *dev;
	int ret = -ENOMEM;

	lockdep_assert_held(&nvmevf_log_devs_lock);

	if (!nvmevf_log_format_fits(lm))
		return NULL;

	dev = nvmevf_log_dev_alloc(nvmevf_mmc_pf(lm->mmc));
	if (dev)
		ret = nvmevf_log_dev_register(dev, lm);
	if (ret) {
		pci_info(lm->vf, "no log of user data: %pe\n", ERR_PTR(ret));
		if (dev)
			kref_put(&dev->ref, nvmevf_log_dev_release);
		return NULL;
	}

	dev_info(dev->misc.this_device, "%u controllers can be logged at a time\n",
		 lm->log_queues);
	list_add(&dev->node, &nvmevf_log_devs);
	return dev;
}

static struct nvmevf_log_dev *nvmevf_log_dev_find(const struct nvmevf_lm *lm)
{
	struct device *pf = &nvmevf_mmc_pf(lm->mmc)->dev;
	struct nvmevf_log_dev *dev;

	lockdep_assert_held(&nvmevf_log_devs_lock);

	list_for_each_entry(dev, &nvmevf_log_devs, node)
		if (dev->misc.parent == pf)
			return dev;

	return NULL;
}

/**
 * nvmevf_log_add - create the character device of a function's MMC
 * @lm: the function, linked to its MMC
 *
 * Nothing is done if the MMC cannot log, or has its device already. A failure is logged;
 * migration works without.
 *
 * Context: Process, probe; sleeps.
 */
void nvmevf_log_add(struct nvmevf_lm *lm)
{
	if (!lm->log_queues)
		return;

	guard(mutex)(&nvmevf_log_devs_lock);

	lm->log = nvmevf_log_dev_find(lm) ?: nvmevf_log_dev_new(lm);
	if (lm->log)
		lm->log->users++;
}

static struct nvmevf_log *nvmevf_log_first(struct nvmevf_log_dev *dev)
{
	struct nvmevf_log *log;

	guard(mutex)(&dev->lock);

	dev->gone = true;
	log = list_first_entry_or_null(&dev->logs, struct nvmevf_log, node);
	if (log)
		kref_get(&log->ref);
	return log;
}

static void nvmevf_log_dev_unregister(struct nvmevf_log_dev *dev)
{
	struct nvmevf_log *log;

	list_del(&dev->node);
	while ((log = nvmevf_log_first(dev))) {
		scoped_guard(mutex, &log->lock)
			nvmevf_log_end_locked(log, -ENODEV);
		kref_put(&log->ref, nvmevf_log_release);
	}
	nvmevf_cdqs_exit(&dev->cdqs);
	misc_deregister(&dev->misc);
	kref_put(&dev->ref, nvmevf_log_dev_release);
}

/**
 * nvmevf_log_remove - undo nvmevf_log_add()
 * @lm: the function
 *
 * With the last function of an MMC its logs end, although their files may be open.
 *
 * Context: Process, the function is still linked to its MMC; sleeps for seconds for each
 * log, and until a start that is under way has ended.
 */
void nvmevf_log_remove(struct nvmevf_lm *lm)
{
	if (!lm->log)
		return;

	guard(mutex)(&nvmevf_log_devs_lock);

	if (!--lm->log->users)
		nvmevf_log_dev_unregister(lm->log);
	lm->log = NULL;
}

/**
 * nvmevf_log_show - print the log of a function's changes
 * @lm: the function
 * @seq: where to
 *
 * Nothing is printed if the MMC cannot log.
 *
 * Context: Process; sleeps, but waits for no command.
 */
void nvmevf_log_show(struct nvmevf_lm *lm, struct seq_file *seq)
{
	const struct nvmevf_log *log;

	if (!lm->log)
		return;

	guard(mutex)(&lm->log->lock);

	list_for_each_entry(log, &lm->log->logs, node) {
		if (log->cntlid != lm->cntlid)
			continue;
		seq_printf(seq, "log of user data: on, %llu entries read, head %u\n",
			   READ_ONCE(log->entries), READ_ONCE(log->given));
		return;
	}
	seq_puts(seq, "log of user data: off\n");
}
