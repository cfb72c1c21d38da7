// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs on a device.
 */
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/compiler.h>
#include <linux/kernel.h>

#include "plays.h"

static __printf(2, 3) bool wrong(struct player *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->why, sizeof(p->why), format, args);
	va_end(args);
	return false;
}

/* ---- results ---- */

static void print_calls(const struct player *p)
{
	char text[256];
	unsigned int i;

	for (i = 0; i < p->nr_calls; i++) {
		model_describe(&p->calls[i], text, sizeof(text));
		printf("# %llu-%llu %d: %s\n", p->calls[i].begin, p->calls[i].end,
		       p->calls[i].thread, text);
	}
	fflush(stdout);
}

static bool impossible(struct player *p)
{
	char states[128], calls[PLAYER_WHY - 200], text[256];
	size_t at = 0;
	unsigned int i;

	calls[0] = 0;
	for (i = 0; i < p->nr_calls && at < sizeof(calls) - 1; i++) {
		model_describe(&p->calls[i], text, sizeof(text));
		at += snprintf(calls + at, sizeof(calls) - at, "%s%s", i ? "; " : "", text);
	}
	model_describe_states(&p->model, states, sizeof(states));
	return wrong(p, "%s: %s", states, calls);
}

/* Nothing is known any more, so that everything begins anew */
static void begin_anew(struct player *p)
{
	struct model_call c = { MODEL_CLOSE };

	for (c.file = 0; c.file < MODEL_FILES; c.file++)
		if (p->files[c.file].fd >= 0)
			play_close_file(p, &c);
	memset(p->nth, 0, sizeof(p->nth));
	play_reopen_device(p);
	model_fini(&p->model);
	model_init(&p->model, &p->caps);
}

/* A save that was read to its end by one thread is a stream that can be loaded */
static void note_saved(struct player *p, const struct model_call *c)
{
	struct played_file *f = &p->files[c->file];

	if (!p->model.states[0].files[c->file].ended || p->model.states[0].faulty ||
	    f->mixed || !f->data.size)
		return;
	stream_free(&p->saved[1].s);
	p->saved[1].s = f->data;
	p->saved[1].id = ++p->ids;
	memset(&f->data, 0, sizeof(f->data));
}

static bool check(struct player *p)
{
	enum model_verdict verdict;
	unsigned int i;

	if (p->trace)
		print_calls(p);
	verdict = model_check(&p->model, p->calls, p->nr_calls);
	for (i = 0; i < p->nr_calls; i++)
		++(p->calls[i].ret < 0 ? p->failed : p->good)[p->calls[i].op];
	if (verdict == MODEL_IMPOSSIBLE)
		return impossible(p);
	if (verdict == MODEL_TOO_MANY) {
		p->unsure++;
		begin_anew(p);
	}
	for (i = 0; i < p->nr_calls && verdict == MODEL_RIGHT; i++)
		if (p->calls[i].op == MODEL_READ && !p->calls[i].ret && p->calls[i].len)
			note_saved(p, &p->calls[i]);
	p->nr_calls = 0;
	return true;
}

static void play(struct player *p, const struct step *s)
{
	struct model_call c;

	if (!play_step(p, s, &c))
		return;
	pthread_mutex_lock(&p->lock);
	p->calls[p->nr_calls++] = c;
	pthread_mutex_unlock(&p->lock);
}

static bool play_one(struct player *p, const struct step *s)
{
	play(p, s);
	return check(p);
}

/* Close the oldest files, so that each step of a round can get one */
static bool make_room(struct player *p)
{
	struct model_call c = { MODEL_CLOSE };
	int used = 0, i;

	for (i = 0; i < MODEL_FILES; i++)
		used += p->files[i].fd >= 0;
	for (; used > MODEL_FILES - PLAYER_ROUND; used--) {
		c.file = play_pick_file(p, used - 1);
		play_close_file(p, &c);
		p->calls[p->nr_calls++] = c;
		if (!check(p))
			return false;
	}
	return true;
}

/* ---- threads ---- */

struct round {
	struct player *p;
	const struct step *steps;
	unsigned int nr;
	unsigned int nr_threads;
	pthread_barrier_t begin;
};

struct performer {
	struct round *round;
	unsigned int thread;
	pthread_t id;
};

static void *perform(void *arg)
{
	struct performer *me = arg;
	struct round *r = me->round;
	unsigned int i;

	pthread_barrier_wait(&r->begin);
	for (i = 0; i < r->nr; i++)
		if (r->steps[i].thread == me->thread)
			play(r->p, &r->steps[i]);
	return NULL;
}

