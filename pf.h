/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_PF_H
#define NVMEVF_PF_H

#include <linux/bits.h>
#include <linux/ktime.h>
#include <linux/types.h>

#include "buf.h"

struct nvme_command;
struct nvmevf_pf;
struct pci_dev;
struct workqueue_struct;
union nvme_result;

/**
 * enum nvmevf_exec_flags - how a command is waited for and what it may cost
 * @NVMEVF_EXEC_KILLABLE: a fatal signal ends the wait
 * @NVMEVF_EXEC_SUSPEND: the guest decides how long it takes: at most half of
 *			 the slots, no timeout of the block layer
 * @NVMEVF_EXEC_LOAD: would harm a VF that was reset in the meantime
 * @NVMEVF_EXEC_BRIEF: nobody can end the wait: it lasts a second at most
 * @NVMEVF_EXEC_AGAIN: does no harm if it is sent twice, so it is if the PF was
 *		       reset meanwhile
 */
enum nvmevf_exec_flags {
	NVMEVF_EXEC_KILLABLE	= BIT(0),
	NVMEVF_EXEC_SUSPEND	= BIT(1),
	NVMEVF_EXEC_LOAD	= BIT(2),
	NVMEVF_EXEC_BRIEF	= BIT(3),
	NVMEVF_EXEC_AGAIN	= BIT(4),
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
 * typedef nvmevf_late_fn - told of a given-up command that succeeded after all
 * @priv: what nvmevf_pf_set_late() was given
 * @flags: the flags the command was sent with
 * @reset_since: the VF was reset before the answer came
 *
 * Context: Process; may sleep and may send commands.
 */
typedef void (*nvmevf_late_fn)(void *priv, unsigned int flags, bool reset_since);

#if IS_ENABLED(CONFIG_KUNIT)
extern struct workqueue_struct *nvmevf_wq;
#endif

int nvmevf_pf_init(void);
void nvmevf_pf_exit(void);
struct nvmevf_pf *nvmevf_pf_get(struct pci_dev *vf);
int nvmevf_pf_link(struct nvmevf_pf *pf);
void nvmevf_pf_set_late(struct nvmevf_pf *pf, nvmevf_late_fn late, void *priv);
void nvmevf_pf_set_undo(struct nvmevf_pf *pf, const struct nvme_command *undo);
void nvmevf_pf_put(struct nvmevf_pf *pf);
int nvmevf_pf_exec(struct nvmevf_pf *pf, struct nvme_command *cmd,
		   struct nvmevf_buf *buf, size_t len, union nvme_result *result,
		   unsigned int timeout_ms, unsigned int flags);
size_t nvmevf_pf_max_xfer(const struct nvmevf_pf *pf);
u16 nvmevf_pf_cntlid(const struct nvmevf_pf *pf);
bool nvmevf_pf_live(const struct nvmevf_pf *pf, long *resets);
bool nvmevf_pf_orphan(const struct nvmevf_pf *pf, struct nvmevf_orphan *orphan);
void nvmevf_pf_abort_begin(struct nvmevf_pf *pf);
void nvmevf_pf_reset_begin(struct nvmevf_pf *pf);
void nvmevf_pf_abort_end(struct nvmevf_pf *pf, bool was_reset);

#endif /* NVMEVF_PF_H */
