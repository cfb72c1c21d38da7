// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe controllers that are migrated with work in flight: nothing happens while one is stopped,
 * nothing is lost or done twice when it goes on, here or elsewhere.
 */
#include <dirent.h>
#include <linux/nvme_ioctl.h>
#include <pthread.h>
#include <sched.h>

#include "lib/drivers/nvme/unvme.h"
#include "lib/harness.h"

/* How long memory and vectors of a stopped controller are watched */
#define WATCH_MS	150

FIXTURE(nvme) {
	struct mig m;
	struct vdev other;
	struct load load;
};

FIXTURE_SETUP(nvme)
{
	mig_setup(_metadata, &self->m);
	if (self->m.flags && self->m.ops != &unvme_ops)
		SKIP(return, "not an NVMe function");
}

FIXTURE_TEARDOWN(nvme)
{
	load_fini(&self->load);
	mig_teardown(_metadata, &self->m);
	if (self->other.pci)
		vdev_close(&self->other);
}

/* A user with queues of some kind; NULL: the test is skipped. */
static struct unvme *start(struct __test_metadata *_metadata, struct mig *m,
			   const struct unvme_opts *opts)
{
	struct unvme *u;
	int err = unvme_new(&u, &m->dev, &m->arena, opts);

	if (err == -EOPNOTSUPP)
		SKIP(return NULL, "device does not offer shadow doorbells");
	ASSERT_EQ(0, err);
	m->u = &u->udrv;
	return u;
}

static const struct nvme_sqe features_cmd = { .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 7 };

/* done() that counts in an unsigned int */
static void count_done(struct unvme *u, struct unvme_cmd *c)
{
	unsigned int *n = c->priv;

	if (unvme_status(c))
		unvme_fault(u, "status %#x", unvme_status(c));
	(*n)++;
}

static struct unvme_cmd *submit_flush(struct unvme *u, u16 q, unsigned int *done)
{
	struct nvme_sqe sqe = { .opcode = NVME_IO_FLUSH, .nsid = u->nsid };

	return unvme_submit(u, q, &sqe, count_done, done);
}

/* An asynchronous event request that notes how often and with what it ended */
struct event {
	unsigned int count;
	u32 result;
};

static void got_event(struct unvme *u, struct unvme_cmd *c)
{
	struct event *e = c->priv;

	e->count++;
	e->result = c->cqe.result;
}

static void drain_all(struct __test_metadata *_metadata, struct unvme *u)
{
	u16 id;

	for (id = 0; id < UNVME_MAX_QUEUES; id++)
		if (u->sqs[id].live)
			ASSERT_EQ(0, unvme_drain(u, id, 0));
	unvme_check_idle(u, 0);
}

static void check_usable(struct __test_metadata *_metadata, struct mig *m)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };

	mig_end_user(_metadata, m);
	vdev_bus_master(&m->dev, true);
	start(_metadata, m, &opts);
	EXPECT_EQ(0, udrv_work_all(m->u));
	udrv_check_idle(m->u);
}

/* As a reset leaves them. */
static void check_registers_off(struct __test_metadata *_metadata, struct vdev *d)
{
	EXPECT_EQ(0, vdev_read32(d, NVME_REG_CC));
	EXPECT_EQ(0, vdev_read32(d, NVME_REG_AQA));
	EXPECT_EQ(0, vdev_read64(d, NVME_REG_ASQ));
	EXPECT_EQ(0, vdev_read64(d, NVME_REG_ACQ));
}

/* What a VMM does between stopping the source and starting the destination. */
static void transfer(struct __test_metadata *_metadata, struct unvme *u, struct vdev *from,
		     struct vdev *to)
{
	struct stream s;

	ASSERT_EQ(0, mig_save(from, &s));
	ASSERT_EQ(0, mig_load(to, &s));
	stream_free(&s);
	unvme_move(u, to);
}

/* ---- silence ---- */

