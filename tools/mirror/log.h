/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log of a controller, from the driver.
 */

#ifndef MIRROR_LOG_H
#define MIRROR_LOG_H

#include <sys/types.h>

#include <linux/kernel.h>

#include "../../nvme_lm_log.h"

/**
 * log_open() - start a log
 * @pf: PCI address of the physical function
 * @cntlid: controller whose changes are logged
 * @queue: entries of its queue, or 0 for as many as the driver finds right
 *
 * Return: a file descriptor for poll(), or a negative errno.
 */
int log_open(const char *pf, u16 cntlid, u32 queue);

/**
 * log_read() - read entries, without waiting
 * @fd: from log_open()
 * @entries: filled in
 * @n: how many there is room for
 *
 * Return: how many there are, 0 after the last one of the log, -EAGAIN if there is none yet, or
 * another negative errno if the log is lost.
 */
int log_read(int fd, struct nvme_lm_log_entry *entries, size_t n);

/* End it. */
void log_close(int fd);

#endif /* MIRROR_LOG_H */
