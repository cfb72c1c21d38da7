// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pre-copy: which commands it costs, what reaches the destination before the source stops, and
 * what goes wrong meanwhile. What any device has to keep to is in selftests/.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static const struct unvme_opts opts = { .queues = 1, .irq = true };

/* Slots that count commands for VF 1. */
enum { NOTIFICATIONS, SUSPENDS, RESUMES, NR_COUNTED };

/* Of the set that this PF has; the vendor set knows no notification. */
static bool count_commands(void)
{
	struct lm_pf *pf = pf_get(tap_arg());
	int id = lm_cntlid(pf, 1);
	struct lm_fault f[NR_COUNTED] = {
		{ LM_OP_SEND, 0, 0xff, id, 0xffffff },
		{ LM_OP_SEND, 0, 0xff, id | LM_SUSPEND << 16, 0xffffff },
		{ LM_OP_SEND, 1, 0xff, id, 0xffff },
	};
	unsigned int i;

	if (pf->vendor) {
		f[SUSPENDS] = (struct lm_fault){ LM_OP_VS_SUSPEND };
		f[RESUMES] = (struct lm_fault){ LM_OP_VS_RESUME };
	}
	for (i = 0; i < NR_COUNTED; i++)
		if (!fault_arm(tap_arg(), i, f[i]))
			return false;
	return true;
}

static void expect_commands(unsigned int notifications, unsigned int suspends,
			    unsigned int resumes, const char *when)
{
	const unsigned int want[NR_COUNTED] = { notifications, suspends, resumes };
	static const char *const names[] = { "notifications", "suspends", "resumes" };
	struct lm_pf *pf = pf_get(tap_arg());
	unsigned int i;

	for (i = 0; i < NR_COUNTED; i++)
		EXPECT_EQ(lm_fault_count(pf, LM_FAULT_MATCHED, i), (int)want[i], "%s: %s", when,
			  names[i]);
}

/* Entering announces the migration to the device, and the VF works on. */
static void test_commands(void)
{
	struct vf *v = &vf_a;
	unsigned int n;
	int fd;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts) || !count_commands())
		return;
	n = pf_get(tap_arg())->vendor ? 0 : 1;
	fd = go_fd(v, ST_PRE_COPY);
	expect_commands(n, 0, 0, "PRE_COPY");
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write in PRE_COPY");
	go(v, ST_RUNNING);
	close(fd);
	expect_commands(n, 0, 0, "given up");
	fd = go_fd(v, ST_PRE_COPY);
	go(v, ST_PRE_COPY_P2P);
	expect_commands(2 * n, 1, 0, "PRE_COPY_P2P");
	go(v, ST_PRE_COPY);
	expect_commands(2 * n, 1, 1, "PRE_COPY again");
	go(v, ST_STOP_COPY);
	close(fd);
	go(v, ST_RUNNING);
	expect_commands(2 * n, 2, 2, "after STOP_COPY");
	go(v, ST_P2P);
	close(go_fd(v, ST_PRE_COPY_P2P));
	expect_commands(2 * n, 3, 2, "from P2P");
	go(v, ST_RUNNING);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
}

/* It is only a hint. */
static void test_notification_refused(void)
{
	static const u32 status[] = { 0x001, 0x002 | LM_FAULT_DNR, 0x11f, 0x7ff };
	struct lm_fault f = {
		.opcode = LM_OP_SEND, .dw10_mask = 0xff, .dw11_mask = 0xff0000, .times = 1,
		.act = LM_ACT_STATUS,
	};
	struct vf *v = &vf_a;
	unsigned int i;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts))
		return;
	for (i = 0; i < ARRAY_SIZE(status); i++) {
		klog_mark();
		f.arg = status[i];
		if (!fault_arm(tap_arg(), 0, f))
			return;
		close(go_fd(v, ST_PRE_COPY));
		EXPECT_EQ(lm_fault_count(pf_get(tap_arg()), LM_FAULT_APPLIED, 0), 1, "refused");
		EXPECT_EQ(klog_count(v->bdf, ""), 0, "lines in the log");
		go(v, ST_RUNNING);
		fault_clear(tap_arg());
	}
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
}

