// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA logging with a device that refuses, lies, or is suspended: nothing that was written goes
 * unreported. What any device has to keep to is in selftests/.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define PAGE		4096u
#define PAGES		((32u << 20) / PAGE)

static const struct unvme_opts opts = { .queues = 2, .irq = true };
static u64 bitmap[PAGES / 64];
static u8 *data;

/* VF 1 in RUNNING with a guest; skipped where there is no logging. */
static bool start(struct vf *v)
{
	if (!scene_open(v, tap_arg()))
		return false;
	if (vdev_feature(&v->dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0)) {
		tap_skip("kernel that cannot report");
		return false;
	}
	if (!vf_up(v, &opts))
		return false;
	data = v->u.scratch;
	return true;
}

static int log_start(struct vf *v, u64 *page_size)
{
	struct vfio_device_feature_dma_logging_range r = { ARENA_IOVA, PAGES * PAGE };

	return vdev_log_start(&v->dev, page_size, &r, 1);
}

static bool log_on(struct vf *v)
{
	u64 page_size = PAGE;

	return EXPECT_EQ(log_start(v, &page_size), 0, "START");
}

static void log_off(struct vf *v)
{
	EXPECT_EQ(vdev_log_stop(&v->dev), 0, "STOP");
}

static int report(struct vf *v)
{
	memset(bitmap, 0, sizeof(bitmap));
	return vdev_log_report(&v->dev, ARENA_IOVA, PAGES * PAGE, PAGE, bitmap);
}

static unsigned int reported(void)
{
	unsigned int i, nr = 0;

	for (i = 0; i < PAGES / 64; i++)
		nr += __builtin_popcountll(bitmap[i]);
	return nr;
}

static bool has(const void *p)
{
	unsigned int page = ((const u8 *)p - arena.va) / PAGE;

	return bitmap[page / 64] >> page % 64 & 1;
}

/* A few pages at most: queues, and what was read into. */
static void expect_some(struct vf *v, const char *when)
{
	if (EXPECT_EQ(report(v), 0, "REPORT, %s", when))
		EXPECT(reported() < PAGES / 8, "%s: %u pages", when, reported());
}

static void expect_all(struct vf *v, const char *when)
{
	if (EXPECT_EQ(report(v), 0, "REPORT, %s", when))
		EXPECT_EQ(reported(), PAGES, "%s: pages", when);
}

/* The device writes to a page, and tells of it or of all. */
static void expect_written(struct vf *v, const char *when)
{
	EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "%s: read", when);
	expect_some(v, when);
	EXPECT(has(data), "%s: the page that was read into", when);
}

static struct lm_fault on_start(u8 act)
{
	return (struct lm_fault){
		.opcode = LM_OP_TRACK_SEND, .dw10 = 0x10001, .dw10_mask = 0x100ff, .act = act,
	};
}

static struct lm_fault on_stop(u8 act)
{
	return (struct lm_fault){
		.opcode = LM_OP_TRACK_SEND, .dw10 = 0x00001, .dw10_mask = 0x100ff, .act = act,
	};
}

static struct lm_fault on_read(u8 act)
{
	return (struct lm_fault){ .opcode = LM_OP_TRACK_RECV, .act = act };
}

static int matched(unsigned int slot)
{
	return lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, slot);
}

/* ---- what is agreed on ---- */

/* Dwords 0 and 1 of the completion that refuses are hints. */
static void test_hints(void)
{
	struct lm_fault refuse = on_start(LM_ACT_STATUS), hint = on_start(LM_ACT_RESULT);
	struct vf *v = &vf_a;
	u64 page_size = PAGE;

	if (!start(v))
		return;
	refuse.arg = LM_SC_NOT_ENOUGH;
	refuse.times = 1;
	hint.mask = ~0u;
	hint.value = 3;
	hint.times = 1;
	if (!fault_arm(tap_arg(), 0, refuse) || !fault_arm(tap_arg(), 1, hint))
		return;
	EXPECT_EQ(log_start(v, &page_size), 0, "START");
	EXPECT_EQ(page_size, 8 * PAGE, "page size");
	EXPECT_EQ(matched(0), 2, "Track Sends");
	expect_written(v, "coarser");
	log_off(v);
}

