/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "base/base.h"
#include "client.h"
#include "client_card.h"
#include "os/fd.h"
#include "os/newfile.h"
#include "show.h"
#include "strict.h"

#define ANSWER_SECONDS 30u
#define STOP_SECONDS   60u

/* What the command line of a verb can say. */
struct client {
	const char *verb;
	const char *usage;
	struct ask ask;
	bool json, force, hypervisor;
	unsigned timeout; /* 0: not given */
	char **arguments; /* after the instance's name */
	int argument_count;
};

enum {
	OPTION_SOCKET = 's',
	OPTION_JSON = 'j',
	OPTION_FORCE = 'f',
	OPTION_TIMEOUT = 't',
	OPTION_HYPERVISOR = 'v',
	OPTION_HELP = 'h',
};

/* `accepts`: the letters of the options above that the verb has; --socket and --help all have. */
struct command_line {
	const char *accepts;
	int least, most; /* arguments after the instance's name */
};

static int usage(const struct client *client, FILE *to)
{
	fprintf(to, "usage: karuta-controller %s %s\n", client->verb, client->usage);
	return to == stdout ? 1 + 0 : 1 + 2;
}

static int take_option(struct client *client, int option, const char *accepts)
{
	uint64_t seconds = 0;

	if (option == OPTION_HELP)
		return usage(client, stdout);
	if (option == '?' || (option != OPTION_SOCKET && !strchr(accepts, option)))
		return usage(client, stderr);
	switch (option) {
	case OPTION_SOCKET:
		client->ask.socket = optarg;
		break;
	case OPTION_JSON:
		client->json = true;
		break;
	case OPTION_FORCE:
		client->force = true;
		break;
	case OPTION_HYPERVISOR:
		client->hypervisor = true;
		break;
	case OPTION_TIMEOUT:
		if (size_above_zero(optarg, &seconds) < 0 || seconds > 3600) {
			fprintf(stderr,
				"karuta-controller: --timeout %s: must be 1 to 3600 "
				"seconds\n",
				optarg);
			return 1 + 2;
		}
		client->timeout = (unsigned)seconds;
		break;
	}
	return 0;
}

/* 0, or an exit code + 1. */
static int read_command_line(struct client *client, const struct command_line *line, int argc,
			     char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, OPTION_SOCKET},
		{"json", no_argument, NULL, OPTION_JSON},
		{"force", no_argument, NULL, OPTION_FORCE},
		{"timeout", required_argument, NULL, OPTION_TIMEOUT},
		{"hypervisor", no_argument, NULL, OPTION_HYPERVISOR},
		{"help", no_argument, NULL, OPTION_HELP},
		{0},
	};
	int option, ret;

	client->ask.connection = -1;
	client->ask.descriptor = -1;
	client->ask.seconds = ANSWER_SECONDS;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		ret = take_option(client, option, line->accepts);
		if (ret)
			return ret;
	}
	client->argument_count = argc - optind - 1;
	if (client->argument_count < line->least || client->argument_count > line->most)
		return usage(client, stderr);
	client->ask.name = argv[optind];
	client->arguments = argv + optind + 1;
	return 0;
}

static int fail(const struct error *error)
{
	fprintf(stderr, "karuta-controller: %s\n", error->text);
	return 1;
}

static json_t *make_request(const struct client *client)
{
	return json_pack("{s:s}", "verb", client->verb);
}

/* Asks, prints the answer's text. */
static int ask_and_tell(struct client *client, json_t *request)
{
	struct error error = {0};
	json_t *answer = NULL;
	const char *text;

	if (ask_controller(&client->ask, request, &answer, &error) < 0) {
		os_close(&client->ask.connection);
		return fail(&error);
	}
	text = json_string_value(json_object_get(answer, "text"));
	printf("%s\n", text ? text : "done");
	json_decref(answer);
	os_close(&client->ask.connection);
	return 0;
}

static int simple(struct client *client, int argc, char **argv)
{
	static const struct command_line line = {.accepts = ""};
	int code = read_command_line(client, &line, argc, argv);

	return code ? code - 1 : ask_and_tell(client, make_request(client));
}

