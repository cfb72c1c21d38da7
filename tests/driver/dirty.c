// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA logging with a device that refuses, lies, or is suspended: nothing that was written goes
 * unreported. What any device has to keep to is in selftests/.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define PAGE		4096u
#define PAGES		((32u << 20) / PAGE)

static const struct unvme_opts opts = { .queues = 2, .irq = true };
static u64 bitmap[PAGES / 64];
static u8 *data;

/* VF 1 in RUNNING with a guest; skipped if there is no logging. */
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

/* The same in a thread. */
static struct {
	struct vf *v;
	int err;
	pthread_t thread;
} reporter;

static void *report_thread(void *arg)
{
	reporter.err = report(reporter.v);
	return NULL;
}

static bool report_start(struct vf *v)
{
	reporter.v = v;
	return EXPECT_EQ(pthread_create(&reporter.thread, NULL, report_thread, NULL), 0, "thread");
}

static int report_end(void)
{
	pthread_join(reporter.thread, NULL);
	return reporter.err;
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

/* A few pages at most: queues, and buffers of reads. */
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

/* The device writes to a page, and reports that page or all. */
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

/* ---- the agreement with the device ---- */

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

/* Nothing begins if the device refuses for good. */
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

/* ---- where completions go ---- */

#define CQE_SIZE	16
#define DEPTH		512
#define CC_IOCQES(n)	((u32)(n) << 20)

/* Every page of a queue whose entries have so many bytes, and none behind it. */
static void expect_queue(struct vf *v, u16 q, unsigned int size, const char *when)
{
	const u8 *ring = (const u8 *)v->u.cqs[q].ring;
	unsigned int i;

	for (i = 0; i < DEPTH * size / PAGE; i++)
		EXPECT(has(ring + i * PAGE), "%s: page %u of CQ %u", when, i, q);
	EXPECT(!has(ring + i * PAGE), "%s: the page behind CQ %u", when, q);
}

/* CC.IOCQES is that of I/O queues; entries of the admin queue stay as they are. */
static void test_entry_size(void)
{
	static const struct unvme_opts deep = {
		.queues = 1, .depth = DEPTH, .admin_depth = DEPTH, .irq = true,
	};
	struct vf *v = &vf_a;
	u32 cc;

	if (!start(v))
		return;
	unvme_fini(&v->u);
	arena_reset(&arena);
	if (!vf_up(v, &deep) || !log_on(v))
		return;
	expect_some(v, "16 bytes");
	expect_queue(v, 0, CQE_SIZE, "16 bytes");
	expect_queue(v, 1, CQE_SIZE, "16 bytes");
	/* said, but not done: the queue's memory is what matters here */
	cc = vdev_read32(&v->dev, NVME_REG_CC);
	EXPECT_EQ(cc & CC_IOCQES(15), CC_IOCQES(4), "CC.IOCQES");
	vdev_write32(&v->dev, NVME_REG_CC, (cc & ~CC_IOCQES(15)) | CC_IOCQES(5));
	expect_all(v, "another queue than before");
	expect_some(v, "32 bytes");
	expect_queue(v, 0, CQE_SIZE, "32 bytes");
	expect_queue(v, 1, 2 * CQE_SIZE, "32 bytes");
	vdev_write32(&v->dev, NVME_REG_CC, cc);
	log_off(v);
}

/* A full queue may be a reason to refuse a state without the vendor part. */
static void test_vendor_part(void)
{
	struct lm_fault refuse = {
		.opcode = LM_OP_RECV, .dw11_mask = 0xff0000, .act = LM_ACT_STATUS,
		.arg = LM_SC_SEQUENCE_ERROR,
	}, with = {
		.opcode = LM_OP_RECV, .dw11 = 1 << 16, .dw11_mask = 0xff0000,
	};
	struct vf *v = &vf_a;

	if (!start(v) || !log_on(v))
		return;
	with.dw11 = pf_get(tap_arg())->csuuidi << 16;
	if (!fault_arm(tap_arg(), 0, refuse) || !fault_arm(tap_arg(), 1, with))
		return;
	expect_written(v, "running");
	EXPECT(has(v->u.cqs[2].ring), "running: a completion queue without completions");
	EXPECT_EQ(matched(0), 1, "commands without the vendor part");
	EXPECT_EQ(matched(1), 1, "commands with it");
	EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "read");
	go(v, ST_P2P);
	expect_some(v, "suspended");
	EXPECT(has(data), "suspended: the page that was read into");
	EXPECT(has(v->u.cqs[2].ring), "suspended: a completion queue without completions");
	go(v, ST_RUNNING);
	/* and if both are refused */
	with.act = LM_ACT_STATUS;
	with.arg = LM_SC_SEQUENCE_ERROR;
	if (fault_arm(tap_arg(), 1, with))
		expect_all(v, "no queues at all");
	fault_clear(tap_arg());
	expect_all(v, "queues that were not known before");
	expect_written(v, "after that");
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
	/* and if it is started again before */
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
	EXPECT_EQ(matched(0), 1, "Track Receives of more than all");
	len.value = 1;
	if (!fault_arm(tap_arg(), 0, f) || !fault_arm(tap_arg(), 3, len))
		return;
	EXPECT_EQ(report(v), 0, "REPORT");
	EXPECT_EQ(matched(0), 256, "Track Receives of little");
	len.value = 1 << 20;
	if (!fault_arm(tap_arg(), 3, len))
		return;
	go(v, ST_P2P);
	EXPECT_EQ(report(v), -EPROTO, "REPORT while suspended");
	fault_clear(tap_arg());
	expect_all(v, "the truth again");
	go(v, ST_RUNNING);
	log_off(v);
}

