// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VFIO driver against the uAPI and its own promises: main program and what its parts share.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver.h"
#include "options.h"

struct arena arena;
struct vf vf_a, vf_b, vf_c;
struct unvme_load load;

static struct lm_pf pfs[NR_PFS];

const u32 all_states[NR_STATES] = { ST_RUNNING, ST_P2P, ST_STOP, ST_STOP_COPY, ST_RESUMING };

/* ---- files ---- */

bool trace_switch(const char *events, bool on)
{
	char path[128];

	/* only that empties it */
	if (on)
		close(open(TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
	snprintf(path, sizeof(path), TRACING "/events/%s/enable", events);
	return EXPECT_EQ(file_write(path, on ? "1" : "0"), 0, "%s", path);
}

static const char *pci_path(const char *bdf, const char *file)
{
	static char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, file);
	return path;
}

const char *bound_to(const char *bdf)
{
	static char target[256];
	char *name;
	ssize_t n;

	n = readlink(pci_path(bdf, "driver"), target, sizeof(target) - 1);
	if (n < 0)
		return "";
	target[n] = 0;
	name = strrchr(target, '/');
	return name ? name + 1 : "";
}

int bind_to(const char *bdf, const char *driver)
{
	int err = 0;

	if (*bound_to(bdf))
		err = file_write(pci_path(bdf, "driver/unbind"), bdf);
	if (!err)
		err = file_write(pci_path(bdf, "driver_override"), driver ? driver : "\n");
	if (err || !driver)
		return err;
	err = file_write("/sys/bus/pci/drivers_probe", bdf);
	if (err)
		return err;
	return strcmp(bound_to(bdf), driver) ? -ENODEV : 0;
}

bool set_param(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/" MODULE "/parameters/%s", name);
	return EXPECT_EQ(file_write(path, value), 0, "parameter %s", name);
}

bool load_module(void)
{
	if (!access("/sys/module/" MODULE, F_OK))
		return true;
	return EXPECT_EQ(system("lm-driver"), 0, "load the driver");
}

/* ---- the kernel log ---- */

static int mark_fd = -1, watch_fd = -1;
static char klog[1 << 18];
static size_t klog_len;

static int klog_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || lseek(fd, 0, SEEK_END) < 0) {
		perror("/dev/kmsg");
		exit(2);
	}
	return fd;
}

/* One line without its prefix, or NULL at the end. */
static char *klog_line(int fd)
{
	static char record[8192];
	char *text;
	ssize_t n;

	do {
		n = read(fd, record, sizeof(record) - 1);
	} while (n < 0 && errno == EPIPE);
	if (n <= 0)
		return NULL;
	record[n] = 0;
	text = strchr(record, ';');
	if (!text)
		return "";
	text++;
	text[strcspn(text, "\n")] = 0;
	return text;
}

void klog_mark(void)
{
	lseek(mark_fd, 0, SEEK_END);
	klog_len = 0;
	klog[0] = 0;
}

static void klog_fetch(void)
{
	char *line;
	size_t len;

	for (line = klog_line(mark_fd); line; line = klog_line(mark_fd)) {
		len = strlen(line);
		if (klog_len + len + 2 > sizeof(klog))
			return;
		memcpy(klog + klog_len, line, len);
		klog[klog_len + len] = '\n';
		klog_len += len + 1;
		klog[klog_len] = 0;
	}
}

static unsigned int count_lines(const char *prefix, const char *text)
{
	unsigned int n = 0;
	char line[1024];
	const char *p;
	size_t len;

	klog_fetch();
	for (p = klog; *p; p += len + 1) {
		len = strcspn(p, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)len, p);
		n += !strncmp(line, prefix, strlen(prefix)) && strstr(line, text);
	}
	return n;
}

unsigned int klog_count(const char *bdf, const char *text)
{
	char prefix[64];

	snprintf(prefix, sizeof(prefix), "%s %s", DRIVER, bdf);
	return count_lines(prefix, text);
}

unsigned int klog_count_err(const char *bdf, const char *text, int err)
{
	char name[256], number[256];

	snprintf(name, sizeof(name), "%s-%s", text, strerrorname_np(err));
	snprintf(number, sizeof(number), "%s-%d", text, err);
	return klog_count(bdf, name) + klog_count(bdf, number);
}

bool klog_wait(const char *bdf, const char *text)
{
	struct pollfd pfd = { .fd = mark_fd, .events = POLLIN };

	while (!klog_count(bdf, text))
		if (poll(&pfd, 1, UNVME_TIMEOUT_MS) != 1)
			return EXPECT(0, "no line with '%s'", text);
	return true;
}