/* Nothing begins where the device refuses for good. */
static void test_refused(void)
{
	static const struct {
		u32 status;
		int err;
	} rows[] = {
		{ 0x001, EOPNOTSUPP }, { 0x002, EINVAL }, { 0x11f, ENXIO }, { 0x138, ENOSPC },
		{ 0x139, EBUSY }, { 0x7ff, EIO }, { 0x370, ENOTCONN },
	};
	struct lm_fault refuse = on_start(LM_ACT_STATUS);
	struct vf *v = &vf_a;
	unsigned int i;
	u64 page_size;

	if (!start(v))
		return;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		refuse.arg = rows[i].status;
		page_size = PAGE;
		if (!fault_arm(tap_arg(), 0, refuse))
			return;
		EXPECT_EQ(log_start(v, &page_size), -rows[i].err, "START with %#x",
			  rows[i].status);
		EXPECT_EQ(report(v), -EINVAL, "REPORT after it");
		fault_clear(tap_arg());
		vf_expect_state(v, ST_RUNNING);
		if (!log_on(v))
			return;
		expect_written(v, "afterwards");
		log_off(v);
	}
}

/* By whoever had the VF before. */
static void test_tracked_already(void)
{
	u8 buf[20] = { [4] = 1, [16] = 1 };
	struct vf *v = &vf_a;
	struct lm_cmd cmd;

	if (!start(v))
		return;
	cmd = lm_track_cmd(lm_cntlid(pf_get(tap_arg()), 1), true, buf, sizeof(buf));
	if (!EXPECT_EQ(lm_exec(pf_get(tap_arg()), &cmd), 0, "Track Send"))
		return;
	if (!log_on(v))
		return;
	expect_written(v, "afterwards");
	log_off(v);
}

/* ---- the end of it ---- */

static int device_tracks(void)
{
	static u8 buf[PAGE];
	struct lm_cmd cmd = lm_track_recv_cmd(lm_cntlid(pf_get(tap_arg()), 1), buf, sizeof(buf));

	return !lm_exec(pf_get(tap_arg()), &cmd);
}

static void test_close(void)
{
	static const u32 states[] = { ST_RUNNING, ST_P2P, ST_STOP };
	struct vf *v = &vf_a;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		if (!start(v) || !log_on(v))
			return;
		EXPECT(device_tracks(), "not tracked");
		go(v, states[i]);
		vf_close(v);
		EXPECT(!device_tracks(), "tracked after a close in %s", mig_state_name(states[i]));
		arena_reset(&arena);
	}
	if (vf_open(v, tap_arg(), 1))
		EXPECT_EQ(report(v), -EINVAL, "REPORT after the next open");
}

/* ---- suspended ---- */

static void test_start_suspended(void)
{
	struct vf *v = &vf_a;
	u64 page_size = 4 * PAGE;

	if (!start(v) || !go(v, ST_STOP))
		return;
	if (!fault_arm(tap_arg(), 0, on_start(LM_ACT_COUNT)))
		return;
	EXPECT_EQ(log_start(v, &page_size), 0, "START in STOP");
	EXPECT_EQ(page_size, 4 * PAGE, "page size");
	EXPECT_EQ(matched(0), 0, "Track Sends in STOP");
	expect_all(v, "started in STOP");
	expect_some(v, "again in STOP");
	EXPECT_EQ(reported(), 0, "pages");
	go(v, ST_RUNNING);
	EXPECT_EQ(matched(0), 1, "Track Sends after the resume");
	expect_all(v, "resumed");
	expect_written(v, "tracked");
	log_off(v);
	EXPECT(!device_tracks(), "tracked after STOP");
}

static void test_stop_suspended(void)
{
	struct vf *v = &vf_a;

	if (!start(v) || !log_on(v) || !go(v, ST_P2P))
		return;
	if (!fault_arm(tap_arg(), 0, on_stop(LM_ACT_COUNT)))
		return;
	log_off(v);
	EXPECT_EQ(report(v), -EINVAL, "REPORT after STOP");
	EXPECT_EQ(matched(0), 0, "stops while suspended");
	EXPECT(device_tracks(), "not tracked");
	go(v, ST_RUNNING);
	EXPECT_EQ(matched(0), 1, "stops after the resume");
	EXPECT(!device_tracks(), "tracked after the resume");
	/* and where it is started again before */
	if (!log_on(v) || !go(v, ST_P2P))
		return;
	log_off(v);
	if (!log_on(v))
		return;
	go(v, ST_RUNNING);
	expect_all(v, "started again in P2P");
	expect_written(v, "tracked again");
	log_off(v);
}

