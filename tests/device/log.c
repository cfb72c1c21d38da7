// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of user data that a VF changes: Controller Data Queue, Track Send SEL 0, feature 21h, and
 * what is in the log. LM_SEED chooses another random sequence, LM_FUZZ its length.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "udmq.h"

#define BLOCKS		2048u	/* of the namespace that tests change */
#define SLOTS		64u

enum {
	IO_WRITE	= 0x01,
	IO_READ		= 0x02,
	IO_COMPARE	= 0x05,
	IO_ZEROES	= 0x08,
	IO_DSM		= 0x09,
	IO_VERIFY	= 0x0c,
	IO_COPY		= 0x19,
};

/* ---- set-up ---- */

/* A VF with an I/O queue and a queue for its log that is not started. */
static bool open_logged(struct vf *d, struct udmq *q, int pf, u32 slots)
{
	return vf_start(d, pf, 1, 1) &&
	       EXPECT_EQ(udmq_create(q, d->pf, d, slots), LM_SC_OK, "create");
}

static bool start_logged(struct vf *d, struct udmq *q, int pf, u32 slots)
{
	return open_logged(d, q, pf, slots) && EXPECT_EQ(udmq_start(q), LM_SC_OK, "start");
}

/* ---- commands of the VF ---- */

static struct nvme_sqe rw(u8 opcode, u64 slba, u32 nlb)
{
	return (struct nvme_sqe){
		.opcode = opcode, .nsid = 1, .cdw10 = slba, .cdw11 = slba >> 32,
		.cdw12 = nlb - 1,
	};
}

static int io(struct unvme *u, struct nvme_sqe sqe, u32 bytes)
{
	if (bytes)
		unvme_set_prp(u, &sqe, u->scratch, bytes, u->scratch_list);
	return unvme_exec(u, 1, &sqe, NULL);
}

static void fill(struct unvme *u, u32 bytes)
{
	u32 i;

	for (i = 0; i < bytes; i += 4)
		*(u32 *)(u->scratch + i) = rnd();
}

static int do_write(struct unvme *u, u64 slba, u32 nlb)
{
	fill(u, nlb * u->lba_size);
	return io(u, rw(IO_WRITE, slba, nlb), nlb * u->lba_size);
}

static int do_zeroes(struct unvme *u, u64 slba, u32 nlb)
{
	return io(u, rw(IO_ZEROES, slba, nlb), 0);
}

struct range {
	u64 slba;
	u32 nlb;
};

static int do_dsm(struct unvme *u, const struct range *r, unsigned int nr)
{
	struct nvme_sqe sqe = { .opcode = IO_DSM, .nsid = 1, .cdw10 = nr - 1, .cdw11 = 4 };
	unsigned int i;

	memset(u->scratch, 0, nr * 16);
	for (i = 0; i < nr; i++) {
		memcpy(u->scratch + 16 * i + 4, &r[i].nlb, 4);
		memcpy(u->scratch + 16 * i + 8, &r[i].slba, 8);
	}
	return io(u, sqe, nr * 16);
}

/* From these ranges to @to. */
static int do_copy(struct unvme *u, u64 to, const struct range *r, unsigned int nr)
{
	struct nvme_sqe sqe = rw(IO_COPY, to, nr);
	unsigned int i;
	u16 nlb;

	memset(u->scratch, 0, nr * 32);
	for (i = 0; i < nr; i++) {
		nlb = r[i].nlb - 1;
		memcpy(u->scratch + 32 * i + 8, &r[i].slba, 8);
		memcpy(u->scratch + 32 * i + 16, &nlb, 2);
	}
	return io(u, sqe, nr * 32);
}

/* ---- entries ---- */

static const struct udmq_entry *expect_entry(struct udmq *q, unsigned int esa, const char *what)
{
	static const u8 zero[15];
	const struct udmq_entry *e = udmq_read(q);

	if (!EXPECT(e, "%s: no entry in slot %u", what, q->next))
		return NULL;
	EXPECT_EQ(udmq_esa(e), esa, "%s: ESA of %#x", what, e->attr);
	EXPECT(!memcmp(e->rsvd, zero, sizeof(zero)), "%s: reserved bytes", what);
	return e;
}

static void expect_range(struct udmq *q, unsigned int esa, u64 slba, u32 nlb, const char *what)
{
	const struct udmq_entry *e = expect_entry(q, esa, what);

	if (!e)
		return;
	EXPECT_EQ(udmq_lbacir(e), UDMQ_RANGE, "%s: LBACIR", what);
	EXPECT_EQ(e->nsid, 1, "%s: NSID", what);
	EXPECT_EQ(e->slba, slba, "%s: SLBA", what);
	EXPECT_EQ(e->nlb, nlb - 1, "%s: NLB", what);
}

static void expect_marker(struct udmq *q, unsigned int esa, const char *what)
{
	const struct udmq_entry *e = expect_entry(q, esa, what);

	if (!e)
		return;
	EXPECT_EQ(udmq_lbacir(e), UDMQ_NONE, "%s: LBACIR", what);
	EXPECT(!e->nsid && !e->slba && !e->nlb, "%s: a range in a marker", what);
}

static void expect_none(struct udmq *q, const char *what)
{
	EXPECT(!udmq_read(q), "%s: an entry", what);
}

/* ---- Identify ---- */

static void test_identify(void)
{
	static u8 buf[4096] __aligned(4096);
	struct lm_pf *pf = pf_get(LOG_PLAIN);
	struct udmq_limits l;

	if (!pf)
		return;
	l = udmq_limits(pf->id);
	EXPECT(l.tudcs, "TRATTR %#x", pf->id[576]);
	EXPECT(l.mcudmq && l.mnsudmq >= l.mcudmq, "MCUDMQ %u, MNSUDMQ %u", l.mcudmq, l.mnsudmq);
	EXPECT(l.mcmr && l.nmcmr >= l.mcmr, "MCMR %u, NMCMR %u", l.mcmr, l.nmcmr);
	EXPECT(l.mcdqpc, "MCDQPC %u", l.mcdqpc);
	EXPECT_EQ(pf->id[577], 0, "reserved byte");
	EXPECT_EQ(lm_identify(pf, 0x06, 0, buf), LM_SC_OK, "CNS 06h");
	EXPECT_EQ(buf[24], 0, "LBAMQF");
}

static void test_off(void)
{
	static u8 buf[4096] __aligned(4096);
	struct lm_pf *pf = pf_get(LOG_OFF);
	unsigned int i;

	if (!pf)
		return;
	EXPECT_EQ(pf->id[576] & 2, 0, "TRATTR");
	for (i = 577; i < 588; i++)
		EXPECT_EQ(pf->id[i], 0, "byte %u", i);
	EXPECT_ST(pf, lm_cdq_create_cmd(1, buf, 4096), LM_SC_INVALID_OPCODE, "create");
	EXPECT_ST(pf, lm_cdq_delete_cmd(0), LM_SC_INVALID_OPCODE, "delete");
	EXPECT_ST(pf, lm_user_log_cmd(0, true), LM_SC_INVALID_FIELD, "start");
	EXPECT_ST(pf, udmq_set_cmd(0, 0, false, 0), LM_SC_INVALID_FIELD, "Set Features");
	EXPECT_ST(pf, udmq_get_cmd(0, buf), LM_SC_INVALID_FIELD, "Get Features");
}

/* A guest has none of it. */
static void test_vf(void)
{
	struct nvme_sqe sqe = { .opcode = LM_OP_CDQ, .cdw11 = 1 };
	struct vf *d = &vf_a;
	u32 result;

	if (!vf_start(d, LOG_PLAIN, 1, 0))
		return;
	EXPECT_EQ(d->u.id_ctrl[576], 0, "TRATTR");
	unvme_set_prp(&d->u, &sqe, d->u.scratch, 4096, NULL);
	EXPECT_EQ(unvme_exec(&d->u, 0, &sqe, NULL), LM_SC_INVALID_OPCODE, "CDQ");
	EXPECT_EQ(unvme_get_features(&d->u, 0x21, 0, &result), LM_SC_INVALID_FIELD,
		  "Get Features");
	EXPECT_EQ(unvme_set_features(&d->u, 0x21, 0, &result), LM_SC_INVALID_FIELD,
		  "Set Features");
}

