// SPDX-License-Identifier: GPL-2.0-only
/*
 * Track Send and Track Receive: rules, statuses, and how long tracking lasts. What is in the log
 * is the subject of dirty.c.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "track.h"

/* Whether the log of a VF can be read. */
static void expect_tracked(struct track *t, bool tracked, const char *what)
{
	static u8 buf[4096] __aligned(4096);

	EXPECT_ST(t->pf, lm_track_recv_cmd(t->cntlid, buf, sizeof(buf)),
		  tracked ? LM_SC_OK : LM_SC_INVALID_CTRL, "%s", what);
}

/* Start must be refused, and leave nothing behind. */
static void expect_refused(struct track *t, int status, const char *what)
{
	EXPECT_EQ(track_start(t), status, "%s", what);
	expect_tracked(t, false, what);
}

static bool start_arena(struct track *t, struct vf *d)
{
	track_arena(t, d, 0);
	return EXPECT_EQ(track_start(t), LM_SC_OK, "start");
}

/* A write of the device is in the log. */
static void expect_logged(struct track *t, struct vf *d, const char *what)
{
	static struct track_log log;

	memset(&log, 0, sizeof(log));
	EXPECT_EQ(unvme_get_features(&d->u, 7, 0, NULL), 0, "%s: command", what);
	if (track_read(t, 4096, &log))
		EXPECT(log.descriptors, "%s: nothing in the log", what);
}

static bool up_again(struct vf *d)
{
	static const struct unvme_opts opts = { .queues = 1 };

	unvme_fini(&d->u);
	arena_reset(&arena);
	return vf_up(d, &opts);
}

/* ---- selectors, targets ---- */

static void check_target(struct lm_pf *pf, u16 id)
{
	static u8 buf[4096] __aligned(4096);
	struct track t = { .pf = pf, .cntlid = id };

	track_add(&t, arena.iova, 1);
	expect_refused(&t, LM_SC_INVALID_CTRL, "start");
	EXPECT_EQ(track_stop(&t), LM_SC_INVALID_CTRL, "stop of %#x", id);
	EXPECT_ST(pf, lm_track_recv_cmd(id, buf, 4096), LM_SC_INVALID_CTRL, "receive of %#x", id);
}

static void test_targets(void)
{
	struct lm_pf *pf = pf_get(PF_TP), *pf2 = pf_get(PF_TP2);

	if (!pf || !pf2)
		return;
	check_target(pf, 0xffff);
	check_target(pf, 0x4321);
	check_target(pf, pf->cntlid);
	check_target(pf, pf2->cntlid);
}

static void test_selectors(void)
{
	static const u8 sel[] = { 2, 3, 0x7f, 0x80, 0xff };
	static u8 buf[4096] __aligned(4096);
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	struct track t;
	unsigned int i;

	if (!vf_open(d, PF_TP, 1))
		return;
	track_arena(&t, d, 0);
	track_build(&t, buf);
	for (i = 0; i < ARRAY_SIZE(sel); i++) {
		cmd = lm_track_cmd(d->cntlid, true, buf, 20);
		cmd.cdw10 = (cmd.cdw10 & ~0xff) | sel[i];
		EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "Track Send SEL %#x", sel[i]);
	}
	cmd = lm_track_cmd(d->cntlid, true, buf, 20);
	cmd.nsid = 1;
	EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "Track Send with NSID 1");
	expect_tracked(&t, false, "after all that");
	if (!start_arena(&t, d))
		return;
	for (i = 0; i < ARRAY_SIZE(sel); i++) {
		cmd = lm_track_recv_cmd(d->cntlid, buf, 4096);
		cmd.cdw10 = sel[i];
		EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "Track Receive SEL %#x", sel[i]);
	}
	cmd = lm_track_recv_cmd(d->cntlid, buf, 4096);
	cmd.nsid = 1;
	EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "Track Receive with NSID 1");
}

