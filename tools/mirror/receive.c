// SPDX-License-Identifier: GPL-2.0-only
/*
 * nvme-lm-mirror receive: the side that writes. It trusts nothing that the sender says.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "checksum.h"
#include "receive.h"

/* Four times what a sender should make of it, since a range is sent as several extents */
#define EXTENTS_MAX	(4 * WIRE_EXTENTS_MAX)

/**
 * struct extent - written since the last SYNC
 * @disk: index
 * @zero: it is zeros
 * @offset: bytes
 * @len: bytes
 */
struct extent {
	u32 disk;
	bool zero;
	u64 offset;
	u64 len;
};

/**
 * struct receiver - one run of the program
 * @disks: what is written
 * @nr: how many
 * @o: options
 * @channel: connection
 * @checksum: of what is on the disks
 * @buf: of a message, and of what is read back
 * @extents: written since the last SYNC
 * @nr_extents: how many
 * @session: of the sender
 * @bound: there is a session
 * @serving: the connection is that session's
 * @dry: the connection is not for writing
 * @final: everything is on the disks
 * @written: bytes
 */
struct receiver {
	struct disk *disks;
	u32 nr;
	const struct receive_options *o;
	struct channel channel;
	struct checksum checksum;
	u8 *buf;
	struct extent *extents;
	u32 nr_extents;
	u8 session[16];
	bool bound;
	bool serving;
	bool dry;
	bool final;
	u64 written;
};

/* The sender breaks the rules. The connection ends, and nothing else does. */
static int broken(struct receiver *r, const char *what)
{
	report("peer", "the sender does not keep to the protocol: %s", what);
	channel_refuse(&r->channel, what);
	return -EPROTO;
}

static int disk_failed(const struct disk *d, const char *what, int error)
{
	return fail(MIRROR_FAILED, "namespace %u: %s: %s: %s", d->nsid, d->path, what,
		    strerror(-error));
}

static int answer(struct receiver *r, u16 type, u16 flags, const void *data, u32 len)
{
	struct wire_head head = {
		.magic = htole32(WIRE_MAGIC),
		.type = htole16(type),
		.flags = htole16(flags),
		.len = htole32(len),
	};

	return channel_send(&r->channel, &head, data);
}

static struct disk *find_disk(struct receiver *r, u32 nsid)
{
	for (u32 i = 0; i < r->nr; i++) {
		if (r->disks[i].nsid == nsid)
			return &r->disks[i];
	}
	return NULL;
}

__printf(2, 3) static int do_not_fit(struct receiver *r, const char *fmt, ...)
{
	char text[WIRE_TEXT_MAX + 1];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	report("refused", "%s", text);
	channel_refuse(&r->channel, text);
	return -EPROTO;
}

static int check_namespace(struct receiver *r, const struct wire_namespace *n)
{
	const struct disk *d = find_disk(r, le32_to_cpu(n->nsid));

	if (!d)
		return do_not_fit(r, "namespace %u is not at the destination",
				  le32_to_cpu(n->nsid));
	if (le64_to_cpu(n->size) != d->size)
		return do_not_fit(r, "namespace %u has %llu bytes, and %llu at the source", d->nsid,
				  (unsigned long long)d->size,
				  (unsigned long long)le64_to_cpu(n->size));
	if (le32_to_cpu(n->lba_size) != d->lba_size)
		return do_not_fit(r, "namespace %u has blocks of %u bytes, and of %u at the source",
				  d->nsid, d->lba_size, le32_to_cpu(n->lba_size));
	return 0;
}

static int check_namespaces(struct receiver *r, const struct wire_namespace *list, u32 nr)
{
	int ret;

	for (u32 i = 0; i < nr; i++) {
		for (u32 j = 0; j < i; j++) {
			if (list[i].nsid == list[j].nsid)
				return broken(r, "a namespace twice");
		}
		ret = check_namespace(r, &list[i]);
		if (ret)
			return ret;
	}
	if (nr != r->nr)
		return do_not_fit(r, "the source has %u namespaces, and the destination %u", nr,
				  r->nr);
	return 0;
}

static int check_session(struct receiver *r, const struct wire_hello *hello, bool *resumed)
{
	*resumed = r->bound && !memcmp(r->session, hello->session, sizeof(r->session));
	if (r->bound && !*resumed) {
		report("refused", "another sender came while one is at work");
		channel_refuse(&r->channel, "the receiver works for another sender");
		return -EPROTO;
	}
	if (!r->dry) {
		memcpy(r->session, hello->session, sizeof(r->session));
		r->bound = true;
		r->serving = true;
	}
	return 0;
}

