// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file that a save is read from. What is in the stream does not matter here, only that it can
 * be read once, completely, and by nobody else's leave.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/sizes.h>
#include <linux/userfaultfd.h>
#include <linux/vfio.h>

#include "lib/harness.h"

#define SEED	20240229

FIXTURE(save) {
	struct mig m;
};

FIXTURE_SETUP(save)
{
	mig_setup(_metadata, &self->m);
}

FIXTURE_TEARDOWN(save)
{
	mig_teardown(_metadata, &self->m);
}

/* ---- the file ---- */

MIG_TEST(save, s32_file)
{
	char byte = 0;
	int fd;

	fd = ASSERT_OPEN(&self->m.dev, ST_STOP_COPY);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
	EXPECT_ERRNO(EBADF, write(fd, &byte, 1));
	close(fd);
}

MIG_TEST(save, s33_no_position)
{
	char byte;
	int fd;

	fd = ASSERT_OPEN(&self->m.dev, ST_STOP_COPY);
	EXPECT_ERRNO(ESPIPE, lseek(fd, 0, SEEK_SET));
	EXPECT_ERRNO(ESPIPE, lseek(fd, 0, SEEK_END));
	EXPECT_ERRNO(ESPIPE, pread(fd, &byte, 1, 0));
	EXPECT_ERRNO(ESPIPE, pread(fd, &byte, 1, 100));
	close(fd);
}

/* @step bytes at a time, or with 0 any number; there is room for @room and a byte behind. */
static void read_checked(struct __test_metadata *_metadata, int fd, struct stream *s, size_t step,
			 size_t room)
{
	u32 seed = SEED;
	size_t len;
	ssize_t n;

	s->data = malloc_assert(room + 1);
	s->size = 0;
	do {
		len = min_t(size_t, step ?: 1 + mig_rnd(&seed) % 9000, room - s->size);
		s->data[s->size + len] = 0xa5;
		n = read(fd, s->data + s->size, len);
		ASSERT_LE(0, n)
			TH_LOG("errno %d after %zu bytes", errno, s->size);
		ASSERT_GE(len, n);
		ASSERT_EQ(0xa5, s->data[s->size + len]);
		s->size += n;
	} while (n);
}

MIG_TEST(save, s34_any_read_size)
{
	const size_t page = getpagesize();
	const size_t steps[] = { 0, 1, 3, 15, 64, 409, page - 1, page, page + 1, SZ_1M };
	struct vdev *d = &self->m.dev;
	struct stream all, s;
	unsigned int i;
	int fd;

	mig_make_busy(_metadata, &self->m);
	ASSERT_EQ(0, mig_save(d, &all));
	EXPECT_LT(0, all.size);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		ASSERT_SET(d, ST_STOP);
		fd = ASSERT_OPEN(d, ST_STOP_COPY);
		read_checked(_metadata, fd, &s, steps[i] ? stream_step(&all, steps[i]) : 0,
			     all.size + 100);
		close(fd);
		EXPECT_TRUE(stream_same(&all, &s))
			TH_LOG("%zu bytes in steps of %zu, %zu at once", s.size, steps[i],
			       all.size);
		stream_free(&s);
	}
	stream_free(&all);
}

/* The end of the stream is 0, as often as one asks, and never ENOMSG. */
MIG_TEST(save, s35_s36_s37_end_of_stream)
{
	struct vdev *d = &self->m.dev;
	struct stream s;
	char buf[64];
	int fd, i;
	u64 bytes;

	mig_make_busy(_metadata, &self->m);
	ASSERT_SET(d, ST_STOP);
	ASSERT_EQ(0, vdev_mig_data_size(d, &bytes));
	fd = ASSERT_OPEN(d, ST_STOP_COPY);
	ASSERT_EQ(0, stream_read(fd, &s, 0));
	EXPECT_LT(0, s.size);
	EXPECT_GE(bytes, s.size);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(0, read(fd, buf, sizeof(buf)));
	/* another descriptor of the file is at its end as well */
	EXPECT_EQ(0, read(dup(fd), buf, sizeof(buf)));
	EXPECT_STATE(d, ST_STOP_COPY);
	close(fd);
	stream_free(&s);
}

/* Append what a read brings; it may fault. */
static void take(struct __test_metadata *_metadata, int fd, struct stream *s, void *buf,
		 size_t len, size_t good)
{
	ssize_t n = read(fd, buf, len);

	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		EXPECT_LT(good, len);
		return;
	}
	ASSERT_GE(good, n);
	memcpy(s->data + s->size, buf, n);
	s->size += n;
}

