/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A driver for NVMe controllers on a Q35 machine, for tests
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "hw/pci/pci_regs.h"
#include "nvme-util.h"

#define ECAM            0xb0000000ULL
#define ECAM_ENABLE     1
#define MCH_PCIEXBAR    0x60

#define BARS            0xe0000000ULL
#define BAR_STRIDE      (16 * MiB)
#define VF_BARS         (8 * MiB)   /* from the BAR of the PF on */

#define MEMORY          (1 * MiB)

/* A completion takes no longer, however slow the machine that tests is. */
#define TIMEOUT_US      (120 * G_USEC_PER_SEC)

static uint64_t memory;

static void mch_write(QTestState *qts, uint8_t offset, uint32_t value)
{
    qtest_outl(qts, 0xcf8, 0x80000000 | offset);
    qtest_outl(qts, 0xcfc, value);
}

QTestState *nvme_test_start(const char *fmt, ...)
{
    g_autofree char *args = NULL;
    QTestState *qts;
    va_list ap;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);

    qts = qtest_initf("-machine q35 -m 128 -nodefaults %s", args);
    mch_write(qts, MCH_PCIEXBAR + 4, ECAM >> 32);
    mch_write(qts, MCH_PCIEXBAR, ECAM | ECAM_ENABLE);
    memory = MEMORY;
    return qts;
}

uint64_t nvme_test_alloc(QTestState *qts, size_t len)
{
    uint64_t addr = memory;

    memory += ROUND_UP(len, NVME_TEST_PAGE);
    qtest_memset(qts, addr, 0, ROUND_UP(len, NVME_TEST_PAGE));
    return addr;
}

/* PCI */

static uint64_t config_addr(NvmeTestCtrl *c, unsigned offset)
{
    return ECAM + c->devfn * 4 * KiB + offset;
}

uint32_t nvme_test_config_read(NvmeTestCtrl *c, unsigned offset)
{
    return qtest_readl(c->qts, config_addr(c, offset));
}

void nvme_test_config_write(NvmeTestCtrl *c, unsigned offset, unsigned len,
                            uint32_t value)
{
    if (len == 4) {
        qtest_writel(c->qts, config_addr(c, offset), value);
    } else {
        qtest_writew(c->qts, config_addr(c, offset), value);
    }
}

static unsigned find_sriov(NvmeTestCtrl *pf)
{
    unsigned offset = PCI_CFG_SPACE_SIZE;
    uint32_t header;

    do {
        header = nvme_test_config_read(pf, offset);
        if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_SRIOV) {
            return offset;
        }
        offset = PCI_EXT_CAP_NEXT(header);
    } while (offset);

    g_assert_not_reached();
}

static void set_bar(NvmeTestCtrl *c, unsigned offset, uint64_t addr)
{
    nvme_test_config_write(c, offset, 4, addr);
    nvme_test_config_write(c, offset + 4, 4, addr >> 32);
}

