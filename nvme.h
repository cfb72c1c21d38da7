/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the VFIO variant driver for NVMe share.
 */

#ifndef NVMEVF_NVME_H
#define NVMEVF_NVME_H

#include <linux/bits.h>
#include <linux/blk_types.h>
#include <linux/err.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/uuid.h>
#include <linux/vfio_pci_core.h>
#include <linux/xarray.h>

#include "buf.h"
#include "nvme_lm.h"
#include "refusal.h"
#include "stats.h"

struct nvme_command;
struct nvme_id_ctrl;
union nvme_result;

struct nvmevf_device;
struct nvmevf_lm;
struct nvmevf_pf;
struct nvmevf_session;

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

/**
 * struct nvmevf_range - a piece of the VF's address space
 * @first: its first byte
 * @last: its last byte
 */
struct nvmevf_range {
	u64 first;
	u64 last;
};

/**
 * struct nvmevf_track_hints - what a device could track instead
 * @mrtg: finest granularity for these ranges, 2^n times 4 KiB
 * @ranges: how many ranges of this granularity
 */
struct nvmevf_track_hints {
	u16 mrtg;
	u32 ranges;
};

/**
 * struct nvmevf_track_limits - what the PF can track
 * @ranges: how many ranges; 0: it does not track memory
 * @min: finest granularity, 2^n times 4 KiB
 * @max: coarsest granularity
 * @pow2: the length of a range has to be a power of two
 * @why_not: why it cannot be used although it claims to track memory, or NULL
 */
struct nvmevf_track_limits {
	u16 ranges;
	u8 min;
	u8 max;
	bool pow2;
	const char *why_not;
};

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
 * @pf: the way to its PF
 * @ops: the command set
 * @why_not: probe: why there is no migration if the step under way fails
 * @cntlid: controller id of the VF
 * @listed: the PF lists its secondary controllers
 * @online: the secondary controller was online when last asked; not @listed: its
 *	    registers could be read when it was opened
 * @suspended: the device confirmed that it suspended the VF; a VF that is disabled
 *	       may be in a state that asks for that without it
 * @loaded: a state was loaded since the VF left RUNNING
 * @sent_resets: nvmevf_pf_live()'s number when the last command was sent
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
 * @glance: for debugfs; has its own lock
 *
 * Constant after probe: @vf to @listed, @csvi, @csuuidi, @nuuid, @uuids, @track,
 * @exports, @pf_hello. The state mutex of the device protects the rest.
 */
struct nvmevf_lm {
	struct pci_dev *vf;
	struct nvmevf_pf *pf;
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
	struct nvmevf_glance glance;
};

struct nvmevf_lm *nvmevf_lm_probe(struct pci_dev *vf, const char **why_not);
void nvmevf_lm_free(struct nvmevf_lm *lm);
bool nvmevf_io_queues_only(const struct nvmevf_lm *lm);
int nvmevf_lm_refresh(struct nvmevf_lm *lm, unsigned int flags);

int nvmevf_function_identify(struct pci_dev *pdev, struct nvme_id_ctrl *id,
			     unsigned int timeout_ms);

/**
 * struct nvmevf_queues - the I/O queues in a controller state
 * @nsq: how many submission queues
 * @ncq: how many completion queues
 * @sq: the submission queues, by ascending identifier
 * @cq: the completion queues, likewise
 * @end: where they end, in bytes from the beginning of the state
 */
struct nvmevf_queues {
	unsigned int nsq;
	unsigned int ncq;
	const struct nvme_lm_state_sq *sq;
	const struct nvme_lm_state_cq *cq;
	size_t end;
};

int nvmevf_status_to_errno(u16 status);
int nvmevf_answer_error(u16 status, bool cancelled, blk_status_t err);
struct nvme_command nvmevf_encode_identify(u8 cns, u16 cntid);
struct nvme_command nvmevf_encode_suspend(u16 cntlid, u8 stype);
struct nvme_command nvmevf_encode_resume(u16 cntlid);
struct nvme_command nvmevf_encode_get(const struct nvmevf_lm *lm, u64 offset, size_t len);
struct nvme_command nvmevf_encode_set(const struct nvmevf_lm *lm, u64 offset, size_t len,
				      bool last);
