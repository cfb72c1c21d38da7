// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether and how a VF, or another function, can be migrated: what has to be asked of its
 * PF, and of the function itself, before it is used.
 */

#include <linux/cleanup.h>
#include <linux/minmax.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "buf.h"
#include "cmdsets.h"
#include "exec.h"
#include "ident.h"
#include "lm.h"
#include "log.h"
#include "log_ring.h"
#include "match.h"
#include "mmc.h"
#include "nvme_pf.h"
#include "probe.h"
#include "search.h"
#include "stats.h"
#include "track.h"
#include "wire.h"

static const struct nvmevf_lm_ops *nvmevf_choose_ops(struct pci_dev *vf,
						     const struct nvme_id_ctrl *id)
{
	const struct nvmevf_lm_ops *const *ops = nvmevf_cmdsets;

	while (*ops && !(*ops)->announced(vf, id))
		ops++;
	return *ops;
}

/* If it was not this PF that answered, the queue is not its admin queue */
static bool nvmevf_is_pf(const struct nvmevf_lm *lm, const struct nvme_id_ctrl *id)
{
	const struct pci_dev *pf = nvmevf_mmc_pf(lm->mmc);

	return nvmevf_is_identity(id, pf->vendor, pf->subsystem_vendor, nvmevf_mmc_cntlid(lm->mmc));
}

/* Base Specification 2.4: not used, but logged to tell such devices from others */
static const char *nvmevf_exports(const struct nvme_id_ctrl *id)
{
	u8 ensa = ((const u8 *)id)[NVME_LM_ID_ENSA];

	if (!(le16_to_cpu(id->oacs) & NVME_CTRL_OACS_EXPORTS))
		return "";

	switch (ensa & (NVME_LM_ENSA_ENSTS | NVME_LM_ENSA_ENSMS)) {
	case NVME_LM_ENSA_ENSTS | NVME_LM_ENSA_ENSMS:
		return "; exported subsystems with templates and migration";
	case NVME_LM_ENSA_ENSTS:
		return "; exported subsystems with templates";
	case NVME_LM_ENSA_ENSMS:
		return "; exported subsystems with migration";
	default:
		return "; exported subsystems";
	}
}

static int nvmevf_probe_identify(struct nvmevf_lm *lm)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_identify };
	struct nvmevf_buf *buf = nvmevf_buf_alloc(NVME_IDENTIFY_DATA_SIZE);
	const struct nvme_id_ctrl *id;
	int ret;

	if (!buf)
		return -ENOMEM;
	id = buf->data;

	lm->why_not = "cannot identify the PF";
	ret = nvmevf_ask(lm, &op, buf, 0);
	if (ret)
		goto out;

	ret = -ENXIO;
	lm->why_not = "Identify data does not match the PF";
	if (!nvmevf_is_pf(lm, id))
		goto out;

	ret = -EOPNOTSUPP;
	lm->why_not = "PF does not support host managed live migration";
	lm->ops = nvmevf_choose_ops(lm->vf, id);
	if (!lm->ops)
		goto out;

	if (lm->ops->track_start)
		nvmevf_track_parse_limits(&lm->track, id);
	if (lm->ops->cmdset == NVME_LM_CMDSET_TP4159)
		lm->log_queues = nvmevf_log_queues(id);
	nvmevf_hello_fill(&lm->hello, id, NVME_LM_IDENT_PF);
	lm->hello.cmdset = lm->ops->cmdset;
	lm->pf_hello = lm->hello;
	lm->exports = nvmevf_exports(id);
	ret = 0;
out:
	nvmevf_buf_put(buf);
	return ret;
}

/* Find the VF in the Secondary Controller List (CNS 15h), page by page */
static int nvmevf_read_entry(struct nvmevf_lm *lm, struct nvme_lm_secondary_entry *entry,
			     unsigned int flags)
{
	struct nvmevf_buf *buf = nvmevf_buf_alloc(NVME_IDENTIFY_DATA_SIZE);
	struct nvme_pf_op op = { .verb = &nvme_pf_verb_list_secondary };
	const struct nvme_lm_secondary_entry *found;
	const struct nvme_lm_secondary_list *list;
	int ret, next;

	if (!buf)
		return -ENOMEM;
	list = buf->data;

	do {
		ret = nvmevf_ask(lm, &op, buf, flags);
		if (ret)
			break;
		lm->listed |= list->nument;
		found = nvmevf_mmc_find_secondary(lm->mmc, list);
		if (found) {
			*entry = *found;
			break;
		}
		next = nvmevf_next_secondary(list, op.first);
		ret = min(next, 0);
		op.first = next;
	} while (!ret);

	nvmevf_buf_put(buf);
	return ret;
}