/* ---- Controller Data Queue ---- */

static void test_create_errors(void)
{
	static const u8 sel[] = { 2, 0x7f, 0xbf, 0xc0, 0xff }, qt[] = { 1, 0xbf, 0xc0, 0xff };
	static const u16 no_target[] = { 0xffff, 0x4321 };
	struct vf *d = &vf_a;
	struct lm_cmd good, cmd;
	u8 *page;
	unsigned int i;

	if (!vf_start(d, LOG_PLAIN, 1, 0))
		return;
	page = arena_alloc(&arena, 2 * UDMQ_PAGE);
	good = lm_cdq_create_cmd(d->cntlid, page, UDMQ_PAGE);
	for (i = 0; i < ARRAY_SIZE(sel); i++) {
		cmd = good;
		cmd.cdw10 |= sel[i];
		EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "SEL %#x", sel[i]);
	}
	for (i = 0; i < ARRAY_SIZE(qt); i++) {
		cmd = good;
		cmd.cdw10 |= (u32)qt[i] << 16;
		EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "QT %#x", qt[i]);
	}
	for (i = 0; i < ARRAY_SIZE(no_target); i++)
		EXPECT_ST(d->pf, lm_cdq_create_cmd(no_target[i], page, UDMQ_PAGE),
			  LM_SC_INVALID_CTRL, "CQS %#x", no_target[i]);
	EXPECT_ST(d->pf, lm_cdq_create_cmd(d->pf->cntlid, page, UDMQ_PAGE), LM_SC_INVALID_CTRL,
		  "for the PF itself");
	cmd = good;
	cmd.nsid = 1;
	EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "NSID 1");
	for (i = 0; i < 24; i++) {
		cmd = good;
		cmd.cdw12 = i;
		if (i != 16)
			EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "%u dwords", i);
	}
	cmd = good;
	cmd.data = page + 64;
	EXPECT_ST(d->pf, cmd, LM_SC_PRP_OFFSET, "PRP1 in the middle of a page");
	cmd = good;
	cmd.data = NULL;
	EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "no memory");
	EXPECT_ST(d->pf, good, LM_SC_OK, "without these errors");
	EXPECT_ST(d->pf, good, LM_SC_INVALID_FIELD, "a second queue");
}

static void test_list_errors(void)
{
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	u64 *list;
	u8 *page;

	if (!vf_start(d, LOG_PLAIN, 1, 0))
		return;
	page = arena_alloc(&arena, 2 * UDMQ_PAGE);
	list = arena_alloc(&arena, UDMQ_PAGE);
	cmd = lm_cdq_create_cmd(d->cntlid, list, UDMQ_PAGE);
	cmd.cdw11 &= ~1u;
	cmd.cdw12 = 2 * UDMQ_PAGE / 4;
	list[0] = udmq_phys(page);
	list[1] = udmq_phys(page + UDMQ_PAGE) + 32;
	EXPECT_ST(d->pf, cmd, LM_SC_PRP_OFFSET, "an entry in the middle of a page");
	list[1] -= 32;
	cmd.data = list + 1;
	cmd.len = 8;
	EXPECT_ST(d->pf, cmd, LM_SC_PRP_OFFSET, "a list in the middle of a page");
	cmd.data = list;
	cmd.len = UDMQ_PAGE;
	EXPECT_ST(d->pf, cmd, LM_SC_OK, "without these errors");
}

/* An id is of its MMC only, and free again when its queue is deleted. */
static void test_ids(void)
{
	struct vf *a = &vf_a, *b = &vf_b;
	struct lm_pf *other = pf_get(LOG_OTHER);
	struct udmq qa, qb;

	if (!other || !vf_start(a, LOG_PLAIN, 1, 0) || !vf_start(b, LOG_PLAIN, 2, 0))
		return;
	EXPECT_EQ(udmq_create(&qa, a->pf, a, SLOTS), LM_SC_OK, "first");
	EXPECT_EQ(udmq_create(&qb, b->pf, b, SLOTS), LM_SC_OK, "second");
	EXPECT(qa.cdqid != qb.cdqid, "both are %u", qa.cdqid);
	EXPECT_ST(other, lm_cdq_delete_cmd(qa.cdqid), LM_SC_INVALID_CDQ, "by another PF");
	EXPECT_ST(other, lm_user_log_cmd(qa.cdqid, true), LM_SC_INVALID_CDQ, "by another PF");
	EXPECT_EQ(udmq_delete(&qa), LM_SC_OK, "delete");
	EXPECT_EQ(udmq_delete(&qa), LM_SC_INVALID_CDQ, "delete twice");
	EXPECT_EQ(udmq_start(&qa), LM_SC_INVALID_CDQ, "start of what was deleted");
	EXPECT_ST(a->pf, udmq_set_cmd(qa.cdqid, 0, false, 0), LM_SC_INVALID_CDQ, "Set Features");
	EXPECT_EQ(udmq_start(&qb), LM_SC_OK, "the other one");
	EXPECT_EQ(udmq_create(&qa, other, a, SLOTS), LM_SC_OK, "a queue of another PF");
	EXPECT_EQ(udmq_start(&qa), LM_SC_OK, "its start");
	EXPECT_EQ(udmq_delete(&qa), LM_SC_OK, "delete");
}

static void test_limits(void)
{
	struct lm_pf *pf = pf_get(LOG_FEW), *other = pf_get(LOG_FEW2);
	struct vf *a = &vf_a, *b = &vf_b, *c = &vf_c;
	struct udmq qa, qb, qc;
	struct udmq_limits l;

	if (!pf || !other || !vf_start(a, LOG_FEW, 1, 0) || !vf_start(b, LOG_FEW, 2, 0) ||
	    !vf_start(c, LOG_FEW2, 1, 0))
		return;
	l = udmq_limits(pf->id);
	EXPECT_EQ(l.mcudmq, 1, "MCUDMQ");
	EXPECT_EQ(l.mnsudmq, 2, "MNSUDMQ");
	EXPECT_EQ(l.mcmr, 4, "MCMR");
	EXPECT_EQ(l.nmcmr, 6, "NMCMR");
	EXPECT_EQ(udmq_create_list(&qa, pf, a, 4 * UDMQ_PER_PAGE + 1), LM_SC_INVALID_FIELD,
		  "more ranges than MCMR");
	EXPECT_EQ(udmq_create_list(&qa, pf, a, 4 * UDMQ_PER_PAGE), LM_SC_OK, "MCMR");
	EXPECT_EQ(udmq_create(&qb, pf, b, SLOTS), LM_SC_NOT_ENOUGH, "more than MCUDMQ");
	EXPECT_EQ(udmq_create_list(&qc, other, c, 3 * UDMQ_PER_PAGE), LM_SC_INVALID_FIELD,
		  "more ranges than NMCMR");
	EXPECT_EQ(udmq_create_list(&qc, other, c, 2 * UDMQ_PER_PAGE), LM_SC_OK, "NMCMR");
	EXPECT_EQ(udmq_delete(&qc), LM_SC_OK, "delete");
	EXPECT_EQ(udmq_delete(&qa), LM_SC_OK, "delete");
	EXPECT_EQ(udmq_create_list(&qa, pf, a, 4 * UDMQ_PER_PAGE - 1), LM_SC_OK, "again");
}

