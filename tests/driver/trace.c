// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver's reports of its own work: its tracepoints against the stream, the uAPI and what nvme
 * saw, and its file in debugfs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define MAX_LINES	64

static const struct unvme_opts opts = { .queues = 2, .irq = true };

/* ---- the trace ---- */

static bool trace_on(bool on)
{
	return trace_switch("nvme_vfio_pci", on) && trace_switch("nvme/nvme_setup_cmd", on);
}

/* The text of some events, in their order. */
struct events {
	unsigned int nr;
	char line[MAX_LINES][256];
};

/* The lines with @what, from behind it on. */
static void trace_read(struct events *t, const char *what)
{
	char line[1024], *p;
	FILE *f;

	t->nr = 0;
	f = fopen(TRACING "/trace", "r");
	if (!EXPECT(f, "trace"))
		return;
	while (t->nr < MAX_LINES && fgets(line, sizeof(line), f)) {
		p = *line == '#' ? NULL : strstr(line, what);
		if (!p)
			continue;
		p += strlen(what);
		p[strcspn(p, "\n")] = '\0';
		snprintf(t->line[t->nr++], sizeof(t->line[0]), "%s", p);
	}
	fclose(f);
	EXPECT(t->nr < MAX_LINES, "too many lines of '%s'", what);
}

static void trace_read_event(struct events *t, const char *event, const char *bdf)
{
	char what[64];

	snprintf(what, sizeof(what), "%s: device=%.15s ", event, bdf);
	trace_read(t, what);
}

/* The number behind "NAME=". */
static long long number(const char *line, const char *name)
{
	char key[32];
	const char *p;

	snprintf(key, sizeof(key), "%s=", name);
	for (p = strstr(line, key); p && p > line && p[-1] != ' '; p = strstr(p + 1, key))
		;
	return EXPECT(p, "no %s in '%s'", name, line) ? strtoll(p + strlen(key), NULL, 0) : -1;
}

static void check_lines(const struct events *t, const char *const *want, unsigned int nr,
			const char *what)
{
	unsigned int i;

	EXPECT_EQ(t->nr, nr, "%s", what);
	for (i = 0; i < t->nr && i < nr; i++)
		EXPECT(!strncmp(t->line[i], want[i], strlen(want[i])), "%s: '%s', not '%s'", what,
		       t->line[i], want[i]);
}

static void check_arcs(const struct vf *v, const char *const *want, unsigned int nr)
{
	struct events t;

	trace_read_event(&t, "nvmevf_arc", v->bdf);
	check_lines(&t, want, nr, v->bdf);
}

/* The records of the stream, as they went out, or came in. */
static void check_records(const struct vf *v, const struct stream *s, const char *way)
{
	struct st_view view = { 0 };
	struct events t;
	unsigned int i;
	struct st_head head;

	if (!EXPECT(!st_parse(s, &view), "parse"))
		return;
	trace_read_event(&t, "nvmevf_record", v->bdf);
	EXPECT_EQ(t.nr, view.records, "records of %s", v->bdf);
	for (i = 0; i < t.nr && i < view.records; i++) {
		memcpy(&head, s->data + view.record_at[i], sizeof(head));
		EXPECT(!strncmp(t.line[i], way, strlen(way)), "'%s', not %s", t.line[i], way);
		EXPECT_EQ(number(t.line[i], "tag"), head.tag, "record %u", i);
		EXPECT_EQ(number(t.line[i], "length"), (long long)head.len, "record %u", i);
	}
	st_view_free(&view);
}

/* As nvme names it; a number if it has no name. */
static unsigned int seen_opcode(const char *line)
{
	return !strncmp(line, "nvme_admin_identify", 19) ? 6 : strtoul(line, NULL, 16);
}