/* Long reads on all queues, and the admin queue; they are being worked on when this returns. */
static void submit_burst(struct __test_metadata *_metadata, struct unvme *u, unsigned int *done)
{
	struct nvme_sqe sqe = { .opcode = NVME_IO_READ, .nsid = u->nsid };
	unsigned int i;
	u16 q;

	sqe.cdw12 = UNVME_SCRATCH / 2 / u->lba_size - 1;
	unvme_set_prp(u, &sqe, u->scratch, UNVME_SCRATCH / 2, u->scratch_list);
	for (q = 1; q <= u->opts.queues; q++) {
		for (i = 0; i < u->opts.depth - 1u; i++)
			ASSERT_NE(NULL, unvme_queue_cmd(u, q, &sqe, count_done, done));
		unvme_ring(u, q);
	}
	for (i = 0; i < 4; i++)
		ASSERT_NE(NULL, unvme_submit(u, 0, &features_cmd, count_done, done));
}

/*
 * From the moment that SET returns there is no change of memory and no interrupt. In STOP_COPY the
 * state may have been read already; a doorbell that is rung after that may be lost.
 */
static void check_silence(struct __test_metadata *_metadata, struct mig *m, u32 state)
{
	struct unvme *u = to_unvme(m->u);
	unsigned int done = 0, sent = u->opts.queues * (u->opts.depth - 1) + 4;
	bool may_ring = state != ST_STOP_COPY;
	struct quiet quiet;
	int fd, err;

	submit_burst(_metadata, u, &done);
	err = vdev_mig_set_state(&m->dev, state, &fd);
	ASSERT_EQ(0, quiet_start(&quiet, m->u));
	ASSERT_EQ(0, err);
	EXPECT_STATE(&m->dev, state);
	if (may_ring)
		unvme_reap_all(u);
	EXPECT_EQ(0, quiet_check(&quiet, WATCH_MS))
		TH_LOG("in %s", mig_state_name(state));
	if (may_ring)
		EXPECT_EQ(0, unvme_reap_all(u));
	quiet_end(&quiet);
	if (fd >= 0)
		close(fd);
	ASSERT_SET(&m->dev, ST_RUNNING);
	drain_all(_metadata, u);
	EXPECT_EQ(sent, done);
}

MIG_TEST(nvme, s18_s19_s20_silent_when_stopped_at_work)
{
	static const struct unvme_opts opts = { .queues = 3, .irq = true, .depth = 32 };
	static const u32 states[] = { ST_P2P, ST_STOP, ST_STOP_COPY, ST_PRE_COPY_P2P };
	unsigned int i, round;

	start(_metadata, &self->m, &opts);
	for (round = 0; round < 3; round++)
		for (i = 0; i < ARRAY_SIZE(states); i++)
			if (mig_has_state(self->m.flags, states[i]))
				check_silence(_metadata, &self->m, states[i]);
}

/* ---- a load that moves ---- */

static void start_load(struct __test_metadata *_metadata, struct mig *m, struct load *l,
		       u32 seed)
{
	*l = (struct load){
		.u = m->u, .units = 128, .unit_blocks = 32, .qd = 8, .seed = seed, .control = true,
	};
	ASSERT_EQ(0, load_init(l));
	ASSERT_EQ(0, load_start(l));
}

static void end_load(struct __test_metadata *_metadata, struct load *l)
{
	EXPECT_EQ(0, load_wait_ops(l, 40));
	EXPECT_EQ(0, load_end(l));
	EXPECT_EQ(0, load_verify(l));
	EXPECT_LT(4, l->controls);
}

static u32 quiesced(struct mig *m)
{
	return mig_has_state(m->flags, ST_P2P) ? ST_P2P : ST_STOP;
}

/* The thread of the load is a virtual CPU: it goes on for a while after the VF was suspended. */
static void move_loaded(struct __test_metadata *_metadata, struct mig *m, struct load *l,
			struct vdev *from, struct vdev *to)
{
	struct quiet quiet;

