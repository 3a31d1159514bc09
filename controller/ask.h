/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a running controller and its answer, seen from the client. */
#ifndef KARUTA_CONTROLLER_ASK_H
#define KARUTA_CONTROLLER_ASK_H

#include <jansson.h>

#include "base/error.h"

#define ASK_EVER 0u

struct ask {
	const char *name;   /* of the instance */
	const char *socket; /* NULL: by the name */
	unsigned seconds;   /* to wait for the answer; ASK_EVER */
	int descriptor;	    /* to send along; -1 */
	int connection;	    /* stays open after the answer, the caller's to close */
};

/*
 * Sends `request` (taken over) and waits for the answer. 0 with *answer (the caller's) if its code
 * is 0; else -errno with the text of the refusal or of what went wrong. The connection carries on
 * exactly behind the answer's line.
 */
int ask_controller(struct ask *ask, json_t *request, json_t **answer, struct error *error);

#endif
