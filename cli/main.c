/* SPDX-License-Identifier: Apache-2.0 */
/* karuta NOUN VERB ...: each verb is one entry of its noun's table. */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cli.h"
#include "interrupt.h"

static const struct verb *const tables[] = {image_verbs, file_verbs};

static void print_help(void)
{
	puts("Usage: karuta NOUN VERB [ARGUMENT]... [OPTION]...\n");
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		for (const struct verb *verb = tables[i]; verb->name; verb++) {
			char left[40];

			snprintf(left, sizeof(left), "%s %s %s", verb->noun, verb->name,
				 verb->operands);
			printf("  karuta %-26s %.*s\n", left, (int)strcspn(verb->summary, ".:;\n"),
			       verb->summary);
		}
	}
	puts("\n`karuta NOUN VERB --help` tells more; --version prints the version.\n"
	     "Exit status: 0 done, 1 failed, 2 wrong command line. See karuta(1).");
}

static const struct verb *find(const char *noun, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		for (const struct verb *verb = tables[i]; verb->name; verb++) {
			if (!strcmp(verb->noun, noun) && !strcmp(verb->name, name))
				return verb;
		}
	}
	return NULL;
}

static int fail(const struct error *error, int status)
{
	fprintf(stderr, "karuta: %s\n", error->text);
	return status;
}

static int run(const struct verb *verb, char *const *arguments)
{
	struct invocation call;
	struct error error = {0};
	int result = options_parse(&call, verb, arguments, &error);

	if (!result && call.help) {
		options_help(verb);
		return 0;
	}
	if (!result)
		result = verb->run(&call, &error);
	if (result)
		return fail(&error, result == CLI_USAGE ? 2 : 1);
	return fflush(stdout) ? 1 : 0;
}

/* mke2fs and debugfs are in folders that are not in every user's path. */
static void widen_path(void)
{
	CLEANUP_FREE char *path = NULL;
	const char *now = getenv("PATH");

	if (asprintf(&path, "%s:/usr/sbin:/sbin", now ? now : "/usr/bin:/bin") >= 0)
		setenv("PATH", path, 1);
}

int main(int argc, char **argv)
{
	const struct verb *verb = argc > 2 ? find(argv[1], argv[2]) : NULL;

	interrupt_install();
	widen_path();
	if (verb)
		return run(verb, argv + 3);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return print_help(), 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--version"))
		return puts("karuta " KARUTA_VERSION), 0;
	if (argc > 1)
		fprintf(stderr, "karuta: there is no command '%s%s%s'\n", argv[1],
			argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
	fputs("karuta: `karuta --help` shows all commands\n", stderr);
	return 2;
}
