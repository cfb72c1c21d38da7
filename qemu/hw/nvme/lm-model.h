/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: a model of the hardware, and its extra state
 */

#ifndef HW_NVME_LM_MODEL_H
#define HW_NVME_LM_MODEL_H

#include "lm-vs.h"

extern const PropertyInfo nvme_lm_prop_live_uint64;

#define NVME_LM_PROP_MODEL(name_, field_) \
    DEFINE_PROP(name_, NvmeCtrl, params.lm.model.field_, \
                nvme_lm_prop_live_uint64, uint64_t, \
                .set_default = true, .defval.u = 0)

/* With NVME_LM_VS_EXTRA the fixed part goes on with this */
typedef struct QEMU_PACKED NvmeLmVsExtra {
    uint64_t seed;
    uint32_t len;
    uint32_t rsvd12;
} NvmeLmVsExtra;

QEMU_BUILD_BUG_ON(sizeof(NvmeLmVsExtra) != 16);

/* The extra state at the end of an image */
typedef struct NvmeLmExtra {
    uint64_t seed;
    uint64_t at;                            /* offset in the image */
    uint64_t len;
} NvmeLmExtra;

typedef uint16_t NvmeLmExecute(NvmeCtrl *n, NvmeRequest *req);

/* lm-model.c */
bool nvme_lm_model_check_params(NvmeCtrl *n, Error **errp);
uint16_t nvme_lm_model_cmd(NvmeCtrl *n, NvmeRequest *req,
                           NvmeLmExecute *execute);
void nvme_lm_model_look_again(NvmeCtrl *n);
void nvme_lm_model_abandon(NvmeCtrl *n);
void nvme_lm_model_target_reset(NvmeCtrl *n);
NvmeCtrl *nvme_lm_model_suspender(NvmeLm *lm);

/* lm-extra.c */
bool nvme_lm_extra_find(const uint8_t *buf, size_t len, NvmeLmExtra *e);
bool nvme_lm_extra_verify(const uint8_t *buf, size_t len, NvmeLmExtra *e,
                          NvmeLmWhy *why);
bool nvme_lm_extra_take(NvmeLm *lm, NvmeLmWhy *why);
size_t nvme_lm_image_size(GBytes *image);
void nvme_lm_image_read(GBytes *image, uint64_t off, uint8_t *buf, size_t len);

#endif /* HW_NVME_LM_MODEL_H */
