// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs.
 */
#include <stdlib.h>
#include <string.h>

#include <linux/kernel.h>
#include <linux/sizes.h>

#include "migration.h"
#include "program.h"

/* Arguments: a state, a file, a size, a variant below a number */
enum arg_type { NONE, STATE, FILE_NR, SIZE, VARIANT, NUMBER };

static const struct kind {
	const char *name;
	unsigned int weight;
	enum arg_type args[STEP_ARGS];
	u32 variants;
} kinds[] = {
	[STEP_GET] = { "get", 18 },
	[STEP_SET] = { "set", 90, { STATE, VARIANT }, 3 },
	[STEP_SIZE] = { "data_size", 12 },
	[STEP_INFO_V2] = { "info_v2", 6 },
	[STEP_FEATURE] = { "feature", 15, { VARIANT }, 13 },
	[STEP_READ] = { "read", 54, { FILE_NR, SIZE, VARIANT }, 4 },
	[STEP_WRITE] = { "write", 54, { FILE_NR, SIZE, VARIANT }, 8 },
	[STEP_POLL] = { "poll", 12, { FILE_NR } },
	[STEP_INFO] = { "precopy_info", 18, { FILE_NR, VARIANT }, 3 },
	[STEP_IOCTL] = { "ioctl", 6, { FILE_NR, VARIANT }, 2 },
	[STEP_SEEK] = { "seek", 6, { FILE_NR, VARIANT }, 3 },
	[STEP_CLOSE] = { "close", 9, { FILE_NR } },
	[STEP_LOG_START] = { "log_start", 9, { VARIANT }, 9 },
	[STEP_LOG_STOP] = { "log_stop", 6 },
	[STEP_LOG_REPORT] = { "log_report", 9, { VARIANT }, 4 },
	[STEP_RESET] = { "reset", 9 },
	[STEP_FLR] = { "flr", 3 },
	[STEP_REOPEN] = { "reopen", 3 },
	[STEP_HOT_RESET] = { "hot_reset", 1 },
	[STEP_UNBIND] = { "unbind", 1 },
	[STEP_PF_RESET] = { "pf_reset", 1 },
	[STEP_SIBLING] = { "sibling", 4, { VARIANT }, SIBLING_USES },
	[STEP_DUP] = { "dup", 6, { FILE_NR } },
	[STEP_NONBLOCK] = { "nonblock", 3, { FILE_NR } },
	[STEP_FORK] = { "fork", 3 },
	[STEP_KILL_HOLDER] = { "kill_holder", 2 },
	[STEP_KILLED] = { "killed", 6, { NUMBER, STATE, NUMBER } },
	[STEP_NTH] = { "nth", 12, { NUMBER } },
	[STEP_DISTURB] = { "disturb", 1, { NUMBER } },
};

bool step_is_alone(const struct step *s)
{
	return s->kind == STEP_CLOSE || s->kind == STEP_REOPEN || s->kind == STEP_UNBIND ||
	       s->kind == STEP_DUP || s->kind == STEP_FORK || s->kind == STEP_KILL_HOLDER;
}

/* ---- at random ---- */

static enum step_kind random_kind(u32 *seed)
{
	unsigned int i, sum = 0, at;

	for (i = 0; i < STEP_KINDS; i++)
		sum += kinds[i].weight;
	at = mig_rnd(seed) % sum;
	for (i = 0; at >= kinds[i].weight; i++)
		at -= kinds[i].weight;
	return i;
}

/* Valid ones mostly; any other number, too */
static u32 random_state(u32 *seed)
{
	u32 n = mig_rnd(seed) % 100;

	if (n == 0)
		return mig_rnd(seed);
	if (n == 1)
		return ST_ERROR;
	return 1 + n % ST_NR;
}

/* Small ones; around a page; all that there is; 0 */
static u32 random_size(u32 *seed)
{
	static const u32 some[] = { 0, 1, 4095, 4096, 4097, 65536, SZ_1M, SZ_1M };
	u32 n = mig_rnd(seed) % 16;

	return n < ARRAY_SIZE(some) ? some[n] : 1 + mig_rnd(seed) % (n < 12 ? 300 : 5000);
}

