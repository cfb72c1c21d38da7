// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PFs of the machine by number.
 */
#include <stdio.h>
#include <stdlib.h>

#include "function.h"
#include "pf.h"

static struct lm_pf pfs[MAX_PFS];

static const char *env_bdf(const char *name)
{
	const char *bdf = getenv(name);

	if (!bdf)
		tap_skip("%s is not set", name);
	return bdf;
}

const char *pf_bdf(int nr)
{
	char name[16];

	snprintf(name, sizeof(name), "LM_PF%d", nr);
	return env_bdf(name);
}

const char *vf_bdf(int pf, unsigned int vfn)
{
	char name[16];

	snprintf(name, sizeof(name), "LM_VF%d_%u", pf, vfn);
	return env_bdf(name);
}

int vf_cntlid(int pf, unsigned int vfn)
{
	struct lm_pf *p = pf_get(pf);
	char name[32];

	snprintf(name, sizeof(name), "LM_FUNCTION%d_%u", pf, vfn);
	if (getenv(name))
		return atoi(getenv(name));
	return p ? lm_cntlid(p, vfn) : -1;
}

struct lm_pf *pf_opened(int nr)
{
	return pfs[nr].bdf[0] ? &pfs[nr] : NULL;
}

struct lm_pf *pf_get(int nr)
{
	const char *bdf = pf_bdf(nr);

	if (pfs[nr].bdf[0] || !bdf)
		return bdf ? &pfs[nr] : NULL;
	if (EXPECT_EQ(lm_open(&pfs[nr], bdf), 0, "open PF %s", bdf))
		return &pfs[nr];
	pfs[nr].bdf[0] = 0;
	return NULL;
}

void pf_forget(int nr)
{
	if (pfs[nr].bdf[0])
		lm_close(&pfs[nr]);
	pfs[nr].bdf[0] = 0;
}

static bool provision(struct lm_pf *pf, int id, unsigned int nr)
{
	return EXPECT_EQ(lm_virt_mgmt(pf, id, 7, 0, 0), 0, "offline %d", id) &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 0, nr), 0, "queues for %d", id) &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 1, nr), 0, "vectors for %d", id) &&
	       EXPECT_EQ(lm_virt_mgmt(pf, id, 9, 0, 0), 0, "online %d", id);
}

bool pf_provision(int nr)
{
	struct lm_pf *pf = pf_get(nr);
	unsigned int vfn;
	char name[16];
	int id;

	for (vfn = 1; pf; vfn++) {
		snprintf(name, sizeof(name), "LM_VF%d_%u", nr, vfn);
		if (!getenv(name))
			break;
		id = lm_cntlid(pf, vfn);
		if (!EXPECT(id >= 0, "VF %u is gone", vfn) || !provision(pf, id, 5))
			return false;
	}
	return pf;
}

bool pf_reset(int nr)
{
	struct lm_pf *pf = pf_get(nr);
	char path[64];

	if (!pf)
		return false;
	snprintf(path, sizeof(path), "/sys/class/nvme/%s/reset_controller", pf->node + 5);
	return EXPECT_EQ(file_write(path, "1"), 0, "reset PF %d", nr);
}

int pf_do(struct lm_pf *pf, struct lm_cmd cmd)
{
	return lm_exec(pf, &cmd);
}
