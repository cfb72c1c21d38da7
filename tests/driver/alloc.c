// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that runs out: each allocation on behalf of the driver fails once, in every operation.
 *
 * The kernel's fault injection fails the n-th allocation of this thread whose call trace goes
 * through the module. n grows until an operation makes fewer allocations than that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

#define FAIL_NTH	"/proc/thread-self/fail-nth"

/* Far more than any operation needs; a bind makes some 200 allocations */
#define MAX_NTH		1000

/* The first two fail allocations; no other shall see the thread's counter. */
static const char *const injectors[] = {
	"failslab", "fail_page_alloc", "fail_usercopy", "fail_futex", "fail_make_request",
	"fail_io_timeout", "fail_function",
};

#define NR_ALLOC	2

#define LOG_SIZE	0x100000

static bool set_injector(const char *injector, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "/%s/%s", injector, name);
	return EXPECT_EQ(file_write(path, value), 0, "%s", path);
}

/* Where a symbol of a module begins and the one behind it; NULL: the module's text. */
static bool find_text(const char *module, const char *symbol, u64 *start, u64 *end)
{
	char line[512], name[256], owner[64], type;
	FILE *f = fopen("/proc/kallsyms", "r");
	unsigned long long at;

	*start = symbol ? 0 : ~0ull;
	*end = symbol ? ~0ull : 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx %c %255s [%63[^]]", &at, &type, name, owner) != 4 ||
		    strcmp(owner, module) || (type != 't' && type != 'T'))
			continue;
		if (symbol && !strcmp(name, symbol))
			*start = at;
		if (!symbol && at < *start)
			*start = at;
		if (!symbol && at > *end)
			*end = at;
	}
	if (!f)
		return EXPECT(0, "/proc/kallsyms: %s", strerror(errno));
	rewind(f);
	while (symbol && fgets(line, sizeof(line), f)) {
		at = strtoull(line, NULL, 16);
		if (at > *start && at < *end)
			*end = at;
	}
	fclose(f);
	return EXPECT(*start && *start < *end, "no text of %s", symbol ? symbol : module);
}

/* Failures only if the call trace goes through this range. */
static bool aim_at(const char *injector, const char *what, u64 start, u64 end)
{
	char name[32], value[32];

	snprintf(name, sizeof(name), "%s-start", what);
	snprintf(value, sizeof(value), "%#llx", (unsigned long long)start);
	if (!set_injector(injector, name, value))
		return false;
	snprintf(name, sizeof(name), "%s-end", what);
	snprintf(value, sizeof(value), "%#llx", (unsigned long long)end);
	return set_injector(injector, name, value) &&
	       set_injector(injector, "stacktrace-depth", "32") &&
	       set_injector(injector, "verbose", "0");
}

/* Failures only under this symbol of the module, or anywhere in it. */
static bool aim(const char *symbol)
{
	u64 start, end, group_start, group_end;
	char path[64];
	size_t i;

	/* the kernel warns if it cannot name a group: not the driver's */
	if (!find_text(MODULE, symbol, &start, &end) ||
	    !find_text("vfio", "vfio_create_group", &group_start, &group_end))
		return false;
	for (i = NR_ALLOC; i < ARRAY_SIZE(injectors); i++) {
		snprintf(path, sizeof(path), DEBUGFS "/%s", injectors[i]);
		if (!access(path, F_OK) && !aim_at(injectors[i], "require", 1, 2))
			return false;
	}
	for (i = 0; i < NR_ALLOC; i++)
		if (!aim_at(injectors[i], "require", start, end) ||
		    !aim_at(injectors[i], "reject", group_start, group_end) ||
		    !set_injector(injectors[i], "ignore-gfp-wait", "N"))
			return false;
	return set_injector("failslab", "cache-filter", "N") &&
	       set_injector("fail_page_alloc", "ignore-gfp-highmem", "N") &&
	       set_injector("fail_page_alloc", "min-order", "0");
}

/* All allocations that aim() selected fail, or none. */
static void fail_all(bool on)
{
	size_t i;

	for (i = 0; i < NR_ALLOC; i++) {
		set_injector(injectors[i], "times", "-1");
		set_injector(injectors[i], "probability", on ? "100" : "0");
	}
}

/* Shared with the child of op_open() */
static struct injection {
	unsigned int nth;
	bool happened;
} *injection;

