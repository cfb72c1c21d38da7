// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of log_ring.c: entries that a device writes to its queue. Expected values
 * are numbers taken from the specifications.
 */

#include <kunit/test.h>
#include <linux/nvme.h>
#include <linux/unaligned.h>

#include "log_ring.h"
#include "nvme_lm_log.h"

#define SIZE		4

/* Last byte of an entry, without the phase tag */
#define ATTR_CHANGE	0x00
#define ATTR_FIRST	0x82
#define ATTR_STOPPED	0x84
#define ATTR_SUSPENDED	0x86
#define ATTR_FULL	0x8e

struct ring_test {
	u8 slots[SIZE * 32];
	struct nvmevf_log_ring ring;
	unsigned int tail;
	bool wrapped;
};

static int ring_test_init(struct kunit *test)
{
	struct ring_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	nvmevf_log_ring_init(&t->ring, t->slots, SIZE);
	test->priv = t;
	return 0;
}

/* As the device does it: phase tag 1 at first, the other one after each wrap */
static void post(struct ring_test *t, u8 attr, u64 slba)
{
	u8 *slot = t->slots + 32 * t->tail;

	memset(slot, 0, 31);
	put_unaligned_le32(7, slot);
	put_unaligned_le64(slba, slot + 8);
	slot[31] = attr | (t->wrapped ? 0 : 1);
	if (++t->tail == SIZE) {
		t->tail = 0;
		t->wrapped = !t->wrapped;
	}
}

static void expect_taken(struct kunit *test, unsigned int max, unsigned int n, u64 slba)
{
	struct ring_test *t = test->priv;
	struct nvme_lm_log_entry entries[SIZE + 1];
	bool last = false;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, nvmevf_log_ring_take(&t->ring, entries, max, &last), n);
	KUNIT_EXPECT_FALSE(test, last);
	for (i = 0; i < n; i++) {
		KUNIT_EXPECT_EQ(test, get_unaligned_le32(&entries[i]), 7);
		KUNIT_EXPECT_EQ(test, get_unaligned_le64((u8 *)&entries[i] + 8), slba + i);
	}
}

static void test_empty(struct kunit *test)
{
	struct ring_test *t = test->priv;

	KUNIT_EXPECT_TRUE(test, nvmevf_log_ring_empty(&t->ring));
	expect_taken(test, SIZE, 0, 0);
	/* an entry without its phase tag is not there yet */
	put_unaligned_le32(7, t->slots);
	t->slots[31] = ATTR_FIRST;
	expect_taken(test, SIZE, 0, 0);
}

/* Every place of the head, and both phases, again and again */
static void test_wraps(struct kunit *test)
{
	struct ring_test *t = test->priv;
	unsigned int i, k, n = 0;

	for (i = 0; i < 100; i++) {
		for (k = 0; k <= i % SIZE; k++)
			post(t, ATTR_CHANGE, n + k);
		KUNIT_EXPECT_FALSE(test, nvmevf_log_ring_empty(&t->ring));
		expect_taken(test, SIZE + 1, k, n);
		KUNIT_EXPECT_TRUE(test, nvmevf_log_ring_empty(&t->ring));
		n += k;
		KUNIT_EXPECT_EQ(test, t->ring.head, n % SIZE);
	}
}

static void test_limit(struct kunit *test)
{
	struct ring_test *t = test->priv;

	post(t, ATTR_FIRST, 0);
	post(t, ATTR_CHANGE, 1);
	post(t, ATTR_CHANGE, 2);
	expect_taken(test, 0, 0, 0);
	expect_taken(test, 2, 2, 0);
	expect_taken(test, 2, 1, 2);
}

/* A device that writes without regard to the head gets no more than one read() */
static void test_flood(struct kunit *test)
{
	struct ring_test *t = test->priv;
	struct nvme_lm_log_entry entries[2 * SIZE];
	bool last = false;

	memset(t->slots, 0x01, sizeof(t->slots));
	KUNIT_EXPECT_EQ(test, nvmevf_log_ring_take(&t->ring, entries, 2 * SIZE, &last), SIZE);
}

struct last_case {
	const char *name;
	u8 attr;
	bool last;
};

