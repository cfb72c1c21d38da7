// SPDX-License-Identifier: GPL-2.0-only
/*
 * track.c: what the device is asked to track has all that the user wants, nothing twice, and no
 * more than the limits of the device require; it is asked for less each time that it refuses. Dirty
 * memory that a hostile device returns is refused, or all of it is found.
 */

#include <linux/kernel.h>
#include <linux/nvme.h>
#include <linux/string.h>

#include "fuzz.h"
#include "track.h"

#define RANGES_MAX	48
#define LIMITS		570
#define ID_LEN		4096
#define MRTG_MAX	51
#define TRACK_HEAD	8

/* One past the end of all memory */
#define MEMORY		((__u128)1 << 64)

static u64 get(const u8 *p, unsigned int bytes)
{
	u64 n = 0;

	memcpy(&n, p, bytes);
	return n;
}

static void take_limits(struct input *in, struct nvmevf_track_limits *limits)
{
	u8 *id = calloc(1, ID_LEN), *l = id + LIMITS;

	require(id);
	take_bytes(in, l, 7);
	/* most are possible */
	if (take_below(in, 8)) {
		l[4] %= MRTG_MAX + 1;
		l[5] = l[4] + l[5] % (MRTG_MAX + 2);
		l[6] |= 1;
	}
	nvmevf_track_parse_limits(limits, (void *)id);
	if (limits->ranges) {
		require(!limits->why_not && l[6] & 1);
		require(limits->ranges == min(get(l, 2), get(l + 2, 2)));
		require(limits->min == l[4] && limits->max == min_t(int, l[5], MRTG_MAX));
		require(limits->min <= limits->max && limits->pow2 == !!(l[6] & 4));
	} else {
		require(!(l[6] & 1) || limits->why_not);
	}
	free(id);
}

/* Pages in ascending order, at least one apart */
static unsigned int take_ranges(struct input *in, struct nvmevf_range *wanted)
{
	unsigned int n, nr = 1 + take_below(in, RANGES_MAX);
	u64 at = take_edge(in) >> 12, len, end = ~0ULL >> 12;

	for (n = 0; n < nr && at <= end; n++) {
		len = 1 + (take_edge(in) >> 12);
		len = min(len, end - at + 1);
		wanted[n].first = at << 12;
		wanted[n].last = (at + len - 1) << 12 | 0xfff;
		at += len;
		at = min(at + (take_edge(in) >> 12), end + 1);
	}

	return n;
}

struct entry {
	u64 first;
	u64 last;
};

/* An entry of a request, which is one that the device accepts */
static struct entry get_entry(const struct nvmevf_track_plan *plan, const u8 *out, unsigned int i)
{
	u64 start = get(out + TRACK_HEAD + 12 * i, 8), len = get(out + TRACK_HEAD + 12 * i + 8, 4);
	unsigned int shift = 12 + plan->mrtg;

	require(len && !(start & ((1ULL << shift) - 1)));
	require(!plan->limits->pow2 || !(len & (len - 1)));
	require(start + ((__u128)len << shift) <= MEMORY);
	return (struct entry){ start, start + ((len << shift) - 1) };
}

/* Whether any of it is wanted */
static bool is_wanted(const struct nvmevf_track_plan *plan, const struct entry *e)
{
	unsigned int i;

	for (i = 0; i < plan->nr; i++)
		if (plan->wanted[i].first <= e->last && plan->wanted[i].last >= e->first)
			return true;

	return false;
}

/* Whether there is no gap between the entries */
static bool is_one(const struct nvmevf_track_plan *plan, const u8 *out)
{
	unsigned int i;

	for (i = 1; i < plan->used; i++)
		if (get_entry(plan, out, i).first != get_entry(plan, out, i - 1).last + 1)
			return false;

	return true;
}

