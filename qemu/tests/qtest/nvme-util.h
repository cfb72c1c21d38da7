/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A driver for NVMe controllers on a Q35 machine, for tests
 *
 * Functions are on the root bus. Configuration space is reached by ECAM,
 * because SR-IOV is in its extended part. Memory is handed out and never given
 * back.
 */

#ifndef TESTS_QTEST_NVME_UTIL_H
#define TESTS_QTEST_NVME_UTIL_H

#include "libqtest.h"
#include "block/nvme.h"

#define NVME_TEST_PAGE  4096
#define NVME_TEST_QSIZE 32

typedef struct NvmeTestQueue {
    uint16_t qid;
    uint16_t cq_size;
    uint64_t sq;
    uint64_t cq;
    uint16_t sq_tail;
    uint16_t cq_head;
    bool phase;
} NvmeTestQueue;

typedef struct NvmeTestCtrl {
    QTestState *qts;
    uint8_t devfn;
    uint64_t bar;
    uint16_t cid;
    uint8_t css;        /* command sets of CC that nvme_test_enable() selects */
    NvmeTestQueue admin;
} NvmeTestCtrl;

/* Start QEMU with these arguments, and make configuration space accessible. */
QTestState *nvme_test_start(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
uint64_t nvme_test_alloc(QTestState *qts, size_t len);

uint32_t nvme_test_config_read(NvmeTestCtrl *c, unsigned offset);
void nvme_test_config_write(NvmeTestCtrl *c, unsigned offset, unsigned len,
                            uint32_t value);

/* A physical function: give it a BAR and bus mastering. */
void nvme_test_ctrl_init(NvmeTestCtrl *c, QTestState *qts, uint8_t devfn);
/* All virtual functions of a PF that is enabled, each with @pairs queues. */
void nvme_test_vfs_init(NvmeTestCtrl *pf, NvmeTestCtrl *vf, unsigned nr,
                        unsigned pairs);

void nvme_test_enable(NvmeTestCtrl *c);
void nvme_test_disable(NvmeTestCtrl *c);

void nvme_test_submit(NvmeTestCtrl *c, NvmeTestQueue *q, NvmeCmd *cmd);
bool nvme_test_completed(NvmeTestCtrl *c, NvmeTestQueue *q);
/* Wait for the next completion, consume it, and return its status. */
uint16_t nvme_test_wait(NvmeTestCtrl *c, NvmeTestQueue *q, NvmeCqe *cqe);
uint16_t nvme_test_admin(NvmeTestCtrl *c, NvmeCmd *cmd, uint32_t *result);
uint16_t nvme_test_identify(NvmeTestCtrl *c, uint8_t cns, void *buf);

/* A pair of I/O queues; @ien: the completion queue has interrupts. */
void nvme_test_create_queues(NvmeTestCtrl *c, NvmeTestQueue *q, uint16_t qid,
                             uint16_t cq_size, bool ien, uint16_t vector);
void nvme_test_read(NvmeTestCtrl *c, NvmeTestQueue *q, uint64_t addr);

#endif /* TESTS_QTEST_NVME_UTIL_H */
