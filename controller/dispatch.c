/* SPDX-License-Identifier: Apache-2.0 */
#include "dispatch_call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "files.h"
#include "remember.h"
#include "trust/digest.h"

/* ---- the audit log ---- */

static int write_line(struct call *call, int code, const char *text, struct error *error)
{
	struct audit_record record = {.caller = call->who,
				      .verb = call->request.verb_name,
				      .object = call->target,
				      .code = code,
				      .text = text};

	return audit_write(&call->fleet->audit, &record, error);
}

/* The last step before anything is done. */
int call_accept(struct call *call)
{
	int ret = write_line(call, 0, "accepted", &call->error);

	if (ret < 0)
		return ret;
	call->accepted = true;
	if (call->operation)
		call->operation->line = audit_last(&call->fleet->audit);
	return 0;
}

static void refuse_call(struct call *call)
{
	struct error error = {0};

	if (write_line(call, call->error.code, call->error.text, &error) < 0)
		fprintf(stderr, "karuta-controller: %s: %s\n", call->error.text, error.text);
}

/* ---- arguments ---- */

void call_copy_text(const struct control_value *value, char *to, size_t size)
{
	snprintf(to, size, "%.*s", value ? (int)value->length : 0, value ? value->text : "");
}

void call_name_target(struct call *call, const char *instance, const char *card)
{
	snprintf(call->target, sizeof(call->target), "%s%s%s", instance, card[0] ? "/" : "", card);
}

/* The instance, and the card that is named, if any. */
int call_take_names(struct call *call, char card[CARD_NAME_MAX + 1])
{
	call_copy_text(control_value_find(&call->request, "card"), card, CARD_NAME_MAX + 1);
	call->unit = fleet_find(call->fleet, call->target, &call->error);
	if (!call->unit)
		return -ESRCH;
	call_name_target(call, call->unit->name, card);
	return 0;
}

static int expect_begun(struct call *call)
{
	enum machine_state state = call->unit->machine.state;

	if (state == MACHINE_RUNNING || state == MACHINE_PAUSED)
		return 0;
	return error_set(&call->error, EBUSY, "the instance is %s",
			 state == MACHINE_STARTING ? "still starting" : "ending");
}

int call_begin(struct call *call)
{
	int ret = expect_begun(call);

	if (ret == 0 && call->unit->machine.unsettled)
		ret = error_set(&call->error, EBUSY,
				"the controller was just started again; ask again in a moment");
	return ret == 0 ? call_accept(call) : ret;
}

/* ---- verbs ---- */

static int list(struct call *call)
{
	const struct control_value *counters = control_value_find(&call->request, "counters");
	int ret = call_accept(call);

	if (ret == 0)
		call->result = fleet_list(call->fleet, counters && counters->number);
	return ret;
}

/* One that is known, running or not. */
int call_take_known(struct call *call)
{
	call->unit = fleet_find_any(call->fleet, call->target);
	if (call->unit)
		return 0;
	return error_set(&call->error, ESRCH, "there is no instance %s", call->target);
}

static int status(struct call *call)
{
	int ret = call_take_known(call);

	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0)
		call->result = fleet_status(call->unit);
	return ret;
}

static int events(struct call *call)
{
	const struct control_value *since = control_value_find(&call->request, "since");
	int ret = call_accept(call);

	if (ret == 0)
		call->result = alarms_list(&call->fleet->alarms, since ? since->number : 0);
	return ret;
}

static int wrapping(struct call *call)
{
	char key[2 * WRAP_PUBLIC_SIZE + 1];
	int ret = call_accept(call);

	if (ret < 0)
		return ret;
	trust_hex(wrap_pair_public(call->fleet->wrapping), WRAP_PUBLIC_SIZE, key);
	call->result =
		json_pack("{s:s,s:b}", "wrapping", key, "attested", call->fleet->wrapping_attested);
	return 0;
}

static int check_instance(struct call *call, struct instance *instance)
{
	int ret = 0;

	call_name_target(call, instance->name, "");
	if (!instance->name[0])
		ret = error_set(&call->error, EINVAL, "spec: name: missing");
	if (ret == 0)
		ret = files_check(call->fleet->files, instance, &call->error);
	return ret == 0 ? call_accept(call) : ret;
}

/* The keys that came, of just these cards. */
static int take_keys(struct call *call, struct keyring *keys, const struct card_spec *cards,
		     size_t count)
{
	int ret = keyring_fill(keys, &call->request, call->caller, call->fleet->wrapping,
			       &call->error);

	if (ret == 0)
		ret = keyring_fits(keys, cards, count, &call->error);
	if (ret < 0)
		keyring_free(keys);
	return ret;
}

