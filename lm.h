/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_LM_H
#define NVMEVF_LM_H

#include <linux/types.h>
#include <linux/uuid.h>

#include "nvme_lm.h"
#include "nvme_lm_stream.h"
#include "stats.h"
#include "track.h"

struct nvmevf_buf;
struct nvmevf_lm;
struct nvmevf_mmc;
struct pci_dev;

/**
 * struct nvmevf_lm_ops - one command set
 * @cmdset: its name in the stream
 * @name: its name in the log
 * @probe: find out whether PF and VF support it, and the formats of state
 * @notify: tell the VF that it is going to be suspended, or NULL
 * @suspend: stop the VF; returns when it starts no transaction any more
 * @resume: let the suspended VF go on
 * @state_size: bytes of controller state as of now
 * @save_begin: begin a save: bytes of the state, and the buffer to read it by
 * @read_state: fill the buffer with @len bytes of the state from @offset on
 * @write_state: send @len bytes of the buffer; with @last the device commits
 * @check_suspended: see that the VF still is suspended, or NULL
 * @is_suspended: ask whether a VF that was reset is suspended, or NULL; returns 1
 *		  if it is
 * @undo_save: make a VF that was saved what it was before, or NULL
 * @track_start: begin to track what is in the buffer, or NULL; with -ENOSPC the
 *		 hints of the device come back
 * @track_stop: end it
 * @track_read: fill the buffer with a struct nvme_lm_changes
 * @read_queues: fill the buffer with the state of the queues, in its container
 *
 * All but @probe: the state mutex is held; they sleep and return 0 or a
 * negative errno. What -ENOTCONN (the PF was reset, or the VF is not suspended any
 * more) and -ENXIO (the device knows no such controller) mean for a VF that was
 * suspended is for nvmevf_judge_locked() to say. @flags is NVMEVF_EXEC_KILLABLE or 0.
 */
struct nvmevf_lm_ops {
	enum nvme_lm_cmdset cmdset;
	const char *name;
	int (*probe)(struct nvmevf_lm *lm);
	int (*notify)(struct nvmevf_lm *lm, unsigned int flags);
	int (*suspend)(struct nvmevf_lm *lm, unsigned int flags);
	int (*resume)(struct nvmevf_lm *lm, unsigned int flags);
	int (*state_size)(struct nvmevf_lm *lm, u64 *size, unsigned int flags);
	struct nvmevf_buf *(*save_begin)(struct nvmevf_lm *lm, u64 *size, unsigned int flags);
	int (*read_state)(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset, size_t len,
			  unsigned int flags);
	int (*write_state)(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset, size_t len,
			   bool last, unsigned int flags);
	int (*check_suspended)(struct nvmevf_lm *lm, unsigned int flags);
	int (*is_suspended)(struct nvmevf_lm *lm, unsigned int flags);
	int (*undo_save)(struct nvmevf_lm *lm, unsigned int flags);
	int (*track_start)(struct nvmevf_lm *lm, struct nvmevf_buf *buf, size_t len,
			   struct nvmevf_track_hints *hints, unsigned int flags);
	int (*track_stop)(struct nvmevf_lm *lm, unsigned int flags);
	int (*track_read)(struct nvmevf_lm *lm, struct nvmevf_buf *buf, unsigned int flags);
	int (*read_queues)(struct nvmevf_lm *lm, struct nvmevf_buf *buf, unsigned int flags);
};

/**
 * struct nvmevf_lm - how one VF is migrated
 * @vf: the VF
 * @mmc: the way to the controller that migrates it
 * @ops: the command set
 * @why_not: probe: why there is no migration if the step under way fails
 * @cntlid: controller id of the VF
 * @listed: the PF lists its secondary controllers
 * @online: the secondary controller was online when last asked; not @listed: its
 *	    registers could be read when it was opened
 * @suspended: the device confirmed that it suspended the VF; a VF that is disabled
 *	       may be in a state that asks for that without it
 * @loaded: a state was loaded since the VF left RUNNING
 * @sent_resets: nvmevf_mmc_live()'s number when the last command was sent
 * @csup: this device reports CSUP, so its absence means something
 * @csvi: index of the NVMe Controller State version, 0: none
 * @csuuidi: index of the UUID to save with, 0: none
 * @load_csuuidi: index of the UUID that the stream being loaded names
 * @nuuid: number of UUIDs that the device lists
 * @uuids: those UUIDs
 * @saved: what the vendor set's SAVE returned; kept until it is loaded back, or reset
 * @saved_len: bytes of state in @saved
 * @track: what the PF can track
 * @exports: what the PF has of exported NVM subsystems, to end a line; "" is nothing
 * @hello: identity and limits for HELLO, complete but for the state's length
 * @pf_hello: the same as of the PF, for the source that sends that
 * @stats: for debugfs; has its own lock
 *
 * Constant after probe: @vf to @listed, @csvi, @csuuidi, @nuuid, @uuids, @track,
 * @exports, @pf_hello. The state mutex of the device protects the rest.
 */
struct nvmevf_lm {
	struct pci_dev *vf;
	struct nvmevf_mmc *mmc;
	const struct nvmevf_lm_ops *ops;
	const char *why_not;
	u16 cntlid;
	bool listed;
	bool online;
	bool suspended;
	bool loaded;
	long sent_resets;
	bool csup;
	u8 csvi;
	u8 csuuidi;
	u8 load_csuuidi;
	u8 nuuid;
	uuid_t *uuids;
	struct nvmevf_buf *saved;
	u32 saved_len;
	struct nvmevf_track_limits track;
	const char *exports;
	struct nvme_lm_hello hello;
	struct nvme_lm_hello pf_hello;
	struct nvmevf_stats stats;
};

#endif /* NVMEVF_LM_H */
