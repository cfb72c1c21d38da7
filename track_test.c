// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of track.c: requests to track, and the dirty memory that a device returns.
 * The numbers are those of the specification; none comes from the driver's own
 * definitions.
 */

#include <kunit/test.h>
#include <linux/nvme.h>
#include <linux/prandom.h>
#include <linux/unaligned.h>

#include "track.h"

#define KIB	1024ULL
#define MIB	(1024 * KIB)
#define GIB	(1024 * MIB)
#define TIB	(1024 * GIB)

/* ---- capabilities of the PF ---- */

struct limits_case {
	const char *name;
	u16 cmmrtd;
	u16 nmmrtd;
	u8 min;
	u8 max;
	u8 trattr;
	struct nvmevf_track_limits want;
};

static const struct limits_case limits_cases[] = {
	{ "nothing", 0x0102, 0x0304, 1, 9, 0x06, { } },
	{ "memory", 0x0102, 0x0304, 1, 9, 0x01, { 0x0102, 1, 9, false } },
	{ "memory and user data", 0x0102, 0x0304, 1, 9, 0x03, { 0x0102, 1, 9, false } },
	{ "powers of two", 0x0102, 0x0304, 0, 0, 0x05, { 0x0102, 0, 0, true } },
	{ "less in the subsystem", 0x0304, 0x0102, 1, 9, 0x01, { 0x0102, 1, 9, false } },
	{ "none", 0, 8, 1, 9, 0x01, { .why_not = "CMMRTD of the PF is 0" } },
	{ "none in the subsystem", 8, 0, 1, 9, 0x01, { .why_not = "NMMRTD of the PF is 0" } },
	{ "none of any size", 8, 8, 2, 1, 0x01,
	  { .why_not = "MINMRTG of the PF exceeds MAXMRTG" } },
	{ "coarser than all there is", 8, 8, 0, 255, 0x01, { 8, 0, 51, false } },
	{ "only coarser than that", 8, 8, 52, 255, 0x01,
	  { .why_not = "MINMRTG of the PF exceeds all memory" } },
	{ "none, and not claimed", 0, 0, 52, 1, 0x02, { } },
};

KUNIT_ARRAY_PARAM_DESC(limits, limits_cases, name);

static void test_track_limits(struct kunit *test)
{
	const struct limits_case *c = test->param_value;
	struct nvmevf_track_limits l;
	u8 *id = kunit_kzalloc(test, 4096, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, id);
	memset(id, 0xff, 4096);
	put_unaligned_le16(c->cmmrtd, id + 570);
	put_unaligned_le16(c->nmmrtd, id + 572);
	id[574] = c->min;
	id[575] = c->max;
	id[576] = c->trattr;
	nvmevf_track_parse_limits(&l, (const void *)id);
	KUNIT_EXPECT_EQ(test, l.ranges, c->want.ranges);
	KUNIT_EXPECT_EQ(test, l.min, c->want.min);
	KUNIT_EXPECT_EQ(test, l.max, c->want.max);
	KUNIT_EXPECT_EQ(test, l.pow2, c->want.pow2);
	KUNIT_EXPECT_STREQ(test, l.why_not ?: "", c->want.why_not ?: "");
}

/* ---- requests to the device ---- */

#define RANGES	8

struct plan_case {
	const char *name;
	struct nvmevf_track_limits limits;
	u64 page_size;
	struct nvmevf_range wanted[RANGES];	/* begin and end, the latter not included */
	u8 mrtg;		/* the request, which ends with a length of 0 */
	struct {
		u64 saddr;
		u32 len;
	} want[RANGES];
	int err;
};

#define ANY	{ 256, 0, 30, false }
#define POW2	{ 256, 0, 30, true }

