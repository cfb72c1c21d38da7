// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migrations in the order of another VMM than QEMU: the one of Cloud Hypervisor, and one that
 * restores the registers later still. It asks for neither pre-copy nor P2P, so that each of its
 * requests consists of several arcs. Memory is copied by what DMA logging reports, or shared.
 */
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <linux/sizes.h>

#include "lib/harness.h"

/* How long memory and vectors of a device are watched that may not use them */
#define WATCH_MS	150

#define PAGE		4096u

/* Reads on their way when the device is stopped; nobody else writes to their buffers */
#define READS		30
#define READ_LEN	SZ_64K

/* Of so many places */
#define CHUNKS		8

#define POISON		0xdd

struct reads {
	struct udrv_io io[READS];
	u8 *buf;
	u64 block;
	u32 blocks;		/* of each */
	unsigned int done;
};

/* What a VMM has of a VM with one device */
struct vm {
	struct mig m;		/* the device in the beginning, and the driver in the guest */
	struct vdev other;	/* where it goes */
	struct load load;
	struct reads reads;
	u16 command;		/* the command register as the guest left it */
	int stray;		/* eventfd of the vectors that the guest does not use */
	struct arena there;	/* the memory of the next destination */
	u64 page_size;		/* of DMA logging */
};

FIXTURE(vmm) {
	struct vm v;
};

FIXTURE_SETUP(vmm)
{
	struct vm *v = &self->v;

	v->stray = -1;
	mig_setup_open(_metadata, &v->m, vdev_open_passed);
	if (!v->m.flags)
		SKIP(return, "%s is not migratable", mig_bdf);
	if (!mig_has_driver(_metadata, &v->m))
		return;
	v->stray = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, v->stray);
}

FIXTURE_TEARDOWN(vmm)
{
	struct vm *v = &self->v;

	load_fini(&v->load);
	mig_teardown(_metadata, &v->m);
	if (v->other.pci)
		vdev_close(&v->other);
	arena_free(&v->there);
	if (v->stray >= 0)
		close(v->stray);
}

/* ---- the guest ---- */

static const struct udrv_opts guest_opts = { .channels = 3, .depth = 16 };

static void guest_up(struct __test_metadata *_metadata, struct vm *v)
{
	vdev_bus_master(&v->m.dev, true);
	ASSERT_EQ(0, udrv_init(v->m.ops, &v->m.dev, &v->m.arena, &guest_opts, &v->m.u));
	v->command = vfio_pci_config_readw(v->m.dev.pci, PCI_COMMAND);
	ASSERT_TRUE(v->command & PCI_COMMAND_MASTER);
}

static void count_done(struct udrv *u, struct udrv_io *io)
{
	(*(unsigned int *)io->priv)++;
}

static u64 chunk_block(const struct reads *r, u32 i)
{
	return r->block + i % CHUNKS * r->blocks;
}

/* Data for the reads, behind that of the load. */
static void prepare_reads(struct __test_metadata *_metadata, struct vm *v)
{
	struct udrv_io io = { .channel = 1, .write = true };
	struct udrv *u = v->m.u;
	struct reads *r = &v->reads;
	u32 i;

	r->block = v->load.first_block + (u64)v->load.units * v->load.unit_blocks;
	r->blocks = min_t(u32, u->max_bytes, READ_LEN) / u->block_size;
	r->buf = arena_alloc(u->arena, READS * READ_LEN);
	io.blocks = r->blocks;
	io.buf = r->buf;
	for (i = 0; i < CHUNKS; i++) {
		io.block = chunk_block(r, i);
		pattern_fill(r->buf, u->block_size, io.block, r->blocks, 1, 0);
		ASSERT_EQ(0, udrv_exec(u, &io));
	}
}

static void submit_reads(struct __test_metadata *_metadata, struct vm *v)
{
	struct udrv *u = v->m.u;
	struct reads *r = &v->reads;
	unsigned int i;

	r->done = 0;
	for (i = 0; i < READS; i++) {
		r->io[i] = (struct udrv_io){
			.channel = 1 + i % u->channels, .block = chunk_block(r, i),
			.blocks = r->blocks, .buf = r->buf + i * READ_LEN,
			.done = count_done, .priv = &r->done,
		};
		ASSERT_EQ(0, udrv_submit(u, &r->io[i]));
	}
}

