// SPDX-License-Identifier: GPL-2.0-only
/*
 * The size of the state; resets and closes in every state.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static void done(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- the size ---- */

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

/* ---- resets and closes ---- */

/* Files of a session that ended: an error, again and again, for whatever size. */
static void check_dead(int *fd, u32 state, const char *by)
{
	char buf[64] = { 0 };
	ssize_t n;
	int i;

	for (i = 0; *fd >= 0 && i < 2; i++) {
		n = state == ST_STOP_COPY ? read(*fd, buf, sizeof(buf)) :
					    write(*fd, buf, sizeof(buf));
		EXPECT(n < 0 && errno == ENODEV, "file of %s ended by %s: %zd, errno %d",
		       mig_state_name(state), by, n, errno);
	}
	done(fd);
}

/* In a controller that is enabled; RESUMING without anything written. */
static bool reach_enabled(struct vf *v, u32 state, int *fd)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };

	*fd = -1;
	if (!vf_up(v, &opts))
		return false;
	if (state == ST_STOP_COPY || state == ST_RESUMING) {
		*fd = go_fd(v, state);
		return *fd >= 0;
	}
	return state == ST_RUNNING || go(v, state);
}

static void test_reset(void)
{
	struct vf *v = &vf_a;
	u32 state;
	int i, fd;

	if (!vf_open(v, tap_arg(), 1))
		return;
	for (i = 0; i < NR_STATES; i++) {
		state = all_states[i];
		if (!reach_enabled(v, state, &fd) || !vf_reset(v))
			return;
		check_dead(&fd, state, "a reset");
		vf_check_off(v);
		vdev_bus_master(&v->dev, true);
	}
	vf_check_usable(v);
}

/* A reset through sysfs is one as well. */
static void test_sysfs_reset(void)
{
	struct vf *v = &vf_a;
	char path[64];
	u32 state;
	int i, fd;

	if (!vf_open(v, tap_arg(), 1))
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.15s/reset", v->bdf);
	for (i = 0; i < NR_STATES; i++) {
		state = all_states[i];
		if (!reach_enabled(v, state, &fd) ||
		    !EXPECT_EQ(write_file(path, "1"), 0, "reset") ||
		    !vf_expect_state(v, ST_RUNNING))
			return;
		check_dead(&fd, state, "a reset");
		vdev_bus_master(&v->dev, true);
	}
	vf_check_usable(v);
}

static void test_close(void)
{
	struct vf *v = &vf_a;
	u32 state;
	int i, fd;

	for (i = 0; i < NR_STATES; i++) {
		state = all_states[i];
		if (!vf_open(v, tap_arg(), 1) || !reach_enabled(v, state, &fd))
			return;
		vf_close(v);
		check_dead(&fd, state, "close");
		if (!vf_open(v, tap_arg(), 1))
			return;
		vf_expect_state(v, ST_RUNNING);
		vf_check_off(v);
		vf_check_usable(v);
		vf_close(v);
	}
}

const struct drv_test arcs_tests[] = {
	{ "states: data size", test_size, ON_BOTH },
	{ "states: reset in each state", test_reset, ON_BOTH },
	{ "states: reset through sysfs in each state", test_sysfs_reset, ON_BOTH },
	{ "states: close in each state", test_close, ON_BOTH },
};

const size_t nr_arcs_tests = ARRAY_SIZE(arcs_tests);