/* Reads that fault, in between good ones, lose nothing and repeat nothing. */
MIG_TEST(save, s38_read_faults)
{
	struct vdev *d = &self->m.dev;
	u8 *bad = mig_page_at_edge(_metadata) + getpagesize();
	struct stream all, s = { 0 };
	size_t step;
	void *buf;
	int fd;

	mig_make_busy(_metadata, &self->m);
	ASSERT_EQ(0, mig_save(d, &all));
	ASSERT_SET(d, ST_STOP);
	fd = ASSERT_OPEN(d, ST_STOP_COPY);
	step = stream_step(&all, 300);
	buf = malloc_assert(step);
	s.data = malloc_assert(all.size + 50 + step);
	while (s.size < all.size && __test_passed(_metadata)) {
		EXPECT_ERRNO(EFAULT, read(fd, bad, 100));
		/* the first 50 bytes may come, or some of them, or none */
		take(_metadata, fd, &s, bad - 50, 100, 50);
		take(_metadata, fd, &s, buf, step, step);
	}
	EXPECT_EQ(0, read(fd, buf, step));
	EXPECT_TRUE(stream_same(&all, &s))
		TH_LOG("%zu bytes, %zu without faults", s.size, all.size);
	close(fd);
	free(buf);
	stream_free(&s);
	stream_free(&all);
}

MIG_TEST(save, s39_read_of_nothing)
{
	struct vdev *d = &self->m.dev;
	struct stream all, s;
	char byte = 0x5a;
	int fd;

	mig_make_busy(_metadata, &self->m);
	ASSERT_EQ(0, mig_save(d, &all));
	ASSERT_SET(d, ST_STOP);
	fd = ASSERT_OPEN(d, ST_STOP_COPY);
	EXPECT_EQ(0, read(fd, &byte, 0));
	EXPECT_EQ(0, read(fd, NULL, 0));
	EXPECT_EQ(0x5a, byte);
	ASSERT_EQ(0, stream_read(fd, &s, 0));
	EXPECT_TRUE(stream_same(&all, &s));
	EXPECT_EQ(0, read(fd, &byte, 0));
	close(fd);
	stream_free(&s);
	stream_free(&all);
}

/* Files of sessions that were read to different points; the last is alive. */
#define NR_DEPTHS	3

static void open_files(struct __test_metadata *_metadata, struct vdev *d, int *fds)
{
	struct stream s;
	char buf[10];

	fds[0] = ASSERT_OPEN(d, ST_STOP_COPY);
	ASSERT_SET(d, ST_STOP);
	fds[1] = ASSERT_OPEN(d, ST_STOP_COPY);
	ASSERT_EQ(0, stream_read(fds[1], &s, 0));
	stream_free(&s);
	ASSERT_SET(d, ST_STOP);
	fds[2] = ASSERT_OPEN(d, ST_STOP_COPY);
	ASSERT_EQ(sizeof(buf), read(fds[2], buf, sizeof(buf)));
}

static void expect_dead(struct __test_metadata *_metadata, int *fds, int nr)
{
	ssize_t n;
	char byte;
	int i;

	for (i = 0; i < 2 * nr; i++) {
		n = read(fds[i % nr], &byte, 1);
		if (!n)
			continue;
		EXPECT_EQ(-1, n);
		EXPECT_EQ(ENODEV, errno)
			TH_LOG("file %d", i % nr);
	}
}

MIG_TEST(save, s40_file_after_the_session)
{
	struct vdev *d = &self->m.dev;
	int fds[NR_DEPTHS];

	open_files(_metadata, d, fds);
	expect_dead(_metadata, fds, NR_DEPTHS - 1);
	ASSERT_SET(d, ST_STOP);
	expect_dead(_metadata, fds, NR_DEPTHS);
	ASSERT_SET(d, ST_RUNNING);
	expect_dead(_metadata, fds, NR_DEPTHS);
	mig_expect_usable(_metadata, &self->m, d);
}

MIG_TEST(save, s41_file_after_a_reset)
{
	struct vdev *d = &self->m.dev;
	int fds[NR_DEPTHS];

	open_files(_metadata, d, fds);
	EXPECT_RESET(d);
	expect_dead(_metadata, fds, NR_DEPTHS);
	mig_expect_usable(_metadata, &self->m, d);
}

