/* SPDX-License-Identifier: GPL-2.0-only */

#ifndef NVMEVF_ADMISSION_H
#define NVMEVF_ADMISSION_H

#include <linux/list.h>
#include <linux/types.h>

/**
 * enum nvmevf_class - kinds of commands that wait for admission
 * @NVMEVF_CLASS_RESUME: makes a VF run, which costs a VM its disk if it fails: goes first
 * @NVMEVF_CLASS_ORDINARY: the device decides how long it takes
 * @NVMEVF_CLASS_GUEST: the guest decides how long it takes; waits in the same queue
 * @NVMEVF_CLASS_STALLED: the same for a guest that took too long before: goes last
 * @NVMEVF_NR_CLASSES: number of classes
 */
enum nvmevf_class {
	NVMEVF_CLASS_RESUME,
	NVMEVF_CLASS_ORDINARY,
	NVMEVF_CLASS_GUEST,
	NVMEVF_CLASS_STALLED,
	NVMEVF_NR_CLASSES,
};

/**
 * struct nvmevf_ticket - one command that waits for admission, or was admitted
 * @node: in a list of struct nvmevf_admission
 * @class: its class
 * @vf: the VF that the command is for; only one command per VF is admitted
 * @admitted: whether it was admitted
 * @orphan: nobody waits for it, and the device has not answered
 * @endable: it can be ended in favour of others; may change at any time
 */
struct nvmevf_ticket {
	struct list_head node;
	enum nvmevf_class class;
	int vf;
	bool admitted;
	bool orphan;
	bool endable;
};

/**
 * struct nvmevf_admission - who may send a command
 * @budget: number of commands that may be in flight
 * @guest_budget: number of those whose duration a guest decides
 * @orphan_budget: number of orphans that do not count as in flight
 * @inflight: tickets that were admitted, oldest first
 * @waiting: tickets that wait, oldest first; that of the class of guests is not used
 * @wake: called for a ticket that waited and is admitted now
 *
 * The owner serialises all calls.
 */
struct nvmevf_admission {
	unsigned int budget;
	unsigned int guest_budget;
	unsigned int orphan_budget;
	struct list_head inflight;
	struct list_head waiting[NVMEVF_NR_CLASSES];
	void (*wake)(struct nvmevf_ticket *ticket);
};

/**
 * struct nvmevf_usage - how much of an admission is in use
 * @inflight: commands that count against the budget: all that are in flight, except for
 *	      orphans up to their budget
 * @guests: those whose duration a guest decides, except for orphans up to that budget
 * @orphans: commands in flight that nobody waits for
 * @waiting: commands that wait for admission
 * @budget: most of @inflight
 * @guest_budget: most of @guests
 */
struct nvmevf_usage {
	unsigned int inflight;
	unsigned int guests;
	unsigned int orphans;
	unsigned int waiting;
	unsigned int budget;
	unsigned int guest_budget;
};

void nvmevf_admission_init(struct nvmevf_admission *adm, unsigned int tags,
			   void (*wake)(struct nvmevf_ticket *ticket));
int nvmevf_admission_enter(struct nvmevf_admission *adm, struct nvmevf_ticket *ticket);
void nvmevf_admission_leave(struct nvmevf_admission *adm, struct nvmevf_ticket *ticket);
void nvmevf_admission_promote(struct nvmevf_admission *adm, struct nvmevf_ticket *ticket);
void nvmevf_admission_orphan(struct nvmevf_admission *adm, struct nvmevf_ticket *ticket);
struct nvmevf_ticket *nvmevf_admission_of_vf(struct nvmevf_admission *adm, int vf);
struct nvmevf_ticket *nvmevf_admission_longest(struct nvmevf_admission *adm);
void nvmevf_admission_usage(struct nvmevf_admission *adm, struct nvmevf_usage *usage);

#endif /* NVMEVF_ADMISSION_H */
