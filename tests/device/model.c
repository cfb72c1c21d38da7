// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hardware model: how long commands take, how many of them at once, and Abort, which ends one
 * of them. On a machine of its own. No test depends on how fast the machine is: the device must
 * not be faster than the model, and commands end in the order that the model gives. That order, and
 * the identifiers that Abort needs, come from the trace events of the nvme driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "device.h"
#include "function.h"
#include "track.h"

/* The PFs of the machine "model", in its order. */
enum { FIFO, NO_ABORT, SLOW, WIDE, RATE, DRAIN, LARGE, LARGE2, PLAIN, VENDOR };

/* What they are made with, in ms. */
#define FIFO_SUSPEND	150
#define FIFO_RESUME	50
#define FIFO_GET	200
#define FIFO_SET	100
#define FIFO_TRACK	20
#define WIDE_GET	300
#define DRAIN_MS	300
#define RATE_BYTES	(256 << 10)	/* per second */
#define LARGE_SIZE	(64u << 20)
#define VENDOR_SIZE	(16u << 10)
#define VENDOR_SET	50

#define TRACING		"/sys/kernel/tracing"
#define FLAG_EXTRA	0x100
#define FIXED_LEN	4864

static const struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
static u8 buf[65536] __aligned(4096);

static void count_done(struct unvme *u, struct unvme_cmd *c)
{
	unsigned int *n = c->priv;

	if (unvme_status(c))
		unvme_fault(u, "status %#x", unvme_status(c));
	(*n)++;
}

/* ---- what nvme traces ---- */

/* A command of ours; times are seconds. */
struct traced {
	unsigned int cid;
	double sent;
	double done;		/* 0: not yet */
	int order;		/* among all completions */
};

static bool trace_events(bool on)
{
	if (mount("tracefs", TRACING, "tracefs", 0, NULL) && errno != EBUSY)
		return EXPECT_EQ(errno, 0, "mount tracefs");
	/* only that empties it */
	close(open(TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
	return EXPECT_EQ(file_write(TRACING "/events/nvme/nvme_setup_cmd/enable", on ? "1" : "0"),
			 0, "nvme_setup_cmd") &&
	       EXPECT_EQ(file_write(TRACING "/events/nvme/nvme_complete_rq/enable", on ? "1" : "0"),
			 0, "nvme_complete_rq");
}

/* What a line about a command of an admin queue says: "SECONDS: EVENT: CTRL: qid=0, cmdid=N," */
static bool parse_line(const char *line, const char *event, struct lm_pf *pf, double *seconds,
		       unsigned int *cid)
{
	char what[64];
	const char *p, *t;

	snprintf(what, sizeof(what), ": %s: %s: qid=0, cmdid=", event, pf->node + 5);
	p = strstr(line, what);
	if (!p || sscanf(p + strlen(what), "%u", cid) != 1)
		return false;
	for (t = p; t > line && t[-1] != ' '; t--)
		;
	return sscanf(t, "%lf", seconds) == 1;
}

static void format_dwords(const struct lm_cmd *cmd, char *text)
{
	const u32 dw[] = { cmd->cdw10, cmd->cdw11, cmd->cdw12, cmd->cdw13, cmd->cdw14, cmd->cdw15 };
	const u8 *b = (const u8 *)dw;
	unsigned int i;

	text += sprintf(text, "cdw10=");
	for (i = 0; i < sizeof(dw); i++)
		text += sprintf(text, "%02x ", b[i]);
	text[-1] = ')';
}

/* The last command with these dwords. */
static bool find_traced(struct lm_pf *pf, const struct lm_cmd *cmd, struct traced *t)
{
	char line[1024], dwords[128];
	unsigned int cid;
	double seconds;
	int order = 0;
	FILE *f;

	memset(t, 0, sizeof(*t));
	format_dwords(cmd, dwords);
	f = fopen(TRACING "/trace", "r");
	if (!EXPECT(f, "trace"))
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, dwords) &&
		    parse_line(line, "nvme_setup_cmd", pf, &seconds, &cid)) {
			*t = (struct traced){ .cid = cid, .sent = seconds };
		} else if (parse_line(line, "nvme_complete_rq", pf, &seconds, &cid)) {
			order++;
			if (t->sent && !t->done && cid == t->cid) {
				t->done = seconds;
				t->order = order;
			}
		}
	}
	fclose(f);
	return EXPECT(t->sent, "the command was not traced");
}

