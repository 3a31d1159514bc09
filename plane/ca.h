/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plane's certificate authority: it says who is a host, who a caller of hosts, who a client of
 * the plane, and who the plane is. What it makes is for karuta's own TLS and not for the world's. A
 * certificate says who its holder is (CN), what that is (OU), and, where it serves, the addresses
 * that it is called by. All of that is the plane's decision: of a request for a certificate (PKCS
 * #10) only the public key counts, and that its maker has the private one.
 *
 * Keys are on P-384 (those of others on P-256 or P-384), signatures are ECDSA with SHA-384, serial
 * numbers 128 random bits. Times are seconds since 1970 and parameters, nothing here asks a clock.
 * Nothing here keeps a file: the authority's key is handed out and taken as bytes, for whoever
 * wraps and stores it.
 */
#ifndef KARUTA_PLANE_CA_H
#define KARUTA_PLANE_CA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CA_NAME_MAX	 63u
#define CA_ADDRESS_MAX	 253u /* RFC 1035, 2.3.4, as text */
#define CA_ADDRESSES_MAX 16u
#define CA_REQUEST_MAX	 4096u /* bytes of PEM */
#define CA_SERIAL_SIZE	 33u   /* hexadecimal digits, terminated */
#define CA_YEARS	 10u   /* of its own certificate */
#define CA_DAY		 INT64_C(86400)
#define CA_SECONDS	 (90 * CA_DAY) /* of a host's, and of the plane's own */
#define CA_SECONDS_MAX	 (825 * CA_DAY)
#define CA_SKEW		 300 /* seconds that a holder's clock may be slow */

struct ca;

/* A new one. `name` is its CN. The caller's, ca_free(). */
int ca_make(const char *name, int64_t now, struct ca **ca, struct error *error);
/* The one of this key (PKCS #8, in DER) and certificate (PEM). -EINVAL: they are not an
 * authority's, or not of each other. */
int ca_open(const void *key, size_t key_length, const char *certificate, struct ca **ca,
	    struct error *error);
/* NULL is allowed. */
void ca_free(struct ca *ca);

/* PEM; the authority's. */
const char *ca_certificate(const struct ca *ca);
/* As ca_open() takes it. The caller's, ca_wipe(). */
int ca_key(const struct ca *ca, uint8_t **key, size_t *length, struct error *error);
void ca_wipe(void *secret, size_t length);

/* ---- certificates ---- */

enum ca_kind {
	CA_HOST,   /* OU "host"; it serves */
	CA_SERVER, /* the plane itself, OU "plane"; it serves */
	CA_CALLER, /* of hosts: the plane, OU: its role; it calls */
	CA_CLIENT, /* of the plane, OU: "plane-" and its role, so that no host takes it; it calls */
};

struct ca_want {
	enum ca_kind kind;
	const char *name;	      /* CN */
	const char *role;	      /* of who calls: "reader", "operator" or "admin" */
	const char *const *addresses; /* of what serves: numbers or names, one at least */
	size_t address_count;
	int64_t now;
	int64_t seconds; /* that it is good for */
};

struct ca_issued {
	char *certificate;	     /* PEM */
	char *key;		     /* PEM; of ca_issue_own() */
	char serial[CA_SERIAL_SIZE]; /* lower case */
	int64_t not_before, not_after;
};

/* For the key of a request (PEM). -EINVAL: there is something wrong with the request or with what
 * is wanted. ca_issued_free(). */
int ca_issue(const struct ca *ca, const struct ca_want *want, const char *request, size_t length,
	     struct ca_issued *issued, struct error *error);
/* For a key that is made here: the plane's own. */
int ca_issue_own(const struct ca *ca, const struct ca_want *want, struct ca_issued *issued,
		 struct error *error);
void ca_issued_free(struct ca_issued *issued);

/* Is it time for another? When a third of its life is left. Pure. */
bool ca_is_due(int64_t not_before, int64_t not_after, int64_t now);
/* The same times, and the serial number, of any certificate (PEM); makes no copy of it. */
int ca_look(const char *certificate, struct ca_issued *issued, struct error *error);

#endif
