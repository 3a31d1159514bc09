/* SPDX-License-Identifier: Apache-2.0 */
/* The plane's authority: what it signs is what openssl(1) takes, and nobody else's wishes are in
 * it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "ca.h"

#define DAY INT64_C(86400)

static char folder[] = "/tmp/karuta-ca-XXXXXX";
static char output[16384];
static struct ca *ca;
static int64_t now;

__attribute__((format(printf, 1, 2))) static int sh(const char *format, ...)
{
	CLEANUP_FREE char *command = NULL;
	CLEANUP_FREE char *wrapped = NULL;
	va_list args;
	FILE *pipe;
	size_t got;

	va_start(args, format);
	assert_true(vasprintf(&command, format, args) > 0);
	va_end(args);
	assert_true(asprintf(&wrapped, "cd %s && {\n%s\n} 2>&1", folder, command) > 0);
	pipe = popen(wrapped, "r");
	assert_non_null(pipe);
	got = fread(output, 1, sizeof(output) - 1, pipe);
	output[got] = '\0';
	return pclose(pipe);
}

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static char *get(const char *name)
{
	assert_int_equal(sh("cat %s", name), 0);
	return output;
}

static int begin(void **state)
{
	struct error error;

	(void)state;
	now = time(NULL);
	if (!mkdtemp(folder) || ca_make("plane", now, &ca, &error) != 0)
		return -1;
	put("ca.pem", ca_certificate(ca));
	return sh("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout h.key "
		  "-out h.csr -subj /CN=evil/OU=admin -addext subjectAltName=DNS:evil.example");
}

static int end(void **state)
{
	(void)state;
	ca_free(ca);
	return sh("rm -rf %s", folder);
}

static const char *const addresses[] = {"192.0.2.1", "2001:db8::1", "h1.example.org"};

static struct ca_want host(void)
{
	return (struct ca_want){.kind = CA_HOST,
				.name = "h1",
				.addresses = addresses,
				.address_count = ARRAY_LEN(addresses),
				.now = now,
				.seconds = CA_SECONDS};
}

static int issue_host(const struct ca_want *want, struct ca_issued *issued, struct error *error)
{
	const char *request = get("h.csr");

	return ca_issue(ca, want, request, strlen(request), issued, error);
}

/* ---- */

static void an_authority_is_what_openssl_takes_for_one(void **state)
{
	(void)state;
	assert_int_equal(sh("openssl verify -x509_strict -CAfile ca.pem ca.pem"), 0);
	assert_int_equal(sh("openssl x509 -in ca.pem -noout -text | grep -q 'NIST CURVE: P-384'"),
			 0);
}

static void its_key_is_opened_again_and_with_its_own_certificate_only(void **state)
{
	struct ca *again, *other;
	struct error error = {0};
	uint8_t *key;
	size_t length;

	(void)state;
	assert_int_equal(ca_key(ca, &key, &length, &error), 0);
	assert_int_equal(ca_open(key, length, ca_certificate(ca), &again, &error), 0);
	assert_string_equal(ca_certificate(again), ca_certificate(ca));
	ca_free(again);
	assert_int_equal(ca_make("other", now, &other, &error), 0);
	assert_int_equal(ca_open(key, length, ca_certificate(other), &again, &error), -EINVAL);
	assert_non_null(strstr(error.text, "not that of its certificate"));
	assert_int_equal(ca_open(key, length - 1, ca_certificate(ca), &again, &error), -EINVAL);
	assert_int_equal(ca_open(key, length, "", &again, &error), -EINVAL);
	ca_free(other);
	ca_wipe(key, length);
}

static void a_host_certificate_serves_at_its_addresses_and_calls_nobody(void **state)
{
	struct ca_want want = host();
	struct ca_issued issued;
	struct error error = {0};

	(void)state;
	assert_int_equal(issue_host(&want, &issued, &error), 0);
	put("h1.pem", issued.certificate);
	assert_int_equal(issued.not_after, now + 90 * DAY);
	assert_int_equal(sh("for i in '-verify_ip 192.0.2.1' '-verify_ip 2001:db8::1' "
			    "'-verify_hostname h1.example.org'; do openssl verify -x509_strict "
			    "-purpose sslserver -CAfile ca.pem $i h1.pem || exit 1; done"),
			 0);
	assert_int_not_equal(sh("openssl verify -CAfile ca.pem -verify_ip 192.0.2.2 h1.pem"), 0);
	assert_int_not_equal(sh("openssl verify -purpose sslclient -CAfile ca.pem h1.pem"), 0);
	ca_issued_free(&issued);
}

