// SPDX-License-Identifier: GPL-2.0-only
/*
 * Controller states: compared with the user-space driver's knowledge of its queues, with each
 * other, and made by hand.
 */
#include <stdlib.h>
#include <string.h>

#include "device.h"

/* ---- against the book ---- */

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
	EXPECT_EQ(s->prp1, arena_iova(u->udrv.arena, sq->ring), "SQ %u", s->qid);
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
	EXPECT_EQ(c->prp1, arena_iova(u->udrv.arena, cq->ring), "CQ %u", c->qid);
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

bool vf_get(struct vf *d, struct lm_state *s, struct lm_view *v)
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
	q->sq.prp1 = arena_iova(u->udrv.arena, arena_alloc(u->udrv.arena, 4096));
	q->sq.qsize = 15;
	q->sq.qid = 1;
	q->sq.cqid = 1;
	q->sq.attr = 1;
	q->cq.prp1 = arena_iova(u->udrv.arena, arena_alloc(u->udrv.arena, 4096));
	q->cq.qsize = 15;
	q->cq.qid = 1;
	q->cq.attr = 1;
}

int v0_set(struct vf *d, const struct v0 *q)
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
	cq->ring = (void *)(u->udrv.arena->va + (q->cq.prp1 - u->udrv.arena->iova));
	cq->live = true;
	free(sq->cmds);
	memset(sq, 0, sizeof(*sq));
	sq->cmds = calloc(UNVME_MAX_CMDS, sizeof(*sq->cmds));
	sq->id = 1;
	sq->depth = q->sq.qsize + 1;
	sq->cq = cq;
	sq->ring = (void *)(u->udrv.arena->va + (q->sq.prp1 - u->udrv.arena->iova));
	sq->live = true;
}
