/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile cards against the client. The card's answer is put into the socket before the client
 * asks: its first message has id 1. After the first broken rule the link must be dead for good.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
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
#include "os/clock.h"
#include "os/fd.h"
#include "vfu/vfu_client.h"

#define DEADLINE_MS 50
#define SLOW	    0x510u /* a guest address whose memory takes long to read */

static struct {
	struct vfu_client *client;
	int card; /* the other end */
	int fds_before;
	unsigned dma_reads, dma_writes;
} bus;

static int dma_read(void *context, uint64_t address, void *to, uint64_t length)
{
	(void)context;
	bus.dma_reads++;
	if (address == 0xdead)
		return -ENODEV;
	if (address == SLOW)
		usleep(1000);
	memset(to, 0x3c, length);
	return 0;
}

static int dma_write(void *context, uint64_t address, const void *from, uint64_t length)
{
	(void)context;
	(void)from;
	(void)length;
	bus.dma_writes++;
	return address == 0xdead ? -ENODEV : 0;
}

static const struct vfu_client_ops ops = {.dma_read = dma_read, .dma_write = dma_write};

static void start_with(const struct vfu_client_ops *with)
{
	int pair[2];

	memset(&bus, 0, sizeof(bus));
	bus.fds_before = bus_count_fds();
	assert_int_equal(os_socket_pair(pair), 0);
	bus.card = pair[1];
	assert_int_equal(vfu_client_create(&bus.client, pair[0], with, NULL, DEADLINE_MS), 0);
}

static void start(void)
{
	start_with(&ops);
}

static void end(void)
{
	vfu_client_destroy(bus.client);
	os_close(&bus.card);
	assert_int_equal(bus_count_fds(), bus.fds_before);
}

static void card_says(struct vfio_user_header header, const void *body, size_t length,
		      size_t fd_count)
{
	struct iovec iov[2] = {{.iov_base = &header, .iov_len = sizeof(header)},
			       {.iov_base = (void *)(uintptr_t)body, .iov_len = length}};
	int fds[128];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = bus.card;
	header.size = header.size ? header.size : (uint32_t)(sizeof(header) + length);
	assert_int_equal(os_send(bus.card, iov, length ? 2 : 1, fds, fd_count, 0),
			 sizeof(header) + length);
}

static void card_replies(uint16_t id, uint16_t command, const void *body, size_t length,
			 size_t fd_count)
{
	card_says((struct vfio_user_header){.id = id,
					    .command = command,
					    .flags = VFIO_USER_TYPE_REPLY},
		  body, length, fd_count);
}

/* What the client has sent; the card must get exactly one message. */
static struct vfio_user_header card_hears(uint8_t *body, size_t room)
{
	struct vfio_user_header header = {0};

	assert_int_equal(recv(bus.card, &header, sizeof(header), MSG_DONTWAIT), sizeof(header));
	assert_true(header.size - sizeof(header) <= room);
	if (header.size > sizeof(header))
		assert_int_equal(recv(bus.card, body, header.size - sizeof(header), MSG_DONTWAIT),
				 header.size - sizeof(header));
	return header;
}

static void expect_dead(void)
{
	uint32_t word;

	assert_true(vfu_client_is_dead(bus.client));
	assert_int_equal(vfu_client_read(bus.client, 0, 0, &word, 4), -EPIPE);
	assert_int_equal(vfu_client_post(bus.client, 0, 0, &word, 4), -EPIPE);
	assert_int_equal(vfu_client_reset(bus.client), -EPIPE);
	assert_int_equal(vfu_client_poll(bus.client), -EPIPE);
}

/* A read of four bytes is answered by `header`, `body`: the link must die of it. */
static void read_dies_of(const char *what, struct vfio_user_header header, const void *body,
			 size_t length, size_t fd_count)
{
	uint32_t word;
	int ret;

	start();
	card_says(header, body, length, fd_count);
	ret = vfu_client_read(bus.client, 0, 8, &word, 4);
	if (ret != -EPROTO)
		fail_msg("%s: %d", what, ret);
	expect_dead();
	end();
}

