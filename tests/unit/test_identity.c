/* SPDX-License-Identifier: Apache-2.0 */
/* The next certificate of a host takes the place of the one before, and the host or its power may
 * end between any two steps. */
#include <errno.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ca.h"
#include "call/tls.h"
#include "identity.h"

#define STEPS_MOST 64

static char folder[] = "/tmp/karuta-identity-XXXXXX", key_path[64], certificate_path[64];
static struct ca *ca;
static X509_STORE *authority;
static int steps_left = -1; /* then it is killed */

/* ---- the end between two steps ---- */

static void step(void)
{
	if (steps_left >= 0 && steps_left-- == 0)
		raise(SIGKILL);
}

int __real_fsync(int file);
int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
	step();
	return __real_fsync(file);
}

int __real_renameat(int from, const char *name, int to, const char *to_name);
int __wrap_renameat(int from, const char *name, int to, const char *to_name);
int __wrap_renameat(int from, const char *name, int to, const char *to_name)
{
	step();
	return __real_renameat(from, name, to, to_name);
}

int __real_unlinkat(int from, const char *name, int flags);
int __wrap_unlinkat(int from, const char *name, int flags);
int __wrap_unlinkat(int from, const char *name, int flags)
{
	step();
	return __real_unlinkat(from, name, flags);
}

ssize_t __real_write(int file, const void *bytes, size_t length);
ssize_t __wrap_write(int file, const void *bytes, size_t length);
ssize_t __wrap_write(int file, const void *bytes, size_t length)
{
	step();
	return __real_write(file, bytes, length);
}

/* ---- pairs ---- */

static void take_certificate(struct identity *identity, EVP_PKEY *key, const char *pem)
{
	const struct control_value text = {.given = true, .text = pem, .length = strlen(pem)};
	struct error error = {0};

	if (identity_read_next(identity, key, "h1", &text, authority, &error) < 0)
		fail_msg("%s", error.text);
}

static struct identity make(char serial[CA_SERIAL_SIZE])
{
	static const char *const addresses[] = {"127.0.0.1"};
	const struct ca_want want = {.kind = CA_HOST,
				     .name = "h1",
				     .addresses = addresses,
				     .address_count = 1,
				     .now = time(NULL),
				     .seconds = CA_SECONDS};
	struct identity identity;
	struct ca_issued issued;
	struct error error = {0};
	char request[ENROL_REQUEST_MAX];
	EVP_PKEY *key;

	assert_int_equal(identity_make("h1", &key, request, &error), 0);
	assert_int_equal(ca_issue(ca, &want, request, strlen(request), &issued, &error), 0);
	take_certificate(&identity, key, issued.certificate);
	strcpy(serial, issued.serial);
	ca_issued_free(&issued);
	return identity;
}

static void drop(struct identity *identity)
{
	EVP_PKEY *key = identity->key;

	identity_free(identity);
	EVP_PKEY_free(key);
}

/* The serial number of the pair that a controller finds. */
static void find(char serial[CA_SERIAL_SIZE])
{
	const struct tls_files files = {
		.authority = certificate_path, .certificate = certificate_path, .key = key_path};
	struct error error = {0};
	struct ca_issued found = {0};
	char pem[8192] = "";
	SSL_CTX *context;
	FILE *file;

	if (identity_mend(key_path, certificate_path, &error) < 0)
		fail_msg("%s", error.text);
	context = tls_context(&files, true, &error);
	if (!context)
		fail_msg("%s", error.text);
	SSL_CTX_free(context);
	file = fopen(certificate_path, "r");
	assert_non_null(file);
	assert_true(fread(pem, 1, sizeof(pem) - 1, file) > 0);
	fclose(file);
	assert_int_equal(ca_look(pem, &found, &error), 0);
	strcpy(serial, found.serial);
}

static bool is_there(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0;
}

