// SPDX-License-Identifier: GPL-2.0-only
/*
 * nvme-lm-mirror send: the copy while the guest runs, and its end when it is stopped.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "copy.h"
#include "qmp.h"
#include "send.h"

#define PROGRESS_MS	1000
#define RECONNECT_MS	200

/* How long to look for changes before a pass, once it is ready */
#define FOLLOW_MS	1000
#define FOLLOW_STEP_MS	20

#define NEW_RECEIVER	"connected to a new receiver: everything is sent again"

/**
 * struct sender - one run of the program
 * @o: options
 * @disks: what is copied
 * @nr: how many
 * @changes: what is dirty
 * @peer: receiver
 * @copy: the copy
 * @qmp: QEMU, with o->qmp
 * @ready: little is left to copy
 * @last: the guest is stopped, and the last blocks are copied
 * @stopped: when it was seen that the guest is stopped, ms; 0 as long as it runs
 * @continued: QEMU was told to go on
 * @rounds: passes since everything was dirty for the first time
 * @least: bytes that were dirty after the best round
 * @begun: when it began, ms
 * @shown: when progress was shown, ms
 * @shown_copied: bytes that had been copied then
 */
struct sender {
	const struct send_options *o;
	const struct disk *disks;
	u32 nr;
	struct changes changes;
	struct peer peer;
	struct copy copy;
	struct qmp qmp;
	bool ready;
	bool last;
	u64 stopped;
	bool continued;
	u32 rounds;
	u64 least;
	u64 begun;
	u64 shown;
	u64 shown_copied;
};

static void show_progress(struct sender *s)
{
	u64 now = now_ms(), sent = peer_sent(&s->peer), dirty, rate, eta;
	char text[160], a[32], b[32], c[32];

	if (now - s->shown < PROGRESS_MS)
		return;
	dirty = changes_dirty(&s->changes) + s->copy.left;
	rate = (s->peer.copied - s->shown_copied) * 1000 / (now - s->shown);
	eta = rate ? dirty / rate : 0;
	snprintf(text, sizeof(text), "%s sent, %s left, %s/s, about %llu s", bytes_text(sent, a),
		 bytes_text(dirty, b), bytes_text(rate, c), (unsigned long long)eta);
	report_numbers("progress", s->ready ? "" : text, "sent", sent, "dirty", dirty, "rate", rate,
		       "eta", eta, NULL);
	s->shown = now;
	s->shown_copied = s->peer.copied;
}

static int check_format(const struct disk *d)
{
	struct disk_format f;
	int ret = disk_format(d, &f);

	if (ret)
		return fail(MIRROR_FAILED, "namespace %u: %s: %s", d->nsid, d->path,
			    strerror(-ret));
	if (f.size != d->size || f.lba_size != d->lba_size || f.metadata)
		return fail(MIRROR_REFUSED, "namespace %u was formatted to another size", d->nsid);
	return 0;
}

static int check_formats(struct sender *s)
{
	int ret = 0;

	for (u32 i = 0; i < s->nr && !ret; i++)
		ret = check_format(&s->disks[i]);
	return ret;
}

/* An entry for a whole namespace: all of it is dirty now */
static int whole_namespace(struct sender *s)
{
	report("namespace", "a whole namespace changed, and is copied again");
	s->ready = false;
	return check_formats(s);
}

static int start_log(struct sender *s)
{
	int ret = changes_start(&s->changes, s->o->pf, s->o->cntlid, s->o->queue);

	if (ret)
		return fail(MIRROR_FAILED, "no log of controller %u of %s: %s", s->o->cntlid,
			    s->o->pf, strerror(-ret));
	s->copy.again = true;
	return 0;
}

/* The queue was full: nobody knows what changed, so everything is copied again, by a new log */
static int restart_log(struct sender *s)
{
	if (s->last)
		return fail(MIRROR_FAILED, "the log's queue was full, and the guest is stopped");
	if (++s->rounds >= s->o->max_rounds)
		return fail(MIRROR_GAVE_UP, "the log's queue was full again, after %u rounds",
			    s->rounds);

	report("full",
	       "the log's queue was full and changes were lost: everything is copied again");
	changes_stop(&s->changes);
	s->ready = false;
	s->least = UINT64_MAX;
	return start_log(s);
}

