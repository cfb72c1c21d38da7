// SPDX-License-Identifier: GPL-2.0-only
/*
 * admission.c against a list of the commands: budgets are kept, one command of a VF at a time,
 * nobody waits who might go, each is woken once, and in its queue only one that may not go is
 * overtaken.
 */

#include <linux/kernel.h>
#include <linux/string.h>

#include "admission.h"
#include "fuzz.h"

#define TICKETS		40
#define VFS		12
#define OPS_MAX		400

enum where { OUT, WAITS, IN_FLIGHT };

/**
 * struct command - a command, and what it has to be
 * @ticket: its ticket
 * @where: where it is
 * @seq: when it came to its queue
 * @woken: how often
 */
struct command {
	struct nvmevf_ticket ticket;
	enum where where;
	unsigned int seq;
	unsigned int woken;
};

struct model {
	struct nvmevf_admission adm;
	unsigned int budget;
	unsigned int guests;
	unsigned int orphans;
	unsigned int seq;
	struct command *command[TICKETS];
};

static void wake(struct nvmevf_ticket *ticket)
{
	container_of(ticket, struct command, ticket)->woken++;
}

static bool is_guest(const struct command *c)
{
	return c->ticket.class == NVMEVF_CLASS_GUEST || c->ticket.class == NVMEVF_CLASS_STALLED;
}

static unsigned int queue(const struct command *c)
{
	return c->ticket.class == NVMEVF_CLASS_GUEST ? NVMEVF_CLASS_ORDINARY : c->ticket.class;
}

static void count(const struct model *m, struct nvmevf_usage *u)
{
	unsigned int i, free = m->orphans, orphan_guests = 0;
	const struct command *c;

	memset(u, 0, sizeof(*u));
	for (i = 0; i < TICKETS; i++) {
		c = m->command[i];
		u->waiting += c->where == WAITS;
		if (c->where != IN_FLIGHT)
			continue;
		u->orphans += c->ticket.orphan;
		u->inflight++;
		u->guests += is_guest(c);
		orphan_guests += c->ticket.orphan && is_guest(c);
	}
	u->inflight -= min(u->orphans, free);
	u->guests -= min(orphan_guests, free);
}

static struct command *of_vf(const struct model *m, int vf)
{
	unsigned int i;

	for (i = 0; i < TICKETS; i++)
		if (m->command[i]->where == IN_FLIGHT && m->command[i]->ticket.vf == vf)
			return m->command[i];

	return NULL;
}

/* Those that were admitted since the last call; none of them twice */
static void note_admitted(struct model *m)
{
	struct command *c;
	unsigned int i;

	for (i = 0; i < TICKETS; i++) {
		c = m->command[i];
		if (c->where == WAITS && c->ticket.admitted) {
			require(c->woken == 1 && !of_vf(m, c->ticket.vf));
			c->where = IN_FLIGHT;
		}
		require(c->where == IN_FLIGHT ? c->woken == 1 : !c->woken);
	}
}

static void check_usage(struct model *m)
{
	struct nvmevf_usage want, usage;

	count(m, &want);
	nvmevf_admission_usage(&m->adm, &usage);
	require(usage.inflight == want.inflight && usage.orphans == want.orphans);
	require(usage.waiting == want.waiting && usage.guests == want.guests);
	require(usage.budget == m->budget && usage.guest_budget == m->guests);
	require(usage.inflight <= m->budget && usage.guests <= m->guests);
}

static void check_nobody_waits_in_vain(struct model *m)
{
	struct nvmevf_usage usage;
	const struct command *c;
	unsigned int i;

	nvmevf_admission_usage(&m->adm, &usage);
	for (i = 0; i < TICKETS; i++) {
		c = m->command[i];
		if (c->where == WAITS)
			require(of_vf(m, c->ticket.vf) || usage.inflight >= m->budget ||
				(is_guest(c) && usage.guests >= m->guests));
	}
}

