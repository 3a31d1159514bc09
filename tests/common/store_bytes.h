/* SPDX-License-Identifier: Apache-2.0 */
/* What a store for tests does to its bytes, which lie in memory. */
#ifndef KARUTA_TESTS_STORE_BYTES_H
#define KARUTA_TESTS_STORE_BYTES_H

#include "store/store.h"

/* All that a request does but to be answered; a flush does nothing. */
void store_bytes_carry_out(uint8_t *bytes, const struct store_request *request);

#endif
