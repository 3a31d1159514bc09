/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as people write them: "512", "64K", but not "1.5G". Powers of 1,024. */
#ifndef KARUTA_CLI_SIZE_H
#define KARUTA_CLI_SIZE_H

#include <stddef.h>
#include <stdint.h>

#define SIZE_TEXT 32

/* Digits, then nothing or one of K M G T. -EINVAL otherwise, -ERANGE past 2^63. */
int size_parse(const char *text, uint64_t *bytes);
/* A whole number if there is one ("4 GiB"), else one decimal ("1.4 GiB"). Returns `text`. */
const char *size_format(char text[SIZE_TEXT], uint64_t bytes);

#endif