static bool reads_done(struct udrv *u, void *priv)
{
	return ((struct reads *)priv)->done == READS;
}

static void check_reads(struct __test_metadata *_metadata, struct vm *v)
{
	struct udrv *u = v->m.u;
	struct reads *r = &v->reads;
	u32 i, good = 0;

	ASSERT_EQ(0, udrv_wait_for(u, reads_done, r, UDRV_TIMEOUT_MS));
	for (i = 0; i < READS; i++)
		good += pattern_bad(r->buf + i * READ_LEN, u->block_size, chunk_block(r, i),
				    r->blocks, 1, 0) == r->blocks;
	EXPECT_EQ(READS, good);
}

static void start_load(struct __test_metadata *_metadata, struct vm *v, u32 seed)
{
	v->load = (struct load){
		.u = v->m.u, .units = 64, .unit_blocks = 8, .qd = 4, .seed = seed, .control = true,
	};
	ASSERT_EQ(0, load_init(&v->load));
	prepare_reads(_metadata, v);
	ASSERT_EQ(0, load_start(&v->load));
}

static void end_load(struct __test_metadata *_metadata, struct vm *v)
{
	EXPECT_EQ(0, load_wait_ops(&v->load, 40));
	EXPECT_EQ(0, load_end(&v->load));
	EXPECT_EQ(0, load_verify(&v->load));
	EXPECT_LT(0, v->load.controls);
	udrv_check_idle(v->m.u);
}

static void guest_goes_on(struct __test_metadata *_metadata, struct vm *v)
{
	u64 strays;

	EXPECT_EQ(0, udrv_work_all(v->m.u));
	udrv_check_idle(v->m.u);
	EXPECT_EQ(-1, read(v->stray, &strays, sizeof(strays)));
}

/* ---- the VMM's part of the device ---- */

static void restore_command(struct vm *v, struct vdev *d)
{
	vfio_pci_config_writew(d->pci, PCI_COMMAND, v->command);
}

/* All vectors that the device has, at once, whichever of them the guest uses. */
static void restore_vectors(struct vm *v, struct vdev *d)
{
	int *evfds = calloc_assert(d->nr_vectors, sizeof(*evfds));
	unsigned int i;

	for (i = 0; i < d->nr_vectors; i++)
		evfds[i] = i < v->m.u->nr_vectors ? v->m.u->evfds[i] : v->stray;
	vdev_irqs(d, evfds, d->nr_vectors);
	free(evfds);
}

/* ---- memory that is copied while the guest runs ---- */

/* Pages that only the device writes: of them those travel that it reports. */
static bool is_devices(const struct vm *v, size_t at)
{
	const u8 *p = v->m.arena.va + at, *ring;
	unsigned int i;
	size_t len;

	if (p >= v->reads.buf && p < v->reads.buf + READS * READ_LEN)
		return true;
	for (i = 0; i <= v->m.u->channels; i++) {
		ring = v->m.ops->ring(v->m.u, i, &len);
		if (p + PAGE > ring && p < ring + len)
			return true;
	}
	return false;
}

static void copy(struct vm *v, size_t at, size_t len)
{
	memcpy(v->there.va + at, v->m.arena.va + at, len);
}

static void log_start(struct __test_metadata *_metadata, struct vm *v, struct vdev *d)
{
	struct vfio_device_feature_dma_logging_range r = { v->m.arena.iova, v->m.arena.size };

	if (!v->there.va)
		ASSERT_EQ(0, arena_init(&v->there, -1, v->m.arena.size, v->m.arena.iova));
	memset(v->reads.buf, 0, READS * READ_LEN);
	v->page_size = getpagesize();
	ASSERT_EQ(0, vdev_log_start(d, &v->page_size, &r, 1));
	ASSERT_LE(v->page_size, r.length);
	copy(v, 0, r.length);
}

