/* SPDX-License-Identifier: Apache-2.0 */
/* Instances, as they are asked for: what is refused, and what is committed. */
#include "plane_api_harness.h"

#define UID   "0123456789abcdef0123456789abcdef"
#define WEB   "{'name': 'web', 'kernel': 'k', 'memory': 4194304}"
#define ONE   "/v1/instances/web"
#define MIB_2 "2097152"

static void have_image(const char *name, const char *state, bool initrd, uint64_t root)
{
	json_t *doc = json_pack("{s:{s:s,s:s,s:s,s:{}},s:{s:{s:i,s:s},s:s},s:{s:s}}", "metadata",
				"name", name, "uid", UID, "created", "2026-11-26T00:00:00Z",
				"labels", "spec", "kernel", "size", 9, "sha384", "", "command_line",
				"console=ttyS0", "status", "state", state);

	assert_non_null(doc);
	if (initrd)
		doc_set(doc, "spec.initrd.size", json_integer(7));
	if (root)
		doc_set(doc, "spec.root.size", json_integer((json_int_t)root));
	store("images", doc);
}

static void have_host(const char *name)
{
	store("hosts", doc_make(name, NULL, json_object(), 0));
}

static void make(const char *body)
{
	if (POST("/v1/instances", body) != 201)
		fail_msg("%u: %s", status, doc_text(answer, "detail"));
}

static void refuses(unsigned expected, const char *body, const char *words)
{
	refused(POST("/v1/instances", body), expected, words);
}

/* ---- a new one ---- */

static void a_new_instance_is_wanted_to_run(void **state)
{
	(void)state;
	make(WEB);
	assert_string_equal(doc_text(answer, "wanted"), "running");
	assert_string_equal(doc_text(answer, "status.state"), "placing");
	assert_true(json_is_array(json_object_get(answer, "volumes")));
	assert_null(json_object_get(answer, "want"));
	assert_string_equal(text("instances", "web", "spec.kernel"), "k");
	assert_int_equal(number("instances", "web", "spec.cpus"), 1);
	assert_int_equal(number("instances", "web", "spec.memory"), 4194304);
	assert_int_equal(number("instances", "web", "want.generation"), 1);
	assert_int_equal(number("instances", "web", "want.starts"), 1);
	assert_int_equal(number("instances", "web", "want.keys"), 0);
	assert_string_equal(text("events", "00000000000000000001", "text"),
			    "instance web was added");
	assert_string_equal(text("events", "00000000000000000001", "who"), "ann");
	assert_int_equal(GET(ONE), 200);
	assert_int_equal(GET("/v1/instances?wanted=running"), 200);
	assert_int_equal(json_array_size(json_object_get(answer, "items")), 1);
	assert_null(doc_member(json_array_get(json_object_get(answer, "items"), 0), "want"));
}

static void an_instance_of_an_image_has_what_that_has(void **state)
{
	(void)state;
	have_image("bookworm", "ready", true, 10000);
	make("{'name': 'web', 'memory': 4194304, 'image': 'bookworm'}");
	assert_string_equal(text("instances", "web", "spec.kernel"), "images/" UID "/kernel");
	assert_string_equal(text("instances", "web", "spec.initrd"), "images/" UID "/initrd");
	assert_string_equal(text("instances", "web", "spec.command_line"), "console=ttyS0");
	assert_string_equal(text("instances", "web", "spec.image_uid"), UID);
	assert_int_equal(number("instances", "web", "want.keys"), 1);
	assert_int_equal(number("volumes", "web-root", "want.size"), 12288);
	assert_int_equal(number("volumes", "web-root", "spec.size"), 12288);
	assert_int_equal(number("volumes", "web-root", "want.slot"), 1);
	assert_string_equal(text("volumes", "web-root", "want.holder"),
			    text("instances", "web", "metadata.uid"));
	assert_string_equal(text("volumes", "web-root", "spec.image_uid"), UID);
	assert_string_equal(text("volumes", "web-root", "spec.instance"), "web");
	assert_int_equal(json_array_size(json_object_get(answer, "volumes")), 1);
	make("{'name': 'own', 'memory': 4194304, 'image': 'bookworm', 'command_line': 'quiet', "
	     "'root': {'size': 40960}}");
	assert_string_equal(text("instances", "own", "spec.command_line"), "quiet");
	assert_int_equal(number("volumes", "own-root", "want.size"), 40960);
}

