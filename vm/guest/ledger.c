// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes of which somebody outside of the guest knows, and which have to be on the disk although
 * the guest was killed.
 *
 * usage: ledger DISK DIR LINE
 *
 * Four workers each write a ring of blocks, one after the other, without an end: block n of a
 * worker goes to slot n % SLOTS of its ring and consists of words that follow from worker and n.
 * Before a slot is written again it has to hold what was written to it last. A new guest continues
 * where the one before ended: the ring has to hold the last SLOTS blocks without a gap. Five times
 * a second LINE gets the numbers of the last blocks whose writes were acknowledged:
 * "~ack N N N N~". A slot with wrong content is a line in DIR/lane.ledger.verify, a failed command
 * one in DIR/lane.ledger.io. Ends when DIR/stop exists, after a last look at all slots.
 *
 * tests/soak/ledger.py reads the same from the disk's image.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WORKERS = 4,
	SLOTS = 64,
	BLOCK = 4096,
	WORDS = BLOCK / 8,
	BEGIN = 48 << 20,	/* of the first ring, behind the regions of the lanes */
	REPORT_US = 200000,
};

struct worker {
	int disk;
	unsigned int number;
	uint64_t *block;
	uint64_t *acked;	/* shared with the parent */
};

static const char *dir;

static void complain(const char *kind, const char *fmt, ...)
{
	char path[256], line[200];
	va_list args;
	int fd, n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	fprintf(stderr, "ledger: %s", line);
	snprintf(path, sizeof(path), "%s/lane.ledger.%s", dir, kind);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0 || write(fd, line, n) != n)
		perror("ledger: report");
	if (fd >= 0)
		close(fd);
}

static bool stopped(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/stop", dir);
	return !access(path, F_OK);
}

static off_t place(const struct worker *w, uint64_t n)
{
	return BEGIN + ((off_t)w->number * SLOTS + n % SLOTS) * BLOCK;
}

static uint64_t word(const struct worker *w, uint64_t n, unsigned int i)
{
	return (uint64_t)(w->number + 1) << 56 | n << 9 | i;
}

/* The number of the block in w->block; 0: there is none, it was never written. */
static uint64_t number_of(const struct worker *w)
{
	uint64_t n = w->block[0] << 8 >> 17;
	bool empty = !w->block[0];
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		if (w->block[i] != (empty ? 0 : word(w, n, i)))
			return UINT64_MAX;
	return empty ? 0 : n;
}

static bool get(const struct worker *w, uint64_t n, uint64_t *found)
{
	if (pread(w->disk, w->block, BLOCK, place(w, n)) != BLOCK) {
		complain("io", "worker %u: block %lu cannot be read: %m\n", w->number, n);
		return false;
	}
	*found = number_of(w);
	return true;
}

/* The slot of a block holds it; of one before the first one: nothing. */
static void check(const struct worker *w, int64_t n)
{
	uint64_t want = n > 0 ? n : 0, found;

	if (get(w, n + SLOTS, &found) && found != want)
		complain("verify", "worker %u: slot %lu holds block %ld, not %lu\n", w->number,
			 (n + SLOTS) % SLOTS, (long)found, want);
}

static void put(const struct worker *w, uint64_t n)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		w->block[i] = word(w, n, i);
	if (pwrite(w->disk, w->block, BLOCK, place(w, n)) == BLOCK)
		__atomic_store_n(w->acked, n, __ATOMIC_RELAXED);
	else
		complain("io", "worker %u: block %lu cannot be written: %m\n", w->number, n);
}

/* All slots hold the blocks up to this one. */
static void check_ring(const struct worker *w, uint64_t last)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		check(w, (int64_t)last - i);
}

/* The last block on the disk. */
static uint64_t last_block(const struct worker *w)
{
	uint64_t found, last = 0;
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (get(w, i, &found) && found != UINT64_MAX && found > last)
			last = found;
	return last;
}

static void work(struct worker *w)
{
	uint64_t n = last_block(w);

	check_ring(w, n);
	__atomic_store_n(w->acked, n, __ATOMIC_RELAXED);
	while (!stopped()) {
		n++;
		check(w, (int64_t)n - SLOTS);
		put(w, n);
	}
	check_ring(w, n);
}

static void start(struct worker w, const char *disk)
{
	pid_t pid = fork();

	if (pid > 0)
		return;
	w.disk = pid ? -1 : open(disk, O_RDWR | O_DIRECT);
	if (w.disk < 0 || posix_memalign((void **)&w.block, BLOCK, BLOCK)) {
		perror("ledger: worker");
		exit(1);
	}
	work(&w);
	exit(0);
}

static bool report(int fd, const uint64_t *acked)
{
	uint64_t last[WORKERS];
	unsigned int i;
	char line[120];
	int n;

	for (i = 0; i < WORKERS; i++)
		last[i] = __atomic_load_n(&acked[i], __ATOMIC_RELAXED);
	n = snprintf(line, sizeof(line), "~ack %lu %lu %lu %lu~\n", last[0], last[1], last[2],
		     last[3]);
	return write(fd, line, n) == n;
}

int main(int argc, char **argv)
{
	uint64_t *acked;
	unsigned int i;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: ledger DISK DIR LINE\n");
		return 2;
	}
	dir = argv[2];
	fd = open(argv[3], O_WRONLY | O_NOCTTY);
	acked = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* Whoever asks the guest for its state is served first. */
	if (fd < 0 || acked == MAP_FAILED || nice(10) < 0) {
		perror("ledger");
		return 1;
	}
	for (i = 0; i < WORKERS; i++)
		start((struct worker){ .number = i, .acked = acked + i }, argv[1]);
	while (waitpid(-1, NULL, WNOHANG) >= 0) {
		usleep(REPORT_US);
		if (!report(fd, acked))
			return 1;
	}
	return 0;
}
