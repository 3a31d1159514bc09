/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plane says of a thing: {"metadata": {...}, "spec": {...}, "status": {...}}, read member
 * by member. What is not there, or has another type, is "-" or 0: an older plane is no error.
 */
#ifndef KARUTA_CLI_ITEM_H
#define KARUTA_CLI_ITEM_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "cli.h"

#define ITEM_TEXT 128

const json_t *item_member(const json_t *item, const char *part, const char *name);
const char *item_text(const json_t *item, const char *part, const char *name);
uint64_t item_number(const json_t *item, const char *part, const char *name);
const char *item_name(const json_t *item);

/* Copies, cut, with '?' for what could command a terminal (control characters). Returns `to`. */
const char *item_plain(char *to, size_t size, const char *text);

/* A size for people; "-" if it is not there. All return `text`. */
const char *item_size(char text[ITEM_TEXT], const json_t *item, const char *part, const char *name);
/* How long ago: "12 s", "5 min", "3 h", "12 d". */
const char *item_age(char text[ITEM_TEXT], const json_t *item, const char *part, const char *name);
const char *item_span(char text[ITEM_TEXT], long long seconds);
const char *item_age_at(char text[ITEM_TEXT], const char *rfc3339, time_t now);
/* "a=b,c=d"; "-" if there are none. */
const char *item_labels(char text[ITEM_TEXT], const json_t *item);

/* The labels of all --OPTION K=V into body[member]. CLI_USAGE. */
int item_take_labels(const struct invocation *call, const char *option, const char *member,
		     json_t *body, struct error *error);
/* DELETE /v1/KINDS/NAME of the first operand. */
struct item_deletion {
	const char *kinds; /* "hosts" */
	const char *query; /* "?now=true"; NULL: none */
	/* What is said then: "WHAT NAME is DONE", or "being DONE"; NULL: nothing. */
	const char *what, *done;
};

int item_delete(struct api *api, const struct invocation *call,
		const struct item_deletion *deletion, struct error *error);
/* GET /v1/KINDS/NAME of the first operand. Printed with --json, and *item is NULL then, which
 * json_decref() takes; else the caller's. */
int item_show(struct api *api, const struct invocation *call, const char *kinds, json_t **item,
	      struct error *error);
/* With --json: prints it and says so. */
bool item_print_json(const struct invocation *call, const json_t *answer);

#endif
