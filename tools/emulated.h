/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vendor specific part of the emulated device's controller state, revisions
 * 1 and 2, as Documentation/device-state.rst has it. Everything is little-endian.
 */

#ifndef TOOLS_EMULATED_H
#define TOOLS_EMULATED_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* ed05abd7-bd03-4191-92dd-512313b66b83 */
#define EMULATED_UUID	{ 0xed, 0x05, 0xab, 0xd7, 0xbd, 0x03, 0x41, 0x91, \
			  0x92, 0xdd, 0x51, 0x23, 0x13, 0xb6, 0x6b, 0x83 }

#define EMULATED_MAGIC		"NVMEVFST"
#define EMULATED_REVISION	2

#define EMULATED_SUSPENDED	BIT(0)
#define EMULATED_ADMIN_QUEUES	BIT(1)
#define EMULATED_CQ_CREATED	BIT(2)
#define EMULATED_DBBUF		BIT(3)
#define EMULATED_SQ0_DOORBELL	BIT(4)
#define EMULATED_CQ0_DOORBELL	BIT(5)
#define EMULATED_DN		BIT(6)
#define EMULATED_CACHE_OFF	BIT(7)
#define EMULATED_EXTRA		BIT(8)
/* Of revision 1, and of all */
#define EMULATED_FLAGS_1	0xff
#define EMULATED_FLAGS		0x1ff

#define EMULATED_LOG_C0		BIT(0)

#define EMULATED_NS_CACHE_OFF	BIT(0)

/* Controller ids from here on are reserved */
#define EMULATED_CNTLID_MAX	0xffef

/* Where fields are in the Identify Controller data */
#define EMULATED_ID_VID		0
#define EMULATED_ID_SSVID	2
#define EMULATED_ID_SN		4
#define EMULATED_ID_MN		24
#define EMULATED_ID_FR		64
#define EMULATED_ID_CNTLID	78
#define EMULATED_ID_SUBNQN	768

/**
 * struct emulated_fixed - what it begins with
 * @magic: EMULATED_MAGIC
 * @revision: EMULATED_REVISION
 * @fixed_len: bytes of this structure and of what later revisions have appended
 * @len: bytes of the vendor specific part
 * @flags: EMULATED_*
 * @nr_namespaces: number of struct emulated_namespace that follow
 * @nr_aers: number of outstanding Asynchronous Event Requests
 * @nr_events: number of struct emulated_event
 * @rsvd26: reserved
 * @nr_held: number of struct emulated_held
 * @cap: Controller Capabilities
 * @bar_size: size of BAR0
 * @vs: Version
 * @effects_crc: CRC-32C of the supported commands and their effects
 * @queue_pairs: number of I/O queue pairs that the guest was told; revision 1: that there may be
 * @vectors: number of interrupt vectors
 * @events_max: number of events that are kept
 * @vsl: Verify Size Limit
 * @zasl: Zone Append Size Limit
 * @logs: EMULATED_LOG_*; revision 1: reserved
 * @rsvd67: reserved
 * @cc: Controller Configuration
 * @csts: Controller Status
 * @aqa: Admin Queue Attributes
 * @intms: Interrupt Mask Set
 * @asq: Admin Submission Queue Base Address
 * @acq: Admin Completion Queue Base Address
 * @cmbmsc: Controller Memory Buffer Memory Space Control
 * @sq_addr: address of the admin submission queue in use
 * @cq_addr: address of the admin completion queue in use
 * @sq_size: its number of entries
 * @sq_head: its head
 * @sq_tail: its tail
 * @page_shift: memory page size in use, as a power of two
 * @cq_size: number of entries of the admin completion queue
 * @cq_head: its head
 * @cq_tail: its tail
 * @cq_phase: phase of its next entry
 * @events_masked: events masked until their log page is read, a bit per type
 * @dbbuf_doorbells: shadow doorbell buffer
 * @dbbuf_events: EventIdx buffer
 * @timestamp: as the host set it
 * @timestamp_age: milliseconds from then to the suspend
 * @temp_over: temperature threshold, over
 * @temp_under: temperature threshold, under
 * @async_events: Asynchronous Event Configuration
 * @rsvd184: reserved
 * @changed: Changed Namespace List, bit n % 8 of byte n / 8
 * @rsvd232: reserved
 * @host_behavior: Host Behavior Support
 * @identify: Identify Controller; revision 1: CNTLID cleared
 */
