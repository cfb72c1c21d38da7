// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration files: the user reads the stream of a save, and writes that of a load.
 *
 * A save makes one record at a time, a load parses records byte by byte. Both keep the
 * controller state of two transfers in memory, whatever the size of the state: one with
 * the user, one with the device. So a large state takes the time of the device or that
 * of the user, whichever is longer, not the sum. Before the VF is stopped, a save sends
 * HELLO, so that a destination that cannot take over the VF refuses while the VM still
 * runs.
 *
 * User memory is never accessed under a lock. Instead, read() and write() own the
 * session's busy token, for which reset, arcs, close and release never wait. These
 * mark the session dead; its memory is freed with its file.
 */

#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/wait_bit.h>

#include "buf.h"
#include "exec.h"
#include "lm.h"
#include "match.h"
#include "migf.h"
#include "mmc.h"
#include "ops.h"
#include "probe.h"
#include "stats.h"
#include "stream.h"
#include "trace.h"
#include "vf.h"
#include "wire.h"

/* The guest decides how often HELLO changes, and the destination accepts 1 MiB of them */
#define NVMEVF_HELLOS_MAX	64

/**
 * struct nvmevf_session - one save or load
 * @vf: the device; its memory is pinned, but nothing in it is used once @dead
 * @pdev: its PCI device, pinned
 * @filp: the file; @vf holds a reference until the session ends
 * @wait: poll()
 * @busy: bit 0 is the token of read() and write(), which protects everything that the
 *	  state mutex does not
 * @dead: the session ended; written under the state mutex
 * @precopy: save: the VF is not stopped yet; written under the state mutex
 * @hello_due: save: in pre-copy, a HELLO has to be made; under the state mutex
 * @hellos: save: number of HELLOs before the VF is stopped; under the state mutex
 * @state_len: save: bytes of controller state for the next HELLO, or in the last one
 *	       made; under the state mutex
 * @ahead: save: bytes of HELLOs that can be read before the VF is stopped
 * @committed: load: the device took over the state; under the state mutex
 * @needs_reset: load: the VF has run since its last reset
 * @enabled: load: the VF's CC.EN was set when the load began
 * @told: load: the incomplete stream has been logged; under the state mutex
 * @error: errno that the session failed with and keeps, or 0
 * @buf: memory of @stream's data; NULL before the VF is stopped
 * @spare: memory of the transfer that is under way, or free; NULL until a state needs it
 * @stream: the stream
 * @pos: save: bytes of the current record that were read
 */
struct nvmevf_session {
	struct nvmevf_device *vf;
	struct pci_dev *pdev;
	struct file *filp;
	wait_queue_head_t wait;
	unsigned long busy;
	bool dead;
	bool precopy;
	bool hello_due;
	unsigned int hellos;
	u64 state_len;
	atomic_t ahead;
	bool committed;
	bool needs_reset;
	bool enabled;
	bool told;
	int error;
	struct nvmevf_buf *buf;
	struct nvmevf_buf *spare;
	struct nvmevf_stream stream;
	size_t pos;
};

static int nvmevf_session_get_token(struct nvmevf_session *s)
{
	return wait_on_bit_lock(&s->busy, 0, TASK_KILLABLE) ? -EINTR : 0;
}

static void nvmevf_session_put_token(struct nvmevf_session *s)
{
	clear_and_wake_up_bit(0, &s->busy);
}

/* Take the state mutex, unless the session is dead; the file may outlive the device */
static int nvmevf_session_lock(struct nvmevf_session *s)
{
	if (mutex_lock_killable(&s->vf->state_mutex))
		return -EINTR;

	if (s->dead) {
		mutex_unlock(&s->vf->state_mutex);
		return -ENODEV;
	}

	return 0;
}

static void nvmevf_session_unlock(struct nvmevf_session *s)
{
	mutex_unlock(&s->vf->state_mutex);
}

