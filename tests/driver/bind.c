// SPDX-License-Identifier: GPL-2.0-only
/*
 * Binding: what can be migrated, what cannot and says why, the module and its references.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static void test_bind(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct vf *v = &vf_a;
	char line[64];

	if (!pf || !bdf || !load_module() || !EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind"))
		return;
	snprintf(line, sizeof(line), "migration by %s, controller %d",
		 pf->vendor ? "vendor set of 2022" : "TP4159", lm_cntlid(pf, 1));
	klog_mark();
	EXPECT_EQ(bind_to(bdf, DRIVER), 0, "bind");
	EXPECT_EQ(klog_count(bdf, line), 1, "'%s'", line);
	EXPECT_EQ(klog_count(bdf, ""), 1, "lines in the log");
	if (!vf_open(v, tap_arg(), 1))
		return;
	vf_expect_state(v, ST_RUNNING);
	vf_check_usable(v);
}

static void test_plain_vf(void)
{
	const char *bdf = vf_bdf(tap_arg(), 1);

	if (bdf && load_module() && EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind"))
		bind_plain(bdf, "does not support");
}

static bool set_numvfs(const char *pf, const char *nr)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/sriov_numvfs", pf);
	return EXPECT_EQ(file_write(path, nr), 0, "number of VFs");
}

/* A PF is taken, and given back to nvme. */
static void test_plain_pf(void)
{
	const char *bdf = pf_bdf(tap_arg());
	const char *vf = vf_bdf(tap_arg(), 1);
	struct vf *v = &vf_a;

	if (!bdf || !vf || !load_module() || !EXPECT_EQ(bind_to(vf, NULL), 0, "unbind the VF") ||
	    !set_numvfs(bdf, "0"))
		return;
	pf_forget(tap_arg());
	bind_plain(bdf, "no PF bound to nvme migrates it");
	EXPECT_EQ(bind_to(bdf, "nvme"), 0, "bind to nvme");
	if (set_numvfs(bdf, "1") && pf_provision(tap_arg()) && vf_open(v, tap_arg(), 1))
		vf_check_usable(v);
}

