/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: the image of a controller, between the files that read it
 */

#ifndef HW_NVME_LM_STATE_H
#define HW_NVME_LM_STATE_H

#include "lm-vs.h"

/* A refusal by a function that says whether the image is good */
#define CHECK(cond_, why_, what_, got_, want_) \
    NVME_LM_CHECK(cond_, false, why_, what_, got_, want_)

/* A parsed image; the pointers lead into the bytes it was parsed from. */
typedef struct NvmeLmImage {
    unsigned niosq;
    unsigned niocq;
    const NvmeCtrlStateSq *sq;
    const NvmeCtrlStateCq *cq;
    const NvmeLmVs *vs;
    const NvmeLmVsNs *ns;
    const uint8_t *aer;
    const uint8_t *event;
    const NvmeLmVsHeld *held;
} NvmeLmImage;

static inline void nvme_lm_append(GByteArray *out, const void *data,
                                  size_t len)
{
    g_byte_array_append(out, data, len);
}

/* lm-vs.c */
uint64_t nvme_lm_vs_max(NvmeCtrl *n);
uint16_t nvme_lm_vs_refuse(NvmeCtrl *n, NvmeLmWhy *why);
void nvme_lm_vs_build(NvmeCtrl *n, GByteArray *out);
bool nvme_lm_vs_parse(const uint8_t *buf, size_t len, NvmeLmImage *img,
                      NvmeLmWhy *why);
bool nvme_lm_vs_check_resources(NvmeCtrl *n, const NvmeLmImage *img,
                                unsigned *pairs, NvmeLmWhy *why);
bool nvme_lm_vs_check(NvmeCtrl *n, const NvmeLmImage *img, NvmeLmWhy *why);
void nvme_lm_vs_apply(NvmeCtrl *n, const NvmeLmImage *img);
void nvme_lm_vs_apply_commands(NvmeCtrl *n, const NvmeLmImage *img);

#endif /* HW_NVME_LM_STATE_H */