static void nvmevf_store_entry(struct nvmevf_lm *lm, const struct nvme_lm_secondary_entry *entry)
{
	lm->online = entry->scs & NVME_LM_SCS_ONLINE;
	lm->hello.nvq = entry->nvq;
	lm->hello.nvi = entry->nvi;
}

/**
 * nvmevf_lm_refresh - ask again whether the VF is online, and for its resources
 * @lm: the VF
 * @flags: NVMEVF_EXEC_KILLABLE or 0
 *
 * Identify CNS 15h, Fig 331. If the PF has no such list, the VF counts as online if its
 * registers could be read when it was opened.
 *
 * Context: Process, state mutex held; sleeps.
 * Return: 0; -ENXIO if the list does not contain the VF with the controller id
 * that it had at probe; or the result of nvmevf_mmc_exec(), as an errno.
 */
int nvmevf_lm_refresh(struct nvmevf_lm *lm, unsigned int flags)
{
	struct nvme_lm_secondary_entry entry;
	int ret;

	if (!lm->listed) {
		lm->online = lm->hello.cap;
		return 0;
	}

	ret = nvmevf_read_entry(lm, &entry, flags);
	if (ret)
		return ret;
	if (le16_to_cpu(entry.scid) != lm->cntlid)
		return -ENXIO;

	nvmevf_store_entry(lm, &entry);
	return 0;
}

static int nvmevf_probe_list(struct nvmevf_lm *lm)
{
	struct nvme_lm_secondary_entry entry;
	int ret;

	lm->why_not = "PF does not list this VF as a secondary controller";
	ret = nvmevf_read_entry(lm, &entry, 0);
	if (ret)
		return ret;

	lm->cntlid = le16_to_cpu(entry.scid);
	nvmevf_mmc_set_secondary(lm->mmc, &entry);
	nvmevf_store_entry(lm, &entry);
	return 0;
}

static const char *nvmevf_function_reason(int err)
{
	switch (err) {
	case -EBUSY:
		return "PF lists no secondary controllers, and this VF shares its IOMMU group";
	case -ENODEV:
		return "PF lists no secondary controllers, and this VF is offline or failed";
	case -ETIMEDOUT:
		return "PF lists no secondary controllers, and this VF does not answer in time";
	default:
		return "PF lists no secondary controllers, and this VF cannot be identified";
	}
}

/* The controller id that the VF reports is valid only within the subsystem of its PF */
static int nvmevf_take_target(struct nvmevf_lm *lm, const struct nvme_id_ctrl *id)
{
	lm->why_not = "Identify data of this VF is that of another NVM subsystem";
	if (!nvmevf_hello_is_sibling(&lm->hello, id))
		return -ENXIO;

	lm->why_not = "Identify data of this VF is that of a PF";
	if (le16_to_cpu(id->cntlid) == nvmevf_mmc_cntlid(lm->mmc) || nvmevf_has_hmlms(id))
		return -ENXIO;

	lm->cntlid = le16_to_cpu(id->cntlid);
	nvmevf_mmc_set_identity(lm->mmc, id);
	lm->online = true;
	return 0;
}

static int nvmevf_take_function(struct nvmevf_lm *lm, const struct nvme_id_ctrl *id)
{
	int ret;

	lm->why_not = "this VF looks like a controller of an exported NVM subsystem";
	if (nvmevf_hello_is_exported(&lm->hello, id))
		return -EOPNOTSUPP;

	if (!lm->listed) {
		ret = nvmevf_take_target(lm, id);
		if (ret)
			return ret;
	}

	if (le16_to_cpu(id->cntlid) == lm->cntlid)
		nvmevf_hello_fill(&lm->hello, id, NVME_LM_IDENT_VF);
	return 0;
}

/*
 * A VF that is offline cannot be asked. If the PF lists the VF, that does not matter:
 * HELLO then contains the PF's data instead.
 */
