// SPDX-License-Identifier: GPL-2.0-only
/*
 * stream.c: what a save makes, a load takes, however it is cut into writes; what a load takes is a
 * correct stream, by a parser that needs all of it at once. A stream that was changed is refused,
 * or has the same state.
 */

#include <linux/crc32.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "fuzz.h"
#include "stream.h"

#define REC_LEN		16
#define HELLO_LEN	392
#define STATE_MAX	128
#define STREAM_MAX	8192
#define EXTRA_MAX	SZ_1M
#define MAGIC		0x4d4c46564d564e89ULL

struct bytes {
	u8 p[STREAM_MAX];
	size_t len;
};

/**
 * struct loaded - what has become of a stream
 * @done: a correct END has arrived
 * @err: why no more was taken, or 0
 * @why: the same in words
 * @hello: payload of the last HELLO that was accepted
 * @state: the state
 */
struct loaded {
	bool done;
	int err;
	struct nvmevf_refusal why;
	u8 hello[HELLO_LEN];
	struct bytes state;
};

static u64 get(const u8 *p, unsigned int bytes)
{
	u64 n = 0;

	memcpy(&n, p, bytes);
	return n;
}

static void append(struct bytes *b, const void *p, size_t len)
{
	require(b->len + len <= sizeof(b->p));
	memcpy(b->p + b->len, p, len);
	b->len += len;
}

/* ---- load ---- */

/* As for a device that takes everything */
static void send(struct nvmevf_stream *st, struct loaded *to)
{
	require(st->offset - st->sent <= st->size);
	append(&to->state, st->data, st->offset - st->sent);
	memset(st->data, 0xee, st->size);
	st->sent = st->offset;
}

static int act(struct nvmevf_stream *st, struct loaded *to)
{
	switch (st->stage) {
	case NVMEVF_STAGE_CHECK:
		if (!get(st->head + 16, 8))
			return nvmevf_refuse(&st->refusal, -EPROTO, "no state");
		memcpy(to->hello, st->head, HELLO_LEN);
		nvmevf_stream_accept_hello(st);
		return 0;
	case NVMEVF_STAGE_COMMIT:
		send(st, to);
		to->done = true;
		st->stage = NVMEVF_STAGE_DONE;
		return 0;
	default:
		return 0;
	}
}

static int step(struct nvmevf_stream *st, struct loaded *to, const u8 *p, size_t *len)
{
	size_t room = *len;
	void *at;
	int ret;

	if (nvmevf_stream_full(st))
		send(st, to);
	at = nvmevf_stream_room(st, &room);
	if (IS_ERR(at))
		return PTR_ERR(at);

	require(room && room <= *len);
	memcpy(at, p, room);
	*len = room;
	ret = nvmevf_stream_take(st, room);
	require(st->offset <= st->total && st->sent <= st->offset);
	require(ret == -EFBIG || st->extra < EXTRA_MAX);
	return ret ?: act(st, to);
}

/* One write of @p */
static int load_write(struct nvmevf_stream *st, struct loaded *to, const u8 *p, size_t len)
{
	size_t n;
	int ret;

	for (; len; p += n, len -= n) {
		n = len;
		ret = step(st, to, p, &n);
		if (ret)
			return ret;
	}

	return 0;
}

/* In writes as @in has it, or of @write bytes each */
static void load(struct loaded *to, const struct bytes *from, size_t size, struct input in,
		 size_t write)
{
	struct nvmevf_stream *st = calloc(1, sizeof(*st));
	size_t at, n;

	require(st);
	memset(to, 0, sizeof(*to));
	st->stage = NVMEVF_STAGE_RECORD;
	st->size = size;
	st->data = malloc(size);
	for (at = 0; at < from->len && !to->err; at += n) {
		n = min(write ?: 1 + take_below(&in, 256), from->len - at);
		to->err = load_write(st, to, from->p + at, n);
	}
	to->why = st->refusal;
	if (to->err)
		check_refusal(&to->why);
	free(st->data);
	free(st);
}