/* A device may refuse the size of a VF that runs: STOP_COPY reports it, and the stream is whole. */
static void check_no_size(struct vf *v, u32 status)
{
	struct lm_fault f = { .act = LM_ACT_STATUS, .arg = status };
	struct vfio_precopy_info info = { 0 };
	struct stream hellos = { 0 }, s = { 0 };
	struct st_view view;
	u64 size = 0;
	const char *why;
	int fd;

	f.opcode = pf_get(tap_arg())->vendor ? LM_OP_VS_QUERY : LM_OP_RECV;
	if (!fault_arm(tap_arg(), 0, f))
		return;
	fd = go_fd(v, ST_PRE_COPY);
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "%#x: size", status);
	EXPECT(size > REC_SECOND, "%#x: size of %llu", status, (unsigned long long)size);
	EXPECT_EQ(stream_append(fd, &hellos, 0), -ENOMSG, "%#x: HELLO", status);
	EXPECT_EQ(hellos.size, REC_SECOND, "%#x: HELLO", status);
	EXPECT_EQ(mig_precopy_info(fd, &info), 0, "%#x: PRECOPY_INFO", status);
	EXPECT_EQ(info.initial_bytes, 0, "%#x: growth", status);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "%#x: write", status);
	fault_clear(tap_arg());
	go(v, ST_STOP_COPY);
	EXPECT_EQ(stream_append(fd, &s, 0), 0, "%#x: the rest", status);
	close(fd);
	why = st_parse(&s, &view);
	if (EXPECT(!why, "%#x: %s", status, why))
		st_view_free(&view);
	go(v, ST_RUNNING);
	stream_free(&hellos);
	stream_free(&s);
}

static void test_no_size(void)
{
	static const u32 status[] = { 0x002 | LM_FAULT_DNR, 0x11f, 0x370, 0x006 };
	struct vf *v = &vf_a;
	unsigned int i;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts))
		return;
	for (i = 0; i < ARRAY_SIZE(status) && !tap_failed(); i++)
		check_no_size(v, status[i]);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
}

/* MIG_DATA_SIZE is the number of bytes to read, the HELLOs of pre-copy included. */
static void check_size(struct vf *v, int fd, u64 stream, size_t unread, const char *when)
{
	struct stream s = { 0 };
	u64 size = 0;

	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "%s: size", when);
	if (vf_state(v) != ST_STOP_COPY) {
		EXPECT_EQ(size, stream + unread, "%s", when);
		return;
	}
	EXPECT_EQ(stream_append(fd, &s, 0), 0, "%s: read", when);
	EXPECT_EQ(s.size, size, "%s", when);
	stream_free(&s);
}

static void test_unread(void)
{
	struct vf *v = &vf_a;
	u64 size = 0;
	char byte;
	int fd;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts))
		return;
	EXPECT_EQ(vdev_mig_data_size(&v->dev, &size), 0, "size");
	fd = go_fd(v, ST_PRE_COPY);
	check_size(v, fd, size, REC_SECOND, "nothing read");
	EXPECT_EQ(read(fd, &byte, 1), 1, "read");
	check_size(v, fd, size, REC_SECOND - 1, "a byte read");
	go(v, ST_PRE_COPY_P2P);
	check_size(v, fd, size, REC_SECOND - 1, "suspended");
	go(v, ST_STOP_COPY);
	check_size(v, fd, size, 0, "stopped");
	close(fd);
	go(v, ST_RUNNING);
}

/* ---- the destination says no while there is a VM to go on with ---- */

/* All there is for now, which is whole HELLOs; the last of them. */
static struct st_hello *read_hellos(int fd, struct stream *s)
{
	EXPECT_EQ(stream_append(fd, s, 0), -ENOMSG, "read");
	if (!EXPECT(s->size && !(s->size % REC_SECOND), "%zu bytes", s->size))
		return NULL;
	return (void *)s->data + s->size - REC_HELLO_LEN;
}

static void test_refused_in_time(void)
{
	struct vf *v = &vf_a, *to = &vf_b;
	struct stream s = { 0 };
	struct st_hello *hello;
	int fd, in;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts) || !vf_open(to, tap_arg(), 2))
		return;
	fd = go_fd(v, ST_PRE_COPY);
	hello = read_hellos(fd, &s);
	in = go_fd(to, ST_RESUMING);
	if (fd < 0 || !hello || in < 0)
		return;
	hello->sn[0] ^= 1;
	klog_mark();
	EXPECT_EQ(stream_write(in, &s, 0), -EXDEV, "HELLO of another device");
	EXPECT_EQ(klog_count(to->bdf, "stream refused: serial number"), 1, "lines in the log");
	close(in);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write on the source");
	go(v, ST_RUNNING);
	close(fd);
	EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write on the source in RUNNING");
	vf_reset(to);
	vf_check_usable(to);
	stream_free(&s);
}

/* ---- a guest that becomes another one ---- */