static int nvmevf_session_release(struct inode *inode, struct file *filp)
{
	struct nvmevf_session *s = filp->private_data;

	nvmevf_buf_put(s->spare);
	nvmevf_buf_put(s->buf);
	pci_dev_put(s->pdev);
	put_device(&s->vf->core.vdev.device);
	kfree(s);
	return 0;
}

static struct nvmevf_session *nvmevf_session_new(struct nvmevf_device *vf,
						 const struct file_operations *fops, int oflags)
{
	struct nvmevf_session *s = kzalloc_obj(*s, GFP_KERNEL_ACCOUNT);

	lockdep_assert_held(&vf->state_mutex);

	if (!s)
		return ERR_PTR(-ENOMEM);

	s->filp = anon_inode_getfile("[nvmevf-mig]", fops, s, oflags);
	if (IS_ERR(s->filp)) {
		struct file *filp = s->filp;

		kfree(s);
		return ERR_CAST(filp);
	}

	stream_open(s->filp->f_inode, s->filp);
	get_device(&vf->core.vdev.device);
	s->vf = vf;
	s->pdev = pci_dev_get(vf->core.pdev);
	init_waitqueue_head(&s->wait);
	vf->session = s;
	return s;
}

/**
 * nvmevf_session_end_locked - end the save or load session, if there is one
 * @vf: the device
 *
 * Its file stays open, and returns -ENODEV.
 *
 * Context: State mutex held; does not wait for a read() or write() in progress.
 */
void nvmevf_session_end_locked(struct nvmevf_device *vf)
{
	struct nvmevf_session *s = vf->session;

	lockdep_assert_held(&vf->state_mutex);

	if (!s)
		return;

	nvmevf_lm_drop_ahead(vf->lm);
	WRITE_ONCE(s->dead, true);
	wake_up_all(&s->wait);
	vf->session = NULL;
	fput(s->filp);
}

/**
 * nvmevf_session_refused_locked - whether there is a load whose stream was refused
 * @vf: the device
 *
 * Context: State mutex held.
 * Return: true if it was, and the reason is in the log.
 */
bool nvmevf_session_refused_locked(struct nvmevf_device *vf)
{
	const struct nvmevf_session *s = vf->session;

	lockdep_assert_held(&vf->state_mutex);

	return s && READ_ONCE(s->error) && s->stream.refusal.why[0];
}

/* Make the spare buffer the one of the stream */
static int nvmevf_swap_bufs(struct nvmevf_session *s)
{
	if (!s->spare)
		s->spare = nvmevf_buf_alloc(s->buf->len);
	if (!s->spare)
		return -ENOMEM;

	swap(s->buf, s->spare);
	s->stream.data = s->buf->data;
	return 0;
}

/* Whether the sizes in the container's header add up to the total */
static bool nvmevf_sizes_add_up(const struct nvmevf_session *s)
{
	u64 len;

	if (s->vf->lm->ops->cmdset != NVME_LM_CMDSET_TP4159)
		return true;

	return nvmevf_container_len(s->buf->data, &len) && len == s->stream.total;
}

/* Have the device fill the other buffer; if that fails, the piece is read when it is due */
static void nvmevf_save_ahead(struct nvmevf_session *s)
{
	const struct nvmevf_stream *st = &s->stream;
	u64 next = st->offset + nvmevf_stream_piece_len(st);
	struct nvmevf_lm *lm = s->vf->lm;

	if (next == st->total || !lm->ops->read_ahead)
		return;

	if (!s->spare)
		s->spare = nvmevf_buf_alloc(s->buf->len);
	if (s->spare)
		lm->ops->read_ahead(lm, s->spare, next, min_t(u64, st->total - next, st->size),
				    NVMEVF_EXEC_KILLABLE);
}

static int nvmevf_save_read_piece(struct nvmevf_session *s)
{
	struct nvmevf_stream *st = &s->stream;
	struct nvmevf_lm *lm = s->vf->lm;
	int ret;

	/* the first piece came with the size of the state */
	if (!st->offset)
		return 0;

	ret = nvmevf_swap_bufs(s);
	if (ret)
		return ret;
	ret = lm->ops->read_state(lm, s->buf, st->offset, nvmevf_stream_piece_len(st),
				  NVMEVF_EXEC_KILLABLE);
	return nvmevf_judge_locked(s->vf, ret);
}

