// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA logging: what the device wrote is reported. The driver in user space knows what it asked the
 * device to write: data, and what goes with it when a request ends.
 */
#include <pthread.h>

#include <linux/sizes.h>
#include <linux/vfio.h>

#include "lib/harness.h"

#define SEED	19990907

#define range	vfio_device_feature_dma_logging_range

#define PAGE	4096u
#define PAGES	(MIG_ARENA_SIZE / PAGE)

/* Memory that data is read into, in pages of the arena. */
#define BUF_PAGES	1024

static const struct udrv_opts opts = { .channels = 3 };

#define BATCH	16

struct logged {
	struct mig m;
	u8 *buf;		/* BUF_PAGES */
	u8 *page;		/* for channel 0 */
	struct udrv_io ios[BATCH];
	u64 blocks;		/* on the medium, each with data of its own */
	u32 seed;
	/* by page of the arena, in the order of events: 0 is never */
	u32 now;
	u32 written[PAGES];	/* the device was last asked to write there */
	u32 reported[PAGES];	/* a report with this page has last returned */
};

FIXTURE(logging) {
	struct logged l;
};

FIXTURE_SETUP(logging)
{
	struct logged *l = &self->l;

	mig_setup_any(_metadata, &l->m);
	if (!mig_offers_logging(_metadata, &l->m))
		return;
	l->seed = SEED;
	TH_LOG("seed %u", l->seed);
}

FIXTURE_TEARDOWN(logging)
{
	struct logged *l = &self->l;

	mig_teardown(_metadata, &l->m);
}

/* ---- starting and stopping ---- */

static int start_sized(struct vdev *d, u64 page_size, const struct range *r, u32 nr)
{
	return vdev_log_start(d, &page_size, r, nr);
}

static int start(struct vdev *d, const struct range *r, u32 nr)
{
	return start_sized(d, PAGE, r, nr);
}

/* All of the arena. */
static struct range whole(struct logged *l)
{
	return (struct range){ l->m.arena.iova, l->m.arena.size };
}

static int start_whole(struct logged *l)
{
	struct range r = whole(l);

	return start(&l->m.dev, &r, 1);
}

static void note_reported(struct logged *l, u64 iova, u64 length)
{
	u64 page = (iova - l->m.arena.iova) / PAGE;

	for (; length && page < PAGES; page++, length -= PAGE)
		l->reported[page] = __atomic_load_n(&l->now, __ATOMIC_SEQ_CST);
}

static int report_sized(struct logged *l, u64 iova, u64 length, u64 page_size)
{
	u64 nr = length / page_size, i;
	u64 *bitmap = calloc_assert(nr / 64 + 1, sizeof(*bitmap));
	int err;

	err = vdev_log_report(&l->m.dev, iova, length, page_size, bitmap);
	for (i = 0; i < nr && !err; i++)
		if (bitmap[i / 64] & 1ull << i % 64)
			note_reported(l, iova + i * page_size, page_size);
	free(bitmap);
	return err;
}

static int report(struct logged *l)
{
	return report_sized(l, l->m.arena.iova, l->m.arena.size, PAGE);
}

MIG_TEST(logging, s84_start_and_stop)
{
	struct logged *l = &self->l;
	struct vdev *d = &l->m.dev;
	struct range r = whole(l);
	int i;

	EXPECT_GT(0, report(l));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, start_whole(l));
		EXPECT_EQ(0, report(l));
		/* no second one, and the first goes on */
		EXPECT_GT(0, start_whole(l));
		r.length = SZ_1M;
		EXPECT_GT(0, start(d, &r, 1));
		EXPECT_EQ(0, report(l));
		EXPECT_EQ(0, vdev_log_stop(d));
		EXPECT_GT(0, report(l));
	}
}

/* A report has arguments, too. */
MIG_TEST(logging, s84_report_arguments)
{
	struct logged *l = &self->l;
	u64 iova = l->m.arena.iova, bitmap[64] = { 0 };
	struct vdev *d = &l->m.dev;

	ASSERT_EQ(0, start_whole(l));
	EXPECT_EQ(-EINVAL, vdev_log_report(d, iova, SZ_1M, 0, bitmap));
	EXPECT_EQ(-EINVAL, vdev_log_report(d, iova, SZ_1M, 1024, bitmap));
	EXPECT_EQ(-EINVAL, vdev_log_report(d, iova, SZ_1M, 3 * PAGE, bitmap));
	EXPECT_EQ(-EOVERFLOW, vdev_log_report(d, -(u64)PAGE, 2 * PAGE, PAGE, bitmap));
	/* the core does not tell of bits that it cannot set */
	vdev_log_report(d, iova, SZ_1M, PAGE, NULL);
	EXPECT_EQ(0, vdev_log_report(d, iova, SZ_1M, PAGE, bitmap));
	EXPECT_EQ(0, vdev_log_stop(d));
}

