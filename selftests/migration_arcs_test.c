// SPDX-License-Identifier: GPL-2.0-only
/*
 * The states of a device and the arcs between them: what is possible, what is refused, what a
 * failure leaves behind.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "lib/harness.h"

FIXTURE(arcs) {
	struct mig m;
};

FIXTURE_SETUP(arcs)
{
	mig_setup(_metadata, &self->m);
}

FIXTURE_TEARDOWN(arcs)
{
	mig_teardown(_metadata, &self->m);
}

static const struct udrv_opts two_channels = { .channels = 2 };

/* ---- a fresh device ---- */

MIG_TEST(arcs, s16_fresh_is_running)
{
	EXPECT_STATE(&self->m.dev, ST_RUNNING);
}

/* A process that opens the device, brings it to a state and is killed there. */
static void own_and_die(struct __test_metadata *_metadata, struct mig *m, u32 state)
{
	int status, fds[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		vdev_open(&m->dev, mig_bdf);
		if (!vdev_map(&m->dev, &m->arena) &&
		    (!m->ops || !udrv_init(m->ops, &m->dev, &m->arena, &two_channels, &m->u)) &&
		    !vdev_mig_set_state(&m->dev, state, &status) && write(fds[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(fds[1]);
	EXPECT_EQ(1, read(fds[0], &c, 1));
	close(fds[0]);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
}

MIG_TEST(arcs, s16_running_after_an_owner_died)
{
	struct vdev *d = &self->m.dev;
	unsigned int i;

	for (i = 0; i < self->m.nr_states; i++) {
		vdev_close(d);
		own_and_die(_metadata, &self->m, self->m.states[i]);
		vdev_open(d, mig_bdf);
		EXPECT_STATE(d, ST_RUNNING)
			TH_LOG("after a death in %s", mig_state_name(self->m.states[i]));
		mig_expect_off(_metadata, &self->m, d);
		EXPECT_SET(d, ST_STOP_COPY);
		EXPECT_SET(d, ST_RUNNING);
	}
	ASSERT_EQ(0, vdev_map(d, &self->m.arena));
	if (self->m.ops && mig_start(_metadata, &self->m, &two_channels))
		EXPECT_EQ(0, udrv_work_all(self->m.u));
}

MIG_TEST(arcs, s17_running_to_running)
{
	int fd;

	EXPECT_EQ(0, vdev_mig_set_state(&self->m.dev, ST_RUNNING, &fd));
	EXPECT_EQ(-1, fd);
	EXPECT_STATE(&self->m.dev, ST_RUNNING);
}

/* ---- every arc and every combination ---- */

static void check_request(struct __test_metadata *_metadata, struct mig *m, u32 from, u32 to)
{
	int old, fd = -2;

	old = mig_reach(_metadata, m, from);
	EXPECT_EQ(0, vdev_mig_set_state(&m->dev, to, &fd))
		TH_LOG("%s -> %s", mig_state_name(from), mig_state_name(to));
	EXPECT_STATE(&m->dev, to);
	EXPECT_TRUE(mig_gives_file(m->flags, from, to) ? fd >= 0 : fd == -1)
		TH_LOG("%s -> %s: data_fd is %d", mig_state_name(from), mig_state_name(to), fd);
	if (old >= 0 && !mig_same_session(from, to))
		EXPECT_TRUE(mig_file_dead(old));
	if (fd >= 0)
		close(fd);
	if (old >= 0)
		close(old);
	EXPECT_RESET(&m->dev);
}

/* All requests that consist of so many arcs. */
static void check_requests(struct __test_metadata *_metadata, struct mig *m, int min,
			   int max)
{
	unsigned int i, j, nr = 0;
	u32 path[ST_NR];
	int len;

	ASSERT_EQ(0, mig_save_fresh(&m->dev, &m->fresh));
	for (i = 0; i < m->nr_states; i++) {
		for (j = 0; j < m->nr_states; j++) {
			len = mig_path(m->flags, m->states[i], m->states[j], path);
			if (len < min || len > max)
				continue;
			check_request(_metadata, m, m->states[i], m->states[j]);
			nr++;
		}
	}
	/* STOP, STOP_COPY, RESUMING and RUNNING are always there */
	EXPECT_LE(4, nr);
}

MIG_TEST(arcs, s17_no_arc_in_each_state)
{
	check_requests(_metadata, &self->m, 0, 0);
}

MIG_TEST(arcs, s18_single_arcs)
{
	check_requests(_metadata, &self->m, 1, 1);
}

MIG_TEST(arcs, s21_combined_arcs)
{
	check_requests(_metadata, &self->m, 2, ST_NR);
}

/* On a device in use, by each of the ways that end in RUNNING without a load. */
MIG_TEST(arcs, s18_s21_work_after_each_way_back)
{
	static const u32 ways[][3] = {
		{ ST_RUNNING }, { ST_P2P }, { ST_STOP }, { ST_STOP_COPY }, { ST_P2P, ST_STOP },
		{ ST_P2P, ST_STOP_COPY }, { ST_STOP, ST_P2P }, { ST_STOP, ST_STOP_COPY },
		{ ST_STOP_COPY, ST_STOP }, { ST_STOP_COPY, ST_P2P }, { ST_P2P, ST_STOP, ST_P2P },
		{ ST_STOP_COPY, ST_STOP, ST_STOP_COPY }, { ST_PRE_COPY },
		{ ST_PRE_COPY, ST_STOP_COPY }, { ST_PRE_COPY, ST_PRE_COPY_P2P, ST_STOP_COPY },
		{ ST_PRE_COPY_P2P, ST_PRE_COPY }, { ST_PRE_COPY_P2P, ST_P2P },
		{ ST_PRE_COPY, ST_STOP },
	};
	struct vdev *d = &self->m.dev;
	unsigned int i, j;

	if (!mig_start(_metadata, &self->m, &two_channels))
		return;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		for (j = 0; j < 3 && ways[i][j]; j++)
			if (mig_has_state(self->m.flags, ways[i][j]))
				ASSERT_SET(d, ways[i][j]);
		ASSERT_SET(d, ST_RUNNING);
		EXPECT_EQ(0, udrv_work_all(self->m.u));
	}
	udrv_check_idle(self->m.u);
}

/* ---- what is refused ---- */

/* In each state these are refused; the state is as good as before. */
static void check_refused(struct __test_metadata *_metadata, struct mig *m,
			  const u32 *bad, unsigned int nr_bad)
{
	struct vdev *d = &m->dev;
	struct stream s;
	unsigned int i, j;
	int fd;

	ASSERT_EQ(0, mig_save_fresh(d, &m->fresh));
	for (i = 0; i < m->nr_states; i++) {
		fd = mig_reach(_metadata, m, m->states[i]);
		for (j = 0; j < nr_bad; j++)
			EXPECT_REFUSED(d, bad[j], EINVAL);
		if (m->states[i] == ST_STOP_COPY) {
			EXPECT_EQ(0, stream_read(fd, &s, 0));
			EXPECT_EQ(m->fresh.size, s.size);
			stream_free(&s);
		}
		EXPECT_SET(d, ST_RUNNING);
		close(fd);
		EXPECT_RESET(d);
	}
}

MIG_TEST(arcs, s22_s31_error_is_refused)
{
	static const u32 bad[] = { ST_ERROR };

	check_refused(_metadata, &self->m, bad, ARRAY_SIZE(bad));
}

MIG_TEST(arcs, s23_s31_no_such_state)
{
	static const u32 bad[] = { ST_NR, ST_NR + 1, 0x7fffffff, 0x80000000, 0xffffffff };

	check_refused(_metadata, &self->m, bad, ARRAY_SIZE(bad));
}

MIG_TEST(arcs, s24_s31_stop_copy_to_pre_copy)
{
	static const u32 bad[] = { ST_PRE_COPY, ST_PRE_COPY_P2P };
	struct vdev *d = &self->m.dev;
	unsigned int i, n;
	struct stream s;
	char buf[16];
	int fd;

	ASSERT_EQ(0, mig_save_fresh(d, &self->m.fresh));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = ASSERT_OPEN(d, ST_STOP_COPY);
		EXPECT_REFUSED(d, bad[i], EINVAL);
		n = read(fd, buf, sizeof(buf));
		EXPECT_LT(0, (int)n);
		EXPECT_REFUSED(d, bad[i], EINVAL);
		EXPECT_EQ(0, stream_read(fd, &s, 0));
		EXPECT_EQ(self->m.fresh.size, n + s.size);
		EXPECT_REFUSED(d, bad[i], EINVAL);
		stream_free(&s);
		close(fd);
		EXPECT_RESET(d);
	}
}

MIG_TEST(arcs, s25_s31_states_not_offered)
{
	u32 bad[ST_NR], state;
	unsigned int nr = 0;

	for (state = ST_STOP; state < ST_NR; state++)
		if (!mig_has_state(self->m.flags, state))
			bad[nr++] = state;
	if (!nr)
		SKIP(return, "device offers all states");
	check_refused(_metadata, &self->m, bad, nr);
}

/* ---- without a request nothing changes, and a bad one changes nothing ---- */

static void start_load(struct __test_metadata *_metadata, struct mig *m, struct load *l)
{
	*l = (struct load){
		.u = m->u, .units = 32, .unit_blocks = 8, .qd = 4, .seed = 9, .control = true,
	};
	ASSERT_EQ(0, load_init(l));
	ASSERT_EQ(0, load_start(l));
}

static void end_load(struct __test_metadata *_metadata, struct mig *m, struct load *l)
{
	EXPECT_EQ(0, load_wait_ops(l, 20));
	EXPECT_EQ(0, load_end(l));
	EXPECT_EQ(0, load_verify(l));
	udrv_check_idle(m->u);
	load_fini(l);
}

MIG_TEST(arcs, s17_s26_requests_without_effect_under_load)
{
	struct vdev *d = &self->m.dev;
	struct load load;
	int i, fd;

	if (!mig_start(_metadata, &self->m, &two_channels))
		return;
	start_load(_metadata, &self->m, &load);
	for (i = 0; i < 20; i++) {
		EXPECT_REFUSED(d, ST_ERROR, EINVAL);
		EXPECT_REFUSED(d, ST_NR, EINVAL);
		EXPECT_REFUSED(d, 0xffffffff, EINVAL);
		if (!mig_has_state(self->m.flags, ST_PRE_COPY))
			EXPECT_REFUSED(d, ST_PRE_COPY, EINVAL);
		EXPECT_EQ(0, vdev_mig_set_state(d, ST_RUNNING, &fd));
		EXPECT_EQ(-1, fd);
		EXPECT_EQ(0, load_wait_ops(&load, 4));
	}
	end_load(_metadata, &self->m, &load);
}

#define MANY	300

static void expect_constant(struct __test_metadata *_metadata, struct vdev *d, u32 state)
{
	int i;

	for (i = 0; i < MANY; i++) {
		ASSERT_STATE(d, state);
		sched_yield();
	}
}

MIG_TEST(arcs, s27_state_stays_when_idle)
{
	struct vdev *d = &self->m.dev;
	unsigned int i;
	int fd;

	ASSERT_EQ(0, mig_save_fresh(d, &self->m.fresh));
	for (i = 0; i < self->m.nr_states; i++) {
		fd = mig_reach(_metadata, &self->m, self->m.states[i]);
		expect_constant(_metadata, d, self->m.states[i]);
		close(fd);
		/* and not with the file either */
		EXPECT_STATE(d, self->m.states[i]);
		EXPECT_RESET(d);
	}
}

MIG_TEST(arcs, s27_state_stays_under_load)
{
	struct load load;

	if (!mig_start(_metadata, &self->m, &two_channels))
		return;
	start_load(_metadata, &self->m, &load);
	expect_constant(_metadata, &self->m.dev, ST_RUNNING);
	end_load(_metadata, &self->m, &load);
}

/* ---- with work in flight ---- */

/* How long memory and vectors of a stopped device are watched */
#define WATCH_MS	150

static void expect_silence(struct __test_metadata *_metadata, struct mig *m, u32 state)
{
	struct quiet quiet;

	ASSERT_EQ(0, quiet_start(&quiet, m->u));
	EXPECT_STATE(&m->dev, state);
	EXPECT_EQ(0, quiet_check(&quiet, WATCH_MS))
		TH_LOG("in %s", mig_state_name(state));
	quiet_end(&quiet);
}

/* A vCPU that runs on finds nothing done, except what was when SET returned. It is paused then. */
static void expect_no_progress(struct __test_metadata *_metadata, struct mig *m, struct load *l,
			       u32 state)
{
	u64 ops;

	load_pause(l);
	m->u->ops->reap(m->u);
	ops = l->reads + l->writes;
	load_resume(l);
	poll(NULL, 0, WATCH_MS);
	load_pause(l);
	EXPECT_EQ(ops, l->reads + l->writes)
		TH_LOG("in %s", mig_state_name(state));
}

MIG_TEST(arcs, s19_s20_silent_when_stopped_at_work)
{
	static const u32 states[] = { ST_P2P, ST_STOP, ST_STOP_COPY, ST_PRE_COPY_P2P };
	struct mig *m = &self->m;
	struct load load;
	unsigned int i;

	if (!mig_start(_metadata, m, &two_channels))
		return;
	start_load(_metadata, m, &load);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		if (!mig_has_state(m->flags, states[i]))
			continue;
		ASSERT_EQ(0, load_wait_ops(&load, 20));
		/* what comes after the state was saved is not in it */
		if (states[i] == ST_STOP_COPY)
			load_pause(&load);
		ASSERT_EQ(0, vdev_mig_set_state(&m->dev, states[i], NULL));
		if (states[i] != ST_STOP_COPY)
			expect_no_progress(_metadata, m, &load, states[i]);
		expect_silence(_metadata, m, states[i]);
		ASSERT_SET(&m->dev, ST_RUNNING);
		load_resume(&load);
	}
	end_load(_metadata, m, &load);
}

#define BURST		48

struct burst {
	struct udrv_io io[BURST];
	unsigned int done;
};

static void count_done(struct udrv *u, struct udrv_io *io)
{
	((struct burst *)io->priv)->done++;
}

/* Reads on all channels, and requests without data on channel 0. */
static void submit_burst(struct __test_metadata *_metadata, struct udrv *u, struct burst *b)
{
	unsigned int i;

	b->done = 0;
	for (i = 0; i < BURST; i++) {
		b->io[i] = (struct udrv_io){
			.channel = i % (u->channels + 1), .blocks = 1, .buf = u->work,
			.done = count_done, .priv = b,
		};
		b->io[i].write = !b->io[i].channel;
		ASSERT_EQ(0, udrv_submit(u, &b->io[i]));
	}
}

/* What is submitted to a stopped device is executed when it runs again, not before. */
MIG_TEST(arcs, s73_s74_told_of_work_while_stopped)
{
	static const u32 states[] = { ST_P2P, ST_STOP, ST_PRE_COPY_P2P };
	struct mig *m = &self->m;
	struct burst burst;
	unsigned int i;

	if (!mig_start(_metadata, m, &two_channels))
		return;
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		if (!mig_has_state(m->flags, states[i]))
			continue;
		ASSERT_SET(&m->dev, states[i]);
		submit_burst(_metadata, m->u, &burst);
		expect_silence(_metadata, m, states[i]);
		EXPECT_EQ(0, m->u->ops->reap(m->u));
		ASSERT_SET(&m->dev, ST_RUNNING);
		EXPECT_EQ(0, udrv_drain(m->u));
		EXPECT_EQ(BURST, burst.done);
	}
	udrv_check_idle(m->u);
}