static int nvmevf_save_piece(struct nvmevf_session *s)
{
	int ret;

	ret = nvmevf_save_read_piece(s);
	if (ret)
		return ret;

	nvmevf_save_ahead(s);
	nvmevf_stream_make_piece(&s->stream);
	return 0;
}

/*
 * If the device reports CSUP, each piece has shown that the VF was still suspended. A
 * reset of the PF since then shows only if nvme counts resets.
 */
static int nvmevf_save_end(struct nvmevf_session *s)
{
	struct nvmevf_lm *lm = s->vf->lm;
	int ret;

	if (lm->ops->check_suspended && (!lm->csup || lm->sent_resets < 0)) {
		ret = lm->ops->check_suspended(lm, NVMEVF_EXEC_KILLABLE);
		if (ret)
			return nvmevf_judge_locked(s->vf, ret);
	}

	nvmevf_stream_make_end(&s->stream);
	nvmevf_count(&lm->stats, NVMEVF_NR_SAVES, 1);
	return 0;
}

/* Before the VF is stopped, the stream consists of HELLOs, and their end is not its end */
static int nvmevf_save_hello(struct nvmevf_session *s)
{
	struct nvmevf_stream *st = &s->stream;

	if (s->precopy && !s->hello_due)
		return -ENOMSG;

	st->total = s->state_len;
	nvmevf_stream_make_hello(st, &s->vf->lm->hello);
	if (s->precopy) {
		s->hello_due = false;
		st->stage = NVMEVF_STAGE_PRECOPY;
	} else {
		st->data = s->buf->data;
		st->size = s->buf->len;
	}

	return 0;
}

static int nvmevf_save_next_locked(struct nvmevf_session *s)
{
	int ret;

	/* a reset of the PF makes the VF run, and the data read so far worthless */
	ret = nvmevf_check_lost_locked(s->vf);
	if (ret)
		return ret;

	switch (s->stream.stage) {
	case NVMEVF_STAGE_PRECOPY:
	case NVMEVF_STAGE_HELLO:
		return nvmevf_save_hello(s);
	case NVMEVF_STAGE_DATA:
		return nvmevf_save_piece(s);
	default:
		return nvmevf_save_end(s);
	}
}

/* Returns the bytes ready to be read, after making the next record if necessary; 0 at the end */
static ssize_t nvmevf_save_fill(struct nvmevf_session *s)
{
	const struct nvmevf_stream *st = &s->stream;
	int ret;

	if (READ_ONCE(s->dead))
		return -ENODEV;
	if (s->error)
		return s->error;
	if (s->pos < st->head_len + st->data_len)
		return st->head_len + st->data_len - s->pos;
	if (st->stage == NVMEVF_STAGE_DONE)
		return 0;

	ret = nvmevf_session_lock(s);
	if (ret)
		return ret;
	ret = nvmevf_save_next_locked(s);
	if (!ret) {
		trace_nvmevf_record(s->pdev, true, st->tag, st->rec_len);
		nvmevf_count(&s->vf->lm->stats, NVMEVF_NR_SAVED, st->head_len + st->data_len);
	}
	nvmevf_session_unlock(s);

	if (ret) {
		if (ret != -ENOMSG)
			WRITE_ONCE(s->error, ret);
		return ret;
	}

	s->pos = 0;
	return st->head_len + st->data_len;
}

static ssize_t nvmevf_save_copy(struct nvmevf_session *s, char __user *buf, size_t len)
{
	const struct nvmevf_stream *st = &s->stream;
	ssize_t avail = nvmevf_save_fill(s);
	const void *from;

	if (avail <= 0)
		return avail;

	if (s->pos < st->head_len) {
		from = st->head + s->pos;
		avail = st->head_len - s->pos;
	} else {
		from = st->data + s->pos - st->head_len;
	}

	len = min_t(size_t, len, avail);
	if (copy_to_user(buf, from, len))
		return -EFAULT;

	s->pos += len;
	if (st->stage == NVMEVF_STAGE_PRECOPY)
		atomic_sub(len, &s->ahead);
	return len;
}

