/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_plane [--json] FOLDER: what the plane's store can do. FOLDER is made if it is not there;
 * the database in it is left behind. One line a case on standard output.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "list.h"
#include "os/clock.h"

#define INSTANCES 10000u
#define BATCH	  100u
#define SECONDS	  2u

static struct error error;
static bool json;

static void report(const char *what, double value, const char *unit)
{
	printf(json ? "{\"case\":\"%s\",\"value\":%.2f,\"unit\":\"%s\"}\n" : "%-44s %10.2f %s\n",
	       what, value, unit);
}

static double ms_since(uint64_t began)
{
	return (double)(os_now() - began) / (double)NS_PER_MS;
}

/* About as an instance is. */
static void describe(unsigned number, unsigned turn, char key[32], char value[1024])
{
	snprintf(key, 32, "instances/web-%05u", number);
	snprintf(value, 1024,
		 "{\"metadata\":{\"name\":\"web-%05u\",\"uid\":\"1b4e28ba-2fa1-11d2-883f-%012u\","
		 "\"created\":\"2026-01-01T00:00:00Z\",\"labels\":{\"role\":\"web\",\"tier\":"
		 "\"%u\"}},\"spec\":{\"image\":\"bookworm\",\"cpus\":2,\"memory\":1073741824,"
		 "\"cards\":[{\"slot\":1,\"kind\":\"volume\",\"volume\":\"web-%05u-data\"},"
		 "{\"slot\":2,\"kind\":\"local\",\"size\":10737418240}]},\"wanted\":\"running\","
		 "\"status\":{\"state\":\"%s\",\"host\":\"host-%02u\",\"since\":"
		 "\"2026-01-01T00:00:01Z\",\"turn\":%u}}",
		 number, number, number % 3, number, number % 50 ? "running" : "failed",
		 number % 100, turn);
}

static int fill(struct store *store)
{
	static char keys[BATCH][32], values[BATCH][1024];
	struct store_change changes[BATCH];
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < INSTANCES; i += BATCH) {
		for (unsigned j = 0; j < BATCH; j++) {
			describe(i + j, 0, keys[j], values[j]);
			changes[j] = (struct store_change){
				.key = keys[j], .value = values[j], .expected = STORE_ANY};
		}
		ret = store_commit(store, changes, BATCH, NULL, &error);
	}
	return ret;
}

/* The page as text too: what a client waits for. */
static int measure_page(struct store *store, const char *what, const struct list_query *query)
{
	double slowest = 0, sum = 0;

	for (unsigned i = 0; i < 20; i++) {
		uint64_t began = os_now();
		json_t *page = NULL;
		int ret = list_page(store, query, &page, &error);
		char *text = ret < 0 ? NULL : json_dumps(page, JSON_COMPACT);
		double took = ms_since(began);

		free(text);
		json_decref(page);
		if (ret < 0)
			return ret;
		sum += took;
		slowest = took > slowest ? took : slowest;
	}
	printf(json ? "{\"case\":\"%s\",\"mean_ms\":%.2f,\"slowest_ms\":%.2f}\n"
		    : "%-44s %10.2f ms (slowest %.2f ms)\n",
	       what, sum / 20, slowest);
	return 0;
}

static int measure_commits(struct store *store, const char *what, unsigned batch)
{
	static char keys[BATCH][32], values[BATCH][1024];
	struct store_change changes[BATCH];
	uint64_t began = os_now(), turns = 0;
	int ret = 0;

	for (; ret == 0 && os_now() - began < SECONDS * NS_PER_S; turns++) {
		for (unsigned j = 0; j < batch; j++) {
			describe((unsigned)(turns * 7919 + j) % INSTANCES, (unsigned)turns, keys[j],
				 values[j]);
			changes[j] = (struct store_change){
				.key = keys[j], .value = values[j], .expected = STORE_ANY};
		}
		ret = store_commit(store, changes, batch, NULL, &error);
	}
	report(what, (double)turns * 1000 / ms_since(began), "a second");
	return ret;
}

static int measure_all(const char *folder)
{
	struct store *store;
	struct list_query first = {.prefix = "instances/"};
	struct list_query far = {.prefix = "instances/", .after = "web-09000"};
	struct list_query filtered = {
		.prefix = "instances/", .filters = {{"status.state", "failed"}}, .filter_count = 1};
	uint64_t began;
	int ret = store_sqlite_open(folder, &store, &error);

	if (ret < 0)
		return ret;
	ret = fill(store);
	store_close(store);
	began = os_now();
	if (ret == 0)
		ret = store_sqlite_open(folder, &store, &error);
	if (ret < 0)
		return ret;
	report("open, 10,000 instances", ms_since(began), "ms");
	ret = measure_page(store, "first page of 100 of 10,000, as text", &first);
	ret = ret < 0 ? ret : measure_page(store, "page of 100 behind 9,000, as text", &far);
	ret = ret < 0 ? ret : measure_page(store, "filtered page (1,000 looked at)", &filtered);
	ret = ret < 0 ? ret : measure_commits(store, "commits of one item", 1);
	ret = ret < 0 ? ret : measure_commits(store, "commits of 100 items", BATCH);
	store_close(store);
	return ret;
}

int main(int argc, char **argv)
{
	json = argc == 3 && !strcmp(argv[1], "--json");
	if (argc != 2 && !json) {
		fprintf(stderr, "usage: bench_plane [--json] FOLDER\n");
		return 2;
	}
	if (measure_all(argv[argc - 1]) == 0)
		return 0;
	fprintf(stderr, "bench_plane: %s\n", error.text);
	return 1;
}
