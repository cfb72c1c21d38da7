// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device stream: its records, and the controller state out of them.
 * Documentation/stream.rst describes it.
 */

#include <isa-l/crc.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"

#define CRC_SEED	(~0U)

#define CAP_MQES(cap)	((u32)((cap) & 0xffff))

/* Bytes of the stream; less at the end of the input */
static size_t get(struct dump *d, void *buf, size_t len)
{
	size_t got = input_read(&d->in, buf, len);

	d->stream.crc = crc32_iscsi(buf, got, d->stream.crc);
	return got;
}

static void broken(struct dump *d)
{
	d->stream.broken = true;
	d->stream.left = 0;
}

static u64 state_total(const struct dump *d)
{
	return le64_to_cpu(d->stream.hello.state_len);
}

static struct record *add_record(struct dump *d, u64 offset, const struct nvme_lm_rec *rec)
{
	static struct record unlisted;
	struct record *r = &unlisted, *records;
	u64 nr = d->nr_records;

	/* as many as are there again */
	if (nr < DUMP_RECORDS_MAX && !(nr & (nr - 1))) {
		records = realloc(d->records, (nr ? 2 * nr : 1) * sizeof(*records));
		d->no_memory |= !records;
		if (!records) {
			broken(d);
			return r;
		}
		d->records = records;
	}

	d->nr_records++;
	if (nr < DUMP_RECORDS_MAX)
		r = &d->records[nr];
	*r = (struct record) {
		.offset = offset,
		.tag = le32_to_cpu(rec->tag),
		.flags = le32_to_cpu(rec->flags),
		.len = le64_to_cpu(rec->len),
		.said = NOWHERE,
	};
	return r;
}

/* Payload of a record, the whole of it or its head */
static bool get_payload(struct dump *d, void *buf, size_t len, const char *what)
{
	size_t got = get(d, buf, len);

	if (got == len)
		return true;
	damage_at(d, d->in.offset, "the input ends within %s: found %zu bytes of it, expected %zu",
		  what, got, len);
	broken(d);
	return false;
}

/* Whatever is not the state is limited, or a stream would never have to end */
static bool count_extra(struct dump *d, const struct record *r)
{
	struct stream *st = &d->stream;

	if (r->len < NVME_LM_EXTRA_MAX)
		st->extra += sizeof(struct nvme_lm_rec) + r->len;
	else
		st->extra = NVME_LM_EXTRA_MAX;
	if (st->extra < NVME_LM_EXTRA_MAX)
		return true;

	damage_at(d, r->offset + offsetof(struct nvme_lm_rec, len),
		  "records besides the state: found %u bytes or more in all, expected less",
		  NVME_LM_EXTRA_MAX);
	broken(d);
	return false;
}

static const char *cmdset_name(u8 cmdset)
{
	switch (cmdset) {
	case NVME_LM_CMDSET_TP4159:
		return "TP4159";
	case NVME_LM_CMDSET_VENDOR:
		return "vendor specific set of 2022";
	default:
		return "unknown";
	}
}

static void print_identity(struct print *p, const struct nvme_lm_hello *h)
{
	print_number(p, "ident", h->ident);
	print_hex(p, "vid", le16_to_cpu(h->vid), 4);
	print_hex(p, "ssvid", le16_to_cpu(h->ssvid), 4);
	print_chars(p, "sn", h->sn, sizeof(h->sn));
	print_chars(p, "mn", h->mn, sizeof(h->mn));
	print_chars(p, "subnqn", h->subnqn, sizeof(h->subnqn));
}

static void print_limits(struct print *p, const struct nvme_lm_hello *h)
{
	u64 cap = le64_to_cpu(h->cap);

	print_hex(p, "cap", cap, 16);
	print_number(p, "cap_mqes", CAP_MQES(cap));
	print_hex(p, "vs", le32_to_cpu(h->vs), 8);
	print_number(p, "msix", le16_to_cpu(h->msix));
	print_number(p, "nvq", le16_to_cpu(h->nvq));
	print_number(p, "nvi", le16_to_cpu(h->nvi));
	print_number(p, "mdts", h->mdts);
	print_number(p, "aerl", h->aerl);
	print_hex(p, "oncs", le16_to_cpu(h->oncs), 4);
	print_hex(p, "sgls", le32_to_cpu(h->sgls), 8);
}

