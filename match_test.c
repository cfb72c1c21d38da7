// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of match.c: which VF can take over the state of which other VF. Offsets,
 * values and messages are literals here; none comes from the driver's own definitions.
 */

#include <linux/nvme.h>
#include <linux/unaligned.h>

#include "kunit.h"
#include "match.h"
#include "stream.h"

#define FORMAT		0xa5	/* each byte of the UUID of the vendor specific part */

/* MPSMAX 4, MPSMIN 1, CSS 41h, NSSRS 1, DSTRD 2, TO 15, AMS 1, CQR 1, MQES 7ffh */
#define CAP		0x084108320f0307ffULL

/**
 * nvmevf_test_put_hello - fill in HELLO of the VF under test
 * @bytes: HELLO_LEN bytes
 * @state_len: bytes of controller state
 */
void nvmevf_test_put_hello(u8 *bytes, u64 state_len)
{
	memset(bytes, 0, HELLO_LEN);
	memcpy(bytes, "\x89NVMVFLM", 8);
	put_unaligned_le16(1, bytes + 8);
	bytes[10] = 1;
	put_unaligned_le16(0, bytes + 12);
	put_unaligned_le16(0x0105, bytes + 14);
	put_unaligned_le64(state_len, bytes + 16);
	memset(bytes + 24, FORMAT, 16);
	put_unaligned_le64(CAP, bytes + 40);
	put_unaligned_le32(0x00010400, bytes + 48);
	put_unaligned_le16(0x0104, bytes + 52);
	put_unaligned_le16(0x0106, bytes + 54);
	put_unaligned_le16(0x1b36, bytes + 56);
	put_unaligned_le16(0x1af4, bytes + 58);
	put_unaligned_le16(0x0157, bytes + 60);
	bytes[62] = 5;
	bytes[63] = 3;
	put_unaligned_le32(0x00100001, bytes + 64);
	memcpy(bytes + 72, "SN-0123456789abcdefg", 20);
	memcpy(bytes + 92, "A model of forty characters, not one mor", 40);
	strscpy(bytes + 132, "nqn.2014-08.org.nvmexpress:a", 256);
}

/**
 * nvmevf_test_lm - allocate the VF to load a stream into
 * @test: owns it
 *
 * Return: a VF that accepts the HELLO of nvmevf_test_put_hello(), with format 2.
 */
struct nvmevf_lm *nvmevf_test_lm(struct kunit *test)
{
	struct nvmevf_lm_ops *ops = kunit_kzalloc(test, sizeof(*ops), GFP_KERNEL);
	struct nvmevf_lm *lm = kunit_kzalloc(test, sizeof(*lm), GFP_KERNEL);
	uuid_t *uuids = kunit_kzalloc(test, 2 * sizeof(*uuids), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ops);
	KUNIT_ASSERT_NOT_NULL(test, lm);
	KUNIT_ASSERT_NOT_NULL(test, uuids);

	ops->name = "own set";
	memset(&uuids[0], 0x11, sizeof(*uuids));
	memset(&uuids[1], FORMAT, sizeof(*uuids));
	lm->ops = ops;
	lm->uuids = uuids;
	lm->nuuid = 2;
	lm->csvi = 1;
	lm->csuuidi = 1;
	nvmevf_test_put_hello((u8 *)&lm->hello, 0);
	nvmevf_test_put_hello((u8 *)&lm->pf_hello, 0);
	return lm;
}

