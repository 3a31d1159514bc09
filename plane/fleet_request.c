/* SPDX-License-Identifier: Apache-2.0 */
/* What hosts are sent, with keys, and what comes back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "fleet_private.h"

#define FIRST_KEY 3u /* key_fd of slot 0 */

_Static_assert(VOLUME_SLOTS <= CONTROL_KEYS_MAX, "an instance's keys fit a request");

/* ---- its answer ---- */

/* Of an entry that may be gone, or another of its name, when the answer comes. */
struct errand {
	struct fleet *fleet;
	enum fleet_kind kind;
	uint8_t uid[ATTEMPT_UID_SIZE];
	unsigned step;
	uint32_t number;
	const int *also_done; /* codes that say that it is as it was to be; ends with 0 */
};

static bool is_done(const struct errand *errand, int code)
{
	for (const int *done = errand->also_done; *done; done++) {
		if (*done == code)
			return true;
	}
	return code == 0;
}

/* Something is not there that it was to begin with, perhaps a file of its image, which was. */
static void look_for_image(const struct entry *entry)
{
	const char *image = doc_text(entry->doc, "spec.image_uid");

	if (image[0] && entry->host)
		images_forget(entry->fleet->setup.images, entry->host->name, image);
}

static enum attempt_outcome outcome_of(const struct errand *errand, struct entry *entry,
				       const struct control_answer *answer,
				       const struct error *error)
{
	entry->refusal[0] = '\0';
	if (error || !answer) {
		snprintf(entry->refusal, sizeof(entry->refusal), "%s", error ? error->text : "");
		return ATTEMPT_UNANSWERED;
	}
	if (is_done(errand, answer->code))
		return ATTEMPT_DONE;
	if (answer->code == ENOENT)
		look_for_image(entry);
	snprintf(entry->refusal, sizeof(entry->refusal), "%.*s", (int)answer->text_length,
		 answer->text);
	return ATTEMPT_REFUSED;
}

static void on_answer(void *context, const struct control_answer *answer, const struct error *error)
{
	struct errand *errand = context;
	struct entry *entry = fleet_find_uid(errand->fleet, errand->kind, errand->uid);
	enum attempt_outcome outcome;
	json_t *result = NULL;

	if (entry) {
		if (entry->number == errand->number)
			entry->step = 0;
		outcome = outcome_of(errand, entry, answer, error);
		if (answer && !answer->code && answer->result_length)
			result = json_loadb(answer->result, answer->result_length,
					    JSON_REJECT_DUPLICATES, NULL);
		fleet_touch(entry);
		if (errand->kind == FLEET_INSTANCE)
			fleet_instance_answered(entry, errand->step, errand->number, outcome,
						result);
		else
			fleet_volume_answered(entry, errand->step, errand->number, outcome, result);
		json_decref(result);
	}
	free(errand);
}

bool fleet_may_send(const struct entry *entry, unsigned room)
{
	return entry->host && hosts_room(*entry->fleet->setup.hosts, entry->host->name) > room;
}

/* ---- with keys ---- */

struct sending {
	struct entry *entry;
	struct control_request request;
	struct errand *errand;
	struct entry *volumes[VOLUME_SLOTS]; /* whose keys go with it, by slot */
	size_t volume_count, next;
	unsigned numbers[VOLUME_SLOTS];
	struct error error;
};

static int send_now(struct sending *sending)
{
	return hosts_ask(*sending->entry->fleet->setup.hosts, sending->entry->host->name,
			 &sending->request, ATTEMPT_DEADLINE / 1000, on_answer, sending->errand,
			 &sending->error);
}

/* Each key is there for the time of a call only: so the next is asked for within that. */
static int with_keys(void *context, const uint8_t key[KEYS_KEY_SIZE])
{
	struct sending *sending = context;
	struct control_request *request = &sending->request;
	const struct entry *volume;

	if (key) {
		request->keys[request->key_count] =
			(struct control_key){.number = sending->numbers[request->key_count],
					     .bytes = key,
					     .length = KEYS_KEY_SIZE};
		request->key_count++;
	}
	if (request->key_count == sending->volume_count)
		return send_now(sending);
	volume = sending->volumes[request->key_count];
	return keys_get(volume->fleet->setup.keys, doc_text(volume->doc, "spec.key"), with_keys,
			sending, &sending->error);
}

static void set(struct control_request *request, const char *name,
		const struct control_value *value)
{
	for (size_t i = 0; i < request->verb->argument_count; i++) {
		if (!strcmp(request->verb->arguments[i].name, name))
			request->values[i] = *value;
	}
}

static void set_text(struct control_request *request, const char *name, const char *text)
{
	const struct control_value value = {.given = true, .text = text, .length = strlen(text)};

	set(request, name, &value);
}

static void set_number(struct control_request *request, const char *name, uint64_t number)
{
	const struct control_value value = {.given = true, .number = number};

	set(request, name, &value);
}

/* As a thing that nobody has answered: it is asked again, a little later. But one whose key is gone
 * for good is never made, and must not be in the way of its own deletion. */
