// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user-space driver itself, on a VF of any NVMe device: the other tests build on it.
 *
 * LM_VF names the VF (bound to vfio-pci), or LM_VF0_1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "load.h"
#include "quiet.h"
#include "unvme.h"

static const char *vf;
static struct vdev dev;
static struct arena arena;
static struct unvme u;
static struct load load;
static bool up;

static void setup(void)
{
	if (!vf) {
		tap_skip("LM_VF is not set");
		return;
	}
	arena_reset(&arena);
	vdev_open(&dev, vf);
	up = true;
	EXPECT_EQ(vdev_map(&dev, &arena), 0, "map memory");
}

static void teardown(void)
{
	if (u.udrv.dev) {
		EXPECT_EQ(u.udrv.faults, 0, "%s", u.udrv.fault);
		unvme_disable(&u);
	}
	load_fini(&load);
	unvme_fini(&u);
	if (up)
		vdev_close(&dev);
	up = false;
}

static bool start(const struct unvme_opts *o)
{
	return EXPECT_EQ(unvme_init(&u, &dev, &arena, o), 0, "init");
}

static void run_load(struct unvme_opts o)
{
	if (!start(&o))
		return;
	load = (struct load){
		.u = &u.udrv, .units = 64, .unit_blocks = 16384 / u.lba_size, .qd = 8, .seed = 1,
		.control = true,
	};
	EXPECT_EQ(load_init(&load), 0, "load");
	EXPECT_EQ(load_run(&load, 300), 0, "run");
	EXPECT_EQ(load_drain(&load), 0, "drain");
	EXPECT_EQ(load_verify(&load), 0, "verify");
	EXPECT(load.reads && load.writes && load.controls, "no work was done");
	unvme_check_idle(&u, 0);
}

static void test_polled(void)
{
	run_load((struct unvme_opts){ .queues = 2 });
}

static void test_irq(void)
{
	run_load((struct unvme_opts){ .queues = 2, .irq = true });
}

static void test_shadow(void)
{
	run_load((struct unvme_opts){ .queues = 2, .irq = true, .dbbuf = true });
	EXPECT(u.mmio_doorbells < u.sqs[1].submitted + u.sqs[2].submitted + u.sqs[0].submitted +
	       u.cqs[1].reaped + u.cqs[2].reaped, "shadow doorbells save nothing");
}

static void test_small_queue(void)
{
	run_load((struct unvme_opts){ .queues = 1, .depth = 3, .irq = true });
}

static void test_thread(void)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };

	if (!start(&opts))
		return;
	load = (struct load){
		.u = &u.udrv, .units = 64, .unit_blocks = 4096 / u.lba_size, .qd = 4, .seed = 2,
	};
	EXPECT_EQ(load_init(&load), 0, "load");
	EXPECT_EQ(load_start(&load), 0, "start");
	EXPECT_EQ(load_wait_ops(&load, 100), 0, "first");
	load_pause(&load);
	load_resume(&load);
	EXPECT_EQ(load_wait_ops(&load, 100), 0, "second");
	EXPECT_EQ(load_end(&load), 0, "end");
	EXPECT_EQ(load_verify(&load), 0, "verify");
	unvme_check_idle(&u, 0);
}

static u32 event;

static void got_event(struct unvme *u, struct unvme_cmd *c)
{
	event = c->cqe.result | 0x80000000;
}

static bool has_event(struct unvme *u, void *priv)
{
	return event;
}

/* A temperature threshold below the temperature raises a SMART event. */
static void test_aer(void)
{
	static const struct unvme_opts opts = { .irq = true };

	if (!start(&opts))
		return;
	EXPECT(unvme_aer(&u, got_event, NULL), "no room");
	EXPECT_EQ(unvme_set_features(&u, 0x0b, 0x1f, NULL), 0, "event configuration");
	EXPECT_EQ(event, 0, "event too early");
	EXPECT_EQ(unvme_set_features(&u, 4, 1, NULL), 0, "temperature threshold");
	unvme_wait_for(&u, has_event, NULL, UNVME_TIMEOUT_MS);
	EXPECT_EQ(event & 0x7, 1, "event type");
}

/* A load in flight is silent for nobody: the watch must notice. */
static void test_watch(void)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };
	struct quiet q;

	if (!start(&opts))
		return;
	EXPECT_EQ(quiet_start(&q, &u.udrv), 0, "start");
	EXPECT_EQ(quiet_check(&q, 100), 0, "idle device");
	EXPECT(unvme_aer(&u, NULL, NULL), "no room");
	unvme_set_features(&u, 0x0b, 0x1f, NULL);
	EXPECT(quiet_check(&q, 100) == 1, "a change in memory went unnoticed");
	quiet_end(&q);
	u.udrv.faults = 0;
}

static const struct tap_test tests[] = {
	{ "polled queues", test_polled },
	{ "interrupts", test_irq },
	{ "shadow doorbells", test_shadow },
	{ "queues of three entries", test_small_queue },
	{ "load in a thread", test_thread },
	{ "asynchronous event", test_aer },
	{ "watch for silence", test_watch },
};

int main(int argc, char **argv)
{
	vf = getenv("LM_VF") ? getenv("LM_VF") : getenv("LM_VF0_1");
	if (arena_init(&arena, -1, 32 << 20, ARENA_IOVA)) {
		perror("arena");
		return 2;
	}
	return tap_main(tests, ARRAY_SIZE(tests), argc, argv, setup, teardown);
}
