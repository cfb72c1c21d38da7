// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulated device against the specification: main program and what its parts share.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "function.h"
#include "options.h"
#include "track.h"

struct arena arena;
struct dut dut_a, dut_b;
struct unvme_load load;

static struct lm_pf pfs[NR_PFS];

struct lm_pf *pf_get(int nr)
{
	char name[16];
	const char *bdf;
	int err;

	if (pfs[nr].bdf[0])
		return &pfs[nr];
	snprintf(name, sizeof(name), "LM_PF%d", nr);
	bdf = getenv(name);
	if (!bdf) {
		tap_skip("%s is not set", name);
		return NULL;
	}
	err = lm_open(&pfs[nr], bdf);
	if (!EXPECT_EQ(err, 0, "open PF %s", bdf)) {
		pfs[nr].bdf[0] = 0;
		return NULL;
	}
	return &pfs[nr];
}

int pf_do(struct lm_pf *pf, struct lm_cmd cmd)
{
	return lm_exec(pf, &cmd);
}

/* ---- a VF under test ---- */

bool dut_open(struct dut *d, int pf, unsigned int vfn)
{
	char name[16];
	const char *bdf;

	memset(d, 0, sizeof(*d));
	d->pf = pf_get(pf);
	if (!d->pf)
		return false;
	snprintf(name, sizeof(name), "LM_VF%d_%u", pf, vfn);
	bdf = getenv(name);
	if (!bdf) {
		tap_skip("%s is not set", name);
		return false;
	}
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	if (!EXPECT_EQ(lmt_init(&d->t, d->pf, vfn), 0, "controller id of VF %u", vfn))
		return false;
	d->cntlid = d->t.cntlid;
	vdev_open(&d->dev, bdf);
	d->open = true;
	return EXPECT_EQ(vdev_map(&d->dev, &arena), 0, "map memory");
}

void dut_close(struct dut *d)
{
	if (!d->open)
		return;
	if (d->u.dev) {
		EXPECT_EQ(d->u.faults, 0, "%s", d->u.fault);
		unvme_fini(&d->u);
	}
	vdev_close(&d->dev);
	d->open = false;
}

bool dut_up(struct dut *d, const struct unvme_opts *o)
{
	return EXPECT_EQ(unvme_init(&d->u, &d->dev, &arena, o), 0, "enable %s", d->bdf);
}

bool dut_start(struct dut *d, int pf, unsigned int vfn, unsigned int queues)
{
	struct unvme_opts opts = { .queues = queues };

	return dut_open(d, pf, vfn) && dut_up(d, &opts);
}

bool dut_suspend(struct dut *d)
{
	return EXPECT_EQ(lmt_suspend(&d->t), LM_SC_OK, "suspend %s", d->bdf);
}

bool dut_resume(struct dut *d)
{
	return EXPECT_EQ(lmt_resume(&d->t), LM_SC_OK, "resume %s", d->bdf);
}

/* ---- state against the book ---- */

unsigned int cq_entries(struct unvme *u, u16 sqid)
{
	struct unvme_cq *cq = u->sqs[sqid].cq;
	u16 i = cq->head;
	u8 phase = cq->phase;
	unsigned int n = 0;

	while ((cq->ring[i].status & 1) == phase) {
		n += cq->ring[i].sq_id == sqid;
		if (++i == cq->depth) {
			i = 0;
			phase ^= 1;
		}
	}
	return n;
}

static unsigned int cq_all_entries(struct unvme *u, struct unvme_cq *cq)
{
	unsigned int n = 0;
	u16 id;

	for (id = 1; id < UNVME_MAX_QUEUES; id++)
		if (u->sqs[id].live && u->sqs[id].cq == cq)
			n += cq_entries(u, id);
	return n;
}

static void check_sq(struct unvme *u, const struct lm_sq_state *s, unsigned int held)
{
	struct unvme_sq *sq = &u->sqs[s->qid];
	unsigned int unfetched;

	if (!EXPECT(s->qid < UNVME_MAX_QUEUES && sq->live, "SQ %u does not exist", s->qid))
		return;
	EXPECT_EQ(s->prp1, arena_iova(u->arena, sq->ring), "SQ %u", s->qid);
	EXPECT_EQ(s->qsize, sq->depth - 1, "SQ %u", s->qid);
	EXPECT_EQ(s->cqid, sq->cq->id, "SQ %u", s->qid);
	EXPECT_EQ(s->attr, 1, "SQ %u", s->qid);
	if (u->dbs)
		return;		/* the tail is known to the device only as far as it looked */
	EXPECT_EQ(s->tail, sq->rung, "SQ %u", s->qid);
	if (held == HELD_UNKNOWN)
		return;
	unfetched = (s->tail + sq->depth - s->head) % sq->depth;
	EXPECT_EQ(unfetched, sq->inflight - cq_entries(u, s->qid) - held,
		  "SQ %u: commands between head and tail", s->qid);
}

