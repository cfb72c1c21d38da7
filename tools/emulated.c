// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vendor specific part of the emulated device's controller state.
 */

#include <string.h>

#include "dump.h"
#include "emulated.h"

#define WHAT	"the vendor specific part"

#define CC_ENABLED		BIT(0)
#define ADMIN_ENTRIES_MAX	4096
#define PAGE_SHIFT_MIN		12
#define PAGE_SHIFT_MAX		27
#define STATUS_RESERVED		BIT(15)

/* Where a field of the fixed part is in the controller state */
#define AT(base, field)	((base) + offsetof(struct emulated_fixed, field))

bool emulated_is_uuid(const u8 *uuid)
{
	static const u8 own[16] = EMULATED_UUID;

	return !memcmp(uuid, own, sizeof(own));
}

bool emulated_is_magic(const void *p, size_t len)
{
	return len >= strlen(EMULATED_MAGIC) && !memcmp(p, EMULATED_MAGIC, strlen(EMULATED_MAGIC));
}

static void print_flags(struct print *p, u32 flags)
{
	print_open(p, "flags", PRINT_GROUP);
	print_hex(p, "value", flags, 8);
	print_flag(p, "suspended", flags & EMULATED_SUSPENDED);
	print_flag(p, "admin_queues", flags & EMULATED_ADMIN_QUEUES);
	print_flag(p, "io_cq_created", flags & EMULATED_CQ_CREATED);
	print_flag(p, "shadow_doorbells", flags & EMULATED_DBBUF);
	print_flag(p, "admin_sq_doorbell_written", flags & EMULATED_SQ0_DOORBELL);
	print_flag(p, "admin_cq_doorbell_written", flags & EMULATED_CQ0_DOORBELL);
	print_flag(p, "write_atomicity_dn", flags & EMULATED_DN);
	print_flag(p, "write_cache_off", flags & EMULATED_CACHE_OFF);
	print_flag(p, "extra_state", flags & EMULATED_EXTRA);
	print_close(p);
}

static void print_limits(struct print *p, const struct emulated_fixed *f)
{
	print_open(p, "limits", PRINT_GROUP);
	print_hex(p, "cap", le64_to_cpu(f->cap), 16);
	print_hex(p, "vs", le32_to_cpu(f->vs), 8);
	print_number(p, "bar_size", le64_to_cpu(f->bar_size));
	print_hex(p, "effects_crc", le32_to_cpu(f->effects_crc), 8);
	print_number(p, "queue_pairs", le16_to_cpu(f->queue_pairs));
	print_number(p, "vectors", le16_to_cpu(f->vectors));
	print_number(p, "events_max", le32_to_cpu(f->events_max));
	print_number(p, "vsl", f->vsl);
	print_number(p, "zasl", f->zasl);
	print_hex(p, "log_pages", f->logs, 2);
	print_close(p);
}

static void print_registers(struct print *p, const struct emulated_fixed *f)
{
	print_open(p, "registers", PRINT_GROUP);
	print_hex(p, "cc", le32_to_cpu(f->cc), 8);
	print_hex(p, "csts", le32_to_cpu(f->csts), 8);
	print_hex(p, "aqa", le32_to_cpu(f->aqa), 8);
	print_hex(p, "asq", le64_to_cpu(f->asq), 16);
	print_hex(p, "acq", le64_to_cpu(f->acq), 16);
	print_hex(p, "intms", le32_to_cpu(f->intms), 8);
	print_hex(p, "cmbmsc", le64_to_cpu(f->cmbmsc), 16);
	print_close(p);
}

static void print_admin_queues(struct print *p, const struct emulated_fixed *f)
{
	print_open(p, "admin_queues", PRINT_GROUP);
	print_number(p, "page_shift", le16_to_cpu(f->page_shift));
	print_hex(p, "sq_address", le64_to_cpu(f->sq_addr), 16);
	print_number(p, "sq_size", le16_to_cpu(f->sq_size));
	print_number(p, "sq_head", le16_to_cpu(f->sq_head));
	print_number(p, "sq_tail", le16_to_cpu(f->sq_tail));
	print_hex(p, "cq_address", le64_to_cpu(f->cq_addr), 16);
	print_number(p, "cq_size", le16_to_cpu(f->cq_size));
	print_number(p, "cq_head", le16_to_cpu(f->cq_head));
	print_number(p, "cq_tail", le16_to_cpu(f->cq_tail));
	print_number(p, "cq_phase", f->cq_phase);
	print_close(p);
}

