// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file that a load is written to. What is in the stream does not matter here, only that it
 * arrives as it was, or not at all.
 */
#include <fcntl.h>

#include <linux/sizes.h>
#include <linux/vfio.h>

#include "lib/harness.h"

#define SEED	20240229

/* A device that was reset, a stream with something in it, and what the device itself would save. */
FIXTURE(resume) {
	struct mig m;
	struct stream s;
};

FIXTURE_SETUP(resume)
{
	mig_setup(_metadata, &self->m);
	if (!self->m.flags)
		return;
	ASSERT_EQ(0, mig_save_fresh(&self->m.dev, &self->m.fresh));
	vdev_bus_master(&self->m.dev, true);
	mig_make_busy(_metadata, &self->m);
	ASSERT_EQ(0, mig_save(&self->m.dev, &self->s));
	ASSERT_EQ(0, vdev_reset(&self->m.dev));
}

FIXTURE_TEARDOWN(resume)
{
	stream_free(&self->s);
	mig_teardown(_metadata, &self->m);
}

static void expect_fresh_after_reset(struct __test_metadata *_metadata, struct mig *m)
{
	EXPECT_RESET(&m->dev);
	mig_expect_fresh(_metadata, m);
}

/* The user goes on where the state was loaded. */
static void expect_continued(struct __test_metadata *_metadata, struct mig *m, struct vdev *d)
{
	vdev_bus_master(d, true);
	if (m->u)
		udrv_move(m->u, d);
	ASSERT_SET(d, ST_RUNNING);
	mig_continue(_metadata, m);
}

/* ---- the file ---- */

MIG_TEST(resume, s58_file)
{
	char byte;
	int fd;

	fd = ASSERT_OPEN(&self->m.dev, ST_RESUMING);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_EQ(O_WRONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
	EXPECT_ERRNO(EBADF, read(fd, &byte, 1));
	close(fd);
}

/* @step bytes at a time, or with 0 any number, and now and then none. */
static int write_pieces(struct __test_metadata *_metadata, int fd, const struct stream *s,
			size_t step)
{
	u32 seed = SEED;
	size_t at, len;
	ssize_t n;

	if (step)
		return stream_write(fd, s, stream_step(s, step));
	for (at = 0; at < s->size; at += n) {
		EXPECT_EQ(0, write(fd, s->data + at, 0));
		len = min_t(size_t, 1 + mig_rnd(&seed) % 9000, s->size - at);
		n = write(fd, s->data + at, len);
		if (n <= 0)
			return n ? -errno : -EIO;
	}
	return 0;
}

MIG_TEST(resume, s59_any_write_size)
{
	const size_t page = getpagesize();
	const size_t steps[] = { SIZE_MAX / 2, 0, 1, 3, 16, 409, page - 1, page, page + 1 };
	struct vdev *d = &self->m.dev;
	struct stream back;
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		fd = ASSERT_OPEN(d, ST_RESUMING);
		EXPECT_EQ(0, write_pieces(_metadata, fd, &self->s, steps[i]))
			TH_LOG("in steps of %zu", steps[i]);
		close(fd);
		ASSERT_SET(d, ST_STOP);
		ASSERT_EQ(0, mig_save(d, &back));
		EXPECT_TRUE(stream_same(&self->s, &back))
			TH_LOG("in steps of %zu", steps[i]);
		stream_free(&back);
		EXPECT_RESET(d);
	}
}

/*
 * Give up to 50 bytes that follow, and what follows them as bytes that cannot be read; returns how
 * many of the good ones were taken. Nothing is beyond the end of the stream: that is another error.
 */
static size_t give(struct __test_metadata *_metadata, int fd, const struct stream *s, size_t at,
		   u8 *bad)
{
	size_t len = min(50ul, s->size - at), unreadable = min(50ul, s->size - at - len);
	ssize_t n;

	memcpy(bad - len, s->data + at, len);
	n = write(fd, bad - len, len + unreadable);
	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		return 0;
	}
	EXPECT_GE(len, n);
	return n;
}