int client_pause(int argc, char **argv)
{
	struct client client = {.verb = "pause", .usage = "NAME [--socket PATH]"};

	return simple(&client, argc, argv);
}

int client_resume(int argc, char **argv)
{
	struct client client = {.verb = "resume", .usage = "NAME [--socket PATH]"};

	return simple(&client, argc, argv);
}

int client_reset(int argc, char **argv)
{
	struct client client = {.verb = "reset", .usage = "NAME [--socket PATH]"};

	return simple(&client, argc, argv);
}

int client_kill(int argc, char **argv)
{
	struct client client = {.verb = "kill", .usage = "NAME [--socket PATH]"};

	return simple(&client, argc, argv);
}

int client_stop(int argc, char **argv)
{
	static const struct command_line line = {.accepts = "t"};
	struct client client = {.verb = "stop",
				.usage = "NAME [--timeout SECONDS] [--socket PATH]\n\nPresses the "
					 "power button and waits for the end (default: 60 s)."};
	int code = read_command_line(&client, &line, argc, argv);

	if (code)
		return code - 1;
	client.ask.seconds = client.timeout ? client.timeout : STOP_SECONDS;
	return ask_and_tell(&client, make_request(&client));
}

int client_detach(int argc, char **argv)
{
	static const struct command_line line = {.accepts = "ft", .least = 1, .most = 1};
	struct client client = {
		.verb = "detach",
		.usage = "NAME CARD|SLOT [--force] [--timeout SECONDS] [--socket PATH]\n\nAsks the "
			 "guest to let go of the card and waits for it (default: 10 s).\n--force "
			 "takes it out as if pulled."};
	int code = read_command_line(&client, &line, argc, argv);
	json_t *request;

	if (code)
		return code - 1;
	request = make_request(&client);
	json_object_set_new(request, "card", json_string(client.arguments[0]));
	json_object_set_new(request, "force", json_boolean(client.force));
	if (client.timeout)
		json_object_set_new(request, "timeout", json_integer(client.timeout));
	client.ask.seconds = client.timeout + ANSWER_SECONDS;
	return ask_and_tell(&client, request);
}

/* What is to be updated, and the program if one is given. 0, or an exit code. */
static int fill_update(const struct client *client, json_t *request)
{
	int given = client->hypervisor ? 0 : 1;
	CLEANUP_FREE char *path = NULL;

	if (client->hypervisor)
		json_object_set_new(request, "hypervisor", json_true());
	else
		json_object_set_new(request, "card", json_string(client->arguments[0]));
	if (client->argument_count <= given)
		return 0;
	path = realpath(client->arguments[given], NULL);
	if (path && json_object_set_new(request, "program", json_string(path)) == 0)
		return 0;
	fprintf(stderr, "karuta-controller: %s: %s\n", client->arguments[given],
		path ? "is not UTF-8" : strerror(errno));
	return 2;
}

int client_update(int argc, char **argv)
{
	static const struct command_line line = {.accepts = "v", .least = 0, .most = 2};
	struct client client = {
		.verb = "update",
		.usage = "NAME {CARD|SLOT | --hypervisor} [PROGRAM] [--socket PATH]\n\nLets "
			 "PROGRAM (default: the installed one of its kind) go on where the "
			 "program of a card, or\nthe hypervisor, is now. The guest sees a pause. "
			 "A program that cannot do it is not used."};
	int code = read_command_line(&client, &line, argc, argv);
	json_t *request;

	if (code)
		return code - 1;
	if (client.argument_count != (client.hypervisor ? 0 : 1) &&
	    client.argument_count != (client.hypervisor ? 1 : 2))
		return usage(&client, stderr) - 1;
	request = make_request(&client);
	code = fill_update(&client, request);
	if (code) {
		json_decref(request);
		return code;
	}
	return ask_and_tell(&client, request);
}

