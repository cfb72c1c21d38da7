// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fence prevents a VF whose state may have been moved from executing anything.
 *
 * A reset of the PF un-suspends its VFs, and nvme resets a PF on its own when any
 * command times out. The source of a migration would then execute the same commands
 * as the destination. So bus mastering is off while the VF is stopped: a controller
 * that cannot fetch executes nothing.
 *
 * The user does not see the fence: the bit reads as the user left it. If the user
 * writes the command register, the written value takes effect and the fence is gone.
 */

#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/vfio_pci_core.h>

#include "fence.h"
#include "vf.h"

/**
 * nvmevf_fence_raise - turn off bus mastering of the VF
 * @vf: the device
 *
 * Context: Process, state mutex held.
 */
void nvmevf_fence_raise(struct nvmevf_device *vf)
{
	struct pci_dev *pdev = vf->core.pdev;
	u16 cmd;

	spin_lock(&vf->fence_lock);
	pci_read_config_word(pdev, PCI_COMMAND, &cmd);
	if (!vf->fenced && !PCI_POSSIBLE_ERROR(cmd) && (cmd & PCI_COMMAND_MASTER)) {
		pci_write_config_word(pdev, PCI_COMMAND, cmd & ~PCI_COMMAND_MASTER);
		WRITE_ONCE(vf->fenced, true);
	}
	spin_unlock(&vf->fence_lock);
}

/**
 * nvmevf_fence_lower - turn bus mastering on again, unless the user has written it since
 * @vf: the device
 *
 * Context: Process, state mutex held.
 */
void nvmevf_fence_lower(struct nvmevf_device *vf)
{
	struct pci_dev *pdev = vf->core.pdev;
	u16 cmd;

	spin_lock(&vf->fence_lock);
	if (vf->fenced) {
		pci_read_config_word(pdev, PCI_COMMAND, &cmd);
		pci_write_config_word(pdev, PCI_COMMAND, cmd | PCI_COMMAND_MASTER);
		WRITE_ONCE(vf->fenced, false);
	}
	spin_unlock(&vf->fence_lock);
}

/**
 * nvmevf_fence_drop - forget the fence of a VF that is being closed
 * @vf: the device; bus mastering stays off
 *
 * Context: Process.
 */
void nvmevf_fence_drop(struct nvmevf_device *vf)
{
	spin_lock(&vf->fence_lock);
	WRITE_ONCE(vf->fenced, false);
	spin_unlock(&vf->fence_lock);
}

/* Offset of the byte with the bus master bit in the buffer of a config access, or -1 */
static ssize_t nvmevf_command_at(loff_t pos, size_t count)
{
	loff_t offset = pos & VFIO_PCI_OFFSET_MASK;

	if (VFIO_PCI_OFFSET_TO_INDEX(pos) != VFIO_PCI_CONFIG_REGION_INDEX ||
	    offset > PCI_COMMAND || count <= PCI_COMMAND - offset)
		return -1;

	return PCI_COMMAND - offset;
}

static int nvmevf_show_master(char __user *at)
{
	u8 val;

	if (get_user(val, (u8 __user *)at))
		return -EFAULT;
	return put_user(val | PCI_COMMAND_MASTER, (u8 __user *)at);
}

/**
 * nvmevf_fence_read - read a region of the device, hiding the fence
 * @vdev: the device
 * @buf: the user's memory
 * @count: bytes
 * @ppos: region and offset
 *
 * Context: Process; no lock is held.
 * Return: bytes read, or a negative errno.
 */
ssize_t nvmevf_fence_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);
	bool fenced = READ_ONCE(vf->fenced);
	loff_t pos = *ppos;
	ssize_t ret, at;

	ret = vfio_pci_core_read(vdev, buf, count, ppos);
	if (ret <= 0)
		return ret;

	at = nvmevf_command_at(pos, ret);
	if (at < 0 || !(fenced || READ_ONCE(vf->fenced)))
		return ret;

	return nvmevf_show_master(buf + at) ? -EFAULT : ret;
}

/*
 * The user wrote the bit. If it was set but is off now, the fence was raised after
 * the write, and stays.
 */
static void nvmevf_fence_written(struct nvmevf_device *vf, u8 val)
{
	u16 cmd;

	spin_lock(&vf->fence_lock);
	pci_read_config_word(vf->core.pdev, PCI_COMMAND, &cmd);
	if (!(val & PCI_COMMAND_MASTER) || (cmd & PCI_COMMAND_MASTER))
		WRITE_ONCE(vf->fenced, false);
	spin_unlock(&vf->fence_lock);
}

/**
 * nvmevf_fence_write - write a region of the device; a written command register wins
 * @vdev: the device
 * @buf: the user's memory
 * @count: bytes
 * @ppos: region and offset
 *
 * Context: Process; no lock is held.
 * Return: bytes written, or a negative errno.
 */
ssize_t nvmevf_fence_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			   loff_t *ppos)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);
	ssize_t ret, at = nvmevf_command_at(*ppos, count);
	u8 val = 0;

	if (at >= 0 && get_user(val, (const u8 __user *)buf + at))
		return -EFAULT;

	ret = vfio_pci_core_write(vdev, buf, count, ppos);
	if (at >= 0 && ret > at)
		nvmevf_fence_written(vf, val);
	return ret;
}
