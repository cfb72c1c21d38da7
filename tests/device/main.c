// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulated device against the specification: the main program.
 */
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "options.h"
#include "track.h"
#include "udmq.h"

static void before(void)
{
	arena_reset(&arena);
}

/* Whatever a test did, all VFs are closed (and reset) and the PFs answer. */
static void after(void)
{
	int i;

	for (i = 0; i < MAX_PFS; i++)
		if (pf_opened(i))
			lm_fault_end(pf_opened(i));	/* an error if it has none */
	for (i = 0; i < MAX_PFS; i++)
		if (pf_opened(i))
			udmq_end(pf_opened(i));
	vf_end();
	for (i = 0; i < MAX_PFS; i++)
		if (pf_opened(i))
			track_end(pf_opened(i));
	for (i = 0; i < MAX_PFS; i++)
		if (pf_opened(i))
			EXPECT_EQ(lm_probe(pf_opened(i)), 0, "PF %d does not answer", i);
}

static struct tap_test all[64];
static size_t nr_all;

static void (*report)(void);

static void add(const struct test_group *g)
{
	if (nr_all + g->nr > ARRAY_SIZE(all))
		exit(2);
	memcpy(all + nr_all, g->tests, g->nr * sizeof(*all));
	nr_all += g->nr;
	report = g->report ?: report;
}

static void add_group(void)
{
	static const struct test_group *const groups[] = {
		&cli_group, &dirty_group, &faults_group, &fuzz_group, &identify_group, &move_group,
		&reset_group, &rules_group, &state_group, &suspend_group, &track_group,
		&reset_draining_group, &dirty_draining_group,
		&track_tracking_group, &dirty_tracking_group,
		&state_variant_group, &variant_group,
		&model_group,
		&log_group, &log_draining_group, &cli_log_group,
		&identify_functions_group, &suspend_functions_group, &move_functions_group,
		&reset_functions_group, &dirty_functions_group,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		if (!strcmp(groups[i]->name, options.group))
			add(groups[i]);
	if (!nr_all)
		options_unknown("group", options.group);
}

int main(int argc, char **argv)
{
	int rc, taken = options_parse(argc, argv);

	add_group();
	if (!vf_init())
		return 2;
	rc = tap_main(all, nr_all, argc - taken, argv + taken, before, after);
	if (report)
		report();
	return rc;
}
