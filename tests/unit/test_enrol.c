/* SPDX-License-Identifier: Apache-2.0 */
/* A host gets its first certificate: the plane's end in this process, karuta-controller at the
 * other. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>

#include "ca.h"
#include "enrol.h"
#include "enrol/link.h"
#include "enrol/psk.h"
#include "serve_harness.h"

static struct os_loop *loop;
static struct ca *ca;
static char token[ENROL_TOKEN_SIZE];
static uint8_t secret[ENROL_SECRET_SIZE];
static const char *const addresses[] = {"127.0.0.1"};

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int begin(void **state)
{
	struct error error;

	if (make_folder(state) != 0 || sh("mkdir srv") != 0 || os_loop_create(&loop) != 0)
		return -1;
	port = 20000 + getpid() % 6000 * 2;
	return ca_make("plane", time(NULL), &ca, &error);
}

static int finish(void **state)
{
	os_loop_destroy(loop);
	ca_free(ca);
	return remove_folder(state);
}

/* ---- the host ---- */

static pid_t host_pid;

/* A new token for each, which comes by standard input. */
static void start_host(const char *options)
{
	struct error error;

	assert_int_equal(enrolment_token(token, secret, &error), 0);
	put("token", token);
	assert_int_equal(
		sh("rm -rf etc ended notes; (./karuta-controller enrol --token - --folder etc "
		   "--listen 127.0.0.1:%d %s <token & echo $! >pid; wait $!; echo $? >ended) "
		   ">notes 2>&1 & until [ -s pid ] && [ -s notes ]; do sleep 0.01; done; "
		   "cat pid; rm pid",
		   port, options),
		0);
	host_pid = atoi(output);
}

/* Waits for its end; `notes` is what it said. True: it is enrolled. */
static bool host_is_enrolled(void)
{
	for (unsigned i = 0; i < SECONDS * 50 && sh("[ -s ended ]") != 0; i++)
		usleep(20000);
	assert_int_equal(sh("cat notes ended"), 0);
	return says("This host is h1 now");
}

static void end_host_by_force(void)
{
	kill(host_pid, SIGKILL);
	assert_false(host_is_enrolled());
}

/* ---- the plane ---- */

struct outcome {
	bool told, issued;
	struct error error;
};

static void on_done(void *context, const struct ca_issued *issued, const struct error *error)
{
	struct outcome *outcome = context;

	assert_false(outcome->told);
	outcome->told = true;
	outcome->issued = issued != NULL;
	if (error)
		outcome->error = *error;
}

static struct enrolment *begin_enrolment(const uint8_t *key, unsigned seconds,
					 struct outcome *outcome)
{
	const struct enrolment_setup setup = {.name = "h1",
					      .address = "127.0.0.1",
					      .port = (uint16_t)port,
					      .secret = key,
					      .seconds = seconds,
					      .ca = ca,
					      .addresses = addresses,
					      .address_count = 1,
					      .certificate_seconds = CA_SECONDS,
					      .loop = loop};
	struct enrolment *enrolment;

	*outcome = (struct outcome){0};
	assert_int_equal(enrolment_begin(&setup, on_done, outcome, &enrolment, &outcome->error), 0);
	return enrolment;
}

static struct outcome enrol(const uint8_t *key, unsigned seconds)
{
	struct outcome outcome;
	struct enrolment *enrolment = begin_enrolment(key, seconds, &outcome);

	while (!outcome.told) {
		int pause = enrolment_turn(enrolment);

		os_loop_once(loop, outcome.told ? 0 : pause);
	}
	enrolment_end(enrolment);
	return outcome;
}

/* ---- somebody who has the token and says what it wants ---- */

struct peer {
	struct enrol_psk psk;
	SSL_CTX *context;
	int fd;
	struct enrol_link link;
};

