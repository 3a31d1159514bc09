/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_api PLANE FOLDER: how fast a plane with 10,000 instances answers, and how fast it tells
 * watchers of events. The plane has core 0, its clients core 1; FOLDER is where its state is for
 * the time. A line of JSON a case.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "measure.h"
#include "os/clock.h"
#include "plane_rig.h"
#include "records.h"

#define INSTANCES      10000u
#define PAGES	       50u
#define READERS	       8u
#define READ_SECONDS   3u
#define WATCHERS       50u
#define EVENTS	       500u
#define EVENTS_PER_S   100u
#define SETTLE_SECONDS 10u

/* ---- what is stored ---- */

static json_t *instance(unsigned number)
{
	const struct instance_want want = {
		.wanted = INSTANCE_STOPPED, .generation = 1, .starts = 1};
	char name[16];
	json_t *doc, *labels = json_pack("{s:s,s:s}", "role", "web", "tier", "1");

	snprintf(name, sizeof(name), "web-%05u", number % 100000);
	doc = doc_make(name, labels,
		       json_pack("{s:i,s:I,s:s,s:s,s:s}", "cpus", 2, "memory", (json_int_t)1 << 30,
				 "kernel", "kernel", "initrd", "initrd", "command_line",
				 "console=ttyS0 root=/dev/nvme0n1"),
		       time(NULL));
	json_decref(labels);
	if (!doc || instance_want_write(doc, &want) < 0)
		rig_fail("out of memory");
	doc_set(doc, "status.state", json_string(number % 50 ? "stopped" : "failed"));
	doc_set(doc, "status.text", json_string(""));
	doc_set(doc, "status.since", json_string("2026-01-01T00:00:00Z"));
	return doc;
}

/* ---- pages ---- */

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void measure_page(struct https_client *client, const char *what, const char *path)
{
	double took[PAGES];

	for (unsigned i = 0; i < PAGES; i++) {
		uint64_t began = os_now();
		const char *text = https_ask(client, "GET", path, NULL);

		took[i] = rig_ms_since(began);
		if (client->status != 200 || !strstr(text, "\"items\""))
			rig_fail("%s: %u %.200s", path, client->status, text);
	}
	qsort(took, PAGES, sizeof(took[0]), by_value);
	rig_report(what, "\"median_ms\":%.2f,\"slowest_ms\":%.2f", took[PAGES / 2],
		   took[PAGES - 1]);
}

/* ---- reads ---- */

/* All readers have a request under way at any time. */
static void measure_reads(struct rig *rig, const char *what, const char *format)
{
	static struct https_client clients[READERS];
	double processor;
	uint64_t began, count = 0;
	char path[64];

	for (unsigned i = 0; i < READERS; i++)
		rig_open_client(rig, &clients[i]);
	processor = rig_processor_ms(rig);
	began = os_now();
	for (unsigned i = 0; i < READERS; i++)
		https_send(&clients[i], "GET", "/v1/instances/web-00001", NULL, NULL);
	while (os_now() - began < READ_SECONDS * NS_PER_S) {
		struct https_client *client = &clients[count % READERS];

		https_take(client);
		if (client->status != 200)
			rig_fail("%s: %u", what, client->status);
		snprintf(path, sizeof(path), format, (unsigned)(count * 7919 % INSTANCES));
		https_send(client, "GET", path, NULL, NULL);
		count++;
	}
	rig_report(what, "\"a_second\":%.0f,\"plane_us_each\":%.0f",
		   (double)count * 1000 / rig_ms_since(began),
		   (rig_processor_ms(rig) - processor) * 1000 / (double)count);
	for (unsigned i = 0; i < READERS; i++)
		https_close(&clients[i]);
}

/* ---- watchers ---- */

struct watching {
	struct https_client clients[WATCHERS + 1]; /* the last one asks for what there are events
						      of */
	uint64_t sent[EVENTS];
	double *latency; /* ms; of each event that each watcher had */
	unsigned got, asked, answered;
};

/* Events are numbered by the names of what they are of; the last may not be whole yet. */
static void take_events(struct watching *watching, struct https_client *client)
{
	static const char mark[] = "\"object\":\"volumes/event-";
	char *line = client->bytes, *end;
	size_t rest;

	for (; (end = strstr(line, "\n\n")); line = end + 2) {
		char *at;

		*end = '\0';
		at = strstr(line, mark);
		if (!at || !strstr(line, "\"kind\":\"added\""))
			continue;
		watching->latency[watching->got++] = rig_ms_since(
			watching->sent[strtoul(at + sizeof(mark) - 1, NULL, 10) % EVENTS]);
	}
	rest = client->length - (size_t)(line - client->bytes);
	memmove(client->bytes, line, rest + 1);
	client->length = rest;
}