static void wrong_replies_kill_the_link(void **state)
{
	struct {
		struct vfio_user_region_access access;
		uint8_t data[8];
	} good = {{.offset = 8, .count = 4}, "abcd"}, bad;
	struct vfio_user_header reply = {.id = 1, .command = 9, .flags = 1}, header;

	(void)state;
	for (uint32_t flags = 1; flags < 256; flags++) {
		header = reply;
		header.flags = flags;
		/* A type of 0 is a command of the card's, see below. */
		if ((flags & 0xf) && flags != 1)
			read_dies_of("flags", header, &good, 20, 0);
	}
	header = reply;
	header.id = 2;
	read_dies_of("id", header, &good, 20, 0);
	header = reply;
	header.command = 10;
	read_dies_of("command", header, &good, 20, 0);
	for (uint32_t size = 1; size < 16; size++) {
		header = reply;
		header.size = size;
		read_dies_of("size below a header", header, &good, 20, 0);
	}
	header = reply;
	header.size = UINT32_MAX;
	read_dies_of("size above all", header, &good, 20, 0);
	for (size_t length = 0; length < 24; length++)
		if (length != 20)
			read_dies_of("length", reply, &good, length, 0);
	bad = good;
	bad.access.offset = 9;
	read_dies_of("offset", reply, &bad, 20, 0);
	bad = good;
	bad.access.count = 3;
	read_dies_of("count", reply, &bad, 20, 0);
	bad = good;
	bad.access.region = 1;
	read_dies_of("region", reply, &bad, 20, 0);
	read_dies_of("descriptor", reply, &good, 20, 1);
	read_dies_of("descriptors", reply, &good, 20, 128);
	header = reply;
	header.flags = 0x21;
	read_dies_of("error 0", header, NULL, 0, 0);
	header.error = 4096;
	read_dies_of("error too big", header, NULL, 0, 0);
	header.error = 5;
	read_dies_of("error with body", header, &good, 20, 0);
	read_dies_of("error with descriptor", header, NULL, 0, 1);
}

static void good_replies_and_errors_keep_it_alive(void **state)
{
	uint8_t body[20] = {8, [12] = 4, [16] = 'k', 'a', 'r', 'u'};
	uint8_t word[4];

	(void)state;
	start();
	card_replies(1, VFIO_USER_REGION_READ, body, 20, 0);
	assert_int_equal(vfu_client_read(bus.client, 0, 8, word, 4), 0);
	assert_memory_equal(word, "karu", 4);
	card_says((struct vfio_user_header){.id = 2, .command = 9, .flags = 0x21, .error = EPERM},
		  NULL, 0, 0);
	assert_int_equal(vfu_client_read(bus.client, 0, 8, word, 4), -EPERM);
	assert_false(vfu_client_is_dead(bus.client));
	card_replies(3, VFIO_USER_RESET, NULL, 0, 0);
	assert_int_equal(vfu_client_reset(bus.client), 0);
	end();
}

static void split_reply_is_put_together(void **state)
{
	struct {
		struct vfio_user_header header;
		uint8_t body[20];
	} reply = {{.id = 1, .command = 9, .flags = 1, .size = 36},
		   {8, [12] = 4, [16] = 'k', 'a', 'r', 'u'}};
	uint8_t word[4];

	(void)state;
	start();
	for (size_t i = 0; i < 36; i++)
		assert_int_equal(send(bus.card, (uint8_t *)&reply + i, 1, 0), 1);
	assert_int_equal(vfu_client_read(bus.client, 0, 8, word, 4), 0);
	assert_memory_equal(word, "karu", 4);
	end();
}

static void silence_kills_the_link(void **state)
{
	uint64_t before = os_now();
	uint32_t word;

	(void)state;
	start();
	assert_int_equal(vfu_client_read(bus.client, 0, 0, &word, 4), -ETIMEDOUT);
	assert_true(os_now() - before >= DEADLINE_MS * NS_PER_MS);
	expect_dead();
	end();
}

