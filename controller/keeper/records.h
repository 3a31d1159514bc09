/* SPDX-License-Identifier: Apache-2.0 */
/* What the controller has given into the keeper's hands: wire/keep.h. */
#ifndef KARUTA_KEEPER_RECORDS_H
#define KARUTA_KEEPER_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "wire/keep.h"

struct record {
	struct keep_head head; /* as a RECORD */
	char *bytes;
	int *fds;
	size_t fd_count;
};

struct records {
	struct record **all;
	size_t count, room;
};

/* In the place of the one of this key. Takes the descriptors over, whatever comes of it. -ENOMEM,
 * -E2BIG */
int records_put(struct records *records, const struct keep_head *head, const char *bytes,
		const int *fds, size_t fd_count);
void records_drop(struct records *records, uint64_t key);
/* Is it about this process? */
bool records_name(const struct records *records, pid_t pid);
void records_free(struct records *records);

#endif
