// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model of a migratable device and the programs that are compared with it, tested without a
 * device: results that a device may give, and results that it may not.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include <linux/kernel.h>

#include "kselftest_harness.h"
#include "lib/migration.h"
#include "lib/model.h"
#include "lib/program.h"

#define ALL_FLAGS	(VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY)

FIXTURE(model) {
};

FIXTURE_SETUP(model)
{
}

FIXTURE_TEARDOWN(model)
{
}

FIXTURE(program) {
	struct program *p;
};

FIXTURE_SETUP(program)
{
	self->p = malloc_assert(sizeof(*self->p));
}

FIXTURE_TEARDOWN(program)
{
	free(self->p);
}

static const struct model_caps all = { ALL_FLAGS, .logging = true, .info_v2 = true };
static const struct model_caps none = { VFIO_MIGRATION_STOP_COPY };

/* A stream that some device has saved */
#define LENGTH	1000

#define GET(s)			{ MODEL_GET, .state = ST_##s, .file = -1 }
#define SET(s)			{ MODEL_SET, .state = ST_##s, .file = -1 }
#define OPEN(s, f)		{ MODEL_SET, .state = ST_##s, .file = f }
#define FAIL(s, e)		{ MODEL_SET, .state = ST_##s, .file = -1, .ret = -(e) }
#define UNSEEN(s)		{ MODEL_SET, MODEL_ANSWER, -1, ST_##s, .ret = -EFAULT }
#define BYTES(n)		{ MODEL_SIZE, .value = n }
#define READ(f, n, r)		{ MODEL_READ, .file = f, .len = n, .ret = r }
#define READ_EDGE(f, n, m, r)	{ MODEL_READ, .file = f, .len = n, .missing = m, .ret = r }
#define WRITE(f, a, n, r)	{ MODEL_WRITE, .file = f, .len = n, .at = a, \
				  .total = LENGTH, .stream = 1, .ret = r }
#define JUNK(f, n, r)		{ MODEL_WRITE, .file = f, .len = n, .spoilt = SIZE_MAX, \
				  .total = LENGTH, .stream = 1, .ret = r }
#define POLL(f, e)		{ MODEL_POLL, .file = f, .value = e }
#define INFO(f, n)		{ MODEL_INFO, .file = f, .value = n }
#define REINIT(f, n)		{ MODEL_INFO, .file = f, .value = n, \
				  .flags = VFIO_PRECOPY_INFO_REINIT }
#define INFO_FAIL(f, e)		{ MODEL_INFO, .file = f, .ret = -(e) }
#define CLOSE(f)		{ MODEL_CLOSE, .file = f }
#define FAULT(s)		{ MODEL_SET, .state = ST_##s, .file = -1, .fault = true, \
				  .ret = -EIO }
#define READ_FAULT(f, e)	{ MODEL_READ, .file = f, .len = 9, .fault = true, .ret = -(e) }
#define KILLED(o, s)		{ MODEL_##o, .state = ST_##s, .file = -1, .unseen = true }
#define KILLED_IO(o, f)		{ MODEL_##o, .file = f, .len = 9, .unseen = true }
#define CALL(o, r)		{ MODEL_##o, .ret = r }
#define FLAW(o, f, r)		{ MODEL_##o, MODEL_##f, -1, .ret = r }

/* The results of all calls are right, or of all but the last */
struct trace {
	const struct model_caps *caps;
	struct model_call calls[12];
};

