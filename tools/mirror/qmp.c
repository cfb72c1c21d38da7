// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration, by QMP.
 */

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "qmp.h"
#include "report.h"

/* QEMU answers nothing while it stops the guest or its devices */
#define REPLY_MS	60000

static int lost(struct qmp *q, const char *why)
{
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
	return fail(MIRROR_FAILED, "QMP: %s: %s", q->path, why);
}

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *value;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, name, &value))
		return "";
	return json_object_get_string(value) ?: "";
}

static void keep_status(struct qmp *q, struct json_object *o)
{
	const char *status = text_of(o, "status");

	if (*status)
		snprintf(q->status, sizeof(q->status), "%s", status);
}

static void take_message(struct qmp *q, struct json_object *o)
{
	struct json_object *data;

	if (!strcmp(text_of(o, "event"), "MIGRATION") &&
	    json_object_object_get_ex(o, "data", &data)) {
		keep_status(q, data);
		q->events++;
	}
	if (!*text_of(o, "event")) {
		json_object_put(q->reply);
		q->reply = json_object_get(o);
	}
}

static int parse(struct qmp *q, const char *buf, size_t len)
{
	struct json_object *o;

	while (len) {
		size_t used;

		o = json_tokener_parse_ex(q->tokener, buf, len);
		if (json_tokener_get_error(q->tokener) == json_tokener_continue)
			return 0;
		if (!o)
			return lost(q, "not JSON");
		take_message(q, o);
		json_object_put(o);
		used = json_tokener_get_parse_end(q->tokener);
		buf += used;
		len -= used;
	}
	return 0;
}

int qmp_poll(struct qmp *q, int ms)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };
	char buf[4096];
	ssize_t n;
	int ret;

	if (q->fd < 0)
		return -EPERM;
	ret = poll(&p, 1, ms);
	if (ret <= 0)
		return 0;
	n = recv(q->fd, buf, sizeof(buf), 0);
	if (n > 0)
		return parse(q, buf, n);
	return n && errno == EINTR ? 0 : lost(q, n ? strerror(errno) : "QEMU closed it");
}

/* Wait for a reply, or for the greeting */
static int wait_reply(struct qmp *q)
{
	u64 end = now_ms() + REPLY_MS, now;
	int ret;

	while (!q->reply) {
		now = now_ms();
		if (now >= end)
			return lost(q, "no answer");
		ret = qmp_poll(q, end - now);
		if (ret)
			return ret;
	}
	return 0;
}

static int send_text(struct qmp *q, const char *text)
{
	size_t len = strlen(text);
	ssize_t n;

	for (; len; text += n, len -= n) {
		n = send(q->fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return lost(q, strerror(errno));
	}
	return 0;
}

static struct json_object *take_reply(struct qmp *q)
{
	struct json_object *reply = q->reply;

	q->reply = NULL;
	return reply;
}

/* Have a command executed. *@error is what QEMU has against it, in a buffer of 256 bytes. */
static int execute(struct qmp *q, const char *name, struct json_object *arguments,
		   struct json_object **result, char *error)
{
	struct json_object *command = json_object_new_object(), *reply, *o;
	int ret;

	json_object_object_add(command, "execute", json_object_new_string(name));
	if (arguments)
		json_object_object_add(command, "arguments", arguments);
	json_object_put(take_reply(q));
	ret = q->fd < 0 ?
		      -EPERM :
		      send_text(q, json_object_to_json_string_ext(command, JSON_C_TO_STRING_PLAIN));
	ret = ret ?: send_text(q, "\n");
	json_object_put(command);
	ret = ret ?: wait_reply(q);
	if (ret)
		return ret;

	*error = 0;
	reply = take_reply(q);
	if (json_object_object_get_ex(reply, "error", &o))
		snprintf(error, 256, "%s: %s", name, text_of(o, "desc"));
	if (result)
		*result = json_object_object_get_ex(reply, "return", &o) ? json_object_get(o) :
									   NULL;
	json_object_put(reply);
	return 0;
}

/* A command whose refusal is a failure */
static int command(struct qmp *q, const char *name, struct json_object *arguments)
{
	char error[256];
	int ret = execute(q, name, arguments, NULL, error);

	return ret ?: *error ? fail(MIRROR_FAILED, "QMP: %s", error) : 0;
}

static int connect_socket(struct qmp *q)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", q->path);
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (q->fd < 0 || connect(q->fd, (struct sockaddr *)&a, sizeof(a)))
		return lost(q, strerror(errno));

	json_object_put(take_reply(q));
	json_tokener_reset(q->tokener);
	return wait_reply(q) ?: command(q, "qmp_capabilities", NULL);
}

