/* SPDX-License-Identifier: Apache-2.0 */
#include "psk.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "base/base.h"

#define SUITE	   "TLS_AES_256_GCM_SHA384"
#define SUITE_CODE "\x13\x02" /* RFC 8446, B.4 */
#define KEY_SIZE   48u	      /* as long as the hash */

/* ---- the key ---- */

static bool derive(const struct enrol_psk *psk, const void *name, size_t length,
		   uint8_t key[KEY_SIZE])
{
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA384", 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)psk->secret, ENROL_SECRET_SIZE),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (char *)ENROL_ALPN,
						  strlen(ENROL_ALPN)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)name,
						  length),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	bool done = context && EVP_KDF_derive(context, key, KEY_SIZE, parameters) == 1;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return done;
}

static bool fill_session(SSL *ssl, SSL_SESSION *session, const uint8_t key[KEY_SIZE],
			 const void *name, size_t length)
{
	const SSL_CIPHER *suite = SSL_CIPHER_find(ssl, (const unsigned char *)SUITE_CODE);

	return suite && SSL_SESSION_set1_master_key(session, key, KEY_SIZE) == 1 &&
	       SSL_SESSION_set_cipher(session, suite) == 1 &&
	       SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1 &&
	       SSL_SESSION_set1_ticket_appdata(session, name, length) == 1;
}

/* What OpenSSL takes for an external key. */
static SSL_SESSION *make_session(SSL *ssl, const void *name, size_t length)
{
	const struct enrol_psk *psk = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	uint8_t key[KEY_SIZE];
	SSL_SESSION *session = SSL_SESSION_new();

	if (session &&
	    (!derive(psk, name, length, key) || !fill_session(ssl, session, key, name, length))) {
		SSL_SESSION_free(session);
		session = NULL;
	}
	OPENSSL_cleanse(key, sizeof(key));
	return session;
}

static int use_session(SSL *ssl, const EVP_MD *digest, const unsigned char **identity,
		       size_t *length, SSL_SESSION **session)
{
	const struct enrol_psk *psk = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	(void)digest; /* there is one suite */
	*identity = (const unsigned char *)psk->name;
	*length = strlen(psk->name);
	*session = make_session(ssl, psk->name, *length);
	return *session != NULL;
}

static int find_session(SSL *ssl, const unsigned char *identity, size_t length,
			SSL_SESSION **session)
{
	*session = make_session(ssl, identity, min_u64(length, ENROL_NAME_MAX));
	return *session != NULL;
}

/* ---- the context ---- */

static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *length,
			   const unsigned char *offered, unsigned offered_length, void *context)
{
	static const unsigned char ours[] = "\x0e" ENROL_ALPN;

	(void)ssl;
	(void)context;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)chosen, length, ours,
				     sizeof(ours) - 1, offered,
				     offered_length) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A server that has no certificate has nothing else to offer than the key. A client trusts nobody's
 * certificate. */
static bool set_up(SSL_CTX *context, bool server)
{
	static const unsigned char protocols[] = "\x0e" ENROL_ALPN;

	SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_CLEANSE_PLAINTEXT |
					     SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(context,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(context, server ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	if (server)
		SSL_CTX_set_psk_find_session_callback(context, find_session);
	else
		SSL_CTX_set_psk_use_session_callback(context, use_session);
	return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(context, SUITE) == 1 &&
	       (!server || SSL_CTX_set_num_tickets(context, 0) == 1) &&
	       SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols) - 1) == 0;
}

SSL_CTX *enrol_context(struct enrol_psk *psk, bool server, struct error *error)
{
	SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (context && SSL_CTX_set_app_data(context, psk) == 1 && set_up(context, server))
		return context;
	SSL_CTX_free(context);
	error_set(error, ENOMEM, "TLS cannot be set up");
	return NULL;
}

/* ---- afterwards ---- */

int enrol_check(const SSL *ssl, struct error *error)
{
	const unsigned char *protocol;
	unsigned length;

	SSL_get0_alpn_selected(ssl, &protocol, &length);
	if (length != strlen(ENROL_ALPN) || memcmp(protocol, ENROL_ALPN, length) != 0)
		return error_set(error, EPROTO, "does not speak " ENROL_ALPN);
	if (SSL_version(ssl) != TLS1_3_VERSION || !SSL_session_reused(ssl))
		return error_set(error, EPROTO, "has not shown that it knows the token");
	return 0;
}

void enrol_name(SSL *ssl, char name[ENROL_NAME_MAX + 1])
{
	void *bytes = NULL;
	size_t length = 0;

	name[0] = '\0';
	if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &bytes, &length) != 1 ||
	    length > ENROL_NAME_MAX)
		return;
	memcpy(name, bytes, length);
	name[length] = '\0';
	/* A zero byte within would cut it short. */
	if (strlen(name) != length)
		name[0] = '\0';
}

bool enrol_is_wrong_token(void)
{
	unsigned long code = ERR_peek_last_error();
	int reason = ERR_GET_REASON(code);

	if (ERR_GET_LIB(code) != ERR_LIB_SSL)
		return false;
	/* What a server finds; what it tells a client: by RFC 8446, 4.2.11, and as OpenSSL does. */
	return reason == SSL_R_BINDER_DOES_NOT_VERIFY ||
	       reason == SSL_R_TLSV1_ALERT_DECRYPT_ERROR ||
	       reason == SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER;
}
