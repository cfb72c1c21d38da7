// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of wire.c: decoding of what a device returned. Expected
 * values are numbers taken from the specifications; none comes from the driver's own
 * definitions.
 */

#include <kunit/test.h>
#include <linux/blkdev.h>
#include <linux/nvme.h>
#include <linux/unaligned.h>

#include "lm.h"
#include "nvme.h"
#include "nvme_pf.h"
#include "stream.h"
#include "wire.h"

#define SIZE_OF(type, want)		{ #type, sizeof(struct type), want }
#define OFFSET_OF(type, member, want)	{ #type "." #member, offsetof(struct type, member), want }

static const struct {
	const char *name;
	size_t is;
	size_t want;
} layout_cases[] = {
	SIZE_OF(nvme_command, 64),
	SIZE_OF(nvme_lm_state_formats, 4096),
	OFFSET_OF(nvme_lm_state_formats, nv, 0),
	OFFSET_OF(nvme_lm_state_formats, nuuid, 1),
	OFFSET_OF(nvme_lm_state_formats, entries, 2),
	SIZE_OF(nvme_lm_secondary_entry, 32),
	OFFSET_OF(nvme_lm_secondary_entry, scid, 0),
	OFFSET_OF(nvme_lm_secondary_entry, pcid, 2),
	OFFSET_OF(nvme_lm_secondary_entry, scs, 4),
	OFFSET_OF(nvme_lm_secondary_entry, vfn, 8),
	OFFSET_OF(nvme_lm_secondary_entry, nvq, 10),
	OFFSET_OF(nvme_lm_secondary_entry, nvi, 12),
	SIZE_OF(nvme_lm_secondary_list, 4096),
	OFFSET_OF(nvme_lm_secondary_list, nument, 0),
	OFFSET_OF(nvme_lm_secondary_list, entry, 32),
	OFFSET_OF(nvme_lm_secondary_list, entry[126], 4064),
	SIZE_OF(nvme_lm_state_header, 48),
	OFFSET_OF(nvme_lm_state_header, ver, 0),
	OFFSET_OF(nvme_lm_state_header, csattr, 2),
	OFFSET_OF(nvme_lm_state_header, nvmecss, 16),
	OFFSET_OF(nvme_lm_state_header, vss, 32),
	SIZE_OF(nvme_lm_state, 8),
	OFFSET_OF(nvme_lm_state, niosq, 2),
	OFFSET_OF(nvme_lm_state, niocq, 4),
	SIZE_OF(nvme_lm_state_sq, 24),
	OFFSET_OF(nvme_lm_state_sq, prp1, 0),
	OFFSET_OF(nvme_lm_state_sq, qsize, 8),
	OFFSET_OF(nvme_lm_state_sq, qid, 10),
	OFFSET_OF(nvme_lm_state_sq, cqid, 12),
	OFFSET_OF(nvme_lm_state_sq, attr, 14),
	OFFSET_OF(nvme_lm_state_sq, head, 16),
	OFFSET_OF(nvme_lm_state_sq, tail, 18),
	SIZE_OF(nvme_lm_state_cq, 24),
	OFFSET_OF(nvme_lm_state_cq, prp1, 0),
	OFFSET_OF(nvme_lm_state_cq, qsize, 8),
	OFFSET_OF(nvme_lm_state_cq, qid, 10),
	OFFSET_OF(nvme_lm_state_cq, head, 12),
	OFFSET_OF(nvme_lm_state_cq, tail, 14),
	OFFSET_OF(nvme_lm_state_cq, attr, 16),
	SIZE_OF(nvme_lm_track_limits, 7),
	OFFSET_OF(nvme_lm_track_limits, trattr, 6),
	SIZE_OF(nvme_lm_track, 8),
	OFFSET_OF(nvme_lm_track, rmrtg, 3),
	OFFSET_OF(nvme_lm_track, rnmrtd, 4),
	OFFSET_OF(nvme_lm_track, range[1].saddr, 20),
	OFFSET_OF(nvme_lm_track, range[1].len, 28),
	SIZE_OF(nvme_lm_changes, 16),
	OFFSET_OF(nvme_lm_changes, attrb, 1),
	OFFSET_OF(nvme_lm_changes, cntlid, 2),
	OFFSET_OF(nvme_lm_changes, ntmcd, 4),
	OFFSET_OF(nvme_lm_changes, rpmpg, 8),
	OFFSET_OF(nvme_lm_changes, change[1].saddr, 32),
	OFFSET_OF(nvme_lm_changes, change[1].len, 40),
	SIZE_OF(nvme_lm_rec, 16),
	OFFSET_OF(nvme_lm_rec, tag, 0),
	OFFSET_OF(nvme_lm_rec, flags, 4),
	OFFSET_OF(nvme_lm_rec, len, 8),
	SIZE_OF(nvme_lm_hello, 392),
	OFFSET_OF(nvme_lm_hello, magic, 0),
	OFFSET_OF(nvme_lm_hello, version, 8),
	OFFSET_OF(nvme_lm_hello, cmdset, 10),
	OFFSET_OF(nvme_lm_hello, ident, 11),
	OFFSET_OF(nvme_lm_hello, state_ver, 12),
	OFFSET_OF(nvme_lm_hello, msix, 14),
	OFFSET_OF(nvme_lm_hello, state_len, 16),
	OFFSET_OF(nvme_lm_hello, uuid, 24),
	OFFSET_OF(nvme_lm_hello, cap, 40),
	OFFSET_OF(nvme_lm_hello, vs, 48),
	OFFSET_OF(nvme_lm_hello, nvq, 52),
	OFFSET_OF(nvme_lm_hello, nvi, 54),
	OFFSET_OF(nvme_lm_hello, vid, 56),
	OFFSET_OF(nvme_lm_hello, ssvid, 58),
	OFFSET_OF(nvme_lm_hello, oncs, 60),
	OFFSET_OF(nvme_lm_hello, mdts, 62),
	OFFSET_OF(nvme_lm_hello, aerl, 63),
	OFFSET_OF(nvme_lm_hello, sgls, 64),
	OFFSET_OF(nvme_lm_hello, rsvd68, 68),
	OFFSET_OF(nvme_lm_hello, sn, 72),
	OFFSET_OF(nvme_lm_hello, mn, 92),
	OFFSET_OF(nvme_lm_hello, subnqn, 132),
	OFFSET_OF(nvme_lm_hello, rsvd388, 388),
	SIZE_OF(nvme_lm_piece, 8),
	SIZE_OF(nvme_lm_end, 16),
	OFFSET_OF(nvme_lm_end, total, 0),
	OFFSET_OF(nvme_lm_end, crc, 8),
	OFFSET_OF(nvme_lm_end, rsvd12, 12),
};

