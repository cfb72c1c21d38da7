/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: extra state of the hardware model
 *
 * A state can be made as large as that of other hardware. What is added means
 * nothing, and is not in memory: Get makes each piece from a seed, and Set
 * checks each piece by the seed in the same state.
 */

#include "qemu/osdep.h"

#include "lm-model.h"

#define NVME_LM_EXTRA_BLOCK 4096

/* SplitMix64: the 8 bytes of a number, little-endian */
static uint64_t nvme_lm_extra_word(uint64_t seed, uint64_t nr)
{
    uint64_t z = seed + (nr + 1) * 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* The bytes from @off on */
static void nvme_lm_extra_fill(const NvmeLmExtra *e, uint64_t off,
                               uint8_t *buf, size_t len)
{
    uint8_t word[sizeof(uint64_t)];
    size_t skip, n;

    while (len) {
        skip = off % sizeof(word);
        n = MIN(sizeof(word) - skip, len);
        stq_le_p(word, nvme_lm_extra_word(e->seed, off / sizeof(word)));
        memcpy(buf, word + skip, n);
        buf += n;
        off += n;
        len -= n;
    }
}

static bool nvme_lm_extra_check(const NvmeLmExtra *e, uint64_t off,
                                const uint8_t *buf, size_t len,
                                NvmeLmWhy *why)
{
    uint8_t want[NVME_LM_EXTRA_BLOCK];
    size_t n;

    while (len) {
        n = MIN(sizeof(want), len);
        nvme_lm_extra_fill(e, off, want, n);
        NVME_LM_CHECK(!memcmp(buf, want, n), false, why,
                      "extra state: wrong byte (offset of the block)", off,
                      e->len);
        buf += n;
        off += n;
        len -= n;
    }

    return true;
}

/*
 * Where the extra state is in an image of which the first @len bytes are there.
 * False: there is none, or not enough of the image to know. What is wrong with
 * the image otherwise is found when it is parsed.
 */
bool nvme_lm_extra_find(const uint8_t *buf, size_t len, NvmeLmExtra *e)
{
    const NvmeCtrlStateHdr *hdr = (const NvmeCtrlStateHdr *)buf;
    const NvmeLmVsExtra *extra;
    uint64_t at, vs_len, fixed = sizeof(NvmeLmVs) + sizeof(*extra);
    const NvmeLmVs *vs;

    if (len < sizeof(*hdr)) {
        return false;
    }

    at = sizeof(*hdr) + 4 * le64_to_cpu(hdr->nvmecss[0]);
    vs_len = 4 * le64_to_cpu(hdr->vss[0]);
    if (vs_len < fixed || len < at + fixed) {
        return false;
    }

    vs = (const NvmeLmVs *)(buf + at);
    extra = (const NvmeLmVsExtra *)(vs + 1);
    if (memcmp(vs->magic, NVME_LM_VS_MAGIC, sizeof(vs->magic)) ||
        !(le32_to_cpu(vs->flags) & NVME_LM_VS_EXTRA) ||
        le32_to_cpu(extra->len) > vs_len - fixed) {
        return false;
    }

    e->seed = le64_to_cpu(extra->seed);
    e->len = le32_to_cpu(extra->len);
    e->at = at + vs_len - e->len;
    return true;
}

/* Check the extra state of an image that is whole. */
bool nvme_lm_extra_verify(const uint8_t *buf, size_t len, NvmeLmExtra *e,
                          NvmeLmWhy *why)
{
    if (!nvme_lm_extra_find(buf, len, e)) {
        *e = (NvmeLmExtra) { .at = len };
        return true;
    }

    return nvme_lm_extra_check(e, 0, buf + e->at, e->len, why);
}

/* Check what has come of the extra state, and drop it. */
bool nvme_lm_extra_take(NvmeLm *lm, NvmeLmWhy *why)
{
    NvmeLmExtra e;
    size_t len;

    if (!nvme_lm_extra_find(lm->load->data, lm->load->len, &e) ||
        lm->load->len <= e.at) {
        return true;
    }

    len = lm->load->len - e.at;
    if (!nvme_lm_extra_check(&e, lm->load_extra, lm->load->data + e.at, len,
                             why)) {
        return false;
    }

    lm->load_extra += len;
    g_byte_array_set_size(lm->load, e.at);
    return true;
}

/* Images that Get returns: what follows the bytes in memory is extra state. */

size_t nvme_lm_image_size(GBytes *image)
{
    size_t len;
    const uint8_t *data = g_bytes_get_data(image, &len);
    NvmeLmExtra e;

    return nvme_lm_extra_find(data, len, &e) ? e.at + e.len : len;
}

void nvme_lm_image_read(GBytes *image, uint64_t off, uint8_t *buf, size_t len)
{
    size_t size, n = 0;
    const uint8_t *data = g_bytes_get_data(image, &size);
    NvmeLmExtra e;

    if (off < size) {
        n = MIN(len, size - off);
        memcpy(buf, data + off, n);
    }
    if (n < len && nvme_lm_extra_find(data, size, &e)) {
        nvme_lm_extra_fill(&e, off + n - e.at, buf + n, len - n);
    }
}
