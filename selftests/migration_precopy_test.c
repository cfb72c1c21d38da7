// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pre-copy: a stream begins while the device works, and ends when it is stopped.
 */
#include <fcntl.h>
#include <poll.h>

#include <linux/sizes.h>
#include <linux/vfio.h>

#include "lib/harness.h"

static struct load load;

FIXTURE(precopy) {
	struct mig m;
};

FIXTURE_SETUP(precopy)
{
	mig_setup(_metadata, &self->m);
	if (self->m.flags)
		mig_offers(_metadata, &self->m, VFIO_MIGRATION_PRE_COPY);
}

FIXTURE_TEARDOWN(precopy)
{
	load_fini(&load);
	mig_teardown(_metadata, &self->m);
}

/* ---- what is left ---- */

#define ASSERT_INFO(fd) ({							\
	struct vfio_precopy_info __info = { 0 };				\
										\
	ASSERT_EQ(0, mig_precopy_info((fd), &__info));				\
	__info;									\
})

static bool has_new_data(const struct vfio_precopy_info *info)
{
	return info->flags & VFIO_PRECOPY_INFO_REINIT;
}

/* Read what there is, up to the temporary end; nobody uses the device. */
static void read_all_for_now(struct __test_metadata *_metadata, int fd, struct stream *s)
{
	struct vfio_precopy_info info;
	int i;

	/* reading one part may show another, but not for ever */
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(-ENOMSG, stream_append(fd, s, 0));
		info = ASSERT_INFO(fd);
		ASSERT_EQ(0, info.initial_bytes);
		if (!info.dirty_bytes)
			return;
	}
	ASSERT_EQ(0, info.dirty_bytes);
}

/* In a state before the first read there is initial data and nothing else. */
static void check_beginning(struct __test_metadata *_metadata, int fd)
{
	struct vfio_precopy_info info = ASSERT_INFO(fd);

	EXPECT_LT(0, info.initial_bytes);
	EXPECT_EQ(0, info.dirty_bytes);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
}

MIG_TEST(precopy, s47_initial_bytes)
{
	struct vdev *d = &self->m.dev;
	int fd;

	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	check_beginning(_metadata, fd);
	close(fd);
	ASSERT_SET(d, ST_RUNNING);
	mig_make_busy(_metadata, &self->m);
	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	check_beginning(_metadata, fd);
	close(fd);
}

MIG_TEST(precopy, s47_initial_bytes_from_p2p)
{
	struct vdev *d = &self->m.dev;
	int fd;

	if (!mig_offers(_metadata, &self->m, VFIO_MIGRATION_P2P))
		return;
	ASSERT_SET(d, ST_P2P);
	fd = ASSERT_OPEN(d, ST_PRE_COPY_P2P);
	check_beginning(_metadata, fd);
	close(fd);
}

MIG_TEST(precopy, s48_initial_bytes_fall)
{
	struct vdev *d = &self->m.dev;
	struct vfio_precopy_info info, last;
	char buf[64];
	ssize_t n;
	int fd;

	mig_make_busy(_metadata, &self->m);
	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	last = ASSERT_INFO(fd);
	EXPECT_LT(0, last.initial_bytes);
	while (last.initial_bytes) {
		n = read(fd, buf, sizeof(buf));
		ASSERT_LT(0, n)
			TH_LOG("errno %d, %llu initial bytes are left", errno, last.initial_bytes);
		info = ASSERT_INFO(fd);
		ASSERT_GT(last.initial_bytes, info.initial_bytes);
		/* asking is not reading */
		last = ASSERT_INFO(fd);
		ASSERT_EQ(info.initial_bytes, last.initial_bytes);
	}
	close(fd);
}

MIG_TEST(precopy, s49_nothing_for_now)
{
	struct vdev *d = &self->m.dev;
	struct stream s = { 0 };
	char byte;
	int fd, i;

	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	read_all_for_now(_metadata, fd, &s);
	EXPECT_LT(0, s.size);
	for (i = 0; i < 3; i++)
		EXPECT_ERRNO(ENOMSG, read(fd, &byte, 1));
	EXPECT_EQ(0, read(fd, &byte, 0));
	if (self->m.flags & VFIO_MIGRATION_P2P) {
		ASSERT_SET(d, ST_PRE_COPY_P2P);
		EXPECT_EQ(-ENOMSG, stream_append(fd, &s, 0));
		ASSERT_SET(d, ST_PRE_COPY);
		EXPECT_EQ(-ENOMSG, stream_append(fd, &s, 0));
	}
	close(fd);
	stream_free(&s);
}

