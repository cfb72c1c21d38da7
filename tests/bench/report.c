// SPDX-License-Identifier: GPL-2.0-only
/*
 * What tests/bench/reports.py measures in a virtual host: reports of dirty memory, and the memory
 * that the driver needs. Prints a line for each measurement; any failure ends the program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "migration.h"
#include "report.h"
#include "unvme.h"

#define PAGE		4096u
#define WINDOW_IOVA	(16ull << 30)
#define SPAN_PAGES	256u
#define DEPTH		64u

static struct arena arena;
static struct vdev dev;
static struct unvme u;
static u64 *lists[DEPTH];

/* What is dirtied: the same pages at many IO addresses, so that they need not be many. */
#define DATA_SIZE	(2u << 20)
static u8 *data;

static void open_vf(const char *bdf)
{
	static const struct unvme_opts opts = { .queues = 1, .depth = DEPTH, .irq = true };
	unsigned int i;

	VFIO_ASSERT_EQ(arena_init(&arena, -1, 4 << 20, ARENA_IOVA), 0);
	vdev_open(&dev, bdf);
	VFIO_ASSERT_EQ(vdev_map(&dev, &arena), 0);
	VFIO_ASSERT_EQ(unvme_init(&u, &dev, &arena, &opts), 0);
	for (i = 0; i < DEPTH; i++)
		lists[i] = arena_alloc(&arena, PAGE);
}

static void map_data(size_t size, u64 iova)
{
	struct dma_region *r = calloc(1, sizeof(*r));

	VFIO_ASSERT_NOT_NULL(r);
	*r = (struct dma_region){ .vaddr = data, .iova = iova, .size = size };
	VFIO_ASSERT_EQ(__iommu_map(dev.iommu, r), 0);
}

/* One read into @nr pages, each @stride behind the one before. */
static void queue_read(u64 iova, u64 stride, unsigned int nr, u64 *list)
{
	struct nvme_sqe sqe = {
		.opcode = NVME_IO_READ, .nsid = u.nsid, .cdw12 = nr * PAGE / u.lba_size - 1,
		.prp1 = iova,
	};
	unsigned int i;

	for (i = 1; i < nr; i++)
		list[i - 1] = iova + i * stride;
	if (nr == 2)
		sqe.prp2 = list[0];
	else if (nr > 2)
		sqe.prp2 = arena_iova(&arena, list);
	VFIO_ASSERT_NOT_NULL(unvme_queue_cmd(&u, 1, &sqe, NULL, NULL));
}

/* The device writes to @nr pages. */
static void dirty(u64 iova, u64 stride, unsigned int nr)
{
	unsigned int most = min_t(unsigned int, u.mdts / PAGE, 1 + PAGE / sizeof(u64)), i, n;

	while (nr) {
		for (i = 0; nr && i < DEPTH - 1; i++, nr -= n, iova += n * stride) {
			n = min(nr, most);
			queue_read(iova, stride, n, lists[i]);
		}
		unvme_ring(&u, 1);
		VFIO_ASSERT_EQ(unvme_drain(&u, 1, 0), 0);
	}
	VFIO_ASSERT_EQ(u.udrv.faults, 0);
}

static void log_start(u64 size, u64 page_size)
{
	struct vfio_device_feature_dma_logging_range r = { WINDOW_IOVA, size };
	u64 got = page_size;

	VFIO_ASSERT_EQ(vdev_log_start(&dev, &got, &r, 1), 0);
	VFIO_ASSERT_EQ(got, page_size, "granularity of the device");
}

static u64 now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Microseconds of one report, which has to have so many bits. */
static u64 report(u64 size, u64 page_size, u64 *bitmap, u64 want)
{
	size_t words = size / page_size / 64, i;
	u64 start, us, bits = 0;

	/* after this, the bitmap's memory is there, too */
	memset(bitmap, 0, words * sizeof(*bitmap));
	start = now_us();
	VFIO_ASSERT_EQ(vdev_log_report(&dev, WINDOW_IOVA, size, page_size, bitmap), 0);
	us = now_us() - start;
	for (i = 0; i < words; i++)
		bits += __builtin_popcountll(bitmap[i]);
	VFIO_ASSERT_EQ(bits, want, "dirty pages");
	return us;
}

