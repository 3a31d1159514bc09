/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "listen.h"
#include "os/fd.h"

#define ACCEPTS	      64 /* in a row, before others have their turn */
#define IDLE_PAUSE_MS 1000

#define EACH(connection, server)                                                                   \
	(struct connection *connection = (server)->connections;                                    \
	 connection < (server)->connections + ARRAY_LEN((server)->connections); connection++)

static bool is_stranger(const struct connection *connection)
{
	return connection->state == CONNECTION_SILENT || connection->state == CONNECTION_HANDSHAKE;
}

static bool is_idle(const struct connection *connection)
{
	return connection->state == CONNECTION_READING && !connection->have;
}

void server_note_refusal(struct server *server, const struct connection *connection,
			 const char *why)
{
	uint64_t now = os_now();
	char address[INET6_ADDRSTRLEN] = "?";

	server->refused++;
	if (server->noted && now - server->noted < NS_PER_S)
		return;
	inet_ntop(AF_INET6, &connection->address, address, sizeof(address));
	fprintf(stderr, "karuta-controller: %s: refused: %s (%llu since the last such note)\n",
		address, why, (unsigned long long)server->refused);
	server->noted = now;
	server->refused = 0;
}

/* ---- too many ---- */

static bool is_older(const struct connection *connection, const struct connection *than)
{
	return !than || connection->order < than->order;
}

/* An address that has more than its part gives up one of its own. */
static void make_room_for_stranger(struct server *server, const struct in6_addr *address)
{
	struct connection *oldest = NULL, *oldest_there = NULL;
	unsigned count = 0, count_there = 0;

	for
		EACH(connection, server)
		{
			bool there = !memcmp(&connection->address, address, sizeof(*address));

			if (!is_stranger(connection))
				continue;
			count++;
			count_there += there;
			if (is_older(connection, oldest))
				oldest = connection;
			if (there && is_older(connection, oldest_there))
				oldest_there = connection;
		}
	if (count >= SERVER_STRANGERS)
		connection_end(count_there > SERVER_STRANGERS / 4 ? oldest_there : oldest);
}

void server_admit_handshake(struct server *server)
{
	struct connection *oldest = NULL;
	unsigned count = 0;

	for
		EACH(connection, server)
		{
			if (connection->state != CONNECTION_HANDSHAKE)
				continue;
			count++;
			if (is_older(connection, oldest))
				oldest = connection;
		}
	if (count >= SERVER_HANDSHAKES)
		connection_end(oldest);
}

bool server_admit_caller(struct server *server, struct connection *newcomer)
{
	struct connection *idle = NULL, *idle_same = NULL;
	unsigned count = 0, count_same = 0;

	for
		EACH(connection, server)
		{
			bool same = !strcmp(connection->peer.name, newcomer->peer.name);

			if (connection->state < CONNECTION_READING)
				continue;
			count++;
			count_same += same;
			if (is_idle(connection) && is_older(connection, idle))
				idle = connection;
			if (is_idle(connection) && same && is_older(connection, idle_same))
				idle_same = connection;
		}
	if (count_same >= SERVER_CALLERS_EACH)
		idle = idle_same;
	else if (count < SERVER_CALLERS)
		return true;
	if (idle)
		connection_end(idle);
	return idle;
}

/* ---- the revoked ---- */

/* What was asked for is answered. */
static void ask_again(struct server *server)
{
	for
		EACH(connection, server)
		{
			if (connection->state == CONNECTION_READING)
				connection_end(connection);
			else if (connection->state > CONNECTION_READING)
				connection->last = true;
		}
}

int server_look(struct server *server, struct error *error)
{
	int ret = revoked_look(&server->revoked, server->fleet->renewal->tls, error);

	server->look = os_now() + NS_PER_S;
	if (ret > 0)
		ask_again(server);
	return ret < 0 ? ret : 0;
}

/* ---- newcomers ---- */

