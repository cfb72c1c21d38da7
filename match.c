// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a VF can take over the state of another: HELLO is filled in on the source,
 * and compared with the VF on the destination.
 */

#include <kunit/visibility.h>
#include <linux/export.h>
#include <linux/nvme.h>
#include <linux/string.h>
#include <linux/uuid.h>

#include "lm.h"
#include "match.h"
#include "nvme.h"
#include "refusal.h"

/**
 * nvmevf_hello_fill - begin a HELLO with the identity of a controller
 * @hello: the payload; members that are not from Identify are filled in elsewhere
 * @id: Identify Controller data
 * @ident: the controller that @id is from
 */
void nvmevf_hello_fill(struct nvme_lm_hello *hello, const struct nvme_id_ctrl *id,
		       enum nvme_lm_ident ident)
{
	hello->magic = cpu_to_le64(NVME_LM_STREAM_MAGIC);
	hello->version = cpu_to_le16(NVME_LM_STREAM_VERSION);
	hello->ident = ident;
	hello->vid = id->vid;
	hello->ssvid = id->ssvid;
	hello->oncs = id->oncs;
	hello->mdts = id->mdts;
	hello->aerl = id->aerl;
	hello->sgls = id->sgls;
	memcpy(hello->sn, id->sn, sizeof(hello->sn));
	memcpy(hello->mn, id->mn, sizeof(hello->mn));
	memcpy(hello->subnqn, id->subnqn, sizeof(hello->subnqn));
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_hello_fill);

/* Length without padding: the specification requires spaces, some devices use NULs */
static int nvmevf_text_len(const char *text, size_t size)
{
	while (size && (text[size - 1] == ' ' || !text[size - 1]))
		size--;
	return size;
}

static bool nvmevf_same_text(const char *a, const char *b, size_t size)
{
	int len = nvmevf_text_len(a, size);

	return len == nvmevf_text_len(b, size) && !memcmp(a, b, len);
}

/**
 * nvmevf_hello_is_sibling - whether a controller belongs to the subsystem of the PF
 * @hello: filled by nvmevf_hello_fill() from the PF's Identify Controller data
 * @id: Identify Controller data of the other controller
 *
 * Return: true if vendor, serial number and subsystem name are the same.
 */
bool nvmevf_hello_is_sibling(const struct nvme_lm_hello *hello, const struct nvme_id_ctrl *id)
{
	return id->vid == hello->vid &&
	       nvmevf_same_text(id->sn, hello->sn, sizeof(hello->sn)) &&
	       !strncmp(id->subnqn, hello->subnqn, sizeof(hello->subnqn));
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_hello_is_sibling);

/**
 * nvmevf_hello_is_exported - whether a VF looks like a controller of an exported subsystem
 * @hello: filled by nvmevf_hello_fill() from the PF's Identify Controller data
 * @id: Identify Controller data of the VF
 *
 * Base Specification 2.4: such a controller shows its configured identity. The
 * template of the NVM Command Set fixes version and controller id.
 *
 * Return: true if the VF reports version 2.3, controller id 0 and another subsystem
 * than the PF.
 */
bool nvmevf_hello_is_exported(const struct nvme_lm_hello *hello, const struct nvme_id_ctrl *id)
{
	return le32_to_cpu(id->ver) == NVME_VS(2, 3, 0) && !id->cntlid &&
	       strncmp(id->subnqn, hello->subnqn, sizeof(hello->subnqn));
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_hello_is_exported);

/* The guest has seen these, so they must be the same on both sides */
static int nvmevf_check_identity(struct nvmevf_refusal *refusal, const struct nvme_lm_hello *in,
				 const struct nvme_lm_hello *own)
{
	if (in->vid != own->vid || in->ssvid != own->ssvid)
		return nvmevf_refuse(refusal, -EXDEV, "vendor %04x:%04x, here %04x:%04x",
				     le16_to_cpu(in->vid), le16_to_cpu(in->ssvid),
				     le16_to_cpu(own->vid), le16_to_cpu(own->ssvid));
	if (!nvmevf_same_text(in->sn, own->sn, sizeof(in->sn)))
		return nvmevf_refuse(refusal, -EXDEV, "serial number %*pE, here %*pE",
				     nvmevf_text_len(in->sn, sizeof(in->sn)), in->sn,
				     nvmevf_text_len(own->sn, sizeof(own->sn)), own->sn);
	if (!nvmevf_same_text(in->mn, own->mn, sizeof(in->mn)))
		return nvmevf_refuse(refusal, -EXDEV, "model %*pE, here %*pE",
				     nvmevf_text_len(in->mn, sizeof(in->mn)), in->mn,
				     nvmevf_text_len(own->mn, sizeof(own->mn)), own->mn);
	/* a string: bytes after its NUL are not part of the name */
	if (strncmp(in->subnqn, own->subnqn, sizeof(in->subnqn)))
		return nvmevf_refuse(refusal, -EXDEV, "subsystem %*pE, here %*pE",
				     (int)strnlen(in->subnqn, sizeof(in->subnqn)), in->subnqn,
				     (int)strnlen(own->subnqn, sizeof(own->subnqn)), own->subnqn);
	return 0;
}

