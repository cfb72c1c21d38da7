// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vendor specific part of a controller state: values that a guest has read go with it, nothing
 * of another guest does, and devices that differ exchange states as far as a guest cannot notice.
 */
#include <stdlib.h>
#include <string.h>

#include "device.h"

/* PFs of the machine "variants": V5 with firmware of three revisions, and the others. */
enum { FW_OLD = 4, FW_NEW, FW_FIRST, CACHE_OFF, SAVE_WAITS };

/* Where fields are in the vendor specific part, Documentation/device-state.rst */
enum {
	VS_REVISION	= 8,
	VS_FIXED_LEN	= 10,
	VS_LEN		= 12,
	VS_NR_NS	= 20,
	VS_PAIRS	= 56,
	VS_LOGS		= 66,
	VS_ADMIN	= 112,
	VS_PAGE_SHIFT	= 134,
	VS_ADMIN_END	= 143,
	VS_IDENTIFY	= 768,
	VS_FIXED	= 4864,
	NS_ATTR		= 5,
	NS_IND_CRC	= 68,
};

enum {
	ID_FR		= 64,
	ID_MDTS		= 77,
	ID_CNTLID	= 78,
	ID_AERL		= 259,
	ID_ONCS		= 520,
};

#define FEAT_ERROR_RECOVERY	0x05
#define FEAT_WRITE_CACHE	0x06
#define FEAT_QUEUES		0x07
#define FEAT_EVENTS		0x0b
#define FEAT_TIMESTAMP		0x0e

#define DULBE			0x10000
#define SYNCH			0x1000000000000ull

#define drv (vf_a.u)

static const struct nvme_sqe flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };

static void count_done(struct unvme *u, struct unvme_cmd *c)
{
	unsigned int *n = c->priv;

	if (unvme_status(c))
		unvme_fault(u, "status %#x", unvme_status(c));
	(*n)++;
}

static u16 get16(const u8 *p)
{
	return p[0] | p[1] << 8;
}

static void put16(u8 *p, u16 val)
{
	p[0] = val;
	p[1] = val >> 8;
}

static void put32(u8 *p, u32 val)
{
	put16(p, val);
	put16(p + 2, val >> 16);
}

/* ---- states ---- */

/* The vendor specific part of a state. */
static u8 *vendor(const struct lm_state *s)
{
	u64 nvmecss;

	memcpy(&nvmecss, s->data + 16, sizeof(nvmecss));
	return s->data + LM_HEADER + 4 * nvmecss;
}

static u8 *namespace(const struct lm_state *s)
{
	u8 *v = vendor(s);

	return v + get16(v + VS_FIXED_LEN);
}

static void copy(struct lm_state *to, const struct lm_state *from)
{
	to->size = from->size;
	to->data = aligned_alloc(4096, (from->size + 4096 + 4095) & ~4095ul);
	if (!to->data)
		abort();
	memcpy(to->data, from->data, from->size);
}

static bool save(struct vf *d, struct lm_state *s)
{
	return vf_suspend(d) && EXPECT_EQ(lmt_save(&d->t, s), LM_SC_OK, "state of %s", d->bdf);
}

/* Load @s into a VF that was reset. Return: status. */
static int load_state(struct vf *d, const struct lm_state *s)
{
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset of %s", d->bdf);
	return vf_suspend(d) ? lmt_load(&d->t, s) : -1;
}

/* The driver of vf_a goes from one VF to another. */
static bool move(struct vf *from, struct vf *to)
{
	struct lm_state s;
	int st;

	if (!save(from, &s))
		return false;
	st = load_state(to, &s);
	lm_state_free(&s);
	if (!EXPECT_EQ(st, LM_SC_OK, "load into %s", to->bdf))
		return false;
	unvme_move(&drv, &to->dev);
	return vf_resume(to);
}

/* ---- settings of one guest, which another one must not find ---- */

static int error_recovery(struct unvme *u, u32 nsid, u32 val)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_ADM_SET_FEATURES, .nsid = nsid, .cdw10 = FEAT_ERROR_RECOVERY,
		.cdw11 = val,
	};

	return unvme_exec(u, 0, &sqe, NULL);
}

static void expect_recovery(struct unvme *u, u32 want, const char *who)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_ADM_GET_FEATURES, .nsid = 1, .cdw10 = FEAT_ERROR_RECOVERY,
	};
	u32 val = ~want;

	EXPECT_EQ(unvme_exec(u, 0, &sqe, &val), 0, "error recovery of %s", who);
	EXPECT_EQ(val, want, "error recovery of %s", who);
}

static void expect_pf_recovery(struct lm_pf *pf)
{
	struct lm_cmd cmd = {
		.opcode = NVME_ADM_GET_FEATURES, .nsid = 1, .cdw10 = FEAT_ERROR_RECOVERY,
	};

	EXPECT_EQ(lm_exec(pf, &cmd), 0, "error recovery of the PF");
	EXPECT_EQ(cmd.result, 0, "error recovery of the PF");
}

static int deallocate(struct unvme *u, u64 lba, u32 blocks)
{
	struct nvme_sqe sqe = { .opcode = 0x09, .nsid = 1, .cdw11 = 4 };
	u8 *range = u->scratch;

	memset(range, 0, 16);
	put32(range + 4, blocks);
	put32(range + 8, lba);
	unvme_set_prp(u, &sqe, range, 16, NULL);
	return unvme_exec(u, 1, &sqe, NULL);
}

/* DULBE makes reads of deallocated blocks fail: those of whom set it, on each VF it moves to. */
static void test_error_recovery(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct lm_state before, after;
	const u32 blocks = 16384;

	if (!vf_open(&vf_a, PF_TP, 1) || !vf_open(&vf_b, PF_TP2, 2) || !vf_up(&vf_a, &o) ||
	    !vf_up(&vf_b, &o))
		return;
	if (!save(&vf_b, &before) || !vf_resume(&vf_b))
		return;
	EXPECT_EQ(error_recovery(&drv, 1, DULBE | 7), 0, "set by NSID");
	expect_recovery(&drv, DULBE | 7, "the VF that set it");
	expect_recovery(&vf_b.u, 0, "another VF");
	expect_pf_recovery(vf_a.pf);
	EXPECT_EQ(error_recovery(&vf_b.u, 0xffffffff, 9), 0, "set for all namespaces");
	expect_recovery(&drv, DULBE | 7, "the first VF");
	EXPECT_EQ(error_recovery(&vf_b.u, 1, 0), 0, "set to 0");

	EXPECT_EQ(deallocate(&drv, 65536, blocks), 0, "deallocate");
	EXPECT_EQ(unvme_rw(&drv, 1, false, 65536, 8), 0x287, "read by the VF with DULBE");
	EXPECT_EQ(unvme_rw(&vf_b.u, 1, false, 65536, 8), 0, "read by another VF");
	if (save(&vf_b, &after)) {
		EXPECT(!memcmp(namespace(&before), namespace(&after), 72),
		       "the state of the other VF has changed");
		lm_state_free(&after);
	}
	lm_state_free(&before);
	unvme_fini(&vf_b.u);

	if (!move(&vf_a, &vf_b))
		return;
	expect_recovery(&drv, DULBE | 7, "the VF it moved to");
	EXPECT_EQ(unvme_rw(&drv, 1, false, 65536, 8), 0x287, "read at the VF it moved to");
}

