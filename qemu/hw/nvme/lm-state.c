/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: the image of a controller
 *
 * Three steps lead from bytes to a controller. The parser looks at nothing but
 * the bytes: afterwards every count, reference and pointer in them can be
 * relied on. The check compares with the controller they are meant for. Only
 * then something is changed, and that step cannot fail.
 */

#include "qemu/osdep.h"

#include "lm-state.h"
#include "trace.h"

/* Building */

static void nvme_lm_build_v0(NvmeCtrl *n, GByteArray *out)
{
    NvmeCtrlStateV0 v0 = {};
    uint16_t niosq = 0, niocq = 0;
    size_t at = out->len;
    unsigned i;

    nvme_lm_append(out, &v0, sizeof(v0));

    for (i = 1; i < n->params.max_ioqpairs + 1; i++) {
        NvmeSQueue *sq = n->sq[i];
        NvmeCtrlStateSq e;

        if (!sq) {
            continue;
        }
        e = (NvmeCtrlStateSq) {
            .prp1 = cpu_to_le64(sq->dma_addr),
            .qsize = cpu_to_le16(sq->size - 1),
            .qid = cpu_to_le16(sq->sqid),
            .cqid = cpu_to_le16(sq->cqid),
            .attr = cpu_to_le16(sq->flags & NVME_CTRL_STATE_SQ_MASK),
            /* what a shadow doorbell holds is not checked when it is read */
            .head = cpu_to_le16(sq->head % sq->size),
            .tail = cpu_to_le16(sq->tail % sq->size),
        };
        nvme_lm_append(out, &e, sizeof(e));
        niosq++;
    }

    for (i = 1; i < n->params.max_ioqpairs + 1; i++) {
        NvmeCQueue *cq = n->cq[i];
        NvmeCtrlStateCq e;
        uint16_t attr;

        if (!cq) {
            continue;
        }
        /* S0PT is the phase in slot 0; ours is that of the next entry */
        attr = NVME_CTRL_STATE_CQ_PC |
               (cq->irq_enabled ? NVME_CTRL_STATE_CQ_IEN : 0) |
               (!!cq->phase == !!cq->tail ? NVME_CTRL_STATE_CQ_S0PT : 0);
        e = (NvmeCtrlStateCq) {
            .prp1 = cpu_to_le64(cq->dma_addr),
            .qsize = cpu_to_le16(cq->size - 1),
            .qid = cpu_to_le16(cq->cqid),
            .head = cpu_to_le16(cq->head % cq->size),
            .tail = cpu_to_le16(cq->tail),
            .attr = cpu_to_le16(attr),
            .iv = cpu_to_le16(cq->vector),
        };
        nvme_lm_append(out, &e, sizeof(e));
        niocq++;
    }

    v0.niosq = cpu_to_le16(niosq);
    v0.niocq = cpu_to_le16(niocq);
    memcpy(out->data + at, &v0, sizeof(v0));
}

/* Build the image that Get returns, and keep it. */
uint16_t nvme_lm_freeze_image(NvmeCtrl *n, uint8_t csvi, uint8_t csuuidi,
                              NvmeLmWhy *why)
{
    bool suspended = n->lm->run == NVME_LM_SUSPENDED;
    NvmeCtrlStateHdr hdr = {
        .csattr = suspended ? NVME_CSATTR_SUSPENDED : 0,
    };
    GByteArray *out;
    size_t len;

    g_clear_pointer(&n->lm->image[csvi][csuuidi], g_bytes_unref);

    if (csuuidi) {
        uint16_t status = nvme_lm_vs_refuse(n, why);

        if (status) {
            return status;
        }
    }

    out = g_byte_array_new();
    nvme_lm_append(out, &hdr, sizeof(hdr));
    if (csvi) {
        nvme_lm_build_v0(n, out);
    }
    len = out->len;
    hdr.nvmecss[0] = cpu_to_le64((len - sizeof(hdr)) / 4);
    if (csuuidi) {
        nvme_lm_vs_build(n, out);
    }
    hdr.vss[0] = cpu_to_le64((out->len - len) / 4);
    memcpy(out->data, &hdr, sizeof(hdr));

    n->lm->image[csvi][csuuidi] = g_byte_array_free_to_bytes(out);
    return NVME_SUCCESS;
}

/* No state of this controller can be larger, with whatever a guest does. */
uint64_t nvme_lm_max_state(NvmeCtrl *n)
{
    uint64_t pairs = nvme_lm_own_pairs(n);

    return sizeof(NvmeCtrlStateHdr) + sizeof(NvmeCtrlStateV0) +
           pairs * (sizeof(NvmeCtrlStateSq) + sizeof(NvmeCtrlStateCq)) +
           nvme_lm_vs_max(n);
}

