/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of a plane, each a thread with chances of its own: they send what nobody has thought of,
 * some of it twice, some of it cut off, some of it in another order than it was begun, and keep a
 * model of what it may come to. Nothing of a plane's own code is in here.
 */
#ifndef KARUTA_TEST_FLEET_CLIENTS_H
#define KARUTA_TEST_FLEET_CLIENTS_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fleet_model.h"

#define CLIENTS		4u
#define CLIENT_REQUEST	2048u
#define CLIENT_PATIENCE 4 /* s, for an answer */
#define LAST_WORDS	1000
#define CLIENT_TRIES	40	/* of a request that is sent again until it is answered */
#define CLIENT_PAUSE	250000u /* us at most */

static struct {
	pthread_mutex_t lock; /* of the model and the file */
	struct model model;
	FILE *log;
	SSL_CTX *tls;
	char token[256];
	atomic_bool over;
	atomic_uint asked, done, refused, unknown, doubled, cut;
} clients;

struct client {
	pthread_t thread;
	unsigned number;
	uint64_t random;
};

static inline uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* splitmix64 */
static inline uint64_t next_random(uint64_t *random)
{
	uint64_t value = *random += 0x9e3779b97f4a7c15;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
	value = (value ^ value >> 27) * 0x94d049bb133111eb;
	return value ^ value >> 31;
}

static inline unsigned choose(struct client *client, unsigned count)
{
	return (unsigned)(next_random(&client->random) % count);
}

/* ---- one connection, one request ---- */

struct line {
	SSL *ssl;
	int fd;
};

static inline void hang_up(struct line *line)
{
	SSL_free(line->ssl);
	if (line->fd >= 0)
		close(line->fd);
	*line = (struct line){.fd = -1};
}

