// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VFIO driver against the uAPI and its own promises: the main program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "options.h"

static void before(void)
{
	arena_reset(&arena);
	memset(&load, 0, sizeof(load));
	klog_mark();
}

/* Whatever a test did, the VFs are closed and the kernel did not complain. */
static void after(void)
{
	if (tap_failed())
		klog_show();
	scene_end();
	vf_end();
	klog_check();
}

static struct tap_test all[256];
static const struct scene *scenes[ARRAY_SIZE(all)];
static size_t nr_all;

const struct scene *test_scene(void)
{
	size_t i;

	for (i = 0; all[i].name != tap_name(); i++)
		;
	return scenes[i];
}

static void add(const char *device, const struct drv_test *t, int pf)
{
	char *name;

	if (nr_all == ARRAY_SIZE(all) || asprintf(&name, "%s: %s", device, t->name) < 0)
		exit(2);
	scenes[nr_all] = t->scene;
	all[nr_all++] = (struct tap_test){ name, t->run, pf };
}

static void add_on(const struct drv_test *t)
{
	if (t->on & ON_SPECIAL && options_on("special"))
		add("special", t, t->pf);
	if (t->on & ON_PLAIN && options_on("plain"))
		add("plain", t, 4);
	if (t->on & ON_TP && options_on("tp4159"))
		add("tp4159", t, 0);
	if (t->on & ON_VS && options_on("vendor"))
		add("vendor", t, 2);
}

static const struct test_group *find_group(void)
{
	static const struct test_group *const groups[] = {
		&alloc_group, &arcs_group, &bind_group, &crowd_group, &dirty_group,
		&endless_group, &fault_group, &fence_group, &function_group, &hang_group,
		&keep_group, &lie_group, &log_group, &lost_group, &move_group, &precopy_group,
		&refuse_group, &status_group, &stream_group, &trace_group, &trace_fault_group,
		&unload_group, &upgrade_group,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		if (!strcmp(groups[i]->name, options.group))
			return groups[i];
	options_unknown("group", options.group);
	return NULL;
}

int main(int argc, char **argv)
{
	int taken = options_parse(argc, argv);
	const struct test_group *group = find_group();
	size_t i;
	int rc;

	for (i = 0; i < group->nr; i++)
		add_on(&group->tests[i]);
	if (!vf_init())
		return 2;
	klog_init();
	rc = tap_main(all, nr_all, argc - taken, argv + taken, before, after);
	fault_note();
	return rc;
}