static int wait_for(struct peer *peer, int (*step)(struct enrol_link *link))
{
	int ret;

	while ((ret = step(&peer->link)) == 0) {
		struct pollfd wait = {.fd = peer->fd,
				      .events = peer->link.events == EPOLLIN ? POLLIN : POLLOUT};

		assert_int_equal(poll(&wait, 1, SECONDS * 1000), 1);
	}
	return ret;
}

/* Other than 1: the handshake has failed with that. */
static int connect_peer(struct peer *peer, const char *name, const uint8_t *key)
{
	struct error error;

	memset(peer, 0, sizeof(*peer));
	snprintf(peer->psk.name, sizeof(peer->psk.name), "%s", name);
	memcpy(peer->psk.secret, key, ENROL_SECRET_SIZE);
	peer->context = enrol_context(&peer->psk, false, &error);
	assert_non_null(peer->context);
	peer->fd = connect_plain();
	os_set_nonblocking(peer->fd, true);
	assert_int_equal(enrol_link_open(&peer->link, peer->context, peer->fd, false), 0);
	return wait_for(peer, enrol_link_handshake);
}

static void leave_peer(struct peer *peer)
{
	enrol_link_close(&peer->link);
	close(peer->fd);
	SSL_CTX_free(peer->context);
}

/* The code; the text or result is in `output`. -1: it was closed. */
static int ask(struct peer *peer, unsigned verb, const char *authority, const char *certificate)
{
	struct control_request request = {.verb = &enrol_verbs[verb], .id = {1}};
	struct control_answer answer;
	ssize_t length;

	if (authority)
		request.values[0] = (struct control_value){
			.given = true, .text = authority, .length = strlen(authority)};
	if (certificate)
		request.values[1] = (struct control_value){
			.given = true, .text = certificate, .length = strlen(certificate)};
	length = control_request_encode(&request, peer->link.out + CONTROL_HEAD_SIZE,
					ENROL_FRAME_MAX);
	assert_true(length > 0);
	enrol_link_next(&peer->link);
	enrol_link_begin(&peer->link, (size_t)length);
	if (wait_for(peer, enrol_link_send) != 1 || wait_for(peer, enrol_link_receive) != 1)
		return -1;
	assert_int_equal(control_answer_decode(&answer, peer->link.in + CONTROL_HEAD_SIZE,
					       peer->link.in_length),
			 0);
	snprintf(output, sizeof(output), "%.*s%.*s", (int)answer.text_length, answer.text,
		 (int)answer.result_length, answer.result);
	return answer.code;
}

/* What the host asks for, signed by `by` for `name`. */
static void sign_request(struct peer *peer, const struct ca *by, enum ca_kind kind,
			 const char *name, struct ca_issued *issued)
{
	const struct ca_want want = {.kind = kind,
				     .name = name,
				     .role = "admin",
				     .addresses = addresses,
				     .address_count = kind == CA_CLIENT ? 0 : 1,
				     .now = time(NULL),
				     .seconds = CA_DAY};
	struct error error = {0};
	char pem[4096];
	size_t length = 0;

	assert_int_equal(ask(peer, ENROL_REQUEST, NULL, NULL), 0);
	for (const char *at = strstr(output, "-----BEGIN"); *at != '"'; at++) {
		if (at[0] == '\\' && at[1] == 'n')
			pem[length++] = '\n', at++;
		else
			pem[length++] = *at;
	}
	if (ca_issue(by, &want, pem, length, issued, &error) != 0)
		fail_msg("%s", error.text);
}

/* ---- the tests ---- */

