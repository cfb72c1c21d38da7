/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small NVMe driver in user space, for tests.
 *
 * It drives one controller through VFIO and keeps its own book about everything the controller
 * must do: each command completes exactly once, with the right command id, phase and queue head.
 * All its queues and buffers live in an arena at a fixed IO address. The same arena can be mapped
 * for another function, and the driver then continues there as a virtual machine would after a
 * migration: unvme_move().
 *
 * Little-endian machines only.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_UNVME_H
#define SELFTESTS_VFIO_MIGRATION_UNVME_H

#include "udrv.h"

#define UNVME_TIMEOUT_MS	UDRV_TIMEOUT_MS

/* ---- NVMe ---- */

enum {
	NVME_REG_CAP	= 0x00,
	NVME_REG_VS	= 0x08,
	NVME_REG_INTMS	= 0x0c,
	NVME_REG_INTMC	= 0x10,
	NVME_REG_CC	= 0x14,
	NVME_REG_CSTS	= 0x1c,
	NVME_REG_AQA	= 0x24,
	NVME_REG_ASQ	= 0x28,
	NVME_REG_ACQ	= 0x30,
	NVME_REG_DBS	= 0x1000,
};

#define NVME_CC_EN		0x1
#define NVME_CC_DEFAULT		0x00460000	/* 64 byte SQEs, 16 byte CQEs, 4 KiB pages */
#define NVME_CSTS_RDY		0x1
#define NVME_CSTS_CFS		0x2

enum {
	NVME_ADM_DELETE_SQ	= 0x00,
	NVME_ADM_CREATE_SQ	= 0x01,
	NVME_ADM_GET_LOG	= 0x02,
	NVME_ADM_DELETE_CQ	= 0x04,
	NVME_ADM_CREATE_CQ	= 0x05,
	NVME_ADM_IDENTIFY	= 0x06,
	NVME_ADM_ABORT		= 0x08,
	NVME_ADM_SET_FEATURES	= 0x09,
	NVME_ADM_GET_FEATURES	= 0x0a,
	NVME_ADM_AER		= 0x0c,
	NVME_ADM_NS_ATTACH	= 0x15,
	NVME_ADM_VIRT_MGMT	= 0x1c,
	NVME_ADM_DBBUF		= 0x7c,
	NVME_ADM_FORMAT		= 0x80,

	NVME_FEAT_TEMP		= 0x04,
	NVME_FEAT_QUEUES	= 0x07,
	NVME_FEAT_ASYNC		= 0x0b,

	NVME_IO_FLUSH		= 0x00,
	NVME_IO_WRITE		= 0x01,
	NVME_IO_READ		= 0x02,
};

struct nvme_sqe {
	u8 opcode;
	u8 flags;
	u16 cid;
	u32 nsid;
	u32 cdw2;
	u32 cdw3;
	u64 mptr;
	u64 prp1;
	u64 prp2;
	u32 cdw10;
	u32 cdw11;
	u32 cdw12;
	u32 cdw13;
	u32 cdw14;
	u32 cdw15;
};

struct nvme_cqe {
	u32 result;
	u32 result1;
	u16 sq_head;
	u16 sq_id;
	u16 cid;
	u16 status;		/* with the phase in bit 0 */
};

struct unvme;
struct unvme_cmd;

typedef void (*unvme_done_fn)(struct unvme *u, struct unvme_cmd *c);

/* One command between submission and completion. */
struct unvme_cmd {
	bool busy;
	u8 gen;
	u64 nr;			/* how many were submitted to its queue before it */
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;	/* valid in done() */
	unvme_done_fn done;
	void *priv;
};

/* SC and SCT of a completed command, 0 is success: bits 7:0 SC, 10:8 SCT. */
static inline u16 unvme_status(const struct unvme_cmd *c)
{
	return (c->cqe.status >> 1) & 0x7ff;
}

#define UNVME_MAX_QUEUES	UDRV_MAX_VECTORS	/* ids from 0 */
#define UNVME_MAX_CMDS		512	/* per submission queue */
#define UNVME_POLLED		(-1)