/* Copy what the device wrote; it is asked in the page size that it has chosen. */
static unsigned int log_report(struct __test_metadata *_metadata, struct vm *v, struct vdev *d)
{
	const struct arena *a = &v->m.arena;
	u64 nr = a->size / v->page_size, i;
	u64 *bitmap = calloc_assert(nr / 64 + 1, sizeof(*bitmap));
	unsigned int reported = 0;

	ASSERT_EQ(0, vdev_log_report(d, a->iova, a->size, v->page_size, bitmap));
	for (i = 0; i < nr; i++) {
		if (!(bitmap[i / 64] & 1ull << i % 64))
			continue;
		copy(v, i * v->page_size, v->page_size);
		reported++;
	}
	free(bitmap);
	return reported;
}

/* What the guest itself wrote, as a hypervisor finds it. */
static void copy_guests(struct vm *v)
{
	size_t at;

	for (at = 0; at < v->m.arena.size; at += PAGE)
		if (!is_devices(v, at))
			copy(v, at, PAGE);
}

/* The guest finds the copy in place of its memory; nobody may write to the old one any more. */
static void switch_memory(struct __test_metadata *_metadata, struct vm *v)
{
	struct arena *a = &v->m.arena, *t = &v->there;
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
	int fd;

	ASSERT_EQ(a->va, mmap(a->va, a->size, prot, flags, t->fd, 0));
	ASSERT_EQ(t->va, mmap(t->va, t->size, prot, flags, a->fd, 0));
	fd = a->fd;
	a->fd = t->fd;
	t->fd = fd;
	memset(t->va, POISON, t->size);
}

static void check_old_memory(struct __test_metadata *_metadata, struct vm *v)
{
	size_t i;

	for (i = 0; i < v->there.size && v->there.va[i] == POISON; i++)
		;
	EXPECT_EQ(v->there.size, i);
}

/* ---- a migration ---- */

/* While the guest runs: everything once, and what the device writes meanwhile again. */
static void copy_memory(struct __test_metadata *_metadata, struct vm *v, struct vdev *d)
{
	int round;

	log_start(_metadata, v, d);
	for (round = 0; round < 2; round++) {
		ASSERT_EQ(0, load_wait_ops(&v->load, 20));
		EXPECT_LT(0, log_report(_metadata, v, d));
	}
}

/* In one request from RUNNING; the vCPUs are stopped before, the last of them as it rings. */
static void pause_vm(struct __test_metadata *_metadata, struct vm *v, struct vdev *d)
{
	ASSERT_EQ(0, load_wait_ops(&v->load, 20));
	load_pause(&v->load);
	submit_reads(_metadata, v);
	ASSERT_SET(d, ST_STOP);
}

static void save(struct __test_metadata *_metadata, struct vdev *d, struct stream *s)
{
	ASSERT_EQ(0, mig_save(d, s));
	ASSERT_SET(d, ST_STOP);
}

/* Whole stream in one write, in one request from RUNNING. Return: the file. */
static int load_stream(struct __test_metadata *_metadata, struct vdev *d, const struct stream *s)
{
	int fd = ASSERT_OPEN(d, ST_RESUMING);

	ASSERT_EQ(s->size, write(fd, s->data, s->size));
	return fd;
}

static void open_there(struct __test_metadata *_metadata, struct vdev *d, const char *bdf,
		       const struct arena *memory)
{
	vdev_open_passed(d, bdf);
	ASSERT_EQ(0, vdev_map(d, memory));
	EXPECT_EQ(0, vfio_pci_config_readw(d->pci, PCI_COMMAND) & PCI_COMMAND_MASTER);
}

/* Both VMMs; @logged: memory is copied, else the destination has the same. */
static void migrate(struct __test_metadata *_metadata, struct vm *v, struct vdev *from,
		    struct vdev *to, const char *to_bdf, bool logged)
{
	struct stream s;
	int fd;