/* Opened beforehand: to open it is an allocation, too. */
static int nth_fd = -1;

static bool open_nth(void)
{
	nth_fd = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	return EXPECT(nth_fd >= 0, FAIL_NTH ": %s", strerror(errno));
}

static void arm(unsigned int nth)
{
	char text[16];
	int n;

	injection->nth = nth;
	injection->happened = false;
	n = snprintf(text, sizeof(text), "%u", nth);
	EXPECT_EQ(pwrite(nth_fd, text, n, 0), n, "arm");
}

static void disarm(void)
{
	char text[16] = "";

	EXPECT(pread(nth_fd, text, sizeof(text) - 1, 0) > 0, "state of the injection");
	EXPECT_EQ(pwrite(nth_fd, "0", 1, 0), 1, "disarm");
	injection->happened |= !atoi(text);
}

/* ---- operations ---- */

static struct stream saved;
static int migf = -1;
static int user_log = -1;
static bool logging;

static void close_migf(void)
{
	if (migf >= 0)
		close(migf);
	migf = -1;
}

static int set_state(struct vf *v, u32 state)
{
	return vdev_mig_set_state(&v->dev, state, &migf);
}

static int op_log(struct vf *v)
{
	struct vfio_device_feature_dma_logging_range r = { ARENA_IOVA, LOG_SIZE };
	u64 page_size = 4096;
	int err = vdev_log_start(&v->dev, &page_size, &r, 1);

	logging = !err;
	return err;
}

static bool be_running(struct vf *v)
{
	return v->open || vf_open(v, tap_arg(), 1);
}

static bool be_stopped(struct vf *v)
{
	return be_running(v) && go(v, ST_STOP);
}

static bool be_saving(struct vf *v)
{
	if (!be_running(v))
		return false;
	migf = go_fd(v, ST_STOP_COPY);
	return migf >= 0;
}

static bool be_loading(struct vf *v)
{
	if (!be_running(v))
		return false;
	migf = go_fd(v, ST_RESUMING);
	return migf >= 0;
}

static bool be_loaded(struct vf *v)
{
	return be_loading(v) && EXPECT_EQ(stream_write(migf, &saved, 0), 0, "load");
}

static bool be_in_precopy(struct vf *v)
{
	if (!be_running(v))
		return false;
	migf = go_fd(v, ST_PRE_COPY);
	return migf >= 0;
}

static bool be_logging(struct vf *v)
{
	return be_running(v) && EXPECT_EQ(op_log(v), 0, "START of logging");
}

static bool be_closed(struct vf *v)
{
	vf_close(v);
	return true;
}

static bool be_unbound(struct vf *v)
{
	vf_close(v);
	return EXPECT_EQ(bind_to(vf_bdf(tap_arg(), 1), NULL), 0, "unbind");
}

static void close_user_log(void)
{
	if (user_log >= 0)
		close(user_log);
	user_log = -1;
}

static int op_user_log_open(struct vf *v)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/nvme-lm/%s", pf_bdf(tap_arg()));
	user_log = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return user_log < 0 ? -errno : 0;
}

/* Not on a device that does not log user data. */
static bool be_able_to_log(struct vf *v)
{
	if (!be_running(v) || op_user_log_open(v))
		return false;
	close_user_log();
	return true;
}

static bool be_log_open(struct vf *v)
{
	return be_able_to_log(v) && EXPECT_EQ(op_user_log_open(v), 0, "open");
}

static int op_user_log_start(struct vf *v)
{
	return user_log_start(user_log, lm_cntlid(pf_get(tap_arg()), 1), 0);
}

static bool be_user_logging(struct vf *v)
{
	return be_log_open(v) && EXPECT_EQ(op_user_log_start(v), 0, "START of a log");
}

/* A Suspend adds an entry. */
static bool be_user_logged(struct vf *v)
{
	return be_user_logging(v) && go(v, ST_STOP);
}

static int op_user_log_stop(struct vf *v)
{
	return user_log_stop(user_log);
}

static int op_user_log_read(struct vf *v)
{
	static u8 room[4096];

	return read(user_log, room, sizeof(room)) < 0 ? -errno : 0;
}

static int op_p2p(struct vf *v)
{
	return set_state(v, ST_P2P);
}

static int op_running(struct vf *v)
{
	return set_state(v, ST_RUNNING);
}

