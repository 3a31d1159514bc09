/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta-controller launches and watches the programs of a host: those of one instance in the
 * foreground, or of many for callers over the network. The table below is the table of contents.
 */
#include <stdio.h>
#include <string.h>

#include "audit_command.h"
#include "base/base.h"
#include "call.h"
#include "client.h"
#include "enrol.h"
#include "host.h"
#include "run.h"
#include "serve.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *arguments;
	const char *help;
} commands[] = {
	{"run", run_main, "INSTANCE.json", "launch an instance and stay until it ends"},
	{"serve", serve_main, "", "run the instances of a host for callers over the network"},
	{"enrol", enrol_main, "", "get this host its certificate from the plane"},
	{"call", call_main, "HOST VERB", "ask the controller of a host for something"},
	{"status", client_status, "NAME", "what an instance and its cards do"},
	{"attach", client_attach, "NAME CARD", "put a card into a slot while the guest runs"},
	{"detach", client_detach, "NAME CARD", "take a card out"},
	{"update", client_update, "NAME CARD [PROGRAM]", "let another program serve a card"},
	{"resize", client_resize, "NAME CARD SIZE", "make a volume larger while the guest runs"},
	{"snapshot", client_snapshot, "NAME CARD FILE", "copy a volume as it is at this instant"},
	{"console", client_console, "NAME", "follow what the guest writes to its console"},
	{"stop", client_stop, "NAME", "press the power button, wait for the end"},
	{"kill", client_kill, "NAME", "pull the plug"},
	{"reset", client_reset, "NAME", "press the reset button"},
	{"pause", client_pause, "NAME", "stop the guest's processors"},
	{"resume", client_resume, "NAME", "let them run on"},
	{"verify", host_verify, "", "measure all programs of the host, start none"},
	{"quote", host_quote, "", "what the host's TPM says of the event log"},
	{"evidence", host_evidence, "", "whether the host is in quarantine, and why"},
	{"release", host_release, "REASON", "end the quarantine"},
	{"audit", audit_main, "verify|show", "check or show the log of all commands"},
};

static void usage(FILE *to)
{
	fputs("usage: karuta-controller COMMAND [OPTIONS] ...\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-8s %-14s %s\n", commands[i].name, commands[i].arguments,
			commands[i].help);
	fputs("\nkaruta-controller COMMAND --help tells more; so does karuta-controller(8).\n", to);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("karuta-controller " KARUTA_VERSION);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].main(argc - 1, argv + 1);
	}
	fprintf(stderr, "karuta-controller: there is no command %s; see --help\n", argv[1]);
	return 2;
}
