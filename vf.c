// SPDX-License-Identifier: GPL-2.0-only
/*
 * One VF: whether it runs or is lost, the length of its state, and its registers.
 */

#include <linux/lockdep.h>
#include <linux/pci.h>
#include <linux/vfio_pci_core.h>

#include "lm.h"
#include "mmc.h"
#include "stats.h"
#include "stream.h"
#include "vf.h"

/**
 * nvmevf_is_running - whether the VF runs in its migration state, and so cannot be lost
 * @vf: the device
 *
 * Context: State mutex held.
 * Return: false if the VF is suspended, or should be.
 */
bool nvmevf_is_running(const struct nvmevf_device *vf)
{
	return vf->mig_state == VFIO_DEVICE_STATE_RUNNING ||
	       vf->mig_state == VFIO_DEVICE_STATE_PRE_COPY;
}

/**
 * nvmevf_lose_locked - mark the VF as lost, until it is reset
 * @vf: the device
 *
 * Context: State mutex held.
 */
void nvmevf_lose_locked(struct nvmevf_device *vf)
{
	lockdep_assert_held(&vf->state_mutex);

	WRITE_ONCE(vf->lost, true);
}

/**
 * nvmevf_judge_locked - mark the VF as lost if the result of a command shows that it is
 * @vf: the device
 * @err: result of a function of struct nvmevf_lm_ops
 *
 * A VF that was not suspended cannot be lost.
 *
 * Context: State mutex held.
 * Return: @err.
 */
int nvmevf_judge_locked(struct nvmevf_device *vf, int err)
{
	if (vf->lm->suspended && (err == -ENOTCONN || err == -ENXIO))
		nvmevf_lose_locked(vf);
	return err;
}

/*
 * The count of resets may be wrong: nvme may have stopped the PF without a reset, and
 * root can write the count. Only the device knows; with the vendor set it cannot be
 * asked.
 */
static int nvmevf_ask_lost_locked(struct nvmevf_device *vf, long resets)
{
	struct nvmevf_lm *lm = vf->lm;
	int ret = -ENOTCONN;

	if (lm->ops->check_suspended)
		ret = lm->ops->check_suspended(lm, NVMEVF_EXEC_KILLABLE);
	else
		nvmevf_err(&lm->stats, "PF was reset while this VF was suspended: reset the VF");

	if (!nvmevf_judge_locked(vf, ret))
		vf->mmc_resets = resets;
	return vf->lost ? -ENOTCONN : ret;
}

/**
 * nvmevf_check_lost_locked - check whether the VF may have run behind our back
 * @vf: the device
 *
 * A reset of the PF makes its suspended VFs run again. The host's count of resets
 * gives only a suspicion, which the device has to confirm. A loss that is known
 * stays known until the VF is reset.
 *
 * Context: State mutex held; may send a command, a fatal signal ends it.
 * Return: 0; -ENOTCONN if the VF was suspended and no longer is; another errno
 * if the device could not be asked, so that nothing is known.
 */
int nvmevf_check_lost_locked(struct nvmevf_device *vf)
{
	long resets;

	lockdep_assert_held(&vf->state_mutex);

	if (vf->lost)
		return -ENOTCONN;
	if (!vf->lm->suspended)
		return 0;
	if (nvmevf_mmc_live(vf->lm->mmc, &resets) && resets == vf->mmc_resets)
		return 0;

	return nvmevf_ask_lost_locked(vf, resets);
}

/*
 * A Suspend that was given up before the reset may have been executed after it: resume the
 * VF, but not one whose state may have been moved, if it was suspended before.
 */
static int nvmevf_still_suspended(struct nvmevf_device *vf)
{
	struct nvmevf_lm *lm = vf->lm;
	int ret;

	ret = lm->ops->is_suspended(lm, NVMEVF_EXEC_KILLABLE);
	if (ret <= 0 || vf->was_suspended || !nvmevf_mmc_suspends_late(lm->mmc))
		return ret;

	ret = lm->ops->resume(lm, NVMEVF_EXEC_KILLABLE);
	if (ret && ret != -EREMOTEIO)
		return ret;
	return lm->ops->is_suspended(lm, NVMEVF_EXEC_KILLABLE);
}

/**
 * nvmevf_verify_reset_locked - check that a reset of a suspended VF worked
 * @vf: the device
 *
 * The PCI core reports a reset as done whether it worked or not. If the VF was
 * suspended, the reset is verified before the VF is used for a migration again.
 *
 * Context: State mutex held; may send a command, a fatal signal ends it.
 * Return: 0; -ENOTCONN if the VF is still suspended; another errno if the device
 * could not be asked.
 */
int nvmevf_verify_reset_locked(struct nvmevf_device *vf)
{
	struct nvmevf_lm *lm = vf->lm;
	int ret = 0;

	if (!vf->unverified)
		return 0;

	if (lm->ops->is_suspended)
		ret = nvmevf_still_suspended(vf);
	if (ret < 0) {
		nvmevf_err(&lm->stats, "cannot check whether the reset worked: %pe", ERR_PTR(ret));
		return ret;
	}

	vf->unverified = ret;
	if (!ret) {
		vf->was_suspended = false;
		return 0;
	}

	nvmevf_err(&lm->stats, "VF is still suspended after its reset: reset it again");
	nvmevf_lose_locked(vf);
	return -ENOTCONN;
}

/**
 * nvmevf_state_size_locked - ask the device for the current length of the state
 * @vf: the device, not lost
 * @size: bytes of controller state
 *
 * Context: State mutex held; sends a command, a fatal signal ends it.
 * Return: 0 or a negative errno.
 */
int nvmevf_state_size_locked(struct nvmevf_device *vf, u64 *size)
{
	lockdep_assert_held(&vf->state_mutex);

	return nvmevf_judge_locked(vf, vf->lm->ops->state_size(vf->lm, size, NVMEVF_EXEC_KILLABLE));
}

/**
 * nvmevf_note_size_locked - remember the length of the state
 * @vf: the device
 * @state_len: bytes of controller state
 *
 * Context: State mutex held, or the device is not registered yet.
 */
void nvmevf_note_size_locked(struct nvmevf_device *vf, u64 state_len)
{
	vf->state_len = state_len;
	vf->data_size = nvmevf_stream_size(state_len, nvmevf_mmc_max_xfer(vf->lm->mmc));
}

/**
 * nvmevf_drop_saved_locked - free the state that the vendor set's SAVE_DATA returned
 * @vf: the device
 *
 * Context: State mutex held.
 */
void nvmevf_drop_saved_locked(struct nvmevf_device *vf)
{
	nvmevf_buf_put(vf->lm->saved);
	vf->lm->saved = NULL;
}

/**
 * nvmevf_read_reg - read a register of the VF
 * @vf: the device
 * @reg: its offset in BAR 0
 * @val: its value
 *
 * Context: Process; takes memory_lock, so not under the state mutex.
 * Return: 0; -EIO if the user disabled memory space; another errno.
 */
int nvmevf_read_reg(struct nvmevf_device *vf, unsigned int reg, u32 *val)
{
	void __iomem *bar = vfio_pci_core_get_iomap(&vf->core, 0);

	if (IS_ERR(bar))
		return PTR_ERR(bar);

	return vfio_pci_core_ioread32(&vf->core, true, val, bar + reg);
}
