// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of nvme_pf_vs.c: the vendor specific set that was proposed in 2022.
 */

#include <kunit/test.h>
#include <linux/nvme.h>
#include <linux/unaligned.h>

#include "nvme_pf.h"
#include "nvme_pf_vs.h"

struct vs_case {
	const char *name;
	const struct nvme_pf_verb *verb;
	u16 vfn;
	u32 state_len;
	bool guest_paced;
	u32 want[12];
};

static const struct vs_case vs_cases[] = {
	{ "query", &nvme_pf_verb_vs_query_data_size, 1, 0, false,
	  { [0] = 0xc4, [10] = 0x00000001 } },
	{ "suspend", &nvme_pf_verb_vs_suspend, 2, 0, true, { [0] = 0xc8, [10] = 0x00000002 } },
	{ "resume", &nvme_pf_verb_vs_resume, 0xffff, 0, false,
	  { [0] = 0xcc, [10] = 0x0000ffff } },
	{ "save", &nvme_pf_verb_vs_save_data, 0x1234, 0, true,
	  { [0] = 0xd2, [10] = 0x00001234 } },
	{ "load", &nvme_pf_verb_vs_load_data, 4, 0x89abcdef, false,
	  { [0] = 0xd5, [10] = 0x00000004, [11] = 0x89abcdef } },
};

KUNIT_ARRAY_PARAM_DESC(vs, vs_cases, name);

/* All other dwords are 0, including NSID, and the data pointer, which is set later */
static void test_verb(struct kunit *test)
{
	const struct vs_case *c = test->param_value;
	const struct nvme_pf_op op = { .verb = c->verb, .state_len = c->state_len };
	const struct nvme_pf_vf vf = { .vfn = c->vfn, .cntlid = 0xfedc };
	struct nvme_command cmd;
	unsigned int i;

	nvme_pf_encode(&cmd, &vf, &op, 4096);
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_EQ_MSG(test, get_unaligned_le32((u8 *)&cmd + 4 * i),
				    i < ARRAY_SIZE(c->want) ? c->want[i] : 0, "dword %u", i);
	KUNIT_EXPECT_EQ(test, c->verb->guest_paced, c->guest_paced);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(test_verb, vs_gen_params),
	{}
};

static struct kunit_suite suite = {
	.name = "nvme-vfio-pci-pf-vs",
	.test_cases = cases,
};

kunit_test_suite(suite);
