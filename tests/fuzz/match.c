// SPDX-License-Identifier: GPL-2.0-only
/*
 * match.c: what a VF accepts has the identity and no more than the limits of the VF, by rules that
 * are written here again; padding and what a guest cannot see make no difference; a VF accepts
 * itself, and what a VF accepts that it would be accepted by itself.
 */

#include <linux/kernel.h>
#include <linux/nvme.h>
#include <linux/string.h>

#include "fuzz.h"
#include "lm.h"
#include "match.h"
#include "refusal.h"

#define HELLO_LEN	sizeof(struct nvme_lm_hello)
#define UUIDS_MAX	4
#define MAX_XFER	4096

#define AT(name)	offsetof(struct nvme_lm_hello, name)
#define LEN(name)	sizeof_field(struct nvme_lm_hello, name)

/* The fields that are compared */
enum relation { SAME, SUBSET, AT_MOST, TEXT, STRING, NOTHING };

static const struct field {
	size_t at;
	size_t len;
	enum relation relation;
} fields[] = {
	{ AT(vid), LEN(vid), SAME },
	{ AT(ssvid), LEN(ssvid), SAME },
	{ AT(msix), LEN(msix), SAME },
	{ AT(sn), LEN(sn), TEXT },
	{ AT(mn), LEN(mn), TEXT },
	{ AT(subnqn), LEN(subnqn), STRING },
	{ AT(oncs), LEN(oncs), SUBSET },
	{ AT(mdts), LEN(mdts), AT_MOST },
	{ AT(magic), LEN(magic), NOTHING },
	{ AT(version), LEN(version), NOTHING },
	{ AT(vs), LEN(vs), NOTHING },
	{ AT(nvq), LEN(nvq), NOTHING },
	{ AT(nvi), LEN(nvi), NOTHING },
	{ AT(aerl), LEN(aerl), NOTHING },
	{ AT(rsvd68), LEN(rsvd68), NOTHING },
	{ AT(rsvd388), LEN(rsvd388), NOTHING },
};

/**
 * struct vf - a VF as match.c sees it, in memory of its own
 * @lm: the VF
 * @ops: its command set
 */
struct vf {
	struct nvmevf_lm *lm;
	struct nvmevf_lm_ops ops;
};

/* A string without its padding, in the same field */
static void trim(char *to, const char *from, size_t len)
{
	memcpy(to, from, len);
	while (len && (to[len - 1] == ' ' || !to[len - 1]))
		to[--len] = 0;
}

static bool field_fits(const struct field *f, const u8 *in, const u8 *own, bool limits)
{
	char a[256], b[256];

	switch (f->relation) {
	case SAME:
		return !memcmp(in, own, f->len);
	case SUBSET:
		return !limits || !((in[0] & ~own[0]) | (in[1] & ~own[1]));
	case AT_MOST:
		/* the greatest number is as good as no limit */
		return !limits || !*own || *own == 0xff || (*in && *in <= *own);
	case TEXT:
		trim(a, (const char *)in, f->len);
		trim(b, (const char *)own, f->len);
		return !memcmp(a, b, f->len);
	case STRING:
		return !strncmp((const char *)in, (const char *)own, f->len);
	default:
		return true;
	}
}

static bool fields_fit(const struct nvme_lm_hello *in, const struct vf *vf)
{
	const struct nvme_lm_hello *own = in->ident == vf->lm->hello.ident ? &vf->lm->hello :
									     &vf->lm->pf_hello;
	bool limits = in->ident == own->ident;
	const u8 *a = (const u8 *)in, *b;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		b = fields[i].at == AT(msix) ?
			(const u8 *)&vf->lm->hello : (const u8 *)own;
		if (!field_fits(&fields[i], a + fields[i].at, b + fields[i].at, limits))
			return false;
	}
	return !limits || !(in->sgls & 3) ||
	       (((in->sgls & 3) == (own->sgls & 3) ||
		 ((in->sgls & 3) == 2 && (own->sgls & 3) == 1)) &&
		!((in->sgls & ~own->sgls) & 0xffff00fc));
}

static u64 bits(u64 value, unsigned int low, unsigned int nr)
{
	return value >> low & ((1ULL << nr) - 1);
}

/* Controller Capabilities by the specification: MQES, CQR, AMS, DSTRD, CSS, MPSMIN, MPSMAX */
static bool cap_fits(u64 in, u64 own)
{
	return in && own && bits(in, 0, 16) <= bits(own, 0, 16) &&
	       bits(in, 16, 1) >= bits(own, 16, 1) && !(bits(in, 17, 2) & ~bits(own, 17, 2)) &&
	       bits(in, 32, 4) == bits(own, 32, 4) && !(bits(in, 37, 8) & ~bits(own, 37, 8)) &&
	       bits(in, 48, 4) >= bits(own, 48, 4) && bits(in, 52, 4) <= bits(own, 52, 4);
}

