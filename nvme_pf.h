/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interface between the driver of a VF and nvme, which is bound to the PF.
 */

#ifndef NVME_PF_H
#define NVME_PF_H

#include <linux/blk_types.h>
#include <linux/nvme.h>
#include <linux/types.h>

struct nvme_ctrl;
struct pci_dev;
struct request;

/* No command has this CID: nvme's tags have 12 bits, and never all of these set */
#define NVME_PF_NO_CID		0xffff

/**
 * struct nvme_pf_cmd - an admin command for a PF
 * @cmd: the command; opcode and dwords as they are sent, no data pointer
 * @buf: its data, or NULL
 * @len: bytes of @buf to transfer, a multiple of 4, at most nvme_pf_max_xfer()
 * @timeout: jiffies after which the PF is reset
 * @done: called when the command has ended; atomic, in an RCU read-side section, with
 *	  the following members set. It may free the structure. If it returns true, no
 *	  other command gets the CID of this one before nvme_pf_free_request().
 * @status: the NVMe status from the completion, or made up by the host
 * @cancelled: nvme ended the command, not the device
 * @err: the status of the block layer
 * @result: dwords 0 and 1 of the completion
 * @rq: the request, until done() is called
 * @limit: an Abort: what to increment when it has ended, or NULL
 */
struct nvme_pf_cmd {
	struct nvme_command cmd;
	void *buf;
	size_t len;
	unsigned int timeout;
	bool (*done)(struct nvme_pf_cmd *cmd);
	u16 status;
	bool cancelled;
	blk_status_t err;
	union nvme_result result;
	struct request *rq;
	atomic_t *limit;
};

struct nvme_ctrl *nvme_pf_get(struct pci_dev *vf);
void nvme_pf_put(struct nvme_ctrl *ctrl);
int nvme_pf_link(struct pci_dev *vf);
int nvme_pf_submit(struct nvme_ctrl *ctrl, struct nvme_pf_cmd *cmd);
u16 nvme_pf_cid(const struct nvme_pf_cmd *cmd);
int nvme_pf_abort(struct nvme_ctrl *ctrl, u16 cid, struct nvme_pf_cmd *cmd, bool leave_one);
void nvme_pf_free_request(struct request *rq);
unsigned int nvme_pf_tags(const struct nvme_ctrl *ctrl);
size_t nvme_pf_max_xfer(const struct nvme_ctrl *ctrl);
u16 nvme_pf_cntlid(const struct nvme_ctrl *ctrl);
bool nvme_pf_live(struct nvme_ctrl *ctrl, long *resets);

#endif /* NVME_PF_H */
