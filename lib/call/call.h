/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling end of the control protocol (wire/control.h): requests to the controller of one host
 * over TLS 1.3, without waiting. One thread owns a caller and all that is called from it.
 *
 * Requests may be under way side by side, each on a connection of its own, since the answers of a
 * connection come one after the other; connections are kept for a while and used again, and begun
 * one at a time, when those that are there stay busy. A request
 * with keys first asks the host for its wrapping key and is sent with its keys wrapped. What has
 * been sent and not been answered because the connection ended is sent again with the same
 * identifier, a few times: a controller that was started again meanwhile answers it once. If the
 * host says that keys were wrapped for another (-ESTALE), they are wrapped again, once, and sent
 * with an identifier that follows from the first, which has that refusal for an answer.
 *
 * SIGPIPE is to be ignored.
 */
#ifndef KARUTA_CALL_CALL_H
#define KARUTA_CALL_CALL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "os/loop.h"
#include "wire/control.h"

#define CALL_AT_ONCE	  8u  /* requests under way to one host; the others wait for their turn */
#define CALL_WAITING_MAX  64u /* of these */
#define CALL_IDLE_SECONDS 30u /* a connection without a request */
#define CALL_TURN_MS	  30000u /* what caller_turn() returns at most */

struct caller;

struct caller_setup {
	const char *address; /* numbers: "192.0.2.1", "::1" */
	uint16_t port;
	const char *name; /* that its certificate must have as CN, with OU "host"; NULL: any host */
	SSL_CTX *tls;	  /* tls.h; stays the owner's */
	struct os_loop *loop;
};

/* `error`: NULL if there is an answer, whose code may still say no; else why there is none
 * (-ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, -EPROTO: not the right host, ...). The answer is there
 * for the time of the call. It may begin other requests, or end the caller. */
typedef void (*call_done_fn)(void *context, const struct control_answer *answer,
			     const struct error *error);

int caller_open(const struct caller_setup *setup, struct caller **caller, struct error *error);
/* Requests that are not answered yet are dropped: their `done` is not called. NULL is allowed. */
void caller_close(struct caller *caller);

/* Copies the request, keys included, into locked memory that is wiped when there is an answer: keys
 * may have to be wrapped again. Without has_id it has an identifier of its own. `done` is called
 * exactly once, not before this has returned, at the latest after `seconds`. -EBUSY: too many wait;
 * -EINVAL, -EMSGSIZE, -ENOMEM (also: no more memory can be locked). */
int caller_ask(struct caller *caller, const struct control_request *request, unsigned seconds,
	       call_done_fn done, void *context, struct error *error);
/* Deadlines. Returns after how many ms it is to be called at the latest; if a `done` has ended the
 * caller meanwhile, never again. */
int caller_turn(struct caller *caller);

#endif
