// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO variant driver for NVMe functions. A function that a PF can migrate, which is
 * mostly one of its virtual functions, is migrated through the VFIO uAPI; any other
 * function behaves as with vfio-pci.
 */

#include <linux/cleanup.h>
#include <linux/module.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/vfio.h>

#include "debugfs.h"
#include "dirty.h"
#include "exec.h"
#include "fence.h"
#include "lm.h"
#include "log.h"
#include "migf.h"
#include "mmc.h"
#include "ops.h"
#include "probe.h"
#include "states.h"
#include "stats.h"
#include "trace.h"
#include "vf.h"
#include "wire.h"

/* Bytes of controller state assumed before the device has been asked */
#define NVMEVF_STATE_LEN_GUESS	SZ_16K

static struct nvmevf_device *nvmevf_from_pdev(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core = pci_get_drvdata(pdev);

	return container_of(core, struct nvmevf_device, core);
}

/* The VF is or will be reset: drop everything that a reset ends */
static void nvmevf_reset_locked(struct nvmevf_device *vf)
{
	lockdep_assert_held(&vf->state_mutex);

	if (vf->session && !nvmevf_session_refused_locked(vf))
		dev_info_ratelimited(&vf->core.pdev->dev, "migration ended by a reset in %s\n",
				     nvmevf_state_name(vf->mig_state));
	trace_nvmevf_reset(vf->core.pdev, vf->mig_state);
	nvmevf_count(&vf->lm->stats, NVMEVF_NR_RESETS, 1);
	nvmevf_session_end_locked(vf);
	nvmevf_drop_saved_locked(vf);
	vf->unverified |= vf->lost || !nvmevf_is_running(vf);
	vf->was_suspended |= vf->lost || vf->lm->suspended;
	WRITE_ONCE(vf->lost, false);
	vf->lm->suspended = false;
	WRITE_ONCE(vf->mig_state, VFIO_DEVICE_STATE_RUNNING);
	nvmevf_dirty_reset_locked(vf);
}

/* No command for a VF runs across its reset: the mutex is held until reset_done */
static void nvmevf_reset_prepare(struct pci_dev *pdev)
{
	struct nvmevf_device *vf = nvmevf_from_pdev(pdev);

	if (!vf->lm)
		return;

	nvmevf_mmc_abort_begin(vf->lm->mmc);
	mutex_lock(&vf->state_mutex);
	nvmevf_lm_drop_ahead(vf->lm);
	nvmevf_mmc_reset_begin(vf->lm->mmc);
}

static void nvmevf_reset_done(struct pci_dev *pdev)
{
	struct nvmevf_device *vf = nvmevf_from_pdev(pdev);

	if (!vf->lm)
		return;

	/* not earlier: until it is reset, the VF might continue with a state that was moved */
	nvmevf_fence_lower(vf);
	nvmevf_reset_locked(vf);
	vf->stale = false;
	nvmevf_mmc_abort_end(vf->lm->mmc, true);
	mutex_unlock(&vf->state_mutex);
}

static const struct pci_error_handlers nvmevf_err_handlers = {
	.reset_prepare	= nvmevf_reset_prepare,
	.reset_done	= nvmevf_reset_done,
	.error_detected	= vfio_pci_core_aer_err_detected,
};

/* A command that was given up has succeeded after all */
static void nvmevf_late(void *priv, unsigned int flags, bool reset_since, u32 dw0)
{
	struct nvmevf_device *vf = priv;
	int ret;

	if (!reset_since)
		return;

	guard(mutex)(&vf->state_mutex);

	if (flags & NVMEVF_EXEC_LOAD) {
		nvmevf_err(&vf->lm->stats, "VF was changed after its reset: reset it again");
		nvmevf_lose_locked(vf);
	} else if ((flags & NVMEVF_EXEC_SUSPEND) && nvmevf_is_running(vf)) {
		ret = vf->lm->ops->resume(vf->lm, 0);
		if (ret && ret != -EREMOTEIO)
			nvmevf_lose_locked(vf);
	}
}

static void nvmevf_cache_registers(struct nvmevf_device *vf, struct nvme_lm_hello *hello)
{
	u32 cap_lo, cap_hi, vs;

	if (nvmevf_read_reg(vf, NVME_REG_CAP, &cap_lo) ||
	    nvmevf_read_reg(vf, NVME_REG_CAP + sizeof(u32), &cap_hi) ||
	    nvmevf_read_reg(vf, NVME_REG_VS, &vs) || cap_hi == U32_MAX)
		return;

	hello->cap = cpu_to_le64((u64)cap_hi << 32 | cap_lo);
	hello->vs = cpu_to_le32(vs);
}

