/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile clients of the server: DMA by message. The peer's answers are put into the socket before
 * the server asks: its first message has id 0.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/base.h"
#include "bus.h"
#include "os/fd.h"

static struct bus bus;

struct dma {
	struct vfio_user_dma_access access;
	uint8_t data[64];
};

static void reply_to(uint16_t id, uint16_t command, uint64_t address, uint64_t count, size_t data)
{
	struct vfio_user_header header = {
		.id = id, .command = command, .flags = VFIO_USER_TYPE_REPLY};
	struct dma dma = {.access = {.address = address, .count = count}};

	memset(dma.data, 0x5a, sizeof(dma.data));
	bus_send(&bus, header, &dma, sizeof(dma.access) + data, NULL, 0);
}

static void refuse_with(uint32_t error, uint16_t id, uint16_t command)
{
	struct vfio_user_header header = {.id = id,
					  .command = command,
					  .flags = VFIO_USER_TYPE_REPLY | VFIO_USER_ERROR,
					  .error = error};

	bus_send(&bus, header, NULL, 0, NULL, 0);
}

static void expect_request(uint16_t id, uint16_t command, uint64_t address, uint64_t count,
			   size_t data)
{
	struct bus_message message;
	struct vfio_user_dma_access access;

	assert_true(bus_receive(&bus, &message));
	assert_int_equal(message.header.id, id);
	assert_int_equal(message.header.command, command);
	assert_int_equal(message.header.flags, VFIO_USER_TYPE_COMMAND);
	assert_int_equal(message.length, sizeof(access) + data);
	memcpy(&access, message.body, sizeof(access));
	assert_int_equal(access.address, address);
	assert_int_equal(access.count, count);
}

static void reads_and_writes(void **state)
{
	uint8_t bytes[16] = {0};

	(void)state;
	bus_open(&bus);
	reply_to(0, VFIO_USER_DMA_READ, 0x1000, 16, 16);
	assert_int_equal(vfu_server_dma_read(bus.server, 0x1000, bytes, 16), 0);
	assert_int_equal(bytes[15], 0x5a);
	expect_request(0, VFIO_USER_DMA_READ, 0x1000, 16, 0);
	reply_to(1, VFIO_USER_DMA_WRITE, 0x2000, 16, 0);
	assert_int_equal(vfu_server_dma_write(bus.server, 0x2000, bytes, 16), 0);
	expect_request(1, VFIO_USER_DMA_WRITE, 0x2000, 16, 16);
	assert_int_equal(vfu_server_dma_read(bus.server, 0x1000, bytes, 0), 0);
	bus_end(&bus);
}

static void short_answers_are_gone_on_from(void **state)
{
	uint8_t bytes[16] = {0};

	(void)state;
	bus_open(&bus);
	reply_to(0, VFIO_USER_DMA_READ, 0x1000, 10, 10);
	reply_to(1, VFIO_USER_DMA_READ, 0x100a, 6, 6);
	assert_int_equal(vfu_server_dma_read(bus.server, 0x1000, bytes, 16), 0);
	assert_int_equal(bytes[15], 0x5a);
	expect_request(0, VFIO_USER_DMA_READ, 0x1000, 16, 0);
	expect_request(1, VFIO_USER_DMA_READ, 0x100a, 6, 0);
	bus_end(&bus);
}

static void requests_are_cut_to_64_kib_and_the_client_limit(void **state)
{
	static const char version[] = "\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":32}}";
	static uint8_t bytes[100000];

	(void)state;
	bus_open(&bus);
	refuse_with(14, 0, VFIO_USER_DMA_READ);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, bytes, sizeof(bytes)), -EFAULT);
	expect_request(0, VFIO_USER_DMA_READ, 0, 65536, 0);
	bus_end(&bus);
	bus_start(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, version, sizeof(version), NULL, 0, NULL),
			 0);
	reply_to(0, VFIO_USER_DMA_WRITE, 0, 32, 0);
	reply_to(1, VFIO_USER_DMA_WRITE, 32, 8, 0);
	assert_int_equal(vfu_server_dma_write(bus.server, 0, bytes, 40), 0);
	expect_request(0, VFIO_USER_DMA_WRITE, 0, 32, 32);
	expect_request(1, VFIO_USER_DMA_WRITE, 32, 8, 8);
	bus_end(&bus);
}

static void refusal_is_no_reason_to_end(void **state)
{
	uint8_t byte;

	(void)state;
	bus_open(&bus);
	refuse_with(ENODEV, 0, VFIO_USER_DMA_READ);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), -EFAULT);
	reply_to(1, VFIO_USER_DMA_READ, 0, 0, 0);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), -EFAULT);
	assert_int_equal(vfu_server_dma_read(bus.server, UINT64_MAX, &byte, 2), -EFAULT);
	assert_true(vfu_server_has_client(bus.server));
	bus_end(&bus);
}