struct nvme_command nvmevf_encode_track(u16 cntlid, u8 tact);
struct nvme_command nvmevf_encode_changes(u16 cntlid, size_t len);
struct nvme_command nvmevf_encode_vs(u8 opcode, u16 vfn, u32 cdw11);
bool nvmevf_container_len(const struct nvme_lm_state_header *hdr, u64 *len);
int nvmevf_state_queues(const void *state, size_t len, struct nvmevf_queues *q);
bool nvmevf_is_identity(const struct nvme_id_ctrl *id, u16 vid, u16 ssvid, u16 cntlid);
u8 nvmevf_find_cmdset(const struct nvme_id_ctrl *id);
int nvmevf_parse_formats(struct nvmevf_lm *lm, const struct nvme_lm_state_formats *f);
const struct nvme_lm_secondary_entry *
nvmevf_find_secondary(const struct nvme_lm_secondary_list *list, u16 vfn, u16 pcid);
int nvmevf_next_secondary(const struct nvme_lm_secondary_list *list, u16 cntid);

/**
 * enum nvmevf_stage - what comes next in a stream
 * @NVMEVF_STAGE_PRECOPY: save: HELLOs, until the VF is stopped; resume: not used
 * @NVMEVF_STAGE_RECORD: resume: the head of a record; save: not used
 * @NVMEVF_STAGE_HELLO: HELLO's payload; save: the whole record
 * @NVMEVF_STAGE_CHECK: resume: HELLO arrived, does it fit this VF?
 * @NVMEVF_STAGE_PIECE: resume: the head of STATE's payload
 * @NVMEVF_STAGE_DATA: controller state; save: a whole STATE record
 * @NVMEVF_STAGE_SKIP: resume: payload of an unknown record
 * @NVMEVF_STAGE_END: END's payload; save: the whole record
 * @NVMEVF_STAGE_COMMIT: resume: END is right, the device gets the last piece
 * @NVMEVF_STAGE_DONE: the stream is complete
 */
enum nvmevf_stage {
	NVMEVF_STAGE_PRECOPY,
	NVMEVF_STAGE_RECORD,
	NVMEVF_STAGE_HELLO,
	NVMEVF_STAGE_CHECK,
	NVMEVF_STAGE_PIECE,
	NVMEVF_STAGE_DATA,
	NVMEVF_STAGE_SKIP,
	NVMEVF_STAGE_END,
	NVMEVF_STAGE_COMMIT,
	NVMEVF_STAGE_DONE,
};

/**
 * struct nvmevf_stream - a stream being made by a save, or taken apart by a resume
 * @stage: what comes next
 * @records: how many were begun
 * @tag: of the last of them
 * @rec_len: bytes of its payload
 * @hello_seen: resume: a HELLO was accepted
 * @crc: running CRC32C
 * @total: bytes of controller state
 * @offset: save: bytes of it in records so far; resume: bytes that arrived
 * @sent: resume: bytes given to the device
 * @extra: resume: bytes of HELLOs and of records that are skipped
 * @rec_left: resume: payload bytes of the record still to come
 * @data: memory for controller state on its way
 * @size: bytes of @data
 * @data_len: save: bytes of @data to be read behind @head
 * @head_len: bytes in @head; save: to be read; resume: arrived so far
 * @head: record head and payload other than controller state
 * @refusal: resume: why the stream is refused
 */
struct nvmevf_stream {
	enum nvmevf_stage stage;
	unsigned int records;
	u32 tag;
	u64 rec_len;
	bool hello_seen;
	u32 crc;
	u64 total;
	u64 offset;
	u64 sent;
	u64 extra;
	u64 rec_left;
	void *data;
	size_t size;
	size_t data_len;
	size_t head_len;
	u8 head[sizeof(struct nvme_lm_rec) + sizeof(struct nvme_lm_hello)] __aligned(8);
	struct nvmevf_refusal refusal;
};

u64 nvmevf_stream_size(u64 state_len, size_t piece);
void nvmevf_stream_make_hello(struct nvmevf_stream *st, const struct nvme_lm_hello *hello);
size_t nvmevf_stream_piece_len(const struct nvmevf_stream *st);
void nvmevf_stream_make_piece(struct nvmevf_stream *st);
void nvmevf_stream_make_end(struct nvmevf_stream *st);
bool nvmevf_stream_full(const struct nvmevf_stream *st);
void *nvmevf_stream_room(struct nvmevf_stream *st, size_t *len);
int nvmevf_stream_take(struct nvmevf_stream *st, size_t len);
void nvmevf_stream_accept_hello(struct nvmevf_stream *st);

int nvmevf_state_check(struct nvmevf_refusal *refusal, const void *state, size_t len,
		       const struct nvmevf_lm *lm);

/* Contiguous Queues Required, of CAP */
#define NVMEVF_CAP_CQR(cap)	(((cap) >> 16) & 0x1)