static ssize_t nvmevf_save_read(struct file *filp, char __user *buf, size_t len, loff_t *pos)
{
	struct nvmevf_session *s = filp->private_data;
	ssize_t ret = 0;
	size_t done = 0;

	if (pos)
		return -ESPIPE;
	if (nvmevf_session_get_token(s))
		return -EINTR;

	while (done < len) {
		ret = nvmevf_save_copy(s, buf + done, len - done);
		if (ret <= 0)
			break;
		done += ret;
	}

	nvmevf_session_put_token(s);
	return done ?: ret;
}

static __poll_t nvmevf_save_poll(struct file *filp, struct poll_table_struct *wait)
{
	struct nvmevf_session *s = filp->private_data;

	poll_wait(filp, &s->wait, wait);

	if (READ_ONCE(s->dead) || READ_ONCE(s->error))
		return EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	if (READ_ONCE(s->precopy) && !atomic_read(&s->ahead))
		return 0;
	return EPOLLIN | EPOLLRDNORM;
}

static void nvmevf_precopy_offer_locked(struct nvmevf_session *s, u64 state_len)
{
	s->state_len = state_len;
	s->hello_due = true;
	s->hellos++;
	atomic_add(NVMEVF_HELLO_LEN, &s->ahead);
	wake_up_all(&s->wait);
}

/* A device may refuse this for a running VF, or be busy: the last known size is enough then */
static int nvmevf_precopy_size_locked(struct nvmevf_device *vf, u64 *len)
{
	int ret;

	ret = nvmevf_state_size_locked(vf, len);
	if (!ret)
		nvmevf_note_size_locked(vf, *len);
	if (!ret || ret == -EINTR || ret == -ECANCELED || vf->lost)
		return ret;

	*len = vf->state_len;
	return 0;
}

/*
 * HELLO stays the same while the VF is open, except for the length of the state, which
 * grows when the guest creates more queues.
 */
static int nvmevf_precopy_look_locked(struct nvmevf_session *s)
{
	u64 len;
	int ret;

	if (!nvmevf_precopy_info_v2(&s->vf->core.vdev) || s->hello_due ||
	    s->hellos == NVMEVF_HELLOS_MAX)
		return 0;

	ret = nvmevf_precopy_size_locked(s->vf, &len);
	if (!ret && len > s->state_len)
		nvmevf_precopy_offer_locked(s, len);
	return ret;
}

static int nvmevf_precopy_info_locked(struct nvmevf_session *s, struct vfio_precopy_info *info)
{
	int ret;

	if (s->dead || !s->precopy)
		return -EINVAL;

	ret = nvmevf_check_lost_locked(s->vf);
	if (!ret)
		ret = nvmevf_precopy_look_locked(s);
	if (ret)
		return ret;

	if (s->hello_due && s->hellos > 1 && nvmevf_precopy_info_v2(&s->vf->core.vdev))
		info->flags |= VFIO_PRECOPY_INFO_REINIT;
	info->initial_bytes = atomic_read(&s->ahead);
	info->dirty_bytes = 0;
	return 0;
}

static long nvmevf_save_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct nvmevf_session *s = filp->private_data;
	struct vfio_precopy_info info;
	int ret;

	ret = vfio_check_precopy_ioctl(&s->vf->core.vdev, cmd, arg, &info);
	if (ret)
		return ret;

	if (mutex_lock_killable(&s->vf->state_mutex))
		return -EINTR;
	ret = nvmevf_precopy_info_locked(s, &info);
	nvmevf_session_unlock(s);
	if (ret)
		return ret;

	return copy_to_user((void __user *)arg, &info,
			    offsetofend(struct vfio_precopy_info, dirty_bytes)) ? -EFAULT : 0;
}