/* ---- start and stop ---- */

static void test_start_stop(void)
{
	struct vf *d = &vf_a;
	struct track t, other;
	int round;

	if (!vf_start(d, PF_TP, 1, 0) || !pf_get(PF_TP2))
		return;
	track_arena(&t, d, 0);
	other = t;
	other.pf = pf_get(PF_TP2);
	for (round = 0; round < 2; round++) {
		expect_tracked(&t, false, "before the start");
		EXPECT_EQ(track_stop(&t), LM_SC_INVALID_CTRL, "stop before the start");
		if (!start_arena(&t, d))
			return;
		EXPECT_EQ(track_start(&t), LM_SC_INVALID_CTRL, "second start");
		EXPECT_EQ(track_start(&other), LM_SC_INVALID_CTRL, "start by another PF");
		expect_tracked(&other, false, "for another PF");
		EXPECT_EQ(track_stop(&other), LM_SC_INVALID_CTRL, "stop by another PF");
		expect_logged(&t, d, "after all that");
		EXPECT_EQ(unvme_get_features(&d->u, 7, 0, NULL), 0, "a write nobody asks for");
		EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
	}
	EXPECT_EQ(unvme_get_features(&d->u, 7, 0, NULL), 0, "a write while it is off");
	if (start_arena(&t, d)) {
		static struct track_log log;

		memset(&log, 0, sizeof(log));
		track_read(&t, 4096, &log);
		EXPECT_EQ(log.descriptors, 0, "a new log");
	}
}

/* Any controller of the subsystem may be tracked, also by the PF that it does not belong to. */
static void test_other_pf(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, PF_TP, 1, 0) || !pf_get(PF_TP2))
		return;
	track_arena(&t, d, 0);
	t.pf = pf_get(PF_TP2);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	expect_logged(&t, d, "tracked by another PF");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
}

/* ---- the structure ---- */

static void test_structure(void)
{
	struct vf *d = &vf_a;
	struct track_limits l;
	struct track t;

	if (!vf_open(d, tap_arg(), 1))
		return;
	l = track_limits(d->pf->id);

	track_arena(&t, d, l.minmrtg);
	t.ver = 1;
	expect_refused(&t, LM_SC_INVALID_FIELD, "VER 1");
	track_arena(&t, d, l.maxmrtg + 1);
	expect_refused(&t, LM_SC_INVALID_FIELD, "RMRTG above MAXMRTG");
	track_arena(&t, d, 0xff);
	expect_refused(&t, LM_SC_INVALID_FIELD, "RMRTG FFh");
	if (l.minmrtg) {
		track_arena(&t, d, l.minmrtg - 1);
		expect_refused(&t, LM_SC_INVALID_FIELD, "RMRTG below MINMRTG");
	}
	track_init(&t, d, l.minmrtg);
	expect_refused(&t, LM_SC_INVALID_FIELD, "no descriptor");
	track_add(&t, arena.iova, 0);
	expect_refused(&t, LM_SC_INVALID_FIELD, "LEN 0");

	track_init(&t, d, l.minmrtg);
	track_add(&t, arena.iova + 4, 1);
	expect_refused(&t, LM_SC_INVALID_FIELD, "SADDR with low bits");
	track_init(&t, d, l.minmrtg + 1);
	track_add(&t, arena.iova + ((u64)TRACK_PAGE << l.minmrtg), 1);
	expect_refused(&t, LM_SC_INVALID_FIELD, "SADDR at half a unit");
	track_init(&t, d, l.minmrtg);
	track_add(&t, -((u64)TRACK_PAGE << l.minmrtg), 2);
	expect_refused(&t, LM_SC_INVALID_FIELD, "a range beyond 64 bits");
}

/* The last unit of all is an address like any other. */
static void test_address_end(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, PF_TP, 1, 0))
		return;
	track_arena(&t, d, 0);
	track_add(&t, -(u64)TRACK_PAGE, 1);
	track_add(&t, 0, 1);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	expect_logged(&t, d, "with both ends");
}

