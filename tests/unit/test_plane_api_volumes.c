/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes and their keys, as they are asked for: what is refused, and what is committed. */
#include "plane_api_harness.h"

#define DATA  "/v1/volumes/data"
#define MAKE  "{'name': 'data', 'size': 8192}"
#define UID_0 "00000000000000000000000000000000"
#define UID_1 "00000000000000000000000000000001"

static void make(const char *body)
{
	if (POST("/v1/volumes", body) != 201)
		fail_msg("%u: %s", status, doc_text(answer, "detail"));
}

static void make_instance(const char *name)
{
	char body[256];

	snprintf(body, sizeof(body), "{'name': '%s', 'kernel': 'k', 'memory': 4194304}", name);
	assert_int_equal(POST("/v1/instances", body), 201);
}

static void refuses(unsigned expected, const char *body, const char *words)
{
	refused(POST("/v1/volumes", body), expected, words);
}

static void refuses_attach(unsigned expected, const char *body, const char *words)
{
	refused(POST(DATA "/attach", body), expected, words);
}

/* What its host has done so far. */
static void be(const char *name, enum volume_state state, const char *instance, unsigned slot)
{
	json_t *doc = stored("volumes", name), *holder = stored("instances", instance);
	struct volume_record record = {.state = (uint8_t)state, .slot = (uint8_t)slot};

	record.size = doc_number(doc, "want.size");

	if (holder)
		record_uid(holder, record.holder, NULL);
	volume_record_write(doc, &record);
	store("volumes", doc);
	json_decref(holder);
}

/* ---- made ---- */

static void a_new_volume_has_a_key(void **state)
{
	char path[128];

	(void)state;
	make(MAKE);
	assert_string_equal(doc_text(answer, "status.state"), "creating");
	assert_null(json_object_get(answer, "want"));
	assert_int_equal(number("volumes", "data", "spec.size"), 8192);
	assert_int_equal(number("volumes", "data", "want.size"), 8192);
	assert_int_equal(number("volumes", "data", "want.generation"), 1);
	assert_int_equal(number("volumes", "data", "want.held"), 0);
	snprintf(path, sizeof(path), "vol-%s", text("volumes", "data", "metadata.uid"));
	assert_string_equal(text("volumes", "data", "spec.key"), path);
	assert_true(text("keys", path, "wrapped")[0]);
	snprintf(path, sizeof(path), "/v1/keys/%s", text("volumes", "data", "spec.key"));
	assert_int_equal(GET(path), 200);
	assert_string_equal(doc_text(answer, "volume"), "data");
	assert_true(doc_text(answer, "kek")[0]);
	assert_null(json_object_get(answer, "wrapped"));
	assert_int_equal(GET("/v1/keys"), 200);
	assert_null(
		json_object_get(json_array_get(json_object_get(answer, "items"), 0), "wrapped"));
	assert_int_equal(GET("/v1/volumes?metadata.name=data"), 200);
	assert_int_equal(json_array_size(json_object_get(answer, "items")), 1);
}

static void what_makes_no_sense_is_named(void **state)
{
	(void)state;
	refuses(422, "{'name': 'data'}", "size");
	refuses(422, "{'name': 'data', 'size': 0}", "size");
	refuses(422, "{'name': 'data', 'size': 4097}", "multiple of 4096");
	refuses(422, "{'name': 'data', 'size': 9223372036854771712}", "size");
	refuses(422, "{'name': '-', 'size': 4096}", "name");
	refuses(422, "{'name': 'data', 'size': 4096, 'host': 'h9'}", "there is no host h9");
	refuses(422, "{'name': 'data', 'size': 4096, 'image': 'i'}", "there is no image i");
	refuses(422, "{'name': 'data', 'size': 4096, 'volume': 'v'}", "there is no volume v");
	refuses(422, "{'name': 'data', 'size': 4096, 'volume': 'v', 'image': 'i'}", "one of them");
	refuses(422, "{'name': 'data', 'snapshot': 's'}", "there is no snapshot s");
	make(MAKE);
	refuses(409, MAKE, "there is a volume data already");
}

static void of_an_image_it_has_room_for_that(void **state)
{
	json_t *doc = doc_make("bookworm", NULL, json_object(), 0);

	(void)state;
	doc_set(doc, "spec.root.size", json_integer(4097));
	doc_set(doc, "status.state", json_string("ready"));
	store("images", doc);
	refuses(422, "{'name': 'data', 'size': 4096, 'image': 'bookworm'}", "needs 8192");
	make("{'name': 'data', 'size': 8192, 'image': 'bookworm'}");
	assert_string_equal(text("volumes", "data", "spec.image"), "bookworm");
	assert_string_equal(text("volumes", "data", "spec.image_uid"),
			    text("images", "bookworm", "metadata.uid"));
}

