/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_BUF_H
#define NVMEVF_BUF_H

#include <linux/kref.h>
#include <linux/types.h>

/**
 * struct nvmevf_buf - memory of one transfer, owned by whoever still needs it
 * @ref: the session or device that uses it, and the command that transfers it
 * @len: bytes at @data
 * @data: the memory, page aligned or at least dword aligned
 */
struct nvmevf_buf {
	struct kref ref;
	size_t len;
	void *data;
};

struct nvmevf_buf *nvmevf_buf_alloc(size_t len);
void nvmevf_buf_put(struct nvmevf_buf *buf);

#endif /* NVMEVF_BUF_H */
