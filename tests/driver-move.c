// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest moves from VF to VF through the uAPI, with work in flight, and goes on there.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define TRACING		"/sys/kernel/debug/tracing"

/* The guest's driver always lives in vf_a.u, whichever VF it runs on. */
#define drv (vf_a.u)

/* What a VMM does between stopping the source and starting the destination. */
static bool transfer(struct vf *from, struct vf *to)
{
	struct stream s;
	bool ok;

	if (!vf_save(from, &s))
		return false;
	ok = vf_load(to, &s);
	stream_free(&s);
	if (ok)
		unvme_move(&drv, &to->dev);
	return ok;
}

static bool move(struct vf *from, struct vf *to)
{
	return go(from, ST_P2P) && go(from, ST_STOP) && transfer(from, to) && go(to, ST_P2P) &&
	       go(to, ST_RUNNING);
}

/* ---- under load ---- */

/* The thread of the load is a virtual CPU: it goes on for a while after the VF was suspended. */
static bool move_loaded(struct vf *from, struct vf *to)
{
	struct quiet quiet;
	bool ok;

	if (!EXPECT_EQ(load_wait_ops(&load, 40), 0, "load") || !go(from, ST_P2P))
		return false;
	load_pause(&load);
	if (!go(from, ST_STOP) || !EXPECT_EQ(quiet_start(&quiet, &drv), 0, "watch"))
		return false;
	ok = transfer(from, to);
	EXPECT_EQ(quiet_check(&quiet, 100), 0, "silence");
	quiet_end(&quiet);
	if (!ok || !go(to, ST_RUNNING))
		return false;
	load_resume(&load);
	return EXPECT_EQ(load_wait_ops(&load, 40), 0, "load afterwards") && vf_reset(from);
}

static void trigger_event(struct event *e)
{
	EXPECT_EQ(drv.sqs[0].inflight, 2, "event requests in flight");
	EXPECT_EQ(e->count, 0, "events by the moves");
	EXPECT_EQ(unvme_set_features(&drv, 4, 1, NULL), 0, "temperature event");
	EXPECT_EQ(unvme_drain(&drv, 0, 1), 0, "event");
	EXPECT_EQ(e->count, 1, "events");
	EXPECT_EQ(e->result & 7, 1, "type of the event");
}

static void move_under_load(int other, unsigned int vfn, const struct unvme_opts *o)
{
	struct vf *from = &vf_a, *to = &vf_b, *t;
	struct event e = { 0 };
	int round;

	if (!vf_open(from, tap_arg(), 1) || !vf_open(to, other, vfn) || !vf_up(from, o))
		return;
	EXPECT_EQ(unvme_set_features(&drv, 0x0b, 0x11f, NULL), 0, "event configuration");
	unvme_aer(&drv, got_event, &e);
	unvme_aer(&drv, got_event, &e);
	load = (struct unvme_load){
		.u = &drv, .units = 128, .unit_blocks = 32, .qd = 10, .seed = 5 + vfn,
		.admin = true,
	};
	if (!EXPECT_EQ(load_init(&load), 0, "load") || !EXPECT_EQ(load_start(&load), 0, "thread"))
		return;
	for (round = 0; round < 4 && move_loaded(from, to); round++) {
		vdev_bus_master(&from->dev, true);
		t = from;
		from = to;
		to = t;
	}
	EXPECT_EQ(load_end(&load), 0, "end");
	EXPECT_EQ(load_verify(&load), 0, "verify");
	trigger_event(&e);
	unvme_check_idle(&drv, 1);
	tap_note("%lu reads, %lu writes, %lu admin commands in %d moves", load.reads,
		 load.writes, load.admin_done, round);
	EXPECT(load.admin_done > 4, "few admin commands");
}

static void test_load_same(void)
{
	static const struct unvme_opts o = { .queues = 4, .depth = 16, .irq = true };

	move_under_load(tap_arg(), 2, &o);
}

