/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: the vendor part of a state
 *
 * Everything of a controller that a guest can see and the NVMe part has no
 * place for. lm-state.c builds, parses, checks and applies both parts together.
 */

#include "qemu/osdep.h"
#include "qemu/crc32c.h"
#include "qemu/cutils.h"
#include "qemu/timer.h"

#include "lm-state.h"

/* Namespaces */

/* Whether enabling the controller would attach the namespace by itself */
static bool nvme_lm_auto_attach(NvmeCtrl *n, NvmeNamespace *ns)
{
    return !ns->params.detached && ns->csi == NVME_CSI_NVM &&
           (ns->params.shared || (ns->ctrl == n && !ns->attached));
}

/*
 * The namespaces of an enabled controller are those attached to it; of another
 * one those that it will have when it is enabled.
 */
static bool nvme_lm_has_ns(NvmeCtrl *n, uint32_t nsid, bool enabled)
{
    NvmeNamespace *ns = nvme_subsys_ns(n->subsys, nsid);

    return ns && (nvme_ns(n, nsid) ||
                  (!enabled && nvme_lm_auto_attach(n, ns)));
}

static uint32_t nvme_lm_crc(const void *data, size_t len)
{
    return crc32c(0xffffffff, data, len);
}

static void nvme_lm_describe_ns(NvmeCtrl *n, NvmeNamespace *ns, NvmeLmVsNs *d)
{
    uint32_t nsid = ns->params.nsid;

    *d = (NvmeLmVsNs) {
        .nsid = cpu_to_le32(nsid),
        .csi = ns->csi,
        .nsze = ns->id_ns.nsze,
        .eui64 = cpu_to_le64(ns->params.eui64),
        .err_rec = cpu_to_le32(n->features.err_rec[nsid]),
        .id_crc = cpu_to_le32(nvme_lm_crc(&ns->id_ns, sizeof(ns->id_ns)) ^
                              nvme_lm_crc(&ns->id_ns_nvm,
                                          sizeof(ns->id_ns_nvm))),
        .flbas = ns->id_ns.flbas,
        .dps = ns->id_ns.dps,
        .nmic = ns->id_ns.nmic,
        .pif = ns->pif,
        .attr = ns->wce ? 0 : NVME_LM_VS_NS_WC_OFF,
        .ind_crc = cpu_to_le32(nvme_lm_crc(&ns->id_ns_ind,
                                           sizeof(ns->id_ns_ind))),
    };
    memcpy(d->uuid, ns->params.uuid.data, sizeof(d->uuid));
    memcpy(d->nguid, ns->params.nguid.data, sizeof(d->nguid));
}

/* Building */

/* Of what no state can have more, whatever a guest does */
uint64_t nvme_lm_vs_max(NvmeCtrl *n)
{
    uint64_t mqes = NVME_CAP_MQES(ldq_le_p(&n->bar.cap)) + 1;
    uint64_t slots = 4096 + nvme_lm_own_pairs(n) * mqes;

    return sizeof(NvmeLmVs) + NVME_LM_VS_GROWTH +
           NVME_MAX_NAMESPACES * sizeof(NvmeLmVsNs) +
           2 * (n->params.aerl + 2) + 4ULL * n->params.aer_max_queued +
           slots * sizeof(NvmeLmVsHeld);
}

static uint32_t nvme_lm_effects_crc(NvmeCtrl *n)
{
    return nvme_lm_crc(&n->cse, sizeof(n->cse));
}

/* What the other side has to have: filled the same way to compare */
static void nvme_lm_build_limits(NvmeCtrl *n, NvmeLmVs *vs)
{
    vs->cap = n->bar.cap;
    vs->bar_size = cpu_to_le64(memory_region_size(&n->bar0));
    vs->vs = n->bar.vs;
    vs->effects_crc = cpu_to_le32(nvme_lm_effects_crc(n));
    vs->vectors = cpu_to_le16(n->conf_msix_qsize);
    vs->aer_max_queued = cpu_to_le32(n->params.aer_max_queued);
    vs->vsl = n->params.vsl;
    vs->zasl = n->params.zasl;
}

/* What the guest was told, which can be that of another controller */
static void nvme_lm_build_told(NvmeCtrl *n, NvmeLmVs *vs)
{
    vs->ioqpairs = n->lm->pairs_told ? cpu_to_le16(n->conf_ioqpairs) : 0;
    vs->logs = n->params.ocp ? NVME_LM_VS_LOG_C0 : 0;
    memcpy(vs->id_ctrl, &n->id_ctrl, sizeof(vs->id_ctrl));
}

static void nvme_lm_build_admin(NvmeCtrl *n, NvmeLmVs *vs)
{
    const NvmeSQueue *sq = &n->admin_sq;
    const NvmeCQueue *cq = &n->admin_cq;

    vs->sq_addr = cpu_to_le64(sq->dma_addr);
    vs->sq_size = cpu_to_le16(sq->size);
    vs->sq_head = cpu_to_le16(sq->head % sq->size);
    vs->sq_tail = cpu_to_le16(sq->tail % sq->size);
    vs->cq_addr = cpu_to_le64(cq->dma_addr);
    vs->cq_size = cpu_to_le16(cq->size);
    vs->cq_head = cpu_to_le16(cq->head % cq->size);
    vs->cq_tail = cpu_to_le16(cq->tail);
    vs->cq_phase = cq->phase;
    vs->page_bits = cpu_to_le16(n->page_bits);
}

