// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once: requests, transfers, questions, resets and closes of several threads, in the
 * worst moments that can be arranged and in a great many others.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/harness.h"
#include "lib/trap.h"

#define DEBUGFS		"/sys/kernel/debug/vfio"

FIXTURE(race) {
	struct mig m;
};

FIXTURE_SETUP(race)
{
	mig_setup(_metadata, &self->m);
	if (self->m.flags)
		ASSERT_EQ(0, mig_save_fresh(&self->m.dev, &self->m.fresh));
}

FIXTURE_TEARDOWN(race)
{
	mig_teardown(_metadata, &self->m);
}

/* ---- something done while something else waits ---- */

struct task {
	int (*run)(struct task *t);
	struct mig *m;
	u32 state;
	const char *bdf;
	int fd;
	struct stream part;
	int result;
	bool done;
	pid_t tid;
	pthread_t thread;
};

static void *task_thread(void *arg)
{
	struct task *t = arg;

	__atomic_store_n(&t->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	t->result = t->run(t);
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void task_start(struct __test_metadata *_metadata, struct task *t)
{
	t->done = false;
	t->tid = 0;
	ASSERT_EQ(0, pthread_create(&t->thread, NULL, task_thread, t));
}

static bool task_done(const struct task *t)
{
	return __atomic_load_n(&t->done, __ATOMIC_ACQUIRE);
}

/* It has ended, or sleeps in the kernel. */
static void task_settle(struct task *t)
{
	char state;

	while (!task_done(t)) {
		sched_yield();
		if (!__atomic_load_n(&t->tid, __ATOMIC_ACQUIRE))
			continue;
		state = thread_state(getpid(), t->tid);
		if (state == 'D' || state == 'S')
			return;
	}
}

/* False: it does not end. */
static bool task_join(struct task *t)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += UDRV_TIMEOUT_MS / 1000;
	return !pthread_timedjoin_np(t->thread, NULL, &end);
}

static int run_reset(struct task *t)
{
	return vdev_reset(&t->m->dev);
}

static int run_set(struct task *t)
{
	return vdev_mig_set_state(&t->m->dev, t->state, NULL);
}

static int run_get(struct task *t)
{
	return vdev_mig_state(&t->m->dev);
}

static int run_data_size(struct task *t)
{
	u64 size;

	return vdev_mig_data_size(&t->m->dev, &size);
}

static int run_save(struct task *t)
{
	struct stream s;
	int err;

	err = mig_save(&t->m->dev, &s);
	if (err)
		return err;
	err = !stream_alike(&s, &t->m->fresh);
	stream_free(&s);
	return err;
}

static int run_close(struct task *t)
{
	vdev_close(&t->m->dev);
	return 0;
}

static int run_bind(struct task *t)
{
	return function_bind(mig_bdf, t->bdf);
}

static int run_transfer(struct task *t)
{
	ssize_t n;

	n = t->state == ST_RESUMING ? write(t->fd, t->part.data, t->part.size) :
				      read(t->fd, t->part.data, t->part.size);
	return n < 0 ? -errno : n;
}

/* ---- a transfer held in the middle of its copy from or to user memory ---- */

struct held {
	struct trap trap;
	struct task transfer;
	struct mig *m;
};

/* Of what is read or written at once, less than there is. */
static size_t part_size(const struct mig *m)
{
	return min((size_t)getpagesize(), m->fresh.size / 2);
}

static bool hold(struct __test_metadata *_metadata, struct mig *m, struct held *h, u32 state)
{
	h->m = m;
	if (trap_init(&h->trap))
		SKIP(return false, "no userfaultfd");
	h->transfer = (struct task){ .run = run_transfer, .state = state };
	h->transfer.fd = ASSERT_OPEN(&m->dev, state);
	h->transfer.part = (struct stream){ h->trap.page, part_size(m) };
	task_start(_metadata, &h->transfer);
	ASSERT_EQ(0, trap_wait(&h->trap));
	return true;
}

static void let_go(struct held *h)
{
	trap_release(&h->trap, h->m->fresh.data, part_size(h->m));
	pthread_join(h->transfer.thread, NULL);
}

/* The transfer of a session that ended meanwhile: what it had copied, or that it ended. */
static void end_dead(struct __test_metadata *_metadata, struct held *h)
{
	EXPECT_FALSE(task_done(&h->transfer));
	let_go(h);
	if (h->transfer.result <= 0)
		EXPECT_EQ(-ENODEV, h->transfer.result);
	EXPECT_TRUE(mig_file_dead(h->transfer.fd));
	close(h->transfer.fd);
	trap_fini(&h->trap);
}

/* Nothing waits for the transfer: its buffer may be a BAR, which only the end of a reset maps. */
static int meanwhile(struct __test_metadata *_metadata, struct held *h, struct task t)
{
	t.m = h->m;
	task_start(_metadata, &t);
	if (task_join(&t))
		return t.result;
	EXPECT_TRUE(task_done(&t))
		TH_LOG("it waits for a %s", h->transfer.state == ST_RESUMING ? "write" : "read");
	let_go(h);
	pthread_join(t.thread, NULL);
	return t.result;
}

static const u32 transfers[] = { ST_STOP_COPY, ST_RESUMING };

MIG_TEST(race, s77_reset_in_a_copy)
{
	struct mig *m = &self->m;
	struct held h;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(transfers); i++) {
		if (!hold(_metadata, m, &h, transfers[i]))
			return;
		EXPECT_EQ(0, meanwhile(_metadata, &h, (struct task){ run_reset }));
		EXPECT_STATE(&m->dev, ST_RUNNING);
		end_dead(_metadata, &h);
		mig_expect_like_new(_metadata, m);
	}
	mig_expect_usable(_metadata, m, &m->dev);
}

