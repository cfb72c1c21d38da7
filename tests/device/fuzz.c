// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nonsense from a hostile or broken host: every command gets an answer, nothing breaks, and a
 * state that is refused changes nothing. Meanwhile the guest of another VF of the PF works on, and
 * checks all its data. LM_SEED chooses another sequence, LM_FUZZ how many states, commands and
 * requests there are in all.
 */
#include <linux/stringify.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "track.h"

/* Of so many in all, unless LM_FUZZ says otherwise */
#define STANDARD	10000
#define COMMANDS	2500
#define STATES		2000
#define REQUESTS	1000
#define SEED		20220806

/* What all the tests have done */
static struct {
	unsigned long commands, states, states_taken, requests, requests_taken;
	unsigned long reads, writes, admin;
	bool disturbed;		/* the VF beside them */
} done;

/* How many of LM_FUZZ, for a test that has @part of STANDARD */
static unsigned int share(unsigned int part)
{
	return (u64)rounds(STANDARD, SEED) * part / STANDARD;
}

/* Small numbers, single bits, all ones and anything. */
static u32 word(void)
{
	switch (rnd() % 6) {
	case 0:
		return 0;
	case 1:
		return rnd() % 16;
	case 2:
		return 1u << rnd() % 32;
	case 3:
		return ~0u << rnd() % 32;
	case 4:
		return rnd() & 0xffff;
	default:
		return rnd();
	}
}

/* No answer is a failure of the ioctl; -EINTR and the like cannot happen here. */
static bool answered(struct lm_pf *pf, struct lm_cmd *cmd)
{
	int st = lm_exec(pf, cmd);

	return EXPECT(st >= 0, "no answer (%s) to %#x %#x %#x %#x %#x %#x", strerror(-st),
		      cmd->opcode, cmd->cdw10, cmd->cdw11, cmd->cdw12, cmd->cdw13, cmd->cdw15);
}

/* ---- the guest of the VF beside it: vf_c ---- */

/* Away from the blocks that the tests write */
#define LIVE_LBA	4096
/* A step's cost is that of many commands */
#define LIVE_ROUNDS	4

static bool live_start(int pf, unsigned int vfn)
{
	if (!vf_start(&vf_c, pf, vfn, 2))
		return false;
	load = (struct load){
		.u = &vf_c.u.udrv, .first_block = LIVE_LBA, .units = 64, .unit_blocks = 8, .qd = 4,
		.seed = 5, .control = true,
	};
	return EXPECT_EQ(load_init(&load), 0, "load");
}

static bool live_fine(unsigned int round)
{
	return EXPECT(!load.errors && !load.miscompares && !vf_c.u.udrv.faults,
		      "round %u: the VF beside it: %lu errors, %lu miscompares, %lu faults", round,
		      (unsigned long)load.errors, (unsigned long)load.miscompares,
		      (unsigned long)vf_c.u.udrv.faults);
}

/* In flight while the other VF gets nonsense: reaped and verified, and begun anew */
static void live_step(unsigned int round)
{
	if (round % LIVE_ROUNDS)
		return;
	load_step(&load);
	done.disturbed |= !live_fine(round);
}

static void live_end(unsigned int round)
{
	/* whatever was in flight has to be answered */
	bool fine = EXPECT_EQ(load_drain(&load), 0, "the VF beside it: last commands") &&
		    EXPECT_EQ(load_verify(&load), 0, "the VF beside it: verify") &&
		    live_fine(round);

	done.disturbed |= !fine;
	EXPECT(load.reads && load.writes && load.controls, "the VF beside it has done nothing");
	done.reads += load.reads;
	done.writes += load.writes;
	done.admin += load.controls;
}

/* ---- commands ---- */

#define FUZZ_BUF	65536

/* More than the buffer is fine if it exceeds MDTS, too; else it would be our mistake. */
static bool dishonest(struct lm_pf *pf, u64 bytes)
{
	return bytes > FUZZ_BUF && bytes <= 4096ull << pf->id[77];
}

