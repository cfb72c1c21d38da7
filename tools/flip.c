// SPDX-License-Identifier: GPL-2.0-only
/*
 * For the tests: cut a file at every byte, then flip its every bit, and tell
 * what of that nvme-lm-dump takes for fine.
 *
 *	flip FILE
 *
 * prints a line "cut LENGTH" or "flip OFFSET BIT" for each, and at last how many
 * there were of both. Everything is done in memory.
 */

#include <stdlib.h>

#include "dump.h"

#define FILE_MAX	SZ_1M

static enum dump_result judge(const u8 *data, size_t len, FILE *out)
{
	static const struct dump_options options = { .json = true, .excerpt = DUMP_EXCERPT };
	/* none of no length can be opened */
	FILE *in = len ? fmemopen((void *)data, len, "r") : fopen("/dev/null", "r");
	enum dump_result ret = DUMP_ERROR;
	int error;

	if (in)
		ret = dump(in, out, &options, &error);
	if (!in || ret == DUMP_ERROR || ferror(out)) {
		fprintf(stderr, "flip: out of memory?\n");
		exit(DUMP_ERROR);
	}
	fclose(in);
	return ret;
}

int main(int argc, char **argv)
{
	static u8 data[FILE_MAX];
	FILE *in = argc == 2 ? fopen(argv[1], "r") : NULL, *out = fopen("/dev/null", "w");
	size_t i, len, bit;

	if (!in || !out)
		return DUMP_ERROR;
	len = fread(data, 1, sizeof(data), in);
	fclose(in);

	for (i = 0; i < len; i++)
		if (judge(data, i, out) == DUMP_FINE)
			printf("cut %zu\n", i);
	for (i = 0; i < 8 * len; i++) {
		bit = i % 8;
		data[i / 8] ^= 1 << bit;
		if (judge(data, len, out) == DUMP_FINE)
			printf("flip %zu %zu\n", i / 8, bit);
		data[i / 8] ^= 1 << bit;
	}
	printf("%zu cuts, %zu flips\n", len, 8 * len);
	fclose(out);
	return 0;
}
