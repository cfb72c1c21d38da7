// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model of a migratable device.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/compiler.h>
#include <linux/kernel.h>

#include "migration.h"
#include "model.h"

enum { NO_FILE, SAVE, LOAD };

/* Values of session that are no file */
#define NO_SESSION	(-1)
#define NOBODYS		(-2)	/* nobody has its file: it is the orphan */

/* The most results of one call in one state */
#define FANOUT		(ST_NR + 2)

struct outcomes {
	struct model_state states[FANOUT];
	unsigned int nr;
};

struct step {
	const struct model_caps *caps;
	const struct model_state *from;
	const struct model_call *c;
	bool overlaps;
	bool faults;
	struct outcomes *to;
};

static struct model_state *allow_copy(struct step *s, const struct model_state *state)
{
	struct model_state *to = &s->to->states[s->to->nr++];

	*to = *state;
	return to;
}

static struct model_state *allow(struct step *s)
{
	return allow_copy(s, s->from);
}

static void allow_if(struct step *s, bool condition)
{
	if (condition)
		allow(s);
}

static bool failed_with(const struct step *s, int err)
{
	return s->c->ret == -err;
}

/* An error that a fault explains, whatever was asked for */
static bool fault(const struct step *s)
{
	return s->faults && s->c->ret < 0;
}

static bool in_precopy(const struct model_state *state)
{
	return state->state == ST_PRE_COPY || state->state == ST_PRE_COPY_P2P;
}

/* ---- sessions ---- */

static void end_session(struct model_state *state)
{
	state->session = NO_SESSION;
	memset(&state->orphan, 0, sizeof(state->orphan));
}

static void begin_session(struct model_state *state, int file)
{
	struct model_file *f = file < 0 ? &state->orphan : &state->files[file];

	memset(f, 0, sizeof(*f));
	f->kind = state->state == ST_RESUMING ? LOAD : SAVE;
	f->size = f->kind == SAVE ? ~0ull : 0;
	f->initial_max = ~0ull;
	state->session = file < 0 ? NOBODYS : file;
}

static void reset(struct model_state *state)
{
	end_session(state);
	state->state = ST_RUNNING;
	state->bound = 0;
	state->doomed = false;
}

static const struct model_file *session_file(const struct model_state *state)
{
	return state->session == NOBODYS ? &state->orphan : &state->files[state->session];
}

static bool is_complete(const struct model_file *f)
{
	return f->size && f->pos == f->size;
}

/* Whether the state that was written is one that can be left for STOP, and has to be */
static bool may_leave(const struct model_state *state)
{
	const struct model_file *f = session_file(state);

	return f->load == MODEL_DOUBTFUL || (f->load == MODEL_PREFIX && is_complete(f));
}

static bool must_leave(const struct model_state *state)
{
	const struct model_file *f = session_file(state);

	return f->load == MODEL_PREFIX && is_complete(f);
}

/* ---- the state ---- */

/* Go on to a state on the way, or to its end */
static struct model_state *move_to(struct step *s, u32 state)
{
	struct model_state *to = allow(s);

	if (!mig_same_session(to->state, state))
		end_session(to);
	if (state != ST_STOP)
		to->bound = 0;
	to->state = state;
	return to;
}

static void get_state(struct step *s)
{
	const struct model_call *c = s->c;

	if (fault(s))
		allow(s);
	else if (!c->ret && c->file < 0 && c->state == s->from->state)
		allow(s);
	else if (!c->ret && c->file < 0 && c->state == ST_ERROR && s->from->faulty)
		move_to(s, ST_ERROR);
}

static bool has_number(const struct model_call *c)
{
	return c->file >= 0;
}

