/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interface between the driver of a VF and nvme, which is bound to the PF: host managed
 * live migration of the VF by commands on the PF's admin queue (TP4159).
 *
 * A command is described by a verb and its arguments. nvme makes it of them; opcode and
 * controller id are never the caller's choice.
 */

#ifndef NVME_PF_H
#define NVME_PF_H

#include <linux/blk_types.h>
#include <linux/nvme.h>
#include <linux/types.h>

#include "nvme_lm.h"

struct nvme_ctrl;
struct nvme_pf_op;
struct pci_dev;
struct request;

/* The modules that may call nvme_pf_*() */
#define NVME_PF_USERS		"nvme-vfio-pci,nvme-vfio-pci-test"

/* No command has this CID: nvme's tags have 12 bits, and never all of these set */
#define NVME_PF_NO_CID		0xffff

/**
 * struct nvme_pf_vf - a VF as its PF knows it
 * @vfn: its number, counted from 1; 0: a function that is no VF, which the PF migrates, too
 * @cntlid: its controller id, from nvme_pf_set_secondary() or nvme_pf_set_identity()
 */
struct nvme_pf_vf {
	u16 vfn;
	u16 cntlid;
};

/**
 * struct nvme_pf_verb - what can be asked of a PF
 * @name: for logs and traces, as the specification has it
 * @opcode: of the command
 * @select: what the opcode is asked for: the low byte of dword 10
 * @guest_paced: the guest of the VF decides how long it takes: there is no time limit
 *		 after which the PF is reset
 * @encode: fill in the rest of the command, or NULL
 */
struct nvme_pf_verb {
	const char *name;
	u8 opcode;
	u8 select;
	bool guest_paced;
	void (*encode)(struct nvme_command *c, const struct nvme_pf_vf *vf,
		       const struct nvme_pf_op *op, size_t len);
};

/**
 * struct nvme_pf_op - a verb and its arguments
 * @verb: one of nvme_pf_verb_*
 * @csvi: version of the controller state, by its index in the list of formats: get, set
 * @csuuidi: UUID of its vendor specific part, likewise; 0: without this part
 * @last: the device commits: set
 * @first: lowest controller id that is wanted: list_secondary, list_controllers
 * @state_len: bytes of controller state, for verbs that count in bytes
 * @offset: in the controller state, in bytes: get, set
 * @queue: DMA address of a Controller Data Queue: cdq_create
 * @queue_len: its bytes: cdq_create
 * @cdqid: its identifier: the other verbs for a queue or a log
 * @head: its head, counted in entries: cdq_set
 */
struct nvme_pf_op {
	const struct nvme_pf_verb *verb;
	u8 csvi;
	u8 csuuidi;
	bool last;
	u16 first;
	u32 state_len;
	u64 offset;
	u64 queue;
	u32 queue_len;
	u16 cdqid;
	u32 head;
};

extern const struct nvme_pf_verb nvme_pf_verb_identify;
extern const struct nvme_pf_verb nvme_pf_verb_list_formats;
extern const struct nvme_pf_verb nvme_pf_verb_list_secondary;
extern const struct nvme_pf_verb nvme_pf_verb_list_controllers;
extern const struct nvme_pf_verb nvme_pf_verb_suspend_notification;
extern const struct nvme_pf_verb nvme_pf_verb_suspend;
extern const struct nvme_pf_verb nvme_pf_verb_resume;
extern const struct nvme_pf_verb nvme_pf_verb_get_state;
extern const struct nvme_pf_verb nvme_pf_verb_set_state;
extern const struct nvme_pf_verb nvme_pf_verb_track_start;
extern const struct nvme_pf_verb nvme_pf_verb_track_stop;
extern const struct nvme_pf_verb nvme_pf_verb_track_read;

/**
 * struct nvme_pf_cmd - a command on its way to a PF
 * @vf: the VF that it is for
 * @op: what it asks for
 * @buf: its data, or NULL
 * @len: bytes of @buf to transfer, a multiple of 4, at most nvme_pf_max_xfer()
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
	const struct nvme_pf_vf *vf;
	struct nvme_pf_op op;
	void *buf;
	size_t len;
	bool (*done)(struct nvme_pf_cmd *cmd);
	u16 status;
	bool cancelled;
	blk_status_t err;
	union nvme_result result;
	struct request *rq;
	atomic_t *limit;
};

struct nvme_ctrl *nvme_pf_get(struct pci_dev *pf);
void nvme_pf_put(struct nvme_ctrl *ctrl);
int nvme_pf_link(struct pci_dev *vf, struct pci_dev *pf);
const char *nvme_pf_why_not(long err);
int nvme_pf_submit(struct nvme_ctrl *ctrl, struct nvme_pf_cmd *cmd);
u16 nvme_pf_cid(const struct nvme_pf_cmd *cmd);
int nvme_pf_abort(struct nvme_ctrl *ctrl, u16 cid, struct nvme_pf_cmd *cmd, bool leave_one);
void nvme_pf_free_request(struct request *rq);
unsigned int nvme_pf_tags(const struct nvme_ctrl *ctrl);
size_t nvme_pf_max_xfer(const struct nvme_ctrl *ctrl);
u16 nvme_pf_cntlid(const struct nvme_ctrl *ctrl);
bool nvme_pf_live(struct nvme_ctrl *ctrl, long *resets);

void nvme_pf_vf_init(struct nvme_pf_vf *vf, struct pci_dev *pdev);
void nvme_pf_encode(struct nvme_command *c, const struct nvme_pf_vf *vf,
		    const struct nvme_pf_op *op, size_t len);
const struct nvme_lm_secondary_entry *
nvme_pf_find_secondary(const struct nvme_pf_vf *vf, u16 pcid,
		       const struct nvme_lm_secondary_list *list);
void nvme_pf_set_secondary(struct nvme_pf_vf *vf, const struct nvme_lm_secondary_entry *entry);
void nvme_pf_set_identity(struct nvme_pf_vf *vf, const struct nvme_id_ctrl *id);

#endif /* NVME_PF_H */
