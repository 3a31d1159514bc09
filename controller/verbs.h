/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local command socket of an instance. Whoever may open it (mode 0600) sends one request, a
 * JSON object on one line, with at most one descriptor (a key, a file), and gets one answer,
 *likewise:
 *
 *	{"verb": "detach", "card": "data", "force": false}
 *	{"code": 0, "text": "card data (slot 2) detached"}
 *
 * `code` is 0 or an errno value. After the answer to "console" the console's bytes follow. Callers
 * are taken for hostile: sizes, their number and their time are bounded, and none can hold up
 * another.
 */
#ifndef KARUTA_CONTROLLER_VERBS_H
#define KARUTA_CONTROLLER_VERBS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "account.h"
#include "base/error.h"
#include "console.h"
#include "machine.h"

#define VERBS_CALLERS	   16u
#define VERBS_REQUEST_MAX  (64u << 10)
#define VERBS_TALK_SECONDS 5u /* to send a request, to take an answer */

enum caller_state {
	CALLER_NONE,
	CALLER_READING,	  /* the request is not complete */
	CALLER_WAITING,	  /* for the outcome of what it asked for */
	CALLER_WRITING,	  /* the answer is not taken yet; then it goes */
	CALLER_FOLLOWING, /* the console */
};

struct caller {
	struct verbs *verbs;
	enum caller_state state;
	int fd;
	char who[32];	/* for the audit log */
	int descriptor; /* that came with the request; -1 */
	uint64_t ticket;
	uint64_t deadline;
	bool follows;	/* the console comes after the answer */
	bool waits_end; /* answered when the instance has ended */
	char *request;	/* VERBS_REQUEST_MAX + 1 bytes */
	size_t request_length;
	char *answer;
	size_t answer_length, answer_done;
	struct console console;
};

struct verbs {
	struct machine *machine;
	struct account *account;
	struct os_loop *loop;
	int socket;
	struct sockaddr_un address; /* what to remove at the end */
	uint64_t last_ticket;
	struct caller callers[VERBS_CALLERS];
};

#define VERBS_NONE ((struct verbs){.socket = -1})

/* `verbs` must not move in memory until it is closed. */
int verbs_open(struct verbs *verbs, struct machine *machine, struct account *account,
	       struct os_loop *loop, const char *name, const char *given, struct error *error);
/* Consoles that are followed, deadlines. Returns after how many ms there may be something. */
int verbs_turn(struct verbs *verbs);
/* machine_answer_fn */
void verbs_answer(void *verbs, uint64_t ticket, int code, const char *text);
/* The instance has ended: tells those who wait for that, and gives answers a moment to leave. */
void verbs_end(struct verbs *verbs, int exit_code, const char *outcome);
void verbs_close(struct verbs *verbs);

/* caller.c */
void caller_begin(struct caller *caller, struct verbs *verbs, int fd, const struct ucred *peer);
/* Takes what has come and sends what can go. */
void caller_turn(struct caller *caller, uint64_t now);
void caller_end(struct caller *caller);
/* The one answer to its request; takes *answer over, NULL: out of memory. */
void caller_answer(struct caller *caller, json_t *answer);
__attribute__((format(printf, 3, 4))) void caller_say(struct caller *caller, int code,
						      const char *format, ...);

/* requests.c: carries out the complete request. It always leads to one answer. */
void request_carry_out(struct caller *caller);

#endif
