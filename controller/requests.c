/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/base.h"
#include "os/fd.h"
#include "report.h"
#include "verbs.h"

/* A request that is being carried out. */
struct request {
	struct caller *caller;
	struct machine *machine;
	char verb[32]; /* as the caller wrote it; "": there is none */
	char target[INSTANCE_NAME_MAX + CARD_NAME_MAX + 2]; /* instance, or instance/card */
	uint64_t ticket;
	bool accepted; /* it is in the audit log */
	const json_t *object;
	struct place place;
	struct error error;
};

/* One verb. Returns 0: it has answered, or will (the caller's ticket is in the machine's hands);
 * -errno: `error` has the answer. */
typedef int (*verb_fn)(struct request *request);

static void name_target(struct request *request, const char *card)
{
	snprintf(request->target, sizeof(request->target), "%s%s%s",
		 request->machine->instance->name, card ? "/" : "", card ? card : "");
}

/* The last step before anything is done. `ticket` 0: it is done as soon as it is answered. */
static int accept_as(struct request *request, uint64_t ticket)
{
	int ret = account_accept(request->caller->verbs->account, ticket, request->caller->who,
				 request->verb, request->target, &request->error);

	request->accepted = ret == 0;
	request->ticket = ticket;
	return ret;
}

static int accept_request(struct request *request)
{
	request->caller->ticket = ++request->caller->verbs->last_ticket;
	return accept_as(request, request->caller->ticket);
}

static int expect_members(struct request *request, const char *const *known)
{
	return strict_members(&request->place, request->object, known);
}

static int expect_none(struct request *request)
{
	static const char *const known[] = {"verb", NULL};

	return expect_members(request, known);
}

static int take_flag(struct request *request, const char *member, bool *flag)
{
	const json_t *value = json_object_get(request->object, member);

	if (value && !json_is_boolean(value))
		return strict_refuse(&request->place, member, "must be true or false");
	*flag = json_is_true(value);
	return 0;
}

/* A card's name or a slot's number. */
static int take_card(struct request *request, const char **card)
{
	return strict_name(&request->place, request->object, "card", true, CARD_NAME_MAX, card);
}

static int expect_running(struct request *request)
{
	if (request->machine->state == MACHINE_RUNNING || request->machine->state == MACHINE_PAUSED)
		return 0;
	return error_set(&request->error, EBUSY, "the instance is %s",
			 request->machine->state == MACHINE_STARTING ? "still starting" : "ending");
}

/* The last step of what is asked of a card of the instance. */
static int accept_for_card(struct request *request, const char *card)
{
	int ret = expect_running(request);

	if (ret < 0)
		return ret;
	name_target(request, card);
	return accept_request(request);
}

/* The key's number in a request is 3, whatever it was on the caller's side: it came along. */
static int take_key(struct request *request, struct card_spec *card)
{
	for (size_t i = 0; i < card->kind->member_count; i++) {
		if (card->kind->members[i].type != CARD_KEY || !card->values[i].given)
			continue;
		if (request->caller->descriptor < 0)
			return strict_refuse(&request->place, card->kind->members[i].name,
					     "no descriptor came with the request");
		card->values[i].number = (uint64_t)os_steal_fd(&request->caller->descriptor);
	}
	return 0;
}

/* A path that is not absolute means something else here than where it was written. */
static int check_store(struct request *request, const struct card_spec *card)
{
	const struct card_value *store = card_spec_value(card, CARD_STORE);

	if (!store || store->text[0] == '/' || card_store_is_ram(store->text))
		return 0;
	return strict_refuse(&request->place, "store", "must be an absolute path");
}

static int attach(struct request *request)
{
	static const char *const known[] = {"verb", "card", NULL};
	struct card_spec card = {0};
	int ret = expect_members(request, known);

	if (ret == 0)
		ret = expect_running(request);
	if (ret < 0)
		return ret;
	snprintf(request->place.path, sizeof(request->place.path), "card");
	ret = instance_parse_card(&card, json_object_get(request->object, "card"), NULL,
				  &request->place);
	if (ret < 0)
		return ret;
	name_target(request, card.name[0] ? card.name : card.kind->name);
	ret = check_store(request, &card);
	if (ret == 0)
		ret = accept_request(request);
	if (ret == 0)
		ret = take_key(request, &card);
	if (ret < 0) {
		card_spec_free(&card);
		return ret;
	}
	return slots_attach(request->machine, &card, request->ticket, false, &request->error);
}

static int detach(struct request *request)
{
	static const char *const known[] = {"verb", "card", "force", "timeout", NULL};
	uint64_t seconds = MACHINE_EJECT_DEADLINE / NS_PER_S;
	const char *card = NULL;
	bool force = false;
	int ret = expect_members(request, known);

	if (ret == 0)
		ret = take_card(request, &card);
	if (ret == 0)
		ret = take_flag(request, "force", &force);
	if (ret == 0)
		ret = strict_number(&request->place, request->object, "timeout", false, 1, 3600,
				    &seconds);
	if (ret == 0)
		ret = accept_for_card(request, card);
	if (ret < 0)
		return ret;
	return slots_detach(request->machine, card, force, seconds * NS_PER_S, request->ticket,
			    &request->error);
}