/* The next guest has the default. */
static void test_error_recovery_reset(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct vf *d = &vf_a;

	if (!vf_open(d, PF_TP, 1) || !vf_up(d, &o))
		return;
	EXPECT_EQ(error_recovery(&drv, 1, 5), 0, "set");
	unvme_fini(&drv);
	if (!vf_up(d, &o))
		return;
	expect_recovery(&drv, 0, "a controller that was reset");
	EXPECT_EQ(error_recovery(&drv, 1, 5), 0, "set");
	unvme_fini(&drv);
	EXPECT_EQ(vdev_reset(&d->dev), 0, "FLR");
	if (vf_up(d, &o))
		expect_recovery(&drv, 0, "a function that was reset");
}

static u32 write_cache(struct unvme *u)
{
	u32 val = ~0u;

	EXPECT_EQ(unvme_get_features(u, FEAT_WRITE_CACHE, 0, &val), 0, "write cache");
	return val & 1;
}

/* No guest turns on a write cache that was configured to be off, nor does its reset. */
static void test_cache_off(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct lm_state s;

	if (!vf_open(&vf_a, CACHE_OFF, 1) || !vf_open(&vf_b, CACHE_OFF, 2) ||
	    !vf_up(&vf_a, &o) || !vf_up(&vf_b, &o))
		return;
	EXPECT_EQ(write_cache(&drv), 0, "as configured");
	EXPECT_EQ(unvme_set_features(&drv, FEAT_WRITE_CACHE, 1, NULL), 0, "turn it on");
	EXPECT_EQ(write_cache(&drv), 0, "after it was turned on");
	EXPECT_EQ(write_cache(&vf_b.u), 0, "another VF");
	EXPECT_EQ(unvme_set_features(&drv, FEAT_WRITE_CACHE, 0, NULL), 0, "turn it off");
	if (!save(&vf_a, &s))
		return;
	unvme_fini(&vf_b.u);
	EXPECT_EQ(load_state(&vf_b, &s), LM_SC_OK, "load");
	EXPECT_EQ(vdev_reset(&vf_a.dev), 0, "reset of the source");
	EXPECT_EQ(vdev_reset(&vf_b.dev), 0, "reset of the loaded VF");
	lm_state_free(&s);
	drv.udrv.faults = 0;
	unvme_fini(&drv);
	if (vf_up(&vf_b, &o))
		EXPECT_EQ(write_cache(&vf_b.u), 0, "after the resets");
}

/* One VF without the cache; another sees its own choice, and that of the first ends with it. */
static void test_cache_choice(void)
{
	static const struct unvme_opts o = { .queues = 1 };

	if (!vf_open(&vf_a, PF_TP, 1) || !vf_open(&vf_b, PF_TP2, 2) || !vf_up(&vf_a, &o) ||
	    !vf_up(&vf_b, &o))
		return;
	EXPECT_EQ(write_cache(&drv), 1, "as configured");
	EXPECT_EQ(unvme_set_features(&drv, FEAT_WRITE_CACHE, 0, NULL), 0, "turn it off");
	EXPECT_EQ(write_cache(&drv), 0, "the VF that turned it off");
	EXPECT_EQ(write_cache(&vf_b.u), 1, "another VF");
	unvme_fini(&drv);
	if (!vf_up(&vf_a, &o))
		return;
	EXPECT_EQ(write_cache(&drv), 1, "after a reset");
	EXPECT_EQ(write_cache(&vf_b.u), 1, "another VF after the reset");
}

/* ---- values that a guest has read ---- */

static bool give(struct vf *d, u16 queues)
{
	return EXPECT_EQ(lm_virt_mgmt(d->pf, d->cntlid, 7, 0, 0), 0, "offline") &&
	       EXPECT_EQ(lm_virt_mgmt(d->pf, d->cntlid, 8, 0, queues), 0, "queues") &&
	       EXPECT_EQ(lm_virt_mgmt(d->pf, d->cntlid, 8, 1, 5), 0, "vectors") &&
	       EXPECT_EQ(lm_virt_mgmt(d->pf, d->cntlid, 9, 0, 0), 0, "online");
}

/* Open a VF with so many queue pairs. */
static bool open_with(struct vf *d, int pf, unsigned int vfn, u16 pairs)
{
	return vf_open(d, pf, vfn) && give(d, pairs + 1) &&
	       EXPECT_EQ(vdev_reset(&d->dev), 0, "reset of %s", d->bdf);
}

static u32 queues_told(struct unvme *u)
{
	u32 val = 0;

	EXPECT_EQ(unvme_get_features(u, FEAT_QUEUES, 0, &val), 0, "number of queues");
	EXPECT_EQ(val & 0xffff, val >> 16, "SQs and CQs");
	return (val & 0xffff) + 1;
}

/* Few queues, many, few again: the guest was granted few, and many by a reset. */
static void move_queues(int pf, int pf2)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true, .vectors = 5 };
	u32 val;

	if (!open_with(&vf_a, pf, 1, 2) || !open_with(&vf_b, pf2, 2, 4) || !vf_up(&vf_a, &o))
		return;
	EXPECT_EQ(queues_told(&drv), 2, "source");
	if (!move(&vf_a, &vf_b))
		return;
	EXPECT_EQ(queues_told(&drv), 2, "a destination with more");
	EXPECT(unvme_create_cq(&drv, 3, 8, UNVME_POLLED), "a queue that the guest was not granted");
	EXPECT_EQ(unvme_rw(&drv, 2, true, 0, 8), 0, "write");
	if (!move(&vf_b, &vf_a))
		return;
	EXPECT_EQ(unvme_rw(&drv, 2, false, 0, 8), 0, "read after the way back");
	EXPECT_EQ(queues_told(&drv), 2, "after the way back");

	if (!move(&vf_a, &vf_b))
		return;
	unvme_fini(&drv);
	if (!vf_up(&vf_b, &o))
		return;
	EXPECT_EQ(queues_told(&vf_b.u), 4, "after a reset");
	EXPECT_EQ(unvme_set_features(&vf_b.u, FEAT_QUEUES, 0, &val), LM_SC_SEQUENCE_ERROR,
		  "number of queues while there are some");
}