static void test_load_other(void)
{
	static const struct unvme_opts o = { .queues = 4, .depth = 24, .irq = true };

	move_under_load(tap_arg() + 1, 1, &o);
}

static void test_load_shadow(void)
{
	static const struct unvme_opts o = {
		.queues = 3, .depth = 24, .irq = true, .dbbuf = true
	};

	move_under_load(tap_arg() + 1, 2, &o);
}

/* A migration that failed: back to RUNNING from wherever it was, on the source, under load. */
static void test_load_back(void)
{
	static const struct unvme_opts o = { .queues = 4, .irq = true };
	static const u32 how_far[] = { ST_P2P, ST_STOP, ST_STOP_COPY };
	struct vf *v = &vf_a;
	unsigned int i;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &o))
		return;
	load = (struct unvme_load){
		.u = &drv, .units = 64, .unit_blocks = 32, .qd = 8, .seed = 6, .admin = true,
	};
	if (!EXPECT_EQ(load_init(&load), 0, "load") || !EXPECT_EQ(load_start(&load), 0, "thread"))
		return;
	for (i = 0; i < 3 * ARRAY_SIZE(how_far) && !tap_failed(); i++) {
		EXPECT_EQ(load_wait_ops(&load, 20), 0, "load");
		if (!go(v, ST_P2P))
			break;
		/* from STOP on the virtual CPUs are stopped, that is the VMM's part */
		load_pause(&load);
		if (go(v, how_far[i % 3]))
			go(v, ST_RUNNING);
		load_resume(&load);
	}
	EXPECT_EQ(load_wait_ops(&load, 40), 0, "load afterwards");
	EXPECT_EQ(load_end(&load), 0, "end");
	EXPECT_EQ(load_verify(&load), 0, "verify");
	unvme_check_idle(&drv, 0);
}

/* ---- while it is stopped ---- */

static void check_stopped(u32 state)
{
	unsigned int io = 0, admin = 0;
	struct vf *v = &vf_a;
	struct quiet quiet;
	u16 cmd;

	if (!go(v, state))
		return;
	unvme_submit(&drv, 1, &flush_cmd, count_done, &io);
	unvme_submit(&drv, 2, &flush_cmd, count_done, &io);
	unvme_submit(&drv, 0, &(struct nvme_sqe){ .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 7 },
		     count_done, &admin);
	EXPECT_EQ(quiet_start(&quiet, &drv), 0, "watch");
	cmd = vfio_pci_config_readw(v->dev.pci, PCI_COMMAND);
	EXPECT_EQ(cmd & 6, 6, "command register");
	EXPECT_EQ(vdev_read32(&v->dev, NVME_REG_CSTS), NVME_CSTS_RDY, "CSTS");
	EXPECT_EQ(quiet_check(&quiet, 300), 0, "silence in %s", mig_state_name(state));
	quiet_end(&quiet);
	if (!go(v, ST_RUNNING))
		return;
	EXPECT_EQ(unvme_drain(&drv, 0, 0), 0, "admin queue");
	EXPECT_EQ(unvme_drain(&drv, 1, 0), 0, "queue 1");
	EXPECT_EQ(unvme_drain(&drv, 2, 0), 0, "queue 2");
	EXPECT(io == 2 && admin == 1, "%u I/O and %u admin commands", io, admin);
}

/* No DMA, no interrupt; registers answer; doorbells count once it runs again. */
static void test_stopped(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_up(&vf_a, &o))
		return;
	check_stopped(ST_P2P);
	check_stopped(ST_STOP);
	unvme_check_idle(&drv, 0);
}

