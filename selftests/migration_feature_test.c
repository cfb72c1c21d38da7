// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_FEATURE as far as it is about migration: what is there, what is refused, and what
 * DATA_SIZE says.
 */
#include <linux/vfio.h>

#include "lib/harness.h"

FIXTURE(feature) {
	struct mig m;
};

FIXTURE_SETUP(feature)
{
	mig_setup(_metadata, &self->m);
}

FIXTURE_TEARDOWN(feature)
{
	mig_teardown(_metadata, &self->m);
}

/* A device without migration. */
FIXTURE(plain) {
	struct mig m;
};

FIXTURE_SETUP(plain)
{
	mig_setup_plain(_metadata, &self->m);
}

FIXTURE_TEARDOWN(plain)
{
	mig_teardown(_metadata, &self->m);
}

/* The ioctl with any argsz, on a structure with room for a payload. */
static int raw_feature(struct vdev *d, u32 argsz, u32 flags, u64 payload)
{
	struct {
		u32 argsz;
		u32 flags;
		u64 payload;
	} arg = { argsz, flags, payload };

	return ioctl(d->fd, VFIO_DEVICE_FEATURE, &arg) < 0 ? -errno : 0;
}

static int probe(struct vdev *d, u32 flags)
{
	return raw_feature(d, sizeof(struct vfio_device_feature), F_PROBE | flags, 0);
}

MIG_TEST(feature, s01_probe)
{
	EXPECT_EQ(0, probe(&self->m.dev, F_GET | F_MIGRATION));
}

MIG_TEST(plain, s01_s11_no_migration)
{
	struct vdev *d = &self->m.dev;
	u64 value;

	EXPECT_EQ(-ENOTTY, probe(d, F_GET | F_MIGRATION));
	EXPECT_EQ(-ENOTTY, vdev_mig_flags(d, &value));
	EXPECT_EQ(-ENOTTY, probe(d, F_GET | F_STATE));
	EXPECT_EQ(-ENOTTY, probe(d, F_SET | F_STATE));
	EXPECT_EQ(-ENOTTY, vdev_mig_state(d));
	EXPECT_EQ(-ENOTTY, vdev_mig_set_state(d, ST_STOP, NULL));
	EXPECT_EQ(-ENOTTY, vdev_mig_set_state(d, ST_RUNNING, NULL));
	EXPECT_EQ(-ENOTTY, vdev_mig_data_size(d, &value));
	EXPECT_EQ(-ENOTTY, probe(d, F_SET | F_LOG_START));
	EXPECT_GT(0, vdev_precopy_info_v2(d));
}

/* Without migration it is still a device that works. */
MIG_TEST(plain, s11_usable)
{
	static const struct udrv_opts opts = { .channels = 2 };
	int i;

	for (i = 0; i < 2; i++) {
		if (!mig_start(_metadata, &self->m, &opts))
			return;
		EXPECT_EQ(0, udrv_work_all(self->m.u));
		udrv_check_idle(self->m.u);
		mig_end_user(_metadata, &self->m);
		ASSERT_EQ(0, vdev_reset(&self->m.dev));
		mig_expect_off(_metadata, &self->m, &self->m.dev);
		vdev_bus_master(&self->m.dev, true);
	}
}

MIG_TEST(feature, s02_flags)
{
	const u64 all = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;

	EXPECT_EQ(VFIO_MIGRATION_STOP_COPY, self->m.flags & VFIO_MIGRATION_STOP_COPY);
	EXPECT_EQ(0, self->m.flags & ~all);
}

MIG_TEST(feature, s03_set_migration)
{
	struct vfio_device_feature_migration mig = { .flags = self->m.flags };

	EXPECT_EQ(-EINVAL, vdev_feature(&self->m.dev, F_SET | F_MIGRATION, &mig, sizeof(mig)));
	EXPECT_EQ(-EINVAL, probe(&self->m.dev, F_SET | F_MIGRATION));
}

MIG_TEST(feature, s04_probe_state)
{
	EXPECT_EQ(0, probe(&self->m.dev, F_GET | F_STATE));
	EXPECT_EQ(0, probe(&self->m.dev, F_SET | F_STATE));
	EXPECT_EQ(0, probe(&self->m.dev, F_GET | F_SET | F_STATE));
}

MIG_TEST(feature, s05_get_and_set)
{
	EXPECT_EQ(-EINVAL, raw_feature(&self->m.dev, 16, F_GET | F_SET | F_STATE, ST_STOP));
	EXPECT_STATE(&self->m.dev, ST_RUNNING);
}

