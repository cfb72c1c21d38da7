// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine: features, arcs, what is refused, resets and closes in every state.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

/* What RESUMING needs to be left for STOP */
static struct stream firmware;

/* From RUNNING; a file stays open in @fd. RESUMING is complete, so that it can be left. */
static bool reach(struct vf *v, u32 state, int *fd)
{
	*fd = -1;
	if (state == ST_RUNNING)
		return vf_expect_state(v, ST_RUNNING);
	if (state != ST_STOP_COPY && state != ST_RESUMING)
		return go(v, state);
	*fd = go_fd(v, state);
	if (*fd < 0)
		return false;
	return state == ST_STOP_COPY ||
	       EXPECT_EQ(stream_write(*fd, &firmware, 0), 0, "write the stream");
}

static void done(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool start(struct vf *v)
{
	return firmware_stream(tap_arg(), &firmware) && vf_open(v, tap_arg(), 1);
}

static void end(void)
{
	stream_free(&firmware);
}

/* ---- features ---- */

static void test_flags(void)
{
	u64 flags = 0;

	if (!vf_open(&vf_a, tap_arg(), 1))
		return;
	EXPECT_EQ(vdev_mig_flags(&vf_a.dev, &flags), 0, "GET MIGRATION");
	EXPECT_EQ(flags, VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P, "flags");
}

static int raw_feature(struct vf *v, u32 argsz, u32 flags, u64 payload)
{
	struct {
		u32 argsz;
		u32 flags;
		u64 payload;
	} arg = { argsz, flags, payload };

	return ioctl(v->dev.fd, VFIO_DEVICE_FEATURE, &arg) < 0 ? -errno : 0;
}

static void test_features(void)
{
	struct vf *v = &vf_a;

	if (!vf_open(v, tap_arg(), 1))
		return;
	EXPECT_EQ(raw_feature(v, 8, F_PROBE | F_GET | F_MIGRATION, 0), 0, "probe MIGRATION");
	EXPECT_EQ(raw_feature(v, 16, F_SET | F_MIGRATION, 0), -EINVAL, "SET MIGRATION");
	EXPECT_EQ(raw_feature(v, 8, F_PROBE | F_GET | F_STATE, 0), 0, "probe GET");
	EXPECT_EQ(raw_feature(v, 8, F_PROBE | F_SET | F_STATE, 0), 0, "probe SET");
	EXPECT_EQ(raw_feature(v, 8, F_PROBE | F_GET | F_SET | F_STATE, 0), 0, "probe both");
	EXPECT_EQ(raw_feature(v, 16, F_GET | F_SET | F_STATE, ST_STOP), -EINVAL, "GET and SET");
	EXPECT_EQ(raw_feature(v, 16, 1 << 20 | F_GET | F_STATE, 0), -EINVAL, "unknown flag");
	EXPECT_EQ(raw_feature(v, 4, F_GET | F_STATE, 0), -EINVAL, "argsz without flags");
	EXPECT_EQ(raw_feature(v, 12, F_SET | F_STATE, ST_STOP), -EINVAL, "argsz too small");
	EXPECT_EQ(raw_feature(v, 8, F_PROBE | F_GET | F_SIZE, 0), 0, "probe DATA_SIZE");
	EXPECT_EQ(raw_feature(v, 16, F_SET | F_SIZE, 1), -EINVAL, "SET DATA_SIZE");
	EXPECT_EQ(ioctl(v->dev.fd, VFIO_DEVICE_FEATURE, 8), -1, "bad pointer");
	EXPECT_EQ(errno, EFAULT, "bad pointer");
	vf_expect_state(v, ST_RUNNING);
}

static void test_get(void)
{
	struct vfio_device_feature_mig_state mig;
	struct vf *v = &vf_a;
	int i, fd;

	if (!start(v))
		return;
	for (i = 0; i < NR_STATES && reach(v, all_states[i], &fd); i++) {
		mig.data_fd = 77;
		EXPECT_EQ(vdev_feature(&v->dev, F_GET | F_STATE, &mig, sizeof(mig)), 0, "GET");
		EXPECT_EQ(mig.device_state, all_states[i], "state");
		EXPECT_EQ(mig.data_fd, -1, "data_fd");
		done(&fd);
		if (!vf_reset(v))
			break;
	}
	end();
}

/* ---- arcs ---- */

/* One arc, maybe a combined one, and a reset to begin again. */
static bool check_arc(struct vf *v, u32 from, u32 to)
{
	bool file = from != to && (to == ST_STOP_COPY || to == ST_RESUMING);
	int old, fd = -1;

	if (!reach(v, from, &old))
		return false;
	EXPECT_EQ(vdev_mig_set_state(&v->dev, to, &fd), 0, "%s -> %s", mig_state_name(from),
		  mig_state_name(to));
	vf_expect_state(v, to);
	EXPECT((fd >= 0) == file, "%s -> %s: data_fd is %d", mig_state_name(from),
	       mig_state_name(to), fd);
	done(&fd);
	done(&old);
	return vf_reset(v);
}

static void test_arcs(void)
{
	struct vf *v = &vf_a;
	int i, j;

	if (!start(v))
		return;
	for (i = 0; i < NR_STATES; i++)
		for (j = 0; j < NR_STATES; j++)
			if (!check_arc(v, all_states[i], all_states[j]))
				break;
	vf_check_usable(v);
	end();
}

/* The arcs that do not load, on a controller that is enabled, with I/O after each way back. */
static void test_arcs_io(void)
{
	static const u32 ways[][3] = {
		{ ST_RUNNING }, { ST_P2P }, { ST_STOP }, { ST_STOP_COPY }, { ST_P2P, ST_STOP },
		{ ST_P2P, ST_STOP_COPY }, { ST_STOP, ST_P2P }, { ST_STOP, ST_STOP_COPY },
		{ ST_STOP_COPY, ST_STOP }, { ST_STOP_COPY, ST_P2P }, { ST_P2P, ST_STOP, ST_P2P },
		{ ST_STOP_COPY, ST_STOP, ST_STOP_COPY },
	};
	static const struct unvme_opts opts = { .queues = 2, .irq = true };
	struct vf *v = &vf_a;
	unsigned int i, j;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts))
		return;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		for (j = 0; j < 3 && ways[i][j]; j++)
			go(v, ways[i][j]);
		if (!go(v, ST_RUNNING))
			return;
		EXPECT_EQ(unvme_rw(&v->u, 1, true, i, 1), 0, "write, way %u", i);
		EXPECT_EQ(unvme_rw(&v->u, 2, false, i, 1), 0, "read, way %u", i);
		EXPECT_EQ(unvme_identify(&v->u, 1, 0, 0), 0, "admin command, way %u", i);
	}
	unvme_check_idle(&v->u, 0);
}