static int check_log(struct sender *s)
{
	u32 events = changes_events(&s->changes);

	if (events & CHANGES_LOST)
		return fail(MIRROR_FAILED, "the log is lost: %s", strerror(s->changes.error));
	if (events & CHANGES_STOPPED)
		return fail(MIRROR_FAILED, "the log was stopped");
	if (events & CHANGES_STRANGER)
		return fail(MIRROR_FAILED, "namespace %u changed, which is not copied",
			    s->changes.nsid);
	if (events & CHANGES_FULL)
		return restart_log(s);
	if (events & CHANGES_NAMESPACE)
		return whole_namespace(s);
	/* blocks that do not exist need no copy, unless there are more of them than there were */
	return events & CHANGES_OUTSIDE ? check_formats(s) : 0;
}

static int check_migration(struct sender *s)
{
	int ret = s->o->qmp ? qmp_poll(&s->qmp, 0) : 0;

	if (ret)
		return ret;
	if (s->o->qmp && *s->qmp.status && qmp_ended(&s->qmp))
		return fail(MIRROR_FAILED, "the migration ended without the copy: %s",
			    s->qmp.status);
	return 0;
}

/* With QMP a suspended controller may be that of a guest that is only paused */
static bool guest_stopped(struct sender *s)
{
	if (s->o->qmp)
		return qmp_is(&s->qmp, "pre-switchover");
	return s->ready && changes_suspended(&s->changes);
}

/* Milliseconds that are left of those that the guest may be stopped for */
static u64 time_left(struct sender *s)
{
	u64 end = s->stopped + s->o->last_phase * 1000ULL, now = now_ms();

	return end > now ? end - now : 0;
}

static int check_stopped(struct sender *s)
{
	if (!s->last && !guest_stopped(s))
		s->stopped = 0;
	else if (!s->stopped)
		s->stopped = now_ms();
	else if (!time_left(s))
		return fail(MIRROR_FAILED, "the guest is stopped for more than %u s",
			    s->o->last_phase);
	return 0;
}

/* Everything that can happen besides the copy */
static int attend(void *arg)
{
	struct sender *s = arg;
	int ret;

	if (interrupted())
		return fail(MIRROR_FAILED, "interrupted");
	ret = check_log(s);
	ret = ret ?: check_migration(s);
	ret = ret ?: check_stopped(s);
	ret = ret ?: peer_check(&s->peer);
	if (!ret)
		show_progress(s);
	return ret;
}

static int try_again(struct sender *s)
{
	struct timespec t = { .tv_nsec = RECONNECT_MS * 1000000 };
	int ret;

	peer_disconnect(&s->peer);
	nanosleep(&t, NULL);
	ret = attend(s);
	if (!ret && guest_stopped(s))
		ret = fail(MIRROR_FAILED, "no connection while the guest is stopped");
	return ret ?: -ENOTCONN;
}

static int reconnect(struct sender *s)
{
	u64 end = now_ms() + s->o->reconnect * 1000ULL;
	int ret = -ENOTCONN;

	copy_return(&s->copy);
	if (s->last || guest_stopped(s))
		return fail(MIRROR_FAILED, "the connection failed while the guest is stopped: %s",
			    s->peer.channel.why);
	report("disconnected", "the connection failed: %s", s->peer.channel.why);

	while (ret == -ENOTCONN && now_ms() < end) {
		ret = try_again(s);
		if (ret == -ENOTCONN)
			ret = peer_connect(&s->peer, 0);
	}
	if (ret == -ENOTCONN)
		return fail(MIRROR_FAILED, "no connection for %u s: %s", s->o->reconnect,
			    s->peer.channel.why);
	if (!ret)
		copy_all(&s->copy);
	if (ret >= 0)
		report("reconnected", ret ? "connected again" : NEW_RECEIVER);
	return min(ret, 0);
}

