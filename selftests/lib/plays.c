// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the steps of a program do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/pci_regs.h>
#include <linux/sizes.h>

#include "function.h"
#include "plays.h"

/* Of each thread: behind it is memory that cannot be touched */
#define BUFFER		SZ_1M
#define TOO_LONG	(1024ull * SZ_1G)
#define LOG_PAGE	4096ull

static u64 tick(struct player *p)
{
	return __atomic_add_fetch(&p->clock, 1, __ATOMIC_SEQ_CST);
}

/*
 * The kernel's fault injection, if it has that: the n-th thing that can fail for this thread does
 * so, an allocation or an access to the user's memory.
 */
static int arm(struct player *p, const struct model_call *c)
{
	u32 nth = p->nth[c->thread];
	int fd;

	if (!nth)
		return -1;
	p->nth[c->thread] = 0;
	fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		dprintf(fd, "%u", nth);
	return fd;
}

/* Whether something failed in the call, or would have: then it may be what is done here */
static bool disarm(int fd)
{
	char left[16] = "";
	bool failed;

	if (fd < 0)
		return false;
	failed = pread(fd, left, sizeof(left) - 1, 0) > 0 && !atoi(left);
	while (pwrite(fd, "0", 1, 0) != 1)
		VFIO_ASSERT_EQ(errno, EFAULT);
	close(fd);
	return failed;
}

/* Of each thread: the file of its fault injection, between begin() and end() */
static __thread int armed = -1;

/* Before and after a system call, which may have set errno */
static void begin(struct player *p, struct model_call *c)
{
	c->begin = tick(p);
	armed = arm(p, c);
}

static void end(struct player *p, struct model_call *c, long ret)
{
	c->ret = ret < 0 ? -errno : ret;
	c->fault = disarm(armed);
	armed = -1;
	c->end = tick(p);
}

/* Around what has to succeed */
static void begin_surely(struct player *p, struct model_call *c)
{
	c->begin = tick(p);
}

static void end_surely(struct player *p, struct model_call *c, long ret)
{
	c->ret = ret;
	c->end = tick(p);
}

/* ---- memory ---- */

