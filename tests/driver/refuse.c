// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams that must not be loaded: each gets an errno and a line in the log, commits nothing, and
 * leaves a VF that a reset makes usable.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static struct stream good;
static struct st_view view;

/* The stream of an enabled controller from VF 1, and VF 2 to load it into. */
static bool start(void)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };
	const char *why;

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_up(&vf_a, &opts))
		return false;
	set_everything(&vf_a.u);
	if (!vf_save(&vf_a, &good))
		return false;
	why = st_parse(&good, &view);
	return EXPECT(!why, "%s", why) && vf_open(&vf_b, tap_arg(), 2);
}

/* It still takes a good stream, and runs it. */
static void end(void)
{
	if (vf_b.open && good.data) {
		vf_load(&vf_b, &good);
		go(&vf_b, ST_RUNNING);
		vf_check_usable(&vf_b);
	}
	st_view_free(&view);
	stream_free(&good);
}

/* The session failed with @err, also for who writes on; only a reset helps. */
static void check_failed(struct vf *v, int fd, int err, const char *what)
{
	if (!EXPECT_EQ(write(fd, "x", 1), -1, "%s: write after the refusal", what) ||
	    !EXPECT_EQ(errno, err, "%s: write after the refusal", what))
		return;
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -err, "%s: RESUMING -> STOP", what);
	vf_expect_state(v, ST_RESUMING);
}

static void recover(struct vf *v, bool committed)
{
	if (!committed)
		vf_check_off(v);
	if (vf_reset(v))
		vf_check_off(v);
}

/* @line: it must be in the log once */
static bool refuse_step(const struct stream *s, int err, const char *line, bool committed,
			size_t step, const char *what)
{
	struct vf *v = &vf_b;
	int got, fd;

	klog_mark();
	fd = go_fd(v, ST_RESUMING);
	if (fd < 0)
		return false;
	got = stream_write(fd, s, step);
	EXPECT_EQ(got, -err, "%s", what);
	if (got)
		check_failed(v, fd, -got, what);
	close(fd);
	if (EXPECT_EQ(klog_count(v->bdf, "stream refused"), 1, "%s: lines in the log", what))
		EXPECT(klog_count(v->bdf, line) == 1, "%s: no line with '%s'", what, line);
	recover(v, committed);
	return !tap_failed();
}

static bool refuse(const struct stream *s, int err, const char *line, const char *what)
{
	return refuse_step(s, err, line, false, 0, what);
}

static void accept_stream(const struct stream *s, const char *what)
{
	struct vf *v = &vf_b;
	int err, fd = go_fd(v, ST_RESUMING);

	if (fd < 0)
		return;
	err = stream_write(fd, s, 0);
	close(fd);
	EXPECT_EQ(err, 0, "%s", what);
	if (!err)
		go(v, ST_STOP);
	vf_reset(v);
}

/* ---- no stream at all ---- */

static void test_garbage(void)
{
	static const u8 fill[] = { 0x00, 0xff, 0x5a, 'H' };
	struct stream s;
	unsigned int i;

	if (!start())
		return;
	s = stream_copy(&good, good.size, 0);
	for (i = 0; i < ARRAY_SIZE(fill); i++) {
		memset(s.data, fill[i], s.size);
		refuse(&s, EINVAL, "not a stream", "constant bytes");
	}
	/* its records in another order */
	stream_free(&s);
	s = stream_copy(&good, good.size, 0);
	memmove(s.data, s.data + REC_SECOND, s.size - REC_SECOND);
	refuse(&s, EINVAL, "not a stream", "STATE first");
	memcpy(s.data, good.data + view.record_at[view.records - 1], REC_HEAD + REC_END_LEN);
	refuse(&s, EINVAL, "not a stream", "END first");
	stream_free(&s);
	end();
}

/* ---- HELLO ---- */

enum { FLIP, ADD, SUB, PUT };

struct field {
	const char *name;
	size_t at;
	unsigned int len;
	int how;
	u64 arg;
	int err;
	const char *line;
	unsigned int on;	/* ON_TP, ON_VS or 0 for both */
};

#define AT(field)	HELLO_AT(field)

