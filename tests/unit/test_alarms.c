/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that do what none of ours does: the event, the end, the mark. */
#include <jansson.h>

#include "serve_harness.h"

static uint64_t last; /* event that was there before */
static json_t *event;

/* Those that are new, as JSON. */
static json_t *look(void)
{
	json_t *answer, *result;

	assert_int_equal(CALL("reader", "events %llu --json", (unsigned long long)last), 0);
	answer = json_loads(output, 0, NULL);
	result = json_incref(json_object_get(answer, "result"));
	json_decref(answer);
	assert_non_null(result);
	return result;
}

static const char *text_of(const char *member)
{
	const char *text = json_string_value(json_object_get(event, member));

	assert_non_null(text);
	return text;
}

static json_int_t number_of(const char *member)
{
	return json_integer_value(json_object_get(event, member));
}

/* The next one; there is no other. */
static void wait_event(void)
{
	json_decref(event);
	event = NULL;
	for (unsigned i = 0; i < SECONDS * 20 && !event; i++) {
		json_t *result = look();
		json_t *list = json_object_get(result, "events");

		assert_true(json_array_size(list) <= 1);
		event = json_incref(json_array_get(list, 0));
		json_decref(result);
		usleep(50000);
	}
	assert_non_null(event);
	assert_int_equal(number_of("number"), last + 1);
	last++;
}

/* From the deed, as the program has noted it, to the event. */
static void expect_soon(void)
{
	json_int_t took;

	assert_int_equal(sh("cat did"), 0);
	took = number_of("when_ms") - strtoll(output, NULL, 10);
	if (took < 0 || took > 1000)
		fail_msg("after %lld ms", (long long)took);
}

static void expect(const char *instance, const char *program, const char *kind, const char *text)
{
	wait_event();
	assert_string_equal(text_of("instance"), instance);
	assert_string_equal(text_of("program"), program);
	assert_string_equal(text_of("kind"), kind);
	if (!strstr(text_of("text"), text))
		fail_msg("%s", text_of("text"));
	assert_true(number_of("pid") > 0);
	/* In the audit log, on the host's standard error. */
	assert_int_equal(sh("./karuta-controller audit show audit | grep 'controller: event %s/%s: "
			    "accepted\\|event %s/%s.*%s: pid %lld'",
			    instance, program, instance, program, kind,
			    (long long)number_of("pid")),
			 0);
	assert_int_equal(sh("grep 'SECURITY EVENT %llu: %s: %s' notes", (unsigned long long)last,
			    kind, program),
			 0);
}

static void expect_gone(void)
{
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		if (kill((pid_t)number_of("pid"), 0) < 0)
			return;
		usleep(50000);
	}
	fail_msg("it lives");
}

static bool is_marked(const char *name)
{
	assert_int_equal(CALL("reader", "status %s --json", name), 0);
	return says("\"compromised\": true");
}

static void launch_with(const char *name, const char *kernel, const char *store)
{
	assert_int_equal(sh("echo %s >srv/%s.kernel", kernel, name), 0);
	assert_int_equal(
		sh("echo '{\"name\": \"%s\", \"memory\": \"64M\", \"kernel\": \"%s.kernel\", "
		   "\"restart\": \"%s\", "
		   "\"cards\": [{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"%s.vol\", "
		   "\"key_fd\": 3}]}' >%s.json",
		   name, name, strcmp(kernel, "GOOD") ? "never" : "on-failure", store, name),
		0);
	CALL("operator", "launch %s.json keys=3:key", name);
}

/* The hypervisor does it when it is started: its instance ends. */
static void expect_ended(const char *name, const char *text)
{
	expect_soon();
	expect_gone();
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		assert_int_equal(CALL("reader", "status %s", name), 0);
		if (says(": ended: "))
			break;
		usleep(50000);
	}
	if (!says("COMPROMISED; ") || !says(text))
		fail_msg("%s", output);
	assert_true(is_marked(name));
	assert_int_equal(CALL("reader", "list"), 0);
	assert_true(says("COMPROMISED; "));
}

static void a_hypervisor_makes_a_forbidden_call(void **state)
{
	(void)state;
	launch_with("sneaky", "SNEAKY", "good");
	expect("sneaky", "hypervisor", "system-call", "a system call that is not on its list");
	assert_non_null(strstr(text_of("evidence"), "last words: let me out"));
	/* Where the kernel tells. */
	if (sh("dmesg 2>/dev/null | grep 'type=1326.* pid=%lld '", (long long)number_of("pid")) ==
	    0)
		assert_non_null(strstr(text_of("evidence"), "system call 41 (socket); "));
	expect_ended("sneaky", "killed by SIGSYS");
}

static void a_hypervisor_fills_its_page_with_garbage(void **state)
{
	(void)state;
	launch_with("garbled", "GARBLED", "good");
	expect("garbled", "hypervisor", "status-page", "its status page is not one");
	assert_non_null(strstr(text_of("evidence"), "page a5a5a5a5a5a5a5a5"));
	expect_ended("garbled", "its status page is not one");
}

