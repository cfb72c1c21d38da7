// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe as a driver for tests that know nothing of it: a channel is a pair of I/O queues, channel 0
 * the admin queue, the medium a namespace.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/kernel.h>
#include <linux/pci_regs.h>

#include "unvme.h"

#define PAGE		4096u

#define NVME_CLASS	0x010802

/* Bytes of Identify Controller */
#define ID_IDENTITY	72	/* from the beginning: vendor, serial, model, firmware */
#define ID_AERL		259

#define LOG_SMART	2

static bool nvme_probe(struct vdev *d)
{
	return vfio_pci_config_readl(d->pci, PCI_CLASS_REVISION) >> 8 == NVME_CLASS;
}

int unvme_new(struct unvme **u, struct vdev *d, struct arena *a, const struct unvme_opts *o)
{
	struct unvme *new = calloc_assert(1, sizeof(*new));
	int err = unvme_init(new, d, a, o);

	if (err) {
		unvme_fini(new);
		free(new);
		return err;
	}
	*u = new;
	return 0;
}

static int nvme_init(struct vdev *d, struct arena *a, const struct udrv_opts *o, struct udrv **u)
{
	struct unvme_opts opts = { .queues = o->channels, .depth = o->depth, .irq = true };
	struct unvme *new;
	int err = unvme_new(&new, d, a, &opts);

	if (!err)
		*u = &new->udrv;
	return err;
}

static void nvme_fini(struct udrv *u)
{
	unvme_fini(to_unvme(u));
	free(to_unvme(u));
}

/* ---- requests ---- */

/* With a page for the list of its pages, which is used again for a later request */
struct unvme_request {
	struct udrv_io *io;	/* NULL: not in use */
	u64 *list;
	struct unvme_request *next;
};

static struct unvme_request *get_request(struct unvme *u, struct udrv_io *io)
{
	struct unvme_request *r;

	for (r = u->requests; r && r->io; r = r->next)
		;
	if (!r) {
		r = calloc_assert(1, sizeof(*r));
		r->list = arena_alloc(u->udrv.arena, PAGE);
		r->next = u->requests;
		u->requests = r;
	}
	r->io = io;
	return r;
}

void unvme_free_requests(struct unvme *u)
{
	struct unvme_request *r;

	while ((r = u->requests)) {
		u->requests = r->next;
		free(r);
	}
}

/* Those of the subsystem are the same wherever it moved; only the controller id may differ. */
static bool identity_differs(const struct unvme *u, const struct unvme_cmd *c, const void *data)
{
	return c->sqe.opcode == NVME_ADM_IDENTIFY && memcmp(data, u->id_ctrl, ID_IDENTITY);
}

static void request_done(struct unvme *u, struct unvme_cmd *c)
{
	struct unvme_request *r = c->priv;
	struct udrv_io *io = r->io;
	int err = 0;

	r->io = NULL;
	if (unvme_status(c)) {
		unvme_fault(u, "queue %u: opcode %#x at LBA %u ended with status %#x", io->channel,
			    c->sqe.opcode, c->sqe.cdw10, unvme_status(c));
		err = -EIO;
	} else if (!io->channel && identity_differs(u, c, io->buf)) {
		unvme_fault(u, "Identify Controller has other data than at the start");
		err = -EILSEQ;
	}
	udrv_end(&u->udrv, io, err);
}

/* Commands whose results are known */
static struct nvme_sqe control_command(struct unvme *u, const struct udrv_io *io)
{
	static const struct nvme_sqe features = {
		.opcode = NVME_ADM_GET_FEATURES, .cdw10 = NVME_FEAT_TEMP
	};
	static const struct nvme_sqe reads[] = {
		{ .opcode = NVME_ADM_IDENTIFY, .cdw10 = 1 },
		{ .opcode = NVME_ADM_GET_LOG, .nsid = 0xffffffff, .cdw10 = LOG_SMART | 127u << 16 },
	};

	return io->write ? features : reads[u->controls++ % ARRAY_SIZE(reads)];
}

static struct nvme_sqe io_command(struct unvme *u, const struct udrv_io *io)
{
	return (struct nvme_sqe){
		.opcode = io->write ? NVME_IO_WRITE : NVME_IO_READ, .nsid = u->nsid,
		.cdw10 = io->block, .cdw11 = io->block >> 32, .cdw12 = io->blocks - 1,
	};
}

static int nvme_submit(struct udrv *udrv, struct udrv_io *io)
{
	struct unvme *u = to_unvme(udrv);
	struct unvme_request *r = get_request(u, io);
	struct nvme_sqe sqe = io->channel ? io_command(u, io) : control_command(u, io);

	unvme_set_prp(u, &sqe, io->buf, io->channel ? io->blocks * u->lba_size : PAGE, r->list);
	if (unvme_queue_cmd(u, io->channel, &sqe, request_done, r))
		return 0;
	r->io = NULL;
	return -EBUSY;
}

