/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that stops whoever touches it, the kernel included, until it is told to go on. So a system
 * call can be held in the middle of its copy from or to user space. By userfaultfd.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_TRAP_H
#define SELFTESTS_VFIO_MIGRATION_TRAP_H

#include <stdbool.h>
#include <stddef.h>

struct trap {
	int fd;
	void *page;
	size_t size;
};

/* One page. 0 or -errno: kernels may lack it, or not allow it. */
int trap_init(struct trap *t);

/* Wait until somebody is in the trap; 0 or -ETIMEDOUT. */
int trap_wait(struct trap *t);

/* Fill the page and let go; false: nobody had to wait any more. */
bool trap_release(struct trap *t, const void *content, size_t len);

void trap_fini(struct trap *t);

#endif /* SELFTESTS_VFIO_MIGRATION_TRAP_H */
