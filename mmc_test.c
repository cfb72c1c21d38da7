// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of mmc.c: the handling of commands that are given up. The PF is a stub
 * that answers when the test makes it.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/nvme.h>
#include <linux/pci.h>

#include "buf.h"
#include "kunit.h"
#include "nvme_pf.h"
#include "mmc.h"

#define XFER		4096
#define CID		0x1234
#define SUSPEND		0x41

/* Long enough for a work item to complete on another CPU */
#define DELAY_MS	50

struct pf_test {
	struct pci_dev *vf;
	struct nvmevf_mmc *mmc;
	struct nvmevf_mmc *keep;	/* so that the test drops the last reference */
	struct nvme_pf_cmd *sent;
	unsigned int submits;
	int submit_err;
	bool answer;			/* at once */
	unsigned int aborts;
	int abort_err;
	bool hold_abort;		/* do not answer it */
	struct nvme_pf_cmd *abort;	/* that one */
	u32 not_aborted;		/* what the Abort returns */
	u16 abort_status;		/* what the aborted command returns */
	unsigned int late;
	unsigned int late_flags;
	u32 late_dw0;
	bool suspends_late;		/* in the middle of the late function */
};

static struct pf_test *ctx(void)
{
	return kunit_get_current_test()->priv;
}

static struct nvme_ctrl *fake_get(struct pci_dev *pf)
{
	/* never dereferenced */
	return (struct nvme_ctrl *)pf;
}

static void fake_put(struct nvme_ctrl *ctrl)
{
}

static size_t fake_max_xfer(const struct nvme_ctrl *ctrl)
{
	return XFER;
}

static int fake_submit(struct nvme_ctrl *ctrl, struct nvme_pf_cmd *cmd)
{
	struct pf_test *t = ctx();

	t->submits++;
	if (t->submit_err)
		return t->submit_err;

	t->sent = cmd;
	if (t->answer)
		cmd->done(cmd);
	return 0;
}

static unsigned int fake_tags(const struct nvme_ctrl *ctrl)
{
	return 30;
}

static u16 fake_cid(const struct nvme_pf_cmd *cmd)
{
	KUNIT_EXPECT_PTR_EQ(kunit_get_current_test(), cmd, ctx()->sent);
	return CID;
}

/* As the specification has it, the aborted command is answered first */
static int fake_abort(struct nvme_ctrl *ctrl, u16 cid, struct nvme_pf_cmd *cmd, bool leave_one)
{
	struct pf_test *t = ctx();

	KUNIT_EXPECT_EQ(kunit_get_current_test(), cid, CID);
	t->aborts++;
	if (t->abort_err)
		return t->abort_err;
	if (t->hold_abort) {
		t->abort = cmd;
		return 0;
	}

	if (!t->not_aborted) {
		t->sent->status = t->abort_status;
		t->answer = true;
		t->sent->done(t->sent);
	}
	cmd->result.u32 = cpu_to_le32(t->not_aborted);
	cmd->done(cmd);
	return 0;
}

static void note_late(void *priv, unsigned int flags, bool reset_since, u32 dw0)
{
	struct pf_test *t = priv;

	t->late++;
	t->late_flags = flags;
	t->late_dw0 = dw0;
	t->suspends_late = nvmevf_mmc_suspends_late(t->mmc);
}

static int pf_test_init(struct kunit *test)
{
	struct pf_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	kunit_activate_static_stub(test, nvme_pf_get, fake_get);
	kunit_activate_static_stub(test, nvme_pf_put, fake_put);
	kunit_activate_static_stub(test, nvme_pf_max_xfer, fake_max_xfer);
	kunit_activate_static_stub(test, nvme_pf_submit, fake_submit);
	kunit_activate_static_stub(test, nvme_pf_tags, fake_tags);
	kunit_activate_static_stub(test, nvme_pf_cid, fake_cid);
	kunit_activate_static_stub(test, nvme_pf_abort, fake_abort);
	t->abort_err = -ENOTCONN;
	t->abort_status = NVME_SC_ABORT_REQ;

	t->vf = kunit_kzalloc(test, sizeof(*t->vf), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->vf);
	device_initialize(&t->vf->dev);
	t->keep = nvmevf_mmc_get(t->vf, t->vf);
	t->mmc = nvmevf_mmc_get(t->vf, t->vf);
	KUNIT_ASSERT_FALSE(test, IS_ERR(t->keep) || IS_ERR(t->mmc));
	nvmevf_mmc_set_late(t->mmc, note_late, t);
	nvmevf_mmc_set_undo(t->mmc, &nvme_pf_verb_resume);
	return 0;
}

