/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_LINUX_BSEARCH_H
#define FUZZ_LINUX_BSEARCH_H

#include <stdlib.h>

#endif /* FUZZ_LINUX_BSEARCH_H */