static u32 random_arg(const struct kind *k, enum arg_type type, u32 *seed)
{
	switch (type) {
	case STATE:
		return random_state(seed);
	case FILE_NR:
		return mig_rnd(seed) % 8 ? 0 : 1 + mig_rnd(seed) % 3;
	case SIZE:
		return random_size(seed);
	case VARIANT:
		/* what is done as it should be leads on */
		return mig_rnd(seed) % 8 && k->variants < 9 ? 0 : mig_rnd(seed) % k->variants;
	case NUMBER:
		/* small ones mostly: a call does not do very much */
		return mig_rnd(seed) % (mig_rnd(seed) % 2 ? 12 : 1000);
	default:
		return 0;
	}
}

static void random_step(struct step *s, unsigned int threads, u32 *seed)
{
	unsigned int i;

	s->kind = random_kind(seed);
	s->thread = mig_rnd(seed) % threads;
	for (i = 0; i < STEP_ARGS; i++)
		s->args[i] = random_arg(&kinds[s->kind], kinds[s->kind].args[i], seed);
}

#define ALL	SZ_1M
#define PHRASE	6

/* What rarely comes together by itself */
static const struct step phrases[][PHRASE] = {
	{ { STEP_SET, 0, { ST_STOP } }, { STEP_SIZE }, { STEP_SET, 0, { ST_STOP_COPY } },
	  { STEP_READ, 0, { 0, ALL } }, { STEP_READ, 0, { 0, ALL } }, { STEP_POLL } },
	{ { STEP_SET, 0, { ST_RESUMING } }, { STEP_WRITE, 0, { 0, ALL } },
	  { STEP_WRITE, 0, { 0, 1, WITH_MORE } }, { STEP_SET, 0, { ST_STOP } }, { STEP_GET },
	  { STEP_SET, 0, { ST_RUNNING } } },
	{ { STEP_SET, 0, { ST_RESUMING } }, { STEP_WRITE, 0, { 0, 1000 } },
	  { STEP_WRITE, 0, { 0, ALL, WITH_EDGE } }, { STEP_WRITE, 0, { 0, ALL } },
	  { STEP_SET, 0, { ST_P2P } }, { STEP_GET } },
	{ { STEP_SET, 0, { ST_PRE_COPY } }, { STEP_INFO }, { STEP_READ, 0, { 0, ALL } },
	  { STEP_INFO }, { STEP_READ, 0, { 0, 1 } }, { STEP_POLL } },
	{ { STEP_SET, 0, { ST_PRE_COPY } }, { STEP_SET, 0, { ST_PRE_COPY_P2P } },
	  { STEP_READ, 0, { 0, 100 } }, { STEP_SET, 0, { ST_STOP_COPY } },
	  { STEP_READ, 0, { 0, ALL } }, { STEP_READ, 0, { 0, ALL } } },
	{ { STEP_SET, 0, { ST_STOP_COPY } }, { STEP_READ, 0, { 0, 500, WITH_EDGE } },
	  { STEP_READ, 0, { 0, 100, WITH_BAD_POINTER } }, { STEP_READ, 0, { 0, ALL } },
	  { STEP_READ, 0, { 0, ALL } }, { STEP_GET } },
	{ { STEP_LOG_START }, { STEP_LOG_REPORT }, { STEP_LOG_START }, { STEP_RESET },
	  { STEP_LOG_REPORT }, { STEP_LOG_STOP } },
	{ { STEP_NTH }, { STEP_SET, 0, { ST_STOP_COPY } }, { STEP_NTH },
	  { STEP_READ, 0, { 0, ALL } }, { STEP_READ, 0, { 0, ALL } }, { STEP_GET } },
	{ { STEP_NTH }, { STEP_SET, 0, { ST_RESUMING } }, { STEP_NTH },
	  { STEP_WRITE, 0, { 0, ALL } }, { STEP_NTH }, { STEP_SET, 0, { ST_STOP } } },
};

static unsigned int random_phrase(struct step *s, unsigned int room, unsigned int threads,
				  u32 *seed)
{
	const struct step *phrase = phrases[mig_rnd(seed) % ARRAY_SIZE(phrases)];
	unsigned int thread = mig_rnd(seed) % threads, nr = 0, i;

	for (i = 0; i < PHRASE && nr < room; i++) {
		if (!(mig_rnd(seed) % 8))
			continue;
		s[nr] = phrase[i];
		if (s[nr].kind == STEP_NTH)
			s[nr].args[0] = 1 + mig_rnd(seed) % 12;
		s[nr++].thread = thread;
	}
	return nr;
}

