// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of the user data that a VF changes, as user space reads it: arguments, entries of real
 * writes, the ends of a log, and what becomes of it if the PF or the VFs go away.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../nvme_lm_log.h"
#include "driver.h"
#include "trap.h"

/* No controller of the machine has this id */
#define NO_CNTLID	0xfff0

#define ENTRY_SIZE	32

/* Set Features and Get Features of a queue, Create and Delete, start and stop */
#define FEATURE		.dw10 = 0x21, .dw10_mask = 0xff
#define CREATE		{ .opcode = LM_OP_CDQ, .dw10 = 0, .dw10_mask = 0xff }
#define DELETE		{ .opcode = LM_OP_CDQ, .dw10 = 1, .dw10_mask = 0xff }
#define SET_HEAD	{ .opcode = NVME_ADM_SET_FEATURES, FEATURE }
#define START		{ .opcode = LM_OP_TRACK_SEND, .dw10 = 0x10000, .dw10_mask = 0x100ff }
#define STOP		{ .opcode = LM_OP_TRACK_SEND, .dw10 = 0, .dw10_mask = 0x100ff }

static const struct unvme_opts opts = { .queues = 1, .irq = true };

/* ---- one file ---- */

static const char *log_path(int pf)
{
	static char path[64];

	snprintf(path, sizeof(path), "/dev/nvme-lm/%s", pf_bdf(pf));
	return path;
}

int user_log_open(int pf, int flags)
{
	int fd = open(log_path(pf), O_RDWR | O_CLOEXEC | flags);

	if (fd < 0 && errno == ENOENT)
		tap_skip("device that does not log user data");
	else
		EXPECT(fd >= 0, "%s: %s", log_path(pf), strerror(errno));
	return fd;
}

static int start(int fd, struct nvme_lm_log_start *arg)
{
	return ioctl(fd, NVME_LM_LOG_START, arg) ? -errno : 0;
}

int user_log_start(int fd, u16 cntlid, u32 entries)
{
	struct nvme_lm_log_start arg = {
		.argsz = sizeof(arg), .entries = entries, .cntlid = cntlid,
	};
	int err = start(fd, &arg);

	if (!err && entries)
		EXPECT_EQ(arg.entries, entries, "entries");
	if (!err && !entries)
		EXPECT(arg.entries >= 256, "%u entries by default", arg.entries);
	return err;
}

int user_log_stop(int fd)
{
	return ioctl(fd, NVME_LM_LOG_STOP) ? -errno : 0;
}

/* Number of entries or -errno */
static int take(int fd, struct nvme_lm_log_entry *e, unsigned int max)
{
	ssize_t n = read(fd, e, max * sizeof(*e));

	if (n < 0)
		return -errno;
	EXPECT_EQ(n % ENTRY_SIZE, 0, "part of an entry");
	return n / ENTRY_SIZE;
}

static u8 esa(const struct nvme_lm_log_entry *e)
{
	return e->attr & NVME_LM_LOG_ESA_MASK;
}

static int poll_fd(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1 ? p.revents : 0;
}

/* ---- a VF with a log ---- */

static u16 cntlid_of(struct vf *v)
{
	return lm_cntlid(pf_get(v->pf_nr), v->vfn);
}

/* Bound, running a guest's driver. */
static bool guest_up(struct vf *v, unsigned int vfn)
{
	return vf_open(v, tap_arg(), vfn) && vf_up(v, &opts);
}

/* The first VF with a guest and a log; -1 if not. */
static int begin(u32 entries)
{
	struct vf *v = &vf_a;
	int fd;

	if (!pf_get(tap_arg()) || !fault_clear(tap_arg()) || !guest_up(v, 1))
		return -1;
	fd = user_log_open(tap_arg(), 0);
	if (fd >= 0 && !EXPECT_EQ(user_log_start(fd, cntlid_of(v), entries), 0, "START"))
		return close(fd), -1;
	return fd;
}

static bool write_blocks(struct vf *v, u64 lba, u32 blocks)
{
	return EXPECT_EQ(unvme_rw(&v->u, 1, true, lba, blocks), 0, "write %llu",
			 (unsigned long long)lba);
}

/* Which blocks the entries of a log name */
#define NR_BLOCKS	4096

struct seen {
	bool block[NR_BLOCKS];
	unsigned int entries;
	unsigned int first;
	u8 end;			/* the last marker that is not FIRST */
	bool suspended;
};