static void print_features(struct print *p, const struct emulated_fixed *f)
{
	unsigned int i;

	print_open(p, "features", PRINT_GROUP);
	print_hex(p, "shadow_doorbell_buffer", le64_to_cpu(f->dbbuf_doorbells), 16);
	print_hex(p, "eventidx_buffer", le64_to_cpu(f->dbbuf_events), 16);
	print_number(p, "timestamp", le64_to_cpu(f->timestamp));
	print_number(p, "timestamp_age_ms", le64_to_cpu(f->timestamp_age));
	print_number(p, "temperature_over", le16_to_cpu(f->temp_over));
	print_number(p, "temperature_under", le16_to_cpu(f->temp_under));
	print_hex(p, "async_event_configuration", le32_to_cpu(f->async_events), 8);
	print_hex(p, "events_masked", f->events_masked, 2);
	print_open(p, "changed_namespaces", PRINT_SERIES);
	for (i = 0; i < 8 * sizeof(f->changed); i++)
		if (has_bit(f->changed, i))
			print_number(p, NULL, i);
	print_close(p);
	print_close(p);
}

static u16 get_le16(const u8 *p)
{
	return p[0] | p[1] << 8;
}

static void put_le64(u8 *p, u64 value)
{
	unsigned int i;

	for (i = 0; i < sizeof(value); i++)
		p[i] = value >> (8 * i);
}

static void print_identify(struct print *p, const u8 *id)
{
	print_open(p, "identify", PRINT_GROUP);
	print_hex(p, "vid", get_le16(id + EMULATED_ID_VID), 4);
	print_hex(p, "ssvid", get_le16(id + EMULATED_ID_SSVID), 4);
	print_chars(p, "sn", (const char *)id + EMULATED_ID_SN, 20);
	print_chars(p, "mn", (const char *)id + EMULATED_ID_MN, 40);
	print_chars(p, "fr", (const char *)id + EMULATED_ID_FR, 8);
	print_number(p, "cntlid", get_le16(id + EMULATED_ID_CNTLID));
	print_chars(p, "subnqn", (const char *)id + EMULATED_ID_SUBNQN, 256);
	print_close(p);
}

static void print_fixed(struct print *p, const struct emulated_fixed *f)
{
	print_number(p, "revision", le16_to_cpu(f->revision));
	print_flags(p, le32_to_cpu(f->flags));
	print_limits(p, f);
	print_registers(p, f);
	if (le32_to_cpu(f->flags) & EMULATED_ADMIN_QUEUES)
		print_admin_queues(p, f);
	print_features(p, f);
	print_identify(p, f->identify);
}

static bool has_extra(const struct emulated_fixed *f)
{
	return le16_to_cpu(f->revision) > 1 && le32_to_cpu(f->flags) & EMULATED_EXTRA;
}

static void print_extra(struct print *p, const struct emulated_extra *extra)
{
	print_open(p, "extra_state", PRINT_GROUP);
	print_hex(p, "seed", le64_to_cpu(extra->seed), 16);
	print_number(p, "length", le32_to_cpu(extra->len));
	print_close(p);
}

/* @extra is zero if there is none */
static u64 wanted_len(const struct emulated_fixed *f, const struct emulated_extra *extra)
{
	u64 aers = le16_to_cpu(f->nr_aers);

	return le16_to_cpu(f->fixed_len) + (u64)le32_to_cpu(extra->len) +
	       le16_to_cpu(f->nr_namespaces) * sizeof(struct emulated_namespace) +
	       (aers + aers % 2) * sizeof(__le16) +
	       le16_to_cpu(f->nr_events) * sizeof(struct emulated_event) +
	       (u64)le32_to_cpu(f->nr_held) * sizeof(struct emulated_held);
}

static void check_fixed_reserved(struct dump *d, u64 at, const struct emulated_fixed *f)
{
	check_reserved(d, AT(at, rsvd26), f->rsvd26, sizeof(f->rsvd26), WHAT);
	check_reserved(d, AT(at, rsvd67), f->rsvd67, sizeof(f->rsvd67), WHAT);
	check_reserved(d, AT(at, rsvd184), f->rsvd184, sizeof(f->rsvd184), WHAT);
	check_reserved(d, AT(at, rsvd232), f->rsvd232, sizeof(f->rsvd232), WHAT);
}

