/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_MIGF_H
#define NVMEVF_MIGF_H

#include <linux/types.h>

struct file;
struct nvmevf_device;

struct file *nvmevf_precopy_open_locked(struct nvmevf_device *vf);
int nvmevf_precopy_stop_locked(struct nvmevf_device *vf);
u64 nvmevf_precopy_unread_locked(struct nvmevf_device *vf);
struct file *nvmevf_save_open_locked(struct nvmevf_device *vf);
struct file *nvmevf_load_open_locked(struct nvmevf_device *vf, bool enabled);
int nvmevf_load_finish_locked(struct nvmevf_device *vf);
void nvmevf_session_end_locked(struct nvmevf_device *vf);
bool nvmevf_session_refused_locked(struct nvmevf_device *vf);

#endif /* NVMEVF_MIGF_H */
