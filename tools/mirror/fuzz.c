// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: whatever a sender sends, the receiver ends the connection, and has written nothing
 * outside the disk.
 */

#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "receive.c"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

#define SIZE	65536

static struct disk disk = { .nsid = 1, .path = "memory", .size = SIZE, .lba_size = 512 };

static void require(bool true_thing)
{
	if (!true_thing)
		abort();
}

static void set_up(void)
{
	disk.fd = memfd_create("disk", 0);
	require(disk.fd >= 0 && !ftruncate(disk.fd, SIZE));
}

/* The end of what is sent is the end of the connection, or the receiver would wait for more */
static int connection_with(const u8 *data, size_t len, int *other)
{
	int fds[2];

	require(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	require(send(fds[1], data, len, 0) == (ssize_t)len);
	shutdown(fds[1], SHUT_WR);
	*other = fds[1];
	return fds[0];
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct receiver r = { .disks = &disk, .nr = 1 };
	struct stat st;
	int other;

	if (disk.fd <= 0)
		set_up();
	r.extents = calloc(EXTENTS_MAX, sizeof(*r.extents));
	r.buf = aligned_alloc(DISK_ALIGN, WIRE_DATA_MAX + DISK_ALIGN);
	require(r.extents && r.buf && !checksum_init(&r.checksum));
	r.channel = (struct channel){ .fd = connection_with(data, len, &other) };

	serve(&r);
	require(r.channel.fd < 0);
	if (disk.fd > 0)
		require(!fstat(disk.fd, &st) && st.st_size == SIZE);

	close(other);
	checksum_free(&r.checksum);
	free(r.extents);
	free(r.buf);
	return 0;
}