static void wrong_replies_end_the_link(void **state)
{
	static const struct {
		const char *what;
		uint16_t command;
		uint64_t address, count;
		size_t data;
	} wrong[] = {
		{"command", VFIO_USER_DMA_WRITE, 0x1000, 16, 16},
		{"address", VFIO_USER_DMA_READ, 0x1001, 16, 16},
		{"more than asked", VFIO_USER_DMA_READ, 0x1000, 17, 17},
		{"huge", VFIO_USER_DMA_READ, 0x1000, UINT64_MAX, 16},
		{"data short", VFIO_USER_DMA_READ, 0x1000, 16, 15},
		{"data long", VFIO_USER_DMA_READ, 0x1000, 16, 17},
		{"no data", VFIO_USER_DMA_READ, 0x1000, 16, 0},
	};
	uint8_t bytes[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		bus_open(&bus);
		reply_to(0, wrong[i].command, wrong[i].address, wrong[i].count, wrong[i].data);
		if (vfu_server_dma_read(bus.server, 0x1000, bytes, 16) != -EPIPE)
			fail_msg("%s", wrong[i].what);
		assert_false(vfu_server_has_client(bus.server));
		assert_int_equal(bus.lost, 0); /* not inside the call */
		bus_turn(&bus);
		assert_int_equal(bus.lost, 1);
		assert_int_equal(vfu_server_dma_read(bus.server, 0x1000, bytes, 16), -EPIPE);
		bus_end(&bus);
	}
}

static void bad_error_reply_ends_the_link(void **state)
{
	static const uint32_t errors[] = {0, 4096, UINT32_MAX};
	uint8_t byte;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		bus_open(&bus);
		refuse_with(errors[i], 0, VFIO_USER_DMA_READ);
		assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), -EPIPE);
		bus_end(&bus);
	}
}

static void reply_to_something_else_is_dropped(void **state)
{
	uint8_t byte;

	(void)state;
	bus_open(&bus);
	reply_to(7, VFIO_USER_DMA_READ, 0, 1, 1);
	reply_to(0, VFIO_USER_DMA_READ, 0, 1, 1);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), 0);
	assert_int_equal(vfu_server_counters(bus.server).protocol_errors, 1);
	bus_end(&bus);
}

static void silence_ends_the_link(void **state)
{
	uint8_t byte;

	(void)state;
	bus_open(&bus);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), -ETIMEDOUT);
	assert_false(vfu_server_has_client(bus.server));
	bus_turn(&bus);
	assert_int_equal(bus.lost, 1);
	bus_end(&bus);
}

static void half_a_reply_ends_the_link(void **state)
{
	struct vfio_user_header header = {
		.command = VFIO_USER_DMA_READ, .flags = VFIO_USER_TYPE_REPLY, .size = 33};
	uint8_t byte;

	(void)state;
	bus_open(&bus);
	bus_send_bytes(&bus, &header, sizeof(header), NULL, 0);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), -ETIMEDOUT);
	assert_false(vfu_server_has_client(bus.server));
	bus_end(&bus);
}

static void death_ends_the_wait(void **state)
{
	uint8_t byte;

	(void)state;
	bus_open(&bus);
	os_close(&bus.peer);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), -EPIPE);
	bus_turn(&bus);
	assert_int_equal(bus.lost, 1);
	bus_end(&bus);
}

static void callbacks_may_not_wait(void **state)
{
	struct vfio_user_region_access access = {.count = 0};
	uint8_t body[20] = {0};

	(void)state;
	access.count = 4;
	memcpy(body, &access, sizeof(access));
	bus_open(&bus);
	bus.dma_in_callback = 1;
	assert_int_equal(bus_ask(&bus, VFIO_USER_REGION_WRITE, body, sizeof(body), NULL, 0, NULL),
			 0);
	assert_int_equal(bus.dma_in_callback, -EDEADLK);
	bus_end(&bus);
}

static void ask_later(uint16_t id, uint16_t command, const void *body, size_t length)
{
	bus_send(&bus, (struct vfio_user_header){.id = id, .command = command}, body, length, NULL,
		 0);
}

static void expect_answer(uint16_t id, uint16_t command)
{
	struct bus_message message;

	assert_true(bus_receive(&bus, &message));
	assert_int_equal(message.header.id, id);
	assert_int_equal(message.header.command, command);
	assert_int_equal(message.header.flags, VFIO_USER_TYPE_REPLY);
}

