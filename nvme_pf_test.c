// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of nvme_pf_cmds.c: commands to a PF. Expected values are numbers taken from
 * the specification; none comes from the driver's own definitions.
 */

#include <kunit/test.h>
#include <linux/nvme.h>
#include <linux/unaligned.h>

#include "nvme_pf.h"

/*
 * A command as it is in the queue. All other dwords are 0, including NSID, the data
 * pointer (set later) and everything reserved.
 */
static void expect_dwords(struct kunit *test, const struct nvme_command *cmd, const u32 *want)
{
	const u8 *bytes = (const u8 *)cmd;
	unsigned int i;

	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_EQ_MSG(test, get_unaligned_le32(bytes + 4 * i), want[i],
				    "dword %u", i);
}

/* Controller FEDCh, number 1234h */
static const struct nvme_pf_vf high = { .vfn = 0x1234, .cntlid = 0xfedc };
/* Controller 2, number 1 */
static const struct nvme_pf_vf low = { .vfn = 1, .cntlid = 2 };

struct verb_case {
	const char *name;
	const struct nvme_pf_vf *vf;
	struct nvme_pf_op op;
	size_t len;
	u32 want[16];
};

static const struct verb_case verb_cases[] = {
	{
		.name = "Identify, controller", .vf = &high, .len = 4096,
		.op = { .verb = &nvme_pf_verb_identify },
		.want = { [0] = 0x06, [10] = 0x00000001 },
	}, {
		.name = "Identify, state formats", .vf = &high, .len = 4096,
		.op = { .verb = &nvme_pf_verb_list_formats },
		.want = { [0] = 0x06, [10] = 0x00000020 },
	}, {
		.name = "Identify, secondary controllers", .vf = &high, .len = 4096,
		.op = { .verb = &nvme_pf_verb_list_secondary, .first = 0xabcd },
		.want = { [0] = 0x06, [10] = 0xabcd0015 },
	}, {
		.name = "Identify, controllers of the subsystem", .vf = &high, .len = 4096,
		.op = { .verb = &nvme_pf_verb_list_controllers, .first = 0xabcd },
		.want = { [0] = 0x06, [10] = 0xabcd0013 },
	}, {
		.name = "Suspend Notification", .vf = &low,
		.op = { .verb = &nvme_pf_verb_suspend_notification },
		.want = { [0] = 0x41, [11] = 0x00000002 },
	}, {
		.name = "Suspend", .vf = &low, .op = { .verb = &nvme_pf_verb_suspend },
		.want = { [0] = 0x41, [11] = 0x00010002 },
	}, {
		.name = "Suspend, high id", .vf = &high, .op = { .verb = &nvme_pf_verb_suspend },
		.want = { [0] = 0x41, [11] = 0x0001fedc },
	}, {
		.name = "Resume", .vf = &low, .op = { .verb = &nvme_pf_verb_resume },
		.want = { [0] = 0x41, [10] = 0x00000001, [11] = 0x00000002 },
	}, {
		.name = "Resume, high id", .vf = &high, .op = { .verb = &nvme_pf_verb_resume },
		.want = { [0] = 0x41, [10] = 0x00000001, [11] = 0x0000fedc },
	}, {
		.name = "Get, header", .vf = &low, .len = 48,
		.op = { .verb = &nvme_pf_verb_get_state, .csvi = 1 },
		.want = { [0] = 0x42, [10] = 0x00010000, [11] = 0x00000002, [15] = 0x0000000b },
	}, {
		.name = "Get, 4 KiB from byte 1000h", .vf = &low, .len = 4096,
		.op = { .verb = &nvme_pf_verb_get_state, .csvi = 1, .offset = 0x1000 },
		.want = { [0] = 0x42, [10] = 0x00010000, [11] = 0x00000002, [12] = 0x00001000,
			  [15] = 0x000003ff },
	}, {
		.name = "Get, one dword", .vf = &low, .len = 4,
		.op = { .verb = &nvme_pf_verb_get_state, .csvi = 1, .offset = 4 },
		.want = { [0] = 0x42, [10] = 0x00010000, [11] = 0x00000002, [12] = 0x00000004 },
	}, {
		.name = "Get, 1 MiB from beyond 4 GiB", .vf = &low, .len = 0x100000,
		.op = { .verb = &nvme_pf_verb_get_state, .csvi = 1, .offset = 0x123456789abcdef0 },
		.want = { [0] = 0x42, [10] = 0x00010000, [11] = 0x00000002, [12] = 0x9abcdef0,
			  [13] = 0x12345678, [15] = 0x0003ffff },
	}, {
		.name = "Get, vendor data", .vf = &low, .len = 64,
		.op = { .verb = &nvme_pf_verb_get_state, .csuuidi = 3 },
		.want = { [0] = 0x42, [11] = 0x00030002, [15] = 0x0000000f },
	}, {
		.name = "Get, all fields", .vf = &high, .len = 8,
		.op = { .verb = &nvme_pf_verb_get_state, .csvi = 0xf1, .csuuidi = 0xe2,
			.offset = 0xfffffffffffffffc },
		.want = { [0] = 0x42, [10] = 0x00f10000, [11] = 0x00e2fedc, [12] = 0xfffffffc,
			  [13] = 0xffffffff, [15] = 0x00000001 },
	}, {
		.name = "Set, only", .vf = &low, .len = 104,
		.op = { .verb = &nvme_pf_verb_set_state, .csvi = 1, .last = true },
		.want = { [0] = 0x41, [10] = 0x00030002, [11] = 0x00010002, [15] = 0x0000001a },
	}, {
		.name = "Set, first", .vf = &low, .len = 4096,
		.op = { .verb = &nvme_pf_verb_set_state, .csvi = 1 },
		.want = { [0] = 0x41, [10] = 0x00010002, [11] = 0x00010002, [15] = 0x00000400 },
	}, {
		.name = "Set, middle", .vf = &low, .len = 4096,
		.op = { .verb = &nvme_pf_verb_set_state, .csvi = 1, .offset = 0x1000 },
		.want = { [0] = 0x41, [10] = 0x00000002, [11] = 0x00010002, [12] = 0x00001000,
			  [15] = 0x00000400 },
	}, {
		.name = "Set, middle, beyond 4 GiB", .vf = &low, .len = 4,
		.op = { .verb = &nvme_pf_verb_set_state, .csvi = 1, .offset = 0x100000000 },
		.want = { [0] = 0x41, [10] = 0x00000002, [11] = 0x00010002, [13] = 0x00000001,
			  [15] = 0x00000001 },
	}, {
		.name = "Set, last", .vf = &low, .len = 0x100000,
		.op = { .verb = &nvme_pf_verb_set_state, .csvi = 1, .last = true,
			.offset = 0x2000 },
		.want = { [0] = 0x41, [10] = 0x00020002, [11] = 0x00010002, [12] = 0x00002000,
			  [15] = 0x00040000 },
	}, {
		.name = "Set, all fields", .vf = &high, .len = 8,
		.op = { .verb = &nvme_pf_verb_set_state, .csvi = 0xf1, .csuuidi = 0xd3,
			.last = true, .offset = 0xfffffffffffffffc },
		.want = { [0] = 0x41, [10] = 0x00020002, [11] = 0xd3f1fedc, [12] = 0xfffffffc,
			  [13] = 0xffffffff, [15] = 0x00000002 },
	}, {
		.name = "Track Memory Changes, start", .vf = &high, .len = 64,
		.op = { .verb = &nvme_pf_verb_track_start },
		.want = { [0] = 0x3d, [10] = 0x00010001, [11] = 0x0000fedc },
	}, {
		.name = "Track Memory Changes, stop", .vf = &low,
		.op = { .verb = &nvme_pf_verb_track_stop },
		.want = { [0] = 0x3d, [10] = 0x00000001, [11] = 0x00000002 },
	}, {
		.name = "Tracked Memory Changes", .vf = &high, .len = 4096,
		.op = { .verb = &nvme_pf_verb_track_read },
		.want = { [0] = 0x3e, [11] = 0x0000fedc, [12] = 0x000003ff },
	}, {
		.name = "Tracked Memory Changes, one dword", .vf = &low, .len = 4,
		.op = { .verb = &nvme_pf_verb_track_read },
		.want = { [0] = 0x3e, [11] = 0x00000002 },
	},
};

