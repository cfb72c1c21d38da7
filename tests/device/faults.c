// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fault points of the emulated device: arming and counting, what each action does, that
 * nothing is left of a held command whatever ends it, and that there is no trace of them if
 * they are off. PF 0 and 2 have them, PF 1 and 3 do not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

#define CNS_CTRL	0x01
#define CNS_LIST	0x15
#define DAY_MS		(24 * 3600 * 1000)

/* nvme has not sent it */
#define SC_HOST_PATH_ERROR	0x370

static u8 buf[4096] __aligned(4096);

/* The PF without anything armed or held. */
static struct lm_pf *start(int nr)
{
	struct lm_pf *pf = pf_get(nr);

	return pf && EXPECT_EQ(lm_fault_end(pf), 0, "clear") ? pf : NULL;
}

static bool arm(struct lm_pf *pf, unsigned int slot, struct lm_fault f)
{
	return EXPECT_EQ(lm_fault_arm(pf, slot, &f), 0, "slot %u", slot);
}

/* Identify Controller, and a fault of it. */
static int identify(struct lm_pf *pf)
{
	return lm_identify(pf, CNS_CTRL, 0, buf);
}

static struct lm_fault on_identify(u8 act, u32 times, u32 arg)
{
	return (struct lm_fault){
		.opcode = NVME_ADM_IDENTIFY, .dw10 = CNS_CTRL, .dw10_mask = 0xff,
		.act = act, .times = times, .arg = arg,
	};
}

static void expect_counts(struct lm_pf *pf, unsigned int slot, int matched, int applied)
{
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_MATCHED, slot), matched, "slot %u", slot);
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_APPLIED, slot), applied, "slot %u", slot);
}

/* ---- the command ---- */

static u32 effects(struct lm_pf *pf, u8 opcode)
{
	struct lm_cmd cmd = {
		.opcode = NVME_ADM_GET_LOG, .nsid = 0xffffffff, .cdw10 = 5 | 1023 << 16,
		.data = buf, .len = sizeof(buf),
	};
	u32 val = 0;

	if (EXPECT_EQ(lm_exec(pf, &cmd), 0, "get log"))
		memcpy(&val, buf + 4 * opcode, sizeof(val));
	return val;
}

static void test_off(void)
{
	struct nvme_sqe sqe = { .opcode = LM_OP_FAULT, .cdw10 = LM_FAULT_HELD };
	struct lm_pf *off = pf_get(tap_arg() + 1), *on = start(tap_arg());
	unsigned int op;

	if (!off || !on)
		return;
	for (op = 0; op < LM_FAULT_OPS; op++)
		EXPECT_ST(off, lm_fault_cmd(op, 0), LM_SC_INVALID_OPCODE, "operation %u", op);
	EXPECT_EQ(effects(off, LM_OP_FAULT), 0, "effects");
	EXPECT_EQ(effects(on, LM_OP_FAULT), 1, "effects");
	/* a VF of a PF that has them */
	if (vf_start(&vf_a, tap_arg(), 1, 0))
		EXPECT_EQ(unvme_exec(&vf_a.u, 0, &sqe, NULL), LM_SC_INVALID_OPCODE, "VF");
}