static const struct field fields[] = {
	{ "magic", AT(magic), 8, FLIP, 1ull << 32, EINVAL, "not a stream" },
	{ "version 2", AT(version), 2, PUT, 2, EPROTONOSUPPORT, "version 2" },
	{ "version 0", AT(version), 2, PUT, 0, EPROTONOSUPPORT, "version 0" },
	{ "other command set", AT(cmdset), 1, FLIP, 3, EOPNOTSUPP, "command set" },
	{ "command set 0", AT(cmdset), 1, PUT, 0, EOPNOTSUPP, "command set" },
	{ "state version", AT(state_ver), 2, FLIP, 1, EOPNOTSUPP, "not supported here" },
	{ "UUID", AT(uuid), 8, FLIP, 1, EOPNOTSUPP, "not supported here" },
	{ "second half of the UUID", AT(uuid) + 8, 8, FLIP, 1ull << 63, EOPNOTSUPP,
	  "not supported here" },
	{ "state length 0", AT(state_len), 8, PUT, 0, EPROTO, "length of the state: 0" },
	{ "odd state length", AT(state_len), 8, ADD, 2, EPROTO,
	  "length of the state", ON_TP },
	{ "state shorter than its header", AT(state_len), 8, PUT, 44, EPROTO,
	  "length of the state: 44", ON_TP },
	{ "state length too small", AT(state_len), 8, SUB, 4, EPROTO, "length of STATE" },
	{ "state length too large", AT(state_len), 8, ADD, 4, EPROTO, "END says" },
	{ "state length far too large", AT(state_len), 8, PUT, 1ull << 40, EPROTO,
	  "END says", ON_TP },
	{ "state length beyond a transfer", AT(state_len), 8, PUT, 1ull << 40, EFBIG,
	  "one transfer", ON_VS },
	{ "PCI vendor", AT(vid), 2, FLIP, 1, EXDEV, "vendor" },
	{ "subsystem vendor", AT(ssvid), 2, FLIP, 0x8000, EXDEV, "vendor" },
	{ "serial number", AT(sn), 1, FLIP, 1, EXDEV, "serial number" },
	{ "end of the serial number", HELLO_AT(sn) + 19, 1, FLIP, 1, EXDEV, "serial number" },
	{ "model", HELLO_AT(mn), 1, FLIP, 1, EXDEV, "model" },
	{ "end of the model", HELLO_AT(mn) + 39, 1, FLIP, 1, EXDEV, "model" },
	{ "NQN", HELLO_AT(subnqn), 1, FLIP, 1, EXDEV, "subsystem" },
	{ "no NQN", HELLO_AT(subnqn), 1, PUT, 0, EXDEV, "subsystem" },
	{ "more vectors", AT(msix), 2, ADD, 1, ERANGE, "MSI-X" },
	{ "fewer vectors", AT(msix), 2, SUB, 1, ERANGE, "MSI-X" },
	{ "larger MDTS", AT(mdts), 1, ADD, 1, ERANGE, "MDTS" },
	{ "no MDTS", AT(mdts), 1, PUT, 0, ERANGE, "MDTS" },
	{ "more of ONCS", AT(oncs), 2, FLIP, 0x8000, ERANGE, "ONCS" },
	{ "more of SGLS", AT(sgls), 4, FLIP, 1 << 21, ERANGE, "SGLS" },
	{ "no CAP", AT(cap), 8, PUT, 0, ERANGE, "CAP" },
	{ "larger CAP.MQES", AT(cap), 8, ADD, 1, ERANGE, "CAP.MQES" },
	{ "CAP.CQR", AT(cap), 8, FLIP, 1ull << 16, ERANGE, "CAP.CQR" },
	{ "more of CAP.AMS", AT(cap), 8, FLIP, 1ull << 18, ERANGE, "CAP.AMS" },
	{ "CAP.DSTRD", AT(cap), 8, FLIP, 1ull << 32, ERANGE, "CAP.DSTRD" },
	{ "more of CAP.CSS", AT(cap), 8, FLIP, 1ull << 39, ERANGE, "CAP.CSS" },
	{ "larger CAP.MPSMAX", AT(cap), 8, ADD, 1ull << 52, ERANGE, "CAP.MPS" },
};

static void change(struct stream *s, const struct field *f)
{
	u64 val = 0;

	memcpy(&val, s->data + f->at, f->len);
	switch (f->how) {
	case FLIP:
		val ^= f->arg;
		break;
	case ADD:
		val += f->arg;
		break;
	case SUB:
		val -= f->arg;
		break;
	default:
		val = f->arg;
	}
	memcpy(s->data + f->at, &val, f->len);
}

