/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of volumes: only wrapped in the store, gone for good when they are deleted, and the same
 * whatever they are wrapped under. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/base.h"
#include "keys.h"
#include "os/fd.h"
#include "plane_folder.h"
#include "trust/digest.h"

#define NOW "2026-11-26T21:00:00Z"

static struct store *store;
static struct kek *kek;
static struct keys *keys;
static struct error error;
static json_t *metadata;

static void open_all(void)
{
	if (store_sqlite_open(plane_folder, &store, &error) < 0 ||
	    kek_file_open(plane_path("kek"), &kek, &error) < 0 ||
	    keys_open(store, kek, &keys, &error) < 0)
		fail_msg("%s", error.text);
}

static void close_all(void)
{
	keys_close(keys);
	if (kek)
		kek->calls->close(kek);
	store_close(store);
	keys = NULL;
	kek = NULL;
	store = NULL;
}

static int set_up(void **state)
{
	int ret = plane_folder_make(state);

	metadata = json_pack("{s:s}", "name", "k");
	open_all();
	return ret;
}

static int tear_down(void **state)
{
	close_all();
	json_decref(metadata);
	return plane_folder_remove(state);
}

static void make(const char *id)
{
	if (keys_make(keys, id, metadata, NULL, &error) < 0)
		fail_msg("%s", error.text);
}

static int copy(void *context, const uint8_t key[KEYS_KEY_SIZE])
{
	memcpy(context, key, KEYS_KEY_SIZE);
	return 0;
}

static void get(const char *id, uint8_t key[KEYS_KEY_SIZE])
{
	if (keys_get(keys, id, copy, key, &error) < 0)
		fail_msg("%s", error.text);
}

static int copy_json(void *context, const struct store_item *item)
{
	*(json_t **)context = json_loads(item->value, 0, NULL);
	return 0;
}

/* The item, the caller's. */
static json_t *item_of(const char *id)
{
	char path[64];
	json_t *json = NULL;

	snprintf(path, sizeof(path), "keys/%s", id);
	assert_int_equal(store_get(store, path, copy_json, &json, &error), 0);
	assert_non_null(json);
	return json;
}

static void put_item(const char *id, json_t *json)
{
	char path[64];
	CLEANUP_FREE char *value = json_dumps(json, 0);
	struct store_change change = {.key = path, .value = value, .expected = STORE_ANY};

	change.sealed = true;
	snprintf(path, sizeof(path), "keys/%s", id);
	assert_int_equal(store_commit(store, &change, 1, NULL, &error), 0);
	json_decref(json);
}

static const char *text_of(const json_t *item, const char *member)
{
	return json_string_value(json_object_get(item, member));
}

/* ---- wrapping ---- */

/* The key-encryption key of that id, as the file has it. */
static void read_kek(const char *id, uint8_t key[32])
{
	size_t length;
	CLEANUP_FREE char *file = plane_read("kek", &length);
	char begin[32];
	const char *found;

	snprintf(begin, sizeof(begin), "key %s ", id);
	assert_non_null(file);
	found = strstr(file, begin);
	assert_non_null(found);
	assert_true(trust_unhex(found + strlen(begin), 64, key));
}

/* RFC 3394, 2.2.2, with A as RFC 5649, 3 has it, on one block at a time. */
static void unwrap_by_the_book(const uint8_t key[32], const uint8_t *wrapped, size_t blocks,
			       uint8_t *plain)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	uint8_t in[16], out[16];
	int length;

	assert_int_equal(EVP_DecryptInit_ex(context, EVP_aes_256_ecb(), NULL, key, NULL), 1);
	EVP_CIPHER_CTX_set_padding(context, 0);
	memcpy(in, wrapped, 8);
	memcpy(plain, wrapped + 8, 8 * blocks);
	for (size_t j = 6; j-- > 0;) {
		for (size_t i = blocks; i >= 1; i--) {
			in[7] = (uint8_t)(in[7] ^ (blocks * j + i));
			if (blocks * j + i > 255)
				in[6] = (uint8_t)(in[6] ^ ((blocks * j + i) >> 8));
			memcpy(in + 8, plain + 8 * (i - 1), 8);
			assert_int_equal(EVP_DecryptUpdate(context, out, &length, in, 16), 1);
			memcpy(in, out, 8);
			memcpy(plain + 8 * (i - 1), out + 8, 8);
		}
	}
	/* AIV: A65959A6 and the length in bytes. */
	assert_memory_equal(in, "\xa6\x59\x59\xa6\0\0\0\x40", 8);
	EVP_CIPHER_CTX_free(context);
}

