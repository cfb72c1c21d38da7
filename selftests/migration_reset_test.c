// SPDX-License-Identifier: GPL-2.0-only
/*
 * What ends the use of a device: resets, closes, drivers and physical functions that go away. In
 * whatever state it was, the next user finds a device like new, and files of the last one are dead.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/harness.h"

#define DEBUGFS		"/sys/kernel/debug/vfio"

/* How often the power state of a device is looked at, and what for: it changes by itself. */
#define PM_TRIES	6000
#define PM_TRY_MS	10

FIXTURE(reset) {
	struct mig m;
	char pf[BDF_SIZE];
	char pf_driver[64];
	bool methods;		/* its methods of reset were changed */
};

FIXTURE_SETUP(reset)
{
	if (!function_pf(mig_bdf, self->pf))
		snprintf(self->pf_driver, sizeof(self->pf_driver), "%s",
			 function_driver(self->pf));
	mig_setup(_metadata, &self->m);
	if (self->m.flags)
		ASSERT_EQ(0, mig_save_fresh(&self->m.dev, &self->m.fresh));
}

FIXTURE_TEARDOWN(reset)
{
	if (self->methods)
		EXPECT_EQ(0, function_write(mig_bdf, "reset_method", "default"));
	mig_teardown(_metadata, &self->m);
}

/*
 * From RUNNING to a state in the middle of its use: the device at work, a session half done.
 * A device that is to be loaded has to be idle. Return: the file of the session or -1.
 */
static int enter(struct __test_metadata *_metadata, struct mig *m, u32 state)
{
	size_t half = m->fresh.size / 2;
	int fd = -1;
	u8 *buf;

	if (state != ST_RESUMING)
		mig_start_user(_metadata, m);
	ASSERT_EQ(0, vdev_mig_set_state(&m->dev, state, &fd));
	ASSERT_STATE(&m->dev, state);
	if (fd < 0)
		return fd;
	if (state == ST_RESUMING) {
		ASSERT_EQ(half, write(fd, m->fresh.data, half));
		return fd;
	}
	buf = malloc_assert(half);
	ASSERT_LT(0, read(fd, buf, half));
	free(buf);
	return fd;
}

/* The file of a session that ended, if there is one: every time it is used. */
#define EXPECT_DEAD(fd, state) do {						\
	int __file = (fd);							\
										\
	if (__file >= 0) {							\
		EXPECT_TRUE(mig_file_dead(__file))				\
			TH_LOG("file of %s", mig_state_name(state));		\
		EXPECT_TRUE(mig_file_dead(__file));				\
	}									\
} while (0)

static void reopen(struct __test_metadata *_metadata, struct mig *m)
{
	vdev_open(&m->dev, mig_bdf);
	ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
}

static void shut(struct __test_metadata *_metadata, struct mig *m)
{
	mig_end_user(_metadata, m);
	vdev_close(&m->dev);
}

/* ---- resets ---- */

MIG_TEST(reset, s41_s76_reset_in_each_state)
{
	struct mig *m = &self->m;
	u32 states[ST_NR], state;
	unsigned int i;
	int fd;

	for (i = 0; i < mig_states(m->flags, states); i++) {
		state = states[i];
		fd = enter(_metadata, m, state);
		EXPECT_RESET(&m->dev);
		EXPECT_DEAD(fd, state);
		mig_expect_like_new(_metadata, m);
		EXPECT_DEAD(fd, state);
		close(fd);
	}
	mig_expect_usable(_metadata, m, &m->dev);
}

/* What was loaded and never ran is gone as well. */
MIG_TEST(reset, s68_s76_reset_of_a_loaded_device)
{
	struct mig *m = &self->m;
	struct stream busy;
	int fd;

	mig_start_user(_metadata, m);
	ASSERT_EQ(0, mig_save(&m->dev, &busy));
	EXPECT_RESET(&m->dev);

	fd = ASSERT_OPEN(&m->dev, ST_RESUMING);
	ASSERT_EQ(0, stream_write(fd, &busy, 0));
	EXPECT_RESET(&m->dev);
	EXPECT_DEAD(fd, ST_RESUMING);
	close(fd);
	mig_expect_like_new(_metadata, m);

	ASSERT_EQ(0, mig_load(&m->dev, &busy));
	EXPECT_RESET(&m->dev);
	mig_expect_like_new(_metadata, m);
	mig_expect_usable(_metadata, m, &m->dev);
	stream_free(&busy);
}

