/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Live migration: Track Send and Track Receive, the memory a controller writes
 *
 * ctrl.c reports every write to host memory after it was done, in the main
 * loop with the BQL held like all that this file does. A write that ends after
 * the log was read is thus found by the next reading.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/units.h"

#include "lm.h"
#include "trace.h"

#define NVME_LM_CMMRTD      64
#define NVME_LM_NMMRTD      128
#define NVME_LM_MINMRTG     0
#define NVME_LM_MAXMRTG     9

/* Units that all logs of an MMC may have together, a bit of memory each */
#define NVME_LM_TRACK_UNITS (32 * MiB)

/* Addresses from start to last; unit is the number of the first unit. */
typedef struct NvmeLmRange {
    uint64_t start;
    uint64_t last;
    uint64_t unit;
} NvmeLmRange;

/* What Track Send asks for */
typedef struct NvmeLmTrackList {
    unsigned rmrtg;
    uint32_t nr;
    NvmeLmRange *range;
} NvmeLmTrackList;

/*
 * The log of a controller: a bit for each unit of its ranges, which ascend and
 * do not touch.
 */
struct NvmeLmTrack {
    NvmeCtrl *mmc;              /* who tracks it */
    uint32_t nr_desc;           /* what it counts for in CMMRTD and NMMRTD */
    unsigned rpmpg;
    uint32_t nr_ranges;
    NvmeLmRange *range;
    unsigned long units;
    unsigned long cursor;       /* reading goes on from here */
    unsigned long *dirty;
};

/* A run of units to report, never beyond its range */
typedef struct NvmeLmDirtyRun {
    unsigned long first;
    unsigned long nr;
    uint64_t addr;
} NvmeLmDirtyRun;

static unsigned nvme_lm_unit_bits(unsigned mrtg)
{
    return NVME_MRTG_SHIFT + mrtg;
}

/* Identify */

void nvme_lm_track_init(NvmeCtrl *n)
{
    NvmeIdCtrl *id = &n->id_ctrl;

    if (!n->params.lm.track) {
        return;
    }

    id->cmmrtd = cpu_to_le16(NVME_LM_CMMRTD);
    id->nmmrtd = cpu_to_le16(NVME_LM_NMMRTD);
    id->minmrtg = NVME_LM_MINMRTG;
    id->maxmrtg = NVME_LM_MAXMRTG;
    id->trattr |= NVME_TRATTR_THMCS;

    n->cse.acs[NVME_ADM_CMD_TRACK_SEND] = NVME_CMD_EFF_CSUPP;
    n->cse.acs[NVME_ADM_CMD_TRACK_RECV] = NVME_CMD_EFF_CSUPP;
}

/* The end of tracking */

void nvme_lm_track_drop(NvmeCtrl *n)
{
    NvmeLmTrack *t = n->lm_track;

    if (!t) {
        return;
    }

    n->lm_track = NULL;
    g_free(t->range);
    g_free(t->dirty);
    g_free(t);
}

/* The MMC was reset, which ends all its tracking. */
void nvme_lm_track_mmc_reset(NvmeCtrl *n, NvmeCtrl *target)
{
    if (target->lm_track && target->lm_track->mmc == n) {
        trace_pci_nvme_lm_track_stop(target->cntlid, "by reset of its MMC");
        nvme_lm_track_drop(target);
    }
}

/* Writes */

static NvmeLmRange *nvme_lm_track_find(NvmeLmTrack *t, uint64_t addr)
{
    uint32_t low = 0, high = t->nr_ranges;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (t->range[mid].last < addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }

    return &t->range[low];
}

