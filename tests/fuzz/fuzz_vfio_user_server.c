/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vfio-user server under a client that says anything. The input is a list of steps:
 *
 *	message: command, flags, descriptors, length, body		a message with a right
 *header bytes: length, bytes						a message with any header
 *	turn								the server works
 *	transfer: address, length					the device's own DMA, by
 *message touch: address, length						the device uses the
 *windows again								the client leaves, another
 *comes
 *
 * Broken promises abort: an answer too many or too few, a window or a descriptor left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/cursor.h"
#include "os/fd.h"
#include "os/sigbus.h"
#include "vfu/vfu_server.h"
#include "wire/vfio_user.h"

#define BAR_SIZE    0x2000u
#define WINDOW_SIZE 0x10000
#define MOST_FDS    256

enum step { STEP_MESSAGE, STEP_BYTES, STEP_TURN, STEP_TRANSFER, STEP_TOUCH, STEP_AGAIN, STEPS };

struct fuzz {
	struct vfu_device device;
	struct vfu_io_fd io_fds[2];
	struct vfu_server *server;
	struct os_loop *loop;
	int peer;
	int window, event, pipe[2];
	uint8_t bar[BAR_SIZE];
	/* Until the client says something whose meaning the test does not know. */
	bool counting;
	unsigned asked, answered;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int device_read(void *context, unsigned region, uint64_t offset, void *to, uint32_t length)
{
	struct fuzz *fuzz = context;

	if (region != 0 || !length || !range_within(offset, length, BAR_SIZE))
		abort();
	memcpy(to, fuzz->bar + offset, length);
	return 0;
}

static int device_write(void *context, unsigned region, uint64_t offset, const void *from,
			uint32_t length)
{
	struct fuzz *fuzz = context;

	if (region != 0 || !length || !range_within(offset, length, BAR_SIZE))
		abort();
	memcpy(fuzz->bar + offset, from, length);
	return offset & 0x1000 ? -EPERM : 0;
}

static void device_reset(void *context, enum vfu_reset reason)
{
	struct fuzz *fuzz = context;

	if (reason == VFU_RESET_LOST && mem_count(vfu_server_memory(fuzz->server)))
		abort();
}

static void device_quiesce(void *context)
{
	(void)context;
}

static const struct vfu_device_ops ops = {
	.read = device_read,
	.write = device_write,
	.reset = device_reset,
	.quiesce = device_quiesce,
};

static unsigned count_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < MOST_FDS; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void say(struct fuzz *fuzz, const void *bytes, size_t length, const int *fds, size_t count)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};

	if (os_send(fuzz->peer, &iov, 1, fds, count, MSG_DONTWAIT) != (ssize_t)length)
		fuzz->counting = false;
}

/* Takes what the server says, and looks at each message. */
static void listen_to(struct fuzz *fuzz)
{
	static uint8_t body[VFIO_USER_MAX_MESSAGE];
	struct vfio_user_header header;
	int fds[OS_MAX_FDS];
	size_t count;

	while (os_receive(fuzz->peer, &header, sizeof(header), fds, OS_MAX_FDS, &count,
			  MSG_DONTWAIT) == sizeof(header)) {
		for (size_t i = 0; i < count; i++)
			os_close(&fds[i]);
		if (header.size < sizeof(header) || header.size > sizeof(body))
			abort();
		if (header.size > sizeof(header) &&
		    recv(fuzz->peer, body, header.size - sizeof(header), MSG_DONTWAIT) !=
			    (ssize_t)(header.size - sizeof(header)))
			return; /* the rest waits in the server */
		if (header.flags == VFIO_USER_TYPE_COMMAND)
			continue;
		if ((header.flags & ~VFIO_USER_ERROR) != VFIO_USER_TYPE_REPLY)
			abort();
		fuzz->answered++;
	}
}

static void turn(struct fuzz *fuzz)
{
	for (int i = 0; os_loop_once(fuzz->loop, 0) > 0; i++) {
		listen_to(fuzz);
		if (i > 10000)
			abort();
	}
	listen_to(fuzz);
	if (fuzz->counting && vfu_server_has_client(fuzz->server) && fuzz->asked != fuzz->answered)
		abort();
}

static void connect_again(struct fuzz *fuzz)
{
	static const struct {
		struct vfio_user_header header;
		char body[4];
	} version = {{.command = VFIO_USER_VERSION, .size = 20}, {0}};
	int pair[2];

	os_close(&fuzz->peer);
	fuzz->counting = false;
	turn(fuzz);
	if (os_socket_pair(pair))
		abort();
	fuzz->peer = pair[0];
	if (vfu_server_adopt(fuzz->server, pair[1]))
		abort();
	fuzz->asked = 1;
	fuzz->answered = 0;
	fuzz->counting = true;
	say(fuzz, &version, sizeof(version), NULL, 0);
	turn(fuzz);
}

