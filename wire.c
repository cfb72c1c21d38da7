// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a device returned: status codes, lists, controller states. Nothing here accesses a
 * device.
 */

#include <kunit/visibility.h>
#include <linux/blkdev.h>
#include <linux/bsearch.h>
#include <linux/export.h>
#include <linux/nvme.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/unaligned.h>
#include <linux/uuid.h>

#include "lm.h"
#include "nvme.h"
#include "refusal.h"
#include "wire.h"

struct nvmevf_status_errno {
	u16 status;
	int err;
};

static const struct nvmevf_status_errno nvmevf_errnos[] = {
	{ NVME_SC_INVALID_OPCODE,		-EOPNOTSUPP },
	{ NVME_SC_INVALID_FIELD,		-EINVAL },
	{ NVME_SC_CMD_SEQ_ERROR,		-EPROTO },
	{ NVME_SC_CTRL_ID_INVALID,		-ENXIO },
	{ NVME_SC_NOT_ENOUGH_RESOURCES,	-ENOSPC },
	{ NVME_SC_CTRL_SUSPENDED,			-EBUSY },
	{ NVME_SC_CTRL_NOT_SUSPENDED,		-EREMOTEIO },
};

/**
 * nvmevf_status_to_errno - convert an NVMe status for the user
 * @status: SCT and SC
 *
 * Return: a negative errno for any status.
 */
int nvmevf_status_to_errno(u16 status)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nvmevf_errnos); i++)
		if (nvmevf_errnos[i].status == status)
			return nvmevf_errnos[i].err;

	return -EIO;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_status_to_errno);

/**
 * nvmevf_answer_error - interpret the answer to a command
 * @status: the NVMe status from the completion, or made up by the host
 * @cancelled: the nvme driver ended the command, not the device
 * @err: the status of the block layer
 *
 * Return: 0, or an NVMe status (SCT and SC, greater than 0), or a negative errno:
 * -ENOTCONN if the device never answered.
 */
int nvmevf_answer_error(u16 status, bool cancelled, blk_status_t err)
{
	status &= NVME_SCT_SC_MASK;

	if (cancelled || status == NVME_SC_HOST_PATH_ERROR || status == NVME_SC_HOST_ABORTED_CMD)
		return -ENOTCONN;

	return status ?: blk_status_to_errno(err);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_answer_error);

/**
 * nvmevf_container_len - compute the length of a controller state: Fig 358
 * @hdr: its head; each size in it is a 128-bit number of dwords
 * @len: bytes of the whole state, including the head
 *
 * Return: whether the version is known and the sizes are possible.
 */
bool nvmevf_container_len(const struct nvme_lm_state_header *hdr, u64 *len)
{
	u64 nvmecss = le64_to_cpu(hdr->nvmecss[0]), vss = le64_to_cpu(hdr->vss[0]), dwords;

	return !hdr->ver && !hdr->nvmecss[1] && !hdr->vss[1] &&
	       !check_add_overflow(nvmecss, vss, &dwords) &&
	       !check_mul_overflow(dwords, (u64)sizeof(__le32), len) &&
	       !check_add_overflow(*len, (u64)sizeof(*hdr), len);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_container_len);

/**
 * nvmevf_state_queues - find the queues in a controller state: Fig 358 and 359
 * @state: the state, from its beginning on
 * @len: bytes available of it; they may end before the queues do
 * @q: the queues found
 *
 * Return: 0, or -EPROTO if the version is not known or the sizes contradict the
 * numbers of queues.
 */
int nvmevf_state_queues(const void *state, size_t len, struct nvmevf_queues *q)
{
	const struct nvme_lm_state_header *hdr = state;
	const struct nvme_lm_state *st = state + sizeof(*hdr);
	u64 total;

	if (len < sizeof(*hdr) + sizeof(*st) || !nvmevf_container_len(hdr, &total) || st->ver)
		return -EPROTO;

	q->nsq = le16_to_cpu(st->niosq);
	q->ncq = le16_to_cpu(st->niocq);
	q->sq = (const void *)(st + 1);
	q->cq = (const void *)(q->sq + q->nsq);
	q->end = (const void *)(q->cq + q->ncq) - state;

	/* the total length did not overflow, so this does not either */
	if (le64_to_cpu(hdr->nvmecss[0]) * sizeof(__le32) != q->end - sizeof(*hdr))
		return -EPROTO;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_state_queues);

/**
 * nvmevf_queues_parse - find the completion queues of a VF in memory: Fig 358 to 361
 * @state: controller state, from its beginning on
 * @len: bytes of it; the vendor specific part is ignored
 * @cqe_size: bytes of an entry, CC.IOCQES
 * @cqs: the memory of each queue
 * @max: number of queues that @cqs has room for
 *
 * Return: number of queues; -EPROTO if they cannot be found, for example because a
 * queue is not contiguous, so that its addresses are in memory of the guest; -ENOSPC.
 */
