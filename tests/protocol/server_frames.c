/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile clients of the server: versions, framing, sizes, order, and clients that go away. */
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "bus.h"
#include "os/fd.h"

static struct bus bus;

static void version_of_qemu_is_answered_within_its_length(void **state)
{
	static const char request[] =
		"\0\0\0\0{\"capabilities\":{\"pgsizes\":4096,\"max_msg_fds\":16,\"max_dma_maps\":"
		"65535,"
		"\"max_data_xfer_size\":1048576,\"migration\":{\"max_bitmap_size\":268435456,"
		"\"pgsize\":4096},\"write_multiple\":true}}";
	struct bus_message reply;

	(void)state;
	bus_start(&bus);
	assert_int_equal(
		bus_ask(&bus, VFIO_USER_VERSION, request, sizeof(request), NULL, 0, &reply), 0);
	assert_true(reply.header.size <= 214);
	assert_memory_equal(reply.body, "\0\0\0\0", 4);
	assert_string_equal((char *)reply.body + 4,
			    "{\"capabilities\":{\"max_msg_fds\":16,\"max_dma_maps\":512}}");
	bus_end(&bus);
}

static void version_without_json_is_good(void **state)
{
	static const struct {
		uint16_t asked, given;
	} minors[] = {{0, 0}, {1, 1}, {2, 2}, {9, 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(minors); i++) {
		struct vfio_user_version version = {.minor = minors[i].asked};
		struct bus_message reply;

		bus_start(&bus);
		assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, &version, sizeof(version), NULL,
					 0, &reply),
				 0);
		memcpy(&version, reply.body, sizeof(version));
		assert_int_equal(version.minor, minors[i].given);
		assert_true(vfu_server_has_client(bus.server));
		bus_end(&bus);
	}
}

static void refuse(const char *json, size_t length, uint16_t major, size_t fd_count)
{
	uint8_t body[512] = {0};

	memcpy(body, &major, sizeof(major));
	memcpy(body + 4, json, length);
	bus_start(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, body, 4 + length, &bus.io_fds[0].fd,
				 fd_count, NULL),
			 EINVAL);
	assert_true(bus_is_hung_up(&bus));
	assert_false(vfu_server_has_client(bus.server));
	assert_int_equal(bus.lost, 1);
	bus_end(&bus);
}

static void bad_version_is_refused_and_ends_the_link(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"{}x",
		"{\"capabilities\":1}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_data_xfer_size\":99999999999999999999}}",
		"{\"capabilities\":{\"write_multiple\":0}}",
		"{\"a\":[[[[[[[[[[1]]]]]]]]]]}",
		"{\"a\":01}",
		"{\"a\":\"\x01\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":tru}",
		"{\"a\":1,}",
		"[]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		refuse(bad[i], strlen(bad[i]) + 1, 0, 0);
	refuse("{}", 2, 0, 0); /* no NUL */
	refuse("{}\0{}", 6, 0, 0);
	refuse("{}", 3, 1, 0);
	refuse("{}", 3, 0, 1);
}

static void short_version_is_refused(void **state)
{
	(void)state;
	bus_start(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, "\0\0", 2, NULL, 0, NULL), EINVAL);
	assert_true(bus_is_hung_up(&bus));
	bus_end(&bus);
}

static void version_comes_first(void **state)
{
	struct vfio_user_info info = {.argsz = sizeof(info)};

	(void)state;
	bus_start(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_GET_INFO, &info, sizeof(info), NULL, 0, NULL),
			 EINVAL);
	assert_true(bus_is_hung_up(&bus));
	bus_end(&bus);
}

static void version_comes_once(void **state)
{
	(void)state;
	bus_open(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, "\0\0\0\0", 4, NULL, 0, NULL), EINVAL);
	assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, NULL, 0, NULL, 0, NULL), 0);
	bus_end(&bus);
}

