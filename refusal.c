// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reason why a stream is refused: its records, a VF that it does not match, the
 * controller state in it, or the device.
 */

#include <kunit/visibility.h>
#include <linux/export.h>
#include <linux/kernel.h>

#include "refusal.h"

/**
 * nvmevf_refuse - record why a stream is refused
 * @refusal: where to record it
 * @err: its errno
 * @fmt: the reason, one line for the log
 *
 * Return: @err.
 */
int nvmevf_refuse(struct nvmevf_refusal *refusal, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vscnprintf(refusal->why, sizeof(refusal->why), fmt, args);
	va_end(args);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_refuse);
