// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of one transfer. A command that was given up still owns its buffer.
 */

#include <linux/slab.h>

#include "buf.h"

/**
 * nvmevf_buf_alloc - allocate the memory of one transfer
 * @len: bytes, a multiple of 4
 *
 * Context: Process; sleeps. The memory is accounted to the caller's cgroup.
 * Return: the zeroed buffer with one reference, or NULL.
 */
struct nvmevf_buf *nvmevf_buf_alloc(size_t len)
{
	struct nvmevf_buf *buf = kzalloc_obj(*buf, GFP_KERNEL_ACCOUNT);

	if (!buf)
		return NULL;

	/* no warning: a user can cause the failure, and gets an errno */
	buf->data = kvzalloc(len, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!buf->data) {
		kfree(buf);
		return NULL;
	}

	kref_init(&buf->ref);
	buf->len = len;
	return buf;
}

static void nvmevf_buf_release(struct kref *ref)
{
	struct nvmevf_buf *buf = container_of(ref, struct nvmevf_buf, ref);

	kvfree(buf->data);
	kfree(buf);
}

/**
 * nvmevf_buf_put - drop a reference to a transfer's memory
 * @buf: the buffer or NULL
 *
 * Context: Process; may sleep.
 */
void nvmevf_buf_put(struct nvmevf_buf *buf)
{
	if (buf)
		kref_put(&buf->ref, nvmevf_buf_release);
}
