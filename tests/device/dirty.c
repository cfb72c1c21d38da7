// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contents of the log of dirty memory: all that the device was asked to write, and at the
 * granted granularity nothing else. LM_SEED chooses another random sequence, LM_FUZZ its length.
 */
#include <string.h>

#include "device.h"
#include "track.h"

#define FILL		0x5a
#define SLOTS		32		/* commands in flight */
#define PIECES		128
#define DATA_PAGES	2048

#define SGL_DATA	0x00
#define SGL_LAST	0x30
#define PSDT_SGL	0x40		/* metadata is contiguous */
#define PSDT_SGL_SGL	0x80		/* metadata has an SGL of its own */
#define PRACT		0x20000000

struct sgl {
	u64 addr;
	u32 len;
	u8 rsvd[3];
	u8 type;
} __packed;

struct piece {
	u64 iova;
	u32 len;
};

/* A command and the places that it makes the device write. */
struct op {
	bool busy;
	struct nvme_sqe sqe;
	u64 *list;		/* a page for PRPs or SGL descriptors */
	struct sgl *mlist;	/* a page for the SGL of metadata */
	struct piece piece[PIECES];
	unsigned int pieces;
};

static struct op ops[SLOTS];
static struct book book;
static u8 *data;		/* where data goes to */

/* How this device differs. */
static bool no_cqes, holds_hot, has_meta, extended, protected;

/* ---- set-up ---- */

static void read_namespace(struct unvme *u)
{
	u8 flbas, dps;

	EXPECT_EQ(unvme_identify(u, 0, 1, 0), 0, "Identify Namespace");
	flbas = u->scratch[26];
	dps = u->scratch[29];
	has_meta = u->scratch[128 + 4 * (flbas & 0xf)];
	extended = has_meta && flbas & 0x10;
	protected = dps & 7;
}

static bool up(struct vf *d, int pf, const struct unvme_opts *o)
{
	unsigned int i;

	if (!vf_open(d, pf, 1) || !vf_up(d, o))
		return false;
	memset(ops, 0, sizeof(ops));
	memset(&book, 0, sizeof(book));
	no_cqes = pf == TR_NOCQE;
	holds_hot = pf == TR_NOCQE;
	read_namespace(&d->u);
	for (i = 0; i < SLOTS; i++) {
		ops[i].list = arena_alloc(&arena, TRACK_PAGE);
		ops[i].mlist = arena_alloc(&arena, TRACK_PAGE);
	}
	data = arena_alloc(&arena, DATA_PAGES * TRACK_PAGE);
	return true;
}

static bool begin(struct track *t, struct vf *d, u8 rmrtg)
{
	track_arena(t, d, rmrtg);
	return EXPECT_EQ(track_start(t), LM_SC_OK, "start at granularity %u", rmrtg);
}

/* ---- commands ---- */

static struct op *op_new(u8 opcode, u32 nsid)
{
	struct op *o;

	for (o = ops; o->busy; o++)
		;
	o->busy = true;
	o->pieces = 0;
	o->sqe = (struct nvme_sqe){ .opcode = opcode, .nsid = nsid };
	return o;
}

static bool op_free(void)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (!ops[i].busy)
			return true;
	return false;
}

static void op_piece(struct op *o, u64 iova, u32 len)
{
	if (len)
		o->piece[o->pieces++] = (struct piece){ iova, len };
}

static void op_done(struct unvme *u, struct unvme_cmd *c)
{
	struct op *o = c->priv;
	unsigned int i;

	if (!no_cqes)
		book_cqe(&book, u->sqs[c->cqe.sq_id].cq);
	for (i = 0; i < o->pieces && !unvme_status(c); i++)
		book_iova(&book, o->piece[i].iova, o->piece[i].len);
	o->busy = false;
}

/* Shadow doorbells: the device writes the event index of each queue, and doorbells of queue 0. */
static void book_shadows(struct unvme *u, u16 sqid)
{
	if (!u->dbs)
		return;
	book_iova(&book, arena_iova(&arena, u->eis), TRACK_PAGE);
	if (!sqid)
		book_iova(&book, arena_iova(&arena, u->dbs), TRACK_PAGE);
}

