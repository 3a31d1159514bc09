/* SPDX-License-Identifier: Apache-2.0 */
/* The plane's authority is made once and kept; what it signs for the plane itself is renewed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "identity.h"

#define DAY 86400

static const char *const names[] = {"localhost", "127.0.0.1"};
static char folder[] = "/tmp/karuta-identity-XXXXXX";
static char key[sizeof(folder) + 16], certificate[sizeof(folder) + 16];
static struct error error;

static int begin(void **state)
{
	(void)state;
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(key, sizeof(key), "%s/ca.key", folder);
	snprintf(certificate, sizeof(certificate), "%s/ca.pem", folder);
	error = (struct error){0};
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(key);
	unlink(certificate);
	return rmdir(folder);
}

static int open_it(struct identity *identity)
{
	return identity_open(identity, folder, names, 2, &error);
}

static void the_authority_is_kept(void **state)
{
	struct identity first, second;
	struct stat status;

	(void)state;
	assert_int_equal(open_it(&first), 0);
	assert_int_equal(stat(key, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(open_it(&second), 0);
	assert_string_equal(ca_certificate(first.ca), ca_certificate(second.ca));
	assert_string_not_equal(first.server.serial, second.server.serial);
	identity_close(&first);
	identity_close(&second);
}

static void its_own_certificates_are_renewed(void **state)
{
	struct identity identity;
	char serial[CA_SERIAL_SIZE];
	int64_t now = time(NULL);
	SSL_CTX *before;

	(void)state;
	assert_int_equal(open_it(&identity), 0);
	before = identity.tls;
	SSL_CTX_up_ref(before);
	strcpy(serial, identity.caller.serial);
	assert_false(identity_is_due(&identity, now + 50 * DAY));
	assert_true(identity_is_due(&identity, now + 65 * DAY));
	assert_int_equal(identity_renew(&identity, names, 2, now + 65 * DAY, &error), 0);
	assert_false(identity_is_due(&identity, now + 65 * DAY));
	assert_string_not_equal(serial, identity.caller.serial);
	assert_ptr_not_equal(before, identity.tls);
	/* A name that cannot be in a certificate: all stays as it was. */
	strcpy(serial, identity.caller.serial);
	assert_true(identity_renew(&identity, (const char *const[]){"no name"}, 1, now, &error) <
		    0);
	assert_string_equal(serial, identity.caller.serial);
	assert_non_null(identity.tls);
	SSL_CTX_free(before);
	identity_close(&identity);
}

static void a_key_that_others_may_read_is_refused(void **state)
{
	struct identity identity;

	(void)state;
	assert_int_equal(open_it(&identity), 0);
	identity_close(&identity);
	assert_int_equal(chmod(key, 0640), 0);
	assert_true(open_it(&identity) < 0);
	assert_non_null(strstr(error.text, "ca.key: must be a file of ours with mode 600"));
}

static void a_certificate_that_is_gone_does_not_cost_the_key(void **state)
{
	struct identity identity;

	(void)state;
	assert_int_equal(open_it(&identity), 0);
	identity_close(&identity);
	assert_int_equal(unlink(certificate), 0);
	assert_true(open_it(&identity) < 0);
	assert_non_null(strstr(error.text, "every host has a copy"));
	assert_int_equal(access(key, F_OK), 0);
}

/* Another authority would lock out all hosts. */
static void a_key_that_is_gone_is_not_made_anew(void **state)
{
	struct identity identity;

	(void)state;
	assert_int_equal(open_it(&identity), 0);
	identity_close(&identity);
	assert_int_equal(unlink(key), 0);
	assert_true(open_it(&identity) < 0);
	assert_non_null(strstr(error.text, "put it back"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_authority_is_kept),
		CASE(its_own_certificates_are_renewed),
		CASE(a_key_that_others_may_read_is_refused),
		CASE(a_certificate_that_is_gone_does_not_cost_the_key),
		CASE(a_key_that_is_gone_is_not_made_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
