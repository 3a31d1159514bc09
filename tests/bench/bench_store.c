/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_store [--json] FILE: what the back ends can do without a guest. FILE is made, used and
 * removed. One line a case on standard output.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/store.h"

#define SIZE	(UINT64_C(256) << 20)
#define DEPTH	32u
#define SECONDS 1u

struct pattern {
	const char *name;
	enum store_op op;
	uint32_t length;
	bool random;
};

static const struct pattern patterns[] = {
	{"write 128K", STORE_WRITE, 128u << 10, false},
	{"read 128K", STORE_READ, 128u << 10, false},
	{"write 4K random", STORE_WRITE, 4u << 10, true},
	{"read 4K random", STORE_READ, 4u << 10, true},
};

struct run;

struct slot {
	struct store_request request; /* first */
	struct run *run;
	struct iovec iov;
};

struct run {
	struct store *store;
	const struct pattern *pattern;
	struct slot slots[DEPTH];
	uint64_t deadline, next, random, ended;
	unsigned under_way;
	int error;
};

static uint64_t next_offset(struct run *run)
{
	uint64_t count = SIZE / run->pattern->length;

	run->random = run->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (run->pattern->random ? (run->random >> 20) % count : run->next++ % count) *
	       run->pattern->length;
}

static void submit(struct slot *slot)
{
	slot->request.offset = next_offset(slot->run);
	slot->run->under_way++;
	store_submit(slot->run->store, &slot->request);
}

static void done(struct store_request *request, int error)
{
	struct slot *slot = (struct slot *)request;
	struct run *run = slot->run;

	run->under_way--;
	run->ended++;
	if (error)
		run->error = error;
	else if (os_now() < run->deadline)
		submit(slot);
}

static int start(struct run *run)
{
	for (size_t i = 0; i < DEPTH; i++) {
		struct slot *slot = &run->slots[i];

		slot->run = run;
		slot->iov.iov_len = run->pattern->length;
		slot->iov.iov_base = aligned_alloc(STORE_BLOCK, run->pattern->length);
		if (!slot->iov.iov_base)
			return -1;
		memset(slot->iov.iov_base, (int)i + 1, run->pattern->length);
		slot->request = (struct store_request){.op = run->pattern->op,
						       .length = run->pattern->length,
						       .iov = &slot->iov,
						       .iov_count = 1,
						       .done = done};
		submit(slot);
	}
	return 0;
}

static int measure(struct store *store, const struct pattern *pattern, const char *name, bool json)
{
	struct run run = {.store = store, .pattern = pattern, .random = 1};
	uint64_t began = os_now();
	double seconds, mib;

	run.deadline = began + SECONDS * NS_PER_S;
	if (start(&run))
		return 1;
	store_kick(store);
	while (run.under_way) {
		if (store->event_fd >= 0)
			os_wait(store->event_fd, POLLIN, os_now() + NS_PER_S);
		store_poll(store);
	}
	seconds = (double)(os_now() - began) / (double)NS_PER_S;
	mib = (double)run.ended * pattern->length / (double)MIB / seconds;
	printf(json ? "{\"store\":\"%s\",\"pattern\":\"%s\",\"iops\":%.0f,\"mib_s\":%.1f}\n"
		    : "%-12s %-16s %9.0f IOPS %9.1f MiB/s\n",
	       name, pattern->name, (double)run.ended / seconds, mib);
	for (size_t i = 0; i < DEPTH; i++)
		free(run.slots[i].iov.iov_base);
	return run.error ? 1 : 0;
}

static int make_store(const char *path, bool file, bool crypt, struct store **store,
		      struct error *error)
{
	static const uint8_t key[STORE_KEY_SIZE] = {1};
	int err;

	if (file)
		err = store_file_create(store,
					open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
					SIZE, error);
	else
		err = store_ram_create(store, SIZE, error);
	return err || !crypt ? err : store_crypt_create(store, *store, key, error);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"ram", "crypt+ram", "file", "crypt+file"};
	bool json = argc == 3 && !strcmp(argv[1], "--json");
	const char *path = argv[argc - 1];
	int failed = 0;

	if (argc != 2 && !json) {
		fprintf(stderr, "usage: bench_store [--json] FILE\n");
		return 2;
	}
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		struct store *store;
		struct error error = {0};

		if (make_store(path, i >= 2, i % 2, &store, &error)) {
			fprintf(stderr, "bench_store: %s: %s\n", path, error.text);
			return 1;
		}
		for (size_t j = 0; j < ARRAY_LEN(patterns); j++)
			failed |= measure(store, &patterns[j], names[i], json);
		store_destroy(store);
	}
	unlink(path);
	return failed;
}
