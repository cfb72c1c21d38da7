/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_DEBUGFS_H
#define NVMEVF_DEBUGFS_H

struct nvmevf_device;

void nvmevf_debugfs_add(struct nvmevf_device *vf);
void nvmevf_debugfs_remove(struct nvmevf_device *vf);
void nvmevf_debugfs_init(void);
void nvmevf_debugfs_exit(void);

#endif /* NVMEVF_DEBUGFS_H */
