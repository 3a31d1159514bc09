/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 between two that know the same token and have no certificates yet: an external
 * pre-shared key (RFC 8446, 4.2.11) with an (EC)DHE exchange (psk_dhe_ke), so that who learns the
 * token later reads nothing of it; TLS_AES_256_GCM_SHA384 and no other suite.
 *
 *	identity = the host's name, as the plane calls it
 *	key      = HKDF-SHA-384(secret, salt: "karuta-enrol/1", info: identity), 48 bytes
 *
 * The name is part of the key, so both ends are sure of it. Whatever name a stranger gives, there
 * is a key for it, and the answer is the same: that its binder is wrong.
 */
#ifndef KARUTA_ENROL_PSK_H
#define KARUTA_ENROL_PSK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/enrol.h"

/* Stays where it is as long as the context; wiped by whoever has it. */
struct enrol_psk {
	uint8_t secret[ENROL_SECRET_SIZE];
	char name[ENROL_NAME_MAX + 1]; /* of a client: that it gives; a server takes any */
};

/* NULL with the error set. The caller's, SSL_CTX_free(). */
SSL_CTX *enrol_context(struct enrol_psk *psk, bool server, struct error *error);
/* After the handshake: both know the token, and nothing else was agreed on. -EPROTO. */
int enrol_check(const SSL *ssl, struct error *error);
/* What the client has called the server: at most ENROL_NAME_MAX bytes, not checked otherwise. */
void enrol_name(SSL *ssl, char name[ENROL_NAME_MAX + 1]);
/* The other end has another token: of a handshake that has just failed. Asked first, since it
 * leaves OpenSSL's queue as it is. */
bool enrol_is_wrong_token(void);

#endif