static void test_layout(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(layout_cases); i++)
		KUNIT_EXPECT_EQ_MSG(test, layout_cases[i].is, layout_cases[i].want, "%s",
				    layout_cases[i].name);
}

/* Every other status is -EIO */
static const struct {
	u16 status;
	int err;
} known_status[] = {
	{ 0x001, -EOPNOTSUPP },		/* Invalid Command Opcode */
	{ 0x002, -EINVAL },		/* Invalid Field in Command */
	{ 0x00c, -EPROTO },		/* Command Sequence Error */
	{ 0x11f, -ENXIO },		/* Invalid Controller Identifier */
	{ 0x138, -ENOSPC },		/* Not Enough Resources */
	{ 0x139, -EBUSY },		/* Controller Suspended */
	{ 0x13a, -EREMOTEIO },		/* Controller Not Suspended */
};

static int expected_errno(u16 status)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(known_status); i++)
		if (known_status[i].status == status)
			return known_status[i].err;

	return -EIO;
}

static void test_status_to_errno(struct kunit *test)
{
	unsigned int status;

	for (status = 0; status <= 0xffff; status++)
		KUNIT_EXPECT_EQ_MSG(test, nvmevf_status_to_errno(status), expected_errno(status),
				    "status %#x", status);
}

/* CRD, More and DNR are not part of the status; the two path errors come from the host */
static void test_answer_status(struct kunit *test)
{
	unsigned int status, bits;
	int want;

	for (status = 0; status <= 0x7ff; status++) {
		want = status == 0x370 || status == 0x371 ? -ENOTCONN : status;
		for (bits = 0; bits <= 0xf800; bits += 0x800)
			KUNIT_EXPECT_EQ_MSG(test, nvmevf_answer_error(status | bits, false, 0),
					    want, "status %#x", status | bits);
	}
}

static void test_answer_cancelled(struct kunit *test)
{
	unsigned int status;

	for (status = 0; status <= 0xffff; status++)
		KUNIT_EXPECT_EQ_MSG(test, nvmevf_answer_error(status, true, 0), -ENOTCONN,
				    "status %#x", status);
}

static void test_answer_block(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, nvmevf_answer_error(0, false, BLK_STS_OK), 0);
	KUNIT_EXPECT_EQ(test, nvmevf_answer_error(0, false, BLK_STS_IOERR), -EIO);
	KUNIT_EXPECT_EQ(test, nvmevf_answer_error(0, false, BLK_STS_TIMEOUT), -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, nvmevf_answer_error(0, false, BLK_STS_RESOURCE), -ENOMEM);
	/* bits that are not part of the status do not hide it */
	KUNIT_EXPECT_EQ(test, nvmevf_answer_error(0x4000, false, BLK_STS_IOERR), -EIO);
	/* the status from the device takes precedence */
	KUNIT_EXPECT_EQ(test, nvmevf_answer_error(0x4002, false, BLK_STS_IOERR), 0x002);
	KUNIT_EXPECT_EQ(test, nvmevf_answer_error(0, true, BLK_STS_IOERR), -ENOTCONN);
}

/* Container: Fig 358. Offsets are those of the specification. */
#define AT_VER		0
#define AT_CSATTR	2
#define AT_NVMECSS	16
#define AT_VSS		32

struct container {
	u8 bytes[48] __aligned(8);
};

static bool container_len(const struct container *c, u64 *len)
{
	return nvmevf_container_len((const void *)c->bytes, len);
}

struct container_case {
	const char *name;
	u16 ver;
	u64 nvmecss[2];
	u64 vss[2];
	bool possible;
	u64 len;
};