u8 *play_make_buffer(void)
{
	size_t page = getpagesize();
	u8 *b;

	b = mmap(NULL, BUFFER + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	VFIO_ASSERT_NE((void *)b, MAP_FAILED);
	VFIO_ASSERT_EQ(mprotect(b + BUFFER, page, PROT_NONE), 0);
	return b;
}

void play_free_buffer(u8 *buffer)
{
	munmap(buffer, BUFFER + getpagesize());
}

/* Where the last @good bytes that can be touched begin */
static u8 *edge(struct player *p, const struct step *s, size_t good)
{
	return p->buffers[s->thread] + BUFFER - good;
}

/* ---- files ---- */

int play_pick_file(struct player *p, u32 nth)
{
	int order[MODEL_FILES], nr = 0, i, j;

	for (i = 0; i < MODEL_FILES; i++) {
		if (p->files[i].fd < 0)
			continue;
		for (j = nr++; j && p->files[order[j - 1]].age < p->files[i].age; j--)
			order[j] = order[j - 1];
		order[j] = i;
	}
	return nr ? order[nth % nr] : -1;
}

static struct played_file *take_file(struct player *p, const struct step *s, struct model_call *c)
{
	struct played_file *f = NULL;

	pthread_mutex_lock(&p->lock);
	c->file = play_pick_file(p, s->args[0]);
	if (c->file >= 0)
		f = &p->files[c->file];
	pthread_mutex_unlock(&p->lock);
	return f;
}

void play_free_file(struct played_file *f)
{
	stream_free(&f->data);
	memset(f, 0, sizeof(*f));
	f->fd = -1;
	f->copy = -1;
}

/* A number for a new file; there is room, see make_room() */
static int add_file(struct player *p, int fd, bool load)
{
	int i = 0;

	pthread_mutex_lock(&p->lock);
	while (p->files[i].fd >= 0)
		i++;
	p->files[i].fd = fd;
	p->files[i].copy = -1;
	p->files[i].load = load;
	p->files[i].age = ++p->opened;
	pthread_mutex_unlock(&p->lock);
	return i;
}

/* ---- requests; false: there is nothing to be done ---- */

static int feature_at(struct player *p, void *at, u32 argsz, u32 flags)
{
	struct vfio_device_feature f = { .argsz = argsz, .flags = flags };

	memcpy(at, &f, sizeof(f));
	return ioctl(p->dev->fd, VFIO_DEVICE_FEATURE, at);
}

struct state_arg {
	struct vfio_device_feature f;
	struct vfio_device_feature_mig_state mig;
};

static bool play_get(struct player *p, const struct step *s, struct model_call *c)
{
	struct state_arg arg = { .mig = { ~0u, -2 } };

	begin(p, c);
	end(p, c, feature_at(p, &arg, sizeof(arg), F_GET | F_STATE));
	c->file = arg.mig.data_fd;
	c->state = arg.mig.device_state;
	return true;
}

/* In a page that cannot be written when the kernel answers */
static void set_unseen(struct player *p, struct state_arg *arg, struct model_call *c)
{
	size_t page = getpagesize();
	void *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	VFIO_ASSERT_NE(at, MAP_FAILED);
	memcpy(at, arg, sizeof(*arg));
	VFIO_ASSERT_EQ(mprotect(at, page, PROT_READ), 0);
	begin(p, c);
	end(p, c, ioctl(p->dev->fd, VFIO_DEVICE_FEATURE, at));
	munmap(at, page);
}

static bool play_set(struct player *p, const struct step *s, struct model_call *c)
{
	struct state_arg arg = {
		{ sizeof(arg), F_SET | F_STATE }, { .device_state = s->args[0], .data_fd = -2 },
	};
	static const enum model_flaw as[] = { MODEL_FINE, MODEL_ANSWER, MODEL_POINTER };

	c->flaw = as[s->args[1] % ARRAY_SIZE(as)];
	c->state = s->args[0];
	c->file = -1;
	if (c->flaw == MODEL_ANSWER) {
		set_unseen(p, &arg, c);
		return true;
	}
	if (c->flaw == MODEL_POINTER) {
		begin(p, c);
		end(p, c, feature_at(p, edge(p, s, sizeof(arg.f)), sizeof(arg), arg.f.flags));
		return true;
	}
	begin(p, c);
	end(p, c, ioctl(p->dev->fd, VFIO_DEVICE_FEATURE, &arg));
	/* the kernel could not write the answer */
	if (c->fault && arg.mig.data_fd == -2)
		return true;
	if (arg.mig.data_fd != -1)
		c->file = add_file(p, arg.mig.data_fd, c->state == ST_RESUMING);
	return true;
}

static bool play_size(struct player *p, const struct step *s, struct model_call *c)
{
	struct {
		struct vfio_device_feature f;
		struct vfio_device_feature_mig_data_size size;
	} arg = { 0 };

	begin(p, c);
	end(p, c, feature_at(p, &arg, sizeof(arg), F_GET | F_SIZE));
	c->value = arg.size.stop_copy_length;
	return true;
}

int play_bare_feature(struct player *p, u32 flags)
{
	struct vfio_device_feature f;

	return feature_at(p, &f, sizeof(f), flags);
}

static bool play_info_v2(struct player *p, const struct step *s, struct model_call *c)
{
	begin(p, c);
	end(p, c, play_bare_feature(p, F_SET | F_PRECOPY_INFO2));
	return true;
}

#define HEADER	sizeof(struct vfio_device_feature)

/* @room: bytes that can be touched */
static const struct odd_feature {
	u32 flags;
	u32 argsz;
	u32 room;
	enum model_flaw flaw;
} odd_features[] = {
	{ F_PROBE | F_GET | F_SET | F_STATE, HEADER, HEADER, MODEL_PROBE },
	{ F_GET | 1000, HEADER + 8, HEADER + 8, MODEL_UNKNOWN },
	{ F_GET | F_SET | F_STATE, HEADER + 8, HEADER + 8, MODEL_INVALID },
	{ F_GET | F_STATE, HEADER - 4, HEADER + 8, MODEL_INVALID },
	{ F_GET | F_STATE, HEADER, HEADER + 8, MODEL_INVALID },
	{ F_GET | F_STATE, HEADER + 8, HEADER, MODEL_POINTER },
	{ F_SET | F_STATE, HEADER + 8, HEADER, MODEL_POINTER },
	{ F_SET | F_MIGRATION, HEADER + 8, HEADER + 8, MODEL_INVALID },
	{ F_SET | F_SIZE, HEADER + 8, HEADER + 8, MODEL_INVALID },
	{ 1u << 25 | F_GET | F_STATE, HEADER + 8, HEADER + 8, MODEL_INVALID },
	{ F_GET | F_PRECOPY_INFO2, HEADER + 8, HEADER + 8, MODEL_WRONG },
	{ F_PROBE | F_GET | F_SIZE, HEADER, HEADER, MODEL_PROBE },
	{ F_GET | F_SIZE, HEADER + 8, HEADER, MODEL_POINTER },
};

static bool play_feature(struct player *p, const struct step *s, struct model_call *c)
{
	const struct odd_feature *odd = &odd_features[s->args[0] % ARRAY_SIZE(odd_features)];

	c->flaw = odd->flaw;
	memset(edge(p, s, odd->room), 0, odd->room);
	begin(p, c);
	end(p, c, feature_at(p, edge(p, s, odd->room), odd->argsz, odd->flags));
	return true;
}

/* ---- transfers ---- */

/* Where a transfer of @len bytes takes place, with the variant's size and good bytes */
static u8 *place(struct player *p, const struct step *s, struct model_call *c, size_t len)
{
	c->len = len;
	switch (s->args[2]) {
	case WITH_BAD_POINTER:
		c->missing = len;
		break;
	case WITH_EDGE:
		c->missing = len - len / 2;
		break;
	case WITH_HUGE_SIZE:
		c->len = s->args[1] % 2 ? TOO_LONG : SIZE_MAX;
		c->missing = c->len - BUFFER;
		break;
	case WITH_BAR:
		c->len = min_t(size_t, len, LOG_PAGE);
		break;
	}
	return edge(p, s, c->len - c->missing);
}

static void keep_data(struct player *p, struct played_file *f, const u8 *data, size_t n)
{
	pthread_mutex_lock(&p->lock);
	f->data.data = realloc(f->data.data, f->data.size + n);
	VFIO_ASSERT_NOT_NULL(f->data.data);
	memcpy(f->data.data + f->data.size, data, n);
	f->data.size += n;
	pthread_mutex_unlock(&p->lock);
}

static bool play_read(struct player *p, const struct step *s, struct model_call *c)
{
	struct played_file *f = take_file(p, s, c);
	u8 *at;

	if (!f)
		return false;
	at = place(p, s, c, min_t(size_t, s->args[1], BUFFER));
	begin(p, c);
	end(p, c, read(f->fd, at, c->len));
	if (c->ret > 0 && (size_t)c->ret <= c->len - c->missing)
		keep_data(p, f, at, c->ret);
	return true;
}

static const struct saved *pick_saved(struct player *p, const struct played_file *f)
{
	return &p->saved[f->age % 2 && p->saved[1].s.size ? 1 : 0];
}

/* How many bytes are written next, from @at of the stream on; the rest of it is @rest */
static size_t piece_size(const struct step *s, size_t rest)
{
	size_t size = min_t(size_t, s->args[1], BUFFER);

	if (s->args[2] == WITH_MORE)
		return min_t(size_t, rest + 1 + s->args[1] % 100, BUFFER);
	return min(size, rest);
}

static void flip_bit(const struct step *s, struct model_call *c, u8 *at)
{
	size_t byte = s->args[1] * 7 % c->len;

	at[byte] ^= 1 << s->args[1] % 8;
	c->spoilt = c->len - byte;
}

/* The piece of the stream that follows what was written, or what the variant makes of it */
static u8 *fill_piece(struct player *p, const struct step *s, struct model_call *c,
		      struct played_file *f)
{
	const struct saved *from = pick_saved(p, f);
	const struct stream *stream = &from->s;
	size_t rest, there, copied;
	u8 *at;

	c->at = min_t(u64, f->written + (s->args[2] == WITH_GAP), stream->size);
	c->total = stream->size;
	c->stream = from->id;
	rest = stream->size - c->at;
	at = place(p, s, c, piece_size(s, rest));
	if (s->args[2] == WITH_BAR && p->dev->bar) {
		c->spoilt = c->len;
		return p->dev->bar;
	}

	/* bytes that are not in memory are as good as those of the stream */
	c->spoilt = c->len - min(c->len, rest);
	there = c->len - c->missing;
	copied = min(there, rest);
	memcpy(at, stream->data + c->at, copied);
	memset(at + copied, 0, there - copied);
	if (s->args[2] == WITH_FLIPPED_BIT && c->len)
		flip_bit(s, c, at);
	return at;
}

static bool play_write(struct player *p, const struct step *s, struct model_call *c)
{
	struct played_file *f = take_file(p, s, c);
	u8 *at;

	if (!f)
		return false;
	pthread_mutex_lock(&p->lock);
	at = fill_piece(p, s, c, f);
	pthread_mutex_unlock(&p->lock);
	begin(p, c);
	end(p, c, write(f->fd, at, c->len));
	pthread_mutex_lock(&p->lock);
	if (c->ret > 0)
		f->written += c->ret;
	pthread_mutex_unlock(&p->lock);
	return true;
}

/* ---- other calls of the file ---- */

static bool play_poll(struct player *p, const struct step *s, struct model_call *c)
{
	struct pollfd poll_fd = { .events = POLLIN | POLLOUT };
	struct played_file *f = take_file(p, s, c);

	if (!f)
		return false;
	poll_fd.fd = f->fd;
	begin(p, c);
	end(p, c, poll(&poll_fd, 1, 0));
	c->value = poll_fd.revents;
	return true;
}

static bool play_info(struct player *p, const struct step *s, struct model_call *c)
{
	static const enum model_flaw as[] = { MODEL_FINE, MODEL_INVALID, MODEL_POINTER };
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	void *at = &info;
	struct played_file *f = take_file(p, s, c);

	if (!f)
		return false;
	c->flaw = as[s->args[1] % ARRAY_SIZE(as)];
	if (c->flaw == MODEL_INVALID)
		info.argsz--;
	if (c->flaw == MODEL_POINTER)
		at = edge(p, s, 0);
	begin(p, c);
	end(p, c, ioctl(f->fd, VFIO_MIG_GET_PRECOPY_INFO, at));
	c->value = info.initial_bytes;
	c->flags = info.flags;
	return true;
}

static bool play_ioctl(struct player *p, const struct step *s, struct model_call *c)
{
	struct played_file *f = take_file(p, s, c);
	struct state_arg arg = { { sizeof(arg), F_GET | F_STATE } };
	unsigned long request = s->args[1] ? VFIO_DEVICE_FEATURE : _IO(VFIO_TYPE, VFIO_BASE + 100);

	if (!f)
		return false;
	begin(p, c);
	end(p, c, ioctl(f->fd, request, &arg));
	return true;
}

static bool play_seek(struct player *p, const struct step *s, struct model_call *c)
{
	struct played_file *f = take_file(p, s, c);
	char byte = 0;

	if (!f)
		return false;
	switch (s->args[1]) {
	case 0:
		begin(p, c);
		end(p, c, lseek(f->fd, 0, SEEK_SET));
		break;
	case 1:
		begin(p, c);
		end(p, c, pread(f->fd, &byte, 1, 0));
		break;
	default:
		begin(p, c);
		end(p, c, pwrite(f->fd, &byte, 1, 0));
	}
	return true;
}

void play_close_file(struct player *p, struct model_call *c)
{
	struct played_file *f = &p->files[c->file];

	if (f->copy >= 0)
		close(f->copy);
	begin_surely(p, c);
	end_surely(p, c, close(f->fd));
	play_free_file(f);
}

/* One of two leaves the file open */
static bool play_close(struct player *p, const struct step *s, struct model_call *c)
{
	struct played_file *f = take_file(p, s, c);

	if (!f)
		return false;
	if (f->copy < 0) {
		play_close_file(p, c);
		return true;
	}
	close(f->fd);
	f->fd = f->copy;
	f->copy = -1;
	return false;
}

static bool play_dup(struct player *p, const struct step *s, struct model_call *c)
{
	struct played_file *f = take_file(p, s, c);

	if (f && f->copy < 0)
		f->copy = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	return false;
}

/* Nothing waits, so that it makes no difference */
static bool play_nonblock(struct player *p, const struct step *s, struct model_call *c)
{
	struct played_file *f = take_file(p, s, c);

	if (f)
		VFIO_ASSERT_EQ(fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) ^ O_NONBLOCK), 0);
	return false;
}

