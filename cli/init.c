/* SPDX-License-Identifier: Apache-2.0 */
/* karuta init: the plane, and who asks it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api_private.h"
#include "base/base.h"
#include "init.h"
#include "interrupt.h"
#include "item.h"
#include "os/clock.h"
#include "os/fd.h"

#define PLANE_SECONDS 120u
#define PAUSE_MS      100u

void init_say(const char *what, const char *format, ...)
{
	va_list arguments;

	printf("%-9s ", what);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

bool init_is_taken(const char *address, unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	CLEANUP_CLOSE int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return client >= 0 && !connect(client, (const struct sockaddr *)&to, sizeof(to));
}

/* ---- who asks ---- */

/* The plane's first token, or, where an admin has put that away, what the caller's file says. */
static int take_identity(struct init *init, struct error *error)
{
	struct plane_config *config = &init->config;
	CLEANUP_CLOSE int file = open(init->token, O_RDONLY | O_CLOEXEC);
	char token[CONFIG_TOKEN_MAX + 2], url[CONFIG_URL_MAX];
	ssize_t length;

	config_free(config);
	if (file < 0)
		return config_load(config, options_value(init->call, "plane"), error);
	length = os_read_full(file, token, sizeof(token) - 1);
	token[length > 0 ? length : 0] = '\0';
	token[strcspn(token, "\n")] = '\0';
	snprintf(url, sizeof(url), "https://%s:%u", init->plane_host, init->plane_port);
	config->path = config_path(options_value(init->call, "plane"), error);
	config->url = strdup(url);
	config->ca = strdup(init->authority);
	config->token = strdup(token);
	explicit_bzero(token, sizeof(token));
	if (!config->path || !config->url || !config->ca || !config->token)
		return error_set(error, ENOMEM, "out of memory");
	return config_check_token(config->token, error);
}

static int open_api(struct init *init, struct error *error)
{
	int result;

	api_close(init->api);
	init->api = NULL;
	result = take_identity(init, error);
	return result ? result : api_open_with(&init->api, &init->config, error);
}

static bool lets_in(const struct plane_config *config)
{
	const struct api_request request = {.method = "GET", .path = "/v1/hosts?limit=1"};
	struct api_answer answer = {0};
	struct api *api = NULL;
	struct error ignored;
	bool is_let_in = !api_open_with(&api, config, &ignored) &&
			 !api_try(api, &request, &answer, &ignored) && answer.status == 200;

	json_decref(answer.body);
	api_close(api);
	return is_let_in;
}

/* With a file that asks the same plane and is let in nothing is done; with one of another plane
 * neither. */
static int log_in(struct init *init, struct error *error)
{
	struct plane_config there = {0};
	struct error ignored;
	bool same, is_let_in;
	int result = config_load(&there, options_value(init->call, "plane"), &ignored);

	if (result && result != -ENOENT) {
		init_say("login", "%s stays as it is: %s", init->config.path, ignored.text);
		config_free(&there);
		return 0;
	}
	same = !result && !strcmp(there.url, init->config.url);
	is_let_in = same && lets_in(&there);
	if (!result && !same)
		init_say("login",
			 "%s names another plane, %s, and stays; --plane FILE writes another",
			 there.path, there.url);
	else if (is_let_in)
		init_say("login", "%s: as it was", there.path);
	config_free(&there);
	if (is_let_in || (!result && !same))
		return 0;
	result = config_save(&init->config, error);
	if (!result)
		init_say("login", "%s: written", init->config.path);
	return result;
}

/* ---- the plane ---- */

/* It answers, and its certificate is of the authority in our folder. */
static bool plane_answers(struct init *init)
{
	const struct api_request request = {.method = "GET", .path = "/healthz"};
	struct api_answer answer = {0};
	struct error ignored;
	bool answers;

	if (access(init->authority, R_OK) || open_api(init, &ignored))
		return false;
	answers = !api_try(init->api, &request, &answer, &ignored) && answer.status == 200;
	json_decref(answer.body);
	return answers;
}