static void show_round(struct sender *s, u64 dirty)
{
	char text[96], a[32];

	snprintf(text, sizeof(text), "round %u: %s changed meanwhile", s->rounds,
		 bytes_text(dirty, a));
	report_numbers("round", s->ready ? "" : text, "round", (u64)s->rounds, "dirty", dirty,
		       "sent", peer_sent(&s->peer), "allocated", s->copy.allocated, "changed",
		       changes_logged(&s->changes), "zeros", s->copy.zeros, NULL);
}

static int become_ready(struct sender *s)
{
	s->ready = true;
	report("ready", "ready: the guest may be stopped");
	if (!s->o->migrate || !s->o->qmp || *s->qmp.status)
		return 0;
	snprintf(s->qmp.status, sizeof(s->qmp.status), "setup");
	return qmp_migrate(&s->qmp, s->o->migrate);
}

/* The rounds have to get smaller, or the copy never ends */
static int check_round(struct sender *s, u64 dirty)
{
	char a[32];

	if (dirty <= s->o->ready)
		return become_ready(s);
	if (s->rounds >= s->o->max_rounds)
		return fail(MIRROR_GAVE_UP, "after %u rounds %s are left: the guest is too fast",
			    s->rounds, bytes_text(dirty, a));
	if (dirty >= s->least)
		report("not-smaller",
		       "the round did not get smaller: the guest writes as fast as it is copied");
	s->least = min(s->least, dirty);
	return 0;
}

/* Let changes gather, so that a block that changes all the time is not sent all the time */
static int follow(struct sender *s)
{
	u64 end = now_ms() + FOLLOW_MS;
	int ret = 0;

	while (!ret && !guest_stopped(s) && now_ms() < end &&
	       changes_dirty(&s->changes) <= s->o->ready / 2) {
		changes_wait(&s->changes, FOLLOW_STEP_MS);
		ret = attend(s);
	}
	return ret;
}

/* Returns 1 when the guest is stopped, and the rest is to be copied */
static int one_round(struct sender *s)
{
	int ret = s->ready ? follow(s) : 0;
	u64 dirty;

	if (!ret && guest_stopped(s))
		return 1;
	ret = ret ?: copy_pass(&s->copy, s->o->verify ? WIRE_VERIFY : 0);
	if (ret)
		return ret;

	s->rounds += !s->ready;
	dirty = changes_dirty(&s->changes);
	show_round(s, dirty);
	return s->ready ? 0 : check_round(s, dirty);
}

static int run_rounds(struct sender *s)
{
	int ret = 0;

	while (!ret) {
		ret = one_round(s);
		if (ret == -ENOTCONN)
			ret = reconnect(s);
	}
	return ret;
}

/* Wait for the log's last entry, which is about the suspension */
static int drain(struct sender *s)
{
	int ret;

	if (changes_drain(&s->changes, time_left(s)))
		return 0;
	if (!time_left(s))
		return fail(MIRROR_FAILED, "the log does not say that the controller is suspended");
	ret = attend(s);
	return ret ?: fail(MIRROR_FAILED, "the log ended");
}

/* All of it is on the disks of the destination, and compared */
static int copy_last(struct sender *s)
{
	int ret = drain(s);

	ret = ret ?: copy_pass(&s->copy, WIRE_VERIFY);
	ret = ret ?: drain(s);
	if (!ret && changes_dirty(&s->changes))
		ret = fail(MIRROR_FAILED, "the controller changed blocks while it was suspended");
	return ret ?: copy_sync(&s->copy, WIRE_VERIFY | WIRE_FINAL);
}

static int last_phase(struct sender *s)
{
	int ret;

	s->last = true;
	s->stopped = s->stopped ?: now_ms();
	s->copy.urgent = true;
	channel_limit(&s->peer.channel, s->o->last_phase * 1000);
	report_numbers("stopped", "the guest is stopped, the last blocks are copied", "dirty",
		       changes_dirty(&s->changes), NULL);
	ret = copy_last(s);
	return ret == -ENOTCONN ? reconnect(s) : ret;
}

