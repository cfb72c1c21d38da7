// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drivers in user space: what does not depend on the device.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/kernel.h>

#include "load.h"
#include "udrv.h"

#define MAX_DRIVERS	8

#define WORK_BLOCKS	8

static const struct udrv_ops *drivers[MAX_DRIVERS];
static unsigned int nr_drivers;

void udrv_register(const struct udrv_ops *ops)
{
	VFIO_ASSERT_LT(nr_drivers, MAX_DRIVERS);
	drivers[nr_drivers++] = ops;
}

const struct udrv_ops *udrv_find(struct vdev *d)
{
	unsigned int i;

	for (i = 0; i < nr_drivers; i++)
		if (drivers[i]->probe(d))
			return drivers[i];
	return NULL;
}

bool udrv_is_off(const struct udrv_ops *ops, struct vdev *d)
{
	const struct udrv_off *off;

	for (off = ops->off; off->mask; off++)
		if (vdev_read32(d, off->reg) & off->mask)
			return false;
	return true;
}

void udrv_fault(struct udrv *u, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!u->faults++)
		memcpy(u->fault, text, sizeof(text));
	if (u->faults <= 10) {
		printf("# driver of %s: %s\n", u->dev ? u->dev->bdf : "?", text);
		fflush(stdout);
	}
}

/* ---- for drivers ---- */

void udrv_setup(struct udrv *u, const struct udrv_ops *ops, struct vdev *d, struct arena *a)
{
	pthread_mutexattr_t attr;
	unsigned int i;

	u->ops = ops;
	u->dev = d;
	u->arena = a;
	for (i = 0; i < UDRV_MAX_VECTORS; i++)
		u->evfds[i] = -1;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&u->lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

int udrv_connect_vectors(struct udrv *u, unsigned int nr)
{
	unsigned int i;

	u->nr_vectors = min(nr, min_t(unsigned int, u->dev->nr_vectors, UDRV_MAX_VECTORS));
	for (i = 0; i < u->nr_vectors; i++) {
		if (u->evfds[i] >= 0)
			continue;
		u->evfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (u->evfds[i] < 0)
			return -errno;
	}
	vdev_irqs(u->dev, u->evfds, u->nr_vectors);
	return 0;
}

void udrv_ready(struct udrv *u)
{
	u->work = arena_alloc(u->arena, WORK_BLOCKS * u->block_size);
}

void udrv_cleanup(struct udrv *u)
{
	unsigned int i;

	if (u->dev && u->nr_vectors && u->dev->fd >= 0)
		vdev_irqs(u->dev, NULL, 0);
	for (i = 0; i < UDRV_MAX_VECTORS; i++)
		if (u->evfds[i] >= 0)
			close(u->evfds[i]);
	pthread_mutex_destroy(&u->lock);
}

void udrv_end(struct udrv *u, struct udrv_io *io, int error)
{
	u->inflight--;
	io->error = error;
	if (io->done)
		io->done(u, io);
}

/* ---- beginning, end, and another function ---- */

int udrv_init(const struct udrv_ops *ops, struct vdev *d, struct arena *a,
	      const struct udrv_opts *o, struct udrv **u)
{
	return ops->init(d, a, o, u);
}

void udrv_fini(struct udrv *u)
{
	u->ops->fini(u);
}

void udrv_set_dev(struct udrv *u, struct vdev *to)
{
	pthread_mutex_lock(&u->lock);
	u->dev = to;
	pthread_mutex_unlock(&u->lock);
}

void udrv_move(struct udrv *u, struct vdev *to)
{
	pthread_mutex_lock(&u->lock);
	if (u->nr_vectors) {
		if (u->dev->fd >= 0)
			vdev_irqs(u->dev, NULL, 0);
		vdev_irqs(to, u->evfds, u->nr_vectors);
	}
	u->dev = to;
	pthread_mutex_unlock(&u->lock);
}

/* ---- requests ---- */

int udrv_queue(struct udrv *u, struct udrv_io *io)
{
	int err;

	pthread_mutex_lock(&u->lock);
	err = u->ops->submit(u, io);
	if (!err)
		u->inflight++;
	pthread_mutex_unlock(&u->lock);
	return err;
}

void udrv_kick(struct udrv *u, unsigned int channel)
{
	u->ops->kick(u, channel);
}

int udrv_submit(struct udrv *u, struct udrv_io *io)
{
	int err;

	pthread_mutex_lock(&u->lock);
	err = udrv_queue(u, io);
	if (!err)
		udrv_kick(u, io->channel);
	pthread_mutex_unlock(&u->lock);
	return err;
}

int udrv_wait_for(struct udrv *u, bool (*cond)(struct udrv *u, void *priv), void *priv,
		  unsigned int timeout_ms)
{
	u64 end = now_ms() + timeout_ms;

	while (!cond(u, priv)) {
		u64 now = now_ms();

		if (now >= end) {
			u->ops->stuck(u);
			return -ETIMEDOUT;
		}
		/* woken now and then, as another thread may reap what we wait for */
		u->ops->wait(u, min_t(u64, end - now, 100));
	}
	return 0;
}

static bool nothing_in_flight(struct udrv *u, void *unused)
{
	return !u->inflight;
}

int udrv_drain(struct udrv *u)
{
	return udrv_wait_for(u, nothing_in_flight, NULL, UDRV_TIMEOUT_MS);
}

struct exec {
	struct udrv_io io;
	bool done;
};

static void exec_done(struct udrv *u, struct udrv_io *io)
{
	((struct exec *)io->priv)->done = true;
}

static bool is_exec_done(struct udrv *u, void *priv)
{
	return ((struct exec *)priv)->done;
}

int udrv_exec(struct udrv *u, const struct udrv_io *io)
{
	struct exec *e = calloc_assert(1, sizeof(*e));
	int err;

	e->io = *io;
	e->io.done = exec_done;
	e->io.priv = e;
	err = udrv_submit(u, &e->io);
	if (!err) {
		err = udrv_wait_for(u, is_exec_done, e, UDRV_TIMEOUT_MS);
		if (err)
			return err;	/* it may end yet, so it stays */
		err = e->io.error;
	}
	free(e);
	return err;
}

/* ---- work ---- */

static int control(struct udrv *u)
{
	struct udrv_io io = { .buf = u->work, .write = u->worked++ % 2 };

	return udrv_exec(u, &io);
}

int udrv_work(struct udrv *u, unsigned int channel)
{
	u32 nr = min_t(u32, WORK_BLOCKS, u->max_bytes / u->block_size);
	struct udrv_io io = {
		.channel = channel, .write = true, .blocks = nr, .buf = u->work,
		.block = u->blocks - (u64)channel * WORK_BLOCKS,
	};
	int err;

	if (!channel)
		return control(u);
	pattern_fill(u->work, u->block_size, io.block, nr, ++u->worked, 0);
	err = udrv_exec(u, &io);
	if (err)
		return err;
	memset(u->work, 0, nr * u->block_size);
	io.write = false;
	err = udrv_exec(u, &io);
	if (err)
		return err;
	return pattern_bad(u->work, u->block_size, io.block, nr, u->worked, 0) < nr ? -EILSEQ : 0;
}

int udrv_work_all(struct udrv *u)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i <= u->channels && !err; i++)
		err = udrv_work(u, i);
	return err;
}

void udrv_check_idle(struct udrv *u)
{
	if (u->inflight)
		udrv_fault(u, "%u requests in flight at rest", u->inflight);
	u->ops->check_idle(u);
}
