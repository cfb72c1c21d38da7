// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fence: what a VF whose state was saved may still do. The device keeps its VFs online over a
 * reset of the PF here, so that such a reset lets a suspended VF run, as it may on any device.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define LBA		64
#define BLOCKS		8
#define BEFORE		0xaa
#define MOVED		0xbb

static const struct unvme_opts opts = { .queues = 1 };

/* The real command register, which may differ from what the VF shows its user. */
static bool real_bus_master(struct vf *v)
{
	char path[64];
	u16 cmd = 0;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", v->bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(pread(fd, &cmd, sizeof(cmd), PCI_COMMAND), sizeof(cmd), "%s", path);
	close(fd);
	return cmd & PCI_COMMAND_MASTER;
}

static off_t config_at(struct vf *v, unsigned int reg)
{
	return v->dev.pci->config_space.offset + reg;
}

/* The bit as the user reads it, in accesses that cover it in several ways. */
static void check_view(struct vf *v, bool master, const char *when)
{
	static const struct { u8 at, len; } reads[] = { { 4, 1 }, { 4, 2 }, { 4, 4 }, { 0, 64 } };
	unsigned int i;
	u8 buf[64];

	for (i = 0; i < ARRAY_SIZE(reads); i++) {
		EXPECT_EQ(pread(v->dev.fd, buf, reads[i].len, config_at(v, reads[i].at)),
			  reads[i].len, "%s: read", when);
		EXPECT_EQ(!!(buf[PCI_COMMAND - reads[i].at] & PCI_COMMAND_MASTER), master,
			  "%s: bus mastering in %u bytes at %u", when, reads[i].len, reads[i].at);
	}
}

static void check_master(struct vf *v, bool view, bool real, const char *when)
{
	check_view(v, view, when);
	EXPECT_EQ(real_bus_master(v), real, "%s: real bus mastering", when);
}

/* ---- executed a second time ---- */

static struct nvme_sqe write_cmd(struct unvme *u)
{
	struct nvme_sqe sqe = { .opcode = NVME_IO_WRITE, .nsid = u->nsid };

	sqe.cdw10 = LBA;
	sqe.cdw12 = BLOCKS - 1;
	unvme_set_prp(u, &sqe, u->scratch, BLOCKS * u->lba_size, u->scratch_list);
	return sqe;
}

static void ignore_done(struct unvme *u, struct unvme_cmd *c)
{
}

/* A write that was rung but not fetched is part of a stream that was read to its end. */
static bool save_with_write(struct vf *v, struct stream *s)
{
	struct nvme_sqe sqe;

	memset(v->u.scratch, BEFORE, UNVME_SCRATCH);
	if (!EXPECT_EQ(unvme_rw(&v->u, 1, true, LBA, BLOCKS), 0, "write") || !go(v, ST_P2P))
		return false;
	memset(v->u.scratch, MOVED, UNVME_SCRATCH);
	sqe = write_cmd(&v->u);
	unvme_submit(&v->u, 1, &sqe, ignore_done, NULL);
	return vf_save(v, s);
}

/* The block as another VF reads it. */
static void check_block(struct vf *by, u8 byte, const char *when)
{
	size_t len = BLOCKS * by->u.lba_size;
	u8 *data = by->u.scratch;

	memset(data, 0, UNVME_SCRATCH);
	EXPECT_EQ(unvme_rw(&by->u, 1, false, LBA, BLOCKS), 0, "%s: read", when);
	EXPECT(data[0] == byte && !memcmp(data, data + 1, len - 1),
	       "%s: the block holds %#x, not %#x", when, data[0], byte);
}

static bool start(struct stream *s)
{
	struct lm_pf *pf = pf_get(tap_arg());

	return scene_open(&vf_a, tap_arg()) && vf_open(&vf_b, tap_arg(), 2) &&
	       vf_up(&vf_a, &opts) && vf_up(&vf_b, &opts) &&
	       EXPECT_EQ(lm_fault_resets(pf, LM_KEEPS_VFS), 0, "keep the VFs") &&
	       save_with_write(&vf_a, s);
}

static void end(void)
{
	fault_clear(tap_arg());
	vf_a.u.udrv.faults = 0;
	if (vf_reset(&vf_a))
		vf_check_usable(&vf_a);
	vf_close(&vf_a);
	vf_close(&vf_b);
	pf_check(tap_arg());
}