int nvmevf_queues_parse(const void *state, size_t len, u32 cqe_size, struct nvmevf_range *cqs,
			unsigned int max)
{
	const struct nvme_lm_state_cq *cq;
	struct nvmevf_queues q;
	unsigned int i;

	if (nvmevf_state_queues(state, len, &q) || q.end > len)
		return -EPROTO;
	if (q.ncq > max)
		return -ENOSPC;

	for (i = 0, cq = q.cq; i < q.ncq; i++, cq++) {
		if (!(le32_to_cpu(cq->attr) & NVME_LM_CQ_CONTIGUOUS))
			return -EPROTO;
		cqs[i].first = le64_to_cpu(cq->prp1);
		if (check_add_overflow(cqs[i].first,
				       (le16_to_cpu(cq->qsize) + 1) * (u64)cqe_size - 1,
				       &cqs[i].last))
			return -EPROTO;
	}

	return q.ncq;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_queues_parse);

/* Common attributes of both kinds of queues */
struct nvmevf_queue {
	char kind;
	u16 qid;
	u16 qsize;
	u16 head;
	u16 tail;
	bool contiguous;
};

static int nvmevf_queue_check(struct nvmevf_refusal *refusal, u64 cap,
			      const struct nvmevf_queue *q, u16 last_qid)
{
	if (q->qid <= last_qid)
		return nvmevf_refuse(refusal, -EPROTO,
				     "controller state: %cQ %u follows %u", q->kind,
				     q->qid, last_qid);
	if (!q->qsize || q->qsize > NVME_CAP_MQES(cap))
		return nvmevf_refuse(refusal, -EPROTO,
				     "controller state: %cQ %u has %u entries, must have 2 to %u",
				     q->kind, q->qid, q->qsize + 1,
				     (unsigned int)NVME_CAP_MQES(cap) + 1);
	if (q->head > q->qsize || q->tail > q->qsize)
		return nvmevf_refuse(refusal, -EPROTO,
				     "controller state: %cQ %u of %u entries has head %u and tail %u",
				     q->kind, q->qid, q->qsize + 1, q->head, q->tail);
	if (!q->contiguous && NVMEVF_CAP_CQR(cap))
		return nvmevf_refuse(refusal, -EPROTO, "controller state: %cQ %u is not contiguous",
				     q->kind, q->qid);
	return 0;
}

static int nvmevf_sq_check(struct nvmevf_refusal *refusal, u64 cap,
			   const struct nvme_lm_state_sq *sq, u16 last_qid)
{
	const struct nvmevf_queue q = {
		.kind = 'S',
		.qid = le16_to_cpu(sq->qid),
		.qsize = le16_to_cpu(sq->qsize),
		.head = le16_to_cpu(sq->head),
		.tail = le16_to_cpu(sq->tail),
		.contiguous = le16_to_cpu(sq->attr) & NVME_LM_SQ_CONTIGUOUS,
	};

	return nvmevf_queue_check(refusal, cap, &q, last_qid);
}

static int nvmevf_cq_check(struct nvmevf_refusal *refusal, u64 cap,
			   const struct nvme_lm_state_cq *cq, u16 last_qid)
{
	const struct nvmevf_queue q = {
		.kind = 'C',
		.qid = le16_to_cpu(cq->qid),
		.qsize = le16_to_cpu(cq->qsize),
		.head = le16_to_cpu(cq->head),
		.tail = le16_to_cpu(cq->tail),
		.contiguous = le32_to_cpu(cq->attr) & NVME_LM_CQ_CONTIGUOUS,
	};

	return nvmevf_queue_check(refusal, cap, &q, last_qid);
}

static int nvmevf_cq_cmp(const void *key, const void *cq)
{
	return (int)*(const u16 *)key - le16_to_cpu(((const struct nvme_lm_state_cq *)cq)->qid);
}

/* All completion queues before @end, each on its own */
static int nvmevf_cqs_check(struct nvmevf_refusal *refusal, u64 cap, const struct nvmevf_queues *q,
			    const void *end)
{
	const struct nvme_lm_state_cq *cq = q->cq;
	u16 last = 0;
	int ret = 0;

	for (; !ret && cq < q->cq + q->ncq && (void *)(cq + 1) <= end; cq++) {
		ret = nvmevf_cq_check(refusal, cap, cq, last);
		last = le16_to_cpu(cq->qid);
	}

	return ret;
}

/* All submission queues before @end; each needs its completion queue */
static int nvmevf_sqs_check(struct nvmevf_refusal *refusal, u64 cap, const struct nvmevf_queues *q,
			    const void *state, const void *end)
{
	const struct nvme_lm_state_sq *sq = q->sq;
	u16 last = 0, cqid;
	int ret;

	for (; sq < q->sq + q->nsq && (void *)(sq + 1) <= end; sq++) {
		ret = nvmevf_sq_check(refusal, cap, sq, last);
		if (ret)
			return ret;

		last = le16_to_cpu(sq->qid);
		cqid = le16_to_cpu(sq->cqid);
		if (state + q->end <= end &&
		    !bsearch(&cqid, q->cq, q->ncq, sizeof(*q->cq), nvmevf_cq_cmp))
			return nvmevf_refuse(refusal, -EPROTO,
					     "controller state: SQ %u lacks its CQ %u",
					     last, cqid);
	}

	return 0;
}