/* ---- ranges ---- */

/* Refused, and logging is not on: it can be started. */
static void refuse_sized(struct __test_metadata *_metadata, struct logged *l, int err,
			 u64 page_size, const struct range *r, u32 nr)
{
	int got = start_sized(&l->m.dev, page_size, r, nr);

	EXPECT_GT(0, got)
		TH_LOG("page size %#lx, %u ranges, first %#llx + %#llx", page_size, nr,
		       r ? r->iova : 0, r ? r->length : 0);
	if (err)
		EXPECT_EQ(err, got);
	EXPECT_GT(0, report(l));
	EXPECT_EQ(0, start_whole(l));
	EXPECT_EQ(0, vdev_log_stop(&l->m.dev));
}

static void refuse(struct __test_metadata *_metadata, struct logged *l, int err, u64 iova,
		   u64 length)
{
	struct range r = { iova, length };

	refuse_sized(_metadata, l, err, PAGE, &r, 1);
}

static void refuse_two(struct __test_metadata *_metadata, struct logged *l, int err, struct range a,
		       struct range b)
{
	struct range r[] = { a, b };

	refuse_sized(_metadata, l, err, PAGE, r, 2);
}

MIG_TEST(logging, s85_ranges)
{
	struct logged *l = &self->l;
	const u64 at = l->m.arena.iova;

	refuse(_metadata, l, -EINVAL, at + 1, PAGE);
	refuse(_metadata, l, -EINVAL, at + PAGE / 2, PAGE);
	refuse(_metadata, l, -EINVAL, at, PAGE + 1);
	refuse(_metadata, l, -EINVAL, at, PAGE / 2);
	refuse(_metadata, l, 0, at, 0);
	refuse(_metadata, l, -EOVERFLOW, -(u64)PAGE, 2 * PAGE);
	refuse(_metadata, l, -EOVERFLOW, 2 * PAGE, -(u64)PAGE);
	refuse_two(_metadata, l, -EINVAL, (struct range){ at, SZ_1M }, (struct range){ at, SZ_1M });
	refuse_two(_metadata, l, -EINVAL, (struct range){ at, SZ_1M },
		   (struct range){ at + SZ_1M - PAGE, SZ_1M });
	refuse_two(_metadata, l, -EINVAL, (struct range){ at + SZ_1M, SZ_1M },
		   (struct range){ at + PAGE, SZ_1M });
	refuse_two(_metadata, l, -EINVAL, (struct range){ at, SZ_1M },
		   (struct range){ at + PAGE, PAGE });
	refuse_two(_metadata, l, -EINVAL, (struct range){ at + PAGE, PAGE },
		   (struct range){ at, SZ_1M });
	refuse_two(_metadata, l, -EOVERFLOW, (struct range){ at, SZ_1M },
		   (struct range){ -(u64)PAGE, 2 * PAGE });
}

MIG_TEST(logging, s85_number_of_ranges)
{
	struct logged *l = &self->l;
	const u32 nr = getpagesize() / sizeof(struct range) + 1;
	struct range *r = calloc_assert(nr, sizeof(*r));
	u32 i;

	for (i = 0; i < nr; i++)
		r[i] = (struct range){ l->m.arena.iova + 2ull * i * PAGE, PAGE };
	refuse_sized(_metadata, l, -EINVAL, PAGE, r, 0);
	refuse_sized(_metadata, l, -E2BIG, PAGE, r, nr);
	refuse_sized(_metadata, l, -E2BIG, PAGE, r, ~0u);
	free(r);
}

