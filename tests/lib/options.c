// SPDX-License-Identifier: GPL-2.0-only
/*
 * The options of a test program.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

struct options options = { .on = "" };

int options_parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "group", required_argument, NULL, 'g' },
		{ "on", required_argument, NULL, 'o' },
		{ "keep", required_argument, NULL, 'k' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'g')
			options.group = optarg;
		else if (c == 'o')
			options.on = optarg;
		else if (c == 'k')
			options.keep = optarg;
		else
			exit(2);
	}
	if (!options.group) {
		fprintf(stderr, "usage: %s --group NAME [--on DEVICES] [--keep DIR] [TEXT...]\n",
			argv[0]);
		exit(2);
	}
	return optind - 1;
}

bool options_on(const char *device)
{
	size_t len = strlen(device);
	const char *p;

	for (p = options.on; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == len && !strncmp(p, device, len))
			return true;
	return false;
}

void options_unknown(const char *what, const char *name)
{
	fprintf(stderr, "there is no %s '%s'\n", what, name);
	exit(2);
}
