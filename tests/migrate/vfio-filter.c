// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program's view of a VFIO device, cut down: preloaded into QEMU, to measure against what
 * it does without a feature, and to show that a test notices if a feature fails.
 *
 * VFIO_FILTER is a list of:
 *   no-precopy   the device does not offer PRE_COPY
 *   no-logging   the device does not offer DMA logging
 *   lossy        reports of DMA logging say that nothing was written
 *   late         PRECOPY_INFO tells nothing to those who have just asked for the size of the state,
 *                so that QEMU learns what is new when the guest is stopped already
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Whether the last feature asked for was the size, and nothing since about PRE_COPY */
static bool size_asked;

static bool filtered(const char *what)
{
	const char *list = getenv("VFIO_FILTER");

	return list && strstr(list, what);
}

static bool is_logging(unsigned int feature)
{
	return feature == VFIO_DEVICE_FEATURE_DMA_LOGGING_START ||
	       feature == VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP ||
	       feature == VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
}

/* Whether the device need not be asked at all; *@ret is the answer then. */
static bool before(struct vfio_device_feature *f, int *ret)
{
	unsigned int feature = f->flags & VFIO_DEVICE_FEATURE_MASK;

	if (is_logging(feature) && filtered("no-logging")) {
		errno = ENOTTY;
		*ret = -1;
		return true;
	}
	if (feature == VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT && filtered("lossy") &&
	    !(f->flags & VFIO_DEVICE_FEATURE_PROBE)) {
		*ret = 0;
		return true;
	}
	return false;
}

static void after(struct vfio_device_feature *f)
{
	struct vfio_device_feature_migration *mig = (void *)f->data;

	size_asked = (f->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_MIG_DATA_SIZE;
	if ((f->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_MIGRATION &&
	    f->flags & VFIO_DEVICE_FEATURE_GET && filtered("no-precopy"))
		mig->flags &= ~VFIO_MIGRATION_PRE_COPY;
}

static bool is_late(unsigned long request)
{
	if (request != VFIO_MIG_GET_PRECOPY_INFO || !size_asked)
		return false;
	size_asked = false;
	return filtered("late");
}

static int nothing_new(struct vfio_precopy_info *info)
{
	info->flags = 0;
	info->initial_bytes = 0;
	info->dirty_bytes = 0;
	return 0;
}

/* glibc declares the last argument as "..."; all callers pass one word */
int ioctl(int fd, unsigned long request, ...)
{
	static int (*next)(int fd, unsigned long request, void *arg);
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!next)
		next = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
	if (is_late(request))
		return nothing_new(arg);
	if (request != VFIO_DEVICE_FEATURE)
		return next(fd, request, arg);
	if (before(arg, &ret))
		return ret;
	ret = next(fd, request, arg);
	if (!ret)
		after(arg);
	return ret;
}
