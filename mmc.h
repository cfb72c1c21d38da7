/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_MMC_H
#define NVMEVF_MMC_H

#include <linux/bits.h>
#include <linux/ktime.h>
#include <linux/types.h>

#include "buf.h"

struct nvme_id_ctrl;
struct nvme_lm_secondary_entry;
struct nvme_lm_secondary_list;
struct nvme_pf_op;
struct nvme_pf_verb;
struct nvmevf_mmc;
struct nvmevf_req;
struct pci_dev;
struct seq_file;
struct workqueue_struct;
union nvme_result;

/**
 * enum nvmevf_exec_flags - how to wait for a command, and what it may cause
 * @NVMEVF_EXEC_KILLABLE: a fatal signal ends the wait
 * @NVMEVF_EXEC_SUSPEND: a Suspend, which can be undone by the command of
 *			 nvmevf_mmc_set_undo()
 * @NVMEVF_EXEC_LOAD: would harm a VF that was reset in the meantime
 * @NVMEVF_EXEC_BRIEF: nobody can end the wait, so it lasts at most a second
 * @NVMEVF_EXEC_AGAIN: can safely be sent twice, and is sent again if the PF was
 *		       reset meanwhile
 * @NVMEVF_EXEC_RESUME: it goes before all others
 */
enum nvmevf_exec_flags {
	NVMEVF_EXEC_KILLABLE	= BIT(0),
	NVMEVF_EXEC_SUSPEND	= BIT(1),
	NVMEVF_EXEC_LOAD	= BIT(2),
	NVMEVF_EXEC_BRIEF	= BIT(3),
	NVMEVF_EXEC_AGAIN	= BIT(4),
	NVMEVF_EXEC_RESUME	= BIT(5),
};

/**
 * struct nvmevf_orphan - a command that was given up and is not answered yet
 * @opcode: its opcode
 * @sent: when it was sent
 */
struct nvmevf_orphan {
	u8 opcode;
	ktime_t sent;
};

/**
 * typedef nvmevf_late_fn - called when a command that was given up succeeds after all
 * @priv: the argument of nvmevf_mmc_set_late()
 * @flags: the flags that the command was sent with
 * @reset_since: the VF was reset before the answer came
 * @dw0: dword 0 of the completion
 *
 * Context: Process; may sleep and may send commands.
 */
typedef void (*nvmevf_late_fn)(void *priv, unsigned int flags, bool reset_since, u32 dw0);

#if IS_ENABLED(CONFIG_KUNIT)
extern struct workqueue_struct *nvmevf_wq;
#endif

int nvmevf_mmc_init(void);
void nvmevf_mmc_exit(void);
struct nvmevf_mmc *nvmevf_mmc_get(struct pci_dev *vf, struct pci_dev *pf);
struct nvmevf_mmc *nvmevf_mmc_get_log(const struct nvmevf_mmc *mmc, u16 cntlid);
struct pci_dev *nvmevf_mmc_pf(const struct nvmevf_mmc *mmc);
const char *nvmevf_mmc_why_not(long err);
int nvmevf_mmc_link(struct nvmevf_mmc *mmc);
void nvmevf_mmc_set_late(struct nvmevf_mmc *mmc, nvmevf_late_fn late, void *priv);
const struct nvme_lm_secondary_entry *
nvmevf_mmc_find_secondary(const struct nvmevf_mmc *mmc, const struct nvme_lm_secondary_list *list);
void nvmevf_mmc_set_secondary(struct nvmevf_mmc *mmc, const struct nvme_lm_secondary_entry *entry);
void nvmevf_mmc_set_identity(struct nvmevf_mmc *mmc, const struct nvme_id_ctrl *id);
void nvmevf_mmc_set_undo(struct nvmevf_mmc *mmc, const struct nvme_pf_verb *verb);
void nvmevf_mmc_put(struct nvmevf_mmc *mmc);
struct nvmevf_req *nvmevf_mmc_send(struct nvmevf_mmc *mmc, const struct nvme_pf_op *op,
				   struct nvmevf_buf *buf, size_t len, unsigned int wait_ms,
				   unsigned int timeout_ms, unsigned int flags);
void nvmevf_mmc_hurry(struct nvmevf_req *req);
int nvmevf_mmc_finish(struct nvmevf_req *req, union nvme_result *result);
int nvmevf_mmc_exec(struct nvmevf_mmc *mmc, const struct nvme_pf_op *op,
		    struct nvmevf_buf *buf, size_t len, union nvme_result *result,
		    unsigned int timeout_ms, unsigned int flags);
size_t nvmevf_mmc_max_xfer(const struct nvmevf_mmc *mmc);
u16 nvmevf_mmc_cntlid(const struct nvmevf_mmc *mmc);
bool nvmevf_mmc_live(const struct nvmevf_mmc *mmc, long *resets);
void nvmevf_mmc_show(const struct nvmevf_mmc *mmc, struct seq_file *seq);
bool nvmevf_mmc_orphan(const struct nvmevf_mmc *mmc, struct nvmevf_orphan *orphan);
bool nvmevf_mmc_suspends_late(const struct nvmevf_mmc *mmc);
void nvmevf_mmc_abort_begin(struct nvmevf_mmc *mmc);
void nvmevf_mmc_reset_begin(struct nvmevf_mmc *mmc);
void nvmevf_mmc_abort_end(struct nvmevf_mmc *mmc, bool was_reset);

#endif /* NVMEVF_MMC_H */
