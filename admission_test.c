// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of admission.c.
 */

#include <kunit/test-bug.h>
#include <kunit/test.h>

#include "admission.h"

/* As many as the admin queue of a PCIe device has: 15 commands, 12 of guests, 7 orphans */
#define TAGS		30
#define BUDGET		15
#define GUESTS		12
#define ORPHANS		7

#define NR		64

struct admission_test {
	struct nvmevf_admission adm;
	struct nvmevf_ticket tickets[NR];
	struct nvmevf_ticket *woken[NR];
	unsigned int nr_woken;
};

static struct admission_test *ctx(void)
{
	return kunit_get_current_test()->priv;
}

static void note_wake(struct nvmevf_ticket *ticket)
{
	struct admission_test *t = ctx();

	t->woken[t->nr_woken++ % NR] = ticket;
}

static int admission_test_init(struct kunit *test)
{
	struct admission_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	nvmevf_admission_init(&t->adm, TAGS, note_wake);
	return 0;
}

/* The command of VF @vf */
static struct nvmevf_ticket *enter(int vf, enum nvmevf_class class)
{
	struct admission_test *t = ctx();
	struct nvmevf_ticket *ticket = &t->tickets[vf];

	*ticket = (struct nvmevf_ticket){ .class = class, .vf = vf,
					  .endable = class >= NVMEVF_CLASS_GUEST };
	KUNIT_EXPECT_EQ(kunit_get_current_test(), nvmevf_admission_enter(&t->adm, ticket), 0);
	return ticket;
}

static void leave(int vf)
{
	struct admission_test *t = ctx();

	nvmevf_admission_leave(&t->adm, &t->tickets[vf]);
}

static void fill(int first, int last, enum nvmevf_class class)
{
	int vf;

	for (vf = first; vf <= last; vf++)
		KUNIT_EXPECT_TRUE(kunit_get_current_test(), enter(vf, class)->admitted);
}

static void test_budget(struct kunit *test)
{
	struct admission_test *t = ctx();

	fill(1, BUDGET, NVMEVF_CLASS_ORDINARY);
	KUNIT_EXPECT_FALSE(test, enter(16, NVMEVF_CLASS_ORDINARY)->admitted);
	KUNIT_EXPECT_FALSE(test, enter(17, NVMEVF_CLASS_ORDINARY)->admitted);
	t->nr_woken = 0;
	leave(3);
	KUNIT_EXPECT_EQ(test, t->nr_woken, 1);
	KUNIT_EXPECT_PTR_EQ(test, t->woken[0], &t->tickets[16]);
	leave(1);
	KUNIT_EXPECT_TRUE(test, t->tickets[17].admitted);
}

/* Whatever guests do, the reserve is for others */
static void test_reserve(struct kunit *test)
{
	fill(1, GUESTS, NVMEVF_CLASS_GUEST);
	KUNIT_EXPECT_FALSE(test, enter(13, NVMEVF_CLASS_GUEST)->admitted);
	fill(14, 13 + BUDGET - GUESTS, NVMEVF_CLASS_ORDINARY);
	KUNIT_EXPECT_FALSE(test, enter(20, NVMEVF_CLASS_ORDINARY)->admitted);
	leave(14);
	KUNIT_EXPECT_TRUE(test, ctx()->tickets[20].admitted);
	KUNIT_EXPECT_FALSE(test, ctx()->tickets[13].admitted);
	leave(1);
	KUNIT_EXPECT_TRUE(test, ctx()->tickets[13].admitted);
}

static void test_order_of_classes(struct kunit *test)
{
	static const int order[] = { 24, 21, 22, 23, 20 };
	struct admission_test *t = ctx();
	int i;

	fill(1, BUDGET, NVMEVF_CLASS_ORDINARY);
	enter(20, NVMEVF_CLASS_STALLED);
	enter(21, NVMEVF_CLASS_ORDINARY);
	enter(22, NVMEVF_CLASS_GUEST);
	enter(23, NVMEVF_CLASS_ORDINARY);
	enter(24, NVMEVF_CLASS_RESUME);
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		t->nr_woken = 0;
		leave(1 + i);
		KUNIT_EXPECT_EQ(test, t->nr_woken, 1);
		KUNIT_EXPECT_EQ(test, t->woken[0]->vf, order[i]);
	}
}

