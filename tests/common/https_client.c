/* SPDX-License-Identifier: Apache-2.0 */
#include "https_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS	     60000
#define PIECE	     (64u << 10)
#define HEAD_END     "\r\n\r\n"
#define REQUEST_SIZE 4096u

static void fail(const char *what)
{
	fprintf(stderr, "client: %s\n", what);
	exit(1);
}

SSL_CTX *https_context(const char *authority)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context || SSL_CTX_load_verify_locations(context, authority, NULL) != 1) {
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
	return context;
}

void https_open(struct https_client *client, SSL_CTX *context, unsigned port, const char *token)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int on = 1;

	*client = (struct https_client){.token = token, .ssl = SSL_new(context)};
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!client->ssl || client->fd < 0 ||
	    connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail(strerror(errno));
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	SSL_set_fd(client->ssl, client->fd);
	SSL_set_tlsext_host_name(client->ssl, "localhost");
	if (SSL_connect(client->ssl) != 1)
		fail("no handshake");
	fcntl(client->fd, F_SETFL, O_NONBLOCK);
}

void https_close(struct https_client *client)
{
	SSL_free(client->ssl);
	close(client->fd);
	free(client->bytes);
}

void https_send(struct https_client *client, const char *method, const char *path,
		const char *accept, const char *body)
{
	char text[REQUEST_SIZE];
	int length = snprintf(text, sizeof(text),
			      "%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
			      "Accept: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
			      method, path, client->token, accept ? accept : "*/*",
			      body ? "Content-Type: application/json\r\n" : "",
			      body ? strlen(body) : 0, body ? body : "");

	if (length >= (int)sizeof(text) || SSL_write(client->ssl, text, length) != length)
		fail("a request cannot be sent");
}

bool https_read(struct https_client *client)
{
	for (;;) {
		int got;

		if (client->room < client->length + PIECE + 1) {
			client->room = client->length + 2 * PIECE;
			client->bytes = realloc(client->bytes, client->room);
			if (!client->bytes)
				fail("out of memory");
		}
		got = SSL_read(client->ssl, client->bytes + client->length, PIECE);
		if (got <= 0) {
			client->bytes[client->length] = '\0';
			return SSL_get_error(client->ssl, got) == SSL_ERROR_WANT_READ;
		}
		client->length += (size_t)got;
	}
}

/* One byte of what surrounds the chunks (RFC 9112, 7.1). */
static void skip(struct https_client *client, char byte)
{
	static const char end[] = HEAD_END;

	if (!client->streams) {
		client->matched = byte == end[client->matched] ? client->matched + 1 : byte == '\r';
		client->streams = client->matched == strlen(end);
		if (client->streams)
			client->matched = 0;
	} else if (byte == '\n') {
		client->chunk = client->matched;
		client->matched = 0;
	} else if (byte != '\r') {
		const char digit[] = {byte, '\0'};

		client->matched = client->matched * 16 + (unsigned)strtoul(digit, NULL, 16);
	}
}

bool https_read_stream(struct https_client *client)
{
	size_t from = client->length, to = from;
	bool more = https_read(client);

	while (from < client->length) {
		size_t length = client->length - from;

		if (!client->chunk) {
			skip(client, client->bytes[from++]);
			continue;
		}
		length = length < client->chunk ? length : client->chunk;
		memmove(client->bytes + to, client->bytes + from, length);
		client->chunk -= length;
		from += length;
		to += length;
	}
	client->length = to;
	if (client->bytes)
		client->bytes[to] = '\0';
	return more;
}

static size_t length_of_body(const char *head)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *at = strcasestr(head, name);

	return at ? strtoul(at + sizeof(name) - 1, NULL, 10) : 0;
}

bool https_is_whole(struct https_client *client)
{
	char *end = client->length ? strstr(client->bytes, HEAD_END) : NULL;

	if (!end)
		return false;
	client->body = end + strlen(HEAD_END);
	*end = '\0';
	client->whole = (size_t)(client->body - client->bytes) + length_of_body(client->bytes);
	client->status = (unsigned)strtoul(client->bytes + strlen("HTTP/1.1 "), NULL, 10);
	*end = '\r';
	return client->length >= client->whole;
}

const char *https_take(struct https_client *client)
{
	struct pollfd wait = {.fd = client->fd, .events = POLLIN};

	while (!https_is_whole(client)) {
		if (poll(&wait, 1, WAIT_MS) != 1 ||
		    (!https_read(client) && !https_is_whole(client)))
			fail("no answer");
	}
	/* One request at a time: nothing is behind it. */
	client->length = 0;
	return client->body;
}

const char *https_ask(struct https_client *client, const char *method, const char *path,
		      const char *body)
{
	https_send(client, method, path, NULL, body);
	return https_take(client);
}