/* A file of an earlier session has no part in a later one. */
MIG_TEST(reset, s76_files_stay_dead)
{
	struct mig *m = &self->m;
	struct stream s;
	int save, load, fd;

	save = enter(_metadata, m, ST_STOP_COPY);
	EXPECT_RESET(&m->dev);
	mig_end_user(_metadata, m);
	load = enter(_metadata, m, ST_RESUMING);
	EXPECT_RESET(&m->dev);

	fd = ASSERT_OPEN(&m->dev, ST_STOP_COPY);
	EXPECT_DEAD(save, ST_STOP_COPY);
	EXPECT_DEAD(load, ST_RESUMING);
	ASSERT_EQ(0, stream_read(fd, &s, 0));
	EXPECT_TRUE(stream_alike(&s, &m->fresh));
	stream_free(&s);
	close(fd);
	close(save);
	close(load);
}

/* A reset that nobody asked VFIO for is one as well, where it is not refused. */
MIG_TEST(reset, s78_sysfs_reset_in_each_state)
{
	struct mig *m = &self->m;
	u32 states[ST_NR], state;
	unsigned int i;
	int fd;

	for (i = 0; i < mig_states(m->flags, states); i++) {
		state = states[i];
		fd = enter(_metadata, m, state);
		if (function_write(mig_bdf, "reset", "1")) {
			EXPECT_STATE(&m->dev, state);
			EXPECT_RESET(&m->dev);
		}
		EXPECT_DEAD(fd, state);
		mig_expect_like_new(_metadata, m);
		close(fd);
	}
	mig_expect_usable(_metadata, m, &m->dev);
}

/* ---- closes ---- */

MIG_TEST(reset, s16_s41_s79_close_in_each_state)
{
	struct mig *m = &self->m;
	u32 states[ST_NR], state;
	unsigned int i;
	int fd;

	for (i = 0; i < mig_states(m->flags, states); i++) {
		state = states[i];
		fd = enter(_metadata, m, state);
		shut(_metadata, m);
		EXPECT_DEAD(fd, state);
		reopen(_metadata, m);
		EXPECT_DEAD(fd, state);
		mig_expect_like_new(_metadata, m);
		close(fd);
	}
	mig_expect_usable(_metadata, m, &m->dev);
}

/* Nothing of a session is left in a function that another driver takes over. */
static void expect_clean_function(struct __test_metadata *_metadata, struct mig *m)
{
	const struct udrv_off *off;
	u32 value;

	if (!m->ops)
		return;
	for (off = m->ops->off; off->mask; off++) {
		ASSERT_EQ(0, function_read32(mig_bdf, off->reg, &value));
		EXPECT_EQ(0, value & off->mask);
	}
	if (!m->ops->host)
		return;
	ASSERT_EQ(0, function_bind(mig_bdf, m->ops->host->driver));
	EXPECT_EQ(0, m->ops->host->wait(mig_bdf));
	ASSERT_EQ(0, function_bind(mig_bdf, NULL));
}

MIG_TEST(reset, s79_next_driver)
{
	struct mig *m = &self->m;
	u32 states[ST_NR], state;
	unsigned int i;
	int fd;

	for (i = 0; i < mig_states(m->flags, states); i++) {
		state = states[i];
		fd = enter(_metadata, m, state);
		shut(_metadata, m);
		ASSERT_EQ(0, function_bind(mig_bdf, NULL));
		expect_clean_function(_metadata, m);
		EXPECT_DEAD(fd, state);
		close(fd);
		ASSERT_EQ(0, function_bind(mig_bdf, mig_driver));
		reopen(_metadata, m);
	}
	mig_expect_like_new(_metadata, m);
}

