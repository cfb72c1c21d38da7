/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Results of a test program in TAP, one line per test, details as "# " lines before it.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/types.h>

struct tap_test {
	const char *name;
	void (*run)(void);
	int arg;		/* for tests that share a function: tap_arg() */
};

/**
 * tap_main - run all tests, or those whose name contains one of the arguments
 * @tests: table of tests
 * @nr: number of entries in @tests
 * @argc: as main() got it
 * @argv: as main() got it
 * @before: called before each test, may skip or fail it; may be NULL
 * @after: called after each test, even a failed one, to check and clean up; may be NULL
 *
 * Return: exit code for main(): 0 if nothing failed.
 */
int tap_main(const struct tap_test *tests, size_t nr, int argc, char **argv,
	     void (*before)(void), void (*after)(void));

/* Print one detail line. */
void tap_note(const char *fmt, ...) __printf(1, 2);

/* Mark the running test as failed and print why; the test goes on. */
void tap_fail(const char *file, int line, const char *fmt, ...)
	__printf(3, 4);

/* Mark the running test as skipped; only counts if nothing failed. */
void tap_skip(const char *fmt, ...) __printf(1, 2);

/* Whether the running test has failed or was skipped so far. */
bool tap_failed(void);
bool tap_skipped(void);

/* Name and argument of the running test. */
const char *tap_name(void);
int tap_arg(void);

/* Fail with a message if the condition does not hold, and go on. Evaluates to the condition. */
#define EXPECT(cond, fmt, ...) \
	((cond) ? true : \
	 (tap_fail(__FILE__, __LINE__, "%s: " fmt, #cond, ##__VA_ARGS__), false))

/* Two integers must be equal; both are printed if they are not. */
#define EXPECT_EQ(got, want, fmt, ...) ({ \
	long long __got = (long long)(got), __want = (long long)(want); \
	bool __same = __got == __want; \
	if (!__same) \
		tap_fail(__FILE__, __LINE__, fmt ": %s is %lld (0x%llx), not %lld (0x%llx)", \
			 ##__VA_ARGS__, #got, __got, __got, __want, __want); \
	__same; })

#endif /* TESTS_TAP_H */