/* ---- commands that take long ---- */

#define MAX_ASYNC	4

static struct lm_async async[MAX_ASYNC];

/* The device has it when this returns: it executes other commands in the order of the queue. */
static bool begin(struct lm_async *a, struct lm_pf *pf, struct lm_cmd cmd)
{
	static u8 id[4096] __aligned(4096);

	return EXPECT_EQ(lm_async_start(a, pf, cmd), 0, "thread") &&
	       EXPECT_EQ(lm_identify(pf, 1, 0, id), 0, "Identify");
}

static int ended(struct lm_async *a)
{
	int st = lm_async_wait(a, UNVME_TIMEOUT_MS);

	if (!EXPECT(st != -ETIMEDOUT, "the command did not end"))
		exit(2);	/* its thread and its buffer live on */
	return st;
}

static struct lm_cmd get_header(struct lm_pf *pf, u16 cntlid, unsigned int nr)
{
	return lm_get_cmd(cntlid, pf->csvi, 0, 0, buf + 4096 * nr, LM_HEADER);
}

/* Bit 0 of the answer to an Abort: 1 where it has ended nothing */
static int abort_cid(struct lm_pf *pf, u16 cid)
{
	struct lm_cmd cmd = { .opcode = 0x08, .cdw10 = (u32)cid << 16 };

	return EXPECT_EQ(lm_exec(pf, &cmd), 0, "Abort") ? (int)(cmd.result & 1) : -1;
}

static int abort_cmd(struct lm_pf *pf, const struct lm_cmd *cmd)
{
	struct traced t;

	return find_traced(pf, cmd, &t) ? abort_cid(pf, t.cid) : -1;
}

/* Abort it: its completion comes first, then that of the Abort. */
static void expect_aborted(struct lm_async *a)
{
	struct lm_cmd abort = { .opcode = 0x08 };
	struct traced t, by;

	if (!find_traced(a->pf, &a->cmd, &t))
		return;
	EXPECT_EQ(abort_cid(a->pf, t.cid), 0, "DW0 of Abort");
	EXPECT_EQ(ended(a), LM_SC_ABORTED, "status of what was aborted");
	abort.cdw10 = t.cid << 16;
	if (find_traced(a->pf, &a->cmd, &t) && find_traced(a->pf, &abort, &by))
		EXPECT(t.order && t.order < by.order, "completion %d, that of Abort is %d", t.order,
		       by.order);
}

static void expect_running(struct vf *d)
{
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "%s", d->bdf);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write");
}

/* ---- time ---- */

/* It takes as long as the model says, at least. The clocks may differ by a little. */
static int timed(struct lm_pf *pf, struct lm_cmd cmd, unsigned int ms, const char *what)
{
	u64 before = now_ms(), took;
	int st = lm_exec(pf, &cmd);

	took = now_ms() - before;
	EXPECT(took + 1 + ms / 20 >= ms, "%s took %lu ms of %u", what, took, ms);
	return st;
}

static void test_kinds(void)
{
	struct vf *d = &vf_a;
	struct lm_cmd set;
	struct lm_state s;
	struct track t;
	struct v0 q;

	if (!vf_start(d, FIFO, 1, 0))
		return;
	track_init(&t, d, 0);
	track_add(&t, 0, 1);
	EXPECT_EQ(timed(d->pf, lm_track_cmd(d->cntlid, true, buf, track_build(&t, buf)), FIFO_TRACK,
			"Track Send"), 0, "Track Send");
	EXPECT_EQ(timed(d->pf, lm_track_recv_cmd(d->cntlid, buf, 4096), FIFO_TRACK,
			"Track Receive"), 0, "Track Receive");
	EXPECT_EQ(timed(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND_NOTIFY, false), FIFO_SUSPEND,
			"Notification"), 0, "Notification");
	EXPECT_EQ(timed(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false), FIFO_SUSPEND,
			"Suspend"), 0, "Suspend");
	EXPECT_EQ(timed(d->pf, get_header(d->pf, d->cntlid, 0), FIFO_GET, "Get"), 0, "Get");
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	set = lm_set_cmd(d->cntlid, LM_SEQ_ONLY, d->pf->csvi, 0, 0, s.data, s.size);
	EXPECT_EQ(timed(d->pf, set, FIFO_SET, "Set"), 0, "Set");
	lm_state_free(&s);
	EXPECT_EQ(timed(d->pf, lm_resume_cmd(d->cntlid), FIFO_RESUME, "Resume"), 0, "Resume");
	EXPECT_EQ(timed(d->pf, lm_resume_cmd(d->cntlid), FIFO_RESUME, "Resume"),
		  LM_SC_NOT_SUSPENDED, "refused Resume");
	v0_adopt(&q, &d->u);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write on the loaded queue");
}