static void nvme_lm_build_fixed(NvmeCtrl *n, NvmeLmVs *vs)
{
    uint64_t now = n->lm->run == NVME_LM_SUSPENDED ?
                   n->lm->frozen_ms : qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL);
    uint32_t flags = 0;
    unsigned i;

    memcpy(vs->magic, NVME_LM_VS_MAGIC, sizeof(vs->magic));
    vs->revision = cpu_to_le16(NVME_LM_VS_REVISION);
    vs->fixed_len = cpu_to_le16(sizeof(*vs));
    nvme_lm_build_limits(n, vs);
    nvme_lm_build_told(n, vs);

    vs->cc = n->bar.cc;
    vs->csts = n->bar.csts;
    vs->aqa = n->bar.aqa;
    vs->intms = n->bar.intms;
    vs->asq = n->bar.asq;
    vs->acq = n->bar.acq;
    vs->cmbmsc = n->bar.cmbmsc;

    if (nvme_lm_admin_queues(n)) {
        flags |= NVME_LM_VS_ADMIN;
        nvme_lm_build_admin(n, vs);
    }
    if (n->dbbuf_enabled) {
        flags |= NVME_LM_VS_DBBUF;
        vs->dbbuf_dbs = cpu_to_le64(n->dbbuf_dbs);
        vs->dbbuf_eis = cpu_to_le64(n->dbbuf_eis);
    }
    flags |= n->lm->run == NVME_LM_SUSPENDED ? NVME_LM_VS_CONSISTENT : 0;
    flags |= n->qs_created ? NVME_LM_VS_QS_CREATED : 0;
    flags |= n->lm->sq0_db ? NVME_LM_VS_SQ0_DB : 0;
    flags |= n->lm->cq0_db ? NVME_LM_VS_CQ0_DB : 0;
    flags |= n->dn ? NVME_LM_VS_DN : 0;
    flags |= n->lm->wc_off ? NVME_LM_VS_WC_OFF : 0;
    vs->flags = cpu_to_le32(flags);

    vs->aer_mask = n->aer_mask;
    vs->timestamp = cpu_to_le64(n->host_timestamp);
    vs->timestamp_age_ms = cpu_to_le64(now - n->timestamp_set_qemu_clock_ms);
    vs->temp_thresh_hi = cpu_to_le16(n->features.temp_thresh_hi);
    vs->temp_thresh_low = cpu_to_le16(n->features.temp_thresh_low);
    vs->async_config = cpu_to_le32(n->features.async_config);
    memcpy(vs->hbs, &n->features.hbs, sizeof(vs->hbs));
    for (i = 0; i < NVME_CHANGED_NSID_SIZE; i++) {
        if (test_bit(i, n->changed_nsids)) {
            vs->changed_ns[i / 8] |= 1 << (i % 8);
        }
    }
}

static unsigned nvme_lm_build_ns(NvmeCtrl *n, GByteArray *out)
{
    bool enabled = nvme_lm_admin_queues(n);
    unsigned nsid, count = 0;
    NvmeLmVsNs d;

    for (nsid = 1; nsid <= NVME_MAX_NAMESPACES; nsid++) {
        if (nvme_lm_has_ns(n, nsid, enabled)) {
            nvme_lm_describe_ns(n, nvme_subsys_ns(n->subsys, nsid), &d);
            nvme_lm_append(out, &d, sizeof(d));
            count++;
        }
    }

    return count;
}

static void nvme_lm_build_aers(NvmeCtrl *n, GByteArray *out)
{
    unsigned i;

    for (i = 0; i < n->outstanding_aers; i++) {
        nvme_lm_append(out, &n->aer_reqs[i]->cqe.cid, sizeof(uint16_t));
    }
    if (n->outstanding_aers & 1) {
        nvme_lm_append(out, &(uint16_t) { 0 }, sizeof(uint16_t));
    }
}

static unsigned nvme_lm_build_events(NvmeCtrl *n, GByteArray *out)
{
    NvmeAsyncEvent *event;
    unsigned count = 0;

    QTAILQ_FOREACH(event, &n->aer_queue, entry) {
        uint8_t e[4] = {
            event->result.event_type,
            event->result.event_info,
            event->result.log_page,
        };

        nvme_lm_append(out, e, sizeof(e));
        count++;
    }

    return count;
}

static unsigned nvme_lm_build_held(NvmeCtrl *n, GByteArray *out)
{
    unsigned i, count = 0;
    NvmeRequest *req;

    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        if (!n->cq[i]) {
            continue;
        }
        QTAILQ_FOREACH(req, &n->cq[i]->req_list, entry) {
            NvmeLmVsHeld e = {
                .sqid = cpu_to_le16(req->sq->sqid),
                .cid = req->cqe.cid,
                .status = cpu_to_le16(req->status & 0x7fff),
                .result = req->cqe.result,
                .dw1 = req->cqe.dw1,
            };

            nvme_lm_append(out, &e, sizeof(e));
            count++;
        }
    }

    return count;
}

void nvme_lm_vs_build(NvmeCtrl *n, GByteArray *out)
{
    g_autofree NvmeLmVs *vs = g_new0(NvmeLmVs, 1);
    size_t at = out->len;

    nvme_lm_build_fixed(n, vs);
    nvme_lm_append(out, vs, sizeof(*vs));
    vs->nr_ns = cpu_to_le16(nvme_lm_build_ns(n, out));
    vs->nr_aer = cpu_to_le16(n->outstanding_aers);
    nvme_lm_build_aers(n, out);
    vs->nr_event = cpu_to_le16(nvme_lm_build_events(n, out));
    vs->nr_held = cpu_to_le32(nvme_lm_build_held(n, out));
    vs->total_len = cpu_to_le32(out->len - at);
    memcpy(out->data + at, vs, sizeof(*vs));
}

