/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/base.h"
#include "bus.h"
#include "card.h"
#include "os/fd.h"

static int dma_read(void *context, uint64_t address, void *to, uint64_t length)
{
	struct card *card = context;

	card->dma_reads++;
	if (address == CARD_NOWHERE)
		return -ENODEV;
	if (address == CARD_SLOW)
		usleep(1000);
	memset(to, 0x3c, length);
	return 0;
}

static int dma_write(void *context, uint64_t address, const void *from, uint64_t length)
{
	struct card *card = context;

	(void)from;
	(void)length;
	card->dma_writes++;
	return address == CARD_NOWHERE ? -ENODEV : 0;
}

static const struct vfu_client_ops ops = {.dma_read = dma_read, .dma_write = dma_write};

static void start_with(struct card *card, const struct vfu_client_ops *with, unsigned deadline_ms)
{
	int pair[2];

	*card = (struct card){.fds_before = bus_count_fds()};
	assert_int_equal(os_socket_pair(pair), 0);
	card->socket = pair[1];
	assert_int_equal(vfu_client_create(&card->client, pair[0], with, card, deadline_ms), 0);
}

void card_start(struct card *card, unsigned deadline_ms)
{
	start_with(card, &ops, deadline_ms);
}

void card_start_without_ops(struct card *card)
{
	start_with(card, NULL, CARD_LONG_MS);
}

void card_end(struct card *card)
{
	vfu_client_destroy(card->client);
	os_close(&card->socket);
	assert_int_equal(bus_count_fds(), card->fds_before);
}

void card_says(struct card *card, struct vfio_user_header header, const void *body, size_t length,
	       size_t fd_count)
{
	struct iovec iov[2] = {{.iov_base = &header, .iov_len = sizeof(header)},
			       {.iov_base = (void *)(uintptr_t)body, .iov_len = length}};
	int fds[128];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = card->socket;
	header.size = header.size ? header.size : (uint32_t)(sizeof(header) + length);
	assert_int_equal(os_send(card->socket, iov, length ? 2 : 1, fds, fd_count, 0),
			 sizeof(header) + length);
}

void card_replies(struct card *card, uint16_t id, uint16_t command, const void *body, size_t length,
		  size_t fd_count)
{
	card_says(card,
		  (struct vfio_user_header){
			  .id = id, .command = command, .flags = VFIO_USER_TYPE_REPLY},
		  body, length, fd_count);
}

/* What the client has sent; the card must get exactly one message. */
struct vfio_user_header card_hears(struct card *card, uint8_t *body, size_t room)
{
	struct vfio_user_header header = {0};

	assert_int_equal(recv(card->socket, &header, sizeof(header), MSG_DONTWAIT), sizeof(header));
	assert_true(header.size - sizeof(header) <= room);
	if (header.size > sizeof(header))
		assert_int_equal(
			recv(card->socket, body, header.size - sizeof(header), MSG_DONTWAIT),
			header.size - sizeof(header));
	return header;
}

void card_expect_dead(struct card *card)
{
	uint32_t word;

	assert_true(vfu_client_is_dead(card->client));
	assert_int_equal(vfu_client_read(card->client, 0, 0, &word, 4), -EPIPE);
	assert_int_equal(vfu_client_post(card->client, 0, 0, &word, 4), -EPIPE);
	assert_int_equal(vfu_client_reset(card->client), -EPIPE);
	assert_int_equal(vfu_client_poll(card->client), -EPIPE);
}
