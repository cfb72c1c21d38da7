/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_STATES_H
#define NVMEVF_STATES_H

struct vfio_migration_ops;

extern const struct vfio_migration_ops nvmevf_mig_ops;

#endif /* NVMEVF_STATES_H */