/* What is meant for the VF beside it would be obeyed */
static bool is_for_live(const struct lm_pf *pf, const struct lm_cmd *cmd)
{
	if (pf->vendor)
		return (cmd->cdw10 & 0xffff) == vf_c.vfn;
	return (cmd->cdw11 & 0xffff) == vf_c.cntlid;
}

static struct lm_cmd random_command(struct lm_pf *pf, u16 cntlid)
{
	static const u8 ops[] = {
		LM_OP_SEND, LM_OP_SEND, LM_OP_RECV, LM_OP_RECV, LM_OP_TRACK_SEND,
		LM_OP_TRACK_RECV, LM_OP_CDQ, LM_OP_VS_QUERY, LM_OP_VS_SUSPEND, LM_OP_VS_RESUME,
		LM_OP_VS_SAVE, LM_OP_VS_LOAD,
	};
	struct lm_cmd cmd = { .opcode = ops[rnd() % ARRAY_SIZE(ops)] };

	if (pf->vendor)
		cmd.opcode = ops[7 + rnd() % 5];
	cmd.cdw10 = word();
	cmd.cdw11 = word();
	if (pf->hmlms && rnd() % 4) {
		cmd.cdw10 = rnd() % 4 | rnd() % 4 << 16;
		cmd.cdw11 = (cmd.cdw11 & 0xffff0000) | cntlid;
	}
	if (pf->vendor && rnd() % 4)
		cmd.cdw10 = 1;
	cmd.cdw12 = word();
	cmd.cdw13 = rnd() % 4 ? 0 : word();
	cmd.cdw14 = word();
	cmd.cdw15 = rnd() % 4 ? rnd() % 64 : word();
	return cmd;
}

static void fuzz_command(struct lm_pf *pf, u16 cntlid, u8 *buf)
{
	struct lm_cmd cmd;

	do {
		cmd = random_command(pf, cntlid);
	} while (is_for_live(pf, &cmd));
	if (cmd.opcode == LM_OP_TRACK_RECV && dishonest(pf, 4ull * (cmd.cdw12 + 1ull)))
		cmd.cdw12 %= FUZZ_BUF / 4;
	if (dishonest(pf, 4ull * (cmd.cdw15 + 1ull)))
		cmd.cdw15 %= FUZZ_BUF / 4;
	if (cmd.opcode == LM_OP_VS_LOAD && dishonest(pf, cmd.cdw11))
		cmd.cdw11 %= FUZZ_BUF;
	/* a queue's memory has to stay, so there is none, and no queue is created */
	if (cmd.opcode & 3 && cmd.opcode != LM_OP_CDQ) {
		cmd.data = buf;
		cmd.len = FUZZ_BUF;
	}
	answered(pf, &cmd);
}

static void test_commands(void)
{
	static u8 buf[FUZZ_BUF] __aligned(4096);
	static const struct unvme_opts o = { .queues = 1 };
	unsigned int i, n = share(COMMANDS);
	struct vf *d = &vf_a;

	if (!vf_start(d, tap_arg(), 1, 1) || !live_start(tap_arg(), 2))
		return;
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = rnd() % 8 ? 0 : rnd();
	for (i = 0; i < n && !tap_failed(); i++) {
		fuzz_command(d->pf, d->cntlid, buf);
		live_step(i);
	}
	done.commands += i;
	live_end(i);
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	d->u.udrv.faults = 0;
	unvme_fini(&d->u);
	if (vf_up(d, &o))
		EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write afterwards");
}

/* ---- states ---- */