static int op_stop_copy(struct vf *v)
{
	return set_state(v, ST_STOP_COPY);
}

static int op_resuming(struct vf *v)
{
	return set_state(v, ST_RESUMING);
}

static int op_precopy(struct vf *v)
{
	return set_state(v, ST_PRE_COPY);
}

static int op_report(struct vf *v)
{
	static u64 bitmap[LOG_SIZE / 4096 / 64];

	return vdev_log_report(&v->dev, ARENA_IOVA, LOG_SIZE, 4096, bitmap);
}

static int op_read(struct vf *v)
{
	static u8 room[1 << 16];
	ssize_t n;

	do {
		n = read(migf, room, sizeof(room));
	} while (n > 0);
	/* the end of what pre-copy has */
	return n < 0 && errno != ENOMSG ? -errno : 0;
}

static int op_write(struct vf *v)
{
	return stream_write(migf, &saved, 0);
}

static int op_size(struct vf *v)
{
	u64 size = 0;
	int err = vdev_mig_data_size(&v->dev, &size);

	EXPECT(err || size, "data size 0");
	return err;
}

static int op_reset(struct vf *v)
{
	int err = vdev_reset(&v->dev);

	EXPECT_EQ(err, 0, "reset");
	return err;
}

static int op_close(struct vf *v)
{
	vf_close(v);
	return 0;
}

/* libvfio ends the program if it cannot open: so in a child, which is armed by itself */
static int op_open(struct vf *v)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (!open_nth())
			_exit(2);
		atexit(disarm);
		arm(injection->nth);
		vdev_open(&v->dev, v->bdf);
		exit(0);
	}
	EXPECT_EQ(waitpid(pid, &status, 0), pid, "wait for the child");
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) < 2, "status %#x of the child", status);
	return status ? -ENOMEM : 0;
}

static int op_bind(struct vf *v)
{
	int err = bind_to(vf_bdf(tap_arg(), 1), DRIVER);

	/* a failed probe leaves the VF without a driver, whatever it failed with */
	return err == -ENODEV ? -ENOMEM : err;
}

static int op_unbind(struct vf *v)
{
	return bind_to(vf_bdf(tap_arg(), 1), NULL);
}

/*
 * An operation, and how to come to it. It may succeed in spite of a failure, if there is another
 * way or the failure costs nothing; otherwise it says ENOMEM.
 */
struct step {
	const char *name;
	bool (*before)(struct vf *v);
	int (*op)(struct vf *v);
	bool tp4159_only;	/* not offered by the vendor set, or the same */
};

static const struct step steps[] = {
	{ "RUNNING -> RUNNING_P2P", be_running, op_p2p },
	{ "STOP -> STOP_COPY", be_stopped, op_stop_copy },
	{ "data size in STOP", be_stopped, op_size },
	{ "read()", be_saving, op_read },
	{ "RUNNING -> PRE_COPY", be_running, op_precopy },
	{ "read() in PRE_COPY", be_in_precopy, op_read },
	{ "PRE_COPY -> STOP_COPY", be_in_precopy, op_stop_copy },
	{ "STOP_COPY -> RUNNING", be_saving, op_running },
	{ "STOP -> RUNNING", be_stopped, op_running },
	{ "STOP -> RESUMING", be_stopped, op_resuming },
	{ "write()", be_loading, op_write },
	{ "RESUMING -> RUNNING", be_loaded, op_running },
	{ "reset in STOP_COPY", be_saving, op_reset },
	{ "close in STOP_COPY", be_saving, op_close },
	{ "close in RESUMING", be_loading, op_close },
	{ "logging", be_running, op_log, true },
	{ "report", be_logging, op_report, true },
	{ "open of a log", be_able_to_log, op_user_log_open, true },
	{ "start of a log", be_log_open, op_user_log_start, true },
	{ "read of a log", be_user_logged, op_user_log_read, true },
	{ "stop of a log", be_user_logging, op_user_log_stop, true },
	{ "open", be_closed, op_open, true },
	{ "bind", be_unbound, op_bind, true },
	{ "unbind", be_closed, op_unbind, true },
};

