/* SPDX-License-Identifier: Apache-2.0 */
/* Images at a real plane, by curl. */
#include "controller_harness.h"

#define TOKEN "$(cat plane/admin.token)"
#define SHA   "$(sha384sum %s | cut -d' ' -f1)"
#define BIG   "2147483648" /* nobody hashes that much in the time of a request */

static pid_t plane_pid;
static int port;

/* What curl shows; its exit code, 22: a status of 400 and above. */
#define API(method, path, more, ...)                                                               \
	sh("curl -sS --fail-with-body --cacert plane/ca.pem -H \"Authorization: Bearer " TOKEN     \
	   "\" -X " method " 'https://127.0.0.1:%d/v1/images" path "' " more,                      \
	   port, ##__VA_ARGS__)
#define JSON(text)   "-H 'Content-Type: application/json' -d \"" text "\""
#define BYTES(file)  "-H 'Content-Type: application/octet-stream' --data-binary @" file
#define FINISH(name) API("POST", "/" name "/finish", JSON("{}"))

static void start_plane(void)
{
	char listen[32];

	snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
	plane_pid = fork();
	assert_true(plane_pid >= 0);
	if (plane_pid == 0) {
		if (chdir(folder) < 0 || !freopen("notes", "a", stderr))
			_exit(90);
		execl("./karuta-plane", "karuta-plane", "--listen", listen, "--folder", "plane",
		      NULL);
		_exit(92);
	}
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		if (sh("curl -sS --fail --cacert plane/ca.pem https://127.0.0.1:%d/healthz",
		       port) == 0)
			return;
		usleep(50000);
	}
	sh("cat notes");
	fail_msg("the plane does not serve: %s", output);
}

static void end_plane(int signal)
{
	kill(plane_pid, signal);
	assert_int_equal(wait_end(plane_pid), signal == SIGKILL ? -SIGKILL : 0);
}

/* kernel: 300000 bytes; root: 8 MiB, of which the fifth is no zeros. */
static int begin(void **state)
{
	(void)state;
	if (!mkdtemp(folder) ||
	    sh("cp $(dirname $(readlink /proc/%d/exe))/../../bin/karuta-plane . && mkdir -m 700 "
	       "plane && head -c 300000 /dev/urandom >kernel && head -c 200000 kernel >kernel.0 && "
	       "tail -c 100000 kernel >kernel.1 && head -c 1048576 /dev/urandom >root.4 && "
	       "truncate -s 8M root && dd if=root.4 of=root bs=1M seek=4 conv=notrunc && "
	       "head -c 1048577 /dev/zero >long && echo -n init >initrd && : >none",
	       getpid()) != 0)
		return -1;
	port = 20000 + getpid() % 6000 * 2;
	start_plane();
	return 0;
}

static int end(void **state)
{
	(void)state;
	end_plane(SIGTERM);
	return sh("rm -rf %s", folder);
}

static int make(const char *name)
{
	return API("POST", "",
		   JSON("{\\\"name\\\": \\\"%s\\\", \\\"kernel\\\": {\\\"size\\\": 300000, "
			"\\\"sha384\\\": \\\"" SHA "\\\"}, \\\"root\\\": {\\\"size\\\": 8388608, "
			"\\\"sha384\\\": \\\"" SHA "\\\"}, \\\"command_line\\\": "
			"\\\"root=/dev/nvme0n1\\\"}"),
		   name, "kernel", "root");
}

/* Its root is holes, and not what it is said to be. */
static void make_big(const char *name)
{
	assert_int_equal(
		API("POST", "",
		    JSON("{\\\"name\\\": \\\"%s\\\", \\\"kernel\\\": {\\\"size\\\": 4, "
			 "\\\"sha384\\\": \\\"" SHA "\\\"}, \\\"root\\\": {\\\"size\\\": " BIG
			 ", \\\"sha384\\\": \\\"" SHA "\\\"}}"),
		    name, "initrd", "kernel"),
		0);
	assert_int_equal(API("PUT", "/%s/kernel", BYTES("initrd"), name), 0);
}

