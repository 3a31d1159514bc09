/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon on a host with a TPM (swtpm). */
#include "audit.h"
#include "audit_files.h"
#include "audit_head.h"
#include "call/wrap.h"
#include "serve_harness.h"
#include "tpm.h"
#include "trust/quote.h"

#define NONCE "00112233445566778899aabbccddeeff"

static char how[128];

static int start_tpm(const char *name)
{
	return sh("mkdir -p %s && swtpm socket --tpm2 --tpmstate dir=$PWD/%s "
		  "--server type=unixio,path=$PWD/%s/s --ctrl type=unixio,path=$PWD/%s/s.ctrl "
		  "--flags not-need-init,startup-clear --pid file=$PWD/%s/pid -d >/dev/null",
		  name, name, name, name, name);
}

static int stop_tpm(const char *name)
{
	return sh("kill $(cat %s/pid) && while [ -e %s/pid ]; do sleep 0.02; done", name, name);
}

static int make_attested_host(void **state)
{
	int ret = make_host_folder(state);

	snprintf(how, sizeof(how), "swtpm:path=%s/tpm/s", folder);
	if (ret != 0 || start_tpm("tpm") != 0)
		return -1;
	tpm = how;
	keeper_pid = start_daemon("host");
	wait_daemon();
	return 0;
}

static int end_attested_host(void **state)
{
	int ret = sh("cat tpm/pid"), pid = atoi(output);

	if (ret == 0)
		ret = end_host(state);
	return kill(pid, SIGTERM) < 0 ? -1 : ret;
}

static void stop_daemon(void)
{
	kill(keeper_pid, SIGTERM);
	assert_int_equal(wait_end(keeper_pid), 0);
}

static void begin_daemon(void)
{
	keeper_pid = start_daemon("host");
	wait_daemon();
}

/* What was shown last is a quote that answers our nonce, and its log has this. */
static void shows_quote_with(const char *expected)
{
	struct event_log log;
	struct trust_key *key;
	struct quote quote;
	uint8_t nonce[16];

	assert_int_equal(quote_parse(&quote, &log, output, strlen(output), NULL), 0);
	assert_int_equal(trust_key_open(quote.key, quote.key_length, &key), 0);
	assert_true(trust_unhex(NONCE, 32, nonce));
	assert_int_equal(quote_verify(&quote, &log, key, nonce, sizeof(nonce), NULL), 0);
	assert_non_null(strstr(log.text, expected));
	event_log_free(&log);
	trust_key_free(key);
}

/* What the TPM says of the host names the key that callers are told to wrap with; it is told on
 * the host and from afar. */
static void the_wrapping_key_is_in_the_quote(void **state)
{
	uint8_t public[WRAP_PUBLIC_SIZE];
	char expected[TRUST_DIGEST_DIGITS + 64];
	struct trust_digest digest;

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
	shows_quote_with(expected);
	assert_int_equal(CALL("reader", "evidence nonce=" NONCE " --json | jq -j .result.quote"),
			 0);
	shows_quote_with(expected);
}

#define VERIFY(with) sh("./karuta-controller audit verify --tpm swtpm:path=$PWD/" with "/s audit")

static unsigned long told(void)
{
	const char *at;

	if (VERIFY("tpm") != 0)
		fail_msg("%s", output);
	at = strstr(output, "the TPM was told of line ");
	return at ? strtoul(at + 25, NULL, 10) : 0;
}

static void wait_told(unsigned long line)
{
	for (unsigned i = 0; i < SECONDS * 10 && told() < line; i++)
		usleep(100000);
	assert_true(told() >= line);
}

static unsigned long lines(void)
{
	assert_int_equal(sh("./karuta-controller audit show audit | wc -l"), 0);
	return strtoul(output, NULL, 10);
}

/* Without being asked, and over starts of controller and TPM. */
static void the_tpm_is_told_of_the_log(void **state)
{
	unsigned long before;

	(void)state;
	wait_told(2);
	assert_int_equal(CALL("reader", "list"), 0);
	wait_told(lines());
	/* The next one goes on from there. */
	before = lines();
	kill(daemon_pid, SIGKILL);
	wait_daemon();
	wait_told(before + 2);
	stop_daemon();
	before = lines();
	assert_int_equal(told(), before);
	assert_int_equal(stop_tpm("tpm"), 0);
	assert_int_equal(start_tpm("tpm"), 0);
	assert_int_equal(told(), before);
	begin_daemon();
	wait_told(before + 2);
	assert_int_equal(sh("./karuta-controller audit show audit | grep -c 'controller: anchor'"),
			 0);
}