/* ---- DMA logging ---- */

#define MANY_RANGES	(SZ_4K / sizeof(struct vfio_device_feature_dma_logging_range) + 1)

struct log_arg {
	struct vfio_device_feature f;
	struct vfio_device_feature_dma_logging_control c;
	struct vfio_device_feature_dma_logging_range ranges[MANY_RANGES];
};

static enum model_flaw log_start_arg(struct player *p, const struct step *s, struct log_arg *arg)
{
	struct vfio_device_feature_dma_logging_range *r = arg->ranges;

	arg->c.page_size = LOG_PAGE;
	arg->c.num_ranges = 1;
	arg->c.ranges = (uintptr_t)r;
	r[0] = (typeof(*r)){ p->arena->iova, p->arena->size };
	switch (s->args[0]) {
	case 1:
		arg->c.num_ranges = 0;
		return MODEL_INVALID;
	case 2:
		arg->c.num_ranges = MANY_RANGES;
		return MODEL_TOO_BIG;
	case 3:
		r[0].iova++;
		return MODEL_INVALID;
	case 4:
		r[1] = r[0];
		arg->c.num_ranges = 2;
		return MODEL_INVALID;
	case 5:
		r[0] = (typeof(*r)){ -LOG_PAGE, 2 * LOG_PAGE };
		return MODEL_WRAPS;
	case 6:
		arg->c.ranges = (uintptr_t)edge(p, s, 0);
		return MODEL_POINTER;
	case 7:
		arg->c.page_size = 3 * LOG_PAGE;
		return MODEL_WRONG;
	case 8:
		r[0].length = 0;
		return MODEL_WRONG;
	default:
		return MODEL_FINE;
	}
}

