// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA logging: the device tracks which memory the VF writes.
 *
 * The device keeps one log per controller, and reading it clears it. So what is read
 * goes into our own bitmaps, from which a report takes its part. If it is not known
 * which memory was written, for example after a reset, all memory counts as dirty.
 *
 * Between the user's start and stop the device may be unable to track: tracking of a
 * suspended VF cannot be started. As such a VF writes nothing, tracking is started when
 * it is resumed.
 */

#include <linux/cleanup.h>
#include <linux/interval_tree.h>
#include <linux/iova_bitmap.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "buf.h"
#include "dirty.h"
#include "dirty_bitmap.h"
#include "lm.h"
#include "nvme_lm.h"
#include "mmc.h"
#include "stats.h"
#include "trace.h"
#include "track.h"
#include "vf.h"
#include "wire.h"

/*
 * A running VF writes while its log is read: what is left after so many reads, or after
 * as much as is tracked, is for the next report
 */
#define NVMEVF_DIRTY_READS	256

/* Bytes of the state of the queues that are looked through for completion queues */
#define NVMEVF_DIRTY_QUEUES	SZ_64K

/* Pieces of a report taken at a time */
#define NVMEVF_DIRTY_PIECES	16

/* How often to reduce the request if the device refuses */
#define NVMEVF_DIRTY_TRIES	32

/* Registers about completion queues, read before the state mutex is taken */
struct nvmevf_cq_regs {
	bool known;
	u32 entry_size;
	bool has_acq;
	struct nvmevf_range acq;
};

/* Entries of the Admin Completion Queue have 16 bytes, whatever CC.IOCQES says */
#define NVMEVF_CQE_SIZE		sizeof(struct nvme_completion)

#define NVMEVF_CC_IOCQES(cc)	(((cc) >> NVME_CC_IOCQES_SHIFT) & 0xf)

static void nvmevf_read_cq_regs(struct nvmevf_device *vf, struct nvmevf_cq_regs *regs)
{
	u32 cc, lo, hi, aqa;

	regs->known = !nvmevf_read_reg(vf, NVME_REG_CC, &cc) &&
		      !nvmevf_read_reg(vf, NVME_REG_ACQ, &lo) &&
		      !nvmevf_read_reg(vf, NVME_REG_ACQ + sizeof(lo), &hi) &&
		      !nvmevf_read_reg(vf, NVME_REG_AQA, &aqa) && cc != U32_MAX && aqa != U32_MAX;
	if (!regs->known)
		return;

	/* CC.IOCQES need not be set before there are I/O queues */
	regs->entry_size = max_t(u32, BIT(NVMEVF_CC_IOCQES(cc)), NVMEVF_CQE_SIZE);
	regs->has_acq = lo || hi || aqa;
	regs->acq.first = (u64)hi << 32 | lo;
	regs->acq.last = regs->acq.first + ((aqa >> 16 & 0xfff) + 1) * NVMEVF_CQE_SIZE - 1;
}

static void nvmevf_plan_free(struct nvmevf_track_plan *plan)
{
	if (!plan)
		return;

	kvfree(plan->wanted);
	kvfree(plan->work);
	kfree(plan);
}

static struct nvmevf_track_plan *nvmevf_plan_alloc(struct nvmevf_device *vf, u32 nr)
{
	struct nvmevf_track_plan *plan = kzalloc_obj(*plan, GFP_KERNEL_ACCOUNT);

	if (!plan)
		return NULL;

	plan->limits = &vf->lm->track;
	plan->nr = nr;
	plan->wanted = kvmalloc_array(nr, sizeof(*plan->wanted), GFP_KERNEL_ACCOUNT);
	plan->work = kvmalloc_array(nr, sizeof(*plan->work), GFP_KERNEL_ACCOUNT);
	if (!plan->wanted || !plan->work) {
		nvmevf_plan_free(plan);
		return NULL;
	}

	return plan;
}

