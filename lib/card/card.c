/* SPDX-License-Identifier: Apache-2.0 */
/* What the frame gives a card to call, besides its interrupts (bus.c) and its state (state.c). */
#include <stdarg.h>
#include <stdio.h>

#include "frame.h"

void *card_device(struct card *card)
{
	return card->device;
}

void *card_shared(struct card *card)
{
	return card->shared;
}

struct os_loop *card_loop(struct card *card)
{
	return card->loop;
}

const struct mem_map *card_memory(struct card *card)
{
	return vfu_server_memory(card->server);
}

struct vfu_server *card_server(struct card *card)
{
	return card->server;
}

void card_count(struct card *card, enum status_card_counter counter, uint64_t amount)
{
	status_count_alone(card->status, counter, amount);
}

void card_security_event(struct card *card, const char *format, ...)
{
	char text[STATUS_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	card_count(card, STATUS_CARD_SECURITY_EVENTS, 1);
	status_set(card->status, card->ready ? STATUS_READY : STATUS_STARTING, STATUS_REASON_NONE,
		   text);
}
