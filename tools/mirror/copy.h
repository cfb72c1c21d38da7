/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading what is dirty, and sending it.
 */

#ifndef MIRROR_COPY_H
#define MIRROR_COPY_H

#include "changes.h"
#include "peer.h"

/**
 * struct copy - the copy of all namespaces
 * @o: options of the sender
 * @changes: what is dirty
 * @peer: where it goes
 * @attend: called between messages; what it returns, if not 0, ends a pass
 * @arg: of @attend
 * @buf: WIRE_DATA_MAX bytes, aligned
 * @full: this pass is the first one since everything became dirty
 * @again: everything became dirty, the next pass is a full one
 * @urgent: there is no limit to the rate
 * @allocated: bytes of data of full passes
 * @unconfirmed: those of them that are not confirmed
 * @zeros: bytes that were sent as zeros
 * @left: bytes of the range that was taken last, to be sent
 * @paced_at: when the rate was looked at, ms
 * @paced: bytes that had been sent then
 */
struct copy {
	const struct send_options *o;
	struct changes *changes;
	struct peer *peer;
	int (*attend)(void *arg);
	void *arg;
	u8 *buf;
	bool full;
	bool again;
	bool urgent;
	u64 allocated;
	u64 unconfirmed;
	u64 zeros;
	u64 left;
	u64 paced_at;
	u64 paced;
};

/**
 * copy_pass() - send what is dirty, once, and have it confirmed
 * @c: the copy
 * @flags: of the SYNC at its end
 *
 * Return: 0; -ENOTCONN; or the result of fail(). Unless it is 0, copy_return() has to be called
 * before the next pass.
 */
int copy_pass(struct copy *c, u16 flags);

/**
 * copy_sync() - have everything confirmed that was sent
 * @c: the copy
 * @flags: of the SYNC
 *
 * Return: 0; -ENOTCONN; or the result of fail().
 */
int copy_sync(struct copy *c, u16 flags);

/* What was not confirmed is dirty again. */
void copy_return(struct copy *c);

/* Everything is dirty. */
void copy_all(struct copy *c);

#endif /* MIRROR_COPY_H */