/* Error for a wrong bit in a field: if it is set wrongly, if it is cleared wrongly */
static const struct {
	unsigned int bits;
	int set;
	int cleared;
} hello_fields[] = {
	{ 64, -EINVAL, -EINVAL },			/* magic */
	{ 16, -EPROTONOSUPPORT, -EPROTONOSUPPORT },	/* version */
	{ 8, -EOPNOTSUPP, -EOPNOTSUPP },		/* cmdset */
	{ 8, 0, 0 },					/* ident */
	{ 16, -EOPNOTSUPP, -EOPNOTSUPP },		/* state_ver */
	{ 16, -ERANGE, -ERANGE },			/* msix */
	{ 64, -EPROTO, -EPROTO },			/* state_len */
	{ 128, -EOPNOTSUPP, -EOPNOTSUPP },		/* uuid */
	{ 16, -ERANGE, 0 },				/* CAP.MQES */
	{ 1, 0, -ERANGE },				/* CAP.CQR */
	{ 2, -ERANGE, 0 },				/* CAP.AMS */
	{ 5, 0, 0 },					/* reserved */
	{ 8, 0, 0 },					/* CAP.TO */
	{ 4, -ERANGE, -ERANGE },			/* CAP.DSTRD */
	{ 1, 0, 0 },					/* CAP.NSSRS */
	{ 8, -ERANGE, 0 },				/* CAP.CSS */
	{ 3, 0, 0 },					/* CAP.BPS, CPS */
	{ 4, 0, -ERANGE },				/* CAP.MPSMIN */
	{ 4, -ERANGE, 0 },				/* CAP.MPSMAX */
	{ 8, 0, 0 },					/* CAP.PMRS to NSSES, reserved */
	{ 32, 0, 0 },					/* vs */
	{ 16, 0, 0 },					/* nvq: part of the state */
	{ 16, 0, 0 },					/* nvi: msix decides */
	{ 16, -EXDEV, -EXDEV },				/* vid */
	{ 16, -EXDEV, -EXDEV },				/* ssvid */
	{ 16, -ERANGE, 0 },				/* oncs */
	{ 8, -ERANGE, 0 },				/* mdts */
	{ 8, 0, 0 },					/* aerl: part of the state */
	{ 1, 0, 0 },					/* SGLS: supported at all */
	{ 1, -ERANGE, 0 },				/* SGLS: how */
	{ 6, -ERANGE, 0 },				/* SGLS: KSDBDS, reserved */
	{ 8, 0, 0 },					/* SGLS.SDT */
	{ 16, -ERANGE, 0 },				/* SGLS: features, reserved */
	{ 32, 0, 0 },					/* reserved */
	{ 160, -EXDEV, -EXDEV },			/* sn */
	{ 320, -EXDEV, -EXDEV },			/* mn */
	{ 232, -EXDEV, -EXDEV },			/* subnqn, with its NUL */
	{ 1816, 0, 0 },					/* after it */
	{ 32, 0, 0 },					/* reserved */
};

/**
 * nvmevf_test_hello_flip - expected error for a HELLO with one wrong bit
 * @bit: the bit, below HELLO_BITS
 * @set: whether it is set wrongly
 *
 * A wrong state_len is detected in HELLO itself or in the records after it.
 *
 * Return: the errno, or 0 if only the checksum shows it.
 */
int nvmevf_test_hello_flip(unsigned int bit, bool set)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hello_fields); i++) {
		if (bit < hello_fields[i].bits)
			return set ? hello_fields[i].set : hello_fields[i].cleared;
		bit -= hello_fields[i].bits;
	}

	return -ENOENT;
}

/* A stream whose HELLO has just arrived */
static struct nvmevf_stream *new_stream(struct kunit *test)
{
	struct nvmevf_stream *st = kunit_kzalloc(test, sizeof(*st), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, st);
	st->stage = NVMEVF_STAGE_CHECK;
	st->size = 4096;
	nvmevf_test_put_hello(st->head, 104);
	return st;
}

static int check_hello(struct nvmevf_stream *st, struct nvmevf_lm *lm)
{
	return nvmevf_hello_check(&st->refusal, (const void *)st->head, st->size, lm);
}

static void test_same(struct kunit *test)
{
	struct nvmevf_stream *st = new_stream(test);
	struct nvmevf_lm *lm = nvmevf_test_lm(test);

	KUNIT_EXPECT_EQ(test, check_hello(st, lm), 0);
	KUNIT_EXPECT_STREQ(test, st->refusal.why, "");
	KUNIT_EXPECT_EQ(test, lm->load_csuuidi, 2);
	/* the formats for a save do not change */
	KUNIT_EXPECT_EQ(test, lm->csuuidi, 1);
}

/* Magic and version are checked in stream.c, not by this function */
#define FIRST_BIT	(10 * 8)
#define STATE_LEN_BIT	(16 * 8)

static void test_bits(struct kunit *test)
{
	struct nvmevf_stream *st = new_stream(test);
	struct nvmevf_lm *lm = nvmevf_test_lm(test);
	unsigned int bit;
	int want;
	u8 mask;

	for (bit = FIRST_BIT; bit < HELLO_BITS; bit++) {
		if (bit >= STATE_LEN_BIT && bit < STATE_LEN_BIT + 64)
			continue;
		mask = 1 << bit % 8;
		st->head[bit / 8] ^= mask;
		want = nvmevf_test_hello_flip(bit, st->head[bit / 8] & mask);
		KUNIT_EXPECT_EQ_MSG(test, check_hello(st, lm), want, "byte %u bit %u",
				    bit / 8, bit % 8);
		KUNIT_EXPECT_EQ_MSG(test, !!st->refusal.why[0], !!want, "byte %u bit %u",
				    bit / 8, bit % 8);
		st->refusal.why[0] = 0;
		st->head[bit / 8] ^= mask;
	}
}