void program_random(struct program *p, u32 seed, unsigned int steps, unsigned int threads)
{
	unsigned int at = 0;

	/* seeds that are close give different rows */
	seed = seed * 2654435761u ?: 1;
	memset(p->steps, 0, steps * sizeof(*p->steps));
	while (at < steps)
		if (mig_rnd(&seed) % 16)
			random_step(&p->steps[at++], threads, &seed);
		else
			at += random_phrase(&p->steps[at], steps - at, threads, &seed);
	p->nr = steps;
}

/* ---- as text ---- */

static void print_arg(enum arg_type type, u32 arg, FILE *to)
{
	if (type == STATE && arg < ST_NR)
		fprintf(to, " %s", mig_state_name(arg));
	else if (type != NONE)
		fprintf(to, " %u", arg);
}

void program_print(const struct program *p, FILE *to)
{
	const struct step *s;
	unsigned int i;

	for (s = p->steps; s < p->steps + p->nr; s++) {
		fprintf(to, "%u %s", s->thread, kinds[s->kind].name);
		for (i = 0; i < STEP_ARGS; i++)
			print_arg(kinds[s->kind].args[i], s->args[i], to);
		fprintf(to, "\n");
	}
	fflush(to);
}

/* Between words */
static const char space[] = { ' ', '\n', 0 };

static bool read_number(const char *word, u32 *n)
{
	char *end;

	*n = strtoul(word ?: "", &end, 10);
	return word && end != word && !*end;
}

static bool read_arg(enum arg_type type, const char *word, u32 *arg)
{
	u32 state;

	if (type == NONE)
		return true;
	for (state = 0; type == STATE && word && state < ST_NR; state++)
		if (!strcmp(word, mig_state_name(state))) {
			*arg = state;
			return true;
		}
	return read_number(word, arg);
}

static bool read_step(struct step *s, char *line)
{
	const char *name;
	unsigned int i;

	memset(s, 0, sizeof(*s));
	if (!read_number(strtok(line, space), &s->thread) || s->thread >= PROGRAM_THREADS)
		return false;
	name = strtok(NULL, space);
	for (i = 0; i < STEP_KINDS && name && strcmp(name, kinds[i].name); i++)
		;
	if (!name || i == STEP_KINDS)
		return false;
	s->kind = i;
	for (i = 0; i < STEP_ARGS; i++)
		if (kinds[s->kind].args[i] != NONE &&
		    !read_arg(kinds[s->kind].args[i], strtok(NULL, space), &s->args[i]))
			return false;
	return !strtok(NULL, space);
}

int program_read(struct program *p, FILE *from)
{
	char line[128];
	int nr = 0;

	p->nr = 0;
	while (fgets(line, sizeof(line), from)) {
		nr++;
		if (*line == '#' || *line == '\n')
			continue;
		if (p->nr == PROGRAM_STEPS || !read_step(&p->steps[p->nr], line))
			return nr;
		p->nr++;
	}
	return 0;
}

/* ---- shorter ---- */

static void leave_out(struct program *p, unsigned int at, unsigned int len)
{
	memmove(p->steps + at, p->steps + at + len, (p->nr - at - len) * sizeof(*p->steps));
	p->nr -= len;
}

/* Try without each piece of this length */
static unsigned int shrink_by(struct program *p, unsigned int len,
			      bool (*fails)(const struct program *p, void *arg), void *arg,
			      unsigned int tries)
{
	struct program *without = malloc_assert(sizeof(*without));
	unsigned int at = 0;

	while (at < p->nr && tries) {
		*without = *p;
		leave_out(without, at, min(len, p->nr - at));
		tries--;
		if (fails(without, arg))
			*p = *without;
		else
			at += len;
	}
	free(without);
	return tries;
}

static unsigned int in_one_thread(struct program *p,
				  bool (*fails)(const struct program *p, void *arg), void *arg)
{
	struct program *alone = malloc_assert(sizeof(*alone));
	unsigned int i;

	*alone = *p;
	for (i = 0; i < alone->nr; i++)
		alone->steps[i].thread = 0;
	if (fails(alone, arg))
		*p = *alone;
	free(alone);
	return 1;
}

void program_shrink(struct program *p, bool (*fails)(const struct program *p, void *arg), void *arg,
		    unsigned int tries)
{
	unsigned int len, before;

	tries -= in_one_thread(p, fails, arg);
	for (len = (p->nr + 1) / 2; len > 1; len = (len + 1) / 2)
		tries = shrink_by(p, len, fails, arg, tries);
	/* one that could not be left out may have become unnecessary */
	do {
		before = p->nr;
		tries = shrink_by(p, 1, fails, arg, tries);
	} while (p->nr < before && tries);
}