static const struct container_case container_cases[] = {
	{ "empty", 0, { 0 }, { 0 }, true, 48 },
	{ "one queue pair", 0, { 14 }, { 0 }, true, 104 },
	{ "vendor data", 0, { 0 }, { 1216 }, true, 4912 },
	{ "both", 0, { 14 }, { 1216 }, true, 4968 },
	{ "beyond 4 GiB", 0, { 0x40000000 }, { 0x40000000 }, true, 0x200000030 },
	{ "largest", 0, { 0x3ffffffffffffff3 }, { 0 }, true, 0xfffffffffffffffc },
	{ "largest, in halves", 0, { 0x1fffffffffffffff }, { 0x1ffffffffffffff4 }, true,
	  0xfffffffffffffffc },
	{ "a dword too many", 0, { 0x3ffffffffffffff4 }, { 0 } },
	{ "a dword too many, vendor", 0, { 0 }, { 0x3ffffffffffffff4 } },
	{ "product wraps to 0", 0, { 0x4000000000000000 }, { 0 } },
	{ "product wraps", 0, { 0 }, { 0x400000000000000e } },
	{ "sum wraps to 0", 0, { 0x8000000000000000 }, { 0x8000000000000000 } },
	{ "sum wraps", 0, { 0xffffffffffffffff }, { 15 } },
	{ "65th bit", 0, { 14, 1 }, { 0 } },
	{ "65th bit, vendor", 0, { 0 }, { 14, 1 } },
	{ "128th bit", 0, { 14, 0x8000000000000000 }, { 0 } },
	{ "128th bit, vendor", 0, { 0 }, { 14, 0x8000000000000000 } },
	{ "all ones", 0, { U64_MAX, U64_MAX }, { U64_MAX, U64_MAX } },
	{ "version 1", 1, { 14 }, { 0 } },
	{ "version 256", 256, { 14 }, { 0 } },
};

KUNIT_ARRAY_PARAM_DESC(container, container_cases, name);

static void test_container(struct kunit *test)
{
	const struct container_case *c = test->param_value;
	struct container raw = {};
	u64 len = 0;

	put_unaligned_le16(c->ver, raw.bytes + AT_VER);
	put_unaligned_le64(c->nvmecss[0], raw.bytes + AT_NVMECSS);
	put_unaligned_le64(c->nvmecss[1], raw.bytes + AT_NVMECSS + 8);
	put_unaligned_le64(c->vss[0], raw.bytes + AT_VSS);
	put_unaligned_le64(c->vss[1], raw.bytes + AT_VSS + 8);

	KUNIT_EXPECT_EQ(test, container_len(&raw, &len), c->possible);
	if (c->possible)
		KUNIT_EXPECT_EQ(test, len, c->len);
}

/* Length of a header of 14 and 1216 dwords with one wrong bit; 0: impossible */
static u64 flipped_len(unsigned int byte, unsigned int bit)
{
	unsigned int n;

	if (byte < AT_CSATTR)
		return 0;
	if (byte < AT_NVMECSS)
		return 4968;

	n = (byte % 16) * 8 + bit;
	if (n >= 62)
		return 0;
	return byte < AT_VSS ? 48 + 4 * ((14 ^ 1ULL << n) + 1216) :
			       48 + 4 * (14 + (1216 ^ 1ULL << n));
}

static void test_container_bits(struct kunit *test)
{
	struct container raw = {};
	unsigned int byte, bit;
	u64 want, len;

	put_unaligned_le64(14, raw.bytes + AT_NVMECSS);
	put_unaligned_le64(1216, raw.bytes + AT_VSS);

	for (byte = 0; byte < 48; byte++) {
		for (bit = 0; bit < 8; bit++) {
			want = flipped_len(byte, bit);
			raw.bytes[byte] ^= 1 << bit;
			KUNIT_EXPECT_EQ_MSG(test, container_len(&raw, &len), !!want,
					    "byte %u bit %u", byte, bit);
			if (want)
				KUNIT_EXPECT_EQ_MSG(test, len, want, "byte %u bit %u", byte, bit);
			raw.bytes[byte] ^= 1 << bit;
		}
	}
}

/* Identify Controller data, Fig 312 */
static u8 *new_identify(struct kunit *test)
{
	u8 *id = kunit_kzalloc(test, 4096, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, id);
	return id;
}

static void test_is_identity(struct kunit *test)
{
	u8 *raw = new_identify(test);
	const struct nvme_id_ctrl *id = (const void *)raw;

	put_unaligned_le16(0x1b36, raw + 0);
	put_unaligned_le16(0x1af4, raw + 2);
	put_unaligned_le16(0x0102, raw + 78);

	KUNIT_EXPECT_TRUE(test, nvmevf_is_identity(id, 0x1b36, 0x1af4, 0x0102));
	KUNIT_EXPECT_FALSE(test, nvmevf_is_identity(id, 0x1b37, 0x1af4, 0x0102));
	KUNIT_EXPECT_FALSE(test, nvmevf_is_identity(id, 0x1b36, 0x1af5, 0x0102));
	KUNIT_EXPECT_FALSE(test, nvmevf_is_identity(id, 0x1b36, 0x1af4, 0x0103));
	KUNIT_EXPECT_FALSE(test, nvmevf_is_identity(id, 0x361b, 0x1af4, 0x0102));
	KUNIT_EXPECT_FALSE(test, nvmevf_is_identity(id, 0x1b36, 0xf41a, 0x0102));
	KUNIT_EXPECT_FALSE(test, nvmevf_is_identity(id, 0x1b36, 0x1af4, 0x0201));
}