static void check_cq(struct unvme *u, const struct lm_cq_state *c)
{
	struct unvme_cq *cq = &u->cqs[c->qid];
	u32 attr;

	if (!EXPECT(c->qid < UNVME_MAX_QUEUES && cq->live, "CQ %u does not exist", c->qid))
		return;
	EXPECT_EQ(c->prp1, arena_iova(u->arena, cq->ring), "CQ %u", c->qid);
	EXPECT_EQ(c->qsize, cq->depth - 1, "CQ %u", c->qid);
	EXPECT_EQ(c->tail, (cq->head + cq_all_entries(u, cq)) % cq->depth, "CQ %u", c->qid);
	if (!u->dbs)
		EXPECT_EQ(c->head, cq->head, "CQ %u", c->qid);
	attr = 1 | (cq->ring[0].status & 1) << 2;
	if (cq->vector != UNVME_POLLED)
		attr |= 2 | (u32)cq->vector << 16;
	EXPECT_EQ(c->attr, attr, "CQ %u", c->qid);
}

void check_view(struct unvme *u, const struct lm_view *v, unsigned int held)
{
	unsigned int i, nr_sq = 0, nr_cq = 0;

	for (i = 1; i < UNVME_MAX_QUEUES; i++) {
		nr_sq += u->sqs[i].live;
		nr_cq += u->cqs[i].live;
	}
	if (!EXPECT_EQ(v->nr_sq, nr_sq, "number of SQs") ||
	    !EXPECT_EQ(v->nr_cq, nr_cq, "number of CQs"))
		return;
	for (i = 0; i < nr_sq; i++)
		check_sq(u, &v->sq[i], held);
	for (i = 0; i < nr_cq; i++)
		check_cq(u, &v->cq[i]);
}

bool dut_get(struct dut *d, struct lm_state *s, struct lm_view *v)
{
	const char *why;

	if (!EXPECT_EQ(lmt_save(&d->t, s), LM_SC_OK, "get state of %s", d->bdf))
		return false;
	if (d->pf->vendor)
		return true;
	why = lm_parse(s->data, s->size, v);
	return EXPECT(!why, "%s", why);
}

bool same_state(const struct lm_state *a, const struct lm_state *b)
{
	size_t i;

	if (a->size != b->size) {
		tap_note("%zu and %zu bytes", a->size, b->size);
		return false;
	}
	for (i = 0; i < a->size; i++) {
		if (a->data[i] == b->data[i])
			continue;
		tap_note("byte %zu is %#x and %#x", i, a->data[i], b->data[i]);
		return false;
	}
	return true;
}

/* ---- a version 0 state by hand ---- */

void v0_init(struct v0 *q, struct unvme *u)
{
	memset(q, 0, sizeof(*q));
	q->sq.prp1 = arena_iova(u->arena, arena_alloc(u->arena, 4096));
	q->sq.qsize = 15;
	q->sq.qid = 1;
	q->sq.cqid = 1;
	q->sq.attr = 1;
	q->cq.prp1 = arena_iova(u->arena, arena_alloc(u->arena, 4096));
	q->cq.qsize = 15;
	q->cq.qid = 1;
	q->cq.attr = 1;
}

int v0_set(struct dut *d, const struct v0 *q)
{
	struct lm_state s;
	int st;

	lm_build(&s, &q->sq, 1, &q->cq, 1);
	st = lm_set(d->pf, d->cntlid, d->pf->csvi, 0, 0, &s);
	lm_state_free(&s);
	return st;
}

