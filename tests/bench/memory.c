// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel memory of a process that saves and loads a VF, as its cgroup accounts it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migration.h"
#include "report.h"

#define CGROUP	"/sys/fs/cgroup/report-bench/"

static void read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	VFIO_ASSERT_GE(fd, 0, "%s", path);
	n = read(fd, text, size - 1);
	VFIO_ASSERT_GT(n, 0, "%s", path);
	text[n] = 0;
	close(fd);
}

static long long kernel_bytes(void)
{
	static char text[8192];
	const char *line;

	/* small changes stay in counters of each processor until somebody reads these */
	read_file(CGROUP "cpu.stat", text, sizeof(text));
	read_file(CGROUP "memory.stat", text, sizeof(text));
	line = strstr(text, "\nkernel ");
	VFIO_ASSERT_NOT_NULL(line);
	return atoll(line + strlen("\nkernel "));
}

/* Read half of the stream, or less if that is a lot; the memory that this takes. */
static long long memory_of_save(struct vdev *d, size_t stream)
{
	static char piece[1 << 16];
	size_t left = min_t(size_t, stream / 2, 8 << 20);
	long long before, during;
	ssize_t n;
	int fd;

	memset(piece, 1, sizeof(piece));
	before = kernel_bytes();
	fd = vdev_mig_open(d, ST_STOP_COPY);
	VFIO_ASSERT_GE(fd, 0);
	for (; left; left -= n) {
		n = read(fd, piece, min(left, sizeof(piece)));
		VFIO_ASSERT_GT(n, 0);
	}
	during = kernel_bytes();
	close(fd);
	VFIO_ASSERT_EQ(vdev_reset(d), 0);
	return during - before;
}

static long long memory_of_load(struct vdev *d, const struct stream *s)
{
	struct stream half = { s->data, min_t(size_t, s->size / 2, 8 << 20) };
	long long before = kernel_bytes(), during;
	int fd = vdev_mig_open(d, ST_RESUMING);

	VFIO_ASSERT_GE(fd, 0);
	VFIO_ASSERT_EQ(stream_write(fd, &half, 0), 0);
	during = kernel_bytes();
	close(fd);
	VFIO_ASSERT_EQ(vdev_reset(d), 0);
	return during - before;
}

void bench_memory(const char *bdf)
{
	long long save, load;
	struct stream s;
	struct vdev d;

	vdev_open(&d, bdf);
	VFIO_ASSERT_EQ(mig_save_fresh(&d, &s), 0);
	save = memory_of_save(&d, s.size);
	load = memory_of_load(&d, &s);
	printf("stream %zu save %lld load %lld\n", s.size, save, load);
	stream_free(&s);
	vdev_close(&d);
}
