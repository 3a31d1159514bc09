/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "os/clock.h"

/* A latency is counted in a bucket whose width is at most a 32nd of it. */
#define FINE	64u
#define BUCKETS (FINE * 31)

#define PATIENCE_NS (10 * NS_PER_S)

struct measure {
	const struct measure_device *device;
	const struct measure_pattern *pattern;
	uint64_t random, next, total;
	unsigned under_way;
	uint64_t began[MEASURE_DEPTH];
	uint32_t latencies[BUCKETS];
};

/* ---- latencies ---- */

static unsigned bucket_of(uint64_t ns)
{
	unsigned power = ns < FINE ? 0 : 63u - (unsigned)__builtin_clzll(ns) - 5;

	return (unsigned)min_u64(power * FINE / 2 + (ns >> power), BUCKETS - 1);
}

/* The first latency that is counted in it. */
static uint64_t start_of(unsigned bucket)
{
	unsigned power = bucket < FINE ? 0 : bucket / (FINE / 2) - 1;

	return (uint64_t)(bucket - power * FINE / 2) << power;
}

static unsigned long long percentile(const struct measure *measure, double part)
{
	uint64_t wanted = (uint64_t)((double)measure->total * part), sum = 0;
	unsigned bucket = 0;

	while (bucket < BUCKETS - 1 && (sum += measure->latencies[bucket]) < wanted)
		bucket++;
	return start_of(bucket);
}

/* ---- a run ---- */

static uint64_t next_offset(struct measure *measure)
{
	const struct measure_pattern *pattern = measure->pattern;
	uint64_t count = pattern->length ? measure->device->size / pattern->length : 1;

	measure->random = measure->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (pattern->random ? measure->random >> 20 : measure->next++) % count *
	       pattern->length;
}

static int put(struct measure *measure, unsigned place, uint64_t now)
{
	const struct measure_device *device = measure->device;
	int id = device->put(device->context, measure->pattern, place, next_offset(measure));

	if (id < 0)
		return id;
	measure->began[id] = now;
	measure->under_way++;
	return 0;
}

/* Takes what is there and puts as much in again: one ring for all of it. */
static int turn(struct measure *measure, bool again)
{
	const struct measure_device *device = measure->device;
	uint64_t now;
	int id, err = 0;

	while (!err && (id = device->take(device->context)) >= 0) {
		now = os_now();
		measure->latencies[bucket_of(now - measure->began[id])]++;
		measure->total++;
		measure->under_way--;
		if (again)
			err = put(measure, (unsigned)id, now);
	}
	if (!err && id != -EAGAIN)
		err = id;
	return err ? err : device->ring(device->context);
}

static int run(struct measure *measure, double seconds)
{
	uint64_t deadline = os_now() + (uint64_t)(seconds * (double)NS_PER_S);
	int err = 0;

	memset(measure->latencies, 0, sizeof(measure->latencies));
	measure->total = 0;
	for (unsigned i = 0; i < measure->pattern->depth && !err; i++)
		err = put(measure, i, os_now());
	err = err ? err : measure->device->ring(measure->device->context);
	while (!err && os_now() < deadline)
		for (unsigned i = 0; i < 256 && !err; i++)
			err = turn(measure, true);
	while (!err && measure->under_way) {
		err = turn(measure, false);
		if (os_now() > deadline + PATIENCE_NS)
			err = -ETIMEDOUT;
	}
	return err;
}

int measure_run(const struct measure_device *device, const struct measure_settings *settings,
		const struct measure_pattern *pattern)
{
	struct measure measure = {.device = device, .pattern = pattern, .random = 1};
	uint64_t began;
	double took;
	int err = run(&measure, settings->seconds / 4); /* to warm up */

	began = os_now();
	if (!err)
		err = run(&measure, settings->seconds);
	if (err) {
		fprintf(stderr, "%s, %s: %s\n", settings->name, pattern->name, strerror(-err));
		return err;
	}
	took = (double)(os_now() - began) / (double)NS_PER_S;
	printf("{\"card\":\"%s\",\"pattern\":\"%s\",\"depth\":%u,\"iops\":%.0f,\"mb_s\":%.0f,"
	       "\"median_ns\":%llu,\"p99_ns\":%llu,\"p999_ns\":%llu}\n",
	       settings->name, pattern->name, pattern->depth, (double)measure.total / took,
	       (double)measure.total * pattern->length / took / 1e6, percentile(&measure, 0.5),
	       percentile(&measure, 0.99), percentile(&measure, 0.999));
	return fflush(stdout) ? -errno : 0;
}

void measure_pin(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fprintf(stderr, "core %u: %s\n", core, strerror(errno));
}

/* ---- options ---- */

static const struct way {
	const char *name;
	enum measure_how how;
	bool random;
} ways[] = {
	{"randread", MEASURE_READ, true}, {"randwrite", MEASURE_WRITE, true},
	{"read", MEASURE_READ, false},	  {"write", MEASURE_WRITE, false},
	{"flush", MEASURE_FLUSH, false},  {"idle", MEASURE_IDLE, false},
};

static const struct way *find_way(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		if (!strcmp(name, ways[i].name))
			return &ways[i];
	return NULL;
}

static bool take_pattern(struct measure_settings *settings, const char *text)
{
	struct measure_pattern *pattern = &settings->patterns[settings->pattern_count];
	const struct way *way;
	char how[16];
	unsigned kib;

	if (settings->pattern_count == MEASURE_PATTERNS ||
	    sscanf(text, "%15[a-z]:%u:%u", how, &kib, &pattern->depth) != 3 ||
	    kib > MEASURE_LENGTH / 1024 || !pattern->depth || pattern->depth > MEASURE_DEPTH)
		return false;
	way = find_way(how);
	if (!way || (kib == 0) != (way->how >= MEASURE_FLUSH))
		return false;
	pattern->how = way->how;
	pattern->random = way->random;
	pattern->length = kib * 1024;
	snprintf(pattern->name, sizeof(pattern->name), kib ? "%s %uK" : "%s", how, kib);
	settings->pattern_count++;
	return true;
}

bool measure_options(struct measure_settings *settings, int argc, char **argv)
{
	int option;
	bool good = true;

	*settings = (struct measure_settings){.name = "device", .seconds = 1, .server_core = 1};
	while (good && (option = getopt(argc, argv, "+n:t:c:p:")) >= 0) {
		if (option == 'n')
			settings->name = optarg;
		else if (option == 't')
			settings->seconds = atof(optarg);
		else if (option == 'c')
			good = sscanf(optarg, "%u,%u", &settings->client_core,
				      &settings->server_core) == 2;
		else
			good = option == 'p' && take_pattern(settings, optarg);
	}
	return good && optind < argc && settings->pattern_count;
}
