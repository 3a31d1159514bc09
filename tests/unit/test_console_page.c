/* SPDX-License-Identifier: Apache-2.0 */
/* A console, a page at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/base.h"
#include "console_page.h"

static struct console_ring *ring;
static unsigned char bytes[2 * CONSOLE_PAGE];

static int make_ring(void **state)
{
	(void)state;
	ring = calloc(1, sizeof(*ring));
	console_init(ring);
	return 0;
}

static int free_ring(void **state)
{
	(void)state;
	free(ring);
	return 0;
}

/* The byte of this number is its number, modulo a prime. */
static void write_until(uint64_t end)
{
	for (uint64_t at = atomic_load(&ring->written); at < end; at++) {
		uint8_t byte = (uint8_t)(at % 251);

		console_write(ring, &byte, 1);
	}
}

static uint64_t number(const json_t *page, const char *member)
{
	return (uint64_t)json_integer_value(json_object_get(page, member));
}

static void expect(json_t *page, uint64_t from, uint64_t next, bool more, bool ended)
{
	const char *text = json_string_value(json_object_get(page, "console"));

	assert_non_null(text);
	assert_int_equal(number(page, "from"), from);
	assert_int_equal(number(page, "next"), next);
	assert_int_equal(json_is_true(json_object_get(page, "more")), more);
	assert_int_equal(json_is_true(json_object_get(page, "ended")), ended);
	assert_true(strlen(text) == (next - from + 2) / 3 * 4);
	assert_true(EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)strlen(text)) >= 0);
	for (uint64_t i = from; i < next; i++)
		assert_int_equal(bytes[i - from], i % 251);
	json_decref(page);
}

static void pages_follow_each_other(void **state)
{
	(void)state;
	expect(console_page_of_ring(ring, 0), 0, 0, false, false);
	write_until(1000);
	expect(console_page_of_ring(ring, 0), 0, 1000, false, false);
	expect(console_page_of_ring(ring, 998), 998, 1000, false, false);
	expect(console_page_of_ring(ring, 1000), 1000, 1000, false, false);
	write_until(CONSOLE_PAGE + 10);
	expect(console_page_of_ring(ring, 0), 0, CONSOLE_PAGE, true, false);
	expect(console_page_of_ring(ring, CONSOLE_PAGE), CONSOLE_PAGE, CONSOLE_PAGE + 10, false,
	       false);
	/* What was never written. */
	expect(console_page_of_ring(ring, INT64_MAX), 0, CONSOLE_PAGE, true, false);
}

static void what_is_overwritten_is_left_out(void **state)
{
	const uint64_t end = 3 * (uint64_t)CONSOLE_DATA, oldest = end - CONSOLE_KEPT;

	(void)state;
	write_until(end);
	expect(console_page_of_ring(ring, 7), oldest, oldest + CONSOLE_PAGE, true, false);
	expect(console_page_of_ring(ring, end - 5), end - 5, end, false, false);
}

static void the_last_words_stay(void **state)
{
	struct console_rest rest = {0};

	(void)state;
	console_rest_keep(&rest, NULL);
	expect(console_page_of_rest(&rest, 0), 0, 0, false, true);
	write_until(10);
	console_rest_keep(&rest, ring);
	expect(console_page_of_rest(&rest, 0), 0, 10, false, true);
	expect(console_page_of_rest(&rest, 4), 4, 10, false, true);
	expect(console_page_of_rest(&rest, 10), 10, 10, false, true);
	write_until(CONSOLE_REST + 100);
	console_rest_keep(&rest, ring);
	expect(console_page_of_rest(&rest, 0), 100, CONSOLE_REST + 100, false, true);
	expect(console_page_of_rest(&rest, UINT64_MAX), 100, CONSOLE_REST + 100, false, true);
	console_rest_free(&rest);
}

/* A program that was taken over writes what it wants there. */
static void what_is_no_ring_has_nothing(void **state)
{
	struct console_rest rest = {0};

	(void)state;
	memset(ring, 0xa5, sizeof(*ring));
	expect(console_page_of_ring(ring, 0), 0, 0, false, false);
	console_rest_keep(&rest, ring);
	assert_int_equal(rest.length, 0);
	console_rest_free(&rest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_follow_each_other, make_ring, free_ring),
		cmocka_unit_test_setup_teardown(what_is_overwritten_is_left_out, make_ring,
						free_ring),
		cmocka_unit_test_setup_teardown(the_last_words_stay, make_ring, free_ring),
		cmocka_unit_test_setup_teardown(what_is_no_ring_has_nothing, make_ring, free_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