/* A device whose state lacks the admin queue is offered only if asked for. */
static void test_queues_only(void)
{
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct vf *v = &vf_a;
	u64 flags = 0;

	if (!bdf || !load_module() || !EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind"))
		return;
	bind_plain(bdf, "io_queues_only");
	if (!vf_open(v, tap_arg(), 1))
		return;
	check_plain(&v->dev);
	vf_check_usable(v);
	vf_close(v);
	if (!EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") || !set_param("io_queues_only", "1"))
		return;
	klog_mark();
	if (vf_open(v, tap_arg(), 1)) {
		EXPECT_EQ(klog_count(bdf, "migration by TP4159"), 1, "line in the log");
		EXPECT_EQ(klog_count(bdf, "I/O queues only"), 1, "the missing part");
		EXPECT_EQ(vdev_mig_flags(&v->dev, &flags), 0, "MIGRATION");
		vf_check_usable(v);
	}
	vf_close(v);
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");
	set_param("io_queues_only", "0");
}

/*
 * A VMM that keeps the admin queue to itself: it enables the destination, the I/O queues come by
 * migration with the commands that wait in them.
 */
static void test_queues_move(void)
{
	static const struct unvme_opts o = { .queues = 2, .depth = 16, .irq = true };
	static const struct unvme_opts none = { .irq = true, .vectors = 3 };
	struct unvme *from = &vf_a.u, *to = &vf_b.u;
	unsigned int i, io = 0;
	struct stream s;

	if (!load_module() || !EXPECT_EQ(bind_to(vf_bdf(tap_arg(), 1), NULL), 0, "unbind") ||
	    !EXPECT_EQ(bind_to(vf_bdf(tap_arg() + 1, 1), NULL), 0, "unbind") ||
	    !set_param("io_queues_only", "1"))
		return;
	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_open(&vf_b, tap_arg() + 1, 1) ||
	    !vf_up(&vf_a, &o) || !vf_up(&vf_b, &none))
		goto out;
	for (i = 0; i < 21; i++)
		EXPECT_EQ(unvme_rw(from, 1 + i % 2, true, i * 8, 8), 0, "write");
	if (!go(&vf_a, ST_P2P))
		goto out;
	unvme_submit(from, 1, &flush_cmd, count_done, &io);
	unvme_submit(from, 2, &flush_cmd, count_done, &io);
	if (!vf_save(&vf_a, &s))
		goto out;
	if (vf_load(&vf_b, &s)) {
		for (i = 1; i <= 2; i++) {
			to->cqs[i] = from->cqs[i];
			to->sqs[i] = from->sqs[i];
			to->sqs[i].cq = &to->cqs[i];
			from->sqs[i].cmds = NULL;
			from->sqs[i].live = false;
			from->cqs[i].live = false;
		}
		go(&vf_b, ST_RUNNING);
		EXPECT_EQ(unvme_drain(to, 1, 0), 0, "queue 1");
		EXPECT_EQ(unvme_drain(to, 2, 0), 0, "queue 2");
		EXPECT_EQ(io, 2, "commands");
		for (i = 0; i < 21; i++)
			EXPECT_EQ(unvme_rw(to, 1 + i % 2, false, i * 8, 8), 0, "read");
	}
	stream_free(&s);
out:
	vf_close(&vf_b);
	vf_close(&vf_a);
	set_param("io_queues_only", "0");
}

/*
 * A VMM that leaves the admin queue to its guest: the state would make a VF without one, so that it
 * is refused while there is a source. A guest without queues has nothing to lose.
 */
static void test_queues_disabled(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct stream s = { 0 };
	int fd;

	if (!load_module() || !EXPECT_EQ(bind_to(vf_bdf(tap_arg(), 1), NULL), 0, "unbind") ||
	    !EXPECT_EQ(bind_to(vf_bdf(tap_arg() + 1, 1), NULL), 0, "unbind") ||
	    !set_param("io_queues_only", "1"))
		return;
	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_open(&vf_b, tap_arg() + 1, 1) ||
	    !vf_up(&vf_a, &o) || !vf_save(&vf_a, &s))
		goto out;
	klog_mark();
	fd = go_fd(&vf_b, ST_RESUMING);
	EXPECT_EQ(stream_write(fd, &s, 0), -ESHUTDOWN, "write");
	close(fd);
	EXPECT_EQ(klog_count(vf_b.bdf, "I/O queues only, and the VF is disabled"), 1, "lines");
	EXPECT_EQ(vdev_mig_set_state(&vf_b.dev, ST_STOP, NULL), -ESHUTDOWN, "-> STOP");
	go(&vf_a, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&vf_a.u, 1, true, 0, 8), 0, "write on the source");
	stream_free(&s);
	vf_reset(&vf_a);
	vf_reset(&vf_b);
	if (vf_save(&vf_a, &s) && vf_load(&vf_b, &s))
		go(&vf_b, ST_RUNNING);
out:
	stream_free(&s);
	vf_close(&vf_b);
	vf_close(&vf_a);
	set_param("io_queues_only", "0");
}

/* ---- a PF that lists no secondary controllers: the VF is asked ---- */

#define CNS_CTRL	0x01
#define CNS_LIST	0x15

static struct lm_fault on_identify(u8 cns, u8 act, u32 arg)
{
	return (struct lm_fault){
		.opcode = NVME_ADM_IDENTIFY, .dw10 = cns, .dw10_mask = 0xff, .act = act,
		.arg = arg,
	};
}

/* The VF's controller id, by a PF that has the list. */
static bool bind_finds(unsigned int vfn, int cntlid)
{
	const char *bdf = vf_bdf(tap_arg(), vfn);
	char line[64];

	snprintf(line, sizeof(line), "migration by %s, controller %d",
		 pf_get(tap_arg())->vendor ? "vendor set of 2022" : "TP4159", cntlid);
	klog_mark();
	return EXPECT_EQ(bind_to(bdf, DRIVER), 0, "bind") &&
	       EXPECT_EQ(klog_count(bdf, line), 1, "'%s'", line) &&
	       EXPECT_EQ(klog_count(bdf, ""), 1, "lines in the log");
}