static const struct trace right[] = {
	{ &all, { GET(RUNNING), SET(STOP), GET(STOP), SET(RUNNING), GET(RUNNING) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 99, 60), READ(0, 99, 0), READ(0, 9, 0),
		  POLL(0, 1) } },
	{ &all, { SET(STOP), OPEN(STOP_COPY, 0), SET(STOP), READ(0, 10, -ENODEV),
		  READ(0, 10, 0), CLOSE(0) } },
	{ &all, { SET(STOP), BYTES(10), OPEN(STOP_COPY, 0), READ(0, 100, 10), READ(0, 1, 0) } },
	{ &all, { OPEN(PRE_COPY, 3), INFO(3, 50), READ(3, 20, 20), INFO(3, 30), READ(3, 99, 30),
		  READ(3, 9, -ENOMSG), SET(PRE_COPY_P2P), SET(STOP_COPY), READ(3, 9, 9) } },
	{ &all, { CALL(INFO_V2, 0), OPEN(PRE_COPY, 0), INFO(0, 9), READ(0, 9, 9), REINIT(0, 99) } },
	{ &all, { OPEN(PRE_COPY, 0), SET(RUNNING), INFO_FAIL(0, EINVAL), READ(0, 9, -ENODEV) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 600, 500), WRITE(0, 500, 500, 500),
		  SET(RUNNING) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 900, 900), FAIL(STOP, ENODATA), GET(RESUMING) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 900, 900), FAIL(STOP, EIO), GET(ERROR) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 1000, 1000), JUNK(0, 1, -EINVAL), SET(STOP) } },
	{ &all, { OPEN(RESUMING, 0), JUNK(0, 10, -EINVAL), FAIL(RUNNING, EINVAL), CALL(RESET, 0),
		  WRITE(0, 0, 10, -ENODEV), GET(RUNNING) } },
	{ &all, { OPEN(RESUMING, 0), CLOSE(0), FAIL(STOP, EINVAL), FAIL(STOP, EINVAL) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 1000, 1000), CLOSE(0), SET(STOP), SET(RUNNING) } },
	{ &all, { UNSEEN(STOP_COPY), GET(STOP_COPY), SET(STOP), OPEN(STOP_COPY, 0) } },
	{ &all, { FAIL(ERROR, EINVAL), GET(RUNNING), SET(RUNNING) } },
	{ &all, { OPEN(STOP_COPY, 0), FAIL(PRE_COPY, EINVAL), READ(0, 1, 1), OPEN(RESUMING, 1) } },
	{ &all, { OPEN(STOP_COPY, 0), READ_EDGE(0, 9, 9, -EFAULT), READ_EDGE(0, 9, 5, 3) } },
	{ &all, { CALL(LOG_START, 0), CALL(LOG_START, -EBUSY), CALL(RESET, 0), CALL(LOG_REPORT, 0),
		  CALL(LOG_STOP, 0), CALL(LOG_REPORT, -EINVAL) } },
	{ &all, { CALL(LOG_START, 0), CALL(REOPEN, 0), CALL(LOG_REPORT, -EINVAL) } },
	{ &all, { FLAW(LOG_START, INVALID, -EINVAL), FLAW(LOG_START, TOO_BIG, -E2BIG) } },
	{ &none, { FAIL(P2P, EINVAL), FAIL(PRE_COPY, EINVAL), CALL(LOG_START, -ENOTTY) } },
	{ &none, { CALL(INFO_V2, -EINVAL), FLAW(LOG_START, INVALID, -ENOTTY), SET(STOP) } },
	{ &all, { FAULT(STOP), GET(P2P), SET(RUNNING) } },
	{ &all, { FAULT(STOP_COPY), GET(ERROR), FAIL(RUNNING, EIO), CALL(RESET, 0),
		  GET(RUNNING) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 9, 9), READ_FAULT(0, ENOMEM), READ(0, 9, 9) } },
	{ &all, { CALL(FAULTS, 0), FAIL(STOP_COPY, EIO), GET(ERROR), FAIL(RUNNING, EIO),
		  CALL(RESET, -EIO), CALL(REOPEN, 0), GET(RUNNING) } },
	{ &all, { CALL(FAULTS, 0), GET(RUNNING), GET(ERROR), CALL(SIBLING, -EIO) } },
	{ &all, { CALL(HOT_RESET, -EINVAL), SET(STOP), CALL(HOT_RESET, 0), GET(RUNNING) } },
	{ &all, { CALL(SIBLING, 0), SET(STOP), CALL(SIBLING, 0), GET(STOP) } },
	{ &all, { KILLED(SET, STOP), GET(STOP), SET(RUNNING), KILLED(SET, STOP), GET(P2P),
		  KILLED(RESET, ERROR), GET(P2P) } },
	{ &all, { KILLED(SET, STOP_COPY), GET(STOP_COPY), SET(STOP), OPEN(STOP_COPY, 0) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 9, 9), KILLED_IO(READ, 0), READ(0, 99, 0) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 999, 999), KILLED_IO(WRITE, 0), SET(STOP) } },
	{ &all, { OPEN(RESUMING, 0), KILLED_IO(WRITE, 0), FAIL(STOP, EINVAL), GET(RESUMING) } },
	{ &all, { KILLED(LOG_START, ERROR), CALL(LOG_START, -EBUSY), CALL(LOG_STOP, 0) } },
	{ &all, { FLAW(SET, POINTER, -EFAULT), FLAW(FEATURE, PROBE, 0), GET(RUNNING) } },
};

