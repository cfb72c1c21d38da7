/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nvme-lm-mirror receive: the side that writes.
 */

#ifndef MIRROR_RECEIVE_H
#define MIRROR_RECEIVE_H

#include "disk.h"
#include "report.h"
#include "tls.h"

/**
 * struct receive_options - what is asked for
 * @listen: HOST:PORT or :PORT
 * @tls: credentials, or NULL
 * @reconnect: seconds to wait for a sender whose connection failed
 */
struct receive_options {
	const char *listen;
	const struct tls *tls;
	u32 reconnect;
};

/**
 * receive() - write what a sender sends, until it is complete
 * @disks: open disks; they are closed
 * @nr: how many
 * @o: options
 *
 * Return: 0, or the result of fail().
 */
int receive(struct disk *disks, u32 nr, const struct receive_options *o);

#endif /* MIRROR_RECEIVE_H */
