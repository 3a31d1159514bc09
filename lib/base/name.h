/* SPDX-License-Identifier: Apache-2.0 */
/* Names as people and certificates give them. */
#ifndef KARUTA_BASE_NAME_H
#define KARUTA_BASE_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* Letters, digits, '-', '_', '.'; it begins with a letter or a digit, and has 1 to `longest`. */
bool name_is_valid(const char *name, size_t longest);

#endif