static int check_hello(struct receiver *r, const struct wire_head *head)
{
	const struct wire_hello *hello = (void *)r->buf;
	u32 len = le32_to_cpu(head->len), nr;

	if (le16_to_cpu(head->type) != WIRE_HELLO || len < sizeof(*hello))
		return broken(r, "it does not begin with HELLO");
	if (le32_to_cpu(hello->version) != WIRE_VERSION)
		return do_not_fit(r, "the protocol has version %u, and %u at the source",
				  WIRE_VERSION, le32_to_cpu(hello->version));
	len -= sizeof(*hello);
	nr = len / sizeof(struct wire_namespace);
	if (len % sizeof(struct wire_namespace) || !nr || nr > WIRE_NAMESPACES_MAX)
		return broken(r, "the length of HELLO");
	return check_namespaces(r, (void *)(hello + 1), nr);
}

static int greet(struct receiver *r)
{
	struct wire_head head;
	bool resumed;
	int ret = channel_receive(&r->channel, &head, r->buf, WIRE_DATA_MAX);

	if (ret)
		return ret;
	ret = check_hello(r, &head);
	if (ret)
		return ret;
	r->dry = le16_to_cpu(head.flags) & WIRE_DRY;
	ret = check_session(r, (void *)r->buf, &resumed);
	if (ret)
		return ret;

	r->nr_extents = 0;
	checksum_reset(&r->checksum);
	channel_limit(&r->channel, 0);
	report("connected", resumed ? "the sender is back" :
			    r->dry  ? "a sender measures" :
				      "a sender is connected");
	return answer(r, WIRE_WELCOME, resumed ? WIRE_RESUMED : 0, NULL, 0);
}

/* What is to be written: its disk, or NULL if it is none */
static struct disk *check_extent(struct receiver *r, const struct wire_head *head)
{
	struct disk *d = find_disk(r, le32_to_cpu(head->nsid));
	u64 offset = le64_to_cpu(head->offset), count = le64_to_cpu(head->count);
	bool write = le16_to_cpu(head->type) == WIRE_WRITE;

	if (!d || r->dry || r->final || r->nr_extents == EXTENTS_MAX)
		return NULL;
	if (!count || count > d->size || offset > d->size - count || offset % d->lba_size ||
	    count % d->lba_size)
		return NULL;
	return le32_to_cpu(head->len) == (write ? count : 0) ? d : NULL;
}

static int do_extent(struct receiver *r, const struct wire_head *head)
{
	u64 offset = le64_to_cpu(head->offset), count = le64_to_cpu(head->count);
	bool zero = le16_to_cpu(head->type) == WIRE_ZERO;
	struct disk *d = check_extent(r, head);
	int ret;

	if (!d)
		return broken(r, "an extent that cannot be written");
	ret = zero ? disk_zero(d, offset, count) : disk_write(d, r->buf, count, offset);
	if (ret)
		return disk_failed(d, zero ? "zeros" : "write", ret);

	r->written += count;
	r->extents[r->nr_extents++] = (struct extent){
		.disk = d - r->disks,
		.zero = zero,
		.offset = offset,
		.len = count,
	};
	return 0;
}

static int read_zeros(struct receiver *r, const struct disk *d, const struct extent *e)
{
	int ret = disk_is_zero(d, e->offset, e->len, r->buf, WIRE_DATA_MAX);

	if (ret < 0)
		return disk_failed(d, "read", ret);
	if (!ret)
		return fail(MIRROR_FAILED, "namespace %u: %s does not read as zeros at %llu",
			    d->nsid, d->path, (unsigned long long)e->offset);
	checksum_extent(&r->checksum, d->nsid, e->offset, e->len, NULL);
	return 0;
}

static int read_back(struct receiver *r, const struct extent *e)
{
	const struct disk *d = &r->disks[e->disk];
	int ret;

	if (e->zero)
		return read_zeros(r, d, e);
	ret = disk_read(d, r->buf, e->len, e->offset);
	if (ret)
		return disk_failed(d, "read", ret);
	checksum_extent(&r->checksum, d->nsid, e->offset, e->len, r->buf);
	return 0;
}

static int flush(struct receiver *r)
{
	int ret;

	for (u32 i = 0; i < r->nr; i++) {
		ret = disk_flush(&r->disks[i]);
		if (ret)
			return disk_failed(&r->disks[i], "flush", ret);
	}
	return 0;
}

static int verify(struct receiver *r, struct wire_synced *synced)
{
	int ret;

	checksum_reset(&r->checksum);
	for (u32 i = 0; i < r->nr_extents; i++) {
		ret = read_back(r, &r->extents[i]);
		if (ret)
			return ret;
	}
	checksum_get(&r->checksum, synced->checksum);
	return 0;
}