/* What revision 1 does not have is 0 there */
static void check_revision(struct dump *d, u64 at, const struct emulated_fixed *f)
{
	bool first = le16_to_cpu(f->revision) == 1;
	u16 cntlid = get_le16(f->identify + EMULATED_ID_CNTLID);
	u16 cntlid_max = first ? 0 : EMULATED_CNTLID_MAX;
	u8 logs = first ? 0 : EMULATED_LOG_C0;

	if (f->logs & ~logs)
		damage_in_state(d, AT(at, logs), "log pages: found %#x, expected %u at most",
				f->logs, logs);
	if (cntlid > cntlid_max)
		damage_in_state(d, AT(at, identify) + EMULATED_ID_CNTLID,
				"CNTLID in Identify Controller: found %u, expected %u at most",
				cntlid, cntlid_max);
}

/* Both parts are captured at once, and what is captured is the VF of HELLO */
static void check_agreement(struct dump *d, u64 at, const struct emulated_fixed *f,
			    const struct queues *queues)
{
	const struct nvme_lm_hello *h = &d->stream.hello;
	u32 flags = le32_to_cpu(f->flags);

	if (!!(flags & EMULATED_SUSPENDED) != queues->suspended)
		damage_in_state(d, AT(at, flags), "flag \"suspended\": found %u, CSATTR says %u",
				!!(flags & EMULATED_SUSPENDED), queues->suspended);
	if (!(flags & EMULATED_ADMIN_QUEUES) && queues->nr)
		damage_in_state(d, AT(at, flags),
				"flag \"admin queues\": found 0, expected 1 because of %u I/O queues",
				queues->nr);
	if (!d->is_stream)
		return;
	if (f->cap != h->cap)
		damage_in_state(d, AT(at, cap), "CAP: found 0x%016llx, expected HELLO's 0x%016llx",
				le64_to_cpu(f->cap), le64_to_cpu(h->cap));
	if (f->vs != h->vs)
		damage_in_state(d, AT(at, vs), "VS: found 0x%08x, expected HELLO's 0x%08x",
				le32_to_cpu(f->vs), le32_to_cpu(h->vs));
}

static void check_entries(struct dump *d, u64 at, const char *what, u32 size)
{
	if (size < 2 || size > ADMIN_ENTRIES_MAX)
		damage_in_state(d, at, "size of the admin %s: found %u, expected 2 to %u", what,
				size, ADMIN_ENTRIES_MAX);
}

static void check_pointer(struct dump *d, u64 at, const char *what, u32 value, u32 size)
{
	if (value >= size)
		damage_in_state(d, at, "%s: found %u, expected less than %u", what, value, size);
}

static void check_address(struct dump *d, u64 at, const char *what, u64 addr, u32 page_shift)
{
	if (addr & ((1ULL << page_shift) - 1))
		damage_in_state(d, at,
				"address of the %s: found 0x%llx, expected that of a page (2^%u)",
				what, addr, page_shift);
}

static void check_admin_queues(struct dump *d, u64 at, const struct emulated_fixed *f)
{
	u32 shift = le16_to_cpu(f->page_shift);

	check_entries(d, AT(at, sq_size), "SQ", le16_to_cpu(f->sq_size));
	check_entries(d, AT(at, cq_size), "CQ", le16_to_cpu(f->cq_size));
	check_pointer(d, AT(at, sq_head), "head of the admin SQ", le16_to_cpu(f->sq_head),
		      le16_to_cpu(f->sq_size));
	check_pointer(d, AT(at, sq_tail), "tail of the admin SQ", le16_to_cpu(f->sq_tail),
		      le16_to_cpu(f->sq_size));
	check_pointer(d, AT(at, cq_head), "head of the admin CQ", le16_to_cpu(f->cq_head),
		      le16_to_cpu(f->cq_size));
	check_pointer(d, AT(at, cq_tail), "tail of the admin CQ", le16_to_cpu(f->cq_tail),
		      le16_to_cpu(f->cq_size));
	check_pointer(d, AT(at, cq_phase), "phase of the admin CQ", f->cq_phase, 2);
	if (!(le32_to_cpu(f->cc) & CC_ENABLED))
		damage_in_state(d, AT(at, cc),
				"CC.EN: found 0, expected 1 because of admin queues");

	if (shift < PAGE_SHIFT_MIN || shift > PAGE_SHIFT_MAX) {
		damage_in_state(d, AT(at, page_shift),
				"page size: found 2^%u, expected 2^%u to 2^%u", shift,
				PAGE_SHIFT_MIN, PAGE_SHIFT_MAX);
		return;
	}
	check_address(d, AT(at, sq_addr), "admin SQ", le64_to_cpu(f->sq_addr), shift);
	check_address(d, AT(at, cq_addr), "admin CQ", le64_to_cpu(f->cq_addr), shift);
	check_address(d, AT(at, dbbuf_doorbells), "shadow doorbells",
		      le64_to_cpu(f->dbbuf_doorbells), shift);
	check_address(d, AT(at, dbbuf_events), "EventIdx buffer", le64_to_cpu(f->dbbuf_events),
		      shift);
}