static void expect_no_info(struct __test_metadata *_metadata, int fd, const char *when)
{
	struct vfio_precopy_info info = { 0 };

	EXPECT_EQ(-EINVAL, mig_precopy_info(fd, &info))
		TH_LOG("%s", when);
}

MIG_TEST(precopy, s50_no_info_elsewhere)
{
	struct vfio_precopy_info info = { 0 };
	struct vdev *d = &self->m.dev;
	int fd;

	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	ASSERT_SET(d, ST_RUNNING);
	expect_no_info(_metadata, fd, "given up");
	close(fd);

	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	EXPECT_RESET(d);
	expect_no_info(_metadata, fd, "after a reset");
	close(fd);

	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	ASSERT_SET(d, ST_STOP_COPY);
	expect_no_info(_metadata, fd, "in STOP_COPY");
	ASSERT_SET(d, ST_STOP);
	expect_no_info(_metadata, fd, "in STOP");
	close(fd);

	fd = ASSERT_OPEN(d, ST_STOP_COPY);
	expect_no_info(_metadata, fd, "without pre-copy");
	close(fd);
	EXPECT_RESET(d);

	fd = ASSERT_OPEN(d, ST_RESUMING);
	EXPECT_GT(0, mig_precopy_info(fd, &info));
	close(fd);
}

/* The ioctl with any argsz; what is behind it is not touched on failure. */
static int raw_info(int fd, u32 argsz, void *p)
{
	u32 size = argsz;

	memcpy(p, &size, sizeof(size));
	return ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, p) ? -errno : 0;
}

MIG_TEST(precopy, s51_arguments)
{
	const size_t size = sizeof(struct vfio_precopy_info), page = getpagesize();
	u8 *p = mig_page_at_edge(_metadata);
	struct vdev *d = &self->m.dev;
	int fd;

	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	EXPECT_EQ(-EINVAL, raw_info(fd, 0, p));
	EXPECT_EQ(-EINVAL, raw_info(fd, 8, p));
	EXPECT_EQ(-EINVAL, raw_info(fd, size - 1, p));
	EXPECT_EQ(0, raw_info(fd, size, p));
	EXPECT_EQ(0, raw_info(fd, size + 100, p));
	EXPECT_EQ(0, raw_info(fd, size, p + page - size));
	EXPECT_EQ(-EFAULT, raw_info(fd, size, p + page - size + 8));
	EXPECT_ERRNO(EFAULT, ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, NULL));
	ASSERT_EQ(0, mprotect(p, page, PROT_READ));
	EXPECT_ERRNO(EFAULT, ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, p + page - size));
	EXPECT_ERRNO(ENOTTY, ioctl(fd, VFIO_DEVICE_RESET));
	EXPECT_ERRNO(ENOTTY, ioctl(fd, _IO(VFIO_TYPE, VFIO_BASE + 99), p));
	EXPECT_STATE(d, ST_PRE_COPY);
	check_beginning(_metadata, fd);
	close(fd);
}

/* ---- initial data once more ---- */

/* What a guest does when it loads another driver: other channels, other settings. */
static void reconfigure(struct __test_metadata *_metadata, struct mig *m, unsigned int channels)
{
	const struct udrv_opts opts = { .channels = channels };

	mig_end_user(_metadata, m);
	ASSERT_EQ(0, udrv_init(m->ops, &m->dev, &m->arena, &opts, &m->u));
	EXPECT_EQ(0, udrv_work(m->u, 1));
}

MIG_TEST(precopy, s52_no_reinit_unasked)
{
	struct vfio_precopy_info info;
	struct mig *m = &self->m;
	struct stream s = { 0 };
	int fd, i;

	if (!mig_has_driver(_metadata, m))
		return;
	fd = ASSERT_OPEN(&m->dev, ST_PRE_COPY);
	for (i = 1; i <= 4; i++) {
		reconfigure(_metadata, m, i);
		info = ASSERT_INFO(fd);
		EXPECT_FALSE(has_new_data(&info));
		/* once read the initial data does not come again */
		if (i > 1)
			EXPECT_EQ(0, info.initial_bytes);
		ASSERT_EQ(-ENOMSG, stream_append(fd, &s, 0));
		info = ASSERT_INFO(fd);
		EXPECT_FALSE(has_new_data(&info));
	}
	close(fd);
	stream_free(&s);
}

static bool ask_for_reinit(struct __test_metadata *_metadata, struct vdev *d)
{
	int err = vdev_precopy_info_v2(d);

	if (err == -ENOTTY)
		SKIP(return false, "kernel without PRECOPY_INFOv2");
	ASSERT_EQ(0, err);
	return true;
}

