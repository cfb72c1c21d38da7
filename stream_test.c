// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of stream.c: the records of a stream. Streams are built here byte by
 * byte, and their checksum is computed bit by bit, without any code of the driver.
 */

#include <linux/unaligned.h>

#include "kunit.h"
#include "match.h"
#include "stream.h"

#define TRANSFER	64	/* bytes that the device takes at a time */
#define STATE_MAX	256
#define STREAM_MAX	4096

/* The stream of most tests: a state of 104 bytes in records of 64 and of 40 */
#define TOTAL		104
#define STREAM_LEN	592
#define STREAM_CRC	0xb83518d6

/**
 * struct rig - a load without file and device
 * @st: the stream
 * @lm: the VF
 * @state: the controller state that streams are made from
 * @sink: data sent to the device
 * @sent: bytes in @sink
 * @transfers: number of transfers to the device
 * @committed: the last transfer was a commit
 * @bytes: the stream being built
 * @len: bytes in @bytes
 * @hello: offset of the last HELLO in @bytes
 */
struct rig {
	struct nvmevf_stream st;
	struct nvmevf_lm *lm;
	u8 state[2 * STATE_MAX];
	u8 sink[STATE_MAX];
	size_t sent;
	unsigned int transfers;
	bool committed;
	u8 bytes[STREAM_MAX];
	size_t len;
	size_t hello;
};

static int rig_init(struct kunit *test)
{
	struct rig *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, r);
	r->lm = nvmevf_test_lm(test);
	r->st.stage = NVMEVF_STAGE_RECORD;
	r->st.size = TRANSFER;
	r->st.data = kunit_kzalloc(test, TRANSFER, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r->st.data);
	for (i = 0; i < STATE_MAX; i++)
		r->state[i] = i * 7 + 1;
	test->priv = r;
	return 0;
}

/* Ready for another stream */
static void rig_rewind(struct rig *r)
{
	void *data = r->st.data;

	memset(&r->st, 0, sizeof(r->st));
	r->st.stage = NVMEVF_STAGE_RECORD;
	r->st.size = TRANSFER;
	r->st.data = data;
	r->sent = 0;
	r->transfers = 0;
	r->committed = false;
}

