/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon on a host with a TPM (swtpm). */
#include "serve_harness.h"
#include "trust/quote.h"
#include "wrap.h"

#define NONCE "00112233445566778899aabbccddeeff"

static char how[128];

static int start_tpm(void)
{
	return sh("mkdir -p tpm && swtpm socket --tpm2 --tpmstate dir=$PWD/tpm "
		  "--server type=unixio,path=$PWD/tpm/s --ctrl type=unixio,path=$PWD/tpm/s.ctrl "
		  "--flags not-need-init,startup-clear --pid file=$PWD/tpm/pid -d >/dev/null");
}

static int make_attested_host(void **state)
{
	int ret = make_host_folder(state);

	snprintf(how, sizeof(how), "swtpm:path=%s/tpm/s", folder);
	if (ret != 0 || start_tpm() != 0)
		return -1;
	tpm = how;
	keeper_pid = start_daemon("host");
	wait_daemon();
	return 0;
}

static int end_attested_host(void **state)
{
	return sh("kill $(cat tpm/pid)") == 0 ? end_host(state) : -1;
}

/* What the TPM says of the host names the key that callers are told to wrap with. */
static void the_wrapping_key_is_in_the_quote(void **state)
{
	uint8_t public[WRAP_PUBLIC_SIZE], nonce[16];
	char expected[TRUST_DIGEST_DIGITS + 64];
	struct trust_digest digest;
	struct event_log log;
	struct trust_key *key;
	struct quote quote;

	(void)state;
	assert_int_equal(CALL("operator", "wrapping --json"), 0);
	assert_true(says("\"attested\": true"));
	assert_int_equal(CALL("operator", "wrapping"), 0);
	assert_true(trust_unhex(output, 2 * sizeof(public), public));
	assert_int_equal(trust_digest(public, sizeof(public), &digest), 0);
	memcpy(expected, "\nwrapping-key ", 14);
	trust_hex(digest.bytes, TRUST_DIGEST_SIZE, expected + 14);
	strcat(expected, " made ");
	assert_int_equal(sh("./karuta-controller quote --state state --tpm %s --nonce " NONCE, how),
			 0);
	assert_int_equal(quote_parse(&quote, &log, output, strlen(output), NULL), 0);
	assert_int_equal(trust_key_open(quote.key, quote.key_length, &key), 0);
	assert_true(trust_unhex(NONCE, 32, nonce));
	assert_int_equal(quote_verify(&quote, &log, key, nonce, sizeof(nonce), NULL), 0);
	assert_non_null(strstr(log.text, expected));
	event_log_free(&log);
	trust_key_free(key);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wrapping_key_is_in_the_quote),
	};

	be_what_is_launched(argc, argv);
	if (system("command -v swtpm >/dev/null") != 0) {
		puts("there is no swtpm");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_attested_host, end_attested_host);
}