/* Each field alone is wrong, the checksum is right. */
static void test_fields(void)
{
	unsigned int i, on = tap_arg() == 2 ? ON_VS : ON_TP;
	struct stream s;

	if (!start())
		return;
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		if (fields[i].on && fields[i].on != on)
			continue;
		s = stream_copy(&good, good.size, 0);
		change(&s, &fields[i]);
		st_fix_crc(&s);
		refuse(&s, fields[i].err, fields[i].line, fields[i].name);
		stream_free(&s);
	}
	end();
}

/* The values of a smaller source, and differences that its guest cannot notice: accepted. */
static void test_smaller(void)
{
	static const struct field less[] = {
		{ "fewer queues", AT(nvq), 2, SUB, 1 },
		{ "more queues", AT(nvq), 2, PUT, 0xffff },
		{ "other number of vectors assigned", AT(nvi), 2, ADD, 1 },
		{ "smaller MDTS", AT(mdts), 1, SUB, 1 },
		{ "smaller AERL", AT(aerl), 1, SUB, 1 },
		{ "larger AERL", AT(aerl), 1, ADD, 1 },
		{ "less of ONCS", AT(oncs), 2, FLIP, 0x0004 },
		{ "older VS", AT(vs), 4, SUB, 0x100 },
		{ "newer VS", AT(vs), 4, ADD, 0x10000 },
		{ "no SGLs", AT(sgls), 4, PUT, 0 },
		{ "smaller CAP.MQES", AT(cap), 8, SUB, 1 },
		{ "something behind the NQN", HELLO_AT(subnqn) + 255, 1, FLIP, 1 },
		{ "NUL as padding of the model", HELLO_AT(mn) + 39, 1, PUT, 0 },
	};
	struct stream s;
	unsigned int i;

	if (!start())
		return;
	for (i = 0; i < ARRAY_SIZE(less); i++) {
		s = stream_copy(&good, good.size, 0);
		change(&s, &less[i]);
		st_fix_crc(&s);
		accept_stream(&s, less[i].name);
		stream_free(&s);
	}
	end();
}

/* ---- records ---- */

#define TAG_OTHER	0x52485430

static size_t end_at(void)
{
	return view.record_at[view.records - 1];
}

static void test_records(void)
{
	static const struct field heads[] = {
		{ "HELLO too short", 8, 8, SUB, 8, EPROTO, "length of HELLO: 384" },
		{ "HELLO too long", 8, 8, ADD, 8, EPROTO, "length of HELLO: 400" },
		{ "STATE empty", REC_SECOND + 8, 8, PUT, 0, EPROTO, "length of STATE: 0" },
		{ "STATE without state", REC_SECOND + 8, 8, PUT, REC_PIECE, EPROTO,
		  "length of STATE: 8" },
		{ "STATE too long", REC_SECOND + 8, 8, ADD, 4, EPROTO, "length of STATE" },
		{ "STATE with a huge length", REC_SECOND + 8, 8, PUT, ~0ull, EPROTO,
		  "length of STATE" },
		{ "STATE with a gap", REC_SECOND + REC_HEAD, 8, PUT, 4, EPROTO, "offset 4" },
		{ "STATE with a huge offset", REC_SECOND + REC_HEAD, 8, PUT, ~3ull, EPROTO,
		  "offset" },
	};
	struct stream s;
	unsigned int i;

	if (!start())
		return;
	for (i = 0; i < ARRAY_SIZE(heads); i++) {
		s = stream_copy(&good, good.size, 0);
		change(&s, &heads[i]);
		st_fix_crc(&s);
		refuse(&s, heads[i].err, heads[i].line, heads[i].name);
		stream_free(&s);
	}
	/* END right behind HELLO */
	s = stream_copy(&good, good.size, 0);
	memcpy(s.data + REC_SECOND, good.data + end_at(), REC_HEAD + REC_END_LEN);
	s.size = REC_SECOND + REC_HEAD + REC_END_LEN;
	st_fix_crc(&s);
	refuse(&s, EPROTO, "END says", "no STATE");
	stream_free(&s);
	/* HELLO between STATE and END */
	s = stream_copy(&good, good.size, REC_SECOND);
	st_insert(&s, end_at(), good.data, REC_SECOND);
	st_fix_crc(&s);
	refuse(&s, EPROTO, "HELLO after STATE", "HELLO after STATE");
	stream_free(&s);
	end();
}

