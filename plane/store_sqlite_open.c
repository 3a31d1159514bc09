/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "os/fd.h"
#include "store_sqlite.h"

#define APPLICATION_ID 0x6b617275 /* "karu" */
#define VERSION	       1

#define ITEM_SQL                                                                                   \
	"CREATE TABLE item (key TEXT NOT NULL PRIMARY KEY, created INTEGER NOT NULL, "             \
	"revision INTEGER NOT NULL, seal BLOB NOT NULL, value TEXT NOT NULL) STRICT"
#define PLANE_SQL                                                                                  \
	"CREATE TABLE plane (id INTEGER NOT NULL PRIMARY KEY, revision INTEGER NOT NULL) STRICT"

/* All that is in sqlite_schema, by name. */
static const struct {
	const char *name, *sql; /* NULL: SQLite's own */
} schema[] = {
	{"item", ITEM_SQL},
	{"plane", PLANE_SQL},
	{"sqlite_autoindex_item_1", NULL},
};

/* ---- files ---- */

static int check_private(int file, mode_t kind, const char *path, struct error *error)
{
	struct stat status;

	if (fstat(file, &status) < 0)
		return error_set(error, errno, "%s: %s", path, strerror(errno));
	if ((status.st_mode & S_IFMT) != kind)
		return error_set(error, EPERM, "%s: not a %s", path,
				 kind == S_IFDIR ? "folder" : "file");
	if (status.st_uid != geteuid() || status.st_mode & 077)
		return error_set(error, EPERM,
				 "%s: others may use it; chmod %s, and chown to uid %u", path,
				 kind == S_IFDIR ? "0700" : "0600", geteuid());
	return 0;
}

static int sync_parent(int folder)
{
	CLEANUP_CLOSE int parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return parent < 0 || fsync(parent) < 0 ? -errno : 0;
}

/* `path`: the folder without symbolic links, which SQLITE_OPEN_NOFOLLOW refuses. */
static int make_folder(const char *folder, char path[PATH_MAX], int *opened, struct error *error)
{
	bool made = mkdir(folder, 0700) == 0;

	if (!made && errno != EEXIST)
		return error_set(error, errno, "store: make %s: %s", folder, strerror(errno));
	if (!realpath(folder, path))
		return error_set(error, errno, "store: %s: %s", folder, strerror(errno));
	*opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*opened < 0 || (made && sync_parent(*opened) < 0))
		return error_set(error, errno, "store: %s: %s", folder, strerror(errno));
	return check_private(*opened, S_IFDIR, path, error);
}