/* The core has checked everything about a range except that it is not empty */
static int nvmevf_plan_set(struct nvmevf_track_plan *plan, struct rb_root_cached *ranges)
{
	struct interval_tree_node *node;
	unsigned int n = 0;

	for (node = interval_tree_iter_first(ranges, 0, ULONG_MAX); node;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX)) {
		if (n == plan->nr || node->last < node->start || node->last == ULONG_MAX)
			return -EINVAL;
		plan->wanted[n].first = node->start;
		plan->wanted[n].last = node->last;
		n++;
	}

	return n == plan->nr ? 0 : -EINVAL;
}

static struct nvmevf_track_plan *nvmevf_plan_new(struct nvmevf_device *vf,
						 struct rb_root_cached *ranges, u32 nr,
						 u64 page_size)
{
	struct nvmevf_track_plan *plan;
	int ret;

	if (page_size < NVME_LM_TRACK_UNIT || !is_power_of_2(page_size))
		return ERR_PTR(-EINVAL);

	plan = nvmevf_plan_alloc(vf, nr);
	if (!plan)
		return ERR_PTR(-ENOMEM);

	ret = nvmevf_plan_set(plan, ranges);
	if (ret) {
		nvmevf_plan_free(plan);
		return ERR_PTR(ret);
	}

	plan->page_size = page_size;
	return plan;
}

/**
 * nvmevf_dirty_stop_locked - stop tracking if the device may be tracking the VF
 * @vf: the device
 * @flags: NVMEVF_EXEC_KILLABLE, NVMEVF_EXEC_BRIEF or 0
 *
 * If the VF is suspended, tracking cannot be stopped yet, and is stopped later.
 *
 * Context: State mutex held; sends a command.
 */
void nvmevf_dirty_stop_locked(struct nvmevf_device *vf, unsigned int flags)
{
	int ret;

	lockdep_assert_held(&vf->state_mutex);

	if (!vf->dirty.device || vf->stale)
		return;

	ret = vf->lm->ops->track_stop(vf->lm, flags);
	/* not tracked: a reset of the VF or of the PF may have ended tracking */
	if (!ret || ret == -ENXIO)
		vf->dirty.device = false;
	else
		pci_dbg(vf->core.pdev, "device may still be tracking: %pe\n", ERR_PTR(ret));
}

/* A number that changes when the PF is reset, if the kernel counts that */
static long nvmevf_dirty_resets(struct nvmevf_device *vf)
{
	long resets;

	nvmevf_mmc_live(vf->lm->mmc, &resets);
	return resets;
}

/* Try once with the current plan */
static int nvmevf_track_try_locked(struct nvmevf_device *vf, struct nvmevf_buf *buf,
				   struct nvmevf_track_hints *hints)
{
	struct nvmevf_dirty *d = &vf->dirty;
	size_t len;
	int ret;

	ret = nvmevf_track_fill(d->plan, buf->data, &len);
	if (ret)
		return ret;

	d->resets = nvmevf_dirty_resets(vf);
	ret = vf->lm->ops->track_start(vf->lm, buf, len, hints, NVMEVF_EXEC_KILLABLE);
	/* if the command was given up, the device may be tracking, now or later */
	if (!ret || ret == -ETIMEDOUT || ret == -EINTR || ret == -ECANCELED)
		d->device = true;
	return ret;
}

/*
 * Whether the device has tracked the VF without interruption since the start. Returns
 * 0, or -ENXIO if it has not, or another errno if that is not known. A reset of the PF
 * ends tracking, and so may a reset by the guest; the driver does not always notice
 * either. The specification leaves open what Track Receive returns then, possibly no
 * dirty memory at all. But as long as the VF is tracked, the device refuses another
 * start with a specific status.
 */