static u32 crc32c_of(const u8 *bytes, size_t len)
{
	u32 crc = 0xffffffff;
	unsigned int bit;

	while (len--) {
		crc ^= *bytes++;
		for (bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}

	return ~crc;
}

static void put(struct rig *r, const void *bytes, size_t len)
{
	memcpy(r->bytes + r->len, bytes, len);
	r->len += len;
}

static void put_le32(struct rig *r, u32 value)
{
	put_unaligned_le32(value, r->bytes + r->len);
	r->len += 4;
}

static void put_le64(struct rig *r, u64 value)
{
	put_unaligned_le64(value, r->bytes + r->len);
	r->len += 8;
}

/**
 * struct record - one record
 * @tag: its tag; NULL ends a list
 * @len: length of its payload according to its head
 * @flags: its flags
 * @bytes: real length of its payload if it differs, or 0
 * @value: HELLO: bytes of state; STATE: offset; END: total
 */
struct record {
	const char *tag;
	u64 len;
	u32 flags;
	unsigned int bytes;
	u64 value;
};

#define HELLO(total)		{ "HELO", 392, 1, 0, total }
#define STATE(offset, n)	{ "STAT", 8 + (n), 1, 0, offset }
#define END(total)		{ "END ", 16, 1, 0, total }
/* records with a wrong head */
#define BAD_HELLO(len)		{ "HELO", len, 1, 392, TOTAL }
#define BAD_STATE(len, n)	{ "STAT", len, 1, 8 + (n), 0 }
#define BAD_END(len)		{ "END ", len, 1, 16, TOTAL }
/* records of a later version */
#define OPTIONAL(n)		{ "XTRA", n, 0 }
#define MANDATORY(n)		{ "XTRA", n, 1 }

static void put_payload(struct rig *r, const struct record *rec)
{
	size_t bytes = rec->bytes ?: rec->len;

	switch (rec->tag[0]) {
	case 'H':
		nvmevf_test_put_hello(r->bytes + r->len, rec->value);
		r->len += 392;
		break;
	case 'S':
		put_le64(r, rec->value);
		put(r, r->state + rec->value % STATE_MAX, bytes - 8);
		break;
	case 'E':
		put_le64(r, rec->value);
		put_le32(r, crc32c_of(r->bytes + r->hello, r->len - r->hello));
		put_le32(r, 0);
		break;
	default:
		memset(r->bytes + r->len, 0, bytes);
		r->len += bytes;
	}
}

static void put_record(struct rig *r, const struct record *rec)
{
	if (rec->tag[0] == 'H')
		r->hello = r->len;

	put(r, rec->tag, 4);
	put_le32(r, rec->flags);
	put_le64(r, rec->len);
	put_payload(r, rec);
}

#define PUT(r, ...)	put_record(r, &(const struct record)__VA_ARGS__)

static void put_stream(struct rig *r, size_t total)
{
	size_t offset;

	r->len = 0;
	PUT(r, HELLO(total));
	for (offset = 0; offset < total; offset += TRANSFER)
		PUT(r, STATE(offset, min_t(size_t, total - offset, TRANSFER)));
	PUT(r, END(total));
}

/* Make the checksum right again */
static void seal(struct rig *r)
{
	put_unaligned_le32(crc32c_of(r->bytes, r->len - 8), r->bytes + r->len - 8);
}

static void give_device(struct rig *r, bool last)
{
	size_t len = r->st.offset - r->st.sent;

	memcpy(r->sink + r->sent, r->st.data, len);
	r->sent += len;
	r->st.sent += len;
	r->transfers++;
	r->committed = last;
}

static int act(struct rig *r)
{
	int ret;

	switch (r->st.stage) {
	case NVMEVF_STAGE_CHECK:
		ret = nvmevf_hello_check(&r->st.refusal, (const void *)r->st.head, r->st.size,
					 r->lm);
		if (!ret)
			nvmevf_stream_accept_hello(&r->st);
		return ret;
	case NVMEVF_STAGE_COMMIT:
		give_device(r, true);
		r->st.stage = NVMEVF_STAGE_DONE;
		return 0;
	default:
		return 0;
	}
}

/* Do the same as one write() of @len bytes */
static int feed(struct kunit *test, struct rig *r, const u8 *bytes, size_t len)
{
	size_t room;
	void *to;
	int ret;

	while (len) {
		if (nvmevf_stream_full(&r->st))
			give_device(r, false);

		room = len;
		to = nvmevf_stream_room(&r->st, &room);
		if (IS_ERR(to))
			return PTR_ERR(to);
		KUNIT_ASSERT_GT(test, room, 0);
		KUNIT_ASSERT_LE(test, room, len);

		memcpy(to, bytes, room);
		ret = nvmevf_stream_take(&r->st, room);
		if (!ret)
			ret = act(r);
		if (ret)
			return ret;
		bytes += room;
		len -= room;
	}

	return 0;
}

static void expect_loaded(struct kunit *test, struct rig *r, size_t total)
{
	KUNIT_EXPECT_EQ(test, r->st.stage, NVMEVF_STAGE_DONE);
	KUNIT_EXPECT_TRUE(test, r->committed);
	KUNIT_EXPECT_EQ(test, r->sent, total);
	KUNIT_EXPECT_MEMEQ(test, r->sink, r->state, total);
	KUNIT_EXPECT_STREQ(test, r->st.refusal.why, "");
}

/* Test the helpers of this file */
static void test_tools(struct kunit *test)
{
	struct rig *r = test->priv;

	KUNIT_EXPECT_EQ(test, crc32c_of("123456789", 9), 0xe3069283);
	put_stream(r, TOTAL);
	KUNIT_EXPECT_EQ(test, r->len, STREAM_LEN);
	KUNIT_EXPECT_EQ(test, get_unaligned_le32(r->bytes + STREAM_LEN - 8), STREAM_CRC);
}

struct size_case {
	const char *name;
	u64 state_len;
	size_t piece;
	u64 want;
};

static const struct size_case size_cases[] = {
	{ "no state", 0, 4096, 440 },
	{ "one byte", 1, 4096, 465 },
	{ "one piece", 4096, 4096, 4560 },
	{ "one byte more", 4097, 4096, 4585 },
	{ "the stream of these tests", TOTAL, TRANSFER, STREAM_LEN },
	{ "4 GiB", 0x100000000, 0x100000, 4295066040 },
};

KUNIT_ARRAY_PARAM_DESC(size, size_cases, name);

static void test_size(struct kunit *test)
{
	const struct size_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, nvmevf_stream_size(c->state_len, c->piece), c->want);
}

/* Append the record that a save just made to @out */
static size_t take_made(struct nvmevf_stream *st, u8 *out)
{
	memcpy(out, st->head, st->head_len);
	memcpy(out + st->head_len, st->data, st->data_len);
	return st->head_len + st->data_len;
}