	ASSERT_EQ(0, load_wait_ops(l, 40));
	ASSERT_SET(from, quiesced(m));
	load_pause(l);
	ASSERT_SET(from, ST_STOP);
	ASSERT_EQ(0, quiet_start(&quiet, m->u));
	transfer(_metadata, to_unvme(m->u), from, to);
	EXPECT_EQ(0, quiet_check(&quiet, 0));
	quiet_end(&quiet);
	ASSERT_SET(to, ST_RUNNING);
	load_resume(l);
	ASSERT_EQ(0, load_wait_ops(l, 40));
	EXPECT_RESET(from);
	vdev_bus_master(from, true);
}

/* The event requests came along, and none was answered by a move. */
static void trigger_event(struct __test_metadata *_metadata, struct unvme *u, struct event *e)
{
	EXPECT_EQ(2, u->sqs[0].inflight);
	EXPECT_EQ(0, e->count);
	EXPECT_EQ(0, unvme_set_features(u, 4, 1, NULL));
	EXPECT_EQ(0, unvme_drain(u, 0, 1));
	EXPECT_EQ(1, e->count);
	EXPECT_EQ(1, e->result & 7);
	unvme_check_idle(u, 1);
}

static void move_under_load(struct __test_metadata *_metadata, struct mig *m, struct load *l,
			    struct vdev *other, const struct unvme_opts *opts)
{
	struct vdev *from = &m->dev, *to = other, *t;
	struct unvme *u = start(_metadata, m, opts);
	struct event e = { 0 };
	int round;

	if (!u)
		return;
	EXPECT_EQ(0, unvme_set_features(u, 0x0b, 0x11f, NULL));
	unvme_aer(u, got_event, &e);
	unvme_aer(u, got_event, &e);
	start_load(_metadata, m, l, 5);
	/* an even number, it ends where it began */
	for (round = 0; round < 4; round++) {
		move_loaded(_metadata, m, l, from, to);
		t = from;
		from = to;
		to = t;
	}
	end_load(_metadata, l);
	trigger_event(_metadata, u, &e);
}

MIG_TEST(nvme, s66_s69_load_moves_to_the_sibling)
{
	static const struct unvme_opts opts = { .queues = 4, .depth = 16, .irq = true };

	if (mig_open(_metadata, &self->m, &self->other, MIG_SIBLING))
		move_under_load(_metadata, &self->m, &self->load, &self->other, &opts);
}

MIG_TEST(nvme, s66_s69_load_moves_to_the_peer)
{
	static const struct unvme_opts opts = { .queues = 4, .depth = 24, .irq = true };

	if (mig_open(_metadata, &self->m, &self->other, MIG_PEER))
		move_under_load(_metadata, &self->m, &self->load, &self->other, &opts);
}

/* The same with the doorbells in memory. */
MIG_TEST(nvme, s69_load_with_shadow_doorbells_moves)
{
	static const struct unvme_opts opts = {
		.queues = 3, .depth = 24, .irq = true, .dbbuf = true
	};

	if (mig_open(_metadata, &self->m, &self->other, MIG_PEER))
		move_under_load(_metadata, &self->m, &self->load, &self->other, &opts);
}

/* A migration that failed: back to RUNNING from wherever it was, under load. */
MIG_TEST(nvme, s19_s30_load_goes_on_after_a_migration_given_up)
{
	static const u32 how_far[] = { ST_P2P, ST_STOP, ST_STOP_COPY };
	static const struct unvme_opts opts = { .queues = 4, .irq = true };
	struct vdev *d = &self->m.dev;
	unsigned int i;

	start(_metadata, &self->m, &opts);
	start_load(_metadata, &self->m, &self->load, 6);
	for (i = 0; i < 3 * ARRAY_SIZE(how_far); i++) {
		ASSERT_EQ(0, load_wait_ops(&self->load, 20));
		ASSERT_SET(d, quiesced(&self->m));
		/* from STOP on the virtual CPUs are stopped, that is the VMM's part */
		load_pause(&self->load);
		if (mig_has_state(self->m.flags, how_far[i % 3]))
			ASSERT_SET(d, how_far[i % 3]);
		ASSERT_SET(d, ST_RUNNING);
		load_resume(&self->load);
	}
	end_load(_metadata, &self->load);
	udrv_check_idle(self->m.u);
}

