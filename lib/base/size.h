/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as people write them: "512", "64K", but not "1.5G". Powers of 1,024. */
#ifndef KARUTA_BASE_SIZE_H
#define KARUTA_BASE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Takes digits, and one of K M G T behind them if `units`, from the front of *text and moves it
 * on. -EINVAL: no digit there; -ERANGE: past 2^63 - 1. *text has moved in both cases too.
 */
int size_take(const char **text, bool units, uint64_t *value);

/* The same of a whole text: -EINVAL if anything is left behind it. */
int size_parse(const char *text, uint64_t *bytes);

#endif