/* OACS bit 11 */
static void test_has_hmlms(struct kunit *test)
{
	u8 *raw = new_identify(test);
	const struct nvme_id_ctrl *id = (const void *)raw;
	unsigned int i;

	KUNIT_EXPECT_FALSE(test, nvmevf_has_hmlms(id));

	for (i = 0; i < 16; i++) {
		put_unaligned_le16(1 << i, raw + 256);
		KUNIT_EXPECT_EQ_MSG(test, nvmevf_has_hmlms(id), i == 11, "OACS bit %u", i);
		put_unaligned_le16(~(1 << i), raw + 256);
		KUNIT_EXPECT_EQ_MSG(test, nvmevf_has_hmlms(id), i != 11, "all but OACS bit %u", i);
	}
}

/* Supported Controller State Formats, Fig 329 */
struct formats_case {
	const char *name;
	u8 nv;
	u8 nuuid;
	u16 versions[3];	/* the first ones; the rest are 1 */
	u8 at_version;		/* index of a version 0 among the rest */
	u8 uuid_at[2];		/* indexes of UUIDs that are not null */
	int err;
	u8 csvi;
	u8 csuuidi;
};

static const struct formats_case formats_cases[] = {
	{ .name = "none" },
	{ .name = "version 0", .nv = 1, .csvi = 1 },
	{ .name = "version 1 only", .nv = 1, .versions = { 1 } },
	{ .name = "version 256 only", .nv = 1, .versions = { 0x0100 } },
	{ .name = "index is not value", .nv = 3, .versions = { 2, 1, 0 }, .csvi = 3 },
	{ .name = "duplicate", .nv = 3, .versions = { 1, 0, 0 }, .csvi = 2 },
	{ .name = "behind the last", .nv = 2, .versions = { 2, 1, 0 } },
	{ .name = "none of 255", .nv = 255, .versions = { 1, 2, 3 } },
	{ .name = "last of 255", .nv = 255, .versions = { 1, 2, 3 }, .at_version = 255,
	  .csvi = 255 },
	{ .name = "UUID", .nuuid = 1, .uuid_at = { 1 }, .csuuidi = 1 },
	{ .name = "version and UUID", .nv = 1, .nuuid = 1, .uuid_at = { 1 }, .csvi = 1,
	  .csuuidi = 1 },
	{ .name = "null UUID", .nv = 1, .nuuid = 1, .csvi = 1 },
	{ .name = "UUID behind a null one", .nv = 1, .nuuid = 2, .uuid_at = { 2 }, .csvi = 1,
	  .csuuidi = 2 },
	{ .name = "first of two UUIDs", .nv = 3, .nuuid = 3, .versions = { 1, 2, 0 },
	  .uuid_at = { 2, 3 }, .csvi = 3, .csuuidi = 2 },
	{ .name = "UUID behind the last", .nv = 1, .nuuid = 1, .uuid_at = { 2 }, .csvi = 1 },
	{ .name = "last of 255 UUIDs", .nuuid = 255, .uuid_at = { 255 }, .csuuidi = 255 },
	{ .name = "as long as can be, UUIDs", .nv = 7, .nuuid = 255, .uuid_at = { 255 },
	  .csvi = 1, .csuuidi = 255 },
	{ .name = "too long by one version", .nv = 8, .nuuid = 255, .uuid_at = { 1 },
	  .err = -EPROTO },
	{ .name = "as long as can be, versions", .nv = 255, .nuuid = 224, .uuid_at = { 224 },
	  .csvi = 1, .csuuidi = 224 },
	{ .name = "too long by one UUID", .nv = 255, .nuuid = 225, .uuid_at = { 1 },
	  .err = -EPROTO },
	{ .name = "all ones", .nv = 255, .nuuid = 255, .err = -EPROTO },
};

KUNIT_ARRAY_PARAM_DESC(formats, formats_cases, name);

/* Store the UUID at an index, but nothing beyond the end of the list */
static void put_uuid(u8 *raw, const struct formats_case *c, unsigned int index)
{
	size_t at = 2 + 2 * c->nv + 16 * (index - 1);

	if (at + 16 <= 4096)
		memset(raw + at, index, 16);
}

static u8 *new_formats(struct kunit *test, const struct formats_case *c)
{
	u8 *raw = kunit_kzalloc(test, 4096, GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, raw);
	raw[0] = c->nv;
	raw[1] = c->nuuid;
	for (i = 1; i <= c->nv; i++)
		put_unaligned_le16(i == c->at_version ? 0 : 1, raw + 2 * i);
	for (i = 0; i < 3; i++)
		put_unaligned_le16(c->versions[i], raw + 2 + 2 * i);
	for (i = 0; i < 2; i++)
		if (c->uuid_at[i])
			put_uuid(raw, c, c->uuid_at[i]);
	return raw;
}

