/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cli.h"

/* What all verbs of the plane have. */
static const struct option_spec plane_options[] = {
	{"json", NULL, "prints the plane's JSON as it is"},
	{"plane", "FILE", "which plane: a file that `karuta login` made"},
};

static const struct option_spec wait_options[] = {
	{"wait", NULL, "waits until it is so, as it does on a terminal"},
	{"no-wait", NULL, "does not wait"},
};

const char *verb_title(char text[VERB_TITLE], const struct verb *verb)
{
	snprintf(text, VERB_TITLE, "%s%s%s", verb->noun ? verb->noun : "", verb->noun ? " " : "",
		 verb->name);
	return text;
}

static const struct option_spec *find_in(const struct option_spec *options, size_t count,
					 const char *name, size_t length)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(options[i].name) == length && !memcmp(options[i].name, name, length))
			return &options[i];
	}
	return NULL;
}

static const struct option_spec *find(const struct verb *verb, const char *name, size_t length)
{
	const struct option_spec *own = find_in(verb->options, verb->option_count, name, length);

	if (!own && verb->waits)
		own = find_in(wait_options, ARRAY_LEN(wait_options), name, length);
	if (own || !verb->ask)
		return own;
	return find_in(plane_options, ARRAY_LEN(plane_options), name, length);
}

static int wrong(const struct verb *verb, struct error *error, const char *what, const char *word)
{
	char title[VERB_TITLE];

	verb_title(title, verb);
	error_set(error, 1, "%s: %s%.100s; see `karuta %s --help`", title, what, word, title);
	return CLI_USAGE;
}

/* One "--name", "--name=value" or "--name value"; *at moves over a value of its own. */
static int parse_option(struct invocation *call, char *const **at, struct error *error)
{
	const char *name = **at + 2;
	const char *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct option_spec *option = find(call->verb, name, length);
	const char *text = "";

	if (!option)
		return wrong(call->verb, error, "there is no option ", **at);
	if (!option->argument && equals)
		return wrong(call->verb, error, "no value belongs to --", option->name);
	if (option->argument && equals)
		text = equals + 1;
	else if (option->argument && !(text = *++*at))
		return wrong(call->verb, error, "a value is missing after --", option->name);
	if (call->value_count == CLI_MAX_VALUES)
		return wrong(call->verb, error, "too many options at ", **at);
	call->values[call->value_count].option = option;
	call->values[call->value_count++].text = text;
	return 0;
}

static int parse_operand(struct invocation *call, size_t *count, const char *word,
			 struct error *error)
{
	if (*count == call->verb->operand_count)
		return wrong(call->verb, error, "one argument too many: ", word);
	call->operands[(*count)++] = word;
	return 0;
}

int options_parse(struct invocation *call, const struct verb *verb, char *const *arguments,
		  struct error *error)
{
	bool options = true;
	size_t operands = 0;
	int result = 0;

	*call = (struct invocation){.verb = verb};
	for (char *const *at = arguments; *at && !result; at++) {
		if (options && !strcmp(*at, "--"))
			options = false;
		else if (options && (!strcmp(*at, "--help") || !strcmp(*at, "-h")))
			call->help = true;
		else if (options && !strncmp(*at, "--", 2))
			result = parse_option(call, &at, error);
		else if (options && (*at)[0] == '-' && (*at)[1])
			result = wrong(verb, error, "there is no option ", *at);
		else
			result = parse_operand(call, &operands, *at, error);
		if (!*at)
			break;
	}
	if (!result && !call->help && operands < verb->operand_count)
		result = wrong(verb, error, "wanted: ", verb->operands);
	return result;
}

const char *options_next(const struct invocation *call, const char *name, size_t *at)
{
	while (*at < call->value_count) {
		size_t i = (*at)++;

		if (!strcmp(call->values[i].option->name, name))
			return call->values[i].text;
	}
	return NULL;
}

const char *options_value(const struct invocation *call, const char *name)
{
	const char *last = NULL, *text;
	size_t at = 0;

	while ((text = options_next(call, name, &at)))
		last = text;
	return last;
}

static void print_options(const struct option_spec *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct option_spec *option = &options[i];
		char left[48];

		snprintf(left, sizeof(left), "--%s%s%s", option->name, option->argument ? " " : "",
			 option->argument ? option->argument : "");
		printf("  %-26s %s\n", left, option->help);
	}
}

void options_help(const struct verb *verb)
{
	bool any = verb->option_count || verb->ask;
	char title[VERB_TITLE];

	printf("Usage: karuta %s%s%s%s\n\n%s\n%s", verb_title(title, verb),
	       verb->operand_count ? " " : "", verb->operands, any ? " [OPTION]..." : "",
	       verb->summary, any ? "\n" : "");
	print_options(verb->options, verb->option_count);
	if (verb->waits)
		print_options(wait_options, ARRAY_LEN(wait_options));
	if (verb->ask)
		print_options(plane_options, ARRAY_LEN(plane_options));
	if (verb->notes)
		printf("\n%s\n", verb->notes);
}
