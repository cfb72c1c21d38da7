// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration files: what is in the stream, how it is read and written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver.h"

static const struct unvme_opts busy_opts = { .queues = 4, .irq = true };

/* A controller with queues, features, event requests and commands behind it. */
static bool open_busy(struct vf *v, int pf, unsigned int vfn)
{
	u16 q;

	if (!vf_open(v, pf, vfn) || !vf_up(v, &busy_opts))
		return false;
	make_dirty(&v->u);
	for (q = 1; q <= 4; q++)
		EXPECT_EQ(unvme_rw(&v->u, q, q % 2, q * 8, 8), 0, "I/O on queue %u", q);
	return true;
}

static bool same(const struct stream *a, const struct stream *b, const char *what)
{
	const char *why = st_differ(a, b);

	return EXPECT(!why, "%s: %s differs", what, why);
}

/* ---- contents ---- */

static void check_identity(struct vf *v, const struct st_hello *h)
{
	const u8 *id = pf_get(v->pf)->id;

	EXPECT(!memcmp(&h->vid, id, 2) && !memcmp(&h->ssvid, id + 2, 2), "vendor");
	EXPECT(!memcmp(h->sn, id + 4, 20), "serial number");
	EXPECT(!memcmp(h->mn, id + 24, 40), "model");
	EXPECT(!memcmp(h->subnqn, id + 768, 256), "subsystem");
	EXPECT_EQ(h->mdts, id[77], "MDTS");
	EXPECT_EQ(h->aerl, id[259], "AERL");
	EXPECT(!memcmp(&h->oncs, id + 520, 2), "ONCS");
	EXPECT(!memcmp(&h->sgls, id + 536, 4), "SGLS");
	EXPECT_EQ(h->msix, v->dev.nr_vectors, "vectors");
	EXPECT_EQ(h->cap, vdev_read64(&v->dev, NVME_REG_CAP), "CAP");
	EXPECT_EQ(h->vs, vdev_read32(&v->dev, NVME_REG_VS), "VS");
	EXPECT_EQ(h->nvq, 5, "NVQ");
	EXPECT_EQ(h->nvi, 5, "NVI");
}

static void check_format(struct vf *v, const struct st_hello *h)
{
	static const u8 none[16];
	struct lm_pf *pf = pf_get(v->pf);

	EXPECT_EQ(h->cmdset, pf->vendor ? 2 : 1, "command set");
	EXPECT_EQ(h->state_ver, pf->vendor ? 0xffff : 0, "version of the state");
	EXPECT(!memcmp(h->uuid, pf->vendor ? none : pf->uuid, 16), "UUID");
}

/* The state is what a raw command reads from the suspended VF; in TP4159 a known structure. */
static void check_state(struct vf *v, const struct stream *s, const struct st_view *view)
{
	struct stream raw = stream_copy(s, s->size, 0);
	struct lm_target t;
	struct lm_state ls;
	struct lm_view lv;
	const char *why;

	if (!EXPECT_EQ(lmt_init(&t, pf_get(v->pf), v->vfn), 0, "controller id") ||
	    !EXPECT_EQ(lmt_save(&t, &ls), 0, "raw state"))
		return;
	why = lm_parse(ls.data, ls.size, &lv);
	if (EXPECT(!why, "raw state: %s", why) &&
	    EXPECT_EQ(ls.size, view->state_len, "length of the state")) {
		EXPECT_EQ(lv.csattr, 1, "suspended");
		EXPECT_EQ(lv.nr_sq, 4, "SQs");
		EXPECT_EQ(lv.nr_cq, 4, "CQs");
		memcpy(raw.data + st_state_at(0), ls.data, ls.size);
		st_fix_crc(&raw);
		same(s, &raw, "the stream and a raw command");
	}
	lm_state_free(&ls);
	stream_free(&raw);
}

static void test_contents(void)
{
	struct vf *v = &vf_a;
	struct st_view view;
	struct stream s;
	const char *why;

	if (!pf_get(tap_arg()) || !open_busy(v, tap_arg(), 1) || !vf_save(v, &s))
		return;
	why = st_parse(&s, &view);
	if (EXPECT(!why, "%s", why)) {
		check_identity(v, view.hello);
		check_format(v, view.hello);
		EXPECT_EQ(view.pieces, 1, "pieces");
		check_state(v, &s, &view);
	}
	st_view_free(&view);
	stream_free(&s);
}

static void test_repeat(void)
{
	struct vf *v = &vf_a;
	struct stream a, b;

	if (!open_busy(v, tap_arg(), 1) || !vf_save(v, &a))
		return;
	if (go(v, ST_STOP) && vf_save(v, &b)) {
		same(&a, &b, "second save");
		stream_free(&b);
	}
	stream_free(&a);
}

/* ---- reading ---- */