unsigned int klog_count_any(const char *text)
{
	return count_lines("", text);
}

bool klog_wait_any(const char *text)
{
	struct pollfd pfd = { .fd = mark_fd, .events = POLLIN };

	while (!klog_count_any(text))
		if (poll(&pfd, 1, UNVME_TIMEOUT_MS) != 1)
			return EXPECT(0, "no line with '%s'", text);
	return true;
}

void klog_show(void)
{
	const char *p;
	size_t len;

	klog_fetch();
	for (p = klog; *p; p += len + 1) {
		len = strcspn(p, "\n");
		tap_note("log: %.*s", (int)len, p);
	}
}

/* Lines that a kernel without faults does not write */
static void check_klog(void)
{
	static const char *const bad[] = {
		"WARNING: ", "BUG: ", "kernel BUG", "Oops", "Call Trace:", "refcount_t:",
		"blocked for more than", "UBSAN", "KASAN", "KCSAN", "lockdep", "locking dependency",
		"recursive locking", "inconsistent lock", "suspicious RCU", "general protection",
		"sleeping function", "DMAR: [", "DMAR: ERROR", "DMAR: DRHD: handling fault",
		"I/O tag", "nvme_timeout",
	};
	char *line;
	size_t i;

	for (line = klog_line(watch_fd); line; line = klog_line(watch_fd))
		for (i = 0; i < ARRAY_SIZE(bad); i++)
			if (strstr(line, bad[i]))
				tap_fail(__FILE__, __LINE__, "kernel log: %s", line);
}

/* ---- PFs ---- */

static const char *env_bdf(const char *name)
{
	const char *bdf = getenv(name);

	if (!bdf)
		tap_skip("%s is not set", name);
	return bdf;
}

const char *pf_bdf(int nr)
{
	char name[16];

	snprintf(name, sizeof(name), "LM_PF%d", nr);
	return env_bdf(name);
}

const char *vf_bdf(int pf, unsigned int vfn)
{
	char name[16];

	snprintf(name, sizeof(name), "LM_VF%d_%u", pf, vfn);
	return env_bdf(name);
}

struct lm_pf *pf_get(int nr)
{
	const char *bdf = pf_bdf(nr);

	if (pfs[nr].bdf[0] || !bdf)
		return bdf ? &pfs[nr] : NULL;
	if (EXPECT_EQ(lm_open(&pfs[nr], bdf), 0, "open PF %s", bdf))
		return &pfs[nr];
	pfs[nr].bdf[0] = 0;
	return NULL;
}

void pf_forget(int nr)
{
	if (pfs[nr].bdf[0])
		lm_close(&pfs[nr]);
	pfs[nr].bdf[0] = 0;
}

static bool provision(struct lm_pf *pf, int id, unsigned int nr)
{
	return EXPECT_EQ(lm_virt_mgmt(pf, id, 7, 0, 0), 0, "offline %d", id) &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 0, nr), 0, "queues for %d", id) &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 1, nr), 0, "vectors for %d", id) &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 9, 0, 0), 0, "online %d", id);
}

bool pf_provision(int nr)
{
	struct lm_pf *pf = pf_get(nr);
	unsigned int vfn;
	char name[16];
	int id;

	for (vfn = 1; pf; vfn++) {
		snprintf(name, sizeof(name), "LM_VF%d_%u", nr, vfn);
		if (!getenv(name))
			break;
		id = lm_cntlid(pf, vfn);
		if (!EXPECT(id >= 0, "VF %u is gone", vfn) || !provision(pf, id, 5))
			return false;
	}
	return pf;
}

bool pf_reset(int nr)
{
	struct lm_pf *pf = pf_get(nr);
	char path[64];

	if (!pf)
		return false;
	snprintf(path, sizeof(path), "/sys/class/nvme/%s/reset_controller", pf->node + 5);
	return EXPECT_EQ(file_write(path, "1"), 0, "reset PF %d", nr);
}

void pf_end_faults(int nr)
{
	if (pfs[nr].bdf[0])
		lm_fault_end(&pfs[nr]);	/* an error where it has none */
}

int pf_unbind(int nr)
{
	pf_forget(nr);
	return file_write("/sys/bus/pci/drivers/nvme/unbind", pf_bdf(nr));
}