/* Parsing: nothing below looks at a controller */

bool nvme_lm_parse_header(const uint8_t *buf, size_t len, uint64_t max,
                          bool v0, bool vendor, uint64_t *total,
                          NvmeLmWhy *why)
{
    const NvmeCtrlStateHdr *hdr = (const NvmeCtrlStateHdr *)buf;
    uint64_t nvmecss, vss;

    CHECK(len >= sizeof(*hdr), why, "shorter than a header", len,
          sizeof(*hdr));
    /* nothing this model can hold needs the upper half of a size */
    nvmecss = le64_to_cpu(hdr->nvmecss[0]);
    vss = le64_to_cpu(hdr->vss[0]);

    CHECK(!hdr->ver, why, "container version", le16_to_cpu(hdr->ver), 0);
    CHECK(!hdr->nvmecss[1] && nvmecss <= max / 4, why, "NVMECSS", nvmecss,
          max / 4);
    CHECK(!hdr->vss[1] && vss <= max / 4, why, "VSS", vss, max / 4);
    CHECK(v0 || !nvmecss, why, "NVMe state without CSVI", nvmecss, 0);
    CHECK(vendor || !vss, why, "vendor data without CSUUIDI", vss, 0);

    *total = sizeof(*hdr) + 4 * (nvmecss + vss);
    CHECK(*total <= max, why, "larger than any state of this controller",
          *total, max);
    return true;
}

static bool nvme_lm_image_has_cq(const NvmeLmImage *img, uint16_t qid)
{
    unsigned i;

    for (i = 0; i < img->niocq; i++) {
        if (le16_to_cpu(img->cq[i].qid) == qid) {
            return true;
        }
    }

    return false;
}

static bool nvme_lm_parse_sq(const NvmeLmImage *img, unsigned i,
                             NvmeLmWhy *why)
{
    const NvmeCtrlStateSq *sq = &img->sq[i];
    uint16_t qid = le16_to_cpu(sq->qid);
    uint16_t qsize = le16_to_cpu(sq->qsize);
    uint16_t attr = le16_to_cpu(sq->attr);
    uint16_t head = le16_to_cpu(sq->head), tail = le16_to_cpu(sq->tail);

    CHECK(qid, why, "SQ: QID", qid, 1);
    CHECK(!i || qid > le16_to_cpu(img->sq[i - 1].qid), why,
          "SQ: QIDs do not ascend", qid, le16_to_cpu(img->sq[i - 1].qid));
    CHECK(qsize && qsize < UINT16_MAX, why, "SQ: QSIZE", qsize, 1);
    CHECK(attr & NVME_CTRL_STATE_SQ_PC, why, "SQ: not physically contiguous",
          attr, 1);
    CHECK(!(attr & ~NVME_CTRL_STATE_SQ_MASK) && !sq->rsvd20, why,
          "SQ: reserved field", attr, le32_to_cpu(sq->rsvd20));
    CHECK(head <= qsize, why, "SQ: head", head, qsize);
    CHECK(tail <= qsize, why, "SQ: tail", tail, qsize);
    CHECK(nvme_lm_image_has_cq(img, le16_to_cpu(sq->cqid)), why,
          "SQ: its CQ is not in the state", le16_to_cpu(sq->cqid), qid);
    return true;
}

static bool nvme_lm_parse_cq(const NvmeLmImage *img, unsigned i,
                             NvmeLmWhy *why)
{
    const NvmeCtrlStateCq *cq = &img->cq[i];
    uint16_t qid = le16_to_cpu(cq->qid);
    uint16_t qsize = le16_to_cpu(cq->qsize);
    uint16_t attr = le16_to_cpu(cq->attr);
    uint16_t head = le16_to_cpu(cq->head), tail = le16_to_cpu(cq->tail);

    CHECK(qid, why, "CQ: QID", qid, 1);
    CHECK(!i || qid > le16_to_cpu(img->cq[i - 1].qid), why,
          "CQ: QIDs do not ascend", qid, le16_to_cpu(img->cq[i - 1].qid));
    CHECK(qsize && qsize < UINT16_MAX, why, "CQ: QSIZE", qsize, 1);
    CHECK(attr & NVME_CTRL_STATE_CQ_PC, why, "CQ: not physically contiguous",
          attr, 1);
    CHECK(!(attr & ~NVME_CTRL_STATE_CQ_MASK) && !cq->rsvd20, why,
          "CQ: reserved field", attr, le32_to_cpu(cq->rsvd20));
    CHECK(head <= qsize, why, "CQ: head", head, qsize);
    CHECK(tail <= qsize, why, "CQ: tail", tail, qsize);
    return true;
}