/* ---- each command once ---- */

/* Commands that wait in the queues of a stopped controller are executed where they go. */
MIG_TEST(nvme, s21_s69_waiting_commands_are_executed_once)
{
	static const struct unvme_opts opts = { .queues = 2, .depth = 32, .irq = true };
	unsigned int i, io = 0, admin = 0;
	struct unvme *u;
	struct vdev *d = &self->m.dev;
	struct vdev *to = &self->other;
	struct stream s;
	int fd;

	if (!mig_open(_metadata, &self->m, to, MIG_PEER))
		return;
	u = start(_metadata, &self->m, &opts);
	ASSERT_SET(d, ST_STOP);
	for (i = 0; i < 20; i++)
		ASSERT_NE(NULL, submit_flush(u, 1 + i % u->opts.queues, &io));
	for (i = 0; i < 3; i++)
		ASSERT_NE(NULL, unvme_submit(u, 0, &features_cmd, count_done, &admin));
	ASSERT_EQ(0, mig_save(d, &s));

	/* straight from RESUMING to RUNNING; vectors are there before */
	fd = ASSERT_OPEN(to, ST_RESUMING);
	ASSERT_EQ(0, stream_write(fd, &s, 0));
	EXPECT_EQ(0, io + admin);
	unvme_move(u, to);
	ASSERT_SET(to, ST_RUNNING);
	close(fd);
	drain_all(_metadata, u);
	EXPECT_EQ(20, io);
	EXPECT_EQ(3, admin);
	EXPECT_EQ(0, unvme_rw(u, u->opts.queues, true, 0, 8));
	EXPECT_EQ(0, unvme_rw(u, 1, false, 0, 8));
	unvme_check_idle(u, 0);
	stream_free(&s);
}

/* ---- what a load may touch ---- */

struct vmm_owned {
	u8 config[PCI_CFG_SPACE_SIZE];
	u32 entry[8];
};

static void read_owned(struct vdev *d, struct vmm_owned *o)
{
	unsigned int i;

	vfio_pci_config_access(d->pci, false, 0, sizeof(o->config), o->config);
	for (i = 0; i < ARRAY_SIZE(o->entry); i++)
		o->entry[i] = d->msix_table ? vdev_read32(d, d->msix_table + 4 * i) : 0;
}

/*
 * A VMM loads the device before the guest's memory is complete and while bus mastering is off:
 * the load reads nothing and writes nothing there, and config space and vectors stay.
 */
