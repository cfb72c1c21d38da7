/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Log of the user data that a controller changes
 *
 * A physical function that manages live migration and can track user data (TRATTR.TUDCS) has a
 * character device /dev/nvme-lm/ADDRESS. An open file of it is the log of one controller of the
 * subsystem: NVME_LM_LOG_START begins it, read() returns its entries in the format of the NVM
 * Command Set Specification (User Data Migration Queue, LBA migration queue entry type 0), and
 * closing the file ends it. This interface is provisional.
 */

#ifndef _UAPI_LINUX_NVME_LM_LOG_H
#define _UAPI_LINUX_NVME_LM_LOG_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct nvme_lm_log_entry - one change, NVM Command Set Specification 1.2, section 5.6
 * @nsid: the namespace; 0 in an entry without a range
 * @nlb: number of logical blocks, 0's based
 * @slba: first logical block
 * @rsvd16: reserved
 * @attr: enum nvme_lm_log_attr
 */
struct nvme_lm_log_entry {
	__le32	nsid;
	__le32	nlb;
	__le64	slba;
	__u8	rsvd16[15];
	__u8	attr;
};

/**
 * enum nvme_lm_log_attr - last byte of an entry
 * @NVME_LM_LOG_PHASE: phase tag; it has no meaning in what read() returns
 * @NVME_LM_LOG_ESA_MASK: why the entry was made, one of NVME_LM_LOG_ESA_*
 * @NVME_LM_LOG_ESA_CHANGE: a change
 * @NVME_LM_LOG_ESA_FIRST: first entry after the start or after a Resume
 * @NVME_LM_LOG_ESA_STOPPED: last entry: logging was stopped
 * @NVME_LM_LOG_ESA_SUSPENDED: last entry until a Resume: the controller is suspended
 * @NVME_LM_LOG_ESA_FULL: last entry: the queue was full, and changes were lost
 * @NVME_LM_LOG_DEALLOCATED: the blocks were deallocated; otherwise they were written or deallocated
 * @NVME_LM_LOG_LBACIR_MASK: what changed, one of NVME_LM_LOG_LBACIR_*
 * @NVME_LM_LOG_LBACIR_RANGE: the range of blocks in the entry
 * @NVME_LM_LOG_LBACIR_NAMESPACE: anything in the namespace
 * @NVME_LM_LOG_LBACIR_NONE: nothing; the entry is only a marker
 */
enum nvme_lm_log_attr {
	NVME_LM_LOG_PHASE		= 1 << 0,
	NVME_LM_LOG_ESA_MASK		= 7 << 1,
	NVME_LM_LOG_ESA_CHANGE		= 0 << 1,
	NVME_LM_LOG_ESA_FIRST		= 1 << 1,
	NVME_LM_LOG_ESA_STOPPED		= 2 << 1,
	NVME_LM_LOG_ESA_SUSPENDED	= 3 << 1,
	NVME_LM_LOG_ESA_FULL		= 7 << 1,
	NVME_LM_LOG_DEALLOCATED		= 1 << 5,
	NVME_LM_LOG_LBACIR_MASK		= 3 << 6,
	NVME_LM_LOG_LBACIR_RANGE	= 0 << 6,
	NVME_LM_LOG_LBACIR_NAMESPACE	= 1 << 6,
	NVME_LM_LOG_LBACIR_NONE		= 2 << 6,
};

/**
 * struct nvme_lm_log_start - argument of NVME_LM_LOG_START
 * @argsz: size of this structure
 * @flags: must be 0
 * @entries: in: entries that the queue shall have, 0 for as many as the driver finds right;
 *	     out: entries that it has
 * @cntlid: the controller whose changes are logged
 * @rsvd: must be 0
 */
struct nvme_lm_log_start {
	__u32	argsz;
	__u32	flags;
	__u32	entries;
	__u16	cntlid;
	__u16	rsvd;
};

/*
 * NVME_LM_LOG_START - create the queue and start logging; once per open file
 *
 * Errors: EBUSY the controller is logged already, or is suspended, or this file had a log before,
 * or the physical function takes no command now; EINVAL a bad argument; ENODEV no such controller,
 * or the device is gone; ENOSPC the physical function has no queue left; ENOMEM; ENOTCONN the
 * physical function was reset; ETIMEDOUT it does not answer; EINTR a fatal signal; EIO the device
 * refused it. After an error it can be tried again.
 *
 * After it read() returns whole entries, at least one, and waits for one unless O_NONBLOCK is set
 * (EAGAIN). An entry is given back to the device when read() has returned it. read() returns 0
 * after an entry ESA_STOPPED or ESA_FULL; ENOTCONN if the physical function was reset, which loses
 * the log; ENODEV if the device is gone; EIO if the device refuses to take entries back; EINVAL for
 * a buffer smaller than an entry or without a log. poll() reports EPOLLIN for all of these, and
 * EPOLLHUP with what is an end.
 */
#define NVME_LM_LOG_START	_IOWR('N', 0xa0, struct nvme_lm_log_start)

/*
 * NVME_LM_LOG_STOP - stop logging; entries that are there can still be read, the last is
 * ESA_STOPPED. It returns 0, too, if logging has ended before.
 *
 * Errors: EBUSY the controller is suspended; EINVAL there was no log; ENOTCONN and ENODEV as of
 * read(); EIO the device refused it.
 */
#define NVME_LM_LOG_STOP	_IO('N', 0xa1)

#endif /* _UAPI_LINUX_NVME_LM_LOG_H */