static bool nvme_lm_zoned(NvmeCtrl *n)
{
    unsigned nsid;

    for (nsid = 1; nsid <= NVME_MAX_NAMESPACES; nsid++) {
        NvmeNamespace *ns = nvme_ns(n, nsid);

        if (ns && ns->csi != NVME_CSI_NVM) {
            return true;
        }
    }

    return false;
}

/* Why there can be no such part, or NVME_SUCCESS */
uint16_t nvme_lm_vs_refuse(NvmeCtrl *n, NvmeLmWhy *why)
{
    NVME_LM_CHECK(!nvme_lm_zoned(n), NVME_INVALID_FIELD, why,
                  "get: zoned namespaces cannot move", 1, 0);
    return NVME_SUCCESS;
}

/* Parsing: nothing below looks at a controller */

static bool nvme_lm_parse_admin(const NvmeLmVs *vs, NvmeLmWhy *why)
{
    uint32_t sq_size = le16_to_cpu(vs->sq_size);
    uint32_t cq_size = le16_to_cpu(vs->cq_size);
    uint32_t bits = le16_to_cpu(vs->page_bits);
    uint64_t mask;

    CHECK(bits >= 12 && bits <= 27, why, "page size", bits, 12);
    CHECK(sq_size >= 2 && sq_size <= 4096, why, "admin SQ size", sq_size,
          4096);
    CHECK(cq_size >= 2 && cq_size <= 4096, why, "admin CQ size", cq_size,
          4096);
    CHECK(le16_to_cpu(vs->sq_head) < sq_size, why, "admin SQ head",
          le16_to_cpu(vs->sq_head), sq_size);
    CHECK(le16_to_cpu(vs->sq_tail) < sq_size, why, "admin SQ tail",
          le16_to_cpu(vs->sq_tail), sq_size);
    CHECK(le16_to_cpu(vs->cq_head) < cq_size, why, "admin CQ head",
          le16_to_cpu(vs->cq_head), cq_size);
    CHECK(le16_to_cpu(vs->cq_tail) < cq_size, why, "admin CQ tail",
          le16_to_cpu(vs->cq_tail), cq_size);
    CHECK(vs->cq_phase <= 1, why, "admin CQ phase", vs->cq_phase, 1);

    mask = (1ULL << bits) - 1;
    CHECK(!(le64_to_cpu(vs->sq_addr) & mask), why, "admin SQ address",
          le64_to_cpu(vs->sq_addr), mask);
    CHECK(!(le64_to_cpu(vs->cq_addr) & mask), why, "admin CQ address",
          le64_to_cpu(vs->cq_addr), mask);
    CHECK(!((le64_to_cpu(vs->dbbuf_dbs) | le64_to_cpu(vs->dbbuf_eis)) & mask),
          why, "shadow doorbell address", le64_to_cpu(vs->dbbuf_dbs), mask);
    return true;
}

/* CC and CSTS have to tell the same story as the presence of admin queues. */
static bool nvme_lm_parse_enabled(const NvmeLmVs *vs, const NvmeLmImage *img,
                                  NvmeLmWhy *why)
{
    uint32_t flags = le32_to_cpu(vs->flags);
    uint32_t cc = le32_to_cpu(vs->cc), csts = le32_to_cpu(vs->csts);
    bool admin = flags & NVME_LM_VS_ADMIN;

    CHECK(!(csts & ~0xf), why, "CSTS", csts, 0xf);
    CHECK(NVME_CSTS_SHST(csts) != 3, why, "CSTS.SHST", csts, 0);

    if (admin) {
        CHECK(NVME_CC_EN(cc), why, "admin queues without CC.EN", cc, 1);
        CHECK(NVME_CSTS_RDY(csts) != NVME_CSTS_CFS(csts), why,
              "CSTS of an enabled controller", csts, 1);
        return nvme_lm_parse_admin(vs, why);
    }

    CHECK(buffer_is_zero(&vs->sq_addr, offsetof(NvmeLmVs, dbbuf_dbs) -
                         offsetof(NvmeLmVs, sq_addr)), why,
          "admin queues without their flag", flags, NVME_LM_VS_ADMIN);
    CHECK(!NVME_CSTS_RDY(csts), why, "CSTS.RDY without admin queues", csts, 0);
    CHECK(NVME_CC_EN(cc) == NVME_CSTS_CFS(csts), why,
          NVME_CC_EN(cc) ? "CC.EN without admin queues"
                         : "captured from an offline controller", csts, 0);
    CHECK(!img->niosq && !img->niocq, why, "I/O queues without admin queues",
          img->niosq + img->niocq, 0);
    CHECK(!vs->nr_aer && !vs->nr_held, why, "commands without admin queues",
          le16_to_cpu(vs->nr_aer), 0);
    CHECK(!(flags & (NVME_LM_VS_DBBUF | NVME_LM_VS_SQ0_DB |
                     NVME_LM_VS_CQ0_DB | NVME_LM_VS_QS_CREATED)),
          why, "flags without admin queues", flags, 0);
    return true;
}

