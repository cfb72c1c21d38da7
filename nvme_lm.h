/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wire structures and constants of NVMe host managed live migration (TP4159).
 * Figure numbers are those of NVM Express Base Specification 2.1. Everything is
 * little-endian.
 */

#ifndef NVME_LM_H
#define NVME_LM_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* Opcodes of the Admin command set, Fig 28 and 141 */
enum {
	nvme_admin_track_send		= 0x3d,
	nvme_admin_track_recv		= 0x3e,
	nvme_admin_migration_send	= 0x41,
	nvme_admin_migration_recv	= 0x42,
};

/* Identify Controller OACS, Fig 312; bit 12 is new in Base Specification 2.4 */
enum {
	NVME_CTRL_OACS_HMLMS	= 1 << 11,
	NVME_CTRL_OACS_EXPORTS	= 1 << 12,
};

/* Identify Controller ENSA, also from 2.4: exported NVM subsystems */
#define NVME_LM_ID_ENSA			404
#define NVME_LM_ENSA_ENSTS		BIT(0)
#define NVME_LM_ENSA_ENSMS		BIT(1)

/* Identify CNS of the Supported Controller State Formats, Fig 310 */
enum {
	NVME_ID_CNS_STATE_FORMATS	= 0x20,
};

/* Migration Send CDW10, Fig 350 and 357 */
enum {
	NVME_LM_SEND_SUSPEND		= 0x0,
	NVME_LM_SEND_RESUME		= 0x1,
	NVME_LM_SEND_SET_STATE		= 0x2,
	NVME_LM_SEND_SEQIND_SHIFT	= 16,
};

/* Sequence Indicator of Set Controller State, Fig 354 */
enum {
	NVME_LM_SEQIND_MIDDLE	= 0x0,
	NVME_LM_SEQIND_FIRST	= 0x1,
	NVME_LM_SEQIND_LAST	= 0x2,
	NVME_LM_SEQIND_ONLY	= 0x3,
};

/* Migration Send CDW11: Suspend, Fig 352; Set Controller State, Fig 356 */
enum {
	NVME_LM_SUSPEND_STYPE_SHIFT	= 16,
	NVME_LM_STYPE_NOTIFICATION	= 0x0,
	NVME_LM_STYPE_SUSPEND		= 0x1,
	NVME_LM_SET_CSVI_SHIFT		= 16,
	NVME_LM_SET_CSUUIDI_SHIFT	= 24,
};

/* Migration Receive CDW10 and CDW11, Fig 341 and 342 */
enum {
	NVME_LM_RECEIVE_GET_STATE	= 0x0,
	NVME_LM_GET_CSVI_SHIFT		= 16,
	NVME_LM_GET_CSUUIDI_SHIFT	= 16,
};

/* Get Controller State completion DW0, Fig 347 */
enum {
	NVME_LM_GET_CSUP	= 1 << 0,
};

/* Track Send CDW10, Fig 464 and 467; Track Receive CDW10, Fig 458 */
enum {
	NVME_LM_TRACK_SEND_MEMORY	= 0x1,
	NVME_LM_TRACK_TACT_SHIFT	= 16,
	NVME_LM_TRACK_TACT_STOP		= 0x0,
	NVME_LM_TRACK_TACT_START	= 0x1,
	NVME_LM_TRACK_RECEIVE_MEMORY	= 0x0,
};

/* Command specific status values (SCT 1h), Fig 103 */
enum {
	NVME_SC_NOT_ENOUGH_RESOURCES	= 0x138,
	NVME_SC_CTRL_SUSPENDED		= 0x139,
	NVME_SC_CTRL_NOT_SUSPENDED	= 0x13a,
	NVME_SC_CTRL_ACTIVE		= 0x142,
	NVME_SC_EXPORT_ASSOC_INVALID	= 0x143,
	NVME_SC_EXPORT_STATE_INVALID	= 0x144,
};

/**
 * struct nvme_lm_state_formats - Identify CNS 20h, Fig 329
 * @nv: number of version entries
 * @nuuid: number of UUID entries
 * @entries: @nv versions of 2 bytes each, then @nuuid UUIDs of 16 bytes each
 *
 * An index into either list (CSVI, CSUUIDI) counts from 1 and is valid for this
 * device only.
 */
struct nvme_lm_state_formats {
	__u8 nv;
	__u8 nuuid;
	__u8 entries[4094];
};

