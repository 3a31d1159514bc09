/* SPDX-License-Identifier: Apache-2.0 */
/* karuta events. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/base.h"
#include "base/size.h"
#include "cli.h"
#include "item.h"

#define EVENT_LINE 1024u

static void print_event(const json_t *event)
{
	const char *who = item_text(event, NULL, "who");
	char raw[EVENT_LINE], line[EVENT_LINE];

	snprintf(raw, sizeof(raw), "%.40s  %-12.40s %-24.120s %.500s%s%.80s%s",
		 item_text(event, NULL, "time"), item_text(event, NULL, "kind"),
		 item_text(event, NULL, "object"), item_text(event, NULL, "text"),
		 *who == '-' ? "" : " (", *who == '-' ? "" : who, *who == '-' ? "" : ")");
	puts(item_plain(line, sizeof(line), raw));
}

/* As they come: one a line. */
static int take(void *context, const json_t *event)
{
	const struct invocation *call = context;

	if (options_value(call, "json")) {
		json_dumpf(event, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_event(event);
	}
	return fflush(stdout) ? CLI_TOLD : 0;
}

/* All that there are, page by page; *since moves on with each. */
static int read_pages(struct api *api, uint64_t *since, json_t *items, struct error *error)
{
	char path[API_PATH_MAX];
	int result;

	for (;;) {
		json_t *page = NULL;
		uint64_t last;
		size_t count;

		snprintf(path, sizeof(path), "/v1/events?since=%llu&limit=%u",
			 (unsigned long long)*since, API_PAGE);
		result = api_ask(api, "GET", path, NULL, &page, error);
		count = json_array_size(json_object_get(page, "items"));
		last = item_number(
			json_array_get(json_object_get(page, "items"), count ? count - 1 : 0), NULL,
			"number");
		if (!result && count)
			json_array_extend(items, json_object_get(page, "items"));
		json_decref(page);
		if (result || last <= *since)
			return result;
		*since = last;
	}
}

static int list_events(struct api *api, const struct invocation *call, uint64_t since,
		       struct error *error)
{
	json_t *list = json_pack("{s:[]}", "items"), *event;
	size_t i;
	int result = read_pages(api, &since, json_object_get(list, "items"), error);

	if (!result && !item_print_json(call, list))
		json_array_foreach(json_object_get(list, "items"), i, event) print_event(event);
	json_decref(list);
	return result;
}

static int events(struct api *api, const struct invocation *call, struct error *error)
{
	const char *text = options_value(call, "since");
	struct api_follow follow = {.path = "/v1/events", .take = take, .context = (void *)call};

	if (text && size_parse(text, &follow.since)) {
		error_set(error, EINVAL, "--since %.60s: wanted is the number of an event", text);
		return CLI_USAGE;
	}
	if (options_value(call, "follow"))
		return api_follow(api, &follow, error);
	return list_events(api, call, follow.since, error);
}

static const struct option_spec options[] = {
	{"follow", NULL, "goes on with those that come; with --json one a line"},
	{"since", "NUMBER", "those behind this one"},
};

const struct verb event_verbs[] = {
	{.name = "events",
	 .operands = "",
	 .summary = "Shows what has happened to hosts, instances and volumes, and who wanted it.",
	 .options = options,
	 .option_count = ARRAY_LEN(options),
	 .ask = events},
	{0},
};
