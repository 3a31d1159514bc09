/* SPDX-License-Identifier: Apache-2.0 */
/* What `karuta` asks of a plane for instances, volumes, snapshots, keys, tokens, and how it puts
 * it.
 */
#include <jansson.h>

#include "cli_harness.h"
#include "trust/audit_chain.h"

/* Of "KERNEL"; of 2 MiB of zeros and "data". */
#define KERNEL_SHA384                                                                              \
	"0523350606668be0e5a90a186cc69dbe0517232a696d6ec7"                                         \
	"10e323ac8fb94087ef3f8ac9cc31244f080192f11a130a42"
#define ROOT_SHA384                                                                                \
	"0016713193a55ed04e49389f9ab6b6dbbf79724007228625"                                         \
	"3d7f3842ec96cfc5963476599d45b9271ff3a0ba4aebed45"

#define ITEM(state) "{\"status\": {\"state\": \"" state "\", \"host\": \"h2\", \"text\": \"so\"}}"

static void a_program_does_not_wait(void **state)
{
	static const struct fake_answer answers[] = {
		{"POST /v1/instances", 201, ITEM("placing"), NULL},
		{"PATCH /v1/instances/web", 202, ITEM("running"), NULL},
		{"DELETE /v1/instances/web", 202, ITEM("terminating"), NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance run web --image i --memory 1G --root 8G --whole-cores 2 "
				"--host-label rack=7"),
			 0);
	assert_true(has(out, "instance web is being started"));
	assert_true(has(requests, "{\"name\":\"web\",\"memory\":1073741824,\"cores\":2,\"root\":"
				  "{\"size\":8589934592},\"image\":\"i\",\"host_labels\":"
				  "{\"rack\":\"7\"}}"));
	assert_int_equal(karuta("instance stop web --kill --grace 5"), 0);
	assert_true(has(requests, "{\"wanted\":\"stopped\",\"kill\":true,\"grace\":5}"));
	assert_string_equal(out, "instance web is to be stopped\n");
	assert_int_equal(karuta("instance terminate web"), 0);
	assert_string_equal(out, "instance web is being terminated\n");
	assert_int_equal(times("GET "), 0);
}