static const struct trace wrong[] = {
	{ &all, { GET(STOP) } },
	{ &all, { SET(STOP), GET(P2P) } },
	{ &all, { { MODEL_GET, .state = ST_RUNNING, .file = 0 } } },
	{ &all, { FAIL(STOP, EBUSY) } },
	{ &all, { SET(STOP_COPY) } },
	{ &all, { OPEN(STOP, 0) } },
	{ &all, { SET(ERROR) } },
	{ &all, { FAIL(ERROR, EIO) } },
	{ &all, { FAIL(ERROR, EINVAL), GET(ERROR) } },
	{ &all, { OPEN(STOP_COPY, 0), SET(PRE_COPY) } },
	{ &all, { OPEN(STOP_COPY, 0), FAIL(PRE_COPY_P2P, EINVAL), GET(STOP) } },
	{ &all, { UNSEEN(STOP), SET(P2P), UNSEEN(P2P), GET(STOP) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 10, 0) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 10, 11) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 10, 9), READ(0, 9, 0), READ(0, 9, 9) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 10, -ENOMSG) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 10, -ENODEV) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 10, -EFAULT) } },
	{ &all, { OPEN(STOP_COPY, 0), READ_EDGE(0, 10, 5, 6) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 0, -EINVAL) } },
	{ &all, { OPEN(STOP_COPY, 0), WRITE(0, 0, 10, 10) } },
	{ &all, { OPEN(STOP_COPY, 0), POLL(0, 0) } },
	{ &all, { OPEN(STOP_COPY, 0), INFO(0, 10) } },
	{ &all, { OPEN(STOP_COPY, 0), CALL(RESET, 0), READ(0, 10, 10) } },
	{ &all, { OPEN(STOP_COPY, 0), CALL(RESET, 0), READ(0, 10, -ENOMSG) } },
	{ &all, { OPEN(STOP_COPY, 0), CALL(RESET, 0), POLL(0, 0) } },
	{ &all, { OPEN(STOP_COPY, 0), CALL(RESET, 0), GET(STOP_COPY) } },
	{ &all, { OPEN(STOP_COPY, 0), SET(STOP), OPEN(STOP_COPY, 1), READ(0, 10, 10) } },
	{ &all, { SET(STOP), BYTES(10), OPEN(STOP_COPY, 0), READ(0, 100, 11) } },
	{ &all, { BYTES(0) } },
	{ &all, { OPEN(PRE_COPY, 0), READ(0, 10, 0) } },
	{ &all, { OPEN(PRE_COPY, 0), INFO(0, 0) } },
	{ &all, { OPEN(PRE_COPY, 0), INFO(0, 9), READ(0, 9, -ENOMSG) } },
	{ &all, { OPEN(PRE_COPY, 0), INFO(0, 9), READ(0, 9, 4), INFO(0, 6) } },
	{ &all, { OPEN(PRE_COPY, 0), INFO(0, 9), READ(0, 9, 4), REINIT(0, 9) } },
	{ &all, { CALL(INFO_V2, 0), CALL(REOPEN, 0), OPEN(PRE_COPY, 0), REINIT(0, 9) } },
	{ &all, { OPEN(PRE_COPY, 0), OPEN(STOP_COPY, 1) } },
	{ &all, { OPEN(PRE_COPY, 0), SET(RUNNING), INFO(0, 9) } },
	{ &all, { OPEN(PRE_COPY, 0), SET(STOP), READ(0, 9, 9) } },
	{ &all, { OPEN(RESUMING, 0), SET(STOP) } },
	{ &all, { OPEN(RESUMING, 0), FAIL(STOP, EINVAL), GET(STOP) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 999, 999), SET(RUNNING) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 1000, 1000), FAIL(STOP, EINVAL) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 1000, 1000), JUNK(0, 1, 1) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 10, -EINVAL) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 10, 0) } },
	{ &all, { OPEN(RESUMING, 0), JUNK(0, 10, -EINVAL), SET(STOP) } },
	{ &all, { OPEN(RESUMING, 0), READ(0, 10, 0) } },
	{ &all, { OPEN(RESUMING, 0), CALL(RESET, 0), WRITE(0, 0, 10, 10) } },
	{ &all, { OPEN(RESUMING, 0), CALL(RESET, 0), WRITE(0, 0, 10, -EINVAL) } },
	{ &all, { OPEN(RESUMING, 0), CALL(RESET, 0), FAIL(STOP, EIO) } },
	{ &all, { CALL(LOG_START, 0), CALL(LOG_START, 0) } },
	{ &all, { CALL(LOG_START, -EBUSY) } },
	{ &all, { CALL(LOG_REPORT, 0) } },
	{ &all, { CALL(LOG_START, 0), CALL(RESET, 0), CALL(LOG_REPORT, -EINVAL) } },
	{ &all, { CALL(LOG_START, 0), CALL(REOPEN, 0), CALL(LOG_REPORT, 0) } },
	{ &all, { FLAW(LOG_START, TOO_BIG, -EINVAL) } },
	{ &all, { FLAW(LOG_START, WRONG, 0) } },
	{ &all, { CALL(RESET, -EAGAIN) } },
	{ &all, { FLAW(FEATURE, INVALID, 0) } },
	{ &all, { FLAW(FEATURE, UNKNOWN, -EINVAL) } },
	{ &none, { SET(P2P) } },
	{ &none, { CALL(LOG_START, 0) } },
	{ &none, { CALL(INFO_V2, 0) } },
	{ &all, { FAULT(STOP), GET(STOP) } },
	{ &all, { OPEN(STOP_COPY, 0), READ(0, 9, 9), CALL(FAULTS, 0), READ(0, 9, -EIO),
		  READ(0, 9, 0) } },
	{ &all, { OPEN(STOP_COPY, 0), FAULT(STOP), GET(ERROR), SET(RUNNING) } },
	{ &all, { FAULT(STOP), GET(P2P), FAIL(STOP, EIO) } },
	{ &all, { CALL(FAULTS, 0), CALL(REOPEN, 0), FAIL(STOP, EIO) } },
	{ &all, { CALL(FAULTS, 0), SET(STOP), GET(RUNNING) } },
	{ &all, { CALL(SIBLING, -EIO) } },
	{ &all, { CALL(HOT_RESET, 0), GET(STOP) } },
	{ &all, { SET(STOP), CALL(HOT_RESET, -EINVAL), GET(RUNNING) } },
	{ &all, { KILLED(SET, STOP), GET(STOP_COPY) } },
	{ &all, { KILLED(SET, ERROR), GET(ERROR) } },
	{ &all, { KILLED(RESET, ERROR), FAIL(STOP, EAGAIN) } },
	{ &all, { OPEN(STOP_COPY, 0), KILLED_IO(READ, 0), READ(0, 9, -EIO) } },
	{ &all, { OPEN(RESUMING, 0), WRITE(0, 0, 1000, 1000), KILLED(GET, ERROR),
		  FAIL(STOP, EINVAL) } },
};

