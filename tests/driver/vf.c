// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFs that are bound to nvme-vfio-pci, and their migration states and streams.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver.h"

bool vf_open(struct vf *v, int pf, unsigned int vfn)
{
	if (!vf_find(v, pf, vfn) || !load_module())
		return false;
	if (strcmp(bound_to(v->bdf), DRIVER) &&
	    !EXPECT_EQ(bind_to(v->bdf, DRIVER), 0, "bind %s", v->bdf))
		return false;
	return vf_attach(v);
}

void vf_check_off(struct vf *v)
{
	EXPECT_EQ(vdev_read32(&v->dev, NVME_REG_CC), 0, "CC of %s", v->bdf);
	EXPECT_EQ(vdev_read32(&v->dev, NVME_REG_AQA), 0, "AQA of %s", v->bdf);
	EXPECT_EQ(vdev_read64(&v->dev, NVME_REG_ASQ), 0, "ASQ of %s", v->bdf);
	EXPECT_EQ(vdev_read64(&v->dev, NVME_REG_ACQ), 0, "ACQ of %s", v->bdf);
}

void vf_check_usable(struct vf *v)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };

	vdev_bus_master(&v->dev, true);
	if (!vf_up(v, &opts))
		return;
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 8, 8), 0, "write on %s", v->bdf);
	EXPECT_EQ(unvme_rw(&v->u, 2, false, 8, 8), 0, "read on %s", v->bdf);
	unvme_check_idle(&v->u, 0);
}

bool vf_reset(struct vf *v)
{
	return EXPECT_EQ(vdev_reset(&v->dev), 0, "reset %s", v->bdf) &&
	       vf_expect_state(v, ST_RUNNING);
}

void check_plain(struct vdev *d)
{
	u64 flags, size;

	EXPECT_EQ(vdev_mig_flags(d, &flags), -ENOTTY, "MIGRATION");
	EXPECT_EQ(vdev_mig_state(d), -ENOTTY, "GET of the state");
	EXPECT_EQ(vdev_mig_set_state(d, ST_STOP, NULL), -ENOTTY, "SET of the state");
	EXPECT_EQ(vdev_mig_data_size(d, &size), -ENOTTY, "data size");
	EXPECT_EQ(vdev_feature(d, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET |
			       VFIO_DEVICE_FEATURE_MIGRATION, NULL, 0), -ENOTTY, "probe");
}

void bind_plain(const char *bdf, const char *why)
{
	klog_mark();
	EXPECT_EQ(bind_to(bdf, DRIVER), 0, "bind %s", bdf);
	if (EXPECT_EQ(klog_count(bdf, ""), 1, "lines in the log") &&
	    EXPECT_EQ(klog_count(bdf, "no migration: "), 1, "lines that say why"))
		EXPECT_EQ(klog_count(bdf, why), 1, "'%s'", why);
}

/* ---- states ---- */

const u32 all_states[NR_STATES] = { ST_RUNNING, ST_P2P, ST_STOP, ST_STOP_COPY, ST_RESUMING };

u32 vf_state(struct vf *v)
{
	int state = vdev_mig_state(&v->dev);

	EXPECT(state >= 0, "state of %s: %s", v->bdf, strerror(-state));
	return state;
}

bool vf_expect_state(struct vf *v, u32 state)
{
	u32 got = vf_state(v);

	return EXPECT(got == state, "%s is in %s, not in %s", v->bdf, mig_state_name(got),
		      mig_state_name(state));
}

static bool set(struct vf *v, u32 state, int *fd)
{
	u32 from = vf_state(v);
	int err;

	*fd = -1;
	err = vdev_mig_set_state(&v->dev, state, fd);
	return EXPECT(!err, "%s: %s -> %s: %s", v->bdf, mig_state_name(from), mig_state_name(state),
		      strerror(-err)) && vf_expect_state(v, state);
}

