// SPDX-License-Identifier: GPL-2.0-only
/*
 * The block device of a namespace, or a file in its place.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/blkzoned.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "namespace.h"
#include "report.h"

#define FILE_LBA_SIZE	512
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static int in_use(const struct disk *d)
{
	return fail(MIRROR_REFUSED, "namespace %u: %s is mounted or used by something else",
		    d->nsid, d->path);
}

static int no_open(const struct disk *d, int error)
{
	return fail(MIRROR_REFUSED, "namespace %u: %s: %s", d->nsid, d->path, strerror(error));
}

static int open_block(struct disk *d, bool write)
{
	d->fd = open(d->path, O_CLOEXEC | O_DIRECT | (write ? O_RDWR | O_EXCL : O_RDONLY));
	if (d->fd < 0)
		return errno == EBUSY ? in_use(d) : no_open(d, errno);
	return 0;
}

static int open_file(struct disk *d, bool write)
{
	int flags = O_CLOEXEC | (write ? O_RDWR : O_RDONLY);

	d->fd = open(d->path, flags | O_DIRECT);
	if (d->fd < 0 && errno == EINVAL)
		d->fd = open(d->path, flags);
	if (d->fd < 0)
		return no_open(d, errno);
	if (write && flock(d->fd, LOCK_EX | LOCK_NB))
		return in_use(d);
	return 0;
}

static int check_format(struct disk *d)
{
	struct disk_format f;
	int ret = disk_format(d, &f);
	u32 zone;

	if (ret)
		return no_open(d, -ret);
	if (f.metadata)
		return fail(MIRROR_REFUSED, "namespace %u has metadata, which is not copied",
			    d->nsid);
	if (d->block && !ioctl(d->fd, BLKGETZONESZ, &zone) && zone)
		return fail(MIRROR_REFUSED, "namespace %u is zoned, which is not supported",
			    d->nsid);
	if (!f.size || !f.lba_size || f.size % f.lba_size)
		return fail(MIRROR_REFUSED, "namespace %u: %s has no whole blocks", d->nsid,
			    d->path);

	d->size = f.size;
	d->lba_size = f.lba_size;
	return 0;
}

static int check_number(struct disk *d)
{
	u32 nsid = d->block ? namespace_number(d->fd) : 0;

	d->nvme = nsid;
	d->reports = nsid && namespace_reports(d->fd, nsid);
	if (nsid && nsid != d->nsid)
		return fail(MIRROR_REFUSED, "%s is namespace %u, not %u", d->path, nsid, d->nsid);
	return 0;
}

int disk_open(struct disk *d, bool write)
{
	struct stat st;
	int ret;

	d->fd = -1;
	if (stat(d->path, &st))
		return no_open(d, errno);
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return fail(MIRROR_REFUSED, "%s is no block device", d->path);

	d->block = S_ISBLK(st.st_mode);
	ret = d->block ? open_block(d, write) : open_file(d, write);
	if (ret)
		return ret;
	ret = check_number(d);
	return ret ?: check_format(d);
}

void disk_close(struct disk *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

static int block_format(int fd, struct disk_format *f)
{
	int lba_size;

	if (ioctl(fd, BLKGETSIZE64, &f->size) || ioctl(fd, BLKSSZGET, &lba_size))
		return -errno;
	f->lba_size = lba_size;
	return 0;
}

int disk_format(const struct disk *d, struct disk_format *f)
{
	struct stat st;

	memset(f, 0, sizeof(*f));
	if (d->nvme)
		return namespace_format(d->fd, d->nsid, f);
	if (d->block)
		return block_format(d->fd, f);
	if (fstat(d->fd, &st))
		return -errno;
	f->size = st.st_size;
	f->lba_size = FILE_LBA_SIZE;
	return 0;
}

static void file_extent(const struct disk *d, u64 offset, u64 len, struct disk_extent *e)
{
	off_t data = lseek(d->fd, offset, SEEK_DATA), end;

	if (data < 0 && errno == ENXIO)
		data = offset + len;
	if (data < 0)
		return;

	/* a unit of which a part is allocated is allocated */
	data -= data % DISK_ALIGN;
	if ((u64)data > offset) {
		e->data = false;
		e->len = min_t(u64, len, data - offset);
		return;
	}
	end = lseek(d->fd, offset, SEEK_HOLE);
	if (end >= 0)
		end = (end + DISK_ALIGN - 1) / DISK_ALIGN * DISK_ALIGN;
	if ((u64)end > offset)
		e->len = min_t(u64, len, end - offset);
}

void disk_extent(const struct disk *d, u64 offset, u64 len, struct disk_extent *e)
{
	e->data = true;
	e->len = len;
	if (d->reports)
		namespace_extent(d, offset, len, e);
	else if (!d->block)
		file_extent(d, offset, len, e);
}

int disk_read(const struct disk *d, void *buf, u32 len, u64 offset)
{
	ssize_t n;

	for (u32 done = 0; done < len; done += n) {
		n = pread(d->fd, (u8 *)buf + done, len - done, offset + done);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return n ? -errno : -EIO;
	}
	return 0;
}

int disk_write(const struct disk *d, const void *buf, u32 len, u64 offset)
{
	ssize_t n;

	for (u32 done = 0; done < len; done += n) {
		n = pwrite(d->fd, (const u8 *)buf + done, len - done, offset + done);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return n ? -errno : -EIO;
	}
	return 0;
}

/* BLKZEROOUT deallocates where the device promises zeros for it, and writes them elsewhere */
int disk_zero(const struct disk *d, u64 offset, u64 len)
{
	u64 range[] = { offset, len };
	int ret;

	do {
		if (d->block)
			ret = ioctl(d->fd, BLKZEROOUT, range);
		else
			ret = fallocate(d->fd, PUNCH, offset, len);
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

bool is_zero(const void *buf, size_t len)
{
	const u8 *p = buf;

	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

int disk_is_zero(const struct disk *d, u64 offset, u64 len, void *buf, u32 buf_len)
{
	struct disk_extent e = { .data = true, .len = len };
	int ret;

	for (; len; offset += e.len, len -= e.len) {
		e = (struct disk_extent){ .data = true, .len = len };
		if (!d->block)
			file_extent(d, offset, len, &e);
		if (!e.data)
			continue;
		e.len = min_t(u64, e.len, buf_len);
		ret = disk_read(d, buf, e.len, offset);
		if (ret)
			return ret;
		if (!is_zero(buf, e.len))
			return 0;
	}
	return 1;
}

int disk_flush(const struct disk *d)
{
	return fsync(d->fd) ? -errno : 0;
}
