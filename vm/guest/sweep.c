// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that only the disk's controller changes.
 *
 * usage: sweep DISK FILE BASE
 *
 * Fills a part of the disk, from BASE MiB on, with data that follows from its place, then reads
 * pieces of it into memory by direct I/O, round after round, each piece to another place than the
 * round before. Before a place is overwritten it has to hold what was read to it last: memory that
 * a migration left behind, because nobody knew that the controller had written it, is found there.
 * After each piece FILE has the numbers of pieces read, of those that were wrong, and of failed
 * reads.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	PIECE = 64 << 10,
	PIECES = 512,
	WORDS = PIECE / 8,
	STEP = 77,	/* odd, so that a round meets every piece */
};

static uint64_t (*memory)[WORDS];
static off_t base;

static uint64_t word(unsigned int piece, unsigned int n)
{
	uint64_t x = (uint64_t)piece << 32 | n;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static bool right(unsigned int place, unsigned int piece)
{
	unsigned int n;

	for (n = 0; n < WORDS; n++)
		if (memory[place][n] != word(piece, n))
			return false;
	return true;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void fill(int disk)
{
	unsigned int piece, n;

	for (piece = 0; piece < PIECES; piece++) {
		for (n = 0; n < WORDS; n++)
			memory[0][n] = word(piece, n);
		if (pwrite(disk, memory[0], PIECE, base + (off_t)piece * PIECE) != PIECE)
			die("sweep: write");
	}
	if (fsync(disk))
		die("sweep: flush");
}

static bool read_piece(int disk, unsigned int place, unsigned int piece)
{
	if (pread(disk, memory[place], PIECE, base + (off_t)piece * PIECE) == PIECE)
		return true;
	perror("sweep: read");
	return false;
}

int main(int argc, char **argv)
{
	static int holds[PIECES];
	unsigned long done = 0, wrong = 0, failed = 0;
	unsigned int round, place, piece;
	int disk, file, n;
	char line[64];

	if (argc != 4)
		return 2;
	base = atol(argv[3]) << 20;
	disk = open(argv[1], O_RDWR | O_DIRECT);
	file = open(argv[2], O_WRONLY | O_CREAT, 0644);
	memory = mmap(NULL, (size_t)PIECES * PIECE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (disk < 0 || file < 0 || memory == MAP_FAILED)
		die("sweep");
	fill(disk);
	memset(holds, -1, sizeof(holds));

	for (round = 0;; round++) {
		for (place = 0; place < PIECES; place++) {
			if (holds[place] >= 0 && !right(place, holds[place])) {
				wrong++;
				fprintf(stderr, "sweep: place %u does not hold piece %d\n", place,
					holds[place]);
			}
			piece = (place * STEP + round) % PIECES;
			holds[place] = -1;
			if (read_piece(disk, place, piece))
				holds[place] = piece;
			else
				failed++;
			done++;
			n = snprintf(line, sizeof(line), "%12lu %12lu %12lu\n", done, wrong, failed);
			if (pwrite(file, line, n, 0) != n)
				die("sweep: numbers");
		}
	}
}