MIG_TEST(nvme, s71_load_leaves_the_vmms_part_alone)
{
	static const struct unvme_opts opts = { .queues = 3, .depth = 32, .irq = true };
	struct vmm_owned before, after;
	struct unvme *u;
	struct vdev *d = &self->m.dev;
	struct vdev *to = &self->other;
	unsigned int i, io = 0;
	struct arena *a = &self->m.arena;
	struct stream s;
	u8 *memory;
	int fd;

	if (!mig_open(_metadata, &self->m, to, MIG_PEER))
		return;
	u = start(_metadata, &self->m, &opts);
	for (i = 0; i < 20; i++)
		EXPECT_EQ(0, unvme_rw(u, 1 + i % u->opts.queues, true, i * 8, 8));
	ASSERT_SET(d, ST_STOP);
	for (i = 0; i < 6; i++)
		submit_flush(u, 1 + i % u->opts.queues, &io);
	ASSERT_EQ(0, mig_save(d, &s));
	memory = malloc_assert(a->used);
	memcpy(memory, a->va, a->used);
	memset(a->va, 0xee, a->used);

	vdev_bus_master(to, false);
	ASSERT_EQ(0, vdev_unmap(to));
	fd = ASSERT_OPEN(to, ST_RESUMING);
	vdev_irqs(to, u->udrv.evfds, u->udrv.nr_vectors);
	if (u->udrv.nr_vectors)
		vdev_mask_vector(to, u->udrv.nr_vectors - 1, true);
	read_owned(to, &before);
	EXPECT_EQ(0, stream_write(fd, &s, 0));
	close(fd);
	EXPECT_SET(to, ST_STOP);
	read_owned(to, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	for (i = 0; i < a->used && a->va[i] == 0xee; i++)
		;
	EXPECT_EQ(a->used, i);

	ASSERT_EQ(0, vdev_map(to, a));
	memcpy(a->va, memory, a->used);
	free(memory);
	if (u->udrv.nr_vectors)
		vdev_mask_vector(to, u->udrv.nr_vectors - 1, false);
	vdev_bus_master(to, true);
	unvme_move(u, to);
	ASSERT_SET(to, ST_RUNNING);
	drain_all(_metadata, u);
	EXPECT_EQ(6, io);
	for (i = 0; i < 20; i++)
		EXPECT_EQ(0, unvme_rw(u, 1 + i % u->opts.queues, false, i * 8, 8));
	stream_free(&s);
}

/* A guest in its firmware: the queues are gone, what a controller reset keeps moves. */
MIG_TEST(nvme, s66_controller_that_was_disabled)
{
	static const struct unvme_opts opts = { .irq = true };
	struct vdev *d = &self->m.dev;
	struct vdev *to = &self->other;
	struct unvme u;

	if (!mig_open(_metadata, &self->m, to, MIG_PEER))
		return;
	ASSERT_EQ(0, unvme_enable(&u, d, &self->m.arena, &opts));
	ASSERT_EQ(0, unvme_disable(&u));
	ASSERT_SET(d, ST_STOP);
	transfer(_metadata, &u, d, to);
	ASSERT_SET(to, ST_RUNNING);
	EXPECT_EQ(0, vdev_read32(to, NVME_REG_CSTS));
	EXPECT_EQ(0, vdev_read32(to, NVME_REG_CC) & NVME_CC_EN);
	EXPECT_EQ(arena_iova(&self->m.arena, u.sqs[0].ring), vdev_read64(to, NVME_REG_ASQ));
	unvme_fini(&u);
	ASSERT_EQ(0, unvme_init(&u, to, &self->m.arena, &opts));
	EXPECT_EQ(0, u.udrv.faults)
		TH_LOG("%s", u.udrv.fault);
	unvme_fini(&u);
}

/* And one that did nothing yet. */
MIG_TEST(nvme, s66_controller_as_reset)
{
	struct vdev *d = &self->m.dev;
	struct stream s;

	ASSERT_EQ(0, mig_save_fresh(d, &s));
	ASSERT_EQ(0, mig_load(d, &s));
	ASSERT_SET(d, ST_RUNNING);
	check_registers_off(_metadata, d);
	check_usable(_metadata, &self->m);
	stream_free(&s);
}

/* ---- access while it is stopped ---- */

/* Everything a guest could write, without sense. */
static void write_registers(struct vdev *d)
{
	u32 off;

	for (off = NVME_REG_DBS; off < NVME_REG_DBS + 64; off += 4)
		vdev_write32(d, off, off & 4 ? 0xffff : 1);
	vdev_write32(d, NVME_REG_INTMS, 0xffffffff);
	vdev_write32(d, NVME_REG_INTMC, 0xffffffff);
	vdev_write32(d, NVME_REG_AQA, 0x0fff0fff);
	vdev_write64(d, NVME_REG_ASQ, ~0xfffull);
	vdev_write64(d, NVME_REG_ACQ, ~0xfffull);
	vdev_write32(d, NVME_REG_CC, vdev_read32(d, NVME_REG_CC) ^ NVME_CC_EN);
	vdev_read32(d, NVME_REG_CSTS);
}

MIG_TEST(nvme, s73_registers_written_while_stopped)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };
	struct vdev *d = &self->m.dev;
	unsigned int i;
	u64 size;
	int fd;

	for (i = 0; i < self->m.nr_states; i++) {
		if (self->m.states[i] == ST_RUNNING)
			continue;
		mig_end_user(_metadata, &self->m);
		vdev_bus_master(d, true);
		start(_metadata, &self->m, &opts);
		fd = -1;
		ASSERT_EQ(0, vdev_mig_set_state(d, self->m.states[i], &fd));
		write_registers(d);
		EXPECT_STATE(d, self->m.states[i]);
		EXPECT_EQ(0, vdev_mig_data_size(d, &size));
		if (fd >= 0)
			close(fd);
		EXPECT_RESET(d);
		check_registers_off(_metadata, d);
		check_usable(_metadata, &self->m);
	}
}