static int switch_over(struct sender *s)
{
	int ret = check_migration(s);

	if (!ret && !qmp_is(&s->qmp, "pre-switchover"))
		ret = fail(MIRROR_FAILED, "the migration is no longer in pre-switchover: %s",
			   s->qmp.status);
	ret = ret ?: qmp_continue(&s->qmp);
	if (ret)
		return ret;

	s->continued = true;
	report("continued", "the copy is complete, the migration goes on");
	if (!qmp_completed(&s->qmp))
		return fail(MIRROR_FAILED, "the migration did not complete after the copy: %s",
			    s->qmp.status);
	return 0;
}

static void show_end(struct sender *s)
{
	u64 sent = peer_sent(&s->peer), allocated = s->copy.allocated,
	    changed = changes_logged(&s->changes);
	char text[160], a[32], b[32], c[32];

	snprintf(text, sizeof(text), "done: %s sent for %s of data and %s of changes, in %llu s",
		 bytes_text(sent, a), bytes_text(allocated, b), bytes_text(changed, c),
		 (unsigned long long)((now_ms() - s->begun) / 1000));
	report_numbers("done", text, "sent", sent, "allocated", allocated, "changed", changed,
		       "zeros", s->copy.zeros, NULL);
}

static int open_qmp(struct sender *s)
{
	int ret = qmp_open(&s->qmp, s->o->qmp);

	ret = ret ?: qmp_query(&s->qmp);
	if (!ret && qmp_ended(&s->qmp))
		s->qmp.status[0] = 0;
	return ret;
}

/* The log comes before the first block is read: nothing is missed */
static int begin(struct sender *s)
{
	int ret = s->o->qmp ? open_qmp(s) : 0;

	ret = ret ?: peer_connect(&s->peer, 0);
	if (ret == -ENOTCONN)
		return fail(MIRROR_FAILED, "%s: %s", s->o->address, s->peer.channel.why);
	return ret < 0 ? ret : start_log(s);
}

static int run(struct sender *s)
{
	int ret = begin(s);

	ret = ret ?: run_rounds(s);
	if (ret > 0)
		ret = last_phase(s);
	if (!ret && s->o->qmp)
		ret = switch_over(s);
	if (!ret) {
		peer_done(&s->peer);
		show_end(s);
	}
	return ret;
}

/* The guest first, then the receiver */
static void give_up(struct sender *s)
{
	if (s->o->qmp && s->qmp.path && !s->continued) {
		if (qmp_cancel(&s->qmp))
			report("cancelled",
			       "no migration is active, the guest goes on at the source");
		else
			report("not-cancelled",
			       "the migration could not be cancelled: do it by hand (migrate_cancel)");
	}
	channel_refuse(&s->peer.channel, fail_reason());
}

static int init(struct sender *s)
{
	s->copy = (struct copy){
		.o = s->o, .changes = &s->changes, .peer = &s->peer, .attend = attend, .arg = s
	};
	s->qmp.fd = -1;
	s->peer.channel.fd = -1;
	s->least = UINT64_MAX;
	s->begun = now_ms();
	s->shown = s->begun;
	s->copy.paced_at = s->begun;
	s->copy.buf = aligned_alloc(DISK_ALIGN, WIRE_DATA_MAX);
	if (!s->copy.buf || changes_init(&s->changes, s->disks, s->nr, s->o->all))
		return fail(MIRROR_FAILED, "no memory");
	return peer_init(&s->peer, s->disks, s->nr, s->o);
}

int mirror_send(const struct disk *disks, u32 nr, const struct send_options *o)
{
	struct sender *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return fail(MIRROR_FAILED, "no memory");
	s->o = o;
	s->disks = disks;
	s->nr = nr;
	ret = init(s);
	ret = ret ?: run(s);
	if (ret)
		give_up(s);

	peer_free(&s->peer);
	changes_free(&s->changes);
	qmp_close(&s->qmp);
	free(s->copy.buf);
	free(s);
	return ret;
}