static bool op_submit(struct unvme *u, u16 sqid, struct op *o)
{
	book_shadows(u, sqid);
	return EXPECT(unvme_submit(u, sqid, &o->sqe, op_done, o), "queue %u is full", sqid);
}

static void op_wait(struct unvme *u)
{
	u16 id;

	for (id = 0; id < UNVME_MAX_QUEUES; id++)
		if (u->sqs[id].live)
			EXPECT_EQ(unvme_drain(u, id, 0), 0, "queue %u", id);
}

static void op_exec(struct unvme *u, u16 sqid, struct op *o)
{
	if (op_submit(u, sqid, o))
		op_wait(u);
}

/* ---- where data goes ---- */

static u64 at(u64 offset)
{
	return arena_iova(&arena, data) + offset;
}

static u64 any_page(void)
{
	return at((u64)(rnd() % DATA_PAGES) * TRACK_PAGE);
}

static u64 any_place(u32 len)
{
	return at(rnd() % (DATA_PAGES * TRACK_PAGE - len));
}

/* PRPs: the first may begin inside a page, the others lie anywhere. */
static void op_prps(struct op *o, u64 prp1, u32 len, u64 (*next)(void))
{
	u32 n = min_t(u32, len, TRACK_PAGE - prp1 % TRACK_PAGE);
	unsigned int i;

	o->sqe.prp1 = prp1;
	op_piece(o, prp1, n);
	for (i = 0, len -= n; len; i++, len -= n) {
		n = min_t(u32, len, TRACK_PAGE);
		o->list[i] = next();
		op_piece(o, o->list[i], n);
	}
	o->sqe.prp2 = i == 1 ? o->list[0] : i ? arena_iova(&arena, o->list) : 0;
}

static void op_any_prps(struct op *o, u32 len)
{
	op_prps(o, any_page() + rnd() % 1024 * 4, len, any_page);
}

/* One data block, or a segment of up to 64 of any length at any address. */
static void op_sgl(struct op *o, u32 len)
{
	struct sgl *s = (struct sgl *)o->list, first = { .type = SGL_DATA };
	unsigned int i;
	u32 n;

	o->sqe.flags = PSDT_SGL;
	if (rnd() % 4 == 0) {
		first.addr = any_place(len);
		first.len = len;
		op_piece(o, first.addr, len);
		memcpy(&o->sqe.prp1, &first, sizeof(first));
		return;
	}
	for (i = 0; len; i++, len -= n) {
		n = i == 63 ? len : min(len, rnd() % 2 ? 1 + rnd() % 64 : 1 + rnd() % 8192);
		s[i] = (struct sgl){ .addr = any_place(n), .len = n, .type = SGL_DATA };
		op_piece(o, s[i].addr, n);
	}
	first.type = SGL_LAST;
	first.addr = arena_iova(&arena, s);
	first.len = i * sizeof(*s);
	memcpy(&o->sqe.prp1, &first, sizeof(first));
}

/* Separate metadata: contiguous, or (with an SGL for data) by an SGL of one descriptor. */
static void op_metadata(struct op *o, u32 len)
{
	u64 iova = any_place(len) & ~3ull;

	op_piece(o, iova, len);
	o->sqe.mptr = iova;
	if (!(o->sqe.flags & PSDT_SGL) || rnd() % 2)
		return;
	o->sqe.flags = PSDT_SGL_SGL;
	*o->mlist = (struct sgl){ .addr = iova, .len = len, .type = SGL_DATA };
	o->sqe.mptr = arena_iova(&arena, o->mlist);
}

/* ---- one command of each kind ---- */

static struct op *any_rw(struct unvme *u, bool write)
{
	struct op *o = op_new(write ? NVME_IO_WRITE : NVME_IO_READ, 1);
	u32 blocks = 1 + rnd() % (rnd() % 2 ? 64 : 8), len = blocks * u->lba_size;
	bool pract = protected && rnd() % 2;
	u64 lba = rnd() % (u->nsze - blocks);

	o->sqe.cdw10 = lba;
	o->sqe.cdw11 = lba >> 32;
	o->sqe.cdw12 = (blocks - 1) | (pract ? PRACT : 0);
	if (rnd() % 16 == 0)
		o->sqe.cdw11 = 1;	/* behind the end: no data */
	if (extended && !pract)
		len += blocks * 8;
	if (rnd() % 2)
		op_any_prps(o, len);
	else
		op_sgl(o, len);
	if (has_meta && !extended && !pract)
		op_metadata(o, blocks * 8);
	if (write)
		o->pieces = 0;
	return o;
}

