/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QTest of host managed live migration of NVMe controllers (TP4159)
 *
 * A PF, which takes the commands, and two VFs; states move from the first VF to
 * the second one.
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "nvme-util.h"

#define DEVFN   (4 << 3)

/* Of a state with the vendor part, if nothing unusual is in it */
#define STATE_MAX   (2 * NVME_TEST_PAGE)

/* Fields of the vendor part, docs/specs/nvme-lm.rst */
#define VENDOR_NR_HELD  28

typedef struct Fixture {
    QTestState *qts;
    NvmeTestCtrl pf;
    NvmeTestCtrl vf[2];
    uint64_t data;      /* two pages: what a VF reads from its medium */
    uint64_t state;     /* two pages: what the PF moves */
    size_t len;
} Fixture;

static void start(Fixture *f, const char *drive, const char *lm)
{
    *f = (Fixture) {
        .qts = nvme_test_start("-drive if=none,id=d,format=raw,"
                               "file=null-co://,file.read-zeroes=on%s "
                               "-device nvme-subsys,id=s0 "
                               "-device nvme,id=pf,serial=s,subsys=s0,"
                               "addr=4,sriov_max_vfs=2,sriov_vq_flexible=6,"
                               "sriov_vi_flexible=6,max_ioqpairs=8,"
                               "msix_qsize=8%s "
                               "-device nvme-ns,drive=d,nsid=1,bus=pf,"
                               "shared=on", drive, lm),
    };

    nvme_test_ctrl_init(&f->pf, f->qts, DEVFN);
    nvme_test_enable(&f->pf);
    nvme_test_vfs_init(&f->pf, f->vf, ARRAY_SIZE(f->vf), 2);
    f->data = nvme_test_alloc(f->qts, 2 * NVME_TEST_PAGE);
    f->state = nvme_test_alloc(f->qts, STATE_MAX);
}

static uint16_t cntlid(Fixture *f, NvmeTestCtrl *vf)
{
    return vf - f->vf + 1;
}

/* Commands */

static NvmeCmd suspend_cmd(Fixture *f, NvmeTestCtrl *vf)
{
    return (NvmeCmd) {
        .opcode = NVME_ADM_CMD_MIGRATION_SEND,
        .cdw10 = cpu_to_le32(NVME_MIGRATION_SEND_SUSPEND),
        .cdw11 = cpu_to_le32(NVME_SUSPEND_TYPE_SUSPEND << 16 |
                             cntlid(f, vf)),
    };
}

static uint16_t suspend(Fixture *f, NvmeTestCtrl *vf)
{
    NvmeCmd cmd = suspend_cmd(f, vf);

    return nvme_test_admin(&f->pf, &cmd, NULL);
}

static uint16_t resume(Fixture *f, NvmeTestCtrl *vf)
{
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_MIGRATION_SEND,
        .cdw10 = cpu_to_le32(NVME_MIGRATION_SEND_RESUME),
        .cdw11 = cpu_to_le32(cntlid(f, vf)),
    };

    return nvme_test_admin(&f->pf, &cmd, NULL);
}

/* Both parts, into f->state. Returns what the command says about suspension. */
static uint32_t get(Fixture *f, NvmeTestCtrl *vf)
{
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_MIGRATION_RECV,
        .dptr.prp1 = cpu_to_le64(f->state),
        .dptr.prp2 = cpu_to_le64(f->state + NVME_TEST_PAGE),
        .cdw10 = cpu_to_le32(1 << 16),
        .cdw11 = cpu_to_le32(1 << 16 | cntlid(f, vf)),
        .cdw15 = cpu_to_le32(STATE_MAX / 4 - 1),
    };
    NvmeCtrlStateHdr hdr;
    uint32_t result;

    g_assert_cmphex(nvme_test_admin(&f->pf, &cmd, &result), ==, NVME_SUCCESS);
    qtest_memread(f->qts, f->state, &hdr, sizeof(hdr));
    f->len = sizeof(hdr) + 4 * (le64_to_cpu(hdr.nvmecss[0]) +
                                le64_to_cpu(hdr.vss[0]));
    g_assert_cmpuint(f->len, <=, STATE_MAX);
    g_assert_cmphex(hdr.csattr & NVME_CSATTR_SUSPENDED, ==, result);
    return result;
}

