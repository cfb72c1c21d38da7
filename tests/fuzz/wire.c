// SPDX-License-Identifier: GPL-2.0-only
/*
 * wire.c: whatever a device or a stream has in a controller state, what is found lies within it,
 * and what is accepted keeps the rules. The same for lists of formats and secondary controllers.
 */

#include <linux/blkdev.h>
#include <linux/kernel.h>
#include <linux/nvme.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "fuzz.h"
#include "lm.h"
#include "nvme_pf.h"
#include "refusal.h"
#include "wire.h"

#define HEAD		48
#define STATE		(HEAD + 8)
#define QUEUE		24
#define QUEUES_MAX	12

static u64 get(const u8 *p, unsigned int bytes)
{
	u64 n = 0;

	memcpy(&n, p, bytes);
	return n;
}

static void put(u8 *p, u64 n, unsigned int bytes)
{
	memcpy(p, &n, bytes);
}

/* ---- controller states ---- */

/**
 * struct state - a controller state, and what it has by the specification
 * @p: the state, or the beginning of it
 * @len: bytes of that
 * @nsq: number of submission queues
 * @ncq: number of completion queues
 * @end: where they end
 * @total: bytes of the whole
 */
struct state {
	u8 *p;
	size_t len;
	unsigned int nsq;
	unsigned int ncq;
	size_t end;
	__u128 total;
};

static void make_queue(struct input *in, u8 *q, unsigned int qid, bool is_sq)
{
	unsigned int size = 1 + take_below(in, 64);

	put(q, take_edge(in), 8);
	put(q + 8, size, 2);
	put(q + 10, qid, 2);
	put(q + (is_sq ? 16 : 12), take_below(in, size + 1), 2);
	put(q + (is_sq ? 18 : 14), take_below(in, size + 1), 2);
	if (is_sq)
		put(q + 12, 1 + take_below(in, QUEUES_MAX), 2);
	put(q + (is_sq ? 14 : 16), take_below(in, 8) ? 1 : take(in, 1), 2);
}

/* One that is correct, unless its bytes are changed afterwards */
static void make_state(struct input *in, struct state *s)
{
	unsigned int nsq = take_below(in, QUEUES_MAX), ncq = take_below(in, QUEUES_MAX), i, qid;
	size_t vss = take_below(in, 8), end = STATE + (nsq + ncq) * QUEUE;

	s->len = end + 4 * vss;
	s->p = calloc(1, s->len);
	require(s->p);
	put(s->p + 16, (end - HEAD) / 4, 8);
	put(s->p + 32, vss, 8);
	put(s->p + HEAD + 2, nsq, 2);
	put(s->p + HEAD + 4, ncq, 2);
	for (qid = 0, i = 0; i < nsq + ncq; i++) {
		qid = i == nsq ? 1 : qid + (take_below(in, 8) ? 1 : take_below(in, 4));
		make_queue(in, s->p + STATE + i * QUEUE, qid, i < nsq);
	}
}

static void spoil(struct input *in, struct state *s)
{
	unsigned int n = take_below(in, 4);
	size_t at;
	u8 *cut;

	while (n-- && s->len >= 8) {
		at = take_below(in, 2) ? take_below(in, min_t(size_t, s->len, STATE)) :
					 take_below(in, s->len);
		put(s->p + min(at, s->len - 8), take_edge(in), 1 << take_below(in, 4));
	}
	/* all memory, or a little more */
	if (s->len >= STATE && !take_below(in, 16))
		put(s->p + 32, (1ULL << 62) - take_below(in, 200), 8);
	if (!take_below(in, 4)) {
		s->len = take_below(in, s->len + 1);
		cut = copy_buffer(s->p, s->len);
		free(s->p);
		s->p = cut;
	}
}

/* Whether version and sizes are right */
static bool measure(struct state *s)
{
	const u8 *p = s->p;

	if (s->len < STATE)
		return false;
	s->nsq = get(p + HEAD + 2, 2);
	s->ncq = get(p + HEAD + 4, 2);
	s->end = STATE + (s->nsq + s->ncq) * (size_t)QUEUE;
	s->total = HEAD + 4 * ((__u128)get(p + 16, 8) + get(p + 32, 8));
	return !get(p, 2) && !get(p + 24, 8) && !get(p + 40, 8) && !(s->total >> 64) &&
	       !get(p + HEAD, 2) && HEAD + (__u128)get(p + 16, 8) * 4 == s->end;
}

static void check_sizes(struct state *s, bool fine)
{
	u64 len = 0;

	if (s->len < HEAD)
		return;
	if (nvmevf_container_len((const void *)s->p, &len))
		require(len == HEAD + 4 * ((__u128)get(s->p + 16, 8) +
					   get(s->p + 32, 8)));
	else
		require(!fine);
}

static void check_queues(struct state *s, bool fine)
{
	struct nvmevf_queues q;

	if (nvmevf_state_queues(s->p, s->len, &q)) {
		require(!fine);
		return;
	}
	require(fine && q.nsq == s->nsq && q.ncq == s->ncq && q.end == s->end);
	require((const u8 *)q.sq == s->p + STATE);
	require((const u8 *)q.cq == s->p + STATE + s->nsq * QUEUE);
}