static void of_a_request_the_key_counts_and_nothing_else(void **state)
{
	struct ca_want want = host();
	struct ca_issued issued;
	struct error error = {0};

	(void)state;
	assert_int_equal(issue_host(&want, &issued, &error), 0);
	put("h1.pem", issued.certificate);
	assert_int_equal(sh("openssl x509 -in h1.pem -noout -subject -nameopt compat"), 0);
	assert_non_null(strstr(output, "/CN=h1/OU=host"));
	assert_int_not_equal(sh("openssl x509 -in h1.pem -noout -text | grep evil"), 0);
	assert_int_equal(
		sh("[ \"$(openssl x509 -in h1.pem -noout -pubkey)\" = \"$(openssl pkey -in "
		   "h.key -pubout)\" ]"),
		0);
	ca_issued_free(&issued);
}

static void a_request_that_is_none_is_refused(void **state)
{
	struct ca_want want = host();
	struct ca_issued issued;
	struct error error = {0};

	(void)state;
	/* A byte of the signature. */
	assert_int_equal(sh("cp h.csr good.csr && openssl req -in h.csr -outform DER -out d && "
			    "printf '\\0' | dd of=d bs=1 seek=$(($(stat -c %%s d) - 9)) "
			    "conv=notrunc && openssl req -inform DER -in d -out h.csr"),
			 0);
	assert_int_equal(issue_host(&want, &issued, &error), -EINVAL);
	assert_non_null(strstr(error.text, "does not have the key"));
	assert_null(issued.certificate);
	assert_int_equal(
		sh("openssl req -newkey rsa:2048 -nodes -keyout r.key -out h.csr -subj /CN=h1"), 0);
	assert_int_equal(issue_host(&want, &issued, &error), -EINVAL);
	assert_non_null(strstr(error.text, "P-384"));
	assert_int_equal(sh("echo nonsense >h.csr"), 0);
	assert_int_equal(issue_host(&want, &issued, &error), -EINVAL);
	assert_int_equal(sh("mv good.csr h.csr"), 0);
}

static void what_is_wanted_is_checked(void **state)
{
	static const char *const bad[] = {
		"",	"a b",	"a,DNS:b",   "*.example.org", "-a",
		"a-",	"a..b", ".a",	     "1.2.3",	      "192.0.2.256",
		"a\nb", "::g",	"[2001::1]", "a_b.example",   "a.example.",
	};
	struct ca_want want = host();
	struct ca_issued issued;
	struct error error = {0};

	(void)state;
	want.address_count = 1;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		want.addresses = &bad[i];
		if (issue_host(&want, &issued, &error) != -EINVAL)
			fail_msg("taken: \"%s\"", bad[i]);
	}
	want.address_count = 0;
	assert_int_equal(issue_host(&want, &issued, &error), -EINVAL);
	want = host();
	want.name = "h1/OU=admin";
	assert_int_equal(issue_host(&want, &issued, &error), -EINVAL);
	want = host();
	want.seconds = 0;
	assert_int_equal(issue_host(&want, &issued, &error), -EINVAL);
	want = (struct ca_want){
		.kind = CA_CLIENT, .name = "a", .role = "host", .now = now, .seconds = CA_DAY};
	assert_int_equal(ca_issue_own(ca, &want, &issued, &error), -EINVAL);
}

