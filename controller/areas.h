/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that the controller shares with the programs that it starts: status pages, console rings,
 * a card's state, a program's last words. The program is given the descriptor and writes; the
 * controller maps read-only what it reads. Sizes are sealed: nobody can pull a page from under
 * the controller's feet.
 */
#ifndef KARUTA_CONTROLLER_AREAS_H
#define KARUTA_CONTROLLER_AREAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define AREA_STATE_SIZE (UINT64_C(1) << 20) /* of every card */
#define AREA_WORDS_SIZE UINT64_C(4096)

struct area {
	int fd;
	const void *view; /* NULL: the controller does not look at it */
	uint64_t size;
};

#define AREA_NONE ((struct area){.fd = -1})

/* A new area of zeros; `view`: map it read-only here. */
int area_create(struct area *area, const char *name, uint64_t size, bool view, struct error *error);
/* One whose descriptor a controller before has had. */
int area_adopt(struct area *area, uint64_t size, bool view);
/* No program uses it any more: what it held is overwritten. */
void area_free(struct area *area);
/* The last line that a program, which is taken for hostile, has written to an area of
 * AREA_WORDS_SIZE as its standard error. False: none. */
bool area_words(const struct area *area, char *text, size_t size);

#endif