static void print_hello(struct dump *d, u64 offset, const struct nvme_lm_hello *h)
{
	struct print *p = &d->print;

	print_open(p, NULL, PRINT_GROUP);
	print_offset(p, "offset", offset);
	print_number(p, "version", le16_to_cpu(h->version));
	print_number(p, "cmdset", h->cmdset);
	print_text(p, "cmdset_name", cmdset_name(h->cmdset));
	print_hex(p, "state_ver", le16_to_cpu(h->state_ver), 4);
	print_uuid(p, "uuid", h->uuid);
	print_number(p, "state_len", le64_to_cpu(h->state_len));
	print_identity(p, h);
	print_limits(p, h);
	print_close(p);
}

#define HELLO_AT(payload, field)	((payload) + offsetof(struct nvme_lm_hello, field))

static void check_hello_reserved(struct dump *d, u64 at, const struct nvme_lm_hello *h)
{
	if (h->ident != NVME_LM_IDENT_PF && h->ident != NVME_LM_IDENT_VF)
		damage_at(d, HELLO_AT(at, ident),
			  "whose Identify data: found %u, expected %u or %u", h->ident,
			  NVME_LM_IDENT_PF, NVME_LM_IDENT_VF);
	if (!is_zero(h->rsvd68, sizeof(h->rsvd68)))
		damage_at(d, HELLO_AT(at, rsvd68), "HELLO, reserved bytes: not 0");
	if (!is_zero(h->rsvd388, sizeof(h->rsvd388)))
		damage_at(d, HELLO_AT(at, rsvd388), "HELLO, reserved bytes: not 0");
}

static void check_hello_format(struct dump *d, u64 at, const struct nvme_lm_hello *h)
{
	u16 ver = le16_to_cpu(h->state_ver);
	u64 len = le64_to_cpu(h->state_len);

	if (h->cmdset != NVME_LM_CMDSET_TP4159 && h->cmdset != NVME_LM_CMDSET_VENDOR)
		damage_at(d, HELLO_AT(at, cmdset), "command set: found %u, expected %u or %u",
			  h->cmdset, NVME_LM_CMDSET_TP4159, NVME_LM_CMDSET_VENDOR);
	if (ver != NVME_LM_STATE_VERSION && ver != NVME_LM_STATE_VERSION_NONE)
		damage_at(d, HELLO_AT(at, state_ver),
			  "version of the NVMe state: found %#x, expected %#x or %#x",
			  ver, NVME_LM_STATE_VERSION, NVME_LM_STATE_VERSION_NONE);
	if (!len || (h->cmdset == NVME_LM_CMDSET_TP4159 &&
		     (len % sizeof(__le32) || len < sizeof(struct nvme_lm_state_header))))
		damage_at(d, HELLO_AT(at, state_len),
			  "length of the state: found %llu bytes, expected %s", len,
			  len ? "a multiple of 4, at least 48" : "some");
	if (!h->cap)
		damage_at(d, HELLO_AT(at, cap), "CAP: found 0, expected the register");
}

/* A field of a HELLO, which is at @at, and that of the one before */
static void check_same(struct dump *d, u64 at, size_t offset, size_t len,
		       const struct nvme_lm_hello *h, const char *name)
{
	if (memcmp((const u8 *)h + offset, (const u8 *)&d->stream.hello + offset, len))
		damage_at(d, at + offset,
			  "%s: found another one than in the HELLO before, expected the same",
			  name);
}

/* All HELLOs of a stream are held against the same VF: what must be the same there */
static void check_hello_again(struct dump *d, u64 at, const struct nvme_lm_hello *h)
{
	check_same(d, at, HELLO_AT(0, cmdset), sizeof(h->cmdset), h, "cmdset");
	check_same(d, at, HELLO_AT(0, state_ver), sizeof(h->state_ver), h, "state_ver");
	check_same(d, at, HELLO_AT(0, msix), sizeof(h->msix), h, "msix");
	check_same(d, at, HELLO_AT(0, uuid), sizeof(h->uuid), h, "uuid");
	check_same(d, at, HELLO_AT(0, ident), sizeof(h->ident), h, "ident");
	check_same(d, at, HELLO_AT(0, vid), sizeof(h->vid), h, "vid");
	check_same(d, at, HELLO_AT(0, ssvid), sizeof(h->ssvid), h, "ssvid");
	check_same(d, at, HELLO_AT(0, sgls), sizeof(h->sgls), h, "sgls");
	check_same(d, at, HELLO_AT(0, sn), sizeof(h->sn), h, "sn");
	check_same(d, at, HELLO_AT(0, mn), sizeof(h->mn), h, "mn");
	check_same(d, at, HELLO_AT(0, subnqn), sizeof(h->subnqn), h, "subnqn");
}