MIG_TEST(race, s77_set_in_a_copy)
{
	struct task stop = { run_set, .state = ST_STOP };
	struct mig *m = &self->m;
	struct held h;

	if (!hold(_metadata, m, &h, ST_STOP_COPY))
		return;
	EXPECT_EQ(0, meanwhile(_metadata, &h, stop));
	EXPECT_STATE(&m->dev, ST_STOP);
	EXPECT_EQ(0, meanwhile(_metadata, &h, (struct task){ run_save }));
	EXPECT_EQ(0, meanwhile(_metadata, &h, stop));
	end_dead(_metadata, &h);
	EXPECT_RESET(&m->dev);

	/* what is not complete fails, however much is on its way */
	if (!hold(_metadata, m, &h, ST_RESUMING))
		return;
	EXPECT_GT(0, meanwhile(_metadata, &h, stop));
	EXPECT_NE(ST_STOP, vdev_mig_state(&m->dev));
	EXPECT_EQ(0, meanwhile(_metadata, &h, (struct task){ run_reset }));
	end_dead(_metadata, &h);
	mig_expect_like_new(_metadata, m);
}

MIG_TEST(race, s77_questions_in_a_copy)
{
	struct mig *m = &self->m;
	struct held h;
	unsigned int i;
	size_t part;

	for (i = 0; i < ARRAY_SIZE(transfers); i++) {
		if (!hold(_metadata, m, &h, transfers[i]))
			return;
		EXPECT_EQ(transfers[i], meanwhile(_metadata, &h, (struct task){ run_get }));
		EXPECT_EQ(0, meanwhile(_metadata, &h, (struct task){ run_data_size }));
		part = part_size(m);
		let_go(&h);
		EXPECT_LT(0, h.transfer.result);
		EXPECT_GE(part, h.transfer.result);
		close(h.transfer.fd);
		trap_fini(&h.trap);
		EXPECT_RESET(&m->dev);
	}
}

MIG_TEST(race, s77_close_in_a_copy)
{
	struct mig *m = &self->m;
	struct held h;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(transfers); i++) {
		if (!hold(_metadata, m, &h, transfers[i]))
			return;
		EXPECT_EQ(0, meanwhile(_metadata, &h, (struct task){ run_close }));
		vdev_open(&m->dev, mig_bdf);
		ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
		EXPECT_STATE(&m->dev, ST_RUNNING);
		EXPECT_EQ(0, meanwhile(_metadata, &h, (struct task){ run_save }));
		end_dead(_metadata, &h);
		EXPECT_RESET(&m->dev);
		mig_expect_like_new(_metadata, m);
	}
}