MIG_TEST(logging, s85_page_size)
{
	struct logged *l = &self->l;
	static const u64 bad[] = { 0, 3, 3 * PAGE, PAGE + 1, PAGE + 512 };
	struct range r = { l->m.arena.iova, SZ_1M }, nothing = { 0 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		refuse_sized(_metadata, l, 0, bad[i], &r, 1);
	/* nothing is aligned to nothing */
	refuse_sized(_metadata, l, 0, 0, &nothing, 1);
}

/* Where the ranges cannot be read or the answer cannot be written, nothing has begun. */
MIG_TEST(logging, s85_pointers)
{
	struct logged *l = &self->l;
	u8 *edge = mig_page_at_edge(_metadata) + getpagesize();
	struct vfio_device_feature_dma_logging_control *c;
	struct vfio_device_feature *f;
	struct range r = whole(l);

	refuse_sized(_metadata, l, -EFAULT, PAGE, NULL, 1);
	memcpy(edge - sizeof(r), &r, sizeof(r));
	refuse_sized(_metadata, l, -EFAULT, PAGE, (struct range *)(edge - sizeof(r)), 2);

	f = (void *)(edge - sizeof(*f) - sizeof(*c));
	f->argsz = sizeof(*f) + sizeof(*c);
	f->flags = F_SET | F_LOG_START;
	c = (void *)f->data;
	*c = (typeof(*c)){ .page_size = PAGE, .num_ranges = 1, .ranges = (uintptr_t)&r };
	ASSERT_EQ(0, mprotect(edge - getpagesize(), getpagesize(), PROT_READ));
	EXPECT_ERRNO(EFAULT, ioctl(l->m.dev.fd, VFIO_DEVICE_FEATURE, f));
	EXPECT_GT(0, report(l));
	EXPECT_EQ(0, start_whole(l));
	EXPECT_EQ(0, vdev_log_stop(&l->m.dev));
}

/* ---- a device that writes ---- */

/* Before the device is asked to write there. */
static void note_written(struct logged *l, const void *p, size_t len)
{
	size_t at = (const u8 *)p - l->m.arena.va, i;
	u32 now = __atomic_add_fetch(&l->now, 1, __ATOMIC_SEQ_CST);

	for (i = at / PAGE; i <= (at + len - 1) / PAGE; i++)
		l->written[i] = now;
}

/* Data to be read that is not in memory already. */
static void write_pattern(struct __test_metadata *_metadata, struct logged *l)
{
	struct udrv *u = l->m.u;
	u32 step = min_t(u32, u->max_bytes, BUF_PAGES * PAGE) / u->block_size;
	struct udrv_io io = { .channel = 1, .write = true, .blocks = step, .buf = l->buf };

	for (l->blocks = 0; l->blocks < 16 * step; l->blocks += step) {
		io.block = l->blocks;
		pattern_fill(l->buf, u->block_size, l->blocks, step, 1, l->seed);
		ASSERT_EQ(0, udrv_exec(u, &io));
	}
}

static bool set_up(struct __test_metadata *_metadata, struct logged *l)
{
	struct mig *m = &l->m;

	if (!mig_start(_metadata, m, &opts))
		return false;
	if (!l->buf) {
		l->buf = arena_alloc(&m->arena, BUF_PAGES * PAGE);
		l->page = arena_alloc(&m->arena, PAGE);
	}
	write_pattern(_metadata, l);
	return true;
}

static void begin(struct logged *l)
{
	l->now = 1;
	memset(l->written, 0, sizeof(l->written));
	memset(l->reported, 0, sizeof(l->reported));
}

/* Where the device writes besides the data; not every device tells when it does */
static bool is_ring(const struct logged *l, unsigned int page)
{
	const u8 *p = l->m.arena.va + (size_t)page * PAGE, *ring;
	unsigned int i;
	size_t len;

	for (i = 0; i <= l->m.u->channels; i++) {
		ring = l->m.ops->ring(l->m.u, i, &len);
		if (p + PAGE > ring && p < ring + len)
			return true;
	}
	return false;
}

static unsigned int nr_reported(const struct logged *l)
{
	unsigned int i, nr = 0;

	for (i = 0; i < PAGES; i++)
		nr += l->reported[i] && !is_ring(l, i);
	return nr;
}

/* It ends later, with a fault if it fails. */
static void submit(struct __test_metadata *_metadata, struct logged *l, struct udrv_io *io,
		   size_t len)
{
	size_t ring_len;
	const void *ring = l->m.ops->ring(l->m.u, io->channel, &ring_len);

	note_written(l, io->buf, len);
	note_written(l, ring, ring_len);
	ASSERT_EQ(0, udrv_submit(l->m.u, io));
}

/* One read, from any block to any place in the buffer. */
static void submit_read(struct __test_metadata *_metadata, struct logged *l, struct udrv_io *io)
{
	struct udrv *u = l->m.u;
	u32 most = min(u->max_bytes, 32 * PAGE) / u->block_size;
	u32 blocks = 1 + mig_rnd(&l->seed) % most;
	size_t len = (size_t)blocks * u->block_size;

	*io = (struct udrv_io){ .channel = 1 + mig_rnd(&l->seed) % u->channels, .blocks = blocks };
	io->buf = l->buf + mig_rnd(&l->seed) % (BUF_PAGES * PAGE - len) / u->align * u->align;
	io->block = mig_rnd(&l->seed) % (l->blocks - blocks);
	submit(_metadata, l, io, len);
}

/* Let the device write a lot, and wait until it has. */
static void device_writes(struct __test_metadata *_metadata, struct logged *l)
{
	struct udrv_io control = { .buf = l->page };
	unsigned int i;

	for (i = 0; i < BATCH; i++)
		submit_read(_metadata, l, &l->ios[i]);
	submit(_metadata, l, &control, PAGE);
	ASSERT_EQ(0, udrv_drain(l->m.u));
}

static bool in_ranges(struct logged *l, unsigned int page, const struct range *r, u32 nr)
{
	u64 iova = l->m.arena.iova + (u64)page * PAGE;
	u32 i;

	for (i = 0; i < nr; i++)
		if (iova >= r[i].iova && iova < r[i].iova + r[i].length)
			return true;
	return false;
}

/* Nothing that was written is missing; pages that only the CPU writes may be there or not. */
static void expect_complete(struct __test_metadata *_metadata, struct logged *l,
			    const struct range *r, u32 nr)
{
	unsigned int i, missing = 0;

	for (i = 0; i < PAGES; i++) {
		if (l->written[i] <= l->reported[i] || !in_ranges(l, i, r, nr))
			continue;
		if (!missing++)
			TH_LOG("the page at %#lx was written and is not reported",
			       l->m.arena.iova + (u64)i * PAGE);
	}
	EXPECT_EQ(0, missing);
}

/* As many ranges as asked for, aligned to @unit, anywhere in the arena, with gaps, in any order. */
static void random_ranges(struct logged *l, struct range *r, u32 nr, u64 unit)
{
	const u32 room = l->m.arena.size / unit / nr;
	u32 i, j, from, len;
	struct range t;

	for (i = 0; i < nr; i++) {
		from = mig_rnd(&l->seed) % (room - 1);
		len = 1 + mig_rnd(&l->seed) % (room - from);
		r[i].iova = l->m.arena.iova + ((u64)i * room + from) * unit;
		r[i].length = len * unit;
	}
	for (i = nr - 1; i; i--) {
		j = mig_rnd(&l->seed) % (i + 1);
		t = r[i];
		r[i] = r[j];
		r[j] = t;
	}
}

static void report_ranges(struct __test_metadata *_metadata, struct logged *l,
			  const struct range *r, u32 nr, u64 page_size)
{
	u32 i;

	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, report_sized(l, r[i].iova, r[i].length, page_size));
}

