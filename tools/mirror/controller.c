// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's controller, and the one of the physical function that manages it.
 */

#include <errno.h>
#include <fcntl.h>
#include <libnvme.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller.h"
#include "namespace.h"
#include "report.h"

#define PAGE	4096

#define NO_LIST	"the controller does not list its namespaces: name them (--namespace)"

static int find_ctrl(const char *pf, nvme_root_t root, nvme_subsystem_t *subsystem,
		     nvme_ctrl_t *ctrl)
{
	nvme_subsystem_t s;
	nvme_ctrl_t c;
	nvme_host_t h;

	nvme_for_each_host(root, h) {
		nvme_for_each_subsystem(h, s) {
			nvme_subsystem_for_each_ctrl(s, c) {
				if (nvme_ctrl_get_address(c) &&
				    !strcmp(nvme_ctrl_get_address(c), pf)) {
					*subsystem = s;
					*ctrl = c;
					return 0;
				}
			}
		}
	}
	return fail(MIRROR_FAILED, "%s is not bound to nvme", pf);
}

static int call_ctrl(nvme_ctrl_t ctrl, int (*call)(int fd, void *page, void *arg), void *arg)
{
	void *page = aligned_alloc(PAGE, PAGE);
	char path[64];
	int fd, ret;

	snprintf(path, sizeof(path), "/dev/%s", nvme_ctrl_get_name(ctrl));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !page)
		ret = fail(MIRROR_FAILED, "%s: %s", path, strerror(errno));
	else
		ret = call(fd, page, arg);

	if (fd >= 0)
		close(fd);
	free(page);
	return ret;
}

static int no_scan(void)
{
	return fail(MIRROR_FAILED, "nvme: %s", strerror(errno));
}

/* Have a function called with an open file of the controller at @pf, and a page for its data */
static int with_ctrl(const char *pf, int (*call)(int fd, void *page, void *arg), void *arg)
{
	nvme_root_t root = nvme_scan(NULL);
	nvme_subsystem_t s;
	nvme_ctrl_t c;
	int ret;

	if (!root)
		return no_scan();
	ret = find_ctrl(pf, root, &s, &c);
	ret = ret ?: call_ctrl(c, call, arg);
	nvme_free_tree(root);
	return ret;
}

/**
 * struct wanted - a virtual function that is looked for
 * @vfn: its number, from 1 on
 * @cntlid: of its controller
 */
struct wanted {
	u16 vfn;
	u16 cntlid;
};

static int find_secondary(int fd, void *page, void *arg)
{
	struct nvme_secondary_ctrl_list *list = page;
	struct wanted *w = arg;
	u32 next = 0;

	do {
		if (namespace_identify(fd, NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST, 0, next, page) ||
		    !list->num)
			break;
		for (u32 i = 0; i < min_t(u32, list->num, NVME_ID_SECONDARY_CTRL_MAX); i++) {
			w->cntlid = le16_to_cpu(list->sc_entry[i].scid);
			if (le16_to_cpu(list->sc_entry[i].vfn) == w->vfn)
				return 0;
		}
		/* the list is in order, and begins at @next */
		if (w->cntlid < next)
			break;
		next = w->cntlid + 1;
	} while (next < USHRT_MAX);
	return fail(MIRROR_FAILED, "the secondary controller list does not have VF %u", w->vfn);
}

/* The PCI address that a link in sysfs points at */
static int link_name(const char *path, char *name, size_t len)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	const char *slash;

	if (n < 0)
		return -errno;
	target[n] = 0;
	slash = strrchr(target, '/');
	snprintf(name, len, "%.*s", (int)len - 1, slash ? slash + 1 : target);
	return 0;
}

/* Its number among the VFs of its PF, from 1 on, or 0 */
static u16 vf_number(const char *pf, const char *vf)
{
	char path[PATH_MAX], name[16];

	for (u16 i = 0; ; i++) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/virtfn%u", pf, i);
		if (link_name(path, name, sizeof(name)))
			return 0;
		if (!strcmp(name, vf))
			return i + 1;
	}
}

