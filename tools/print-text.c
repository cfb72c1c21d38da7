// SPDX-License-Identifier: GPL-2.0-only
/*
 * For people: a value a line, and tables.
 */

#include <string.h>

#include "print.h"

/* Widths of columns: where no value is wider they are straight */
#define WIDTH_NUMBER	6
#define WIDTH_OFFSET	10
#define WIDTH_TEXT	5
#define WIDTH_FLAG	3

static enum print_kind *innermost(struct print *p)
{
	return &p->kind[p->depth - 1];
}

/* The outermost group has no name; a list and what is in it are one step */
static int indent(const struct print *p)
{
	unsigned int i, steps = 0;

	for (i = 1; i < p->depth; i++)
		steps += p->kind[i] != PRINT_LIST;
	return 2 * steps;
}

static void add_column(char *line, const char *text, size_t width)
{
	size_t len = strlen(line);

	snprintf(line + len, PRINT_LINE - len, "%s%-*s", len ? "  " : "", (int)width, text);
}

static void value(struct print *p, const char *name, const char *text, size_t width)
{
	switch (*innermost(p)) {
	case PRINT_ROW:
		width = max(width, strlen(text));
		width = max(width, strlen(name));
		add_column(p->columns, name, width);
		add_column(p->row, text, width);
		break;
	case PRINT_SERIES:
		fprintf(p->out, " %s", text);
		break;
	default:
		fprintf(p->out, "%*s%s: %s\n", indent(p), "", name, text);
	}
}

static void text_open(struct print *p, const char *name, enum print_kind kind)
{
	bool named = p->depth && *innermost(p) != PRINT_LIST;

	if (named)
		fprintf(p->out, "%*s%s:%s", indent(p), "", name,
			kind == PRINT_SERIES ? "" : "\n");
	else if (p->depth && kind == PRINT_GROUP && p->filled[p->depth - 1])
		fputc('\n', p->out);

	p->kind[p->depth] = kind;
	p->filled[p->depth] = false;
	p->depth++;
	p->columns[0] = '\0';
	p->row[0] = '\0';
}

static void trim(char *line)
{
	size_t len = strlen(line);

	while (len && line[len - 1] == ' ')
		line[--len] = '\0';
}

static void print_row(struct print *p)
{
	trim(p->columns);
	trim(p->row);
	if (!p->filled[p->depth - 2])
		fprintf(p->out, "%*s%s\n", indent(p), "", p->columns);
	fprintf(p->out, "%*s%s\n", indent(p), "", p->row);
}

static void text_close(struct print *p)
{
	enum print_kind kind = *innermost(p);

	if (kind == PRINT_ROW)
		print_row(p);
	else if (kind == PRINT_SERIES)
		fputc('\n', p->out);
	else if (kind == PRINT_LIST && !p->filled[p->depth - 1])
		fprintf(p->out, "%*snone\n", indent(p) + 2, "");

	p->depth--;
	if (p->depth)
		p->filled[p->depth - 1] = true;
}

static void text_number(struct print *p, const char *name, u64 v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", v);
	value(p, name, text, WIDTH_NUMBER);
}

static void text_offset(struct print *p, const char *name, u64 v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", v);
	value(p, name, text, WIDTH_OFFSET);
}

static void text_text(struct print *p, const char *name, const char *v)
{
	value(p, name, v, WIDTH_TEXT);
}

static void text_flag(struct print *p, const char *name, bool v)
{
	value(p, name, v ? "yes" : "no", WIDTH_FLAG);
}

static void text_none(struct print *p, const char *name)
{
	value(p, name, "-", WIDTH_OFFSET);
}

static void text_bytes(struct print *p, const char *name, const u8 *v, size_t len)
{
	size_t i;

	fprintf(p->out, "%*s%s:", indent(p), "", name);
	for (i = 0; i < len; i++) {
		if (i % 16 == 0)
			fprintf(p->out, "\n%*s%04zx ", indent(p) + 2, "", i);
		fprintf(p->out, " %02x", v[i]);
	}
	fputc('\n', p->out);
}

const struct print_ops print_text_ops = {
	.open	= text_open,
	.close	= text_close,
	.number	= text_number,
	.offset	= text_offset,
	.text	= text_text,
	.flag	= text_flag,
	.none	= text_none,
	.bytes	= text_bytes,
};
