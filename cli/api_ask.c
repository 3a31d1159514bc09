/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked over and over: one thing, a list; and how a refusal is told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/base.h"
#include "cli.h"
#include "home.h"
#include "item.h"

#define TOLD_MAX 1024u

/* ---- refusals (RFC 9457) ---- */

static const char *member(const json_t *problem, const char *name)
{
	const char *text = json_string_value(json_object_get(problem, name));

	return text && *text ? text : NULL;
}

int api_tell(struct api_answer *answer)
{
	const char *detail = member(answer->body, "detail");
	const char *remedy = member(answer->body, "remedy");
	char text[TOLD_MAX];

	if (!detail)
		detail = member(answer->body, "title");
	if (detail)
		fprintf(stderr, "karuta: %s\n", item_plain(text, sizeof(text), detail));
	else
		fprintf(stderr, "karuta: the plane says no, and not why (HTTP status %ld)\n",
			answer->status);
	if (remedy)
		fprintf(stderr, "        %s\n", item_plain(text, sizeof(text), remedy));
	json_decref(answer->body);
	answer->body = NULL;
	return CLI_TOLD;
}

int api_ask(struct api *api, const char *method, const char *path, json_t *body, json_t **answer,
	    struct error *error)
{
	return api_ask_within(api, method, path, body, API_ANSWER_SECONDS, answer, error);
}

int api_ask_within(struct api *api, const char *method, const char *path, json_t *body,
		   unsigned seconds, json_t **answer, struct error *error)
{
	const struct api_request request = {
		.method = method, .path = path, .body = body, .seconds = seconds};
	struct api_answer got = {0};
	int result = api_try(api, &request, &got, error);

	if (!result && (got.status < 200 || got.status >= 300))
		return api_tell(&got);
	if (!result && answer && !got.body)
		result = error_set(error, EPROTO, "the plane's answer is empty");
	if (!result && answer)
		*answer = got.body;
	else
		json_decref(got.body);
	return result;
}

/* ---- names and lists ---- */

int api_path(char path[API_PATH_MAX], const char *kind, const char *name, const char *more,
	     struct error *error)
{
	if (!home_name_is_good(name)) {
		error_set(error, EINVAL,
			  "'%.80s' is no name: wanted are up to 63 letters, digits, '.', '_', "
			  "'-', a letter or digit at its beginning",
			  name);
		return CLI_USAGE;
	}
	snprintf(path, API_PATH_MAX, "/v1/%s/%s%s%s", kind, name, more ? "/" : "",
		 more ? more : "");
	return 0;
}

/* *after: the name that the next page begins behind, or NULL. Each is behind the one before, so
 * that this comes to an end. */
static int take_page(json_t *items, const json_t *page, char **after, struct error *error)
{
	const char *next = member(page, "next");

	if (json_array_extend(items, json_object_get(page, "items")) ||
	    (next && (!home_name_is_good(next) || (*after && strcmp(next, *after) <= 0))))
		return error_set(error, EPROTO, "the plane's list is none, or has no end");
	free(*after);
	*after = next ? strdup(next) : NULL;
	return next && !*after ? error_set(error, ENOMEM, "out of memory") : 0;
}

static int one_page(struct api *api, const char *kind, char **after, json_t *items,
		    struct error *error)
{
	char path[API_PATH_MAX];
	json_t *page = NULL;
	int result;

	snprintf(path, sizeof(path), "/v1/%s?limit=%u%s%s", kind, API_PAGE, *after ? "&after=" : "",
		 *after ? *after : "");
	result = api_ask(api, "GET", path, NULL, &page, error);
	if (!result)
		result = take_page(items, page, after, error);
	json_decref(page);
	return result;
}

int api_list(struct api *api, const char *kind, json_t **list, struct error *error)
{
	CLEANUP_FREE char *after = NULL;
	json_t *items = json_array();
	int result;

	do {
		result = one_page(api, kind, &after, items, error);
	} while (!result && after);
	*list = result ? NULL : json_pack("{s:O}", "items", items);
	json_decref(items);
	if (!result && !*list)
		result = error_set(error, ENOMEM, "out of memory");
	return result;
}
