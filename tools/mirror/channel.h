/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A connection, with TLS or without, and the messages on it.
 */

#ifndef MIRROR_CHANNEL_H
#define MIRROR_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "tls.h"
#include "wire.h"

/**
 * struct channel - a connection
 * @fd: socket, or -1
 * @tls: session, or NULL
 * @sent: bytes of messages that were sent
 * @why: why it failed, "" if it did not
 *
 * A function that fails with -ENOTCONN leaves a channel of no use, which can only be closed.
 */
struct channel {
	int fd;
	gnutls_session_t tls;
	u64 sent;
	char why[160];
};

/**
 * channel_connect() - connect to the other side
 * @c: filled in
 * @address: HOST:PORT
 * @tls: credentials, or NULL
 * @name: what the certificate of the other side has to be for; NULL for HOST
 *
 * Return: 0; -ENOTCONN, and c->why, if it may work later; or the result of fail().
 */
int channel_connect(struct channel *c, const char *address, const struct tls *tls,
		    const char *name);

/* Listen at HOST:PORT or :PORT. Returns a socket, and its @port, or the result of fail(). */
int channel_listen(const char *address, u16 *port);

/**
 * channel_accept() - wait for the other side
 * @c: filled in
 * @listener: from channel_listen()
 * @tls: credentials, or NULL
 * @ms: how long to wait, -1 for ever
 *
 * Return: 0; -ETIMEDOUT; -EINTR; or -ENOTCONN, and c->why, if a connection came and failed.
 */
int channel_accept(struct channel *c, int listener, const struct tls *tls, int ms);

void channel_close(struct channel *c);

/* Let a send or receive of this channel fail if nothing moves for @ms milliseconds; 0: never. */
void channel_limit(struct channel *c, u32 ms);

/* Send a message: 0; -ENOTCONN; -EPROTO, and c->why, for a fatal alert; -EINTR after a signal. */
int channel_send(struct channel *c, const struct wire_head *head, const void *data);

/**
 * channel_receive() - receive a message
 * @c: channel
 * @head: filled in; its magic and its length were checked
 * @data: room for what follows it
 * @max: bytes of @data
 *
 * Return: as channel_send(); -EPROTO also for what is no message.
 */
int channel_receive(struct channel *c, struct wire_head *head, void *data, u32 max);

/* Whether there is something to receive, or will be within @ms milliseconds */
bool channel_readable(struct channel *c, int ms);

/* Send REFUSE with a text, let it arrive, and close. */
void channel_refuse(struct channel *c, const char *text);

#endif /* MIRROR_CHANNEL_H */
