/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/name.h"
#include "ca_inside.h"

#define LABEL_MAX 63u /* RFC 1035, 2.3.4 */

/* ---- what is wanted ---- */

static bool is_numeric(const char *address)
{
	struct in6_addr bytes;

	return inet_pton(AF_INET, address, &bytes) == 1 ||
	       inet_pton(AF_INET6, address, &bytes) == 1;
}

/* RFC 1123, 2.1: labels of letters, digits and '-', which is not at an end; the last is no number,
 * or it would be an address that is none. */
static bool is_host_name(const char *text)
{
	size_t length = strnlen(text, CA_ADDRESS_MAX + 1), label = 0;
	bool digits = true;

	if (!length || length > CA_ADDRESS_MAX)
		return false;
	for (size_t i = 0; i <= length; i++) {
		char c = text[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (c == '.' || !c) {
			if (!label || label > LABEL_MAX || text[i - 1] == '-' || (!c && digits))
				return false;
			label = 0;
			digits = true;
			continue;
		}
		if (!letter && !(c >= '0' && c <= '9') && !(c == '-' && label))
			return false;
		digits = digits && !letter && c != '-';
		label++;
	}
	return true;
}

static bool calls(const struct ca_want *want)
{
	return want->kind == CA_CALLER || want->kind == CA_CLIENT;
}

static int check_addresses(const struct ca_want *want, struct error *error)
{
	if (calls(want))
		return want->address_count ? error_set(error, EINVAL,
						       "%s: a client has no addresses", want->name)
					   : 0;
	if (!want->address_count || want->address_count > CA_ADDRESSES_MAX)
		return error_set(error, EINVAL, "%s: 1 to %u addresses", want->name,
				 CA_ADDRESSES_MAX);
	for (size_t i = 0; i < want->address_count; i++) {
		if (!is_numeric(want->addresses[i]) && !is_host_name(want->addresses[i]))
			return error_set(error, EINVAL,
					 "%s: %.64s: neither an address in numbers nor a name",
					 want->name, want->addresses[i]);
	}
	return 0;
}

/* NULL: there is no such role. */
static const char *unit_of(const struct ca_want *want)
{
	static const char *const units[] = {"plane-reader", "plane-operator", "plane-admin"};
	const size_t prefix = strlen("plane-");

	if (want->kind == CA_HOST)
		return "host";
	if (want->kind == CA_SERVER)
		return "plane";
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (want->role && !strcmp(want->role, units[i] + prefix))
			return want->kind == CA_CLIENT ? units[i] : units[i] + prefix;
	}
	return NULL;
}

static int check(const struct ca *ca, const struct ca_want *want, struct error *error)
{
	if (!name_is_valid(want->name, CA_NAME_MAX))
		return error_set(error, EINVAL, "%.64s: no name for a certificate", want->name);
	if (!unit_of(want))
		return error_set(error, EINVAL, "%s: the role must be reader, operator or admin",
				 want->name);
	if (want->seconds <= 0 || want->seconds > CA_SECONDS_MAX)
		return error_set(error, EINVAL, "%s: good for 1 to %lld seconds", want->name,
				 (long long)CA_SECONDS_MAX);
	if (want->now >= ca->not_after)
		return error_set(error, EKEYEXPIRED, "the authority's own certificate has expired");
	return check_addresses(want, error);
}

/* ---- the certificate ---- */

static bool add_addresses(X509 *certificate, const struct ca *ca, const struct ca_want *want)
{
	char text[CA_ADDRESSES_MAX * (CA_ADDRESS_MAX + 5) + 1];
	size_t length = 0;

	for (size_t i = 0; i < want->address_count; i++)
		length += (size_t)snprintf(
			text + length, sizeof(text) - length, "%s%s:%s", i ? "," : "",
			is_numeric(want->addresses[i]) ? "IP" : "DNS", want->addresses[i]);
	return !want->address_count ||
	       ca_add(certificate, ca->certificate, NID_subject_alt_name, text);
}

