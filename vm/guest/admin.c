// SPDX-License-Identifier: GPL-2.0-only
/*
 * Admin commands without a pause, for as long as the guest runs.
 *
 * usage: admin DEVICE DIR
 *
 * Two workers each keep one command in flight: one reads (Identify, SMART log, Get
 * Features) and compares with what it read first, the other sets the temperature
 * threshold to a new value every time and reads it back. After each command a worker
 * rewrites its file in DIR: commands, errors, longest command in ms. SIGTERM ends them,
 * not before their last command has completed: one that got lost is to be noticed.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	OP_GET_LOG = 0x02,
	OP_IDENTIFY = 0x06,
	OP_SET_FEATURES = 0x09,
	OP_GET_FEATURES = 0x0a,

	FEAT_TEMP_THRESHOLD = 0x04,
	FEAT_QUEUES = 0x07,
	FEAT_AEN_CONFIG = 0x0b,

	ID_SIZE = 4096,
	ID_CNTLID = 78,		/* differs from one VF to the next, 2 bytes */
	SMART_SIZE = 512,

	SLOW_MS = 2000,
};

#define page_aligned __attribute__((aligned(4096)))

struct worker {
	int fd;
	int stats;
	unsigned long commands;
	unsigned long errors;
	unsigned long longest_ms;
};

static volatile sig_atomic_t stop;

static void on_term(int number)
{
	(void)number;
	stop = 1;
}

