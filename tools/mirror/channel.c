// SPDX-License-Identifier: GPL-2.0-only
/*
 * A connection, and the messages on it.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "report.h"

/* Until a peer that no longer answers is given up; seconds, and milliseconds */
#define KEEPALIVE_IDLE		5
#define KEEPALIVE_INTERVAL	5
#define KEEPALIVE_COUNT		3
#define USER_TIMEOUT		20000

/* For connect() and a handshake; for a refusal to arrive */
#define BEGIN_MS	10000
#define REFUSE_MS	2000

#define BUFFER_SIZE	(4 << 20)

static int torn(struct channel *c, const char *why)
{
	if (!*c->why)
		snprintf(c->why, sizeof(c->why), "%s", why);
	return -ENOTCONN;
}

static void set_option(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

static void set_options(int fd)
{
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_SIZE);
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT);
}

/* HOST:PORT, [IPv6]:PORT or :PORT */
static bool split(const char *address, char *host, size_t len, const char **port)
{
	const char *colon = strrchr(address, ':');
	size_t n;

	if (!colon || !colon[1])
		return false;
	n = colon - address;
	if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
		address++;
		n -= 2;
	}
	if (n >= len)
		return false;
	memcpy(host, address, n);
	host[n] = 0;
	*port = colon + 1;
	return true;
}

static int resolve(const char *address, int flags, char *host, size_t len, struct addrinfo **list)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
	const char *port;
	int ret;

	if (!split(address, host, len, &port))
		return fail(MIRROR_USAGE, "%s: not HOST:PORT", address);
	ret = getaddrinfo(*host ? host : NULL, port, &hints, list);
	return ret ? fail(MIRROR_FAILED, "%s: %s", address, gai_strerror(ret)) : 0;
}

void channel_limit(struct channel *c, u32 ms)
{
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static int begin_tls(struct channel *c, const struct tls *tls, const char *name)
{
	return tls ? tls_handshake(tls, c->fd, name, &c->tls, c->why, sizeof(c->why)) : 0;
}

static int connect_one(struct channel *c, const struct addrinfo *a)
{
	c->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
	if (c->fd < 0)
		return -errno;
	set_options(c->fd);
	channel_limit(c, BEGIN_MS);
	if (!connect(c->fd, a->ai_addr, a->ai_addrlen))
		return 0;
	snprintf(c->why, sizeof(c->why), "%s", strerror(errno));
	channel_close(c);
	return -ENOTCONN;
}

int channel_connect(struct channel *c, const char *address, const struct tls *tls, const char *name)
{
	struct addrinfo *list, *a;
	char host[256];
	int ret;

	*c = (struct channel){ .fd = -1 };
	ret = resolve(address, 0, host, sizeof(host), &list);
	if (ret)
		return ret;
	for (a = list, ret = -ENOTCONN; a && ret; a = a->ai_next)
		ret = connect_one(c, a);
	freeaddrinfo(list);
	if (ret)
		return ret;

	c->why[0] = 0;
	ret = begin_tls(c, tls, name ?: host);
	if (ret)
		channel_close(c);
	return ret == -EPERM ? fail(MIRROR_REFUSED, "TLS with %s: %s", address, c->why) : ret;
}

static u16 own_port(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &len))
		return 0;
	return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port :
					       ((struct sockaddr_in *)&a)->sin_port);
}

static int listen_one(const struct addrinfo *a)
{
	int type = a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = socket(a->ai_family, type, a->ai_protocol);

	if (fd < 0)
		return -1;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_option(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_SIZE);
	if (a->ai_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 4)) {
		close(fd);
		return -1;
	}
	return fd;
}

int channel_listen(const char *address, u16 *port)
{
	struct addrinfo *list, *a;
	char host[256];
	int ret = resolve(address, AI_PASSIVE, host, sizeof(host), &list), fd = -1;

	if (ret)
		return ret;
	/* without a host: IPv6 with IPv4, where there is IPv6 */
	for (a = list; a && fd < 0; a = a->ai_next) {
		if (*host || a->ai_family == AF_INET6)
			fd = listen_one(a);
	}
	for (a = list; a && fd < 0; a = a->ai_next)
		fd = listen_one(a);
	freeaddrinfo(list);
	if (fd < 0)
		return fail(MIRROR_FAILED, "cannot listen at %s: %s", address, strerror(errno));
	*port = own_port(fd);
	return fd;
}