void nvme_lm_track_mark(NvmeCtrl *n, uint64_t addr, uint64_t len)
{
    NvmeLmTrack *t = n->lm_track;
    unsigned shift = nvme_lm_unit_bits(t->rpmpg);
    uint64_t last = len - 1 > UINT64_MAX - addr ? UINT64_MAX : addr + len - 1;
    NvmeLmRange *r;

    if (!len) {
        return;
    }

    for (r = nvme_lm_track_find(t, addr);
         r < t->range + t->nr_ranges && r->start <= last; r++) {
        uint64_t from = (MAX(addr, r->start) - r->start) >> shift;
        uint64_t to = (MIN(last, r->last) - r->start) >> shift;

        bitmap_set(t->dirty, r->unit + from, to - from + 1);
    }
}

void nvme_lm_track_mark_sg(NvmeCtrl *n, NvmeSg *sg, uint64_t len)
{
    int i;

    if (!(sg->flags & NVME_SG_DMA)) {
        return;
    }

    for (i = 0; i < sg->qsg.nsg && len; i++) {
        uint64_t bytes = MIN(len, sg->qsg.sg[i].len);

        nvme_lm_track_mark(n, sg->qsg.sg[i].base, bytes);
        len -= bytes;
    }
}

/*
 * A read from the medium ends: be it with an error or cancelled, any part of
 * its data may be in memory.
 */
void nvme_lm_read_done(void *opaque, int ret)
{
    NvmeRequest *req = opaque;
    NvmeCtrl *n = req->sq->ctrl;

    if (n->lm_track) {
        nvme_lm_track_mark_sg(n, &req->sg, UINT64_MAX);
    }

    req->lm_read_cb(req, ret);
}

/* Track Send */

/* What is left of the units that all logs of an MMC may have together */
static uint64_t nvme_lm_track_free_units(NvmeCtrl *mmc)
{
    uint64_t used = 0;
    int i;

    for (i = 0; i < NVME_MAX_CONTROLLERS; i++) {
        NvmeCtrl *ctrl = nvme_subsys_ctrl(mmc->subsys, i);

        if (ctrl && ctrl->lm_track && ctrl->lm_track->mmc == mmc) {
            used += ctrl->lm_track->units;
        }
    }

    return NVME_LM_TRACK_UNITS - used;
}

/* Descriptors of this MMC, or of all in the subsystem */
static uint64_t nvme_lm_track_descriptors(NvmeCtrl *n, bool all)
{
    uint64_t nr = 0;
    int i;

    for (i = 0; i < NVME_MAX_CONTROLLERS; i++) {
        NvmeCtrl *ctrl = nvme_subsys_ctrl(n->subsys, i);

        if (ctrl && ctrl->lm_track && (all || ctrl->lm_track->mmc == n)) {
            nr += ctrl->lm_track->nr_desc;
        }
    }

    return nr;
}

/* Units of a range at a granularity it need not be aligned to */
static uint64_t nvme_lm_range_units(const NvmeLmRange *r, unsigned mrtg)
{
    unsigned shift = nvme_lm_unit_bits(mrtg);

    return (r->last >> shift) - (r->start >> shift) + 1;
}

/* How many descriptors of the list fit, from the first one */
static uint32_t nvme_lm_track_fit(const NvmeLmTrackList *list, unsigned mrtg,
                                  uint64_t units)
{
    uint32_t i;

    for (i = 0; i < list->nr; i++) {
        uint64_t want = nvme_lm_range_units(&list->range[i], mrtg);

        if (want > units) {
            break;
        }
        units -= want;
    }

    return i;
}

static uint16_t nvme_lm_track_resources(NvmeCtrl *n, NvmeRequest *req,
                                        const NvmeLmTrackList *list,
                                        NvmeLmWhy *why)
{
    uint64_t units = nvme_lm_track_free_units(n);
    unsigned mrtg = list->rmrtg;
    uint32_t fit;

    fit = nvme_lm_track_fit(list, mrtg, units);
    if (fit == list->nr) {
        return NVME_SUCCESS;
    }

    do {
        mrtg++;
    } while (mrtg <= NVME_LM_MAXMRTG &&
             nvme_lm_track_fit(list, mrtg, units) < list->nr);

    req->cqe.result = cpu_to_le32(mrtg <= NVME_LM_MAXMRTG ? mrtg
                                                          : NVME_MRTG_NONE);
    req->cqe.dw1 = cpu_to_le32(fit);
    NVME_LM_REFUSE(NVME_NOT_ENOUGH_RESOURCES, why,
                   "track: descriptors that fit", fit, list->nr);
}

