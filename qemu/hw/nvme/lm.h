/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Host managed live migration for the NVMe controller model
 *
 * ctrl.c calls the inline functions below; all of them do nothing for a
 * controller without live migration (NvmeCtrl::lm is NULL), without fault
 * points (NvmeCtrl::lm_faults is NULL) and while nobody tracks what it writes
 * (NvmeCtrl::lm_track is NULL).
 *
 * Everything here runs in the main loop with the BQL held. Code of these files
 * never polls, so it cannot be entered twice on the same stack; it can be
 * entered from a poll that ctrl.c does (resets, flushes).
 *
 * The files are layers. Each calls ctrl.c and those below it, and none above:
 *
 *   hooks below    where ctrl.c calls any of the files
 *   lm.c           properties, Identify, dispatch, Migration Send and Receive
 *   lm-vendor.c    commands of the vendor specific set
 *   lm-reset.c     resets of an MMC and of a target
 *   lm-state.c     image of a controller: building, parsing, loading
 *   lm-model.c     hardware model: when a command is executed
 *   lm-quiesce.c   suspend and resume
 *   lm-track.c     log of the memory that a controller writes, its commands
 *   lm-ctrl.c      a controller as all of them see it
 *   lm-extra.c     hardware model: extra state
 *   lm-spec.h      numbers and structures of the command sets
 *
 * lm-fault.c stands beside them. It calls only ctrl.c, and only the hooks and
 * lm.c call it.
 */

#ifndef HW_NVME_LM_H
#define HW_NVME_LM_H

#include "nvme.h"
#include "lm-spec.h"

enum NvmeLmMode {
    NVME_LM_OFF,
    NVME_LM_TP4159,
    NVME_LM_VENDOR,
};

#define NVME_LM_NV                  1
#define NVME_LM_NUUID               1

/* Vendor part of a state; Documentation/device-state.rst describes it */
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
    NVME_LM_VS_EXTRA        = 1 << 8,
    NVME_LM_VS_FLAGS        = (1 << 9) - 1,
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

/* With NVME_LM_VS_EXTRA the fixed part goes on with this */
typedef struct QEMU_PACKED NvmeLmVsExtra {
    uint64_t seed;
    uint32_t len;
    uint32_t rsvd12;
} NvmeLmVsExtra;

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
QEMU_BUILD_BUG_ON(sizeof(NvmeLmVsExtra) != 16);
QEMU_BUILD_BUG_ON(sizeof(NvmeLmVsNs) != 72);
QEMU_BUILD_BUG_ON(sizeof(NvmeLmVsHeld) != 16);

/* The extra state at the end of an image */
typedef struct NvmeLmExtra {
    uint64_t seed;
    uint64_t at;                            /* offset in the image */
    uint64_t len;
} NvmeLmExtra;

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
    uint16_t reset_status;
    int64_t since;
    QTAILQ_ENTRY(NvmeLmWaiter) entry;
} NvmeLmWaiter;

typedef uint16_t NvmeLmExecute(NvmeCtrl *n, NvmeRequest *req);

typedef struct NvmeLmJob NvmeLmJob;

struct NvmeLm {
    NvmeLmRun run;
    NvmeCtrl *mmc;                          /* who suspended it */
    int64_t frozen_ms;                      /* a state has no running clock */
    QTAILQ_HEAD(, NvmeLmWaiter) waiters;
    QTAILQ_HEAD(, NvmeLmJob) suspends;      /* that the model works on */
    uint32_t generation;                    /* suspends that it has seen */

    /* of an MMC: the commands that the model has not executed yet */
    QTAILQ_HEAD(, NvmeLmJob) jobs;
    unsigned nr_working;

    /*
     * What Get returns in pieces, frozen by the piece at offset 0: an image for
     * each pair of CSVI and CSUUIDI
     */
    GBytes *image[NVME_LM_NV + 1][NVME_LM_NUUID + 1];

    /* what Set has brought so far, without the extra state in it */
    GByteArray *load;
    uint64_t load_extra;                    /* how much of that was right */
    NvmeCtrl *load_mmc;                     /* NULL: no sequence is open */
    uint8_t load_csvi;
    uint8_t load_csuuidi;
    bool load_begun;                        /* and not committed yet */

    bool sq0_db;                            /* shadow of queue 0 is behind */
    bool cq0_db;
    bool irq_owed;                          /* resumed with MSI-X disabled */
    bool work_owed;                         /* looked at without bus master */
    bool wc_off;                            /* this controller's choice */
    bool save_disabled;                     /* by the vendor set's SAVE */
    uint32_t size_told;                     /* by QUERY_DATA_SIZE */
    bool suspend_asked;                     /* by more than a SAVE_DATA */

    /* what the guest knows of this controller, or of the one it came from */
    NvmeIdCtrl own_id;                      /* id_ctrl may be the other one's */
    bool own_ocp;                           /* so may params.ocp */
    bool pairs_told;                        /* conf_ioqpairs */
    bool pairs_lowered;
    bool clock_stopped;                     /* since the timestamp was set */
};

