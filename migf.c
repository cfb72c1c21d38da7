// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration files: the stream that a save reads and a resume writes.
 *
 * The stream is described in nvme_lm.h. A save makes one record at a time, a
 * resume takes it apart byte by byte; both keep the controller state of one
 * transfer in memory, whatever the state's size.
 *
 * User memory is touched under no lock: read() and write() own the session's
 * busy token instead, which reset, arcs, close and release never wait for. They
 * mark the session dead; its memory goes with its file.
 */

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/nvme.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait_bit.h>

#include "compat.h"
#include "nvme.h"

#define NVMEVF_CRC_SEED		(~0U)
#define NVMEVF_SKIP_CHUNK	64

/**
 * enum nvmevf_stage - what comes next in a stream
 * @NVMEVF_STAGE_RECORD: resume: the head of a record; save: not used
 * @NVMEVF_STAGE_HELLO: HELLO's payload; save: the whole record
 * @NVMEVF_STAGE_PIECE: resume: the head of STATE's payload
 * @NVMEVF_STAGE_DATA: controller state; save: a whole STATE record
 * @NVMEVF_STAGE_SKIP: resume: payload of an unknown record
 * @NVMEVF_STAGE_END: END's payload; save: the whole record
 * @NVMEVF_STAGE_DONE: the stream is complete
 */
enum nvmevf_stage {
	NVMEVF_STAGE_RECORD,
	NVMEVF_STAGE_HELLO,
	NVMEVF_STAGE_PIECE,
	NVMEVF_STAGE_DATA,
	NVMEVF_STAGE_SKIP,
	NVMEVF_STAGE_END,
	NVMEVF_STAGE_DONE,
};

/**
 * struct nvmevf_session - one save or resume
 * @vf: the device; its memory is pinned, but nothing in it is used once @dead
 * @pdev: its PCI device, pinned
 * @filp: the file; @vf holds a reference until the session ends
 * @busy: bit 0 is the token of read() and write(), which owns the rest but
 *	  @dead, @committed and @told
 * @dead: the session ended; written under the state mutex
 * @committed: resume: the device took over the state; under the state mutex
 * @needs_reset: resume: the VF ran since its last reset
 * @hello_seen: resume: a HELLO was accepted
 * @told: resume: the log says that the stream is not complete; under the state mutex
 * @error: what the session failed with, or 0: it stays failed
 * @stage: what comes next
 * @crc: running CRC32C
 * @buf: controller state on its way
 * @total: bytes of controller state
 * @offset: save: bytes taken from the device; resume: bytes that arrived
 * @sent: resume: bytes given to the device
 * @rec_left: resume: payload bytes of the record still to come
 * @head: record head and payload other than controller state
 * @head_len: bytes in @head; save: to be read; resume: arrived so far
 * @data_len: save: bytes of @buf to be read behind @head
 * @pos: save: bytes of @head and @buf that were read
 */
struct nvmevf_session {
	struct nvmevf_device *vf;
	struct pci_dev *pdev;
	struct file *filp;
	unsigned long busy;
	bool dead;
	bool committed;
	bool needs_reset;
	bool hello_seen;
	bool told;
	int error;
	enum nvmevf_stage stage;
	u32 crc;
	struct nvmevf_buf *buf;
	u64 total;
	u64 offset;
	u64 sent;
	u64 rec_left;
	u8 head[sizeof(struct nvme_lm_rec) + sizeof(struct nvme_lm_hello)] __aligned(8);
	size_t head_len;
	size_t data_len;
	size_t pos;
};

static int nvmevf_session_get_token(struct nvmevf_session *s)
{
	return wait_on_bit_lock(&s->busy, 0, TASK_KILLABLE) ? -EINTR : 0;
}

static void nvmevf_session_put_token(struct nvmevf_session *s)
{
	clear_and_wake_up_bit(0, &s->busy);
}

/* The state mutex of a session that is alive; the fd may outlive the device */
static int nvmevf_session_lock(struct nvmevf_session *s)
{
	if (mutex_lock_killable(&s->vf->state_mutex))
		return -EINTR;

	if (s->dead) {
		mutex_unlock(&s->vf->state_mutex);
		return -ENODEV;
	}

	return 0;
}

static void nvmevf_session_unlock(struct nvmevf_session *s)
{
	mutex_unlock(&s->vf->state_mutex);
}

