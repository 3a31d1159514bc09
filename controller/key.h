/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume's key, kept so that a card that dies can be given it again: in memory that is in no
 * file, is not swapped out, and that the controller itself cannot read and does not leave in a core
 * file. Each process of the card gets a descriptor of its own.
 */
#ifndef KARUTA_CONTROLLER_KEY_H
#define KARUTA_CONTROLLER_KEY_H

#include <stddef.h>

#include "base/error.h"

#define KEY_MAX	    4096u
#define KEY_SECONDS 1u /* for a pipe to give all of it */

struct key {
	int fd;	    /* -1: there is none */
	void *lock; /* keeps it in memory; no access */
};

#define KEY_NONE ((struct key){.fd = -1})

/* From a file or pipe; `from` stays the caller's. */
int key_keep(struct key *key, int from, struct error *error);
/* Of at most KEY_MAX bytes. */
int key_keep_bytes(struct key *key, const void *bytes, size_t length, struct error *error);
/* One whose descriptor a controller before has had. -errno: it is not locked. */
int key_adopt(struct key *key);
/* Zeros take its place first: descriptors that others have of it give those. */
void key_free(struct key *key);

#endif
