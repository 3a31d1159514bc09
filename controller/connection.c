/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "os/fd.h"
#include "server.h"
#include "wire/cbor.h"

#define ROUNDS 4 /* requests in a row, before others have their turn */

static void on_event(void *context, int fd, uint32_t events)
{
	struct connection *connection = context;

	(void)fd;
	if (connection->state == CONNECTION_WAITING)
		connection_end(connection);
	else if (events & EPOLLERR)
		connection_end(connection);
	else
		connection_turn(connection);
}

void connection_begin(struct connection *connection, struct server *server, int fd,
		      const struct in6_addr *address)
{
	*connection = (struct connection){.server = server,
					  .state = CONNECTION_SILENT,
					  .fd = fd,
					  .order = ++server->last,
					  .deadline = os_now() + SERVER_STRANGE_TIME,
					  .address = *address};
	if (os_loop_add(server->loop, fd, EPOLLIN, on_event, connection) < 0)
		connection_end(connection);
}

/* There is a key in it if somebody has sent one as it is. */
static void drop_frame(struct connection *connection)
{
	if (connection->frame)
		explicit_bzero(connection->frame, connection->length);
	free(connection->frame);
	connection->frame = NULL;
	connection->have = 0;
}

/* What was ordered goes on. */
void connection_end(struct connection *connection)
{
	if (connection->state >= CONNECTION_READING)
		SSL_shutdown(connection->ssl);
	SSL_free(connection->ssl);
	ERR_clear_error();
	os_loop_remove(connection->server->loop, connection->fd);
	os_close(&connection->fd);
	drop_frame(connection);
	free(connection->answer);
	*connection = (struct connection){.state = CONNECTION_NONE, .fd = -1};
}

static void listen_for(struct connection *connection, uint32_t events)
{
	os_loop_change(connection->server->loop, connection->fd, events);
}

/* After an SSL call that did not succeed: 0 it is to be repeated when there is an event, -1 there
 * is nothing to be had any more. */