bool pf_bind(int nr)
{
	return EXPECT_EQ(bind_to(pf_bdf(nr), "nvme"), 0, "bind the PF to nvme") &&
	       pf_provision(nr);
}

void pf_check(int nr)
{
	struct lm_pf *pf = pf_get(nr);
	char name[16];
	void *buf;
	int fd;

	if (!pf)
		return;
	EXPECT_EQ(lm_probe(pf), 0, "PF %d does not answer", nr);
	snprintf(name, sizeof(name), "LM_NS%d", nr);
	if (!getenv(name))
		return;
	fd = open(getenv(name), O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (!EXPECT(fd >= 0, "open %s: %s", getenv(name), strerror(errno)))
		return;
	buf = aligned_alloc(4096, 4096);
	EXPECT_EQ(pread(fd, buf, 4096, 0), 4096, "read through the PF");
	free(buf);
	close(fd);
}

void pf_check_no_reset(int nr)
{
	EXPECT_EQ(klog_count_any("default/read/poll queues"), 0, "PF %d was reset", nr);
	EXPECT_EQ(klog_count_any("nvme_timeout") + klog_count_any("timeout, "), 0,
		  "a command of PF %d timed out", nr);
}

bool counts_pf_resets(void)
{
	char release[64];

	return !file_read("/proc/sys/kernel/osrelease", release, sizeof(release)) &&
	       atoi(release) >= 7;
}

/* ---- VFs ---- */

bool vf_open(struct vf *v, int pf, unsigned int vfn)
{
	const char *bdf = vf_bdf(pf, vfn);

	memset(v, 0, sizeof(*v));
	v->dev.fd = -1;
	if (!bdf || !load_module())
		return false;
	v->pf = pf;
	v->vfn = vfn;
	snprintf(v->bdf, sizeof(v->bdf), "%s", bdf);
	if (strcmp(bound_to(bdf), DRIVER) &&
	    !EXPECT_EQ(bind_to(bdf, DRIVER), 0, "bind %s", bdf))
		return false;
	vdev_open(&v->dev, bdf);
	v->open = true;
	return EXPECT_EQ(vdev_map(&v->dev, &arena), 0, "map memory");
}

void vf_close(struct vf *v)
{
	if (v->u.dev) {
		EXPECT_EQ(v->u.faults, 0, "%s", v->u.fault);
		unvme_fini(&v->u);
	}
	if (v->open)
		vdev_close(&v->dev);
	v->open = false;
}

bool vf_up(struct vf *v, const struct unvme_opts *o)
{
	if (v->u.dev)
		unvme_fini(&v->u);
	return EXPECT_EQ(unvme_init(&v->u, &v->dev, &arena, o), 0, "enable %s", v->bdf);
}

void vf_check_off(struct vf *v)
{
	EXPECT_EQ(vdev_read32(&v->dev, NVME_REG_CC), 0, "CC of %s", v->bdf);
	EXPECT_EQ(vdev_read32(&v->dev, NVME_REG_AQA), 0, "AQA of %s", v->bdf);
	EXPECT_EQ(vdev_read64(&v->dev, NVME_REG_ASQ), 0, "ASQ of %s", v->bdf);
	EXPECT_EQ(vdev_read64(&v->dev, NVME_REG_ACQ), 0, "ACQ of %s", v->bdf);
}

void vf_check_usable(struct vf *v)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };

	vdev_bus_master(&v->dev, true);
	if (!vf_up(v, &opts))
		return;
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 8, 8), 0, "write on %s", v->bdf);
	EXPECT_EQ(unvme_rw(&v->u, 2, false, 8, 8), 0, "read on %s", v->bdf);
	unvme_check_idle(&v->u, 0);
}

bool vf_reset(struct vf *v)
{
	return EXPECT_EQ(vdev_reset(&v->dev), 0, "reset %s", v->bdf) &&
	       vf_expect_state(v, ST_RUNNING);
}

/* ---- states ---- */

u32 vf_state(struct vf *v)
{
	int state = vdev_mig_state(&v->dev);

	EXPECT(state >= 0, "state of %s: %s", v->bdf, strerror(-state));
	return state;
}

bool vf_expect_state(struct vf *v, u32 state)
{
	u32 got = vf_state(v);

	return EXPECT(got == state, "%s is in %s, not in %s", v->bdf, mig_state_name(got),
		      mig_state_name(state));
}

