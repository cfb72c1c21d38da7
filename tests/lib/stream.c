// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device stream of nvme-vfio-pci: taken apart, compared, changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

u32 crc32c(u32 crc, const void *p, size_t len)
{
	static u32 table[256];
	const u8 *b = p;
	unsigned int i, bit;

	if (!table[1]) {
		for (i = 0; i < 256; i++) {
			table[i] = i;
			for (bit = 0; bit < 8; bit++)
				table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78 : 0);
		}
	}
	crc = ~crc;
	while (len--)
		crc = crc >> 8 ^ table[(crc ^ *b++) & 0xff];
	return ~crc;
}

static struct st_head head_at(const struct stream *s, size_t at)
{
	struct st_head h;

	memcpy(&h, s->data + at, sizeof(h));
	return h;
}

static const char *parse_hello(const struct stream *s, struct st_view *v)
{
	static const u8 magic[8] = { 0x89, 'N', 'V', 'M', 'V', 'F', 'L', 'M' };
	struct st_head h;

	if (s->size < REC_SECOND)
		return "shorter than HELLO";
	h = head_at(s, 0);
	if (h.tag != REC_HELLO || h.flags != REC_MANDATORY || h.len != REC_HELLO_LEN)
		return "does not begin with HELLO";
	v->hello = (void *)(s->data + REC_HEAD);
	if (memcmp(&v->hello->magic, magic, sizeof(magic)))
		return "magic";
	if (v->hello->version != 1)
		return "stream version";
	if (v->hello->ident > 1 || memcmp(v->hello->rsvd68, "\0\0\0\0", 4) ||
	    memcmp(v->hello->rsvd388, "\0\0\0\0", 4))
		return "reserved bytes of HELLO";
	if (!v->hello->state_len || v->hello->state_len > 64 << 20)
		return "length of the state";
	v->state = malloc(v->hello->state_len);
	return v->state ? NULL : "out of memory";
}

static const char *parse_piece(const struct stream *s, size_t at, u64 len, struct st_view *v)
{
	u64 offset;

	if (len <= REC_PIECE || len - REC_PIECE > v->hello->state_len - v->state_len)
		return "length of STATE";
	memcpy(&offset, s->data + at, sizeof(offset));
	if (offset != v->state_len)
		return "offset of STATE";
	memcpy(v->state + v->state_len, s->data + at + REC_PIECE, len - REC_PIECE);
	v->state_len += len - REC_PIECE;
	v->pieces++;
	return NULL;
}

static const char *parse_end(const struct stream *s, size_t at, u64 len, struct st_view *v)
{
	if (len != REC_END_LEN || at + len != s->size)
		return "length of END";
	v->end = (void *)(s->data + at);
	if (v->end->total != v->hello->state_len || v->state_len != v->end->total)
		return "total";
	if (memcmp(v->end->rsvd12, "\0\0\0\0", 4))
		return "reserved bytes of END";
	if (v->end->crc != crc32c(0, s->data, at + offsetof(struct st_end, crc)))
		return "checksum";
	return NULL;
}

const char *st_parse(const struct stream *s, struct st_view *v)
{
	const char *why;
	struct st_head h;
	size_t at;

	memset(v, 0, sizeof(*v));
	why = parse_hello(s, v);
	v->record_at[v->records++] = 0;
	for (at = REC_SECOND; !why && !v->end; at += h.len) {
		if (s->size - at < REC_HEAD)
			return "no END";
		h = head_at(s, at);
		if (v->records == ARRAY_SIZE(v->record_at))
			return "too many records";
		v->record_at[v->records++] = at;
		at += REC_HEAD;
		if (h.flags != REC_MANDATORY || h.len > s->size - at)
			return "head of a record";
		if (h.tag == REC_STATE)
			why = parse_piece(s, at, h.len, v);
		else if (h.tag == REC_END)
			why = parse_end(s, at, h.len, v);
		else
			why = "tag of a record";
	}
	return why;
}

void st_view_free(struct st_view *v)
{
	free(v->state);
	v->state = NULL;
}

struct stream stream_copy(const struct stream *s, size_t size, size_t room)
{
	struct stream c = { .data = malloc(size + room + 1), .size = size };

	if (!c.data)
		abort();
	memcpy(c.data, s->data, size);
	return c;
}

void st_insert(struct stream *s, size_t at, const void *p, size_t len)
{
	memmove(s->data + at + len, s->data + at, s->size - at);
	memcpy(s->data + at, p, len);
	s->size += len;
}

void st_insert_record(struct stream *s, size_t at, u32 tag, u32 flags, u8 fill, size_t len)
{
	struct st_head h = { tag, flags, len };
	u8 *payload = malloc(len + 1);

	if (!payload)
		abort();
	memset(payload, fill, len);
	st_insert(s, at, payload, len);
	st_insert(s, at, &h, sizeof(h));
	free(payload);
}

void st_fix_crc(struct stream *s)
{
	size_t at = 0, hello = 0;
	struct st_head h;
	u32 crc;

	while (s->size - at >= REC_HEAD) {
		h = head_at(s, at);
		if (h.tag == REC_HELLO)
			hello = at;
		at += REC_HEAD;
		if (h.tag == REC_END && s->size - at >= REC_END_LEN) {
			at += offsetof(struct st_end, crc);
			crc = crc32c(0, s->data + hello, at - hello);
			memcpy(s->data + at, &crc, sizeof(crc));
			return;
		}
		if (h.len > s->size - at)
			return;
		at += h.len;
	}
}

static const char *differ(const struct st_view *a, const struct st_view *b)
{
	static char text[64];
	size_t i;

	if (memcmp(a->hello, b->hello, sizeof(*a->hello)))
		return "HELLO";
	if (a->state_len != b->state_len)
		return "length of the state";
	for (i = 0; i < a->state_len; i++) {
		if (a->state[i] == b->state[i])
			continue;
		snprintf(text, sizeof(text), "state at offset %zu", i);
		return text;
	}
	return NULL;
}

const char *st_differ(const struct stream *a, const struct stream *b)
{
	struct st_view va, vb = { 0 };
	const char *why;

	why = st_parse(a, &va);
	if (!why)
		why = st_parse(b, &vb);
	if (!why)
		why = differ(&va, &vb);
	if (!why && (a->size != b->size || memcmp(a->data, b->data, a->size)))
		why = "how it is cut into records";
	st_view_free(&va);
	st_view_free(&vb);
	return why;
}
