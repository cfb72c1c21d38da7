// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is read, from a file or a pipe.
 */

#include <errno.h>
#include <string.h>

#include "input.h"

static size_t input_get(struct input *in, void *buf, size_t len)
{
	size_t got = in->error ? 0 : fread(buf, 1, len, in->file);

	if (got < len && ferror(in->file) && !in->error)
		in->error = errno ?: EIO;
	return got;
}

size_t input_peek(struct input *in, const u8 **p)
{
	in->ahead_len = input_get(in, in->ahead, sizeof(in->ahead));
	*p = in->ahead;
	return in->ahead_len;
}

size_t input_read(struct input *in, void *buf, size_t len)
{
	size_t got = min(len, in->ahead_len - in->ahead_at);

	memcpy(buf, in->ahead + in->ahead_at, got);
	in->ahead_at += got;
	if (got < len)
		got += input_get(in, (u8 *)buf + got, len - got);
	in->offset += got;
	return got;
}
