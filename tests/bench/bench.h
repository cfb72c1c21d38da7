/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the measurements share. Each is a command of one program: it opens the VFs that it needs,
 * which have to be bound to nvme-vfio-pci, measures, and prints lines of a word and numbers. How
 * slow the device is has been set before.
 */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include "migration.h"
#include "vf.h"

/* As much as QEMU moves at a time. */
#define STEP	0x100000u

/* Nanoseconds of a clock that only goes forward. */
u64 now_ns(void);

/* One line: "WORD NUMBER". */
void report(const char *what, u64 value);

/* Populated memory, so that no page fault is measured. */
void *populated(size_t size);

/* Open VF @vfn and enable it, as a guest with so many I/O queue pairs would. */
bool open_guest(struct vf *v, int pf, unsigned int vfn, unsigned int queues);

/* A change of state that has to succeed. */
bool set_state(struct vf *v, u32 state);

/* The commands, with the number of the PF and another number. */
void measure_clock(int pf, unsigned int nr);
void measure_cost(int pf, unsigned int queues);
void measure_move(int pf, unsigned int nr);
void measure_reads(int pf, unsigned int nr);
void measure_saves(int pf, unsigned int nr);
void measure_suspends(int pf, unsigned int stalled);
void measure_latency(int pf, unsigned int nr);

#endif /* TESTS_BENCH_H */
