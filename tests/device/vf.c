// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFs under test, bound to vfio-pci, and resets of their PFs.
 */
#include <stdio.h>

#include "device.h"
#include "function.h"

bool vf_open(struct vf *d, int pf, unsigned int vfn)
{
	struct lm_pf *p = pf_get(pf);

	int id = vf_cntlid(pf, vfn);

	if (!p || !vf_find(d, pf, vfn) || !EXPECT(id >= 0, "controller id of VF %u", vfn))
		return false;
	d->t = (struct lm_target){ .pf = p, .vfn = vfn, .cntlid = id };
	d->pf = p;
	d->cntlid = id;
	return vf_attach(d);
}

bool vf_start(struct vf *d, int pf, unsigned int vfn, unsigned int queues)
{
	struct unvme_opts opts = { .queues = queues };

	return vf_open(d, pf, vfn) && vf_up(d, &opts);
}

bool vf_suspend(struct vf *d)
{
	return EXPECT_EQ(lmt_suspend(&d->t), LM_SC_OK, "suspend %s", d->bdf);
}

bool vf_resume(struct vf *d)
{
	return EXPECT_EQ(lmt_resume(&d->t), LM_SC_OK, "resume %s", d->bdf);
}

bool pf_restart(int nr)
{
	return pf_reset(nr) && pf_provision(nr);
}

bool pf_flr(int nr)
{
	struct lm_pf *pf = pf_get(nr);
	char path[64];

	if (!pf)
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", pf->bdf);
	return EXPECT_EQ(file_write(path, "1"), 0, "%s", path) && pf_provision(nr);
}