static void set_succeeds(struct step *s, bool has_file)
{
	const struct model_state *from = s->from;
	const struct model_call *c = s->c;
	struct model_state *to;
	bool gives;

	if (from->state == c->state) {
		allow_if(s, !has_file || c->file < 0);
		return;
	}

	gives = mig_gives_file(s->caps->flags, from->state, c->state);
	if ((from->state == ST_RESUMING && !may_leave(from)) ||
	    (has_file && gives != has_number(c)))
		return;

	to = move_to(s, c->state);
	if (gives)
		begin_session(to, c->file);
	if (from->state == ST_STOP && from->bound && c->state == ST_STOP_COPY && has_number(c))
		to->files[c->file].size = from->bound;
}

/* The device is where it was, on the way, or in ERROR */
static void set_fails(struct step *s, const u32 *path, int len)
{
	const struct model_state *from = s->from;
	bool stuck = from->state == ST_RESUMING && len > 0 && !must_leave(from);
	int i;

	if (!stuck && !s->faults)
		return;
	allow(s);
	move_to(s, ST_ERROR);
	for (i = 0; s->faults && i < len - 1; i++)
		if (from->state != ST_RESUMING || may_leave(from))
			move_to(s, path[i]);
}

/* The request was executed, perhaps, and the caller knows nothing of the file */
static bool is_answer_lost(const struct model_call *c)
{
	return c->ret == -EFAULT && (c->flaw == MODEL_ANSWER || c->fault);
}

static void set_valid(struct step *s, const u32 *path, int len)
{
	const struct model_call *c = s->c;

	if (is_answer_lost(c)) {
		set_succeeds(s, false);
		set_fails(s, path, len);
	} else if (c->ret) {
		if (c->file < 0 && (c->flaw != MODEL_ANSWER || s->faults))
			set_fails(s, path, len);
	} else if (c->flaw != MODEL_ANSWER) {
		set_succeeds(s, true);
	}
}

static void set_state(struct step *s)
{
	const struct model_state *from = s->from;
	const struct model_call *c = s->c;
	u32 path[ST_NR];
	bool refused;
	int len;

	refused = c->ret < 0 && (c->file < 0 || c->flaw == MODEL_ANSWER);
	if (from->state == ST_ERROR && c->state != ST_ERROR) {
		allow_if(s, refused);
		return;
	}

	len = mig_path(s->caps->flags, from->state, c->state, path);
	if (c->state == ST_ERROR || len < 0)
		allow_if(s, refused && (fault(s) ||
					failed_with(s, c->flaw == MODEL_ANSWER ? EFAULT : EINVAL)));
	else
		set_valid(s, path, len);
}

/* Nobody knows how far it came */
static void set_unseen(struct step *s)
{
	const struct model_state *from = s->from;
	u32 path[ST_NR];
	int len;

	len = mig_path(s->caps->flags, from->state, s->c->state, path);
	if (from->state == ST_ERROR || s->c->state == ST_ERROR || len < 0) {
		allow(s);
		return;
	}
	s->faults = true;
	set_succeeds(s, false);
	set_fails(s, path, len);
}

static void data_size(struct step *s)
{
	const struct model_call *c = s->c;
	struct model_state *to;

	if (fault(s)) {
		allow(s);
	} else if (!c->ret && c->value) {
		to = allow(s);
		if (to->state == ST_STOP)
			to->bound = c->value;
	}
}

static void info_v2(struct step *s)
{
	if (fault(s))
		allow(s);
	else if (!s->caps->info_v2)
		allow_if(s, failed_with(s, EINVAL) || failed_with(s, ENOTTY));
	else if (!s->c->ret)
		allow(s)->info_v2 = true;
}

/* ---- files ---- */

static const struct model_file *the_file(const struct step *s)
{
	return &s->from->files[s->c->file];
}

static struct model_file *the_new_file(struct step *s)
{
	return &allow(s)->files[s->c->file];
}

static bool is_alive(const struct step *s)
{
	return s->from->session == s->c->file;
}

/* How many bytes are in memory */
static size_t in_memory(const struct model_call *c)
{
	return c->len - min(c->len, c->missing);
}