static void require_same(const struct loaded *a, const struct loaded *b)
{
	require(a->done == b->done && a->err == b->err);
	require(!memcmp(a->hello, b->hello, HELLO_LEN));
	if (a->done)
		require(a->state.len == b->state.len &&
			!memcmp(a->state.p, b->state.p, a->state.len));
	/* has the length of the write */
	if (a->err != -EFBIG)
		require(!strcmp(a->why.why, b->why.why));
}

static void load_in_all_ways(struct loaded *to, const struct bytes *from, size_t size,
			     struct input *in)
{
	static struct loaded other;

	load(to, from, size, *in, STREAM_MAX);
	load(&other, from, size, *in, 1);
	require_same(to, &other);
	load(&other, from, size, *in, 0);
	require_same(to, &other);
	load(&other, from, size + 1 + take_below(in, 64), *in, STREAM_MAX);
	require_same(to, &other);
}

/* ---- a parser that sees everything at once ---- */

struct parsed {
	u8 hello[HELLO_LEN];
	struct bytes state;
	u64 total;
	u32 crc;
	bool began;
	bool done;
};

/* False if it is not correct */
static bool parse_record(struct parsed *to, const u8 *p, u64 len)
{
	const u8 *data = p + REC_LEN;
	u32 tag = get(p, 4);

	if (tag == 0x4f4c4548) {
		if (len != HELLO_LEN || to->state.len || get(data, 8) != MAGIC ||
		    get(data + 8, 2) != 1)
			return false;
		memcpy(to->hello, data, HELLO_LEN);
		to->total = get(data + 16, 8);
		to->began = true;
		to->crc = crc32c(~0U, p, REC_LEN + len);
		return to->total;
	}
	if (!to->began)
		return false;
	if (tag == 0x20444e45) {
		to->crc = ~crc32c(to->crc, p, REC_LEN + 8);
		to->done = len == 16 && get(data, 8) == to->total && to->state.len == to->total &&
			   get(data + 8, 4) == to->crc && !get(data + 12, 4);
		return to->done;
	}

	to->crc = crc32c(to->crc, p, REC_LEN + len);
	if (tag != 0x54415453)
		return !(p[4] & 1);
	if (len <= 8 || len - 8 > to->total - to->state.len || get(data, 8) != to->state.len)
		return false;
	append(&to->state, data + 8, len - 8);
	return true;
}

/* Whether @b begins with a correct stream, which the limit of other records does not matter for */
static bool parse(struct parsed *to, const struct bytes *b)
{
	size_t at = 0;
	u64 len;

	memset(to, 0, sizeof(*to));
	while (!to->done) {
		if (b->len - at < REC_LEN)
			return false;
		len = get(b->p + at + 8, 8);
		if (len > b->len - at - REC_LEN || !parse_record(to, b->p + at, len))
			return false;
		at += REC_LEN + len;
	}

	return true;
}

static void check_against_parser(const struct loaded *l, const struct bytes *b)
{
	static struct parsed p;

	require(parse(&p, b) == l->done);
	if (l->done) {
		require(!memcmp(p.hello, l->hello, HELLO_LEN));
		require(p.state.len == l->state.len);
		require(!memcmp(p.state.p, l->state.p, p.state.len));
	}
}

/* ---- save ---- */

static void read_record(struct nvmevf_stream *st, struct bytes *to)
{
	append(to, st->head, st->head_len);
	append(to, st->data, st->data_len);
}

/* A record that a load skips */
static void put_unknown(struct nvmevf_stream *st, struct bytes *to, struct input *in)
{
	u32 rec[4] = { 0x31323334, take(in, 1) << 1, take_below(in, 128) };
	size_t at = to->len;
	u8 data[128];

	take_bytes(in, data, rec[2]);
	append(to, rec, sizeof(rec));
	append(to, data, rec[2]);
	st->crc = crc32c(st->crc, to->p + at, to->len - at);
}

static void save_hello(struct nvmevf_stream *st, u64 total, struct bytes *to, struct input *in)
{
	u8 hello[HELLO_LEN];
	u64 magic = MAGIC;

	take_bytes(in, hello, 64);
	memset(hello + 64, take(in, 1), HELLO_LEN - 64);
	memcpy(hello, &magic, 8);
	memcpy(hello + 8, (u8[]){ 1, 0 }, 2);
	st->total = total;
	nvmevf_stream_make_hello(st, (void *)hello);
	read_record(st, to);
}