/* So many that the store has, and the fleet knows of. */
static void fill(const char *kind, unsigned count)
{
	static char keys_of[1000][32], values[1000][96];
	struct store_change changes[ARRAY_LEN(keys_of)];

	for (unsigned i = 0; i < count; i++) {
		unsigned at = i % ARRAY_LEN(keys_of);

		snprintf(keys_of[at], sizeof(keys_of[at]), "%s/x%u", kind, i);
		snprintf(values[at], sizeof(values[at]),
			 "{\"metadata\":{\"name\":\"x%u\",\"uid\":\"%08x%024x\"}}", i,
			 i * 2654435761u, i);
		changes[at] = (struct store_change){.key = keys_of[at], .value = values[at]};
		if (at + 1 == ARRAY_LEN(keys_of))
			assert_int_equal(store_commit(plane.store, changes, at + 1, NULL, &error),
					 0);
	}
}

static void there_are_so_many_at_most(void **state)
{
	(void)state;
	fill("volumes", 20000);
	refuses(409, MAKE, "20000 at most");
	assert_string_equal(doc_text(answer, "code"), "too-many");
	fill("instances", 10000);
	refused(POST("/v1/instances", "{'name': 'web', 'kernel': 'k', 'memory': 4194304}"), 409,
		"10000 instances");
}

static int take_key(void *context, const uint8_t key[KEYS_KEY_SIZE])
{
	memcpy(context, key, KEYS_KEY_SIZE);
	return 0;
}

static void get_key(const char *volume, uint8_t key[KEYS_KEY_SIZE])
{
	assert_int_equal(
		keys_get(plane.keys, text("volumes", volume, "spec.key"), take_key, key, &error),
		0);
}

static void a_copy_has_the_same_key_under_a_name_of_its_own(void **state)
{
	uint8_t first[KEYS_KEY_SIZE], second[KEYS_KEY_SIZE];

	(void)state;
	make(MAKE);
	be("data", VOLUME_AVAILABLE, "", 0);
	set("volumes", "data", "status.host", json_string("h1"));
	refuses(422, "{'name': 'copy', 'size': 4096, 'volume': 'data'}", "has 8192 bytes");
	make("{'name': 'copy', 'size': 12288, 'volume': 'data'}");
	assert_string_equal(text("volumes", "copy", "spec.volume"), "data");
	assert_string_equal(text("volumes", "copy", "spec.source"),
			    text("volumes", "data", "metadata.uid"));
	assert_string_equal(text("volumes", "copy", "spec.host"), "h1");
	assert_string_not_equal(text("volumes", "copy", "spec.key"),
				text("volumes", "data", "spec.key"));
	get_key("data", first);
	get_key("copy", second);
	assert_memory_equal(first, second, KEYS_KEY_SIZE);
}

static void only_what_nobody_has_is_copied(void **state)
{
	static const char copy[] = "{'name': 'copy', 'size': 8192, 'volume': 'data'}";

	(void)state;
	store("hosts", doc_make("h2", NULL, json_object(), 0));
	make_instance("web");
	make(MAKE);
	refuses(409, copy, "is being made still");
	be("data", VOLUME_DETACHING, "web", 1);
	refuses(409, copy, "is attached");
	be("data", VOLUME_AVAILABLE, "", 0);
	set("volumes", "data", "status.host", json_string("h1"));
	refuses(409, "{'name': 'copy', 'size': 8192, 'volume': 'data', 'host': 'h2'}",
		"on another host");
	assert_int_equal(keys_delete(plane.keys, text("volumes", "data", "spec.key"), STORE_ANY,
				     "2026-11-26T00:00:00Z", &error),
			 0);
	refuses(409, copy, "the key of what is to be copied was deleted");
	assert_int_equal(DELETE(DATA), 202);
	refuses(409, copy, "being deleted");
	assert_false(is_there("volumes", "copy"));
}

