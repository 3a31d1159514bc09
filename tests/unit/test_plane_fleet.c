/* SPDX-License-Identifier: Apache-2.0 */
/* Instances and volumes, from the API to what a host launches, and what is killed meanwhile. */
#include "plane_harness.h"

#define PATCH(path, text) ADMIN("PATCH", path, BODY(text))
#define POST(path, text)  ADMIN("POST", path, BODY(text))

#define VOLUME(name)   "{\"name\": \"" name "\", \"size\": 1048576}"
#define INSTANCE(name) "{\"name\": \"" name "\", \"memory\": 67108864, \"kernel\": \"kernel\"}"
#define WITH(name, volume)                                                                         \
	"{\"name\": \"" name "\", \"memory\": 67108864, \"kernel\": \"kernel\", \"volumes\": "     \
	"[{\"volume\": \"" volume "\"}]}"

#define MUST_DO(call)                                                                              \
	do {                                                                                       \
		if ((call) != 0)                                                                   \
			fail_msg("%s", output);                                                    \
	} while (0)

/* "state text": what jq makes of the document; "404" of one that is not there. */
static void look(const char *path)
{
	sh("curl -sS --cacert plane/ca.pem -H \"Authorization: Bearer " TOKEN
	   "\" https://127.0.0.1:%d%s | jq -r 'if .code == \"not-found\" then \"404\" else .status "
	   "| "
	   "\"\\(.state) \\(.text)\" end'",
	   plane_port, path);
}

static void await(const char *path, const char *state)
{
	for (unsigned i = 0; i < SECONDS * 10; i++) {
		look(path);
		if (!strncmp(output, state, strlen(state)))
			return;
		usleep(80000);
	}
	look(path);
	fail_msg("%s is not %s: %s", path, state, output);
}

static void kill_plane(void)
{
	kill(plane_pid, SIGKILL);
	waitpid(plane_pid, NULL, 0);
	start_plane();
}

static void an_instance_runs_with_its_volume(void **state)
{
	(void)state;
	await_host("unattested");
	MUST_DO(POST("/v1/volumes", VOLUME("data")));
	await("/v1/volumes/data", "available");
	MUST_DO(ADMIN("GET", "/v1/volumes/data", ""));
	assert_int_equal(
		sh("test $(stat -c %%s srv/$(echo '%s' | jq -r .metadata.uid).vol) = 1048576",
		   output),
		0);
	MUST_DO(POST("/v1/instances", WITH("web", "data")));
	await("/v1/instances/web", "running");
	await("/v1/volumes/data", "attached");
	MUST_DO(ADMIN("GET", "/v1/instances/web", ""));
	assert_int_equal(
		sh("echo '%s' | jq -e '.volumes == [{\"volume\": \"data\", \"slot\": 1, "
		   "\"state\": \"attached\"}] and .status.host == \"h1\" and (has(\"record\") "
		   "or has(\"want\") | not)'",
		   output),
		0);
}

static void metrics_count_what_there_is(void **state)
{
	(void)state;
	MUST_DO(ADMIN("GET", "/metrics", ""));
	assert_true(says("karuta_instances{state=\"running\"} 1\n") &&
		    says("karuta_volumes{state=\"attached\"} 1\n"));
}

static void volumes_come_and_go_while_it_runs(void **state)
{
	(void)state;
	MUST_DO(POST("/v1/volumes/data/detach", "{}"));
	/* It was launched with it: the card goes, but it is its own until it is down. */
	MUST_DO(POST("/v1/volumes", VOLUME("more")));
	await("/v1/volumes/more", "available");
	MUST_DO(POST("/v1/volumes/more/attach", "{\"instance\": \"web\"}"));
	await("/v1/volumes/more", "attached");
	MUST_DO(ADMIN("GET", "/v1/hosts/h1/instances", ""));
	assert_true(says("write_bytes"));
	MUST_DO(ADMIN("GET", "/v1/volumes/more/trace", ""));
	assert_int_equal(
		sh("echo '%s' | jq -e '.steps | length >= 3 and .[0].step == \"asked for\" "
		   "and all(.ms >= 0)'",
		   output),
		0);
	assert_int_equal(POST("/v1/volumes/more/attach", "{\"instance\": \"other\"}"), 22);
	assert_int_equal(ADMIN("DELETE", "/v1/volumes/more", ""), 22);
	MUST_DO(POST("/v1/volumes/more/detach", "{}"));
	await("/v1/volumes/more", "available");
}

