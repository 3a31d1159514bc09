/* SPDX-License-Identifier: Apache-2.0 */
/* The event log in a TPM (swtpm), and what its quotes are worth. */
#include "controller_harness.h"
#include "trust/quote.h"

#define NONCE	"00112233445566778899aabbccddeeff"
#define TPM	"--state state --tpm swtpm:path=$PWD/tpm/s"
#define MEASURE sh("./karuta-controller verify " TPM)

static const uint8_t nonce[] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
				0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

static int start_tpm(void **state)
{
	(void)state;
	return sh("mkdir -p kept && cp -n karuta* kept/ && cp --remove-destination kept/* . && "
		  "rm -rf tpm state && mkdir tpm && swtpm socket --tpm2 --tpmstate dir=$PWD/tpm "
		  "--server type=unixio,path=$PWD/tpm/s --ctrl type=unixio,path=$PWD/tpm/s.ctrl "
		  "--flags not-need-init,startup-clear --pid file=$PWD/tpm/pid -d >/dev/null");
}

static int stop_tpm(void **state)
{
	(void)state;
	return sh("kill $(cat tpm/pid)");
}

struct answer {
	struct quote quote;
	struct event_log log;
	struct trust_key *key; /* as whoever enrolled the host has it */
};

static struct answer ask(void)
{
	struct answer answer;

	assert_int_equal(sh("./karuta-controller quote " TPM " --nonce " NONCE), 0);
	assert_int_equal(quote_parse(&answer.quote, &answer.log, output, strlen(output), NULL), 0);
	assert_int_equal(trust_key_open(answer.quote.key, answer.quote.key_length, &answer.key), 0);
	return answer;
}

static void forget(struct answer *answer)
{
	event_log_free(&answer->log);
	trust_key_free(answer->key);
}

static int judge(const struct answer *answer, const char *why)
{
	struct error error = {0};
	int ret = quote_verify(&answer->quote, &answer->log, answer->key, nonce, sizeof(nonce),
			       &error);

	if (why)
		assert_non_null(strstr(error.text, why));
	return ret;
}

static void quote_verifies_against_the_log(void **state)
{
	struct answer first, second;

	(void)state;
	assert_int_equal(MEASURE, 0);
	assert_true(says("release 1 (development), tpm"));
	first = ask();
	assert_int_equal(judge(&first, NULL), 0);
	/* Measured again, nothing changes; the key is the same. */
	assert_int_equal(MEASURE, 0);
	second = ask();
	assert_int_equal(judge(&second, NULL), 0);
	assert_true(trust_digest_same(&first.log.running, &second.log.running));
	assert_true(trust_digest_same(trust_key_id(first.key), trust_key_id(second.key)));
	forget(&first);
	forget(&second);
}

static void replayed_or_forged_quote_is_refused(void **state)
{
	struct answer answer, other;
	uint8_t fresh[sizeof(nonce)] = {1};
	struct error error = {0};

	(void)state;
	assert_int_equal(MEASURE, 0);
	answer = ask();
	assert_int_equal(
		quote_verify(&answer.quote, &answer.log, answer.key, fresh, sizeof(fresh), &error),
		-EPERM);
	assert_non_null(strstr(error.text, "another nonce"));
	assert_int_equal(quote_verify(&answer.quote, &answer.log, answer.key, nonce, 15, NULL),
			 -EINVAL);
	for (size_t i = 0; i < answer.quote.attest_length; i++) {
		answer.quote.attest[i] ^= 1;
		assert_int_equal(judge(&answer, "another key"), -EPERM);
		answer.quote.attest[i] ^= 1;
	}
	answer.quote.signature[answer.quote.signature_length - 1] ^= 1;
	assert_int_equal(judge(&answer, "another key"), -EPERM);
	answer.quote.signature[answer.quote.signature_length - 1] ^= 1;
	assert_int_equal(judge(&answer, NULL), 0);
	/* Another TPM. */
	assert_int_equal(stop_tpm(NULL), 0);
	assert_int_equal(start_tpm(NULL), 0);
	assert_int_equal(MEASURE, 0);
	other = ask();
	assert_int_equal(
		quote_verify(&other.quote, &other.log, answer.key, nonce, sizeof(nonce), NULL),
		-EPERM);
	forget(&answer);
	forget(&other);
}

