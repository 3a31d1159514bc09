/* SPDX-License-Identifier: Apache-2.0 */
/* What `karuta` asks of a plane, and what it makes of the answers. */
#include <limits.h>

#include "cli_harness.h"
#include "config.h"
#include "item.h"

/* ---- tables ---- */

static void a_list_is_read_page_by_page_into_a_table(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/instances?limit=100", 200,
		 "{\"items\": [{\"metadata\": {\"name\": \"a\"}, \"spec\": {\"cpus\": 2, "
		 "\"memory\": 1073741824}, \"volumes\": [{\"volume\": \"d\"}], \"status\": "
		 "{\"state\": \"running\", \"host\": \"h1\"}}], \"next\": \"a\"}",
		 NULL},
		{"GET /v1/instances?limit=100&after=a", 200,
		 "{\"items\": [{\"metadata\": {\"name\": \"a-long-name\"}, \"status\": "
		 "{\"state\": \"failed\\u001b[2J\"}}]}",
		 NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance list"), 0);
	assert_true(has(out, "NAME         STATE       HOST  CPUS  MEMORY  VOLUMES  AGE\n"
			     "a            running     h1    2     1 GiB   d        -\n"
			     "a-long-name  failed?[2J  -     0     -       -        -\n"));
	assert_true(has(requests, "Authorization: Bearer karuta_abc\r\n"));
}

static void json_is_the_planes_own(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/hosts/h1", 200, "{\"strange\": [1, true], \"metadata\": {}}", NULL}, {0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("host show h1 --json"), 0);
	assert_string_equal(out,
			    "{\n  \"strange\": [\n    1,\n    true\n  ],\n  \"metadata\": {}\n}\n");
}

static void a_list_without_an_end_is_refused(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/volumes?limit=100", 200, "{\"items\": [], \"next\": \"b\"}", NULL},
		{"GET /v1/volumes?limit=100&after=b", 200, "{\"items\": [], \"next\": \"b\"}",
		 NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("volume list"), 1);
	assert_true(has(err, "has no end"));
}

static void ages_are_for_people(void **state)
{
	char text[ITEM_TEXT];

	(void)state;
	assert_string_equal(item_age_at(text, "1970-01-01T00:00:10Z", 70), "60 s");
	assert_string_equal(item_age_at(text, "1970-01-01T00:00:10.123Z", 610), "10 min");
	assert_string_equal(item_age_at(text, "1970-01-01T00:00:00Z", 7200), "2 h");
	assert_string_equal(item_age_at(text, "1970-01-01T00:00:00Z", 864000), "10 d");
	assert_string_equal(item_age_at(text, "1970-01-01T00:00:10Z", 5), "0 s");
	assert_string_equal(item_age_at(text, "yesterday", 5), "-");
	assert_string_equal(item_plain(text, 5, "\xc2\x9b\x7f\xc3\xa4xyz"), "??\xc3\xa4");
}

/* ---- refusals ---- */

static void a_refusal_is_told_with_its_remedy(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/instances/web", 404,
		 "{\"title\": \"Not Found\", \"detail\": \"there is no instance web\", \"remedy\": "
		 "\"karuta instance list shows them\"}",
		 NULL},
		{"GET /v1/instances/web", 502, "<html>", NULL},
		{"GET /v1/instances/web", 200, "<html>", NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance show web"), 1);
	assert_string_equal(err, "karuta: there is no instance web\n"
				 "        karuta instance list shows them\n");
	assert_int_equal(karuta("instance show web"), 1);
	assert_true(has(err, "HTTP status 502"));
	assert_int_equal(karuta("instance show web"), 1);
	assert_true(has(err, "not JSON"));
}

static void who_is_not_there_is_named(void **state)
{
	static const struct fake_answer answers[] = {{0}};

	(void)state;
	begin(answers);
	fake_plane_stop(&plane);
	assert_int_equal(karuta("host list"), 3);
	assert_true(has(err, "karuta: plane https://127.0.0.1:"));
	assert_true(has(err, "KARUTA_PLANE chooses another"));
}

static void another_authority_is_not_believed(void **state)
{
	static const struct fake_answer answers[] = {{"GET /v1/hosts?limit=100", 200, "{}", NULL},
						     {0}};

	(void)state;
	begin(answers);
	assert_int_equal(system("sed -i s/ca.pem/other-ca.pem/ plane.json"), 0);
	assert_int_equal(karuta("host list"), 3);
	assert_string_equal(requests, "");
}

