// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device stream: making its records for a save, and parsing them for a load.
 *
 * The stream is described in nvme_lm_stream.h. Nothing here uses a device, a lock or
 * user memory: a load asks for the place of the next bytes, copies them there and has
 * them parsed.
 */

#include <kunit/visibility.h>
#include <linux/crc32.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "stream.h"

#define NVMEVF_CRC_SEED		(~0U)
#define NVMEVF_SKIP_CHUNK	64

/**
 * nvmevf_stream_size - compute the length of the stream of a state
 * @state_len: bytes of controller state
 * @piece: bytes of state in one record
 *
 * Return: bytes of HELLO, the STATE records and END.
 */
u64 nvmevf_stream_size(u64 state_len, size_t piece)
{
	u64 pieces = DIV_ROUND_UP_ULL(state_len, piece);

	return 2 * sizeof(struct nvme_lm_rec) + sizeof(struct nvme_lm_hello) +
	       pieces * (sizeof(struct nvme_lm_rec) + sizeof(struct nvme_lm_piece)) +
	       state_len + sizeof(struct nvme_lm_end);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_stream_size);

static void nvmevf_note_record(struct nvmevf_stream *st, u32 tag, u64 len)
{
	st->tag = tag;
	st->rec_len = len;
	st->records++;
}

/* Begin a record in @head; returns the start of its payload */
static void *nvmevf_make_record(struct nvmevf_stream *st, u32 tag, u64 len)
{
	struct nvme_lm_rec *rec = (void *)st->head;

	rec->tag = cpu_to_le32(tag);
	rec->flags = cpu_to_le32(NVME_LM_REC_MANDATORY);
	rec->len = cpu_to_le64(len);
	nvmevf_note_record(st, tag, len);
	st->head_len = sizeof(*rec);
	st->data_len = 0;
	return st->head + sizeof(*rec);
}

/**
 * nvmevf_stream_make_hello - make the record that begins a stream
 * @st: the stream; its @total is known
 * @hello: identity and limits of the VF
 */
void nvmevf_stream_make_hello(struct nvmevf_stream *st, const struct nvme_lm_hello *hello)
{
	struct nvme_lm_hello *out = nvmevf_make_record(st, NVME_LM_REC_HELLO, sizeof(*out));

	*out = *hello;
	out->state_len = cpu_to_le64(st->total);
	st->head_len += sizeof(*out);
	st->crc = crc32c(NVMEVF_CRC_SEED, st->head, st->head_len);
	st->stage = NVMEVF_STAGE_DATA;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_stream_make_hello);

/**
 * nvmevf_stream_piece_len - get the amount of controller state in the next record
 * @st: the stream
 *
 * Return: bytes.
 */
size_t nvmevf_stream_piece_len(const struct nvmevf_stream *st)
{
	return min_t(u64, st->total - st->offset, st->size);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_stream_piece_len);

/**
 * nvmevf_stream_make_piece - make a STATE record
 * @st: the stream; its @data holds nvmevf_stream_piece_len() bytes of state
 */
void nvmevf_stream_make_piece(struct nvmevf_stream *st)
{
	size_t len = nvmevf_stream_piece_len(st);
	struct nvme_lm_piece *piece;

	piece = nvmevf_make_record(st, NVME_LM_REC_STATE, sizeof(*piece) + len);
	piece->offset = cpu_to_le64(st->offset);
	st->head_len += sizeof(*piece);
	st->data_len = len;
	st->crc = crc32c(st->crc, st->head, st->head_len);
	st->crc = crc32c(st->crc, st->data, len);

	st->offset += len;
	if (st->offset == st->total)
		st->stage = NVMEVF_STAGE_END;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_stream_make_piece);

/**
 * nvmevf_stream_make_end - make the record that ends a stream
 * @st: the stream
 */
void nvmevf_stream_make_end(struct nvmevf_stream *st)
{
	struct nvme_lm_end *end = nvmevf_make_record(st, NVME_LM_REC_END, sizeof(*end));

	memset(end, 0, sizeof(*end));
	end->total = cpu_to_le64(st->total);
	st->crc = crc32c(st->crc, st->head, st->head_len + offsetof(struct nvme_lm_end, crc));
	end->crc = cpu_to_le32(~st->crc);
	st->head_len += sizeof(*end);
	st->stage = NVMEVF_STAGE_DONE;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_stream_make_end);

static void nvmevf_want(struct nvmevf_stream *st, enum nvmevf_stage stage)
{
	st->stage = stage;
	st->head_len = 0;
}

