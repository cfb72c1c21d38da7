// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a move costs, and one whose state takes many transfers.
 */
#include <stdio.h>
#include <string.h>
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

/* One suspend; one read of the header, and one for each full transfer of state. */
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
		EXPECT_EQ(c.gets, pf->vendor ? 1 : 1 + view.pieces, "commands that read state");
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

static const struct drv_test move_tests[] = {
	{ "cost of a save", test_cost, ON_BOTH },
	{ "state of many transfers", test_large, ON_SPECIAL, SP_SMALL },
	{ "state of many transfers, cost", test_large_cost, ON_SPECIAL, SP_SMALL },
	{ "state of many transfers, any steps", test_large_steps, ON_SPECIAL, SP_SMALL },
	{ "state of many transfers, broken", test_large_broken, ON_SPECIAL, SP_SMALL },
};

const struct test_group move_group = { "move", move_tests, ARRAY_SIZE(move_tests) };