/* Doorbells count when the controller goes on. */
static void check_doorbells(struct __test_metadata *_metadata, struct mig *m, u32 state)
{
	unsigned int io = 0, admin = 0;
	struct unvme *u = to_unvme(m->u);
	struct quiet quiet;

	ASSERT_SET(&m->dev, state);
	submit_flush(u, 1, &io);
	submit_flush(u, u->opts.queues, &io);
	unvme_submit(u, 0, &features_cmd, count_done, &admin);
	ASSERT_EQ(0, quiet_start(&quiet, m->u));
	EXPECT_EQ(NVME_CSTS_RDY, vdev_read32(&m->dev, NVME_REG_CSTS));
	EXPECT_EQ(0, quiet_check(&quiet, WATCH_MS))
		TH_LOG("in %s", mig_state_name(state));
	quiet_end(&quiet);
	EXPECT_EQ(0, unvme_reap_all(u));
	ASSERT_SET(&m->dev, ST_RUNNING);
	drain_all(_metadata, u);
	EXPECT_EQ(2, io);
	EXPECT_EQ(1, admin);
}

MIG_TEST(nvme, s73_s74_doorbells_count_later)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };

	start(_metadata, &self->m, &opts);
	if (mig_has_state(self->m.flags, ST_P2P))
		check_doorbells(_metadata, &self->m, ST_P2P);
	check_doorbells(_metadata, &self->m, ST_STOP);
}

/* Those rung between P2P and STOP move with the state. */
MIG_TEST(nvme, s74_doorbells_move)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };
	unsigned int io = 0, admin = 0;
	struct vdev *d = &self->m.dev;
	struct vdev *to = &self->other;
	struct unvme *u;

	if (!mig_open(_metadata, &self->m, to, MIG_PEER))
		return;
	u = start(_metadata, &self->m, &opts);
	ASSERT_SET(d, quiesced(&self->m));
	submit_flush(u, 1, &io);
	submit_flush(u, u->opts.queues, &io);
	unvme_submit(u, 0, &features_cmd, count_done, &admin);
	ASSERT_SET(d, ST_STOP);
	transfer(_metadata, u, d, to);
	ASSERT_SET(to, ST_RUNNING);
	drain_all(_metadata, u);
	EXPECT_EQ(2, io);
	EXPECT_EQ(1, admin);
}

/* ---- vectors ---- */

static unsigned int fired(int evfd)
{
	u64 count;

	return read(evfd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

struct pending_arg {
	u16 cq;
};

static bool is_posted(struct unvme *u, void *priv)
{
	return unvme_cq_pending(u, ((struct pending_arg *)priv)->cq);
}

/* An interrupt that waits behind a mask when the controller is stopped comes once, and later. */
MIG_TEST(nvme, s75_masked_interrupt_comes_once_after_it)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };
	struct pending_arg arg = { 1 };
	struct unvme *u;
	struct vdev *d = &self->m.dev;
	unsigned int io = 0;
	int v;

	u = start(_metadata, &self->m, &opts);
	v = u->cqs[1].vector;
	if (v <= 0)
		SKIP(return, "device has no vector for an I/O queue alone");
	vdev_mask_vector(d, v, true);
	ASSERT_NE(NULL, submit_flush(u, 1, &io));
	ASSERT_EQ(0, unvme_wait_for(u, is_posted, &arg, UNVME_TIMEOUT_MS));
	ASSERT_SET(d, ST_STOP);
	EXPECT_EQ(0, fired(u->udrv.evfds[v]));
	ASSERT_SET(d, ST_RUNNING);
	EXPECT_EQ(0, fired(u->udrv.evfds[v]));
	vdev_mask_vector(d, v, false);
	drain_all(_metadata, u);
	EXPECT_EQ(1, io);
	EXPECT_EQ(0, fired(u->udrv.evfds[v]));
}

