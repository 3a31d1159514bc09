/* SPDX-License-Identifier: Apache-2.0 */
#include "ca_inside.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "base/name.h"

#define SECONDS_A_YEAR (INT64_C(31556952)) /* of the Gregorian calendar, on average */

/* ---- in common ---- */

int ca_no_password(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

char *ca_take_text(BIO *bio)
{
	char *bytes = NULL, *text = NULL;
	long length = bio ? BIO_get_mem_data(bio, &bytes) : 0;

	if (length > 0)
		text = strndup(bytes, (size_t)length);
	BIO_free(bio);
	return text;
}

bool ca_set_time(ASN1_TIME *time, int64_t at)
{
	return ASN1_TIME_set(time, (time_t)at) != NULL;
}

bool ca_get_time(const ASN1_TIME *time, int64_t *at)
{
	struct tm parts;

	if (ASN1_TIME_to_tm(time, &parts) != 1)
		return false;
	*at = timegm(&parts);
	return true;
}

bool ca_set_serial(X509 *certificate)
{
	uint8_t bytes[(CA_SERIAL_SIZE - 1) / 2] = {0};
	BIGNUM *number = NULL;
	bool done = RAND_bytes(bytes, sizeof(bytes)) == 1;

	bytes[0] |= 0x40; /* so many digits, always */
	number = done ? BN_bin2bn(bytes, sizeof(bytes), NULL) : NULL;
	done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
	BN_free(number);
	return done;
}

bool ca_set_name(X509_NAME *to, const char *name, const char *unit)
{
	return X509_NAME_add_entry_by_txt(to, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
					  -1, 0) == 1 &&
	       (!unit || X509_NAME_add_entry_by_txt(to, "OU", MBSTRING_ASC,
						    (const unsigned char *)unit, -1, -1, 0) == 1);
}

bool ca_add(X509 *certificate, X509 *issuer, int kind, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool done;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
	done = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return done;
}

bool ca_is_good_key(EVP_PKEY *key, bool others)
{
	char group[32];
	size_t length;

	if (!key || EVP_PKEY_get_group_name(key, group, sizeof(group), &length) != 1)
		return false;
	return !strcmp(group, "secp384r1") || (others && !strcmp(group, "prime256v1"));
}

/* ---- the authority ---- */

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	EVP_PKEY_free(ca->key);
	X509_free(ca->certificate);
	free(ca->text);
	free(ca);
}

static bool fill_own(X509 *certificate, EVP_PKEY *key, const char *name, int64_t now)
{
	X509_NAME *subject = X509_get_subject_name(certificate);

	/* Extensions name the key: it comes first. */
	return X509_set_version(certificate, X509_VERSION_3) == 1 && ca_set_serial(certificate) &&
	       ca_set_name(subject, name, NULL) &&
	       X509_set_issuer_name(certificate, subject) == 1 &&
	       X509_set_pubkey(certificate, key) == 1 &&
	       ca_set_time(X509_getm_notBefore(certificate), now - CA_SKEW) &&
	       ca_set_time(X509_getm_notAfter(certificate), now + CA_YEARS * SECONDS_A_YEAR) &&
	       ca_add(certificate, certificate, NID_basic_constraints,
		      "critical,CA:TRUE,pathlen:0") &&
	       ca_add(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	       ca_add(certificate, certificate, NID_subject_key_identifier, "hash") &&
	       X509_sign(certificate, key, EVP_sha384()) > 0;
}

static char *certificate_text(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio && PEM_write_bio_X509(bio, certificate) == 1)
		return ca_take_text(bio);
	BIO_free(bio);
	return NULL;
}

/* Takes both over. */
static int make(EVP_PKEY *key, X509 *certificate, struct ca **made, struct error *error)
{
	struct ca *ca = calloc(1, sizeof(*ca));

	if (ca) {
		ca->text = certificate_text(certificate);
		ca->key = key;
		ca->certificate = certificate;
	}
	if (ca && ca->text && ca_get_time(X509_get0_notAfter(certificate), &ca->not_after)) {
		*made = ca;
		return 0;
	}
	if (!ca) {
		EVP_PKEY_free(key);
		X509_free(certificate);
	}
	ca_free(ca);
	return error_set(error, ENOMEM, "authority: out of memory");
}