static void nvme_kick(struct udrv *u, unsigned int channel)
{
	unvme_ring(to_unvme(u), channel);
}

static unsigned int nvme_reap(struct udrv *u)
{
	return unvme_reap_all(to_unvme(u));
}

static unsigned int nvme_wait(struct udrv *u, unsigned int timeout_ms)
{
	return unvme_wait(to_unvme(u), timeout_ms);
}

static void nvme_stuck(struct udrv *u)
{
	unvme_report_stuck(to_unvme(u));
}

static void nvme_check_idle(struct udrv *u)
{
	unvme_check_idle(to_unvme(u), to_unvme(u)->events);
}

static bool nvme_failed(struct vdev *d)
{
	return vdev_read32(d, NVME_REG_CSTS) & NVME_CSTS_CFS;
}

static const void *nvme_ring(struct udrv *u, unsigned int channel, size_t *len)
{
	struct unvme_cq *cq = &to_unvme(u)->cqs[channel];

	*len = cq->depth * sizeof(struct nvme_cqe);
	return cq->ring;
}

/* ---- traces: features, and requests for events ---- */

static const u8 traced[UDRV_SETTINGS] = { NVME_FEAT_TEMP, NVME_FEAT_ASYNC };

static int nvme_settings(struct udrv *u, u32 *values)
{
	unsigned int i;
	int st = 0;

	for (i = 0; i < UDRV_SETTINGS && !st; i++)
		st = unvme_get_features(to_unvme(u), traced[i], 0, &values[i]);
	return st > 0 ? -EIO : st;
}

/* Requests that are one too many are answered at once: before the feature, which comes later. */
static int request_events(struct unvme *u)
{
	unsigned int i, nr = u->id_ctrl[ID_AERL] + 1u;
	int st;

	nr = min_t(unsigned int, nr, u->opts.admin_depth - 2);
	for (i = 0; i < nr; i++)
		if (!unvme_aer(u, NULL, NULL))
			return -EBUSY;
	st = unvme_get_features(u, NVME_FEAT_QUEUES, 0, NULL);
	if (st || u->sqs[0].inflight != nr)
		return st < 0 ? st : -EIO;
	u->events = nr;
	return 0;
}

static int nvme_leave_traces(struct udrv *udrv)
{
	struct unvme *u = to_unvme(udrv);
	u32 values[UDRV_SETTINGS];
	int st;

	st = nvme_settings(udrv, values);
	if (!st)
		st = unvme_set_features(u, NVME_FEAT_TEMP, values[0] + 1, NULL);
	if (!st)
		st = unvme_set_features(u, NVME_FEAT_ASYNC, values[1] ^ 0x1f, NULL);
	return st ? (st > 0 ? -EIO : st) : request_events(u);
}

static int nvme_find_traces(struct udrv *udrv)
{
	struct unvme *u = to_unvme(udrv);
	int st;

	if (!u->events || u->sqs[0].inflight != u->events)
		return -ENOENT;
	/* any temperature is above this threshold: an event */
	st = unvme_set_features(u, NVME_FEAT_TEMP, 1, NULL);
	if (st)
		return st < 0 ? st : -EIO;
	u->events--;
	return unvme_drain(u, 0, u->events);
}

/* ---- facts ---- */

static const struct udrv_off off[] = {
	{ NVME_REG_CC, ~0 }, { NVME_REG_CSTS, NVME_CSTS_RDY }, { },
};

/* Behind the doorbells nobody minds; those of the admin queue are kept by a disabled controller. */
static const struct udrv_bar bar = {
	.ignored = 0x1800, .ignored_size = 64, .kept = NVME_REG_AQA,
};

static const struct udrv_host host = {
	.driver = "nvme", .module = "nvme_core",
	.wait = unvme_host_wait, .reset = unvme_host_reset,
};

const struct udrv_ops unvme_ops = {
	.name = "NVMe",
	.probe = nvme_probe,
	.init = nvme_init,
	.fini = nvme_fini,
	.submit = nvme_submit,
	.kick = nvme_kick,
	.reap = nvme_reap,
	.wait = nvme_wait,
	.stuck = nvme_stuck,
	.check_idle = nvme_check_idle,
	.failed = nvme_failed,
	.ring = nvme_ring,
	.settings = nvme_settings,
	.leave_traces = nvme_leave_traces,
	.find_traces = nvme_find_traces,
	.off = off,
	.bar = &bar,
	.host = &host,
};

UDRV_REGISTER(unvme_ops)
