/* SPDX-License-Identifier: Apache-2.0 */
/* The table that describes an instance's devices and events (DSDT), without its header. */
#ifndef KARUTA_TOOLS_ACPI_DSDT_H
#define KARUTA_TOOLS_ACPI_DSDT_H

#include "aml.h"

/* *window64: where the numbers of the window of 64-bit addresses are: 0, first, last, 0, size. */
void dsdt_put(struct aml *aml, size_t *window64);

#endif