static void a_slip_in_a_token_is_told(void **state)
{
	static const uint8_t all[ENROL_SECRET_SIZE] = {0xff, 0, 1, 0x80, 0xfb, 0xef, 0xbe};
	char text[ENROL_TOKEN_SIZE];
	uint8_t got[ENROL_SECRET_SIZE];
	struct error error = {0};

	(void)state;
	enrol_token_write(all, text);
	assert_int_equal(strlen(text), ENROL_TOKEN_SIZE - 1);
	assert_int_equal(enrol_token_read(text, strlen(text), got, &error), 0);
	assert_memory_equal(got, all, sizeof(all));
	for (size_t i = 0; i < strlen(text); i++) {
		char kept = text[i];

		text[i] = kept == 'A' ? 'B' : 'A';
		assert_int_equal(enrol_token_read(text, strlen(text), got, &error), -EINVAL);
		assert_null(strstr(error.text, text + 20));
		text[i] = '+';
		assert_int_equal(enrol_token_read(text, strlen(text), got, &error), -EINVAL);
		text[i] = kept;
	}
	assert_int_equal(enrol_token_read(text, strlen(text) - 1, got, &error), -EINVAL);
	assert_int_equal(enrol_token_read("", 0, got, &error), -EINVAL);
}

static void mode_is(const char *name, mode_t mode)
{
	char path[128];
	struct stat status;

	snprintf(path, sizeof(path), "%s/etc/%s", folder, name);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, mode);
}

static void a_host_is_enrolled_with_files_that_openssl_takes(void **state)
{
	struct outcome outcome;

	(void)state;
	start_host("");
	outcome = enrol(secret, 30);
	if (outcome.error.code)
		fail_msg("%s", outcome.error.text);
	assert_true(outcome.issued);
	assert_true(host_is_enrolled());
	assert_true(says("karuta-controller serve"));
	mode_is("host.key", 0600);
	mode_is("host.pem", 0644);
	mode_is("ca.pem", 0644);
	assert_int_equal(
		sh("cd etc && [ \"$(ls | tr '\\n' ' ')\" = 'ca.pem host.key host.pem ' ] && "
		   "openssl verify -x509_strict -purpose sslserver -verify_ip 127.0.0.1 "
		   "-CAfile ca.pem host.pem && [ \"$(openssl pkey -in host.key -pubout)\" = "
		   "\"$(openssl x509 -in host.pem -noout -pubkey)\" ]"),
		0);
	assert_int_equal(sh("grep -rl karuta-enrol- etc notes"), 1);
}

static void give_caller(const char *role)
{
	const struct ca_want want = {.kind = CA_CALLER,
				     .name = role,
				     .role = role,
				     .now = time(NULL),
				     .seconds = CA_DAY};
	struct ca_issued issued;
	struct error error;
	char name[32];

	assert_int_equal(ca_issue_own(ca, &want, &issued, &error), 0);
	snprintf(name, sizeof(name), "%s.pem", role);
	put(name, issued.certificate);
	snprintf(name, sizeof(name), "%s.key", role);
	put(name, issued.key);
	ca_issued_free(&issued);
}

/* Behind the one before, which has left the files. */
static void what_is_enrolled_serves_whom_the_plane_has_certified(void **state)
{
	(void)state;
	give_caller("reader");
	give_caller("admin");
	assert_int_equal(sh("cp etc/* ."), 0);
	keeper_pid = start_daemon("host");
	wait_daemon();
	assert_int_equal(CALL("admin", "audit"), 0);
	assert_int_equal(CALL("reader", "audit"), 1);
	/* A host's certificate is no caller's. */
	assert_int_equal(CALL("host", "list"), 3);
	kill(keeper_pid, SIGTERM);
	wait_end(keeper_pid);
}

static void a_host_is_not_enrolled_twice(void **state)
{
	(void)state;
	assert_int_equal(sh("mkdir -p twice && touch twice/host.pem && ./karuta-controller enrol "
			    "--token - --folder twice <token"),
			 1);
	assert_true(says("enrolled already"));
}

static void another_token_is_refused_and_the_right_one_still_taken(void **state)
{
	static const uint8_t other[ENROL_SECRET_SIZE] = {1};
	struct outcome outcome;

	(void)state;
	start_host("");
	outcome = enrol(other, 30);
	assert_int_equal(outcome.error.code, EKEYREJECTED);
	assert_false(outcome.issued);
	/* Told after the refusal, which is what the other end has seen. */
	assert_int_equal(sh("for i in $(seq 100); do grep 'wrong token (1 of 16' notes && exit; "
			    "sleep 0.1; done; exit 1"),
			 0);
	assert_int_equal(enrol(secret, 30).error.code, 0);
	assert_true(host_is_enrolled());
}

