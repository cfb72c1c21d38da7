// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that answer with success and false content: each gets a refusal and one line in the
 * log, or does no harm.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define MAX_POKES	12

/* Four bytes of the data that a command returns: (old & ~mask) ^ value */
struct poke {
	u32 offset;
	u32 mask;
	u32 value;
};

static const struct unvme_opts opts = { .queues = 1, .irq = true };

/* What commands to alter; slots from 0 on, one for each poke. The list ends with an empty one. */
static bool lie(struct lm_fault f, const struct poke *p)
{
	unsigned int i;

	f.act = LM_ACT_DATA;
	for (i = 0; i < MAX_POKES && (p[i].mask || p[i].value); i++) {
		f.arg = p[i].offset;
		f.mask = p[i].mask;
		f.value = p[i].value;
		if (!fault_arm(tap_arg(), i, f))
			return false;
	}
	return true;
}

static struct lm_fault on_get(u32 skip, u32 times)
{
	return (struct lm_fault){ .opcode = LM_OP_RECV, .skip = skip, .times = times };
}

static struct lm_fault on_identify(u8 cns)
{
	return (struct lm_fault){
		.opcode = NVME_ADM_IDENTIFY, .dw10 = cns, .dw10_mask = 0xff,
	};
}

static int count(unsigned int slot)
{
	return lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, slot);
}

static void check_line(struct vf *v, const char *line, const char *name)
{
	EXPECT_EQ(klog_count(v->bdf, line), 1, "%s: '%s'", name, line);
	EXPECT_EQ(klog_count(v->bdf, ""), 1, "%s: lines in the log", name);
}

/* In STOP, with a fresh limit of lines in the log */
static bool start(struct vf *v)
{
	return reload_module() && scene_open(v, tap_arg()) && vf_up(v, &opts) && go(v, ST_STOP);
}

/* The truth again: a save, and a guest that works. */
static void end(struct vf *v)
{
	struct stream s = { 0 };

	fault_clear(tap_arg());
	if (go(v, ST_STOP) && vf_save(v, &s) && go(v, ST_RUNNING))
		EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	stream_free(&s);
}

/* ---- the head of the state: Figure 358 ---- */

#define NVMECSS		16
#define VSS		32

struct header {
	const char *name;
	struct poke poke[MAX_POKES];
	const char *line;
};

/* Impossible by themselves */
static const struct header impossible[] = {
	{ "version", { { 0, 0, 1 } }, "version 1" },
	{ "NVMECSS beyond 64 bits", { { NVMECSS + 8, 0, 1 } }, "has an invalid header" },
	{ "end of NVMECSS", { { NVMECSS + 12, 0, 1u << 31 } }, "has an invalid header" },
	{ "VSS beyond 64 bits", { { VSS + 8, 0, 1 } }, "has an invalid header" },
	{ "end of VSS", { { VSS + 12, 0, 1u << 31 } }, "has an invalid header" },
	{ "bytes that wrap", { { NVMECSS + 4, 0, 1u << 30 } }, "has an invalid header" },
	{ "dwords that wrap", { { NVMECSS + 4, 0, 1u << 31 }, { VSS + 4, 0, 1u << 31 } },
	  "has an invalid header" },
	{ "total that wraps", { { NVMECSS, ~0u, ~0u - 3 }, { NVMECSS + 4, ~0u, ~0u >> 2 },
				{ VSS, ~0u, 0 } }, "has an invalid header" },
	{ "no NVMe state", { { NVMECSS, ~0u, 0 } }, "lacks a requested part" },
	{ "no vendor specific state", { { VSS, ~0u, 0 } }, "lacks a requested part" },
};

static void check_impossible(struct vf *v, const struct header *h)
{
	u64 before = 0, size = 0;

	EXPECT_EQ(vdev_mig_data_size(&v->dev, &before), 0, "size");
	if (!lie(on_get(0, 0), h->poke))
		return;
	klog_mark();
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "%s: size", h->name);
	EXPECT_EQ(size, before, "%s: size", h->name);
	check_line(v, h->line, h->name);
	klog_mark();
	refuse_set(v, ST_STOP_COPY, EIO);
	check_line(v, h->line, h->name);
	fault_clear(tap_arg());
}

