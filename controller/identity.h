/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host shows its callers: a key that it has made itself and that never leaves it, and the
 * certificate for it. All of it is on the disk before anything has its name, and the certificate
 * has its name last: whoever finds that finds the rest.
 *
 * The next pair takes the names of the one before in two steps, the key first. Between them the
 * certificate for it is beside, as NAME.new: identity_mend() gives it its name.
 */
#ifndef KARUTA_CONTROLLER_IDENTITY_H
#define KARUTA_CONTROLLER_IDENTITY_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "wire/control.h"
#include "wire/enrol.h"

/* A key on P-384 and a request to certify it (PKCS #10, in PEM). The caller's, EVP_PKEY_free(). */
int identity_make(const char *name, EVP_PKEY **key, char request[ENROL_REQUEST_MAX],
		  struct error *error);

/* Both have been checked. */
struct identity {
	EVP_PKEY *key; /* somebody else's */
	X509 *certificate;
	STACK_OF(X509) * authority; /* NULL: the one that there is stays */
};

/* The certificate is for this key and this host, good now, and signed by the authority; PEM, as it
 * came. -EINVAL with what is wrong. identity_free() in any case. */
int identity_read(struct identity *identity, EVP_PKEY *key, const char *name,
		  const struct control_value *certificate, const struct control_value *authority,
		  struct error *error);
/* The same of one that follows another; `authority` is who signs. */
int identity_read_next(struct identity *identity, EVP_PKEY *key, const char *name,
		       const struct control_value *certificate, X509_STORE *authority,
		       struct error *error);
void identity_free(struct identity *identity);

/* Is there one in the folder? Then it is not to be enrolled again. */
int identity_must_be_new(const char *folder, struct error *error);
/* The first one: host.key, host.pem and ca.pem in the folder, which is there. */
int identity_write_first(const struct identity *identity, const char *folder, struct error *error);
/* The next one: key and certificate, in the place of those that the paths name. -errno: what is
 * there is as good as it was. */
int identity_write_next(const struct identity *identity, const char *key, const char *certificate,
			struct error *error);
/* After a loss of power, or of the controller: the files of the paths fit then. -EINVAL: they do
 * not. */
int identity_mend(const char *key, const char *certificate, struct error *error);
/* It is the path of a file and no "fd:N". */
bool identity_is_file(const char *path);

#endif