/* An incomplete answer is none: the previous content of the buffer is not believed. */
static void test_short(void)
{
	/* the head has 16 bytes, which is all there is if nothing was written */
	static const u32 lens[] = { 0, 8, 16, 24 };
	struct lm_fault f = on_read(LM_ACT_SHORT);
	struct vf *v = &vf_a;
	unsigned int i;
	bool lost;

	if (!start(v) || !log_on(v))
		return;
	f.times = 1;
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "read");
		go(v, ST_P2P);
		f.arg = lens[i];
		/* the second time it is not the queues that were read into that memory last */
		f.skip = i % 2;
		if (!fault_arm(tap_arg(), 0, f))
			return;
		if (f.skip)
			expect_some(v, "suspended");
		lost = !f.skip || lens[i] < 16;
		EXPECT_EQ(report(v), lost ? -EPROTO : 0, "REPORT with %u bytes", lens[i]);
		fault_clear(tap_arg());
		go(v, ST_RUNNING);
		if (lost)
			expect_all(v, "resumed");
		expect_written(v, "after that");
	}
	log_off(v);
}

/*
 * The device tracks something else than what the driver asked for, and answers Track Receive
 * with success and no change: what it may do, too, if it tracks nothing. Its answer to the next
 * start is that of a device that tracked nothing.
 */
static bool end_tracking(void)
{
	static u8 buf[20] = { [4] = 1, [16] = 1 };
	struct lm_pf *pf = pf_get(tap_arg());
	u16 cntlid = lm_cntlid(pf, 1);
	struct lm_cmd stop = lm_track_cmd(cntlid, false, NULL, 0);
	struct lm_cmd other = lm_track_cmd(cntlid, true, buf, sizeof(buf));
	struct lm_fault f = on_start(LM_ACT_STATUS);

	f.times = 1;
	return EXPECT_EQ(lm_exec(pf, &stop), 0, "Track Send, stop") &&
	       EXPECT_EQ(lm_exec(pf, &other), 0, "Track Send, start") &&
	       fault_arm(tap_arg(), 0, f);
}

static void test_ended(void)
{
	struct vf *v = &vf_a;
	unsigned int i;

	if (!start(v) || !log_on(v))
		return;
	for (i = 0; i < 3; i++) {
		expect_written(v, "tracked");
		if (!end_tracking())
			return;
		EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "read");
		if (i)
			go(v, ST_PRE_COPY_P2P);
		if (i < 2)
			expect_all(v, i ? "ended before a Suspend" : "ended before a report");
		fault_clear(tap_arg());
		if (i) {
			go(v, ST_RUNNING);
			expect_all(v, "resumed");
		}
	}
	expect_written(v, "after that");
	log_off(v);
}

/* Behind the end of a report: the next one has it. */
static void test_ended_later(void)
{
	struct lm_fault hold = on_read(LM_ACT_HOLD);
	struct vf *v = &vf_a;

	if (!start(v) || !log_on(v))
		return;
	expect_written(v, "tracked");
	hold.execute = true;
	hold.times = 1;
	if (!fault_arm(tap_arg(), 1, hold))
		return;
	if (!report_start(v) || !lm_fault_wait_held(pf_get(tap_arg()), 1))
		return;
	if (end_tracking())
		lm_fault_release(pf_get(tap_arg()), 0);
	if (EXPECT_EQ(report_end(), 0, "REPORT"))
		EXPECT_EQ(reported(), PAGES, "ended in the middle of a report: pages");
	fault_clear(tap_arg());
	expect_written(v, "after that");
	log_off(v);
}

