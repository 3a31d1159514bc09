/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about the host itself; no instance has to run. Each returns the program's exit code. */
#ifndef KARUTA_CONTROLLER_HOST_H
#define KARUTA_CONTROLLER_HOST_H

#include "base/error.h"

int host_verify(int argc, char **argv);
int host_quote(int argc, char **argv);
int host_evidence(int argc, char **argv);
int host_release(int argc, char **argv);

/* For those that launch: the verified start, told on standard error. Where the state is and which
 * TPM holds for all that is measured from then on. */
int host_must_be_released(const char *state, const char *tpm, struct error *error);
/* For `serve`. 1: it is in a quarantine, and the controller at least is what was released; `error`
 * says why. */
int host_look_first(const char *state, const char *tpm, struct error *error);
/* The same for a controller that goes on where another was: what runs goes on, whatever is found.
 */
void host_look_again(const char *state, const char *tpm);

#endif