/* Vectors that are set up anew while the controller is stopped work when it goes on. */
MIG_TEST(nvme, s75_vectors_set_up_while_stopped)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };
	struct unvme *u;
	struct vdev *d = &self->m.dev;
	unsigned int io = 0, i;

	u = start(_metadata, &self->m, &opts);
	ASSERT_SET(d, ST_STOP);
	vdev_irqs(d, NULL, 0);
	submit_flush(u, 1, &io);
	submit_flush(u, u->opts.queues, &io);
	vdev_irqs(d, u->udrv.evfds, u->udrv.nr_vectors);
	for (i = 0; i < u->udrv.nr_vectors; i++)
		EXPECT_EQ(0, fired(u->udrv.evfds[i]));
	ASSERT_SET(d, ST_RUNNING);
	drain_all(_metadata, u);
	EXPECT_EQ(2, io);
}

/* ---- two at a time ---- */

/* What a guest can set and that stays: thresholds, events, and which it is. */
static void make_different(struct __test_metadata *_metadata, struct unvme *u)
{
	EXPECT_EQ(0, unvme_set_features(u, 4, 0x0170, NULL));
	EXPECT_EQ(0, unvme_set_features(u, 4, 0x0110 | 1 << 20, NULL));
	EXPECT_EQ(0, unvme_set_features(u, 0x0b, 0x011f, NULL));
}

#define NR_FEATURES	3

static void read_features(struct __test_metadata *_metadata, struct unvme *u, u32 *f)
{
	EXPECT_EQ(0, unvme_get_features(u, 4, 0, &f[0]));
	EXPECT_EQ(0, unvme_get_features(u, 4, 1 << 20, &f[1]));
	EXPECT_EQ(0, unvme_get_features(u, 0x0b, 0, &f[2]));
}

MIG_TEST(nvme, s92_two_change_places)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };
	u32 fa[NR_FEATURES], fb[NR_FEATURES], f[NR_FEATURES];
	struct vdev *a = &self->m.dev, *b = &self->other;
	struct unvme *ua, *ub;
	struct stream sa, sb;

	if (!mig_open(_metadata, &self->m, b, MIG_SIBLING))
		return;
	ua = start(_metadata, &self->m, &opts);
	ASSERT_EQ(0, unvme_new(&ub, b, &self->m.arena, &opts));
	make_different(_metadata, ua);
	read_features(_metadata, ua, fa);
	read_features(_metadata, ub, fb);
	EXPECT_NE(0, memcmp(fa, fb, sizeof(fa)));

	ASSERT_SET(a, quiesced(&self->m));
	ASSERT_SET(b, quiesced(&self->m));
	ASSERT_EQ(0, mig_save(b, &sb));
	ASSERT_EQ(0, mig_save(a, &sa));
	EXPECT_RESET(a);
	EXPECT_RESET(b);
	ASSERT_EQ(0, mig_load(b, &sa));
	ASSERT_EQ(0, mig_load(a, &sb));
	vdev_bus_master(a, true);
	vdev_bus_master(b, true);
	unvme_move(ua, b);
	unvme_move(ub, a);
	vdev_irqs(b, ua->udrv.evfds, ua->udrv.nr_vectors);
	ASSERT_SET(a, ST_RUNNING);
	ASSERT_SET(b, ST_RUNNING);

	read_features(_metadata, ua, f);
	EXPECT_EQ(0, memcmp(f, fa, sizeof(f)));
	read_features(_metadata, ub, f);
	EXPECT_EQ(0, memcmp(f, fb, sizeof(f)));
	EXPECT_EQ(0, unvme_rw(ua, 1, true, 0, 8));
	EXPECT_EQ(0, unvme_rw(ub, 1, true, 8, 8));
	EXPECT_EQ(0, ub->udrv.faults)
		TH_LOG("%s", ub->udrv.fault);
	stream_free(&sa);
	stream_free(&sb);
	udrv_fini(&ub->udrv);
}