static void see(struct seen *seen, const struct vf *v, const struct nvme_lm_log_entry *e)
{
	u64 lba;

	seen->entries++;
	seen->first += esa(e) == NVME_LM_LOG_ESA_FIRST;
	if (esa(e) > NVME_LM_LOG_ESA_FIRST)
		seen->end = esa(e);
	seen->suspended |= esa(e) == NVME_LM_LOG_ESA_SUSPENDED;
	switch (e->attr & NVME_LM_LOG_LBACIR_MASK) {
	case NVME_LM_LOG_LBACIR_RANGE:
		EXPECT_EQ(e->nsid, v->u.nsid, "namespace");
		for (lba = e->slba; lba <= e->slba + e->nlb && lba < NR_BLOCKS; lba++)
			seen->block[lba] = true;
		break;
	case NVME_LM_LOG_LBACIR_NAMESPACE:
		EXPECT_EQ(e->nsid, v->u.nsid, "namespace");
		memset(seen->block, true, sizeof(seen->block));
		break;
	}
}

/* Read until this block or this marker is in the log: each read waits for what must come. */
static bool read_until(int fd, struct seen *seen, const struct vf *v, int lba, u8 end)
{
	struct nvme_lm_log_entry e[64];
	int n, i;

	while (lba < 0 ? seen->end != end : !seen->block[lba]) {
		if (!EXPECT(poll_fd(fd, UNVME_TIMEOUT_MS) & POLLIN, "no entry for block %d", lba))
			return false;
		n = take(fd, e, ARRAY_SIZE(e));
		if (!EXPECT(n > 0, "read: %d, before block %d", n, lba))
			return false;
		for (i = 0; i < n; i++)
			see(seen, v, &e[i]);
	}
	return true;
}

/* ---- arguments ---- */

struct bad {
	const char *what;
	struct nvme_lm_log_start arg;
	int err;
};

static void check_bad(int fd, u16 cntlid)
{
	const struct bad bad[] = {
		{ "argsz", { .argsz = 15, .cntlid = cntlid }, EINVAL },
		{ "flags", { .argsz = 16, .flags = 1, .cntlid = cntlid }, EINVAL },
		{ "rsvd", { .argsz = 16, .rsvd = 1, .cntlid = cntlid }, EINVAL },
		{ "one entry", { .argsz = 16, .entries = 1, .cntlid = cntlid }, EINVAL },
		{ "too many", { .argsz = 16, .entries = (1 << 20) + 1, .cntlid = cntlid }, EINVAL },
		{ "no controller", { .argsz = 16, .entries = 64, .cntlid = NO_CNTLID }, ENODEV },
	};
	struct nvme_lm_log_start arg;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		arg = bad[i].arg;
		EXPECT_EQ(start(fd, &arg), -bad[i].err, "START: %s", bad[i].what);
	}
}

static void test_arguments(void)
{
	struct nvme_lm_log_entry e[2];
	struct vf *v = &vf_a;
	int fd;

	if (!vf_open(v, tap_arg(), 1))
		return;
	fd = user_log_open(tap_arg(), 0);
	if (fd < 0)
		return;
	check_bad(fd, cntlid_of(v));
	EXPECT_EQ(ioctl(fd, _IO('N', 0xaf)) ? errno : 0, ENOTTY, "ioctl");
	EXPECT_EQ(ioctl(fd, NVME_LM_LOG_START, NULL) ? errno : 0, EFAULT, "START of nothing");
	EXPECT_EQ(take(fd, e, 2), -EINVAL, "read without a log");
	EXPECT(poll_fd(fd, 0) & POLLIN, "poll without a log");
	EXPECT_EQ(user_log_stop(fd), -EINVAL, "STOP without a log");
	EXPECT(lseek(fd, 0, SEEK_SET) < 0 && errno == ESPIPE, "seek");
	EXPECT(write(fd, e, sizeof(e)) < 0 && errno == EINVAL, "write");

	if (EXPECT_EQ(user_log_start(fd, cntlid_of(v), 0), 0, "START after errors")) {
		EXPECT(read(fd, e, ENTRY_SIZE - 1) < 0 && errno == EINVAL, "a small buffer");
		EXPECT_EQ(read(fd, e, 0) < 0 ? errno : 0, EINVAL, "no buffer");
		EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), -EBUSY, "START again");
	}
	close(fd);
}