MIG_TEST(reset, s79_next_user_finds_nothing)
{
	static const u32 left_in[] = { ST_RUNNING, ST_STOP_COPY, ST_RESUMING };
	u32 before[UDRV_SETTINGS], dirty[UDRV_SETTINGS], after[UDRV_SETTINGS];
	struct mig *m = &self->m;
	struct stream busy;
	unsigned int i;

	if (!mig_has_driver(_metadata, m))
		return;
	if (!m->ops->leave_traces)
		SKIP(return, "the driver in user space leaves nothing");
	mig_start_user(_metadata, m);
	ASSERT_EQ(0, m->ops->settings(m->u, before));
	ASSERT_EQ(0, m->ops->leave_traces(m->u));
	ASSERT_EQ(0, m->ops->settings(m->u, dirty));
	EXPECT_NE(0, memcmp(before, dirty, sizeof(dirty)));
	ASSERT_EQ(0, mig_save(&m->dev, &busy));
	for (i = 0; i < ARRAY_SIZE(left_in); i++) {
		EXPECT_RESET(&m->dev);
		mig_end_user(_metadata, m);
		if (left_in[i] == ST_RESUMING) {
			ASSERT_EQ(0, mig_load(&m->dev, &busy));
		} else {
			mig_start_user(_metadata, m);
			ASSERT_EQ(0, m->ops->leave_traces(m->u));
			ASSERT_SET(&m->dev, left_in[i]);
		}
		shut(_metadata, m);
		reopen(_metadata, m);
		mig_start_user(_metadata, m);
		ASSERT_EQ(0, m->ops->settings(m->u, after));
		EXPECT_EQ(0, memcmp(before, after, sizeof(after)));
		/* not possible if there were requests of the last one */
		EXPECT_EQ(0, m->ops->leave_traces(m->u));
	}
	stream_free(&busy);
}

/* ---- closes without a reset ---- */

struct closer {
	struct vdev *dev;
	pthread_barrier_t *barrier;
};

static void *close_thread(void *arg)
{
	struct closer *c = arg;

	pthread_barrier_wait(c->barrier);
	vdev_close(c->dev);
	return NULL;
}

/* Two functions of one port: they contend for its lock, and the core skips the reset of one. */
MIG_TEST(reset, s79_two_close_together)
{
	static const u32 states[] = { ST_RUNNING, ST_STOP, ST_STOP_COPY, ST_RESUMING };
	struct mig *m = &self->m;
	pthread_barrier_t barrier;
	pthread_t threads[2];
	struct closer c[2];
	struct vdev other;
	unsigned int i, j;
	int fds[2];

	if (!mig_open(_metadata, m, &other, MIG_SIBLING))
		return;
	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 2));
	for (i = 0; i < 16; i++) {
		fds[0] = enter(_metadata, m, states[i % 4]);
		fds[1] = -1;
		ASSERT_EQ(0, vdev_mig_set_state(&other, states[i / 4], &fds[1]));
		mig_end_user(_metadata, m);
		c[0] = (struct closer){ &m->dev, &barrier };
		c[1] = (struct closer){ &other, &barrier };
		for (j = 0; j < 2; j++)
			ASSERT_EQ(0, pthread_create(&threads[j], NULL, close_thread, &c[j]));
		for (j = 0; j < 2; j++)
			pthread_join(threads[j], NULL);
		EXPECT_DEAD(fds[0], states[i % 4]);
		EXPECT_DEAD(fds[1], states[i / 4]);
		close(fds[0]);
		close(fds[1]);
		reopen(_metadata, m);
		vdev_open(&other, getenv(MIG_SIBLING));
		ASSERT_EQ(0, vdev_map(&other, &m->arena));
		EXPECT_STATE(&m->dev, ST_RUNNING);
		EXPECT_STATE(&other, ST_RUNNING);
	}
	mig_expect_like_new(_metadata, m);
	mig_expect_usable(_metadata, m, &m->dev);
	mig_expect_usable(_metadata, m, &other);
	mig_end_user(_metadata, m);
	vdev_close(&other);
	pthread_barrier_destroy(&barrier);
}

/* Whether someone else could use the device; libvfio ends a process that cannot. */
static bool can_open(struct __test_metadata *_metadata)
{
	int status, null;
	struct vdev d;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, STDERR_FILENO);
		vdev_open(&d, mig_bdf);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* From here on the function cannot be reset; what is in it stays when it is closed. */
static bool leave_unreset(struct __test_metadata *_metadata, struct mig *m, bool *methods)
{
	shut(_metadata, m);
	if (function_write(mig_bdf, "reset_method", "\n"))
		SKIP(return false, "no choice of reset methods");
	*methods = true;
	reopen(_metadata, m);
	mig_start_user(_metadata, m);
	EXPECT_NE(0, vdev_reset(&m->dev));
	ASSERT_SET(&m->dev, ST_STOP);
	shut(_metadata, m);
	return true;
}