MIG_TEST(save, s41_file_after_close)
{
	struct vdev *d = &self->m.dev;
	int fds[NR_DEPTHS];

	open_files(_metadata, d, fds);
	vdev_close(d);
	expect_dead(_metadata, fds, NR_DEPTHS);
	vdev_open(d, mig_bdf);
	ASSERT_EQ(0, vdev_map(d, &self->m.arena));
	expect_dead(_metadata, fds, NR_DEPTHS);
	mig_expect_usable(_metadata, &self->m, d);
}

/* A file may be closed early or late, and the next session has another. */
MIG_TEST(save, s42_close_at_any_time)
{
	struct vdev *d = &self->m.dev;
	struct stream all, s;
	int fd, old, i;
	char buf[10];

	mig_make_busy(_metadata, &self->m);
	ASSERT_EQ(0, mig_save(d, &all));
	for (i = 0; i < 3; i++) {
		ASSERT_SET(d, ST_STOP);
		old = ASSERT_OPEN(d, ST_STOP_COPY);
		if (i)
			EXPECT_EQ(sizeof(buf), read(old, buf, sizeof(buf)));
		if (i < 2) {
			close(old);
			old = -1;
		}
		EXPECT_STATE(d, ST_STOP_COPY);
		ASSERT_SET(d, ST_STOP);
		fd = ASSERT_OPEN(d, ST_STOP_COPY);
		/* behind the back of the new session */
		if (old >= 0) {
			EXPECT_NE(old, fd);
			EXPECT_TRUE(mig_file_dead(old));
			close(old);
		}
		ASSERT_EQ(0, stream_read(fd, &s, 0));
		EXPECT_TRUE(stream_same(&all, &s));
		stream_free(&s);
		close(fd);
	}
	ASSERT_SET(d, ST_RUNNING);
	if (self->m.u)
		EXPECT_EQ(0, udrv_work(self->m.u, 1));
	stream_free(&all);
}

MIG_TEST(save, s43_same_bytes_again)
{
	struct vdev *d = &self->m.dev;
	struct stream all, s;
	int i;

	mig_make_busy(_metadata, &self->m);
	ASSERT_EQ(0, mig_save(d, &all));
	for (i = 0; i < 3; i++) {
		ASSERT_SET(d, ST_STOP);
		ASSERT_EQ(0, mig_save(d, &s));
		EXPECT_TRUE(stream_same(&all, &s));
		stream_free(&s);
	}
	stream_free(&all);
}

/* Leave free memory of the kernel, large and small pieces, filled with a byte. */
static void dirty_kernel_memory(struct __test_metadata *_metadata, u8 fill)
{
	static u8 buf[SZ_32K];
	int i, fds[2];
	size_t size;

	memset(buf, fill, sizeof(buf));
	for (i = 0; i < 64; i++) {
		/* in pages */
		ASSERT_EQ(0, pipe2(fds, O_NONBLOCK));
		while (write(fds[1], buf, sizeof(buf)) > 0)
			;
		close(fds[0]);
		close(fds[1]);
		/* in objects of each size */
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds));
		for (size = 16; size <= sizeof(buf); size *= 2)
			while (size <= sizeof(buf) && send(fds[0], buf, size, 0) < 0)
				size = sizeof(buf) + 1;
		close(fds[0]);
		close(fds[1]);
	}
}

/* One more save into memory of @fill: what was not read is as it was. */
static void save_into(struct __test_metadata *_metadata, struct vdev *d, struct stream *s,
		      size_t size, u8 fill)
{
	const size_t room = size + SZ_64K;
	ssize_t n;
	size_t i;
	int fd;

	s->data = malloc_assert(room);
	s->size = 0;
	memset(s->data, fill, room);
	ASSERT_SET(d, ST_STOP);
	fd = ASSERT_OPEN(d, ST_STOP_COPY);
	do {
		n = read(fd, s->data + s->size, room - s->size);
		ASSERT_LE(0, n);
		s->size += n;
		for (i = s->size; i < room && s->data[i] == fill; i++)
			;
		ASSERT_EQ(room, i)
			TH_LOG("byte %zu was written, %zu were read", i, s->size);
	} while (n);
	close(fd);
}

MIG_TEST(save, s44_nothing_of_the_kernel)
{
	static const u8 fills[] = { 0x00, 0xff, 0x5a };
	struct vdev *d = &self->m.dev;
	struct stream all, s;
	unsigned int i;

	mig_make_busy(_metadata, &self->m);
	ASSERT_EQ(0, mig_save(d, &all));
	for (i = 0; i < ARRAY_SIZE(fills); i++) {
		dirty_kernel_memory(_metadata, fills[i]);
		save_into(_metadata, d, &s, all.size, ~fills[i]);
		EXPECT_TRUE(stream_same(&all, &s))
			TH_LOG("memory of %#x", fills[i]);
		stream_free(&s);
	}
	stream_free(&all);
}