/* A log of another file, of another VF, and no queue left */
static void test_busy(void)
{
	int fds[32], n, err = 0;
	struct vf *v = &vf_a, *w = &vf_b;

	fds[0] = begin(64);
	if (fds[0] < 0 || !vf_open(w, tap_arg(), 2))
		return;
	fds[1] = user_log_open(tap_arg(), 0);
	EXPECT_EQ(user_log_start(fds[1], cntlid_of(v), 64), -EBUSY, "the same controller");
	EXPECT_EQ(user_log_start(fds[1], cntlid_of(w), 64), 0, "another controller");
	close(fds[0]);
	fds[0] = user_log_open(tap_arg(), 0);
	EXPECT_EQ(user_log_start(fds[0], cntlid_of(v), 64), 0, "after a close");
	for (n = 2; n < 32 && !err; n++) {
		int id = lm_cntlid(pf_get(tap_arg()), n + 1);

		fds[n] = user_log_open(tap_arg(), 0);
		err = id < 0 ? -ENODEV : user_log_start(fds[n], id, 64);
	}
	EXPECT(err == -ENODEV || err == -ENOSPC, "the last START: %d", err);
	while (n--)
		close(fds[n]);
}

static bool drop_sys_admin(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d))
		return false;
	d[0].effective &= ~(1u << CAP_SYS_ADMIN);
	return !syscall(SYS_capset, &h, d);
}

static void test_privilege(void)
{
	int fd, status;
	pid_t pid;

	if (!vf_open(&vf_a, tap_arg(), 1))
		return;
	fd = user_log_open(tap_arg(), 0);
	if (fd < 0)
		return;
	close(fd);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (!drop_sys_admin())
			_exit(99);
		_exit(open(log_path(tap_arg()), O_RDWR) < 0 ? errno : 0);
	}
	EXPECT_EQ(waitpid(pid, &status, 0), pid, "child");
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == EPERM, "status %#x", status);
}

/* ---- entries ---- */

static void test_changes(void)
{
	static struct seen seen;
	struct vf *v = &vf_a;
	int fd = begin(0);
	unsigned int i;

	if (fd < 0)
		return;
	memset(&seen, 0, sizeof(seen));
	srand(1);
	for (i = 0; i < 200; i++) {
		u32 blocks = 1 + rand() % 8;
		u64 lba = rand() % (NR_BLOCKS - 8);
		u64 last = lba + blocks - 1;

		if (!write_blocks(v, lba, blocks) || !read_until(fd, &seen, v, lba, 0) ||
		    !read_until(fd, &seen, v, last, 0))
			break;
		memset(seen.block, 0, sizeof(seen.block));
	}
	EXPECT_EQ(seen.first, 1, "entries that are the first");
	tap_note("tried: %u writes of a VF, each of them in its log", i);
	close(fd);
}

/* What is read is not logged */
static void test_reads(void)
{
	struct nvme_lm_log_entry e[8];
	struct vf *v = &vf_a;
	int fd = begin(16), n, i;

	if (fd < 0)
		return;
	for (i = 0; i < 50; i++)
		EXPECT_EQ(unvme_rw(&v->u, 1, false, i, 1), 0, "read");
	EXPECT_EQ(user_log_stop(fd), 0, "STOP");
	n = take(fd, e, ARRAY_SIZE(e));
	EXPECT(n >= 1 && n <= 2, "%d entries", n);
	for (i = 0; i < n; i++)
		EXPECT_EQ(e[i].attr & NVME_LM_LOG_LBACIR_MASK, NVME_LM_LOG_LBACIR_NONE, "entry %d",
			  i);
	close(fd);
}

/* A queue of a few slots, filled and emptied until both phases were there often. */
static void test_wraps(void)
{
	static struct seen seen;
	struct vf *v = &vf_a;
	u32 sizes[] = { 3, 4, 7, 16 };
	unsigned int i, k;
	int fd;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		fd = begin(sizes[k]);
		if (fd < 0)
			return;
		memset(&seen, 0, sizeof(seen));
		for (i = 0; i < 100; i++)
			if (!write_blocks(v, i, 1) || !read_until(fd, &seen, v, i, 0))
				break;
		EXPECT_EQ(i, 100, "writes");
		EXPECT_EQ(seen.end, 0, "the log ended");
		close(fd);
		vf_close(v);
	}
}