static void test_refused_arcs(void)
{
	static const u32 bad[] = { ST_PRE_COPY, ST_PRE_COPY_P2P, 8, 0x7fffffff, 0xffffffff,
				   ST_ERROR };
	struct vf *v = &vf_a;
	struct stream s;
	unsigned int j;
	int i, fd;

	if (!start(v))
		return;
	for (i = 0; i < NR_STATES && reach(v, all_states[i], &fd); i++) {
		for (j = 0; j < ARRAY_SIZE(bad); j++)
			refuse_set(v, bad[j], EINVAL);
		if (all_states[i] == ST_STOP_COPY) {
			EXPECT_EQ(stream_read(fd, &s, 0), 0, "read after a refusal");
			EXPECT_EQ(s.size, firmware.size, "bytes after a refusal");
			stream_free(&s);
		}
		done(&fd);
		EXPECT(go(v, ST_RUNNING), "leave %s after a refusal",
		       mig_state_name(all_states[i]));
		if (!vf_reset(v))
			break;
	}
	end();
}

/* An invalid request leaves work in flight alone. */
static void test_refused_io(void)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };
	struct vf *v = &vf_a;
	int i;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts))
		return;
	load = (struct unvme_load){
		.u = &v->u, .units = 32, .unit_blocks = 8, .qd = 4, .seed = 9, .admin = true,
	};
	if (!EXPECT_EQ(load_init(&load), 0, "load") || !EXPECT_EQ(load_start(&load), 0, "thread"))
		return;
	for (i = 0; i < 20; i++) {
		refuse_set(v, ST_PRE_COPY, EINVAL);
		refuse_set(v, 99, EINVAL);
		refuse_set(v, ST_ERROR, EINVAL);
		EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_RUNNING, NULL), 0, "RUNNING -> RUNNING");
	}
	EXPECT_EQ(load_wait_ops(&load, 20), 0, "load goes on");
	EXPECT_EQ(load_end(&load), 0, "end");
	EXPECT_EQ(load_verify(&load), 0, "verify");
	unvme_check_idle(&v->u, 0);
}