static bool nvme_lm_parse_ns(const NvmeLmImage *img, NvmeLmWhy *why)
{
    unsigned i, nr = le16_to_cpu(img->vs->nr_ns);
    uint32_t last = 0;

    for (i = 0; i < nr; i++) {
        const NvmeLmVsNs *ns = &img->ns[i];
        uint32_t nsid = le32_to_cpu(ns->nsid);

        CHECK(nsid > last && nsid <= NVME_MAX_NAMESPACES, why,
              "namespace id", nsid, last);
        CHECK(!(ns->attr & ~NVME_LM_VS_NS_WC_OFF) &&
              buffer_is_zero(ns->rsvd6, sizeof(ns->rsvd6)), why,
              "namespace: reserved field", nsid, 0);
        last = nsid;
    }

    return true;
}

/* Number of requests an SQ can have at a time, 0 if there is no such SQ */
static uint32_t nvme_lm_sq_slots(const NvmeLmImage *img, uint16_t sqid)
{
    unsigned i;

    if (!sqid) {
        return le16_to_cpu(img->vs->sq_size);
    }

    for (i = 0; i < img->niosq; i++) {
        if (le16_to_cpu(img->sq[i].qid) == sqid) {
            return le16_to_cpu(img->sq[i].qsize) + 1;
        }
    }

    return 0;
}

static bool nvme_lm_parse_held(const NvmeLmImage *img, NvmeLmWhy *why)
{
    g_autoptr(GHashTable) used = g_hash_table_new(NULL, NULL);
    uint32_t i, nr = le32_to_cpu(img->vs->nr_held);

    g_hash_table_insert(used, GUINT_TO_POINTER(0),
                        GUINT_TO_POINTER(le16_to_cpu(img->vs->nr_aer)));

    for (i = 0; i < nr; i++) {
        const NvmeLmVsHeld *e = &img->held[i];
        uint16_t sqid = le16_to_cpu(e->sqid);
        uint32_t slots = nvme_lm_sq_slots(img, sqid);
        gpointer key = GUINT_TO_POINTER(sqid);
        uint32_t count = GPOINTER_TO_UINT(g_hash_table_lookup(used, key));

        CHECK(!(le16_to_cpu(e->status) & 0x8000) && !e->rsvd6, why,
              "held completion: reserved field", le16_to_cpu(e->status), 0);
        CHECK(count < slots, why, "more commands than its SQ can have", sqid,
              slots);
        g_hash_table_insert(used, key, GUINT_TO_POINTER(count + 1));
    }

    CHECK(le16_to_cpu(img->vs->nr_aer) <= nvme_lm_sq_slots(img, 0), why,
          "more AERs than the admin SQ can have",
          le16_to_cpu(img->vs->nr_aer), nvme_lm_sq_slots(img, 0));
    return true;
}

#define NVME_LM_CNTLID_RSVD     0xfff0

static uint16_t nvme_lm_cntlid(const NvmeLmVs *vs)
{
    return lduw_le_p(vs->id_ctrl + offsetof(NvmeIdCtrl, cntlid));
}

bool nvme_lm_vs_parse(const uint8_t *buf, size_t len, NvmeLmImage *img,
                      NvmeLmWhy *why)
{
    const NvmeLmVs *vs = (const NvmeLmVs *)buf;
    uint16_t revision, fixed_len;
    uint32_t flags;
    uint64_t want;
    unsigned i;

    CHECK(len >= sizeof(*vs), why, "vendor data too short", len, sizeof(*vs));
    revision = le16_to_cpu(vs->revision);
    fixed_len = le16_to_cpu(vs->fixed_len);
    CHECK(!memcmp(vs->magic, NVME_LM_VS_MAGIC, sizeof(vs->magic)), why,
          "vendor data: magic", ldq_le_p(vs->magic), 0);
    CHECK(revision == NVME_LM_VS_REVISION, why,
          "vendor data: revision", revision, NVME_LM_VS_REVISION);
    CHECK(!(fixed_len & 3) && fixed_len >= sizeof(*vs), why,
          "vendor data: length of the fixed part", fixed_len, sizeof(*vs));

    want = fixed_len + le16_to_cpu(vs->nr_ns) * sizeof(NvmeLmVsNs) +
           ROUND_UP(2 * le16_to_cpu(vs->nr_aer), 4) +
           4 * le16_to_cpu(vs->nr_event) +
           (uint64_t)le32_to_cpu(vs->nr_held) * sizeof(NvmeLmVsHeld);
    CHECK(len == want && le32_to_cpu(vs->total_len) == want, why,
          "vendor data: length does not fit its counts", len, want);

    flags = le32_to_cpu(vs->flags);
    CHECK(!(flags & ~NVME_LM_VS_FLAGS), why, "vendor data: flags", flags,
          NVME_LM_VS_FLAGS);
    CHECK(flags & NVME_LM_VS_CONSISTENT, why,
          "captured from a controller that was not suspended", flags, 1);
    CHECK(!vs->rsvd26 && buffer_is_zero(vs->rsvd67, sizeof(vs->rsvd67)) &&
          buffer_is_zero(vs->rsvd184, sizeof(vs->rsvd184)) &&
          buffer_is_zero(vs->rsvd232, sizeof(vs->rsvd232)), why,
          "vendor data: reserved field", 1, 0);
    CHECK(nvme_lm_cntlid(vs) < NVME_LM_CNTLID_RSVD, why, "CNTLID",
          nvme_lm_cntlid(vs), NVME_LM_CNTLID_RSVD);
    CHECK(flags & NVME_LM_VS_DBBUF || !(vs->dbbuf_dbs || vs->dbbuf_eis), why,
          "shadow doorbell address without its flag",
          le64_to_cpu(vs->dbbuf_dbs), 0);

    /* there is no namespace 0 and none above the highest */
    CHECK(!(vs->changed_ns[0] & 1) &&
          !(vs->changed_ns[NVME_MAX_NAMESPACES / 8] & ~1) &&
          buffer_is_zero(vs->changed_ns + NVME_MAX_NAMESPACES / 8 + 1,
                         sizeof(vs->changed_ns) - NVME_MAX_NAMESPACES / 8 - 1),
          why, "changed namespaces", vs->changed_ns[0], 0);

    img->vs = vs;
    /* a later firmware may have appended what need not be understood */
    img->ns = (const NvmeLmVsNs *)(buf + fixed_len);
    img->aer = (const uint8_t *)(img->ns + le16_to_cpu(vs->nr_ns));
    img->event = img->aer + ROUND_UP(2 * le16_to_cpu(vs->nr_aer), 4);
    img->held = (const NvmeLmVsHeld *)(img->event +
                                       4 * le16_to_cpu(vs->nr_event));

    for (i = 0; i < le16_to_cpu(vs->nr_event); i++) {
        CHECK(img->event[4 * i] < 8 && !img->event[4 * i + 3], why,
              "asynchronous event", ldl_le_p(img->event + 4 * i), 7);
    }

    return nvme_lm_parse_enabled(vs, img, why) && nvme_lm_parse_ns(img, why) &&
           nvme_lm_parse_held(img, why);
}