/* Index of the format that a load has to use, or -1 */
static int find_format(const struct nvme_lm_hello *in, const struct vf *vf)
{
	static const u8 none[16];
	unsigned int i;

	if (in->state_ver != vf->lm->hello.state_ver)
		return -1;
	if (!memcmp(in->uuid, none, 16))
		return vf->lm->csuuidi ? -1 : 0;
	for (i = 0; i < vf->lm->nuuid; i++)
		if (!memcmp(in->uuid, &vf->lm->uuids[i], 16))
			return i + 1;

	return -1;
}

static bool length_fits(const struct nvme_lm_hello *in)
{
	u64 len = in->state_len;

	if (in->cmdset == NVME_LM_CMDSET_TP4159)
		return len >= 48 && !(len % 4);
	return len && (in->cmdset != NVME_LM_CMDSET_VENDOR || len <= MAX_XFER);
}

static int check(const struct nvme_lm_hello *hello, struct vf *vf)
{
	struct nvme_lm_hello *in = copy_buffer(hello, HELLO_LEN);
	struct nvmevf_refusal refusal = {};
	int ret, format = find_format(in, vf);
	bool fits;

	ret = nvmevf_hello_check(&refusal, in, MAX_XFER, vf->lm);
	fits = in->cmdset == vf->lm->hello.cmdset && format >= 0 && length_fits(in) &&
	       fields_fit(in, vf) && cap_fits(in->cap, vf->lm->hello.cap);
	require(!ret == fits);
	if (ret)
		check_refusal(&refusal);
	else
		require(vf->lm->load_csuuidi == format);
	free(in);
	return ret;
}

/* ---- input ---- */

static void take_hello(struct input *in, struct nvme_lm_hello *hello)
{
	memset(hello, 0, sizeof(*hello));
	take_bytes(in, hello, 72);
	hello->cmdset = 1 + take_below(in, 2);
	hello->ident = take_below(in, 2);
	hello->state_len = 4 * (12 + take_below(in, 1024));
	hello->cap = take_edge(in);
	take_bytes(in, hello->sn, take_below(in, sizeof(hello->sn) + 1));
	take_bytes(in, hello->mn, take_below(in, sizeof(hello->mn) + 1));
	memset(hello->subnqn, 'n', take_below(in, 2) ? sizeof(hello->subnqn) :
					take_below(in, sizeof(hello->subnqn)));
}

/* Most of the fields stay the same */
static void vary(struct input *in, struct nvme_lm_hello *hello)
{
	unsigned int n = take_below(in, 4);
	const struct field *f;
	u64 value;
	u8 *p;

	for (; n; n--) {
		value = take_edge(in);
		switch (take_below(in, 8)) {
		case 0:
			hello->cap = take_below(in, 2) ? value : hello->cap ^ 1ULL << value % 64;
			break;
		case 1:
			hello->sgls ^= 1U << value % 32;
			break;
		case 2:
			hello->uuid[value % 16] ^= take(in, 1);
			break;
		case 3:
			hello->state_len = value;
			break;
		case 4:
			hello->ident ^= 1;
			break;
		default:
			f = &fields[take_below(in, ARRAY_SIZE(fields))];
			p = (u8 *)hello + f->at;
			p += take_below(in, 4) ? value % f->len : f->len - 1;
			*p = take_below(in, 4) ? take(in, 1) : ' ';
		}
	}
}

static void take_vf(struct input *in, struct vf *vf, const struct nvme_lm_hello *hello)
{
	unsigned int i;

	vf->lm = calloc(1, sizeof(*vf->lm));
	require(vf->lm);
	vf->ops = (struct nvmevf_lm_ops){ .name = "set" };
	vf->lm->ops = &vf->ops;
	vf->lm->hello = *hello;
	vf->lm->pf_hello = *hello;
	if (take_below(in, 2))
		vary(in, &vf->lm->pf_hello);
	if (take_below(in, 2))
		vf->lm->pf_hello.msix++;
	vf->lm->pf_hello.ident = NVME_LM_IDENT_PF;
	vf->lm->nuuid = take_below(in, UUIDS_MAX);
	vf->lm->uuids = calloc(vf->lm->nuuid, sizeof(uuid_t));
	for (i = 0; i < vf->lm->nuuid; i++) {
		memcpy(&vf->lm->uuids[i], hello->uuid, 16);
		vf->lm->uuids[i].b[0] ^= take_below(in, 2) * (i + 1);
	}
	vf->lm->csuuidi = vf->lm->nuuid ? take_below(in, vf->lm->nuuid + 1) : 0;
}