static void complain(struct worker *w, const char *fmt, ...)
{
	va_list args;

	w->errors++;
	fprintf(stderr, "admin: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static void publish(struct worker *w)
{
	char line[80];
	int n = snprintf(line, sizeof(line), "%12lu %12lu %12lu\n", w->commands, w->errors,
			 w->longest_ms);

	if (pwrite(w->stats, line, n, 0) != n) {
		perror("admin: statistics");
		exit(1);
	}
}

static bool issue(struct worker *w, const char *name, struct nvme_admin_cmd *cmd)
{
	uint64_t start = now_ms();
	unsigned long took;
	int rc = ioctl(w->fd, NVME_IOCTL_ADMIN_CMD, cmd);

	took = now_ms() - start;
	if (took > w->longest_ms)
		w->longest_ms = took;
	if (took > SLOW_MS)
		fprintf(stderr, "admin: at %llu ms: %s took %lu ms\n",
			(unsigned long long)start, name, took);
	w->commands++;
	if (rc < 0)
		complain(w, "%s: %s", name, strerror(errno));
	else if (rc)
		complain(w, "%s: status %#x", name, rc);
	return !rc;
}

static bool get_feature(struct worker *w, uint8_t fid, uint32_t *value)
{
	struct nvme_admin_cmd cmd = { .opcode = OP_GET_FEATURES, .cdw10 = fid };

	if (!issue(w, "Get Features", &cmd))
		return false;
	*value = cmd.result;
	return true;
}

static bool identify(struct worker *w, uint32_t nsid, uint8_t cns, uint8_t *data)
{
	struct nvme_admin_cmd cmd = {
		.opcode = OP_IDENTIFY, .nsid = nsid, .addr = (uintptr_t)data,
		.data_len = ID_SIZE, .cdw10 = cns,
	};

	memset(data, 0xa5, ID_SIZE);
	if (!issue(w, "Identify", &cmd))
		return false;
	if (cns == 1)
		memset(data + ID_CNTLID, 0, 2);
	return true;
}

static void check_identify(struct worker *w, uint32_t nsid, uint8_t cns, const uint8_t *first)
{
	static uint8_t data[ID_SIZE] page_aligned;

	if (identify(w, nsid, cns, data) && memcmp(data, first, ID_SIZE))
		complain(w, "Identify %u changed", cns);
}

static void check_smart(struct worker *w)
{
	static uint8_t data[SMART_SIZE] page_aligned;
	struct nvme_admin_cmd cmd = {
		.opcode = OP_GET_LOG, .nsid = ~0u, .addr = (uintptr_t)data,
		.data_len = SMART_SIZE, .cdw10 = (SMART_SIZE / 4 - 1) << 16 | 0x02,
	};
	unsigned int kelvin;

	memset(data, 0xff, SMART_SIZE);
	if (!issue(w, "SMART log", &cmd))
		return;
	kelvin = data[1] | data[2] << 8;
	if (kelvin < 250 || kelvin > 400)
		complain(w, "SMART log: %u kelvin", kelvin);
}

static void check_feature(struct worker *w, uint8_t fid, uint32_t expected)
{
	uint32_t value;

	if (get_feature(w, fid, &value) && value != expected)
		complain(w, "feature %#x is %#x, not %#x", fid, value, expected);
}

static void read_until_stopped(struct worker *w)
{
	static uint8_t id_ctrl[ID_SIZE] page_aligned;
	static uint8_t id_ns[ID_SIZE] page_aligned;
	uint32_t queues, aen_config;
	unsigned int step;

	if (!identify(w, 0, 1, id_ctrl) || !identify(w, 1, 0, id_ns) ||
	    !get_feature(w, FEAT_QUEUES, &queues) ||
	    !get_feature(w, FEAT_AEN_CONFIG, &aen_config)) {
		publish(w);
		exit(1);
	}
	for (step = 0; !stop; step++) {
		switch (step % 5) {
		case 0:
			check_identify(w, 0, 1, id_ctrl);
			break;
		case 1:
			check_smart(w);
			break;
		case 2:
			check_identify(w, 1, 0, id_ns);
			break;
		case 3:
			check_feature(w, FEAT_QUEUES, queues);
			break;
		case 4:
			check_feature(w, FEAT_AEN_CONFIG, aen_config);
			break;
		}
		publish(w);
	}
}

/* Thresholds well above the temperature: an event would be the device's right. */
static void set_until_stopped(struct worker *w)
{
	uint32_t value = 370;

	while (!stop) {
		struct nvme_admin_cmd cmd = {
			.opcode = OP_SET_FEATURES, .cdw10 = FEAT_TEMP_THRESHOLD, .cdw11 = value,
		};

		if (issue(w, "Set Features", &cmd))
			check_feature(w, FEAT_TEMP_THRESHOLD, value);
		publish(w);
		value = value < 400 ? value + 1 : 370;
	}
}

static pid_t start_worker(const char *device, const char *dir, const char *name,
			  void (*run)(struct worker *w))
{
	struct worker w = { 0 };
	pid_t pid = fork();
	char path[256];
	sigset_t none;

	sigemptyset(&none);
	if (pid < 0) {
		perror("admin: fork");
		exit(1);
	}
	if (pid)
		return pid;
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(path, sizeof(path), "%s/admin.%s", dir, name);
	w.stats = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	w.fd = open(device, O_RDWR);
	if (w.stats < 0 || w.fd < 0) {
		perror("admin: open");
		exit(1);
	}
	run(&w);
	exit(0);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_term, .sa_flags = SA_RESTART };
	pid_t workers[2];
	sigset_t ends;

	if (argc != 3) {
		fprintf(stderr, "usage: admin DEVICE DIR\n");
		return 2;
	}
	/* Whoever asks the guest for its state is served first. */
	if (nice(10) < 0) {
		perror("admin: nice");
		return 1;
	}
	sigaction(SIGTERM, &action, NULL);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	workers[0] = start_worker(argv[1], argv[2], "read", read_until_stopped);
	workers[1] = start_worker(argv[1], argv[2], "set", set_until_stopped);

	/* A worker that ends by itself could not start: then the other one ends, too. */
	sigwaitinfo(&ends, NULL);
	kill(workers[0], SIGTERM);
	kill(workers[1], SIGTERM);
	while (wait(NULL) > 0)
		;
	return 0;
}
