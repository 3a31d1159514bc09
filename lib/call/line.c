/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "caller.h"
#include "os/clock.h"
#include "os/fd.h"

#define CONNECT_SECONDS 10u /* until it is known who is there */
#define WHOLE_SECONDS	30u /* for a request to be taken, or an answer that has begun to be whole */
#define READS_AT_ONCE	64u
#define EVENTS_MAX	4096u /* of one exchange: an answer comes in far fewer pieces */

static void line_event(void *context, int fd, uint32_t events);

void line_close(struct line *line)
{
	SSL_free(line->ssl);
	ERR_clear_error();
	if (line->fd >= 0)
		os_loop_remove(line->caller->loop, line->fd);
	os_close(&line->fd);
	free(line->frame);
	*line = (struct line){.caller = line->caller, .fd = -1};
}

/* Takes the question off and closes the line. */
static struct question *give_up(struct line *line)
{
	struct question *question = line->question;

	line_close(line);
	return question;
}

/* As the question's error says. */
static void fail(struct line *line)
{
	struct question *question = give_up(line);

	error_prefix(&question->error, "%s", line->caller->where);
	caller_finish(line->caller, question);
}

static void lose(struct line *line, int code)
{
	struct question *question = give_up(line);

	error_set(&question->error, code, "%s: %s", line->caller->where, strerror(code));
	caller_lost(line->caller, question);
}

static void set_state(struct line *line, enum line_state state, uint64_t seconds)
{
	line->state = state;
	line->deadline = seconds ? os_now() + seconds * NS_PER_S : UINT64_MAX;
}

static void listen_for(struct line *line, uint32_t events)
{
	os_loop_change(line->caller->loop, line->fd, events);
}

/* After a call of OpenSSL's that did not succeed. It is to be repeated when there is an event, or
 * the line is gone and its question is with the caller: SSL_get_error(3). */