static void what_is_no_name_is_not_asked_for(void **state)
{
	static const struct fake_answer answers[] = {{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance show ../hosts"), 2);
	assert_int_equal(karuta("instance run web --cpus 0 --memory 1G --kernel k"), 2);
	assert_int_equal(karuta("instance run web --cpus 1 --memory 1G"), 2);
	assert_int_equal(karuta("instance run web --memory 1G --image i --kernel k"), 2);
	assert_int_equal(karuta("instance run web --memory 1G --image i --volume d:x"), 2);
	assert_int_equal(karuta("instance stop web --grace 5"), 2);
	assert_int_equal(karuta("volume create data --image i --clone v"), 2);
	assert_int_equal(karuta("volume create data --size much"), 2);
	assert_int_equal(karuta("token create me --role king"), 2);
	assert_string_equal(requests, "");
}

/* ---- what is lost ---- */

static void a_lost_request_is_sent_again_with_its_key(void **state)
{
	static const struct fake_answer answers[] = {
		{"POST /v1/hosts", 0, NULL, NULL},
		{"POST /v1/hosts", 201, "{\"token\": \"karuta-enrol-x\"}", NULL},
		{"POST /v1/hosts", 201, "{\"token\": \"karuta-enrol-y\"}", NULL},
		{0}};
	char key[64];
	const char *at;

	(void)state;
	begin(answers);
	assert_int_equal(karuta("host add h1 192.0.2.1 --label rack=7"), 0);
	assert_string_equal(out, "karuta-enrol-x\n");
	at = strstr(requests, "Idempotency-Key: ");
	assert_non_null(at);
	snprintf(key, sizeof(key), "%.*s", 49, at);
	assert_int_equal(times(key), 2);
	assert_true(has(requests, "{\"name\":\"h1\",\"address\":\"192.0.2.1\",\"labels\":"
				  "{\"rack\":\"7\"}}"));
	assert_int_equal(karuta("host add h1 192.0.2.1"), 0);
	assert_int_equal(times("POST /v1/hosts"), 3);
	assert_int_equal(times(key), 2);
}

static void what_stays_lost_is_no_answer(void **state)
{
	static const struct fake_answer answers[] = {{"DELETE /v1/hosts/h1", 0, NULL, NULL},
						     {"DELETE /v1/hosts/h1", 0, NULL, NULL},
						     {"DELETE /v1/hosts/h1", 0, NULL, NULL},
						     {"DELETE /v1/hosts/h1", 0, NULL, NULL},
						     {0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("host remove h1"), 3);
	assert_true(has(err, "whether it was done is not known"));
	assert_int_equal(times("DELETE"), 4);
}

/* ---- waiting ---- */

#define ITEM(state) "{\"status\": {\"state\": \"" state "\", \"host\": \"h2\", \"text\": \"so\"}}"

static void run_waits_until_it_runs(void **state)
{
	static const struct fake_answer answers[] = {
		{"POST /v1/instances", 202, ITEM("placing"), NULL},
		{"GET /v1/instances/web", 200, ITEM("placing"), NULL},
		{"GET /v1/instances/web", 200, ITEM("starting"), NULL},
		{"GET /v1/instances/web", 200, ITEM("running"), NULL},
		{"GET /v1/instances/web", 200, ITEM("running"), NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance run web --cpus 2 --memory 1G --kernel k --volume a "
				"--volume b:3 --volume c:10G --restart always --wait"),
			 0);
	assert_true(has(err, "instance web: placing: so"));
	assert_string_equal(out, "instance web is running on host h2\n");
	assert_true(has(requests,
			"{\"name\":\"web\",\"cpus\":2,\"memory\":1073741824,\"kernel\":\"k\","
			"\"restart\":\"always\",\"volumes\":[{\"volume\":\"a\"},{\"volume\":\"b\","
			"\"slot\":3},{\"name\":\"c\",\"size\":10737418240}]}"));
}

static void run_that_fails_says_why(void **state)
{
	static const struct fake_answer answers[] = {
		{"POST /v1/instances", 202, ITEM("placing"), NULL},
		{"GET /v1/instances/web", 200, ITEM("failed"), NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance run web --memory 1G --image k --wait"), 1);
	assert_true(has(err, "karuta: instance web: failed: so"));
}

static void a_start_is_not_ended_by_how_it_was(void **state)
{
	static const struct fake_answer answers[] = {
		{"PATCH /v1/instances/web", 200, ITEM("failed"), NULL},
		{"GET /v1/instances/web", 200, ITEM("failed"), NULL},
		{"GET /v1/instances/web", 200, ITEM("running"), NULL},
		{"GET /v1/instances/web", 200, ITEM("running"), NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance start web --wait"), 0);
	assert_true(has(requests, "{\"wanted\":\"running\"}"));
}

static void terminate_waits_until_it_is_gone(void **state)
{
	static const struct fake_answer answers[] = {
		{"DELETE /v1/instances/web?volumes=true", 202, ITEM("deleting"), NULL},
		{"GET /v1/instances/web", 200, ITEM("deleting"), NULL},
		{"GET /v1/instances/web", 404, "{}", NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance terminate web --volumes --wait"), 0);
	assert_string_equal(out, "instance web is gone\n");
	assert_int_equal(times("GET "), 2);
}

static void attach_shows_its_trace(void **state)
{
	static const struct fake_answer answers[] = {
		{"POST /v1/volumes/data/attach", 202, ITEM("attaching"), NULL},
		{"GET /v1/volumes/data", 200, ITEM("attached"), NULL},
		{"GET /v1/volumes/data/trace", 200,
		 "{\"steps\": [{\"step\": \"asked\", \"ms\": 1.5, \"part\": \"plane\"}, "
		 "{\"step\": \"seen\", \"ms\": 2, \"part\": \"guest\"}]}",
		 NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("volume attach data web --slot 4 --trace"), 0);
	assert_true(has(requests, "{\"instance\":\"web\",\"slot\":4}"));
	assert_true(has(out, "asked  plane  -      1.500\n"));
	assert_true(has(out, "3.500 ms in all, of which 2.000 ms are the guest's\n"));
}

/* ---- what goes on ---- */

static void a_console_is_followed_to_its_end(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/instances/web/console?from=0", 200,
		 "{\"console\": \"aGVsbG8=\", \"from\": 2, \"next\": 7, \"more\": true}", NULL},
		{"GET /v1/instances/web/console?from=7", 200,
		 "{\"console\": \"\", \"from\": 7, \"next\": 7, \"more\": false}", NULL},
		{"GET /v1/instances/web/console?from=7", 200,
		 "{\"console\": \"IQo=\", \"from\": 7, \"next\": 9, \"ended\": true}", NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance console web --follow"), 0);
	assert_string_equal(out, "hello!\n");
	assert_true(has(err, "2 bytes before this"));
}

static void a_console_outlives_its_plane(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/instances/web/console?from=0", 200,
		 "{\"console\": \"aGVsbG8=\", \"from\": 0, \"next\": 5, \"more\": false}", NULL},
		{"GET /v1/instances/web/console?from=5", 0, NULL, NULL},
		{"GET /v1/instances/web/console?from=5", 0, NULL, NULL},
		{"GET /v1/instances/web/console?from=5", 0, NULL, NULL},
		{"GET /v1/instances/web/console?from=5", 0, NULL, NULL},
		{"GET /v1/instances/web/console?from=5", 0, NULL, NULL},
		{"GET /v1/instances/web/console?from=5", 0, NULL, NULL},
		{"GET /v1/instances/web/console?from=5", 0, NULL, NULL},
		{"GET /v1/instances/web/console?from=5", 200,
		 "{\"console\": \"IQo=\", \"from\": 5, \"next\": 7, \"ended\": true}", NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("instance console web --follow"), 0);
	assert_string_equal(out, "hello!\n");
	assert_true(has(err, "waiting for it"));
}

static void events_go_on_behind_the_last_one(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/events?since=0", 200,
		 ": hello\n\nid: 7\ndata: {\"number\": 7, \"text\": \"first\"}\n\nid: 9\ndata: {",
		 "text/event-stream"},
		{"GET /v1/events?since=7", 200,
		 "id: 8\r\ndata: {\"number\": 8,\r\ndata: \"text\": \"second\"}\r\n\r\n",
		 "text/event-stream"},
		{"GET /v1/events?since=8", 403, "{\"detail\": \"enough\"}", NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("events --follow --json"), 1);
	assert_string_equal(out, "{\"number\":7,\"text\":\"first\"}\n"
				 "{\"number\":8,\"text\":\"second\"}\n");
	assert_true(has(err, "karuta: enough\n"));
}

static void events_are_listed(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/events?since=3&limit=100", 200,
		 "{\"items\": [{\"number\": 4, \"time\": \"T\", \"kind\": \"k\", \"object\": "
		 "\"hosts/h\", \"text\": \"came\", \"who\": \"me\"}], \"next\": 4}",
		 NULL},
		{"GET /v1/events?since=4&limit=100", 200, "{\"items\": [], \"next\": 4}", NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("events --since 3"), 0);
	assert_true(has(out, "came (me)\n"));
}

/* ---- the plane's file ---- */

static void a_file_that_others_may_read_is_refused(void **state)
{
	static const struct fake_answer answers[] = {{0}};

	(void)state;
	begin(answers);
	assert_int_equal(chmod("plane.json", 0640), 0);
	assert_int_equal(karuta("host list"), 1);
	assert_true(has(err, "chmod 600"));
	assert_int_equal(karuta("host list --plane none.json"), 1);
	assert_true(has(err, "karuta login"));
}

static void bad_addresses_are_refused(void **state)
{
	static const char *const bad[] = {"http://a:1",	 "https://",	"https://a/b",
					  "https://u@a", "https://a?b", "a:1"};
	struct error error;
	char *url;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(config_url(bad[i], &error));
	url = config_url("https://[::1]:4750/", &error);
	assert_string_equal(url, "https://[::1]:4750");
	free(url);
}

static void login_writes_what_the_plane_agrees_to(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/hosts?limit=1", 401, "{\"detail\": \"who is that?\"}", NULL},
		{"GET /v1/hosts?limit=1", 200, "{\"items\": []}", NULL},
		{0}};
	struct stat status;
	char line[256], text[512];

	(void)state;
	begin(answers);
	write_all("in", "karuta_new\n");
	snprintf(line, sizeof(line), "login https://127.0.0.1:%u/ --ca ca.pem --plane new/p.json",
		 plane.port);
	assert_int_equal(karuta(line), 1);
	assert_int_equal(stat("new/p.json", &status), -1);
	assert_int_equal(karuta(line), 0);
	assert_int_equal(stat("new/p.json", &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	read_all("new/p.json", text, sizeof(text));
	assert_true(has(text, "\"token\": \"karuta_new\""));
	assert_true(has(text, "/ca.pem\""));
	write_all("in", "two words\n");
	assert_int_equal(karuta(line), 1);
	assert_int_equal(times("GET "), 2);
}

static void a_certificate_can_take_the_tokens_place(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/tokens?limit=100", 200, "{\"items\": []}", NULL}, {0}};
	char text[512];

	(void)state;
	begin(answers);
	snprintf(text, sizeof(text),
		 "{\"url\": \"https://127.0.0.1:%u\", \"ca\": \"ca.pem\", \"certificate\": "
		 "\"me.pem\", \"key\": \"me.key\"}",
		 plane.port);
	write_all("plane.json", text);
	assert_int_equal(karuta("token list"), 0);
	assert_null(strstr(requests, "Authorization"));
}

static void login_takes_a_certificate_instead_of_a_token(void **state)
{
	static const struct fake_answer answers[] = {
		{"GET /v1/hosts?limit=1", 200, "{\"items\": []}", NULL}, {0}};
	char line[256], text[4096];

	(void)state;
	begin(answers);
	snprintf(line, sizeof(line), "login https://127.0.0.1:%u --ca ca.pem --certificate me.pem",
		 plane.port);
	assert_int_equal(karuta(line), 2);
	snprintf(line, sizeof(line),
		 "login https://127.0.0.1:%u --ca ca.pem --certificate me.pem --key me.key --plane "
		 "p.json",
		 plane.port);
	assert_int_equal(karuta(line), 0);
	assert_null(strstr(requests, "Authorization"));
	read_all("p.json", text, sizeof(text));
	assert_true(has(text, "/me.pem\"") && has(text, "/me.key\"") && !has(text, "token"));
}

static void a_certificate_is_asked_for_with_a_request(void **state)
{
	static const struct fake_answer answers[] = {
		{"POST /v1/certificates", 201,
		 "{\"id\": \"5a\", \"certificate\": \"-----BEGIN\\nmade\\n\"}", NULL},
		{0}};

	(void)state;
	begin(answers);
	assert_int_equal(karuta("certificate create ann --role reader"), 2);
	assert_int_equal(karuta("certificate create ann --role reader --request none"), 1);
	assert_true(has(err, "none"));
	write_all("in", "-----BEGIN CERTIFICATE REQUEST-----\nabc\n");
	assert_int_equal(karuta("certificate create ann --role reader --days 7 --request -"), 0);
	assert_true(has(requests, "REQUEST-----\\nabc\\n") && has(requests, "\"days\":7"));
	assert_true(has(out, "-----BEGIN\nmade\n"));
}

/* ---- what is written of it ---- */

static char completions[2][65536], page[65536];

static void read_docs(const char *name, char *text)
{
	char path[PATH_MAX];

	assert_non_null(realpath(KARUTA_CERTIFICATES, path));
	snprintf(strrchr(path, '/'), 64, "/../../docs/%s", name);
	read_all(path, text, sizeof(page));
	assert_true(*text);
}

/* Each "  --option" of a verb's help. */
static void check_options(const char *verb, const char *help)
{
	char option[41], written[64];

	for (const char *at = help; (at = strstr(at, "\n  --")); at++) {
		assert_int_equal(sscanf(at, "\n  --%40[a-z-]", option), 1);
		snprintf(written, sizeof(written), "Fl -%s", option);
		if (!strstr(page, written))
			fail_msg("karuta.1: %s --%s is not there", verb, option);
		snprintf(written, sizeof(written), "--%s", option);
		if (!strstr(completions[0], written) || !strstr(completions[1], written))
			fail_msg("completion: %s --%s is not there", verb, option);
	}
}

static void every_verb_is_written_down_and_completed(void **state)
{
	static char all[65536];
	char verb[64], written[128];

	(void)state;
	read_docs("man/karuta.1", page);
	read_docs("completion/karuta.bash", completions[0]);
	read_docs("completion/_karuta", completions[1]);
	assert_int_equal(karuta("--help"), 0);
	strcpy(all, out);
	for (const char *at = all; (at = strstr(at, "\n  karuta ")); at++) {
		assert_int_equal(sscanf(at, "\n  karuta %40[a-z ]", verb), 1);
		while (verb[strlen(verb) - 1] == ' ')
			verb[strlen(verb) - 1] = '\0';
		if (!strstr(page, verb))
			fail_msg("karuta.1: %s is not there", verb);
		snprintf(written, sizeof(written), "%s --help", verb);
		assert_int_equal(karuta(written), 0);
		check_options(verb, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_list_is_read_page_by_page_into_a_table),
		TEST(json_is_the_planes_own),
		TEST(a_list_without_an_end_is_refused),
		TEST(ages_are_for_people),
		TEST(a_refusal_is_told_with_its_remedy),
		TEST(who_is_not_there_is_named),
		TEST(another_authority_is_not_believed),
		TEST(what_is_no_name_is_not_asked_for),
		TEST(a_lost_request_is_sent_again_with_its_key),
		TEST(what_stays_lost_is_no_answer),
		TEST(run_waits_until_it_runs),
		TEST(run_that_fails_says_why),
		TEST(a_start_is_not_ended_by_how_it_was),
		TEST(terminate_waits_until_it_is_gone),
		TEST(attach_shows_its_trace),
		TEST(a_console_is_followed_to_its_end),
		TEST(a_console_outlives_its_plane),
		TEST(events_go_on_behind_the_last_one),
		TEST(events_are_listed),
		TEST(a_file_that_others_may_read_is_refused),
		TEST(bad_addresses_are_refused),
		TEST(login_writes_what_the_plane_agrees_to),
		TEST(a_certificate_can_take_the_tokens_place),
		TEST(login_takes_a_certificate_instead_of_a_token),
		TEST(a_certificate_is_asked_for_with_a_request),
		TEST(every_verb_is_written_down_and_completed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
