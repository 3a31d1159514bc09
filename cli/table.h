/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for people: columns as wide as what is in them. On a terminal the states that are good or
 * bad have a colour (unless NO_COLOR is set), elsewhere nothing has. What is shown came from
 * others: control characters are '?'.
 */
#ifndef KARUTA_CLI_TABLE_H
#define KARUTA_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS 10
#define TABLE_CELL    512

struct table {
	const char *const *titles; /* NULL: none */
	size_t columns;
	size_t state; /* the column that has a colour, counted from 1; 0: none */
	char **cells; /* of all rows */
	size_t count, room;
	int failed; /* -ENOMEM, kept until the end */
};

/* Copies table->columns texts. */
void table_add(struct table *table, const char *const *texts);
/* Two columns: "name:" and the text. */
void table_pair(struct table *table, const char *name, const char *text);
/* Prints all and frees it. 0, -ENOMEM. */
int table_print(struct table *table, FILE *to);
void table_free(struct table *table);

#endif