static void test_entries_limit(void)
{
	struct vf *d = &vf_a;
	struct udmq q;

	if (!vf_start(d, LOG_TINY, 1, 0))
		return;
	EXPECT_EQ(udmq_create(&q, d->pf, d, 5), LM_SC_NOT_ENOUGH, "five entries");
	EXPECT_EQ(udmq_create(&q, d->pf, d, 4), LM_SC_OK, "four entries");
}

/* ---- start and stop ---- */

static void test_start_stop(void)
{
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	struct udmq q;
	unsigned int i;

	if (!open_logged(d, &q, LOG_PLAIN, SLOTS))
		return;
	EXPECT_EQ(do_write(&d->u, 1, 1), 0, "write");
	expect_none(&q, "before the start");
	EXPECT_EQ(udmq_stop(&q), LM_SC_OK, "stop before the start");
	expect_none(&q, "stop before the start");
	for (i = 2; i < 16; i++) {
		cmd = lm_user_log_cmd(q.cdqid, false);
		cmd.cdw10 |= i << 16;
		EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "LACT %u", i);
	}
	cmd = lm_user_log_cmd(q.cdqid, true);
	cmd.nsid = 1;
	EXPECT_ST(d->pf, cmd, LM_SC_INVALID_FIELD, "NSID 1");
	EXPECT_ST(d->pf, lm_user_log_cmd(0xffff, true), LM_SC_INVALID_CDQ, "unknown queue");
	EXPECT_EQ(udmq_start(&q), LM_SC_OK, "start");
	EXPECT_EQ(udmq_start(&q), LM_SC_INVALID_CDQ, "start twice");
	EXPECT_EQ(udmq_stop(&q), LM_SC_OK, "stop");
	expect_marker(&q, UDMQ_STOPPED, "nothing was logged");
	EXPECT_EQ(do_write(&d->u, 1, 1), 0, "write");
	expect_none(&q, "after the stop");
	EXPECT_EQ(udmq_start(&q), LM_SC_OK, "start again");
	EXPECT_EQ(do_write(&d->u, 7, 3), 0, "write");
	expect_range(&q, UDMQ_FIRST, 7, 3, "first write");
	EXPECT_EQ(do_write(&d->u, 8, 1), 0, "write");
	expect_range(&q, UDMQ_CHANGE, 8, 1, "second write");
	EXPECT_EQ(udmq_stop(&q), LM_SC_OK, "stop");
	expect_marker(&q, UDMQ_STOPPED, "stop");
	EXPECT_EQ(udmq_delete(&q), LM_SC_OK, "delete");
	EXPECT_EQ(do_write(&d->u, 8, 1), 0, "write");
	expect_none(&q, "after the end");
}

/* ---- what is logged ---- */

static void test_commands(void)
{
	static const struct range dsm[] = { { 100, 7 }, { ~0ull - 1, 4 }, { 300, 1 }, { 0, 64 } };
	static const struct range from[] = { { 0, 8 }, { 64, 3 } };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct udmq q;

	if (!start_logged(d, &q, LOG_PLAIN, SLOTS))
		return;
	EXPECT_EQ(do_zeroes(u, 10, 20), 0, "Write Zeroes");
	expect_range(&q, UDMQ_FIRST, 10, 20, "Write Zeroes");
	EXPECT_EQ(do_write(u, 0, 128), 0, "Write");
	expect_range(&q, UDMQ_CHANGE, 0, 128, "Write");
	EXPECT_EQ(do_copy(u, 1000, from, 2), 0, "Copy");
	expect_range(&q, UDMQ_CHANGE, 1000, 8, "Copy");
	expect_range(&q, UDMQ_CHANGE, 1008, 3, "Copy, second range");
	EXPECT_EQ(do_dsm(u, dsm, 4), 0, "deallocation");
	expect_range(&q, UDMQ_CHANGE, 100, 7, "deallocation");
	expect_range(&q, UDMQ_CHANGE, 300, 1, "deallocation, third range");
	expect_range(&q, UDMQ_CHANGE, 0, 64, "deallocation, last range");
	EXPECT_EQ(do_write(u, u->nsze - 1, 1), 0, "Write");
	expect_range(&q, UDMQ_CHANGE, u->nsze - 1, 1, "the last block");
	expect_none(&q, "no more commands");
}

static void test_no_change(void)
{
	struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	struct nvme_sqe dsm = { .opcode = IO_DSM, .nsid = 1, .cdw11 = 1 };
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	u32 bytes;
	struct udmq q;

	if (!start_logged(d, &q, LOG_PLAIN, SLOTS))
		return;
	bytes = 8 * u->lba_size;
	EXPECT_EQ(io(u, rw(IO_READ, 5, 8), bytes), 0, "Read");
	EXPECT_EQ(io(u, rw(IO_COMPARE, 5, 8), bytes), 0, "Compare");
	EXPECT_EQ(io(u, rw(IO_VERIFY, 5, 8), 0), 0, "Verify");
	EXPECT_EQ(io(u, flush, 0), 0, "Flush");
	EXPECT_EQ(io(u, dsm, 16), 0, "Dataset Management without deallocation");
	EXPECT_EQ(do_write(u, u->nsze, 1), 0x80, "Write beyond the end");
	EXPECT_EQ(do_write(u, u->nsze - 1, 2), 0x80, "Write across the end");
	EXPECT_EQ(do_zeroes(u, u->nsze, 1), 0x80, "Write Zeroes beyond the end");
	expect_none(&q, "after commands that change nothing");
}

/* Only the VF whose queue it is */
static void test_others(void)
{
	struct vf *a = &vf_a, *b = &vf_b;
	struct udmq qa, qb;

	if (!start_logged(a, &qa, LOG_PLAIN, SLOTS) || !vf_start(b, LOG_OTHER, 1, 1))
		return;
	/* the first queue of its PF, so both have the same id */
	EXPECT_EQ(udmq_create(&qb, b->pf, b, SLOTS), LM_SC_OK, "create");
	EXPECT_EQ(udmq_start(&qb), LM_SC_OK, "start");
	EXPECT_EQ(do_write(&b->u, 20, 2), 0, "write");
	expect_none(&qa, "a write of another VF");
	expect_range(&qb, UDMQ_FIRST, 20, 2, "its own");
	EXPECT_EQ(do_write(&a->u, 30, 2), 0, "write");
	expect_none(&qb, "a write of another VF");
	expect_range(&qa, UDMQ_FIRST, 30, 2, "its own");
}

/* ---- random changes, compared with the medium ---- */

static u8 before[BLOCKS * 4096], now[BLOCKS * 4096];
static bool in_log[BLOCKS], asked[BLOCKS];

static void read_all(struct unvme *u, u8 *to)
{
	u32 step = UNVME_SCRATCH / u->lba_size, lba;

	for (lba = 0; lba < BLOCKS; lba += step) {
		EXPECT_EQ(unvme_rw(u, 1, false, lba, step), 0, "read");
		memcpy(to + lba * u->lba_size, u->scratch, UNVME_SCRATCH);
	}
}

static void ask(u64 slba, u32 nlb)
{
	memset(asked + slba, true, nlb);
}

static struct range any_range(u32 max)
{
	struct range r = { .nlb = 1 + rnd() % max };

	r.slba = rnd() % (BLOCKS - r.nlb + 1);
	return r;
}

static void any_dsm(struct unvme *u)
{
	struct range r[8];
	unsigned int i, nr = 1 + rnd() % ARRAY_SIZE(r);

	for (i = 0; i < nr; i++) {
		r[i] = any_range(16);
		ask(r[i].slba, r[i].nlb);
	}
	EXPECT_EQ(do_dsm(u, r, nr), 0, "deallocation");
}

