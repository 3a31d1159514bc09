/* SPDX-License-Identifier: Apache-2.0 */
/* What the controller asks of a card that serves: wire/command.h. The answer is on the status page.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "frame.h"
#include "os/fd.h"

static int resize(struct card *card, uint64_t size, struct error *error)
{
	if (!card->ops->resize)
		return error_set(error, EOPNOTSUPP, "a %s card cannot be resized", card->ops->name);
	return card->ops->resize(card, size, error);
}

static void freeze(struct card *card)
{
	if (card->ops->quiesce)
		card->ops->quiesce(card);
	card->frozen = true;
}

static void carry_out(struct card *card, const struct command *command)
{
	struct error error = {0};
	int err = 0;

	switch (command->verb) {
	case COMMAND_RESIZE:
		err = resize(card, command->size, &error);
		break;
	case COMMAND_FREEZE:
		freeze(card);
		break;
	case COMMAND_THAW:
		card->frozen = false;
		break;
	default:
		err = error_set(&error, EINVAL, "that is not for a card");
		break;
	}
	status_command_done(card->status, command->id, err, error.text);
}

/* 1: a command; 0: not yet; -EPROTO: not a command. */
static int next_command(struct card *card, struct command *command)
{
	int used = command_decode(command, card->command_bytes, card->command_length);

	if (used <= 0)
		return used;
	card->command_length -= (size_t)used;
	memmove(card->command_bytes, card->command_bytes + used, card->command_length);
	return 1;
}

/* A controller that is gone, or makes no sense, will not thaw it. */
static void stop_listening(struct card *card)
{
	card->frozen = false;
	card_commands_close(card);
}

static void take_commands(void *context, int fd, uint32_t events)
{
	struct card *card = context;
	struct command command;
	ssize_t length = read(fd, card->command_bytes + card->command_length,
			      sizeof(card->command_bytes) - card->command_length);
	int err;

	(void)events;
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length <= 0) {
		stop_listening(card);
		return;
	}
	card->command_length += (size_t)length;
	while ((err = next_command(card, &command)) > 0)
		carry_out(card, &command);
	if (err < 0)
		stop_listening(card);
}

int card_commands_open(struct card *card, struct error *error)
{
	int fd = card->settings.command_fd, err;

	if (fd < 0)
		return 0;
	err = os_set_nonblocking(fd, true);
	if (!err)
		err = os_loop_add(card->loop, fd, EPOLLIN, take_commands, card);
	return err ? error_set(error, -err, "commands: descriptor %d: %s", fd, strerror(-err)) : 0;
}

void card_commands_close(struct card *card)
{
	if (card->settings.command_fd < 0)
		return;
	os_loop_remove(card->loop, card->settings.command_fd);
	os_close(&card->settings.command_fd);
}
