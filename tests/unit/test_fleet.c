/* SPDX-License-Identifier: Apache-2.0 */
/* Three hosts and a plane, as people use them: by `karuta`, and by curl. */
#include "fleet_harness.h"

#define MUST_DO(call)                                                                              \
	do {                                                                                       \
		if ((call) != 0)                                                                   \
			fail_msg("%s", output);                                                    \
	} while (0)

/* As typed. */
#define KARUTA(words, ...) sh("KARUTA_PLANE=plane.json ./karuta " words, ##__VA_ARGS__)
#define SMALL		   "--memory 64M --kernel kernel"

/* The states of a name on all hosts, as they tell themselves: "running on 2, ". */
static void told_by_hosts(const char *name, char *text, size_t size)
{
	size_t length = strlen(name);

	text[0] = '\0';
	for (unsigned i = 0; i < HOSTS; i++) {
		json_t *list = host_list(i), *unit;
		size_t j;

		json_array_foreach(list, j, unit)
		{
			const char *full = json_string_value(json_object_get(unit, "name"));

			if (!strncmp(full, name, length) && full[length] == '.')
				snprintf(text + strlen(text), size - strlen(text), "%s on %u, ",
					 json_string_value(json_object_get(unit, "state")), i);
		}
		json_decref(list);
	}
}

static unsigned count_of(const char *text, const char *part)
{
	unsigned count = 0;

	for (; (text = strstr(text, part)); text++)
		count++;
	return count;
}

static void await_told(const char *name, const char *state)
{
	char text[512];

	for (unsigned i = 0; i < SECONDS * 5; i++) {
		told_by_hosts(name, text, sizeof(text));
		if (*state ? count_of(text, " on ") == 1 && !strncmp(text, state, strlen(state))
			   : !*text)
			return;
		usleep(100000);
	}
	fail_msg("%s is not \"%s\": %s", name, state, text);
}

/* Of the plane's document: what jq makes of it. */
static void await_doc(const char *path, const char *filter, const char *value)
{
	for (unsigned i = 0; i < SECONDS * 5; i++) {
		if (sh("curl -sS --cacert plane/ca.pem -H \"Authorization: Bearer " TOKEN
		       "\" https://127.0.0.1:%d%s | jq -r '%s'",
		       plane_port, path, filter) == 0 &&
		    !strncmp(output, value, strlen(value)) && output[strlen(value)] == '\n')
			return;
		usleep(100000);
	}
	fail_msg("%s: %s is not %s: %s", path, filter, value, output);
}

#define STATE ".code // .status.state"

static void one_logs_in_and_sees_three_hosts(void **state)
{
	(void)state;
	MUST_DO(KARUTA("login https://127.0.0.1:%d --ca plane/ca.pem <plane/admin.token",
		       plane_port));
	for (unsigned i = 0; i < HOSTS; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/v1/hosts/h%u", i);
		await_doc(path, ".status.state", "unattested");
	}
	MUST_DO(KARUTA("host list"));
	assert_int_equal(count_of(output, "unattested"), 3);
}

/* One is started by the command, one by curl, one by the command again: each on a host of its own.
 */
static void instances_spread_over_the_hosts(void **state)
{
	char text[512], all[1024] = "";
	static const char *const names[] = {"one", "two", "three"};

	(void)state;
	MUST_DO(KARUTA("instance run one " SMALL " --wait"));
	MUST_DO(ADMIN("POST", "/v1/instances",
		      BODY("{\"name\": \"two\", \"memory\": 67108864, \"kernel\": \"kernel\"}")));
	await_doc("/v1/instances/two", STATE, "running");
	MUST_DO(KARUTA("instance run three " SMALL " --volume three-data:1M --wait"));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		await_told(names[i], "running");
		told_by_hosts(names[i], text, sizeof(text));
		strcat(all, text);
	}
	for (unsigned i = 0; i < HOSTS; i++) {
		snprintf(text, sizeof(text), "running on %u, ", i);
		assert_int_equal(count_of(all, text), 1);
	}
	MUST_DO(KARUTA("instance list"));
	assert_int_equal(count_of(output, "running"), 3);
}

