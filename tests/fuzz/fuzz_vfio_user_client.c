/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vfio-user client against a card that says anything. The input is a list of calls, each with
 * what the card has put into the socket for it:
 *
 *	call, argument, kind of answer, descriptors, length, body
 *
 * All of the card's words are there before the first call and its end is shut after them, so that
 * nothing is waited for. Broken promises abort: a call that succeeds on a dead link, a descriptor
 * left behind, an area outside its region.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/cursor.h"
#include "os/fd.h"
#include "vfu/vfu_client.h"
#include "wire/vfio_user.h"

#define MOST_CALLS 32
#define MOST_FDS   512

enum call {
	CALL_NEGOTIATE,
	CALL_INFO,
	CALL_REGION,
	CALL_IRQ,
	CALL_IO_FDS,
	CALL_MAP,
	CALL_UNMAP,
	CALL_READ,
	CALL_WRITE,
	CALL_POST,
	CALL_BIND,
	CALL_DISABLE,
	CALL_RESET,
	CALL_POLL,
	CALL_BEHIND,
	CALLS
};

static const uint16_t commands[CALLS] = {
	[CALL_NEGOTIATE] = VFIO_USER_VERSION,
	[CALL_INFO] = VFIO_USER_GET_INFO,
	[CALL_REGION] = VFIO_USER_GET_REGION_INFO,
	[CALL_IRQ] = VFIO_USER_GET_IRQ_INFO,
	[CALL_IO_FDS] = VFIO_USER_GET_REGION_IO_FDS,
	[CALL_MAP] = VFIO_USER_DMA_MAP,
	[CALL_UNMAP] = VFIO_USER_DMA_UNMAP,
	[CALL_READ] = VFIO_USER_REGION_READ,
	[CALL_WRITE] = VFIO_USER_REGION_WRITE,
	[CALL_POST] = VFIO_USER_DMA_READ,
	[CALL_BIND] = VFIO_USER_SET_IRQS,
	[CALL_DISABLE] = VFIO_USER_SET_IRQS,
	[CALL_RESET] = VFIO_USER_RESET,
	[CALL_POLL] = VFIO_USER_DMA_WRITE,
	[CALL_BEHIND] = VFIO_USER_REGION_WRITE,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int dma(uint64_t address, uint64_t length)
{
	return length && length <= 65536 && address % 2 ? -ENODEV : 0;
}

static int dma_read(void *context, uint64_t address, void *to, uint64_t length)
{
	(void)context;
	memset(to, 1, length);
	return dma(address, length);
}

static int dma_write(void *context, uint64_t address, const void *from, uint64_t length)
{
	volatile uint8_t last = ((const uint8_t *)from)[length - 1];

	(void)context;
	(void)last;
	return dma(address, length);
}

static const struct vfu_client_ops ops = {.dma_read = dma_read, .dma_write = dma_write};

static unsigned count_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < MOST_FDS; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* The kind of answer: 0 right, 1 an error, 2 a command of the card's, 3 any header. Returns the
 * call, or -1 at the end of the input. */
static int card_says(int card, struct cursor *input, uint16_t *id)
{
	struct {
		struct vfio_user_header header;
		uint8_t body[2048];
	} message = {.header = {.flags = VFIO_USER_TYPE_REPLY}};
	uint8_t call = cursor_u8(input) % CALLS;
	uint8_t kind = cursor_u8(input);
	size_t fd_count = cursor_u8(input) % 140;
	size_t length = min_u64(cursor_u16(input), min_u64(input->left, sizeof(message.body)));
	struct iovec iov = {.iov_base = &message};
	int fds[140];

	if (input->failed)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = card;
	cursor_copy(input, message.body, length);
	message.header.id = call == CALL_POLL ? 0 : *id;
	message.header.command = commands[call];
	message.header.size = (uint32_t)(sizeof(message.header) + length);
	if (kind % 4 == 1) {
		message.header.flags |= VFIO_USER_ERROR;
		message.header.error = kind >> 2;
	} else if (kind % 4 == 2 || call == CALL_POLL) {
		message.header.flags = kind & VFIO_USER_NO_REPLY;
		message.header.command = 11 + (kind >> 6) % 2;
	} else if (kind % 4 == 3) {
		cursor_copy(input, &message.header, min_u64(input->left, sizeof(message.header)));
	}
	iov.iov_len = sizeof(message.header) + length;
	if (call != CALL_POST)
		os_send(card, &iov, 1, fds, kind & 0x80 ? fd_count : 0, MSG_DONTWAIT);
	*id = (uint16_t)(*id + (call != CALL_POLL));
	return call;
}

static int ask_region(struct vfu_client *client, unsigned index)
{
	struct vfu_region_info info = {.fd = -1};
	int ret = vfu_client_region(client, index, &info);

	for (size_t i = 0; !ret && i < info.area_count; i++)
		if (!info.areas[i].size || info.areas[i].offset % 4096 ||
		    !range_within(info.areas[i].offset, info.areas[i].size, info.size))
			abort();
	os_close(&info.fd);
	return ret;
}

static int ask_io_fds(struct vfu_client *client)
{
	struct vfu_client_io_fd io_fds[VFU_CLIENT_IO_FDS];
	int ret = vfu_client_io_fds(client, 0, io_fds);

	if (ret > (int)VFU_CLIENT_IO_FDS)
		abort();
	for (int i = 0; i < ret; i++) {
		if (io_fds[i].fd < 0 || io_fds[i].size > 8)
			abort();
		if (io_fds[i].owned)
			os_close(&io_fds[i].fd);
	}
	return ret < 0 ? ret : 0;
}

static int make_call(struct vfu_client *client, enum call call, int fd)
{
	int fds[3] = {fd, fd, fd};
	struct vfu_info info;
	uint8_t bytes[64] = {0};
	uint32_t count;

	switch (call) {
	case CALL_NEGOTIATE:
		return vfu_client_negotiate(client, NULL);
	case CALL_INFO:
		return vfu_client_info(client, &info);
	case CALL_REGION:
		return ask_region(client, 0);
	case CALL_IRQ:
		return vfu_client_irq(client, 2, &count);
	case CALL_IO_FDS:
		return ask_io_fds(client);
	case CALL_MAP:
		return vfu_client_dma_map(client, 0x1000, 0x1000, fd, 0, true);
	case CALL_UNMAP:
		return vfu_client_dma_unmap(client, 0x1000, 0x1000);
	case CALL_READ:
		return vfu_client_read(client, 0, 8, bytes, sizeof(bytes));
	case CALL_WRITE:
		return vfu_client_write(client, 0, 8, bytes, 4);
	case CALL_POST:
		return vfu_client_post(client, 0, 8, bytes, 8);
	case CALL_BEHIND:
		return vfu_client_write_behind(client, 0, 8, bytes, 8);
	case CALL_BIND:
		return vfu_client_bind_irqs(client, 2, 0, fds, ARRAY_LEN(fds));
	case CALL_DISABLE:
		return vfu_client_disable_irqs(client, 2);
	case CALL_RESET:
		return vfu_client_reset(client);
	default:
		return vfu_client_poll(client);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(data, size);
	unsigned fds_before = count_fds();
	struct vfu_client *client;
	int calls[MOST_CALLS], count = 0, pair[2];
	uint16_t id = 1;

	if (os_socket_pair(pair) || vfu_client_create(&client, pair[0], &ops, NULL, 20))
		abort();
	while (count < MOST_CALLS && (calls[count] = card_says(pair[1], &input, &id)) >= 0)
		count++;
	shutdown(pair[1], SHUT_WR);
	for (int i = 0; i < count; i++) {
		bool was_dead = vfu_client_is_dead(client);

		if (make_call(client, (enum call)calls[i], pair[1]) != -EPIPE && was_dead)
			abort();
	}
	vfu_client_destroy(client);
	os_close(&pair[1]);
	if (count_fds() != fds_before)
		abort();
	return 0;
}