static void upload(const char *name)
{
	assert_int_equal(API("PUT", "/%s/root?offset=4194304", BYTES("root.4"), name), 0);
	assert_int_equal(API("PUT", "/%s/kernel?offset=200000", BYTES("kernel.1"), name), 0);
	assert_int_equal(API("PUT", "/%s/kernel", BYTES("kernel.0"), name), 0);
}

static void remove_image(const char *name)
{
	if (API("DELETE", "/%s", "", name) != 0)
		fail_msg("%s", output);
}

static void read_uid(const char *name)
{
	assert_int_equal(API("GET", "/%s", "", name), 0);
	assert_int_equal(sh("echo '%s' | jq -r .metadata.uid | tr -d '\\n' | tee uid", output), 0);
	assert_int_equal(strlen(output), 32);
}

static void await_no_files(void)
{
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		if (sh("test ! -e plane/images/$(cat uid)") == 0)
			return;
		usleep(50000);
	}
	fail_msg("its files are still there");
}

static void parts_are_written_in_any_order_and_without_their_holes(void **state)
{
	(void)state;
	assert_int_equal(make("web"), 0);
	assert_true(says("\"uploading\"") && says("root=/dev/nvme0n1"));
	assert_int_equal(make("web"), 22);
	assert_true(says("there is an image web already"));
	assert_int_equal(FINISH("web"), 22);
	assert_true(says("\"status\": 409") || says("\"status\":409"));
	assert_true(says("kernel") && says("differs"));
	upload("web");
	assert_int_equal(FINISH("web"), 0);
	assert_true(says("\"ready\""));
	assert_int_equal(FINISH("web"), 0);
	assert_int_equal(API("GET", "?status.state=ready", ""), 0);
	assert_true(says("\"web\""));
	read_uid("web");
	assert_int_equal(sh("cd plane/images/$(cat uid) && cmp root ../../../root && cmp kernel "
			    "../../../kernel && test $(stat -c %%b root) -lt 4096 && "
			    "test $(stat -c %%a root) = 600 && test $(stat -c %%a .) = 700"),
			 0);
	assert_int_equal(API("PUT", "/web/kernel", BYTES("kernel.0")), 22);
	assert_true(says("does not change any more"));
	remove_image("web");
	await_no_files();
	assert_int_equal(API("GET", "/web", ""), 22);
}

static void what_is_not_of_an_image_is_refused(void **state)
{
	(void)state;
	assert_int_equal(make("odd"), 0);
	assert_int_equal(API("PUT", "/odd/kernel?offset=200001", BYTES("kernel.1")), 22);
	assert_true(says("422") && says("300000 bytes"));
	assert_int_equal(API("PUT", "/odd/kernel?offset=18446744073709551615", BYTES("kernel.1")),
			 22);
	assert_true(says("422"));
	assert_int_equal(API("PUT", "/odd/kernel?offset=18446744073709551616", BYTES("kernel.1")),
			 22);
	assert_true(says("400"));
	assert_int_equal(API("PUT", "/odd/kernel?offset=-1", BYTES("kernel.1")), 22);
	assert_true(says("400"));
	assert_int_equal(API("PUT", "/odd/kernel?from=1", BYTES("kernel.1")), 22);
	assert_true(says("400"));
	assert_int_equal(API("PUT", "/odd/root", BYTES("long")), 22);
	assert_true(says("413"));
	assert_int_equal(API("PUT", "/odd/root", BYTES("none")), 22);
	assert_true(says("422"));
	assert_int_equal(API("PUT", "/odd/initrd", BYTES("initrd")), 22);
	assert_true(says("404") && says("it has no initrd"));
	assert_int_equal(API("PUT", "/odd/root", "--data-binary @root.4"), 22);
	assert_true(says("415"));
	assert_int_equal(API("PUT", "/none/root", BYTES("root.4")), 22);
	assert_true(says("404"));
	remove_image("odd");
}

#define PART(name, size, sha)                                                                      \
	"\\\"" name "\\\": {\\\"size\\\": " size ", \\\"sha384\\\": \\\"" sha "\\\"}"
