/* SPDX-License-Identifier: Apache-2.0 */
/* What a console holds, a page at a time, for callers over the network; and the last that is left
 * of one whose instance has ended. */
#ifndef KARUTA_CONTROLLER_CONSOLE_PAGE_H
#define KARUTA_CONTROLLER_CONSOLE_PAGE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/console.h"

#define CONSOLE_PAGE (128u << 10) /* bytes of an answer, before they are encoded */
#define CONSOLE_REST (32u << 10)  /* bytes that are kept of one that has ended */

struct console_rest {
	uint64_t end; /* bytes ever written */
	size_t length;
	uint8_t *bytes; /* the last of them; NULL: none */
};

/* In the place of what was kept before. `ring` NULL: there was none. */
void console_rest_keep(struct console_rest *rest, const struct console_ring *ring);
void console_rest_free(struct console_rest *rest);

/*
 * {"console": base64, "from": number of the first byte, "next": of the one after the last, "more":
 * whether that is there already, "ended": whether that will never be}. Begins at `from`, or later
 * if that is overwritten, or with the oldest if it never was. NULL: out of memory.
 */
json_t *console_page_of_ring(const struct console_ring *ring, uint64_t from);
json_t *console_page_of_rest(const struct console_rest *rest, uint64_t from);

#endif