/* A piece of f->state: those after the first are in its second page. */
static uint16_t set_piece(Fixture *f, NvmeTestCtrl *vf, uint8_t seqind,
                          size_t off, size_t len)
{
    uint64_t addr = f->state + off;
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_MIGRATION_SEND,
        .dptr.prp1 = cpu_to_le64(addr),
        .dptr.prp2 = cpu_to_le64(f->state + NVME_TEST_PAGE),
        .cdw10 = cpu_to_le32(seqind << 16 | NVME_MIGRATION_SEND_SET),
        .cdw11 = cpu_to_le32(1 << 24 | 1 << 16 | cntlid(f, vf)),
        .cdw12 = cpu_to_le32(off),
        .cdw15 = cpu_to_le32(len / 4),
    };

    return nvme_test_admin(&f->pf, &cmd, NULL);
}

static uint16_t set(Fixture *f, NvmeTestCtrl *vf)
{
    return set_piece(f, vf, NVME_SEQIND_FIRST | NVME_SEQIND_LAST, 0, f->len);
}

/* What is at an offset of the vendor part of f->state */
static uint64_t vendor_addr(Fixture *f, unsigned offset)
{
    NvmeCtrlStateHdr hdr;

    qtest_memread(f->qts, f->state, &hdr, sizeof(hdr));
    return f->state + sizeof(hdr) + 4 * le64_to_cpu(hdr.nvmecss[0]) + offset;
}

/* The second VF becomes what the first one was, and runs. */
static void move(Fixture *f)
{
    g_assert_cmphex(suspend(f, &f->vf[0]), ==, NVME_SUCCESS);
    g_assert_cmphex(get(f, &f->vf[0]), ==, 1);
    g_assert_cmphex(suspend(f, &f->vf[1]), ==, NVME_SUCCESS);
    g_assert_cmphex(set(f, &f->vf[1]), ==, NVME_SUCCESS);
    g_assert_cmphex(resume(f, &f->vf[1]), ==, NVME_SUCCESS);

    f->vf[1].cid = f->vf[0].cid;
    f->vf[1].admin = f->vf[0].admin;
}

/*
 * A command that the PF completes: what a VF was going to do without waiting
 * for anything is done afterwards.
 */
static void settle(Fixture *f)
{
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_GET_FEATURES,
        .cdw10 = cpu_to_le32(NVME_NUMBER_OF_QUEUES),
    };
    unsigned i;

    for (i = 0; i < 3; i++) {
        g_assert_cmphex(nvme_test_admin(&f->pf, &cmd, NULL), ==, NVME_SUCCESS);
    }
}

/* Tests */

static void test_identify(void)
{
    uint8_t formats[NVME_IDENTIFY_DATA_SIZE];
    NvmeIdCtrl id;
    Fixture f;

    start(&f, "", ",lm=tp4159");
    g_assert_cmphex(nvme_test_identify(&f.pf, NVME_ID_CNS_CTRL, &id), ==,
                    NVME_SUCCESS);
    g_assert(le16_to_cpu(id.oacs) & NVME_OACS_HMLMS);
    g_assert(id.trattr & NVME_TRATTR_THMCS);
    g_assert_cmphex(nvme_test_identify(&f.pf, NVME_ID_CNS_CTRL_STATE_FORMATS,
                                       formats), ==, NVME_SUCCESS);
    g_assert_cmpuint(formats[0], ==, 1);    /* one version, 0 */
    g_assert_cmpuint(formats[1], ==, 1);    /* one UUID */
    g_assert_cmpuint(lduw_le_p(formats + 2), ==, 0);

    nvme_test_enable(&f.vf[0]);
    g_assert_cmphex(nvme_test_identify(&f.vf[0], NVME_ID_CNS_CTRL, &id), ==,
                    NVME_SUCCESS);
    g_assert(!(le16_to_cpu(id.oacs) & NVME_OACS_HMLMS));
    g_assert_cmphex(nvme_test_identify(&f.vf[0],
                                       NVME_ID_CNS_CTRL_STATE_FORMATS,
                                       formats), ==, NVME_INVALID_FIELD);
    qtest_quit(f.qts);

    start(&f, "", "");
    g_assert_cmphex(nvme_test_identify(&f.pf, NVME_ID_CNS_CTRL, &id), ==,
                    NVME_SUCCESS);
    g_assert(!(le16_to_cpu(id.oacs) & NVME_OACS_HMLMS));
    g_assert_cmphex(suspend(&f, &f.vf[0]), ==, NVME_INVALID_OPCODE);
    qtest_quit(f.qts);
}

