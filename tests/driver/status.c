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
	return sc == &scene_resume && pf_get(v->pf_nr)->vendor && err == EPROTO ? EREMOTEIO : err;
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

/*
 * The PF may never have got the command: a harmless one is sent a second time. Before a piece of
 * the state is read again, the device has to say that the VF is suspended, so that is sent twice.
 * The vendor set has no other sign of a reset of the PF while a VF is suspended.
 */
static unsigned int times_repeated(const struct scene *sc)
{
	if (sc == &scene_read)
		return 2;
	if (sc == &scene_suspend || sc == &scene_size_running || sc == &scene_list)
		return 1;
	return !pf_get(tap_arg())->vendor && sc != &scene_write;
}

static int wanted(const struct scene *sc, int err)
{
	return sc == &scene_size || sc == &scene_size_running ? 0 : -err;
}

static void check_log(const struct scene *sc, struct vf *v, const struct row *r)
{
	const char *what = scene_what(sc, v->pf_nr);
	char line[128];
	unsigned int lines = 1;
	u32 st = r->status & 0x7ff;
	int id = lm_cntlid(pf_get(v->pf_nr), v->vfn);

	if (sc == &scene_list)
		snprintf(line, sizeof(line), "load refused: %s: ", what);
	else if (r->err == ENOTCONN)
		snprintf(line, sizeof(line), "%s of controller %d: ", what, id);
	else
		snprintf(line, sizeof(line), "%s of controller %d: NVMe status %#x (", what, id,
			 st);
	EXPECT_EQ(klog_count_err(v->bdf, line, r->err), 1, "'%s'", line);
	if (sc == &scene_write)
		lines += klog_count(v->bdf, "stream refused: device refused the state at offset 0");
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
	struct lm_fault f = scene_fault(sc, v->pf_nr, LM_ACT_STATUS, 1);
	struct lm_pf *pf = pf_get(v->pf_nr);
	int err = meaning(sc, v, r->err);

	f.arg = r->status;
	if (r->err == ENOTCONN)
		f.times += times_repeated(sc);
	if (!scene_begin(sc, v) || !fault_arm(v->pf_nr, 0, f))
		return;
	klog_mark();
	EXPECT_EQ(sc->act(v), wanted(sc, err), "%s", scene_what(sc, v->pf_nr));
	EXPECT_EQ(lm_fault_count(pf, LM_FAULT_MATCHED, 0), (int)f.times, "commands");
	check_log(sc, v, r);
	if (says_lost(sc, err) && !harmless(sc, err))
		check_lost(sc, v);
	else
		check_refused(sc, v, err);
	/* the next one begins with a VF that was reset, if that matters */
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

/* ---- a command that was not sent at first ---- */

static void check_repeated(const struct scene *sc, struct vf *v, u32 status)
{
	struct lm_fault f = scene_fault(sc, v->pf_nr, LM_ACT_STATUS, 1);

	f.arg = status;
	if (!scene_begin(sc, v) || !fault_arm(v->pf_nr, 0, f))
		return;
	klog_mark();
	EXPECT_EQ(sc->act(v), 0, "%s", scene_what(sc, v->pf_nr));
	EXPECT_EQ(lm_fault_count(pf_get(v->pf_nr), LM_FAULT_MATCHED, 0), 2, "commands");
	EXPECT_EQ(klog_count(v->bdf, ""), 0, "lines in the log");
	fault_clear(v->pf_nr);
	scene_again(v);
}

static void test_repeated(void)
{
	const struct scene *const scenes[] = {
		&scene_suspend, &scene_size_running, &scene_size, &scene_save, &scene_list,
		&scene_resume,
	};
	struct vf *v = &vf_a;
	unsigned int i;

	if (!scene_open(v, tap_arg()))
		return;
	for (i = 0; i < ARRAY_SIZE(scenes) && !tap_failed(); i++) {
		if (!times_repeated(scenes[i]))
			continue;
		check_repeated(scenes[i], v, 0x370);
		check_repeated(scenes[i], v, 0x371);
	}
	vf_check_usable(v);
}

/* ---- at probe: a VF without migration, and one line ---- */

static void check_probe(u8 cns, const char *why)
{
	static const u32 status[] = { 0x7ff, 0x370, 0x001, 0x002 | LM_FAULT_DNR };
	/* a PF need not support the list of secondary controllers, see driver-bind.c */
	unsigned int nr = cns == 0x15 ? 2 : ARRAY_SIZE(status);
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct lm_fault f = {
		.opcode = NVME_ADM_IDENTIFY, .dw10 = cns, .dw10_mask = 0xff,
		.act = LM_ACT_STATUS,
	};
	unsigned int i;

	for (i = 0; i < nr; i++) {
		f.arg = status[i];
		if (!EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") || !fault_arm(tap_arg(), 0, f))
			return;
		bind_plain(bdf, why);
		EXPECT_EQ(lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, 0),
			  1 + (status[i] == 0x370), "commands");
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

/* Status codes of exported subsystems, which no table of the kernel has, go by their names. */
static void test_names(void)
{
	static const struct {
		u32 status;
		const char *line;
	} names[] = {
		{ 0x142, "NVMe status 0x142, Controller Active (" },
		{ 0x143, "NVMe status 0x143, Invalid Exported Association (" },
		{ 0x144, "NVMe status 0x144, Invalid Exported Configuration State (" },
	};
	struct vf *v = &vf_a;
	struct lm_fault f;
	unsigned int i;

	if (!scene_open(v, tap_arg()))
		return;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		f = scene_fault(&scene_suspend, tap_arg(), LM_ACT_STATUS, 1);
		f.arg = names[i].status;
		klog_mark();
		if (!fault_arm(tap_arg(), 0, f))
			return;
		refuse_set(v, ST_P2P, EIO);
		EXPECT_EQ(klog_count(v->bdf, names[i].line), 1, "'%s'", names[i].line);
		fault_clear(tap_arg());
	}
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	vf_check_usable(v);
}

/* ---- a state of several transfers ---- */

static struct lm_fault on_set(u8 act, u32 seqind, u32 mask)
{
	return (struct lm_fault){
		.opcode = LM_OP_SEND, .dw10 = 2 | seqind << 16, .dw10_mask = 0xff | mask << 16,
		.act = act, .arg = 0x002,
	};
}

/* The stream of VF 1 in STOP_COPY, in pieces; VF 2 to load it into. */
static bool start_pieces(struct stream *s, unsigned int *nr)
{
	struct st_view view;

	if (!pf_get(tap_arg()) || !fault_clear(tap_arg()) || !start_large(&vf_a))
		return false;
	fill_large();
	if (!vf_save(&vf_a, s) || !EXPECT(!st_parse(s, &view), "parse"))
		return false;
	*nr = view.pieces;
	st_view_free(&view);
	return EXPECT(*nr >= 4, "%u pieces", *nr) && vf_open(&vf_b, tap_arg(), 2);
}

/* Which of them is refused: nothing is sent behind it, nothing was committed. */
static void check_set(const struct stream *s, u32 seqind, unsigned int commands)
{
	struct vf *v = &vf_b;
	int fd;

	if (!fault_arm(tap_arg(), 0, on_set(LM_ACT_COUNT, 0, 0)) ||
	    !fault_arm(tap_arg(), 1, on_set(LM_ACT_STATUS, seqind, 3)))
		return;
	klog_mark();
	fd = go_fd(v, ST_RESUMING);
	EXPECT_EQ(stream_write(fd, s, 0), -EINVAL, "write");
	EXPECT_EQ(write(fd, s->data, 1), -1, "write again");
	close(fd);
	EXPECT_EQ(lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, 0), commands, "commands");
	EXPECT_EQ(klog_count(v->bdf, "stream refused: device refused the state at offset"), 1,
		  "line");
	refuse_set(v, ST_STOP, EINVAL);
	vf_check_off(v);
	vf_reset(v);
	fault_clear(tap_arg());
}

static void test_set_pieces(void)
{
	struct stream s;
	unsigned int nr;

	if (!start_pieces(&s, &nr))
		return;
	check_set(&s, LM_SEQ_FIRST, 1);
	check_set(&s, LM_SEQ_MIDDLE, 2);
	check_set(&s, LM_SEQ_LAST, nr);
	if (vf_load(&vf_b, &s)) {
		unvme_move(&vf_a.u, &vf_b.dev);
		vdev_bus_master(&vf_b.dev, true);
		go(&vf_b, ST_RUNNING);
		drain_large();
	}
	stream_free(&s);
}

/*
 * What was read before is good, what comes behind is an error; the next save is complete. The
 * first piece is read with the size, before there is a file.
 */
static void check_get(const struct stream *all, unsigned int piece)
{
	struct lm_fault f = {
		.opcode = LM_OP_RECV, .skip = piece, .act = LM_ACT_STATUS, .arg = 0x002,
	};
	struct vf *v = &vf_a;
	struct stream s;
	int fd;

	if (!go(v, ST_STOP) || !fault_arm(tap_arg(), 0, f))
		return;
	fd = go_fd(v, ST_STOP_COPY);
	EXPECT_EQ(stream_read(fd, &s, 0), -EINVAL, "read");
	EXPECT_EQ(s.size, REC_SECOND + piece * (REC_HEAD + REC_PIECE + 8192), "bytes");
	EXPECT(s.size <= all->size && !memcmp(s.data, all->data, s.size), "other bytes");
	stream_free(&s);
	EXPECT_EQ(stream_read(fd, &s, 0), -EINVAL, "read again");
	EXPECT_EQ(s.size, 0, "bytes");
	stream_free(&s);
	close(fd);
	EXPECT_EQ(lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, 0), 1 + piece, "commands");
	fault_clear(tap_arg());
	go(v, ST_STOP);
	if (vf_save(v, &s))
		EXPECT(!st_differ(all, &s), "%s", st_differ(all, &s));
	stream_free(&s);
}