static void test_invalid(void)
{
	static const struct lm_fault bad[] = {
		{ .act = LM_ACTS },
		{ .act = 0xff },
		{ .act = LM_ACT_STATUS, .arg = 0x800 },
		{ .act = LM_ACT_STATUS, .arg = 0x8002 },
		{ .act = LM_ACT_STATUS, .arg = 0x10002 },
		{ .act = LM_ACT_RESULT, .arg = 3 },
	};
	struct lm_fault good = { .opcode = NVME_ADM_IDENTIFY };
	struct lm_pf *pf = start(tap_arg());
	unsigned int i;

	if (!pf)
		return;
	for (i = 0; i < LM_FAULT_OPS; i++)
		EXPECT_ST(pf, lm_fault_cmd(i, LM_FAULT_SLOTS), LM_SC_INVALID_FIELD, "slot 16");
	EXPECT_ST(pf, lm_fault_cmd(LM_FAULT_OPS, 0), LM_SC_INVALID_FIELD, "operation");
	EXPECT_ST(pf, lm_fault_cmd(0xff, 0), LM_SC_INVALID_FIELD, "operation");
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(lm_fault_arm(pf, 0, &bad[i]), LM_SC_INVALID_FIELD, "fault %u", i);
	for (i = 0; i < 32; i++)
		EXPECT_EQ(lm_fault_resets(pf, (1u << i) | LM_KEEPS_VFS),
			  i < 4 ? 0 : LM_SC_INVALID_FIELD,
			  "bit %u of resets", i);
	EXPECT_EQ(lm_fault_resets(pf, 0), 0, "resets");
	EXPECT_EQ(lm_fault_arm(pf, LM_FAULT_SLOTS - 1, &good), 0, "last slot");
	EXPECT_ST(pf, lm_fault_arm_cmd(LM_FAULT_SLOTS - 1, &good), LM_SC_INVALID_FIELD, "twice");
	EXPECT_EQ(lm_fault_arm(pf, LM_FAULT_SLOTS - 1, &good), 0, "again");
}

/* ---- which commands ---- */

static void test_counts(void)
{
	static const int want[] = { 0, 0, 0x1c0, 0x1c0, 0x1c0, 0, 0 };
	struct lm_fault f = on_identify(LM_ACT_STATUS, 3, 0x1c0);
	struct lm_pf *pf = start(tap_arg());
	unsigned int i;

	f.skip = 2;
	if (!pf || !arm(pf, 0, on_identify(LM_ACT_COUNT, 0, 0)) || !arm(pf, 7, f))
		return;
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		EXPECT_EQ(identify(pf), want[i], "command %u", i);
		EXPECT_EQ(lm_identify(pf, CNS_LIST, 0, buf), 0, "other CNS");
	}
	expect_counts(pf, 0, 7, 7);
	expect_counts(pf, 7, 7, 3);
	expect_counts(pf, 1, 0, 0);
	/* to prepare a slot again disarms it */
	EXPECT_ST(pf, lm_fault_match_cmd(7, &(struct lm_fault){ .opcode = 6 }), 0, "match");
	EXPECT_EQ(identify(pf), 0, "disarmed");
	expect_counts(pf, 7, 0, 0);
	expect_counts(pf, 0, 8, 8);
	EXPECT_ST(pf, lm_fault_cmd(LM_FAULT_CLEAR, 0), 0, "clear");
	EXPECT_EQ(identify(pf), 0, "cleared");
	expect_counts(pf, 0, 0, 0);
}

/* Any bit of both dwords can distinguish commands. */
static void test_match(void)
{
	struct lm_pf *pf = start(PF_TP);
	struct vf *d = &vf_a;
	struct lm_fault f = {
		.opcode = LM_OP_SEND, .dw10 = 1, .dw10_mask = 0xff, .dw11_mask = 0xffff,
		.act = LM_ACT_STATUS, .arg = 0x1c1,
	};

	if (!pf || !vf_start(d, PF_TP, 1, 0))
		return;
	f.dw11 = d->cntlid;
	if (!arm(pf, 0, f))
		return;
	EXPECT_EQ(lm_suspend(pf, d->cntlid), 0, "Suspend is another operation");
	EXPECT_EQ(lm_resume(pf, d->cntlid + 1), LM_SC_NOT_SUSPENDED, "another controller");
	EXPECT_EQ(lm_resume(pf, d->cntlid), 0x1c1, "Resume");
	expect_counts(pf, 0, 1, 1);
	EXPECT_ST(pf, lm_fault_cmd(LM_FAULT_CLEAR, 0), 0, "clear");
	vf_resume(d);
}

/* ---- actions ---- */

