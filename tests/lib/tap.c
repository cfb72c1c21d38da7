// SPDX-License-Identifier: GPL-2.0-only
/*
 * Results of a test program in TAP.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tap.h"

static const char *cur_name = "(none)";
static int cur_arg;
static bool cur_failed, cur_skipped;
static char cur_reason[256];

void tap_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
}

void tap_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# %s: %s:%d: ", cur_name, file, line);
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
	cur_failed = true;
}

void tap_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cur_reason, sizeof(cur_reason), fmt, ap);
	va_end(ap);
	cur_skipped = true;
}

bool tap_failed(void)
{
	return cur_failed;
}

bool tap_skipped(void)
{
	return cur_skipped;
}

const char *tap_name(void)
{
	return cur_name;
}

int tap_arg(void)
{
	return cur_arg;
}

static bool selected(const char *name, int argc, char **argv)
{
	int i;

	if (argc < 2)
		return true;
	for (i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return false;
}

static void run_one(const struct tap_test *t, void (*before)(void), void (*after)(void))
{
	cur_name = t->name;
	cur_arg = t->arg;
	cur_failed = false;
	cur_skipped = false;
	if (before)
		before();
	if (!cur_failed && !cur_skipped)
		t->run();
	if (after)
		after();
}

int tap_main(const struct tap_test *tests, size_t nr, int argc, char **argv,
	     void (*before)(void), void (*after)(void))
{
	size_t i, planned = 0, done = 0, bad = 0;

	for (i = 0; i < nr; i++)
		planned += selected(tests[i].name, argc, argv);
	printf("TAP version 13\n1..%zu\n", planned);
	fflush(stdout);

	for (i = 0; i < nr; i++) {
		if (!selected(tests[i].name, argc, argv))
			continue;
		run_one(&tests[i], before, after);
		done++;
		if (cur_failed)
			bad++;
		if (!cur_failed && cur_skipped)
			printf("ok %zu - %s # SKIP %s\n", done, tests[i].name, cur_reason);
		else
			printf("%s %zu - %s\n", cur_failed ? "not ok" : "ok", done,
			       tests[i].name);
		fflush(stdout);
	}
	return bad || !planned;
}
