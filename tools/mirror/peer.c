// SPDX-License-Identifier: GPL-2.0-only
/*
 * The receiver, as the sender sees it.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "peer.h"

/* A receiver may have to notice first that the last connection is gone */
#define WELCOME_MS	30000

int peer_init(struct peer *p, const struct disk *disks, u32 nr, const struct send_options *o)
{
	*p = (struct peer){ .o = o, .disks = disks, .nr = nr, .channel.fd = -1 };
	if (checksum_init(&p->checksum))
		return fail(MIRROR_FAILED, "no memory");
	if (getrandom(p->session, sizeof(p->session), 0) != sizeof(p->session))
		return fail(MIRROR_FAILED, "no random numbers: %s", strerror(errno));
	return 0;
}

void peer_disconnect(struct peer *p)
{
	p->sent_before += p->channel.sent;
	p->channel.sent = 0;
	channel_close(&p->channel);
}

void peer_free(struct peer *p)
{
	peer_disconnect(p);
	checksum_free(&p->checksum);
}

static int result(struct peer *p, int ret)
{
	if (ret == -EPROTO)
		return fail(MIRROR_REFUSED, "%s: %s", p->o->address, p->channel.why);
	if (ret == -EINTR)
		return fail(MIRROR_FAILED, "interrupted");
	return ret;
}

static int send_message(struct peer *p, struct wire_head head, const void *data)
{
	head.magic = htole32(WIRE_MAGIC);
	return result(p, channel_send(&p->channel, &head, data));
}

/* Its text, which goes to a terminal */
static int refused(struct peer *p, u32 len)
{
	for (u32 i = 0; i < len; i++) {
		if (p->buf[i] < ' ' || p->buf[i] > '~')
			p->buf[i] = '?';
	}
	return fail(MIRROR_REFUSED, "the receiver refuses: %.*s",
		    (int)min_t(u32, len, WIRE_TEXT_MAX), (char *)p->buf);
}

static int receive_message(struct peer *p, u16 type, u32 len, struct wire_head *head)
{
	int ret = result(p, channel_receive(&p->channel, head, p->buf, sizeof(p->buf)));

	if (ret)
		return ret;
	if (le16_to_cpu(head->type) == WIRE_REFUSE)
		return refused(p, le32_to_cpu(head->len));
	if (le16_to_cpu(head->type) != type || le32_to_cpu(head->len) != len)
		return fail(MIRROR_FAILED, "the receiver does not keep to the protocol");
	return 0;
}

static void forget(struct peer *p)
{
	p->waiting = false;
	p->extents = 0;
	p->bytes = 0;
	checksum_reset(&p->checksum);
}

static int send_hello(struct peer *p, u16 flags)
{
	u32 len = sizeof(struct wire_hello) + p->nr * sizeof(struct wire_namespace);
	struct wire_hello *hello = calloc(1, len);
	struct wire_namespace *n = (void *)(hello + 1);
	int ret;

	if (!hello)
		return fail(MIRROR_FAILED, "no memory");

	hello->version = htole32(WIRE_VERSION);
	memcpy(hello->session, p->session, sizeof(hello->session));
	for (u32 i = 0; i < p->nr; i++) {
		n[i].nsid = htole32(p->disks[i].nsid);
		n[i].lba_size = htole32(p->disks[i].lba_size);
		n[i].size = htole64(p->disks[i].size);
	}
	ret = send_message(p, (struct wire_head){
		.type = htole16(WIRE_HELLO),
		.flags = htole16(flags),
		.len = htole32(len),
	}, hello);
	free(hello);
	return ret;
}

int peer_connect(struct peer *p, u16 flags)
{
	struct wire_head head;
	int ret;

	forget(p);
	ret = result(p, channel_connect(&p->channel, p->o->address, p->o->tls, p->o->tls_name));
	if (ret)
		return ret;
	channel_limit(&p->channel, WELCOME_MS);
	ret = send_hello(p, flags);
	ret = ret ?: receive_message(p, WIRE_WELCOME, 0, &head);
	if (ret)
		return ret;
	channel_limit(&p->channel, 0);
	return !!(le16_to_cpu(head.flags) & WIRE_RESUMED);
}

int peer_extent(struct peer *p, u32 nsid, u64 offset, u64 len, const void *data)
{
	checksum_extent(&p->checksum, nsid, offset, len, data);
	p->extents++;
	p->bytes += len;
	p->copied += len;
	return send_message(p, (struct wire_head){
		.type = htole16(data ? WIRE_WRITE : WIRE_ZERO),
		.nsid = htole32(nsid),
		.len = htole32(data ? len : 0),
		.offset = htole64(offset),
		.count = htole64(len),
	}, data);
}

int peer_probe(struct peer *p, const void *data, u32 len)
{
	return send_message(p, (struct wire_head){
		.type = htole16(WIRE_PROBE),
		.len = htole32(len),
	}, data);
}

int peer_sync(struct peer *p, u16 flags)
{
	p->waiting = true;
	return send_message(p, (struct wire_head){
		.type = htole16(WIRE_SYNC),
		.flags = htole16(flags),
	}, NULL);
}

bool peer_answers(struct peer *p, int ms)
{
	return channel_readable(&p->channel, ms);
}

int peer_synced(struct peer *p, u16 flags)
{
	struct wire_synced *synced = (void *)p->buf;
	u8 sum[CHECKSUM_SIZE];
	struct wire_head head;
	int ret = receive_message(p, WIRE_SYNCED, sizeof(*synced), &head);

	if (ret)
		return ret;
	checksum_get(&p->checksum, sum);
	if (flags & WIRE_VERIFY && memcmp(sum, synced->checksum, sizeof(sum)))
		return fail(MIRROR_FAILED,
			    "what is on the disks of the destination is not what was sent");
	forget(p);
	return 0;
}

int peer_check(struct peer *p)
{
	struct wire_head head;

	if (p->channel.fd < 0 || p->waiting || !channel_readable(&p->channel, 0))
		return 0;
	/* whatever it says now, it is the end */
	return receive_message(p, WIRE_REFUSE, 0, &head);
}

void peer_done(struct peer *p)
{
	if (p->channel.fd >= 0)
		send_message(p, (struct wire_head){ .type = htole16(WIRE_DONE) }, NULL);
}

u64 peer_sent(const struct peer *p)
{
	return p->sent_before + p->channel.sent;
}
