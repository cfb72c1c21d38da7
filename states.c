// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration state machine of a VF.
 */

#include <linux/file.h>
#include <linux/nvme.h>
#include <linux/vfio.h>

#include "buf.h"
#include "dirty.h"
#include "fence.h"
#include "lm.h"
#include "migf.h"
#include "mmc.h"
#include "probe.h"
#include "states.h"
#include "stats.h"
#include "trace.h"
#include "vf.h"

/* A disabled VF need not be suspended; whether it can be loaded is for the device to decide */
static bool nvmevf_is_idle(struct nvmevf_device *vf, int err, bool enabled)
{
	if (enabled || (err != -ENXIO && err != -EINVAL && err != -EPROTO))
		return false;

	dev_info_ratelimited(&vf->core.pdev->dev,
			     "Suspend refused: VF is disabled and counts as suspended\n");
	return true;
}

static int nvmevf_suspend_locked(struct nvmevf_device *vf, bool enabled)
{
	struct nvmevf_lm *lm = vf->lm;
	int ret;

	nvmevf_dirty_suspending_locked(vf);

	ret = lm->ops->suspend(lm, NVMEVF_EXEC_KILLABLE);
	if (ret && !nvmevf_is_idle(vf, ret, enabled))
		return ret;

	lm->suspended = !ret;
	lm->loaded = false;
	/* not the current count: a reset during the command counts as one after it */
	vf->mmc_resets = lm->sent_resets;
	nvmevf_dirty_suspended_locked(vf);
	return 0;
}

/* A VF that was never suspended has nothing to resume, unless a state was loaded */
static int nvmevf_send_resume_locked(struct nvmevf_device *vf)
{
	struct nvmevf_lm *lm = vf->lm;
	int ret;

	if (!lm->suspended && !lm->loaded)
		return 0;

	ret = nvmevf_judge_locked(vf, lm->ops->resume(lm, NVMEVF_EXEC_KILLABLE));
	return !lm->suspended && ret == -EREMOTEIO ? 0 : ret;
}

/*
 * Resume is sent only here, never to clean up: a source that was migrated away
 * would execute the same commands as the destination.
 */
static int nvmevf_resume_locked(struct nvmevf_device *vf)
{
	int ret;

	ret = nvmevf_send_resume_locked(vf);
	if (!ret) {
		vf->lm->suspended = false;
		nvmevf_drop_saved_locked(vf);
		nvmevf_dirty_resumed_locked(vf);
	} else if (ret == -EREMOTEIO) {
		nvmevf_lose_locked(vf);		/* not suspended: it has run, or was reset */
	}
	return ret;
}

/* From here on the VF may change again, so the saved data is no longer its state */
static int nvmevf_undo_save_locked(struct nvmevf_device *vf)
{
	int ret;

	if (!vf->lm->ops->undo_save)
		return 0;

	ret = nvmevf_judge_locked(vf, vf->lm->ops->undo_save(vf->lm, NVMEVF_EXEC_KILLABLE));
	if (!ret)
		nvmevf_drop_saved_locked(vf);
	return ret;
}

/*
 * A reset of the PF, which nvme may do on its own, makes its VFs run. From here on the
 * state may be moved, and no command may be executed a second time: a VF that cannot
 * fetch executes nothing.
 */
static int nvmevf_stop_locked(struct nvmevf_device *vf)
{
	nvmevf_fence_raise(vf);
	return 0;
}

static int nvmevf_leave_stop_locked(struct nvmevf_device *vf)
{
	int ret = nvmevf_undo_save_locked(vf);

	if (!ret)
		nvmevf_fence_lower(vf);
	return ret;
}

static struct file *nvmevf_begin_resuming_locked(struct nvmevf_device *vf, bool enabled)
{
	int ret;

	ret = nvmevf_lm_refresh(vf->lm, NVMEVF_EXEC_KILLABLE);
	if (ret == -ENOTCONN)
		nvmevf_lose_locked(vf);		/* the VF was suspended until the PF was reset */
	if (ret) {
		nvmevf_err(&vf->lm->stats, "load refused: secondary controller not found: %pe",
			   ERR_PTR(ret));
		return ERR_PTR(ret);
	}
	if (!vf->lm->online) {
		nvmevf_err(&vf->lm->stats, "load refused: secondary controller %u is offline",
			   vf->lm->cntlid);
		return ERR_PTR(-ENODEV);
	}

	return nvmevf_load_open_locked(vf, enabled);
}

static int nvmevf_end_resuming_locked(struct nvmevf_device *vf)
{
	int ret = nvmevf_load_finish_locked(vf);

	if (ret)
		return ret;

	vf->lm->loaded = true;
	nvmevf_session_end_locked(vf);
	nvmevf_drop_saved_locked(vf);
	return 0;
}