/* The flags are output, whatever was in them. */
static void check_flags(struct __test_metadata *_metadata, int fd)
{
	struct vfio_precopy_info info = { .flags = ~0 };

	ASSERT_EQ(0, mig_precopy_info(fd, &info));
	EXPECT_EQ(0, info.flags & ~VFIO_PRECOPY_INFO_REINIT);
}

/* New initial data: nothing else counts, and it is read to its end like that at the beginning. */
static void read_new_data(struct __test_metadata *_metadata, int fd, struct stream *s,
			  const struct vfio_precopy_info *info)
{
	u64 left = info->initial_bytes;
	struct vfio_precopy_info now;

	EXPECT_LT(0, left);
	EXPECT_EQ(0, info->dirty_bytes);
	ASSERT_EQ(-ENOMSG, stream_append(fd, s, 0));
	now = ASSERT_INFO(fd);
	EXPECT_TRUE(has_new_data(&now) || !now.initial_bytes);
}

MIG_TEST(precopy, s52_reinit)
{
	struct vfio_precopy_info info;
	struct mig *m = &self->m;
	struct stream s = { 0 };
	int fd, i;

	if (!ask_for_reinit(_metadata, &m->dev))
		return;
	mig_make_busy(_metadata, m);
	fd = ASSERT_OPEN(&m->dev, ST_PRE_COPY);
	check_flags(_metadata, fd);
	ASSERT_EQ(-ENOMSG, stream_append(fd, &s, 0));
	check_flags(_metadata, fd);
	for (i = 4; m->ops && i; i--) {
		reconfigure(_metadata, m, i);
		info = ASSERT_INFO(fd);
		if (has_new_data(&info))
			read_new_data(_metadata, fd, &s, &info);
		else
			EXPECT_EQ(0, info.initial_bytes);
		ASSERT_EQ(-ENOMSG, stream_append(fd, &s, 0));
	}
	close(fd);
	stream_free(&s);
}

MIG_TEST(precopy, s15_s52_opt_in_ends_with_close)
{
	struct vfio_precopy_info info;
	struct mig *m = &self->m;
	struct stream s = { 0 };
	int fd, i;

	if (!ask_for_reinit(_metadata, &m->dev))
		return;
	fd = ASSERT_OPEN(&m->dev, ST_PRE_COPY);
	check_flags(_metadata, fd);
	close(fd);
	vdev_close(&m->dev);
	vdev_open(&m->dev, mig_bdf);
	ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
	fd = ASSERT_OPEN(&m->dev, ST_PRE_COPY);
	for (i = 1; m->ops && i <= 4; i++) {
		reconfigure(_metadata, m, i);
		ASSERT_EQ(-ENOMSG, stream_append(fd, &s, 0));
		info = ASSERT_INFO(fd);
		EXPECT_FALSE(has_new_data(&info));
	}
	close(fd);
	stream_free(&s);
}

/* ---- one stream ---- */

/* How far it is read in PRE_COPY. */
enum { NOTHING, SOME, ALL };

struct course {
	int how_far;
	bool p2p;		/* stay in PRE_COPY_P2P for a while */
	bool nonblock;
	size_t step;
};

/* From RUNNING to STOP_COPY and the end of the stream, in one file. */
static void save_by_precopy(struct __test_metadata *_metadata, struct mig *m,
			    const struct course *c, struct stream *s)
{
	struct vdev *d = &m->dev;
	int fd, other = 77;

	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	if (c->nonblock)
		fcntl_set_nonblock(fd);
	*s = (struct stream){ .data = malloc_assert(1) };
	if (c->how_far == SOME) {
		ASSERT_EQ(1, read(fd, s->data, 1));
		s->size = 1;
	}
	if (c->how_far == ALL)
		ASSERT_EQ(-ENOMSG, stream_append(fd, s, c->step));
	if (m->u)
		EXPECT_EQ(0, udrv_work(m->u, 1));
	if (c->p2p) {
		ASSERT_EQ(0, vdev_mig_set_state(d, ST_PRE_COPY_P2P, &other));
		EXPECT_EQ(-1, other);
		if (c->how_far == ALL)
			ASSERT_EQ(-ENOMSG, stream_append(fd, s, c->step));
	}
	ASSERT_EQ(0, vdev_mig_set_state(d, ST_STOP_COPY, &other));
	EXPECT_EQ(-1, other);
	EXPECT_STATE(d, ST_STOP_COPY);
	/* ENOMSG is no end here */
	ASSERT_EQ(0, stream_append(fd, s, c->step));
	EXPECT_EQ(0, read(fd, &other, 1));
	close(fd);
}