static const struct plan_case plan_cases[] = {
	{ "one", ANY, 4 * KIB, { { MIB, 2 * MIB } }, 0, { { MIB, 256 } } },
	{ "page size", ANY, 64 * KIB, { { MIB, 2 * MIB } }, 4, { { MIB, 16 } } },
	{ "too fine", { 9, 5, 9 }, 4 * KIB, { { MIB, 2 * MIB } }, 5, { { MIB, 8 } } },
	{ "too coarse", { 9, 0, 5 }, GIB, { { 0, GIB } }, 5, { { 0, 8192 } } },
	{ "coarsest", ANY, BIT_ULL(63), { { 0, BIT_ULL(63) } }, 30, { { 0, BIT(21) } } },
	{ "aligned", { 9, 4, 4 }, 4 * KIB, { { 60 * KIB, 68 * KIB } }, 4, { { 0, 2 } } },
	{ "two in one unit", { 9, 4, 4 }, 4 * KIB, { { 0, 4 * KIB }, { 60 * KIB, 64 * KIB } },
	  4, { { 0, 1 } } },
	{ "neighbours", ANY, 4 * KIB, { { 0, 4 * KIB }, { 4 * KIB, 8 * KIB } }, 0, { { 0, 2 } } },
	{ "a gap", ANY, 4 * KIB, { { 0, 4 * KIB }, { 8 * KIB, 12 * KIB } }, 0,
	  { { 0, 1 }, { 8 * KIB, 1 } } },
	{ "least gap", { 2, 0, 9 }, 4 * KIB,
	  { { 0, 4 * KIB }, { 16 * KIB, 20 * KIB }, { 24 * KIB, 28 * KIB } }, 0,
	  { { 0, 1 }, { 16 * KIB, 3 } } },
	{ "first gap", { 2, 0, 9 }, 4 * KIB,
	  { { 0, 4 * KIB }, { 8 * KIB, 12 * KIB }, { 24 * KIB, 28 * KIB } }, 0,
	  { { 0, 3 }, { 24 * KIB, 1 } } },
	{ "one for all", { 1, 0, 9 }, 4 * KIB,
	  { { 0, 4 * KIB }, { 16 * KIB, 20 * KIB }, { 24 * KIB, 28 * KIB } }, 0, { { 0, 7 } } },
	{ "beyond 32 bits", ANY, 4 * KIB, { { 0, 16 * TIB } }, 0,
	  { { 0, U32_MAX }, { 16 * TIB - 4 * KIB, 1 } } },
	{ "coarser for its length", { 1, 0, 9 }, 4 * KIB, { { 0, 16 * TIB } }, 1,
	  { { 0, BIT(31) } } },
	{ "too long", { 1, 0, 0 }, 4 * KIB, { { 0, 16 * TIB } }, .err = -ENOSPC },
	{ "sum of powers", POW2, 4 * KIB, { { 4 * KIB, 48 * KIB } }, 0,
	  { { 4 * KIB, 8 }, { 36 * KIB, 2 }, { 44 * KIB, 1 } } },
	{ "fewer powers", { 2, 0, 9, true }, 4 * KIB, { { 4 * KIB, 48 * KIB } }, 0,
	  { { 4 * KIB, 8 }, { 36 * KIB, 4 } } },
	{ "one power", { 1, 0, 9, true }, 4 * KIB, { { 4 * KIB, 48 * KIB } }, 0,
	  { { 4 * KIB, 16 } } },
	{ "one power for two", { 1, 0, 9, true }, 4 * KIB,
	  { { 0, 4 * KIB }, { 8 * KIB, 20 * KIB } }, 0, { { 0, 8 } } },
	{ "largest power", POW2, 4 * KIB, { { 0, 16 * TIB } }, 0,
	  { { 0, BIT(31) }, { 8 * TIB, BIT(31) } } },
	{ "power at the end", { 1, 0, 0, true }, 4 * KIB, { { -12 * KIB, -4 * KIB } }, 0,
	  { { -12 * KIB, 2 } } },
	{ "power beyond the end", { 1, 0, 0, true }, 4 * KIB, { { -16 * KIB, -4 * KIB } }, 0,
	  { { -16 * KIB, 4 } } },
	{ "no such power", { 1, 0, 0, true }, 4 * KIB, { { -24 * KIB, -4 * KIB } },
	  .err = -ENOSPC },
};

