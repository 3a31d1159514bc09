/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two halves of the store that SQLite keeps: store_sqlite_open.c makes, checks and opens the
 * database, store_sqlite.c reads and changes it.
 *
 * A sealed value lies behind so many zeros that it is never in the part of its row that SQLite
 * keeps among others (file format, 1.6: of a row that does not fit at most U - 35 bytes stay in the
 * leaf). What is in a leaf is copied when the tree is balanced, and the copies that stay in unused
 * parts of pages are what secure_delete does not know of. Pages that a row has to itself are never
 * copied, and are zeroed when they become free.
 */
#ifndef KARUTA_PLANE_STORE_SQLITE_H
#define KARUTA_PLANE_STORE_SQLITE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "store.h"

#define STORE_PAGE	4096
#define STORE_SEAL	STORE_PAGE /* zeros before a sealed value */
#define STORE_WAL_PAGES 1000	   /* so long the log may become before it goes to the database */

enum statement {
	STATEMENT_GET,
	STATEMENT_LIST,
	STATEMENT_FIND,
	STATEMENT_PUT,
	STATEMENT_DELETE,
	STATEMENT_BUMP,
	STATEMENT_BEGIN,
	STATEMENT_COMMIT,
	STATEMENT_ROLLBACK,
	STATEMENTS
};

struct sqlite_store {
	struct store store; /* first */
	sqlite3 *database;
	sqlite3_stmt *statements[STATEMENTS];
	int wal_pages;
	bool unsure; /* what the disk holds is not known: no more changes */
};

extern const char *const sqlite_texts[STATEMENTS];
extern const struct store_calls sqlite_calls;

/* What SQLite has said last, as an error: "store: what: why". */
int sqlite_fail(sqlite3 *database, int result, const char *what, struct error *error);

#endif