struct racer {
	struct vf *v;
	u32 state;
	int errors;
	int first;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	int i, err;

	for (i = 0; i < 100; i++) {
		err = vdev_mig_set_state(&r->v->dev, r->state, NULL);
		if (err && !r->errors++)
			r->first = err;
	}
	return NULL;
}

/* Two threads ask for different states: each request succeeds, the last one wins. */
static void test_race(void)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };
	struct racer r[2] = { { &vf_a, ST_STOP }, { &vf_a, ST_RUNNING } };
	struct vf *v = &vf_a;
	pthread_t t[2];
	u32 state;
	int i;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts))
		return;
	for (i = 0; i < 2; i++)
		EXPECT_EQ(pthread_create(&t[i], NULL, race, &r[i]), 0, "thread");
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(r[i].errors, 0, "SET %s: %s", mig_state_name(r[i].state),
			  strerror(-r[i].first));
	state = vf_state(v);
	EXPECT(state == ST_STOP || state == ST_RUNNING, "state %s", mig_state_name(state));
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
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

/* The next owner after one that died with everything open. */
static void test_killed(void)
{
	struct vf *v = &vf_a;
	int fd[2], go_on;
	pid_t pid;

	if (!load_module() || pipe(fd))
		return;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		if (vf_open(v, tap_arg(), 1) && reach_enabled(v, ST_STOP_COPY, &go_on) &&
		    write(fd[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(fd[1]);
	EXPECT_EQ(read(fd[0], &go_on, 1), 1, "the first owner did not get far");
	close(fd[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!vf_open(v, tap_arg(), 1))
		return;
	vf_expect_state(v, ST_RUNNING);
	vf_check_off(v);
	vf_check_usable(v);
}

const struct drv_test arcs_tests[] = {
	{ "states: flags are STOP_COPY and P2P", test_flags, ON_BOTH },
	{ "states: feature ioctl", test_features, ON_BOTH },
	{ "states: GET in each state", test_get, ON_BOTH },
	{ "states: every arc, combined ones included", test_arcs, ON_BOTH },
	{ "states: I/O after every way back", test_arcs_io, ON_BOTH },
	{ "states: what is refused in each state", test_refused_arcs, ON_BOTH },
	{ "states: refusals leave I/O alone", test_refused_io, ON_TP },
	{ "states: two threads", test_race, ON_BOTH },
	{ "states: data size", test_size, ON_BOTH },
	{ "states: reset in each state", test_reset, ON_BOTH },
	{ "states: reset through sysfs in each state", test_sysfs_reset, ON_BOTH },
	{ "states: close in each state", test_close, ON_BOTH },
	{ "states: owner killed", test_killed, ON_BOTH },
};

const size_t nr_arcs_tests = ARRAY_SIZE(arcs_tests);
