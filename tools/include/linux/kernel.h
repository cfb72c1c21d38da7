/* SPDX-License-Identifier: GPL-2.0-only */
/* What the driver's headers and the tools take from the kernel */
#ifndef TOOLS_LINUX_KERNEL_H
#define TOOLS_LINUX_KERNEL_H

#include <endian.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#define cpu_to_le32	htole32
#define le16_to_cpu	le16toh
#define le32_to_cpu	le32toh
#define le64_to_cpu(x)	((u64)le64toh(x))

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define min(a, b) ({ \
	__auto_type __a = (a); \
	__auto_type __b = (b); \
	__a < __b ? __a : __b; })

#define min_t(type, a, b)	min((type)(a), (type)(b))

#define max_t(type, a, b)	max((type)(a), (type)(b))

#define max(a, b) ({ \
	__auto_type __a = (a); \
	__auto_type __b = (b); \
	__a > __b ? __a : __b; })

#endif /* TOOLS_LINUX_KERNEL_H */