static void test_impossible(void)
{
	struct vf *v = &vf_a;
	unsigned int i;

	if (!start(v))
		return;
	for (i = 0; i < ARRAY_SIZE(impossible); i++)
		check_impossible(v, &impossible[i]);
	end(v);
}

/* What a second answer may not say, whatever the first one did */
static const struct header changed[] = {
	{ "larger still", { { VSS, 0, 1 << 12 } }, "size of the controller state changed" },
	{ "version", { { 0, 0, 1 } }, "version 1" },
	{ "NVMECSS beyond 64 bits", { { NVMECSS + 8, 0, 1 } }, "has an invalid header" },
	{ "VSS beyond 64 bits", { { VSS + 8, 0, 1 } }, "has an invalid header" },
	{ "sizes that wrap", { { NVMECSS + 4, 0, 1u << 31 }, { VSS + 4, 0, 1u << 31 } },
	  "has an invalid header" },
	{ "no NVMe state", { { NVMECSS, ~0u, 0 } }, "lacks a requested part" },
};

#define SLOT_LARGER	9

/* The first answer says that there is more than was asked for, so that the driver asks again */
static bool lie_larger(void)
{
	struct lm_fault f = on_get(0, 1);

	f.act = LM_ACT_DATA;
	f.arg = VSS;
	f.value = 1 << 11;
	return fault_arm(tap_arg(), SLOT_LARGER, f);
}

static void check_changed(struct vf *v, const struct header *h)
{
	if (!lie_larger() || !lie(on_get(1, 1), h->poke))
		return;
	klog_mark();
	refuse_set(v, ST_STOP_COPY, EIO);
	check_line(v, h->line, h->name);
	EXPECT_EQ(count(SLOT_LARGER), 2, "commands");
	fault_clear(tap_arg());
}

static void test_changed(void)
{
	struct stream good = { 0 }, s = { 0 };
	struct vf *v = &vf_a;
	unsigned int i;

	if (!start(v) || !vf_save(v, &good) || !go(v, ST_STOP))
		return;
	for (i = 0; i < ARRAY_SIZE(changed); i++)
		check_changed(v, &changed[i]);
	if (lie_larger() && vf_save(v, &s))
		EXPECT(!st_differ(&good, &s), "%s", st_differ(&good, &s));
	stream_free(&s);
	stream_free(&good);
	end(v);
}

/* ---- suspended or not ---- */

static const struct poke not_suspended[] = { { 2, 1, 0 }, {} };

static void check_lost(struct vf *v, const char *line)
{
	EXPECT_EQ(klog_count(v->bdf, line), 1, "'%s'", line);
	check_error_state(v);
	v->u.udrv.faults = 0;
	if (scene_again(v))
		vf_check_usable(v);
}

static void test_csattr(void)
{
	struct vf *v = &vf_a;

	if (!start(v) || !lie(on_get(0, 1), not_suspended))
		return;
	klog_mark();
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP_COPY, NULL), -ENOTCONN, "head");
	check_lost(v, "no longer suspended");
	end(v);
}

static bool no_csup(unsigned int slot, u32 skip, u32 times)
{
	struct lm_fault f = on_get(skip, times);

	f.act = LM_ACT_RESULT;
	f.mask = 1;
	return fault_arm(tap_arg(), slot, f);
}

