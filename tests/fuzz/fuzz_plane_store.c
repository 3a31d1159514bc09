/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plane finds on its disk, from arbitrary bytes. The first byte says what they are: 0 a
 * database, 1 places in a good database (two bytes each) and what is there instead, 2 the log
 * beside a good database, 3 the value of a key's item, 4 the file of key-encryption keys.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keys.h"
#include "list.h"
#include "plane_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *good;
static size_t good_size;

static int drop(void *context, const uint8_t key[KEYS_KEY_SIZE])
{
	(void)context;
	(void)key;
	return 0;
}

static void clean(void)
{
	unlink(plane_path("plane.db"));
	unlink(plane_path("plane.db-wal"));
	unlink(plane_path("kek"));
}

static void end(void)
{
	clean();
	free(good);
	plane_folder_remove(NULL);
}

/* All that reads; whatever is refused has a text. */
static void use(struct store *store, struct kek *kek)
{
	struct list_query query = {.prefix = KEYS_PREFIX, .hide = "wrapped"};
	struct error error = {0};
	struct keys *keys;
	json_t *page = NULL;

	if (list_page(store, &query, &page, &error) < 0 && !error.text[0])
		abort();
	json_decref(page);
	if (keys_open(store, kek, &keys, &error) < 0)
		return;
	keys_get(keys, "a", drop, NULL, &error);
	keys_rewrap(keys, &error);
	keys_delete(keys, "a", STORE_ANY, "now", &error);
	keys_close(keys);
}

static void open_and_use(const char *value)
{
	struct error error = {0};
	struct store *store;
	struct store_change change = {.key = "keys/a", .value = value, .expected = STORE_ANY};
	struct kek *kek = NULL;

	if (kek_file_open(plane_path("kek"), &kek, &error) < 0) {
		if (!error.text[0])
			abort();
		return;
	}
	if (store_sqlite_open(plane_folder, &store, &error) == 0) {
		if (value && store_commit(store, &change, 1, NULL, &error) < 0 && !error.text[0])
			abort();
		use(store, kek);
		store_close(store);
	} else if (!error.text[0]) {
		abort();
	}
	kek->calls->close(kek);
}

static void begin(void)
{
	/* Where a flush costs nothing. */
	snprintf(plane_folder, sizeof(plane_folder), "/dev/shm/karuta-plane-XXXXXX");
	if (!mkdtemp(plane_folder) && plane_folder_make(NULL) < 0)
		abort();
	atexit(end);
	open_and_use("{\"metadata\":{},\"kek\":\"0123456789abcdef\",\"wrapped\":\"AAAA\"}");
	good = plane_read("plane.db", &good_size);
	if (!good)
		abort();
}

static void try_places(const uint8_t *data, size_t size)
{
	char *bytes = malloc(good_size);

	if (!bytes)
		abort();
	memcpy(bytes, good, good_size);
	for (; size >= 3; data += 3, size -= 3)
		bytes[(size_t)(data[0] << 8 | data[1]) % good_size] = (char)data[2];
	plane_write("plane.db", bytes, good_size);
	free(bytes);
	open_and_use(NULL);
}

static void try_value(const uint8_t *data, size_t size)
{
	char *value = calloc(1, size + 1);

	if (!value)
		abort();
	if (size)
		memcpy(value, data, size);
	open_and_use(value);
	free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!good)
		begin();
	if (!size)
		return 0;
	clean();
	if (data[0] % 5)
		plane_write("plane.db", good, good_size);
	switch (data[0] % 5) {
	case 0:
		plane_write("plane.db", data + 1, size - 1);
		open_and_use(NULL);
		break;
	case 1:
		try_places(data + 1, size - 1);
		break;
	case 2:
		plane_write("plane.db-wal", data + 1, size - 1);
		open_and_use(NULL);
		break;
	case 3:
		try_value(data + 1, size - 1);
		break;
	default:
		plane_write("kek", data + 1, size - 1);
		open_and_use(NULL);
		break;
	}
	return 0;
}