/* All of it, and completion queues once, whoever posted to them. */
static void test_report_suspended(void)
{
	struct vf *v = &vf_a;

	if (!start(v) || !log_on(v))
		return;
	EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "read");
	go(v, ST_PRE_COPY_P2P);
	expect_some(v, "suspended");
	EXPECT(has(data), "the page that was read into");
	EXPECT(has(v->u.cqs[0].ring), "the Admin Completion Queue");
	EXPECT(has(v->u.cqs[1].ring), "a completion queue");
	EXPECT(has(v->u.cqs[2].ring), "a completion queue without completions");
	expect_some(v, "again");
	EXPECT_EQ(reported(), 0, "pages");
	go(v, ST_RUNNING);
	expect_written(v, "resumed");
	EXPECT(has(v->u.cqs[2].ring), "a completion queue without completions");
	log_off(v);
}

/* ---- whatever is not known was written ---- */

static void test_other_queues(void)
{
	static const struct unvme_opts other = { .queues = 1 };
	struct vf *v = &vf_a;

	if (!start(v) || !log_on(v))
		return;
	expect_written(v, "at first");
	expect_written(v, "with the same queues");
	unvme_fini(&v->u);
	arena_reset(&arena);
	if (!vf_up(v, &other))
		return;
	data = v->u.scratch;
	expect_all(v, "with one queue less");
	expect_written(v, "with the same queues");
	log_off(v);
}

static void test_failed_read(void)
{
	static const struct {
		u32 status;
		int err;
	} rows[] = {
		{ 0x001, EOPNOTSUPP }, { 0x002, EINVAL }, { 0x006, EIO }, { 0x138, ENOSPC },
	};
	struct lm_fault refuse = on_read(LM_ACT_STATUS);
	struct vf *v = &vf_a;
	unsigned int i;

	if (!start(v) || !log_on(v))
		return;
	refuse.times = 1;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		refuse.arg = rows[i].status;
		refuse.execute = i % 2;
		if (!fault_arm(tap_arg(), 0, refuse))
			return;
		EXPECT_EQ(report(v), -rows[i].err, "REPORT with %#x", rows[i].status);
		expect_all(v, "after an error");
		expect_written(v, "after that");
		fault_clear(tap_arg());
	}
	log_off(v);
}

/* By a reset that the guest made, say: it is started again, or the VF writes no more. */
static void test_not_tracked(void)
{
	struct lm_fault refuse = on_read(LM_ACT_STATUS);
	struct vf *v = &vf_a;

	if (!start(v) || !log_on(v))
		return;
	refuse.times = 1;
	refuse.arg = LM_SC_INVALID_CTRL;
	if (!fault_arm(tap_arg(), 0, refuse))
		return;
	expect_all(v, "not tracked");
	vf_expect_state(v, ST_RUNNING);
	expect_written(v, "after that");
	fault_clear(tap_arg());
	if (!go(v, ST_STOP) || !fault_arm(tap_arg(), 0, refuse))
		return;
	expect_all(v, "not tracked and suspended");
	expect_some(v, "again");
	EXPECT_EQ(reported(), 0, "pages");
	go(v, ST_RUNNING);
	expect_all(v, "resumed");
	expect_written(v, "after that");
	log_off(v);
}

static void test_lies(void)
{
	static const struct {
		const char *name;
		u32 offset;
		u32 mask;
		u32 value;
	} lies[] = {
		{ "version", 0, 0, 1 },
		{ "controller", 0, 0, 1 << 16 },
		{ "more than there is room for", 4, ~0u, 4096 },
		{ "far more than that", 4, ~0u, ~0u },
		{ "more of nothing", 4, ~0u, 0 },	/* with MTR, see below */
		{ "granularity", 8, 0, 52 },
		{ "length", 24, ~0u, 0 },
	};
	struct vf *v = &vf_a;
	unsigned int i;

	if (!start(v) || !log_on(v))
		return;
	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		struct lm_fault more = on_read(LM_ACT_DATA), f = on_read(LM_ACT_DATA);

		more.times = 1;
		more.mask = 0x100;
		more.value = 0x100;
		f.times = 1;
		f.arg = lies[i].offset;
		f.mask = lies[i].mask;
		f.value = lies[i].value;
		EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "read");
		if (!fault_arm(tap_arg(), 0, f) || !fault_arm(tap_arg(), 1, more))
			return;
		EXPECT_EQ(report(v), -EPROTO, "REPORT with a wrong %s", lies[i].name);
		fault_clear(tap_arg());
		expect_all(v, lies[i].name);
		expect_written(v, "after that");
	}
	log_off(v);
}

