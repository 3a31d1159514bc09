/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "ca_inside.h"

static bool set_serial(X509_REVOKED *entry, const char *digits)
{
	BIGNUM *number = NULL;
	ASN1_INTEGER *serial = NULL;
	bool done = strspn(digits, "0123456789abcdef") == CA_SERIAL_SIZE - 1 &&
		    !digits[CA_SERIAL_SIZE - 1] && BN_hex2bn(&number, digits) != 0;

	serial = done ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
	done = serial && X509_REVOKED_set_serialNumber(entry, serial) == 1;
	ASN1_INTEGER_free(serial);
	BN_free(number);
	return done;
}

static bool add_entry(X509_CRL *list, const struct ca_revoked *revoked)
{
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)revoked->at);
	bool done = entry && at && set_serial(entry, revoked->serial) &&
		    X509_REVOKED_set_revocationDate(entry, at) == 1 &&
		    X509_CRL_add0_revoked(list, entry) == 1;

	ASN1_TIME_free(at);
	if (!done)
		X509_REVOKED_free(entry);
	return done;
}

static bool set_times(X509_CRL *list, int64_t now, unsigned seconds)
{
	ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)(now - CA_SKEW));
	ASN1_TIME *to = ASN1_TIME_set(NULL, (time_t)(now + seconds));
	bool done = from && to && X509_CRL_set1_lastUpdate(list, from) == 1 &&
		    X509_CRL_set1_nextUpdate(list, to) == 1;

	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	return done;
}

/* RFC 5280, 5.2.1 and 5.2.3 */
static bool add_extensions(X509_CRL *list, const struct ca *ca, uint64_t number)
{
	ASN1_INTEGER *count = ASN1_INTEGER_new();
	X509V3_CTX context;
	X509_EXTENSION *key = NULL;
	bool done = count && ASN1_INTEGER_set_uint64(count, number) == 1 &&
		    X509_CRL_add1_ext_i2d(list, NID_crl_number, count, 0, 0) == 1;

	X509V3_set_ctx(&context, ca->certificate, NULL, NULL, list, 0);
	if (done)
		key = X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier,
					  "keyid:always");
	done = key && X509_CRL_add_ext(list, key, -1) == 1;
	X509_EXTENSION_free(key);
	ASN1_INTEGER_free(count);
	return done;
}

static bool fill(X509_CRL *list, const struct ca *ca, const struct ca_revoked *revoked,
		 size_t count)
{
	if (X509_CRL_set_version(list, X509_CRL_VERSION_2) != 1 ||
	    X509_CRL_set_issuer_name(list, X509_get_subject_name(ca->certificate)) != 1)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!add_entry(list, &revoked[i]))
			return false;
	}
	return X509_CRL_sort(list) == 1;
}

int ca_revoke(const struct ca *ca, const struct ca_revoked *revoked, size_t count, uint64_t number,
	      int64_t now, unsigned seconds, char **text, struct error *error)
{
	X509_CRL *list = X509_CRL_new();
	BIO *bio = BIO_new(BIO_s_mem());
	bool done = list && bio && fill(list, ca, revoked, count) &&
		    set_times(list, now, seconds) && add_extensions(list, ca, number) &&
		    X509_CRL_sign(list, ca->key, EVP_sha384()) > 0 &&
		    PEM_write_bio_X509_CRL(bio, list) == 1;

	*text = ca_take_text(bio);
	X509_CRL_free(list);
	ERR_clear_error();
	if (done && *text)
		return 0;
	free(*text);
	*text = NULL;
	return error_set(error, EINVAL, "the list of revoked certificates cannot be made");
}