struct value_case {
	const char *name;
	unsigned int at;	/* byte of HELLO */
	unsigned int bytes;
	u64 in;
	u64 own;
	int err;
	const char *why;
};

static const struct value_case value_cases[] = {
	{ "cmdset", 10, 1, 2, 1, -EOPNOTSUPP, "command set 2, here 1 (own set)" },
	{ "cmdset the other way", 10, 1, 1, 2, -EOPNOTSUPP, "command set 1, here 2 (own set)" },
	{ "no cmdset", 10, 1, 0, 1, -EOPNOTSUPP, "command set 0, here 1 (own set)" },

	{ "msix less", 14, 2, 8, 9, -ERANGE, "8 MSI-X vectors, here 9" },
	{ "msix equal", 14, 2, 0x0800, 0x0800 },
	{ "msix more", 14, 2, 0x0800, 0x0101, -ERANGE, "2048 MSI-X vectors, here 257" },

	{ "no CAP", 40, 8, 0, CAP, -ERANGE, "CAP 0x0, here 0x84108320f0307ff" },
	{ "no CAP here", 40, 8, CAP, 0, -ERANGE, "CAP 0x84108320f0307ff, here 0x0" },
	{ "no CAP at all", 40, 8, 0, 0, -ERANGE, "CAP 0x0, here 0x0" },

	{ "vs less", 48, 4, 0x00010300, 0x00010400 },
	{ "vs more", 48, 4, 0x00020000, 0x00010400 },

	{ "nvq less", 52, 2, 0x00ff, 0x0100 },
	{ "nvq more", 52, 2, 0x0101, 0x0100 },

	{ "nvi more", 54, 2, 2, 1 },
	{ "nvi less", 54, 2, 1, 2 },

	{ "vid", 56, 2, 0x8086, 0x1b36, -EXDEV, "vendor 8086:1af4, here 1b36:1af4" },
	{ "ssvid", 58, 2, 0x0001, 0x1af4, -EXDEV, "vendor 1b36:0001, here 1b36:1af4" },

	{ "oncs less", 60, 2, 0x0001, 0x8001 },
	{ "oncs equal", 60, 2, 0x8001, 0x8001 },
	{ "oncs more", 60, 2, 0x8001, 0x0001, -ERANGE, "ONCS 0x8001, here 0x1" },
	{ "oncs other", 60, 2, 0x0001, 0x8000, -ERANGE, "ONCS 0x1, here 0x8000" },

	{ "mdts less", 62, 1, 5, 6 },
	{ "mdts equal", 62, 1, 6, 6 },
	{ "mdts more", 62, 1, 7, 6, -ERANGE, "MDTS 7, here 6" },
	{ "mdts without limit", 62, 1, 0, 6, -ERANGE, "MDTS 0, here 6" },
	{ "mdts without limit here", 62, 1, 6, 0 },
	{ "mdts without any limit", 62, 1, 0, 0 },

	{ "aerl less", 63, 1, 3, 4 },
	{ "aerl more", 63, 1, 5, 4 },

	{ "sgls less", 64, 4, 1, 0x00100001 },
	{ "sgls equal", 64, 4, 1, 1 },
	{ "sgls more", 64, 4, 0x00100001, 1, -ERANGE, "SGLS 0x100001, here 0x1" },
	{ "sgls none", 64, 4, 0, 0x00100001 },
	{ "sgls none here", 64, 4, 1, 0, -ERANGE, "SGLS 0x1, here 0x0" },
	{ "sgls none at all", 64, 4, 0, 0 },
	{ "sgls dwords", 64, 4, 2, 2 },
	{ "sgls dwords, any here", 64, 4, 2, 1 },
	{ "sgls any, dwords here", 64, 4, 1, 2, -ERANGE, "SGLS 0x1, here 0x2" },
	{ "sgls dwords, none here", 64, 4, 2, 0, -ERANGE, "SGLS 0x2, here 0x0" },
	{ "sgls reserved", 64, 4, 3, 1, -ERANGE, "SGLS 0x3, here 0x1" },
	{ "sgls keyed", 64, 4, 5, 1, -ERANGE, "SGLS 0x5, here 0x1" },
	{ "sgls descriptors less", 64, 4, 0x0101, 0xff01 },
	{ "sgls descriptors more", 64, 4, 0xff01, 0x0101 },
};