/* They ascend, and have all that is wanted */
static void check_entries(const struct nvmevf_track_plan *plan, const u8 *out)
{
	unsigned int i, w = 0;
	struct entry e, before;
	u64 unit = 1ULL << (12 + plan->mrtg), from = plan->wanted[0].first;

	for (i = 0; i < plan->used; i++) {
		e = get_entry(plan, out, i);
		if (i)
			require(e.first > before.last);
		else
			require(e.first == round_down(plan->wanted[0].first, unit));
		/* all of what is wanted, up to the end of this entry */
		while (w < plan->nr && plan->wanted[w].first <= e.last) {
			from = max(from, plan->wanted[w].first);
			require(from >= e.first);
			if (plan->wanted[w].last > e.last)
				break;
			w++;
		}
		from = e.last + 1;
		before = e;
	}
	require(w == plan->nr);
	/* longer, but not twice as long, only if fewer powers of two add up to that */
	if (e.last != (plan->wanted[w - 1].last | (unit - 1))) {
		require(plan->limits->pow2 && is_one(plan, out));
		require((e.last - plan->wanted[0].first) / 2 <
			plan->wanted[w - 1].last - round_down(plan->wanted[0].first, unit));
	}
}

/* The ranges as they are need that many entries */
static u64 entries_needed(const struct nvmevf_track_plan *plan)
{
	unsigned int shift = 12 + plan->mrtg, i, k;
	u64 n = 0, first, units, last = 0;

	for (i = 0; i < plan->nr; i = k) {
		first = plan->wanted[i].first >> shift;
		last = plan->wanted[i].last >> shift;
		for (k = i + 1; k < plan->nr && plan->wanted[k].first >> shift <= last + 1; k++)
			last = plan->wanted[k].last >> shift;
		units = last - first + 1;
		if (!plan->limits->pow2)
			n += (units + 0xfffffffeULL) / 0xffffffffULL;
		else
			n += units / (1ULL << 31) + __builtin_popcountll(units % (1ULL << 31));
	}

	return n;
}

/* One range from the first to the last unit, as long as it may be, takes too many entries */
static bool is_impossible(const struct nvmevf_track_plan *plan)
{
	unsigned int shift = 12 + plan->mrtg;
	u64 first = plan->wanted[0].first >> shift, last = plan->wanted[plan->nr - 1].last >> shift;
	u64 units = last - first + 1, longest = (~0ULL >> shift) - first + 1, n;

	if (plan->mrtg != plan->limits->max)
		return false;
	if (!plan->limits->pow2)
		return (units + 0xfffffffeULL) / 0xffffffffULL > plan->limit;
	for (n = 1; n < units; n *= 2)
		;
	return n > longest || n > (u64)plan->limit << 31;
}

static bool fill(struct nvmevf_track_plan *plan, struct nvme_lm_track *out)
{
	u8 mrtg = plan->mrtg;
	bool fits = entries_needed(plan) <= plan->limit;
	size_t len = 0;
	const u8 *p = (const u8 *)out;

	if (nvmevf_track_fill(plan, out, &len)) {
		require(!fits && is_impossible(plan));
		return false;
	}

	require(plan->mrtg >= mrtg && plan->mrtg <= plan->limits->max);
	require(plan->used && plan->used <= plan->limit);
	require(len == TRACK_HEAD + 12 * (size_t)plan->used);
	require(!get(p, 3) && p[3] == plan->mrtg && get(p + 4, 4) == plan->used);
	check_entries(plan, p);
	if (fits)
		require(plan->mrtg == mrtg && plan->used == entries_needed(plan));
	return true;
}

static void check_one(const struct nvmevf_track_plan *plan)
{
	u8 *out = malloc(TRACK_HEAD + 12);
	struct entry e;
	size_t len;

	require(out);
	nvmevf_track_fill_one(plan, (void *)out, &len);
	require(len == TRACK_HEAD + 12 && out[3] == plan->mrtg && get(out + 4, 4) == 1);
	e = get_entry(plan, out, 0);
	require(e.first <= plan->wanted[0].first && e.last >= plan->wanted[0].first);
	require(is_wanted(plan, &e));
	free(out);
}

