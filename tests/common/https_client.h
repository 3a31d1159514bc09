/* SPDX-License-Identifier: Apache-2.0 */
/* A client of the plane: one connection, one request after the other. */
#ifndef KARUTA_TESTS_HTTPS_CLIENT_H
#define KARUTA_TESTS_HTTPS_CLIENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct https_client {
	SSL *ssl;
	int fd;
	const char *token;
	char *bytes; /* what came and was not taken, and a terminator */
	size_t length, room;
	char *body;   /* in `bytes`, of the last answer; terminated */
	size_t whole; /* how long that is with its head */
	unsigned status;
	size_t chunk;	  /* that is still to come, of a stream */
	unsigned matched; /* of the end of its head, or of a chunk's size */
	bool streams;	  /* its head is over */
};

/* Whom a client believes: a file of certificates. NULL: it is none. */
SSL_CTX *https_context(const char *authority);
/* All of these end the program when something fails. */
void https_open(struct https_client *client, SSL_CTX *context, unsigned port, const char *token);
void https_close(struct https_client *client);
/* `body`: NULL or JSON. `accept`: NULL: any. */
void https_send(struct https_client *client, const char *method, const char *path,
		const char *accept, const char *body);
/* The answer to the oldest request: waits for it. Its text is there until the next call. */
const char *https_take(struct https_client *client);
/* Both. */
const char *https_ask(struct https_client *client, const char *method, const char *path,
		      const char *body);
/* Whatever is there, at once, behind client->bytes. False: the connection has ended. */
bool https_read(struct https_client *client);
/* The same of an answer without end: only what it says. */
bool https_read_stream(struct https_client *client);
/* One whole answer is there. */
bool https_is_whole(struct https_client *client);

#endif