static void test_queues(void)
{
	move_queues(PF_TP, PF_TP2);
	vf_close(&vf_b);
	vf_close(&vf_a);
	if (vf_open(&vf_a, PF_TP, 1))
		give(&vf_a, 5);
}

static void test_queues_vendor(void)
{
	move_queues(PF_VS, PF_VS2);
	vf_close(&vf_b);
	vf_close(&vf_a);
	if (vf_open(&vf_a, PF_VS, 1))
		give(&vf_a, 5);
}

/* Many to few: refused if the guest was granted many or has many, else not. */
static void check_fewer_queues(struct vf *from, struct vf *to)
{
	static const struct unvme_opts o = { .irq = true, .vectors = 5 };
	struct lm_state s;

	if (!vf_up(from, &o))
		return;
	EXPECT_EQ(unvme_create_cq(&from->u, 2, 8, UNVME_POLLED), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(&from->u, 2, 8, 2), 0, "SQ");
	if (save(from, &s)) {
		EXPECT_EQ(load_state(to, &s), LM_SC_OK, "a guest that did not ask");
		lm_state_free(&s);
	}
	vf_resume(from);
	EXPECT_EQ(queues_told(&from->u), 4, "source");
	if (save(from, &s)) {
		EXPECT_EQ(load_state(to, &s), LM_SC_NOT_ENOUGH, "a guest that was granted more");
		lm_state_free(&s);
	}
	vf_resume(from);
	unvme_disable(&from->u);
	if (save(from, &s)) {
		EXPECT_EQ(load_state(to, &s), LM_SC_OK, "a controller that is off");
		lm_state_free(&s);
	}
	unvme_fini(&from->u);
	EXPECT_EQ(vdev_reset(&from->dev), 0, "reset");
	if (!vf_up(from, &o))
		return;
	EXPECT_EQ(unvme_create_cq(&from->u, 3, 8, UNVME_POLLED), 0, "CQ");
	if (!save(from, &s))
		return;
	EXPECT_EQ(load_state(to, &s), LM_SC_NOT_ENOUGH, "a queue that is not there");
	lm_state_free(&s);
}

static void test_fewer_queues(void)
{
	if (open_with(&vf_a, PF_TP, 1, 4) && open_with(&vf_b, PF_TP2, 2, 2))
		check_fewer_queues(&vf_a, &vf_b);
	if (vf_b.open)
		give(&vf_b, 5);
}

static u16 shown_cntlid(struct unvme *u)
{
	EXPECT_EQ(unvme_identify(u, 1, 0, 0), 0, "Identify Controller");
	return get16(u->scratch + ID_CNTLID);
}

/*
 * A guest sees the controller id that it saw first, also after it reset its controller: another
 * VF of the same guest may have the id of the one it came from. A function reset ends that, and
 * commands of the PF go by the controller's own id throughout.
 */
static void check_cntlid(struct vf *first, struct vf *second, struct vf *third)
{
	static const struct unvme_opts o = { .queues = 1 };
	u16 id = first->cntlid;

	EXPECT_EQ(shown_cntlid(&drv), id, "source");
	if (!move(first, second))
		return;
	EXPECT_EQ(shown_cntlid(&drv), id, "after a move");
	unvme_fini(&drv);
	if (!EXPECT_EQ(unvme_init(&drv, &second->dev, &arena, &o), 0, "enable again"))
		return;
	EXPECT_EQ(get16(drv.id_ctrl + ID_CNTLID), id, "after a reset of the controller");
	EXPECT_ST(first->pf, lm_resume_cmd(second->cntlid), LM_SC_NOT_SUSPENDED,
		  "a command for the controller by its own id");
	if (!move(second, third))
		return;
	EXPECT_EQ(shown_cntlid(&drv), id, "after two moves");
	unvme_fini(&drv);
	EXPECT_EQ(vdev_reset(&third->dev), 0, "FLR");
	EXPECT_EQ(vdev_reset(&second->dev), 0, "FLR");
	if (!EXPECT_EQ(unvme_init(&drv, &third->dev, &arena, &o), 0, "enable"))
		return;
	EXPECT_EQ(get16(drv.id_ctrl + ID_CNTLID), third->cntlid, "after a function reset");
	unvme_fini(&drv);
	if (EXPECT_EQ(unvme_init(&drv, &second->dev, &arena, &o), 0, "enable"))
		EXPECT_EQ(get16(drv.id_ctrl + ID_CNTLID), second->cntlid, "of the one between");
}

static void test_cntlid(void)
{
	static const struct unvme_opts o = { .queues = 1 };

	if (vf_open(&vf_a, PF_TP, 1) && vf_open(&vf_b, PF_TP, 2) &&
	    vf_open(&vf_c, PF_TP2, 3) && vf_up(&vf_a, &o))
		check_cntlid(&vf_a, &vf_b, &vf_c);
	vf_close(&vf_c);
}

/* Offline is the end of it, too. */
static void test_cntlid_offline(void)
{
	static const struct unvme_opts o = { .queues = 1 };

	if (!vf_open(&vf_a, PF_TP, 1) || !vf_open(&vf_b, PF_TP, 2) || !vf_up(&vf_a, &o) ||
	    !move(&vf_a, &vf_b))
		return;
	unvme_fini(&drv);
	give(&vf_b, 5);
	if (vf_up(&vf_b, &o))
		EXPECT_EQ(get16(vf_b.u.id_ctrl + ID_CNTLID), vf_b.cntlid, "after offline");
}

static u64 timestamp(struct unvme *u)
{
	u64 stamp = ~0ull;

	EXPECT_EQ(unvme_get_features(u, FEAT_TIMESTAMP, 0, NULL), 0, "timestamp");
	memcpy(&stamp, u->scratch, sizeof(stamp));
	return stamp;
}

static void set_timestamp(struct unvme *u)
{
	u64 stamp = 0x123456000000ull;

	memcpy(u->scratch, &stamp, sizeof(stamp));
	EXPECT_EQ(unvme_set_features(u, FEAT_TIMESTAMP, 0, NULL), 0, "set the timestamp");
}