static const struct file_operations nvmevf_save_fops = {
	.owner		= THIS_MODULE,
	.read		= nvmevf_save_read,
	.poll		= nvmevf_save_poll,
	.unlocked_ioctl	= nvmevf_save_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.release	= nvmevf_session_release,
	.llseek		= noop_llseek,
};

static int nvmevf_save_check_locked(struct nvmevf_device *vf)
{
	lockdep_assert_held(&vf->state_mutex);

	if (vf->lm->hello.cap)
		return 0;

	nvmevf_err(&vf->lm->stats, "save refused: registers of the VF could not be read");
	return -EIO;
}

/* No destination takes the state of an offline VF; if the PF does not answer, the save finds out */
static int nvmevf_save_check_online_locked(struct nvmevf_device *vf)
{
	struct nvmevf_lm *lm = vf->lm;

	if (nvmevf_lm_refresh(lm, NVMEVF_EXEC_KILLABLE) || lm->online)
		return 0;

	nvmevf_err(&lm->stats, "save refused: secondary controller %u is offline", lm->cntlid);
	return -ENODEV;
}

/**
 * nvmevf_precopy_open_locked - begin a save of a VF that is not stopped yet
 * @vf: the device
 *
 * For the arcs RUNNING -> PRE_COPY and RUNNING_P2P -> PRE_COPY_P2P.
 *
 * Context: State mutex held; sends a command, a fatal signal ends it.
 * Return: the file to read, or an ERR_PTR.
 */
struct file *nvmevf_precopy_open_locked(struct nvmevf_device *vf)
{
	struct nvmevf_session *s;
	u64 len;
	int ret;

	ret = nvmevf_save_check_locked(vf);
	if (!ret)
		ret = nvmevf_save_check_online_locked(vf);
	if (!ret)
		ret = nvmevf_precopy_size_locked(vf, &len);
	if (ret)
		return ERR_PTR(ret);

	s = nvmevf_session_new(vf, &nvmevf_save_fops, O_RDONLY);
	if (IS_ERR(s))
		return ERR_CAST(s);

	s->precopy = true;
	s->stream.stage = NVMEVF_STAGE_PRECOPY;
	nvmevf_precopy_offer_locked(s, len);
	return get_file(s->filp);
}

/**
 * nvmevf_precopy_unread_locked - amount left to be read before the VF is stopped
 * @vf: the device
 *
 * Context: State mutex held.
 * Return: bytes, in addition to the stream that is made when the VF is stopped.
 */
u64 nvmevf_precopy_unread_locked(struct nvmevf_device *vf)
{
	lockdep_assert_held(&vf->state_mutex);

	return vf->session && vf->session->precopy ? atomic_read(&vf->session->ahead) : 0;
}

static struct nvmevf_buf *nvmevf_save_begin_locked(struct nvmevf_device *vf, u64 *total)
{
	struct nvmevf_lm *lm = vf->lm;
	struct nvmevf_buf *buf;
	int ret;

	/* the VM waits, so the list is read only if a register gives reason to */
	if (vf->failed) {
		ret = nvmevf_save_check_online_locked(vf);
		if (ret)
			return ERR_PTR(ret);
	}

	*total = vf->state_len;
	buf = lm->ops->save_begin(lm, total, NVMEVF_EXEC_KILLABLE);
	if (!nvmevf_judge_locked(vf, PTR_ERR_OR_ZERO(buf)))
		nvmevf_note_size_locked(vf, *total);
	return buf;
}

/**
 * nvmevf_precopy_stop_locked - continue the save of a VF that is stopped now
 * @vf: the device, suspended
 *
 * For the arc PRE_COPY_P2P -> STOP_COPY. Another HELLO comes first, after the unread
 * part of the earlier ones.
 *
 * Context: State mutex held; sends commands, a fatal signal ends them.
 * Return: 0 or a negative errno.
 */