static bool play_log_start(struct player *p, const struct step *s, struct model_call *c)
{
	struct log_arg arg = { 0 };

	c->flaw = log_start_arg(p, s, &arg);
	begin(p, c);
	end(p, c, feature_at(p, &arg, HEADER + sizeof(arg.c), F_SET | F_LOG_START));
	return true;
}

static bool play_log_stop(struct player *p, const struct step *s, struct model_call *c)
{
	begin(p, c);
	end(p, c, play_bare_feature(p, F_SET | F_LOG_STOP));
	return true;
}

static bool play_log_report(struct player *p, const struct step *s, struct model_call *c)
{
	static const struct { u64 length, page_size; enum model_flaw flaw; } as[] = {
		{ SZ_1M, LOG_PAGE, MODEL_FINE },
		{ SZ_1M, 0, MODEL_INVALID },
		{ SZ_1M, 3 * LOG_PAGE, MODEL_INVALID },
		{ -LOG_PAGE, LOG_PAGE, MODEL_WRAPS },
	};
	u64 bitmap[SZ_1M / LOG_PAGE / 64] = { 0 };
	struct {
		struct vfio_device_feature f;
		struct vfio_device_feature_dma_logging_report r;
	} arg = { .r = {
		p->arena->iova, as[s->args[0] % ARRAY_SIZE(as)].length,
		as[s->args[0] % ARRAY_SIZE(as)].page_size, (uintptr_t)bitmap,
	} };

	c->flaw = as[s->args[0] % ARRAY_SIZE(as)].flaw;
	begin(p, c);
	end(p, c, feature_at(p, &arg, sizeof(arg), F_GET | F_LOG_REPORT));
	return true;
}

