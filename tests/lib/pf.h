/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The PFs of the machine by number. LM_PFn and LM_VFn_m name the PCI addresses of the PFs and of
 * their VFs.
 */
#ifndef TESTS_PF_H
#define TESTS_PF_H

#include "lm.h"
#include "tap.h"

#define MAX_PFS		16

/* PCI addresses; NULL and the test is skipped if the machine has no such function. */
const char *pf_bdf(int nr);
const char *vf_bdf(int pf, unsigned int vfn);

/*
 * Controller id of a VF, -1 if there is none. A function that is no VF may stand for one: then
 * LM_FUNCTIONn_m has its controller id.
 */
int vf_cntlid(int pf, unsigned int vfn);

/* The PF's nvme device, opened on first use; NULL and the test failed or is skipped. */
struct lm_pf *pf_get(int nr);

/* The same if it is open already, or NULL. */
struct lm_pf *pf_opened(int nr);

/* Forget it: its device goes away, or comes back as another. */
void pf_forget(int nr);

/* Give all VFs of a PF their resources and take them online, as after a reset of the PF. */
bool pf_provision(int nr);

/* Reset the PF's controller through sysfs. Its VFs are offline and without resources then. */
bool pf_reset(int nr);

/* Status of one raw command. */
int pf_do(struct lm_pf *pf, struct lm_cmd cmd);

/* A command must end with this status. */
#define EXPECT_ST(pf, cmd, want, what, ...) \
	EXPECT_EQ(pf_do((pf), (cmd)), (want), what, ##__VA_ARGS__)

#endif /* TESTS_PF_H */
