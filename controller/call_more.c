/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that tell a page at a time. */
#include <jansson.h>
#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "call.h"

/* Each question is a line of the host's audit log. */
#define SHORTEST_PAUSE_MS 1000u
#define LONGEST_PAUSE_MS  5000u

static struct control_value *value_of(struct control_request *request, const char *name)
{
	for (size_t i = 0; i < request->verb->argument_count; i++) {
		if (!strcmp(request->verb->arguments[i].name, name))
			return &request->values[i];
	}
	return NULL;
}

static bool ask_from(struct control_request *request, const char *argument, const json_t *number)
{
	struct control_value *value = value_of(request, argument);

	if (!value || !json_is_integer(number) || json_integer_value(number) < 0)
		return false;
	value->given = true;
	value->number = (uint64_t)json_integer_value(number);
	return RAND_bytes(request->id, CONTROL_ID_SIZE) == 1;
}

static void wait_for_more(bool came, unsigned *pause_ms)
{
	*pause_ms = came || !*pause_ms ? SHORTEST_PAUSE_MS
				       : (unsigned)min_u64(2 * *pause_ms, LONGEST_PAUSE_MS);
	usleep(*pause_ms * 1000);
}

static bool more_console(struct control_request *request, const json_t *result, bool follow,
			 unsigned *pause_ms)
{
	const char *text = json_string_value(json_object_get(result, "console"));
	bool more = json_is_true(json_object_get(result, "more"));

	if (!text || !ask_from(request, "from", json_object_get(result, "next")))
		return false;
	if (!more && (!follow || json_is_true(json_object_get(result, "ended"))))
		return false;
	if (!more)
		wait_for_more(text[0], pause_ms);
	return true;
}

bool call_more(struct control_request *request, const struct control_answer *answer, bool follow,
	       unsigned *pause_ms)
{
	json_t *result = json_loadb(answer->result, answer->result_length, 0, NULL);
	bool more = false;

	if (!strcmp(request->verb->name, "console"))
		more = more_console(request, result, follow, pause_ms);
	else if (!strcmp(request->verb->name, "audit"))
		more = json_is_true(json_object_get(result, "more")) &&
		       ask_from(request, "since", json_object_get(result, "last"));
	json_decref(result);
	return more;
}