static void test_overlaps(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, PF_TP, 1, 0))
		return;
	track_init(&t, d, 0);
	track_add(&t, arena.iova, 8);
	track_add(&t, arena.iova, 8);
	expect_refused(&t, LM_SC_INVALID_FIELD, "the same twice");
	t.range[1] = (struct track_range){ arena.iova + 7 * TRACK_PAGE, 8 };
	expect_refused(&t, LM_SC_INVALID_FIELD, "one page in both");
	t.range[1] = (struct track_range){ arena.iova + 2 * TRACK_PAGE, 1 };
	expect_refused(&t, LM_SC_INVALID_FIELD, "one in the other");
	t.range[1] = (struct track_range){ arena.iova - TRACK_PAGE, 2 };
	expect_refused(&t, LM_SC_INVALID_FIELD, "descending");
	t.range[1] = (struct track_range){ arena.iova - TRACK_PAGE, 1 };
	EXPECT_EQ(track_start(&t), LM_SC_OK, "that touch");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
}

static void test_pow2(void)
{
	static const u32 bad[] = { 3, 5, 6, 7, 12, 0x1001, 0x6000 };
	struct vf *d = &vf_a;
	struct track t;
	unsigned int i;

	if (!vf_start(d, tap_arg(), 1, 0))
		return;
	EXPECT(track_limits(d->pf->id).pow2, "TRATTR %#x", d->pf->id[576]);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		track_init(&t, d, 0);
		track_add(&t, arena.iova, bad[i]);
		expect_refused(&t, LM_SC_INVALID_FIELD, "length that is no power of two");
	}
	for (i = 0; i < 13; i++) {
		track_init(&t, d, 0);
		/* only the length counts, not where it begins */
		track_add(&t, arena.iova - TRACK_PAGE, 1u << i);
		EXPECT_EQ(track_start(&t), LM_SC_OK, "%u units", 1u << i);
		EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
	}
}

/* ---- how many descriptors ---- */

static void add_many(struct track *t, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		track_add(t, arena.iova + 2ull * (t->nr) * TRACK_PAGE, 1);
}

static void init_many(struct track *t, struct vf *d, unsigned int nr)
{
	track_init(t, d, 0);
	add_many(t, nr);
}

/* A controller has as many as are left: CMMRTD for this PF, NMMRTD for all. */
static void test_descriptors(void)
{
	struct vf *a = &vf_a, *b = &vf_b;
	struct track_limits l;
	struct track t, u;

	if (!vf_open(a, tap_arg(), 1) || !vf_open(b, tap_arg(), 2))
		return;
	l = track_limits(a->pf->id);
	if (!EXPECT(l.cmmrtd >= 2 && l.cmmrtd <= TRACK_RANGES, "CMMRTD %u", l.cmmrtd))
		return;
	init_many(&t, a, l.cmmrtd + 1);
	expect_refused(&t, LM_SC_INVALID_FIELD, "CMMRTD + 1");
	init_many(&t, a, l.cmmrtd - 1);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "CMMRTD - 1");
	init_many(&u, b, 2);
	expect_refused(&u, LM_SC_INVALID_FIELD, "two where one is left");
	init_many(&u, b, 1);
	EXPECT_EQ(track_start(&u), LM_SC_OK, "the last one");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
	init_many(&t, a, l.cmmrtd);
	expect_refused(&t, LM_SC_INVALID_FIELD, "all while one is in use");
	EXPECT_EQ(track_stop(&u), LM_SC_OK, "stop");
	EXPECT_EQ(track_start(&t), LM_SC_OK, "all");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
}