static void keys_are_wrapped_as_rfc_5649_says(void **state)
{
	uint8_t key[KEYS_KEY_SIZE], by_the_book[KEYS_KEY_SIZE], wrapping[32], wrapped[128];
	json_t *item;
	const char *text;

	(void)state;
	make("a");
	get("a", key);
	item = item_of("a");
	text = text_of(item, "wrapped");
	assert_non_null(text);
	assert_int_equal(strlen(text), 96);
	assert_int_equal(EVP_DecodeBlock(wrapped, (const uint8_t *)text, 96), 72);
	read_kek(text_of(item, "kek"), wrapping);
	unwrap_by_the_book(wrapping, wrapped, 8, by_the_book);
	assert_memory_equal(key, by_the_book, sizeof(key));
	json_decref(item);
}

static void a_key_is_the_same_after_a_start_and_never_plain_on_the_disk(void **state)
{
	uint8_t a[KEYS_KEY_SIZE], b[KEYS_KEY_SIZE], again[KEYS_KEY_SIZE];
	char digits[2 * KEYS_KEY_SIZE + 1];
	uint64_t revision = 0;

	(void)state;
	make("a");
	assert_int_equal(keys_make(keys, "b", metadata, &revision, &error), 0);
	assert_int_equal(revision, 2);
	assert_int_equal(keys_make(keys, "b", metadata, &revision, &error), -EEXIST);
	assert_int_equal(keys_get(keys, "c", copy, a, &error), -ENOENT);
	get("a", a);
	get("b", b);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, a + sizeof(a) / 2, sizeof(a) / 2);
	trust_hex(a, sizeof(a), digits);
	for (unsigned i = 0; i < 2; i++) {
		assert_null(plane_search(a, sizeof(a)));
		assert_null(plane_search(digits, 32));
		close_all();
	}
	open_all();
	get("a", again);
	assert_memory_equal(a, again, sizeof(a));
}

static void a_prepared_key_is_committed_with_what_it_is_for(void **state)
{
	CLEANUP_FREE char *value = NULL;
	struct store_change changes[] = {
		{.key = "keys/v", .sealed = true},
		{.key = "volumes/v", .value = "{}"},
	};
	uint8_t key[KEYS_KEY_SIZE];

	(void)state;
	assert_int_equal(keys_prepare(keys, metadata, &value, &error), 0);
	changes[0].value = value;
	assert_int_equal(store_commit(store, changes, 2, NULL, &error), 0);
	get("v", key);
}

static void a_copy_is_the_same_key_and_outlives_the_first(void **state)
{
	uint8_t first[KEYS_KEY_SIZE], second[KEYS_KEY_SIZE];
	CLEANUP_FREE char *value = NULL;
	struct store_change change = {.key = "keys/copy", .sealed = true};

	(void)state;
	make("first");
	get("first", first);
	assert_int_equal(keys_copy(keys, "first", metadata, &value, &error), 0);
	change.value = value;
	assert_int_equal(store_commit(store, &change, 1, NULL, &error), 0);
	assert_int_equal(keys_delete(keys, "first", STORE_ANY, NOW, &error), 0);
	get("copy", second);
	assert_memory_equal(first, second, sizeof(first));
	assert_int_equal(keys_copy(keys, "first", metadata, &value, &error), -EKEYREVOKED);
	assert_int_equal(keys_copy(keys, "none", metadata, &value, &error), -ENOENT);
}

