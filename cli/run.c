/* SPDX-License-Identifier: Apache-2.0 */
/* karuta NOUN VERB ..., or VERB alone: each verb is one entry of its noun's table. */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/base.h"
#include "cli.h"
#include "interrupt.h"

static const struct verb *const tables[] = {
	init_verbs,  host_verbs,  instance_verbs, plane_volume_verbs, snapshot_verbs,
	key_verbs,   event_verbs, audit_verbs,	  top_verbs,	      access_verbs,
	login_verbs, image_verbs, file_verbs};

static void print_help(void)
{
	puts("Usage: karuta NOUN VERB [ARGUMENT]... [OPTION]...\n");
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		for (const struct verb *verb = tables[i]; verb->name; verb++) {
			char title[VERB_TITLE], left[64];

			snprintf(left, sizeof(left), "%s %s", verb_title(title, verb),
				 verb->operands);
			printf("  karuta %-29s %.*s\n", left, (int)strcspn(verb->summary, ".:;\n"),
			       verb->summary);
		}
	}
	puts("\n`karuta NOUN VERB --help` tells more; --version prints the version.\n"
	     "Exit status: 0 done, 1 failed, 2 wrong command line, 3 no plane there. See "
	     "karuta(1).");
}

/* With `noun` NULL: of those without. */
static const struct verb *find(const char *noun, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		for (const struct verb *verb = tables[i]; verb->name; verb++) {
			if (!verb->noun != !noun || (noun && strcmp(verb->noun, noun)))
				continue;
			if (!strcmp(verb->name, name))
				return verb;
		}
	}
	return NULL;
}

static int ask(const struct verb *verb, const struct invocation *call, struct error *error)
{
	struct api *api = NULL;
	int result = api_open(&api, options_value(call, "plane"), error);

	if (!result)
		result = verb->ask(api, call, error);
	api_close(api);
	return result;
}

static int exit_status(int result, const struct error *error)
{
	if (result && result != CLI_TOLD)
		fprintf(stderr, "karuta: %s\n", error->text);
	if (result == CLI_USAGE)
		return 2;
	if (result == CLI_UNREACHABLE)
		return 3;
	return result || fflush(stdout) ? 1 : 0;
}

static int run(const struct verb *verb, char *const *arguments)
{
	struct invocation call;
	struct error error = {0};
	int result = options_parse(&call, verb, arguments, &error);
	bool asks = verb->ask && (!verb->run || options_value(&call, "pushed"));

	if (!result && call.help)
		options_help(verb);
	else if (!result)
		result = asks ? ask(verb, &call, &error) : verb->run(&call, &error);
	return exit_status(result, &error);
}

/* mke2fs and debugfs are in folders that are not in every user's path. */
static void widen_path(void)
{
	CLEANUP_FREE char *path = NULL;
	const char *now = getenv("PATH");

	if (asprintf(&path, "%s:/usr/sbin:/sbin", now ? now : "/usr/bin:/bin") >= 0)
		setenv("PATH", path, 1);
}

static int wrong_command(int argc, char *const *argv)
{
	if (argc > 1)
		fprintf(stderr, "karuta: there is no command '%s%s%s'\n", argv[1],
			argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
	fputs("karuta: `karuta --help` shows all commands\n", stderr);
	return 2;
}

int cli_run(int argc, char *const *argv)
{
	const struct verb *alone = argc > 1 ? find(NULL, argv[1]) : NULL;
	const struct verb *verb = argc > 2 && !alone ? find(argv[1], argv[2]) : NULL;

	interrupt_install();
	widen_path();
	if (alone)
		return run(alone, argv + 2);
	if (verb)
		return run(verb, argv + 3);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return print_help(), 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--version"))
		return puts("karuta " KARUTA_VERSION), 0;
	return wrong_command(argc, argv);
}