/* The time of the move is not in the timestamp, and Synch says so until it is set again. */
static void test_timestamp(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	bool vs = tap_arg() == PF_VS;

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_open(&vf_b, vs ? PF_VS2 : PF_TP2, 2) ||
	    !vf_up(&vf_a, &o))
		return;
	set_timestamp(&drv);
	EXPECT_EQ(timestamp(&drv) & SYNCH, 0, "Synch after the timestamp was set");
	if (!vf_suspend(&vf_a) || !vf_resume(&vf_a))
		return;
	EXPECT_EQ(timestamp(&drv) & SYNCH, 0, "Synch after a suspend");
	if (!move(&vf_a, &vf_b))
		return;
	EXPECT(timestamp(&drv) & SYNCH, "Synch is clear after a move");
	set_timestamp(&drv);
	EXPECT_EQ(timestamp(&drv) & SYNCH, 0, "Synch after the timestamp was set again");
	if (!move(&vf_b, &vf_a))
		return;
	EXPECT(timestamp(&drv) & SYNCH, "Synch is clear after the way back");
	unvme_fini(&drv);
	if (vf_up(&vf_a, &o))
		EXPECT_EQ(timestamp(&drv) & SYNCH, 0, "Synch after a reset");
}

/* ---- saved, loaded, saved again ---- */

static void ignore_event(struct unvme *u, struct unvme_cmd *c)
{
}

/* A guest with something in each part of its state. */
static bool busy_guest(struct vf *d, const struct unvme_opts *o)
{
	struct unvme *u = &d->u;
	unsigned int i, n;

	if (!vf_up(d, o))
		return false;
	EXPECT_EQ(error_recovery(u, 1, DULBE | 3), 0, "error recovery");
	EXPECT_EQ(unvme_set_features(u, FEAT_WRITE_CACHE, 0, NULL), 0, "write cache");
	EXPECT_EQ(unvme_set_features(u, FEAT_EVENTS, 0x11f, NULL), 0, "event configuration");
	set_timestamp(u);
	queues_told(u);
	for (i = 0; i < 3; i++)
		unvme_aer(u, ignore_event, NULL);
	EXPECT_EQ(unvme_create_cq(u, 1, 4, UNVME_POLLED), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(u, 1, 16, 1), 0, "SQ");
	for (i = 0; i < 8; i++)
		unvme_queue_cmd(u, 1, &flush, count_done, &n);
	unvme_ring(u, 1);
	while (cq_entries(u, 1) < 3)
		;
	return true;
}

static void test_same_bytes(void)
{
	static const struct unvme_opts o = { .irq = true, .vectors = 2 };
	bool vs = tap_arg() == PF_VS;
	struct lm_state s, again;

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_open(&vf_b, vs ? PF_VS2 : PF_TP2, 2) ||
	    !busy_guest(&vf_a, &o) || !save(&vf_a, &s))
		return;
	if (EXPECT_EQ(load_state(&vf_b, &s), LM_SC_OK, "load") &&
	    EXPECT_EQ(lmt_save(&vf_b.t, &again), LM_SC_OK, "save again")) {
		EXPECT(same_state(&s, &again), "a loaded state is another one when it is saved");
		lm_state_free(&again);
	}
	lm_state_free(&s);
	EXPECT_EQ(vdev_reset(&vf_a.dev), 0, "reset");
	drv.udrv.faults = 0;
	unvme_fini(&drv);
}

/* ---- images ---- */

/* A Get with other formats, or of a header, between the pieces of a save changes nothing. */
static void test_other_get_between(void)
{
	static const struct { bool v0, vs; const char *what; } others[] = {
		{ true, false, "NVMe state" }, { false, true, "vendor state" },
		{ false, false, "header" },
	};
	static u8 buf[65536] __aligned(4096);
	struct vf *d = &vf_a;
	struct lm_state s, rest;
	struct lm_view v;
	unsigned int i, n = 0;
	size_t size;

	if (!vf_start(d, PF_TP, 1, 2) || !vf_suspend(d) || !vf_get(d, &s, &v))
		return;
	size = s.size - LM_HEADER;
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		unvme_submit(&d->u, 1, &flush, count_done, &n);
		EXPECT_ST(d->pf, lm_get_cmd(d->cntlid, others[i].v0 ? d->pf->csvi : 0,
					    others[i].vs ? d->pf->csuuidi : 0, 0, buf, 4096),
			  LM_SC_OK, "%s", others[i].what);
		memset(buf, 0xaa, sizeof(buf));
		EXPECT_ST(d->pf, lm_get_cmd(d->cntlid, d->pf->csvi, d->pf->csuuidi, LM_HEADER, buf,
					    size), LM_SC_OK, "rest after the %s", others[i].what);
		rest = (struct lm_state){ buf, size };
		EXPECT(same_state(&rest, &(struct lm_state){ s.data + LM_HEADER, size }),
		       "the rest is that of another state after a Get of the %s", others[i].what);
	}
	lm_state_free(&s);
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
}

static bool fill_cq(struct vf *d, unsigned int *n)
{
	struct unvme *u = &d->u;
	unsigned int i;

	EXPECT_EQ(unvme_create_cq(u, 1, 4, UNVME_POLLED), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(u, 1, 16, 1), 0, "SQ");
	for (i = 0; i < 10; i++)
		unvme_queue_cmd(u, 1, &flush, count_done, n);
	unvme_ring(u, 1);
	while (cq_entries(u, 1) < 3)
		;
	return !tap_failed();
}

/* A state that was read before the Suspend ended is not continued afterwards. */
static void test_image_of_drain(void)
{
	static u8 buf[4096] __aligned(4096);
	struct vf *d = &vf_a;
	unsigned int n = 0;
	struct lm_async a;
	struct lm_state s;
	struct lm_view v;
	struct lm_cmd cmd;

	if (!vf_start(d, 3, 1, 0) || !fill_cq(d, &n))
		return;
	EXPECT_EQ(lm_async_start(&a, d->pf, lm_suspend_cmd(d->cntlid, LM_SUSPEND, false)), 0,
		  "Suspend");
	cmd = lm_get_cmd(d->cntlid, d->pf->csvi, d->pf->csuuidi, 0, buf, LM_HEADER);
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "Get while it waits");
	EXPECT_EQ(cmd.result & 1, 0, "CSUP while it waits");
	while (lm_async_pending(&a))
		unvme_wait(&d->u, 10);
	EXPECT_EQ(lm_async_wait(&a, UNVME_TIMEOUT_MS), 0, "Suspend");

	cmd = lm_get_cmd(d->cntlid, d->pf->csvi, d->pf->csuuidi, LM_HEADER, buf, sizeof(buf));
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "Get of the rest");
	EXPECT_EQ(cmd.result & 1, 1, "CSUP");
	if (vf_get(d, &s, &v)) {
		EXPECT(s.size > LM_HEADER + sizeof(buf), "%zu bytes", s.size);
		EXPECT(same_state(&(struct lm_state){ buf, sizeof(buf) },
				  &(struct lm_state){ s.data + LM_HEADER, sizeof(buf) }),
		       "the rest is from before the Suspend ended");
		lm_state_free(&s);
	}
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 10, "commands");
}

