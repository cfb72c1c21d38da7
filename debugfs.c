// SPDX-License-Identifier: GPL-2.0-only
/*
 * The status of a VF: one file in debugfs.
 *
 * It has to work even if something hangs, so it takes no lock that is held during a
 * wait for a command.
 */

#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/ktime.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/timekeeping.h>
#include <linux/vfio.h>

#include "debugfs.h"
#include "lm.h"
#include "log.h"
#include "mmc.h"
#include "stats.h"
#include "vf.h"
#include "wire.h"

static struct dentry *nvmevf_debug_root;

static struct dentry *nvmevf_core_dir(struct vfio_device *vdev)
{
#ifdef CONFIG_VFIO_DEBUGFS
	return vdev->debug_root;
#else
	return NULL;
#endif
}

static void nvmevf_show_formats(struct seq_file *seq, const struct nvmevf_lm *lm)
{
	unsigned int i;

	if (lm->csvi)
		seq_printf(seq, "state version: %u, index %u\n", NVME_LM_STATE_VERSION, lm->csvi);
	for (i = 0; i < lm->nuuid; i++)
		seq_printf(seq, "state UUID: %pUb, index %u%s\n", &lm->uuids[i], i + 1,
			   i + 1 == lm->csuuidi ? ", used" : "");
}

static void nvmevf_show_logging(struct seq_file *seq, const struct nvmevf_device *vf,
				u64 page_size)
{
	const struct nvmevf_track_limits *track = &vf->lm->track;

	if (track->why_not)
		seq_printf(seq, "DMA logging: %s\n", track->why_not);
	else if (!track->ranges)
		seq_puts(seq, "DMA logging: the PF tracks no memory\n");
	else if (!vf->core.vdev.log_ops)
		seq_puts(seq, "DMA logging: kernel without CONFIG_IOMMUFD_DRIVER\n");
	else if (page_size)
		seq_printf(seq, "DMA logging: on, granularity %llu bytes\n", page_size);
	else
		seq_puts(seq, "DMA logging: off\n");

	if (track->ranges)
		seq_printf(seq, "memory tracking: %u ranges, granularity %llu to %llu bytes%s\n",
			   track->ranges, NVME_LM_TRACK_UNIT << track->min,
			   NVME_LM_TRACK_UNIT << track->max, track->pow2 ? ", powers of two" : "");
}

static void nvmevf_show_command(struct seq_file *seq, const struct nvmevf_mmc *mmc, u8 opcode,
				ktime_t since)
{
	struct nvmevf_orphan orphan;

	if (since)
		seq_printf(seq, "command under way: opcode %#x, for %lld ms\n", opcode,
			   ktime_ms_delta(ktime_get(), since));
	else
		seq_puts(seq, "command under way: none\n");

	if (nvmevf_mmc_orphan(mmc, &orphan))
		seq_printf(seq, "command given up: opcode %#x, unanswered for %lld ms\n",
			   orphan.opcode, ktime_ms_delta(ktime_get(), orphan.sent));
	else
		seq_puts(seq, "command given up: none\n");
}

static void nvmevf_show_counters(struct seq_file *seq, const struct nvmevf_stats *stats)
{
	static const char *const names[] = {
		[NVMEVF_NR_COMMANDS]	= "commands",
		[NVMEVF_NR_REFUSED]	= "commands with an error status",
		[NVMEVF_NR_UNANSWERED]	= "commands without an answer",
		[NVMEVF_NR_SAVES]	= "saves",
		[NVMEVF_NR_SAVED]	= "bytes of streams",
		[NVMEVF_NR_LOADS]	= "loads",
		[NVMEVF_NR_LOADED]	= "bytes of state loaded",
		[NVMEVF_NR_REPORTS]	= "reports of dirty memory",
		[NVMEVF_NR_RESETS]	= "resets",
	};
	unsigned int i;

	static_assert(ARRAY_SIZE(names) == NVMEVF_NR_COUNTERS);

	for (i = 0; i < NVMEVF_NR_COUNTERS; i++)
		seq_printf(seq, "%s: %lld\n", names[i], atomic64_read(&stats->counters[i]));
}