static unsigned int trace_length(const struct trace *t)
{
	unsigned int nr = 0;

	while (nr < ARRAY_SIZE(t->calls) && t->calls[nr].op)
		nr++;
	return nr;
}

/* One call after the other; the number of those that are right */
static unsigned int nr_right(const struct trace *t)
{
	unsigned int nr = trace_length(t), i;
	struct model m;

	model_init(&m, t->caps);
	for (i = 0; i < nr; i++)
		if (model_check(&m, &t->calls[i], 1) != MODEL_RIGHT)
			break;
	model_fini(&m);
	return i;
}

TEST_F(model, right_results)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(right); i++) {
		EXPECT_EQ(trace_length(&right[i]), nr_right(&right[i]))
			TH_LOG("trace %u", i);
	}
}

TEST_F(model, wrong_results)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		EXPECT_EQ(trace_length(&wrong[i]) - 1, nr_right(&wrong[i]))
			TH_LOG("trace %u", i);
	}
}

/* ---- calls that overlap ---- */

static enum model_verdict check_overlapping(const struct model_call *first,
					    const struct model_call *calls, unsigned int nr)
{
	enum model_verdict verdict;
	struct model m;

	model_init(&m, &all);
	verdict = first ? model_check(&m, first, 1) : MODEL_RIGHT;
	if (verdict == MODEL_RIGHT)
		verdict = model_check(&m, calls, nr);
	model_fini(&m);
	return verdict;
}

#define AT(b, e, ...)	((struct model_call){ __VA_ARGS__, .begin = b, .end = e })
#define IS(s)		MODEL_GET, .state = ST_##s, .file = -1
#define GO(s)		MODEL_SET, .state = ST_##s, .file = -1

