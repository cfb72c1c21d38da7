/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's controller, and the one of the physical function that manages it.
 */

#ifndef MIRROR_CONTROLLER_H
#define MIRROR_CONTROLLER_H

#include "disk.h"

/**
 * struct controller - the guest's
 * @pf: PCI address of the physical function
 * @cntlid: identifier of the controller
 */
struct controller {
	char pf[16];
	u16 cntlid;
};

/**
 * controller_of_vf() - find the controller of a virtual function
 * @c: filled in
 * @vf: PCI address
 *
 * Return: 0, or the result of fail().
 */
int controller_of_vf(struct controller *c, const char *vf);

/**
 * controller_disks() - find the namespaces that are attached to a controller
 * @c: the controller
 * @disks: @nsid and @path are filled in
 * @max: how many there is room for
 *
 * Return: how many there are, or the result of fail().
 */
int controller_disks(const struct controller *c, struct disk *disks, u32 max);

/* Fill in @d->path, for @d->nsid, with the PF's block device. 0, or the result of fail(). */
int controller_path(const struct controller *c, struct disk *d);

#endif /* MIRROR_CONTROLLER_H */