	if (logged)
		copy_memory(_metadata, v, from);
	pause_vm(_metadata, v, from);
	if (logged)
		EXPECT_LT(0, log_report(_metadata, v, from));
	EXPECT_EQ(v->command, vfio_pci_config_readw(from->pci, PCI_COMMAND));
	save(_metadata, from, &s);
	if (logged) {
		log_report(_metadata, v, from);
		copy_guests(v);
	}

	open_there(_metadata, to, to_bdf, logged ? &v->there : &v->m.arena);
	fd = load_stream(_metadata, to, &s);
	restore_command(v, to);
	restore_vectors(v, to);
	if (logged)
		switch_memory(_metadata, v);
	udrv_set_dev(v->m.u, to);
	ASSERT_SET(to, ST_RUNNING);
	close(fd);
	load_resume(&v->load);
	EXPECT_EQ(0, load_wait_ops(&v->load, 20));

	/* the source goes when the destination runs, and was stopped until then */
	EXPECT_STATE(from, ST_STOP);
	if (logged) {
		check_old_memory(_metadata, v);
		EXPECT_EQ(0, vdev_log_stop(from));
	}
	vdev_close(from);
	stream_free(&s);
}

static void move_and_return(struct __test_metadata *_metadata, struct vm *v, bool logged)
{
	const char *peer = getenv(MIG_PEER);
	int round;

	if (!peer)
		SKIP(return, MIG_PEER " is not set");
	guest_up(_metadata, v);
	start_load(_metadata, v, logged ? 11 : 12);
	for (round = 0; round < 1 + logged; round++) {
		migrate(_metadata, v, &v->m.dev, &v->other, peer, logged);
		check_reads(_metadata, v);
		migrate(_metadata, v, &v->other, &v->m.dev, mig_bdf, logged);
		check_reads(_metadata, v);
	}
	end_load(_metadata, v);
	guest_goes_on(_metadata, v);
}

/* To another host: memory is copied, with what DMA logging reports until the device is saved. */
MIG_TEST(vmm, s66_s69_s88_s89_s90_to_another_host_and_back)
{
	struct vm *v = &self->v;

	if (mig_offers_logging(_metadata, &v->m))
		move_and_return(_metadata, v, true);
}

/* To another VMM on this host, which has the same memory. */
MIG_TEST(vmm, s66_s69_s90_to_another_vmm_and_back)
{
	move_and_return(_metadata, &self->v, false);
}

/* ---- registers that are restored when the device runs already ---- */

#define WAITING		14

struct waiting {
	struct udrv_io io[WAITING];
	unsigned int done;
};

/* Submitted while it is stopped, so that the destination is the one that executes them. */
static void submit_waiting(struct __test_metadata *_metadata, struct udrv *u, struct waiting *w)
{
	unsigned int i;

	for (i = 0; i < WAITING; i++) {
		w->io[i] = (struct udrv_io){
			.channel = i % (u->channels + 1), .blocks = 1, .buf = u->work,
			.done = count_done, .priv = &w->done,
		};
		/* without data for channel 0, as all have the same buffer */
		w->io[i].write = !w->io[i].channel;
		ASSERT_EQ(0, udrv_submit(u, &w->io[i]));
	}
}

/* They end, whether or not anybody was told. */
static void find_without_interrupt(struct __test_metadata *_metadata, struct udrv *u,
				   struct waiting *w)
{
	u64 end = now_ms() + UDRV_TIMEOUT_MS;

	while (w->done < WAITING && now_ms() < end)
		if (!u->ops->reap(u))
			sched_yield();
	EXPECT_EQ(WAITING, w->done);
}

/* A device without bus mastering does nothing, also in RUNNING. False: it gave up. */
static bool stays_off_the_bus(struct __test_metadata *_metadata, struct vm *v, struct vdev *d)
{
	struct quiet quiet;

	ASSERT_EQ(0, quiet_start(&quiet, v->m.u));
	ASSERT_SET(d, ST_RUNNING);
	EXPECT_EQ(0, quiet_check(&quiet, WATCH_MS));
	quiet_end(&quiet);
	return !v->m.ops->failed(d);
}

static bool move_late(struct __test_metadata *_metadata, struct vm *v, struct vdev *from,
		      struct vdev *to, const char *bdf, bool master_late)
{
	struct waiting w = { 0 };
	bool on = true;
	struct stream s;
	int fd;

