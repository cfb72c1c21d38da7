/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QTest of NVMe controllers: interrupts, virtual functions, features
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "nvme-util.h"

#define DRIVE "-drive if=none,id=d,format=raw,file=null-co://," \
              "file.read-zeroes=on "

#define DEVFN   (4 << 3)

/* Where hw/nvme has its MSI-X table: after its doorbells, in the same BAR */
static uint64_t msix_table(NvmeTestCtrl *c, unsigned *cap)
{
    unsigned offset = nvme_test_config_read(c, PCI_CAPABILITY_LIST) & 0xff;
    uint32_t table;

    while ((nvme_test_config_read(c, offset) & 0xff) != PCI_CAP_ID_MSIX) {
        offset = nvme_test_config_read(c, offset) >> 8 & 0xff;
        g_assert(offset);
    }

    table = nvme_test_config_read(c, offset + PCI_MSIX_TABLE);
    g_assert_cmphex(table & PCI_MSIX_TABLE_BIR, ==, 0);
    *cap = offset;
    return c->bar + (table & PCI_MSIX_TABLE_OFFSET);
}

/* An interrupt is a write of the number of its vector, plus 1, to @addr. */
static void enable_msix(NvmeTestCtrl *c, uint16_t vector, uint64_t addr)
{
    unsigned cap;
    uint64_t entry = msix_table(c, &cap) + vector * PCI_MSIX_ENTRY_SIZE;

    qtest_writel(c->qts, entry + PCI_MSIX_ENTRY_LOWER_ADDR, addr);
    qtest_writel(c->qts, entry + PCI_MSIX_ENTRY_UPPER_ADDR, addr >> 32);
    qtest_writel(c->qts, entry + PCI_MSIX_ENTRY_DATA, vector + 1);
    qtest_writel(c->qts, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    nvme_test_config_write(c, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

static void disable_msix(NvmeTestCtrl *c)
{
    unsigned cap;

    msix_table(c, &cap);
    nvme_test_config_write(c, cap + PCI_MSIX_FLAGS, 2, 0);
}

/* A queue with a vector above 31 has no interrupt once MSI-X is disabled. */
static void test_high_vector(void)
{
    NvmeTestQueue q;
    NvmeTestCtrl c;
    QTestState *qts;
    uint64_t addr;

    qts = nvme_test_start(DRIVE "-device nvme,serial=s,drive=d,addr=4");
    nvme_test_ctrl_init(&c, qts, DEVFN);
    addr = nvme_test_alloc(qts, NVME_TEST_PAGE);
    enable_msix(&c, 40, addr);
    nvme_test_enable(&c);
    nvme_test_create_queues(&c, &q, 1, NVME_TEST_QSIZE, true, 40);

    nvme_test_read(&c, &q, addr + 512);
    g_assert_cmphex(nvme_test_wait(&c, &q, NULL), ==, NVME_SUCCESS);
    g_assert_cmpint(qtest_readl(qts, addr), ==, 41);

    disable_msix(&c);
    nvme_test_read(&c, &q, addr + 512);
    g_assert_cmphex(nvme_test_wait(&c, &q, NULL), ==, NVME_SUCCESS);

    qtest_quit(qts);
}

/* A queue that is older than MSI-X being enabled has its interrupt, too. */
static void test_late_msix(void)
{
    NvmeTestQueue q;
    NvmeTestCtrl c;
    QTestState *qts;
    uint64_t addr;

    qts = nvme_test_start(DRIVE "-device nvme,serial=s,drive=d,addr=4");
    nvme_test_ctrl_init(&c, qts, DEVFN);
    addr = nvme_test_alloc(qts, NVME_TEST_PAGE);
    nvme_test_enable(&c);
    nvme_test_create_queues(&c, &q, 1, NVME_TEST_QSIZE, true, 0);
    enable_msix(&c, 0, addr);

    nvme_test_read(&c, &q, addr + 512);
    g_assert_cmphex(nvme_test_wait(&c, &q, NULL), ==, NVME_SUCCESS);
    g_assert_cmpint(qtest_readl(qts, addr), ==, 1);

    qtest_quit(qts);
}

/* Controllers without a guest are removed when the machine is reset. */
static void test_unplug(void)
{
    QTestState *qts;

    qts = nvme_test_start(DRIVE
                          "-device pcie-root-port,id=rp "
                          "-device nvme-subsys,id=s0 "
                          "-device nvme,id=pf,serial=s,subsys=s0,bus=rp,"
                          "sriov_max_vfs=2,sriov_vq_flexible=6,"
                          "sriov_vi_flexible=6,max_ioqpairs=8,msix_qsize=8 "
                          "-device nvme-ns,drive=d,bus=pf,shared=on");

    qtest_qmp_device_del_send(qts, "pf");
    qtest_system_reset_nowait(qts);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");

    qtest_quit(qts);
}

static uint32_t error_recovery(NvmeTestCtrl *c, bool set, uint32_t value)
{
    NvmeCmd cmd = {
        .opcode = set ? NVME_ADM_CMD_SET_FEATURES : NVME_ADM_CMD_GET_FEATURES,
        .nsid = cpu_to_le32(1),
        .cdw10 = cpu_to_le32(NVME_ERROR_RECOVERY),
        .cdw11 = cpu_to_le32(value),
    };
    uint32_t result;

    g_assert_cmphex(nvme_test_admin(c, &cmd, &result), ==, NVME_SUCCESS);
    return result;
}

/* What one host sets for itself concerns no other host of the namespace. */
static void test_error_recovery(void)
{
    const uint32_t dulbe = 1 << 16;
    NvmeTestCtrl c[2];
    NvmeTestQueue q;
    QTestState *qts;
    uint64_t addr;
    unsigned i;

    qts = nvme_test_start(DRIVE
                          "-device nvme-subsys,id=s0 "
                          "-device nvme,id=c0,serial=s,subsys=s0,addr=4 "
                          "-device nvme,id=c1,serial=s,subsys=s0,addr=5 "
                          "-device nvme-ns,drive=d,nsid=1,bus=c0,shared=on");
    for (i = 0; i < 2; i++) {
        nvme_test_ctrl_init(&c[i], qts, DEVFN + (i << 3));
        nvme_test_enable(&c[i]);
    }

    error_recovery(&c[0], true, dulbe);
    g_assert_cmphex(error_recovery(&c[0], false, 0), ==, dulbe);
    g_assert_cmphex(error_recovery(&c[1], false, 0), ==, 0);

    /* all of the medium is deallocated */
    addr = nvme_test_alloc(qts, NVME_TEST_PAGE);
    for (i = 0; i < 2; i++) {
        nvme_test_create_queues(&c[i], &q, 1, NVME_TEST_QSIZE, false, 0);
        nvme_test_read(&c[i], &q, addr);
        g_assert_cmphex(nvme_test_wait(&c[i], &q, NULL), ==,
                        i ? NVME_SUCCESS : NVME_DULB);
    }

    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/nvme/irq/high-vector", test_high_vector);
    qtest_add_func("/nvme/irq/late-msix", test_late_msix);
    qtest_add_func("/nvme/sriov/unplug", test_unplug);
    qtest_add_func("/nvme/features/error-recovery", test_error_recovery);
    return g_test_run();
}