/* A number that anybody may write decides nothing. */
static void test_reset_count(void)
{
	struct vf *v = &vf_a;
	char path[64];

	if (!start(v) || !log_on(v))
		return;
	snprintf(path, sizeof(path), "/sys/class/nvme/%s/diag/reset_count",
		 strrchr(pf_get(tap_arg())->node, '/') + 1);
	if (counts_pf_resets())
		EXPECT_EQ(file_write(path, "4711"), 0, "%s", path);
	expect_written(v, "another number");
	if (counts_pf_resets())
		EXPECT_EQ(file_write(path, "0"), 0, "%s", path);
	expect_written(v, "another number again");
	log_off(v);
}

/* A VF that is not tracked, and should be suspended and is not. */
static void test_not_suspended_nor_tracked(void)
{
	struct vf *v = &vf_a;

	if (!start(v) || !go(v, ST_P2P) || !log_on(v))
		return;
	expect_all(v, "started in RUNNING_P2P");
	expect_some(v, "again");
	EXPECT_EQ(reported(), 0, "pages");
	if (!EXPECT_EQ(lm_resume(pf_get(tap_arg()), lm_cntlid(pf_get(tap_arg()), 1)), 0, "Resume"))
		return;
	EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "read");
	EXPECT_EQ(report(v), -ENOTCONN, "REPORT");
	EXPECT_EQ(report(v), -ENOTCONN, "REPORT again");
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_RUNNING, NULL), -ENOTCONN, "SET");
	log_off(v);
	vf_reset(v);
	vf_check_usable(v);
}

/* A VF that should be suspended and is not: nobody knows its dirty memory. */
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
	unsigned int i;

	if (!start(v) || !log_on(v))
		return;
	expect_written(v, "before it");
	EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "read");
	/* once before a report, and once behind the one that noticed */
	for (i = 0; i < 2; i++) {
		if (!pf_reset(tap_arg()))
			return;
		if (EXPECT_EQ(report(v), 0, "REPORT, PF reset %u", i))
			EXPECT_EQ(reported(), PAGES, "PF reset %u: pages", i);
	}
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
		/* also if it is suspended before anyone asks */
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

/* ---- everybody at once ---- */

#define ASKERS	5

/* What is asked of a VF over and over while it is saved. */
struct asker {
	const char *name;
	bool (*ask)(struct asker *a);
	bool reports;		/* only if the kernel can */
	int fd;
	unsigned int rounds;
	bool failed;
	u64 bitmap[PAGES / 64];	/* all that its reports had */
	pthread_t thread;
};

static bool askers_over;

static bool ask_report(struct asker *a)
{
	/* bits are set and none is cleared */
	return !vdev_log_report(&vf_a.dev, ARENA_IOVA, PAGES * PAGE, PAGE, a->bitmap);
}

static bool ask_size(struct asker *a)
{
	u64 size;

	return !vdev_mig_data_size(&vf_a.dev, &size) && size;
}

static bool ask_debugfs(struct asker *a)
{
	char path[128], text[4096];

	snprintf(path, sizeof(path), DEBUGFS "/vfio/%s/nvme", vf_a.bdf);
	if (access(path, R_OK))
		snprintf(path, sizeof(path), DEBUGFS "/nvme-vfio-pci/%s/nvme", vf_a.bdf);
	return !file_read(path, text, sizeof(text)) && strstr(text, "migration: by TP4159");
}

static bool ask_precopy(struct asker *a)
{
	struct vfio_precopy_info info;

	return !mig_precopy_info(a->fd, &info) || errno == EINVAL;
}

static struct asker askers[ASKERS] = {
	{ "report", ask_report, true }, { "report too", ask_report, true },
	{ "size", ask_size }, { "debugfs", ask_debugfs }, { "precopy info", ask_precopy },
};

static void *asker_thread(void *arg)
{
	struct asker *a = arg;

	while (!__atomic_load_n(&askers_over, __ATOMIC_ACQUIRE)) {
		if (!a->ask(a))
			a->failed = true;
		__atomic_fetch_add(&a->rounds, 1, __ATOMIC_RELEASE);
		sched_yield();
	}
	return NULL;
}

static void askers_begin(int fd, bool reports)
{
	unsigned int i;

	askers_over = false;
	for (i = 0; i < ASKERS; i++) {
		if (askers[i].reports && !reports)
			continue;
		memset(askers[i].bitmap, 0, sizeof(askers[i].bitmap));
		askers[i].fd = fd;
		askers[i].failed = false;
		EXPECT_EQ(pthread_create(&askers[i].thread, NULL, asker_thread, &askers[i]), 0,
			  "thread");
	}
}

