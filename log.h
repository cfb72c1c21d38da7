/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_LOG_H
#define NVMEVF_LOG_H

struct nvmevf_lm;
struct seq_file;

void nvmevf_log_add(struct nvmevf_lm *lm);
void nvmevf_log_remove(struct nvmevf_lm *lm);
void nvmevf_log_show(struct nvmevf_lm *lm, struct seq_file *seq);

#endif /* NVMEVF_LOG_H */