/* A device that never says CSUP is asked once more at the end; one line reports it. */
static void test_no_csup(void)
{
	struct vf *v = &vf_a;
	struct stream s;
	int fd;

	if (!start(v) || !no_csup(9, 0, 0))
		return;
	klog_mark();
	if (!vf_save(v, &s) || !go(v, ST_STOP))
		return;
	stream_free(&s);
	EXPECT_EQ(count(9), 2, "commands for one piece");
	check_line(v, "does not report CSUP", "first save");
	if (!vf_save(v, &s) || !go(v, ST_STOP))
		return;
	stream_free(&s);
	EXPECT_EQ(count(9), 4, "commands for one piece");
	check_line(v, "does not report CSUP", "second save");
	/* the last answer counts */
	if (!lie(on_get(1, 1), not_suspended))
		return;
	fd = go_fd(v, ST_STOP_COPY);
	EXPECT_EQ(stream_read(fd, &s, 0), -ENOTCONN, "end");
	stream_free(&s);
	close(fd);
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -ENOTCONN, "SET");
	check_lost(v, "no longer suspended");
	/* with CSUP nobody asks again, unless a reset of the PF could not be noticed */
	fault_clear(tap_arg());
	if (go(v, ST_STOP) && fault_arm(tap_arg(), 9, on_get(0, 0)) && vf_save(v, &s))
		EXPECT_EQ(count(9), 2 - counts_pf_resets(), "commands for one piece");
	stream_free(&s);
	end(v);
}

/* A piece in the middle came from a VF that ran, as CSUP alone shows. */
static void test_csup_later(void)
{
	struct vf *v = &vf_a;
	struct stream s;
	int fd;

	if (!pf_get(tap_arg()) || !fault_clear(tap_arg()) || !start_large(v))
		return;
	fill_large();
	if (!go(v, ST_STOP) || !no_csup(9, 1, 1))
		return;
	klog_mark();
	fd = go_fd(v, ST_STOP_COPY);
	EXPECT_EQ(stream_read(fd, &s, 0), -ENOTCONN, "second piece");
	EXPECT_EQ(s.size, REC_SECOND + REC_HEAD + REC_PIECE + 8192, "bytes");
	stream_free(&s);
	close(fd);
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -ENOTCONN, "SET");
	check_lost(v, "no longer suspended at offset 8192");
}

/* ---- the formats: Figure 329 ---- */

#define CNS_FORMATS	0x20
#define VERSIONS	2

/* The PF's UUID at this offset, in four pokes */
static void put_uuid(struct poke *p, u32 offset)
{
	struct lm_pf *pf = pf_get(tap_arg());
	unsigned int i;

	for (i = 0; i < 4; i++) {
		p[i] = (struct poke){ offset + 4 * i, ~0u, 0 };
		memcpy(&p[i].value, pf->uuid + 4 * i, 4);
	}
}