/* The stream moves a user to another device, or back to this one. */
static void carry(struct __test_metadata *_metadata, struct mig *m, const struct course *c,
		  struct vdev *to)
{
	struct stream s;

	mig_make_busy(_metadata, m);
	save_by_precopy(_metadata, m, c, &s);
	if (to == &m->dev)
		EXPECT_RESET(to);
	ASSERT_EQ(0, mig_load(to, &s));
	vdev_bus_master(to, true);
	if (m->u)
		udrv_move(m->u, to);
	ASSERT_SET(to, ST_RUNNING);
	mig_continue(_metadata, m);
	mig_end_user(_metadata, m);
	EXPECT_RESET(&m->dev);
	vdev_bus_master(&m->dev, true);
	stream_free(&s);
}

MIG_TEST(precopy, s53_one_stream)
{
	static const struct course courses[] = {
		{ NOTHING }, { SOME }, { ALL }, { ALL, .step = 1 }, { SOME, .step = 7 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(courses) && __test_passed(_metadata); i++)
		carry(_metadata, &self->m, &courses[i], &self->m.dev);
}

MIG_TEST(precopy, s53_one_stream_by_p2p)
{
	static const struct course courses[] = {
		{ NOTHING, true }, { SOME, true }, { ALL, true },
	};
	unsigned int i;

	if (!mig_offers(_metadata, &self->m, VFIO_MIGRATION_P2P))
		return;
	for (i = 0; i < ARRAY_SIZE(courses) && __test_passed(_metadata); i++)
		carry(_metadata, &self->m, &courses[i], &self->m.dev);
}

MIG_TEST(precopy, s53_one_stream_to_a_peer)
{
	static const struct course course = { ALL };
	struct vdev peer;

	if (!mig_open(_metadata, &self->m, &peer, MIG_PEER))
		return;
	carry(_metadata, &self->m, &course, &peer);
	vdev_close(&peer);
}

/* The part that was written in advance may be all that comes. */
MIG_TEST(precopy, s53_s62_without_the_rest)
{
	struct vdev *d = &self->m.dev;
	struct stream s = { 0 };
	int fd;

	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	read_all_for_now(_metadata, fd, &s);
	close(fd);
	EXPECT_RESET(d);
	fd = ASSERT_OPEN(d, ST_RESUMING);
	EXPECT_EQ(0, stream_write(fd, &s, 0));
	close(fd);
	EXPECT_GT(0, vdev_mig_set_state(d, ST_STOP, NULL));
	EXPECT_RESET(d);
	mig_expect_usable(_metadata, &self->m, d);
	stream_free(&s);
}

/* ---- the device at work ---- */

static bool start_load(struct __test_metadata *_metadata, struct mig *m)
{
	if (!mig_start(_metadata, m, &mig_busy_opts))
		return false;
	load = (struct load){
		.u = m->u, .units = 64, .unit_blocks = 32, .qd = 8, .seed = 47, .control = true,
	};
	ASSERT_EQ(0, load_init(&load));
	ASSERT_EQ(0, load_start(&load));
	return true;
}

static void end_load(struct __test_metadata *_metadata, struct mig *m)
{
	EXPECT_EQ(0, load_end(&load));
	EXPECT_EQ(0, load_verify(&load));
	udrv_check_idle(m->u);
}

static void expect_end(struct __test_metadata *_metadata, int fd)
{
	ssize_t n;
	char byte;

	n = read(fd, &byte, 1);
	if (n) {
		EXPECT_EQ(-1, n);
		EXPECT_EQ(ENODEV, errno);
	}
}

MIG_TEST(precopy, s54_given_up)
{
	struct vdev *d = &self->m.dev;
	struct stream first, again;
	int fd, old = -1, i;
	char byte;

	if (!start_load(_metadata, &self->m))
		return;
	for (i = 0; i < 3; i++) {
		fd = ASSERT_OPEN(d, ST_PRE_COPY);
		EXPECT_NE(old, fd);
		check_beginning(_metadata, fd);
		EXPECT_EQ(0, load_wait_ops(&load, 40));
		if (i)
			EXPECT_EQ(1, read(fd, &byte, 1));
		EXPECT_EQ(0, load_wait_ops(&load, 40));
		EXPECT_STATE(d, ST_PRE_COPY);
		ASSERT_SET(d, ST_RUNNING);
		expect_end(_metadata, fd);
		if (old >= 0) {
			expect_end(_metadata, old);
			close(old);
		}
		old = fd;
		EXPECT_EQ(0, load_wait_ops(&load, 40));
	}
	end_load(_metadata, &self->m);
	close(old);
	/* nothing of it is left in the next save */
	ASSERT_EQ(0, mig_save(d, &first));
	ASSERT_SET(d, ST_STOP);
	ASSERT_EQ(0, mig_save(d, &again));
	EXPECT_TRUE(stream_same(&first, &again));
	stream_free(&first);
	stream_free(&again);
}

MIG_TEST(precopy, s54_given_up_in_p2p)
{
	struct vdev *d = &self->m.dev;
	int fd;

	if (!mig_offers(_metadata, &self->m, VFIO_MIGRATION_P2P) ||
	    !start_load(_metadata, &self->m))
		return;
	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	EXPECT_EQ(0, load_wait_ops(&load, 40));
	ASSERT_SET(d, ST_PRE_COPY_P2P);
	ASSERT_SET(d, ST_P2P);
	expect_end(_metadata, fd);
	close(fd);
	ASSERT_SET(d, ST_RUNNING);
	EXPECT_EQ(0, load_wait_ops(&load, 40));
	/* out of P2P and back into the same session */
	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	ASSERT_SET(d, ST_PRE_COPY_P2P);
	ASSERT_SET(d, ST_PRE_COPY);
	EXPECT_EQ(0, load_wait_ops(&load, 40));
	check_beginning(_metadata, fd);
	close(fd);
	ASSERT_SET(d, ST_RUNNING);
	EXPECT_EQ(0, load_wait_ops(&load, 40));
	end_load(_metadata, &self->m);
}

/* Bytes of memory that the kernel could still give away. */
static u64 available(struct __test_metadata *_metadata)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long kib = 0;
	char line[128];

	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "MemAvailable: %lu", &kib) != 1)
		;
	fclose(f);
	return (u64)kib << 10;
}