/* Comparing with the controller that is to become what the image says */

/*
 * What the guest was told by Number of Queues, 0 if it has not asked. Who has
 * no admin queues can have created nothing and has to ask again.
 */
static unsigned nvme_lm_pairs(const NvmeLmVs *vs)
{
    return le32_to_cpu(vs->flags) & NVME_LM_VS_ADMIN ?
           le16_to_cpu(vs->ioqpairs) : 0;
}

/*
 * Identify Controller. A guest that read it may rely on every byte that is not
 * named here; docs/specs/nvme-lm.rst has the reasons for those that are.
 */
enum NvmeLmIdRule {
    NVME_LM_ID_IGNORED,
    NVME_LM_ID_AT_LEAST,
    NVME_LM_ID_LIMIT,       /* the same, and 0 is no limit */
};

typedef struct NvmeLmIdField {
    uint16_t offset;
    uint8_t len;
    enum NvmeLmIdRule rule;
} NvmeLmIdField;

static const NvmeLmIdField nvme_lm_id_fields[] = {
    { offsetof(NvmeIdCtrl, fr), 8, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, rab), 1, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, mdts), 1, NVME_LM_ID_LIMIT },
    { offsetof(NvmeIdCtrl, cntlid), 2, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, rtd3r), 4, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, rtd3e), 4, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, acl), 1, NVME_LM_ID_AT_LEAST },
    { offsetof(NvmeIdCtrl, aerl), 1, NVME_LM_ID_AT_LEAST },
    { offsetof(NvmeIdCtrl, elpe), 1, NVME_LM_ID_AT_LEAST },
    { offsetof(NvmeIdCtrl, wctemp), 2, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, cctemp), 2, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, mtfa), 2, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, tnvmcap), 16, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, unvmcap), 16, NVME_LM_ID_IGNORED },
    { offsetof(NvmeIdCtrl, nn), 4, NVME_LM_ID_AT_LEAST },
    { offsetof(NvmeIdCtrl, awun), 2, NVME_LM_ID_AT_LEAST },
    { offsetof(NvmeIdCtrl, awupf), 2, NVME_LM_ID_AT_LEAST },
    { offsetof(NvmeIdCtrl, acwu), 2, NVME_LM_ID_AT_LEAST },
};

static uint32_t nvme_lm_id_value(const uint8_t *id, const NvmeLmIdField *f)
{
    return ldn_le_p(id + f->offset, f->len);
}

static bool nvme_lm_check_id_field(const NvmeLmIdField *f, const uint8_t *id,
                                   const uint8_t *own, NvmeLmWhy *why)
{
    uint32_t got, has;

    if (f->rule == NVME_LM_ID_IGNORED) {
        return true;
    }

    got = nvme_lm_id_value(id, f);
    has = nvme_lm_id_value(own, f);
    if (f->rule == NVME_LM_ID_LIMIT) {
        /* no limit becomes the highest one */
        CHECK(got - 1 <= has - 1, why,
              "Identify Controller: more than here (byte, own value)",
              f->offset, has);
        return true;
    }
    CHECK(got <= has, why,
          "Identify Controller: more than here (byte, own value)", f->offset,
          has);
    return true;
}

static bool nvme_lm_check_id(const uint8_t *id, const uint8_t *own,
                             NvmeLmWhy *why)
{
    const NvmeLmIdField *f = nvme_lm_id_fields;
    const NvmeLmIdField *end = f + ARRAY_SIZE(nvme_lm_id_fields);
    unsigned i = 0;

    while (i < sizeof(NvmeIdCtrl)) {
        if (f < end && i == f->offset) {
            if (!nvme_lm_check_id_field(f, id, own, why)) {
                return false;
            }
            i += f++->len;
            continue;
        }
        CHECK(id[i] == own[i], why,
              "Identify Controller differs (byte, own byte)", i, own[i]);
        i++;
    }

    return true;
}