static void half_a_reply_kills_the_link(void **state)
{
	static const size_t cuts[] = {1, 15, 16, 17, 35};
	struct vfio_user_header header = {.id = 1, .command = 9, .flags = 1, .size = 36};
	uint8_t bytes[36] = {0};
	uint32_t word;

	(void)state;
	memcpy(bytes, &header, sizeof(header));
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		start();
		assert_int_equal(send(bus.card, bytes, cuts[i], 0), cuts[i]);
		assert_int_equal(vfu_client_read(bus.client, 0, 0, &word, 4), -ETIMEDOUT);
		expect_dead();
		end();
		start();
		assert_int_equal(send(bus.card, bytes, cuts[i], 0), cuts[i]);
		shutdown(bus.card, SHUT_WR);
		assert_int_equal(vfu_client_read(bus.client, 0, 0, &word, 4), -EPIPE);
		expect_dead();
		end();
	}
}

static void death_kills_the_link(void **state)
{
	uint32_t word = 0;

	(void)state;
	start();
	os_close(&bus.card);
	assert_int_equal(vfu_client_post(bus.client, 0, 0, &word, 4), -EPIPE);
	expect_dead();
	end();
	start();
	os_close(&bus.card);
	assert_int_equal(vfu_client_poll(bus.client), -EPIPE);
	expect_dead();
	end();
}

/* The posted writes of a vCPU that are never read fill the socket: even then it gets away. */
static void card_that_does_not_read_kills_the_link(void **state)
{
	uint8_t block[4096] = {0};
	int ret = 0;

	(void)state;
	start();
	for (int i = 0; !ret && i < 10000; i++)
		ret = vfu_client_post(bus.client, 0, 0, block, sizeof(block));
	assert_int_equal(ret, -ETIMEDOUT);
	expect_dead();
	end();
}

static void answer_to_a_posted_write_kills_the_link(void **state)
{
	uint32_t word = 0;

	(void)state;
	start();
	assert_int_equal(vfu_client_post(bus.client, 0, 0, &word, 4), 0);
	card_replies(1, VFIO_USER_REGION_WRITE, "0123456789abcdef", 16, 0);
	assert_int_equal(vfu_client_poll(bus.client), -EPROTO);
	expect_dead();
	end();
}

/* While the client waits; then by poll. Each is answered, and the real reply still arrives. */
static void dma_of_the_card_is_served(void **state)
{
	static const struct {
		uint16_t command;
		uint64_t address, count;
		size_t data, fds;
		uint32_t error;
	} asked[] = {
		{VFIO_USER_DMA_READ, 0x1000, 64, 0, 0, 0},
		{VFIO_USER_DMA_WRITE, 0x1000, 64, 64, 0, 0},
		{VFIO_USER_DMA_READ, 0x1000, 0, 0, 0, 0},
		{VFIO_USER_DMA_READ, 0xdead, 64, 0, 0, ENODEV},
		{VFIO_USER_DMA_WRITE, 0xdead, 64, 64, 0, ENODEV},
		{VFIO_USER_DMA_READ, 0x1000, 65537, 0, 0, E2BIG},
		{VFIO_USER_DMA_READ, 0x1000, UINT64_MAX, 0, 0, E2BIG},
		{VFIO_USER_DMA_READ, 0x1000, 8, 8, 0, EINVAL},
		{VFIO_USER_DMA_WRITE, 0x1000, 65, 64, 0, E2BIG},
		{VFIO_USER_DMA_WRITE, 0x1000, 63, 64, 0, EINVAL},
		{VFIO_USER_DMA_WRITE, 0x1000, UINT64_MAX, 64, 0, E2BIG},
		{VFIO_USER_DMA_READ, 0x1000, 64, 0, 1, EINVAL},
		{VFIO_USER_REGION_READ, 0, 0, 0, 0, ENOSYS},
		{VFIO_USER_VERSION, 0, 0, 0, 0, ENOSYS},
		{0xffff, 0, 0, 0, 0, ENOSYS},
	};
	struct vfio_user_header header;
	uint8_t body[256];

	(void)state;
	start();
	for (uint16_t i = 0; i < ARRAY_LEN(asked); i++) {
		struct {
			struct vfio_user_dma_access access;
			uint8_t data[64];
		} request = {{.address = asked[i].address, .count = asked[i].count}, {0}};
		uint16_t id = (uint16_t)(1000 + i);

		card_says((struct vfio_user_header){.id = id, .command = asked[i].command},
			  &request, 16 + asked[i].data, asked[i].fds);
		if (i % 2) {
			assert_int_equal(vfu_client_poll(bus.client), 0);
		} else {
			card_replies((uint16_t)(i / 2 + 1), VFIO_USER_RESET, NULL, 0, 0);
			assert_int_equal(vfu_client_reset(bus.client), 0);
			assert_int_equal(card_hears(body, sizeof(body)).command, VFIO_USER_RESET);
		}
		header = card_hears(body, sizeof(body));
		assert_int_equal(header.id, id);
		assert_int_equal(header.command, asked[i].command);
		assert_int_equal(header.error, asked[i].error);
		assert_int_equal(header.flags, asked[i].error ? 0x21 : 0x01);
	}
	assert_int_equal(bus.dma_reads, 2);
	assert_int_equal(bus.dma_writes, 2);
	end();
}