static bool nvme_lm_parse_v0(const uint8_t *buf, size_t len, NvmeLmImage *img,
                             NvmeLmWhy *why)
{
    const NvmeCtrlStateV0 *v0 = (const NvmeCtrlStateV0 *)buf;
    uint64_t want;
    unsigned i;

    CHECK(len >= sizeof(*v0), why, "NVMe state too short", len, sizeof(*v0));
    CHECK(!v0->ver, why, "NVMe state version", le16_to_cpu(v0->ver), 0);
    CHECK(!v0->rsvd6, why, "NVMe state: reserved field",
          le16_to_cpu(v0->rsvd6), 0);

    img->niosq = le16_to_cpu(v0->niosq);
    img->niocq = le16_to_cpu(v0->niocq);
    want = sizeof(*v0) + img->niosq * sizeof(NvmeCtrlStateSq) +
           img->niocq * sizeof(NvmeCtrlStateCq);
    CHECK(len == want, why, "NVMECSS does not fit NIOSQ and NIOCQ", len, want);

    img->sq = (const NvmeCtrlStateSq *)(buf + sizeof(*v0));
    img->cq = (const NvmeCtrlStateCq *)(img->sq + img->niosq);

    for (i = 0; i < img->niocq; i++) {
        if (!nvme_lm_parse_cq(img, i, why)) {
            return false;
        }
    }
    for (i = 0; i < img->niosq; i++) {
        if (!nvme_lm_parse_sq(img, i, why)) {
            return false;
        }
    }

    return true;
}

static bool nvme_lm_parse(const uint8_t *buf, size_t len, NvmeLmImage *img,
                          NvmeLmWhy *why)
{
    const NvmeCtrlStateHdr *hdr = (const NvmeCtrlStateHdr *)buf;
    uint64_t total, v0_len, vs_len;

    *img = (NvmeLmImage) {};
    if (!nvme_lm_parse_header(buf, len, len, true, true, &total, why)) {
        return false;
    }
    CHECK(total == len, why, "length", len, total);

    v0_len = 4 * le64_to_cpu(hdr->nvmecss[0]);
    vs_len = 4 * le64_to_cpu(hdr->vss[0]);
    buf += sizeof(*hdr);

    if (v0_len && !nvme_lm_parse_v0(buf, v0_len, img, why)) {
        return false;
    }
    return !vs_len || nvme_lm_vs_parse(buf + v0_len, vs_len, img, why);
}

/* Comparing with the controller that is to become what the image says */

static bool nvme_lm_check_queues(NvmeCtrl *n, const NvmeLmImage *img,
                                 NvmeLmWhy *why)
{
    uint64_t mqes = NVME_CAP_MQES(ldq_le_p(&n->bar.cap));
    uint32_t page_bits = img->vs ? le16_to_cpu(img->vs->page_bits)
                                 : n->page_bits;
    uint64_t mask = (1ULL << page_bits) - 1;
    unsigned i;

    for (i = 0; i < img->niosq; i++) {
        const NvmeCtrlStateSq *sq = &img->sq[i];

        CHECK(le16_to_cpu(sq->qsize) <= mqes, why, "SQ: larger than MQES",
              le16_to_cpu(sq->qsize), mqes);
        CHECK(!(le64_to_cpu(sq->prp1) & mask), why, "SQ: address",
              le64_to_cpu(sq->prp1), mask);
    }
    for (i = 0; i < img->niocq; i++) {
        const NvmeCtrlStateCq *cq = &img->cq[i];

        CHECK(le16_to_cpu(cq->qsize) <= mqes, why, "CQ: larger than MQES",
              le16_to_cpu(cq->qsize), mqes);
        CHECK(!(le64_to_cpu(cq->prp1) & mask), why, "CQ: address",
              le64_to_cpu(cq->prp1), mask);
    }

    return true;
}

static bool nvme_lm_check_resources(NvmeCtrl *n, const NvmeLmImage *img,
                                    NvmeLmWhy *why)
{
    bool offline = nvme_lm_offline(n);
    unsigned pairs = offline ? 0 : n->conf_ioqpairs;
    unsigned i;

    CHECK(!offline || !img->vs, why,
          "an offline controller has no resources", 0, 1);

    if (img->vs && !nvme_lm_vs_check_resources(n, img, &pairs, why)) {
        return false;
    }
    for (i = 0; i < img->niosq; i++) {
        CHECK(le16_to_cpu(img->sq[i].qid) <= pairs, why, "too few queues",
              pairs, le16_to_cpu(img->sq[i].qid));
    }
    for (i = 0; i < img->niocq; i++) {
        CHECK(le16_to_cpu(img->cq[i].qid) <= pairs, why, "too few queues",
              pairs, le16_to_cpu(img->cq[i].qid));
        CHECK(le16_to_cpu(img->cq[i].iv) < n->conf_msix_qsize, why,
              "too few vectors", n->conf_msix_qsize,
              le16_to_cpu(img->cq[i].iv));
    }

    return true;
}