static size_t make_stream(struct kunit *test, struct rig *r, size_t total, u8 *out)
{
	struct nvmevf_stream *st = &r->st;
	size_t piece, len;

	st->total = total;
	st->stage = NVMEVF_STAGE_HELLO;
	nvmevf_stream_make_hello(st, &r->lm->hello);
	len = take_made(st, out);

	while (st->stage == NVMEVF_STAGE_DATA) {
		piece = nvmevf_stream_piece_len(st);
		KUNIT_ASSERT_GT(test, piece, 0);
		KUNIT_ASSERT_LE(test, piece, TRANSFER);
		memcpy(st->data, r->state + st->offset, piece);
		nvmevf_stream_make_piece(st);
		len += take_made(st, out + len);
	}

	KUNIT_EXPECT_EQ(test, st->stage, NVMEVF_STAGE_END);
	nvmevf_stream_make_end(st);
	KUNIT_EXPECT_EQ(test, st->stage, NVMEVF_STAGE_DONE);
	return len + take_made(st, out + len);
}

static const struct {
	const char *name;
	size_t total;
	unsigned int transfers;
} totals[] = {
	{ "the head of a state", 48, 1 },
	{ "less than one transfer", 60, 1 },
	{ "one transfer", 64, 1 },
	{ "one dword more", 68, 2 },
	{ "the stream of these tests", TOTAL, 2 },
	{ "two transfers", 128, 2 },
	{ "four transfers", 256, 4 },
};

KUNIT_ARRAY_PARAM_DESC(total, totals, name);

/* A save makes the same stream as this file */
static void test_make(struct kunit *test)
{
	const typeof(totals[0]) *c = test->param_value;
	u8 *made = kunit_kzalloc(test, STREAM_MAX, GFP_KERNEL);
	struct rig *r = test->priv;

	KUNIT_ASSERT_NOT_NULL(test, made);
	put_stream(r, c->total);
	KUNIT_ASSERT_EQ(test, make_stream(test, r, c->total, made), r->len);
	KUNIT_EXPECT_MEMEQ(test, made, r->bytes, r->len);
	KUNIT_EXPECT_EQ(test, r->len, nvmevf_stream_size(c->total, TRANSFER));
}

/* A record head as it is in the stream */
static void test_make_bytes(struct kunit *test)
{
	static const u8 hello[] = { 'H', 'E', 'L', 'O', 1, 0, 0, 0, 0x88, 0x01, 0, 0, 0, 0, 0, 0,
				    0x89, 'N', 'V', 'M', 'V', 'F', 'L', 'M', 1, 0, 1, 0 };
	static const u8 state[] = { 'S', 'T', 'A', 'T', 1, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 0, 0,
				    0x40, 0, 0, 0, 0, 0, 0, 0, 0xc1, 0xc8, 0xcf };
	static const u8 end[] = { 'E', 'N', 'D', ' ', 1, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0,
				  0x68, 0, 0, 0, 0, 0, 0, 0, 0xd6, 0x18, 0x35, 0xb8, 0, 0, 0, 0 };
	u8 *made = kunit_kzalloc(test, STREAM_MAX, GFP_KERNEL);
	struct rig *r = test->priv;

	KUNIT_ASSERT_NOT_NULL(test, made);
	KUNIT_ASSERT_EQ(test, make_stream(test, r, TOTAL, made), STREAM_LEN);
	KUNIT_EXPECT_MEMEQ(test, made, hello, sizeof(hello));
	KUNIT_EXPECT_MEMEQ(test, made + 496, state, sizeof(state));
	KUNIT_EXPECT_MEMEQ(test, made + 560, end, sizeof(end));
}

/* The last transfer is the commit, so a full one is held back until more arrives */
static void test_load(struct kunit *test)
{
	const typeof(totals[0]) *c = test->param_value;
	struct rig *r = test->priv;

	put_stream(r, c->total);
	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes, r->len - 1), 0);
	KUNIT_EXPECT_EQ(test, r->transfers, c->transfers - 1);
	KUNIT_EXPECT_FALSE(test, r->committed);
	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes + r->len - 1, 1), 0);
	KUNIT_EXPECT_EQ(test, r->transfers, c->transfers);
	expect_loaded(test, r, c->total);
}

/* However write() splits the stream */
static void test_chunks(struct kunit *test)
{
	struct rig *r = test->priv;
	size_t chunk, at;

	put_stream(r, TOTAL);
	for (chunk = 1; chunk <= STREAM_LEN; chunk++) {
		rig_rewind(r);
		for (at = 0; at < r->len; at += chunk)
			KUNIT_ASSERT_EQ_MSG(test, feed(test, r, r->bytes + at,
						       min(chunk, r->len - at)), 0,
					    "byte %zu in chunks of %zu", at, chunk);
		expect_loaded(test, r, TOTAL);
	}
}