static void a_snapshot_is_made_of_a_volume_in_use_and_volumes_of_it(void **state)
{
	uint8_t first[KEYS_KEY_SIZE], second[KEYS_KEY_SIZE];

	(void)state;
	make_instance("web");
	make(MAKE);
	refused(POST("/v1/snapshots", "{'name': 's', 'volume': 'none'}"), 422, "none");
	refused(POST("/v1/snapshots", "{'name': 's', 'volume': 'data'}"), 409, "being made still");
	be("data", VOLUME_ATTACHED, "web", 1);
	assert_int_equal(POST("/v1/snapshots", "{'name': 's', 'volume': 'data'}"), 201);
	assert_string_equal(text("snapshots", "s", "spec.source"),
			    text("volumes", "data", "metadata.uid"));
	refused(POST("/v1/snapshots", "{'name': 's', 'volume': 'data'}"), 409, "already");
	set("snapshots", "s", "record.state", json_integer(VOLUME_AVAILABLE));
	set("snapshots", "s", "record.size", json_integer(8192));
	make("{'name': 'back', 'snapshot': 's'}");
	assert_int_equal(number("volumes", "back", "want.size"), 8192);
	get_key("data", first);
	get_key("back", second);
	assert_memory_equal(first, second, KEYS_KEY_SIZE);
	assert_int_equal(DELETE("/v1/snapshots/s"), 202);
	refuses(409, "{'name': 'more', 'snapshot': 's'}", "being deleted");
	assert_int_equal(GET("/v1/snapshots"), 200);
	assert_null(doc_member(json_array_get(json_object_get(answer, "items"), 0), "want"));
}

static void a_volume_grows_and_never_shrinks(void **state)
{
	(void)state;
	make(MAKE);
	refused(PATCH(DATA, "{'size': 4096}"), 409, "never shrinks");
	refused(PATCH(DATA, "{'size': 8193}"), 422, "multiple");
	refused(PATCH(DATA, "{'size': 8192, 'name': 'x'}"), 422, "name");
	assert_int_equal(PATCH(DATA, "{'size': 8192}"), 202);
	assert_int_equal(number("volumes", "data", "want.generation"), 1);
	assert_int_equal(PATCH(DATA, "{'size': 12288}"), 202);
	assert_int_equal(number("volumes", "data", "want.size"), 12288);
	assert_int_equal(number("volumes", "data", "spec.size"), 12288);
	assert_int_equal(number("volumes", "data", "want.generation"), 2);
}

static void a_size_that_was_too_much_is_taken_back(void **state)
{
	(void)state;
	make(MAKE);
	set("volumes", "data", "record.state", json_integer(VOLUME_AVAILABLE));
	set("volumes", "data", "record.size", json_integer(8192));
	assert_int_equal(PATCH(DATA, "{'size': 16384}"), 202);
	assert_int_equal(PATCH(DATA, "{'size': 12288}"), 202);
	assert_int_equal(number("volumes", "data", "want.size"), 12288);
	refused(PATCH(DATA, "{'size': 4096}"), 409, "never shrinks");
}

/* ---- deleted ---- */

static void a_deleted_volume_can_be_had_back(void **state)
{
	uint64_t now = fleet_now(plane.fleet);

	(void)state;
	make(MAKE);
	assert_int_equal(DELETE(DATA), 202);
	assert_int_equal(number("volumes", "data", "want.gone"), 1);
	assert_true(number("volumes", "data", "want.gone_at") >= now + DAY_MS);
	assert_int_equal(DELETE(DATA), 202);
	assert_int_equal(number("volumes", "data", "want.generation"), 2);
	refused(PATCH(DATA, "{'size': 12288}"), 409, "being deleted");
	assert_int_equal(POST(DATA "/restore", "{}"), 200);
	assert_int_equal(number("volumes", "data", "want.gone"), 0);
	assert_int_equal(POST(DATA "/restore", "{}"), 200);
	assert_int_equal(number("volumes", "data", "want.generation"), 3);
	assert_int_equal(DELETE(DATA "?now=true"), 202);
	assert_true(number("volumes", "data", "want.gone_at") < now + DAY_MS);
	be("data", VOLUME_DELETING, "", 0);
	refused(POST(DATA "/restore", "{}"), 409, "is over");
	refused(DELETE(DATA "?now=yes"), 400, "now");
}

/* ---- attached ---- */