static void test_get_pieces(void)
{
	unsigned int nr, i;
	struct stream s;

	if (!start_pieces(&s, &nr))
		return;
	for (i = 1; i < nr; i++)
		check_get(&s, i);
	stream_free(&s);
	go(&vf_a, ST_RUNNING);
	drain_large();
}

static const struct drv_test status_tests[] = {
	{ "Suspend", test_status, ON_BOTH, .scene = &scene_suspend },
	{ "size of a VF that runs", test_status, ON_BOTH, .scene = &scene_size_running },
	{ "size of a VF that is suspended", test_status, ON_BOTH, .scene = &scene_size },
	{ "begin of a save", test_status, ON_BOTH, .scene = &scene_save },
	{ "read of the state", test_status, ON_SPECIAL, SP_SMALL, .scene = &scene_read },
	{ "read of the state", test_status, ON_VS, .scene = &scene_save_data },
	{ "list of secondary controllers", test_status, ON_BOTH, .scene = &scene_list },
	{ "write of the state", test_status, ON_BOTH, .scene = &scene_write },
	{ "state loaded back", test_status, ON_VS, .scene = &scene_undo },
	{ "Resume", test_status, ON_BOTH, .scene = &scene_resume },
	{ "sent again if the PF may not have got it", test_repeated, ON_BOTH },
	{ "probe", test_probe, ON_BOTH },
	{ "names", test_names, ON_BOTH },
	{ "pieces that are written", test_set_pieces, ON_SPECIAL, SP_SMALL },
	{ "pieces that are read", test_get_pieces, ON_SPECIAL, SP_SMALL },
};

const struct test_group status_group = { "status", status_tests, ARRAY_SIZE(status_tests) };
