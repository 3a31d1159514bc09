/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the volume card: its key and the opening of its store (open.c). */
#ifndef KARUTA_CARDS_VOLUME_H
#define KARUTA_CARDS_VOLUME_H

#include "base/error.h"
#include "options.h"
#include "store/store.h"

struct volume_options {
	struct block_options block;
	int key_fd; /* 0: none was given; a key is never standard input */
};

/* Reads and closes the key, opens and locks the file. */
int volume_store_open(struct volume_options *options, struct store **store, struct error *error);

#endif