/* It stalled for once: it need not wait until nobody else wants anything */
static void test_promoted(struct kunit *test)
{
	struct admission_test *t = ctx();

	fill(1, BUDGET, NVMEVF_CLASS_ORDINARY);
	enter(20, NVMEVF_CLASS_STALLED);
	nvmevf_admission_promote(&t->adm, &t->tickets[20]);
	enter(21, NVMEVF_CLASS_ORDINARY);
	leave(1);
	KUNIT_EXPECT_TRUE(test, t->tickets[20].admitted);
	KUNIT_EXPECT_FALSE(test, t->tickets[21].admitted);
	nvmevf_admission_promote(&t->adm, &t->tickets[20]);
	leave(2);
	KUNIT_EXPECT_TRUE(test, t->tickets[21].admitted);
}

/* A second command of a VF waits for the first, and nobody waits for it */
static void test_one_per_vf(struct kunit *test)
{
	struct admission_test *t = ctx();
	struct nvmevf_ticket second = { .class = NVMEVF_CLASS_RESUME, .vf = 1 };

	enter(1, NVMEVF_CLASS_ORDINARY);
	KUNIT_EXPECT_EQ(test, nvmevf_admission_enter(&t->adm, &second), 0);
	KUNIT_EXPECT_FALSE(test, second.admitted);
	KUNIT_EXPECT_TRUE(test, enter(2, NVMEVF_CLASS_RESUME)->admitted);
	leave(1);
	KUNIT_EXPECT_TRUE(test, second.admitted);
	KUNIT_EXPECT_PTR_EQ(test, nvmevf_admission_of_vf(&t->adm, 1), &second);
}

static void orphan(int vf)
{
	nvmevf_admission_orphan(&ctx()->adm, &ctx()->tickets[vf]);
}

/* So many cost the others nothing, and further ones a place each */
static void test_orphans(struct kunit *test)
{
	struct nvmevf_ticket again = { .vf = 1 };
	int vf;

	fill(1, ORPHANS + 1, NVMEVF_CLASS_ORDINARY);
	for (vf = 1; vf <= ORPHANS; vf++)
		orphan(vf);
	KUNIT_EXPECT_EQ(test, nvmevf_admission_enter(&ctx()->adm, &again), -EBUSY);
	fill(20, 20 + BUDGET - 2, NVMEVF_CLASS_ORDINARY);
	KUNIT_EXPECT_FALSE(test, enter(50, NVMEVF_CLASS_ORDINARY)->admitted);
	orphan(ORPHANS + 1);
	KUNIT_EXPECT_FALSE(test, ctx()->tickets[50].admitted);
	leave(2);
	KUNIT_EXPECT_TRUE(test, ctx()->tickets[50].admitted);
}

/* However many Suspends of guests are given up, others have their part of the budget */
static void test_guest_orphans(struct kunit *test)
{
	int vf;

	for (vf = 1; vf <= ORPHANS + GUESTS; vf++) {
		KUNIT_EXPECT_TRUE(test, enter(vf, NVMEVF_CLASS_GUEST)->admitted);
		orphan(vf);
	}
	KUNIT_EXPECT_FALSE(test, enter(vf, NVMEVF_CLASS_GUEST)->admitted);
	fill(40, 40 + BUDGET - GUESTS - 1, NVMEVF_CLASS_RESUME);
	KUNIT_EXPECT_FALSE(test, enter(50, NVMEVF_CLASS_RESUME)->admitted);
	leave(1);
	KUNIT_EXPECT_TRUE(test, ctx()->tickets[50].admitted);
	KUNIT_EXPECT_FALSE(test, ctx()->tickets[vf].admitted);
	leave(2);
	KUNIT_EXPECT_TRUE(test, ctx()->tickets[vf].admitted);
}

