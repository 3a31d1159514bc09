/* SPDX-License-Identifier: Apache-2.0 */
/* What is executed is what was measured; what is not as released is not executed. */
#include "controller_harness.h"

#define VOLUME	    "{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"good.vol\", \"key_fd\": 50}"
#define ATTACH_NULL sh("./karuta-controller attach test kind=null name=n --socket s")

static int renew(void **state)
{
	(void)state;
	return sh("rm -rf state ran && mkdir -p kept && cp -n karuta* kept/ && cp "
		  "--remove-destination kept/karuta* .");
}

/* The byte behind its end: the program would run as well as before. */
static void change(const char *program)
{
	assert_int_equal(sh("printf x >>%s", program), 0);
}

static void expect_refusal(const char *text)
{
	pid_t pid = run("GOOD", VOLUME);

	assert_int_equal(wait_end(pid), 1);
	assert_int_equal(sh("cat notes"), 0);
	assert_true(says(text));
}

static void nothing_runs_on_a_host_with_one_program_changed(void **state)
{
	static const char *const programs_of_it[] = {"karuta-hypervisor", "karuta-card-volume",
						     "karuta-card-null", "karuta-controller",
						     "karuta.manifest"};

	for (size_t i = 0; i < ARRAY_LEN(programs_of_it); i++) {
		assert_int_equal(renew(state), 0);
		change(programs_of_it[i]);
		expect_refusal("quarantine: ");
		assert_true(says(programs_of_it[i]));
		assert_int_equal(sh("cmp %s state/evidence/1/file", programs_of_it[i]), 0);
		assert_int_not_equal(sh("cat ran"), 0);
	}
	assert_int_equal(sh("cp --remove-destination kept/* . && ./karuta-controller release "
			    "--state state tested"),
			 0);
	kill_instance(run_until_running("GOOD", VOLUME));
	assert_int_equal(sh("grep -q hypervisor ran && grep -q volume ran"), 0);
}

/* Not even its own file: what was measured is a copy. */
static void what_runs_goes_on_and_is_started_again_in_a_quarantine(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);

	(void)state;
	VERB("status test");
	assert_true(says("host: release 1 (development), unattested"));
	assert_false(says("QUARANTINE"));
	change("karuta-card-volume");
	change("karuta-card-null");
	assert_int_equal(sh("rm ran"), 0);
	assert_int_equal(ATTACH_NULL, 1);
	assert_true(says("quarantine: karuta-card-null is not what release 1 has"));
	assert_int_not_equal(sh("cat ran"), 0);
	VERB("status test");
	assert_true(says("host: QUARANTINE since"));
	assert_true(says("attached"));
	/* Intact parts too wait for a person. */
	assert_int_equal(sh("cp --remove-destination kept/* . && ./karuta-controller update test v "
			    "--socket s"),
			 1);
	assert_true(says("nothing starts until karuta-controller release"));
	assert_int_equal(sh("printf x >>karuta-card-volume; pkill -KILL -P %d -f karuta-card", pid),
			 0);
	assert_int_equal(sh("for i in $(seq 500); do grep -q 'goes on after' notes && exit 0; "
			    "sleep 0.02; done; exit 1"),
			 0);
	assert_int_equal(sh("./karuta-controller release --state state 'is back' && cp "
			    "--remove-destination kept/* ."),
			 0);
	assert_int_equal(ATTACH_NULL, 0);
	VERB("status test");
	assert_false(says("QUARANTINE"));
	kill_instance(pid);
}

static void update_takes_what_is_listed_only(void **state)
{
	pid_t pid = run_until_running("GOOD", VOLUME);

	(void)state;
	assert_int_equal(sh("./karuta-controller update test v /bin/true --socket s"), 1);
	assert_true(says("the manifest does not have it as karuta-card-volume"));
	/* A listed one, but of another kind. */
	assert_int_equal(sh("./karuta-controller update test v ./karuta-controller --socket s"), 1);
	assert_true(says("the manifest does not have it as karuta-card-volume"));
	assert_int_equal(sh("test -e state/quarantine"), 1);
	assert_int_equal(sh("grep -c '^karuta-card-volume .* refused' state/events"), 0);
	assert_true(says("2"));
	/* A manifest that somebody has worked on. */
	assert_int_equal(sh("mkdir -p old && cp karuta-card-volume old/"), 0);
	assert_int_equal(sign("old", 1), 0);
	assert_int_equal(sh("sed -i 's/^release 1$/release 0/' old/karuta.manifest"), 0);
	assert_int_equal(sh("./karuta-controller update test v old/karuta-card-volume --socket s"),
			 1);
	assert_true(says("quarantine: karuta.manifest"));
	assert_int_equal(sh("./karuta-controller release --state state tested"), 0);
	/* One that only has the name. */
	assert_int_equal(
		sh("mkdir -p forged && cp karuta-card-volume forged/ && "
		   "printf x >>forged/karuta-card-volume; ./karuta-controller update test v "
		   "forged/karuta-card-volume --socket s"),
		1);
	assert_true(says("quarantine: karuta-card-volume is not what release 1 has"));
	VERB("status test");
	assert_true(says("attached"));
	kill_instance(pid);
}

static void update_to_an_older_release_is_refused(void **state)
{
	pid_t pid;

	(void)state;
	assert_int_equal(sign(".", 5), 0);
	pid = run_until_running("GOOD", VOLUME);
	assert_int_equal(sh("mkdir -p older newer && cp karuta-card-volume older/ && "
			    "cp karuta-card-volume newer/"),
			 0);
	assert_int_equal(sign("older", 4), 0);
	assert_int_equal(sign("newer", 6), 0);
	assert_int_equal(
		sh("./karuta-controller update test v older/karuta-card-volume --socket s"), 1);
	assert_true(says("release 4 is older than 5"));
	assert_int_equal(
		sh("./karuta-controller update test v newer/karuta-card-volume --socket s"), 0);
	/* One card of a newer release does not bar the rest of the host. */
	assert_int_equal(ATTACH_NULL, 0);
	kill_instance(pid);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_runs_on_a_host_with_one_program_changed, renew),
		cmocka_unit_test_setup(what_runs_goes_on_and_is_started_again_in_a_quarantine,
				       renew),
		cmocka_unit_test_setup(update_takes_what_is_listed_only, renew),
		cmocka_unit_test_setup(update_to_an_older_release_is_refused, renew),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
