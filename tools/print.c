// SPDX-License-Identifier: GPL-2.0-only
/*
 * What both ways to print have in common.
 */

#include <ctype.h>
#include <string.h>

#include "print.h"

#define PRINT_CHARS_MAX	256

void print_hex(struct print *p, const char *name, u64 value, unsigned int digits)
{
	char text[2 + 16 + 1];

	snprintf(text, sizeof(text), "0x%0*llx", digits, value);
	print_text(p, name, text);
}

void print_chars(struct print *p, const char *name, const char *value, size_t len)
{
	char text[4 * PRINT_CHARS_MAX + 1], *to = text;
	size_t i;

	len = min_t(size_t, len, PRINT_CHARS_MAX);
	while (len && (!value[len - 1] || value[len - 1] == ' '))
		len--;

	for (i = 0; i < len; i++) {
		if (isascii(value[i]) && isprint(value[i]) && value[i] != '\\')
			*to++ = value[i];
		else
			to += sprintf(to, "\\x%02x", (u8)value[i]);
	}
	*to = '\0';
	print_text(p, name, text);
}

void print_uuid(struct print *p, const char *name, const u8 *uuid)
{
	char text[36 + 1], *to = text;
	unsigned int i;

	for (i = 0; i < 16; i++)
		to += sprintf(to, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      uuid[i]);
	print_text(p, name, text);
}
