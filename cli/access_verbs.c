/* SPDX-License-Identifier: Apache-2.0 */
/* Who may use the plane: karuta token ..., karuta certificate ... */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "base/base.h"
#include "base/size.h"
#include "cli.h"
#include "item.h"
#include "os/fd.h"
#include "table.h"

#define REQUEST_MAX 4096u

static int make_body(const struct invocation *call, json_t **body, struct error *error)
{
	const char *role = options_value(call, "role"), *days = options_value(call, "days");
	uint64_t number = 0;

	if (!role || (strcmp(role, "reader") != 0 && strcmp(role, "operator") != 0 &&
		      strcmp(role, "admin") != 0)) {
		error_set(error, EINVAL, "--role %.60s: wanted is reader, operator or admin",
			  role ? role : "is missing");
		return CLI_USAGE;
	}
	if (days && (size_parse(days, &number) || !number)) {
		error_set(error, EINVAL, "--days %.60s: wanted is how many", days);
		return CLI_USAGE;
	}
	*body = json_pack("{s:s, s:s}", "name", call->operands[0], "role", role);
	if (days)
		json_object_set_new(*body, "days", json_integer((json_int_t)number));
	return 0;
}

static int token_create(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body = NULL, *token = NULL;
	int result = make_body(call, &body, error);

	if (!result)
		result = api_ask(api, "POST", "/v1/tokens", body, &token, error);
	if (!result && !item_print_json(call, token)) {
		fprintf(stderr, "token %s of %s, which is not shown again:\n",
			item_text(token, NULL, "id"), call->operands[0]);
		puts(item_text(token, NULL, "token"));
	}
	json_decref(body);
	json_decref(token);
	return result;
}

/* Both are seconds since 1970; 0: it has no end. */
static const char *end_of(char text[ITEM_TEXT], const json_t *item)
{
	time_t end = (time_t)item_number(item, NULL, "expires");
	struct tm broken;

	if (!end || !gmtime_r(&end, &broken) || !strftime(text, ITEM_TEXT, "%Y-%m-%d", &broken))
		strcpy(text, "-");
	return text;
}

static const char *age_of(char text[ITEM_TEXT], const json_t *item)
{
	return item_span(text, time(NULL) - (long long)item_number(item, NULL, "created"));
}

static int list_of(const char *kind, struct api *api, const struct invocation *call,
		   struct error *error)
{
	static const char *const titles[] = {"ID", "NAME", "ROLE", "EXPIRES", "AGE"};
	struct table table = {.titles = titles, .columns = ARRAY_LEN(titles)};
	json_t *list, *item;
	size_t i;
	int result = api_list(api, kind, &list, error);

	if (result || item_print_json(call, list))
		return json_decref(list), result;
	json_array_foreach(json_object_get(list, "items"), i, item)
	{
		char age[ITEM_TEXT], expires[ITEM_TEXT];
		const char *const row[] = {
			item_text(item, NULL, "id"), item_text(item, NULL, "name"),
			item_text(item, NULL, "role"), end_of(expires, item), age_of(age, item)};

		table_add(&table, row);
	}
	json_decref(list);
	return table_print(&table, stdout);
}

/* ---- tokens ---- */

static int token_list(struct api *api, const struct invocation *call, struct error *error)
{
	return list_of("tokens", api, call, error);
}

static int token_delete(struct api *api, const struct invocation *call, struct error *error)
{
	static const struct item_deletion deletion = {"tokens", NULL, "token", "deleted"};

	return item_delete(api, call, &deletion, error);
}

/* ---- certificates ---- */

static int read_request(const char *path, char text[REQUEST_MAX + 1], struct error *error)
{
	bool standard = !strcmp(path, "-");
	CLEANUP_CLOSE int file = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 && !standard
				 ? -errno
				 : os_read_full(standard ? STDIN_FILENO : file, text, REQUEST_MAX);

	if (length < 0)
		return error_set(error, (int)-length, "%.150s: %s", path, strerror((int)-length));
	text[length] = '\0';
	if (strncmp(text, "-----BEGIN ", strlen("-----BEGIN ")) != 0)
		return error_set(error, EINVAL,
				 "%.150s: not a request in PEM; `openssl req -new` makes one",
				 path);
	return 0;
}

/* The key stays where the request was made. */
static int certificate_create(struct api *api, const struct invocation *call, struct error *error)
{
	const char *path = options_value(call, "request");
	json_t *body = NULL, *made = NULL;
	char text[REQUEST_MAX + 1];
	int result;

	if (!path) {
		error_set(error, EINVAL,
			  "--request is missing: a file that `openssl req -new` has made, or -");
		return CLI_USAGE;
	}
	result = make_body(call, &body, error);
	if (!result)
		result = read_request(path, text, error);
	if (!result) {
		json_object_set_new(body, "request", json_string(text));
		result = api_ask(api, "POST", "/v1/certificates", body, &made, error);
	}
	if (!result && !item_print_json(call, made)) {
		fprintf(stderr, "certificate %s of %s\n", item_text(made, NULL, "id"),
			call->operands[0]);
		fputs(item_text(made, NULL, "certificate"), stdout);
	}
	json_decref(body);
	json_decref(made);
	return result;
}

static int certificate_list(struct api *api, const struct invocation *call, struct error *error)
{
	return list_of("certificates", api, call, error);
}

static int certificate_delete(struct api *api, const struct invocation *call, struct error *error)
{
	static const struct item_deletion deletion = {"certificates", NULL, "certificate",
						      "taken back"};

	return item_delete(api, call, &deletion, error);
}

/* ---- verbs ---- */

static const struct option_spec create_options[] = {
	{"role", "ROLE", "reader, operator or admin"},
	{"days", "N", "for which it is good"},
};

static const struct option_spec certificate_options[] = {
	{"request", "FILE", "for the key of this request (PKCS #10, in PEM); -: standard input"},
	{"role", "ROLE", "reader, operator or admin"},
	{"days", "N", "for which it is good; 90"},
};

const struct verb access_verbs[] = {
	{.noun = "token",
	 .name = "create",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Makes a token for somebody who may use the plane, and prints it.",
	 .options = create_options,
	 .option_count = ARRAY_LEN(create_options),
	 .ask = token_create},
	{.noun = "token",
	 .name = "list",
	 .operands = "",
	 .summary = "Shows all tokens, but not what they are.",
	 .ask = token_list},
	{.noun = "token",
	 .name = "delete",
	 .operands = "ID",
	 .operand_count = 1,
	 .summary = "Makes a token worthless at once.",
	 .ask = token_delete},
	{.noun = "certificate",
	 .name = "create",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Makes a certificate for somebody who may use the plane, and prints it.",
	 .options = certificate_options,
	 .option_count = ARRAY_LEN(certificate_options),
	 .ask = certificate_create},
	{.noun = "certificate",
	 .name = "list",
	 .operands = "",
	 .summary = "Shows all certificates that count.",
	 .ask = certificate_list},
	{.noun = "certificate",
	 .name = "delete",
	 .operands = "ID",
	 .operand_count = 1,
	 .summary = "Takes a certificate back: it counts no more, at once.",
	 .ask = certificate_delete},
	{0},
};
