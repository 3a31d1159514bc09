/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/base.h"
#include "call/tls.h"
#include "call/wrap.h"
#include "os/clock.h"
#include "os/fd.h"
#include "show.h"
#include "strict.h"

#define DEFAULT_PORT	"4747"
#define DEFAULT_SECONDS 90u
#define STRANGE_SECONDS 5u /* with one that has not shown who it is, and goes away */
#define RESETS_MAX	8u /* a host that does not take our certificate may end like that */
#define RETRY_PAUSE_US	50000u

enum {
	EXIT_REFUSED = 1, /* the host said no */
	EXIT_USAGE = 2,
	EXIT_NO_ANSWER =
		3, /* it cannot be reached, or is not to be trusted, or does not trust us */
};

struct call {
	struct tls_files files;
	bool json, follow;
	unsigned seconds;
	char host[256];
	const char *port;
	struct control_request request;

	SSL_CTX *tls;
	int socket;
	SSL *ssl;
	uint8_t *bytes; /* request, then answer */
	bool was_there; /* the right host, once */
};

static int usage(FILE *to)
{
	fputs("usage: karuta-controller call HOST[:PORT] VERB [ARGUMENT=VALUE ...] [OPTIONS]\n"
	      "\n"
	      "  --ca FILE, --cert FILE, --key FILE  who signs certificates, your own, its key\n"
	      "                                      (/etc/karuta/ca.pem, caller.pem, "
	      "caller.key)\n"
	      "  --timeout SECONDS                   to wait for the answer (90)\n"
	      "  --id HEX                            the request's identifier, 32 digits: one that "
	      "was\n"
	      "                                      sent before is not carried out again\n"
	      "  --json                              print the answer as JSON\n"
	      "  --follow                            console: go on until the instance ends\n"
	      "\n",
	      to);
	for (const struct control_verb *verb = control_verbs; verb->name; verb++) {
		fprintf(to, "  %-7s", verb->name);
		for (size_t i = 0; i < verb->argument_count; i++)
			fprintf(to, verb->arguments[i].required ? " %s" : " [%s]",
				verb->arguments[i].name);
		fprintf(to, ": %s (%s)\n", verb->help, tls_role_name(verb->role));
	}
	fputs("\nExit code: 0 it was done, 1 the host refused, 2 wrong usage, 3 there was no "
	      "answer.\n",
	      to);
	return to == stdout ? 0 : EXIT_USAGE;
}

/* ---- the command line ---- */

static int parse_id(const char *text, uint8_t id[CONTROL_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != 2 * CONTROL_ID_SIZE || strspn(text, digits) != 2 * CONTROL_ID_SIZE)
		return -EINVAL;
	for (size_t i = 0; i < CONTROL_ID_SIZE; i++)
		id[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
				  (strchr(digits, text[2 * i + 1]) - digits));
	return 0;
}

/* "h1", "h1:4747", "[::1]:4747" */
static int parse_host(struct call *call, const char *text)
{
	const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
	const char *colon = strchr(end ? end : text, ':');
	size_t length;

	if (end)
		text++;
	length = end ? (size_t)(end - text) : colon ? (size_t)(colon - text) : strlen(text);
	if (!length || length >= sizeof(call->host))
		return -EINVAL;
	memcpy(call->host, text, length);
	call->port = colon ? colon + 1 : DEFAULT_PORT;
	return 0;
}

static int take_option(struct call *call, int option)
{
	uint64_t seconds;

	switch (option) {
	case 'c':
		call->files.authority = optarg;
		return 0;
	case 'e':
		call->files.certificate = optarg;
		return 0;
	case 'k':
		call->files.key = optarg;
		return 0;
	case 'j':
		call->json = true;
		return 0;
	case 'f':
		call->follow = true;
		return 0;
	case 'i':
		return parse_id(optarg, call->request.id) < 0 ? 1 + usage(stderr) : 0;
	case 't':
		if (size_above_zero(optarg, &seconds) < 0 || seconds > 86400)
			return 1 + usage(stderr);
		call->seconds = (unsigned)seconds;
		return 0;
	default:
		return 1 + usage(option == 'h' ? stdout : stderr);
	}
}

