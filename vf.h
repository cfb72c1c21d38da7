/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_VF_H
#define NVMEVF_VF_H

#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#include "dirty_bitmap.h"

struct dentry;
struct nvmevf_buf;
struct nvmevf_lm;
struct nvmevf_session;
struct nvmevf_track_plan;

/**
 * struct nvmevf_dirty - DMA logging of one VF
 * @on: the user started it, and has not stopped it
 * @tracked: the device has tracked all writes since the last update of @bitmap
 * @device: the device may be tracking memory of this VF, wanted or not
 * @resets: reset count of nvmevf_mmc_live() when the device was last known to track
 * @cqs_done: the completion queues of the suspended VF are in @bitmap
 * @nr_cqs: number of entries in @cqs; -1: not known
 * @cqs: the completion queues when the device was last asked
 * @plan: the tracked ranges
 * @buf: memory for one transfer
 * @bitmap: dirty memory
 *
 * All members except @device and @resets are valid only while logging is on. The
 * state mutex protects them all.
 */
struct nvmevf_dirty {
	bool on;
	bool tracked;
	bool device;
	long resets;
	bool cqs_done;
	int nr_cqs;
	struct nvmevf_range *cqs;
	struct nvmevf_track_plan *plan;
	struct nvmevf_buf *buf;
	struct nvmevf_dirty_bitmap bitmap;
};

/**
 * struct nvmevf_device - a VF (or any other NVMe function) bound to this driver
 * @core: the vfio-pci core device
 * @lm: its migration data; NULL: it cannot be migrated, and behaves as with vfio-pci
 * @why_not: why it cannot be migrated
 * @debug: our own debugfs directory, if the core has none
 * @lock_key: lockdep class, because a reset of several functions holds several state mutexes
 * @state_mutex: protects what follows, and the changing part of @lm. A reset
 *		 holds it from reset_prepare to reset_done, inside memory_lock:
 *		 no user memory and no BAR of the VF is touched under it.
 * @mig_state: migration state, changed only by SET and by a reset
 * @session: the open save or load session, or NULL
 * @mmc_resets: reset count of nvmevf_mmc_live() before the Suspend, or when the VF was
 *	       last known to be suspended
 * @lost: the PF or the VF was reset behind our back, or unknown state may be in
 *	  the VF: only a reset of the VF helps
 * @unverified: the VF was reset while it was suspended, and has not been checked since
 * @was_suspended: it is known that the VF was suspended or lost when it was reset
 * @state_len: last known length of the controller state, in bytes
 * @data_size: size of its stream in bytes, never 0
 * @dirty: DMA logging
 * @failed: CSTS.CFS was set before the current request for a state
 * @stale: the reset at close was skipped: the previous user's state is in the VF
 * @fence_lock: protects @fenced, together with the real command register
 * @fenced: bus mastering is off in the VF, but the user sees it on
 */
struct nvmevf_device {
	struct vfio_pci_core_device core;
	struct nvmevf_lm *lm;
	const char *why_not;
	struct dentry *debug;
	struct lock_class_key lock_key;
	struct mutex state_mutex;	/* protects what follows */
	enum vfio_device_mig_state mig_state;
	struct nvmevf_session *session;
	long mmc_resets;
	bool lost;
	bool unverified;
	bool was_suspended;
	u64 state_len;
	u64 data_size;
	struct nvmevf_dirty dirty;
	bool failed;
	bool stale;
	spinlock_t fence_lock;	/* protects fenced */
	bool fenced;
};

static inline struct nvmevf_device *nvmevf_from_vdev(struct vfio_device *vdev)
{
	return container_of(vdev, struct nvmevf_device, core.vdev);
}

bool nvmevf_is_running(const struct nvmevf_device *vf);
int nvmevf_read_reg(struct nvmevf_device *vf, unsigned int reg, u32 *val);
void nvmevf_lose_locked(struct nvmevf_device *vf);
int nvmevf_judge_locked(struct nvmevf_device *vf, int err);
int nvmevf_check_lost_locked(struct nvmevf_device *vf);
int nvmevf_verify_reset_locked(struct nvmevf_device *vf);
int nvmevf_state_size_locked(struct nvmevf_device *vf, u64 *size);
void nvmevf_note_size_locked(struct nvmevf_device *vf, u64 state_len);
void nvmevf_drop_saved_locked(struct nvmevf_device *vf);

#endif /* NVMEVF_VF_H */