/* The answer is EINVAL, and the link ends, since the next message cannot be found. */
static void impossible_sizes_end_the_link(void **state)
{
	static const uint32_t sizes[] = {0, 1, 15, VFIO_USER_MAX_MESSAGE + 1, 1u << 31, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct vfio_user_header header = {.id = 7, .command = 9, .size = sizes[i]};
		struct bus_message reply;

		bus_open(&bus);
		bus_send_bytes(&bus, &header, sizeof(header), NULL, 0);
		bus_turn(&bus);
		assert_true(bus_receive(&bus, &reply));
		assert_int_equal(reply.header.id, 7);
		assert_int_equal(reply.header.error, EINVAL);
		assert_true(bus_is_hung_up(&bus));
		assert_int_equal(bus.lost, 1);
		bus_end(&bus);
	}
}

static void impossible_size_without_reply_is_not_answered(void **state)
{
	struct vfio_user_header header = {.command = 9, .size = 3, .flags = VFIO_USER_NO_REPLY};
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	bus_send_bytes(&bus, &header, sizeof(header), NULL, 0);
	bus_turn(&bus);
	assert_false(bus_receive(&bus, &reply));
	assert_false(vfu_server_has_client(bus.server));
	bus_end(&bus);
}

static void unknown_commands_are_refused(void **state)
{
	static const uint16_t unknown[] = {0, 11, 12, 14, 15, 17, 18, 19, 20, 255, 65535};
	uint8_t body[64] = {0};

	(void)state;
	bus_open(&bus);
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		for (size_t length = 0; length <= sizeof(body); length += 8)
			assert_int_equal(bus_ask(&bus, unknown[i], body, length, NULL, 0, NULL),
					 EINVAL);
	assert_int_equal(bus_ask(&bus, VFIO_USER_DEVICE_FEATURE, body, 16, NULL, 0, NULL), ENOTTY);
	assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, NULL, 0, NULL, 0, NULL), 0);
	bus_end(&bus);
}

static void unknown_message_types_are_refused(void **state)
{
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	for (uint32_t type = 2; type < 16; type++) {
		bus_send(&bus, (struct vfio_user_header){.command = VFIO_USER_RESET, .flags = type},
			 NULL, 0, NULL, 0);
		bus_turn(&bus);
		assert_true(bus_receive(&bus, &reply));
		assert_int_equal(reply.header.error, EINVAL);
	}
	assert_int_equal(bus.resets, 0);
	bus_end(&bus);
}

static void short_bodies_are_refused(void **state)
{
	static const struct {
		uint16_t command;
		size_t least;
	} commands[] = {{2, 32}, {3, 24}, {4, 16}, {5, 32},  {6, 16},
			{7, 16}, {8, 20}, {9, 16}, {10, 16}, {16, 8}};
	uint8_t body[64];

	(void)state;
	memset(body, 0x11, sizeof(body));
	bus_open(&bus);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		for (size_t length = 0; length < commands[i].least; length++)
			assert_int_equal(
				bus_ask(&bus, commands[i].command, body, length, NULL, 0, NULL),
				EINVAL);
	assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, body, 1, NULL, 0, NULL), EINVAL);
	assert_int_equal(bus.reads + bus.writes + bus.resets + bus.quiesces, 0);
	bus_end(&bus);
}

static void too_many_descriptors_are_refused_and_closed(void **state)
{
	static const size_t counts[] = {17, 100, 253};
	int fds[253];

	(void)state;
	bus_open(&bus);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = bus.io_fds[0].fd;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		int before = bus_count_fds();

		assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, NULL, 0, fds, counts[i], NULL),
				 EINVAL);
		assert_int_equal(bus_count_fds(), before);
	}
	assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, NULL, 0, fds, 16, NULL), 0);
	bus_end(&bus);
}

/* Its own end of the socket, in a message that never gets whole: its death must still be seen. */
static void client_cannot_outlive_itself(void **state)
{
	struct vfio_user_header header = {.command = VFIO_USER_RESET, .size = 64};

	(void)state;
	bus_open(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, NULL, 0, &bus.peer, 1, NULL), EINVAL);
	bus_send_bytes(&bus, &header, sizeof(header), &bus.peer, 1);
	bus_turn(&bus);
	bus_hang_up(&bus);
	assert_int_equal(bus.lost, 1);
	bus_end(&bus);
}