static enum attempt_outcome outcome_unsent(const struct sending *sending, unsigned step, int ret)
{
	/* The key service has no words for a key that it does not know. */
	bool keyless = ret == -EKEYREVOKED || (ret == -ENOENT && !sending->error.code);

	return sending->entry->kind != FLEET_INSTANCE && step == VOLUME_CREATE && keyless
		       ? ATTEMPT_REFUSED
		       : ATTEMPT_UNANSWERED;
}

/* Frees nothing of the request, which is the caller's. */
static void send_it(struct sending *sending, const uint8_t id[ATTEMPT_ID_SIZE], unsigned step,
		    uint32_t number, const int *also_done)
{
	struct entry *entry = sending->entry;
	struct errand *errand = malloc(sizeof(*errand));
	int ret = errand ? 0 : -ENOMEM;

	_Static_assert(ATTEMPT_ID_SIZE == CONTROL_ID_SIZE,
		       "an attempt's identifier is a request's");
	sending->request.has_id = true;
	if (sending->volume_count)
		set(&sending->request, "keys", &(const struct control_value){.given = true});
	memcpy(sending->request.id, id, ATTEMPT_ID_SIZE);
	if (errand) {
		*errand = (struct errand){entry->fleet, entry->kind, {0}, step, number, also_done};
		memcpy(errand->uid, entry->uid, sizeof(errand->uid));
		sending->errand = errand;
		ret = with_keys(sending, NULL);
	}
	if (ret == 0) {
		entry->step = step;
		entry->number = number;
		return;
	}
	free(errand);
	snprintf(entry->refusal, sizeof(entry->refusal), "%s",
		 sending->error.code ? sending->error.text : strerror(-ret));
	if (entry->kind == FLEET_INSTANCE)
		fleet_instance_answered(entry, step, number, ATTEMPT_UNANSWERED, NULL);
	else
		fleet_volume_answered(entry, step, number, outcome_unsent(sending, step, ret),
				      NULL);
}

/* ---- of instances ---- */

static json_t *card_json(const struct entry *volume, unsigned slot)
{
	char file[RECORDS_FILE_MAX], name[RECORDS_CARD_MAX + 1];

	volume_host_file(volume->uid_text, file);
	volume_card_name(volume->uid_text, name);
	return json_pack("{s:i,s:s,s:s,s:s,s:i}", "slot", (int)slot, "name", name, "kind", "volume",
			 "store", file, "key_fd", (int)(FIRST_KEY + slot));
}

static void take_volume(void *context, struct entry *volume)
{
	struct sending *sending = context;
	size_t at = sending->volume_count;
	unsigned slot = volume->volume_record.slot;

	if (!fleet_is_bound_to(volume, sending->entry->uid) || at == VOLUME_SLOTS)
		return;
	for (; at && sending->numbers[at - 1] > FIRST_KEY + slot; at--) {
		sending->volumes[at] = sending->volumes[at - 1];
		sending->numbers[at] = sending->numbers[at - 1];
	}
	sending->volumes[at] = volume;
	sending->numbers[at] = FIRST_KEY + slot;
	sending->volume_count++;
}

/* A karuta-instance(5). */
static json_t *specification(const struct sending *sending, const char *name)
{
	static const char *const taken[] = {"memory", "cpus",	      "cores",	"kernel",
					    "initrd", "command_line", "restart"};
	const json_t *spec = json_object_get(sending->entry->doc, "spec");
	json_t *made = json_pack("{s:s,s:[]}", "name", name, "cards");

	for (size_t i = 0; made && i < ARRAY_LEN(taken); i++) {
		json_t *value = json_object_get(spec, taken[i]);

		if (value)
			json_object_set(made, taken[i], value);
	}
	for (size_t i = 0; made && i < sending->volume_count; i++)
		json_array_append_new(
			json_object_get(made, "cards"),
			card_json(sending->volumes[i], sending->numbers[i] - FIRST_KEY));
	return made;
}

static const struct verb {
	const char *name;
	int also_done[2];
} instance_verbs[] = {
	[INSTANCE_LAUNCH] = {"launch", {0}}, [INSTANCE_START] = {"start", {0}},
	[INSTANCE_STOP] = {"stop", {ESRCH}}, [INSTANCE_KILL] = {"kill", {ESRCH}},
	[INSTANCE_REBOOT] = {"reset", {0}},  [INSTANCE_FORGET] = {"forget", {ESRCH}},
};

static const struct control_verb *verb_of(const struct verb *verb)
{
	return control_verb_find(verb->name, strlen(verb->name));
}

void fleet_send_instance(struct entry *entry, enum instance_step step,
			 const uint8_t id[ATTEMPT_ID_SIZE])
{
	const struct verb *verb = &instance_verbs[step];
	struct sending sending = {.entry = entry, .request.verb = verb_of(verb)};
	char name[RECORDS_NAME_MAX];
	char *text = NULL;

	instance_host_name(entry->name, entry->uid_text, name);
	if (step == INSTANCE_LAUNCH || step == INSTANCE_START)
		fleet_each_volume(entry->fleet, entry->uid, take_volume, &sending);
	if (step == INSTANCE_LAUNCH) {
		json_t *spec = specification(&sending, name);

		text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
		json_decref(spec);
		set_text(&sending.request, "spec", text ? text : "");
	} else {
		set_text(&sending.request, "instance", name);
	}
	send_it(&sending, id, step, entry->instance_record.attempt.number, verb->also_done);
	free(text);
}