static void bind_lied_to(u8 cns, const struct poke *p, const char *why)
{
	const char *bdf = vf_bdf(tap_arg(), 1);

	if (!EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") || !lie(on_identify(cns), p))
		return;
	bind_plain(bdf, why);
	fault_clear(tap_arg());
}

static bool start_bind(void)
{
	return load_module() && pf_get(tap_arg()) && scene_init(tap_arg()) &&
	       fault_clear(tap_arg());
}

static void end_bind(void)
{
	struct vf *v = &vf_a;

	fault_clear(tap_arg());
	EXPECT_EQ(bind_to(vf_bdf(tap_arg(), 1), NULL), 0, "unbind");
	if (vf_open(v, tap_arg(), 1) && vf_up(v, &opts))
		end(v);
}

static void test_formats(void)
{
	static const struct {
		struct poke poke[MAX_POKES];
		const char *why;
	} lists[] = {
		{ { { 0, 0xffff, 0x0001 } }, "no vendor state format" },
		{ { { 0, 0xffff, 0x0000 } }, "no vendor state format" },
		/* as much as fits, all of it 0 but what is there: the UUIDs begin behind it */
		{ { { 0, 0xffff, 0xff07 }, { 4, ~0u, 0 }, { 8, ~0u, 0 }, { 12, ~0u, 0 },
		    { 16, ~0u, 0 } }, "no vendor state format" },
		{ { { 0, 0xffff, 0xff08 } }, "exceeds its 4096 bytes" },
		{ { { 0, 0xffff, 0xffff } }, "exceeds its 4096 bytes" },
		{ { { 4, ~0u, 0 }, { 8, ~0u, 0 }, { 12, ~0u, 0 }, { 16, ~0u, 0 } },
		  "no vendor state format" },
		{ { { VERSIONS, 0, 5 } }, "no known version" },
		{ { { 0, 0xff, 0 } }, "no known version" },
	};
	unsigned int i;

	if (!start_bind())
		return;
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		bind_lied_to(CNS_FORMATS, lists[i].poke, lists[i].why);
	end_bind();
}

/* Bind with such a list, open, and see by which indexes the state is asked for. */
static bool open_with(const struct poke *p, u8 csvi, u8 csuuidi)
{
	struct lm_fault f = {
		.opcode = LM_OP_RECV, .dw10 = csvi << 16, .dw10_mask = 0xff0000,
		.dw11 = csuuidi << 16, .dw11_mask = 0xff0000,
	};
	struct vf *v = &vf_a;
	u64 size;

	if (!EXPECT_EQ(bind_to(vf_bdf(tap_arg(), 1), NULL), 0, "unbind") ||
	    !lie(on_identify(CNS_FORMATS), p) || !vf_open(v, tap_arg(), 1) ||
	    !fault_clear(tap_arg()) || !fault_arm(tap_arg(), 0, f))
		return false;
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "size");
	return EXPECT_EQ(count(0), 1, "commands with CSVI %u and CSUUIDI %u", csvi, csuuidi);
}

/* Listed twice: the first one counts, behind what is not known. */
static void test_format_order(void)
{
	struct poke p[MAX_POKES] = { { 0, ~0u, 0x00000202 }, { 4, 0xffff, 0 } };
	struct vf *v = &vf_a;

	if (!start_bind())
		return;
	put_uuid(p + 2, 6);
	put_uuid(p + 6, 22);
	if (!open_with(p, 1, 1))
		return;
	if (vf_up(v, &opts))
		end(v);
	vf_close(v);
	/* an unknown version, and a UUID of nothing, come first */
	p[0].value = 0x00070202;
	p[2].value = 0;
	p[3].value = 0;
	p[4].value = 0;
	p[5].value = 0;
	if (!open_with(p, 2, 2))
		return;
	/* the device knows no such index */
	go(v, ST_STOP);
	klog_mark();
	refuse_set(v, ST_STOP_COPY, EINVAL);
	check_line(v, "NVMe status 0x2", "index that the device does not have");
	vf_close(v);
	end_bind();
}

/* The stream names a format that is not in the list, or the other way round. */
static void test_other_uuid(void)
{
	static const struct poke other[] = { { 4, 0, 1 }, {} };
	struct stream s = { 0 };
	struct vf *v = &vf_a;

	if (!start_bind() || !open_with(other, 1, 1) || !vf_save(v, &s))
		return;
	vf_reset(v);
	klog_mark();
	scene_fd = go_fd(v, ST_RESUMING);
	EXPECT_EQ(scene_write.act(v), -EOPNOTSUPP, "write");
	check_line(v, "is not supported here", "stream of an honest device");
	scene_again(v);
	vf_close(v);
	end_bind();
	go(v, ST_STOP);
	vf_reset(v);
	klog_mark();
	scene_fd = go_fd(v, ST_RESUMING);
	EXPECT_EQ(stream_write(scene_fd, &s, 0), -EOPNOTSUPP, "write");
	check_line(v, "is not supported here", "stream of the other device");
	scene_again(v);
	stream_free(&s);
}

/* ---- limits of the PF's tracking: Figure 312 ---- */