static void ask_for_next(struct watching *watching, uint64_t began)
{
	struct https_client *client = &watching->clients[WATCHERS];
	char body[96];

	if (watching->asked > watching->answered || watching->asked == EVENTS ||
	    os_now() < began + watching->asked * (NS_PER_S / EVENTS_PER_S))
		return;
	snprintf(body, sizeof(body), "{\"name\":\"event-%u\",\"size\":1048576}", watching->asked);
	watching->sent[watching->asked++] = os_now();
	https_send(client, "POST", "/v1/volumes", NULL, body);
}

static void hear(struct watching *watching, const struct pollfd *fds)
{
	struct https_client *asking = &watching->clients[WATCHERS];

	for (unsigned i = 0; i <= WATCHERS; i++) {
		struct https_client *client = &watching->clients[i];

		if (!fds[i].revents)
			continue;
		if (!(i < WATCHERS ? https_read_stream(client) : https_read(client)))
			rig_fail("watchers: connection %u has ended", i);
		if (i < WATCHERS)
			take_events(watching, client);
	}
	if (asking->length && https_is_whole(asking)) {
		if (asking->status != 201)
			rig_fail("watchers: %u %.200s", asking->status, asking->body);
		asking->length = 0;
		watching->answered++;
	}
}

static void watch(struct watching *watching)
{
	struct pollfd fds[WATCHERS + 1];
	uint64_t began = os_now();

	for (unsigned i = 0; i <= WATCHERS; i++)
		fds[i] = (struct pollfd){.fd = watching->clients[i].fd, .events = POLLIN};
	while (watching->got < WATCHERS * EVENTS) {
		if (os_now() - began > (EVENTS / EVENTS_PER_S + SETTLE_SECONDS) * NS_PER_S)
			break;
		ask_for_next(watching, began);
		poll(fds, WATCHERS + 1, 1);
		hear(watching, fds);
	}
	rig_report("events to 50 watchers",
		   "\"asked\":%u,\"delivered\":%u,\"lost\":%u,\"a_second\":%.0f", watching->asked,
		   watching->got, WATCHERS * EVENTS - watching->got,
		   (double)watching->got * 1000 / rig_ms_since(began));
}

static void measure_events(struct rig *rig)
{
	static struct watching watching;
	double processor = rig_processor_ms(rig);

	watching.latency = calloc((size_t)WATCHERS * EVENTS, sizeof(double));
	if (!watching.latency)
		rig_fail("out of memory");
	for (unsigned i = 0; i <= WATCHERS; i++)
		rig_open_client(rig, &watching.clients[i]);
	for (unsigned i = 0; i < WATCHERS; i++)
		https_send(&watching.clients[i], "GET", "/v1/events", "text/event-stream", NULL);
	/* An answer to this one: all of them are served. */
	https_ask(&watching.clients[WATCHERS], "GET", "/healthz", NULL);
	watch(&watching);
	qsort(watching.latency, watching.got, sizeof(double), by_value);
	if (watching.got)
		rig_report("request to event at the watchers",
			   "\"median_ms\":%.2f,\"p99_ms\":%.2f,\"slowest_ms\":%.2f,"
			   "\"plane_ms_a_second\":%.0f",
			   watching.latency[watching.got / 2],
			   watching.latency[watching.got * 99 / 100],
			   watching.latency[watching.got - 1],
			   (rig_processor_ms(rig) - processor) / (EVENTS / EVENTS_PER_S));
	for (unsigned i = 0; i <= WATCHERS; i++)
		https_close(&watching.clients[i]);
	free(watching.latency);
}

int main(int argc, char **argv)
{
	static struct rig rig;
	struct https_client client;

	if (argc != 3) {
		fprintf(stderr, "usage: bench_api PLANE FOLDER\n");
		return 2;
	}
	measure_pin(RIG_CLIENT_CORE);
	rig_begin(&rig, argv[1], argv[2]);
	rig.pinned = true;
	for (unsigned i = 0; i < INSTANCES; i++)
		rig_put(&rig, "instances", instance(i));
	rig_put_rest(&rig);
	rig_report("start with 10,000 instances", "\"ms\":%.0f", rig_start_plane(&rig));
	rig_open_client(&rig, &client);
	rig_report("10,000 instances, resident", "\"kib\":%lu", rig_memory(&rig, "VmRSS"));
	measure_page(&client, "first page of 10,000 instances", "/v1/instances");
	measure_page(&client, "first page of 1,000", "/v1/instances?limit=1000");
	measure_page(&client, "filtered page", "/v1/instances?status.state=failed");
	measure_reads(&rig, "reads of one instance", "/v1/instances/web-%05u");
	measure_reads(&rig, "reads of pages of 10", "/v1/instances?limit=10&after=web-%05u");
	measure_events(&rig);
	https_close(&client);
	rig_end(&rig);
	return 0;
}
