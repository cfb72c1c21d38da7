// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands that suspend, save, load and resume a VF: the vendor specific set that was
 * proposed in 2022.
 */

#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/pci_ids.h>

#include "buf.h"
#include "exec.h"
#include "lm.h"
#include "mmc.h"
#include "nvme_pf.h"
#include "nvme_pf_vs.h"
#include "stats.h"
#include "vendor.h"

static int nvmevf_vs_cmd(struct nvmevf_lm *lm, const struct nvme_pf_op *op, struct nvmevf_buf *buf,
			 size_t len, u32 *dw0, enum nvmevf_limit limit, unsigned int flags)
{
	/* a cut-off command is the only sign that a reset of the PF made the VF run */
	if (lm->suspended)
		flags &= ~NVMEVF_EXEC_AGAIN;
	return nvmevf_cmd(lm, op, buf, len, dw0, limit, flags);
}

static int nvmevf_vs_suspend(struct nvmevf_lm *lm, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_vs_suspend };

	return nvmevf_vs_cmd(lm, &op, NULL, 0, NULL, NVMEVF_LIMIT_SUSPEND,
			     flags | NVMEVF_EXEC_SUSPEND | NVMEVF_EXEC_AGAIN);
}

/* This set has no status for a VF that is not suspended */
static int nvmevf_vs_resume(struct nvmevf_lm *lm, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_vs_resume };
	int ret;

	ret = nvmevf_vs_cmd(lm, &op, NULL, 0, NULL, NVMEVF_LIMIT_DATA,
			    flags | NVMEVF_EXEC_AGAIN | NVMEVF_EXEC_RESUME);
	return ret == -EPROTO ? -EREMOTEIO : ret;
}

static int nvmevf_vs_state_size(struct nvmevf_lm *lm, u64 *size, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_vs_query_data_size };
	u32 dw0;
	int ret;

	if (lm->saved) {
		*size = lm->saved_len;
		return 0;
	}

	ret = nvmevf_vs_cmd(lm, &op, NULL, 0, &dw0, NVMEVF_LIMIT_DATA,
			    flags | NVMEVF_EXEC_AGAIN);
	if (ret)
		return ret;
	if (!dw0) {
		nvmevf_err(&lm->stats, "QUERY_DATA_SIZE: device reports a state of 0 bytes");
		return -EIO;
	}

	*size = dw0;
	return 0;
}

/*
 * SAVE_DATA returns the whole state at once and may disable the VF. The returned data
 * is then the only copy: it is kept, and serves a second save, too. The command may
 * have to drain the VF like a Suspend, and would disable a VF that was reset meanwhile.
 */
static struct nvmevf_buf *nvmevf_vs_save_begin(struct nvmevf_lm *lm, u64 *size, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_vs_save_data };
	struct nvmevf_buf *buf;
	int ret;

	ret = nvmevf_vs_state_size(lm, size, flags);
	if (ret)
		return ERR_PTR(ret);

	if (!lm->saved) {
		if (*size > nvmevf_mmc_max_xfer(lm->mmc)) {
			nvmevf_err(&lm->stats, "state of %llu bytes exceeds one transfer of %zu bytes",
				   *size, nvmevf_mmc_max_xfer(lm->mmc));
			return ERR_PTR(-EFBIG);
		}
		/* the command has no length: a device that sends more must not hit other memory */
		buf = nvmevf_buf_alloc(PAGE_ALIGN(*size));
		if (!buf)
			return ERR_PTR(-ENOMEM);
		ret = nvmevf_vs_cmd(lm, &op, buf, ALIGN(*size, sizeof(__le32)), NULL,
				    NVMEVF_LIMIT_SUSPEND, flags | NVMEVF_EXEC_LOAD);
		if (ret) {
			nvmevf_buf_put(buf);
			return ERR_PTR(ret);
		}
		lm->saved = buf;
		lm->saved_len = *size;
	}

	kref_get(&lm->saved->ref);
	return lm->saved;
}

static int nvmevf_vs_write_state(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset,
				 size_t len, unsigned int flags)
{
	const struct nvme_pf_op op = {
		.verb = &nvme_pf_verb_vs_load_data,
		.state_len = len,
	};

	if (offset)
		return -EFBIG;

	return nvmevf_vs_cmd(lm, &op, buf, ALIGN(len, sizeof(__le32)), NULL,
			     NVMEVF_LIMIT_DATA, flags | NVMEVF_EXEC_LOAD);
}

static int nvmevf_vs_undo_save(struct nvmevf_lm *lm, unsigned int flags)
{
	if (!lm->saved)
		return 0;

	return nvmevf_vs_write_state(lm, lm->saved, 0, lm->saved_len, flags);
}

/* VFs for which byte 3072 of their PF is known to announce this set */
static const struct pci_device_id nvmevf_vs_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x1457) },
	{ }
};

static bool nvmevf_vs_announced(struct pci_dev *vf, const struct nvme_id_ctrl *id)
{
	return id->vs[0] == NVME_LM_VS_SUPPORTED && pci_match_id(nvmevf_vs_ids, vf);
}

static int nvmevf_vs_probe(struct nvmevf_lm *lm)
{
	nvmevf_mmc_set_undo(lm->mmc, &nvme_pf_verb_vs_resume);
	lm->hello.state_ver = cpu_to_le16(NVME_LM_STATE_VERSION_NONE);
	return 0;
}

const struct nvmevf_lm_ops nvmevf_vs_ops = {
	.cmdset		= NVME_LM_CMDSET_VENDOR,
	.name		= "vendor set of 2022",
	.announced	= nvmevf_vs_announced,
	.probe		= nvmevf_vs_probe,
	.suspend	= nvmevf_vs_suspend,
	.resume		= nvmevf_vs_resume,
	.state_size	= nvmevf_vs_state_size,
	.save_begin	= nvmevf_vs_save_begin,
	.write_state	= nvmevf_vs_write_state,
	.undo_save	= nvmevf_vs_undo_save,
};