static void a_volume_is_made_from_something(void **state)
{
	static const struct fake_answer answers[] = {
		{"POST /v1/volumes", 201, ITEM("creating"), NULL},
		{"GET /v1/volumes/d", 200, ITEM("available"), NULL},
		{"GET /v1/volumes/other", 200, "{\"spec\": {\"size\": 8192}}", NULL},
		{"POST /v1/volumes", 201, ITEM("creating"), NULL},
		{"GET /v1/images/im", 200, "{\"spec\": {\"root\": {\"size\": 4096}}}", NULL},
		{"POST /v1/volumes", 201, ITEM("creating"), NULL},
		{"GET /v1/snapshots/s", 200, "{\"status\": {\"size\": 0}}", NULL},
		{"DELETE /v1/volumes/d?now=true", 202, ITEM("deleting"), NULL},
		{"POST /v1/volumes/d/restore", 200, ITEM("available"), NULL},
		{"PATCH /v1/volumes/d", 202, ITEM("available"), NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("volume create d --size 1G --host h --wait"), 0);
	assert_string_equal(out, "volume d is created\n");
	assert_int_equal(karuta("volume create d --clone other"), 0);
	assert_string_equal(out, "volume d is being created\n");
	assert_true(has(requests, "{\"name\":\"d\",\"host\":\"h\",\"size\":1073741824}") &&
		    has(requests, "{\"name\":\"d\",\"volume\":\"other\",\"size\":8192}"));
	assert_int_equal(karuta("volume create d --image im"), 0);
	assert_true(has(requests, "{\"name\":\"d\",\"image\":\"im\",\"size\":4096}"));
	assert_int_equal(karuta("volume create d --snapshot s"), 1);
	assert_true(has(err, "its size is not known yet"));
	assert_int_equal(karuta("volume delete d --now"), 0);
	assert_int_equal(karuta("volume restore d"), 0);
	assert_int_equal(karuta("volume resize d 2G"), 0);
	assert_true(has(requests, "{\"size\":2147483648}"));
}

static void snapshots_and_keys_are_asked_for(void **state)
{
	static const struct fake_answer answers[] = {
		{"POST /v1/snapshots", 201, ITEM("creating"), NULL},
		{"GET /v1/snapshots/s", 200, ITEM("ready"), NULL},
		{"GET /v1/snapshots?limit=100", 200,
		 "{\"items\": [{\"metadata\": {\"name\": \"s\"}, \"spec\": {\"volume\": \"d\"}, "
		 "\"status\": {\"state\": \"ready\", \"size\": 4096}}]}",
		 NULL},
		{"DELETE /v1/snapshots/s", 202, ITEM("deleting"), NULL},
		{"GET /v1/keys?limit=100", 200,
		 "{\"items\": [{\"metadata\": {\"name\": \"k1\"}, \"kek\": \"2\", \"volume\": "
		 "\"d\"}]}",
		 NULL},
		{"POST /v1/keys/rotate", 202, "", NULL},
		{"DELETE /v1/keys/k1", 204, "", NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("snapshot create s d --wait"), 0);
	assert_string_equal(out, "snapshot s is ready\n");
	assert_true(has(requests, "{\"name\":\"s\",\"volume\":\"d\"}"));
	assert_int_equal(karuta("snapshot list"), 0);
	assert_true(has(out, "s     ready  d       4 KiB  -     -\n"));
	assert_int_equal(karuta("snapshot delete s"), 0);
	assert_int_equal(karuta("key list"), 0);
	assert_true(has(out, "k1  d       2           -\n"));
	assert_int_equal(karuta("key rotate"), 0);
	assert_int_equal(karuta("key delete k1"), 0);
	assert_string_equal(out, "key k1 is deleted\n");
}

/* What is zeros is not sent, and what was sent before is not refused. */
static void an_image_is_pushed(void **state)
{
	static const struct fake_answer answers[] = {
		{"POST /v1/images", 201, ITEM("uploading"), NULL},
		{"PUT /v1/images/im/kernel?offset=0", 204, "", NULL},
		{"PUT /v1/images/im/root?offset=2097152", 500, "{\"detail\": \"full\"}", NULL},
		{"POST /v1/images", 409, "{\"detail\": \"there is one\"}", NULL},
		{"GET /v1/images/im", 200,
		 "{\"status\": {\"state\": \"uploading\"}, \"spec\": {\"kernel\": {\"size\": 6, "
		 "\"sha384\": \"" KERNEL_SHA384 "\"}, \"root\": {\"size\": 2097156, \"sha384\": "
		 "\"" ROOT_SHA384 "\"}}}",
		 NULL},
		{"PUT /v1/images/im/kernel?offset=0", 204, "", NULL},
		{"PUT /v1/images/im/root?offset=2097152", 204, "", NULL},
		{"POST /v1/images/im/finish", 200, ITEM("ready"), NULL},
		{"POST /v1/images", 409, "{\"detail\": \"there is one\"}", NULL},
		{"GET /v1/images/im", 200,
		 "{\"status\": {\"state\": \"ready\"}, \"spec\": {\"kernel\": {\"size\": 6, "
		 "\"sha384\": \"" KERNEL_SHA384 "\"}, \"root\": {\"size\": 1, \"sha384\": \"0\"}}}",
		 NULL},
		{0}};

	(void)state;
	begin(answers);
	setenv("KARUTA_HOME", folder, 1);
	assert_int_equal(system("mkdir -p images/local && cd images/local && printf KERNEL >kernel "
				"&& truncate -s 1M root.img && head -c 1M /dev/zero >>root.img && "
				"printf data >>root.img && echo "
				"'{\"name\": \"local\", \"origin\": \"built\", \"created\": \"T\", "
				"\"size\": 2097156, \"sector\": 4096, \"root\": \"/dev/nvme0n1\", "
				"\"uuid\": \"89f7-30d0\", "
				"\"sha256\": {}}' >image.json"),
			 0);
	assert_int_equal(karuta("image push none --as im"), 1);
	assert_true(has(err, "image none: there is none"));
	assert_int_equal(karuta("image push local --as im --label x"), 2);
	assert_int_equal(karuta("image push local --as im"), 1);
	assert_true(has(err, "karuta: full"));
	assert_int_equal(karuta("image push local --as im"), 0);
	assert_string_equal(out, "image im is ready\n");
	assert_true(has(requests,
			"{\"name\":\"im\",\"command_line\":\"console=ttyS0 "
			"root=/dev/nvme0n1 rw\",\"kernel\":{\"size\":6,\"sha384\":\"" KERNEL_SHA384
			"\"},\"root\":{\"size\":2097156,\"sha384\":\"" ROOT_SHA384 "\"}}"));
	assert_int_equal(times("\r\n\r\nKERNEL"), 2);
	assert_int_equal(times("\r\n\r\ndata"), 2);
	assert_false(has(requests, "root=UUID"));
	/* Another one of that name is not touched; with an initrd the root is found by what it is.
	 */
	assert_int_equal(system("cd images/local && printf INITRD >initrd && "
				"sed -i 's/\"root\"/\"initrd\": \"i\", &/' image.json"),
			 0);
	assert_int_equal(karuta("image push local --as im"), 1);
	assert_true(has(err, "karuta: there is one"));
	assert_true(has(requests, "console=ttyS0 root=UUID=89f7-30d0 rw"));
}

static void images_are_of_the_machine_or_of_the_plane(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/images?limit=100", 200,
		 "{\"items\": [{\"metadata\": {\"name\": \"im\"}, \"spec\": {\"root\": {\"size\": "
		 "2097152}}, \"status\": {\"state\": \"ready\"}}]}",
		 NULL},
		{"DELETE /v1/images/im", 204, "", NULL},
		{0}};

	(void)state;
	begin(answers);
	setenv("KARUTA_HOME", folder, 1);
	assert_int_equal(karuta("image list --pushed"), 0);
	assert_true(has(out, "im    ready  2 MiB  -\n"));
	assert_int_equal(karuta("image delete im --pushed"), 0);
	assert_int_equal(karuta("image delete im"), 1);
	assert_true(has(err, "image im: there is none"));
}

