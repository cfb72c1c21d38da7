/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the program says, to people and to programs, and why it fails.
 */

#ifndef MIRROR_REPORT_H
#define MIRROR_REPORT_H

#include <stdbool.h>

#include <linux/compiler.h>
#include <linux/kernel.h>

/* Exit codes */
enum mirror_exit {
	MIRROR_DONE	= 0,
	MIRROR_FAILED	= 1,
	MIRROR_USAGE	= 2,
	MIRROR_REFUSED	= 3,
	MIRROR_GAVE_UP	= 4,
};

/* Print events on the standard output too, as a JSON object a line. */
void report_json(void);

/**
 * report() - say what happened
 * @event: its name in JSON
 * @fmt: the line for people, on the standard error; "" for none
 *
 * Called by any thread; each event is one write.
 */
__printf(2, 3) void report(const char *event, const char *fmt, ...);

/**
 * report_numbers() - say what happened, with numbers for programs
 * @event: its name in JSON
 * @text: the line for people
 * @...: pairs of a name (const char *) and a number (u64), and NULL
 */
void report_numbers(const char *event, const char *text, ...);

/**
 * fail() - note why the program fails
 * @code: what it exits with
 * @fmt: the reason
 *
 * The first reason is kept: what fails later is a consequence. The main thread calls it.
 *
 * Return: -EPERM, the result of a function that failed for good.
 */
__printf(2, 3) int fail(enum mirror_exit code, const char *fmt, ...);

/* The reason and the code that fail() noted; NULL and MIRROR_DONE if there are none. */
const char *fail_reason(void);
enum mirror_exit fail_code(void);

/* Set by SIGINT and SIGTERM: end, and leave things in order. */
bool interrupted(void);
void catch_signals(void);

/* Milliseconds of a clock that only goes forward */
u64 now_ms(void);

/* A number of bytes for people, in a buffer of the caller */
const char *bytes_text(u64 bytes, char text[static 32]);

#endif /* MIRROR_REPORT_H */