static void test_descriptors_total(void)
{
	struct vf *a = &vf_a, *b = &vf_b;
	struct track_limits l;
	struct track t, u;

	if (!vf_open(a, TR_FEW, 1) || !vf_open(b, TR_FEW2, 1))
		return;
	l = track_limits(a->pf->id);
	if (!EXPECT(l.nmmrtd > l.cmmrtd && l.nmmrtd < 2 * l.cmmrtd, "CMMRTD %u, NMMRTD %u",
		    l.cmmrtd, l.nmmrtd))
		return;
	init_many(&t, a, l.cmmrtd);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "CMMRTD of one PF");
	init_many(&u, b, l.nmmrtd - l.cmmrtd + 1);
	expect_refused(&u, LM_SC_INVALID_FIELD, "more than NMMRTD with the other PF");
	init_many(&u, b, l.nmmrtd - l.cmmrtd);
	EXPECT_EQ(track_start(&u), LM_SC_OK, "NMMRTD in all");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
	EXPECT_EQ(track_stop(&u), LM_SC_OK, "stop");
}

/* ---- resources ---- */

#define UNITS	(32u << 20)	/* of a log, all VFs of a PF together */

static void expect_short(struct track *t, u32 mrtg, u32 nmrtd, const char *what)
{
	expect_refused(t, LM_SC_NOT_ENOUGH, what);
	EXPECT_EQ(t->mrtg, mrtg, "%s: MRTG", what);
	EXPECT_EQ(t->nmrtd, nmrtd, "%s: NMRTD", what);
}

static void test_resources(void)
{
	struct vf *a = &vf_a, *b = &vf_b;
	struct track t, u;

	if (!vf_start(a, PF_TP, 1, 0) || !vf_open(b, PF_TP, 2))
		return;
	track_init(&t, a, 0);
	track_add(&t, arena.iova, UNITS + 1);
	expect_short(&t, 1, 0, "one unit too many");
	t.range[0].units = ~0u;
	expect_short(&t, 7, 0, "2^32 - 1 units");
	track_init(&t, a, 9);
	track_add(&t, 0, ~0u);
	expect_short(&t, 0xffff, 0, "too many of the largest units");

	track_init(&t, a, 0);
	track_add(&t, 1ull << 40, UNITS / 2);
	track_add(&t, arena.iova, UNITS / 2 - 1);
	track_add(&t, 0, 2);
	expect_short(&t, 1, 2, "two of three");
	t.range[2].units = 1;
	EXPECT_EQ(track_start(&t), LM_SC_OK, "three that fit");
	expect_logged(&t, a, "all units");
	/* nothing is left for the other VF until then */
	track_arena(&u, b, 0);
	expect_short(&u, 0xffff, 0, "while another VF has all");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
	t.range[1].units -= 64;
	EXPECT_EQ(track_start(&t), LM_SC_OK, "all but 64 units");
	expect_short(&u, 7, 0, "8192 where 64 are left");
	track_arena(&u, b, u.mrtg);
	EXPECT_EQ(track_start(&u), LM_SC_OK, "at the granularity that was reported");
	EXPECT_EQ(track_stop(&u), LM_SC_OK, "stop");
}

/* A request refused for lack of resources is accepted at the granularity that was reported. */
static void test_few_units(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, tap_arg(), 1, 0))
		return;
	track_arena(&t, d, 0);
	expect_short(&t, 7, 0, "8192 units");
	track_arena(&t, d, t.mrtg);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "64 units");
	expect_logged(&t, d, "64 units");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
	track_init(&t, d, 0);
	track_add(&t, arena.iova, 60);
	track_add(&t, arena.iova + 64 * TRACK_PAGE, 4);
	track_add(&t, arena.iova + 128 * TRACK_PAGE, 1);
	expect_short(&t, 1, 2, "65 units");
}

/* ---- lengths and buffers ---- */