/* The caller checks whether it fits this VF */
static int nvmevf_take_hello(struct nvmevf_stream *st)
{
	const struct nvme_lm_hello *in = (void *)st->head;

	if (in->magic != cpu_to_le64(NVME_LM_STREAM_MAGIC))
		return nvmevf_refuse(&st->refusal, -EINVAL, "not a stream of this driver");
	if (in->version != cpu_to_le16(NVME_LM_STREAM_VERSION))
		return nvmevf_refuse(&st->refusal, -EPROTONOSUPPORT, "version %u, here %u",
				     le16_to_cpu(in->version), NVME_LM_STREAM_VERSION);

	st->stage = NVMEVF_STAGE_CHECK;
	return 0;
}

/**
 * nvmevf_stream_accept_hello - continue after a HELLO that fits this VF
 * @st: the stream, in NVMEVF_STAGE_CHECK
 */
void nvmevf_stream_accept_hello(struct nvmevf_stream *st)
{
	const struct nvme_lm_hello *in = (void *)st->head;

	st->crc = crc32c(st->crc, st->head, sizeof(*in));
	st->total = le64_to_cpu(in->state_len);
	st->hello_seen = true;
	nvmevf_want(st, NVMEVF_STAGE_RECORD);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_stream_accept_hello);

static int nvmevf_take_end(struct nvmevf_stream *st)
{
	const struct nvme_lm_end *end = (void *)st->head;
	u32 crc = ~crc32c(st->crc, st->head, offsetof(struct nvme_lm_end, crc));

	if (le64_to_cpu(end->total) != st->total || st->offset != st->total)
		return nvmevf_refuse(&st->refusal, -EPROTO,
				     "%llu of %llu bytes of state, but END says %llu",
				     st->offset, st->total, le64_to_cpu(end->total));
	/* they follow the checksum, so nothing else would reveal damage there */
	if (memchr_inv(end->rsvd12, 0, sizeof(end->rsvd12)))
		return nvmevf_refuse(&st->refusal, -EPROTO, "reserved bytes of END are set");
	if (le32_to_cpu(end->crc) != crc)
		return nvmevf_refuse(&st->refusal, -EBADMSG, "checksum %#x, computed %#x",
				     le32_to_cpu(end->crc), crc);

	nvmevf_want(st, NVMEVF_STAGE_COMMIT);
	return 0;
}

static int nvmevf_take_piece(struct nvmevf_stream *st)
{
	const struct nvme_lm_piece *piece = (void *)st->head;

	if (le64_to_cpu(piece->offset) != st->offset)
		return nvmevf_refuse(&st->refusal, -EPROTO, "state at offset %llu, expected %llu",
				     le64_to_cpu(piece->offset), st->offset);

	st->crc = crc32c(st->crc, st->head, sizeof(*piece));
	nvmevf_want(st, NVMEVF_STAGE_DATA);
	return 0;
}

/* Everything except the state is limited, otherwise a stream would never have to end */
static int nvmevf_count_extra(struct nvmevf_stream *st)
{
	if (st->rec_left < NVME_LM_EXTRA_MAX)
		st->extra += sizeof(struct nvme_lm_rec) + st->rec_left;
	else
		st->extra = NVME_LM_EXTRA_MAX;

	if (st->extra >= NVME_LM_EXTRA_MAX)
		return nvmevf_refuse(&st->refusal, -EFBIG,
				     "%u bytes or more in HELLO and unknown records",
				     NVME_LM_EXTRA_MAX);
	return 0;
}

/* Until the first STATE, a HELLO may replace an earlier one */
static int nvmevf_begin_hello(struct nvmevf_stream *st)
{
	if (st->offset)
		return nvmevf_refuse(&st->refusal, -EPROTO, "HELLO after STATE");
	if (st->rec_left != sizeof(struct nvme_lm_hello))
		return nvmevf_refuse(&st->refusal, -EPROTO, "invalid length of HELLO: %llu bytes",
				     st->rec_left);

	nvmevf_want(st, NVMEVF_STAGE_HELLO);
	return nvmevf_count_extra(st);
}

static int nvmevf_begin_state(struct nvmevf_stream *st)
{
	u64 left = st->total - st->offset;

	if (st->rec_left <= sizeof(struct nvme_lm_piece) ||
	    st->rec_left - sizeof(struct nvme_lm_piece) > left)
		return nvmevf_refuse(&st->refusal, -EPROTO,
				     "invalid length of STATE: %llu bytes, %llu bytes of state are left",
				     st->rec_left, left);

	st->rec_left -= sizeof(struct nvme_lm_piece);
	nvmevf_want(st, NVMEVF_STAGE_PIECE);
	return 0;
}

static int nvmevf_begin_end(struct nvmevf_stream *st)
{
	if (st->rec_left != sizeof(struct nvme_lm_end))
		return nvmevf_refuse(&st->refusal, -EPROTO, "invalid length of END: %llu bytes",
				     st->rec_left);

	nvmevf_want(st, NVMEVF_STAGE_END);
	return 0;
}

