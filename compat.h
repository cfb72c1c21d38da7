/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between 6.12, the oldest kernel this builds for, and 7.x. If possible,
 * this defines the names of 7.x for 6.12. Not part of an upstream posting.
 */

#ifndef NVMEVF_COMPAT_H
#define NVMEVF_COMPAT_H

#include <kunit/visibility.h>
#include <linux/blk-mq.h>
#include <linux/crc32.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)

/* This one uses the CPU's instruction, if any; the one in <linux/crc32.h> did not */
#if IS_REACHABLE(CONFIG_LIBCRC32C)
#include <linux/crc32c.h>
#else
#define crc32c(crc, data, len)		__crc32c_le(crc, data, len)
#endif

#define blk_rq_map_kern(rq, buf, len, gfp)	\
	blk_rq_map_kern((rq)->q, rq, buf, len, gfp)

#define NVMEVF_END_IO_ARGS		struct request *rq, blk_status_t err
#define NVMEVF_MATCH_DATA		void *

/* Resets are counted since 7.x: before that, only the suspended bit shows one */
#define nvmevf_ctrl_resets(ctrl)	(-1L)

/* A name instead of a string before 6.13 */
#undef MODULE_IMPORT_NS
#define MODULE_IMPORT_NS(ns)		MODULE_INFO(import_ns, ns)

#define NVMEVF_OPS_7X
#define nvmevf_set_pci_ops(core)	do { } while (0)

static inline void __iomem *
vfio_pci_core_get_iomap(struct vfio_pci_core_device *core, unsigned int bar)
{
	int ret = vfio_pci_core_setup_barmap(core, bar);

	return ret ? IOMEM_ERR_PTR(ret) : core->barmap[bar];
}

#else

#define NVMEVF_END_IO_ARGS		\
	struct request *rq, blk_status_t err, const struct io_comp_batch *iob
#define NVMEVF_MATCH_DATA		const void *

#define nvmevf_ctrl_resets(ctrl)	atomic_long_read(&(ctrl)->nr_reset)

#define NVMEVF_OPS_7X							\
	.get_region_info_caps = vfio_pci_ioctl_get_region_info,		\
	.match_token_uuid = vfio_pci_core_match_token_uuid,		\
	.pasid_attach_ioas = vfio_iommufd_physical_pasid_attach_ioas,	\
	.pasid_detach_ioas = vfio_iommufd_physical_pasid_detach_ioas,

static inline void nvmevf_set_pci_ops(struct vfio_pci_core_device *core)
{
	static const struct vfio_pci_device_ops ops = {
		.get_dmabuf_phys = vfio_pci_core_get_dmabuf_phys,
	};

	core->pci_ops = &ops;
}

#endif

/* In a kernel tree these are in nvme */
#undef EXPORT_SYMBOL_FOR_MODULES
#define EXPORT_SYMBOL_FOR_MODULES(sym, mods)	EXPORT_SYMBOL_IF_KUNIT(sym)

/* nvme's private structures: out of tree they may differ from those compiled here */
bool nvmevf_layout_fits(struct pci_dev *pf, struct device *dev);
int nvmevf_same_nvme(struct pci_dev *vf, struct pci_dev *pf);

#ifdef VFIO_PRECOPY_INFO_REINIT

#define nvmevf_precopy_info_v2(vdev)	((vdev)->precopy_info_v2)

#else

#define VFIO_PRECOPY_INFO_REINIT	0
#define nvmevf_precopy_info_v2(vdev)	false

static inline int vfio_check_precopy_ioctl(struct vfio_device *vdev, unsigned int cmd,
					   unsigned long arg, struct vfio_precopy_info *info)
{
	size_t minsz = offsetofend(struct vfio_precopy_info, dirty_bytes);

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	if (copy_from_user(info, (void __user *)arg, minsz))
		return -EFAULT;
	return info->argsz < minsz ? -EINVAL : 0;
}

#endif

#endif /* NVMEVF_COMPAT_H */