/* Whatever failed, a reset, or the next open, gives a VF that works. */
static bool recover(struct vf *v)
{
	close_migf();
	close_user_log();
	if (logging)
		EXPECT_EQ(vdev_log_stop(&v->dev), 0, "STOP of logging");
	logging = false;
	if (v->open)
		return vf_reset(v);
	return (strcmp(bound_to(v->bdf), DRIVER) ||
		EXPECT_EQ(bind_to(v->bdf, NULL), 0, "unbind")) &&
	       vf_open(v, tap_arg(), 1) && vf_expect_state(v, ST_RUNNING);
}

/* False: the test is over, by a failure or because fewer than @nth allocations were made. */
static bool fail_step(const struct step *s, struct vf *v, unsigned int nth)
{
	int err;

	if (!s->before(v))
		return false;
	arm(nth);
	err = s->op(v);
	disarm();
	EXPECT(!err || (injection->happened && err == -ENOMEM), "%s: allocation %u fails: %s",
	       s->name, nth, strerror(-err));
	return recover(v) && !tap_failed() && injection->happened;
}

static bool prepare(struct vf *v)
{
	injection = mmap(NULL, sizeof(*injection), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!EXPECT(injection != MAP_FAILED, "memory") || !open_nth())
		return false;
	if (!vf_open(v, tap_arg(), 1) || !go(v, ST_STOP) || !vf_save(v, &saved))
		return false;
	/* a page fault of this program is not what is to fail */
	if (!EXPECT_EQ(mlockall(MCL_CURRENT), 0, "memory present"))
		return false;
	return vf_reset(v);
}

static void finish(void)
{
	munmap(injection, sizeof(*injection));
	close(nth_fd);
	stream_free(&saved);
}

static void test_each(void)
{
	unsigned int nth, total = 0;
	struct vf *v = &vf_a;
	size_t i;

	if (!prepare(v) || !aim(NULL))
		return;
	for (i = 0; i < ARRAY_SIZE(steps) && !tap_failed(); i++) {
		if (steps[i].tp4159_only && tap_arg() == 2)
			continue;
		for (nth = 1; nth <= MAX_NTH && fail_step(&steps[i], v, nth); nth++)
			;
		EXPECT(nth <= MAX_NTH, "%s: no end of allocations", steps[i].name);
		tap_note("%s: %u", steps[i].name, nth - 1);
		total += nth - 1;
	}
	tap_note("tried: %u allocations that fail: ENOMEM, and the next user can migrate", total);
	/* a save needs a session, its file, a buffer and a command at least */
	EXPECT(total > 20, "only %u allocations failed", total);
	if (!tap_failed())
		vf_check_usable(v);
	finish();
}

/* A transfer's memory has a second source, so one failure does not exhaust it. */
static void test_buffer(void)
{
	struct vf *v = &vf_a;

	if (!prepare(v) || !aim("nvmevf_buf_alloc") || !go(v, ST_STOP))
		return;
	fail_all(true);
	refuse_set(v, ST_STOP_COPY, ENOMEM);
	refuse_set(v, ST_RESUMING, ENOMEM);
	fail_all(false);
	if (go(v, ST_STOP_COPY) && go(v, ST_RUNNING))
		vf_check_usable(v);
	vf_close(v);
	if (!EXPECT_EQ(bind_to(v->bdf, NULL), 0, "unbind"))
		return;
	klog_mark();
	fail_all(true);
	EXPECT_EQ(bind_to(v->bdf, DRIVER), 0, "bind without memory");
	fail_all(false);
	EXPECT_EQ(klog_count(v->bdf, "no migration: "), 1, "the log says why");
	EXPECT_EQ(bind_to(v->bdf, NULL), 0, "unbind");
	finish();
}

/* A queue that cannot be deleted is deleted later. */
static void test_log_close(void)
{
	struct vf *v = &vf_a;

	if (!prepare(v) || !aim(NULL) || !be_user_logging(v))
		return;
	klog_mark();
	fail_all(true);
	close_user_log();
	fail_all(false);
	EXPECT_EQ(klog_count_any("cannot be deleted: its memory is kept"), 1, "kept");
	klog_wait_any("is deleted");
	if (be_user_logging(v))
		close_user_log();
	finish();
}

static const struct drv_test alloc_tests[] = {
	{ "each allocation fails once", test_each, ON_BOTH },
	{ "no buffers", test_buffer, ON_BOTH },
	{ "a log is closed without memory", test_log_close, ON_TP },
};

const struct test_group alloc_group = { "alloc", alloc_tests, ARRAY_SIZE(alloc_tests) };