/* 0, or an exit code + 1. */
static int read_options(struct call *call, int argc, char **argv)
{
	static const struct option options[] = {
		{"ca", required_argument, NULL, 'c'},
		{"cert", required_argument, NULL, 'e'},
		{"key", required_argument, NULL, 'k'},
		{"json", no_argument, NULL, 'j'},
		{"follow", no_argument, NULL, 'f'},
		{"id", required_argument, NULL, 'i'},
		{"timeout", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct error error = {0};
	int option, ret = 0;

	if (RAND_bytes(call->request.id, CONTROL_ID_SIZE) != 1)
		return 1 + EXIT_NO_ANSWER;
	while (ret == 0 && (option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		ret = take_option(call, option);
	if (ret)
		return ret;
	if (argc - optind < 2 || parse_host(call, argv[optind]) < 0)
		return 1 + usage(stderr);
	call->request.verb = control_verb_find(argv[optind + 1], strlen(argv[optind + 1]));
	if (!call->request.verb) {
		fprintf(stderr, "karuta-controller: call: there is no verb %s; see --help\n",
			argv[optind + 1]);
		return 1 + EXIT_USAGE;
	}
	if (call->follow && strcmp(call->request.verb->name, "console") != 0)
		return 1 + usage(stderr);
	if (call_words_read(&call->request, argv + optind + 2, argc - optind - 2, &error) < 0) {
		fprintf(stderr, "karuta-controller: call: %s\n", error.text);
		return 1 + EXIT_USAGE;
	}
	return 0;
}

/* ---- the connection ---- */

static int try_address(const struct call *call, const struct addrinfo *address)
{
	struct timeval patience = {.tv_sec = (time_t)call->seconds};
	CLEANUP_CLOSE int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* The time for connect(2) too: socket(7). */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, address->ai_addr, address->ai_addrlen) < 0)
		return -errno;
	return os_steal_fd(&fd);
}

static int connect_to(struct call *call, struct error *error)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	int ret = getaddrinfo(call->host, call->port, &hints, &found);

	if (ret)
		return error_set(error, EHOSTUNREACH, "%s: %s", call->host, gai_strerror(ret));
	for (const struct addrinfo *at = found; at && call->socket < 0; at = at->ai_next)
		call->socket = try_address(call, at);
	freeaddrinfo(found);
	if (call->socket < 0)
		return error_set(error, -call->socket, "%s port %s: %s", call->host, call->port,
				 strerror(-call->socket));
	return 0;
}

/* The certificate is for this host, by name or address. */
static bool expect_host(const struct call *call)
{
	unsigned char address[16];
	bool is_address = inet_pton(AF_INET, call->host, address) == 1 ||
			  inet_pton(AF_INET6, call->host, address) == 1;

	if (is_address)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(call->ssl), call->host) == 1;
	return SSL_set_tlsext_host_name(call->ssl, call->host) == 1 &&
	       SSL_set1_host(call->ssl, call->host) == 1;
}

