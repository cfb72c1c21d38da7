// SPDX-License-Identifier: GPL-2.0-only
/*
 * Encodings, and the rules and statuses of Migration Send and Migration Receive.
 */
#include <stdlib.h>
#include <string.h>

#include "device.h"

/* ---- encodings: the worked examples of the specification notes ---- */

static void check_words(const char *what, struct lm_cmd c, const u32 *want)
{
	EXPECT_EQ(c.opcode, want[0], "%s", what);
	EXPECT_EQ(c.nsid, 0, "%s", what);
	EXPECT_EQ(c.cdw10, want[1], "%s", what);
	EXPECT_EQ(c.cdw11, want[2], "%s", what);
	EXPECT_EQ(c.cdw12, want[3], "%s", what);
	EXPECT_EQ(c.cdw13, want[4], "%s", what);
	EXPECT_EQ(c.cdw14, 0, "%s", what);
	EXPECT_EQ(c.cdw15, want[5], "%s", what);
	EXPECT_EQ(c.data ? c.len : 0, want[6], "%s: bytes of data", what);
}

#define VECTOR(cmd, ...) do { \
	static const u32 words[7] = { __VA_ARGS__ }; \
	check_words(#cmd, cmd, words); \
} while (0)

static void test_vectors(void)
{
	u8 b[1];

	VECTOR(lm_suspend_cmd(2, LM_SUSPEND_NOTIFY, false), 0x41, 0, 0x2);
	VECTOR(lm_suspend_cmd(2, LM_SUSPEND, false), 0x41, 0, 0x10002);
	VECTOR(lm_suspend_cmd(2, LM_SUSPEND, true), 0x41, 0, 0x80010002);
	VECTOR(lm_get_cmd(2, 1, 0, 0, b, 48), 0x42, 0x10000, 0x2, 0, 0, 0xb, 48);
	VECTOR(lm_get_cmd(2, 1, 0, 0x1000, b, 4096), 0x42, 0x10000, 0x2, 0x1000, 0, 0x3ff, 4096);
	VECTOR(lm_set_cmd(2, LM_SEQ_ONLY, 1, 0, 0, b, 104), 0x41, 0x30002, 0x10002, 0, 0, 0x1a,
	       104);
	VECTOR(lm_set_cmd(2, LM_SEQ_FIRST, 1, 0, 0, b, 8), 0x41, 0x10002, 0x10002, 0, 0, 2, 8);
	VECTOR(lm_set_cmd(2, LM_SEQ_MIDDLE, 1, 0, 8, b, 8), 0x41, 2, 0x10002, 8, 0, 2, 8);
	VECTOR(lm_set_cmd(2, LM_SEQ_LAST, 1, 0, 16, b, 8), 0x41, 0x20002, 0x10002, 16, 0, 2, 8);
	VECTOR(lm_resume_cmd(2), 0x41, 1, 2);
	VECTOR(lm_cdq_create_cmd(2, b, 4096), 0x45, 0, 0x20001, 0x400, 0, 0, 4096);
	VECTOR(lm_cdq_delete_cmd(5), 0x45, 1, 5);
	VECTOR(lm_user_log_cmd(5, true), 0x3d, 0x10000, 5);
	VECTOR(lm_user_log_cmd(5, false), 0x3d, 0, 5);
	VECTOR(lm_track_cmd(2, true, b, 20), 0x3d, 0x10001, 2, 0, 0, 0, 20);
	VECTOR(lm_track_cmd(2, false, NULL, 0), 0x3d, 1, 2);
	VECTOR(lm_track_recv_cmd(2, b, 4096), 0x3e, 0, 2, 0x3ff, 0, 0, 4096);
	/* fields that no example has: UUID index in both, 64-bit offset */
	VECTOR(lm_get_cmd(2, 1, 3, 0x500000004ull, b, 4), 0x42, 0x10000, 0x30002, 4, 5, 0, 4);
	VECTOR(lm_set_cmd(2, LM_SEQ_LAST, 1, 3, 4, b, 0), 0x41, 0x20002, 0x3010002, 4, 0, 0, 0);
	VECTOR(lm_vs_cmd(LM_OP_VS_SAVE, 3, b, 512), 0xd2, 3, 0, 0, 0, 0, 512);
	VECTOR(lm_vs_cmd(LM_OP_VS_LOAD, 3, b, 512), 0xd5, 3, 512, 0, 0, 0, 512);
}

/* ---- selectors and targets ---- */

