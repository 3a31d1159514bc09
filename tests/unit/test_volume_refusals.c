/* SPDX-License-Identifier: Apache-2.0 */
/* What the volume card does not start with, and what it says then. */
#include "volume_harness.h"

static void refuses(struct fixture *fixture, const char *const *arguments, const char *text)
{
	int socket = launch(fixture, arguments);
	int code = harness_wait(&fixture->harness);
	const char *output = harness_output(&fixture->harness);

	close(socket);
	if (code != 1 && code != 2)
		fail_msg("ended with %d: %s", code, output);
	if (!strstr(output, text))
		fail_msg("said: %s", output);
}

static void refuses_what_makes_no_volume(void **state)
{
	struct fixture *fixture = *state;
	const char *store = fixture->store;

	refuses(fixture, (const char *[]){"--key-fd", "6", NULL}, "--store is needed");
	refuses(fixture, (const char *[]){"--store", "tape:1", NULL}, "file:PATH, fd:N or ram:");
	refuses(fixture, (const char *[]){"--store", "fd:99", NULL}, "no such descriptor");
	refuses(fixture, (const char *[]){"--store", "ram:", NULL}, "needs --size");
	refuses(fixture, (const char *[]){"--store", store, "--key-fd", "6", NULL}, "empty");
	refuses(fixture, (const char *[]){"--store", store, "--size", "10Q", NULL}, "--size 10Q");
	refuses(fixture, (const char *[]){"--store", store, "--size", "0", NULL}, "--size 0");
	refuses(fixture, (const char *[]){"--store", store, "--size", "9000000T", NULL}, "--size");
	refuses(fixture, (const char *[]){"--store", store, "--sector", "520", NULL}, "--sector");
	refuses(fixture, (const char *[]){"--serial", "123456789012345678901", NULL}, "--serial");
	refuses(fixture, (const char *[]){"--store", "file:/nowhere/x", "--key-fd", "6", NULL},
		"volume file:/nowhere/x: does not exist");
}

static void refuses_to_run_without_a_good_key(void **state)
{
	struct fixture *fixture = *state;
	uint8_t twice[STORE_KEY_SIZE];
	struct stat status;

	refuses(fixture, (const char *[]){"--store", fixture->store, "--size", "16M", NULL},
		"no key");
	fixture->key = NULL;
	refuses(fixture, USUAL(fixture), "too short");
	fixture->key = good_key;
	fixture->key_size = STORE_KEY_SIZE - 1;
	refuses(fixture, USUAL(fixture), "too short");
	memset(twice, 7, sizeof(twice));
	fixture->key = twice;
	fixture->key_size = sizeof(twice);
	refuses(fixture, USUAL(fixture), "halves are equal");
	assert_int_equal(fstat(fixture->file, &status), 0);
	assert_int_equal(status.st_size, 0); /* nothing was touched */
}

static void a_volume_has_one_writer(void **state)
{
	struct fixture *fixture = *state;
	struct harness first;

	start(fixture, USUAL(fixture));
	first = fixture->harness;
	harness_open(&fixture->harness, first.program);
	refuses(fixture, USUAL(fixture), "in use by another program");
	refuses(fixture, (const char *[]){"--store", "fd:7", "--key-fd", "6", NULL},
		"in use by another program");
	harness_close(&fixture->harness);
	fixture->harness = first;
	end(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(refuses_what_makes_no_volume),
		CASE(refuses_to_run_without_a_good_key),
		CASE(a_volume_has_one_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