static void tokens_are_called_by_their_ids(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/tokens?limit=100", 200,
		 "{\"items\": [{\"id\": \"0a\", \"name\": \"ann\", \"role\": \"reader\", "
		 "\"created\": 100, \"expires\": 86400}]}",
		 NULL},
		{"DELETE /v1/tokens/0a", 204, "", NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("token list"), 0);
	assert_true(has(out, "ID  NAME  ROLE    EXPIRES     AGE\n0a  ann   reader  1970-01-02  "));
	assert_int_equal(karuta("token delete 0a"), 0);
}

static void a_host_is_shown_as_the_plane_knows_it(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/hosts?limit=100", 200,
		 "{\"items\": [{\"metadata\": {\"name\": \"h1\"}, \"spec\": {\"address\": "
		 "\"192.0.2.1\"}, \"status\": {\"state\": \"trusted\", \"cpus\": 8, "
		 "\"cpus_promised\": 3, \"memory\": 17179869184, \"memory_promised\": 1073741824, "
		 "\"instances\": 2, \"heard_ms_ago\": 1500}}]}",
		 NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("host list"), 0);
	assert_true(
		has(out, "h1    192.0.2.1  trusted  3 of 8  1 GiB of 16 GiB  2          1 s\n"));
}

#define CARDS(reads, bytes)                                                                        \
	"{\"instances\": [{\"name\": \"web.0123456789abcdef\", \"state\": \"running\", "           \
	"\"cards\": "                                                                              \
	"[{\"slot\": 2, \"name\": \"vol0\", \"counters\": {\"reads\": " reads                      \
	", \"read_bytes\": " bytes ", \"writes\": 9, \"write_bytes\": 99}}]}, {\"name\": "         \
	"\"old.0123456789abcdef\", \"state\": "                                                    \
	"\"stopped\"}]}"
#define TOP_LISTS                                                                                  \
	{"GET /v1/hosts?limit=100", 200,                                                           \
	 "{\"items\": [{\"metadata\": {\"name\": \"h1\"}, \"status\": {\"state\": \"trusted\"}}, " \
	 "{\"metadata\": {\"name\": \"h2\"}, \"status\": {\"state\": \"unreachable\"}}]}",         \
	 NULL},                                                                                    \
	{                                                                                          \
		"GET /v1/instances?limit=100", 200,                                                \
			"{\"items\": [{\"metadata\": {\"name\": \"web\"}, \"volumes\": "           \
			"[{\"volume\": "                                                           \
			"\"data\", \"slot\": 2}]}]}",                                              \
			NULL                                                                       \
	}

/* Rates are of the time between two looks, which no test knows: 900 TiB are TiB a second even after
 * minutes. A card that was started again counts from 0. */