static bool nvme_lm_check_limits(NvmeCtrl *n, const NvmeLmImage *img,
                                 NvmeLmWhy *why)
{
    const NvmeLmVs *vs = img->vs;
    g_autofree NvmeLmVs *own = g_new0(NvmeLmVs, 1);
    uint32_t bits = le16_to_cpu(vs->page_bits);
    uint64_t cap = ldq_le_p(&n->bar.cap);

    nvme_lm_build_limits(n, own);

    if (!nvme_lm_check_id(vs->id_ctrl, (uint8_t *)&n->lm->own_id, why)) {
        return false;
    }
    CHECK(vs->cap == own->cap, why, "CAP", le64_to_cpu(vs->cap),
          le64_to_cpu(own->cap));
    CHECK(vs->vs == own->vs, why, "VS", le32_to_cpu(vs->vs),
          le32_to_cpu(own->vs));
    CHECK(vs->bar_size == own->bar_size, why, "BAR size",
          le64_to_cpu(vs->bar_size), le64_to_cpu(own->bar_size));
    CHECK(vs->effects_crc == own->effects_crc, why,
          "commands supported and effects", le32_to_cpu(vs->effects_crc),
          le32_to_cpu(own->effects_crc));
    CHECK(vs->vectors == own->vectors, why, "number of vectors",
          le16_to_cpu(vs->vectors), le16_to_cpu(own->vectors));
    CHECK(vs->vsl == own->vsl, why, "VSL", vs->vsl, own->vsl);
    CHECK(!(vs->logs & ~(n->lm->own_ocp ? NVME_LM_VS_LOG_C0 : 0)), why,
          "log pages", vs->logs, n->lm->own_ocp);

    CHECK(le16_to_cpu(vs->nr_aer) <= n->params.aerl + 1, why,
          "outstanding AERs", le16_to_cpu(vs->nr_aer), n->params.aerl + 1);
    CHECK(le16_to_cpu(vs->nr_event) <= n->params.aer_max_queued, why,
          "queued events", le16_to_cpu(vs->nr_event),
          n->params.aer_max_queued);

    if (le32_to_cpu(vs->flags) & NVME_LM_VS_ADMIN) {
        CHECK(bits >= 12 + NVME_CAP_MPSMIN(cap) &&
              bits <= 12 + NVME_CAP_MPSMAX(cap), why, "page size", bits,
              12 + NVME_CAP_MPSMAX(cap));
    }

    return true;
}

static bool nvme_lm_check_ns(NvmeCtrl *n, const NvmeLmVsNs *want,
                             NvmeLmWhy *why)
{
    uint32_t nsid = le32_to_cpu(want->nsid);
    NvmeNamespace *ns = nvme_subsys_ns(n->subsys, nsid);
    NvmeLmVsNs own;

    CHECK(nvme_lm_has_ns(n, nsid, false), why, "namespace missing", 0, nsid);

    nvme_lm_describe_ns(n, ns, &own);
    CHECK(own.csi == want->csi && own.csi == NVME_CSI_NVM, why,
          "namespace: command set", want->csi, own.csi);
    CHECK(!memcmp(own.uuid, want->uuid, sizeof(own.uuid)), why,
          "namespace: UUID", nsid, 0);
    CHECK(!memcmp(own.nguid, want->nguid, sizeof(own.nguid)), why,
          "namespace: NGUID", nsid, 0);
    CHECK(own.eui64 == want->eui64, why, "namespace: EUI64",
          le64_to_cpu(want->eui64), le64_to_cpu(own.eui64));
    CHECK(own.nsze == want->nsze, why, "namespace: size",
          le64_to_cpu(want->nsze), le64_to_cpu(own.nsze));
    CHECK(own.flbas == want->flbas && own.dps == want->dps &&
          own.pif == want->pif, why, "namespace: format", want->flbas,
          own.flbas);
    CHECK(own.nmic == want->nmic, why, "namespace: sharing", want->nmic,
          own.nmic);
    CHECK(own.id_crc == want->id_crc, why, "namespace: Identify data",
          le32_to_cpu(want->id_crc), le32_to_cpu(own.id_crc));
    CHECK(own.ind_crc == want->ind_crc, why,
          "namespace: data independent of the command set",
          le32_to_cpu(want->ind_crc), le32_to_cpu(own.ind_crc));
    CHECK(own.attr == want->attr, why, "namespace: write cache", want->attr,
          own.attr);
    return true;
}

static bool nvme_lm_image_has_ns(const NvmeLmImage *img, uint32_t nsid)
{
    unsigned i;

    for (i = 0; i < le16_to_cpu(img->vs->nr_ns); i++) {
        if (le32_to_cpu(img->ns[i].nsid) == nsid) {
            return true;
        }
    }

    return false;
}

/*
 * An enabled guest keeps exactly the namespaces it had. One that attaches by
 * itself at every enable may be taken away for that; one that was attached on
 * purpose may not. A guest that is still to enable the controller will get all
 * those that attach by themselves, so they have to be the same.
 */
static bool nvme_lm_check_namespaces(NvmeCtrl *n, const NvmeLmImage *img,
                                     NvmeLmWhy *why)
{
    bool enabled = le32_to_cpu(img->vs->flags) & NVME_LM_VS_ADMIN;
    unsigned i, nsid;

    for (i = 0; i < le16_to_cpu(img->vs->nr_ns); i++) {
        if (!nvme_lm_check_ns(n, &img->ns[i], why)) {
            return false;
        }
    }

    for (nsid = 1; nsid <= NVME_MAX_NAMESPACES; nsid++) {
        if (!nvme_lm_has_ns(n, nsid, false) ||
            nvme_lm_image_has_ns(img, nsid)) {
            continue;
        }
        CHECK(enabled &&
              nvme_lm_auto_attach(n, nvme_subsys_ns(n->subsys, nsid)), why,
              "namespace that the source did not have", nsid, 0);
    }

    return true;
}