	ASSERT_SET(from, ST_STOP);
	submit_waiting(_metadata, v->m.u, &w);
	save(_metadata, from, &s);
	open_there(_metadata, to, bdf, &v->m.arena);
	fd = load_stream(_metadata, to, &s);
	stream_free(&s);
	udrv_set_dev(v->m.u, to);
	vdev_close(from);
	if (master_late) {
		on = stays_off_the_bus(_metadata, v, to);
		EXPECT_EQ(0, w.done);
		restore_command(v, to);
	} else {
		restore_command(v, to);
		ASSERT_SET(to, ST_RUNNING);
	}
	close(fd);
	if (on) {
		find_without_interrupt(_metadata, v->m.u, &w);
		restore_vectors(v, to);
		guest_goes_on(_metadata, v);
	}
	return on;
}

MIG_TEST(vmm, s69_s75_vectors_restored_when_it_runs)
{
	const char *peer = getenv(MIG_PEER);
	struct vm *v = &self->v;

	if (!peer)
		SKIP(return, MIG_PEER " is not set");
	guest_up(_metadata, v);
	move_late(_metadata, v, &v->m.dev, &v->other, peer, false);
	move_late(_metadata, v, &v->other, &v->m.dev, mig_bdf, false);
}

MIG_TEST(vmm, s69_s71_s75_all_registers_restored_when_it_runs)
{
	const char *peer = getenv(MIG_PEER);
	struct vm *v = &self->v;

	if (!peer)
		SKIP(return, MIG_PEER " is not set");
	guest_up(_metadata, v);
	if (!move_late(_metadata, v, &v->m.dev, &v->other, peer, true))
		SKIP(return, "device fails without bus mastering");
	move_late(_metadata, v, &v->other, &v->m.dev, mig_bdf, true);
}

/* ---- config space in between ---- */

/* D3hot and back, which does not reset this function. */
static void doze(struct __test_metadata *_metadata, struct vdev *d)
{
	u16 at = vdev_find_cap(d, PCI_CAP_ID_PM) + PCI_PM_CTRL;
	u16 ctrl = vfio_pci_config_readw(d->pci, at) & ~PCI_PM_CTRL_STATE_MASK;

	vfio_pci_config_writew(d->pci, at, ctrl | 3);
	EXPECT_EQ(3, vfio_pci_config_readw(d->pci, at) & PCI_PM_CTRL_STATE_MASK);
	vfio_pci_config_writew(d->pci, at, ctrl);
	EXPECT_EQ(0, vfio_pci_config_readw(d->pci, at) & PCI_PM_CTRL_STATE_MASK);
}

static bool can_doze(struct vdev *d)
{
	u8 at = vdev_find_cap(d, PCI_CAP_ID_PM);

	return at && vfio_pci_config_readw(d->pci, at + PCI_PM_CTRL) & PCI_PM_CTRL_NO_SOFT_RESET;
}

/* Its power state is nobody's state of migration: it may change in each, and nothing is lost. */
MIG_TEST(vmm, s72_s83_power_states_on_the_way)
{
	struct vm *v = &self->v;
	struct vdev *from = &v->m.dev, *to = &v->other;
	struct waiting w = { 0 };
	struct stream s;
	int fd;

	if (!getenv(MIG_PEER))
		SKIP(return, MIG_PEER " is not set");
	if (!can_doze(from))
		SKIP(return, "no power management, or one that resets the function");
	guest_up(_metadata, v);
	ASSERT_SET(from, ST_STOP);
	doze(_metadata, from);
	submit_waiting(_metadata, v->m.u, &w);
	fd = ASSERT_OPEN(from, ST_STOP_COPY);
	doze(_metadata, from);
	ASSERT_EQ(0, stream_read(fd, &s, 0));
	close(fd);
	doze(_metadata, from);
	ASSERT_SET(from, ST_STOP);

	open_there(_metadata, to, getenv(MIG_PEER), &v->m.arena);
	fd = ASSERT_OPEN(to, ST_RESUMING);
	doze(_metadata, to);
	ASSERT_EQ(0, stream_write(fd, &s, 0));
	restore_command(v, to);
	doze(_metadata, to);
	EXPECT_EQ(v->command, vfio_pci_config_readw(to->pci, PCI_COMMAND));
	restore_vectors(v, to);
	udrv_set_dev(v->m.u, to);
	ASSERT_SET(to, ST_STOP);
	doze(_metadata, to);
	ASSERT_SET(to, ST_RUNNING);
	close(fd);
	EXPECT_EQ(0, udrv_drain(v->m.u));
	EXPECT_EQ(WAITING, w.done);
	guest_goes_on(_metadata, v);
	stream_free(&s);
}