KUNIT_ARRAY_PARAM_DESC(plan, plan_cases, name);

/**
 * struct plan_rig - a plan and its output
 * @limits: capabilities of the device
 * @plan: the plan
 * @wanted: ranges of the user
 * @work: for the plan
 * @out: the structure for the device
 * @len: bytes of it
 */
struct plan_rig {
	struct nvmevf_track_limits limits;
	struct nvmevf_track_plan plan;
	struct nvmevf_range wanted[256];
	struct nvmevf_range work[256];
	u8 out[8 + 12 * NVMEVF_TRACK_MAX];
	size_t len;
};

static struct plan_rig *plan_rig_new(struct kunit *test)
{
	struct plan_rig *rig = kunit_kzalloc(test, sizeof(*rig), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, rig);
	rig->plan.limits = &rig->limits;
	rig->plan.wanted = rig->wanted;
	rig->plan.work = rig->work;
	memset(rig->out, 0xee, sizeof(rig->out));
	return rig;
}

static int plan_rig_fill(struct plan_rig *rig)
{
	return nvmevf_track_fill(&rig->plan, (void *)rig->out, &rig->len);
}

static u64 saddr_of(const struct plan_rig *rig, unsigned int i)
{
	return get_unaligned_le64(rig->out + 8 + 12 * i);
}

static u32 len_of(const struct plan_rig *rig, unsigned int i)
{
	return get_unaligned_le32(rig->out + 16 + 12 * i);
}

static void test_track_plan(struct kunit *test)
{
	const struct plan_case *c = test->param_value;
	struct plan_rig *rig = plan_rig_new(test);
	unsigned int i, n;

	rig->limits = c->limits;
	rig->plan.page_size = c->page_size;
	for (i = 0; i < RANGES && c->wanted[i].last; i++)
		rig->wanted[i] = (struct nvmevf_range){ c->wanted[i].first, c->wanted[i].last - 1 };
	rig->plan.nr = i;

	nvmevf_track_begin(&rig->plan);
	KUNIT_ASSERT_EQ(test, plan_rig_fill(rig), c->err);
	if (c->err)
		return;

	for (n = 0; n < RANGES && c->want[n].len; n++) {
		KUNIT_EXPECT_EQ_MSG(test, saddr_of(rig, n), c->want[n].saddr, "range %u", n);
		KUNIT_EXPECT_EQ_MSG(test, len_of(rig, n), c->want[n].len, "range %u", n);
	}
	KUNIT_EXPECT_EQ(test, rig->out[0], 0);
	KUNIT_EXPECT_EQ(test, get_unaligned_le16(rig->out + 1), 0);
	KUNIT_EXPECT_EQ(test, rig->out[3], c->mrtg);
	KUNIT_EXPECT_EQ(test, get_unaligned_le32(rig->out + 4), n);
	KUNIT_EXPECT_EQ(test, rig->len, 8 + 12 * n);
	KUNIT_EXPECT_EQ(test, rig->plan.mrtg, c->mrtg);
	KUNIT_EXPECT_EQ(test, rig->plan.used, n);
}

static void random_wanted(struct rnd_state *rnd, struct plan_rig *rig)
{
	u64 at = (u64)prandom_u32_state(rnd) % 1000 * 4 * KIB, len;
	unsigned int i;

	rig->plan.nr = 1 + prandom_u32_state(rnd) % (prandom_u32_state(rnd) % 8 ? 8 : 256);
	for (i = 0; i < rig->plan.nr; i++) {
		len = (1 + prandom_u32_state(rnd) % BIT(prandom_u32_state(rnd) % 23)) * 4 * KIB;
		rig->wanted[i] = (struct nvmevf_range){ at, at + len - 1 };
		at += len + prandom_u32_state(rnd) % BIT(prandom_u32_state(rnd) % 20) * 4 * KIB;
	}
}