/* Before SQLite has it: closing a descriptor later would drop its locks (fcntl(2)). */
static int make_file(const char *folder, char path[PATH_MAX], struct error *error)
{
	char place[PATH_MAX];
	CLEANUP_CLOSE int opened = -1, file = -1;
	int ret = make_folder(folder, place, &opened, error);

	if (ret < 0)
		return ret;
	if ((size_t)snprintf(path, PATH_MAX, "%s/" STORE_SQLITE_FILE, place) >= PATH_MAX)
		return error_set(error, ENAMETOOLONG, "store: %s: path too long", folder);
	file = openat(opened, STORE_SQLITE_FILE,
		      O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (file < 0)
		return error_set(error, errno, "%s: %s", path, strerror(errno));
	if (fsync(opened) < 0)
		return error_set(error, errno, "store: %s: %s", place, strerror(errno));
	return check_private(file, S_IFREG, path, error);
}

/* ---- the database ---- */

/* What a file may contain that somebody else has made does nothing here (SQLite, "Defense Against
 * The Dark Arts"); and what is not ours is not written to, not even at the end. */
static int harden(sqlite3 *database)
{
	static const int settings[][2] = {
		{SQLITE_DBCONFIG_DEFENSIVE, 1},	     {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
		{SQLITE_DBCONFIG_DQS_DML, 0},	     {SQLITE_DBCONFIG_DQS_DDL, 0},
		{SQLITE_DBCONFIG_ENABLE_FKEY, 0},    {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1},
	};
	int result = SQLITE_OK;

	for (size_t i = 0; result == SQLITE_OK && i < ARRAY_LEN(settings); i++)
		result = sqlite3_db_config(database, settings[i][0], settings[i][1], NULL);
	sqlite3_limit(database, SQLITE_LIMIT_LENGTH, (int)STORE_VALUE_MAX + 2 * STORE_PAGE);
	sqlite3_limit(database, SQLITE_LIMIT_ATTACHED, 0);
	return result;
}

/* The one number that `sql` gives; -1: none. */
static int ask(sqlite3 *database, const char *sql, int64_t *number)
{
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(database, sql, -1, &statement, NULL);

	*number = -1;
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	if (result == SQLITE_ROW) {
		*number = sqlite3_column_int64(statement, 0);
		result = SQLITE_DONE;
	}
	sqlite3_finalize(statement);
	return result == SQLITE_DONE ? SQLITE_OK : result;
}

static int do_all(sqlite3 *database, const char *const *texts, size_t count)
{
	int result = SQLITE_OK;

	for (size_t i = 0; result == SQLITE_OK && i < count; i++)
		result = sqlite3_exec(database, texts[i], NULL, NULL, NULL);
	return result;
}

/* Before anything is read: the exclusive lock is taken with the first look, and then no memory is
 * shared with other processes for the log. */
static int set_up(sqlite3 *database)
{
	static const char *const texts[] = {
		"PRAGMA locking_mode = EXCLUSIVE",
		"PRAGMA cell_size_check = ON",
		"PRAGMA mmap_size = 0",
		"PRAGMA temp_store = MEMORY",
		"PRAGMA synchronous = FULL",
		"PRAGMA secure_delete = ON",
		"PRAGMA page_size = 4096",
	};

	return do_all(database, texts, ARRAY_LEN(texts));
}

static int create(sqlite3 *database)
{
	char application[48], version[48];
	const char *const texts[] = {
		"BEGIN IMMEDIATE", ITEM_SQL, PLANE_SQL, "INSERT INTO plane VALUES (1, 0)",
		application,	   version,  "COMMIT",
	};

	snprintf(application, sizeof(application), "PRAGMA application_id = %d", APPLICATION_ID);
	snprintf(version, sizeof(version), "PRAGMA user_version = %d", VERSION);
	return do_all(database, texts, ARRAY_LEN(texts));
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static int check_schema(sqlite3 *database, struct error *error)
{
	static const char sql[] = "SELECT name, sql FROM sqlite_schema ORDER BY name";
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(database, sql, -1, &statement, NULL);
	bool same = true;
	size_t count = 0;

	while (result == SQLITE_OK && same && sqlite3_step(statement) == SQLITE_ROW) {
		same = count < ARRAY_LEN(schema) &&
		       same_text((const char *)sqlite3_column_text(statement, 0),
				 schema[count].name) &&
		       same_text((const char *)sqlite3_column_text(statement, 1),
				 schema[count].sql);
		count++;
	}
	if (result == SQLITE_OK)
		result = sqlite3_finalize(statement);
	if (result != SQLITE_OK)
		return sqlite_fail(database, result, "check", error);
	return same && count == ARRAY_LEN(schema)
		       ? 0
		       : error_set(error, EBADMSG,
				   "store: the database has other tables than ours");
}

static int check_pages(sqlite3 *database, struct error *error)
{
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(database, "PRAGMA quick_check(1)", -1, &statement, NULL);
	const char *said;
	int ret;

	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	if (result != SQLITE_ROW)
		ret = sqlite_fail(database, result, "check", error);
	else if (!(said = (const char *)sqlite3_column_text(statement, 0)))
		ret = error_set(error, ENOMEM, "store: check: out of memory");
	else if (strcmp(said, "ok") != 0)
		ret = error_set(error, EBADMSG,
				"store: the database is damaged (%.100s): restore it from a backup",
				said);
	else
		ret = 0;
	sqlite3_finalize(statement);
	return ret;
}

/* 1: nothing is in it yet; 0: it is ours, of this version. */
static int recognize(sqlite3 *database, struct error *error)
{
	int64_t application, version, entries, page_size;
	int result = ask(database, "PRAGMA application_id", &application);

	if (result == SQLITE_OK)
		result = ask(database, "PRAGMA user_version", &version);
	if (result == SQLITE_OK)
		result = ask(database, "SELECT count(*) FROM sqlite_schema", &entries);
	if (result == SQLITE_OK)
		result = ask(database, "PRAGMA page_size", &page_size);
	if (result != SQLITE_OK)
		return sqlite_fail(database, result, "open", error);
	if (application == 0 && version == 0 && entries == 0)
		return 1;
	if (application != APPLICATION_ID)
		return error_set(error, EBADMSG, "store: this is not a plane's database");
	if (version > VERSION)
		return error_set(error, EBADMSG,
				 "store: the database is of a newer karuta (%" PRId64
				 ", this one knows %d): use that one",
				 version, VERSION);
	if (version != VERSION || page_size != STORE_PAGE)
		return error_set(error, EBADMSG, "store: the database was not made by any karuta");
	return 0;
}

static int load_revision(struct sqlite_store *store, struct error *error)
{
	int64_t revision;
	int result = ask(store->database, "SELECT revision FROM plane WHERE id = 1", &revision);

	if (result != SQLITE_OK)
		return sqlite_fail(store->database, result, "open", error);
	if (revision < 0)
		return error_set(error, EBADMSG, "store: the database has no revision");
	store->store.revision = (uint64_t)revision;
	return 0;
}

static int check(struct sqlite_store *store, struct error *error)
{
	int ret = recognize(store->database, error), result = SQLITE_OK;

	if (ret < 0)
		return ret;
	if (ret == 0) {
		ret = check_pages(store->database, error);
		if (ret == 0)
			ret = check_schema(store->database, error);
		if (ret < 0)
			return ret;
	}
	result = sqlite3_exec(store->database, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
	if (result == SQLITE_OK && ret == 1)
		result = create(store->database);
	return result == SQLITE_OK ? load_revision(store, error)
				   : sqlite_fail(store->database, result, "open", error);
}

static int log_grew(void *context, sqlite3 *database, const char *name, int pages)
{
	struct sqlite_store *store = context;

	(void)database;
	(void)name;
	store->wal_pages = pages;
	return SQLITE_OK;
}

/* The log stays when the store is closed, so that a later scrub finds all that ever was in it. */
static int begin(struct sqlite_store *store, struct error *error)
{
	int on = 1, result = SQLITE_OK;

	for (size_t i = 0; result == SQLITE_OK && i < STATEMENTS; i++)
		result = sqlite3_prepare_v3(store->database, sqlite_texts[i], -1,
					    SQLITE_PREPARE_PERSISTENT, &store->statements[i], NULL);
	if (result == SQLITE_OK)
		result = sqlite3_db_config(store->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0,
					   NULL);
	if (result == SQLITE_OK)
		result = sqlite3_file_control(store->database, "main", SQLITE_FCNTL_PERSIST_WAL,
					      &on);
	if (result != SQLITE_OK)
		return sqlite_fail(store->database, result, "open", error);
	sqlite3_wal_hook(store->database, log_grew, store);
	/* Of a deletion that an end came in between of. */
	return sqlite_calls.scrub(&store->store, error);
}

static int open_database(struct sqlite_store *store, const char *path, struct error *error)
{
	int result = sqlite3_open_v2(path, &store->database,
				     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
					     SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
				     NULL);
	int ret;

	if (result == SQLITE_OK)
		result = harden(store->database);
	if (result == SQLITE_OK)
		result = set_up(store->database);
	ret = result == SQLITE_OK ? check(store, error)
				  : sqlite_fail(store->database, result, "open", error);
	return ret == 0 ? begin(store, error) : ret;
}

int store_sqlite_open(const char *folder, struct store **store, struct error *error)
{
	char path[PATH_MAX];
	struct sqlite_store *made;
	int ret = make_file(folder, path, error);

	if (ret < 0)
		return ret;
	made = calloc(1, sizeof(*made));
	if (!made)
		return error_set(error, ENOMEM, "store: out of memory");
	made->store.calls = &sqlite_calls;
	ret = open_database(made, path, error);
	if (ret < 0) {
		store_close(&made->store);
		return ret;
	}
	*store = &made->store;
	return 0;
}