/* Memory that is not there, or more than a call can transfer */
static bool bad_memory(const struct step *s)
{
	const struct model_call *c = s->c;

	return (c->missing && failed_with(s, EFAULT)) ||
	       (c->len > SSIZE_MAX && failed_with(s, EINVAL));
}

static void got_bytes(struct step *s, u64 n)
{
	const struct model_file *f = the_file(s);
	struct model_file *to;

	if (f->ended || n > in_memory(s->c) || f->pos + n > f->size)
		return;

	to = the_new_file(s);
	to->pos += n;
	to->initial_min -= min_t(u64, n, to->initial_min);
	/* a part may have been read before a question that came in between */
	if (to->initial_max != ~0ull && !s->overlaps)
		to->initial_max -= min_t(u64, n, to->initial_max);
}

static void read_ends(struct step *s)
{
	const struct model_file *f = the_file(s);

	if (s->from->state != ST_STOP_COPY)
		return;
	if (f->reads == MODEL_UNSEEN || (f->reads == MODEL_SEEN && f->pos))
		the_new_file(s)->ended = true;
}

/* Whether it can be tried again is for the device to say, and for the kernel what it lacked */
static void read_fails(struct step *s)
{
	the_new_file(s)->reads = MODEL_FAILED;
	if (s->c->fault)
		allow(s);
}

static void read_alive(struct step *s)
{
	const struct model_file *f = the_file(s);
	const struct model_call *c = s->c;

	if (bad_memory(s))
		allow(s);
	else if (c->ret > 0)
		got_bytes(s, c->ret);
	else if (!c->len)
		allow_if(s, !c->ret || fault(s));
	else if (!c->ret)
		read_ends(s);
	else if (failed_with(s, ENOMSG))
		allow_if(s, in_precopy(s->from) && !f->initial_min);
	else if (fault(s))
		read_fails(s);
}

/* A dead file gives no data: the error must not be one that asks the reader to wait */
static bool is_end(const struct step *s)
{
	return s->c->ret <= 0 && !failed_with(s, ENOMSG) && !failed_with(s, EAGAIN) &&
	       (!failed_with(s, EFAULT) || bad_memory(s));
}

static void read_file(struct step *s)
{
	if (the_file(s)->kind != SAVE)
		allow_if(s, failed_with(s, EBADF));
	else if (is_alive(s))
		read_alive(s);
	else
		allow_if(s, is_end(s));
}

/* Nothing is known any more of where it is */
static void read_unseen(struct step *s)
{
	struct model_file *to;

	allow(s);
	if (the_file(s)->kind != SAVE || !is_alive(s) || the_file(s)->ended)
		return;

	to = the_new_file(s);
	to->reads = MODEL_UNSEEN;
	to->size = ~0ull;
	to->initial_min = 0;
	to->initial_max = ~0ull;
}

/* How many bytes of the stream go on where the last write ended */
static u64 good_bytes(const struct step *s)
{
	const struct model_file *f = the_file(s);
	const struct model_call *c = s->c;

	if (f->load != MODEL_PREFIX || c->at != f->pos || (f->pos && c->stream != f->stream))
		return 0;
	return c->len - min(c->len, c->spoilt);
}

/* Nothing follows a complete stream */
static bool ends_with(const struct step *s, u64 good)
{
	const struct model_file *f = the_file(s);

	return (f->load == MODEL_PREFIX && is_complete(f)) ||
	       (good && s->c->at + good == s->c->total);
}

static void took_bytes(struct step *s, u64 n)
{
	const struct model_call *c = s->c;
	u64 good = good_bytes(s);
	struct model_file *to;

	if (n > in_memory(c) || (n > good && ends_with(s, good)))
		return;

	to = the_new_file(s);
	if (n > good && to->load == MODEL_PREFIX)
		to->load = MODEL_DOUBTFUL;
	if (!to->pos) {
		to->stream = c->stream;
		to->size = c->total;
	}
	to->pos += n;
}