static int nvmevf_probe_function(struct nvmevf_lm *lm)
{
	struct nvme_id_ctrl *id __free(kfree) = NULL;
	int ret;

	if (lm->listed && !lm->online)
		return 0;

	id = kzalloc_obj(*id);
	if (!id)
		return -ENOMEM;

	ret = nvmevf_function_identify(lm->vf, id, nvmevf_limit_ms(NVMEVF_LIMIT_IDENTIFY));
	if (!ret)
		return nvmevf_take_function(lm, id);
	if (!lm->listed) {
		lm->why_not = nvmevf_function_reason(ret);
		return ret;
	}

	pci_dbg(lm->vf, "cannot be identified: %pe\n", ERR_PTR(ret));
	return 0;
}

/*
 * The list belongs to Virtualization Management, which is optional: a PF without it
 * does not know this CNS, or returns an empty list.
 */
static bool nvmevf_has_no_list(const struct nvmevf_lm *lm, int err)
{
	return !lm->listed && (err == -EINVAL || err == -EOPNOTSUPP || err == -ENXIO);
}

/* Find the controller that commands are for, and its identity */
static int nvmevf_probe_target(struct nvmevf_lm *lm)
{
	int ret;

	ret = nvmevf_probe_list(lm);
	if (ret && !nvmevf_has_no_list(lm, ret))
		return ret;

	return nvmevf_probe_function(lm);
}

static const char nvmevf_no_memory[] = "out of memory";

/* Nothing was asked if a command of an earlier owner of the VF is still unanswered */
static const char *nvmevf_probe_reason(const struct nvmevf_lm *lm, int err)
{
	struct nvmevf_orphan orphan;

	if (err == -ENOMEM)
		return nvmevf_no_memory;
	if (err == -EBUSY && lm->mmc && nvmevf_mmc_orphan(lm->mmc, &orphan))
		return "device has not answered an earlier command of this VF";
	return lm->why_not;
}

static int nvmevf_probe_vf(struct nvmevf_lm *lm)
{
	struct nvmevf_mmc *mmc = nvmevf_mmc_get(lm->vf, pci_physfn(lm->vf));
	int ret;

	if (IS_ERR(mmc)) {
		lm->why_not = nvmevf_mmc_why_not(PTR_ERR(mmc));
		return PTR_ERR(mmc);
	}

	lm->mmc = mmc;
	ret = nvmevf_probe_identify(lm);
	if (!ret)
		ret = nvmevf_probe_target(lm);
	return ret;
}

/* A function that is no VF says itself which controller it is */
static int nvmevf_probe_other(struct nvmevf_lm *lm)
{
	struct nvme_id_ctrl *id __free(kfree) = kzalloc_obj(*id);
	int ret;

	if (!id)
		return -ENOMEM;

	ret = nvmevf_find_mmc(lm, id);
	if (!ret)
		ret = nvmevf_probe_identify(lm);
	if (ret)
		return ret;

	lm->cntlid = le16_to_cpu(id->cntlid);
	nvmevf_mmc_set_identity(lm->mmc, id);
	lm->online = true;
	nvmevf_hello_fill(&lm->hello, id, NVME_LM_IDENT_VF);
	return 0;
}

/**
 * nvmevf_lm_probe - find out whether and how a VF can be migrated
 * @vf: the virtual function, or another NVMe function
 * @why_not: set to the reason if it cannot
 *
 * Context: Process, probe of @vf; sleeps.
 * Return: the VF's migration data, for nvmevf_lm_free(), or an ERR_PTR.
 */
struct nvmevf_lm *nvmevf_lm_probe(struct pci_dev *vf, const char **why_not)
{
	struct nvmevf_lm *lm;
	int ret;

	*why_not = nvmevf_no_memory;
	lm = kzalloc_obj(*lm);
	if (!lm)
		return ERR_PTR(-ENOMEM);

	nvmevf_stats_init(&lm->stats, vf);
	lm->vf = vf;
	ret = vf->is_virtfn ? nvmevf_probe_vf(lm) : nvmevf_probe_other(lm);
	if (!ret)
		ret = lm->ops->probe(lm);
	if (ret) {
		*why_not = nvmevf_probe_reason(lm, ret);
		nvmevf_lm_free(lm);
		return ERR_PTR(ret);
	}

	return lm;
}

/**
 * nvmevf_lm_free - undo nvmevf_lm_probe()
 * @lm: the migration data or NULL
 *
 * Context: Process; sleeps.
 */
void nvmevf_lm_free(struct nvmevf_lm *lm)
{
	if (!lm)
		return;

	nvmevf_log_remove(lm);
	if (lm->mmc)
		nvmevf_mmc_put(lm->mmc);
	nvmevf_buf_put(lm->saved);
	kfree(lm->uuids);
	kfree(lm);
}
