// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO variant driver for NVMe functions. It does not bind to anything yet.
 */

#include <linux/module.h>

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO PCI driver for NVMe functions, with live migration of virtual functions");