static void test_reserved_values(void)
{
	static const u8 send_sel[] = { 3, 4, 0x7f, 0x80, 0xc0, 0xff };
	static const u8 recv_sel[] = { 1, 2, 0x7f, 0x80, 0xc0, 0xff };
	static const u8 stype[] = { 2, 3, 0x7f, 0x80, 0xff };
	static u8 buf[4096] __aligned(4096);
	struct lm_cmd cmd;
	unsigned int i;

	if (!vf_start(&vf_a, PF_TP, 1, 0))
		return;
	for (i = 0; i < ARRAY_SIZE(send_sel); i++) {
		cmd = lm_suspend_cmd(vf_a.cntlid, LM_SUSPEND, false);
		cmd.cdw10 = send_sel[i];
		EXPECT_ST(vf_a.pf, cmd, LM_SC_INVALID_FIELD, "Send SEL %#x", send_sel[i]);
	}
	for (i = 0; i < ARRAY_SIZE(recv_sel); i++) {
		cmd = lm_get_cmd(vf_a.cntlid, vf_a.pf->csvi, 0, 0, buf, 48);
		cmd.cdw10 |= recv_sel[i];
		EXPECT_ST(vf_a.pf, cmd, LM_SC_INVALID_FIELD, "Receive SEL %#x", recv_sel[i]);
	}
	for (i = 0; i < ARRAY_SIZE(stype); i++)
		EXPECT_ST(vf_a.pf, lm_suspend_cmd(vf_a.cntlid, stype[i], false),
			  LM_SC_INVALID_FIELD, "STYPE %#x", stype[i]);
	EXPECT_ST(vf_a.pf, lm_resume_cmd(vf_a.cntlid), LM_SC_NOT_SUSPENDED, "no side effect");
}

static void check_bad_target(struct lm_pf *pf, u16 id, bool mmc)
{
	static u8 buf[4096] __aligned(4096);
	int st;

	memset(buf, 0, sizeof(buf));
	EXPECT_ST(pf, lm_suspend_cmd(id, LM_SUSPEND, false), LM_SC_INVALID_CTRL,
		  "Suspend of %#x", id);
	EXPECT_ST(pf, lm_get_cmd(id, pf->csvi, 0, 0, buf, 48), LM_SC_INVALID_CTRL,
		  "Get of %#x", id);
	EXPECT_ST(pf, lm_set_cmd(id, LM_SEQ_ONLY, pf->csvi, 0, 0, buf, 56), LM_SC_INVALID_CTRL,
		  "Set of %#x", id);
	st = pf_do(pf, lm_resume_cmd(id));
	EXPECT(st == LM_SC_INVALID_CTRL || (mmc && st == LM_SC_NOT_SUSPENDED),
	       "Resume of %#x: status %#x", id, st);
}

static void test_unknown_controller(void)
{
	struct lm_pf *pf = pf_get(PF_TP);

	if (!pf)
		return;
	check_bad_target(pf, 0xffff, false);
	check_bad_target(pf, 0xfffd, false);
	check_bad_target(pf, 0x4321, false);
	check_bad_target(pf, 0x8000, false);
}

/* The PFs of the subsystem manage migrations, they do not migrate. */
static void test_mmc_as_target(void)
{
	struct lm_pf *pf = pf_get(PF_TP), *pf2 = pf_get(PF_TP2);

	if (!pf || !pf2)
		return;
	check_bad_target(pf, pf->cntlid, true);
	check_bad_target(pf, pf2->cntlid, true);
	EXPECT_EQ(lm_probe(pf), 0, "PF does not answer");
}

/* ---- Suspend and Resume ---- */

static void test_suspend_rules(void)
{
	struct vf *d = &vf_a;

	if (!vf_start(d, PF_TP, 1, 1))
		return;
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "running");
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND_NOTIFY, false), LM_SC_OK, "notify");
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND_NOTIFY, false), LM_SC_OK,
		  "notify again");
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write after a notification");
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "only notified");
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false), LM_SC_OK, "suspend");
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false), LM_SC_OK, "again");
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, true), LM_SC_OK, "with DUDMQ");
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND_NOTIFY, false), LM_SC_OK,
		  "notify a suspended one");
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_OK, "resume once for all");
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "resumed");
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write after resume");
}

/* One VF suspended, another of the same PF does not notice. */
static void test_suspend_one_only(void)
{
	if (!vf_start(&vf_a, PF_TP, 1, 1) || !vf_start(&vf_b, PF_TP, 2, 1))
		return;
	if (!vf_suspend(&vf_a))
		return;
	EXPECT_EQ(unvme_rw(&vf_b.u, 1, true, 0, 8), 0, "write on the other VF");
	EXPECT_ST(vf_a.pf, lm_resume_cmd(vf_b.cntlid), LM_SC_NOT_SUSPENDED, "the other VF");
	vf_resume(&vf_a);
}

/* ---- Get Controller State ---- */

static void test_get_header(void)
{
	static u8 buf[4096] __aligned(4096);
	struct vf *d = &vf_a;
	struct lm_cmd cmd;

	if (!vf_start(d, PF_TP, 1, 2))
		return;
	cmd = lm_get_cmd(d->cntlid, d->pf->csvi, d->pf->csuuidi, 0, buf, LM_HEADER);
	memset(buf, 0xaa, sizeof(buf));
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "running");
	EXPECT_EQ(cmd.result & 1, 0, "CSUP of a running controller");
	EXPECT_EQ(buf[2], 0, "CSATTR of a running controller");

	vf_suspend(d);
	memset(buf, 0xaa, sizeof(buf));
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "suspended");
	EXPECT_EQ(cmd.result, 1, "DW0 of a suspended controller");
	EXPECT_EQ(buf[2], 1, "CSATTR of a suspended controller");
	EXPECT_EQ(buf[LM_HEADER], 0xaa, "NUMDL is 0's based, a byte behind the buffer");

	vf_resume(d);
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "resumed");
	EXPECT_EQ(cmd.result & 1, 0, "CSUP after Resume");
	EXPECT_EQ(buf[2], 0, "CSATTR after Resume");
}