static void test_receive_lengths(void)
{
	static const u32 numdl[] = { 0xffffffff, 0x7fffffff, 0x3fffffff, 0x40000000, 0x40000010 };
	static u8 buf[8192] __aligned(4096);
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	struct track t;
	unsigned int i;

	if (!vf_start(d, PF_TP, 1, 0) || !start_arena(&t, d))
		return;
	cmd = lm_track_recv_cmd(d->cntlid, buf, 4096);
	memset(buf, 0xaa, sizeof(buf));
	for (i = 0; i < ARRAY_SIZE(numdl); i++) {
		cmd.cdw12 = numdl[i];
		EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "NUMDL %#x", numdl[i]);
	}
	cmd.cdw12 = (4096u << d->pf->id[77]) / 4;
	EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "MDTS and a dword");
	/* no room for a descriptor: MTR would have to be 0, as if that were all */
	for (i = 4; i < 32; i += 4)
		EXPECT_ST(d->pf, lm_track_recv_cmd(d->cntlid, buf, i), LM_SC_INVALID_FIELD,
			  "%u bytes", i);
	EXPECT(buf[0] == 0xaa && buf[4096] == 0xaa, "data came all the same");
	expect_logged(&t, d, "after all that");
}

/* The header may lie anywhere in the first page, and its end and descriptors in the next one. */
static void test_send_offsets(void)
{
	static const u32 offsets[] = { 4, 64, 2044, 4084, 4088, 4092 };
	static u8 buf[8192] __aligned(4096);
	struct vf *d = &vf_a;
	struct track t;
	unsigned int i;
	size_t n;

	if (!vf_start(d, PF_TP, 1, 0))
		return;
	track_init(&t, d, 0);
	add_many(&t, 31);
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		n = track_build(&t, buf + offsets[i]);
		EXPECT_ST(d->pf, lm_track_cmd(d->cntlid, true, buf + offsets[i], n), LM_SC_OK,
			  "at offset %u", offsets[i]);
		EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
	}
}

/* Where so many descriptors are possible that PRP2 may be a list, the header has to say which. */
static void test_send_unknown(void)
{
	static u8 buf[8192] __aligned(4096);
	struct vf *d = &vf_a;
	struct track t;
	size_t n;

	if (!vf_start(d, TR_UNITS, 1, 0))
		return;
	track_init(&t, d, 0);
	add_many(&t, 2);
	n = track_build(&t, buf + 4092);
	EXPECT_ST(d->pf, lm_track_cmd(d->cntlid, true, buf + 4092, n), LM_SC_PRP_OFFSET,
		  "at offset 4092");
	expect_tracked(&t, false, "at offset 4092");
	n = track_build(&t, buf + 4088);
	EXPECT_ST(d->pf, lm_track_cmd(d->cntlid, true, buf + 4088, n), LM_SC_OK, "at offset 4088");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
}

/* ---- suspend and resume ---- */

static void test_suspended(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, PF_TP, 1, 0) || !vf_suspend(d))
		return;
	track_arena(&t, d, 0);
	EXPECT_EQ(track_start(&t), LM_SC_SUSPENDED, "start while suspended");
	expect_tracked(&t, false, "start while suspended");
	EXPECT_EQ(track_stop(&t), LM_SC_SUSPENDED, "stop while suspended and not tracked");
	vf_resume(d);
	if (!start_arena(&t, d))
		return;
	vf_suspend(d);
	expect_tracked(&t, true, "suspended");
	EXPECT_EQ(track_start(&t), LM_SC_SUSPENDED, "second start");
	EXPECT_EQ(track_stop(&t), LM_SC_SUSPENDED, "stop while suspended");
	expect_tracked(&t, true, "stopped while suspended");
	vf_resume(d);
	expect_logged(&t, d, "resumed");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop after Resume");
	expect_tracked(&t, false, "stopped after Resume");
}

static void test_stop_suspended(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, tap_arg(), 1, 0) || !start_arena(&t, d) || !vf_suspend(d))
		return;
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop while suspended");
	expect_tracked(&t, false, "stopped while suspended");
	EXPECT_EQ(track_start(&t), LM_SC_SUSPENDED, "start while suspended");
	vf_resume(d);
}

