/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_IDENT_H
#define NVMEVF_IDENT_H

struct nvme_id_ctrl;
struct pci_dev;

int nvmevf_function_identify(struct pci_dev *pdev, struct nvme_id_ctrl *id,
			     unsigned int timeout_ms);

#endif /* NVMEVF_IDENT_H */