/* Refused or not, the bytes were moved. */
static void test_rate(void)
{
	unsigned int ms = 1000ull * sizeof(buf) / RATE_BYTES;
	struct vf *d = &vf_a;

	if (!vf_start(d, RATE, 1, 1))
		return;
	EXPECT_EQ(timed(d->pf, lm_get_cmd(d->cntlid, 1, 1, 0, buf, sizeof(buf)), ms, "Get"), 0,
		  "Get");
	EXPECT_EQ(timed(d->pf, lm_get_cmd(d->cntlid, 1, 1, 0, buf, sizeof(buf) / 2), ms / 2, "Get"),
		  0, "Get of half of it");
	memset(buf, 0xff, sizeof(buf));
	EXPECT_EQ(timed(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_FIRST, 1, 1, 0, buf, sizeof(buf)), ms,
			"Set"), LM_SC_INVALID_FIELD, "Set");
}

/* As many at once as the firmware can, the others in the order of their arrival. */
static void check_parallel(int nr, unsigned int parallel, unsigned int ms)
{
	struct lm_pf *pf = pf_get(nr);
	struct traced t[MAX_ASYNC];
	unsigned int i, rounds;
	double took;

	if (!pf || !trace_events(true))
		return;
	for (i = 0; i < MAX_ASYNC; i++)
		if (!begin(&async[i], pf, get_header(pf, lm_cntlid(pf, i + 1), i)))
			return;
	for (i = 0; i < MAX_ASYNC; i++)
		EXPECT_EQ(ended(&async[i]), 0, "Get %u", i);
	for (i = 0; i < MAX_ASYNC; i++) {
		if (!find_traced(pf, &async[i].cmd, &t[i]))
			return;
		rounds = i / parallel + 1;
		took = 1000 * (t[i].done - t[0].sent);
		EXPECT(took >= 0.95 * ms * rounds, "Get %u ended after %.0f ms", i, took);
		if (i)
			EXPECT(t[i].order > t[i - 1].order, "Get %u before the last one", i);
	}
	trace_events(false);
}

static void test_one(void)
{
	check_parallel(FIFO, 1, FIFO_GET);
}

static void test_two(void)
{
	check_parallel(WIDE, 2, WIDE_GET);
}

/* ---- a Suspend ---- */

/* It stops fetching when the device begins with the Suspend, long before that ends. */
static void test_no_fetch(void)
{
	struct vf *d = &vf_a;
	struct lm_async *a = &async[0];
	unsigned int n = 0;

	if (!vf_start(d, DRAIN, 1, 1) ||
	    !begin(a, d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)))
		return;
	unvme_submit(&d->u, 1, &flush, count_done, &n);
	EXPECT_EQ(ended(a), 0, "Suspend");
	EXPECT_EQ(cq_entries(&d->u, 1), 0, "commands while the device suspended");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 1, "commands");
}

/* The drain takes its time although there is nothing to wait for. */
static void test_drain_time(void)
{
	struct vf *d = &vf_a;

	if (!vf_start(d, DRAIN, 1, 1))
		return;
	EXPECT_EQ(timed(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false), DRAIN_MS, "Suspend"),
		  0, "Suspend");
	vf_resume(d);
	unvme_disable(&d->u);
	vf_suspend(d);
	vf_resume(d);
}

/* A guest that does not take its completions: nothing of ten commands can be posted any more. */
static bool begin_full(struct vf *d, int pf, struct lm_async *a, unsigned int *n)
{
	struct lm_cmd cmd;
	unsigned int i;

	if (!vf_start(d, pf, 1, 0))
		return false;
	EXPECT_EQ(unvme_create_cq(&d->u, 1, 4, UNVME_POLLED), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(&d->u, 1, 16, 1), 0, "SQ");
	for (i = 0; i < 10; i++)
		unvme_queue_cmd(&d->u, 1, &flush, count_done, n);
	unvme_ring(&d->u, 1);
	while (cq_entries(&d->u, 1) < 3)
		;
	cmd = d->pf->vendor ? lm_vs_cmd(LM_OP_VS_SUSPEND, d->t.vfn, NULL, 0)
			    : lm_suspend_cmd(d->cntlid, LM_SUSPEND, false);
	return trace_events(true) && begin(a, d->pf, cmd);
}

