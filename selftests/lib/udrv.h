/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A driver in user space for the device under test, in place of a guest's.
 *
 * It makes the device work, so that there is DMA in flight when the device is stopped, and checks
 * the results. All its memory is in an arena at a fixed IO address. The same arena can be mapped
 * for another function, and the driver then continues there, as it would in a virtual machine that
 * was migrated: udrv_move().
 *
 * To the tests each device is a medium with blocks, which requests move to memory or from memory.
 * A device works on several channels at a time; channel 0 is the one that controls it. A driver
 * for a kind of device is a struct udrv_ops, which UDRV_REGISTER() adds to the list.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_UDRV_H
#define SELFTESTS_VFIO_MIGRATION_UDRV_H

#include <pthread.h>

#include "vdev.h"

/* Generous: the device may be emulated on a machine that has other things to do. */
#define UDRV_TIMEOUT_MS		60000

#define UDRV_MAX_VECTORS	16
#define UDRV_SETTINGS		2

struct udrv;

struct udrv_opts {
	unsigned int channels;	/* at most so many besides channel 0 */
	unsigned int depth;	/* about so many requests in flight on each, 0: any number */
};

/* A request; it stays where it is until it has ended. */
struct udrv_io {
	unsigned int channel;
	bool write;		/* to the medium, or to memory */
	u64 block;
	u32 blocks;
	void *buf;		/* in the arena */
	void (*done)(struct udrv *u, struct udrv_io *io);	/* under the lock; or NULL */
	void *priv;
	int error;		/* in done(): 0 or -errno */
};

/* A register of BAR0 that is 0 under the mask after a reset; the last of a list has the mask 0. */
struct udrv_off {
	u32 reg;
	u32 mask;
};

/* Registers of BAR0 of a function that was reset and that nobody uses. */
struct udrv_bar {
	u32 ignored;		/* writes here have no effect, */
	u32 ignored_size;	/* in so many bytes */
	u32 kept;		/* here 16 bytes are read as they were written */
};

/* The driver that the host has for such a function. */
struct udrv_host {
	const char *driver;
	const char *module;	/* of whose references a VFIO driver may take some */

	/* Wait until the driver, bound to the function, can use the device. -ENXIO: it cannot. */
	int (*wait)(const char *bdf);

	/* Make the driver, bound to the function, reset the device. */
	int (*reset)(const char *bdf);
};

struct udrv_ops {
	const char *name;

	/* Whether the driver is for this device. */
	bool (*probe)(struct vdev *d);

	/*
	 * init - begin to use a device that was reset, with its vectors if it has any
	 *
	 * @u gets a new struct udrv with its geometry. Return: 0 or -errno; a message is printed.
	 */
	int (*init)(struct vdev *d, struct arena *a, const struct udrv_opts *o, struct udrv **u);

	/* Free what is outside the arena; does not touch the device. */
	void (*fini)(struct udrv *u);

	/*
	 * submit - prepare a request
	 *
	 * The device does not know of it before kick(). On channel 0 the driver chooses what it is
	 * of the commands whose result it knows: to memory it is one that fills a part of the page
	 * @io->buf, otherwise one without data. Return: 0, or -EBUSY if there is no room.
	 */
	int (*submit)(struct udrv *u, struct udrv_io *io);

	/* Tell the device of the requests of a channel. */
	void (*kick)(struct udrv *u, unsigned int channel);

	/* Take what has ended, whether or not an interrupt came; return how many. */
	unsigned int (*reap)(struct udrv *u);

	/* Wait for interrupts and take what they are for; 0 if @timeout_ms passed without any. */
	unsigned int (*wait)(struct udrv *u, unsigned int timeout_ms);

	/* Nothing has ended for a long time: record the reason as a fault. */
	void (*stuck)(struct udrv *u);

	/* Nothing is in flight: record as faults what contradicts it. */
	void (*check_idle)(struct udrv *u);

	/* Whether the device has given up; only a reset helps. */
	bool (*failed)(struct vdev *d);

	/*
	 * Memory, in pages of its own, that the device writes besides the data when a request of
	 * the channel ends.
	 */
	const void *(*ring)(struct udrv *u, unsigned int channel, size_t *len);

	/* ---- what a user leaves in a device: optional ---- */

	/* Read the settings that leave_traces() changes. 0 or -errno. */
	int (*settings)(struct udrv *u, u32 *values);

