/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How `run` and `serve` give away what they do not need, for good and for all that they start:
 *
 *	1. confine_memory  first of all: no core file, nobody who traces
 *	2. confine         when all is open that is listened on, before the first program is
 *			   started: a network of their own, with nothing in it; no new privileges;
 *			   the list of system calls (syscalls.h)
 *
 * A caller that has connected, and the socket that the next one connects to, stay in the network
 * that they are of. Without root there is no network to be had without a user namespace, in which
 * files would not be one's own: it is left out then.
 */
#ifndef KARUTA_CONTROLLER_CONFINE_H
#define KARUTA_CONTROLLER_CONFINE_H

#include "base/error.h"

int confine_memory(struct error *error);
/* `tpm`: NULL, or how it is reached (tpm.h). One that is no device is behind a socket: then the
 * network stays, and connect(2) is allowed. */
int confine(const char *tpm, struct error *error);

#endif
