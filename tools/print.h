/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is printed: a tree of named values, written as it grows, for people or as
 * JSON. Nothing of it is kept, so it may be of any length.
 */

#ifndef TOOLS_PRINT_H
#define TOOLS_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include <linux/compiler.h>
#include <linux/kernel.h>

/**
 * enum print_kind - what holds values
 * @PRINT_GROUP: named values
 * @PRINT_LIST: PRINT_GROUPs or PRINT_ROWs without names
 * @PRINT_ROW: named values of the same names as in all rows of the list
 * @PRINT_SERIES: values without names
 */
enum print_kind {
	PRINT_GROUP,
	PRINT_LIST,
	PRINT_ROW,
	PRINT_SERIES,
};

#define PRINT_DEPTH	8
#define PRINT_LINE	640

struct print;

/**
 * struct print_ops - one way to print
 * @open: begin a @kind
 * @close: end the innermost
 * @number: a count or the like
 * @offset: a place in what is read
 * @text: printable text
 * @flag: yes or no
 * @none: no value, where the others of a list have one
 * @bytes: any bytes
 */
struct print_ops {
	void (*open)(struct print *p, const char *name, enum print_kind kind);
	void (*close)(struct print *p);
	void (*number)(struct print *p, const char *name, u64 value);
	void (*offset)(struct print *p, const char *name, u64 value);
	void (*text)(struct print *p, const char *name, const char *value);
	void (*flag)(struct print *p, const char *name, bool value);
	void (*none)(struct print *p, const char *name);
	void (*bytes)(struct print *p, const char *name, const u8 *value, size_t len);
};

/**
 * struct print - where and how it is printed
 * @ops: how
 * @out: where
 * @depth: how many are open
 * @kind: what is open, by depth
 * @filled: whether it has anything in it yet
 * @columns: for people: names of a row's values
 * @row: for people: its values
 */
struct print {
	const struct print_ops *ops;
	FILE *out;
	unsigned int depth;
	enum print_kind kind[PRINT_DEPTH];
	bool filled[PRINT_DEPTH];
	char columns[PRINT_LINE];
	char row[PRINT_LINE];
};

extern const struct print_ops print_text_ops;
extern const struct print_ops print_json_ops;

static inline void print_open(struct print *p, const char *name, enum print_kind kind)
{
	p->ops->open(p, name, kind);
}

static inline void print_close(struct print *p)
{
	p->ops->close(p);
}

static inline void print_number(struct print *p, const char *name, u64 value)
{
	p->ops->number(p, name, value);
}

static inline void print_offset(struct print *p, const char *name, u64 value)
{
	p->ops->offset(p, name, value);
}

static inline void print_text(struct print *p, const char *name, const char *value)
{
	p->ops->text(p, name, value);
}

static inline void print_flag(struct print *p, const char *name, bool value)
{
	p->ops->flag(p, name, value);
}

static inline void print_none(struct print *p, const char *name)
{
	p->ops->none(p, name);
}

static inline void print_bytes(struct print *p, const char *name, const void *value, size_t len)
{
	p->ops->bytes(p, name, value, len);
}

/* A register, an address or another value that is read in hexadecimal digits. */
void print_hex(struct print *p, const char *name, u64 value, unsigned int digits);

/* Characters of @len bytes that anybody may have chosen: harmless for a terminal, no padding. */
void print_chars(struct print *p, const char *name, const char *value, size_t len);

/* The 16 bytes of a UUID, in the order in which it is written. */
void print_uuid(struct print *p, const char *name, const u8 *uuid);

#endif /* TOOLS_PRINT_H */
