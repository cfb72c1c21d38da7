// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measurements of transfers, inside the virtual host: transfer-bench COMMAND PF NUMBER
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "bench.h"

u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void report(const char *what, u64 value)
{
	printf("%s %llu\n", what, (unsigned long long)value);
}

void *populated(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED) {
		perror("memory");
		exit(2);
	}
	return p;
}

bool open_guest(struct vf *v, int pf, unsigned int vfn, unsigned int queues)
{
	const struct unvme_opts o = { .queues = queues, .irq = true };

	return EXPECT(vf_find(v, pf, vfn), "no VF %u of PF %d", vfn, pf) && vf_attach(v) &&
	       vf_up(v, &o) && EXPECT_EQ(v->u.opts.queues, queues, "I/O queues");
}

bool set_state(struct vf *v, u32 state)
{
	return EXPECT_EQ(vdev_mig_set_state(&v->dev, state, NULL), 0, "%s to %s", v->bdf,
			 mig_state_name(state));
}

static const struct {
	const char *name;
	void (*run)(int pf, unsigned int nr);
} commands[] = {
	{ "clock", measure_clock },
	{ "cost", measure_cost },
	{ "move", measure_move },
	{ "reads", measure_reads },
	{ "saves", measure_saves },
	{ "suspends", measure_suspends },
	{ "latency", measure_latency },
};

int main(int argc, char **argv)
{
	size_t i;

	if (argc == 4 && vf_init()) {
		for (i = 0; i < ARRAY_SIZE(commands); i++) {
			if (strcmp(commands[i].name, argv[1]))
				continue;
			commands[i].run(atoi(argv[2]), atoi(argv[3]));
			return tap_failed() || tap_skipped();
		}
	}
	fprintf(stderr, "usage: %s COMMAND PF NUMBER\n", argv[0]);
	return 2;
}