static void what_is_no_wrapped_key_is_refused(void **state)
{
	static const char *const texts[] = {"",
					    "=",
					    "!!!!",
					    "AAAA",
					    "QUJDREVGR0hJSktMTU5PUA",
					    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="};
	uint8_t key[KEYS_KEY_SIZE];
	char *text;

	(void)state;
	make("a");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *item = item_of("a");
		int ret;

		json_object_set_new(item, "wrapped", json_string(texts[i]));
		put_item("b", item);
		ret = keys_get(keys, "b", copy, key, &error);
		if (ret != -EBADMSG && ret != -EKEYREJECTED)
			fail_msg("%s: %d", texts[i], ret);
		assert_non_null(strstr(error.text, "keys/b"));
	}
	for (size_t i = 0; i < 96; i++) {
		json_t *item = item_of("a");
		int ret;

		text = strdup(text_of(item, "wrapped"));
		text[i] = text[i] == 'A' ? 'B' : 'A';
		json_object_set_new(item, "wrapped", json_string(text));
		free(text);
		put_item("b", item);
		ret = keys_get(keys, "b", copy, key, &error);
		assert_true(ret == -EBADMSG || ret == -EKEYREJECTED);
	}
	{
		json_t *item = item_of("a");

		json_object_set_new(item, "kek", json_string("0123456789abcdef"));
		put_item("b", item);
		assert_int_equal(keys_get(keys, "b", copy, key, &error), -ENOKEY);
		assert_non_null(strstr(error.text, "0123456789abcdef is not in kek"));
	}
	get("a", key);
}

/* ---- deletion ---- */

static void a_deleted_key_is_gone_and_known_to_be(void **state)
{
	uint8_t key[KEYS_KEY_SIZE];
	json_t *item;

	(void)state;
	make("a");
	assert_int_equal(keys_delete(keys, "none", STORE_ANY, NOW, &error), -ENOENT);
	assert_int_equal(keys_delete(keys, "a", 7, NOW, &error), -ESTALE);
	get("a", key);
	assert_int_equal(keys_delete(keys, "a", 1, NOW, &error), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(keys_get(keys, "a", copy, key, &error), -EKEYREVOKED);
		assert_string_equal(error.text, "keys/a: was deleted");
		item = item_of("a");
		assert_string_equal(text_of(item, "deleted_at"), NOW);
		assert_null(json_object_get(item, "wrapped"));
		assert_string_equal(text_of(json_object_get(item, "metadata"), "name"), "k");
		json_decref(item);
		assert_int_equal(keys_delete(keys, "a", 1, "later", &error), 0);
	}
	assert_int_equal(keys_make(keys, "a", metadata, NULL, &error), -EEXIST);
}

#define MANY 120u

static void name_of(unsigned i, char id[16])
{
	snprintf(id, 16, "k%u", i * 37 % MANY);
}

/* Among other items that grow and shrink, so that pages are split, filled and emptied. */
static void shuffle(unsigned i)
{
	static char value[3000];
	char key[32];
	struct store_change change = {.key = key, .value = value, .expected = STORE_ANY};

	memset(value, '1', sizeof(value));
	value[(i * 7919) % 2900 + 10] = '\0';
	snprintf(key, sizeof(key), "instances/%u", i % 40);
	if (i % 5 == 4)
		change.value = NULL;
	assert_int_equal(store_commit(store, &change, 1, NULL, &error), 0);
}

