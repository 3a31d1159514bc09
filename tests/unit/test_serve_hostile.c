/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon and callers that keep to no rule: others are served, and what they cost is bounded. */
#include "serve_harness.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KARUTA_SANITIZED
#endif
#endif

static unsigned resident_kib(void)
{
	char path[64], line[256];
	unsigned kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", daemon_pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "VmRSS: %u", &kib);
	fclose(file);
	return kib;
}

/* The address sanitizer keeps what was freed. */
static void expect_resident(unsigned kib)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(KARUTA_SANITIZED)
	assert_true(resident_kib() < kib);
#else
	(void)kib;
#endif
}

static void settle(unsigned fds)
{
	for (unsigned i = 0; i < 500 && count_fds(daemon_pid) > fds; i++)
		usleep(20000);
	assert_true(count_fds(daemon_pid) <= fds);
}

static const uint8_t list[] = "\x83\x50"
			      "0123456789abcdef"
			      "\x64list\xa0";

static void bad_frames_are_answered(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		int code;
	} cases[] = {
#define CASE(text, code) {text, sizeof(text) - 1, code}
		CASE("\0\0\0\0", EMSGSIZE),    CASE("\xff\xff\xff\xff", EMSGSIZE),
		CASE("\0\3\0\1", EMSGSIZE),    CASE("\0\0\0\1\x80", EBADMSG),
		CASE("\0\0\0\1\xff", EBADMSG), CASE("GET / HTTP/1.1\r\n\r\n", EMSGSIZE),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct guest guest = connect_as("operator");

		say_bytes(&guest, cases[i].bytes, cases[i].length);
		assert_int_equal(hear(&guest), cases[i].code);
		/* Who is not understood is not listened to any longer. */
		assert_int_equal(hear(&guest), -1);
		leave(&guest);
	}
}

/* The request is understood as far as that there is one. */
static void unknown_verbs_do_not_end_the_connection(void **state)
{
	static const char shell[] = "\x83\x50"
				    "0123456789abcdef"
				    "\x65shell\xa0";
	struct guest guest = connect_as("operator");

	(void)state;
	say_frame(&guest, shell, sizeof(shell) - 1);
	assert_int_equal(hear(&guest), ENOSYS);
	assert_string_equal(output, "there is no verb shell");
	say_frame(&guest, list, sizeof(list) - 1);
	assert_int_equal(hear(&guest), 0);
	leave(&guest);
}

/* More in one go than is answered in one turn, in one record and byte by byte. */
static void requests_in_a_row_are_answered_in_order(void **state)
{
	struct guest guest = connect_as("reader");
	uint8_t many[60 * (CONTROL_HEAD_SIZE + sizeof(list) - 1)];

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		uint8_t *at = many + i * (CONTROL_HEAD_SIZE + sizeof(list) - 1);

		control_put_length(at, sizeof(list) - 1);
		memcpy(at + CONTROL_HEAD_SIZE, list, sizeof(list) - 1);
	}
	say_bytes(&guest, many, sizeof(many));
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(hear(&guest), 0);
	for (size_t i = 0; i < sizeof(many) / 30; i++)
		say_bytes(&guest, many + i, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(hear(&guest), 0);
	leave(&guest);
}

/* Random frames, and good ones with a byte changed: each has one answer, or the end. */
static void any_frame_has_one_answer(void **state)
{
	const char *rounds = getenv("KARUTA_TEST_ROUNDS");
	unsigned count = rounds ? (unsigned)atoi(rounds) : 200;
	struct guest guest = connect_as("operator");

	(void)state;
	srand(7);
	for (unsigned i = 0; i < count; i++) {
		uint8_t frame[sizeof(list) - 1];
		int code;

		memcpy(frame, list, sizeof(frame));
		if (i % 2)
			frame[(unsigned)rand() % sizeof(frame)] = (uint8_t)rand();
		else
			for (size_t j = 0; j < sizeof(frame); j++)
				frame[j] = (uint8_t)rand();
		say_frame(&guest, frame, sizeof(frame));
		code = hear(&guest);
		assert_true(code >= 0);
		if (code != EBADMSG)
			continue;
		assert_int_equal(hear(&guest), -1);
		leave(&guest);
		guest = connect_as("operator");
	}
	leave(&guest);
	assert_int_equal(CALL("reader", "list"), 0);
}

/* Connections that say nothing, or begin to: the next caller is served, memory is bounded. */
static void half_open_connections_harm_nobody(void **state)
{
	static const uint8_t begin[] = {0x16, 3, 1, 2, 0, 1};
	const char *given = getenv("KARUTA_TEST_CONNECTIONS");
	unsigned count = given ? (unsigned)atoi(given) : 10000, kib = resident_kib(), fds;
	struct rlimit limit = {count + 1000, count + 1000};
	int *all = calloc(count, sizeof(*all));

	(void)state;
	assert_non_null(all);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		skip();
	fds = settled_fds(daemon_pid);
	for (unsigned i = 0; i < count; i++) {
		all[i] = connect_plain();
		if (i % 2 && send(all[i], begin, sizeof(begin), MSG_NOSIGNAL) < 0)
			fail();
	}
	assert_int_equal(CALL("reader", "list"), 0);
	assert_true(count_fds(daemon_pid) <= fds + 256);
	print_message("%u connections: %u KiB resident before, %u KiB now\n", count, kib,
		      resident_kib());
	expect_resident(kib + 16 * 1024);
	assert_int_equal(CALL("reader", "list"), 0);
	for (unsigned i = 0; i < count; i++)
		close(all[i]);
	free(all);
	settle(fds);
}