static void test_formats(struct kunit *test)
{
	const struct formats_case *c = test->param_value;
	u8 *raw = new_formats(test, c);
	struct nvmevf_lm *lm = kunit_kzalloc(test, sizeof(*lm), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, lm);
	KUNIT_EXPECT_EQ(test, nvmevf_parse_formats(lm, (const void *)raw), c->err);
	KUNIT_EXPECT_EQ(test, lm->csvi, c->csvi);
	KUNIT_EXPECT_EQ(test, lm->csuuidi, c->csuuidi);

	if (c->err || !c->nuuid) {
		KUNIT_EXPECT_EQ(test, lm->nuuid, 0);
		KUNIT_EXPECT_NULL(test, lm->uuids);
	} else {
		KUNIT_EXPECT_EQ(test, lm->nuuid, c->nuuid);
		KUNIT_EXPECT_MEMEQ(test, lm->uuids, raw + 2 + 2 * c->nv, 16 * c->nuuid);
	}
	kfree(lm->uuids);
}

/* Secondary Controller List, Fig 331 and 332 */
static u8 *new_list(struct kunit *test, u8 nument)
{
	u8 *raw = kunit_kzalloc(test, 4096, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, raw);
	raw[0] = nument;
	return raw;
}

static void put_entry(u8 *raw, unsigned int i, u16 scid, u16 pcid, u16 vfn)
{
	put_unaligned_le16(scid, raw + 32 + 32 * i);
	put_unaligned_le16(pcid, raw + 32 + 32 * i + 2);
	put_unaligned_le16(vfn, raw + 32 + 32 * i + 8);
}

/* Number of the entry found, or -1 */
static int find(const u8 *raw, u16 vfn, u16 pcid)
{
	const struct nvme_pf_vf vf = { .vfn = vfn };
	const struct nvme_lm_secondary_entry *entry;

	entry = nvme_pf_find_secondary(&vf, pcid, (const void *)raw);
	return entry ? ((const u8 *)entry - raw - 32) / 32 : -1;
}

static void test_secondary_find(struct kunit *test)
{
	u8 *raw = new_list(test, 7);

	/* the VFs of two PFs, 0x10 and 0x0100, and a secondary controller that is no VF */
	put_entry(raw, 0, 0x0011, 0x0010, 1);
	put_entry(raw, 1, 0x0012, 0x0010, 2);
	put_entry(raw, 2, 0x0101, 0x0100, 1);
	put_entry(raw, 3, 0x0102, 0x0100, 2);
	put_entry(raw, 4, 0x0103, 0x0100, 0x0300);
	put_entry(raw, 5, 0x0104, 0x0100, 0);
	put_entry(raw, 6, 0x0110, 0x0010, 3);

	KUNIT_EXPECT_EQ(test, find(raw, 1, 0x0010), 0);
	KUNIT_EXPECT_EQ(test, find(raw, 2, 0x0010), 1);
	KUNIT_EXPECT_EQ(test, find(raw, 1, 0x0100), 2);
	KUNIT_EXPECT_EQ(test, find(raw, 2, 0x0100), 3);
	KUNIT_EXPECT_EQ(test, find(raw, 0x0300, 0x0100), 4);
	KUNIT_EXPECT_EQ(test, find(raw, 3, 0x0010), 6);

	KUNIT_EXPECT_EQ(test, find(raw, 3, 0x0100), -1);
	KUNIT_EXPECT_EQ(test, find(raw, 4, 0x0010), -1);
	KUNIT_EXPECT_EQ(test, find(raw, 1, 0x0001), -1);
	KUNIT_EXPECT_EQ(test, find(raw, 1, 0x1000), -1);
	/* not by controller id */
	KUNIT_EXPECT_EQ(test, find(raw, 0x0011, 0x0010), -1);
}

static void test_secondary_own(struct kunit *test)
{
	u8 *raw = new_list(test, 1);

	put_entry(raw, 0, 0x0010, 0x0010, 1);
	KUNIT_EXPECT_EQ(test, find(raw, 1, 0x0010), -1);
}

struct nument_case {
	const char *name;
	u8 nument;
	bool found;	/* the last of 127 entries */
};

static const struct nument_case nument_cases[] = {
	{ "none", 0 },
	{ "one", 1 },
	{ "all but one", 126 },
	{ "all", 127, true },
	{ "one too many", 128, true },
	{ "far too many", 255, true },
};

KUNIT_ARRAY_PARAM_DESC(nument, nument_cases, name);

static void test_secondary_nument(struct kunit *test)
{
	const struct nument_case *c = test->param_value;
	u8 *raw = new_list(test, c->nument);
	unsigned int i;

	for (i = 0; i < 127; i++)
		put_entry(raw, i, 0x11 + i, 0x10, 1 + i);

	KUNIT_EXPECT_EQ(test, find(raw, 127, 0x10), c->found ? 126 : -1);
	KUNIT_EXPECT_EQ(test, find(raw, 1, 0x10), c->nument ? 0 : -1);
	/* memory after the page is not part of it */
	KUNIT_EXPECT_EQ(test, find(raw, 128, 0x10), -1);
	KUNIT_EXPECT_EQ(test, nvmevf_next_secondary((const void *)raw, 0),
			c->found ? 0x90 : -ENXIO);
}

struct next_case {
	const char *name;
	u16 last;
	u16 cntid;
	int want;
};

static const struct next_case next_cases[] = {
	{ "first page", 0x0080, 0, 0x0081 },
	{ "later page", 0x01ff, 0x0181, 0x0200 },
	{ "same id again", 0x0181, 0x0181, 0x0182 },
	{ "ids that do not ascend", 0x0180, 0x0181, -ENXIO },
	{ "last id but one", 0xfffe, 0x0181, 0xffff },
	{ "last id", 0xffff, 0x0181, -ENXIO },
	{ "id 0 on the first page", 0, 0, 1 },
};