static void *new_memory(size_t size, unsigned int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | flags, -1, 0);

	VFIO_ASSERT_NE(p, MAP_FAILED);
	return p;
}

/* Reports of so many ranges, of a page each, with a clean page behind each. */
static void bench_ranges(int nr, char **counts)
{
	u64 most = 0, size, iova;
	u64 *bitmap;
	int i;

	for (i = 0; i < nr; i++)
		most = max(most, strtoull(counts[i], NULL, 0));
	size = roundup(2 * most * PAGE, (u64)DATA_SIZE);
	/* one huge page, so that the IOMMU needs no more than one entry for each piece */
	data = new_memory(DATA_SIZE, MAP_HUGETLB);
	for (iova = WINDOW_IOVA; iova < WINDOW_IOVA + size; iova += DATA_SIZE)
		map_data(DATA_SIZE, iova);
	bitmap = new_memory(size / PAGE / 8, 0);
	log_start(size, PAGE);
	for (i = 0; i < nr; i++) {
		u64 pages = strtoull(counts[i], NULL, 0);

		dirty(WINDOW_IOVA, 2 * PAGE, pages);
		printf("ranges %llu us %llu\n", (unsigned long long)pages,
		       (unsigned long long)report(size, PAGE, bitmap, pages));
	}
	VFIO_ASSERT_EQ(vdev_log_stop(&dev), 0);
}

/*
 * Reports over two spans in turn, with the same number of dirty pages: groups of so many pages,
 * with a clean one between any two, are spread over each.
 */
static void bench_spans(u64 page_size, unsigned int group, unsigned int rounds)
{
	static const u64 spans[] = { 1ull << 30, 1ull << 40 };
	u64 *bitmap = new_memory(spans[1] / page_size / 8, 0), stride;
	unsigned int groups = SPAN_PAGES / group, i, n, s;

	data = new_memory(PAGE, 0);
	for (s = 0; s < ARRAY_SIZE(spans); s++) {
		stride = spans[s] / groups;
		/* both begin with the same group */
		for (i = s; i < groups; i++)
			for (n = 0; n < group; n++)
				map_data(PAGE, WINDOW_IOVA + i * stride + n * 2 * page_size);
	}
	for (n = 0; n < rounds; n++) {
		for (s = 0; s < ARRAY_SIZE(spans); s++) {
			stride = spans[s] / groups;
			log_start(spans[s], page_size);
			for (i = 0; i < groups; i++)
				dirty(WINDOW_IOVA + i * stride, 2 * page_size, group);
			printf("span %llu us %llu\n", (unsigned long long)spans[s],
			       (unsigned long long)report(spans[s], page_size, bitmap,
							  SPAN_PAGES));
			VFIO_ASSERT_EQ(vdev_log_stop(&dev), 0);
		}
	}
}

static void usage(const char *program)
{
	fprintf(stderr, "%s VF ranges NUMBER...\n"
		"%s VF spans PAGE-SIZE GROUP ROUNDS\n"
		"%s VF memory\n", program, program, program);
	exit(2);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		usage(argv[0]);
	if (!strcmp(argv[2], "memory") && argc == 3) {
		bench_memory(argv[1]);
	} else if (!strcmp(argv[2], "ranges") && argc > 3) {
		open_vf(argv[1]);
		bench_ranges(argc - 3, argv + 3);
		vdev_close(&dev);
	} else if (!strcmp(argv[2], "spans") && argc == 6) {
		open_vf(argv[1]);
		bench_spans(strtoull(argv[3], NULL, 0), strtoul(argv[4], NULL, 0),
			    strtoul(argv[5], NULL, 0));
		vdev_close(&dev);
	} else {
		usage(argv[0]);
	}
	return 0;
}