/* Known callers that begin a request and leave it at that; each name has its share only. */
static void half_requests_harm_nobody(void **state)
{
	enum { MANY = 60 };
	static struct guest guests[MANY];
	unsigned fds = settled_fds(daemon_pid), kib = resident_kib();

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		uint8_t head[CONTROL_HEAD_SIZE];

		guests[i] = connect_as("operator");
		control_put_length(head, CONTROL_REQUEST_MAX);
		say_bytes(&guests[i], head, sizeof(head));
		say_bytes(&guests[i], list, sizeof(list));
	}
	assert_int_equal(CALL("reader", "list"), 0);
	assert_int_equal(CALL("admin", "list"), 0);
	assert_true(count_fds(daemon_pid) <= fds + 33);
	expect_resident(kib + 16 * 1024);
	for (unsigned i = 0; i < MANY; i++)
		leave(&guests[i]);
	settle(fds);
	assert_int_equal(CALL("operator", "list"), 0);
}

/* Of the daemon, in ticks of the clock, of which there are a hundred in a second. */
static unsigned processor_time(void)
{
	unsigned user = 0, system = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", daemon_pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %u %u",
				&user, &system),
			 2);
	fclose(file);
	return user + system;
}

/* Part of a TLS record is with OpenSSL, and nothing can be done with it: that is waited for. */
static void half_a_record_is_waited_for(void **state)
{
	struct guest guest = connect_as("reader");
	BIO *socket = SSL_get_wbio(guest.ssl), *kept = BIO_new(BIO_s_mem());
	unsigned before;
	char *record;
	long length;

	(void)state;
	BIO_up_ref(socket);
	SSL_set0_wbio(guest.ssl, kept);
	say_frame(&guest, list, sizeof(list) - 1);
	length = BIO_get_mem_data(kept, &record);
	assert_int_equal(BIO_write(socket, record, (int)length - 1), length - 1);
	assert_int_equal(CALL("operator", "list"), 0);
	before = processor_time();
	sleep(1);
	assert_true(processor_time() < before + 20);
	assert_int_equal(BIO_write(socket, record + length - 1, 1), 1);
	assert_int_equal(hear(&guest), 0);
	BIO_free(socket);
	leave(&guest);
}

/* New keys over and over, which OpenSSL can take one after the other without a word to anybody:
 * others have their turn meanwhile. */
static void new_keys_without_end_harm_nobody(void **state)
{
	enum { MANY = 30000 };
	struct guest guest = connect_as("reader");
	BIO *kept = BIO_new(BIO_s_mem());
	pid_t sender;
	char *bytes, byte;
	long length;

	(void)state;
	SSL_set0_wbio(guest.ssl, kept);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(SSL_key_update(guest.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(guest.ssl), 1);
	}
	say_frame(&guest, list, sizeof(list) - 1);
	length = BIO_get_mem_data(kept, &bytes);
	sender = fork();
	assert_true(sender >= 0);
	if (!sender)
		_exit(os_write_all(guest.fd, bytes, (size_t)length) < 0);
	assert_int_equal(CALL("operator", "list"), 0);
	assert_true(recv(guest.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0);
	assert_int_equal(hear(&guest), 0);
	assert_int_equal(wait_end(sender), 0);
	leave(&guest);
}

/* What was ordered goes on; its place is free again. */
static void who_leaves_does_not_undo(void **state)
{
	struct guest guest = connect_as("operator");
	struct control_request request = {.verb = control_verb_find("stop", 4), .id = {77}};
	unsigned fds;
	uint8_t frame[256];
	ssize_t length;

	(void)state;
	sh("echo '{\"name\": \"s\", \"memory\": \"64M\", \"kernel\": \"stubborn\"}' >s.json");
	assert_int_equal(CALL("operator", "launch s.json"), 0);
	fds = settled_fds(daemon_pid);
	request.values[0] = (struct control_value){true, 0, "s", 1};
	length = control_request_encode(&request, frame, sizeof(frame));
	say_frame(&guest, frame, (size_t)length);
	for (unsigned i = 0;
	     i < 200 && sh("./karuta-controller audit show audit | grep 'stop s: accepted'"); i++)
		usleep(20000);
	leave(&guest);
	settle(fds - 1);
	assert_int_equal(CALL("operator", "kill s"), 0);
	assert_int_equal(
		sh("n=$(./karuta-controller audit show --json audit | jq -r '.[] | select(.verb == "
		   "\"stop\") | .number'); ./karuta-controller audit show audit | grep \" $n: "
		   "killed\""),
		0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_frames_are_answered),
		cmocka_unit_test(unknown_verbs_do_not_end_the_connection),
		cmocka_unit_test(requests_in_a_row_are_answered_in_order),
		cmocka_unit_test(any_frame_has_one_answer),
		cmocka_unit_test(half_requests_harm_nobody),
		cmocka_unit_test(half_a_record_is_waited_for),
		cmocka_unit_test(new_keys_without_end_harm_nobody),
		cmocka_unit_test(who_leaves_does_not_undo),
		cmocka_unit_test(half_open_connections_harm_nobody),
	};

	be_what_is_launched(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_host, end_host);
}
