// SPDX-License-Identifier: GPL-2.0-only
/*
 * The wire format of DMA logging: requests for ranges that the device is able and
 * willing to track, and the dirty memory that it returns. Nothing here accesses a
 * device.
 */

#include <kunit/visibility.h>
#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/export.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/nvme.h>
#include <linux/overflow.h>
#include <linux/string.h>

#include "track.h"

/* With a coarser granularity, one unit would exceed all memory */
#define NVMEVF_MRTG_MAX		(63 - NVME_LM_TRACK_SHIFT)

/* The longest range that is a power of two, in units */
#define NVMEVF_LEN_POW2_MAX	BIT_ULL(31)

/* Why the limits cannot be used, or NULL */
static const char *nvmevf_track_why_not(const struct nvme_lm_track_limits *l)
{
	if (!l->cmmrtd)
		return "CMMRTD of the PF is 0";
	if (!l->nmmrtd)
		return "NMMRTD of the PF is 0";
	if (l->minmrtg > l->maxmrtg)
		return "MINMRTG of the PF exceeds MAXMRTG";
	if (l->minmrtg > NVMEVF_MRTG_MAX)
		return "MINMRTG of the PF exceeds all memory";
	return NULL;
}

/**
 * nvmevf_track_parse_limits - read the tracking capabilities of a PF: Fig 312
 * @limits: set to the capabilities
 * @id: its Identify Controller data
 */
void nvmevf_track_parse_limits(struct nvmevf_track_limits *limits, const struct nvme_id_ctrl *id)
{
	const struct nvme_lm_track_limits *l = (const void *)id + NVME_LM_ID_TRACK_LIMITS;

	memset(limits, 0, sizeof(*limits));
	if (!(l->trattr & NVME_LM_TRATTR_THMCS))
		return;

	limits->why_not = nvmevf_track_why_not(l);
	if (limits->why_not)
		return;

	limits->ranges = min(le16_to_cpu(l->cmmrtd), le16_to_cpu(l->nmmrtd));
	limits->min = l->minmrtg;
	limits->max = min(l->maxmrtg, NVMEVF_MRTG_MAX);
	limits->pow2 = l->trattr & NVME_LM_TRATTR_MRTLL;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_track_parse_limits);

/**
 * nvmevf_track_begin - begin with the granularity nearest to the user's
 * @plan: the plan
 */
void nvmevf_track_begin(struct nvmevf_track_plan *plan)
{
	u8 mrtg = ilog2(plan->page_size) - NVME_LM_TRACK_SHIFT;

	plan->mrtg = clamp(mrtg, plan->limits->min, plan->limits->max);
	plan->limit = min(plan->limits->ranges, NVMEVF_TRACK_MAX);
	plan->used = 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_track_begin);

/* Number of ranges that it takes to track @units units */
static u64 nvmevf_track_cost(const struct nvmevf_track_plan *plan, u64 units)
{
	if (!plan->limits->pow2)
		return DIV_ROUND_UP_ULL(units, U32_MAX);

	return units / NVMEVF_LEN_POW2_MAX + hweight64(units % NVMEVF_LEN_POW2_MAX);
}

static u64 nvmevf_track_units(const struct nvmevf_range *r)
{
	return r->last - r->first + 1;
}

static u64 nvmevf_track_cost_all(const struct nvmevf_track_plan *plan, unsigned int n)
{
	u64 cost = 0;

	while (n--)
		cost += nvmevf_track_cost(plan, nvmevf_track_units(&plan->work[n]));

	return cost;
}

/* Join the ranges @i and @i + 1 of @n */
static void nvmevf_track_join(struct nvmevf_track_plan *plan, unsigned int i, unsigned int n)
{
	struct nvmevf_range *r = &plan->work[i];

	r[0].last = r[1].last;
	memmove(&r[1], &r[2], (n - i - 2) * sizeof(*r));
}