KUNIT_ARRAY_PARAM_DESC(verb, verb_cases, name);

static void test_verb(struct kunit *test)
{
	const struct verb_case *c = test->param_value;
	struct nvme_command cmd;

	nvme_pf_encode(&cmd, c->vf, &c->op, c->len);
	expect_dwords(test, &cmd, c->want);
}

/* nvme may end what takes long only if no guest decides how long it takes */
static void test_guest_paced(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(verb_cases); i++)
		KUNIT_EXPECT_EQ_MSG(test, verb_cases[i].op.verb->guest_paced,
				    verb_cases[i].op.verb == &nvme_pf_verb_suspend, "%s",
				    verb_cases[i].name);
}

static void test_target(struct kunit *test)
{
	struct nvme_lm_secondary_entry entry = { .scid = cpu_to_le16(0xabcd) };
	struct nvme_id_ctrl *id = kunit_kzalloc(test, sizeof(*id), GFP_KERNEL);
	struct nvme_pf_vf vf = { .vfn = 1 };

	KUNIT_ASSERT_NOT_NULL(test, id);
	nvme_pf_set_secondary(&vf, &entry);
	KUNIT_EXPECT_EQ(test, vf.cntlid, 0xabcd);
	put_unaligned_le16(0x1234, (u8 *)id + 78);
	nvme_pf_set_identity(&vf, id);
	KUNIT_EXPECT_EQ(test, vf.cntlid, 0x1234);
	KUNIT_EXPECT_EQ(test, vf.vfn, 1);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(test_verb, verb_gen_params),
	KUNIT_CASE(test_guest_paced),
	KUNIT_CASE(test_target),
	{}
};

static struct kunit_suite suite = {
	.name = "nvme-vfio-pci-pf",
	.test_cases = cases,
};

kunit_test_suite(suite);