/* Nobody reads: the device stops, says so, and the log ends. */
static void test_full(void)
{
	static struct seen seen;
	struct nvme_lm_log_entry e[64];
	struct vf *v = &vf_a;
	int fd = begin(4), i, n;

	if (fd < 0)
		return;
	for (i = 0; i < 20; i++)
		write_blocks(v, 10 * i, 1);
	memset(&seen, 0, sizeof(seen));
	if (read_until(fd, &seen, v, -1, NVME_LM_LOG_ESA_FULL)) {
		EXPECT(seen.entries <= 4, "%u entries", seen.entries);
		EXPECT(poll_fd(fd, 0) & POLLHUP, "poll");
		for (i = 0; i < 3; i++)
			EXPECT_EQ(take(fd, e, 64), 0, "read after the last entry");
		EXPECT_EQ(user_log_stop(fd), 0, "STOP after the end");
	}
	close(fd);
	fd = user_log_open(tap_arg(), 0);
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), 0, "START of a new log");
	memset(&seen, 0, sizeof(seen));
	write_blocks(v, 1, 1);
	read_until(fd, &seen, v, 1, 0);
	n = seen.entries;
	EXPECT(n >= 1, "%d entries", n);
	close(fd);
}

static void test_stop(void)
{
	static struct seen seen;
	struct nvme_lm_log_entry e;
	struct vf *v = &vf_a;
	int fd = begin(64);

	if (fd < 0)
		return;
	write_blocks(v, 3, 1);
	EXPECT_EQ(user_log_stop(fd), 0, "STOP");
	write_blocks(v, 100, 1);
	EXPECT_EQ(user_log_stop(fd), 0, "STOP again");
	memset(&seen, 0, sizeof(seen));
	if (read_until(fd, &seen, v, -1, NVME_LM_LOG_ESA_STOPPED)) {
		EXPECT(seen.block[3], "a write before STOP");
		EXPECT(!seen.block[100], "a write after STOP");
		EXPECT_EQ(take(fd, &e, 1), 0, "read after the last entry");
	}
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), -EBUSY, "START of a second log");
	close(fd);
}

/* One entry at a time, and into memory that is not there: nothing is lost. */
static void test_pieces(void)
{
	struct nvme_lm_log_entry e;
	struct vf *v = &vf_a;
	int fd = begin(64), i, n;
	bool seen[10] = { false };
	void *bad;

	if (fd < 0)
		return;
	for (i = 0; i < 10; i++)
		write_blocks(v, i, 1);
	EXPECT_EQ(user_log_stop(fd), 0, "STOP");
	bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	do {
		EXPECT(read(fd, bad, 4096) < 0 && errno == EFAULT, "read into nothing");
		n = take(fd, &e, 1);
		if (n == 1 && (e.attr & NVME_LM_LOG_LBACIR_MASK) == NVME_LM_LOG_LBACIR_RANGE)
			for (i = e.slba; i <= (int)(e.slba + e.nlb) && i < 10; i++)
				seen[i] = true;
	} while (n == 1 && esa(&e) != NVME_LM_LOG_ESA_STOPPED);
	EXPECT_EQ(n, 1, "read");
	for (i = 0; i < 10; i++)
		EXPECT(seen[i], "block %d", i);
	EXPECT_EQ(take(fd, &e, 1), 0, "read after the last entry");
	munmap(bad, 4096);
	close(fd);
}

/* ---- waiting ---- */

struct reader {
	int fd;
	pthread_t thread;
	pid_t tid;
	struct nvme_lm_log_entry e[64];
	unsigned int entries;
	void *to;		/* for read_into() */
	int n;			/* of the last read */
	bool until_end;
};

static void *reader_thread(void *arg)
{
	struct reader *r = arg;

	__atomic_store_n(&r->tid, gettid(), __ATOMIC_RELEASE);
	do {
		r->n = take(r->fd, r->e, r->until_end ? 1 : ARRAY_SIZE(r->e));
		r->entries += r->n > 0 ? r->n : 0;
	} while (r->until_end && r->n > 0);
	return NULL;
}

