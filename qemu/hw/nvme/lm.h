/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Host managed live migration for the NVMe controller model
 *
 * ctrl.c calls the inline functions below; all of them do nothing for a
 * controller without live migration (NvmeCtrl::lm is NULL) and while nobody
 * tracks what it writes (NvmeCtrl::lm_track is NULL).
 *
 * Everything here runs in the main loop with the BQL held. Code of these files
 * never polls, so it cannot be entered twice on the same stack; it can be
 * entered from a poll that ctrl.c does (resets, flushes).
 *
 * The files are layers. Each calls ctrl.c and those below it, and none above:
 *
 *   hooks below    where ctrl.c calls any of the files
 *   lm.c           properties, Identify, dispatch, Migration Send and Receive
 *   lm-reset.c     resets of an MMC and of a target
 *   lm-state.c     image of a controller: building, parsing, loading
 *   lm-vs.c        the vendor part of an image
 *   lm-quiesce.c   suspend and resume
 *   lm-track.c     log of the memory that a controller writes, its commands
 *   lm-ctrl.c      a controller as all of them see it
 */

#ifndef HW_NVME_LM_H
#define HW_NVME_LM_H

#include "nvme.h"

#define NVME_LM_NV                  1
#define NVME_LM_NUUID               1

/* Why an image or a command was refused */
typedef struct NvmeLmWhy {
    NvmeCtrl *target;                       /* of the command, NULL: none */
    const char *what;
    uint64_t got;
    uint64_t want;
} NvmeLmWhy;

/* Refuse: say why, and return @ret_ from the function. */
#define NVME_LM_REFUSE(ret_, why_, what_, got_, want_) \
    do { \
        (why_)->what = (what_); \
        (why_)->got = (got_); \
        (why_)->want = (want_); \
        return (ret_); \
    } while (0)

/* Refuse unless @cond_ holds. */
#define NVME_LM_CHECK(cond_, ret_, why_, what_, got_, want_) \
    do { \
        if (!(cond_)) { \
            NVME_LM_REFUSE(ret_, why_, what_, got_, want_); \
        } \
    } while (0)

typedef enum NvmeLmRun {
    NVME_LM_RUNNING,
    NVME_LM_DRAINING,   /* fetches nothing, still posts */
    NVME_LM_SUSPENDED,  /* no bus transaction at all */
} NvmeLmRun;

/* A Suspend that waits for its target to drain */
typedef struct NvmeLmWaiter {
    BlockAIOCB common;
    NvmeRequest *req;
    NvmeCtrl *mmc;
    NvmeCtrl *target;
    QTAILQ_ENTRY(NvmeLmWaiter) entry;
} NvmeLmWaiter;

struct NvmeLm {
    NvmeLmRun run;
    NvmeCtrl *mmc;                          /* who suspended it */
    int64_t frozen_ms;                      /* a state has no running clock */
    QTAILQ_HEAD(, NvmeLmWaiter) waiters;

    /*
     * What Get returns in pieces, frozen by the piece at offset 0: an image for
     * each pair of CSVI and CSUUIDI
     */
    GBytes *image[NVME_LM_NV + 1][NVME_LM_NUUID + 1];

    GByteArray *load;                       /* what Set has brought so far */
    NvmeCtrl *load_mmc;                     /* NULL: no sequence is open */
    uint8_t load_csvi;
    uint8_t load_csuuidi;
    bool load_begun;                        /* and not committed yet */

    bool sq0_db;                            /* shadow of queue 0 is behind */
    bool cq0_db;
    bool irq_owed;                          /* resumed with MSI-X disabled */
    bool work_owed;                         /* looked at without bus master */
    bool wc_off;                            /* this controller's choice */

    /* what the guest knows of this controller, or of the one it came from */
    NvmeIdCtrl own_id;                      /* id_ctrl may be the other one's */
    bool own_ocp;                           /* so may params.ocp */
    bool pairs_told;                        /* conf_ioqpairs */
    bool pairs_lowered;
    bool clock_stopped;                     /* since the timestamp was set */
};

/* What the files offer, from the highest layer to the lowest */

