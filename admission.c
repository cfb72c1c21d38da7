// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may send a command to an MMC.
 *
 * The VFs of a PF share its admin queue with the host. Commands wait in one of three
 * queues, first come, first served. A guest decides how long its own Suspend takes, so
 * commands of that kind never use the whole budget, whatever the number of guests.
 */

#include <kunit/visibility.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/minmax.h>

#include "admission.h"

/**
 * nvmevf_admission_init - begin with nothing in flight
 * @adm: the admission
 * @tags: number of commands that the queue can hold; half of them are left to others
 * @wake: called when a ticket that waited is admitted
 */
void nvmevf_admission_init(struct nvmevf_admission *adm, unsigned int tags,
			   void (*wake)(struct nvmevf_ticket *ticket))
{
	unsigned int i;

	adm->budget = max(tags / 2, 2U);
	adm->guest_budget = adm->budget - max(adm->budget / 4, 1U);
	adm->orphan_budget = tags / 4;
	adm->wake = wake;
	INIT_LIST_HEAD(&adm->inflight);
	for (i = 0; i < NVMEVF_NR_CLASSES; i++)
		INIT_LIST_HEAD(&adm->waiting[i]);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_admission_init);

static bool nvmevf_is_guest(const struct nvmevf_ticket *ticket)
{
	return ticket->class >= NVMEVF_CLASS_GUEST;
}

/* Up to their budget, orphans are free: those of guests first, whatever their order */
static void nvmevf_count_inflight(const struct nvmevf_admission *adm, struct nvmevf_usage *usage)
{
	const struct nvmevf_ticket *ticket;
	unsigned int guest_orphans = 0;

	list_for_each_entry(ticket, &adm->inflight, node) {
		usage->inflight++;
		usage->guests += nvmevf_is_guest(ticket);
		usage->orphans += ticket->orphan;
		guest_orphans += ticket->orphan && nvmevf_is_guest(ticket);
	}
	usage->inflight -= min(usage->orphans, adm->orphan_budget);
	usage->guests -= min(guest_orphans, adm->orphan_budget);
}

static bool nvmevf_has_room(const struct nvmevf_admission *adm, const struct nvmevf_ticket *ticket)
{
	struct nvmevf_usage usage = {};

	nvmevf_count_inflight(adm, &usage);
	if (nvmevf_is_guest(ticket) && usage.guests >= adm->guest_budget)
		return false;
	return usage.inflight < adm->budget;
}

/**
 * nvmevf_admission_of_vf - find the command of a VF that was admitted
 * @adm: the admission
 * @vf: the VF
 *
 * Return: its ticket, or NULL.
 */
struct nvmevf_ticket *nvmevf_admission_of_vf(struct nvmevf_admission *adm, int vf)
{
	struct nvmevf_ticket *ticket;

	list_for_each_entry(ticket, &adm->inflight, node)
		if (ticket->vf == vf)
			return ticket;

	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_admission_of_vf);

static void nvmevf_admit(struct nvmevf_admission *adm, struct nvmevf_ticket *ticket)
{
	list_move_tail(&ticket->node, &adm->inflight);
	ticket->admitted = true;
	adm->wake(ticket);
}

/* A ticket that waits for its own VF, or for other guests, does not hold up the others */
static void nvmevf_admit_queue(struct nvmevf_admission *adm, struct list_head *waiting)
{
	struct nvmevf_ticket *ticket, *next;

	list_for_each_entry_safe(ticket, next, waiting, node)
		if (nvmevf_has_room(adm, ticket) && !nvmevf_admission_of_vf(adm, ticket->vf))
			nvmevf_admit(adm, ticket);
}

/*
 * Guests share a queue with what the device decides, or the transfers of many VFs would keep
 * others from suspending.
 */
static struct list_head *nvmevf_queue(struct nvmevf_admission *adm, enum nvmevf_class class)
{
	return &adm->waiting[class == NVMEVF_CLASS_GUEST ? NVMEVF_CLASS_ORDINARY : class];
}

static void nvmevf_admit_all(struct nvmevf_admission *adm)
{
	unsigned int i;

	for (i = 0; i < NVMEVF_NR_CLASSES; i++)
		nvmevf_admit_queue(adm, &adm->waiting[i]);
}

/**
 * nvmevf_admission_enter - admit a command, or queue it until it can be admitted
 * @adm: the admission
 * @ticket: the command, with @class and @vf set and the rest zero
 *
 * Return: 0, with @ticket->admitted set if it was admitted; -EBUSY if an orphan of the
 * same VF is unanswered.
 */
int nvmevf_admission_enter(struct nvmevf_admission *adm, struct nvmevf_ticket *ticket)
{
	const struct nvmevf_ticket *other = nvmevf_admission_of_vf(adm, ticket->vf);

	if (other && other->orphan)
		return -EBUSY;

	list_add_tail(&ticket->node, nvmevf_queue(adm, ticket->class));
	nvmevf_admit_all(adm);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_admission_enter);

/**
 * nvmevf_admission_leave - forget a command that was answered, or no longer waits
 * @adm: the admission
 * @ticket: the command; from nvmevf_admission_enter()
 */
void nvmevf_admission_leave(struct nvmevf_admission *adm, struct nvmevf_ticket *ticket)
{
	list_del_init(&ticket->node);
	nvmevf_admit_all(adm);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_admission_leave);

/**
 * nvmevf_admission_promote - let a ticket of a guest that stalled before wait with others
 * @adm: the admission
 * @ticket: the command; nothing happens if it was admitted
 */
void nvmevf_admission_promote(struct nvmevf_admission *adm, struct nvmevf_ticket *ticket)
{
	if (ticket->admitted)
		return;

	ticket->class = NVMEVF_CLASS_GUEST;
	list_move_tail(&ticket->node, nvmevf_queue(adm, ticket->class));
	nvmevf_admit_all(adm);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_admission_promote);

/**
 * nvmevf_admission_orphan - nobody waits any longer for a command that was admitted
 * @adm: the admission
 * @ticket: the command, which stays until nvmevf_admission_leave()
 */
void nvmevf_admission_orphan(struct nvmevf_admission *adm, struct nvmevf_ticket *ticket)
{
	ticket->orphan = true;
	nvmevf_admit_all(adm);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_admission_orphan);

/**
 * nvmevf_admission_longest - find the command to end in favour of others
 * @adm: the admission
 *
 * Return: of those that can be ended the one that was admitted first, or NULL.
 */
struct nvmevf_ticket *nvmevf_admission_longest(struct nvmevf_admission *adm)
{
	struct nvmevf_ticket *ticket;

	list_for_each_entry(ticket, &adm->inflight, node)
		if (!ticket->orphan && ticket->endable)
			return ticket;

	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_admission_longest);

/**
 * nvmevf_admission_usage - get how much is in use
 * @adm: the admission
 * @usage: set to it
 */
void nvmevf_admission_usage(struct nvmevf_admission *adm, struct nvmevf_usage *usage)
{
	unsigned int i;

	*usage = (struct nvmevf_usage){ .budget = adm->budget, .guest_budget = adm->guest_budget };
	nvmevf_count_inflight(adm, usage);
	for (i = 0; i < NVMEVF_NR_CLASSES; i++)
		usage->waiting += list_count_nodes(&adm->waiting[i]);
}
EXPORT_SYMBOL_IF_KUNIT(nvmevf_admission_usage);