MIG_TEST(race, s80_unbind_in_a_copy)
{
	struct mig *m = &self->m;
	struct held h;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(transfers); i++) {
		if (!hold(_metadata, m, &h, transfers[i]))
			return;
		EXPECT_EQ(0, meanwhile(_metadata, &h, (struct task){ run_close }));
		EXPECT_EQ(0, meanwhile(_metadata, &h, (struct task){ run_bind }));
		end_dead(_metadata, &h);
		ASSERT_EQ(0, function_bind(mig_bdf, mig_driver));
		vdev_open(&m->dev, mig_bdf);
		ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
		mig_expect_like_new(_metadata, m);
	}
}

/* A second transfer begins where the first, held one, ends. */
static void second_transfer(struct __test_metadata *_metadata, struct held *h, struct task *t)
{
	t->run = run_transfer;
	t->fd = h->transfer.fd;
	t->state = h->transfer.state;
	task_start(_metadata, t);
	task_settle(t);
	EXPECT_FALSE(task_done(t));
	let_go(h);
	EXPECT_EQ(part_size(h->m), h->transfer.result);
	EXPECT_TRUE(task_join(t));
	EXPECT_EQ(t->part.size, t->result);
}

MIG_TEST(race, s34_s77_two_readers)
{
	struct mig *m = &self->m;
	size_t part = part_size(m);
	struct stream both = { malloc_assert(2 * part), 2 * part };
	struct stream want = { m->fresh.data, 2 * part };
	struct task second = { .part = { both.data + part, part } };
	struct held h;

	if (!hold(_metadata, m, &h, ST_STOP_COPY))
		return;
	second_transfer(_metadata, &h, &second);
	memcpy(both.data, h.trap.page, part);
	EXPECT_TRUE(stream_alike(&both, &want));
	stream_free(&both);
	close(h.transfer.fd);
	trap_fini(&h.trap);
}

MIG_TEST(race, s59_s77_two_writers)
{
	struct mig *m = &self->m;
	size_t part = part_size(m);
	struct task second = {
		.part = { m->fresh.data + part, m->fresh.size - part },
	};
	struct stream s;
	struct held h;

	if (!hold(_metadata, m, &h, ST_RESUMING))
		return;
	second_transfer(_metadata, &h, &second);
	close(h.transfer.fd);
	trap_fini(&h.trap);
	EXPECT_SET(&m->dev, ST_STOP);
	ASSERT_EQ(0, mig_save(&m->dev, &s));
	EXPECT_TRUE(stream_alike(&s, &m->fresh));
	stream_free(&s);
}

/* A request that comes while the device is in its reset is done after it. */
MIG_TEST(race, s76_set_waits_for_a_reset)
{
	u32 state = self->m.flags & VFIO_MIGRATION_P2P ? ST_P2P : ST_STOP;
	struct mig *m = &self->m;
	struct task reset = { run_reset, m };
	int i;

	for (i = 0; i < 10; i++) {
		task_start(_metadata, &reset);
		task_settle(&reset);
		EXPECT_EQ(0, vdev_mig_set_state(&m->dev, state, NULL));
		EXPECT_TRUE(task_join(&reset));
		EXPECT_EQ(0, reset.result);
		EXPECT_STATE(&m->dev, state);
		EXPECT_SET(&m->dev, ST_RUNNING);
		mig_expect_usable(_metadata, m, &m->dev);
		mig_end_user(_metadata, m);
	}
}

/* ---- storms ---- */

/* What a thread does again and again until the storm is over. */
struct actor {
	const char *name;
	void (*step)(struct actor *a);
	bool must_succeed;
	struct storm *storm;
	struct mig *m;
	u32 seed;
	unsigned int rounds;
	unsigned int successes;
	char wrong[128];	/* the first thing that may not be */
	pthread_t thread;
};

struct storm {
	struct actor actors[8];
	unsigned int nr;
	pthread_mutex_t lock;
	int file;		/* of some session, for everybody; under the lock */
	u32 states;		/* that may be asked for, a bit each */
	bool over;
};

static u32 any(struct actor *a)
{
	a->seed = a->seed * 1664525 + 1013904223;
	return a->seed >> 8;
}

static void __printf(2, 3) wrong(struct actor *a, const char *fmt, ...)
{
	va_list ap;

	if (a->wrong[0])
		return;
	va_start(ap, fmt);
	vsnprintf(a->wrong, sizeof(a->wrong), fmt, ap);
	va_end(ap);
}