/* Doorbells of the time between P2P and STOP move with the state. */
static void test_doorbells(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };
	unsigned int io = 0, admin = 0;

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_open(&vf_b, tap_arg() + 1, 1) ||
	    !vf_up(&vf_a, &o) || !go(&vf_a, ST_P2P))
		return;
	unvme_submit(&drv, 1, &flush_cmd, count_done, &io);
	unvme_submit(&drv, 2, &flush_cmd, count_done, &io);
	unvme_submit(&drv, 0, &(struct nvme_sqe){ .opcode = NVME_ADM_GET_FEATURES, .cdw10 = 7 },
		     count_done, &admin);
	if (!go(&vf_a, ST_STOP) || !transfer(&vf_a, &vf_b) || !go(&vf_b, ST_RUNNING))
		return;
	EXPECT_EQ(unvme_drain(&drv, 0, 0), 0, "admin queue");
	EXPECT_EQ(unvme_drain(&drv, 1, 0), 0, "queue 1");
	EXPECT_EQ(unvme_drain(&drv, 2, 0), 0, "queue 2");
	EXPECT(io == 2 && admin == 1, "%u I/O and %u admin commands", io, admin);
}

/* ---- a guest that is not there yet ---- */

static void test_firmware(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_open(&vf_b, tap_arg() + 1, 1))
		return;
	if (!EXPECT_EQ(unvme_enable(&drv, &vf_a.dev, &arena, &o), 0, "firmware's driver"))
		return;
	unvme_disable(&drv);
	if (!go(&vf_a, ST_STOP) || !transfer(&vf_a, &vf_b) || !go(&vf_b, ST_RUNNING))
		return;
	EXPECT_EQ(vdev_read32(&vf_b.dev, NVME_REG_CSTS), 0, "CSTS");
	EXPECT_EQ(vdev_read32(&vf_b.dev, NVME_REG_CC) & NVME_CC_EN, 0, "CC.EN");
	EXPECT_EQ(vdev_read64(&vf_b.dev, NVME_REG_ASQ), arena_iova(&arena, drv.sqs[0].ring),
		  "ASQ, which a controller reset keeps");
	vf_check_usable(&vf_b);
}

static void test_untouched(void)
{
	struct stream s;

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_open(&vf_b, tap_arg() + 1, 1) ||
	    !vf_save(&vf_a, &s))
		return;
	if (vf_load(&vf_b, &s) && go(&vf_b, ST_RUNNING)) {
		vf_check_off(&vf_b);
		vf_check_usable(&vf_b);
	}
	stream_free(&s);
}

/* ---- memory that comes later ---- */

/*
 * A VMM loads the device before the guest's memory is complete and while bus mastering is off:
 * the commit reads nothing and writes nothing, which the IOMMU would report.
 */
static void test_memory_later(void)
{
	static const struct unvme_opts o = { .queues = 3, .depth = 32, .irq = true };
	struct vf *from = &vf_a, *to = &vf_b;
	unsigned int i, io = 0;
	struct stream s;
	u8 *memory;

	if (!vf_open(from, tap_arg(), 1) || !vf_open(to, tap_arg() + 1, 1) || !vf_up(from, &o))
		return;
	for (i = 0; i < 20; i++)
		EXPECT_EQ(unvme_rw(&drv, 1 + i % 3, true, i * 8, 8), 0, "write");
	if (!go(from, ST_P2P))
		return;
	for (i = 0; i < 6; i++)
		unvme_submit(&drv, 1 + i % 3, &flush_cmd, count_done, &io);
	if (!vf_save(from, &s))
		return;
	memory = malloc(arena.used);
	memcpy(memory, arena.va, arena.used);
	memset(arena.va, 0xee, arena.used);
	vdev_bus_master(&to->dev, false);
	EXPECT_EQ(vdev_unmap(&to->dev), 0, "unmap");
	klog_mark();
	vf_load(to, &s);
	for (i = 0; i < arena.used && arena.va[i] == 0xee; i++)
		;
	EXPECT_EQ(i, arena.used, "memory was written by the load");
	EXPECT_EQ(klog_count_any("DMAR"), 0, "faults of the IOMMU");
	EXPECT_EQ(vdev_map(&to->dev, &arena), 0, "map");
	memcpy(arena.va, memory, arena.used);
	free(memory);
	stream_free(&s);
	vdev_bus_master(&to->dev, true);
	unvme_move(&drv, &to->dev);
	if (!go(to, ST_RUNNING))
		return;
	for (i = 1; i <= 3; i++)
		EXPECT_EQ(unvme_drain(&drv, i, 0), 0, "queue %u", i);
	EXPECT_EQ(io, 6, "commands");
	for (i = 0; i < 20; i++)
		EXPECT_EQ(unvme_rw(&drv, 1 + i % 3, false, i * 8, 8), 0, "read");
	unvme_check_idle(&drv, 0);
}

