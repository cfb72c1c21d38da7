/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands to an NVMe namespace.
 */

#ifndef MIRROR_NAMESPACE_H
#define MIRROR_NAMESPACE_H

#include "disk.h"

/* The number of the namespace that a block device is, or 0. */
u32 namespace_number(int fd);

/* Identify, with a buffer of a page; 0 or a negative errno. */
int namespace_identify(int fd, u8 cns, u32 nsid, u16 cntid, void *page);

/* Identify Namespace; 0 or a negative errno. */
int namespace_format(int fd, u32 nsid, struct disk_format *f);

/* Whether the controller can say what is allocated, and deallocated blocks read as zeros. */
bool namespace_reports(int fd, u32 nsid);

/**
 * namespace_extent() - Get LBA Status: what is allocated
 * @d: open disk, which namespace_reports()
 * @offset: begin of a range
 * @len: bytes of it
 * @e: filled in if the command succeeds
 */
void namespace_extent(const struct disk *d, u64 offset, u64 len, struct disk_extent *e);

#endif /* MIRROR_NAMESPACE_H */
