/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operations that every function gets from vfio-pci-core. What not all kernels have
 * is in compat.h; a kernel tree has a header of its own with both.
 */

#ifndef NVMEVF_OPS_H
#define NVMEVF_OPS_H

#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#define NVMEVF_COMMON_OPS						\
	.name		= "nvme-vfio-pci",				\
	.init		= nvmevf_init_dev,				\
	.release	= nvmevf_release_dev,				\
	.ioctl		= vfio_pci_core_ioctl,				\
	.device_feature	= vfio_pci_core_ioctl_feature,			\
	.mmap		= vfio_pci_core_mmap,				\
	.request	= vfio_pci_core_request,			\
	.match		= vfio_pci_core_match,				\
	.bind_iommufd	= vfio_iommufd_physical_bind,			\
	.unbind_iommufd	= vfio_iommufd_physical_unbind,			\
	.attach_ioas	= vfio_iommufd_physical_attach_ioas,		\
	NVMEVF_OPS_7X							\
	.detach_ioas	= vfio_iommufd_physical_detach_ioas

#endif /* NVMEVF_OPS_H */
