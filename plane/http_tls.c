/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates, ours and the clients'. The library would keep one for its whole life: sessions get
 * theirs here instead, so that a new one can take the place of one that ends.
 */
#include <errno.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "http_private.h"

/* ---- ours ---- */

static int load(gnutls_certificate_credentials_t credentials, const char *certificate,
		const char *key, const char *authority, struct error *error)
{
	gnutls_datum_t chain = {(unsigned char *)(uintptr_t)certificate,
				(unsigned)strlen(certificate)};
	gnutls_datum_t secret = {(unsigned char *)(uintptr_t)key, (unsigned)strlen(key)};
	int ret = gnutls_certificate_set_x509_key_mem(credentials, &chain, &secret,
						      GNUTLS_X509_FMT_PEM);

	if (ret < 0)
		return error_set(error, EINVAL, "the plane's certificate and key: %s",
				 gnutls_strerror(ret));
	if (authority) {
		gnutls_datum_t trusted = {(unsigned char *)(uintptr_t)authority,
					  (unsigned)strlen(authority)};

		ret = gnutls_certificate_set_x509_trust_mem(credentials, &trusted,
							    GNUTLS_X509_FMT_PEM);
	}
	if (authority && ret < 1)
		return error_set(error, EINVAL, "the certificate of the plane's authority: %s",
				 ret < 0 ? gnutls_strerror(ret) : "there is none");
	return 0;
}

int http_identity_make(const char *certificate, const char *key, const char *authority,
		       struct http_identity **identity, struct error *error)
{
	struct http_identity *made = calloc(1, sizeof(*made));
	int ret;

	if (!made || gnutls_certificate_allocate_credentials(&made->credentials) < 0) {
		free(made);
		return error_set(error, ENOMEM, "out of memory");
	}
	made->users = 1;
	ret = load(made->credentials, certificate, key, authority, error);
	if (ret < 0) {
		http_identity_drop(made);
		return ret;
	}
	*identity = made;
	return 0;
}

void http_identity_drop(struct http_identity *identity)
{
	if (--identity->users)
		return;
	gnutls_certificate_free_credentials(identity->credentials);
	free(identity);
}

/* ---- the client's ---- */

/* Of the handshake: a certificate that is shown has to be good, for a client. */
static int verify(gnutls_session_t session)
{
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT,
	};
	unsigned count = 0, status = 0;

	if (!gnutls_certificate_get_peers(session, &count) || count == 0)
		return 0;
	if (gnutls_certificate_verify_peers(session, &purpose, 1, &status) < 0 || status)
		return GNUTLS_E_CERTIFICATE_ERROR;
	return 0;
}

int http_identity_use(struct http_identity *identity, gnutls_session_t session, bool ask)
{
	if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, identity->credentials) < 0)
		return -ENOMEM;
	if (ask) {
		gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
		gnutls_session_set_verify_function(session, verify);
	}
	return 0;
}

/* There is exactly one of the kind, and it looks like a name. */
static bool read_part(gnutls_x509_crt_t certificate, const char *kind, char name[64])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.@";
	char another[64];
	size_t length = 64, more = sizeof(another);

	if (gnutls_x509_crt_get_dn_by_oid(certificate, kind, 0, 0, name, &length) < 0)
		return false;
	if (gnutls_x509_crt_get_dn_by_oid(certificate, kind, 1, 0, another, &more) !=
	    GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		return false;
	return length && strlen(name) == length && strspn(name, allowed) == length;
}

/* At most 20 bytes (RFC 5280, 4.1.2.2), and one in front of a number whose first bit is set. */
static bool read_serial(gnutls_x509_crt_t certificate, char text[HTTP_SERIAL_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[HTTP_SERIAL_SIZE / 2 + 1];
	size_t length = sizeof(bytes), from = 0;

	if (gnutls_x509_crt_get_serial(certificate, bytes, &length) < 0)
		return false;
	while (from < length && !bytes[from])
		from++;
	if (2 * (length - from) >= HTTP_SERIAL_SIZE)
		return false;
	for (; from < length; from++) {
		*text++ = digits[bytes[from] >> 4];
		*text++ = digits[bytes[from] & 15];
	}
	*text = '\0';
	return true;
}

void http_certificate_read(struct http_connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection->library, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	struct http_certificate *read = &connection->certificate;
	const gnutls_datum_t *chain = NULL;
	gnutls_x509_crt_t certificate;
	unsigned count = 0;

	connection->certificate_read = true;
	if (info && connection->http->authority)
		chain = gnutls_certificate_get_peers(info->tls_session, &count);
	if (!chain || count == 0 || gnutls_x509_crt_init(&certificate) < 0)
		return;
	if (gnutls_x509_crt_import(certificate, chain, GNUTLS_X509_FMT_DER) == 0) {
		read->shown = true;
		connection->certificate_end = gnutls_x509_crt_get_expiration_time(certificate);
		if (!read_part(certificate, GNUTLS_OID_X520_COMMON_NAME, read->name))
			read->name[0] = '\0';
		if (!read_part(certificate, GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME, read->unit))
			read->unit[0] = '\0';
		if (!read_serial(certificate, read->serial))
			read->serial[0] = '\0';
	}
	gnutls_x509_crt_deinit(certificate);
}