/* However records split the state: those of another host may have another size */
static void test_pieces(struct kunit *test)
{
	struct rig *r = test->priv;
	size_t piece, at;

	for (piece = 1; piece <= TOTAL; piece++) {
		rig_rewind(r);
		r->len = 0;
		PUT(r, HELLO(TOTAL));
		for (at = 0; at < TOTAL; at += piece)
			PUT(r, STATE(at, min_t(size_t, piece, TOTAL - at)));
		PUT(r, END(TOTAL));
		KUNIT_ASSERT_LE(test, r->len, STREAM_MAX);
		KUNIT_EXPECT_EQ_MSG(test, feed(test, r, r->bytes, r->len), 0, "pieces of %zu",
				    piece);
		expect_loaded(test, r, TOTAL);
	}
}

static void test_truncated(struct kunit *test)
{
	struct rig *r = test->priv;
	size_t len;

	put_stream(r, TOTAL);
	for (len = 0; len < r->len; len++) {
		rig_rewind(r);
		KUNIT_EXPECT_EQ_MSG(test, feed(test, r, r->bytes, len), 0, "%zu bytes", len);
		KUNIT_EXPECT_NE_MSG(test, r->st.stage, NVMEVF_STAGE_DONE, "%zu bytes", len);
		KUNIT_EXPECT_FALSE_MSG(test, r->committed, "%zu bytes", len);
		KUNIT_EXPECT_LE_MSG(test, r->sent, TRANSFER, "%zu bytes", len);
	}
}

#define ANY	1	/* some error, or a stream without end */

/* Error for one wrong bit in a record other than HELLO; 0: only the checksum shows it */
static int flipped_record(size_t at, bool is_end)
{
	if (at < 4)
		return -EPROTONOSUPPORT;	/* tag */
	if (at < 8)
		return 0;			/* flags */
	if (at < 16)
		return is_end ? -EPROTO : ANY;	/* len */
	if (at < 24)
		return -EPROTO;			/* offset; total */
	if (!is_end)
		return 0;			/* state */
	return at < 28 ? -EBADMSG : -EPROTO;	/* crc; reserved */
}

static int flipped(size_t byte, unsigned int bit, bool set)
{
	if (byte < 4)
		return -EINVAL;
	if (byte < 8)
		return 0;
	if (byte < 16)
		return -EPROTO;
	if (byte < 408)
		return nvmevf_test_hello_flip((byte - 16) * 8 + bit, set);
	if (byte < 496)
		return flipped_record(byte - 408, false);
	if (byte < 560)
		return flipped_record(byte - 496, false);
	return flipped_record(byte - 560, true);
}

static void expect_refused(struct kunit *test, struct rig *r, int want, size_t byte,
			   unsigned int bit)
{
	int ret = feed(test, r, r->bytes, r->len);

	if (want == ANY)
		KUNIT_EXPECT_LE_MSG(test, ret, 0, "byte %zu bit %u", byte, bit);
	else
		KUNIT_EXPECT_EQ_MSG(test, ret, want, "byte %zu bit %u", byte, bit);
	KUNIT_EXPECT_EQ_MSG(test, !!r->st.refusal.why[0], !!ret, "byte %zu bit %u", byte, bit);
	KUNIT_EXPECT_NE_MSG(test, r->st.stage, NVMEVF_STAGE_DONE, "byte %zu bit %u", byte, bit);
	KUNIT_EXPECT_FALSE_MSG(test, r->committed, "byte %zu bit %u", byte, bit);
}

/* Damage: each single bit of a whole stream */
static void test_bits(struct kunit *test)
{
	struct rig *r = test->priv;
	unsigned int bit;
	size_t byte;
	int want;

	put_stream(r, TOTAL);
	for (byte = 0; byte < r->len; byte++) {
		for (bit = 0; bit < 8; bit++) {
			rig_rewind(r);
			r->bytes[byte] ^= 1 << bit;
			want = flipped(byte, bit, r->bytes[byte] & 1 << bit);
			expect_refused(test, r, want ?: -EBADMSG, byte, bit);
			r->bytes[byte] ^= 1 << bit;
		}
	}
}

