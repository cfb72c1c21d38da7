// SPDX-License-Identifier: GPL-2.0-only
/*
 * A function on top of libvfio, and its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "vdev.h"

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

	VFIO_ASSERT_LE(a->used + rounded, a->size, "the arena is used up");
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

const char *vdev_iommu_mode(void)
{
	const char *mode = getenv("VFIO_SELFTESTS_IOMMU_MODE");

	if (mode)
		return mode;
	return access("/dev/iommu", F_OK) ? MODE_VFIO_TYPE1V2_IOMMU : MODE_IOMMUFD;
}

static u32 find_msix_table(struct vfio_pci_device *pci)
{
	u8 pos = vfio_pci_config_readb(pci, PCI_CAPABILITY_LIST);
	u32 table;

	for (; pos; pos = vfio_pci_config_readb(pci, pos + PCI_CAP_LIST_NEXT)) {
		if (vfio_pci_config_readb(pci, pos) != PCI_CAP_ID_MSIX)
			continue;
		table = vfio_pci_config_readl(pci, pos + PCI_MSIX_TABLE);
		return table & PCI_MSIX_TABLE_BIR ? 0 : table & PCI_MSIX_TABLE_OFFSET;
	}
	return 0;
}

void vdev_open(struct vdev *d, const char *bdf)
{
	memset(d, 0, sizeof(*d));
	snprintf_assert(d->bdf, sizeof(d->bdf), "%s", bdf);
	d->iommu = iommu_init(vdev_iommu_mode());
	d->pci = vfio_pci_device_init(d->bdf, d->iommu);
	d->fd = d->pci->fd;
	d->bar = d->pci->bars[0].vaddr;
	d->nr_vectors = d->pci->msix_info.count;
	d->msix_table = find_msix_table(d->pci);
	vdev_bus_master(d, true);
}

void vdev_close(struct vdev *d)
{
	vfio_pci_device_cleanup(d->pci);
	iommu_cleanup(d->iommu);
	d->pci = NULL;
	d->iommu = NULL;
	d->bar = NULL;
	d->fd = -1;
}

int vdev_map(struct vdev *d, const struct arena *a)
{
	d->region.vaddr = a->va;
	d->region.iova = a->iova;
	d->region.size = a->size;
	return __iommu_map(d->iommu, &d->region);
}

int vdev_unmap(struct vdev *d)
{
	return __iommu_unmap(d->iommu, &d->region, NULL);
}

/* ---- config space, reset, interrupts ---- */

void vdev_bus_master(struct vdev *d, bool on)
{
	if (on)
		vfio_pci_cmd_set(d->pci, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	else
		vfio_pci_cmd_clear(d->pci, PCI_COMMAND_MASTER);
}

int vdev_reset(struct vdev *d)
{
	return __vfio_pci_device_reset(d->pci);
}

void vdev_irqs(struct vdev *d, const int *evfds, unsigned int nr)
{
	int *own = d->pci->msi_eventfds;
	unsigned int i;

	if (own[0] >= 0)
		vfio_pci_msix_disable(d->pci);
	/* libvfio closes those of the device, the caller's live on */
	for (i = 0; i < nr; i++) {
		own[i] = fcntl(evfds[i], F_DUPFD_CLOEXEC, 0);
		VFIO_ASSERT_GE(own[i], 0);
	}
	if (nr)
		vfio_pci_msix_reenable(d->pci, 0, nr);
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
	return readl(d->bar + off);
}

u64 vdev_read64(struct vdev *d, u32 off)
{
	u32 lo = vdev_read32(d, off);

	return lo | (u64)vdev_read32(d, off + 4) << 32;
}

void vdev_write32(struct vdev *d, u32 off, u32 val)
{
	/* shadow doorbells: memory written before is visible, memory read later is new */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	writel(val, d->bar + off);
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
	struct vfio_device_feature *f = calloc_assert(1, size);
	int err = 0;

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