/* Closing a socket with unread bytes resets the connection, and what was sent last would be lost */
static void linger(struct channel *c)
{
	u64 end = now_ms() + REFUSE_MS;
	char scrap[4096];

	channel_limit(c, REFUSE_MS);
	shutdown(c->fd, SHUT_WR);
	while (now_ms() < end && recv(c->fd, scrap, sizeof(scrap), 0) > 0)
		;
}

int channel_accept(struct channel *c, int listener, const struct tls *tls, int ms)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int ret;

	*c = (struct channel){ .fd = -1 };
	ret = poll(&p, 1, ms);
	if (ret <= 0)
		return ret ? -errno : -ETIMEDOUT;

	c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (c->fd < 0)
		return torn(c, strerror(errno));
	set_options(c->fd);
	channel_limit(c, BEGIN_MS);
	if (!begin_tls(c, tls, NULL))
		return 0;
	linger(c);
	channel_close(c);
	return torn(c, "TLS");
}

void channel_close(struct channel *c)
{
	if (c->tls)
		gnutls_deinit(c->tls);
	c->tls = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* One write or read: bytes, 0 to try again, or a negative errno */
static ssize_t tls_result(struct channel *c, ssize_t n)
{
	if (n > 0)
		return n;
	if (!n)
		return torn(c, "the peer closed the connection");
	if (n == GNUTLS_E_INTERRUPTED)
		return interrupted() ? -EINTR : 0;
	if (n == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		snprintf(c->why, sizeof(c->why), "TLS: the peer says: %s",
			 gnutls_alert_get_name(gnutls_alert_get(c->tls)));
		return -EPROTO;
	}
	if (n != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(n))
		return 0;
	return torn(c, n == GNUTLS_E_AGAIN ? "the peer does not answer" : gnutls_strerror(n));
}

static ssize_t socket_result(struct channel *c, ssize_t n)
{
	if (n > 0)
		return n;
	if (!n)
		return torn(c, "the peer closed the connection");
	if (errno == EINTR)
		return interrupted() ? -EINTR : 0;
	return torn(c, errno == EAGAIN ? "the peer does not answer" : strerror(errno));
}

static int send_all(struct channel *c, const void *buf, size_t len, int flags)
{
	ssize_t n;

	for (size_t done = 0; done < len; done += n) {
		const u8 *p = (const u8 *)buf + done;

		if (c->tls)
			n = tls_result(c, gnutls_record_send(c->tls, p, len - done));
		else
			n = socket_result(c, send(c->fd, p, len - done, MSG_NOSIGNAL | flags));
		if (n < 0)
			return n;
	}
	c->sent += len;
	return 0;
}

static int receive_all(struct channel *c, void *buf, size_t len)
{
	ssize_t n;

	for (size_t done = 0; done < len; done += n) {
		u8 *p = (u8 *)buf + done;

		if (c->tls)
			n = tls_result(c, gnutls_record_recv(c->tls, p, len - done));
		else
			n = socket_result(c, recv(c->fd, p, len - done, 0));
		if (n < 0)
			return n;
	}
	return 0;
}

int channel_send(struct channel *c, const struct wire_head *head, const void *data)
{
	u32 len = le32_to_cpu(head->len);
	int ret = send_all(c, head, sizeof(*head), len ? MSG_MORE : 0);

	return ret ?: send_all(c, data, len, 0);
}

int channel_receive(struct channel *c, struct wire_head *head, void *data, u32 max)
{
	int ret = receive_all(c, head, sizeof(*head));

	if (ret)
		return ret;
	if (le32_to_cpu(head->magic) != WIRE_MAGIC || le32_to_cpu(head->len) > max) {
		snprintf(c->why, sizeof(c->why), "the peer sent something that is no message");
		return -EPROTO;
	}
	return receive_all(c, data, le32_to_cpu(head->len));
}

bool channel_readable(struct channel *c, int ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	if (c->tls && gnutls_record_check_pending(c->tls))
		return true;
	return poll(&p, 1, ms) > 0;
}

void channel_refuse(struct channel *c, const char *text)
{
	u32 len = min_t(size_t, strlen(text), WIRE_TEXT_MAX);
	struct wire_head head = {
		.magic = htole32(WIRE_MAGIC),
		.type = htole16(WIRE_REFUSE),
		.len = htole32(len),
	};

	if (c->fd < 0)
		return;
	channel_limit(c, REFUSE_MS);
	if (!channel_send(c, &head, text))
		linger(c);
	channel_close(c);
}
