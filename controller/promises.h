/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that instances were promised and have not taken yet. A hypervisor takes its guest's while
 * that runs already, so what the host has left is not all to be had by the next.
 */
#ifndef KARUTA_CONTROLLER_PROMISES_H
#define KARUTA_CONTROLLER_PROMISES_H

#include "fleet.h"

/* -ENOMEM: the host has not so much left for the unit's instance, which is prepared and not live.
 */
int promises_check(const struct unit *unit, struct error *error);

#endif