/* From the first half to the second, so that they do not overlap */
static void any_copy(struct unvme *u)
{
	struct range r[4];
	unsigned int i, nr = 1 + rnd() % ARRAY_SIZE(r);
	u64 to = BLOCKS / 2 + rnd() % (BLOCKS / 2 - 64);
	u32 total = 0;

	for (i = 0; i < nr; i++) {
		r[i] = (struct range){ rnd() % (BLOCKS / 2 - 16), 1 + rnd() % 16 };
		total += r[i].nlb;
	}
	ask(to, total);
	EXPECT_EQ(do_copy(u, to, r, nr), 0, "Copy");
}

static void any_command(struct unvme *u)
{
	struct range r = any_range(32);

	switch (rnd() % 4) {
	case 0:
		ask(r.slba, r.nlb);
		EXPECT_EQ(do_write(u, r.slba, r.nlb), 0, "Write");
		break;
	case 1:
		ask(r.slba, r.nlb);
		EXPECT_EQ(do_zeroes(u, r.slba, r.nlb), 0, "Write Zeroes");
		break;
	case 2:
		any_dsm(u);
		break;
	default:
		any_copy(u);
	}
}

static void take(struct udmq *q, const struct udmq_entry *e)
{
	EXPECT(udmq_lbacir(e) == UDMQ_RANGE && e->nsid == 1 && e->slba < BLOCKS &&
	       e->nlb < BLOCKS - e->slba, "attributes %#x nsid %u slba %llu nlb %u", e->attr,
	       e->nsid, (unsigned long long)e->slba, e->nlb);
	memset(in_log + e->slba, true, e->nlb + 1);
}

/* All that is there; the last entry's ESA. */
static unsigned int take_all(struct udmq *q)
{
	const struct udmq_entry *e;
	unsigned int esa = UDMQ_CHANGE;

	while ((e = udmq_read(q)) && !tap_failed()) {
		esa = udmq_esa(e);
		if (udmq_lbacir(e) != UDMQ_NONE)
			take(q, e);
	}
	EXPECT_EQ(udmq_consume(q), LM_SC_OK, "Set Features");
	return esa;
}

/* What was asked for is in the log, at most rounded to units, and so is all that has changed. */
static void check_blocks(struct unvme *u, u32 unit)
{
	u32 i, first, size = u->lba_size;
	bool near;

	for (i = 0; i < BLOCKS && !tap_failed(); i++) {
		first = i - i % unit;
		near = memchr(asked + first, true, unit);
		EXPECT(!asked[i] || in_log[i], "block %u was changed and is not in the log", i);
		EXPECT(near || !in_log[i], "block %u is in the log", i);
		EXPECT(in_log[i] || !memcmp(before + i * size, now + i * size, size),
		       "block %u has other data and is not in the log", i);
	}
}

static void check_random(struct vf *d, u32 slots, u32 unit)
{
	unsigned int n, nr = rounds(400, 0x10c);
	struct udmq q;

	if (!EXPECT_EQ(udmq_create_list(&q, d->pf, d, slots), LM_SC_OK, "create") ||
	    !EXPECT(d->u.lba_size <= 4096, "blocks of %u", d->u.lba_size))
		return;
	memset(in_log, 0, sizeof(in_log));
	memset(asked, 0, sizeof(asked));
	read_all(&d->u, before);
	EXPECT_EQ(udmq_start(&q), LM_SC_OK, "start");
	for (n = 0; n < nr && !tap_failed(); n++) {
		any_command(&d->u);
		take_all(&q);
	}
	if (vf_suspend(d))
		EXPECT_EQ(take_all(&q), UDMQ_SUSPENDED, "the last entry");
	vf_resume(d);
	read_all(&d->u, now);
	check_blocks(&d->u, unit);
}

/* The queue is small: it wraps many times. */
static void test_random(void)
{
	if (vf_start(&vf_a, LOG_PLAIN, 1, 1))
		check_random(&vf_a, 11, 1);
}

/* Later, with changes merged, and rounded to 8 blocks */
static void test_random_late(void)
{
	if (vf_start(&vf_a, LOG_LATE, 1, 1))
		check_random(&vf_a, 2048, 8);
}

/* ---- a full queue ---- */

static void check_full(struct udmq *q, struct vf *d, const char *what)
{
	u32 i;

	EXPECT_EQ(udmq_start(q), LM_SC_OK, "%s: start", what);
	for (i = 0; i + 1 < q->slots; i++)
		EXPECT_EQ(do_write(&d->u, 3 * i, 2), 0, "%s: write", what);
	for (i = 0; i + 1 < q->slots; i++)
		expect_range(q, i + 2 == q->slots ? UDMQ_FULL : i ? UDMQ_CHANGE : UDMQ_FIRST,
			     3 * i, 2, what);
	EXPECT_EQ(do_write(&d->u, 0, 1), 0, "%s: write", what);
	expect_none(q, what);
	EXPECT_EQ(udmq_start(q), LM_SC_CDQ_FULL, "%s: start of a full queue", what);
	EXPECT_EQ(udmq_stop(q), LM_SC_OK, "%s: stop", what);
	expect_none(q, what);
	EXPECT_EQ(udmq_consume(q), LM_SC_OK, "%s: all is read", what);
	EXPECT_EQ(do_write(&d->u, 0, 1), 0, "%s: write", what);
	expect_none(q, "logging has stopped");
}

static void test_full(void)
{
	struct vf *d = &vf_a;
	struct udmq q;

	if (!open_logged(d, &q, LOG_PLAIN, 6))
		return;
	check_full(&q, d, "first pass");
	check_full(&q, d, "with the other phase");
	check_full(&q, d, "third time");
}

/* The smallest queue has room for one entry. */
static void test_smallest(void)
{
	struct vf *d = &vf_a;
	struct udmq q;

	if (!open_logged(d, &q, LOG_PLAIN, 2))
		return;
	check_full(&q, d, "two slots");
	EXPECT_EQ(udmq_start(&q), LM_SC_OK, "start");
	EXPECT_EQ(udmq_stop(&q), LM_SC_OK, "stop");
	expect_marker(&q, UDMQ_STOPPED, "a stop that fills the queue");
}

/* ---- feature 21h ---- */

static void expect_feature(struct udmq *q, u32 hp, bool etpt, u32 tpt, const char *what)
{
	static u8 buf[4096] __aligned(4096);
	struct lm_cmd cmd = udmq_get_cmd(q->cdqid, buf);
	u32 v, i;

	memset(buf, 0xa5, sizeof(buf));
	EXPECT_EQ(lm_exec(q->pf, &cmd), LM_SC_OK, "%s: Get Features", what);
	EXPECT_EQ(cmd.result, q->cdqid | (u32)etpt << 31, "%s: DW0", what);
	memcpy(&v, buf, 4);
	EXPECT_EQ(v, hp, "%s: HP", what);
	memcpy(&v, buf + 4, 4);
	EXPECT_EQ(v, tpt, "%s: TPT", what);
	for (i = 8; i < 512; i++)
		EXPECT_EQ(buf[i], 0, "%s: byte %u", what, i);
	EXPECT_EQ(buf[512], 0xa5, "%s: beyond the data", what);
}

static void check_heads(struct udmq *q, u32 from, u32 to, const char *what)
{
	bool valid;
	u32 i;

	for (i = 0; i < q->slots + 3; i++) {
		valid = from <= to ? i >= from && i <= to
				   : i < q->slots && (i >= from || i <= to);
		if (!valid)
			EXPECT_ST(q->pf, udmq_set_cmd(q->cdqid, i, false, 0), LM_SC_INVALID_FIELD,
				  "%s: HP %u", what, i);
	}
	expect_feature(q, from, false, 0, what);
}