static int nvmevf_open_migration(struct nvmevf_device *vf, bool was_stale)
{
	struct nvme_lm_hello regs = {};
	int ret;

	nvmevf_cache_registers(vf, &regs);

	guard(mutex)(&vf->state_mutex);

	/* reset_done runs even after a reset that failed */
	if (was_stale && !vf->core.reset_works)
		vf->stale = true;
	/* if the PF does not answer now, the first arc will ask again */
	ret = nvmevf_verify_reset_locked(vf);
	if (ret == -EINTR)
		return ret;
	if (vf->stale || ret == -ENOTCONN) {
		nvmevf_err(&vf->lm->stats, "VF could not be reset and still holds the previous user's state");
		return -EIO;
	}

	vf->lm->hello.cap = regs.cap;
	vf->lm->hello.vs = regs.vs;
	vf->lm->hello.msix = cpu_to_le16(max(pci_msix_vec_count(vf->core.pdev), 0));

	/* even an offline VF may be opened, and the PF may be unreachable */
	ret = nvmevf_lm_refresh(vf->lm, NVMEVF_EXEC_KILLABLE);
	if (ret == -EINTR)
		return ret;
	if (ret)
		pci_dbg(vf->core.pdev, "secondary controller list: %pe\n", ERR_PTR(ret));
	return 0;
}

static int nvmevf_open_device(struct vfio_device *vdev)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);
	bool was_stale = vf->stale;
	int ret;

	ret = vfio_pci_core_enable(&vf->core);
	if (ret)
		return ret;

	ret = nvmevf_open_migration(vf, was_stale);
	if (ret) {
		vfio_pci_core_disable(&vf->core);
		return ret;
	}

	vfio_pci_core_finish_enable(&vf->core);
	return 0;
}

static void nvmevf_dirty_stop(struct nvmevf_device *vf)
{
	guard(mutex)(&vf->state_mutex);
	nvmevf_dirty_stop_locked(vf, NVMEVF_EXEC_BRIEF);
}

static void nvmevf_close_device(struct vfio_device *vdev)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);

	nvmevf_mmc_abort_begin(vf->lm->mmc);
	scoped_guard(mutex, &vf->state_mutex) {
		nvmevf_reset_locked(vf);
		nvmevf_dirty_end_locked(vf);
	}
	nvmevf_mmc_reset_begin(vf->lm->mmc);

	/* the core turns bus mastering off itself */
	nvmevf_fence_drop(vf);
	/* resets the VF without reset_done, or skips the reset if a lock was taken */
	vfio_pci_core_close_device(vdev);

	scoped_guard(mutex, &vf->state_mutex)
		vf->stale = vf->core.needs_reset;
	nvmevf_mmc_abort_end(vf->lm->mmc, !vf->stale);

	/* not before the reset: tracking of a suspended VF cannot be stopped */
	nvmevf_dirty_stop(vf);
}

static int nvmevf_plain_open_device(struct vfio_device *vdev)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);
	int ret;

	ret = vfio_pci_core_enable(&vf->core);
	if (!ret)
		vfio_pci_core_finish_enable(&vf->core);
	return ret;
}

static int nvmevf_init_dev(struct vfio_device *vdev)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);
	int ret;

	spin_lock_init(&vf->fence_lock);
	mutex_init(&vf->state_mutex);
	lockdep_register_key(&vf->lock_key);
	lockdep_set_class(&vf->state_mutex, &vf->lock_key);
	vf->mig_state = VFIO_DEVICE_STATE_RUNNING;

	ret = vfio_pci_core_init_dev(vdev);
	if (ret) {
		/* the core does not call release in this case */
		mutex_destroy(&vf->state_mutex);
		lockdep_unregister_key(&vf->lock_key);
	}
	return ret;
}

static void nvmevf_release_dev(struct vfio_device *vdev)
{
	struct nvmevf_device *vf = nvmevf_from_vdev(vdev);

	mutex_destroy(&vf->state_mutex);
	lockdep_unregister_key(&vf->lock_key);
	vfio_pci_core_release_dev(vdev);
}

static const struct vfio_device_ops nvmevf_ops = {
	.open_device	= nvmevf_open_device,
	.close_device	= nvmevf_close_device,
	.read		= nvmevf_fence_read,
	.write		= nvmevf_fence_write,
	NVMEVF_COMMON_OPS,
};

static const struct vfio_device_ops nvmevf_plain_ops = {
	.open_device	= nvmevf_plain_open_device,
	.close_device	= vfio_pci_core_close_device,
	.read		= vfio_pci_core_read,
	.write		= vfio_pci_core_write,
	NVMEVF_COMMON_OPS,
};

static struct nvmevf_lm *nvmevf_probe_migration(struct pci_dev *pdev, const char **why_not)
{
	struct nvmevf_lm *lm;
	int ret;

	lm = nvmevf_lm_probe(pdev, why_not);
	if (IS_ERR(lm)) {
		pci_info(pdev, "no migration: %s\n", *why_not);
		return NULL;
	}

	ret = nvmevf_mmc_link(lm->mmc);
	if (ret) {
		nvmevf_lm_free(lm);
		return ERR_PTR(ret);
	}

	nvmevf_log_add(lm);
	return lm;
}

