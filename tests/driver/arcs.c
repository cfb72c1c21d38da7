// SPDX-License-Identifier: GPL-2.0-only
/*
 * The size of the state.
 */
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
	make_dirty(&v->u);
	check_size(v);
	vf_reset(v);
	data_size(v);
}

const struct drv_test arcs_tests[] = {
	{ "states: data size", test_size, ON_BOTH },
};

const size_t nr_arcs_tests = ARRAY_SIZE(arcs_tests);