static uint16_t nvme_lm_track_parse_desc(const uint8_t *buf, unsigned mrtg,
                                         NvmeLmRange *r, NvmeLmWhy *why)
{
    const NvmeTrackMemoryDescr *d = (const NvmeTrackMemoryDescr *)buf;
    unsigned shift = nvme_lm_unit_bits(mrtg);
    uint64_t start = le64_to_cpu(d->saddr);
    uint64_t bytes = (uint64_t)le32_to_cpu(d->len) << shift;

    NVME_LM_CHECK(!(start & ((1ULL << shift) - 1)), NVME_INVALID_FIELD, why,
                  "track: SADDR not aligned", start, 1ULL << shift);
    NVME_LM_CHECK(bytes, NVME_INVALID_FIELD, why, "track: LEN is 0", 0, 1);
    NVME_LM_CHECK(bytes - 1 <= UINT64_MAX - start, NVME_INVALID_FIELD, why,
                  "track: range beyond 64 bits", start, bytes);

    *r = (NvmeLmRange) { .start = start, .last = start + bytes - 1 };
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_track_parse_header(NvmeCtrl *n,
                                           const NvmeTrackMemoryHdr *hdr,
                                           NvmeLmWhy *why)
{
    uint32_t nr = le32_to_cpu(hdr->rnmrtd);
    uint64_t mine = nvme_lm_track_descriptors(n, false);
    uint64_t all = nvme_lm_track_descriptors(n, true);

    NVME_LM_CHECK(!hdr->ver, NVME_INVALID_FIELD, why, "track: VER", hdr->ver,
                  0);
    NVME_LM_CHECK(hdr->rmrtg <= NVME_LM_MAXMRTG, NVME_INVALID_FIELD, why,
                  "track: RMRTG", hdr->rmrtg, NVME_LM_MAXMRTG);
    NVME_LM_CHECK(nr, NVME_INVALID_FIELD, why, "track: RNMRTD is 0", 0, 1);
    NVME_LM_CHECK(nr + mine <= NVME_LM_CMMRTD, NVME_INVALID_FIELD, why,
                  "track: descriptors above CMMRTD", nr + mine, NVME_LM_CMMRTD);
    NVME_LM_CHECK(nr + all <= NVME_LM_NMMRTD, NVME_INVALID_FIELD, why,
                  "track: descriptors above NMMRTD", nr + all, NVME_LM_NMMRTD);

    return NVME_SUCCESS;
}

/*
 * The command has no length: it follows from the header, and with it whether
 * PRP2 is a page or a list. So the header has to be in the page of PRP1,
 * unless no number of descriptors needs a list.
 */
static bool nvme_lm_track_header_reachable(NvmeCtrl *n, uint64_t room)
{
    uint64_t max = sizeof(NvmeTrackMemoryHdr) +
                   NVME_LM_CMMRTD * sizeof(NvmeTrackMemoryDescr);

    return room >= sizeof(NvmeTrackMemoryHdr) || max <= room + n->page_size;
}

static uint16_t nvme_lm_track_fetch(NvmeCtrl *n, NvmeRequest *req,
                                    NvmeTrackMemoryHdr *hdr, uint8_t **buf,
                                    NvmeLmWhy *why)
{
    uint64_t prp1 = le64_to_cpu(req->cmd.dptr.prp1);
    uint64_t room = n->page_size - (prp1 & (n->page_size - 1));
    uint64_t len;
    uint16_t status;

    NVME_LM_CHECK(nvme_lm_track_header_reachable(n, room),
                  NVME_INVALID_PRP_OFFSET, why, "track: header crosses a page",
                  prp1, 0);

    status = nvme_h2c(n, hdr, sizeof(*hdr), req);
    nvme_lm_drop_sg(&req->sg);
    NVME_LM_CHECK(!status, status, why, "track: transfer of the header", prp1,
                  0);

    status = nvme_lm_track_parse_header(n, hdr, why);
    if (status) {
        return status;
    }

    len = sizeof(*hdr) +
          (uint64_t)le32_to_cpu(hdr->rnmrtd) * sizeof(NvmeTrackMemoryDescr);
    NVME_LM_CHECK(len <= nvme_lm_max_transfer(n), NVME_INVALID_FIELD, why,
                  "track: longer than MDTS allows", len,
                  nvme_lm_max_transfer(n));

    *buf = g_malloc(len);
    status = nvme_h2c(n, *buf, len, req);
    NVME_LM_CHECK(!status, status, why, "track: data transfer", len, 0);
    return NVME_SUCCESS;
}

static int nvme_lm_range_cmp(const void *a, const void *b)
{
    const NvmeLmRange *ra = a, *rb = b;

    return ra->start < rb->start ? -1 : ra->start > rb->start;
}

/* Sort the ranges. What touches becomes one range, and none may overlap. */
static uint16_t nvme_lm_track_merge(NvmeLmRange *r, uint32_t *nr,
                                    NvmeLmWhy *why)
{
    uint32_t i, to = 0;

    qsort(r, *nr, sizeof(*r), nvme_lm_range_cmp);

    for (i = 1; i < *nr; i++) {
        NVME_LM_CHECK(r[i].start > r[to].last, NVME_INVALID_FIELD, why,
                      "track: ranges overlap", r[i].start, r[to].last);
        if (r[i].start == r[to].last + 1) {
            r[to].last = r[i].last;
        } else {
            r[++to] = r[i];
        }
    }

    *nr = to + 1;
    return NVME_SUCCESS;
}

/* Takes over @range. */
static void nvme_lm_track_begin(NvmeCtrl *n, NvmeCtrl *target,
                                const NvmeLmTrackList *list,
                                NvmeLmRange *range, uint32_t nr)
{
    NvmeLmTrack *t = g_new0(NvmeLmTrack, 1);
    uint32_t i;

    t->mmc = n;
    t->nr_desc = list->nr;
    t->rpmpg = list->rmrtg;
    t->nr_ranges = nr;
    t->range = range;
    for (i = 0; i < nr; i++) {
        t->range[i].unit = t->units;
        t->units += nvme_lm_range_units(&t->range[i], t->rpmpg);
    }

    t->dirty = bitmap_new(t->units);

    target->lm_track = t;
    trace_pci_nvme_lm_track_start(target->cntlid, list->nr, nr, t->rpmpg,
                                  t->units);
}

static uint16_t nvme_lm_track_start(NvmeCtrl *n, NvmeCtrl *target,
                                    NvmeRequest *req, NvmeLmWhy *why)
{
    g_autofree uint8_t *buf = NULL;
    g_autofree NvmeLmRange *range = NULL;
    g_autofree NvmeLmRange *merged = NULL;
    NvmeTrackMemoryHdr hdr;
    NvmeLmTrackList list;
    uint16_t status;
    uint32_t i, nr;

    status = nvme_lm_track_fetch(n, req, &hdr, &buf, why);
    if (status) {
        return status;
    }

    list.rmrtg = hdr.rmrtg;
    list.nr = le32_to_cpu(hdr.rnmrtd);
    list.range = range = g_new(NvmeLmRange, list.nr);
    for (i = 0; i < list.nr; i++) {
        status = nvme_lm_track_parse_desc(buf + sizeof(hdr) +
                                          i * sizeof(NvmeTrackMemoryDescr),
                                          list.rmrtg, &range[i], why);
        if (status) {
            return status;
        }
    }

    nr = list.nr;
    merged = g_memdup2(range, nr * sizeof(*range));
    status = nvme_lm_track_merge(merged, &nr, why);
    if (status) {
        return status;
    }

    status = nvme_lm_track_resources(n, req, &list, why);
    if (status) {
        return status;
    }

    nvme_lm_track_begin(n, target, &list, g_steal_pointer(&merged), nr);
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_track_stop(NvmeCtrl *n, NvmeCtrl *target,
                                   NvmeLmWhy *why)
{
    NVME_LM_CHECK(target->lm_track && target->lm_track->mmc == n,
                  NVME_INVALID_CTRL_ID, why, "track: target is not tracked", 0,
                  1);

    trace_pci_nvme_lm_track_stop(target->cntlid, "by command");
    nvme_lm_track_drop(target);
    return NVME_SUCCESS;
}

static uint16_t nvme_lm_track_memory(NvmeCtrl *n, NvmeCtrl *target,
                                     NvmeRequest *req, NvmeLmWhy *why)
{
    bool start = extract32(le32_to_cpu(req->cmd.cdw10), 16, 1);

    NVME_LM_CHECK(target->lm->run != NVME_LM_SUSPENDED, NVME_CTRL_SUSPENDED,
                  why, "track: target is suspended", start, 0);

    if (!start) {
        return nvme_lm_track_stop(n, target, why);
    }

    NVME_LM_CHECK(!target->lm_track, NVME_INVALID_CTRL_ID, why,
                  "track: target is tracked", target->lm_track->mmc->cntlid, 0);

    return nvme_lm_track_start(n, target, req, why);
}

uint16_t nvme_lm_track_send(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    uint8_t sel = le32_to_cpu(req->cmd.cdw10) & 0xff;
    uint16_t cntlid = le32_to_cpu(req->cmd.cdw11) & 0xffff;
    NvmeCtrl *target = nvme_lm_target(n, cntlid);

    /* no user data tracking (TUDCS) */
    NVME_LM_CHECK(sel == NVME_TRACK_MEMORY, NVME_INVALID_FIELD, why,
                  "track: SEL", sel, NVME_TRACK_MEMORY);
    NVME_LM_CHECK(target, NVME_INVALID_CTRL_ID, why,
                  "track: CNTLID names no migratable controller", cntlid, 0);

    why->target = target;
    return nvme_lm_track_memory(n, target, req, why);
}

/* Track Receive */

/* The range that a unit belongs to */
static NvmeLmRange *nvme_lm_track_range(NvmeLmTrack *t, unsigned long unit)
{
    uint32_t low = 0, high = t->nr_ranges - 1;

    while (low < high) {
        uint32_t mid = low + (high - low + 1) / 2;

        if (t->range[mid].unit <= unit) {
            low = mid;
        } else {
            high = mid - 1;
        }
    }

    return &t->range[low];
}

/* The next run to report, from the cursor on and around */
static bool nvme_lm_track_run(NvmeLmTrack *t, NvmeLmDirtyRun *run)
{
    unsigned shift = nvme_lm_unit_bits(t->rpmpg);
    unsigned long end, unit;
    NvmeLmRange *r;

    unit = find_next_bit(t->dirty, t->units, t->cursor);
    if (unit == t->units) {
        unit = find_next_bit(t->dirty, t->cursor, 0);
        if (unit == t->cursor) {
            return false;
        }
    }

    r = nvme_lm_track_range(t, unit);
    end = r->unit + nvme_lm_range_units(r, t->rpmpg);
    run->first = unit;
    run->addr = r->start + ((uint64_t)(unit - r->unit) << shift);

    end = find_next_zero_bit(t->dirty, end, unit);
    run->nr = end - unit;
    return true;
}

static void nvme_lm_track_take(NvmeLmTrack *t, const NvmeLmDirtyRun *run)
{
    bitmap_clear(t->dirty, run->first, run->nr);
    t->cursor = run->first + run->nr;
}

static uint32_t nvme_lm_track_fill(NvmeLmTrack *t, NvmeTrackedMemoryDescr *desc,
                                   uint32_t max, bool *more)
{
    NvmeLmDirtyRun run;
    uint32_t nr = 0;

    while ((*more = nvme_lm_track_run(t, &run)) && nr < max) {
        nvme_lm_track_take(t, &run);
        desc[nr].saddr = cpu_to_le64(run.addr);
        desc[nr].len = cpu_to_le32(run.nr);
        nr++;
    }

    if (!*more) {
        /* the next reading begins at the lowest address again */
        t->cursor = 0;
    }

    return nr;
}

/* The host has not got it, so it is still to be reported. */
static void nvme_lm_track_undo(NvmeCtrl *target,
                               const NvmeTrackedMemoryDescr *desc,
                               uint32_t nr, unsigned rpmpg)
{
    uint32_t i;

    for (i = 0; i < nr && target->lm_track; i++) {
        nvme_lm_track_mark(target, le64_to_cpu(desc[i].saddr),
                           (uint64_t)le32_to_cpu(desc[i].len) <<
                           nvme_lm_unit_bits(rpmpg));
    }
}

static uint16_t nvme_lm_track_read(NvmeCtrl *n, NvmeCtrl *target, uint64_t len,
                                   NvmeRequest *req, NvmeLmWhy *why)
{
    bool suspended = target->lm->run == NVME_LM_SUSPENDED;
    g_autofree uint8_t *buf = g_malloc0(len);
    NvmeTrackedMemoryHdr *hdr = (NvmeTrackedMemoryHdr *)buf;
    NvmeTrackedMemoryDescr *desc = (NvmeTrackedMemoryDescr *)(hdr + 1);
    NvmeLmTrack *t = target->lm_track;
    unsigned rpmpg = t->rpmpg;
    uint16_t status;
    uint32_t nr;
    bool more;

    nr = nvme_lm_track_fill(t, desc, (len - sizeof(*hdr)) / sizeof(*desc),
                            &more);
    hdr->attrb = (more ? NVME_TRACKED_MEMORY_MTR : 0) |
                 (suspended ? NVME_TRACKED_MEMORY_SUSP : 0);
    hdr->cntlid = cpu_to_le16(target->cntlid);
    hdr->ntmcd = cpu_to_le32(nr);
    hdr->rpmpg = cpu_to_le16(rpmpg);

    /* from here on the log may be another one, should this hit a register */
    status = nvme_c2h(n, buf, len, req);
    if (status) {
        nvme_lm_track_undo(target, desc, nr, rpmpg);
        NVME_LM_REFUSE(status, why, "tracked: data transfer", len, 0);
    }

    trace_pci_nvme_lm_track_read(target->cntlid, nr, hdr->attrb);
    return NVME_SUCCESS;
}

uint16_t nvme_lm_track_receive(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why)
{
    uint8_t sel = le32_to_cpu(req->cmd.cdw10) & 0xff;
    uint16_t cntlid = le32_to_cpu(req->cmd.cdw11) & 0xffff;
    uint64_t len = ((uint64_t)le32_to_cpu(req->cmd.cdw12) + 1) << 2;
    uint64_t min = sizeof(NvmeTrackedMemoryHdr) +
                   sizeof(NvmeTrackedMemoryDescr);
    NvmeCtrl *target = nvme_lm_target(n, cntlid);

    NVME_LM_CHECK(!sel, NVME_INVALID_FIELD, why, "tracked: SEL", sel, 0);
    why->target = target;
    NVME_LM_CHECK(target && target->lm_track && target->lm_track->mmc == n,
                  NVME_INVALID_CTRL_ID, why, "tracked: CNTLID is not tracked",
                  cntlid, 0);

    /* without a descriptor MTR has to be 0, which would mean the end */
    NVME_LM_CHECK(len >= min && len <= nvme_lm_max_transfer(n),
                  NVME_INVALID_FIELD, why, "tracked: length", len,
                  nvme_lm_max_transfer(n));

    return nvme_lm_track_read(n, target, len, req, why);
}
