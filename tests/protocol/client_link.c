/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile cards against the client: after the first broken rule the link must be dead for good. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "base/base.h"
#include "bus.h"
#include "card.h"
#include "os/clock.h"
#include "os/fd.h"

static struct card card;

/* A read of four bytes is answered by `header`, `body`: the link must die of it. */
static void read_dies_of(const char *what, struct vfio_user_header header, const void *body,
			 size_t length, size_t fd_count)
{
	uint32_t word;
	int ret;

	card_start(&card, CARD_LONG_MS);
	card_says(&card, header, body, length, fd_count);
	ret = vfu_client_read(card.client, 0, 8, &word, 4);
	if (ret != -EPROTO)
		fail_msg("%s: %d", what, ret);
	card_expect_dead(&card);
	card_end(&card);
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
	card_start(&card, CARD_LONG_MS);
	card_replies(&card, 1, VFIO_USER_REGION_READ, body, 20, 0);
	assert_int_equal(vfu_client_read(card.client, 0, 8, word, 4), 0);
	assert_memory_equal(word, "karu", 4);
	card_says(&card,
		  (struct vfio_user_header){.id = 2, .command = 9, .flags = 0x21, .error = EPERM},
		  NULL, 0, 0);
	assert_int_equal(vfu_client_read(card.client, 0, 8, word, 4), -EPERM);
	assert_false(vfu_client_is_dead(card.client));
	card_replies(&card, 3, VFIO_USER_RESET, NULL, 0, 0);
	assert_int_equal(vfu_client_reset(card.client), 0);
	card_end(&card);
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
	card_start(&card, CARD_LONG_MS);
	for (size_t i = 0; i < 36; i++)
		assert_int_equal(send(card.socket, (uint8_t *)&reply + i, 1, 0), 1);
	assert_int_equal(vfu_client_read(card.client, 0, 8, word, 4), 0);
	assert_memory_equal(word, "karu", 4);
	card_end(&card);
}

static void silence_kills_the_link(void **state)
{
	uint64_t before = os_now();
	uint32_t word;

	(void)state;
	card_start(&card, CARD_SHORT_MS);
	assert_int_equal(vfu_client_read(card.client, 0, 0, &word, 4), -ETIMEDOUT);
	assert_true(os_now() - before >= CARD_SHORT_MS * NS_PER_MS);
	card_expect_dead(&card);
	card_end(&card);
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
		card_start(&card, CARD_SHORT_MS);
		assert_int_equal(send(card.socket, bytes, cuts[i], 0), cuts[i]);
		assert_int_equal(vfu_client_read(card.client, 0, 0, &word, 4), -ETIMEDOUT);
		card_expect_dead(&card);
		card_end(&card);
		card_start(&card, CARD_LONG_MS);
		assert_int_equal(send(card.socket, bytes, cuts[i], 0), cuts[i]);
		shutdown(card.socket, SHUT_WR);
		assert_int_equal(vfu_client_read(card.client, 0, 0, &word, 4), -EPIPE);
		card_expect_dead(&card);
		card_end(&card);
	}
}

static void death_kills_the_link(void **state)
{
	uint32_t word = 0;

	(void)state;
	card_start(&card, CARD_LONG_MS);
	os_close(&card.socket);
	assert_int_equal(vfu_client_post(card.client, 0, 0, &word, 4), -EPIPE);
	card_expect_dead(&card);
	card_end(&card);
	card_start(&card, CARD_LONG_MS);
	os_close(&card.socket);
	assert_int_equal(vfu_client_poll(card.client), -EPIPE);
	card_expect_dead(&card);
	card_end(&card);
}

/* The posted writes of a vCPU that are never read fill the socket: even then it gets away. */
static void card_that_does_not_read_kills_the_link(void **state)
{
	uint8_t block[4096] = {0};
	int ret = 0;

	(void)state;
	card_start(&card, CARD_SHORT_MS);
	for (int i = 0; !ret && i < 10000; i++)
		ret = vfu_client_post(card.client, 0, 0, block, sizeof(block));
	assert_int_equal(ret, -ETIMEDOUT);
	card_expect_dead(&card);
	card_end(&card);
}

static void answer_to_a_posted_write_kills_the_link(void **state)
{
	uint32_t word = 0;

	(void)state;
	card_start(&card, CARD_LONG_MS);
	assert_int_equal(vfu_client_post(card.client, 0, 0, &word, 4), 0);
	card_replies(&card, 1, VFIO_USER_REGION_WRITE, "0123456789abcdef", 16, 0);
	assert_int_equal(vfu_client_poll(card.client), -EPROTO);
	card_expect_dead(&card);
	card_end(&card);
}

/* A dead link may stay for as long as its slot does: it holds nothing of the card's. */
static void poll_that_kills_the_link_keeps_no_descriptors(void **state)
{
	(void)state;
	card_start(&card, CARD_LONG_MS);
	card_replies(&card, 1, VFIO_USER_RESET, NULL, 0, 3);
	assert_int_equal(vfu_client_poll(card.client), -EPROTO);
	assert_int_equal(bus_count_fds(), card.fds_before + 2);
	card_end(&card);
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
		{VFIO_USER_DMA_READ, CARD_NOWHERE, 64, 0, 0, ENODEV},
		{VFIO_USER_DMA_WRITE, CARD_NOWHERE, 64, 64, 0, ENODEV},
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
	card_start(&card, CARD_LONG_MS);
	for (uint16_t i = 0; i < ARRAY_LEN(asked); i++) {
		struct {
			struct vfio_user_dma_access access;
			uint8_t data[64];
		} request = {{.address = asked[i].address, .count = asked[i].count}, {0}};
		uint16_t id = (uint16_t)(1000 + i);

		card_says(&card, (struct vfio_user_header){.id = id, .command = asked[i].command},
			  &request, 16 + asked[i].data, asked[i].fds);
		if (i % 2) {
			assert_int_equal(vfu_client_poll(card.client), 0);
		} else {
			card_replies(&card, (uint16_t)(i / 2 + 1), VFIO_USER_RESET, NULL, 0, 0);
			assert_int_equal(vfu_client_reset(card.client), 0);
			assert_int_equal(card_hears(&card, body, sizeof(body)).command,
					 VFIO_USER_RESET);
		}
		header = card_hears(&card, body, sizeof(body));
		assert_int_equal(header.id, id);
		assert_int_equal(header.command, asked[i].command);
		assert_int_equal(header.error, asked[i].error);
		assert_int_equal(header.flags, asked[i].error ? 0x21 : 0x01);
	}
	assert_int_equal(card.dma_reads, 2);
	assert_int_equal(card.dma_writes, 2);
	card_end(&card);
}