static void write_fails(struct step *s)
{
	const struct model_file *f = the_file(s);
	const struct model_call *c = s->c;
	u64 good = good_bytes(s), size = f->pos ? f->size : c->total;
	struct model_file *to;

	if (f->load == MODEL_PREFIX && good == c->len && !s->faults)
		return;

	to = the_new_file(s);
	if (to->load == MODEL_REFUSED)
		return;
	if (c->fault)
		allow(s);
	/* a complete stream may have been taken over before its end was exceeded */
	to->load = f->pos + c->len > size ? MODEL_DOUBTFUL : MODEL_REFUSED;
}

static void write_alive(struct step *s)
{
	const struct model_call *c = s->c;

	if (bad_memory(s))
		allow(s);
	else if (c->ret > 0)
		took_bytes(s, c->ret);
	else if (!c->len)
		allow_if(s, !c->ret || fault(s) || the_file(s)->load != MODEL_PREFIX);
	else if (c->ret)
		write_fails(s);
}

static void write_file(struct step *s)
{
	if (the_file(s)->kind != LOAD)
		allow_if(s, failed_with(s, EBADF));
	else if (is_alive(s))
		write_alive(s);
	else
		allow_if(s, failed_with(s, ENODEV) || bad_memory(s) || (!s->c->len && !s->c->ret));
}

/* The file may have taken any part of it, or have refused it */
static void write_unseen(struct step *s)
{
	const struct model_file *f = the_file(s);

	allow(s);
	if (f->kind != LOAD || !is_alive(s) || f->load == MODEL_REFUSED)
		return;

	the_new_file(s)->load = MODEL_DOUBTFUL;
	the_new_file(s)->load = MODEL_REFUSED;
}

static void poll_file(struct step *s)
{
	const struct model_file *f = the_file(s);
	u64 events = s->c->value;

	if (s->c->ret < 0 || s->from->faulty)
		allow_if(s, s->faults);
	else if (!is_alive(s))
		allow_if(s, events);
	else if (f->kind == LOAD)
		allow_if(s, events & POLLOUT);
	else
		allow_if(s, events & POLLIN || (in_precopy(s->from) && !f->initial_min));
}

static void got_info(struct step *s)
{
	const struct model_file *f = the_file(s);
	const struct model_call *c = s->c;
	bool reinit = c->flags & VFIO_PRECOPY_INFO_REINIT;
	struct model_file *to;

	if ((reinit && !s->from->info_v2) || (!reinit && c->value > f->initial_max) ||
	    (!f->pos && !c->value))
		return;

	to = the_new_file(s);
	to->initial_min = c->value;
	to->initial_max = c->value;
}

static void precopy_info(struct step *s)
{
	const struct model_call *c = s->c;
	bool valid = is_alive(s) && in_precopy(s->from);

	if (fault(s))
		allow(s);
	else if (the_file(s)->kind == LOAD)
		allow_if(s, failed_with(s, ENOTTY));
	else if (!(s->caps->flags & VFIO_MIGRATION_PRE_COPY))
		allow_if(s, c->ret < 0);
	else if (c->flaw == MODEL_INVALID)
		allow_if(s, failed_with(s, EINVAL));
	else if (c->flaw == MODEL_POINTER)
		allow_if(s, failed_with(s, EFAULT) || (!valid && failed_with(s, EINVAL)));
	else if (!valid)
		allow_if(s, failed_with(s, EINVAL));
	else if (!c->ret)
		got_info(s);
}

static void file_ioctl(struct step *s)
{
	allow_if(s, failed_with(s, ENOTTY));
}

static void seek(struct step *s)
{
	allow_if(s, failed_with(s, ESPIPE));
}

/* The session goes on without its file */
static void close_file(struct step *s)
{
	struct model_state *to = allow(s);
	struct model_file *f = &to->files[s->c->file];

	if (to->session == s->c->file) {
		to->orphan = *f;
		to->session = NOBODYS;
	}
	memset(f, 0, sizeof(*f));
}