static void split_message_is_put_together(void **state)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_map map;
	} message = {.header = {.id = 5, .command = VFIO_USER_DMA_MAP, .size = 48},
		     .map = {.argsz = 32, .flags = 3, .address = 0x1000, .size = 0x1000}};
	int fd = bus_window(0x1000);
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	for (size_t i = 0; i < 48; i++) {
		assert_int_equal(mem_count(vfu_server_memory(bus.server)), 0);
		bus_send_bytes(&bus, (uint8_t *)&message + i, 1, &fd, i ? 0 : 1);
		bus_turn(&bus);
	}
	assert_true(bus_receive(&bus, &reply));
	assert_int_equal(reply.header.flags, VFIO_USER_TYPE_REPLY);
	assert_int_equal(bus_count_windows(), 1);
	bus_end(&bus);
	os_close(&fd);
}

/* Each message gets the descriptors that were sent with it, however the bytes arrive. */
static void messages_in_one_piece_keep_their_descriptors(void **state)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_map map;
	} messages[8];
	int fd = bus_window(0x8000);
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	for (uint16_t i = 0; i < 8; i++) {
		messages[i].header = (struct vfio_user_header){
			.id = i, .command = VFIO_USER_DMA_MAP, .size = 48};
		messages[i].map = (struct vfio_user_dma_map){.argsz = 32,
							     .flags = 3,
							     .offset = 0x1000u * i,
							     .address = 0x10000u * i,
							     .size = 0x1000};
		bus_send_bytes(&bus, &messages[i], 48, &fd, i % 2);
	}
	bus_turn(&bus);
	for (uint16_t i = 0; i < 8; i++) {
		assert_true(bus_receive(&bus, &reply));
		assert_int_equal(reply.header.id, i);
		assert_int_equal(reply.header.error, 0);
		assert_int_equal(mem_window_at(vfu_server_memory(bus.server), i)->host != NULL,
				 i % 2);
	}
	bus_end(&bus);
	os_close(&fd);
}

static void posted_messages_are_never_answered(void **state)
{
	struct {
		struct vfio_user_region_access access;
		uint32_t data;
	} write = {{.offset = 8, .count = 4}, 0x1234};
	struct vfio_user_header header = {.command = VFIO_USER_REGION_WRITE,
					  .flags = VFIO_USER_NO_REPLY};
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	bus_send(&bus, header, &write, 20, NULL, 0);
	write.access.offset = BUS_BAR_SIZE; /* outside */
	bus_send(&bus, header, &write, 20, NULL, 0);
	for (uint16_t command = 0; command < 20; command++) {
		header.command = command;
		bus_send(&bus, header, NULL, 0, NULL, 0);
	}
	bus_turn(&bus);
	assert_false(bus_receive(&bus, &reply));
	assert_memory_equal(bus.bar + 8, &write.data, 4);
	assert_int_equal(bus.resets, 1);
	assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, NULL, 0, NULL, 0, NULL), 0);
	bus_end(&bus);
}

static void replies_that_nobody_asked_for_are_dropped(void **state)
{
	struct vfio_user_header header = {.flags = VFIO_USER_TYPE_REPLY};
	struct bus_message reply;

	(void)state;
	bus_open(&bus);
	for (uint16_t command = 0; command < 20; command++) {
		header.command = command;
		header.id = command;
		bus_send(&bus, header, "0123456789abcdef", 16, &bus.peer, 1);
	}
	bus_turn(&bus);
	assert_false(bus_receive(&bus, &reply));
	assert_int_equal(vfu_server_counters(bus.server).protocol_errors, 20);
	assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, NULL, 0, NULL, 0, NULL), 0);
	bus_end(&bus);
}

static void peer_that_dies_in_a_message_leaves_nothing(void **state)
{
	struct vfio_user_header header = {.command = VFIO_USER_DMA_MAP, .size = 48};
	int fds[2] = {bus_window(0x1000), bus_window(0x1000)};

	(void)state;
	for (size_t cut = 0; cut <= sizeof(header); cut++) {
		bus_open(&bus);
		assert_int_equal(bus_map(&bus, 0, 0x1000, fds[0], 0, 3), 0);
		if (cut)
			bus_send_bytes(&bus, &header, cut, fds, 2);
		bus_turn(&bus);
		bus_hang_up(&bus);
		assert_int_equal(bus.lost, 1);
		assert_int_equal(bus.quiesces, 1);
		assert_int_equal(bus_count_windows(), 0);
		bus_end(&bus);
	}
	os_close(&fds[0]);
	os_close(&fds[1]);
}

