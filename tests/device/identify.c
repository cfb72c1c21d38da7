// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contents of Identify and of the effects log, and which controller refuses which commands.
 */
#include <string.h>

#include "device.h"

#define OACS_FORMAT	0x0002
#define OACS_NS_MGMT	0x0008
#define OACS_VIRT_MGMT	0x0080
#define OACS_HMLMS	0x0800

static u16 le16(const u8 *p)
{
	return p[0] | p[1] << 8;
}

static u32 le32(const u8 *p)
{
	return le16(p) | (u32)le16(p + 2) << 16;
}

static bool zero(const u8 *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

/* Nothing of tracking is offered, so every limit of it is 0. */
static void check_no_tracking(const u8 *id)
{
	EXPECT_EQ(id[576], 0, "TRATTR");
	EXPECT(zero(id + 570, 588 - 570), "tracking limits without tracking");
	EXPECT(zero(id + 588, 768 - 588), "reserved bytes");
}

static void check_memory_tracking(const u8 *id)
{
	EXPECT_EQ(id[576], 3, "TRATTR");
	EXPECT(le16(id + 570), "CMMRTD %u", le16(id + 570));
	EXPECT(le16(id + 572) >= le16(id + 570), "NMMRTD %u", le16(id + 572));
	EXPECT(id[574] <= id[575], "MINMRTG %u, MAXMRTG %u", id[574], id[575]);
	EXPECT_EQ(id[577], 0, "reserved byte");
	EXPECT(le16(id + 578), "MCUDMQ %u", le16(id + 578));
	EXPECT(le16(id + 580) >= le16(id + 578), "MNSUDMQ %u", le16(id + 580));
	EXPECT(zero(id + 588, 768 - 588), "reserved bytes");
}

static void test_pf_tp(void)
{
	struct lm_pf *pf = pf_get(tap_arg());

	if (!pf)
		return;
	EXPECT(le16(pf->id + 256) & OACS_HMLMS, "OACS %#x", le16(pf->id + 256));
	EXPECT_EQ(le32(pf->id + 272), 0, "HMPRE");
	EXPECT_EQ(pf->id[3072], 0, "vendor set");
	check_memory_tracking(pf->id);
}

static void test_formats(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	u8 buf[4096], other[4096];
	size_t used;

	if (!pf)
		return;
	memset(buf, 0xaa, sizeof(buf));
	EXPECT_EQ(lm_identify(pf, 0x20, 0, buf), 0, "CNS 20h");
	EXPECT(buf[0] >= 1, "no version");
	EXPECT(pf->csvi, "version 0 is not there");
	EXPECT_EQ(buf[1], 1, "vendor formats");
	used = 2 + 2 * buf[0] + 16 * buf[1];
	EXPECT(!zero(buf + used - 16, 16), "UUID of the vendor format is 0");
	EXPECT(zero(buf + used, sizeof(buf) - used), "rest not zero");
	EXPECT_EQ(lm_identify(pf, 0x20, 5, other), 0, "CNS 20h, CNTID is not used");
	EXPECT(!memcmp(buf, other, sizeof(buf)), "depends on CNTID");
}

static void test_pf_vendor(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	u8 buf[4096];

	if (!pf)
		return;
	EXPECT_EQ(pf->id[3072], 1, "vendor set");
	EXPECT(!(le16(pf->id + 256) & OACS_HMLMS), "OACS %#x", le16(pf->id + 256));
	check_no_tracking(pf->id);
	EXPECT_EQ(lm_identify(pf, 0x20, 0, buf), LM_SC_INVALID_FIELD, "CNS 20h");
	EXPECT_EQ(le16(pf->id), 0x8086, "PCI vendor");
}

static void test_pf_off(void)
{
	struct lm_pf *pf = pf_get(PF_OFF);
	u8 buf[4096];

	if (!pf)
		return;
	EXPECT(!(le16(pf->id + 256) & OACS_HMLMS), "OACS %#x", le16(pf->id + 256));
	EXPECT_EQ(pf->id[3072], 0, "vendor set");
	check_no_tracking(pf->id);
	EXPECT_EQ(lm_identify(pf, 0x20, 0, buf), LM_SC_INVALID_FIELD, "CNS 20h");
}

static const u8 tp_opcodes[] = {
	LM_OP_TRACK_SEND, LM_OP_TRACK_RECV, LM_OP_SEND, LM_OP_RECV, LM_OP_CDQ,
};

static const u8 vs_opcodes[] = {
	LM_OP_VS_QUERY, LM_OP_VS_SUSPEND, LM_OP_VS_RESUME, LM_OP_VS_SAVE, LM_OP_VS_LOAD,
};

/* All dwords 0 but the target; a data buffer if the opcode asks for one. */
static struct lm_cmd bare(u8 opcode, u16 target, u8 *buf)
{
	return (struct lm_cmd){
		.opcode = opcode, .cdw10 = opcode >= 0xc0 ? target : 0, .cdw11 = target,
		.data = opcode & 3 ? buf : NULL, .len = 4096,
	};
}

/* Commands of the set a PF does not have are unknown to it. */
static void test_other_set(void)
{
	static u8 buf[4096] __aligned(4096);
	struct lm_pf *pf = pf_get(tap_arg());
	unsigned int i;

	if (!pf)
		return;
	for (i = 0; i < ARRAY_SIZE(tp_opcodes); i++)
		if (!pf->hmlms)
			EXPECT_ST(pf, bare(tp_opcodes[i], 1, buf), LM_SC_INVALID_OPCODE,
				  "opcode %#x", tp_opcodes[i]);
	for (i = 0; i < ARRAY_SIZE(vs_opcodes); i++)
		if (!pf->vendor)
			EXPECT_ST(pf, bare(vs_opcodes[i], 1, buf), LM_SC_INVALID_OPCODE,
				  "opcode %#x", vs_opcodes[i]);
}

static u32 effects(const u8 *log, u8 opcode)
{
	return le32(log + 4 * opcode);
}

static void test_effects_pf(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	static u8 log[4096] __aligned(4096);
	struct lm_cmd cmd = {
		.opcode = NVME_ADM_GET_LOG, .nsid = 0xffffffff, .cdw10 = 5 | 1023 << 16,
		.data = log, .len = sizeof(log),
	};
	unsigned int i;

	if (!pf || !EXPECT_EQ(lm_exec(pf, &cmd), 0, "log"))
		return;
	for (i = 0; i < ARRAY_SIZE(tp_opcodes); i++) {
		u8 op = tp_opcodes[i];

		EXPECT_EQ(effects(log, op), pf->hmlms, "opcode %#x", op);
	}
	for (i = 0; i < ARRAY_SIZE(vs_opcodes); i++)
		EXPECT_EQ(effects(log, vs_opcodes[i]), pf->vendor, "opcode %#x", vs_opcodes[i]);
}

/* ---- the VF ---- */

static void check_vf_refuses(struct unvme *u, u8 opcode)
{
	struct nvme_sqe sqe = { .opcode = opcode, .nsid = opcode == NVME_ADM_FORMAT };

	sqe.cdw10 = opcode >= 0xc0;
	sqe.cdw11 = 1;
	if (opcode & 3)
		unvme_set_prp(u, &sqe, u->scratch, 4096, NULL);
	EXPECT_EQ(unvme_exec(u, 0, &sqe, NULL), LM_SC_INVALID_OPCODE, "opcode %#x", opcode);
}

/* A guest may neither migrate others nor reach into their namespaces. */
static void test_vf(void)
{
	static const u8 reach[] = { NVME_ADM_VIRT_MGMT, NVME_ADM_NS_ATTACH, NVME_ADM_FORMAT };
	struct unvme *u = &vf_a.u;
	unsigned int i;
	u16 oacs;

	if (!vf_start(&vf_a, tap_arg(), 1, 0))
		return;
	oacs = le16(u->id_ctrl + 256);
	EXPECT(!(oacs & (OACS_HMLMS | OACS_VIRT_MGMT | OACS_NS_MGMT | OACS_FORMAT)), "OACS %#x",
	       oacs);
	EXPECT_EQ(le32(u->id_ctrl + 272), 0, "HMPRE");
	EXPECT_EQ(u->id_ctrl[3072], 0, "vendor set");
	check_no_tracking(u->id_ctrl);
	EXPECT_EQ(le16(u->id_ctrl + 78), vf_a.cntlid, "CNTLID by CNS 15h");
	EXPECT_EQ(unvme_identify(u, 0x20, 0, 0), LM_SC_INVALID_FIELD, "CNS 20h");

	for (i = 0; i < ARRAY_SIZE(tp_opcodes); i++)
		check_vf_refuses(u, tp_opcodes[i]);
	for (i = 0; i < ARRAY_SIZE(vs_opcodes); i++)
		check_vf_refuses(u, vs_opcodes[i]);
	for (i = 0; i < ARRAY_SIZE(reach); i++)
		check_vf_refuses(u, reach[i]);
}

static void test_effects_vf(void)
{
	static const u8 reach[] = { NVME_ADM_VIRT_MGMT, NVME_ADM_NS_ATTACH, NVME_ADM_FORMAT };
	struct unvme *u = &vf_a.u;
	unsigned int i;

	if (!vf_start(&vf_a, tap_arg(), 1, 0))
		return;
	EXPECT_EQ(unvme_get_log(u, 5, 0xffffffff, 4096), 0, "log");
	EXPECT_EQ(effects(u->scratch, NVME_ADM_IDENTIFY) & 1, 1, "Identify");
	for (i = 0; i < ARRAY_SIZE(tp_opcodes); i++)
		EXPECT_EQ(effects(u->scratch, tp_opcodes[i]), 0, "opcode %#x", tp_opcodes[i]);
	for (i = 0; i < ARRAY_SIZE(vs_opcodes); i++)
		EXPECT_EQ(effects(u->scratch, vs_opcodes[i]), 0, "opcode %#x", vs_opcodes[i]);
	for (i = 0; i < ARRAY_SIZE(reach); i++)
		EXPECT_EQ(effects(u->scratch, reach[i]), 0, "opcode %#x", reach[i]);
}

static void test_pci_ids(void)
{
	u16 id[2];

	if (!vf_open(&vf_a, PF_VS, 1))
		return;
	vfio_pci_config_access(vf_a.dev.pci, false, 0, sizeof(id), id);
	EXPECT_EQ(id[0], 0x8086, "vendor");
	EXPECT_EQ(id[1], 0x1457, "device");
}

/* CNS 15h: VFs are counted from 1, belong to their PF and have ids of their own. */
static void test_secondary_list(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	int id, vfn, seen = 0;

	if (!pf)
		return;
	for (vfn = 1; vfn <= 4; vfn++) {
		id = lm_cntlid(pf, vfn);
		EXPECT(id >= 0 && id != pf->cntlid && id != seen, "VF %d has id %d", vfn, id);
		seen = id;
	}
	EXPECT_EQ(lm_cntlid(pf, 0), -1, "VF number 0");
}

static const struct tap_test identify_tests[] = {
	{ "TP4159 PF", test_pf_tp, PF_TP },
	{ "second TP4159 PF", test_pf_tp, PF_TP2 },
	{ "state formats", test_formats, PF_TP },
	{ "vendor PF", test_pf_vendor, PF_VS },
	{ "plain PF", test_pf_off },
	{ "TP4159 VF", test_vf, PF_TP },
	{ "vendor VF", test_vf, PF_VS },
	{ "PCI ids of a vendor VF", test_pci_ids },
	{ "TP4159 PF refuses the vendor set", test_other_set, PF_TP },
	{ "vendor PF refuses TP4159", test_other_set, PF_VS },
	{ "plain PF refuses both", test_other_set, PF_OFF },
	{ "effects log of TP4159 PF", test_effects_pf, PF_TP },
	{ "effects log of vendor PF", test_effects_pf, PF_VS },
	{ "effects log of plain PF", test_effects_pf, PF_OFF },
	{ "effects log of a TP4159 VF", test_effects_vf, PF_TP },
	{ "effects log of a vendor VF", test_effects_vf, PF_VS },
	{ "secondary controllers", test_secondary_list, PF_TP },
	{ "secondary controllers of the second PF", test_secondary_list, PF_TP2 },
};

const struct test_group identify_group = { "identify", identify_tests, ARRAY_SIZE(identify_tests) };

/* CNS 13h has all of the subsystem; CNS 15h has VFs only. */
static void test_controllers(void)
{
	struct lm_pf *pf = pf_get(PF_FN);
	int vfn, id, vf = pf ? lm_cntlid(pf, 1) : -1;
	static u8 buf[4096];

	if (!pf)
		return;
	for (vfn = 1; vfn <= 4; vfn++) {
		id = vf_cntlid(PF_FN, vfn);
		EXPECT(id != pf->cntlid && id != vf, "function %d has id %d", vfn, id);
		EXPECT_EQ(lm_identify(pf, 0x13, id, buf), 0, "CNS 13h");
		EXPECT(le16(buf) >= 1, "no controller from %d on", id);
		EXPECT_EQ(le16(buf + 2), id, "first controller");
		EXPECT_EQ(lm_identify(pf, 0x15, id, buf), 0, "CNS 15h");
		EXPECT(!buf[0] || le16(buf + 32) != id, "function %d is a secondary controller",
		       vfn);
	}
	EXPECT_EQ(lm_cntlid(pf, 2), -1, "a second secondary controller");
}

static const struct tap_test identify_functions_tests[] = {
	{ "identify: no MMC, and within its own reach", test_vf, PF_FN },
	{ "identify: effects log", test_effects_vf, PF_FN },
	{ "identify: controllers of the subsystem", test_controllers, PF_FN },
	{ "identify: the MMC itself", test_pf_tp, PF_FN },
};

const struct test_group identify_functions_group = {
	"functions", identify_functions_tests, ARRAY_SIZE(identify_functions_tests)
};