bool go(struct vf *v, u32 state)
{
	bool ok;
	int fd;

	ok = set(v, state, &fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

int go_fd(struct vf *v, u32 state)
{
	int fd;

	if (!set(v, state, &fd))
		return -1;
	EXPECT(fd >= 0, "%s without a file", mig_state_name(state));
	return fd;
}

void refuse_set(struct vf *v, u32 state, int err)
{
	u32 before = vf_state(v);
	int fd = -2;

	EXPECT_EQ(vdev_mig_set_state(&v->dev, state, &fd), -err, "%s -> %s (%#x)",
		  mig_state_name(before), mig_state_name(state), state);
	EXPECT_EQ(fd, -1, "a file with a refusal");
	vf_expect_state(v, before);
}

void check_error_state(struct vf *v)
{
	u64 size = 0;
	int i;

	vf_expect_state(v, ST_ERROR);
	for (i = 0; i < NR_STATES; i++)
		refuse_set(v, all_states[i], EIO);
	refuse_set(v, ST_ERROR, EINVAL);
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "data size in ERROR");
	EXPECT(size, "data size 0 in ERROR");
}

int request_eventfd(struct vf *v)
{
	union {
		struct vfio_irq_set set;
		u8 room[sizeof(struct vfio_irq_set) + sizeof(int)];
	} arg = { .set = {
		.argsz = sizeof(arg), .index = VFIO_PCI_REQ_IRQ_INDEX, .count = 1,
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD,
	} };
	int fd = eventfd(0, EFD_CLOEXEC);

	memcpy(arg.set.data, &fd, sizeof(fd));
	if (ioctl(v->dev.fd, VFIO_DEVICE_SET_IRQS, &arg))
		EXPECT_EQ(errno, 0, "request eventfd");
	return fd;
}

/* ---- streams ---- */

bool vf_save(struct vf *v, struct stream *s)
{
	struct st_view view;
	const char *why;
	int fd, err;

	s->data = NULL;
	s->size = 0;
	fd = go_fd(v, ST_STOP_COPY);
	if (fd < 0)
		return false;
	err = stream_read(fd, s, 0);
	close(fd);
	if (!EXPECT_EQ(err, 0, "read the stream of %s", v->bdf))
		return false;
	why = st_parse(s, &view);
	st_view_free(&view);
	return EXPECT(!why, "stream of %s: %s", v->bdf, why);
}

bool vf_load(struct vf *v, const struct stream *s)
{
	int err, fd = go_fd(v, ST_RESUMING);

	if (fd < 0)
		return false;
	err = stream_write(fd, s, 0);
	close(fd);
	return EXPECT_EQ(err, 0, "write the stream to %s", v->bdf) && go(v, ST_STOP);
}

void vf_move_guest(int pf)
{
	static const struct unvme_opts o = { .queues = 2, .irq = true };
	struct unvme *u = &vf_a.u;
	struct stream s;

	if (!vf_open(&vf_a, pf, 1) || !vf_open(&vf_b, pf, 2) || !vf_up(&vf_a, &o))
		return;
	EXPECT_EQ(unvme_rw(u, 1, true, 16, 8), 0, "write");
	if (!vf_save(&vf_a, &s))
		return;
	if (vf_load(&vf_b, &s)) {
		unvme_move(u, &vf_b.dev);
		if (go(&vf_b, ST_RUNNING)) {
			EXPECT_EQ(unvme_rw(u, 1, false, 16, 8), 0, "read");
			EXPECT_EQ(unvme_rw(u, 2, true, 24, 8), 0, "write after the move");
			unvme_check_idle(u, 0);
		}
	}
	stream_free(&s);
}

bool firmware_stream(int pf, struct stream *s)
{
	struct vf v;
	bool ok;

	s->data = NULL;
	ok = vf_open(&v, pf, 3) && vf_save(&v, s);
	vf_close(&v);
	return ok;
}