static void without_ops_dma_is_refused(void **state)
{
	struct vfio_user_dma_access access = {.count = 4};
	uint8_t body[64];

	(void)state;
	start_with(NULL);
	card_says((struct vfio_user_header){.command = VFIO_USER_DMA_READ}, &access, 16, 0);
	assert_int_equal(vfu_client_poll(bus.client), 0);
	assert_int_equal(card_hears(body, sizeof(body)).error, ENOSYS);
	end();
}

static void posted_dma_is_not_answered(void **state)
{
	struct vfio_user_dma_access access = {.count = 4};

	(void)state;
	start();
	card_says((struct vfio_user_header){.command = VFIO_USER_DMA_READ,
					    .flags = VFIO_USER_NO_REPLY},
		  &access, 16, 0);
	card_says((struct vfio_user_header){.command = 99, .flags = VFIO_USER_NO_REPLY}, NULL, 0,
		  0);
	assert_int_equal(vfu_client_poll(bus.client), 0);
	assert_int_equal(recv(bus.card, &access, 1, MSG_DONTWAIT), -1);
	assert_false(vfu_client_is_dead(bus.client));
	end();
}

static _Atomic bool asking;

/* There is always a question waiting: they come faster than they are served. */
static void *ask_without_end(void *context)
{
	struct vfio_user_dma_access access = {.address = SLOW, .count = 64};
	struct vfio_user_header header = {
		.command = VFIO_USER_DMA_READ, .flags = VFIO_USER_NO_REPLY, .size = 32};
	struct iovec iov[2] = {{&header, sizeof(header)}, {&access, sizeof(access)}};

	while (atomic_load(&asking))
		os_send(bus.card, iov, 2, NULL, 0, MSG_DONTWAIT);
	return context;
}

static void endless_questions_do_not_hold_the_caller(void **state)
{
	pthread_t thread;

	(void)state;
	start();
	atomic_store(&asking, true);
	assert_int_equal(pthread_create(&thread, NULL, ask_without_end, NULL), 0);
	assert_int_equal(vfu_client_reset(bus.client), -ETIMEDOUT);
	atomic_store(&asking, false);
	pthread_join(thread, NULL);
	assert_true(bus.dma_reads > 0);
	expect_dead();
	end();
}