static int nvmevf_begin_unknown(struct nvmevf_stream *st, u32 tag, u32 flags)
{
	if (flags & NVME_LM_REC_MANDATORY)
		return nvmevf_refuse(&st->refusal, -EPROTONOSUPPORT, "unknown record %#x", tag);

	nvmevf_want(st, st->rec_left ? NVMEVF_STAGE_SKIP : NVMEVF_STAGE_RECORD);
	return nvmevf_count_extra(st);
}

static int nvmevf_take_record(struct nvmevf_stream *st)
{
	const struct nvme_lm_rec *rec = (void *)st->head;
	u32 tag = le32_to_cpu(rec->tag);

	if (tag == NVME_LM_REC_HELLO)
		st->crc = NVMEVF_CRC_SEED;
	else if (!st->hello_seen)
		return nvmevf_refuse(&st->refusal, -EINVAL, "not a stream of this driver");

	st->crc = crc32c(st->crc, st->head, sizeof(*rec));
	st->rec_left = le64_to_cpu(rec->len);
	nvmevf_note_record(st, tag, st->rec_left);

	switch (tag) {
	case NVME_LM_REC_HELLO:
		return nvmevf_begin_hello(st);
	case NVME_LM_REC_STATE:
		return nvmevf_begin_state(st);
	case NVME_LM_REC_END:
		return nvmevf_begin_end(st);
	default:
		return nvmevf_begin_unknown(st, tag, le32_to_cpu(rec->flags));
	}
}

/* Bytes that are collected in @head before they are parsed */
static size_t nvmevf_head_want(enum nvmevf_stage stage)
{
	switch (stage) {
	case NVMEVF_STAGE_RECORD:
		return sizeof(struct nvme_lm_rec);
	case NVMEVF_STAGE_HELLO:
		return sizeof(struct nvme_lm_hello);
	case NVMEVF_STAGE_PIECE:
		return sizeof(struct nvme_lm_piece);
	case NVMEVF_STAGE_END:
		return sizeof(struct nvme_lm_end);
	default:
		return 0;
	}
}

static int nvmevf_take_head(struct nvmevf_stream *st)
{
	switch (st->stage) {
	case NVMEVF_STAGE_RECORD:
		return nvmevf_take_record(st);
	case NVMEVF_STAGE_HELLO:
		return nvmevf_take_hello(st);
	case NVMEVF_STAGE_PIECE:
		return nvmevf_take_piece(st);
	default:
		return nvmevf_take_end(st);
	}
}

/**
 * nvmevf_stream_full - whether @data has no room for more state
 * @st: the stream
 *
 * Return: true if @data has to be sent to the device before more can arrive.
 */
bool nvmevf_stream_full(const struct nvmevf_stream *st)
{
	return st->stage == NVMEVF_STAGE_DATA && st->offset - st->sent == st->size;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_stream_full);

/**
 * nvmevf_stream_room - get the place for the next bytes of a stream
 * @st: the stream, not full
 * @len: bytes available; set to the number of them that fit there, not 0
 *
 * Return: the memory, or an ERR_PTR: -EFBIG after the end.
 */
void *nvmevf_stream_room(struct nvmevf_stream *st, size_t *len)
{
	size_t want = nvmevf_head_want(st->stage);
	u64 fill = st->offset - st->sent;

	if (want) {
		*len = min(*len, want - st->head_len);
		return st->head + st->head_len;
	}

	switch (st->stage) {
	case NVMEVF_STAGE_DATA:
		*len = min3((u64)*len, st->rec_left, st->size - fill);
		return st->data + fill;
	case NVMEVF_STAGE_SKIP:
		*len = min3((u64)*len, st->rec_left, (u64)NVMEVF_SKIP_CHUNK);
		return st->head;
	default:
		return ERR_PTR(nvmevf_refuse(&st->refusal, -EFBIG, "%zu bytes after END", *len));
	}
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_stream_room);

/**
 * nvmevf_stream_take - parse bytes
 * @st: the stream
 * @len: bytes that were copied to the place from nvmevf_stream_room()
 *
 * In NVMEVF_STAGE_CHECK and NVMEVF_STAGE_COMMIT the caller has to act before it
 * continues.
 *
 * Return: 0, or a negative errno with the reason in @refusal.
 */
int nvmevf_stream_take(struct nvmevf_stream *st, size_t len)
{
	size_t want = nvmevf_head_want(st->stage);

	if (want) {
		st->head_len += len;
		return st->head_len == want ? nvmevf_take_head(st) : 0;
	}

	if (st->stage == NVMEVF_STAGE_DATA) {
		st->crc = crc32c(st->crc, st->data + (st->offset - st->sent), len);
		st->offset += len;
	} else {
		st->crc = crc32c(st->crc, st->head, len);
	}

	st->rec_left -= len;
	if (!st->rec_left)
		nvmevf_want(st, NVMEVF_STAGE_RECORD);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_stream_take);