static void reader_start(struct reader *r, int fd, bool until_end)
{
	memset(r, 0, sizeof(*r));
	r->fd = fd;
	r->until_end = until_end;
	EXPECT_EQ(pthread_create(&r->thread, NULL, reader_thread, r), 0, "thread");
	while (!__atomic_load_n(&r->tid, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* Sleeping in read() */
static bool reader_waits(const struct reader *r)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;

	while (now_ms() < end) {
		if (thread_state(getpid(), r->tid) == 'S')
			return true;
		sched_yield();
	}
	return EXPECT(0, "the reader does not wait");
}

static int reader_end(struct reader *r)
{
	pthread_join(r->thread, NULL);
	return r->n;
}

/* Read what is there, so that the next read waits */
static void drain(int fd)
{
	struct nvme_lm_log_entry e[64];

	while (poll_fd(fd, 0) & POLLIN)
		if (take(fd, e, ARRAY_SIZE(e)) <= 0)
			break;
}

static void test_waits(void)
{
	struct nvme_lm_log_entry e[8];
	struct vf *v = &vf_a;
	int fd = begin(64);
	struct reader r;

	if (fd < 0)
		return;
	write_blocks(v, 1, 1);
	EXPECT(poll_fd(fd, UNVME_TIMEOUT_MS) & POLLIN, "poll");
	drain(fd);
	reader_start(&r, fd, false);
	if (reader_waits(&r)) {
		write_blocks(v, 2, 1);
		EXPECT(reader_end(&r) >= 1, "read: %d", r.n);
	}
	drain(fd);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	EXPECT_EQ(take(fd, e, 8), -EAGAIN, "read of nothing");
	EXPECT_EQ(poll_fd(fd, 0), 0, "poll for nothing");
	close(fd);
}

/* Two threads and a file that a child has, too: each entry is read once. */
static void test_shared(void)
{
	struct vf *v = &vf_a;
	int fd = begin(256), i, copy;
	unsigned int total;
	struct reader a, b;

	if (fd < 0)
		return;
	copy = dup(fd);
	reader_start(&a, fd, true);
	reader_start(&b, copy, true);
	for (i = 0; i < 100; i++)
		write_blocks(v, 2 * i, 1);
	EXPECT_EQ(user_log_stop(fd), 0, "STOP");
	EXPECT_EQ(reader_end(&a), 0, "one reader");
	EXPECT_EQ(reader_end(&b), 0, "the other");
	total = a.entries + b.entries;
	EXPECT(total >= 100 && total <= 102, "%u entries", total);
	close(fd);
	fd = user_log_open(tap_arg(), 0);
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), -EBUSY, "a copy is open");
	close(fd);
	close(copy);
}

static void on_signal(int sig)
{
}

static void test_signal(void)
{
	struct sigaction act = { .sa_handler = on_signal };
	int fd = begin(64);
	struct reader r;

	if (fd < 0)
		return;
	sigaction(SIGUSR1, &act, NULL);
	drain(fd);
	reader_start(&r, fd, false);
	if (reader_waits(&r))
		pthread_kill(r.thread, SIGUSR1);
	EXPECT_EQ(reader_end(&r), -EINTR, "read");
	close(fd);
}

/* A process that is killed in read(): its log is gone. */
static void test_killed(void)
{
	struct nvme_lm_log_entry e[8];
	struct vf *v = &vf_a;
	int fd, status;
	pid_t pid;

	if (!guest_up(v, 1))
		return;
	fd = user_log_open(tap_arg(), 0);
	if (fd < 0)
		return;
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 0), 0, "START");
	fflush(stdout);
	pid = fork();
	if (!pid)
		for (;;)
			take(fd, e, 8);
	close(fd);
	kill(pid, SIGKILL);
	EXPECT_EQ(waitpid(pid, &status, 0), pid, "child");
	fd = user_log_open(tap_arg(), 0);
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), 0, "START of a new log");
	close(fd);
}

/* ---- migration ---- */

static void test_suspend(void)
{
	static struct seen seen;
	struct vf *v = &vf_a;
	int fd = begin(64), other;

	if (fd < 0)
		return;
	memset(&seen, 0, sizeof(seen));
	if (!write_blocks(v, 7, 1) || !go(v, ST_STOP_COPY) ||
	    !read_until(fd, &seen, v, -1, NVME_LM_LOG_ESA_SUSPENDED))
		return;
	EXPECT(seen.block[7], "a write before the Suspend");
	EXPECT_EQ(user_log_stop(fd), -EBUSY, "STOP of a suspended controller");
	other = user_log_open(tap_arg(), 0);
	EXPECT_EQ(user_log_start(other, cntlid_of(v), 64), -EBUSY, "START of another log");
	close(other);
	if (!go(v, ST_RUNNING))
		return;
	memset(&seen, 0, sizeof(seen));
	if (write_blocks(v, 9, 1) && read_until(fd, &seen, v, 9, 0))
		EXPECT_EQ(seen.first, 1, "entries that are the first after a Resume");
	EXPECT_EQ(user_log_stop(fd), 0, "STOP");
	close(fd);
}