static void test_head(void)
{
	struct vf *d = &vf_a;
	struct udmq q;
	u32 i;

	if (!start_logged(d, &q, LOG_PLAIN, 8))
		return;
	check_heads(&q, 0, 0, "empty");
	EXPECT_ST(d->pf, udmq_set_cmd(q.cdqid, 0, false, 0), LM_SC_OK, "the same head");
	for (i = 0; i < 5; i++)
		do_write(&d->u, i, 1);
	check_heads(&q, 0, 5, "five entries");
	EXPECT_ST(d->pf, udmq_set_cmd(q.cdqid, 3, false, 0), LM_SC_OK, "three are read");
	check_heads(&q, 3, 5, "two entries");
	for (i = 0; i < 4; i++)
		do_write(&d->u, i, 1);
	check_heads(&q, 3, 1, "six entries, wrapped");
	EXPECT_ST(d->pf, udmq_set_cmd(q.cdqid, 1, false, 0), LM_SC_OK, "all are read");
	check_heads(&q, 1, 1, "empty again");
}

static void test_feature_errors(void)
{
	static u8 buf[4096] __aligned(4096);
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	struct udmq q;

	if (!open_logged(d, &q, LOG_PLAIN, 8))
		return;
	EXPECT_ST(d->pf, udmq_set_cmd(q.cdqid + 1, 0, false, 0), LM_SC_INVALID_CDQ, "Set");
	EXPECT_ST(d->pf, udmq_get_cmd(q.cdqid + 1, buf), LM_SC_INVALID_CDQ, "Get");
	EXPECT_ST(d->pf, udmq_set_cmd(q.cdqid, 0, true, 8), LM_SC_INVALID_FIELD, "TPT 8");
	EXPECT_ST(d->pf, udmq_set_cmd(q.cdqid, 0, false, 8), LM_SC_OK, "TPT 8 without ETPT");
	expect_feature(&q, 0, false, 0, "without ETPT");
	cmd = udmq_set_cmd(q.cdqid, 0, false, 0);
	cmd.cdw10 |= 1u << 31;
	EXPECT_ST(d->pf, cmd, LM_SC_NOT_SAVEABLE, "SV");
	cmd = udmq_get_cmd(q.cdqid, buf);
	cmd.cdw10 |= 3 << 8;
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "supported capabilities");
	EXPECT_EQ(cmd.result, 4, "changeable and nothing else");
	EXPECT_ST(d->pf, udmq_set_cmd(q.cdqid, 0, true, 7), LM_SC_OK, "TPT 7");
	expect_feature(&q, 0, true, 7, "TPT 7");
}

/* ---- events ---- */

static bool begin_aer(struct lm_async *a, struct lm_pf *pf)
{
	static const struct lm_cmd aer = { .opcode = NVME_ADM_AER };

	return EXPECT_EQ(lm_async_start(a, pf, aer), 0, "Asynchronous Event Request") &&
	       EXPECT(lm_async_pending(a), "an event that nobody expects: %#x %#x",
		      a->cmd.result, a->cmd.result1);
}

/* The event must come. Else a reset of the PF ends the request, so that the test ends. */
static void expect_event(struct lm_async *a, struct udmq *q, u32 info, const char *what)
{
	int st = lm_async_wait(a, UNVME_TIMEOUT_MS);

	EXPECT_EQ(st, LM_SC_OK, "%s: event", what);
	if (st == -ETIMEDOUT) {
		pf_restart(vf_a.pf_nr);
		lm_async_wait(a, UNVME_TIMEOUT_MS);
		return;
	}
	EXPECT_EQ(a->cmd.result & 7, 4, "%s: type", what);
	EXPECT_EQ(a->cmd.result >> 8 & 0xff, info, "%s: information", what);
	EXPECT_EQ(a->cmd.result1, q->cdqid, "%s: DW1", what);
}

static void test_tail_event(void)
{
	struct vf *d = &vf_a;
	struct lm_async a;
	struct udmq q, first;

	/* the other queue is there so that the id is not 0 */
	if (!vf_start(&vf_b, LOG_PLAIN, 2, 0) ||
	    !EXPECT_EQ(udmq_create(&first, vf_b.pf, &vf_b, 8), LM_SC_OK, "create") ||
	    !start_logged(d, &q, LOG_PLAIN, 8) || !EXPECT(q.cdqid, "CDQID 0"))
		return;
	EXPECT_ST(d->pf, udmq_set_cmd(q.cdqid, 0, true, 1), LM_SC_OK, "trigger");
	if (!begin_aer(&a, d->pf))
		return;
	EXPECT_EQ(do_write(&d->u, 0, 1), 0, "write");
	expect_feature(&q, 0, true, 1, "slot 0 is posted");
	EXPECT(lm_async_pending(&a), "an event for slot 0");
	EXPECT_EQ(do_write(&d->u, 1, 1), 0, "write");
	expect_event(&a, &q, 0, "slot 1 is posted");
	expect_feature(&q, 0, false, 0, "after the event");
	EXPECT_ST(d->pf, udmq_set_cmd(q.cdqid, 2, true, 4), LM_SC_OK, "trigger");
	if (!begin_aer(&a, d->pf))
		return;
	EXPECT_EQ(do_write(&d->u, 0, 1), 0, "write");
	EXPECT_EQ(do_write(&d->u, 0, 1), 0, "write");
	expect_feature(&q, 2, true, 4, "slot 3 is posted");
	EXPECT(lm_async_pending(&a), "an event for another slot");
	EXPECT_EQ(udmq_stop(&q), LM_SC_OK, "stop");
	expect_event(&a, &q, 0, "the marker in slot 4");
}

static void test_full_event(void)
{
	struct vf *d = &vf_a;
	struct lm_async a;
	struct udmq q;
	u32 i;

	if (!start_logged(d, &q, LOG_PLAIN, 4) || !begin_aer(&a, d->pf))
		return;
	for (i = 0; i < 2; i++)
		EXPECT_EQ(do_write(&d->u, i, 1), 0, "write");
	EXPECT(lm_async_pending(&a), "an event while there is room");
	EXPECT_EQ(do_write(&d->u, i, 1), 0, "write");
	expect_event(&a, &q, 1, "queue full");
}

/* The second page of the queue is where there is no memory: the log ends there. */
static void test_no_memory(void)
{
	struct vf *d = &vf_a;
	struct lm_async a;
	struct lm_cmd cmd;
	struct udmq q;
	u64 *list;
	u32 i;

	if (!vf_start(d, LOG_PLAIN, 1, 1))
		return;
	q = (struct udmq){ .pf = d->pf, .slots = 2 * UDMQ_PER_PAGE, .phase = 1 };
	q.ring = arena_alloc(&arena, 2 * UDMQ_PAGE);
	list = arena_alloc(&arena, UDMQ_PAGE);
	list[0] = udmq_phys(q.ring);
	list[1] = 1ull << 45;
	cmd = lm_cdq_create_cmd(d->cntlid, list, UDMQ_PAGE);
	cmd.cdw11 &= ~1u;
	cmd.cdw12 = q.slots * UDMQ_ENTRY / 4;
	if (!EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "create"))
		return;
	q.cdqid = cmd.result;
	EXPECT_EQ(udmq_start(&q), LM_SC_OK, "start");
	if (!begin_aer(&a, d->pf))
		return;
	for (i = 0; i < UDMQ_PER_PAGE; i++)
		EXPECT_EQ(do_zeroes(&d->u, i, 1), 0, "Write Zeroes");
	EXPECT(lm_async_pending(&a), "an event while there is memory");
	EXPECT_EQ(do_zeroes(&d->u, i, 1), 0, "Write Zeroes");
	expect_event(&a, &q, 1, "an entry that cannot be written");
	for (i = 0; i < UDMQ_PER_PAGE; i++)
		expect_range(&q, i ? UDMQ_CHANGE : UDMQ_FIRST, i, 1, "first page");
	EXPECT_EQ(udmq_start(&q), LM_SC_OK, "logging has stopped");
}

/* ---- suspend and resume ---- */