static void of_a_deleted_key_nothing_is_left_in_any_file(void **state)
{
	static char wrapped[MANY][128];
	char id[16];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		json_t *item;

		name_of(i, id);
		make(id);
		shuffle(i);
		item = item_of(id);
		snprintf(wrapped[i], sizeof(wrapped[i]), "%s", text_of(item, "wrapped"));
		json_decref(item);
		assert_non_null(plane_search(wrapped[i], 96));
	}
	for (unsigned i = 0; i < MANY; i++) {
		name_of(i, id);
		shuffle(i + 3);
		if (i % 3) {
			assert_int_equal(keys_delete(keys, id, STORE_ANY, NOW, &error), 0);
			/* Its first third, its last, and all of it. */
			assert_null(plane_search(wrapped[i], 32));
			assert_null(plane_search(wrapped[i] + 64, 32));
			assert_null(plane_search(wrapped[i], 96));
		} else {
			assert_non_null(plane_search(wrapped[i], 96));
		}
	}
}

static void a_deletion_that_was_cut_short_is_done_at_the_next_start(void **state)
{
	struct store_change change = {.key = "keys/a", .expected = STORE_ANY};
	char wrapped[128];
	json_t *item;
	pid_t child;
	int status;

	(void)state;
	make("a");
	item = item_of("a");
	snprintf(wrapped, sizeof(wrapped), "%s", text_of(item, "wrapped"));
	json_decref(item);
	close_all();
	child = fork();
	if (child == 0) {
		open_all();
		_exit(store_commit(store, &change, 1, NULL, &error) < 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_non_null(plane_search(wrapped, 96));
	open_all();
	assert_null(plane_search(wrapped, 96));
}

/* ---- rotation ---- */

static unsigned rewrap_all(void)
{
	unsigned calls = 0;
	int ret;

	do {
		ret = keys_rewrap(keys, &error);
		calls++;
	} while (ret == 1);
	if (ret < 0)
		fail_msg("%s", error.text);
	return calls;
}

static void a_rotation_rewraps_in_batches_and_changes_no_key(void **state)
{
	static uint8_t before[2 * KEYS_BATCH + 30][KEYS_KEY_SIZE];
	uint8_t key[KEYS_KEY_SIZE], old[32];
	char old_id[17], digits[65], id[16];
	unsigned most = (unsigned)ARRAY_LEN(before);

	(void)state;
	for (unsigned i = 0; i < most; i++) {
		snprintf(id, sizeof(id), "k%u", i);
		make(id);
		get(id, before[i]);
	}
	assert_int_equal(keys_delete(keys, "k7", STORE_ANY, NOW, &error), 0);
	snprintf(old_id, sizeof(old_id), "%s", kek->calls->current(kek));
	read_kek(old_id, old);
	trust_hex(old, sizeof(old), digits);
	assert_int_equal(keys_rotate(keys, &error), 0);
	assert_string_not_equal(kek->calls->current(kek), old_id);
	assert_int_equal(keys_rewrap(keys, &error), 1);
	/* One half is under the old one, and all can be got, also after a start. */
	assert_non_null(plane_search(digits, 64));
	close_all();
	open_all();
	for (unsigned i = 0; i < most; i += 9) {
		snprintf(id, sizeof(id), "k%u", i);
		if (i == 7)
			continue;
		get(id, key);
		assert_memory_equal(key, before[i], sizeof(key));
	}
	assert_int_equal(rewrap_all(), 3);
	assert_null(plane_search(digits, 64));
	assert_null(plane_search(old_id, 16));
	for (unsigned i = 0; i < most; i++) {
		snprintf(id, sizeof(id), "k%u", i);
		if (i == 7)
			continue;
		get(id, key);
		assert_memory_equal(key, before[i], sizeof(key));
	}
	assert_int_equal(keys_get(keys, "k7", copy, key, &error), -EKEYREVOKED);
}

static void an_old_kek_stays_as_long_as_one_key_may_need_it(void **state)
{
	uint8_t key[KEYS_KEY_SIZE];
	char old_id[17];

	(void)state;
	make("a");
	make("b");
	make("c");
	snprintf(old_id, sizeof(old_id), "%s", kek->calls->current(kek));
	{
		json_t *item = item_of("b");

		json_object_set_new(item, "wrapped", json_string("AAAA"));
		put_item("b", item);
	}
	assert_int_equal(keys_rotate(keys, &error), 0);
	assert_int_equal(keys_rewrap(keys, &error), -EKEYREJECTED);
	assert_non_null(strstr(error.text, "keys/b"));
	for (unsigned i = 0; i < 2; i++) {
		json_t *item = item_of(i ? "c" : "a");

		assert_string_equal(text_of(item, "kek"), kek->calls->current(kek));
		json_decref(item);
	}
	assert_non_null(plane_search(old_id, 16));
	assert_int_equal(keys_delete(keys, "b", STORE_ANY, NOW, &error), 0);
	assert_int_equal(keys_rewrap(keys, &error), 0);
	assert_null(plane_search(old_id, 16));
	get("a", key);
}

static void there_are_so_many_keks_at_most(void **state)
{
	(void)state;
	for (unsigned i = 1; i < KEK_FILE_MAX; i++)
		assert_int_equal(keys_rotate(keys, &error), 0);
	assert_int_equal(keys_rotate(keys, &error), -E2BIG);
	close_all();
	open_all();
	assert_int_equal(keys_rewrap(keys, &error), 0);
	assert_int_equal(keys_rotate(keys, &error), 0);
}

/* ---- the file ---- */

static int open_kek(void)
{
	struct kek *other = NULL;
	int ret = kek_file_open(plane_path("kek"), &other, &error);

	if (ret == 0)
		other->calls->close(other);
	return ret;
}

static void a_kek_file_that_others_may_use_is_refused(void **state)
{
	struct stat status;

	(void)state;
	assert_int_equal(stat(plane_path("kek"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	chmod(plane_path("kek"), 0640);
	assert_int_equal(open_kek(), -EPERM);
	assert_non_null(strstr(error.text, "chmod 0600"));
	chmod(plane_path("kek"), 0600);
	assert_int_equal(link(plane_path("kek"), plane_path("second")), 0);
	assert_int_equal(open_kek(), -EPERM);
	unlink(plane_path("kek"));
	assert_int_equal(symlink("second", plane_path("kek")), 0);
	assert_int_equal(open_kek(), -ELOOP);
	unlink(plane_path("kek"));
	rename(plane_path("second"), plane_path("kek"));
	assert_int_equal(open_kek(), 0);
	chmod(plane_folder, 0770);
	assert_int_equal(open_kek(), -EPERM);
	chmod(plane_folder, 0700);
	unlink(plane_path("kek"));
	assert_int_equal(mkfifo(plane_path("kek"), 0600), 0);
	assert_int_equal(open_kek(), -EPERM);
}

static void any_byte_of_a_kek_file_that_was_changed_is_found(void **state)
{
	size_t length;
	CLEANUP_FREE char *whole = NULL, *broken = NULL;

	(void)state;
	assert_int_equal(keys_rotate(keys, &error), 0);
	whole = plane_read("kek", &length);
	assert_non_null(whole);
	broken = malloc(length + 1);
	assert_non_null(broken);
	for (size_t i = 0; i < length; i++) {
		memcpy(broken, whole, length);
		broken[i] ^= (char)(1 << i % 7);
		plane_write("kek", broken, length);
		assert_int_equal(open_kek(), -EBADMSG);
		plane_write("kek", whole, i);
		assert_int_equal(open_kek(), -EBADMSG);
	}
	memcpy(broken, whole, length);
	broken[length] = '\n';
	plane_write("kek", broken, length + 1);
	assert_int_equal(open_kek(), -EBADMSG);
	plane_write("kek", whole, length);
	assert_int_equal(open_kek(), 0);
}

static void what_a_change_that_was_cut_short_left_is_removed(void **state)
{
	(void)state;
	plane_write("kek.new", "half of a key", 13);
	assert_int_equal(open_kek(), 0);
	assert_int_equal(access(plane_path("kek.new"), F_OK), -1);
	plane_write("kek.new", "half of a key", 13);
	assert_int_equal(keys_rotate(keys, &error), 0);
	assert_int_equal(access(plane_path("kek.new"), F_OK), -1);
}

/* ---- an end at any moment ---- */

#define ROUNDS	20u
#define LASTING 3u

static void give_up(void)
{
	fprintf(stderr, "%s\n", error.text);
	_exit(1);
}

/* Keys come, go and are rewrapped; the number of each that was made is told, after the one before
 * was deleted. */
static void work_until_killed(int tell, unsigned number)
{
	for (open_all();; number++) {
		char id[16], last[16];
		int ret;

		snprintf(id, sizeof(id), "n%u", number);
		snprintf(last, sizeof(last), "n%u", number - 1);
		if (keys_make(keys, id, metadata, NULL, &error) < 0 ||
		    keys_rotate(keys, &error) < 0)
			give_up();
		do
			ret = keys_rewrap(keys, &error);
		while (ret == 1);
		if (ret < 0)
			give_up();
		ret = number > 1 ? keys_delete(keys, last, STORE_ANY, NOW, &error) : 0;
		if (ret < 0 && ret != -ENOENT)
			give_up();
		if (write(tell, &number, sizeof(number)) != sizeof(number))
			give_up();
	}
}

static unsigned kill_one(unsigned number, unsigned random)
{
	int pair[2], status;
	unsigned next;
	pid_t child;

	assert_int_equal(os_pipe(pair), 0);
	child = fork();
	if (child == 0)
		work_until_killed(pair[1], number + 1);
	close(pair[1]);
	nanosleep(&(struct timespec){.tv_nsec = 20000000 + (long)random % 130000000}, NULL);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	while (read(pair[0], &next, sizeof(next)) == sizeof(next))
		number = next;
	close(pair[0]);
	return number;
}

static void no_end_at_any_moment_loses_a_key_or_brings_one_back(void **state)
{
	uint8_t before[LASTING][KEYS_KEY_SIZE], key[KEYS_KEY_SIZE];
	static const char *const lasting[LASTING] = {"a", "m", "z"};
	unsigned number = 0, random = 1, done = 0;

	(void)state;
	for (unsigned i = 0; i < LASTING; i++) {
		make(lasting[i]);
		get(lasting[i], before[i]);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned told;

		close_all();
		random = random * 1103515245 + 12345;
		told = kill_one(number, random >> 4);
		done += told - number;
		open_all();
		for (unsigned i = 0; i < LASTING; i++) {
			get(lasting[i], key);
			assert_memory_equal(key, before[i], sizeof(key));
		}
		for (unsigned i = number + 1; i < told; i++) {
			char id[16];

			snprintf(id, sizeof(id), "n%u", i);
			assert_int_equal(keys_get(keys, id, copy, key, &error), -EKEYREVOKED);
		}
		/* The next round begins with a number that is not there. */
		number = told + 1;
		rewrap_all();
	}
	assert_true(done > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(keys_are_wrapped_as_rfc_5649_says),
		TEST(a_key_is_the_same_after_a_start_and_never_plain_on_the_disk),
		TEST(a_prepared_key_is_committed_with_what_it_is_for),
		TEST(a_copy_is_the_same_key_and_outlives_the_first),
		TEST(what_is_no_wrapped_key_is_refused),
		TEST(a_deleted_key_is_gone_and_known_to_be),
		TEST(of_a_deleted_key_nothing_is_left_in_any_file),
		TEST(a_deletion_that_was_cut_short_is_done_at_the_next_start),
		TEST(a_rotation_rewraps_in_batches_and_changes_no_key),
		TEST(an_old_kek_stays_as_long_as_one_key_may_need_it),
		TEST(there_are_so_many_keks_at_most),
		TEST(a_kek_file_that_others_may_use_is_refused),
		TEST(any_byte_of_a_kek_file_that_was_changed_is_found),
		TEST(what_a_change_that_was_cut_short_left_is_removed),
		TEST(no_end_at_any_moment_loses_a_key_or_brings_one_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