/* Why the completion queues cannot be used, or 0 */
static int cqs_error(const struct state *s, u32 entry, unsigned int max)
{
	__u128 end;
	unsigned int i;
	const u8 *cq;

	if (s->end > s->len)
		return -EPROTO;
	if (s->ncq > max)
		return -ENOSPC;
	for (i = 0; i < s->ncq; i++) {
		cq = s->p + STATE + (s->nsq + i) * QUEUE;
		end = get(cq, 8) + (__u128)(get(cq + 8, 2) + 1) * entry;
		if (!(cq[16] & 1) || (end - 1) >> 64)
			return -EPROTO;
	}

	return 0;
}

static void check_cqs(struct state *s, bool fine, struct input *in)
{
	u32 entry = 1U << take_below(in, 16);
	unsigned int max = take_below(in, QUEUES_MAX + 1);
	struct nvmevf_range *cqs = malloc(max * sizeof(*cqs));
	int ret = nvmevf_queues_parse(s->p, s->len, entry, cqs, max), i;
	int want = fine ? cqs_error(s, entry, max) : -EPROTO;
	const u8 *cq;

	require(ret == (want ?: (int)s->ncq));
	for (i = 0; i < ret; i++) {
		cq = s->p + STATE + (s->nsq + i) * QUEUE;
		require(cqs[i].first == get(cq, 8));
		require(cqs[i].last - cqs[i].first == (get(cq + 8, 2) + 1) * entry - 1);
	}
	free(cqs);
}

/* The rules for a queue of either kind */
static bool queue_fine(const u8 *q, bool is_sq, u64 cap, unsigned int last)
{
	unsigned int size = get(q + 8, 2), at = is_sq ? 16 : 12;

	return get(q + 10, 2) > last && size && size <= (cap & 0xffff) && get(q + at, 2) <= size &&
	       get(q + at + 2, 2) <= size && ((q[is_sq ? 14 : 16] & 1) || !(cap & 1 << 16));
}

static bool has_cq(const struct state *s, unsigned int qid)
{
	unsigned int i;

	for (i = 0; i < s->ncq; i++)
		if (get(s->p + STATE + (s->nsq + i) * QUEUE + 10, 2) == qid)
			return true;

	return false;
}

/* Those that have arrived keep them all */
static bool queues_fine(const struct state *s, u64 cap)
{
	unsigned int i, last = 0;
	const u8 *q = s->p + STATE;
	bool is_sq;

	for (i = 0; i < s->nsq + s->ncq && q + QUEUE <= s->p + s->len; i++, q += QUEUE) {
		is_sq = i < s->nsq;
		if (i == s->nsq)
			last = 0;
		if (!queue_fine(q, is_sq, cap, last))
			return false;
		if (is_sq && s->end <= s->len && !has_cq(s, get(q + 12, 2)))
			return false;
		last = get(q + 10, 2);
	}

	return true;
}

static void check_state(struct state *s, bool fine, struct input *in)
{
	struct nvmevf_refusal refusal = {};
	struct nvmevf_lm lm = { .hello.cmdset = NVME_LM_CMDSET_TP4159 };
	int ret;

	lm.hello.cap = take_below(in, 2) ? 63 | take_below(in, 2) << 16 : take_edge(in);
	ret = nvmevf_state_check(&refusal, s->p, s->len, &lm);
	require(ret == (fine && queues_fine(s, lm.hello.cap) ? 0 : -EPROTO));
	if (ret)
		check_refusal(&refusal);

	/* others are opaque */
	lm.hello.cmdset = NVME_LM_CMDSET_VENDOR;
	require(!nvmevf_state_check(&refusal, s->p, s->len, &lm));
}

static void fuzz_state(struct input *in)
{
	struct state s = {};
	bool fine;

	if (take_below(in, 16)) {
		make_state(in, &s);
		spoil(in, &s);
	} else {
		s.len = take_below(in, 512);
		s.p = take_buffer(in, s.len);
	}
	fine = measure(&s);
	check_sizes(&s, fine);
	check_queues(&s, fine);
	check_cqs(&s, fine, in);
	check_state(&s, fine, in);
	free(s.p);
}

/* ---- lists of a device ---- */

static u8 *make_formats(struct input *in)
{
	u8 *p = calloc(1, 4096);

	require(p);
	p[0] = take(in, 1);
	p[1] = take(in, 1);
	if (take_below(in, 2)) {
		p[0] %= 4;
		p[1] %= 4;
	}
	memset(p + 2, take_below(in, 2) ? 0xff : 0, 4094);
	take_bytes(in, p + 2 + take_below(in, 2) * 2 * p[0], 128);
	return p;
}

static unsigned int first_format(const u8 *p, unsigned int nr, unsigned int bytes, bool zero)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (!memchr_inv(p + i * bytes, 0, bytes) == zero)
			return i + 1;

	return 0;
}