MIG_TEST(reset, s79_not_given_out_unreset)
{
	struct mig *m = &self->m;
	char pf[BDF_SIZE];

	/* VFIO resets the bus of a function that is alone there */
	if (function_pf(mig_bdf, pf))
		SKIP(return, "%s is not a virtual function", mig_bdf);
	if (!leave_unreset(_metadata, m, &self->methods))
		return;
	EXPECT_FALSE(can_open(_metadata));
	EXPECT_FALSE(can_open(_metadata));
	ASSERT_EQ(0, function_write(mig_bdf, "reset_method", "default"));
	EXPECT_TRUE(can_open(_metadata));
	reopen(_metadata, m);
	mig_expect_like_new(_metadata, m);
	mig_expect_usable(_metadata, m, &m->dev);
}

MIG_TEST(reset, s79_reset_at_unbind)
{
	struct mig *m = &self->m;

	if (!leave_unreset(_metadata, m, &self->methods))
		return;
	ASSERT_EQ(0, function_write(mig_bdf, "reset_method", "default"));
	ASSERT_EQ(0, function_bind(mig_bdf, NULL));
	expect_clean_function(_metadata, m);
	ASSERT_EQ(0, function_bind(mig_bdf, mig_driver));
	reopen(_metadata, m);
	mig_expect_like_new(_metadata, m);
}

/* ---- drivers go away ---- */

/* A thread that takes something away, and waits until the device is closed for it. */
struct taker {
	int (*take)(const char *bdf);
	const char *bdf;
	int err;
	bool done;
	pthread_t thread;
};

static void *take_thread(void *arg)
{
	struct taker *t = arg;

	t->err = t->take(t->bdf);
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static int request_eventfd(struct __test_metadata *_metadata, struct vdev *d)
{
	union {
		struct vfio_irq_set set;
		u8 room[sizeof(struct vfio_irq_set) + sizeof(int)];
	} arg = { .set = {
		.argsz = sizeof(arg), .index = VFIO_PCI_REQ_IRQ_INDEX, .count = 1,
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD,
	} };
	int fd = eventfd(0, EFD_CLOEXEC);

	ASSERT_LE(0, fd);
	memcpy(arg.set.data, &fd, sizeof(fd));
	ASSERT_EQ(0, ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &arg));
	return fd;
}

/*
 * The user is asked to let go of a device in @state. Until it does, all works; then everything
 * ends. Return: the dead file of the session or -1.
 */
static int take_away(struct __test_metadata *_metadata, struct mig *m, u32 state, struct taker *t)
{
	struct pollfd request;
	struct stream rest;
	int fd;

	fd = enter(_metadata, m, state);
	request.fd = request_eventfd(_metadata, &m->dev);
	request.events = POLLIN;
	t->done = false;
	ASSERT_EQ(0, pthread_create(&t->thread, NULL, take_thread, t));
	EXPECT_EQ(1, poll(&request, 1, UDRV_TIMEOUT_MS));
	EXPECT_FALSE(__atomic_load_n(&t->done, __ATOMIC_ACQUIRE));
	EXPECT_STATE(&m->dev, state);
	if (state == ST_STOP_COPY) {
		EXPECT_EQ(0, stream_read(fd, &rest, 0));
		stream_free(&rest);
	}
	shut(_metadata, m);
	pthread_join(t->thread, NULL);
	close(request.fd);
	EXPECT_EQ(0, t->err);
	EXPECT_DEAD(fd, state);
	return fd;
}

MIG_TEST(reset, s80_unbind_in_each_state)
{
	struct taker unbind = { function_unbind, mig_bdf };
	struct mig *m = &self->m;
	u32 states[ST_NR], state;
	unsigned int i;
	int fd;

	for (i = 0; i < mig_states(m->flags, states); i++) {
		state = states[i];
		fd = take_away(_metadata, m, state, &unbind);
		EXPECT_STREQ("", function_driver(mig_bdf));
		expect_clean_function(_metadata, m);
		ASSERT_EQ(0, function_bind(mig_bdf, mig_driver));
		reopen(_metadata, m);
		EXPECT_DEAD(fd, state);
		mig_expect_like_new(_metadata, m);
		close(fd);
	}
	mig_expect_usable(_metadata, m, &m->dev);
}

/* A physical function that may be taken away, and how all is made good again. */
static bool needs_pf(struct __test_metadata *_metadata, const char *pf)
{
	if (!*pf)
		SKIP(return false, "%s is not a virtual function", mig_bdf);
	if (!getenv(MIG_PF_RESTORE))
		SKIP(return false, MIG_PF_RESTORE " is not set");
	return true;
}