static void check_write_faults(struct __test_metadata *_metadata, struct vdev *d,
			       const struct stream *s, size_t step, u8 *bad)
{
	size_t at = 0, len;
	struct stream back;
	int fd;

	fd = ASSERT_OPEN(d, ST_RESUMING);
	while (at < s->size && __test_passed(_metadata)) {
		EXPECT_ERRNO(EFAULT, write(fd, bad, min(100ul, s->size - at)));
		at += give(_metadata, fd, s, at, bad);
		len = min(stream_step(s, step), s->size - at);
		EXPECT_EQ(len, write(fd, s->data + at, len));
		at += len;
	}
	close(fd);
	ASSERT_SET(d, ST_STOP);
	ASSERT_EQ(0, mig_save(d, &back));
	EXPECT_TRUE(stream_same(s, &back));
	stream_free(&back);
	EXPECT_RESET(d);
}

/*
 * Writes that fault take in nothing that was not there, and good ones go on behind; with several
 * distances between them, so that they come at all distances from the end.
 */
MIG_TEST(resume, s59_write_faults)
{
	u8 *bad = mig_page_at_edge(_metadata) + getpagesize();
	size_t step;

	for (step = 300; step < 400 && __test_passed(_metadata); step += 12)
		check_write_faults(_metadata, &self->m.dev, &self->s, step, bad);
}

/* SET has to fail, and neither load nor run anything. */
static void expect_not_loaded(struct __test_metadata *_metadata, struct mig *m)
{
	struct vdev *d = &m->dev;
	int state;

	EXPECT_GT(0, vdev_mig_set_state(d, ST_STOP, NULL));
	EXPECT_GT(0, vdev_mig_set_state(d, ST_RUNNING, NULL));
	state = vdev_mig_state(d);
	EXPECT_TRUE(state == ST_RESUMING || state == ST_ERROR)
		TH_LOG("in %s", mig_state_name(state));
	mig_expect_off(_metadata, m, d);
}

/* Far more than any state: it has to be refused before. */
#define TOO_MUCH	SZ_64M

/* Whether the session takes TOO_MUCH bytes that are made of @len bytes of @data again and again. */
static bool takes_all(int fd, const u8 *data, size_t len)
{
	size_t at;

	for (at = 0; at < TOO_MUCH; at += len)
		if (write(fd, data, len) < 0)
			return false;
	return true;
}

/* The first @cut bytes of a good stream, then no end of something else. */
static void write_without_end(struct __test_metadata *_metadata, struct mig *m,
			      const struct stream *s, size_t cut, const u8 *junk, size_t len)
{
	struct vdev *d = &m->dev;
	int fd;

	fd = ASSERT_OPEN(d, ST_RESUMING);
	ASSERT_EQ(cut, write(fd, s->data, cut));
	EXPECT_FALSE(takes_all(fd, junk, len))
		TH_LOG("after %zu bytes of a stream", cut);
	close(fd);
	expect_not_loaded(_metadata, m);
	EXPECT_RESET(d);
}

MIG_TEST(resume, s60_stream_without_end)
{
	const struct stream *s = &self->s;
	size_t i, cut, len = SZ_64K;
	u8 *junk = malloc_assert(len);
	u32 seed = SEED;

	TH_LOG("seed %u", seed);
	for (i = 0; i < len; i++)
		junk[i] = mig_rnd(&seed);
	for (cut = 0; cut < s->size && __test_passed(_metadata); cut += s->size / 7 + 1) {
		write_without_end(_metadata, &self->m, s, cut, junk, len);
		/* the same stream over and over, as far as that */
		if (cut)
			write_without_end(_metadata, &self->m, s, cut, s->data, cut);
	}
	memset(junk, 0, len);
	for (cut = 0; cut < s->size && __test_passed(_metadata); cut += s->size / 7 + 1)
		write_without_end(_metadata, &self->m, s, cut, junk, len);
	free(junk);
	mig_expect_usable(_metadata, &self->m, &self->m.dev);
}

