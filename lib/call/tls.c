/* SPDX-License-Identifier: Apache-2.0 */
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/name.h"
#include "os/fd.h"

#define PEM_MAX 65536u

static const char *const role_names[] = {
	[CONTROL_NOBODY] = "host",
	[CONTROL_READER] = "reader",
	[CONTROL_OPERATOR] = "operator",
	[CONTROL_ADMIN] = "admin",
};

const char *tls_role_name(enum control_role role)
{
	return role_names[role];
}

void tls_why(char *text, size_t size)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	snprintf(text, size, "%s", reason ? reason : "the other end went away");
	ERR_clear_error();
}

/* ---- files ---- */

static int open_file(const char *from)
{
	char *end;
	long fd;

	if (strncmp(from, "fd:", 3) != 0)
		return open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	fd = strtol(from + 3, &end, 10);
	if (*end || end == from + 3 || fd < 0 || fd > 65535 ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0) {
		errno = EBADF;
		return -1;
	}
	return (int)fd;
}

ssize_t tls_read_file(const char *from, void *bytes, size_t size, struct error *error)
{
	CLEANUP_CLOSE int fd = open_file(from);
	ssize_t got = fd < 0 ? -errno : os_read_full(fd, bytes, size);

	if (got == (ssize_t)size)
		got = -EFBIG;
	if (got < 0)
		return error_set(error, (int)-got, "%s: %s", from, strerror((int)-got));
	return got;
}

typedef bool (*take_fn)(BIO *bio, SSL_CTX *context);

/* Lets `take` have it, as long as that returns true. `name` is for messages. */
static int take_pem(const char *name, const void *bytes, size_t length, take_fn take,
		    SSL_CTX *context, struct error *error)
{
	BIO *bio = length < PEM_MAX ? BIO_new_mem_buf(bytes, (int)length) : NULL;
	unsigned taken = 0;

	while (bio && take(bio, context))
		taken++;
	BIO_free(bio);
	ERR_clear_error();
	return taken ? 0 : error_set(error, EINVAL, "%s: not what is expected, in PEM", name);
}

static int read_pem(const char *from, take_fn take, SSL_CTX *context, struct error *error)
{
	CLEANUP_FREE uint8_t *bytes = malloc(PEM_MAX);
	ssize_t length = bytes ? tls_read_file(from, bytes, PEM_MAX, error)
			       : error_set(error, ENOMEM, "out of memory");
	int ret = length < 0 ? (int)length
			     : take_pem(from, bytes, (size_t)length, take, context, error);

	if (bytes)
		explicit_bzero(bytes, PEM_MAX);
	return ret;
}

static bool take_authority(BIO *bio, SSL_CTX *context)
{
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	bool done = certificate &&
		    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate) == 1;

	X509_free(certificate);
	return done;
}

/* The first is our own, others are those between it and the authority. */
static bool take_certificate(BIO *bio, SSL_CTX *context)
{
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	bool done = certificate && (SSL_CTX_get0_certificate(context)
					    ? SSL_CTX_add1_chain_cert(context, certificate)
					    : SSL_CTX_use_certificate(context, certificate)) == 1;

	X509_free(certificate);
	return done;
}

/* Nobody is there to be asked. */
static int no_password(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static bool take_key(BIO *bio, SSL_CTX *context)
{
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	bool done = key && SSL_CTX_use_PrivateKey(context, key) == 1;

	EVP_PKEY_free(key);
	return done;
}

/* ---- contexts ---- */

static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *length,
			   const unsigned char *offered, unsigned offered_length, void *context)
{
	static const unsigned char ours[] = "\x08" CONTROL_ALPN;

	(void)ssl;
	(void)context;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)chosen, length, ours,
				     sizeof(ours) - 1, offered,
				     offered_length) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* No tickets, no sessions, no early data: each connection shows its certificate. Plain copies of
 * what came, keys among it, do not stay in OpenSSL's buffers. A server comes back after every
 * record: who sends only new keys (RFC 8446, 4.6.3) does not keep it from the others. */
static bool set_up(SSL_CTX *context, bool server)
{
	static const unsigned char protocols[] = "\x08" CONTROL_ALPN;

	SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_CLEANSE_PLAINTEXT |
					     SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (server)
		SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
	       (!server || SSL_CTX_set_num_tickets(context, 0) == 1) &&
	       SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols) - 1) == 0;
}

static int take_one(const struct tls_files *files, const char *from, const char *name, take_fn take,
		    SSL_CTX *context, struct error *error)
{
	return files->are_texts ? take_pem(name, from, strlen(from), take, context, error)
				: read_pem(from, take, context, error);
}