static int nvmevf_end_precopy_locked(struct nvmevf_device *vf)
{
	int ret;

	nvmevf_fence_raise(vf);
	ret = nvmevf_precopy_stop_locked(vf);
	if (ret)
		nvmevf_fence_lower(vf);
	return ret;
}

static struct file *nvmevf_begin_precopy_locked(struct nvmevf_device *vf)
{
	int ret;

	if (vf->lm->ops->notify) {
		ret = vf->lm->ops->notify(vf->lm, NVMEVF_EXEC_KILLABLE);
		if (ret)
			return ERR_PTR(ret);
	}

	return nvmevf_precopy_open_locked(vf);
}

#define NVMEVF_ARC(from, to)	((from) << 8 | (to))

/*
 * One arc of the state machine. A suspended controller starts nothing but still
 * accepts register writes, as the P2P states require. From STOP on it cannot start
 * anything even if the PF is reset.
 */
static struct file *nvmevf_step_locked(struct nvmevf_device *vf, enum vfio_device_mig_state next,
				       bool enabled)
{
	switch (NVMEVF_ARC(vf->mig_state, next)) {
	case NVMEVF_ARC(VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_PRE_COPY):
		return nvmevf_begin_precopy_locked(vf);
	case NVMEVF_ARC(VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_PRE_COPY_P2P):
		return nvmevf_precopy_open_locked(vf);
	case NVMEVF_ARC(VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_STOP_COPY):
		return ERR_PTR(nvmevf_end_precopy_locked(vf));
	case NVMEVF_ARC(VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_RUNNING_P2P):
	case NVMEVF_ARC(VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P):
		return ERR_PTR(nvmevf_suspend_locked(vf, enabled));
	case NVMEVF_ARC(VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_RUNNING):
	case NVMEVF_ARC(VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_PRE_COPY):
		return ERR_PTR(nvmevf_resume_locked(vf));
	case NVMEVF_ARC(VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_STOP):
		return ERR_PTR(nvmevf_stop_locked(vf));
	case NVMEVF_ARC(VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_RUNNING_P2P):
		return ERR_PTR(nvmevf_leave_stop_locked(vf));
	case NVMEVF_ARC(VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY):
		return nvmevf_save_open_locked(vf);
	case NVMEVF_ARC(VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_RUNNING):
	case NVMEVF_ARC(VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RUNNING_P2P):
	case NVMEVF_ARC(VFIO_DEVICE_STATE_STOP_COPY, VFIO_DEVICE_STATE_STOP):
		nvmevf_session_end_locked(vf);
		return NULL;
	case NVMEVF_ARC(VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_RESUMING):
		return nvmevf_begin_resuming_locked(vf, enabled);
	case NVMEVF_ARC(VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_STOP):
		return ERR_PTR(nvmevf_end_resuming_locked(vf));
	default:
		WARN_ON_ONCE(1);
		return ERR_PTR(-EINVAL);
	}
}

static struct file *nvmevf_traced_step_locked(struct nvmevf_device *vf,
					      enum vfio_device_mig_state next, bool enabled)
{
	ktime_t start = ktime_get();
	struct file *filp;

	filp = nvmevf_step_locked(vf, next, enabled);
	trace_nvmevf_arc(vf->core.pdev, vf->mig_state, next, PTR_ERR_OR_ZERO(filp),
			 ktime_us_delta(ktime_get(), start));
	return filp;
}

/* Whether a failed arc leaves the device in an unknown state */
static bool nvmevf_is_unknown(struct nvmevf_device *vf, enum vfio_device_mig_state next, int err)
{
	if (vf->lost)
		return true;

	/* these only query the device, unless a save itself changes it */
	switch (NVMEVF_ARC(vf->mig_state, next)) {
	case NVMEVF_ARC(VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_PRE_COPY):
	case NVMEVF_ARC(VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_PRE_COPY_P2P):
	case NVMEVF_ARC(VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_RESUMING):
		return false;
	case NVMEVF_ARC(VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_STOP_COPY):
	case NVMEVF_ARC(VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY):
		if (!vf->lm->ops->undo_save)
			return false;
	}

	return err == -ETIMEDOUT || err == -EINTR || err == -ECANCELED || err == -ENOTCONN;
}

static void nvmevf_enter_error_locked(struct nvmevf_device *vf)
{
	nvmevf_session_end_locked(vf);
	WRITE_ONCE(vf->mig_state, VFIO_DEVICE_STATE_ERROR);
}

static struct file *nvmevf_arc_failed_locked(struct nvmevf_device *vf,
					     enum vfio_device_mig_state next, int err)
{
	if (nvmevf_is_unknown(vf, next, err))
		nvmevf_enter_error_locked(vf);

	return ERR_PTR(err);
}

