/* SPDX-License-Identifier: Apache-2.0 */
/* The other program of an update, and the records that pass between the two (wire/handover.h). */
#ifndef KARUTA_HYPERVISOR_PEER_H
#define KARUTA_HYPERVISOR_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "wire/handover.h"

struct peer {
	int socket;	   /* -1: there is none */
	uint16_t version;  /* of the records that we write */
	uint64_t deadline; /* of each call */
	struct handover_record record;
	/* Of the record: our own that are to be sent; those that came, until they are taken. */
	int fds[HANDOVER_FDS];
	size_t fd_count;
	uint8_t bytes[HANDOVER_RECORD_MAX];
};

struct handover_writer peer_begin(struct peer *peer, enum handover_kind kind, unsigned number);
/* With the record that is being made goes this descriptor; stays the caller's. */
void peer_add(struct peer *peer, int fd);
int peer_send(struct peer *peer, struct handover_writer *writer);
/* A record without items. */
int peer_say(struct peer *peer, enum handover_kind kind);

/* The next one; descriptors of the last that were not taken are closed. */
int peer_receive(struct peer *peer);
/* Only of this kind. */
int peer_expect(struct peer *peer, enum handover_kind kind);
/* The next descriptor that came; -1: there is none. */
int peer_take(struct peer *peer);

void peer_close(struct peer *peer);

#endif