/* ---- several threads ---- */

struct racer {
	struct vdev *d;
	u32 state;
	int errors;
	int first;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	int i, err;

	for (i = 0; i < 60; i++) {
		err = vdev_mig_set_state(r->d, r->state, NULL);
		if (err && !r->errors++)
			r->first = err;
	}
	return NULL;
}

/* Every one of these requests is possible in every state that another may have left. */
MIG_TEST(arcs, s28_racing_requests)
{
	static const u32 targets[] = { ST_STOP, ST_RUNNING, ST_STOP_COPY };
	struct racer r[ARRAY_SIZE(targets)];
	pthread_t t[ARRAY_SIZE(targets)];
	struct vdev *d = &self->m.dev;
	unsigned int i;
	int state;

	if (self->m.ops && !mig_start(_metadata, &self->m, &two_channels))
		return;
	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		r[i] = (struct racer){ .d = d, .state = targets[i] };
		ASSERT_EQ(0, pthread_create(&t[i], NULL, race, &r[i]));
	}
	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(0, r[i].errors)
			TH_LOG("SET %s: %s", mig_state_name(r[i].state), strerror(-r[i].first));
	}
	state = vdev_mig_state(d);
	EXPECT_TRUE(state == ST_STOP || state == ST_RUNNING || state == ST_STOP_COPY)
		TH_LOG("state %d", state);
	ASSERT_SET(d, ST_RUNNING);
	if (self->m.u)
		EXPECT_EQ(0, udrv_work_all(self->m.u));
}