static void check_lookups(struct model *m)
{
	struct nvmevf_ticket *longest = nvmevf_admission_longest(&m->adm), *t;
	struct command *c;
	bool any = false;
	unsigned int i;

	for (i = 0; i < VFS; i++) {
		t = nvmevf_admission_of_vf(&m->adm, i);
		c = of_vf(m, i);
		require(t == (c ? &c->ticket : NULL));
	}
	for (i = 0; i < TICKETS; i++) {
		t = &m->command[i]->ticket;
		any |= m->command[i]->where == IN_FLIGHT && !t->orphan && t->endable;
	}
	require(any == !!longest);
	require(!longest || (longest->admitted && !longest->orphan && longest->endable));
}

/* Of two in one queue for the same VF the first goes first, unless guests fill their budget */
static void check_order(struct model *m)
{
	const struct command *a, *b;
	unsigned int i, k;

	for (i = 0; i < TICKETS; i++) {
		for (k = 0; k < TICKETS; k++) {
			a = m->command[i];
			b = m->command[k];
			if (a->where != WAITS || b->where != IN_FLIGHT || b->ticket.orphan ||
			    is_guest(a) > is_guest(b))
				continue;
			if (queue(a) == queue(b) && a->ticket.vf == b->ticket.vf)
				require(a->seq > b->seq);
		}
	}
}

static void check(struct model *m)
{
	note_admitted(m);
	check_usage(m);
	check_nobody_waits_in_vain(m);
	check_lookups(m);
	check_order(m);
}

static void enter(struct model *m, struct command *c, struct input *in)
{
	static const enum nvmevf_class classes[] = {
		NVMEVF_CLASS_RESUME, NVMEVF_CLASS_ORDINARY, NVMEVF_CLASS_GUEST,
		NVMEVF_CLASS_STALLED,
	};
	const struct command *other;
	int ret;

	memset(c, 0, sizeof(*c));
	c->ticket.class = classes[take_below(in, ARRAY_SIZE(classes))];
	c->ticket.vf = take_below(in, VFS);
	other = of_vf(m, c->ticket.vf);
	ret = nvmevf_admission_enter(&m->adm, &c->ticket);
	require(ret == (other && other->ticket.orphan ? -EBUSY : 0));
	if (ret)
		return;
	c->where = WAITS;
	c->seq = m->seq++;
}

static void leave(struct model *m, struct command *c)
{
	c->where = OUT;
	c->woken = 0;
	nvmevf_admission_leave(&m->adm, &c->ticket);
	require(list_empty(&c->ticket.node));
}

static void promote(struct model *m, struct command *c)
{
	bool waits = c->where == WAITS;

	if (c->where == OUT)
		return;
	nvmevf_admission_promote(&m->adm, &c->ticket);
	if (waits) {
		require(c->ticket.class == NVMEVF_CLASS_GUEST);
		c->seq = m->seq++;
	}
}

static void operate(struct model *m, struct input *in)
{
	struct command *c = m->command[take_below(in, TICKETS)];

	if (c->where == OUT) {
		enter(m, c, in);
		return;
	}
	switch (take_below(in, 6)) {
	case 0:
		promote(m, c);
		break;
	case 1:
		if (c->where == IN_FLIGHT)
			nvmevf_admission_orphan(&m->adm, &c->ticket);
		break;
	case 2:
		c->ticket.endable = !c->ticket.endable;
		break;
	default:
		leave(m, c);
	}
}

int fuzz_one(const u8 *data, size_t len)
{
	struct input in = { data, len };
	unsigned int tags = take_below(&in, 40), i;
	struct model m = {};

	nvmevf_admission_init(&m.adm, tags, wake);
	m.budget = tags / 2 < 2 ? 2 : tags / 2;
	m.guests = m.budget - (m.budget / 4 < 1 ? 1 : m.budget / 4);
	m.orphans = tags / 4;
	for (i = 0; i < TICKETS; i++) {
		m.command[i] = calloc(1, sizeof(*m.command[i]));
		require(m.command[i]);
	}
	for (i = 0; i < OPS_MAX && in.left; i++) {
		operate(&m, &in);
		check(&m);
	}

	/* whoever waits gets its turn when others leave */
	for (i = 0; i < TICKETS; i++)
		if (m.command[i]->where == IN_FLIGHT)
			leave(&m, m.command[i]);
	for (i = 0; i < TICKETS; i++) {
		note_admitted(&m);
		check_nobody_waits_in_vain(&m);
	}
	for (i = 0; i < TICKETS; i++)
		free(m.command[i]);
	return 0;
}
