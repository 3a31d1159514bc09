/* SPDX-License-Identifier: Apache-2.0 */
/* karuta instance run. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/size.h"
#include "instance.h"
#include "item.h"
#include "wait.h"

#define SLOT_MAX 31u

static int wrong(struct error *error, const char *option, const char *text, const char *wanted)
{
	error_set(error, EINVAL, "--%s %.60s: wanted is %s", option, text ? text : "is missing",
		  wanted);
	return CLI_USAGE;
}

static int take_numbers(const struct invocation *call, json_t *body, struct error *error)
{
	const char *cpus = options_value(call, "cpus"), *memory = options_value(call, "memory");
	const char *cores = options_value(call, "whole-cores"), *root = options_value(call, "root");
	uint64_t number;

	if (cpus && (size_parse(cpus, &number) || !number))
		return wrong(error, "cpus", cpus, "how many, such as 2");
	if (cpus)
		json_object_set_new(body, "cpus", json_integer((json_int_t)number));
	if (!memory || size_parse(memory, &number) || !number)
		return wrong(error, "memory", memory, "a size, such as 1G");
	json_object_set_new(body, "memory", json_integer((json_int_t)number));
	if (cores && (size_parse(cores, &number) || !number))
		return wrong(error, "whole-cores", cores, "how many, such as 2");
	if (cores)
		json_object_set_new(body, "cores", json_integer((json_int_t)number));
	if (root && (size_parse(root, &number) || !number))
		return wrong(error, "root", root, "a size, such as 8G");
	if (root)
		json_object_set_new(body, "root", json_pack("{s:I}", "size", (json_int_t)number));
	return 0;
}

static int take_texts(const struct invocation *call, json_t *body, struct error *error)
{
	static const char *const names[][2] = {
		{"image", "image"},   {"kernel", "kernel"},
		{"initrd", "initrd"}, {"command-line", "command_line"},
		{"host", "host"},     {"restart", "restart"}};
	const char *restart = options_value(call, "restart");

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *text = options_value(call, names[i][0]);

		if (text && json_object_set_new(body, names[i][1], json_string(text)))
			return wrong(error, names[i][0], text, "UTF-8");
	}
	if (!options_value(call, "image") == !options_value(call, "kernel"))
		return wrong(error, "image", "or --kernel", "one of them");
	if (restart && strcmp(restart, "always") != 0 && strcmp(restart, "on-failure") != 0 &&
	    strcmp(restart, "never") != 0)
		return wrong(error, "restart", restart, "always, on-failure or never");
	return 0;
}

/* NAME, NAME:SLOT, or NAME:SIZE, which is new: no volume is as small as the highest slot. */
static int take_volume(json_t *volumes, const char *text, struct error *error)
{
	const char *colon = strchr(text, ':');
	CLEANUP_FREE char *name = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
	uint64_t number = 0;

	if (!name || !*name || (colon && (size_parse(colon + 1, &number) || !number)))
		return wrong(error, "volume", text, "NAME, NAME:SLOT or NAME:SIZE");
	if (!colon)
		json_array_append_new(volumes, json_pack("{s:s}", "volume", name));
	else if (number <= SLOT_MAX)
		json_array_append_new(volumes, json_pack("{s:s, s:I}", "volume", name, "slot",
							 (json_int_t)number));
	else
		json_array_append_new(
			volumes, json_pack("{s:s, s:I}", "name", name, "size", (json_int_t)number));
	return 0;
}

static int take_volumes(const struct invocation *call, json_t *body, struct error *error)
{
	json_t *volumes = json_array();
	const char *text;
	size_t at = 0;
	int result = 0;

	while (!result && (text = options_next(call, "volume", &at)))
		result = take_volume(volumes, text, error);
	if (json_array_size(volumes))
		json_object_set(body, "volumes", volumes);
	json_decref(volumes);
	return result;
}

int instance_report(struct api *api, const char *path, const struct invocation *call,
		    struct error *error)
{
	json_t *item = NULL;
	char host[ITEM_TEXT];
	int result = api_ask(api, "GET", path, NULL, &item, error);

	if (!result && !item_print_json(call, item))
		printf("instance %s is running on host %s\n", call->operands[0],
		       item_plain(host, sizeof(host), item_text(item, "status", "host")));
	json_decref(item);
	return result;
}

int instance_run(struct api *api, const struct invocation *call, struct error *error)
{
	json_t *body = json_pack("{s:s}", "name", call->operands[0]), *item = NULL;
	char path[API_PATH_MAX];
	int result = api_path(path, "instances", call->operands[0], NULL, error);

	result = result ? result : take_numbers(call, body, error);
	result = result ? result : take_texts(call, body, error);
	result = result ? result : take_volumes(call, body, error);
	result = result ? result : item_take_labels(call, "label", "labels", body, error);
	result = result ? result : item_take_labels(call, "host-label", "host_labels", body, error);
	if (!result)
		result = api_ask(api, "POST", "/v1/instances", body, &item, error);
	if (!result && !wait_is_wanted(call)) {
		if (!item_print_json(call, item))
			printf("instance %s is being started; `karuta instance show %s` tells how "
			       "far it is\n",
			       call->operands[0], call->operands[0]);
	} else if (!result) {
		const struct wait wait = {.kind = "instance",
					  .name = call->operands[0],
					  .path = path,
					  .goal = "running",
					  .dead_ends = {"stopped", "ended", "terminating"}};

		result = wait_for(api, &wait, error);
		result = result ? result : instance_report(api, path, call, error);
	}
	json_decref(body);
	json_decref(item);
	return result;
}