/* Closed while the controller is suspended; started while it is. */
static void test_suspended(void)
{
	struct vf *v = &vf_a;
	int fd = begin(64);

	if (fd < 0 || !go(v, ST_STOP))
		return;
	klog_mark();
	close(fd);
	fd = user_log_open(tap_arg(), 0);
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), -EBUSY, "START of a suspended controller");
	EXPECT_EQ(klog_count_any("nvme-lm-"), 0, "lines in the log");
	if (!go(v, ST_RUNNING))
		return;
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), 0, "START after a Resume");
	close(fd);
}

/* ---- what ends it ---- */

/* The old file is still open, and its queue may have the same identifier. */
static void check_new_log(struct vf *v, int old)
{
	static struct seen seen;
	int fd = user_log_open(tap_arg(), 0);

	memset(&seen, 0, sizeof(seen));
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), 0, "START of a new log");
	close(old);
	if (write_blocks(v, 5, 1))
		read_until(fd, &seen, v, 5, 0);
	close(fd);
}

static void test_pf_reset(void)
{
	struct nvme_lm_log_entry e[8];
	struct vf *v = &vf_a;
	int fd = begin(64);
	struct reader r;

	if (fd < 0)
		return;
	drain(fd);
	reader_start(&r, fd, false);
	if (!reader_waits(&r) || !pf_reset(tap_arg()))
		return;
	EXPECT_EQ(reader_end(&r), -ENOTCONN, "read");
	EXPECT_EQ(take(fd, e, 8), -ENOTCONN, "read again");
	EXPECT(poll_fd(fd, 0) & POLLHUP, "poll");
	EXPECT_EQ(user_log_stop(fd), -ENOTCONN, "STOP");
	v->u.udrv.faults = 0;
	vf_close(v);
	if (!pf_provision(tap_arg()))
		return;
	if (guest_up(v, 1))
		check_new_log(v, fd);
}

static void unbind_all(int pf)
{
	unsigned int vfn;
	char name[16];

	for (vfn = 1; ; vfn++) {
		snprintf(name, sizeof(name), "LM_VF%d_%u", pf, vfn);
		if (!getenv(name))
			return;
		if (!strcmp(bound_to(getenv(name)), DRIVER))
			EXPECT_EQ(bind_to(getenv(name), NULL), 0, "unbind VF %u", vfn);
	}
}

static void *read_into(void *arg)
{
	struct reader *r = arg;

	r->n = take(r->fd, r->to, 8);
	return NULL;
}

/* A read that is held in its copy to the user holds up nobody else. */
static void test_held_copy(void)
{
	int fd = begin(64);
	struct trap trap;
	struct reader r = { .fd = fd };

	if (fd < 0)
		return;
	write_blocks(&vf_a, 1, 1);
	vf_close(&vf_a);
	if (trap_init(&trap)) {
		tap_skip("kernel without userfaultfd");
		close(fd);
		return;
	}
	r.to = trap.page;
	EXPECT_EQ(pthread_create(&r.thread, NULL, read_into, &r), 0, "thread");
	if (EXPECT_EQ(trap_wait(&trap), 0, "the read does not copy")) {
		EXPECT_EQ(user_log_stop(fd), 0, "STOP");
		EXPECT(poll_fd(fd, 0) & POLLIN, "poll");
		unbind_all(tap_arg());
	}
	trap_release(&trap, "", 1);
	EXPECT(reader_end(&r) >= 1, "read: %d", r.n);
	EXPECT_EQ(take(fd, r.e, 8), -ENODEV, "read after the end");
	trap_fini(&trap);
	close(fd);
}

