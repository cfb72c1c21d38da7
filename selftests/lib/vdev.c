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
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/io.h>
#include <linux/iommufd.h>
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

static u8 find_cap(struct vfio_pci_device *pci, u8 id)
{
	u8 pos = vfio_pci_config_readb(pci, PCI_CAPABILITY_LIST);

	for (; pos; pos = vfio_pci_config_readb(pci, pos + PCI_CAP_LIST_NEXT))
		if (vfio_pci_config_readb(pci, pos) == id)
			break;
	return pos;
}

u8 vdev_find_cap(struct vdev *d, u8 id)
{
	return find_cap(d->pci, id);
}

static u32 find_msix_table(struct vfio_pci_device *pci)
{
	u8 pos = find_cap(pci, PCI_CAP_ID_MSIX);
	u32 table;

	if (!pos)
		return 0;
	table = vfio_pci_config_readl(pci, pos + PCI_MSIX_TABLE);
	return table & PCI_MSIX_TABLE_BIR ? 0 : table & PCI_MSIX_TABLE_OFFSET;
}

static void open_begin(struct vdev *d, const char *bdf)
{
	memset(d, 0, sizeof(*d));
	snprintf_assert(d->bdf, sizeof(d->bdf), "%s", bdf);
	d->iommu = iommu_init(vdev_iommu_mode());
}

static void open_end(struct vdev *d)
{
	d->fd = d->pci->fd;
	d->bar = d->pci->bars[0].vaddr;
	d->nr_vectors = d->pci->msix_info.count;
	d->msix_table = find_msix_table(d->pci);
}

void vdev_open(struct vdev *d, const char *bdf)
{
	open_begin(d, bdf);
	d->pci = vfio_pci_device_init(d->bdf, d->iommu);
	open_end(d);
	vdev_bus_master(d, true);
}

/* ---- files that another process opens ---- */

enum { FILE_IOMMU, FILE_DEVICE, NR_FILES };

union passed {
	struct cmsghdr align;
	char buf[CMSG_SPACE(NR_FILES * sizeof(int))];
};

static void send_files(int to, const int *files)
{
	union passed control = { 0 };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(NR_FILES * sizeof(int));
	memcpy(CMSG_DATA(c), files, NR_FILES * sizeof(int));
	VFIO_ASSERT_EQ(sendmsg(to, &msg, 0), 1);
}

static void receive_files(int from, int *files)
{
	union passed control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c;

	VFIO_ASSERT_EQ(recvmsg(from, &msg, MSG_CMSG_CLOEXEC), 1);
	c = CMSG_FIRSTHDR(&msg);
	VFIO_ASSERT_NOT_NULL(c, "no files came");
	VFIO_ASSERT_EQ(c->cmsg_len, CMSG_LEN(NR_FILES * sizeof(int)));
	memcpy(files, CMSG_DATA(c), NR_FILES * sizeof(int));
}

static void open_files(const char *bdf, int *files)
{
	const char *cdev = vfio_pci_get_cdev_path(bdf);

	files[FILE_IOMMU] = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	files[FILE_DEVICE] = open(cdev, O_RDWR | O_CLOEXEC);
	VFIO_ASSERT_GE(files[FILE_IOMMU], 0, "open(/dev/iommu) failed\n");
	VFIO_ASSERT_GE(files[FILE_DEVICE], 0, "open(%s) failed\n", cdev);
	free((void *)cdev);
}

/* The manager is gone when this returns: nobody else has the files. */
static void files_of_a_manager(const char *bdf, int *files)
{
	int sock[2], status;
	pid_t pid;

	VFIO_ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
	pid = fork();
	VFIO_ASSERT_GE(pid, 0);
	if (!pid) {
		open_files(bdf, files);
		send_files(sock[1], files);
		_exit(0);
	}
	close(sock[1]);
	receive_files(sock[0], files);
	close(sock[0]);
	VFIO_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	VFIO_ASSERT_EQ(status, 0);
}

/* In place of the iommufd that libvfio opened */
static void take_iommu(struct iommu *iommu, int file)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	VFIO_ASSERT_EQ(dup2(file, iommu->iommufd), iommu->iommufd);
	close(file);
	ioctl_assert(iommu->iommufd, IOMMU_IOAS_ALLOC, &alloc);
	iommu->ioas_id = alloc.out_ioas_id;
}

static void get_region(struct vfio_pci_device *p, u32 index, struct vfio_region_info *info)
{
	info->argsz = sizeof(*info);
	info->index = index;
	ioctl_assert(p->fd, VFIO_DEVICE_GET_REGION_INFO, info);
}

static void map_bar(struct vfio_pci_device *p, u32 index)
{
	struct vfio_pci_bar *bar = &p->bars[index];

	get_region(p, index, &bar->info);
	if (!(bar->info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return;
	bar->vaddr = mmap(NULL, bar->info.size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd,
			  bar->info.offset);
	VFIO_ASSERT_NE(bar->vaddr, MAP_FAILED);
}

static void get_irqs(struct vfio_pci_device *p, u32 index, struct vfio_irq_info *info)
{
	info->argsz = sizeof(*info);
	info->index = index;
	ioctl_assert(p->fd, VFIO_DEVICE_GET_IRQ_INFO, info);
}

/* What libvfio does with a device that it opened itself */
static struct vfio_pci_device *take_device(const char *bdf, struct iommu *iommu, int file)
{
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach), .pt_id = iommu->ioas_id,
	};
	struct vfio_pci_device *p = vfio_pci_device_alloc(bdf, iommu);
	u32 i;

	p->fd = file;
	VFIO_ASSERT_EQ(__vfio_device_bind_iommufd(file, iommu->iommufd, NULL), 0);
	ioctl_assert(file, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	p->info.argsz = sizeof(p->info);
	ioctl_assert(file, VFIO_DEVICE_GET_INFO, &p->info);
	get_region(p, VFIO_PCI_CONFIG_REGION_INDEX, &p->config_space);
	for (i = 0; i < PCI_STD_NUM_BARS; i++)
		map_bar(p, i);
	get_irqs(p, VFIO_PCI_MSI_IRQ_INDEX, &p->msi_info);
	get_irqs(p, VFIO_PCI_MSIX_IRQ_INDEX, &p->msix_info);
	for (i = 0; i < ARRAY_SIZE(p->msi_eventfds); i++)
		p->msi_eventfds[i] = -1;
	return p;
}

void vdev_open_passed(struct vdev *d, const char *bdf)
{
	int files[NR_FILES];

	open_begin(d, bdf);
	if (strcmp(vdev_iommu_mode(), MODE_IOMMUFD)) {
		d->pci = vfio_pci_device_init(d->bdf, d->iommu);
	} else {
		files_of_a_manager(d->bdf, files);
		take_iommu(d->iommu, files[FILE_IOMMU]);
		d->pci = take_device(d->bdf, d->iommu, files[FILE_DEVICE]);
	}
	open_end(d);
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
	/* the device may also look for work in memory: nothing passes this */
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
