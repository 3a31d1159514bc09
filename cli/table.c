/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "item.h"
#include "table.h"

#define GAP 2u

static const char *const good[] = {"trusted", "running", "available", "attached", "ready"};
static const char *const bad[] = {"quarantined", "unreachable", "failed", "unattested", "unknown"};

void table_add(struct table *table, const char *const *texts)
{
	if (table->count + table->columns > table->room) {
		size_t room = table->room ? table->room * 2 : 16 * table->columns;
		char **cells = realloc(table->cells, room * sizeof(*cells));

		if (!cells) {
			table->failed = -ENOMEM;
			return;
		}
		table->cells = cells;
		table->room = room;
	}
	for (size_t i = 0; i < table->columns; i++) {
		char text[TABLE_CELL];
		char *cell = strdup(item_plain(text, sizeof(text), texts[i]));

		if (!cell)
			table->failed = -ENOMEM;
		table->cells[table->count++] = cell;
	}
}

void table_pair(struct table *table, const char *name, const char *text)
{
	char title[TABLE_CELL];
	const char *const row[] = {title, text};

	snprintf(title, sizeof(title), "%s:", name);
	table_add(table, row);
}

/* Characters, not bytes: UTF-8 goes on with 10xxxxxx. */
static size_t width(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xC0) != 0x80;
	return count;
}

static bool is_among(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(text, words[i]))
			return true;
	}
	return false;
}

static const char *colour_of(const char *text, FILE *to)
{
	if (isatty(fileno(to)) != 1 || getenv("NO_COLOR"))
		return NULL;
	if (is_among(text, good, ARRAY_LEN(good)))
		return "\033[32m";
	return is_among(text, bad, ARRAY_LEN(bad)) ? "\033[31m" : NULL;
}

static void print_row(const struct table *table, const char *const *row, const size_t *widths,
		      bool is_title, FILE *to)
{
	for (size_t i = 0; i < table->columns; i++) {
		const char *colour =
			i + 1 == table->state && !is_title ? colour_of(row[i], to) : NULL;
		size_t blanks = i + 1 < table->columns ? widths[i] + GAP - width(row[i]) : 0;

		fprintf(to, "%s%s%s%*s", colour ? colour : "", row[i], colour ? "\033[0m" : "",
			(int)blanks, "");
	}
	fputc('\n', to);
}

static void print_all(const struct table *table, FILE *to)
{
	const char *const *cells = (const char *const *)table->cells;
	size_t widths[TABLE_COLUMNS] = {0};

	for (size_t i = 0; i < table->columns && table->titles; i++)
		widths[i] = width(table->titles[i]);
	for (size_t i = 0; i < table->count; i++) {
		size_t *widest = &widths[i % table->columns];

		*widest = (size_t)max_u64(*widest, width(cells[i]));
	}
	if (table->titles)
		print_row(table, table->titles, widths, true, to);
	for (size_t i = 0; i < table->count; i += table->columns)
		print_row(table, cells + i, widths, false, to);
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){0};
}

int table_print(struct table *table, FILE *to)
{
	int failed = table->failed;

	if (!failed)
		print_all(table, to);
	table_free(table);
	return failed;
}
