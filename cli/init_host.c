/* SPDX-License-Identifier: Apache-2.0 */
/* karuta init: the host that the machine itself is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api_private.h"
#include "base/base.h"
#include "init.h"
#include "interrupt.h"
#include "item.h"
#include "os/clock.h"

#define ENROL_SECONDS "60"
#define HOST_SECONDS  120u
#define PAUSE_MS      200u

/* *host: NULL: there is none. */
static int read_host(struct init *init, json_t **host, struct error *error)
{
	char path[API_PATH_MAX];
	const struct api_request request = {.method = "GET", .path = path};
	struct api_answer answer = {0};
	int result = api_path(path, "hosts", init->name, NULL, error);

	*host = NULL;
	if (!result)
		result = api_try(init->api, &request, &answer, error);
	if (result)
		return result;
	if (answer.status == 200 && answer.body) {
		*host = answer.body;
		return 0;
	}
	if (answer.status != 404)
		return api_tell(&answer);
	json_decref(answer.body);
	return 0;
}

static bool is_enrolled(const struct init *init, const json_t *host)
{
	const char *state = item_text(host, "status", "state");

	return host && strcmp(state, "enrolling") != 0 && strcmp(state, "not-enrolled") != 0 &&
	       !access(init->certificate, F_OK) && !access(init->key, F_OK);
}

static int remove_host(struct init *init, struct error *error)
{
	char path[API_PATH_MAX];
	int result = api_path(path, "hosts", init->name, NULL, error);

	return result ? result : api_ask(init->api, "DELETE", path, NULL, NULL, error);
}

/* The token goes from the plane's answer into the host's program, and is shown nowhere. */
static int use_token(struct init *init, json_t *added, struct error *error)
{
	const char *const argv[] = {init->host_program, "enrol",	   "--token",  "-",
				    "--listen",		init->host_listen, "--folder", init->etc,
				    "--timeout",	ENROL_SECONDS,	   NULL};
	const char *token = json_string_value(json_object_get(added, "token"));
	char line[128];
	int result;

	if (!token || strlen(token) + 1 >= sizeof(line))
		return error_set(error, EPROTO, "the plane gave no token for the host");
	snprintf(line, sizeof(line), "%s\n", token);
	result = service_run_once(&init->host_service, argv, line, error);
	explicit_bzero(line, sizeof(line));
	explicit_bzero((char *)(uintptr_t)token, strlen(token));
	return result;
}

static int enrol(struct init *init, bool is_there, struct error *error)
{
	char address[INIT_NAME];
	json_t *body, *added = NULL;
	int result = is_there ? remove_host(init, error) : 0;

	if (result)
		return result;
	progress_step(&init->progress, "enrolment of the host", 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", init->host_port);
	body = json_pack("{s:s, s:s}", "name", init->name, "address", address);
	result = api_ask(init->api, "POST", "/v1/hosts", body, &added, error);
	if (!result)
		result = use_token(init, added, error);
	json_decref(body);
	json_decref(added);
	if (!result)
		progress_clear(&init->progress);
	return result;
}

/* 1: the plane has it and uses it; 0: not yet; or why it will not come to that. */
static int look(struct init *init, char state[ITEM_TEXT], struct error *error)
{
	json_t *host;
	char text[ITEM_TEXT];
	int result = read_host(init, &host, error);

	if (result)
		return result;
	item_plain(state, ITEM_TEXT, item_text(host, "status", "state"));
	if (!strcmp(state, "trusted") || !strcmp(state, "unattested"))
		result = 1;
	else if (!strcmp(state, "quarantined"))
		result =
			error_set(error, EPERM,
				  "host %s is quarantined: %.100s\n        `karuta host show "
				  "%s --evidence` tells more",
				  init->name,
				  item_plain(text, sizeof(text), item_text(host, "status", "text")),
				  init->name);
	json_decref(host);
	return result;
}

static int await_host(struct init *init, char state[ITEM_TEXT], struct error *error)
{
	uint64_t begin = os_now();
	char where[INIT_PATH];
	int result;

	while (!(result = look(init, state, error))) {
		progress_update(&init->progress, 0);
		result = service_check(&init->host_service, error);
		if (!result && interrupt_pending())
			result = error_set(error, EINTR, "interrupted");
		if (!result && os_now() - begin > HOST_SECONDS * NS_PER_S)
			result =
				error_set(error, ETIMEDOUT, "host %s is %s after %u s; see %s",
					  init->name, state, HOST_SECONDS,
					  service_where(&init->host_service, where, sizeof(where)));
		if (result)
			return result;
		api_pause(PAUSE_MS);
	}
	return result > 0 ? 0 : result;
}

int init_host(struct init *init, struct error *error)
{
	char state[ITEM_TEXT] = "", where[INIT_PATH];
	bool enrolled, runs = init_is_taken("127.0.0.1", init->host_port);
	json_t *host;
	int result = read_host(init, &host, error);

	if (result)
		return result;
	enrolled = is_enrolled(init, host);
	if (!enrolled && runs)
		result = error_set(
			error, EADDRINUSE,
			"%s: somebody listens there already, and this host is not "
			"enrolled\n        end that first, or --host-port chooses another",
			init->host_listen);
	else if (!enrolled)
		result = enrol(init, host != NULL, error);
	json_decref(host);
	if (result)
		return result;
	if (!runs) {
		progress_step(&init->progress, "host", 0);
		result = service_start(&init->host_service, error);
	}
	if (!result)
		result = await_host(init, state, error);
	if (result)
		return result;
	progress_clear(&init->progress);
	init_say("host", "%s: %s, %s%s; %s", init->name, enrolled ? "was enrolled" : "enrolled",
		 state, strcmp(state, "unattested") ? "" : " (it has no TPM)",
		 service_where(&init->host_service, where, sizeof(where)));
	return 0;
}
