/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store with a volatile cache, in memory that outlives its process: a loss of power takes what
 * was not flushed. Which blocks of that had come to the disk by themselves is a matter of chance.
 */
#ifndef KARUTA_TESTS_FORGETFUL_STORE_H
#define KARUTA_TESTS_FORGETFUL_STORE_H

#include "store/store.h"

/* What is there with power, what stays without, what is on its way to either, a byte a block: how
 * the first two differ, and the request that is being carried out. */
#define FORGETFUL_SIZE(size) (3 * (size) + (size) / STORE_BLOCK + 4096)

/* `bytes` are FORGETFUL_SIZE(size), page aligned. */
int forgetful_store_create(struct store **store, uint8_t *bytes, uint64_t size);
/* While no process has the store. */
void forgetful_store_lose_power(uint8_t *bytes, uint64_t size, unsigned (*chance)(void));

#endif