static void fuzz_formats(struct input *in)
{
	u8 *p = make_formats(in);
	struct nvmevf_lm lm = {};
	const u8 *uuids = p + 2 + 2 * p[0];
	int ret;

	fail_allocation(take_below(in, 8) ? -1 : 0);
	ret = nvmevf_parse_formats(&lm, (void *)p);
	fail_allocation(-1);
	if (2 * p[0] + 16 * p[1] > 4094) {
		require(ret == -EPROTO && !lm.uuids && !lm.nuuid);
	} else if (allocation_failed()) {
		require(ret == -ENOMEM && !lm.uuids && !lm.nuuid);
	} else {
		require(!ret && lm.nuuid == p[1] && !lm.uuids == !p[1]);
		require(lm.csvi == first_format(p + 2, p[0], 2, true));
		require(lm.csuuidi == first_format(uuids, p[1], 16, false));
		require(!p[1] || !memcmp(lm.uuids, uuids, 16 * p[1]));
	}
	kfree(lm.uuids);
	free(p);
}

/* A PF is asked for page after page, which must end */
static void fuzz_secondary(struct input *in)
{
	struct nvme_lm_secondary_list *list = malloc(sizeof(*list));
	const struct nvme_lm_secondary_entry *entry;
	u16 vfn = take(in, 1), pcid = take(in, 1);
	unsigned int i, pages;
	int cntid = 0, next;

	require(list);
	for (pages = 0; cntid >= 0 && pages < 8; pages++) {
		memset(list, 0, sizeof(*list));
		list->nument = take_below(in, 4) ? 127 : take(in, 1);
		for (i = take_below(in, 127); i < 127 && in->left; i++)
			list->entry[i] = (struct nvme_lm_secondary_entry){
				.scid = take(in, 1), .pcid = take(in, 1), .vfn = take(in, 1) };
		list->entry[126].scid = take_edge(in);

		entry = nvme_pf_find_secondary(&(struct nvme_pf_vf) { .vfn = vfn }, pcid, list);
		if (entry)
			require(entry >= list->entry &&
				entry < list->entry + min(list->nument, 127) &&
				entry->vfn == vfn && entry->pcid == pcid && entry->scid != pcid);
		for (i = 0; !entry && i < min(list->nument, 127); i++)
			require(list->entry[i].vfn != vfn || list->entry[i].pcid != pcid ||
				list->entry[i].scid == pcid);

		next = nvmevf_next_secondary(list, cntid);
		require(next < 0 ? next == -ENXIO : next > cntid && next <= 0xffff);
		cntid = next;
	}
	free(list);
}

/* ---- single numbers ---- */

static void check_answer(struct input *in)
{
	u16 status = take(in, 2);
	blk_status_t err = take_below(in, 2);
	bool cancelled = take_below(in, 2);
	int ret = nvmevf_answer_error(status, cancelled, err);

	require(nvmevf_status_to_errno(status) < 0);
	require(cancelled ? ret == -ENOTCONN : true);
	require(ret || (!(status & 0x7ff) && !err));
	require(ret <= 0 || ret == (status & 0x7ff));
}

/* The specification has the parts of an offset and lengths in certain dwords */
static void check_transfer(struct input *in)
{
	const struct nvme_pf_vf vf = { .vfn = take(in, 2), .cntlid = take(in, 2) };
	struct nvme_pf_op op = {
		.verb = &nvme_pf_verb_get_state, .csvi = take(in, 1), .csuuidi = take(in, 1),
		.offset = take_edge(in),
	};
	u64 len = 4 * (1 + take_below(in, 1 << 20));
	struct nvme_command c;
	const u8 *p = (const u8 *)&c;

	nvme_pf_encode(&c, &vf, &op, len);
	require(p[0] == 0x42 && get(p + 48, 8) == op.offset && get(p + 60, 4) == len / 4 - 1);
	require(get(p + 40, 4) == (u32)op.csvi << 16);
	require(get(p + 44, 4) == (vf.cntlid | (u32)op.csuuidi << 16));

	op.verb = &nvme_pf_verb_set_state;
	op.last = take_below(in, 2);
	nvme_pf_encode(&c, &vf, &op, len);
	require(p[0] == 0x41 && get(p + 48, 8) == op.offset && get(p + 60, 4) == len / 4);
	require(get(p + 40, 4) == (2 | (u32)(!op.offset | op.last << 1) << 16));
	require(get(p + 44, 4) == (vf.cntlid | (u32)op.csvi << 16 | (u32)op.csuuidi << 24));
}

int fuzz_one(const u8 *data, size_t len)
{
	struct input in = { data, len };

	switch (take_below(&in, 16)) {
	case 0:
		fuzz_formats(&in);
		break;
	case 1:
		fuzz_secondary(&in);
		break;
	case 2:
		check_answer(&in);
		check_transfer(&in);
		break;
	default:
		fuzz_state(&in);
	}
	return 0;
}
