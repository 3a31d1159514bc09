/* SPDX-License-Identifier: Apache-2.0 */
/* karuta-controller call: one request to the controller of a host, and its answer. */
#ifndef KARUTA_CONTROLLER_CALL_H
#define KARUTA_CONTROLLER_CALL_H

#include <stdbool.h>

#include "base/error.h"
#include "wire/control.h"

/* Returns the program's exit code. */
int call_main(int argc, char **argv);

/* call_words.c: the arguments of a verb as words, NAME=VALUE or in order. The request's texts are
 * made here; call_words_free(). */
int call_words_read(struct control_request *request, char **words, int count, struct error *error);
void call_words_free(struct control_request *request);

/* call_more.c: after this answer, has the verb more to tell? Then the request asks for that. It
 * waits a little for what a console that is followed will have. `pause_ms`: 0 at first. */
bool call_more(struct control_request *request, const struct control_answer *answer, bool follow,
	       unsigned *pause_ms);

#endif