void nvmevf_hello_fill(struct nvme_lm_hello *hello, const struct nvme_id_ctrl *id,
		       enum nvme_lm_ident ident);
bool nvmevf_hello_is_sibling(const struct nvme_lm_hello *hello, const struct nvme_id_ctrl *id);
bool nvmevf_hello_is_exported(const struct nvme_lm_hello *hello, const struct nvme_id_ctrl *id);
int nvmevf_hello_check(struct nvmevf_refusal *refusal, const struct nvme_lm_hello *in,
		       size_t max_xfer, struct nvmevf_lm *lm);

/**
 * struct nvmevf_track_plan - what a device is asked to track
 * @limits: what it can
 * @page_size: what the user would like, a power of two, at least 4 KiB
 * @mrtg: granularity, 2^n times 4 KiB
 * @limit: how many ranges the device may be asked for
 * @used: how many it was asked for
 * @nr: how many ranges the user has
 * @wanted: those ranges, ascending, not overlapping
 * @work: as many, to work with
 */
struct nvmevf_track_plan {
	const struct nvmevf_track_limits *limits;
	u64 page_size;
	u8 mrtg;
	u32 limit;
	u32 used;
	unsigned int nr;
	struct nvmevf_range *wanted;
	struct nvmevf_range *work;
};

/* Ranges in one Track Send, whatever the device can */
#define NVMEVF_TRACK_MAX	SZ_4K

void nvmevf_track_parse_limits(struct nvmevf_track_limits *limits, const struct nvme_id_ctrl *id);
void nvmevf_track_begin(struct nvmevf_track_plan *plan);
int nvmevf_track_fill(struct nvmevf_track_plan *plan, struct nvme_lm_track *out, size_t *len);
void nvmevf_track_fill_one(const struct nvmevf_track_plan *plan, struct nvme_lm_track *out,
			   size_t *len);
int nvmevf_track_adjust(struct nvmevf_track_plan *plan, int err,
			const struct nvmevf_track_hints *hints);
int nvmevf_changes_check(const struct nvme_lm_changes *c, size_t len, u16 cntlid);
int nvmevf_changes_get(const struct nvme_lm_changes *c, unsigned int i, struct nvmevf_range *r);
int nvmevf_queues_parse(const void *state, size_t len, u32 cqe_size, struct nvmevf_range *cqs,
			unsigned int max);

/**
 * struct nvmevf_log - memory that was written and not reported yet
 * @chunks: by chunk of the address space a bitmap, or that all of it is otherwise
 * @limit: how many bitmaps there may be
 * @bitmaps: how many bitmaps there are
 * @entries: how many chunks of which something is stored
 * @all: where nothing is stored, all was written
 */
struct nvmevf_log {
	struct xarray chunks;
	unsigned long limit;
	unsigned long bitmaps;
	unsigned long entries;
	bool all;
};

#define NVMEVF_LOG_SHIFT	12

unsigned long nvmevf_log_limit(const struct nvmevf_range *ranges, unsigned int nr);
void nvmevf_log_init(struct nvmevf_log *log, unsigned long limit);
void nvmevf_log_destroy(struct nvmevf_log *log);
void nvmevf_log_add_all(struct nvmevf_log *log);
void nvmevf_log_add(struct nvmevf_log *log, const struct nvmevf_range *r);
bool nvmevf_log_take(struct nvmevf_log *log, const struct nvmevf_range *in,
		     struct nvmevf_range *out);

/**
 * struct nvmevf_dirty - DMA logging of one VF
 * @on: the user started it, and has not stopped it
 * @tracked: the device has tracked all writes since they were added to @log last
 * @device: the device may track something for this VF, wanted or not
 * @resets: nvmevf_pf_live()'s number when the device was known to track last
 * @cqs_done: the completion queues of the suspended VF are in @log
 * @nr_cqs: number of entries in @cqs; -1: not known
 * @cqs: the completion queues when last asked
 * @plan: what is tracked
 * @buf: memory for one transfer
 * @log: what was written
 *
 * But for @device and @resets all is of the time that logging is on. The state
 * mutex protects it.
 */
struct nvmevf_dirty {
	bool on;
	bool tracked;
	bool device;
	long resets;
	bool cqs_done;
	int nr_cqs;
	struct nvmevf_range *cqs;
	struct nvmevf_track_plan *plan;
	struct nvmevf_buf *buf;
	struct nvmevf_log log;
};