static void test_unbind(void)
{
	struct nvme_lm_log_entry e[8];
	int fd = begin(64), idle;
	struct vf *v = &vf_a;
	struct reader r;
	u16 id;

	if (fd < 0)
		return;
	id = cntlid_of(v);
	idle = user_log_open(tap_arg(), 0);
	drain(fd);
	vf_close(v);
	reader_start(&r, fd, false);
	if (!reader_waits(&r))
		return;
	unbind_all(tap_arg());
	EXPECT_EQ(reader_end(&r), -ENODEV, "read");
	EXPECT_EQ(take(fd, e, 8), -ENODEV, "read again");
	EXPECT(poll_fd(fd, 0) & POLLHUP, "poll");
	EXPECT_EQ(user_log_stop(fd), -ENODEV, "STOP");
	EXPECT_EQ(user_log_start(idle, id, 64), -ENODEV, "START");
	EXPECT(access(log_path(tap_arg()), F_OK), "the device is there");
	EXPECT_EQ(remove_module(), -EAGAIN, "unload with an open file");
	if (vf_open(v, tap_arg(), 1))
		EXPECT(!access(log_path(tap_arg()), F_OK), "no device after a bind");
	EXPECT_EQ(user_log_start(idle, id, 64), -ENODEV, "START of an old file");
	close(fd);
	close(idle);
}

/* The PF goes away under an open file. */
static void test_pf_unbind(void)
{
	struct nvme_lm_log_entry e[8];
	int fd = begin(64), err;

	if (fd < 0)
		return;
	vf_close(&vf_a);
	EXPECT_EQ(pf_unbind(tap_arg()), 0, "unbind the PF");
	err = take(fd, e, 8);
	/* its controller is disabled before it is gone */
	EXPECT(err == -ENODEV || err == -ENOTCONN, "read: %s", strerror(-err));
	pf_bind(tap_arg());
	close(fd);
}

/* ---- a device that fails ---- */

static bool hold(struct lm_fault f)
{
	f.act = LM_ACT_HOLD;
	f.times = 1;
	return fault_arm(tap_arg(), 0, f) && fault_abort(tap_arg(), ABORT_LIMIT);
}

/* The memory of a queue stays as long as Delete is not answered. */
static void test_held_delete(void)
{
	struct vf *v = &vf_a;
	int fd = begin(64);

	if (fd < 0 || !hold((struct lm_fault)DELETE))
		return;
	klog_mark();
	close(fd);
	EXPECT_EQ(klog_count_any("cannot be deleted: its memory is kept"), 1, "kept");
	fd = user_log_open(tap_arg(), 0);
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), -EBUSY, "START before the answer");
	if (fault_release(tap_arg()) && fault_clear(tap_arg()))
		klog_wait_any("is deleted");
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), 0, "START after the answer");
	close(fd);
}

/* The same, and the answer is that nothing was done. */
static void test_refused_delete(void)
{
	struct lm_fault f = DELETE;
	struct vf *v = &vf_a;
	int fd = begin(64);

	f.act = LM_ACT_STATUS;
	f.arg = 0x006;
	if (fd < 0 || !fault_arm(tap_arg(), 0, f))
		return;
	klog_mark();
	close(fd);
	EXPECT_EQ(klog_count_any("cannot be deleted: its memory is kept"), 1, "kept");
	if (fault_clear(tap_arg()))
		klog_wait_any("is deleted");
	fd = user_log_open(tap_arg(), 0);
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), 0, "START afterwards");
	close(fd);
}

/* A START whose Create is not answered, and whose process is killed */
static void test_held_create(void)
{
	struct lm_fault f = CREATE;
	struct vf *v = &vf_a;
	int fd, status;
	pid_t pid;
	u16 id;

	if (!guest_up(v, 1))
		return;
	fd = user_log_open(tap_arg(), 0);
	if (fd < 0 || !fault_clear(tap_arg()) || !hold(f))
		return;
	id = cntlid_of(v);
	klog_mark();
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(-user_log_start(fd, id, 64));
	if (fault_held(tap_arg(), 1))
		kill(pid, SIGKILL);
	EXPECT_EQ(waitpid(pid, &status, 0), pid, "child");
	EXPECT_EQ(klog_count_any("cannot be deleted: its memory is kept"), 1, "kept");
	if (fault_release(tap_arg()) && fault_clear(tap_arg()))
		klog_wait_any("is deleted");
	EXPECT_EQ(user_log_start(fd, id, 64), 0, "START afterwards");
	close(fd);
}

struct refusal {
	const char *what;
	struct lm_fault cmd;
	u32 status;
	int err;
};