static void a_snapshot_becomes_another_volume(void **state)
{
	(void)state;
	MUST_DO(POST("/v1/volumes/more/attach", "{\"instance\": \"web\"}"));
	await("/v1/volumes/more", "attached");
	assert_int_equal(POST("/v1/volumes",
			      "{\"name\": \"copy\", \"size\": 1048576, \"volume\": \"more\"}"),
			 22);
	assert_true(says("copy a snapshot of it"));
	MUST_DO(POST("/v1/volumes/more/detach", "{}"));
	await("/v1/volumes/more", "available");
	MUST_DO(POST("/v1/snapshots", "{\"name\": \"then\", \"volume\": \"more\"}"));
	await("/v1/snapshots/then", "ready");
	MUST_DO(POST("/v1/volumes",
		     "{\"name\": \"copy\", \"size\": 2097152, \"snapshot\": \"then\"}"));
	await("/v1/volumes/copy", "available");
	MUST_DO(ADMIN("DELETE", "/v1/snapshots/then", ""));
	await("/v1/snapshots/then", "404");
	/* It has grown to what was wanted. */
	MUST_DO(ADMIN("GET", "/v1/volumes/copy", ""));
	assert_int_equal(
		sh("test $(stat -c %%s srv/$(echo '%s' | jq -r .metadata.uid).vol) = 2097152",
		   output),
		0);
	MUST_DO(PATCH("/v1/volumes/copy", "{\"size\": 4194304}"));
	for (unsigned i = 0; i < SECONDS * 10; i++) {
		ADMIN("GET", "/v1/volumes/copy", "");
		if (says("\"size\":4194304,\"state\"") || says("\"size\": 4194304, \"state\""))
			break;
		usleep(80000);
	}
	assert_int_equal(
		sh("test $(stat -c %%s srv/$(echo '%s' | jq -r .metadata.uid).vol) = 4194304",
		   output),
		0);
	MUST_DO(ADMIN("DELETE", "/v1/volumes/copy?now=true", ""));
	await("/v1/volumes/copy", "404");
}

static void it_stops_starts_and_reboots(void **state)
{
	(void)state;
	MUST_DO(PATCH("/v1/instances/web", "{\"wanted\": \"stopped\"}"));
	await("/v1/instances/web", "stopped");
	/* What was detached while it ran is free now. */
	await("/v1/volumes/data", "available");
	MUST_DO(POST("/v1/volumes/data/attach", "{\"instance\": \"web\"}"));
	MUST_DO(PATCH("/v1/instances/web", "{\"wanted\": \"running\"}"));
	await("/v1/instances/web", "running");
	await("/v1/volumes/data", "attached");
	MUST_DO(POST("/v1/instances/web/reboot", "{}"));
	await("/v1/instances/web", "running");
}

static void a_plane_that_is_killed_goes_on(void **state)
{
	(void)state;
	MUST_DO(POST("/v1/instances", INSTANCE("db")));
	kill_plane();
	await("/v1/instances/db", "running");
	await("/v1/instances/web", "running");
	MUST_DO(PATCH("/v1/instances/db", "{\"wanted\": \"stopped\"}"));
	kill_plane();
	await("/v1/instances/db", "stopped");
}

static void a_host_that_is_killed_comes_back_as_it_is_wanted(void **state)
{
	(void)state;
	kill(keeper_pid, SIGTERM);
	assert_int_equal(wait_end(keeper_pid), 0);
	await("/v1/instances/web", "unknown");
	keeper_pid = start_daemon("host");
	/* Its keys are in no file of the host: the plane brings them. */
	await("/v1/instances/web", "running");
	await("/v1/volumes/data", "attached");
}

static void what_is_terminated_is_gone_and_leaves_its_volumes(void **state)
{
	(void)state;
	MUST_DO(ADMIN("DELETE", "/v1/instances/web", ""));
	await("/v1/instances/web", "404");
	MUST_DO(ADMIN("DELETE", "/v1/instances/db", ""));
	await("/v1/instances/db", "404");
	await("/v1/volumes/data", "available");
}

