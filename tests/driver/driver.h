/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the driver test share: VFs bound to nvme-vfio-pci and open, their state and
 * their streams, the kernel log, sysfs.
 *
 * tap_arg() of a test is the number of the PF it works on. On the standard machine PF 0 and 1 have
 * TP4159 and share a subsystem, PF 2 and 3 the same with the vendor set, PF 4 has neither. The
 * machine "special" has PFs with rare properties, see SP_*.
 */
#ifndef TESTS_DRIVER_H
#define TESTS_DRIVER_H

#include <sys/types.h>

#include "function.h"
#include "migration.h"
#include "stream.h"
#include "vf.h"

#define DRIVER		"nvme-vfio-pci"
#define MODULE		"nvme_vfio_pci"

/* All states that can be asked for. */
#define NR_STATES	5
extern const u32 all_states[NR_STATES];

/* The devices that a test runs on, of those that --on names. */
enum {
	ON_TP		= 1 << 0,	/* PF 0 */
	ON_VS		= 1 << 1,	/* PF 2 */
	ON_BOTH		= ON_TP | ON_VS,
	ON_PLAIN	= 1 << 2,	/* PF 4 */
	ON_SPECIAL	= 1 << 3,	/* PF @pf of the machine "special" or "crowd" */
};

struct scene;

struct drv_test {
	const char *name;
	void (*run)(void);
	unsigned int on;
	int pf;
	const struct scene *scene;
};

/* Tests, which --group names. */
struct test_group {
	const char *name;
	const struct drv_test *tests;
	size_t nr;
};

/* The scene of the running test. */
const struct scene *test_scene(void);

/* PFs of the special machine; SP_SMALL and SP_ENDLESS have fault points. */
enum {
	SP_SMALL,		/* TP4159, transfers of 8 KiB, five VFs */
	SP_SMALL2,		/* the same, in its subsystem */
	SP_ENDLESS,		/* TP4159, a full completion queue keeps a Suspend waiting */
	SP_ENDLESS_VS,		/* the same, vendor set, Abort does nothing */
	SP_QUEUES,		/* TP4159, no vendor state */
	SP_QUEUES2,		/* the same, in its subsystem */
	SP_DISABLES,		/* vendor set, SAVE disables the VF */
	SP_ENABLED,		/* TP4159, no Suspend at CC.EN=0 */
};

/*
 * PFs of the machine "functions". All but FN_ALONE are of one subsystem. The MMC migrates the PFs A
 * to D, which have fault points and are VFs 1 to 4 of FN_VFS: that is the MMC by another number.
 */
enum {
	FN_MMC,
	FN_A,
	FN_B,
	FN_C,
	FN_D,
	FN_ALONE,
	FN_MMC2,		/* not bound to nvme before a test does that */
	FN_VFS = 8,
};

/* PFs of the machine "crowd" with many VFs; a full completion queue keeps a Suspend waiting. */
enum {
	CR_ABORTS,		/* TP4159, with fault points */
	CR_IGNORES,		/* the same without, Abort does nothing */
};

/* ---- PFs: pf.c ---- */

/* The PF works: an admin command and a read from its namespace. */
void pf_check(int nr);

/* If it has fault points: disarm them and release held commands. */
void pf_end_faults(int nr);

/* Unbind it from nvme (0 or -errno); bind it again and provision its VFs. */
int pf_unbind(int nr);
bool pf_bind(int nr);

/* Since the mark of the log no PF was reset, and no command of one timed out. */
void pf_check_no_reset(int nr);

/*
 * Whether the kernel counts resets of a PF. Before 7.0 nothing shows the driver one with the
 * vendor set, once it has the data of SAVE in memory.
 */
bool counts_pf_resets(void);

/* ---- files of the kernel: sysfs.c ---- */

/* Name of the driver, "" if there is none. */
const char *bound_to(const char *bdf);

/* Bind by driver_override; NULL: only unbind. 0 or -errno. */
int bind_to(const char *bdf, const char *driver);

/* A module parameter of the driver. */
bool set_param(const char *name, const char *value);