/* What START says of a status */
static void test_refused_start(void)
{
	const struct refusal table[] = {
		{ "Create", CREATE, LM_SC_INVALID_FIELD, EIO },
		{ "Create", CREATE, LM_SC_INVALID_CTRL, ENODEV },
		{ "Create", CREATE, LM_SC_NOT_ENOUGH, ENOSPC },
		{ "Create", CREATE, 0x006, EIO },
		{ "start", START, 0x137, EBUSY },
		{ "start", START, LM_SC_SUSPENDED, EBUSY },
		{ "start", START, 0x006, EIO },
		{ "start", START, 0x370, ENOTCONN },
	};
	struct vf *v = &vf_a;
	struct lm_fault f;
	int fd;
	size_t i;

	if (!guest_up(v, 1))
		return;
	fd = user_log_open(tap_arg(), 0);
	for (i = 0; fd >= 0 && i < ARRAY_SIZE(table); i++) {
		f = table[i].cmd;
		f.act = LM_ACT_STATUS;
		f.arg = table[i].status;
		if (!fault_clear(tap_arg()) || !fault_arm(tap_arg(), 0, f))
			break;
		EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), -table[i].err, "%s: %#x",
			  table[i].what, table[i].status);
	}
	fault_clear(tap_arg());
	EXPECT_EQ(user_log_start(fd, cntlid_of(v), 64), 0, "START afterwards");
	close(fd);
}

static void test_refused_head(void)
{
	struct lm_fault f = SET_HEAD;
	struct nvme_lm_log_entry e[8];
	struct vf *v = &vf_a;
	int fd = begin(64);

	if (fd < 0)
		return;
	f.act = LM_ACT_STATUS;
	f.arg = LM_SC_INVALID_FIELD;
	write_blocks(v, 1, 1);
	if (fault_arm(tap_arg(), 0, f)) {
		EXPECT(take(fd, e, 8) >= 1, "read");
		EXPECT_EQ(take(fd, e, 8), -EIO, "read after a refusal");
	}
	fault_clear(tap_arg());
	close(fd);
}

/* ---- what is shown ---- */

static void test_status(void)
{
	struct vf *v = &vf_a;
	int fd = begin(64);

	if (fd < 0)
		return;
	expect_debugfs_begin(v->bdf, "log of user data", "on, 0 entries read");
	write_blocks(v, 1, 1);
	EXPECT(poll_fd(fd, UNVME_TIMEOUT_MS) & POLLIN, "poll");
	drain(fd);
	EXPECT(!strstr(debugfs_value(v->bdf, "log of user data"), " 0 entries"), "entries: %s",
	       debugfs_value(v->bdf, "log of user data"));
	close(fd);
	expect_debugfs(v->bdf, "log of user data", "off");
}

static const struct drv_test log_tests[] = {
	{ "arguments", test_arguments, ON_TP },
	{ "who has a log", test_busy, ON_TP },
	{ "privilege", test_privilege, ON_TP },
	{ "each write is in the log", test_changes, ON_TP },
	{ "no read is in the log", test_reads, ON_TP },
	{ "small queues", test_wraps, ON_TP },
	{ "a full queue", test_full, ON_TP },
	{ "stop", test_stop, ON_TP },
	{ "one entry at a time", test_pieces, ON_TP },
	{ "read and poll wait", test_waits, ON_TP },
	{ "shared by threads and files", test_shared, ON_TP },
	{ "a signal during a wait", test_signal, ON_TP },
	{ "a reader that is killed", test_killed, ON_TP },
	{ "Suspend and Resume", test_suspend, ON_TP },
	{ "closed and started while suspended", test_suspended, ON_TP },
	{ "reset of the PF", test_pf_reset, ON_TP },
	{ "a read is held in its copy", test_held_copy, ON_TP },
	{ "VFs are unbound", test_unbind, ON_TP },
	{ "the PF is unbound", test_pf_unbind, ON_TP },
	{ "Create is not answered", test_held_create, ON_TP },
	{ "Delete is not answered", test_held_delete, ON_TP },
	{ "Delete is refused", test_refused_delete, ON_TP },
	{ "a start is refused", test_refused_start, ON_TP },
	{ "a head is refused", test_refused_head, ON_TP },
	{ "what debugfs shows", test_status, ON_TP },
};

const struct test_group log_group = { "log", log_tests, ARRAY_SIZE(log_tests) };
