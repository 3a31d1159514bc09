/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a caller: a question is a request and what has come of it, a line is a connection
 * with at most one question. call.c has the queue: a question waits, is on a line, waits again if
 * that was lost, and has finished. From where something may have finished one goes back through
 * caller_leave(), which tells it: `done` is called from nowhere else.
 */
#ifndef KARUTA_CALL_CALLER_H
#define KARUTA_CALL_CALLER_H

#include <netinet/in.h>

#include "call.h"
#include "tls.h"

#define CALLER_WHERE 128u

enum question_step {
	QUESTION_WRAPPING, /* what to wrap its keys with */
	QUESTION_ITSELF,
};

struct question {
	struct question *next;
	struct control_request request; /* its texts and keys are in the two that follow */
	char *texts;
	uint8_t *keys; /* locked; NULL: there are none, or no more */
	size_t keys_size;
	call_done_fn done;
	void *context;
	uint64_t deadline, not_before; /* of os_now() */
	unsigned tries;
	bool renewed; /* asked a second time since its keys were wrapped for another */

	enum question_step step;
	uint8_t id[CONTROL_ID_SIZE]; /* of what was asked last */
	uint8_t *out;		     /* the frame to be sent */
	size_t out_length;

	uint8_t *frame; /* what came; the answer's texts are in it. NULL: see the error */
	struct control_answer answer;
	struct error error;
};

/* question.c. A copy; whom it is for and until when is left to be filled in. */
int question_make(const struct control_request *request, struct question **question,
		  struct error *error);
void question_free(struct question *question);
/* It has finished: there is nothing to be sent any more. */
void question_forget_keys(struct question *question);
/* Its first frame is in `out`. */
int question_begin(struct question *question, struct error *error);
/* What came back for `out`, which is the question's from here on. `caller` is the name that the
 * host calls us by. 1: the next frame is in `out`; 0: that was the answer. */
int question_take(struct question *question, uint8_t *frame, size_t length, const char *caller,
		  struct error *error);

enum line_state {
	LINE_NONE,
	LINE_CONNECTING,
	LINE_HANDSHAKE,
	LINE_SENDING,
	LINE_RECEIVING,
	LINE_IDLE, /* all others have a question */
};

struct line {
	struct caller *caller;
	enum line_state state;
	int fd;
	SSL *ssl;
	char own_name[TLS_NAME_MAX + 1]; /* what the host calls us */
	struct question *question;
	uint64_t deadline; /* of this state; UINT64_MAX: none but the question's */
	unsigned events;   /* of this exchange */
	size_t sent, have;
	uint8_t head[CONTROL_HEAD_SIZE];
	uint8_t *frame;
	size_t length;
};

/* line.c. To a line that is none or idle. */
void line_begin(struct line *line, struct question *question);
/* What is late is ended. */
void line_look(struct line *line, uint64_t now);
/* Its question, if any, is the caller's. */
void line_close(struct line *line);

struct caller {
	struct sockaddr_storage address;
	socklen_t address_length;
	char name[TLS_NAME_MAX + 1];
	char where[CALLER_WHERE]; /* in front of each error's text */
	SSL_CTX *tls;
	struct os_loop *loop;
	int wake; /* signalled: something waits that has not been looked at */
	struct line lines[CALL_AT_ONCE];
	struct question *waiting, *finished; /* the first is the next one */
	bool known;			     /* it has been there, and the right one, lately */
	uint64_t came;			     /* a connection was there last; os_now() */
	bool closed;
	unsigned busy; /* functions that will use it again */
};

/* call.c, for lines. */
void caller_enter(struct caller *caller);
/* The caller may be gone after that. */
void caller_leave(struct caller *caller);
/* It has its answer, or its error. */
void caller_finish(struct caller *caller, struct question *question);
/* No connection, or not any more: again in a while, if that may help; else as above. The error is
 * in the question. */
void caller_lost(struct caller *caller, struct question *question);

#endif