/* Each command that nvme saw on the PF's admin queue, and no other. */
static void check_commands(const struct vf *v)
{
	struct lm_pf *pf = pf_get(v->pf_nr);
	struct events t, all, seen = { 0 };
	unsigned int i;
	char name[32];
	const char *p;

	snprintf(name, sizeof(name), " %s: qid=0", pf->node + 5);
	trace_read(&all, name);
	for (i = 0; i < all.nr; i++) {
		p = strstr(all.line[i], "cmd=(");
		if (EXPECT(p, "'%s'", all.line[i]))
			snprintf(seen.line[seen.nr++], sizeof(seen.line[0]), "%.200s", p + 5);
	}
	trace_read_event(&t, "nvmevf_command", v->bdf);
	if (!EXPECT_EQ(t.nr, seen.nr, "commands of %s", v->bdf))
		for (i = 0; i < all.nr; i++)
			tap_note("%s%s", name, all.line[i]);
	for (i = 0; i < t.nr && i < seen.nr; i++) {
		EXPECT_EQ(number(t.line[i], "opcode"), seen_opcode(seen.line[i]), "command %u", i);
		EXPECT_EQ(number(t.line[i], "cntlid"), lm_cntlid(pf, v->vfn), "command %u", i);
		EXPECT_EQ(number(t.line[i], "status"), 0, "command %u", i);
		EXPECT_EQ(number(t.line[i], "errno"), 0, "command %u", i);
		EXPECT(number(t.line[i], "us") >= 0, "'%s'", t.line[i]);
	}
}

/* An arc takes at least as long as its command. */
static void check_times(const struct vf *v)
{
	struct events arcs, commands;

	trace_read_event(&arcs, "nvmevf_arc", v->bdf);
	trace_read_event(&commands, "nvmevf_command", v->bdf);
	if (!EXPECT(arcs.nr && commands.nr, "no event"))
		return;
	EXPECT(number(commands.line[0], "us") > 0, "a Suspend that took no time");
	EXPECT(number(arcs.line[0], "us") >= number(commands.line[0], "us"), "'%s' and '%s'",
	       arcs.line[0], commands.line[0]);
}

static void test_move(void)
{
	static const char *const source[] = {
		"from=RUNNING to=RUNNING_P2P result=0 us=",
		"from=RUNNING_P2P to=STOP result=0 us=",
		"from=STOP to=STOP_COPY result=0 us=",
	};
	static const char *const destination[] = {
		"from=RUNNING to=RUNNING_P2P result=0 us=",
		"from=RUNNING_P2P to=STOP result=0 us=",
		"from=STOP to=RESUMING result=0 us=",
		"from=RESUMING to=STOP result=0 us=",
		"from=STOP to=RUNNING_P2P result=0 us=",
		"from=RUNNING_P2P to=RUNNING result=0 us=",
	};
	struct vf *from = &vf_a, *to = &vf_b;
	struct stream s;

	if (!vf_open(from, tap_arg(), 1) || !vf_up(from, &opts) || !vf_open(to, tap_arg() + 1, 1) ||
	    !trace_on(true))
		return;
	if (go(from, ST_STOP) && vf_save(from, &s)) {
		if (vf_load(to, &s)) {
			unvme_move(&from->u, &to->dev);
			go(to, ST_RUNNING);
		}
		trace_on(false);
		check_arcs(from, source, ARRAY_SIZE(source));
		check_arcs(to, destination, ARRAY_SIZE(destination));
		check_records(from, &s, "out");
		check_records(to, &s, "in");
		check_commands(from);
		check_commands(to);
		check_times(from);
		stream_free(&s);
		EXPECT_EQ(unvme_rw(&from->u, 1, true, 0, 8), 0, "write afterwards");
	}
	trace_on(false);
}

static void test_reset(void)
{
	static const char *const resets[] = { "from=RUNNING", "from=STOP" };
	struct vf *v = &vf_a;
	struct events t;

	if (!vf_open(v, tap_arg(), 1) || !trace_on(true))
		return;
	vf_reset(v);
	go(v, ST_STOP);
	vf_reset(v);
	trace_on(false);
	trace_read_event(&t, "nvmevf_reset", v->bdf);
	check_lines(&t, resets, ARRAY_SIZE(resets), "resets");
}

/* ---- debugfs ---- */