/* ---- resets ---- */

/* The MMC tracks, so a reset of the target is not the end, and the log stays. */
static void check_target_reset(struct vf *d, struct track *t, bool flr)
{
	static struct track_log log;

	memset(&log, 0, sizeof(log));
	EXPECT_EQ(unvme_get_features(&d->u, 7, 0, NULL), 0, "command");
	if (flr)
		EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	else
		EXPECT_EQ(unvme_disable(&d->u), 0, "CC.EN=0");
	if (track_read(t, 4096, &log))
		EXPECT(log.descriptors, "the log from before");
	if (up_again(d))
		expect_logged(t, d, "enabled again");
}

static void test_flr(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, PF_TP, 1, 0) || !start_arena(&t, d))
		return;
	check_target_reset(d, &t, true);
	EXPECT_EQ(track_start(&t), LM_SC_INVALID_CTRL, "start after the reset");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
}

static void test_cc_reset(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, PF_TP, 1, 0) || !start_arena(&t, d))
		return;
	check_target_reset(d, &t, false);
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
}

/* A reset ends the suspension that kept tracking from being stopped. */
static void test_flr_suspended(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, PF_TP, 1, 0) || !start_arena(&t, d) || !vf_suspend(d))
		return;
	EXPECT_EQ(track_stop(&t), LM_SC_SUSPENDED, "stop while suspended");
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	expect_tracked(&t, true, "after the reset");
	EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop after the reset");
}

/* The other kind of device: a reset of the target ends it. */
static void test_reset_ends(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, tap_arg(), 1, 0))
		return;
	track_arena(&t, d, track_limits(d->pf->id).minmrtg);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	expect_tracked(&t, false, "after a function level reset");
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start again");
	if (!up_again(d))
		return;
	expect_logged(&t, d, "enabled");
	unvme_disable(&d->u);
	expect_tracked(&t, false, "after CC.EN=0");
}

/* A reset of the PF ends all of its tracking, and no other. */
static void check_pf_reset(bool (*reset)(int nr))
{
	struct vf *a = &vf_a, *b = &vf_b;
	struct track t, u, many;
	struct track_limits l;

	if (!vf_start(a, PF_TP, 1, 0) || !vf_open(b, PF_TP2, 1))
		return;
	l = track_limits(a->pf->id);
	init_many(&t, a, l.cmmrtd);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	track_arena(&u, b, 0);
	EXPECT_EQ(track_start(&u), LM_SC_OK, "start by the other PF");
	a->u.udrv.faults = 0;
	if (!reset(PF_TP))
		return;
	expect_tracked(&t, false, "after the reset of its PF");
	EXPECT_EQ(track_stop(&t), LM_SC_INVALID_CTRL, "stop");
	expect_tracked(&u, true, "after the reset of another PF");
	EXPECT_EQ(track_stop(&u), LM_SC_OK, "stop");
	init_many(&many, a, l.cmmrtd);
	EXPECT_EQ(track_start(&many), LM_SC_OK, "no descriptor is lost");
	EXPECT_EQ(track_stop(&many), LM_SC_OK, "stop");
	EXPECT_EQ(vdev_reset(&a->dev), 0, "reset");
	vdev_bus_master(&a->dev, true);
	if (!up_again(a) || !start_arena(&t, a))
		return;
	expect_logged(&t, a, "tracked again");
}

static void test_pf_reset(void)
{
	check_pf_reset(pf_restart);
}

static void test_pf_flr(void)
{
	check_pf_reset(pf_flr);
}