/* ---- the device ---- */

static bool play_reset(struct player *p, const struct step *s, struct model_call *c)
{
	begin(p, c);
	end(p, c, ioctl(p->dev->fd, VFIO_DEVICE_RESET, NULL));
	return true;
}

static bool play_flr(struct player *p, const struct step *s, struct model_call *c)
{
	struct vfio_pci_device *pci = p->dev->pci;
	u8 cap = vdev_find_cap(p->dev, PCI_CAP_ID_EXP);
	u16 control;

	if (!cap || !(vfio_pci_config_readl(pci, cap + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR))
		return false;
	control = vfio_pci_config_readw(pci, cap + PCI_EXP_DEVCTL) | PCI_EXP_DEVCTL_BCR_FLR;
	begin_surely(p, c);
	vfio_pci_config_writew(pci, cap + PCI_EXP_DEVCTL, control);
	end_surely(p, c, 0);
	return true;
}

/* No group has to be named where there is none; it is refused if there are groups */
static bool play_hot_reset(struct player *p, const struct step *s, struct model_call *c)
{
	struct vfio_pci_hot_reset arg = { .argsz = sizeof(arg) };

	begin(p, c);
	end(p, c, ioctl(p->dev->fd, VFIO_DEVICE_PCI_HOT_RESET, &arg));
	return true;
}

/* ---- processes ---- */

/* One that has all files, and only ends when it is killed */
static bool play_fork(struct player *p, const struct step *s, struct model_call *c)
{
	if (p->holder)
		return false;
	p->holder = fork();
	VFIO_ASSERT_LE(0, p->holder);
	if (!p->holder) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (1)
			pause();
	}
	return false;
}