static void wait_or_end(struct line *line, int ret)
{
	long verified = SSL_get_verify_result(line->ssl);
	unsigned long reason = ERR_peek_last_error();
	char why[128];

	switch (SSL_get_error(line->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		listen_for(line, EPOLLIN);
		return;
	case SSL_ERROR_WANT_WRITE:
		listen_for(line, EPOLLOUT);
		return;
	case SSL_ERROR_SSL:
		if (ERR_GET_REASON(reason) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			break;
		tls_why(why, sizeof(why));
		error_set(&line->question->error, EPROTO, "%s",
			  verified != X509_V_OK ? X509_verify_cert_error_string(verified) : why);
		fail(line);
		return;
	default:
		break;
	}
	lose(line, ECONNRESET);
}

/* ---- the answer ---- */

static void start_sending(struct line *line);

static void take_answer(struct line *line)
{
	struct question *question = line->question;
	uint8_t *frame = line->frame;
	bool more_came = SSL_pending(line->ssl) > 0;
	int ret;

	line->frame = NULL;
	ret = question_take(question, frame, line->length, line->own_name, &question->error);
	if (ret < 0) {
		fail(line);
		return;
	}
	if (ret > 0) {
		start_sending(line);
		return;
	}
	line->question = NULL;
	set_state(line, LINE_IDLE, CALL_IDLE_SECONDS);
	listen_for(line, EPOLLIN);
	if (more_came)
		line_close(line);
	caller_finish(line->caller, question);
}

static bool begin_frame(struct line *line)
{
	ssize_t length = control_length(line->head, CONTROL_ANSWER_MAX);

	line->frame = length > 0 ? malloc((size_t)length) : NULL;
	line->length = length > 0 ? (size_t)length : 0;
	if (line->frame)
		return true;
	if (length > 0)
		error_set(&line->question->error, ENOMEM, "out of memory");
	else
		error_set(&line->question->error, EPROTO,
			  "no answer of a controller: it is to have 1 byte to %u KiB",
			  CONTROL_ANSWER_MAX >> 10);
	fail(line);
	return false;
}

/* One part, of the head or behind it. False: nothing came, or the line is not as before. */
static bool receive(struct line *line)
{
	bool head = line->have < CONTROL_HEAD_SIZE;
	size_t end = head ? CONTROL_HEAD_SIZE : CONTROL_HEAD_SIZE + line->length, got = 0;
	uint8_t *to = head ? line->head + line->have : line->frame + line->have - CONTROL_HEAD_SIZE;
	int ret;

	ERR_clear_error();
	ret = SSL_read_ex(line->ssl, to, end - line->have, &got);
	if (ret != 1) {
		wait_or_end(line, ret);
		return false;
	}
	if (!line->have)
		line->deadline = os_now() + WHOLE_SECONDS * NS_PER_S;
	line->have += got;
	if (line->have < end)
		return true;
	if (head)
		return begin_frame(line);
	take_answer(line);
	return false;
}

/* What OpenSSL has already, epoll knows nothing of. It is at most a record. */
static void turn_receiving(struct line *line)
{
	for (unsigned i = 0; i < READS_AT_ONCE || SSL_pending(line->ssl) > 0; i++) {
		if (!receive(line))
			return;
	}
}

/* ---- the request ---- */

static void turn_sending(struct line *line)
{
	struct question *question = line->question;

	while (line->sent < question->out_length) {
		size_t done = 0;
		int ret;

		ERR_clear_error();
		ret = SSL_write_ex(line->ssl, question->out + line->sent,
				   question->out_length - line->sent, &done);
		if (ret != 1) {
			wait_or_end(line, ret);
			return;
		}
		line->sent += done;
	}
	line->have = 0;
	set_state(line, LINE_RECEIVING, 0);
	listen_for(line, EPOLLIN);
}

static void start_sending(struct line *line)
{
	line->sent = 0;
	line->events = 0;
	set_state(line, LINE_SENDING, WHOLE_SECONDS);
	turn_sending(line);
}

static void start_question(struct line *line)
{
	if (question_begin(line->question, &line->question->error) < 0)
		fail(line);
	else
		start_sending(line);
}

/* ---- the other end ---- */

static int check_peer(struct line *line, struct error *error)
{
	const char *name = line->caller->name;
	struct tls_peer peer;

	if (tls_peer(line->ssl, &peer, error) < 0)
		return -EPROTO;
	if (peer.role != CONTROL_NOBODY)
		return error_set(error, EPROTO, "its certificate is not a host's, but %s's, %s",
				 peer.name, tls_role_name(peer.role));
	if (name[0] && strcmp(peer.name, name) != 0)
		return error_set(error, EPROTO, "its certificate is that of %s", peer.name);
	return tls_own_name(line->ssl, line->own_name, error);
}

static void turn_handshake(struct line *line)
{
	struct error *error = &line->question->error;
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(line->ssl);
	if (ret != 1) {
		wait_or_end(line, ret);
		return;
	}
	ret = check_peer(line, error);
	if (ret < 0) {
		error->code = -ret;
		fail(line);
		return;
	}
	line->caller->known = true;
	line->caller->came = os_now();
	start_question(line);
}

/* Who sends records without an answer in them does not keep us from the others: it is come back for
 * each, and they are counted. */
static void start_handshake(struct line *line)
{
	line->ssl = SSL_new(line->caller->tls);
	if (!line->ssl || SSL_set_fd(line->ssl, line->fd) != 1) {
		error_set(&line->question->error, ENOMEM, "TLS cannot be set up");
		fail(line);
		return;
	}
	SSL_clear_mode(line->ssl, SSL_MODE_AUTO_RETRY);
	SSL_set_connect_state(line->ssl);
	line->state = LINE_HANDSHAKE;
	turn_handshake(line);
}

static void turn_connecting(struct line *line)
{
	socklen_t length = sizeof(int);
	int code = 0;

	if (getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
		code = errno;
	if (code)
		lose(line, code);
	else
		start_handshake(line);
}

static int open_socket(struct line *line)
{
	const struct caller *caller = line->caller;
	int on = 1;

	line->fd = socket(caller->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (line->fd < 0 || setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    (connect(line->fd, (const struct sockaddr *)&caller->address, caller->address_length) <
		     0 &&
	     errno != EINPROGRESS))
		return -errno;
	return os_loop_add(caller->loop, line->fd, EPOLLOUT, line_event, line);
}

void line_begin(struct line *line, struct question *question)
{
	int ret;

	line->question = question;
	if (line->state == LINE_IDLE) {
		start_question(line);
		return;
	}
	set_state(line, LINE_CONNECTING, CONNECT_SECONDS);
	ret = open_socket(line);
	if (ret < 0)
		lose(line, -ret);
}

/* ---- events ---- */

static void turn(struct line *line)
{
	if (line->question && ++line->events > EVENTS_MAX) {
		error_set(&line->question->error, EPROTO, "sends much, and no answer");
		fail(line);
		return;
	}
	switch (line->state) {
	case LINE_CONNECTING:
		turn_connecting(line);
		break;
	case LINE_HANDSHAKE:
		turn_handshake(line);
		break;
	case LINE_SENDING:
		turn_sending(line);
		break;
	case LINE_RECEIVING:
		turn_receiving(line);
		break;
	case LINE_IDLE:
		/* Nobody has asked it: it has ended, or is none that we know. */
		line_close(line);
		break;
	case LINE_NONE:
		break;
	}
}

static void line_event(void *context, int fd, uint32_t events)
{
	struct line *line = context;
	struct caller *caller = line->caller;

	(void)fd;
	(void)events;
	caller_enter(caller);
	turn(line);
	caller_leave(caller);
}

static const char *what_is_late(const struct line *line)
{
	switch (line->state) {
	case LINE_CONNECTING:
		return "no connection";
	case LINE_HANDSHAKE:
		return "it does not speak TLS";
	case LINE_SENDING:
		return "it does not take the request";
	default:
		return line->have ? "its answer has no end" : "no answer";
	}
}

void line_look(struct line *line, uint64_t now)
{
	struct question *question = line->question;

	if (question && (now >= question->deadline || now >= line->deadline)) {
		error_set(&question->error, ETIMEDOUT, "%s in time", what_is_late(line));
		fail(line);
	} else if (line->state == LINE_IDLE && now >= line->deadline) {
		line_close(line);
	}
}
