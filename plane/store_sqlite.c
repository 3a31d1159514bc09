/* SPDX-License-Identifier: Apache-2.0 */
#include "store_sqlite.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* Those that an item is made from; read_item() knows their places. */
#define COLUMNS "key, created, revision, value"

const char *const sqlite_texts[STATEMENTS] = {
	[STATEMENT_GET] = "SELECT " COLUMNS " FROM item WHERE key = ?1",
	[STATEMENT_LIST] = "SELECT " COLUMNS " FROM item WHERE key >= ?1 AND key < ?2 "
			   "ORDER BY key LIMIT ?3",
	[STATEMENT_FIND] = "SELECT created, revision FROM item WHERE key = ?1",
	[STATEMENT_PUT] = "INSERT INTO item (key, created, revision, seal, value) "
			  "VALUES (?1, ?2, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE SET "
			  "revision = ?2, seal = ?3, value = ?4",
	[STATEMENT_DELETE] = "DELETE FROM item WHERE key = ?1",
	[STATEMENT_BUMP] = "UPDATE plane SET revision = ?1 WHERE id = 1",
	[STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
	[STATEMENT_COMMIT] = "COMMIT",
	[STATEMENT_ROLLBACK] = "ROLLBACK",
};

static struct sqlite_store *sqlite_of(struct store *store)
{
	return (struct sqlite_store *)store;
}

static int code_of(int result)
{
	switch (result & 0xff) {
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return EACCES;
	case SQLITE_TOOBIG:
		return E2BIG;
	case SQLITE_IOERR:
		return EIO;
	default:
		/* Our statements are right, and so was what we have written. */
		return EBADMSG;
	}
}

int sqlite_fail(sqlite3 *database, int result, const char *what, struct error *error)
{
	int code = code_of(result);

	return error_set(error, code, "store: %s: %s%s", what,
			 database ? sqlite3_errmsg(database) : sqlite3_errstr(result),
			 code == EBADMSG ? "; the database is damaged: restore it from a backup"
			 : code == EBUSY ? "; another plane has it"
					 : "");
}

/* ---- reading ---- */

/* The prepared one, or a second one if that is in use further up. NULL: as SQLite says. */
static sqlite3_stmt *borrow(const struct sqlite_store *store, enum statement which)
{
	sqlite3_stmt *statement = store->statements[which];

	if (!sqlite3_stmt_busy(statement))
		return statement;
	sqlite3_prepare_v2(store->database, sqlite_texts[which], -1, &statement, NULL);
	return statement;
}

static void give_back(const struct sqlite_store *store, enum statement which,
		      sqlite3_stmt *statement)
{
	if (statement != store->statements[which]) {
		sqlite3_finalize(statement);
		return;
	}
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

static int damaged(const char *what, struct error *error)
{
	return error_set(error, EBADMSG,
			 "store: %s: not what was written; the database is damaged: restore it "
			 "from a backup",
			 what);
}

/* What quick_check does not see. */
static bool is_sound(const struct store *store, const struct store_item *item, int key_length)
{
	return item->key && item->value && store_key_is_valid(item->key, (size_t)key_length) &&
	       item->length <= STORE_VALUE_MAX && item->created >= 1 &&
	       item->created <= item->revision && item->revision <= store->revision;
}

static int read_item(const struct sqlite_store *store, sqlite3_stmt *statement,
		     struct store_item *item, struct error *error)
{
	const char *key = (const char *)sqlite3_column_text(statement, 0);
	int key_length = sqlite3_column_bytes(statement, 0);

	*item = (struct store_item){
		.key = key,
		.created = (uint64_t)sqlite3_column_int64(statement, 1),
		.revision = (uint64_t)sqlite3_column_int64(statement, 2),
		.value = (const char *)sqlite3_column_text(statement, 3),
		.length = (size_t)sqlite3_column_bytes(statement, 3),
	};
	if (sqlite3_errcode(store->database) == SQLITE_NOMEM)
		return error_set(error, ENOMEM, "store: out of memory");
	if (!is_sound(&store->store, item, key_length))
		return damaged(key && store_key_is_valid(key, (size_t)key_length) ? key : "a key",
			       error);
	return 0;
}

static int get(struct store *store, const char *key, store_item_fn fn, void *context,
	       struct error *error)
{
	struct sqlite_store *sqlite = sqlite_of(store);
	sqlite3_stmt *statement = borrow(sqlite, STATEMENT_GET);
	struct store_item item;
	int result, ret;

	if (!statement)
		return sqlite_fail(sqlite->database, SQLITE_NOMEM, "read", error);
	sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
	result = sqlite3_step(statement);
	if (result == SQLITE_DONE)
		ret = -ENOENT;
	else if (result != SQLITE_ROW)
		ret = sqlite_fail(sqlite->database, result, key, error);
	else
		ret = read_item(sqlite, statement, &item, error);
	if (ret == 0)
		ret = fn(context, &item);
	give_back(sqlite, STATEMENT_GET, statement);
	return ret;
}

/* Keys are printable: what comes behind `after` is not less than it with a control byte behind, and
 * what begins with `prefix` is less than that with the byte behind '~'. */
static void make_range(const char *prefix, const char *after, char from[STORE_KEY_MAX + 2],
		       char to[STORE_KEY_MAX + 2])
{
	size_t length = strlen(prefix);

	memcpy(from, prefix, length + 1);
	memcpy(to, prefix, length);
	memcpy(to + length, "\x7f", 2);
	if (!after || strcmp(after, prefix) < 0)
		return;
	length = strlen(after);
	memcpy(from, after, length);
	memcpy(from + length, "\x01", 2);
}

static int list(struct store *store, const char *prefix, const char *after, size_t limit,
		store_item_fn fn, void *context, struct error *error)
{
	struct sqlite_store *sqlite = sqlite_of(store);
	sqlite3_stmt *statement = borrow(sqlite, STATEMENT_LIST);
	char from[STORE_KEY_MAX + 2], to[STORE_KEY_MAX + 2];
	struct store_item item;
	int result, ret = 0;

	if (!statement)
		return sqlite_fail(sqlite->database, SQLITE_NOMEM, "list", error);
	make_range(prefix, after, from, to);
	sqlite3_bind_text(statement, 1, from, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, to, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, (sqlite3_int64)min_u64(limit, INT64_MAX));
	while (ret == 0 && (result = sqlite3_step(statement)) != SQLITE_DONE) {
		if (result != SQLITE_ROW)
			ret = sqlite_fail(sqlite->database, result, prefix, error);
		else
			ret = read_item(sqlite, statement, &item, error);
		if (ret == 0)
			ret = fn(context, &item);
	}
	give_back(sqlite, STATEMENT_LIST, statement);
	return ret;
}

/* ---- changes ---- */

/* One that has no rows. */
static int run(const struct sqlite_store *store, enum statement which)
{
	int result = sqlite3_step(store->statements[which]);

	give_back(store, which, store->statements[which]);
	return result == SQLITE_DONE ? SQLITE_OK : result;
}

/* *created stays 0: it is not there. */
static int find(const struct sqlite_store *store, const char *key, uint64_t *created,
		uint64_t *revision)
{
	sqlite3_stmt *statement = store->statements[STATEMENT_FIND];
	int result;

	*created = *revision = 0;
	sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW) {
		*created = (uint64_t)sqlite3_column_int64(statement, 0);
		*revision = (uint64_t)sqlite3_column_int64(statement, 1);
		result = SQLITE_DONE;
	}
	give_back(store, STATEMENT_FIND, statement);
	return result == SQLITE_DONE ? SQLITE_OK : result;
}

static int put(const struct sqlite_store *store, const struct store_change *change,
	       uint64_t revision)
{
	sqlite3_stmt *statement = store->statements[STATEMENT_PUT];

	sqlite3_bind_text(statement, 1, change->key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)revision);
	sqlite3_bind_zeroblob(statement, 3, change->sealed ? STORE_SEAL : 0);
	sqlite3_bind_text(statement, 4, change->value, -1, SQLITE_STATIC);
	return run(store, STATEMENT_PUT);
}

