/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The options of a test program that has groups of tests:
 * PROGRAM --group NAME [--on DEVICES] [--keep DIR] [TEXT...]
 */
#ifndef TESTS_OPTIONS_H
#define TESTS_OPTIONS_H

#include <stdbool.h>

struct options {
	const char *group;	/* whose tests are run */
	const char *on;		/* the devices they run on, with commas between */
	const char *keep;	/* the folder for everything that they keep */
};

extern struct options options;

/*
 * Sets them from the arguments; a mistake ends the program. Returns how many arguments that were:
 * the rest, TEXTs, is for tap_main().
 */
int options_parse(int argc, char **argv);

/* Whether the tests run on this device. */
bool options_on(const char *device);

/* There is no such group or device. */
void options_unknown(const char *what, const char *name);

#endif /* TESTS_OPTIONS_H */