static int nvmevf_dirty_confirm_locked(struct nvmevf_device *vf)
{
	long resets = nvmevf_dirty_resets(vf);
	struct nvmevf_dirty *d = &vf->dirty;
	size_t len;
	int ret;

	nvmevf_track_fill_one(d->plan, d->buf->data, &len);
	ret = vf->lm->ops->track_start(vf->lm, d->buf, len, NULL, NVMEVF_EXEC_KILLABLE);
	switch (ret) {
	case -ENXIO:
		d->resets = resets;
		return 0;
	case -ENOTCONN:
	case -EBUSY:
	case -EINTR:
	case -ECANCELED:
	case -ETIMEDOUT:
		return ret;
	default:
		pci_dbg(vf->core.pdev, "no longer tracked: %pe\n", ERR_PTR(ret));
		return -ENXIO;
	}
}

static int nvmevf_track_negotiate_locked(struct nvmevf_device *vf, struct nvmevf_buf *buf)
{
	struct nvmevf_track_hints hints = {};
	struct nvmevf_dirty *d = &vf->dirty;
	unsigned int i;
	int ret = 0;

	nvmevf_track_begin(d->plan);
	for (i = 0; i < NVMEVF_DIRTY_TRIES; i++) {
		ret = nvmevf_track_try_locked(vf, buf, &hints);
		if (ret == -ENXIO && !i) {
			/* already tracked for a previous user of the VF */
			d->device = true;
			nvmevf_dirty_stop_locked(vf, NVMEVF_EXEC_KILLABLE);
			continue;
		}
		if (!ret || nvmevf_track_adjust(d->plan, ret, &hints))
			break;
	}

	return ret;
}

/* Start tracking the user's ranges; earlier writes of the VF are not known */
static int nvmevf_track_start_locked(struct nvmevf_device *vf)
{
	struct nvmevf_dirty *d = &vf->dirty;
	struct nvmevf_buf *buf;
	int ret;

	nvmevf_dirty_stop_locked(vf, NVMEVF_EXEC_KILLABLE);

	buf = nvmevf_buf_alloc(struct_size_t(struct nvme_lm_track, range, NVMEVF_TRACK_MAX));
	ret = buf ? nvmevf_track_negotiate_locked(vf, buf) : -ENOMEM;
	nvmevf_buf_put(buf);

	d->tracked = !ret;
	if (ret)
		nvmevf_err(&vf->lm->stats, "memory cannot be tracked: %pe", ERR_PTR(ret));
	else
		pci_dbg(vf->core.pdev, "tracking %u ranges, granularity %llu bytes\n",
			d->plan->used, NVME_LM_TRACK_UNIT << d->plan->mrtg);
	return ret;
}

/* It is not known which memory was written */
static void nvmevf_dirty_lose_locked(struct nvmevf_device *vf)
{
	struct nvmevf_dirty *d = &vf->dirty;

	d->tracked = false;
	d->cqs_done = false;
	d->nr_cqs = -1;
	nvmevf_dirty_bitmap_add_all(&d->bitmap);
}

/**
 * nvmevf_dirty_suspending_locked - the VF is going to be suspended
 * @vf: the device, running
 *
 * Once the VF is suspended, the device no longer reports whether it was tracked.
 *
 * Context: State mutex held; sends a command, a fatal signal ends it.
 */
void nvmevf_dirty_suspending_locked(struct nvmevf_device *vf)
{
	lockdep_assert_held(&vf->state_mutex);

	if (vf->dirty.on && vf->dirty.tracked && nvmevf_dirty_confirm_locked(vf))
		nvmevf_dirty_lose_locked(vf);
}

/**
 * nvmevf_dirty_suspended_locked - the VF was suspended
 * @vf: the device
 *
 * Context: State mutex held.
 */
void nvmevf_dirty_suspended_locked(struct nvmevf_device *vf)
{
	struct nvmevf_dirty *d = &vf->dirty;

	lockdep_assert_held(&vf->state_mutex);

	if (d->on && (!d->tracked || d->resets != nvmevf_dirty_resets(vf)))
		nvmevf_dirty_lose_locked(vf);
}

/**
 * nvmevf_dirty_resumed_locked - the VF runs again: start or stop tracking if necessary
 * @vf: the device
 *
 * Context: State mutex held; sends commands, a fatal signal ends them.
 */
