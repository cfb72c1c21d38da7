// SPDX-License-Identifier: GPL-2.0-only
/*
 * nvme-cli as a second client: the same commands from another hand give the same results.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "track.h"
#include "udmq.h"

#define STATE_FILE "/tmp/device-test-state"

/* Exit code of a command line; its output goes to the details if that is not what was wanted. */
static int run(const char *line, bool success)
{
	char text[512];
	FILE *p;
	size_t n;
	int rc;

	fflush(stdout);
	snprintf(text, sizeof(text), "%s 2>&1", line);
	p = popen(text, "r");
	if (!p)
		return -1;
	n = fread(text, 1, sizeof(text) - 1, p);
	text[n] = 0;
	rc = WEXITSTATUS(pclose(p));
	if (success != !rc)
		tap_note("%s: exit code %d: %s", line, rc, text);
	return rc;
}

static int cli(struct vf *d, const char *what, const char *args, bool success)
{
	char line[256];

	snprintf(line, sizeof(line), "nvme lm %s %s %s", what, d->pf->node, args);
	return run(line, success);
}

static int cli_send(struct vf *d, int sel, const char *more, bool success)
{
	char args[160];

	snprintf(args, sizeof(args), "--sel=%d --cntlid=%u %s", sel, d->cntlid, more);
	return cli(d, "migration-send", args, success);
}

/*
 * Bytes of a file of nvme-cli. It asks for a 0's based count and takes the same number as a
 * plain one when it writes the file, so one dword is missing there.
 */
static size_t read_file(u8 *buf, size_t size)
{
	FILE *f = fopen(STATE_FILE, "r");
	size_t n;

	if (!f)
		return 0;
	n = fread(buf, 1, size, f);
	fclose(f);
	return n;
}

static bool cli_get(struct vf *d, const struct lm_state *s)
{
	static u8 buf[65536];
	char args[160];
	size_t n;

	unlink(STATE_FILE);
	snprintf(args, sizeof(args),
		 "--sel=0 --cntlid=%u --csvi=%u --csuuidi=%u --numd=%zu --output-file=%s",
		 d->cntlid, d->pf->csvi, d->pf->csuuidi, s->size / 4 - 1, STATE_FILE);
	if (!EXPECT_EQ(cli(d, "migration-recv", args, true), 0, "migration-recv"))
		return false;
	n = read_file(buf, sizeof(buf));
	return EXPECT(n == s->size || n == s->size - 4, "%zu bytes, not %zu", n, s->size) &&
	       EXPECT(!memcmp(buf, s->data, n), "other bytes than by our own commands");
}

/*
 * Its Set Controller State (2.13) leaves CSVI at 0 whatever its options, so it can carry vendor
 * state only: that of a controller without I/O queues. And it ends with a double free, so the
 * exit code means nothing; the driver that goes on does.
 */
static void cli_set(struct vf *d, const struct lm_state *s)
{
	char more[128];
	FILE *f = fopen(STATE_FILE, "w");

	if (!EXPECT(f && fwrite(s->data, 1, s->size, f) == s->size && !fclose(f), "state file"))
		return;
	snprintf(more, sizeof(more), "--seq-ind=3 --csuuidi=%u --numd=%zu --input-file=%s",
		 d->pf->csuuidi, s->size / 4, STATE_FILE);
	tap_note("exit code %d of Set Controller State", cli_send(d, 2, more, false));
}

static void test_cli(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	struct lm_view v;
	u32 queues;

	if (run("nvme lm help >/dev/null", true)) {
		tap_skip("nvme-cli has no 'lm' plugin");
		return;
	}
	if (!vf_start(d, PF_TP, 1, 0) || !vf_open(&vf_b, PF_TP2, 1))
		return;
	EXPECT(cli_send(d, 1, "", false), "resume of a running controller");
	EXPECT_EQ(cli_send(d, 0, "--stype=0", true), 0, "notification");
	EXPECT_ST(d->pf, lm_resume_cmd(d->cntlid), LM_SC_NOT_SUSPENDED, "notified");
	EXPECT_EQ(cli_send(d, 0, "--stype=1", true), 0, "suspend");
	if (!vf_get(d, &s, &v))
		return;
	EXPECT_EQ(v.csattr, 1, "CSATTR after its suspend");
	cli_get(d, &s);
	lm_state_free(&s);

	EXPECT_EQ(lm_get(d->pf, d->cntlid, 0, d->pf->csuuidi, 0, &s), 0, "vendor state");
	EXPECT_EQ(cli_send(&vf_b, 0, "--stype=1", true), 0, "suspend of the other VF");
	cli_set(&vf_b, &s);
	lm_state_free(&s);
	unvme_move(&d->u, &vf_b.dev);
	EXPECT_EQ(cli_send(&vf_b, 1, "", true), 0, "resume");
	EXPECT_EQ(unvme_get_features(&d->u, 7, 0, &queues), 0, "admin command at the other VF");
	unvme_check_idle(&d->u, 0);
	unlink(STATE_FILE);
}

