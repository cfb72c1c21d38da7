// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions that are no VFs: how the driver finds their MMC, and what it refuses. The functions
 * are PFs FN_A to FN_D of the machine "functions", and VFs 1 to 4 of FN_VFS.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define OFFSET_VID	0
#define OFFSET_SN	4
#define OFFSET_CNTLID	78
#define OFFSET_OACS	256
#define OFFSET_SUBNQN	768

#define HMLMS		0x0800
#define NO_CNTLID	0x3fff

/* Without any driver, or bound to nvme, with nothing armed */
static bool function_release(int nr, const char *driver)
{
	pf_forget(nr);
	return EXPECT_EQ(bind_to(pf_bdf(nr), driver), 0, "bind PF %d", nr);
}

static bool prepare(void)
{
	const char *bdf = pf_bdf(FN_A);

	return bdf && load_module() && function_release(FN_A, NULL);
}

static bool expect_found(const char *bdf, int cntlid)
{
	char line[64];

	snprintf(line, sizeof(line), "migration by TP4159, controller %d", cntlid);
	klog_mark();
	return EXPECT_EQ(bind_to(bdf, DRIVER), 0, "bind") &&
	       EXPECT_EQ(klog_count(bdf, line), 1, "'%s'", line) &&
	       EXPECT_EQ(klog_count(bdf, ""), 1, "lines in the log");
}

static bool found_a(void)
{
	return expect_found(pf_bdf(FN_A), vf_cntlid(FN_VFS, 1));
}

/* The driver finds it, and afterwards a guest can use it. */
static void check_found(void)
{
	if (function_release(FN_A, NULL) && found_a() && vf_open(&vf_a, FN_VFS, 1)) {
		vf_expect_state(&vf_a, ST_RUNNING);
		vf_check_usable(&vf_a);
	}
	vf_close(&vf_a);
	function_release(FN_A, NULL);
}

static void test_bind(void)
{
	char path[128];

	if (!prepare() || !found_a())
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/supplier:pci:%s", pf_bdf(FN_A),
		 pf_bdf(FN_MMC));
	EXPECT_EQ(access(path, F_OK), 0, "link to the MMC");
	expect_debugfs(pf_bdf(FN_A), "identity", "of the function");
	check_found();
}

static void test_move(void)
{
	if (prepare())
		vf_move_guest(FN_VFS);
}

/* It stops, in the state of its guest, and a reset lets it run again. */
static void test_reset(void)
{
	static const struct unvme_opts o = { .queues = 1 };

	if (!prepare() || !vf_open(&vf_a, FN_VFS, 1) || !vf_up(&vf_a, &o) ||
	    !go(&vf_a, ST_STOP))
		return;
	if (vf_reset(&vf_a)) {
		vf_check_off(&vf_a);
		vf_check_usable(&vf_a);
	}
}

/* The previous user's guest came from elsewhere: the function shows its old controller id. */
static void test_loaded(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct lm_pf *pf = pf_get(FN_VFS);
	struct stream s;

	if (!pf || !prepare() || !vf_open(&vf_a, FN_VFS, 1) || !vf_open(&vf_b, FN_VFS, 2) ||
	    !vf_up(&vf_a, &o) || !vf_save(&vf_a, &s))
		return;
	if (vf_load(&vf_b, &s))
		go(&vf_b, ST_RUNNING);
	stream_free(&s);
	/* and no reset has worked since */
	EXPECT_EQ(lm_fault_resets_of(pf, pf_bdf(FN_B), LM_IGNORES_FLR), 0, "ignore resets");
	vf_close(&vf_a);
	vf_close(&vf_b);
	EXPECT_EQ(bind_to(pf_bdf(FN_B), NULL), 0, "unbind");
	if (EXPECT_EQ(lm_fault_resets_of(pf, pf_bdf(FN_B), 0), 0, "resets"))
		expect_found(pf_bdf(FN_B), vf_cntlid(FN_VFS, 2));
}

/* ---- where the MMC is missing ---- */