static void restore_pf(struct __test_metadata *_metadata, struct mig *m)
{
	ASSERT_EQ(0, system(getenv(MIG_PF_RESTORE)));
	if (strcmp(function_driver(mig_bdf), mig_driver))
		ASSERT_EQ(0, function_bind(mig_bdf, mig_driver));
	reopen(_metadata, m);
}

MIG_TEST(reset, s41_s81_pf_unbound_in_each_state)
{
	struct taker unbind = { function_unbind, self->pf };
	struct mig *m = &self->m;
	char path[128];
	u32 states[ST_NR], state;
	unsigned int i;
	u64 flags;
	int fd;

	if (!needs_pf(_metadata, self->pf))
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", self->pf_driver);
	for (i = 0; i < mig_states(m->flags, states); i++) {
		state = states[i];
		fd = take_away(_metadata, m, state, &unbind);
		EXPECT_STREQ("", function_driver(self->pf));
		/* without it the function may be used, but not migrated */
		if (!function_bind(mig_bdf, mig_driver)) {
			reopen(_metadata, m);
			EXPECT_EQ(-ENOTTY, vdev_mig_flags(&m->dev, &flags));
			vdev_close(&m->dev);
			EXPECT_EQ(0, function_bind(mig_bdf, NULL));
		}
		ASSERT_EQ(0, file_write(path, self->pf));
		restore_pf(_metadata, m);
		EXPECT_DEAD(fd, state);
		mig_expect_like_new(_metadata, m);
		close(fd);
	}
	mig_expect_usable(_metadata, m, &m->dev);
}

static int remove_function(const char *bdf)
{
	return function_write(bdf, "remove", "1");
}

/* Hot-unplug takes all that is behind a port. */
MIG_TEST(reset, s81_pf_removed_in_each_state)
{
	struct mig *m = &self->m;
	struct taker unplug = { remove_function };
	char port[BDF_SIZE];
	u32 states[ST_NR], state;
	unsigned int i;
	int fd;

	if (!needs_pf(_metadata, self->pf))
		return;
	if (function_bridge(self->pf, port))
		SKIP(return, "%s is not behind a port", self->pf);
	unplug.bdf = port;
	for (i = 0; i < mig_states(m->flags, states); i++) {
		state = states[i];
		fd = take_away(_metadata, m, state, &unplug);
		EXPECT_FALSE(function_exists(mig_bdf));
		EXPECT_FALSE(function_exists(self->pf));
		ASSERT_EQ(0, file_write("/sys/bus/pci/rescan", "1"));
		ASSERT_TRUE(function_exists(self->pf));
		restore_pf(_metadata, m);
		EXPECT_DEAD(fd, state);
		mig_expect_like_new(_metadata, m);
		close(fd);
	}
	mig_expect_usable(_metadata, m, &m->dev);
}

/* ---- modules ---- */

static int remove_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

MIG_TEST(reset, s82_module_in_use)
{
	struct mig *m = &self->m;
	char module[64];
	int fd;

	if (function_module(mig_bdf, module, sizeof(module)))
		SKIP(return, "%s is not a module", mig_driver);
	EXPECT_EQ(-EAGAIN, remove_module(module));
	fd = enter(_metadata, m, ST_STOP_COPY);
	EXPECT_EQ(-EAGAIN, remove_module(module));
	shut(_metadata, m);
	/* the code of the file */
	EXPECT_EQ(-EAGAIN, remove_module(module));
	EXPECT_DEAD(fd, ST_STOP_COPY);
	close(fd);
	EXPECT_EQ(0, module_refs(module));
	reopen(_metadata, m);
}

struct refs {
	int own;
	int pf;
	int host;
};

static void read_refs(struct refs *r, const struct mig *m, const char *pf)
{
	r->own = function_module_refs(mig_bdf);
	r->pf = *pf ? function_module_refs(pf) : 0;
	r->host = m->ops && m->ops->host ? module_refs(m->ops->host->module) : 0;
}

MIG_TEST(reset, s82_references)
{
	struct mig *m = &self->m;
	struct refs before, after;
	struct stream s;
	int i;

	shut(_metadata, m);
	read_refs(&before, m, self->pf);
	for (i = 0; i < 20; i++) {
		reopen(_metadata, m);
		ASSERT_EQ(0, mig_save(&m->dev, &s));
		EXPECT_RESET(&m->dev);
		ASSERT_EQ(0, mig_load(&m->dev, &s));
		stream_free(&s);
		vdev_close(&m->dev);
	}
	read_refs(&after, m, self->pf);
	EXPECT_EQ(before.own, after.own);
	EXPECT_EQ(before.pf, after.pf);
	EXPECT_EQ(before.host, after.host);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, function_bind(mig_bdf, NULL));
		ASSERT_EQ(0, function_bind(mig_bdf, mig_driver));
	}
	read_refs(&after, m, self->pf);
	EXPECT_EQ(before.own, after.own);
	EXPECT_EQ(before.pf, after.pf);
	EXPECT_EQ(before.host, after.host);
	reopen(_metadata, m);
}