extern const PropertyInfo nvme_lm_prop_mode;
extern const PropertyInfo nvme_lm_prop_live_bool;
extern const PropertyInfo nvme_lm_prop_live_uint64;

#define NVME_LM_PROP_MODEL(name_, field_) \
    DEFINE_PROP(name_, NvmeCtrl, params.lm.model.field_, \
                nvme_lm_prop_live_uint64, uint64_t, \
                .set_default = true, .defval.u = 0)

/* What the files offer, from the highest layer to the lowest */

/* lm.c */
bool nvme_lm_check_params(NvmeCtrl *n, Error **errp);
void nvme_lm_init(NvmeCtrl *n);
void nvme_lm_exit(NvmeCtrl *n);
uint16_t nvme_lm_identify(NvmeCtrl *n, NvmeRequest *req);
uint16_t nvme_lm_cmd(NvmeCtrl *n, NvmeRequest *req);
bool nvme_lm_abort(NvmeCtrl *n, NvmeRequest *req);
bool nvme_lm_opcode(NvmeCtrl *n, uint8_t opcode);

/* lm-vendor.c */
uint16_t nvme_lm_vendor_cmd(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why);

/* lm-reset.c */
void nvme_lm_mmc_reset_begin(NvmeCtrl *n);
void nvme_lm_mmc_reset_end(NvmeCtrl *n);
void nvme_lm_target_reset(NvmeCtrl *n, bool function);
void nvme_lm_disable(NvmeCtrl *n);

/* lm-state.c */
uint64_t nvme_lm_max_state(NvmeCtrl *n);
uint16_t nvme_lm_freeze_image(NvmeCtrl *n, uint8_t csvi, uint8_t csuuidi,
                              NvmeLmWhy *why);
bool nvme_lm_parse_header(const uint8_t *buf, size_t len, uint64_t max,
                          bool v0, bool vendor, uint64_t *total,
                          NvmeLmWhy *why);
uint16_t nvme_lm_commit(NvmeCtrl *n, const uint8_t *buf, size_t len,
                        uint64_t extra, bool replace, NvmeLmWhy *why);
void nvme_lm_remove_queues(NvmeCtrl *n);

/* lm-model.c */
bool nvme_lm_model_check_params(NvmeCtrl *n, Error **errp);
uint16_t nvme_lm_model_cmd(NvmeCtrl *n, NvmeRequest *req,
                           NvmeLmExecute *execute);
void nvme_lm_model_look_again(NvmeCtrl *n);
void nvme_lm_model_abandon(NvmeCtrl *n);
void nvme_lm_model_target_reset(NvmeCtrl *n);
NvmeCtrl *nvme_lm_model_suspender(NvmeLm *lm);

/* lm-quiesce.c */
uint16_t nvme_lm_suspend(NvmeCtrl *mmc, NvmeCtrl *target, NvmeRequest *req,
                         BlockCompletionFunc *cb, uint16_t reset_status);
uint16_t nvme_lm_resume(NvmeCtrl *target, uint16_t not_suspended,
                        NvmeLmWhy *why);
void nvme_lm_stop_fetch(NvmeCtrl *mmc, NvmeCtrl *target);
void nvme_lm_let_go(NvmeCtrl *target);
void nvme_lm_freeze(NvmeCtrl *mmc, NvmeCtrl *target);
void nvme_lm_drained(NvmeCtrl *n);
void nvme_lm_look_again(NvmeCtrl *pf);
void nvme_lm_release(NvmeCtrl *n);
void nvme_lm_abandon(NvmeCtrl *mmc, NvmeCtrl *target);
void nvme_lm_end_run(NvmeCtrl *n);
void nvme_lm_kick(NvmeCtrl *n);
void nvme_lm_make_up(NvmeCtrl *n);

/* lm-track.c */
bool nvme_lm_track_check_params(NvmeCtrl *n, Error **errp);
void nvme_lm_track_init(NvmeCtrl *n);
void nvme_lm_track_drop(NvmeCtrl *n);
void nvme_lm_track_mmc_reset(NvmeCtrl *n, NvmeCtrl *target);
void nvme_lm_track_target_reset(NvmeCtrl *n);
uint16_t nvme_lm_track_send(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why);
uint16_t nvme_lm_track_receive(NvmeCtrl *n, NvmeRequest *req, NvmeLmWhy *why);
void nvme_lm_track_mark(NvmeCtrl *n, uint64_t addr, uint64_t len);
void nvme_lm_track_mark_sg(NvmeCtrl *n, NvmeSg *sg, uint64_t len);
void nvme_lm_track_mark_cqe(NvmeCtrl *n, uint64_t addr, uint64_t len);
void nvme_lm_read_done(void *opaque, int ret);

