// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each command that the driver sends is refused by the device with each status that the driver
 * knows, and with some that it does not: the errno, the state, the line in the log, that the
 * command went out once, and the way back to a guest that works.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

struct row {
	u32 status;
	int err;
};

/* As many lines as the kernel prints at a time, which the test begins with: ten */
static const struct row rows[] = {
	{ 0x001, EOPNOTSUPP },
	{ 0x002 | LM_FAULT_DNR, EINVAL },
	{ 0x00c, EPROTO },
	{ 0x11f | LM_FAULT_DNR, ENXIO },
	{ 0x138, ENOSPC },
	{ 0x139, EBUSY },
	{ 0x13a | LM_FAULT_DNR, EREMOTEIO },
	/* no row of the driver's */
	{ 0x7ff | LM_FAULT_DNR, EIO },
	/* as if the host had ended it */
	{ 0x370, ENOTCONN },
	{ 0x371, ENOTCONN },
};

/* The vendor set has no status of its own for a VF that is not suspended. */
static int meaning(const struct scene *sc, const struct vf *v, int err)
{
	return sc == &scene_resume && pf_get(v->pf)->vendor && err == EPROTO ? EREMOTEIO : err;
}

/* An answer that says that the VF may have run, or been reset, behind the driver's back */
static bool says_lost(const struct scene *sc, int err)
{
	if (sc == &scene_list)
		return err == ENOTCONN;
	return err == ENOTCONN || err == ENXIO || (err == EREMOTEIO && sc == &scene_resume);
}

/* What asks for a size gets the last one, and a Suspend refused with this is a VF that runs. */
static bool harmless(const struct scene *sc, int err)
{
	return sc == &scene_size_running || (sc == &scene_suspend && err == ENXIO);
}

static int wanted(const struct scene *sc, int err)
{
	return sc == &scene_size || sc == &scene_size_running ? 0 : -err;
}

static void check_log(const struct scene *sc, struct vf *v, const struct row *r)
{
	const char *what = scene_what(sc, v->pf);
	char line[128];
	unsigned int lines = 1;
	u32 st = r->status & 0x7ff;
	int id = lm_cntlid(pf_get(v->pf), v->vfn);

	if (sc == &scene_list)
		snprintf(line, sizeof(line), "load refused: %s: ", what);
	else if (r->err == ENOTCONN)
		snprintf(line, sizeof(line), "%s of controller %d: ", what, id);
	else
		snprintf(line, sizeof(line), "%s of controller %d: NVMe status %#x (", what, id,
			 st);
	EXPECT_EQ(klog_count_err(v->bdf, line, r->err), 1, "'%s'", line);
	if (sc == &scene_write)
		lines += klog_count(v->bdf, "stream refused: by the device at offset 0");
	EXPECT_EQ(klog_count(v->bdf, ""), lines, "lines in the log");
	EXPECT_EQ(lines, 1 + (sc == &scene_write), "lines that say why");
}

/* A session that failed stays failed. */
static void check_session(const struct scene *sc, struct vf *v, int err)
{
	char byte;

	if (sc == &scene_read)
		EXPECT(read(scene_fd, &byte, 1) == -1 && errno == err, "read after the error");
	if (sc == &scene_write)
		EXPECT(write(scene_fd, &byte, 1) == -1 && errno == err, "write after the error");
	vf_expect_state(v, sc->from);
}

static void check_lost(const struct scene *sc, struct vf *v)
{
	if (sc == &scene_read || sc == &scene_write || sc == &scene_size) {
		vf_expect_state(v, sc->from);
		EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -ENOTCONN, "SET");
	}
	vf_expect_state(v, ST_ERROR);
	refuse_set(v, ST_RUNNING, EIO);
	if (scene_again(v))
		vf_check_usable(v);
}

/* Nothing happened: it can be done again. */
static void check_refused(const struct scene *sc, struct vf *v, int err)
{
	check_session(sc, v, err);
	if (sc->from == ST_RUNNING)
		EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	if (sc == &scene_write) {
		EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -err, "RESUMING -> STOP");
		vf_expect_state(v, ST_RESUMING);
		vf_check_off(v);
		if (scene_again(v))
			vf_check_usable(v);
		return;
	}
	if (sc == &scene_read) {
		close(scene_fd);
		scene_fd = -1;
		go(v, ST_STOP);
		scene_fd = go_fd(v, ST_STOP_COPY);
	}
	scene_finish(sc, v);
}

