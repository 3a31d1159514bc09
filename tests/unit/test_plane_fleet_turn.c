/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet's turns, with a host that is played here and a clock that the test turns: what it is
 * asked, and what becomes of what it says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "fleet.h"
#include "images.h"
#include "plane_folder.h"
#include "volumes.h"

#define CALLS_MAX  32u
#define NS_PER_MS_ UINT64_C(1000000)

static struct store *plane_store;
static struct kek *kek;
static struct keys *keys;
static struct events events;
static struct hosts *hosts; /* nobody looks at it */
static struct fleet *fleet;
static struct error error;
static uint64_t clock_ms, looked; /* and how often somebody looked at it */

/* ---- the host ---- */

static struct call {
	const struct control_verb *verb;
	char arguments[512]; /* "name=value ..." */
	size_t key_count;
	call_done_fn done; /* NULL: answered */
	void *context;
} calls[CALLS_MAX];

static struct trust_verdict verdict;
static unsigned room;
static bool is_there;
static unsigned forgotten;
static int image; /* what images_ensure() says */
static char list[2048];

uint64_t __wrap_os_now(void);
uint64_t __wrap_os_now(void)
{
	/* A turn that does not come to an end by itself does by this. */
	return clock_ms * NS_PER_MS_ + ++looked * (NS_PER_MS_ / 10);
}

struct trust_verdict hosts_verdict(const struct hosts *all, const char *name)
{
	(void)all;
	(void)name;
	return verdict;
}

bool hosts_has(const struct hosts *all, const char *name);
bool hosts_has(const struct hosts *all, const char *name)
{
	(void)all;
	(void)name;
	return is_there;
}

unsigned hosts_room(const struct hosts *all, const char *name)
{
	(void)all;
	(void)name;
	return room;
}

void hosts_each(const struct hosts *all, void (*fn)(void *context, const struct hosts_view *view),
		void *context)
{
	json_t *report =
		json_pack("{s:I,s:i,s:i}", "memory", (json_int_t)1 << 40, "cpus", 64, "cores", 64);
	const struct hosts_view view = {"h1", NULL, report, verdict};

	(void)all;
	if (is_there)
		fn(context, &view);
	json_decref(report);
}

static void write_down(struct call *call, const struct control_request *request)
{
	for (size_t i = 0; i < request->verb->argument_count; i++) {
		const struct control_value *value = &request->values[i];
		size_t length = strlen(call->arguments);

		if (value->given)
			snprintf(call->arguments + length, sizeof(call->arguments) - length,
				 "%s=%.*s%llu ", request->verb->arguments[i].name,
				 (int)value->length, value->text ? value->text : "",
				 (unsigned long long)value->number);
	}
}

int hosts_ask(struct hosts *all, const char *name, const struct control_request *request,
	      unsigned seconds, call_done_fn done, void *context, struct error *why)
{
	(void)all;
	(void)name;
	(void)seconds;
	for (size_t i = 0; i < CALLS_MAX; i++) {
		if (calls[i].done)
			continue;
		calls[i] = (struct call){.verb = request->verb,
					 .key_count = request->key_count,
					 .done = done,
					 .context = context};
		write_down(&calls[i], request);
		return 0;
	}
	return error_set(why, EBUSY, "full");
}

int images_ensure(struct images *images, const char *host, const char *uid, struct error *why)
{
	(void)images;
	(void)host;
	(void)uid;
	return image < 0 ? error_set(why, -image, "the image is not there any more") : 0;
}

void images_forget(struct images *images, const char *host, const char *uid)
{
	(void)images;
	(void)host;
	(void)uid;
	forgotten++;
}

/* NULL: it was not asked that. */
static struct call *asked(const char *verb)
{
	for (size_t i = 0; i < CALLS_MAX; i++) {
		if (calls[i].done && !strcmp(calls[i].verb->name, verb))
			return &calls[i];
	}
	return NULL;
}

static void answer_as(const char *verb, int code, const char *text, const char *result)
{
	struct call *call = asked(verb);
	struct control_answer answer = {.code = code,
					.text = text,
					.text_length = strlen(text),
					.result = result,
					.result_length = strlen(result)};
	call_done_fn done;

	if (!call)
		fail_msg("%s was not asked for", verb);
	done = call->done;
	call->done = NULL;
	done(call->context, &answer, NULL);
}

