/* SPDX-License-Identifier: Apache-2.0 */
/* An image, from a client through the plane to a host that boots an instance with it. */
#include "plane_harness.h"

#define BYTES(file) "-H 'Content-Type: application/octet-stream' --data-binary @" file
#define PUT(path, file)                                                                            \
	do {                                                                                       \
		if (ADMIN("PUT", "'/v1/images/" path "'", BYTES(file)) != 0)                       \
			fail_msg("%s", output);                                                    \
	} while (0)
#define POST(path, text)                                                                           \
	do {                                                                                       \
		if (ADMIN("POST", path, BODY(text)) != 0)                                          \
			fail_msg("%s", output);                                                    \
	} while (0)

/* root: 4 MiB, of which the third has something in it; `kernel` is one that boots. */
static void make_parts(void)
{
	assert_int_equal(
		sh("head -c 1048576 /dev/urandom >root.2 && truncate -s 4M root && dd if=root.2 "
		   "of=root bs=1M seek=2 conv=notrunc && echo GOOD >boot && "
		   "part() { printf '\"%%s\": {\"size\": %%d, \"sha384\": \"%%s\"}' $1 "
		   "$(stat -c %%s $2) $(sha384sum <$2 | cut -d ' ' -f 1); }; "
		   "echo \"{\\\"name\\\": \\\"os\\\", $(part kernel boot), $(part root root)}\" "
		   ">image.json"),
		0);
}

static void upload(void)
{
	make_parts();
	if (ADMIN("POST", "/v1/images", "-H 'Content-Type: application/json' -d @image.json") != 0)
		fail_msg("%s", output);
	PUT("os/kernel", "boot");
	PUT("os/root?offset=2097152", "root.2");
	POST("/v1/images/os/finish", "{}");
	assert_int_equal(sh("echo '%s' | jq -r .metadata.uid >uid", output), 0);
}

static void await(const char *path, const char *text)
{
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		sh("curl -sS --cacert plane/ca.pem -H \"Authorization: Bearer " TOKEN
		   "\" https://127.0.0.1:%d%s | jq -r 'if .code then .code else .status.state, "
		   ".status.text end'",
		   plane_port, path);
		if (!strncmp(output, text, strlen(text)))
			return;
		usleep(50000);
	}
	fail_msg("%s is not %s: %s", path, text, output);
}

static void an_instance_boots_with_it_and_has_its_root(void **state)
{
	(void)state;
	await_host("unattested");
	upload();
	POST("/v1/instances", "{\"name\": \"web\", \"memory\": 67108864, \"image\": \"os\"}");
	await("/v1/instances/web", "running");
	await("/v1/volumes/web-root", "attached");
	assert_int_equal(sh("cmp boot srv/images/$(cat uid)/kernel && "
			    "cmp root srv/images/$(cat uid)/root && "
			    "test $(stat -c %%b srv/images/$(cat uid)/root) -lt 4096"),
			 0);
}

/* What the plane knew of its hosts is asked anew. */
static void it_is_sent_once(void **state)
{
	(void)state;
	assert_int_equal(sh("stat -c %%Z srv/images/$(cat uid)/root >before"), 0);
	kill(plane_pid, SIGKILL);
	wait_end(plane_pid);
	start_plane();
	await_host("unattested");
	POST("/v1/volumes", "{\"name\": \"more\", \"image\": \"os\", \"size\": 8388608}");
	await("/v1/volumes/more", "available");
	assert_int_equal(sh("stat -c %%Z srv/images/$(cat uid)/root | cmp - before"), 0);
}

static void it_goes_from_the_host_with_the_image(void **state)
{
	(void)state;
	assert_int_equal(ADMIN("DELETE", "/v1/images/os", ""), 22);
	assert_true(says("instances/web"));
	assert_int_equal(ADMIN("DELETE", "'/v1/instances/web?volumes=true'", ""), 0);
	await("/v1/instances/web", "not-found");
	if (ADMIN("DELETE", "/v1/images/os", "") != 0)
		fail_msg("%s", output);
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		if (sh("test -z \"$(ls -A srv/images)\" && test -z \"$(ls -A plane/images)\"") == 0)
			return;
		usleep(50000);
	}
	sh("ls -AR srv/images plane/images");
	fail_msg("%s", output);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_instance_boots_with_it_and_has_its_root),
		cmocka_unit_test(it_is_sent_once),
		cmocka_unit_test(it_goes_from_the_host_with_the_image),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, begin_plane, end_plane);
}