static int take_all(const struct tls_files *files, SSL_CTX *context, struct error *error)
{
	int ret = take_one(files, files->authority, "authority", take_authority, context, error);

	if (ret == 0)
		ret = take_one(files, files->certificate, "certificate", take_certificate, context,
			       error);
	if (ret == 0)
		ret = take_one(files, files->key, "key", take_key, context, error);
	if (ret == 0 && SSL_CTX_check_private_key(context) != 1)
		ret = error_set(error, EINVAL, "%s is not the key of %s",
				files->are_texts ? "key" : files->key,
				files->are_texts ? "certificate" : files->certificate);
	return ret;
}

SSL_CTX *tls_context(const struct tls_files *files, bool server, struct error *error)
{
	SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	int ret = 0;

	if (!context || !set_up(context, server))
		ret = error_set(error, ENOMEM, "TLS cannot be set up");
	if (ret == 0)
		ret = take_all(files, context, error);
	if (ret == 0)
		return context;
	SSL_CTX_free(context);
	return NULL;
}

SSL_CTX *tls_context_again(SSL_CTX *before, X509 *certificate, EVP_PKEY *key, struct error *error)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (context && set_up(context, true) &&
	    SSL_CTX_use_certificate(context, certificate) == 1 &&
	    SSL_CTX_use_PrivateKey(context, key) == 1) {
		SSL_CTX_set1_cert_store(context, SSL_CTX_get_cert_store(before));
		return context;
	}
	SSL_CTX_free(context);
	ERR_clear_error();
	error_set(error, ENOMEM, "TLS cannot be set up");
	return NULL;
}

/* ---- the other end ---- */

/* There is exactly one of the kind, and it looks like a name. */
static bool subject_part(const X509_NAME *subject, int kind, char name[TLS_NAME_MAX + 1])
{
	int at = X509_NAME_get_index_by_NID(subject, kind, -1), length;
	const X509_NAME_ENTRY *entry = at < 0 ? NULL : X509_NAME_get_entry(subject, at);
	unsigned char *text = NULL;

	if (!entry || X509_NAME_get_index_by_NID(subject, kind, at) >= 0)
		return false;
	length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
	if (length > 0 && length <= (int)TLS_NAME_MAX) {
		memcpy(name, text, (size_t)length);
		name[length] = '\0';
	}
	OPENSSL_free(text);
	/* A zero byte within would cut it short. */
	return length > 0 && strlen(name) == (size_t)length && name_is_valid(name, TLS_NAME_MAX);
}

static bool find_role(const char *name, enum control_role *role)
{
	for (size_t i = 0; i < ARRAY_LEN(role_names); i++) {
		if (strcmp(role_names[i], name) != 0)
			continue;
		*role = (enum control_role)i;
		return true;
	}
	return false;
}

int tls_peer(const SSL *ssl, struct tls_peer *peer, struct error *error)
{
	const X509 *certificate = SSL_get0_peer_certificate(ssl);
	const X509_NAME *subject = certificate ? X509_get_subject_name(certificate) : NULL;
	char role[TLS_NAME_MAX + 1] = "";
	const unsigned char *protocol;
	unsigned length;

	SSL_get0_alpn_selected(ssl, &protocol, &length);
	if (length != strlen(CONTROL_ALPN) || memcmp(protocol, CONTROL_ALPN, length) != 0)
		return error_set(error, EPROTO, "does not speak " CONTROL_ALPN);
	if (!subject || SSL_get_verify_result(ssl) != X509_V_OK)
		return error_set(error, EACCES, "has shown no certificate");
	memset(peer, 0, sizeof(*peer));
	if (!subject_part(subject, NID_commonName, peer->name))
		return error_set(error, EACCES, "its certificate has no name (CN)");
	if (!subject_part(subject, NID_organizationalUnitName, role) ||
	    !find_role(role, &peer->role))
		return error_set(error, EACCES, "its certificate has no role (OU)");
	return 0;
}

static int own_name(const X509 *certificate, char name[TLS_NAME_MAX + 1], struct error *error)
{
	if (certificate && subject_part(X509_get_subject_name(certificate), NID_commonName, name))
		return 0;
	return error_set(error, EINVAL, "our own certificate has no name (CN)");
}

int tls_own_name(const SSL *ssl, char name[TLS_NAME_MAX + 1], struct error *error)
{
	return own_name(SSL_get_certificate(ssl), name, error);
}

int tls_context_name(const SSL_CTX *context, char name[TLS_NAME_MAX + 1], struct error *error)
{
	return own_name(SSL_CTX_get0_certificate(context), name, error);
}