/* Completions that are held back are no reason to refuse the state of the queues. */
static void test_get_full_cq(void)
{
	struct vf *d = &vf_a;
	struct lm_state s;
	struct lm_view v;
	unsigned int n = 0;

	if (!vf_start(d, PF_TP, 1, 0) || !fill_cq(d, &n) || !vf_suspend(d))
		return;
	if (EXPECT_EQ(lm_get(d->pf, d->cntlid, d->pf->csvi, 0, 0, &s), LM_SC_OK,
		      "NVMe state only")) {
		EXPECT(!lm_parse(s.data, s.size, &v), "parse");
		check_view(&d->u, &v, HELD_UNKNOWN);
		lm_state_free(&s);
	}
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 10, "commands");
}

/* ---- Do Not Retry ---- */

static void expect_dnr(struct lm_pf *pf, struct lm_cmd cmd, int st, bool dnr, const char *what)
{
	EXPECT_EQ(lm_exec(pf, &cmd), st, "%s", what);
	EXPECT_EQ(cmd.dnr, dnr, "%s: DNR", what);
}

/* What may succeed later has DNR clear. */
static void test_dnr(void)
{
	static u8 buf[4096] __aligned(4096);
	struct vf *d = &vf_a;
	struct lm_pf *pf;
	u16 id;

	if (!vf_start(d, PF_TP, 1, 1))
		return;
	pf = d->pf;
	id = d->cntlid;
	memset(buf, 0, sizeof(buf));
	expect_dnr(pf, lm_resume_cmd(id), LM_SC_NOT_SUSPENDED, false, "not suspended");
	expect_dnr(pf, lm_set_cmd(id, LM_SEQ_MIDDLE, pf->csvi, 0, 0, buf, 48),
		   LM_SC_SEQUENCE_ERROR, false, "no sequence");
	vf_suspend(d);
	expect_dnr(pf, lm_track_cmd(id, true, buf, 20), LM_SC_SUSPENDED, false, "suspended");
	expect_dnr(pf, lm_get_cmd(id, pf->csvi, 0, 2, buf, 48), LM_SC_INVALID_FIELD, true,
		   "offset not aligned");
	expect_dnr(pf, lm_suspend_cmd(0xfffd, LM_SUSPEND, false), LM_SC_INVALID_CTRL, true,
		   "no such controller");
}

static void check_dnr_resources(struct vf *from, struct vf *to)
{
	struct lm_state s;

	if (save(from, &s) && vf_suspend(to)) {
		expect_dnr(to->pf, lm_set_cmd(to->cntlid, LM_SEQ_ONLY, to->pf->csvi,
					      to->pf->csuuidi, 0, s.data, s.size),
			   LM_SC_NOT_ENOUGH, false, "too few queues");
		lm_state_free(&s);
	}
}

static void test_dnr_resources(void)
{
	static const struct unvme_opts o = { .queues = 4, .irq = true };

	if (open_with(&vf_a, PF_TP, 1, 4) && open_with(&vf_b, PF_TP2, 2, 2) &&
	    vf_up(&vf_a, &o))
		check_dnr_resources(&vf_a, &vf_b);
	if (vf_b.open)
		give(&vf_b, 5);
}

/* ---- bytes that are not right ---- */

/* What a byte of the state of vf_a is changed to is refused by vf_b. */
static void expect_bad(const struct lm_state *s, u8 *at, u8 val, int want, const char *what,
		       size_t n)
{
	u8 old = *at;
	int st;

	*at = val;
	st = lmt_load(&vf_b.t, s);
	EXPECT_EQ(st, want, "%s %zu", what, n);
	*at = old;
}

/* Of a controller that is off nothing of its admin queues may be in the state. */
static void test_admin_of_disabled(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct lm_state s;
	size_t i;

	if (!vf_open(&vf_a, PF_TP, 1) || !vf_open(&vf_b, PF_TP2, 2) || !vf_up(&vf_a, &o))
		return;
	unvme_disable(&drv);
	if (!save(&vf_a, &s) || !vf_suspend(&vf_b))
		return;
	for (i = VS_ADMIN; i < VS_ADMIN_END; i++) {
		EXPECT_EQ(vendor(&s)[i], 0, "byte %zu of a controller that is off", i);
		expect_bad(&s, vendor(&s) + i, 1, LM_SC_INVALID_FIELD, "byte", i);
	}
	expect_bad(&s, vendor(&s) + VS_PAGE_SHIFT, 64, LM_SC_INVALID_FIELD, "2^64, byte",
		   VS_PAGE_SHIFT);
	EXPECT_EQ(lmt_load(&vf_b.t, &s), LM_SC_OK, "as it was");
	lm_state_free(&s);
}

/* In Identify Controller only fields that a guest cannot notice may differ. */
static void check_identify(const struct lm_state *s)
{
	static const struct { u16 at, len; } ignored[] = {
		{ ID_FR, 8 }, { 72, 1 }, { 84, 8 }, { 266, 6 }, { 280, 32 },
	};
	static const u16 equal[] = {
		0, 2, 4, 24, 73, 76, 80, 96, 256, 260, 261, ID_ONCS, 525, 768, 3072,
	};
	static const u16 at_least[] = { ID_MDTS, 258, ID_AERL, 262, 516, 526, 528 };
	u8 *id = vendor(s) + VS_IDENTIFY;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(ignored); i++)
		for (j = ignored[i].at; j < ignored[i].at + ignored[i].len; j++)
			expect_bad(s, id + j, id[j] ^ 1, LM_SC_OK, "not compared: byte", j);
	for (i = 0; i < ARRAY_SIZE(equal); i++) {
		expect_bad(s, id + equal[i], id[equal[i]] ^ 1, LM_SC_INVALID_FIELD, "byte",
			   equal[i]);
		expect_bad(s, id + equal[i], id[equal[i]] ^ 0x80, LM_SC_INVALID_FIELD, "byte",
			   equal[i]);
	}
	for (i = 0; i < ARRAY_SIZE(at_least); i++) {
		if (id[at_least[i]] != 0xff)
			expect_bad(s, id + at_least[i], id[at_least[i]] + 1, LM_SC_INVALID_FIELD,
				   "more than here, byte", at_least[i]);
		if (id[at_least[i]] > 1)
			expect_bad(s, id + at_least[i], id[at_least[i]] - 1, LM_SC_OK,
				   "less than here, byte", at_least[i]);
	}
	expect_bad(s, id + ID_MDTS, 0, LM_SC_INVALID_FIELD, "no limit, byte", ID_MDTS);
	id[ID_CNTLID] = 0xf0;
	expect_bad(s, id + ID_CNTLID + 1, 0xff, LM_SC_INVALID_FIELD, "reserved CNTLID", 0);
}

