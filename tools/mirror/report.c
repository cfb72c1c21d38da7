// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the program says, and why it fails.
 */

#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "report.h"

static bool json;
static char reason[512];
static enum mirror_exit reason_code;
static atomic_bool signalled;

void report_json(void)
{
	json = true;
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static void print_human(const char *text)
{
	if (*text)
		fprintf(stderr, "nvme-lm-mirror: %s\n", text);
}

static struct json_object *new_event(const char *event, const char *text)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "event", json_object_new_string(event));
	if (*text)
		json_object_object_add(o, "text", json_object_new_string(text));
	return o;
}

static void print_event(struct json_object *o)
{
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

void report(const char *event, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	print_human(text);
	if (json)
		print_event(new_event(event, text));
}

void report_numbers(const char *event, const char *text, ...)
{
	struct json_object *o;
	const char *name;
	va_list args;

	print_human(text);
	if (!json)
		return;

	o = new_event(event, text);
	va_start(args, text);
	while ((name = va_arg(args, const char *)))
		json_object_object_add(o, name, json_object_new_int64(va_arg(args, u64)));
	va_end(args);
	print_event(o);
}

int fail(enum mirror_exit code, const char *fmt, ...)
{
	va_list args;

	if (reason_code)
		return -EPERM;

	reason_code = code;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return -EPERM;
}

const char *fail_reason(void)
{
	return reason_code ? reason : NULL;
}

enum mirror_exit fail_code(void)
{
	return reason_code;
}

static void on_signal(int sig)
{
	signalled = sig;
}

bool interrupted(void)
{
	return signalled;
}

void catch_signals(void)
{
	/* without SA_RESTART: what waits is to notice */
	struct sigaction catch = { .sa_handler = on_signal };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGINT, &catch, NULL);
	sigaction(SIGTERM, &catch, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

const char *bytes_text(u64 bytes, char text[static 32])
{
	static const char units[] = "KMGTPE";
	double value = bytes;
	int unit = -1;

	while (value >= 1024 && unit < 5) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text, 32, "%llu bytes", (unsigned long long)bytes);
	else
		snprintf(text, 32, "%.1f %ciB", value, units[unit]);
	return text;
}
