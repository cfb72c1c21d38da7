/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TOOLS_LINUX_STDDEF_H
#define TOOLS_LINUX_STDDEF_H

#include <stddef.h>

#endif /* TOOLS_LINUX_STDDEF_H */