static void test_identify(void)
{
	static const struct unvme_opts o;
	struct lm_state s;

	if (!vf_open(&vf_a, PF_TP, 1) || !vf_open(&vf_b, PF_TP2, 2) || !vf_up(&vf_a, &o) ||
	    !save(&vf_a, &s) || !vf_suspend(&vf_b))
		return;
	check_identify(&s);
	expect_bad(&s, vendor(&s) + VS_LOGS, 1, LM_SC_INVALID_FIELD, "log page C0h", 0);
	expect_bad(&s, namespace(&s) + NS_ATTR, namespace(&s)[NS_ATTR] ^ 1, LM_SC_INVALID_FIELD,
		   "write cache configured otherwise", 0);
	expect_bad(&s, namespace(&s) + NS_ATTR, 2, LM_SC_INVALID_FIELD, "reserved attribute", 0);
	expect_bad(&s, namespace(&s) + NS_IND_CRC, namespace(&s)[NS_IND_CRC] ^ 1,
		   LM_SC_INVALID_FIELD, "Identify CNS 08h", 0);
	lm_state_free(&s);
}

/* ---- revisions of the state ---- */

/* The state as revision 1 has it. */
static void reduce(struct lm_state *s, u16 pairs)
{
	u8 *v = vendor(s), *ns = namespace(s);
	unsigned int i;

	put16(v + VS_REVISION, 1);
	put16(v + VS_PAIRS, pairs);
	v[VS_LOGS] = 0;
	put16(v + VS_IDENTIFY + ID_CNTLID, 0);
	for (i = 0; i < get16(v + VS_NR_NS); i++, ns += 72) {
		ns[NS_ATTR] = 0;
		put32(ns + NS_IND_CRC, 0);
	}
}

/* Fields that a later firmware appended to the fixed part. */
static void append_fields(struct lm_state *s, u16 len)
{
	u8 *v = vendor(s), *end = v + VS_FIXED;
	u64 vss;

	memmove(end + len, end, s->data + s->size - end);
	memset(end, 0x5a, len);
	s->size += len;
	memcpy(&vss, s->data + 32, sizeof(vss));
	put16(v + VS_FIXED_LEN, VS_FIXED + len);
	put32(v + VS_LEN, 4 * vss + len);
	vss += len / 4;
	memcpy(s->data + 32, &vss, sizeof(vss));
}

static void check_revisions(const struct lm_state *s)
{
	struct lm_state t;

	copy(&t, s);
	reduce(&t, 4);
	EXPECT_EQ(load_state(&vf_b, &t), LM_SC_OK, "revision 1");
	expect_bad(&t, vendor(&t) + VS_LOGS, 1, LM_SC_INVALID_FIELD, "log pages in revision", 1);
	expect_bad(&t, vendor(&t) + VS_IDENTIFY + ID_CNTLID, 1, LM_SC_INVALID_FIELD,
		   "CNTLID in revision", 1);
	expect_bad(&t, namespace(&t) + NS_ATTR, 1, LM_SC_INVALID_FIELD,
		   "write cache in revision", 1);
	expect_bad(&t, namespace(&t) + NS_IND_CRC, 1, LM_SC_INVALID_FIELD,
		   "CNS 08h in revision", 1);
	append_fields(&t, 16);
	EXPECT_EQ(load_state(&vf_b, &t), LM_SC_INVALID_FIELD, "longer revision 1");
	lm_state_free(&t);

	copy(&t, s);
	append_fields(&t, 64);
	EXPECT_EQ(load_state(&vf_b, &t), LM_SC_OK, "appended fields");
	expect_bad(&t, vendor(&t) + VS_FIXED_LEN, vendor(&t)[VS_FIXED_LEN] + 2,
		   LM_SC_INVALID_FIELD, "odd length", 0);
	expect_bad(&t, vendor(&t) + VS_FIXED_LEN, vendor(&t)[VS_FIXED_LEN] - 4,
		   LM_SC_INVALID_FIELD, "another length", 0);
	expect_bad(&t, vendor(&t) + VS_REVISION, 3, LM_SC_INVALID_FIELD, "revision", 3);
	expect_bad(&t, vendor(&t) + VS_REVISION, 0, LM_SC_INVALID_FIELD, "revision", 0);
	expect_bad(&t, vendor(&t) + 17, 1, LM_SC_INVALID_FIELD, "a flag that is not known", 0);
	lm_state_free(&t);
}

static void test_revisions(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct lm_state s;

	if (!vf_open(&vf_a, PF_TP, 1) || !vf_open(&vf_b, PF_TP2, 2) || !vf_up(&vf_a, &o) ||
	    !save(&vf_a, &s))
		return;
	check_revisions(&s);
	EXPECT_EQ(load_state(&vf_b, &s), LM_SC_OK, "as it was");
	unvme_move(&drv, &vf_b.dev);
	if (vf_resume(&vf_b))
		EXPECT_EQ(unvme_rw(&drv, 1, true, 0, 8), 0, "write");
	lm_state_free(&s);
}

/* ---- firmware of several revisions ---- */

static bool shows(struct unvme *u, u16 at, u8 want, const char *what)
{
	EXPECT_EQ(unvme_identify(u, 1, 0, 0), 0, "Identify Controller");
	return EXPECT_EQ(u->scratch[at], want, "%s", what);
}

/* A guest that works goes to newer firmware and back, and back to the first revision. */
static void check_firmware(struct vf *old, struct vf *new, struct vf *first)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };

	EXPECT(memcmp(old->pf->id + ID_FR, new->pf->id + ID_FR, 8), "FR of the PFs is equal");
	EXPECT(!memcmp(drv.id_ctrl + ID_FR, old->pf->id + ID_FR, 8), "FR of the VF");
	if (!move(old, new))
		return;
	EXPECT_EQ(unvme_rw(&drv, 1, true, 0, 8), 0, "write at the newer one");
	shows(&drv, ID_MDTS, 5, "MDTS at the newer one");
	shows(&drv, ID_AERL, 2, "AERL at the newer one");
	shows(&drv, ID_FR, new->pf->id[ID_FR], "FR at the newer one");
	EXPECT(unvme_get_log(&drv, 0xc0, 0, 512), "log page C0h that the guest did not have");
	if (!move(new, old) || !move(old, first) || !move(first, new))
		return;
	EXPECT_EQ(unvme_rw(&drv, 2, true, 0, 8), 0, "write after four moves");
	shows(&drv, ID_MDTS, 5, "MDTS after four moves");

	unvme_fini(&drv);
	if (!EXPECT_EQ(unvme_init(&drv, &new->dev, &arena, &o), 0, "enable again"))
		return;
	shows(&drv, ID_MDTS, 6, "MDTS after a reset");
	shows(&drv, ID_AERL, 4, "AERL after a reset");
	EXPECT_EQ(unvme_get_log(&drv, 0xc0, 0, 512), 0, "log page C0h after a reset");
}