/* Either order, and with it what was seen meanwhile */
TEST_F(model, overlapping_requests)
{
	struct model_call c[] = {
		AT(1, 10, GO(STOP)), AT(2, 9, GO(P2P)), AT(3, 4, IS(STOP)), AT(5, 6, IS(P2P)),
	};

	EXPECT_EQ(MODEL_RIGHT, check_overlapping(NULL, c, 4));
	/* both are done, and there is no third */
	c[2] = AT(5, 6, IS(P2P));
	c[3] = AT(3, 4, IS(STOP));
	EXPECT_EQ(MODEL_RIGHT, check_overlapping(NULL, c, 4));
	c[3].state = ST_RUNNING;
	EXPECT_EQ(MODEL_RIGHT, check_overlapping(NULL, c, 4));
	c[2] = AT(11, 12, IS(RUNNING));
	EXPECT_EQ(MODEL_IMPOSSIBLE, check_overlapping(NULL, c, 4));
	c[2] = AT(5, 6, IS(STOP_COPY));
	EXPECT_EQ(MODEL_IMPOSSIBLE, check_overlapping(NULL, c, 4));
}

/* What has returned comes before what begins later */
TEST_F(model, order_of_time)
{
	struct model_call c[] = { AT(1, 2, GO(STOP)), AT(3, 4, IS(RUNNING)) };

	EXPECT_EQ(MODEL_IMPOSSIBLE, check_overlapping(NULL, c, 2));
	c[1].begin = 1;
	EXPECT_EQ(MODEL_RIGHT, check_overlapping(NULL, c, 2));
}

TEST_F(model, reset_in_a_read)
{
	static const struct model_call open = OPEN(STOP_COPY, 0);
	struct model_call c[] = {
		AT(1, 9, MODEL_READ, .len = 9, .ret = 9), AT(2, 8, MODEL_RESET),
	};

	EXPECT_EQ(MODEL_RIGHT, check_overlapping(&open, c, 2));
	c[0].ret = -ENODEV;
	EXPECT_EQ(MODEL_RIGHT, check_overlapping(&open, c, 2));
	c[0].ret = -EFAULT;
	EXPECT_EQ(MODEL_IMPOSSIBLE, check_overlapping(&open, c, 2));
	c[0].ret = 9;
	c[0].begin = 9;
	EXPECT_EQ(MODEL_IMPOSSIBLE, check_overlapping(&open, c, 2));
	/* only something else can be in the way of a reset */
	c[0].begin = 1;
	c[1].ret = -EAGAIN;
	EXPECT_EQ(MODEL_RIGHT, check_overlapping(&open, c, 2));
	EXPECT_EQ(MODEL_IMPOSSIBLE, check_overlapping(&open, c + 1, 1));
}

/* It may end what is under way, and all that this has led to */
TEST_F(model, reset_in_a_request)
{
	struct model_call c[] = {
		AT(1, 9, GO(STOP), .ret = -ECANCELED), AT(2, 8, MODEL_RESET), AT(3, 4, IS(P2P)),
	};

	EXPECT_EQ(MODEL_RIGHT, check_overlapping(NULL, c, 3));
	c[2] = AT(10, 11, IS(RUNNING));
	EXPECT_EQ(MODEL_RIGHT, check_overlapping(NULL, c, 3));
	c[2].state = ST_P2P;
	EXPECT_EQ(MODEL_IMPOSSIBLE, check_overlapping(NULL, c, 3));
	c[2].state = ST_ERROR;
	EXPECT_EQ(MODEL_IMPOSSIBLE, check_overlapping(NULL, c, 3));
	c[1].ret = -EAGAIN;
	c[2].state = ST_RUNNING;
	EXPECT_EQ(MODEL_IMPOSSIBLE, check_overlapping(NULL, c, 3));
}

/*
 * An automaton that executes calls in an order that only it knows; they overlap as much as that
 * allows. The model has to find an order, and to miss one if a result is changed.
 */
#define MANY	24

