/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test programs share on top of kselftest_harness.h; included once in each program.
 *
 * VFIO_SELFTESTS_BDF (or the last argument) is the function under test. Others, each optional:
 * VFIO_SELFTESTS_BDF_PEER	another that can load its streams
 * VFIO_SELFTESTS_BDF_SIBLING	another behind the same physical function
 * VFIO_SELFTESTS_BDF_OTHER	one of another model, which has to refuse its streams
 * VFIO_SELFTESTS_IOMMU_MODE	libvfio's name of how DMA is mapped
 * VFIO_SELFTESTS_PF_RESTORE	command that brings the functions back where the physical one was
 *				reset, unbound or removed
 * VFIO_SELFTESTS_DISTURB	command, with a number that is put behind it: the device fails in a
 *				way that the number stands for; 0: it does so no more
 */
#ifndef SELFTESTS_VFIO_MIGRATION_HARNESS_H
#define SELFTESTS_VFIO_MIGRATION_HARNESS_H

#include "kselftest_harness.h"

#include "function.h"
#include "load.h"
#include "migration.h"
#include "quiet.h"

#define MIG_PEER	"VFIO_SELFTESTS_BDF_PEER"
#define MIG_SIBLING	"VFIO_SELFTESTS_BDF_SIBLING"
#define MIG_OTHER	"VFIO_SELFTESTS_BDF_OTHER"
#define MIG_PF_RESTORE	"VFIO_SELFTESTS_PF_RESTORE"
#define MIG_DISTURB	"VFIO_SELFTESTS_DISTURB"

/* Only against hanging for ever: devices may be emulated, and the kernel may check a lot. */
#define MIG_TIMEOUT	600

#define MIG_TEST(fixture, name)	TEST_F_TIMEOUT(fixture, name, MIG_TIMEOUT)

/* How often something was tried, and with what result, for those who read a log. */
#define MIG_TRIED(fmt, ...) do {							\
	printf("# tried: " fmt "\n", ##__VA_ARGS__);					\
	fflush(stdout);									\
} while (0)

#define MIG_ARENA_SIZE	(8 << 20)

static const char *mig_bdf;
static const char *mig_driver;	/* what it is bound to before the first test */

/* The function under test, newly opened and therefore reset, with memory mapped. */
struct mig {
	struct vdev dev;
	struct arena arena;
	u64 flags;		/* VFIO_MIGRATION_*, 0 where there is no migration */
	u32 states[ST_NR];	/* that it has, RUNNING first */
	unsigned int nr_states;
	const struct udrv_ops *ops;	/* of a driver for it, NULL: there is none */
	struct udrv *u;		/* its user's driver after mig_start() */
	u32 settings[UDRV_SETTINGS];	/* as they were before mig_make_busy() */
	struct stream fresh;	/* what a reset device saves, after mig_save_fresh() */
};

static inline void mig_setup_open(struct __test_metadata *_metadata, struct mig *m,
				  void (*open)(struct vdev *d, const char *bdf))
{
	int err;

	/* a test that came to a bad end may have left it elsewhere */
	if (strcmp(function_driver(mig_bdf), mig_driver))
		ASSERT_EQ(0, function_bind(mig_bdf, mig_driver));
	ASSERT_EQ(0, arena_init(&m->arena, -1, MIG_ARENA_SIZE, ARENA_IOVA));
	open(&m->dev, mig_bdf);
	ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
	m->ops = udrv_find(&m->dev);
	err = vdev_mig_flags(&m->dev, &m->flags);
	if (err)
		ASSERT_EQ(-ENOTTY, err);
	m->nr_states = err ? 0 : mig_states(m->flags, m->states);
}

static inline void mig_setup_any(struct __test_metadata *_metadata, struct mig *m)
{
	mig_setup_open(_metadata, m, vdev_open);
}

/* Setup of a fixture: tests of migration, or tests of a device without. */
static inline void mig_setup(struct __test_metadata *_metadata, struct mig *m)
{
	mig_setup_any(_metadata, m);
	if (!m->flags)
		SKIP(return, "%s is not migratable", mig_bdf);
}

static inline void mig_setup_plain(struct __test_metadata *_metadata, struct mig *m)
{
	mig_setup_any(_metadata, m);
	if (m->flags)
		SKIP(return, "%s is migratable", mig_bdf);
}

/* The user's driver goes; it saw nothing that it must not. */
static inline void mig_end_user(struct __test_metadata *_metadata, struct mig *m)
{
	if (!m->u)
		return;
	EXPECT_EQ(0, m->u->faults)
		TH_LOG("%s", m->u->fault);
	udrv_fini(m->u);
	m->u = NULL;
}

static inline void mig_teardown(struct __test_metadata *_metadata, struct mig *m)
{
	mig_end_user(_metadata, m);
	if (m->dev.pci)
		vdev_close(&m->dev);
	stream_free(&m->fresh);
	arena_free(&m->arena);
}

/* ---- what a test needs; false: not there, the test is skipped and has to return ---- */