static void volumes_come_and_go_by_both(void **state)
{
	(void)state;
	MUST_DO(KARUTA("instance show one --json | jq -r .status.host"));
	MUST_DO(KARUTA("volume create first --size 1M --host %.2s --wait", output));
	MUST_DO(KARUTA("instance show two --json | jq -r .status.host"));
	MUST_DO(ADMIN("POST", "/v1/volumes",
		      BODY("{\"name\": \"second\", \"size\": 1048576, \"host\": \"%.2s\"}"),
		      output));
	MUST_DO(KARUTA("volume attach first one --trace"));
	assert_true(says("asked for") && says("ms in all"));
	await_doc("/v1/volumes/second", STATE, "available");
	MUST_DO(ADMIN("POST", "/v1/volumes/second/attach", BODY("{\"instance\": \"two\"}")));
	await_doc("/v1/volumes/second", STATE, "attached");
	/* It is on another host. */
	assert_int_equal(KARUTA("volume attach first two"), 1);
	assert_int_equal(
		ADMIN("POST", "/v1/volumes/second/attach", BODY("{\"instance\": \"one\"}")), 22);
	MUST_DO(KARUTA("volume detach second --wait"));
	MUST_DO(ADMIN("POST", "/v1/volumes/first/detach", BODY("{}")));
	await_doc("/v1/volumes/first", STATE, "available");
	await_doc("/v1/volumes/second", STATE, "available");
}

static void instances_stop_start_and_reboot_by_both(void **state)
{
	(void)state;
	MUST_DO(KARUTA("instance stop one --wait"));
	MUST_DO(ADMIN("PATCH", "/v1/instances/two", BODY("{\"wanted\": \"stopped\"}")));
	await_doc("/v1/instances/two", STATE, "stopped");
	await_told("one", "ended");
	await_told("two", "ended");
	await_told("three", "running");
	MUST_DO(KARUTA("instance start two --wait"));
	MUST_DO(ADMIN("PATCH", "/v1/instances/one", BODY("{\"wanted\": \"running\"}")));
	await_doc("/v1/instances/one", STATE, "running");
	await_told("one", "running");
	await_told("two", "running");
	MUST_DO(KARUTA("instance reboot one"));
	MUST_DO(ADMIN("POST", "/v1/instances/two/reboot", BODY("{}")));
	await_doc("/v1/instances/one", STATE, "running");
	await_doc("/v1/instances/two", STATE, "running");
}

static void what_is_terminated_leaves_nothing_behind(void **state)
{
	(void)state;
	MUST_DO(KARUTA("instance terminate one --wait"));
	MUST_DO(KARUTA("instance terminate three --volumes --wait"));
	MUST_DO(ADMIN("DELETE", "/v1/instances/two", ""));
	await_doc("/v1/instances/two", STATE, "not-found");
	await_told("one", "");
	await_told("two", "");
	await_told("three", "");
	MUST_DO(KARUTA("volume delete first --now"));
	MUST_DO(ADMIN("DELETE", "/v1/volumes/second?now=true", ""));
	await_doc("/v1/volumes/second", STATE, "not-found");
	await_doc("/v1/volumes/three-data", STATE, "deleting");
	MUST_DO(KARUTA("volume delete three-data --now"));
	await_doc("/v1/volumes", ".items | length", "0");
	assert_int_not_equal(sh("ls h?/srv/*.vol"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_logs_in_and_sees_three_hosts),
		cmocka_unit_test(instances_spread_over_the_hosts),
		cmocka_unit_test(volumes_come_and_go_by_both),
		cmocka_unit_test(instances_stop_start_and_reboot_by_both),
		cmocka_unit_test(what_is_terminated_leaves_nothing_behind),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, begin_fleet, end_fleet);
}