static void pf_test_exit(struct kunit *test)
{
	struct pf_test *t = test->priv;

	if (!t || IS_ERR_OR_NULL(t->keep) || IS_ERR_OR_NULL(t->mmc))
		return;
	nvmevf_mmc_put(t->mmc);
	flush_workqueue(nvmevf_wq);
	nvmevf_mmc_put(t->keep);
}

static int send_as(struct pf_test *t, unsigned int timeout_ms, unsigned int flags)
{
	const struct nvme_pf_op op = { .verb = &nvme_pf_verb_suspend };

	return nvmevf_mmc_exec(t->mmc, &op, NULL, 0, NULL, timeout_ms, flags);
}

static int send(struct pf_test *t, unsigned int timeout_ms)
{
	return send_as(t, timeout_ms, 0);
}

/* With interrupts off, the clean-up can complete before the code that queued it continues */
static int delay_queued(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	if (!in_task() || !kunit_get_current_test())
		return 0;

	mdelay(DELAY_MS);
	return 0;
}

static void test_answer_frees(struct kunit *test)
{
	struct kretprobe probe = {
		.kp.symbol_name = "queue_work_on",
		.handler = delay_queued,
	};
	struct pf_test *t = test->priv;

	if (!IS_ENABLED(CONFIG_KRETPROBES) || num_online_cpus() < 2)
		kunit_skip(test, "needs kretprobes and two CPUs");

	KUNIT_ASSERT_EQ(test, send(t, 1), -ETIMEDOUT);
	KUNIT_ASSERT_NOT_NULL(test, t->sent);
	t->sent->result.u32 = cpu_to_le32(0x12345678);
	KUNIT_ASSERT_EQ(test, register_kretprobe(&probe), 0);
	/* KASAN reports a write to the request after this */
	t->sent->done(t->sent);
	unregister_kretprobe(&probe);
	flush_workqueue(nvmevf_wq);
	KUNIT_EXPECT_EQ(test, t->late, 1);
	KUNIT_EXPECT_EQ(test, t->late_dw0, 0x12345678);
}

/* Nothing else of the VF is sent until the answer, and everything afterwards */
static void test_orphan(struct kunit *test)
{
	struct pf_test *t = test->priv;
	struct nvmevf_orphan orphan;

	KUNIT_EXPECT_FALSE(test, nvmevf_mmc_orphan(t->mmc, &orphan));
	KUNIT_EXPECT_EQ(test, send(t, 1), -ETIMEDOUT);
	KUNIT_EXPECT_TRUE(test, nvmevf_mmc_orphan(t->mmc, &orphan));
	KUNIT_EXPECT_EQ(test, orphan.opcode, SUSPEND);
	KUNIT_EXPECT_FALSE(test, nvmevf_mmc_suspends_late(t->mmc));
	KUNIT_EXPECT_EQ(test, send(t, 1), -EBUSY);
	KUNIT_EXPECT_EQ(test, t->submits, 1);
	t->sent->done(t->sent);
	flush_workqueue(nvmevf_wq);
	KUNIT_EXPECT_FALSE(test, nvmevf_mmc_orphan(t->mmc, &orphan));
	KUNIT_EXPECT_EQ(test, send(t, 1), -ETIMEDOUT);
	t->sent->done(t->sent);
}

/* If the PF takes no command, sending is retried until its time is over */
static void test_not_taken(struct kunit *test)
{
	struct pf_test *t = test->priv;

	t->submit_err = -EAGAIN;
	KUNIT_EXPECT_EQ(test, send(t, 100), -EBUSY);
	KUNIT_EXPECT_GT(test, t->submits, 1);
	t->submit_err = -ENOTCONN;
	t->submits = 0;
	KUNIT_EXPECT_EQ(test, send(t, 100), -ENOTCONN);
	KUNIT_EXPECT_EQ(test, t->submits, 1);
	/* the slot is free again */
	t->submit_err = 0;
	KUNIT_EXPECT_EQ(test, send(t, 1), -ETIMEDOUT);
	t->sent->done(t->sent);
}

