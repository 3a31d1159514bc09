/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections there are, of whom, and for how long. When there are too many, the oldest
 * that has not asked for anything yet makes room, else the one that has been idle for longest: who
 * only opens connections pushes out his own.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http_private.h"
#include "os/clock.h"

static const unsigned seconds_of[PHASE_COUNT] = {
	[PHASE_FRESH] = HTTP_FRESH_SECONDS,
	[PHASE_IDLE] = HTTP_IDLE_SECONDS,
	[PHASE_RECEIVING] = HTTP_REQUEST_SECONDS,
	[PHASE_ANSWERING] = HTTP_ANSWER_SECONDS,
};

/* ---- phases ---- */

static void list_remove(struct http_list *list, struct http_connection *connection)
{
	*(connection->previous ? &connection->previous->next : &list->first) = connection->next;
	*(connection->next ? &connection->next->previous : &list->last) = connection->previous;
}

static void list_append(struct http_list *list, struct http_connection *connection)
{
	connection->next = NULL;
	connection->previous = list->last;
	*(list->last ? &list->last->next : &list->first) = connection;
	list->last = connection;
}

void http_connection_enter(struct http_connection *connection, enum http_phase phase)
{
	struct http_list *phases = connection->http->phases;

	if (connection->phase == PHASE_ENDING)
		return;
	list_remove(&phases[connection->phase], connection);
	list_append(&phases[phase], connection);
	connection->phase = phase;
	connection->since = os_now();
}

static void end(struct http_connection *connection)
{
	shutdown(connection->fd, SHUT_RDWR);
	connection->http->numbers.refused++;
	http_connection_enter(connection, PHASE_ENDING);
}

int http_connection_turn(struct http *http)
{
	uint64_t now = os_now(), least = UINT64_MAX;

	for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
		struct http_list *list = &http->phases[phase];
		uint64_t longest = seconds_of[phase] * NS_PER_S;

		if (!longest)
			continue;
		while (list->first && now - list->first->since >= longest)
			end(list->first);
		if (list->first && list->first->since + longest - now < least)
			least = list->first->since + longest - now;
	}
	return least == UINT64_MAX ? -1 : (int)(least / NS_PER_MS) + 1;
}

/* ---- addresses ---- */

/* As IPv6; IPv4 comes as ::ffff:a.b.c.d. */
static void read_address(const struct sockaddr *from, uint8_t bytes[16], char text[64])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memset(bytes, 0, 16);
	text[0] = '\0';
	if (from && from->sa_family == AF_INET6) {
		memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
	} else if (from && from->sa_family == AF_INET) {
		memcpy(bytes, mapped, 12);
		memcpy(bytes + 12, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
	}
	if (memcmp(bytes, mapped, 12) == 0) {
		inet_ntop(AF_INET, bytes + 12, text, 64);
	} else {
		inet_ntop(AF_INET6, bytes, text, 64);
		memset(bytes + 8, 0, 8);
	}
}

static struct http_origin **find_origin(struct http *http, const uint8_t bytes[16])
{
	unsigned hash = 0;
	struct http_origin **at;

	for (unsigned i = 0; i < 16; i++)
		hash = hash * 31 + bytes[i];
	at = &http->origins[hash % HTTP_ORIGIN_BUCKETS];
	while (*at && memcmp((*at)->bytes, bytes, 16) != 0)
		at = &(*at)->next;
	return at;
}

static struct http_origin *take_origin(struct http *http, const uint8_t bytes[16])
{
	struct http_origin **at = find_origin(http, bytes);

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return NULL;
		memcpy((*at)->bytes, bytes, 16);
	}
	(*at)->connections++;
	return *at;
}

static void drop_origin(struct http *http, struct http_origin *origin)
{
	struct http_origin **at;

	if (--origin->connections)
		return;
	at = find_origin(http, origin->bytes);
	*at = origin->next;
	free(origin);
}

/* ---- room ---- */

/* NULL: of anybody. */
static bool make_room(struct http *http, const struct http_origin *of)
{
	for (enum http_phase phase = PHASE_FRESH; phase <= PHASE_IDLE; phase++) {
		struct http_connection *at = http->phases[phase].first;

		while (at && of && at->origin != of)
			at = at->next;
		if (at) {
			end(at);
			return true;
		}
	}
	return false;
}

/* Of those that count: what was ended is not back yet, but will be. */
static unsigned ending(const struct http *http, const struct http_origin *of)
{
	unsigned count = 0;

	for (const struct http_connection *at = http->phases[PHASE_ENDING].first; at; at = at->next)
		count += !of || at->origin == of;
	return count;
}

/* For a connection that `of` counts already, and the server not yet. */
static bool has_room(struct http *http, const struct http_origin *of)
{
	if (of->connections > HTTP_OF_AN_ADDRESS &&
	    of->connections - ending(http, of) > HTTP_OF_AN_ADDRESS && !make_room(http, of))
		return false;
	return http->count < http->limit || http->count - ending(http, NULL) < http->limit ||
	       make_room(http, NULL);
}

/* ---- they come and go ---- */

static bool set_up(struct http_connection *connection, gnutls_session_t session)
{
	if (http_identity_use(connection->http->identity, session,
			      connection->http->authority != NULL) < 0)
		return false;
	connection->identity = connection->http->identity;
	connection->identity->users++;
	return true;
}

static struct http_connection *open_connection(struct http *http, struct MHD_Connection *library)
{
	const union MHD_ConnectionInfo *info;
	struct http_connection *made = calloc(1, sizeof(*made));
	uint8_t bytes[16];

	if (!made)
		return NULL;
	info = MHD_get_connection_info(library, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	read_address(info ? info->client_addr : NULL, bytes, made->address);
	made->origin = take_origin(http, bytes);
	if (!made->origin) {
		free(made);
		return NULL;
	}
	info = MHD_get_connection_info(library, MHD_CONNECTION_INFO_CONNECTION_FD);
	made->fd = info->connect_fd;
	made->http = http;
	made->library = library;
	made->phase = PHASE_FRESH;
	made->since = os_now();
	return made;
}

static void begin(struct http *http, struct MHD_Connection *library, void **mine)
{
	/* Libmicrohttpd 1.0 answers the next question in the same place: what it says is copied. */
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(library, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	gnutls_session_t session = info ? info->tls_session : NULL;
	struct http_connection *connection = open_connection(http, library);
	bool room = connection && has_room(http, connection->origin);

	*mine = connection;
	if (connection) {
		http->count++;
		list_append(&http->phases[PHASE_FRESH], connection);
		if (!room || !session || !set_up(connection, session))
			end(connection);
		return;
	}
	info = MHD_get_connection_info(library, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info)
		shutdown(info->connect_fd, SHUT_RDWR);
}

static void finish(struct http *http, struct http_connection *connection)
{
	list_remove(&http->phases[connection->phase], connection);
	drop_origin(http, connection->origin);
	if (connection->identity)
		http_identity_drop(connection->identity);
	http->count--;
	free(connection);
}

void http_connection_notify(void *context, struct MHD_Connection *library, void **mine,
			    enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		begin(context, library, mine);
	else if (*mine)
		finish(context, *mine);
}

struct http_connection *http_connection_of(struct MHD_Connection *library)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(library, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}
