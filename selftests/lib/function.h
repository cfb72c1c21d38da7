/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI functions as sysfs shows them: their drivers, their physical function, what is above them.
 * All return 0 or -errno where nothing else is said.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_FUNCTION_H
#define SELFTESTS_VFIO_MIGRATION_FUNCTION_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define BDF_SIZE	16

int file_write(const char *path, const char *text);

/* The first line. */
int file_read(const char *path, char *text, size_t size);

/* R, S, D and so on, as proc(5) has it; 0: there is no such thread. */
char thread_state(pid_t pid, pid_t tid);

/* A file of the function. */
int function_write(const char *bdf, const char *file, const char *text);
int function_read(const char *bdf, const char *file, char *text, size_t size);

bool function_exists(const char *bdf);

/* Name of its driver, "" where it has none; valid until the next call. */
const char *function_driver(const char *bdf);

/* Bind by driver_override; NULL: to nothing. */
int function_bind(const char *bdf, const char *driver);

/* Unbind, and leave driver_override as it is. */
int function_unbind(const char *bdf);

/* Address of the physical function; -ENOENT where @bdf is no virtual one. */
int function_pf(const char *bdf, char pf[BDF_SIZE]);

/* Address of the bridge above; -ENOENT on a root bus. */
int function_bridge(const char *bdf, char bridge[BDF_SIZE]);

/* References of the module of its driver, or of a module; -errno where there is no such count. */
int function_module_refs(const char *bdf);
int module_refs(const char *module);

/* Name of the module of its driver. */
int function_module(const char *bdf, char *name, size_t size);

/* A register of BAR0 of a function without a driver. */
int function_read32(const char *bdf, size_t off, __u32 *val);

#endif /* SELFTESTS_VFIO_MIGRATION_FUNCTION_H */