/* A load changes nothing that belongs to the VMM. */
static void test_not_ours(void)
{
	static const struct unvme_opts o = { .queues = 1, .irq = true };
	u8 before[64], after[64];
	struct vf *to = &vf_b;
	struct stream s;
	u32 entry[4];
	int i;

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_up(&vf_a, &o) || !vf_save(&vf_a, &s) ||
	    !vf_open(to, tap_arg(), 2))
		return;
	vdev_bus_master(&to->dev, false);
	vfio_pci_config_access(to->dev.pci, false, 0, sizeof(before), before);
	for (i = 0; i < 4; i++)
		entry[i] = vdev_read32(&to->dev, to->dev.msix_table + 4 * i);
	vf_load(to, &s);
	vfio_pci_config_access(to->dev.pci, false, 0, sizeof(after), after);
	EXPECT(!memcmp(before, after, sizeof(before)), "config space changed");
	for (i = 0; i < 4; i++)
		EXPECT_EQ(vdev_read32(&to->dev, to->dev.msix_table + 4 * i), entry[i],
			  "MSI-X entry, dword %d", i);
	stream_free(&s);
}

/* ---- two at a time ---- */

/* Two guests of one PF move at once; neither gets anything of the other. */
static void test_two(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };
	struct stream a, b;
	u32 fa[NR_FEATURES], fb[NR_FEATURES], f[NR_FEATURES];

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_open(&vf_b, tap_arg(), 2) ||
	    !vf_up(&vf_a, &o) || !vf_up(&vf_b, &o))
		return;
	make_dirty(&vf_a.u);
	read_features(&vf_a.u, fa);
	read_features(&vf_b.u, fb);
	EXPECT(memcmp(fa, fb, sizeof(fa)), "both have the same features");
	if (!go(&vf_a, ST_P2P) || !go(&vf_b, ST_P2P) || !vf_save(&vf_b, &b) ||
	    !vf_save(&vf_a, &a))
		return;
	EXPECT(st_differ(&a, &b), "both have the same state");
	/* they change places */
	if (vf_reset(&vf_a) && vf_reset(&vf_b) && vf_load(&vf_b, &a) && vf_load(&vf_a, &b)) {
		vdev_bus_master(&vf_a.dev, true);
		vdev_bus_master(&vf_b.dev, true);
		unvme_move(&vf_a.u, &vf_b.dev);
		vdev_irqs(&vf_a.dev, vf_b.u.evfds, vf_b.u.nr_vectors);
		vf_b.u.dev = &vf_a.dev;
		go(&vf_a, ST_RUNNING);
		go(&vf_b, ST_RUNNING);
		read_features(&vf_a.u, f);
		EXPECT(!memcmp(f, fa, sizeof(f)), "features of the first");
		read_features(&vf_b.u, f);
		EXPECT(!memcmp(f, fb, sizeof(f)), "features of the second");
		EXPECT_EQ(unvme_rw(&vf_a.u, 1, true, 0, 8), 0, "write of the first");
		EXPECT_EQ(unvme_rw(&vf_b.u, 1, true, 8, 8), 0, "write of the second");
	}
	stream_free(&a);
	stream_free(&b);
}