static void test_status(void)
{
	struct lm_pf *pf = start(PF_TP);
	struct lm_cmd cmd;
	struct vf *d = &vf_a;
	struct lm_fault f = {
		.opcode = LM_OP_SEND, .dw10_mask = 0xff, .times = 1, .act = LM_ACT_STATUS,
		.arg = LM_FAULT_DNR | 0x138,
	};

	if (!pf || !vf_start(d, PF_TP, 1, 0) || !arm(pf, 3, f))
		return;
	cmd = lm_suspend_cmd(d->cntlid, LM_SUSPEND, false);
	EXPECT_EQ(lm_exec(pf, &cmd), 0x138, "Suspend");
	EXPECT(cmd.dnr, "DNR");
	EXPECT_EQ(lm_resume(pf, d->cntlid), LM_SC_NOT_SUSPENDED, "it was not executed");
	f.execute = true;
	f.arg = 0x1c2;
	arm(pf, 3, f);
	EXPECT_EQ(lm_exec(pf, &cmd), 0x1c2, "Suspend");
	EXPECT(!cmd.dnr, "DNR");
	EXPECT_EQ(lm_resume(pf, d->cntlid), 0, "it was executed");
	/* a failure becomes a success, and of two slots the lower one counts */
	f.opcode = LM_OP_SEND;
	f.dw10 = 1;
	f.arg = 0;
	arm(pf, 3, f);
	f.arg = 0x1c3;
	arm(pf, 4, f);
	EXPECT_EQ(lm_resume(pf, d->cntlid), 0, "Resume of a VF that runs");
}

static void start_identify(struct lm_async *a, struct lm_pf *pf, u8 cns)
{
	struct lm_cmd cmd = {
		.opcode = NVME_ADM_IDENTIFY, .cdw10 = cns, .data = aligned_alloc(4096, 4096),
		.len = 4096,
	};

	EXPECT_EQ(lm_async_start(a, pf, cmd), 0, "thread");
}

/* A thread that never ends would keep the program from ending. */
static void expect_end(struct lm_async *a, int want, const char *what)
{
	int st = lm_async_wait(a, UNVME_TIMEOUT_MS);

	if (!EXPECT(st != -ETIMEDOUT, "%s: still pending", what))
		exit(2);
	if (want >= 0)
		EXPECT_EQ(st, want, "%s", what);
	else
		EXPECT(st, "%s: status %d", what, st);
	if (a->cmd.opcode == NVME_ADM_IDENTIFY)
		free(a->cmd.data);
}

static void test_hold(void)
{
	struct lm_fault list = on_identify(LM_ACT_HOLD, 1, 0);
	struct lm_pf *pf = start(tap_arg());
	struct lm_async a, b;

	list.dw10 = CNS_LIST;
	if (!pf || !arm(pf, 0, on_identify(LM_ACT_HOLD, 1, 0)) || !arm(pf, 1, list))
		return;
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_HELD, 0), 0, "held");
	start_identify(&a, pf, CNS_CTRL);
	lm_fault_wait_held(pf, 1);
	start_identify(&b, pf, CNS_LIST);
	lm_fault_wait_held(pf, 2);
	/* others pass, and to clear lets nothing go */
	EXPECT_EQ(identify(pf), 0, "another command");
	EXPECT_ST(pf, lm_fault_cmd(LM_FAULT_CLEAR, 0), 0, "clear");
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_HELD, 0), 2, "held");
	EXPECT(lm_async_pending(&a) && lm_async_pending(&b), "one was completed");
	EXPECT_EQ(lm_fault_release(pf, 1), 2, "held");
	expect_end(&a, 0, "the first");
	EXPECT(lm_async_pending(&b), "the second was completed");
	EXPECT_EQ(lm_fault_release(pf, 0), 1, "held");
	expect_end(&b, 0, "the second");
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_HELD, 0), 0, "held");
}