static int launch(struct call *call)
{
	const struct control_value *spec = control_value_find(&call->request, "spec");
	struct keyring keys = {0};
	struct instance instance;
	int ret = instance_parse(&instance, "spec", call->fleet->files, spec->text, spec->length,
				 &call->error);

	if (ret < 0)
		return ret;
	ret = check_instance(call, &instance);
	if (ret == 0)
		ret = take_keys(call, &keys, instance.cards, instance.card_count);
	if (ret < 0) {
		instance_free(&instance);
		return ret;
	}
	return fleet_launch(call->fleet, &instance, spec->text, spec->length, &keys,
			    call->operation, &call->error);
}

static int start(struct call *call)
{
	struct keyring keys = {0};
	int ret = call_take_known(call);

	if (ret == 0)
		ret = revival_prepare(call->unit, &call->error);
	if (ret < 0)
		return ret;
	ret = call_accept(call);
	if (ret == 0)
		ret = take_keys(call, &keys, call->unit->instance.cards,
				call->unit->instance.card_count);
	if (ret < 0) {
		instance_free(&call->unit->instance);
		return ret;
	}
	return fleet_start(call->unit, &keys, call->operation, &call->error);
}

static int forget(struct call *call)
{
	char text[OPERATION_TEXT];
	int ret = call_take_known(call);

	if (ret == 0)
		ret = fleet_may_forget(call->unit, &call->error);
	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0)
		ret = fleet_forget(call->unit, &call->error);
	if (ret < 0)
		return ret;
	snprintf(text, sizeof(text), "instance %s is forgotten", call->target);
	fleet_finish(call->fleet, call->operation, 0, text);
	return 0;
}

static int parse_card(struct call *call, struct card_spec *card)
{
	const struct control_value *text = control_value_find(&call->request, "card");
	struct place place = {.file = "card", .error = &call->error};
	json_t *object = NULL;
	int ret = strict_parse("card", text->text, text->length, &object, &call->error);

	if (ret == 0)
		ret = instance_parse_card(card, object, call->fleet->files, &place);
	json_decref(object);
	return ret;
}

static int check_card(struct call *call, struct card_spec *card)
{
	int ret = files_check_card(call->fleet->files, card, &call->error);

	call_name_target(call, call->unit->name, card->name[0] ? card->name : card->kind->name);
	return ret == 0 ? call_begin(call) : ret;
}

/* The key's number is a descriptor of ours from here on. */
static int attach_card(struct call *call, struct card_spec *card, const struct keyring *keys)
{
	int ret = keyring_give(keys, card, 1, &call->error);
	uint64_t ticket;
	struct trace *trace;

	if (ret < 0) {
		card_spec_free(card);
		return ret;
	}
	ticket = fleet_wait(call->unit, call->operation, OPERATION_TICKET);
	ret = slots_attach(&call->unit->machine, card, ticket, false, &call->error);
	trace = slots_trace(&call->unit->machine, ticket);
	if (trace)
		trace->begun = call->begun;
	return ret;
}

static int attach(struct call *call)
{
	struct card_spec card = {0};
	struct keyring keys = {0};
	int ret;

	call->unit = fleet_find(call->fleet, call->target, &call->error);
	ret = call->unit ? parse_card(call, &card) : -ESRCH;
	if (ret < 0)
		return ret;
	ret = check_card(call, &card);
	if (ret == 0)
		ret = take_keys(call, &keys, &card, 1);
	if (ret < 0) {
		card_spec_free(&card);
		return ret;
	}
	ret = attach_card(call, &card, &keys);
	keyring_free(&keys);
	return ret;
}

static int detach(struct call *call)
{
	const struct control_value *force = control_value_find(&call->request, "force");
	const struct control_value *timeout = control_value_find(&call->request, "timeout");
	uint64_t patience = timeout ? timeout->number * NS_PER_S : MACHINE_EJECT_DEADLINE;
	char card[CARD_NAME_MAX + 1];
	int ret = call_take_names(call, card);

	if (ret == 0)
		ret = call_begin(call);
	if (ret < 0)
		return ret;
	return slots_detach(&call->unit->machine, card, force && force->number, patience,
			    fleet_wait(call->unit, call->operation, OPERATION_TICKET),
			    &call->error);
}