static void check_fixed(struct dump *d, u64 at, const struct emulated_fixed *f,
			const struct emulated_extra *extra, u64 len)
{
	u32 known = le16_to_cpu(f->revision) == 1 ? EMULATED_FLAGS_1 : EMULATED_FLAGS;
	u32 flags = le32_to_cpu(f->flags);

	if (le32_to_cpu(f->len) != len)
		damage_in_state(d, AT(at, len), "length in " WHAT ": found %u, expected %llu",
				le32_to_cpu(f->len), len);
	if (wanted_len(f, extra) != len)
		damage_in_state(d, AT(at, nr_namespaces),
				"numbers of entries: found those of %llu bytes, expected those of %llu",
				wanted_len(f, extra), len);
	if (flags & ~known)
		damage_in_state(d, AT(at, flags), "flags: found 0x%08x, expected 0x%02x at most",
				flags, known);
	if (!(flags & EMULATED_SUSPENDED))
		note_in_state(d, AT(at, flags), "no device will load what was not suspended");
	if (!(flags & EMULATED_DBBUF) && (f->dbbuf_doorbells || f->dbbuf_events))
		damage_in_state(d, AT(at, dbbuf_doorbells),
				"addresses of shadow doorbells: found them without their flag");
	if (flags & EMULATED_ADMIN_QUEUES)
		check_admin_queues(d, at, f);
	else if (!is_zero(&f->sq_addr, offsetof(struct emulated_fixed, events_masked) -
			  offsetof(struct emulated_fixed, sq_addr)))
		damage_in_state(d, AT(at, sq_addr), "admin queues: found them without their flag");
	check_fixed_reserved(d, at, f);
	check_revision(d, at, f);
}

/* Whether the fields are where they are expected */
static bool check_layout(struct dump *d, u64 at, const struct emulated_fixed *f, u64 vendor_len)
{
	u16 revision = le16_to_cpu(f->revision), len = le16_to_cpu(f->fixed_len);

	if (!emulated_is_magic(f->magic, sizeof(f->magic)))
		damage_in_state(d, at, "magic of " WHAT ": found another one, expected "
				EMULATED_MAGIC);
	else if (!revision || revision > EMULATED_REVISION)
		damage_in_state(d, AT(at, revision),
				"revision of " WHAT ": found %u, expected 1 to %u", revision,
				EMULATED_REVISION);
	else if (len < sizeof(*f) || len % sizeof(__le32) || (revision == 1 && len > sizeof(*f)))
		damage_in_state(d, AT(at, fixed_len),
				"length of the fixed part: found %u, expected %zu%s", len,
				sizeof(*f), revision == 1 ? "" : " or more dwords");
	else if (has_extra(f) && len < sizeof(*f) + sizeof(struct emulated_extra))
		damage_in_state(d, AT(at, fixed_len),
				"length of the fixed part: found %u, expected %zu at least because of extra state",
				len, sizeof(*f) + sizeof(struct emulated_extra));
	else if (len > vendor_len)
		damage_in_state(d, AT(at, fixed_len),
				"length of the fixed part: found %u, expected %llu at most, the length of "
				WHAT, len, vendor_len);
	else
		return true;
	return false;
}

static void print_namespace(struct print *p, const struct emulated_namespace *ns)
{
	print_open(p, NULL, PRINT_GROUP);
	print_number(p, "nsid", le32_to_cpu(ns->nsid));
	print_number(p, "nsze", le64_to_cpu(ns->nsze));
	print_uuid(p, "uuid", ns->uuid);
	print_uuid(p, "nguid", ns->nguid);
	print_hex(p, "eui64", le64_to_cpu(ns->eui64), 16);
	print_hex(p, "error_recovery", le32_to_cpu(ns->error_recovery), 8);
	print_hex(p, "identify_crc", le32_to_cpu(ns->identify_crc), 8);
	print_hex(p, "independent_crc", le32_to_cpu(ns->independent_crc), 8);
	print_hex(p, "flbas", ns->flbas, 2);
	print_hex(p, "dps", ns->dps, 2);
	print_hex(p, "nmic", ns->nmic, 2);
	print_number(p, "pif", ns->pif);
	print_flag(p, "write_cache_off", ns->attributes & EMULATED_NS_CACHE_OFF);
	print_close(p);
}

