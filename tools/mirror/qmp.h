/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The migration, by the QMP socket of the source's QEMU.
 */

#ifndef MIRROR_QMP_H
#define MIRROR_QMP_H

#include <stdbool.h>

#include <linux/kernel.h>

struct json_tokener;

/**
 * struct qmp - a connection to QEMU
 * @path: socket
 * @fd: connected, or -1
 * @tokener: of the library
 * @status: of the migration, as the last event or reply has it; "" before there was one
 * @events: how many of them there were
 * @reply: to the last command, as long as it is not taken
 */
struct qmp {
	const char *path;
	int fd;
	struct json_tokener *tokener;
	char status[32];
	unsigned int events;
	struct json_object *reply;
};

/**
 * qmp_open() - connect, and turn on pause-before-switchover and events
 * @q: filled in
 * @path: socket
 *
 * Return: 0, or the result of fail().
 */
int qmp_open(struct qmp *q, const char *path);
void qmp_close(struct qmp *q);

/**
 * qmp_poll() - look for events
 * @q: open
 * @ms: how long to wait for one, 0 not at all
 *
 * Return: 0 and q->status, or the result of fail() if the connection is lost.
 */
int qmp_poll(struct qmp *q, int ms);

/* Ask for the status of the migration: as qmp_poll(). */
int qmp_query(struct qmp *q);

/* Start the migration to @uri. 0, or the result of fail(). */
int qmp_migrate(struct qmp *q, const char *uri);

/* Let the migration, which is in pre-switchover, go on. 0, or the result of fail(). */
int qmp_continue(struct qmp *q);

/* Wait for a status that is an end; whether it is "completed". */
bool qmp_completed(struct qmp *q);

/**
 * qmp_cancel() - cancel the migration if there is one, so that the guest goes on
 * @q: open, or with a lost connection: it is made again
 *
 * Return: whether no migration is active then.
 */
bool qmp_cancel(struct qmp *q);

bool qmp_is(const struct qmp *q, const char *status);

/* Whether the status is an end: completed, failed, cancelled. */
bool qmp_ended(const struct qmp *q);

#endif /* MIRROR_QMP_H */