static void test_read_sizes(void)
{
	static const size_t steps[] = { 1, 3, 15, 16, 17, 408, 409, 4095, 4097, 100000 };
	struct vf *v = &vf_a;
	struct stream all, s;
	unsigned int i;
	int fd;

	if (!open_busy(v, tap_arg(), 1) || !vf_save(v, &all))
		return;
	for (i = 0; i < ARRAY_SIZE(steps) && go(v, ST_STOP); i++) {
		fd = go_fd(v, ST_STOP_COPY);
		if (fd < 0)
			break;
		EXPECT_EQ(stream_read(fd, &s, steps[i]), 0, "read");
		close(fd);
		EXPECT_EQ(s.size, all.size, "bytes in steps of %zu", steps[i]);
		same(&all, &s, "in small steps");
		stream_free(&s);
	}
	stream_free(&all);
}

static void expect_fail(ssize_t n, int err, const char *what)
{
	int got = errno;

	if (EXPECT_EQ(n, -1, "%s", what))
		EXPECT_EQ(got, err, "%s", what);
}

static void test_read_file(void)
{
	struct vf *v = &vf_a;
	char buf[64];
	struct stream s;
	int fd, i;

	if (!open_busy(v, tap_arg(), 1))
		return;
	fd = go_fd(v, ST_STOP_COPY);
	if (fd < 0)
		return;
	EXPECT(fcntl(fd, F_GETFD) & FD_CLOEXEC, "not close-on-exec");
	EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY, "access mode");
	expect_fail(write(fd, buf, 1), EBADF, "write");
	expect_fail(lseek(fd, 0, SEEK_SET), ESPIPE, "lseek");
	expect_fail(pread(fd, buf, 1, 0), ESPIPE, "pread");
	EXPECT_EQ(read(fd, buf, 0), 0, "read of nothing");
	EXPECT_EQ(stream_read(fd, &s, 0), 0, "read");
	for (i = 0; i < 3; i++)
		EXPECT_EQ(read(fd, buf, sizeof(buf)), 0, "end of file");
	stream_free(&s);
	go(v, ST_STOP);
	for (i = 0; i < 2; i++)
		expect_fail(read(fd, buf, sizeof(buf)), ENODEV, "read after the session");
	close(fd);
}

/* Two pages, the second of which cannot be accessed. */
static u8 *half_bad(void)
{
	u8 *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + 4096, 4096, PROT_NONE))
		abort();
	return p;
}

/* Reads that fault, in between good ones, lose nothing and repeat nothing. */
static void test_read_fault(void)
{
	u8 *bad = half_bad() + 4096;
	struct stream s = { .data = malloc(1 << 20) };
	struct stream all;
	struct vf *v = &vf_a;
	ssize_t n;
	int fd;

	if (!s.data || !open_busy(v, tap_arg(), 1) || !vf_save(v, &all) || !go(v, ST_STOP))
		return;
	fd = go_fd(v, ST_STOP_COPY);
	do {
		expect_fail(read(fd, bad, 100), EFAULT, "bad buffer");
		/* may bring up to 50 bytes, or none */
		n = read(fd, bad - 50, 100);
		if (n < 0)
			EXPECT_EQ(errno, EFAULT, "buffer with a bad end");
		EXPECT(n <= 50, "%zd bytes of 50", n);
		if (n > 0) {
			memcpy(s.data + s.size, bad - 50, n);
			s.size += n;
		}
		n = read(fd, s.data + s.size, 300);
		if (n > 0)
			s.size += n;
	} while (n > 0 && !tap_failed() && s.size + 300 < all.size);
	while (n > 0) {
		n = read(fd, s.data + s.size, 300);
		if (n > 0)
			s.size += n;
	}
	EXPECT_EQ(n, 0, "end");
	EXPECT_EQ(s.size, all.size, "bytes");
	same(&all, &s, "with faults in between");
	close(fd);
	stream_free(&s);
	stream_free(&all);
	munmap(bad - 4096, 8192);
}

/* The file may live longer than the session, and may be closed early. */
static void test_early_close(void)
{
	struct vf *v = &vf_a;
	struct stream all, s;
	char buf[10];
	int fd;

	if (!open_busy(v, tap_arg(), 1) || !vf_save(v, &all) || !go(v, ST_STOP))
		return;
	fd = go_fd(v, ST_STOP_COPY);
	EXPECT_EQ(read(fd, buf, sizeof(buf)), sizeof(buf), "first bytes");
	close(fd);
	vf_expect_state(v, ST_STOP_COPY);
	if (go(v, ST_STOP) && vf_save(v, &s)) {
		same(&all, &s, "next session");
		stream_free(&s);
	}
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, false, 8, 8), 0, "read afterwards");
	stream_free(&all);
}

/* ---- writing ---- */

/* Load in pieces of @step into VF @b; read back it is the same, HELLO and END included. */
static bool check_load(struct vf *v, const struct stream *s, size_t step)
{
	struct stream back;
	bool ok = false;
	int fd = go_fd(v, ST_RESUMING);

	if (fd < 0)
		return false;
	EXPECT_EQ(stream_write(fd, s, step), 0, "write in steps of %zu", step);
	close(fd);
	if (go(v, ST_STOP) && vf_save(v, &back)) {
		EXPECT_EQ(back.size, s->size, "bytes");
		ok = same(s, &back, "read back");
		stream_free(&back);
	}
	return vf_reset(v) && ok;
}