static void an_attach_is_wanted_of_both(void **state)
{
	(void)state;
	make_instance("web");
	make(MAKE);
	assert_int_equal(GET(DATA "/trace"), 404);
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 202);
	assert_null(json_object_get(answer, "holder"));
	assert_int_equal(number("volumes", "data", "want.held"), 1);
	assert_int_equal(number("volumes", "data", "want.slot"), 1);
	assert_int_equal(number("volumes", "data", "want.generation"), 2);
	assert_string_equal(text("volumes", "data", "want.holder"),
			    text("instances", "web", "metadata.uid"));
	assert_int_equal(number("instances", "web", "want.generation"), 2);
	assert_int_equal(number("instances", "web", "want.keys"), 1);
	assert_int_equal(GET(DATA "/trace"), 200);
	assert_true(json_array_size(json_object_get(answer, "steps")) > 0);
	/* Once more: it is. */
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 202);
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web', 'slot': 1}"), 202);
	assert_int_equal(number("volumes", "data", "want.generation"), 2);
	/* Also when it is no change: the same request does nothing later. */
	once_key = "k1";
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 202);
	once_key = NULL;
	assert_int_equal(POST(DATA "/detach", "{}"), 202);
	once_key = "k1";
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 200);
	once_key = NULL;
	assert_int_equal(number("volumes", "data", "want.held"), 0);
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 202);
	refuses_attach(409, "{'instance': 'web', 'slot': 2}", "in another slot");
	refused(DELETE(DATA), 409, "detach it first");
}

static void slots_are_asked_for_or_the_first_that_is_free(void **state)
{
	(void)state;
	make_instance("web");
	make(MAKE);
	make("{'name': 'b', 'size': 4096}");
	assert_int_equal(POST("/v1/volumes/b/attach", "{'instance': 'web', 'slot': 1}"), 202);
	refuses_attach(409, "{'instance': 'web', 'slot': 1}", "slot is taken");
	refuses_attach(422, "{'instance': 'web', 'slot': 32}", "slot");
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 202);
	assert_int_equal(number("volumes", "data", "want.slot"), 2);
}

static void a_volume_that_is_not_let_go_of_keeps_its_slot(void **state)
{
	(void)state;
	make_instance("web");
	make_instance("two");
	make(MAKE);
	be("data", VOLUME_DETACHING, "web", 7);
	refuses_attach(409, "{'instance': 'two'}", "still being detached");
	refuses_attach(409, "{'instance': 'web', 'slot': 6}", "in another slot");
	make("{'name': 'b', 'size': 4096}");
	refused(POST("/v1/volumes/b/attach", "{'instance': 'web', 'slot': 7}"), 409, "taken");
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 202);
	assert_int_equal(number("volumes", "data", "want.slot"), 7);
}

static void an_attach_that_cannot_be_is_refused(void **state)
{
	(void)state;
	make_instance("web");
	make_instance("two");
	make(MAKE);
	refuses_attach(422, "{}", "instance");
	refuses_attach(422, "{'instance': 'none'}", "no instance none");
	refuses_attach(422, "{'instance': 'web', 'force': true}", "force");
	set("volumes", "data", "status.host", json_string("h1"));
	set("instances", "web", "status.host", json_string("h2"));
	refuses_attach(409, "{'instance': 'web'}", "on another host");
	assert_int_equal(POST(DATA "/attach", "{'instance': 'two'}"), 202);
	refuses_attach(409, "{'instance': 'web'}", "another instance's");
	/* And where that one is going to be is known now. */
	make("{'name': 'b', 'size': 4096}");
	set("volumes", "b", "status.host", json_string("h2"));
	refused(POST("/v1/volumes/b/attach", "{'instance': 'two'}"), 409, "on another host");
	assert_int_equal(DELETE("/v1/instances/web"), 202);
	refused(POST("/v1/volumes/b/attach", "{'instance': 'web'}"), 409, "being terminated");
	assert_int_equal(DELETE("/v1/volumes/b"), 202);
	refused(POST("/v1/volumes/b/attach", "{'instance': 'two'}"), 409, "being deleted");
}