static void close_disks(struct receiver *r)
{
	for (u32 i = 0; i < r->nr; i++)
		disk_close(&r->disks[i]);
}

static int do_sync(struct receiver *r, const struct wire_head *head)
{
	u16 flags = le16_to_cpu(head->flags);
	struct wire_synced synced = { };
	int ret;

	if (r->final || head->len)
		return broken(r, "a SYNC that cannot be");
	ret = flush(r);
	if (!ret && flags & WIRE_VERIFY)
		ret = verify(r, &synced);
	if (ret)
		return ret;

	r->nr_extents = 0;
	if (flags & WIRE_FINAL && !r->dry) {
		close_disks(r);
		r->final = true;
		report_numbers("final", "everything is on the disks", "written", r->written, NULL);
	}
	return answer(r, WIRE_SYNCED, 0, &synced, sizeof(synced));
}

static int sender_refused(struct receiver *r, const struct wire_head *head)
{
	u32 len = min_t(u32, le32_to_cpu(head->len), WIRE_TEXT_MAX);

	if (r->dry)
		return broken(r, "REFUSE");
	for (u32 i = 0; i < len; i++) {
		if (r->buf[i] < ' ' || r->buf[i] > '~')
			r->buf[i] = '?';
	}
	return fail(MIRROR_FAILED, "the sender gave up: %.*s", (int)len, (char *)r->buf);
}

static int do_message(struct receiver *r, const struct wire_head *head)
{
	switch (le16_to_cpu(head->type)) {
	case WIRE_WRITE:
	case WIRE_ZERO:
		return do_extent(r, head);
	case WIRE_SYNC:
		return do_sync(r, head);
	case WIRE_PROBE:
		return r->dry ? 0 : broken(r, "a PROBE");
	case WIRE_REFUSE:
		return sender_refused(r, head);
	case WIRE_DONE:
		return r->final || r->dry ? 1 : broken(r, "DONE too early");
	default:
		return broken(r, "a message of an unknown type");
	}
}

/* Returns 1 when it is complete, 0 when the connection ended, or the result of fail() */
static int serve(struct receiver *r)
{
	struct wire_head head;
	int ret;

	r->dry = false;
	r->serving = false;
	ret = greet(r);
	while (!ret) {
		ret = channel_receive(&r->channel, &head, r->buf, WIRE_DATA_MAX);
		if (!ret)
			ret = do_message(r, &head);
	}
	if (ret == -EPERM)
		channel_refuse(&r->channel, fail_reason());
	else if (ret < 0 && *r->channel.why)
		report("disconnected", "%s", r->channel.why);
	channel_close(&r->channel);
	if (ret == 1)
		return !r->dry;
	return ret == -EPERM ? ret : 0;
}

/* One connection; as serve() */
static int wait_and_serve(struct receiver *r, int listener, u64 *until)
{
	u64 now = now_ms();
	int ret;

	if (r->bound && now >= *until)
		return fail(MIRROR_FAILED,
			    "the sender did not come back: what is on the disks is not complete");
	ret = channel_accept(&r->channel, listener, r->o->tls, r->bound ? (int)(*until - now) : -1);
	if (ret == -ENOTCONN) {
		report("peer", "a connection failed: %s", r->channel.why);
		return 0;
	}
	if (ret)
		return 0;

	ret = serve(r);
	if (r->serving)
		*until = now_ms() + r->o->reconnect * 1000ULL;
	return ret;
}

static int listen_and_serve(struct receiver *r)
{
	u64 until = 0;
	u16 port;
	int listener = channel_listen(r->o->listen, &port), ret = 0;

	if (listener < 0)
		return listener;
	report_numbers("listening", "", "port", (u64)port, NULL);

	/* when the disks are closed, the sender's DONE is only for the record */
	while (!ret && !r->final)
		ret = interrupted() ? fail(MIRROR_FAILED, "interrupted") :
				      wait_and_serve(r, listener, &until);
	close(listener);
	return ret < 0 ? ret : 0;
}

int receive(struct disk *disks, u32 nr, const struct receive_options *o)
{
	struct receiver r = { .disks = disks, .nr = nr, .o = o };
	int ret = checksum_init(&r.checksum);

	r.extents = calloc(EXTENTS_MAX, sizeof(*r.extents));
	r.buf = aligned_alloc(DISK_ALIGN, WIRE_DATA_MAX + DISK_ALIGN);
	if (ret || !r.extents || !r.buf)
		ret = fail(MIRROR_FAILED, "no memory");
	else
		ret = listen_and_serve(&r);

	close_disks(&r);
	free(r.buf);
	free(r.extents);
	checksum_free(&r.checksum);
	return ret;
}
