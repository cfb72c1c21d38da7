/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_CDQ_H
#define NVMEVF_CDQ_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct device;
struct nvmevf_buf;
struct nvmevf_mmc;

/**
 * struct nvmevf_cdqs - the User Data Migration Queues of one MMC
 * @mmc: handle to the MMC
 * @log: the device that messages name
 * @max: number of queues that the MMC can have
 * @lock: protects what follows, and the queues; held during each command that creates or
 *	  names a queue
 * @all: the queues, those included that could not be deleted, in the order in which they
 *	 were created, the latest first
 * @retry: deletes those that could not be deleted
 */
struct nvmevf_cdqs {
	struct nvmevf_mmc *mmc;
	struct device *log;
	unsigned int max;
	struct mutex lock;	/* protects what follows */
	struct list_head all;
	struct delayed_work retry;
};

/**
 * struct nvmevf_cdq - a User Data Migration Queue
 * @node: in the list of @cdqs
 * @cdqs: the queues of its MMC
 * @mmc: handle for its commands
 * @token: referenced by each command that the device has not answered
 * @cntlid: the controller whose changes are logged
 * @cdqid: its identifier, valid if @created
 * @entries: number of its slots
 * @len: bytes of @slots
 * @slots: its memory, which the device writes
 * @dma: DMA address of @slots
 * @resets: reset count of nvmevf_mmc_live() when the device was last known to have it
 * @created: the device has said so
 * @lost: the device has deleted it
 * @late: a command that was given up succeeded
 * @late_id: the identifier that it returned, if that was the creation
 * @orphan: nobody uses it any more, but the device may write to it
 */
struct nvmevf_cdq {
	struct list_head node;
	struct nvmevf_cdqs *cdqs;
	struct nvmevf_mmc *mmc;
	struct nvmevf_buf *token;
	u16 cntlid;
	u16 cdqid;
	u32 entries;
	size_t len;
	void *slots;
	dma_addr_t dma;
	long resets;
	bool created;
	bool lost;
	bool late;
	u16 late_id;
	bool orphan;
};

int nvmevf_cdqs_init(struct nvmevf_cdqs *cdqs, const struct nvmevf_mmc *mmc, unsigned int max);
void nvmevf_cdqs_exit(struct nvmevf_cdqs *cdqs);
struct nvmevf_cdq *nvmevf_cdq_create(struct nvmevf_cdqs *cdqs, u16 cntlid, u32 entries);
int nvmevf_cdq_start(struct nvmevf_cdq *cdq);
int nvmevf_cdq_stop(struct nvmevf_cdq *cdq, unsigned int flags);
int nvmevf_cdq_set_head(struct nvmevf_cdq *cdq, u32 head);
bool nvmevf_cdq_is_suspect(const struct nvmevf_cdq *cdq);
int nvmevf_cdq_check(struct nvmevf_cdq *cdq);
void nvmevf_cdq_delete(struct nvmevf_cdq *cdq);

#endif /* NVMEVF_CDQ_H */