static int nvmevf_session_release(struct inode *inode, struct file *filp)
{
	struct nvmevf_session *s = filp->private_data;

	nvmevf_buf_put(s->buf);
	pci_dev_put(s->pdev);
	put_device(&s->vf->core.vdev.device);
	kfree(s);
	return 0;
}

static struct nvmevf_session *nvmevf_session_new(struct nvmevf_device *vf, struct nvmevf_buf *buf,
						 const struct file_operations *fops, int oflags)
{
	struct nvmevf_session *s = kzalloc_obj(*s, GFP_KERNEL_ACCOUNT);

	lockdep_assert_held(&vf->state_mutex);

	if (!s)
		return ERR_PTR(-ENOMEM);

	s->filp = anon_inode_getfile("[nvmevf-mig]", fops, s, oflags);
	if (IS_ERR(s->filp)) {
		struct file *filp = s->filp;

		kfree(s);
		return ERR_CAST(filp);
	}

	stream_open(s->filp->f_inode, s->filp);
	get_device(&vf->core.vdev.device);
	s->vf = vf;
	s->pdev = pci_dev_get(vf->core.pdev);
	s->buf = buf;
	vf->session = s;
	return s;
}

/**
 * nvmevf_session_end_locked - end the save or resume session, if there is one
 * @vf: the device
 *
 * Its file stays, and fails with -ENODEV.
 *
 * Context: State mutex held; does not wait for a read() or write() under way.
 */
void nvmevf_session_end_locked(struct nvmevf_device *vf)
{
	struct nvmevf_session *s = vf->session;

	lockdep_assert_held(&vf->state_mutex);

	if (!s)
		return;

	WRITE_ONCE(s->dead, true);
	vf->session = NULL;
	fput(s->filp);
}

static size_t nvmevf_piece_len(const struct nvmevf_lm *lm, u64 state_len)
{
	return min_t(u64, state_len, nvmevf_pf_max_xfer(lm->pf));
}

/**
 * nvmevf_stream_size - how long the stream of a state is
 * @lm: the VF
 * @state_len: bytes of controller state
 *
 * Context: Any.
 * Return: bytes of HELLO, the STATE records and END.
 */
u64 nvmevf_stream_size(const struct nvmevf_lm *lm, u64 state_len)
{
	u64 pieces = DIV_ROUND_UP_ULL(state_len, nvmevf_pf_max_xfer(lm->pf));

	return 2 * sizeof(struct nvme_lm_rec) + sizeof(struct nvme_lm_hello) +
	       pieces * (sizeof(struct nvme_lm_rec) + sizeof(struct nvme_lm_piece)) +
	       state_len + sizeof(struct nvme_lm_end);
}

/* Begin a record in @head; returns where its payload starts */
static void *nvmevf_save_record(struct nvmevf_session *s, u32 tag, u64 len)
{
	struct nvme_lm_rec *rec = (void *)s->head;

	rec->tag = cpu_to_le32(tag);
	rec->flags = cpu_to_le32(NVME_LM_REC_MANDATORY);
	rec->len = cpu_to_le64(len);
	s->head_len = sizeof(*rec);
	s->data_len = 0;
	s->pos = 0;
	return s->head + sizeof(*rec);
}

static void nvmevf_save_hello(struct nvmevf_session *s)
{
	struct nvme_lm_hello *hello;

	hello = nvmevf_save_record(s, NVME_LM_REC_HELLO, sizeof(*hello));
	*hello = s->vf->lm->hello;
	hello->state_len = cpu_to_le64(s->total);
	s->head_len += sizeof(*hello);
	s->crc = crc32c(NVMEVF_CRC_SEED, s->head, s->head_len);
	s->stage = NVMEVF_STAGE_DATA;
}

/* Whether the sizes that the container itself states make up the total */
static bool nvmevf_sizes_add_up(const struct nvmevf_session *s)
{
	u64 len;

	if (s->vf->lm->ops->cmdset != NVME_LM_CMDSET_TP4159)
		return true;

	return nvmevf_container_len(s->buf->data, &len) && len == s->total;
}

