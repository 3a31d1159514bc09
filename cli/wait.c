/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api_private.h"
#include "interrupt.h"
#include "item.h"
#include "os/clock.h"
#include "progress.h"
#include "wait.h"

#define PAUSE_MS 150u
#define GOES_ON	 1000 /* what look_at() says as long as there is nothing to say */

static bool is_as_before(const struct wait *wait, const json_t *item)
{
	static const char *const members[] = {"state", "since", "text"};

	for (size_t i = 0; wait->before && i < sizeof(members) / sizeof(members[0]); i++) {
		if (strcmp(item_text(item, "status", members[i]),
			   item_text(wait->before, "status", members[i])) != 0)
			return false;
	}
	return wait->before != NULL;
}

static bool is_dead_end(const struct wait *wait, const char *state)
{
	if (!strcmp(state, "failed"))
		return true;
	for (size_t i = 0; i < WAIT_ENDS && wait->dead_ends[i]; i++) {
		if (!strcmp(state, wait->dead_ends[i]))
			return true;
	}
	return false;
}

static int look_at(const struct wait *wait, const json_t *item, bool *changed, struct error *error)
{
	const char *state = item_text(item, "status", "state");
	char text[ITEM_TEXT];

	*changed = *changed || !is_as_before(wait, item);
	if (wait->goal && !strcmp(state, wait->goal))
		return 0;
	if (!*changed || !is_dead_end(wait, state))
		return GOES_ON;
	return error_set(error, EIO, "%s %s: %.40s: %s", wait->kind, wait->name, state,
			 item_plain(text, sizeof(text), item_text(item, "status", "text")));
}

/* One line a state, and what the plane says of it. */
static void show(struct progress *progress, const struct wait *wait, const json_t *item)
{
	const char *text = item_text(item, "status", "text");
	char raw[ITEM_TEXT], title[sizeof(progress->title)];

	snprintf(raw, sizeof(raw), "%s %s: %s%s%.60s", wait->kind, wait->name,
		 item_text(item, "status", "state"), strcmp(text, "-") ? ": " : "",
		 strcmp(text, "-") ? text : "");
	item_plain(title, sizeof(title), raw);
	if (!progress->open || strcmp(progress->title, title) != 0)
		progress_step(progress, title, 0);
	progress_update(progress, 0);
}

/* Whoever is interrupted here has not taken anything back. What was seen last says why it takes so
 * long. */
static int not_yet(const struct wait *wait, const char *seen, uint64_t since, struct error *error)
{
	bool late = os_now() - since > WAIT_SECONDS * NS_PER_S;

	if (!interrupt_pending() && !late)
		return GOES_ON;
	return error_set(
		error, late ? ETIMEDOUT : EINTR,
		"%s %.40s: %s: %.120s\n        it goes on; `karuta %s show %s` tells how far "
		"it is",
		wait->kind, wait->name, late ? "not done in 5 min" : "not waited for", seen,
		wait->kind, wait->name);
}

/* `seen`: ITEM_TEXT. */
static int look(struct api *api, const struct wait *wait, struct progress *progress, bool *changed,
		char *seen, struct api_answer *answer, struct error *error)
{
	const struct api_request request = {.method = "GET", .path = wait->path};
	int result = api_try(api, &request, answer, error);

	if (result)
		return result;
	if (answer->status == 404 && !wait->goal)
		return 0;
	if (answer->status != 200)
		return CLI_TOLD;
	item_plain(seen, ITEM_TEXT, item_text(answer->body, "status", "text"));
	result = look_at(wait, answer->body, changed, error);
	if (result == GOES_ON)
		show(progress, wait, answer->body);
	return result;
}

bool wait_is_wanted(const struct invocation *call)
{
	if (options_value(call, "no-wait"))
		return false;
	return options_value(call, "wait") || isatty(STDERR_FILENO) == 1;
}

int wait_for(struct api *api, const struct wait *wait, struct error *error)
{
	struct progress progress = {0};
	uint64_t begin = os_now();
	char seen[ITEM_TEXT] = "-";
	bool changed = false;
	int result;

	for (;;) {
		struct api_answer answer = {0};

		result = look(api, wait, &progress, &changed, seen, &answer, error);
		if (result == GOES_ON || result == -EINTR)
			result = not_yet(wait, seen, begin, error);
		if (result && result != GOES_ON)
			progress_abandon(&progress);
		if (result == CLI_TOLD)
			api_tell(&answer);
		json_decref(answer.body);
		if (result != GOES_ON)
			break;
		api_pause(PAUSE_MS);
	}
	if (!result)
		progress_end(&progress);
	return result;
}
