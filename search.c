// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MMC of a function that is no VF. Nothing in PCI leads to it: the function itself is
 * asked which controller it is, and the controllers that could be the MMC are asked
 * whether they know that one.
 */

#include <linux/err.h>
#include <linux/nvme.h>
#include <linux/pci.h>

#include "buf.h"
#include "exec.h"
#include "ident.h"
#include "lm.h"
#include "match.h"
#include "mmc.h"
#include "nvme_pf.h"
#include "search.h"
#include "wire.h"

/* Whether the NVM subsystem of the MMC has this controller */
static bool nvmevf_knows_controller(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u16 cntlid)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_list_controllers, .first = cntlid };
	const struct nvme_lm_controller_list *list = buf->data;

	return !nvmevf_ask(lm, &op, buf, 0) && list->numid && le16_to_cpu(list->id[0]) == cntlid;
}

/* A VF is another function than this one, whatever this one says */
static bool nvmevf_is_vf_of(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u16 cntlid)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_list_secondary, .first = cntlid };
	const struct nvme_lm_secondary_list *list = buf->data;

	return !nvmevf_ask(lm, &op, buf, 0) && list->nument && list->entry[0].vfn &&
	       le16_to_cpu(list->entry[0].scid) == cntlid;
}

/* Whether it was this PF that answered, and migrates others */
static bool nvmevf_is_mmc(const struct nvmevf_lm *lm, const struct nvme_id_ctrl *id)
{
	const struct pci_dev *pf = nvmevf_mmc_pf(lm->mmc);

	return nvmevf_is_identity(id, pf->vendor, pf->subsystem_vendor,
				  nvmevf_mmc_cntlid(lm->mmc)) && nvmevf_has_hmlms(id);
}

/* @id: the function's data, or NULL: any function would do */
static bool nvmevf_migrates(struct nvmevf_lm *lm, struct nvmevf_buf *buf,
			    const struct nvme_id_ctrl *id)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_identify };
	u16 cntlid;

	if (nvmevf_ask(lm, &op, buf, 0) || !nvmevf_is_mmc(lm, buf->data))
		return false;
	if (!id)
		return true;

	cntlid = le16_to_cpu(id->cntlid);
	nvmevf_hello_fill(&lm->hello, buf->data, NVME_LM_IDENT_PF);
	return nvmevf_hello_is_sibling(&lm->hello, id) && cntlid != nvmevf_mmc_cntlid(lm->mmc) &&
	       nvmevf_knows_controller(lm, buf, cntlid) && !nvmevf_is_vf_of(lm, buf, cntlid);
}

/* If @pf has the MMC, the caller gets the handle */
static struct nvmevf_mmc *nvmevf_try_pf(struct nvmevf_lm *lm, struct pci_dev *pf,
					struct nvmevf_buf *buf, const struct nvme_id_ctrl *id)
{
	struct nvmevf_mmc *mmc;
	bool found;

	if (pf == lm->vf || pf->is_virtfn || pf->vendor != lm->vf->vendor)
		return NULL;

	mmc = nvmevf_mmc_get(lm->vf, pf);
	if (IS_ERR(mmc))
		return NULL;

	lm->mmc = mmc;
	found = nvmevf_migrates(lm, buf, id);
	lm->mmc = NULL;
	if (found)
		return mmc;

	nvmevf_mmc_put(mmc);
	return NULL;
}

/* Returns how many there are, and one of them */
static unsigned int nvmevf_search(struct nvmevf_lm *lm, struct nvmevf_buf *buf,
				  const struct nvme_id_ctrl *id, struct nvmevf_mmc **found)
{
	struct pci_dev *pf = NULL;
	struct nvmevf_mmc *mmc;
	unsigned int nr = 0;

	*found = NULL;
	while ((pf = pci_get_class(PCI_CLASS_STORAGE_EXPRESS, pf))) {
		mmc = nvmevf_try_pf(lm, pf, buf, id);
		if (!mmc)
			continue;
		if (nr++)
			nvmevf_mmc_put(mmc);
		else
			*found = mmc;
	}

	return nr;
}

/* Nobody touches a function as long as there is nothing that could migrate it */
static int nvmevf_search_any(struct nvmevf_lm *lm, struct nvmevf_buf *buf)
{
	struct nvmevf_mmc *mmc;

	lm->why_not = "not a virtual function, and no PF bound to nvme migrates others";
	if (!nvmevf_search(lm, buf, NULL, &mmc))
		return -ENODEV;

	nvmevf_mmc_put(mmc);
	return 0;
}

static int nvmevf_search_one(struct nvmevf_lm *lm, struct nvmevf_buf *buf,
			     const struct nvme_id_ctrl *id)
{
	struct nvmevf_mmc *mmc;

	switch (nvmevf_search(lm, buf, id, &mmc)) {
	case 0:
		lm->why_not = "not a virtual function, and no PF bound to nvme migrates it";
		return -ENODEV;
	case 1:
		lm->mmc = mmc;
		return 0;
	default:
		lm->why_not = "more than one PF claims to migrate this function";
		nvmevf_mmc_put(mmc);
		return -EXDEV;
	}
}

static const char *nvmevf_function_reason(int err)
{
	switch (err) {
	case -EBUSY:
		return "function shares its IOMMU group";
	case -ENOTTY:
		return "function has no function level reset";
	case -ENODEV:
		return "function is no controller, or has failed";
	case -ETIMEDOUT:
		return "function does not answer in time";
	default:
		return "function cannot be identified";
	}
}

static int nvmevf_ask_function(struct nvmevf_lm *lm, struct nvme_id_ctrl *id)
{
	int ret;

	lm->why_not = "function has virtual functions";
	if (pci_num_vf(lm->vf))
		return -EBUSY;

	ret = nvmevf_function_identify(lm->vf, id, nvmevf_limit_ms(NVMEVF_LIMIT_IDENTIFY));
	if (ret) {
		lm->why_not = nvmevf_function_reason(ret);
		return ret;
	}

	lm->why_not = "function migrates others";
	return nvmevf_has_hmlms(id) ? -EOPNOTSUPP : 0;
}

/**
 * nvmevf_find_mmc - find the MMC of a function that is no VF
 * @lm: the function; gets the handle to its MMC, or the reason why it has none
 * @id: its own Identify Controller data
 *
 * The MMC is of the same vendor and NVM subsystem, bound to nvme, and lists the
 * controller id that the function reports. The function is reset, unless no PF could be
 * its MMC.
 *
 * Context: Process, probe of the function; sleeps.
 * Return: 0; -EXDEV if there is more than one; another negative errno.
 */
int nvmevf_find_mmc(struct nvmevf_lm *lm, struct nvme_id_ctrl *id)
{
	struct nvmevf_buf *buf = nvmevf_buf_alloc(NVME_IDENTIFY_DATA_SIZE);
	int ret;

	if (!buf)
		return -ENOMEM;

	ret = nvmevf_search_any(lm, buf);
	if (!ret)
		ret = nvmevf_ask_function(lm, id);
	if (!ret)
		ret = nvmevf_search_one(lm, buf, id);

	nvmevf_buf_put(buf);
	return ret;
}