/* Every combination of the two format indexes. */
static void test_get_formats(void)
{
	struct lm_state s;
	struct lm_view v;
	struct vf *d = &vf_a;
	struct lm_pf *pf;
	u64 vss, nvmecss;
	u8 b[48];

	if (!vf_start(d, PF_TP, 1, 2) || !vf_suspend(d))
		return;
	pf = d->pf;
	if (!vf_get(d, &s, &v))
		return;
	check_view(&d->u, &v, 0);
	EXPECT(v.vss, "no vendor state");
	vss = v.vss;
	nvmecss = v.nvmecss;
	EXPECT_EQ(nvmecss, 2 + 6 * 4, "NVMECSS");
	lm_state_free(&s);

	EXPECT_EQ(lm_get(pf, d->cntlid, pf->csvi, 0, 0, &s), LM_SC_OK, "NVMe state only");
	EXPECT_EQ(!lm_parse(s.data, s.size, &v), true, "parse");
	EXPECT(v.vss == 0 && v.nvmecss == nvmecss, "VSS %lu NVMECSS %lu", v.vss, v.nvmecss);
	lm_state_free(&s);
	EXPECT_EQ(lm_get(pf, d->cntlid, 0, pf->csuuidi, 0, &s), LM_SC_OK, "vendor state only");
	EXPECT_EQ(!lm_parse(s.data, s.size, &v), true, "parse");
	EXPECT(v.vss == vss && v.nvmecss == 0, "VSS %lu NVMECSS %lu", v.vss, v.nvmecss);
	lm_state_free(&s);
	EXPECT_EQ(lm_get(pf, d->cntlid, 0, 0, 0, &s), LM_SC_OK, "header only");
	EXPECT_EQ(s.size, LM_HEADER, "header only");
	lm_state_free(&s);

	EXPECT_ST(pf, lm_get_cmd(d->cntlid, pf->nv + 1, 0, 0, b, 48), LM_SC_INVALID_FIELD,
		  "CSVI > NV");
	EXPECT_ST(pf, lm_get_cmd(d->cntlid, 0xff, 0, 0, b, 48), LM_SC_INVALID_FIELD, "CSVI FFh");
	EXPECT_ST(pf, lm_get_cmd(d->cntlid, pf->csvi, pf->nuuid + 1, 0, b, 48),
		  LM_SC_INVALID_FIELD, "CSUUIDI > NUUID");
	EXPECT_ST(pf, lm_get_cmd(d->cntlid, pf->csvi, 0xff, 0, b, 48), LM_SC_INVALID_FIELD,
		  "CSUUIDI FFh");
}

static void test_get_offsets(void)
{
	static u8 buf[8192] __aligned(4096);
	static const u64 far[] = { 4, 4096, 1 << 20, 0xfffffffc, 1ull << 32, ~3ull };
	struct lm_state s;
	struct lm_view v;
	struct vf *d = &vf_a;
	struct lm_pf *pf;
	unsigned int i;
	int st;

	if (!vf_start(d, PF_TP, 1, 1) || !vf_suspend(d) || !vf_get(d, &s, &v))
		return;
	pf = d->pf;
	for (i = 1; i < 4; i++)
		EXPECT_ST(pf, lm_get_cmd(d->cntlid, pf->csvi, pf->csuuidi, i, buf, 4),
			  LM_SC_INVALID_FIELD, "offset %u", i);
	EXPECT_ST(pf, lm_get_cmd(d->cntlid, pf->csvi, pf->csuuidi, 50, buf, 4),
		  LM_SC_INVALID_FIELD, "offset 50");
	for (i = 0; i < ARRAY_SIZE(far); i++)
		EXPECT_ST(pf, lm_get_cmd(d->cntlid, pf->csvi, pf->csuuidi,
					 far[i] < s.size ? s.size + far[i] : far[i], buf, 4),
			  LM_SC_INVALID_FIELD, "offset far behind the end");
	st = pf_do(pf, lm_get_cmd(d->cntlid, pf->csvi, pf->csuuidi, s.size, buf, 4));
	EXPECT(st == LM_SC_OK || st == LM_SC_INVALID_FIELD, "offset at the end: %#x", st);

	/* more than there is: all of it arrives */
	memset(buf, 0xaa, sizeof(buf));
	EXPECT_ST(pf, lm_get_cmd(d->cntlid, pf->csvi, pf->csuuidi, s.size - 4, buf, 4096),
		  LM_SC_OK, "over the end");
	EXPECT(!memcmp(buf, s.data + s.size - 4, 4), "last dword");
	EXPECT_EQ(buf[4096], 0xaa, "a byte behind the buffer");
	lm_state_free(&s);
}