struct emulated_fixed {
	char magic[8];
	__le16 revision;
	__le16 fixed_len;
	__le32 len;
	__le32 flags;
	__le16 nr_namespaces;
	__le16 nr_aers;
	__le16 nr_events;
	__u8 rsvd26[2];
	__le32 nr_held;
	__le64 cap;
	__le64 bar_size;
	__le32 vs;
	__le32 effects_crc;
	__le16 queue_pairs;
	__le16 vectors;
	__le32 events_max;
	__u8 vsl;
	__u8 zasl;
	__u8 logs;
	__u8 rsvd67[5];
	__le32 cc;
	__le32 csts;
	__le32 aqa;
	__le32 intms;
	__le64 asq;
	__le64 acq;
	__le64 cmbmsc;
	__le64 sq_addr;
	__le64 cq_addr;
	__le16 sq_size;
	__le16 sq_head;
	__le16 sq_tail;
	__le16 page_shift;
	__le16 cq_size;
	__le16 cq_head;
	__le16 cq_tail;
	__u8 cq_phase;
	__u8 events_masked;
	__le64 dbbuf_doorbells;
	__le64 dbbuf_events;
	__le64 timestamp;
	__le64 timestamp_age;
	__le16 temp_over;
	__le16 temp_under;
	__le32 async_events;
	__u8 rsvd184[8];
	__u8 changed[40];
	__u8 rsvd232[24];
	__u8 host_behavior[512];
	__u8 identify[4096];
};

/**
 * struct emulated_extra - what continues the fixed part if there is extra state
 * @seed: what the extra state is made from
 * @len: bytes of extra state, which are the last ones of the vendor specific part
 * @rsvd12: reserved
 */
struct emulated_extra {
	__le64 seed;
	__le32 len;
	__u8 rsvd12[4];
};

/**
 * struct emulated_namespace - a namespace
 * @nsid: its identifier
 * @csi: command set identifier, 0
 * @attributes: EMULATED_NS_*; revision 1: reserved
 * @rsvd6: reserved
 * @nsze: Namespace Size
 * @uuid: its UUID
 * @nguid: its NGUID
 * @eui64: its EUI64, as a number
 * @error_recovery: Error Recovery feature
 * @identify_crc: CRC-32C of its Identify data
 * @flbas: Formatted LBA Size
 * @dps: End-to-end Data Protection Type Settings
 * @nmic: Namespace Multi-path I/O and Namespace Sharing Capabilities
 * @pif: protection information format
 * @independent_crc: CRC-32C of its Identify data of CNS 08h; revision 1: reserved
 */
struct emulated_namespace {
	__le32 nsid;
	__u8 csi;
	__u8 attributes;
	__u8 rsvd6[2];
	__le64 nsze;
	__u8 uuid[16];
	__u8 nguid[16];
	__le64 eui64;
	__le32 error_recovery;
	__le32 identify_crc;
	__u8 flbas;
	__u8 dps;
	__u8 nmic;
	__u8 pif;
	__le32 independent_crc;
};

/**
 * struct emulated_event - an event that waits for a request
 * @type: Asynchronous Event Type
 * @info: Asynchronous Event Information
 * @log_page: Log Page Identifier
 * @rsvd3: reserved
 */
struct emulated_event {
	__u8 type;
	__u8 info;
	__u8 log_page;
	__u8 rsvd3;
};

/**
 * struct emulated_held - a completion that waits for room in its queue
 * @sqid: identifier of the submission queue
 * @cid: Command Identifier
 * @status: Status without the phase
 * @rsvd6: reserved
 * @dw0: Dword 0
 * @dw1: Dword 1
 */
struct emulated_held {
	__le16 sqid;
	__le16 cid;
	__le16 status;
	__u8 rsvd6[2];
	__le32 dw0;
	__le32 dw1;
};

static_assert(sizeof(struct emulated_fixed) == 4864);
static_assert(offsetof(struct emulated_fixed, cap) == 32);
static_assert(offsetof(struct emulated_fixed, cc) == 72);
static_assert(offsetof(struct emulated_fixed, sq_addr) == 112);
static_assert(offsetof(struct emulated_fixed, timestamp) == 160);
static_assert(offsetof(struct emulated_fixed, host_behavior) == 256);
static_assert(offsetof(struct emulated_fixed, identify) == 768);
static_assert(sizeof(struct emulated_extra) == 16);
static_assert(sizeof(struct emulated_namespace) == 72);
static_assert(offsetof(struct emulated_namespace, flbas) == 64);
static_assert(sizeof(struct emulated_event) == 4);
static_assert(sizeof(struct emulated_held) == 16);

#endif /* TOOLS_EMULATED_H */