static void a_detach_is_wanted_of_both(void **state)
{
	(void)state;
	make_instance("web");
	make(MAKE);
	make("{'name': 'b', 'size': 4096}");
	assert_int_equal(POST(DATA "/detach", "{}"), 202);
	assert_int_equal(number("volumes", "data", "want.generation"), 1);
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 202);
	assert_int_equal(POST("/v1/volumes/b/attach", "{'instance': 'web'}"), 202);
	be("data", VOLUME_ATTACHED, "web", 1);
	assert_int_equal(POST(DATA "/detach", "{}"), 202);
	assert_int_equal(number("volumes", "data", "want.held"), 0);
	assert_string_equal(text("volumes", "data", "want.holder"), UID_0);
	assert_int_equal(number("instances", "web", "want.generation"), 4);
	assert_int_equal(number("instances", "web", "want.keys"), 1);
	/* Again, and with more force. */
	assert_int_equal(POST(DATA "/detach", "{}"), 202);
	assert_int_equal(number("volumes", "data", "want.generation"), 3);
	assert_int_equal(POST(DATA "/detach", "{'force': true}"), 202);
	assert_int_equal(number("volumes", "data", "want.force"), 1);
	assert_int_equal(POST(DATA "/detach", "{}"), 202);
	assert_int_equal(number("volumes", "data", "want.force"), 1);
	assert_int_equal(number("instances", "web", "want.generation"), 4);
	assert_int_equal(POST("/v1/volumes/b/detach", "{}"), 202);
	assert_int_equal(number("instances", "web", "want.keys"), 0);
	refused(POST(DATA "/detach", "{'slot': 1}"), 422, "slot");
}

static void another_instance_of_its_name_is_left_alone(void **state)
{
	(void)state;
	make_instance("web");
	make(MAKE);
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 202);
	set("volumes", "data", "want.holder", json_string(UID_1));
	assert_int_equal(POST(DATA "/detach", "{}"), 202);
	assert_int_equal(number("instances", "web", "want.generation"), 2);
}

/* ---- keys ---- */

static void a_key_is_deleted_when_nobody_uses_it(void **state)
{
	char path[128];

	(void)state;
	make_instance("web");
	make(MAKE);
	snprintf(path, sizeof(path), "/v1/keys/%s", text("volumes", "data", "spec.key"));
	assert_int_equal(DELETE(path), 403);
	role = AUTH_ADMIN;
	assert_int_equal(POST(DATA "/attach", "{'instance': 'web'}"), 202);
	refused(DELETE(path), 409, "attached");
	be("data", VOLUME_ATTACHED, "web", 1);
	assert_int_equal(POST(DATA "/detach", "{}"), 202);
	refused(DELETE(path), 409, "attached");
	be("data", VOLUME_AVAILABLE, "", 0);
	assert_int_equal(DELETE(path), 204);
	assert_int_equal(DELETE(path), 204);
	assert_int_equal(GET(path), 200);
	assert_true(doc_text(answer, "deleted_at")[0]);
	refuses_attach(409, "{'instance': 'web'}", "key was deleted");
	refused(DELETE("/v1/keys/none"), 404, "no key none");
}

static void a_rotation_is_begun(void **state)
{
	char before[64];

	(void)state;
	role = AUTH_ADMIN;
	make(MAKE);
	snprintf(before, sizeof(before), "%s",
		 text("keys", text("volumes", "data", "spec.key"), "kek"));
	refused(POST("/v1/keys/rotate", "{'all': true}"), 422, "all");
	assert_int_equal(POST("/v1/keys/rotate", "{}"), 202);
	assert_true(plane.rewrapping);
	once_key = "k1";
	assert_int_equal(POST("/v1/keys/rotate", "{}"), 202);
	plane.rewrapping = false;
	assert_int_equal(POST("/v1/keys/rotate", "{}"), 200);
	assert_false(plane.rewrapping);
	assert_int_equal(keys_rewrap(plane.keys, &error), 0);
	assert_string_not_equal(text("keys", text("volumes", "data", "spec.key"), "kek"), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_new_volume_has_a_key),
		TEST(what_makes_no_sense_is_named),
		TEST(of_an_image_it_has_room_for_that),
		TEST(there_are_so_many_at_most),
		TEST(a_copy_has_the_same_key_under_a_name_of_its_own),
		TEST(only_what_nobody_has_is_copied),
		TEST(a_snapshot_is_made_of_a_volume_in_use_and_volumes_of_it),
		TEST(a_volume_grows_and_never_shrinks),
		TEST(a_size_that_was_too_much_is_taken_back),
		TEST(a_deleted_volume_can_be_had_back),
		TEST(an_attach_is_wanted_of_both),
		TEST(slots_are_asked_for_or_the_first_that_is_free),
		TEST(a_volume_that_is_not_let_go_of_keeps_its_slot),
		TEST(an_attach_that_cannot_be_is_refused),
		TEST(a_detach_is_wanted_of_both),
		TEST(another_instance_of_its_name_is_left_alone),
		TEST(a_key_is_deleted_when_nobody_uses_it),
		TEST(a_rotation_is_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