void nvmevf_dirty_resumed_locked(struct nvmevf_device *vf)
{
	struct nvmevf_dirty *d = &vf->dirty;

	lockdep_assert_held(&vf->state_mutex);

	if (!d->on) {
		nvmevf_dirty_stop_locked(vf, NVMEVF_EXEC_KILLABLE);
		return;
	}

	d->cqs_done = false;
	if (!d->tracked) {
		/* if it fails, the next report tries again */
		nvmevf_track_start_locked(vf);
		nvmevf_dirty_bitmap_add_all(&d->bitmap);
	}
}

/**
 * nvmevf_dirty_reset_locked - the VF was reset
 * @vf: the device
 *
 * Logging stays on. The specification leaves open whether the device continues to
 * track, and the device is not asked in the middle of a reset: the next report starts
 * tracking again.
 *
 * Context: State mutex held.
 */
void nvmevf_dirty_reset_locked(struct nvmevf_device *vf)
{
	if (vf->dirty.on)
		nvmevf_dirty_lose_locked(vf);
}

/**
 * nvmevf_dirty_end_locked - end logging, if it is on
 * @vf: the device; tracking may continue
 *
 * Context: State mutex held.
 */
void nvmevf_dirty_end_locked(struct nvmevf_device *vf)
{
	struct nvmevf_dirty *d = &vf->dirty;

	lockdep_assert_held(&vf->state_mutex);

	if (!d->on)
		return;

	d->on = false;
	d->tracked = false;
	nvmevf_note_page_size(&vf->lm->stats, 0);
	nvmevf_dirty_bitmap_destroy(&d->bitmap);
	nvmevf_plan_free(d->plan);
	d->plan = NULL;
	nvmevf_buf_put(d->buf);
	d->buf = NULL;
	kvfree(d->cqs);
	d->cqs = NULL;
}

static void nvmevf_add_cqs_locked(struct nvmevf_device *vf, const struct nvmevf_range *cqs, int n)
{
	struct nvmevf_dirty *d = &vf->dirty;
	int i;

	/* queues that came and went may have been written to */
	if (n != d->nr_cqs || memcmp(cqs, d->cqs, n * sizeof(*cqs)))
		nvmevf_dirty_bitmap_add_all(&d->bitmap);
	for (i = 0; i < n; i++)
		nvmevf_dirty_bitmap_add(&d->bitmap, &cqs[i]);

	d->nr_cqs = n;
}

static int nvmevf_read_cqs_locked(struct nvmevf_device *vf, const struct nvmevf_cq_regs *regs,
				  struct nvmevf_range *cqs, unsigned int max)
{
	struct nvmevf_dirty *d = &vf->dirty;
	int n;

	if (!regs->known)
		return -EIO;

	n = vf->lm->ops->read_queues(vf->lm, d->buf, NVMEVF_EXEC_KILLABLE);
	if (!n)
		n = nvmevf_queues_parse(d->buf->data, d->buf->len, regs->entry_size, cqs, max - 1);
	if (n >= 0 && regs->has_acq)
		cqs[n++] = regs->acq;
	return n;
}

/*
 * A device need not track its writes to completion queues, so these count as dirty. If
 * they cannot be found, all memory does.
 */
