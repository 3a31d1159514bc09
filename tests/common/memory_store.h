/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plane's store and its key-encryption key in memory, for tests to whom neither is the matter:
 * one of each in a program. The store holds so many items, forgets them when it is closed, and can
 * be used again then. All volume keys are zeros.
 */
#ifndef KARUTA_TESTS_MEMORY_STORE_H
#define KARUTA_TESTS_MEMORY_STORE_H

#include "kek.h"
#include "store.h"

#define MEMORY_STORE_ITEMS 96u
#define MEMORY_KEK	   "0123456789abcdef" /* its id */

extern const struct store_calls memory_store_calls;
extern const struct kek_calls memory_kek_calls;

/* Unchecked, and nobody is told. */
void memory_store_put(struct store *store, const char *key, const char *value);
/* Its value; NULL: it is not there. */
const char *memory_store_find(const char *key);

#endif
