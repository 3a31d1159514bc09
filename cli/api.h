/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the plane: JSON over HTTPS (TLS 1.3, HTTP/1.1, no proxy, no redirection), trusted by
 * the authority that the plane's file names and no other.
 *
 * A connection that is lost is made anew and the request sent again, a few times. That is safe: a
 * POST has an Idempotency-Key, made at random for it and the same each time; the others may be
 * carried out twice.
 */
#ifndef KARUTA_CLI_API_H
#define KARUTA_CLI_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define API_ANSWER_MAX	    ((size_t)64 << 20)
#define API_EVENT_MAX	    ((size_t)1 << 20)
#define API_PATH_MAX	    256u
#define API_TRIES	    4u
#define API_CONNECT_SECONDS 5
#define API_ANSWER_SECONDS  60
#define API_PAGE	    100u /* items of a list that are asked for at once */

struct api;
struct plane_config;

/* `chosen`: the argument of --plane, or NULL. Nothing is sent yet. */
int api_open(struct api **api, const char *chosen, struct error *error);
/* With a configuration that is not in a file yet; it stays the caller's until api_close(). */
int api_open_with(struct api **api, const struct plane_config *config, struct error *error);
/* NULL is allowed. */
void api_close(struct api *api);

struct api_request {
	const char *method; /* "GET", "POST", "PUT", "PATCH", "DELETE" */
	const char *path;   /* "/v1/..." */
	json_t *body;	    /* borrowed; NULL: none */
	const void *bytes;  /* instead of it, as they are; NULL: none */
	size_t length;
	unsigned seconds; /* for all of it; 0: API_ANSWER_SECONDS */
};

struct api_answer {
	long status;  /* of HTTP */
	json_t *body; /* the caller's; NULL: none */
};

/* 0 with any answer; CLI_UNREACHABLE, -EINTR or another -errno with `error` set. */
int api_try(struct api *api, const struct api_request *request, struct api_answer *answer,
	    struct error *error);
/* Says what a refusal says, on standard error: "karuta: ...", and its remedy below. Frees the
 * answer. Returns CLI_TOLD. */
int api_tell(struct api_answer *answer);
/* Both: anything but success is told, or in `error`. *answer, if wanted: the caller's, an object.
 */
int api_ask(struct api *api, const char *method, const char *path, json_t *body, json_t **answer,
	    struct error *error);
int api_ask_within(struct api *api, const char *method, const char *path, json_t *body,
		   unsigned seconds, json_t **answer, struct error *error);

/* "/v1/KIND/NAME" with "/MORE" behind it if that is not NULL; CLI_USAGE if nothing has such a name.
 */
int api_path(char path[API_PATH_MAX], const char *kind, const char *name, const char *more,
	     struct error *error);
/* All pages of a list as one: {"items": [...]}. */
int api_list(struct api *api, const char *kind, json_t **list, struct error *error);

/* Server-sent events, from the one behind `since` on, over as many connections as it takes. */
struct api_follow {
	const char *path; /* "?since=NUMBER" is put behind it */
	uint64_t since;
	/* `event` is borrowed. Not 0 ends it. */
	int (*take)(void *context, const json_t *event);
	void *context;
};

/* 0 at an interrupt, else what ended it. */
int api_follow(struct api *api, struct api_follow *follow, struct error *error);

#endif