/* A Suspend waits for what was fetched, and nothing more is fetched. */
static void test_suspend(void)
{
    NvmeTestQueue q;
    NvmeCmd cmd;
    Fixture f;
    int i;

    start(&f, ",throttling.iops-total=1", ",lm=tp4159");
    nvme_test_enable(&f.vf[0]);
    nvme_test_create_queues(&f.vf[0], &q, 1, NVME_TEST_QSIZE, false, 0);

    g_assert_cmphex(resume(&f, &f.vf[0]), ==, NVME_CTRL_NOT_SUSPENDED);

    /* the second one is throttled */
    for (i = 0; i < 2; i++) {
        nvme_test_read(&f.vf[0], &q, f.data);
    }
    g_assert_cmphex(nvme_test_wait(&f.vf[0], &q, NULL), ==, NVME_SUCCESS);

    cmd = suspend_cmd(&f, &f.vf[0]);
    nvme_test_submit(&f.pf, &f.pf.admin, &cmd);
    nvme_test_read(&f.vf[0], &q, f.data);
    qtest_clock_step(f.qts, 1);
    g_assert(!nvme_test_completed(&f.pf, &f.pf.admin));
    g_assert(!nvme_test_completed(&f.vf[0], &q));

    qtest_clock_step(f.qts, 2 * NANOSECONDS_PER_SECOND);
    g_assert_cmphex(nvme_test_wait(&f.pf, &f.pf.admin, NULL), ==,
                    NVME_SUCCESS);
    g_assert_cmphex(nvme_test_wait(&f.vf[0], &q, NULL), ==, NVME_SUCCESS);

    qtest_clock_step(f.qts, 2 * NANOSECONDS_PER_SECOND);
    settle(&f);
    g_assert(!nvme_test_completed(&f.vf[0], &q));

    g_assert_cmphex(resume(&f, &f.vf[0]), ==, NVME_SUCCESS);
    qtest_clock_step(f.qts, 2 * NANOSECONDS_PER_SECOND);
    g_assert_cmphex(nvme_test_wait(&f.vf[0], &q, NULL), ==, NVME_SUCCESS);

    qtest_quit(f.qts);
}

/* A reset of the target ends a Suspend that waits for it. */
static void test_reset(void)
{
    NvmeTestQueue q;
    NvmeCmd cmd;
    Fixture f;
    int i;

    start(&f, ",throttling.iops-total=1", ",lm=tp4159");
    nvme_test_enable(&f.vf[0]);
    nvme_test_create_queues(&f.vf[0], &q, 1, NVME_TEST_QSIZE, false, 0);
    for (i = 0; i < 2; i++) {
        nvme_test_read(&f.vf[0], &q, f.data);
    }
    g_assert_cmphex(nvme_test_wait(&f.vf[0], &q, NULL), ==, NVME_SUCCESS);

    cmd = suspend_cmd(&f, &f.vf[0]);
    nvme_test_submit(&f.pf, &f.pf.admin, &cmd);
    nvme_test_disable(&f.vf[0]);
    g_assert_cmphex(nvme_test_wait(&f.pf, &f.pf.admin, NULL), ==,
                    NVME_CTRL_NOT_SUSPENDED);

    /* one of the MMC makes what it has suspended run */
    nvme_test_enable(&f.vf[0]);
    g_assert_cmphex(suspend(&f, &f.vf[0]), ==, NVME_SUCCESS);
    nvme_test_disable(&f.pf);
    nvme_test_enable(&f.pf);
    g_assert_cmphex(resume(&f, &f.vf[0]), ==, NVME_CTRL_NOT_SUSPENDED);

    qtest_quit(f.qts);
}

/* Commands that came while a controller was suspended belong to its state. */
static void test_move(void)
{
    NvmeTestQueue q;
    NvmeCqe cqe;
    Fixture f;

    start(&f, "", ",lm=tp4159");
    nvme_test_enable(&f.vf[0]);
    nvme_test_create_queues(&f.vf[0], &q, 1, NVME_TEST_QSIZE, false, 0);
    nvme_test_read(&f.vf[0], &q, f.data);
    g_assert_cmphex(nvme_test_wait(&f.vf[0], &q, NULL), ==, NVME_SUCCESS);

    g_assert_cmphex(get(&f, &f.vf[0]), ==, 0);
    g_assert_cmphex(suspend(&f, &f.vf[0]), ==, NVME_SUCCESS);
    nvme_test_read(&f.vf[0], &q, f.data);
    settle(&f);
    g_assert(!nvme_test_completed(&f.vf[0], &q));

    move(&f);
    g_assert_cmphex(nvme_test_wait(&f.vf[1], &q, &cqe), ==, NVME_SUCCESS);
    g_assert_cmpuint(le16_to_cpu(cqe.sq_head), ==, 2);
    nvme_test_read(&f.vf[1], &q, f.data);
    g_assert_cmphex(nvme_test_wait(&f.vf[1], &q, NULL), ==, NVME_SUCCESS);

    /* the first one is suspended, and gone with its function level reset */
    g_assert_cmphex(get(&f, &f.vf[0]), ==, 1);
    nvme_test_disable(&f.vf[0]);
    g_assert_cmphex(resume(&f, &f.vf[0]), ==, NVME_CTRL_NOT_SUSPENDED);

    qtest_quit(f.qts);
}