static bool unbind_both(void)
{
	return EXPECT_EQ(bind_to(vf_bdf(tap_arg(), 1), NULL), 0, "unbind VF 1") &&
	       EXPECT_EQ(bind_to(vf_bdf(tap_arg(), 2), NULL), 0, "unbind VF 2");
}

static void move_guest(void)
{
	vf_move_guest(tap_arg());
	vf_close(&vf_a);
	vf_close(&vf_b);
}

static void test_no_list(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	/* not supported, and supported in name only */
	struct lm_fault no_list[] = {
		on_identify(CNS_LIST, LM_ACT_STATUS, 0x002 | LM_FAULT_DNR),
		on_identify(CNS_LIST, LM_ACT_STATUS, 0x001),
		on_identify(CNS_LIST, LM_ACT_DATA, 0),
	};
	unsigned int i;
	int ids[2];

	no_list[2].mask = 0xff;
	if (!pf || !load_module() || !fault_clear(tap_arg()))
		return;
	ids[0] = lm_cntlid(pf, 1);
	ids[1] = lm_cntlid(pf, 2);
	for (i = 0; i < ARRAY_SIZE(no_list) && !tap_failed(); i++) {
		if (unbind_both() && fault_arm(tap_arg(), 0, no_list[i]) &&
		    bind_finds(1, ids[0]) && bind_finds(2, ids[1])) {
			move_guest();
			EXPECT_EQ(lm_fault_count(pf, LM_FAULT_MATCHED, 0), 2,
				  "commands for the list");
		}
		fault_clear(tap_arg());
	}
	unbind_both();
	if (vf_open(&vf_a, tap_arg(), 1))
		vf_check_usable(&vf_a);
	pf_check(tap_arg());
	pf_check_no_reset(tap_arg());
}