KUNIT_ARRAY_PARAM_DESC(next, next_cases, name);

static void test_secondary_next(struct kunit *test)
{
	const struct next_case *c = test->param_value;
	u8 *raw = new_list(test, 127);

	put_entry(raw, 126, c->last, 0x10, 127);
	KUNIT_EXPECT_EQ(test, nvmevf_next_secondary((const void *)raw, c->cntid), c->want);
}

/* ---- a controller state to load ---- */

/* Three submission queues, two completion queues: 48 + 8 + 5 * 24 bytes */
#define V0_LEN	176
#define SQ_AT(i)	(56 + 24 * (i))
#define CQ_AT(i)	(128 + 24 * (i))

struct v0_rig {
	struct nvmevf_stream st;
	struct nvmevf_lm lm;
	u8 *bytes;
};

/* Queues 1 and 3, and SQ 4 that shares CQ 3; MQES 1023, CQR set */
static struct v0_rig *v0_rig_new(struct kunit *test)
{
	static const u16 sqs[][2] = { { 1, 1 }, { 3, 3 }, { 4, 3 } }, cqs[] = { 1, 3 };
	struct v0_rig *rig = kunit_kzalloc(test, sizeof(*rig), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, rig);
	rig->bytes = kunit_kzalloc(test, V0_LEN, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, rig->bytes);
	rig->st.data = rig->bytes;
	rig->st.offset = V0_LEN;
	rig->lm.hello.cmdset = 1;
	rig->lm.hello.cap = cpu_to_le64(0x103ff);
	put_unaligned_le64((V0_LEN - 48) / 4, rig->bytes + 16);
	put_unaligned_le64(77, rig->bytes + 32);
	put_unaligned_le16(3, rig->bytes + 50);
	put_unaligned_le16(2, rig->bytes + 52);
	for (i = 0; i < 3; i++) {
		put_unaligned_le16(1023, rig->bytes + SQ_AT(i) + 8);
		put_unaligned_le16(sqs[i][0], rig->bytes + SQ_AT(i) + 10);
		put_unaligned_le16(sqs[i][1], rig->bytes + SQ_AT(i) + 12);
		put_unaligned_le16(1, rig->bytes + SQ_AT(i) + 14);
		put_unaligned_le16(1023, rig->bytes + SQ_AT(i) + 16);
	}
	for (i = 0; i < 2; i++) {
		put_unaligned_le16(1, rig->bytes + CQ_AT(i) + 8);
		put_unaligned_le16(cqs[i], rig->bytes + CQ_AT(i) + 10);
		put_unaligned_le16(1, rig->bytes + CQ_AT(i) + 14);
		put_unaligned_le32(1, rig->bytes + CQ_AT(i) + 16);
	}
	return rig;
}

static int v0_check(struct v0_rig *rig)
{
	return nvmevf_state_check(&rig->st.refusal, rig->st.data, rig->st.offset, &rig->lm);
}

static void test_v0_right(struct kunit *test)
{
	struct v0_rig *rig = v0_rig_new(test);

	KUNIT_EXPECT_EQ(test, v0_check(rig), 0);
	KUNIT_EXPECT_STREQ(test, rig->st.refusal.why, "");
	/* queues need not be contiguous everywhere */
	put_unaligned_le16(0, rig->bytes + SQ_AT(1) + 14);
	put_unaligned_le32(0, rig->bytes + CQ_AT(1) + 16);
	rig->lm.hello.cap = cpu_to_le64(0x3ff);
	KUNIT_EXPECT_EQ(test, v0_check(rig), 0);
}

static void test_v0_vendor_set(struct kunit *test)
{
	struct v0_rig *rig = v0_rig_new(test);

	memset(rig->bytes, 0xff, V0_LEN);
	rig->lm.hello.cmdset = 2;
	KUNIT_EXPECT_EQ(test, v0_check(rig), 0);
}

struct v0_case {
	const char *name;
	unsigned int at;
	u16 value;
	const char *why;
};

#define V0_SIZE_WRONG	"version or size of the NVMe Controller State is wrong"