/* As whoever may write the log and its head can do it. */
static void cut_off(unsigned long from)
{
	struct audit_lines reader;
	struct audit_head head;
	struct audit_link link;
	const char *line;
	char path[128];
	int where, file;

	snprintf(path, sizeof(path), "%s/audit", folder);
	where = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file = openat(where, AUDIT_HEAD_NAME, O_RDWR | O_CLOEXEC);
	assert_int_equal(audit_head_read(file, &head), 0);
	assert_int_equal(audit_lines_open(&reader, where, 1, &link, NULL), 0);
	while (link.number + 1 < from) {
		ssize_t length = audit_lines_next(&reader, &line);

		assert_true(length > 0);
		assert_int_equal(audit_chain_check(&link, line, (size_t)length), 0);
	}
	head.last = link;
	head.pending = false;
	assert_int_equal(audit_head_write(file, &head), 0);
	assert_int_equal(
		sh("truncate -s %llu audit/%020d.log", (unsigned long long)reader.offset, 1), 0);
	audit_lines_close(&reader);
	close(file);
	close(where);
}

static void does_not_start(const char *why)
{
	pid_t pid = start_daemon("host");

	assert_int_equal(wait_end(pid), 1);
	sh("cat notes");
	if (!says(why))
		fail_msg("%s", output);
}

static void a_log_that_was_cut_off_is_found(void **state)
{
	unsigned long last;

	(void)state;
	stop_daemon();
	last = lines();
	assert_int_equal(sh("cp -a audit whole"), 0);
	for (unsigned long from = last; from + 6 > last; from--) {
		char why[96];

		cut_off(from);
		assert_int_equal(sh("./karuta-controller audit verify audit"), 0);
		assert_int_equal(VERIFY("tpm"), 1);
		snprintf(why, sizeof(why), "what came after line %lu was cut off", from - 1);
		if (!says(why))
			fail_msg("%s", output);
	}
	does_not_start("it is not the log that the TPM was told of");
	/* Nor can it be gone on from without the TPM, and be taken then. */
	assert_int_equal(sh("rm -r audit && cp -a whole audit"), 0);
	assert_int_equal(told(), last);
	begin_daemon();
}

static void an_older_copy_of_all_of_it_is_found(void **state)
{
	(void)state;
	stop_daemon();
	assert_int_equal(sh("rm -rf older && cp -a audit older"), 0);
	begin_daemon();
	stop_daemon();
	assert_int_equal(sh("mv audit newer && cp -a older audit"), 0);
	assert_int_equal(sh("./karuta-controller audit verify audit"), 0);
	assert_int_equal(VERIFY("tpm"), 1);
	assert_true(says("or an older or other log was put in its place"));
	does_not_start("or an older or other log was put in its place");
	/* A new one, as if there never had been another. */
	assert_int_equal(sh("rm -r audit"), 0);
	does_not_start("it is not the log that the TPM was told of");
	assert_int_equal(sh("rm -r audit; mv newer audit"), 0);
	begin_daemon();
}

/* As if the controller had died after the line was written. */
static void an_anchor_that_was_not_told_is_caught_up_with(void **state)
{
	char path[128], value[AUDIT_HASH_TEXT + 1], name[TPM_IDENTITY_SIZE];
	struct audit_record record = {
		.caller = "controller", .verb = "anchor", .object = name, .text = value};
	struct trust_digest digest;
	struct tpm *other = NULL;
	struct audit audit;
	unsigned long before;

	(void)state;
	stop_daemon();
	before = told();
	assert_int_equal(tpm_open(&other, how, NULL), 0);
	assert_int_equal(tpm_identify(other, name, NULL), 0);
	assert_int_equal(tpm_log_read(other, &digest, NULL), 0);
	tpm_close(other);
	trust_hex(digest.bytes, TRUST_DIGEST_SIZE, value);
	snprintf(path, sizeof(path), "%s/audit", folder);
	assert_int_equal(audit_open(&audit, path, &AUDIT_LIMITS, NULL), 0);
	assert_int_equal(audit_write(&audit, &record, NULL), 0);
	audit_close(&audit);
	assert_int_equal(told(), before);
	begin_daemon();
	assert_true(told() > before);
	wait_told(lines());
}