static void test_debugfs(void)
{
	struct vf *from = &vf_a, *to = &vf_b;
	struct lm_pf *pf = pf_get(tap_arg());
	char controller[32];
	long long resets;
	struct stream s;

	/* bound anew, for counters that begin at 0 */
	if (!pf || bind_to(vf_bdf(tap_arg(), 1), NULL) || bind_to(vf_bdf(tap_arg() + 1, 1), NULL) ||
	    !vf_open(from, tap_arg(), 1) || !vf_up(from, &opts) || !vf_open(to, tap_arg() + 1, 1))
		return;
	snprintf(controller, sizeof(controller), "%d, online", lm_cntlid(pf, 1));
	expect_debugfs(from->bdf, "migration", pf->vendor ? "by vendor set of 2022" : "by TP4159");
	expect_debugfs(from->bdf, "controller", controller);
	expect_debugfs(from->bdf, "state", "RUNNING");
	expect_debugfs(from->bdf, "last refusal", "none");
	expect_debugfs(from->bdf, "command under way", "none");
	resets = debugfs_number(to->bdf, "resets");
	if (!go(from, ST_STOP) || !vf_save(from, &s))
		return;
	expect_debugfs(from->bdf, "state", "STOP_COPY");
	EXPECT_EQ(debugfs_number(from->bdf, "stream size"), (long long)s.size, "stream size");
	EXPECT_EQ(debugfs_number(from->bdf, "bytes of streams"), (long long)s.size, "bytes");
	EXPECT_EQ(debugfs_number(from->bdf, "saves"), 1, "saves");
	if (vf_load(to, &s)) {
		unvme_move(&from->u, &to->dev);
		EXPECT_EQ(debugfs_number(to->bdf, "loads"), 1, "loads");
		go(to, ST_RUNNING);
	}
	vf_reset(to);
	EXPECT_EQ(debugfs_number(to->bdf, "resets"), resets + 1, "resets");
	EXPECT_EQ(debugfs_number(to->bdf, "commands with an error status"), 0, "errors");
	EXPECT_EQ(debugfs_number(to->bdf, "commands without an answer"), 0, "errors");
	stream_free(&s);
}

/* The log and debugfs agree. */
static void check_refusal(struct vf *v, const char *what)
{
	char text[512];
	const char *p;

	snprintf(text, sizeof(text), "%s", debugfs_value(v->bdf, "last refusal"));
	p = strstr(text, what);
	if (EXPECT(p, "'%s' in '%s'", what, text))
		EXPECT_EQ(klog_count(v->bdf, p), 1, "'%s' in the log", p);
}

static void test_refusal(void)
{
	struct vf *v = &vf_a;
	struct stream s;
	int fd;

	if (!firmware_stream(tap_arg(), &s))
		return;
	if (vf_open(v, tap_arg(), 1)) {
		s.data[s.size - 8] ^= 1;
		fd = go_fd(v, ST_RESUMING);
		EXPECT_EQ(stream_write(fd, &s, 0), -EBADMSG, "stream with a wrong checksum");
		close(fd);
		check_refusal(v, "stream refused: checksum ");
		EXPECT_EQ(debugfs_number(v->bdf, "loads"), 0, "loads");
		vf_reset(v);
	}
	stream_free(&s);
}

static void test_plain(void)
{
	const char *bdf = vf_bdf(tap_arg(), 1);

	if (!bdf || !load_module() || !EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") ||
	    !EXPECT_EQ(bind_to(bdf, DRIVER), 0, "bind"))
		return;
	expect_debugfs(bdf, "migration", "none: PF does not support host managed live migration");
	EXPECT_EQ(klog_count(bdf, "no migration: PF does not support"), 1, "line in the log");
}

/* ---- a device that refuses, and one that does not answer ---- */

static void test_error(void)
{
	struct lm_fault f = scene_fault(&scene_suspend, tap_arg(), LM_ACT_STATUS, 1);
	struct vf *v = &vf_a;
	struct events t;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts))
		return;
	f.arg = 0x006;
	if (!fault_arm(tap_arg(), 0, f) || !trace_on(true))
		return;
	refuse_set(v, ST_P2P, EIO);
	trace_on(false);
	trace_read_event(&t, "nvmevf_command", v->bdf);
	if (EXPECT_EQ(t.nr, 1, "commands")) {
		EXPECT_EQ(number(t.line[0], "status"), 0x006, "status");
		EXPECT_EQ(number(t.line[0], "errno"), 0, "errno");
	}
	trace_read_event(&t, "nvmevf_arc", v->bdf);
	if (EXPECT_EQ(t.nr, 1, "arcs"))
		EXPECT_EQ(number(t.line[0], "result"), -EIO, "result");
	check_refusal(v, "NVMe status 0x6");
	EXPECT(debugfs_number(v->bdf, "commands with an error status") > 0, "errors");
}

