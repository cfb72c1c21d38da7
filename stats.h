/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_STATS_H
#define NVMEVF_STATS_H

#include <linux/atomic.h>
#include <linux/ktime.h>
#include <linux/ratelimit_types.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/vfio.h>

struct pci_dev;

/**
 * enum nvmevf_counter - numbers shown in debugfs
 * @NVMEVF_NR_COMMANDS: commands sent, or tried to send
 * @NVMEVF_NR_REFUSED: of these, answered with an error status
 * @NVMEVF_NR_UNANSWERED: of these, not answered in time, cut off or not sent
 * @NVMEVF_NR_SAVES: streams made to the end
 * @NVMEVF_NR_SAVED: bytes of streams
 * @NVMEVF_NR_LOADS: streams that the device took over
 * @NVMEVF_NR_LOADED: bytes of controller state sent to the device
 * @NVMEVF_NR_REPORTS: reports of DMA logging
 * @NVMEVF_NR_RESETS: resets of the VF
 * @NVMEVF_NR_COUNTERS: number of counters
 */
enum nvmevf_counter {
	NVMEVF_NR_COMMANDS,
	NVMEVF_NR_REFUSED,
	NVMEVF_NR_UNANSWERED,
	NVMEVF_NR_SAVES,
	NVMEVF_NR_SAVED,
	NVMEVF_NR_LOADS,
	NVMEVF_NR_LOADED,
	NVMEVF_NR_REPORTS,
	NVMEVF_NR_RESETS,
	NVMEVF_NR_COUNTERS,
};

/**
 * struct nvmevf_stats - status of a VF that debugfs can show whatever lock is held
 * @vf: the VF to name in the log
 * @lock: protects what follows, up to @page_size
 * @refusal: the last error or refusal
 * @refused: time of it, in seconds since 1970
 * @opcode: the command in progress
 * @since: when that began; 0: there is none
 * @page_size: granularity of DMA logging in bytes; 0: it is off
 * @limit: rate limit of the log
 * @counters: by enum nvmevf_counter
 */
struct nvmevf_stats {
	struct pci_dev *vf;
	spinlock_t lock;	/* protects what follows, up to page_size */
	char refusal[256];
	time64_t refused;
	u8 opcode;
	ktime_t since;
	u64 page_size;
	struct ratelimit_state limit;
	atomic64_t counters[NVMEVF_NR_COUNTERS];
};

void nvmevf_stats_init(struct nvmevf_stats *stats, struct pci_dev *vf);
void nvmevf_count(struct nvmevf_stats *stats, enum nvmevf_counter counter, u64 n);
void nvmevf_note_command(struct nvmevf_stats *stats, u8 opcode, ktime_t since);
void nvmevf_note_page_size(struct nvmevf_stats *stats, u64 page_size);
__printf(2, 3) void nvmevf_err(struct nvmevf_stats *stats, const char *fmt, ...);
const char *nvmevf_state_name(enum vfio_device_mig_state state);

#endif /* NVMEVF_STATS_H */