/* Sizes that are only a wish: what is used is said, and everything is found with it. */
MIG_TEST(logging, s86_page_sizes)
{
	struct logged *l = &self->l;
	static const u64 wishes[] = { SZ_4K, SZ_8K, SZ_64K, SZ_2M, SZ_1G };
	struct vdev *d = &l->m.dev;
	unsigned int i;
	u64 used;
	struct range r;

	if (!set_up(_metadata, l))
		return;
	for (i = 0; i < ARRAY_SIZE(wishes); i++) {
		used = wishes[i];
		r = (struct range){ l->m.arena.iova, roundup(l->m.arena.size, used) };
		ASSERT_EQ(0, vdev_log_start(d, &used, &r, 1));
		EXPECT_LT(0, used);
		EXPECT_EQ(0, used & (used - 1));
		begin(l);
		device_writes(_metadata, l);
		ASSERT_EQ(0, report_sized(l, r.iova, r.length, max_t(u64, used, PAGE)));
		expect_complete(_metadata, l, &r, 1);
		EXPECT_EQ(0, vdev_log_stop(d));
	}
}

/* Many ranges are taken and used, or refused with nothing begun. */
MIG_TEST(logging, s86_many_ranges)
{
	struct logged *l = &self->l;
	static const u32 nrs[] = { 2, 3, 17, 64, 255, 256 };
	struct vdev *d = &l->m.dev;
	struct range r[256];
	unsigned int i;
	int err;

	if (!set_up(_metadata, l))
		return;
	for (i = 0; i < ARRAY_SIZE(nrs); i++) {
		random_ranges(l, r, nrs[i], PAGE);
		err = start(d, r, nrs[i]);
		if (err) {
			EXPECT_GT(0, report(l));
			EXPECT_EQ(0, start_whole(l));
		} else {
			begin(l);
			device_writes(_metadata, l);
			report_ranges(_metadata, l, r, nrs[i], PAGE);
			expect_complete(_metadata, l, r, nrs[i]);
		}
		EXPECT_EQ(0, vdev_log_stop(d));
	}
}

