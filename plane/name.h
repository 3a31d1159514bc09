/* SPDX-License-Identifier: Apache-2.0 */
/* Names of things and of people. */
#ifndef KARUTA_PLANE_NAME_H
#define KARUTA_PLANE_NAME_H

#include <stdbool.h>

#define NAME_MOST 63u

/* 1 .. NAME_MOST letters, digits, '-', '_', '.', '@'; the first is a letter or a digit. */
bool name_is_good(const char *name);

#endif