/* Requests that the device would refuse */
static void expect_legal(struct kunit *test, const struct plan_rig *rig)
{
	u64 unit = 4 * KIB << rig->out[3], end = 0;
	u32 i, n = get_unaligned_le32(rig->out + 4);

	KUNIT_ASSERT_GE(test, n, 1);
	KUNIT_ASSERT_LE(test, n, rig->limits.ranges);
	KUNIT_ASSERT_GE(test, rig->out[3], rig->limits.min);
	KUNIT_ASSERT_LE(test, rig->out[3], rig->limits.max);
	for (i = 0; i < n; i++) {
		KUNIT_ASSERT_EQ(test, saddr_of(rig, i) % unit, 0);
		KUNIT_ASSERT_GE(test, saddr_of(rig, i), end);
		KUNIT_ASSERT_GE(test, len_of(rig, i), 1);
		if (rig->limits.pow2)
			KUNIT_ASSERT_EQ(test, len_of(rig, i) & (len_of(rig, i) - 1), 0);
		end = saddr_of(rig, i) + len_of(rig, i) * unit;
	}
}

static void expect_covered(struct kunit *test, const struct plan_rig *rig)
{
	u64 unit = 4 * KIB << rig->out[3], at;
	unsigned int i, k = 0;

	for (i = 0; i < rig->plan.nr; i++) {
		for (at = rig->wanted[i].first; at <= rig->wanted[i].last; k++) {
			KUNIT_ASSERT_LT(test, k, rig->plan.used);
			if (saddr_of(rig, k) + len_of(rig, k) * unit <= at)
				continue;
			KUNIT_ASSERT_LE(test, saddr_of(rig, k), at);
			at = saddr_of(rig, k) + len_of(rig, k) * unit;
		}
		/* the same one may hold the beginning of the next */
		k--;
	}
}

static void test_track_plan_random(struct kunit *test)
{
	struct plan_rig *rig = plan_rig_new(test);
	struct rnd_state rnd;
	unsigned int i;

	prandom_seed_state(&rnd, 4159);
	for (i = 0; i < 3000; i++) {
		rig->limits.ranges = 1 + prandom_u32_state(&rnd) %
					 BIT(prandom_u32_state(&rnd) % 10);
		rig->limits.min = prandom_u32_state(&rnd) % 6;
		rig->limits.max = rig->limits.min + prandom_u32_state(&rnd) % 6;
		rig->limits.pow2 = prandom_u32_state(&rnd) % 2;
		rig->plan.page_size = 4 * KIB << prandom_u32_state(&rnd) % 12;
		random_wanted(&rnd, rig);

		nvmevf_track_begin(&rig->plan);
		KUNIT_ASSERT_EQ(test, plan_rig_fill(rig), 0);
		expect_legal(test, rig);
		expect_covered(test, rig);
	}
}

/* The first unit of a request */
static void test_track_fill_one(struct kunit *test)
{
	struct plan_rig *rig = plan_rig_new(test);

	rig->limits = (struct nvmevf_track_limits){ 9, 4, 9 };
	rig->plan.page_size = 128 * KIB;
	rig->wanted[0] = (struct nvmevf_range){ MIB + 4 * KIB, GIB - 1 };
	rig->wanted[1] = (struct nvmevf_range){ TIB, 2 * TIB - 1 };
	rig->plan.nr = 2;
	nvmevf_track_begin(&rig->plan);
	KUNIT_ASSERT_EQ(test, plan_rig_fill(rig), 0);
	KUNIT_ASSERT_EQ(test, saddr_of(rig, 0), MIB);
	memset(rig->out, 0xee, sizeof(rig->out));
	nvmevf_track_fill_one(&rig->plan, (void *)rig->out, &rig->len);
	KUNIT_EXPECT_EQ(test, rig->len, 20);
	KUNIT_EXPECT_EQ(test, get_unaligned_le32(rig->out), 5 << 24);
	KUNIT_EXPECT_EQ(test, get_unaligned_le32(rig->out + 4), 1);
	KUNIT_EXPECT_EQ(test, saddr_of(rig, 0), MIB);
	KUNIT_EXPECT_EQ(test, len_of(rig, 0), 1);
	KUNIT_EXPECT_EQ(test, rig->out[20], 0xee);
}

