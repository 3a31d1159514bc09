/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KARUTA_CONTROLLER_MARK_H
#define KARUTA_CONTROLLER_MARK_H

#include <stdbool.h>

/* The program's file carries MARK_MEASURING (wire/mark.h). What is no ELF file of 64 bits carries
 * nothing. */
bool mark_is_measuring(int file);

#endif