/* Whatever the device says, there is less to ask for each time */
static bool adjust(struct nvmevf_track_plan *plan, struct input *in)
{
	struct nvmevf_track_hints hints = { take_edge(in), take_edge(in) };
	static const int errs[] = { -ENOSPC, -ENOSPC, -EINVAL, -EIO };
	int err = errs[take_below(in, ARRAY_SIZE(errs))], ret;
	u32 limit = plan->limit;
	u8 mrtg = plan->mrtg;

	ret = nvmevf_track_adjust(plan, err, &hints);
	require(!ret || ret == err);
	require(plan->limit && plan->limit <= limit && plan->mrtg <= plan->limits->max);
	if (!ret)
		require(plan->mrtg > mrtg || (plan->mrtg == mrtg && plan->limit < plan->used));
	else
		require(err != -ENOSPC || (plan->used == 1 && mrtg == plan->limits->max));
	return !ret;
}

static void fuzz_plan(struct input *in)
{
	struct nvme_lm_track *out = malloc(TRACK_HEAD + 12 * NVMEVF_TRACK_MAX);
	struct nvmevf_track_plan plan = {};
	struct nvmevf_track_limits limits;
	struct nvmevf_range wanted[RANGES_MAX];

	require(out);
	take_limits(in, &limits);
	if (limits.ranges) {
		plan.limits = &limits;
		plan.page_size = 1ULL << (12 + take_below(in, MRTG_MAX + 1));
		plan.nr = take_ranges(in, wanted);
		plan.wanted = copy_buffer(wanted, plan.nr * sizeof(*wanted));
		plan.work = copy_buffer(wanted, plan.nr * sizeof(*wanted));
		nvmevf_track_begin(&plan);
		require(plan.mrtg >= limits.min && plan.mrtg <= limits.max);
		do {
			if (!fill(&plan, out))
				break;
			check_one(&plan);
		} while (in->left && adjust(&plan, in));
		require(!memcmp(plan.wanted, wanted, plan.nr * sizeof(*wanted)));
		free(plan.wanted);
		free(plan.work);
	}
	free(out);
}

/* All of a piece is found, to whole units */
static void check_change(const u8 *p, unsigned int shift, int ret, const struct nvmevf_range *r)
{
	u64 start = get(p, 8), len = get(p + 8, 4), unit = 1ULL << shift;
	__u128 end = start + ((__u128)len << shift);

	if (!len || end > MEMORY) {
		require(ret == -EPROTO);
		return;
	}
	require(!ret && r->first == round_down(start, unit));
	require(r->last == (u64)(end - 1) || r->last == ((u64)(end - 1) | (unit - 1)));
	require((r->last & (unit - 1)) == unit - 1);
}

static void fuzz_changes(struct input *in)
{
	size_t len = 16 + take_below(in, 512), n;
	u16 cntlid = take(in, 1);
	u8 *p = take_buffer(in, len);
	struct nvmevf_range r;
	unsigned int shift;
	int ret, i;

	if (take_below(in, 8)) {
		memcpy(p, (u8[]){ 0, p[1], cntlid, 0, p[4], 0, 0, 0, p[8] % 64, 0 }, 10);
		p[4] %= len / 16 + 1;
	}
	n = get(p + 4, 4);
	ret = nvmevf_changes_check((void *)p, len, cntlid);
	if (p[0] || get(p + 2, 2) != cntlid || n > len / 16 - 1 || get(p + 8, 2) > MRTG_MAX ||
	    (!n && p[1] & 1)) {
		require(ret == -EPROTO);
		free(p);
		return;
	}

	require(ret == (int)n);
	shift = 12 + p[8];
	for (i = 0; i < ret; i++)
		check_change(p + 16 + 16 * i, shift, nvmevf_changes_get((void *)p, i, &r), &r);
	free(p);
}

int fuzz_one(const u8 *data, size_t len)
{
	struct input in = { data, len };

	if (take_below(&in, 2))
		fuzz_plan(&in);
	else
		fuzz_changes(&in);
	return 0;
}
