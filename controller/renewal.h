/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's certificate, and the next one: verbs renew-request and renew-install. The next one's
 * key is made here and is in locked memory until there is a certificate for it. It is forgotten
 * when the controller ends, and then asked for again.
 *
 * At any moment a key and a certificate that fit are on the disk (identity.h), and who is connected
 * stays so.
 */
#ifndef KARUTA_CONTROLLER_RENEWAL_H
#define KARUTA_CONTROLLER_RENEWAL_H

#include "call/tls.h"
#include "identity.h"

struct renewal {
	const struct tls_files *files; /* of the host */
	SSL_CTX *tls;		       /* what newcomers are shown */
	EVP_PKEY *key;		       /* of the next one; NULL: nobody has asked */
	char request[ENROL_REQUEST_MAX];
};

/* What was interrupted is finished, and `tls` is made. `files` stay the caller's. */
int renewal_open(struct renewal *renewal, const struct tls_files *files, struct error *error);
/* A request for a certificate, in PEM; the same each time until there is one. */
int renewal_request(struct renewal *renewal, const char **request, struct error *error);
/* Checked, on the disk, and shown to newcomers when it returns 0; else all is as it was. */
int renewal_install(struct renewal *renewal, const struct control_value *certificate,
		    struct error *error);
void renewal_close(struct renewal *renewal);

#endif
