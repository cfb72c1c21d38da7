/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device stream of nvme-vfio-pci, read and changed by its description in
 * Documentation/stream.rst: an own reading, which shares no definition with the driver on purpose,
 * as in lm.h.
 */
#ifndef TESTS_STREAM_H
#define TESTS_STREAM_H

#include "migration.h"

#define REC_HELLO	0x4f4c4548	/* "HELO" */
#define REC_STATE	0x54415453	/* "STAT" */
#define REC_END		0x20444e45	/* "END " */
#define REC_MANDATORY	0x1

#define REC_HEAD	16	/* bytes of a record's head */
#define REC_HELLO_LEN	392
#define REC_PIECE	8	/* bytes of a STATE payload before the state */
#define REC_END_LEN	16
#define REC_SECOND	(REC_HEAD + REC_HELLO_LEN)	/* where the second record begins */

/* Where a field of HELLO is in a stream that begins with it. */
#define HELLO_AT(f)	(REC_HEAD + offsetof(struct st_hello, f))

struct st_head {
	u32 tag;
	u32 flags;
	u64 len;
} __packed;

struct st_hello {
	u64 magic;
	u16 version;
	u8 cmdset;
	u8 ident;
	u16 state_ver;
	u16 msix;
	u64 state_len;
	u8 uuid[16];
	u64 cap;
	u32 vs;
	u16 nvq;
	u16 nvi;
	u16 vid;
	u16 ssvid;
	u16 oncs;
	u8 mdts;
	u8 aerl;
	u32 sgls;
	u8 rsvd68[4];
	char sn[20];
	char mn[40];
	char subnqn[256];
	u8 rsvd388[4];
} __packed;

struct st_end {
	u64 total;
	u32 crc;
	u8 rsvd12[4];
} __packed;

/* The contents of one; pointers go into it, but @state is a copy. */
struct st_view {
	const struct st_hello *hello;
	const struct st_end *end;
	unsigned int pieces;
	unsigned int records;
	size_t record_at[64];
	u8 *state;
	size_t state_len;
};

/* CRC-32C of some bytes that follow others with the CRC @crc; 0 to begin. */
u32 crc32c(u32 crc, const void *p, size_t len);

/**
 * st_parse - read and validate a stream
 * @s: the stream
 * @v: filled in; st_view_free() it
 *
 * Return: NULL, or what is wrong with it.
 */
const char *st_parse(const struct stream *s, struct st_view *v);
void st_view_free(struct st_view *v);

/* A copy of the first @size bytes, with room for @room more behind them. */
struct stream stream_copy(const struct stream *s, size_t size, size_t room);

/* Put bytes in at an offset; the stream must have room for them. */
void st_insert(struct stream *s, size_t at, const void *p, size_t len);

/* Append or insert a record whose payload is @len bytes of @fill. */
void st_insert_record(struct stream *s, size_t at, u32 tag, u32 flags, u8 fill, size_t len);

/* Make the checksum right again after a change: from the last HELLO to END. */
void st_fix_crc(struct stream *s);

/*
 * Where in the stream a byte of the controller state is, for streams whose first piece holds it.
 */
static inline size_t st_state_at(size_t offset)
{
	return REC_SECOND + REC_HEAD + REC_PIECE + offset;
}

/* Two streams that should be the same: NULL, or what differs first. */
const char *st_differ(const struct stream *a, const struct stream *b);

#endif /* TESTS_STREAM_H */
