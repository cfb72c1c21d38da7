// SPDX-License-Identifier: GPL-2.0-only
/*
 * The controller state: its container and the I/O queues, Fig 358 to 361 of the
 * NVM Express Base Specification 2.1.
 */

#include <stdlib.h>
#include <string.h>

#include "dump.h"

#define CAP_MQES(cap)	((u32)((cap) & 0xffff))
#define CAP_CQR		BIT(16)

/* Zeros behind a controller state: a reader may have asked for more than there is */
#define PADDING_MAX	SZ_1M

/* Addresses of queues are those of memory pages, which have this size at least */
#define PAGE_MASK	((u64)SZ_4K - 1)

/**
 * struct queue_check - what is known of queues while they are read
 * @kind: which kind, for messages
 * @last: identifier of the one before
 * @mqes: CAP.MQES, or the highest value
 * @cqr: CAP.CQR
 * @vectors: number of interrupt vectors, or the highest value
 */
struct queue_check {
	const char *kind;
	u32 last;
	u32 mqes;
	bool cqr;
	u32 vectors;
};

/* nvme-cli writes as many dwords as the count that it sends, which is one less than it gets */
static const char *why_short(const struct dump *d)
{
	if (!d->state_len || d->state_offset + sizeof(__le32) != d->state_len)
		return "";
	return "; the last dword is missing, as in what nvme lm migration-recv writes";
}

bool state_read(struct dump *d, void *buf, size_t len, const char *what)
{
	size_t got;

	if (d->is_stream)
		return stream_read_state(d, buf, len) == len;

	got = input_read(&d->in, buf, len);
	d->state_offset += got;
	if (got == len)
		return true;
	d->cut_short = true;
	damage_at(d, d->in.offset, "the input ends within %s: found %zu bytes of the next %zu%s",
		  what, got, len, why_short(d));
	return false;
}

bool state_skip(struct dump *d, u64 len, const char *what)
{
	u8 buf[SZ_4K];
	size_t part;

	for (; len; len -= part) {
		part = min_t(u64, len, sizeof(buf));
		if (!state_read(d, buf, part, what))
			return false;
	}
	return true;
}

/* Shows @len bytes that begin with the @known ones in @head */
static void excerpt(struct dump *d, const void *head, size_t known, u64 len, const char *what)
{
	size_t part = min_t(u64, len, d->options->excerpt);
	u8 *buf = malloc(part + known);
	bool whole;

	if (!buf) {
		d->no_memory = true;
		return;
	}

	memcpy(buf, head, known);
	whole = part <= known || state_read(d, buf + known, part - known, what);
	if (whole && part)
		print_bytes(&d->print, "beginning", buf, part);
	if (whole)
		state_skip(d, len - max(part, known), what);
	free(buf);
}

static void excerpt_all(struct dump *d, u64 len, const char *what)
{
	excerpt(d, "", 0, len, what);
}

#define ENTRY_AT(entry, type, field)	((entry) + offsetof(struct type, field))

static void check_queue(struct dump *d, struct queue_check *check, u64 at, u16 qid, u16 qsize,
			u64 prp1, bool contiguous)
{
	/* the first fields of both structures are the same */
	static_assert(offsetof(struct nvme_lm_state_sq, qid) ==
		      offsetof(struct nvme_lm_state_cq, qid));
	static_assert(offsetof(struct nvme_lm_state_sq, qsize) ==
		      offsetof(struct nvme_lm_state_cq, qsize));

	if (qid <= check->last)
		damage_in_state(d, ENTRY_AT(at, nvme_lm_state_sq, qid),
				"%s %u, QID: found %u, expected more than %u", check->kind, qid,
				qid, check->last);
	if (!qsize || qsize > check->mqes)
		damage_in_state(d, ENTRY_AT(at, nvme_lm_state_sq, qsize),
				"%s %u, QSIZE: found %u, expected 1 to %u", check->kind, qid,
				qsize, check->mqes);
	if (prp1 & PAGE_MASK)
		damage_in_state(d, at, "%s %u, PRP1: found 0x%llx, expected the address of a page",
				check->kind, qid, prp1);
	if (check->cqr && !contiguous)
		damage_in_state(d, at, "%s %u, PC: found 0, expected 1 because of CAP.CQR",
				check->kind, qid);
	check->last = qid;
}