/* ---- DMA logging ---- */

static void log_start(struct step *s)
{
	if (fault(s))
		allow(s);
	else if (!s->caps->logging)
		allow_if(s, failed_with(s, ENOTTY));
	else if (s->c->ret)
		allow_if(s, s->from->logging || s->from->state == ST_ERROR);
	else if (!s->from->logging)
		allow(s)->logging = true;
}

static void log_stop(struct step *s)
{
	if (fault(s))
		allow(s);
	else if (!s->caps->logging)
		allow_if(s, failed_with(s, ENOTTY));
	else if (s->c->ret)
		allow_if(s, !s->from->logging);
	else
		allow(s)->logging = false;
}

static void log_report(struct step *s)
{
	if (fault(s))
		allow(s);
	else if (!s->caps->logging)
		allow_if(s, failed_with(s, ENOTTY));
	else if (s->c->ret)
		allow_if(s, !s->from->logging || s->from->state == ST_ERROR);
	else
		allow_if(s, s->from->logging);
}

static void log_unseen(struct step *s)
{
	allow(s);
	if (s->caps->logging)
		allow(s)->logging = s->c->op == MODEL_LOG_START;
}

/* ---- reset, close ---- */

static void reset_device(struct step *s)
{
	if (!s->c->ret || fault(s))
		reset(allow(s));
	if (s->c->ret)
		allow_if(s, fault(s) || (s->overlaps && failed_with(s, EAGAIN)));
}

/* One that reaches no further than the device; others have to be refused */
static void hot_reset(struct step *s)
{
	if (!s->c->ret || fault(s))
		reset(allow(s));
	if (s->c->ret)
		allow(s);
}

static void reset_unseen(struct step *s)
{
	allow(s);
	reset(allow(s));
}

/* Config space cannot say that there was none, because something was in its way */
static void reset_by_config(struct step *s)
{
	reset(allow(s));
	if (s->overlaps || s->faults)
		allow(s);
}

static void reopen(struct step *s)
{
	struct model_state *to;

	if (s->c->ret) {
		allow_if(s, fault(s));
		return;
	}
	to = allow(s);
	reset(to);
	to->logging = false;
	to->info_v2 = false;
	to->faulty = false;
}

static void faults(struct step *s)
{
	allow(s)->faulty = true;
}

/* Whatever this one does: only what is behind both may make a difference */
static void use_sibling(struct step *s)
{
	allow_if(s, !s->c->ret || s->faults);
}

/* ---- one call ---- */

static void nothing(struct step *s)
{
}

static const struct {
	const char *name;
	void (*step)(struct step *s);
	void (*unseen)(struct step *s);		/* NULL: it has no effect */
} ops[] = {
	[MODEL_GET] = { "GET", get_state },
	[MODEL_SET] = { "SET", set_state, set_unseen },
	[MODEL_SIZE] = { "MIG_DATA_SIZE", data_size },
	[MODEL_INFO_V2] = { "MIG_PRECOPY_INFOv2", info_v2 },
	[MODEL_FEATURE] = { "feature", nothing },
	[MODEL_READ] = { "read", read_file, read_unseen },
	[MODEL_WRITE] = { "write", write_file, write_unseen },
	[MODEL_POLL] = { "poll", poll_file },
	[MODEL_INFO] = { "GET_PRECOPY_INFO", precopy_info },
	[MODEL_IOCTL] = { "ioctl", file_ioctl },
	[MODEL_SEEK] = { "seek", seek },
	[MODEL_CLOSE] = { "close", close_file },
	[MODEL_LOG_START] = { "LOGGING_START", log_start, log_unseen },
	[MODEL_LOG_STOP] = { "LOGGING_STOP", log_stop, log_unseen },
	[MODEL_LOG_REPORT] = { "LOGGING_REPORT", log_report },
	[MODEL_RESET] = { "reset", reset_device, reset_unseen },
	[MODEL_HOT_RESET] = { "hot reset", hot_reset, reset_unseen },
	[MODEL_FLR] = { "FLR", reset_by_config },
	[MODEL_REOPEN] = { "reopen", reopen },
	[MODEL_FAULTS] = { "faults", faults },
	[MODEL_SIBLING] = { "sibling", use_sibling },
};