/* More of a resource than here; @pairs becomes what queues may be of. */
bool nvme_lm_vs_check_resources(NvmeCtrl *n, const NvmeLmImage *img,
                                unsigned *pairs, NvmeLmWhy *why)
{
    unsigned told = nvme_lm_pairs(img->vs);
    unsigned own = nvme_lm_own_pairs(n);

    CHECK(told <= own, why, "too few queues", own, told);
    CHECK(le16_to_cpu(img->vs->vectors) <= n->conf_msix_qsize, why,
          "too few vectors", n->conf_msix_qsize,
          le16_to_cpu(img->vs->vectors));

    *pairs = told ? told : own;
    return true;
}

bool nvme_lm_vs_check(NvmeCtrl *n, const NvmeLmImage *img, NvmeLmWhy *why)
{
    return nvme_lm_check_limits(n, img, why) &&
           nvme_lm_check_namespaces(n, img, why);
}

/* Changing the controller: cannot fail, touches no memory of the host */

/*
 * Remove all queues. The controller is quiesced or disabled: what its queues
 * still have are AERs and completions that were held back.
 */
void nvme_lm_remove_queues(NvmeCtrl *n)
{
    NvmeRequest *req;
    unsigned i;

    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        if (n->cq[i]) {
            QTAILQ_FOREACH(req, &n->cq[i]->req_list, entry) {
                nvme_lm_drop_sg(&req->sg);
            }
        }
    }
    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        if (n->sq[i]) {
            nvme_free_sq(n->sq[i], n);
        }
    }
    for (i = 0; i < n->params.max_ioqpairs + 1; i++) {
        if (n->cq[i]) {
            nvme_free_cq(n->cq[i], n);
        }
    }

    while (!QTAILQ_EMPTY(&n->aer_queue)) {
        NvmeAsyncEvent *event = QTAILQ_FIRST(&n->aer_queue);

        QTAILQ_REMOVE(&n->aer_queue, event, entry);
        g_free(event);
    }

    n->aer_queued = 0;
    n->outstanding_aers = 0;
    n->cq_pending = 0;
    n->irq_status = 0;
}

static void nvme_lm_apply_registers(NvmeCtrl *n, const NvmeLmVs *vs)
{
    n->bar.cc = vs->cc;
    n->bar.csts = vs->csts;
    n->bar.aqa = vs->aqa;
    n->bar.intms = vs->intms;
    n->bar.intmc = vs->intms;
    n->bar.asq = vs->asq;
    n->bar.acq = vs->acq;
    n->bar.cmbmsc = vs->cmbmsc;
}

/*
 * The guest goes on to see what it was told: limits until the controller is
 * reset, the controller id until the function is.
 */
static void nvme_lm_apply_told(NvmeCtrl *n, const NvmeLmVs *vs)
{
    uint8_t *id = (uint8_t *)&n->id_ctrl;
    unsigned pairs = nvme_lm_pairs(vs);
    unsigned i;

    n->id_ctrl = n->lm->own_id;
    n->params.ocp = n->lm->own_ocp;
    n->conf_ioqpairs = pairs ? pairs : nvme_lm_own_pairs(n);
    n->lm->pairs_told = pairs;
    n->lm->pairs_lowered = pairs && pairs < nvme_lm_own_pairs(n);

    n->id_ctrl.cntlid = cpu_to_le16(nvme_lm_cntlid(vs));
    n->params.ocp = vs->logs & NVME_LM_VS_LOG_C0;
    if (!(le32_to_cpu(vs->flags) & NVME_LM_VS_ADMIN)) {
        return;
    }
    for (i = 0; i < ARRAY_SIZE(nvme_lm_id_fields); i++) {
        const NvmeLmIdField *f = &nvme_lm_id_fields[i];

        if (f->rule != NVME_LM_ID_IGNORED) {
            memcpy(id + f->offset, vs->id_ctrl + f->offset, f->len);
        }
    }
}

static void nvme_lm_apply_features(NvmeCtrl *n, const NvmeLmVs *vs)
{
    uint64_t now = qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL);
    uint32_t flags = le32_to_cpu(vs->flags);
    unsigned i;

    n->qs_created = flags & NVME_LM_VS_QS_CREATED;
    n->lm->sq0_db = flags & NVME_LM_VS_SQ0_DB;
    n->lm->cq0_db = flags & NVME_LM_VS_CQ0_DB;
    nvme_lm_wc_choose(n, flags & NVME_LM_VS_WC_OFF);

    nvme_set_write_atomicity(n, flags & NVME_LM_VS_DN);

    n->lm->frozen_ms = now;
    n->host_timestamp = le64_to_cpu(vs->timestamp);
    n->timestamp_set_qemu_clock_ms = now - le64_to_cpu(vs->timestamp_age_ms);
    n->lm->clock_stopped = true;
    n->features.temp_thresh_hi = le16_to_cpu(vs->temp_thresh_hi);
    n->features.temp_thresh_low = le16_to_cpu(vs->temp_thresh_low);
    n->features.async_config = le32_to_cpu(vs->async_config);
    memcpy(&n->features.hbs, vs->hbs, sizeof(n->features.hbs));

    n->aer_mask = vs->aer_mask;
    bitmap_zero(n->changed_nsids, NVME_CHANGED_NSID_SIZE);
    for (i = 0; i < NVME_CHANGED_NSID_SIZE; i++) {
        if (vs->changed_ns[i / 8] & (1 << (i % 8))) {
            set_bit(i, n->changed_nsids);
        }
    }
}