static int update(struct request *request)
{
	static const char *const known[] = {"verb", "card", "hypervisor", "program", NULL};
	const char *card = NULL, *program = NULL;
	bool hypervisor = false;
	int ret = expect_members(request, known);

	if (ret == 0)
		ret = take_flag(request, "hypervisor", &hypervisor);
	if (ret == 0 && !hypervisor)
		ret = take_card(request, &card);
	else if (ret == 0 && json_object_get(request->object, "card"))
		ret = strict_refuse(&request->place, "card", "is it that or the hypervisor?");
	if (ret == 0)
		ret = strict_text(&request->place, request->object, "program", false, CARD_PATH_MAX,
				  &program);
	if (ret == 0 && program && program[0] != '/')
		ret = strict_refuse(&request->place, "program", "must be an absolute path");
	if (ret == 0)
		ret = accept_for_card(request, card);
	if (ret < 0)
		return ret;
	if (hypervisor)
		return upgrade_begin(request->machine, program, request->ticket, &request->error);
	return restart_update(request->machine, card, program, request->ticket, &request->error);
}

static int resize(struct request *request)
{
	static const char *const known[] = {"verb", "card", "size", NULL};
	const char *card = NULL;
	uint64_t size = 0;
	int ret = expect_members(request, known);

	if (ret == 0)
		ret = take_card(request, &card);
	if (ret == 0)
		ret = strict_size(&request->place, request->object, "size", true, &size);
	if (ret == 0)
		ret = accept_for_card(request, card);
	if (ret < 0)
		return ret;
	return tasks_resize(request->machine, card, size, request->ticket, &request->error);
}

static int snapshot(struct request *request)
{
	static const char *const known[] = {"verb", "card", NULL};
	const char *card = NULL;
	int ret = expect_members(request, known);

	if (ret == 0)
		ret = take_card(request, &card);
	if (ret == 0 && request->caller->descriptor < 0)
		ret = error_set(&request->error, EINVAL, "no descriptor came with the request");
	if (ret == 0)
		ret = accept_for_card(request, card);
	if (ret < 0)
		return ret;
	return tasks_snapshot(request->machine, card, os_steal_fd(&request->caller->descriptor),
			      request->ticket, &request->error);
}

static int status(struct request *request)
{
	int ret = expect_none(request);

	if (ret == 0)
		ret = accept_as(request, 0);
	if (ret == 0)
		caller_answer(request->caller, report_make(request->machine));
	return ret;
}

static int order(struct request *request, enum command_verb verb)
{
	int ret = expect_none(request);

	if (ret == 0)
		ret = expect_running(request);
	if (ret == 0)
		ret = accept_request(request);
	if (ret < 0)
		return ret;
	ret = orders_push(request->machine,
			  (struct order){.verb = verb, .ticket = request->ticket});
	return ret < 0 ? error_set(&request->error, EBUSY, "too many commands wait") : 0;
}

static int pause_guest(struct request *request)
{
	return order(request, COMMAND_PAUSE);
}

static int resume_guest(struct request *request)
{
	return order(request, COMMAND_RESUME);
}

static int reset_guest(struct request *request)
{
	return order(request, COMMAND_RESET);
}

/* Answered when the instance has ended. */
static int stop(struct request *request)
{
	int ret = expect_none(request);

	if (ret == 0)
		ret = expect_running(request);
	if (ret == 0)
		ret = accept_as(request, ACCOUNT_AT_END);
	if (ret < 0)
		return ret;
	if (orders_push(request->machine, (struct order){.verb = COMMAND_SHUTDOWN}) < 0)
		return error_set(&request->error, EBUSY, "too many commands wait");
	request->caller->waits_end = true;
	return 0;
}

static int kill_guest(struct request *request)
{
	int ret = expect_none(request);

	if (ret == 0)
		ret = accept_as(request, ACCOUNT_AT_END);
	if (ret < 0)
		return ret;
	machine_kill(request->machine);
	request->caller->waits_end = true;
	return 0;
}

static int console(struct request *request)
{
	int ret = expect_none(request);

	if (ret == 0)
		ret = accept_as(request, 0);
	if (ret < 0)
		return ret;
	request->caller->follows = true;
	caller_say(request->caller, 0, "the console follows");
	return 0;
}

static const struct {
	const char *name;
	verb_fn run;
} verbs[] = {
	{"attach", attach},	  {"detach", detach},	  {"update", update},
	{"resize", resize},	  {"snapshot", snapshot}, {"status", status},
	{"stop", stop},		  {"kill", kill_guest},	  {"pause", pause_guest},
	{"resume", resume_guest}, {"reset", reset_guest}, {"console", console},
};

static int run_verb(struct request *request)
{
	const char *name = NULL;
	int ret = strict_text(&request->place, request->object, "verb", true, 32, &name);

	if (ret < 0)
		return ret;
	snprintf(request->verb, sizeof(request->verb), "%s", name);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (!strcmp(verbs[i].name, name))
			return verbs[i].run(request);
	}
	return strict_refuse(&request->place, "verb", "there is no such verb");
}

static void not_done(struct request *request)
{
	struct account *account = request->caller->verbs->account;

	if (request->accepted)
		account_outcome(account, request->ticket, request->error.code, request->error.text);
	else
		account_refuse(account, request->caller->who, request->verb, request->target,
			       request->error.code, request->error.text);
}

void request_carry_out(struct caller *caller)
{
	struct request request = {.caller = caller, .machine = caller->verbs->machine};
	json_t *object = NULL;
	int ret;

	name_target(&request, NULL);
	request.place = (struct place){.file = "request", .error = &request.error};
	ret = strict_parse("request", caller->request, caller->request_length, &object,
			   &request.error);
	if (ret == 0) {
		request.object = object;
		ret = run_verb(&request);
	}
	json_decref(object);
	if (ret < 0)
		not_done(&request);
	if (ret < 0)
		caller_say(caller, request.error.code, "%s", request.error.text);
}
