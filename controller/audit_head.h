/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an audit log: which entries there are, and the hash of the last one. Without it the
 * end of a chain could be cut off unseen.
 *
 * An entry is written in three steps, each on the disk before the next:
 *
 *	1. the head gets the hash of the entry to come	(`pending`)
 *	2. the entry
 *	3. the head moves on to it
 *
 * The file holds two copies that are written in turn, so that one is whole at any moment.
 */
#ifndef KARUTA_CONTROLLER_AUDIT_HEAD_H
#define KARUTA_CONTROLLER_AUDIT_HEAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "trust/audit_chain.h"

#define AUDIT_HEAD_COPY 512u
#define AUDIT_HEAD_SIZE (2 * AUDIT_HEAD_COPY)

struct audit_head {
	uint64_t generation;
	struct audit_link before; /* the first entry that is kept */
	struct audit_link last;
	bool pending;
	struct audit_hash next;
};

/* The newer of the copies that are whole. -EBADMSG: there is none. */
int audit_head_read(int fd, struct audit_head *head);
/*
 * Can a chain that ends with *end, and `rest` bytes more, be what such a head stands for? Yes if it
 * is where the head says, or one entry further and that is the one that was to come; then the
 * controller was stopped in between. Else -EBADMSG.
 */
int audit_head_fits(const struct audit_head *head, const struct audit_link *end, ssize_t rest);
/* Flushed. */
int audit_head_write(int fd, struct audit_head *head);

#endif
