// SPDX-License-Identifier: GPL-2.0-only
/*
 * One VF: whether it runs, whether it is lost, how long its state is, its registers.
 */

#include <linux/lockdep.h>
#include <linux/pci.h>
#include <linux/vfio_pci_core.h>

#include "compat.h"
#include "lm.h"
#include "mmc.h"
#include "stats.h"
#include "stream.h"
#include "vf.h"

/**
 * nvmevf_is_running - whether the VF works in its state, and has nothing to lose
 * @vf: the device
 *
 * Context: State mutex held.
 * Return: false where the VF is suspended, or should be.
 */
bool nvmevf_is_running(const struct nvmevf_device *vf)
{
	return vf->mig_state == VFIO_DEVICE_STATE_RUNNING ||
	       vf->mig_state == VFIO_DEVICE_STATE_PRE_COPY;
}

/**
 * nvmevf_lose_locked - note that only a reset of the VF helps any more
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
 * nvmevf_judge_locked - see from the result of a command whether the VF is lost
 * @vf: the device
 * @err: what a function of struct nvmevf_lm_ops returned
 *
 * A VF that runs has nothing to lose.
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
 * nvme may have stopped the PF without a reset of it, and root can write the count
 * of resets. The device knows; with the vendor set it cannot be asked.
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
 * nvmevf_check_lost_locked - see whether the VF may have run behind our back
 * @vf: the device
 *
 * A reset of the PF makes the VFs that it suspended run again. What the host knows
 * of resets is a suspicion only, about which the device is asked. Once a loss is
 * known this stays so until the VF is reset.
 *
 * Context: State mutex held; may send a command, a fatal signal ends it.
 * Return: 0; -ENOTCONN if the VF was suspended and is not any more; another errno
 * if the device could not be asked, and nothing is known.
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

/**
 * nvmevf_verify_reset_locked - see that a reset of a suspended VF worked
 * @vf: the device
 *
 * The PCI core reports a reset as done whether it worked or not. One of a VF that was
 * suspended is seen to have worked before the VF is used for a migration again.
 *
 * Context: State mutex held; may send a command, a fatal signal ends it.
 * Return: 0; -ENOTCONN if the VF still is suspended; another errno if the device
 * could not be asked.
 */
int nvmevf_verify_reset_locked(struct nvmevf_device *vf)
{
	struct nvmevf_lm *lm = vf->lm;
	int ret = 0;

	if (!vf->unverified)
		return 0;

	if (lm->ops->is_suspended)
		ret = lm->ops->is_suspended(lm, NVMEVF_EXEC_KILLABLE);
	if (ret < 0) {
		nvmevf_err(&lm->stats, "cannot see whether the reset worked: %pe", ERR_PTR(ret));
		return ret;
	}

	vf->unverified = ret;
	if (!ret)
		return 0;

	nvmevf_err(&lm->stats, "VF is still suspended after its reset: reset it again");
	nvmevf_lose_locked(vf);
	return -ENOTCONN;
}

/**
 * nvmevf_state_size_locked - ask how long the state is as of now
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
 * nvmevf_note_size_locked - remember how long the state is
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
 * nvmevf_drop_saved_locked - free what the vendor set's SAVE returned
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
 * @val: where to
 *
 * Context: Process; takes memory_lock, so not under the state mutex.
 * Return: 0; -EIO where the user disabled memory space; another errno.
 */
int nvmevf_read_reg(struct nvmevf_device *vf, unsigned int reg, u32 *val)
{
	void __iomem *bar = vfio_pci_core_get_iomap(&vf->core, 0);

	if (IS_ERR(bar))
		return PTR_ERR(bar);

	return vfio_pci_core_ioread32(&vf->core, true, val, bar + reg);
}