/* What it prints of Identify Controller, by its name for the field; -1 if it does not. */
static long cli_id(struct lm_pf *pf, const char *field)
{
	char line[256], name[64];
	long value = -1, n;
	FILE *p;

	fflush(stdout);
	snprintf(line, sizeof(line), "nvme id-ctrl %s", pf->node);
	p = popen(line, "r");
	while (p && fgets(line, sizeof(line), p))
		if (sscanf(line, "%63s : %li", name, &n) == 2 && !strcmp(name, field))
			value = n;
	if (p)
		pclose(p);
	return value;
}

/* It reads the same limits; it does not support the commands (2.13). */
static void test_cli_track(void)
{
	struct lm_pf *pf = pf_get(PF_TP);
	struct track_limits l;

	if (!pf)
		return;
	l = track_limits(pf->id);
	EXPECT_EQ(cli_id(pf, "trattr"), pf->id[576], "TRATTR");
	EXPECT_EQ(cli_id(pf, "cmmrtd"), l.cmmrtd, "CMMRTD");
	EXPECT_EQ(cli_id(pf, "nmmrtd"), l.nmmrtd, "NMMRTD");
	EXPECT_EQ(cli_id(pf, "minmrtg"), l.minmrtg, "MINMRTG");
	EXPECT_EQ(cli_id(pf, "maxmrtg"), l.maxmrtg, "MAXMRTG");
}

/*
 * The queue is ours: the kernel takes back the memory that create-cdq gives to its own. And get-cdq
 * has 8 bytes for data of 512.
 */
static void test_cli_log(void)
{
	const struct udmq_entry *e;
	struct vf *d = &vf_a;
	struct udmq q;

	if (!vf_start(d, LOG_PLAIN, 1, 1) ||
	    !EXPECT_EQ(udmq_create(&q, d->pf, d, 8), LM_SC_OK, "create"))
		return;
	EXPECT_EQ(cli(d, "track-send", "--sel=0 --mos=1 --cdqid=0", true), 0, "start");
	EXPECT(cli(d, "track-send", "--sel=0 --mos=1 --cdqid=0", false), "start twice");
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 17, 3), 0, "write");
	e = udmq_read(&q);
	if (EXPECT(e, "no entry"))
		EXPECT(e->slba == 17 && e->nlb == 2, "slba %llu", (unsigned long long)e->slba);
	EXPECT_EQ(cli(d, "set-cdq", "--cdqid=0 --hp=1", true), 0, "head pointer");
	EXPECT(cli(d, "set-cdq", "--cdqid=0 --hp=3", false), "a head without an entry");
	EXPECT_EQ(cli(d, "track-send", "--sel=0 --mos=0 --cdqid=0", true), 0, "stop");
	e = udmq_read(&q);
	if (EXPECT(e, "no entry"))
		EXPECT_EQ(udmq_esa(e), UDMQ_STOPPED, "ESA");
	EXPECT_EQ(cli(d, "delete-cdq", "--cdqid=0", true), 0, "delete");
	EXPECT(cli(d, "delete-cdq", "--cdqid=0", false), "delete twice");
}

static const struct tap_test cli_log_tests[] = {
	{ "log of user data", test_cli_log },
};

const struct test_group cli_log_group = { "cli-log", cli_log_tests, ARRAY_SIZE(cli_log_tests) };

static const struct tap_test cli_tests[] = {
	{ "limits of memory tracking", test_cli_track },
	{ "suspend, get, set, resume", test_cli },
};

const struct test_group cli_group = { "cli", cli_tests, ARRAY_SIZE(cli_tests) };
