/* SPDX-License-Identifier: Apache-2.0 */
/* The card of an attach request: read from a file or from MEMBER=VALUE arguments, checked here
 * already, with paths made absolute and the key's descriptor taken out. */
#ifndef KARUTA_CONTROLLER_CLIENT_CARD_H
#define KARUTA_CONTROLLER_CLIENT_CARD_H

#include <jansson.h>

#include "base/error.h"

/* *card is the caller's; *key is -1 or the descriptor to send along. */
int client_card_read(char **arguments, int count, json_t **card, int *key, struct error *error);

#endif