static void nothing_is_left_over(void)
{
	char path[80];
	struct stat status;

	snprintf(path, sizeof(path), "%s.new", key_path);
	assert_false(is_there(path));
	snprintf(path, sizeof(path), "%s.new", certificate_path);
	assert_false(is_there(path));
	assert_int_equal(stat(key_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

/* True: it was killed on its way. */
static bool write_and_die(const struct identity *identity, int steps)
{
	struct error error = {0};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		steps_left = steps;
		_exit(identity_write_next(identity, key_path, certificate_path, &error) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return false;
}

static void the_first_one(void)
{
	char serial[CA_SERIAL_SIZE];
	struct identity first = make(serial);
	struct error error = {0};

	unlink(key_path);
	unlink(certificate_path);
	first.authority = sk_X509_new_null();
	assert_int_equal(identity_write_first(&first, folder, &error), 0);
	drop(&first);
}

/* ---- the tests ---- */

static void the_next_one_takes_its_place(void **state)
{
	char serial[CA_SERIAL_SIZE], found[CA_SERIAL_SIZE];
	struct identity next = make(serial);
	struct error error = {0};

	(void)state;
	the_first_one();
	assert_int_equal(identity_write_next(&next, key_path, certificate_path, &error), 0);
	nothing_is_left_over();
	find(found);
	assert_string_equal(found, serial);
	drop(&next);
}

static void a_pair_is_there_whenever_it_ends(void **state)
{
	unsigned old_ones = 0, new_ones = 0;

	(void)state;
	for (int steps = 0; steps < STEPS_MOST; steps++) {
		char before[CA_SERIAL_SIZE], serial[CA_SERIAL_SIZE], found[CA_SERIAL_SIZE];
		struct identity next = make(serial);
		bool killed;

		the_first_one();
		find(before);
		killed = write_and_die(&next, steps);
		find(found);
		nothing_is_left_over();
		assert_true(!strcmp(found, before) || !strcmp(found, serial));
		old_ones += !strcmp(found, before);
		new_ones += !strcmp(found, serial);
		drop(&next);
		if (!killed)
			break;
		assert_true(steps < STEPS_MOST - 1);
	}
	/* Some ends were before the first name was taken, some between both. */
	assert_true(old_ones > 4 && new_ones > 2);
}

static void what_was_interrupted_is_finished_before_another(void **state)
{
	char serial[CA_SERIAL_SIZE], found[CA_SERIAL_SIZE];

	(void)state;
	the_first_one();
	for (int steps = 0, killed = true; killed; steps++) {
		struct identity one = make(serial), other;

		killed = write_and_die(&one, steps);
		drop(&one);
		other = make(serial);
		assert_false(write_and_die(&other, -1));
		find(found);
		assert_string_equal(found, serial);
		drop(&other);
	}
}

static void two_that_do_not_fit_are_left_as_they_are(void **state)
{
	char serial[CA_SERIAL_SIZE], other[80];
	struct identity next = make(serial);
	struct error error = {0};

	(void)state;
	the_first_one();
	snprintf(other, sizeof(other), "%s/other.pem", folder);
	assert_int_equal(rename(certificate_path, other), 0);
	the_first_one();
	assert_int_equal(rename(other, certificate_path), 0);
	assert_int_equal(identity_write_next(&next, key_path, certificate_path, &error), -EINVAL);
	assert_non_null(strstr(error.text, "is not the key of"));
	assert_int_equal(identity_mend(key_path, certificate_path, &error), -EINVAL);
	assert_true(is_there(key_path) && is_there(certificate_path));
	drop(&next);
}

static int begin(void **state)
{
	struct error error = {0};
	BIO *bio;
	X509 *own;

	(void)state;
	if (!mkdtemp(folder) || ca_make("plane", time(NULL), &ca, &error) < 0)
		return -1;
	snprintf(key_path, sizeof(key_path), "%s/host.key", folder);
	snprintf(certificate_path, sizeof(certificate_path), "%s/host.pem", folder);
	bio = BIO_new_mem_buf(ca_certificate(ca), -1);
	own = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	authority = X509_STORE_new();
	X509_STORE_add_cert(authority, own);
	X509_free(own);
	BIO_free(bio);
	return 0;
}

static int end(void **state)
{
	char path[80];

	(void)state;
	unlink(key_path);
	unlink(certificate_path);
	snprintf(path, sizeof(path), "%s/ca.pem", folder);
	unlink(path);
	X509_STORE_free(authority);
	ca_free(ca);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_one_takes_its_place),
		cmocka_unit_test(a_pair_is_there_whenever_it_ends),
		cmocka_unit_test(what_was_interrupted_is_finished_before_another),
		cmocka_unit_test(two_that_do_not_fit_are_left_as_they_are),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