/* Any cut gives the same bytes, and no transfer is longer than asked for. */
static void check_cut(struct vf *d, const struct lm_state *want, u32 piece)
{
	static u8 buf[65536 + 4096] __aligned(4096);
	struct lm_state got, part;
	size_t off, n;

	for (off = 0; off < want->size; off += n) {
		n = min_t(size_t, piece, want->size - off);
		memset(buf, 0xaa, sizeof(buf));
		if (!EXPECT_ST(d->pf, lm_get_cmd(d->cntlid, d->pf->csvi, d->pf->csuuidi, off, buf,
						 n), LM_SC_OK, "%zu bytes at %zu", n, off))
			return;
		got = (struct lm_state){ buf, n };
		part = (struct lm_state){ want->data + off, n };
		EXPECT(same_state(&got, &part), "%zu bytes at %zu differ", n, off);
		if (!EXPECT(buf[n] == 0xaa && buf[n + 3] == 0xaa, "%zu bytes at %zu: longer", n,
			    off))
			return;
		if (piece == 4 && off > 400)
			return;
	}
}

static void test_get_pieces(void)
{
	static const u32 pieces[] = { 4, 52, 484, 4092, 4096, 4100, 65536 };
	struct lm_state s;
	struct lm_view v;
	unsigned int i;

	if (!vf_start(&vf_a, PF_TP, 1, 2) || !vf_suspend(&vf_a) || !vf_get(&vf_a, &s, &v))
		return;
	for (i = 0; i < ARRAY_SIZE(pieces); i++)
		check_cut(&vf_a, &s, pieces[i]);
	lm_state_free(&s);
}

/* NUMDL is 34 bits of bytes; more than MDTS is refused before any transfer. */
static void test_get_mdts(void)
{
	static const u32 numdl[] = { 0xffffffff, 0x7fffffff, 0x3fffffff, 0x40000000, 0x40000010 };
	static u8 buf[8192] __aligned(4096);
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	unsigned int i;
	u32 mdts;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	mdts = d->pf->id[77];
	if (!EXPECT(mdts && mdts < 20, "MDTS %u", mdts))
		return;
	memset(buf, 0xaa, sizeof(buf));
	cmd = lm_get_cmd(d->cntlid, d->pf->csvi, d->pf->csuuidi, 0, buf, 4096);
	for (i = 0; i < ARRAY_SIZE(numdl); i++) {
		cmd.cdw15 = numdl[i];
		EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_INVALID_FIELD, "NUMDL %#x", numdl[i]);
	}
	cmd.cdw15 = (4096u << mdts) / 4;
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_INVALID_FIELD, "MDTS and a dword");
	EXPECT(buf[0] == 0xaa && buf[4096] == 0xaa, "data came all the same");
	cmd = lm_set_cmd(d->cntlid, LM_SEQ_FIRST, d->pf->csvi, 0, 0, buf, 4096);
	for (i = 0; i < ARRAY_SIZE(numdl); i++) {
		cmd.cdw15 = numdl[i];
		EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_INVALID_FIELD, "NUMD %#x", numdl[i]);
	}
}

/* ---- Set Controller State ---- */

static void test_set_not_settable(void)
{
	struct vf *d = &vf_a;
	struct v0 q;

	if (!vf_start(d, PF_TP, 1, 0))
		return;
	v0_init(&q, &d->u);
	unvme_disable(&d->u);
	EXPECT_EQ(v0_set(d, &q), LM_SC_INVALID_CTRL, "online, CC.EN=0, not suspended");
}

/* An enabled controller need not be suspended; its new queue works at once. */
static void test_set_enabled(void)
{
	struct vf *d = &vf_a;
	struct v0 q;

	if (!vf_start(d, PF_TP, 1, 0))
		return;
	v0_init(&q, &d->u);
	if (!EXPECT_EQ(v0_set(d, &q), LM_SC_OK, "enabled, not suspended"))
		return;
	v0_adopt(&q, &d->u);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write on the loaded queue");
	EXPECT_EQ(v0_set(d, &q), LM_SC_INVALID_FIELD, "NVMe state over I/O queues");
}

/* The same on a suspended one: nothing happens before Resume. */
static void test_set_suspended(void)
{
	struct nvme_sqe sqe = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct quiet quiet;
	struct v0 q;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	v0_init(&q, u);
	q.sq.tail = 1;		/* a command is waiting */
	v0_adopt(&q, u);
	unvme_queue_cmd(u, 1, &sqe, NULL, NULL);
	u->sqs[1].rung = 1;
	EXPECT_EQ(quiet_start(&quiet, &u->udrv), 0, "watch");
	if (!EXPECT_EQ(v0_set(d, &q), LM_SC_OK, "suspended"))
		return;
	EXPECT_EQ(quiet_check(&quiet, 300), 0, "silence before Resume");
	quiet_end(&quiet);
	vf_resume(d);
	EXPECT_EQ(unvme_drain(u, 1, 0), 0, "the waiting command");
	EXPECT_EQ(unvme_rw(u, 1, true, 0, 8), 0, "write on the loaded queue");
	unvme_check_idle(u, 0);
}