static struct connection *free_place(struct server *server)
{
	for
		EACH(connection, server)
		{
			if (connection->state == CONNECTION_NONE)
				return connection;
		}
	return NULL;
}

/* A caller that is not there any more is noticed within a minute. */
static void set_up(int fd)
{
	static const struct {
		int level, option, value;
	} options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},	 {IPPROTO_TCP, TCP_NODELAY, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, 20}, {IPPROTO_TCP, TCP_KEEPINTVL, 10},
		{IPPROTO_TCP, TCP_KEEPCNT, 4},	 {IPPROTO_TCP, TCP_USER_TIMEOUT, 60000},
	};

	/* Without one of them it works too. */
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].option, &options[i].value,
				 sizeof(options[i].value));
}

static struct in6_addr address_of(const struct sockaddr_storage *from)
{
	struct in6_addr address = {0};

	if (from->ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)from)->sin6_addr;
	address.s6_addr[10] = address.s6_addr[11] = 0xff;
	memcpy(&address.s6_addr[12], &((const struct sockaddr_in *)from)->sin_addr, 4);
	return address;
}

static void take(struct server *server, int fd, const struct in6_addr *from)
{
	struct connection *connection;

	make_room_for_stranger(server, from);
	connection = free_place(server);
	if (!connection) {
		os_close(&fd);
		return;
	}
	set_up(fd);
	connection_begin(connection, server, fd, from);
}

static void on_newcomer(void *context, int socket, uint32_t events)
{
	struct server *server = context;

	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage from = {0};
		socklen_t length = sizeof(from);
		struct in6_addr address;
		int fd = accept4(socket, (struct sockaddr *)&from, &length,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		address = address_of(&from);
		take(server, fd, &address);
	}
}

/* ---- the whole ---- */

int server_open(struct server *server, struct fleet *fleet, struct os_loop *loop,
		const char *address, int kept, struct error *error)
{
	int ret;

	server->fleet = fleet;
	server->loop = loop;
	for
		EACH(connection, server)
	connection->fd = -1;
	/* Where another controller was, instances go on, and nobody is let in. */
	ret = server_look(server, error);
	if (ret < 0 && kept < 0)
		return ret;
	if (ret < 0)
		fprintf(stderr, "karuta-controller: %s\n", error->text);
	server->socket = kept >= 0 ? kept : listen_open(address, error);
	if (server->socket < 0)
		return server->socket;
	ret = os_loop_add(loop, server->socket, EPOLLIN, on_newcomer, server);
	return ret < 0 ? error_set(error, -ret, "event loop: %s", strerror(-ret)) : 0;
}

int server_turn(struct server *server)
{
	uint64_t now = os_now();
	struct error error;
	int pause = IDLE_PAUSE_MS;

	/* A file that cannot be used keeps newcomers out, who are told. */
	if (now >= server->look)
		server_look(server, &error);
	for
		EACH(connection, server)
		{
			if (connection->state == CONNECTION_NONE ||
			    connection->state == CONNECTION_WAITING)
				continue;
			if (now >= connection->deadline) {
				connection_end(connection);
				continue;
			}
			/* Of what OpenSSL has decrypted already epoll does not tell; of the rest of
			 * a record that it has a part of, it does. */
			if (connection->state == CONNECTION_READING &&
			    SSL_pending(connection->ssl)) {
				connection_turn(connection);
				pause = 0;
			}
		}
	return pause;
}

void server_answered(void *context, const struct operation *operation)
{
	struct server *server = context;

	for
		EACH(connection, server)
		{
			if (connection->state == CONNECTION_WAITING &&
			    connection->operation == operation)
				connection_answer_operation(connection, operation);
		}
}

void server_close(struct server *server)
{
	if (server->socket >= 0)
		os_loop_remove(server->loop, server->socket);
	for
		EACH(connection, server)
		{
			/* A socket has room for an answer. */
			if (connection->state == CONNECTION_WRITING)
				connection_turn(connection);
			if (connection->state != CONNECTION_NONE)
				connection_end(connection);
		}
	os_close(&server->socket);
}
