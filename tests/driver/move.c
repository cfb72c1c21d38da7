// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a move costs, and one whose state takes many transfers.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

/* The guest's driver always lives in vf_a.u, whichever VF it runs on. */
#define drv (vf_a.u)

/* What a VMM does between stopping the source and starting the destination. */
static bool transfer(struct vf *from, struct vf *to)
{
	struct stream s;
	bool ok;

	if (!vf_save(from, &s))
		return false;
	ok = vf_load(to, &s);
	stream_free(&s);
	if (ok)
		unvme_move(&drv, &to->dev);
	return ok;
}

static bool move(struct vf *from, struct vf *to)
{
	return go(from, ST_P2P) && go(from, ST_STOP) && transfer(from, to) && go(to, ST_P2P) &&
	       go(to, ST_RUNNING);
}

/* ---- the cost ---- */

struct cost {
	unsigned int suspends;
	unsigned int gets;
	unsigned int others;
};

#define EVENT		"nvme/nvme_setup_cmd"

/* Count the PF's admin commands; lines say "nvme0: qid=0, ... cmd=(0x41 ...". */
static void trace_end(struct lm_pf *pf, struct cost *c)
{
	const char *suspend = pf->vendor ? "cmd=(0xc8" : "cmd=(0x41";
	const char *get = pf->vendor ? "cmd=(0xd2" : "cmd=(0x42";
	char line[1024], name[32];
	FILE *f;

	memset(c, 0, sizeof(*c));
	trace_switch(EVENT, false);
	f = fopen(TRACING "/trace", "r");
	if (!EXPECT(f, "trace"))
		return;
	snprintf(name, sizeof(name), " %s: qid=0", pf->node + 5);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, name))
			continue;
		if (strstr(line, suspend))
			c->suspends++;
		else if (strstr(line, get))
			c->gets++;
		else
			c->others++;
		if (tap_failed())
			tap_note("%s", line);
	}
	fclose(f);
}

/*
 * One Suspend, and one read for each transfer of state: the first has the header. Without a count
 * of resets another read shows that the VF is still suspended in the end.
 */
static void check_cost(int pf_nr, unsigned int pieces)
{
	struct lm_pf *pf = pf_get(pf_nr);
	struct st_view view = { 0 };
	struct stream s;
	struct cost c;

	if (!pf || !trace_switch(EVENT, true))
		return;
	if (go(&vf_a, ST_STOP) && vf_save(&vf_a, &s)) {
		trace_end(pf, &c);
		EXPECT(!st_parse(&s, &view), "parse");
		if (pieces)
			EXPECT(view.pieces >= pieces, "only %u pieces", view.pieces);
		EXPECT_EQ(c.suspends, 1, "Suspend commands");
		EXPECT_EQ(c.gets, view.pieces + !(pf->vendor || counts_pf_resets()),
			  "commands that read state");
		/* the vendor set asks for the size instead of a header */
		EXPECT_EQ(c.others, pf->vendor, "other commands");
		tap_note("%zu bytes of state: %u suspend, %u reads, %u other commands",
			 view.state_len, c.suspends, c.gets, c.others);
		st_view_free(&view);
		stream_free(&s);
	}
}

static void test_cost(void)
{
	static const struct unvme_opts o = { .queues = 4, .irq = true };

	if (vf_open(&vf_a, tap_arg(), 1) && vf_up(&vf_a, &o))
		check_cost(tap_arg(), 0);
}

/* ---- states of several transfers; the special machine's PFs move 8 KiB at a time ---- */

static void test_large(void)
{
	struct vf *from = &vf_a, *to = &vf_b;

	if (!start_large(from) || !vf_open(to, tap_arg() + 1, 1))
		return;
	fill_large();
	if (move(from, to))
		drain_large();
}

static void test_large_cost(void)
{
	if (!start_large(&vf_a))
		return;
	fill_large();
	check_cost(tap_arg(), 3);
	go(&vf_a, ST_RUNNING);
	drain_large();
}

static void check_large_steps(struct stream *s, size_t step)
{
	struct vf *to = &vf_b;
	struct stream back;
	int fd;

	fd = go_fd(to, ST_RESUMING);
	EXPECT_EQ(stream_write(fd, s, step), 0, "write in steps of %zu", step);
	close(fd);
	if (!go(to, ST_STOP))
		return;
	fd = go_fd(to, ST_STOP_COPY);
	EXPECT_EQ(stream_read(fd, &back, step), 0, "read in steps of %zu", step);
	close(fd);
	EXPECT_EQ(back.size, s->size, "bytes");
	EXPECT(!st_differ(s, &back), "%s", st_differ(s, &back));
	stream_free(&back);
	vf_reset(to);
}