const char *model_op_name(enum model_op op)
{
	return ops[op].name;
}

static const struct {
	const char *name;
	int err;
} flaws[] = {
	[MODEL_FINE] = { "" },
	[MODEL_POINTER] = { " with a bad pointer", EFAULT },
	[MODEL_ANSWER] = { " with an answer that cannot be written", EFAULT },
	[MODEL_INVALID] = { " with invalid arguments", EINVAL },
	[MODEL_TOO_BIG] = { " with too many arguments", E2BIG },
	[MODEL_WRAPS] = { " with arguments that wrap", EOVERFLOW },
	[MODEL_UNKNOWN] = { " that nobody knows", ENOTTY },
	[MODEL_WRONG] = { " with wrong arguments", 0 },
	[MODEL_PROBE] = { " probed", 0 },
};

static bool is_logging(enum model_op op)
{
	return op == MODEL_LOG_START || op == MODEL_LOG_STOP || op == MODEL_LOG_REPORT;
}

/* Whether a call about logging is, with any arguments */
static bool refused(const struct step *s)
{
	return is_logging(s->c->op) && s->from->logging == (s->c->op == MODEL_LOG_START);
}

/* A call whose arguments decide that it has no effect */
static void flawed(struct step *s)
{
	const struct model_call *c = s->c;

	if (fault(s))
		allow(s);
	else if (is_logging(c->op) && !s->caps->logging)
		allow_if(s, failed_with(s, ENOTTY));
	else if (c->flaw == MODEL_PROBE)
		allow_if(s, !c->ret);
	else if (c->flaw == MODEL_WRONG)
		allow_if(s, c->ret < 0);
	else
		/* the driver may look at what it is asked for first */
		allow_if(s, failed_with(s, flaws[c->flaw].err) || (c->ret < 0 && refused(s)));
}

static bool decides(const struct model_call *c)
{
	if (c->op == MODEL_INFO)
		return false;
	return c->flaw && !(c->op == MODEL_SET && c->flaw == MODEL_ANSWER);
}

static void take_step(struct step *s)
{
	s->to->nr = 0;
	if (s->c->unseen && ops[s->c->op].unseen)
		ops[s->c->op].unseen(s);
	else if (s->c->unseen)
		allow(s);
	else if (decides(s->c))
		flawed(s);
	else
		ops[s->c->op].step(s);
}

/* ---- calls that overlap ---- */

/* Some of the calls executed: which, and where that led */
struct node {
	u64 done;
	struct model_state state;
};

/* All different; @index finds those that were added since @age */
struct layer {
	struct node *nodes;
	unsigned int nr;
	bool full;
	u32 age;
	struct {
		u32 age;
		u32 nr;
	} index[2 * MODEL_STATES];
};

struct search {
	const struct model_call *calls;
	unsigned int nr;
	u64 before[MODEL_CALLS];	/* calls that returned before this one began */
	bool overlaps[MODEL_CALLS];
	bool disturbed[MODEL_CALLS];	/* by a reset */
	struct layer layers[2];
	struct outcomes outcomes;
};

static void layer_clear(struct layer *l)
{
	l->nr = 0;
	l->full = false;
	l->age++;
}

static u32 node_hash(const struct node *n)
{
	const u64 *p = (const u64 *)n;
	u64 h = 0;
	size_t i;

	for (i = 0; i < sizeof(*n) / sizeof(*p); i++)
		h = (h ^ p[i]) * 0x9e3779b97f4a7c15ull;
	return h >> 32;
}