/* It can be read while a command hangs, under the lock of the state. */
static void test_hang(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	struct vf *v = &vf_a;
	char want[32];

	if (!scene_open(v, tap_arg()) || !scene_begin(&scene_suspend, v) ||
	    !fault_hold(&scene_suspend, tap_arg(), true) || !actor_start(&scene_suspend, v) ||
	    !fault_held(tap_arg(), 1))
		return;
	snprintf(want, sizeof(want), "opcode %#x, for ", pf->vendor ? 0xc8 : 0x41);
	EXPECT(!strncmp(debugfs_value(v->bdf, "command under way"), want, strlen(want)), "'%s'",
	       debugfs_value(v->bdf, "command under way"));
	expect_debugfs(v->bdf, "state", "RUNNING");
	fault_release(tap_arg());
	EXPECT_EQ(actor_end(), 0, "suspend");
	expect_debugfs(v->bdf, "command under way", "none");
	expect_debugfs(v->bdf, "state", "RUNNING_P2P");
}

/* ---- DMA logging ---- */

#define PAGE		4096u
#define PAGES		((32u << 20) / PAGE)

static void report(struct vf *v)
{
	static u64 bitmap[PAGES / 64];

	EXPECT_EQ(vdev_log_report(&v->dev, ARENA_IOVA, PAGES * PAGE, PAGE, bitmap), 0, "REPORT");
}

/* Every Track Receive is part of a round. */
static void check_rounds(struct vf *v)
{
	unsigned int i, reads = 0, receives = 0;
	struct events t;

	trace_read_event(&t, "nvmevf_command", v->bdf);
	for (i = 0; i < t.nr; i++)
		receives += number(t.line[i], "opcode") == LM_OP_TRACK_RECV;
	trace_read_event(&t, "nvmevf_report", v->bdf);
	if (!EXPECT_EQ(t.nr, 2, "rounds"))
		return;
	for (i = 0; i < t.nr; i++) {
		reads += number(t.line[i], "reads");
		EXPECT_EQ(number(t.line[i], "result"), 0, "round %u", i);
	}
	EXPECT(receives, "no Track Receive");
	EXPECT_EQ(reads, receives, "Track Receives");
	EXPECT(!strncmp(t.line[0], "running ", 8), "'%s'", t.line[0]);
	EXPECT(!strncmp(t.line[1], "suspended ", 10), "'%s'", t.line[1]);
	EXPECT(number(t.line[0], "ranges") > 0, "'%s'", t.line[0]);
	EXPECT(number(t.line[0], "bytes") >= PAGE, "'%s'", t.line[0]);
}

static void test_reports(void)
{
	struct vfio_device_feature_dma_logging_range r = { ARENA_IOVA, PAGES * PAGE };
	u64 page_size = PAGE;
	struct vf *v = &vf_a;
	long long reports;

	if (!scene_open(v, tap_arg()))
		return;
	reports = debugfs_number(v->bdf, "reports of dirty memory");
	if (vdev_feature(&v->dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0)) {
		expect_debugfs(v->bdf, "DMA logging", "kernel without CONFIG_IOMMUFD_DRIVER");
		return;
	}
	expect_debugfs(v->bdf, "DMA logging", "off");
	if (!vf_up(v, &opts) || !EXPECT_EQ(vdev_log_start(&v->dev, &page_size, &r, 1), 0, "START"))
		return;
	EXPECT(strstr(debugfs_value(v->bdf, "DMA logging"), "on, granularity 4096 bytes"),
	       "while it is on");
	EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "read");
	if (trace_on(true)) {
		report(v);
		go(v, ST_STOP);
		report(v);
		trace_on(false);
		check_rounds(v);
	}
	EXPECT_EQ(vdev_log_stop(&v->dev), 0, "STOP");
	expect_debugfs(v->bdf, "DMA logging", "off");
	EXPECT_EQ(debugfs_number(v->bdf, "reports of dirty memory"), reports + 2, "reports");
}

static const struct drv_test trace_tests[] = {
	{ "a move", test_move, ON_BOTH },
	{ "resets", test_reset, ON_BOTH },
	{ "debugfs: a move", test_debugfs, ON_BOTH },
	{ "debugfs: a stream that is refused", test_refusal, ON_BOTH },
	{ "debugfs: VF of a PF without support", test_plain, ON_PLAIN },
};

static const struct drv_test trace_fault_tests[] = {
	{ "a command that is refused", test_error, ON_BOTH },
	{ "debugfs: a command that hangs", test_hang, ON_BOTH },
	{ "reports", test_reports, ON_TP },
};

const struct test_group trace_group = { "trace", trace_tests, ARRAY_SIZE(trace_tests) };

const struct test_group trace_fault_group = {
	"trace-faults", trace_fault_tests, ARRAY_SIZE(trace_fault_tests)
};