/* The only version of the NVMe Controller State structure, Fig 359 */
#define NVME_LM_STATE_VERSION		0x0

/**
 * struct nvme_lm_secondary_entry - Secondary Controller Entry, Fig 332
 * @scid: controller id of the secondary controller
 * @pcid: controller id of its primary controller
 * @scs: bit 0: the secondary controller is online
 * @rsvd5: reserved
 * @vfn: number of the virtual function, counted from 1
 * @nvq: VQ flexible resources assigned
 * @nvi: VI flexible resources assigned
 * @rsvd14: reserved
 */
struct nvme_lm_secondary_entry {
	__le16 scid;
	__le16 pcid;
	__u8 scs;
	__u8 rsvd5[3];
	__le16 vfn;
	__le16 nvq;
	__le16 nvi;
	__u8 rsvd14[18];
};

#define NVME_LM_SCS_ONLINE		BIT(0)
#define NVME_LM_SECONDARY_MAX		127

/**
 * struct nvme_lm_secondary_list - Identify CNS 15h, Fig 331
 * @nument: number of entries
 * @rsvd1: reserved
 * @entry: the secondary controllers, by ascending controller id
 */
struct nvme_lm_secondary_list {
	__u8 nument;
	__u8 rsvd1[31];
	struct nvme_lm_secondary_entry entry[NVME_LM_SECONDARY_MAX];
};

#define NVME_LM_CONTROLLERS_MAX		2047

/**
 * struct nvme_lm_controller_list - Controller List: Identify CNS 13h
 * @numid: number of identifiers
 * @id: the controllers of the NVM subsystem, by ascending controller id
 */
struct nvme_lm_controller_list {
	__le16 numid;
	__le16 id[NVME_LM_CONTROLLERS_MAX];
};

/**
 * struct nvme_lm_state_header - head of the Controller State, Fig 358
 * @ver: version of this structure, 0h
 * @csattr: bit 0: suspended throughout the processing of the command
 * @rsvd3: reserved
 * @nvmecss: dwords of NVMe state; the upper quadword of 128 bits comes second
 * @vss: dwords of vendor specific state, likewise
 */
struct nvme_lm_state_header {
	__le16 ver;
	__u8 csattr;
	__u8 rsvd3[13];
	__le64 nvmecss[2];
	__le64 vss[2];
};

enum {
	NVME_LM_CSATTR_SUSPENDED	= 1 << 0,
};

/**
 * struct nvme_lm_state - head of the NVMe Controller State, Fig 359
 * @ver: NVME_LM_STATE_VERSION
 * @niosq: number of I/O Submission Queues
 * @niocq: number of I/O Completion Queues
 * @rsvd6: reserved
 *
 * It is followed by @niosq times struct nvme_lm_state_sq, then @niocq times struct
 * nvme_lm_state_cq, each by ascending identifier.
 */
struct nvme_lm_state {
	__le16 ver;
	__le16 niosq;
	__le16 niocq;
	__u8 rsvd6[2];
};

/**
 * struct nvme_lm_state_sq - an I/O Submission Queue, Fig 360
 * @prp1: PRP Entry 1 of the command that created it
 * @qsize: number of entries, 0's based
 * @qid: its identifier
 * @cqid: identifier of its completion queue
 * @attr: NVME_LM_SQ_*
 * @head: head pointer
 * @tail: tail pointer
 * @rsvd20: reserved
 */
struct nvme_lm_state_sq {
	__le64 prp1;
	__le16 qsize;
	__le16 qid;
	__le16 cqid;
	__le16 attr;
	__le16 head;
	__le16 tail;
	__u8 rsvd20[4];
};

enum {
	NVME_LM_SQ_CONTIGUOUS	= 1 << 0,
	NVME_LM_SQ_QPRIO_SHIFT	= 1,
	NVME_LM_SQ_QPRIO_MASK	= 0x3,
	NVME_LM_SQ_ATTR_MASK	= 0x7,
};

/**
 * struct nvme_lm_state_cq - an I/O Completion Queue, Fig 361
 * @prp1: PRP Entry 1 of the command that created it
 * @qsize: number of entries, 0's based
 * @qid: its identifier
 * @head: head pointer
 * @tail: tail pointer
 * @attr: NVME_LM_CQ_*, and the interrupt vector
 * @rsvd20: reserved
 */
struct nvme_lm_state_cq {
	__le64 prp1;
	__le16 qsize;
	__le16 qid;
	__le16 head;
	__le16 tail;
	__le32 attr;
	__u8 rsvd20[4];
};