struct pair {
	struct vf from;
	struct vf to;
	struct stream first;
	int rounds;
	int err;
};

/* To and fro without a guest's driver: what arrives is what was there at first. */
static int carry(struct pair *p)
{
	struct vf *from = &p->from, *to = &p->to, *t;
	struct stream s;
	int fd, err;

	for (; p->rounds < 12; p->rounds++) {
		fd = -1;
		err = vdev_mig_set_state(&from->dev, ST_STOP_COPY, &fd);
		if (err)
			return err;
		err = stream_read(fd, &s, 777);
		close(fd);
		if (!err && !p->rounds)
			p->first = stream_copy(&s, s.size, 0);
		if (!err)
			err = st_differ(&s, &p->first) ? -EILSEQ :
			      vdev_mig_set_state(&to->dev, ST_RESUMING, &fd);
		if (!err) {
			err = stream_write(fd, &s, 555);
			close(fd);
		}
		stream_free(&s);
		if (!err)
			err = vdev_mig_set_state(&to->dev, ST_STOP, NULL);
		if (!err)
			err = vdev_reset(&from->dev);
		if (err)
			return err;
		t = from;
		from = to;
		to = t;
	}
	return 0;
}

static void *carry_thread(void *arg)
{
	struct pair *p = arg;

	p->err = carry(p);
	return NULL;
}

/* Two threads migrate two guests through the same PFs. */
static void test_pairs(void)
{
	static const struct unvme_opts o = { .queues = 3, .irq = true };
	struct pair *p = calloc(2, sizeof(*p));
	pthread_t t[2];
	int i;

	for (i = 0; i < 2; i++)
		if (!vf_open(&p[i].from, tap_arg(), 1 + i) ||
		    !vf_open(&p[i].to, tap_arg() + 1, 1 + i) || !vf_up(&p[i].from, &o))
			goto out;
	make_dirty(&p[1].from.u);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(pthread_create(&t[i], NULL, carry_thread, &p[i]), 0, "thread");
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(p[i].err, 0, "pair %d, round %d", i, p[i].rounds);
	}
	/* an even number of rounds: both are where they began */
	for (i = 0; i < 2; i++) {
		vdev_irqs(&p[i].from.dev, p[i].from.u.evfds, p[i].from.u.nr_vectors);
		go(&p[i].from, ST_RUNNING);
		EXPECT_EQ(unvme_rw(&p[i].from.u, 1, true, 16 * i, 8), 0, "write of %d", i);
	}
out:
	for (i = 0; i < 2; i++) {
		vf_close(&p[i].to);
		vf_close(&p[i].from);
		stream_free(&p[i].first);
	}
	free(p);
}

/* ---- the cost ---- */

struct cost {
	unsigned int suspends;
	unsigned int gets;
	unsigned int others;
};

static bool trace_start(void)
{
	return EXPECT_EQ(write_file(TRACING "/events/nvme/nvme_setup_cmd/enable", "1"), 0,
			 "tracepoint") &&
	       EXPECT_EQ(write_file(TRACING "/trace", "\n"), 0, "clear the trace");
}

/* Count the PF's admin commands; lines say "nvme0: qid=0, ... cmd=(0x41 ...". */
static void trace_end(struct lm_pf *pf, struct cost *c)
{
	const char *suspend = pf->vendor ? "cmd=(0xc8" : "cmd=(0x41";
	const char *get = pf->vendor ? "cmd=(0xd2" : "cmd=(0x42";
	char line[1024], name[32];
	FILE *f;

	memset(c, 0, sizeof(*c));
	write_file(TRACING "/events/nvme/nvme_setup_cmd/enable", "0");
	f = fopen(TRACING "/trace", "r");
	if (!EXPECT(f, "trace"))
		return;
	snprintf(name, sizeof(name), " %s: qid=0", pf->node + 5);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, name))
			continue;
		if (strstr(line, suspend))
			c->suspends++;
		else if (strstr(line, get))
			c->gets++;
		else
			c->others++;
		if (tap_failed())
			tap_note("%s", line);
	}
	fclose(f);
}