/* ---- what goes wrong ---- */

/* The destination never came: the source goes on, with logging until then. */
MIG_TEST(vmm, s19_s30_s89_migration_given_up)
{
	struct vm *v = &self->v;
	struct vdev *d = &v->m.dev;
	bool logged = !vdev_feature(d, F_PROBE | F_SET | F_LOG_START, NULL, 0) &&
		      !access("/dev/iommu", F_OK);
	struct stream s;
	int round;

	guest_up(_metadata, v);
	start_load(_metadata, v, 13);
	for (round = 0; round < 2; round++) {
		if (logged)
			copy_memory(_metadata, v, d);
		pause_vm(_metadata, v, d);
		if (logged)
			log_report(_metadata, v, d);
		save(_metadata, d, &s);
		stream_free(&s);
		if (logged) {
			log_report(_metadata, v, d);
			EXPECT_EQ(0, vdev_log_stop(d));
		}
		ASSERT_SET(d, ST_RUNNING);
		load_resume(&v->load);
		EXPECT_EQ(0, load_wait_ops(&v->load, 20));
		check_reads(_metadata, v);
	}
	end_load(_metadata, v);
}

/* Its way out of a load that failed: a reset, and the registers as before. */
static void recover(struct __test_metadata *_metadata, struct vm *v, struct vdev *d)
{
	EXPECT_RESET(d);
	restore_command(v, d);
	restore_vectors(v, d);
	mig_expect_off(_metadata, &v->m, d);
}