/* ---- failures inside an arc ---- */

/* The state after a request that failed: one of its path, or ERROR. */
static void check_failed_state(struct __test_metadata *_metadata, struct mig *m, u32 from, u32 to)
{
	int state = vdev_mig_state(&m->dev);
	u32 path[ST_NR];
	int i, len = mig_path(m->flags, from, to, path);

	if (state == ST_ERROR || state == (int)from)
		return;
	for (i = 0; i < len; i++)
		if (state == (int)path[i])
			return;
	EXPECT_EQ((int)from, state)
		TH_LOG("a failed request for %s left %s", mig_state_name(to),
		       mig_state_name(state));
}

/* The user gets on by a reset, and what it saves then is as good as at first. */
static void check_recovers(struct __test_metadata *_metadata, struct mig *m)
{
	struct stream s;

	EXPECT_RESET(&m->dev);
	ASSERT_EQ(0, mig_save(&m->dev, &s));
	EXPECT_EQ(m->fresh.size, s.size);
	EXPECT_RESET(&m->dev);
	EXPECT_EQ(0, mig_load(&m->dev, &s));
	EXPECT_SET(&m->dev, ST_RUNNING);
	stream_free(&s);
}

/* The first @bytes of a stream are loaded; whatever is asked for then has to fail. */
static void check_incomplete(struct __test_metadata *_metadata, struct mig *m,
			     size_t bytes)
{
	struct stream part = { m->fresh.data, bytes };
	struct vdev *d = &m->dev;
	unsigned int i;
	int fd, new_fd;
	u32 to;

	for (i = 0; i < m->nr_states; i++) {
		to = m->states[i];
		if (to == ST_RESUMING)
			continue;
		EXPECT_RESET(d);
		fd = ASSERT_OPEN(d, ST_RESUMING);
		EXPECT_EQ(0, stream_write(fd, &part, 0));
		new_fd = -2;
		EXPECT_GT(0, vdev_mig_set_state(d, to, &new_fd))
			TH_LOG("%zu bytes, then %s", bytes, mig_state_name(to));
		EXPECT_EQ(-1, new_fd);
		check_failed_state(_metadata, m, ST_RESUMING, to);
		EXPECT_NE(to, vdev_mig_state(d));
		close(fd);
	}
	check_recovers(_metadata, m);
}