/*
 * A request may fail, because another one or a reset came in between; but not for want of what is
 * there, and not because it was waited for something that a reset ends.
 */
static void check_error(struct actor *a, const char *what, int err)
{
	switch (-err) {
	case EFAULT:
	case EBADF:
	case ENOTTY:
	case EPERM:
	case ENOMEM:
	case ETIMEDOUT:
		wrong(a, "%s: %s", what, strerror(-err));
	}
}

/* Others may use the file; it is closed when the next one comes. */
static void share_file(struct actor *a, int fd)
{
	pthread_mutex_lock(&a->storm->lock);
	if (a->storm->file >= 0)
		close(a->storm->file);
	a->storm->file = fd;
	pthread_mutex_unlock(&a->storm->lock);
}

static int borrow_file(struct actor *a)
{
	int fd = -1;

	pthread_mutex_lock(&a->storm->lock);
	if (a->storm->file >= 0)
		fd = dup(a->storm->file);
	pthread_mutex_unlock(&a->storm->lock);
	return fd;
}

/* A stream that comes to its end is complete. */
static void step_save(struct actor *a)
{
	struct stream s;
	int fd, err;

	fd = vdev_mig_open(&a->m->dev, ST_STOP_COPY);
	if (fd < 0) {
		if (fd != -EBADF)	/* it was in STOP_COPY already */
			check_error(a, "SET STOP_COPY", fd);
		vdev_mig_set_state(&a->m->dev, ST_RUNNING, NULL);
		return;
	}
	err = stream_read(fd, &s, 1 + any(a) % a->m->fresh.size);
	check_error(a, "read", err);
	if (!err && !stream_alike(&s, &a->m->fresh))
		wrong(a, "a stream of %zu bytes instead of %zu", s.size, a->m->fresh.size);
	a->successes += !err;
	stream_free(&s);
	close(fd);
}

static void step_load(struct actor *a)
{
	int fd, err;

	fd = vdev_mig_open(&a->m->dev, ST_RESUMING);
	if (fd < 0) {
		if (fd != -EBADF)
			check_error(a, "SET RESUMING", fd);
		return;
	}
	err = stream_write(fd, &a->m->fresh, 1 + any(a) % a->m->fresh.size);
	check_error(a, "write", err);
	close(fd);
	if (!err)
		err = vdev_mig_set_state(&a->m->dev, ST_STOP, NULL);
	check_error(a, "SET STOP", err);
	a->successes += !err;
}

static void step_set(struct actor *a)
{
	u32 state;
	int err, fd;

	do {
		state = any(a) % ST_NR;
	} while (!(a->storm->states & 1 << state));
	err = vdev_mig_set_state(&a->m->dev, state, &fd);
	check_error(a, mig_state_name(state), err);
	if (err && fd != -1)
		wrong(a, "%s: %s, with a file", mig_state_name(state), strerror(-err));
	a->successes += !err;
	if (fd >= 0)
		share_file(a, fd);
}

static void step_ask(struct actor *a)
{
	u64 size = 0;
	int state, err;

	state = vdev_mig_state(&a->m->dev);
	if (state < 0 || (state != ST_ERROR && !mig_has_state(a->m->flags, state)))
		wrong(a, "GET: %d", state);
	err = vdev_mig_data_size(&a->m->dev, &size);
	if (err || !size)
		wrong(a, "MIG_DATA_SIZE: %d, %lu", err, size);
	a->successes++;
}

static void step_debugfs(struct actor *a)
{
	char path[128], text[32];
	int err;

	snprintf(path, sizeof(path), DEBUGFS "/%s/migration/state", a->m->dev.bdf);
	err = file_read(path, text, sizeof(text));
	if (err && err != -ENOENT)
		wrong(a, "debugfs: %s", strerror(-err));
	a->successes++;
}

