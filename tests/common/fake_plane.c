/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_plane.h"

#define REQUEST_MAX 16384

/* The whole request, terminated; false: the client has gone. */
static int read_request(SSL *tls, char *request)
{
	size_t have = 0;

	while (have < REQUEST_MAX - 1) {
		int count = SSL_read(tls, request + have, (int)(REQUEST_MAX - 1 - have));
		const char *end, *length;

		if (count <= 0)
			return 0;
		have += (size_t)count;
		request[have] = '\0';
		end = strstr(request, "\r\n\r\n");
		length = strcasestr(request, "\r\nContent-Length: ");
		if (end && (!length || strlen(end + 4) >= strtoul(length + 18, NULL, 10)))
			return 1;
	}
	return 0;
}

static void note(const char *request)
{
	FILE *file = fopen("requests", "a");

	fprintf(file, "%s\n", request);
	fclose(file);
}

static void write_answer(SSL *tls, int status, const char *type, const char *body)
{
	char head[256];

	if (type)
		snprintf(head, sizeof(head), "HTTP/1.1 %d x\r\nContent-Type: %s\r\n\r\n", status,
			 type);
	else
		snprintf(head, sizeof(head),
			 "HTTP/1.1 %d x\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n",
			 status, strlen(body));
	SSL_write(tls, head, (int)strlen(head));
	if (*body)
		SSL_write(tls, body, (int)strlen(body));
}

/* Returns the answer that is next. */
static const struct fake_answer *serve(SSL *tls, const struct fake_answer *answer)
{
	char request[REQUEST_MAX];

	while (read_request(tls, request)) {
		size_t length = answer->request ? strlen(answer->request) : 0;

		note(request);
		if (!length || strncmp(request, answer->request, length) != 0 ||
		    request[length] != ' ') {
			write_answer(tls, 500, NULL, "{\"detail\": \"not what was expected\"}");
			continue;
		}
		if (answer->status)
			write_answer(tls, answer->status, answer->type, answer->body);
		if (!answer++->status || answer[-1].type)
			break;
	}
	return answer;
}

static void run(int listener, SSL_CTX *context, const struct fake_answer *answers)
{
	for (;;) {
		int client = accept(listener, NULL, NULL);
		SSL *tls = SSL_new(context);

		SSL_set_fd(tls, client);
		if (SSL_accept(tls) == 1)
			answers = serve(tls, answers);
		SSL_shutdown(tls);
		SSL_free(tls);
		close(client);
	}
}

static SSL_CTX *make_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	assert_int_equal(SSL_CTX_use_certificate_file(context, "plane.pem", SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(context, "plane.key", SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_load_verify_locations(context, "ca.pem", NULL), 1);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_num_tickets(context, 0); /* resumption would need a name for the sessions */
	return context;
}

void fake_plane_start(struct fake_plane *plane, const struct fake_answer *answers)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL_CTX *context = make_context();

	assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	plane->port = ntohs(address.sin_port);
	plane->process = fork();
	assert_true(plane->process >= 0);
	if (!plane->process) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		run(listener, context, answers);
	}
	SSL_CTX_free(context);
	close(listener);
}

void fake_plane_stop(struct fake_plane *plane)
{
	if (plane->process > 0) {
		kill(plane->process, SIGKILL);
		waitpid(plane->process, NULL, 0);
	}
	plane->process = 0;
}