static void nvmevf_dirty_cqs_locked(struct nvmevf_device *vf, const struct nvmevf_cq_regs *regs)
{
	struct nvmevf_dirty *d = &vf->dirty;
	unsigned int max = min_t(size_t, d->buf->len, NVMEVF_DIRTY_QUEUES) /
			   sizeof(struct nvme_lm_state_cq) + 1;
	struct nvmevf_range *cqs;
	int n = -ENOMEM;

	if (d->cqs_done)
		return;

	cqs = kvmalloc_array(max, sizeof(*cqs), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (cqs)
		n = nvmevf_read_cqs_locked(vf, regs, cqs, max);
	if (n < 0) {
		pci_dbg(vf->core.pdev, "completion queues: %pe\n", ERR_PTR(n));
		nvmevf_dirty_bitmap_add_all(&d->bitmap);
		d->nr_cqs = -1;
		kvfree(cqs);
		return;
	}

	nvmevf_add_cqs_locked(vf, cqs, n);
	kvfree(d->cqs);
	d->cqs = cqs;
	d->cqs_done = !nvmevf_is_running(vf);
}

/* Totals of the reads for one report; @bytes lacks one for each range, so that it cannot wrap */
struct nvmevf_round {
	unsigned int reads;
	u64 ranges;
	u64 bytes;
};

/* Read the device's log once; returns whether there is more, or an errno */
static int nvmevf_read_changes_locked(struct nvmevf_device *vf, struct nvmevf_round *round)
{
	struct nvmevf_dirty *d = &vf->dirty;
	const struct nvme_lm_changes *c = d->buf->data;
	struct nvmevf_range r;
	int i, n, ret;

	ret = vf->lm->ops->track_read(vf->lm, d->buf, NVMEVF_EXEC_KILLABLE);
	if (ret)
		return ret;

	n = nvmevf_changes_check(c, d->buf->len, vf->lm->cntlid);
	if (n < 0)
		return n;
	if (!nvmevf_is_running(vf) && !(c->attrb & NVME_LM_CHANGES_SUSP)) {
		nvmevf_err(&vf->lm->stats, "controller is no longer suspended: the VF or its PF was reset");
		nvmevf_lose_locked(vf);
		return -ENOTCONN;
	}

	for (i = 0; i < n; i++) {
		ret = nvmevf_changes_get(c, i, &r);
		if (ret)
			return ret;
		nvmevf_dirty_bitmap_add(&d->bitmap, &r);
		round->bytes += min(r.last - r.first, U64_MAX - round->bytes);
	}
	round->ranges += n;

	return c->attrb & NVME_LM_CHANGES_MTR;
}

/*
 * A suspended VF cannot have written more than all its memory, even with a coarse
 * granularity: a device that returns more would do so forever.
 */
static u64 nvmevf_dirty_most(u64 span)
{
	return span > U64_MAX / 8 ? U64_MAX : SZ_4G + 4 * span;
}

/*
 * While the VF runs, a report need not be complete. Once the VF is suspended, nothing
 * may be left in the device.
 */
static int nvmevf_read_all_changes_locked(struct nvmevf_device *vf, struct nvmevf_round *round)
{
	const struct nvmevf_track_plan *plan = vf->dirty.plan;
	u64 span = plan->wanted[plan->nr - 1].last - plan->wanted[0].first;
	bool running = nvmevf_is_running(vf);
	int ret;

	do {
		round->reads++;
		ret = nvmevf_read_changes_locked(vf, round);
		if (!running && round->bytes >= nvmevf_dirty_most(span))
			ret = -EPROTO;
		if (running && (round->bytes > span || round->reads == NVMEVF_DIRTY_READS))
			break;
	} while (ret > 0);

	return min(ret, 0);
}

/* Whether a report is possible in this state */
static int nvmevf_report_check_locked(struct nvmevf_device *vf)
{
	if (!vf->dirty.on)
		return -EINVAL;
	if (vf->mig_state == VFIO_DEVICE_STATE_ERROR)
		return -EIO;
	return nvmevf_check_lost_locked(vf);
}

static int nvmevf_ask_suspended_locked(struct nvmevf_device *vf)
{
	return nvmevf_judge_locked(vf, vf->lm->ops->check_suspended(vf->lm, NVMEVF_EXEC_KILLABLE));
}

/*
 * The VF was not tracked, so all memory counts as dirty, and has to be marked again
 * once tracking has started. A suspended VF writes nothing, if it really is suspended:
 * its earlier writes are in the bitmaps.
 */
static int nvmevf_report_untracked_locked(struct nvmevf_device *vf,
					  const struct nvmevf_cq_regs *regs)
{
	int ret;

	if (!nvmevf_is_running(vf)) {
		ret = nvmevf_ask_suspended_locked(vf);
		return ret == -ECANCELED ? 0 : ret;
	}

	nvmevf_dirty_cqs_locked(vf, regs);
	ret = nvmevf_track_start_locked(vf);
	nvmevf_dirty_bitmap_add_all(&vf->dirty.bitmap);
	/* cut off by a reset, or an earlier command was given up */
	return ret == -ECANCELED || ret == -EBUSY ? 0 : ret;
}

/* Bring the bitmaps up to date */
static int nvmevf_report_begin_locked(struct nvmevf_device *vf, const struct nvmevf_cq_regs *regs,
				      struct nvmevf_round *round)
{
	int ret;

	ret = nvmevf_report_check_locked(vf);
	if (ret)
		return ret;
	if (!vf->dirty.tracked)
		return nvmevf_report_untracked_locked(vf, regs);

	nvmevf_dirty_cqs_locked(vf, regs);
	ret = nvmevf_read_all_changes_locked(vf, round);
	/* not before the read: an end of tracking in between would be missed */
	if (!ret && nvmevf_is_running(vf))
		ret = nvmevf_dirty_confirm_locked(vf);
	if (!ret)
		return 0;

	/* some of it may be lost: a device returns it only once */
	nvmevf_dirty_lose_locked(vf);
	if (ret == -ECANCELED)
		return 0;
	if (nvmevf_is_running(vf) && (ret == -ENXIO || ret == -ENOTCONN))
		return nvmevf_report_untracked_locked(vf, regs);
	if (ret == -ENXIO && !nvmevf_ask_suspended_locked(vf))
		return 0;
	if (ret == -ENXIO || ret == -ENOTCONN)
		nvmevf_lose_locked(vf);
	nvmevf_err(&vf->lm->stats, "dirty memory cannot be reported: %pe", ERR_PTR(ret));
	return ret;
}

static int nvmevf_report_begin(struct nvmevf_device *vf)
{
	struct nvmevf_round round = {};
	ktime_t start = ktime_get();
	struct nvmevf_cq_regs regs;
	int ret;

	nvmevf_read_cq_regs(vf, &regs);

	if (mutex_lock_killable(&vf->state_mutex))
		return -EINTR;
	ret = nvmevf_report_begin_locked(vf, &regs, &round);
	nvmevf_count(&vf->lm->stats, NVMEVF_NR_REPORTS, 1);
	trace_nvmevf_report(vf->core.pdev, nvmevf_is_running(vf), round.reads, round.ranges,
			    round.bytes + round.ranges, ret, ktime_us_delta(ktime_get(), start));
	mutex_unlock(&vf->state_mutex);
	return ret;
}

/* Take dirty memory from the start of @in, which becomes the rest; returns the number of pieces */
static int nvmevf_report_take(struct nvmevf_device *vf, struct nvmevf_range *in,
			      struct nvmevf_range *out, bool *more)
{
	int n = 0;

	if (mutex_lock_killable(&vf->state_mutex))
		return -EINTR;

	*more = vf->dirty.on;
	while (*more && n < NVMEVF_DIRTY_PIECES) {
		*more = nvmevf_dirty_bitmap_take(&vf->dirty.bitmap, in, &out[n]);
		if (!*more)
			break;
		*more = out[n].last < in->last;
		in->first = out[n++].last + 1;
	}

	mutex_unlock(&vf->state_mutex);
	return n;
}

/* The bits are in user memory, which is never accessed under a lock */
static int nvmevf_dirty_log_read_and_clear(struct vfio_device *vdev, unsigned long iova,
					   unsigned long length, struct iova_bitmap *dirty)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);
	struct nvmevf_range in = { iova, iova + length - 1 }, out[NVMEVF_DIRTY_PIECES];
	bool more = true;
	int ret, i, n;

	if (!length)
		return -EINVAL;

	ret = nvmevf_report_begin(vf);
	if (ret)
		return ret;

	while (more) {
		n = nvmevf_report_take(vf, &in, out, &more);
		if (n < 0)
			return n;
		for (i = 0; i < n; i++)
			iova_bitmap_set(dirty, out[i].first, out[i].last - out[i].first + 1);
	}

	return 0;
}