/* A queue in the middle of its life: wrapped, second pass, and with interrupts. */
static void check_loaded_position(u16 tail, bool s0pt)
{
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	unsigned int i;
	struct v0 q;

	v0_init(&q, u);
	q.cq.head = tail;
	q.cq.tail = tail;
	q.cq.attr |= s0pt << 2;
	q.sq.head = 5;
	q.sq.tail = 5;
	v0_adopt(&q, u);
	u->cqs[1].head = tail;
	/* slots before tail carry the phase of this pass, which slot 0 shows */
	u->cqs[1].phase = tail ? s0pt : !s0pt;
	for (i = 0; i < u->cqs[1].depth; i++)
		u->cqs[1].ring[i].status = i < tail ? s0pt : !u->cqs[1].phase;
	u->sqs[1].head = 5;
	u->sqs[1].tail = 5;
	u->sqs[1].rung = 5;
	if (!EXPECT_EQ(v0_set(d, &q), LM_SC_OK, "tail %u, S0PT %u", tail, s0pt))
		return;
	for (i = 0; i < 20; i++)
		if (!EXPECT_EQ(unvme_rw(u, 1, i & 1, 0, 8), 0, "tail %u, S0PT %u", tail, s0pt))
			return;
	unvme_check_idle(u, 0);
	EXPECT_EQ(unvme_delete_sq(u, 1), 0, "delete SQ");
	EXPECT_EQ(unvme_delete_cq(u, 1), 0, "delete CQ");
}

static void test_set_positions(void)
{
	if (!vf_start(&vf_a, PF_TP, 1, 0))
		return;
	check_loaded_position(0, false);
	check_loaded_position(0, true);
	check_loaded_position(7, false);
	check_loaded_position(7, true);
	check_loaded_position(15, true);
}

static void test_set_offsets(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	struct v0 q;
	unsigned int i;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	for (i = 1; i < 4; i++)
		EXPECT_ST(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, d->pf->csvi, 0, i, s.data,
					    s.size), LM_SC_INVALID_FIELD, "offset %u", i);
	EXPECT_ST(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_FIRST, d->pf->csvi, 0, 0, s.data, 48),
		  LM_SC_OK, "first");
	EXPECT_ST(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_LAST, d->pf->csvi, 0, 4096, s.data + 48,
				    56), LM_SC_INVALID_FIELD, "offset > size");
	EXPECT_ST(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_FIRST, d->pf->csvi, 0, 0, s.data, 48),
		  LM_SC_OK, "first");
	EXPECT_ST(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_LAST, d->pf->csvi, 0, (1ull << 32) + 48,
				    s.data + 48, 56), LM_SC_INVALID_FIELD, "upper half of offset");
	EXPECT_EQ(v0_set(d, &q), LM_SC_OK, "good one afterwards");
	lm_state_free(&s);
	vf_resume(d);
}

static struct lm_cmd set_piece(struct vf *d, const struct lm_state *s, u8 seq, u32 off, u32 len)
{
	return lm_set_cmd(d->cntlid, seq, d->pf->csvi, 0, off, s->data + off, len);
}

static void test_set_sequence(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	struct v0 q;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_MIDDLE, 0, 48), LM_SC_SEQUENCE_ERROR,
		  "middle first");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_LAST, 0, 48), LM_SC_SEQUENCE_ERROR, "last first");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_LAST, 0, 0), LM_SC_SEQUENCE_ERROR,
		  "empty last first");

	/* one of the middle of a transfer */
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_FIRST, 0, 48), LM_SC_OK, "first");
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_SEQUENCE_ERROR, "Resume in between");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_MIDDLE, 48, 8), LM_SC_OK, "middle");
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_SEQUENCE_ERROR, "Resume in between");

	/* a new first forgets all that */
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_FIRST, 0, 48), LM_SC_OK, "first again");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_MIDDLE, 48, 28), LM_SC_OK, "middle");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_MIDDLE, 76, 28), LM_SC_OK, "middle");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_LAST, 104, 0), LM_SC_OK, "last without data");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_LAST, 104, 0), LM_SC_SEQUENCE_ERROR, "last again");
	lm_state_free(&s);
	if (!vf_resume(d))
		return;
	v0_adopt(&q, &d->u);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write on the loaded queue");
}

static void test_set_numd(void)
{
	static u8 page[4096] __aligned(4096);
	struct vf *d = &vf_a;
	struct lm_state s;
	struct lm_cmd cmd;
	struct v0 q;
	int st;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_ONLY, 0, 0), LM_SC_INVALID_FIELD, "NUMD 0 alone");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_FIRST, 0, 0), LM_SC_INVALID_FIELD, "NUMD 0 first");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_FIRST, 0, 48), LM_SC_OK, "first");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_MIDDLE, 48, 0), LM_SC_INVALID_FIELD,
		  "NUMD 0 middle");

	/* a plain count: one dword less is a truncated state, one more has a byte too many */
	st = pf_do(d->pf, set_piece(d, &s, LM_SEQ_ONLY, 0, s.size - 4));
	EXPECT_EQ(st, LM_SC_INVALID_FIELD, "a dword too short");
	memcpy(page, s.data, s.size);
	cmd = lm_set_cmd(d->cntlid, LM_SEQ_ONLY, d->pf->csvi, 0, 0, page, s.size + 4);
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_INVALID_FIELD, "a dword too long");
	EXPECT_ST(d->pf, set_piece(d, &s, LM_SEQ_ONLY, 0, s.size), LM_SC_OK, "exact");
	lm_state_free(&s);
	vf_resume(d);
}

