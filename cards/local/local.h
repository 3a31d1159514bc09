/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the local-store card: its state and its key (key.c). */
#ifndef KARUTA_CARDS_LOCAL_H
#define KARUTA_CARDS_LOCAL_H

#include "base/error.h"
#include "block.h"
#include "store/store.h"

/*
 * The key is part of the device's state: it lives exactly as long. It is there after a crash or a
 * change of the program, and gone with the device.
 */
struct local_state {
	struct nvme_state nvme; /* first: the block device's */
	uint8_t key[STORE_KEY_SIZE];
};
_Static_assert(sizeof(struct local_state) <= CARD_STATE_MAX, "it fits the state area");

#define LOCAL_STATE_VERSION (1u << 16 | BLOCK_STATE_VERSION)

/* The key that the state holds; a new one if it holds none. */
int local_key_open(const struct local_state *state, uint8_t key[STORE_KEY_SIZE],
		   struct error *error);
/* Keeps the page of the state that the key is in out of swap and dumps, as far as it can. */
void local_key_protect(struct local_state *state);

#endif