/* lm.c */
bool nvme_lm_check_params(NvmeCtrl *n, Error **errp);
void nvme_lm_init(NvmeCtrl *n);
void nvme_lm_exit(NvmeCtrl *n);
uint16_t nvme_lm_identify(NvmeCtrl *n, NvmeRequest *req);
uint16_t nvme_lm_cmd(NvmeCtrl *n, NvmeRequest *req);
bool nvme_lm_abort(NvmeCtrl *n, NvmeRequest *req);
bool nvme_lm_opcode(NvmeCtrl *n, uint8_t opcode);

/* lm-reset.c */
void nvme_lm_mmc_reset_begin(NvmeCtrl *n);
void nvme_lm_mmc_reset_end(NvmeCtrl *n);
void nvme_lm_target_reset(NvmeCtrl *n, bool function);

/* lm-state.c */
uint64_t nvme_lm_max_state(NvmeCtrl *n);
uint16_t nvme_lm_freeze_image(NvmeCtrl *n, uint8_t csvi, uint8_t csuuidi,
                              NvmeLmWhy *why);
bool nvme_lm_parse_header(const uint8_t *buf, size_t len, uint64_t max,
                          bool v0, bool vendor, uint64_t *total,
                          NvmeLmWhy *why);
uint16_t nvme_lm_commit(NvmeCtrl *n, const uint8_t *buf, size_t len,
                        NvmeLmWhy *why);

/* lm-vs.c */
void nvme_lm_remove_queues(NvmeCtrl *n);

/* lm-quiesce.c */
uint16_t nvme_lm_suspend(NvmeCtrl *mmc, NvmeCtrl *target, NvmeRequest *req);
uint16_t nvme_lm_resume(NvmeCtrl *target, NvmeLmWhy *why);
void nvme_lm_let_go(NvmeCtrl *target);
void nvme_lm_drained(NvmeCtrl *n);
void nvme_lm_release(NvmeCtrl *n);
void nvme_lm_abandon(NvmeCtrl *mmc, NvmeCtrl *target);
void nvme_lm_end_run(NvmeCtrl *n);
void nvme_lm_kick(NvmeCtrl *n);
void nvme_lm_make_up(NvmeCtrl *n);

/* lm-track.c */
void nvme_lm_track_init(NvmeCtrl *n);
void nvme_lm_track_drop(NvmeCtrl *n);
void nvme_lm_track_mmc_reset(NvmeCtrl *n, NvmeCtrl *target);
uint16_t nvme_lm_track_send(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why);
uint16_t nvme_lm_track_receive(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why);
void nvme_lm_track_mark(NvmeCtrl *n, uint64_t addr, uint64_t len);
void nvme_lm_track_mark_sg(NvmeCtrl *n, NvmeSg *sg, uint64_t len);
void nvme_lm_read_done(void *opaque, int ret);

/* lm-ctrl.c */
NvmeCtrl *nvme_lm_pf(NvmeCtrl *n);
bool nvme_lm_is_mmc(NvmeCtrl *n);
bool nvme_lm_enabled(NvmeCtrl *n);
bool nvme_lm_admin_queues(NvmeCtrl *n);
bool nvme_lm_offline(NvmeCtrl *n);
bool nvme_lm_has_io_queues(NvmeCtrl *n);
unsigned nvme_lm_own_pairs(NvmeCtrl *n);
NvmeCtrl *nvme_lm_target(NvmeCtrl *n, uint16_t cntlid);
uint64_t nvme_lm_max_transfer(NvmeCtrl *n);
uint16_t nvme_lm_refused(NvmeRequest *req, uint16_t status,
                         const NvmeLmWhy *why);
void nvme_lm_image_drop(NvmeLm *lm);
void nvme_lm_load_drop(NvmeLm *lm);
void nvme_lm_drop_sg(NvmeSg *sg);
void nvme_lm_wc_choose(NvmeCtrl *n, bool off);
bool nvme_lm_wc_enabled(NvmeCtrl *n, bool enabled);

/* Hooks of ctrl.c */

/*
 * A function without bus mastering is idle, and no access of it fails. A VMM
 * may turn it on after Resume.
 */
static inline bool nvme_lm_off_bus(NvmeCtrl *n)
{
    uint8_t *config = PCI_DEVICE(n)->config;

    if (pci_get_word(config + PCI_COMMAND) & PCI_COMMAND_MASTER) {
        return false;
    }
    n->lm->work_owed = true;
    return true;
}

static inline bool nvme_lm_no_fetch(NvmeCtrl *n)
{
    return n->lm && (n->lm->run != NVME_LM_RUNNING || nvme_lm_off_bus(n));
}

