/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_fleet PLANE FOLDER: a plane with 1,000 instances, each with a volume and its key, on 100
 * simulated hosts: all of them made, all hosts restarted, the plane restarted, volumes attached.
 * The plane has core 0, hosts and client core 1; FOLDER is where the plane's state is for the time.
 * A line of JSON a case.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "hosts.h"
#include "measure.h"
#include "os/clock.h"
#include "plane_rig.h"
#include "sim_hosts.h"

#define HOSTS	  100u
#define INSTANCES 1000u
#define ATTACHES  50u
#define PAUSE_US  10000u
#define SECONDS	  120u /* that anything takes at most */

struct bench {
	struct rig rig;
	struct sim_hosts hosts;
	struct https_client client;
};

/* What is measured as one: wall clock, the plane's processor, and its commits. */
struct span {
	uint64_t began;
	double processor;
	unsigned long commits;
};

static unsigned long commits(struct bench *bench)
{
	return rig_metric(&bench->client, "karuta_store_revision");
}

static struct span begin_span(struct bench *bench)
{
	return (struct span){os_now(), rig_processor_ms(&bench->rig), commits(bench)};
}

static void report_span(struct bench *bench, const char *what, const struct span *span,
			double done_ms, double shown_ms)
{
	const volatile struct sim_seen *seen = bench->hosts.seen;

	rig_report(what,
		   "\"done_ms\":%.0f,\"shown_ms\":%.0f,\"plane_ms\":%.0f,\"commits\":%lu,"
		   "\"launches\":%u,\"starts\":%u,\"keys\":%u,\"wrong\":%u,\"lists\":%u,"
		   "\"requests\":%u,\"resident_kib\":%lu",
		   done_ms, shown_ms, rig_processor_ms(&bench->rig) - span->processor,
		   commits(bench) - span->commits, seen->launches, seen->starts, seen->keys,
		   seen->wrong, seen->lists, seen->requests, rig_memory(&bench->rig, "VmRSS"));
}

/* ---- what is stored ---- */

static json_t *host_doc(const struct sim_hosts *hosts, unsigned number)
{
	json_t *doc = doc_make(
		hosts->names[number], NULL,
		json_pack("{s:s,s:i}", "address", "127.0.0.1", "port", (int)hosts->ports[number]),
		time(NULL));

	doc_set(doc, "status.enrolled", json_true());
	doc_set(doc, "status.state", json_string("unreachable"));
	doc_set(doc, "status.certificate", hosts_certificate(&hosts->certificates[number]));
	return doc;
}

/* ---- until it is so ---- */

static void check_time(const struct span *span, const char *what)
{
	if (os_now() - span->began > SECONDS * NS_PER_S)
		rig_fail("%s: it is not so after %u seconds", what, SECONDS);
	usleep(PAUSE_US);
}

static double await_running(struct bench *bench, const struct span *span)
{
	while (bench->hosts.seen->running < INSTANCES)
		check_time(span, "all are to run");
	return rig_ms_since(span->began);
}

/* As the API has it. */
static unsigned count_running(struct bench *bench)
{
	const char *page = https_ask(&bench->client, "GET", "/v1/instances?limit=1000", NULL), *at;
	unsigned count = 0;

	for (at = page; (at = strstr(at, "\"state\":\"running\"")); at++)
		count++;
	return count;
}

static double await_shown(struct bench *bench, const struct span *span)
{
	while (count_running(bench) < INSTANCES)
		check_time(span, "all are to be shown to run");
	return rig_ms_since(span->began);
}

static void await_hosts(struct bench *bench, const struct span *span)
{
	while (rig_metric(&bench->client, "karuta_hosts{state=\"unattested\"}") < HOSTS)
		check_time(span, "all hosts are to answer");
}

/* ---- cases ---- */

static void make_all(struct bench *bench)
{
	struct span span;
	double done, shown;
	char body[256];

	sim_hosts_restart(&bench->hosts);
	span = begin_span(bench);
	for (unsigned i = 0; i < INSTANCES; i++) {
		snprintf(body, sizeof(body),
			 "{\"name\":\"web-%04u\",\"memory\":67108864,\"kernel\":\"kernel\","
			 "\"volumes\":[{\"name\":\"data-%04u\",\"size\":1048576}]}",
			 i, i);
		https_ask(&bench->client, "POST", "/v1/instances", body);
		if (bench->client.status != 201)
			rig_fail("instance %u: %u %.200s", i, bench->client.status,
				 bench->client.body);
	}
	done = await_running(bench, &span);
	shown = await_shown(bench, &span);
	report_span(bench, "1,000 instances made", &span, done, shown);
}

static void restart_hosts(struct bench *bench)
{
	struct span span;
	double done, shown;

	sleep(2);
	span = begin_span(bench);
	sim_hosts_restart(&bench->hosts);
	done = await_running(bench, &span);
	shown = await_shown(bench, &span);
	report_span(bench, "all hosts restarted", &span, done, shown);
}

