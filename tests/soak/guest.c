// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that are programs in a virtual host, on VFs of nvme-vfio-pci: soak-guest COMMAND PF VF
 *
 * check  opens the VF, enables it, reads by a queue with interrupts
 * full   lets completion queues fill, and saves and loads the VF like that, again and again until
 *        SIGTERM: no completion may be lost or come twice. A line for each round
 * stall  on a PF that holds no completions back for a Suspend: lets a completion queue fill, and
 *        requests a Suspend, which does not end
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../driver/driver.h"

#define NR_FLUSHES	10

static bool stop;

static void on_term(int number)
{
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
}

static void say(const char *what, unsigned int nr)
{
	printf("%s %u\n", what, nr);
	fflush(stdout);
}

static void check(int pf, unsigned int vfn)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };
	struct vf *v = &vf_a;

	if (!vf_find(v, pf, vfn) || !vf_attach(v) || !vf_expect_state(v, ST_RUNNING) ||
	    !vf_up(v, &opts))
		return;
	EXPECT_EQ(unvme_rw(&v->u, 1, false, 0, 8), 0, "read on %s", v->bdf);
	unvme_check_idle(&v->u, 0);
}

/* A CQ of four entries, and ten commands that complete to it. */
static bool fill(struct vf *v, int pf, unsigned int vfn, unsigned int *done)
{
	static const struct unvme_opts opts = { .irq = true, .vectors = 2 };

	return vf_find(v, pf, vfn) && vf_attach(v) && vf_up(v, &opts) && fill_cq(v, done);
}

static bool move(struct vf *v)
{
	struct stream s;
	bool ok = vf_save(v, &s);

	ok = ok && vf_reset(v) && vf_load(v, &s);
	stream_free(&s);
	vdev_bus_master(&v->dev, true);
	return ok && go(v, ST_RUNNING);
}

static void drain(struct vf *v, unsigned int *done)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;

	while (*done < NR_FLUSHES && now_ms() < end)
		unvme_reap(&v->u, 1);
	EXPECT_EQ(*done, NR_FLUSHES, "commands");
	*done = 0;
}

static void full(int pf, unsigned int vfn)
{
	unsigned int done = 0, round;
	struct vf *v = &vf_a;

	if (!fill(v, pf, vfn, &done))
		return;
	for (round = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED) && !tap_failed(); round++) {
		if (!move(v))
			return;
		drain(v, &done);
		queue_flushes(v, &done);
		say("round", round);
	}
	drain(v, &done);
	unvme_check_idle(&v->u, 0);
}

static void stall(int pf, unsigned int vfn)
{
	unsigned int done = 0;

	if (!fill(&vf_a, pf, vfn, &done))
		return;
	say("stalls", done);
	EXPECT_EQ(vdev_mig_set_state(&vf_a.dev, ST_STOP, NULL), -EAGAIN, "Suspend");
}

static const struct {
	const char *name;
	void (*run)(int pf, unsigned int vfn);
} commands[] = {
	{ "check", check },
	{ "full", full },
	{ "stall", stall },
};

int main(int argc, char **argv)
{
	size_t i;

	signal(SIGTERM, on_term);
	for (i = 0; argc == 4 && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, argv[1]))
			continue;
		if (vf_init())
			commands[i].run(atoi(argv[2]), atoi(argv[3]));
		vf_end();
		return tap_failed() || tap_skipped();
	}
	fprintf(stderr, "usage: %s check|full|stall PF VF\n", argv[0]);
	return 2;
}