static const struct last_case last_cases[] = {
	{ "change", ATTR_CHANGE, false },
	{ "first", ATTR_FIRST, false },
	{ "stopped", ATTR_STOPPED, true },
	{ "suspended", ATTR_SUSPENDED, false },
	{ "full", ATTR_FULL, true },
	{ "reserved 4", 0x88, false },
	{ "reserved 6", 0x8c, false },
	{ "deallocated", 0x20, false },
};

KUNIT_ARRAY_PARAM_DESC(last, last_cases, name);

/* Nothing is taken behind an entry that says it is the last one */
static void test_last(struct kunit *test)
{
	const struct last_case *c = test->param_value;
	struct ring_test *t = test->priv;
	struct nvme_lm_log_entry entries[SIZE];
	bool last = false;

	post(t, ATTR_CHANGE, 0);
	post(t, c->attr, 1);
	post(t, ATTR_CHANGE, 2);
	KUNIT_EXPECT_EQ(test, nvmevf_log_ring_take(&t->ring, entries, SIZE, &last),
			c->last ? 2 : 3);
	KUNIT_EXPECT_EQ(test, last, c->last);
	KUNIT_EXPECT_EQ(test, ((u8 *)&entries[1])[31], c->attr | 1);
	KUNIT_EXPECT_EQ(test, nvmevf_log_ring_take(&t->ring, entries, SIZE, &last), 0);
}

static void test_back(struct kunit *test)
{
	struct ring_test *t = test->priv;

	t->ring.head = 1;
	KUNIT_EXPECT_EQ(test, nvmevf_log_ring_back(&t->ring, 0), 1);
	KUNIT_EXPECT_EQ(test, nvmevf_log_ring_back(&t->ring, 1), 0);
	KUNIT_EXPECT_EQ(test, nvmevf_log_ring_back(&t->ring, 2), 3);
	KUNIT_EXPECT_EQ(test, nvmevf_log_ring_back(&t->ring, 4), 1);
}

static void test_announced(struct kunit *test)
{
	u8 *id = kunit_kzalloc(test, 4096, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, id);
	put_unaligned_le16(0x1234, id + 578);
	KUNIT_EXPECT_EQ(test, nvmevf_log_queues((void *)id), 0);
	id[576] = 0x05;
	KUNIT_EXPECT_EQ(test, nvmevf_log_queues((void *)id), 0);
	id[576] = 0x02;
	KUNIT_EXPECT_EQ(test, nvmevf_log_queues((void *)id), 0x1234);
	put_unaligned_le16(0, id + 578);
	KUNIT_EXPECT_EQ(test, nvmevf_log_queues((void *)id), 0);
}

static void test_format(struct kunit *test)
{
	u8 *id = kunit_kzalloc(test, 4096, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, id);
	KUNIT_EXPECT_TRUE(test, nvmevf_log_has_format(id));
	id[24] = 0xc0;
	KUNIT_EXPECT_FALSE(test, nvmevf_log_has_format(id));
}

static void test_layout(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, sizeof(struct nvme_lm_log_entry), 32);
	KUNIT_EXPECT_EQ(test, offsetof(struct nvme_lm_log_entry, nlb), 4);
	KUNIT_EXPECT_EQ(test, offsetof(struct nvme_lm_log_entry, slba), 8);
	KUNIT_EXPECT_EQ(test, offsetof(struct nvme_lm_log_entry, attr), 31);
	KUNIT_EXPECT_EQ(test, sizeof(struct nvme_lm_log_start), 16);
	KUNIT_EXPECT_EQ(test, offsetof(struct nvme_lm_log_start, cntlid), 12);
}

static struct kunit_case ring_test_cases[] = {
	KUNIT_CASE(test_empty),
	KUNIT_CASE(test_wraps),
	KUNIT_CASE(test_limit),
	KUNIT_CASE(test_flood),
	KUNIT_CASE_PARAM(test_last, last_gen_params),
	KUNIT_CASE(test_back),
	KUNIT_CASE(test_announced),
	KUNIT_CASE(test_format),
	KUNIT_CASE(test_layout),
	{}
};

static struct kunit_suite ring_test_suite = {
	.name = "nvme-vfio-pci-log",
	.init = ring_test_init,
	.test_cases = ring_test_cases,
};

kunit_test_suite(ring_test_suite);