static void next_client_starts_afresh(void **state)
{
	(void)state;
	bus_open(&bus);
	bus_hang_up(&bus);
	bus_reconnect(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_RESET, NULL, 0, NULL, 0, NULL), EINVAL);
	bus_reconnect(&bus);
	assert_int_equal(bus_ask(&bus, VFIO_USER_VERSION, "\0\0\0\0", 4, NULL, 0, NULL), 0);
	assert_int_equal(vfu_server_counters(bus.server).clients, 3);
	bus_end(&bus);
}

static void second_client_is_refused(void **state)
{
	int pair[2];

	(void)state;
	bus_open(&bus);
	assert_int_equal(os_socket_pair(pair), 0);
	assert_int_equal(vfu_server_adopt(bus.server, pair[1]), -EBUSY);
	os_close(&pair[0]);
	bus_end(&bus);
}

/* Asks for 4 KiB again and again and reads none of it: the server stops reading, costs one message
 * of memory, does not spin, and answers everything in order once the client reads. */
static void client_that_does_not_read_is_waited_for(void **state)
{
	struct vfio_user_region_access access = {.count = 4096};
	struct vfio_user_header header = {.command = VFIO_USER_REGION_READ, .size = 32};
	struct bus_message reply;
	unsigned answered = 0, read_at_stop;

	(void)state;
	bus_open(&bus);
	for (header.id = 0; header.id < 200; header.id++)
		bus_send(&bus, header, &access, sizeof(access), NULL, 0);
	bus_turn(&bus);
	read_at_stop = bus.reads;
	assert_true(read_at_stop > 0 && read_at_stop < 200);
	bus_turn(&bus);
	assert_int_equal(bus.reads, read_at_stop);
	while (answered < 200) {
		/* Only what is there as a whole: the helper takes no halves. */
		if (!bus_receive(&bus, &reply)) {
			bus_turn(&bus);
			continue;
		}
		assert_int_equal(reply.header.id, answered++);
		assert_int_equal(reply.length, sizeof(access) + 4096);
	}
	assert_int_equal(bus.reads, 200);
	bus_end(&bus);
}

static void client_that_does_not_read_can_die(void **state)
{
	struct vfio_user_region_access access = {.count = 4096};
	struct vfio_user_header header = {.command = VFIO_USER_REGION_READ};

	(void)state;
	bus_open(&bus);
	for (header.id = 0; header.id < 200; header.id++)
		bus_send(&bus, header, &access, sizeof(access), NULL, 0);
	bus_turn(&bus);
	bus_hang_up(&bus);
	assert_int_equal(bus.lost, 1);
	bus_end(&bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_of_qemu_is_answered_within_its_length),
		cmocka_unit_test(version_without_json_is_good),
		cmocka_unit_test(bad_version_is_refused_and_ends_the_link),
		cmocka_unit_test(short_version_is_refused),
		cmocka_unit_test(version_comes_first),
		cmocka_unit_test(version_comes_once),
		cmocka_unit_test(impossible_sizes_end_the_link),
		cmocka_unit_test(impossible_size_without_reply_is_not_answered),
		cmocka_unit_test(unknown_commands_are_refused),
		cmocka_unit_test(unknown_message_types_are_refused),
		cmocka_unit_test(short_bodies_are_refused),
		cmocka_unit_test(too_many_descriptors_are_refused_and_closed),
		cmocka_unit_test(client_cannot_outlive_itself),
		cmocka_unit_test(split_message_is_put_together),
		cmocka_unit_test(messages_in_one_piece_keep_their_descriptors),
		cmocka_unit_test(posted_messages_are_never_answered),
		cmocka_unit_test(replies_that_nobody_asked_for_are_dropped),
		cmocka_unit_test(peer_that_dies_in_a_message_leaves_nothing),
		cmocka_unit_test(next_client_starts_afresh),
		cmocka_unit_test(second_client_is_refused),
		cmocka_unit_test(client_that_does_not_read_is_waited_for),
		cmocka_unit_test(client_that_does_not_read_can_die),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