/* ---- reports ---- */

MIG_TEST(logging, s87_sets_bits_and_clears_none)
{
	struct logged *l = &self->l;
	const u64 size = 64 * PAGE;
	struct vdev *d = &l->m.dev;
	u64 guarded[3], before;
	unsigned int i;

	if (!set_up(_metadata, l))
		return;
	ASSERT_EQ(0, start_whole(l));
	for (i = 0; i < BUF_PAGES * PAGE / size; i++) {
		begin(l);
		device_writes(_metadata, l);
		before = (u64)mig_rnd(&l->seed) << 32 | mig_rnd(&l->seed);
		guarded[0] = before;
		guarded[1] = before;
		guarded[2] = ~before;
		ASSERT_EQ(0, vdev_log_report(d, arena_iova(&l->m.arena, l->buf) + i * size,
					     size, PAGE, &guarded[1]));
		EXPECT_EQ(before, guarded[1] & before);
		/* behind and before the bitmap nothing is touched */
		EXPECT_EQ(before, guarded[0]);
		EXPECT_EQ(~before, guarded[2]);
	}
	EXPECT_EQ(0, vdev_log_stop(d));
}

MIG_TEST(logging, s87_second_report_is_empty)
{
	struct logged *l = &self->l;
	unsigned int i;

	if (!set_up(_metadata, l))
		return;
	ASSERT_EQ(0, start_whole(l));
	for (i = 0; i < 4; i++) {
		begin(l);
		device_writes(_metadata, l);
		ASSERT_EQ(0, report(l));
		EXPECT_LT(0, nr_reported(l));
		begin(l);
		ASSERT_EQ(0, report(l));
		EXPECT_EQ(0, nr_reported(l));
	}
	EXPECT_EQ(0, vdev_log_stop(&l->m.dev));
}

/* A report of a part clears that part only. */
MIG_TEST(logging, s87_report_of_a_part)
{
	struct logged *l = &self->l;
	const u64 half = l->m.arena.size / 2;
	struct range r = whole(l);

	if (!set_up(_metadata, l))
		return;
	ASSERT_EQ(0, start_whole(l));
	begin(l);
	device_writes(_metadata, l);
	ASSERT_EQ(0, report_sized(l, r.iova, half, PAGE));
	ASSERT_EQ(0, report_sized(l, r.iova, half, PAGE));
	ASSERT_EQ(0, report_sized(l, r.iova + half, half, PAGE));
	expect_complete(_metadata, l, &r, 1);
	EXPECT_EQ(0, vdev_log_stop(&l->m.dev));
}

/* ---- nothing is missing ---- */

/* In random places of random ranges; wished for, and reported in, random page sizes. */
MIG_TEST(logging, s88_random_writes)
{
	struct logged *l = &self->l;
	struct vdev *d = &l->m.dev;
	unsigned int i, j;
	struct range r[8];
	u64 unit;
	u32 nr;

	if (!set_up(_metadata, l))
		return;
	for (i = 0; i < 40 && __test_passed(_metadata); i++) {
		unit = (u64)PAGE << mig_rnd(&l->seed) % 7;
		nr = 1 + mig_rnd(&l->seed) % ARRAY_SIZE(r);
		random_ranges(l, r, nr, unit);
		ASSERT_EQ(0, start_sized(d, i % 2 ? unit : PAGE, r, nr));
		begin(l);
		for (j = mig_rnd(&l->seed) % 4; j; j--)
			device_writes(_metadata, l);
		report_ranges(_metadata, l, r, nr, unit);
		expect_complete(_metadata, l, r, nr);
		EXPECT_EQ(0, vdev_log_stop(d));
	}
}

struct reporter {
	struct logged *l;
	bool stop;
	int err;
	unsigned int reports;
};