MIG_TEST(precopy, s55_for_a_long_time)
{
	struct vdev *d = &self->m.dev;
	struct stream s = { 0 };
	u64 before;
	int fd, i;

	if (!start_load(_metadata, &self->m))
		return;
	fd = ASSERT_OPEN(d, ST_PRE_COPY);
	ASSERT_EQ(-ENOMSG, stream_append(fd, &s, 0));
	stream_free(&s);
	before = available(_metadata);
	for (i = 0; i < 2000 && __test_passed(_metadata); i++) {
		ASSERT_INFO(fd);
		EXPECT_EQ(-ENOMSG, stream_append(fd, &s, 0));
		stream_free(&s);
		if (i % 100 == 0)
			EXPECT_EQ(0, load_wait_ops(&load, 40));
	}
	EXPECT_LT(before, available(_metadata) + SZ_64M);
	close(fd);
	ASSERT_SET(d, ST_RUNNING);
	EXPECT_EQ(0, load_wait_ops(&load, 40));
	end_load(_metadata, &self->m);
}

/* ---- waiting ---- */

static short poll_now(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

/* A file without poll is always ready, also for what one never does with it. */
static bool has_poll(int fd)
{
	return !(poll_now(fd, POLLOUT) & POLLOUT);
}

MIG_TEST(precopy, s56_poll)
{
	struct pollfd p = { .events = POLLIN };
	struct vdev *d = &self->m.dev;
	struct stream s = { 0 };

	p.fd = ASSERT_OPEN(d, ST_PRE_COPY);
	EXPECT_EQ(1, poll(&p, 1, STREAM_TIMEOUT_MS));
	EXPECT_EQ(POLLIN, p.revents);
	read_all_for_now(_metadata, p.fd, &s);
	EXPECT_EQ(has_poll(p.fd) ? 0 : POLLIN, poll_now(p.fd, POLLIN));
	ASSERT_SET(d, ST_STOP_COPY);
	EXPECT_EQ(1, poll(&p, 1, STREAM_TIMEOUT_MS));
	EXPECT_EQ(POLLIN, p.revents);
	ASSERT_EQ(0, stream_append(p.fd, &s, 0));
	EXPECT_EQ(POLLIN, poll_now(p.fd, POLLIN));
	EXPECT_EQ(POLLIN, poll_now(p.fd, POLLIN));
	close(p.fd);
	stream_free(&s);
}

/* EAGAIN is for what comes, ENOMSG for what may never come; both do without waiting. */
MIG_TEST(precopy, s57_nonblocking_reads)
{
	static const struct course courses[] = {
		{ NOTHING, .nonblock = true }, { SOME, .nonblock = true },
		{ ALL, .nonblock = true }, { ALL, .nonblock = true, .step = 3 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(courses) && __test_passed(_metadata); i++)
		carry(_metadata, &self->m, &courses[i], &self->m.dev);
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
