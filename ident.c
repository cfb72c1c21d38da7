// SPDX-License-Identifier: GPL-2.0-only
/*
 * Identify Controller data of an NVMe function, read through an admin queue of the
 * function itself before anybody owns it.
 *
 * This is independent of migration, and works for functions other than VFs, too. The
 * function is left disabled; one that is no VF is reset, too.
 */

#include <linux/dma-mapping.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iommu.h>
#include <linux/iopoll.h>
#include <linux/minmax.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>

#include "ident.h"
#include "wire.h"

/* Up to the doorbell of the admin submission queue; no other doorbell is needed */
#define NVMEVF_FUNCTION_REGS	(NVME_REG_DBS + sizeof(u32))

/* Smallest admin queues: room for a command, and for the entry that stays free */
#define NVMEVF_FUNCTION_DEPTH	2

#define NVMEVF_POLL_US		1000

/*
 * How long a function that is no VF may take to become ready, whatever its CAP.TO. A VF
 * is as slow as its PF, which nvme has waited for.
 */
#define NVMEVF_READY_MS		5000

/* An answer to another command is none */
#define NVMEVF_FUNCTION_CID	0x4159

/* Admin commands only, for a function without any other command set */
#define NVMEVF_CC_CSS_ADMIN	(7 << NVME_CC_CSS_SHIFT)

/**
 * struct nvmevf_function - a function to identify
 * @pdev: the function
 * @bar: its registers
 * @cap: CAP
 * @page: size of its pages, in bytes
 * @sq: its admin submission queue
 * @cq: its admin completion queue
 * @data: the data that Identify returns
 * @dma: DMA address of these three, one page each
 */
struct nvmevf_function {
	struct pci_dev *pdev;
	void __iomem *bar;
	u64 cap;
	size_t page;
	struct nvme_command *sq;
	struct nvme_completion *cq;
	void *data;
	dma_addr_t dma;
};

static int nvmevf_count_device(struct device *dev, void *data)
{
	unsigned int *devices = data;

	return ++*devices > 1;
}

/*
 * Mappings of the DMA API are in effect as long as nobody has claimed the IOMMU group
 * for a user. A function alone in its group can be claimed only through its driver.
 */
static bool nvmevf_function_is_alone(struct pci_dev *pdev)
{
	struct iommu_group *group = iommu_group_get(&pdev->dev);
	unsigned int devices = 0;

	if (!group)
		return true;

	iommu_group_for_each_dev(group, &devices, nvmevf_count_device);
	iommu_group_put(group);
	return devices == 1;
}

static bool nvmevf_function_failed(u32 csts)
{
	return csts == U32_MAX || (csts & NVME_CSTS_CFS);
}

static u64 nvmevf_function_limit_us(const struct nvmevf_function *f)
{
	u64 limit_ms = (NVME_CAP_TIMEOUT(f->cap) + 1) * 500;

	return (f->pdev->is_virtfn ? limit_ms : min(limit_ms, NVMEVF_READY_MS)) * USEC_PER_MSEC;
}

static int nvmevf_function_wait(const struct nvmevf_function *f, u32 ready)
{
	u32 csts;
	int ret;

	ret = read_poll_timeout(readl, csts, (csts & NVME_CSTS_RDY) == ready ||
				nvmevf_function_failed(csts) || fatal_signal_pending(current),
				NVMEVF_POLL_US, nvmevf_function_limit_us(f), false,
				f->bar + NVME_REG_CSTS);
	if (nvmevf_function_failed(csts))
		return -ENODEV;
	if ((csts & NVME_CSTS_RDY) == ready)
		return 0;
	return ret ?: -EINTR;
}

static u32 nvmevf_function_css(u64 cap)
{
	if (NVME_CAP_CSS(cap) & NVME_CAP_CSS_NVM)
		return NVME_CC_CSS_NVM;
	if (NVME_CAP_CSS(cap) & NVME_CAP_CSS_CSI)
		return NVME_CC_CSS_CSI;
	return NVMEVF_CC_CSS_ADMIN;
}