static void test_end_record(void)
{
	size_t at;
	struct stream s;
	u32 len;

	if (!start())
		return;
	at = end_at();
	s = stream_copy(&good, good.size, 64);
	s.data[at + REC_HEAD] ^= 4;
	st_fix_crc(&s);
	refuse(&s, EPROTO, "END says", "total");
	s.data[at + REC_HEAD] ^= 4;
	st_fix_crc(&s);
	s.data[at + REC_HEAD + 8] ^= 1;
	refuse(&s, EBADMSG, "checksum", "checksum");
	st_fix_crc(&s);
	s.data[s.size - 1] ^= 0x80;
	refuse(&s, EPROTO, "reserved bytes of END", "reserved bytes");
	s.data[s.size - 1] ^= 0x80;
	len = REC_END_LEN - 4;
	memcpy(s.data + at + 8, &len, 4);
	refuse(&s, EPROTO, "length of END: 12", "END too short");
	len = REC_END_LEN + 4;
	memcpy(s.data + at + 8, &len, 4);
	refuse(&s, EPROTO, "length of END: 20", "END too long");
	stream_free(&s);
	/* bytes behind END: by then the state is in, but the session failed all the same */
	s = stream_copy(&good, good.size, 64);
	st_insert(&s, s.size, "x", 1);
	refuse_step(&s, EFBIG, "after END", true, 0, "one byte behind END");
	s.size--;
	st_insert_record(&s, s.size, TAG_OTHER, 0, 0, 16);
	refuse_step(&s, EFBIG, "after END", true, 0, "a record behind END");
	refuse_step(&s, EFBIG, "after END", true, 1, "a record behind END, byte by byte");
	stream_free(&s);
	end();
}

static void test_unknown(void)
{
	static const size_t sizes[] = { 0, 1, 63, 64, 65, 5000 };
	struct stream s;
	unsigned int i;

	if (!start())
		return;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		s = stream_copy(&good, good.size, 4 * (sizes[i] + REC_HEAD));
		st_insert_record(&s, end_at(), TAG_OTHER, 0, 0xab, sizes[i]);
		st_insert_record(&s, REC_SECOND, TAG_OTHER + 1, 0xfffffffe, 0xcd, sizes[i]);
		st_fix_crc(&s);
		accept_stream(&s, "records that may be skipped");
		/* they are part of what the checksum covers */
		if (sizes[i]) {
			s.data[REC_SECOND + REC_HEAD] ^= 1;
			refuse(&s, EBADMSG, "checksum", "changed record");
		}
		stream_free(&s);
	}
	s = stream_copy(&good, good.size, 64);
	st_insert_record(&s, REC_SECOND, TAG_OTHER, REC_MANDATORY, 0, 8);
	st_fix_crc(&s);
	refuse(&s, EPROTONOSUPPORT, "unknown record", "record that must be understood");
	stream_free(&s);
	s = stream_copy(&good, good.size, 64);
	st_insert_record(&s, 0, TAG_OTHER, 0, 0, 8);
	refuse(&s, EINVAL, "not a stream", "record before HELLO");
	stream_free(&s);
	end();
}

/* What is not state is limited, in one record or in many. */
static void test_extra(void)
{
	const size_t most = (1 << 20) - 1 - REC_SECOND - REC_HEAD;
	struct stream s;
	unsigned int i;

	if (!start())
		return;
	s = stream_copy(&good, good.size, 2 << 20);
	st_insert_record(&s, REC_SECOND, TAG_OTHER, 0, 0x11, most);
	st_fix_crc(&s);
	accept_stream(&s, "as much besides the state as there may be");
	st_insert_record(&s, REC_SECOND, TAG_OTHER, 0, 0x22, 0);
	refuse(&s, EFBIG, "in HELLO and unknown records", "one record more");
	stream_free(&s);

	s = stream_copy(&good, good.size, 2 << 20);
	st_insert_record(&s, REC_SECOND, TAG_OTHER, 0, 0x33, most + 1);
	refuse(&s, EFBIG, "in HELLO and unknown records", "a record that is too long");
	memset(s.data + REC_SECOND + 8, 0xff, 8);
	refuse(&s, EFBIG, "in HELLO and unknown records", "a record without end");
	stream_free(&s);

	s = stream_copy(&good, 0, 2 << 20);
	for (i = 0; i <= (1 << 20) / REC_SECOND; i++)
		st_insert(&s, s.size, good.data, REC_SECOND);
	refuse(&s, EFBIG, "in HELLO and unknown records", "HELLO again and again");
	stream_free(&s);
	end();
}