/* The same without taking the answers, until the socket is full of them. */
static void answers_that_are_not_taken_do_not_hold_the_caller(void **state)
{
	struct vfio_user_dma_access access = {.count = 4096};
	struct vfio_user_header header = {.command = VFIO_USER_DMA_READ, .size = 32};
	struct iovec iov[2] = {{&header, sizeof(header)}, {&access, sizeof(access)}};

	(void)state;
	start();
	while (os_send(bus.card, iov, 2, NULL, 0, MSG_DONTWAIT) == 32)
		;
	assert_int_equal(vfu_client_reset(bus.client), -ETIMEDOUT);
	expect_dead();
	end();
}

static int negotiate_with(const void *body, size_t length, size_t fds)
{
	struct error error = {0};
	int ret;

	start();
	card_replies(1, VFIO_USER_VERSION, body, length, fds);
	ret = vfu_client_negotiate(bus.client, &error);
	if (ret) {
		assert_true(error.text[0]);
		expect_dead();
	}
	end();
	return ret;
}

static void versions_are_checked(void **state)
{
	(void)state;
	assert_int_equal(negotiate_with("\0\0\0\0", 4, 0), 0);
	assert_int_equal(negotiate_with("\0\0\0\0{}", 7, 0), 0);
	assert_int_equal(negotiate_with("\0\0\1\0", 4, 0), -EPROTO);
	assert_int_equal(negotiate_with("\1\0\0\0", 4, 0), -EPROTO);
	assert_int_equal(negotiate_with("\0\0\0", 3, 0), -EPROTO);
	assert_int_equal(negotiate_with("\0\0\0\0{}", 6, 0), -EPROTO);
	assert_int_equal(negotiate_with("\0\0\0\0{]", 7, 0), -EPROTO);
	assert_int_equal(negotiate_with("\0\0\0\0", 4, 1), -EPROTO);
	assert_int_equal(
		negotiate_with("\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":7}}", 46, 0),
		-EPROTO);
}