/* What follows can be understood only if these are right */
static bool check_hello_version(struct dump *d, u64 at, const struct nvme_lm_hello *h)
{
	if (le64_to_cpu(h->magic) != NVME_LM_STREAM_MAGIC)
		damage_at(d, at, "magic of HELLO: found %016llx, expected %016llx",
			  le64_to_cpu(h->magic), NVME_LM_STREAM_MAGIC);
	else if (le16_to_cpu(h->version) != NVME_LM_STREAM_VERSION)
		damage_at(d, HELLO_AT(at, version), "version of the stream: found %u, expected %u",
			  le16_to_cpu(h->version), NVME_LM_STREAM_VERSION);
	else
		return true;

	broken(d);
	return false;
}

static void take_hello(struct dump *d, const struct record *r)
{
	struct nvme_lm_hello h;
	u64 at = d->in.offset;

	if (d->state_offset) {
		damage_at(d, r->offset, "found HELLO behind STATE, expected STATE or END");
		broken(d);
		return;
	}
	if (r->len != sizeof(h)) {
		damage_at(d, r->offset + offsetof(struct nvme_lm_rec, len),
			  "length of HELLO: found %llu bytes, expected %zu", r->len, sizeof(h));
		broken(d);
		return;
	}
	if (!count_extra(d, r) || !get_payload(d, &h, sizeof(h), "HELLO") ||
	    !check_hello_version(d, at, &h))
		return;

	print_hello(d, r->offset, &h);
	check_hello_format(d, at, &h);
	check_hello_reserved(d, at, &h);
	if (d->stream.hello_seen)
		check_hello_again(d, at, &h);
	d->stream.hello = h;
	d->stream.hello_seen = true;
}

static void take_state(struct dump *d, struct record *r)
{
	u64 left = state_total(d) - d->state_offset, at = d->in.offset;
	struct nvme_lm_piece piece;

	r->state_offset = d->state_offset;
	if (r->len <= sizeof(piece) || r->len - sizeof(piece) > left) {
		damage_at(d, r->offset + offsetof(struct nvme_lm_rec, len),
			  "length of STATE: found %llu bytes, expected %zu and 1 to %llu of state",
			  r->len, sizeof(piece), left);
		broken(d);
		return;
	}
	if (!get_payload(d, &piece, sizeof(piece), "STATE"))
		return;

	r->said = le64_to_cpu(piece.offset);
	if (r->said != d->state_offset)
		damage_at(d, at, "offset of STATE: found %llu, expected %llu", r->said,
			  d->state_offset);
	d->stream.left = r->len - sizeof(piece);
}

static void print_checksum(struct dump *d, u32 found, u32 computed)
{
	struct print *p = &d->print;

	print_open(p, "checksum", PRINT_GROUP);
	print_hex(p, "found", found, 8);
	print_hex(p, "computed", computed, 8);
	print_text(p, "verdict", found == computed ? "right" : "wrong");
	print_close(p);
}

static void check_end(struct dump *d, u64 at, const struct nvme_lm_end *end, u32 computed)
{
	u64 total = le64_to_cpu(end->total);
	u32 crc = le32_to_cpu(end->crc);

	if (d->state_offset != state_total(d))
		damage_at(d, at - sizeof(struct nvme_lm_rec),
			  "END: found behind %llu bytes of state, expected behind %llu",
			  d->state_offset, state_total(d));
	if (total != state_total(d))
		damage_at(d, at, "total in END: found %llu, expected %llu", total,
			  state_total(d));
	if (crc != computed)
		damage_at(d, at + offsetof(struct nvme_lm_end, crc),
			  "checksum: found 0x%08x, expected 0x%08x", crc, computed);
	if (!is_zero(end->rsvd12, sizeof(end->rsvd12)))
		damage_at(d, at + offsetof(struct nvme_lm_end, rsvd12),
			  "END, reserved bytes: not 0");
}

static void take_end(struct dump *d, const struct record *r)
{
	struct stream *st = &d->stream;
	u64 at = d->in.offset;
	struct nvme_lm_end end;
	u32 crc = st->crc;

	st->ended = true;
	if (r->len != sizeof(end)) {
		damage_at(d, r->offset + offsetof(struct nvme_lm_rec, len),
			  "length of END: found %llu bytes, expected %zu", r->len, sizeof(end));
		broken(d);
		return;
	}
	if (!get_payload(d, &end, sizeof(end), "END"))
		return;

	crc = ~crc32_iscsi((u8 *)&end, offsetof(struct nvme_lm_end, crc), crc);
	check_end(d, at, &end, crc);
	st->found = le32_to_cpu(end.crc);
	st->computed = crc;
}

