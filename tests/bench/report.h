/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of report-bench.
 */
#ifndef TESTS_BENCH_REPORT_H
#define TESTS_BENCH_REPORT_H

/* Kernel memory of this process's cgroup while the VF is saved, and while it is loaded. */
void bench_memory(const char *bdf);

#endif /* TESTS_BENCH_REPORT_H */