static void load_and_save(int pf, unsigned int vfn)
{
	static const size_t steps[] = { 0, 1, 2, 7, 16, 400, 4095, 4097 };
	struct stream s;
	unsigned int i;

	if (!open_busy(&vf_a, tap_arg(), 1) || !vf_save(&vf_a, &s))
		return;
	if (vf_open(&vf_b, pf, vfn))
		for (i = 0; i < ARRAY_SIZE(steps); i++)
			if (!check_load(&vf_b, &s, steps[i]))
				break;
	stream_free(&s);
}

static void test_back_here(void)
{
	load_and_save(tap_arg(), 2);
}

static void test_back_other(void)
{
	load_and_save(tap_arg() + 1, 1);
}

static void test_back_same(void)
{
	struct vf *v = &vf_a;
	struct stream s;

	if (!open_busy(v, tap_arg(), 1) || !vf_save(v, &s))
		return;
	if (vf_reset(v))
		check_load(v, &s, 0);
	stream_free(&s);
}

static void test_back_firmware(void)
{
	struct stream s;

	if (!firmware_stream(tap_arg(), &s) || !vf_open(&vf_a, tap_arg(), 1))
		return;
	check_load(&vf_a, &s, 0);
	stream_free(&s);
}

static void test_write_file(void)
{
	struct vf *v = &vf_a;
	struct stream s;
	char buf[64] = { 0 };
	int fd;

	if (!firmware_stream(tap_arg(), &s) || !vf_open(v, tap_arg(), 1))
		return;
	fd = go_fd(v, ST_RESUMING);
	if (fd < 0)
		return;
	EXPECT(fcntl(fd, F_GETFD) & FD_CLOEXEC, "not close-on-exec");
	EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY, "access mode");
	expect_fail(read(fd, buf, 1), EBADF, "read");
	expect_fail(lseek(fd, 0, SEEK_SET), ESPIPE, "lseek");
	expect_fail(pwrite(fd, buf, 1, 0), ESPIPE, "pwrite");
	EXPECT_EQ(write(fd, buf, 0), 0, "write of nothing");
	EXPECT_EQ(stream_write(fd, &s, 0), 0, "write");
	go(v, ST_STOP);
	expect_fail(write(fd, buf, 1), ENODEV, "write after the session");
	close(fd);
	stream_free(&s);
}

/* Writes that fault take in nothing of the bad part, and good ones go on behind. */
static void test_write_fault(void)
{
	u8 *page = half_bad();
	struct vf *v = &vf_b;
	struct stream s, back;
	size_t at = 0, len;
	ssize_t n;
	int fd;

	if (!open_busy(&vf_a, tap_arg(), 1) || !vf_save(&vf_a, &s) ||
	    !vf_open(v, tap_arg(), 2))
		return;
	fd = go_fd(v, ST_RESUMING);
	while (at < s.size && !tap_failed()) {
		expect_fail(write(fd, page + 4096, 100), EFAULT, "bad buffer");
		len = s.size - at < 50 ? s.size - at : 50;
		memcpy(page + 4096 - len, s.data + at, len);
		n = write(fd, page + 4096 - len, len + 50);
		if (n < 0)
			EXPECT_EQ(errno, EFAULT, "buffer with a bad end");
		EXPECT(n <= (ssize_t)len, "%zd bytes of %zu", n, len);
		at += n > 0 ? n : 0;
		len = s.size - at < 300 ? s.size - at : 300;
		n = write(fd, s.data + at, len);
		EXPECT_EQ(n, len, "good write at %zu", at);
		at += len;
	}
	close(fd);
	if (go(v, ST_STOP) && vf_save(v, &back)) {
		same(&s, &back, "read back");
		stream_free(&back);
	}
	stream_free(&s);
	munmap(page, 8192);
}

const struct drv_test stream_tests[] = {
	{ "stream: contents", test_contents, ON_BOTH },
	{ "stream: second save is the same", test_repeat, ON_BOTH },
	{ "stream: read in odd sizes", test_read_sizes, ON_BOTH },
	{ "stream: file to read", test_read_file, ON_BOTH },
	{ "stream: reads with a bad buffer", test_read_fault, ON_BOTH },
	{ "stream: closed early", test_early_close, ON_BOTH },
	{ "stream: file to write", test_write_file, ON_BOTH },
	{ "stream: writes with a bad buffer", test_write_fault, ON_BOTH },
	{ "stream: loaded and saved again, same PF, any steps", test_back_here, ON_BOTH },
	{ "stream: loaded and saved again, other PF, any steps", test_back_other, ON_BOTH },
	{ "stream: loaded and saved again, same VF", test_back_same, ON_BOTH },
	{ "stream: loaded and saved again, in firmware", test_back_firmware, ON_BOTH },
};

const size_t nr_stream_tests = ARRAY_SIZE(stream_tests);