static void images_that_will_not_do_are_refused(void **state)
{
	(void)state;
	have_image("half", "uploading", false, 4096);
	have_image("bare", "ready", false, 0);
	have_image("full", "ready", false, 8192);
	refuses(422, "{'name': 'web', 'memory': 4194304, 'image': 'none'}",
		"there is no image none");
	refuses(409, "{'name': 'web', 'memory': 4194304, 'image': 'half'}", "not whole yet");
	refuses(422, "{'name': 'web', 'memory': 4194304, 'image': 'bare', 'root': {'size': 4096}}",
		"the image has none");
	refuses(422, "{'name': 'web', 'memory': 4194304, 'image': 'full', 'root': {'size': 4096}}",
		"needs 8192 bytes");
	refuses(422, "{'name': 'web', 'memory': 4194304, 'image': 'full', 'kernel': 'k'}",
		"its own kernel");
	refuses(422,
		"{'name': 'a23456789-123456789-123456789-123456789-123456789-12345678z', "
		"'memory': 4194304, 'image': 'full'}",
		"too long");
	make("{'name': 'web', 'memory': 4194304, 'image': 'bare'}");
	assert_false(is_there("volumes", "web-root"));
	assert_string_equal(text("instances", "web", "spec.initrd"), "");
}

static void what_makes_no_sense_is_named(void **state)
{
	(void)state;
	refuses(422, "{'name': 'Web', 'kernel': 'k', 'memory': 4194304}", "name");
	refuses(422, "{'name': 'web', 'memory': 4194304}", "kernel");
	refuses(422, "{'name': 'web', 'kernel': 'k'}", "memory");
	refuses(422, "{'name': 'web', 'kernel': 'k', 'memory': " MIB_2 "}", "memory");
	refuses(422, "{'name': 'web', 'kernel': 'k', 'memory': 4194305}", "multiple of 2097152");
	refuses(422, "{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'cpus': 65}", "cpus");
	refuses(422, "{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'cores': 0}", "cores");
	refuses(422, "{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'restart': 'often'}",
		"restart");
	refuses(422, "{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'host': 'h9'}",
		"there is no host h9");
	refuses(422, "{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'root': {'size': 4096}}",
		"root");
	refuses(422, "{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'key': 'x'}", "key");
	refuses(422, "{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'host_labels': {'a': 1}}",
		"host_labels");
	assert_false(is_there("instances", "web"));
}

static void a_path_leads_nowhere_else(void **state)
{
	static const char *const bad[] = {"/etc/shadow", "..",	"a/../b", "a//b",
					  "a/",		 "./a", "",	  "../a"};
	char body[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(body, sizeof(body), "{'name': 'web', 'kernel': '%s', 'memory': 4194304}",
			 bad[i]);
		refuses(422, body, "kernel");
		snprintf(body, sizeof(body),
			 "{'name': 'web', 'kernel': 'k', 'initrd': '%s', 'memory': 4194304}",
			 bad[i]);
		refuses(422, body, "initrd");
	}
	make("{'name': 'web', 'kernel': 'a/..b/c...', 'memory': 4194304}");
}

static void volumes_are_made_with_it_or_given_to_it(void **state)
{
	(void)state;
	assert_int_equal(POST("/v1/volumes", "{'name': 'data', 'size': 8192}"), 201);
	make("{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'volumes': [{'name': 'a', 'size': "
	     "4096}, {'volume': 'data', 'slot': 1}, {'name': 'b', 'size': 4096}]}");
	assert_int_equal(number("volumes", "a", "want.slot"), 2);
	assert_int_equal(number("volumes", "data", "want.slot"), 1);
	assert_int_equal(number("volumes", "b", "want.slot"), 3);
	assert_int_equal(number("volumes", "data", "want.held"), 1);
	assert_int_equal(number("volumes", "data", "want.generation"), 2);
	assert_string_equal(text("volumes", "data", "spec.instance"), "");
	assert_string_equal(text("volumes", "a", "spec.instance"), "web");
	assert_int_equal(GET(ONE), 200);
	assert_int_equal(json_array_size(json_object_get(answer, "volumes")), 3);
}

#define WITH(name, volumes)                                                                        \
	"{'name': '" name "', 'kernel': 'k', 'memory': 4194304, 'volumes': [" volumes "]}"