#define NS_AT(base, field)	((base) + offsetof(struct emulated_namespace, field))

static void check_namespace(struct dump *d, u64 at, const struct emulated_namespace *ns, u32 last,
			    bool first_revision)
{
	u8 attributes = first_revision ? 0 : EMULATED_NS_CACHE_OFF;
	u32 nsid = le32_to_cpu(ns->nsid);

	if (nsid <= last)
		damage_in_state(d, at, "namespace, NSID: found %u, expected more than %u", nsid,
				last);
	if (ns->csi)
		damage_in_state(d, NS_AT(at, csi),
				"namespace %u, command set: found %u, expected 0", nsid, ns->csi);
	if (ns->attributes & ~attributes)
		damage_in_state(d, NS_AT(at, attributes),
				"namespace %u, attributes: found %#x, expected %u at most", nsid,
				ns->attributes, attributes);
	check_reserved(d, NS_AT(at, rsvd6), ns->rsvd6, sizeof(ns->rsvd6), "namespace");
	if (first_revision)
		check_reserved(d, NS_AT(at, independent_crc), &ns->independent_crc,
			       sizeof(ns->independent_crc), "namespace");
}

static bool take_namespaces(struct dump *d, const struct emulated_fixed *f)
{
	u32 i, last = 0, nr = le16_to_cpu(f->nr_namespaces);
	struct emulated_namespace ns;
	bool ok = true;

	print_open(&d->print, "namespaces", PRINT_LIST);
	for (i = 0; i < nr; i++) {
		u64 at = d->state_offset;

		ok = state_read(d, &ns, sizeof(ns), "a namespace");
		if (!ok)
			break;
		print_namespace(&d->print, &ns);
		check_namespace(d, at, &ns, last, le16_to_cpu(f->revision) == 1);
		last = le32_to_cpu(ns.nsid);
	}
	print_close(&d->print);
	return ok;
}

/* An odd number is filled up to a whole dword */
static bool take_aers(struct dump *d, u32 nr)
{
	bool ok = true;
	u8 cid[2];
	u32 i;

	print_open(&d->print, "outstanding_aers", PRINT_SERIES);
	for (i = 0; i < nr + nr % 2; i++) {
		ok = state_read(d, cid, sizeof(cid), "the outstanding AERs");
		if (!ok)
			break;
		if (i < nr)
			print_number(&d->print, NULL, get_le16(cid));
		else
			check_reserved(d, d->state_offset - sizeof(cid), cid, sizeof(cid),
				       "outstanding AERs");
	}
	print_close(&d->print);
	return ok;
}

static bool take_events(struct dump *d, u32 nr)
{
	struct print *p = &d->print;
	struct emulated_event e;
	bool ok = true;
	u32 i;

	print_open(p, "events", PRINT_LIST);
	for (i = 0; i < nr; i++) {
		ok = state_read(d, &e, sizeof(e), "an event");
		if (!ok)
			break;
		print_open(p, NULL, PRINT_ROW);
		print_number(p, "type", e.type);
		print_number(p, "info", e.info);
		print_number(p, "log_page", e.log_page);
		print_close(p);
		check_reserved(d, d->state_offset - sizeof(e.rsvd3), &e.rsvd3, sizeof(e.rsvd3),
			       "event");
	}
	print_close(p);
	return ok;
}

static void check_held(struct dump *d, u64 at, const struct emulated_held *h,
		       const struct queues *queues)
{
	u16 sqid = le16_to_cpu(h->sqid), status = le16_to_cpu(h->status);

	if (sqid && !queues->unknown && !has_bit(queues->sqs, sqid))
		damage_in_state(d, at,
				"held completion, SQID: found %u, expected a queue of this state",
				sqid);
	if (status & STATUS_RESERVED)
		damage_in_state(d, at + offsetof(struct emulated_held, status),
				"held completion, status: found 0x%04x, expected 15 bits", status);
	check_reserved(d, at + offsetof(struct emulated_held, rsvd6), h->rsvd6, sizeof(h->rsvd6),
		       "held completion");
}