static int tls_failed(const struct call *call, int ret, struct error *error)
{
	long verified = SSL_get_verify_result(call->ssl);
	int kind = SSL_get_error(call->ssl, ret);
	unsigned long code = ERR_peek_last_error();
	bool gone = kind == SSL_ERROR_SYSCALL ||
		    (kind == SSL_ERROR_SSL &&
		     ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
	char why[128];

	/* The socket's time is over: socket(7), SO_RCVTIMEO. */
	if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
		return error_set(error, ETIMEDOUT, "%s: no answer within %u s", call->host,
				 call->seconds);
	tls_why(why, sizeof(why));
	/* The connection has ended without a word of farewell: SSL_get_error(3). */
	return error_set(error, gone ? ECONNRESET : EPROTO, "%s: %s", call->host,
			 verified != X509_V_OK ? X509_verify_cert_error_string(verified) : why);
}

static int shake_hands(struct call *call, struct error *error)
{
	struct tls_peer peer;
	int ret;

	call->tls = tls_context(&call->files, false, error);
	if (!call->tls)
		return -EINVAL;
	call->ssl = SSL_new(call->tls);
	if (!call->ssl || !expect_host(call) || SSL_set_fd(call->ssl, call->socket) != 1)
		return error_set(error, ENOMEM, "TLS cannot be set up");
	ret = SSL_connect(call->ssl);
	if (ret != 1)
		return tls_failed(call, ret, error);
	ret = tls_peer(call->ssl, &peer, error);
	if (ret == 0 && peer.role != CONTROL_NOBODY)
		ret = error_set(error, EACCES, "its certificate is not a host's");
	if (ret < 0)
		error_prefix(error, "%s", call->host);
	return ret;
}

static int send_all(struct call *call, size_t length, struct error *error)
{
	size_t done = 0, part;

	while (done < length) {
		int ret = SSL_write_ex(call->ssl, call->bytes + done, length - done, &part);

		if (ret != 1)
			return tls_failed(call, ret, error);
		done += part;
	}
	return 0;
}

static int receive_all(struct call *call, uint8_t *to, size_t length, struct error *error)
{
	size_t done = 0, part;

	while (done < length) {
		int ret = SSL_read_ex(call->ssl, to + done, length - done, &part);

		if (ret != 1)
			return tls_failed(call, ret, error);
		done += part;
	}
	return 0;
}

static int send_request(struct call *call, const struct control_request *request,
			struct error *error)
{
	ssize_t length = control_request_encode(request, call->bytes + CONTROL_HEAD_SIZE,
						CONTROL_REQUEST_MAX);

	if (length < 0)
		return error_set(error, EMSGSIZE, "the request is too large");
	control_put_length(call->bytes, (size_t)length);
	return send_all(call, CONTROL_HEAD_SIZE + (size_t)length, error);
}

/* The answer's texts are in call->bytes, until the next exchange. */
static int receive_answer(struct call *call, struct control_answer *answer, struct error *error)
{
	int ret = receive_all(call, call->bytes, CONTROL_HEAD_SIZE, error);
	ssize_t length = ret < 0 ? ret : control_length(call->bytes, CONTROL_ANSWER_MAX);

	if (ret < 0)
		return ret;
	if (length > 0)
		ret = receive_all(call, call->bytes, (size_t)length, error);
	if (ret == 0 &&
	    (length < 0 || control_answer_decode(answer, call->bytes, (size_t)length) < 0))
		ret = error_set(error, EPROTO, "%s: no answer of a controller", call->host);
	return ret;
}

static int exchange(struct call *call, const struct control_request *request,
		    struct control_answer *answer, struct error *error)
{
	int ret = send_request(call, request, error);

	if (ret == 0)
		ret = receive_answer(call, answer, error);
	if (ret == 0 && memcmp(answer->id, request->id, CONTROL_ID_SIZE) != 0 && !answer->code)
		ret = error_set(error, EPROTO, "%s: the answer to another request", call->host);
	return ret;
}

/* Asks the host first what to wrap them with; *answer says what if it refuses. */
static int wrap_keys(struct call *call, struct control_request *wrapped,
		     struct control_answer *answer, struct error *error)
{
	struct control_request question = {.verb = control_verb_find("wrapping", 8)};
	char name[TLS_NAME_MAX + 1];
	int ret = tls_own_name(call->ssl, name, error);

	if (ret == 0 && RAND_bytes(question.id, CONTROL_ID_SIZE) != 1)
		ret = error_set(error, EIO, "no random numbers");
	if (ret == 0)
		ret = exchange(call, &question, answer, error);
	return ret < 0 || answer->code ? ret
				       : wrap_request(&call->request, name, answer, wrapped, error);
}

/* ---- the answer ---- */

static void show_result(const json_t *result)
{
	const char *wrapping = json_string_value(json_object_get(result, "wrapping"));
	const char *console = json_string_value(json_object_get(result, "console"));
	const char *request = json_string_value(json_object_get(result, "request"));

	if (wrapping)
		printf("%s\n", wrapping);
	else if (request)
		printf("%s", request);
	else if (console)
		show_console(console);
	else if (json_object_get(result, "instances"))
		show_list(result);
	else if (json_object_get(result, "images"))
		show_images(json_object_get(result, "images"));
	else if (json_object_get(result, "written"))
		printf("%lld bytes are written\n",
		       (long long)json_integer_value(json_object_get(result, "written")));
	else if (json_object_get(result, "lines"))
		show_audit_lines(json_object_get(result, "lines"));
	else if (json_object_get(result, "more"))
		show_events(json_object_get(result, "events"));
	else
		show_status(result);
}

static int show(const struct call *call, const struct control_answer *answer)
{
	json_t *result = json_loadb(answer->result, answer->result_length, 0, NULL);
	char *text = strndup(answer->text, answer->text_length);
	bool is_trace = json_object_get(result, "steps");
	json_t *all = json_pack("{s:i,s:s,s:O?}", "code", answer->code, "text", text ? text : "",
				"result", result);

	if (call->json)
		show_json(all);
	else if (answer->code)
		fprintf(stderr, "karuta-controller: %s: %s\n", call->host, text ? text : "");
	else if (result && !is_trace)
		show_result(result);
	else
		printf("%s\n", text ? text : "");
	free(text);
	json_decref(all);
	json_decref(result);
	return answer->code ? EXIT_REFUSED : 0;
}

static void hang_up(struct call *call)
{
	SSL_free(call->ssl);
	SSL_CTX_free(call->tls);
	os_close(&call->socket);
	free(call->bytes);
	call->ssl = NULL;
	call->tls = NULL;
	call->bytes = NULL;
}

static int open_call(struct call *call, struct error *error)
{
	int ret = connect_to(call, error);

	call->bytes = malloc(CONTROL_HEAD_SIZE + CONTROL_ANSWER_MAX);
	if (ret == 0 && !call->bytes)
		ret = error_set(error, ENOMEM, "out of memory");
	return ret < 0 ? ret : shake_hands(call, error);
}

/* 1: it was the right host, which has gone away before its answer. Keys are wrapped for the
 * controller that is asked; the next one has another key. */
static int try(struct call *call, struct control_answer *answer, struct error *error)
{
	struct control_request wrapped = {0};
	bool has_keys = call->request.key_count;
	int ret = call->ssl ? 0 : open_call(call, error);

	if (ret < 0)
		return ret;
	call->was_there = true;
	ret = has_keys ? wrap_keys(call, &wrapped, answer, error) : 0;
	if (ret == 0 && !(has_keys && answer->code))
		ret = exchange(call, has_keys ? &wrapped : &call->request, answer, error);
	wrap_request_free(&wrapped);
	return ret == -ECONNRESET ? 1 : ret;
}

/* Its controller may have been killed or replaced: the next one is asked the same. What it has been
 * asked before, and has done, it does not do again. */
static int ask(struct call *call, struct control_answer *answer, struct error *error)
{
	uint64_t begun = os_now();
	unsigned resets = 0;
	int ret;

	for (;;) {
		uint64_t most = call->was_there ? call->seconds : STRANGE_SECONDS;

		ret = try(call, answer, error);
		resets += ret == 1;
		if (os_now() - begun >= most * NS_PER_S || resets == RESETS_MAX ||
		    (ret != 1 && ret != -ECONNRESET && !(ret == -ECONNREFUSED && call->was_there)))
			return ret == 1 ? -ECONNRESET : ret;
		hang_up(call);
		usleep(RETRY_PAUSE_US);
	}
}

static int run(struct call *call)
{
	struct control_answer answer = {0};
	struct error error = {0};
	unsigned pause = 0;
	int ret, code;

	signal(SIGPIPE, SIG_IGN);
	do {
		ret = ask(call, &answer, &error);
		code = ret == 0 ? show(call, &answer) : 0;
		if (ret == 0 && (code || call->json ||
				 !call_more(&call->request, &answer, call->follow, &pause)))
			return code;
	} while (ret == 0);
	fprintf(stderr, "karuta-controller: %s\n", error.text);
	return EXIT_NO_ANSWER;
}

int call_main(int argc, char **argv)
{
	struct call call = {.files = {.authority = "/etc/karuta/ca.pem",
				      .certificate = "/etc/karuta/caller.pem",
				      .key = "/etc/karuta/caller.key"},
			    .seconds = DEFAULT_SECONDS,
			    .socket = -1};
	int code = read_options(&call, argc, argv);

	code = code ? code - 1 : run(&call);
	call_words_free(&call.request);
	hang_up(&call);
	return code;
}