static void test_set_formats(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	struct lm_pf *pf;
	struct v0 q;
	u64 one = 1;
	u8 *vend;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	pf = d->pf;
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	vend = calloc(1, 4096);
	memcpy(vend, s.data, s.size);
	memcpy(vend + 32, &one, sizeof(one));

	EXPECT_ST(pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, pf->nv + 1, 0, 0, s.data, s.size),
		  LM_SC_INVALID_FIELD, "CSVI > NV");
	EXPECT_ST(pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, pf->csvi, pf->nuuid + 1, 0, s.data,
				 s.size), LM_SC_INVALID_FIELD, "CSUUIDI > NUUID");
	EXPECT_ST(pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, pf->csvi, 0xff, 0, s.data, s.size),
		  LM_SC_INVALID_FIELD, "CSUUIDI FFh");
	EXPECT_ST(pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, 0, 0, 0, s.data, s.size),
		  LM_SC_INVALID_FIELD, "both 0");
	EXPECT_ST(pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, 0, pf->csuuidi, 0, s.data, s.size),
		  LM_SC_INVALID_FIELD, "CSVI 0 and NVMe state");
	EXPECT_ST(pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, pf->csvi, 0, 0, vend, s.size + 4),
		  LM_SC_INVALID_FIELD, "CSUUIDI 0 and vendor state");
	EXPECT_ST(pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, pf->csvi, 0, 0, s.data, s.size),
		  LM_SC_OK, "good one afterwards");
	free(vend);
	lm_state_free(&s);
	vf_resume(d);
}

/* The bytes of a header that a reader must not swallow. */
static void test_set_headers(void)
{
	static const struct { u16 off; u8 val; } bad[] = {
		{ 0, 1 }, { 1, 1 },		/* container version */
		{ 17, 1 }, { 19, 0x80 }, { 23, 0x40 }, { 24, 1 }, { 31, 0x80 },	/* NVMECSS */
		{ 32, 1 }, { 39, 0x80 }, { 40, 1 }, { 47, 0x80 },	/* VSS */
		{ 48, 1 }, { 49, 0x80 },	/* version of the NVMe state */
		{ 50, 0 }, { 50, 2 }, { 51, 0xff }, { 52, 0 }, { 52, 2 }, { 53, 0xff },
	};
	struct vf *d = &vf_a;
	struct lm_state s;
	struct v0 q;
	unsigned int i;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	v0_init(&q, &d->u);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		lm_build(&s, &q.sq, 1, &q.cq, 1);
		s.data[bad[i].off] = bad[i].val;
		EXPECT_EQ(lm_set(d->pf, d->cntlid, d->pf->csvi, 0, 0, &s), LM_SC_INVALID_FIELD,
			  "byte %u = %#x", bad[i].off, bad[i].val);
		lm_state_free(&s);
	}
	EXPECT_EQ(v0_set(d, &q), LM_SC_OK, "good one afterwards");
	vf_resume(d);
}

/* ---- queues that no Create command would accept ---- */

struct bad_queue {
	const char *what;
	void (*spoil)(struct v0 *q);
};

static void bad_sq_id0(struct v0 *q)
{
	q->sq.qid = 0;
}

static void bad_sq_id(struct v0 *q)
{
	q->sq.qid = 0x1234;
}

static void bad_sq_cqid(struct v0 *q)
{
	q->sq.cqid = 2;
}

static void bad_sq_cqid0(struct v0 *q)
{
	q->sq.cqid = 0;
}

static void bad_sq_cqid_far(struct v0 *q)
{
	q->sq.cqid = 0xffff;
}

static void bad_sq_size0(struct v0 *q)
{
	q->sq.qsize = 0;
}

static void bad_sq_size(struct v0 *q)
{
	q->sq.qsize = 0xffff;
}

static void bad_sq_head(struct v0 *q)
{
	q->sq.head = 16;
}

static void bad_sq_tail(struct v0 *q)
{
	q->sq.tail = 0xffff;
}

static void bad_sq_prp(struct v0 *q)
{
	q->sq.prp1 += 8;
}

static void bad_sq_pc(struct v0 *q)
{
	q->sq.attr = 0;
}

static void bad_cq_id0(struct v0 *q)
{
	q->cq.qid = 0;
	q->sq.cqid = 0;
}

static void bad_cq_id(struct v0 *q)
{
	q->cq.qid = 0x1234;
	q->sq.cqid = 0x1234;
}

static void bad_cq_size0(struct v0 *q)
{
	q->cq.qsize = 0;
}

static void bad_cq_size(struct v0 *q)
{
	q->cq.qsize = 0xffff;
}

static void bad_cq_head(struct v0 *q)
{
	q->cq.head = 16;
}

static void bad_cq_tail(struct v0 *q)
{
	q->cq.tail = 0x8000;
}

static void bad_cq_prp(struct v0 *q)
{
	q->cq.prp1 += 4;
}

static void bad_cq_pc(struct v0 *q)
{
	q->cq.attr &= ~1u;
}

static void bad_cq_vector(struct v0 *q)
{
	q->cq.attr |= 2 | 0x20u << 16;
}

static void bad_cq_vector_far(struct v0 *q)
{
	q->cq.attr |= 2 | 0xffffu << 16;
}