static void rest(struct bench *bench)
{
	struct span span;

	sleep(2);
	span = begin_span(bench);
	sleep(5);
	report_span(bench, "at rest for 5 s", &span, rig_ms_since(span.began), 0);
}

/* Every host was asked what it has, and has answered. */
static void restart_plane(struct bench *bench)
{
	struct span span = {.began = os_now()};
	double known, served;

	https_close(&bench->client);
	rig_kill_plane(&bench->rig);
	bench->hosts.seen->lists = 0;
	served = rig_start_plane(&bench->rig);
	rig_open_client(&bench->rig, &bench->client);
	span.commits = commits(bench);
	await_hosts(bench, &span);
	while (bench->hosts.seen->lists < HOSTS)
		check_time(&span, "all hosts are to be asked");
	known = await_shown(bench, &span);
	rig_report("plane restarted",
		   "\"served_ms\":%.0f,\"known_ms\":%.0f,\"plane_ms\":%.0f,"
		   "\"commits\":%lu,\"resident_kib\":%lu,\"most_kib\":%lu",
		   served, known, rig_processor_ms(&bench->rig), commits(bench) - span.commits,
		   rig_memory(&bench->rig, "VmRSS"), rig_memory(&bench->rig, "VmHWM"));
}

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double attach_one(struct bench *bench, unsigned number)
{
	unsigned before = bench->hosts.seen->attaches;
	char path[64], body[64];
	uint64_t began;

	snprintf(path, sizeof(path), "/v1/volumes/more-%u/attach", number);
	snprintf(body, sizeof(body), "{\"instance\":\"web-%04u\"}", number);
	began = os_now();
	https_ask(&bench->client, "POST", path, body);
	if (bench->client.status != 202)
		rig_fail("attach: %u %.200s", bench->client.status, bench->client.body);
	while (bench->hosts.seen->attaches == before) {
		if (os_now() - began > SECONDS * NS_PER_S)
			rig_fail("attach: no host was asked");
		usleep(100);
	}
	return rig_ms_since(began);
}

/* A volume on the host that has the instance. */
static void make_volume(struct bench *bench, unsigned number)
{
	static const char mark[] = "\"host\":\"host-";
	char path[64], body[128];
	const char *at;

	snprintf(path, sizeof(path), "/v1/instances/web-%04u", number);
	at = strstr(https_ask(&bench->client, "GET", path, NULL), mark);
	if (!at)
		rig_fail("attach: instance %u has no host", number);
	snprintf(body, sizeof(body),
		 "{\"name\":\"more-%u\",\"size\":1048576,\"host\":\"host-%03lu\"}", number,
		 strtoul(at + sizeof(mark) - 1, NULL, 10));
	https_ask(&bench->client, "POST", "/v1/volumes", body);
	if (bench->client.status != 201)
		rig_fail("attach: %u %.200s", bench->client.status, bench->client.body);
}

/* From the request until the host was asked with the key. */
static void attach(struct bench *bench)
{
	double took[ATTACHES];

	for (unsigned i = 0; i < ATTACHES; i++)
		make_volume(bench, i);
	sleep(3);
	for (unsigned i = 0; i < ATTACHES; i++)
		took[i] = attach_one(bench, i);
	qsort(took, ATTACHES, sizeof(took[0]), by_value);
	rig_report("attach, request to host", "\"median_ms\":%.1f,\"slowest_ms\":%.1f",
		   took[ATTACHES / 2], took[ATTACHES - 1]);
}

int main(int argc, char **argv)
{
	static struct bench bench;
	struct span span = {.began = os_now()};
	struct error error = {0};

	if (argc != 3) {
		fprintf(stderr, "usage: bench_fleet PLANE FOLDER\n");
		return 2;
	}
	measure_pin(RIG_CLIENT_CORE);
	rig_begin(&bench.rig, argv[1], argv[2]);
	bench.rig.pinned = true;
	if (sim_hosts_begin(&bench.hosts, HOSTS, bench.rig.identity.ca, RIG_CLIENT_CORE, &error) <
	    0)
		rig_fail("%s", error.text);
	for (unsigned i = 0; i < HOSTS; i++)
		rig_put(&bench.rig, "hosts", host_doc(&bench.hosts, i));
	rig_put_rest(&bench.rig);
	rig_start_plane(&bench.rig);
	rig_open_client(&bench.rig, &bench.client);
	await_hosts(&bench, &span);
	make_all(&bench);
	rest(&bench);
	restart_hosts(&bench);
	restart_plane(&bench);
	attach(&bench);
	https_close(&bench.client);
	rig_end(&bench.rig);
	sim_hosts_end(&bench.hosts);
	return 0;
}