static void test_no_mmc(void)
{
	if (!prepare() || !EXPECT_EQ(pf_unbind(FN_MMC), 0, "unbind the MMC"))
		return;
	pf_forget(FN_VFS);
	bind_plain(pf_bdf(FN_A), "no PF bound to nvme migrates others");
	if (vf_open(&vf_a, FN_VFS, 1)) {
		check_plain(&vf_a.dev);
		vf_check_usable(&vf_a);
	}
	vf_close(&vf_a);
	if (function_release(FN_A, NULL) && pf_bind(FN_MMC))
		check_found();
}

/* Whoever takes the MMC away takes its functions from the driver, too. */
static void test_mmc_goes(void)
{
	if (!prepare() || !found_a())
		return;
	pf_forget(FN_VFS);
	if (!EXPECT_EQ(pf_unbind(FN_MMC), 0, "unbind the MMC"))
		return;
	EXPECT(!*bound_to(pf_bdf(FN_A)), "the function is bound to %s", bound_to(pf_bdf(FN_A)));
	if (pf_bind(FN_MMC))
		check_found();
}

static void test_other_subsystem(void)
{
	const char *bdf = pf_bdf(FN_ALONE);

	if (bdf && load_module() && function_release(FN_ALONE, NULL))
		bind_plain(bdf, "no PF bound to nvme migrates it");
}

static void test_two(void)
{
	if (!prepare() || !function_release(FN_MMC2, "nvme") || !pf_get(FN_MMC2))
		return;
	bind_plain(pf_bdf(FN_A), "more than one PF claims to migrate this function");
	if (function_release(FN_MMC2, NULL))
		check_found();
}

static void test_mmc_itself(void)
{
	if (prepare() && function_release(FN_MMC2, NULL))
		bind_plain(pf_bdf(FN_MMC2), "function migrates others");
	function_release(FN_MMC2, NULL);
}

/* ---- functions that fail, hang or lie ---- */

static struct lm_fault on_identify(u8 act, u32 arg)
{
	return (struct lm_fault){
		.opcode = NVME_ADM_IDENTIFY, .dw10 = 1, .dw10_mask = 0xff, .act = act, .arg = arg,
	};
}

static struct lm_fault lie_about(u32 byte, u32 mask, u32 value)
{
	struct lm_fault f = on_identify(LM_ACT_DATA, byte);

	f.mask = mask;
	f.value = value;
	return f;
}

/* Arm it through nvme, which leaves the function then; the driver's resets do not end it. */
static bool spoil(const struct lm_fault *f)
{
	struct lm_pf *pf;
	bool ok;

	if (!function_release(FN_A, "nvme"))
		return false;
	pf = pf_get(FN_A);
	ok = pf && EXPECT_EQ(lm_fault_resets(pf, LM_KEEPS_FAULTS), 0, "resets") &&
	     fault_arm(FN_A, 0, *f);
	return function_release(FN_A, NULL) && ok;
}

static void test_spoilt(const struct lm_fault *f, const char *why)
{
	if (spoil(f))
		bind_plain(pf_bdf(FN_A), why);
	if (vf_open(&vf_a, FN_VFS, 1))
		check_plain(&vf_a.dev);
	vf_close(&vf_a);
	/* what is armed ends with the next reset; nvme may be unable to use it until then */
	if (pf_get(FN_VFS))
		EXPECT_EQ(lm_fault_resets_of(pf_get(FN_VFS), pf_bdf(FN_A), 0), 0, "resets");
	check_found();
}

