/* SPDX-License-Identifier: Apache-2.0 */
/* What a host tells of itself to who has a fleet of them, and what it makes for that one. */
#include "serve_harness.h"

#define NONCE "nonce=00112233445566778899aabbccddeeff"

/* Of an answer as JSON that `filter` makes a line of. */
static bool jq(const char *verb, const char *filter, const char *expected)
{
	assert_int_equal(CALL("reader", "%s --json | jq -r '%s'", verb, filter), 0);
	output[strcspn(output, "\n")] = '\0';
	return !strcmp(output, expected);
}

static void a_host_tells_what_it_has(void **state)
{
	(void)state;
	assert_true(jq("host", ".result.instances_most", "64"));
	assert_true(jq("host", ".result.cpus > 0", "true"));
	assert_true(jq("host", ".result | .memory > .memory_free", "true"));
	assert_true(jq("host", ".result.attestation", "unattested"));
	launch("promised");
	assert_true(
		jq("host", ".result | .memory_promised, .cpus_promised | tostring", "67108864"));
	kill_one("promised");
	assert_true(jq("host", ".result.memory_promised", "0"));
}

/* A guest that runs may still be taking its memory. */
static void memory_is_promised_once(void **state)
{
	(void)state;
	assert_int_equal(
		sh("echo SLOW >srv/slow && most=$(awk '/^MemAvailable/ { print int($2 / 3400) * 2 "
		   "}' "
		   "/proc/meminfo) && for name in one two; do echo '{\"name\": \"'$name'\", "
		   "\"memory\": \"'$most'M\", \"kernel\": \"slow\"}' >$name.json; done"),
		0);
	MUST("launch one.json");
	assert_int_equal(CALL("operator", "launch two.json"), 1);
	assert_true(says("are promised to others"));
	kill_one("one");
	MUST("launch two.json");
	kill_one("two");
	assert_int_equal(sh("echo GOOD >srv/slow"), 0);
	MUST("launch one.json");
	MUST("launch two.json");
	kill_one("one");
	kill_one("two");
}

static void a_volume_is_made_once_and_deleted_when_it_is_free(void **state)
{
	(void)state;
	assert_int_equal(CALL("reader", "make-volume new.vol size=8192"), 1);
	MUST("make-volume new.vol size=8192");
	assert_int_equal(sh("test $(stat -c %%s-%%a srv/new.vol) = 8192-600"), 0);
	assert_int_equal(CALL("operator", "make-volume new.vol size=8192"), 1);
	assert_true(says("File exists"));
	assert_int_equal(CALL("operator", "make-volume odd.vol size=1000"), 1);
	assert_true(says("multiple of 4096"));
	assert_int_equal(CALL("operator", "make-volume /etc/new.vol size=8192"), 1);
	assert_true(says("is not in"));
	MUST("grow-volume new.vol size=12288");
	/* Asked again, or for less than it has, it is as large as that. */
	MUST("grow-volume new.vol size=8192");
	assert_int_equal(sh("test $(stat -c %%s srv/new.vol) = 12288"), 0);
	assert_int_equal(CALL("operator", "grow-volume new.vol size=12289"), 1);
	assert_true(says("multiple of 4096"));
	MUST("delete-volume new.vol");
	assert_int_equal(sh("test -e srv/new.vol"), 1);
	assert_int_equal(CALL("operator", "delete-volume new.vol"), 1);
	assert_true(says("No such file"));
	assert_int_equal(CALL("operator", "delete-volume ../ca.pem"), 1);
	assert_int_equal(sh("ln -s ../ca.pem srv/link"), 0);
	assert_int_equal(CALL("operator", "delete-volume link"), 1);
	assert_true(says("is not a file"));
}

/* Under whatever name, and also when the instance does not run. */
static void a_volume_that_an_instance_has_is_not_deleted(void **state)
{
	(void)state;
	assert_int_equal(
		sh("cp srv/good.vol srv/kept.vol && ln srv/kept.vol srv/other.vol && "
		   "echo '{\"name\": \"owner\", \"memory\": \"64M\", \"kernel\": \"kernel\", "
		   "\"cards\": [{\"kind\": \"volume\", \"name\": \"v\", \"store\": "
		   "\"kept.vol\", \"key_fd\": 5}]}' >owner.json"),
		0);
	MUST("launch owner.json keys=5:key");
	assert_int_equal(CALL("operator", "delete-volume other.vol"), 1);
	assert_true(says("instance owner has it"));
	/* Those that it has not are anybody's. */
	MUST("make-volume free.vol size=8192");
	MUST("delete-volume free.vol");
	/* One that was detached comes back with its next start. */
	MUST("detach owner v");
	assert_int_equal(CALL("operator", "delete-volume other.vol"), 1);
	assert_true(says("instance owner has it"));
	assert_int_equal(CALL("operator", "grow-volume other.vol size=1073741824"), 1);
	assert_true(says("instance owner has it"));
	kill_one("owner");
	assert_int_equal(CALL("operator", "delete-volume kept.vol"), 1);
	assert_true(says("instance owner has it"));
	MUST("forget owner");
	MUST("delete-volume kept.vol");
}

static void a_quarantine_is_told_and_ended_from_afar(void **state)
{
	(void)state;
	assert_int_equal(sh("cp karuta-card-null whole && printf x >>karuta-card-null"), 0);
	assert_int_equal(sh("echo '{\"name\": \"q\", \"memory\": \"64M\", \"kernel\": \"kernel\", "
			    "\"cards\": [{\"kind\": \"null\"}]}' >q.json"),
			 0);
	assert_int_equal(CALL("operator", "launch q.json"), 1);
	assert_true(jq("host", ".result.quarantine | contains(\"karuta-card-null\")", "true"));
	assert_true(
		jq("evidence " NONCE, ".result.evidence | startswith(\"quarantine \")", "true"));
	assert_true(jq("evidence " NONCE, ".result.log | contains(\"karuta-card-null\")", "true"));
	assert_int_equal(CALL("reader", "evidence nonce=0011"), 1);
	assert_int_equal(sh("mv whole karuta-card-null"), 0);
	assert_int_equal(CALL("operator", "launch q.json"), 1);
	assert_int_equal(CALL("operator", "release reason=restored"), 1);
	assert_true(says("needs the role admin"));
	assert_int_equal(CALL("admin", "release reason=restored"), 0);
	assert_true(jq("host", ".result.quarantine", ""));
	assert_int_equal(CALL("admin", "release reason=again"), 1);
	assert_int_equal(sh("./karuta-controller audit show audit | grep 'admin (admin): release "
			    "host'"),
			 0);
	MUST("launch q.json");
	kill_one("q");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_tells_what_it_has),
		cmocka_unit_test(memory_is_promised_once),
		cmocka_unit_test(a_volume_is_made_once_and_deleted_when_it_is_free),
		cmocka_unit_test(a_volume_that_an_instance_has_is_not_deleted),
		cmocka_unit_test(a_quarantine_is_told_and_ended_from_afar),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_host, end_host);
}