static void step_use_file(struct actor *a)
{
	struct vfio_precopy_info info;
	u8 buf[256];
	ssize_t n;
	int fd;

	fd = borrow_file(a);
	if (fd < 0)
		return;
	switch (any(a) % 3) {
	case 0:
		n = read(fd, buf, 1 + any(a) % sizeof(buf));
		break;
	case 1:
		n = write(fd, a->m->fresh.data, 1 + any(a) % a->m->fresh.size);
		break;
	default:
		n = mig_precopy_info(fd, &info) ? -1 : 0;
	}
	if (n < 0 && errno == EFAULT)
		wrong(a, "EFAULT of good memory");
	a->successes++;
	close(fd);
}

static void step_close_file(struct actor *a)
{
	share_file(a, -1);
	a->successes++;
}

/* A reset takes the mapping away; whoever comes then has to wait for it. */
static void step_mmio(struct actor *a)
{
	vdev_read32(&a->m->dev, 0);
	a->successes++;
}

static void *actor_thread(void *arg)
{
	struct actor *a = arg;

	while (!__atomic_load_n(&a->storm->over, __ATOMIC_ACQUIRE)) {
		a->step(a);
		__atomic_fetch_add(&a->rounds, 1, __ATOMIC_RELEASE);
		sched_yield();
	}
	return NULL;
}

static void storm_add(struct storm *s, const char *name, void (*step)(struct actor *a), bool must)
{
	s->actors[s->nr++] = (struct actor){ .name = name, .step = step, .must_succeed = must };
}

static void storm_begin(struct __test_metadata *_metadata, struct storm *s, struct mig *m)
{
	unsigned int i;

	pthread_mutex_init(&s->lock, NULL);
	s->file = -1;
	s->over = false;
	for (i = 0; i < s->nr; i++) {
		s->actors[i].storm = s;
		s->actors[i].m = m;
		s->actors[i].seed += 77 + i;
		ASSERT_EQ(0, pthread_create(&s->actors[i].thread, NULL, actor_thread,
					    &s->actors[i]));
	}
}

/* Everybody had a turn, and what has to succeed has done so. */
static bool storm_turned(struct storm *s)
{
	unsigned int i;

	for (i = 0; i < s->nr; i++)
		if (!__atomic_load_n(&s->actors[i].rounds, __ATOMIC_ACQUIRE) ||
		    (s->actors[i].must_succeed && !s->actors[i].successes))
			return false;
	return true;
}

#define STORM_ALONE	5

/*
 * Who asks again the moment he is answered can outrun the others for the whole of a storm. An
 * actor that had no luck has to succeed when it is alone with a device that was reset.
 */
static bool succeeds(struct actor *a)
{
	int i;

	for (i = 0; i < STORM_ALONE && !a->successes; i++) {
		vdev_reset(&a->m->dev);
		a->step(a);
	}
	return a->successes;
}

static void storm_end(struct __test_metadata *_metadata, struct storm *s)
{
	unsigned int i;

	__atomic_store_n(&s->over, true, __ATOMIC_RELEASE);
	for (i = 0; i < s->nr; i++)
		pthread_join(s->actors[i].thread, NULL);
	for (i = 0; i < s->nr; i++) {
		if (s->actors[i].must_succeed)
			EXPECT_TRUE(succeeds(&s->actors[i]))
				TH_LOG("%s, %u rounds", s->actors[i].name, s->actors[i].rounds);
		EXPECT_STREQ("", s->actors[i].wrong)
			TH_LOG("%s, %u rounds", s->actors[i].name, s->actors[i].rounds);
	}
}

/* Whatever it was in the middle of: a state that was asked for, and a reset is all it needs. */
static void expect_calm(struct __test_metadata *_metadata, struct storm *s, struct mig *m)
{
	int state = vdev_mig_state(&m->dev);

	EXPECT_TRUE(mig_has_state(m->flags, state))
		TH_LOG("%d", state);
	EXPECT_RESET(&m->dev);
	if (s->file >= 0) {
		EXPECT_TRUE(mig_file_dead(s->file));
		close(s->file);
	}
	mig_expect_like_new(_metadata, m);
	mig_expect_usable(_metadata, m, &m->dev);
	mig_end_user(_metadata, m);
}

#define STORM_RESETS	25
#define STORM_MAX	100

static void storm_reset(struct __test_metadata *_metadata, struct mig *m, int i)
{
	int err = vdev_reset(&m->dev);

	EXPECT_TRUE(!err || err == -EAGAIN)
		TH_LOG("reset %d: %d", i, err);
}

