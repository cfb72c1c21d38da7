// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: whatever is read, the program ends, with the same verdict for people
 * and for programs, which get JSON.
 */

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

static void require(bool true_thing)
{
	if (!true_thing)
		abort();
}

static enum dump_result judge(const u8 *data, size_t len, const struct dump_options *options,
			      char **text)
{
	FILE *in = len ? fmemopen((void *)data, len, "r") : fopen("/dev/null", "r");
	enum dump_result ret;
	size_t text_len;
	FILE *out;
	int error;

	out = open_memstream(text, &text_len);
	require(in && out);
	ret = dump(in, out, options, &error);
	require(ret != DUMP_ERROR);
	fclose(in);
	fclose(out);
	return ret;
}

/* One object, nothing behind it, and it says what the program returns */
static void check_json(const char *text, enum dump_result result)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *root, *verdict;
	const char *want = result == DUMP_FINE ? "fine" : "damaged";

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tokener, text, strlen(text) + 1);
	require(root && json_tokener_get_error(tokener) == json_tokener_success);
	require(json_object_object_get_ex(root, "verdict", &verdict));
	require(!strcmp(json_object_get_string(verdict), want));
	json_object_put(root);
	json_tokener_free(tokener);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct dump_options options = { .excerpt = DUMP_EXCERPT };
	enum dump_result result;
	char *text;

	result = judge(data, len, &options, &text);
	free(text);

	options.json = true;
	require(judge(data, len, &options, &text) == result);
	check_json(text, result);
	free(text);
	return 0;
}