/* Flags of VFIO_DEVICE_FEATURE_MIGRATION. */
static inline bool mig_offers(struct __test_metadata *_metadata, struct mig *m, u64 flags)
{
	u64 missing = flags & ~m->flags;

	if (missing)
		SKIP(return false, "device does not offer%s%s",
		     missing & VFIO_MIGRATION_P2P ? " P2P" : "",
		     missing & VFIO_MIGRATION_PRE_COPY ? " PRE_COPY" : "");
	return true;
}

static inline bool mig_offers_logging(struct __test_metadata *_metadata, struct mig *m)
{
	if (vdev_feature(&m->dev, F_PROBE | F_SET | F_LOG_START, NULL, 0))
		SKIP(return false, "device does not offer DMA logging");
	/* the core's bitmaps for reports come with it */
	if (access("/dev/iommu", F_OK))
		SKIP(return false, "kernel without iommufd");
	return true;
}

/* Another function (MIG_PEER, ...), opened, with the memory of the first mapped. */
static inline bool mig_open(struct __test_metadata *_metadata, struct mig *m, struct vdev *d,
			    const char *name)
{
	const char *bdf = getenv(name);

	if (!bdf)
		SKIP(return false, "%s is not set", name);
	vdev_open(d, bdf);
	ASSERT_EQ(0, vdev_map(d, &m->arena));
	return true;
}

/* A driver in user space, which makes the device do DMA. */
static inline bool mig_has_driver(struct __test_metadata *_metadata, struct mig *m)
{
	if (!m->ops)
		SKIP(return false, "no driver in user space for such a device");
	return true;
}

/* A user of the device, who has such a driver. */
static inline bool mig_start(struct __test_metadata *_metadata, struct mig *m,
			     const struct udrv_opts *opts)
{
	if (!mig_has_driver(_metadata, m))
		return false;
	ASSERT_EQ(0, udrv_init(m->ops, &m->dev, &m->arena, opts, &m->u));
	return true;
}

/* ---- calls that fail ---- */

/* A page with one behind it that cannot be touched. */
static inline void *mig_page_at_edge(struct __test_metadata *_metadata)
{
	size_t page = getpagesize();
	void *p;

	p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + page, page, PROT_NONE));
	return p;
}

#define EXPECT_ERRNO(err, call) do {						\
	EXPECT_EQ(-1, (call));							\
	EXPECT_EQ((err), errno);						\
} while (0)

/* ---- states ---- */

#define EXPECT_STATE(d, state)	EXPECT_EQ((int)(state), vdev_mig_state(d))
#define ASSERT_STATE(d, state)	ASSERT_EQ((int)(state), vdev_mig_state(d))

/* SET; a file that comes with it is closed. */
#define EXPECT_SET(d, state) do {						\
	struct vdev *__dev = (d);						\
	u32 __to = (state);							\
										\
	EXPECT_EQ(0, vdev_mig_set_state(__dev, __to, NULL))			\
		TH_LOG("SET %s", mig_state_name(__to));				\
	EXPECT_STATE(__dev, __to);						\
} while (0)

#define ASSERT_SET(d, state) do {						\
	struct vdev *__dev = (d);						\
	u32 __to = (state);							\
										\
	ASSERT_EQ(0, vdev_mig_set_state(__dev, __to, NULL))			\
		TH_LOG("SET %s", mig_state_name(__to));				\
	ASSERT_STATE(__dev, __to);						\
} while (0)

/* SET of a state that begins a session; the value is its file. */
#define ASSERT_OPEN(d, state) ({						\
	struct vdev *__dev = (d);						\
	u32 __to = (state);							\
	int __file = vdev_mig_open(__dev, __to);				\
										\
	ASSERT_LE(0, __file)							\
		TH_LOG("SET %s", mig_state_name(__to));				\
	ASSERT_STATE(__dev, __to);						\
	__file;									\
})

/* SET has to fail with this errno, give no file and leave the state alone. */
#define EXPECT_REFUSED(d, state, err) do {					\
	struct vdev *__dev = (d);						\
	u32 __to = (state);							\
	int __fd = -2, __before = vdev_mig_state(__dev);			\
										\
	EXPECT_EQ(-(err), vdev_mig_set_state(__dev, __to, &__fd))		\
		TH_LOG("SET %s (%#x) in %s", mig_state_name(__to), __to,	\
		       mig_state_name(__before));				\
	EXPECT_EQ(-1, __fd);							\
	EXPECT_STATE(__dev, __before);						\
} while (0)

#define EXPECT_RESET(d) do {							\
	struct vdev *__dev = (d);						\
										\
	EXPECT_EQ(0, vdev_reset(__dev));					\
	EXPECT_STATE(__dev, ST_RUNNING);					\
} while (0)

/*
 * From RUNNING to any state that the device has. RESUMING is complete then, so that it can be left:
 * what it loads is m->fresh. Return: the file of the session or -1; close it.
 */