static int update(struct call *call)
{
	const struct control_value *flag = control_value_find(&call->request, "hypervisor");
	bool hypervisor = flag && flag->number;
	char card[CARD_NAME_MAX + 1];
	int ret = call_take_names(call, card);
	uint64_t ticket;

	if (ret == 0 && hypervisor == (card[0] != '\0'))
		ret = error_set(&call->error, EINVAL, "give either card or hypervisor=true");
	if (ret == 0)
		ret = call_begin(call);
	if (ret < 0)
		return ret;
	ticket = fleet_wait(call->unit, call->operation, OPERATION_TICKET);
	if (hypervisor)
		return upgrade_begin(&call->unit->machine, NULL, ticket, &call->error);
	return restart_update(&call->unit->machine, card, NULL, ticket, &call->error);
}

static int resize(struct call *call)
{
	const struct control_value *size = control_value_find(&call->request, "size");
	char card[CARD_NAME_MAX + 1];
	int ret = call_take_names(call, card);

	if (ret == 0)
		ret = call_begin(call);
	if (ret < 0)
		return ret;
	return tasks_resize(&call->unit->machine, card, size->number,
			    fleet_wait(call->unit, call->operation, OPERATION_TICKET),
			    &call->error);
}

static int push_order(struct call *call, enum command_verb verb, enum operation_wait wait)
{
	struct order order = {.verb = verb};
	uint64_t ticket = fleet_wait(call->unit, call->operation, wait);

	if (wait == OPERATION_TICKET)
		order.ticket = ticket;
	if (orders_push(&call->unit->machine, order) < 0)
		return error_set(&call->error, EBUSY, "too many commands wait");
	return 0;
}

static int order(struct call *call, enum command_verb verb)
{
	char card[CARD_NAME_MAX + 1];
	int ret = call_take_names(call, card);

	if (ret == 0)
		ret = call_begin(call);
	return ret == 0 ? push_order(call, verb, OPERATION_TICKET) : ret;
}

/* Of one that does not run, but would be started again. 1: it is no such one. */
static int call_off(struct call *call)
{
	char text[OPERATION_TEXT];
	int ret;

	call->unit = fleet_find_any(call->fleet, call->target);
	if (!call->unit || call->unit->live ||
	    (call->unit->wait == UNIT_RESTS && !call->unit->entry.wanted))
		return 1;
	ret = call_accept(call);
	if (ret == 0)
		ret = revival_want(call->unit, false, &call->error);
	if (ret < 0)
		return ret;
	snprintf(text, sizeof(text), "instance %s will not be started again", call->target);
	fleet_finish(call->fleet, call->operation, 0, text);
	return 0;
}

static void pull_plug(struct call *call)
{
	fleet_wait(call->unit, call->operation, OPERATION_END);
	call->operation->plug = true;
	machine_kill(&call->unit->machine);
}

/* It is written down before it is done: whatever happens, the instance is not started again. What
 * has not begun has nothing to lose. */
static int stop(struct call *call)
{
	char card[CARD_NAME_MAX + 1];
	int ret = call_off(call);
	bool starting;

	if (ret <= 0)
		return ret;
	ret = call_take_names(call, card);
	starting = ret == 0 && call->unit->machine.state == MACHINE_STARTING;
	if (ret == 0 && !starting)
		ret = expect_begun(call);
	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0)
		ret = revival_want(call->unit, false, &call->error);
	if (ret < 0)
		return ret;
	if (starting) {
		pull_plug(call);
		return 0;
	}
	ret = push_order(call, COMMAND_SHUTDOWN, OPERATION_END);
	if (ret < 0)
		revival_want(call->unit, true, NULL);
	return ret;
}

static int reset_guest(struct call *call)
{
	return order(call, COMMAND_RESET);
}

static int pause_guest(struct call *call)
{
	return order(call, COMMAND_PAUSE);
}

static int resume_guest(struct call *call)
{
	return order(call, COMMAND_RESUME);
}

static int kill_guest(struct call *call)
{
	char card[CARD_NAME_MAX + 1];
	int ret = call_off(call);

	if (ret <= 0)
		return ret;
	ret = call_take_names(call, card);
	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0)
		ret = revival_want(call->unit, false, &call->error);
	if (ret == 0)
		pull_plug(call);
	return ret;
}

static const struct {
	const char *name;
	call_fn run;
} verbs[] = {
	{"list", list},
	{"resize", resize},
	{"status", status},
	{"launch", launch},
	{"attach", attach},
	{"detach", detach},
	{"update", update},
	{"stop", stop},
	{"kill", kill_guest},
	{"reset", reset_guest},
	{"pause", pause_guest},
	{"resume", resume_guest},
	{"start", start},
	{"forget", forget},
	{"events", events},
	{"update-host", call_update_host},
	{"wrapping", wrapping},
	{"console", call_console},
	{"audit", call_audit},
	{"snapshot", call_snapshot},
	{"host", call_host},
	{"evidence", call_evidence},
	{"release", call_release},
	{"renew-request", call_renew_request},
	{"renew-install", call_renew_install},
	{"make-volume", call_make_volume},
	{"copy-volume", call_copy_volume},
	{"delete-volume", call_delete_volume},
	{"grow-volume", call_grow_volume},
	{"images", call_images},
	{"write-image", call_write_image},
	{"finish-image", call_finish_image},
	{"delete-image", call_delete_image},
};