static int nvmevf_dirty_check_locked(struct nvmevf_device *vf)
{
	if (vf->dirty.on)
		return -EBUSY;
	if (vf->mig_state == VFIO_DEVICE_STATE_ERROR)
		return -EIO;
	return nvmevf_check_lost_locked(vf);
}

/* From here on the user may ask for dirty memory; owns @plan only if it returns 0 */
static int nvmevf_dirty_begin_locked(struct nvmevf_device *vf, struct nvmevf_track_plan *plan,
				     const struct nvmevf_cq_regs *regs)
{
	struct nvmevf_dirty *d = &vf->dirty;
	unsigned long limit;
	int ret;

	ret = nvmevf_dirty_check_locked(vf);
	if (ret)
		return ret;

	d->buf = nvmevf_buf_alloc(nvmevf_mmc_max_xfer(vf->lm->mmc));
	if (!d->buf)
		return -ENOMEM;

	limit = nvmevf_dirty_bitmap_limit(plan->wanted, plan->nr);
	nvmevf_dirty_bitmap_init(&d->bitmap, limit);
	d->on = true;
	d->plan = plan;
	d->cqs_done = false;
	d->nr_cqs = -1;
	nvmevf_dirty_cqs_locked(vf, regs);

	if (!nvmevf_is_running(vf)) {
		/* tracking starts when the VF is resumed, and it writes nothing until then */
		nvmevf_track_begin(plan);
		nvmevf_dirty_bitmap_add_all(&d->bitmap);
		return 0;
	}

	ret = nvmevf_track_start_locked(vf);
	nvmevf_dirty_bitmap_destroy(&d->bitmap);
	nvmevf_dirty_bitmap_init(&d->bitmap, limit);
	if (ret) {
		d->plan = NULL;
		nvmevf_dirty_end_locked(vf);
	}
	return ret;
}

