/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict reading of JSON that a person or another program wrote: a member that is not known, of the
 * wrong type, or out of range is refused with its full name ("web.json: cards[1].store: ...").
 */
#ifndef KARUTA_CONTROLLER_STRICT_H
#define KARUTA_CONTROLLER_STRICT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Where an object stands, for messages. */
#define STRICT_RATE_MAX (UINT64_C(1) << 50)

struct place {
	const char *file;
	char path[32]; /* "" or "cards[1]" */
	struct error *error;
};

/* Returns -EINVAL with "file: path.member: text"; `member` may be NULL: the object itself. */
__attribute__((format(printf, 3, 4))) int
strict_refuse(const struct place *place, const char *member, const char *format, ...);

/* The whole of `bytes` is one JSON object, or *object stays NULL and -EINVAL. Caller frees it. */
int strict_parse(const char *file, const char *bytes, size_t length, json_t **object,
		 struct error *error);

/* Refuses every member whose name is not in the NULL-terminated list. */
int strict_members(const struct place *place, const json_t *object, const char *const *known);

/* One member each. An absent one leaves *value as it is, and is an error if `required`. */
int strict_text(const struct place *place, const json_t *object, const char *member, bool required,
		size_t longest, const char **value);
int strict_number(const struct place *place, const json_t *object, const char *member,
		  bool required, uint64_t least, uint64_t most, uint64_t *value);
/* A number of bytes, or a text such as "512M" (K, M, G, T: powers of 1024). Never 0. */
int strict_size(const struct place *place, const json_t *object, const char *member, bool required,
		uint64_t *value);
/* What a second may bring, and what a burst of it: a number or a text such as "500:2000", of bytes
 * with K, M, G, T if `sizes`. *burst is 0 when it is not given. At most STRICT_RATE_MAX each. */
int strict_rate(const struct place *place, const json_t *object, const char *member, bool sizes,
		uint64_t *rate, uint64_t *burst);
/* A text made of letters, digits, '-', '_', '.', that begins with a letter or a digit. */
int strict_name(const struct place *place, const json_t *object, const char *member, bool required,
		size_t longest, const char **value);

/* Digits with at most one of K M G T behind them. -EINVAL: anything else, 0, or too much. */
int size_above_zero(const char *text, uint64_t *bytes);

#endif