static void end_process(pid_t pid)
{
	VFIO_ASSERT_EQ(kill(pid, SIGKILL), 0);
	VFIO_ASSERT_EQ(waitpid(pid, NULL, 0), pid);
}

static void kill_holder(struct player *p)
{
	if (p->holder)
		end_process(p->holder);
	p->holder = 0;
}

static bool play_kill_holder(struct player *p, const struct step *s, struct model_call *c)
{
	kill_holder(p);
	return false;
}

/* What a process is killed in */
struct last_call {
	struct state_arg arg;
	struct played_file *file;
	u8 *at;
};

static bool prepare_last(struct player *p, const struct step *s, struct model_call *c,
			 struct last_call *last)
{
	static const enum model_op as[KILLED_IN] = {
		[KILLED_SET] = MODEL_SET, [KILLED_READ] = MODEL_READ, [KILLED_WRITE] = MODEL_WRITE,
		[KILLED_RESET] = MODEL_RESET, [KILLED_LOG_START] = MODEL_LOG_START,
		[KILLED_LOG_REPORT] = MODEL_LOG_REPORT, [KILLED_SIZE] = MODEL_SIZE,
	};
	const struct step transfer = { .thread = s->thread, .args = { 0, BUFFER } };

	c->op = as[s->args[0] % KILLED_IN];
	c->unseen = true;
	c->state = s->args[1];
	c->file = -1;
	last->arg = (struct state_arg){ { sizeof(last->arg), F_SET | F_STATE }, { c->state, -1 } };
	if (c->op != MODEL_READ && c->op != MODEL_WRITE)
		return true;

	last->file = take_file(p, &transfer, c);
	if (!last->file)
		return false;
	pthread_mutex_lock(&p->lock);
	last->at = fill_piece(p, &transfer, c, last->file);
	last->file->mixed = true;
	pthread_mutex_unlock(&p->lock);
	return true;
}

static void do_last(struct player *p, const struct step *s, const struct model_call *c,
		    struct last_call *last)
{
	struct model_call unused = { .thread = c->thread };

