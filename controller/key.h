/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume's key, kept so that a card that dies can be given it again. It is in memory that the
 * controller does not map, and in no file.
 */
#ifndef KARUTA_CONTROLLER_KEY_H
#define KARUTA_CONTROLLER_KEY_H

#include "base/error.h"

#define KEY_MAX 4096u

/* Reads the key from a file or pipe, within KEY_SECONDS, into a memfd, which is returned; or
 * -errno. */
#define KEY_SECONDS 1u
int key_keep(int from, struct error *error);

#endif
