// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page of userfaultfd.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "trap.h"

/* Only against hanging for ever. */
#define TRAP_TIMEOUT_MS	60000

static int trap_register(struct trap *t)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (ioctl(t->fd, UFFDIO_API, &api))
		return -errno;
	t->page = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->page == MAP_FAILED)
		return -errno;
	reg.range.start = (unsigned long)t->page;
	reg.range.len = t->size;
	return ioctl(t->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

int trap_init(struct trap *t)
{
	int err;

	memset(t, 0, sizeof(*t));
	t->size = getpagesize();
	t->fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (t->fd < 0)
		return -errno;
	err = trap_register(t);
	if (err)
		trap_fini(t);
	return err;
}

int trap_wait(struct trap *t)
{
	struct pollfd pfd = { .fd = t->fd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&pfd, 1, TRAP_TIMEOUT_MS) != 1)
		return -ETIMEDOUT;
	return read(t->fd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -errno;
}

bool trap_release(struct trap *t, const void *content, size_t len)
{
	struct uffdio_copy copy = { .dst = (unsigned long)t->page, .len = t->size };
	void *page = aligned_alloc(t->size, t->size);
	bool done;

	if (!page)
		abort();
	memset(page, 0, t->size);
	memcpy(page, content, len);
	copy.src = (unsigned long)page;
	done = !ioctl(t->fd, UFFDIO_COPY, &copy);
	free(page);
	return done;
}

void trap_fini(struct trap *t)
{
	if (t->page && t->page != MAP_FAILED)
		munmap(t->page, t->size);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	t->page = NULL;
}