	switch (c->op) {
	case MODEL_SET:
		ioctl(p->dev->fd, VFIO_DEVICE_FEATURE, &last->arg);
		break;
	case MODEL_READ:
		read(last->file->fd, last->at, c->len);
		break;
	case MODEL_WRITE:
		write(last->file->fd, last->at, c->len);
		break;
	case MODEL_RESET:
		ioctl(p->dev->fd, VFIO_DEVICE_RESET, NULL);
		break;
	case MODEL_LOG_START:
		play_log_start(p, &(struct step){ 0 }, &unused);
		break;
	case MODEL_LOG_REPORT:
		play_log_report(p, &(struct step){ 0 }, &unused);
		break;
	default:
		play_size(p, s, &unused);
	}
}

/* A process begins a call, and is killed, probably before it has an answer */
static bool play_killed(struct player *p, const struct step *s, struct model_call *c)
{
	struct last_call last = { 0 };
	u32 *begun, wait;
	pid_t pid;

	if (!prepare_last(p, s, c, &last))
		return false;
	begun = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	VFIO_ASSERT_NE((void *)begun, MAP_FAILED);
	begin_surely(p, c);
	pid = fork();
	VFIO_ASSERT_LE(0, pid);
	if (!pid) {
		__atomic_store_n(begun, 1, __ATOMIC_RELEASE);
		do_last(p, s, c, &last);
		_exit(0);
	}
	while (!__atomic_load_n(begun, __ATOMIC_ACQUIRE))
		sched_yield();
	for (wait = s->args[2]; wait; wait--)
		sched_yield();
	end_process(pid);
	end_surely(p, c, 0);
	munmap(begun, getpagesize());
	return true;
}

/* ---- what is around ---- */

static bool play_nth(struct player *p, const struct step *s, struct model_call *c)
{
	p->nth[s->thread] = s->args[0];
	return false;
}

static int disturb(struct player *p, u32 how)
{
	char command[256];

	snprintf(command, sizeof(command), "%s %u", p->around.disturb, how);
	return system(command);
}

static bool play_disturb(struct player *p, const struct step *s, struct model_call *c)
{
	if (!p->around.disturb || !s->args[0])
		return false;
	begin_surely(p, c);
	p->disturbed = true;
	/* in the middle of a reset it may not be possible */
	end_surely(p, c, disturb(p, s->args[0]));
	return true;
}

static bool play_pf_reset(struct player *p, const struct step *s, struct model_call *c)
{
	if (!p->around.pf)
		return false;
	begin_surely(p, c);
	p->pf_was_reset = true;
	end_surely(p, c, p->around.pf_reset(p->around.pf));
	return true;
}

static int use_sibling(struct player *p, u32 use)
{
	struct stream s = { 0 };
	int err;

	switch (use % SIBLING_USES) {
	case SIBLING_SAVE:
		err = mig_save(&p->sibling, &s);
		if (!err && !stream_alike(&s, &p->saved_sibling))
			err = -EILSEQ;
		stream_free(&s);
		break;
	case SIBLING_LOAD:
		err = mig_load(&p->sibling, &p->saved_sibling);
		break;
	default:
		return vdev_reset(&p->sibling);
	}
	return err ?: vdev_mig_set_state(&p->sibling, ST_RUNNING, NULL);
}

/* One thread at a time */
static bool play_sibling(struct player *p, const struct step *s, struct model_call *c)
{
	if (!p->around.sibling)
		return false;
	begin_surely(p, c);
	pthread_mutex_lock(&p->sibling_lock);
	end_surely(p, c, use_sibling(p, s->args[0]));
	if (c->ret)
		vdev_reset(&p->sibling);
	pthread_mutex_unlock(&p->sibling_lock);
	return true;
}

static void restore_pf(struct player *p)
{
	if (p->around.sibling)
		vdev_close(&p->sibling);
	VFIO_ASSERT_EQ(system(p->around.restore), 0, "%s", p->around.restore);
	if (p->around.sibling)
		vdev_open(&p->sibling, p->around.sibling);
	p->pf_was_reset = false;
}