static void a_hypervisor_speaks(void **state)
{
	(void)state;
	launch_with("chatty", "CHATTY", "good");
	expect("chatty", "hypervisor", "message", "it spoke on the channel for descriptors");
	assert_string_equal(text_of("evidence"), "bytes 68656c6c6f");
	expect_ended("chatty", "it spoke where nobody is to");
}

/* A card does it when it is told to: it is ended and comes back, the mark stays. */
static void a_card_does(const char *name, const char *kind, const char *text)
{
	launch_with(name, "GOOD", name);
	assert_false(is_marked(name));
	CALL("operator", "resize %s v size=2M", name);
	expect(name, "v", kind, text);
	expect_soon();
	expect_gone();
	assert_true(is_marked(name));
	assert_true(says("\"state\": \"running\""));
	assert_true(says("\"events\": ["));
	assert_int_equal(CALL("reader", "status %s", name), 0);
	assert_true(says(": COMPROMISED; running for") && says("event "));
	kill_one(name);
}

static void a_card_makes_a_forbidden_call(void **state)
{
	(void)state;
	a_card_does("sneaky", "system-call", "a system call that is not on its list");
}

static void a_card_fills_its_page_with_garbage(void **state)
{
	(void)state;
	a_card_does("garbled", "status-page", "its status page is not one");
}

static void a_card_speaks_first(void **state)
{
	(void)state;
	launch_with("mouthy", "GOOD", "chatty");
	expect("mouthy", "v", "message", "it spoke on a bus without a peer");
	expect_soon();
	expect_gone();
	assert_int_equal(CALL("reader", "status mouthy"), 0);
	assert_true(says("COMPROMISED; ") && says("it spoke where nobody is to"));
}

/* A card tells of its peer: that may be so or not. */
static void hearsay_marks_and_ends_nothing(void **state)
{
	(void)state;
	launch_with("bossy", "GOOD", "bossy");
	assert_int_equal(CALL("operator", "resize bossy v size=2M"), 0);
	expect("bossy", "hypervisor", "bus", "it broke the bus's rules 3 times, says card v");
	assert_true(is_marked("bossy"));
	assert_true(says("\"state\": \"running\""));
	/* Until a caller starts it anew. */
	assert_int_equal(kill((pid_t)number_of("pid"), SIGKILL), 0);
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		assert_int_equal(CALL("reader", "status bossy"), 0);
		if (says("restarts: 1, "))
			break;
		usleep(50000);
	}
	assert_true(is_marked("bossy"));
	kill_one("bossy");
	assert_true(is_marked("bossy"));
	assert_int_equal(CALL("operator", "start bossy keys=3:key"), 0);
	assert_false(is_marked("bossy"));
	kill_one("bossy");
}

static void a_guest_marks_nothing_and_has_a_line_at_most(void **state)
{
	uint64_t begun;
	unsigned most, orders = 0;

	(void)state;
	launch_with("naughty", "GOOD", "naughty");
	begun = os_now();
	assert_int_equal(CALL("operator", "resize naughty v size=2M"), 0);
	expect("naughty", "v", "guest", "its guest did what no guest may, 2 times");
	for (; os_now() - begun < 2500 * NS_PER_MS; orders++)
		assert_int_equal(CALL("operator", "resize naughty v size=2M"), 0);
	usleep(1200000);
	most = (unsigned)((os_now() - begun) / NS_PER_S) + 1;
	json_decref(event);
	event = look();
	assert_in_range(json_array_size(json_object_get(event, "events")), 2, most);
	last = (uint64_t)number_of("last");
	assert_false(is_marked("naughty"));
	assert_int_equal(sh("./karuta-controller audit show audit | grep -c 'event naughty/v'"), 0);
	assert_string_equal(output, "1\n");
	kill_one("naughty");
}

/* Without an instance there is nobody who does anything. */
static void nothing_is_raised_by_what_is_allowed(void **state)
{
	json_t *result;

	(void)state;
	launch_with("good", "GOOD", "good");
	assert_int_equal(CALL("operator", "resize good v size=2M"), 0);
	assert_int_equal(CALL("operator", "update good v"), 0);
	assert_int_equal(CALL("operator", "stop good"), 0);
	result = look();
	assert_int_equal(json_array_size(json_object_get(result, "events")), 0);
	assert_int_equal(json_integer_value(json_object_get(result, "last")), last);
	json_decref(result);
	assert_false(is_marked("good"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_raised_by_what_is_allowed),
		cmocka_unit_test(a_hypervisor_makes_a_forbidden_call),
		cmocka_unit_test(a_hypervisor_fills_its_page_with_garbage),
		cmocka_unit_test(a_hypervisor_speaks),
		cmocka_unit_test(a_card_makes_a_forbidden_call),
		cmocka_unit_test(a_card_fills_its_page_with_garbage),
		cmocka_unit_test(a_card_speaks_first),
		cmocka_unit_test(hearsay_marks_and_ends_nothing),
		cmocka_unit_test(a_guest_marks_nothing_and_has_a_line_at_most),
		cmocka_unit_test(nothing_is_raised_by_what_is_allowed),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_host, end_host);
}