int client_resize(int argc, char **argv)
{
	static const struct command_line line = {.accepts = "", .least = 2, .most = 2};
	struct client client = {
		.verb = "resize",
		.usage =
			"NAME CARD|SLOT SIZE [--socket PATH]\n\nMakes a volume larger, and its "
			"file "
			"if need be; SIZE has bytes, or a suffix K, M, G or T.\nThe guest is told. "
			"A volume is never made smaller."};
	int code = read_command_line(&client, &line, argc, argv);
	json_t *request;

	if (code)
		return code - 1;
	request = make_request(&client);
	json_object_set_new(request, "card", json_string(client.arguments[0]));
	json_object_set_new(request, "size", json_string(client.arguments[1]));
	return ask_and_tell(&client, request);
}

/* Written out first what can be: the guest waits for the rest. */
static int take_snapshot(struct client *client, struct os_newfile *file)
{
	json_t *request = make_request(client);
	int code, ret;

	syncfs(file->fd);
	json_object_set_new(request, "card", json_string(client->arguments[0]));
	client->ask.descriptor = file->fd;
	code = ask_and_tell(client, request);
	if (code)
		return code;
	ret = os_newfile_publish(file);
	if (ret < 0)
		fprintf(stderr, "karuta-controller: %s: %s\n", client->arguments[1],
			strerror(-ret));
	return ret < 0;
}

int client_snapshot(int argc, char **argv)
{
	static const struct command_line line = {.accepts = "", .least = 2, .most = 2};
	struct client client = {
		.verb = "snapshot",
		.usage = "NAME CARD|SLOT FILE [--socket PATH]\n\nMakes FILE, a volume with the "
			 "same key, of what the card's volume is at one instant.\nThe two share "
			 "their blocks: both have to be on one btrfs or XFS (reflink)."};
	struct os_newfile file = OS_NEWFILE_NONE;
	int code = read_command_line(&client, &line, argc, argv), ret;

	if (code)
		return code - 1;
	ret = os_newfile_open(&file, client.arguments[1]);
	if (ret < 0)
		fprintf(stderr, "karuta-controller: %s: %s\n", client.arguments[1], strerror(-ret));
	code = ret < 0 ? 1 : take_snapshot(&client, &file);
	os_newfile_close(&file);
	return code;
}

int client_attach(int argc, char **argv)
{
	static const struct command_line line = {.least = 1, .most = 8, .accepts = ""};
	struct client client = {
		.verb = "attach",
		.usage = "NAME CARD.json|MEMBER=VALUE... [--socket PATH]\n\nThe card is described "
			 "as in karuta-instance(5), by a file or like this:\n  kind=volume "
			 "store=data.vol key_fd=5 name=data 5<data.key"};
	struct error error = {0};
	int code = read_command_line(&client, &line, argc, argv);
	json_t *request, *card = NULL;

	if (code)
		return code - 1;
	if (client_card_read(client.arguments, client.argument_count, &card, &client.ask.descriptor,
			     &error) < 0) {
		fail(&error);
		return 2;
	}
	request = make_request(&client);
	json_object_set_new(request, "card", card);
	return ask_and_tell(&client, request);
}

int client_status(int argc, char **argv)
{
	static const struct command_line line = {.accepts = "j"};
	struct client client = {.verb = "status", .usage = "NAME [--json] [--socket PATH]"};
	struct error error = {0};
	json_t *answer = NULL;
	int code = read_command_line(&client, &line, argc, argv);

	if (code)
		return code - 1;
	if (ask_controller(&client.ask, make_request(&client), &answer, &error) < 0) {
		os_close(&client.ask.connection);
		return fail(&error);
	}
	json_object_del(answer, "code");
	if (client.json)
		show_json(answer);
	else
		show_status(answer);
	json_decref(answer);
	os_close(&client.ask.connection);
	return 0;
}

int client_console(int argc, char **argv)
{
	static const struct command_line line = {.accepts = ""};
	struct client client = {.verb = "console", .usage = "NAME [--socket PATH]"};
	struct error error = {0};
	json_t *answer = NULL;
	int code = read_command_line(&client, &line, argc, argv);

	if (code)
		return code - 1;
	if (ask_controller(&client.ask, make_request(&client), &answer, &error) < 0) {
		os_close(&client.ask.connection);
		return fail(&error);
	}
	json_decref(answer);
	code = show_stream(client.ask.connection);
	os_close(&client.ask.connection);
	return code;
}