/* The same bits with a correct checksum, so only the fields decide */
static void test_bits_meant(struct kunit *test)
{
	struct rig *r = test->priv;
	unsigned int bit;
	size_t byte;
	int want;

	put_stream(r, TOTAL);
	for (byte = 0; byte < r->len; byte++) {
		if (byte >= STREAM_LEN - 8 && byte < STREAM_LEN - 4)
			continue;
		for (bit = 0; bit < 8; bit++) {
			rig_rewind(r);
			r->bytes[byte] ^= 1 << bit;
			seal(r);
			want = flipped(byte, bit, r->bytes[byte] & 1 << bit);
			if (want) {
				expect_refused(test, r, want, byte, bit);
			} else {
				KUNIT_EXPECT_EQ_MSG(test, feed(test, r, r->bytes, r->len), 0,
						    "byte %zu bit %u", byte, bit);
				KUNIT_EXPECT_TRUE_MSG(test, r->committed, "byte %zu bit %u",
						      byte, bit);
			}
			r->bytes[byte] ^= 1 << bit;
		}
	}
}

struct record_case {
	const char *name;
	struct record records[6];
	int err;
	const char *why;
	bool loaded;
};

#define OK	.loaded = true
#define BESIDES	"1048576 bytes or more in HELLO and unknown records"

