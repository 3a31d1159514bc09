/* SPDX-License-Identifier: Apache-2.0 */
/* karuta token ... */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/base.h"
#include "base/size.h"
#include "cli.h"
#include "item.h"
#include "table.h"

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
		fprintf(stderr, "token %s, which is not shown again:\n", call->operands[0]);
		puts(item_text(token, NULL, "token"));
	}
	json_decref(body);
	json_decref(token);
	return result;
}

static int token_list(struct api *api, const struct invocation *call, struct error *error)
{
	static const char *const titles[] = {"NAME", "ROLE", "EXPIRES", "AGE"};
	struct table table = {.titles = titles, .columns = ARRAY_LEN(titles)};
	json_t *list, *item;
	size_t i;
	int result = api_list(api, "tokens", &list, error);

	if (result || item_print_json(call, list))
		return json_decref(list), result;
	json_array_foreach(json_object_get(list, "items"), i, item)
	{
		char age[ITEM_TEXT];
		const char *const row[] = {item_name(item), item_text(item, "spec", "role"),
					   item_text(item, "spec", "expires"),
					   item_age(age, item, "metadata", "created")};

		table_add(&table, row);
	}
	json_decref(list);
	return table_print(&table, stdout);
}

static int token_delete(struct api *api, const struct invocation *call, struct error *error)
{
	return item_delete(api, call, "tokens", "token", error);
}

static const struct option_spec create_options[] = {
	{"role", "ROLE", "reader, operator or admin"},
	{"days", "N", "for which it is good"},
};

const struct verb token_verbs[] = {
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
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Makes a token worthless at once.",
	 .ask = token_delete},
	{0},
};
