/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store for tests that completes nothing by itself: the test says which request ends, when, and
 * how. A request takes its effect on the bytes when it ends, as late as the contract allows.
 */
#ifndef KARUTA_TESTS_LATE_STORE_H
#define KARUTA_TESTS_LATE_STORE_H

#include "store/store.h"

#define LATE_MAX 4096u

struct late_store {
	struct store store; /* first */
	uint8_t *bytes;
	struct store_request *pending[LATE_MAX]; /* in the order of their arrival */
	size_t count;
	unsigned submitted[4]; /* by enum store_op */
	unsigned random;       /* state: which request a poll ends */
};

/* NULL when out of memory. Destroyed through the store, or by the crypt store over it. */
struct late_store *late_store_create(uint64_t size);
/* Ends pending[index]. With an error it has no effect on the bytes. */
void late_store_end(struct late_store *late, size_t index, int error);
/* Ends all, the youngest first, and what that brings. */
void late_store_end_all(struct late_store *late);

#endif