static int take_away(const struct sqlite_store *store, const char *key)
{
	sqlite3_bind_text(store->statements[STATEMENT_DELETE], 1, key, -1, SQLITE_STATIC);
	return run(store, STATEMENT_DELETE);
}

/* *created: when what is there after it, or was before it, was made; 0: there is and was nothing.
 */
static int apply(const struct sqlite_store *store, const struct store_change *change,
		 uint64_t revision, uint64_t *created, struct error *error)
{
	uint64_t was;
	int result = find(store, change->key, created, &was);

	if (result == SQLITE_OK && change->expected != STORE_ANY && change->expected != was)
		return error_set(error, ESTALE, "%s: %s", change->key,
				 !was		    ? "is not there any more"
				 : change->expected ? "was changed meanwhile"
						    : "is there already");
	if (result == SQLITE_OK && change->value)
		result = put(store, change, revision);
	else if (result == SQLITE_OK && was)
		result = take_away(store, change->key);
	if (result != SQLITE_OK)
		return sqlite_fail(store->database, result, change->key, error);
	if (change->value && !*created)
		*created = revision;
	return 0;
}

static int apply_all(const struct sqlite_store *store, const struct store_change *changes,
		     size_t count, uint64_t revision, uint64_t *created, struct error *error)
{
	int result, ret = 0;

	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = apply(store, &changes[i], revision, &created[i], error);
	if (ret < 0)
		return ret;
	sqlite3_bind_int64(store->statements[STATEMENT_BUMP], 1, (sqlite3_int64)revision);
	result = run(store, STATEMENT_BUMP);
	return result == SQLITE_OK ? 0 : sqlite_fail(store->database, result, "commit", error);
}

static void roll_back(struct sqlite_store *store)
{
	/* SQLite has done it itself after some errors. */
	if (!sqlite3_get_autocommit(store->database) && run(store, STATEMENT_ROLLBACK) != SQLITE_OK)
		store->unsure = true;
}