static struct op *any_identify(void)
{
	static const u8 cns[] = { 0, 1, 2, 3, 0x20 /* refused */ };
	struct op *o = op_new(NVME_ADM_IDENTIFY, 1);

	o->sqe.cdw10 = cns[rnd() % ARRAY_SIZE(cns)];
	op_any_prps(o, 4096);
	return o;
}

static struct op *any_log(void)
{
	struct op *o = op_new(NVME_ADM_GET_LOG, 0xffffffff);
	u32 len = 4 + 4 * (rnd() % (rnd() % 2 ? 128 : 8));

	o->sqe.cdw10 = 2 | (len / 4 - 1) << 16;
	op_any_prps(o, len);
	return o;
}

static struct op *any_feature(void)
{
	struct op *o = op_new(NVME_ADM_GET_FEATURES, 0);

	o->sqe.cdw10 = rnd() % 2 ? 0x0e : NVME_FEAT_QUEUES;
	op_any_prps(o, 8);
	if (o->sqe.cdw10 == NVME_FEAT_QUEUES)
		o->pieces = 0;	/* only the timestamp is data */
	return o;
}

static bool submit_any(struct unvme *u)
{
	unsigned int queues = u->opts.queues;

	switch (rnd() % 8) {
	case 0:
		return op_submit(u, 0, any_identify());
	case 1:
		return op_submit(u, 0, any_log());
	case 2:
		return op_submit(u, 0, any_feature());
	case 3:
		return op_submit(u, 1 + rnd() % queues, op_new(NVME_IO_FLUSH, 1));
	case 4:
		return protected || extended ||
		       op_submit(u, 1 + rnd() % queues, any_rw(u, true));
	default:
		return op_submit(u, 1 + rnd() % queues, any_rw(u, false));
	}
}

/* ---- by kind ---- */

static struct op *read_at(struct unvme *u, u64 offset, u32 blocks)
{
	struct op *o = op_new(NVME_IO_READ, 1);
	u32 len = blocks * u->lba_size;

	unvme_set_prp(u, &o->sqe, data + offset, len, o->list);
	o->sqe.cdw12 = blocks - 1;
	op_piece(o, at(offset), len);
	return o;
}

/* At every granularity, with data that begins and ends inside and at the edge of units. */
static void test_granularities(void)
{
	static const struct { u64 offset; u32 blocks; } reads[] = {
		{ 0, 8 }, { 0, 9 }, { 4096 - 512, 1 }, { 4096 - 512, 2 }, { 4092, 1 },
		{ 65536 - 4, 1 }, { 65536 - 4096, 8 }, { 65536 - 4096, 9 }, { 1 << 20, 64 },
		{ (2 << 20) - 4, 200 }, { 4 << 20, 1 },
	};
	static const struct unvme_opts opts = { .queues = 1 };
	struct vf *d = &vf_a;
	struct track_limits l;
	struct track t;
	unsigned int g, i;

	if (!up(d, tap_arg(), &opts))
		return;
	l = track_limits(d->pf->id);
	for (g = l.minmrtg; g <= l.maxmrtg && !tap_failed(); g++) {
		if (!begin(&t, d, g))
			return;
		for (i = 0; i < ARRAY_SIZE(reads); i++) {
			op_exec(&d->u, 1, read_at(&d->u, reads[i].offset, reads[i].blocks));
			if (!track_expect(&t, &book))
				tap_note("granularity %u, %u blocks at %#lx", g, reads[i].blocks,
					 reads[i].offset);
		}
		EXPECT_EQ(track_stop(&t), LM_SC_OK, "stop");
	}
}

