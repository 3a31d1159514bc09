/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as people read them; base/size.h is how they write them. */
#ifndef KARUTA_CLI_SIZE_H
#define KARUTA_CLI_SIZE_H

#include <stddef.h>
#include <stdint.h>

#define SIZE_TEXT 32

/* A whole number if there is one ("4 GiB"), else one decimal ("1.4 GiB"). Returns `text`. */
const char *size_format(char text[SIZE_TEXT], uint64_t bytes);

#endif