/* Another VF does not wait for that guest, too. */
static void expect_others(int pf)
{
	struct lm_async *a = &async[1];
	struct vf *d = &vf_b;

	if (!vf_start(d, pf, 2, 1) ||
	    !begin(a, d->pf, d->pf->vendor ? lm_vs_cmd(LM_OP_VS_SUSPEND, d->t.vfn, NULL, 0)
					   : lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)))
		return;
	EXPECT_EQ(ended(a), 0, "Suspend of another VF");
	vf_resume(d);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write on another VF");
}

/* One that waits for its guest leaves the firmware to others. */
static void test_wait_is_free(void)
{
	struct lm_async *a = &async[0];
	struct vf *d = &vf_a;
	unsigned int n = 0;

	if (!begin_full(d, DRAIN, a, &n))
		return;
	expect_others(DRAIN);
	EXPECT(lm_async_pending(a), "the Suspend did not wait");
	while (lm_async_pending(a))
		unvme_wait(&d->u, 10);
	EXPECT_EQ(ended(a), 0, "Suspend");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 10, "commands");
	trace_events(false);
}

/* ---- Abort ---- */

/* The VF runs as if nobody had asked, and can be suspended later. */
static void expect_unharmed(struct vf *d, unsigned int *n, unsigned int want)
{
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(*n, want, "commands");
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write");
	unvme_check_idle(&d->u, 0);
	if (!vf_suspend(d))
		return;
	vf_resume(d);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write after another Suspend");
}

static void test_abort_waiting(void)
{
	struct lm_async *a = &async[0];
	unsigned int n = 0;

	if (!begin_full(&vf_a, tap_arg(), a, &n))
		return;
	/* afterwards this one waits for nothing but its guest */
	expect_others(tap_arg());
	expect_aborted(a);
	expect_unharmed(&vf_a, &n, 10);
	trace_events(false);
}

/* The device works on it; what was not fetched meanwhile is fetched then. */
static void test_abort_suspend(void)
{
	struct lm_async *a = &async[0];
	struct vf *d = &vf_a;
	unsigned int n = 0;

	if (!vf_start(d, SLOW, 1, 1) || !trace_events(true) ||
	    !begin(a, d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)))
		return;
	unvme_submit(&d->u, 1, &flush, count_done, &n);
	expect_aborted(a);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 1, "commands");
	expect_running(d);
	trace_events(false);
}

/* Behind a Get that takes until it is aborted, too */
static bool begin_behind(struct vf *d, struct lm_cmd cmd)
{
	return trace_events(true) && begin(&async[0], d->pf, get_header(d->pf, d->cntlid, 0)) &&
	       begin(&async[1], d->pf, cmd);
}

static void end_behind(void)
{
	expect_aborted(&async[1]);
	EXPECT(lm_async_pending(&async[0]), "the one before it has ended, too");
	expect_aborted(&async[0]);
	trace_events(false);
}

static void test_abort_queued_suspend(void)
{
	struct vf *d = &vf_a;

	if (!vf_start(d, SLOW, 1, 1) ||
	    !begin_behind(d, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)))
		return;
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write before the Suspend begins");
	end_behind();
	expect_running(d);
}

static void test_abort_get(void)
{
	static u8 before[4096];
	struct vf *d = &vf_a;

	if (!vf_start(d, SLOW, 1, 1))
		return;
	memset(before, 0xa5, sizeof(before));
	memset(buf, 0xa5, sizeof(buf));
	if (!begin_behind(d, lm_get_cmd(d->cntlid, 1, 1, 0, buf + 4096, 4096)))
		return;
	end_behind();
	EXPECT(!memcmp(buf, before, 4096), "the first one has written");
	EXPECT(!memcmp(buf + 4096, before, 4096), "the second one has written");
	expect_running(d);
}

static void test_abort_set(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	struct v0 q;

	if (!vf_start(d, SLOW, 1, 0))
		return;
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	if (begin_behind(d, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, d->pf->csvi, 0, 0, s.data, s.size)))
		end_behind();
	lm_state_free(&s);
	EXPECT_EQ(unvme_create_cq(&d->u, 1, 16, UNVME_POLLED), 0, "the CQ is not there");
	EXPECT_EQ(unvme_create_sq(&d->u, 1, 16, 1), 0, "nor is the SQ");
	expect_running(d);
}