static void a_deleted_volume_and_its_key_are_no_more(void **state)
{
	(void)state;
	MUST_DO(ADMIN("DELETE", "/v1/volumes/data", ""));
	await("/v1/volumes/data", "deleting");
	MUST_DO(POST("/v1/volumes/data/restore", "{}"));
	await("/v1/volumes/data", "available");
	MUST_DO(ADMIN("DELETE", "/v1/volumes/data?now=true", ""));
	await("/v1/volumes/data", "404");
	MUST_DO(ADMIN("DELETE", "/v1/volumes/more?now=true", ""));
	await("/v1/volumes/more", "404");
	assert_int_equal(sh("ls srv/*.vol 2>/dev/null | grep -v '^srv/[a-z]*.vol$'"), 1);
	MUST_DO(ADMIN("GET", "/v1/keys", ""));
	assert_int_equal(sh("echo '%s' | jq -e '.items | length == 0'", output), 0);
}

static void what_fits_nowhere_says_why(void **state)
{
	(void)state;
	MUST_DO(POST("/v1/instances",
		     "{\"name\": \"huge\", \"memory\": 1099511627776, \"kernel\": \"kernel\"}"));
	await("/v1/instances/huge", "placing 1 host: 1 lacks memory");
	MUST_DO(POST("/v1/instances", "{\"name\": \"far\", \"memory\": 67108864, \"kernel\": "
				      "\"kernel\", \"host_labels\": {\"site\": \"moon\"}}"));
	await("/v1/instances/far", "placing 1 host: 1");
	MUST_DO(ADMIN("DELETE", "/v1/instances/huge", ""));
	await("/v1/instances/huge", "404");
	MUST_DO(ADMIN("DELETE", "/v1/instances/far", ""));
	await("/v1/instances/far", "404");
}

static void what_cannot_start_says_why(void **state)
{
	(void)state;
	MUST_DO(POST("/v1/instances",
		     "{\"name\": \"bad\", \"memory\": 67108864, \"kernel\": \"nothing\"}"));
	await("/v1/instances/bad", "starting kernel: open ");
	MUST_DO(ADMIN("DELETE", "/v1/instances/bad", ""));
	await("/v1/instances/bad", "404");
}

/* Last: the host is not there any more afterwards. */
static void another_host_does_not_take_a_name_that_something_is_on(void **state)
{
	(void)state;
	MUST_DO(POST("/v1/instances", INSTANCE("old")));
	await("/v1/instances/old", "running");
	assert_int_equal(POST("/v1/hosts", "{\"name\": \"h1\", \"address\": \"192.0.2.1\"}"), 22);
	assert_true(says("there is a host h1 already"));
	MUST_DO(ADMIN("DELETE", "/v1/hosts/h1", ""));
	assert_int_equal(POST("/v1/hosts", "{\"name\": \"h1\", \"address\": \"192.0.2.1\"}"), 22);
	assert_true(says("still known") && says("choose another name"));
	MUST_DO(ADMIN("DELETE", "/v1/instances/old", ""));
	await("/v1/instances/old", "404");
	MUST_DO(POST("/v1/hosts", "{\"name\": \"h1\", \"address\": \"192.0.2.1\"}"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_instance_runs_with_its_volume),
		cmocka_unit_test(metrics_count_what_there_is),
		cmocka_unit_test(volumes_come_and_go_while_it_runs),
		cmocka_unit_test(a_snapshot_becomes_another_volume),
		cmocka_unit_test(it_stops_starts_and_reboots),
		cmocka_unit_test(a_plane_that_is_killed_goes_on),
		cmocka_unit_test(a_host_that_is_killed_comes_back_as_it_is_wanted),
		cmocka_unit_test(what_is_terminated_is_gone_and_leaves_its_volumes),
		cmocka_unit_test(a_deleted_volume_and_its_key_are_no_more),
		cmocka_unit_test(what_fits_nowhere_says_why),
		cmocka_unit_test(what_cannot_start_says_why),
		cmocka_unit_test(another_host_does_not_take_a_name_that_something_is_on),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, begin_plane, end_plane);
}
