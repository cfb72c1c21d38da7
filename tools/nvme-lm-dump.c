// SPDX-License-Identifier: GPL-2.0-only
/*
 * nvme-lm-dump: show what is in a saved device stream of nvme-vfio-pci, or in
 * the state of an NVMe controller, and say what is wrong with it.
 */

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dump.h"

static void print_help(FILE *out)
{
	fprintf(out,
		"usage: nvme-lm-dump [-j] [-f stream|state] [-x BYTES] [FILE]\n"
		"\n"
		"Shows what is in a device stream of nvme-vfio-pci or in the state of an NVMe\n"
		"controller, and what is wrong with it. Without FILE: the standard input.\n"
		"\n"
		"  -j, --json           print one JSON object\n"
		"  -f, --format=FORMAT  it is a stream, or a (controller) state: do not guess\n"
		"  -x, --hex=BYTES      show so many bytes of what is not known (%u; at most %u)\n"
		"  -h, --help           this text\n"
		"\n"
		"Exit codes: 0 nothing is wrong, 1 damaged, 2 usage or error of input or output\n",
		DUMP_EXCERPT, DUMP_EXCERPT_MAX);
}

static void __noreturn wrong_usage(void)
{
	print_help(stderr);
	exit(DUMP_ERROR);
}

static enum dump_format parse_format(const char *text)
{
	if (!strcmp(text, "stream"))
		return DUMP_STREAM;
	if (!strcmp(text, "state"))
		return DUMP_STATE;
	wrong_usage();
}

static size_t parse_excerpt(const char *text)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 0);
	if (errno || *end || end == text || *text == '-' || n > DUMP_EXCERPT_MAX)
		wrong_usage();
	return n;
}

static const char *parse_arguments(struct dump_options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "format", required_argument, NULL, 'f' },
		{ "hex", required_argument, NULL, 'x' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "jf:x:h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			o->json = true;
			break;
		case 'f':
			o->format = parse_format(optarg);
			break;
		case 'x':
			o->excerpt = parse_excerpt(optarg);
			break;
		case 'h':
			print_help(stdout);
			exit(0);
		default:
			wrong_usage();
		}
	}

	if (argc - optind > 1)
		wrong_usage();
	return optind < argc && strcmp(argv[optind], "-") ? argv[optind] : NULL;
}

static int fail(const char *name, int error)
{
	fprintf(stderr, "nvme-lm-dump: %s: %s\n", name, strerror(error));
	return DUMP_ERROR;
}

int main(int argc, char **argv)
{
	struct dump_options options = { .excerpt = DUMP_EXCERPT };
	const char *name = parse_arguments(&options, argc, argv);
	enum dump_result ret;
	FILE *in = stdin;
	int error;

	if (!name && isatty(STDIN_FILENO))
		wrong_usage();
	if (name)
		in = fopen(name, "re");
	if (!in)
		return fail(name, errno);

	ret = dump(in, stdout, &options, &error);
	if (ret == DUMP_ERROR)
		fail(name ?: "standard input", error);
	if (fflush(stdout) || ferror(stdout))
		return fail("standard output", errno);
	return ret;
}
