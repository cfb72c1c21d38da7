/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_FENCE_H
#define NVMEVF_FENCE_H

#include <linux/types.h>

struct nvmevf_device;
struct vfio_device;

void nvmevf_fence_raise(struct nvmevf_device *vf);
void nvmevf_fence_lower(struct nvmevf_device *vf);
void nvmevf_fence_drop(struct nvmevf_device *vf);
ssize_t nvmevf_fence_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos);
ssize_t nvmevf_fence_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			   loff_t *ppos);

#endif /* NVMEVF_FENCE_H */