static void test_abort_track(void)
{
	struct vf *d = &vf_a;
	struct track t;

	if (!vf_start(d, SLOW, 1, 1))
		return;
	track_init(&t, d, 0);
	track_add(&t, 0, 1);
	if (begin_behind(d, lm_track_cmd(d->cntlid, true, buf + 8192, track_build(&t, buf + 8192))))
		end_behind();
	EXPECT_ST(d->pf, lm_track_cmd(d->cntlid, false, NULL, 0), LM_SC_INVALID_CTRL,
		  "it is not tracked");
}

/* A piece that a fault point holds. Its sequence is over, the next one is as good as ever. */
static void test_abort_piece(void)
{
	struct lm_fault hold = {
		.opcode = LM_OP_SEND, .dw10 = 2, .dw10_mask = 0xff, .skip = 1, .times = 1,
		.act = LM_ACT_HOLD,
	};
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	struct lm_state s;
	struct v0 q;

	if (!vf_start(d, FIFO, 1, 0) || !vf_suspend(d) || !trace_events(true))
		return;
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	EXPECT_EQ(lm_fault_arm(d->pf, 0, &hold), 0, "hold the second piece");
	EXPECT_ST(d->pf, lm_set_cmd(d->cntlid, LM_SEQ_FIRST, d->pf->csvi, 0, 0, s.data, 48), 0,
		  "first piece");
	if (begin(&async[0], d->pf, lm_set_cmd(d->cntlid, LM_SEQ_LAST, d->pf->csvi, 0, 48,
					       s.data + 48, s.size - 48)) &&
	    lm_fault_wait_held(d->pf, 1))
		expect_aborted(&async[0]);
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_SEQUENCE_ERROR, "Resume");
	cmd = lm_set_cmd(d->cntlid, LM_SEQ_LAST, d->pf->csvi, 0, 48, s.data + 48, s.size - 48);
	EXPECT_ST(d->pf, cmd, LM_SC_SEQUENCE_ERROR, "the piece once more");
	lm_state_free(&s);
	EXPECT_EQ(v0_set(d, &q), 0, "the whole state");
	vf_resume(d);
	v0_adopt(&q, &d->u);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write on the loaded queue");
	trace_events(false);
}

static void test_abort_unknown(void)
{
	struct lm_pf *pf = pf_get(SLOW);
	struct traced t;

	if (!pf || !trace_events(true))
		return;
	if (!begin(&async[0], pf, get_header(pf, lm_cntlid(pf, 1), 0)) ||
	    !find_traced(pf, &async[0].cmd, &t))
		return;
	EXPECT_EQ(abort_cid(pf, t.cid ^ 0xf000), 1, "no command has this identifier");
	EXPECT(lm_async_pending(&async[0]), "another one has ended");
	expect_aborted(&async[0]);
	EXPECT_EQ(abort_cid(pf, t.cid), 1, "the command is over");
	trace_events(false);
}

static void test_abort_ignored(void)
{
	struct lm_pf *pf = pf_get(NO_ABORT);

	if (!pf || !trace_events(true) ||
	    !begin(&async[0], pf, get_header(pf, lm_cntlid(pf, 1), 0)))
		return;
	EXPECT_EQ(abort_cmd(pf, &async[0].cmd), 1, "DW0 of Abort");
	EXPECT_EQ(ended(&async[0]), 0, "Get");
	trace_events(false);
}

static void test_abort_ignored_waiting(void)
{
	struct lm_async *a = &async[0];
	struct vf *d = &vf_a;
	unsigned int n = 0;

	if (!begin_full(d, NO_ABORT, a, &n))
		return;
	EXPECT_EQ(abort_cmd(d->pf, &a->cmd), 1, "DW0 of Abort");
	EXPECT(lm_async_pending(a), "the Suspend has ended");
	while (lm_async_pending(a))
		unvme_wait(&d->u, 10);
	EXPECT_EQ(ended(a), 0, "Suspend");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	trace_events(false);
}

/* ---- resets ---- */