void nvme_test_ctrl_init(NvmeTestCtrl *c, QTestState *qts, uint8_t devfn)
{
    *c = (NvmeTestCtrl) {
        .qts = qts,
        .devfn = devfn,
        .bar = BARS + (devfn >> 3) * BAR_STRIDE,
    };

    set_bar(c, PCI_BASE_ADDRESS_0, c->bar);
    nvme_test_config_write(c, PCI_COMMAND, 2,
                           PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void virt_mngmt(NvmeTestCtrl *pf, uint16_t cntlid, uint8_t action,
                       uint8_t resource, uint32_t nr)
{
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_VIRT_MNGMT,
        .cdw10 = cpu_to_le32(cntlid << 16 | resource << 8 | action),
        .cdw11 = cpu_to_le32(nr),
    };

    g_assert_cmphex(nvme_test_admin(pf, &cmd, NULL), ==, NVME_SUCCESS);
}

void nvme_test_vfs_init(NvmeTestCtrl *pf, NvmeTestCtrl *vf, unsigned nr,
                        unsigned pairs)
{
    unsigned i, cap = find_sriov(pf);
    uint32_t size;

    nvme_test_config_write(pf, cap + PCI_SRIOV_BAR, 4, UINT32_MAX);
    size = -(nvme_test_config_read(pf, cap + PCI_SRIOV_BAR) & ~0xf);
    set_bar(pf, cap + PCI_SRIOV_BAR, pf->bar + VF_BARS);
    nvme_test_config_write(pf, cap + PCI_SRIOV_NUM_VF, 2, nr);
    nvme_test_config_write(pf, cap + PCI_SRIOV_CTRL, 2,
                           PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE);

    for (i = 0; i < nr; i++) {
        vf[i] = (NvmeTestCtrl) {
            .qts = pf->qts,
            .devfn = pf->devfn + 1 + i,
            .bar = pf->bar + VF_BARS + i * size,
        };

        virt_mngmt(pf, i + 1, NVME_VIRT_MNGMT_ACTION_SEC_ASSIGN,
                   NVME_VIRT_RES_QUEUE, pairs + 1);
        virt_mngmt(pf, i + 1, NVME_VIRT_MNGMT_ACTION_SEC_ASSIGN,
                   NVME_VIRT_RES_INTERRUPT, pairs + 1);
        virt_mngmt(pf, i + 1, NVME_VIRT_MNGMT_ACTION_SEC_ONLINE, 0, 0);
        nvme_test_config_write(&vf[i], PCI_COMMAND, 2,
                               PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
}

/* Controllers */

static void wait_ready(NvmeTestCtrl *c, bool ready)
{
    int64_t end = g_get_monotonic_time() + TIMEOUT_US;

    while (NVME_CSTS_RDY(qtest_readl(c->qts, c->bar + NVME_REG_CSTS)) !=
           ready) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}

void nvme_test_enable(NvmeTestCtrl *c)
{
    c->admin = (NvmeTestQueue) {
        .cq_size = NVME_TEST_QSIZE,
        .sq = nvme_test_alloc(c->qts, NVME_TEST_QSIZE * sizeof(NvmeCmd)),
        .cq = nvme_test_alloc(c->qts, NVME_TEST_QSIZE * sizeof(NvmeCqe)),
        .phase = true,
    };

    qtest_writel(c->qts, c->bar + NVME_REG_AQA,
                 (NVME_TEST_QSIZE - 1) << 16 | (NVME_TEST_QSIZE - 1));
    qtest_writeq(c->qts, c->bar + NVME_REG_ASQ, c->admin.sq);
    qtest_writeq(c->qts, c->bar + NVME_REG_ACQ, c->admin.cq);
    qtest_writel(c->qts, c->bar + NVME_REG_CC,
                 1 << CC_EN_SHIFT | c->css << CC_CSS_SHIFT |
                 6 << CC_IOSQES_SHIFT | 4 << CC_IOCQES_SHIFT);
    wait_ready(c, true);
}

void nvme_test_disable(NvmeTestCtrl *c)
{
    qtest_writel(c->qts, c->bar + NVME_REG_CC, 0);
    wait_ready(c, false);
}

static uint64_t doorbell(NvmeTestCtrl *c, uint16_t qid, bool cq)
{
    return c->bar + sizeof(NvmeBar) + (2 * qid + cq) * sizeof(uint32_t);
}

void nvme_test_submit(NvmeTestCtrl *c, NvmeTestQueue *q, NvmeCmd *cmd)
{
    cmd->cid = cpu_to_le16(c->cid++);
    qtest_memwrite(c->qts, q->sq + q->sq_tail * sizeof(*cmd), cmd,
                   sizeof(*cmd));
    q->sq_tail = (q->sq_tail + 1) % NVME_TEST_QSIZE;
    qtest_writel(c->qts, doorbell(c, q->qid, false), q->sq_tail);
}

static bool next_cqe(NvmeTestCtrl *c, NvmeTestQueue *q, NvmeCqe *cqe)
{
    qtest_memread(c->qts, q->cq + q->cq_head * sizeof(*cqe), cqe,
                  sizeof(*cqe));
    return (le16_to_cpu(cqe->status) & 1) == q->phase;
}

bool nvme_test_completed(NvmeTestCtrl *c, NvmeTestQueue *q)
{
    NvmeCqe cqe;

    return next_cqe(c, q, &cqe);
}

uint16_t nvme_test_wait(NvmeTestCtrl *c, NvmeTestQueue *q, NvmeCqe *cqe)
{
    int64_t end = g_get_monotonic_time() + TIMEOUT_US;
    NvmeCqe own;

    cqe = cqe ?: &own;
    while (!next_cqe(c, q, cqe)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }

    q->cq_head = (q->cq_head + 1) % q->cq_size;
    q->phase ^= !q->cq_head;
    qtest_writel(c->qts, doorbell(c, q->qid, true), q->cq_head);
    return le16_to_cpu(cqe->status) >> 1 & ~NVME_DNR;
}

uint16_t nvme_test_admin(NvmeTestCtrl *c, NvmeCmd *cmd, uint32_t *result)
{
    uint16_t status;
    NvmeCqe cqe;

    nvme_test_submit(c, &c->admin, cmd);
    status = nvme_test_wait(c, &c->admin, &cqe);
    g_assert_cmphex(cqe.cid, ==, cmd->cid);
    if (result) {
        *result = le32_to_cpu(cqe.result);
    }

    return status;
}

uint16_t nvme_test_identify(NvmeTestCtrl *c, uint8_t cns, void *buf)
{
    uint64_t addr = nvme_test_alloc(c->qts, NVME_IDENTIFY_DATA_SIZE);
    NvmeCmd cmd = {
        .opcode = NVME_ADM_CMD_IDENTIFY,
        .dptr.prp1 = cpu_to_le64(addr),
        .cdw10 = cpu_to_le32(cns),
    };
    uint16_t status = nvme_test_admin(c, &cmd, NULL);

    qtest_memread(c->qts, addr, buf, NVME_IDENTIFY_DATA_SIZE);
    return status;
}

void nvme_test_create_queues(NvmeTestCtrl *c, NvmeTestQueue *q, uint16_t qid,
                             uint16_t cq_size, bool ien, uint16_t vector)
{
    NvmeCmd cmd;

    *q = (NvmeTestQueue) {
        .qid = qid,
        .cq_size = cq_size,
        .sq = nvme_test_alloc(c->qts, NVME_TEST_QSIZE * sizeof(NvmeCmd)),
        .cq = nvme_test_alloc(c->qts, cq_size * sizeof(NvmeCqe)),
        .phase = true,
    };

    cmd = (NvmeCmd) {
        .opcode = NVME_ADM_CMD_CREATE_CQ,
        .dptr.prp1 = cpu_to_le64(q->cq),
        .cdw10 = cpu_to_le32((cq_size - 1) << 16 | qid),
        .cdw11 = cpu_to_le32(vector << 16 | ien << 1 | 1),
    };
    g_assert_cmphex(nvme_test_admin(c, &cmd, NULL), ==, NVME_SUCCESS);

    cmd = (NvmeCmd) {
        .opcode = NVME_ADM_CMD_CREATE_SQ,
        .dptr.prp1 = cpu_to_le64(q->sq),
        .cdw10 = cpu_to_le32((NVME_TEST_QSIZE - 1) << 16 | qid),
        .cdw11 = cpu_to_le32(qid << 16 | 1),
    };
    g_assert_cmphex(nvme_test_admin(c, &cmd, NULL), ==, NVME_SUCCESS);
}

/* Begin to read one block. */
void nvme_test_read(NvmeTestCtrl *c, NvmeTestQueue *q, uint64_t addr)
{
    NvmeCmd cmd = {
        .opcode = NVME_CMD_READ,
        .nsid = cpu_to_le32(1),
        .dptr.prp1 = cpu_to_le64(addr),
    };

    nvme_test_submit(c, q, &cmd);
}