KUNIT_ARRAY_PARAM_DESC(value, value_cases, name);

static void put_value(u8 *to, unsigned int bytes, u64 value)
{
	for (; bytes; bytes--, value >>= 8)
		*to++ = value;
}

static void check(struct kunit *test, struct nvmevf_stream *st, struct nvmevf_lm *lm, int err,
		  const char *why)
{
	KUNIT_EXPECT_EQ(test, check_hello(st, lm), err);
	KUNIT_EXPECT_STREQ(test, st->refusal.why, why ?: "");
}

static void test_value(struct kunit *test)
{
	const struct value_case *c = test->param_value;
	struct nvmevf_stream *st = new_stream(test);
	struct nvmevf_lm *lm = nvmevf_test_lm(test);

	put_value(st->head + c->at, c->bytes, c->in);
	put_value((u8 *)&lm->hello + c->at, c->bytes, c->own);
	check(test, st, lm, c->err, c->why);
}

struct cap_case {
	const char *name;
	unsigned int shift;
	unsigned int bits;
	u64 in;
	u64 own;
	const char *why;
};

static const struct cap_case cap_cases[] = {
	{ "MQES less", 0, 16, 0x00ff, 0x0100 },
	{ "MQES equal", 0, 16, 0xffff, 0xffff },
	{ "MQES more", 0, 16, 0x0100, 0x00ff, "CAP.MQES 256, here 255" },
	{ "CQR less", 16, 1, 0, 1, "CAP.CQR 0, here 1" },
	{ "CQR equal", 16, 1, 0, 0 },
	{ "CQR more", 16, 1, 1, 0 },
	{ "AMS less", 17, 2, 1, 3 },
	{ "AMS equal", 17, 2, 2, 2 },
	{ "AMS more", 17, 2, 3, 1, "CAP.AMS 3, here 1" },
	{ "AMS other", 17, 2, 1, 2, "CAP.AMS 1, here 2" },
	{ "TO less", 24, 8, 1, 255 },
	{ "TO more", 24, 8, 255, 1 },
	{ "DSTRD less", 32, 4, 1, 8, "CAP.DSTRD 1, here 8" },
	{ "DSTRD equal", 32, 4, 8, 8 },
	{ "DSTRD more", 32, 4, 8, 1, "CAP.DSTRD 8, here 1" },
	{ "NSSRS less", 36, 1, 0, 1 },
	{ "NSSRS more", 36, 1, 1, 0 },
	{ "CSS less", 37, 8, 0x01, 0x81 },
	{ "CSS equal", 37, 8, 0x81, 0x81 },
	{ "CSS more", 37, 8, 0x81, 0x01, "CAP.CSS 0x81, here 0x1" },
	{ "CSS other", 37, 8, 0x01, 0x80, "CAP.CSS 0x1, here 0x80" },
	{ "MPSMIN less", 48, 4, 0, 1, "CAP.MPSMIN..MPSMAX 0..4, here 1..4" },
	{ "MPSMIN equal", 48, 4, 4, 4 },
	{ "MPSMIN more", 48, 4, 2, 1 },
	{ "MPSMAX less", 52, 4, 4, 15 },
	{ "MPSMAX equal", 52, 4, 15, 15 },
	{ "MPSMAX more", 52, 4, 15, 4, "CAP.MPSMIN..MPSMAX 1..15, here 1..4" },
	{ "the rest less", 56, 8, 1, 0xff },
	{ "the rest more", 56, 8, 0xff, 1 },
};

KUNIT_ARRAY_PARAM_DESC(cap, cap_cases, name);

static u64 cap_with(const struct cap_case *c, u64 value)
{
	u64 mask = ((1ULL << c->bits) - 1) << c->shift;

	return (CAP & ~mask) | value << c->shift;
}

static void test_cap(struct kunit *test)
{
	const struct cap_case *c = test->param_value;
	struct nvmevf_stream *st = new_stream(test);
	struct nvmevf_lm *lm = nvmevf_test_lm(test);

	put_unaligned_le64(cap_with(c, c->in), st->head + 40);
	put_unaligned_le64(cap_with(c, c->own), (u8 *)&lm->hello + 40);
	check(test, st, lm, c->why ? -ERANGE : 0, c->why);
}