/* Its own Suspends end, begun or not; what else is asked of it goes on. */
static void test_reset_vf(void)
{
	struct lm_cmd suspend;
	struct vf *d = &vf_a;
	unsigned int i;

	if (!vf_start(d, SLOW, 1, 1) || !vf_start(&vf_b, SLOW, 2, 1) || !trace_events(true))
		return;
	suspend = lm_suspend_cmd(d->cntlid, LM_SUSPEND, false);
	if (!begin(&async[0], d->pf, suspend) || !begin(&async[1], d->pf, suspend) ||
	    !begin(&async[2], d->pf, get_header(d->pf, d->cntlid, 0)) ||
	    !begin(&async[3], d->pf, lm_suspend_cmd(vf_b.cntlid, LM_SUSPEND, false)))
		return;
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	for (i = 0; i < 2; i++)
		EXPECT_EQ(ended(&async[i]), LM_SC_NOT_SUSPENDED, "Suspend %u", i);
	EXPECT(lm_async_pending(&async[2]), "the Get has ended");
	expect_aborted(&async[2]);
	expect_aborted(&async[3]);
	expect_running(&vf_b);
	unvme_fini(&d->u);
	arena_reset(&arena);
	trace_events(false);
}

static void check_pf_reset(bool (*reset)(int nr))
{
	struct vf *d = &vf_a;
	unsigned int i, n = 0;
	struct lm_state s;
	struct v0 q;

	if (!vf_start(d, SLOW, 1, 1))
		return;
	v0_init(&q, &d->u);
	lm_build(&s, &q.sq, 1, &q.cq, 1);
	if (!begin(&async[0], d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)) ||
	    !begin(&async[1], d->pf, get_header(d->pf, d->cntlid, 0)) ||
	    !begin(&async[2], d->pf, lm_set_cmd(d->cntlid, LM_SEQ_ONLY, d->pf->csvi, 0, 0, s.data,
						s.size)))
		return;
	unvme_submit(&d->u, 1, &flush, count_done, &n);
	if (!reset(SLOW))
		return;
	for (i = 0; i < 3; i++)
		EXPECT(ended(&async[i]), "command %u succeeded", i);
	lm_state_free(&s);
	/* nothing is left in front of it */
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "Resume");
	d->u.udrv.faults = 0;
	vf_close(d);
	arena_reset(&arena);
	if (vf_start(d, SLOW, 1, 1))
		EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write");
}

static void test_reset_pf(void)
{
	check_pf_reset(pf_restart);
}

static void test_flr_pf(void)
{
	check_pf_reset(pf_flr);
}

/* The other PF has a VF of this one suspended, and is reset meanwhile. */
static void test_reset_other(void)
{
	struct lm_pf *other = pf_get(NO_ABORT);
	struct vf *d = &vf_a;
	int i;

	if (!other || !vf_start(d, FIFO, 1, 1) || !trace_events(true) ||
	    !begin(&async[0], other, get_header(other, d->cntlid, 0)) ||
	    !begin(&async[1], other, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)))
		return;
	if (!pf_restart(NO_ABORT))
		return;
	for (i = 0; i < 2; i++)
		EXPECT(ended(&async[i]), "command %u succeeded", i);
	expect_running(d);
	trace_events(false);
}

/* ---- extra state ---- */