static void volumes_that_cannot_be_are_refused(void **state)
{
	(void)state;
	assert_int_equal(POST("/v1/volumes", "{'name': 'data', 'size': 8192}"), 201);
	refuses(422, WITH("web", "{'volume': 'none'}"), "there is no volume none");
	refuses(409, WITH("web", "{'name': 'data', 'size': 4096}"), "a volume data already");
	refuses(422, WITH("web", "{'name': 'a', 'size': 4097}"), "volumes[0].size");
	refuses(422, WITH("web", "{'name': 'a'}"), "size");
	refuses(422, WITH("web", "{'volume': 'data', 'size': 4096}"), "volumes[0]");
	refuses(422, WITH("web", "{'volume': 'data'}, {'volume': 'data'}"), "twice");
	refuses(422,
		WITH("web",
		     "{'volume': 'data', 'slot': 2}, {'name': 'a', 'size': 4096, 'slot': 2}"),
		"slot is taken");
	refuses(422, WITH("web", "{'volume': 'data', 'slot': 32}"), "slot");
	refuses(422, WITH("web", "7"), "object");
	assert_false(is_there("instances", "web"));
	make(WITH("web", "{'volume': 'data'}"));
	refuses(409, WITH("other", "{'volume': 'data'}"), "another instance's");
	assert_false(is_there("instances", "other"));
}

static void what_is_refused_leaves_nothing(void **state)
{
	(void)state;
	refuses(422, WITH("web", "{'name': 'a', 'size': 4096}, {'volume': 'none'}"), "none");
	assert_false(is_there("instances", "web"));
	assert_false(is_there("volumes", "a"));
	assert_int_equal(GET("/v1/keys"), 200);
	assert_int_equal(json_array_size(json_object_get(answer, "items")), 0);
}

static void volumes_of_two_hosts_have_no_instance(void **state)
{
	(void)state;
	have_host("h1");
	have_host("h2");
	assert_int_equal(POST("/v1/volumes", "{'name': 'a', 'size': 4096, 'host': 'h1'}"), 201);
	assert_int_equal(POST("/v1/volumes", "{'name': 'b', 'size': 4096, 'host': 'h2'}"), 201);
	refuses(409, WITH("web", "{'volume': 'a'}, {'volume': 'b'}"), "on another host");
	refuses(409,
		"{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'host': 'h2', 'volumes': "
		"[{'volume': 'a'}]}",
		"on another host");
	make(WITH("web", "{'volume': 'a'}"));
}

static void there_are_31_volumes_at_most(void **state)
{
	char body[4096] = "{'name': 'web', 'kernel': 'k', 'memory': 4194304, 'volumes': [";
	size_t end;

	(void)state;
	for (unsigned i = 1; i <= VOLUME_SLOTS; i++) {
		end = strlen(body);
		snprintf(body + end, sizeof(body) - end, "%s{'name': 'v%u', 'size': 4096}",
			 i > 1 ? "," : "", i);
	}
	end = strlen(body);
	snprintf(body + end, sizeof(body) - end, "]}");
	once_key = "31";
	make(body);
	once_key = NULL;
	assert_int_equal(number("volumes", "v31", "want.slot"), 31);
	snprintf(body + end, sizeof(body) - end, ",{'name': 'more', 'size': 4096}]}");
	refuses(422, body, "more than 31");
	assert_int_equal(POST("/v1/volumes", "{'name': 'data', 'size': 8192}"), 201);
	refused(POST("/v1/volumes/data/attach", "{'instance': 'web'}"), 409, "no free slot");
}

static void what_is_asked_twice_is_done_once(void **state)
{
	(void)state;
	once_key = "k1";
	make(WEB);
	assert_int_equal(POST("/v1/instances", WEB), 200);
	assert_string_equal(doc_text(answer, "metadata.name"), "web");
	assert_null(json_object_get(answer, "want"));
	assert_true(json_is_array(json_object_get(answer, "volumes")));
	refuses(422, "{'name': 'two', 'kernel': 'k', 'memory': 4194304}", "another request");
	once_key = "k2";
	assert_int_equal(POST(ONE "/reboot", "{}"), 202);
	assert_int_equal(POST(ONE "/reboot", "{}"), 200);
	assert_int_equal(number("instances", "web", "want.reboots"), 1);
	/* Of a POST; others are as good twice. */
	assert_int_equal(PATCH(ONE, "{'wanted': 'stopped'}"), 202);
	assert_int_equal(PATCH(ONE, "{'wanted': 'stopped'}"), 202);
	once_key = NULL;
	refuses(409, WEB, "there is an instance web already");
}

/* ---- what is wanted of it ---- */

