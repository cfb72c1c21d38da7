/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stream format of this driver, in which a VMM moves the controller state.
 * Everything is little-endian.
 */

#ifndef NVME_LM_STREAM_H
#define NVME_LM_STREAM_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/sizes.h>
#include <linux/stddef.h>
#include <linux/types.h>

/*
 * Records, each a header and @len bytes of payload.
 *
 *	HELLO, STATE ..., END
 *
 * Before the first STATE, another HELLO may follow and replaces the earlier one.
 * STATE records carry the controller state in ascending pieces without gaps.
 */
#define NVME_LM_REC_HELLO		0x4f4c4548	/* "HELO" */
#define NVME_LM_REC_STATE		0x54415453	/* "STAT" */
#define NVME_LM_REC_END			0x20444e45	/* "END " */

/* A reader that does not know the tag refuses the stream */
#define NVME_LM_REC_MANDATORY		BIT(0)

/* Limit of the bytes of all HELLO records and records with other tags */
#define NVME_LM_EXTRA_MAX		SZ_1M

/**
 * struct nvme_lm_rec - head of a stream record
 * @tag: NVME_LM_REC_*
 * @flags: NVME_LM_REC_MANDATORY or 0
 * @len: bytes of payload after this head
 */
struct nvme_lm_rec {
	__le32 tag;
	__le32 flags;
	__le64 len;
};

/* The bytes 89h "NVMVFLM" */
#define NVME_LM_STREAM_MAGIC		0x4d4c46564d564e89ULL
#define NVME_LM_STREAM_VERSION		1

enum nvme_lm_cmdset {
	NVME_LM_CMDSET_TP4159	= 1,
	NVME_LM_CMDSET_VENDOR	= 2,
};

/* Which controller's Identify data @vid to @subnqn come from */
enum nvme_lm_ident {
	NVME_LM_IDENT_PF	= 0,
	NVME_LM_IDENT_VF	= 1,
};

/* @state_ver of a stream without an NVMe Controller State structure */
#define NVME_LM_STATE_VERSION_NONE	0xffff

/**
 * struct nvme_lm_hello - identity of the source, and what the destination has to support
 * @magic: NVME_LM_STREAM_MAGIC
 * @version: NVME_LM_STREAM_VERSION
 * @cmdset: enum nvme_lm_cmdset
 * @ident: enum nvme_lm_ident
 * @state_ver: version of the NVMe Controller State, or
 *	       NVME_LM_STATE_VERSION_NONE
 * @msix: number of MSI-X vectors of the VF
 * @state_len: bytes of controller state that follow
 * @uuid: format of the vendor specific part, all zero if there is none
 * @cap: the VF's Controller Capabilities register
 * @vs: the VF's Version register
 * @nvq: VQ flexible resources of the VF, 0 if not known
 * @nvi: VI flexible resources of the VF, 0 if not known
 * @vid: PCI Vendor ID of the Identify Controller data
 * @ssvid: PCI Subsystem Vendor ID
 * @oncs: Optional NVM Command Support
 * @mdts: Maximum Data Transfer Size
 * @aerl: Asynchronous Event Request Limit
 * @sgls: SGL Support
 * @rsvd68: zero
 * @sn: Serial Number
 * @mn: Model Number
 * @subnqn: NVM Subsystem NVMe Qualified Name
 * @rsvd388: zero
 */
struct nvme_lm_hello {
	__le64 magic;
	__le16 version;
	__u8 cmdset;
	__u8 ident;
	__le16 state_ver;
	__le16 msix;
	__le64 state_len;
	__u8 uuid[16];
	__le64 cap;
	__le32 vs;
	__le16 nvq;
	__le16 nvi;
	__le16 vid;
	__le16 ssvid;
	__le16 oncs;
	__u8 mdts;
	__u8 aerl;
	__le32 sgls;
	__u8 rsvd68[4];
	char sn[20];
	char mn[40];
	char subnqn[256];
	__u8 rsvd388[4];
};

/**
 * struct nvme_lm_piece - head of a STATE record's payload
 * @offset: offset in the controller state of the bytes after this head
 */
struct nvme_lm_piece {
	__le64 offset;
};

/**
 * struct nvme_lm_end - payload of the END record
 * @total: bytes of controller state that were sent
 * @crc: CRC32C of all bytes of the stream from the last HELLO up to this field
 * @rsvd12: zero
 */
struct nvme_lm_end {
	__le64 total;
	__le32 crc;
	__u8 rsvd12[4];
};

static_assert(sizeof(struct nvme_lm_rec) == 16);
static_assert(sizeof(struct nvme_lm_hello) == 392);
static_assert(offsetof(struct nvme_lm_hello, sn) == 72);
static_assert(sizeof(struct nvme_lm_end) == 16);

#endif /* NVME_LM_STREAM_H */
