/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: the frame's options and the card's own in one table. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "frame.h"

#define MAX_OPTIONS 48

enum frame_option {
	BUS_FD,
	LISTEN,
	STATE_FD,
	STATUS_FD,
	STAND_BY,
	COMMAND_FD,
	POLL,
	USER,
	STATE_SIZE,
	HELP,
	VERSION,
	FRAME_OPTIONS
};

static const struct card_option frame_options[] = {
	[BUS_FD] = {"bus-fd", "N", "serve the one client on this descriptor, then exit"},
	[LISTEN] = {"listen", "PATH", "serve clients on this socket, one after the other"},
	[STATE_FD] = {"state-fd", "N", "state area that outlives the program (a sealed memfd)"},
	[STATUS_FD] = {"status-fd", "N", "status page (a sealed memfd)"},
	[STAND_BY] = {"stand-by", NULL,
		      "get ready, then wait for the process that has the state area"},
	[COMMAND_FD] = {"command-fd", "N", "pipe that the controller's commands come on"},
	[POLL] = {"poll", NULL, "never sleep; the client rings by shared memory (--bus-fd)"},
	[USER] = {"user", "ID", "user and group id to take; only as root"},
	[STATE_SIZE] = {"state-size", NULL, "print how big a state area is needed, in bytes"},
	[HELP] = {"help", NULL, "print this"},
	[VERSION] = {"version", NULL, "print the version"},
};

static void print_option(const struct card_option *option)
{
	int width = printf("  --%s%s%s", option->name, option->argument ? " " : "",
			   option->argument ? option->argument : "");

	printf("%*s%s\n", width < 24 ? 24 - width : 1, "", option->help);
}

static void print_help(const struct card_ops *ops)
{
	printf("karuta-card-%s: %s\n\n"
	       "usage: karuta-card-%s (--listen PATH | --bus-fd N) [option ...]\n\n",
	       ops->name, ops->summary, ops->name);
	for (size_t i = 0; i < ops->option_count; i++)
		print_option(&ops->options[i]);
	for (size_t i = 0; i < FRAME_OPTIONS; i++)
		print_option(&frame_options[i]);
}

static int parse_number(const char *name, const char *text, unsigned long max, unsigned long *value,
			struct error *error)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || *value > max)
		return error_set(error, EINVAL, "--%s %s: not a number from 0 to %lu", name, text,
				 max);
	return 0;
}

static int parse_fd(const char *name, const char *text, int *fd, struct error *error)
{
	unsigned long value;
	int err = parse_number(name, text, INT_MAX, &value, error);

	if (err)
		return err;
	if (value <= STDERR_FILENO || fcntl((int)value, F_SETFD, FD_CLOEXEC) < 0)
		return error_set(error, EBADF,
				 "--%s %s: no such descriptor was handed to the program", name,
				 text);
	*fd = (int)value;
	return 0;
}

static int parse_user(const char *text, uid_t *user, struct error *error)
{
	unsigned long value;
	int err = parse_number("user", text, UINT32_MAX - 1, &value, error);

	if (err)
		return err;
	if (!value || geteuid())
		return error_set(error, EINVAL, "--user %s: %s", text,
				 value ? "only root can take another user id"
				       : "a card does not run as root");
	*user = (uid_t)value;
	return 0;
}

static int print_answer(const struct card *card, enum frame_option option)
{
	if (option == STATE_SIZE)
		printf("%zu\n", card_state_needed(card->ops));
	else if (option == VERSION)
		printf("karuta-card-%s %s\n", card->ops->name, KARUTA_VERSION);
	else
		print_help(card->ops);
	return fflush(stdout) ? -errno : 0;
}

static int take_frame_option(struct card *card, enum frame_option option, const char *argument,
			     struct error *error)
{
	const char *name = frame_options[option].name;

	switch (option) {
	case BUS_FD:
		return parse_fd(name, argument, &card->settings.bus_fd, error);
	case STATE_FD:
		return parse_fd(name, argument, &card->settings.state_fd, error);
	case STATUS_FD:
		return parse_fd(name, argument, &card->settings.status_fd, error);
	case STAND_BY:
		card->settings.stand_by = true;
		return 0;
	case COMMAND_FD:
		return parse_fd(name, argument, &card->settings.command_fd, error);
	case LISTEN:
		card->settings.listen = argument;
		return 0;
	case POLL:
		card->settings.poll = true;
		return 0;
	case USER:
		return parse_user(argument, &card->settings.user, error);
	case STATE_SIZE:
	case HELP:
	case VERSION:
	case FRAME_OPTIONS:
		break;
	}
	return print_answer(card, option);
}

static bool is_question(size_t index)
{
	return index == STATE_SIZE || index == HELP || index == VERSION;
}

static int take_option(struct card *card, size_t index, const char *argument, struct error *error)
{
	const struct card_ops *ops = card->ops;

	if (index < FRAME_OPTIONS)
		return take_frame_option(card, (enum frame_option)index, argument, error);
	return ops->option(card, ops->options[index - FRAME_OPTIONS].name, argument, error);
}

/* getopt's values: 1 + the index in the table of the frame, then of the card. */
static void fill_table(struct option table[MAX_OPTIONS + 1], const struct card_ops *ops)
{
	for (size_t i = 0; i < MAX_OPTIONS && i < FRAME_OPTIONS + ops->option_count; i++) {
		const struct card_option *option =
			i < FRAME_OPTIONS ? &frame_options[i] : &ops->options[i - FRAME_OPTIONS];

		table[i] = (struct option){.name = option->name,
					   .has_arg = option->argument ? required_argument
								       : no_argument,
					   .val = (int)i + 1};
	}
}

/* One of the options cannot be obeyed as long as the other is there. */
static int check_settings(const struct card *card, struct error *error)
{
	const struct card_settings *settings = &card->settings;

	if (!settings->listen == (settings->bus_fd < 0))
		return error_set(error, EINVAL,
				 "one of --listen PATH and --bus-fd N is needed; try --help");
	if (settings->stand_by && (settings->state_fd < 0 || settings->status_fd < 0))
		return error_set(
			error, EINVAL,
			"--stand-by needs --state-fd and --status-fd: those of the process "
			"that it goes on from");
	/* Memory that was shared once is shared for good. */
	if (settings->poll && settings->listen)
		return error_set(error, EINVAL,
				 "--poll needs --bus-fd: a client that has left a socket could go "
				 "on ringing for the next one");
	return 0;
}

int card_options_parse(struct card *card, int argc, char **argv, bool *is_said, struct error *error)
{
	struct option table[MAX_OPTIONS + 1] = {0};
	int value, err;

	fill_table(table, card->ops);
	opterr = 0;
	while ((value = getopt_long(argc, argv, "+:", table, NULL)) != -1) {
		if (value == '?')
			return error_set(error, EINVAL, "%s: unknown option; try --help",
					 argv[optind - 1]);
		if (value == ':')
			return error_set(error, EINVAL, "%s: needs an argument; try --help",
					 argv[optind - 1]);
		err = take_option(card, (size_t)value - 1, optarg, error);
		*is_said = is_question((size_t)value - 1);
		if (err || *is_said)
			return err;
	}
	if (optind < argc)
		return error_set(error, EINVAL, "%s: unexpected argument; try --help",
				 argv[optind]);
	return check_settings(card, error);
}
