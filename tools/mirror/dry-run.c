// SPDX-License-Identifier: GPL-2.0-only
/*
 * nvme-lm-mirror send --dry-run: how long a copy would take. It reads, and writes nothing.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

/* Reads, and milliseconds, that a measurement takes at most */
#define READS		256
#define MEASURE_MS	2000

static u64 allocated_bytes(const struct disk *d)
{
	struct disk_extent e;
	u64 sum = 0;

	for (u64 offset = 0; offset < d->size; offset += e.len) {
		disk_extent(d, offset, d->size - offset, &e);
		if (e.data)
			sum += e.len;
	}
	return sum;
}

static u64 rate_of(u64 bytes, u64 begin)
{
	return bytes * 1000 / max_t(u64, now_ms() - begin, 1);
}

/* Spread over the disk. Bytes a second, or 0 after a fail() */
static u64 read_rate(const struct disk *d, void *buf)
{
	u32 len = min_t(u64, d->size, WIRE_DATA_MAX);
	u64 begin = now_ms(), step = d->size / READS / len * len, bytes = 0;
	int ret;

	for (u32 i = 0; i < READS && now_ms() - begin < MEASURE_MS; i++) {
		ret = disk_read(d, buf, len, min(i * step, d->size - len));
		if (ret) {
			fail(MIRROR_FAILED, "namespace %u: %s: read: %s", d->nsid, d->path,
			     strerror(-ret));
			return 0;
		}
		bytes += len;
	}
	return max_t(u64, rate_of(bytes, begin), 1);
}

static int network_rate(struct peer *p, const void *buf, u64 *rate)
{
	u64 begin, bytes = 0;
	int ret = peer_connect(p, WIRE_DRY);

	begin = now_ms();
	while (ret >= 0 && now_ms() - begin < MEASURE_MS) {
		ret = peer_probe(p, buf, WIRE_DATA_MAX);
		bytes += WIRE_DATA_MAX;
	}
	if (ret >= 0)
		ret = peer_sync(p, 0) ?: peer_synced(p, 0);
	if (ret == -ENOTCONN)
		return fail(MIRROR_FAILED, "%s: %s", p->o->address, p->channel.why);
	if (ret)
		return ret;
	*rate = max_t(u64, rate_of(bytes, begin), 1);
	peer_done(p);
	return 0;
}

static void show(u64 allocated, u64 size, u64 reads, u64 network)
{
	u64 seconds = allocated / min(reads, network);
	char text[256], a[32], b[32], c[32], d[32];

	snprintf(text, sizeof(text), "%s of %s to copy, read at %s/s, sent at %s/s: about %llu s",
		 bytes_text(allocated, a), bytes_text(size, b), bytes_text(reads, c),
		 bytes_text(network, d), (unsigned long long)seconds);
	report_numbers("estimate", text, "allocated", allocated, "size", size, "read_rate", reads,
		       "network_rate", network, "seconds", seconds, NULL);
}

static int measure(const struct disk *disks, u32 nr, struct peer *p, void *buf)
{
	u64 allocated = 0, size = 0, reads = UINT64_MAX, network = 0;
	int ret;

	for (u32 i = 0; i < nr; i++) {
		allocated += allocated_bytes(&disks[i]);
		size += disks[i].size;
		reads = min(reads, read_rate(&disks[i], buf));
		if (!reads)
			return -EPERM;
	}
	ret = network_rate(p, buf, &network);
	if (!ret)
		show(allocated, size, reads, network);
	return ret;
}

int mirror_dry_run(const struct disk *disks, u32 nr, const struct send_options *o)
{
	void *buf = aligned_alloc(DISK_ALIGN, WIRE_DATA_MAX);
	struct peer p;
	int ret = peer_init(&p, disks, nr, o);

	if (!buf)
		ret = fail(MIRROR_FAILED, "no memory");
	ret = ret ?: measure(disks, nr, &p, buf);
	peer_free(&p);
	free(buf);
	return ret;
}