static void storm_of_resets(struct __test_metadata *_metadata, struct storm *s, struct mig *m)
{
	int i;

	storm_begin(_metadata, s, m);
	for (i = 0; i < STORM_RESETS || (i < STORM_MAX && !storm_turned(s)); i++)
		storm_reset(_metadata, m, i);
	storm_end(_metadata, s);
	expect_calm(_metadata, s, m);
}

static u32 all_states(u64 flags)
{
	u32 state, states = 0;

	for (state = 0; state < ST_NR; state++)
		if (mig_has_state(flags, state))
			states |= 1 << state;
	return states;
}

MIG_TEST(race, s77_resets_and_sessions)
{
	struct storm s = {};

	storm_add(&s, "save", step_save, true);
	storm_add(&s, "load", step_load, true);
	storm_add(&s, "ask", step_ask, true);
	if (self->m.dev.bar)
		storm_add(&s, "mmio", step_mmio, true);
	storm_of_resets(_metadata, &s, &self->m);
}

static void add_chaos(struct storm *s, struct mig *m)
{
	s->states = all_states(m->flags);
	storm_add(s, "set", step_set, true);
	storm_add(s, "set too", step_set, true);
	storm_add(s, "file", step_use_file, true);
	storm_add(s, "file too", step_use_file, true);
	storm_add(s, "close", step_close_file, true);
	storm_add(s, "ask", step_ask, true);
	storm_add(s, "debugfs", step_debugfs, true);
	if (m->dev.bar)
		storm_add(s, "mmio", step_mmio, true);
}

MIG_TEST(race, s77_resets_and_everything)
{
	struct storm s = {};

	add_chaos(&s, &self->m);
	storm_of_resets(_metadata, &s, &self->m);
}

#define AT_WORK	32

/* A device at work, reset in the middle of it. */
MIG_TEST(race, s77_resets_at_work)
{
	struct udrv_io reads[AT_WORK];
	struct mig *m = &self->m;
	struct storm s;
	int i, j, err;

	if (!mig_has_driver(_metadata, m))
		return;
	for (i = 0; i < 10; i++) {
		mig_start_user(_metadata, m);
		s = (struct storm){ .states = all_states(m->flags) & ~(1 << ST_RESUMING) };
		storm_add(&s, "set", step_set, false);
		storm_add(&s, "ask", step_ask, false);
		storm_add(&s, "mmio", step_mmio, false);
		storm_begin(_metadata, &s, m);
		for (j = 0; j < AT_WORK; j++) {
			reads[j] = (struct udrv_io){
				.channel = 1 + j % m->u->channels, .blocks = 1, .buf = m->u->work,
			};
			ASSERT_EQ(0, udrv_queue(m->u, &reads[j]));
		}
		for (j = 1; j <= (int)m->u->channels; j++)
			udrv_kick(m->u, j);
		while (!storm_turned(&s))
			sched_yield();
		err = vdev_reset(&m->dev);
		EXPECT_TRUE(!err || err == -EAGAIN);
		storm_end(_metadata, &s);
		EXPECT_RESET(&m->dev);
		mig_end_user(_metadata, m);
		expect_calm(_metadata, &s, m);
	}
}

/* ---- requests against each other ---- */

struct setter {
	struct mig *m;
	u32 state;
	unsigned int errors;
	int first;
	pthread_t thread;
};

#define SETS	50

static void *setter_thread(void *arg)
{
	struct setter *s = arg;
	int i, err;

	for (i = 0; i < SETS; i++) {
		err = vdev_mig_set_state(&s->m->dev, s->state, NULL);
		if (err && !s->errors++)
			s->first = err;
	}
	return NULL;
}

/* A thread for each state. All succeed, and one of them was the last. */
static void race_to(struct __test_metadata *_metadata, struct mig *m, u32 states)
{
	struct setter s[ST_NR] = {};
	u32 state;

	for (state = 0; state < ST_NR; state++) {
		if (!(states & 1 << state))
			continue;
		s[state].m = m;
		s[state].state = state;
		ASSERT_EQ(0, pthread_create(&s[state].thread, NULL, setter_thread, &s[state]));
	}
	for (state = 0; state < ST_NR; state++) {
		if (!(states & 1 << state))
			continue;
		pthread_join(s[state].thread, NULL);
		EXPECT_EQ(0, s[state].errors)
			TH_LOG("SET %s: %s", mig_state_name(state), strerror(-s[state].first));
	}
	EXPECT_TRUE(states & 1 << vdev_mig_state(&m->dev));
	EXPECT_SET(&m->dev, ST_RUNNING);
}