static int nvmevf_check_vectors(struct nvmevf_refusal *refusal, const struct nvme_lm_hello *in,
				const struct nvme_lm_hello *own)
{
	if (in->msix != own->msix)
		return nvmevf_refuse(refusal, -ERANGE, "%u MSI-X vectors, here %u",
				     le16_to_cpu(in->msix), le16_to_cpu(own->msix));
	return 0;
}

static unsigned int nvmevf_mdts(const struct nvme_lm_hello *hello)
{
	return hello->mdts ?: U8_MAX;
}

#define NVMEVF_SGLS_SUPPORT(sgls)	((sgls) & 0x3)
#define NVMEVF_SGLS_ANY			0x1
#define NVMEVF_SGLS_DWORDS		0x2
/* Not features: the kind of SGL support, and a recommended number of descriptors */
#define NVMEVF_SGLS_OTHER		(GENMASK(15, 8) | 0x3)

/* Whether a guest can continue to use SGLs as before */
static bool nvmevf_sgls_suffice(u32 in, u32 own)
{
	u32 support = NVMEVF_SGLS_SUPPORT(in);

	if (!support)
		return true;
	if (support != NVMEVF_SGLS_SUPPORT(own) &&
	    (support != NVMEVF_SGLS_DWORDS || NVMEVF_SGLS_SUPPORT(own) != NVMEVF_SGLS_ANY))
		return false;

	return !(in & ~own & ~NVMEVF_SGLS_OTHER);
}

/*
 * Limits that a running guest may rely on, even if the state shows no use of them. The
 * numbers of queues and event requests are part of the state, and the device checks
 * them.
 */
static int nvmevf_check_limits(struct nvmevf_refusal *refusal, const struct nvme_lm_hello *in,
			       const struct nvme_lm_hello *own)
{
	if (nvmevf_mdts(in) > nvmevf_mdts(own))
		return nvmevf_refuse(refusal, -ERANGE, "MDTS %u, here %u", in->mdts, own->mdts);
	if (le16_to_cpu(in->oncs) & ~le16_to_cpu(own->oncs))
		return nvmevf_refuse(refusal, -ERANGE, "ONCS %#x, here %#x",
				     le16_to_cpu(in->oncs), le16_to_cpu(own->oncs));
	if (!nvmevf_sgls_suffice(le32_to_cpu(in->sgls), le32_to_cpu(own->sgls)))
		return nvmevf_refuse(refusal, -ERANGE, "SGLS %#x, here %#x",
				     le32_to_cpu(in->sgls), le32_to_cpu(own->sgls));
	return 0;
}

#define NVMEVF_CAP_AMS(cap)	(((cap) >> 17) & 0x3)

static int nvmevf_check_cap(struct nvmevf_refusal *refusal, u64 in, u64 own)
{
	if (!in || !own)
		return nvmevf_refuse(refusal, -ERANGE, "CAP %#llx, here %#llx", in, own);
	if (NVME_CAP_MQES(in) > NVME_CAP_MQES(own))
		return nvmevf_refuse(refusal, -ERANGE, "CAP.MQES %llu, here %llu",
				     (u64)NVME_CAP_MQES(in), (u64)NVME_CAP_MQES(own));
	if (NVMEVF_CAP_CQR(own) > NVMEVF_CAP_CQR(in))
		return nvmevf_refuse(refusal, -ERANGE, "CAP.CQR 0, here 1");
	if (NVMEVF_CAP_AMS(in) & ~NVMEVF_CAP_AMS(own))
		return nvmevf_refuse(refusal, -ERANGE, "CAP.AMS %llu, here %llu",
				     NVMEVF_CAP_AMS(in), NVMEVF_CAP_AMS(own));
	if (NVME_CAP_STRIDE(in) != NVME_CAP_STRIDE(own))
		return nvmevf_refuse(refusal, -ERANGE, "CAP.DSTRD %llu, here %llu",
				     (u64)NVME_CAP_STRIDE(in), (u64)NVME_CAP_STRIDE(own));
	if (NVME_CAP_CSS(in) & ~NVME_CAP_CSS(own))
		return nvmevf_refuse(refusal, -ERANGE, "CAP.CSS %#llx, here %#llx",
				     (u64)NVME_CAP_CSS(in), (u64)NVME_CAP_CSS(own));
	if (NVME_CAP_MPSMIN(in) < NVME_CAP_MPSMIN(own) ||
	    NVME_CAP_MPSMAX(in) > NVME_CAP_MPSMAX(own))
		return nvmevf_refuse(refusal, -ERANGE,
				     "CAP.MPSMIN..MPSMAX %llu..%llu, here %llu..%llu",
				     (u64)NVME_CAP_MPSMIN(in), (u64)NVME_CAP_MPSMAX(in),
				     (u64)NVME_CAP_MPSMIN(own), (u64)NVME_CAP_MPSMAX(own));
	return 0;
}