/* A command that brings no data to memory: its completion is all there is. */
static void test_completions(void)
{
	struct unvme_opts opts = { .queues = 2, .depth = 600, .admin_depth = 600 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;
	unsigned int i, q;

	if (!up(d, tap_arg(), &opts) || !begin(&t, d, 0))
		return;
	for (i = 0; i < 40 && !tap_failed(); i++) {
		for (q = 0; q < SLOTS - 1; q++)
			op_submit(u, 1 + i % 2, op_new(NVME_IO_FLUSH, 1));
		op_submit(u, 0, any_feature());
		op_wait(u);
		track_expect(&t, &book);
	}
	EXPECT(u->cqs[1].reaped > 600, "CQ 1 has not wrapped");
}

/* Data that goes to the device changes nothing. */
static void test_writes(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	static struct track_log log;
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;
	struct op *o;

	if (!up(d, PF_TP, &opts))
		return;
	track_init(&t, d, 0);
	track_add(&t, at(0), DATA_PAGES);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	o = read_at(u, 0, 64);
	o->sqe.opcode = NVME_IO_WRITE;
	op_exec(u, 1, o);
	o = read_at(u, 65536, 64);
	o->sqe.opcode = 0x05;	/* Compare */
	op_exec(u, 1, o);
	memset(&log, 0, sizeof(log));
	track_read(&t, 4096, &log);
	EXPECT_EQ(log.descriptors, 0, "pages after a write and a compare");
}

/* Only the ranges that were asked for, and these to their ends. */
static void test_ranges(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;

	if (!up(d, PF_TP, &opts))
		return;
	track_init(&t, d, 0);
	track_add(&t, at(40 * TRACK_PAGE), 3);
	track_add(&t, at(10 * TRACK_PAGE), 1);
	track_add(&t, at(20 * TRACK_PAGE), 2);
	track_add(&t, at(22 * TRACK_PAGE), 5);	/* touches the one before */
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	op_exec(u, 1, read_at(u, 8 * TRACK_PAGE, 5 * 8));
	track_expect(&t, &book);
	op_exec(u, 1, read_at(u, 18 * TRACK_PAGE, 12 * 8));
	track_expect(&t, &book);
	op_exec(u, 1, read_at(u, 20 * TRACK_PAGE - 512, 1));
	track_expect(&t, &book);
	op_exec(u, 1, read_at(u, 20 * TRACK_PAGE - 512, 2));
	track_expect(&t, &book);
	op_exec(u, 1, read_at(u, 43 * TRACK_PAGE - 512, 2));
	op_exec(u, 1, read_at(u, 0, 200 * 8));
	track_expect(&t, &book);
}

/* ---- reading ---- */

/* Neighbours are one descriptor, across requested ranges that touch, too. */
static void test_merged(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	static struct track_log log;
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;
	int i;

	if (!up(d, PF_TP, &opts))
		return;
	track_init(&t, d, 0);
	for (i = 15; i >= 0; i--)
		track_add(&t, at(i * 16 * TRACK_PAGE), 16);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	for (i = 0; i < 50; i++)
		op_exec(u, 1, read_at(u, (i * 7 % 50 + 3) * TRACK_PAGE, 8));
	memset(&log, 0, sizeof(log));
	track_read(&t, 4096, &log);
	track_check(&t, &log, &book);
	EXPECT_EQ(log.descriptors, 1, "descriptors for 50 pages in a row");
}

/* One descriptor at a time: MTR up to the last, and all of them. */
static void test_more(void)
{
	static const u32 sizes[] = { 32, 36, 44, 48, 64, 4096 };
	static const struct unvme_opts opts = { .queues = 1 };
	static struct track_log log;
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;
	unsigned int s, i, want;

	if (!up(d, PF_TP, &opts))
		return;
	track_init(&t, d, 0);
	track_add(&t, at(0), DATA_PAGES);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (i = 0; i < 12; i++)
			op_exec(u, 1, read_at(u, i * 2 * TRACK_PAGE, 8));
		memset(&log, 0, sizeof(log));
		for (i = 0; i < 12; i += want) {
			want = min(12 - i, (sizes[s] - 16) / 16);
			if (!track_receive(&t, sizes[s], &log))
				return;
			EXPECT_EQ(log.ntmcd, want, "%u bytes: NTMCD", sizes[s]);
			EXPECT_EQ(log.mtr, i + want < 12, "%u bytes: MTR after %u", sizes[s],
				  i + want);
			EXPECT_EQ(log.susp, 0, "SUSP");
		}
		track_check(&t, &log, &book);
		memset(&book, 0, sizeof(book));
		track_receive(&t, sizes[s], &log);
		EXPECT_EQ(log.ntmcd + log.mtr, 0, "when all was read");
	}
}