/* Executed before or after it is held; then with a status, and held again. */
static void test_hold_when(void)
{
	struct lm_pf *pf = start(PF_TP);
	struct vf *d = &vf_a;
	struct lm_async a;
	struct lm_cmd cmd, get;
	struct lm_fault f = {
		.opcode = LM_OP_SEND, .dw10_mask = 0xff, .act = LM_ACT_HOLD, .times = 1,
	};

	if (!pf || !vf_start(d, PF_TP, 1, 1))
		return;
	cmd = lm_suspend_cmd(d->cntlid, LM_SUSPEND, false);
	get = lm_get_cmd(d->cntlid, pf->csvi, 0, 0, buf, LM_HEADER);

	arm(pf, 0, f);
	EXPECT_EQ(lm_async_start(&a, pf, cmd), 0, "thread");
	lm_fault_wait_held(pf, 1);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write of a VF that runs");
	lm_fault_release(pf, 0);
	expect_end(&a, 0, "Suspend");
	vf_resume(d);

	f.execute = true;
	arm(pf, 0, f);
	EXPECT_EQ(lm_async_start(&a, pf, cmd), 0, "thread");
	lm_fault_wait_held(pf, 1);
	EXPECT_EQ(lm_exec(pf, &get), 0, "Get");
	EXPECT_EQ(get.result & 1, 1, "CSUP before the completion");
	lm_fault_release(pf, 0);
	expect_end(&a, 0, "Suspend");
	vf_resume(d);

	f.execute = false;
	arm(pf, 0, f);
	f.execute = true;
	arm(pf, 1, f);
	f.execute = false;
	f.act = LM_ACT_STATUS;
	f.arg = 0x1c4;
	arm(pf, 2, f);
	EXPECT_EQ(lm_async_start(&a, pf, cmd), 0, "thread");
	lm_fault_wait_held(pf, 1);
	lm_fault_release(pf, 0);
	lm_fault_wait_held(pf, 1);
	EXPECT(lm_async_pending(&a), "it was completed");
	lm_fault_release(pf, 0);
	expect_end(&a, 0x1c4, "Suspend");
	EXPECT_EQ(lm_resume(pf, d->cntlid), LM_SC_NOT_SUSPENDED, "it was not executed");
}

/* Neither its target nor its own slot keeps a held command from being executed. */
static void test_hold_flr(void)
{
	static const struct lm_fault hold = { .opcode = LM_OP_SEND, .act = LM_ACT_HOLD };
	struct lm_pf *pf = start(PF_TP);
	struct vf *d = &vf_a;
	struct lm_async a;

	if (!pf || !vf_start(d, PF_TP, 1, 0) || !arm(pf, 0, hold))
		return;
	EXPECT_EQ(lm_async_start(&a, pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)), 0,
		  "thread");
	lm_fault_wait_held(pf, 1);
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	EXPECT(lm_async_pending(&a), "a reset of the VF ended it");
	lm_fault_end(pf);
	expect_end(&a, 0, "Suspend");
	EXPECT_EQ(lm_resume(pf, d->cntlid), 0, "it was executed");
}

/* Command ids are the kernel's secret: abort them all but those of event requests. */
static void abort_all(struct lm_pf *pf)
{
	unsigned int gen, tag;

	for (gen = 0; gen < 16; gen++)
		for (tag = 0; tag < 30; tag++) {
			struct lm_cmd cmd = {
				.opcode = NVME_ADM_ABORT, .cdw10 = (gen << 12 | tag) << 16,
			};

			EXPECT_EQ(lm_exec(pf, &cmd), 0, "Abort");
		}
}

static void test_abort(void)
{
	static const u8 acts[] = { LM_ACT_HOLD, LM_ACT_DELAY };
	struct lm_fault f = { .opcode = LM_OP_SEND, .times = 1, .arg = DAY_MS };
	struct lm_pf *pf = start(PF_TP);
	struct vf *d = &vf_a;
	struct lm_async a;
	unsigned int i;

	if (!pf || !vf_start(d, PF_TP, 1, 0))
		return;
	for (i = 0; i < ARRAY_SIZE(acts); i++) {
		f.act = acts[i];
		if (!arm(pf, 0, f))
			return;
		EXPECT_EQ(lm_async_start(&a, pf,
					 lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)), 0,
			  "thread");
		lm_fault_wait_matched(pf, 0, 1);
		EXPECT_EQ(lm_fault_count(pf, LM_FAULT_HELD, 0), acts[i] == LM_ACT_HOLD, "held");
		abort_all(pf);
		expect_end(&a, LM_SC_ABORTED, "Suspend");
		EXPECT_EQ(lm_fault_count(pf, LM_FAULT_HELD, 0), 0, "held");
		EXPECT_EQ(lm_resume(pf, d->cntlid), LM_SC_NOT_SUSPENDED, "it was not executed");
	}
}

