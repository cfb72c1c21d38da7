/* SPDX-License-Identifier: GPL-2.0-only */
/* What every file of the kernel finds without asking for it, and its headers for user space lack */
#ifndef FUZZ_PRELUDE_H
#define FUZZ_PRELUDE_H

#include <errno.h>
#include <linux/align.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/types.h>

#define DIV_ROUND_UP_ULL(n, d)		DIV_ROUND_UP((unsigned long long)(n), d)
#define lower_32_bits(n)		((u32)(n))
#define upper_32_bits(n)		((u32)((n) >> 32))
#define EXPORT_SYMBOL_FOR_MODULES(sym, mods)	EXPORT_SYMBOL_IF_KUNIT(sym)
#define sizeof_field(type, member)	sizeof(((type *)0)->member)
#define struct_group(name, ...)	\
	union { struct { __VA_ARGS__ }; struct { __VA_ARGS__ } name; }

static inline size_t list_count_nodes(struct list_head *head)
{
	struct list_head *pos;
	size_t n = 0;

	list_for_each(pos, head)
		n++;
	return n;
}

#endif /* FUZZ_PRELUDE_H */