static void test_suspend(void)
{
	struct vf *d = &vf_a;
	struct udmq q;

	if (!start_logged(d, &q, LOG_PLAIN, SLOTS))
		return;
	EXPECT_EQ(do_write(&d->u, 5, 5), 0, "write");
	expect_range(&q, UDMQ_FIRST, 5, 5, "write");
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND_NOTIFY, true), LM_SC_OK,
		  "notification");
	expect_none(&q, "notification");
	if (!vf_suspend(d))
		return;
	expect_marker(&q, UDMQ_SUSPENDED, "suspend");
	EXPECT_EQ(udmq_stop(&q), LM_SC_SUSPENDED, "stop");
	EXPECT_EQ(udmq_start(&q), LM_SC_SUSPENDED, "start");
	EXPECT_EQ(udmq_consume(&q), LM_SC_OK, "Set Features");
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false), LM_SC_OK, "again");
	expect_none(&q, "suspended already");
	if (!vf_resume(d))
		return;
	expect_none(&q, "resume");
	EXPECT_EQ(do_write(&d->u, 6, 1), 0, "write");
	expect_range(&q, UDMQ_FIRST, 6, 1, "first write after the resume");
	EXPECT_EQ(do_write(&d->u, 7, 1), 0, "write");
	expect_range(&q, UDMQ_CHANGE, 7, 1, "second write");
}

static void test_suspend_unlogged(void)
{
	struct vf *d = &vf_a;
	struct udmq q;

	if (!open_logged(d, &q, LOG_PLAIN, SLOTS) || !vf_suspend(d))
		return;
	expect_none(&q, "suspend of what is not logged");
	EXPECT_EQ(udmq_delete(&q), LM_SC_OK, "delete");
	EXPECT_EQ(udmq_create(&q, d->pf, d, SLOTS), LM_SC_OK, "create while suspended");
	EXPECT_EQ(udmq_start(&q), LM_SC_SUSPENDED, "start");
	vf_resume(d);
}

/* The entry comes before the end of the queue. */
static void test_dudmq(void)
{
	struct vf *d = &vf_a;
	struct udmq q;

	if (!start_logged(d, &q, LOG_PLAIN, SLOTS))
		return;
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, true), LM_SC_OK, "suspend");
	expect_marker(&q, UDMQ_SUSPENDED, "suspend");
	EXPECT_EQ(udmq_delete(&q), LM_SC_INVALID_CDQ, "it is deleted");
	EXPECT_EQ(udmq_create(&q, d->pf, d, SLOTS), LM_SC_OK, "create");
	EXPECT_ST(d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, true), LM_SC_OK,
		  "suspended already");
	expect_none(&q, "not logged");
	EXPECT_EQ(udmq_delete(&q), LM_SC_INVALID_CDQ, "it is deleted");
	vf_resume(d);
}

/* ---- resets ---- */

static bool vf_again(struct vf *d)
{
	static const struct unvme_opts opts = { .queues = 1 };

	return vf_up(d, &opts);
}

static void test_target_reset(void)
{
	struct vf *d = &vf_a;
	struct udmq q;

	if (!start_logged(d, &q, LOG_PLAIN, SLOTS))
		return;
	EXPECT_EQ(do_write(&d->u, 1, 1), 0, "write");
	expect_range(&q, UDMQ_FIRST, 1, 1, "before the reset");
	if (!vf_again(d))
		return;
	EXPECT_EQ(do_write(&d->u, 2, 1), 0, "write");
	expect_range(&q, UDMQ_CHANGE, 2, 1, "after a reset");
	if (!vf_suspend(d))
		return;
	expect_marker(&q, UDMQ_SUSPENDED, "suspend");
	if (!vf_again(d))
		return;
	EXPECT_EQ(do_write(&d->u, 3, 1), 0, "write");
	expect_range(&q, UDMQ_FIRST, 3, 1, "after a reset while it was suspended");
	EXPECT_EQ(udmq_delete(&q), LM_SC_OK, "the queue is there");
}

static void check_gone(struct vf *d, struct udmq *q)
{
	EXPECT_EQ(udmq_delete(q), LM_SC_INVALID_CDQ, "the queue is not there");
	vf_close(d);
	if (!vf_start(d, LOG_PLAIN, 1, 1))
		return;
	q->pf = d->pf;
	EXPECT_EQ(do_write(&d->u, 1, 1), 0, "write");
	expect_none(q, "after the reset");
	EXPECT_EQ(udmq_create(q, d->pf, d, SLOTS), LM_SC_OK, "a new one");
}

static void test_mmc_reset(void)
{
	struct vf *d = &vf_a;
	struct udmq q;

	if (!start_logged(d, &q, LOG_PLAIN, SLOTS) || !pf_restart(LOG_PLAIN))
		return;
	q.pf = pf_get(LOG_PLAIN);
	check_gone(d, &q);
}

static void test_mmc_flr(void)
{
	struct vf *d = &vf_a;
	struct udmq q;

	if (!start_logged(d, &q, LOG_PLAIN, SLOTS) || !pf_flr(LOG_PLAIN))
		return;
	q.pf = pf_get(LOG_PLAIN);
	check_gone(d, &q);
}

/* ---- memory in pieces ---- */

static void test_list(void)
{
	u32 slots = 3 * UDMQ_PER_PAGE + 5, i;
	struct vf *d = &vf_a;
	struct udmq q;

	if (!vf_start(d, LOG_PLAIN, 1, 1) ||
	    !EXPECT_EQ(udmq_create_list(&q, d->pf, d, slots), LM_SC_OK, "create") ||
	    !EXPECT_EQ(udmq_start(&q), LM_SC_OK, "start"))
		return;
	for (i = 0; i < 2 * slots && !tap_failed(); i++) {
		EXPECT_EQ(do_zeroes(&d->u, i, 1), 0, "write");
		expect_range(&q, i ? UDMQ_CHANGE : UDMQ_FIRST, i, 1, "in pieces");
		if (i % 32 == 31)
			EXPECT_EQ(udmq_consume(&q), LM_SC_OK, "Set Features");
	}
}

/* More pages than there are in a page of the list */
static void test_long_list(void)
{
	u32 slots = 513 * UDMQ_PER_PAGE, i;
	struct vf *d = &vf_a;
	struct range r[256];
	struct udmq q;

	if (!vf_start(d, LOG_PLAIN, 1, 1) ||
	    !EXPECT_EQ(udmq_create_list(&q, d->pf, d, slots), LM_SC_OK, "create") ||
	    !EXPECT_EQ(udmq_start(&q), LM_SC_OK, "start"))
		return;
	for (i = 0; i < ARRAY_SIZE(r); i++)
		r[i] = (struct range){ i, 1 };
	for (i = 0; i < slots + 100 && !tap_failed(); i++) {
		if (i % ARRAY_SIZE(r) == 0)
			EXPECT_EQ(do_dsm(&d->u, r, ARRAY_SIZE(r)), 0, "deallocation");
		expect_range(&q, i ? UDMQ_CHANGE : UDMQ_FIRST, i % ARRAY_SIZE(r), 1, "long list");
		if (i % ARRAY_SIZE(r) == ARRAY_SIZE(r) - 1)
			EXPECT_EQ(udmq_consume(&q), LM_SC_OK, "Set Features");
	}
}

/* ---- devices that differ ---- */

/* The first entry names all of the namespace, and entries of deallocations have DLBA set. */
static void test_whole(void)
{
	static const struct range r = { 40, 4 };
	const struct udmq_entry *e;
	struct vf *d = &vf_a;
	struct udmq q;

	if (!start_logged(d, &q, LOG_WHOLE, SLOTS))
		return;
	EXPECT_EQ(do_write(&d->u, 9, 3), 0, "write");
	e = expect_entry(&q, UDMQ_FIRST, "whole namespace");
	if (e) {
		EXPECT_EQ(udmq_lbacir(e), UDMQ_NAMESPACE, "LBACIR");
		EXPECT(e->nsid == 1 && !e->slba, "nsid %u", e->nsid);
	}
	EXPECT_EQ(do_dsm(&d->u, &r, 1), 0, "deallocation");
	e = expect_entry(&q, UDMQ_CHANGE, "deallocation");
	if (e)
		EXPECT(udmq_dlba(e) && e->slba == 40 && e->nlb == 3, "attributes %#x", e->attr);
	EXPECT_EQ(do_zeroes(&d->u, 40, 4), 0, "Write Zeroes");
	e = expect_entry(&q, UDMQ_CHANGE, "Write Zeroes");
	if (e)
		EXPECT(!udmq_dlba(e), "attributes %#x", e->attr);
}

