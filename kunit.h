/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the KUnit tests: a VF and its HELLO.
 */

#ifndef NVMEVF_KUNIT_H
#define NVMEVF_KUNIT_H

#include <kunit/test.h>

#include "lm.h"

#define HELLO_LEN	392

/* Bits of HELLO's payload, counted from bit 0 of the first byte */
#define HELLO_BITS	(HELLO_LEN * 8)

void nvmevf_test_put_hello(u8 *bytes, u64 state_len);
struct nvmevf_lm *nvmevf_test_lm(struct kunit *test);
int nvmevf_test_hello_flip(unsigned int bit, bool set);

#endif /* NVMEVF_KUNIT_H */