/* Returns the part of the bind message about it */
static const char *nvmevf_enable_logging(struct nvmevf_device *vf)
{
	if (!vf->lm->track.ranges)
		return "";
	if (!IS_ENABLED(CONFIG_IOMMUFD_DRIVER))
		return "; no DMA logging: kernel without CONFIG_IOMMUFD_DRIVER";

	vf->core.vdev.log_ops = &nvmevf_dirty_log_ops;
	return "; DMA logging";
}

static void nvmevf_enable_migration(struct nvmevf_device *vf, struct nvmevf_lm *lm)
{
	const char *only;

	vf->lm = lm;
	nvmevf_note_size_locked(vf, NVMEVF_STATE_LEN_GUESS);
	vf->core.vdev.migration_flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
					VFIO_MIGRATION_PRE_COPY;
	vf->core.vdev.mig_ops = &nvmevf_mig_ops;
	nvmevf_mmc_set_late(lm->mmc, nvmevf_late, vf);
	only = nvmevf_io_queues_only(lm) ? "; I/O queues only" : "";
	if (lm->track.why_not)
		pci_info(vf->core.pdev, "migration by %s, controller %u%s; no DMA logging: %s%s\n",
			 lm->ops->name, lm->cntlid, only, lm->track.why_not, lm->exports);
	else
		pci_info(vf->core.pdev, "migration by %s, controller %u%s%s%s\n", lm->ops->name,
			 lm->cntlid, only, nvmevf_enable_logging(vf), lm->exports);
}

static int nvmevf_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct nvmevf_device *vf;
	struct nvmevf_lm *lm;
	const char *why_not;
	int ret;

	lm = nvmevf_probe_migration(pdev, &why_not);
	if (IS_ERR(lm))
		return PTR_ERR(lm);

	vf = vfio_alloc_device(nvmevf_device, core.vdev, &pdev->dev,
			       lm ? &nvmevf_ops : &nvmevf_plain_ops);
	if (IS_ERR(vf)) {
		nvmevf_lm_free(lm);
		return PTR_ERR(vf);
	}

	dev_set_drvdata(&pdev->dev, &vf->core);
	nvmevf_set_pci_ops(&vf->core);
	vf->why_not = why_not;
	if (lm)
		nvmevf_enable_migration(vf, lm);

	ret = vfio_pci_core_register_device(&vf->core);
	if (ret) {
		nvmevf_lm_free(lm);
		vfio_put_device(&vf->core.vdev);
		return ret;
	}

	nvmevf_debugfs_add(vf);
	return 0;
}

/* The device lock is held: the reset that close had to skip can be done here */
static void nvmevf_clean_stale(struct nvmevf_device *vf)
{
	struct pci_dev *pdev = vf->core.pdev;
	int ret;

	if (!vf->stale)
		return;

	nvmevf_mmc_abort_begin(vf->lm->mmc);
	nvmevf_mmc_reset_begin(vf->lm->mmc);
	pci_save_state(pdev);
	ret = __pci_reset_function_locked(pdev);
	pci_restore_state(pdev);
	if (ret)
		pci_err(pdev, "cannot be reset and still holds the previous user's state: %pe\n",
			ERR_PTR(ret));
	vf->stale = ret;
	nvmevf_mmc_abort_end(vf->lm->mmc, !ret);
}

static void nvmevf_remove(struct pci_dev *pdev)
{
	struct nvmevf_device *vf = nvmevf_from_pdev(pdev);

	nvmevf_debugfs_remove(vf);
	vfio_pci_core_unregister_device(&vf->core);
	if (vf->lm) {
		nvmevf_clean_stale(vf);
		nvmevf_dirty_stop(vf);
		nvmevf_lm_free(vf->lm);
	}
	vfio_put_device(&vf->core.vdev);
}

static const struct pci_device_id nvmevf_table[] = {
	{
		/*
		 * Any interface: libvirt compares an alias field by field, and "i02*" is not 02
		 */
		PCI_DEVICE_CLASS(PCI_CLASS_STORAGE_EXPRESS, 0xffff00),
		.override_only = PCI_ID_F_VFIO_DRIVER_OVERRIDE,
	},
	{}
};
MODULE_DEVICE_TABLE(pci, nvmevf_table);

static struct pci_driver nvmevf_driver = {
	.name			= "nvme-vfio-pci",
	.id_table		= nvmevf_table,
	.probe			= nvmevf_probe,
	.remove			= nvmevf_remove,
	.err_handler		= &nvmevf_err_handlers,
	.driver_managed_dma	= true,
};

static int __init nvmevf_init(void)
{
	int ret;

	ret = nvmevf_mmc_init();
	if (ret)
		return ret;

	nvmevf_debugfs_init();
	ret = pci_register_driver(&nvmevf_driver);
	if (ret) {
		nvmevf_debugfs_exit();
		nvmevf_mmc_exit();
	}
	return ret;
}
module_init(nvmevf_init);

static void __exit nvmevf_exit(void)
{
	pci_unregister_driver(&nvmevf_driver);
	nvmevf_debugfs_exit();
	nvmevf_mmc_exit();
}
module_exit(nvmevf_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO PCI driver for NVMe functions, with live migration of virtual functions");
