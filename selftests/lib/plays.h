/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each step of a program does; used by player.c.
 */
#ifndef SELFTESTS_VFIO_MIGRATION_PLAYS_H
#define SELFTESTS_VFIO_MIGRATION_PLAYS_H

#include "player.h"

/**
 * play_step - do what a step says
 * @p: the player
 * @s: the step
 * @c: what was called, and the result
 *
 * Return: false if there is nothing to be done, so that @c means nothing.
 */
bool play_step(struct player *p, const struct step *s, struct model_call *c);

/* Close the file that has number @c->file. */
void play_close_file(struct player *p, struct model_call *c);

/* The file that was opened before @nth others that are open, or -1. */
int play_pick_file(struct player *p, u32 nth);

void play_free_file(struct played_file *f);

/* Memory of a thread; behind it is some that cannot be touched. */
u8 *play_make_buffer(void);
void play_free_buffer(u8 *buffer);

/* End what makes the device fail, close the device and open it, with all that is around it. */
void play_reopen_device(struct player *p);

/* A request of a feature that has no argument: 0 or -1, and errno. */
int play_bare_feature(struct player *p, u32 flags);

#endif /* SELFTESTS_VFIO_MIGRATION_PLAYS_H */