/* Returns where the last HELLO begins */
static size_t save_hellos(struct nvmevf_stream *st, struct bytes *to, size_t total,
			  struct input *in)
{
	unsigned int n;

	for (n = take_below(in, 3); n; n--) {
		save_hello(st, 1 + take_below(in, STATE_MAX), to, in);
		if (!take_below(in, 4))
			put_unknown(st, to, in);
	}
	n = to->len;
	save_hello(st, total, to, in);
	return n;
}

/* Returns whether there is nothing else in it */
static bool save_state(struct nvmevf_stream *st, const struct bytes *state, struct bytes *to,
		       struct input *in)
{
	bool plain = true;

	while (st->stage == NVMEVF_STAGE_DATA) {
		memcpy(st->data, state->p + st->offset, nvmevf_stream_piece_len(st));
		nvmevf_stream_make_piece(st);
		read_record(st, to);
		if (to->len < STREAM_MAX / 2 && !take_below(in, 16)) {
			put_unknown(st, to, in);
			plain = false;
		}
	}
	require(st->stage == NVMEVF_STAGE_END);
	nvmevf_stream_make_end(st);
	read_record(st, to);
	require(st->stage == NVMEVF_STAGE_DONE && st->offset == st->total);
	return plain;
}

static void save(struct bytes *to, const struct bytes *state, struct input *in)
{
	struct nvmevf_stream *st = calloc(1, sizeof(*st));
	size_t from;

	require(st);
	to->len = 0;
	st->size = 1 + take_below(in, STATE_MAX);
	st->data = malloc(st->size);
	from = save_hellos(st, to, state->len, in);
	if (save_state(st, state, to, in))
		require(to->len - from == nvmevf_stream_size(state->len, st->size));
	free(st->data);
	free(st);
}

/* ---- changes to a stream ---- */

static void cut_out(struct bytes *b, size_t at, size_t len)
{
	memmove(b->p + at, b->p + at + len, b->len - at - len);
	b->len -= len;
}

static void repeat(struct bytes *b, size_t at, size_t len)
{
	len = min(len, sizeof(b->p) - b->len);
	memmove(b->p + at + len, b->p + at, b->len - at);
	b->len += len;
}

/* Whatever is changed in one place, a checksum of 32 bits shows it */
static void change(struct bytes *b, struct input *in)
{
	size_t from = take_below(in, 4) ? 0 : b->len - 32;
	size_t at = from + take_below(in, b->len - from), len = 1 + take_below(in, b->len - at);

	switch (take_below(in, 4)) {
	case 0:
		b->len = at;
		break;
	case 1:
		cut_out(b, at, len);
		break;
	case 2:
		repeat(b, at, len);
		break;
	default:
		b->p[at] ^= 1 + take_below(in, 255);
	}
}

static void fuzz_saved(struct input *in)
{
	static struct bytes state, stream;
	static struct loaded good, bad;
	size_t size = 1 + take_below(in, 2 * STATE_MAX);

	state.len = 1 + take_below(in, STATE_MAX);
	take_bytes(in, state.p, take_below(in, 64));
	save(&stream, &state, in);
	load_in_all_ways(&good, &stream, size, in);
	require(good.done && !good.err && good.state.len == state.len);
	require(!memcmp(good.state.p, state.p, state.len));
	check_against_parser(&good, &stream);

	change(&stream, in);
	load_in_all_ways(&bad, &stream, size, in);
	check_against_parser(&bad, &stream);
	if (bad.done)
		require(bad.state.len == state.len && !memcmp(bad.state.p, state.p, state.len) &&
			!memcmp(bad.hello, good.hello, HELLO_LEN));
}

/* What is wrong with one record of a stream; that of others is right */
enum fault { NONE, FLAGS, LENGTH, VERSION, OFFSET, TOTAL, CHECKSUM, RESERVED, ORDER, NR_FAULTS };

