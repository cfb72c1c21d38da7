// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands that the driver sends, and how to get it to send each: what tests of a failing
 * device share.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static const struct unvme_opts opts = { .queues = 1, .irq = true };

int scene_fd = -1;

/* ---- up to a command, and the call that sends it ---- */

static bool begin_running(struct vf *v)
{
	vdev_bus_master(&v->dev, true);
	return vf_up(v, &opts);
}

static bool begin_p2p(struct vf *v)
{
	return begin_running(v) && go(v, ST_P2P);
}

static bool begin_stop(struct vf *v)
{
	return begin_running(v) && go(v, ST_STOP);
}

static bool begin_read(struct vf *v)
{
	if (scene_fd >= 0)
		close(scene_fd);
	vdev_bus_master(&v->dev, true);
	if (!up_large(v))
		return false;
	fill_large();
	if (!go(v, ST_STOP))
		return false;
	scene_fd = go_fd(v, ST_STOP_COPY);
	return scene_fd >= 0;
}

/* SAVE_DATA was done: the way back loads its data. */
static bool begin_undo(struct vf *v)
{
	return begin_stop(v) && go(v, ST_STOP_COPY) && go(v, ST_STOP);
}

/* A VF that was reset, so that it may be loaded. */
static bool begin_off(struct vf *v)
{
	return go(v, ST_STOP);
}

static bool begin_write(struct vf *v)
{
	scene_fd = go_fd(v, ST_RESUMING);
	return scene_fd >= 0;
}

static int act_running(struct vf *v)
{
	return vdev_mig_set_state(&v->dev, ST_RUNNING, NULL);
}

static int act_p2p(struct vf *v)
{
	return vdev_mig_set_state(&v->dev, ST_P2P, NULL);
}

static int act_stop_copy(struct vf *v)
{
	return vdev_mig_set_state(&v->dev, ST_STOP_COPY, NULL);
}

static int act_resuming(struct vf *v)
{
	return vdev_mig_set_state(&v->dev, ST_RESUMING, NULL);
}

static int act_size(struct vf *v)
{
	u64 size = 0;
	int err = vdev_mig_data_size(&v->dev, &size);

	return err || size ? err : -ENODATA;
}

static int act_read(struct vf *v)
{
	struct stream s;
	int err = stream_read(scene_fd, &s, 0);

	stream_free(&s);
	return err;
}

/* Of a VF in firmware; it is the same for all of a PF, and asks the device for nothing. */
static struct stream good[MAX_PFS];

bool scene_init(int pf)
{
	return good[pf].data || firmware_stream(pf, &good[pf]);
}

static int act_write(struct vf *v)
{
	return stream_write(scene_fd, &good[v->pf_nr], 0);
}

/* ---- the table ---- */

#define SEND(sel)	{ .opcode = LM_OP_SEND, .dw10 = (sel), .dw10_mask = 0xff }
#define GET		{ .opcode = LM_OP_RECV }
#define VENDOR(op)	{ .opcode = LM_OP_VS_##op }
#define LIST		{ .opcode = NVME_ADM_IDENTIFY, .dw10 = 0x15, .dw10_mask = 0xff }

const struct scene scene_suspend = {
	{ "Suspend", "SUSPEND" }, { SEND(0), VENDOR(SUSPEND) },
	begin_running, act_p2p, ST_RUNNING,
};

const struct scene scene_size_running = {
	{ "Get Controller State", "QUERY_DATA_SIZE" }, { GET, VENDOR(QUERY) },
	begin_running, act_size, ST_RUNNING,
};

const struct scene scene_size = {
	{ "Get Controller State", "QUERY_DATA_SIZE" }, { GET, VENDOR(QUERY) },
	begin_stop, act_size, ST_STOP,
};

/* The header; of the vendor set the size. */
const struct scene scene_save = {
	{ "Get Controller State", "QUERY_DATA_SIZE" }, { GET, VENDOR(QUERY) },
	begin_stop, act_stop_copy, ST_STOP,
};

/*
 * A piece of the state, on SP_SMALL: an ordinary state comes with its size. With the vendor set
 * SAVE_DATA moves it, on the arc to STOP_COPY.
 */
const struct scene scene_read = {
	{ "Get Controller State", NULL }, { GET }, begin_read, act_read, ST_STOP_COPY,
};

const struct scene scene_save_data = {
	{ NULL, "SAVE_DATA" }, { {}, VENDOR(SAVE) }, begin_stop, act_stop_copy, ST_STOP,
};

const struct scene scene_list = {
	{ "secondary controller not found", "secondary controller not found" }, { LIST, LIST },
	begin_off, act_resuming, ST_STOP,
};

const struct scene scene_write = {
	{ "Set Controller State", "LOAD_DATA" }, { SEND(2), VENDOR(LOAD) },
	begin_write, act_write, ST_RESUMING,
};

const struct scene scene_undo = {
	{ NULL, "LOAD_DATA" }, { {}, VENDOR(LOAD) }, begin_undo, act_p2p, ST_STOP,
};

const struct scene scene_resume = {
	{ "Resume", "RESUME" }, { SEND(1), VENDOR(RESUME) },
	begin_p2p, act_running, ST_P2P,
};

/* ---- playing them ---- */

struct lm_fault scene_fault(const struct scene *sc, int pf, u8 act, u32 times)
{
	struct lm_fault f = sc->cmd[pf_get(pf)->vendor];

	f.act = act;
	f.times = times;
	return f;
}

const char *scene_what(const struct scene *sc, int pf)
{
	return sc->what[pf_get(pf)->vendor];
}