static void without_ops_dma_is_refused(void **state)
{
	struct vfio_user_dma_access access = {.count = 4};
	uint8_t body[64];

	(void)state;
	card_start_without_ops(&card);
	card_says(&card, (struct vfio_user_header){.command = VFIO_USER_DMA_READ}, &access, 16, 0);
	assert_int_equal(vfu_client_poll(card.client), 0);
	assert_int_equal(card_hears(&card, body, sizeof(body)).error, ENOSYS);
	card_end(&card);
}

static void posted_dma_is_not_answered(void **state)
{
	struct vfio_user_dma_access access = {.count = 4};

	(void)state;
	card_start(&card, CARD_LONG_MS);
	card_says(&card,
		  (struct vfio_user_header){.command = VFIO_USER_DMA_READ,
					    .flags = VFIO_USER_NO_REPLY},
		  &access, 16, 0);
	card_says(&card, (struct vfio_user_header){.command = 99, .flags = VFIO_USER_NO_REPLY},
		  NULL, 0, 0);
	assert_int_equal(vfu_client_poll(card.client), 0);
	assert_int_equal(recv(card.socket, &access, 1, MSG_DONTWAIT), -1);
	assert_false(vfu_client_is_dead(card.client));
	card_end(&card);
}

static _Atomic bool asking;

/* More questions than can be served: as many as fit now, and on until `asking` ends. */
static void ask_much(void)
{
	struct vfio_user_dma_access access = {.address = CARD_SLOW, .count = 64};
	struct vfio_user_header header = {
		.command = VFIO_USER_DMA_READ, .flags = VFIO_USER_NO_REPLY, .size = 32};
	struct iovec iov[2] = {{&header, sizeof(header)}, {&access, sizeof(access)}};

	while (os_send(card.socket, iov, 2, NULL, 0, MSG_DONTWAIT) == 32)
		;
}

static void *ask_without_end(void *context)
{
	while (atomic_load(&asking))
		ask_much();
	return context;
}

static void endless_questions_do_not_hold_the_caller(void **state)
{
	pthread_t thread;

	(void)state;
	card_start(&card, CARD_SHORT_MS);
	ask_much();
	atomic_store(&asking, true);
	assert_int_equal(pthread_create(&thread, NULL, ask_without_end, NULL), 0);
	assert_int_equal(vfu_client_reset(card.client), -ETIMEDOUT);
	atomic_store(&asking, false);
	pthread_join(thread, NULL);
	assert_true(card.dma_reads > 0);
	card_expect_dead(&card);
	card_end(&card);
}

/* The same without taking the answers, until the socket is full of them. */
static void answers_that_are_not_taken_do_not_hold_the_caller(void **state)
{
	struct vfio_user_dma_access access = {.count = 4096};
	struct vfio_user_header header = {.command = VFIO_USER_DMA_READ, .size = 32};
	struct iovec iov[2] = {{&header, sizeof(header)}, {&access, sizeof(access)}};

	(void)state;
	card_start(&card, CARD_SHORT_MS);
	while (os_send(card.socket, iov, 2, NULL, 0, MSG_DONTWAIT) == 32)
		;
	assert_int_equal(vfu_client_reset(card.client), -ETIMEDOUT);
	card_expect_dead(&card);
	card_end(&card);
}

/* Answers each message in time, for as long as there are any. */
static void *answer_slowly(void *context)
{
	uint8_t message[36];

	for (uint16_t id = 1; os_wait(card.socket, POLLIN, os_now() + NS_PER_S) > 0; id++) {
		if (os_read_full(card.socket, message, sizeof(message)) != sizeof(message))
			break;
		usleep(CARD_SHORT_MS * 1000 / 3);
		card_replies(&card, id, VFIO_USER_SET_IRQS, NULL, 0, 0);
	}
	return context;
}

static void many_slow_answers_do_not_hold_the_caller(void **state)
{
	int fds[200] = {0};
	pthread_t thread;

	(void)state;
	card_start(&card, CARD_SHORT_MS);
	assert_int_equal(pthread_create(&thread, NULL, answer_slowly, NULL), 0);
	assert_int_equal(vfu_client_bind_irqs(card.client, 2, 0, fds, ARRAY_LEN(fds)), -ETIMEDOUT);
	pthread_join(thread, NULL);
	card_expect_dead(&card);
	card_end(&card);
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
		cmocka_unit_test(poll_that_kills_the_link_keeps_no_descriptors),
		cmocka_unit_test(dma_of_the_card_is_served),
		cmocka_unit_test(without_ops_dma_is_refused),
		cmocka_unit_test(posted_dma_is_not_answered),
		cmocka_unit_test(endless_questions_do_not_hold_the_caller),
		cmocka_unit_test(answers_that_are_not_taken_do_not_hold_the_caller),
		cmocka_unit_test(many_slow_answers_do_not_hold_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