/* One suspend; one read of the header, and one for each full transfer of state. */
static void check_cost(int pf_nr, unsigned int pieces)
{
	struct lm_pf *pf = pf_get(pf_nr);
	struct st_view view = { 0 };
	struct stream s;
	struct cost c;

	if (!pf || !trace_start())
		return;
	if (go(&vf_a, ST_STOP) && vf_save(&vf_a, &s)) {
		trace_end(pf, &c);
		EXPECT(!st_parse(&s, &view), "parse");
		if (pieces)
			EXPECT(view.pieces >= pieces, "only %u pieces", view.pieces);
		EXPECT_EQ(c.suspends, 1, "Suspend commands");
		EXPECT_EQ(c.gets, pf->vendor ? 1 : 1 + view.pieces, "commands that read state");
		/* the vendor set asks for the size instead of a header */
		EXPECT_EQ(c.others, pf->vendor, "other commands");
		tap_note("%zu bytes of state: %u suspend, %u reads, %u other commands",
			 view.state_len, c.suspends, c.gets, c.others);
		st_view_free(&view);
		stream_free(&s);
	}
}

static void test_cost(void)
{
	static const struct unvme_opts o = { .queues = 4, .irq = true };

	if (vf_open(&vf_a, tap_arg(), 1) && vf_up(&vf_a, &o))
		check_cost(tap_arg(), 0);
}

/* ---- states of several transfers; the special machine's PFs move 8 KiB at a time ---- */

#define HELD	420

/* Completions that a full queue holds back make a state large. */
static bool start_large(struct vf *v)
{
	static const struct unvme_opts o = { .irq = true, .vectors = 2 };
	unsigned int q;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &o))
		return false;
	for (q = 1; q <= 4; q++) {
		EXPECT_EQ(unvme_create_cq(&drv, q, 4, 1), 0, "CQ %u", q);
		EXPECT_EQ(unvme_create_sq(&drv, q, 512, q), 0, "SQ %u", q);
	}
	return !tap_failed();
}

static unsigned int large_done;

static void fill_large(void)
{
	unsigned int i, q;

	large_done = 0;
	for (q = 1; q <= 4; q++) {
		for (i = 0; i < HELD; i++)
			unvme_queue_cmd(&drv, q, &flush_cmd, count_done, &large_done);
		unvme_ring(&drv, q);
	}
	/* the guest does not reap: three entries fit, the rest waits in the device */
	for (q = 1; q <= 4; q++)
		wait_entries(&drv, q, 3);
}

static void drain_large(void)
{
	unsigned int q;

	for (q = 1; q <= 4; q++)
		EXPECT_EQ(unvme_drain(&drv, q, 0), 0, "queue %u", q);
	EXPECT_EQ(large_done, 4 * HELD, "commands");
	unvme_check_idle(&drv, 0);
}

static void test_large(void)
{
	struct vf *from = &vf_a, *to = &vf_b;

	if (!start_large(from) || !vf_open(to, tap_arg() + 1, 1))
		return;
	fill_large();
	if (move(from, to))
		drain_large();
}

static void test_large_cost(void)
{
	if (!start_large(&vf_a))
		return;
	fill_large();
	check_cost(tap_arg(), 3);
	go(&vf_a, ST_RUNNING);
	drain_large();
}

static void check_large_steps(struct stream *s, size_t step)
{
	struct vf *to = &vf_b;
	struct stream back;
	int fd;

	fd = go_fd(to, ST_RESUMING);
	EXPECT_EQ(stream_write(fd, s, step), 0, "write in steps of %zu", step);
	close(fd);
	if (!go(to, ST_STOP))
		return;
	fd = go_fd(to, ST_STOP_COPY);
	EXPECT_EQ(stream_read(fd, &back, step), 0, "read in steps of %zu", step);
	close(fd);
	EXPECT_EQ(back.size, s->size, "bytes");
	EXPECT(!st_differ(s, &back), "%s", st_differ(s, &back));
	stream_free(&back);
	vf_reset(to);
}