static void skip(struct dump *d, const struct record *r)
{
	u8 buf[SZ_4K];
	u64 left = r->len;
	size_t len, got;

	if (r->flags & NVME_LM_REC_MANDATORY) {
		damage_at(d, r->offset, "tag: found 0x%08x, not known and not to be skipped",
			  r->tag);
		broken(d);
		return;
	}
	if (!count_extra(d, r))
		return;

	for (; left; left -= len) {
		len = min_t(u64, left, sizeof(buf));
		got = get(d, buf, len);
		if (got == len)
			continue;
		damage_at(d, d->in.offset,
			  "the input ends within a record: found %llu bytes of payload, expected %llu",
			  r->len - left + got, r->len);
		broken(d);
		return;
	}
}

static const char *expected(const struct dump *d)
{
	if (!d->stream.hello_seen)
		return "HELLO";
	return d->state_offset < state_total(d) ? "STATE" : "END";
}

static void take_record(struct dump *d, struct record *r)
{
	if (r->tag != NVME_LM_REC_HELLO && !d->stream.hello_seen) {
		damage_at(d, r->offset, "tag: found 0x%08x, expected HELLO (0x%08x)", r->tag,
			  NVME_LM_REC_HELLO);
		broken(d);
		return;
	}

	switch (r->tag) {
	case NVME_LM_REC_HELLO:
		take_hello(d, r);
		break;
	case NVME_LM_REC_STATE:
		take_state(d, r);
		break;
	case NVME_LM_REC_END:
		take_end(d, r);
		break;
	default:
		skip(d, r);
	}
}

static void next_record(struct dump *d)
{
	u64 at = d->in.offset;
	struct nvme_lm_rec rec;
	u32 crc = d->stream.crc;
	size_t got;

	got = get(d, &rec, sizeof(rec));
	if (got < sizeof(rec)) {
		damage_at(d, d->in.offset,
			  "the input ends: found %zu bytes, expected the head of %s", got,
			  expected(d));
		broken(d);
		return;
	}

	/* the checksum begins anew with each HELLO */
	if (le32_to_cpu(rec.tag) == NVME_LM_REC_HELLO)
		crc = CRC_SEED;
	d->stream.crc = crc32_iscsi((u8 *)&rec, sizeof(rec), crc);
	take_record(d, add_record(d, at, &rec));
}

static bool goes_on(const struct dump *d)
{
	return !d->stream.ended && !d->stream.broken;
}

size_t stream_read_state(struct dump *d, void *buf, size_t len)
{
	struct stream *st = &d->stream;
	size_t done = 0, part, got;

	while (done < len) {
		while (!st->left && goes_on(d) && d->state_offset < state_total(d))
			next_record(d);
		if (!st->left)
			break;
		part = min_t(u64, st->left, len - done);
		got = get(d, (u8 *)buf + done, part);
		st->left -= got;
		done += got;
		d->state_offset += got;
		if (got == part)
			continue;
		damage_at(d, d->in.offset,
			  "the input ends within STATE: %llu bytes of its payload are missing",
			  st->left);
		broken(d);
	}
	return done;
}

static void check_behind(struct dump *d)
{
	u64 at = d->in.offset;
	u8 buf[SZ_4K];
	size_t got = input_read(&d->in, buf, sizeof(buf));

	/* what may never end is not counted */
	if (got)
		damage_at(d, at, "behind END: found %zu bytes%s, expected none", got,
			  got == sizeof(buf) ? " or more" : "");
}

void stream_dump(struct dump *d)
{
	struct stream *st = &d->stream;
	u8 buf[SZ_4K];

	print_open(&d->print, "hello", PRINT_LIST);
	while (goes_on(d) && !st->left)
		next_record(d);
	print_close(&d->print);

	if (st->left)
		state_dump(d);
	/* what was not looked at */
	while (stream_read_state(d, buf, sizeof(buf)))
		;
	while (goes_on(d))
		next_record(d);
	if (st->ended && !st->broken)
		print_checksum(d, st->found, st->computed);
	if (st->ended && !st->broken)
		check_behind(d);
}
