// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checksum of extents.
 */

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "checksum.h"

int checksum_init(struct checksum *c)
{
	c->state = XXH3_createState();
	if (!c->state)
		return -ENOMEM;
	checksum_reset(c);
	return 0;
}

void checksum_free(struct checksum *c)
{
	XXH3_freeState(c->state);
}

void checksum_reset(struct checksum *c)
{
	XXH3_128bits_reset(c->state);
}

void checksum_extent(struct checksum *c, u32 nsid, u64 offset, u64 len, const void *data)
{
	__le64 head[] = { htole64(nsid), htole64(offset), htole64(len), htole64(!data) };

	XXH3_128bits_update(c->state, head, sizeof(head));
	if (data)
		XXH3_128bits_update(c->state, data, len);
}

void checksum_get(struct checksum *c, u8 sum[static CHECKSUM_SIZE])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(c->state));
	memcpy(sum, &canonical, CHECKSUM_SIZE);
}