struct adjust_case {
	const char *name;
	u32 used;
	u8 mrtg;
	int err;
	struct nvmevf_track_hints hints;
	int want;
	u32 limit;
	u8 want_mrtg;
};

/* For a device with a granularity of 1 to 5, and a plan with a limit of 100 */
static const struct adjust_case adjust_cases[] = {
	{ "fewer ranges", 9, 2, -ENOSPC, { 4, 8 }, 0, 8, 2 },
	{ "not fewer", 9, 2, -ENOSPC, { 4, 9 }, 0, 100, 4 },
	{ "coarser", 9, 2, -ENOSPC, { 5, 0 }, 0, 100, 5 },
	{ "coarser than it can", 9, 2, -ENOSPC, { 6, 0 }, 0, 100, 3 },
	{ "not coarser", 9, 2, -ENOSPC, { 2, 0 }, 0, 100, 3 },
	{ "no hint", 9, 4, -ENOSPC, { }, 0, 100, 5 },
	{ "no hint, coarsest", 9, 5, -ENOSPC, { }, 0, 4, 5 },
	{ "no hint, no more to give up", 1, 5, -ENOSPC, { }, -ENOSPC, 100, 5 },
	{ "others have ranges", 9, 2, -EINVAL, { 4, 8 }, 0, 4, 2 },
	{ "one range", 1, 2, -EINVAL, { 4, 8 }, -EINVAL, 100, 2 },
	{ "other error", 9, 2, -EBUSY, { 4, 8 }, -EBUSY, 100, 2 },
};

KUNIT_ARRAY_PARAM_DESC(adjust, adjust_cases, name);

static void test_track_adjust(struct kunit *test)
{
	const struct adjust_case *c = test->param_value;
	struct nvmevf_track_limits limits = { 100, 1, 5, false };
	struct nvmevf_track_plan plan = {
		.limits = &limits, .mrtg = c->mrtg, .limit = 100, .used = c->used,
	};

	KUNIT_EXPECT_EQ(test, nvmevf_track_adjust(&plan, c->err, &c->hints), c->want);
	KUNIT_EXPECT_EQ(test, plan.limit, c->limit);
	KUNIT_EXPECT_EQ(test, plan.mrtg, c->want_mrtg);
}

/* ---- dirty memory from the device ---- */

#define CHANGES_LEN	64	/* room for three */

static void put_changes(u8 *p, u8 attrb, u16 cntlid, u32 ntmcd, u16 rpmpg)
{
	memset(p, 0, CHANGES_LEN);
	p[1] = attrb;
	put_unaligned_le16(cntlid, p + 2);
	put_unaligned_le32(ntmcd, p + 4);
	put_unaligned_le16(rpmpg, p + 8);
}

