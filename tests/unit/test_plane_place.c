/* SPDX-License-Identifier: Apache-2.0 */
/* Which host an instance is to run on, and what is said when there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "place.h"

static char why[256];

static struct place_host host(const char *name)
{
	return (struct place_host){.name = name,
				   .usable = true,
				   .memory = 16 * GIB,
				   .cpus = 16,
				   .cores = 8,
				   .overcommit = 1,
				   .instances_most = 64};
}

static struct place_want small(void)
{
	return (struct place_want){.memory = GIB, .cpus = 2, .slots = 2};
}

static int choose(const struct place_host *hosts, size_t count, const struct place_want *want)
{
	return place_choose(hosts, count, want, why, sizeof(why));
}

static void instances_are_spread(void **state)
{
	struct place_host hosts[] = {host("a"), host("b"), host("c")};
	struct place_want want = small();
	unsigned placed[3] = {0};

	(void)state;
	for (unsigned i = 0; i < 9; i++) {
		int chosen = choose(hosts, 3, &want);

		assert_in_range(chosen, 0, 2);
		placed[chosen]++;
		hosts[chosen].memory_used += want.memory;
		hosts[chosen].cpus_used += want.cpus;
		hosts[chosen].instances++;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(placed[i], 3);
}

static void what_is_scarcest_decides(void **state)
{
	struct place_host hosts[] = {host("a"), host("b")};
	struct place_want want = small();

	(void)state;
	hosts[0].cpus_used = 12;
	hosts[1].memory_used = 8 * GIB;
	assert_int_equal(choose(hosts, 2, &want), 1);
	hosts[1].memory_used = 14 * GIB;
	assert_int_equal(choose(hosts, 2, &want), 0);
}

static void what_is_equal_is_decided_by_name_in_any_order(void **state)
{
	struct place_host hosts[] = {host("b"), host("a"), host("c")};
	struct place_want want = small();

	(void)state;
	assert_int_equal(choose(hosts, 3, &want), 1);
	hosts[2].name = "0";
	assert_int_equal(choose(hosts, 3, &want), 2);
}

static void one_that_is_asked_for_is_taken_or_none(void **state)
{
	struct place_host hosts[] = {host("a"), host("b")};
	struct place_want want = small();

	(void)state;
	hosts[1].memory_used = 10 * GIB;
	want.host = "b";
	assert_int_equal(choose(hosts, 2, &want), 1);
	want.host = "z";
	assert_int_equal(choose(hosts, 2, &want), -1);
	assert_string_equal(why, "there is no host z");
	want.host = "b";
	hosts[1].usable = false;
	hosts[1].why_not = "unreachable";
	assert_int_equal(choose(hosts, 2, &want), -1);
	assert_string_equal(why, "host b: 1 is unreachable");
}

static void labels_have_to_be_there(void **state)
{
	struct place_host hosts[] = {host("a"), host("b")};
	struct place_want want = small();

	(void)state;
	want.labels[0] = (struct place_label){"zone", "north"};
	want.labels[1] = (struct place_label){"disk", "fast"};
	want.label_count = 2;
	hosts[0].labels[0] = want.labels[0];
	hosts[0].label_count = 1;
	hosts[1].labels[0] = want.labels[1];
	hosts[1].labels[1] = want.labels[0];
	hosts[1].label_count = 2;
	assert_int_equal(choose(hosts, 2, &want), 1);
	hosts[1].labels[1].value = "south";
	assert_int_equal(choose(hosts, 2, &want), -1);
	assert_string_equal(why, "2 hosts: 2 lack the label zone=north");
}

static void shared_processors_may_be_promised_more_than_once(void **state)
{
	struct place_host hosts[] = {host("a")};
	struct place_want want = small();

	(void)state;
	hosts[0].cpus_used = 15;
	assert_int_equal(choose(hosts, 1, &want), -1);
	assert_string_equal(why, "1 host: 1 lacks processors (2 wanted, at most 1 free)");
	hosts[0].overcommit = 2;
	assert_int_equal(choose(hosts, 1, &want), 0);
}

static void whole_cores_are_nobody_elses_and_one_always_stays(void **state)
{
	struct place_host hosts[] = {host("a")};
	struct place_want want = small();

	(void)state;
	want.whole_cores = true;
	want.cpus = 14;
	assert_int_equal(choose(hosts, 1, &want), 0);
	want.cpus = 15; /* eight cores of two threads */
	assert_int_equal(choose(hosts, 1, &want), -1);
	assert_string_equal(why, "1 host: 1 lacks whole cores (for 15 processors, at most 7 free)");
	/* Those that share have been promised ten of the sixteen. */
	want.cpus = 8;
	hosts[0].cpus_used = 10;
	assert_int_equal(choose(hosts, 1, &want), -1);
	want.cpus = 6;
	assert_int_equal(choose(hosts, 1, &want), 0);
	/* And what is given away cannot be shared. */
	hosts[0].cores_used = 7;
	hosts[0].cpus_used = 0;
	want = small();
	assert_int_equal(choose(hosts, 1, &want), 0);
	want.cpus = 3;
	assert_int_equal(choose(hosts, 1, &want), -1);
}