/* Convert the user's ranges to units, joining adjacent ones; returns their number */
static unsigned int nvmevf_track_align(struct nvmevf_track_plan *plan)
{
	unsigned int shift = NVME_LM_TRACK_SHIFT + plan->mrtg, i, n = 0;
	struct nvmevf_range *r = plan->work;

	for (i = 0; i < plan->nr; i++) {
		r[n].first = plan->wanted[i].first >> shift;
		r[n].last = plan->wanted[i].last >> shift;
		if (n && r[n].first <= r[n - 1].last + 1)
			r[n - 1].last = r[n].last;
		else
			n++;
	}

	return n;
}

static unsigned int nvmevf_track_least_gap(const struct nvmevf_track_plan *plan, unsigned int n)
{
	const struct nvmevf_range *r = plan->work;
	unsigned int i, best = 0;

	for (i = 1; i + 1 < n; i++)
		if (r[i + 1].first - r[i].last < r[best + 1].first - r[best].last)
			best = i;

	return best;
}

/* Make one range longer, so that its length is the sum of fewer powers of two */
static int nvmevf_track_round(struct nvmevf_track_plan *plan)
{
	u64 units = nvmevf_track_units(plan->work), left;
	unsigned int bit;

	left = BIT_ULL(64 - NVME_LM_TRACK_SHIFT - plan->mrtg) - plan->work->first;
	for (bit = 1; units <= left && plan->limits->pow2; bit++) {
		if (nvmevf_track_cost(plan, units) <= plan->limit) {
			plan->work->last = plan->work->first + units - 1;
			return 0;
		}
		units = round_up(units, BIT_ULL(bit));
	}

	return -ENOSPC;
}

/*
 * Reduce the ranges to the number that the device may be asked for. The gap between
 * two joined ranges is then tracked as well: nobody asks for it, and this costs the
 * least.
 */
static int nvmevf_track_fit(struct nvmevf_track_plan *plan, unsigned int *n)
{
	*n = nvmevf_track_align(plan);
	while (nvmevf_track_cost_all(plan, *n) > plan->limit) {
		if (*n == 1)
			return nvmevf_track_round(plan);
		nvmevf_track_join(plan, nvmevf_track_least_gap(plan, *n), *n);
		--*n;
	}

	return 0;
}

static u64 nvmevf_track_longest(const struct nvmevf_track_plan *plan, u64 units)
{
	if (!plan->limits->pow2)
		return min(units, (u64)U32_MAX);

	return min(BIT_ULL(fls64(units) - 1), NVMEVF_LEN_POW2_MAX);
}

static void nvmevf_track_put(struct nvmevf_track_plan *plan, const struct nvmevf_range *r,
			     struct nvme_lm_track *out)
{
	u64 from = r->first, left = nvmevf_track_units(r), len;
	struct nvme_lm_track_range *to;

	for (; left; left -= len, from += len) {
		len = nvmevf_track_longest(plan, left);
		to = &out->range[plan->used++];
		to->saddr = cpu_to_le64(from << (NVME_LM_TRACK_SHIFT + plan->mrtg));
		to->len = cpu_to_le32(len);
	}
}

/**
 * nvmevf_track_fill - fill in the request to the device: Fig 468
 * @plan: the plan; its granularity gets coarser if the ranges need that
 * @out: the request, with room for NVMEVF_TRACK_MAX ranges
 * @len: set to the bytes used in @out
 *
 * Return: 0, or -ENOSPC if the device cannot track these ranges at all.
 */
int nvmevf_track_fill(struct nvmevf_track_plan *plan, struct nvme_lm_track *out, size_t *len)
{
	unsigned int i, n;

	while (nvmevf_track_fit(plan, &n)) {
		if (plan->mrtg == plan->limits->max)
			return -ENOSPC;
		plan->mrtg++;
	}

	plan->used = 0;
	for (i = 0; i < n; i++)
		nvmevf_track_put(plan, &plan->work[i], out);

	memset(out, 0, sizeof(*out));
	out->rmrtg = plan->mrtg;
	out->rnmrtd = cpu_to_le32(plan->used);
	*len = struct_size(out, range, plan->used);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_track_fill);