/* What a full completion queue holds back is part of the state. */
static void test_full_cq(void)
{
    NvmeTestQueue q;
    NvmeCqe cqe;
    Fixture f;
    int i;

    start(&f, "", ",lm=tp4159");
    nvme_test_enable(&f.vf[0]);
    nvme_test_create_queues(&f.vf[0], &q, 1, 2, false, 0);
    for (i = 0; i < 3; i++) {
        nvme_test_read(&f.vf[0], &q, f.data);
    }

    move(&f);
    g_assert_cmpuint(qtest_readl(f.qts, vendor_addr(&f, VENDOR_NR_HELD)), ==,
                     2);

    for (i = 3; i; i--) {
        g_assert_cmphex(nvme_test_wait(&f.vf[1], &q, &cqe), ==, NVME_SUCCESS);
        g_assert_cmphex(le16_to_cpu(cqe.cid), ==, f.vf[1].cid - i);
    }
    g_assert(!nvme_test_completed(&f.vf[1], &q));

    qtest_quit(f.qts);
}

/* A state is checked as a whole before it changes anything. */
static void test_refuse(void)
{
    NvmeTestQueue q;
    uint64_t revision;
    Fixture f;

    start(&f, "", ",lm=tp4159");
    nvme_test_enable(&f.vf[0]);
    nvme_test_create_queues(&f.vf[0], &q, 1, NVME_TEST_QSIZE, false, 0);
    g_assert_cmphex(suspend(&f, &f.vf[0]), ==, NVME_SUCCESS);
    get(&f, &f.vf[0]);

    /* the vendor part is for a controller that is suspended */
    g_assert_cmphex(set(&f, &f.vf[1]), ==, NVME_INVALID_CTRL_ID);
    g_assert_cmphex(suspend(&f, &f.vf[1]), ==, NVME_SUCCESS);

    /* pieces out of order, and a piece that is missing */
    g_assert_cmphex(set_piece(&f, &f.vf[1], NVME_SEQIND_LAST, NVME_TEST_PAGE,
                              f.len - NVME_TEST_PAGE), ==, NVME_CMD_SEQ_ERROR);
    g_assert_cmphex(set_piece(&f, &f.vf[1], NVME_SEQIND_FIRST, 0,
                              NVME_TEST_PAGE), ==, NVME_SUCCESS);
    g_assert_cmphex(resume(&f, &f.vf[1]), ==, NVME_CMD_SEQ_ERROR);

    /* the target has a queue */
    g_assert_cmphex(set(&f, &f.vf[0]), ==, NVME_INVALID_FIELD);

    revision = vendor_addr(&f, 8);
    qtest_writew(f.qts, revision, qtest_readw(f.qts, revision) + 1);
    g_assert_cmphex(set(&f, &f.vf[1]), ==, NVME_INVALID_FIELD);
    qtest_writew(f.qts, revision, qtest_readw(f.qts, revision) - 1);

    /* in two pieces */
    g_assert_cmphex(set_piece(&f, &f.vf[1], NVME_SEQIND_FIRST, 0,
                              NVME_TEST_PAGE), ==, NVME_SUCCESS);
    g_assert_cmphex(set_piece(&f, &f.vf[1], NVME_SEQIND_LAST, NVME_TEST_PAGE,
                              f.len - NVME_TEST_PAGE), ==, NVME_SUCCESS);
    g_assert_cmphex(resume(&f, &f.vf[1]), ==, NVME_SUCCESS);

    qtest_quit(f.qts);
}

/* Memory tracking */