/* Verbs that they make up do not make an anchor. */
static void callers_make_no_anchors(void **state)
{
	static const char frame[] = "\x83\x50"
				    "0123456789abcdef\x66"
				    "anchor\xa0";
	struct guest guest = connect_as("admin");

	(void)state;
	say_frame(&guest, frame, sizeof(frame) - 1);
	assert_int_equal(hear(&guest), ENOSYS);
	leave(&guest);
	assert_int_equal(sh("./karuta-controller audit show audit | grep 'admin (admin): anchor'"),
			 0);
	wait_told(lines());
}

/* The controller does not paper over it. */
static void somebody_else_who_tells_the_tpm_is_noticed(void **state)
{
	const struct trust_digest digest = {{1}};
	struct tpm *other = NULL;
	unsigned i = 0;

	(void)state;
	wait_told(lines());
	assert_int_equal(sh("cp -a tpm earlier"), 0);
	assert_int_equal(tpm_open(&other, how, NULL), 0);
	assert_int_equal(tpm_log_extend(other, &digest, NULL), 0);
	tpm_close(other);
	assert_int_equal(VERIFY("tpm"), 1);
	assert_int_equal(CALL("reader", "list"), 0);
	while (sh("./karuta-controller audit show audit | grep 'controller: anchor .*: Bad "
		  "message: "
		  "somebody else has told the TPM something'") != 0 &&
	       ++i < SECONDS * 10)
		usleep(100000);
	assert_true(says("is not anchored any more"));
	assert_int_equal(VERIFY("tpm"), 1);
	assert_true(says("it is not the log that the TPM was told of"));
	stop_daemon();
	does_not_start("it is not the log that the TPM was told of");
	assert_int_equal(stop_tpm("tpm"), 0);
	assert_int_equal(sh("cp earlier/tpm2-00.permall tpm/ && rm -r earlier"), 0);
	assert_int_equal(start_tpm("tpm"), 0);
	begin_daemon();
	wait_told(lines());
}

static void another_tpm_is_named(void **state)
{
	(void)state;
	assert_int_equal(start_tpm("other"), 0);
	assert_int_equal(VERIFY("other"), 1);
	assert_true(says("TPM: it has no index of an audit log"));
	stop_daemon();
	snprintf(how, sizeof(how), "swtpm:path=%s/other/s", folder);
	does_not_start("it is another TPM, or was cleared");
	/* One that was told of another log. */
	assert_int_equal(sh("mv audit ours"), 0);
	begin_daemon();
	stop_daemon();
	assert_int_equal(sh("rm -r audit; mv ours audit"), 0);
	assert_int_equal(VERIFY("other"), 1);
	assert_true(says("was anchored in another TPM ("));
	does_not_start("was anchored in another TPM (");
	snprintf(how, sizeof(how), "swtpm:path=%s/tpm/s", folder);
	assert_int_equal(stop_tpm("other"), 0);
	begin_daemon();
}

/* It says so, at the first start too, although nothing can be begun on that log any more. */
static void a_state_that_the_tpm_does_not_know_is_told(void **state)
{
	(void)state;
	stop_daemon();
	assert_int_equal(sh("cp -a state kept && rm -r state"), 0);
	begin_daemon();
	assert_int_equal(CALL("reader", "host --json"), 0);
	assert_true(says("\"quarantine\": \"since ") && says("register 13 is of another one"));
	assert_int_equal(CALL("operator", "wrapping"), 1);
	assert_int_equal(CALL("admin", "release reason=hope"), 1);
	assert_true(says("register 13 is of another one"));
	stop_daemon();
	assert_int_equal(sh("rm -r state && mv kept state"), 0);
	begin_daemon();
	MUST("wrapping");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wrapping_key_is_in_the_quote),
		cmocka_unit_test(the_tpm_is_told_of_the_log),
		cmocka_unit_test(a_log_that_was_cut_off_is_found),
		cmocka_unit_test(an_older_copy_of_all_of_it_is_found),
		cmocka_unit_test(an_anchor_that_was_not_told_is_caught_up_with),
		cmocka_unit_test(callers_make_no_anchors),
		cmocka_unit_test(somebody_else_who_tells_the_tpm_is_noticed),
		cmocka_unit_test(a_state_that_the_tpm_does_not_know_is_told),
		cmocka_unit_test(another_tpm_is_named),
	};

	be_what_is_launched(argc, argv);
	if (system("command -v swtpm >/dev/null") != 0) {
		puts("there is no swtpm");
		return 77;
	}
	return cmocka_run_group_tests(tests, make_attested_host, end_attested_host);
}