/* The last HELLO before the state counts. */
static void test_second_hello(void)
{
	static const struct field smaller = { "", AT(state_len), 8, SUB, 4 };
	static const struct field serial = { "", HELLO_AT(sn), 1, FLIP, 1 };
	struct stream s, bad = { 0 };

	if (!start())
		return;
	s = stream_copy(&good, good.size, 2 * REC_SECOND);
	st_insert(&s, 0, good.data, REC_SECOND);
	accept_stream(&s, "HELLO twice");
	change(&s, &smaller);
	accept_stream(&s, "HELLO with another length replaced");
	st_insert_record(&s, REC_SECOND, TAG_OTHER, 0, 1, 9);
	accept_stream(&s, "HELLO, a record to be skipped, HELLO");
	stream_free(&s);

	bad = stream_copy(&good, REC_SECOND, 0);
	change(&bad, &serial);
	s = stream_copy(&good, good.size, REC_SECOND);
	st_insert(&s, 0, bad.data, REC_SECOND);
	refuse(&s, EXDEV, "serial number", "wrong HELLO first");
	stream_free(&s);
	s = stream_copy(&good, good.size, REC_SECOND);
	st_insert(&s, REC_SECOND, bad.data, REC_SECOND);
	st_fix_crc(&s);
	refuse(&s, EXDEV, "serial number", "wrong HELLO second");
	stream_free(&s);
	stream_free(&bad);
	end();
}

/* The state may come in as many records as the writer likes. */
static void test_many_states(void)
{
	const u8 *state = good.data;
	struct st_head h = { REC_STATE, REC_MANDATORY, 0 };
	u64 at, len;
	struct stream s;

	if (!start())
		return;
	s = stream_copy(&good, REC_SECOND, 3 * good.size + 4096);
	for (at = 0; at < view.state_len; at += len) {
		len = 1 + at % 97;
		if (len > view.state_len - at)
			len = view.state_len - at;
		state = view.state + at;
		h.len = REC_PIECE + len;
		st_insert(&s, s.size, &h, sizeof(h));
		st_insert(&s, s.size, &at, sizeof(at));
		st_insert(&s, s.size, state, len);
	}
	st_insert(&s, s.size, good.data + end_at(), REC_HEAD + REC_END_LEN);
	st_fix_crc(&s);
	accept_stream(&s, "state in many records");
	stream_free(&s);
	end();
}

/* ---- damage ---- */

static bool truncated(size_t size)
{
	struct vf *v = &vf_b;
	struct stream s = stream_copy(&good, size, 0);
	int fd;

	klog_mark();
	fd = go_fd(v, ST_RESUMING);
	if (fd < 0)
		return false;
	EXPECT_EQ(stream_write(fd, &s, 0), 0, "write %zu bytes", size);
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -ENODATA, "after %zu bytes", size);
	vf_expect_state(v, ST_RESUMING);
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_RUNNING, NULL), -ENODATA, "after %zu bytes",
		  size);
	vf_expect_state(v, ST_RESUMING);
	EXPECT_EQ(klog_count(v->bdf, "too early"), 1, "lines in the log after %zu bytes", size);
	close(fd);
	recover(v, false);
	stream_free(&s);
	return !tap_failed();
}

static void test_truncated(void)
{
	unsigned int i;

	if (!start())
		return;
	truncated(0);
	for (i = 1; i < view.records; i++) {
		truncated(view.record_at[i]);
		truncated(view.record_at[i] + REC_HEAD);
	}
	truncated(good.size - 1);
	end();
}

/*
 * Refused, whatever the reason. A wrong length may make records of what is none, and the stream
 * an incomplete one.
 */
static bool damaged(const struct stream *s, const char *what)
{
	struct vf *v = &vf_b;
	int got, fd;

	klog_mark();
	fd = go_fd(v, ST_RESUMING);
	if (fd < 0)
		return false;
	got = stream_write(fd, s, 0);
	if (got)
		check_failed(v, fd, -got, what);
	else
		EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_STOP, NULL), -ENODATA, "%s", what);
	close(fd);
	EXPECT_EQ(klog_count(v->bdf, got ? "stream refused" : "too early"), 1,
		  "%s: lines in the log", what);
	recover(v, false);
	return !tap_failed();
}

/* A single bit flipped anywhere: in heads and HELLO each byte, the rest here and there. */
static void test_bits(void)
{
	struct stream s;
	char what[64];
	size_t at;

	if (!start())
		return;
	s = stream_copy(&good, good.size, 0);
	for (at = 0; at < good.size; at++) {
		if (at >= HELLO_AT(sn) && at < REC_SECOND && at % 32)
			continue;
		if (at >= st_state_at(0) && at < end_at() && at % 499)
			continue;
		s.data[at] ^= 1 << at % 8;
		snprintf(what, sizeof(what), "bit %zu of byte %zu", at % 8, at);
		if (!damaged(&s, what))
			break;
		s.data[at] ^= 1 << at % 8;
	}
	stream_free(&s);
	end();
}

