/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Host managed live migration: what block/nvme.h lacks
 *
 * Numbers and structures of TP4159, and those of the vendor specific command
 * set of 2022. Nothing here is about this model of a controller. This is a
 * reading of the specification of its own: on purpose it shares nothing with
 * the driver and the tests.
 */

#ifndef HW_NVME_LM_SPEC_H
#define HW_NVME_LM_SPEC_H

enum NvmeLmOpcode {
    NVME_LM_TRACK_SEND          = 0x3d,
    NVME_LM_TRACK_RECV          = 0x3e,
    NVME_LM_MIGRATION_SEND      = 0x41,
    NVME_LM_MIGRATION_RECV      = 0x42,
};

enum NvmeLmStatus {
    NVME_LM_NOT_ENOUGH_RESOURCES    = 0x0138,
    NVME_LM_CTRL_SUSPENDED          = 0x0139,
    NVME_LM_CTRL_NOT_SUSPENDED      = 0x013a,
};

/* Identify */

#define NVME_LM_CNS_STATE_FORMATS   0x20
#define NVME_LM_OACS_HMLMS          (1 << 11)

/* Offsets in Identify Controller */
#define NVME_LM_ID_CMMRTD   570
#define NVME_LM_ID_NMMRTD   572
#define NVME_LM_ID_MINMRTG  574
#define NVME_LM_ID_MAXMRTG  575
#define NVME_LM_ID_TRATTR   576

enum NvmeLmTrattr {
    NVME_LM_TRATTR_THMCS    = 1 << 0,
    NVME_LM_TRATTR_MRTLL    = 1 << 2,
};

/* Migration Send */

enum NvmeLmSendSel {
    NVME_LM_SEND_SUSPEND    = 0x0,
    NVME_LM_SEND_RESUME     = 0x1,
    NVME_LM_SEND_SET        = 0x2,
};

enum NvmeLmStype {
    NVME_LM_STYPE_NOTIFY    = 0x0,
    NVME_LM_STYPE_SUSPEND   = 0x1,
};

#define NVME_LM_SEQ_FIRST   0x1
#define NVME_LM_SEQ_LAST    0x2
#define NVME_LM_SEQ_ONLY    (NVME_LM_SEQ_FIRST | NVME_LM_SEQ_LAST)

/* Container of a controller state; its sizes are 128-bit counts of dwords. */
typedef struct QEMU_PACKED NvmeLmHeader {
    uint16_t ver;
    uint8_t  csattr;
    uint8_t  rsvd3[13];
    uint64_t nvmecss[2];
    uint64_t vss[2];
} NvmeLmHeader;

QEMU_BUILD_BUG_ON(sizeof(NvmeLmHeader) != 48);

#define NVME_LM_CSATTR_SUSPENDED    0x1

/* NVMe controller state, version 0 */
typedef struct QEMU_PACKED NvmeLmV0 {
    uint16_t ver;
    uint16_t niosq;
    uint16_t niocq;
    uint16_t rsvd6;
} NvmeLmV0;

QEMU_BUILD_BUG_ON(sizeof(NvmeLmV0) != 8);

typedef struct QEMU_PACKED NvmeLmV0Sq {
    uint64_t prp1;
    uint16_t qsize;
    uint16_t qid;
    uint16_t cqid;
    uint16_t attr;
    uint16_t head;
    uint16_t tail;
    uint32_t rsvd20;
} NvmeLmV0Sq;

QEMU_BUILD_BUG_ON(sizeof(NvmeLmV0Sq) != 24);

typedef struct QEMU_PACKED NvmeLmV0Cq {
    uint64_t prp1;
    uint16_t qsize;
    uint16_t qid;
    uint16_t head;
    uint16_t tail;
    uint16_t attr;
    uint16_t iv;
    uint32_t rsvd20;
} NvmeLmV0Cq;

QEMU_BUILD_BUG_ON(sizeof(NvmeLmV0Cq) != 24);

#define NVME_LM_Q_PC            0x1
#define NVME_LM_SQ_ATTR_MASK    0x7
#define NVME_LM_CQ_IEN          0x2
#define NVME_LM_CQ_S0PT         0x4
#define NVME_LM_CQ_ATTR_MASK    0x7

/* Track Send and Track Receive */

enum NvmeLmTrackSel {
    NVME_LM_TRACK_USER_DATA = 0x0,
    NVME_LM_TRACK_MEMORY    = 0x1,
};

/* Granularities count from 4 KiB. */
#define NVME_LM_UNIT_BITS   12

/* What Not Enough Resources reports if no granularity is possible */
#define NVME_LM_NO_MRTG     0xffff

/* Track Memory Changes */
typedef struct QEMU_PACKED NvmeLmTrackHeader {
    uint8_t  ver;
    uint8_t  rsvd1[2];
    uint8_t  rmrtg;
    uint32_t rnmrtd;
} NvmeLmTrackHeader;

QEMU_BUILD_BUG_ON(sizeof(NvmeLmTrackHeader) != 8);

typedef struct QEMU_PACKED NvmeLmTrackDesc {
    uint64_t saddr;
    uint32_t len;
} NvmeLmTrackDesc;

QEMU_BUILD_BUG_ON(sizeof(NvmeLmTrackDesc) != 12);

/* Tracked Memory Change */
typedef struct QEMU_PACKED NvmeLmChangedHeader {
    uint8_t  ver;
    uint8_t  attrb;
    uint16_t cntlid;
    uint32_t ntmcd;
    uint16_t rpmpg;
    uint8_t  rsvd10[6];
} NvmeLmChangedHeader;

QEMU_BUILD_BUG_ON(sizeof(NvmeLmChangedHeader) != 16);

enum NvmeLmChangedAttr {
    NVME_LM_CHANGED_MTR     = 1 << 0,
    NVME_LM_CHANGED_SUSP    = 1 << 1,
};

typedef struct QEMU_PACKED NvmeLmChangedDesc {
    uint64_t saddr;
    uint32_t len;
    uint32_t rsvd12;
} NvmeLmChangedDesc;

QEMU_BUILD_BUG_ON(sizeof(NvmeLmChangedDesc) != 16);

/* The vendor specific command set of 2022 */

enum NvmeLmVsOpcode {
    NVME_LM_VS_QUERY_DATA_SIZE  = 0xc4,
    NVME_LM_VS_SUSPEND          = 0xc8,
    NVME_LM_VS_RESUME           = 0xcc,
    NVME_LM_VS_SAVE_DATA        = 0xd2,
    NVME_LM_VS_LOAD_DATA        = 0xd5,
};

#define NVME_LM_VF_DEVICE_ID    0x1457

#endif /* HW_NVME_LM_SPEC_H */
