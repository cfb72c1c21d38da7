// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random programs, each result compared with the model of the uAPI. One that fails is made as short
 * as possible, and printed so that it can be played again:
 *
 *	migration_random_test [--seed N] [--programs N] [--time S] [--steps N] [--threads N]
 *	migration_random_test --program FILE
 */
#include <getopt.h>
#include <stdlib.h>

#include "lib/harness.h"
#include "lib/player.h"

/* Steps of a program; how often, and how many ms, a failing one is played to make it shorter */
#define STEPS		60
#define TRIES		300
#define TRIES_MS	300000

/* A program of several threads that fails does not do so each time */
#define AGAIN		5

/* Without --time and --programs */
#define PROGRAMS	30

/* s: nobody who wants them to go on for long is disappointed */
#define NO_TIMEOUT	(7 * 24 * 3600)

static struct {
	u32 seed;
	u32 programs;
	u32 time;		/* s, 0: no limit */
	u32 steps;
	u32 threads;
	u32 tries;
	u32 trace;
	const char *program;
} options = { .seed = 1, .steps = STEPS, .tries = TRIES };

/* What is around the function, and may be used */
static struct around find_around(struct mig *m, char pf[BDF_SIZE])
{
	struct around around = { .sibling = getenv(MIG_SIBLING), .disturb = getenv(MIG_DISTURB) };

	if (m->ops && m->ops->host && getenv(MIG_PF_RESTORE) && !function_pf(mig_bdf, pf)) {
		around.pf = pf;
		around.pf_reset = m->ops->host->reset;
		around.restore = getenv(MIG_PF_RESTORE);
	}
	return around;
}

/* By default the kernel's fault injection spares most allocations, and logs much */
static void prepare_faults(void)
{
	static const char *const injectors[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(injectors); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", injectors[i]);
		file_write(path, "0");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/ignore-gfp-wait", injectors[i]);
		file_write(path, "N");
	}
}

FIXTURE(random) {
	struct mig m;
	char pf[BDF_SIZE];
	struct player player;
	struct program *program;
};

FIXTURE_SETUP(random)
{
	struct around around;

	mig_setup(_metadata, &self->m);
	if (!self->m.flags)
		return;
	around = find_around(&self->m, self->pf);
	prepare_faults();
	self->program = calloc_assert(1, sizeof(*self->program));
	ASSERT_EQ(0, player_init(&self->player, &self->m.dev, mig_bdf, &self->m.arena, &around));
	self->player.trace = options.trace;
}

FIXTURE_TEARDOWN(random)
{
	if (self->m.flags)
		player_fini(&self->player);
	free(self->program);
	mig_teardown(_metadata, &self->m);
}

static bool uses_threads(const struct program *program)
{
	unsigned int i;

	for (i = 1; i < program->nr; i++)
		if (program->steps[i].thread != program->steps[0].thread)
			return true;
	return false;
}

struct failing {
	struct player *p;
	u64 until;		/* of now_ms(); 0: for ever */
	char why[PLAYER_WHY];
};

static bool fails(const struct program *program, void *arg)
{
	unsigned int again = uses_threads(program) ? AGAIN : 1;
	struct failing *f = arg;

	if (f->until && now_ms() > f->until)
		return false;
	while (again--)
		if (!player_run(f->p, program)) {
			snprintf(f->why, sizeof(f->why), "%s", f->p->why);
			return true;
		}
	return false;
}

/* False: it failed, and was printed, as short as it could be made. */
static bool play(struct player *p, struct program *program, u32 seed)
{
	static const struct program nothing;
	struct failing f = { p };

	if (player_run(p, program))
		return true;
	printf("# seed %u, %u steps: %s\n", seed, program->nr, p->why);
	if (fails(&nothing, &f)) {
		printf("# and the device does not recover: %s\n", f.why);
	} else {
		f.until = now_ms() + TRIES_MS;
		program_shrink(program, fails, &f, options.tries);
		if (*f.why)
			printf("# %u steps are left: %s\n", program->nr, f.why);
		else
			printf("# it did not fail again\n");
	}
	program_print(program, stdout);
	return false;
}

static void print_counts(const struct player *p, u32 programs, u32 threads)
{
	unsigned int i;

	MIG_TRIED("%u random programs of %u thread%s, first seed %u: what the model allows",
		  programs, threads, threads > 1 ? "s" : "", options.seed);
	printf("# %u rounds with too many possibilities; calls that worked, failed:", p->unsure);
	for (i = 1; i < MODEL_OPS; i++)
		printf(" %s %u, %u;", model_op_name(i), p->good[i], p->failed[i]);
	printf("\n");
	fflush(stdout);
}

static void play_seeds(struct __test_metadata *_metadata, struct player *p,
		       struct program *program, u32 threads)
{
	u32 programs = options.programs ?: options.time ? ~0u : PROGRAMS;
	u64 end = now_ms() + 1000ull * options.time;
	u32 seed;

	for (seed = options.seed; seed - options.seed < programs; seed++) {
		if (options.time && now_ms() > end)
			break;
		program_random(program, seed, options.steps, threads);
		EXPECT_TRUE(play(p, program, seed));
		if (!__test_passed(_metadata))
			break;
	}
	print_counts(p, seed - options.seed, threads);
}

static void play_file(struct __test_metadata *_metadata, struct player *p, struct program *program)
{
	FILE *f = fopen(options.program, "r");
	struct failing failing = { p };

	ASSERT_NE(NULL, f);
	ASSERT_EQ(0, program_read(program, f))
		TH_LOG("line of %s that is wrong", options.program);
	fclose(f);
	EXPECT_FALSE(fails(program, &failing))
		TH_LOG("%s", failing.why);
}

TEST_F_TIMEOUT(random, one_thread, NO_TIMEOUT)
{
	if (options.program)
		play_file(_metadata, &self->player, self->program);
	else if (options.threads <= 1)
		play_seeds(_metadata, &self->player, self->program, 1);
}

TEST_F_TIMEOUT(random, threads, NO_TIMEOUT)
{
	if (!options.program && options.threads != 1)
		play_seeds(_metadata, &self->player, self->program, options.threads ?: 3);
}

static u32 parse(const char *text, u32 limit)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n > limit)
		VFIO_LOG_AND_EXIT("%s is no number up to %u", text, limit);
	return n;
}

/* What the harness does not know, and is not to see */
static void take_options(int *argc, char *argv[])
{
	static const struct { const char *name; u32 *number; u32 limit; } known[] = {
		{ "--seed", &options.seed, ~0u }, { "--programs", &options.programs, ~0u },
		{ "--time", &options.time, ~0u }, { "--steps", &options.steps, PROGRAM_STEPS },
		{ "--threads", &options.threads, PROGRAM_THREADS },
		{ "--tries", &options.tries, ~0u }, { "--trace", &options.trace, 1 },
	};
	int from = 1, to = 1;
	unsigned int i;

	while (from < *argc) {
		for (i = 0; i < ARRAY_SIZE(known); i++)
			if (!strcmp(argv[from], known[i].name))
				break;
		if (from + 1 < *argc && i < ARRAY_SIZE(known)) {
			*known[i].number = parse(argv[from + 1], known[i].limit);
			from += 2;
		} else if (from + 1 < *argc && !strcmp(argv[from], "--program")) {
			options.program = argv[from + 1];
			from += 2;
		} else {
			argv[to++] = argv[from++];
		}
	}
	argv[to] = NULL;
	*argc = to;
}

int main(int argc, char *argv[])
{
	take_options(&argc, argv);
	return mig_harness_run(argc, argv);
}
