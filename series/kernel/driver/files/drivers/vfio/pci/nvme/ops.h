/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_OPS_H
#define NVMEVF_OPS_H

#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

/* The operations that every function gets from vfio-pci-core */
#define NVMEVF_COMMON_OPS						\
	.name		= "nvme-vfio-pci",				\
	.init		= nvmevf_init_dev,				\
	.release	= nvmevf_release_dev,				\
	.ioctl		= vfio_pci_core_ioctl,				\
	.get_region_info_caps = vfio_pci_ioctl_get_region_info,		\
	.device_feature	= vfio_pci_core_ioctl_feature,			\
	.mmap		= vfio_pci_core_mmap,				\
	.request	= vfio_pci_core_request,			\
	.match		= vfio_pci_core_match,				\
	.match_token_uuid = vfio_pci_core_match_token_uuid,		\
	.bind_iommufd	= vfio_iommufd_physical_bind,			\
	.unbind_iommufd	= vfio_iommufd_physical_unbind,			\
	.attach_ioas	= vfio_iommufd_physical_attach_ioas,		\
	.detach_ioas	= vfio_iommufd_physical_detach_ioas,		\
	.pasid_attach_ioas = vfio_iommufd_physical_pasid_attach_ioas,	\
	.pasid_detach_ioas = vfio_iommufd_physical_pasid_detach_ioas

static inline void nvmevf_set_pci_ops(struct vfio_pci_core_device *core)
{
	static const struct vfio_pci_device_ops ops = {
		.get_dmabuf_phys = vfio_pci_core_get_dmabuf_phys,
	};

	core->pci_ops = &ops;
}

/* Whether the user wants to hear of a longer state during pre-copy */
static inline bool nvmevf_precopy_info_v2(const struct vfio_device *vdev)
{
	return vdev->precopy_info_v2;
}

#endif /* NVMEVF_OPS_H */