/* Wait until each got another answer, from the beginning to the end. */
static void askers_turn(bool reports)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	unsigned int i, from;

	for (i = 0; i < ASKERS; i++) {
		if (askers[i].reports && !reports)
			continue;
		from = __atomic_load_n(&askers[i].rounds, __ATOMIC_ACQUIRE);
		while (__atomic_load_n(&askers[i].rounds, __ATOMIC_ACQUIRE) < from + 2 &&
		       now_ms() < end)
			sched_yield();
	}
}

static void askers_end(bool reports)
{
	unsigned int i, j;

	__atomic_store_n(&askers_over, true, __ATOMIC_RELEASE);
	for (i = 0; i < ASKERS; i++) {
		if (askers[i].reports && !reports)
			continue;
		pthread_join(askers[i].thread, NULL);
		EXPECT(!askers[i].failed, "%s", askers[i].name);
		for (j = 0; j < PAGES / 64; j++)
			bitmap[j] |= askers[i].bitmap[j];
	}
}

/* The state is that of the suspended VF, as it is saved again with nobody asking. */
static void expect_state(struct vf *v, const struct stream *s)
{
	struct st_view got = { 0 }, want = { 0 };
	struct stream again = { 0 };
	const char *why = st_parse(s, &got);

	if (EXPECT(!why, "%s", why) && go(v, ST_STOP) && vf_save(v, &again) &&
	    EXPECT(!st_parse(&again, &want), "parse") && EXPECT(want.pieces > 2, "pieces"))
		EXPECT(got.state_len == want.state_len &&
		       !memcmp(got.state, want.state, want.state_len), "another state");
	st_view_free(&got);
	st_view_free(&want);
	stream_free(&again);
}

/* The stream and the reports are right, whatever else is asked for meanwhile. */
static void test_everybody(void)
{
	struct vf *v = &vf_a;
	struct stream s = { 0 };
	bool reports;
	u16 q;
	int fd;

	if (!start_large(v))
		return;
	reports = !vdev_feature(&v->dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
				VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0);
	data = v->u.scratch;
	if (reports && !log_on(v))
		return;
	fill_large();
	EXPECT_EQ(unvme_identify(&v->u, 1, 0, 0), 0, "Identify");
	memset(bitmap, 0, sizeof(bitmap));
	fd = go_fd(v, ST_PRE_COPY);
	if (fd < 0)
		return;
	askers_begin(fd, reports);
	askers_turn(reports);
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP_COPY, NULL), 0, "STOP_COPY");
	EXPECT_EQ(stream_read(fd, &s, 1000), 0, "read");
	askers_turn(reports);
	askers_end(reports);
	if (reports) {
		EXPECT(reported() < PAGES / 8, "%u pages", reported());
		EXPECT(has(data), "what Identify wrote");
		for (q = 0; q <= 4; q++)
			EXPECT(has(v->u.cqs[q].ring), "CQ %u", q);
		log_off(v);
	}
	expect_state(v, &s);
	stream_free(&s);
	close(fd);
	if (go(v, ST_RUNNING))
		drain_large();
}

static const struct drv_test dirty_tests[] = {
	{ "hints", test_hints, ON_TP },
	{ "refused", test_refused, ON_TP },
	{ "tracked already", test_tracked_already, ON_TP },
	{ "entries of completion queues", test_entry_size, ON_TP },
	{ "queues only with the vendor part", test_vendor_part, ON_TP },
	{ "close", test_close, ON_TP },
	{ "start while suspended", test_start_suspended, ON_TP },
	{ "stop while suspended", test_stop_suspended, ON_TP },
	{ "report while suspended", test_report_suspended, ON_TP },
	{ "other queues", test_other_queues, ON_TP },
	{ "failed read", test_failed_read, ON_TP },
	{ "not tracked", test_not_tracked, ON_TP },
	{ "lies", test_lies, ON_TP },
	{ "endless", test_endless, ON_TP },
	{ "answers cut short", test_short, ON_TP },
	{ "ended unseen", test_ended, ON_TP },
	{ "ended unseen during a report", test_ended_later, ON_TP },
	{ "reset count", test_reset_count, ON_TP },
	{ "not suspended", test_not_suspended, ON_TP },
	{ "not suspended, not tracked", test_not_suspended_nor_tracked, ON_TP },
	{ "PF reset", test_pf_reset, ON_TP },
	{ "VF reset", test_vf_reset, ON_TP },
	{ "everybody at once", test_everybody, ON_SPECIAL, SP_SMALL },
};

const struct test_group dirty_group = { "dirty", dirty_tests, ARRAY_SIZE(dirty_tests) };