/* Held and delayed commands go with the controller; armed rules and their counts stay. */
static void test_pf_reset(void)
{
	static const u8 acts[] = { LM_ACT_HOLD, LM_ACT_HOLD, LM_ACT_DELAY, LM_ACT_DELAY };
	struct lm_async a[ARRAY_SIZE(acts)];
	struct lm_pf *pf = start(tap_arg());
	unsigned int i;
	int seen;

	if (!pf || !arm(pf, 9, on_identify(LM_ACT_COUNT, 0, 0)))
		return;
	for (i = 0; i < ARRAY_SIZE(acts); i++) {
		struct lm_fault f = on_identify(acts[i], 1, DAY_MS);

		f.execute = i & 1;
		if (!arm(pf, 0, f))
			return;
		start_identify(&a[i], pf, CNS_CTRL);
		lm_fault_wait_matched(pf, 0, 1);
	}
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_HELD, 0), 2, "held");
	expect_counts(pf, 9, i, i);
	if (!pf_restart(tap_arg()))
		return;
	for (i = 0; i < ARRAY_SIZE(acts); i++)
		expect_end(&a[i], -1, "Identify over a reset");
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_HELD, 0), 0, "held");
	/* the kernel has asked, too */
	seen = lm_fault_count(pf, LM_FAULT_MATCHED, 9);
	EXPECT(seen > (int)i, "Identify commands: %d", seen);
	EXPECT_EQ(identify(pf), 0, "Identify");
	expect_counts(pf, 9, seen + 1, seen + 1);
}

static void test_pf_flr(void)
{
	struct lm_pf *pf = start(tap_arg());
	struct lm_async a;

	if (!pf || !arm(pf, 15, on_identify(LM_ACT_COUNT, 0, 0)) ||
	    !arm(pf, 0, on_identify(LM_ACT_HOLD, 1, 0)))
		return;
	start_identify(&a, pf, CNS_CTRL);
	lm_fault_wait_held(pf, 1);
	if (!pf_flr(tap_arg()))
		return;
	expect_end(&a, -1, "Identify over a reset");
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_HELD, 0), 0, "held");
	EXPECT_EQ(identify(pf), 0, "Identify");
	expect_counts(pf, 15, 0, 0);
	if (vf_start(&vf_a, tap_arg(), 1, 1))
		EXPECT_EQ(unvme_rw(&vf_a.u, 1, true, 0, 8), 0, "write on a VF");
}

/* What the host does with the event, twice: it pauses and goes on, and it resets nothing. */
static void test_activation(void)
{
	struct lm_pf *pf = start(PF_TP), *via = start(PF_VS);
	int i;

	if (!pf || !via || !arm(pf, 0, on_identify(LM_ACT_COUNT, 0, 0)))
		return;
	for (i = 0; i < 2; i++) {
		if (!EXPECT_EQ(lm_activation_begin(pf), 0, "begin"))
			return;
		lm_wait_ctrl_state(pf, "resetting");
		EXPECT_EQ(identify(pf), SC_HOST_PATH_ERROR, "Identify during the activation");
		EXPECT_EQ(lm_activation_end(via, pf), 0, "end");
		lm_wait_ctrl_state(pf, "live");
	}
	/* a reset would have been followed by some */
	expect_counts(pf, 0, 0, 0);
	EXPECT_EQ(identify(pf), 0, "Identify afterwards");
	expect_counts(pf, 0, 1, 1);
}

/* Without the event, so that the host goes on to send commands. */
static void test_activation_rules(void)
{
	struct lm_cmd begin = lm_fault_cmd(LM_FAULT_PAUSE, 0);
	struct lm_cmd end = lm_fault_cmd(LM_FAULT_CONTINUE, 0);
	struct lm_cmd no_events = { .opcode = NVME_ADM_SET_FEATURES, .cdw10 = 0x0b };
	struct lm_pf *pf = start(PF_TP), *off = pf_get(PF_TP2);

	if (!pf || !off)
		return;
	EXPECT_ST(pf, end, LM_SC_SEQUENCE_ERROR, "end before the begin");
	EXPECT_EQ(lm_activation_end(pf, off), LM_SC_INVALID_FIELD, "PF without fault points");
	EXPECT_ST(pf, no_events, 0, "Set Features");
	EXPECT_ST(pf, begin, 0, "begin");
	EXPECT_ST(pf, begin, LM_SC_SEQUENCE_ERROR, "begin again");
	EXPECT_EQ(identify(pf), 0, "Identify during an activation");
	EXPECT_ST(pf, end, 0, "end");
	EXPECT_ST(pf, end, LM_SC_SEQUENCE_ERROR, "end again");
	EXPECT_ST(pf, begin, 0, "begin");
	if (pf_restart(PF_TP))
		EXPECT_ST(pf, end, LM_SC_SEQUENCE_ERROR, "end after a reset");
}

