/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Raw live migration commands on a PF, and the layout of a controller state.
 *
 * An own reading of TP4159 (NVMe base specification 2.1) and of the vendor command set of 2022. It
 * shares no definition with the driver and the emulated device on purpose: tests compare the three,
 * and a shared mistake would agree with itself.
 */
#ifndef TESTS_LM_H
#define TESTS_LM_H

#include "unvme.h"

/* ---- status codes: SCT in bits 10:8, SC in bits 7:0 ---- */

enum {
	LM_SC_OK		= 0x000,
	LM_SC_INVALID_OPCODE	= 0x001,
	LM_SC_INVALID_FIELD	= 0x002,
	LM_SC_ABORTED		= 0x007,
	LM_SC_SEQUENCE_ERROR	= 0x00c,
	LM_SC_PRP_OFFSET	= 0x013,
	LM_SC_INVALID_CTRL	= 0x11f,
	LM_SC_NOT_SAVEABLE	= 0x10d,
	LM_SC_INVALID_CDQ	= 0x137,
	LM_SC_NOT_ENOUGH	= 0x138,
	LM_SC_SUSPENDED		= 0x139,
	LM_SC_NOT_SUSPENDED	= 0x13a,
	LM_SC_CDQ_FULL		= 0x13b,
};

enum {
	LM_OP_TRACK_SEND	= 0x3d,
	LM_OP_TRACK_RECV	= 0x3e,
	LM_OP_SEND		= 0x41,
	LM_OP_RECV		= 0x42,
	LM_OP_CDQ		= 0x45,
	LM_OP_VS_QUERY		= 0xc4,
	LM_OP_VS_SUSPEND	= 0xc8,
	LM_OP_VS_RESUME		= 0xcc,
	LM_OP_VS_SAVE		= 0xd2,
	LM_OP_VS_LOAD		= 0xd5,
	LM_OP_FAULT		= 0xe0,
};

enum { LM_SUSPEND_NOTIFY, LM_SUSPEND };
enum { LM_SEQ_MIDDLE, LM_SEQ_FIRST, LM_SEQ_LAST, LM_SEQ_ONLY };

/* ---- the PF ---- */

struct lm_pf {
	int fd;
	char bdf[16];
	char node[32];		/* "/dev/nvme0" */
	u16 cntlid;
	u32 max_xfer;		/* bytes of data in one command */
	bool hmlms;
	bool vendor;		/* byte 3072 */
	u8 nv;
	u8 nuuid;
	u8 csvi;		/* index of version 0, or 0 */
	u8 csuuidi;		/* index of the first vendor format, or 0 */
	u8 uuid[16];
	u8 id[4096];		/* Identify Controller */
};

struct lm_cmd {
	u8 opcode;
	u32 nsid;
	u32 cdw10;
	u32 cdw11;
	u32 cdw12;
	u32 cdw13;
	u32 cdw14;
	u32 cdw15;
	void *data;
	u32 len;
	u32 result;		/* completion DW0 */
	u32 result1;		/* completion DW1 */
	bool dnr;		/* Do Not Retry */
};

/* Find the PF's character device by PCI address, open it, read what it can. 0 or -errno. */
int lm_open(struct lm_pf *pf, const char *bdf);
void lm_close(struct lm_pf *pf);

/* Read Identify and CNS 20h again. 0, NVMe status or -errno. */
int lm_probe(struct lm_pf *pf);

/* Send a command. Return: NVMe status (SCT << 8 | SC) or -errno. */
int lm_exec(struct lm_pf *pf, struct lm_cmd *cmd);

int lm_identify(struct lm_pf *pf, u8 cns, u16 cntid, void *buf);

/* Controller id of VF number @vfn (from 1) by CNS 15h; -1 if there is none. */
int lm_cntlid(struct lm_pf *pf, unsigned int vfn);

/* Virtualization Management. */
int lm_virt_mgmt(struct lm_pf *pf, u16 cntlid, u8 act, u8 rt, u16 nr);

/* ---- encoders ---- */

