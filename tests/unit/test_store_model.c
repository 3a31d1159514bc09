/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every store side by side with a plain array: random requests with a fixed seed, many at a time,
 * down to single sectors that share a block, from memory that is cut anywhere.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "late_store.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "store/store.h"

#define SECTOR	   512u
#define SECTORS	   1024u
#define SIZE	   (SECTORS * SECTOR)
#define SLOTS	   48u
#define LONGEST	   300u /* sectors: more than one part of the crypt store */
#define PIECES	   9u
#define OPERATIONS 6000u

struct run;

struct slot {
	struct store_request request; /* first */
	struct run *run;
	bool busy;
	uint64_t first, count; /* sectors */
	struct iovec iov[PIECES];
	uint8_t data[LONGEST * SECTOR], expected[LONGEST * SECTOR];
};

struct run {
	struct store *store;
	uint64_t random;
	unsigned submitted, ended;
	uint8_t model[SIZE];
	struct slot slots[SLOTS];
};

/* splitmix64 */
static uint64_t draw(struct run *run, uint64_t below)
{
	uint64_t value = run->random += 0x9e3779b97f4a7c15;

	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
	value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
	return (value ^ (value >> 31)) % below;
}

static void ended(struct store_request *request, int error)
{
	struct slot *slot = (struct slot *)request;

	assert_int_equal(error, 0);
	assert_true(slot->busy);
	if (request->op == STORE_READ)
		assert_memory_equal(slot->data, slot->expected, request->length);
	slot->busy = false;
	slot->run->ended++;
}

/* A change and anything else that meet in a sector have no defined outcome: not made. */
static bool is_clear(const struct run *run, const struct slot *slot, bool changes)
{
	for (size_t i = 0; i < SLOTS; i++) {
		const struct slot *other = &run->slots[i];

		if (other->busy && (changes || other->request.op != STORE_READ) &&
		    ranges_overlap(slot->first, slot->count, other->first, other->count))
			return false;
	}
	return true;
}

static void cut(struct run *run, struct slot *slot)
{
	uint64_t left = slot->count * SECTOR;
	uint8_t *at = slot->data;
	size_t i = 0;

	for (; i < PIECES - 1 && left; i++) {
		uint64_t part = draw(run, left + 1);

		slot->iov[i] = (struct iovec){.iov_base = at, .iov_len = part};
		at += part;
		left -= part;
	}
	if (left)
		slot->iov[i++] = (struct iovec){.iov_base = at, .iov_len = left};
	slot->request.iov = slot->iov;
	slot->request.iov_count = i;
}

static enum store_op draw_op(struct run *run)
{
	static const enum store_op mix[] = {STORE_READ,	 STORE_READ,  STORE_READ,    STORE_WRITE,
					    STORE_WRITE, STORE_WRITE, STORE_DISCARD, STORE_FLUSH};

	return mix[draw(run, ARRAY_LEN(mix))];
}

static void apply(struct run *run, struct slot *slot)
{
	uint8_t *model = run->model + slot->first * SECTOR;
	uint64_t length = slot->count * SECTOR;

	memcpy(slot->expected, model, length);
	if (slot->request.op == STORE_DISCARD)
		memset(model, 0, length);
	for (uint64_t i = 0; i < length; i++)
		slot->data[i] = (uint8_t)draw(run, 256);
	if (slot->request.op == STORE_WRITE)
		memcpy(model, slot->data, length);
}

static bool start_one(struct run *run)
{
	struct slot *slot = &run->slots[draw(run, SLOTS)];
	enum store_op op = draw_op(run);

	if (slot->busy)
		return false;
	slot->count = 1 + draw(run, draw(run, 4) ? 24 : LONGEST);
	slot->first = draw(run, SECTORS - slot->count + 1);
	if (op == STORE_FLUSH)
		slot->first = slot->count = 0;
	if (!is_clear(run, slot, op != STORE_READ))
		return false;
	slot->run = run;
	slot->request = (struct store_request){.op = op,
					       .flags = draw(run, 4) ? 0 : STORE_FUA,
					       .offset = slot->first * SECTOR,
					       .length = slot->count * SECTOR,
					       .done = ended};
	cut(run, slot);
	apply(run, slot);
	slot->busy = true;
	run->submitted++;
	store_submit(run->store, &slot->request);
	return true;
}

static void wait_a_little(struct run *run)
{
	store_kick(run->store);
	if (run->store->event_fd >= 0 && run->ended != run->submitted)
		assert_int_not_equal(
			os_wait(run->store->event_fd, POLLIN, os_now() + 20 * NS_PER_S), 0);
	store_poll(run->store);
}

static void compare_with_model(struct store *store, uint64_t seed)
{
	struct run *run = calloc(1, sizeof(*run));
	uint8_t *all = malloc(SIZE);

	assert_non_null(run);
	assert_non_null(all);
	run->store = store;
	run->random = seed;
	while (run->submitted < OPERATIONS)
		if (!start_one(run) || !draw(run, 16))
			wait_a_little(run);
	while (run->ended < run->submitted)
		wait_a_little(run);
	assert_int_equal(store_do(store, STORE_READ, 0, all, SIZE), 0);
	assert_memory_equal(all, run->model, SIZE);
	free(all);
	free(run);
	store_destroy(store);
}

static struct store *encrypted(struct store *under)
{
	uint8_t key[STORE_KEY_SIZE];
	struct store *store = NULL;

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(store_crypt_create(&store, under, key, NULL), 0);
	return store;
}

static struct store *ram(void)
{
	struct store *store = NULL;

	assert_int_equal(store_ram_create(&store, SIZE, NULL), 0);
	return store;
}

static struct store *file_at(char *path)
{
	struct store *store = NULL;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(store_file_create(&store, fd, SIZE, NULL), 0);
	return store;
}

static struct store *file(void)
{
	char path[] = "/var/tmp/karuta-test-XXXXXX";

	return file_at(path);
}

/* On tmpfs. */
static struct store *file_in_memory(void)
{
	char path[] = "/dev/shm/karuta-test-XXXXXX";

	return file_at(path);
}

static void test_ram(void **state)
{
	(void)state;
	compare_with_model(ram(), 1);
}

static void test_file(void **state)
{
	(void)state;
	compare_with_model(file(), 2);
}

static void test_encrypted_ram(void **state)
{
	(void)state;
	compare_with_model(encrypted(ram()), 3);
}

static void test_encrypted_file(void **state)
{
	(void)state;
	compare_with_model(encrypted(file()), 4);
}

static void test_file_in_memory(void **state)
{
	(void)state;
	compare_with_model(file_in_memory(), 10);
	compare_with_model(encrypted(file_in_memory()), 11);
}

static void test_encrypted_out_of_order(void **state)
{
	(void)state;
	for (uint64_t seed = 5; seed < 10; seed++)
		compare_with_model(encrypted(&late_store_create(SIZE)->store), seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ram),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_encrypted_ram),
		cmocka_unit_test(test_encrypted_file),
		cmocka_unit_test(test_file_in_memory),
		cmocka_unit_test(test_encrypted_out_of_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