MIG_TEST(feature, s06_argsz_and_flags)
{
	struct vdev *d = &self->m.dev;

	EXPECT_EQ(-EINVAL, raw_feature(d, 16, 1 << 20 | F_GET | F_STATE, 0));
	EXPECT_EQ(-EINVAL, raw_feature(d, 16, 1u << 31 | F_GET | F_MIGRATION, 0));
	EXPECT_EQ(-EINVAL, raw_feature(d, 0, F_GET | F_STATE, 0));
	EXPECT_EQ(-EINVAL, raw_feature(d, 7, F_PROBE | F_GET | F_STATE, 0));
	EXPECT_EQ(-EINVAL, raw_feature(d, 15, F_GET | F_MIGRATION, 0));
	EXPECT_EQ(-EINVAL, raw_feature(d, 15, F_GET | F_STATE, 0));
	EXPECT_EQ(-EINVAL, raw_feature(d, 12, F_SET | F_STATE, ST_STOP));
	EXPECT_EQ(-EINVAL, raw_feature(d, 15, F_GET | F_SIZE, 0));
	EXPECT_STATE(d, ST_RUNNING);
}

MIG_TEST(feature, s07_bad_pointer)
{
	size_t page = getpagesize(), head = sizeof(struct vfio_device_feature);
	void *p = mig_page_at_edge(_metadata);
	struct vfio_device_feature *f = p + page - head;
	struct vdev *d = &self->m.dev;

	EXPECT_EQ(-1, ioctl(d->fd, VFIO_DEVICE_FEATURE, 8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(d->fd, VFIO_DEVICE_FEATURE, p + page - head / 2));
	EXPECT_EQ(EFAULT, errno);

	/* the payload is out of reach */
	f->argsz = 2 * head;
	f->flags = F_SET | F_STATE;
	EXPECT_EQ(-1, ioctl(d->fd, VFIO_DEVICE_FEATURE, f));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_STATE(d, ST_RUNNING);
	f->flags = F_GET | F_STATE;
	EXPECT_EQ(-1, ioctl(d->fd, VFIO_DEVICE_FEATURE, f));
	EXPECT_EQ(EFAULT, errno);
	f->flags = F_GET | F_SIZE;
	EXPECT_EQ(-1, ioctl(d->fd, VFIO_DEVICE_FEATURE, f));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_STATE(d, ST_RUNNING);
	munmap(p, 2 * page);
}

/* The answer cannot be written: the caller never gets the file, and nothing is stuck. */
MIG_TEST(feature, s07_answer_unwritable)
{
	struct vfio_device_feature_mig_state *mig;
	size_t page = getpagesize();
	struct vdev *d = &self->m.dev;
	struct vfio_device_feature *f = mig_page_at_edge(_metadata);
	struct stream s;
	int before;

	ASSERT_EQ(0, mig_save_fresh(d, &self->m.fresh));
	f->argsz = sizeof(*f) + sizeof(*mig);
	f->flags = F_SET | F_STATE;
	mig = (void *)f->data;
	mig->device_state = ST_STOP_COPY;
	ASSERT_EQ(0, mprotect(f, page, PROT_READ));
	before = dup(0);
	close(before);
	EXPECT_EQ(-1, ioctl(d->fd, VFIO_DEVICE_FEATURE, f));
	EXPECT_EQ(EFAULT, errno);
	/* the number that a new file would have got is free */
	EXPECT_EQ(-1, fcntl(before, F_GETFD));
	EXPECT_RESET(d);
	ASSERT_EQ(0, mig_save(d, &s));
	EXPECT_EQ(self->m.fresh.size, s.size);
	stream_free(&s);
	munmap(f, 2 * page);
}

MIG_TEST(feature, s08_probe_has_no_effect)
{
	struct vdev *d = &self->m.dev;
	u32 states[ST_NR], state;
	unsigned int i, nr;
	int fd;

	ASSERT_EQ(0, mig_save_fresh(d, &self->m.fresh));
	nr = mig_states(self->m.flags, states);
	for (i = 0; i < nr; i++) {
		state = states[i];
		fd = mig_reach(_metadata, &self->m, state);
		/* without a payload, and with one that must not count */
		EXPECT_EQ(0, probe(d, F_GET | F_STATE));
		EXPECT_EQ(0, probe(d, F_SET | F_STATE));
		EXPECT_EQ(0, raw_feature(d, 16, F_PROBE | F_SET | F_STATE, ST_RUNNING));
		EXPECT_EQ(0, raw_feature(d, 16, F_PROBE | F_SET | F_STATE, ST_STOP));
		EXPECT_EQ(0, raw_feature(d, 16, F_PROBE | F_SET | F_STATE, 99));
		EXPECT_EQ(0, probe(d, F_GET | F_SIZE));
		EXPECT_STATE(d, state);
		close(fd);
		EXPECT_RESET(d);
	}
}

MIG_TEST(feature, s09_s10_get_in_each_state)
{
	struct vfio_device_feature_mig_state mig;
	struct vdev *d = &self->m.dev;
	u32 states[ST_NR], state;
	unsigned int i, nr;
	int fd;

	ASSERT_EQ(0, mig_save_fresh(d, &self->m.fresh));
	nr = mig_states(self->m.flags, states);
	for (i = 0; i < nr; i++) {
		state = states[i];
		fd = mig_reach(_metadata, &self->m, state);
		mig.device_state = 99;
		mig.data_fd = 77;
		EXPECT_EQ(0, vdev_feature(d, F_GET | F_STATE, &mig, sizeof(mig)));
		EXPECT_EQ(state, mig.device_state);
		EXPECT_EQ(-1, mig.data_fd);
		close(fd);
		EXPECT_RESET(d);
	}
}

MIG_TEST(feature, s12_s13_data_size_in_each_state)
{
	struct vfio_device_feature_mig_data_size size = { 0 };
	struct vdev *d = &self->m.dev;
	u32 states[ST_NR], state;
	unsigned int i, nr;
	u64 bytes;
	int fd;

	ASSERT_EQ(0, mig_save_fresh(d, &self->m.fresh));
	nr = mig_states(self->m.flags, states);
	for (i = 0; i < nr; i++) {
		state = states[i];
		fd = mig_reach(_metadata, &self->m, state);
		bytes = 0;
		EXPECT_EQ(0, vdev_mig_data_size(d, &bytes));
		EXPECT_LT(0, bytes)
			TH_LOG("in %s", mig_state_name(state));
		EXPECT_EQ(-EINVAL, vdev_feature(d, F_SET | F_SIZE, &size, sizeof(size)));
		EXPECT_STATE(d, state);
		close(fd);
		EXPECT_RESET(d);
	}
}

/* Sizes are asked all along; what is read in the end is no more than was said when stopped. */
static void check_size_bounds(struct __test_metadata *_metadata, struct vdev *d)
{
	u64 stopped, saving, after;
	struct stream s;
	int fd;

	ASSERT_SET(d, ST_STOP);
	ASSERT_EQ(0, vdev_mig_data_size(d, &stopped));
	fd = ASSERT_OPEN(d, ST_STOP_COPY);
	ASSERT_EQ(0, vdev_mig_data_size(d, &saving));
	ASSERT_EQ(0, stream_read(fd, &s, 1000));
	close(fd);
	EXPECT_GE(stopped, s.size);
	EXPECT_GE(saving, s.size);
	EXPECT_EQ(0, vdev_mig_data_size(d, &after));
	EXPECT_LT(0, after);
	stream_free(&s);
}

MIG_TEST(feature, s14_data_size_bounds_the_stream)
{
	check_size_bounds(_metadata, &self->m.dev);
	EXPECT_RESET(&self->m.dev);
	check_size_bounds(_metadata, &self->m.dev);
}

/* Once more for a device that has something to tell. */
MIG_TEST(feature, s14_data_size_of_a_busy_device)
{
	static const struct udrv_opts opts = { .channels = 4 };

	if (!mig_start(_metadata, &self->m, &opts))
		return;
	EXPECT_EQ(0, udrv_work(self->m.u, 1));
	check_size_bounds(_metadata, &self->m.dev);
	ASSERT_SET(&self->m.dev, ST_RUNNING);
	EXPECT_EQ(0, udrv_work(self->m.u, 1));
	check_size_bounds(_metadata, &self->m.dev);
}

MIG_TEST(feature, s15_precopy_info_v2)
{
	bool offered = self->m.flags & VFIO_MIGRATION_PRE_COPY;
	struct vdev *d = &self->m.dev;
	int err = vdev_precopy_info_v2(d);
	u64 unused;

	if (err == -ENOTTY)
		SKIP(return, "kernel without PRECOPY_INFOv2");
	EXPECT_EQ(offered ? 0 : -EINVAL, err);
	EXPECT_EQ(offered ? 0 : -EINVAL, probe(d, F_SET | F_PRECOPY_INFO2));
	EXPECT_EQ(-EINVAL, vdev_feature(d, F_GET | F_PRECOPY_INFO2, &unused, sizeof(unused)));
	EXPECT_STATE(d, ST_RUNNING);
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
