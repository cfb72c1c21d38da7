/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The block device of a namespace, or a file in its place.
 */

#ifndef MIRROR_DISK_H
#define MIRROR_DISK_H

#include <stdbool.h>

#include <linux/kernel.h>

#define DISK_PATH_MAX	128

/* What buffers have to be aligned to */
#define DISK_ALIGN	4096

/**
 * struct disk - a namespace
 * @nsid: its number
 * @path: its block device, or a file
 * @fd: open file
 * @block: it is a block device
 * @nvme: it is a namespace, which commands can be sent to
 * @reports: it can say what is allocated
 * @size: bytes
 * @lba_size: bytes of a logical block
 */
struct disk {
	u32 nsid;
	char path[DISK_PATH_MAX];
	int fd;
	bool block;
	bool nvme;
	bool reports;
	u64 size;
	u32 lba_size;
};

/**
 * struct disk_format - what has to be the same on both sides
 * @size: bytes
 * @lba_size: bytes of a logical block
 * @metadata: bytes of metadata per block
 */
struct disk_format {
	u64 size;
	u32 lba_size;
	u32 metadata;
};

/**
 * struct disk_extent - the first part of a range
 * @len: bytes, up to the end of the range
 * @data: something is allocated there; otherwise it reads as zeros
 */
struct disk_extent {
	u64 len;
	bool data;
};

/**
 * disk_open() - open the disk of @d->path and fill in @d
 * @d: disk with @nsid and @path
 * @write: to write it; refused if anything uses it
 *
 * The page cache is bypassed, unless a file is on a file system that cannot do so.
 *
 * Return: 0, or the result of fail().
 */
int disk_open(struct disk *d, bool write);

/* Close it, if it is open. */
void disk_close(struct disk *d);

/**
 * disk_format() - ask what a disk is like now, which a Format NVM changes
 * @d: open disk
 * @f: filled in
 *
 * Return: 0 or a negative errno.
 */
int disk_format(const struct disk *d, struct disk_format *f);

/**
 * disk_extent() - ask what is allocated
 * @d: open disk
 * @offset: begin of a range
 * @len: bytes of it
 * @e: filled in; data, if the disk does not tell
 */
void disk_extent(const struct disk *d, u64 offset, u64 len, struct disk_extent *e);

/* Read or write all of it. Return: 0 or a negative errno. */
int disk_read(const struct disk *d, void *buf, u32 len, u64 offset);
int disk_write(const struct disk *d, const void *buf, u32 len, u64 offset);

/* Make a range zeros, deallocated where the disk allows it; 0 or a negative errno. */
int disk_zero(const struct disk *d, u64 offset, u64 len);

/* Whether a range reads as zeros: 1 or 0, or a negative errno. @buf has @buf_len bytes. */
int disk_is_zero(const struct disk *d, u64 offset, u64 len, void *buf, u32 buf_len);

/* Make what was written durable; 0 or a negative errno. */
int disk_flush(const struct disk *d);

bool is_zero(const void *buf, size_t len);

#endif /* MIRROR_DISK_H */