/* lm-ctrl.c */
NvmeCtrl *nvme_lm_pf(NvmeCtrl *n);
bool nvme_lm_enabled(NvmeCtrl *n);
bool nvme_lm_offline(NvmeCtrl *n);
bool nvme_lm_has_io_queues(NvmeCtrl *n);
unsigned nvme_lm_own_pairs(NvmeCtrl *n);
NvmeCtrl *nvme_lm_target(NvmeCtrl *n, uint16_t cntlid);
NvmeCtrl *nvme_lm_vf(NvmeCtrl *n, uint16_t index);
bool nvme_lm_usable(NvmeCtrl *target);
uint64_t nvme_lm_max_transfer(NvmeCtrl *n);
uint16_t nvme_lm_refused(NvmeRequest *req, uint16_t status,
                         const NvmeLmWhy *why);
void nvme_lm_image_drop(NvmeLm *lm);
void nvme_lm_load_drop(NvmeLm *lm);
void nvme_lm_drop_sg(NvmeSg *sg);
void nvme_lm_wc_choose(NvmeCtrl *n, bool off);
bool nvme_lm_wc_enabled(NvmeCtrl *n, bool enabled);

/* lm-extra.c */
bool nvme_lm_extra_find(const uint8_t *buf, size_t len, NvmeLmExtra *e);
bool nvme_lm_extra_verify(const uint8_t *buf, size_t len, NvmeLmExtra *e,
                          NvmeLmWhy *why);
bool nvme_lm_extra_take(NvmeLm *lm, NvmeLmWhy *why);
size_t nvme_lm_image_size(GBytes *image);
void nvme_lm_image_read(GBytes *image, uint64_t off, uint8_t *buf, size_t len);

/* lm-fault.c, beside the layers */
void nvme_lm_fault_init(NvmeCtrl *n);
void nvme_lm_fault_exit(NvmeCtrl *n);
uint16_t nvme_lm_fault_cmd(NvmeCtrl *n, NvmeRequest *req);
void *nvme_lm_fault_data(NvmeCtrl *n, NvmeRequest *req, const void *ptr,
                         uint32_t *len);
bool nvme_lm_fault_end(NvmeCtrl *n, NvmeRequest *req);
void nvme_lm_fault_reset(NvmeCtrl *n, bool function);
void nvme_lm_fault_event_seen(NvmeCtrl *n);
bool nvme_lm_fault_keeps_vfs(NvmeCtrl *n);
bool nvme_lm_fault_ignores_flr(NvmeCtrl *pf);

/* Hooks of ctrl.c */

static inline uint16_t nvme_lm_admin_cmd(NvmeCtrl *n, NvmeRequest *req)
{
    return n->lm_faults ? nvme_lm_fault_cmd(n, req) : nvme_admin_cmd(n, req);
}

static inline void *nvme_lm_altered(NvmeCtrl *n, NvmeRequest *req,
                                    const void *ptr, uint32_t *len)
{
    return req->lm_faults ? nvme_lm_fault_data(n, req, ptr, len) : NULL;
}

static inline bool nvme_lm_held(NvmeCtrl *n, NvmeRequest *req)
{
    return req->lm_faults && nvme_lm_fault_end(n, req);
}

static inline void nvme_lm_fw_log_read(NvmeCtrl *n, bool retain_event)
{
    if (n->lm_faults && !retain_event) {
        nvme_lm_fault_event_seen(n);
    }
}

static inline bool nvme_lm_keeps_vfs(NvmeCtrl *n, NvmeResetType rst)
{
    return n->lm_faults && rst == NVME_RESET_CONTROLLER &&
           nvme_lm_fault_keeps_vfs(n);
}

static inline bool nvme_lm_ignores_flr(NvmeCtrl *n)
{
    NvmeCtrl *pf;

    if (!n->lm || !pci_is_vf(PCI_DEVICE(n))) {
        return false;
    }

    pf = nvme_lm_pf(n);
    return pf->lm_faults && nvme_lm_fault_ignores_flr(pf);
}

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
    return n->lm && cns == NVME_LM_CNS_STATE_FORMATS;
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

static inline void nvme_lm_reset_begin(NvmeCtrl *n, NvmeResetType rst)
{
    if (n->lm_faults) {
        nvme_lm_fault_reset(n, rst == NVME_RESET_FUNCTION);
    }
    if (n->lm && !pci_is_vf(PCI_DEVICE(n))) {
        nvme_lm_mmc_reset_begin(n);
    }
}

static inline void nvme_lm_reset_end(NvmeCtrl *n, NvmeResetType rst)
{
    if (!n->lm) {
        return;
    }
    if (pci_is_vf(PCI_DEVICE(n))) {
        nvme_lm_target_reset(n, rst == NVME_RESET_FUNCTION);
    } else {
        nvme_lm_mmc_reset_end(n);
    }
}

static inline uint16_t nvme_lm_vf_device_id(NvmeCtrl *n, uint16_t id)
{
    return n->params.lm.mode == NVME_LM_VENDOR ? NVME_LM_VF_DEVICE_ID : id;
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

static inline void nvme_lm_wrote_cqe(NvmeCtrl *n, hwaddr addr, uint64_t len)
{
    if (unlikely(n->lm_track)) {
        nvme_lm_track_mark_cqe(n, addr, len);
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