static int nvmevf_dirty_log_start(struct vfio_device *vdev, struct rb_root_cached *ranges,
				  u32 nnodes, u64 *page_size)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);
	struct nvmevf_track_plan *plan;
	struct nvmevf_cq_regs regs;
	int ret;

	plan = nvmevf_plan_new(vf, ranges, nnodes, *page_size);
	if (IS_ERR(plan))
		return PTR_ERR(plan);

	nvmevf_read_cq_regs(vf, &regs);

	ret = mutex_lock_killable(&vf->state_mutex);
	if (!ret) {
		ret = nvmevf_dirty_begin_locked(vf, plan, &regs);
		if (!ret) {
			*page_size = NVME_LM_TRACK_UNIT << plan->mrtg;
			nvmevf_note_page_size(&vf->lm->stats, *page_size);
		}
		mutex_unlock(&vf->state_mutex);
	}

	if (ret)
		nvmevf_plan_free(plan);
	return ret;
}

static int nvmevf_dirty_log_stop(struct vfio_device *vdev)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);

	if (mutex_lock_killable(&vf->state_mutex))
		return -EINTR;

	nvmevf_dirty_end_locked(vf);
	if (nvmevf_is_running(vf))
		nvmevf_dirty_stop_locked(vf, NVMEVF_EXEC_KILLABLE);
	mutex_unlock(&vf->state_mutex);
	return 0;
}

const struct vfio_log_ops nvmevf_dirty_log_ops = {
	.log_start		= nvmevf_dirty_log_start,
	.log_stop		= nvmevf_dirty_log_stop,
	.log_read_and_clear	= nvmevf_dirty_log_read_and_clear,
};

/* of iova_bitmap_set() */
MODULE_IMPORT_NS("IOMMUFD");
