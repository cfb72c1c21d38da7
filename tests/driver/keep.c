// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams and controller states of VFs, kept in a folder for tests/driver/dump-real. Their
 * contents, as the user-space driver knows them, lie beside them as JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"
#include "options.h"

static FILE *open_kept(const char *what, const char *kind)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s-%s.%s", options.keep,
		 pf_get(tap_arg())->vendor ? "vendor" : "tp4159", what, kind);
	f = fopen(path, "w");
	EXPECT(f, "%s: %s", path, strerror(errno));
	return f;
}

static void keep(const char *what, const char *kind, const void *data, size_t size)
{
	FILE *f = open_kept(what, kind);

	if (!f)
		return;
	EXPECT_EQ(fwrite(data, 1, size, f), size, "write");
	EXPECT_EQ(fclose(f), 0, "close");
}

static void print_sq(FILE *f, const struct unvme_sq *sq)
{
	fprintf(f, "{\"qid\": %u, \"cqid\": %u, \"qsize\": %u, \"tail\": %u, ", sq->id,
		sq->cq->id, sq->depth - 1, sq->tail);
	fprintf(f, "\"prp1\": \"0x%016llx\"}",
		(unsigned long long)arena_iova(&arena, sq->ring));
}

static void print_cq(FILE *f, const struct unvme_cq *cq)
{
	fprintf(f, "{\"qid\": %u, \"qsize\": %u, \"head\": %u, \"ien\": %s, ", cq->id,
		cq->depth - 1, cq->head, cq->vector == UNVME_POLLED ? "false" : "true");
	fprintf(f, "\"prp1\": \"0x%016llx\"}",
		(unsigned long long)arena_iova(&arena, cq->ring));
}

/* What is known of the I/O queues, and how many completions wait for room in one */
static void keep_facts(const char *what, const struct unvme *u, unsigned int held)
{
	FILE *f = open_kept(what, "json");
	unsigned int i, nr = 0;

	if (!f)
		return;
	fprintf(f, "{\"held\": %u,\n \"submission_queues\": [", held);
	for (i = 1; i < UNVME_MAX_QUEUES; i++) {
		if (!u->sqs[i].live)
			continue;
		fprintf(f, "%s\n  ", nr++ ? "," : "");
		print_sq(f, &u->sqs[i]);
	}
	fprintf(f, "],\n \"completion_queues\": [");
	for (nr = 0, i = 1; i < UNVME_MAX_QUEUES; i++) {
		if (!u->cqs[i].live)
			continue;
		fprintf(f, "%s\n  ", nr++ ? "," : "");
		print_cq(f, &u->cqs[i]);
	}
	fprintf(f, "]}\n");
	EXPECT_EQ(fclose(f), 0, "close");
}

/* The state of the suspended VF as the device returns it, with the vendor specific part or not */
static void keep_state(const char *what, struct vf *v, bool vendor_part)
{
	struct lm_pf *pf = pf_get(v->pf_nr);
	u8 csuuidi = vendor_part ? pf->csuuidi : 0;
	struct lm_state s = { 0 };
	int status;

	if (pf->vendor)
		return;
	status = lm_get(pf, lm_cntlid(pf, v->vfn), pf->csvi, csuuidi, 0, &s);
	if (EXPECT_EQ(status, 0, "Get Controller State"))
		keep(what, "state", s.data, s.size);
	lm_state_free(&s);
}

static void keep_stream(const char *what, struct vf *v, unsigned int held)
{
	struct stream s;

	if (!vf_save(v, &s))
		return;
	keep(what, "stream", s.data, s.size);
	keep_facts(what, &v->u, held);
	stream_free(&s);
}

static void test_fresh(void)
{
	struct vf *v = &vf_a;

	if (vf_open(v, tap_arg(), 1))
		keep_stream("fresh", v, 0);
}

static void test_busy(void)
{
	static const struct unvme_opts opts = { .queues = 4, .irq = true, .dbbuf = true };
	struct vf *v = &vf_a;
	u16 q;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts))
		return;
	set_everything(&v->u);
	for (q = 1; q <= 4; q++)
		EXPECT_EQ(unvme_rw(&v->u, q, q % 2, q * 8, 8), 0, "I/O on queue %u", q);
	keep_stream("busy", v, 0);
	keep_state("busy", v, true);
	keep_state("queues", v, false);
}

/* Two submission queues fill the completion queue that they share */
static void test_held(void)
{
	static const struct unvme_opts opts = { .queues = 1, .depth = 4 };
	struct vf *v = &vf_a;
	unsigned int i, done = 0;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts) ||
	    !EXPECT_EQ(unvme_create_sq(&v->u, 2, 4, 1), 0, "create SQ 2"))
		return;
	for (i = 0; i < 6; i++)
		unvme_queue_cmd(&v->u, 1 + i / 3, &flush_cmd, count_done, &done);
	unvme_ring(&v->u, 1);
	unvme_ring(&v->u, 2);
	if (wait_entries(&v->u, 1, 3))
		keep_stream("held", v, 3);
	keep_state("held", v, true);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_drain(&v->u, 1, 0), 0, "drain SQ 1");
	EXPECT_EQ(unvme_drain(&v->u, 2, 0), 0, "drain SQ 2");
	EXPECT_EQ(done, 6, "commands");
}

static void test_precopy(void)
{
	static const struct unvme_opts opts = { .queues = 2 };
	struct stream s = { .size = REC_SECOND };
	struct vf *v = &vf_a;
	int fd;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts))
		return;
	fd = go_fd(v, ST_PRE_COPY);
	if (fd < 0)
		return;
	s.data = malloc(s.size);
	EXPECT_EQ(read(fd, s.data, s.size), s.size, "read HELLO");
	go(v, ST_STOP_COPY);
	EXPECT_EQ(stream_append(fd, &s, 0), 0, "read the stream");
	close(fd);
	keep("precopy", "stream", s.data, s.size);
	keep_facts("precopy", &v->u, 0);
	stream_free(&s);
}

static const struct drv_test keep_tests[] = {
	{ "fresh", test_fresh, ON_BOTH },
	{ "busy", test_busy, ON_BOTH },
	{ "held completions", test_held, ON_BOTH },
	{ "pre-copy", test_precopy, ON_BOTH },
};

const struct test_group keep_group = { "keep", keep_tests, ARRAY_SIZE(keep_tests) };
