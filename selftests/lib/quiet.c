// SPDX-License-Identifier: GPL-2.0-only
/*
 * The watch for silence.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/kernel.h>

#include "quiet.h"

/* Value of an eventfd, which keeps it. */
static u64 peek_eventfd(int fd)
{
	u64 count = 0;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	if (write(fd, &count, sizeof(count)) != sizeof(count))
		return ~0ULL;
	return count;
}

/*
 * An interrupt may have reached its CPU and not yet its eventfd. A CPU that runs this thread has
 * taken all it had.
 */
static int take_interrupts(void)
{
	cpu_set_t old, one;
	int cpu, err = 0;

	if (sched_getaffinity(0, sizeof(old), &old))
		return -errno;
	for (cpu = 0; cpu < CPU_SETSIZE && !err; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		/* a CPU that does not exist or is offline has none */
		if (sched_setaffinity(0, sizeof(one), &one) && errno != EINVAL)
			err = -errno;
	}
	if (sched_setaffinity(0, sizeof(old), &old))
		err = -errno;
	return err;
}

int quiet_start(struct quiet *q, struct udrv *u)
{
	unsigned int i;
	int err;

	err = take_interrupts();
	if (err)
		return err;
	q->u = u;
	q->copy = malloc(u->arena->used);
	if (!q->copy)
		return -ENOMEM;
	q->used = u->arena->used;
	for (i = 0; i < u->nr_vectors; i++)
		q->fired[i] = peek_eventfd(u->evfds[i]);
	memcpy(q->copy, u->arena->va, q->used);
	return 0;
}

static int quiet_memory(struct quiet *q)
{
	const u8 *va = q->u->arena->va;
	size_t i;

	if (!memcmp(va, q->copy, q->used))
		return 0;
	for (i = 0; va[i] == q->copy[i]; i++)
		;
	udrv_fault(q->u, "memory changed while stopped, first at IO address %#lx",
		   q->u->arena->iova + i);
	return 1;
}

int quiet_check(struct quiet *q, unsigned int watch_ms)
{
	u64 end = now_ms() + watch_ms;
	unsigned int i;
	int bad;

	do {
		poll(NULL, 0, min(watch_ms, 50u));
		bad = quiet_memory(q);
		for (i = 0; i < q->u->nr_vectors; i++) {
			if (peek_eventfd(q->u->evfds[i]) == q->fired[i])
				continue;
			udrv_fault(q->u, "interrupt of vector %u while stopped", i);
			bad = 1;
		}
	} while (!bad && now_ms() < end);
	return bad;
}

void quiet_end(struct quiet *q)
{
	free(q->copy);
	q->copy = NULL;
}