static void test_track_limits(void)
{
	static const struct {
		struct poke poke[MAX_POKES];
		const char *line;
	} limits[] = {
		{ { { 570, 0xffff, 0 } }, "; no DMA logging: CMMRTD of the PF is 0" },
		{ { { 572, 0xffff, 0 } }, "; no DMA logging: NMMRTD of the PF is 0" },
		{ { { 574, 0xffff, 0x0102 } },
		  "; no DMA logging: MINMRTG of the PF exceeds MAXMRTG" },
		{ { { 574, 0xffff, 0x3534 } },
		  "; no DMA logging: MINMRTG of the PF exceeds all memory" },
	};
	const char *bdf = vf_bdf(tap_arg(), 1);
	struct vf *v = &vf_a;
	unsigned int i;

	if (!start_bind())
		return;
	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		if (!EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") ||
		    !lie(on_identify(1), limits[i].poke))
			return;
		klog_mark();
		if (!vf_open(v, tap_arg(), 1))
			return;
		EXPECT_EQ(klog_count(bdf, "migration by TP4159"), 1, "lines in the log");
		EXPECT_EQ(klog_count(bdf, limits[i].line), 1, "'%s'", limits[i].line);
		EXPECT(vdev_feature(&v->dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
				    VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0), "offered");
		vf_close(v);
	}
	end_bind();
}

/* ---- the Secondary Controller List: Figures 331 and 332 ---- */

#define CNS_LIST	0x15
#define SCID(i)		(32 + 32 * (i))
#define PCID(i)		(SCID(i) + 2)
#define SCS(i)		(SCID(i) + 4)
#define VFN(i)		(SCID(i) + 8)

static void check_list(const struct poke *p, int commands)
{
	const char *bdf = vf_bdf(tap_arg(), 1);

	if (!EXPECT_EQ(bind_to(bdf, NULL), 0, "unbind") || !lie(on_identify(CNS_LIST), p))
		return;
	bind_plain(bdf, "does not list this VF");
	EXPECT_EQ(count(0), commands, "commands");
	fault_clear(tap_arg());
}

/* VF 1 is the first entry. */
static void test_list(void)
{
	static const struct {
		struct poke poke[MAX_POKES];
		int commands;
	} lists[] = {
		{ { { VFN(0), 0, 0x40 } }, 1 },
		{ { { VFN(0), 0xffff, 0 } }, 1 },
		{ { { PCID(0), 0, 1 } }, 1 },
		/* more than the page holds, and ids that do not ascend */
		{ { { 0, 0xff, 255 }, { VFN(0), 0, 0x40 } }, 2 },
		{ { { 0, 0xff, 128 }, { VFN(0), 0, 0x40 }, { SCID(126), 0xffff, 0xffff } }, 1 },
		{ { { 0, 0xff, 127 }, { VFN(0), 0, 0x40 }, { SCID(126), 0xffff, 0xfffe } }, 2 },
	};
	struct poke own[] = { { SCID(0), 0xffff, 0 }, {} };
	static const struct poke full[] = { { 0, 0xff, 255 }, {} };
	struct lm_pf *pf = pf_get(tap_arg());
	unsigned int i;

	if (!start_bind())
		return;
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		check_list(lists[i].poke, lists[i].commands);
	/* the PF would migrate itself */
	own[0].value = pf->cntlid;
	if (pf->cntlid)
		check_list(own, 1);
	/* if the VF is in it, the rest does not matter */
	EXPECT_EQ(bind_to(vf_bdf(tap_arg(), 1), NULL), 0, "unbind");
	lie(on_identify(CNS_LIST), full);
	if (vf_open(&vf_a, tap_arg(), 1)) {
		go(&vf_a, ST_STOP);
		go(&vf_a, ST_RUNNING);
	}
	vf_close(&vf_a);
	end_bind();
}

