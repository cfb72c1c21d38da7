/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_LINUX_BLKDEV_H
#define FUZZ_LINUX_BLKDEV_H

#include <errno.h>
#include <linux/blk_types.h>

static inline int blk_status_to_errno(blk_status_t status)
{
	return status ? -EIO : 0;
}

#endif /* FUZZ_LINUX_BLKDEV_H */
