// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of nvme_pf_log.c: commands for the log of changed user data. Expected
 * values are numbers taken from the specification.
 */

#include <kunit/test.h>
#include <linux/nvme.h>
#include <linux/unaligned.h>

#include "nvme_pf.h"
#include "nvme_pf_log.h"

/* All dwords that are not named are 0 */
struct verb_case {
	const char *name;
	u16 cntlid;
	struct nvme_pf_op op;
	size_t len;
	u32 want[16];
};

static const struct verb_case verb_cases[] = {
	{
		.name = "Identify, NVM Command Set", .cntlid = 2, .len = 4096,
		.op = { .verb = &nvme_pf_verb_identify_nvm },
		.want = { [0] = 0x06, [10] = 0x00000006 },
	}, {
		.name = "Create, 4 KiB", .cntlid = 2,
		.op = { .verb = &nvme_pf_verb_cdq_create, .queue = 0x123456789000,
			.queue_len = 4096 },
		.want = { [0] = 0x45, [6] = 0x56789000, [7] = 0x00001234, [11] = 0x00020001,
			  [12] = 0x00000400 },
	}, {
		.name = "Create, 32 MiB, high id", .cntlid = 0xfedc,
		.op = { .verb = &nvme_pf_verb_cdq_create, .queue = 0x1000,
			.queue_len = 0x2000000 },
		.want = { [0] = 0x45, [6] = 0x00001000, [11] = 0xfedc0001, [12] = 0x00800000 },
	}, {
		.name = "Delete", .cntlid = 2,
		.op = { .verb = &nvme_pf_verb_cdq_delete, .cdqid = 5 },
		.want = { [0] = 0x45, [10] = 0x00000001, [11] = 0x00000005 },
	}, {
		.name = "Delete, high id", .cntlid = 2,
		.op = { .verb = &nvme_pf_verb_cdq_delete, .cdqid = 0xabcd },
		.want = { [0] = 0x45, [10] = 0x00000001, [11] = 0x0000abcd },
	}, {
		.name = "Get", .cntlid = 2, .len = 512,
		.op = { .verb = &nvme_pf_verb_cdq_get, .cdqid = 0xabcd },
		.want = { [0] = 0x0a, [10] = 0x00000021, [11] = 0x0000abcd },
	}, {
		.name = "Set", .cntlid = 2,
		.op = { .verb = &nvme_pf_verb_cdq_set, .cdqid = 0xabcd, .head = 0x12345678 },
		.want = { [0] = 0x09, [10] = 0x00000021, [11] = 0x0000abcd,
			  [12] = 0x12345678 },
	}, {
		.name = "Start", .cntlid = 2,
		.op = { .verb = &nvme_pf_verb_log_start, .cdqid = 5 },
		.want = { [0] = 0x3d, [10] = 0x00010000, [11] = 0x00000005 },
	}, {
		.name = "Stop", .cntlid = 2,
		.op = { .verb = &nvme_pf_verb_log_stop, .cdqid = 0xabcd },
		.want = { [0] = 0x3d, [11] = 0x0000abcd },
	},
};

KUNIT_ARRAY_PARAM_DESC(verb, verb_cases, name);

static void test_verb(struct kunit *test)
{
	const struct verb_case *c = test->param_value;
	struct nvme_command cmd;
	struct nvme_pf_vf vf;
	unsigned int i;

	nvme_pf_set_controller(&vf, c->cntlid);
	nvme_pf_encode(&cmd, &vf, &c->op, c->len);
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_EQ_MSG(test, get_unaligned_le32((u8 *)&cmd + 4 * i), c->want[i],
				    "dword %u", i);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(test_verb, verb_gen_params),
	{}
};

static struct kunit_suite suite = {
	.name = "nvme-vfio-pci-pf-log",
	.test_cases = cases,
};

kunit_test_suite(suite);