static void reset_by_config(struct __test_metadata *_metadata, struct vdev *d)
{
	u16 at = vdev_find_cap(d, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;

	vfio_pci_config_writew(d->pci, at, vfio_pci_config_readw(d->pci, at) |
			       PCI_EXP_DEVCTL_BCR_FLR);
	EXPECT_STATE(d, ST_RUNNING);
}

/* A destination that was reset before the load, in it and after it takes the next load. */
MIG_TEST(vmm, s68_s76_load_after_failed_ones)
{
	struct vm *v = &self->v;
	struct vdev *d = &v->m.dev, *to = &v->other;
	struct stream s, bad;
	int fd;

	if (!getenv(MIG_PEER))
		SKIP(return, MIG_PEER " is not set");
	guest_up(_metadata, v);
	start_load(_metadata, v, 14);
	pause_vm(_metadata, v, d);
	save(_metadata, d, &s);

	open_there(_metadata, to, getenv(MIG_PEER), &v->m.arena);
	EXPECT_RESET(to);
	/* half of it */
	fd = ASSERT_OPEN(to, ST_RESUMING);
	ASSERT_EQ(s.size / 2, write(fd, s.data, s.size / 2));
	recover(_metadata, v, to);
	EXPECT_TRUE(mig_file_dead(fd));
	close(fd);
	/* something else */
	bad.size = s.size;
	bad.data = calloc_assert(1, bad.size);
	fd = ASSERT_OPEN(to, ST_RESUMING);
	if (!stream_write(fd, &bad, 0))
		EXPECT_NE(0, vdev_mig_set_state(to, ST_RUNNING, NULL));
	recover(_metadata, v, to);
	close(fd);
	stream_free(&bad);
	/* all of it, twice: the guest's reset of the function takes the first one away */
	fd = load_stream(_metadata, to, &s);
	reset_by_config(_metadata, to);
	close(fd);
	fd = load_stream(_metadata, to, &s);
	restore_command(v, to);
	restore_vectors(v, to);
	udrv_set_dev(v->m.u, to);
	ASSERT_SET(to, ST_RUNNING);
	close(fd);
	load_resume(&v->load);
	check_reads(_metadata, v);
	end_load(_metadata, v);
	stream_free(&s);
}

/*
 * A manager that keeps the file keeps the device open: a VMM that dies leaves it as it is. The
 * next one finds it in that state, and has to reset it.
 */
MIG_TEST(vmm, s76_file_that_outlives_its_vmm)
{
	struct vdev *d = &self->v.m.dev;
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		char byte;
		int fd = vdev_mig_open(d, ST_STOP_COPY);

		_exit(fd < 0 || read(fd, &byte, 1) != 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	EXPECT_STATE(d, ST_STOP_COPY);
	EXPECT_RESET(d);
	mig_expect_usable(_metadata, &self->v.m, d);
}

/* ---- two devices ---- */

/* On the function with this address, as a new VMM does it; it runs later. */
static void restart(struct __test_metadata *_metadata, struct vm *v, struct udrv *u,
		    const char *bdf, const struct stream *s)
{
	int fd;

	open_there(_metadata, u->dev, bdf, &v->m.arena);
	fd = load_stream(_metadata, u->dev, s);
	restore_command(v, u->dev);
	vdev_irqs(u->dev, u->evfds, u->nr_vectors);
	close(fd);
}

static void exchange(struct __test_metadata *_metadata, struct vm *v, struct udrv *ub,
		     const struct stream *sa, const struct stream *sb)
{
	struct udrv *ua = v->m.u;
	char a[BDF_SIZE], b[BDF_SIZE];

	snprintf(a, sizeof(a), "%s", ua->dev->bdf);
	snprintf(b, sizeof(b), "%s", ub->dev->bdf);
	vdev_close(ua->dev);
	vdev_close(ub->dev);
	restart(_metadata, v, ua, b, sa);
	restart(_metadata, v, ub, a, sb);
	ASSERT_SET(ua->dev, ST_RUNNING);
	ASSERT_SET(ub->dev, ST_RUNNING);
}

/* One after the other is stopped; each gets the function of the other. */
static void move_both(struct __test_metadata *_metadata, struct vm *v, struct udrv *ub,
		      bool saved_between)
{
	struct waiting w = { 0 };
	struct stream sa, sb;

	pause_vm(_metadata, v, v->m.u->dev);
	submit_waiting(_metadata, ub, &w);
	if (saved_between)
		save(_metadata, v->m.u->dev, &sa);
	ASSERT_SET(ub->dev, ST_STOP);
	if (!saved_between)
		save(_metadata, v->m.u->dev, &sa);
	save(_metadata, ub->dev, &sb);
	exchange(_metadata, v, ub, &sa, &sb);
	load_resume(&v->load);
	check_reads(_metadata, v);
	EXPECT_EQ(0, udrv_drain(ub));
	EXPECT_EQ(WAITING, w.done);
	EXPECT_EQ(0, udrv_work(ub, 1));
	stream_free(&sa);
	stream_free(&sb);
}

MIG_TEST(vmm, s92_two_devices_one_after_the_other)
{
	const char *sibling = getenv(MIG_SIBLING);
	struct vm *v = &self->v;
	struct udrv *ub;

	if (!sibling)
		SKIP(return, MIG_SIBLING " is not set");
	open_there(_metadata, &v->other, sibling, &v->m.arena);
	vdev_bus_master(&v->other, true);
	ASSERT_EQ(0, udrv_init(v->m.ops, &v->other, &v->m.arena, &guest_opts, &ub));
	guest_up(_metadata, v);
	start_load(_metadata, v, 15);
	move_both(_metadata, v, ub, false);
	move_both(_metadata, v, ub, true);
	end_load(_metadata, v);
	udrv_check_idle(ub);
	EXPECT_EQ(0, ub->faults)
		TH_LOG("%s", ub->fault);
	udrv_fini(ub);
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