/* With work in flight, none of which is lost; what is to be loaded has to be idle. */
MIG_TEST(race, s19_s28_all_states_at_work)
{
	struct load load = {
		.units = 64, .unit_blocks = 8, .qd = 4, .seed = 28, .control = true,
	};
	struct mig *m = &self->m;
	u32 unwanted;
	int i;

	if (!mig_has_driver(_metadata, m))
		return;
	mig_start_user(_metadata, m);
	load.u = m->u;
	ASSERT_EQ(0, load_init(&load));
	ASSERT_EQ(0, load_start(&load));
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(0, load_wait_ops(&load, 50));
		load_pause(&load);
		/* there is no way from STOP_COPY to PRE_COPY, so never both */
		unwanted = i % 2 ? 1 << ST_STOP_COPY : 1 << ST_PRE_COPY | 1 << ST_PRE_COPY_P2P;
		race_to(_metadata, m, all_states(m->flags) & ~(1 << ST_RESUMING | unwanted));
		load_resume(&load);
	}
	EXPECT_EQ(0, load_wait_ops(&load, 50));
	EXPECT_EQ(0, load_end(&load));
	EXPECT_EQ(0, load_verify(&load));
	udrv_check_idle(m->u);
	load_fini(&load);
}

/* ---- a BAR of the device as the user's buffer ---- */

static void check_bar(struct actor *a, const char *what, ssize_t n)
{
	if (n < 0 && errno != EFAULT && errno != ENODEV && errno != ECANCELED)
		wrong(a, "%s: %s", what, strerror(errno));
	a->successes += n > 0;
}

static void step_read_to_bar(struct actor *a)
{
	const struct udrv_bar *bar = a->m->ops->bar;
	int fd = vdev_mig_open(&a->m->dev, ST_STOP_COPY);
	ssize_t n;

	if (fd < 0)
		return;
	do {
		n = read(fd, a->m->dev.bar + bar->ignored, bar->ignored_size);
		check_bar(a, "read", n);
	} while (n > 0);
	close(fd);
	vdev_mig_set_state(&a->m->dev, ST_STOP, NULL);
}

/* Whatever the registers hold, it is no stream. */
static void step_write_from_bar(struct actor *a)
{
	int fd = vdev_mig_open(&a->m->dev, ST_RESUMING);
	ssize_t n;

	if (fd < 0)
		return;
	for (n = 1; n > 0;) {
		n = write(fd, a->m->dev.bar + a->m->ops->bar->ignored, 1);
		a->successes += n > 0;
	}
	if (errno == EINTR || errno == EBADF)
		wrong(a, "write: %s", strerror(errno));
	close(fd);
}

static void step_feature_in_bar(struct actor *a)
{
	static const u32 features[] = { F_GET | F_STATE, F_GET | F_SIZE, F_SET | F_STATE };
	u32 reg = a->m->ops->bar->kept;
	struct vdev *d = &a->m->dev;

	vdev_write32(d, reg, sizeof(struct vfio_device_feature) + sizeof(u64));
	vdev_write32(d, reg + 4, features[any(a) % ARRAY_SIZE(features)]);
	vdev_write32(d, reg + 8, ST_STOP);
	vdev_write32(d, reg + 12, 0);
	a->successes += !ioctl(d->fd, VFIO_DEVICE_FEATURE, d->bar + reg);
}

static void step_report_to_bar(struct actor *a)
{
	const struct udrv_bar *bar = a->m->ops->bar;
	u64 page_size = getpagesize();

	vdev_log_report(&a->m->dev, a->m->arena.iova, bar->ignored_size * 8 * page_size,
			page_size, (void *)(a->m->dev.bar + bar->ignored));
	a->successes++;
}

static bool needs_bar(struct __test_metadata *_metadata, struct mig *m)
{
	if (!m->ops || !m->ops->bar || !m->dev.bar)
		SKIP(return false, "no BAR that can be mapped and has registers without effect");
	return true;
}