static void check_pointers(struct dump *d, const struct queue_check *check, u64 head_at,
			   u16 qid, u16 qsize, u16 head, u16 tail)
{
	if (head > qsize)
		damage_in_state(d, head_at, "%s %u, head: found %u, expected at most QSIZE, %u",
				check->kind, qid, head, qsize);
	if (tail > qsize)
		damage_in_state(d, head_at + sizeof(__le16),
				"%s %u, tail: found %u, expected at most QSIZE, %u",
				check->kind, qid, tail, qsize);
}

static void take_sq(struct dump *d, struct queue_check *check, u64 at,
		    const struct nvme_lm_state_sq *sq)
{
	u16 qid = le16_to_cpu(sq->qid), qsize = le16_to_cpu(sq->qsize);
	u16 attr = le16_to_cpu(sq->attr);
	struct print *p = &d->print;

	print_open(p, NULL, PRINT_ROW);
	print_number(p, "qid", qid);
	print_number(p, "cqid", le16_to_cpu(sq->cqid));
	print_number(p, "qsize", qsize);
	print_number(p, "head", le16_to_cpu(sq->head));
	print_number(p, "tail", le16_to_cpu(sq->tail));
	print_number(p, "qprio", attr >> NVME_LM_SQ_QPRIO_SHIFT & NVME_LM_SQ_QPRIO_MASK);
	print_flag(p, "pc", attr & NVME_LM_SQ_CONTIGUOUS);
	print_hex(p, "prp1", le64_to_cpu(sq->prp1), 16);
	print_close(p);

	check_queue(d, check, at, qid, qsize, le64_to_cpu(sq->prp1), attr & NVME_LM_SQ_CONTIGUOUS);
	check_pointers(d, check, ENTRY_AT(at, nvme_lm_state_sq, head), qid, qsize,
		       le16_to_cpu(sq->head), le16_to_cpu(sq->tail));
	if (attr & ~NVME_LM_SQ_ATTR_MASK)
		damage_in_state(d, ENTRY_AT(at, nvme_lm_state_sq, attr),
				"submission queue %u, reserved attributes: found %#x, expected 0",
				qid, attr & ~NVME_LM_SQ_ATTR_MASK);
	check_reserved(d, ENTRY_AT(at, nvme_lm_state_sq, rsvd20), sq->rsvd20, sizeof(sq->rsvd20),
		       "submission queue");
}

static void take_cq(struct dump *d, struct queue_check *check, u64 at,
		    const struct nvme_lm_state_cq *cq)
{
	u16 qid = le16_to_cpu(cq->qid), qsize = le16_to_cpu(cq->qsize);
	u32 attr = le32_to_cpu(cq->attr), vector = attr >> NVME_LM_CQ_VECTOR_SHIFT;
	u32 reserved = attr & 0xffff & ~NVME_LM_CQ_ATTR_MASK;
	struct print *p = &d->print;

	print_open(p, NULL, PRINT_ROW);
	print_number(p, "qid", qid);
	print_number(p, "qsize", qsize);
	print_number(p, "head", le16_to_cpu(cq->head));
	print_number(p, "tail", le16_to_cpu(cq->tail));
	print_number(p, "s0pt", !!(attr & NVME_LM_CQ_SLOT0_PHASE));
	print_flag(p, "ien", attr & NVME_LM_CQ_INTERRUPTS);
	print_number(p, "iv", vector);
	print_flag(p, "pc", attr & NVME_LM_CQ_CONTIGUOUS);
	print_hex(p, "prp1", le64_to_cpu(cq->prp1), 16);
	print_close(p);

	check_queue(d, check, at, qid, qsize, le64_to_cpu(cq->prp1), attr & NVME_LM_CQ_CONTIGUOUS);
	check_pointers(d, check, ENTRY_AT(at, nvme_lm_state_cq, head), qid, qsize,
		       le16_to_cpu(cq->head), le16_to_cpu(cq->tail));
	if (attr & NVME_LM_CQ_INTERRUPTS && vector >= check->vectors)
		damage_in_state(d, ENTRY_AT(at, nvme_lm_state_cq, attr) + sizeof(__le16),
				"completion queue %u, vector: found %u, expected less than %u",
				qid, vector, check->vectors);
	if (reserved)
		damage_in_state(d, ENTRY_AT(at, nvme_lm_state_cq, attr),
				"completion queue %u, reserved attributes: found %#x, expected 0",
				qid, reserved);
	check_reserved(d, ENTRY_AT(at, nvme_lm_state_cq, rsvd20), cq->rsvd20, sizeof(cq->rsvd20),
		       "completion queue");
}