/* Load the driver if it is not; unload it (0 or -errno); both, for fresh parameters and limits. */
bool load_module(void);
int remove_module(void);
bool reload_module(void);

#define DEBUGFS		"/sys/kernel/debug"
#define TRACING		DEBUGFS "/tracing"

/* Switch trace events on, with nothing in the trace, or off: a directory of events, or one. */
bool trace_switch(const char *events, bool on);

/* The VF's file in debugfs: the value behind "KEY: ". */
const char *debugfs_value(const char *bdf, const char *key);
long long debugfs_number(const char *bdf, const char *key);

/* It must be this, or begin with this. */
void expect_debugfs(const char *bdf, const char *key, const char *want);
void expect_debugfs_begin(const char *bdf, const char *key, const char *want);

/* ---- the kernel log: klog.c ---- */

/* For main(). */
void klog_init(void);

/* Count lines from here on. */
void klog_mark(void);

/* Lines since the mark of the driver for this function ("" for any) that contain @text. */
unsigned int klog_count(const char *bdf, const char *text);

/* The same where @text goes on with an error, by its name or its number. */
unsigned int klog_count_err(const char *bdf, const char *text, int err);

/* Any line at all. */
unsigned int klog_count_any(const char *text);

/* Print the lines of the driver since the mark. */
void klog_show(void);

/* Wait until klog_count() is not 0. */
bool klog_wait(const char *bdf, const char *text);
bool klog_wait_any(const char *text);

/* Fail if the kernel wrote, since the last call, lines that one without faults does not write. */
void klog_check(void);

/* ---- VFs: vf.c ---- */

/* Bind if needed, open (which resets), map the arena. False: failed or skipped. */
bool vf_open(struct vf *v, int pf, unsigned int vfn);

/* The controller is off, as after a reset. */
void vf_check_off(struct vf *v);

/* It can be enabled and does I/O; it is left like that. */
void vf_check_usable(struct vf *v);

bool vf_reset(struct vf *v);

/* Nothing of migration is there, and asking for it is answered. */
void check_plain(struct vdev *d);

/* Bind to the driver: one line, which says why there is no migration. */
void bind_plain(const char *bdf, const char *why);

/* ---- their states: vf.c ---- */

u32 vf_state(struct vf *v);
bool vf_expect_state(struct vf *v, u32 state);

/* SET; must succeed. A file that comes with it is closed. */
bool go(struct vf *v, u32 state);

/* SET of a state that gives a file; -1 if it failed. */
int go_fd(struct vf *v, u32 state);

/* SET must fail with this errno and leave the state alone. */
void refuse_set(struct vf *v, u32 state, int err);

/* ERROR: every state is refused, questions are answered. */
void check_error_state(struct vf *v);

/* An eventfd that is signalled when the VF is asked back. */
int request_eventfd(struct vf *v);

/* ---- their streams: vf.c ---- */

/* Go to STOP_COPY and read it all; the VF stays in STOP_COPY. */
bool vf_save(struct vf *v, struct stream *s);

/* Go to RESUMING and write it; the VF is in STOP afterwards. */
bool vf_load(struct vf *v, const struct stream *s);

/*
 * A guest moves from the PF's VF 1, which is vf_a then, to its VF 2, vf_b, works on, and finds its
 * data. Both are open afterwards.
 */
void vf_move_guest(int pf);

/* The stream of a VF that nobody enabled yet. */
bool firmware_stream(int pf, struct stream *s);

/* ---- commands of a guest: guest.c ---- */

extern const struct nvme_sqe flush_cmd;

/* done() that counts in an unsigned int. */
void count_done(struct unvme *u, struct unvme_cmd *c);

/* Wait until @nr entries, not reaped yet, are in a CQ that is otherwise empty. */
bool wait_entries(struct unvme *u, u16 cqid, unsigned int nr);

/* Asynchronous events: an event request that notes how often and with what it ended. */
struct event {
	unsigned int count;
	u32 result;
};

void got_event(struct unvme *u, struct unvme_cmd *c);

/*
 * Open and enable @v; ten commands whose completions do not fit into a queue of four entries that
 * nobody drains. On a PF that holds no completions back for a Suspend it waits for that.
 */
