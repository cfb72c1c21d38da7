/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_LM_H
#define NVMEVF_LM_H

#include <linux/ktime.h>
#include <linux/nvme.h>
#include <linux/types.h>
#include <linux/uuid.h>

#include "nvme_lm.h"
#include "nvme_lm_stream.h"
#include "nvme_pf.h"
#include "stats.h"
#include "track.h"

struct nvmevf_buf;
struct nvmevf_lm;
struct nvmevf_mmc;
struct nvmevf_req;
struct pci_dev;

/**
 * struct nvmevf_lm_ops - one command set
 * @cmdset: its id in the stream
 * @name: its name in the log
 * @announced: whether the Identify data @id of the PF announce it for the VF
 * @probe: find out which state formats PF and VF support
 * @notify: announce a coming Suspend, or NULL
 * @suspend: stop the VF; returns when it no longer starts any transaction
 * @resume: make the suspended VF run again
 * @state_size: bytes of controller state at present
 * @save_begin: begin a save; @size is what is expected of the state, and set to its size.
 *		Returns a buffer with the state, or with as much of its beginning as fits
 * @read_ahead: begin to fill the buffer with @len bytes of the state from @offset on;
 *		NULL if @save_begin has returned all of it
 * @read_state: complete @read_ahead, or do the same without it
 * @write_ahead: begin to send @len bytes of the buffer, which are not the last, or NULL
 * @write_end: wait for the answer to @write_ahead, if there was one
 * @write_state: send the last @len bytes; the device commits
 * @check_suspended: check that the VF is still suspended, or NULL
 * @is_suspended: ask whether a VF is suspended although it was reset, or NULL;
 *		  returns 1 if it is
 * @undo_save: restore a VF that was changed by a save, or NULL
 * @track_start: start to track the ranges in the buffer, or NULL; with -ENOSPC the
 *		 device returns hints
 * @track_stop: stop tracking
 * @track_read: fill the buffer with a struct nvme_lm_changes
 * @read_queues: fill the buffer with the state of the queues, in its container
 *
 * All functions except @announced and @probe are called with the state mutex held,
 * sleep, and return 0 or a negative errno. If the VF was suspended,
 * nvmevf_judge_locked() decides the meaning of -ENOTCONN (the PF was reset, or the VF is
 * no longer suspended) and -ENXIO (the device knows no such controller). @flags is
 * NVMEVF_EXEC_KILLABLE or 0. @suspend returns -EAGAIN if it was aborted, and the VF runs.
 */
struct nvmevf_lm_ops {
	enum nvme_lm_cmdset cmdset;
	const char *name;
	bool (*announced)(struct pci_dev *vf, const struct nvme_id_ctrl *id);
	int (*probe)(struct nvmevf_lm *lm);
	int (*notify)(struct nvmevf_lm *lm, unsigned int flags);
	int (*suspend)(struct nvmevf_lm *lm, unsigned int flags);
	int (*resume)(struct nvmevf_lm *lm, unsigned int flags);
	int (*state_size)(struct nvmevf_lm *lm, u64 *size, unsigned int flags);
	struct nvmevf_buf *(*save_begin)(struct nvmevf_lm *lm, u64 *size, unsigned int flags);
	int (*read_ahead)(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset, size_t len,
			  unsigned int flags);
	int (*read_state)(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset, size_t len,
			  unsigned int flags);
	int (*write_ahead)(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset, size_t len,
			   unsigned int flags);
	int (*write_end)(struct nvmevf_lm *lm);
	int (*write_state)(struct nvmevf_lm *lm, struct nvmevf_buf *buf, u64 offset, size_t len,
			   unsigned int flags);
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
 * struct nvmevf_ahead - a transfer that is under way while the user does something else
 * @req: the command; NULL once it is answered
 * @buf: its data, referenced; NULL: there is no such transfer
 * @len: bytes
 * @op: its verb and arguments
 * @start: when it was sent
 * @ret: result of nvmevf_mmc_finish() if @req is NULL
 * @dw0: dword 0 of the completion
 */
struct nvmevf_ahead {
	struct nvmevf_req *req;
	struct nvmevf_buf *buf;
	size_t len;
	struct nvme_pf_op op;
	ktime_t start;
	int ret;
	u32 dw0;
};

/**
 * struct nvmevf_lm - migration data of one VF
 * @vf: the VF
 * @mmc: handle to the controller that migrates it
 * @ops: the command set
 * @why_not: probe: why there is no migration if the current step fails
 * @cntlid: controller id of the VF
 * @listed: the PF lists its secondary controllers
 * @online: the secondary controller was online when the PF was last asked; if not
 *	    @listed: the VF's registers could be read when it was opened
 * @suspended: the device confirmed that it suspended the VF; this may be false for a
 *	       disabled VF in a migration state that requires it
 * @loaded: a state was loaded since the VF left RUNNING
 * @sent_resets: reset count of nvmevf_mmc_live() when the last command was sent; -1 if
 *		 nvme does not count resets
 * @csup: this device has reported CSUP before, so its absence means something
 * @csvi: index of the NVMe Controller State version, 0: none
 * @csuuidi: index of the UUID to save with, 0: none
 * @load_csuuidi: index of the UUID in the stream being loaded
 * @nuuid: number of UUIDs that the device lists
 * @uuids: those UUIDs
 * @saved: state returned by the vendor set's SAVE_DATA; kept until it is loaded back, or
 *	   the VF is reset
 * @saved_len: bytes of state in @saved
 * @ahead: transfer under way; before any other command of this VF it is waited for
 * @track: tracking capabilities of the PF
 * @log_queues: number of logs of user data that the PF can keep
 * @log: the character device for them, or NULL
 * @exports: support of the PF for exported NVM subsystems, as the end of a message, or ""
 * @hello: identity and limits for HELLO, complete except for the length of the state
 * @pf_hello: the same for the PF, to compare with a source that sends those of its PF
 * @stats: for debugfs; has its own lock
 *
 * Constant after probe: @vf to @listed, @csvi, @csuuidi, @nuuid, @uuids, @track,
 * @log_queues, @log, @exports, @pf_hello. The state mutex of the device protects the rest.
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
	struct nvmevf_ahead ahead;
	struct nvmevf_track_limits track;
	u16 log_queues;
	struct nvmevf_log_dev *log;
	const char *exports;
	struct nvme_lm_hello hello;
	struct nvme_lm_hello pf_hello;
	struct nvmevf_stats stats;
};

#endif /* NVMEVF_LM_H */
