/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store for tests with a thread of its own, as a library for a network store would have: it takes
 * a request at random, late, carries it out on its thread, or lets it fail, and the owner's thread
 * hears of it by the event descriptor.
 */
#ifndef KARUTA_TESTS_THREAD_STORE_H
#define KARUTA_TESTS_THREAD_STORE_H

#include "store/store.h"

/* `bytes` stays the caller's. One request in `errors` fails, with no effect; 0: none does. -errno.
 */
int thread_store_create(struct store **store, uint8_t *bytes, uint64_t size, unsigned errors);

#endif