/**
 * struct author - what somebody who makes a stream by hand knows of it
 * @out: the stream
 * @crc: of what has to be in the checksum
 * @total: bytes of state that the last HELLO announced
 * @offset: bytes of state so far
 * @fault: what is wrong
 * @left: records before the one with @fault
 */
struct author {
	struct bytes *out;
	u32 crc;
	u64 total;
	u64 offset;
	enum fault fault;
	unsigned int left;
};

static bool is_wrong(const struct author *a, enum fault fault)
{
	return a->fault == fault && !a->left;
}

/* Payload of a record with room for a HELLO; returns its length */
static size_t make_payload(struct author *a, u32 tag, u8 *data, struct input *in)
{
	u64 magic = MAGIC, offset = is_wrong(a, OFFSET) ? take_edge(in) : a->offset;
	size_t len;

	switch (tag) {
	case NVME_LM_REC_HELLO:
		a->total = 1 + take_below(in, 64);
		memcpy(data, &magic, 8);
		data[8] = is_wrong(a, VERSION) ? 2 : 1;
		data[16] = a->total;
		return HELLO_LEN;
	case NVME_LM_REC_STATE:
		len = 1 + (a->total > a->offset ? take_below(in, a->total - a->offset) : 0);
		memcpy(data, &offset, 8);
		a->offset += len;
		return 8 + len;
	case NVME_LM_REC_END:
		data[0] = is_wrong(a, TOTAL) ? take(in, 1) : a->total;
		data[12] = is_wrong(a, RESERVED);
		return 16;
	default:
		return take_below(in, 16);
	}
}

static void make_record(struct author *a, u32 tag, struct input *in)
{
	u8 rec[REC_LEN + HELLO_LEN] = {}, *data = rec + REC_LEN;
	u64 len = make_payload(a, tag, data, in);
	u64 said = is_wrong(a, LENGTH) ? len + take_edge(in) : len;

	memcpy(rec, &tag, 4);
	rec[4] = is_wrong(a, FLAGS);
	memcpy(rec + 8, &said, 8);
	if (tag == NVME_LM_REC_HELLO)
		a->crc = ~0U;
	if (tag == NVME_LM_REC_END) {
		a->crc = ~crc32c(a->crc, rec, REC_LEN + 8) ^ is_wrong(a, CHECKSUM);
		memcpy(data + 8, &a->crc, 4);
	}
	a->crc = crc32c(a->crc, rec, REC_LEN + len);
	append(a->out, rec, REC_LEN + len);
	a->left--;
}

static u32 take_tag(const struct author *a, struct input *in)
{
	static const u32 tags[] = {
		NVME_LM_REC_END, NVME_LM_REC_STATE, NVME_LM_REC_HELLO, 0x31323334
	};

	if (is_wrong(a, ORDER))
		return tags[take_below(in, ARRAY_SIZE(tags))];
	if (!a->total)
		return NVME_LM_REC_HELLO;
	if (!take_below(in, 8))
		return tags[a->offset ? 3 : 2 + take_below(in, 2)];
	return a->offset >= a->total ? NVME_LM_REC_END : NVME_LM_REC_STATE;
}

static void make_records(struct bytes *b, struct input *in)
{
	struct author a = {
		.out = b, .fault = take_below(in, NR_FAULTS), .left = take_below(in, 8)
	};

	b->len = 0;
	while (in->left && b->len < STREAM_MAX / 2)
		make_record(&a, take_tag(&a, in), in);
}

static void fuzz_records(struct input *in)
{
	size_t size = 1 + take_below(in, 64);
	static struct bytes stream;
	static struct loaded l;

	if (take_below(in, 16)) {
		make_records(&stream, in);
	} else {
		stream.len = min(in->left, sizeof(stream.p));
		take_bytes(in, stream.p, stream.len);
	}
	load_in_all_ways(&l, &stream, size, in);
	check_against_parser(&l, &stream);
}

int fuzz_one(const u8 *data, size_t len)
{
	struct input in = { data, len };

	if (!take_below(&in, 2))
		fuzz_saved(&in);
	else
		fuzz_records(&in);
	return 0;
}
