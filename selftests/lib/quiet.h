/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * While a device is stopped nothing changes in memory and no interrupt comes.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_QUIET_H
#define SELFTESTS_VFIO_MIGRATION_QUIET_H

#include "udrv.h"

struct quiet {
	struct udrv *u;
	u8 *copy;
	size_t used;
	u64 fired[UDRV_MAX_VECTORS];
};

/* Record memory and interrupts of the driver. 0 or -errno. */
int quiet_start(struct quiet *q, struct udrv *u);

/* Compare, after watching for @watch_ms. Return: 0, or 1 with a fault recorded. */
int quiet_check(struct quiet *q, unsigned int watch_ms);
void quiet_end(struct quiet *q);

#endif /* SELFTESTS_VFIO_MIGRATION_QUIET_H */