static void test_names(struct kunit *test)
{
	struct nvmevf_lm *lm = nvmevf_test_lm(test);
	struct nvmevf_stream *st;

	st = new_stream(test);
	st->head[72 + 19] = 0x01;
	check(test, st, lm, -EXDEV,
	      "serial number SN-0123456789abcdef\\001, here SN-0123456789abcdefg");

	st = new_stream(test);
	st->head[92 + 39] = 'X';
	check(test, st, lm, -EXDEV,
	      "model A model of forty characters, not one moX, here A model of forty characters, not one mor");

	st = new_stream(test);
	memcpy(st->head + 132, "nqn.2014-08.org.nvmexpress:bc", 29);
	check(test, st, lm, -EXDEV,
	      "subsystem nqn.2014-08.org.nvmexpress:bc, here nqn.2014-08.org.nvmexpress:a");

	/* after the NUL, where a device may have anything */
	st = new_stream(test);
	memset(st->head + 132 + 29, 0xee, 256 - 29);
	memset(lm->hello.subnqn + 29, 0x77, 256 - 29);
	check(test, st, lm, 0, NULL);
	memset(st->head + 132, 0, 1);
	check(test, st, lm, -EXDEV, "subsystem , here nqn.2014-08.org.nvmexpress:a");

	/* not NUL terminated, and different in the last byte only */
	st = new_stream(test);
	memset(st->head + 132, 'n', 256);
	memset(lm->hello.subnqn, 'n', 256);
	st->head[132 + 255] = 'm';
	KUNIT_EXPECT_EQ(test, check_hello(st, lm), -EXDEV);
	st->head[132 + 255] = 'n';
	KUNIT_EXPECT_EQ(test, check_hello(st, lm), 0);
}

/* SN and MN, padded in one way and in the other */
static void test_padding(struct kunit *test)
{
	static const struct {
		char in[21];
		char own[21];
		const char *why;
	} cases[] = {
		{ "SN1                 ", "SN1                 " },
		{ "SN1                 ", "SN1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" },
		{ "SN1 \0 \0             ", "SN1                 " },
		{ "                    ", "\0\0\0\0" },
		{ " SN1                ", "SN1                 ", "serial number  SN1, here SN1" },
		{ "SN1 1               ", "SN1                 ", "serial number SN1 1, here SN1" },
		{ "SN1\0X", "SN1", "serial number SN1\\0X, here SN1" },
		{ "SN1", "SN2", "serial number SN1, here SN2" },
		{ "", "SN1", "serial number , here SN1" },
	};
	struct nvmevf_stream *st;
	struct nvmevf_lm *lm = nvmevf_test_lm(test);
	const char *why;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		st = new_stream(test);
		memcpy(st->head + 72, cases[i].in, 20);
		memcpy(lm->hello.sn, cases[i].own, 20);
		why = cases[i].why;
		check(test, st, lm, why ? -EXDEV : 0, why);
	}
	memcpy(lm->hello.sn, "SN-0123456789abcdefg", 20);
	st = new_stream(test);
	memcpy(st->head + 92, "A model\0                                ", 40);
	memcpy(lm->hello.mn, "A model                                 ", 40);
	check(test, st, lm, 0, NULL);
	lm->hello.mn[39] = 'X';
	check(test, st, lm, -EXDEV, "model A model, here A model                                X");
}

/* If there are several reasons, one is reported: format, then identity, then limits */
static void test_order(struct kunit *test)
{
	struct nvmevf_stream *st = new_stream(test);
	struct nvmevf_lm *lm = nvmevf_test_lm(test);

	put_unaligned_le64(CAP + 1, st->head + 40);
	check(test, st, lm, -ERANGE, "CAP.MQES 2048, here 2047");
	st->head[62] = 6;
	check(test, st, lm, -ERANGE, "MDTS 6, here 5");
	put_unaligned_le16(0x8086, st->head + 56);
	check(test, st, lm, -EXDEV, "vendor 8086:1af4, here 1b36:1af4");
	put_unaligned_le64(47, st->head + 16);
	check(test, st, lm, -EPROTO, "invalid length of the state: 47 bytes");
	put_unaligned_le16(0x0102, st->head + 12);
	check(test, st, lm, -EOPNOTSUPP,
	      "state version 0x102 with UUID a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5 is not supported here");
	st->head[10] = 2;
	check(test, st, lm, -EOPNOTSUPP, "command set 2, here 1 (own set)");
}

struct len_case {
	const char *name;
	u8 cmdset;
	u64 len;
	int err;
	const char *why;
};