static inline bool dial(struct line *line)
{
	struct timeval patience = {.tv_sec = CLIENT_PATIENCE};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)plane_port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	*line = (struct line){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	setsockopt(line->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(line->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(line->fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		line->ssl = SSL_new(clients.tls);
		if (line->ssl && SSL_set_fd(line->ssl, line->fd) == 1 &&
		    SSL_connect(line->ssl) == 1)
			return true;
	}
	hang_up(line);
	return false;
}

static inline bool say_part(struct line *line, const char *text, size_t length)
{
	return line->ssl && SSL_write(line->ssl, text, (int)length) == (int)length;
}

/* The status; 0: there was no answer. */
static inline unsigned hear_status(struct line *line)
{
	char text[64];
	size_t length = 0;
	unsigned status = 0;

	while (line->ssl && length < 12) {
		int got = SSL_read(line->ssl, text + length, (int)(sizeof(text) - 1 - length));

		if (got <= 0)
			return 0;
		length += (size_t)got;
	}
	text[length] = '\0';
	return sscanf(text, "HTTP/1.1 %u", &status) == 1 ? status : 0;
}

/* ---- what is asked ---- */

struct asking {
	struct model_request request;
	const char *method;
	char path[64], body[256], key[48], text[CLIENT_REQUEST];
	size_t length;
};

static inline void put_text(struct asking *asking)
{
	asking->length = (size_t)snprintf(
		asking->text, sizeof(asking->text),
		"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nConnection: "
		"close\r\n%s%s%sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		asking->method, asking->path, clients.token,
		asking->key[0] ? "Idempotency-Key: " : "", asking->key,
		asking->key[0] ? "\r\n" : "", strlen(asking->body), asking->body);
}

static inline unsigned volume_object(unsigned volume)
{
	return MODEL_INSTANCES + volume;
}

/* Volumes have hosts of their own, so that most attaches are possible. */
static inline void ask_new_instance(struct client *client, struct asking *asking, unsigned instance)
{
	unsigned volume = instance % 3 + 3 * choose(client, 2);
	char more[64] = "";

	asking->method = "POST";
	snprintf(asking->path, sizeof(asking->path), "/v1/instances");
	if (choose(client, 4) == 0) {
		asking->request.with_other = true;
		asking->request.other = volume_object(volume);
		snprintf(more, sizeof(more), ", \"volumes\": [{\"volume\": \"v%u\"}]", volume);
	} else if (choose(client, 4)) {
		snprintf(more, sizeof(more), ", \"host\": \"h%u\"", instance % 3);
	}
	snprintf(asking->body, sizeof(asking->body),
		 "{\"name\": \"i%u\", \"memory\": 67108864, \"kernel\": \"kernel\", \"restart\": "
		 "\"always\"%s}",
		 instance, more);
}

static inline void ask_instance(struct client *client, struct asking *asking)
{
	static const enum model_act acts[] = {MODEL_CREATE, MODEL_CREATE, MODEL_CREATE, MODEL_START,
					      MODEL_START,  MODEL_START,  MODEL_STOP,	MODEL_STOP,
					      MODEL_REBOOT, MODEL_DELETE};
	unsigned instance = choose(client, MODEL_INSTANCES);

	asking->request = (struct model_request){.act = acts[choose(client, ARRAY_LEN(acts))],
						 .object = instance};
	snprintf(asking->path, sizeof(asking->path), "/v1/instances/i%u%s", instance,
		 asking->request.act == MODEL_REBOOT ? "/reboot" : "");
	asking->method = asking->request.act == MODEL_DELETE   ? "DELETE"
			 : asking->request.act == MODEL_REBOOT ? "POST"
							       : "PATCH";
	asking->body[0] = '\0';
	if (asking->request.act == MODEL_CREATE)
		ask_new_instance(client, asking, instance);
	else if (asking->request.act == MODEL_START)
		snprintf(asking->body, sizeof(asking->body), "{\"wanted\": \"running\"}");
	else if (asking->request.act == MODEL_STOP)
		snprintf(asking->body, sizeof(asking->body),
			 "{\"wanted\": \"stopped\", \"kill\": %s, \"grace\": 3}",
			 choose(client, 2) ? "true" : "false");
	else if (asking->request.act == MODEL_REBOOT)
		snprintf(asking->body, sizeof(asking->body), "{}");
}

static inline void ask_volume(struct client *client, struct asking *asking)
{
	static const enum model_act acts[] = {
		MODEL_CREATE, MODEL_CREATE, MODEL_CREATE, MODEL_ATTACH, MODEL_ATTACH,
		MODEL_ATTACH, MODEL_ATTACH, MODEL_DETACH, MODEL_DETACH, MODEL_DELETE};
	unsigned volume = choose(client, MODEL_VOLUMES);
	unsigned instance = choose(client, 5) ? volume % 3 + 3 * choose(client, 2)
					      : choose(client, MODEL_INSTANCES);

	asking->request = (struct model_request){.act = acts[choose(client, ARRAY_LEN(acts))],
						 .object = volume_object(volume)};
	asking->method = asking->request.act == MODEL_DELETE ? "DELETE" : "POST";
	snprintf(asking->path, sizeof(asking->path), "/v1/volumes/v%u%s", volume,
		 asking->request.act == MODEL_ATTACH   ? "/attach"
		 : asking->request.act == MODEL_DETACH ? "/detach"
						       : "?now=true");
	snprintf(asking->body, sizeof(asking->body), "%s",
		 asking->request.act == MODEL_DETACH ? "{}" : "");
	if (asking->request.act == MODEL_ATTACH) {
		asking->request.with_other = true;
		asking->request.other = instance;
		snprintf(asking->body, sizeof(asking->body), "{\"instance\": \"i%u\"}", instance);
	} else if (asking->request.act == MODEL_CREATE) {
		snprintf(asking->path, sizeof(asking->path), "/v1/volumes");
		snprintf(asking->body, sizeof(asking->body),
			 "{\"name\": \"v%u\", \"size\": 1048576, \"host\": \"h%u\"}", volume,
			 volume % 3);
	}
}

static inline void ask_something(struct client *client, struct asking *asking)
{
	if (choose(client, 2))
		ask_instance(client, asking);
	else
		ask_volume(client, asking);
	asking->key[0] = '\0';
	if (!strcmp(asking->method, "POST"))
		snprintf(asking->key, sizeof(asking->key), "%016llx",
			 (unsigned long long)next_random(&client->random));
	put_text(asking);
}

/* ---- what comes of it ---- */

static inline enum model_result result_of(unsigned status)
{
	/* 410: it was done, and what was made is deleted by now. */
	if ((status >= 200 && status < 300) || status == 410)
		return MODEL_DONE;
	if (status == 404 || status == 422)
		return MODEL_NOT_FOUND;
	return status >= 400 && status < 500 ? MODEL_REFUSED : MODEL_UNKNOWN;
}

/* 422: the other one that it names is not there. 503: a plane that has too much to do. */
static inline bool is_expected(const struct model_request *request, unsigned status)
{
	if (status == 422)
		return request->with_other;
	return !status || (status >= 200 && status < 300) || status == 404 || status == 409 ||
	       status == 410 || status == 503;
}

/* For whoever has to find out what has happened. */
static inline void note(unsigned who, const char *what, const struct asking *asking,
			unsigned status)
{
	fprintf(clients.log, "%llu %u %s %s %s %s %s %u\n", (unsigned long long)now_ms(), who, what,
		asking->method, asking->path, asking->body, asking->key, status);
	fflush(clients.log);
}

static inline bool begin_asking(struct client *client, struct asking *asking)
{
	bool begun;

	pthread_mutex_lock(&clients.lock);
	model_forget(&clients.model, now_ms());
	begun = model_begin(&clients.model, &asking->request, now_ms());
	if (begun)
		note(client->number, "asks", asking, 0);
	pthread_mutex_unlock(&clients.lock);
	return begun;
}

static inline void end_asking(struct client *client, struct asking *asking,
			      enum model_result result, unsigned status)
{
	pthread_mutex_lock(&clients.lock);
	note(client->number, "hears", asking, status);
	model_end(&clients.model, &asking->request, result, now_ms());
	if (!is_expected(&asking->request, status) && !clients.model.failure[0])
		snprintf(clients.model.failure, sizeof(clients.model.failure), "%s %s: status %u",
			 asking->method, asking->path, status);
	if (clients.model.failure[0])
		clients.over = true;
	pthread_mutex_unlock(&clients.lock);
	clients.asked++;
	if (result == MODEL_DONE)
		clients.done++;
	else if (result == MODEL_UNKNOWN)
		clients.unknown++;
	else
		clients.refused++;
}

/* Once, as it should be. */
static inline unsigned send_whole(const struct asking *asking)
{
	struct line line;
	unsigned status = 0;

	if (dial(&line) && say_part(&line, asking->text, asking->length))
		status = hear_status(&line);
	hang_up(&line);
	return status;
}

/* All of it, or a part, and nobody listens any more. */
static inline void send_and_leave(struct client *client, const struct asking *asking)
{
	struct line line;
	size_t length =
		choose(client, 3) ? asking->length : choose(client, (unsigned)asking->length) + 1;

	clients.cut++;
	if (dial(&line) && say_part(&line, asking->text, length) && choose(client, 2))
		usleep(choose(client, 5000));
	hang_up(&line);
}

/* Twice at the same time. */
static inline unsigned send_doubled(const struct asking *asking)
{
	struct line lines[2];
	unsigned statuses[2] = {0};

	clients.doubled++;
	for (unsigned i = 0; i < 2; i++) {
		if (dial(&lines[i]))
			say_part(&lines[i], asking->text, asking->length);
	}
	for (unsigned i = 0; i < 2; i++) {
		statuses[i] = hear_status(&lines[i]);
		hang_up(&lines[i]);
	}
	if (result_of(statuses[0]) == MODEL_DONE || result_of(statuses[1]) == MODEL_DONE)
		return result_of(statuses[0]) == MODEL_DONE ? statuses[0] : statuses[1];
	/* The one that was not answered may still be done. */
	return statuses[0] && statuses[1] ? statuses[0] : 0;
}

/* With its key it is done once, however often it is sent: one that was done before nobody has heard
 * of it is not refused now. None of them is heard by the plane after the last. */
static inline unsigned send_until_answered(struct client *client, const struct asking *asking)
{
	unsigned status = 0, tries = 0;

	send_and_leave(client, asking);
	while (!status && tries++ < CLIENT_TRIES && !clients.over) {
		usleep(50000);
		status = send_whole(asking);
	}
	return status;
}

static inline unsigned send_somehow(struct client *client, const struct asking *asking)
{
	bool once = asking->key[0];

	switch (choose(client, 8)) {
	case 0:
		return once ? send_doubled(asking) : send_whole(asking);
	case 1:
	case 2:
		return once ? send_until_answered(client, asking) : send_whole(asking);
	case 3:
		send_and_leave(client, asking);
		return 0;
	default:
		return send_whole(asking);
	}
}

static inline void ask_once(struct client *client)
{
	struct asking asking;
	unsigned status;

	ask_something(client, &asking);
	if (!begin_asking(client, &asking))
		return;
	status = send_somehow(client, &asking);
	end_asking(client, &asking, result_of(status), status);
}

/* One is begun before another one, and heard by the plane after it. */
static inline void ask_in_another_order(struct client *client)
{
	struct asking early, late;
	struct line line;
	unsigned status = 0;
	size_t part;

	ask_something(client, &early);
	part = early.length / 2;
	if (!begin_asking(client, &early))
		return;
	if (dial(&line))
		say_part(&line, early.text, part);
	ask_something(client, &late);
	if (begin_asking(client, &late)) {
		unsigned answer = send_whole(&late);

		end_asking(client, &late, result_of(answer), answer);
	}
	if (say_part(&line, early.text + part, early.length - part))
		status = hear_status(&line);
	hang_up(&line);
	end_asking(client, &early, result_of(status), status);
}

static inline void *be_a_client(void *context)
{
	struct client *client = context;

	while (!clients.over) {
		if (choose(client, 8))
			ask_once(client);
		else
			ask_in_another_order(client);
		usleep(choose(client, CLIENT_PAUSE));
	}
	return NULL;
}

/* What is not known of any is asked for, until there is one state that each may have. Between
 * requests that were cut off and the end. */
static inline unsigned say_last_words(struct client *client)
{
	unsigned certain = 0;

	for (unsigned tries = 0; tries < LAST_WORDS && certain < MODEL_OBJECTS; tries++) {
		struct asking asking;
		unsigned status;

		ask_something(client, &asking);
		if (model_choices(&clients.model, asking.request.object) > 1 &&
		    begin_asking(client, &asking)) {
			status = send_whole(&asking);
			end_asking(client, &asking, result_of(status), status);
		}
		certain = 0;
		for (unsigned i = 0; i < MODEL_OBJECTS; i++)
			certain += model_choices(&clients.model, i) == 1;
	}
	return certain;
}

/* ---- all of them ---- */

static inline void start_clients(struct client all[CLIENTS], uint64_t seed)
{
	char path[128];

	assert_int_equal(sh("cat plane/admin.token"), 0);
	snprintf(clients.token, sizeof(clients.token), "%.*s", (int)strcspn(output, "\n"), output);
	pthread_mutex_init(&clients.lock, NULL);
	model_open(&clients.model);
	snprintf(path, sizeof(path), "%s/asked", folder);
	clients.log = fopen(path, "we");
	assert_non_null(clients.log);
	snprintf(path, sizeof(path), "%s/plane/ca.pem", folder);
	clients.tls = SSL_CTX_new(TLS_client_method());
	assert_non_null(clients.tls);
	assert_int_equal(SSL_CTX_load_verify_locations(clients.tls, path, NULL), 1);
	SSL_CTX_set_verify(clients.tls, SSL_VERIFY_PEER, NULL);
	for (unsigned i = 0; i < CLIENTS; i++) {
		all[i] = (struct client){.number = i, .random = seed * CLIENTS + i};
		assert_int_equal(pthread_create(&all[i].thread, NULL, be_a_client, &all[i]), 0);
	}
}

static inline void join_clients(struct client all[CLIENTS])
{
	clients.over = true;
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_join(all[i].thread, NULL);
}

static inline void end_clients(void)
{
	fclose(clients.log);
	SSL_CTX_free(clients.tls);
}

#endif
