/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict reading of the JSON that clients send: what is not known, of the wrong type, or out of
 * range is refused by its name. All set `problem` when they refuse: 400 what is no JSON, 413 what
 * is too much of it, 415 another type, 422 what it says.
 */
#ifndef KARUTA_PLANE_JSON_IN_H
#define KARUTA_PLANE_JSON_IN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"
#include "problem.h"

#define JSON_IN_DEPTH  16u
#define JSON_IN_VALUES 20000u /* in all: each takes more memory than its text */

/* The body, which is one object; the caller's. NULL: refused. */
json_t *json_in_body(const struct http_exchange *exchange, struct problem *problem);
/* The same of any text. */
json_t *json_in_parse(const char *text, size_t length, struct problem *problem);

/* `where` names the object in messages: "", "spec". Each returns 0, or -1: refused. */

/* Refuses members that are not in the NULL-terminated list. */
int json_in_members(const json_t *object, const char *where, const char *const *known,
		    struct problem *problem);

/* One member each. One that is not there leaves *value as it is, and is refused if `required`. */

/* Printable, at most `longest` bytes; lives as long as the object. */
int json_in_text(const json_t *object, const char *where, const char *member, bool required,
		 size_t longest, const char **value, struct problem *problem);
/* The same, of several lines: PEM. */
int json_in_lines(const json_t *object, const char *where, const char *member, bool required,
		  size_t longest, const char **value, struct problem *problem);
int json_in_name(const json_t *object, const char *where, const char *member, bool required,
		 const char **value, struct problem *problem);
int json_in_number(const json_t *object, const char *where, const char *member, bool required,
		   uint64_t least, uint64_t most, uint64_t *value, struct problem *problem);
int json_in_flag(const json_t *object, const char *where, const char *member, bool required,
		 bool *value, struct problem *problem);
/* An object, or an array. */
int json_in_part(const json_t *object, const char *where, const char *member, bool required,
		 json_type type, json_t **value, struct problem *problem);

#endif