static void layer_add(struct layer *l, const struct node *n)
{
	u32 at = node_hash(n) % ARRAY_SIZE(l->index);

	for (; l->index[at].age == l->age; at = (at + 1) % ARRAY_SIZE(l->index))
		if (!memcmp(&l->nodes[l->index[at].nr], n, sizeof(*n)))
			return;
	if (l->nr == MODEL_STATES) {
		l->full = true;
		return;
	}
	l->index[at].age = l->age;
	l->index[at].nr = l->nr;
	l->nodes[l->nr++] = *n;
}

/* Others say what is wrong with a call */
static bool may_be_reset(long ret)
{
	return ret < 0 && ret != -EFAULT && ret != -EINVAL && ret != -ENOTTY && ret != -EBADF &&
	       ret != -ESPIPE && ret != -ENOMSG;
}

static void add_outcomes(const struct node *n, unsigned int call, const struct outcomes *o,
			 struct layer *next)
{
	struct node to = { .done = n->done | 1ull << call };
	unsigned int i;

	for (i = 0; i < o->nr; i++) {
		to.state = o->states[i];
		layer_add(next, &to);
	}
}

/* Execute one more call. A reset may end one that is under way, and then follows it. */
static void execute(struct search *find, const struct model_caps *caps, const struct node *n,
		    unsigned int call, struct layer *next)
{
	unsigned int i;
	struct step s = {
		.caps = caps, .from = &n->state, .c = &find->calls[call],
		.overlaps = find->overlaps[call], .to = &find->outcomes,
	};

	s.faults = s.c->fault || n->state.faulty;
	take_step(&s);
	add_outcomes(n, call, &find->outcomes, next);
	if (!find->disturbed[call] || s.c->unseen || !may_be_reset(s.c->ret))
		return;

	s.faults = true;
	take_step(&s);
	for (i = 0; i < find->outcomes.nr; i++)
		find->outcomes.states[i].doomed = true;
	add_outcomes(n, call, &find->outcomes, next);
}

static void next_layer(struct search *find, const struct model_caps *caps,
		       const struct layer *now, struct layer *next)
{
	unsigned int i, call;

	layer_clear(next);
	for (i = 0; i < now->nr; i++)
		for (call = 0; call < find->nr; call++) {
			const struct node *n = &now->nodes[i];

			if (!(n->done & 1ull << call) && !(find->before[call] & ~n->done))
				execute(find, caps, n, call, next);
		}
}

static bool is_reset(enum model_op op)
{
	return op == MODEL_RESET || op == MODEL_HOT_RESET || op == MODEL_FLR || op == MODEL_REOPEN;
}

static void note_order(struct search *find)
{
	const struct model_call *c = find->calls;
	unsigned int i, j;

	memset(find->before, 0, sizeof(find->before));
	memset(find->overlaps, 0, sizeof(find->overlaps));
	memset(find->disturbed, 0, sizeof(find->disturbed));
	for (i = 0; i < find->nr; i++)
		for (j = 0; j < find->nr; j++) {
			if (c[j].end < c[i].begin) {
				find->before[i] |= 1ull << j;
			} else if (i != j && c[i].end >= c[j].begin) {
				find->overlaps[i] = true;
				find->disturbed[i] |= is_reset(c[j].op) && !is_reset(c[i].op);
			}
		}
}

/* What all calls led to; a reset that ended one has been executed, too */
static enum model_verdict keep_states(struct model *m, const struct layer *last)
{
	unsigned int i, nr = 0;

	for (i = 0; i < last->nr; i++)
		if (!last->nodes[i].state.doomed)
			nr++;
	if (!nr)
		return MODEL_IMPOSSIBLE;

	m->nr = 0;
	for (i = 0; i < last->nr; i++)
		if (!last->nodes[i].state.doomed)
			m->states[m->nr++] = last->nodes[i].state;
	return MODEL_RIGHT;
}

