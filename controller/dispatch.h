/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A caller's request, from its bytes to its answer, or to the operation that will be one:
 *
 *	1. it is a request, of the list (wire/control.h)
 *	2. its caller's role may order that
 *	3. it was not sent before; else it has the answer that it had
 *	4. what it speaks of is there
 *	5. it is in the audit log
 *	6. it is carried out
 *
 * What fails at 1 to 4 is in the audit log too, as refused.
 */
#ifndef KARUTA_CONTROLLER_DISPATCH_H
#define KARUTA_CONTROLLER_DISPATCH_H

#include "call/tls.h"
#include "fleet.h"

struct outcome {
	uint8_t id[CONTROL_ID_SIZE];
	bool is_request; /* false: the frame was none; the caller is not understood */
	const struct operation *operation; /* the answer, or what will be; NULL: below */
	int code;
	char text[OPERATION_TEXT];
	json_t *result; /* the caller's; NULL: none */
};

/* `frame` stays the caller's, who wipes it. */
void dispatch(struct fleet *fleet, const struct tls_peer *peer, const uint8_t *frame, size_t length,
	      struct outcome *outcome);

#endif
