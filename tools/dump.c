// SPDX-License-Identifier: GPL-2.0-only
/*
 * One run: what the input is, what is wrong with it, the verdict.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"

bool is_zero(const void *p, size_t len)
{
	const u8 *b = p;

	while (len && !*b)
		b++, len--;
	return !len;
}

/* The record that has byte @offset of the input, or NOWHERE */
static u64 find_record(const struct dump *d, u64 offset)
{
	u64 low = 0, high = min_t(u64, d->nr_records, DUMP_RECORDS_MAX), mid;

	if (!high || (high < d->nr_records && offset >= d->records[high - 1].offset))
		return NOWHERE;
	while (high - low > 1) {
		mid = low + (high - low) / 2;
		if (d->records[mid].offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static bool has_state(const struct record *r, u64 state_offset)
{
	u64 len = r->len - sizeof(struct nvme_lm_piece);

	return r->tag == NVME_LM_REC_STATE && r->len > sizeof(struct nvme_lm_piece) &&
	       state_offset >= r->state_offset && state_offset - r->state_offset < len;
}

/* Where in the input a byte of the controller state is, or NOWHERE */
static u64 find_state(const struct dump *d, u64 state_offset)
{
	u64 i, nr = min_t(u64, d->nr_records, DUMP_RECORDS_MAX);
	const struct record *r;

	if (!d->is_stream)
		return state_offset;

	for (i = 0; i < nr; i++) {
		r = &d->records[i];
		if (has_state(r, state_offset))
			return r->offset + sizeof(struct nvme_lm_rec) +
			       sizeof(struct nvme_lm_piece) + (state_offset - r->state_offset);
	}
	return NOWHERE;
}

__printf(5, 0)
static void add_finding(struct dump *d, bool damage, u64 offset, u64 state_offset,
			const char *fmt, va_list args)
{
	struct finding *f;

	d->damaged |= damage;
	if (d->nr_findings++ >= DUMP_FINDINGS_MAX)
		return;

	f = &d->findings[d->nr_findings - 1];
	f->damage = damage;
	f->offset = state_offset == NOWHERE ? offset : find_state(d, state_offset);
	f->state_offset = state_offset;
	f->record = d->is_stream && f->offset != NOWHERE ? find_record(d, f->offset) : NOWHERE;
	vsnprintf(f->message, sizeof(f->message), fmt, args);
}

void damage_at(struct dump *d, u64 offset, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_finding(d, true, offset, NOWHERE, fmt, args);
	va_end(args);
}

void damage_in_state(struct dump *d, u64 state_offset, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_finding(d, true, NOWHERE, state_offset, fmt, args);
	va_end(args);
}

void note_in_state(struct dump *d, u64 state_offset, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_finding(d, false, NOWHERE, state_offset, fmt, args);
	va_end(args);
}

void check_reserved(struct dump *d, u64 state_offset, const void *p, size_t len, const char *what)
{
	const u8 *b = p;
	size_t i;

	for (i = 0; i < len; i++) {
		if (!b[i])
			continue;
		damage_in_state(d, state_offset + i, "%s, reserved: found 0x%02x, expected 0", what,
				b[i]);
		return;
	}
}

static bool is_tag(u32 tag)
{
	return tag == NVME_LM_REC_HELLO || tag == NVME_LM_REC_STATE || tag == NVME_LM_REC_END;
}

/* A stream whose beginning is damaged or missing still shows by its other marks */
static enum dump_format detect(const u8 *p, size_t len)
{
	struct nvme_lm_rec rec = { };
	__le64 magic = 0;
	__le16 ver;

	memcpy(&rec, p, min(len, sizeof(rec)));
	if (len > sizeof(rec))
		memcpy(&magic, p + sizeof(rec), min(len - sizeof(rec), sizeof(magic)));
	if (is_tag(le32_to_cpu(rec.tag)) || le64_to_cpu(magic) == NVME_LM_STREAM_MAGIC)
		return DUMP_STREAM;

	memcpy(&ver, p, sizeof(ver));
	return len >= sizeof(ver) && !ver ? DUMP_STATE : DUMP_DETECT;
}

static void print_place(struct print *p, const char *name, u64 offset)
{
	if (offset == NOWHERE)
		print_none(p, name);
	else
		print_offset(p, name, offset);
}

static void print_records(struct dump *d)
{
	u64 i, nr = min_t(u64, d->nr_records, DUMP_RECORDS_MAX);
	struct print *p = &d->print;
	const struct record *r;
	__le32 tag;

	print_open(p, "records", PRINT_LIST);
	for (i = 0; i < nr; i++) {
		r = &d->records[i];
		tag = cpu_to_le32(r->tag);
		print_open(p, NULL, PRINT_ROW);
		print_number(p, "record", i);
		print_offset(p, "offset", r->offset);
		print_chars(p, "tag", (const char *)&tag, sizeof(tag));
		print_hex(p, "flags", r->flags, 1);
		print_number(p, "length", r->len);
		print_place(p, "state_offset", r->said);
		print_close(p);
	}
	print_close(p);
	if (nr < d->nr_records)
		print_number(p, "records_not_listed", d->nr_records - nr);
}

static void print_finding(struct dump *d, const struct finding *f)
{
	struct print *p = &d->print;

	print_open(p, NULL, PRINT_ROW);
	print_place(p, "offset", f->offset);
	if (d->is_stream) {
		if (f->record == NOWHERE)
			print_none(p, "record");
		else
			print_number(p, "record", f->record);
		print_place(p, "state_offset", f->state_offset);
	}
	print_text(p, "message", f->message);
	print_close(p);
}

static void print_findings(struct dump *d, const char *name, bool damage)
{
	u64 i, nr = min_t(u64, d->nr_findings, DUMP_FINDINGS_MAX);

	print_open(&d->print, name, PRINT_LIST);
	for (i = 0; i < nr; i++)
		if (d->findings[i].damage == damage)
			print_finding(d, &d->findings[i]);
	print_close(&d->print);
}

static void print_verdict(struct dump *d)
{
	struct print *p = &d->print;

	print_findings(d, "notes", false);
	print_findings(d, "damage", true);
	if (d->nr_findings > DUMP_FINDINGS_MAX)
		print_number(p, "findings_not_listed", d->nr_findings - DUMP_FINDINGS_MAX);
	print_number(p, "bytes_read", d->in.offset);
	print_text(p, "verdict", d->damaged ? "damaged" : "fine");
}

static void dump_unknown(struct dump *d, const u8 *ahead, size_t len)
{
	print_text(&d->print, "format", "unknown");
	if (len)
		print_bytes(&d->print, "beginning", ahead, min_t(size_t, len, 8));
	damage_at(d, 0, "beginning: found neither that of a stream, HELO, nor of a state, 0");
}

static void dump_as(struct dump *d, enum dump_format format)
{
	print_text(&d->print, "format", format == DUMP_STREAM ? "stream" : "state");
	if (format == DUMP_STATE) {
		state_dump(d);
		return;
	}

	d->is_stream = true;
	stream_dump(d);
	print_records(d);
}

static void dump_any(struct dump *d)
{
	enum dump_format format = d->options->format;
	const u8 *ahead;
	size_t len;

	len = input_peek(&d->in, &ahead);
	if (format == DUMP_DETECT)
		format = detect(ahead, len);

	print_open(&d->print, NULL, PRINT_GROUP);
	if (format == DUMP_DETECT)
		dump_unknown(d, ahead, len);
	else
		dump_as(d, format);
	print_verdict(d);
	print_close(&d->print);
}

static enum dump_result result(const struct dump *d)
{
	if (d->in.error || d->no_memory)
		return DUMP_ERROR;
	return d->damaged ? DUMP_DAMAGED : DUMP_FINE;
}

enum dump_result dump(FILE *in, FILE *out, const struct dump_options *options, int *error)
{
	struct dump *d = calloc(1, sizeof(*d));
	enum dump_result ret = DUMP_ERROR;

	*error = ENOMEM;
	if (!d)
		return ret;

	d->in.file = in;
	d->print.out = out;
	d->print.ops = options->json ? &print_json_ops : &print_text_ops;
	d->options = options;
	dump_any(d);

	ret = result(d);
	if (d->in.error)
		*error = d->in.error;
	free(d->records);
	free(d);
	return ret;
}