static int await_plane(struct init *init, struct error *error)
{
	uint64_t begin = os_now();
	char where[INIT_PATH];
	int result = 0;

	while (!result && !plane_answers(init)) {
		progress_update(&init->progress, 0);
		result = service_check(&init->plane_service, error);
		if (!result && interrupt_pending())
			result = error_set(error, EINTR, "interrupted");
		if (!result && os_now() - begin > PLANE_SECONDS * NS_PER_S)
			result = error_set(
				error, ETIMEDOUT, "the plane does not answer after %u s; see %s",
				PLANE_SECONDS,
				service_where(&init->plane_service, where, sizeof(where)));
		api_pause(PAUSE_MS);
	}
	return result;
}

static int set_up_plane(struct init *init, struct error *error)
{
	char where[INIT_PATH];
	bool answers = plane_answers(init);
	int result;

	if (answers && (!init->release_is_new || !init->plane_service.systemd)) {
		init_say("plane", "%s: runs%s", init->config.url,
			 init->release_is_new ? "; to know the release that is installed now it "
						"has to be ended, and started by this again"
					      : "");
		return 0;
	}
	if (!answers && init_is_taken(init->plane_host, init->plane_port))
		return error_set(error, EADDRINUSE,
				 "%s: somebody else listens there, or a plane of another authority "
				 "than %s\n        --listen ADDRESS:PORT chooses another",
				 init->listen, init->authority);
	progress_step(&init->progress, "plane", 0);
	result = service_start(&init->plane_service, error);
	if (!result)
		result = await_plane(init, error);
	if (result)
		return result;
	progress_clear(&init->progress);
	init_say("plane", "%s: started; %s", init->config.url,
		 service_where(&init->plane_service, where, sizeof(where)));
	return 0;
}

/* ---- the whole ---- */

static int set_up(struct init *init, struct error *error)
{
	int result = init_check(init, error);

	result = result ? result : init_make_folders(init, error);
	if (!result)
		init_say("folders", "%s, %s, %s", init->plane, init->etc, init->files);
	result = result ? result : init_keep_release(init, error);
	result = result ? result : set_up_plane(init, error);
	result = result ? result : log_in(init, error);
	result = result ? result : init_host(init, error);
	if (!result)
		puts("\nnext, a first instance:\n"
		     "  karuta image build bookworm --suite bookworm\n"
		     "  karuta image push bookworm\n"
		     "  karuta instance run web --image bookworm --memory 1G\n"
		     "  karuta instance console web --follow");
	return result;
}

static int init_run(const struct invocation *call, struct error *error)
{
	struct init init;
	int result = init_take(&init, call, error);

	if (!result)
		result = set_up(&init, error);
	if (result)
		progress_abandon(&init.progress);
	api_close(init.api);
	config_free(&init.config);
	return result;
}

static const struct option_spec options[] = {
	{"name", "NAME", "of this machine in the fleet; its host name if not given"},
	{"listen", "ADDRESS:PORT", "of the plane, in numbers (127.0.0.1:4750)"},
	{"plane-name", "NAME", "what clients call the plane by; may be repeated"},
	{"host-port", "PORT", "of the host, at 127.0.0.1 (4747)"},
	{"plane", "FILE", "to write this file instead of ~/.config/karuta/plane.json"},
	{"programs", "FOLDER", "where karuta-plane and karuta-controller are"},
	{"root", "FOLDER", "all folders below this one, and no units of systemd"},
	{"no-kvm", NULL, "goes on though this machine cannot run instances yet"},
};

const struct verb init_verbs[] = {
	{.name = "init",
	 .operands = "",
	 .summary = "Makes this machine a plane and its first host.",
	 .options = options,
	 .option_count = ARRAY_LEN(options),
	 .notes =
		 "Run again it does only what is missing. Services are units of systemd where that "
		 "runs\n(karuta-plane, karuta-host), else processes in the background.",
	 .run = init_run},
	{0},
};
