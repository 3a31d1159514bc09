/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks, and what they may do: by token ("Authorization: Bearer karuta_...", RFC 6750) or by
 * client certificate. A token counts before a certificate.
 *
 * Of a token only the SHA-256 is kept, in an item "tokens/<id>" of the store, whose id is the
 * beginning of that, so that one read finds it:
 *
 *	{"name": "ann", "role": "operator", "sha256": "<64 digits>", "created": 1795726500,
 *	 "expires": 1827262500}
 *
 * Times are in seconds since 1970; expires 0: it does not.
 *
 * A client's certificate has the name as its CN and "plane-" and the role as its OU. It counts as
 * long as "certificates/<serial number>" is there, with the same name and role:
 *
 *	{"name": "ann", "role": "operator", ...}
 */
#ifndef KARUTA_PLANE_AUTH_H
#define KARUTA_PLANE_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "http.h"
#include "problem.h"
#include "store.h"

#define AUTH_NAME_SIZE	  64u
#define AUTH_TOKEN_SIZE	  51u /* "karuta_", 43 of base64url (RFC 4648, 5; 256 bits), 0 */
#define AUTH_ID_SIZE	  25u /* 24 digits, 0 */
#define AUTH_VALUE_SIZE	  512u
#define AUTH_TOKENS	  "tokens"
#define AUTH_CERTIFICATES "certificates"

/* Each may do what those before it may. */
enum auth_role { AUTH_NOBODY, AUTH_READER, AUTH_OPERATOR, AUTH_ADMIN };

struct auth_caller {
	char name[AUTH_NAME_SIZE]; /* "": has shown nothing */
	enum auth_role role;
};

const char *auth_role_name(enum auth_role role);
/* "reader", "operator", "admin"; false: none of them. */
bool auth_role_find(const char *name, enum auth_role *role);

/* Nobody is AUTH_NOBODY, and so is who has shown a certificate that is no client's, by name. -1:
 * what was shown is not good, or the store cannot be read; `problem` is set. */
int auth_find_caller(struct store *store, const struct http_exchange *exchange, int64_t now,
		     struct auth_caller *caller, struct problem *problem);

struct auth_token {
	const char *name;
	enum auth_role role;
	int64_t expires; /* 0: it does not */
};

/* Makes a token and the value of its item, "tokens/<id>", which the caller stores. The caller wipes
 * `token`, which cannot be had again. -EINVAL: the name, the role, or an end that has passed. */
int auth_make_token(const struct auth_token *wanted, int64_t now, char token[AUTH_TOKEN_SIZE],
		    char id[AUTH_ID_SIZE], char value[AUTH_VALUE_SIZE], struct error *error);
/* The same, and stores it. */
int auth_create_token(struct store *store, const char *name, enum auth_role role, int64_t now,
		      int64_t expires, char token[AUTH_TOKEN_SIZE], char id[AUTH_ID_SIZE],
		      struct error *error);

#endif