void v0_adopt(const struct v0 *q, struct unvme *u)
{
	struct unvme_sq *sq = &u->sqs[1];
	struct unvme_cq *cq = &u->cqs[1];

	memset(cq, 0, sizeof(*cq));
	cq->id = 1;
	cq->depth = q->cq.qsize + 1;
	cq->phase = 1;
	cq->vector = UNVME_POLLED;
	cq->ring = (void *)(u->arena->va + (q->cq.prp1 - u->arena->iova));
	cq->live = true;
	free(sq->cmds);
	memset(sq, 0, sizeof(*sq));
	sq->cmds = calloc(UNVME_MAX_CMDS, sizeof(*sq->cmds));
	sq->id = 1;
	sq->depth = q->sq.qsize + 1;
	sq->cq = cq;
	sq->ring = (void *)(u->arena->va + (q->sq.prp1 - u->arena->iova));
	sq->live = true;
}

/* ---- random input ---- */

static u64 random_state;

unsigned int rounds(unsigned int standard, u64 seed)
{
	const char *n = getenv("LM_FUZZ"), *s = getenv("LM_SEED");

	random_state = (s ? strtoull(s, NULL, 0) : seed) * 2 + 1;
	return n ? strtoul(n, NULL, 0) : standard;
}

u32 rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state >> 16;
}

/* ---- the PF ---- */

static bool provision(struct lm_pf *pf, u16 id, unsigned int nr)
{
	return EXPECT_EQ(lm_virt_mgmt(pf, id, 7, 0, 0), 0, "offline %u", id) &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 0, nr), 0, "queues for %u", id) &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 1, nr), 0, "vectors for %u", id) &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 9, 0, 0), 0, "online %u", id);
}

static bool reset_by(struct lm_pf *pf, const char *path)
{
	unsigned int vfn;
	int id;

	if (!EXPECT_EQ(file_write(path, "1"), 0, "%s", path))
		return false;
	for (vfn = 1; vfn <= 4; vfn++) {
		id = lm_cntlid(pf, vfn);
		if (!EXPECT(id >= 0, "VF %u is gone", vfn) || !provision(pf, id, 5))
			return false;
	}
	return true;
}

bool pf_reset(int nr)
{
	struct lm_pf *pf = pf_get(nr);
	char path[64];

	if (!pf)
		return false;
	snprintf(path, sizeof(path), "/sys/class/nvme/%s/reset_controller", pf->node + 5);
	return reset_by(pf, path);
}

bool pf_flr(int nr)
{
	struct lm_pf *pf = pf_get(nr);
	char path[64];

	if (!pf)
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", pf->bdf);
	return reset_by(pf, path);
}

/* ---- main ---- */

static void before(void)
{
	arena_reset(&arena);
}

/* Whatever a test did, both VFs are closed (and reset) and the PFs answer. */
static void after(void)
{
	int i;

	for (i = 0; i < NR_PFS; i++)
		if (pfs[i].bdf[0])
			lm_fault_end(&pfs[i]);	/* an error where it has none */
	load_fini(&load);
	dut_close(&dut_b);
	dut_close(&dut_a);
	for (i = 0; i < NR_PFS; i++)
		if (pfs[i].bdf[0])
			track_end(&pfs[i]);
	for (i = 0; i < NR_PFS; i++)
		if (pfs[i].bdf[0])
			EXPECT_EQ(lm_probe(&pfs[i]), 0, "PF %d does not answer", i);
}

static struct tap_test all[64];
static size_t nr_all;

static void add(const struct test_group *g)
{
	if (nr_all + g->nr > ARRAY_SIZE(all))
		exit(2);
	memcpy(all + nr_all, g->tests, g->nr * sizeof(*all));
	nr_all += g->nr;
}

static void add_group(void)
{
	static const struct test_group *const groups[] = {
		&cli_group, &dirty_group, &faults_group, &fuzz_group, &identify_group, &move_group,
		&reset_group, &rules_group, &state_group, &suspend_group, &track_group,
		&reset_draining_group, &dirty_draining_group,
		&track_tracking_group, &dirty_tracking_group,
		&state_variant_group, &variant_group,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		if (!strcmp(groups[i]->name, options.group))
			add(groups[i]);
	if (!nr_all)
		options_unknown("group", options.group);
}

int main(int argc, char **argv)
{
	int taken = options_parse(argc, argv);

	add_group();
	if (arena_init(&arena, -1, ARENA_SIZE, ARENA_IOVA)) {
		perror("arena");
		return 2;
	}
	return tap_main(all, nr_all, argc - taken, argv + taken, before, after);
}
