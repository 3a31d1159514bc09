/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events (WHATWG HTML, 9.2). The library asks for bytes; when there are none, the
 * connection is suspended until there are.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/base.h"
#include "http_private.h"
#include "os/clock.h"

#define BLOCK 4096u /* that the library asks for at a time */

/* ---- what the library asks ---- */

static ssize_t give(void *context, uint64_t position, char *to, size_t most)
{
	struct http_stream *stream = context;
	size_t length = min_u64(stream->length - stream->sent, most);

	(void)position;
	if (stream->broken)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (length == 0) {
		if (stream->ended)
			return MHD_CONTENT_READER_END_OF_STREAM;
		http_suspend(stream->request);
		return 0;
	}
	memcpy(to, stream->bytes + stream->sent, length);
	stream->sent += length;
	if (stream->sent == stream->length)
		stream->sent = stream->length = 0;
	return (ssize_t)length;
}

/* ---- begin and end ---- */

static void enlist(struct http_stream *stream, struct http *http)
{
	stream->next = http->streams;
	if (http->streams)
		http->streams->previous = stream;
	http->streams = stream;
}

static void delist(struct http_stream *stream, struct http *http)
{
	*(stream->previous ? &stream->previous->next : &http->streams) = stream->next;
	if (stream->next)
		stream->next->previous = stream->previous;
}

void http_stream_free(struct http_stream *stream)
{
	if (!stream)
		return;
	delist(stream, stream->request->connection->http);
	free(stream->bytes);
	free(stream);
}

struct http_stream *http_stream_begin(struct http_exchange *exchange, void (*gone)(void *context),
				      void *context)
{
	struct http_request *request = request_of(exchange);
	struct http_stream *stream = calloc(1, sizeof(*stream));
	struct MHD_Response *response =
		stream ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, give, stream,
							   NULL)
		       : NULL;

	if (!response ||
	    MHD_add_response_header(response, "Content-Type", "text/event-stream") != MHD_YES) {
		if (response)
			MHD_destroy_response(response);
		free(stream);
		http_answer_json(exchange, 503, NULL);
		return NULL;
	}
	stream->request = request;
	stream->spoken = os_now();
	request->stream = stream;
	enlist(stream, request->connection->http);
	http_answer_with(request, 200, response);
	request->gone = gone;
	request->gone_context = context;
	return stream;
}

void http_stream_end(struct http_stream *stream)
{
	stream->ended = true;
	stream->request->gone = NULL;
	http_resume(stream->request);
}

/* ---- events ---- */

/* Its client does not read: the connection ends, and with it the stream, but not within this call.
 */
static void break_off(struct http_stream *stream)
{
	stream->broken = true;
	shutdown(stream->request->connection->fd, SHUT_RDWR);
	http_resume(stream->request);
}

static bool make_room(struct http_stream *stream, size_t more)
{
	size_t room = stream->room ? stream->room : 1024;
	char *bytes;

	if (stream->sent) {
		stream->length -= stream->sent;
		memmove(stream->bytes, stream->bytes + stream->sent, stream->length);
		stream->sent = 0;
	}
	if (more > HTTP_STREAM_BACKLOG - stream->length)
		return false;
	while (room < stream->length + more)
		room *= 2;
	if (room == stream->room)
		return true;
	bytes = realloc(stream->bytes, room);
	if (!bytes)
		return false;
	stream->bytes = bytes;
	stream->room = room;
	return true;
}

static void put(struct http_stream *stream, const char *bytes, size_t length)
{
	if (stream->broken || length == 0)
		return;
	if (!make_room(stream, length)) {
		break_off(stream);
		return;
	}
	memcpy(stream->bytes + stream->length, bytes, length);
	stream->length += length;
}

static void put_text(struct http_stream *stream, const char *text)
{
	put(stream, text, strlen(text));
}

/* Each line of it: a line's end within would be a field of its own. */
static void put_data(struct http_stream *stream, const char *data)
{
	do {
		size_t length = strcspn(data, "\r\n");

		put_text(stream, "data: ");
		put(stream, data, length);
		put_text(stream, "\n");
		data += length;
		data += *data == '\r' && data[1] == '\n' ? 2 : *data != '\0';
	} while (*data);
}

void http_stream_send(struct http_stream *stream, const char *event, uint64_t id, const char *data)
{
	char line[64];

	if (event) {
		put_text(stream, "event: ");
		put(stream, event, strcspn(event, "\r\n"));
		put_text(stream, "\n");
	}
	if (id) {
		snprintf(line, sizeof(line), "id: %llu\n", (unsigned long long)id);
		put_text(stream, line);
	}
	put_data(stream, data);
	put_text(stream, "\n");
	stream->spoken = os_now();
	http_resume(stream->request);
}

/* A comment, from time to time: a client whose machine has vanished is noticed by it. */
int http_stream_turn(struct http *http)
{
	const uint64_t beat = HTTP_BEAT_SECONDS * NS_PER_S;
	uint64_t now = os_now(), least = UINT64_MAX;

	for (struct http_stream *at = http->streams; at; at = at->next) {
		if (now - at->spoken >= beat) {
			put_text(at, ":\n\n");
			at->spoken = now;
			http_resume(at->request);
		}
		least = min_u64(least, at->spoken + beat - now);
	}
	return http->streams ? (int)(least / NS_PER_MS) + 1 : -1;
}
