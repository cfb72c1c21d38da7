// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA memory and a PCI function behind VFIO.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <time.h>
#include <unistd.h>

#include "unvme.h"

#define MSIX_ENTRY_SIZE		16
#define MSIX_ENTRY_CTRL		12

u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- memory ---- */

int arena_init(struct arena *a, int fd, size_t size, u64 iova)
{
	int err;

	memset(a, 0, sizeof(*a));
	a->fd = fd >= 0 ? dup(fd) : memfd_create("arena", MFD_CLOEXEC);
	if (a->fd < 0)
		return -errno;
	if (fd < 0 && ftruncate(a->fd, size)) {
		err = -errno;
		close(a->fd);
		return err;
	}
	a->va = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, a->fd, 0);
	if (a->va == MAP_FAILED) {
		err = -errno;
		close(a->fd);
		return err;
	}
	a->iova = iova;
	a->size = size;
	return 0;
}

void arena_free(struct arena *a)
{
	if (!a->va)
		return;
	munmap(a->va, a->size);
	close(a->fd);
	memset(a, 0, sizeof(*a));
}

void *arena_alloc(struct arena *a, size_t size)
{
	size_t rounded = roundup(size, 4096);
	void *p;

	if (a->used + rounded > a->size) {
		fprintf(stderr, "arena of %zu bytes is used up\n", a->size);
		exit(2);
	}
	p = a->va + a->used;
	a->used += rounded;
	memset(p, 0, rounded);
	return p;
}

u64 arena_iova(const struct arena *a, const void *p)
{
	return a->iova + ((const u8 *)p - a->va);
}

void arena_reset(struct arena *a)
{
	memset(a->va, 0, a->size);
	a->used = 0;
}

/* ---- opening ---- */

static int group_of(const char *bdf)
{
	char link[128], target[256];
	const char *name;
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	name = strrchr(target, '/');
	return name ? atoi(name + 1) : -EINVAL;
}

static int open_group(struct vdev *d, int container)
{
	struct vfio_group_status st = { .argsz = sizeof(st) };
	char path[64];
	int nr;

	nr = group_of(d->bdf);
	if (nr < 0)
		return nr;
	snprintf(path, sizeof(path), "/dev/vfio/%d", nr);
	d->group = open(path, O_RDWR | O_CLOEXEC);
	if (d->group < 0)
		return -errno;
	if (ioctl(d->group, VFIO_GROUP_GET_STATUS, &st))
		return -errno;
	if (!(st.flags & VFIO_GROUP_FLAGS_VIABLE))
		return -EBUSY;

	d->own_container = container < 0;
	d->container = container;
	if (d->own_container)
		d->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (d->container < 0)
		return -errno;
	if (ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container))
		return -errno;
	if (d->own_container && ioctl(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -errno;
	d->fd = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->bdf);
	return d->fd < 0 ? -errno : 0;
}

static int map_bar(struct vdev *d)
{
	struct vfio_region_info reg = { .argsz = sizeof(reg), .index = VFIO_PCI_BAR0_REGION_INDEX };

	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &reg))
		return -errno;
	if (!(reg.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return -ENXIO;
	d->bar_size = reg.size;
	d->bar = mmap(NULL, reg.size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, reg.offset);
	if (d->bar == MAP_FAILED) {
		d->bar = NULL;
		return -errno;
	}
	return 0;
}

static int find_msix(struct vdev *d)
{
	u8 pos = 0, id = 0;
	u32 table;
	int err;

	err = vdev_config_read(d, PCI_CAPABILITY_LIST, &pos, 1);
	while (!err && pos) {
		err = vdev_config_read(d, pos, &id, 1);
		if (!err && id == PCI_CAP_ID_MSIX) {
			err = vdev_config_read(d, pos + PCI_MSIX_TABLE, &table, 4);
			if (!err && (table & PCI_MSIX_TABLE_BIR))
				err = -ENXIO;	/* not in BAR0 */
			d->msix_table = table & PCI_MSIX_TABLE_OFFSET;
			return err;
		}
		if (!err)
			err = vdev_config_read(d, pos + 1, &pos, 1);
	}
	return err ? err : -ENXIO;
}

static int find_resources(struct vdev *d)
{
	struct vfio_region_info reg = {
		.argsz = sizeof(reg), .index = VFIO_PCI_CONFIG_REGION_INDEX
	};
	struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = VFIO_PCI_MSIX_IRQ_INDEX };
	int err;

	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &reg) ||
	    ioctl(d->fd, VFIO_DEVICE_GET_IRQ_INFO, &irq))
		return -errno;
	d->config_off = reg.offset;
	d->nr_vectors = irq.count;
	err = find_msix(d);
	if (!err)
		err = map_bar(d);
	return err;
}

int vdev_open(struct vdev *d, const char *bdf, int container)
{
	int err;

	memset(d, 0, sizeof(*d));
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	d->container = -1;
	d->group = -1;
	d->fd = -1;
	err = open_group(d, container);
	if (!err)
		err = find_resources(d);
	if (!err)
		err = vdev_bus_master(d, true);
	if (err)
		vdev_close(d);
	return err;
}

