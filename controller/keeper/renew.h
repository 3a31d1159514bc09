/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another program for the keeper: the same process goes on as that, with its children, and all that
 * it holds. The records go into memory, in order, each a head, the number of its descriptors, those
 * by their numbers, and the bytes.
 */
#ifndef KARUTA_KEEPER_RENEW_H
#define KARUTA_KEEPER_RENEW_H

#include "charge.h"
#include "records.h"

/* Returns only if it goes on as it was: -errno. `program` is taken over. */
int renew(const struct charge *charge, const struct records *records, int program);
/* What the one before has put into `memory`, which is closed. */
int renew_read(struct records *records, int memory);

#endif