/* No arc was begun: the VF is lost, or the device could not be asked */
static struct file *nvmevf_not_walked_locked(struct nvmevf_device *vf, int err)
{
	if (vf->lost)
		nvmevf_enter_error_locked(vf);

	return ERR_PTR(err);
}

static struct file *nvmevf_walk_locked(struct nvmevf_device *vf, enum vfio_device_mig_state new,
				       bool enabled)
{
	enum vfio_device_mig_state next;
	struct file *filp = NULL;
	int ret;

	if (vf->mig_state == VFIO_DEVICE_STATE_ERROR)
		return ERR_PTR(-EIO);

	if (vf->mig_state == new) {
		ret = nvmevf_check_lost_locked(vf);
		return ret ? nvmevf_not_walked_locked(vf, ret) : NULL;
	}

	while (vf->mig_state != new) {
		/* also rejects an impossible request, before anything is touched */
		ret = vfio_mig_get_next_state(&vf->core.vdev, vf->mig_state, new, &next);
		if (ret)
			return ERR_PTR(ret);
		ret = nvmevf_verify_reset_locked(vf);
		if (!ret)
			ret = nvmevf_check_lost_locked(vf);
		if (ret)
			return nvmevf_not_walked_locked(vf, ret);

		filp = nvmevf_traced_step_locked(vf, next, enabled);
		if (IS_ERR(filp))
			return nvmevf_arc_failed_locked(vf, next, PTR_ERR(filp));

		WRITE_ONCE(vf->mig_state, next);
		if (filp && next != new) {
			fput(filp);
			return ERR_PTR(-EINVAL);
		}
	}

	return filp;
}

/* Takes memory_lock, so never under the state mutex */
static int nvmevf_read_enabled(struct nvmevf_device *vf, bool *enabled)
{
	u32 cc;
	int ret;

	ret = nvmevf_read_reg(vf, NVME_REG_CC, &cc);
	if (!ret)
		*enabled = cc & NVME_CC_ENABLE;
	return ret;
}

/* CSTS.CFS is set if the controller is offline, and also if it has failed */
static bool nvmevf_read_failed(struct nvmevf_device *vf)
{
	u32 csts;

	return !nvmevf_read_reg(vf, NVME_REG_CSTS, &csts) && (csts & NVME_CSTS_CFS);
}

static struct file *nvmevf_set_state(struct vfio_device *vdev, enum vfio_device_mig_state new)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);
	bool enabled = true, failed = false;
	struct file *filp;
	int ret;

	/* the core would report success if the state is ERROR already */
	if (new == VFIO_DEVICE_STATE_ERROR)
		return ERR_PTR(-EINVAL);

	ret = nvmevf_read_enabled(vf, &enabled);
	if (ret && new == VFIO_DEVICE_STATE_RESUMING)
		return ERR_PTR(ret);

	if (new == VFIO_DEVICE_STATE_STOP_COPY)
		failed = nvmevf_read_failed(vf);

	if (mutex_lock_killable(&vf->state_mutex))
		return ERR_PTR(-EINTR);
	vf->failed = failed;
	filp = nvmevf_walk_locked(vf, new, enabled);
	mutex_unlock(&vf->state_mutex);
	return filp;
}

static int nvmevf_get_state(struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);

	if (mutex_lock_killable(&vf->state_mutex))
		return -EINTR;
	*state = vf->mig_state;
	mutex_unlock(&vf->state_mutex);
	return 0;
}

/* A VMM takes an error for a huge state, so the last known size is better than an error */
static void nvmevf_update_data_size_locked(struct nvmevf_device *vf)
{
	u64 size;

	switch (vf->mig_state) {
	case VFIO_DEVICE_STATE_RUNNING:
	case VFIO_DEVICE_STATE_RUNNING_P2P:
	case VFIO_DEVICE_STATE_PRE_COPY:
	case VFIO_DEVICE_STATE_PRE_COPY_P2P:
	case VFIO_DEVICE_STATE_STOP:
		break;
	default:
		return;
	}

	if (nvmevf_check_lost_locked(vf))
		return;

	if (!nvmevf_state_size_locked(vf, &size))
		nvmevf_note_size_locked(vf, size);
}

static int nvmevf_get_data_size(struct vfio_device *vdev, unsigned long *stop_copy_length)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);

	if (mutex_lock_killable(&vf->state_mutex))
		return -EINTR;
	nvmevf_update_data_size_locked(vf);
	*stop_copy_length = vf->data_size + nvmevf_precopy_unread_locked(vf);
	mutex_unlock(&vf->state_mutex);
	return 0;
}

const struct vfio_migration_ops nvmevf_mig_ops = {
	.migration_set_state		= nvmevf_set_state,
	.migration_get_state		= nvmevf_get_state,
	.migration_get_data_size	= nvmevf_get_data_size,
};
