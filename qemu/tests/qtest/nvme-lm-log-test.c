/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QTest of the log of the user data that NVMe controllers change (TP4159)
 *
 * A PF, which has the queue, and a VF whose changes are in it.
 */

#include "qemu/osdep.h"
#include "nvme-util.h"

#define DEVFN       (4 << 3)
#define CNTLID      1           /* of the VF */
#define SLOTS       8
#define ZONE_LBAS   2048        /* of 1 MiB */

typedef struct Fixture {
    QTestState *qts;
    NvmeTestCtrl pf;
    NvmeTestCtrl vf[1];
    NvmeTestQueue q;
    uint64_t log;
    uint64_t data;
    uint32_t cdqid;
    uint32_t slot;              /* that is read next */
    uint8_t phase;
} Fixture;

/* Commands */

static uint16_t cdq_create(Fixture *f)
{
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_CDQ,
        .dptr.prp1 = cpu_to_le64(f->log),
        .cdw11 = cpu_to_le32(CNTLID << 16 | NVME_CDQ_PC),
        .cdw12 = cpu_to_le32(SLOTS * sizeof(NvmeUdmqEntry) / 4),
    };

    return nvme_test_admin(&f->pf, &cmd, &f->cdqid);
}

static uint16_t log_action(Fixture *f, bool start)
{
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_TRACK_SEND,
        .cdw10 = cpu_to_le32(start << 16),
        .cdw11 = cpu_to_le32(f->cdqid),
    };

    return nvme_test_admin(&f->pf, &cmd, NULL);
}

static uint16_t set_head(Fixture *f, uint32_t head)
{
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_SET_FEATURES,
        .cdw10 = cpu_to_le32(NVME_CONTROLLER_DATA_QUEUE),
        .cdw11 = cpu_to_le32(f->cdqid),
        .cdw12 = cpu_to_le32(head),
    };

    return nvme_test_admin(&f->pf, &cmd, NULL);
}

static uint16_t suspend(Fixture *f)
{
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_MIGRATION_SEND,
        .cdw11 = cpu_to_le32(NVME_SUSPEND_TYPE_SUSPEND << 16 | CNTLID),
    };

    return nvme_test_admin(&f->pf, &cmd, NULL);
}

/* A command of the VF without metadata, of at most a page */
static uint16_t io(Fixture *f, uint8_t opcode, uint64_t slba, uint32_t cdw12,
                   uint32_t cdw13)
{
    NvmeCmd cmd = {
        .opcode = opcode,
        .nsid = cpu_to_le32(1),
        .dptr.prp1 = cpu_to_le64(f->data),
        .cdw10 = cpu_to_le32(slba),
        .cdw11 = cpu_to_le32(slba >> 32),
        .cdw12 = cpu_to_le32(cdw12),
        .cdw13 = cpu_to_le32(cdw13),
    };

    nvme_test_submit(&f->vf[0], &f->q, &cmd);
    return nvme_test_wait(&f->vf[0], &f->q, NULL);
}

/* The next entry; false: there is none. */
static bool next_entry(Fixture *f, NvmeUdmqEntry *e)
{
    qtest_memread(f->qts, f->log + f->slot * sizeof(*e), e, sizeof(*e));
    if ((e->attr & NVME_UDMQ_CDQP) != f->phase) {
        return false;
    }

    f->slot = (f->slot + 1) % SLOTS;
    f->phase ^= !f->slot;
    e->attr &= ~NVME_UDMQ_CDQP;
    return true;
}

static void expect_range(Fixture *f, uint8_t attr, uint64_t slba, uint32_t nlb)
{
    NvmeUdmqEntry e;

    g_assert_true(next_entry(f, &e));
    g_assert_cmphex(e.attr, ==, attr);
    g_assert_cmpuint(le32_to_cpu(e.nsid), ==, 1);
    g_assert_cmpuint(le64_to_cpu(e.slba), ==, slba);
    g_assert_cmpuint(le32_to_cpu(e.nlb), ==, nlb - 1);
}

static void expect_mark(Fixture *f, uint8_t esa)
{
    NvmeUdmqEntry e;

    g_assert_true(next_entry(f, &e));
    g_assert_cmphex(e.attr, ==, esa | NVME_UDMQ_LBACIR_NONE);
    g_assert_cmpuint(e.nsid, ==, 0);
}

static void expect_none(Fixture *f)
{
    NvmeUdmqEntry e;

    g_assert_false(next_entry(f, &e));
}

static void start(Fixture *f, const char *ns, uint8_t css)
{
    *f = (Fixture) {
        .qts = nvme_test_start("-drive if=none,id=d,format=raw,"
                               "file=null-co://,file.read-zeroes=on,"
                               "file.size=8M "
                               "-device nvme-subsys,id=s0 "
                               "-device nvme,id=pf,serial=s,subsys=s0,"
                               "addr=4,sriov_max_vfs=1,sriov_vq_flexible=3,"
                               "sriov_vi_flexible=3,max_ioqpairs=5,"
                               "msix_qsize=5,lm=tp4159 "
                               "-device nvme-ns,drive=d,nsid=1,bus=pf,"
                               "shared=on%s", ns),
        .phase = NVME_UDMQ_CDQP,
    };

    nvme_test_ctrl_init(&f->pf, f->qts, DEVFN);
    nvme_test_enable(&f->pf);
    nvme_test_vfs_init(&f->pf, f->vf, ARRAY_SIZE(f->vf), 2);
    f->vf[0].css = css;
    nvme_test_enable(&f->vf[0]);
    nvme_test_create_queues(&f->vf[0], &f->q, 1, NVME_TEST_QSIZE, false, 0);
    f->log = nvme_test_alloc(f->qts, NVME_TEST_PAGE);
    f->data = nvme_test_alloc(f->qts, NVME_TEST_PAGE);

    g_assert_cmphex(cdq_create(f), ==, NVME_SUCCESS);
    g_assert_cmphex(log_action(f, true), ==, NVME_SUCCESS);
}

