/* SPDX-License-Identifier: Apache-2.0 */
/* What must be known of a qcow2 file before anybody else's program may open it. */
#ifndef KARUTA_CLI_QCOW2_H
#define KARUTA_CLI_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define QCOW2_HEADER_SIZE 104

/* By the magic number alone. */
bool qcow2_is_one(const uint8_t *bytes, size_t length);

/*
 * Refuses, with `error` set, what would make a reader open another file (a backing file, an
 * external data file) or cannot be read without a secret. *size: of the disk in it.
 */
int qcow2_check(const uint8_t *bytes, size_t length, uint64_t *size, struct error *error);

#endif