static const struct v0_case v0_cases[] = {
	{ "version", 48, 1, V0_SIZE_WRONG },
	{ "one SQ more", 50, 4, V0_SIZE_WRONG },
	{ "one CQ less", 52, 1, V0_SIZE_WRONG },
	{ "all there can be", 50, 0xffff, V0_SIZE_WRONG },
	{ "NVMECSS smaller", 16, 31, V0_SIZE_WRONG },
	{ "no NVMe state", 16, 0, V0_SIZE_WRONG },
	{ "SQ 0", SQ_AT(0) + 10, 0, "controller state: SQ 0 follows 0" },
	{ "SQ twice", SQ_AT(1) + 10, 1, "controller state: SQ 1 follows 1" },
	{ "SQ order", SQ_AT(2) + 10, 2, "controller state: SQ 2 follows 3" },
	{ "CQ 0", CQ_AT(0) + 10, 0, "controller state: CQ 0 follows 0" },
	{ "CQ twice", CQ_AT(0) + 10, 3, "controller state: CQ 3 follows 3" },
	{ "SQ of one entry", SQ_AT(0) + 8, 0,
	  "controller state: SQ 1 has 1 entries, must have 2 to 1024" },
	{ "SQ too large", SQ_AT(2) + 8, 1024,
	  "controller state: SQ 4 has 1025 entries, must have 2 to 1024" },
	{ "CQ too large", CQ_AT(1) + 8, 0xffff,
	  "controller state: CQ 3 has 65536 entries, must have 2 to 1024" },
	{ "SQ head", SQ_AT(0) + 16, 1024,
	  "controller state: SQ 1 of 1024 entries has head 1024 and tail 0" },
	{ "SQ tail", SQ_AT(0) + 18, 1024,
	  "controller state: SQ 1 of 1024 entries has head 1023 and tail 1024" },
	{ "CQ head", CQ_AT(0) + 12, 2,
	  "controller state: CQ 1 of 2 entries has head 2 and tail 1" },
	{ "CQ tail", CQ_AT(1) + 14, 2,
	  "controller state: CQ 3 of 2 entries has head 0 and tail 2" },
	{ "SQ not contiguous", SQ_AT(1) + 14, 6, "controller state: SQ 3 is not contiguous" },
	{ "CQ not contiguous", CQ_AT(1) + 16, 2, "controller state: CQ 3 is not contiguous" },
	{ "CQ between those there are", SQ_AT(0) + 12, 2, "controller state: SQ 1 lacks its CQ 2" },
	{ "admin CQ", SQ_AT(1) + 12, 0, "controller state: SQ 3 lacks its CQ 0" },
	{ "CQ behind those there are", SQ_AT(2) + 12, 0xffff,
	  "controller state: SQ 4 lacks its CQ 65535" },
};

KUNIT_ARRAY_PARAM_DESC(v0, v0_cases, name);

static void test_v0_wrong(struct kunit *test)
{
	const struct v0_case *c = test->param_value;
	struct v0_rig *rig = v0_rig_new(test);

	put_unaligned_le16(c->value, rig->bytes + c->at);
	KUNIT_EXPECT_EQ(test, v0_check(rig), -EPROTO);
	KUNIT_EXPECT_STREQ(test, rig->st.refusal.why, c->why);
}

/* Wherever the first piece of a state ends, it is checked, and nothing after it is read */
static void test_v0_first_piece(struct kunit *test)
{
	struct v0_rig *rig = v0_rig_new(test);
	size_t len;

	put_unaligned_le16(9, rig->bytes + SQ_AT(2) + 12);
	put_unaligned_le16(0, rig->bytes + CQ_AT(1) + 8);
	for (len = 0; len <= V0_LEN; len += 4) {
		rig->st.data = kunit_kmalloc(test, len, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, rig->st.data);
		memcpy(rig->st.data, rig->bytes, len);
		rig->st.offset = len;
		/* only once all completion queues are there */
		KUNIT_EXPECT_EQ_MSG(test, v0_check(rig),
				    len < 56 || len == V0_LEN ? -EPROTO : 0, "%zu bytes", len);
		kunit_kfree(test, rig->st.data);
	}
}

/* ---- memory of the completion queues ---- */

/* Two submission queues, two completion queues: 48 + 8 + 4 * 24 bytes */
#define QUEUES_LEN	152

static void put_queues(u8 *p)
{
	memset(p, 0, QUEUES_LEN);
	put_unaligned_le64((QUEUES_LEN - 48) / 4, p + 16);
	put_unaligned_le16(2, p + 50);
	put_unaligned_le16(2, p + 52);
	memset(p + 56, 0xff, 48);
	put_unaligned_le64(0x123456789000, p + 104);
	put_unaligned_le16(1023, p + 112);
	put_unaligned_le32(0x00010003, p + 120);
	put_unaligned_le64(0xabc000, p + 128);
	put_unaligned_le16(0, p + 136);
	put_unaligned_le32(0x1, p + 144);
}

static void test_queues_parse(struct kunit *test)
{
	u8 p[QUEUES_LEN] __aligned(8);
	struct nvmevf_range cqs[2];

	put_queues(p);
	KUNIT_ASSERT_EQ(test, nvmevf_queues_parse(p, QUEUES_LEN, 16, cqs, 2), 2);
	KUNIT_EXPECT_EQ(test, cqs[0].first, 0x123456789000);
	KUNIT_EXPECT_EQ(test, cqs[0].last, 0x12345678cfff);
	KUNIT_EXPECT_EQ(test, cqs[1].first, 0xabc000);
	KUNIT_EXPECT_EQ(test, cqs[1].last, 0xabc00f);
	KUNIT_EXPECT_EQ(test, nvmevf_queues_parse(p, QUEUES_LEN, 16, cqs, 1), -ENOSPC);
}

struct queues_case {
	const char *name;
	unsigned int at;	/* byte to change, by */
	u8 by;
};

static const struct queues_case queues_cases[] = {
	{ "version of the container", 0, 1 },
	{ "size of the NVMe state", 16, 1 },
	{ "size beyond 64 bits", 24, 1 },
	{ "version of the state", 48, 1 },
	{ "one submission queue more", 50, 1 },
	{ "many submission queues", 51, 1 },
	{ "one completion queue less", 52, 3 },
	{ "many completion queues", 53, 1 },
	{ "not contiguous", 120, 1 },
	{ "not contiguous, the last", 144, 1 },
};

