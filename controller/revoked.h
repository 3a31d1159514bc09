/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates that are not to be taken any more: the authority's lists (CRLs), in one file of PEM.
 * The file is read again when it has changed, so that a list can be replaced while the host serves.
 * What cannot be read, has expired, or is not the authority's lets nobody in.
 */
#ifndef KARUTA_CONTROLLER_REVOKED_H
#define KARUTA_CONTROLLER_REVOKED_H

#include <openssl/ssl.h>
#include <sys/stat.h>

#include "base/error.h"

struct revoked {
	const char *file; /* NULL: no certificate is revoked */
	struct stat seen; /* when it was read last */
};

/* 1: the context has other lists than before; 0: the same; -errno: the file cannot be used. */
int revoked_look(struct revoked *revoked, SSL_CTX *context, struct error *error);

#endif