int nvmevf_precopy_stop_locked(struct nvmevf_device *vf)
{
	struct nvmevf_session *s = vf->session;
	struct nvmevf_buf *buf;
	u64 total;

	lockdep_assert_held(&vf->state_mutex);

	buf = nvmevf_save_begin_locked(vf, &total);
	if (IS_ERR(buf))
		return PTR_ERR(buf);

	/* do not touch @stream: a read() may be in progress */
	s->buf = buf;
	s->state_len = total;
	vf->data_size += atomic_read(&s->ahead);
	WRITE_ONCE(s->precopy, false);
	wake_up_all(&s->wait);
	return 0;
}

/**
 * nvmevf_save_open_locked - begin a save, the arc STOP -> STOP_COPY
 * @vf: the device, suspended
 *
 * Context: State mutex held; sends commands, a fatal signal ends them.
 * Return: the file to read, or an ERR_PTR.
 */
struct file *nvmevf_save_open_locked(struct nvmevf_device *vf)
{
	struct nvmevf_session *s;
	struct nvmevf_buf *buf;
	u64 total;
	int ret;

	ret = nvmevf_save_check_locked(vf);
	if (ret)
		return ERR_PTR(ret);

	buf = nvmevf_save_begin_locked(vf, &total);
	if (IS_ERR(buf))
		return ERR_CAST(buf);

	s = nvmevf_session_new(vf, &nvmevf_save_fops, O_RDONLY);
	if (IS_ERR(s)) {
		nvmevf_buf_put(buf);
		return ERR_CAST(s);
	}

	s->buf = buf;
	s->state_len = total;
	s->stream.stage = NVMEVF_STAGE_HELLO;
	return get_file(s->filp);
}

static int nvmevf_load_hello(struct nvmevf_session *s)
{
	struct nvmevf_stream *st = &s->stream;
	int ret;

	ret = nvmevf_session_lock(s);
	if (ret)
		return ret;
	ret = nvmevf_hello_check(&st->refusal, (const void *)st->head, st->size, s->vf->lm);
	nvmevf_session_unlock(s);

	if (!ret)
		nvmevf_stream_accept_hello(st);
	return ret;
}

/* Check the state itself, before the device gets any of it */
static int nvmevf_load_check(struct nvmevf_session *s)
{
	struct nvmevf_stream *st = &s->stream;
	struct nvmevf_lm *lm = s->vf->lm;
	struct nvmevf_queues q;
	int ret;

	if (!nvmevf_sizes_add_up(s))
		return nvmevf_refuse(&st->refusal, -EPROTO,
				     "sizes in the controller state do not add up");
	ret = nvmevf_state_check(&st->refusal, st->data, st->offset, lm);
	if (ret)
		return ret;
	/* a VM that uses the admin queue would find its controller dead */
	if (nvmevf_io_queues_only(lm) && !s->enabled &&
	    !nvmevf_state_queues(st->data, st->offset, &q) && (q.nsq || q.ncq))
		return nvmevf_refuse(&st->refusal, -ESHUTDOWN,
				     "state has I/O queues only, and the VF is disabled");
	return 0;
}

/*
 * Set is legal even for a VF that a reset of the PF took offline, so its success does
 * not mean that the VF is still suspended: ask while the source can still continue.
 */
static int nvmevf_load_verify_locked(struct nvmevf_session *s)
{
	struct nvmevf_lm *lm = s->vf->lm;
	int ret;

	if (!lm->ops->check_suspended)
		return nvmevf_check_lost_locked(s->vf);

	ret = nvmevf_judge_locked(s->vf, lm->ops->check_suspended(lm, NVMEVF_EXEC_KILLABLE));
	return ret ? nvmevf_refuse(&s->stream.refusal, ret, "VF is not known to be suspended") : 0;
}

static int nvmevf_load_refused(struct nvmevf_session *s, u64 offset, int err)
{
	if (!nvmevf_judge_locked(s->vf, err))
		return 0;

	return nvmevf_refuse(&s->stream.refusal, err, "device refused the state at offset %llu",
			     offset);
}

/* The device has to have taken the pieces before this one */
static int nvmevf_load_prepare_locked(struct nvmevf_session *s)
{
	struct nvmevf_lm *lm = s->vf->lm;
	int ret;

	ret = nvmevf_check_lost_locked(s->vf);
	if (!ret && !s->stream.sent)
		ret = nvmevf_load_check(s);
	if (!ret && lm->ops->write_end)
		ret = nvmevf_load_refused(s, lm->ahead.op.offset, lm->ops->write_end(lm));
	return ret;
}

