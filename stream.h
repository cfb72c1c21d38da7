/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_STREAM_H
#define NVMEVF_STREAM_H

#include <linux/types.h>

#include "nvme_lm_stream.h"
#include "refusal.h"

/* Bytes of a HELLO record */
#define NVMEVF_HELLO_LEN	(sizeof(struct nvme_lm_rec) + sizeof(struct nvme_lm_hello))

/**
 * enum nvmevf_stage - next step in a stream
 * @NVMEVF_STAGE_PRECOPY: save: HELLOs, until the VF is stopped; load: not used
 * @NVMEVF_STAGE_RECORD: load: the head of a record; save: not used
 * @NVMEVF_STAGE_HELLO: HELLO's payload; save: the whole record
 * @NVMEVF_STAGE_CHECK: load: HELLO has arrived, and has to be compared with this VF
 * @NVMEVF_STAGE_PIECE: load: the head of STATE's payload
 * @NVMEVF_STAGE_DATA: controller state; save: a whole STATE record
 * @NVMEVF_STAGE_SKIP: load: payload of an unknown record
 * @NVMEVF_STAGE_END: END's payload; save: the whole record
 * @NVMEVF_STAGE_COMMIT: load: END is correct, and the device gets the last piece
 * @NVMEVF_STAGE_DONE: the stream is complete
 */
enum nvmevf_stage {
	NVMEVF_STAGE_PRECOPY,
	NVMEVF_STAGE_RECORD,
	NVMEVF_STAGE_HELLO,
	NVMEVF_STAGE_CHECK,
	NVMEVF_STAGE_PIECE,
	NVMEVF_STAGE_DATA,
	NVMEVF_STAGE_SKIP,
	NVMEVF_STAGE_END,
	NVMEVF_STAGE_COMMIT,
	NVMEVF_STAGE_DONE,
};

/**
 * struct nvmevf_stream - a stream made by a save, or parsed by a load
 * @stage: next step
 * @records: number of records begun
 * @tag: tag of the last record
 * @rec_len: bytes of its payload
 * @hello_seen: load: a HELLO was accepted
 * @crc: running CRC32C
 * @total: bytes of controller state
 * @offset: save: bytes of state in records so far; load: bytes of state that arrived
 * @sent: load: bytes of state sent to the device
 * @extra: load: bytes of HELLOs and of skipped records
 * @rec_left: load: payload bytes of the record still to come
 * @data: memory for controller state in transit
 * @size: bytes of @data
 * @data_len: save: bytes of @data to be read after @head
 * @head_len: bytes in @head; save: to be read; load: arrived so far
 * @head: record head and payload other than controller state
 * @refusal: load: why the stream is refused
 */
struct nvmevf_stream {
	enum nvmevf_stage stage;
	unsigned int records;
	u32 tag;
	u64 rec_len;
	bool hello_seen;
	u32 crc;
	u64 total;
	u64 offset;
	u64 sent;
	u64 extra;
	u64 rec_left;
	void *data;
	size_t size;
	size_t data_len;
	size_t head_len;
	u8 head[NVMEVF_HELLO_LEN] __aligned(8);
	struct nvmevf_refusal refusal;
};

u64 nvmevf_stream_size(u64 state_len, size_t piece);
void nvmevf_stream_make_hello(struct nvmevf_stream *st, const struct nvme_lm_hello *hello);
size_t nvmevf_stream_piece_len(const struct nvmevf_stream *st);
void nvmevf_stream_make_piece(struct nvmevf_stream *st);
void nvmevf_stream_make_end(struct nvmevf_stream *st);
bool nvmevf_stream_full(const struct nvmevf_stream *st);
void *nvmevf_stream_room(struct nvmevf_stream *st, size_t *len);
int nvmevf_stream_take(struct nvmevf_stream *st, size_t len);
void nvmevf_stream_accept_hello(struct nvmevf_stream *st);

#endif /* NVMEVF_STREAM_H */