/* One transfer is 4096 bytes; TP4159 is 1 and has a head of 48 bytes, the vendor set is 2 */
static const struct len_case len_cases[] = {
	{ "nothing", 1, 0, -EPROTO, "invalid length of the state: 0 bytes" },
	{ "half a head", 1, 24, -EPROTO, "invalid length of the state: 24 bytes" },
	{ "less than the head", 1, 44, -EPROTO, "invalid length of the state: 44 bytes" },
	{ "just less than the head", 1, 47, -EPROTO, "invalid length of the state: 47 bytes" },
	{ "the head", 1, 48 },
	{ "one byte more", 1, 49, -EPROTO, "invalid length of the state: 49 bytes" },
	{ "two bytes more", 1, 50, -EPROTO, "invalid length of the state: 50 bytes" },
	{ "three bytes more", 1, 51, -EPROTO, "invalid length of the state: 51 bytes" },
	{ "one dword more", 1, 52 },
	{ "one transfer", 1, 4096 },
	{ "more than one transfer", 1, 4100 },
	{ "beyond 4 GiB", 1, 0x100000000 },
	{ "largest", 1, 0xfffffffffffffffc },
	{ "all ones", 1, U64_MAX, -EPROTO,
	  "invalid length of the state: 18446744073709551615 bytes" },
	{ "vendor set: nothing", 2, 0, -EPROTO, "invalid length of the state: 0 bytes" },
	{ "vendor set: one byte", 2, 1 },
	{ "vendor set: just less than one transfer", 2, 4095 },
	{ "vendor set: one transfer", 2, 4096 },
	{ "vendor set: one byte more", 2, 4097, -EFBIG,
	  "state of 4097 bytes exceeds one transfer of 4096 bytes here" },
	{ "vendor set: beyond 4 GiB", 2, 0x100000000, -EFBIG,
	  "state of 4294967296 bytes exceeds one transfer of 4096 bytes here" },
	{ "vendor set: all ones", 2, U64_MAX, -EFBIG,
	  "state of 18446744073709551615 bytes exceeds one transfer of 4096 bytes here" },
};

KUNIT_ARRAY_PARAM_DESC(len, len_cases, name);

static void test_len(struct kunit *test)
{
	const struct len_case *c = test->param_value;
	struct nvmevf_stream *st = new_stream(test);
	struct nvmevf_lm *lm = nvmevf_test_lm(test);

	put_unaligned_le64(c->len, st->head + 16);
	st->head[10] = c->cmdset;
	((u8 *)&lm->hello)[10] = c->cmdset;
	check(test, st, lm, c->err, c->why);
}

#define NONE	0xffff

struct format_case {
	const char *name;
	u8 listed[3];		/* each byte of the UUIDs that the device lists */
	u8 nuuid;
	u8 csuuidi;
	u8 in;			/* each byte of the stream's */
	u16 own_ver;
	u16 in_ver;
	bool known;
	u8 load_csuuidi;
};

static const struct format_case format_cases[] = {
	{ "only one", { 0xaa }, 1, 1, 0xaa, 0, 0, true, 1 },
	{ "second", { 0xbb, 0xaa }, 2, 1, 0xaa, 0, 0, true, 2 },
	{ "last", { 0xbb, 0xcc, 0xaa }, 3, 1, 0xaa, 0, 0, true, 3 },
	{ "twice", { 0xbb, 0xaa, 0xaa }, 3, 1, 0xaa, 0, 0, true, 2 },
	{ "not listed", { 0xbb, 0xcc, 0xdd }, 3, 1, 0xaa, 0, 0, false },
	{ "behind the list", { 0xbb, 0xcc, 0xaa }, 2, 1, 0xaa, 0, 0, false },
	{ "nothing listed", { 0xaa }, 0, 0, 0xaa, 0, 0, false },
	{ "behind a null one", { 0, 0xaa }, 2, 2, 0xaa, 0, 0, true, 2 },
	{ "none, as here", { 0 }, 0, 0, 0, 0, 0, true, 0 },
	{ "none, where only null is listed", { 0 }, 1, 0, 0, 0, 0, true, 0 },
	{ "none, where there is one", { 0xaa }, 1, 1, 0, 0, 0, false },
	{ "none, where null and one are listed", { 0, 0xaa }, 2, 2, 0, 0, 0, false },
	{ "version not known here", { 0xaa }, 1, 1, 0xaa, NONE, 0, false },
	{ "no version", { 0xaa }, 1, 1, 0xaa, 0, NONE, false },
	{ "no version, as here", { 0xaa }, 1, 1, 0xaa, NONE, NONE, true, 1 },
	{ "other version", { 0xaa }, 1, 1, 0xaa, 0, 1, false },
	{ "version in the other byte", { 0xaa }, 1, 1, 0xaa, 0, 0x0100, false },
};

