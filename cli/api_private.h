/* SPDX-License-Identifier: Apache-2.0 */
/* What api*.c share. */
#ifndef KARUTA_CLI_API_PRIVATE_H
#define KARUTA_CLI_API_PRIVATE_H

#include <curl/curl.h>

#include "api.h"
#include "config.h"

struct api_body {
	char *text;
	size_t length, room;
};

struct api {
	CURL *curl;
	struct plane_config own; /* if it was read here */
	const struct plane_config *config;
	char reason[CURL_ERROR_SIZE];
	struct api_body body;
};

/* -EMSGSIZE: more than API_ANSWER_MAX. */
int api_body_add(struct api_body *body, const char *bytes, size_t length);
/* Address, authority and who asks; what the last request had set is gone. */
int api_prepare(struct api *api, const char *path, struct curl_slist **headers,
		struct error *error);
int api_header(struct curl_slist **headers, const char *name, const char *value);
void api_headers_free(struct curl_slist *headers);
/* The connection was lost, so that it is worth another try. */
bool api_is_lost(CURLcode code);
/* Always an error. `changes`: the request may have been carried out. */
int api_transport_error(const struct api *api, CURLcode code, bool changes, struct error *error);
/* What is in api->body, as JSON. */
int api_take_answer(struct api *api, struct api_answer *answer, struct error *error);
/* Sleeps; ends early at an interrupt. */
void api_pause(unsigned ms);

#endif