KUNIT_ARRAY_PARAM_DESC(queues, queues_cases, name);

static void test_queues_wrong(struct kunit *test)
{
	const struct queues_case *c = test->param_value;
	u8 p[QUEUES_LEN] __aligned(8);
	struct nvmevf_range cqs[2];

	put_queues(p);
	p[c->at] ^= c->by;
	KUNIT_EXPECT_EQ(test, nvmevf_queues_parse(p, QUEUES_LEN, 16, cqs, 2), -EPROTO);
}

static void test_queues_short(struct kunit *test)
{
	struct nvmevf_range cqs[2];
	u8 *p;
	size_t len;

	/* memory of exactly that size, so that KASAN detects reads after it */
	for (len = 0; len < QUEUES_LEN; len += 4) {
		u8 whole[QUEUES_LEN];

		put_queues(whole);
		p = kunit_kmalloc(test, len, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		memcpy(p, whole, len);
		KUNIT_EXPECT_EQ(test, nvmevf_queues_parse(p, len, 16, cqs, 2), -EPROTO);
		kunit_kfree(test, p);
	}
}

/* Entries of I/O queues may be longer than 16 bytes */
static void test_queues_entry_size(struct kunit *test)
{
	u8 p[QUEUES_LEN] __aligned(8);
	struct nvmevf_range cqs[2];

	put_queues(p);
	KUNIT_ASSERT_EQ(test, nvmevf_queues_parse(p, QUEUES_LEN, 32, cqs, 2), 2);
	KUNIT_EXPECT_EQ(test, cqs[0].last, 0x123456790fff);
	KUNIT_EXPECT_EQ(test, cqs[1].last, 0xabc01f);
	/* the largest that CC.IOCQES can say, and the longest queue */
	put_unaligned_le16(0xffff, p + 112);
	KUNIT_ASSERT_EQ(test, nvmevf_queues_parse(p, QUEUES_LEN, 32768, cqs, 2), 2);
	KUNIT_EXPECT_EQ(test, cqs[0].last, 0x123456789000 + 0x7fffffff);
}

/* The vendor specific part follows the queues, and need not be there */
static void test_queues_vendor_part(struct kunit *test)
{
	u8 p[QUEUES_LEN] __aligned(8);
	struct nvmevf_range cqs[2];

	put_queues(p);
	put_unaligned_le64(12345, p + 32);
	KUNIT_EXPECT_EQ(test, nvmevf_queues_parse(p, QUEUES_LEN, 16, cqs, 2), 2);
	/* so data that looks like a queue may not be one */
	put_unaligned_le64((QUEUES_LEN - 48) / 4 - 6, p + 16);
	put_unaligned_le64(6, p + 32);
	KUNIT_EXPECT_EQ(test, nvmevf_queues_parse(p, QUEUES_LEN, 16, cqs, 2), -EPROTO);
}

static void test_queues_beyond_the_end(struct kunit *test)
{
	u8 p[QUEUES_LEN] __aligned(8);
	struct nvmevf_range cqs[2];

	put_queues(p);
	put_unaligned_le64(-16ULL, p + 128);
	KUNIT_ASSERT_EQ(test, nvmevf_queues_parse(p, QUEUES_LEN, 16, cqs, 2), 2);
	KUNIT_EXPECT_EQ(test, cqs[1].last, U64_MAX);
	put_unaligned_le16(1, p + 136);
	KUNIT_EXPECT_EQ(test, nvmevf_queues_parse(p, QUEUES_LEN, 16, cqs, 2), -EPROTO);
}

static struct kunit_case wire_cases[] = {
	KUNIT_CASE(test_layout),
	KUNIT_CASE(test_status_to_errno),
	KUNIT_CASE(test_answer_status),
	KUNIT_CASE(test_answer_cancelled),
	KUNIT_CASE(test_answer_block),
	KUNIT_CASE_PARAM(test_container, container_gen_params),
	KUNIT_CASE(test_container_bits),
	KUNIT_CASE(test_is_identity),
	KUNIT_CASE(test_has_hmlms),
	KUNIT_CASE_PARAM(test_formats, formats_gen_params),
	KUNIT_CASE(test_secondary_find),
	KUNIT_CASE(test_secondary_own),
	KUNIT_CASE_PARAM(test_secondary_nument, nument_gen_params),
	KUNIT_CASE_PARAM(test_secondary_next, next_gen_params),
	KUNIT_CASE(test_v0_right),
	KUNIT_CASE(test_v0_vendor_set),
	KUNIT_CASE_PARAM(test_v0_wrong, v0_gen_params),
	KUNIT_CASE(test_v0_first_piece),
	KUNIT_CASE(test_queues_parse),
	KUNIT_CASE_PARAM(test_queues_wrong, queues_gen_params),
	KUNIT_CASE(test_queues_short),
	KUNIT_CASE(test_queues_entry_size),
	KUNIT_CASE(test_queues_vendor_part),
	KUNIT_CASE(test_queues_beyond_the_end),
	{}
};

static struct kunit_suite wire_suite = {
	.name = "nvme-vfio-pci-wire",
	.test_cases = wire_cases,
};

kunit_test_suite(wire_suite);

MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of nvme-vfio-pci");