static const struct record_case record_cases[] = {
	{ "whole", { HELLO(TOTAL), STATE(0, 104), END(TOTAL) }, OK },
	{ "flags clear", { { "HELO", 392, 0, 0, TOTAL }, { "STAT", 112, 0, 0, 0 },
			   { "END ", 16, 0, 0, TOTAL } }, OK },
	{ "all other flags", { { "HELO", 392, ~1, 0, TOTAL }, { "STAT", 112, ~1, 0, 0 },
			       { "END ", 16, ~1, 0, TOTAL } }, OK },

	{ "nothing but END", { END(0) }, -EINVAL, "not a stream of this driver" },
	{ "STATE first", { STATE(0, 104) }, -EINVAL, "not a stream of this driver" },
	{ "optional record first", { OPTIONAL(0), HELLO(TOTAL) }, -EINVAL,
	  "not a stream of this driver" },
	{ "zeros", { { "\0\0\0", 0, 0, 64 } }, -EINVAL, "not a stream of this driver" },

	{ "HELLO of nothing", { BAD_HELLO(0) }, -EPROTO, "invalid length of HELLO: 0 bytes" },
	{ "HELLO too short", { BAD_HELLO(391) }, -EPROTO, "invalid length of HELLO: 391 bytes" },
	{ "HELLO too long", { BAD_HELLO(393) }, -EPROTO, "invalid length of HELLO: 393 bytes" },
	{ "HELLO of 4 GiB more", { BAD_HELLO(0x100000188) }, -EPROTO,
	  "invalid length of HELLO: 4294967688 bytes" },
	{ "HELLO of all", { BAD_HELLO(U64_MAX) }, -EPROTO,
	  "invalid length of HELLO: 18446744073709551615 bytes" },

	{ "HELLO twice", { HELLO(48), HELLO(TOTAL), STATE(0, 104), END(TOTAL) }, OK },
	{ "smaller HELLO later", { HELLO(200), HELLO(TOTAL), STATE(0, 104), END(TOTAL) }, OK },
	{ "first HELLO not valid any more", { HELLO(TOTAL), HELLO(48), STATE(0, 104) }, -EPROTO,
	  "invalid length of STATE: 112 bytes, 48 bytes of state are left" },
	{ "second HELLO refused", { HELLO(TOTAL), HELLO(47) }, -EPROTO,
	  "invalid length of the state: 47 bytes" },
	{ "HELLO after STATE", { HELLO(TOTAL), STATE(0, 1), HELLO(TOTAL) }, -EPROTO,
	  "HELLO after STATE" },
	{ "HELLO after all STATE", { HELLO(TOTAL), STATE(0, 104), HELLO(TOTAL) }, -EPROTO,
	  "HELLO after STATE" },

	{ "no state", { HELLO(0) }, -EPROTO, "invalid length of the state: 0 bytes" },
	{ "STATE of nothing", { HELLO(TOTAL), BAD_STATE(0, 0) }, -EPROTO,
	  "invalid length of STATE: 0 bytes, 104 bytes of state are left" },
	{ "STATE without its offset", { HELLO(TOTAL), BAD_STATE(7, 0) }, -EPROTO,
	  "invalid length of STATE: 7 bytes, 104 bytes of state are left" },
	{ "STATE with nothing but offset", { HELLO(TOTAL), STATE(0, 0) }, -EPROTO,
	  "invalid length of STATE: 8 bytes, 104 bytes of state are left" },
	{ "STATE of one byte", { HELLO(TOTAL), STATE(0, 1), STATE(1, 103), END(TOTAL) }, OK },
	{ "STATE one byte too long", { HELLO(TOTAL), BAD_STATE(113, 104) }, -EPROTO,
	  "invalid length of STATE: 113 bytes, 104 bytes of state are left" },
	{ "second STATE one byte too long", { HELLO(TOTAL), STATE(0, 64),
					      { "STAT", 49, 1, 8, 64 } }, -EPROTO,
	  "invalid length of STATE: 49 bytes, 40 bytes of state are left" },
	{ "STATE of all", { HELLO(TOTAL), BAD_STATE(U64_MAX, 104) }, -EPROTO,
	  "invalid length of STATE: 18446744073709551615 bytes, 104 bytes of state are left" },
	{ "STATE that wraps", { HELLO(TOTAL), BAD_STATE(0x8000000000000070, 104) }, -EPROTO,
	  "invalid length of STATE: 9223372036854775920 bytes, 104 bytes of state are left" },
	{ "STATE of 4 GiB more", { HELLO(TOTAL), BAD_STATE(0x100000070, 104) }, -EPROTO,
	  "invalid length of STATE: 4294967408 bytes, 104 bytes of state are left" },
	{ "STATE behind the whole state", { HELLO(TOTAL), STATE(0, 104), STATE(104, 1) }, -EPROTO,
	  "invalid length of STATE: 9 bytes, 0 bytes of state are left" },

	{ "first STATE with a gap", { HELLO(TOTAL), STATE(4, 64) }, -EPROTO,
	  "state at offset 4, expected 0" },
	{ "second STATE with a gap", { HELLO(TOTAL), STATE(0, 64), STATE(65, 39) }, -EPROTO,
	  "state at offset 65, expected 64" },
	{ "STATE again", { HELLO(TOTAL), STATE(0, 32), STATE(0, 32) }, -EPROTO,
	  "state at offset 0, expected 32" },
	{ "STATE that overlaps", { HELLO(TOTAL), STATE(0, 64), STATE(63, 41) }, -EPROTO,
	  "invalid length of STATE: 49 bytes, 40 bytes of state are left" },
	{ "STATE that overlaps and fits", { HELLO(TOTAL), STATE(0, 64), STATE(63, 40) }, -EPROTO,
	  "state at offset 63, expected 64" },
	{ "STATE 4 GiB on", { HELLO(TOTAL), STATE(0x100000000, 104) }, -EPROTO,
	  "state at offset 4294967296, expected 0" },
	{ "STATE at the very end", { HELLO(TOTAL), STATE(U64_MAX, 104) }, -EPROTO,
	  "state at offset 18446744073709551615, expected 0" },

	{ "END of nothing", { HELLO(TOTAL), STATE(0, 104), BAD_END(0) }, -EPROTO,
	  "invalid length of END: 0 bytes" },
	{ "END too short", { HELLO(TOTAL), STATE(0, 104), BAD_END(15) }, -EPROTO,
	  "invalid length of END: 15 bytes" },
	{ "END too long", { HELLO(TOTAL), STATE(0, 104), BAD_END(17) }, -EPROTO,
	  "invalid length of END: 17 bytes" },
	{ "END of all", { HELLO(TOTAL), STATE(0, 104), BAD_END(U64_MAX) }, -EPROTO,
	  "invalid length of END: 18446744073709551615 bytes" },
	{ "END without STATE", { HELLO(TOTAL), END(TOTAL) }, -EPROTO,
	  "0 of 104 bytes of state, but END says 104" },
	{ "END without STATE, and says so", { HELLO(TOTAL), END(0) }, -EPROTO,
	  "0 of 104 bytes of state, but END says 0" },
	{ "END too early", { HELLO(TOTAL), STATE(0, 103), END(TOTAL) }, -EPROTO,
	  "103 of 104 bytes of state, but END says 104" },
	{ "END too early, and says so", { HELLO(TOTAL), STATE(0, 103), END(103) }, -EPROTO,
	  "103 of 104 bytes of state, but END says 103" },
	{ "END of a shorter state", { HELLO(TOTAL), STATE(0, 104), END(103) }, -EPROTO,
	  "104 of 104 bytes of state, but END says 103" },
	{ "END of a longer state", { HELLO(TOTAL), STATE(0, 104), END(0x100000068) }, -EPROTO,
	  "104 of 104 bytes of state, but END says 4294967400" },

	{ "bytes after END", { HELLO(TOTAL), STATE(0, 104), END(TOTAL), { "\0\0\0", 0, 0, 1 } },
	  -EFBIG, "17 bytes after END", OK },
	{ "HELLO after END", { HELLO(TOTAL), STATE(0, 104), END(TOTAL), HELLO(TOTAL) },
	  -EFBIG, "408 bytes after END", OK },
	{ "optional record after END", { HELLO(TOTAL), STATE(0, 104), END(TOTAL), OPTIONAL(0) },
	  -EFBIG, "16 bytes after END", OK },

	{ "optional records of nothing", { HELLO(TOTAL), OPTIONAL(0), STATE(0, 104), OPTIONAL(0),
					   END(TOTAL) }, OK },
	{ "optional records", { HELLO(TOTAL), OPTIONAL(1), STATE(0, 104), OPTIONAL(63),
				END(TOTAL) }, OK },
	{ "optional record between STATE", { HELLO(TOTAL), STATE(0, 64), OPTIONAL(64),
					     STATE(64, 40), END(TOTAL) }, OK },
	{ "long optional record", { HELLO(TOTAL), OPTIONAL(1000), STATE(0, 104), OPTIONAL(65),
				    END(TOTAL) }, OK },
	{ "optional record between HELLO", { HELLO(48), OPTIONAL(5), HELLO(TOTAL), STATE(0, 104),
					     END(TOTAL) }, OK },
	{ "as much besides the state as can be", { HELLO(TOTAL), { "XTRA", 1048151, 0, 512 } } },
	{ "one byte more besides the state", { HELLO(TOTAL), { "XTRA", 1048152, 0, 512 } },
	  -EFBIG, BESIDES },
	{ "1 MiB besides the state", { HELLO(TOTAL), { "XTRA", 0x100000, 0, 512 } },
	  -EFBIG, BESIDES },
	{ "more and more besides the state", { HELLO(TOTAL), OPTIONAL(1), STATE(0, 104),
					       { "XTRA", 1048135, 0, 512 } }, -EFBIG, BESIDES },
	{ "a HELLO more besides the state", { HELLO(48), HELLO(TOTAL),
					      { "XTRA", 1047744, 0, 512 } }, -EFBIG, BESIDES },
	{ "optional record that wraps", { HELLO(TOTAL), { "XTRA", 0xfffffffffffffff0, 0, 512 } },
	  -EFBIG, BESIDES },
	{ "optional record without end", { HELLO(TOTAL), { "XTRA", U64_MAX, 0, 512 } },
	  -EFBIG, BESIDES },
	{ "optional record, all other flags", { HELLO(TOTAL), { "XTRA", 8, ~1 },
						STATE(0, 104), END(TOTAL) }, OK },
	{ "mandatory record of nothing", { HELLO(TOTAL), MANDATORY(0) }, -EPROTONOSUPPORT,
	  "unknown record 0x41525458" },
	{ "mandatory record", { HELLO(TOTAL), STATE(0, 64), MANDATORY(8) }, -EPROTONOSUPPORT,
	  "unknown record 0x41525458" },
	{ "mandatory record, all flags", { HELLO(TOTAL), { "XTRA", 8, ~0 } }, -EPROTONOSUPPORT,
	  "unknown record 0x41525458" },
	{ "tag in lower case", { HELLO(TOTAL), { "stat", 112, 1 } }, -EPROTONOSUPPORT,
	  "unknown record 0x74617473" },
};

