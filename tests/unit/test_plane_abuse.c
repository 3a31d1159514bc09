/* SPDX-License-Identifier: Apache-2.0 */
/* The plane's program, and clients that are not welcome: each is refused clearly, and others are
 * served meanwhile. The server alone: test_plane_http_hostile. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "os/clock.h"
#include "plane_rig.h"

/* As many as the limit of descriptors allows, on both sides of 10,000 connections. */
#define CONNECTIONS  10000u
#define SPARE_FILES  200u
#define OF_AN_ORIGIN 500u /* the plane allows 512 */
#define DRIPPING     64u
#define MORE_KIB     (64u << 10)
#define SERVED_MS    10000 /* not speed: that nobody waits for who is slow */

/* What a sanitizer takes is not the plane's. */
#if defined(__has_feature)
#define IS_SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

static struct rig rig;
static struct https_client client;
static char reader[AUTH_TOKEN_SIZE], expired[AUTH_TOKEN_SIZE];

static void make_token(char token[AUTH_TOKEN_SIZE], enum auth_role role, int64_t now,
		       int64_t expires)
{
	char id[AUTH_ID_SIZE];
	struct error error = {0};

	if (auth_create_token(rig.store, "ann", role, now, expires, token, id, &error) < 0)
		rig_fail("%s", error.text);
}

static int begin(void **state)
{
	static char program[512];
	struct rlimit files;
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 64);

	(void)state;
	if (length < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -1;
	program[length] = '\0';
	*strrchr(program, '/') = '\0';
	strcat(program, "/../../bin/karuta-plane");
	signal(SIGPIPE, SIG_IGN);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	rig_begin(&rig, program, "/tmp");
	make_token(reader, AUTH_READER, time(NULL), 0);
	make_token(expired, AUTH_ADMIN, time(NULL) - 200, time(NULL) - 100);
	rig_start_plane(&rig);
	rig_open_client(&rig, &client);
	return 0;
}

static int end(void **state)
{
	(void)state;
	https_close(&client);
	rig_end(&rig);
	return 0;
}

/* ---- who may not ---- */

static void is_refused(const char *token, const char *method, const char *path, const char *body,
		       unsigned status, const char *code)
{
	const char *text;
	char part[64];

	client.token = token;
	text = https_ask(&client, method, path, body);
	client.token = rig.token;
	snprintf(part, sizeof(part), "\"code\":\"%s\"", code);
	if (client.status != status || !strstr(text, part))
		fail_msg("%s %s: %u %s", method, path, client.status, text);
}

static void a_token_that_is_not_good_opens_nothing(void **state)
{
	(void)state;
	is_refused("karuta_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "GET", "/v1/instances",
		   NULL, 401, "unauthenticated");
	is_refused("x", "GET", "/v1/instances", NULL, 401, "unauthenticated");
	is_refused(expired, "GET", "/v1/instances", NULL, 401, "unauthenticated");
	is_refused(expired, "DELETE", "/v1/keys/any", NULL, 401, "unauthenticated");
}