static void *report_again(void *arg)
{
	struct reporter *r = arg;

	while (!r->err && !__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		r->err = report(r->l);
		__atomic_add_fetch(&r->reports, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* What is written while a report is under way is in that one or in the next. */
MIG_TEST(logging, s88_writes_under_a_report)
{
	struct logged *l = &self->l;
	struct reporter reporter = { l };
	struct range r = whole(l);
	unsigned int i;
	pthread_t t;

	if (!set_up(_metadata, l))
		return;
	ASSERT_EQ(0, start_whole(l));
	begin(l);
	ASSERT_EQ(0, pthread_create(&t, NULL, report_again, &reporter));
	for (i = 0; i < 20 || __atomic_load_n(&reporter.reports, __ATOMIC_RELAXED) < 20; i++)
		device_writes(_metadata, l);
	__atomic_store_n(&reporter.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_EQ(0, reporter.err);
	ASSERT_EQ(0, report(l));
	expect_complete(_metadata, l, &r, 1);
	EXPECT_EQ(0, vdev_log_stop(&l->m.dev));
}

/* ---- what it goes on over ---- */

MIG_TEST(logging, s89_over_a_reset)
{
	struct logged *l = &self->l;
	struct vdev *d = &l->m.dev;
	struct range r = whole(l);

	if (!set_up(_metadata, l))
		return;
	ASSERT_EQ(0, start_whole(l));
	begin(l);
	device_writes(_metadata, l);
	EXPECT_EQ(0, vdev_reset(d));
	EXPECT_GT(0, start_whole(l));
	/* what was written before it and after it */
	mig_end_user(_metadata, &l->m);
	vdev_bus_master(d, true);
	ASSERT_TRUE(set_up(_metadata, l));
	device_writes(_metadata, l);
	ASSERT_EQ(0, report(l));
	expect_complete(_metadata, l, &r, 1);
	EXPECT_EQ(0, vdev_log_stop(d));
	EXPECT_GT(0, report(l));
}

MIG_TEST(logging, s89_ends_with_close)
{
	struct logged *l = &self->l;
	struct vdev *d = &l->m.dev;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, start_whole(l));
		vdev_close(d);
		vdev_open(d, mig_bdf);
		ASSERT_EQ(0, vdev_map(d, &l->m.arena));
		EXPECT_GT(0, report(l));
	}
	EXPECT_EQ(0, start_whole(l));
	EXPECT_EQ(0, vdev_log_stop(d));
}

/* Started, reported and stopped in every state, and none changes it. */
MIG_TEST(logging, s89_in_every_state)
{
	struct logged *l = &self->l;
	struct mig *m = &l->m;
	unsigned int i, nr;
	u32 states[ST_NR];
	int fd;

	if (!m->flags)
		SKIP(return, "%s is not migratable", mig_bdf);
	ASSERT_EQ(0, mig_save_fresh(&m->dev, &m->fresh));
	nr = mig_states(m->flags, states);
	for (i = 0; i < nr; i++) {
		fd = mig_reach(_metadata, m, states[i]);
		EXPECT_EQ(0, start_whole(l))
			TH_LOG("in %s", mig_state_name(states[i]));
		EXPECT_EQ(0, report(l));
		EXPECT_EQ(0, vdev_log_stop(&m->dev));
		EXPECT_STATE(&m->dev, states[i]);
		close(fd);
		EXPECT_RESET(&m->dev);
	}
}

/* What was written before the device stopped is reported afterwards, in each state on the way. */
MIG_TEST(logging, s89_over_a_migration)
{
	struct logged *l = &self->l;
	struct mig *m = &l->m;
	struct range r = whole(l);
	struct stream s;

	if (!m->flags)
		SKIP(return, "%s is not migratable", mig_bdf);
	if (!set_up(_metadata, l))
		return;
	ASSERT_EQ(0, start_whole(l));
	begin(l);
	device_writes(_metadata, l);
	ASSERT_SET(&m->dev, ST_STOP);
	ASSERT_EQ(0, report(l));
	expect_complete(_metadata, l, &r, 1);
	ASSERT_EQ(0, mig_save(&m->dev, &s));
	stream_free(&s);
	ASSERT_EQ(0, report(l));
	ASSERT_SET(&m->dev, ST_RUNNING);
	begin(l);
	device_writes(_metadata, l);
	ASSERT_EQ(0, report(l));
	expect_complete(_metadata, l, &r, 1);
	EXPECT_EQ(0, vdev_log_stop(&m->dev));
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