static int run_verb(struct call *call)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (!strcmp(verbs[i].name, call->request.verb->name))
			return verbs[i].run(call);
	}
	return error_set(&call->error, ENOSYS, "there is no verb %s", call->request.verb->name);
}

/* ---- the way through ---- */

static int check_role(struct call *call, const struct tls_peer *peer)
{
	enum control_role needed = call->request.verb->role;

	if (peer->role >= needed)
		return 0;
	return error_set(&call->error, EACCES, "%s needs the role %s; %s is %s",
			 call->request.verb->name, tls_role_name(needed), peer->name,
			 tls_role_name(peer->role));
}

/* 1: it was sent before, and has an answer or will have. */
static int find_again(struct call *call)
{
	struct operation *operation =
		operations_find(&call->fleet->operations, call->caller, call->request.id);
	char text[64];
	int ret;

	if (!operation)
		return 0;
	/* A code of its own: EEXIST would say that what was asked for is there. */
	if (!operation_is(operation, call->digest))
		return error_set(&call->error, ENOTUNIQ,
				 "its identifier was that of another request before");
	snprintf(text, sizeof(text), "sent again, see line %llu",
		 (unsigned long long)operation->line);
	ret = write_line(call, 0, text, &call->error);
	call->operation = operation;
	return ret < 0 ? ret : 1;
}

/* Of one that changes something: an operation, whose end is the answer. */
static int run_operation(struct call *call)
{
	int ret = wrap_digest(&call->request, call->digest);

	if (ret < 0)
		return error_set(&call->error, -ret, "%s", strerror(-ret));
	ret = find_again(call);
	if (ret)
		return ret < 0 ? ret : 0;
	call->operation = operations_begin(&call->fleet->operations, call->caller, call->request.id,
					   call->digest);
	if (!call->operation)
		return error_set(&call->error, EBUSY, "too many commands are under way");
	/* Before it is begun: it is not to be begun twice, whoever dies meanwhile. */
	remember_operation(call->fleet, call->operation);
	ret = run_verb(call);
	if (ret == 0 && !call->operation->done)
		remember_operation(call->fleet, call->operation);
	if (ret == 0)
		return 0;
	if (!call->accepted)
		refuse_call(call);
	/* A refusal is an answer too: sent again, it is not tried again. */
	fleet_finish(call->fleet, call->operation, call->error.code, call->error.text);
	return 0;
}

/* For the audit log, also when it is refused. */
static void name_instance(struct call *call)
{
	const struct control_value *instance = control_value_find(&call->request, "instance");
	char name[INSTANCE_NAME_MAX + 1];

	call_copy_text(instance, name, sizeof(name));
	call_name_target(call, name, "");
}

static int run_request(struct call *call, const struct tls_peer *peer, const uint8_t *frame,
		       size_t length)
{
	int ret = control_request_decode(&call->request, frame, length, &call->error);

	if (ret == 0)
		name_instance(call);
	if (ret == 0)
		ret = check_role(call, peer);
	if (ret == 0)
		ret = standstill_check(call->fleet, call->request.verb, &call->error);
	if (ret == 0)
		ret = call->request.verb->changes ? run_operation(call) : run_verb(call);
	if (ret < 0 && !call->accepted)
		refuse_call(call);
	if (ret == 0 && !call->request.verb->changes && !call->result)
		ret = error_set(&call->error, ENOMEM, "out of memory");
	return ret;
}

void dispatch(struct fleet *fleet, const struct tls_peer *peer, const uint8_t *frame, size_t length,
	      struct outcome *outcome)
{
	struct call call = {.fleet = fleet, .caller = peer->name, .begun = os_now()};
	int ret;

	snprintf(call.who, sizeof(call.who), "%s (%s)", peer->name, tls_role_name(peer->role));
	ret = run_request(&call, peer, frame, length);
	*outcome = (struct outcome){.is_request = call.request.has_id && ret != -EBADMSG,
				    .code = ret < 0 ? call.error.code : 0,
				    .operation = ret < 0 ? NULL : call.operation,
				    .result = call.result};
	memcpy(outcome->id, call.request.id, CONTROL_ID_SIZE);
	snprintf(outcome->text, sizeof(outcome->text), "%s", ret < 0 ? call.error.text : "done");
}