/**
 * nvmevf_track_fill_one - request a single unit of the request of nvmevf_track_fill()
 * @plan: the plan
 * @out: the request, with room for one range: Fig 468
 * @len: set to the bytes used in @out
 */
void nvmevf_track_fill_one(const struct nvmevf_track_plan *plan, struct nvme_lm_track *out,
			   size_t *len)
{
	u64 unit = BIT_ULL(NVME_LM_TRACK_SHIFT + plan->mrtg);

	*len = struct_size(out, range, 1);
	memset(out, 0, *len);
	out->rmrtg = plan->mrtg;
	out->rnmrtd = cpu_to_le32(1);
	out->range[0].saddr = cpu_to_le64(round_down(plan->wanted->first, unit));
	out->range[0].len = cpu_to_le32(1);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_track_fill_one);

/**
 * nvmevf_track_adjust - reduce a request that the device refused
 * @plan: the plan that was refused
 * @err: -ENOSPC: the device lacks the resources; -EINVAL: there may be too many ranges
 *	 together with those of other controllers
 * @hints: the hints that the device returned with -ENOSPC
 *
 * The number of ranges is reduced first, because this does not cost the user anything.
 *
 * Return: 0 to try again, or @err.
 */
int nvmevf_track_adjust(struct nvmevf_track_plan *plan, int err,
			const struct nvmevf_track_hints *hints)
{
	if (err == -EINVAL && plan->used > 1) {
		plan->limit = plan->used / 2;
		return 0;
	}
	if (err != -ENOSPC)
		return err;

	if (hints->ranges && hints->ranges < plan->used)
		plan->limit = hints->ranges;
	else if (hints->mrtg > plan->mrtg && hints->mrtg <= plan->limits->max)
		plan->mrtg = hints->mrtg;
	else if (plan->mrtg < plan->limits->max)
		plan->mrtg++;
	else if (plan->used > 1)
		plan->limit = plan->used / 2;
	else
		return err;

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_track_adjust);

/**
 * nvmevf_changes_check - check that the returned dirty memory can be parsed
 * @c: the data: Fig 460
 * @len: bytes of it
 * @cntlid: the controller that the device was asked about
 *
 * Return: number of changes, or -EPROTO.
 */
int nvmevf_changes_check(const struct nvme_lm_changes *c, size_t len, u16 cntlid)
{
	u32 n = le32_to_cpu(c->ntmcd);

	if (c->ver || le16_to_cpu(c->cntlid) != cntlid ||
	    n > (len - sizeof(*c)) / sizeof(c->change[0]) ||
	    le16_to_cpu(c->rpmpg) > NVMEVF_MRTG_MAX)
		return -EPROTO;

	/* otherwise the device would be asked forever */
	if (!n && (c->attrb & NVME_LM_CHANGES_MTR))
		return -EPROTO;

	return n;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_changes_check);

/**
 * nvmevf_changes_get - get one piece of the dirty memory
 * @c: the data: Fig 461
 * @i: index of the piece
 * @r: set to the piece
 *
 * Return: 0, or -EPROTO if the piece is impossible.
 */
int nvmevf_changes_get(const struct nvme_lm_changes *c, unsigned int i, struct nvmevf_range *r)
{
	unsigned int shift = NVME_LM_TRACK_SHIFT + le16_to_cpu(c->rpmpg);
	u64 saddr = le64_to_cpu(c->change[i].saddr), first = saddr >> shift;
	u64 units = le32_to_cpu(c->change[i].len);

	if (!units)
		return -EPROTO;
	/* a piece that does not begin with a unit ends in one more */
	if (!IS_ALIGNED(saddr, BIT_ULL(shift)))
		units++;
	if (units - 1 > (U64_MAX >> shift) - first)
		return -EPROTO;

	r->first = first << shift;
	r->last = ((first + units - 1) << shift) | (BIT_ULL(shift) - 1);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_changes_get);
