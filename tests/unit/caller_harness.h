/* SPDX-License-Identifier: Apache-2.0 */
/* Requests by lib/call, and what comes of them. */
#ifndef KARUTA_TEST_CALLER_HARNESS_H
#define KARUTA_TEST_CALLER_HARNESS_H

#include "base/base.h"
#include "call/call.h"
#include "call/tls.h"
#include "os/clock.h"
#include "os/loop.h"

#define PATIENCE (20 * NS_PER_S) /* more than enough for anything that is waited for here */

static struct os_loop *loop;

struct asked {
	unsigned calls;
	bool answered;
	int code; /* of the answer, or of the error */
	char text[1024];
	char result[8192];
};

static inline void note(void *context, const struct control_answer *answer,
			const struct error *error)
{
	struct asked *asked = context;

	asked->calls++;
	asked->answered = answer;
	assert_true(!answer != !error);
	asked->code = answer ? answer->code : error->code;
	snprintf(asked->text, sizeof(asked->text), "%.*s",
		 answer ? (int)answer->text_length : (int)sizeof(error->text),
		 answer ? answer->text : error->text);
	snprintf(asked->result, sizeof(asked->result), "%.*s",
		 answer ? (int)answer->result_length : 0, answer ? answer->result : "");
}

static inline void give(struct control_request *request, const char *name, const char *text)
{
	for (size_t i = 0; i < request->verb->argument_count; i++) {
		if (!strcmp(request->verb->arguments[i].name, name))
			request->values[i] = (struct control_value){
				.given = true, .text = text, .length = text ? strlen(text) : 0};
	}
}

static inline void give_key(struct control_request *request, uint64_t number, const char *text)
{
	give(request, "keys", NULL);
	request->keys[request->key_count++] = (struct control_key){
		.number = number, .bytes = (const uint8_t *)text, .length = strlen(text)};
}

/* `instance`: NULL: none. */
static inline struct control_request make_request(const char *verb, const char *instance)
{
	struct control_request request = {.verb = control_verb_find(verb, strlen(verb))};

	assert_non_null(request.verb);
	if (instance)
		give(&request, "instance", instance);
	return request;
}

static inline void ask(struct caller *caller, const struct control_request *request,
		       unsigned seconds, struct asked *asked)
{
	struct error error = {0};

	*asked = (struct asked){0};
	if (caller_ask(caller, request, seconds, note, asked, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(asked->calls, 0);
}

static inline void turn_all(struct caller *const *callers, size_t count)
{
	int wait = 20;

	for (size_t i = 0; i < count; i++) {
		int most = caller_turn(callers[i]);

		assert_true(most >= 0 && most <= (int)CALL_TURN_MS);
		wait = most < wait ? most : wait;
	}
	assert_true(os_loop_once(loop, wait) >= 0);
}

static inline void await(struct caller *caller, const struct asked *asked)
{
	uint64_t end = os_now() + PATIENCE;

	while (!asked->calls && os_now() < end)
		turn_all(&caller, 1);
	assert_int_equal(asked->calls, 1);
}

static inline void ask_and_await(struct caller *caller, const struct control_request *request,
				 struct asked *asked)
{
	ask(caller, request, 30, asked);
	await(caller, asked);
}

#endif
