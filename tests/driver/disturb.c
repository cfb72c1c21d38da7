// SPDX-License-Identifier: GPL-2.0-only
/*
 * disturb PF NUMBER: commands that migrate VFs of a PF with fault points fail from now on, in a way
 * that the number stands for; 0: no more.
 */
#include <stdio.h>
#include <stdlib.h>

#include <linux/kernel.h>

#include "lm.h"

#define MAX_FAULTS	3

static const u8 opcodes[] = {
	LM_OP_TRACK_SEND, LM_OP_TRACK_RECV, LM_OP_SEND, LM_OP_RECV, LM_OP_SEND, LM_OP_RECV,
	LM_OP_VS_QUERY, LM_OP_VS_SUSPEND, LM_OP_VS_RESUME, LM_OP_VS_SAVE, LM_OP_VS_LOAD,
};

/* Of generic, command specific and path related types; Invalid Field must not be repeated */
static const u16 statuses[] = { 0x4, 0x6, 0x7, 0x4002, 0x138, 0x1f, 0x371 };

static const u8 acts[] = {
	LM_ACT_STATUS, LM_ACT_STATUS, LM_ACT_STATUS, LM_ACT_DELAY, LM_ACT_DATA, LM_ACT_SHORT,
	LM_ACT_RESULT,
};

static struct lm_fault any_fault(void)
{
	struct lm_fault f = {
		.opcode = opcodes[random() % ARRAY_SIZE(opcodes)],
		.act = acts[random() % ARRAY_SIZE(acts)], .skip = random() % 4,
		.times = random() % 3, .execute = random() % 2,
	};

	switch (f.act) {
	case LM_ACT_STATUS:
		f.arg = statuses[random() % ARRAY_SIZE(statuses)];
		break;
	case LM_ACT_DELAY:
		f.arg = random() % 50;
		break;
	case LM_ACT_RESULT:
		f.arg = random() % 2;
		f.mask = random();
		f.value = random();
		break;
	default:
		f.arg = random() % 4096 & ~3;
		f.mask = random();
		f.value = random();
	}
	return f;
}

static int arm_some(struct lm_pf *pf, unsigned int seed)
{
	unsigned int slot, nr;
	int st = 0;

	srandom(seed);
	nr = 1 + random() % MAX_FAULTS;
	for (slot = 0; slot < nr && !st; slot++) {
		struct lm_fault f = any_fault();

		st = lm_fault_arm(pf, slot, &f);
	}
	return st;
}

int main(int argc, char *argv[])
{
	struct lm_pf pf;
	int number, err;

	if (argc != 3) {
		fprintf(stderr, "usage: disturb PF NUMBER\n");
		return 2;
	}
	number = atoi(argv[2]);
	err = lm_open(&pf, argv[1]);
	if (!err)
		err = number ? arm_some(&pf, number) : lm_fault_end(&pf);
	if (err)
		fprintf(stderr, "disturb: %s: error %d\n", argv[1], err);
	lm_close(&pf);
	return err ? 1 : 0;
}