static void answer(const char *verb, int code, const char *text)
{
	answer_as(verb, code, text, "{}");
}

static void lose(const char *verb)
{
	const struct error lost = {ETIMEDOUT, "no answer"};
	struct call *call = asked(verb);
	call_done_fn done;

	assert_non_null(call);
	done = call->done;
	call->done = NULL;
	done(call->context, NULL, &lost);
}

static int begin_fleet(void)
{
	const struct fleet_setup setup = {
		.store = plane_store, .events = &events, .hosts = &hosts, .keys = keys};

	return fleet_open(&setup, &fleet, &error);
}

/* ---- time ---- */

/* So many ms pass, with all turns and lists that belong to them. */
static void pass(uint64_t ms)
{
	for (uint64_t end = clock_ms + ms; clock_ms < end; clock_ms += 25) {
		fleet_turn(fleet);
		if (asked("list"))
			answer_as("list", 0, "", list);
	}
}

/* What `instances` says of one, by what its host knows it by. */
static void host_has(const char *name, const char *state, const char *cards)
{
	json_t *doc = NULL;
	char known[RECORDS_NAME_MAX];

	assert_int_equal(doc_read(plane_store, "instances", name, &doc, &error), 0);
	instance_host_name(name, doc_uid(doc), known);
	json_decref(doc);
	snprintf(list, sizeof(list),
		 "{\"instances\": [{\"name\": \"%s\", \"state\": \"%s\", \"text\": \"\", "
		 "\"cards\": [%s]}]}",
		 known, state, cards);
}

/* ---- what is stored ---- */

static void store(const char *kind, json_t *doc)
{
	struct doc_batch batch = DOC_BATCH_NONE;

	assert_non_null(doc);
	doc_put(&batch, kind, doc_name(doc), doc, STORE_ANY);
	if (doc_commit(&batch, plane_store, NULL, &error) < 0)
		fail_msg("%s", error.text);
	json_decref(doc);
}

static json_t *stored(const char *kind, const char *name)
{
	json_t *doc = NULL;

	return doc_read(plane_store, kind, name, &doc, &error) < 0 ? NULL : doc;
}

static bool exists(const char *kind, const char *name)
{
	json_t *doc = stored(kind, name);

	json_decref(doc);
	return doc;
}

static const char *text(const char *kind, const char *name, const char *path)
{
	static char copy[512];
	json_t *doc = stored(kind, name);

	snprintf(copy, sizeof(copy), "%s", doc_text(doc, path));
	json_decref(doc);
	return copy;
}

static void make_instance(const char *name)
{
	const struct instance_want want = {.generation = 1, .starts = 1};
	json_t *doc = doc_make(name, NULL,
			       json_pack("{s:I,s:i,s:s}", "memory", (json_int_t)1 << 26, "cpus", 1,
					 "kernel", "kernel"),
			       0);

	assert_int_equal(instance_want_write(doc, &want), 0);
	store("instances", doc);
}

static void want_instance(const char *name, enum instance_wanted wanted)
{
	json_t *doc = stored("instances", name);
	struct instance_want want;

	assert_int_equal(instance_want_read(doc, &want, &error), 0);
	want.wanted = wanted;
	assert_int_equal(instance_want_write(doc, &want), 0);
	store("instances", doc);
}

/* Of `source`, "": of nothing. */
static void make_volume(const char *name, const char *source)
{
	struct volume_want want = {.generation = 1, .size = 8192};
	json_t *doc = doc_make(name, NULL, json_object(), 0), *metadata = json_object();
	char id[64];

	snprintf(id, sizeof(id), "vol-%s", doc_uid(doc));
	assert_int_equal(keys_make(keys, id, metadata, NULL, &error), 0);
	json_decref(metadata);
	doc_set(doc, "spec.key", json_string(id));
	if (source[0]) {
		doc_set(doc, "spec.source", json_string(text("volumes", source, "metadata.uid")));
		doc_set(doc, "spec.source_size", json_integer(8192));
	}
	assert_int_equal(volume_want_write(doc, &want), 0);
	store("volumes", doc);
}

