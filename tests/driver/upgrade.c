// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hosts are upgraded one after the other: the last release of the driver loads what this one saves,
 * and the other way round. Both modules are loaded in turn on the same host.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "driver.h"

/* Where lm-driver finds the module of the last release */
#define RELEASE		"/mnt/share/release"

struct build {
	u8 id[64];
};

/* The linker's build ID of the module: differs between the two */
static bool loaded_build(struct build *b)
{
	FILE *f = fopen("/sys/module/" MODULE "/notes/.note.gnu.build-id", "r");
	size_t n;

	memset(b, 0, sizeof(*b));
	if (!EXPECT(f, "no build ID of the module"))
		return false;
	n = fread(b->id, 1, sizeof(b->id), f);
	fclose(f);
	return EXPECT(n, "build ID of the module");
}

/* No VF is open. */
static bool use_module(bool release)
{
	if (!access("/sys/module/" MODULE, F_OK) && !EXPECT_EQ(remove_module(), 0, "unload"))
		return false;
	if (release)
		setenv("LM_MODULES", RELEASE, 1);
	else
		unsetenv("LM_MODULES");
	return load_module();
}

static bool have_release(void)
{
	struct utsname u;
	char path[256];

	uname(&u);
	snprintf(path, sizeof(path), RELEASE "/%s/nvme-vfio-pci.ko", u.release);
	if (!access(path, R_OK))
		return true;
	tap_skip("no module of the last release for this kernel: see vm/setup release-modules");
	return false;
}

static u32 features[5];

/* A guest with commands in flight, some of which the device holds */
static bool start_guest(void)
{
	static const struct unvme_opts opts = { .queues = 4, .irq = true, .dbbuf = true };

	if (!vf_open(&vf_a, tap_arg(), 1) || !vf_up(&vf_a, &opts))
		return false;
	set_everything(&vf_a.u);
	read_features(&vf_a.u, features);
	load = (struct load){
		.u = &vf_a.u.udrv, .units = 64, .unit_blocks = 8, .qd = 8, .seed = 57,
	};
	if (!EXPECT_EQ(load_init(&load), 0, "load") || !EXPECT_EQ(load_run(&load, 500), 0, "run"))
		return false;
	load_step(&load);
	return go(&vf_a, ST_P2P) && go(&vf_a, ST_STOP);
}

static void check_guest(void)
{
	u32 after[5];

	EXPECT_EQ(load_run(&load, 500), 0, "run at the destination");
	EXPECT_EQ(load_drain(&load), 0, "drain");
	EXPECT_EQ(load_verify(&load), 0, "areas with other data");
	EXPECT_EQ(load.errors + load.miscompares, 0, "errors");
	read_features(&vf_a.u, after);
	EXPECT(!memcmp(after, features, sizeof(after)), "features are not as they were");
	unvme_check_idle(&vf_a.u, 3);
}

/* One version saves VF 1 of a PF, the other loads VF 1 of its neighbour. */
static void upgrade(bool release_saves)
{
	struct build saver, loader;
	struct stream s = { 0 };

	if (!use_module(release_saves) || !loaded_build(&saver) || !start_guest())
		return;
	EXPECT_EQ(remove_module(), -EWOULDBLOCK, "unload while a VF is open");
	if (!vf_save(&vf_a, &s))
		return;
	vdev_close(&vf_a.dev);
	vf_a.open = false;
	if (use_module(!release_saves) && loaded_build(&loader) &&
	    EXPECT(memcmp(&saver, &loader, sizeof(saver)), "both modules are the same") &&
	    vf_open(&vf_b, tap_arg() + 1, 1) && vf_load(&vf_b, &s)) {
		unvme_move(&vf_a.u, &vf_b.dev);
		if (go(&vf_b, ST_P2P) && go(&vf_b, ST_RUNNING))
			check_guest();
	}
	stream_free(&s);
}

static void both_ends(bool release_saves)
{
	if (!have_release())
		return;
	upgrade(release_saves);
	load_fini(&load);
	vf_close(&vf_b);
	vf_close(&vf_a);
	use_module(false);
}

static void test_from_release(void)
{
	both_ends(true);
}

static void test_to_release(void)
{
	both_ends(false);
}

static const struct drv_test upgrade_tests[] = {
	{ "a stream of the last release", test_from_release, ON_BOTH },
	{ "a stream for the last release", test_to_release, ON_BOTH },
};

const struct test_group upgrade_group = { "upgrade", upgrade_tests, ARRAY_SIZE(upgrade_tests) };