/* What touches becomes one entry, at the latest when the VF is suspended. */
static void test_late(void)
{
	struct vf *d = &vf_a;
	struct udmq q;
	u32 i;

	if (!start_logged(d, &q, LOG_LATER, SLOTS))
		return;
	for (i = 0; i < 4; i++)
		EXPECT_EQ(do_write(&d->u, 16 * i, 16), 0, "write");
	expect_none(&q, "its time has not come");
	if (!vf_suspend(d))
		return;
	expect_range(&q, UDMQ_FIRST, 0, 64, "merged");
	expect_marker(&q, UDMQ_SUSPENDED, "suspend");
	vf_resume(d);
	EXPECT_EQ(do_write(&d->u, 16, 1), 0, "write");
	EXPECT_EQ(do_write(&d->u, 0, 1), 0, "write");
	EXPECT_EQ(udmq_stop(&q), LM_SC_OK, "stop");
	expect_range(&q, UDMQ_FIRST, 16, 1, "stop");
	expect_range(&q, UDMQ_CHANGE, 0, 1, "stop");
	expect_marker(&q, UDMQ_STOPPED, "stop");
}

/* Data and metadata are two requests to the medium, and one change. */
static void test_metadata(void)
{
	static const struct range r = { 40, 4 };
	struct vf *d = &vf_a;
	struct udmq q;

	if (!start_logged(d, &q, LOG_META, SLOTS))
		return;
	EXPECT_EQ(do_zeroes(&d->u, 9, 3), 0, "Write Zeroes");
	expect_range(&q, UDMQ_FIRST, 9, 3, "Write Zeroes");
	EXPECT_EQ(do_dsm(&d->u, &r, 1), 0, "deallocation");
	expect_range(&q, UDMQ_CHANGE, 40, 4, "deallocation");
	expect_none(&q, "no more");
}

/* ---- allocated blocks ---- */

#define ALLOCATED	2u
#define STATUS_BYTES	4096u

static struct lm_cmd status_cmd(u64 slba, u16 blocks, u8 atype, void *buf, u32 bytes)
{
	return (struct lm_cmd){
		.opcode = 0x86, .nsid = 1, .cdw10 = slba, .cdw11 = slba >> 32,
		.cdw12 = bytes / 4 - 1, .cdw13 = blocks | (u32)atype << 24,
		.data = buf, .len = STATUS_BYTES,
	};
}

/* How many extents are allocated there, the first ones of them; the completion condition */
static u32 get_status(struct lm_pf *pf, u64 slba, u16 blocks, u32 bytes, struct range *r, u32 max,
		      u8 *cmpc)
{
	static u8 buf[STATUS_BYTES] __aligned(4096);
	u32 nr, i;

	if (!EXPECT_ST(pf, status_cmd(slba, blocks, ALLOCATED, buf, bytes), LM_SC_OK, "status"))
		return ~0u;
	memcpy(&nr, buf, 4);
	*cmpc = buf[4];
	for (i = 0; i < nr && i < max; i++) {
		memcpy(&r[i].slba, buf + 8 + 16 * i, 8);
		memcpy(&r[i].nlb, buf + 16 + 16 * i, 4);
		r[i].nlb++;
	}
	return nr;
}

/* The medium has larger blocks than the namespace, perhaps. */
static void expect_extent(const struct range *r, u64 slba, u32 nlb)
{
	EXPECT(r->slba <= slba && r->slba + r->nlb >= slba + nlb && r->nlb < nlb + 64,
	       "%u blocks from %llu on are allocated, not %u from %llu on",
	       r->nlb, (unsigned long long)r->slba, nlb,
	       (unsigned long long)slba);
}

/* Nobody else writes to this namespace. */
static void test_allocated(void)
{
	struct lm_pf *pf = pf_get(LOG_TINY);
	struct vf *d = &vf_a;
	struct range r[4];
	u8 buf[4096], cmpc;

	if (!pf || !vf_start(d, LOG_TINY, 1, 1))
		return;
	EXPECT(pf->id[257] & 2, "OACS");
	EXPECT_EQ(lm_identify(pf, 0x06, 0, buf), LM_SC_OK, "CNS 06h");
	EXPECT_EQ(buf[18], 1, "AOCS");
	EXPECT_EQ(get_status(pf, 0, 0, STATUS_BYTES, r, 4, &cmpc), 0, "an empty medium");
	EXPECT_EQ(cmpc, 2, "CMPC");

	EXPECT_EQ(do_write(&d->u, 8192, 128), 0, "write");
	EXPECT_EQ(do_write(&d->u, d->u.nsze - 1, 1), 0, "write");
	EXPECT_EQ(get_status(pf, 0, 0, STATUS_BYTES, r, 4, &cmpc), 2, "two extents");
	EXPECT_EQ(cmpc, 2, "CMPC");
	expect_extent(&r[0], 8192, 128);
	expect_extent(&r[1], d->u.nsze - 1, 1);
	EXPECT_EQ(r[1].slba + r[1].nlb, d->u.nsze, "the end");

	EXPECT_EQ(get_status(pf, 0, 0, 8 + 16, r, 4, &cmpc), 1, "room for one");
	EXPECT_EQ(cmpc, 1, "CMPC");
	expect_extent(&r[0], 8192, 128);
	EXPECT_EQ(get_status(pf, 8192 + 64, 0, STATUS_BYTES, r, 4, &cmpc), 2, "from the middle");
	EXPECT_EQ(r[0].slba, 8192 + 64, "from the middle");
	EXPECT_EQ(get_status(pf, 8192 + 16, 8, STATUS_BYTES, r, 4, &cmpc), 1, "eight blocks");
	EXPECT(r[0].slba == 8192 + 16 && r[0].nlb == 8, "more than eight blocks");
	EXPECT_EQ(get_status(pf, 0, 8000, STATUS_BYTES, r, 4, &cmpc), 0, "none of them");
	EXPECT_EQ(cmpc, 2, "CMPC");
}

static void test_allocated_off(void)
{
	static u8 buf[STATUS_BYTES] __aligned(4096);
	struct lm_pf *pf = pf_get(LOG_OFF);

	if (!pf)
		return;
	EXPECT_EQ(pf->id[257] & 2, 0, "OACS");
	EXPECT_ST(pf, status_cmd(0, 0, ALLOCATED, buf, STATUS_BYTES), LM_SC_INVALID_OPCODE,
		  "status");
	EXPECT_EQ(lm_identify(pf, 0x06, 0, buf), LM_SC_OK, "CNS 06h");
	EXPECT_EQ(buf[18], 0, "AOCS");
}