/* Pages that are written again and again do not keep others from being reported. */
static void test_fair(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	static struct track_log log;
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;
	int i;

	if (!up(d, PF_TP, &opts))
		return;
	track_init(&t, d, 0);
	track_add(&t, at(0), DATA_PAGES);
	EXPECT_EQ(track_start(&t), LM_SC_OK, "start");
	for (i = 0; i < 8; i++)
		op_exec(u, 1, read_at(u, 2 * i * TRACK_PAGE, 8));
	memset(&log, 0, sizeof(log));
	for (i = 0; i < 8; i++) {
		track_receive(&t, 32, &log);
		op_exec(u, 1, read_at(u, 0, 8));
	}
	track_check(&t, &log, &book);
}

/* What was read is gone, what is written once more is back. */
static void test_consumed(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	struct vf *d = &vf_a;
	struct track t;
	int i;

	if (!up(d, tap_arg(), &opts) || !begin(&t, d, track_limits(d->pf->id).minmrtg))
		return;
	for (i = 0; i < 10; i++) {
		op_exec(&d->u, 1, read_at(&d->u, 0, 8));
		track_expect(&t, &book);
		track_expect(&t, &book);
	}
}

/* ---- suspend ---- */

static u64 page_of(const void *p)
{
	return ((const u8 *)p - arena.va) / TRACK_PAGE;
}

/* Until an entry is there; it is not taken, so no doorbell is rung. */
static void wait_pending(struct unvme *u, u16 cqid)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;

	while (!unvme_cq_pending(u, cqid) && now_ms() < end)
		;
	EXPECT(unvme_cq_pending(u, cqid), "CQ %u: no entry", cqid);
}

/* Suspended and nothing more to report: that is the end, until Resume. */
static void check_suspended(const struct unvme_opts *opts)
{
	static struct track_log log;
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;
	int i;

	if (!up(d, PF_TP, opts) || !begin(&t, d, 0))
		return;
	for (i = 0; i < 20; i++)
		op_submit(u, 1, read_at(u, i * 3 * TRACK_PAGE, 16));
	wait_pending(u, 1);	/* the event index is written, too */
	if (!vf_suspend(d))
		return;
	memset(&log, 0, sizeof(log));
	unvme_reap_all(u);
	track_read(&t, 64, &log);
	EXPECT(log.susp, "SUSP");
	track_check(&t, &log, &book);
	memset(&book, 0, sizeof(book));

	/* rung while suspended: a shadow of that, if any, is written by Resume */
	op_submit(u, 0, any_identify());
	memset(&log, 0, sizeof(log));
	for (i = 0; i < 3; i++)
		track_read(&t, 64, &log);
	EXPECT(log.susp && !log.descriptors, "SUSP %d, %u descriptors", log.susp, log.descriptors);
	if (!vf_resume(d))
		return;
	book_shadows(u, 1);	/* by what was submitted before the suspend */
	memset(&log, 0, sizeof(log));
	wait_pending(u, 0);
	track_read(&t, 4096, &log);
	EXPECT(!log.susp, "SUSP after Resume");
	if (u->dbs)
		EXPECT(log.hit[page_of(u->dbs)], "doorbells after Resume");
	op_wait(u);
	track_read(&t, 4096, &log);
	track_check(&t, &log, &book);
}

static void test_suspend(void)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true };

	check_suspended(&opts);
}

static void test_suspend_shadow(void)
{
	static const struct unvme_opts opts = { .queues = 1, .irq = true, .dbbuf = true };

	check_suspended(&opts);
}

/* ---- shadow doorbells ---- */

static void test_shadow(void)
{
	static const struct unvme_opts opts = { .queues = 1, .dbbuf = true };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;
	int i;

	if (!up(d, PF_TP, &opts) || !begin(&t, d, 0))
		return;
	for (i = 0; i < 8 && !tap_failed(); i++) {
		op_exec(u, 1, op_new(NVME_IO_FLUSH, 1));
		track_expect(&t, &book);
		op_exec(u, 0, any_feature());
		track_expect(&t, &book);
	}
}

