// SPDX-License-Identifier: GPL-2.0-only
/*
 * A log from a test: for nvme-lm-mirror, in place of the driver's.
 *
 * Each log is a connection to the socket MIRROR_LOG. The test gets struct nvme_lm_log_start, and
 * answers with an errno. A packet from it is entries, or, if it has 4 bytes, an errno.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../tools/mirror/log.h"

int log_open(const char *pf, u16 cntlid, u32 queue)
{
	struct nvme_lm_log_start start = {
		.argsz = sizeof(start),
		.entries = queue,
		.cntlid = cntlid,
	};
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int error = EIO;

	if (strcmp(pf, "0000:01:00.0"))
		return -ENODEV;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", getenv("MIRROR_LOG"));
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return -errno;
	if (send(fd, &start, sizeof(start), 0) != sizeof(start) ||
	    recv(fd, &error, sizeof(error), 0) != sizeof(error))
		error = EIO;
	if (error) {
		close(fd);
		return -error;
	}
	return fd;
}

int log_read(int fd, struct nvme_lm_log_entry *entries, size_t n)
{
	ssize_t len = recv(fd, entries, n * sizeof(*entries), MSG_DONTWAIT);
	int error;

	if (len != sizeof(error))
		return len < 0 ? -errno : len / (ssize_t)sizeof(*entries);
	memcpy(&error, entries, sizeof(error));
	return -error;
}

void log_close(int fd)
{
	close(fd);
}
