/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints for the steps of a migration and their durations. None shows an
 * address of guest memory.
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM nvme_vfio_pci

#if !defined(NVMEVF_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define NVMEVF_TRACE_H

#include <linux/pci.h>
#include <linux/tracepoint.h>
#include <linux/vfio.h>

#include "nvme_lm_stream.h"
#include "nvme_pf.h"

#define nvmevf_show_state(state)						\
	__print_symbolic(state,							\
			 { VFIO_DEVICE_STATE_ERROR,		"ERROR" },	\
			 { VFIO_DEVICE_STATE_STOP,		"STOP" },	\
			 { VFIO_DEVICE_STATE_RUNNING,		"RUNNING" },	\
			 { VFIO_DEVICE_STATE_STOP_COPY,		"STOP_COPY" },	\
			 { VFIO_DEVICE_STATE_RESUMING,		"RESUMING" },	\
			 { VFIO_DEVICE_STATE_RUNNING_P2P,	"RUNNING_P2P" },\
			 { VFIO_DEVICE_STATE_PRE_COPY,		"PRE_COPY" },	\
			 { VFIO_DEVICE_STATE_PRE_COPY_P2P,	"PRE_COPY_P2P" })

#define nvmevf_show_record(tag)							\
	__print_symbolic(tag,							\
			 { NVME_LM_REC_HELLO,			"HELLO" },	\
			 { NVME_LM_REC_STATE,			"STATE" },	\
			 { NVME_LM_REC_END,			"END" })

/* One arc of the state machine, after it was taken */
TRACE_EVENT(nvmevf_arc,

	TP_PROTO(const struct pci_dev *pdev, u32 from, u32 to, int result, s64 us),

	TP_ARGS(pdev, from, to, result, us),

	TP_STRUCT__entry(
		__string(device, pci_name(pdev))
		__field(u32, from)
		__field(u32, to)
		__field(int, result)
		__field(s64, us)
	),

	TP_fast_assign(
		__assign_str(device);
		__entry->from = from;
		__entry->to = to;
		__entry->result = result;
		__entry->us = us;
	),

	TP_printk("device=%s from=%s to=%s result=%d us=%lld", __get_str(device),
		  nvmevf_show_state(__entry->from), nvmevf_show_state(__entry->to),
		  __entry->result, __entry->us)
);

/* The VF was reset, which ends any migration */
TRACE_EVENT(nvmevf_reset,

	TP_PROTO(const struct pci_dev *pdev, u32 from),

	TP_ARGS(pdev, from),

	TP_STRUCT__entry(
		__string(device, pci_name(pdev))
		__field(u32, from)
	),

	TP_fast_assign(
		__assign_str(device);
		__entry->from = from;
	),

	TP_printk("device=%s from=%s", __get_str(device), nvmevf_show_state(__entry->from))
);

/*
 * A command on the PF's admin queue. @status is an NVMe status, or a negative errno
 * if there is none. The meaning of @select and @offset depends on the opcode.
 */
TRACE_EVENT(nvmevf_command,

	TP_PROTO(const struct pci_dev *pdev, const struct nvme_pf_op *op, u16 cntlid,
		 size_t len, int status, s64 us),

	TP_ARGS(pdev, op, cntlid, len, status, us),

	TP_STRUCT__entry(
		__string(device, pci_name(pdev))
		__string(command, op->verb->name)
		__field(u8, opcode)
		__field(u8, select)
		__field(u16, cntlid)
		__field(u64, offset)
		__field(size_t, len)
		__field(int, status)
		__field(s64, us)
	),

	TP_fast_assign(
		__assign_str(device);
		__assign_str(command);
		__entry->opcode = op->verb->opcode;
		__entry->select = op->verb->select;
		__entry->cntlid = cntlid;
		__entry->offset = op->offset;
		__entry->len = len;
		__entry->status = status;
		__entry->us = us;
	),

	TP_printk("device=%s opcode=%#x (%s) select=%#x cntlid=%u offset=%llu length=%zu status=%#x errno=%d us=%lld",
		  __get_str(device), __entry->opcode, __get_str(command),
		  __entry->select, __entry->cntlid, __entry->offset, __entry->len,
		  max(__entry->status, 0), min(__entry->status, 0), __entry->us)
);

/*
 * How long a command waited: for admission, for a tag of the admin queue and a live
 * PF, for the device
 */
TRACE_EVENT(nvmevf_wait,

	TP_PROTO(const struct pci_dev *pdev, const struct nvme_pf_op *op, s64 admission_us,
		 s64 tag_us, s64 device_us),

	TP_ARGS(pdev, op, admission_us, tag_us, device_us),

	TP_STRUCT__entry(
		__string(device, pci_name(pdev))
		__string(command, op->verb->name)
		__field(u8, opcode)
		__field(s64, admission_us)
		__field(s64, tag_us)
		__field(s64, device_us)
	),

	TP_fast_assign(
		__assign_str(device);
		__assign_str(command);
		__entry->opcode = op->verb->opcode;
		__entry->admission_us = admission_us;
		__entry->tag_us = tag_us;
		__entry->device_us = device_us;
	),

	TP_printk("device=%s opcode=%#x (%s) admission_us=%lld tag_us=%lld device_us=%lld",
		  __get_str(device), __entry->opcode, __get_str(command),
		  __entry->admission_us, __entry->tag_us, __entry->device_us)
);

/* A record of a stream: made for a save, or begun by a load */
TRACE_EVENT(nvmevf_record,

	TP_PROTO(const struct pci_dev *pdev, bool out, u32 tag, u64 len),

	TP_ARGS(pdev, out, tag, len),

	TP_STRUCT__entry(
		__string(device, pci_name(pdev))
		__field(bool, out)
		__field(u32, tag)
		__field(u64, len)
	),

	TP_fast_assign(
		__assign_str(device);
		__entry->out = out;
		__entry->tag = tag;
		__entry->len = len;
	),

	TP_printk("device=%s %s tag=%#x (%s) length=%llu", __get_str(device),
		  __entry->out ? "out" : "in", __entry->tag, nvmevf_show_record(__entry->tag),
		  __entry->len)
);

/* A round of DMA logging: the dirty memory that the device returned for one report */
TRACE_EVENT(nvmevf_report,

	TP_PROTO(const struct pci_dev *pdev, bool running, unsigned int reads, u64 ranges,
		 u64 bytes, int result, s64 us),

	TP_ARGS(pdev, running, reads, ranges, bytes, result, us),

	TP_STRUCT__entry(
		__string(device, pci_name(pdev))
		__field(bool, running)
		__field(unsigned int, reads)
		__field(u64, ranges)
		__field(u64, bytes)
		__field(int, result)
		__field(s64, us)
	),

	TP_fast_assign(
		__assign_str(device);
		__entry->running = running;
		__entry->reads = reads;
		__entry->ranges = ranges;
		__entry->bytes = bytes;
		__entry->result = result;
		__entry->us = us;
	),

	TP_printk("device=%s %s reads=%u ranges=%llu bytes=%llu result=%d us=%lld",
		  __get_str(device), __entry->running ? "running" : "suspended", __entry->reads,
		  __entry->ranges, __entry->bytes, __entry->result, __entry->us)
);

#endif /* NVMEVF_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