static uint16_t nvme_lm_check(NvmeCtrl *n, const NvmeLmImage *img,
                              NvmeLmWhy *why)
{
    bool queues = img->niosq || img->niocq;

    if (!nvme_lm_check_resources(n, img, why)) {
        return NVME_NOT_ENOUGH_RESOURCES;
    }
    NVME_LM_CHECK(!queues || !nvme_lm_has_io_queues(n),
                  NVME_INVALID_FIELD, why, "target has I/O queues", 1, 0);
    NVME_LM_CHECK(!img->vs || n->lm->run == NVME_LM_SUSPENDED,
                  NVME_CTRL_NOT_SUSPENDED, why,
                  "vendor data for a controller that runs", 0, 1);
    NVME_LM_CHECK(!img->vs || !nvme_lm_has_io_queues(n),
                  NVME_INVALID_FIELD, why,
                  "vendor data for a controller with I/O queues", 1, 0);
    NVME_LM_CHECK(img->vs || !queues || nvme_lm_admin_queues(n),
                  NVME_CMD_SEQ_ERROR, why,
                  "I/O queues for a controller that is not enabled", 0, 1);
    if (img->vs && !nvme_lm_vs_check(n, img, why)) {
        return NVME_INVALID_FIELD;
    }
    if (!nvme_lm_check_queues(n, img, why)) {
        return NVME_INVALID_FIELD;
    }

    return NVME_SUCCESS;
}

/* Changing the controller: cannot fail, touches no memory of the host */

static void nvme_lm_apply_io_queues(NvmeCtrl *n, const NvmeLmImage *img)
{
    unsigned i;

    for (i = 0; i < img->niocq; i++) {
        const NvmeCtrlStateCq *e = &img->cq[i];
        NvmeCQueue *cq = g_new0(NvmeCQueue, 1);
        uint16_t attr = le16_to_cpu(e->attr);
        bool s0pt = attr & NVME_CTRL_STATE_CQ_S0PT;

        nvme_init_cq(cq, n, le64_to_cpu(e->prp1), le16_to_cpu(e->qid),
                     le16_to_cpu(e->iv), le16_to_cpu(e->qsize) + 1,
                     !!(attr & NVME_CTRL_STATE_CQ_IEN));
        cq->head = le16_to_cpu(e->head);
        cq->tail = le16_to_cpu(e->tail);
        cq->phase = cq->tail ? s0pt : !s0pt;
        n->qs_created = true;
    }

    for (i = 0; i < img->niosq; i++) {
        const NvmeCtrlStateSq *e = &img->sq[i];
        NvmeSQueue *sq = g_new0(NvmeSQueue, 1);

        nvme_init_sq(sq, n, le64_to_cpu(e->prp1), le16_to_cpu(e->qid),
                     le16_to_cpu(e->cqid), le16_to_cpu(e->qsize) + 1);
        sq->flags = le16_to_cpu(e->attr);
        sq->head = le16_to_cpu(e->head);
        sq->tail = le16_to_cpu(e->tail);
    }
}

/* The pin, if there is one, stays asserted while a queue has such entries */
static void nvme_lm_count_pending(NvmeCtrl *n)
{
    unsigned i;

    n->cq_pending = 0;
    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        NvmeCQueue *cq = n->cq[i];

        if (cq && cq->irq_enabled && cq->head != cq->tail) {
            n->cq_pending++;
        }
    }
}

static void nvme_lm_apply(NvmeCtrl *n, const NvmeLmImage *img)
{
    if (img->vs) {
        nvme_lm_vs_apply(n, img);
    }

    nvme_lm_apply_io_queues(n, img);

    if (img->vs) {
        nvme_lm_vs_apply_commands(n, img);
    }

    nvme_lm_count_pending(n);
}

/* Verify a complete image and make the controller what it says. */
uint16_t nvme_lm_commit(NvmeCtrl *n, const uint8_t *buf, size_t len,
                        NvmeLmWhy *why)
{
    NvmeLmImage img;
    uint16_t status;

    if (!nvme_lm_parse(buf, len, &img, why)) {
        return NVME_INVALID_FIELD;
    }

    status = nvme_lm_check(n, &img, why);
    if (status) {
        return status;
    }

    nvme_lm_apply(n, &img);
    nvme_lm_image_drop(n->lm);
    trace_pci_nvme_lm_commit(n->cntlid, img.niosq, img.niocq, !!img.vs);

    if (n->lm->run != NVME_LM_SUSPENDED) {
        nvme_lm_kick(n);
    }

    return NVME_SUCCESS;
}
