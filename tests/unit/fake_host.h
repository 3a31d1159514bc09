/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that do what a test says, each a process of its own, and one caller of each. */
#ifndef KARUTA_TEST_FAKE_HOST_H
#define KARUTA_TEST_FAKE_HOST_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "call/wrap.h"
#include "caller_harness.h"

static char folder[] = "/tmp/karuta-test-XXXXXX";
static SSL_CTX *operator;

/* What the fake hosts have seen; in memory that they share with us. */
struct seen {
	unsigned connections, requests, wrapped, same;
	uint8_t id[CONTROL_ID_SIZE];
};
static struct seen *seen;

/* ---- a host ---- */

struct host {
	SSL *ssl;
	int fd;
	struct seen *seen;
	struct wrap_pair *pair, *other;
	uint8_t bytes[CONTROL_REQUEST_MAX];
	struct control_request request;
};

/* With one connection, until it returns. */
typedef void (*behave_fn)(struct host *host);

static inline void say(struct host *host, const void *bytes, size_t length)
{
	SSL_write(host->ssl, bytes, (int)length);
}

static inline bool hear_all(struct host *host, uint8_t *to, size_t length)
{
	size_t done = 0, part;

	while (done < length && SSL_read_ex(host->ssl, to + done, length - done, &part) == 1)
		done += part;
	return done == length;
}

static inline bool hear(struct host *host)
{
	uint8_t head[CONTROL_HEAD_SIZE];
	ssize_t length =
		hear_all(host, head, sizeof(head)) ? control_length(head, sizeof(host->bytes)) : -1;

	if (length < 0 || !hear_all(host, host->bytes, (size_t)length) ||
	    control_request_decode(&host->request, host->bytes, (size_t)length, NULL) < 0)
		return false;
	host->seen->requests++;
	return true;
}

/* A frame with the answer to the last request. Its length. */
static inline size_t make_answer(const struct host *host, int code, const char *text,
				 const char *result, uint8_t frame[1024])
{
	struct control_answer answer = {.code = code,
					.text = text,
					.text_length = strlen(text),
					.result = result,
					.result_length = strlen(result)};
	ssize_t length;

	memcpy(answer.id, host->request.id, CONTROL_ID_SIZE);
	length = control_answer_encode(&answer, frame + CONTROL_HEAD_SIZE, 1000);
	control_put_length(frame, (size_t)length);
	return CONTROL_HEAD_SIZE + (size_t)length;
}

static inline void answer(struct host *host, int code, const char *text, const char *result)
{
	uint8_t frame[1024];

	say(host, frame, make_answer(host, code, text, result, frame));
}

static inline void wait_for_ever(void)
{
	for (;;)
		pause();
}

static inline void answer_well(struct host *host)
{
	while (hear(host))
		answer(host, 0, "done", "{}");
}

static inline void stay_silent(struct host *host)
{
	hear(host);
	wait_for_ever();
}

/* ---- starting them ---- */

static void read_text(const char *name, const char *end, char *text, size_t size)
{
	struct error error = {0};
	char path[128];
	ssize_t length;

	snprintf(path, sizeof(path), "%s/%s.%s", folder, name, end);
	length = tls_read_file(path, text, size - 1, &error);
	if (length < 0)
		fail_msg("%s", error.text);
	text[length] = '\0';
}

/* From memory. */
static inline SSL_CTX *context_of(const char *name, bool server)
{
	char authority[4096], certificate[4096], key[4096];
	struct tls_files texts = {
		.authority = authority, .certificate = certificate, .key = key, .are_texts = true};
	struct error error = {0};
	SSL_CTX *context;

	read_text("ca", "pem", authority, sizeof(authority));
	read_text(name, "pem", certificate, sizeof(certificate));
	read_text(name, "key", key, sizeof(key));
	context = tls_context(&texts, server, &error);
	if (!context)
		fail_msg("%s", error.text);
	return context;
}

static void serve(int listening, SSL_CTX *context, behave_fn behave, struct seen *mine)
{
	static struct host host;

	host.seen = mine;
	if (wrap_pair_make(&host.pair, NULL) < 0 || wrap_pair_make(&host.other, NULL) < 0)
		_exit(1);
	for (;;) {
		host.fd = accept(listening, NULL, NULL);
		mine->connections++;
		host.ssl = context ? SSL_new(context) : NULL;
		if (host.ssl)
			SSL_set_fd(host.ssl, host.fd);
		if (!host.ssl || SSL_accept(host.ssl) == 1)
			behave(&host);
		SSL_free(host.ssl);
		close(host.fd);
	}
}

struct fake {
	pid_t pid;
	uint16_t port;
	struct seen *seen;
	struct caller *caller;
};

/* `certificate`: NULL: it knows no TLS. `name`: whom the caller wants. */
static inline struct fake start_fake(const char *certificate, behave_fn behave, const char *name)
{
	static unsigned used;
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct fake fake = {.seen = &seen[used++]};
	struct caller_setup setup = {
		.address = "127.0.0.1", .name = name, .tls = operator, .loop = loop };
	socklen_t length = sizeof(address);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL_CTX *context = certificate ? context_of(certificate, true) : NULL;
	struct error error = {0};

	assert_true(used < 64);
	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listening, 16), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
	setup.port = fake.port = ntohs(address.sin_port);
	fake.pid = fork();
	assert_true(fake.pid >= 0);
	if (fake.pid == 0) {
		/* Also when a test fails. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(listening, context, behave, fake.seen);
	}
	close(listening);
	SSL_CTX_free(context);
	assert_int_equal(caller_open(&setup, &fake.caller, &error), 0);
	return fake;
}

static void end_fake(struct fake *fake)
{
	caller_close(fake->caller);
	kill(fake->pid, SIGKILL);
	waitpid(fake->pid, NULL, 0);
}

static inline int make_all(void **state)
{
	char command[1024];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	seen = mmap(NULL, 64 * sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
	if (seen == MAP_FAILED || !mkdtemp(folder) || os_loop_create(&loop) < 0)
		return -1;
	/* posing: a caller's role, but no word in it that it is no server's. */
	snprintf(command, sizeof(command),
		 "cd %s && %s h1:host operator:operator admin:admin && DAYS=0 %s late:host && "
		 "mkdir bad && (cd bad && CA=bad %s h1:host) && %s posing:host && "
		 "openssl req -new -key posing.key -subj /CN=posing/OU=admin -out posing.csr && "
		 "openssl x509 -req -in posing.csr -CA ca.pem -CAkey ca.key -out posing.pem "
		 "2>/dev/null",
		 folder, KARUTA_CERTIFICATES, KARUTA_CERTIFICATES, KARUTA_CERTIFICATES,
		 KARUTA_CERTIFICATES);
	if (system(command) != 0)
		return -1;
	operator= context_of("operator", false);
	return 0;
}

static inline int remove_all(void **state)
{
	char command[128];

	(void)state;
	SSL_CTX_free(operator);
	os_loop_destroy(loop);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static inline struct control_request with_key(void)
{
	struct control_request request = make_request("start", "web");

	give_key(&request, 5, "open sesame");
	return request;
}

#endif