static int nvmevf_function_enable(const struct nvmevf_function *f)
{
	const u32 depth = NVMEVF_FUNCTION_DEPTH - 1;

	writel(depth << 16 | depth, f->bar + NVME_REG_AQA);
	lo_hi_writeq(f->dma, f->bar + NVME_REG_ASQ);
	lo_hi_writeq(f->dma + f->page, f->bar + NVME_REG_ACQ);
	writel(NVME_CC_ENABLE | nvmevf_function_css(f->cap) | NVME_CC_IOSQES | NVME_CC_IOCQES |
	       (u32)NVME_CAP_MPSMIN(f->cap) << NVME_CC_MPS_SHIFT, f->bar + NVME_REG_CC);

	return nvmevf_function_wait(f, NVME_CSTS_RDY);
}

static int nvmevf_function_reset(struct pci_dev *pdev)
{
	int ret;

	pci_save_state(pdev);
	ret = __pci_reset_function_locked(pdev);
	pci_restore_state(pdev);
	return ret;
}

/* A VF that disables itself need not be reset: its PF knows it */
static int nvmevf_function_disable(const struct nvmevf_function *f)
{
	int ret;

	writel(0, f->bar + NVME_REG_CC);
	ret = nvmevf_function_wait(f, 0);
	pci_clear_master(f->pdev);
	if (ret || !f->pdev->is_virtfn)
		ret = nvmevf_function_reset(f->pdev);

	writel(0, f->bar + NVME_REG_AQA);
	lo_hi_writeq(0, f->bar + NVME_REG_ASQ);
	lo_hi_writeq(0, f->bar + NVME_REG_ACQ);
	return ret;
}

/* The queues are new: it is slot 0 of each, and phase 1 */
static int nvmevf_function_command(const struct nvmevf_function *f, unsigned int timeout_ms)
{
	__le16 status;
	u16 code;
	int ret;

	*f->sq = (struct nvme_command) {
		.identify.opcode = nvme_admin_identify,
		.identify.command_id = NVMEVF_FUNCTION_CID,
		.identify.cns = NVME_ID_CNS_CTRL,
		.identify.dptr.prp1 = cpu_to_le64(f->dma + 2 * f->page),
	};
	/* writel() orders the queue entry before the doorbell */
	writel(1, f->bar + NVME_REG_DBS);

	ret = read_poll_timeout(READ_ONCE, status, (status & cpu_to_le16(1)) ||
				fatal_signal_pending(current), NVMEVF_POLL_US,
				(u64)timeout_ms * USEC_PER_MSEC, false, f->cq->status);
	if (!(status & cpu_to_le16(1)))
		return ret ?: -EINTR;

	/* read the entry before the data */
	dma_rmb();
	if (READ_ONCE(f->cq->command_id) != NVMEVF_FUNCTION_CID)
		return -EPROTO;
	code = le16_to_cpu(status) >> 1 & NVME_SCT_SC_MASK;
	return code ? nvmevf_status_to_errno(code) : 0;
}

static int nvmevf_function_ask(const struct nvmevf_function *f, struct nvme_id_ctrl *id,
			       unsigned int timeout_ms)
{
	int ret;

	ret = nvmevf_function_enable(f);
	if (!ret)
		ret = nvmevf_function_command(f, timeout_ms);
	if (!ret)
		memcpy(id, f->data, sizeof(*id));

	return ret;
}

static int nvmevf_function_alloc(struct nvmevf_function *f)
{
	f->sq = dma_alloc_coherent(&f->pdev->dev, 3 * f->page, &f->dma, GFP_KERNEL);
	if (!f->sq)
		return -ENOMEM;

	f->cq = (void *)f->sq + f->page;
	f->data = (void *)f->cq + f->page;
	return 0;
}

/* An offline controller reports a fatal status and nothing else */
static int nvmevf_function_look(struct nvmevf_function *f)
{
	if (nvmevf_function_failed(readl(f->bar + NVME_REG_CSTS)))
		return -ENODEV;

	f->cap = lo_hi_readq(f->bar + NVME_REG_CAP);
	f->page = SZ_4K << NVME_CAP_MPSMIN(f->cap);
	if (!f->cap)
		return -ENODEV;
	if (f->page > PAGE_SIZE)
		return -EOPNOTSUPP;

	/* its last owner may have left it enabled */
	if (!(readl(f->bar + NVME_REG_CC) & NVME_CC_ENABLE))
		return 0;
	writel(0, f->bar + NVME_REG_CC);
	return nvmevf_function_wait(f, 0);
}