/* A guest that has read the newer one's limits stays there. */
static void check_newer_limits(struct vf *new, struct vf *old)
{
	static const struct unvme_opts o = { .queues = 2 };
	struct lm_state s;

	EXPECT_EQ(vdev_reset(&new->dev), 0, "reset");
	drv.udrv.faults = 0;
	unvme_fini(&drv);
	if (!EXPECT_EQ(unvme_init(&drv, &new->dev, &arena, &o), 0, "enable") || !save(new, &s))
		return;
	EXPECT_EQ(load_state(old, &s), LM_SC_INVALID_FIELD, "a guest that knows a larger MDTS");
	lm_state_free(&s);
	unvme_disable(&drv);
	EXPECT_EQ(vdev_reset(&new->dev), 0, "reset");
}

static void test_firmware(void)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };

	if (vf_open(&vf_a, FW_OLD, 1) && vf_open(&vf_b, FW_NEW, 2) &&
	    vf_open(&vf_c, FW_FIRST, 1) && vf_up(&vf_a, &o)) {
		check_firmware(&vf_a, &vf_b, &vf_c);
		check_newer_limits(&vf_b, &vf_a);
	}
	vf_close(&vf_c);
}

/* Firmware that writes revision 1 says so, and has no more in it than that. */
static void test_first_revision(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct lm_state s, t;

	if (!vf_open(&vf_a, FW_FIRST, 1) || !vf_open(&vf_b, FW_OLD, 2) ||
	    !vf_up(&vf_a, &o) || !save(&vf_a, &s))
		return;
	EXPECT_EQ(get16(vendor(&s) + VS_REVISION), 1, "revision");
	EXPECT_EQ(get16(vendor(&s) + VS_PAIRS), 4, "pairs");
	copy(&t, &s);
	reduce(&t, 4);
	EXPECT(same_state(&s, &t), "more than revision 1 has");
	lm_state_free(&t);
	lm_state_free(&s);
}

/* Log page C0h: a guest that has it does not go to a device without it. */
static void test_log_page(void)
{
	static const struct unvme_opts o = { .queues = 1 };
	struct lm_state s;
	u8 *id;

	if (!vf_open(&vf_a, FW_OLD, 1) || !vf_open(&vf_b, FW_NEW, 2) || !vf_up(&vf_b, &o) ||
	    !save(&vf_b, &s))
		return;
	id = vendor(&s) + VS_IDENTIFY;
	id[ID_MDTS] = 5;
	id[ID_AERL] = 2;
	EXPECT_EQ(load_state(&vf_a, &s), LM_SC_INVALID_FIELD, "a guest that has it");
	vendor(&s)[VS_LOGS] = 0;
	EXPECT_EQ(load_state(&vf_a, &s), LM_SC_OK, "a guest that has it not");
	lm_state_free(&s);
	vf_resume(&vf_b);
}

/* ---- SAVE_DATA ---- */

static u32 query(struct vf *d)
{
	struct lm_cmd cmd = lm_vs_cmd(LM_OP_VS_QUERY, d->t.vfn, NULL, 0);

	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "QUERY_DATA_SIZE");
	return cmd.result;
}

static u8 save_buf[65536] __aligned(4096);

/* With a buffer of @len bytes: PRPs depend on that. */
static struct lm_cmd save_cmd(struct vf *d, u32 len)
{
	memset(save_buf, 0xaa, sizeof(save_buf));
	return lm_vs_cmd(LM_OP_VS_SAVE, d->t.vfn, save_buf, len);
}

/* No more is saved than was reported to the host, and a refusal can be mended by asking again. */
static void test_save_larger(void)
{
	struct vf *d = &vf_a;
	struct lm_cmd cmd;
	u32 reported, now;

	if (!vf_start(d, PF_VS, 1, 0))
		return;
	vf_suspend(d);
	cmd = save_cmd(d, 8192);
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_NOT_ENOUGH, "a host that did not ask");
	vf_resume(d);
	reported = query(d);
	EXPECT_EQ(unvme_create_cq(&d->u, 1, 8, UNVME_POLLED), 0, "CQ");
	EXPECT_EQ(unvme_create_sq(&d->u, 1, 8, 1), 0, "SQ");
	vf_suspend(d);
	cmd = save_cmd(d, reported);
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_NOT_ENOUGH, "more than was reported");
	EXPECT_EQ(cmd.dnr, false, "DNR");
	EXPECT(save_buf[0] == 0xaa && save_buf[reported] == 0xaa, "data came all the same");
	now = query(d);
	EXPECT(now > reported, "%u bytes, and %u with more queues", reported, now);
	cmd = save_cmd(d, now);
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "after the host has asked again");
	EXPECT(save_buf[0] == 0 && save_buf[now] == 0xaa, "another size than was reported");
	vf_resume(d);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write");
}

/* SAVE_DATA suspends a VF that runs; one that saves nothing leaves it running. */
static void test_save_running(void)
{
	struct vf *d = &vf_a;
	struct lm_state s, again;
	struct lm_cmd cmd;
	u32 reported;

	if (!vf_start(d, PF_VS, 1, 1))
		return;
	reported = query(d);
	EXPECT_EQ(unvme_create_cq(&d->u, 2, 8, UNVME_POLLED), 0, "CQ");
	cmd = save_cmd(d, reported);
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_NOT_ENOUGH, "more than was reported");
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write after a save that failed");
	reported = query(d);
	cmd = save_cmd(d, reported);
	EXPECT_EQ(lm_exec(d->pf, &cmd), LM_SC_OK, "SAVE_DATA of a VF that runs");
	EXPECT_EQ(save_buf[reported], 0xaa, "a byte behind the size");
	EXPECT_EQ(save_buf[2], LM_CSATTR_SUSPENDED, "CSATTR");
	s = (struct lm_state){ save_buf, reported };
	if (EXPECT_EQ(lmt_save(&d->t, &again), LM_SC_OK, "SAVE_DATA again")) {
		EXPECT(same_state(&s, &again), "the VF was not suspended");
		lm_state_free(&again);
	}
	vf_resume(d);
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write");
}