static void test_delay(void)
{
	struct lm_pf *pf = start(tap_arg());
	struct lm_async a;
	u64 begin;

	if (!pf || !arm(pf, 0, on_identify(LM_ACT_DELAY, 0, 150)))
		return;
	begin = now_ms();
	EXPECT_EQ(identify(pf), 0, "Identify");
	EXPECT(now_ms() - begin >= 149, "after %lu ms", now_ms() - begin);
	/* it is not held, and Release does not end it */
	arm(pf, 0, on_identify(LM_ACT_DELAY, 1, 1000));
	start_identify(&a, pf, CNS_CTRL);
	lm_fault_wait_matched(pf, 0, 1);
	EXPECT_EQ(lm_fault_release(pf, 0), 0, "held");
	expect_end(&a, 0, "Identify");
	EXPECT(now_ms() - begin >= 1149, "after %lu ms", now_ms() - begin);
}

static void test_data(void)
{
	static const struct {
		u32 offset;
		u32 mask;
		u32 value;
	} pokes[] = {
		{ 4, 0xffff00ff, 0x00004300 }, { 5, 0, 0x11 }, { 4094, 0, 0xa5a5a5a5 },
		{ 4096, 0, ~0u }, { ~0u, 0, ~0u },
	};
	struct lm_pf *pf = start(tap_arg());
	u8 want[4096], got[4096];
	unsigned int i;

	if (!pf || !EXPECT_EQ(lm_identify(pf, CNS_CTRL, 0, want), 0, "Identify"))
		return;
	for (i = 0; i < ARRAY_SIZE(pokes); i++) {
		struct lm_fault f = on_identify(LM_ACT_DATA, 1, pokes[i].offset);

		f.mask = pokes[i].mask;
		f.value = pokes[i].value;
		arm(pf, i, f);
	}
	EXPECT_EQ(lm_identify(pf, CNS_CTRL, 0, got), 0, "Identify");
	want[4] = 0;
	want[5] ^= 0x43 ^ 0x11;
	want[6] = 0;
	want[7] = 0;
	want[4094] ^= 0xa5;
	want[4095] ^= 0xa5;
	for (i = 0; i < 4096; i++)
		if (!EXPECT_EQ(got[i], want[i], "byte %u", i))
			return;
	/* the controller's own copy is as it was */
	EXPECT_EQ(lm_identify(pf, CNS_CTRL, 0, got), 0, "Identify");
	EXPECT(!memcmp(got, pf->id, sizeof(got)), "Identify was changed for good");
}

static void test_short(void)
{
	struct lm_pf *pf = start(tap_arg());
	unsigned int i;

	if (!pf || !arm(pf, 0, on_identify(LM_ACT_SHORT, 1, 100)))
		return;
	memset(buf, 0xaa, sizeof(buf));
	EXPECT_EQ(identify(pf), 0, "Identify");
	EXPECT(!memcmp(buf, pf->id, 100), "the first 100 bytes");
	for (i = 100; i < sizeof(buf); i++)
		if (!EXPECT_EQ(buf[i], 0xaa, "byte %u", i))
			return;
	arm(pf, 0, on_identify(LM_ACT_SHORT, 1, 0));
	memset(buf, 0x55, sizeof(buf));
	EXPECT_EQ(identify(pf), 0, "Identify");
	EXPECT_EQ(buf[0], 0x55, "byte 0");
	arm(pf, 0, on_identify(LM_ACT_SHORT, 1, 5000));
	EXPECT_EQ(identify(pf), 0, "Identify");
	EXPECT(!memcmp(buf, pf->id, sizeof(buf)), "all of it");
}