static struct queue_check queue_check(const struct dump *d, const char *kind)
{
	struct queue_check check = { .kind = kind, .mqes = 0xffff, .vectors = 0x10000 };
	u64 cap = le64_to_cpu(d->stream.hello.cap);

	if (d->is_stream) {
		check.mqes = CAP_MQES(cap);
		check.cqr = cap & CAP_CQR;
		check.vectors = le16_to_cpu(d->stream.hello.msix);
	}
	return check;
}

/* Queues that are there: all, or those that fit in the NVMe state */
static u32 fitting(u64 *left, u32 nr)
{
	u64 fit = *left / sizeof(struct nvme_lm_state_sq);

	static_assert(sizeof(struct nvme_lm_state_sq) == sizeof(struct nvme_lm_state_cq));
	nr = min_t(u64, nr, fit);
	*left -= nr * sizeof(struct nvme_lm_state_sq);
	return nr;
}

static bool take_sqs(struct dump *d, u32 nr, u16 *cqids, struct queues *queues)
{
	struct queue_check check = queue_check(d, "submission queue");
	struct nvme_lm_state_sq sq;
	bool ok = true;
	u32 i;

	print_open(&d->print, "submission_queues", PRINT_LIST);
	for (i = 0; i < nr && ok; i++) {
		ok = state_read(d, &sq, sizeof(sq), "a submission queue");
		if (!ok)
			break;
		take_sq(d, &check, d->state_offset - sizeof(sq), &sq);
		cqids[i] = le16_to_cpu(sq.cqid);
		set_bit(queues->sqs, le16_to_cpu(sq.qid));
	}
	print_close(&d->print);
	return ok;
}

static bool take_cqs(struct dump *d, u32 nr, u8 *cqs)
{
	struct queue_check check = queue_check(d, "completion queue");
	struct nvme_lm_state_cq cq;
	bool ok = true;
	u32 i;

	print_open(&d->print, "completion_queues", PRINT_LIST);
	for (i = 0; i < nr && ok; i++) {
		ok = state_read(d, &cq, sizeof(cq), "a completion queue");
		if (!ok)
			break;
		take_cq(d, &check, d->state_offset - sizeof(cq), &cq);
		set_bit(cqs, le16_to_cpu(cq.qid));
	}
	print_close(&d->print);
	return ok;
}

static bool take_queues(struct dump *d, const struct nvme_lm_state *st, u64 *left,
			struct queues *queues)
{
	u64 sqs_at = d->state_offset;
	u32 nsq = fitting(left, le16_to_cpu(st->niosq));
	u32 ncq = fitting(left, le16_to_cpu(st->niocq));
	u16 *cqids = calloc(nsq + 1, sizeof(*cqids));
	u8 cqs[sizeof(queues->sqs)] = { };
	bool ok;
	u32 i;

	if (!cqids) {
		d->no_memory = true;
		return false;
	}

	queues->nr = nsq + ncq;
	ok = take_sqs(d, nsq, cqids, queues) && take_cqs(d, ncq, cqs);
	for (i = 0; ok && i < nsq; i++)
		if (!has_bit(cqs, cqids[i]))
			damage_in_state(d, sqs_at + i * sizeof(struct nvme_lm_state_sq) +
					offsetof(struct nvme_lm_state_sq, cqid),
					"submission queue, CQID: found %u, expected a completion queue of this state",
					cqids[i]);
	free(cqids);
	return ok;
}