static void random_requests(struct model_call *c, u32 *seed)
{
	u32 state = ST_RUNNING, path[ST_NR], spread = 1 + mig_rnd(seed) % 40;
	unsigned int i;
	int len;

	for (i = 0; i < MANY; i++) {
		u32 want = 1 + mig_rnd(seed) % (ST_NR - 1);

		while (want == ST_RESUMING)
			want = 1 + mig_rnd(seed) % (ST_NR - 1);
		if (mig_rnd(seed) % 2) {
			c[i] = (struct model_call){ MODEL_GET, .state = state, .file = -1 };
		} else {
			len = mig_path(ALL_FLAGS, state, want, path);
			c[i] = (struct model_call){ MODEL_SET, .state = want, .file = -1,
						    .ret = len < 0 ? -EINVAL : 0 };
			if (mig_gives_file(ALL_FLAGS, state, want))
				c[i].file = i % MODEL_FILES;
			if (len >= 0)
				state = want;
		}
		c[i].begin = 100 * i - min(100 * i, mig_rnd(seed) % spread * 10);
		c[i].end = 100 * i + mig_rnd(seed) % spread * 10;
	}
}

TEST_F(model, any_order)
{
	unsigned int i, changed, found = 0, many = 0;
	struct model_call c[MANY];
	u32 seed = 20240229;

	for (i = 0; i < 200; i++) {
		enum model_verdict v;

		random_requests(c, &seed);
		v = check_overlapping(NULL, c, MANY);
		EXPECT_NE(MODEL_IMPOSSIBLE, v)
			TH_LOG("round %u", i);
		many += v == MODEL_TOO_MANY;
		changed = mig_rnd(&seed) % MANY;
		if (c[changed].op == MODEL_GET)
			c[changed].state = ST_ERROR;
		else
			c[changed].ret = -EIO;
		EXPECT_NE(MODEL_RIGHT, check_overlapping(NULL, c, MANY));
		found += v == MODEL_RIGHT;
	}
	TH_LOG("%u orders found, %u times too many possibilities", found, many);
	EXPECT_LT(100, found);
}

/* ---- programs ---- */

TEST_F(program, as_text)
{
	struct program *p = self->p, *back = malloc_assert(sizeof(*back));
	FILE *f = tmpfile();
	u32 seed;

	ASSERT_NE(NULL, f);
	for (seed = 0; seed < 20; seed++) {
		program_random(p, seed, PROGRAM_STEPS, PROGRAM_THREADS);
		rewind(f);
		ASSERT_EQ(0, ftruncate(fileno(f), 0));
		program_print(p, f);
		rewind(f);
		EXPECT_EQ(0, program_read(back, f));
		ASSERT_EQ(p->nr, back->nr);
		EXPECT_EQ(0, memcmp(p->steps, back->steps, sizeof(p->steps)));
	}
	fclose(f);
	free(back);
}

TEST_F(program, with_errors)
{
	static const char *const bad[] = {
		"x get\n", "0 got\n", "0\n", "9 get\n", "0 set\n", "0 set STOPP 0\n", "0 get 1\n",
	};
	struct program *p = self->p;
	unsigned int i;
	char text[64];
	FILE *f;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), "# comment\n0 get\n%s", bad[i]);
		f = fmemopen(text, strlen(text), "r");
		ASSERT_NE(NULL, f);
		EXPECT_EQ(3, program_read(p, f))
			TH_LOG("%s", bad[i]);
		fclose(f);
	}
}

/* Fails with a SET of STOP that a reset follows */
static bool stop_and_reset(const struct program *p, void *arg)
{
	bool stopped = false;
	unsigned int i;

	++*(unsigned int *)arg;
	for (i = 0; i < p->nr; i++) {
		if (p->steps[i].kind == STEP_SET && p->steps[i].args[0] == ST_STOP)
			stopped = true;
		if (p->steps[i].kind == STEP_RESET && stopped)
			return true;
	}
	return false;
}

TEST_F(program, shrinks)
{
	struct program *p = self->p;
	unsigned int calls = 0;

	program_random(p, 1, PROGRAM_STEPS, PROGRAM_THREADS);
	ASSERT_TRUE(stop_and_reset(p, &calls));
	program_shrink(p, stop_and_reset, &calls, 1000);
	EXPECT_EQ(2, p->nr);
	EXPECT_EQ(STEP_SET, p->steps[0].kind);
	EXPECT_EQ(STEP_RESET, p->steps[1].kind);
	EXPECT_EQ(0, p->steps[0].thread + p->steps[1].thread);
	calls = 0;
	program_random(p, 1, PROGRAM_STEPS, PROGRAM_THREADS);
	program_shrink(p, stop_and_reset, &calls, 10);
	EXPECT_GE(10, calls);
}

TEST_HARNESS_MAIN