static void a_client_calls_with_its_role_and_serves_nowhere(void **state)
{
	struct ca_want want = {
		.kind = CA_CLIENT, .name = "alice", .now = now, .seconds = 30 * CA_DAY};
	struct ca_issued issued;
	struct error error = {0};

	(void)state;
	want.role = "operator";
	assert_int_equal(ca_issue_own(ca, &want, &issued, &error), 0);
	put("c.pem", issued.certificate);
	put("c.key", issued.key);
	assert_int_equal(sh("openssl verify -x509_strict -purpose sslclient -CAfile ca.pem c.pem"),
			 0);
	assert_int_not_equal(sh("openssl verify -purpose sslserver -CAfile ca.pem c.pem"), 0);
	assert_int_equal(sh("openssl x509 -in c.pem -noout -subject -nameopt compat | grep -q "
			    "/CN=alice/OU=plane-operator"),
			 0);
	assert_int_equal(sh("[ \"$(openssl x509 -in c.pem -noout -pubkey)\" = \"$(openssl pkey -in "
			    "c.key -pubout)\" ]"),
			 0);
	ca_issued_free(&issued);
}

static void who_calls_hosts_has_a_role_of_theirs(void **state)
{
	struct ca_want want = {.kind = CA_CALLER,
			       .name = "plane",
			       .role = "admin",
			       .now = now,
			       .seconds = 30 * CA_DAY};
	struct ca_issued issued;
	struct error error = {0};

	(void)state;
	assert_int_equal(ca_issue_own(ca, &want, &issued, &error), 0);
	put("c.pem", issued.certificate);
	assert_int_equal(sh("openssl x509 -in c.pem -noout -subject -nameopt compat | grep -q "
			    "'/CN=plane/OU=admin$'"),
			 0);
	ca_issued_free(&issued);
	want.role = "plane-admin";
	assert_int_equal(ca_issue_own(ca, &want, &issued, &error), -EINVAL);
}

static void no_certificate_outlives_its_authority(void **state)
{
	struct ca_want want = host();
	struct ca_issued own, issued;
	struct error error = {0};

	(void)state;
	assert_int_equal(ca_look(ca_certificate(ca), &own, &error), 0);
	want.now = own.not_after - DAY;
	assert_int_equal(issue_host(&want, &issued, &error), 0);
	assert_int_equal(issued.not_after, own.not_after);
	ca_issued_free(&issued);
	want.now = own.not_after;
	assert_int_equal(issue_host(&want, &issued, &error), -EKEYEXPIRED);
}

static void serial_numbers_are_long_and_different(void **state)
{
	struct ca_want want = host();
	struct ca_issued first, second;
	struct error error = {0};

	(void)state;
	assert_int_equal(issue_host(&want, &first, &error), 0);
	assert_int_equal(issue_host(&want, &second, &error), 0);
	assert_int_equal(strlen(first.serial), 32);
	assert_string_not_equal(first.serial, second.serial);
	ca_issued_free(&first);
	ca_issued_free(&second);
}

static void another_is_due_when_a_third_of_its_life_is_left(void **state)
{
	(void)state;
	assert_false(ca_is_due(0, 90 * DAY, 0));
	assert_false(ca_is_due(0, 90 * DAY, 60 * DAY - 1));
	assert_true(ca_is_due(0, 90 * DAY, 60 * DAY));
	assert_true(ca_is_due(0, 90 * DAY, 91 * DAY));
	assert_true(ca_is_due(10, 10, 0));
	assert_true(ca_is_due(INT64_MIN, INT64_MAX, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_authority_is_what_openssl_takes_for_one),
		cmocka_unit_test(its_key_is_opened_again_and_with_its_own_certificate_only),
		cmocka_unit_test(a_host_certificate_serves_at_its_addresses_and_calls_nobody),
		cmocka_unit_test(of_a_request_the_key_counts_and_nothing_else),
		cmocka_unit_test(a_request_that_is_none_is_refused),
		cmocka_unit_test(what_is_wanted_is_checked),
		cmocka_unit_test(a_client_calls_with_its_role_and_serves_nowhere),
		cmocka_unit_test(who_calls_hosts_has_a_role_of_theirs),
		cmocka_unit_test(no_certificate_outlives_its_authority),
		cmocka_unit_test(serial_numbers_are_long_and_different),
		cmocka_unit_test(another_is_due_when_a_third_of_its_life_is_left),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