/* All at once */
static void play_together(struct round *r, u32 threads)
{
	struct performer performers[PROGRAM_THREADS];
	unsigned int t, i;

	for (i = 0; i < MODEL_FILES; i++)
		r->p->files[i].mixed = true;
	pthread_barrier_init(&r->begin, NULL, r->nr_threads);
	for (t = 0; t < PROGRAM_THREADS; t++) {
		performers[t] = (struct performer){ r, t };
		if (threads & 1u << t)
			VFIO_ASSERT_EQ(pthread_create(&performers[t].id, NULL, perform,
						      &performers[t]), 0);
	}
	for (t = 0; t < PROGRAM_THREADS; t++)
		if (threads & 1u << t)
			pthread_join(performers[t].id, NULL);
	pthread_barrier_destroy(&r->begin);
	for (i = 0; i < MODEL_FILES; i++)
		r->p->files[i].mixed = r->p->files[i].fd >= 0;
}

/* Steps from @at on that are played at once; returns how many */
static unsigned int round_length(const struct program *program, unsigned int at, u32 *threads)
{
	unsigned int nr;

	*threads = 0;
	for (nr = 0; nr < PLAYER_ROUND && at + nr < program->nr; nr++) {
		const struct step *s = &program->steps[at + nr];

		if (step_is_alone(s) && nr)
			break;
		*threads |= 1u << s->thread;
		if (step_is_alone(s))
			return 1;
	}
	return nr;
}

static bool play_round(struct player *p, const struct step *steps, unsigned int nr, u32 threads)
{
	struct round r = { p, steps, nr, __builtin_popcount(threads) };
	unsigned int i;

	if (!make_room(p))
		return false;
	if (r.nr_threads > 1) {
		play_together(&r, threads);
		return check(p);
	}
	for (i = 0; i < nr; i++)
		if (!play_one(p, &steps[i]))
			return false;
	return true;
}

/* ---- from begin to end ---- */

static int count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	VFIO_ASSERT_NOT_NULL(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

/* The next user finds a device that saves as if it were new, and that can be loaded */
static bool works(struct player *p)
{
	struct stream s;
	bool alike;
	int err;

	if (vdev_mig_state(p->dev) != ST_RUNNING)
		return wrong(p, "the next user does not find it in RUNNING");
	err = mig_save(p->dev, &s);
	if (err)
		return wrong(p, "the next user cannot save it: %s", strerror(-err));
	alike = stream_alike(&s, &p->saved[0].s);
	stream_free(&s);
	if (!alike)
		return wrong(p, "the next user finds something of the one before");
	err = mig_load(p->dev, &p->saved[0].s);
	if (!err)
		err = vdev_mig_set_state(p->dev, ST_RUNNING, NULL);
	return err ? wrong(p, "the next user cannot load it: %s", strerror(-err)) : true;
}

static bool play_all(struct player *p, const struct program *program)
{
	unsigned int at, nr;
	u32 threads;

	for (at = 0; at < program->nr; at += nr) {
		nr = round_length(program, at, &threads);
		if (!play_round(p, program->steps + at, nr, threads))
			return false;
	}
	return true;
}

bool player_run(struct player *p, const struct program *program)
{
	int files = count_files(), now;
	bool good;

	p->why[0] = 0;
	p->nr_calls = 0;
	model_init(&p->model, &p->caps);
	good = play_all(p, program);
	begin_anew(p);
	model_fini(&p->model);
	if (!good)
		return false;

	good = works(p);
	now = count_files();
	if (good && now != files)
		return wrong(p, "%d files before, %d afterwards", files, now);
	return good;
}

static void find_caps(struct player *p)
{
	u64 flags;

	vdev_mig_flags(p->dev, &flags);
	p->caps.flags = flags;
	p->caps.logging = !play_bare_feature(p, F_PROBE | F_SET | F_LOG_START);
	p->caps.info_v2 = (p->caps.flags & VFIO_MIGRATION_PRE_COPY) &&
			  !play_bare_feature(p, F_PROBE | F_SET | F_PRECOPY_INFO2);
}

static int open_sibling(struct player *p)
{
	if (!p->around.sibling)
		return 0;
	vdev_open(&p->sibling, p->around.sibling);
	return mig_save_fresh(&p->sibling, &p->saved_sibling);
}

int player_init(struct player *p, struct vdev *dev, const char *bdf, const struct arena *arena,
		const struct around *around)
{
	int i, err;

	memset(p, 0, sizeof(*p));
	p->dev = dev;
	p->bdf = bdf;
	p->arena = arena;
	p->around = *around;
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->sibling_lock, NULL);
	for (i = 0; i < MODEL_FILES; i++)
		play_free_file(&p->files[i]);
	for (i = 0; i < PROGRAM_THREADS; i++)
		p->buffers[i] = play_make_buffer();
	find_caps(p);
	p->saved[0].id = ++p->ids;
	err = mig_save_fresh(dev, &p->saved[0].s);
	return err ?: open_sibling(p);
}

void player_fini(struct player *p)
{
	int i;

	for (i = 0; i < PROGRAM_THREADS; i++)
		play_free_buffer(p->buffers[i]);
	if (p->around.sibling)
		vdev_close(&p->sibling);
	stream_free(&p->saved_sibling);
	stream_free(&p->saved[0].s);
	stream_free(&p->saved[1].s);
	pthread_mutex_destroy(&p->sibling_lock);
	pthread_mutex_destroy(&p->lock);
}