/**
 * struct nvmevf_device - a VF (or any other NVMe function) bound to this driver
 * @core: what every vfio-pci device is
 * @lm: how it is migrated; NULL: it cannot be, and acts as with vfio-pci
 * @why_not: why it cannot be
 * @debug: a debugfs directory of our own, where the core has none
 * @lock_key: a reset of several functions holds several state mutexes
 * @state_mutex: protects what follows, and the changing part of @lm. A reset
 *		 holds it from reset_prepare to reset_done, inside memory_lock:
 *		 no user memory and no BAR of the VF is touched under it.
 * @mig_state: changes in SET and in a reset only
 * @session: the open save or resume session, or NULL
 * @pf_resets: nvmevf_pf_live()'s number before the Suspend, or when the VF was last
 *	       known to be suspended
 * @lost: the PF or the VF was reset behind our back, or foreign state may be in
 *	  the VF: only a reset of the VF helps
 * @unverified: the VF was reset while it was suspended: see whether that worked
 * @state_len: bytes of controller state last known
 * @data_size: size of its stream, never 0
 * @dirty: DMA logging
 * @failed: CSTS.CFS was set before the request for a state that is under way
 * @stale: the reset at close was skipped: what the last user left is in the VF
 * @fence_lock: protects @fenced, together with the real command register
 * @fenced: bus mastering is off, but on for the user
 */
struct nvmevf_device {
	struct vfio_pci_core_device core;
	struct nvmevf_lm *lm;
	const char *why_not;
	struct dentry *debug;
	struct lock_class_key lock_key;
	struct mutex state_mutex;	/* protects what follows */
	enum vfio_device_mig_state mig_state;
	struct nvmevf_session *session;
	long pf_resets;
	bool lost;
	bool unverified;
	u64 state_len;
	u64 data_size;
	struct nvmevf_dirty dirty;
	bool failed;
	bool stale;
	spinlock_t fence_lock;	/* protects fenced */
	bool fenced;
};

static inline struct nvmevf_device *nvmevf_from_vdev(struct vfio_device *vdev)
{
	return container_of(vdev, struct nvmevf_device, core.vdev);
}

bool nvmevf_is_running(const struct nvmevf_device *vf);
int nvmevf_read_reg(struct nvmevf_device *vf, unsigned int reg, u32 *val);
void nvmevf_lose_locked(struct nvmevf_device *vf);
int nvmevf_judge_locked(struct nvmevf_device *vf, int err);
int nvmevf_check_lost_locked(struct nvmevf_device *vf);
int nvmevf_verify_reset_locked(struct nvmevf_device *vf);
int nvmevf_state_size_locked(struct nvmevf_device *vf, u64 *size);
void nvmevf_note_size_locked(struct nvmevf_device *vf, u64 state_len);
void nvmevf_drop_saved_locked(struct nvmevf_device *vf);

extern const struct vfio_migration_ops nvmevf_mig_ops;

void nvmevf_fence_raise(struct nvmevf_device *vf);
void nvmevf_fence_lower(struct nvmevf_device *vf);
void nvmevf_fence_drop(struct nvmevf_device *vf);
ssize_t nvmevf_fence_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos);
ssize_t nvmevf_fence_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			   loff_t *ppos);

struct file *nvmevf_precopy_open_locked(struct nvmevf_device *vf);
int nvmevf_precopy_stop_locked(struct nvmevf_device *vf);
u64 nvmevf_precopy_unread_locked(struct nvmevf_device *vf);
struct file *nvmevf_save_open_locked(struct nvmevf_device *vf);
struct file *nvmevf_resume_open_locked(struct nvmevf_device *vf, bool enabled);
int nvmevf_resume_finish_locked(struct nvmevf_device *vf);
void nvmevf_session_end_locked(struct nvmevf_device *vf);

extern const struct vfio_log_ops nvmevf_log_ops;
void nvmevf_dirty_suspending_locked(struct nvmevf_device *vf);
void nvmevf_dirty_suspended_locked(struct nvmevf_device *vf);
void nvmevf_dirty_resumed_locked(struct nvmevf_device *vf);
void nvmevf_dirty_reset_locked(struct nvmevf_device *vf);
void nvmevf_dirty_end_locked(struct nvmevf_device *vf);
void nvmevf_dirty_stop_locked(struct nvmevf_device *vf, unsigned int flags);

void nvmevf_debugfs_add(struct nvmevf_device *vf);
void nvmevf_debugfs_remove(struct nvmevf_device *vf);
void nvmevf_debugfs_init(void);
void nvmevf_debugfs_exit(void);

#endif /* NVMEVF_NVME_H */