static void spoil(struct lm_state *s)
{
	unsigned int n = 1 + rnd() % 4;
	u32 val;

	while (n--) {
		size_t at = rnd() % s->size;

		/* the front part is the most delicate */
		if (rnd() % 2)
			at %= 512;
		switch (rnd() % 4) {
		case 0:
			s->data[at] ^= 1 << rnd() % 8;
			break;
		case 1:
			s->data[at] = rnd();
			break;
		case 2:
			s->data[at] = rnd() % 2 ? 0 : 0xff;
			break;
		default:
			val = word();
			at &= ~3ul;
			if (at + 4 <= s->size)
				memcpy(s->data + at, &val, 4);
		}
	}
}

static void copy_state(struct lm_state *to, const struct lm_state *from)
{
	to->size = from->size;
	to->data = aligned_alloc(4096, (from->size + 8191) & ~4095ul);
	if (!to->data)
		abort();
	memcpy(to->data, from->data, from->size);
}

/* A refused state leaves the target as it was, which its own state shows. */
static void check_same(struct vf *d, const struct lm_state *before, unsigned int round,
		       const char *what)
{
	struct lm_state now;

	if (!EXPECT_EQ(lmt_save(&d->t, &now), 0, "round %u: state after %s", round, what))
		return;
	EXPECT(same_state(&now, before), "round %u: %s: the state is another one", round, what);
	lm_state_free(&now);
}

/* With nowhere to go: transfers fail, nothing else may. */
static void run_spoilt(struct vf *d)
{
	unsigned int qid;

	vdev_bus_master(&d->dev, false);
	lmt_resume(&d->t);
	for (qid = 0; qid <= 3; qid++)
		vdev_write32(&d->dev, NVME_REG_DBS + 8 * qid, 1 + rnd() % 4);
}

/* After a state that was taken: a reset, and a good state. */
static void recover(struct vf *d, const struct lm_state *empty, unsigned int round)
{
	if (done.states_taken % 8 == 0)
		run_spoilt(d);
	/* that of the function takes 0.1 s */
	if (done.states_taken % 256)
		vdev_write32(&d->dev, NVME_REG_CC, 0);
	else
		EXPECT_EQ(vdev_reset(&d->dev), 0, "round %u: reset", round);
	vdev_bus_master(&d->dev, true);
	vf_suspend(d);
	EXPECT_EQ(lmt_load(&d->t, empty), 0, "round %u: a good state after a spoilt one", round);
	check_same(d, empty, round, "after a spoilt state");
}

static void fuzz_state_once(struct vf *d, const struct lm_state *good,
			    const struct lm_state *empty, unsigned int round)
{
	struct lm_state s;
	int st;

	copy_state(&s, good);
	spoil(&s);
	if (rnd() % 16 == 0)
		s.size = 4 + (rnd() % (s.size - 4) & ~3u);
	st = lmt_load(&d->t, &s);
	lm_state_free(&s);
	if (!EXPECT(st >= 0, "round %u: no answer: %s", round, strerror(-st)))
		return;
	if (st) {
		check_same(d, empty, round, "a refused state");
		return;
	}
	done.states_taken++;
	recover(d, empty, round);
}

static void test_states(void)
{
	unsigned int i, n = share(STATES);
	unsigned long taken = done.states_taken;
	struct unvme_opts o = { .queues = 3 };
	struct lm_state good, empty;
	struct lm_view v;
	int to = tap_arg() == PF_VS ? PF_VS2 : PF_TP2;

	if (!vf_start(&vf_a, tap_arg(), 1, 3) || !vf_open(&vf_b, to, 2) || !live_start(to, 1))
		return;
	for (i = 0; i < 40; i++)
		EXPECT_EQ(unvme_rw(&vf_a.u, 1 + i % 3, true, i * 8, 8), 0, "write");
	unvme_aer(&vf_a.u, NULL, NULL);
	unvme_aer(&vf_a.u, NULL, NULL);
	EXPECT_EQ(unvme_get_features(&vf_a.u, 7, 0, NULL), 0, "barrier");
	if (!vf_suspend(&vf_a) || !vf_get(&vf_a, &good, &v) || !vf_suspend(&vf_b) ||
	    !EXPECT_EQ(lmt_save(&vf_b.t, &empty), 0, "state of an idle VF"))
		return;
	for (i = 0; i < n && !tap_failed(); i++) {
		fuzz_state_once(&vf_b, &good, &empty, i);
		live_step(i);
	}
	done.states += i;
	live_end(i);
	taken = done.states_taken - taken;
	EXPECT(taken && taken < n, "%lu of %u spoilt states were taken", taken, n);
	EXPECT_EQ(vdev_reset(&vf_b.dev), 0, "reset");
	if (vf_up(&vf_b, &o))
		EXPECT_EQ(unvme_rw(&vf_b.u, 1, true, 0, 8), 0, "write afterwards");
	lm_state_free(&good);
	lm_state_free(&empty);
}