static u64 initial_bytes(int fd, bool again)
{
	struct vfio_precopy_info info = { 0 };

	EXPECT_EQ(mig_precopy_info(fd, &info), 0, "PRECOPY_INFO");
	EXPECT_EQ(info.flags, again ? VFIO_PRECOPY_INFO_REINIT : 0, "flags");
	EXPECT_EQ(info.dirty_bytes, 0, "dirty bytes");
	return info.initial_bytes;
}

/* Another driver in the guest, with so many queues. */
static bool other_guest(struct vf *v, unsigned int queues)
{
	const struct unvme_opts o = { .queues = queues };

	unvme_fini(&v->u);
	arena_reset(&arena);
	return vf_up(v, &o);
}

static void test_longer_state(void)
{
	struct stream s = { 0 }, rest = { 0 };
	const struct st_hello *hello;
	struct vf *v = &vf_a;
	u64 len = 0;
	const char *why;
	struct st_view view;
	unsigned int i;
	int fd;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts))
		return;
	if (vdev_precopy_info_v2(&v->dev) == -ENOTTY) {
		tap_skip("kernel without PRECOPY_INFOv2");
		return;
	}
	fd = go_fd(v, ST_PRE_COPY);
	EXPECT_EQ(initial_bytes(fd, false), REC_SECOND, "at first");
	for (i = 1; i <= 3; i++) {
		if (i > 1) {
			if (!other_guest(v, 1 << (i - 1)))
				return;
			EXPECT_EQ(initial_bytes(fd, true), REC_SECOND, "with %u queues",
				  1 << (i - 1));
			EXPECT_EQ(initial_bytes(fd, true), REC_SECOND, "asked again");
		}
		hello = read_hellos(fd, &s);
		if (!hello)
			return;
		EXPECT_EQ(s.size, i * REC_SECOND, "bytes");
		EXPECT(hello->state_len > len, "%llu bytes of state after %llu",
		       (unsigned long long)hello->state_len, (unsigned long long)len);
		len = hello->state_len;
		EXPECT_EQ(initial_bytes(fd, false), 0, "read");
	}
	/* less does not matter to the destination */
	if (!other_guest(v, 1))
		return;
	EXPECT_EQ(initial_bytes(fd, false), 0, "with one queue");
	go(v, ST_STOP_COPY);
	EXPECT_EQ(stream_append(fd, &rest, 0), 0, "rest");
	close(fd);
	why = st_parse(&rest, &view);
	if (EXPECT(!why, "%s", why)) {
		EXPECT(view.hello->state_len < len, "%llu bytes in the end",
		       (unsigned long long)view.hello->state_len);
		st_view_free(&view);
	}
	stream_free(&rest);
	stream_free(&s);
}

/* ---- the PF is reset ---- */

/* A VF that works has nothing to lose; one that is suspended has. */
static void test_pf_reset(void)
{
	struct vfio_precopy_info info = { 0 };
	struct vf *v = &vf_a;
	char byte;
	int fd;

	if (!scene_open(v, tap_arg()) || !vf_up(v, &opts))
		return;
	fd = go_fd(v, ST_PRE_COPY);
	if (!pf_reset(tap_arg()))
		return;
	EXPECT_EQ(read(fd, &byte, 1), 1, "read");
	go(v, ST_RUNNING);
	close(fd);
	if (!pf_provision(tap_arg()) || !vf_reset(v) || !vf_up(v, &opts))
		return;
	fd = go_fd(v, ST_PRE_COPY_P2P);
	if (!pf_reset(tap_arg()))
		return;
	if (counts_pf_resets())
		EXPECT_EQ(mig_precopy_info(fd, &info), -ENOTCONN, "PRECOPY_INFO");
	EXPECT(vdev_mig_set_state(&v->dev, ST_STOP_COPY, NULL), "-> STOP_COPY");
	/* if resets are not counted, the VF is found offline and the session goes on */
	EXPECT(mig_precopy_info(fd, &info) || !counts_pf_resets(), "PRECOPY_INFO");
	close(fd);
	vf_reset(v);
	vf_close(v);
	pf_provision(tap_arg());
	if (vf_open(v, tap_arg(), 1))
		vf_check_usable(v);
}

static const struct drv_test precopy_tests[] = {
	{ "commands", test_commands, ON_BOTH },
	{ "notification refused", test_notification_refused, ON_TP },
	{ "size of a VF that runs refused", test_no_size, ON_BOTH },
	{ "data size with unread HELLOs", test_unread, ON_BOTH },
	{ "refused in time", test_refused_in_time, ON_BOTH },
	{ "longer state", test_longer_state, ON_TP },
	{ "PF reset", test_pf_reset, ON_BOTH },
};

const struct test_group precopy_group = { "precopy", precopy_tests, ARRAY_SIZE(precopy_tests) };