MIG_TEST(race, s77_bar_as_buffer_of_a_file)
{
	struct storm s = {};

	if (!needs_bar(_metadata, &self->m))
		return;
	storm_add(&s, "read to BAR", step_read_to_bar, true);
	storm_add(&s, "write from BAR", step_write_from_bar, true);
	storm_add(&s, "mmio", step_mmio, true);
	storm_of_resets(_metadata, &s, &self->m);
}

MIG_TEST(race, s77_bar_as_argument)
{
	struct storm s = {};

	if (!needs_bar(_metadata, &self->m))
		return;
	storm_add(&s, "feature in BAR", step_feature_in_bar, true);
	storm_add(&s, "save", step_save, false);
	storm_add(&s, "mmio", step_mmio, true);
	storm_of_resets(_metadata, &s, &self->m);
}

MIG_TEST(race, s77_s89_bar_as_bitmap)
{
	struct vfio_device_feature_dma_logging_range range = { ARENA_IOVA, MIG_ARENA_SIZE };
	u64 page_size = getpagesize();
	struct storm s = {};

	if (!mig_offers_logging(_metadata, &self->m) || !needs_bar(_metadata, &self->m))
		return;
	ASSERT_EQ(0, vdev_log_start(&self->m.dev, &page_size, &range, 1));
	storm_add(&s, "report to BAR", step_report_to_bar, true);
	storm_add(&s, "save", step_save, false);
	storm_add(&s, "mmio", step_mmio, true);
	storm_of_resets(_metadata, &s, &self->m);
}

/* ---- the user dies ---- */

/* All of it in a process that is killed, which closes everything in the middle of everything. */
static void run_to_death(struct __test_metadata *_metadata, struct mig *m, int ready)
{
	struct storm s = {};

	vdev_open(&m->dev, mig_bdf);
	ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
	add_chaos(&s, m);
	storm_begin(_metadata, &s, m);
	for (;;) {
		vdev_reset(&m->dev);
		if (storm_turned(&s) && write(ready, "", 1) != 1)
			_exit(1);
	}
}

MIG_TEST(race, s16_s45_killed_in_a_storm)
{
	struct mig *m = &self->m;
	int i, status, fds[2];
	char byte;
	pid_t pid;

	vdev_close(&m->dev);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, pipe(fds));
		fflush(NULL);
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			run_to_death(_metadata, m, fds[1]);
		close(fds[1]);
		EXPECT_EQ(1, read(fds[0], &byte, 1));
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		close(fds[0]);
		vdev_open(&m->dev, mig_bdf);
		ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
		mig_expect_like_new(_metadata, m);
		mig_expect_usable(_metadata, m, &m->dev);
		mig_end_user(_metadata, m);
		vdev_close(&m->dev);
	}
	MIG_TRIED("%d processes killed in the middle of everything: the device is like new", i);
}

/* ---- the physical function ---- */

/* Its driver resets it, whatever its functions are doing. */
MIG_TEST(race, s81_pf_resets_and_everything)
{
	struct mig *m = &self->m;
	struct storm s = {};
	char pf[BDF_SIZE];
	int i;

	if (function_pf(mig_bdf, pf))
		SKIP(return, "%s is not a virtual function", mig_bdf);
	if (!getenv(MIG_PF_RESTORE))
		SKIP(return, MIG_PF_RESTORE " is not set");
	if (!mig_has_driver(_metadata, m))
		return;
	if (!m->ops->host)
		SKIP(return, "the host's driver cannot be made to reset the device");
	add_chaos(&s, m);
	storm_begin(_metadata, &s, m);
	/* a VF may be offline once its PF was reset, and then there is nothing to succeed with */
	for (i = 0; i < STORM_MAX && !storm_turned(&s); i++)
		storm_reset(_metadata, m, i);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, m->ops->host->reset(pf));
		storm_reset(_metadata, m, i);
	}
	storm_end(_metadata, &s);
	EXPECT_RESET(&m->dev);
	vdev_close(&m->dev);
	ASSERT_EQ(0, system(getenv(MIG_PF_RESTORE)));
	vdev_open(&m->dev, mig_bdf);
	ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
	expect_calm(_metadata, &s, m);
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
