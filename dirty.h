/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_DIRTY_H
#define NVMEVF_DIRTY_H

struct nvmevf_device;
struct vfio_log_ops;

extern const struct vfio_log_ops nvmevf_dirty_log_ops;
void nvmevf_dirty_suspending_locked(struct nvmevf_device *vf);
void nvmevf_dirty_suspended_locked(struct nvmevf_device *vf);
void nvmevf_dirty_resumed_locked(struct nvmevf_device *vf);
void nvmevf_dirty_reset_locked(struct nvmevf_device *vf);
void nvmevf_dirty_end_locked(struct nvmevf_device *vf);
void nvmevf_dirty_stop_locked(struct nvmevf_device *vf, unsigned int flags);

#endif /* NVMEVF_DIRTY_H */
