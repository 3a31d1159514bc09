/* SPDX-License-Identifier: Apache-2.0 */
/* What the authority's files have in common. */
#ifndef KARUTA_PLANE_CA_INSIDE_H
#define KARUTA_PLANE_CA_INSIDE_H

#include <openssl/x509.h>

#include "ca.h"

struct ca {
	EVP_PKEY *key;
	X509 *certificate;
	char *text; /* of the certificate */
	int64_t not_after;
};

/* What is encrypted is refused: nobody is to be asked for a password. */
int ca_no_password(char *buffer, int size, int writing, void *context);
/* A terminated copy of what is in it, which is freed; NULL: there is nothing. */
char *ca_take_text(BIO *bio);
bool ca_set_time(ASN1_TIME *time, int64_t at);
bool ca_get_time(const ASN1_TIME *time, int64_t *at);
/* 128 random bits, not 0. */
bool ca_set_serial(X509 *certificate);
bool ca_set_name(X509_NAME *to, const char *name, const char *unit);
/* As in openssl.cnf; what comes from others is checked before. */
bool ca_add(X509 *certificate, X509 *issuer, int kind, const char *value);
/* P-384; or P-256 where others choose. */
bool ca_is_good_key(EVP_PKEY *key, bool others);

#endif