static void nvme_lm_apply_admin(NvmeCtrl *n, const NvmeLmVs *vs)
{
    n->page_bits = le16_to_cpu(vs->page_bits);
    n->page_size = 1 << n->page_bits;
    n->max_prp_ents = n->page_size / sizeof(uint64_t);
    n->dbbuf_enabled = le32_to_cpu(vs->flags) & NVME_LM_VS_DBBUF;
    n->dbbuf_dbs = le64_to_cpu(vs->dbbuf_dbs);
    n->dbbuf_eis = le64_to_cpu(vs->dbbuf_eis);

    nvme_init_cq(&n->admin_cq, n, le64_to_cpu(vs->cq_addr), 0, 0,
                 le16_to_cpu(vs->cq_size), 1);
    n->admin_cq.head = le16_to_cpu(vs->cq_head);
    n->admin_cq.tail = le16_to_cpu(vs->cq_tail);
    n->admin_cq.phase = vs->cq_phase;

    nvme_init_sq(&n->admin_sq, n, le64_to_cpu(vs->sq_addr), 0, 0,
                 le16_to_cpu(vs->sq_size));
    n->admin_sq.head = le16_to_cpu(vs->sq_head);
    n->admin_sq.tail = le16_to_cpu(vs->sq_tail);
}

static NvmeRequest *nvme_lm_take_request(NvmeSQueue *sq, uint16_t cid)
{
    NvmeRequest *req = QTAILQ_FIRST(&sq->req_list);

    QTAILQ_REMOVE(&sq->req_list, req, entry);
    req->cmd.cid = cid;
    req->cqe.cid = cid;
    return req;
}

void nvme_lm_vs_apply_commands(NvmeCtrl *n, const NvmeLmImage *img)
{
    const NvmeLmVs *vs = img->vs;
    NvmeRequest *req;
    uint32_t i;

    for (i = 0; i < le16_to_cpu(vs->nr_aer); i++) {
        uint16_t cid;

        memcpy(&cid, img->aer + 2 * i, sizeof(cid));
        req = nvme_lm_take_request(&n->admin_sq, cid);
        req->cmd.opcode = NVME_ADM_CMD_ASYNC_EV_REQ;
        QTAILQ_INSERT_TAIL(&n->admin_sq.out_req_list, req, entry);
        n->aer_reqs[n->outstanding_aers++] = req;
    }

    for (i = 0; i < le16_to_cpu(vs->nr_event); i++) {
        NvmeAsyncEvent *event = g_new0(NvmeAsyncEvent, 1);

        event->result.event_type = img->event[4 * i];
        event->result.event_info = img->event[4 * i + 1];
        event->result.log_page = img->event[4 * i + 2];
        QTAILQ_INSERT_TAIL(&n->aer_queue, event, entry);
        n->aer_queued++;
    }

    for (i = 0; i < le32_to_cpu(vs->nr_held); i++) {
        const NvmeLmVsHeld *e = &img->held[i];
        NvmeSQueue *sq = n->sq[le16_to_cpu(e->sqid)];

        req = nvme_lm_take_request(sq, e->cid);
        req->status = le16_to_cpu(e->status);
        req->cqe.result = e->result;
        req->cqe.dw1 = e->dw1;
        QTAILQ_INSERT_TAIL(&n->cq[sq->cqid]->req_list, req, entry);
    }
}

static void nvme_lm_apply_namespaces(NvmeCtrl *n, const NvmeLmImage *img)
{
    unsigned nsid;

    for (nsid = 1; nsid <= NVME_MAX_NAMESPACES; nsid++) {
        bool want = nvme_lm_image_has_ns(img, nsid);

        if (want && !nvme_ns(n, nsid)) {
            nvme_attach_ns(n, nvme_subsys_ns(n->subsys, nsid));
        } else if (!want && nvme_ns(n, nsid)) {
            nvme_detach_ns(n, nvme_ns(n, nsid));
        }
    }

    nvme_update_dsm_limits(n, NULL);
}

static void nvme_lm_apply_err_rec(NvmeCtrl *n, const NvmeLmImage *img)
{
    unsigned i;

    memset(n->features.err_rec, 0, sizeof(n->features.err_rec));
    for (i = 0; i < le16_to_cpu(img->vs->nr_ns); i++) {
        n->features.err_rec[le32_to_cpu(img->ns[i].nsid)] =
            le32_to_cpu(img->ns[i].err_rec);
    }
}

void nvme_lm_vs_apply(NvmeCtrl *n, const NvmeLmImage *img)
{
    const NvmeLmVs *vs = img->vs;

    nvme_lm_remove_queues(n);
    n->dbbuf_enabled = false;
    n->dbbuf_dbs = 0;
    n->dbbuf_eis = 0;
    if (le32_to_cpu(vs->flags) & NVME_LM_VS_ADMIN) {
        nvme_lm_apply_admin(n, vs);
        nvme_lm_apply_namespaces(n, img);
    }
    nvme_lm_apply_registers(n, vs);
    nvme_lm_apply_told(n, vs);
    nvme_lm_apply_features(n, vs);
    nvme_lm_apply_err_rec(n, img);
}
