// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of the kernel: bindings of functions, the module, the trace, debugfs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver.h"

bool trace_switch(const char *events, bool on)
{
	char path[128];

	/* only that empties it */
	if (on)
		close(open(TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
	snprintf(path, sizeof(path), TRACING "/events/%s/enable", events);
	return EXPECT_EQ(file_write(path, on ? "1" : "0"), 0, "%s", path);
}

static const char *pci_path(const char *bdf, const char *file)
{
	static char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, file);
	return path;
}

const char *bound_to(const char *bdf)
{
	static char target[256];
	char *name;
	ssize_t n;

	n = readlink(pci_path(bdf, "driver"), target, sizeof(target) - 1);
	if (n < 0)
		return "";
	target[n] = 0;
	name = strrchr(target, '/');
	return name ? name + 1 : "";
}

int bind_to(const char *bdf, const char *driver)
{
	int err = 0;

	if (*bound_to(bdf))
		err = file_write(pci_path(bdf, "driver/unbind"), bdf);
	if (!err)
		err = file_write(pci_path(bdf, "driver_override"), driver ? driver : "\n");
	if (err || !driver)
		return err;
	err = file_write("/sys/bus/pci/drivers_probe", bdf);
	if (err)
		return err;
	return strcmp(bound_to(bdf), driver) ? -ENODEV : 0;
}

bool set_param(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/" MODULE "/parameters/%s", name);
	return EXPECT_EQ(file_write(path, value), 0, "parameter %s", name);
}

bool load_module(void)
{
	if (!access("/sys/module/" MODULE, F_OK))
		return true;
	return EXPECT_EQ(system("lm-driver"), 0, "load the driver");
}

int remove_module(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ? -errno : 0;
}

bool reload_module(void)
{
	return load_module() && EXPECT_EQ(remove_module(), 0, "unload") && load_module();
}

static void debugfs_path(const char *bdf, char *path, size_t size)
{
	snprintf(path, size, DEBUGFS "/vfio/%s/nvme", bdf);
	if (access(path, R_OK))
		snprintf(path, size, DEBUGFS "/nvme-vfio-pci/%s/nvme", bdf);
}

const char *debugfs_value(const char *bdf, const char *key)
{
	static char value[512];
	char path[128], line[1024], want[64];
	size_t len;
	FILE *f;

	debugfs_path(bdf, path, sizeof(path));
	len = snprintf(want, sizeof(want), "%s: ", key);
	*value = '\0';
	f = fopen(path, "r");
	if (!EXPECT(f, "%s: %s", path, strerror(errno)))
		return value;
	while (!*value && fgets(line, sizeof(line), f))
		if (!strncmp(line, want, len))
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + len, "\n"),
				 line + len);
	fclose(f);
	EXPECT(*value, "no '%s' in %s", key, path);
	return value;
}

long long debugfs_number(const char *bdf, const char *key)
{
	return strtoll(debugfs_value(bdf, key), NULL, 10);
}

void expect_debugfs(const char *bdf, const char *key, const char *want)
{
	const char *value = debugfs_value(bdf, key);

	EXPECT(!strcmp(value, want), "%s: '%s', not '%s'", key, value, want);
}

void expect_debugfs_begin(const char *bdf, const char *key, const char *want)
{
	const char *value = debugfs_value(bdf, key);

	EXPECT(!strncmp(value, want, strlen(want)), "%s: '%s', not '%s...'", key, value, want);
}
