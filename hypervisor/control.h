/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main thread's life: it takes commands from the controller, answers what vCPUs ask for, and
 * watches the cards. Returns when the instance has ended: the program's exit code.
 */
#ifndef KARUTA_HYPERVISOR_CONTROL_H
#define KARUTA_HYPERVISOR_CONTROL_H

#include <stdint.h>

#include "base/error.h"

struct machine;
struct command;

/* Waits for the first command, which has to be CONFIGURE. */
int control_configure(struct machine *machine, uint32_t *id, struct error *error);
int control_serve(struct machine *machine);

#endif