static void test_large_steps(void)
{
	static const size_t steps[] = { 0, 1, 333, 8191, 8193, 16384 };
	struct stream s;
	unsigned int i;

	if (!start_large(&vf_a) || !vf_open(&vf_b, tap_arg() + 1, 1))
		return;
	fill_large();
	if (!go(&vf_a, ST_STOP) || !vf_save(&vf_a, &s))
		return;
	for (i = 0; i < ARRAY_SIZE(steps) && !tap_failed(); i++)
		check_large_steps(&s, steps[i]);
	stream_free(&s);
}

/* Pieces that the device already has are no reason to commit a stream that goes wrong later. */
static void test_large_broken(void)
{
	struct vf *to = &vf_b;
	struct stream s, bad;
	size_t at;
	int fd;

	if (!start_large(&vf_a) || !vf_open(to, tap_arg() + 1, 1))
		return;
	fill_large();
	if (!go(&vf_a, ST_STOP) || !vf_save(&vf_a, &s))
		return;
	for (at = REC_SECOND + 100; at < s.size && !tap_failed(); at += s.size / 9) {
		bad = stream_copy(&s, s.size, 0);
		bad.data[at] ^= 0x10;
		fd = go_fd(to, ST_RESUMING);
		EXPECT(stream_write(fd, &bad, 0) < 0, "damage at %zu of %zu", at, s.size);
		close(fd);
		vf_check_off(to);
		vf_reset(to);
		stream_free(&bad);

		bad = stream_copy(&s, at, 0);
		fd = go_fd(to, ST_RESUMING);
		EXPECT_EQ(stream_write(fd, &bad, 0), 0, "first %zu bytes", at);
		EXPECT_EQ(vdev_mig_set_state(&to->dev, ST_STOP, NULL), -ENODATA,
			  "after %zu of %zu bytes", at, s.size);
		close(fd);
		vf_check_off(to);
		vf_reset(to);
		stream_free(&bad);
	}
	if (vf_load(to, &s)) {
		unvme_move(&drv, &to->dev);
		vdev_bus_master(&to->dev, true);
		if (go(to, ST_RUNNING))
			drain_large();
	}
	stream_free(&s);
}

const struct drv_test move_tests[] = {
	{ "move: load, same PF", test_load_same, ON_BOTH },
	{ "move: load, other PF", test_load_other, ON_BOTH },
	{ "move: load, shadow doorbells", test_load_shadow, ON_BOTH },
	{ "move: given up, under load", test_load_back, ON_BOTH },
	{ "move: silent while stopped, registers work", test_stopped, ON_BOTH },
	{ "move: doorbells rung meanwhile", test_doorbells, ON_BOTH },
	{ "move: guest in firmware", test_firmware, ON_BOTH },
	{ "move: guest that did nothing yet", test_untouched, ON_BOTH },
	{ "move: memory arrives after the load", test_memory_later, ON_BOTH },
	{ "move: config space and MSI-X are not touched", test_not_ours, ON_BOTH },
	{ "move: two guests change places", test_two, ON_BOTH },
	{ "move: two at the same time", test_pairs, ON_BOTH },
	{ "move: cost of a save", test_cost, ON_BOTH },
	{ "move: state of many transfers", test_large, ON_SPECIAL, SP_SMALL },
	{ "move: state of many transfers, cost", test_large_cost, ON_SPECIAL, SP_SMALL },
	{ "move: state of many transfers, any steps", test_large_steps, ON_SPECIAL, SP_SMALL },
	{ "move: state of many transfers, broken", test_large_broken, ON_SPECIAL, SP_SMALL },
};

const size_t nr_move_tests = ARRAY_SIZE(move_tests);
