/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the device test share: the PFs of the machine, VFs under test, checks.
 *
 * LM_PFn and LM_VFn_m name the PCI addresses of the PFs and of their VFs. PF 0 and 1 have TP4159
 * and share a subsystem, PF 2 and 3 the same with the vendor set, PF 4 has neither. PF 0 and 2 have
 * fault points.
 */
#ifndef TESTS_DEVICE_H
#define TESTS_DEVICE_H

#include "lm.h"
#include "tap.h"
#include "unvme.h"

enum { PF_TP, PF_TP2, PF_VS, PF_VS2, PF_OFF };

/* The PFs of the machine "tracking", in its order. */
enum {
	TR_FEW, TR_FEW2, TR_POW2, TR_COARSE, TR_NOCQE, TR_UNITS, TR_FINE, TR_META, TR_EXT, TR_PI,
	TR_OFF, NR_PFS
};

#define ARENA_SIZE	(32u << 20)

/* A VF under test. */
struct dut {
	bool open;
	struct lm_pf *pf;
	struct lm_target t;
	u16 cntlid;
	char bdf[16];
	struct vdev dev;
	struct unvme u;
};

extern struct arena arena;
extern struct dut dut_a, dut_b;
extern struct unvme_load load;

/*
 * Rounds of a test with random input, whose sequence begins anew: @standard of them from @seed on,
 * or what LM_FUZZ and LM_SEED say.
 */
unsigned int rounds(unsigned int standard, u64 seed);
u32 rnd(void);

/* The PF, opened on first use; NULL and the test is skipped if the machine has none. */
struct lm_pf *pf_get(int nr);

/* Open VF @vfn (from 1) of a PF, which resets it, and map the arena. False: failed or skipped. */
bool dut_open(struct dut *d, int pf, unsigned int vfn);
void dut_close(struct dut *d);

/* Enable the controller with admin queue and I/O queues. */
bool dut_up(struct dut *d, const struct unvme_opts *o);

/* Open and enable with @queues polled I/O queues. */
bool dut_start(struct dut *d, int pf, unsigned int vfn, unsigned int queues);

/* Status of one raw command. */
int pf_do(struct lm_pf *pf, struct lm_cmd cmd);

/* A command must end with this status. */
#define EXPECT_ST(pf, cmd, want, what, ...) \
	EXPECT_EQ(pf_do((pf), (cmd)), (want), what, ##__VA_ARGS__)

/* Both must succeed; a one line wrapper each because nearly every test does it. */
bool dut_suspend(struct dut *d);
bool dut_resume(struct dut *d);

/* Entries in the CQ of this SQ that belong to it and were not reaped. */
unsigned int cq_entries(struct unvme *u, u16 sqid);

/*
 * Compare a state with what the driver knows about its queues. @held: completions the device
 * keeps back because a CQ is full.
 */
#define HELD_UNKNOWN	(~0u)

void check_view(struct unvme *u, const struct lm_view *v, unsigned int held);

/* Get the state in full, validate it; free with lm_state_free(). */
bool dut_get(struct dut *d, struct lm_state *s, struct lm_view *v);

/* Whether two states are the same; if not, where they differ becomes a detail line. */
bool same_state(const struct lm_state *a, const struct lm_state *b);

/* A version 0 state with one queue pair at fixed places of the arena. */
struct v0 {
	struct lm_sq_state sq;
	struct lm_cq_state cq;
};

void v0_init(struct v0 *q, struct unvme *u);
/* Load it (not suspended VFs included); status. */
int v0_set(struct dut *d, const struct v0 *q);
/* Let the driver use the queue pair 1 of the state. */
void v0_adopt(const struct v0 *q, struct unvme *u);

/* Reset the PF's controller, or its function, and make its VFs usable again. */
bool pf_reset(int nr);
bool pf_flr(int nr);

/* Tests of a file, which --group names; a group may have tests of several files. */
struct test_group {
	const char *name;
	const struct tap_test *tests;
	size_t nr;
};

extern const struct test_group cli_group, dirty_group, dirty_draining_group, dirty_tracking_group,
	faults_group, fuzz_group, identify_group, move_group, reset_group, reset_draining_group,
	rules_group, state_group, state_variant_group, suspend_group, track_group,
	track_tracking_group, variant_group;

#endif /* TESTS_DEVICE_H */