/* ---- power ---- */

static bool wait_suspended(void)
{
	char status[32];
	int i;

	for (i = 0; i < PM_TRIES; i++) {
		if (function_read(mig_bdf, "power/runtime_status", status, sizeof(status)))
			return false;
		if (!strcmp(status, "suspended"))
			return true;
		poll(NULL, 0, PM_TRY_MS);
	}
	return false;
}

static bool sleeps(struct __test_metadata *_metadata)
{
	char control[32];

	if (function_read(mig_bdf, "power/control", control, sizeof(control)) ||
	    strcmp(control, "auto"))
		SKIP(return false, "%s is always on", mig_bdf);
	return true;
}

MIG_TEST(reset, s83_unused_device_sleeps)
{
	struct mig *m = &self->m;

	if (!sleeps(_metadata))
		return;
	ASSERT_SET(&m->dev, ST_STOP_COPY);
	shut(_metadata, m);
	EXPECT_TRUE(wait_suspended());
	reopen(_metadata, m);
	mig_expect_like_new(_metadata, m);
	shut(_metadata, m);
	EXPECT_TRUE(wait_suspended());
	reopen(_metadata, m);
	mig_expect_usable(_metadata, m, &m->dev);
}

static int set_low_power(struct vdev *d, u32 feature)
{
	return vdev_feature(d, F_SET | feature, NULL, 0);
}