MIG_TEST(arcs, s29_s30_s31_nothing_was_loaded)
{
	ASSERT_EQ(0, mig_save_fresh(&self->m.dev, &self->m.fresh));
	check_incomplete(_metadata, &self->m, 0);
}

MIG_TEST(arcs, s29_s30_s31_half_was_loaded)
{
	ASSERT_EQ(0, mig_save_fresh(&self->m.dev, &self->m.fresh));
	check_incomplete(_metadata, &self->m, self->m.fresh.size / 2);
	check_incomplete(_metadata, &self->m, self->m.fresh.size - 1);
}

/* A damaged stream that was refused in write() stays refused. */
MIG_TEST(arcs, s29_s30_s31_garbage_was_refused)
{
	struct vdev *d = &self->m.dev;
	char garbage[4096];
	int fd, new_fd = -2;
	ssize_t n;

	ASSERT_EQ(0, mig_save_fresh(d, &self->m.fresh));
	memset(garbage, 0xa5, sizeof(garbage));
	fd = ASSERT_OPEN(d, ST_RESUMING);
	do {
		n = write(fd, garbage, sizeof(garbage));
	} while (n > 0);
	EXPECT_EQ(-1, n);
	EXPECT_GT(0, vdev_mig_set_state(d, ST_RUNNING, &new_fd));
	EXPECT_EQ(-1, new_fd);
	check_failed_state(_metadata, &self->m, ST_RESUMING, ST_RUNNING);
	EXPECT_NE(ST_RUNNING, vdev_mig_state(d));
	close(fd);
	check_recovers(_metadata, &self->m);
}