static enum model_verdict run_search(struct search *find, struct model *m)
{
	struct layer *now = &find->layers[0], *next;
	struct node n = { 0 };
	unsigned int i;

	layer_clear(now);
	for (i = 0; i < m->nr; i++) {
		n.state = m->states[i];
		layer_add(now, &n);
	}
	for (i = 0; i < find->nr; i++) {
		next = &find->layers[now == &find->layers[0]];
		next_layer(find, &m->caps, now, next);
		if (next->full)
			return MODEL_TOO_MANY;
		if (!next->nr)
			return MODEL_IMPOSSIBLE;
		now = next;
	}

	return keep_states(m, now);
}

enum model_verdict model_check(struct model *m, const struct model_call *calls, unsigned int nr)
{
	struct search *find = m->search;

	if (nr > MODEL_CALLS)
		return MODEL_TOO_MANY;

	find->calls = calls;
	find->nr = nr;
	note_order(find);
	return run_search(find, m);
}

void model_init(struct model *m, const struct model_caps *caps)
{
	m->caps = *caps;
	m->nr = 1;
	m->states = calloc_assert(MODEL_STATES, sizeof(*m->states));
	m->search = calloc_assert(1, sizeof(*m->search));
	m->search->layers[0].nodes = malloc_assert(MODEL_STATES * sizeof(struct node));
	m->search->layers[1].nodes = malloc_assert(MODEL_STATES * sizeof(struct node));
	reset(&m->states[0]);
}

void model_fini(struct model *m)
{
	free(m->search->layers[0].nodes);
	free(m->search->layers[1].nodes);
	free(m->search);
	free(m->states);
	memset(m, 0, sizeof(*m));
}

/* ---- messages ---- */

struct text {
	char *at;
	size_t left;
};

static __printf(2, 3) void add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->at, t->left, format, args);
	va_end(args);
	n = n < 0 ? 0 : min_t(size_t, n, t->left - 1);
	t->at += n;
	t->left -= n;
}

static void add_arguments(struct text *t, const struct model_call *c)
{
	if (c->op == MODEL_SET)
		add(t, " %s", mig_state_name(c->state));
	else if (c->op >= MODEL_READ && c->op <= MODEL_CLOSE)
		add(t, " of file %d", c->file);
	if (c->op == MODEL_READ || c->op == MODEL_WRITE)
		add(t, ", %zu bytes", c->len);
	if (c->op == MODEL_WRITE)
		add(t, ", %zu of them spoilt, at %llu of %llu", c->spoilt, c->at, c->total);
	if (c->missing)
		add(t, ", %zu of them not in memory", c->missing);
	add(t, "%s", flaws[c->flaw].name);
}

void model_describe(const struct model_call *c, char *text, size_t size)
{
	struct text t = { text, size };

	add(&t, "%s", ops[c->op].name);
	add_arguments(&t, c);
	if (c->fault)
		add(&t, " with a fault");
	if (c->unseen)
		add(&t, ", killed");
	else if (c->ret < 0)
		add(&t, ": %s", strerror(-c->ret));
	else
		add(&t, " = %ld", c->ret);
	if (!c->ret && c->op == MODEL_GET)
		add(&t, ", %s", mig_state_name(c->state));
	if (c->op == MODEL_SET && c->file >= 0)
		add(&t, ", file %d", c->file);
	if (c->op == MODEL_SIZE || c->op == MODEL_POLL || c->op == MODEL_INFO)
		add(&t, ", value %#llx", c->value);
}

void model_describe_states(const struct model *m, char *text, size_t size)
{
	struct text t = { text, size };
	u32 seen = 0;
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		u32 state = m->states[i].state;

		if (!(seen & 1u << state))
			add(&t, "%s%s", seen ? " or " : "in ", mig_state_name(state));
		seen |= 1u << state;
	}
}
