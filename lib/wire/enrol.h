/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a host gets its first certificate. Nobody has one yet that the other could check: both know a
 * token, which a person has carried from the plane to the host. The plane calls, as always:
 *
 *	1. TLS 1.3 with a key made from the token (enrol/psk.h), ALPN "karuta-enrol/1"
 *	2. plane: enrol-request   host: makes a key that never leaves it; {"request": a CSR, in PEM}
 *	3. plane: enrol-install   host: checks it, writes its files, says 0, and is enrolled
 *
 * The frames are those of control.h, with a table of verbs of their own: what is to be had here is
 * not to be had from a controller that serves, and the other way round.
 */
#ifndef KARUTA_WIRE_ENROL_H
#define KARUTA_WIRE_ENROL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "control.h"

#define ENROL_ALPN	      "karuta-enrol/1"
#define ENROL_SECRET_SIZE     32u
#define ENROL_TOKEN_SIZE      62u  /* as text, terminated */
#define ENROL_SECONDS	      600u /* that a token is good for, at both ends */
#define ENROL_NAME_MAX	      63u
#define ENROL_REQUEST_MAX     4096u /* bytes of PEM */
#define ENROL_CERTIFICATE_MAX 8192u
#define ENROL_AUTHORITY_MAX   16384u
#define ENROL_FRAME_MAX	      32768u /* either way */

/* Indices of enrol_verbs. */
enum { ENROL_REQUEST, ENROL_INSTALL };

extern const struct control_verb enrol_verbs[]; /* ends with one without a name */

/* "karuta-enrol-" and the secret with its CRC-32 in base64url (RFC 4648, 5): a slip of the pen is
 * told before anybody is asked. */
void enrol_token_write(const uint8_t secret[ENROL_SECRET_SIZE], char token[ENROL_TOKEN_SIZE]);
/* -EINVAL; the error says what is wrong with it and never what it is. */
int enrol_token_read(const char *text, size_t length, uint8_t secret[ENROL_SECRET_SIZE],
		     struct error *error);

#endif
