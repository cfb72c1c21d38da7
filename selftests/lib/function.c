// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI functions in sysfs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/io.h>

#include <libvfio.h>

#include "function.h"

#define PATH_SIZE	256

int file_write(const char *path, const char *text)
{
	ssize_t n, len = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n != len)
		err = n < 0 ? -errno : -EIO;
	close(fd);
	return err;
}

int file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int err;

	text[0] = 0;
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	err = n < 0 ? -errno : 0;
	close(fd);
	text[n < 0 ? 0 : n] = 0;
	text[strcspn(text, "\n")] = 0;
	return err;
}

char thread_state(pid_t pid, pid_t tid)
{
	char path[64], stat[256];
	const char *p;

	snprintf_assert(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	if (file_read(path, stat, sizeof(stat)))
		return 0;
	p = strrchr(stat, ')');
	return p ? p[2] : 0;
}

static const char *function_path(const char *bdf, const char *file)
{
	static __thread char path[PATH_SIZE];

	snprintf_assert(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, file);
	return path;
}

int function_write(const char *bdf, const char *file, const char *text)
{
	return file_write(function_path(bdf, file), text);
}

int function_read(const char *bdf, const char *file, char *text, size_t size)
{
	return file_read(function_path(bdf, file), text, size);
}

bool function_exists(const char *bdf)
{
	return !access(function_path(bdf, ""), F_OK);
}

/* The last part of what a link of the function points to */
static int link_name(const char *bdf, const char *file, char *name, size_t size)
{
	char target[PATH_SIZE];
	const char *last;
	ssize_t n;

	n = readlink(function_path(bdf, file), target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	last = strrchr(target, '/');
	snprintf_assert(name, size, "%s", last ? last + 1 : target);
	return 0;
}

const char *function_driver(const char *bdf)
{
	static __thread char name[64];

	return link_name(bdf, "driver", name, sizeof(name)) ? "" : name;
}

int function_unbind(const char *bdf)
{
	return function_write(bdf, "driver/unbind", bdf);
}

int function_bind(const char *bdf, const char *driver)
{
	int err = 0;

	if (*function_driver(bdf))
		err = function_unbind(bdf);
	if (!err)
		err = function_write(bdf, "driver_override", driver ? driver : "\n");
	if (err || !driver)
		return err;
	err = file_write("/sys/bus/pci/drivers_probe", bdf);
	if (err)
		return err;
	return strcmp(function_driver(bdf), driver) ? -ENODEV : 0;
}

int function_pf(const char *bdf, char pf[BDF_SIZE])
{
	return link_name(bdf, "physfn", pf, BDF_SIZE);
}

int function_bridge(const char *bdf, char bridge[BDF_SIZE])
{
	char path[PATH_MAX], *last;

	if (!realpath(function_path(bdf, ".."), path))
		return -errno;
	last = strrchr(path, '/') + 1;
	if (!strncmp(last, "pci", 3))
		return -ENOENT;
	snprintf_assert(bridge, BDF_SIZE, "%s", last);
	return 0;
}

int module_refs(const char *module)
{
	char path[PATH_SIZE], text[16];
	int err;

	snprintf_assert(path, sizeof(path), "/sys/module/%s/refcnt", module);
	err = file_read(path, text, sizeof(text));
	return err ? err : atoi(text);
}

int function_module(const char *bdf, char *name, size_t size)
{
	return link_name(bdf, "driver/module", name, size);
}

int function_module_refs(const char *bdf)
{
	char name[64];
	int err = function_module(bdf, name, sizeof(name));

	return err ? err : module_refs(name);
}

int function_read32(const char *bdf, size_t off, __u32 *val)
{
	void *bar;
	int fd, err;

	err = function_write(bdf, "enable", "1");
	if (err)
		return err;
	fd = open(function_path(bdf, "resource0"), O_RDWR | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	if (!err) {
		bar = mmap(NULL, getpagesize(), PROT_READ, MAP_SHARED, fd, 0);
		err = bar == MAP_FAILED ? -errno : 0;
		close(fd);
	}
	if (!err) {
		*val = readl(bar + off);
		munmap(bar, getpagesize());
	}
	function_write(bdf, "enable", "0");
	return err;
}