static void test_large_steps(void)
{
	static const size_t steps[] = { 0, 1, 333, 8191, 8193, 16384 };
	struct stream s;
	unsigned int i;

	if (!start_large(&vf_a) || !vf_open(&vf_b, tap_arg() + 1, 1))
		return;
	fill_large();
	if (!go(&vf_a, ST_STOP) || !vf_save(&vf_a, &s))
		return;
	for (i = 0; i < ARRAY_SIZE(steps) && !tap_failed(); i++)
		check_large_steps(&s, steps[i]);
	stream_free(&s);
}

/* Pieces that the device already has are no reason to commit a stream that goes wrong later. */
static void test_large_broken(void)
{
	struct vf *to = &vf_b;
	struct stream s, bad;
	size_t at;
	int fd;

	if (!start_large(&vf_a) || !vf_open(to, tap_arg() + 1, 1))
		return;
	fill_large();
	if (!go(&vf_a, ST_STOP) || !vf_save(&vf_a, &s))
		return;
	for (at = REC_SECOND + 100; at < s.size && !tap_failed(); at += s.size / 9) {
		bad = stream_copy(&s, s.size, 0);
		bad.data[at] ^= 0x10;
		fd = go_fd(to, ST_RESUMING);
		EXPECT(stream_write(fd, &bad, 0) < 0, "damage at %zu of %zu", at, s.size);
		close(fd);
		vf_check_off(to);
		vf_reset(to);
		stream_free(&bad);

		bad = stream_copy(&s, at, 0);
		fd = go_fd(to, ST_RESUMING);
		EXPECT_EQ(stream_write(fd, &bad, 0), 0, "first %zu bytes", at);
		EXPECT_EQ(vdev_mig_set_state(&to->dev, ST_STOP, NULL), -ENODATA,
			  "after %zu of %zu bytes", at, s.size);
		close(fd);
		vf_check_off(to);
		vf_reset(to);
		stream_free(&bad);
	}
	if (vf_load(to, &s)) {
		unvme_move(&drv, &to->dev);
		vdev_bus_master(&to->dev, true);
		if (go(to, ST_RUNNING))
			drain_large();
	}
	stream_free(&s);
}

/* ---- one transfer is with the device while another is with the user ---- */

#define PIECE		(REC_HEAD + REC_PIECE + 8192)

static bool hold_each(u8 opcode, u32 sel)
{
	struct lm_fault f = {
		.opcode = opcode, .dw10 = sel, .dw10_mask = 0xff, .act = LM_ACT_HOLD,
	};

	return fault_arm(tap_arg(), 0, f);
}

/* The device accesses the memory of the transfer only now. */
static bool let_go(void)
{
	return fault_held(tap_arg(), 1) && fault_release(tap_arg());
}

/* Take the beginning of a piece, let the device fill in the next one, and take the rest. */
static bool read_overlapped(int fd, const struct stream *want)
{
	size_t at = REC_SECOND, part = REC_HEAD + REC_PIECE + 100;
	u8 *got = malloc(want->size);
	bool ok;

	ok = EXPECT_EQ(read(fd, got, at), (ssize_t)at, "HELLO");
	for (; ok && at + PIECE < want->size; at += PIECE)
		ok = EXPECT_EQ(read(fd, got + at, part), (ssize_t)part, "begin at %zu", at) &&
		     let_go() &&
		     EXPECT_EQ(read(fd, got + at + part, PIECE - part), (ssize_t)(PIECE - part),
			       "rest at %zu", at) &&
		     EXPECT(!memcmp(got + at, want->data + at, PIECE), "piece at %zu", at);
	free(got);
	return ok;
}

static bool write_up_to(int fd, const struct stream *s, size_t *at, size_t end)
{
	ssize_t len = end - *at;

	if (!EXPECT_EQ(write(fd, s->data + *at, len), len, "write at %zu", *at))
		return false;
	*at = end;
	return true;
}

/* Give a piece while the device has not taken the one before it. */
static bool write_overlapped(int fd, const struct stream *s)
{
	size_t state = s->size - REC_HEAD - REC_END_LEN, at = 0, end;

	/* what shows that a piece is not the last one has the device take it */
	for (end = REC_SECOND + PIECE; end < state; end += PIECE) {
		if (!write_up_to(fd, s, &at, end + REC_HEAD + REC_PIECE + 1) ||
		    !fault_held(tap_arg(), 1) ||
		    !write_up_to(fd, s, &at, end + PIECE < state ? end + PIECE : state) ||
		    !let_go())
			return false;
	}
	return fault_clear(tap_arg()) && write_up_to(fd, s, &at, s->size);
}

static void test_large_overlapped(void)
{
	struct stream good = { 0 }, back = { 0 };
	int fd;

	if (!pf_get(tap_arg()) || !fault_clear(tap_arg()) || !start_large(&vf_a) ||
	    !vf_open(&vf_b, tap_arg(), 2))
		return;
	fill_large();
	if (!go(&vf_a, ST_STOP) || !vf_save(&vf_a, &good) || !go(&vf_a, ST_STOP))
		return;
	fd = go_fd(&vf_a, ST_STOP_COPY);
	if (hold_each(LM_OP_RECV, 0) && read_overlapped(fd, &good))
		fault_clear(tap_arg());
	close(fd);
	fd = go_fd(&vf_b, ST_RESUMING);
	if (hold_each(LM_OP_SEND, 2) && write_overlapped(fd, &good) && go(&vf_b, ST_STOP) &&
	    vf_save(&vf_b, &back))
		EXPECT(!st_differ(&good, &back), "%s", st_differ(&good, &back));
	close(fd);
	stream_free(&back);
	stream_free(&good);
}

