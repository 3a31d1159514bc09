/* SPDX-License-Identifier: Apache-2.0 */
/* karuta-controller audit verify|show */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "audit_anchor.h"
#include "audit_check.h"
#include "audit_command.h"
#include "base/base.h"
#include "base/size.h"
#include "show.h"
#include "tpm.h"

struct command {
	bool json;
	uint64_t from;
	const char *tpm;
	bool begun; /* an entry was shown */
	char log[4096];
};

static int usage(FILE *to)
{
	fputs("usage: karuta-controller audit verify [--tpm TCTI] [LOG]\n"
	      "       karuta-controller audit show [--json] [--from NUMBER] [LOG]\n"
	      "\n"
	      "Checks, or shows and checks, the log of all commands. LOG is its folder; without it "
	      "the log\nof `karuta-controller serve`.\n"
	      "\n"
	      "  --tpm TCTI     whether it is the log, to its end, that this TPM was told of\n"
	      "  --json         print a list of JSON objects\n"
	      "  --from NUMBER  begin with this line\n"
	      "\n"
	      "Exit code: 0 it is as it was written, 1 it is not, 2 wrong usage.\n",
	      to);
	return to == stdout ? 0 : 2;
}

static void show(void *context, const struct audit_link *link, const char *object, size_t length)
{
	struct command *command = context;
	json_t *entry;

	if (link->number < command->from)
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
		{"tpm", required_argument, NULL, 't'},
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
		case 't':
			command->tpm = optarg;
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

/* What the TPM has is read first: the log is ahead of it, never behind. */
static int ask_tpm(const struct command *command, struct audit_proof *proof,
		   char name[TPM_IDENTITY_SIZE], struct error *error)
{
	struct trust_digest value;
	struct tpm *tpm = NULL;
	int ret = tpm_open(&tpm, command->tpm, error);

	if (ret == 0)
		ret = tpm_identify(tpm, name, error);
	if (ret == 0)
		ret = tpm_log_read(tpm, &value, error);
	if (ret == 0)
		memcpy(proof->value.bytes, value.bytes, AUDIT_HASH_SIZE);
	tpm_close(tpm);
	return ret;
}

static int judge(const struct command *command, const struct audit_proof *proof, const char *name,
		 const struct audit_found *found, struct error *error)
{
	int ret = audit_proof_judge(proof, name, found->last, error);

	if (ret < 0)
		error_prefix(error, "audit log %s", command->log);
	return ret;
}

static int verify(struct command *command)
{
	struct audit_found found;
	struct audit_proof proof = {0};
	char name[TPM_IDENTITY_SIZE];
	struct error error = {0};
	int ret = command->tpm ? ask_tpm(command, &proof, name, &error) : 0;

	if (ret == 0)
		ret = audit_check(command->log, audit_proof_take, &proof, &found, &error);
	if (ret == 0 && command->tpm)
		ret = judge(command, &proof, name, &found, &error);
	if (ret < 0) {
		fprintf(stderr, "karuta-controller: %s\n", error.text);
		return 1;
	}
	printf("audit log %s: lines %llu to %llu are as they were written\n", command->log,
	       (unsigned long long)found.first, (unsigned long long)found.last);
	if (proof.proved)
		printf("the TPM was told of line %llu and all before it\n",
		       (unsigned long long)proof.proved);
	else if (command->tpm)
		printf("the TPM was told of none of it yet\n");
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
	if (is_show && command.tpm)
		return usage(stderr);
	return is_show ? show_all(&command) : verify(&command);
}