struct unvme_cq {
	bool live;
	u16 id;
	u16 depth;
	u16 head;
	u8 phase;
	int vector;		/* or UNVME_POLLED */
	struct nvme_cqe *ring;
	u64 reaped;
};

struct unvme_sq {
	bool live;
	u16 id;
	u16 depth;
	u16 tail;
	u16 head;		/* as the controller last reported it */
	u64 fetched;		/* commands taken by the controller, as head says */
	u16 rung;		/* tail the controller was last told */
	struct unvme_cq *cq;
	struct nvme_sqe *ring;
	struct unvme_cmd *cmds;
	unsigned int next_cmd;
	unsigned int inflight;
	u64 submitted;
	u64 completed;
};

struct unvme_opts {
	unsigned int queues;	/* I/O queue pairs to create, ids from 1; 0 for none */
				/* afterwards: as many of them as the controller grants */
	unsigned int depth;	/* entries of SQ and CQ; 0: 64 */
	unsigned int admin_depth;	/* 0: 32 */
	bool irq;		/* MSI-X with eventfds, else polled */
	bool dbbuf;		/* shadow doorbells for the I/O queues */
	unsigned int vectors;	/* vectors to use, 0: one per queue as far as there are any */
};

struct unvme_request;

struct unvme {
	struct udrv udrv;	/* for tests that know nothing of NVMe */
	struct unvme_opts opts;
	struct unvme_sq sqs[UNVME_MAX_QUEUES];
	struct unvme_cq cqs[UNVME_MAX_QUEUES];
	u32 dstrd;		/* bytes between doorbells */
	u32 *dbs;	/* shadow doorbells and event indexes, or NULL */
	u32 *eis;
	u64 mmio_doorbells;
	u8 *id_ctrl;		/* Identify Controller as first read, in the arena */
	u8 *scratch;		/* 128 KiB in the arena for data of exec calls */
	u64 *scratch_list;	/* PRP list page for it */
	u32 nsid;		/* the first active namespace */
	u64 nsze;
	u32 lba_size;
	u32 mdts;		/* bytes */
	struct unvme_request *requests;
	unsigned int controls;
	unsigned int events;	/* requests of leave_traces() that nothing answered yet */
};

#define unvme_fault(u, ...)	udrv_fault(&(u)->udrv, __VA_ARGS__)

#define UNVME_SCRATCH	(128 * 1024)

/**
 * unvme_init - enable the controller and create queues
 * @u: filled in
 * @d: function, with @a mapped
 * @a: memory for everything
 * @o: what is wanted
 *
 * Return: 0 or -errno; a message is printed. -EOPNOTSUPP: no shadow doorbells there.
 */
int unvme_init(struct unvme *u, struct vdev *d, struct arena *a, const struct unvme_opts *o);

/* Only the admin queue: reset by CC.EN, enable, vectors. unvme_init() calls it. */
int unvme_enable(struct unvme *u, struct vdev *d, struct arena *a, const struct unvme_opts *o);

/* CC.EN = 0 and wait for CSTS.RDY = 0. All commands in flight are forgotten. */
int unvme_disable(struct unvme *u);

extern const struct udrv_ops unvme_ops;

/* unvme_init() of a new one, which udrv_fini() frees. */
int unvme_new(struct unvme **u, struct vdev *d, struct arena *a, const struct unvme_opts *o);

/* Free what unvme_ops needs; unvme_fini() calls it. */
void unvme_free_requests(struct unvme *u);

/* Free what is outside the arena; does not touch the device. */
void unvme_fini(struct unvme *u);

static inline struct unvme *to_unvme(struct udrv *u)
{
	return container_of(u, struct unvme, udrv);
}

static inline void unvme_move(struct unvme *u, struct vdev *to)
{
	udrv_move(&u->udrv, to);
}

/* Make queues one by one. Return NVMe status or -errno. UNVME_POLLED: a CQ without IEN. */
int unvme_create_cq(struct unvme *u, u16 id, u16 depth, int vector);
int unvme_create_sq(struct unvme *u, u16 id, u16 depth, u16 cqid);
int unvme_delete_sq(struct unvme *u, u16 id);
int unvme_delete_cq(struct unvme *u, u16 id);

