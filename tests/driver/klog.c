// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel log: counts of lines since a mark, and lines that must not be there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static int mark_fd = -1, watch_fd = -1;
static char klog[1 << 18];
static size_t klog_len;

static int open_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || lseek(fd, 0, SEEK_END) < 0) {
		perror("/dev/kmsg");
		exit(2);
	}
	return fd;
}

void klog_init(void)
{
	mark_fd = open_log();
	watch_fd = open_log();
}

/* One line without its prefix, or NULL at the end. */
static char *klog_line(int fd)
{
	static char record[8192];
	char *text;
	ssize_t n;

	do {
		n = read(fd, record, sizeof(record) - 1);
	} while (n < 0 && errno == EPIPE);
	if (n <= 0)
		return NULL;
	record[n] = 0;
	text = strchr(record, ';');
	if (!text)
		return "";
	text++;
	text[strcspn(text, "\n")] = 0;
	return text;
}

void klog_mark(void)
{
	lseek(mark_fd, 0, SEEK_END);
	klog_len = 0;
	klog[0] = 0;
}

static void klog_fetch(void)
{
	char *line;
	size_t len;

	for (line = klog_line(mark_fd); line; line = klog_line(mark_fd)) {
		len = strlen(line);
		if (klog_len + len + 2 > sizeof(klog))
			return;
		memcpy(klog + klog_len, line, len);
		klog[klog_len + len] = '\n';
		klog_len += len + 1;
		klog[klog_len] = 0;
	}
}

static unsigned int count_lines(const char *prefix, const char *text)
{
	unsigned int n = 0;
	char line[1024];
	const char *p;
	size_t len;

	klog_fetch();
	for (p = klog; *p; p += len + 1) {
		len = strcspn(p, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)len, p);
		n += !strncmp(line, prefix, strlen(prefix)) && strstr(line, text);
	}
	return n;
}

unsigned int klog_count(const char *bdf, const char *text)
{
	char prefix[64];

	snprintf(prefix, sizeof(prefix), "%s %s", DRIVER, bdf);
	return count_lines(prefix, text);
}

unsigned int klog_count_err(const char *bdf, const char *text, int err)
{
	char name[256], number[256];

	snprintf(name, sizeof(name), "%s-%s", text, strerrorname_np(err));
	snprintf(number, sizeof(number), "%s-%d", text, err);
	return klog_count(bdf, name) + klog_count(bdf, number);
}

bool klog_wait(const char *bdf, const char *text)
{
	struct pollfd pfd = { .fd = mark_fd, .events = POLLIN };

	while (!klog_count(bdf, text))
		if (poll(&pfd, 1, UNVME_TIMEOUT_MS) != 1)
			return EXPECT(0, "no line with '%s'", text);
	return true;
}

unsigned int klog_count_any(const char *text)
{
	return count_lines("", text);
}

bool klog_wait_any(const char *text)
{
	struct pollfd pfd = { .fd = mark_fd, .events = POLLIN };

	while (!klog_count_any(text))
		if (poll(&pfd, 1, UNVME_TIMEOUT_MS) != 1)
			return EXPECT(0, "no line with '%s'", text);
	return true;
}

void klog_show(void)
{
	const char *p;
	size_t len;

	klog_fetch();
	for (p = klog; *p; p += len + 1) {
		len = strcspn(p, "\n");
		tap_note("log: %.*s", (int)len, p);
	}
}

void klog_check(void)
{
	static const char *const bad[] = {
		"WARNING: ", "BUG: ", "kernel BUG", "Oops", "Call Trace:", "refcount_t:",
		"blocked for more than", "UBSAN", "KASAN", "KCSAN", "lockdep", "locking dependency",
		"recursive locking", "inconsistent lock", "suspicious RCU", "general protection",
		"sleeping function", "DMAR: [", "DMAR: ERROR", "DMAR: DRHD: handling fault",
		"I/O tag", "nvme_timeout",
	};
	char *line;
	size_t i;

	for (line = klog_line(watch_fd); line; line = klog_line(watch_fd))
		for (i = 0; i < ARRAY_SIZE(bad); i++)
			if (strstr(line, bad[i]))
				tap_fail(__FILE__, __LINE__, "kernel log: %s", line);
}