struct lm_cmd lm_suspend_cmd(u16 cntlid, u8 stype, bool dudmq);
struct lm_cmd lm_resume_cmd(u16 cntlid);
struct lm_cmd lm_get_cmd(u16 cntlid, u8 csvi, u8 csuuidi, u64 offset, void *buf, u32 bytes);
struct lm_cmd lm_set_cmd(u16 cntlid, u8 seqind, u8 csvi, u8 csuuidi, u64 offset, const void *buf,
			 u32 bytes);
struct lm_cmd lm_cdq_create_cmd(u16 cntlid, void *buf, u32 bytes);
struct lm_cmd lm_cdq_delete_cmd(u16 cdqid);
struct lm_cmd lm_user_log_cmd(u16 cdqid, bool start);
struct lm_cmd lm_track_cmd(u16 cntlid, bool start, void *buf, u32 bytes);
struct lm_cmd lm_track_recv_cmd(u16 cntlid, void *buf, u32 bytes);
struct lm_cmd lm_vs_cmd(u8 opcode, u16 vfn, void *buf, u32 bytes);

/* ---- one step each ---- */

int lm_suspend(struct lm_pf *pf, u16 cntlid);
int lm_resume(struct lm_pf *pf, u16 cntlid);

/* ---- a command that may stay pending ---- */

struct lm_async {
	struct lm_pf *pf;
	struct lm_cmd cmd;
	pthread_t thread;
	int tid;		/* set by the thread */
	int evfd;
	int status;
	bool running;
};

/* Returns when the device has the command, or it is over: 0 or -errno. */
int lm_async_start(struct lm_async *a, struct lm_pf *pf, struct lm_cmd cmd);
bool lm_async_pending(struct lm_async *a);
/* Wait for the completion: its status, or -ETIMEDOUT and the command goes on. */
int lm_async_wait(struct lm_async *a, unsigned int timeout_ms);

/* ---- fault points of the emulated device, Documentation/device-faults.rst ---- */

enum {
	LM_FAULT_CLEAR,
	LM_FAULT_MATCH,
	LM_FAULT_ARM,
	LM_FAULT_MATCHED,
	LM_FAULT_APPLIED,
	LM_FAULT_HELD,
	LM_FAULT_RELEASE,
	LM_FAULT_PAUSE,
	LM_FAULT_CONTINUE,
	LM_FAULT_RESETS,
	LM_FAULT_OPS,
};

/* What resets do not do. */
enum {
	LM_KEEPS_VFS		= 1 << 0,	/* a reset of the PF leaves its VFs online */
	LM_IGNORES_FLR		= 1 << 1,	/* an FLR of a VF resets nothing */
	LM_KEEPS_FAULTS		= 1 << 2,	/* an FLR of the PF disarms nothing */
	LM_NEVER_READY		= 1 << 3,	/* CC.EN=1 starts nothing */
};

enum {
	LM_ACT_COUNT,
	LM_ACT_STATUS,
	LM_ACT_HOLD,
	LM_ACT_DELAY,
	LM_ACT_DATA,
	LM_ACT_SHORT,
	LM_ACT_RESULT,
	LM_ACTS,
};

#define LM_FAULT_SLOTS		16
#define LM_FAULT_DNR		0x4000

struct lm_fault {
	/* which commands */
	u8 opcode;
	u32 dw10;
	u32 dw10_mask;
	u32 dw11;
	u32 dw11_mask;
	u32 skip;
	u32 times;		/* 0: for ever */
	/* what becomes of them */
	u8 act;
	bool execute;		/* first */
	u32 arg;		/* status, milliseconds, offset, dword */
	u32 mask;
	u32 value;
};

struct lm_cmd lm_fault_cmd(u8 op, unsigned int slot);
struct lm_cmd lm_fault_match_cmd(unsigned int slot, const struct lm_fault *f);
struct lm_cmd lm_fault_arm_cmd(unsigned int slot, const struct lm_fault *f);

/* Match and arm. NVMe status or -errno. */
int lm_fault_arm(struct lm_pf *pf, unsigned int slot, const struct lm_fault *f);

/* Disarm all slots, and release held commands. */
int lm_fault_end(struct lm_pf *pf);

