// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why a stream is refused: by its records, by the VF that it does not match, by the
 * controller state in it, or by the device.
 */

#include <kunit/visibility.h>
#include <linux/kernel.h>

#include "refusal.h"

/**
 * nvmevf_refuse - note why a stream is refused
 * @refusal: the note
 * @err: the errno of it
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