/* What the card said its limits are is kept to. */
static void limits_of_the_card_are_kept(void **state)
{
	static const char version[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":2,"
				      "\"max_data_xfer_size\":8}}";
	int fds[3] = {0, 1, 2};
	struct error error;
	uint8_t body[256], data[12] = {0};

	(void)state;
	start();
	card_replies(1, VFIO_USER_VERSION, version, sizeof(version), 0);
	assert_int_equal(vfu_client_negotiate(bus.client, &error), 0);
	card_hears(body, sizeof(body));
	assert_int_equal(vfu_client_post(bus.client, 0, 0, data, sizeof(data)), 0);
	assert_int_equal(card_hears(body, sizeof(body)).size, 16 + 16 + 8);
	assert_int_equal(card_hears(body, sizeof(body)).size, 16 + 16 + 4);
	card_replies(4, VFIO_USER_SET_IRQS, NULL, 0, 0);
	card_replies(5, VFIO_USER_SET_IRQS, NULL, 0, 0);
	assert_int_equal(vfu_client_bind_irqs(bus.client, 2, 0, fds, 3), 0);
	card_hears(body, sizeof(body));
	assert_int_equal(body[16], 2);
	card_hears(body, sizeof(body));
	assert_int_equal(body[12], 2);
	assert_int_equal(body[16], 1);
	end();
}

static int info_of(uint32_t flags, uint32_t regions, uint32_t irqs)
{
	struct vfio_user_info wire = {16, flags, regions, irqs};
	struct vfu_info info;
	int ret;

	start();
	card_replies(1, VFIO_USER_GET_INFO, &wire, sizeof(wire), 0);
	ret = vfu_client_info(bus.client, &info);
	assert_int_equal(vfu_client_is_dead(bus.client), ret != 0);
	end();
	return ret;
}

static void info_is_checked(void **state)
{
	(void)state;
	assert_int_equal(info_of(3, 9, 5), 0);
	assert_int_equal(info_of(2, 8, 3), 0);
	assert_int_equal(info_of(1, 9, 5), -EPROTO);
	assert_int_equal(info_of(3, 7, 5), -EPROTO);
	assert_int_equal(info_of(3, 101, 5), -EPROTO);
	assert_int_equal(info_of(3, 9, 2), -EPROTO);
	assert_int_equal(info_of(3, 9, 51), -EPROTO);
}

struct region_reply {
	struct vfio_user_region_info info;
	struct vfio_user_sparse_mmap sparse;
	struct vfio_user_area areas[2];
};

static const struct region_reply good_region = {
	.info = {.argsz = 80, .flags = 15, .index = 0, .cap_offset = 32, .size = 0x4000},
	.sparse = {.id = 1, .version = 1, .area_count = 2},
	.areas = {{0x1000, 0x1000}, {0x3000, 0x1000}},
};

static int region_of(struct region_reply wire, size_t length, size_t fds)
{
	struct vfu_region_info info = {.fd = -1};
	int ret;

	start();
	card_replies(1, VFIO_USER_GET_REGION_INFO, &wire, length, fds);
	ret = vfu_client_region(bus.client, 0, &info);
	assert_int_equal(vfu_client_is_dead(bus.client), ret != 0);
	if (ret)
		assert_int_equal(info.fd, -1);
	os_close(&info.fd);
	end();
	return ret ? ret : (int)info.area_count;
}

static void regions_are_checked(void **state)
{
	struct region_reply wire;

	(void)state;
	assert_int_equal(region_of(good_region, 80, 1), 2);
	assert_int_equal(region_of(good_region, 80, 0), 0);
	assert_int_equal(region_of(good_region, 80, 2), -EPROTO);
	for (size_t length = 0; length < 80; length += 4)
		assert_int_equal(region_of(good_region, length, 1), -EPROTO);
#define BAD_REGION(change)                                                                         \
	do {                                                                                       \
		wire = good_region;                                                                \
		change;                                                                            \
		assert_int_equal(region_of(wire, 80, 1), -EPROTO);                                 \
	} while (0)
	BAD_REGION(wire.info.index = 1);
	BAD_REGION(wire.info.argsz = 31);
	BAD_REGION(wire.info.argsz = 96);
	BAD_REGION(wire.info.cap_offset = 0);
	BAD_REGION(wire.info.cap_offset = 24);
	BAD_REGION(wire.info.cap_offset = 36);
	BAD_REGION(wire.info.cap_offset = 80);
	BAD_REGION(wire.info.cap_offset = UINT32_MAX - 7);
	BAD_REGION(wire.sparse.next = 32); /* a circle */
	BAD_REGION(wire.sparse.next = UINT32_MAX);
	BAD_REGION(wire.sparse.area_count = 3);
	BAD_REGION(wire.sparse.area_count = UINT32_MAX);
	BAD_REGION(wire.areas[0].size = 0);
	BAD_REGION(wire.areas[0].offset = 0x1001);
	BAD_REGION(wire.areas[1].size = 0x2000);
	BAD_REGION(wire.areas[1].offset = UINT64_MAX - 0xfff);
	BAD_REGION(wire.info.offset = UINT64_MAX - 0xfff);
	BAD_REGION(wire.info.flags = 11); /* a descriptor and nothing to map */
#undef BAD_REGION
	wire = good_region;
	wire.info.flags = 7;
	assert_int_equal(region_of(wire, 32, 1), 1); /* all of it */
	wire.sparse.id = 9;
	wire.info.flags = 15;
	assert_int_equal(region_of(wire, 80, 1), 1);
}

static void irq_counts_are_checked(void **state)
{
	struct vfio_user_irq_info wire = {16, 1, 2, 2049};
	uint32_t count;

	(void)state;
	start();
	card_replies(1, VFIO_USER_GET_IRQ_INFO, &wire, sizeof(wire), 0);
	assert_int_equal(vfu_client_irq(bus.client, 2, &count), -EPROTO);
	expect_dead();
	end();
}

struct io_fds_reply {
	struct vfio_user_io_fds head;
	struct vfio_user_io_fd entries[3];
};

static const struct io_fds_reply good_io_fds = {
	.head = {.argsz = 136, .count = 3},
	.entries = {{.offset = 0x1000, .size = 4, .fd_index = 0},
		    {.offset = 0x1004, .size = 4, .fd_index = 1},
		    {.offset = 0x1008, .size = 4, .fd_index = 1, .flags = 1, .match_value = 7}},
};

static int io_fds_of(struct io_fds_reply wire, size_t length, size_t fds)
{
	struct vfu_client_io_fd io_fds[VFU_CLIENT_IO_FDS];
	int ret;

	start();
	card_replies(1, VFIO_USER_GET_REGION_IO_FDS, &wire, length, fds);
	ret = vfu_client_io_fds(bus.client, 0, io_fds);
	assert_int_equal(vfu_client_is_dead(bus.client), ret < 0);
	for (int i = 0; i < ret; i++)
		if (io_fds[i].owned)
			os_close(&io_fds[i].fd);
	end();
	return ret;
}

static void io_fds_are_checked(void **state)
{
	struct io_fds_reply wire = good_io_fds;

	(void)state;
	assert_int_equal(io_fds_of(wire, 136, 2), 3);
	assert_int_equal(io_fds_of(wire, 136, 1), -EPROTO);
	assert_int_equal(io_fds_of(wire, 136, 128), 3);
	assert_int_equal(io_fds_of(wire, 16, 0), 0);
	assert_int_equal(io_fds_of(wire, 16, 1), -EPROTO);
	for (size_t length = 0; length < 136; length += 8)
		if (length != 16)
			assert_int_equal(io_fds_of(wire, length, 2), -EPROTO);
	wire.head.count = 2;
	assert_int_equal(io_fds_of(wire, 136, 2), -EPROTO);
	wire.head.count = UINT32_MAX;
	assert_int_equal(io_fds_of(wire, 136, 2), -EPROTO);
	wire.head.count = 0;
	assert_int_equal(io_fds_of(wire, 136, 2), -EPROTO);
	wire = good_io_fds;
	wire.entries[0].type = 1;
	wire.entries[1].size = 3;
	assert_int_equal(io_fds_of(wire, 136, 2), 1);
	wire.entries[2].flags = 2;
	assert_int_equal(io_fds_of(wire, 136, 2), 0);
}

static void unmap_must_be_repeated(void **state)
{
	struct vfio_user_dma_unmap wire = {24, 0, 0x1000, 0x2000};

	(void)state;
	start();
	card_replies(1, VFIO_USER_DMA_UNMAP, &wire, sizeof(wire), 0);
	assert_int_equal(vfu_client_dma_unmap(bus.client, 0x1000, 0x1000), -EPROTO);
	expect_dead();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_replies_kill_the_link),
		cmocka_unit_test(good_replies_and_errors_keep_it_alive),
		cmocka_unit_test(split_reply_is_put_together),
		cmocka_unit_test(silence_kills_the_link),
		cmocka_unit_test(half_a_reply_kills_the_link),
		cmocka_unit_test(death_kills_the_link),
		cmocka_unit_test(card_that_does_not_read_kills_the_link),
		cmocka_unit_test(answer_to_a_posted_write_kills_the_link),
		cmocka_unit_test(dma_of_the_card_is_served),
		cmocka_unit_test(without_ops_dma_is_refused),
		cmocka_unit_test(posted_dma_is_not_answered),
		cmocka_unit_test(endless_questions_do_not_hold_the_caller),
		cmocka_unit_test(answers_that_are_not_taken_do_not_hold_the_caller),
		cmocka_unit_test(versions_are_checked),
		cmocka_unit_test(limits_of_the_card_are_kept),
		cmocka_unit_test(info_is_checked),
		cmocka_unit_test(regions_are_checked),
		cmocka_unit_test(irq_counts_are_checked),
		cmocka_unit_test(io_fds_are_checked),
		cmocka_unit_test(unmap_must_be_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