static void free_vf(struct vf *vf)
{
	free(vf->lm->uuids);
	free(vf->lm);
}

/* ---- properties ---- */

static bool has_format(const struct vf *vf)
{
	return find_format(&vf->lm->hello, vf) >= 0;
}

/* Nobody sees these */
static void hide(struct input *in, struct nvme_lm_hello *hello)
{
	size_t len = strnlen(hello->subnqn, sizeof(hello->subnqn)), i;

	for (i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].relation == NOTHING)
			memset((u8 *)hello + fields[i].at, take(in, 1), fields[i].len);
	for (i = len + 1; i < sizeof(hello->subnqn); i++)
		hello->subnqn[i] = take(in, 1);
	for (i = sizeof(hello->sn); i && (hello->sn[i - 1] == ' ' || !hello->sn[i - 1]); i--)
		hello->sn[i - 1] ^= ' ';
	for (i = sizeof(hello->mn); i && (hello->mn[i - 1] == ' ' || !hello->mn[i - 1]); i--)
		hello->mn[i - 1] ^= ' ';
}

static void fuzz_check(struct input *in)
{
	struct nvme_lm_hello hello, other, third;
	struct vf a, b;
	bool ab;

	take_hello(in, &hello);
	take_vf(in, &a, &hello);
	if (hello.cap && length_fits(&hello) && has_format(&a))
		require(!check(&hello, &a));

	other = hello;
	vary(in, &other);
	take_vf(in, &b, &other);
	ab = !check(&hello, &b);
	third = hello;
	hide(in, &third);
	require(ab == !check(&third, &b));

	/* what fits in the smaller one fits in the larger one */
	third = hello;
	vary(in, &third);
	if (ab && !check(&third, &a) && third.ident == hello.ident && hello.ident == other.ident &&
	    !memcmp(third.uuid, hello.uuid, 16))
		require(!check(&third, &b));
	free_vf(&a);
	free_vf(&b);
}

static void take_id(struct input *in, struct nvme_id_ctrl *id)
{
	id->vid = take(in, 1);
	id->cntlid = take_below(in, 2);
	id->ver = take_below(in, 2) ? 0x20300 : take_edge(in);
	take_bytes(in, id->sn, take_below(in, 2) * sizeof(id->sn));
	take_bytes(in, id->mn, sizeof(id->mn));
	memset(id->subnqn, 'n', take_below(in, 2) * sizeof(id->subnqn));
	id->subnqn[take_below(in, sizeof(id->subnqn))] = take(in, 1);
	take_bytes(in, &id->oncs, 2);
	id->mdts = take(in, 1);
}

static void fuzz_identity(struct input *in)
{
	struct nvme_id_ctrl *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	struct nvme_lm_hello *x = calloc(1, HELLO_LEN), *y = calloc(1, HELLO_LEN);
	bool sibling;

	require(a && b && x && y);
	take_id(in, a);
	*b = *a;
	if (take_below(in, 2))
		take_id(in, b);
	nvmevf_hello_fill(x, a, NVME_LM_IDENT_PF);
	nvmevf_hello_fill(y, b, NVME_LM_IDENT_VF);
	require(x->vid == a->vid && x->mdts == a->mdts && x->oncs == a->oncs && y->ident == 1);
	require(!memcmp(x->sn, a->sn, 20) && !memcmp(x->mn, a->mn, 40) &&
		!memcmp(x->subnqn, a->subnqn, 256));

	require(nvmevf_hello_is_sibling(x, a) && !nvmevf_hello_is_exported(x, a));
	sibling = nvmevf_hello_is_sibling(x, b);
	require(sibling == nvmevf_hello_is_sibling(y, a));
	require(sibling == (field_fits(&fields[0], (u8 *)&a->vid, (u8 *)&b->vid, true) &&
			    field_fits(&fields[3], (u8 *)a->sn, (u8 *)b->sn, true) &&
			    field_fits(&fields[5], (u8 *)a->subnqn, (u8 *)b->subnqn, true)));
	require(nvmevf_hello_is_exported(x, b) ==
		(b->ver == 0x20300 && !b->cntlid && strncmp(a->subnqn, b->subnqn, 256)));
	free(a);
	free(b);
	free(x);
	free(y);
}

int fuzz_one(const u8 *data, size_t len)
{
	struct input in = { data, len };

	if (take_below(&in, 8))
		fuzz_check(&in);
	else
		fuzz_identity(&in);
	return 0;
}