static struct json_object *capability(const char *name)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "capability", json_object_new_string(name));
	json_object_object_add(o, "state", json_object_new_boolean(true));
	return o;
}

static bool is_on(struct json_object *list, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i), *state;

		if (!strcmp(text_of(o, "capability"), name) &&
		    json_object_object_get_ex(o, "state", &state))
			return json_object_get_boolean(state);
	}
	return false;
}

/* They can only be changed as long as there is no migration; then they have to be on already */
static int set_capabilities(struct qmp *q)
{
	struct json_object *list, *set = json_object_new_array(),
				  *arguments = json_object_new_object();
	char error[256];
	bool on;
	int ret;

	json_object_array_add(set, capability("events"));
	json_object_array_add(set, capability("pause-before-switchover"));
	json_object_object_add(arguments, "capabilities", set);
	ret = execute(q, "migrate-set-capabilities", arguments, NULL, error);
	if (ret || !*error)
		return ret;

	ret = execute(q, "query-migrate-capabilities", NULL, &list, error);
	if (ret)
		return ret;
	on = json_object_is_type(list, json_type_array) && is_on(list, "events") &&
	     is_on(list, "pause-before-switchover");
	json_object_put(list);
	if (on)
		return 0;
	return fail(MIRROR_REFUSED, "QMP: a migration is active without pause-before-switchover");
}

int qmp_open(struct qmp *q, const char *path)
{
	int ret;

	*q = (struct qmp){ .path = path, .fd = -1 };
	q->tokener = json_tokener_new();
	if (!q->tokener)
		return fail(MIRROR_FAILED, "no memory");
	ret = connect_socket(q);
	return ret ?: set_capabilities(q);
}

void qmp_close(struct qmp *q)
{
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
	json_object_put(take_reply(q));
	if (q->tokener)
		json_tokener_free(q->tokener);
	q->tokener = NULL;
}

/* An event that comes before the reply may be newer than it: no other event would follow */
int qmp_query(struct qmp *q)
{
	struct json_object *result;
	unsigned int events;
	char error[256];
	int ret;

	do {
		events = q->events;
		ret = execute(q, "query-migrate", NULL, &result, error);
		if (ret)
			return ret;
		keep_status(q, result);
		json_object_put(result);
	} while (q->events != events);
	return 0;
}

int qmp_migrate(struct qmp *q, const char *uri)
{
	struct json_object *arguments = json_object_new_object();

	json_object_object_add(arguments, "uri", json_object_new_string(uri));
	return command(q, "migrate", arguments);
}

int qmp_continue(struct qmp *q)
{
	struct json_object *arguments = json_object_new_object();

	json_object_object_add(arguments, "state", json_object_new_string("pre-switchover"));
	return command(q, "migrate-continue", arguments);
}

static bool wait_end(struct qmp *q, u64 ms)
{
	u64 end = now_ms() + ms, now;

	while (!qmp_ended(q)) {
		now = now_ms();
		if (now >= end || qmp_poll(q, end - now))
			return false;
	}
	return true;
}

bool qmp_completed(struct qmp *q)
{
	/* the state of the guest may be large and the network slow: no limit of ours */
	while (!qmp_ended(q)) {
		if (interrupted() || qmp_poll(q, 1000))
			return false;
	}
	return qmp_is(q, "completed");
}

bool qmp_cancel(struct qmp *q)
{
	if (!q->path || (q->fd < 0 && connect_socket(q)))
		return false;
	if (qmp_query(q) || !*q->status || qmp_ended(q))
		return q->fd >= 0;
	return !command(q, "migrate_cancel", NULL) && !qmp_query(q) && wait_end(q, REPLY_MS);
}

bool qmp_is(const struct qmp *q, const char *status)
{
	return !strcmp(q->status, status);
}

bool qmp_ended(const struct qmp *q)
{
	return qmp_is(q, "completed") || qmp_is(q, "failed") || qmp_is(q, "cancelled") ||
	       qmp_is(q, "none");
}
