/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What libvfio lacks for a function that is migrated: memory for DMA that can be mapped for one
 * function after the other, vectors that move with it, VFIO_DEVICE_FEATURE with its errors.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_VDEV_H
#define SELFTESTS_VFIO_MIGRATION_VDEV_H

#include <libvfio.h>

/* Milliseconds of a clock that only goes forward. */
u64 now_ms(void);

/* ---- memory the device may access ---- */

struct arena {
	int fd;			/* memfd, can be mapped by another process */
	u8 *va;
	u64 iova;
	size_t size;
	size_t used;
};

#define ARENA_IOVA	0x100000000ULL

/**
 * arena_init - make memory for DMA
 * @a: filled in
 * @fd: a memfd of the right size to share, or -1 for a new one
 * @size: bytes, a multiple of the page size
 * @iova: IO address at which every function shall see it
 *
 * Return: 0 or -errno.
 */
int arena_init(struct arena *a, int fd, size_t size, u64 iova);
void arena_free(struct arena *a);

/* Page-aligned, zeroed memory; ends the program when the arena is used up. */
void *arena_alloc(struct arena *a, size_t size);

/* IO address of memory inside the arena. */
u64 arena_iova(const struct arena *a, const void *p);

/* Forget all allocations and zero the memory. */
void arena_reset(struct arena *a);

/* ---- a function behind VFIO, in an address space of its own ---- */

struct vdev {
	struct vfio_pci_device *pci;
	struct iommu *iommu;
	struct dma_region region;	/* the arena, while it is mapped */
	char bdf[16];
	int fd;
	u8 *bar;			/* BAR0, NULL where it cannot be mapped */
	unsigned int nr_vectors;
	u32 msix_table;			/* offset in BAR0, 0 where it is elsewhere */
};

/*
 * The IOMMU mode (a name of libvfio) of this run: VFIO_SELFTESTS_IOMMU_MODE, or iommufd where the
 * kernel has it, or a type1v2 container.
 */
const char *vdev_iommu_mode(void);

/*
 * Open a function bound to a VFIO driver, with bus mastering on. Where that fails, libvfio says
 * why and ends the program.
 */
void vdev_open(struct vdev *d, const char *bdf);

/*
 * The same as a VMM without privileges does it: in the mode iommufd another process opens the
 * files and passes them, and this one binds them. Config space stays as the reset leaves it, bus
 * mastering off.
 */
void vdev_open_passed(struct vdev *d, const char *bdf);
void vdev_close(struct vdev *d);

/* Map the arena for DMA of this function, or remove the mapping. 0 or -errno. */
int vdev_map(struct vdev *d, const struct arena *a);
int vdev_unmap(struct vdev *d);

void vdev_bus_master(struct vdev *d, bool on);

/* Offset of a PCI capability in config space, 0 where there is none. */
u8 vdev_find_cap(struct vdev *d, u8 id);

/* VFIO_DEVICE_RESET: a function level reset. 0 or -errno. */
int vdev_reset(struct vdev *d);

/* Connect MSI-X vectors 0..nr-1 to eventfds of the caller; nr = 0 disables MSI-X. */
void vdev_irqs(struct vdev *d, const int *evfds, unsigned int nr);

/* Set or clear the mask bit of one vector in the MSI-X table. */
void vdev_mask_vector(struct vdev *d, unsigned int vector, bool mask);

/* Registers of BAR0. */
u32 vdev_read32(struct vdev *d, u32 off);
u64 vdev_read64(struct vdev *d, u32 off);
void vdev_write32(struct vdev *d, u32 off, u32 val);
void vdev_write64(struct vdev *d, u32 off, u64 val);

/**
 * vdev_feature - VFIO_DEVICE_FEATURE
 * @d: function
 * @flags: number of the feature with the GET, SET and PROBE bits
 * @data: the payload, read and written
 * @len: bytes of it
 *
 * Return: 0 or -errno.
 */
int vdev_feature(struct vdev *d, u32 flags, void *data, size_t len);

#endif /* SELFTESTS_VFIO_MIGRATION_VDEV_H */
