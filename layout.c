// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks that the running nvme has the private structures that this was built with.
 * Not part of an upstream posting.
 */

#include <generated/utsrelease.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uaccess.h>
#include <linux/utsname.h>

#include "host/nvme.h"

/* The only symbol used whose CRC depends on struct nvme_ctrl, so it guards the layout */
static void *const nvmevf_layout_crc __used = nvme_reset_ctrl;

/**
 * nvmevf_layout_fits - check that a controller is laid out as compiled here
 * @pf: the PF
 * @dev: its child of class "nvme"
 *
 * The layout of struct nvme_ctrl is private to nvme, and was that of nvme-core when
 * this was built. Before a pointer in it is followed, check that it is plausible.
 * Reads cannot fault.
 *
 * Return: whether @dev is a controller whose admin queue can be used.
 */
bool nvmevf_layout_fits(struct pci_dev *pf, struct device *dev)
{
	struct nvme_ctrl *nvme = dev_get_drvdata(dev);
	struct device *parent, *class_dev;
	struct blk_mq_tag_set *set;
	unsigned int hw_queues;
	struct request_queue *q;
	void *owner;

	if (strcmp(init_utsname()->release, UTS_RELEASE))
		return false;

	if (get_kernel_nofault(parent, &nvme->dev) ||
	    get_kernel_nofault(class_dev, &nvme->device) ||
	    get_kernel_nofault(q, &nvme->admin_q))
		return false;
	if (parent != &pf->dev || class_dev != dev || IS_ERR_OR_NULL(q))
		return false;

	/* the admin queue belongs to no namespace, its tags belong to this controller */
	if (get_kernel_nofault(owner, &q->queuedata) || owner ||
	    get_kernel_nofault(set, &q->tag_set) ||
	    get_kernel_nofault(owner, &set->driver_data) || owner != nvme ||
	    get_kernel_nofault(hw_queues, &set->nr_hw_queues) || hw_queues != 1)
		return false;

	return true;
}

/**
 * nvmevf_same_nvme - check that the PF's driver is the one this was built for
 * @vf: a function linked to the PF
 * @pf: the PF
 *
 * Context: Process.
 * Return: 0 or -ENOEXEC.
 */
int nvmevf_same_nvme(struct pci_dev *vf, struct pci_dev *pf)
{
#ifdef NVMEVF_NVME_SRCVERSION
	const struct module *owner = pf->dev.driver->owner;

	if (owner && owner->srcversion && strcmp(owner->srcversion, NVMEVF_NVME_SRCVERSION)) {
		pci_err(vf, "built for a different nvme module than the one loaded: rebuild\n");
		return -ENOEXEC;
	}
#endif
	return 0;
}
