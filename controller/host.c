/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "os/clock.h"
#include "programs.h"
#include "quarantine.h"
#include "state.h"

static int usage(const char *verb, FILE *to)
{
	fprintf(to, "usage: karuta-controller %s%s [--state FOLDER]\n", verb,
		!strcmp(verb, "release") ? " REASON" : "");
	return to == stdout ? 1 + 0 : 1 + 2;
}

/* 0, or an exit code + 1. `arguments` are left at optind. */
static int read_options(int argc, char **argv, int arguments)
{
	static const struct option options[] = {
		{"state", required_argument, NULL, 'S'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *verb = argv[0];
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option != 'S')
			return usage(verb, option == 'h' ? stdout : stderr);
		programs_use_state(optarg);
	}
	return argc - optind == arguments ? 0 : usage(verb, stderr);
}

static int fail(const struct error *error)
{
	fprintf(stderr, "karuta-controller: %s\n", error->text);
	return 1;
}

int host_verify(int argc, char **argv)
{
	struct programs_host host;
	struct error error = {0};
	int code = read_options(argc, argv, 0);

	if (code)
		return code - 1;
	if (programs_verify(&host, &error) < 0)
		return fail(&error);
	printf("%zu files are those of release %" PRIu64 " (%s), unattested; measured in %.1f ms\n",
	       host.count, host.release, programs_signer(&host), (double)host.took_ns / NS_PER_MS);
	return 0;
}

int host_evidence(int argc, char **argv)
{
	struct state state;
	struct error error = {0};
	int code = read_options(argc, argv, 0), ret;

	if (code)
		return code - 1;
	if (state_open_to_read(&state, programs_state(), &error) < 0)
		return fail(&error);
	ret = quarantine_list(&state, stdout, &error);
	state_close(&state);
	return ret < 0 ? fail(&error) : 0;
}

/* One line of printable text: it goes into files that are read line by line. */
static int check_reason(const char *reason, struct error *error)
{
	size_t length = strlen(reason);

	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)reason[i] < ' ' || reason[i] == 0x7f)
			length = 0;
	}
	if (length && length <= 200)
		return 0;
	return error_set(error, EINVAL, "the reason is one line of at most 200 characters");
}

int host_release(int argc, char **argv)
{
	struct state state;
	struct error error = {0};
	const char *suspect;
	char who[32];
	int code = read_options(argc, argv, 1), ret;

	if (code)
		return code - 1;
	if (check_reason(argv[optind], &error) < 0) {
		fail(&error);
		return 2;
	}
	if (state_open(&state, programs_state(), &error) < 0)
		return fail(&error);
	snprintf(who, sizeof(who), "user %u", (unsigned)getuid());
	ret = state_load(&state, &suspect, &error);
	if (ret == 0)
		ret = quarantine_end(&state, who, argv[optind], &error);
	state_close(&state);
	if (ret < 0)
		return fail(&error);
	puts("the quarantine is over");
	return 0;
}