/* ---- the owner dies in the middle ---- */

struct stuck {
	int uffd;
	int tell;
};

/* Tell once that somebody waits for the page. */
static void *watch_stuck(void *arg)
{
	struct stuck *st = arg;
	struct pollfd p = { .fd = st->uffd, .events = POLLIN };

	if (poll(&p, 1, -1) == 1 && write(st->tell, "x", 1) == 1)
		pause();
	return NULL;
}

/* A page that whoever touches it waits for, and nobody brings; NULL: no userfaultfd. */
static void *stuck_page(struct __test_metadata *_metadata, struct stuck *st)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	size_t page = getpagesize();
	pthread_t thread;
	void *p;

	st->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (st->uffd < 0)
		return NULL;
	ASSERT_EQ(0, ioctl(st->uffd, UFFDIO_API, &api));
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	reg.range.start = (uintptr_t)p;
	reg.range.len = page;
	ASSERT_EQ(0, ioctl(st->uffd, UFFDIO_REGISTER, &reg));
	ASSERT_EQ(0, pthread_create(&thread, NULL, watch_stuck, st));
	return p;
}

/* Own the device, get through @depth bytes, and be stuck in the next transfer. */
static void stuck_owner(struct __test_metadata *_metadata, struct mig *m, u32 state, size_t depth,
			int tell)
{
	struct stuck st = { .tell = tell };
	void *page = stuck_page(_metadata, &st), *buf = malloc_assert(depth + 1);
	ssize_t n;
	int fd;

	vdev_open(&m->dev, mig_bdf);
	ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
	fd = ASSERT_OPEN(&m->dev, state);
	if (state == ST_RESUMING) {
		ASSERT_EQ(depth, write(fd, m->fresh.data, depth));
		n = write(fd, page, 64);
	} else {
		ASSERT_EQ(depth, read(fd, buf, depth));
		n = read(fd, page, 64);
	}
	TH_LOG("it went on with %zd", n);
}

static void kill_stuck(struct __test_metadata *_metadata, struct mig *m, u32 state, size_t depth)
{
	int status, fds[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		stuck_owner(_metadata, m, state, depth, fds[1]);
		_exit(KSFT_FAIL);
	}
	close(fds[1]);
	ASSERT_EQ(1, read(fds[0], &byte, 1))
		TH_LOG("%s with %zu bytes did not get stuck", mig_state_name(state), depth);
	close(fds[0]);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));

	vdev_open(&m->dev, mig_bdf);
	ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
	EXPECT_STATE(&m->dev, ST_RUNNING);
	mig_expect_fresh(_metadata, m);
	mig_end_user(_metadata, m);
	vdev_close(&m->dev);
}

MIG_TEST(save, s45_killed_in_a_transfer)
{
	struct mig *m = &self->m;
	unsigned int i;
	int uffd;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		SKIP(return, "kernel without userfaultfd");
	close(uffd);
	mig_make_busy(_metadata, m);
	mig_end_user(_metadata, m);
	ASSERT_EQ(0, mig_save_fresh(&m->dev, &m->fresh));
	vdev_close(&m->dev);
	for (i = 0; i < 3 && __test_passed(_metadata); i++) {
		kill_stuck(_metadata, m, ST_STOP_COPY, i * (m->fresh.size - 1) / 2);
		kill_stuck(_metadata, m, ST_RESUMING, i * (m->fresh.size - 1) / 2);
	}
}

/* ---- the file in other hands ---- */