/* Indexes are local to a device, so a format is found by version and UUID */
static bool nvmevf_match_format(struct nvmevf_lm *lm, const struct nvme_lm_hello *in)
{
	unsigned int i;
	uuid_t uuid;

	if (in->state_ver != lm->hello.state_ver)
		return false;

	import_uuid(&uuid, in->uuid);
	lm->load_csuuidi = 0;
	if (uuid_is_null(&uuid))
		return !lm->csuuidi;

	for (i = 0; i < lm->nuuid && !lm->load_csuuidi; i++)
		if (uuid_equal(&uuid, &lm->uuids[i]))
			lm->load_csuuidi = i + 1;

	return lm->load_csuuidi;
}

static int nvmevf_check_format(struct nvmevf_refusal *refusal, const struct nvme_lm_hello *in,
			       size_t max_xfer, struct nvmevf_lm *lm)
{
	u64 total = le64_to_cpu(in->state_len);

	if (in->cmdset != lm->hello.cmdset)
		return nvmevf_refuse(refusal, -EOPNOTSUPP, "command set %u, here %u (%s)",
				     in->cmdset, lm->hello.cmdset, lm->ops->name);
	if (!nvmevf_match_format(lm, in))
		return nvmevf_refuse(refusal, -EOPNOTSUPP,
				     "state version %#x with UUID %pUb is not supported here",
				     le16_to_cpu(in->state_ver), in->uuid);
	if (!total || (in->cmdset == NVME_LM_CMDSET_TP4159 &&
		       (!IS_ALIGNED(total, sizeof(__le32)) ||
			total < sizeof(struct nvme_lm_state_header))))
		return nvmevf_refuse(refusal, -EPROTO, "invalid length of the state: %llu bytes",
				     total);
	if (in->cmdset == NVME_LM_CMDSET_VENDOR && total > max_xfer)
		return nvmevf_refuse(refusal, -EFBIG,
				     "state of %llu bytes exceeds one transfer of %zu bytes here",
				     total, max_xfer);
	return 0;
}

/*
 * A VF need not have the limits of its PF, so a VF is compared with a VF, and a PF with
 * a PF. If a VF was offline when it was bound, its identity is not known; the device
 * then has to compare the limits.
 */
static const struct nvme_lm_hello *nvmevf_counterpart(const struct nvmevf_lm *lm,
						      const struct nvme_lm_hello *in)
{
	return in->ident == lm->hello.ident ? &lm->hello : &lm->pf_hello;
}

/**
 * nvmevf_hello_check - check whether a VF can take over the state in a stream
 * @refusal: gets the reason if it cannot
 * @in: the stream's HELLO
 * @max_xfer: bytes that one command can transfer here
 * @lm: the VF; gets the index of the stream's format
 *
 * Context: The caller holds the lock that protects @lm.
 * Return: 0, or a negative errno with the reason in @refusal.
 */
int nvmevf_hello_check(struct nvmevf_refusal *refusal, const struct nvme_lm_hello *in,
		       size_t max_xfer, struct nvmevf_lm *lm)
{
	const struct nvme_lm_hello *own = nvmevf_counterpart(lm, in);
	int ret;

	ret = nvmevf_check_format(refusal, in, max_xfer, lm);
	if (!ret)
		ret = nvmevf_check_identity(refusal, in, own);
	if (!ret)
		ret = nvmevf_check_vectors(refusal, in, &lm->hello);
	if (!ret && in->ident == own->ident)
		ret = nvmevf_check_limits(refusal, in, own);
	if (!ret)
		ret = nvmevf_check_cap(refusal, le64_to_cpu(in->cap), le64_to_cpu(lm->hello.cap));
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_hello_check);