/* ---- requests to track ---- */

static void fuzz_request(struct track *t, struct vf *d)
{
	unsigned int nr = rnd() % 16 ? rnd() % 4 : rnd() % (TRACK_RANGES + 2);
	u64 unit, start;

	track_init(t, d, rnd() % 16 ? rnd() % 10 : word());
	t->ver = rnd() % 16 ? 0 : word();
	unit = (u64)TRACK_PAGE << t->rmrtg % 32;
	while (t->nr < nr) {
		start = arena.iova + rnd() % 4096 * unit;
		if (rnd() % 8 == 0)
			start = (u64)word() << 32 | word();
		track_add(t, start, rnd() % 4 ? 1 + rnd() % 64 : word());
	}
}

static bool fuzz_track(struct vf *d)
{
	static struct track_log log;
	struct track t;
	int st;

	fuzz_request(&t, d);
	st = track_start(&t);
	if (!EXPECT(st >= 0, "no answer: %s", strerror(-st)) || st)
		return false;
	memset(&log, 0, sizeof(log));
	EXPECT_EQ(unvme_rw(&d->u, 1, false, rnd() % 1024, 1 + rnd() % 64), 0, "read");
	track_read(&t, 32 + 4 * (rnd() % 1000), &log);
	EXPECT_EQ(track_stop(&t), 0, "stop");
	return true;
}

static void test_requests(void)
{
	unsigned int i, n = share(REQUESTS), taken = 0;
	struct vf *d = &vf_a;

	if (!vf_start(d, PF_TP, 1, 1) || !live_start(PF_TP, 2))
		return;
	for (i = 0; i < n && !tap_failed(); i++) {
		taken += fuzz_track(d);
		live_step(i);
	}
	live_end(i);
	done.requests += i;
	done.requests_taken += taken;
	EXPECT(taken && taken < n, "%u of %u requests were taken", taken, n);
}

static const struct tap_test fuzz_tests[] = {
	{ "commands", test_commands, PF_TP },
	{ "commands, vendor set", test_commands, PF_VS },
	{ "states", test_states, PF_TP },
	{ "requests to track memory", test_requests },
	{ "states, vendor set", test_states, PF_VS },
};

static void report(void)
{
	const char *fine = done.disturbed ? "disturbed" : "all data verified";
	char states[80], requests[80], beside[120];

	snprintf(states, sizeof(states), "%lu states (%lu taken), %lu random commands",
		 done.states, done.states_taken, done.commands);
	snprintf(requests, sizeof(requests), "%lu requests to track memory (%lu taken)",
		 done.requests, done.requests_taken);
	snprintf(beside, sizeof(beside), "%lu reads, %lu writes, %lu admin commands, %s",
		 done.reads, done.writes, done.admin, fine);
	tap_note("tried: %lu spoilt states and commands, seed %s: %s, %s; the VF beside them: %s",
		 done.states + done.commands + done.requests,
		 getenv("LM_SEED") ?: __stringify(SEED), states, requests, beside);
}

const struct test_group fuzz_group = {
	"fuzz", fuzz_tests, ARRAY_SIZE(fuzz_tests), .report = report,
};