static void test_result(void)
{
	struct lm_pf *pf = start(tap_arg());
	struct lm_cmd cmd = {
		.opcode = NVME_ADM_GET_FEATURES, .cdw10 = 7,
	};
	struct lm_fault f = { .opcode = NVME_ADM_GET_FEATURES, .act = LM_ACT_RESULT };
	u32 queues;

	if (!pf || !EXPECT_EQ(lm_exec(pf, &cmd), 0, "number of queues"))
		return;
	queues = cmd.result;
	f.mask = 0xff;
	f.value = 0x8000005a;
	arm(pf, 0, f);
	f.arg = 1;
	f.value = 0x12345678;
	arm(pf, 1, f);
	EXPECT_EQ(lm_exec(pf, &cmd), 0, "number of queues");
	EXPECT_EQ(cmd.result, ((queues & ~0xff) | 0x5a) ^ 0x80000000, "DW0");
	EXPECT_EQ(cmd.result1, 0x12345678, "DW1");
}

/* The data that the device returns is altered, never the data that it keeps. */
static void test_vendor(void)
{
	static const struct lm_fault faults[] = {
		{ .opcode = LM_OP_VS_QUERY, .dw10 = 1, .dw10_mask = 0xffff,
		  .act = LM_ACT_RESULT, .mask = ~0u, .value = 64 },
		{ .opcode = LM_OP_VS_SAVE, .times = 1, .act = LM_ACT_STATUS, .arg = 0x2 },
		{ .opcode = LM_OP_VS_SAVE, .skip = 1, .act = LM_ACT_DATA, .mask = ~0u,
		  .value = 0x600df00d },
	};
	struct lm_pf *pf = start(PF_VS);
	struct vf *d = &vf_a;
	struct lm_state s;
	u32 magic = 0;
	unsigned int i;

	if (!pf || !vf_start(d, PF_VS, 1, 1))
		return;
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		arm(pf, i, faults[i]);
	vf_suspend(d);
	EXPECT_EQ(lmt_save(&d->t, &s), LM_SC_INVALID_FIELD, "SAVE_DATA");
	EXPECT_EQ(s.size, 64, "QUERY_DATA_SIZE");
	lm_state_free(&s);
	arm(pf, 0, (struct lm_fault){});
	EXPECT_EQ(lmt_save(&d->t, &s), 0, "SAVE_DATA");
	memcpy(&magic, s.data, sizeof(magic));
	EXPECT_EQ(magic, 0x600df00d, "data");
	lm_state_free(&s);
	/* the state in the device is as it was */
	EXPECT_ST(pf, lm_fault_cmd(LM_FAULT_CLEAR, 0), 0, "clear");
	if (EXPECT_EQ(lmt_save(&d->t, &s), 0, "SAVE_DATA"))
		EXPECT_EQ(lmt_load(&d->t, &s), 0, "LOAD_DATA");
	lm_state_free(&s);
	vf_resume(d);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write afterwards");
}

static const struct tap_test faults_tests[] = {
	{ "off by default", test_off, PF_TP },
	{ "off by default, vendor set", test_off, PF_VS },
	{ "rules that cannot be armed", test_invalid, PF_TP },
	{ "counts", test_counts, PF_TP },
	{ "counts, vendor set", test_counts, PF_VS },
	{ "which command", test_match },
	{ "status", test_status },
	{ "hold", test_hold, PF_TP },
	{ "hold, vendor set", test_hold, PF_VS },
	{ "hold before or after execution", test_hold_when },
	{ "hold over a reset of the VF", test_hold_flr },
	{ "hold and Abort", test_abort },
	{ "hold and a reset of the PF", test_pf_reset, PF_TP },
	{ "hold and a reset of the PF, vendor set", test_pf_reset, PF_VS },
	{ "hold and a function level reset of the PF", test_pf_flr, PF_TP },
	{ "firmware activation without a reset", test_activation },
	{ "firmware activation: refusals, and its end", test_activation_rules },
	{ "delay", test_delay, PF_TP },
	{ "data", test_data, PF_TP },
	{ "data that ends early", test_short, PF_TP },
	{ "result", test_result, PF_TP },
	{ "vendor set", test_vendor },
};

const struct test_group faults_group = { "faults", faults_tests, ARRAY_SIZE(faults_tests) };