/* A device that always has more is not asked for ever, neither at work nor suspended. */
static void test_endless(void)
{
	struct lm_fault f = on_read(LM_ACT_DATA), one = f, range = f, len = f;
	struct vf *v = &vf_a;

	if (!start(v) || !log_on(v))
		return;
	f.mask = 0x100;
	f.value = 0x100;
	one.arg = 4;
	one.mask = ~0u;
	one.value = 1;
	range.arg = 16;
	range.mask = ~0u;
	range.value = (u32)ARENA_IOVA;
	len.arg = 24;
	len.mask = ~0u;
	len.value = 1 << 20;
	if (!fault_arm(tap_arg(), 0, f) || !fault_arm(tap_arg(), 1, one) ||
	    !fault_arm(tap_arg(), 2, range) || !fault_arm(tap_arg(), 3, len))
		return;
	EXPECT_EQ(report(v), 0, "REPORT");
	EXPECT_EQ(matched(0), 64, "Track Receives");
	go(v, ST_P2P);
	EXPECT_EQ(report(v), -EPROTO, "REPORT while suspended");
	fault_clear(tap_arg());
	expect_all(v, "the truth again");
	go(v, ST_RUNNING);
	log_off(v);
}

/* A VF that should be suspended and is not: what it wrote is not known to anybody. */
static void test_not_suspended(void)
{
	struct lm_fault f = on_read(LM_ACT_DATA);
	struct vf *v = &vf_a;

	if (!start(v) || !log_on(v) || !go(v, ST_STOP))
		return;
	f.mask = 0x200;
	if (!fault_arm(tap_arg(), 0, f))
		return;
	EXPECT_EQ(report(v), -ENOTCONN, "REPORT");
	fault_clear(tap_arg());
	EXPECT_EQ(report(v), -ENOTCONN, "REPORT again");
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_RUNNING, NULL), -ENOTCONN, "SET");
	vf_expect_state(v, ST_ERROR);
	log_off(v);
	vf_reset(v);
	vf_check_usable(v);
}

static void test_pf_reset(void)
{
	struct vf *v = &vf_a;
	u64 page_size = PAGE;

	if (!start(v) || !log_on(v) || !pf_reset(tap_arg()))
		return;
	report(v);
	if (!pf_provision(tap_arg()) || !vf_reset(v))
		return;
	unvme_fini(&v->u);
	arena_reset(&arena);
	if (!vf_up(v, &opts))
		return;
	data = v->u.scratch;
	expect_all(v, "PF reset");
	expect_written(v, "after that");
	if (!go(v, ST_STOP) || !pf_reset(tap_arg()))
		return;
	EXPECT(report(v), "REPORT of a VF that was suspended");
	log_off(v);
	EXPECT_EQ(log_start(v, &page_size), -ENOTCONN, "START");
	EXPECT(vdev_mig_set_state(&v->dev, ST_RUNNING, NULL), "-> RUNNING");
	EXPECT_EQ(log_start(v, &page_size), -EIO, "START in ERROR");
	vf_reset(v);
	vf_close(v);
	pf_provision(tap_arg());
	if (vf_open(v, tap_arg(), 1))
		vf_check_usable(v);
}

static void test_vf_reset(void)
{
	struct vf *v = &vf_a;
	unsigned int i;

	if (!start(v) || !log_on(v))
		return;
	for (i = 0; i < 3; i++) {
		if (i == 1)
			go(v, ST_STOP);
		if (!vf_reset(v))
			return;
		unvme_fini(&v->u);
		arena_reset(&arena);
		if (!vf_up(v, &opts))
			return;
		data = v->u.scratch;
		/* also where it is suspended before anyone asks */
		if (i == 2)
			go(v, ST_P2P);
		expect_all(v, "reset");
		if (i == 2) {
			go(v, ST_RUNNING);
			expect_all(v, "resumed");
		}
		expect_written(v, "after that");
	}
	log_off(v);
}

const struct drv_test log_tests[] = {
	{ "logging: hints", test_hints, ON_TP },
	{ "logging: refused", test_refused, ON_TP },
	{ "logging: tracked already", test_tracked_already, ON_TP },
	{ "logging: close", test_close, ON_TP },
	{ "logging: start while suspended", test_start_suspended, ON_TP },
	{ "logging: stop while suspended", test_stop_suspended, ON_TP },
	{ "logging: report while suspended", test_report_suspended, ON_TP },
	{ "logging: other queues", test_other_queues, ON_TP },
	{ "logging: failed read", test_failed_read, ON_TP },
	{ "logging: not tracked", test_not_tracked, ON_TP },
	{ "logging: lies", test_lies, ON_TP },
	{ "logging: endless", test_endless, ON_TP },
	{ "logging: not suspended", test_not_suspended, ON_TP },
	{ "logging: PF reset", test_pf_reset, ON_TP },
	{ "logging: VF reset", test_vf_reset, ON_TP },
};

const size_t nr_log_tests = ARRAY_SIZE(log_tests);