static bool set(struct vf *v, u32 state, int *fd)
{
	u32 from = vf_state(v);
	int err;

	*fd = -1;
	err = vdev_mig_set_state(&v->dev, state, fd);
	return EXPECT(!err, "%s: %s -> %s: %s", v->bdf, mig_state_name(from), mig_state_name(state),
		      strerror(-err)) && vf_expect_state(v, state);
}

bool go(struct vf *v, u32 state)
{
	bool ok;
	int fd;

	ok = set(v, state, &fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

int go_fd(struct vf *v, u32 state)
{
	int fd;

	if (!set(v, state, &fd))
		return -1;
	EXPECT(fd >= 0, "%s without a file", mig_state_name(state));
	return fd;
}

void refuse_set(struct vf *v, u32 state, int err)
{
	u32 before = vf_state(v);
	int fd = -2;

	EXPECT_EQ(vdev_mig_set_state(&v->dev, state, &fd), -err, "%s -> %s (%#x)",
		  mig_state_name(before), mig_state_name(state), state);
	EXPECT_EQ(fd, -1, "a file with a refusal");
	vf_expect_state(v, before);
}

void check_error_state(struct vf *v)
{
	u64 size = 0;
	int i;

	vf_expect_state(v, ST_ERROR);
	for (i = 0; i < NR_STATES; i++)
		refuse_set(v, all_states[i], EIO);
	refuse_set(v, ST_ERROR, EINVAL);
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "data size in ERROR");
	EXPECT(size, "data size 0 in ERROR");
}

int request_eventfd(struct vf *v)
{
	union {
		struct vfio_irq_set set;
		u8 room[sizeof(struct vfio_irq_set) + sizeof(int)];
	} arg = { .set = {
		.argsz = sizeof(arg), .index = VFIO_PCI_REQ_IRQ_INDEX, .count = 1,
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD,
	} };
	int fd = eventfd(0, EFD_CLOEXEC);

	memcpy(arg.set.data, &fd, sizeof(fd));
	if (ioctl(v->dev.fd, VFIO_DEVICE_SET_IRQS, &arg))
		EXPECT_EQ(errno, 0, "request eventfd");
	return fd;
}

/* ---- streams ---- */

bool vf_save(struct vf *v, struct stream *s)
{
	struct st_view view;
	const char *why;
	int fd, err;

	s->data = NULL;
	s->size = 0;
	fd = go_fd(v, ST_STOP_COPY);
	if (fd < 0)
		return false;
	err = stream_read(fd, s, 0);
	close(fd);
	if (!EXPECT_EQ(err, 0, "read the stream of %s", v->bdf))
		return false;
	why = st_parse(s, &view);
	st_view_free(&view);
	return EXPECT(!why, "stream of %s: %s", v->bdf, why);
}

bool vf_load(struct vf *v, const struct stream *s)
{
	int err, fd = go_fd(v, ST_RESUMING);

	if (fd < 0)
		return false;
	err = stream_write(fd, s, 0);
	close(fd);
	return EXPECT_EQ(err, 0, "write the stream to %s", v->bdf) && go(v, ST_STOP);
}

bool firmware_stream(int pf, struct stream *s)
{
	struct vf v;
	bool ok;

	s->data = NULL;
	ok = vf_open(&v, pf, 3) && vf_save(&v, s);
	vf_close(&v);
	return ok;
}

/* ---- a guest ---- */

const struct nvme_sqe flush_cmd = { .opcode = NVME_IO_FLUSH, .nsid = 1 };

void count_done(struct unvme *u, struct unvme_cmd *c)
{
	unsigned int *n = c->priv;

	if (unvme_status(c))
		unvme_fault(u, "status %#x", unvme_status(c));
	(*n)++;
}

bool wait_entries(struct unvme *u, u16 cqid, unsigned int nr)
{
	struct unvme_cq *cq = &u->cqs[cqid];
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	u16 *status = &cq->ring[(cq->head + nr - 1) % cq->depth].status;

	while ((__atomic_load_n(status, __ATOMIC_ACQUIRE) & 1) != cq->phase)
		if (now_ms() > end)
			return EXPECT(0, "CQ %u does not fill", cqid);
	return true;
}

void got_event(struct unvme *u, struct unvme_cmd *c)
{
	struct event *e = c->priv;

	e->count++;
	e->result = c->cqe.result;
}

#define TEMP_OVER	0x0170
#define TEMP_UNDER	0x0110
#define EVENTS		0x011f

void make_dirty(struct unvme *u)
{
	static const u8 stamp[8] = { 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12 };
	unsigned int i;

	EXPECT_EQ(unvme_set_features(u, 4, TEMP_OVER, NULL), 0, "over temperature");
	EXPECT_EQ(unvme_set_features(u, 4, TEMP_UNDER | 1 << 20, NULL), 0, "under temperature");
	EXPECT_EQ(unvme_set_features(u, 0x0b, EVENTS, NULL), 0, "event configuration");
	memcpy(u->scratch, stamp, sizeof(stamp));
	EXPECT_EQ(unvme_set_features(u, 0x0e, 0, NULL), 0, "timestamp");
	for (i = 0; i < 3; i++)
		unvme_aer(u, NULL, NULL);
	EXPECT_EQ(unvme_get_features(u, 7, 0, NULL), 0, "barrier");
}

void read_features(struct unvme *u, u32 *f)
{
	u64 stamp;

	EXPECT_EQ(unvme_get_features(u, 4, 0, &f[0]), 0, "over temperature");
	EXPECT_EQ(unvme_get_features(u, 4, 1 << 20, &f[1]), 0, "under temperature");
	EXPECT_EQ(unvme_get_features(u, 0x0b, 0, &f[2]), 0, "event configuration");
	EXPECT_EQ(unvme_get_features(u, 0x0e, 0, NULL), 0, "timestamp");
	memcpy(&stamp, u->scratch, sizeof(stamp));
	f[3] = (stamp & 0xffffffffffffull) >> 30;	/* tells a set one from a fresh one */
	EXPECT_EQ(unvme_get_features(u, 0x16, 0, NULL), 0, "host behavior");
	memcpy(&f[4], u->scratch, sizeof(u32));
}

/* ---- threads ---- */

bool wait_blocked(pid_t pid, pid_t tid)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	char state;

	do {
		state = thread_state(pid, tid);
		if (state == 'D')
			return true;
		sched_yield();
	} while (state && now_ms() < end);
	return EXPECT(0, "thread %d does not wait", tid);
}