/* A Suspend that the device ends has stopped nothing, which a Resume makes sure of */
static void test_aborted_suspend(struct kunit *test)
{
	struct pf_test *t = test->priv;
	struct nvmevf_orphan orphan;

	t->abort_err = 0;
	KUNIT_EXPECT_EQ(test, send_as(t, 1, NVMEVF_EXEC_SUSPEND), -EAGAIN);
	KUNIT_EXPECT_EQ(test, t->aborts, 1);
	KUNIT_EXPECT_EQ(test, t->submits, 2);
	KUNIT_EXPECT_FALSE(test, nvmevf_mmc_orphan(t->mmc, &orphan));
	KUNIT_EXPECT_FALSE(test, nvmevf_mmc_suspends_late(t->mmc));
	KUNIT_EXPECT_EQ(test, t->late, 0);
}

static void test_aborted_other(struct kunit *test)
{
	struct pf_test *t = test->priv;

	t->abort_err = 0;
	KUNIT_EXPECT_EQ(test, send(t, 1), -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, t->submits, 1);
	/* it may have succeeded just before */
	t->answer = false;
	t->abort_status = 0;
	KUNIT_EXPECT_EQ(test, send(t, 1), 0);
	KUNIT_EXPECT_EQ(test, t->aborts, 2);
}

static void test_abort_refused(struct kunit *test)
{
	struct pf_test *t = test->priv;
	struct nvmevf_orphan orphan;

	t->abort_err = 0;
	t->not_aborted = 1;
	KUNIT_EXPECT_EQ(test, send_as(t, 1, NVMEVF_EXEC_SUSPEND), -ETIMEDOUT);
	KUNIT_EXPECT_TRUE(test, nvmevf_mmc_orphan(t->mmc, &orphan));
	KUNIT_EXPECT_TRUE(test, nvmevf_mmc_suspends_late(t->mmc));
	KUNIT_EXPECT_EQ(test, t->submits, 1);
	t->sent->done(t->sent);
	flush_workqueue(nvmevf_wq);
	KUNIT_EXPECT_EQ(test, t->late, 1);
	KUNIT_EXPECT_TRUE(test, t->suspends_late);
	KUNIT_EXPECT_FALSE(test, nvmevf_mmc_suspends_late(t->mmc));
}

/* As long as an Abort is in flight no other command may get the CID that it names */
static void test_cid_kept(struct kunit *test)
{
	struct pf_test *t = test->priv;

	t->abort_err = 0;
	t->hold_abort = true;
	KUNIT_EXPECT_EQ(test, send(t, 1), -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, t->aborts, 1);
	KUNIT_EXPECT_TRUE(test, t->sent->done(t->sent));
	KUNIT_EXPECT_FALSE(test, t->abort->done(t->abort));
	KUNIT_EXPECT_EQ(test, send(t, 1), -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, t->aborts, 2);
	KUNIT_EXPECT_FALSE(test, t->abort->done(t->abort));
	KUNIT_EXPECT_FALSE(test, t->sent->done(t->sent));
	flush_workqueue(nvmevf_wq);
}

/* No tag, or too many Aborts in flight: it is sent as soon as possible */
static void test_abort_again(struct kunit *test)
{
	struct pf_test *t = test->priv;

	t->abort_err = -EAGAIN;
	KUNIT_EXPECT_EQ(test, send(t, 1), -ETIMEDOUT);
	KUNIT_EXPECT_GT(test, t->aborts, 1);
	t->abort_err = -ENOTCONN;
	t->sent->done(t->sent);
	flush_workqueue(nvmevf_wq);
}

static struct kunit_case pf_test_cases[] = {
	KUNIT_CASE(test_answer_frees),
	KUNIT_CASE(test_orphan),
	KUNIT_CASE(test_not_taken),
	KUNIT_CASE(test_aborted_suspend),
	KUNIT_CASE(test_aborted_other),
	KUNIT_CASE(test_abort_refused),
	KUNIT_CASE(test_cid_kept),
	KUNIT_CASE(test_abort_again),
	{}
};

static struct kunit_suite pf_test_suite = {
	.name = "nvme-vfio-pci-mmc",
	.init = pf_test_init,
	.exit = pf_test_exit,
	.test_cases = pf_test_cases,
};

kunit_test_suite(pf_test_suite);
