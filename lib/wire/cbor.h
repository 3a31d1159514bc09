/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of CBOR (RFC 8949) that the controller's frames are made of, in its deterministic form
 * (4.2.1) and no other: definite lengths, the shortest encoding of each number. So there is one
 * way to write a thing, and whatever is not that way is refused. Reading makes no copies: texts and
 * byte strings are views.
 */
#ifndef KARUTA_WIRE_CBOR_H
#define KARUTA_WIRE_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"

/* Each reads one item, or the head of an array or map; anything else there sets `failed`. */
uint64_t cbor_read_number(struct cursor *cursor);
bool cbor_read_flag(struct cursor *cursor);
const uint8_t *cbor_read_bytes(struct cursor *cursor, size_t *length);
/* UTF-8 (RFC 3629) without a zero byte; not terminated. */
const char *cbor_read_text(struct cursor *cursor, size_t *length);
/* Number of items, of pairs. */
uint64_t cbor_read_array(struct cursor *cursor);
uint64_t cbor_read_map(struct cursor *cursor);

void cbor_write_number(struct writer *writer, uint64_t number);
void cbor_write_flag(struct writer *writer, bool flag);
void cbor_write_bytes(struct writer *writer, const void *bytes, size_t length);
void cbor_write_text(struct writer *writer, const char *text, size_t length);
void cbor_write_array(struct writer *writer, uint64_t items);
void cbor_write_map(struct writer *writer, uint64_t pairs);

bool cbor_text_is_valid(const char *text, size_t length);

#endif
