/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that begin as something else: an image's root, encrypted by karuta-fill, or another
 * volume. What is begun is a chore, which has the file that is to be the volume. */
#ifndef KARUTA_CONTROLLER_FILL_H
#define KARUTA_CONTROLLER_FILL_H

#include "chores.h"

/* `image` stays the caller's; the chore's file is as long as the volume, its keys are one. The
 * program runs; fill_wait() is what to do then. */
int fill_start(struct chore *chore, int image, struct error *error);
/* Both are a chore's `run`. */
int fill_wait(struct chore *chore);
int fill_copy(struct chore *chore);

#endif
