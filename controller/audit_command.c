/* SPDX-License-Identifier: Apache-2.0 */
/* karuta-controller audit verify|show */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "audit_check.h"
#include "audit_command.h"
#include "base/base.h"
#include "base/size.h"
#include "show.h"

struct command {
	bool json;
	uint64_t from;
	bool begun; /* an entry was shown */
	char log[4096];
};

static int usage(FILE *to)
{
	fputs("usage: karuta-controller audit verify [LOG]\n"
	      "       karuta-controller audit show [--json] [--from NUMBER] [LOG]\n"
	      "\n"
	      "Checks, or shows and checks, the log of all commands. LOG is its folder; without it "
	      "the log\nof `karuta-controller serve`.\n"
	      "\n"
	      "  --json         print a list of JSON objects\n"
	      "  --from NUMBER  begin with this line\n"
	      "\n"
	      "Exit code: 0 it is as it was written, 1 it is not, 2 wrong usage.\n",
	      to);
	return to == stdout ? 0 : 2;
}

static void show(void *context, uint64_t number, const char *object, size_t length)
{
	struct command *command = context;
	json_t *entry;

	if (number < command->from)
		return;
	if (command->json) {
		printf("%s%.*s", command->begun ? ",\n" : "\n", (int)length, object);
		command->begun = true;
		return;
	}
	entry = json_loadb(object, length, 0, NULL);
	show_audit_entry(entry);
	json_decref(entry);
}

/* 0, or an exit code + 1. */
static int read_options(struct command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"from", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct error error = {0};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			command->json = true;
			break;
		case 'f':
			if (size_parse(optarg, &command->from) < 0)
				return 1 + usage(stderr);
			break;
		default:
			return 1 + usage(option == 'h' ? stdout : stderr);
		}
	}
	if (argc - optind > 1)
		return 1 + usage(stderr);
	if (argc - optind == 1) {
		snprintf(command->log, sizeof(command->log), "%s", argv[optind]);
	} else if (audit_path(AUDIT_OF_HOST, command->log, sizeof(command->log), &error) < 0) {
		fprintf(stderr, "karuta-controller: %s\n", error.text);
		return 1 + 1;
	}
	return 0;
}

static int verify(struct command *command)
{
	struct audit_found found;
	struct error error = {0};

	if (audit_check(command->log, NULL, NULL, &found, &error) < 0) {
		fprintf(stderr, "karuta-controller: %s\n", error.text);
		return 1;
	}
	printf("audit log %s: lines %llu to %llu are as they were written\n", command->log,
	       (unsigned long long)found.first, (unsigned long long)found.last);
	return 0;
}

static int show_all(struct command *command)
{
	struct audit_found found;
	struct error error = {0};
	int ret;

	if (command->json)
		putchar('[');
	ret = audit_check(command->log, show, command, &found, &error);
	if (command->json)
		puts(command->begun ? "\n]" : "]");
	if (ret == 0)
		return 0;
	fflush(stdout);
	fprintf(stderr, "karuta-controller: %s\n", error.text);
	return 1;
}

int audit_main(int argc, char **argv)
{
	struct command command = {0};
	bool is_show = argc > 1 && !strcmp(argv[1], "show");
	int code;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return usage(stdout);
	if (!is_show && (argc < 2 || strcmp(argv[1], "verify") != 0))
		return usage(stderr);
	code = read_options(&command, argc - 1, argv + 1);
	if (code)
		return code - 1;
	return is_show ? show_all(&command) : verify(&command);
}