/* ---- transfers that end at any moment, while one is with the device ---- */

#define CUTS		24

struct mover {
	pthread_t thread;
	int fd;
	const struct stream *s;	/* what to write; NULL: read */
	unsigned int steps;	/* bytes are moved a few at a time, so that all moments come up */
	int err;
};

static void *move_thread(void *arg)
{
	struct mover *m = arg;
	u8 bytes[777];
	size_t at = 0;
	ssize_t n;

	do {
		if (m->s)
			n = write(m->fd, m->s->data + at,
				  m->s->size - at < sizeof(bytes) ? m->s->size - at :
								    sizeof(bytes));
		else
			n = read(m->fd, bytes, sizeof(bytes));
		if (n > 0)
			at += n;
		__atomic_add_fetch(&m->steps, 1, __ATOMIC_RELEASE);
	} while (n > 0 && (!m->s || at < m->s->size));
	m->err = n < 0 ? errno : 0;
	return NULL;
}

static bool mover_start(struct mover *m, struct vf *v, struct stream *s)
{
	*m = (struct mover){ .s = s };
	m->fd = go_fd(v, s ? ST_RESUMING : ST_STOP_COPY);
	return m->fd >= 0 && EXPECT_EQ(pthread_create(&m->thread, NULL, move_thread, m), 0,
				       "thread");
}

static void mover_pass(struct mover *m, unsigned int steps)
{
	while (__atomic_load_n(&m->steps, __ATOMIC_ACQUIRE) < steps && !tap_failed())
		sched_yield();
}

/* A reset after so many steps: the transfer is over, and the VF like new. */
static void cut_by_reset(struct vf *v, struct stream *s, unsigned int steps)
{
	struct mover m;

	if (!mover_start(&m, v, s))
		return;
	mover_pass(&m, steps);
	vf_reset(v);
	pthread_join(m.thread, NULL);
	/* 0 if it was faster */
	EXPECT(!m.err || m.err == ENODEV || m.err == ECANCELED, "%s: errno %d after %u steps",
	       s ? "write" : "read", m.err, steps);
	close(m.fd);
	v->u.udrv.faults = 0;
	vf_check_off(v);
}

/* The same by the end of its owner */
static void cut_by_kill(struct stream *s, unsigned int steps)
{
	struct mover m;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		if (s ? vf_open(&vf_b, tap_arg(), 2) :
			start_large(&vf_a) && (fill_large(), go(&vf_a, ST_STOP)))
			if (mover_start(&m, s ? &vf_b : &vf_a, s)) {
				mover_pass(&m, steps);
				raise(SIGKILL);
			}
		_exit(1);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status),
	       "the owner did not get far");
}

static void test_large_cut(void)
{
	struct stream s = { 0 };
	unsigned int i;

	if (!start_large(&vf_a))
		return;
	fill_large();
	if (!vf_save(&vf_a, &s))
		return;
	vf_close(&vf_a);
	for (i = 1; i < CUTS && !tap_failed(); i++) {
		cut_by_kill(NULL, i);
		cut_by_kill(&s, i);
		if (!start_large(&vf_a) || !vf_open(&vf_b, tap_arg(), 2))
			break;
		fill_large();
		if (go(&vf_a, ST_STOP))
			cut_by_reset(&vf_a, NULL, i);
		cut_by_reset(&vf_b, &s, i);
		vf_check_usable(&vf_a);
		vf_check_usable(&vf_b);
		vf_close(&vf_a);
		vf_close(&vf_b);
	}
	tap_note("tried: %u transfers ended by SIGKILL, as many by a reset: the VFs can be used",
		 2 * (i - 1));
	stream_free(&s);
}

static const struct drv_test move_tests[] = {
	{ "cost of a save", test_cost, ON_BOTH },
	{ "state of many transfers", test_large, ON_SPECIAL, SP_SMALL },
	{ "state of many transfers, cost", test_large_cost, ON_SPECIAL, SP_SMALL },
	{ "state of many transfers, any steps", test_large_steps, ON_SPECIAL, SP_SMALL },
	{ "state of many transfers, broken", test_large_broken, ON_SPECIAL, SP_SMALL },
	{ "state of many transfers, overlapped", test_large_overlapped, ON_SPECIAL, SP_SMALL },
	{ "state of many transfers, cut anywhere", test_large_cut, ON_SPECIAL, SP_SMALL },
};

const struct test_group move_group = { "move", move_tests, ARRAY_SIZE(move_tests) };