static void wrong_tokens_are_taken_so_often_and_no_more(void **state)
{
	static const uint8_t other[ENROL_SECRET_SIZE] = {1};
	struct peer peer;

	(void)state;
	start_host("");
	for (int i = 0; i < 16; i++) {
		/* Whatever name it has for the host, the answer is the same. */
		assert_int_equal(connect_peer(&peer, i % 2 ? "h1" : "?", other), -EKEYREJECTED);
		leave_peer(&peer);
	}
	assert_false(host_is_enrolled());
	assert_true(says("16 tries with a wrong token"));
	assert_int_equal(sh("ls etc"), 0);
	assert_string_equal(output, "");
}

static void strangers_do_not_keep_the_plane_away(void **state)
{
	int fds[40];

	(void)state;
	start_host("");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_plain();
	assert_int_equal(write(fds[39], "GET / HTTP/1.0\r\n\r\n", 18), 18);
	/* Without the key there is nothing, with no version and no suite. */
	assert_int_not_equal(sh("openssl s_client -connect 127.0.0.1:%d </dev/null", port), 0);
	assert_int_not_equal(
		sh("openssl s_client -tls1_2 -psk 00 -connect 127.0.0.1:%d </dev/null", port), 0);
	assert_int_equal(enrol(secret, 30).error.code, 0);
	assert_true(host_is_enrolled());
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
}

static void refuses(struct peer *peer, const struct ca *by, enum ca_kind kind, const char *name,
		    const char *why)
{
	struct ca_issued issued;

	sign_request(peer, by, kind, name, &issued);
	assert_int_equal(ask(peer, ENROL_INSTALL, ca_certificate(ca), issued.certificate), EINVAL);
	if (!says(why))
		fail_msg("%s instead of %s", output, why);
	ca_issued_free(&issued);
}

static void a_certificate_that_is_not_the_hosts_is_not_installed(void **state)
{
	struct ca_issued issued;
	struct ca *other;
	struct error error;
	struct peer peer;

	(void)state;
	start_host("");
	assert_int_equal(ca_make("plane", time(NULL), &other, &error), 0);
	assert_int_equal(connect_peer(&peer, "h1", secret), 1);
	assert_int_equal(ask(&peer, ENROL_INSTALL, ca_certificate(ca), ca_certificate(ca)), EINVAL);
	refuses(&peer, other, CA_HOST, "h1", "certificate:");
	refuses(&peer, ca, CA_HOST, "h2", "CN");
	refuses(&peer, ca, CA_CLIENT, "h1", "OU");
	refuses(&peer, ca, CA_SERVER, "h1", "OU");
	assert_int_equal(ask(&peer, ENROL_INSTALL, ca_certificate(ca), ca_certificate(ca)), EINVAL);
	assert_true(says("not for the key"));
	sign_request(&peer, ca, CA_HOST, "h1", &issued);
	/* A host's certificate signs nothing. */
	assert_int_equal(ask(&peer, ENROL_INSTALL, issued.certificate, issued.certificate), EINVAL);
	assert_int_equal(ask(&peer, ENROL_INSTALL, "", issued.certificate), EINVAL);
	assert_int_equal(ask(&peer, ENROL_INSTALL, ca_certificate(ca), "nonsense"), EINVAL);
	assert_int_equal(sh("ls etc"), 0);
	assert_string_equal(output, "");
	assert_int_equal(ask(&peer, ENROL_INSTALL, ca_certificate(ca), issued.certificate), 0);
	assert_true(host_is_enrolled());
	ca_issued_free(&issued);
	leave_peer(&peer);
	ca_free(other);
}