/* ---- of volumes ---- */

static const struct verb volume_verbs[] = {
	[VOLUME_CREATE] = {"make-volume", {EEXIST}},   [VOLUME_ATTACH] = {"attach", {0}},
	[VOLUME_DETACH] = {"detach", {ENOENT}},	       [VOLUME_RESIZE] = {"resize", {ERANGE}},
	[VOLUME_DELETE] = {"delete-volume", {ENOENT}},
};
static const struct verb copy_at_rest = {"copy-volume", {EEXIST}};
static const struct verb copy_in_use = {"snapshot", {EEXIST}};
static const struct verb grow_at_rest = {"grow-volume", {0}};

static bool is_copy(const struct entry *entry)
{
	return doc_text(entry->doc, "spec.source")[0];
}

static const struct verb *volume_verb(const struct entry *entry, enum volume_step step)
{
	const struct entry *source = fleet_source(entry);

	if (step == VOLUME_CREATE && is_copy(entry))
		return source && fleet_is_in_use(source) ? &copy_in_use : &copy_at_rest;
	if (step == VOLUME_RESIZE && !fleet_is_in_use(entry))
		return &grow_at_rest;
	return &volume_verbs[step];
}

struct texts {
	char file[RECORDS_FILE_MAX], from[RECORDS_FILE_MAX], card[RECORDS_CARD_MAX + 1];
	char instance[RECORDS_NAME_MAX], image[DOC_UID_SIZE];
};

/* Of one that is gone, too, if it is asked for again. */
static void fill_copy(struct sending *sending, struct texts *texts)
{
	const struct entry *source = fleet_source(sending->entry);
	const struct entry *holder =
		source && fleet_is_in_use(source) ? fleet_holder(source) : NULL;

	set_text(&sending->request, "file", texts->file);
	volume_host_file(doc_text(sending->entry->doc, "spec.source"), texts->from);
	set_text(&sending->request, "from", texts->from);
	if (!holder)
		return;
	volume_card_name(source->uid_text, texts->card);
	instance_host_name(holder->name, holder->uid_text, texts->instance);
	set_text(&sending->request, "card", texts->card);
	set_text(&sending->request, "instance", texts->instance);
}

static void fill_create(struct sending *sending, struct texts *texts)
{
	struct entry *entry = sending->entry;
	const char *image = doc_text(entry->doc, "spec.image_uid");

	if (is_copy(entry)) {
		fill_copy(sending, texts);
		return;
	}
	set_text(&sending->request, "file", texts->file);
	set_number(&sending->request, "size", entry->volume_record.doing_size);
	if (!image[0])
		return;
	snprintf(texts->image, sizeof(texts->image), "%s", image);
	set_text(&sending->request, "image", texts->image);
	sending->volumes[0] = entry;
	sending->numbers[0] = FIRST_KEY;
	sending->volume_count = 1;
}

/* Allocated: a card's specification. */
static char *fill_attach(struct sending *sending, const struct texts *texts)
{
	struct entry *entry = sending->entry;
	json_t *card = card_json(entry, entry->volume_record.slot);
	char *text = card ? json_dumps(card, JSON_COMPACT) : NULL;

	json_decref(card);
	set_text(&sending->request, "instance", texts->instance);
	set_text(&sending->request, "card", text ? text : "");
	sending->volumes[0] = entry;
	sending->numbers[0] = FIRST_KEY + entry->volume_record.slot;
	sending->volume_count = 1;
	return text;
}

static void fill_others(struct sending *sending, const struct texts *texts)
{
	const struct entry *entry = sending->entry;

	/* Each verb takes what it has an argument for. */
	set_text(&sending->request, "file", texts->file);
	set_text(&sending->request, "instance", texts->instance);
	set_text(&sending->request, "card", texts->card);
	set_number(&sending->request, "size", entry->volume_record.doing_size);
	if (entry->volume_want.force)
		set_number(&sending->request, "force", 1);
}

void fleet_send_volume(struct entry *entry, enum volume_step step,
		       const uint8_t id[ATTEMPT_ID_SIZE])
{
	const struct verb *verb = volume_verb(entry, step);
	struct sending sending = {.entry = entry, .request.verb = verb_of(verb)};
	const struct entry *holder = fleet_holder(entry);
	struct texts texts = {0};
	char *text = NULL;

	volume_host_file(entry->uid_text, texts.file);
	volume_card_name(entry->uid_text, texts.card);
	if (holder)
		instance_host_name(holder->name, holder->uid_text, texts.instance);
	if (step == VOLUME_CREATE)
		fill_create(&sending, &texts);
	else if (step == VOLUME_ATTACH)
		text = fill_attach(&sending, &texts);
	else
		fill_others(&sending, &texts);
	send_it(&sending, id, step, entry->volume_record.attempt.number, verb->also_done);
	free(text);
}