/* Nobody knows which controller it is, so there is no migration. */
static void test_no_list_offline(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	const char *bdf = vf_bdf(tap_arg(), 1);

	if (!pf || !load_module() || !EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind"))
		return;
	EXPECT_EQ(lm_virt_mgmt(pf, lm_cntlid(pf, 1), 7, 0, 0), 0, "offline");
	fault_arm(tap_arg(), 0, on_identify(CNS_LIST, LM_ACT_STATUS, 0x002));
	bind_plain(bdf, "lists no secondary controllers, and this VF is offline or failed");
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");
	fault_clear(tap_arg());
	if (pf_provision(tap_arg()) && vf_open(&vf_a, tap_arg(), 1))
		vf_check_usable(&vf_a);
}

/*
 * A suspended VF gets ready and fetches nothing. It is waited for, and disabled: with the list
 * the PF's data stand for its own, without it there is no migration.
 */
static void test_silent(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	const char *bdf = vf_bdf(tap_arg(), 1);
	int id;

	if (!pf || !load_module() || !fault_clear(tap_arg()) ||
	    !EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") ||
	    !set_param("identify_timeout_ms", "2000"))
		return;
	id = lm_cntlid(pf, 1);
	EXPECT_EQ(lm_suspend(pf, id), 0, "suspend");
	bind_finds(1, id);
	expect_debugfs(bdf, "identity", "of the PF");
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");

	lm_suspend(pf, id);
	fault_arm(tap_arg(), 0, on_identify(CNS_LIST, LM_ACT_STATUS, 0x002));
	bind_plain(bdf, "lists no secondary controllers, and this VF does not answer in time");
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");

	fault_clear(tap_arg());
	set_param("identify_timeout_ms", "10000");
	if (vf_open(&vf_a, tap_arg(), 1)) {
		expect_debugfs(bdf, "identity", "of the VF");
		vf_check_usable(&vf_a);
	}
}

/* The serial number of the PF, or the name of its subsystem, is not that of the VF. */
static void test_no_list_foreign(void)
{
	static const u32 at[] = { 4, 768 };
	struct lm_pf *pf = pf_get(tap_arg());
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct lm_fault f;
	unsigned int i;

	if (!pf || !load_module() || !fault_clear(tap_arg()) ||
	    !fault_arm(tap_arg(), 0, on_identify(CNS_LIST, LM_ACT_STATUS, 0x002)))
		return;
	for (i = 0; i < ARRAY_SIZE(at) && !tap_failed(); i++) {
		f = on_identify(CNS_CTRL, LM_ACT_DATA, at[i]);
		f.value = 1;
		if (EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") && fault_arm(tap_arg(), 1, f))
			bind_plain(bdf, "is that of another NVM subsystem");
	}
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");
	fault_clear(tap_arg());
	if (vf_open(&vf_a, tap_arg(), 1) && go(&vf_a, ST_STOP) && go(&vf_a, ST_RUNNING))
		vf_check_usable(&vf_a);
}

/* The previous owner's controller is disabled first, and the rest of its state is no obstacle. */
static void test_no_list_enabled(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	const char *bdf = vf_bdf(tap_arg(), 1);
	int id;

	if (!pf || !load_module() || !fault_clear(tap_arg()))
		return;
	id = lm_cntlid(pf, 1);
	if (!EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") ||
	    !fault_arm(tap_arg(), 0, on_identify(CNS_LIST, LM_ACT_STATUS, 0x002)) ||
	    !EXPECT_EQ(bind_to(bdf, "nvme"), 0, "bind to nvme") ||
	    !EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind from nvme"))
		return;
	bind_finds(1, id);
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");
	fault_clear(tap_arg());
	/* it was left disabled: nvme takes it */
	if (EXPECT_EQ(bind_to(bdf, "nvme"), 0, "bind to nvme"))
		EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind from nvme");
	if (vf_open(&vf_a, tap_arg(), 1))
		vf_check_usable(&vf_a);
}

/* ---- the identity that a VF itself reports ---- */

static struct lm_fault lie_about(u32 byte, u32 mask, u32 value)
{
	struct lm_fault f = on_identify(CNS_CTRL, LM_ACT_DATA, byte);

	f.mask = mask;
	f.value = value;
	return f;
}

/* HELLO of a VF. */
static bool save_hello(struct vf *v, unsigned int vfn, struct stream *s, struct st_hello *h)
{
	struct st_view view;
	const char *why;

	if (!vf_open(v, tap_arg(), vfn) || !vf_save(v, s))
		return false;
	why = st_parse(s, &view);
	if (!EXPECT(!why, "%s", why))
		return false;
	*h = *view.hello;
	st_view_free(&view);
	return vf_reset(v);
}

/*
 * The PF has a smaller MDTS than its VFs. One of them is online when it is bound, the other is
 * not, so that all that is known of it is what the PF says.
 */
static void test_own_identity(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	struct stream own = { 0 }, pfs = { 0 };
	struct st_hello h;

	if (!pf || !load_module() || !fault_clear(tap_arg()) || !unbind_both())
		return;
	EXPECT_EQ(lm_virt_mgmt(pf, lm_cntlid(pf, 2), 7, 0, 0), 0, "offline");
	if (!fault_arm(tap_arg(), 0, lie_about(77, 0xff, 1)) ||
	    !bind_finds(1, lm_cntlid(pf, 1)) || !bind_finds(2, lm_cntlid(pf, 2)))
		return;
	fault_clear(tap_arg());
	if (!pf_provision(tap_arg()) || !save_hello(&vf_a, 1, &own, &h))
		goto out;
	EXPECT_EQ(h.ident, 1, "whose Identify data, VF that was online");
	expect_debugfs(vf_a.bdf, "identity", "of the VF");
	EXPECT(h.mdts > 1, "MDTS %u", h.mdts);
	if (!save_hello(&vf_b, 2, &pfs, &h))
		goto out;
	EXPECT_EQ(h.ident, 0, "whose Identify data, VF that was offline");
	expect_debugfs(vf_b.bdf, "identity", "of the PF");
	EXPECT_EQ(h.mdts, 1, "MDTS of the PF");
	/* both ways: like is compared with like */
	vf_load(&vf_a, &pfs);
	vf_load(&vf_b, &own);
	vf_reset(&vf_a);
	vf_reset(&vf_b);
	vf_check_usable(&vf_a);
	vf_check_usable(&vf_b);
out:
	stream_free(&own);
	stream_free(&pfs);
	vf_close(&vf_a);
	vf_close(&vf_b);
	unbind_both();
}

/*
 * Detected and shown, and no more: the VF is migrated as ever. What a VF of the emulated device
 * says of itself cannot be changed; match_test.c has one that looks exported.
 */
static void test_exports(void)
{
	static const char *const what[] = {
		"exported subsystems",
		"exported subsystems with templates",
		"exported subsystems with migration",
		"exported subsystems with templates and migration",
	};
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct lm_pf *pf = pf_get(tap_arg());
	char line[96];
	unsigned int i;

	if (!pf || !load_module())
		return;
	for (i = 0; i < ARRAY_SIZE(what) && !tap_failed(); i++) {
		fault_clear(tap_arg());
		if (!EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") ||
		    !fault_arm(tap_arg(), 0, lie_about(256, 0, 0x1000)) ||
		    !fault_arm(tap_arg(), 1, lie_about(404, 0xff, i)))
			return;
		bind_finds(1, lm_cntlid(pf, 1));
		snprintf(line, sizeof(line), "; %s", what[i]);
		EXPECT_EQ(klog_count(bdf, line), 1, "'%s'", line);
		expect_debugfs(bdf, "exports", what[i]);
	}
	/* the second byte means nothing without the first */
	fault_clear(tap_arg());
	EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind");
	fault_arm(tap_arg(), 0, lie_about(404, 0xff, 3));
	bind_finds(1, lm_cntlid(pf, 1));
	EXPECT_EQ(klog_count(bdf, "exported"), 0, "lines about nothing");
	expect_debugfs(bdf, "exports", "none");
	fault_clear(tap_arg());
	if (vf_open(&vf_a, tap_arg(), 1) && go(&vf_a, ST_STOP) && go(&vf_a, ST_RUNNING))
		vf_check_usable(&vf_a);
}

/* ---- the module ---- */

static int nvme_references(void)
{
	char text[16] = "";

	EXPECT_EQ(file_read("/sys/module/nvme/refcnt", text, sizeof(text)), 0, "references");
	return atoi(text);
}

/* Without the driver the VFs are as good as before it came, and nvme as free. */
static void test_module_end(void)
{
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct vf *v = &vf_a;
	int references;

	if (!bdf || !load_module() || !EXPECT_EQ(bind_to(bdf, DRIVER), 0, "bind"))
		return;
	references = nvme_references();
	if (!EXPECT_EQ(remove_module(), 0, "unload"))
		return;
	EXPECT_EQ(nvme_references() < references, true, "nvme is held by a bound VF");
	EXPECT_EQ(*bound_to(bdf), 0, "VF is bound to something");
	if (!EXPECT_EQ(bind_to(bdf, "vfio-pci"), 0, "bind to vfio-pci"))
		return;
	if (vf_find(v, tap_arg(), 1) && vf_attach(v))
		vf_check_usable(v);
}

static const struct drv_test bind_tests[] = {
	{ "one line that names the command set", test_bind, ON_BOTH },
	{ "VF of a PF without support", test_plain_vf, ON_PLAIN },
	{ "PF", test_plain_pf, ON_PLAIN },
	{ "PF without a list of secondary controllers", test_no_list, ON_BOTH },
	{ "no list, offline VF", test_no_list_offline, ON_BOTH },
	{ "VF that does not answer", test_silent, ON_TP },
	{ "no list, VF of another subsystem", test_no_list_foreign, ON_BOTH },
	{ "no list, VF that nvme had", test_no_list_enabled, ON_BOTH },
	{ "identity that the VF itself reports", test_own_identity, ON_BOTH },
	{ "exported subsystems", test_exports, ON_TP },
	{ "io_queues_only", test_queues_only, ON_SPECIAL, SP_QUEUES },
	{ "io_queues_only, moved", test_queues_move, ON_SPECIAL, SP_QUEUES },
	{ "io_queues_only, queues for a disabled VF", test_queues_disabled, ON_SPECIAL,
	  SP_QUEUES },
};

static const struct drv_test unload_tests[] = {
	{ "module unloaded", test_module_end, ON_BOTH },
};

const struct test_group bind_group = { "bind", bind_tests, ARRAY_SIZE(bind_tests) };

const struct test_group unload_group = { "unload", unload_tests, ARRAY_SIZE(unload_tests) };