static void test_allocated_errors(void)
{
	static const u8 atype[] = { 0, 1, 3, 0x10, 0x11, 0xff };
	static const u32 nsid[] = { 0, 2, 0xfffffffe, 0xffffffff };
	static u8 buf[STATUS_BYTES] __aligned(4096);
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	unsigned int i;

	if (!vf_start(d, LOG_PLAIN, 1, 0))
		return;
	for (i = 0; i < ARRAY_SIZE(atype); i++)
		EXPECT_ST(d->pf, status_cmd(0, 0, atype[i], buf, STATUS_BYTES),
			  LM_SC_INVALID_FIELD, "ATYPE %#x", atype[i]);
	for (i = 0; i < ARRAY_SIZE(nsid); i++) {
		cmd = status_cmd(0, 0, ALLOCATED, buf, STATUS_BYTES);
		cmd.nsid = nsid[i];
		EXPECT_ST(d->pf, cmd, 0x00b, "NSID %#x", nsid[i]);
	}
	EXPECT_ST(d->pf, status_cmd(0, 0, ALLOCATED, buf, 4), LM_SC_INVALID_FIELD, "MNDW 0");
	EXPECT_ST(d->pf, status_cmd(0, 0, ALLOCATED, buf, 64 << 20), LM_SC_INVALID_FIELD,
		  "MNDW above MDTS");
	EXPECT_ST(d->pf, status_cmd(d->u.nsze, 0, ALLOCATED, buf, STATUS_BYTES), 0x080,
		  "beyond the end");
	EXPECT_ST(d->pf, status_cmd(d->u.nsze - 1, 0, ALLOCATED, buf, STATUS_BYTES), LM_SC_OK,
		  "the last block");
	EXPECT_EQ(d->u.id_ctrl[257] & 2, 0, "OACS of the VF");
}

/* ---- commands in flight ---- */

#define SLOW_WRITES	60u
#define SLOW_BLOCKS	128u

static void submit_slow(struct unvme *u)
{
	struct nvme_sqe sqe;
	unsigned int i;

	for (i = 0; i < SLOW_WRITES; i++) {
		sqe = rw(IO_WRITE, SLOW_BLOCKS * i, SLOW_BLOCKS);
		unvme_set_prp(u, &sqe, u->scratch, SLOW_BLOCKS * u->lba_size, u->scratch_list);
		EXPECT(unvme_submit(u, 1, &sqe, NULL, NULL), "the queue is full");
	}
	/* when it is answered, all of them were fetched */
	EXPECT_EQ(unvme_get_features(u, 7, 0, NULL), 0, "barrier");
}

/* How many of the writes are in the log, each at most once; the last entry's ESA */
static unsigned int count_slow(struct udmq *q, unsigned int *esa)
{
	const struct udmq_entry *e;
	unsigned int nr = 0;
	bool seen[SLOW_WRITES] = {};

	while ((e = udmq_read(q))) {
		*esa = udmq_esa(e);
		if (udmq_lbacir(e) == UDMQ_NONE)
			continue;
		if (!EXPECT(e->slba % SLOW_BLOCKS == 0 && e->slba < SLOW_WRITES * SLOW_BLOCKS &&
			    e->nlb == SLOW_BLOCKS - 1 && !seen[e->slba / SLOW_BLOCKS],
			    "slba %llu nlb %u", (unsigned long long)e->slba, e->nlb))
			break;
		seen[e->slba / SLOW_BLOCKS] = true;
		nr++;
	}
	return nr;
}

/* A write that completes after the start is in the log, though it began before. */
static void test_slow_start(void)
{
	unsigned int completed, esa = UDMQ_FULL;
	struct vf *d = &vf_a;
	struct unvme *u = &d->u;
	struct udmq q;

	if (!open_logged(d, &q, LOG_PLAIN, 2 * SLOW_WRITES))
		return;
	submit_slow(u);
	EXPECT_EQ(udmq_start(&q), LM_SC_OK, "start");
	unvme_reap_all(u);
	completed = SLOW_WRITES - u->sqs[1].inflight;
	if (!EXPECT(completed < SLOW_WRITES, "all writes are complete already"))
		return;
	EXPECT_EQ(unvme_drain(u, 1, 0), 0, "drain");
	EXPECT(count_slow(&q, &esa) >= SLOW_WRITES - completed,
	       "of %u writes %u were complete", SLOW_WRITES, completed);
	EXPECT_EQ(esa, UDMQ_CHANGE, "the last entry");
}

/* The mark of a Suspend follows all that was fetched. */
static void test_slow_suspend(void)
{
	unsigned int esa = UDMQ_FULL;
	struct vf *d = &vf_a;
	struct udmq q;

	if (!start_logged(d, &q, LOG_PLAIN, 2 * SLOW_WRITES))
		return;
	submit_slow(&d->u);
	EXPECT(d->u.sqs[1].inflight, "nothing is in flight");
	if (!vf_suspend(d))
		return;
	EXPECT_EQ(count_slow(&q, &esa), SLOW_WRITES, "entries");
	EXPECT_EQ(esa, UDMQ_SUSPENDED, "the last entry");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	expect_none(&q, "after the resume");
}

/* A reset of the VF while it writes: what has reached the medium is in the log. */
static void test_slow_reset(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	unsigned int i, changed = 0, esa = UDMQ_FULL;
	struct vf *d = &vf_a;
	struct udmq q;

	if (!vf_start(d, LOG_PLAIN, 1, 1))
		return;
	for (i = 0; i < SLOW_WRITES; i++)
		EXPECT_EQ(do_zeroes(&d->u, SLOW_BLOCKS * i, SLOW_BLOCKS), 0, "Write Zeroes");
	EXPECT_EQ(udmq_create(&q, d->pf, d, 2 * SLOW_WRITES), LM_SC_OK, "create");
	EXPECT_EQ(udmq_start(&q), LM_SC_OK, "start");
	memset(d->u.scratch, 0x77, UNVME_SCRATCH);
	submit_slow(&d->u);
	if (!vf_up(d, &opts))
		return;
	for (i = 0; i < SLOW_WRITES; i++) {
		EXPECT_EQ(unvme_rw(&d->u, 1, false, SLOW_BLOCKS * i, SLOW_BLOCKS), 0, "read");
		changed += d->u.scratch[0] == 0x77;
	}
	EXPECT(changed, "nothing has reached the medium");
	EXPECT(count_slow(&q, &esa) >= changed, "%u writes have reached the medium", changed);
}

static const struct tap_test log_tests[] = {
	{ "Identify", test_identify },
	{ "a device without it", test_off },
	{ "a VF has none of it", test_vf },
	{ "errors of Create", test_create_errors },
	{ "errors of a PRP list", test_list_errors },
	{ "ids", test_ids },
	{ "queues and ranges", test_limits },
	{ "entries", test_entries_limit },
	{ "start and stop", test_start_stop },
	{ "commands that change blocks", test_commands },
	{ "commands that do not", test_no_change },
	{ "other VFs", test_others },
	{ "random changes", test_random },
	{ "random changes, reported later", test_random_late },
	{ "a full queue", test_full },
	{ "the smallest queue", test_smallest },
	{ "head pointer", test_head },
	{ "errors of feature 21h", test_feature_errors },
	{ "tail pointer event", test_tail_event },
	{ "queue full event", test_full_event },
	{ "memory that is not there", test_no_memory },
	{ "suspend and resume", test_suspend },
	{ "suspend without logging", test_suspend_unlogged },
	{ "suspend that deletes the queue", test_dudmq },
	{ "reset of the VF", test_target_reset },
	{ "reset of the PF", test_mmc_reset },
	{ "FLR of the PF", test_mmc_flr },
	{ "a queue in pieces", test_list },
	{ "a PRP list of two pages", test_long_list },
	{ "whole namespace, deallocation", test_whole },
	{ "late entries", test_late },
	{ "metadata", test_metadata },
	{ "allocated blocks", test_allocated },
	{ "errors of allocated blocks", test_allocated_errors },
	{ "allocated blocks are not reported", test_allocated_off },
};

const struct test_group log_group = { "log", log_tests, ARRAY_SIZE(log_tests) };

static const struct tap_test log_draining_tests[] = {
	{ "writes in flight at the start", test_slow_start },
	{ "writes in flight at a suspend", test_slow_suspend },
	{ "writes in flight at a reset of the VF", test_slow_reset },
};

const struct test_group log_draining_group = {
	"log-draining", log_draining_tests, ARRAY_SIZE(log_draining_tests),
};
