/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nvme-lm-mirror send: the side that reads, and has the log.
 */

#ifndef MIRROR_SEND_H
#define MIRROR_SEND_H

#include "disk.h"
#include "report.h"
#include "tls.h"

/**
 * struct send_options - what is asked for
 * @address: HOST:PORT of the receiver
 * @tls: credentials, or NULL
 * @tls_name: what the receiver's certificate has to be for, or NULL for HOST
 * @pf: PCI address of the physical function
 * @cntlid: controller of the guest
 * @all: the disks are all namespaces of the controller
 * @qmp: socket of QEMU, or NULL
 * @migrate: where to migrate to when ready, or NULL
 * @ready: bytes that may be left to copy when the guest is stopped
 * @max_rounds: after so many rounds it gives up
 * @rate: bytes a second, or 0
 * @queue: entries of the log's queue, or 0 for as many as the driver finds right
 * @reconnect: seconds to try to connect again
 * @last_phase: seconds that the guest may be stopped for
 * @verify: compare everything, not only the last blocks
 */
struct send_options {
	const char *address;
	const struct tls *tls;
	const char *tls_name;
	const char *pf;
	u16 cntlid;
	bool all;
	const char *qmp;
	const char *migrate;
	u64 ready;
	u32 max_rounds;
	u64 rate;
	u32 queue;
	u32 reconnect;
	u32 last_phase;
	bool verify;
};

/**
 * mirror_send() - copy until the guest is at the destination, or stopped
 * @disks: open disks
 * @nr: how many
 * @o: options
 *
 * If it fails, the migration is cancelled.
 *
 * Return: 0, or the result of fail().
 */
int mirror_send(const struct disk *disks, u32 nr, const struct send_options *o);

/**
 * mirror_dry_run() - measure how long it would take, and write nothing
 * @disks: open disks
 * @nr: how many
 * @o: options; only the address and TLS matter
 *
 * Return: 0, or the result of fail().
 */
int mirror_dry_run(const struct disk *disks, u32 nr, const struct send_options *o);

#endif /* MIRROR_SEND_H */