/* The last step of a request fails: there is no number for the file left. */
MIG_TEST(arcs, s29_s30_no_number_for_the_file)
{
	static const u32 targets[] = { ST_STOP_COPY, ST_RESUMING };
	struct rlimit all, none;
	struct vdev *d = &self->m.dev;
	unsigned int i;
	int err, fd;

	ASSERT_EQ(0, mig_save_fresh(d, &self->m.fresh));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &all));
	none = all;
	none.rlim_cur = 0;
	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		fd = -2;
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
		err = vdev_mig_set_state(d, targets[i], &fd);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &all));
		EXPECT_EQ(-EMFILE, err);
		EXPECT_GT(0, fd);
		check_failed_state(_metadata, &self->m, ST_RUNNING, targets[i]);
		if (targets[i] == ST_STOP_COPY)
			EXPECT_SET(d, ST_RUNNING);
		check_recovers(_metadata, &self->m);
	}
}

/* ---- what has to work while the device is stopped ---- */

static void check_config_space(struct __test_metadata *_metadata, struct vdev *d)
{
	u16 id = vfio_pci_config_readw(d->pci, PCI_VENDOR_ID);
	u8 line = vfio_pci_config_readb(d->pci, PCI_INTERRUPT_LINE);

	EXPECT_NE(0xffff, id);
	vfio_pci_config_writeb(d->pci, PCI_INTERRUPT_LINE, line ^ 0xff);
	EXPECT_EQ(line ^ 0xff, vfio_pci_config_readb(d->pci, PCI_INTERRUPT_LINE));
	vfio_pci_config_writeb(d->pci, PCI_INTERRUPT_LINE, line);
	vdev_bus_master(d, false);
	EXPECT_EQ(0, vfio_pci_config_readw(d->pci, PCI_COMMAND) & PCI_COMMAND_MASTER);
	vdev_bus_master(d, true);
	EXPECT_NE(0, vfio_pci_config_readw(d->pci, PCI_COMMAND) & PCI_COMMAND_MASTER);
}

