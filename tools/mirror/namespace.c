// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands to an NVMe namespace.
 */

#include <errno.h>
#include <libnvme.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bits.h>

#include "namespace.h"

/* Action type of Get LBA Status: allocated blocks */
#define ATYPE_ALLOCATED	0x02
/* Optional admin command: Get LBA Status */
#define OACS_LBA_STATUS	BIT(9)
/* Completion condition: the list is about all blocks */
#define CMPC_COMPLETE	2
/* Deallocated blocks read as zeros */
#define DLFEAT_ZEROS	1
/* AOCS: allocated blocks can be reported */
#define AOCS_OFFSET	18
#define AOCS_ALLOCATED	1

/* Blocks that one command asks about */
#define RANGE_MAX	0xffff

u32 namespace_number(int fd)
{
	u32 nsid;

	return nvme_get_nsid(fd, &nsid) ? 0 : nsid;
}

int namespace_identify(int fd, u8 cns, u32 nsid, u16 cntid, void *page)
{
	struct nvme_identify_args args = {
		.data = page,
		.args_size = sizeof(args),
		.fd = fd,
		.timeout = NVME_DEFAULT_IOCTL_TIMEOUT,
		.cns = cns,
		.nsid = nsid,
		.cntid = cntid,
	};
	int ret = nvme_identify(&args);

	return ret ? (ret < 0 ? -errno : -EIO) : 0;
}

int namespace_format(int fd, u32 nsid, struct disk_format *f)
{
	struct nvme_id_ns *ns = aligned_alloc(DISK_ALIGN, sizeof(*ns));
	struct nvme_lbaf *lbaf;
	int ret;

	if (!ns)
		return -ENOMEM;

	ret = namespace_identify(fd, NVME_IDENTIFY_CNS_NS, nsid, 0, ns);
	if (!ret) {
		lbaf = &ns->lbaf[(ns->flbas & 0xf) | (ns->flbas >> 1 & 0x30)];
		f->lba_size = 1u << lbaf->ds;
		f->metadata = le16_to_cpu(lbaf->ms);
		f->size = le64_to_cpu(ns->nsze) << lbaf->ds;
	}
	free(ns);
	return ret;
}

static bool get(int fd, u8 cns, u32 nsid, void *page)
{
	return !namespace_identify(fd, cns, nsid, 0, page);
}

static bool reports(int fd, u32 nsid, void *page)
{
	struct nvme_id_ctrl *ctrl = page;
	struct nvme_id_ns *ns = page;
	u8 *nvm = page;

	if (!get(fd, NVME_IDENTIFY_CNS_CTRL, 0, page) ||
	    !(le16_to_cpu(ctrl->oacs) & OACS_LBA_STATUS))
		return false;
	if (!get(fd, NVME_IDENTIFY_CNS_CSI_CTRL, 0, page) ||
	    !(nvm[AOCS_OFFSET] & AOCS_ALLOCATED))
		return false;
	return get(fd, NVME_IDENTIFY_CNS_NS, nsid, page) && (ns->dlfeat & 7) == DLFEAT_ZEROS;
}

bool namespace_reports(int fd, u32 nsid)
{
	void *page = aligned_alloc(DISK_ALIGN, DISK_ALIGN);
	bool ret = page && reports(fd, nsid, page);

	free(page);
	return ret;
}

static int get_status(int fd, u32 nsid, u64 slba, u16 blocks, struct nvme_lba_status *list)
{
	struct nvme_get_lba_status_args args = {
		.slba = slba,
		.lbas = list,
		.args_size = sizeof(args),
		.fd = fd,
		.timeout = NVME_DEFAULT_IOCTL_TIMEOUT,
		.nsid = nsid,
		.mndw = DISK_ALIGN / 4 - 1,
		.atype = ATYPE_ALLOCATED,
		.rl = blocks,
	};
	int ret = nvme_get_lba_status(&args);

	return ret ? (ret < 0 ? -errno : -EIO) : 0;
}

/* The list has allocated extents of the blocks, whose first part is looked for */
static void first_extent(const struct nvme_lba_status *list, u64 slba, u64 blocks, u64 *n,
			 bool *data)
{
	const struct nvme_lba_status_desc *d = list->descs;
	u64 first, end;

	*data = list->cmpc != CMPC_COMPLETE;
	*n = blocks;
	if (!le32_to_cpu(list->nlsd))
		return;

	/* should the length not be 0's based, this is one block too many, which does no harm */
	first = le64_to_cpu(d->dslba);
	end = first + le32_to_cpu(d->nlb) + 1;
	*data = first <= slba;
	if (first > slba)
		*n = min(blocks, first - slba);
	else if (end > slba)
		*n = min(blocks, end - slba);
}

void namespace_extent(const struct disk *d, u64 offset, u64 len, struct disk_extent *e)
{
	u64 slba = offset / d->lba_size, blocks = min_t(u64, len / d->lba_size, RANGE_MAX), n;
	void *page = aligned_alloc(DISK_ALIGN, DISK_ALIGN);

	if (page && !get_status(d->fd, d->nsid, slba, blocks, page)) {
		first_extent(page, slba, blocks, &n, &e->data);
		e->len = n * d->lba_size;
	}
	free(page);
}
