/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of nvme-lm-dump share. Whatever is read, they need less than
 * 8 MiB: records and findings are listed up to a number only.
 */

#ifndef TOOLS_DUMP_H
#define TOOLS_DUMP_H

#include <stdbool.h>
#include <stdio.h>

#include <linux/compiler.h>
#include <linux/kernel.h>

#include "../nvme_lm.h"
#include "../nvme_lm_stream.h"
#include "input.h"
#include "print.h"

#define DUMP_RECORDS_MAX	65536
#define DUMP_FINDINGS_MAX	100

/* Bytes of what is not known that are shown, and that may be asked for */
#define DUMP_EXCERPT		64
#define DUMP_EXCERPT_MAX	SZ_64K

enum dump_format {
	DUMP_DETECT,
	DUMP_STREAM,
	DUMP_STATE,
};

/* What a dump ends with, and the program */
enum dump_result {
	DUMP_FINE	= 0,
	DUMP_DAMAGED	= 1,
	DUMP_ERROR	= 2,
};

/**
 * struct dump_options - what is asked for
 * @format: what it is taken for
 * @json: print for programs
 * @excerpt: bytes to show of what is not known
 */
struct dump_options {
	enum dump_format format;
	bool json;
	size_t excerpt;
};

/**
 * struct record - a record of the stream
 * @offset: where its head is
 * @tag: as it is there
 * @flags: as they are there
 * @len: bytes of payload
 * @said: STATE: where in the controller state it says that it belongs, or NOWHERE
 * @state_offset: STATE: where it belongs, without a gap
 */
struct record {
	u64 offset;
	u32 tag;
	u32 flags;
	u64 len;
	u64 said;
	u64 state_offset;
};

/**
 * struct finding - what is wrong with it, or worth a note
 * @damage: it is wrong
 * @offset: where in the input, or -1
 * @state_offset: where in the controller state, or -1
 * @record: number of the record, or -1
 * @message: what
 */
struct finding {
	bool damage;
	u64 offset;
	u64 state_offset;
	u64 record;
	char message[192];
};

#define NOWHERE		((u64)-1)

/**
 * struct stream - how far a device stream was read
 * @hello_seen: there was a HELLO
 * @hello: the last one
 * @crc: running checksum
 * @extra: bytes of HELLOs and of records that are skipped
 * @left: bytes of controller state that are left in the record
 * @ended: END was read
 * @found: the checksum in END
 * @computed: what it should be
 * @broken: what follows makes no sense
 */
struct stream {
	bool hello_seen;
	struct nvme_lm_hello hello;
	u32 crc;
	u64 extra;
	u64 left;
	bool ended;
	u32 found;
	u32 computed;
	bool broken;
};

/**
 * struct dump - one run of the program
 * @in: what is read
 * @print: what is printed
 * @options: what is asked for
 * @is_stream: the input is a device stream, not a controller state
 * @stream: how far it was read
 * @state_offset: bytes of controller state that were read
 * @state_len: bytes that it has by its header, 0 as long as that is not known
 * @cut_short: a controller state on its own ends too early
 * @records: the records, the first DUMP_RECORDS_MAX of them
 * @nr_records: how many there are
 * @findings: the first DUMP_FINDINGS_MAX
 * @nr_findings: how many there are
 * @damaged: one of them is damage
 * @no_memory: something could not be kept
 */
struct dump {
	struct input in;
	struct print print;
	const struct dump_options *options;
	bool is_stream;
	struct stream stream;
	u64 state_offset;
	u64 state_len;
	bool cut_short;
	struct record *records;
	u64 nr_records;
	struct finding findings[DUMP_FINDINGS_MAX];
	u64 nr_findings;
	bool damaged;
	bool no_memory;
};

/* Read @in and print to @out what it is. DUMP_ERROR: @error is why. */
enum dump_result dump(FILE *in, FILE *out, const struct dump_options *options, int *error);

/* Something is wrong at an offset of the input, or of the controller state. */
__printf(3, 4) void damage_at(struct dump *d, u64 offset, const char *fmt, ...);
__printf(3, 4) void damage_in_state(struct dump *d, u64 state_offset, const char *fmt, ...);
/* It is not wrong, but may surprise. */
__printf(3, 4) void note_in_state(struct dump *d, u64 state_offset, const char *fmt, ...);

/* The @len bytes of @p, which are at an offset of the controller state, have to be zero. */
void check_reserved(struct dump *d, u64 state_offset, const void *p, size_t len, const char *what);

bool is_zero(const void *p, size_t len);

void stream_dump(struct dump *d);

/* Controller state out of the stream; less than @len where it does not go on. */
size_t stream_read_state(struct dump *d, void *buf, size_t len);

void state_dump(struct dump *d);

/* Read @len bytes of controller state; what it is that may be cut short here. */
bool state_read(struct dump *d, void *buf, size_t len, const char *what);

/* Read over @len bytes of it. */
bool state_skip(struct dump *d, u64 len, const char *what);

/**
 * struct queues - what the vendor specific part refers to
 * @sqs: a bit for each I/O Submission Queue that there is
 * @nr: I/O queues of both kinds
 * @unknown: it could not be read which there are
 * @suspended: the header says that the controller was
 */
struct queues {
	u8 sqs[8192];
	u32 nr;
	bool unknown;
	bool suspended;
};

/* Bit n % 8 of byte n / 8 */
static inline bool has_bit(const u8 *map, u16 n)
{
	return map[n / 8] >> (n % 8) & 1;
}

static inline void set_bit(u8 *map, u16 n)
{
	map[n / 8] |= 1 << (n % 8);
}

/* The vendor specific part of the emulated device */
bool emulated_is_uuid(const u8 *uuid);
bool emulated_is_magic(const void *p, size_t len);
/* The @len bytes of it begin with the magic, which was read. */
void emulated_dump(struct dump *d, const void *magic, u64 len, const struct queues *queues);

#endif /* TOOLS_DUMP_H */
