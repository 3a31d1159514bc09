/* SPDX-License-Identifier: Apache-2.0 */
/* Writes whose answers are looked at later, and cards that answer them wrong or never. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/base.h"
#include "card.h"
#include "os/fd.h"

#define MOST 32u /* unanswered ones */

static struct card card;

static int write_behind(uint64_t offset)
{
	uint32_t word = 7;

	return vfu_client_write_behind(card.client, 0, offset, &word, sizeof(word));
}

static void answer(uint16_t id, uint64_t offset)
{
	struct vfio_user_region_access access = {.offset = offset, .count = 4};

	card_replies(&card, id, VFIO_USER_REGION_WRITE, &access, sizeof(access), 0);
}

static void answers_come_in_between(void **state)
{
	uint8_t body[64];

	(void)state;
	card_start(&card, CARD_LONG_MS);
	answer(1, 8);
	/* A refusal is an answer. */
	card_says(&card,
		  (struct vfio_user_header){.id = 2,
					    .command = VFIO_USER_REGION_WRITE,
					    .flags = VFIO_USER_TYPE_REPLY | VFIO_USER_ERROR,
					    .error = EIO},
		  NULL, 0, 0);
	card_replies(&card, 3, VFIO_USER_RESET, NULL, 0, 0);
	assert_int_equal(write_behind(8), 0);
	assert_int_equal(write_behind(12), 0);
	assert_int_equal(vfu_client_reset(card.client), 0);
	assert_int_equal(card_hears(&card, body, sizeof(body)).flags & VFIO_USER_NO_REPLY, 0);
	card_end(&card);
}

static void silence_is_noticed(void **state)
{
	(void)state;
	card_start(&card, CARD_SHORT_MS);
	for (unsigned i = 0; i < MOST; i++)
		assert_int_equal(write_behind(8), 0);
	assert_int_equal(write_behind(8), -ETIMEDOUT);
	card_expect_dead(&card);
	card_end(&card);
}

static void room_comes_with_answers(void **state)
{
	(void)state;
	card_start(&card, CARD_LONG_MS);
	for (unsigned i = 0; i < 4 * MOST; i++) {
		answer((uint16_t)(i + 1), 8);
		assert_int_equal(write_behind(8), 0);
	}
	assert_false(vfu_client_is_dead(card.client));
	card_end(&card);
}

static void dies_of_answer(uint16_t id, uint16_t command, uint64_t offset, size_t fd_count)
{
	struct vfio_user_region_access access = {.offset = offset, .count = 4};

	card_start(&card, CARD_LONG_MS);
	card_replies(&card, id, command, &access, sizeof(access), fd_count);
	assert_int_equal(write_behind(8), 0);
	assert_int_equal(write_behind(8), 0);
	assert_int_equal(vfu_client_reset(card.client), -EPROTO);
	card_expect_dead(&card);
	card_end(&card);
}

static void wrong_answers_kill_the_link(void **state)
{
	(void)state;
	dies_of_answer(2, VFIO_USER_REGION_WRITE, 8, 0); /* the order is that of the writes */
	dies_of_answer(1, VFIO_USER_REGION_READ, 8, 0);
	dies_of_answer(1, VFIO_USER_REGION_WRITE, 9, 0);
	dies_of_answer(1, VFIO_USER_REGION_WRITE, 8, 1);
}

static void too_much_is_refused(void **state)
{
	uint8_t bytes[VFU_CLIENT_BEHIND_DATA + 1] = {0};

	(void)state;
	card_start(&card, CARD_LONG_MS);
	assert_int_equal(vfu_client_write_behind(card.client, 0, 0, bytes, sizeof(bytes)), -EINVAL);
	card_end(&card);
}

/* Only what is unanswered, in order; what the successor did not answer stays for the next. */
static void what_is_left_is_handed_over(void **state)
{
	struct card dead;
	uint8_t body[64];

	(void)state;
	card_start(&card, CARD_LONG_MS);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(write_behind(8 + 4 * i), 0);
	answer(1, 8);
	shutdown(card.socket, SHUT_RDWR);
	dead = card;
	card_start(&card, CARD_SHORT_MS);
	answer(1, 12);
	assert_int_equal(vfu_client_hand_over(dead.client, card.client), -ETIMEDOUT);
	card_hears(&card, body, sizeof(body));
	assert_int_equal(body[0], 12);
	card_hears(&card, body, sizeof(body));
	assert_int_equal(body[0], 16);
	card_end(&card);
	card_start(&card, CARD_LONG_MS);
	answer(1, 16);
	assert_int_equal(vfu_client_hand_over(dead.client, card.client), 0);
	card_hears(&card, body, sizeof(body));
	assert_int_equal(body[0], 16);
	assert_int_equal(vfu_client_hand_over(dead.client, card.client), 0);
	card_end(&card);
	card_end(&dead);
}

/* Answers what it is sent, too slowly for all of it to be done in time. */
static void *answer_slowly(void *context)
{
	struct card *slow = context;

	for (uint16_t i = 0; i < MOST / 2; i++) {
		struct vfio_user_region_access access = {.offset = 8 + 4u * i, .count = 4};

		usleep(CARD_SHORT_MS * 400);
		card_replies(slow, (uint16_t)(i + 1), VFIO_USER_REGION_WRITE, &access,
			     sizeof(access), 0);
	}
	return NULL;
}

/* Its deadline is for all of it. */
static void slow_successor_is_not_waited_for(void **state)
{
	struct card dead;
	pthread_t thread;

	(void)state;
	card_start(&card, CARD_LONG_MS);
	for (unsigned i = 0; i < MOST / 2; i++)
		assert_int_equal(write_behind(8 + 4 * i), 0);
	shutdown(card.socket, SHUT_RDWR);
	dead = card;
	card_start(&card, CARD_SHORT_MS);
	assert_int_equal(pthread_create(&thread, NULL, answer_slowly, &card), 0);
	assert_int_equal(vfu_client_hand_over(dead.client, card.client), -ETIMEDOUT);
	pthread_join(thread, NULL);
	card_expect_dead(&card);
	card_end(&card);
	card_end(&dead);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_come_in_between),
		cmocka_unit_test(silence_is_noticed),
		cmocka_unit_test(room_comes_with_answers),
		cmocka_unit_test(wrong_answers_kill_the_link),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(what_is_left_is_handed_over),
		cmocka_unit_test(slow_successor_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
