/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Migration of a VFIO device, in terms of include/uapi/linux/vfio.h: features, the state machine,
 * streams. Nothing here knows a driver or what is in its stream.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_MIGRATION_H
#define SELFTESTS_VFIO_MIGRATION_MIGRATION_H

#include <linux/vfio.h>

#include "vdev.h"

enum {
	ST_ERROR	= VFIO_DEVICE_STATE_ERROR,
	ST_STOP		= VFIO_DEVICE_STATE_STOP,
	ST_RUNNING	= VFIO_DEVICE_STATE_RUNNING,
	ST_STOP_COPY	= VFIO_DEVICE_STATE_STOP_COPY,
	ST_RESUMING	= VFIO_DEVICE_STATE_RESUMING,
	ST_P2P		= VFIO_DEVICE_STATE_RUNNING_P2P,
	ST_PRE_COPY	= VFIO_DEVICE_STATE_PRE_COPY,
	ST_PRE_COPY_P2P	= VFIO_DEVICE_STATE_PRE_COPY_P2P,
	ST_NR		= VFIO_DEVICE_STATE_NR,
};

#define F_MIGRATION	VFIO_DEVICE_FEATURE_MIGRATION
#define F_STATE		VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
#define F_SIZE		VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
#define F_PRECOPY_INFO2	VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
#define F_LOG_START	VFIO_DEVICE_FEATURE_DMA_LOGGING_START
#define F_LOG_STOP	VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP
#define F_LOG_REPORT	VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT
#define F_GET		VFIO_DEVICE_FEATURE_GET
#define F_SET		VFIO_DEVICE_FEATURE_SET
#define F_PROBE		VFIO_DEVICE_FEATURE_PROBE

const char *mig_state_name(u32 state);

/* ---- features; all return 0 or -errno where nothing else is said ---- */

/* VFIO_MIGRATION_* of the device; 0 as well where it has no migration. */
int vdev_mig_flags(struct vdev *d, u64 *flags);

/* The state (ST_*) or -errno. */
int vdev_mig_state(struct vdev *d);

/* @data_fd gets what the kernel answers, a file or -1; with NULL a file is closed. */
int vdev_mig_set_state(struct vdev *d, u32 state, int *data_fd);

/* SET of a state that begins a session: its file or -errno, -EBADF where none came. */
int vdev_mig_open(struct vdev *d, u32 state);

int vdev_mig_data_size(struct vdev *d, u64 *bytes);

/* Ask for VFIO_PRECOPY_INFO_REINIT; -ENOTTY on kernels that do not know it. */
int vdev_precopy_info_v2(struct vdev *d);

/* Of the file of a pre-copy session; argsz is set here. */
int mig_precopy_info(int fd, struct vfio_precopy_info *info);

/* @page_size is the wish, and what the device made of it. */
int vdev_log_start(struct vdev *d, u64 *page_size,
		   const struct vfio_device_feature_dma_logging_range *ranges, u32 nr);
int vdev_log_stop(struct vdev *d);
int vdev_log_report(struct vdev *d, u64 iova, u64 length, u64 page_size, u64 *bitmap);

/* ---- the state machine as the uAPI describes it, found without the kernel's own table ---- */

/* Whether a device with these flags has the state; ERROR cannot be asked for. */
bool mig_has_state(u64 flags, u32 state);

/* All states that it has, RUNNING first; @states has room for ST_NR. Return: their number. */
unsigned int mig_states(u64 flags, u32 *states);

/**
 * mig_path - the arcs that a request consists of
 * @flags: VFIO_MIGRATION_* of the device
 * @from: present state
 * @to: state asked for
 * @path: filled with the states that are passed, the last of them @to; has room for ST_NR
 *
 * Return: number of arcs, 0 where @from is @to, -EINVAL where the request has to be refused.
 */
int mig_path(u64 flags, u32 from, u32 to, u32 *path);

/* Whether the session of the first state goes on in the second, and so does its file. */
bool mig_same_session(u32 from, u32 to);

/* Whether a request that succeeds gives a file. */
bool mig_gives_file(u64 flags, u32 from, u32 to);

/* ---- streams ---- */

struct stream {
	u8 *data;
	size_t size;
};

/* Read to the end, @step bytes at a time (0: many). 0 or -errno, @s has what came before. */
int stream_read(int fd, struct stream *s, size_t step);

/* Generous: the device may be emulated on a machine that has other things to do. */
#define STREAM_TIMEOUT_MS	60000

/* The same, behind what @s has already. Data that takes time is waited for. */
int stream_append(int fd, struct stream *s, size_t step);

/* Write all, at most @step bytes at a time. 0 or -errno. */
int stream_write(int fd, const struct stream *s, size_t step);

/* @step, or what gets through a long stream with not many more than 64 Ki calls. */
size_t stream_step(const struct stream *s, size_t step);

bool stream_same(const struct stream *a, const struct stream *b);

/* The same except for a few bytes: a device may save its clock, and a checksum go with it. */
bool stream_alike(const struct stream *a, const struct stream *b);
void stream_free(struct stream *s);

/* Go to STOP_COPY and read all; the device stays there, the file is closed. 0 or -errno. */
int mig_save(struct vdev *d, struct stream *s);

/* The stream of the device as a reset leaves it: save it, and reset. 0 or -errno. */
int mig_save_fresh(struct vdev *d, struct stream *s);

/* Go to RESUMING, write it, close the file, go to STOP. 0 or -errno. */
int mig_load(struct vdev *d, const struct stream *s);

/* The next number of a row that its seed (not 0) decides. */
u32 mig_rnd(u32 *seed);

/* Whether a file has ended: the transfer that it is for gives an error or, in reading, nothing. */
bool mig_file_dead(int fd);

#endif /* SELFTESTS_VFIO_MIGRATION_MIGRATION_H */
