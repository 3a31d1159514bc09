/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that came with a request, by their numbers, unwrapped into memory as key.h describes:
 * for the cards that are started now, and for an instance that is to be started again without being
 * asked for them.
 */
#ifndef KARUTA_CONTROLLER_KEYRING_H
#define KARUTA_CONTROLLER_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "call/wrap.h"
#include "cards.h"
#include "key.h"
#include "wire/control.h"

struct keyring {
	size_t count;
	struct {
		uint64_t number;
		struct key key;
	} keys[CONTROL_KEYS_MAX];
};

/* Unwraps each: `caller` has sent the request. */
int keyring_fill(struct keyring *keyring, const struct control_request *request, const char *caller,
		 const struct wrap_pair *pair, struct error *error);
/* None may be missing, none too many. -EINVAL */
int keyring_fits(const struct keyring *keyring, const struct card_spec *cards, size_t count,
		 struct error *error);
/* Are all there that the cards need? */
bool keyring_has_all(const struct keyring *keyring, const struct card_spec *cards, size_t count);
/* In the place of its key's number, each card has a descriptor of the key then. None is missing. */
int keyring_give(const struct keyring *keyring, struct card_spec *cards, size_t count,
		 struct error *error);
/* Wipes them. */
void keyring_free(struct keyring *keyring);

#endif