/* The PF was reset, and has executed commands since: whatever a VF had to do is done. */
static void test_executes_nothing(void)
{
	struct stream s = { 0 };

	if (start(&s)) {
		check_master(&vf_a, true, false, "STOP_COPY");
		check_block(&vf_b, BEFORE, "before the reset");
		if (pf_reset(tap_arg()))
			pf_check(tap_arg());
		check_block(&vf_b, BEFORE, "after the reset");
		EXPECT(!unvme_cq_pending(&vf_a.u, 1), "a completion");
		EXPECT_EQ(vdev_read32(&vf_a.dev, NVME_REG_CSTS), NVME_CSTS_RDY, "it waits");
		check_master(&vf_a, true, false, "after the reset");
	}
	end();
	stream_free(&s);
}

/* The same without it: its user took it away by turning bus mastering on. */
static void test_without(void)
{
	struct stream s = { 0 };

	if (start(&s)) {
		vdev_bus_master(&vf_a.dev, true);
		check_master(&vf_a, true, true, "turned on in STOP_COPY");
		check_block(&vf_b, BEFORE, "before the reset");
		if (pf_reset(tap_arg()) && wait_entries(&vf_a.u, 1, 1))
			check_block(&vf_b, MOVED, "after the reset");
	}
	end();
	stream_free(&s);
}

/* ---- the command register ---- */

static void test_register(void)
{
	struct vf *v = &vf_a;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts))
		return;
	check_master(v, true, true, "RUNNING");
	go(v, ST_P2P);
	check_master(v, true, true, "P2P");
	go(v, ST_STOP);
	check_master(v, true, false, "STOP");
	close(go_fd(v, ST_STOP_COPY));
	check_master(v, true, false, "STOP_COPY");
	go(v, ST_STOP);
	check_master(v, true, false, "STOP again");
	go(v, ST_P2P);
	check_master(v, true, true, "P2P again");
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	close(go_fd(v, ST_PRE_COPY));
	go(v, ST_PRE_COPY_P2P);
	check_master(v, true, true, "PRE_COPY_P2P");
	go(v, ST_STOP_COPY);
	check_master(v, true, false, "STOP_COPY from pre-copy");
	go(v, ST_RUNNING);
	check_master(v, true, true, "RUNNING again");
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write in the end");
}

/* What was written in STOP is so at once, and stays so. */
static void check_written(struct vf *v, bool before, bool written)
{
	vdev_bus_master(&v->dev, before);
	go(v, ST_STOP);
	check_master(v, before, false, "STOP");
	vdev_bus_master(&v->dev, written);
	check_master(v, written, written, "written in STOP");
	go(v, ST_STOP_COPY);
	check_master(v, written, written, "STOP_COPY");
	go(v, ST_P2P);
	check_master(v, written, written, "P2P");
	go(v, ST_RUNNING);
}

static void test_written(void)
{
	struct vf *v = &vf_a;
	u16 upper = 0;
	unsigned int i;

	if (!scene_open(v, tap_arg()))
		return;
	for (i = 0; i < 4; i++)
		check_written(v, i & 1, i & 2);
	/* beside it */
	vdev_bus_master(&v->dev, true);
	go(v, ST_STOP);
	EXPECT_EQ(pwrite(v->dev.fd, &upper, 1, config_at(v, PCI_COMMAND + 1)), 1, "upper byte");
	check_master(v, true, false, "upper byte written");
	go(v, ST_RUNNING);
	check_master(v, true, true, "RUNNING");
}

/* A reset leaves the register as the user had it, an ended session leaves nothing. */
static void test_reset(void)
{
	struct vf *v = &vf_a;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (!scene_open(v, tap_arg()))
			return;
		vdev_bus_master(&v->dev, i);
		go(v, ST_STOP);
		check_master(v, i, false, "STOP");
		vf_reset(v);
		check_master(v, i, i, "reset");
		vdev_bus_master(&v->dev, true);
		go(v, ST_STOP);
		vf_close(v);
		EXPECT(!real_bus_master(v), "bus mastering after close");
	}
}

static const struct drv_test fence_tests[] = {
	{ "a PF reset after END executes nothing on the source", test_executes_nothing,
	  ON_BOTH },
	{ "a PF reset after END doubles a write without it", test_without, ON_BOTH },
	{ "bus mastering is off in STOP and reads as on", test_register, ON_BOTH },
	{ "bus mastering written in STOP is as written", test_written, ON_BOTH },
	{ "bus mastering after a reset and a close in STOP", test_reset, ON_BOTH },
};

const struct test_group fence_group = { "fence", fence_tests, ARRAY_SIZE(fence_tests) };
