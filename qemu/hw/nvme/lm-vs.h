/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: the vendor part of a state
 */

#ifndef HW_NVME_LM_VS_H
#define HW_NVME_LM_VS_H

#include "lm.h"

/* Vendor part of a state; docs/specs/nvme-lm.rst describes it */
#define NVME_LM_VS_MAGIC        "NVMEVFST"
#define NVME_LM_VS_REVISION     2
#define NVME_LM_VS_GROWTH       4096    /* of the fixed part, in the future */

enum NvmeLmVsFlags {
    NVME_LM_VS_CONSISTENT   = 1 << 0,
    NVME_LM_VS_ADMIN        = 1 << 1,
    NVME_LM_VS_QS_CREATED   = 1 << 2,
    NVME_LM_VS_DBBUF        = 1 << 3,
    NVME_LM_VS_SQ0_DB       = 1 << 4,
    NVME_LM_VS_CQ0_DB       = 1 << 5,
    NVME_LM_VS_DN           = 1 << 6,
    NVME_LM_VS_WC_OFF       = 1 << 7,
    NVME_LM_VS_FLAGS        = (1 << 8) - 1,
};

#define NVME_LM_VS_LOG_C0       0x1
#define NVME_LM_VS_NS_WC_OFF    0x1

typedef struct QEMU_PACKED NvmeLmVs {
    char     magic[8];
    uint16_t revision;
    uint16_t fixed_len;
    uint32_t total_len;
    uint32_t flags;
    uint16_t nr_ns;
    uint16_t nr_aer;
    uint16_t nr_event;
    uint16_t rsvd26;
    uint32_t nr_held;

    /* what the other side has to have as well */
    uint64_t cap;
    uint64_t bar_size;
    uint32_t vs;
    uint32_t effects_crc;
    uint16_t ioqpairs;
    uint16_t vectors;
    uint32_t aer_max_queued;
    uint8_t  vsl;
    uint8_t  zasl;
    uint8_t  logs;
    uint8_t  rsvd67[5];

    /* registers */
    uint32_t cc;
    uint32_t csts;
    uint32_t aqa;
    uint32_t intms;
    uint64_t asq;
    uint64_t acq;
    uint64_t cmbmsc;

    /* admin queues as they are in use, whatever the registers say by now */
    uint64_t sq_addr;
    uint64_t cq_addr;
    uint16_t sq_size;
    uint16_t sq_head;
    uint16_t sq_tail;
    uint16_t page_bits;
    uint16_t cq_size;
    uint16_t cq_head;
    uint16_t cq_tail;
    uint8_t  cq_phase;
    uint8_t  aer_mask;
    uint64_t dbbuf_dbs;
    uint64_t dbbuf_eis;

    /* features */
    uint64_t timestamp;
    uint64_t timestamp_age_ms;
    uint16_t temp_thresh_hi;
    uint16_t temp_thresh_low;
    uint32_t async_config;
    uint8_t  rsvd184[8];
    uint8_t  changed_ns[40];
    uint8_t  rsvd232[24];
    uint8_t  hbs[512];

    /* Identify Controller as the guest sees it */
    uint8_t  id_ctrl[4096];
} NvmeLmVs;

typedef struct QEMU_PACKED NvmeLmVsNs {
    uint32_t nsid;
    uint8_t  csi;
    uint8_t  attr;
    uint8_t  rsvd6[2];
    uint64_t nsze;
    uint8_t  uuid[16];
    uint8_t  nguid[16];
    uint64_t eui64;
    uint32_t err_rec;
    uint32_t id_crc;
    uint8_t  flbas;
    uint8_t  dps;
    uint8_t  nmic;
    uint8_t  pif;
    uint32_t ind_crc;
} NvmeLmVsNs;

typedef struct QEMU_PACKED NvmeLmVsHeld {
    uint16_t sqid;
    uint16_t cid;
    uint16_t status;
    uint16_t rsvd6;
    uint32_t result;
    uint32_t dw1;
} NvmeLmVsHeld;

QEMU_BUILD_BUG_ON(offsetof(NvmeLmVs, cc) != 72);
QEMU_BUILD_BUG_ON(offsetof(NvmeLmVs, hbs) != 256);
QEMU_BUILD_BUG_ON(sizeof(NvmeLmVs) != 4864);
QEMU_BUILD_BUG_ON(sizeof(NvmeLmVsNs) != 72);
QEMU_BUILD_BUG_ON(sizeof(NvmeLmVsHeld) != 16);

#endif /* HW_NVME_LM_VS_H */