static bool take_nvme(struct dump *d, u64 len, struct queues *queues)
{
	u64 at = d->state_offset, want, left;
	struct print *p = &d->print;
	struct nvme_lm_state st;
	bool ok;

	if (len < sizeof(st)) {
		damage_in_state(d, offsetof(struct nvme_lm_state_header, nvmecss),
				"NVMECSS: found %llu bytes, expected %zu at least", len,
				sizeof(st));
		queues->unknown = true;
		return state_skip(d, len, "the NVMe state");
	}
	if (!state_read(d, &st, sizeof(st), "the NVMe state"))
		return false;

	left = len - sizeof(st);
	print_number(p, "version", le16_to_cpu(st.ver));
	if (le16_to_cpu(st.ver) != NVME_LM_STATE_VERSION) {
		damage_in_state(d, at, "version of the NVMe state: found %u, expected %u",
				le16_to_cpu(st.ver), NVME_LM_STATE_VERSION);
		queues->unknown = true;
		excerpt_all(d, left, "the NVMe state");
		return true;
	}

	print_number(p, "niosq", le16_to_cpu(st.niosq));
	print_number(p, "niocq", le16_to_cpu(st.niocq));
	check_reserved(d, at + offsetof(struct nvme_lm_state, rsvd6), st.rsvd6, sizeof(st.rsvd6),
		       "NVMe state");
	want = sizeof(st) + le16_to_cpu(st.niosq) * sizeof(struct nvme_lm_state_sq) +
	       le16_to_cpu(st.niocq) * sizeof(struct nvme_lm_state_cq);
	if (len != want)
		damage_in_state(d, offsetof(struct nvme_lm_state_header, nvmecss),
				"NVMECSS: found %llu bytes, expected %llu because of NIOSQ %u and NIOCQ %u",
				len, want, le16_to_cpu(st.niosq), le16_to_cpu(st.niocq));

	queues->unknown = len != want;
	ok = take_queues(d, &st, &left, queues);
	return ok && state_skip(d, left, "the NVMe state");
}

/* The UUID says which format it is, where there is one; else it has to say so itself */
static bool is_emulated(const struct dump *d, const void *head, size_t len)
{
	if (d->is_stream && d->stream.hello.cmdset == NVME_LM_CMDSET_TP4159)
		return emulated_is_uuid(d->stream.hello.uuid);
	return emulated_is_magic(head, len);
}

static void take_vendor(struct dump *d, u64 len, const struct queues *queues)
{
	struct print *p = &d->print;
	u8 head[8];

	print_number(p, "length", len);
	if (d->is_stream && d->stream.hello.cmdset == NVME_LM_CMDSET_TP4159)
		print_uuid(p, "uuid", d->stream.hello.uuid);
	if (len < sizeof(head)) {
		print_text(p, "format", "unknown");
		excerpt_all(d, len, "the vendor specific part");
		return;
	}
	if (!state_read(d, head, sizeof(head), "the vendor specific part"))
		return;

	if (is_emulated(d, head, sizeof(head))) {
		print_text(p, "format", "emulated device");
		emulated_dump(d, head, len, queues);
	} else {
		print_text(p, "format", "unknown");
		excerpt(d, head, sizeof(head), len, "the vendor specific part");
	}
}

/* What HELLO says of the parts, and what the header does */
static void check_parts(struct dump *d, u64 nvmecss, u64 vss)
{
	const struct nvme_lm_hello *h = &d->stream.hello;

	if (!nvmecss && !vss)
		damage_in_state(d, offsetof(struct nvme_lm_state_header, nvmecss),
				"NVMECSS and VSS: found 0, expected one of the parts");
	if (!d->is_stream || h->cmdset != NVME_LM_CMDSET_TP4159)
		return;
	if (nvmecss && le16_to_cpu(h->state_ver) == NVME_LM_STATE_VERSION_NONE)
		damage_in_state(d, offsetof(struct nvme_lm_state_header, nvmecss),
				"NVMECSS: found %llu, expected 0 because of HELLO's state_ver",
				nvmecss);
	if (vss && is_zero(h->uuid, sizeof(h->uuid)))
		damage_in_state(d, offsetof(struct nvme_lm_state_header, vss),
				"VSS: found %llu, expected 0 because HELLO has no UUID", vss);
}

static bool container_len(const struct nvme_lm_state_header *h, u64 *len)
{
	u64 dwords;

	return !h->nvmecss[1] && !h->vss[1] &&
	       !__builtin_add_overflow(le64_to_cpu(h->nvmecss[0]), le64_to_cpu(h->vss[0]),
				       &dwords) &&
	       !__builtin_mul_overflow(dwords, (u64)sizeof(__le32), len) &&
	       !__builtin_add_overflow(*len, (u64)sizeof(*h), len);
}

static void print_header(struct print *p, const struct nvme_lm_state_header *h)
{
	print_number(p, "version", le16_to_cpu(h->ver));
	print_flag(p, "suspended", h->csattr & NVME_LM_CSATTR_SUSPENDED);
	print_number(p, "nvmecss", le64_to_cpu(h->nvmecss[0]));
	print_number(p, "vss", le64_to_cpu(h->vss[0]));
}

