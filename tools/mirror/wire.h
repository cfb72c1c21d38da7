/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two sides send to each other, version 1
 *
 * A message is a head and @len bytes. All numbers are little endian, offsets and lengths are bytes.
 *
 *	sender				receiver
 *	HELLO namespaces, session	WELCOME, or REFUSE
 *	WRITE, ZERO, ... SYNC		SYNCED, when all before it is on the disks
 *	SYNC with WIRE_FINAL		SYNCED; it has closed the disks
 *	DONE				ends
 *
 * Either side may send REFUSE at any time, and nothing after it.
 */

#ifndef MIRROR_WIRE_H
#define MIRROR_WIRE_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/sizes.h>

#define WIRE_MAGIC	0x4d4d4c4e	/* "NLMM" */
#define WIRE_VERSION	1

/* Bytes of a message behind its head, namespaces of a HELLO, extents between two SYNCs */
#define WIRE_DATA_MAX		SZ_1M
#define WIRE_TEXT_MAX		511
#define WIRE_NAMESPACES_MAX	1024
#define WIRE_EXTENTS_MAX	16384

enum wire_type {
	WIRE_HELLO	= 1,
	WIRE_WELCOME	= 2,
	WIRE_WRITE	= 3,
	WIRE_ZERO	= 4,
	WIRE_SYNC	= 5,
	WIRE_SYNCED	= 6,
	WIRE_REFUSE	= 7,
	WIRE_DONE	= 8,
	WIRE_PROBE	= 9,
};

/* Flags of HELLO, WELCOME and SYNC */
enum wire_flags {
	WIRE_DRY	= BIT(0),	/* HELLO: nothing is written, PROBEs follow */
	WIRE_RESUMED	= BIT(1),	/* WELCOME: the session goes on */
	WIRE_VERIFY	= BIT(2),	/* SYNC: compare what is on the disks */
	WIRE_FINAL	= BIT(3),	/* SYNC: the last one */
};

/**
 * struct wire_head - begins each message
 * @magic: WIRE_MAGIC
 * @type: enum wire_type
 * @flags: enum wire_flags
 * @nsid: WRITE, ZERO: the namespace
 * @len: bytes that follow
 * @offset: WRITE, ZERO: where
 * @count: ZERO: bytes that are zero; WRITE: as @len
 */
struct wire_head {
	__le32 magic;
	__le16 type;
	__le16 flags;
	__le32 nsid;
	__le32 len;
	__le64 offset;
	__le64 count;
} __packed;

/**
 * struct wire_hello - begins what follows the head of HELLO
 * @version: WIRE_VERSION
 * @rsvd: 0
 * @session: random, the same when the sender connects again
 */
struct wire_hello {
	__le32 version;
	__le32 rsvd;
	u8 session[16];
} __packed;

/**
 * struct wire_namespace - one of those that follow it
 * @nsid: the namespace
 * @lba_size: bytes of a logical block
 * @size: bytes of the namespace
 */
struct wire_namespace {
	__le32 nsid;
	__le32 lba_size;
	__le64 size;
} __packed;

/**
 * struct wire_synced - follows the head of SYNCED
 * @checksum: with WIRE_VERIFY: of what is on the disks, see struct checksum
 */
struct wire_synced {
	u8 checksum[16];
} __packed;

#endif /* MIRROR_WIRE_H */