static void delete_volume(const char *name)
{
	json_t *doc = stored("volumes", name);
	struct volume_want want;

	assert_int_equal(volume_want_read(doc, &want, &error), 0);
	want.generation++;
	want.gone = true;
	assert_int_equal(volume_want_write(doc, &want), 0);
	store("volumes", doc);
}

static void have_volume(const char *name)
{
	make_volume(name, "");
	pass(100);
	answer("make-volume", 0, "");
	pass(100);
	assert_string_equal(text("volumes", name, "status.state"), "available");
}

#define STATE(kind, name) text(kind, name, "status.state")
#define TEXT(kind, name)  text(kind, name, "status.text")

/* ---- instances ---- */

static void refused_by_the_only_host_it_is_tried_there_again(void **state)
{
	(void)state;
	make_instance("web");
	pass(2000);
	answer("launch", ENOENT, "kernel: open kernel: No such file or directory");
	pass(60000);
	assert_non_null(asked("launch"));
	answer("launch", 0, "");
	host_has("web", "running", "");
	pass(2000);
	assert_string_equal(STATE("instances", "web"), "running");
}

static void a_text_that_is_not_shown_as_it_is_does_not_keep_the_store_busy(void **state)
{
	uint64_t revision;

	(void)state;
	make_instance("web");
	pass(2000);
	answer("launch", EINVAL, "what it says is no UTF-8: \xff");
	pass(2000);
	revision = plane_store->revision;
	pass(300);
	assert_true(plane_store->revision < revision + 3);
}

static void what_a_host_does_not_tell_yet_is_not_shown_as_unknown(void **state)
{
	(void)state;
	make_instance("web");
	pass(2000);
	answer("launch", 0, "");
	host_has("web", "running", "");
	pass(2000);
	assert_string_equal(STATE("instances", "web"), "running");
	/* As it is before its first answer. */
	verdict = (struct trust_verdict){0};
	pass(100);
	make_instance("other");
	want_instance("web", INSTANCE_RUNNING);
	pass(100);
	assert_string_equal(STATE("instances", "web"), "running");
	verdict.why = "it does not answer";
	want_instance("web", INSTANCE_RUNNING);
	pass(100);
	assert_string_equal(STATE("instances", "web"), "unknown");
}

static void an_image_that_its_host_has_lost_is_sent_again(void **state)
{
	json_t *doc;

	(void)state;
	image = -EINPROGRESS;
	make_instance("web");
	doc = stored("instances", "web");
	doc_set(doc, "spec.image_uid", json_string("0123"));
	store("instances", doc);
	pass(2000);
	assert_null(asked("launch"));
	image = 0;
	pass(2000);
	answer("launch", ENOENT, "kernel: open images/0123/kernel: No such file or directory");
	assert_int_equal(forgotten, 1);
}

static void guests_that_do_not_stop_are_not_in_the_way_of_others(void **state)
{
	(void)state;
	make_instance("web");
	pass(2000);
	answer("launch", 0, "");
	host_has("web", "running", "");
	pass(2000);
	want_instance("web", INSTANCE_STOPPED);
	room = 3;
	make_volume("data", "");
	pass(2000);
	assert_null(asked("stop"));
	answer("make-volume", 0, "");
	room = 4;
	pass(200);
	assert_non_null(asked("stop"));
}

static void one_that_is_waited_for_is_looked_at_soon(void **state)
{
	(void)state;
	make_instance("web");
	pass(2000);
	while (!asked("list")) {
		clock_ms += 25;
		fleet_turn(fleet);
	}
	answer("list", 0, "");
	answer("launch", 0, "");
	fleet_turn(fleet);
	assert_null(asked("list"));
	assert_true(fleet_turn(fleet) <= (int)FLEET_LOOK_MS);
}

static void without_all_documents_there_is_no_fleet(void **state)
{
	json_t *doc = doc_make("web", NULL, json_object(), 0);

	(void)state;
	doc_set(doc, "metadata.uid", json_string("none"));
	fleet_close(fleet);
	fleet = NULL;
	store("instances", doc);
	assert_int_equal(begin_fleet(), -EBADMSG);
	assert_non_null(strstr(error.text, "instances/web"));
	assert_null(fleet);
}