int ca_make(const char *name, int64_t now, struct ca **ca, struct error *error)
{
	EVP_PKEY *key;
	X509 *certificate;

	if (!name_is_valid(name, CA_NAME_MAX))
		return error_set(error, EINVAL, "authority: %.64s: no name that it can have", name);
	key = EVP_EC_gen("P-384");
	certificate = X509_new();
	if (key && certificate && fill_own(certificate, key, name, now))
		return make(key, certificate, ca, error);
	EVP_PKEY_free(key);
	X509_free(certificate);
	ERR_clear_error();
	return error_set(error, ENOMEM, "authority: cannot be made");
}

static X509 *read_certificate(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, ca_no_password, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	return certificate;
}

static EVP_PKEY *read_key(const uint8_t *bytes, size_t length)
{
	const uint8_t *at = bytes;
	EVP_PKEY *key = length <= LONG_MAX ? d2i_AutoPrivateKey(NULL, &at, (long)length) : NULL;

	ERR_clear_error();
	if (!key || at == bytes + length)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static const char *what_is_wrong(EVP_PKEY *key, X509 *certificate)
{
	const char *wrong = NULL;

	if (!ca_is_good_key(key, false))
		wrong = "its key is not one on P-384";
	else if (!certificate || X509_check_ca(certificate) != 1)
		wrong = "its certificate is not an authority's";
	else if (X509_check_private_key(certificate, key) != 1)
		wrong = "its key is not that of its certificate";
	else if (X509_verify(certificate, key) != 1)
		wrong = "its certificate is not signed by itself";
	ERR_clear_error();
	return wrong;
}

int ca_open(const void *key_bytes, size_t key_length, const char *text, struct ca **ca,
	    struct error *error)
{
	EVP_PKEY *key = read_key(key_bytes, key_length);
	X509 *certificate = read_certificate(text);
	const char *wrong = what_is_wrong(key, certificate);

	if (!wrong)
		return make(key, certificate, ca, error);
	EVP_PKEY_free(key);
	X509_free(certificate);
	return error_set(error, EINVAL, "authority: %s", wrong);
}

const char *ca_certificate(const struct ca *ca)
{
	return ca->text;
}

int ca_key(const struct ca *ca, uint8_t **key, size_t *length, struct error *error)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(ca->key);
	int size;

	*key = NULL;
	size = info ? i2d_PKCS8_PRIV_KEY_INFO(info, key) : -1;
	PKCS8_PRIV_KEY_INFO_free(info);
	ERR_clear_error();
	if (size <= 0)
		return error_set(error, ENOMEM, "authority: out of memory");
	*length = (size_t)size;
	return 0;
}

void ca_wipe(void *secret, size_t length)
{
	OPENSSL_clear_free(secret, length);
}

/* ---- times ---- */

bool ca_is_due(int64_t not_before, int64_t not_after, int64_t now)
{
	int64_t life, left;

	if (now >= not_after || not_before >= not_after ||
	    __builtin_sub_overflow(not_after, not_before, &life) ||
	    __builtin_sub_overflow(not_after, now, &left))
		return true;
	return left <= life / 3;
}

int ca_look(const char *text, struct ca_issued *issued, struct error *error)
{
	X509 *certificate = read_certificate(text);
	BIGNUM *number =
		certificate ? ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL) : NULL;
	char *digits = number ? BN_bn2hex(number) : NULL;
	bool done = digits && strlen(digits) < CA_SERIAL_SIZE && !BN_is_negative(number) &&
		    ca_get_time(X509_get0_notBefore(certificate), &issued->not_before) &&
		    ca_get_time(X509_get0_notAfter(certificate), &issued->not_after);

	for (size_t i = 0; done && (!i || digits[i - 1]); i++)
		issued->serial[i] =
			(char)(digits[i] >= 'A' && digits[i] <= 'F' ? digits[i] + 32 : digits[i]);
	OPENSSL_free(digits);
	BN_free(number);
	X509_free(certificate);
	ERR_clear_error();
	return done ? 0 : error_set(error, EINVAL, "not a certificate of this authority, in PEM");
}