static int nvmevf_save_piece(struct nvmevf_session *s)
{
	struct nvmevf_lm *lm = s->vf->lm;
	size_t len = nvmevf_piece_len(lm, s->total - s->offset);
	struct nvme_lm_piece *piece;
	int ret;

	ret = lm->ops->read_state(lm, s->buf, s->offset, len, NVMEVF_EXEC_KILLABLE);
	if (ret)
		return ret;
	if (!s->offset && !nvmevf_sizes_add_up(s)) {
		pci_err(s->pdev, "save failed: the controller state changed its size\n");
		return -EIO;
	}

	piece = nvmevf_save_record(s, NVME_LM_REC_STATE, sizeof(*piece) + len);
	piece->offset = cpu_to_le64(s->offset);
	s->head_len += sizeof(*piece);
	s->data_len = len;
	s->crc = crc32c(s->crc, s->head, s->head_len);
	s->crc = crc32c(s->crc, s->buf->data, len);

	s->offset += len;
	if (s->offset == s->total)
		s->stage = NVMEVF_STAGE_END;
	return 0;
}

/* Each piece told by CSUP that the VF was still suspended, unless the device lacks it */
static int nvmevf_save_end(struct nvmevf_session *s)
{
	struct nvmevf_lm *lm = s->vf->lm;
	struct nvme_lm_end *end;
	int ret;

	if (lm->ops->check_suspended && !lm->csup) {
		ret = lm->ops->check_suspended(lm, NVMEVF_EXEC_KILLABLE);
		if (ret)
			return ret;
	}

	end = nvmevf_save_record(s, NVME_LM_REC_END, sizeof(*end));
	memset(end, 0, sizeof(*end));
	end->total = cpu_to_le64(s->total);
	s->crc = crc32c(s->crc, s->head, s->head_len + offsetof(struct nvme_lm_end, crc));
	end->crc = cpu_to_le32(~s->crc);
	s->head_len += sizeof(*end);
	s->stage = NVMEVF_STAGE_DONE;
	return 0;
}

static int nvmevf_save_next_locked(struct nvmevf_session *s)
{
	/* a reset of the PF lets the VF run: what was read is worth nothing then */
	if (nvmevf_pf_lost_locked(s->vf))
		return -ENOTCONN;

	switch (s->stage) {
	case NVMEVF_STAGE_HELLO:
		nvmevf_save_hello(s);
		return 0;
	case NVMEVF_STAGE_DATA:
		return nvmevf_save_piece(s);
	default:
		return nvmevf_save_end(s);
	}
}

/* Bytes ready to be read, making the next record where there are none; 0 at the end */
static ssize_t nvmevf_save_fill(struct nvmevf_session *s)
{
	int ret;

	if (READ_ONCE(s->dead))
		return -ENODEV;
	if (s->error)
		return s->error;
	if (s->pos < s->head_len + s->data_len)
		return s->head_len + s->data_len - s->pos;
	if (s->stage == NVMEVF_STAGE_DONE)
		return 0;

	ret = nvmevf_session_lock(s);
	if (ret)
		return ret;
	ret = nvmevf_save_next_locked(s);
	nvmevf_session_unlock(s);

	s->error = ret;
	return ret ?: s->head_len + s->data_len;
}

static ssize_t nvmevf_save_copy(struct nvmevf_session *s, char __user *buf, size_t len)
{
	ssize_t avail = nvmevf_save_fill(s);
	const void *from;

	if (avail <= 0)
		return avail;

	if (s->pos < s->head_len) {
		from = s->head + s->pos;
		avail = s->head_len - s->pos;
	} else {
		from = s->buf->data + s->pos - s->head_len;
	}

	len = min_t(size_t, len, avail);
	if (copy_to_user(buf, from, len))
		return -EFAULT;

	s->pos += len;
	return len;
}

static ssize_t nvmevf_save_read(struct file *filp, char __user *buf, size_t len, loff_t *pos)
{
	struct nvmevf_session *s = filp->private_data;
	ssize_t ret = 0;
	size_t done = 0;

	if (pos)
		return -ESPIPE;
	if (nvmevf_session_get_token(s))
		return -EINTR;

	while (done < len) {
		ret = nvmevf_save_copy(s, buf + done, len - done);
		if (ret <= 0)
			break;
		done += ret;
	}

	nvmevf_session_put_token(s);
	return done ?: ret;
}

static const struct file_operations nvmevf_save_fops = {
	.owner		= THIS_MODULE,
	.read		= nvmevf_save_read,
	.release	= nvmevf_session_release,
	.llseek		= noop_llseek,
};

/**
 * nvmevf_save_open_locked - begin a save, the arc STOP -> STOP_COPY
 * @vf: the device, suspended
 *
 * Context: State mutex held; sends commands, a fatal signal ends them.
 * Return: the file to read, or an ERR_PTR.
 */
