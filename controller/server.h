/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one listening socket of a host and who is connected to it. Callers are taken for hostile
 * until they have shown a certificate, and their requests still then: what each may hold of memory
 * and time is bounded, and so is how many there are. Strangers, who have shown nothing yet, are
 * dropped when there are too many, the oldest first, so that however many connect and say nothing,
 * the next one has its turn.
 *
 *	SILENT -> HANDSHAKE -> READING -> (WAITING) -> WRITING -> READING ...
 */
#ifndef KARUTA_CONTROLLER_SERVER_H
#define KARUTA_CONTROLLER_SERVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call/tls.h"
#include "dispatch.h"
#include "fleet.h"
#include "os/loop.h"
#include "revoked.h"

#define SERVER_STRANGERS    256u
#define SERVER_HANDSHAKES   64u	 /* strangers that have said something: they cost 50 KB each */
#define SERVER_CALLERS	    128u /* who have shown a certificate */
#define SERVER_CALLERS_EACH 32u	 /* with the same name */
#define SERVER_STRANGE_TIME (5 * NS_PER_S)
#define SERVER_IDLE_TIME    (60 * NS_PER_S) /* until a request is whole, an answer taken */

enum connection_state {
	CONNECTION_NONE,
	CONNECTION_SILENT, /* has not said anything: there is nothing but the descriptor */
	CONNECTION_HANDSHAKE,
	CONNECTION_READING,
	CONNECTION_WAITING, /* for an operation */
	CONNECTION_WRITING,
};

struct server;

struct connection {
	struct server *server;
	enum connection_state state;
	int fd;
	uint64_t order; /* of arrival */
	uint64_t deadline;
	struct in6_addr address;
	SSL *ssl;
	struct tls_peer peer;
	uint8_t head[CONTROL_HEAD_SIZE];
	uint8_t *frame; /* NULL until its length is known */
	size_t length;	/* of the frame */
	size_t have;	/* of head and frame */
	uint8_t *answer;
	size_t answer_length, answer_done;
	bool last; /* it is closed after the answer */
	const struct operation *operation;
};

struct server {
	struct fleet *fleet;
	struct os_loop *loop;
	struct revoked revoked;
	uint64_t look; /* when `revoked` is looked at again */
	int socket;
	uint64_t last;
	uint64_t noted;	  /* when a refusal was told last */
	uint64_t refused; /* since then */
	struct connection connections[SERVER_STRANGERS + SERVER_CALLERS];
};

/* Listens, at `kept` if a controller before has had it open (else -1); `revoked` is set before.
 * `address` is "[HOST]:PORT" or "HOST:PORT". The server must not move afterwards. */
int server_open(struct server *server, struct fleet *fleet, struct os_loop *loop,
		const char *address, int kept, struct error *error);
/* Deadlines. Returns after how many ms there may be another. */
int server_turn(struct server *server);
/* fleet.h: `answered` */
void server_answered(void *server, const struct operation *operation);
/* Gives answers that are on their way a moment. */
void server_close(struct server *server);

/* server.c: on standard error, at most one a second. */
void server_note_refusal(struct server *server, const struct connection *connection,
			 const char *why);
/* Makes room for one more that has said something. */
void server_admit_handshake(struct server *server);
/* The same among those that are known. False: there is none to be had. */
bool server_admit_caller(struct server *server, struct connection *connection);

/* Whether anybody may come in; who was in shows its certificate again when others are revoked. */
int server_look(struct server *server, struct error *error);

/* connection.c */
void connection_begin(struct connection *connection, struct server *server, int fd,
		      const struct in6_addr *address);
/* Does what can be done without waiting. */
void connection_turn(struct connection *connection);
void connection_end(struct connection *connection);
/* The operation that it waits for is done. */
void connection_answer_operation(struct connection *connection, const struct operation *operation);

#endif