static void a_reader_changes_nothing(void **state)
{
	static const struct {
		const char *method, *path;
	} changes[] = {
		{"POST", "/v1/instances"},
		{"PATCH", "/v1/instances/web"},
		{"DELETE", "/v1/instances/web"},
		{"POST", "/v1/instances/web/reboot"},
		{"POST", "/v1/volumes"},
		{"PATCH", "/v1/volumes/data"},
		{"DELETE", "/v1/volumes/data"},
		{"POST", "/v1/volumes/data/attach"},
		{"POST", "/v1/volumes/data/detach"},
		{"POST", "/v1/images"},
		{"POST", "/v1/hosts"},
		{"POST", "/v1/tokens"},
		{"POST", "/v1/keys/rotate"},
		{"DELETE", "/v1/keys/any"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		is_refused(reader, changes[i].method, changes[i].path, "{}", 403, "forbidden");
}

static void a_body_that_makes_no_sense_changes_nothing(void **state)
{
	static const char *const bodies[] = {"",
					     "{",
					     "[]",
					     "null",
					     "{\"name\":\"a\"}x",
					     "{\"name\":1}",
					     "{\"name\":\"a\",\"name\":\"b\"}"};
	unsigned long before = rig_metric(&client, "karuta_store_revision");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		https_ask(&client, "POST", "/v1/instances", bodies[i]);
		assert_in_range(client.status, 400, 422);
		https_ask(&client, "POST", "/v1/volumes", bodies[i]);
		assert_in_range(client.status, 400, 422);
	}
	assert_int_equal(rig_metric(&client, "karuta_store_revision"), before);
}

static void a_body_that_is_too_large_is_not_taken(void **state)
{
	struct https_client large;
	static const char head[] = "POST /v1/instances HTTP/1.1\r\nHost: localhost\r\n"
				   "Content-Type: application/json\r\n"
				   "Content-Length: 1048577\r\n\r\n";

	static const char part[16 << 10];
	size_t sent = 0;

	(void)state;
	rig_open_client(&rig, &large);
	/* Until all is sent, or the plane has had enough. */
	assert_int_equal(SSL_write(large.ssl, head, sizeof(head) - 1), sizeof(head) - 1);
	fcntl(large.fd, F_SETFL, 0);
	while (sent <= (1u << 20) && SSL_write(large.ssl, part, sizeof(part)) > 0)
		sent += sizeof(part);
	fcntl(large.fd, F_SETFL, O_NONBLOCK);
	https_take(&large);
	assert_int_equal(large.status, 413);
	https_close(&large);
}

/* ---- crowds ---- */

static int connect_from(unsigned origin)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + origin)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)rig.port);
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : fd;
}

static double must_be_served(void)
{
	struct https_client other;
	uint64_t began = os_now();
	double took;

	rig_open_client(&rig, &other);
	https_ask(&other, "GET", "/v1/instances", NULL);
	assert_int_equal(other.status, 200);
	https_close(&other);
	took = rig_ms_since(began);
	assert_true(took < SERVED_MS);
	return took;
}

static void ten_thousand_connections_harm_nobody(void **state)
{
	static int fds[CONNECTIONS];
	unsigned long before = rig_memory(&rig, "VmRSS"), more;
	unsigned count = CONNECTIONS;
	struct rlimit files;
	double slowest = 0;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < CONNECTIONS + SPARE_FILES)
		count = (unsigned)files.rlim_cur - SPARE_FILES;
	for (unsigned i = 0; i < count; i++) {
		fds[i] = connect_from(i / OF_AN_ORIGIN);
		if (fds[i] < 0)
			fail_msg("connection %u: %s", i, strerror(-fds[i]));
		if (i % 1000 == 999) {
			double took = must_be_served();

			slowest = took > slowest ? took : slowest;
		}
	}
	/* Who was there before is still: it has asked for something. */
	https_ask(&client, "GET", "/v1/instances", NULL);
	assert_int_equal(client.status, 200);
	more = rig_memory(&rig, "VmRSS") - before;
	print_message("%u connections: %lu KiB more resident, slowest answer %.0f ms\n", count,
		      more, slowest);
	assert_true(IS_SANITIZED || more < MORE_KIB);
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	must_be_served();
}

static void who_drips_is_waited_for_by_nobody(void **state)
{
	static const char request[] = "POST /v1/instances HTTP/1.1\r\nHost: localhost\r\n"
				      "Content-Length: 100\r\n\r\n{\"name\"";
	static struct https_client slow[DRIPPING];

	(void)state;
	for (unsigned i = 0; i < DRIPPING; i++)
		rig_open_client(&rig, &slow[i]);
	/* A byte each at a time, of heads and then of bodies. */
	for (size_t at = 0; at < sizeof(request) - 1; at++) {
		for (unsigned i = 0; i < DRIPPING; i++)
			assert_int_equal(SSL_write(slow[i].ssl, request + at, 1), 1);
		if (at % 16 == 0)
			must_be_served();
	}
	must_be_served();
	for (unsigned i = 0; i < DRIPPING; i++)
		https_close(&slow[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_that_is_not_good_opens_nothing),
		cmocka_unit_test(a_reader_changes_nothing),
		cmocka_unit_test(a_body_that_makes_no_sense_changes_nothing),
		cmocka_unit_test(a_body_that_is_too_large_is_not_taken),
		cmocka_unit_test(ten_thousand_connections_harm_nobody),
		cmocka_unit_test(who_drips_is_waited_for_by_nobody),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