/* ---- the state ---- */

/* Sizes in the container that do not add up: found before the device gets anything. */
static void test_container(void)
{
	static const struct field sizes[] = {
		{ "container version", 0, 2, PUT, 1, EPROTO },
		{ "NVMECSS larger", 16, 8, ADD, 1, EPROTO },
		{ "NVMECSS huge", 16, 8, PUT, ~0ull, EPROTO },
		{ "NVMECSS beyond 64 bits", 24, 8, PUT, 1, EPROTO },
		{ "VSS smaller", 32, 8, SUB, 1, EPROTO },
		{ "VSS huge", 32, 8, PUT, 1ull << 62, EPROTO },
		{ "VSS beyond 64 bits", 40, 8, PUT, 1, EPROTO },
	};
	struct stream s;
	unsigned int i;

	if (!start())
		return;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct field f = sizes[i];

		f.at = st_state_at(f.at);
		s = stream_copy(&good, good.size, 0);
		change(&s, &f);
		st_fix_crc(&s);
		refuse(&s, f.err, "do not add up", f.name);
		stream_free(&s);
	}
	end();
}

/* Queues that contradict themselves: the device is not even asked. */
static void test_queues(void)
{
	enum { SQ1 = LM_HEADER + 8, SQ2 = SQ1 + 24, CQ1 = SQ2 + 24, CQ2 = CQ1 + 24 };
	static const struct {
		struct field field;
		const char *line;
	} wrong[] = {
		{ { "version", LM_HEADER, 2, PUT, 1 }, "version or size of the NVMe" },
		{ { "one SQ less", LM_HEADER + 2, 2, SUB, 1 }, "version or size of the NVMe" },
		{ { "one CQ more", LM_HEADER + 4, 2, ADD, 1 }, "version or size of the NVMe" },
		{ { "as many as can be said", LM_HEADER + 2, 4, PUT, ~0ull },
		  "version or size of the NVMe" },
		{ { "SQ 0", SQ1 + 10, 2, PUT, 0 }, "SQ 0 follows 0" },
		{ { "SQ twice", SQ2 + 10, 2, PUT, 1 }, "SQ 1 follows 1" },
		{ { "CQs in another order", CQ1 + 10, 2, PUT, 3 }, "CQ 2 follows 3" },
		{ { "SQ of one entry", SQ1 + 8, 2, PUT, 0 }, "SQ 1 has 1 entries" },
		{ { "CQ beyond MQES", CQ2 + 8, 2, PUT, 0xffff }, "CQ 2 has 65536 entries" },
		{ { "head of an SQ", SQ1 + 16, 2, PUT, 0xffff }, "has head 65535" },
		{ { "tail of a CQ", CQ1 + 14, 2, PUT, 64 }, "CQ 1 of 64 entries has head" },
		{ { "SQ without its CQ", SQ2 + 12, 2, PUT, 7 }, "SQ 2 lacks its CQ 7" },
		{ { "SQ with the admin CQ", SQ1 + 12, 2, PUT, 0 }, "SQ 1 lacks its CQ 0" },
		{ { "SQ not contiguous", SQ1 + 14, 2, FLIP, 1 }, "SQ 1 is not contiguous" },
		{ { "CQ not contiguous", CQ2 + 16, 4, FLIP, 1 }, "CQ 2 is not contiguous" },
	};
	struct lm_fault set = {
		.opcode = LM_OP_SEND, .dw10 = 2, .dw10_mask = 0xff, .act = LM_ACT_COUNT,
	};
	struct stream s;
	unsigned int i;

	if (!start() || !EXPECT(vdev_read64(&vf_a.dev, NVME_REG_CAP) >> 16 & 1, "CAP.CQR") ||
	    !fault_arm(tap_arg(), 0, set))
		return;
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct field f = wrong[i].field;

		f.at = st_state_at(f.at);
		s = stream_copy(&good, good.size, 0);
		change(&s, &f);
		st_fix_crc(&s);
		refuse(&s, EPROTO, wrong[i].line, f.name);
		stream_free(&s);
	}
	EXPECT_EQ(lm_fault_count(pf_get(tap_arg()), LM_FAULT_MATCHED, 0), 0,
		  "Set Controller State commands");
	fault_clear(tap_arg());
	end();
}