#define MAKE(parts, ...)                                                                           \
	API("POST", "", JSON("{\\\"name\\\": \\\"x\\\", " parts "}"), ##__VA_ARGS__)

static void an_image_that_makes_no_sense_is_refused(void **state)
{
	(void)state;
	assert_int_equal(MAKE(PART("kernel", "1", SHA), "root"), 22);
	assert_true(says("root"));
	assert_int_equal(
		MAKE(PART("kernel", "0", SHA) ", " PART("root", "4096", SHA), "root", "root"), 22);
	assert_true(says("kernel.size"));
	assert_int_equal(
		MAKE(PART("kernel", "1", SHA) ", " PART("root", "4097", SHA), "root", "root"), 22);
	assert_true(says("root.size: must be a multiple of 4096"));
	assert_int_equal(MAKE(PART("kernel", "536870913", SHA) ", " PART("root", "4096", SHA),
			      "root", "root"),
			 22);
	assert_int_equal(MAKE(PART("kernel", "1", SHA) ", " PART("root", "68719480832", SHA),
			      "root", "root"),
			 22);
	assert_int_equal(MAKE(PART("kernel", "1", "00") ", " PART("root", "4096", SHA), "root"),
			 22);
	assert_true(says("kernel.sha384"));
	assert_int_equal(MAKE(PART("kernel", "1", SHA) ", " PART("root", "4096",
								 SHA) ", " PART("disk", "1", SHA),
			      "root", "root", "root"),
			 22);
	assert_true(says("disk"));
	assert_int_equal(sh("ls plane/images | wc -l | grep -qx 0"), 0);
}

static void a_wrong_byte_is_found_and_may_be_mended(void **state)
{
	(void)state;
	assert_int_equal(make("bad"), 0);
	upload("bad");
	assert_int_equal(API("PUT", "/bad/root?offset=8388604", BYTES("initrd")), 0);
	assert_int_equal(FINISH("bad"), 22);
	assert_true(says("root: what was sent has another SHA-384") && says("differs"));
	assert_int_equal(API("GET", "/bad", ""), 0);
	assert_true(says("\"uploading\""));
	assert_int_equal(sh("head -c 4 /dev/zero >zeros"), 0);
	assert_int_equal(API("PUT", "/bad/root?offset=8388604", BYTES("zeros")), 0);
	assert_int_equal(FINISH("bad"), 0);
	remove_image("bad");
}

/* In the background; what comes of it is in `finished`. */
static void begin_to_finish(const char *name)
{
	assert_int_equal(sh("(curl -sS --cacert plane/ca.pem -H \"Authorization: Bearer " TOKEN
			    "\" -H 'Content-Type: application/json' -d '{}' "
			    "https://127.0.0.1:%d/v1/images/%s/finish >finishing 2>&1; "
			    "mv finishing finished) >/dev/null 2>&1 &",
			    port, name),
			 0);
}

static void nothing_is_written_while_it_is_checked_and_all_else_goes_on(void **state)
{
	bool refused = false;

	(void)state;
	make_big("big");
	read_uid("big");
	begin_to_finish("big");
	for (unsigned i = 0; i < 40 && !refused; i++)
		refused = API("PUT", "/big/kernel", BYTES("initrd")) == 22;
	assert_true(refused && says("it is being checked"));
	assert_int_equal(API("GET", "/big", ""), 0);
	assert_true(says("\"uploading\""));
	assert_int_equal(sh("test ! -e finished"), 0);
	remove_image("big");
	await_no_files();
	for (unsigned i = 0; i < SECONDS * 20 && sh("test -e finished") != 0; i++)
		usleep(50000);
	assert_int_equal(sh("cat finished; rm finished"), 0);
	assert_true(says("image big was removed meanwhile"));
}

static void a_plane_that_was_killed_goes_on_with_an_upload(void **state)
{
	(void)state;
	assert_int_equal(make("cut"), 0);
	assert_int_equal(API("PUT", "/cut/kernel?offset=200000", BYTES("kernel.1")), 0);
	make_big("checked");
	begin_to_finish("checked");
	end_plane(SIGKILL);
	assert_int_equal(sh("mkdir plane/images/00112233445566778899aabbccddeeff && echo x "
			    ">plane/images/00112233445566778899aabbccddeeff/root && echo -n "
			    "00112233445566778899aabbccddeeff >uid"),
			 0);
	start_plane();
	await_no_files();
	assert_int_equal(API("GET", "/checked", ""), 0);
	assert_true(says("\"uploading\""));
	/* One that is told to end does so at once. */
	begin_to_finish("checked");
	end_plane(SIGTERM);
	start_plane();
	remove_image("checked");
	assert_int_equal(API("PUT", "/cut/root?offset=4194304", BYTES("root.4")), 0);
	assert_int_equal(API("PUT", "/cut/kernel", BYTES("kernel.0")), 0);
	assert_int_equal(FINISH("cut"), 0);
	end_plane(SIGKILL);
	start_plane();
	assert_int_equal(API("GET", "/cut", ""), 0);
	assert_true(says("\"ready\""));
	remove_image("cut");
}

#define OTHER(method, path, more)                                                                  \
	sh("curl -sS --fail-with-body --cacert plane/ca.pem -H \"Authorization: Bearer " TOKEN     \
	   "\" -X " method " 'https://127.0.0.1:%d/v1" path "' " more,                             \
	   port)

/* There is no host: a volume waits to be made. */
static void an_image_that_is_needed_stays(void **state)
{
	(void)state;
	assert_int_equal(make("kept"), 0);
	upload("kept");
	assert_int_equal(FINISH("kept"), 0);
	assert_int_equal(OTHER("POST", "/volumes",
			       JSON("{\\\"name\\\": \\\"v\\\", \\\"image\\\": \\\"kept\\\", "
				    "\\\"size\\\": 16777216}")),
			 0);
	assert_int_equal(API("DELETE", "/kept", ""), 22);
	assert_true(says("409") && says("volumes/v"));
	assert_int_equal(OTHER("POST", "/instances",
			       JSON("{\\\"name\\\": \\\"i\\\", \\\"memory\\\": 67108864, "
				    "\\\"image\\\": \\\"kept\\\"}")),
			 0);
	assert_int_equal(API("DELETE", "/kept", ""), 22);
	assert_true(says("409") && says("instances/i"));
	assert_int_equal(OTHER("DELETE", "/instances/i?volumes=true", ""), 0);
	assert_int_equal(OTHER("DELETE", "/volumes/v?now=true", ""), 0);
	for (unsigned i = 0; i < SECONDS * 20 && API("DELETE", "/kept", "") != 0; i++)
		usleep(50000);
	assert_int_equal(API("GET", "/kept", ""), 22);
}

static void there_are_at_most_64_images(void **state)
{
	(void)state;
	/* On one connection. */
	assert_int_equal(
		sh("digest=$(sha384sum root | cut -d' ' -f1); for i in $(seq 64); do "
		   "echo '{\"name\": \"many'$i'\", \"kernel\": {\"size\": 4, \"sha384\": \"'$digest"
		   "'\"}, \"root\": {\"size\": 4096, \"sha384\": \"'$digest'\"}}' >many.$i; "
		   "test $i = 1 || echo next; echo url = https://127.0.0.1:%d/v1/images; "
		   "echo cacert = plane/ca.pem; echo fail; echo json = @many.$i; "
		   "echo header = '\"'Authorization: Bearer " TOKEN "'\"'; done >config; "
		   "curl -sS -K config >made",
		   port),
		0);
	assert_int_equal(make("more"), 22);
	assert_true(says("there are 64 images already"));
	assert_int_equal(sh("ls plane/images | wc -l | grep -qx 64"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_written_in_any_order_and_without_their_holes),
		cmocka_unit_test(what_is_not_of_an_image_is_refused),
		cmocka_unit_test(an_image_that_makes_no_sense_is_refused),
		cmocka_unit_test(a_wrong_byte_is_found_and_may_be_mended),
		cmocka_unit_test(nothing_is_written_while_it_is_checked_and_all_else_goes_on),
		cmocka_unit_test(a_plane_that_was_killed_goes_on_with_an_upload),
		cmocka_unit_test(an_image_that_is_needed_stays),
		cmocka_unit_test(there_are_at_most_64_images),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