static void there_is_room_for_so_many_instances(void **state)
{
	struct place_host hosts[] = {host("a")};
	struct place_want want = small();

	(void)state;
	hosts[0].instances = 63;
	assert_int_equal(choose(hosts, 1, &want), 0);
	hosts[0].instances = 64;
	assert_int_equal(choose(hosts, 1, &want), -1);
	assert_string_equal(why, "1 host: 1 has no room for another instance");
	/* A volume is none. */
	want = (struct place_want){.host = "a"};
	assert_int_equal(choose(hosts, 1, &want), 0);
}

static void more_cards_than_slots_fit_nowhere(void **state)
{
	struct place_host hosts[] = {host("a")};
	struct place_want want = small();

	(void)state;
	want.slots = 31;
	assert_int_equal(choose(hosts, 1, &want), 0);
	want.slots = 32;
	assert_int_equal(choose(hosts, 1, &want), -1);
	assert_string_equal(why, "32 cards are wanted, and an instance has 31 slots");
}

static void each_reason_is_counted(void **state)
{
	struct place_host hosts[] = {host("a"), host("b"), host("c"), host("d")};
	struct place_want want = small();

	(void)state;
	want.memory = GIB + GIB / 2;
	hosts[0].memory_used = 15 * GIB;
	hosts[1].memory_used = 17 * GIB; /* it has shrunk since */
	hosts[1].cpus_used = 16;
	hosts[2].usable = hosts[3].usable = false;
	hosts[2].why_not = "quarantined";
	hosts[3].why_not = "unreachable";
	assert_int_equal(choose(hosts, 4, &want), -1);
	assert_string_equal(why, "4 hosts: 2 lack memory (1.5 GiB wanted, at most 1.0 GiB free), "
				 "1 lacks processors (2 wanted, at most 0 free), "
				 "1 is quarantined, 1 is unreachable");
	assert_int_equal(choose(hosts, 0, &want), -1);
	assert_string_equal(why, "there are no hosts");
}

static void a_short_text_is_cut(void **state)
{
	struct place_host hosts[] = {host("a")};
	struct place_want want = small();
	char few[8] = "1234567";

	(void)state;
	want.memory = UINT64_MAX;
	assert_int_equal(place_choose(hosts, 1, &want, few, 6), -1);
	assert_string_equal(few, "1 hos");
	assert_int_equal(few[6], '7');
	assert_int_equal(place_choose(hosts, 1, &want, few, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instances_are_spread),
		cmocka_unit_test(what_is_scarcest_decides),
		cmocka_unit_test(what_is_equal_is_decided_by_name_in_any_order),
		cmocka_unit_test(one_that_is_asked_for_is_taken_or_none),
		cmocka_unit_test(labels_have_to_be_there),
		cmocka_unit_test(shared_processors_may_be_promised_more_than_once),
		cmocka_unit_test(whole_cores_are_nobody_elses_and_one_always_stays),
		cmocka_unit_test(there_is_room_for_so_many_instances),
		cmocka_unit_test(more_cards_than_slots_fit_nowhere),
		cmocka_unit_test(each_reason_is_counted),
		cmocka_unit_test(a_short_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