static void nvmevf_load_note_sent(struct nvmevf_session *s)
{
	struct nvmevf_stream *st = &s->stream;

	nvmevf_count(&s->vf->lm->stats, NVMEVF_NR_LOADED, st->offset - st->sent);
	st->sent = st->offset;
}

/* Send to the device what has arrived, and let the next bytes arrive meanwhile */
static int nvmevf_load_flush_locked(struct nvmevf_session *s)
{
	struct nvmevf_stream *st = &s->stream;
	struct nvmevf_lm *lm = s->vf->lm;
	int ret;

	ret = nvmevf_load_prepare_locked(s);
	if (ret)
		return ret;
	if (!lm->ops->write_ahead)
		return nvmevf_load_refused(s, st->sent, -EFBIG);

	ret = lm->ops->write_ahead(lm, s->buf, st->sent, st->offset - st->sent,
				   NVMEVF_EXEC_KILLABLE);
	ret = nvmevf_load_refused(s, st->sent, ret);
	if (ret)
		return ret;

	nvmevf_load_note_sent(s);
	return nvmevf_swap_bufs(s);
}

static int nvmevf_load_flush(struct nvmevf_session *s)
{
	int ret;

	ret = nvmevf_session_lock(s);
	if (ret)
		return ret;
	ret = nvmevf_load_flush_locked(s);
	nvmevf_session_unlock(s);
	return ret;
}

static int nvmevf_load_commit_locked(struct nvmevf_session *s)
{
	struct nvmevf_stream *st = &s->stream;
	struct nvmevf_lm *lm = s->vf->lm;
	int ret;

	ret = nvmevf_load_prepare_locked(s);
	if (ret)
		return ret;

	ret = lm->ops->write_state(lm, s->buf, st->sent, st->offset - st->sent,
				   NVMEVF_EXEC_KILLABLE);
	ret = nvmevf_load_refused(s, st->sent, ret);
	if (!ret)
		ret = nvmevf_load_verify_locked(s);
	if (ret)
		return ret;

	nvmevf_load_note_sent(s);
	nvmevf_count(&lm->stats, NVMEVF_NR_LOADS, 1);
	s->committed = true;
	return 0;
}

static int nvmevf_load_commit(struct nvmevf_session *s)
{
	int ret;

	ret = nvmevf_session_lock(s);
	if (ret)
		return ret;
	ret = nvmevf_load_commit_locked(s);
	nvmevf_session_unlock(s);

	if (!ret)
		s->stream.stage = NVMEVF_STAGE_DONE;
	return ret;
}

/* Do what the stream requires after it has taken bytes */
static int nvmevf_load_act(struct nvmevf_session *s)
{
	switch (s->stream.stage) {
	case NVMEVF_STAGE_CHECK:
		return nvmevf_load_hello(s);
	case NVMEVF_STAGE_COMMIT:
		return nvmevf_load_commit(s);
	default:
		return 0;
	}
}

/*
 * Take some of @len bytes; returns how many. A full buffer is sent only when more
 * arrives, because the last piece is the commit and has to wait for END.
 */
static ssize_t nvmevf_load_step(struct nvmevf_session *s, const char __user *buf, size_t len)
{
	struct nvmevf_stream *st = &s->stream;
	unsigned int records = st->records;
	void *to;
	int ret;

	if (READ_ONCE(s->dead))
		return -ENODEV;

	if (nvmevf_stream_full(st)) {
		ret = nvmevf_load_flush(s);
		if (ret)
			return ret;
	}

	to = nvmevf_stream_room(st, &len);
	if (IS_ERR(to))
		return PTR_ERR(to);
	if (copy_from_user(to, buf, len))
		return -EFAULT;

	ret = nvmevf_stream_take(st, len);
	if (st->records != records)
		trace_nvmevf_record(s->pdev, false, st->tag, st->rec_len);
	if (!ret)
		ret = nvmevf_load_act(s);
	return ret ?: len;
}