static void top_shows_what_is_read_and_written(void **state)
{
	static const struct fake_answer answers[] = {
		TOP_LISTS,
		{"GET /v1/hosts/h1/instances", 200, CARDS("100", "1048576"), NULL},
		TOP_LISTS,
		{"GET /v1/hosts/h1/instances", 200, CARDS("50", "989560465858560"), NULL},
		{0}};
	char read[32];

	(void)state;
	begin(answers);
	assert_int_equal(karuta("top --interval 1"), 0);
	assert_true(has(out, "h1    web       running  2     data    ") &&
		    has(out, " TiB  0 bytes  0        0\n") &&
		    has(out, "h1    old       stopped  -     -       -"));
	assert_int_equal(sscanf(strstr(out, "data"), "data %31s TiB", read), 1);
	assert_true(atof(read) > 0 && atof(read) <= 900);
	assert_int_equal(karuta("top --interval 0"), 2);
}

/* ---- the audit log ---- */

#define LINES 5u

/* As a host writes them, anew each time. */
static char lines[LINES + 1][AUDIT_LINE_MAX];

static void write_lines(unsigned changed)
{
	const struct audit_record record = {
		.caller = "plane", .verb = "list", .object = "", .text = ""};
	struct audit_link link = {0};

	for (unsigned i = 1; i <= LINES; i++) {
		int length = audit_chain_add(&link, &record, lines[i], AUDIT_LINE_MAX);

		assert_true(length > 0);
		lines[i][length - 1] = '\0';
		if (i == changed)
			lines[i][length - 4] ^= 1;
	}
}

static char *audit_page(unsigned from, unsigned to, bool more)
{
	json_t *list = json_array(), *page;
	char *text;

	for (unsigned i = from; i < to; i++)
		json_array_append_new(list, json_string(lines[i]));
	page = json_pack("{s:o, s:I, s:b}", "lines", list, "last", (json_int_t)to - 1, "more",
			 more);
	text = json_dumps(page, JSON_COMPACT);
	json_decref(page);
	return text;
}

static int verify(unsigned from, unsigned changed, const char *words)
{
	char line[256], *first, *second;
	int status;

	write_lines(changed);
	first = audit_page(from, 4, true);
	second = audit_page(4, LINES + 1, false);
	const struct fake_answer answers[] = {{"GET /v1/hosts/h1/audit?since=0", 200, first, NULL},
					      {"GET /v1/hosts/h1/audit?since=3", 200, second, NULL},
					      {0}};
	begin(answers);
	snprintf(line, sizeof(line), "audit verify h1%s", words);
	status = karuta(line);
	fake_plane_stop(&plane);
	free(first);
	free(second);
	return status;
}

static void an_audit_log_is_a_chain(void **state)
{
	char words[200];

	(void)state;
	assert_int_equal(verify(1, 0, ""), 0);
	assert_true(has(out, "host h1: lines 1 to 5 of its audit log"));
	snprintf(words, sizeof(words), " --known %.*s", (int)(2 + AUDIT_HASH_TEXT),
		 strstr(out, "5:"));
	assert_int_equal(verify(1, 5, ""), 1);
	assert_true(has(err, "line 5 of its audit log does not follow"));
	assert_int_equal(verify(1, 2, ""), 1);
	assert_true(has(err, "line 2 of its audit log does not follow"));
	/* The oldest that is left is believed, those behind it are not. */
	assert_int_equal(verify(2, 0, ""), 0);
	assert_true(has(out, "lines 2 to 5") && has(out, "older ones are not on the host"));
	assert_int_equal(verify(2, 3, ""), 1);
	/* Times differ: a log that is a chain, but not the one that was seen. */
	assert_int_equal(verify(1, 0, words), 1);
	assert_true(has(err, "line 5 of its audit log is not the one that is known"));
	words[9] = '9';
	assert_int_equal(verify(1, 0, words), 1);
	assert_true(has(err, "ends with line 5, and line 9 is known"));
	assert_int_equal(verify(1, 0, " --known 5:x"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_program_does_not_wait),
		TEST(a_volume_is_made_from_something),
		TEST(snapshots_and_keys_are_asked_for),
		TEST(an_image_is_pushed),
		TEST(images_are_of_the_machine_or_of_the_plane),
		TEST(tokens_are_called_by_their_ids),
		TEST(a_host_is_shown_as_the_plane_knows_it),
		TEST(top_shows_what_is_read_and_written),
		TEST(an_audit_log_is_a_chain),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
