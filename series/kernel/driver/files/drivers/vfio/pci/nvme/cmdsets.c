// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command sets that the driver knows.
 */

#include <linux/stddef.h>

#include "cmdsets.h"
#include "tp4159.h"

const struct nvmevf_lm_ops *const nvmevf_cmdsets[] = {
	&nvmevf_tp_ops,
	NULL,
};