/* Returns whether the sizes of the parts can be relied on */
static bool check_header(struct dump *d, const struct nvme_lm_state_header *h)
{
	u64 len, want = le64_to_cpu(d->stream.hello.state_len);

	if (h->ver) {
		damage_in_state(d, 0, "version of the controller state: found %u, expected 0",
				le16_to_cpu(h->ver));
		return false;
	}
	if (h->csattr & ~NVME_LM_CSATTR_SUSPENDED)
		damage_in_state(d, offsetof(struct nvme_lm_state_header, csattr),
				"CSATTR, reserved bits: found %#x, expected 0",
				h->csattr & ~(u32)NVME_LM_CSATTR_SUSPENDED);
	check_reserved(d, offsetof(struct nvme_lm_state_header, rsvd3), h->rsvd3, sizeof(h->rsvd3),
		       "controller state");
	if (!container_len(h, &len)) {
		damage_in_state(d, offsetof(struct nvme_lm_state_header, nvmecss),
				"NVMECSS and VSS: found more than 64 bits of bytes, expected less");
		return false;
	}
	if (d->is_stream && len != want) {
		damage_in_state(d, offsetof(struct nvme_lm_state_header, nvmecss),
				"length by NVMECSS and VSS: found %llu bytes, expected HELLO's %llu",
				len, want);
		return false;
	}
	if (!(h->csattr & NVME_LM_CSATTR_SUSPENDED))
		note_in_state(d, offsetof(struct nvme_lm_state_header, csattr),
			      "the controller was not suspended while its state was read");
	return true;
}

static void take_parts(struct dump *d, const struct nvme_lm_state_header *h)
{
	u64 nvmecss = le64_to_cpu(h->nvmecss[0]) * sizeof(__le32);
	u64 vss = le64_to_cpu(h->vss[0]) * sizeof(__le32);
	struct queues *queues = calloc(1, sizeof(*queues));
	bool ok = true;

	if (!queues) {
		d->no_memory = true;
		return;
	}

	queues->suspended = h->csattr & NVME_LM_CSATTR_SUSPENDED;
	check_parts(d, nvmecss, vss);
	if (nvmecss) {
		print_open(&d->print, "nvme", PRINT_GROUP);
		ok = take_nvme(d, nvmecss, queues);
		print_close(&d->print);
	}
	if (ok && vss) {
		print_open(&d->print, "vendor", PRINT_GROUP);
		take_vendor(d, vss, queues);
		print_close(&d->print);
	}
	free(queues);
}

/* The vendor specific set does not say what its bytes are: it has to fit exactly */
static bool is_container(const struct dump *d, const struct nvme_lm_state_header *h)
{
	u64 len;

	return d->stream.hello.cmdset != NVME_LM_CMDSET_VENDOR ||
	       (!h->ver && container_len(h, &len) && len == le64_to_cpu(d->stream.hello.state_len));
}

/* Zeros behind the state are no damage where nothing tells how long the input has to be */
static void check_padding(struct dump *d)
{
	u64 at = d->in.offset, len = 0;
	u8 buf[SZ_4K];
	size_t got;

	do {
		got = input_read(&d->in, buf, sizeof(buf));
		len += got;
		if (is_zero(buf, got) && len <= PADDING_MAX)
			continue;
		damage_at(d, at, "behind the controller state: found %s, expected its end or zeros",
			  is_zero(buf, got) ? "1 MiB of zeros and more" : "bytes");
		return;
	} while (got == sizeof(buf));
	if (len)
		note_in_state(d, at, "%llu bytes of zeros behind the controller state", len);
}

static void take_opaque(struct dump *d, const void *head, size_t known, u64 len)
{
	print_text(&d->print, "format", "unknown");
	print_number(&d->print, "length", len);
	excerpt(d, head, known, len, "the controller state");
}

static void take_state(struct dump *d)
{
	struct nvme_lm_state_header h = { };
	u64 len = le64_to_cpu(d->stream.hello.state_len);
	bool ok;

	if (d->is_stream && len < sizeof(h)) {
		take_opaque(d, "", 0, len);
		return;
	}
	if (!state_read(d, &h, sizeof(h), "the header of the controller state"))
		return;
	if (d->is_stream && !is_container(d, &h)) {
		take_opaque(d, &h, sizeof(h), len);
		return;
	}

	print_header(&d->print, &h);
	ok = check_header(d, &h) && container_len(&h, &d->state_len);
	if (ok)
		take_parts(d, &h);
	if (!d->is_stream && ok && !d->cut_short)
		check_padding(d);
}

void state_dump(struct dump *d)
{
	print_open(&d->print, "state", PRINT_GROUP);
	take_state(d);
	print_close(&d->print);
}
