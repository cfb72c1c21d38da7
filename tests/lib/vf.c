// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFs under test.
 */
#include <stdio.h>
#include <string.h>

#include "vf.h"

struct arena arena;
struct vf vf_a, vf_b, vf_c;
struct load load;

bool vf_init(void)
{
	if (!arena_init(&arena, -1, ARENA_SIZE, ARENA_IOVA))
		return true;
	perror("arena");
	return false;
}

bool vf_find(struct vf *v, int pf, unsigned int vfn)
{
	const char *bdf = vf_bdf(pf, vfn);

	memset(v, 0, sizeof(*v));
	v->dev.fd = -1;
	if (!bdf)
		return false;
	v->pf_nr = pf;
	v->vfn = vfn;
	snprintf(v->bdf, sizeof(v->bdf), "%s", bdf);
	return true;
}

bool vf_attach(struct vf *v)
{
	vdev_open(&v->dev, v->bdf);
	v->open = true;
	return EXPECT_EQ(vdev_map(&v->dev, &arena), 0, "map memory");
}

void vf_close(struct vf *v)
{
	if (v->u.udrv.dev) {
		EXPECT_EQ(v->u.udrv.faults, 0, "%s", v->u.udrv.fault);
		unvme_fini(&v->u);
	}
	if (v->open)
		vdev_close(&v->dev);
	v->open = false;
}

bool vf_up(struct vf *v, const struct unvme_opts *o)
{
	if (v->u.udrv.dev)
		unvme_fini(&v->u);
	return EXPECT_EQ(unvme_init(&v->u, &v->dev, &arena, o), 0, "enable %s", v->bdf);
}

void vf_end(void)
{
	load_fini(&load);
	vf_close(&vf_c);
	vf_close(&vf_b);
	vf_close(&vf_a);
}