int controller_of_vf(struct controller *c, const char *vf)
{
	struct wanted w = { };
	char path[PATH_MAX];
	int ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/physfn", vf);
	if (link_name(path, c->pf, sizeof(c->pf)))
		return fail(MIRROR_USAGE, "%s is no virtual function of a PCI device", vf);
	w.vfn = vf_number(c->pf, vf);
	if (!w.vfn)
		return fail(MIRROR_FAILED, "%s does not have %s", c->pf, vf);
	ret = with_ctrl(c->pf, find_secondary, &w);
	c->cntlid = w.cntlid;
	return ret;
}

/**
 * struct attached - namespaces of a controller
 * @cntlid: the controller
 * @disks: filled in
 * @max: how many there is room for
 * @nr: how many there are
 */
struct attached {
	u16 cntlid;
	struct disk *disks;
	u32 max;
	u32 nr;
};

/* The list of controllers that a namespace is attached to begins at the one asked for */
static bool is_attached(int fd, u32 nsid, u16 cntlid)
{
	struct nvme_ctrl_list *list = aligned_alloc(PAGE, PAGE);
	u8 cns = NVME_IDENTIFY_CNS_NS_CTRL_LIST;
	bool ret = list && !namespace_identify(fd, cns, nsid, cntlid, list) &&
		   le16_to_cpu(list->num) && le16_to_cpu(list->identifier[0]) == cntlid;

	free(list);
	return ret;
}

static int add_attached(int fd, u32 nsid, struct attached *a)
{
	if (!is_attached(fd, nsid, a->cntlid))
		return 0;
	if (a->nr == a->max)
		return fail(MIRROR_FAILED, "more than %u namespaces", a->max);
	a->disks[a->nr++].nsid = nsid;
	return 0;
}

static int find_attached(int fd, void *page, void *arg)
{
	const struct nvme_ns_list *list = page;
	u32 last = 0, i;

	do {
		if (namespace_identify(fd, NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST, last, 0, page))
			return fail(MIRROR_FAILED, "%s", NO_LIST);
		for (i = 0; i < ARRAY_SIZE(list->ns) && list->ns[i]; i++) {
			last = le32_to_cpu(list->ns[i]);
			if (add_attached(fd, last, arg))
				return -EPERM;
		}
	} while (i == ARRAY_SIZE(list->ns));
	return 0;
}

int controller_disks(const struct controller *c, struct disk *disks, u32 max)
{
	struct attached a = { .cntlid = c->cntlid, .disks = disks, .max = max };
	int ret = with_ctrl(c->pf, find_attached, &a);

	for (u32 i = 0; i < a.nr && !ret; i++)
		ret = controller_path(c, &disks[i]);
	if (!ret && !a.nr)
		return fail(MIRROR_FAILED, "no namespace is attached to controller %u of %s",
			    c->cntlid, c->pf);
	return ret ?: (int)a.nr;
}

/* With native multipath the block device belongs to the subsystem, otherwise to the controller */
static const char *find_name(nvme_subsystem_t s, nvme_ctrl_t c, u32 nsid)
{
	nvme_ns_t n;

	nvme_ctrl_for_each_ns(c, n) {
		if ((u32)nvme_ns_get_nsid(n) == nsid)
			return nvme_ns_get_name(n);
	}
	nvme_subsystem_for_each_ns(s, n) {
		if ((u32)nvme_ns_get_nsid(n) == nsid)
			return nvme_ns_get_name(n);
	}
	return NULL;
}

int controller_path(const struct controller *c, struct disk *d)
{
	nvme_root_t root = nvme_scan(NULL);
	nvme_subsystem_t s;
	const char *name;
	nvme_ctrl_t ctrl;
	int ret;

	if (!root)
		return no_scan();
	ret = find_ctrl(c->pf, root, &s, &ctrl);
	name = ret ? NULL : find_name(s, ctrl, d->nsid);
	if (name)
		snprintf(d->path, sizeof(d->path), "/dev/%s", name);
	else if (!ret)
		ret = fail(MIRROR_REFUSED, "namespace %u is not attached to %s as well",
			   d->nsid, c->pf);
	nvme_free_tree(root);
	return ret;
}