/* The frame that says "committed" may be on the disk when the flush of it fails. */
static int finish(struct sqlite_store *store, struct error *error)
{
	int result = run(store, STATEMENT_COMMIT);

	if (result == SQLITE_OK)
		return 0;
	store->unsure |= (result & 0xff) == SQLITE_IOERR;
	return sqlite_fail(store->database, result, "commit", error);
}

/* What a flush has failed to write is not written by the next one either (fsync(2)): the log must
 * not be begun anew after that. */
static void shorten_log(struct sqlite_store *store)
{
	if (store->wal_pages < STORE_WAL_PAGES)
		return;
	if (sqlite3_wal_checkpoint_v2(store->database, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
				      NULL) != SQLITE_OK)
		store->unsure = true;
	store->wal_pages = 0;
}

static void tell_all(struct sqlite_store *store, const struct store_change *changes, size_t count,
		     const uint64_t *created)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = changes[i].value;

		if (created[i])
			store_tell(&store->store,
				   &(struct store_item){.key = changes[i].key,
							.value = value,
							.length = value ? strlen(value) : 0,
							.created = created[i],
							.revision = store->store.revision});
	}
}

static int check_sure(const struct sqlite_store *store, struct error *error)
{
	return store->unsure ? error_set(error, EIO,
					 "store: the disk failed before; start the plane again")
			     : 0;
}

static int commit(struct store *store, const struct store_change *changes, size_t count,
		  uint64_t *revision, struct error *error)
{
	struct sqlite_store *sqlite = sqlite_of(store);
	CLEANUP_FREE uint64_t *created = calloc(count, sizeof(*created));
	uint64_t next = store->revision + 1;
	int ret = check_sure(sqlite, error), result;

	if (ret < 0)
		return ret;
	if (!created || next > INT64_MAX)
		return error_set(error, ENOMEM, "store: commit: out of memory or numbers");
	result = run(sqlite, STATEMENT_BEGIN);
	if (result != SQLITE_OK)
		return sqlite_fail(sqlite->database, result, "commit", error);
	ret = apply_all(sqlite, changes, count, next, created, error);
	if (ret == 0)
		ret = finish(sqlite, error);
	if (ret < 0) {
		roll_back(sqlite);
		return ret;
	}
	store->revision = next;
	if (revision)
		*revision = next;
	shorten_log(sqlite);
	tell_all(sqlite, changes, count, created);
	return 0;
}

/* ---- leaving nothing behind ---- */

static int zero(sqlite3_file *file, sqlite3_int64 from, sqlite3_int64 to)
{
	static const char zeros[64 * 1024];
	int result = SQLITE_OK;

	while (result == SQLITE_OK && from < to) {
		int length = (int)min_u64((uint64_t)(to - from), sizeof(zeros));

		result = file->pMethods->xWrite(file, zeros, length, from);
		from += length;
	}
	return result == SQLITE_OK ? file->pMethods->xSync(file, SQLITE_SYNC_FULL) : result;
}

/* The log, all of which is in the database by now. Its head goes first (file format, 4.1: 32
 * bytes): frames without one are nothing, but some of the frames with one would be an earlier
 * state, should the power fail in between. */
static int zero_log(sqlite3 *database)
{
	sqlite3_file *log = NULL;
	sqlite3_int64 size = 0;
	int result =
		sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log);

	if (result != SQLITE_OK || !log || !log->pMethods)
		return result;
	result = log->pMethods->xFileSize(log, &size);
	if (result == SQLITE_OK)
		result = zero(log, 0, (sqlite3_int64)min_u64((uint64_t)size, 32));
	return result == SQLITE_OK ? zero(log, 32, size) : result;
}

/* 1. All of the log goes to the database, in which pages that are free now are zeros.
 * 2. The log's bytes are overwritten where they are.
 * 3. Only then it is cut off, and its blocks go back to the file system. */
static int scrub(struct store *store, struct error *error)
{
	struct sqlite_store *sqlite = sqlite_of(store);
	int pages = 0, done = 0, ret = check_sure(sqlite, error), result;

	if (ret < 0)
		return ret;
	result = sqlite3_wal_checkpoint_v2(sqlite->database, NULL, SQLITE_CHECKPOINT_FULL, &pages,
					   &done);
	if (result == SQLITE_OK && pages != done)
		result = SQLITE_BUSY;
	if (result == SQLITE_OK)
		result = zero_log(sqlite->database);
	if (result == SQLITE_OK)
		result = sqlite3_wal_checkpoint_v2(sqlite->database, NULL,
						   SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite->wal_pages = 0;
	if (result == SQLITE_OK)
		return 0;
	sqlite->unsure |= (result & 0xff) == SQLITE_IOERR;
	return sqlite_fail(NULL, result, "overwrite what was deleted", error);
}

static void close_store(struct store *store)
{
	struct sqlite_store *sqlite = sqlite_of(store);

	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(sqlite->statements[i]);
	sqlite3_close(sqlite->database);
	free(sqlite);
}

const struct store_calls sqlite_calls = {
	.get = get,
	.list = list,
	.commit = commit,
	.scrub = scrub,
	.close = close_store,
};
