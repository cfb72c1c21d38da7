/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFs under test, and the driver of a guest on them. A test uses the three here, which are closed
 * when it ends.
 */
#ifndef TESTS_VF_H
#define TESTS_VF_H

#include "pf.h"
#include "load.h"
#include "quiet.h"
#include "unvme.h"

#define ARENA_SIZE	(32u << 20)

struct vf {
	bool open;
	int pf_nr;
	unsigned int vfn;	/* from 1 */
	char bdf[16];
	struct vdev dev;
	struct unvme u;
	/* raw commands to the PF, which only the test of the device sends */
	struct lm_pf *pf;
	struct lm_target t;
	u16 cntlid;
};

extern struct arena arena;
extern struct vf vf_a, vf_b, vf_c;
extern struct load load;

/* The memory of all of them; for main(). */
bool vf_init(void);

/* Which VF it is. False: the test is skipped, the machine has no such VF. */
bool vf_find(struct vf *v, int pf, unsigned int vfn);

/* Open it with the driver that it is bound to, which resets it, and map the arena. */
bool vf_attach(struct vf *v);
void vf_close(struct vf *v);

/* Enable the controller with admin queue and I/O queues. */
bool vf_up(struct vf *v, const struct unvme_opts *o);

/* Whatever a test did, there is no load and no VF is open. */
void vf_end(void);

#endif /* TESTS_VF_H */
