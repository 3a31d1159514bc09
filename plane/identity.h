/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the plane is: its authority, whose key and certificate are ca.key (mode 0600) and ca.pem of
 * its folder, made at the first start; and what that has signed for the plane itself at this start,
 * which is in memory only: one certificate to be called, one to call hosts with.
 */
#ifndef KARUTA_PLANE_IDENTITY_H
#define KARUTA_PLANE_IDENTITY_H

#include <openssl/ssl.h>

#include "base/error.h"
#include "ca.h"

struct identity {
	struct ca *ca;
	struct ca_issued server, caller;
	SSL_CTX *tls; /* to call hosts */
};

/* `names`: what clients call the plane by, as addresses or names. */
int identity_open(struct identity *identity, const char *folder, const char *const *names,
		  size_t name_count, struct error *error);
/* A third of the life of its certificates is left. */
bool identity_is_due(const struct identity *identity, int64_t now);
/* New ones; `tls` is another then, and nobody may have the one before. -errno: all is as it was. */
int identity_renew(struct identity *identity, const char *const *names, size_t name_count,
		   int64_t now, struct error *error);
void identity_close(struct identity *identity);

#endif