static void test_lies(void)
{
	int vf;
	u16 own;
	const struct { u32 byte, mask, value; const char *why; } lies[] = {
		{ OFFSET_SN, 0, 1, "migrates it" },
		{ OFFSET_SUBNQN, 0, 1, "migrates it" },
		{ OFFSET_VID, 0, 1, "migrates it" },
		{ OFFSET_OACS, HMLMS, HMLMS, "function migrates others" },
		{ OFFSET_CNTLID, 0xffff, NO_CNTLID, "migrates it" },
	};
	struct lm_fault f;
	unsigned int i;

	if (!prepare() || !pf_get(FN_MMC))
		return;
	for (i = 0; i < ARRAY_SIZE(lies) && !tap_failed(); i++) {
		f = lie_about(lies[i].byte, lies[i].mask, lies[i].value);
		test_spoilt(&f, lies[i].why);
	}
	/* the controller id of the MMC, and that of somebody's VF */
	own = pf_get(FN_MMC)->cntlid;
	vf = lm_cntlid(pf_get(FN_MMC), 1);
	f = lie_about(OFFSET_CNTLID, 0xffff, own);
	if (!tap_failed())
		test_spoilt(&f, "migrates it");
	f = lie_about(OFFSET_CNTLID, 0xffff, vf);
	if (!tap_failed() && EXPECT(vf >= 0, "no VF"))
		test_spoilt(&f, "migrates it");
}

static void test_refused_command(void)
{
	struct lm_fault f = on_identify(LM_ACT_STATUS, 0x006 | LM_FAULT_DNR);

	if (!prepare())
		return;
	test_spoilt(&f, "function cannot be identified");
}

static void test_wrong_cid(void)
{
	struct lm_fault f = on_identify(LM_ACT_RESULT, 2);

	f.value = 1;
	if (!prepare())
		return;
	test_spoilt(&f, "function cannot be identified");
}

static void test_hung(void)
{
	struct lm_fault f = on_identify(LM_ACT_HOLD, 0);

	if (!prepare() || !set_param("identify_timeout_ms", "2000"))
		return;
	test_spoilt(&f, "function does not answer in time");
	set_param("identify_timeout_ms", "10000");
}

/* CAP.TO would allow it more time than the driver does. */
static void test_never_ready(void)
{
	struct lm_pf *pf = pf_get(FN_VFS);

	/* by the MMC: the function itself would not execute the command that ends this */
	if (!pf || !prepare() ||
	    !EXPECT_EQ(lm_fault_resets_of(pf, pf_bdf(FN_A), LM_NEVER_READY | LM_KEEPS_FAULTS), 0,
		       "never ready"))
		return;
	bind_plain(pf_bdf(FN_A), "function does not answer in time");
	EXPECT_EQ(lm_fault_resets_of(pf, pf_bdf(FN_A), 0), 0, "ready again");
	check_found();
}

/* A function that the MMC suspended: the reset before anything else makes it run. */
static void test_suspended(void)
{
	struct lm_pf *pf = pf_get(FN_VFS);

	if (!pf || !prepare())
		return;
	EXPECT_EQ(lm_suspend(pf, vf_cntlid(FN_VFS, 1)), 0, "suspend");
	check_found();
}

static const struct drv_test function_tests[] = {
	{ "one line that names the controller", test_bind, ON_SPECIAL, FN_VFS },
	{ "moved to another function", test_move, ON_SPECIAL, FN_VFS },
	{ "reset in STOP", test_reset, ON_SPECIAL, FN_VFS },
	{ "controller id of another function, after a move", test_loaded, ON_SPECIAL, FN_VFS },
	{ "suspended when it is bound", test_suspended, ON_SPECIAL, FN_VFS },
	{ "no MMC", test_no_mmc, ON_SPECIAL, FN_VFS },
	{ "MMC that goes away", test_mmc_goes, ON_SPECIAL, FN_VFS },
	{ "MMC of another subsystem", test_other_subsystem, ON_SPECIAL, FN_VFS },
	{ "two MMCs", test_two, ON_SPECIAL, FN_VFS },
	{ "an MMC itself", test_mmc_itself, ON_SPECIAL, FN_VFS },
	{ "identity that is not its own", test_lies, ON_SPECIAL, FN_VFS },
	{ "Identify fails", test_refused_command, ON_SPECIAL, FN_VFS },
	{ "Identify answered with another CID", test_wrong_cid, ON_SPECIAL, FN_VFS },
	{ "Identify not answered", test_hung, ON_SPECIAL, FN_VFS },
	{ "never ready", test_never_ready, ON_SPECIAL, FN_VFS },
};

const struct test_group function_group = {
	"function", function_tests, ARRAY_SIZE(function_tests)
};