/* What only the device can see is refused by the device, and commits nothing. */
static void test_device(void)
{
	struct stream s;

	if (!start())
		return;
	/* an identifier that the VF has no queue for, of the last SQ */
	s = stream_copy(&good, good.size, 0);
	s.data[st_state_at(LM_HEADER + 8 + 24 + 11)] ^= 1;
	st_fix_crc(&s);
	refuse(&s, ENOSPC, "device refused the state", "identifier of a queue");
	EXPECT_EQ(klog_count(vf_b.bdf, "NVMe status 0x138"), 1, "line with the status");
	stream_free(&s);
	/* the vendor part begins behind two SQs and two CQs */
	s = stream_copy(&good, good.size, 0);
	s.data[st_state_at(LM_HEADER + 8 + 4 * 24)] ^= 1;
	st_fix_crc(&s);
	refuse(&s, EINVAL, "device refused the state", "name of the vendor part");
	stream_free(&s);
	end();
}

static u32 next_random(u32 *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* The device may take it, and run it; without DMA, which its own IOMMU domain bounds. */
static bool load_hostile(struct vf *v, const struct stream *s)
{
	int err, fd = go_fd(v, ST_RESUMING);

	if (fd < 0)
		return false;
	err = stream_write(fd, s, 0);
	close(fd);
	if (!err) {
		vdev_bus_master(&v->dev, false);
		vdev_mig_set_state(&v->dev, ST_RUNNING, NULL);
		vdev_write32(&v->dev, NVME_REG_DBS, 1);
	}
	vf_reset(v);
	return !err;
}

/* States with bytes changed and a good checksum, beside a VF of the same PF that works. */
static void test_hostile(void)
{
	unsigned int i, n, taken = 0;
	struct stream s;
	u32 seed = 93;

	if (!start() || !go(&vf_a, ST_RUNNING))
		return;
	load = (struct load){
		.u = &vf_a.u.udrv, .units = 32, .unit_blocks = 8, .qd = 4, .seed = 93,
	};
	if (!EXPECT_EQ(load_init(&load), 0, "load") || !EXPECT_EQ(load_start(&load), 0, "thread"))
		return;
	for (i = 0; i < 150; i++) {
		s = stream_copy(&good, good.size, 0);
		for (n = 1 + next_random(&seed) % 8; n; n--)
			s.data[st_state_at(next_random(&seed) % view.state_len)] ^=
				1 << next_random(&seed) % 8;
		st_fix_crc(&s);
		taken += load_hostile(&vf_b, &s);
		stream_free(&s);
	}
	tap_note("%u of %u were taken", taken, i);
	EXPECT(taken && taken < i, "%u of %u were taken", taken, i);
	EXPECT_EQ(load_wait_ops(&load, 50), 0, "load goes on");
	EXPECT_EQ(load_end(&load), 0, "end");
	EXPECT_EQ(load_verify(&load), 0, "verify");
	unvme_check_idle(&vf_a.u, 3);
	vf_close(&vf_a);
	pf_check(tap_arg());
	pf_check_no_reset(tap_arg());
	end();
}

/* ---- the wrong time or place ---- */

static void test_enabled(void)
{
	static const struct unvme_opts opts = { .queues = 1 };
	struct vf *v = &vf_b;
	int fd;

	if (!start())
		return;
	if (!vf_up(v, &opts))
		return;
	klog_mark();
	fd = go_fd(v, ST_RESUMING);
	EXPECT_EQ(stream_write(fd, &good, 0), -EBUSY, "load into a VF that ran");
	check_failed(v, fd, EBUSY, "load into a VF that ran");
	close(fd);
	EXPECT_EQ(klog_count(v->bdf, "reset it first"), 1, "lines in the log");
	vf_reset(v);
	vf_check_usable(v);
	vf_reset(v);
	end();
}

/* A VF that has fewer queues than the source's: how many matter is for the device to say. */
static void test_smaller_vf(void)
{
	struct lm_pf *pf = pf_get(tap_arg() + 1);
	struct vf *v = &vf_b;
	int id, fd;

	if (!pf || !start())
		return;
	vf_close(v);
	id = lm_cntlid(pf, 1);
	EXPECT_EQ(lm_virt_mgmt(pf, id, 7, 0, 0), 0, "offline");
	EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 0, 3), 0, "queues");
	EXPECT_EQ(lm_virt_mgmt(pf, id, 8, 1, 5), 0, "vectors");
	EXPECT_EQ(lm_virt_mgmt(pf, id, 9, 0, 0), 0, "online");
	if (vf_open(v, tap_arg() + 1, 1)) {
		klog_mark();
		fd = go_fd(v, ST_RESUMING);
		EXPECT_EQ(stream_write(fd, &good, 0), -ENOSPC, "load into a VF with 3 queues");
		close(fd);
		EXPECT_EQ(klog_count(v->bdf, "device refused the state at offset"), 1,
			  "line in the log");
		vf_reset(v);
	}
	vf_close(v);
	pf_provision(tap_arg() + 1);
	if (vf_open(v, tap_arg() + 1, 1))
		end();
}

