/* SPDX-License-Identifier: Apache-2.0 */
/* karuta login: which plane is asked from now on. Nothing is written before the plane has agreed.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "base/base.h"
#include "cli.h"
#include "config.h"

static int read_token(struct plane_config *config, struct error *error)
{
	char line[CONFIG_TOKEN_MAX + 2];
	bool got;

	if (isatty(STDIN_FILENO) == 1)
		fputs("token: ", stderr);
	setvbuf(stdin, NULL, _IONBF, 0); /* no copy of it in a buffer */
	got = fgets(line, sizeof(line), stdin);
	if (got) {
		line[strcspn(line, "\r\n")] = '\0';
		config->token = strdup(line);
	}
	explicit_bzero(line, sizeof(line));
	if (!got)
		return error_set(error, EINVAL, "standard input has no token");
	return config->token ? config_check_token(config->token, error)
			     : error_set(error, ENOMEM, "out of memory");
}

static int take_file(const char *path, char **full, struct error *error)
{
	*full = realpath(path, NULL);
	return *full ? 0 : error_set(error, errno, "%.150s: %s", path, strerror(errno));
}

/* A certificate and its key, or else a token. */
static int take_identity(struct plane_config *config, const struct invocation *call,
			 struct error *error)
{
	const char *certificate = options_value(call, "certificate");
	const char *key = options_value(call, "key");
	int result;

	if (!certificate && !key)
		return read_token(config, error);
	if (!certificate || !key) {
		error_set(error, EINVAL, "--%s is missing: --certificate and --key go together",
			  certificate ? "key" : "certificate");
		return CLI_USAGE;
	}
	result = take_file(certificate, &config->certificate, error);
	return result ? result : take_file(key, &config->key, error);
}

static int take_arguments(struct plane_config *config, const struct invocation *call,
			  struct error *error)
{
	const char *ca = options_value(call, "ca");
	int result;

	if (!ca) {
		error_set(error, EINVAL, "--ca is missing: the file with the plane's authority");
		return CLI_USAGE;
	}
	config->url = config_url(call->operands[0], error);
	if (!config->url)
		return CLI_USAGE;
	result = take_file(ca, &config->ca, error);
	if (result)
		return result;
	config->path = config_path(options_value(call, "plane"), error);
	return config->path ? take_identity(config, call, error) : -ENOMEM;
}

static int agree(const struct plane_config *config, struct error *error)
{
	struct api *api = NULL;
	int result = api_open_with(&api, config, error);

	if (!result)
		result = api_ask(api, "GET", "/v1/hosts?limit=1", NULL, NULL, error);
	api_close(api);
	return result;
}

static int login(const struct invocation *call, struct error *error)
{
	struct plane_config config = {0};
	int result = take_arguments(&config, call, error);

	if (!result)
		result = agree(&config, error);
	if (!result)
		result = config_save(&config, error);
	if (!result)
		printf("plane %s, as %s says now\n", config.url, config.path);
	config_free(&config);
	return result;
}

static const struct option_spec options[] = {
	{"ca", "FILE", "the certificate of the plane's authority"},
	{"certificate", "FILE", "one that the plane has made, instead of a token"},
	{"key", "FILE", "that of the certificate"},
	{"plane", "FILE", "to write this file instead of ~/.config/karuta/plane.json"},
};

const struct verb login_verbs[] = {
	{.name = "login",
	 .operands = "URL",
	 .operand_count = 1,
	 .summary = "Chooses the plane that all is asked of: a token comes from standard input.",
	 .options = options,
	 .option_count = ARRAY_LEN(options),
	 .run = login},
	{0},
};
