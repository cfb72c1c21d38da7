// SPDX-License-Identifier: GPL-2.0-only
/*
 * For programs: one JSON object, whatever is read.
 */

#include <json-c/json.h>
#include <stdlib.h>

#include "print.h"

static bool on_one_line(const struct print *p)
{
	enum print_kind kind = p->kind[p->depth - 1];

	return kind == PRINT_ROW || kind == PRINT_SERIES;
}

static void separate(struct print *p)
{
	bool filled = p->filled[p->depth - 1];

	if (on_one_line(p))
		fputs(filled ? ", " : "", p->out);
	else
		fprintf(p->out, "%s\n%*s", filled ? "," : "", (int)p->depth, "");
	p->filled[p->depth - 1] = true;
}

static bool has_names(const struct print *p)
{
	enum print_kind kind = p->kind[p->depth - 1];

	return kind == PRINT_GROUP || kind == PRINT_ROW;
}

static void begin(struct print *p, const char *name)
{
	if (!p->depth)
		return;
	separate(p);
	if (has_names(p))
		fprintf(p->out, "\"%s\": ", name);
}

/* The library knows how values are written; it would need the whole tree to write that. */
static void value(struct print *p, const char *name, struct json_object *v)
{
	begin(p, name);
	fputs(json_object_to_json_string_ext(v, JSON_C_TO_STRING_NOSLASHESCAPE), p->out);
	json_object_put(v);
}

static void json_open(struct print *p, const char *name, enum print_kind kind)
{
	begin(p, name);
	p->kind[p->depth] = kind;
	p->filled[p->depth] = false;
	p->depth++;
	fputc(has_names(p) ? '{' : '[', p->out);
}

static void json_close(struct print *p)
{
	bool named = has_names(p), broken = !on_one_line(p) && p->filled[p->depth - 1];

	p->depth--;
	if (broken)
		fprintf(p->out, "\n%*s", (int)p->depth, "");
	fputs(named ? "}" : "]", p->out);
	if (!p->depth)
		fputc('\n', p->out);
}

static void json_number(struct print *p, const char *name, u64 v)
{
	value(p, name, json_object_new_uint64(v));
}

static void json_text(struct print *p, const char *name, const char *v)
{
	value(p, name, json_object_new_string(v));
}

static void json_flag(struct print *p, const char *name, bool v)
{
	value(p, name, json_object_new_boolean(v));
}

static void json_none(struct print *p, const char *name)
{
	value(p, name, NULL);
}

static void json_bytes(struct print *p, const char *name, const u8 *v, size_t len)
{
	size_t i;

	begin(p, name);
	fputc('"', p->out);
	for (i = 0; i < len; i++)
		fprintf(p->out, "%02x", v[i]);
	fputc('"', p->out);
}

const struct print_ops print_json_ops = {
	.open	= json_open,
	.close	= json_close,
	.number	= json_number,
	.offset	= json_number,
	.text	= json_text,
	.flag	= json_flag,
	.none	= json_none,
	.bytes	= json_bytes,
};
