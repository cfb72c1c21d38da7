/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TOOLS_LINUX_COMPILER_H
#define TOOLS_LINUX_COMPILER_H

#undef __packed
#define __packed	__attribute__((__packed__))
#undef __noreturn
#define __noreturn	__attribute__((__noreturn__))
#undef __printf
#define __printf(a, b)	__attribute__((__format__(printf, a, b)))

#endif /* TOOLS_LINUX_COMPILER_H */