/* Later it is another one, offline, or not there: a load is refused, and nothing else. */
static void test_list_later(void)
{
	static const struct {
		struct poke poke[2];
		int err;
		const char *line;
	} lists[] = {
		{ { { SCID(0), 0, 0x40 } }, ENXIO, "not found: " },
		{ { { VFN(0), 0, 0x40 } }, ENXIO, "not found: " },
		{ { { 0, 0xff, 0 } }, ENXIO, "not found: " },
		{ { { SCS(0), 1, 0 } }, ENODEV, "is offline" },
	};
	struct vf *v = &vf_a;
	unsigned int i;

	if (!start(v))
		return;
	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		if (!lie(on_identify(CNS_LIST), lists[i].poke))
			return;
		klog_mark();
		refuse_set(v, ST_RESUMING, lists[i].err);
		check_line(v, lists[i].line, "load");
	}
	end(v);
}

/* ---- Identify Controller ---- */

#define CNS_CTRL	0x01
#define CNTLID		76	/* with two bytes before it */
#define OACS		256
#define BYTE_3072	3072

static void test_identify(void)
{
	static const struct poke id[][2] = {
		{ { 0, 0, 1 } },		/* VID */
		{ { 0, 0, 1u << 31 } },		/* SSVID */
		{ { CNTLID, 0, 0x10000 } },
	};
	static const struct poke none[][2] = {
		{ { OACS, 0x800, 0 } },
		{ { BYTE_3072, 0xff, 0 } },
		{ { BYTE_3072, 0xff, 2 } },
	};
	/* a vendor's byte means nothing in the data of other devices */
	static const struct poke other[] = { { OACS, 0x800, 0 }, { BYTE_3072, 0xff, 1 }, {} };
	static const struct poke hmlms[] = { { OACS, 0, 0x800 }, {} };
	struct lm_fault empty = on_identify(CNS_CTRL);
	struct lm_pf *pf = pf_get(tap_arg());
	unsigned int i;

	if (!start_bind())
		return;
	for (i = 0; i < ARRAY_SIZE(id); i++)
		bind_lied_to(CNS_CTRL, id[i], "Identify data does not match the PF");
	if (pf->vendor) {
		bind_lied_to(CNS_CTRL, none[1], "does not support");
		bind_lied_to(CNS_CTRL, none[2], "does not support");
		bind_lied_to(CNS_CTRL, hmlms, "cannot read the list of state formats");
	} else {
		bind_lied_to(CNS_CTRL, none[0], "does not support");
		bind_lied_to(CNS_CTRL, other, "does not support");
	}
	/* no data at all */
	EXPECT_EQ(bind_to(vf_bdf(tap_arg(), 1), NULL), 0, "unbind");
	empty.act = LM_ACT_SHORT;
	fault_arm(tap_arg(), 0, empty);
	bind_plain(vf_bdf(tap_arg(), 1), "Identify data does not match the PF");
	end_bind();
}

/* ---- the size of the vendor set ---- */

static bool lie_size(u32 size)
{
	struct lm_fault f = {
		.opcode = LM_OP_VS_QUERY, .act = LM_ACT_RESULT, .mask = ~0u, .value = size,
	};

	return fault_arm(tap_arg(), 0, f);
}

static void check_size(struct vf *v, u32 size, int err, const char *line)
{
	u64 got = 0;

	if (!lie_size(size))
		return;
	klog_mark();
	refuse_set(v, ST_STOP_COPY, err);
	check_line(v, line, "save");
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &got), 0, "size");
	if (size)
		EXPECT(got > size, "size %lu of a state of %u", got, size);
}

static void test_size(void)
{
	struct lm_fault saves = { .opcode = LM_OP_VS_SAVE };
	struct vf *v = &vf_a;
	u64 size = 0;

	if (!start(v) || !fault_arm(tap_arg(), 1, saves))
		return;
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "size");
	check_size(v, 0, EIO, "state of 0 bytes");
	check_size(v, 0x40000000, EFBIG, "exceeds one transfer");
	check_size(v, ~0u, EFBIG, "exceeds one transfer");
	EXPECT_EQ(count(1), 0, "SAVE_DATA");
	end(v);
}