	/*
	 * Change the settings, and have the device keep as many requests as it can that it answers
	 * only if something happens. It fails if a user left such requests before. 0 or -errno.
	 */
	int (*leave_traces)(struct udrv *u);

	/* All these requests are there; make the device answer one of them. 0 or -errno. */
	int (*find_traces)(struct udrv *u);

	/* ---- facts ---- */

	const struct udrv_off *off;
	const struct udrv_bar *bar;	/* optional */
	const struct udrv_host *host;	/* optional */
};

struct udrv {
	const struct udrv_ops *ops;
	struct vdev *dev;
	struct arena *arena;
	pthread_mutex_t lock;	/* recursive; taken by every function that touches requests */
	unsigned int channels;	/* besides channel 0: as many as asked for and granted */
	unsigned int nr_vectors;
	int evfds[UDRV_MAX_VECTORS];
	u32 block_size;
	u64 blocks;
	u32 max_bytes;		/* of a request */
	u32 align;		/* of its buffer */
	unsigned int inflight;
	u8 *work;		/* of udrv_work(), and for data that nobody needs */
	u32 worked;
	unsigned int faults;	/* broken rules seen; a test fails if this is not 0 */
	char fault[256];	/* the first one */
};

void udrv_register(const struct udrv_ops *ops);

#define UDRV_REGISTER(ops)						\
static void __attribute__((constructor)) register_##ops(void)		\
{									\
	udrv_register(&(ops));						\
}

/* The driver for a device; NULL: there is none. */
const struct udrv_ops *udrv_find(struct vdev *d);

/* Whether the device is off, as after a reset. */
bool udrv_is_off(const struct udrv_ops *ops, struct vdev *d);

/* For drivers: set what all have; the rest is 0. */
void udrv_setup(struct udrv *u, const struct udrv_ops *ops, struct vdev *d, struct arena *a);

/* For drivers: connect the first vectors, at most @nr. 0 or -errno. */
int udrv_connect_vectors(struct udrv *u, unsigned int nr);

/* For drivers: free what udrv_setup() and udrv_connect_vectors() took. */
void udrv_cleanup(struct udrv *u);

/* For drivers: call it when the geometry is set. */
void udrv_ready(struct udrv *u);

/* For drivers: a request has ended. */
void udrv_end(struct udrv *u, struct udrv_io *io, int error);

/* init() and fini() of struct udrv_ops. */
int udrv_init(const struct udrv_ops *ops, struct vdev *d, struct arena *a,
	      const struct udrv_opts *o, struct udrv **u);
void udrv_fini(struct udrv *u);

/**
 * udrv_move - continue on another function
 * @u: driver
 * @to: function with the same arena mapped, which was loaded with the state of ours
 *
 * Interrupts are connected to the new function. No register is written otherwise.
 */
void udrv_move(struct udrv *u, struct vdev *to);

/* The same without the interrupts. */
void udrv_set_dev(struct udrv *u, struct vdev *to);

/* Prepare a request; udrv_kick() tells the device. 0 or -EBUSY. */
int udrv_queue(struct udrv *u, struct udrv_io *io);
void udrv_kick(struct udrv *u, unsigned int channel);

/* udrv_queue() and udrv_kick(). */
int udrv_submit(struct udrv *u, struct udrv_io *io);

/* A request that is waited for. 0 or -errno. */
int udrv_exec(struct udrv *u, const struct udrv_io *io);

/* Wait until @cond(priv); 0 or -ETIMEDOUT. A lost interrupt is noticed and becomes a fault. */
int udrv_wait_for(struct udrv *u, bool (*cond)(struct udrv *u, void *priv), void *priv,
		  unsigned int timeout_ms);

/* Wait until nothing is in flight. 0 or -ETIMEDOUT. */
int udrv_drain(struct udrv *u);

/* Write some blocks at the end of the medium and read them back, or use channel 0. 0 or -errno. */
int udrv_work(struct udrv *u, unsigned int channel);

/* The same on each channel, 0 included. */
int udrv_work_all(struct udrv *u);

/* At rest: nothing is in flight, and the device agrees. */
void udrv_check_idle(struct udrv *u);

/* Record a broken rule. */
void udrv_fault(struct udrv *u, const char *fmt, ...) __printf(2, 3);

#endif /* SELFTESTS_VFIO_MIGRATION_UDRV_H */
