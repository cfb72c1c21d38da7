/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_LINUX_CRC32_H
#define FUZZ_LINUX_CRC32_H

#include <linux/types.h>

u32 crc32c(u32 crc, const void *data, size_t len);

#endif /* FUZZ_LINUX_CRC32_H */