static void send_file(struct __test_metadata *_metadata, int sock, int fd)
{
	char ctl[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	ASSERT_EQ(1, sendmsg(sock, &msg, 0));
}

static int receive_file(struct __test_metadata *_metadata, int sock)
{
	char ctl[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl),
	};
	int fd;

	ASSERT_EQ(1, recvmsg(sock, &msg, 0));
	ASSERT_NE(NULL, CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

#define HEIR_AT	10

/* It has the file and nothing else of the device, which goes before all is read. */
static void heir(struct __test_metadata *_metadata, struct mig *m, const struct stream *all,
		 int sock)
{
	char buf[HEIR_AT], byte = 0;
	int fd[2], i;

	vdev_close(&m->dev);
	for (i = 0; i < 2; i++)
		fd[i] = receive_file(_metadata, sock);
	EXPECT_EQ(HEIR_AT, read(fd[0], buf, HEIR_AT));
	EXPECT_EQ(0, memcmp(buf, all->data + HEIR_AT, HEIR_AT));
	EXPECT_EQ(1, write(sock, &byte, 1));
	/* it is gone */
	EXPECT_EQ(1, read(sock, &byte, 1));
	expect_dead(_metadata, fd, 2);
	close(fd[0]);
	EXPECT_EQ(1, write(sock, &byte, 1));
	/* another has opened it */
	EXPECT_EQ(1, read(sock, &byte, 1));
	expect_dead(_metadata, fd + 1, 1);
	_exit(0);
}

/* Let the other process go on, and wait until it has done its part. */
static void next_turn(struct __test_metadata *_metadata, int sock)
{
	char byte = 0;

	ASSERT_EQ(1, write(sock, &byte, 1));
	ASSERT_EQ(1, read(sock, &byte, 1));
}

MIG_TEST(save, s46_file_of_another_process)
{
	struct mig *m = &self->m;
	int old, fd, socks[2];
	char buf[HEIR_AT];
	struct stream all;
	pid_t pid;

	ASSERT_EQ(0, mig_save(&m->dev, &all));
	ASSERT_SET(&m->dev, ST_STOP);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(socks[0]);
		heir(_metadata, m, &all, socks[1]);
	}
	close(socks[1]);
	old = ASSERT_OPEN(&m->dev, ST_STOP_COPY);
	ASSERT_SET(&m->dev, ST_STOP);
	fd = ASSERT_OPEN(&m->dev, ST_STOP_COPY);
	ASSERT_EQ(sizeof(buf), read(fd, buf, sizeof(buf)));
	send_file(_metadata, socks[0], fd);
	send_file(_metadata, socks[0], old);
	close(fd);
	close(old);
	ASSERT_EQ(1, read(socks[0], buf, 1));
	vdev_close(&m->dev);
	next_turn(_metadata, socks[0]);
	vdev_open(&m->dev, mig_bdf);
	ASSERT_EQ(0, vdev_map(&m->dev, &m->arena));
	ASSERT_EQ(1, write(socks[0], buf, 1));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	mig_expect_usable(_metadata, m, &m->dev);
	stream_free(&all);
}

/* ---- how it waits ---- */

/* Whether pre-copy data could be asked for; not in STOP_COPY, whatever the device offers. */
MIG_TEST(save, s50_no_precopy_info_when_stopped)
{
	struct vfio_precopy_info info = { 0 };
	struct vdev *d = &self->m.dev;
	int fd, err;

	ASSERT_SET(d, ST_STOP);
	fd = ASSERT_OPEN(d, ST_STOP_COPY);
	err = mig_precopy_info(fd, &info);
	if (err != -ENOTTY || self->m.flags & VFIO_MIGRATION_PRE_COPY)
		EXPECT_EQ(-EINVAL, err);
	close(fd);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1 && p.revents & POLLIN;
}

/* Readable as long as there is data, and at the end for ever. */
MIG_TEST(save, s56_poll_when_stopped)
{
	struct vdev *d = &self->m.dev;
	char buf[1000];
	ssize_t n;
	int fd;

	mig_make_busy(_metadata, &self->m);
	fd = ASSERT_OPEN(d, ST_STOP_COPY);
	do {
		ASSERT_TRUE(readable(fd, STREAM_TIMEOUT_MS));
		n = read(fd, buf, sizeof(buf));
		ASSERT_LE(0, n);
	} while (n);
	EXPECT_TRUE(readable(fd, 0));
	EXPECT_TRUE(readable(fd, 0));
	close(fd);
}

/* Reads that must not wait give the same, between EAGAINs if there are any. */
MIG_TEST(save, s57_nonblocking_reads)
{
	struct vdev *d = &self->m.dev;
	struct stream all, s = { 0 };
	ssize_t n;
	int fd;

	mig_make_busy(_metadata, &self->m);
	ASSERT_EQ(0, mig_save(d, &all));
	ASSERT_SET(d, ST_STOP);
	fd = ASSERT_OPEN(d, ST_STOP_COPY);
	fcntl_set_nonblock(fd);
	s.data = malloc_assert(all.size + 1000);
	do {
		n = read(fd, s.data + s.size, 1000);
		if (n < 0) {
			ASSERT_EQ(EAGAIN, errno);
			ASSERT_TRUE(readable(fd, STREAM_TIMEOUT_MS));
			continue;
		}
		s.size += n;
		ASSERT_GE(all.size, s.size);
	} while (n);
	EXPECT_TRUE(stream_same(&all, &s));
	close(fd);
	stream_free(&s);
	stream_free(&all);
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