KUNIT_ARRAY_PARAM_DESC(format, format_cases, name);

static void test_format(struct kunit *test)
{
	const struct format_case *c = test->param_value;
	struct nvmevf_stream *st = new_stream(test);
	struct nvmevf_lm *lm = nvmevf_test_lm(test);
	uuid_t uuids[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		memset(&uuids[i], c->listed[i], sizeof(uuids[i]));
	lm->uuids = uuids;
	lm->nuuid = c->nuuid;
	lm->csuuidi = c->csuuidi;
	lm->load_csuuidi = 9;
	put_unaligned_le16(c->own_ver, (u8 *)&lm->hello + 12);
	put_unaligned_le16(c->in_ver, st->head + 12);
	memset(st->head + 24, c->in, 16);

	KUNIT_EXPECT_EQ(test, check_hello(st, lm), c->known ? 0 : -EOPNOTSUPP);
	if (c->known)
		KUNIT_EXPECT_EQ(test, lm->load_csuuidi, c->load_csuuidi);
	KUNIT_EXPECT_EQ(test, lm->csuuidi, c->csuuidi);
}

/* An index is 8 bits wide and so is a list */
static void test_format_last(struct kunit *test)
{
	uuid_t *uuids = kunit_kzalloc(test, 255 * sizeof(*uuids), GFP_KERNEL);
	struct nvmevf_stream *st = new_stream(test);
	struct nvmevf_lm *lm = nvmevf_test_lm(test);

	KUNIT_ASSERT_NOT_NULL(test, uuids);
	memset(&uuids[254], FORMAT, sizeof(*uuids));
	lm->uuids = uuids;
	lm->nuuid = 255;
	lm->csuuidi = 255;

	KUNIT_EXPECT_EQ(test, check_hello(st, lm), 0);
	KUNIT_EXPECT_EQ(test, lm->load_csuuidi, 255);
}

/* The same 16 bytes except one */
static void test_format_bytes(struct kunit *test)
{
	struct nvmevf_stream *st = new_stream(test);
	struct nvmevf_lm *lm = nvmevf_test_lm(test);
	unsigned int i;

	for (i = 0; i < 16; i++) {
		st->head[24 + i]++;
		KUNIT_EXPECT_EQ_MSG(test, check_hello(st, lm), -EOPNOTSUPP, "byte %u", i);
		st->head[24 + i]--;
	}
	KUNIT_EXPECT_EQ(test, check_hello(st, lm), 0);
}

static void test_fill(struct kunit *test)
{
	u8 *id = kunit_kzalloc(test, 4096, GFP_KERNEL);
	u8 *hello = kunit_kzalloc(test, HELLO_LEN, GFP_KERNEL);
	u8 *want = kunit_kzalloc(test, HELLO_LEN, GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, id);
	KUNIT_ASSERT_NOT_NULL(test, hello);
	KUNIT_ASSERT_NOT_NULL(test, want);

	for (i = 0; i < 4096; i++)
		id[i] = i * 7 + i / 256;

	memcpy(want, "\x89NVMVFLM\x01", 9);
	want[11] = 1;
	memcpy(want + 56, id + 0, 4);		/* VID, SSVID */
	memcpy(want + 60, id + 520, 2);		/* ONCS */
	want[62] = id[77];			/* MDTS */
	want[63] = id[259];			/* AERL */
	memcpy(want + 64, id + 536, 4);		/* SGLS */
	memcpy(want + 72, id + 4, 20);		/* SN */
	memcpy(want + 92, id + 24, 40);		/* MN */
	memcpy(want + 132, id + 768, 256);	/* SUBNQN */

	nvmevf_hello_fill((void *)hello, (const void *)id, 1);
	KUNIT_EXPECT_MEMEQ(test, hello, want, HELLO_LEN);
	want[11] = 0;
	nvmevf_hello_fill((void *)hello, (const void *)id, 0);
	KUNIT_EXPECT_MEMEQ(test, hello, want, HELLO_LEN);
}

/* Identify data of a controller of the subsystem in nvmevf_test_put_hello() */
static u8 *new_id(struct kunit *test)
{
	u8 *id = kunit_kzalloc(test, 4096, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, id);
	put_unaligned_le16(0x1b36, id);
	memcpy(id + 4, "SN-0123456789abcdefg", 20);
	put_unaligned_le16(7, id + 78);
	put_unaligned_le32(0x00010400, id + 80);
	strscpy(id + 768, "nqn.2014-08.org.nvmexpress:a", 256);
	return id;
}

static void test_sibling(struct kunit *test)
{
	struct nvmevf_lm *lm = nvmevf_test_lm(test);
	u8 *id = new_id(test);

	KUNIT_EXPECT_TRUE(test, nvmevf_hello_is_sibling(&lm->pf_hello, (void *)id));
	/* after its NUL */
	id[768 + 29] = 1;
	KUNIT_EXPECT_TRUE(test, nvmevf_hello_is_sibling(&lm->pf_hello, (void *)id));
	id[768 + 27]++;
	KUNIT_EXPECT_FALSE(test, nvmevf_hello_is_sibling(&lm->pf_hello, (void *)id));
	id[768 + 27]--;
	id[4 + 19]++;
	KUNIT_EXPECT_FALSE(test, nvmevf_hello_is_sibling(&lm->pf_hello, (void *)id));
	id[4 + 19]--;
	id[1]++;
	KUNIT_EXPECT_FALSE(test, nvmevf_hello_is_sibling(&lm->pf_hello, (void *)id));
	id[1]--;
	KUNIT_EXPECT_TRUE(test, nvmevf_hello_is_sibling(&lm->pf_hello, (void *)id));
}

/* Version 2.3, controller 0 and another name: all three */
static void test_exported(struct kunit *test)
{
	struct nvmevf_lm *lm = nvmevf_test_lm(test);
	unsigned int i;
	u8 *id;

	for (i = 0; i < 8; i++) {
		id = new_id(test);
		if (i & 1)
			put_unaligned_le32(0x00020300, id + 80);
		if (i & 2)
			put_unaligned_le16(0, id + 78);
		if (i & 4)
			id[768 + 27] = 'b';
		KUNIT_EXPECT_EQ_MSG(test, nvmevf_hello_is_exported(&lm->pf_hello, (void *)id),
				    i == 7, "%u", i);
	}
}

/* A PF's limits are compared with a PF's, and a VF's with a VF's */
static void test_ident(struct kunit *test)
{
	struct nvmevf_lm *lm = nvmevf_test_lm(test);
	struct nvmevf_stream *st = new_stream(test);
	u8 *own = (u8 *)&lm->hello;

	own[11] = 1;
	own[62] = 3;
	check(test, st, lm, 0, NULL);
	st->head[62] = 6;
	check(test, st, lm, -ERANGE, "MDTS 6, here 5");

	st = new_stream(test);
	st->head[11] = 1;
	st->head[62] = 3;
	check(test, st, lm, 0, NULL);
	st->head[62] = 4;
	check(test, st, lm, -ERANGE, "MDTS 4, here 3");

	/* the identity of this VF is not known */
	st = new_stream(test);
	own[11] = 0;
	st->head[11] = 1;
	st->head[62] = 0;
	put_unaligned_le16(0xffff, st->head + 60);
	put_unaligned_le32(U32_MAX, st->head + 64);
	check(test, st, lm, 0, NULL);
	st->head[92] = 'B';
	check(test, st, lm, -EXDEV,
	      "model B model of forty characters, not one mor, here A model of forty characters, not one mor");
	st->head[92] = 'A';
	put_unaligned_le16(1, st->head + 14);
	check(test, st, lm, -ERANGE, "1 MSI-X vectors, here 261");
	put_unaligned_le16(0x0105, st->head + 14);
	put_unaligned_le64(CAP + 1, st->head + 40);
	check(test, st, lm, -ERANGE, "CAP.MQES 2048, here 2047");
}

static struct kunit_case hello_cases[] = {
	KUNIT_CASE(test_same),
	KUNIT_CASE(test_bits),
	KUNIT_CASE_PARAM(test_value, value_gen_params),
	KUNIT_CASE_PARAM(test_cap, cap_gen_params),
	KUNIT_CASE(test_names),
	KUNIT_CASE(test_padding),
	KUNIT_CASE(test_order),
	KUNIT_CASE_PARAM(test_len, len_gen_params),
	KUNIT_CASE_PARAM(test_format, format_gen_params),
	KUNIT_CASE(test_format_last),
	KUNIT_CASE(test_format_bytes),
	KUNIT_CASE(test_fill),
	KUNIT_CASE(test_sibling),
	KUNIT_CASE(test_exported),
	KUNIT_CASE(test_ident),
	{}
};

static struct kunit_suite hello_suite = {
	.name = "nvme-vfio-pci-match",
	.test_cases = hello_cases,
};

kunit_test_suite(hello_suite);