static void a_connection_that_breaks_is_made_again_with_the_same_key(void **state)
{
	static char first[sizeof(output)];
	struct peer peer;

	(void)state;
	start_host("");
	assert_int_equal(connect_peer(&peer, "h1", secret), 1);
	assert_int_equal(ask(&peer, ENROL_REQUEST, NULL, NULL), 0);
	memcpy(first, output, sizeof(first));
	leave_peer(&peer);
	assert_int_equal(connect_peer(&peer, "h1", secret), 1);
	assert_int_equal(ask(&peer, ENROL_REQUEST, NULL, NULL), 0);
	assert_string_equal(output, first);
	leave_peer(&peer);
	/* Under another name it is another host's. */
	assert_int_equal(connect_peer(&peer, "h2", secret), 1);
	assert_int_equal(ask(&peer, ENROL_REQUEST, NULL, NULL), EEXIST);
	leave_peer(&peer);
	end_host_by_force();
}

static void a_frame_that_is_none_ends_the_connection_and_nothing_else(void **state)
{
	struct peer peer;

	(void)state;
	start_host("");
	assert_int_equal(connect_peer(&peer, "h1", secret), 1);
	memset(peer.link.out + CONTROL_HEAD_SIZE, 0xff, 64);
	enrol_link_begin(&peer.link, 64);
	assert_int_equal(wait_for(&peer, enrol_link_send), 1);
	assert_true(wait_for(&peer, enrol_link_receive) < 0);
	leave_peer(&peer);
	assert_int_equal(connect_peer(&peer, "h1", secret), 1);
	enrol_link_begin(&peer.link, 64);
	control_put_length(peer.link.out, ENROL_FRAME_MAX + 1);
	assert_int_equal(wait_for(&peer, enrol_link_send), 1);
	assert_true(wait_for(&peer, enrol_link_receive) < 0);
	leave_peer(&peer);
	assert_int_equal(enrol(secret, 30).error.code, 0);
	assert_true(host_is_enrolled());
}

static void who_waits_too_long_is_told(void **state)
{
	struct outcome outcome;

	(void)state;
	outcome = enrol(secret, 1);
	assert_int_equal(outcome.error.code, ETIMEDOUT);
	assert_non_null(strstr(outcome.error.text, "refused"));
	start_host("--timeout 1");
	assert_false(host_is_enrolled());
	assert_true(says("has not come"));
}

static void a_token_on_the_command_line_is_hidden(void **state)
{
	struct error error;

	(void)state;
	assert_int_equal(enrolment_token(token, secret, &error), 0);
	assert_int_equal(sh("rm -f notes; ./karuta-controller enrol --token %s --folder arg "
			    "--listen 127.0.0.1:%d "
			    ">notes 2>&1 & until grep -qs Waiting notes; do sleep 0.02; done; "
			    "tr '\\0' ' ' </proc/$!/cmdline; kill $!",
			    token, port),
			 0);
	assert_true(says("enrol --token xxxx"));
	assert_false(says(token));
	assert_int_equal(
		sh("./karuta-controller enrol --token %.*s", (int)strlen(token) - 1, token), 1);
	assert_true(says("must have 61 characters, it has 60"));
	assert_int_equal(sh("./karuta-controller enrol"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slip_in_a_token_is_told),
		cmocka_unit_test(a_host_is_enrolled_with_files_that_openssl_takes),
		cmocka_unit_test(what_is_enrolled_serves_whom_the_plane_has_certified),
		cmocka_unit_test(a_host_is_not_enrolled_twice),
		cmocka_unit_test(another_token_is_refused_and_the_right_one_still_taken),
		cmocka_unit_test(wrong_tokens_are_taken_so_often_and_no_more),
		cmocka_unit_test(strangers_do_not_keep_the_plane_away),
		cmocka_unit_test(a_certificate_that_is_not_the_hosts_is_not_installed),
		cmocka_unit_test(a_connection_that_breaks_is_made_again_with_the_same_key),
		cmocka_unit_test(a_frame_that_is_none_ends_the_connection_and_nothing_else),
		cmocka_unit_test(who_waits_too_long_is_told),
		cmocka_unit_test(a_token_on_the_command_line_is_hidden),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
