// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver's files call in the kernel, and what the harnesses share.
 */

#include <linux/crc32.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uuid.h>
#include <linux/xarray.h>

#include "fuzz.h"
#include "refusal.h"

/* ---- input ---- */

u64 take(struct input *in, unsigned int bytes)
{
	u64 n = 0;

	take_bytes(in, &n, bytes);
	return n;
}

u64 take_below(struct input *in, u64 n)
{
	return take(in, n <= 0x100 ? 1 : n <= 0x10000 ? 2 : 8) % n;
}

u64 take_edge(struct input *in)
{
	u8 kind = take(in, 1);

	switch (kind % 8) {
	case 0:
		return take(in, 8);
	case 1:
		return take(in, 4);
	case 2:
		return take(in, 2);
	case 3:
		return 1ULL << kind / 8 * 2;
	case 4:
		return (1ULL << kind / 8 * 2) - 1;
	case 5:
		return ~0ULL - kind / 8;
	case 6:
		return ~0ULL << kind / 8 * 2;
	default:
		return kind / 8;
	}
}

void take_bytes(struct input *in, void *to, size_t len)
{
	size_t n = min(len, in->left);

	memset(to, 0, len);
	memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
}

void *take_buffer(struct input *in, size_t len)
{
	void *buf = malloc(len);

	require(buf);
	take_bytes(in, buf, len);
	return buf;
}

void *copy_buffer(const void *from, size_t len)
{
	void *buf = malloc(len);

	require(buf);
	memcpy(buf, from, len);
	return buf;
}

void check_refusal(const struct nvmevf_refusal *refusal)
{
	size_t len = strnlen(refusal->why, sizeof(refusal->why));

	require(len && len < sizeof(refusal->why) && !strchr(refusal->why, '\n'));
}

/* ---- memory ---- */

static int allocations_left = -1;
static bool failed;

void fail_allocation(int n)
{
	allocations_left = n;
}

bool allocation_failed(void)
{
	bool ret = failed;

	failed = false;
	return ret;
}

static bool fails(void)
{
	if (!allocations_left)
		failed = true;
	return allocations_left >= 0 && !allocations_left--;
}

void *kzalloc(size_t size, unsigned int gfp)
{
	(void)gfp;
	return fails() ? NULL : calloc(1, size);
}

void *kmemdup(const void *from, size_t size, unsigned int gfp)
{
	(void)gfp;
	return fails() ? NULL : copy_buffer(from, size);
}

void kfree(void *p)
{
	free(p);
}

/* ---- XArray ---- */

/* The first slot from @index on */
static size_t find_slot(const struct xarray *xa, unsigned long index)
{
	size_t low = 0, high = xa->nr, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (xa->slots[mid].index < index)
			low = mid + 1;
		else
			high = mid;
	}

	return low;
}

static bool has_slot(const struct xarray *xa, size_t n, unsigned long index)
{
	return n < xa->nr && xa->slots[n].index == index;
}

void *xa_load(struct xarray *xa, unsigned long index)
{
	size_t n = find_slot(xa, index);

	return has_slot(xa, n, index) ? xa->slots[n].entry : NULL;
}

static void *insert_slot(struct xarray *xa, size_t n, unsigned long index, void *entry)
{
	struct xa_slot *slots;

	if (fails())
		return ERR_PTR(-ENOMEM);

	slots = realloc(xa->slots, (xa->nr + 1) * sizeof(*slots));
	require(slots);
	memmove(&slots[n + 1], &slots[n], (xa->nr - n) * sizeof(*slots));
	slots[n] = (struct xa_slot){ index, entry };
	xa->slots = slots;
	xa->nr++;
	return NULL;
}

void *xa_store(struct xarray *xa, unsigned long index, void *entry, unsigned int gfp)
{
	size_t n = find_slot(xa, index);
	void *old;

	(void)gfp;
	if (!has_slot(xa, n, index))
		return entry ? insert_slot(xa, n, index, entry) : NULL;

	old = xa->slots[n].entry;
	xa->slots[n].entry = entry;
	if (!entry)
		memmove(&xa->slots[n], &xa->slots[n + 1], (--xa->nr - n) * sizeof(*xa->slots));
	return old;
}

void *xa_find_after(struct xarray *xa, unsigned long *index, unsigned long max,
		    unsigned int filter)
{
	size_t n;

	(void)filter;
	if (*index == ~0UL)
		return NULL;
	n = find_slot(xa, *index + 1);
	if (n == xa->nr || xa->slots[n].index > max)
		return NULL;

	*index = xa->slots[n].index;
	return xa->slots[n].entry;
}

void xa_destroy(struct xarray *xa)
{
	free(xa->slots);
	xa->slots = NULL;
	xa->nr = 0;
}

/* ---- the rest ---- */

const uuid_t uuid_null;

void *memchr_inv(const void *start, int c, size_t bytes)
{
	const u8 *p = start;

	for (; bytes; p++, bytes--)
		if (*p != (u8)c)
			return (void *)p;

	return NULL;
}

u32 crc32c(u32 crc, const void *data, size_t len)
{
	static u32 table[256];
	const u8 *p = data;
	u32 i, k;

	for (i = 0; i < 256 && !table[255]; i++)
		for (table[i] = i, k = 0; k < 8; k++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78 : 0);

	while (len--)
		crc = crc >> 8 ^ table[(u8)crc ^ *p++];
	return crc;
}

/* All bytes that a pointer leads to are read, even if not all of them fit; returns how many do */
static size_t format_bytes(char *buf, size_t size, const u8 *p, size_t len)
{
	char text[2048];
	size_t used = 0;

	require(len < sizeof(text) / 5);
	while (len--)
		used += sprintf(text + used, "\\x%02x", *p++);
	used = min(used, size - 1);
	memcpy(buf, text, used);
	return used;
}

static int take_int(const char *spec, va_list *args, int standard)
{
	return strchr(spec, '*') ? va_arg(*args, int) : standard;
}

/* One conversion of @spec; those of the kernel are %*pE and %pUb */
static size_t format_one(char *buf, size_t size, const char *spec, va_list *args)
{
	const char *kind = spec + strlen(spec) - 1;
	int width;

	if (strchr(spec, 'p')) {
		width = take_int(spec, args, 16);
		require(width >= 0);
		return format_bytes(buf, size, va_arg(*args, const u8 *), width);
	}
	if (*kind == 's')
		return snprintf(buf, size, spec, va_arg(*args, const char *));
	if (strstr(spec, "ll") || strchr(spec, 'z'))
		return snprintf(buf, size, spec, va_arg(*args, unsigned long long));
	return snprintf(buf, size, spec, va_arg(*args, unsigned int));
}

static size_t spec_len(const char *fmt)
{
	size_t len = 1 + strspn(fmt + 1, "#*0123456789lzh") + 1;

	if (fmt[len - 1] == 'p')
		len += strspn(fmt + len, "EUb");
	return len;
}

int vscnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	char spec[16];
	size_t used = 0, n;
	va_list rest;

	va_copy(rest, args);
	while (*fmt && used + 1 < size) {
		if (*fmt != '%') {
			buf[used++] = *fmt++;
			continue;
		}
		n = spec_len(fmt);
		require(n < sizeof(spec));
		memcpy(spec, fmt, n);
		spec[n] = 0;
		used += format_one(buf + used, size - used, spec, &rest);
		fmt += n;
	}
	va_end(rest);
	used = min(used, size - 1);
	buf[used] = 0;
	return used;
}

int scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vscnprintf(buf, size, fmt, args);
	va_end(args);
	return n;
}
