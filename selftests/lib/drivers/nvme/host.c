// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions that are bound to the nvme driver of the host.
 */
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <string.h>

#include "function.h"
#include "unvme.h"

#define PATH_SIZE	256

/* Against hanging for ever; the nvme driver itself gives up earlier. */
#define NVME_TRIES	6000
#define NVME_TRY_MS	50

/* A file of the controller's device; false where there is none */
static bool nvme_path(const char *bdf, const char *file, char *path, size_t size)
{
	char pattern[PATH_SIZE];
	bool exists;
	glob_t found;

	snprintf_assert(pattern, sizeof(pattern), "/sys/bus/pci/devices/%s/nvme/nvme*/%s", bdf,
			file);
	exists = !glob(pattern, 0, NULL, &found);
	if (exists)
		snprintf_assert(path, size, "%s", found.gl_pathv[0]);
	globfree(&found);
	return exists;
}

int unvme_host_reset(const char *bdf)
{
	char path[PATH_SIZE];

	if (!nvme_path(bdf, "reset_controller", path, sizeof(path)))
		return -ENOENT;
	return file_write(path, "1");
}

int unvme_host_wait(const char *bdf)
{
	char path[PATH_SIZE], state[32] = "";
	int i;

	for (i = 0; i < NVME_TRIES; i++) {
		if (strcmp(function_driver(bdf), "nvme"))
			return -ENXIO;
		if (nvme_path(bdf, "state", path, sizeof(path)))
			file_read(path, state, sizeof(state));
		if (!strcmp(state, "live"))
			return 0;
		if (!strcmp(state, "dead") || !strncmp(state, "deleting", 8))
			return -ENXIO;
		poll(NULL, 0, NVME_TRY_MS);
	}
	return -ETIMEDOUT;
}