/* It is the PF that tracks that counts, not the one that the VF belongs to. */
static void test_pf_reset_foreign(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, PF_TP, 1, 0) || !pf_get(PF_TP2))
		return;
	track_arena(&t, d, 0);
	t.pf = pf_get(PF_TP2);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	if (!pf_restart(PF_TP2))
		return;
	expect_tracked(&t, false, "after the reset of who tracked it");
	EXPECT_EQ(unvme_get_features(&d->u, 7, 0, NULL), 0, "the VF goes on");
	EXPECT(start_arena(&t, d), "by its own PF");
}

/* ---- the state of a controller does not know of it ---- */

static void test_load(void)
{
	struct vf *s = &vf_a, *d = &vf_b;
	struct lm_state st;
	struct lm_view v;
	struct track t;

	if (!vf_start(s, PF_TP, 1, 1) || !start_arena(&t, s) || !vf_suspend(s) ||
	    !vf_get(s, &st, &v))
		return;
	if (!vf_open(d, PF_TP2, 1))
		return;
	track_arena(&t, d, 0);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start at the destination");
	vf_suspend(d);
	EXPECT_EQ(lmt_load(&d->t, &st), 0, "load");
	lm_state_free(&st);
	expect_tracked(&t, true, "loaded");
	unvme_move(&s->u, &d->dev);
	vf_resume(d);
	expect_logged(&t, s, "after Resume at the destination");
}

/* ---- no tracking ---- */

static void test_off(void)
{
	static u8 buf[4096] __aligned(4096);
	struct lm_pf *pf = pf_get(tap_arg());
	int id;

	if (!pf)
		return;
	EXPECT(pf->hmlms, "OACS");
	EXPECT_EQ(pf->id[576], 0, "TRATTR");
	for (id = 570; id < 576; id++)
		EXPECT_EQ(pf->id[id], 0, "Identify, byte %d", id);
	id = lm_cntlid(pf, 1);
	EXPECT_ST(pf, lm_track_cmd(id, true, buf, 20), LM_SC_INVALID_OPCODE, "start");
	EXPECT_ST(pf, lm_track_cmd(id, false, NULL, 0), LM_SC_INVALID_OPCODE, "stop");
	EXPECT_ST(pf, lm_track_recv_cmd(id, buf, 4096), LM_SC_INVALID_OPCODE, "receive");
}

static const struct tap_test track_tests[] = {
	{ "targets", test_targets },
	{ "selectors", test_selectors },
	{ "start and stop", test_start_stop },
	{ "by the other PF", test_other_pf },
	{ "structure", test_structure, PF_TP },
	{ "both ends of all addresses", test_address_end },
	{ "overlaps", test_overlaps },
	{ "number of descriptors", test_descriptors, PF_TP },
	{ "not enough resources", test_resources },
	{ "length of the log's buffer", test_receive_lengths },
	{ "place of the request's buffer", test_send_offsets },
	{ "suspended", test_suspended },
	{ "FLR", test_flr },
	{ "CC.EN=0", test_cc_reset },
	{ "FLR of a suspended VF", test_flr_suspended },
	{ "reset of the PF", test_pf_reset },
	{ "FLR of the PF", test_pf_flr },
	{ "reset of another PF that tracks", test_pf_reset_foreign },
	{ "loaded", test_load },
};

static const struct tap_test track_tracking_tests[] = {
	{ "structure of the coarse one", test_structure, TR_COARSE },
	{ "few descriptors", test_descriptors, TR_FEW },
	{ "few descriptors for two PFs", test_descriptors_total },
	{ "lengths that are powers of two", test_pow2, TR_POW2 },
	{ "stop while suspended", test_stop_suspended, TR_POW2 },
	{ "few units", test_few_units, TR_UNITS },
	{ "a header that does not say what PRP2 is", test_send_unknown },
	{ "ended by a reset of the target", test_reset_ends, TR_COARSE },
	{ "off", test_off, TR_OFF },
};

const struct test_group track_group = { "track", track_tests, ARRAY_SIZE(track_tests) };

const struct test_group track_tracking_group = {
	"tracking", track_tracking_tests, ARRAY_SIZE(track_tracking_tests)
};