static void send_message(struct fuzz *fuzz, struct cursor *input)
{
	const int kinds[] = {fuzz->window, fuzz->event, fuzz->pipe[1], fuzz->peer};
	uint8_t message[1024];
	struct vfio_user_header header = {.id = cursor_u8(input)};
	int fds[32];
	size_t length, count;
	uint8_t kind;

	header.command = cursor_u8(input) % 20;
	header.flags = cursor_u8(input) & 0x3f;
	kind = cursor_u8(input);
	count = kind >> 3;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = kinds[kind & 3];
	length = min_u64(min_u64(cursor_u16(input), input->left), sizeof(message) - sizeof(header));
	cursor_copy(input, message + sizeof(header), length);
	header.size = (uint32_t)(sizeof(header) + length);
	memcpy(message, &header, sizeof(header));
	if ((header.flags & VFIO_USER_TYPE_MASK) != VFIO_USER_TYPE_REPLY &&
	    !(header.flags & VFIO_USER_NO_REPLY))
		fuzz->asked++;
	say(fuzz, message, header.size, fds, count);
}

static void send_bytes(struct fuzz *fuzz, struct cursor *input)
{
	uint8_t bytes[256];
	size_t length = min_u64(min_u64(cursor_u8(input), input->left), sizeof(bytes));

	cursor_copy(input, bytes, length);
	fuzz->counting = false;
	if (length)
		say(fuzz, bytes, length, &fuzz->window, bytes[0] & 1);
}

/* What the client has said so far are its answers; then it is silent, for good, so that nothing is
 * waited for. */
static void transfer(struct fuzz *fuzz, struct cursor *input)
{
	static uint8_t bytes[0x20000];
	uint64_t address = cursor_u64(input);
	uint64_t length = cursor_u32(input) % sizeof(bytes);

	shutdown(fuzz->peer, SHUT_WR);
	fuzz->counting = false;
	if (length & 1)
		vfu_server_dma_read(fuzz->server, address, bytes, length);
	else
		vfu_server_dma_write(fuzz->server, address, bytes, length);
	connect_again(fuzz);
}

static void touch(struct fuzz *fuzz, struct cursor *input)
{
	uint8_t bytes[4096] = {0};
	uint64_t address = cursor_u64(input);
	uint64_t length = cursor_u16(input) % sizeof(bytes);

	mem_read(vfu_server_memory(fuzz->server), address, bytes, length);
	mem_write(vfu_server_memory(fuzz->server), address, bytes, length);
	vfu_server_interrupt(fuzz->server, (unsigned)address & 7, (unsigned)length & 15);
}

static void start(struct fuzz *fuzz)
{
	os_sigbus_install();
	fuzz->peer = -1;
	fuzz->window = memfd_create("window", MFD_CLOEXEC);
	fuzz->event = os_eventfd();
	if (fuzz->window < 0 || ftruncate(fuzz->window, WINDOW_SIZE) || os_pipe(fuzz->pipe))
		abort();
	for (size_t i = 0; i < VFU_REGIONS; i++)
		fuzz->device.regions[i].map_fd = -1;
	fuzz->device.regions[0] = (struct vfu_region){.size = BAR_SIZE,
						      .readable = true,
						      .writable = true,
						      .map_fd = fuzz->window,
						      .areas = {{0x1000, 0x1000}},
						      .area_count = 1};
	fuzz->device.irq_counts[VFU_IRQ_MSIX] = 8;
	fuzz->io_fds[0] = (struct vfu_io_fd){.offset = 0x1000, .size = 4, .fd = fuzz->event};
	fuzz->io_fds[1] = (struct vfu_io_fd){.offset = 0x1004, .size = 4, .fd = fuzz->pipe[0]};
	fuzz->device.io_fds = fuzz->io_fds;
	fuzz->device.io_fd_count = ARRAY_LEN(fuzz->io_fds);
	if (os_loop_create(&fuzz->loop) ||
	    vfu_server_create(&fuzz->server, &fuzz->device, &ops, fuzz, fuzz->loop))
		abort();
	connect_again(fuzz);
}

static void end(struct fuzz *fuzz)
{
	os_close(&fuzz->peer);
	fuzz->counting = false;
	while (os_loop_once(fuzz->loop, 0) > 0)
		;
	if (mem_count(vfu_server_memory(fuzz->server)) || vfu_server_has_client(fuzz->server))
		abort();
	vfu_server_destroy(fuzz->server);
	os_loop_destroy(fuzz->loop);
	os_close(&fuzz->window);
	os_close(&fuzz->event);
	os_close(&fuzz->pipe[0]);
	os_close(&fuzz->pipe[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(data, size);
	unsigned fds_before = count_fds();
	static struct fuzz fuzz;

	memset(&fuzz, 0, sizeof(fuzz));
	start(&fuzz);
	for (int steps = 0; input.left && steps < 200; steps++) {
		switch (cursor_u8(&input) % STEPS) {
		case STEP_MESSAGE:
			send_message(&fuzz, &input);
			break;
		case STEP_BYTES:
			send_bytes(&fuzz, &input);
			break;
		case STEP_TURN:
			turn(&fuzz);
			break;
		case STEP_TRANSFER:
			transfer(&fuzz, &input);
			break;
		case STEP_TOUCH:
			touch(&fuzz, &input);
			break;
		case STEP_AGAIN:
			connect_again(&fuzz);
			break;
		}
	}
	turn(&fuzz);
	end(&fuzz);
	if (count_fds() != fds_before)
		abort();
	return 0;
}
