// SPDX-License-Identifier: GPL-2.0-only
/*
 * The size of the state in each migration state, and arcs of devices with rare properties.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static u64 data_size(struct vf *v)
{
	u64 size = 0;

	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "MIG_DATA_SIZE in %s",
		  mig_state_name(vf_state(v)));
	EXPECT(size, "MIG_DATA_SIZE is 0 in %s", mig_state_name(vf_state(v)));
	return size;
}

static void check_size(struct vf *v)
{
	struct stream s;
	u64 stopped;
	int fd;

	data_size(v);
	go(v, ST_P2P);
	data_size(v);
	go(v, ST_STOP);
	stopped = data_size(v);
	fd = go_fd(v, ST_STOP_COPY);
	if (fd < 0)
		return;
	EXPECT_EQ(data_size(v), stopped, "size in STOP_COPY");
	EXPECT_EQ(stream_read(fd, &s, 1000), 0, "read");
	close(fd);
	EXPECT_EQ(s.size, stopped, "bytes read");
	EXPECT_EQ(data_size(v), stopped, "size after reading");
	stream_free(&s);
	go(v, ST_STOP);
	EXPECT_EQ(data_size(v), stopped, "size in STOP again");
}

static void test_size(void)
{
	static const struct unvme_opts opts = { .queues = 4, .irq = true };
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct vf *v = &vf_a;

	/* newly bound, so that the first answer is one for which no device was asked */
	if (!bdf || !load_module() || !EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") ||
	    !vf_open(v, tap_arg(), 1))
		return;
	go(v, ST_RESUMING);
	data_size(v);
	vf_reset(v);
	check_size(v);
	go(v, ST_RESUMING);
	data_size(v);
	if (!vf_reset(v) || !vf_up(v, &opts))
		return;
	set_everything(&v->u);
	check_size(v);
	vf_reset(v);
	data_size(v);
}

/* ---- rare properties ---- */

/* SAVE disables the VF: its data is the only copy, and serves for a second save. */
static void test_save_disables(void)
{
	static const struct unvme_opts opts = { .queues = 3, .irq = true };
	struct vf *v = &vf_a;
	struct stream a, b;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts) || !vf_save(v, &a))
		return;
	go(v, ST_STOP);
	if (vf_save(v, &b)) {
		EXPECT_EQ(b.size, a.size, "bytes");
		EXPECT(b.size == a.size && !memcmp(a.data, b.data, a.size), "other bytes");
		stream_free(&b);
	}
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	EXPECT_EQ(unvme_rw(&v->u, 3, false, 0, 8), 0, "read afterwards");
	/* and to another VF */
	if (go(v, ST_STOP) && vf_open(&vf_b, tap_arg(), 2)) {
		stream_free(&a);
		if (vf_save(v, &a) && vf_load(&vf_b, &a)) {
			unvme_move(&v->u, &vf_b.dev);
			if (go(&vf_b, ST_RUNNING))
				EXPECT_EQ(unvme_rw(&v->u, 2, false, 0, 8), 0, "read there");
		}
	}
	stream_free(&a);
	unvme_check_idle(&v->u, 0);
}

/* A disabled VF starts nothing: that it is not suspended does not keep a guest from being moved */
static void test_enabled_only(void)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };
	struct vf *v = &vf_a;
	struct stream s;
	int fd;

	/* of a VF that may be suspended */
	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts) || !vf_save(v, &s))
		return;
	vf_reset(v);
	klog_mark();
	go(v, ST_STOP);
	EXPECT_EQ(klog_count(v->bdf, "VF is disabled and counts as suspended"), 1, "lines");
	/* this one refuses the rest as well, which costs nothing but the migration */
	refuse_set(v, ST_STOP_COPY, ENXIO);
	fd = go_fd(v, ST_RESUMING);
	EXPECT_EQ(stream_write(fd, &s, 0), -ENXIO, "write");
	close(fd);
	vf_reset(v);
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	vf_check_usable(v);
	go(v, ST_STOP);
	go(v, ST_STOP_COPY);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	stream_free(&s);
}

static const struct drv_test arcs_tests[] = {
	{ "data size", test_size, ON_BOTH },
	{ "SAVE disables", test_save_disables, ON_SPECIAL, SP_DISABLES },
	{ "no Suspend at CC.EN=0, which is taken as suspended", test_enabled_only,
	  ON_SPECIAL, SP_ENABLED },
};

const struct test_group arcs_group = { "arcs", arcs_tests, ARRAY_SIZE(arcs_tests) };