static int nvmevf_function_use(struct nvmevf_function *f, struct nvme_id_ctrl *id,
			       unsigned int timeout_ms)
{
	int ret;

	ret = nvmevf_function_look(f);
	if (ret)
		return ret;

	ret = nvmevf_function_alloc(f);
	if (ret)
		return ret;

	pci_set_master(f->pdev);
	ret = nvmevf_function_ask(f, id, timeout_ms);
	if (!nvmevf_function_disable(f)) {
		dma_free_coherent(&f->pdev->dev, 3 * f->page, f->sq, f->dma);
		return ret;
	}

	/* it may still write there, if it ignores that it is no bus master */
	pci_warn(f->pdev, "can be neither disabled nor reset: %zu bytes of memory remain its own\n",
		 3 * f->page);
	return ret ?: -EIO;
}

static int nvmevf_function_map_and_use(struct nvmevf_function *f, struct nvme_id_ctrl *id,
				       unsigned int timeout_ms)
{
	int ret = 0;

	if (!(pci_resource_flags(f->pdev, 0) & IORESOURCE_MEM) ||
	    pci_resource_len(f->pdev, 0) < NVMEVF_FUNCTION_REGS)
		return -ENODEV;

	f->bar = pci_iomap(f->pdev, 0, NVMEVF_FUNCTION_REGS);
	if (!f->bar)
		return -ENOMEM;

	/* the previous user may have loaded a state, with another identity */
	if (!f->pdev->is_virtfn)
		ret = nvmevf_function_reset(f->pdev);
	if (!ret)
		ret = nvmevf_function_use(f, id, timeout_ms);
	pci_iounmap(f->pdev, f->bar);
	return ret;
}

/**
 * nvmevf_function_identify - ask an NVMe function for its Identify Controller data
 * @pdev: the function, unused and not yet bound to a driver
 * @id: its data
 * @timeout_ms: how long the command may take, in milliseconds
 *
 * The function is enabled with an admin queue in memory of the host, and disabled
 * again. It has to become ready within the time in its CAP.TO. A function that is no
 * VF is reset before and after that, and has five seconds at most to become ready.
 *
 * Context: Process, probe of @pdev: the device lock is held, and keeps everybody
 * else from claiming the function; sleeps, a fatal signal ends it.
 * Return: 0; -EBUSY if @pdev shares its IOMMU group, which somebody may have
 * claimed; -ENOTTY if it is no VF and has no function level reset; -ENODEV if there
 * is no controller, as with a VF that is offline, or if it fails; -EOPNOTSUPP if its
 * smallest page is larger than the host's; -ETIMEDOUT; -EPROTO if it answered another
 * command; the errno of a status; another negative errno.
 */
int nvmevf_function_identify(struct pci_dev *pdev, struct nvme_id_ctrl *id,
			     unsigned int timeout_ms)
{
	struct nvmevf_function f = { .pdev = pdev };
	u16 command;
	int ret;

	if (!nvmevf_function_is_alone(pdev))
		return -EBUSY;
	if (!pdev->is_virtfn && pcie_reset_flr(pdev, PCI_RESET_PROBE))
		return -ENOTTY;

	/* before pci_enable_device_mem(), which then has nothing to report */
	pci_read_config_word(pdev, PCI_COMMAND, &command);
	pci_write_config_word(pdev, PCI_COMMAND, (command & ~PCI_COMMAND_MASTER) |
			      PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);

	ret = pci_enable_device_mem(pdev);
	if (!ret) {
		ret = nvmevf_function_map_and_use(&f, id, timeout_ms);
		pci_disable_device(pdev);
	}

	/* as before, but a function without a driver must not access memory */
	pci_write_config_word(pdev, PCI_COMMAND, command & ~PCI_COMMAND_MASTER);
	return ret;
}