/* Tests */

static void test_identify(void)
{
    NvmeIdCtrl id;
    Fixture f;

    start(&f, "", 0);
    nvme_test_identify(&f.pf, NVME_ID_CNS_CTRL, &id);
    g_assert_cmphex(id.trattr, ==, NVME_TRATTR_THMCS | NVME_TRATTR_TUDCS);
    g_assert_cmpuint(le16_to_cpu(id.mcudmq), >, 0);
    nvme_test_identify(&f.vf[0], NVME_ID_CNS_CTRL, &id);
    g_assert_cmphex(id.trattr, ==, 0);
    qtest_quit(f.qts);
}

static void test_log(void)
{
    NvmeUdmqEntry e;
    Fixture f;
    int i;

    start(&f, "", 0);
    g_assert_cmphex(io(&f, NVME_CMD_WRITE, 40, 7, 0), ==, NVME_SUCCESS);
    expect_range(&f, NVME_UDMQ_ESA_FIRST, 40, 8);
    g_assert_cmphex(io(&f, NVME_CMD_READ, 40, 7, 0), ==, NVME_SUCCESS);
    expect_none(&f);
    g_assert_cmphex(io(&f, NVME_CMD_WRITE_ZEROES, 3, 0, 0), ==, NVME_SUCCESS);
    expect_range(&f, NVME_UDMQ_ESA_CHANGE, 3, 1);

    g_assert_cmphex(suspend(&f), ==, NVME_SUCCESS);
    expect_mark(&f, NVME_UDMQ_ESA_SUSPENDED);
    g_assert_cmphex(log_action(&f, false), ==, NVME_CTRL_SUSPENDED);

    /* a reset resumes it; the log goes on until its queue is full */
    nvme_test_disable(&f.vf[0]);
    nvme_test_enable(&f.vf[0]);
    nvme_test_create_queues(&f.vf[0], &f.q, 1, NVME_TEST_QSIZE, false, 0);
    g_assert_cmphex(set_head(&f, f.slot), ==, NVME_SUCCESS);
    for (i = 0; i < SLOTS; i++) {
        g_assert_cmphex(io(&f, NVME_CMD_WRITE, i, 0, 0), ==, NVME_SUCCESS);
    }
    expect_range(&f, NVME_UDMQ_ESA_FIRST, 0, 1);
    for (i = 1; i < SLOTS - 2; i++) {
        expect_range(&f, NVME_UDMQ_ESA_CHANGE, i, 1);
    }
    g_assert_true(next_entry(&f, &e));
    g_assert_cmphex(e.attr, ==, NVME_UDMQ_ESA_FULL);
    expect_none(&f);
    g_assert_cmphex(log_action(&f, true), ==, NVME_CDQ_FULL);
    g_assert_cmphex(set_head(&f, f.slot), ==, NVME_SUCCESS);
    g_assert_cmphex(log_action(&f, true), ==, NVME_SUCCESS);
    g_assert_cmphex(log_action(&f, false), ==, NVME_SUCCESS);
    expect_mark(&f, NVME_UDMQ_ESA_STOPPED);

    nvme_test_disable(&f.pf);
    nvme_test_enable(&f.pf);
    g_assert_cmphex(log_action(&f, false), ==, NVME_INVALID_CDQ);
    qtest_quit(f.qts);
}

static void test_zones(void)
{
    const uint64_t zone = ZONE_LBAS;
    Fixture f;

    start(&f, ",zoned=on,zoned.zone_size=1M", NVME_CC_CSS_ALL);
    g_assert_cmphex(io(&f, NVME_CMD_WRITE, zone, 7, 0), ==, NVME_SUCCESS);
    expect_range(&f, NVME_UDMQ_ESA_FIRST, zone, 8);
    g_assert_cmphex(io(&f, NVME_CMD_ZONE_APPEND, zone, 1, 0), ==,
                    NVME_SUCCESS);
    expect_range(&f, NVME_UDMQ_ESA_CHANGE, zone + 8, 2);
    g_assert_cmphex(io(&f, NVME_CMD_ZONE_APPEND, 3 * zone, 0, 0), ==,
                    NVME_SUCCESS);
    expect_range(&f, NVME_UDMQ_ESA_CHANGE, 3 * zone, 1);
    g_assert_cmphex(io(&f, NVME_CMD_ZONE_MGMT_SEND, zone, 0,
                       NVME_ZONE_ACTION_FINISH), ==, NVME_SUCCESS);
    expect_none(&f);
    g_assert_cmphex(io(&f, NVME_CMD_ZONE_MGMT_SEND, zone, 0,
                       NVME_ZONE_ACTION_RESET), ==, NVME_SUCCESS);
    expect_range(&f, NVME_UDMQ_ESA_CHANGE, zone, zone);
    /* all that are not empty */
    g_assert_cmphex(io(&f, NVME_CMD_ZONE_MGMT_SEND, 0, 0,
                       1 << 8 | NVME_ZONE_ACTION_RESET), ==, NVME_SUCCESS);
    expect_range(&f, NVME_UDMQ_ESA_CHANGE, 3 * zone, zone);
    expect_none(&f);
    qtest_quit(f.qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/nvme/lm/log/identify", test_identify);
    qtest_add_func("/nvme/lm/log/log", test_log);
    qtest_add_func("/nvme/lm/log/zones", test_zones);
    return g_test_run();
}