struct file *nvmevf_save_open_locked(struct nvmevf_device *vf)
{
	struct nvmevf_lm *lm = vf->lm;
	struct nvmevf_session *s;
	struct nvmevf_buf *buf;
	u64 total;

	lockdep_assert_held(&vf->state_mutex);

	if (!lm->hello.cap) {
		dev_err_ratelimited(&vf->core.pdev->dev,
				    "save refused: registers of the VF could not be read\n");
		return ERR_PTR(-EIO);
	}

	buf = lm->ops->save_begin(lm, &total, NVMEVF_EXEC_KILLABLE);
	if (IS_ERR(buf))
		return ERR_CAST(buf);

	s = nvmevf_session_new(vf, buf, &nvmevf_save_fops, O_RDONLY);
	if (IS_ERR(s)) {
		nvmevf_buf_put(buf);
		return ERR_CAST(s);
	}

	s->total = total;
	s->stage = NVMEVF_STAGE_HELLO;
	vf->data_size = nvmevf_stream_size(lm, total);
	return get_file(s->filp);
}

#define nvmevf_refuse(s, err, fmt, ...)						\
	({									\
		pci_err((s)->pdev, "stream refused: " fmt "\n", ##__VA_ARGS__);	\
		(err);								\
	})

static void nvmevf_resume_want(struct nvmevf_session *s, enum nvmevf_stage stage)
{
	s->stage = stage;
	s->head_len = 0;
}

/* What must be the same on both sides: the guest has seen it */
static int nvmevf_check_identity(struct nvmevf_session *s, const struct nvme_lm_hello *in,
				 const struct nvme_lm_hello *own)
{
	if (in->vid != own->vid || in->ssvid != own->ssvid)
		return nvmevf_refuse(s, -EXDEV, "vendor %04x:%04x, here %04x:%04x",
				     le16_to_cpu(in->vid), le16_to_cpu(in->ssvid),
				     le16_to_cpu(own->vid), le16_to_cpu(own->ssvid));
	if (memcmp(in->sn, own->sn, sizeof(in->sn)))
		return nvmevf_refuse(s, -EXDEV, "serial number %*pE, here %*pE",
				     (int)sizeof(in->sn), in->sn, (int)sizeof(own->sn), own->sn);
	if (memcmp(in->mn, own->mn, sizeof(in->mn)))
		return nvmevf_refuse(s, -EXDEV, "model %*pE, here %*pE",
				     (int)sizeof(in->mn), in->mn, (int)sizeof(own->mn), own->mn);
	if (memcmp(in->subnqn, own->subnqn, sizeof(in->subnqn)))
		return nvmevf_refuse(s, -EXDEV, "subsystem %*pE, here %*pE",
				     (int)strnlen(in->subnqn, sizeof(in->subnqn)), in->subnqn,
				     (int)strnlen(own->subnqn, sizeof(own->subnqn)), own->subnqn);
	return 0;
}

static unsigned int nvmevf_mdts(const struct nvme_lm_hello *hello)
{
	return hello->mdts ?: U8_MAX;
}

static int nvmevf_check_limits(struct nvmevf_session *s, const struct nvme_lm_hello *in,
			       const struct nvme_lm_hello *own)
{
	if (in->msix != own->msix)
		return nvmevf_refuse(s, -ERANGE, "%u MSI-X vectors, here %u",
				     le16_to_cpu(in->msix), le16_to_cpu(own->msix));
	if (le16_to_cpu(in->nvq) > le16_to_cpu(own->nvq))
		return nvmevf_refuse(s, -ERANGE, "NVQ %u, here %u",
				     le16_to_cpu(in->nvq), le16_to_cpu(own->nvq));
	if (nvmevf_mdts(in) > nvmevf_mdts(own))
		return nvmevf_refuse(s, -ERANGE, "MDTS %u, here %u", in->mdts, own->mdts);
	if (in->aerl > own->aerl)
		return nvmevf_refuse(s, -ERANGE, "AERL %u, here %u", in->aerl, own->aerl);
	if (le16_to_cpu(in->oncs) & ~le16_to_cpu(own->oncs))
		return nvmevf_refuse(s, -ERANGE, "ONCS %#x, here %#x",
				     le16_to_cpu(in->oncs), le16_to_cpu(own->oncs));
	if (in->sgls != own->sgls)
		return nvmevf_refuse(s, -ERANGE, "SGLS %#x, here %#x",
				     le32_to_cpu(in->sgls), le32_to_cpu(own->sgls));
	if (le32_to_cpu(in->vs) > le32_to_cpu(own->vs))
		return nvmevf_refuse(s, -ERANGE, "VS %#x, here %#x",
				     le32_to_cpu(in->vs), le32_to_cpu(own->vs));
	return 0;
}

#define NVMEVF_CAP_CQR(cap)	(((cap) >> 16) & 0x1)
#define NVMEVF_CAP_AMS(cap)	(((cap) >> 17) & 0x3)

static int nvmevf_check_cap(struct nvmevf_session *s, u64 in, u64 own)
{
	if (!in || !own)
		return nvmevf_refuse(s, -ERANGE, "CAP %#llx, here %#llx", in, own);
	if (NVME_CAP_MQES(in) > NVME_CAP_MQES(own))
		return nvmevf_refuse(s, -ERANGE, "CAP.MQES %llu, here %llu",
				     (u64)NVME_CAP_MQES(in), (u64)NVME_CAP_MQES(own));
	if (NVMEVF_CAP_CQR(own) > NVMEVF_CAP_CQR(in))
		return nvmevf_refuse(s, -ERANGE, "CAP.CQR 0, here 1");
	if (NVMEVF_CAP_AMS(in) & ~NVMEVF_CAP_AMS(own))
		return nvmevf_refuse(s, -ERANGE, "CAP.AMS %llu, here %llu",
				     NVMEVF_CAP_AMS(in), NVMEVF_CAP_AMS(own));
	if (NVME_CAP_STRIDE(in) != NVME_CAP_STRIDE(own))
		return nvmevf_refuse(s, -ERANGE, "CAP.DSTRD %llu, here %llu",
				     (u64)NVME_CAP_STRIDE(in), (u64)NVME_CAP_STRIDE(own));
	if (NVME_CAP_CSS(in) & ~NVME_CAP_CSS(own))
		return nvmevf_refuse(s, -ERANGE, "CAP.CSS %#llx, here %#llx",
				     (u64)NVME_CAP_CSS(in), (u64)NVME_CAP_CSS(own));
	if (NVME_CAP_MPSMIN(in) < NVME_CAP_MPSMIN(own) ||
	    NVME_CAP_MPSMAX(in) > NVME_CAP_MPSMAX(own))
		return nvmevf_refuse(s, -ERANGE, "CAP.MPSMIN..MPSMAX %llu..%llu, here %llu..%llu",
				     (u64)NVME_CAP_MPSMIN(in), (u64)NVME_CAP_MPSMAX(in),
				     (u64)NVME_CAP_MPSMIN(own), (u64)NVME_CAP_MPSMAX(own));
	return 0;
}

static int nvmevf_check_format(struct nvmevf_session *s, const struct nvme_lm_hello *in,
			       const struct nvme_lm_hello *own)
{
	u64 total = le64_to_cpu(in->state_len);

	if (in->cmdset != own->cmdset)
		return nvmevf_refuse(s, -EOPNOTSUPP, "command set %u, here %u (%s)",
				     in->cmdset, own->cmdset, s->vf->lm->ops->name);
	if (nvmevf_lm_match_format(s->vf->lm, in))
		return nvmevf_refuse(s, -EOPNOTSUPP,
				     "state version %#x with UUID %pUb is not known here",
				     le16_to_cpu(in->state_ver), in->uuid);
	if (!total || (in->cmdset == NVME_LM_CMDSET_TP4159 &&
		       (!IS_ALIGNED(total, sizeof(__le32)) ||
			total < sizeof(struct nvme_lm_state_header))))
		return nvmevf_refuse(s, -EPROTO, "state of %llu bytes", total);
	if (in->cmdset == NVME_LM_CMDSET_VENDOR && total > s->buf->len)
		return nvmevf_refuse(s, -EFBIG, "state of %llu bytes, one transfer here is %zu",
				     total, s->buf->len);
	return 0;
}

static int nvmevf_check_hello_locked(struct nvmevf_session *s, const struct nvme_lm_hello *in)
{
	const struct nvme_lm_hello *own = &s->vf->lm->hello;
	int ret;

	ret = nvmevf_check_format(s, in, own);
	if (!ret)
		ret = nvmevf_check_identity(s, in, own);
	if (!ret)
		ret = nvmevf_check_limits(s, in, own);
	if (!ret)
		ret = nvmevf_check_cap(s, le64_to_cpu(in->cap), le64_to_cpu(own->cap));
	return ret;
}

static int nvmevf_resume_hello(struct nvmevf_session *s)
{
	const struct nvme_lm_hello *in = (void *)s->head;
	int ret;

	if (in->magic != cpu_to_le64(NVME_LM_STREAM_MAGIC))
		return nvmevf_refuse(s, -EINVAL, "not a stream of this driver");
	if (in->version != cpu_to_le16(NVME_LM_STREAM_VERSION))
		return nvmevf_refuse(s, -EPROTONOSUPPORT, "version %u, here %u",
				     le16_to_cpu(in->version), NVME_LM_STREAM_VERSION);

	ret = nvmevf_session_lock(s);
	if (ret)
		return ret;
	ret = nvmevf_check_hello_locked(s, in);
	nvmevf_session_unlock(s);
	if (ret)
		return ret;

	s->crc = crc32c(s->crc, s->head, sizeof(*in));
	s->total = le64_to_cpu(in->state_len);
	s->hello_seen = true;
	nvmevf_resume_want(s, NVMEVF_STAGE_RECORD);
	return 0;
}

static int nvmevf_resume_flush_locked(struct nvmevf_session *s, size_t len, bool last)
{
	struct nvmevf_lm *lm = s->vf->lm;
	int ret;

	if (nvmevf_pf_lost_locked(s->vf))
		return -ENOTCONN;
	if (!s->sent && !nvmevf_sizes_add_up(s))
		return nvmevf_refuse(s, -EPROTO, "sizes in the controller state do not add up");

	ret = lm->ops->write_state(lm, s->buf, s->sent, len, last, NVMEVF_EXEC_KILLABLE);
	if (ret)
		return nvmevf_refuse(s, ret, "by the device at offset %llu", s->sent);

	s->sent += len;
	s->committed = last;
	return 0;
}

/* Give the device what arrived since the last flush */
static int nvmevf_resume_flush(struct nvmevf_session *s, bool last)
{
	int ret;

	ret = nvmevf_session_lock(s);
	if (ret)
		return ret;
	ret = nvmevf_resume_flush_locked(s, s->offset - s->sent, last);
	nvmevf_session_unlock(s);
	return ret;
}

static int nvmevf_resume_end(struct nvmevf_session *s)
{
	const struct nvme_lm_end *end = (void *)s->head;
	u32 crc = ~crc32c(s->crc, s->head, offsetof(struct nvme_lm_end, crc));
	int ret;

	if (le64_to_cpu(end->total) != s->total || s->offset != s->total)
		return nvmevf_refuse(s, -EPROTO, "%llu of %llu bytes of state, END says %llu",
				     s->offset, s->total, le64_to_cpu(end->total));
	/* behind the checksum, so that nothing else tells of damage there */
	if (memchr_inv(end->rsvd12, 0, sizeof(end->rsvd12)))
		return nvmevf_refuse(s, -EPROTO, "reserved bytes of END are set");
	if (le32_to_cpu(end->crc) != crc)
		return nvmevf_refuse(s, -EBADMSG, "checksum %#x, computed %#x",
				     le32_to_cpu(end->crc), crc);

	ret = nvmevf_resume_flush(s, true);
	if (!ret)
		nvmevf_resume_want(s, NVMEVF_STAGE_DONE);
	return ret;
}

static int nvmevf_resume_piece(struct nvmevf_session *s)
{
	const struct nvme_lm_piece *piece = (void *)s->head;

	if (le64_to_cpu(piece->offset) != s->offset)
		return nvmevf_refuse(s, -EPROTO, "state at offset %llu, expected %llu",
				     le64_to_cpu(piece->offset), s->offset);

	s->crc = crc32c(s->crc, s->head, sizeof(*piece));
	nvmevf_resume_want(s, NVMEVF_STAGE_DATA);
	return 0;
}

/* A HELLO may replace an earlier one until the first STATE */
static int nvmevf_resume_begin_hello(struct nvmevf_session *s)
{
	if (s->offset)
		return nvmevf_refuse(s, -EPROTO, "HELLO after STATE");
	if (s->rec_left != sizeof(struct nvme_lm_hello))
		return nvmevf_refuse(s, -EPROTO, "HELLO of %llu bytes", s->rec_left);

	nvmevf_resume_want(s, NVMEVF_STAGE_HELLO);
	return 0;
}

static int nvmevf_resume_begin_state(struct nvmevf_session *s)
{
	u64 left = s->total - s->offset;

	if (s->rec_left <= sizeof(struct nvme_lm_piece) ||
	    s->rec_left - sizeof(struct nvme_lm_piece) > left)
		return nvmevf_refuse(s, -EPROTO, "STATE of %llu bytes where %llu are left",
				     s->rec_left, left);

	s->rec_left -= sizeof(struct nvme_lm_piece);
	nvmevf_resume_want(s, NVMEVF_STAGE_PIECE);
	return 0;
}

static int nvmevf_resume_begin_end(struct nvmevf_session *s)
{
	if (s->rec_left != sizeof(struct nvme_lm_end))
		return nvmevf_refuse(s, -EPROTO, "END of %llu bytes", s->rec_left);

	nvmevf_resume_want(s, NVMEVF_STAGE_END);
	return 0;
}

static int nvmevf_resume_begin_unknown(struct nvmevf_session *s, u32 tag, u32 flags)
{
	if (flags & NVME_LM_REC_MANDATORY)
		return nvmevf_refuse(s, -EPROTONOSUPPORT, "record %#x is not known here", tag);

	nvmevf_resume_want(s, s->rec_left ? NVMEVF_STAGE_SKIP : NVMEVF_STAGE_RECORD);
	return 0;
}

static int nvmevf_resume_record(struct nvmevf_session *s)
{
	const struct nvme_lm_rec *rec = (void *)s->head;
	u32 tag = le32_to_cpu(rec->tag);

	if (tag == NVME_LM_REC_HELLO)
		s->crc = NVMEVF_CRC_SEED;
	else if (!s->hello_seen)
		return nvmevf_refuse(s, -EINVAL, "not a stream of this driver");

	s->crc = crc32c(s->crc, s->head, sizeof(*rec));
	s->rec_left = le64_to_cpu(rec->len);

	switch (tag) {
	case NVME_LM_REC_HELLO:
		return nvmevf_resume_begin_hello(s);
	case NVME_LM_REC_STATE:
		return nvmevf_resume_begin_state(s);
	case NVME_LM_REC_END:
		return nvmevf_resume_begin_end(s);
	default:
		return nvmevf_resume_begin_unknown(s, tag, le32_to_cpu(rec->flags));
	}
}

/* Collect @want bytes in @head, then let @done look at them */
static ssize_t nvmevf_resume_head(struct nvmevf_session *s, const char __user *buf, size_t len,
				  size_t want, int (*done)(struct nvmevf_session *s))
{
	int ret = 0;

	len = min(len, want - s->head_len);
	if (copy_from_user(s->head + s->head_len, buf, len))
		return -EFAULT;

	s->head_len += len;
	if (s->head_len == want)
		ret = done(s);
	return ret ?: len;
}

/*
 * A full buffer goes out only when more arrives: the last piece is the commit,
 * and waits for END.
 */
static ssize_t nvmevf_resume_data(struct nvmevf_session *s, const char __user *buf, size_t len)
{
	size_t fill;
	void *to;
	int ret;

	if (s->offset - s->sent == s->buf->len) {
		ret = nvmevf_resume_flush(s, false);
		if (ret)
			return ret;
	}

	fill = s->offset - s->sent;
	to = s->buf->data + fill;
	len = min3((u64)len, s->rec_left, (u64)s->buf->len - fill);
	if (copy_from_user(to, buf, len))
		return -EFAULT;

	s->crc = crc32c(s->crc, to, len);
	s->offset += len;
	s->rec_left -= len;
	if (!s->rec_left)
		nvmevf_resume_want(s, NVMEVF_STAGE_RECORD);
	return len;
}

static ssize_t nvmevf_resume_skip(struct nvmevf_session *s, const char __user *buf, size_t len)
{
	len = min3((u64)len, s->rec_left, (u64)NVMEVF_SKIP_CHUNK);
	if (copy_from_user(s->head, buf, len))
		return -EFAULT;

	s->crc = crc32c(s->crc, s->head, len);
	s->rec_left -= len;
	if (!s->rec_left)
		nvmevf_resume_want(s, NVMEVF_STAGE_RECORD);
	return len;
}

/* Take in some of @len bytes; returns how many */
static ssize_t nvmevf_resume_step(struct nvmevf_session *s, const char __user *buf, size_t len)
{
	if (READ_ONCE(s->dead))
		return -ENODEV;

	switch (s->stage) {
	case NVMEVF_STAGE_RECORD:
		return nvmevf_resume_head(s, buf, len, sizeof(struct nvme_lm_rec),
					  nvmevf_resume_record);
	case NVMEVF_STAGE_HELLO:
		return nvmevf_resume_head(s, buf, len, sizeof(struct nvme_lm_hello),
					  nvmevf_resume_hello);
	case NVMEVF_STAGE_PIECE:
		return nvmevf_resume_head(s, buf, len, sizeof(struct nvme_lm_piece),
					  nvmevf_resume_piece);
	case NVMEVF_STAGE_DATA:
		return nvmevf_resume_data(s, buf, len);
	case NVMEVF_STAGE_SKIP:
		return nvmevf_resume_skip(s, buf, len);
	case NVMEVF_STAGE_END:
		return nvmevf_resume_head(s, buf, len, sizeof(struct nvme_lm_end),
					  nvmevf_resume_end);
	default:
		return nvmevf_refuse(s, -EFBIG, "%zu bytes behind END", len);
	}
}

static ssize_t nvmevf_resume_take(struct nvmevf_session *s, const char __user *buf, size_t len)
{
	size_t done = 0;
	ssize_t ret;

	if (READ_ONCE(s->dead))
		return -ENODEV;
	if (s->error)
		return s->error;
	if (s->needs_reset) {
		s->error = nvmevf_refuse(s, -EBUSY, "VF ran since its last reset: reset it first");
		return s->error;
	}

	while (done < len) {
		ret = nvmevf_resume_step(s, buf + done, len - done);
		if (ret == -EFAULT)
			return done ?: ret;
		if (ret < 0) {
			WRITE_ONCE(s->error, ret);
			return ret;
		}
		done += ret;
	}

	return done;
}

static ssize_t nvmevf_resume_write(struct file *filp, const char __user *buf, size_t len,
				   loff_t *pos)
{
	struct nvmevf_session *s = filp->private_data;
	ssize_t ret;

	if (pos)
		return -ESPIPE;
	if (nvmevf_session_get_token(s))
		return -EINTR;

	ret = nvmevf_resume_take(s, buf, len);

	nvmevf_session_put_token(s);
	return ret;
}

static const struct file_operations nvmevf_resume_fops = {
	.owner		= THIS_MODULE,
	.write		= nvmevf_resume_write,
	.release	= nvmevf_session_release,
	.llseek		= noop_llseek,
};

/*
 * A VMM that keeps the admin queue to itself enables the VF before it loads,
 * and the device itself refuses a state with I/O queues over others.
 */
static bool nvmevf_io_queues_only(const struct nvmevf_lm *lm)
{
	return lm->ops->cmdset == NVME_LM_CMDSET_TP4159 && !lm->csuuidi;
}

/**
 * nvmevf_resume_open_locked - begin a load, the arc STOP -> RESUMING
 * @vf: the device, suspended
 * @enabled: the VF's CC.EN is set: it ran since its last reset
 *
 * Context: State mutex held; sleeps.
 * Return: the file to write, or an ERR_PTR.
 */
struct file *nvmevf_resume_open_locked(struct nvmevf_device *vf, bool enabled)
{
	struct nvmevf_session *s;
	struct nvmevf_buf *buf;

	lockdep_assert_held(&vf->state_mutex);

	buf = nvmevf_buf_alloc(nvmevf_pf_max_xfer(vf->lm->pf));
	if (!buf)
		return ERR_PTR(-ENOMEM);

	s = nvmevf_session_new(vf, buf, &nvmevf_resume_fops, O_WRONLY);
	if (IS_ERR(s)) {
		nvmevf_buf_put(buf);
		return ERR_CAST(s);
	}

	s->needs_reset = enabled && !nvmevf_io_queues_only(vf->lm);
	nvmevf_resume_want(s, NVMEVF_STAGE_RECORD);
	return get_file(s->filp);
}

/**
 * nvmevf_resume_finish_locked - whether the state was loaded, for RESUMING -> STOP
 * @vf: the device
 *
 * The load itself happened inside write(), where an error can still end the
 * migration with the VM running on its source.
 *
 * Context: State mutex held.
 * Return: 0; the error that the session failed with; -ENODATA where the stream
 * is not complete.
 */
int nvmevf_resume_finish_locked(struct nvmevf_device *vf)
{
	struct nvmevf_session *s = vf->session;
	int err;

	lockdep_assert_held(&vf->state_mutex);

	if (!s)
		return -ENODATA;

	err = READ_ONCE(s->error);
	if (err)
		return err;
	if (s->committed)
		return 0;

	if (!s->told)
		pci_err(s->pdev, "stream ends too early: nothing was committed\n");
	s->told = true;
	return -ENODATA;
}
