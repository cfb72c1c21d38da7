/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the device test share: VFs bound to vfio-pci, raw commands to them, checks.
 *
 * PF 0 and 1 have TP4159 and share a subsystem, PF 2 and 3 the same with the vendor set, PF 4 has
 * neither. PF 0 and 2 have fault points.
 */
#ifndef TESTS_DEVICE_H
#define TESTS_DEVICE_H

#include "vf.h"

enum { PF_TP, PF_TP2, PF_VS, PF_VS2, PF_OFF };

/* The PFs of the machine "tracking", in its order. */
enum {
	TR_FEW, TR_FEW2, TR_POW2, TR_COARSE, TR_NOCQE, TR_UNITS, TR_FINE, TR_META, TR_EXT, TR_PI,
	TR_OFF
};

/* The PFs of the machine "log", in its order. */
enum {
	LOG_PLAIN, LOG_OTHER, LOG_FEW, LOG_FEW2, LOG_TINY, LOG_LATE, LOG_LATER, LOG_WHOLE, LOG_META,
	LOG_OFF
};

/*
 * On the machine "functions" PFs that the MMC, its PF 0, migrates stand for VFs 1 to 4 of this
 * one, whose commands go to the MMC.
 */
enum { PF_FN = 8 };

/*
 * Rounds of a test with random input, whose sequence begins anew: @standard of them from @seed on,
 * or what LM_FUZZ and LM_SEED say.
 */
unsigned int rounds(unsigned int standard, u64 seed);
u32 rnd(void);

/* Open VF @vfn (from 1) of a PF, which resets it, and map the arena. False: failed or skipped. */
bool vf_open(struct vf *d, int pf, unsigned int vfn);

/* Open and enable with @queues polled I/O queues. */
bool vf_start(struct vf *d, int pf, unsigned int vfn, unsigned int queues);

/* Both must succeed; a one line wrapper each because nearly every test does it. */
bool vf_suspend(struct vf *d);
bool vf_resume(struct vf *d);

/* Entries in the CQ of this SQ that belong to it and were not reaped. */
unsigned int cq_entries(struct unvme *u, u16 sqid);

/*
 * Compare a state with what the driver knows about its queues. @held: completions the device
 * keeps back because a CQ is full.
 */
#define HELD_UNKNOWN	(~0u)

void check_view(struct unvme *u, const struct lm_view *v, unsigned int held);

/* Get the state in full, validate it; free with lm_state_free(). */
bool vf_get(struct vf *d, struct lm_state *s, struct lm_view *v);

/* Whether two states are the same; if not, where they differ becomes a detail line. */
bool same_state(const struct lm_state *a, const struct lm_state *b);

/* A version 0 state with one queue pair at fixed places of the arena. */
struct v0 {
	struct lm_sq_state sq;
	struct lm_cq_state cq;
};

void v0_init(struct v0 *q, struct unvme *u);
/* Load it (not suspended VFs included); status. */
int v0_set(struct vf *d, const struct v0 *q);
/* Let the driver use the queue pair 1 of the state. */
void v0_adopt(const struct v0 *q, struct unvme *u);

/* Reset the PF's controller, or its function, and make its VFs usable again. */
bool pf_restart(int nr);
bool pf_flr(int nr);

/* Tests of a file, which --group names; a group may have tests of several files. */
struct test_group {
	const char *name;
	const struct tap_test *tests;
	size_t nr;
	void (*report)(void);	/* after all of them, what was done; may be NULL */
};

extern const struct test_group cli_group, cli_log_group, dirty_group, dirty_draining_group,
	dirty_tracking_group, faults_group, fuzz_group, identify_group, log_group,
	log_draining_group, model_group, move_group, reset_group, reset_draining_group, rules_group,
	state_group, state_variant_group, suspend_group, track_group, track_tracking_group,
	variant_group, dirty_functions_group, identify_functions_group, move_functions_group,
	reset_functions_group, suspend_functions_group;

#endif /* TESTS_DEVICE_H */
