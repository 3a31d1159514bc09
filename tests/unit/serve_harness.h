/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon with stand-ins for the programs that it launches, and callers of all kinds. */
#ifndef KARUTA_TEST_SERVE_HARNESS_H
#define KARUTA_TEST_SERVE_HARNESS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "call/tls.h"
#include "controller_harness.h"
#include "wire/control.h"

static int port;
static pid_t keeper_pid;		   /* what was started */
static pid_t daemon_pid;		   /* the controller that it has started */
static const char *daemon_state = "state"; /* each daemon has its own */

/* `call` as the holder of NAME.pem. */
#define CALL(name, words, ...)                                                                     \
	sh("./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert " name ".pem --key " name     \
	   ".key " words,                                                                          \
	   port, ##__VA_ARGS__)

static inline pid_t start_daemon(const char *certificate)
{
	char listen[32], cert[40], key[40];
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
	snprintf(cert, sizeof(cert), "%s.pem", certificate);
	snprintf(key, sizeof(key), "%s.key", certificate);
	if (chdir(folder) < 0 || !freopen("notes", "w", stderr))
		_exit(90);
	execl("./karuta-controller", "karuta-controller", "serve", "--listen", listen, "--ca",
	      "ca.pem", "--cert", cert, "--key", key, "--files", "srv", "--audit", "audit",
	      "--state", daemon_state, tpm ? "--tpm" : NULL, tpm, NULL);
	_exit(92);
}

/* The keeper's child whose parent it was from the beginning. */
static inline pid_t find_daemon(void)
{
	sh("for i in $(pgrep -P %d); do tr '\\0' ' ' </proc/$i/cmdline | grep -q 'serve --keeper' "
	   "&& echo $i; done",
	   keeper_pid);
	return (pid_t)atoi(output);
}

static inline void wait_daemon(void)
{
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		if (CALL("reader", "list") == 0) {
			daemon_pid = find_daemon();
			return;
		}
		usleep(50000);
	}
	sh("cat notes");
	fail_msg("it does not serve: %s", output);
}

/* All that a daemon needs, and none. */
static inline int make_host_folder(void **state)
{
	char self[512];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length < 0 || make_folder(state) != 0)
		return -1;
	self[length] = '\0';
	port = 20000 + getpid() % 6000 * 2;
	if (sh("%s host:host reader:reader operator:operator admin:admin other:operator "
	       "nobody:guest && mkdir bad && cd bad && CA=bad %s operator:admin host:host && "
	       "cp operator.pem ../stranger.pem && cp operator.key ../stranger.key && cd .. && "
	       "DAYS=0 %s late:admin && mkdir srv && mv *.vol srv && echo GOOD >srv/kernel && "
	       "echo STUBBORN >srv/stubborn && "
	       "echo '{\"name\": \"web\", \"memory\": \"64M\", \"kernel\": \"kernel\"}' >web.json",
	       KARUTA_CERTIFICATES, KARUTA_CERTIFICATES, KARUTA_CERTIFICATES) != 0)
		return -1;
	return 0;
}

static inline int make_host(void **state)
{
	if (make_host_folder(state) != 0)
		return -1;
	keeper_pid = start_daemon("host");
	wait_daemon();
	return 0;
}

static inline int end_host(void **state)
{
	/* Never all of our own group. */
	if (keeper_pid <= 0)
		return -1;
	/* The power button, the plug. */
	kill(keeper_pid, SIGTERM);
	kill(keeper_pid, SIGINT);
	if (wait_end(keeper_pid) != 0 || sh("./karuta-controller audit verify audit") != 0)
		return -1;
	return remove_folder(state);
}

/* As the operator; what is said when it is not done. */
#define MUST(words, ...)                                                                           \
	do {                                                                                       \
		if (CALL("operator", words, ##__VA_ARGS__) != 0)                                   \
			fail_msg("%s", output);                                                    \
	} while (0)

static inline void launch(const char *name)
{
	assert_int_equal(sh("echo '{\"name\": \"%s\", \"memory\": \"64M\", \"kernel\": "
			    "\"kernel\"}' >%s.json",
			    name, name),
			 0);
	MUST("launch %s.json", name);
}

static inline void kill_one(const char *name)
{
	MUST("kill %s", name);
}

/* `more`: members, each with a comma before it. */
static inline void write_spec(const char *name, const char *kernel, const char *more)
{
	assert_int_equal(sh("printf '%s\\n' >srv/%s.kernel && cat >%s.json <<'END'\n{\"name\": "
			    "\"%s\", \"memory\": \"64M\", \"kernel\": \"%s.kernel\"%s}\nEND\n",
			    kernel, name, name, name, name, more),
			 0);
}

static inline void await_status(const char *name, const char *text)
{
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		if (CALL("reader", "status %s", name) == 0 && says(text))
			return;
		usleep(50000);
	}
	fail_msg("not \"%s\": %s", text, output);
}

/* A plain connection; non-blocking. */
static inline int connect_plain(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* One that speaks TLS and may say what it wants then. */
struct guest {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
};

static inline struct guest connect_as(const char *name)
{
	struct timeval patience = {.tv_sec = SECONDS};
	char authority[128], certificate[128], key[128];
	struct tls_files files = {.authority = authority, .certificate = certificate, .key = key};
	struct error error = {0};
	struct guest guest = {.fd = connect_plain()};

	snprintf(authority, sizeof(authority), "%s/ca.pem", folder);
	snprintf(certificate, sizeof(certificate), "%s/%s.pem", folder, name);
	snprintf(key, sizeof(key), "%s/%s.key", folder, name);
	setsockopt(guest.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	guest.context = tls_context(&files, false, &error);
	if (!guest.context)
		fail_msg("%s", error.text);
	guest.ssl = SSL_new(guest.context);
	assert_int_equal(SSL_set_fd(guest.ssl, guest.fd), 1);
	assert_int_equal(SSL_connect(guest.ssl), 1);
	return guest;
}

static inline void leave(struct guest *guest)
{
	SSL_free(guest->ssl);
	SSL_CTX_free(guest->context);
	close(guest->fd);
}

static inline void say_bytes(struct guest *guest, const void *bytes, size_t length)
{
	size_t done = 0, part;

	while (done < length &&
	       SSL_write_ex(guest->ssl, (const uint8_t *)bytes + done, length - done, &part) == 1)
		done += part;
}

static inline void say_frame(struct guest *guest, const void *bytes, size_t length)
{
	uint8_t head[CONTROL_HEAD_SIZE];

	control_put_length(head, length);
	say_bytes(guest, head, sizeof(head));
	say_bytes(guest, bytes, length);
}

static inline bool hear_bytes(struct guest *guest, uint8_t *to, size_t length)
{
	size_t done = 0, part;

	while (done < length && SSL_read_ex(guest->ssl, to + done, length - done, &part) == 1)
		done += part;
	return done == length;
}

/* The code of the next answer; -1: there is none, it was closed. */
static inline int hear(struct guest *guest)
{
	static uint8_t bytes[CONTROL_ANSWER_MAX];
	uint8_t head[CONTROL_HEAD_SIZE];
	struct control_answer answer;
	ssize_t length;

	if (!hear_bytes(guest, head, sizeof(head)))
		return -1;
	length = control_length(head, sizeof(bytes));
	assert_true(length > 0);
	assert_true(hear_bytes(guest, bytes, (size_t)length));
	assert_int_equal(control_answer_decode(&answer, bytes, (size_t)length), 0);
	snprintf(output, sizeof(output), "%.*s", (int)answer.text_length, answer.text);
	return answer.code;
}

#endif
