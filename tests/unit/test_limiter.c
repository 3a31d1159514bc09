/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets with a clock of the test's: what is let through when, to the nanosecond. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "limiter.h"

#define SECOND UINT64_C(1000000000)
#define START  UINT64_C(123456789)

static struct limiter make(uint64_t iops, uint64_t iops_burst, uint64_t bytes, uint64_t bytes_burst)
{
	struct limiter limiter;

	limiter_start(&limiter, (struct limiter_rate){iops, iops_burst},
		      (struct limiter_rate){bytes, bytes_burst}, START);
	return limiter;
}

static void without_a_limit_nothing_waits(void **state)
{
	struct limiter limiter = make(0, 0, 0, 0);

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(limiter_take(&limiter, UINT64_C(1) << 40, START), 0);
}

static void a_burst_goes_at_once_and_the_rest_by_the_clock(void **state)
{
	struct limiter limiter = make(100, 5, 0, 0);
	uint64_t now = START;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(limiter_take(&limiter, 4096, now), 0);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(limiter_take(&limiter, 4096, now), SECOND / 100);
		now += SECOND / 100 - 1;
		assert_int_equal(limiter_take(&limiter, 4096, now), 1);
		now += 1;
		assert_int_equal(limiter_take(&limiter, 4096, now), 0);
	}
	/* Rest does not save up more than the burst. */
	now += 1000 * SECOND;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(limiter_take(&limiter, 4096, now), 0);
	assert_int_not_equal(limiter_take(&limiter, 4096, now), 0);
}

static void a_transfer_longer_than_the_burst_is_paid_later(void **state)
{
	struct limiter limiter = make(0, 0, MIB, 4096);

	(void)state;
	assert_int_equal(limiter_take(&limiter, MIB, START), 0);
	assert_in_range(limiter_take(&limiter, 512, START), SECOND - SECOND / 200, SECOND);
	/* A flush moves nothing. */
	assert_int_equal(limiter_take(&limiter, 0, START), 0);
	assert_int_equal(limiter_take(&limiter, 512, START + SECOND), 0);
}

/* The wait that is told is enough, and less than a nanosecond too much. */
static void the_mean_is_the_rate(void **state)
{
	static const struct limiter_rate rates[] = {{7, 3}, {999983, 1}, {1, 1}, {123, 10000}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct limiter limiter = make(rates[i].rate, rates[i].burst, 0, 0);
		uint64_t now = START, count = rates[i].burst + 5000, wait;

		for (uint64_t n = 0; n < count; n++) {
			while ((wait = limiter_take(&limiter, 1, now)))
				now += wait;
		}
		assert_in_range(now - START, 5000 * SECOND / rates[i].rate,
				5000 * SECOND / rates[i].rate + 5000);
	}
}

static void both_limits_hold(void **state)
{
	struct limiter limiter = make(10, 1, 10 * 4096, 1);
	uint64_t now = START, wait;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		while ((wait = limiter_take(&limiter, 2 * 4096, now)))
			now += wait;
	}
	/* The bytes are what is scarce. */
	assert_in_range(now - START, 19 * SECOND, 20 * SECOND);
}

/* A request that has to wait takes nothing, however often it asks. */
static void asking_costs_nothing(void **state)
{
	struct limiter limiter = make(1000, 1, MIB, MIB);

	(void)state;
	assert_int_equal(limiter_take(&limiter, MIB / 2, START), 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(limiter_take(&limiter, MIB / 2, START + i), SECOND / 1000 - i);
	assert_int_equal(limiter_take(&limiter, MIB / 2, START + SECOND / 1000), 0);
}

static void the_largest_numbers_do_not_overflow(void **state)
{
	struct limiter limiter = make(LIMITER_MAX, LIMITER_MAX, LIMITER_MAX, LIMITER_MAX);
	struct limiter slow = make(1, 1, 1, 1);
	uint64_t now = START;

	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(limiter_take(&limiter, UINT64_C(1) << 49, now), 0);
		now += SECOND << (i % 27);
	}
	assert_int_equal(limiter_take(&slow, UINT64_C(1) << 33, START), 0);
	assert_int_equal(limiter_take(&slow, 1, START + SECOND),
			 ((UINT64_C(1) << 33) - 1) * SECOND);
}

static void reads_what_it_is_told(void **state)
{
	static const char *const bad[] = {"",	"0",	"x",  "-5", "5:",  "5:0",
					  ":5", "5:5:", "5 ", "5K", "1e3", "99999999999999999999",
					  "5:x"};
	struct limiter_rate rate;
	struct error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(limiter_parse(bad[i], false, &rate, &error), -EINVAL);
	assert_int_equal(limiter_parse("5KB", true, &rate, &error), -EINVAL);
	assert_int_equal(limiter_parse("9999T", true, &rate, &error), -EINVAL);
	assert_int_equal(limiter_parse("500", false, &rate, &error), 0);
	assert_int_equal(rate.rate, 500);
	assert_int_equal(rate.burst, 50);
	assert_int_equal(limiter_parse("3", false, &rate, &error), 0);
	assert_int_equal(rate.burst, 1);
	assert_int_equal(limiter_parse("500:2000", false, &rate, &error), 0);
	assert_int_equal(rate.burst, 2000);
	assert_int_equal(limiter_parse("100M:1G", true, &rate, &error), 0);
	assert_int_equal(rate.rate, 100 * MIB);
	assert_int_equal(rate.burst, GIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_limit_nothing_waits),
		cmocka_unit_test(a_burst_goes_at_once_and_the_rest_by_the_clock),
		cmocka_unit_test(a_transfer_longer_than_the_burst_is_paid_later),
		cmocka_unit_test(the_mean_is_the_rate),
		cmocka_unit_test(both_limits_hold),
		cmocka_unit_test(asking_costs_nothing),
		cmocka_unit_test(the_largest_numbers_do_not_overflow),
		cmocka_unit_test(reads_what_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