bool start_endless(struct vf *v, unsigned int vfn, unsigned int *done);

/* The same with a VF that is enabled and has no I/O queues; then once more, when all is drained. */
bool fill_cq(struct vf *v, unsigned int *done);
bool queue_flushes(struct vf *v, unsigned int *done);

/*
 * A state of several transfers on the PFs that move 8 KiB at a time, by completions that full
 * queues hold back: open and enable @v, which has to be vf_a, or only enable it; ring the commands;
 * see them done.
 */
bool start_large(struct vf *v);
bool up_large(struct vf *v);
void fill_large(void);
void drain_large(void);

/* Set everything that a guest can set and that stays: features, event requests. */
void set_everything(struct unvme *u);

/* Features of a controller, to compare. */
#define NR_FEATURES	5
void read_features(struct unvme *u, u32 *f);

/* ---- logs of changed user data: log.c ---- */

/* The device of a PF; -1: the test is skipped, or failed. */
int user_log_open(int pf, int flags);

/* START with a queue of so many entries. 0 or -errno. */
int user_log_start(int fd, u16 cntlid, u32 entries);

/* STOP. 0 or -errno. */
int user_log_stop(int fd);

/* ---- the commands that the driver sends, and how to get it to send each: scene.c ---- */

struct scene {
	const char *what[2];	/* the command in the log: TP4159, vendor set; NULL: not in it */
	struct lm_fault cmd[2];	/* how a slot knows it */
	bool (*begin)(struct vf *v);
	int (*act)(struct vf *v);	/* sends it; 0 or -errno */
	u32 from;		/* the state before, and after a refusal */
};

extern const struct scene scene_suspend, scene_size_running, scene_size, scene_save, scene_read,
	scene_save_data, scene_list, scene_write, scene_undo, scene_resume;

/* The file of the scene that is being played, or -1. */
extern int scene_fd;

/* A slot of the PF that meets the scene's command. */
struct lm_fault scene_fault(const struct scene *sc, int pf, u8 act, u32 times);
bool fault_arm(int pf, unsigned int slot, struct lm_fault f);
bool fault_clear(int pf);

/* Print how many were armed, by command and by what they do. */
void fault_note(void);

/* SLOT_ABORT ends each Abort with a status, which for 0 claims that it has aborted something. */
#define SLOT_ABORT	15
#define ABORT_LIMIT	0x103
bool fault_abort(int pf, u32 status);

/*
 * Slot 0 keeps the scene's next command, and nothing aborts it; wait until so many are kept; let
 * them go.
 */
bool fault_hold(const struct scene *sc, int pf, bool execute);
bool fault_held(int pf, int nr);
int nr_held(int pf);
bool fault_release(int pf);

const char *scene_what(const struct scene *sc, int pf);

/* VF 1 of the PF, with nothing armed. */
bool scene_open(struct vf *v, int pf);

/* Up to the command; the VF has to be in RUNNING, just reset. */
bool scene_begin(const struct scene *sc, struct vf *v);

/* A reset for the next scene. */
bool scene_again(struct vf *v);

/* The command again, with success, and on to RUNNING and I/O. */
void scene_finish(const struct scene *sc, struct vf *v);

/* What makes a stream to load; vf_open() of VF 3. */
bool scene_init(int pf);

/* Wait until a thread sleeps in the kernel. */
bool wait_blocked(pid_t pid, pid_t tid);

/* Send it in a thread; wait for that thread's error. */
bool actor_start(const struct scene *sc, struct vf *v);
bool actor_waits(void);
int actor_end(void);

/* All timeouts of the driver; scene_end() puts them back. */
bool set_timeouts(const char *ms);

/* Whatever a test did: nothing is armed, held or open. */
void scene_end(void);

extern const struct test_group alloc_group, arcs_group, bind_group, crowd_group, dirty_group,
	endless_group, fault_group, fence_group, function_group, hang_group, keep_group, lie_group,
	log_group, lost_group, move_group, precopy_group, refuse_group, status_group, stream_group,
	trace_group, trace_fault_group, unload_group, upgrade_group;

#endif /* TESTS_DRIVER_H */