static inline int mig_reach(struct __test_metadata *_metadata, struct mig *m, u32 state)
{
	int fd = -1;

	ASSERT_STATE(&m->dev, ST_RUNNING);
	ASSERT_EQ(0, vdev_mig_set_state(&m->dev, state, &fd));
	ASSERT_STATE(&m->dev, state);
	ASSERT_EQ(mig_gives_file(m->flags, ST_RUNNING, state), fd >= 0);
	if (state == ST_RESUMING)
		ASSERT_EQ(0, stream_write(fd, &m->fresh, 0));
	return fd;
}

/* ---- a device at work; nothing to do where there is no driver for it ---- */

static const struct udrv_opts mig_busy_opts = { .channels = 3 };

/* Use it in a way that leaves traces in its state. */
static inline void mig_make_busy(struct __test_metadata *_metadata, struct mig *m)
{
	if (!m->ops)
		return;
	ASSERT_EQ(0, udrv_init(m->ops, &m->dev, &m->arena, &mig_busy_opts, &m->u));
	ASSERT_EQ(0, udrv_work_all(m->u));
	if (!m->ops->leave_traces)
		return;
	ASSERT_EQ(0, m->ops->settings(m->u, m->settings));
	ASSERT_EQ(0, m->ops->leave_traces(m->u));
}

/* The user of mig_make_busy() goes on, where its state is now, with all it had. */
static inline void mig_continue(struct __test_metadata *_metadata, struct mig *m)
{
	if (!m->u)
		return;
	EXPECT_EQ(0, udrv_work_all(m->u));
	if (m->ops->find_traces)
		EXPECT_EQ(0, m->ops->find_traces(m->u));
	udrv_check_idle(m->u);
}

/* Nobody uses it: as after a reset. */
static inline void mig_expect_off(struct __test_metadata *_metadata, struct mig *m, struct vdev *d)
{
	if (m->ops)
		EXPECT_TRUE(udrv_is_off(m->ops, d));
}

/* It can be used from the beginning. */
static inline void mig_expect_usable(struct __test_metadata *_metadata, struct mig *m,
				     struct vdev *d)
{
	EXPECT_STATE(d, ST_RUNNING);
	if (!m->ops)
		return;
	mig_end_user(_metadata, m);
	arena_reset(&m->arena);
	vdev_bus_master(d, true);
	ASSERT_EQ(0, udrv_init(m->ops, d, &m->arena, &mig_busy_opts, &m->u));
	EXPECT_EQ(0, udrv_work_all(m->u));
	udrv_check_idle(m->u);
}

/*
 * As a reset leaves it, and usable: nothing is there of who used it, or was loaded. A clock may go
 * on in the state, so it is only as long as m->fresh.
 */
static inline void mig_expect_fresh(struct __test_metadata *_metadata, struct mig *m)
{
	struct vdev *d = &m->dev;
	u32 settings[UDRV_SETTINGS];
	struct stream s;

	mig_expect_off(_metadata, m, d);
	ASSERT_EQ(0, mig_save(d, &s));
	EXPECT_EQ(m->fresh.size, s.size);
	stream_free(&s);
	ASSERT_SET(d, ST_RUNNING);
	mig_expect_usable(_metadata, m, d);
	if (m->u && m->ops->settings) {
		EXPECT_EQ(0, m->ops->settings(m->u, settings));
		EXPECT_EQ(0, memcmp(m->settings, settings, sizeof(settings)));
	}
}

/* ---- after a reset ---- */

/* A new user; false where there is none for such a device. */
static inline bool mig_start_user(struct __test_metadata *_metadata, struct mig *m)
{
	static const struct udrv_opts opts = { .channels = 2 };

	if (!m->ops)
		return false;
	mig_end_user(_metadata, m);
	arena_reset(&m->arena);
	vdev_bus_master(&m->dev, true);
	ASSERT_EQ(0, udrv_init(m->ops, &m->dev, &m->arena, &opts, &m->u));
	return true;
}

/* It is in RUNNING, and its state is that of a device that nobody used: m->fresh. */
static inline void mig_expect_like_new(struct __test_metadata *_metadata, struct mig *m)
{
	struct stream s;

	EXPECT_STATE(&m->dev, ST_RUNNING);
	mig_expect_off(_metadata, m, &m->dev);
	ASSERT_EQ(0, mig_save(&m->dev, &s));
	EXPECT_TRUE(stream_alike(&s, &m->fresh));
	stream_free(&s);
	EXPECT_RESET(&m->dev);
}

/* All that main() does. */
static inline int mig_harness_run(int argc, char *argv[])
{
	mig_bdf = vfio_selftests_get_bdf(&argc, argv);
	mig_driver = sysfs_driver_get(mig_bdf);
	if (!mig_driver)
		VFIO_LOG_AND_EXIT("%s has no driver", mig_bdf);
	return test_harness_run(argc, argv);
}

#endif /* SELFTESTS_VFIO_MIGRATION_HARNESS_H */