/* Configure shadow doorbells; only before I/O queues exist. */
int unvme_dbbuf(struct unvme *u);

/**
 * unvme_queue_cmd - put a command into a submission queue without telling the controller
 * @u: driver
 * @sqid: queue
 * @sqe: command; its cid is assigned here
 * @done: called from unvme_reap() when it completes
 * @priv: for @done
 *
 * Return: the command, or NULL if the queue is full.
 */
struct unvme_cmd *unvme_queue_cmd(struct unvme *u, u16 sqid, const struct nvme_sqe *sqe,
				  unvme_done_fn done, void *priv);

/* Ring the doorbell of a submission queue (or its shadow). */
void unvme_ring(struct unvme *u, u16 sqid);

/* unvme_queue_cmd() and unvme_ring(). */
struct unvme_cmd *unvme_submit(struct unvme *u, u16 sqid, const struct nvme_sqe *sqe,
			       unvme_done_fn done, void *priv);

/* Take new entries from one CQ, or from all; return how many. */
unsigned int unvme_reap(struct unvme *u, u16 cqid);
unsigned int unvme_reap_all(struct unvme *u);

/* Whether a CQ has an entry that was not taken. */
bool unvme_cq_pending(struct unvme *u, u16 cqid);

/*
 * Wait for completions and reap them. Queues with interrupts are only looked at when their
 * eventfd fired. Return: number of entries reaped, 0 if @timeout_ms passed without any.
 */
unsigned int unvme_wait(struct unvme *u, unsigned int timeout_ms);

/* Wait until @cond(priv); 0 or -ETIMEDOUT. A lost interrupt is noticed and becomes a fault. */
int unvme_wait_for(struct unvme *u, bool (*cond)(struct unvme *u, void *priv), void *priv,
		   unsigned int timeout_ms);

/* Record as a fault why nothing completes. */
void unvme_report_stuck(struct unvme *u);

/* Wait until a queue has at most @left commands in flight; 0 or -ETIMEDOUT. */
int unvme_drain(struct unvme *u, u16 sqid, unsigned int left);

/* One command, synchronously. Return NVMe status (SCT in bits 10:8) or -ETIMEDOUT. */
int unvme_exec(struct unvme *u, u16 sqid, const struct nvme_sqe *sqe, u32 *result);

/* Fill in PRP1/PRP2 for contiguous arena memory; @list is an arena page, may be NULL to 2 pages. */
void unvme_set_prp(struct unvme *u, struct nvme_sqe *sqe, const void *buf, size_t len, u64 *list);

/* Admin commands in synchronous form; data in u->scratch. Return NVMe status or -errno. */
int unvme_identify(struct unvme *u, u8 cns, u32 nsid, u16 cntid);
int unvme_get_features(struct unvme *u, u8 fid, u32 cdw11, u32 *result);
int unvme_set_features(struct unvme *u, u8 fid, u32 cdw11, u32 *result);
int unvme_get_log(struct unvme *u, u8 lid, u32 nsid, u32 len);

/* Read or write blocks synchronously through u->scratch. Return NVMe status or -errno. */
int unvme_rw(struct unvme *u, u16 sqid, bool write, u64 lba, u32 blocks);

/* An Asynchronous Event Request; @done gets the event. */
struct unvme_cmd *unvme_aer(struct unvme *u, unvme_done_fn done, void *priv);

/* Book-keeping at rest: every SQ idle (except AERs) and its last reported head equal to tail. */
void unvme_check_idle(struct unvme *u, unsigned int aers);

/* ---- the driver of a host ---- */

/* Wait until the nvme driver, bound to the function, can use its controller. -ENXIO: it cannot. */
int unvme_host_wait(const char *bdf);

/* Reset the controller of a function that is bound to the nvme driver. */
int unvme_host_reset(const char *bdf);

#endif /* SELFTESTS_VFIO_MIGRATION_UNVME_H */
