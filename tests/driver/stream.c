// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is in the stream. How its files are read and written is tested in selftests/.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static const struct unvme_opts busy_opts = { .queues = 4, .irq = true };

/* A controller with queues, features, event requests and commands behind it. */
static bool open_busy(struct vf *v, int pf, unsigned int vfn)
{
	u16 q;

	if (!vf_open(v, pf, vfn) || !vf_up(v, &busy_opts))
		return false;
	set_everything(&v->u);
	for (q = 1; q <= 4; q++)
		EXPECT_EQ(unvme_rw(&v->u, q, q % 2, q * 8, 8), 0, "I/O on queue %u", q);
	return true;
}

static bool same(const struct stream *a, const struct stream *b, const char *what)
{
	const char *why = st_differ(a, b);

	return EXPECT(!why, "%s: %s differs", what, why);
}

static void check_identity(struct vf *v, const struct st_hello *h)
{
	const u8 *id = pf_get(v->pf_nr)->id;

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
	struct lm_pf *pf = pf_get(v->pf_nr);

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

	if (!EXPECT_EQ(lmt_init(&t, pf_get(v->pf_nr), v->vfn), 0, "controller id") ||
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

/* How often a hash algorithm of crypto is in use; 0 if there is no such driver. */
static unsigned int crypto_users(const char *driver)
{
	char line[128], name[64] = "";
	unsigned int refcnt = 0, n;
	FILE *f = fopen("/proc/crypto", "r");

	if (!EXPECT(f, "/proc/crypto"))
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "driver : %63s", name) != 1 && !strcmp(name, driver) &&
		    sscanf(line, "refcnt : %u", &n) == 1)
			refcnt = n;
	fclose(f);
	return refcnt;
}

static bool cpu_has(const char *flag)
{
	char line[8192];
	bool has = false;
	FILE *f = fopen("/proc/cpuinfo", "r");

	while (f && !has && fgets(line, sizeof(line), f))
		has = !strncmp(line, "flags", 5) && strstr(line, flag);
	if (f)
		fclose(f);
	return has;
}

/*
 * The checksum is the kernel's. From 7.0 on that is one function, which takes what is best for
 * the CPU; before it is libcrc32c, which holds on to an algorithm of crypto.
 */
static void test_checksum(void)
{
	if (!load_module())
		return;
	if (counts_pf_resets()) {
		tap_skip("checksum by the kernel itself");
		return;
	}
	EXPECT(!access("/sys/module/libcrc32c/holders/" MODULE, F_OK), "libcrc32c is not used");
	if (cpu_has(" sse4_2 "))
		EXPECT(crypto_users("crc32c-intel") > 1, "crc32c-intel is not used");
}

static const struct drv_test stream_tests[] = {
	{ "checksum by the CPU", test_checksum, ON_TP },
	{ "contents", test_contents, ON_BOTH },
};

const struct test_group stream_group = { "stream", stream_tests, ARRAY_SIZE(stream_tests) };