static void running_again_counts_a_start_only_when_it_is_down(void **state)
{
	static const char *const down[] = {"ended", "failed", "stopped"};

	(void)state;
	make(WEB);
	assert_int_equal(PATCH(ONE, "{'wanted': 'running'}"), 202);
	assert_int_equal(number("instances", "web", "want.starts"), 1);
	for (unsigned i = 0; i < ARRAY_LEN(down); i++) {
		set("instances", "web", "status.state", json_string(down[i]));
		set("instances", "web", "record.starts", json_integer(i + 1));
		assert_int_equal(PATCH(ONE, "{'wanted': 'running'}"), 202);
		/* That one has not been carried out yet. */
		assert_int_equal(PATCH(ONE, "{'wanted': 'running'}"), 202);
		assert_int_equal(number("instances", "web", "want.starts"), i + 2);
	}
	assert_int_equal(number("instances", "web", "want.generation"), 1);
}

static void a_stop_is_wanted_with_its_grace(void **state)
{
	(void)state;
	make(WEB);
	assert_int_equal(PATCH(ONE, "{'wanted': 'stopped'}"), 202);
	assert_string_equal(doc_text(answer, "wanted"), "stopped");
	assert_int_equal(number("instances", "web", "want.kill"), 0);
	assert_int_equal(number("instances", "web", "want.grace"), 60000);
	assert_int_equal(PATCH(ONE, "{'wanted': 'stopped', 'kill': true, 'grace': 5}"), 202);
	assert_int_equal(number("instances", "web", "want.kill"), 1);
	assert_int_equal(number("instances", "web", "want.grace"), 5000);
	assert_int_equal(PATCH(ONE, "{'wanted': 'running'}"), 202);
	assert_int_equal(number("instances", "web", "want.kill"), 0);
	assert_int_equal(number("instances", "web", "want.starts"), 2);
}

static void what_cannot_be_wanted_is_refused(void **state)
{
	(void)state;
	make(WEB);
	refused(PATCH(ONE, "{}"), 422, "wanted");
	refused(PATCH(ONE, "{'wanted': 'gone'}"), 422, "DELETE");
	refused(PATCH(ONE, "{'wanted': 'running', 'kill': true}"), 422, "kill");
	refused(PATCH(ONE, "{'wanted': 'stopped', 'grace': 3601}"), 422, "grace");
	refused(PATCH("/v1/instances/none", "{'wanted': 'stopped'}"), 404, "no instance none");
	refused(POST(ONE "/reboot", "{'now': true}"), 422, "now");
	assert_int_equal(PATCH(ONE, "{'wanted': 'stopped'}"), 202);
	refused(POST(ONE "/reboot", "{}"), 409, "does not run");
	assert_int_equal(DELETE(ONE), 202);
	refused(PATCH(ONE, "{'wanted': 'running'}"), 409, "terminated");
	refused(POST(ONE "/reboot", "{}"), 409, "terminated");
	refused(GET(ONE "/console"), 409, "on no host");
	refused(GET(ONE "/console?from=-1"), 400, "from");
}

static void a_change_is_of_the_revision_that_was_read(void **state)
{
	(void)state;
	make(WEB);
	if_match = "\"99\"";
	refused(PATCH(ONE, "{'wanted': 'stopped'}"), 412, "it has changed");
	refused(POST(ONE "/reboot", "{}"), 412, "it has changed");
	refused(DELETE(ONE), 412, "it has changed");
	assert_string_equal(text("instances", "web", "wanted"), "running");
	if_match = NULL;
	GET(ONE);
	if_match = etag;
	assert_int_equal(PATCH(ONE, "{'wanted': 'stopped'}"), 202);
}

/* ---- its end ---- */

static void a_terminated_instance_lets_its_volumes_go(void **state)
{
	(void)state;
	make(WITH("web", "{'name': 'a', 'size': 4096}"));
	assert_int_equal(DELETE(ONE), 202);
	assert_string_equal(doc_text(answer, "wanted"), "gone");
	assert_int_equal(number("instances", "web", "want.kill"), 1);
	assert_int_equal(number("instances", "web", "want.generation"), 2);
	assert_int_equal(number("instances", "web", "want.keys"), 0);
	assert_int_equal(number("volumes", "a", "want.held"), 0);
	assert_int_equal(number("volumes", "a", "want.gone"), 0);
	assert_int_equal(number("volumes", "a", "want.generation"), 2);
	assert_int_equal(DELETE(ONE), 202);
	assert_int_equal(number("instances", "web", "want.generation"), 2);
}

