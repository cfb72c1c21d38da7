// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors and status of a VF for the log and debugfs.
 *
 * Debugfs has to work even if something hangs, so this takes no lock that is held
 * during a wait for a command.
 */

#include <linux/cleanup.h>
#include <linux/kernel.h>
#include <linux/pci.h>
#include <linux/ratelimit.h>
#include <linux/timekeeping.h>
#include <linux/vfio.h>

#include "stats.h"

#define NVMEVF_ERR_INTERVAL	(5 * HZ)
#define NVMEVF_ERR_BURST	100

/**
 * nvmevf_state_name - get the uAPI's name of a state
 * @state: VFIO_DEVICE_STATE_*, or any other value
 *
 * Return: the name without VFIO_DEVICE_STATE_.
 */
const char *nvmevf_state_name(enum vfio_device_mig_state state)
{
	static const char *const names[] = {
		[VFIO_DEVICE_STATE_ERROR]	= "ERROR",
		[VFIO_DEVICE_STATE_STOP]	= "STOP",
		[VFIO_DEVICE_STATE_RUNNING]	= "RUNNING",
		[VFIO_DEVICE_STATE_STOP_COPY]	= "STOP_COPY",
		[VFIO_DEVICE_STATE_RESUMING]	= "RESUMING",
		[VFIO_DEVICE_STATE_RUNNING_P2P]	= "RUNNING_P2P",
		[VFIO_DEVICE_STATE_PRE_COPY]	= "PRE_COPY",
		[VFIO_DEVICE_STATE_PRE_COPY_P2P] = "PRE_COPY_P2P",
	};

	return state < ARRAY_SIZE(names) && names[state] ? names[state] : "unknown";
}

/**
 * nvmevf_stats_init - initialise the statistics of a VF
 * @stats: the statistics, zeroed
 * @vf: the VF to name in the log
 */
void nvmevf_stats_init(struct nvmevf_stats *stats, struct pci_dev *vf)
{
	stats->vf = vf;
	spin_lock_init(&stats->lock);
	ratelimit_state_init(&stats->limit, NVMEVF_ERR_INTERVAL, NVMEVF_ERR_BURST);
}

/**
 * nvmevf_count - count something for debugfs
 * @stats: statistics of the VF
 * @counter: the counter
 * @n: how much to add
 */
void nvmevf_count(struct nvmevf_stats *stats, enum nvmevf_counter counter, u64 n)
{
	atomic64_add(n, &stats->counters[counter]);
}

/**
 * nvmevf_note_command - record the command in progress for debugfs
 * @stats: statistics of the VF
 * @opcode: the command
 * @since: when it began; 0: no command is in progress any more
 *
 * Context: Process.
 */
void nvmevf_note_command(struct nvmevf_stats *stats, u8 opcode, ktime_t since)
{
	spin_lock(&stats->lock);
	stats->opcode = opcode;
	stats->since = since;
	spin_unlock(&stats->lock);
}

/**
 * nvmevf_note_page_size - record the state of DMA logging for debugfs
 * @stats: statistics of the VF
 * @page_size: its granularity in bytes; 0: it is off
 *
 * Context: Process.
 */
void nvmevf_note_page_size(struct nvmevf_stats *stats, u64 page_size)
{
	spin_lock(&stats->lock);
	stats->page_size = page_size;
	spin_unlock(&stats->lock);
}

/**
 * nvmevf_err - report an error or a refusal in the log and in debugfs
 * @stats: statistics of the VF
 * @fmt: a message without newline
 *
 * A user can cause most of these, as often as they like, so the log is rate limited.
 * Debugfs always has the last one.
 *
 * Context: Process.
 */
void nvmevf_err(struct nvmevf_stats *stats, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	scoped_guard(spinlock, &stats->lock) {
		vscnprintf(stats->refusal, sizeof(stats->refusal), fmt, args);
		stats->refused = ktime_get_real_seconds();
	}
	va_end(args);

	if (!__ratelimit(&stats->limit))
		return;

	va_start(args, fmt);
	vaf.va = &args;
	pci_err(stats->vf, "%pV\n", &vaf);
	va_end(args);
}
