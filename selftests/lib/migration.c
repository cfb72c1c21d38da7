// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration uAPI: features, the state machine, streams.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/kernel.h>

#include "migration.h"

const char *mig_state_name(u32 state)
{
	static const char *const names[] = {
		[ST_ERROR] = "ERROR", [ST_STOP] = "STOP", [ST_RUNNING] = "RUNNING",
		[ST_STOP_COPY] = "STOP_COPY", [ST_RESUMING] = "RESUMING",
		[ST_P2P] = "RUNNING_P2P", [ST_PRE_COPY] = "PRE_COPY",
		[ST_PRE_COPY_P2P] = "PRE_COPY_P2P",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "invalid";
}

/* ---- features ---- */

int vdev_mig_flags(struct vdev *d, u64 *flags)
{
	struct vfio_device_feature_migration mig = { 0 };
	int err;

	err = vdev_feature(d, F_GET | F_MIGRATION, &mig, sizeof(mig));
	*flags = mig.flags;
	return err;
}

int vdev_mig_state(struct vdev *d)
{
	struct vfio_device_feature_mig_state mig = { 0 };
	int err;

	err = vdev_feature(d, F_GET | F_STATE, &mig, sizeof(mig));
	return err ? err : (int)mig.device_state;
}

int vdev_mig_set_state(struct vdev *d, u32 state, int *data_fd)
{
	/* a number that the kernel does not answer, so that its -1 can be told */
	struct vfio_device_feature_mig_state mig = { .device_state = state, .data_fd = -2 };
	int err;

	err = vdev_feature(d, F_SET | F_STATE, &mig, sizeof(mig));
	if (data_fd)
		*data_fd = mig.data_fd;
	else if (!err && mig.data_fd >= 0)
		close(mig.data_fd);
	return err;
}

int vdev_mig_open(struct vdev *d, u32 state)
{
	int fd, err;

	err = vdev_mig_set_state(d, state, &fd);
	if (err)
		return err;
	return fd < 0 ? -EBADF : fd;
}

int vdev_mig_data_size(struct vdev *d, u64 *bytes)
{
	struct vfio_device_feature_mig_data_size size = { 0 };
	int err;

	err = vdev_feature(d, F_GET | F_SIZE, &size, sizeof(size));
	*bytes = size.stop_copy_length;
	return err;
}

int vdev_precopy_info_v2(struct vdev *d)
{
	return vdev_feature(d, F_SET | F_PRECOPY_INFO2, NULL, 0);
}

int mig_precopy_info(int fd, struct vfio_precopy_info *info)
{
	info->argsz = sizeof(*info);
	return ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, info) ? -errno : 0;
}

int vdev_log_start(struct vdev *d, u64 *page_size,
		   const struct vfio_device_feature_dma_logging_range *ranges, u32 nr)
{
	struct vfio_device_feature_dma_logging_control c = {
		.page_size = *page_size, .num_ranges = nr, .ranges = (uintptr_t)ranges,
	};
	int err;

	err = vdev_feature(d, F_SET | F_LOG_START, &c, sizeof(c));
	*page_size = c.page_size;
	return err;
}

int vdev_log_stop(struct vdev *d)
{
	return vdev_feature(d, F_SET | F_LOG_STOP, NULL, 0);
}

int vdev_log_report(struct vdev *d, u64 iova, u64 length, u64 page_size, u64 *bitmap)
{
	struct vfio_device_feature_dma_logging_report r = {
		.iova = iova, .length = length, .page_size = page_size,
		.bitmap = (uintptr_t)bitmap,
	};

	return vdev_feature(d, F_GET | F_LOG_REPORT, &r, sizeof(r));
}

/* ---- the state machine ---- */

#define P2P		VFIO_MIGRATION_P2P
#define PRE_COPY	VFIO_MIGRATION_PRE_COPY

/* What a driver implements: with all flags of @with and none of @without. */
static const struct arc {
	u8 from;
	u8 to;
	bool file;
	u64 with;
	u64 without;
} arcs[] = {
	{ ST_STOP, ST_STOP_COPY, true },
	{ ST_STOP_COPY, ST_STOP },
	{ ST_STOP, ST_RESUMING, true },
	{ ST_RESUMING, ST_STOP },
	{ ST_RUNNING, ST_STOP, .without = P2P },
	{ ST_STOP, ST_RUNNING, .without = P2P },
	{ ST_RUNNING, ST_P2P, .with = P2P },
	{ ST_P2P, ST_RUNNING, .with = P2P },
	{ ST_P2P, ST_STOP, .with = P2P },
	{ ST_STOP, ST_P2P, .with = P2P },
	{ ST_RUNNING, ST_PRE_COPY, true, .with = PRE_COPY },
	{ ST_PRE_COPY, ST_RUNNING, .with = PRE_COPY },
	{ ST_PRE_COPY, ST_STOP_COPY, .with = PRE_COPY, .without = P2P },
	{ ST_PRE_COPY, ST_PRE_COPY_P2P, .with = PRE_COPY | P2P },
	{ ST_PRE_COPY_P2P, ST_PRE_COPY, .with = PRE_COPY | P2P },
	{ ST_P2P, ST_PRE_COPY_P2P, true, .with = PRE_COPY | P2P },
	{ ST_PRE_COPY_P2P, ST_P2P, .with = PRE_COPY | P2P },
	{ ST_PRE_COPY_P2P, ST_STOP_COPY, .with = PRE_COPY | P2P },
};