/* Asleep at the wish of its user, who migrates it all the same. */
MIG_TEST(reset, s83_migration_asleep)
{
	struct mig *m = &self->m;
	struct stream s;
	int fd;

	if (!sleeps(_metadata))
		return;
	if (set_low_power(&m->dev, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY))
		SKIP(return, "%s has no low power", mig_bdf);
	EXPECT_TRUE(wait_suspended());
	fd = ASSERT_OPEN(&m->dev, ST_STOP_COPY);
	EXPECT_TRUE(wait_suspended());
	ASSERT_EQ(0, stream_read(fd, &s, 0));
	close(fd);
	EXPECT_TRUE(stream_alike(&s, &m->fresh));
	EXPECT_RESET(&m->dev);
	EXPECT_EQ(0, mig_load(&m->dev, &s));
	EXPECT_SET(&m->dev, ST_RUNNING);
	EXPECT_EQ(0, set_low_power(&m->dev, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
	EXPECT_RESET(&m->dev);
	mig_expect_like_new(_metadata, m);
	mig_expect_usable(_metadata, m, &m->dev);
	stream_free(&s);
}

/* ---- DMA logging ---- */

MIG_TEST(reset, s89_reset_keeps_logging)
{
	struct vfio_device_feature_dma_logging_range range = { ARENA_IOVA, MIG_ARENA_SIZE };
	struct mig *m = &self->m;
	u64 page_size = getpagesize(), *bitmap;
	size_t i, words;

	if (!mig_offers_logging(_metadata, m))
		return;
	ASSERT_EQ(0, vdev_log_start(&m->dev, &page_size, &range, 1));
	words = MIG_ARENA_SIZE / page_size / 64;
	bitmap = calloc_assert(words, sizeof(*bitmap));
	EXPECT_RESET(&m->dev);
	/* nobody knows what was written before: all of it, once */
	EXPECT_EQ(0, vdev_log_report(&m->dev, ARENA_IOVA, MIG_ARENA_SIZE, page_size, bitmap));
	for (i = 0; i < words && bitmap[i] == ~0ULL; i++)
		;
	EXPECT_EQ(words, i);
	EXPECT_GT(0, vdev_log_start(&m->dev, &page_size, &range, 1));
	EXPECT_EQ(0, vdev_log_stop(&m->dev));
	EXPECT_GT(0, vdev_log_report(&m->dev, ARENA_IOVA, MIG_ARENA_SIZE, page_size, bitmap));
	ASSERT_EQ(0, vdev_log_start(&m->dev, &page_size, &range, 1));
	shut(_metadata, m);
	reopen(_metadata, m);
	EXPECT_GT(0, vdev_log_report(&m->dev, ARENA_IOVA, MIG_ARENA_SIZE, page_size, bitmap));
	free(bitmap);
}

/* ---- how it is opened ---- */

/* Bound and opened anew, by group or by cdev as VFIO_SELFTESTS_IOMMU_MODE says. */
MIG_TEST(reset, s90_bind_open_migrate)
{
	struct mig *m = &self->m;

	shut(_metadata, m);
	ASSERT_EQ(0, function_bind(mig_bdf, NULL));
	ASSERT_EQ(0, function_bind(mig_bdf, mig_driver));
	reopen(_metadata, m);
	EXPECT_EQ(!strcmp(vdev_iommu_mode(), MODE_IOMMUFD), !m->dev.pci->group_fd);
	mig_expect_like_new(_metadata, m);
	mig_start_user(_metadata, m);
	ASSERT_SET(&m->dev, ST_STOP_COPY);
	ASSERT_SET(&m->dev, ST_RUNNING);
	if (m->u)
		EXPECT_EQ(0, udrv_work(m->u, 1));
}

/* The memory of a stopped device may come and go. */
MIG_TEST(reset, s90_unmapped_while_stopped)
{
	struct mig *m = &self->m;

	mig_start_user(_metadata, m);
	ASSERT_SET(&m->dev, ST_STOP);
	ASSERT_EQ(0, vdev_unmap(&m->dev));
	ASSERT_SET(&m->dev, ST_STOP_COPY);
	ASSERT_SET(&m->dev, ST_STOP);
	ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
	ASSERT_SET(&m->dev, ST_RUNNING);
	if (m->u)
		EXPECT_EQ(0, udrv_work_all(m->u));
}

MIG_TEST(reset, s90_detach_attach)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct mig *m = &self->m;

	if (strcmp(vdev_iommu_mode(), MODE_IOMMUFD))
		SKIP(return, "without iommufd");
	attach.pt_id = m->dev.iommu->ioas_id;
	mig_start_user(_metadata, m);
	ASSERT_SET(&m->dev, ST_STOP);
	EXPECT_EQ(0, ioctl(m->dev.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
	ASSERT_SET(&m->dev, ST_STOP_COPY);
	ASSERT_SET(&m->dev, ST_STOP);
	ASSERT_EQ(0, ioctl(m->dev.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	ASSERT_SET(&m->dev, ST_RUNNING);
	if (m->u)
		EXPECT_EQ(0, udrv_work(m->u, 1));
}

/* ---- debugfs ---- */

static void debugfs_read(struct __test_metadata *_metadata, const char *file, char *text,
			 size_t size)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "/%s/migration/%s", mig_bdf, file);
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd)
		TH_LOG("%s: %m", path);
	n = read(fd, text, size - 1);
	ASSERT_LE(0, n);
	text[n] = 0;
	close(fd);
}

static void expect_debugfs(struct __test_metadata *_metadata, struct mig *m, u32 state)
{
	char text[128], want[128];

	snprintf(want, sizeof(want), "%s\n", mig_state_name(state));
	debugfs_read(_metadata, "state", text, sizeof(text));
	EXPECT_STREQ(want, text);
	snprintf(want, sizeof(want), "stop-copy\n%s%s",
		 m->flags & VFIO_MIGRATION_P2P ? "p2p\n" : "",
		 m->flags & VFIO_MIGRATION_PRE_COPY ? "pre-copy\n" : "");
	debugfs_read(_metadata, "features", text, sizeof(text));
	EXPECT_EQ(0, strncmp(want, text, strlen(want)))
		TH_LOG("%s", text);
}

MIG_TEST(reset, s91_debugfs)
{
	struct mig *m = &self->m;
	u32 states[ST_NR], state;
	unsigned int i;
	int fd;

	if (access(DEBUGFS, F_OK))
		SKIP(return, "kernel without VFIO_DEBUGFS");
	for (i = 0; i < mig_states(m->flags, states); i++) {
		state = states[i];
		fd = enter(_metadata, m, state);
		expect_debugfs(_metadata, m, state);
		shut(_metadata, m);
		expect_debugfs(_metadata, m, ST_RUNNING);
		close(fd);
		reopen(_metadata, m);
	}
	shut(_metadata, m);
	ASSERT_EQ(0, function_bind(mig_bdf, NULL));
	EXPECT_NE(0, access(DEBUGFS "/state", F_OK));
	ASSERT_EQ(0, function_bind(mig_bdf, mig_driver));
	expect_debugfs(_metadata, m, ST_RUNNING);
	reopen(_metadata, m);
}

/* ---- streams of an enemy ---- */

static u32 next_random(u32 *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* What the device would write, changed in one way or another. */
static void make_hostile(struct stream *s, const struct stream *good, u32 *seed)
{
	u32 kind = next_random(seed) % 6, at = next_random(seed) % good->size, i, len;

	memcpy(s->data, good->data, good->size);
	s->size = good->size;
	len = min(1 + next_random(seed) % 64, (u32)good->size - at);
	switch (kind) {
	case 0:
		s->data[at] ^= 1 << next_random(seed) % 8;
		break;
	case 1:
		s->size = at;
		break;
	case 2:
		memset(s->data + at, 0xff, len);
		break;
	case 3:
		for (i = 0; i < len; i++)
			s->data[at + i] = next_random(seed);
		break;
	case 4:		/* a part twice */
		memcpy(s->data + at, good->data + next_random(seed) % (good->size - len + 1), len);
		break;
	default:	/* a part left out */
		memmove(s->data + at, s->data + at + len, good->size - at - len);
		s->size -= len;
	}
}

/* The stream of a device at work, so that more of it means something. */
static void save_busy(struct __test_metadata *_metadata, struct mig *m, struct stream *s)
{
	mig_start_user(_metadata, m);
	if (m->u)
		EXPECT_EQ(0, udrv_work(m->u, 1));
	ASSERT_EQ(0, mig_save(&m->dev, s));
	EXPECT_RESET(&m->dev);
	mig_end_user(_metadata, m);
}

static void load_hostile(struct __test_metadata *_metadata, struct vdev *d,
			 const struct stream *s, u32 *seed)
{
	int fd;

	fd = ASSERT_OPEN(d, ST_RESUMING);
	stream_write(fd, s, 1 + next_random(seed) % s->size);
	close(fd);
	/* what it takes, it may run */
	vdev_mig_set_state(d, ST_RUNNING, NULL);
	EXPECT_RESET(d);
}

MIG_TEST(reset, s93_hostile_streams)
{
	static const struct udrv_opts opts = { .channels = 2 };
	struct load load = {
		.units = 64, .unit_blocks = 8, .qd = 4, .seed = 93, .control = true,
	};
	struct mig *m = &self->m, other = {};
	struct stream good, bad;
	char driver[64];
	u32 seed = 93;
	int i;

	if (!mig_has_driver(_metadata, m))
		return;
	if (!getenv(MIG_SIBLING))
		SKIP(return, MIG_SIBLING " is not set");
	/* with memory of its own, that the enemy does not have */
	ASSERT_EQ(0, arena_init(&other.arena, -1, MIG_ARENA_SIZE, ARENA_IOVA));
	vdev_open(&other.dev, getenv(MIG_SIBLING));
	ASSERT_EQ(0, vdev_map(&other.dev, &other.arena));
	ASSERT_EQ(0, udrv_init(m->ops, &other.dev, &other.arena, &opts, &other.u));
	/* not where the enemy, who shares the medium, may write */
	load.u = other.u;
	load.first_block = other.u->blocks / 2;
	ASSERT_EQ(0, load_init(&load));
	ASSERT_EQ(0, load_start(&load));

	save_busy(_metadata, m, &good);
	bad.data = malloc_assert(good.size);
	for (i = 0; i < 100; i++) {
		make_hostile(&bad, &good, &seed);
		load_hostile(_metadata, &m->dev, &bad, &seed);
		EXPECT_STATE(&other.dev, ST_RUNNING);
	}
	EXPECT_EQ(0, load_wait_ops(&load, 100));
	EXPECT_EQ(0, load_end(&load));
	EXPECT_EQ(0, load_verify(&load));
	udrv_check_idle(other.u);
	mig_expect_like_new(_metadata, m);
	mig_expect_usable(_metadata, m, &m->dev);
	if (*self->pf) {
		snprintf(driver, sizeof(driver), "%s", function_driver(self->pf));
		EXPECT_STREQ(self->pf_driver, driver);
		if (m->ops->host && !strcmp(driver, m->ops->host->driver))
			EXPECT_EQ(0, m->ops->host->wait(self->pf));
	}
	load_fini(&load);
	mig_end_user(_metadata, &other);
	vdev_close(&other.dev);
	arena_free(&other.arena);
	stream_free(&good);
	stream_free(&bad);
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