static void check_row(const struct scene *sc, struct vf *v, const struct row *r)
{
	struct lm_fault f = scene_fault(sc, v->pf, LM_ACT_STATUS, 1);
	struct lm_pf *pf = pf_get(v->pf);
	int err = meaning(sc, v, r->err);

	f.arg = r->status;
	if (!scene_begin(sc, v) || !fault_arm(v->pf, 0, f))
		return;
	klog_mark();
	EXPECT_EQ(sc->act(v), wanted(sc, err), "%s", scene_what(sc, v->pf));
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_MATCHED, 0), 1, "commands");
	check_log(sc, v, r);
	if (says_lost(sc, err) && !harmless(sc, err))
		check_lost(sc, v);
	else
		check_refused(sc, v, err);
	/* the next one begins with a VF that was reset where that matters */
	if (sc == &scene_list || sc == &scene_write)
		scene_again(v);
}

static void test_status(void)
{
	const struct scene *sc = test_scene();
	struct vf *v = &vf_a;
	unsigned int i;

	if (!reload_module() || !scene_open(v, tap_arg()))
		return;
	for (i = 0; i < ARRAY_SIZE(rows) && !tap_failed(); i++) {
		check_row(sc, v, &rows[i]);
		if (tap_failed())
			tap_note("status %#x", rows[i].status);
		fault_clear(tap_arg());
	}
}

/* ---- at probe: a VF without migration, and one line ---- */

static void check_probe(u8 cns, const char *why)
{
	static const u32 status[] = { 0x001, 0x002 | LM_FAULT_DNR, 0x7ff, 0x370 };
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct lm_fault f = {
		.opcode = NVME_ADM_IDENTIFY, .dw10 = cns, .dw10_mask = 0xff,
		.act = LM_ACT_STATUS,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(status); i++) {
		f.arg = status[i];
		if (!EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") || !fault_arm(tap_arg(), 0, f))
			return;
		bind_plain(bdf, why);
		EXPECT_EQ(lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, 0), 1, "commands");
	}
	if (vf_open(&vf_a, tap_arg(), 1)) {
		check_plain(&vf_a.dev);
		vf_check_usable(&vf_a);
	}
	vf_close(&vf_a);
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");
	fault_clear(tap_arg());
}

static void test_probe(void)
{
	struct lm_pf *pf = pf_get(tap_arg());

	if (!pf || !load_module() || !fault_clear(tap_arg()))
		return;
	check_probe(0x01, "cannot identify the PF");
	check_probe(0x15, "does not list this VF");
	if (!pf->vendor)
		check_probe(0x20, "cannot read the list of state formats");
	if (vf_open(&vf_a, tap_arg(), 1) && go(&vf_a, ST_STOP) && go(&vf_a, ST_RUNNING))
		vf_check_usable(&vf_a);
}

const struct drv_test status_tests[] = {
	{ "status: Suspend", test_status, ON_BOTH, .scene = &scene_suspend },
	{ "status: size of a VF that runs", test_status, ON_BOTH, .scene = &scene_size_running },
	{ "status: size of a VF that is suspended", test_status, ON_BOTH, .scene = &scene_size },
	{ "status: begin of a save", test_status, ON_BOTH, .scene = &scene_save },
	{ "status: read of the state", test_status, ON_TP, .scene = &scene_read },
	{ "status: read of the state", test_status, ON_VS, .scene = &scene_save_data },
	{ "status: list of secondary controllers", test_status, ON_BOTH, .scene = &scene_list },
	{ "status: write of the state", test_status, ON_BOTH, .scene = &scene_write },
	{ "status: state loaded back", test_status, ON_VS, .scene = &scene_undo },
	{ "status: Resume", test_status, ON_BOTH, .scene = &scene_resume },
	{ "status: probe", test_probe, ON_BOTH },
};

const size_t nr_status_tests = ARRAY_SIZE(status_tests);