/* The oldest orphans may be others: a guest does not wait for what costs nothing */
static void test_guest_orphan_is_free(struct kunit *test)
{
	struct nvmevf_usage usage;
	int vf;

	fill(1, ORPHANS, NVMEVF_CLASS_ORDINARY);
	for (vf = 1; vf <= ORPHANS; vf++)
		orphan(vf);
	fill(10, 10 + GUESTS - 1, NVMEVF_CLASS_GUEST);
	KUNIT_EXPECT_FALSE(test, enter(40, NVMEVF_CLASS_GUEST)->admitted);
	orphan(10);
	KUNIT_EXPECT_TRUE(test, ctx()->tickets[40].admitted);
	nvmevf_admission_usage(&ctx()->adm, &usage);
	KUNIT_EXPECT_EQ(test, usage.guests, GUESTS);
	KUNIT_EXPECT_EQ(test, usage.inflight, GUESTS + 1);
}

/* What is counted does not grow when an older command is given up */
static void test_older_orphan(struct kunit *test)
{
	struct nvmevf_usage usage;
	int vf;

	fill(1, BUDGET - GUESTS, NVMEVF_CLASS_ORDINARY);
	for (vf = 10; vf < 10 + ORPHANS; vf++) {
		KUNIT_EXPECT_TRUE(test, enter(vf, NVMEVF_CLASS_GUEST)->admitted);
		orphan(vf);
	}
	fill(20, 20 + GUESTS - 1, NVMEVF_CLASS_GUEST);
	orphan(1);
	nvmevf_admission_usage(&ctx()->adm, &usage);
	KUNIT_EXPECT_EQ(test, usage.guests, GUESTS);
	KUNIT_EXPECT_EQ(test, usage.inflight, BUDGET);
}

static void test_longest(struct kunit *test)
{
	struct admission_test *t = ctx();

	enter(1, NVMEVF_CLASS_ORDINARY);
	KUNIT_EXPECT_NULL(test, nvmevf_admission_longest(&t->adm));
	fill(2, 4, NVMEVF_CLASS_GUEST);
	KUNIT_EXPECT_PTR_EQ(test, nvmevf_admission_longest(&t->adm), &t->tickets[2]);
	t->tickets[2].endable = false;
	orphan(3);
	KUNIT_EXPECT_PTR_EQ(test, nvmevf_admission_longest(&t->adm), &t->tickets[4]);
}

/* Even of a queue that holds almost nothing, and a waiting ticket can leave */
static void test_small_queue(struct kunit *test)
{
	struct admission_test *t = ctx();

	nvmevf_admission_init(&t->adm, 1, note_wake);
	fill(1, 1, NVMEVF_CLASS_GUEST);
	KUNIT_EXPECT_FALSE(test, enter(2, NVMEVF_CLASS_GUEST)->admitted);
	fill(3, 3, NVMEVF_CLASS_ORDINARY);
	KUNIT_EXPECT_FALSE(test, enter(4, NVMEVF_CLASS_GUEST)->admitted);
	leave(2);
	leave(1);
	KUNIT_EXPECT_FALSE(test, t->tickets[2].admitted);
	KUNIT_EXPECT_TRUE(test, t->tickets[4].admitted);
}

static struct kunit_case admission_test_cases[] = {
	KUNIT_CASE(test_budget),
	KUNIT_CASE(test_reserve),
	KUNIT_CASE(test_order_of_classes),
	KUNIT_CASE(test_promoted),
	KUNIT_CASE(test_one_per_vf),
	KUNIT_CASE(test_orphans),
	KUNIT_CASE(test_guest_orphans),
	KUNIT_CASE(test_guest_orphan_is_free),
	KUNIT_CASE(test_older_orphan),
	KUNIT_CASE(test_longest),
	KUNIT_CASE(test_small_queue),
	{}
};

static struct kunit_suite admission_test_suite = {
	.name = "nvme-vfio-pci-admission",
	.init = admission_test_init,
	.test_cases = admission_test_cases,
};

kunit_test_suite(admission_test_suite);