/* ---- main ---- */

static void before(void)
{
	arena_reset(&arena);
	memset(&load, 0, sizeof(load));
	klog_mark();
}

/* Whatever a test did, the VFs are closed and the kernel did not complain. */
static void after(void)
{
	if (tap_failed())
		klog_show();
	scene_end();
	load_fini(&load);
	vf_close(&vf_c);
	vf_close(&vf_b);
	vf_close(&vf_a);
	check_klog();
}

static struct tap_test all[256];
static const struct scene *scenes[ARRAY_SIZE(all)];
static size_t nr_all;

const struct scene *test_scene(void)
{
	size_t i;

	for (i = 0; all[i].name != tap_name(); i++)
		;
	return scenes[i];
}

static void add(const char *device, const struct drv_test *t, int pf)
{
	char *name;

	if (nr_all == ARRAY_SIZE(all) || asprintf(&name, "%s: %s", device, t->name) < 0)
		exit(2);
	scenes[nr_all] = t->scene;
	all[nr_all++] = (struct tap_test){ name, t->run, pf };
}

static void add_on(const struct drv_test *t)
{
	if (t->on & ON_SPECIAL && options_on("special"))
		add("special", t, t->pf);
	if (t->on & ON_PLAIN && options_on("plain"))
		add("plain", t, 4);
	if (t->on & ON_TP && options_on("tp4159"))
		add("tp4159", t, 0);
	if (t->on & ON_VS && options_on("vendor"))
		add("vendor", t, 2);
}

static const struct test_group *find_group(void)
{
	static const struct test_group *const groups[] = {
		&alloc_group, &arcs_group, &bind_group, &dirty_group, &endless_group, &fault_group,
		&fence_group, &hang_group, &keep_group, &lie_group, &lost_group, &move_group,
		&precopy_group, &refuse_group, &status_group, &stream_group, &trace_group,
		&trace_fault_group, &unload_group,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		if (!strcmp(groups[i]->name, options.group))
			return groups[i];
	options_unknown("group", options.group);
	return NULL;
}

int main(int argc, char **argv)
{
	int taken = options_parse(argc, argv);
	const struct test_group *group = find_group();
	size_t i;

	for (i = 0; i < group->nr; i++)
		add_on(&group->tests[i]);
	if (arena_init(&arena, -1, 32 << 20, ARENA_IOVA)) {
		perror("arena");
		return 2;
	}
	mark_fd = klog_open();
	watch_fd = klog_open();
	return tap_main(all, nr_all, argc - taken, argv + taken, before, after);
}