/* ---- volumes ---- */

static void of_an_image_whose_key_is_gone_it_can_be_deleted(void **state)
{
	json_t *doc;

	(void)state;
	make_volume("data", "");
	doc = stored("volumes", "data");
	doc_set(doc, "spec.image_uid", json_string("0123"));
	store("volumes", doc);
	room = 0;
	pass(100);
	assert_int_equal(keys_delete(keys, text("volumes", "data", "spec.key"), STORE_ANY,
				     "2026-11-26T00:00:00Z", &error),
			 0);
	room = 6;
	pass(2000);
	assert_null(asked("make-volume"));
	assert_non_null(strstr(TEXT("volumes", "data"), "was deleted"));
	delete_volume("data");
	pass(400000);
	answer("delete-volume", ENOENT, "there is no such file");
	pass(100);
	assert_false(exists("volumes", "data"));
}

static void a_copy_whose_source_is_gone_can_be_deleted(void **state)
{
	struct doc_batch batch = DOC_BATCH_NONE;

	(void)state;
	have_volume("data");
	make_volume("copy", "data");
	pass(100);
	lose("copy-volume");
	doc_put(&batch, "volumes", "data", NULL, STORE_ANY);
	assert_int_equal(doc_commit(&batch, plane_store, NULL, &error), 0);
	delete_volume("copy");
	pass(3000);
	answer("copy-volume", ENOENT, "there is no such file");
	pass(3000);
	answer("delete-volume", ENOENT, "there is no such file");
	pass(100);
	assert_false(exists("volumes", "copy"));
}

static void what_is_to_be_copied_is_deleted_afterwards(void **state)
{
	(void)state;
	have_volume("data");
	room = 0;
	make_volume("copy", "data");
	delete_volume("data");
	pass(2000);
	assert_non_null(strstr(TEXT("volumes", "data"), "copy is to be a copy of it"));
	room = 6;
	pass(100);
	assert_null(asked("delete-volume"));
	answer("copy-volume", 0, "");
	pass(2000);
	answer("delete-volume", 0, "");
	pass(100);
	assert_false(exists("volumes", "data"));
	assert_string_equal(STATE("volumes", "copy"), "available");
}

/* ---- both ---- */

static void run_instance(const char *name)
{
	make_instance(name);
	pass(2000);
	answer("launch", 0, "");
	host_has(name, "running", "");
	pass(2000);
	assert_string_equal(STATE("instances", name), "running");
}

/* NULL: nobody is to hold it. */
static void want_holder(const char *name, const char *instance)
{
	json_t *doc = stored("volumes", name), *holder = stored("instances", instance);
	struct volume_want want;

	assert_int_equal(volume_want_read(doc, &want, &error), 0);
	want.generation++;
	want.held = holder;
	want.slot = holder ? 1 : 0;
	memset(want.holder, 0, sizeof(want.holder));
	if (holder)
		assert_int_equal(record_uid(holder, want.holder, &error), 0);
	assert_int_equal(volume_want_write(doc, &want), 0);
	json_decref(holder);
	store("volumes", doc);
}

static void host_has_card(const char *instance, const char *volume, const char *state)
{
	char uid[DOC_UID_SIZE], card[RECORDS_CARD_MAX + 1], cards[96];

	snprintf(uid, sizeof(uid), "%s", text("volumes", volume, "metadata.uid"));
	volume_card_name(uid, card);
	snprintf(cards, sizeof(cards), "{\"name\": \"%s\", \"state\": \"%s\"}", card, state);
	host_has(instance, "running", cards);
	pass(2000);
}

static void attach(const char *volume, const char *instance)
{
	want_holder(volume, instance);
	pass(2000);
	answer("attach", 0, "");
	host_has_card(instance, volume, "attached");
	assert_string_equal(STATE("volumes", volume), "attached");
}

