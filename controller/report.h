/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KARUTA_CONTROLLER_REPORT_H
#define KARUTA_CONTROLLER_REPORT_H

#include <jansson.h>

#include "machine.h"

/* The answer to "status", with a code of 0; NULL: out of memory. */
json_t *report_make(const struct machine *machine);
/* What the host is, and whether anything can be started on it; NULL: out of memory. */
json_t *report_host(void);

#endif