/* The answer to Matched, Applied (of @slot) or Held; -1 if there is none. */
int lm_fault_count(struct lm_pf *pf, u8 op, unsigned int slot);

/* Let @nr held commands go on, or all (0): how many were held, or -1. */
int lm_fault_release(struct lm_pf *pf, unsigned int nr);

/*
 * A firmware activation without a reset: @pf reports it and sets CSTS.PP, or clears that. In
 * between the host's nvme fails user space's commands to @pf with 370h, unsent, so that the end has
 * to go through the fault points of another PF, @via. NVMe status or -errno.
 */
int lm_activation_begin(struct lm_pf *pf);
int lm_activation_end(struct lm_pf *via, struct lm_pf *pf);

/* Wait until nvme is in that state with the PF, which "state" in sysfs shows. */
bool lm_wait_ctrl_state(struct lm_pf *pf, const char *state);

/* Resets do not do what is in @resets, until lm_fault_end(). NVMe status or -errno. */
int lm_fault_resets(struct lm_pf *pf, u32 resets);

/* The same for another PF with fault points. */
int lm_fault_resets_of(struct lm_pf *pf, const char *bdf, u32 resets);

/* Wait until so many commands are held, or until so many met a slot. */
bool lm_fault_wait_held(struct lm_pf *pf, int nr);
bool lm_fault_wait_matched(struct lm_pf *pf, unsigned int slot, int nr);

/* ---- controller state ---- */

#define LM_HEADER		48
#define LM_CSATTR_SUSPENDED	0x1

struct lm_sq_state {
	u64 prp1;
	u16 qsize;		/* 0's based */
	u16 qid;
	u16 cqid;
	u16 attr;
	u16 head;
	u16 tail;
	u32 rsvd;
} __packed;

struct lm_cq_state {
	u64 prp1;
	u16 qsize;
	u16 qid;
	u16 head;
	u16 tail;
	u32 attr;		/* 0 PC, 1 IEN, 2 S0PT, 31:16 vector */
	u32 rsvd;
} __packed;

struct lm_state {
	u8 *data;
	size_t size;
};

/* What the bytes mean; pointers go into them. */
struct lm_view {
	u8 csattr;
	u64 nvmecss;		/* dwords */
	u64 vss;
	u16 nr_sq;
	u16 nr_cq;
	struct lm_sq_state *sq;
	struct lm_cq_state *cq;
	u8 *vendor;
};

/**
 * lm_parse - read and validate a controller state
 * @bytes: container
 * @size: how many bytes there are
 * @v: filled in
 *
 * Return: NULL, or what is wrong with it.
 */
const char *lm_parse(void *bytes, size_t size, struct lm_view *v);

/* Make a container with a version 0 state of queues, without vendor data. */
void lm_build(struct lm_state *s, const struct lm_sq_state *sq, u16 nr_sq,
	      const struct lm_cq_state *cq, u16 nr_cq);

/*
 * Read the state: header, then the rest in pieces of at most @piece bytes (0: as large as
 * possible). Return: NVMe status or -errno.
 */
int lm_get(struct lm_pf *pf, u16 cntlid, u8 csvi, u8 csuuidi, u32 piece, struct lm_state *s);

/* Write it in pieces (0: as large as possible), the last piece is the commit. */
int lm_set(struct lm_pf *pf, u16 cntlid, u8 csvi, u8 csuuidi, u32 piece,
	   const struct lm_state *s);

void lm_state_free(struct lm_state *s);

/* ---- both command sets under one roof; @vfn is the VF number from 1 ---- */

struct lm_target {
	struct lm_pf *pf;
	unsigned int vfn;
	u16 cntlid;		/* TP4159 only */
};

int lmt_init(struct lm_target *t, struct lm_pf *pf, unsigned int vfn);
int lmt_suspend(struct lm_target *t);
int lmt_resume(struct lm_target *t);
int lmt_save(struct lm_target *t, struct lm_state *s);
int lmt_load(struct lm_target *t, const struct lm_state *s);

#endif /* TESTS_LM_H */
