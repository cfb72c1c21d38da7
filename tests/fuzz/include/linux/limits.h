/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_LINUX_LIMITS_H
#define FUZZ_LINUX_LIMITS_H

#define U8_MAX		((u8)~0U)
#define U16_MAX		((u16)~0U)
#define U32_MAX		((u32)~0U)
#define U64_MAX		((u64)~0ULL)

#endif /* FUZZ_LINUX_LIMITS_H */