void vdev_close(struct vdev *d)
{
	if (d->bar)
		munmap(d->bar, d->bar_size);
	if (d->fd >= 0)
		close(d->fd);
	if (d->group >= 0)
		close(d->group);
	if (d->own_container && d->container >= 0)
		close(d->container);
	d->bar = NULL;
	d->fd = -1;
	d->group = -1;
	d->container = -1;
}

int vdev_map(struct vdev *d, const struct arena *a)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (u64)(unsigned long)a->va,
		.iova = a->iova,
		.size = a->size,
	};

	return ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

int vdev_unmap(struct vdev *d, const struct arena *a)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = a->iova, .size = a->size,
	};

	return ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

/* ---- config space, reset, interrupts ---- */

int vdev_config_read(struct vdev *d, u32 off, void *buf, size_t len)
{
	ssize_t n = pread(d->fd, buf, len, d->config_off + off);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int vdev_config_write(struct vdev *d, u32 off, const void *buf, size_t len)
{
	ssize_t n = pwrite(d->fd, buf, len, d->config_off + off);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int vdev_bus_master(struct vdev *d, bool on)
{
	u16 cmd;
	int err;

	err = vdev_config_read(d, PCI_COMMAND, &cmd, sizeof(cmd));
	if (err)
		return err;
	if (on)
		cmd |= PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;
	else
		cmd &= ~PCI_COMMAND_MASTER;
	return vdev_config_write(d, PCI_COMMAND, &cmd, sizeof(cmd));
}

int vdev_reset(struct vdev *d)
{
	return ioctl(d->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

int vdev_irqs(struct vdev *d, const int *evfds, unsigned int nr)
{
	union {
		struct vfio_irq_set set;
		u8 room[sizeof(struct vfio_irq_set) + sizeof(int) * 64];
	} arg;

	if (nr > 64)
		return -EINVAL;
	memset(&arg, 0, sizeof(arg));
	arg.set.argsz = sizeof(struct vfio_irq_set) + nr * sizeof(int);
	arg.set.index = VFIO_PCI_MSIX_IRQ_INDEX;
	arg.set.count = nr;
	arg.set.flags = VFIO_IRQ_SET_ACTION_TRIGGER |
			(nr ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	if (nr)
		memcpy(arg.set.data, evfds, nr * sizeof(int));
	return ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &arg) ? -errno : 0;
}

void vdev_mask_vector(struct vdev *d, unsigned int vector, bool mask)
{
	u32 off = d->msix_table + vector * MSIX_ENTRY_SIZE + MSIX_ENTRY_CTRL;
	u32 ctrl = vdev_read32(d, off);

	if (mask)
		ctrl |= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	else
		ctrl &= ~PCI_MSIX_ENTRY_CTRL_MASKBIT;
	vdev_write32(d, off, ctrl);
}

/* ---- registers ---- */

u32 vdev_read32(struct vdev *d, u32 off)
{
	return __atomic_load_n((u32 *)(d->bar + off), __ATOMIC_SEQ_CST);
}

u64 vdev_read64(struct vdev *d, u32 off)
{
	u32 lo = vdev_read32(d, off);

	return lo | (u64)vdev_read32(d, off + 4) << 32;
}

void vdev_write32(struct vdev *d, u32 off, u32 val)
{
	/* what the device shall see in memory was written before */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n((u32 *)(d->bar + off), val, __ATOMIC_RELEASE);
}

void vdev_write64(struct vdev *d, u32 off, u64 val)
{
	vdev_write32(d, off, val);
	vdev_write32(d, off + 4, val >> 32);
}

/* ---- features ---- */

int vdev_feature(struct vdev *d, u32 flags, void *data, size_t len)
{
	size_t size = sizeof(struct vfio_device_feature) + len;
	struct vfio_device_feature *f = calloc(1, size);
	int err = 0;

	if (!f)
		return -ENOMEM;
	f->argsz = size;
	f->flags = flags;
	if (len)
		memcpy(f->data, data, len);
	if (ioctl(d->fd, VFIO_DEVICE_FEATURE, f) < 0)
		err = -errno;
	if (len)
		memcpy(data, f->data, len);
	free(f);
	return err;
}

int vdev_mig_flags(struct vdev *d, u64 *flags)
{
	struct vfio_device_feature_migration mig = { 0 };
	int err;

	err = vdev_feature(d, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, &mig,
			   sizeof(mig));
	*flags = mig.flags;
	return err;
}

int vdev_mig_state(struct vdev *d, u32 *state)
{
	struct vfio_device_feature_mig_state mig = { 0 };
	int err;

	err = vdev_feature(d, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			   &mig, sizeof(mig));
	*state = mig.device_state;
	return err;
}

int vdev_mig_set_state(struct vdev *d, u32 state, int *data_fd)
{
	struct vfio_device_feature_mig_state mig = { .device_state = state, .data_fd = -1 };
	int err;

	err = vdev_feature(d, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			   &mig, sizeof(mig));
	if (data_fd)
		*data_fd = mig.data_fd;
	return err;
}

int vdev_mig_data_size(struct vdev *d, u64 *bytes)
{
	struct vfio_device_feature_mig_data_size size = { 0 };
	int err;

	err = vdev_feature(d, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, &size,
			   sizeof(size));
	*bytes = size.stop_copy_length;
	return err;
}