static void a_card_that_its_host_has_given_up_is_shown_as_failed(void **state)
{
	(void)state;
	have_volume("data");
	run_instance("web");
	attach("data", "web");
	host_has_card("web", "data", "failed");
	pass(10000);
	assert_string_equal(STATE("volumes", "data"), "failed");
	assert_non_null(strstr(TEXT("volumes", "data"), "detach it, and attach it again"));
	/* A plane that has just been started knows no better. */
	fleet_close(fleet);
	fleet = NULL;
	assert_int_equal(begin_fleet(), 0);
	fleet_turn(fleet);
	assert_string_equal(STATE("volumes", "data"), "failed");
	pass(10000);
	assert_string_equal(STATE("volumes", "data"), "failed");
	want_holder("data", "");
	pass(2000);
	answer("detach", 0, "");
	host_has("web", "running", "");
	pass(10000);
	assert_string_equal(STATE("volumes", "data"), "available");
}

static void of_one_that_cannot_be_read_no_volume_is_taken(void **state)
{
	json_t *doc;

	(void)state;
	have_volume("data");
	run_instance("web");
	attach("data", "web");
	doc = stored("instances", "web");
	doc_set(doc, "record.attempt_generation", json_string("?"));
	store("instances", doc);
	want_holder("data", "");
	pass(200000);
	assert_string_not_equal(STATE("volumes", "data"), "available");
	assert_string_not_equal(text("volumes", "data", "record.holder"),
				"00000000000000000000000000000000");
}

static void what_was_on_a_host_that_is_removed_can_go(void **state)
{
	(void)state;
	have_volume("data");
	run_instance("web");
	attach("data", "web");
	is_there = false;
	verdict = (struct trust_verdict){.why = "its host was removed from the fleet"};
	want_holder("data", "");
	want_instance("web", INSTANCE_GONE);
	pass(1000);
	assert_false(exists("instances", "web"));
	delete_volume("data");
	pass(1000);
	assert_false(exists("volumes", "data"));
}

/* ---- begin and end ---- */

static void on_change(void *context, const struct store_item *item)
{
	(void)context;
	if (fleet)
		fleet_tell(fleet, item);
}

static int set_up(void **state)
{
	memset(calls, 0, sizeof(calls));
	verdict = (struct trust_verdict){
		.state = TRUST_TRUSTED, .why = "", .reachable = true, .usable = true, .keys = true};
	clock_ms = 1000000;
	room = 6;
	is_there = true;
	image = 0;
	forgotten = 0;
	snprintf(list, sizeof(list), "{\"instances\": []}");
	if (plane_folder_make(state) < 0 ||
	    store_sqlite_open(plane_folder, &plane_store, &error) < 0 ||
	    events_open(&events, plane_store, &error) < 0 ||
	    kek_file_open(plane_path("kek"), &kek, &error) < 0 ||
	    keys_open(plane_store, kek, &keys, &error) < 0 || begin_fleet() < 0)
		return -1;
	plane_store->watcher = on_change;
	return 0;
}

static int tear_down(void **state)
{
	for (size_t i = 0; i < CALLS_MAX; i++) {
		if (calls[i].done)
			lose(calls[i].verb->name);
	}
	fleet_close(fleet);
	fleet = NULL;
	keys_close(keys);
	kek->calls->close(kek);
	store_close(plane_store);
	return plane_folder_remove(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(refused_by_the_only_host_it_is_tried_there_again),
		TEST(a_text_that_is_not_shown_as_it_is_does_not_keep_the_store_busy),
		TEST(what_a_host_does_not_tell_yet_is_not_shown_as_unknown),
		TEST(an_image_that_its_host_has_lost_is_sent_again),
		TEST(guests_that_do_not_stop_are_not_in_the_way_of_others),
		TEST(one_that_is_waited_for_is_looked_at_soon),
		TEST(without_all_documents_there_is_no_fleet),
		TEST(of_an_image_whose_key_is_gone_it_can_be_deleted),
		TEST(a_card_that_its_host_has_given_up_is_shown_as_failed),
		TEST(of_one_that_cannot_be_read_no_volume_is_taken),
		TEST(what_was_on_a_host_that_is_removed_can_go),
		TEST(what_is_to_be_copied_is_deleted_afterwards),
		TEST(a_copy_whose_source_is_gone_can_be_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
