/* SPDX-License-Identifier: Apache-2.0 */
/* What all verbs of `karuta` share: how a verb is described, how it is called, what it returns. */
#ifndef KARUTA_CLI_CLI_H
#define KARUTA_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define CLI_MAX_OPERANDS 2
#define CLI_MAX_VALUES	 128

/* What a verb returns beside 0 and -errno (exit status 1, `error` is set): */
#define CLI_USAGE	1 /* the command line is wrong, `error` is set: exit status 2 */
#define CLI_TOLD	2 /* failed, and has said so on standard error: 1 */
#define CLI_UNREACHABLE 3 /* the plane cannot be reached, `error` is set: 3 */

struct option_spec {
	const char *name;
	const char *argument; /* NULL: a flag */
	const char *help;
};

struct invocation;
struct api;

struct verb {
	const char *noun; /* NULL: none, as in `karuta events` */
	const char *name;
	const char *operands; /* for the help text, one word an operand */
	size_t operand_count;
	const char *summary;
	const struct option_spec *options;
	size_t option_count;
	bool waits;	   /* has --wait and --no-wait */
	const char *notes; /* the end of the help text; may be NULL */
	/* `ask`: a verb of the plane, which has --plane and --json too. With both it is that for
	 * who says --pushed. */
	int (*run)(const struct invocation *call, struct error *error);
	int (*ask)(struct api *api, const struct invocation *call, struct error *error);
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

#define VERB_TITLE 32
/* "image build", "events". Returns `text`. */
const char *verb_title(char text[VERB_TITLE], const struct verb *verb);

/* The program: what main does. Returns the exit status. */
int cli_run(int argc, char *const *argv);

/* The verbs' tables, an entry without a name at the end. */
extern const struct verb image_verbs[];
extern const struct verb file_verbs[];
extern const struct verb init_verbs[];
extern const struct verb host_verbs[];
extern const struct verb instance_verbs[];
extern const struct verb plane_volume_verbs[];
extern const struct verb snapshot_verbs[];
extern const struct verb key_verbs[];
extern const struct verb event_verbs[];
extern const struct verb audit_verbs[];
extern const struct verb top_verbs[];
extern const struct verb access_verbs[];
extern const struct verb login_verbs[];

#endif