static void test_offline(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	struct vf *v = &vf_b;
	int id;

	if (!pf || !vf_open(v, tap_arg(), 2))
		return;
	id = lm_cntlid(pf, 2);
	EXPECT_EQ(lm_virt_mgmt(pf, id, 7, 0, 0), 0, "offline");
	go(v, ST_STOP);
	klog_mark();
	EXPECT_EQ(vdev_mig_set_state(&v->dev, ST_RESUMING, NULL), -ENODEV, "offline VF");
	vf_expect_state(v, ST_STOP);
	EXPECT_EQ(klog_count(v->bdf, "is offline"), 1, "line in the log");
	vf_reset(v);
	vf_close(v);
	if (pf_provision(tap_arg()) && vf_open(v, tap_arg(), 2))
		vf_check_usable(v);
}

static bool take_offline(struct vf *v)
{
	struct lm_pf *pf = pf_get(v->pf_nr);

	return EXPECT_EQ(lm_virt_mgmt(pf, lm_cntlid(pf, v->vfn), 7, 0, 0), 0, "offline");
}

/* The log says which controller it is; the VF works once it is back. */
static void refuse_save(struct vf *v, u32 state, const char *what)
{
	char line[64];

	snprintf(line, sizeof(line), "save refused: secondary controller %d is offline",
		 lm_cntlid(pf_get(v->pf_nr), v->vfn));
	klog_mark();
	EXPECT_EQ(vdev_mig_set_state(&v->dev, state, NULL), -ENODEV, "%s", what);
	EXPECT_EQ(klog_count(v->bdf, line), 1, "%s: '%s'", what, line);
	vf_reset(v);
	vf_close(v);
	if (pf_provision(v->pf_nr) && vf_open(v, v->pf_nr, v->vfn))
		vf_check_usable(v);
}

/* No destination would take it, and none could say why. */
static void test_save_offline(void)
{
	static const struct unvme_opts opts = { .queues = 2, .irq = true };
	static const u32 from[] = { ST_PRE_COPY, ST_P2P, ST_STOP };
	struct vf *v = &vf_a;
	unsigned int i;

	if (!vf_open(v, tap_arg(), 1) || !vf_up(v, &opts))
		return;
	if (take_offline(v))
		refuse_save(v, ST_PRE_COPY, "RUNNING -> PRE_COPY");
	for (i = 0; i < ARRAY_SIZE(from) && !tap_failed(); i++)
		if (go(v, from[i]) && take_offline(v))
			refuse_save(v, ST_STOP_COPY, mig_state_name(from[i]));
}

static const struct drv_test refuse_tests[] = {
	{ "garbage", test_garbage, ON_BOTH },
	{ "each field of HELLO", test_fields, ON_BOTH },
	{ "not a smaller source, or a difference that no guest can notice", test_smaller, ON_BOTH },
	{ "records", test_records, ON_BOTH },
	{ "END", test_end_record, ON_BOTH },
	{ "unknown records, if mandatory", test_unknown, ON_BOTH },
	{ "too much besides the state", test_extra, ON_BOTH },
	{ "not a second HELLO", test_second_hello, ON_BOTH },
	{ "not many STATE records", test_many_states, ON_BOTH },
	{ "truncated", test_truncated, ON_BOTH },
	{ "single bits", test_bits, ON_TP },
	{ "sizes in the container", test_container, ON_TP },
	{ "queues that contradict themselves", test_queues, ON_TP },
	{ "by the device", test_device, ON_BOTH },
	{ "hostile states, or they harm nobody", test_hostile, ON_BOTH },
	{ "VF that ran", test_enabled, ON_BOTH },
	{ "VF with fewer queues", test_smaller_vf, ON_BOTH },
	{ "offline VF", test_offline, ON_BOTH },
	{ "save of an offline VF", test_save_offline, ON_BOTH },
};

const struct test_group refuse_group = { "refuse", refuse_tests, ARRAY_SIZE(refuse_tests) };