static void test_changes_check(struct kunit *test)
{
	u8 p[CHANGES_LEN] __aligned(8);
	const struct nvme_lm_changes *c = (void *)p;

	put_changes(p, 0x00, 0x1234, 0, 0);
	KUNIT_EXPECT_EQ(test, nvmevf_changes_check(c, CHANGES_LEN, 0x1234), 0);
	KUNIT_EXPECT_EQ(test, nvmevf_changes_check(c, CHANGES_LEN, 0x1235), -EPROTO);
	p[0] = 1;
	KUNIT_EXPECT_EQ(test, nvmevf_changes_check(c, CHANGES_LEN, 0x1234), -EPROTO);
	put_changes(p, 0x03, 0x1234, 3, 51);
	KUNIT_EXPECT_EQ(test, nvmevf_changes_check(c, CHANGES_LEN, 0x1234), 3);
	KUNIT_EXPECT_EQ(test, nvmevf_changes_check(c, CHANGES_LEN - 1, 0x1234), -EPROTO);
	put_changes(p, 0x03, 0x1234, 3, 52);
	KUNIT_EXPECT_EQ(test, nvmevf_changes_check(c, CHANGES_LEN, 0x1234), -EPROTO);
	put_changes(p, 0x03, 0x1234, 0x80000001, 0);
	KUNIT_EXPECT_EQ(test, nvmevf_changes_check(c, CHANGES_LEN, 0x1234), -EPROTO);
	/* nothing, although it claims that there is more */
	put_changes(p, 0x01, 0x1234, 0, 0);
	KUNIT_EXPECT_EQ(test, nvmevf_changes_check(c, CHANGES_LEN, 0x1234), -EPROTO);
	put_changes(p, 0x02, 0x1234, 0, 0);
	KUNIT_EXPECT_EQ(test, nvmevf_changes_check(c, CHANGES_LEN, 0x1234), 0);
	KUNIT_EXPECT_EQ(test, NVME_LM_CHANGES_MTR, 0x01);
	KUNIT_EXPECT_EQ(test, NVME_LM_CHANGES_SUSP, 0x02);
}

struct change_case {
	const char *name;
	u64 saddr;
	u32 len;
	u16 rpmpg;
	int err;
	u64 first;
	u64 last;
};

static const struct change_case change_cases[] = {
	{ "a page", 0x123456789000, 1, 0, 0, 0x123456789000, 0x123456789fff },
	{ "pages", 0x10000, 3, 4, 0, 0x10000, 0x3ffff },
	{ "not aligned", 0x1234, 1, 4, 0, 0x0, 0x1ffff },
	{ "not aligned, up to the end", -0x2fffULL, 2, 0, 0, -0x3000ULL, -1ULL },
	{ "not aligned, behind the last page", -1ULL, 1, 0, -EPROTO },
	{ "nothing", 0x1000, 0, 0, -EPROTO },
	{ "last page", -4096ULL, 1, 0, 0, -4096ULL, -1ULL },
	{ "behind the last page", -4096ULL, 2, 0, -EPROTO },
	{ "longest", 0, U32_MAX, 0, 0, 0, 0xffffffffULL * 4096 - 1 },
	{ "coarsest", BIT_ULL(63), 1, 51, 0, BIT_ULL(63), -1ULL },
	{ "all", 0, 2, 51, 0, 0, -1ULL },
	{ "more than all", 0, 3, 51, -EPROTO },
};

KUNIT_ARRAY_PARAM_DESC(change, change_cases, name);

static void test_changes_get(struct kunit *test)
{
	const struct change_case *c = test->param_value;
	u8 p[CHANGES_LEN] __aligned(8);
	struct nvmevf_range r;

	put_changes(p, 0, 1, 2, c->rpmpg);
	put_unaligned_le64(c->saddr, p + 32);
	put_unaligned_le32(c->len, p + 40);
	KUNIT_ASSERT_EQ(test, nvmevf_changes_get((void *)p, 1, &r), c->err);
	if (c->err)
		return;
	KUNIT_EXPECT_EQ(test, r.first, c->first);
	KUNIT_EXPECT_EQ(test, r.last, c->last);
}

static struct kunit_case track_cases[] = {
	KUNIT_CASE_PARAM(test_track_limits, limits_gen_params),
	KUNIT_CASE_PARAM(test_track_plan, plan_gen_params),
	KUNIT_CASE(test_track_plan_random),
	KUNIT_CASE(test_track_fill_one),
	KUNIT_CASE_PARAM(test_track_adjust, adjust_gen_params),
	KUNIT_CASE(test_changes_check),
	KUNIT_CASE_PARAM(test_changes_get, change_gen_params),
	{}
};

static struct kunit_suite track_suite = {
	.name = "nvme-vfio-pci-track",
	.test_cases = track_cases,
};

kunit_test_suite(track_suite);
