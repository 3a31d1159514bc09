/* SPDX-License-Identifier: Apache-2.0 */
/* What a file holds, once and for all: a sealed copy of it, and the copy's digest. */
#ifndef KARUTA_CONTROLLER_MEASURE_H
#define KARUTA_CONTROLLER_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "trust/digest.h"

struct measured {
	int sealed; /* owned; can be executed */
	uint64_t size;
	struct trust_digest digest;
};

#define MEASURED_NONE ((struct measured){.sealed = -1})

/* `name` is what the copy is called in /proc. -EFBIG: bigger than any file of a release; -EINVAL:
 * not a file. */
int measure(int file, const char *name, struct measured *measured);
void measured_free(struct measured *measured);
/* Have these two sealed copies the same content? */
bool measured_same(int one, int other);

#endif
