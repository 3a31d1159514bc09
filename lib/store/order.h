/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which requests may run beside each other. Entries stand in the order of their arrival. One waits
 * while an earlier one touches a block of its own and either of them changes it: a block is the
 * unit of encryption, so a read beside a write of the same block could see half of each and decrypt
 * to noise, and two changes of parts of one block could undo each other.
 */
#ifndef KARUTA_STORE_ORDER_H
#define KARUTA_STORE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

struct store_turn {
	struct store_turn *before, *after;
	struct store_turn *waits_for; /* NULL: it may run */
	uint64_t first, count;	      /* blocks; count 0 never waits */
	bool changes;
};

struct store_order {
	struct store_turn *first, *last;
	unsigned changing; /* entries that change something */
};

/* True if it may run at once. The caller has set first, count and changes. */
bool store_order_enter(struct store_order *order, struct store_turn *turn);
/* Takes a running entry out; `release` is called for each entry that may run now. */
void store_order_leave(struct store_order *order, struct store_turn *turn,
		       void (*release)(void *context, struct store_turn *turn), void *context);

#endif
