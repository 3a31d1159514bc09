/* SPDX-License-Identifier: Apache-2.0 */
/* What all verbs of `karuta` share: how a verb is described, how it is called, what it returns. */
#ifndef KARUTA_CLI_CLI_H
#define KARUTA_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define CLI_MAX_OPERANDS 2
#define CLI_MAX_VALUES	 128

/* What a verb returns when the command line is wrong: exit status 2. */
#define CLI_USAGE 1

struct option_spec {
	const char *name;
	const char *argument; /* NULL: a flag */
	const char *help;
};

struct invocation;

struct verb {
	const char *noun, *name;
	const char *operands; /* for the help text, one word an operand */
	size_t operand_count;
	const char *summary;
	const struct option_spec *options;
	size_t option_count;
	const char *notes; /* the end of the help text; may be NULL */
	/* 0; -errno with `error` set: exit status 1; CLI_USAGE with `error` set: 2. */
	int (*run)(const struct invocation *call, struct error *error);
};

/* A verb's command line. All strings are the command line's own. */
struct invocation {
	const struct verb *verb;
	const char *operands[CLI_MAX_OPERANDS];
	struct {
		const struct option_spec *option;
		const char *text; /* "" for a flag */
	} values[CLI_MAX_VALUES];
	size_t value_count;
	bool help;
};

/* `arguments` follow the noun and the verb. 0, or CLI_USAGE with `error` set. */
int options_parse(struct invocation *call, const struct verb *verb, char *const *arguments,
		  struct error *error);
/* The last value of --name, or NULL. */
const char *options_value(const struct invocation *call, const char *name);
/* The next value of --name from *at on; NULL at the end. Start with *at = 0. */
const char *options_next(const struct invocation *call, const char *name, size_t *at);
void options_help(const struct verb *verb);

/* The verbs' tables, an entry without a name at the end. */
extern const struct verb image_verbs[];
extern const struct verb file_verbs[];

#endif