static uint16_t track(Fixture *f, NvmeTestCtrl *vf, bool on, uint64_t from,
                      uint32_t pages)
{
    uint64_t addr = nvme_test_alloc(f->qts, NVME_TEST_PAGE);
    NvmeTrackMemoryHdr hdr = {
        .rnmrtd = cpu_to_le32(1),
    };
    NvmeTrackMemoryDescr descr = {
        .saddr = cpu_to_le64(from),
        .len = cpu_to_le32(pages),
    };
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_TRACK_SEND,
        .dptr.prp1 = cpu_to_le64(addr),
        .cdw10 = cpu_to_le32(on << 16 | NVME_TRACK_MEMORY),
        .cdw11 = cpu_to_le32(cntlid(f, vf)),
    };

    qtest_memwrite(f->qts, addr, &hdr, sizeof(hdr));
    qtest_memwrite(f->qts, addr + sizeof(hdr), &descr, sizeof(descr));
    return nvme_test_admin(&f->pf, &cmd, NULL);
}

/* Pages that the VF has written since the last call, if it was one run */
static unsigned tracked(Fixture *f, NvmeTestCtrl *vf, uint64_t *first)
{
    struct {
        NvmeTrackedMemoryHdr hdr;
        NvmeTrackedMemoryDescr descr[8];
    } QEMU_PACKED log;
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_TRACK_RECV,
        .dptr.prp1 = cpu_to_le64(f->state),
        .cdw11 = cpu_to_le32(cntlid(f, vf)),
        .cdw12 = cpu_to_le32(sizeof(log) / 4 - 1),
    };

    g_assert_cmphex(nvme_test_admin(&f->pf, &cmd, NULL), ==, NVME_SUCCESS);
    qtest_memread(f->qts, f->state, &log, sizeof(log));
    g_assert_cmphex(log.hdr.attrb & NVME_TRACKED_MEMORY_MTR, ==, 0);
    g_assert_cmpuint(le32_to_cpu(log.hdr.ntmcd), <=, 1);
    if (!log.hdr.ntmcd) {
        return 0;
    }

    *first = le64_to_cpu(log.descr[0].saddr);
    return le32_to_cpu(log.descr[0].len);
}

static void test_track(void)
{
    const unsigned pages = 2;
    uint64_t first = 0;
    NvmeTestQueue q;
    Fixture f;

    start(&f, "", ",lm=tp4159");
    nvme_test_enable(&f.vf[0]);
    nvme_test_create_queues(&f.vf[0], &q, 1, NVME_TEST_QSIZE, false, 0);

    g_assert_cmphex(track(&f, &f.vf[0], false, 0, 0), ==,
                    NVME_INVALID_CTRL_ID);
    g_assert_cmphex(track(&f, &f.vf[0], true, f.data, pages), ==,
                    NVME_SUCCESS);
    g_assert_cmpuint(tracked(&f, &f.vf[0], &first), ==, 0);

    /* data in the second page; the queues are not tracked */
    nvme_test_read(&f.vf[0], &q, f.data + NVME_TEST_PAGE);
    g_assert_cmphex(nvme_test_wait(&f.vf[0], &q, NULL), ==, NVME_SUCCESS);
    g_assert_cmpuint(tracked(&f, &f.vf[0], &first), ==, 1);
    g_assert_cmphex(first, ==, f.data + NVME_TEST_PAGE);
    g_assert_cmpuint(tracked(&f, &f.vf[0], &first), ==, 0);

    /* completions are writes as well */
    g_assert_cmphex(track(&f, &f.vf[0], false, 0, 0), ==, NVME_SUCCESS);
    g_assert_cmphex(track(&f, &f.vf[0], true, q.cq, 1), ==, NVME_SUCCESS);
    nvme_test_read(&f.vf[0], &q, f.data);
    g_assert_cmphex(nvme_test_wait(&f.vf[0], &q, NULL), ==, NVME_SUCCESS);
    g_assert_cmpuint(tracked(&f, &f.vf[0], &first), ==, 1);
    g_assert_cmphex(first, ==, q.cq);

    qtest_quit(f.qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/nvme/lm/identify", test_identify);
    qtest_add_func("/nvme/lm/suspend", test_suspend);
    qtest_add_func("/nvme/lm/reset", test_reset);
    qtest_add_func("/nvme/lm/move", test_move);
    qtest_add_func("/nvme/lm/full-cq", test_full_cq);
    qtest_add_func("/nvme/lm/refuse", test_refuse);
    qtest_add_func("/nvme/lm/track", test_track);
    return g_test_run();
}