static bool fill(X509 *certificate, const struct ca *ca, const struct ca_want *want, EVP_PKEY *key)
{
	const char *use = calls(want) ? "clientAuth" : "serverAuth";
	int64_t end = want->now + want->seconds;

	return X509_set_version(certificate, X509_VERSION_3) == 1 && ca_set_serial(certificate) &&
	       ca_set_name(X509_get_subject_name(certificate), want->name, unit_of(want)) &&
	       X509_set_issuer_name(certificate, X509_get_subject_name(ca->certificate)) == 1 &&
	       X509_set_pubkey(certificate, key) == 1 &&
	       ca_set_time(X509_getm_notBefore(certificate), want->now - CA_SKEW) &&
	       ca_set_time(X509_getm_notAfter(certificate),
			   end < ca->not_after ? end : ca->not_after) &&
	       ca_add(certificate, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") &&
	       ca_add(certificate, ca->certificate, NID_key_usage, "critical,digitalSignature") &&
	       ca_add(certificate, ca->certificate, NID_ext_key_usage, use) &&
	       ca_add(certificate, ca->certificate, NID_subject_key_identifier, "hash") &&
	       ca_add(certificate, ca->certificate, NID_authority_key_identifier, "keyid:always") &&
	       add_addresses(certificate, ca, want) &&
	       X509_sign(certificate, ca->key, EVP_sha384()) > 0;
}

static bool has_addresses(X509 *certificate, const struct ca_want *want)
{
	for (size_t i = 0; i < want->address_count; i++) {
		const char *address = want->addresses[i];

		if ((is_numeric(address) ? X509_check_ip_asc(certificate, address, 0)
					 : X509_check_host(certificate, address, 0, 0, NULL)) != 1)
			return false;
	}
	return true;
}

/* What its holders' peers will look at, before anybody has it. */
static bool is_as_wanted(X509 *certificate, const struct ca *ca, const struct ca_want *want)
{
	return X509_check_ca(certificate) == 0 &&
	       X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) == !calls(want) &&
	       X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) == calls(want) &&
	       X509_check_issued(ca->certificate, certificate) == X509_V_OK &&
	       X509_verify(certificate, ca->key) == 1 && has_addresses(certificate, want);
}

static int issue(const struct ca *ca, const struct ca_want *want, EVP_PKEY *key,
		 struct ca_issued *issued, struct error *error)
{
	X509 *certificate = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	bool done = certificate && bio && fill(certificate, ca, want, key) &&
		    is_as_wanted(certificate, ca, want) &&
		    PEM_write_bio_X509(bio, certificate) == 1;

	issued->certificate = ca_take_text(bio);
	X509_free(certificate);
	ERR_clear_error();
	if (!done || !issued->certificate)
		return error_set(error, ENOMEM, "%s: no certificate can be made", want->name);
	return ca_look(issued->certificate, issued, error);
}

/* ---- for whom ---- */

static int read_request(const char *text, size_t length, EVP_PKEY **key, struct error *error)
{
	BIO *bio = length && length <= CA_REQUEST_MAX ? BIO_new_mem_buf(text, (int)length) : NULL;
	X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, ca_no_password, NULL) : NULL;
	EVP_PKEY *found = request ? X509_REQ_get_pubkey(request) : NULL;
	const char *wrong = NULL;

	if (!request)
		wrong = "not a request for a certificate, in PEM";
	else if (!ca_is_good_key(found, true))
		wrong = "its key is not one on P-256 or P-384";
	else if (X509_REQ_verify(request, found) != 1)
		wrong = "whoever made it does not have the key";
	X509_REQ_free(request);
	BIO_free(bio);
	ERR_clear_error();
	if (!wrong) {
		*key = found;
		return 0;
	}
	EVP_PKEY_free(found);
	return error_set(error, EINVAL, "request: %s", wrong);
}

int ca_issue(const struct ca *ca, const struct ca_want *want, const char *request, size_t length,
	     struct ca_issued *issued, struct error *error)
{
	EVP_PKEY *key = NULL;
	int ret = check(ca, want, error);

	*issued = (struct ca_issued){0};
	if (ret == 0)
		ret = read_request(request, length, &key, error);
	if (ret == 0)
		ret = issue(ca, want, key, issued, error);
	EVP_PKEY_free(key);
	if (ret < 0)
		ca_issued_free(issued);
	return ret;
}

static char *key_text(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());

	if (bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		return ca_take_text(bio);
	BIO_free(bio);
	return NULL;
}

int ca_issue_own(const struct ca *ca, const struct ca_want *want, struct ca_issued *issued,
		 struct error *error)
{
	EVP_PKEY *key = NULL;
	int ret = check(ca, want, error);

	*issued = (struct ca_issued){0};
	if (ret == 0) {
		key = EVP_EC_gen("P-384");
		issued->key = key ? key_text(key) : NULL;
	}
	if (ret == 0)
		ret = issued->key ? issue(ca, want, key, issued, error)
				  : error_set(error, ENOMEM, "%s: no key can be made", want->name);
	EVP_PKEY_free(key);
	ERR_clear_error();
	if (ret < 0)
		ca_issued_free(issued);
	return ret;
}

void ca_issued_free(struct ca_issued *issued)
{
	if (issued->key)
		explicit_bzero(issued->key, strlen(issued->key));
	free(issued->key);
	free(issued->certificate);
	*issued = (struct ca_issued){0};
}