static const struct bad_queue bad_queues[] = {
	{ "SQ id 0", bad_sq_id0 },
	{ "SQ id over the limit", bad_sq_id },
	{ "SQ of a missing CQ", bad_sq_cqid },
	{ "SQ on the admin CQ", bad_sq_cqid0 },
	{ "SQ of CQ FFFFh", bad_sq_cqid_far },
	{ "SQ of one entry", bad_sq_size0 },
	{ "SQ over MQES", bad_sq_size },
	{ "SQ head behind the end", bad_sq_head },
	{ "SQ tail behind the end", bad_sq_tail },
	{ "SQ at an odd address", bad_sq_prp },
	{ "SQ not contiguous", bad_sq_pc },
	{ "CQ id 0", bad_cq_id0 },
	{ "CQ id over the limit", bad_cq_id },
	{ "CQ of one entry", bad_cq_size0 },
	{ "CQ over MQES", bad_cq_size },
	{ "CQ head behind the end", bad_cq_head },
	{ "CQ tail behind the end", bad_cq_tail },
	{ "CQ at an odd address", bad_cq_prp },
	{ "CQ not contiguous", bad_cq_pc },
	{ "CQ with vector 32", bad_cq_vector },
	{ "CQ with vector FFFFh", bad_cq_vector_far },
};

static void test_set_bad_queues(void)
{
	struct vf *d = &vf_a;
	struct v0 good, q;
	unsigned int i;
	int st;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	v0_init(&good, &d->u);
	for (i = 0; i < ARRAY_SIZE(bad_queues); i++) {
		q = good;
		bad_queues[i].spoil(&q);
		st = v0_set(d, &q);
		EXPECT(st > 0, "%s: status %#x", bad_queues[i].what, st);
	}
	/* had one of them left a queue behind, this would be refused */
	EXPECT_EQ(v0_set(d, &good), LM_SC_OK, "good one afterwards");
	vf_resume(d);
	v0_adopt(&good, &d->u);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write on the loaded queue");
}

/* Twice the same queue, or in descending order. */
static void test_set_queue_order(void)
{
	struct vf *d = &vf_a;
	struct lm_sq_state sq[2];
	struct lm_cq_state cq[2];
	struct lm_state s;
	struct v0 q;
	int i;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	v0_init(&q, &d->u);
	for (i = 0; i < 2; i++) {
		sq[i] = q.sq;
		cq[i] = q.cq;
	}
	lm_build(&s, sq, 2, cq, 1);
	EXPECT(lm_set(d->pf, d->cntlid, d->pf->csvi, 0, 0, &s) > 0, "the same SQ twice");
	lm_state_free(&s);
	lm_build(&s, sq, 1, cq, 2);
	EXPECT(lm_set(d->pf, d->cntlid, d->pf->csvi, 0, 0, &s) > 0, "the same CQ twice");
	lm_state_free(&s);
	EXPECT_EQ(v0_set(d, &q), LM_SC_OK, "good one afterwards");
	vf_resume(d);
}

/* An offline VF may be set, too, as far as it has anything to take. */
static void test_set_offline(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	struct v0 q;
	int id;

	if (!vf_start(d, PF_TP, 1, 0))
		return;
	v0_init(&q, &d->u);
	id = d->cntlid;
	lm_build(&s, NULL, 0, NULL, 0);
	EXPECT_EQ(lm_virt_mgmt(d->pf, id, 7, 0, 0), 0, "offline");
	EXPECT_EQ(lm_set(d->pf, id, d->pf->csvi, 0, 0, &s), LM_SC_OK, "a state of no queue");
	EXPECT(v0_set(d, &q) > 0, "a queue on a VF that has none to give");
	EXPECT_EQ(lm_virt_mgmt(d->pf, id, 8, 0, 5), 0, "queues");
	EXPECT_EQ(lm_virt_mgmt(d->pf, id, 8, 1, 5), 0, "vectors");
	EXPECT_EQ(lm_virt_mgmt(d->pf, id, 9, 0, 0), 0, "online");
	lm_state_free(&s);
}

/* Saved, loaded elsewhere in pieces, saved again: the same bytes. */
static void check_load_pieces(struct lm_state *s, u32 piece)
{
	struct vf *d = &vf_b;
	struct lm_state again;

	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	if (!vf_suspend(d))
		return;
	if (!EXPECT_EQ(lm_set(d->pf, d->cntlid, d->pf->csvi, d->pf->csuuidi, piece, s), LM_SC_OK,
		       "in pieces of %u", piece))
		return;
	if (!EXPECT_EQ(lm_get(d->pf, d->cntlid, d->pf->csvi, d->pf->csuuidi, 0, &again), LM_SC_OK,
		       "get"))
		return;
	EXPECT(same_state(&again, s), "after a load in pieces of %u", piece);
	lm_state_free(&again);
}

