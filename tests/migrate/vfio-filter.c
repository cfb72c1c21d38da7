// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program's view of a VFIO device, cut down: preloaded into QEMU, to measure against what
 * it does without a feature, and to show that a test notices if a feature fails.
 *
 * VFIO_FILTER is a list of:
 *   no-precopy   the device does not offer PRE_COPY
 *   no-logging   the device does not offer DMA logging
 *   lossy        reports of DMA logging say that nothing was written
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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

	if ((f->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_MIGRATION &&
	    f->flags & VFIO_DEVICE_FEATURE_GET && filtered("no-precopy"))
		mig->flags &= ~VFIO_MIGRATION_PRE_COPY;
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
	if (request != VFIO_DEVICE_FEATURE)
		return next(fd, request, arg);
	if (before(arg, &ret))
		return ret;
	ret = next(fd, request, arg);
	if (!ret)
		after(arg);
	return ret;
}
