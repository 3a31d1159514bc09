/* SPDX-License-Identifier: Apache-2.0 */
/* What several kinds of documents are asked for with. */
#include <string.h>

#include "api.h"

#define LABELS_MOST 16u
#define LABEL_MOST  63u

int api_take_name(const json_t *body, const char *where, const char *member, bool required,
		  const char **name, struct problem *problem)
{
	const char *given = NULL;

	if (json_in_text(body, where, member, required, DOC_NAME_MAX, &given, problem) < 0)
		return -1;
	if (given && !doc_name_is_good(given))
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "%s%s%s: small letters, digits and '-', beginning with a letter",
				   where, *where ? "." : "", member);
	if (given)
		*name = given;
	return 0;
}

int api_take_labels(const json_t *body, const char *member, json_t **labels,
		    struct problem *problem)
{
	json_t *given = NULL, *value;
	const char *name;

	if (json_in_part(body, "", member, false, JSON_OBJECT, &given, problem) < 0)
		return -1;
	if (json_object_size(given) > LABELS_MOST)
		return problem_set(problem, 422, "invalid", NULL, NULL, "%s: more than %u of them",
				   member, LABELS_MOST);
	json_object_foreach(given, name, value)
	{
		const char *text = json_string_value(value);

		if (!name_is_good(name) || !text || strlen(text) > LABEL_MOST)
			return problem_set(problem, 422, "invalid", NULL, NULL,
					   "%s: %.63s: a name and a text of at most %u bytes",
					   member, name, LABEL_MOST);
	}
	*labels = given ? given : *labels;
	return 0;
}

int api_take_nothing(const struct http_exchange *exchange, struct problem *problem)
{
	static const char *const known[] = {NULL};
	json_t *body = json_in_body(exchange, problem);
	int ret = body ? json_in_members(body, "", known, problem) : -1;

	json_decref(body);
	return ret;
}

int api_take_query_flag(const struct http_exchange *exchange, const char *name, bool *flag,
			struct problem *problem)
{
	const char *given = http_query_find(exchange, name);

	*flag = given && !strcmp(given, "true");
	if (!given || *flag || !strcmp(given, "false"))
		return 0;
	return problem_set(problem, 400, "bad-query", NULL, NULL, "%s: must be true or false",
			   name);
}