/* Reads are answered at once; from the first write on all is kept, and done in order later. */
static void requests_meanwhile(void **state)
{
	struct vfio_user_region_access read = {.count = 4};
	struct vfio_user_dma_map map = {.argsz = 32, .flags = 3, .size = 0x1000};
	struct vfio_user_dma_unmap unmap = {.argsz = 24, .size = 0x1000};
	uint8_t write[20] = {0}, byte;

	(void)state;
	memcpy(write, &read, sizeof(read));
	memset(write + 16, 0x77, 4);
	bus_open(&bus);
	ask_later(100, VFIO_USER_DMA_MAP, &map, sizeof(map));
	ask_later(101, VFIO_USER_REGION_READ, &read, sizeof(read));
	ask_later(102, VFIO_USER_REGION_WRITE, write, sizeof(write));
	ask_later(103, VFIO_USER_REGION_READ, &read, sizeof(read));
	ask_later(104, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap));
	ask_later(105, VFIO_USER_RESET, NULL, 0);
	reply_to(0, VFIO_USER_DMA_READ, 0, 1, 1);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), 0);
	assert_int_equal(bus.reads, 1);
	assert_int_equal(bus.writes + bus.resets + bus.quiesces, 0);
	expect_request(0, VFIO_USER_DMA_READ, 0, 1, 0);
	expect_answer(100, VFIO_USER_DMA_MAP);
	expect_answer(101, VFIO_USER_REGION_READ);
	bus_turn(&bus);
	assert_int_equal(bus.writes + bus.resets + bus.quiesces, 3);
	for (uint16_t id = 102; id <= 105; id++) {
		static const uint16_t commands[] = {10, 9, 3, 13};

		expect_answer(id, commands[id - 102]);
	}
	assert_int_equal(bus.bar[0], 0x77);
	bus_end(&bus);
}

/* A client that cannot answer before it is answered itself is not blamed for it. */
static void client_that_waits_for_us_is_kept(void **state)
{
	uint8_t byte;

	(void)state;
	bus_open(&bus);
	ask_later(100, VFIO_USER_RESET, NULL, 0);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), -ETIMEDOUT);
	assert_true(vfu_server_has_client(bus.server));
	bus_turn(&bus);
	expect_request(0, VFIO_USER_DMA_READ, 0, 1, 0);
	expect_answer(100, VFIO_USER_RESET);
	reply_to(0, VFIO_USER_DMA_READ, 0, 1, 1); /* late: dropped */
	reply_to(1, VFIO_USER_DMA_READ, 0, 1, 1);
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), 0);
	bus_end(&bus);
}

static void kept_requests_go_with_their_client(void **state)
{
	struct vfio_user_dma_unmap unmap = {.argsz = 24, .size = 0x1000};
	int fd = bus_window(0x1000);
	uint8_t byte;

	(void)state;
	bus_open(&bus);
	bus_send(&bus, (struct vfio_user_header){.command = VFIO_USER_DMA_UNMAP}, &unmap,
		 sizeof(unmap), &fd, 1);
	shutdown(bus.peer, SHUT_WR); /* it is read before the end is */
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), -EPIPE);
	bus_turn(&bus);
	assert_int_equal(bus.lost, 1);
	bus_reconnect(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, "\0\0\0\0", 4, NULL, 0, NULL), 0);
	bus_end(&bus);
	os_close(&fd);
}

/* 64 writes that fill what is kept to the last bytes, then a read. A process of its own sends them:
 * they are more than a socket takes. They are too long for the BAR, so that nothing is done. */
static pid_t flood(void)
{
	static uint8_t write[17316];
	struct vfio_user_region_access access = {.count = sizeof(write) - sizeof(access)};
	struct vfio_user_header header = {.command = VFIO_USER_REGION_WRITE,
					  .size = sizeof(header) + sizeof(write),
					  .flags = VFIO_USER_NO_REPLY};
	pid_t child = fork();

	if (child)
		return child;
	memcpy(write, &access, sizeof(access));
	for (int i = 0; i < 64; i++) {
		os_write_all(bus.peer, &header, sizeof(header));
		os_write_all(bus.peer, write, sizeof(write));
	}
	access.count = 4;
	header = (struct vfio_user_header){.command = VFIO_USER_REGION_READ, .size = 32, .id = 100};
	os_write_all(bus.peer, &header, sizeof(header));
	os_write_all(bus.peer, &access, sizeof(access));
	_exit(0);
}

/* The request that found no room is there already: no event of the socket's will tell of it. */
static void request_that_found_no_room_is_answered(void **state)
{
	uint8_t byte;
	pid_t child;

	(void)state;
	bus_open(&bus);
	child = flood();
	assert_int_equal(vfu_server_dma_read(bus.server, 0, &byte, 1), -ETIMEDOUT);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(vfu_server_has_client(bus.server));
	bus_turn(&bus);
	expect_request(0, VFIO_USER_DMA_READ, 0, 1, 0);
	expect_answer(100, VFIO_USER_REGION_READ);
	bus_end(&bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(short_answers_are_gone_on_from),
		cmocka_unit_test(requests_are_cut_to_64_kib_and_the_client_limit),
		cmocka_unit_test(refusal_is_no_reason_to_end),
		cmocka_unit_test(wrong_replies_end_the_link),
		cmocka_unit_test(bad_error_reply_ends_the_link),
		cmocka_unit_test(reply_to_something_else_is_dropped),
		cmocka_unit_test(silence_ends_the_link),
		cmocka_unit_test(half_a_reply_ends_the_link),
		cmocka_unit_test(death_ends_the_wait),
		cmocka_unit_test(callbacks_may_not_wait),
		cmocka_unit_test(requests_meanwhile),
		cmocka_unit_test(client_that_waits_for_us_is_kept),
		cmocka_unit_test(kept_requests_go_with_their_client),
		cmocka_unit_test(request_that_found_no_room_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
