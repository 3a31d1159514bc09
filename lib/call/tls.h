/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 with both ends authenticated, and nothing else. Who signs is the host's own authority,
 * not the world's. A certificate's subject says who its holder is (CN) and what that is (OU):
 * "host", or what a caller may do: "reader", "operator", "admin".
 */
#ifndef KARUTA_CALL_TLS_H
#define KARUTA_CALL_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/error.h"
#include "wire/control.h"

#define TLS_NAME_MAX 63u

/* PEM; each a path, or "fd:N", which is closed; or all three the PEM itself. */
struct tls_files {
	const char *authority; /* one or more certificates */
	const char *certificate;
	const char *key;
	bool are_texts;
};

struct tls_peer {
	char name[TLS_NAME_MAX + 1];
	enum control_role role; /* CONTROL_NOBODY: a host */
};

/* NULL with the error set. The caller's, SSL_CTX_free(). */
SSL_CTX *tls_context(const struct tls_files *files, bool server, struct error *error);
/* The same for a server that has another certificate now; whom it believes, lists of the revoked
 * among it, is what `before` believes. */
SSL_CTX *tls_context_again(SSL_CTX *before, X509 *certificate, EVP_PKEY *key, struct error *error);
/* Who is at the other end of a finished handshake. */
int tls_peer(const SSL *ssl, struct tls_peer *peer, struct error *error);
/* What the other end will call us. */
int tls_own_name(const SSL *ssl, char name[TLS_NAME_MAX + 1], struct error *error);
int tls_context_name(const SSL_CTX *context, char name[TLS_NAME_MAX + 1], struct error *error);
const char *tls_role_name(enum control_role role);
/* What went wrong last, in OpenSSL's words; empties its queue. */
void tls_why(char *text, size_t size);

/* The whole of a path or "fd:N", at most `size`. Length or -errno. */
ssize_t tls_read_file(const char *from, void *bytes, size_t size, struct error *error);

#endif