/* SplitMix64, as Documentation/device-state.rst says */
static u64 extra_word(u64 seed, u64 nr)
{
	u64 z = seed + (nr + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* What the state says of its last part; the seed. */
static u64 check_extra(const struct lm_state *s, u32 size)
{
	u32 flags, len, rsvd, total;
	u64 nvmecss, seed, want, i;
	const u8 *vs, *extra;
	u16 fixed_len;

	if (!EXPECT(s->size > size + FIXED_LEN, "%zu bytes", s->size))
		return 0;
	memcpy(&nvmecss, s->data + 16, 8);
	vs = s->data + LM_HEADER + 4 * nvmecss;
	memcpy(&fixed_len, vs + 10, 2);
	memcpy(&total, vs + 12, 4);
	memcpy(&flags, vs + 16, 4);
	memcpy(&seed, vs + FIXED_LEN, 8);
	memcpy(&len, vs + FIXED_LEN + 8, 4);
	memcpy(&rsvd, vs + FIXED_LEN + 12, 4);
	EXPECT_EQ(fixed_len, FIXED_LEN + 16, "length of the fixed part");
	EXPECT(flags & FLAG_EXTRA, "flags %#x", flags);
	EXPECT_EQ(total, s->data + s->size - vs, "length of the vendor part");
	EXPECT_EQ(len, size, "length of the extra state");
	EXPECT_EQ(rsvd, 0, "reserved");
	extra = s->data + s->size - size;
	for (i = 0; i < size / 8; i++) {
		want = extra_word(seed, i);
		if (!EXPECT(!memcmp(extra + 8 * i, &want, 8), "extra state differs at %lu", 8 * i))
			break;
	}
	return seed;
}

static bool save(struct vf *d, struct lm_state *s)
{
	return EXPECT_EQ(lmt_save(&d->t, s), 0, "save");
}

/* A driver moves with it, by pieces whose borders are anywhere. */
static void test_large_move(void)
{
	struct vf *from = &vf_a, *to = &vf_b;
	struct lm_state s;

	if (!vf_start(from, LARGE, 1, 1) || !vf_open(to, LARGE2, 1))
		return;
	EXPECT_EQ(unvme_rw(&from->u, 1, true, 0, 8), 0, "write");
	if (!vf_suspend(from) || !save(from, &s))
		return;
	check_extra(&s, LARGE_SIZE);
	if (vf_suspend(to) &&
	    EXPECT_EQ(lm_set(to->pf, to->cntlid, 1, 1, 65536 - 4, &s), 0, "load")) {
		unvme_move(&from->u, &to->dev);
		vf_resume(to);
		EXPECT_EQ(unvme_rw(&from->u, 1, false, 0, 8), 0, "read on the other VF");
		unvme_check_idle(&from->u, 0);
	}
	lm_state_free(&s);
}

/* The seed is that of a VF and of the time for which it is suspended. */
static void test_large_seed(void)
{
	struct vf *d = &vf_a;
	u64 seed[2] = { 0 };
	struct lm_state s[2];
	int i;

	if (!vf_start(d, RATE, 1, 1))
		return;
	for (i = 0; i < 2; i++) {
		if (!vf_suspend(d) || !save(d, &s[0]) || !save(d, &s[1]))
			return;
		EXPECT(same_state(&s[0], &s[1]), "two states of one Suspend differ");
		seed[i] = check_extra(&s[0], VENDOR_SIZE);
		lm_state_free(&s[0]);
		lm_state_free(&s[1]);
		vf_resume(d);
	}
	EXPECT(seed[0] != seed[1], "the seed does not change: %#lx", seed[0]);
}

static void expect_refused(struct vf *d, struct lm_state *s, size_t at)
{
	s->data[at] ^= 0x10;
	EXPECT_EQ(lm_set(d->pf, d->cntlid, 1, 1, 0, s), LM_SC_INVALID_FIELD, "byte %zu of %zu", at,
		  s->size);
	s->data[at] ^= 0x10;
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_SEQUENCE_ERROR, "Resume");
}

static void test_large_refused(void)
{
	struct vf *from = &vf_a, *to = &vf_b;
	struct lm_state s;
	size_t extra;

	if (!vf_start(from, RATE, 1, 1) || !vf_open(to, RATE, 2) || !vf_suspend(from) ||
	    !save(from, &s) || !vf_suspend(to))
		return;
	extra = s.size - VENDOR_SIZE;
	expect_refused(to, &s, extra);
	expect_refused(to, &s, extra + VENDOR_SIZE / 2);
	expect_refused(to, &s, s.size - 1);
	expect_refused(to, &s, LM_HEADER + 4 * 14 + FIXED_LEN);		/* seed */
	expect_refused(to, &s, LM_HEADER + 4 * 14 + FIXED_LEN + 8);	/* length */
	expect_refused(to, &s, LM_HEADER + 4 * 14 + FIXED_LEN + 12);	/* reserved */
	expect_refused(to, &s, LM_HEADER + 4 * 14 + 17);		/* flag */
	EXPECT_EQ(lm_set(to->pf, to->cntlid, 1, 1, 4096, &s), 0, "as it was");
	unvme_move(&from->u, &to->dev);
	vf_resume(to);
	EXPECT_EQ(unvme_rw(&from->u, 1, false, 0, 8), 0, "read");
	lm_state_free(&s);
}

/* The wrong byte is in the last piece of many. */
static void test_large_last_byte(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;

	if (!vf_open(d, LARGE, 1) || !vf_suspend(d) || !save(d, &s))
		return;
	expect_refused(d, &s, s.size - 1);
	lm_state_free(&s);
}

/* A device without it, or with less of it, has no place for that; the other way round is fine. */
static void test_large_elsewhere(void)
{
	struct vf *large = &vf_a, *plain = &vf_b;
	struct lm_state s;

	if (!vf_open(large, LARGE, 1) || !vf_open(plain, PLAIN, 1) || !vf_suspend(large) ||
	    !vf_suspend(plain))
		return;
	if (save(large, &s))
		EXPECT_EQ(lmt_load(&plain->t, &s), LM_SC_INVALID_FIELD, "more than there is");
	lm_state_free(&s);
	if (save(plain, &s))
		EXPECT_EQ(lmt_load(&large->t, &s), 0, "nothing");
	lm_state_free(&s);
	vf_resume(large);
}

static void test_large_vendor(void)
{
	struct vf *from = &vf_a, *to = &vf_b;
	struct lm_state s;

	if (!vf_start(from, VENDOR, 1, 1) || !vf_open(to, VENDOR, 2) || !vf_suspend(from) ||
	    !save(from, &s) || !vf_suspend(to))
		return;
	check_extra(&s, VENDOR_SIZE);
	s.data[s.size - 5] ^= 1;
	EXPECT_EQ(lmt_load(&to->t, &s), LM_SC_INVALID_FIELD, "a wrong byte");
	s.data[s.size - 5] ^= 1;
	EXPECT_EQ(timed(to->pf, lm_vs_cmd(LM_OP_VS_LOAD, 2, s.data, s.size), VENDOR_SET, "LOAD"), 0,
		  "LOAD");
	lm_state_free(&s);
	unvme_move(&from->u, &to->dev);
	vf_resume(to);
	EXPECT_EQ(unvme_rw(&from->u, 1, true, 0, 8), 0, "write on the other VF");
}

/* ---- while the device is in use ---- */

static void test_switched(void)
{
	struct lm_pf *pf = pf_get(SLOW);
	u16 cntlid;

	if (!pf || !trace_events(true))
		return;
	cntlid = lm_cntlid(pf, 1);
	if (!begin(&async[0], pf, get_header(pf, cntlid, 0)) ||
	    !begin(&async[1], pf, lm_resume_cmd(cntlid)))
		return;
	EXPECT(lm_async_pending(&async[1]), "the second one has ended");
	tap_note("monitor: qom-set /machine/peripheral/nv%d lm-model-parallel 0", SLOW);
	EXPECT_EQ(ended(&async[1]), LM_SC_NOT_SUSPENDED, "Resume");
	EXPECT(lm_async_pending(&async[0]), "the first one has ended");
	expect_aborted(&async[0]);
	trace_events(false);
}

static const struct tap_test model_tests[] = {
	{ "each kind of command takes its time", test_kinds },
	{ "states move at their rate", test_rate },
	{ "one command at a time", test_one },
	{ "two commands at a time", test_two },
	{ "nothing is fetched from the beginning of Suspend on", test_no_fetch },
	{ "a drain takes its time", test_drain_time },
	{ "who waits for a guest keeps nobody waiting", test_wait_is_free },
	{ "Abort of a Suspend that waits for a guest", test_abort_waiting, DRAIN },
	{ "Abort of a Suspend that waits for a guest, vendor set", test_abort_waiting, VENDOR },
	{ "Abort of a Suspend that is worked on", test_abort_suspend },
	{ "Abort of a Suspend that is queued", test_abort_queued_suspend },
	{ "Abort of a Get", test_abort_get },
	{ "Abort of a Set", test_abort_set },
	{ "Abort of a piece of a state", test_abort_piece },
	{ "Abort of Track Send", test_abort_track },
	{ "Abort of nothing", test_abort_unknown },
	{ "Abort that is ignored", test_abort_ignored },
	{ "Abort that is ignored, Suspend waits for a guest", test_abort_ignored_waiting },
	{ "reset of a VF", test_reset_vf },
	{ "reset of the PF", test_reset_pf },
	{ "function level reset of the PF", test_flr_pf },
	{ "reset of another PF", test_reset_other },
	{ "64 MiB of extra state", test_large_move },
	{ "seed of the extra state", test_large_seed },
	{ "wrong bytes of extra state", test_large_refused },
	{ "wrong byte after 64 MiB", test_large_last_byte },
	{ "extra state and none", test_large_elsewhere },
	{ "extra state, vendor set", test_large_vendor },
	/* the last one, because it changes the device */
	{ "switched to work on everything at once", test_switched },
};

const struct test_group model_group = { "model", model_tests, ARRAY_SIZE(model_tests) };