static int wait_or_fail(struct connection *connection, int ret)
{
	switch (SSL_get_error(connection->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		listen_for(connection, EPOLLIN);
		return 0;
	case SSL_ERROR_WANT_WRITE:
		listen_for(connection, EPOLLOUT);
		return 0;
	default:
		return -1;
	}
}

/* ---- strangers ---- */

static void refuse(struct connection *connection, const char *why)
{
	server_note_refusal(connection->server, connection, why);
	connection_end(connection);
}

static void begin_handshake(struct connection *connection)
{
	struct error error = {0};

	if (server_look(connection->server, &error) < 0) {
		refuse(connection, error.text);
		return;
	}
	server_admit_handshake(connection->server);
	connection->ssl = SSL_new(connection->server->fleet->renewal->tls);
	if (!connection->ssl || SSL_set_fd(connection->ssl, connection->fd) != 1) {
		connection_end(connection);
		return;
	}
	SSL_set_accept_state(connection->ssl);
	connection->state = CONNECTION_HANDSHAKE;
}

static void turn_handshake(struct connection *connection)
{
	struct error error = {0};
	char why[128];
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(connection->ssl);
	if (ret != 1 && wait_or_fail(connection, ret) == 0)
		return;
	if (ret != 1) {
		tls_why(why, sizeof(why));
		refuse(connection, why);
		return;
	}
	if (tls_peer(connection->ssl, &connection->peer, &error) < 0) {
		refuse(connection, error.text);
		return;
	}
	if (!server_admit_caller(connection->server, connection)) {
		refuse(connection, "too many connections of that name");
		return;
	}
	connection->state = CONNECTION_READING;
	connection->deadline = os_now() + SERVER_IDLE_TIME;
	listen_for(connection, EPOLLIN);
}

/* ---- requests and answers ---- */

/* Texts of the system or of a card, cut somewhere, may not be UTF-8. */
static void make_valid(char *text)
{
	if (cbor_text_is_valid(text, strlen(text)))
		return;
	for (char *at = text; *at; at++) {
		if (*at & 0x80)
			*at = '?';
	}
}

static void say(struct connection *connection, const uint8_t id[CONTROL_ID_SIZE], int code,
		const char *text, const char *result)
{
	char valid[OPERATION_TEXT];
	struct control_answer answer = {.code = code, .text = valid, .result = result};
	size_t size;
	ssize_t length;

	snprintf(valid, sizeof(valid), "%s", text);
	make_valid(valid);
	memcpy(answer.id, id, CONTROL_ID_SIZE);
	answer.text_length = strlen(valid);
	answer.result_length = strlen(result);
	size = CONTROL_HEAD_SIZE + 64 + answer.text_length + answer.result_length;
	connection->answer = malloc(size);
	length = connection->answer
			 ? control_answer_encode(&answer, connection->answer + CONTROL_HEAD_SIZE,
						 size - CONTROL_HEAD_SIZE)
			 : -ENOMEM;
	if (length < 0) {
		connection_end(connection);
		return;
	}
	control_put_length(connection->answer, (size_t)length);
	connection->answer_length = CONTROL_HEAD_SIZE + (size_t)length;
	connection->answer_done = 0;
	connection->operation = NULL;
	connection->state = CONNECTION_WRITING;
	connection->deadline = os_now() + SERVER_IDLE_TIME;
	listen_for(connection, EPOLLOUT);
}

void connection_answer_operation(struct connection *connection, const struct operation *operation)
{
	json_t *result = json_pack("{s:o*}", "steps", trace_report(&operation->trace));
	char *text = json_object_size(result) ? json_dumps(result, JSON_COMPACT) : NULL;

	say(connection, operation->id, operation->code, operation->text, text ? text : "");
	free(text);
	json_decref(result);
}

static void say_outcome(struct connection *connection, struct outcome *outcome)
{
	char *result = outcome->result ? json_dumps(outcome->result, JSON_COMPACT) : NULL;
	bool lost = outcome->result && (!result || strlen(result) > CONTROL_ANSWER_MAX - 1024);

	json_decref(outcome->result);
	if (lost)
		say(connection, outcome->id, ENOMEM, "the answer is too large", "");
	else
		say(connection, outcome->id, outcome->code, outcome->text, result ? result : "");
	free(result);
}

static void carry_out(struct connection *connection)
{
	struct outcome outcome;

	dispatch(connection->server->fleet, &connection->peer, connection->frame,
		 connection->length, &outcome);
	drop_frame(connection);
	connection->last = !outcome.is_request;
	if (!outcome.operation) {
		say_outcome(connection, &outcome);
	} else if (outcome.operation->done) {
		connection_answer_operation(connection, outcome.operation);
	} else {
		connection->operation = outcome.operation;
		connection->state = CONNECTION_WAITING;
		/* Nothing is read meanwhile; that the caller goes is heard of. */
		listen_for(connection, EPOLLRDHUP);
	}
}

/* The next part of head or frame. Bytes, or 0: later, or never: it has ended. */
static size_t receive(struct connection *connection, void *to, size_t length)
{
	size_t got = 0;
	int ret;

	ERR_clear_error();
	ret = SSL_read_ex(connection->ssl, to, length, &got);
	if (ret == 1)
		return got;
	if (wait_or_fail(connection, ret) < 0)
		connection_end(connection);
	return 0;
}

static bool begin_frame(struct connection *connection)
{
	static const uint8_t nobody[CONTROL_ID_SIZE];
	ssize_t length = control_length(connection->head, CONTROL_REQUEST_MAX);

	if (length < 0) {
		connection->last = true;
		say(connection, nobody, EMSGSIZE, "a frame is 1 byte to 192 KiB", "");
		return false;
	}
	connection->length = (size_t)length;
	connection->frame = malloc(connection->length);
	if (!connection->frame)
		connection_end(connection);
	return connection->frame;
}

static void turn_reading(struct connection *connection)
{
	size_t *have = &connection->have, got;

	while (*have < CONTROL_HEAD_SIZE) {
		got = receive(connection, connection->head + *have, CONTROL_HEAD_SIZE - *have);
		if (!got)
			return;
		*have += got;
	}
	if (!connection->frame && !begin_frame(connection))
		return;
	while (*have < CONTROL_HEAD_SIZE + connection->length) {
		size_t done = *have - CONTROL_HEAD_SIZE;

		got = receive(connection, connection->frame + done, connection->length - done);
		if (!got)
			return;
		*have += got;
	}
	carry_out(connection);
}

static void turn_writing(struct connection *connection)
{
	size_t done = 0;
	int ret;

	ERR_clear_error();
	ret = SSL_write_ex(connection->ssl, connection->answer + connection->answer_done,
			   connection->answer_length - connection->answer_done, &done);
	if (ret != 1) {
		if (wait_or_fail(connection, ret) < 0)
			connection_end(connection);
		return;
	}
	connection->answer_done += done;
	if (connection->answer_done < connection->answer_length)
		return;
	if (connection->last) {
		connection_end(connection);
		return;
	}
	free(connection->answer);
	connection->answer = NULL;
	connection->state = CONNECTION_READING;
	connection->deadline = os_now() + SERVER_IDLE_TIME;
	listen_for(connection, EPOLLIN);
}

/* The bytes of the next request may be with OpenSSL already, of which epoll knows nothing: a state
 * is turned until it waits. Who sends without end waits for the others all the same. */
void connection_turn(struct connection *connection)
{
	if (connection->state == CONNECTION_SILENT)
		begin_handshake(connection);
	if (connection->state == CONNECTION_HANDSHAKE)
		turn_handshake(connection);
	for (int i = 0; i < ROUNDS; i++) {
		enum connection_state before = connection->state;

		if (before == CONNECTION_READING)
			turn_reading(connection);
		else if (before == CONNECTION_WRITING)
			turn_writing(connection);
		if (connection->state == before)
			return;
	}
}