KUNIT_ARRAY_PARAM_DESC(record, record_cases, name);

/* Check the result of a stream, both in one piece and byte by byte */
static void test_record(struct kunit *test)
{
	const struct record_case *c = test->param_value;
	const struct record *rec;
	struct rig *r = test->priv;
	int ret = 0;
	size_t i;

	for (rec = c->records; rec->tag; rec++)
		put_record(r, rec);

	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes, r->len), c->err);
	KUNIT_EXPECT_STREQ(test, r->st.refusal.why, c->why ?: "");
	KUNIT_EXPECT_EQ(test, r->committed, c->loaded);
	KUNIT_EXPECT_EQ(test, r->st.stage == NVMEVF_STAGE_DONE, c->loaded);
	if (c->loaded)
		KUNIT_EXPECT_MEMEQ(test, r->sink, r->state, TOTAL);

	rig_rewind(r);
	for (i = 0; i < r->len && !ret; i++)
		ret = feed(test, r, r->bytes + i, 1);
	KUNIT_EXPECT_EQ(test, ret, c->err);
	KUNIT_EXPECT_EQ(test, r->committed, c->loaded);
}

/* A stream of a later version, whose HELLO may have a completely different meaning */
static void test_version(struct kunit *test)
{
	struct rig *r = test->priv;

	put_stream(r, TOTAL);
	put_unaligned_le16(0x0102, r->bytes + 16 + 8);
	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes, r->len), -EPROTONOSUPPORT);
	KUNIT_EXPECT_STREQ(test, r->st.refusal.why, "version 258, here 1");
}

