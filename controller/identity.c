/* SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/base.h"

#define AUTHORITIES_MAX 8

/* ---- the key and the request ---- */

static bool set_subject(X509_REQ *request, const char *name)
{
	X509_NAME *subject = X509_REQ_get_subject_name(request);

	return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name,
					  -1, -1, 0) == 1;
}

static bool write_request(X509_REQ *request, char text[ENROL_REQUEST_MAX])
{
	BIO *bio = BIO_new(BIO_s_mem());
	int length = bio && PEM_write_bio_X509_REQ(bio, request) == 1
			     ? BIO_read(bio, text, ENROL_REQUEST_MAX - 1)
			     : 0;

	if (length > 0)
		text[length] = '\0';
	BIO_free(bio);
	return length > 0;
}

int identity_make(const char *name, EVP_PKEY **key, char text[ENROL_REQUEST_MAX],
		  struct error *error)
{
	X509_REQ *request = X509_REQ_new();
	bool done;

	*key = EVP_EC_gen("P-384");
	done = request && *key && set_subject(request, name) &&
	       X509_REQ_set_pubkey(request, *key) == 1 &&
	       X509_REQ_sign(request, *key, EVP_sha384()) > 0 && write_request(request, text);
	X509_REQ_free(request);
	if (done)
		return 0;
	EVP_PKEY_free(*key);
	*key = NULL;
	return error_set(error, ENOMEM, "no key can be made");
}

/* ---- the certificate ---- */

/* What is encrypted is refused: nobody is to be asked for a password. */
static int no_password(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

/* All that there are in the text, and at least one, of at most `most`. */
static STACK_OF(X509) * read_certificates(const struct control_value *text, int most)
{
	STACK_OF(X509) *found = sk_X509_new_null();
	BIO *bio = BIO_new_mem_buf(text->text, (int)text->length);
	X509 *next;

	while (found && bio && (next = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		if (sk_X509_num(found) == most || sk_X509_push(found, next) <= 0) {
			X509_free(next);
			sk_X509_pop_free(found, X509_free);
			found = NULL;
		}
	}
	BIO_free(bio);
	ERR_clear_error();
	if (found && sk_X509_num(found) > 0)
		return found;
	sk_X509_free(found);
	return NULL;
}

static bool has_part(const X509_NAME *subject, int kind, const char *wanted)
{
	int at = X509_NAME_get_index_by_NID(subject, kind, -1);
	const ASN1_STRING *part;

	if (at < 0 || X509_NAME_get_index_by_NID(subject, kind, at) >= 0)
		return false;
	part = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	return ASN1_STRING_length(part) == (int)strlen(wanted) &&
	       !memcmp(ASN1_STRING_get0_data(part), wanted, strlen(wanted));
}

static int verify(X509 *certificate, X509_STORE *authority, struct error *error)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int why = X509_V_ERR_OUT_OF_MEM;

	if (context && X509_STORE_CTX_init(context, authority, certificate, NULL) == 1 &&
	    X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER) == 1) {
		X509_verify_cert(context);
		why = X509_STORE_CTX_get_error(context);
	}
	X509_STORE_CTX_free(context);
	ERR_clear_error();
	return why == X509_V_OK ? 0
				: error_set(error, EINVAL, "certificate: %s",
					    X509_verify_cert_error_string(why));
}

static int check(struct identity *identity, const char *name, X509_STORE *authority,
		 struct error *error)
{
	const X509_NAME *subject = X509_get_subject_name(identity->certificate);

	if (X509_check_private_key(identity->certificate, identity->key) != 1) {
		ERR_clear_error();
		return error_set(error, EINVAL, "certificate: not for the key that was asked for");
	}
	if (!has_part(subject, NID_commonName, name))
		return error_set(error, EINVAL, "certificate: its name (CN) is not %s", name);
	if (!has_part(subject, NID_organizationalUnitName, "host"))
		return error_set(error, EINVAL, "certificate: its role (OU) is not host");
	return verify(identity->certificate, authority, error);
}

static int take_authority(X509_STORE *store, STACK_OF(X509) * authority, struct error *error)
{
	for (int i = 0; i < sk_X509_num(authority); i++) {
		X509 *one = sk_X509_value(authority, i);

		/* 1: by its basic constraints, not only because it is old or self-signed */
		if (X509_check_ca(one) != 1)
			return error_set(error, EINVAL, "authority: may not sign certificates");
		if (X509_STORE_add_cert(store, one) != 1)
			return error_set(error, ENOMEM, "authority: out of memory");
	}
	return 0;
}

int identity_read(struct identity *identity, EVP_PKEY *key, const char *name,
		  const struct control_value *certificate, const struct control_value *authority,
		  struct error *error)
{
	STACK_OF(X509) *found = read_certificates(certificate, 1);
	X509_STORE *store = X509_STORE_new();
	int ret = 0;

	*identity = (struct identity){.key = key,
				      .certificate = found ? sk_X509_pop(found) : NULL,
				      .authority = read_certificates(authority, AUTHORITIES_MAX)};
	sk_X509_free(found);
	if (!identity->certificate)
		ret = error_set(error, EINVAL, "certificate: must be one, in PEM");
	else if (!identity->authority || !store)
		ret = error_set(error, EINVAL, "authority: must be certificates, in PEM");
	if (ret == 0)
		ret = take_authority(store, identity->authority, error);
	if (ret == 0)
		ret = check(identity, name, store, error);
	X509_STORE_free(store);
	return ret;
}

int identity_read_next(struct identity *identity, EVP_PKEY *key, const char *name,
		       const struct control_value *certificate, X509_STORE *authority,
		       struct error *error)
{
	STACK_OF(X509) *found = read_certificates(certificate, 1);

	*identity = (struct identity){.key = key, .certificate = found ? sk_X509_pop(found) : NULL};
	sk_X509_free(found);
	if (!identity->certificate)
		return error_set(error, EINVAL, "certificate: must be one, in PEM");
	return check(identity, name, authority, error);
}

void identity_free(struct identity *identity)
{
	X509_free(identity->certificate);
	sk_X509_pop_free(identity->authority, X509_free);
	*identity = (struct identity){0};
}