static bool take_held(struct dump *d, u32 nr, const struct queues *queues)
{
	struct print *p = &d->print;
	struct emulated_held h;
	bool ok = true;
	u32 i;

	print_open(p, "held_completions", PRINT_LIST);
	for (i = 0; i < nr; i++) {
		ok = state_read(d, &h, sizeof(h), "a held completion");
		if (!ok)
			break;
		print_open(p, NULL, PRINT_ROW);
		print_number(p, "sqid", le16_to_cpu(h.sqid));
		print_number(p, "cid", le16_to_cpu(h.cid));
		print_hex(p, "status", le16_to_cpu(h.status), 4);
		print_hex(p, "dw0", le32_to_cpu(h.dw0), 8);
		print_hex(p, "dw1", le32_to_cpu(h.dw1), 8);
		print_close(p);
		check_held(d, d->state_offset - sizeof(h), &h, queues);
	}
	print_close(p);
	return ok;
}

/* SplitMix64 */
static u64 extra_word(u64 seed, u64 nr)
{
	u64 z = seed + (nr + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* The first byte that is not what the seed makes of it is enough; a wrong seed has many of them */
static bool take_extra(struct dump *d, const struct emulated_extra *extra)
{
	u32 len = le32_to_cpu(extra->len), pos = 0;
	u64 at = d->state_offset;
	u8 found[8], want[8];
	size_t i, n;

	for (; pos < len; pos += n) {
		n = min_t(size_t, len - pos, sizeof(found));
		if (!state_read(d, found, n, "the extra state"))
			return false;
		put_le64(want, extra_word(le64_to_cpu(extra->seed), pos / sizeof(found)));
		for (i = 0; i < n; i++) {
			if (found[i] == want[i])
				continue;
			damage_in_state(d, at + pos + i,
					"extra state, byte %zu: found 0x%02x, expected 0x%02x",
					pos + i, found[i], want[i]);
			return state_skip(d, len - pos - n, "the extra state");
		}
	}
	return true;
}

static bool take_rest(struct dump *d, const struct emulated_fixed *f,
		      const struct emulated_extra *extra, const struct queues *queues)
{
	size_t known = sizeof(*f) + (has_extra(f) ? sizeof(*extra) : 0);

	return state_skip(d, le16_to_cpu(f->fixed_len) - known, WHAT) &&
	       take_namespaces(d, f) &&
	       take_aers(d, le16_to_cpu(f->nr_aers)) &&
	       take_events(d, le16_to_cpu(f->nr_events)) &&
	       take_held(d, le32_to_cpu(f->nr_held), queues) &&
	       take_extra(d, extra);
}

static bool read_fixed(struct dump *d, const void *magic, struct emulated_fixed *f)
{
	memcpy(f->magic, magic, sizeof(f->magic));
	return state_read(d, &f->revision, sizeof(*f) - sizeof(f->magic), WHAT);
}

void emulated_dump(struct dump *d, const void *magic, u64 len, const struct queues *queues)
{
	u64 at = d->state_offset - sizeof(((struct emulated_fixed *)0)->magic);
	struct emulated_extra extra = { };
	struct emulated_fixed f;
	u64 left;

	if (len < sizeof(f)) {
		damage_in_state(d, at, "length of " WHAT ": found %llu, expected %zu at least",
				len, sizeof(f));
		state_skip(d, len - sizeof(f.magic), WHAT);
		return;
	}
	if (!read_fixed(d, magic, &f))
		return;
	left = len - sizeof(f);
	if (!check_layout(d, at, &f, len)) {
		state_skip(d, left, WHAT);
		return;
	}

	print_fixed(&d->print, &f);
	if (has_extra(&f)) {
		if (!state_read(d, &extra, sizeof(extra), WHAT))
			return;
		left -= sizeof(extra);
		print_extra(&d->print, &extra);
		check_reserved(d, at + sizeof(f) + offsetof(struct emulated_extra, rsvd12),
			       extra.rsvd12, sizeof(extra.rsvd12), "extra state");
	}
	check_fixed(d, at, &f, &extra, len);
	check_agreement(d, at, &f, queues);
	/* the arrays end elsewhere otherwise */
	if (wanted_len(&f, &extra) == len)
		take_rest(d, &f, &extra, queues);
	else
		state_skip(d, left, WHAT);
}
