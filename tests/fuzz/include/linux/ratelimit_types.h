/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_LINUX_RATELIMIT_TYPES_H
#define FUZZ_LINUX_RATELIMIT_TYPES_H

struct ratelimit_state {
	int missed;
};

#endif /* FUZZ_LINUX_RATELIMIT_TYPES_H */