static void check_vectors(struct __test_metadata *_metadata, struct vdev *d)
{
	u64 count;

	if (!d->nr_vectors)
		return;
	vfio_pci_msix_enable(d->pci, 0, d->nr_vectors);
	fcntl_set_nonblock(d->pci->msi_eventfds[0]);
	EXPECT_EQ(-1, read(d->pci->msi_eventfds[0], &count, sizeof(count)));
	vfio_pci_irq_trigger(d->pci, VFIO_PCI_MSIX_IRQ_INDEX, 0);
	EXPECT_EQ(8, read(d->pci->msi_eventfds[0], &count, sizeof(count)));
	EXPECT_EQ(1, count);
	vfio_pci_msix_disable(d->pci);
}

MIG_TEST(arcs, s72_s75_config_space_and_vectors_in_each_state)
{
	struct vdev *d = &self->m.dev;
	unsigned int i;
	int fd;

	ASSERT_EQ(0, mig_save_fresh(d, &self->m.fresh));
	for (i = 0; i < self->m.nr_states; i++) {
		fd = mig_reach(_metadata, &self->m, self->m.states[i]);
		check_config_space(_metadata, d);
		check_vectors(_metadata, d);
		EXPECT_STATE(d, self->m.states[i]);
		EXPECT_SET(d, ST_RUNNING);
		close(fd);
		EXPECT_RESET(d);
	}
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
