/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attest.h"
#include "base/base.h"
#include "host.h"
#include "os/clock.h"
#include "programs.h"
#include "quarantine.h"
#include "state.h"

struct host_line {
	const char *usage;   /* behind the verb */
	const char *accepts; /* letters of the options; --state and --help all have */
	int arguments;
	const char *nonce;
};

static int usage(const char *verb, const struct host_line *line, FILE *to)
{
	fprintf(to, "usage: karuta-controller %s %s\n", verb, line->usage);
	return to == stdout ? 1 + 0 : 1 + 2;
}

/* 0, or an exit code + 1. Arguments are left at optind. */
static int read_options(struct host_line *line, int argc, char **argv)
{
	static const struct option options[] = {{"state", required_argument, NULL, 'S'},
						{"tpm", required_argument, NULL, 't'},
						{"nonce", required_argument, NULL, 'n'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	const char *verb = argv[0];
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return usage(verb, line, stdout);
		if (option == 'S')
			programs_use_state(optarg);
		else if (!strchr(line->accepts, option))
			return usage(verb, line, stderr);
		else if (option == 't')
			programs_use_tpm(optarg);
		else
			line->nonce = optarg;
	}
	return argc - optind == line->arguments ? 0 : usage(verb, line, stderr);
}

static int fail(const struct error *error)
{
	fprintf(stderr, "karuta-controller: %s\n", error->text);
	return 1;
}

int host_verify(int argc, char **argv)
{
	struct host_line line = {.usage = "[--tpm TCTI] [--state FOLDER]", .accepts = "t"};
	struct programs_host host;
	struct error error = {0};
	int code = read_options(&line, argc, argv);

	if (code)
		return code - 1;
	if (programs_verify(&host, &error) < 0)
		return fail(&error);
	printf("%zu files are those of release %" PRIu64 " (%s), %s; measured in %.1f ms\n",
	       host.count, host.release, programs_signer(&host), programs_attestation(&host),
	       (double)host.took_ns / NS_PER_MS);
	return 0;
}

static int print_quote(const void *nonce, size_t nonce_length, struct error *error)
{
	CLEANUP_FREE char *text = NULL;
	const char *suspect;
	struct state state;
	struct tpm *tpm = NULL;
	size_t length;
	int ret = state_open(&state, programs_state(), error);

	if (ret == 0)
		ret = state_load(&state, &suspect, error);
	/* A log that has just begun, too. */
	if (ret == 0)
		ret = state_save(&state, error);
	if (ret == 0)
		ret = tpm_open(&tpm, programs_tpm(), error);
	if (ret == 0)
		ret = attest_quote(tpm, &state, nonce, nonce_length, &text, &length, error);
	tpm_close(tpm);
	state_close(&state);
	if (ret == 0)
		fwrite(text, 1, length, stdout);
	return ret;
}

int host_quote(int argc, char **argv)
{
	struct host_line line = {.usage = "--tpm TCTI --nonce HEX [--state FOLDER]",
				 .accepts = "tn"};
	uint8_t nonce[QUOTE_NONCE_MAX];
	struct error error = {0};
	int code = read_options(&line, argc, argv);
	size_t digits;

	if (code)
		return code - 1;
	if (!line.nonce || !programs_tpm())
		return usage(argv[0], &line, stderr) - 1;
	digits = strlen(line.nonce);
	if (digits > 2 * sizeof(nonce) || !trust_unhex(line.nonce, digits, nonce)) {
		fprintf(stderr,
			"karuta-controller: --nonce: must be %u to %u bytes as small "
			"hexadecimal digits\n",
			QUOTE_NONCE_MIN, QUOTE_NONCE_MAX);
		return 2;
	}
	return print_quote(nonce, digits / 2, &error) < 0 ? fail(&error) : 0;
}

int host_evidence(int argc, char **argv)
{
	struct host_line line = {.usage = "[--state FOLDER]", .accepts = ""};
	struct state state;
	struct error error = {0};
	int code = read_options(&line, argc, argv), ret;

	if (code)
		return code - 1;
	if (state_open_to_read(&state, programs_state(), &error) < 0)
		return fail(&error);
	ret = quarantine_list(&state, stdout, &error);
	state_close(&state);
	return ret < 0 ? fail(&error) : 0;
}

int host_release(int argc, char **argv)
{
	struct host_line line = {.usage = "REASON [--state FOLDER]", .accepts = "", .arguments = 1};
	struct state state;
	struct error error = {0};
	const char *suspect;
	char who[32];
	int code = read_options(&line, argc, argv), ret;

	if (code)
		return code - 1;
	if (quarantine_check_reason(argv[optind], &error) < 0) {
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

static void tell(const struct programs_host *host)
{
	fprintf(stderr,
		"karuta-controller: %zu files are those of release %llu (%s), %s; "
		"measured in %.1f ms\n",
		host->count, (unsigned long long)host->release, programs_signer(host),
		programs_attestation(host), (double)host->took_ns / NS_PER_MS);
}

int host_must_be_released(const char *state, const char *tpm, struct error *error)
{
	struct programs_host host;
	int ret;

	programs_use_state(state);
	programs_use_tpm(tpm);
	ret = programs_verify(&host, error);
	if (ret == 0)
		tell(&host);
	return ret;
}

int host_look_first(const char *state, const char *tpm, struct error *error)
{
	char mark[QUARANTINE_TEXT_MAX] = "";
	struct programs_host host;
	struct error other;
	int ret = host_must_be_released(state, tpm, error);

	if (ret == 0 || quarantine_read(state, mark, sizeof(mark), &other) < 0 || !mark[0])
		return ret;
	fprintf(stderr, "karuta-controller: %s\n", error->text);
	ret = programs_verify_own(&host, &other);
	if (ret < 0) {
		*error = other;
		return ret;
	}
	tell(&host);
	return 1;
}

void host_look_again(const char *state, const char *tpm)
{
	struct programs_host host;
	struct error error = {0};

	programs_use_state(state);
	programs_use_tpm(tpm);
	if (programs_verify_again(&host, &error) == 0)
		tell(&host);
	else
		fprintf(stderr, "karuta-controller: %s\n", error.text);
}