static void those_made_with_it_go_with_it_if_that_is_asked(void **state)
{
	uint64_t now = fleet_now(plane.fleet);

	(void)state;
	assert_int_equal(POST("/v1/volumes", "{'name': 'data', 'size': 8192}"), 201);
	make(WITH("web", "{'name': 'a', 'size': 4096}, {'volume': 'data'}"));
	refused(DELETE(ONE "?volumes=1"), 400, "volumes");
	assert_int_equal(DELETE(ONE "?volumes=true"), 202);
	assert_int_equal(number("volumes", "a", "want.gone"), 1);
	assert_true(number("volumes", "a", "want.gone_at") >= now + DAY_MS);
	assert_int_equal(number("volumes", "data", "want.gone"), 0);
	assert_int_equal(number("volumes", "data", "want.held"), 0);
	make(WITH("two", "{'name': 'b', 'size': 4096}"));
	assert_int_equal(DELETE("/v1/instances/two?volumes=true&now=true"), 202);
	assert_true(number("volumes", "b", "want.gone_at") < now + DAY_MS);
}

static void those_of_another_of_its_name_stay(void **state)
{
	(void)state;
	make(WITH("web", "{'name': 'a', 'size': 4096}"));
	assert_int_equal(DELETE(ONE), 202);
	forget("instances", "web");
	make(WITH("web", "{'volume': 'a'}"));
	assert_int_equal(DELETE(ONE "?volumes=true"), 202);
	assert_int_equal(number("volumes", "a", "want.gone"), 0);
	assert_int_equal(number("volumes", "a", "want.held"), 0);
}

#define CERTIFICATES 250u /* more than a batch */

static void certificates_that_have_ended_go(void **state)
{
	char name[33];

	(void)state;
	for (unsigned i = 0; i < CERTIFICATES; i++) {
		struct doc_batch batch = DOC_BATCH_NONE;
		json_t *doc;

		snprintf(name, sizeof(name), "%032x", i);
		doc = json_pack("{s:s,s:i}", "id", name, "expires", (int)i);
		doc_put(&batch, "certificates", name, doc, 0);
		json_decref(doc);
		assert_int_equal(doc_commit(&batch, plane.store, NULL, &error), 0);
	}
	assert_int_equal(api_certificates_trim(plane.store, CERTIFICATES - 2, &error), 0);
	for (unsigned i = 0; i < CERTIFICATES; i++) {
		snprintf(name, sizeof(name), "%032x", i);
		assert_int_equal(is_there("certificates", name), i == CERTIFICATES - 1);
	}
}

static void readers_change_nothing(void **state)
{
	(void)state;
	make(WEB);
	role = AUTH_READER;
	assert_int_equal(GET(ONE), 200);
	assert_int_equal(POST("/v1/instances", WEB), 403);
	assert_int_equal(PATCH(ONE, "{'wanted': 'stopped'}"), 403);
	assert_int_equal(POST(ONE "/reboot", "{}"), 403);
	assert_int_equal(DELETE(ONE), 403);
	assert_int_equal(GET(ONE "/console"), 403);
	assert_int_equal(GET("/v1/hosts/h1/audit"), 403);
	assert_int_equal(POST("/v1/volumes", "{}"), 403);
	assert_int_equal(POST("/v1/keys/rotate", "{}"), 403);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_new_instance_is_wanted_to_run),
		TEST(an_instance_of_an_image_has_what_that_has),
		TEST(images_that_will_not_do_are_refused),
		TEST(what_makes_no_sense_is_named),
		TEST(a_path_leads_nowhere_else),
		TEST(volumes_are_made_with_it_or_given_to_it),
		TEST(volumes_that_cannot_be_are_refused),
		TEST(what_is_refused_leaves_nothing),
		TEST(volumes_of_two_hosts_have_no_instance),
		TEST(there_are_31_volumes_at_most),
		TEST(what_is_asked_twice_is_done_once),
		TEST(running_again_counts_a_start_only_when_it_is_down),
		TEST(a_stop_is_wanted_with_its_grace),
		TEST(what_cannot_be_wanted_is_refused),
		TEST(a_change_is_of_the_revision_that_was_read),
		TEST(a_terminated_instance_lets_its_volumes_go),
		TEST(those_made_with_it_go_with_it_if_that_is_asked),
		TEST(those_of_another_of_its_name_stay),
		TEST(certificates_that_have_ended_go),
		TEST(readers_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
