/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The receiver, as the sender sees it.
 */

#ifndef MIRROR_PEER_H
#define MIRROR_PEER_H

#include "channel.h"
#include "checksum.h"
#include "disk.h"
#include "send.h"

/**
 * struct peer - the receiver
 * @o: options of the sender
 * @disks: what is copied
 * @nr: how many
 * @channel: connection to it
 * @session: random, ours
 * @checksum: of what was sent since the last peer_sync()
 * @waiting: for the answer to peer_sync()
 * @extents: messages since then
 * @bytes: bytes of them
 * @copied: bytes of all extents that were sent
 * @sent_before: bytes that were sent on connections that failed
 * @buf: of messages that it sends
 */
struct peer {
	const struct send_options *o;
	const struct disk *disks;
	u32 nr;
	struct channel channel;
	u8 session[16];
	struct checksum checksum;
	bool waiting;
	u32 extents;
	u64 bytes;
	u64 copied;
	u64 sent_before;
	u8 buf[4096];
};

/* Prepare; 0 or the result of fail(). */
int peer_init(struct peer *p, const struct disk *disks, u32 nr, const struct send_options *o);
void peer_free(struct peer *p);

/**
 * peer_connect() - connect, and have the namespaces compared
 * @p: not connected
 * @flags: WIRE_DRY or 0
 *
 * Return: 1 if it knows the session and nothing that it confirmed is lost, 0 if it is a new one;
 * -ENOTCONN if it may work later, or the result of fail().
 */
int peer_connect(struct peer *p, u16 flags);

/* Send an extent, of zeros if @data is NULL. 0, -ENOTCONN, or the result of fail(). */
int peer_extent(struct peer *p, u32 nsid, u64 offset, u64 len, const void *data);

/* Send bytes that mean nothing. 0, -ENOTCONN, or the result of fail(). */
int peer_probe(struct peer *p, const void *data, u32 len);

/**
 * peer_sync() - ask for everything that was sent to be put on the disks
 * @p: connected
 * @flags: WIRE_VERIFY: compare checksums, WIRE_FINAL
 *
 * Return: 0, and peer_synced() has to be called; -ENOTCONN, or the result of fail().
 */
int peer_sync(struct peer *p, u16 flags);

/* Wait for the answer to peer_sync(), @ms milliseconds at most; whether it is there. */
bool peer_answers(struct peer *p, int ms);

/* Take the answer to peer_sync() with these @flags. 0, -ENOTCONN, or the result of fail(). */
int peer_synced(struct peer *p, u16 flags);

/* Look whether it gave up; 0, -ENOTCONN, or the result of fail(). */
int peer_check(struct peer *p);

/* Say that all is done. */
void peer_done(struct peer *p);

/* Bytes that were sent, on all connections */
u64 peer_sent(const struct peer *p);

void peer_disconnect(struct peer *p);

#endif /* MIRROR_PEER_H */