static void log_that_does_not_match_is_refused(void **state)
{
	struct event more = {.what = "karuta-card-null", .result = EVENT_INTACT};
	struct answer answer;
	struct event_log cut;
	char *last;

	(void)state;
	assert_int_equal(MEASURE, 0);
	answer = ask();
	/* One event less, in a log that is whole by itself. */
	last = answer.log.text + answer.log.length - 1;
	while (last[-1] != '\n')
		last--;
	assert_int_equal(
		event_log_open(&cut, answer.log.text, (size_t)(last - answer.log.text), NULL), 0);
	event_log_free(&answer.log);
	answer.log = cut;
	assert_int_equal(judge(&answer, "the event log is not what"), -EPERM);
	assert_int_equal(event_log_add(&answer.log, &more), 0);
	assert_int_equal(judge(&answer, "the event log is not what"), -EPERM);
	forget(&answer);
}

/* What is found goes into the TPM also when nothing is started for it. */
static void mismatch_is_in_the_quote(void **state)
{
	struct answer answer;

	(void)state;
	assert_int_equal(MEASURE, 0);
	assert_int_equal(sh("printf x >>karuta-card-null"), 0);
	assert_int_equal(MEASURE, 1);
	answer = ask();
	assert_int_equal(judge(&answer, NULL), 0);
	assert_non_null(strstr(answer.log.text, " mismatch "));
	forget(&answer);
}

/* As if the controller had died between the two. */
static void log_that_is_ahead_is_caught_up_with(void **state)
{
	struct answer answer;

	(void)state;
	assert_int_equal(MEASURE, 0);
	assert_int_equal(sign(".", 2), 0);
	assert_int_equal(sh("./karuta-controller verify --state state"), 0);
	assert_true(says("unattested"));
	assert_int_equal(MEASURE, 0);
	answer = ask();
	assert_int_equal(judge(&answer, NULL), 0);
	forget(&answer);
}

static void host_whose_memory_was_removed_is_in_quarantine(void **state)
{
	(void)state;
	assert_int_equal(MEASURE, 0);
	assert_int_equal(sh("rm -r state"), 0);
	assert_int_equal(MEASURE, 1);
	assert_true(says("quarantine: event log: the TPM's register 13 is of another one"));
	/* Another log, whole by itself. */
	assert_int_equal(sign(".", 2), 0);
	assert_int_equal(sh("rm -r state; ./karuta-controller verify --state state && "
			    "cp state/events other"),
			 0);
	assert_int_equal(MEASURE, 1);
	assert_int_equal(sh("cmp state/evidence/1/file other"), 0);
}

static void what_is_started_later_is_in_the_quote(void **state)
{
	char how[128];
	struct answer before, after;
	pid_t pid;

	(void)state;
	snprintf(how, sizeof(how), "swtpm:path=%s/tpm/s", folder);
	tpm = how;
	pid = run_until_running("GOOD", "");
	tpm = NULL;
	VERB("status test");
	assert_true(says("host: release 1 (development), tpm"));
	before = ask();
	assert_int_equal(judge(&before, NULL), 0);
	assert_int_equal(sh("./karuta-controller attach test kind=null --socket s"), 0);
	assert_int_equal(sh("printf x >>karuta-card-null"), 0);
	assert_int_equal(sh("./karuta-controller attach test kind=null --socket s"), 1);
	after = ask();
	assert_int_equal(judge(&after, NULL), 0);
	assert_int_equal(after.log.count, before.log.count + 1);
	kill_instance(pid);
	forget(&before);
	forget(&after);
}

static void tpm_that_does_not_answer_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(sh("./karuta-controller verify --state state --tpm swtpm:path=missing"),
			 1);
	assert_true(says("the host is not attested without it"));
	assert_int_equal(sh("./karuta-controller quote " TPM " --nonce 00"), 1);
	assert_int_equal(sh("./karuta-controller quote " TPM " --nonce zz"), 2);
	assert_int_equal(sh("./karuta-controller quote --nonce " NONCE), 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(quote_verifies_against_the_log, start_tpm,
						stop_tpm),
		cmocka_unit_test_setup_teardown(replayed_or_forged_quote_is_refused, start_tpm,
						stop_tpm),
		cmocka_unit_test_setup_teardown(log_that_does_not_match_is_refused, start_tpm,
						stop_tpm),
		cmocka_unit_test_setup_teardown(mismatch_is_in_the_quote, start_tpm, stop_tpm),
		cmocka_unit_test_setup_teardown(log_that_is_ahead_is_caught_up_with, start_tpm,
						stop_tpm),
		cmocka_unit_test_setup_teardown(host_whose_memory_was_removed_is_in_quarantine,
						start_tpm, stop_tpm),
		cmocka_unit_test_setup_teardown(what_is_started_later_is_in_the_quote, start_tpm,
						stop_tpm),
		cmocka_unit_test_setup_teardown(tpm_that_does_not_answer_is_an_error, start_tpm,
						stop_tpm),
	};

	be_what_is_launched(argc, argv);
	if (system("command -v swtpm >/dev/null") != 0) {
		puts("there is no swtpm");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