bool fault_abort(int pf, u32 status)
{
	struct lm_fault f = {
		.opcode = NVME_ADM_ABORT, .act = LM_ACT_STATUS, .arg = status,
	};

	return fault_arm(pf, SLOT_ABORT, f);
}

bool fault_hold(const struct scene *sc, int pf, bool execute)
{
	struct lm_fault f = scene_fault(sc, pf, LM_ACT_HOLD, 1);

	f.execute = execute;
	return fault_arm(pf, 0, f) && fault_abort(pf, ABORT_LIMIT);
}

bool fault_held(int pf, int nr)
{
	return lm_fault_wait_held(pf_get(pf), nr);
}

int nr_held(int pf)
{
	return lm_fault_count(pf_get(pf), LM_FAULT_HELD, 0);
}

bool fault_release(int pf)
{
	struct lm_pf *p = pf_get(pf);

	return EXPECT(lm_fault_release(p, 0) >= 0, "release") && lm_fault_wait_held(p, 0);
}

/* How many fault points of each command did what */
static unsigned int armed[256][LM_ACTS];

static void note_command(u8 opcode)
{
	static const char *const acts[LM_ACTS] = {
		"counted", "status", "held", "late", "other data", "less data", "other result",
	};
	unsigned int sum = 0, act;
	char text[200] = "";
	size_t at = 0;

	for (act = LM_ACT_STATUS; act < LM_ACTS; act++) {
		if (armed[opcode][act])
			at += snprintf(text + at, sizeof(text) - at, "%s %u %s", sum ? "," : "",
				       armed[opcode][act], acts[act]);
		sum += armed[opcode][act];
	}
	if (sum)
		tap_note("tried: fault points of command %02xh, %u in all (%s): as expected",
			 opcode, sum, text + 1);
}

void fault_note(void)
{
	unsigned int opcode;

	for (opcode = 0; opcode < ARRAY_SIZE(armed); opcode++)
		note_command(opcode);
}

bool fault_arm(int pf, unsigned int slot, struct lm_fault f)
{
	armed[f.opcode][f.act]++;
	return EXPECT_EQ(lm_fault_arm(pf_get(pf), slot, &f), 0, "slot %u", slot);
}

bool fault_clear(int pf)
{
	return EXPECT_EQ(lm_fault_end(pf_get(pf)), 0, "clear");
}

bool scene_open(struct vf *v, int pf)
{
	return load_module() && pf_get(pf) && scene_init(pf) && fault_clear(pf) &&
	       vf_open(v, pf, 1);
}

bool scene_begin(const struct scene *sc, struct vf *v)
{
	return sc->begin(v) && vf_expect_state(v, sc->from);
}

bool scene_again(struct vf *v)
{
	if (scene_fd >= 0)
		close(scene_fd);
	scene_fd = -1;
	if (v->u.udrv.dev) {
		EXPECT_EQ(v->u.udrv.faults, 0, "%s", v->u.udrv.fault);
		unvme_fini(&v->u);
	}
	return vf_reset(v);
}

/* What the scene had not done yet is done, and the VF runs. */
void scene_finish(const struct scene *sc, struct vf *v)
{
	if (!EXPECT_EQ(sc->act(v), 0, "%s, again", scene_what(sc, v->pf_nr)))
		return;
	if (sc == &scene_list) {
		if (scene_again(v))
			vf_check_usable(v);
	} else if (go(v, ST_STOP) && go(v, ST_RUNNING)) {
		EXPECT_EQ(unvme_rw(&v->u, 1, true, 0, 8), 0, "write afterwards");
	}
}

/* ---- in a thread ---- */

bool wait_blocked(pid_t pid, pid_t tid)
{
	u64 end = now_ms() + UNVME_TIMEOUT_MS;
	char state;

	do {
		state = thread_state(pid, tid);
		if (state == 'D')
			return true;
		sched_yield();
	} while (state && now_ms() < end);
	return EXPECT(0, "thread %d does not wait", tid);
}

static struct actor {
	const struct scene *sc;
	struct vf *v;
	pthread_t thread;
	pid_t tid;
	bool running;
	int err;
} actor;

static void *act_thread(void *arg)
{
	struct actor *a = arg;

	__atomic_store_n(&a->tid, gettid(), __ATOMIC_RELEASE);
	a->err = a->sc->act(a->v);
	return NULL;
}

bool actor_start(const struct scene *sc, struct vf *v)
{
	actor = (struct actor){ .sc = sc, .v = v };
	actor.running = EXPECT_EQ(pthread_create(&actor.thread, NULL, act_thread, &actor), 0,
				  "thread");
	return actor.running;
}

bool actor_waits(void)
{
	while (!__atomic_load_n(&actor.tid, __ATOMIC_ACQUIRE))
		sched_yield();
	return wait_blocked(getpid(), actor.tid);
}

int actor_end(void)
{
	if (actor.running)
		pthread_join(actor.thread, NULL);
	actor.running = false;
	return actor.err;
}

/* ---- before and after ---- */

static bool timeouts_changed;

bool set_timeouts(const char *ms)
{
	timeouts_changed = true;
	return set_param("suspend_timeout_ms", ms) && set_param("data_timeout_ms", ms) &&
	       set_param("identify_timeout_ms", ms);
}

void scene_end(void)
{
	int i;

	for (i = 0; i < MAX_PFS; i++)
		pf_end_faults(i);
	actor_end();
	if (scene_fd >= 0)
		close(scene_fd);
	scene_fd = -1;
	if (!timeouts_changed || access("/sys/module/" MODULE, F_OK))
		return;
	timeouts_changed = false;
	set_param("suspend_timeout_ms", "30000");
	set_param("data_timeout_ms", "30000");
	set_param("identify_timeout_ms", "10000");
}