/**
 * nvmevf_state_check - check that the NVMe Controller State makes sense: Fig 359 to 361
 * @refusal: gets the reason if it does not
 * @state: the controller state, or the first piece of it
 * @len: bytes of @state
 * @lm: the VF to load it into
 *
 * Queues after the first piece, and everything else, are left for the device to check.
 *
 * Context: The caller holds the lock that protects @lm.
 * Return: 0, or -EPROTO with the reason in @refusal.
 */
int nvmevf_state_check(struct nvmevf_refusal *refusal, const void *state, size_t len,
		       const struct nvmevf_lm *lm)
{
	u64 cap = le64_to_cpu(lm->hello.cap);
	struct nvmevf_queues q;
	int ret;

	if (lm->hello.cmdset != NVME_LM_CMDSET_TP4159)
		return 0;
	if (nvmevf_state_queues(state, len, &q))
		return nvmevf_refuse(refusal, -EPROTO,
				     "version or size of the NVMe Controller State is wrong");

	ret = nvmevf_cqs_check(refusal, cap, &q, state + len);
	return ret ?: nvmevf_sqs_check(refusal, cap, &q, state, state + len);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_state_check);

/**
 * nvmevf_is_identity - whether Identify data is that of a certain PF
 * @id: Identify Controller data
 * @vid: PCI Vendor ID of the PF
 * @ssvid: PCI Subsystem Vendor ID of the PF
 * @cntlid: controller id of the PF
 *
 * Return: true if it is.
 */
bool nvmevf_is_identity(const struct nvme_id_ctrl *id, u16 vid, u16 ssvid, u16 cntlid)
{
	return le16_to_cpu(id->vid) == vid && le16_to_cpu(id->ssvid) == ssvid &&
	       le16_to_cpu(id->cntlid) == cntlid;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_is_identity);

/**
 * nvmevf_has_hmlms - whether a controller can migrate others: Fig 312
 * @id: its Identify Controller data
 *
 * Return: true if it supports host managed live migration.
 */
bool nvmevf_has_hmlms(const struct nvme_id_ctrl *id)
{
	return le16_to_cpu(id->oacs) & NVME_CTRL_OACS_HMLMS;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_has_hmlms);

static u8 nvmevf_find_version(const struct nvme_lm_state_formats *f, u16 version)
{
	unsigned int i;

	for (i = 0; i < f->nv; i++)
		if (get_unaligned_le16(&f->entries[i * sizeof(__le16)]) == version)
			return i + 1;

	return 0;
}

static u8 nvmevf_first_uuid(const uuid_t *uuids, u8 nuuid)
{
	unsigned int i;

	for (i = 0; i < nuuid; i++)
		if (!uuid_is_null(&uuids[i]))
			return i + 1;

	return 0;
}

/**
 * nvmevf_parse_formats - find the formats to save with: Fig 329
 * @lm: the VF; gets @csvi, @csuuidi, @nuuid and @uuids
 * @f: the formats that the device lists; their indexes count from 1
 *
 * Context: Process; sleeps.
 * Return: 0; -EPROTO if the list does not fit in its own 4096 bytes; -ENOMEM.
 */
int nvmevf_parse_formats(struct nvmevf_lm *lm, const struct nvme_lm_state_formats *f)
{
	size_t uuids = f->nv * sizeof(__le16), len = f->nuuid * sizeof(uuid_t);

	if (uuids + len > sizeof(f->entries))
		return -EPROTO;

	lm->csvi = nvmevf_find_version(f, NVME_LM_STATE_VERSION);
	if (!len)
		return 0;

	lm->uuids = kmemdup(&f->entries[uuids], len, GFP_KERNEL);
	if (!lm->uuids)
		return -ENOMEM;

	lm->nuuid = f->nuuid;
	lm->csuuidi = nvmevf_first_uuid(lm->uuids, lm->nuuid);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_parse_formats);

/**
 * nvmevf_io_queues_only - whether the state of a VF lacks its admin queue
 * @lm: the VF
 *
 * A VMM that keeps the admin queue to itself enables the VF before it begins to
 * load. If the VF has I/O queues, the device itself refuses a state with I/O queues.
 *
 * Return: true if the device has no vendor specific format of the state.
 */
bool nvmevf_io_queues_only(const struct nvmevf_lm *lm)
{
	return lm->ops->cmdset == NVME_LM_CMDSET_TP4159 && !lm->csuuidi;
}

/**
 * nvmevf_next_secondary - find the start of the next page of a Secondary Controller List
 * @list: this page
 * @cntid: lowest controller id that was asked for in this page
 *
 * Return: lowest controller id to ask for next, or -ENXIO at the end.
 */
int nvmevf_next_secondary(const struct nvme_lm_secondary_list *list, u16 cntid)
{
	u16 last = le16_to_cpu(list->entry[NVME_LM_SECONDARY_MAX - 1].scid);

	if (list->nument < NVME_LM_SECONDARY_MAX)
		return -ENXIO;
	/* ids ascend: otherwise the device would be asked forever */
	if (last < cntid || last == U16_MAX)
		return -ENXIO;

	return last + 1;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_next_secondary);