static void close_device(struct player *p)
{
	vdev_close(p->dev);
	kill_holder(p);
	if (p->disturbed)
		VFIO_ASSERT_EQ(disturb(p, 0), 0, "%s", p->around.disturb);
	p->disturbed = false;
	if (p->pf_was_reset)
		restore_pf(p);
}

static void open_device(struct player *p)
{
	vdev_open(p->dev, p->bdf);
	VFIO_ASSERT_EQ(vdev_map(p->dev, p->arena), 0);
}

void play_reopen_device(struct player *p)
{
	close_device(p);
	open_device(p);
}

static bool play_reopen(struct player *p, const struct step *s, struct model_call *c)
{
	begin_surely(p, c);
	play_reopen_device(p);
	end_surely(p, c, 0);
	return true;
}

static void *unbind(void *bdf)
{
	VFIO_ASSERT_EQ(function_unbind(bdf), 0);
	return NULL;
}

/* Begins while the device is open, and waits until it is closed */
static bool play_unbind(struct player *p, const struct step *s, struct model_call *c)
{
	char driver[64];
	pthread_t thread;

	snprintf(driver, sizeof(driver), "%s", function_driver(p->bdf));
	begin_surely(p, c);
	VFIO_ASSERT_EQ(pthread_create(&thread, NULL, unbind, (void *)p->bdf), 0);
	close_device(p);
	pthread_join(thread, NULL);
	VFIO_ASSERT_EQ(function_bind(p->bdf, driver), 0);
	open_device(p);
	end_surely(p, c, 0);
	return true;
}

static const struct {
	enum model_op op;
	bool (*play)(struct player *p, const struct step *s, struct model_call *c);
} plays[STEP_KINDS] = {
	[STEP_GET] = { MODEL_GET, play_get },
	[STEP_SET] = { MODEL_SET, play_set },
	[STEP_SIZE] = { MODEL_SIZE, play_size },
	[STEP_INFO_V2] = { MODEL_INFO_V2, play_info_v2 },
	[STEP_FEATURE] = { MODEL_FEATURE, play_feature },
	[STEP_READ] = { MODEL_READ, play_read },
	[STEP_WRITE] = { MODEL_WRITE, play_write },
	[STEP_POLL] = { MODEL_POLL, play_poll },
	[STEP_INFO] = { MODEL_INFO, play_info },
	[STEP_IOCTL] = { MODEL_IOCTL, play_ioctl },
	[STEP_SEEK] = { MODEL_SEEK, play_seek },
	[STEP_CLOSE] = { MODEL_CLOSE, play_close },
	[STEP_LOG_START] = { MODEL_LOG_START, play_log_start },
	[STEP_LOG_STOP] = { MODEL_LOG_STOP, play_log_stop },
	[STEP_LOG_REPORT] = { MODEL_LOG_REPORT, play_log_report },
	[STEP_RESET] = { MODEL_RESET, play_reset },
	[STEP_FLR] = { MODEL_FLR, play_flr },
	[STEP_REOPEN] = { MODEL_REOPEN, play_reopen },
	[STEP_HOT_RESET] = { MODEL_HOT_RESET, play_hot_reset },
	[STEP_UNBIND] = { MODEL_REOPEN, play_unbind },
	[STEP_PF_RESET] = { MODEL_FAULTS, play_pf_reset },
	[STEP_SIBLING] = { MODEL_SIBLING, play_sibling },
	[STEP_DUP] = { 0, play_dup },
	[STEP_NONBLOCK] = { 0, play_nonblock },
	[STEP_FORK] = { 0, play_fork },
	[STEP_KILL_HOLDER] = { 0, play_kill_holder },
	[STEP_KILLED] = { 0, play_killed },
	[STEP_NTH] = { 0, play_nth },
	[STEP_DISTURB] = { MODEL_FAULTS, play_disturb },
};

bool play_step(struct player *p, const struct step *s, struct model_call *c)
{
	*c = (struct model_call){ .op = plays[s->kind].op, .thread = s->thread };
	return plays[s->kind].play(p, s, c);
}