/* In STOP_COPY, with a state that is a little longer or shorter than reported. */
static bool save_wrong_size(struct vf *v, struct stream *s, int more)
{
	struct st_view view;
	u64 size = 0;

	if (!start(v))
		return false;
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "size");
	size -= 2 * REC_HEAD + REC_HELLO_LEN + REC_HEAD + REC_PIECE + REC_END_LEN;
	if (!lie_size(size + more) || !vf_save(v, s) || !fault_clear(tap_arg()))
		return false;
	EXPECT(!st_parse(s, &view), "parse");
	EXPECT_EQ(view.state_len, size + more, "bytes of state");
	st_view_free(&view);
	return true;
}

/*
 * The device, which alone can know, refuses it. The rest of a longer one has nowhere to go but
 * if the driver gave it room.
 */
static void check_wrong_size(int more)
{
	struct vf *v = &vf_a;
	struct stream s;

	if (!save_wrong_size(v, &s, more))
		return;
	klog_mark();
	go(v, ST_STOP);
	refuse_set(v, ST_P2P, EINVAL);
	check_line(v, "LOAD_DATA of controller", "state loaded back");
	v->u.udrv.faults = 0;
	if (!scene_again(v))
		return;
	klog_mark();
	scene_fd = go_fd(v, ST_RESUMING);
	EXPECT_EQ(stream_write(scene_fd, &s, 0), -EINVAL, "write");
	EXPECT_EQ(klog_count(v->bdf, "device refused the state"), 1, "line in the log");
	stream_free(&s);
	if (scene_again(v) && vf_up(v, &opts))
		end(v);
}

/* Zeros behind a state do no harm. */
static void check_padded(void)
{
	struct vf *v = &vf_a;
	struct stream s;

	if (!save_wrong_size(v, &s, 4))
		return;
	go(v, ST_STOP);
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write, loaded back");
	if (scene_again(v) && vf_load(v, &s))
		go(v, ST_RUNNING);
	stream_free(&s);
	if (scene_again(v) && vf_up(v, &opts))
		end(v);
}

static void test_wrong_size(void)
{
	static const int more[] = { 1, -1, -64 };
	unsigned int i;

	check_padded();
	vf_close(&vf_a);

	for (i = 0; i < ARRAY_SIZE(more) && !tap_failed(); i++) {
		check_wrong_size(more[i]);
		vf_close(&vf_a);
	}
}

/* ---- data that ends early ---- */

static void test_short(void)
{
	struct lm_fault f = on_get(0, 1);
	struct vf *v = &vf_a;

	if (!start(v))
		return;
	f.act = LM_ACT_SHORT;
	f.arg = VSS;
	fault_arm(tap_arg(), 0, f);
	klog_mark();
	refuse_set(v, ST_STOP_COPY, EIO);
	check_line(v, "lacks a requested part", "head without VSS");
	f.arg = 0;
	fault_arm(tap_arg(), 0, f);
	klog_mark();
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP_COPY, NULL), -ENOTCONN, "no head");
	check_lost(v, "no longer suspended");
	end(v);
}

static const struct drv_test lie_tests[] = {
	{ "sizes that cannot be", test_impossible, ON_TP },
	{ "sizes that change", test_changed, ON_TP },
	{ "not suspended", test_csattr, ON_TP },
	{ "no CSUP", test_no_csup, ON_TP },
	{ "no CSUP in the middle", test_csup_later, ON_SPECIAL, SP_SMALL },
	{ "formats", test_formats, ON_TP },
	{ "order of formats", test_format_order, ON_TP },
	{ "another format", test_other_uuid, ON_TP },
	{ "limits of tracking", test_track_limits, ON_TP },
	{ "secondary controllers", test_list, ON_BOTH },
	{ "secondary controllers, later", test_list_later, ON_BOTH },
	{ "Identify", test_identify, ON_BOTH },
	{ "size", test_size, ON_VS },
	{ "wrong size", test_wrong_size, ON_VS },
	{ "data that ends early", test_short, ON_TP },
};

const struct test_group lie_group = { "lie", lie_tests, ARRAY_SIZE(lie_tests) };