static inline bool nvme_lm_silent(NvmeCtrl *n)
{
    return n->lm && (n->lm->run == NVME_LM_SUSPENDED || nvme_lm_off_bus(n));
}

static inline void nvme_lm_posted(NvmeCtrl *n)
{
    if (n->lm && n->lm->run == NVME_LM_DRAINING) {
        nvme_lm_drained(n);
    }
}

static inline bool nvme_lm_hold_sq0_db(NvmeCtrl *n)
{
    if (!nvme_lm_silent(n)) {
        return false;
    }
    n->lm->sq0_db = true;
    return true;
}

static inline bool nvme_lm_hold_cq0_db(NvmeCtrl *n)
{
    if (!nvme_lm_silent(n)) {
        return false;
    }
    n->lm->cq0_db = true;
    return true;
}

static inline bool nvme_lm_is_cns(NvmeCtrl *n, uint8_t cns)
{
    return n->lm && cns == NVME_ID_CNS_CTRL_STATE_FORMATS;
}

static inline bool nvme_lm_is_cmd(NvmeCtrl *n, uint8_t opcode)
{
    return n->lm && nvme_lm_opcode(n, opcode);
}

/* A command that Abort has found; lm.c ends it if it is one of these */
static inline bool nvme_lm_is_req(NvmeCtrl *n, NvmeRequest *req)
{
    return !req->sq->sqid && nvme_lm_is_cmd(n, req->cmd.opcode);
}

static inline uint32_t nvme_lm_write_cache(NvmeCtrl *n, uint32_t enabled)
{
    return n->lm ? nvme_lm_wc_enabled(n, enabled) : enabled;
}

static inline void nvme_lm_write_cache_set(NvmeCtrl *n, bool on)
{
    if (n->lm) {
        nvme_lm_wc_choose(n, !on);
    }
}

/* Number of Queues was answered with conf_ioqpairs. */
static inline void nvme_lm_pairs_told(NvmeCtrl *n)
{
    if (n->lm) {
        n->lm->pairs_told = true;
    }
}

static inline void nvme_lm_clock_set(NvmeCtrl *n)
{
    if (n->lm) {
        n->lm->clock_stopped = false;
    }
}

static inline bool nvme_lm_clock_stopped(const NvmeCtrl *n)
{
    return n->lm && n->lm->clock_stopped;
}

static inline void nvme_lm_reset_begin(NvmeCtrl *n)
{
    if (nvme_lm_is_mmc(n)) {
        nvme_lm_mmc_reset_begin(n);
    }
}

static inline void nvme_lm_reset_end(NvmeCtrl *n, NvmeResetType rst)
{
    if (!n->lm) {
        return;
    }
    if (nvme_lm_is_mmc(n)) {
        nvme_lm_mmc_reset_end(n);
    } else {
        nvme_lm_target_reset(n, rst == NVME_RESET_FUNCTION);
    }
}

/* What was written to host memory, whether that succeeded or not */

static inline void nvme_lm_wrote(NvmeCtrl *n, hwaddr addr, uint64_t len)
{
    if (unlikely(n->lm_track)) {
        nvme_lm_track_mark(n, addr, len);
    }
}

static inline void nvme_lm_wrote_sg(NvmeCtrl *n, NvmeSg *sg, uint64_t len)
{
    if (unlikely(n->lm_track)) {
        nvme_lm_track_mark_sg(n, sg, len);
    }
}

/* A shadow doorbell or an event index */
static inline void nvme_lm_stl(NvmeCtrl *n, hwaddr addr, uint32_t val)
{
    stl_le_pci_dma(PCI_DEVICE(n), addr, val, MEMTXATTRS_UNSPECIFIED);
    nvme_lm_wrote(n, addr, sizeof(val));
}

/* A read that ends in @cb; tracking may begin while it is on its way. */
static inline BlockCompletionFunc *nvme_lm_read_begins(NvmeRequest *req,
                                                       BlockCompletionFunc *cb)
{
    if (!req->sq->ctrl->lm) {
        return cb;
    }
    req->lm_read_cb = cb;
    return nvme_lm_read_done;
}

static inline void nvme_lm_config_written(NvmeCtrl *n)
{
    if (n->lm && (n->lm->irq_owed || n->lm->work_owed)) {
        nvme_lm_make_up(n);
    }
}

#endif /* HW_NVME_LM_H */