/* Independent of the number of records: 408 bytes a HELLO, 1016 bytes each of these */
static void test_besides(struct kunit *test)
{
	struct rig *r = test->priv;
	unsigned int i;

	PUT(r, HELLO(TOTAL));
	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes, r->len), 0);
	r->len = 0;
	PUT(r, OPTIONAL(1000));
	for (i = 0; i < 1031; i++)
		KUNIT_ASSERT_EQ_MSG(test, feed(test, r, r->bytes, r->len), 0, "record %u", i);
	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes, r->len), -EFBIG);
	KUNIT_EXPECT_STREQ(test, r->st.refusal.why, BESIDES);

	rig_rewind(r);
	r->len = 0;
	PUT(r, HELLO(TOTAL));
	for (i = 0; i < 2570; i++)
		KUNIT_ASSERT_EQ_MSG(test, feed(test, r, r->bytes, r->len), 0, "HELLO %u", i);
	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes, r->len), -EFBIG);
	KUNIT_EXPECT_STREQ(test, r->st.refusal.why, BESIDES);
}

/* A committed load stays committed */
static void test_behind_end(struct kunit *test)
{
	struct rig *r = test->priv;

	put_stream(r, TOTAL);
	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes, r->len), 0);
	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes, 0), 0);
	expect_loaded(test, r, TOTAL);
	KUNIT_EXPECT_EQ(test, feed(test, r, r->bytes, 1), -EFBIG);
	KUNIT_EXPECT_STREQ(test, r->st.refusal.why, "1 bytes after END");
	KUNIT_EXPECT_TRUE(test, r->committed);
	KUNIT_EXPECT_EQ(test, r->sent, TOTAL);
}

/* A stream of the vendor set, whose state need not consist of dwords */
static void test_vendor(struct kunit *test)
{
	struct rig *r = test->priv;
	size_t total;

	((u8 *)&r->lm->hello)[10] = 2;
	for (total = 1; total <= TRANSFER; total++) {
		rig_rewind(r);
		put_stream(r, total);
		r->bytes[16 + 10] = 2;
		seal(r);
		KUNIT_EXPECT_EQ_MSG(test, feed(test, r, r->bytes, r->len), 0, "%zu bytes", total);
		KUNIT_EXPECT_EQ(test, r->transfers, 1);
		expect_loaded(test, r, total);
	}
}

/* A reason that is too long is truncated, not written beyond its buffer */
static void test_refuse(struct kunit *test)
{
	struct nvmevf_refusal *refusal = &((struct rig *)test->priv)->st.refusal;
	char *longest = kunit_kzalloc(test, 2048, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, longest);
	memset(longest, 'x', 2047);
	KUNIT_EXPECT_EQ(test, nvmevf_refuse(refusal, -EXDEV, "%s %d", longest, 1), -EXDEV);
	KUNIT_EXPECT_EQ(test, strnlen(refusal->why, sizeof(refusal->why)),
			sizeof(refusal->why) - 1);
	KUNIT_EXPECT_EQ(test, nvmevf_refuse(refusal, -EPROTO, "%u of %u", 1, 2), -EPROTO);
	KUNIT_EXPECT_STREQ(test, refusal->why, "1 of 2");
}

static struct kunit_case stream_cases[] = {
	KUNIT_CASE(test_tools),
	KUNIT_CASE_PARAM(test_size, size_gen_params),
	KUNIT_CASE_PARAM(test_make, total_gen_params),
	KUNIT_CASE(test_make_bytes),
	KUNIT_CASE_PARAM(test_load, total_gen_params),
	KUNIT_CASE(test_chunks),
	KUNIT_CASE(test_pieces),
	KUNIT_CASE(test_truncated),
	KUNIT_CASE(test_bits),
	KUNIT_CASE(test_bits_meant),
	KUNIT_CASE_PARAM(test_record, record_gen_params),
	KUNIT_CASE(test_version),
	KUNIT_CASE(test_besides),
	KUNIT_CASE(test_behind_end),
	KUNIT_CASE(test_vendor),
	KUNIT_CASE(test_refuse),
	{}
};

static struct kunit_suite stream_suite = {
	.name = "nvme-vfio-pci-stream",
	.init = rig_init,
	.test_cases = stream_cases,
};

kunit_test_suite(stream_suite);