/* Their set-up writes the doorbells of the queues that exist: of the admin queue. */
static void test_shadow_setup(void)
{
	static const struct unvme_opts opts = { 0 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;
	u64 reaped;

	if (!up(d, PF_TP, &opts) || !begin(&t, d, 0))
		return;
	reaped = u->cqs[0].reaped;
	EXPECT_EQ(unvme_dbbuf(u), 0, "Doorbell Buffer Config");
	book_shadows(u, 0);
	book_cqes(&book, &u->cqs[0], reaped);
	track_expect(&t, &book);
}

/* ---- reads on their way ---- */

static bool is_fill(u64 page)
{
	const u8 *p = arena.va + page * TRACK_PAGE;
	unsigned int i;

	for (i = 0; i < TRACK_PAGE && p[i] == FILL; i++)
		;
	return i == TRACK_PAGE;
}

static bool up_slow(struct vf *d)
{
	static const struct unvme_opts opts = { .queues = 1 };

	return up(d, PF_TP, &opts);
}

static void submit_slow(struct unvme *u)
{
	struct op *o;
	int i;

	memset(data, FILL, DATA_PAGES * TRACK_PAGE);
	for (i = 0; i < SLOTS; i++) {
		o = read_at(u, (u64)i * 256 * 1024, 256);
		o->sqe.cdw10 = i * 256;
		op_submit(u, 1, o);
	}
}

/*
 * A page must not be in the log before the data is in memory: reading the log consumes it, and
 * the copy that the host makes then would be the old one.
 */
static void test_slow(void)
{
	static struct track_log log, all;
	unsigned int page, early = 0, meanwhile = 0;
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;

	if (!up_slow(d) || !begin(&t, d, 0))
		return;
	memset(&all, 0, sizeof(all));
	submit_slow(u);
	while (u->sqs[1].inflight && !tap_failed()) {
		memset(&log, 0, sizeof(log));
		if (!track_read(&t, 4096, &log))
			return;
		for (page = 0; page < TRACK_PAGES; page++) {
			early += log.hit[page] && is_fill(page);
			all.hit[page] |= log.hit[page];
		}
		unvme_reap_all(u);
		meanwhile += u->sqs[1].inflight > 0;
	}
	track_read(&t, 4096, &all);
	track_check(&t, &all, &book);
	EXPECT_EQ(early, 0, "pages in the log before their data");
	EXPECT(meanwhile > 1, "the log was read %u times with reads on their way", meanwhile);
}

/* What was submitted before the start and lands after it counts. */
static void test_slow_start(void)
{
	static struct track_log log;
	unsigned int page, left, missing = 0;
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;

	if (!up_slow(d))
		return;
	submit_slow(u);
	if (!begin(&t, d, 0))
		return;
	unvme_reap_all(u);
	left = u->sqs[1].inflight;
	/* data of completed reads may have landed before */
	memset(&book, 0, sizeof(book));
	op_wait(u);
	memset(&log, 0, sizeof(log));
	track_read(&t, 4096, &log);
	for (page = 0; page < TRACK_PAGES; page++)
		missing += book.page[page] && !log.hit[page];
	EXPECT_EQ(missing, 0, "pages of reads that ended after the start");
	EXPECT(left, "no read was on its way");
}

/* A reset waits for reads or cancels them; data that landed until then is in the log. */
static void test_slow_reset(void)
{
	static struct track_log log;
	unsigned int page, left, missing = 0, landed = 0;
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;
	u64 first;

	if (!up_slow(d) || !begin(&t, d, 0))
		return;
	submit_slow(u);
	unvme_wait(u, UNVME_TIMEOUT_MS);
	left = u->sqs[1].inflight;
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	memset(&log, 0, sizeof(log));
	track_read(&t, 4096, &log);
	first = page_of(data);
	for (page = first; page < first + DATA_PAGES; page++) {
		landed += !is_fill(page);
		missing += !is_fill(page) && !log.hit[page];
	}
	EXPECT_EQ(missing, 0, "pages that changed");
	EXPECT(landed, "nothing landed");
	EXPECT(left, "no read was on its way");
}

/* ---- hot pages ---- */

static void expect_pages(struct track *t, unsigned int first, unsigned int second, bool susp,
			 const char *what)
{
	static struct track_log log;
	static struct book b;

	memset(&log, 0, sizeof(log));
	memset(&b, 0, sizeof(b));
	if (first)
		book_iova(&b, at(first * TRACK_PAGE), 1);
	if (second)
		book_iova(&b, at(second * TRACK_PAGE), 1);
	if (!track_read(t, 4096, &log) || !track_check(t, &log, &b))
		tap_note("%s", what);
	EXPECT_EQ(log.susp, susp, "%s: SUSP", what);
}

/* What was reported a moment ago is held back once, unless the controller is suspended. */
static void test_hot(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct track t;

	if (!up(d, TR_NOCQE, &opts) || !begin(&t, d, 0))
		return;
	op_exec(u, 1, read_at(u, 4 * TRACK_PAGE, 8));
	expect_pages(&t, 4, 0, false, "first time");
	op_exec(u, 1, read_at(u, 4 * TRACK_PAGE, 8));
	op_exec(u, 1, read_at(u, 9 * TRACK_PAGE, 8));
	expect_pages(&t, 9, 0, false, "held back");
	expect_pages(&t, 4, 0, false, "its turn");
	op_exec(u, 1, read_at(u, 4 * TRACK_PAGE, 8));
	expect_pages(&t, 0, 0, false, "held back again");
	expect_pages(&t, 4, 0, false, "its turn again");
	op_exec(u, 1, read_at(u, 4 * TRACK_PAGE, 8));
	op_exec(u, 1, read_at(u, 9 * TRACK_PAGE, 8));
	vf_suspend(d);
	expect_pages(&t, 4, 9, true, "suspended");
	expect_pages(&t, 0, 0, true, "nothing more");
	vf_resume(d);
}

/* ---- anything ---- */

static void add_any_range(struct track *t, const struct track_limits *l, u64 unit, u64 *from)
{
	u64 left = (arena.iova + arena.size - *from) / unit, gap = rnd() % 3 ? rnd() % 64 : 0, n;

	if (gap >= left)
		return;
	n = 1 + rnd() % (rnd() % 2 ? 8 : 2048);
	n = min(n, left - gap);
	if (l->pow2)
		n = 1ull << (63 - __builtin_clzll(n));
	track_add(t, *from + gap * unit, n);
	*from += (gap + n) * unit;
}

/* Ranges without order at a granularity, with all of the arena now and then. */
static void any_request(struct track *t, struct vf *d, const struct track_limits *l)
{
	u8 rmrtg = l->minmrtg + rnd() % (min_t(u8, l->maxmrtg, 9) - l->minmrtg + 1);
	unsigned int nr = 1 + rnd() % min_t(u16, l->cmmrtd, 20), i, j;
	u64 unit = (u64)TRACK_PAGE << rmrtg, from = arena.iova;
	struct track_range r;

	if (rnd() % 4 == 0) {
		track_arena(t, d, rmrtg);
		return;
	}
	track_init(t, d, rmrtg);
	while (t->nr < nr && from + unit <= arena.iova + arena.size)
		add_any_range(t, l, unit, &from);
	if (!t->nr)
		track_add(t, arena.iova, 1);
	for (i = 0; i < t->nr; i++) {
		j = rnd() % t->nr;
		r = t->range[i];
		t->range[i] = t->range[j];
		t->range[j] = r;
	}
}

/* Some commands, with readings of the log among them; in the end it is the book. */
static void check_batch(struct vf *d, struct track *t)
{
	static struct track_log log;
	struct unvme *u = &d->u;
	unsigned int n = 1 + rnd() % 24, i;
	u32 bytes = 32 + 4 * (rnd() % (rnd() % 2 ? 16 : 1000));
	bool suspend = holds_hot || rnd() % 4 == 0;

	memset(&log, 0, sizeof(log));
	for (i = 0; i < n && !tap_failed(); i++) {
		while (!op_free())
			unvme_wait(u, UNVME_TIMEOUT_MS);
		submit_any(u);
		if (rnd() % 6 == 0)
			track_receive(t, bytes, &log);
	}
	if (suspend && rnd() % 2) {
		/* in the middle of it: fetched commands are done, the rest waits */
		vf_suspend(d);
		vf_resume(d);
	}
	op_wait(u);
	if (suspend)
		vf_suspend(d);
	track_read(t, bytes, &log);
	EXPECT_EQ(log.susp, suspend, "SUSP");
	track_check(t, &log, &book);
	if (suspend)
		vf_resume(d);
	memset(&book, 0, sizeof(book));
}

static void check_random(int pf, const struct unvme_opts *o)
{
	unsigned int n = rounds(12, 4159), round, i, batches;
	struct vf *d = &vf_a;
	struct track_limits l;
	struct track t;

	if (!up(d, pf, o))
		return;
	l = track_limits(d->pf->id);
	for (round = 0; round < n && !tap_failed(); round++) {
		any_request(&t, d, &l);
		if (!EXPECT_EQ(track_start(&t), LM_SC_OK, "round %u: start", round))
			return;
		batches = 1 + rnd() % 8;
		for (i = 0; i < batches && !tap_failed(); i++)
			check_batch(d, &t);
		EXPECT_EQ(track_stop(&t), LM_SC_OK, "round %u: stop", round);
	}
	if (tap_failed())
		tap_note("round %u, granularity %u, %u ranges", round - 1, t.rmrtg, t.nr);
	unvme_check_idle(&d->u, 0);
}

static void test_random(void)
{
	static const struct unvme_opts opts = { .queues = 3, .depth = 300 };

	check_random(tap_arg(), &opts);
}

static void test_random_shadow(void)
{
	static const struct unvme_opts opts = { .queues = 3, .dbbuf = true };

	check_random(tap_arg(), &opts);
}

static const struct tap_test dirty_tests[] = {
	{ "data at each granularity", test_granularities, PF_TP },
	{ "completions", test_completions, PF_TP },
	{ "data to the device", test_writes },
	{ "ranges", test_ranges },
	{ "neighbours are merged", test_merged },
	{ "more than fits in the buffer", test_more },
	{ "all have their turn", test_fair },
	{ "read once", test_consumed, PF_TP },
	{ "to the end after a suspend", test_suspend },
	{ "to the end after a suspend, shadow doorbells", test_suspend_shadow },
	{ "shadow doorbells", test_shadow },
	{ "set-up of shadow doorbells", test_shadow_setup },
	{ "anything", test_random, PF_TP },
	{ "anything, shadow doorbells", test_random_shadow, PF_TP },
};

static const struct tap_test dirty_tracking_tests[] = {
	{ "data at coarse granularities", test_granularities, TR_COARSE },
	{ "data, reported finer than asked for", test_granularities, TR_FINE },
	{ "completions that are not", test_completions, TR_NOCQE },
	{ "hot pages", test_hot },
	{ "anything, few descriptors", test_random, TR_FEW },
	{ "anything, powers of two", test_random, TR_POW2 },
	{ "anything, coarse", test_random, TR_COARSE },
	{ "anything, without completions and hot pages", test_random, TR_NOCQE },
	{ "anything, reported finer", test_random, TR_FINE },
	{ "anything, metadata", test_random, TR_META },
	{ "anything, extended blocks", test_random, TR_EXT },
	{ "anything, protection information", test_random, TR_PI },
};

static const struct tap_test dirty_draining_tests[] = {
	{ "the log while reads are on their way", test_slow },
	{ "start with reads on their way", test_slow_start },
	{ "reset with reads on their way", test_slow_reset },
};

const struct test_group dirty_group = { "dirty", dirty_tests, ARRAY_SIZE(dirty_tests) };

const struct test_group dirty_tracking_group = {
	"tracking", dirty_tracking_tests, ARRAY_SIZE(dirty_tracking_tests)
};

const struct test_group dirty_draining_group = {
	"draining", dirty_draining_tests, ARRAY_SIZE(dirty_draining_tests)
};

static const struct tap_test dirty_functions_tests[] = {
	{ "dirty: data at each granularity", test_granularities, PF_FN },
	{ "dirty: completions", test_completions, PF_FN },
	{ "dirty: read once", test_consumed, PF_FN },
	{ "dirty: anything", test_random, PF_FN },
	{ "dirty: anything, shadow doorbells", test_random_shadow, PF_FN },
};

const struct test_group dirty_functions_group = {
	"functions", dirty_functions_tests, ARRAY_SIZE(dirty_functions_tests)
};