static void test_set_pieces(void)
{
	static const u32 pieces[] = { 0, 48, 148, 4092, 4096 };
	struct lm_state s;
	struct lm_view v;
	unsigned int i;

	if (!vf_start(&vf_a, PF_TP, 1, 2) || !vf_open(&vf_b, PF_TP2, 1))
		return;
	EXPECT_EQ(unvme_rw(&vf_a.u, 1, true, 0, 8), 0, "write");
	if (!vf_suspend(&vf_a) || !vf_get(&vf_a, &s, &v))
		return;
	for (i = 0; i < ARRAY_SIZE(pieces); i++)
		check_load_pieces(&s, pieces[i]);
	lm_state_free(&s);
}

/* ---- the vendor set ---- */

static void test_vendor_rules(void)
{
	static u8 buf[65536] __aligned(4096);
	static const u16 bad_vf[] = { 0, 5, 0x7fff, 0xffff };
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	unsigned int i, j;
	u32 before, after;

	if (!vf_start(d, PF_VS, 1, 1))
		return;
	for (i = 0; i < ARRAY_SIZE(bad_vf); i++) {
		static const u8 ops[] = {
			LM_OP_VS_QUERY, LM_OP_VS_SUSPEND, LM_OP_VS_RESUME, LM_OP_VS_SAVE,
			LM_OP_VS_LOAD,
		};

		for (j = 0; j < ARRAY_SIZE(ops); j++)
			EXPECT(pf_do(d->pf, lm_vs_cmd(ops[j], bad_vf[i], ops[j] & 3 ? buf : NULL,
						      4096)) > 0,
			       "opcode %#x, VF %#x", ops[j], bad_vf[i]);
	}
	EXPECT(lmt_resume(&d->t) > 0, "resume of a running VF");
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write");
	vf_suspend(d);
	vf_suspend(d);
	cmd = lm_vs_cmd(LM_OP_VS_QUERY, 1, NULL, 0);
	EXPECT_EQ(lm_exec(d->pf, &cmd), 0, "query");
	before = cmd.result;
	EXPECT(before >= 64 && before <= sizeof(buf) - 4096, "size %u", before);
	memset(buf, 0xaa, sizeof(buf));
	cmd = lm_vs_cmd(LM_OP_VS_SAVE, 1, buf, before);
	EXPECT_EQ(lm_exec(d->pf, &cmd), 0, "save");
	for (i = 0; i < 64; i++)
		EXPECT_EQ(buf[before + i], 0xaa, "%u bytes behind the announced size", i);
	cmd = lm_vs_cmd(LM_OP_VS_QUERY, 1, NULL, 0);
	EXPECT_EQ(lm_exec(d->pf, &cmd), 0, "query");
	after = cmd.result;
	EXPECT_EQ(after, before, "size after the save");
	vf_resume(d);
	EXPECT(lmt_resume(&d->t) > 0, "resume again");
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write after resume");
}

/* LOAD takes exactly the data of SAVE, not less, and leaves the VF as it was if it refuses. */
static void test_vendor_load(void)
{
	static const u32 sizes[] = { 0, 1, 3, 4, 48, 0xffffffff, 0x80000000, 0x40000004 };
	struct lm_state s;
	struct lm_cmd cmd;
	unsigned int i;

	if (!vf_start(&vf_a, PF_VS, 1, 1) || !vf_open(&vf_b, PF_VS2, 2))
		return;
	if (!vf_suspend(&vf_a) || !vf_suspend(&vf_b) || !vf_get(&vf_a, &s, NULL))
		return;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		cmd = lm_vs_cmd(LM_OP_VS_LOAD, 2, s.data, s.size);
		cmd.cdw11 = sizes[i];
		EXPECT(lm_exec(vf_b.pf, &cmd) > 0, "size %#x", sizes[i]);
	}
	EXPECT_EQ(lmt_load(&vf_b.t, &s), LM_SC_OK, "load");
	lm_state_free(&s);
}

static const struct tap_test rules_tests[] = {
	{ "encodings of section 7.1", test_vectors },
	{ "reserved values", test_reserved_values },
	{ "unknown controller", test_unknown_controller },
	{ "a PF as target", test_mmc_as_target },
	{ "Suspend and Resume", test_suspend_rules },
	{ "Suspend hits one VF only", test_suspend_one_only },
	{ "Get, header and CSUP", test_get_header },
	{ "Get, format indexes", test_get_formats },
	{ "Get, offsets", test_get_offsets },
	{ "Get, pieces", test_get_pieces },
	{ "Get and Set over MDTS", test_get_mdts },
	{ "Set on a controller that cannot take it", test_set_not_settable },
	{ "Set on an enabled controller", test_set_enabled },
	{ "Set on a suspended controller", test_set_suspended },
	{ "Set, queue positions and phases", test_set_positions },
	{ "Set, offsets", test_set_offsets },
	{ "Set, sequence", test_set_sequence },
	{ "Set, NUMD", test_set_numd },
	{ "Set, format indexes", test_set_formats },
	{ "Set, spoilt headers", test_set_headers },
	{ "Set, impossible queues", test_set_bad_queues },
	{ "Set, order of queues", test_set_queue_order },
	{ "Set on an offline VF", test_set_offline },
	{ "Set in pieces, Get gives the same", test_set_pieces },
	{ "vendor set", test_vendor_rules },
	{ "vendor LOAD sizes", test_vendor_load },
};

const struct test_group rules_group = { "rules", rules_tests, ARRAY_SIZE(rules_tests) };