static const char *nvmevf_identified(const struct nvmevf_lm *lm)
{
	if (!lm->vf->is_virtfn)
		return "function";
	return READ_ONCE(lm->hello.ident) == NVME_LM_IDENT_VF ? "VF" : "PF";
}

static void nvmevf_show_lm(struct seq_file *seq, struct nvmevf_device *vf)
{
	struct nvmevf_lm *lm = vf->lm;
	struct nvmevf_stats *stats = &lm->stats;
	char refusal[sizeof(stats->refusal)];
	ktime_t since;
	time64_t refused;
	u64 page_size;
	u8 opcode;

	scoped_guard(spinlock, &stats->lock) {
		strscpy(refusal, stats->refusal);
		refused = stats->refused;
		opcode = stats->opcode;
		since = stats->since;
		page_size = stats->page_size;
	}

	seq_printf(seq, "migration: by %s%s\n", lm->ops->name,
		   nvmevf_io_queues_only(lm) ? ", I/O queues only" : "");
	seq_printf(seq, "controller: %u, %s\n", lm->cntlid,
		   READ_ONCE(lm->online) ? "online" : "offline");
	seq_printf(seq, "state: %s%s\n", nvmevf_state_name(READ_ONCE(vf->mig_state)),
		   READ_ONCE(vf->lost) || READ_ONCE(vf->stale) ? ", needs a reset" : "");
	seq_printf(seq, "identity: of the %s\n", nvmevf_identified(lm));
	seq_printf(seq, "exports: %s\n", *lm->exports ? lm->exports + strlen("; ") : "none");
	nvmevf_show_formats(seq, lm);
	seq_printf(seq, "stream size: %llu\n", READ_ONCE(vf->data_size));
	nvmevf_show_logging(seq, vf, page_size);
	nvmevf_log_show(lm, seq);
	nvmevf_show_command(seq, lm->mmc, opcode, since);
	nvmevf_mmc_show(lm->mmc, seq);
	if (refused)
		seq_printf(seq, "last refusal: %ptTs %s\n", &refused, refusal);
	else
		seq_puts(seq, "last refusal: none\n");
	nvmevf_show_counters(seq, stats);
}

static int nvmevf_status_show(struct seq_file *seq, void *data)
{
	struct nvmevf_device *vf = seq->private;

	if (vf->lm)
		nvmevf_show_lm(seq, vf);
	else
		seq_printf(seq, "migration: none: %s\n", vf->why_not);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(nvmevf_status);

/**
 * nvmevf_debugfs_add - create the file of a device
 * @vf: the device, registered
 *
 * The file is removed with its directory: the core's directory when the device is
 * unregistered, or our own by nvmevf_debugfs_remove().
 *
 * Context: Process, probe; sleeps.
 */
void nvmevf_debugfs_add(struct nvmevf_device *vf)
{
	struct dentry *dir = nvmevf_core_dir(&vf->core.vdev);

	if (!dir) {
		vf->debug = debugfs_create_dir(pci_name(vf->core.pdev), nvmevf_debug_root);
		dir = vf->debug;
	}

	debugfs_create_file("nvme", 0400, dir, vf, &nvmevf_status_fops);
}

/**
 * nvmevf_debugfs_remove - undo nvmevf_debugfs_add()
 * @vf: the device
 *
 * Context: Process; sleeps until nobody reads the file.
 */
void nvmevf_debugfs_remove(struct nvmevf_device *vf)
{
	debugfs_remove_recursive(vf->debug);
}

/**
 * nvmevf_debugfs_init - create a directory if the core has none
 *
 * Context: Process, module_init.
 */
void nvmevf_debugfs_init(void)
{
	if (!IS_ENABLED(CONFIG_VFIO_DEBUGFS))
		nvmevf_debug_root = debugfs_create_dir("nvme-vfio-pci", NULL);
}

/**
 * nvmevf_debugfs_exit - undo nvmevf_debugfs_init()
 *
 * Context: Process, module_exit.
 */
void nvmevf_debugfs_exit(void)
{
	debugfs_remove_recursive(nvmevf_debug_root);
}