/* SAVE_DATA waits for the drain, saves, and disables; loaded again the guest goes on. */
static void test_save_waits(void)
{
	struct vf *d = &vf_a;
	struct lm_async a, b;
	unsigned int n = 0;
	struct lm_state s;
	u32 reported;
	int st;

	if (!vf_start(d, SAVE_WAITS, 1, 0) || !fill_cq(d, &n))
		return;
	reported = query(d);
	EXPECT_EQ(lm_async_start(&a, d->pf, save_cmd(d, reported)), 0, "SAVE_DATA");
	EXPECT_EQ(lm_async_start(&b, d->pf, lm_vs_cmd(LM_OP_VS_SUSPEND, 1, NULL, 0)), 0,
		  "SUSPEND");
	EXPECT(lm_async_pending(&a), "SAVE_DATA did not wait: %#x", lm_async_wait(&a, 0));
	while (lm_async_pending(&a))
		unvme_wait(&d->u, 10);
	EXPECT_EQ(lm_async_wait(&a, UNVME_TIMEOUT_MS), LM_SC_OK, "SAVE_DATA");
	st = lm_async_wait(&b, UNVME_TIMEOUT_MS);
	EXPECT(st >= 0, "SUSPEND at the same time: %d", st);
	EXPECT_EQ(vdev_read32(&d->dev, NVME_REG_CC) & NVME_CC_EN, 0, "CC.EN");
	s = (struct lm_state){ save_buf, reported };
	save_buf[reported - 1] = 1;
	EXPECT_EQ(lmt_load(&d->t, &s), LM_SC_INVALID_FIELD, "load with something behind it");
	save_buf[reported - 1] = 0;
	EXPECT_EQ(lmt_load(&d->t, &s), LM_SC_OK, "load");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 10, "commands");
	EXPECT_EQ(unvme_rw(&d->u, 1, true, 0, 8), 0, "write");
	unvme_check_idle(&d->u, 0);
}

/* SUSPEND and SAVE_DATA wait for one drain. What SUSPEND promised holds if nothing is saved. */
static void test_save_refused(void)
{
	struct vf *d = &vf_a;
	struct lm_async a, b;
	unsigned int n = 0;
	u32 reported;

	if (!vf_start(d, SAVE_WAITS, 1, 0))
		return;
	reported = query(d);
	if (!fill_cq(d, &n))
		return;
	EXPECT_EQ(lm_async_start(&a, d->pf, lm_vs_cmd(LM_OP_VS_SUSPEND, 1, NULL, 0)), 0,
		  "SUSPEND");
	EXPECT_EQ(lm_async_start(&b, d->pf, save_cmd(d, reported)), 0, "SAVE_DATA");
	EXPECT(lm_async_pending(&a) && lm_async_pending(&b), "one of them did not wait");
	while (lm_async_pending(&b))
		unvme_wait(&d->u, 10);
	EXPECT_EQ(lm_async_wait(&a, UNVME_TIMEOUT_MS), LM_SC_OK, "SUSPEND");
	EXPECT_EQ(lm_async_wait(&b, UNVME_TIMEOUT_MS), LM_SC_NOT_ENOUGH, "SAVE_DATA");
	vf_resume(d);
	EXPECT_EQ(unvme_drain(&d->u, 1, 0), 0, "drain");
	EXPECT_EQ(n, 10, "commands");
	EXPECT(lmt_resume(&d->t) > 0, "resumed twice");
}

/* A reset ends a SAVE_DATA that waits, without data. */
static void test_save_reset(void)
{
	struct vf *d = &vf_a;
	unsigned int n = 0;
	struct lm_async a;
	int st;

	if (!vf_start(d, SAVE_WAITS, 1, 0) || !fill_cq(d, &n))
		return;
	EXPECT_EQ(lm_async_start(&a, d->pf, save_cmd(d, query(d))), 0, "SAVE_DATA");
	EXPECT_EQ(vdev_reset(&d->dev), 0, "reset");
	st = lm_async_wait(&a, UNVME_TIMEOUT_MS);
	if (!EXPECT(st > 0, "SAVE_DATA: %d", st))
		exit(2);
	EXPECT_EQ(save_buf[0], 0xaa, "data came all the same");
	d->u.udrv.faults = 0;
}

static const struct tap_test state_tests[] = {
	{ "move: error recovery is each VF's own", test_error_recovery },
	{ "reset: error recovery", test_error_recovery_reset },
	{ "reset: write cache", test_cache_choice },
	{ "move: number of queues that the guest was granted", test_queues },
	{ "move: number of queues that the guest was granted, vendor set", test_queues_vendor },
	{ "move: fewer queues than the source has", test_fewer_queues },
	{ "move: controller id that the guest has read", test_cntlid },
	{ "reset: controller id of an offline VF", test_cntlid_offline },
	{ "move: timestamp without the time of the move", test_timestamp, PF_TP },
	{ "move: timestamp without the time of the move, vendor set", test_timestamp, PF_VS },
	{ "move: the same bytes when they are saved again", test_same_bytes, PF_TP },
	{ "move: the same bytes when they are saved again, vendor set", test_same_bytes, PF_VS },
	{ "rules: Get with other indexes between the pieces", test_other_get_between },
	{ "rules: Get of queues, one of them full", test_get_full_cq },
	{ "rules: DNR only where it does not help to try again", test_dnr },
	{ "rules: DNR, resources", test_dnr_resources },
	{ "rules: admin queues of a controller that is off", test_admin_of_disabled },
	{ "rules: fields that are compared", test_identify },
	{ "rules: revisions of the state", test_revisions },
	{ "rules: vendor SAVE of more than was reported", test_save_larger },
	{ "rules: vendor SAVE of a VF that runs", test_save_running },
};

static const struct tap_test state_variant_tests[] = {
	{ "state from before the end of a Suspend", test_image_of_drain },
	{ "write cache that is configured off", test_cache_off },
	{ "firmware of several revisions", test_firmware },
	{ "firmware that writes the first revision", test_first_revision },
	{ "log page that one of two has", test_log_page },
	{ "SAVE waits, then disables", test_save_waits },
	{ "SAVE is refused after a wait, SUSPEND is not", test_save_refused },
	{ "SAVE waits, and a reset", test_save_reset },
};

const struct test_group state_group = { "state", state_tests, ARRAY_SIZE(state_tests) };

const struct test_group state_variant_group = {
	"variant", state_variant_tests, ARRAY_SIZE(state_variant_tests)
};
