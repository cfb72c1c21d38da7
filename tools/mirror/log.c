// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of a controller, from the driver.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "log.h"

int log_open(const char *pf, u16 cntlid, u32 queue)
{
	struct nvme_lm_log_start start = {
		.argsz = sizeof(start),
		.entries = queue,
		.cntlid = cntlid,
	};
	char path[64];
	int fd, error;

	snprintf(path, sizeof(path), "/dev/nvme-lm/%s", pf);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, NVME_LM_LOG_START, &start)) {
		error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

int log_read(int fd, struct nvme_lm_log_entry *entries, size_t n)
{
	ssize_t len = read(fd, entries, n * sizeof(*entries));

	return len < 0 ? -errno : len / (ssize_t)sizeof(*entries);
}

void log_close(int fd)
{
	close(fd);
}