static int nvmevf_load_fail(struct nvmevf_session *s, int err)
{
	if (s->stream.refusal.why[0] && !nvmevf_session_lock(s)) {
		nvmevf_err(&s->vf->lm->stats, "stream refused: %s", s->stream.refusal.why);
		nvmevf_session_unlock(s);
	}

	WRITE_ONCE(s->error, err);
	return err;
}

static ssize_t nvmevf_load_take(struct nvmevf_session *s, const char __user *buf, size_t len)
{
	size_t done = 0;
	ssize_t ret;

	if (READ_ONCE(s->dead))
		return -ENODEV;
	if (s->error)
		return s->error;
	if (s->needs_reset) {
		nvmevf_refuse(&s->stream.refusal, -EBUSY,
			      "VF has run since its last reset: reset it first");
		return nvmevf_load_fail(s, -EBUSY);
	}

	while (done < len) {
		ret = nvmevf_load_step(s, buf + done, len - done);
		if (ret == -EFAULT)
			return done ?: ret;
		if (ret < 0)
			return nvmevf_load_fail(s, ret);
		done += ret;
	}

	return done;
}

static ssize_t nvmevf_load_write(struct file *filp, const char __user *buf, size_t len,
				 loff_t *pos)
{
	struct nvmevf_session *s = filp->private_data;
	ssize_t ret;

	if (pos)
		return -ESPIPE;
	if (nvmevf_session_get_token(s))
		return -EINTR;

	ret = nvmevf_load_take(s, buf, len);

	nvmevf_session_put_token(s);
	return ret;
}

static const struct file_operations nvmevf_load_fops = {
	.owner		= THIS_MODULE,
	.write		= nvmevf_load_write,
	.release	= nvmevf_session_release,
	.llseek		= noop_llseek,
};

/**
 * nvmevf_load_open_locked - begin a load, the arc STOP -> RESUMING
 * @vf: the device, suspended
 * @enabled: the VF's CC.EN is set: it has run since its last reset
 *
 * Context: State mutex held; sleeps.
 * Return: the file to write, or an ERR_PTR.
 */
struct file *nvmevf_load_open_locked(struct nvmevf_device *vf, bool enabled)
{
	struct nvmevf_session *s;
	struct nvmevf_buf *buf;

	lockdep_assert_held(&vf->state_mutex);

	buf = nvmevf_buf_alloc(nvmevf_mmc_max_xfer(vf->lm->mmc));
	if (!buf)
		return ERR_PTR(-ENOMEM);

	s = nvmevf_session_new(vf, &nvmevf_load_fops, O_WRONLY);
	if (IS_ERR(s)) {
		nvmevf_buf_put(buf);
		return ERR_CAST(s);
	}

	s->buf = buf;
	s->stream.data = buf->data;
	s->stream.size = buf->len;
	s->needs_reset = enabled && !nvmevf_io_queues_only(vf->lm);
	s->enabled = enabled;
	s->stream.stage = NVMEVF_STAGE_RECORD;
	return get_file(s->filp);
}

/**
 * nvmevf_load_finish_locked - check that the state was loaded, for RESUMING -> STOP
 * @vf: the device
 *
 * The load itself happened inside write(), where an error can still end the
 * migration with the VM running on its source.
 *
 * Context: State mutex held.
 * Return: 0; the error that the session failed with; -ENODATA if the stream
 * is not complete.
 */
int nvmevf_load_finish_locked(struct nvmevf_device *vf)
{
	struct nvmevf_session *s = vf->session;
	int err;

	lockdep_assert_held(&vf->state_mutex);

	if (!s)
		return -ENODATA;

	err = READ_ONCE(s->error);
	if (err)
		return err;
	if (s->committed)
		return 0;

	if (!s->told)
		nvmevf_err(&vf->lm->stats, "stream ends too early: nothing was committed");
	s->told = true;
	return -ENODATA;
}