static const struct arc *find_arc(u64 flags, u32 from, u32 to)
{
	const struct arc *a;

	for (a = arcs; a < arcs + ARRAY_SIZE(arcs); a++)
		if (a->from == from && a->to == to && (flags & a->with) == a->with &&
		    !(flags & a->without))
			return a;
	return NULL;
}

bool mig_has_state(u64 flags, u32 state)
{
	switch (state) {
	case ST_STOP:
	case ST_RUNNING:
	case ST_STOP_COPY:
	case ST_RESUMING:
		return true;
	case ST_P2P:
		return flags & P2P;
	case ST_PRE_COPY:
		return flags & PRE_COPY;
	case ST_PRE_COPY_P2P:
		return (flags & P2P) && (flags & PRE_COPY);
	default:
		return false;
	}
}

unsigned int mig_states(u64 flags, u32 *states)
{
	static const u32 all[] = {
		ST_RUNNING, ST_P2P, ST_STOP, ST_STOP_COPY, ST_RESUMING, ST_PRE_COPY,
		ST_PRE_COPY_P2P,
	};
	unsigned int i, nr = 0;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		if (mig_has_state(flags, all[i]))
			states[nr++] = all[i];
	return nr;
}

static bool is_saving(u32 state)
{
	return state == ST_STOP_COPY || state == ST_PRE_COPY || state == ST_PRE_COPY_P2P;
}

bool mig_same_session(u32 from, u32 to)
{
	return (is_saving(from) && is_saving(to)) || (from == ST_RESUMING && to == from);
}

/* A session may not begin and end, or end and begin, on the way. */
static bool may_pass(u32 from, u32 over, u32 to)
{
	return !is_saving(over) || mig_same_session(from, to);
}

int mig_path(u64 flags, u32 from, u32 to, u32 *path)
{
	u32 queue[ST_NR], at, state;
	unsigned int first = 0, last = 0;
	int len[ST_NR], i;
	u32 prev[ST_NR];

	if (!mig_has_state(flags, from) || !mig_has_state(flags, to) ||
	    (from == ST_STOP_COPY && is_saving(to) && to != from))
		return -EINVAL;
	for (state = 0; state < ST_NR; state++)
		len[state] = -EINVAL;
	len[from] = 0;
	queue[last++] = from;
	while (first < last) {
		at = queue[first++];
		for (state = 0; state < ST_NR; state++) {
			if (len[state] >= 0 || !find_arc(flags, at, state) ||
			    (state != to && !may_pass(from, state, to)))
				continue;
			len[state] = len[at] + 1;
			prev[state] = at;
			queue[last++] = state;
		}
	}
	for (state = to, i = len[to]; i > 0; state = prev[state])
		path[--i] = state;
	return len[to];
}

bool mig_gives_file(u64 flags, u32 from, u32 to)
{
	u32 path[ST_NR];
	int len = mig_path(flags, from, to, path);

	if (len <= 0)
		return false;
	return find_arc(flags, len > 1 ? path[len - 2] : from, to)->file;
}

/* ---- streams ---- */

int stream_append(int fd, struct stream *s, size_t step)
{
	const size_t chunk = step ?: 1 << 16;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t room = s->size;
	ssize_t n;

	for (;;) {
		if (room - s->size < chunk) {
			room = 2 * room + chunk;
			s->data = realloc(s->data, room);
			VFIO_ASSERT_NOT_NULL(s->data);
		}
		n = read(fd, s->data + s->size, chunk);
		if (!n)
			return 0;
		if (n > 0)
			s->size += n;
		else if (errno != EAGAIN || poll(&p, 1, STREAM_TIMEOUT_MS) != 1)
			return -errno;
	}
}

int stream_read(int fd, struct stream *s, size_t step)
{
	s->data = NULL;
	s->size = 0;
	return stream_append(fd, s, step);
}

int stream_write(int fd, const struct stream *s, size_t step)
{
	size_t at = 0, len;
	ssize_t n;

	while (at < s->size) {
		len = s->size - at;
		if (step && len > step)
			len = step;
		n = write(fd, s->data + at, len);
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		at += n;
	}
	return 0;
}

size_t stream_step(const struct stream *s, size_t step)
{
	return step + (s->size >> 16);
}

bool stream_same(const struct stream *a, const struct stream *b)
{
	return a->size == b->size && !memcmp(a->data, b->data, a->size);
}

bool stream_alike(const struct stream *a, const struct stream *b)
{
	size_t i, differ = 0;

	if (a->size != b->size)
		return false;
	for (i = 0; i < a->size; i++)
		differ += a->data[i] != b->data[i];
	return differ <= 16;
}

void stream_free(struct stream *s)
{
	free(s->data);
	s->data = NULL;
	s->size = 0;
}

int mig_save(struct vdev *d, struct stream *s)
{
	int fd, err;

	fd = vdev_mig_open(d, ST_STOP_COPY);
	if (fd < 0)
		return fd;
	err = stream_read(fd, s, 0);
	close(fd);
	return err;
}

int mig_save_fresh(struct vdev *d, struct stream *s)
{
	int err = vdev_reset(d);

	if (!err)
		err = mig_save(d, s);
	return err ? err : vdev_reset(d);
}

int mig_load(struct vdev *d, const struct stream *s)
{
	int fd, err;

	fd = vdev_mig_open(d, ST_RESUMING);
	if (fd < 0)
		return fd;
	err = stream_write(fd, s, 0);
	close(fd);
	return err ? err : vdev_mig_set_state(d, ST_STOP, NULL);
}

u32 mig_rnd(u32 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

bool mig_file_dead(int fd)
{
	char byte = 0;

	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
		return write(fd, &byte, 1) < 0;
	return read(fd, &byte, 1) <= 0;
}