enum {
	NVME_LM_CQ_CONTIGUOUS	= 1 << 0,
	NVME_LM_CQ_INTERRUPTS	= 1 << 1,
	NVME_LM_CQ_SLOT0_PHASE	= 1 << 2,
	NVME_LM_CQ_ATTR_MASK	= 0x7,
	NVME_LM_CQ_VECTOR_SHIFT	= 16,
};

/* Offset of struct nvme_lm_track_limits in the Identify Controller data */
#define NVME_LM_ID_TRACK_LIMITS		570

/**
 * struct nvme_lm_track_limits - tracking capabilities of a controller, Fig 312
 * @cmmrtd: number of memory range descriptors that the controller can track in total
 * @nmmrtd: number that the NVM subsystem can track
 * @minmrtg: finest granularity, 2^n times 4 KiB
 * @maxmrtg: coarsest granularity
 * @trattr: NVME_LM_TRATTR_*
 */
struct nvme_lm_track_limits {
	__le16 cmmrtd;
	__le16 nmmrtd;
	__u8 minmrtg;
	__u8 maxmrtg;
	__u8 trattr;
} __packed;

enum {
	NVME_LM_TRATTR_THMCS	= 1 << 0,
	NVME_LM_TRATTR_MRTLL	= 1 << 2,
};

/* The unit of granularities */
#define NVME_LM_TRACK_SHIFT		12
#define NVME_LM_TRACK_UNIT		BIT_ULL(NVME_LM_TRACK_SHIFT)

/**
 * struct nvme_lm_track_range - memory to be tracked, Fig 470
 * @saddr: start address
 * @len: length in units of the granularity
 */
struct nvme_lm_track_range {
	__le64 saddr;
	__le32 len;
} __packed;

/**
 * struct nvme_lm_track - Track Memory Changes, Fig 468
 * @ver: version of this structure, 0h
 * @rsvd1: reserved
 * @rmrtg: granularity, 2^n times 4 KiB
 * @rnmrtd: number of ranges
 * @range: the ranges
 */
struct nvme_lm_track {
	__u8 ver;
	__u8 rsvd1[2];
	__u8 rmrtg;
	__le32 rnmrtd;
	struct nvme_lm_track_range range[];
};

/**
 * struct nvme_lm_change - a piece of dirty memory, Fig 461
 * @saddr: start address
 * @len: length in units of the granularity
 * @rsvd12: reserved
 */
struct nvme_lm_change {
	__le64 saddr;
	__le32 len;
	__u8 rsvd12[4];
};

/**
 * struct nvme_lm_changes - Tracked Memory Changes, Fig 460
 * @ver: version of this structure, 0h
 * @attrb: NVME_LM_CHANGES_*
 * @cntlid: the controller that wrote
 * @ntmcd: number of entries of @change
 * @rpmpg: granularity, 2^n times 4 KiB
 * @rsvd10: reserved
 * @change: the dirty memory
 */
struct nvme_lm_changes {
	__u8 ver;
	__u8 attrb;
	__le16 cntlid;
	__le32 ntmcd;
	__le16 rpmpg;
	__u8 rsvd10[6];
	struct nvme_lm_change change[];
};

enum {
	NVME_LM_CHANGES_MTR	= 1 << 0,
	NVME_LM_CHANGES_SUSP	= 1 << 1,
};

static_assert(sizeof(struct nvme_lm_state_formats) == 4096);
static_assert(sizeof(struct nvme_lm_secondary_entry) == 32);
static_assert(sizeof(struct nvme_lm_secondary_list) == 4096);
static_assert(sizeof(struct nvme_lm_state_header) == 48);
static_assert(offsetof(struct nvme_lm_state_header, nvmecss) == 16);
static_assert(offsetof(struct nvme_lm_state_header, vss) == 32);
static_assert(sizeof(struct nvme_lm_state) == 8);
static_assert(sizeof(struct nvme_lm_state_sq) == 24);
static_assert(sizeof(struct nvme_lm_state_cq) == 24);
static_assert(sizeof(struct nvme_lm_track_limits) == 7);
static_assert(sizeof(struct nvme_lm_track_range) == 12);
static_assert(sizeof(struct nvme_lm_track) == 8);
static_assert(sizeof(struct nvme_lm_change) == 16);
static_assert(sizeof(struct nvme_lm_changes) == 16);

#endif /* NVME_LM_H */