/* One write of a size that nobody would allocate. */
MIG_TEST(resume, s60_huge_write)
{
	const size_t huge = 1ul << 40;
	struct vdev *d = &self->m.dev;
	void *p;
	int fd;

	p = mmap(NULL, huge, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	fd = ASSERT_OPEN(d, ST_RESUMING);
	EXPECT_GT(0, write(fd, p, huge));
	close(fd);
	expect_not_loaded(_metadata, &self->m);
	EXPECT_RESET(d);
	munmap(p, huge);
	mig_expect_usable(_metadata, &self->m, d);
}

MIG_TEST(resume, s61_nothing_written)
{
	struct vdev *d = &self->m.dev;
	int fd;

	fd = ASSERT_OPEN(d, ST_RESUMING);
	expect_not_loaded(_metadata, &self->m);
	close(fd);
	expect_fresh_after_reset(_metadata, &self->m);

	EXPECT_RESET(d);
	ASSERT_SET(d, ST_RESUMING);
	expect_not_loaded(_metadata, &self->m);
	expect_fresh_after_reset(_metadata, &self->m);
}

/* Every byte, or of a long stream the first and last KiB and 4096 anywhere. */
static size_t next_cut(size_t at, size_t size, u32 *seed)
{
	do {
		at++;
	} while (size > SZ_64K && at > SZ_1K && at + SZ_1K < size && mig_rnd(seed) % size >= 4096);
	return at;
}

static int write_all(int fd, const u8 *data, size_t len)
{
	struct stream s = { (u8 *)data, len };

	return stream_write(fd, &s, 0);
}

/* Have @to bytes written: the session goes on where the device lets it, or is a new one. */
static int write_up_to(struct __test_metadata *_metadata, struct vdev *d, const struct stream *s,
		       int fd, size_t from, size_t to)
{
	if (fd >= 0 && vdev_mig_state(d) == ST_RESUMING &&
	    !write_all(fd, s->data + from, to - from))
		return fd;
	if (fd >= 0) {
		close(fd);
		EXPECT_RESET(d);
	}
	fd = ASSERT_OPEN(d, ST_RESUMING);
	ASSERT_EQ(0, write_all(fd, s->data, to));
	return fd;
}

MIG_TEST(resume, s62_truncated_anywhere)
{
	const struct stream *s = &self->s;
	struct vdev *d = &self->m.dev;
	size_t at, last = 0;
	u32 seed = SEED, cuts = 0;
	int fd = -1;

	TH_LOG("%zu bytes, seed %u", s->size, seed);
	for (at = 0; at < s->size && __test_passed(_metadata); at = next_cut(at, s->size, &seed)) {
		fd = write_up_to(_metadata, d, s, fd, last, at);
		EXPECT_GT(0, vdev_mig_set_state(d, ST_STOP, NULL))
			TH_LOG("after %zu bytes", at);
		last = at;
		cuts++;
	}
	close(fd);
	MIG_TRIED("%u lengths of a stream of %zu bytes that is cut off: refused", cuts, s->size);
	expect_not_loaded(_metadata, &self->m);
	expect_fresh_after_reset(_metadata, &self->m);
}

/* As a VMM would meet it: the file is closed, all that helps is a reset. */
MIG_TEST(resume, s62_truncated)
{
	const struct stream *s = &self->s;
	struct vdev *d = &self->m.dev;
	size_t cuts[16] = { 1, s->size / 2, s->size - 2, s->size - 1 };
	u32 seed = SEED;
	unsigned int i;
	int fd;

	TH_LOG("%zu bytes, seed %u", s->size, seed);
	for (i = 4; i < ARRAY_SIZE(cuts); i++)
		cuts[i] = mig_rnd(&seed) % s->size;
	for (i = 0; i < ARRAY_SIZE(cuts) && __test_passed(_metadata); i++) {
		fd = ASSERT_OPEN(d, ST_RESUMING);
		ASSERT_EQ(0, write_all(fd, s->data, cuts[i]))
			TH_LOG("%zu bytes", cuts[i]);
		close(fd);
		expect_not_loaded(_metadata, &self->m);
		EXPECT_RESET(d);
	}
	expect_fresh_after_reset(_metadata, &self->m);
}

/* What it says to a stream: 0, or the error of a write or of SET STOP. */
static int offer(struct __test_metadata *_metadata, struct vdev *d, const struct stream *s)
{
	int fd, err;

	fd = ASSERT_OPEN(d, ST_RESUMING);
	err = stream_write(fd, s, 0);
	close(fd);
	return err ?: vdev_mig_set_state(d, ST_STOP, NULL);
}

/* One bit is wrong: it is refused, twice alike, or the device takes it and can be used. */
static void check_flip(struct __test_metadata *_metadata, struct mig *m, struct stream *s,
		       size_t at, unsigned int bit)
{
	struct vdev *d = &m->dev;
	int err;

	s->data[at] ^= 1 << bit;
	err = offer(_metadata, d, s);
	if (err) {
		expect_not_loaded(_metadata, m);
		EXPECT_RESET(d);
		if (at % 4 == 0)
			EXPECT_EQ(err, offer(_metadata, d, s));
	} else {
		ASSERT_SET(d, ST_RUNNING);
		mig_expect_usable(_metadata, m, d);
	}
	EXPECT_RESET(d);
	s->data[at] ^= 1 << bit;
	if (!__test_passed(_metadata))
		TH_LOG("bit %u of byte %zu, %d", bit, at, err);
}

MIG_TEST(resume, s63_single_bits)
{
	const unsigned int parts = 48;
	struct stream *s = &self->s;
	u32 i, seed = SEED;
	size_t from, to;

	TH_LOG("%zu bytes, seed %u", s->size, seed);
	/* heads are at the front, checksums behind */
	for (i = 0; i < 16 && __test_passed(_metadata); i++) {
		check_flip(_metadata, &self->m, s, i, mig_rnd(&seed) % 8);
		check_flip(_metadata, &self->m, s, s->size - 1 - i, mig_rnd(&seed) % 8);
	}
	for (i = 0; i < parts && __test_passed(_metadata); i++) {
		from = i * s->size / parts;
		to = (i + 1) * s->size / parts;
		check_flip(_metadata, &self->m, s, from + mig_rnd(&seed) % (to - from),
			   mig_rnd(&seed) % 8);
	}
	MIG_TRIED("%u single bits of a stream that are wrong: refused, or the device can be used",
		  32 + parts);
	/* it was none of the others */
	EXPECT_EQ(0, offer(_metadata, &self->m.dev, s));
	expect_fresh_after_reset(_metadata, &self->m);
}

/* In write(), where the VM still runs on its source; not in SET, where it may be gone. */
MIG_TEST(resume, s64_other_model)
{
	struct vdev *d = &self->m.dev, other;
	struct stream s;
	int fd, err;

	if (!mig_open(_metadata, &self->m, &other, MIG_OTHER))
		return;
	ASSERT_EQ(0, mig_save(&other, &s));
	vdev_close(&other);
	fd = ASSERT_OPEN(d, ST_RESUMING);
	err = stream_write(fd, &s, 0);
	EXPECT_GT(0, err);
	/* it is not forgotten */
	EXPECT_ERRNO(-err, write(fd, s.data, 1));
	close(fd);
	expect_not_loaded(_metadata, &self->m);
	stream_free(&s);
	expect_fresh_after_reset(_metadata, &self->m);
}

/* A complete stream and then @len bytes, together or one after the other. */
static void write_trailing(struct __test_metadata *_metadata, struct mig *m,
			   const struct stream *s, const u8 *data, size_t len, bool together)
{
	struct stream all = { malloc_assert(s->size + len), s->size + len };
	struct vdev *d = &m->dev;
	int fd, err;

	memcpy(all.data, s->data, s->size);
	memcpy(all.data + s->size, data, len);
	fd = ASSERT_OPEN(d, ST_RESUMING);
	if (together) {
		err = stream_write(fd, &all, 0);
	} else {
		ASSERT_EQ(0, stream_write(fd, s, 0));
		err = write_all(fd, data, len);
	}
	if (!err)
		err = vdev_mig_set_state(d, ST_STOP, NULL);
	EXPECT_GT(0, err)
		TH_LOG("%zu bytes more", len);
	close(fd);
	EXPECT_GT(0, vdev_mig_set_state(d, ST_RUNNING, NULL));
	stream_free(&all);
	EXPECT_RESET(d);
}

MIG_TEST(resume, s65_trailing_bytes)
{
	const struct stream *s = &self->s;
	int i;

	for (i = 0; i < 2; i++) {
		write_trailing(_metadata, &self->m, s, s->data, 1, i);
		write_trailing(_metadata, &self->m, s, (u8 *)"", 1, i);
		write_trailing(_metadata, &self->m, s, s->data, s->size, i);
	}
	expect_fresh_after_reset(_metadata, &self->m);
}

/* To another function or this one; what arrives is what was sent, and works. */
static void carry(struct __test_metadata *_metadata, struct mig *m, const struct stream *s,
		  struct vdev *to)
{
	struct stream back;

	ASSERT_EQ(0, mig_load(to, s));
	ASSERT_EQ(0, mig_save(to, &back));
	EXPECT_TRUE(stream_same(s, &back));
	stream_free(&back);
	EXPECT_RESET(to);
	ASSERT_EQ(0, mig_load(to, s));
	expect_continued(_metadata, m, to);
}

MIG_TEST(resume, s66_into_itself)
{
	carry(_metadata, &self->m, &self->s, &self->m.dev);
}

static void carry_away(struct __test_metadata *_metadata, struct mig *m, const struct stream *s,
		       const char *name)
{
	struct vdev to;

	if (!mig_open(_metadata, m, &to, name))
		return;
	carry(_metadata, m, s, &to);
	/* and back, as it is now */
	if (m->u) {
		struct stream now;

		ASSERT_EQ(0, mig_save(&to, &now));
		ASSERT_EQ(0, mig_load(&m->dev, &now));
		stream_free(&now);
		vdev_bus_master(&m->dev, true);
		udrv_move(m->u, &m->dev);
		ASSERT_SET(&m->dev, ST_RUNNING);
		EXPECT_EQ(0, udrv_work(m->u, 1));
		udrv_check_idle(m->u);
	}
	vdev_close(&to);
}

MIG_TEST(resume, s66_into_a_sibling)
{
	carry_away(_metadata, &self->m, &self->s, MIG_SIBLING);
}

MIG_TEST(resume, s66_into_a_peer)
{
	carry_away(_metadata, &self->m, &self->s, MIG_PEER);
}

/* That of a device which nobody used yet is a stream like any other. */
MIG_TEST(resume, s66_of_a_fresh_device)
{
	struct mig *m = &self->m;
	struct vdev peer, *to = &m->dev;
	struct stream back;

	if (getenv(MIG_PEER)) {
		if (!mig_open(_metadata, m, &peer, MIG_PEER))
			return;
		to = &peer;
	}
	ASSERT_EQ(0, mig_load(to, &m->fresh));
	ASSERT_EQ(0, mig_save(to, &back));
	EXPECT_TRUE(stream_same(&m->fresh, &back));
	stream_free(&back);
	ASSERT_SET(to, ST_RUNNING);
	mig_expect_off(_metadata, m, to);
	mig_expect_usable(_metadata, m, to);
	if (to == &peer) {
		mig_end_user(_metadata, m);
		vdev_close(&peer);
	}
}

MIG_TEST(resume, s67_file_after_the_session)
{
	struct vdev *d = &self->m.dev;
	int fd, old, i;
	char byte = 0;

	old = ASSERT_OPEN(d, ST_RESUMING);
	EXPECT_ERRNO(ESPIPE, pwrite(old, &byte, 1, 0));
	EXPECT_ERRNO(ESPIPE, lseek(old, 0, SEEK_SET));
	EXPECT_RESET(d);
	EXPECT_ERRNO(ENODEV, write(old, &byte, 1));
	fd = ASSERT_OPEN(d, ST_RESUMING);
	ASSERT_EQ(0, stream_write(fd, &self->s, 0));
	EXPECT_ERRNO(ENODEV, write(old, &byte, 1));
	ASSERT_SET(d, ST_STOP);
	for (i = 0; i < 2; i++)
		EXPECT_ERRNO(ENODEV, write(fd, &byte, 1));
	ASSERT_SET(d, ST_RUNNING);
	EXPECT_ERRNO(ENODEV, write(fd, self->s.data, self->s.size));
	close(old);

	vdev_close(d);
	EXPECT_ERRNO(ENODEV, write(fd, &byte, 1));
	vdev_open(d, mig_bdf);
	ASSERT_EQ(0, vdev_map(d, &self->m.arena));
	EXPECT_ERRNO(ENODEV, write(fd, &byte, 1));
	mig_expect_usable(_metadata, &self->m, d);
}

/* Given up with nothing written, with a part, with all, and when it was in STOP already. */
MIG_TEST(resume, s68_given_up)
{
	const struct stream *s = &self->s;
	struct vdev *d = &self->m.dev;
	int fd, i;

	for (i = 0; i < 4; i++) {
		fd = ASSERT_OPEN(d, ST_RESUMING);
		ASSERT_EQ(0, write_all(fd, s->data, s->size * min(i, 2) / 2));
		if (i == 3)
			ASSERT_SET(d, ST_STOP);
		expect_fresh_after_reset(_metadata, &self->m);
		EXPECT_TRUE(mig_file_dead(fd));
		close(fd);
		EXPECT_RESET(d);
	}
}

/* Its own old state is not what is left when the new one did not come. */
MIG_TEST(resume, s70_old_state_is_gone)
{
	struct udrv_io read = { .channel = 1, .blocks = 1 };
	struct mig *m = &self->m;
	struct vdev *d = &m->dev;
	struct quiet quiet;
	int fd;

	mig_expect_usable(_metadata, m, d);
	ASSERT_SET(d, ST_STOP);
	/* work that was there when it was stopped */
	if (m->u) {
		read.buf = m->u->work;
		ASSERT_EQ(0, udrv_submit(m->u, &read));
		ASSERT_EQ(0, quiet_start(&quiet, m->u));
	}
	fd = ASSERT_OPEN(d, ST_RESUMING);
	/* incomplete, or refused before that */
	write_all(fd, self->s.data, self->s.size - 1);
	close(fd);
	EXPECT_GT(0, vdev_mig_set_state(d, ST_STOP, NULL));
	EXPECT_GT(0, vdev_mig_set_state(d, ST_RUNNING, NULL));
	EXPECT_RESET(d);
	mig_expect_off(_metadata, m, d);
	if (m->u) {
		vdev_bus_master(d, true);
		EXPECT_EQ(0, quiet_check(&quiet, 200));
		quiet_end(&quiet);
		mig_end_user(_metadata, m);
	}
	expect_fresh_after_reset(_metadata, m);
}

int main(int argc, char *argv[])
{
	return mig_harness_run(argc, argv);
}