/* To and fro between the files, without a guest: what arrives is what was there at first. */
struct carrier {
	struct vdev *d;
	struct stream first;
	bool stop;
	int rounds;
	int err;
};

static int carry_once(struct carrier *c)
{
	struct stream s;
	int err;

	err = mig_save(c->d, &s);
	if (!err && !c->rounds) {
		c->first = s;
	} else if (!err) {
		err = stream_same(&s, &c->first) ? 0 : -EILSEQ;
		stream_free(&s);
	}
	if (!err)
		err = vdev_reset(c->d);
	return err ? err : mig_load(c->d, &c->first);
}

static void *carry(void *arg)
{
	struct carrier *c = arg;

	for (; c->rounds < 16 && !c->err; c->rounds++)
		c->err = carry_once(c);
	__atomic_store_n(&c->stop, true, __ATOMIC_RELEASE);
	return NULL;
}

/* The character device of the physical function, where nvme drives it; -1 */
static int open_host(const char *bdf)
{
	char path[300];
	struct dirent *e;
	int fd = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/physfn/nvme", bdf);
	dir = opendir(path);
	if (!dir)
		return -1;
	while (fd < 0 && (e = readdir(dir))) {
		if (strncmp(e->d_name, "nvme", 4))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	closedir(dir);
	return fd;
}

static int host_identify(int fd)
{
	static u8 data[4096] __aligned(4096);
	struct nvme_admin_cmd cmd = {
		.opcode = NVME_ADM_IDENTIFY, .addr = (uintptr_t)data, .data_len = sizeof(data),
		.cdw10 = 1,
	};

	return ioctl(fd, NVME_IOCTL_ADMIN_CMD, &cmd) < 0 ? -errno : 0;
}

MIG_TEST(nvme, s92_two_at_once_and_the_hosts_commands)
{
	static const struct unvme_opts opts = { .queues = 3, .irq = true };
	struct unvme *ua, *ub;
	struct carrier c[2] = { 0 };
	unsigned int i, answered = 0;
	pthread_t t[2];
	struct vdev *b = &self->other;
	int host, err;

	if (!mig_open(_metadata, &self->m, b, MIG_SIBLING))
		return;
	ua = start(_metadata, &self->m, &opts);
	host = open_host(mig_bdf);
	if (host < 0)
		SKIP(return, "the physical function is not driven by nvme here");
	ASSERT_EQ(0, unvme_new(&ub, b, &self->m.arena, &opts));
	make_different(_metadata, ua);
	c[0].d = &self->m.dev;
	c[1].d = b;
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, carry, &c[i]));
	do {
		err = host_identify(host);
		answered += !err;
		ASSERT_EQ(0, err);
	} while (!__atomic_load_n(&c[0].stop, __ATOMIC_ACQUIRE) ||
		 !__atomic_load_n(&c[1].stop, __ATOMIC_ACQUIRE));
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(0, c[i].err)
			TH_LOG("function %u, round %d", i, c[i].rounds);
	}
	EXPECT_LE(16, answered);
	EXPECT_FALSE(stream_same(&c[0].first, &c[1].first));
	for (i = 0; i < 2; i++) {
		vdev_bus_master(c[i].d, true);
		vdev_irqs(c[i].d, i ? ub->udrv.evfds : ua->udrv.evfds, ua->udrv.nr_vectors);
		ASSERT_SET(c[i].d, ST_RUNNING);
		EXPECT_EQ(0, unvme_rw(i ? ub : ua, 1, true, 16 * i, 8));
		stream_free(&c[i].first);
	}
	EXPECT_EQ(0, ub->udrv.faults)
		TH_LOG("%s", ub->udrv.fault);
	udrv_fini(&ub->udrv);
	close(host);
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
