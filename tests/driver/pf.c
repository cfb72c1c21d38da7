// SPDX-License-Identifier: GPL-2.0-only
/*
 * PFs that are bound, unbound and checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

void pf_end_faults(int nr)
{
	if (pf_opened(nr))
		lm_fault_end(pf_opened(nr));	/* an error if it has none */
}

int pf_unbind(int nr)
{
	pf_forget(nr);
	return file_write("/sys/bus/pci/drivers/nvme/unbind", pf_bdf(nr));
}

bool pf_bind(int nr)
{
	return EXPECT_EQ(bind_to(pf_bdf(nr), "nvme"), 0, "bind the PF to nvme") &&
	       pf_provision(nr);
}

void pf_check(int nr)
{
	struct lm_pf *pf = pf_get(nr);
	char name[16];
	void *buf;
	int fd;

	if (!pf)
		return;
	EXPECT_EQ(lm_probe(pf), 0, "PF %d does not answer", nr);
	snprintf(name, sizeof(name), "LM_NS%d", nr);
	if (!getenv(name))
		return;
	fd = open(getenv(name), O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (!EXPECT(fd >= 0, "open %s: %s", getenv(name), strerror(errno)))
		return;
	buf = aligned_alloc(4096, 4096);
	EXPECT_EQ(pread(fd, buf, 4096, 0), 4096, "read through the PF");
	free(buf);
	close(fd);
}

void pf_check_no_reset(int nr)
{
	EXPECT_EQ(klog_count_any("default/read/poll queues"), 0, "PF %d was reset", nr);
	EXPECT_EQ(klog_count_any("nvme_timeout") + klog_count_any("timeout, "), 0,
		  "a command of PF %d timed out", nr);
}

bool counts_pf_resets(void)
{
	char release[64];

	return !file_read("/proc/sys/kernel/osrelease", release, sizeof(release)) &&
	       atoi(release) >= 7;
}
