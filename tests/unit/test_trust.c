/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, their signatures, and the event log: what is true is taken, nothing else is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/base.h"
#include "trust/events.h"
#include "trust/manifest.h"

struct pair {
	EVP_PKEY *private;
	struct trust_key *public;
};

static struct pair make_pair(const char *kind, const char *group)
{
	struct pair pair = {.private = group ? EVP_PKEY_Q_keygen(NULL, NULL, kind, group)
					     : EVP_PKEY_Q_keygen(NULL, NULL, kind)};
	unsigned char *der = NULL;
	int length = i2d_PUBKEY(pair.private, &der);

	assert_true(length > 0);
	assert_int_equal(trust_key_open(der, (size_t)length, &pair.public), 0);
	free(der);
	return pair;
}

static void free_pair(struct pair *pair)
{
	EVP_PKEY_free(pair->private);
	trust_key_free(pair->public);
}

static struct manifest example(void)
{
	struct manifest manifest = {.purpose = MANIFEST_RELEASE, .release = 7, .file_count = 2};

	manifest.files[0] = (struct manifest_file){.name = "karuta-card-null",
						   .version = "0.1.0~rc1",
						   .role = MANIFEST_CARD,
						   .size = 368120};
	manifest.files[1] = (struct manifest_file){.name = "karuta-controller",
						   .version = "0.1.0",
						   .role = MANIFEST_CONTROLLER,
						   .size = 1};
	memset(manifest.files[1].digest.bytes, 0xa5, TRUST_DIGEST_SIZE);
	return manifest;
}

/* The two lines behind a body; returns the whole's length. */
static size_t seal(char *text, size_t length, const struct pair *pair)
{
	uint8_t signature[TRUST_SIGNATURE_MAX];
	size_t signature_length = sizeof(signature);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool p384 = !strcmp(trust_key_kind(pair->public), "ecdsa-p384");
	char digits[2 * TRUST_SIGNATURE_MAX + 1];

	trust_hex(trust_key_id(pair->public)->bytes, TRUST_DIGEST_SIZE, digits);
	length += (size_t)sprintf(text + length, "key %s\n", digits);
	assert_int_equal(
		EVP_DigestSignInit(context, NULL, p384 ? EVP_sha384() : NULL, NULL, pair->private),
		1);
	assert_int_equal(EVP_DigestSign(context, signature, &signature_length,
					(const unsigned char *)text, length),
			 1);
	EVP_MD_CTX_free(context);
	trust_hex(signature, signature_length, digits);
	return length + (size_t)sprintf(text + length, "signature %s\n", digits);
}

static size_t make_signed(char *text, const struct pair *pair)
{
	struct manifest manifest = example();
	int length = manifest_format(&manifest, text, 2048);

	assert_true(length > 0);
	return seal(text, (size_t)length, pair);
}

static int open_text(const char *text, size_t length, const struct pair *pair)
{
	struct manifest manifest;
	struct error error = {0};
	/* So that a sanitizer sees a read behind its end. */
	char *exact = malloc(length + !length);
	int ret;

	memcpy(exact, text, length);
	ret = manifest_open(&manifest, exact, length, pair->public, &error);
	free(exact);
	assert_int_equal(ret, -error.code);
	assert_int_equal(ret < 0, error.text[0] != '\0');
	return ret;
}

static void digests_are_those_of_the_standard(void **state)
{
	/* FIPS 180-4's example. */
	static const char abc[] = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
				  "8086072ba1e7cc2358baeca134c825a7";
	struct trust_digest digest, running = {0}, again;
	uint8_t both[2 * TRUST_DIGEST_SIZE] = {0};
	char text[TRUST_DIGEST_DIGITS + 1];

	(void)state;
	assert_int_equal(trust_digest("abc", 3, &digest), 0);
	trust_hex(digest.bytes, TRUST_DIGEST_SIZE, text);
	assert_string_equal(text, abc);
	memcpy(both + TRUST_DIGEST_SIZE, digest.bytes, TRUST_DIGEST_SIZE);
	assert_int_equal(trust_digest(both, sizeof(both), &again), 0);
	assert_int_equal(trust_digest_extend(&running, &digest), 0);
	assert_true(trust_digest_same(&running, &again));
	assert_false(trust_unhex("0g", 2, both));
	assert_false(trust_unhex("0F", 2, both));
	assert_false(trust_unhex("000", 3, both));
}

static void check_signed(const char *kind, const char *group)
{
	struct pair pair = make_pair(kind, group), other = make_pair(kind, group);
	struct manifest manifest, wanted = example();
	char text[4096];
	size_t length = make_signed(text, &pair);

	assert_int_equal(manifest_open(&manifest, text, length, pair.public, NULL), 0);
	assert_int_equal(manifest.release, 7);
	assert_int_equal(manifest.file_count, 2);
	assert_memory_equal(&manifest.files, &wanted.files, sizeof(wanted.files));
	assert_int_equal(open_text(text, length, &other), -EPERM);
	for (size_t i = 0; i < length; i++) {
		char flipped = (char)(1 << i % 8);

		text[i] = (char)(text[i] ^ flipped);
		assert_int_equal(open_text(text, length, &pair), -EPERM);
		text[i] = (char)(text[i] ^ flipped);
		assert_int_equal(open_text(text, i, &pair), -EPERM);
	}
	text[length] = '\n';
	assert_int_equal(open_text(text, length + 1, &pair), -EPERM);
	free_pair(&pair);
	free_pair(&other);
}

static void signed_manifest_is_taken_and_no_change_of_it_is(void **state)
{
	(void)state;
	check_signed("ED25519", NULL);
	check_signed("EC", "P-384");
}

static void key_of_another_that_claims_to_be_ours_is_refused(void **state)
{
	struct pair pair = make_pair("ED25519", NULL), other = make_pair("ED25519", NULL);
	char text[4096];
	size_t length = make_signed(text, &other);
	char *key = strstr(text, "\nkey ");

	(void)state;
	trust_hex(trust_key_id(pair.public)->bytes, TRUST_DIGEST_SIZE, key + 5);
	key[5 + TRUST_DIGEST_DIGITS] = '\n';
	assert_int_equal(open_text(text, length, &pair), -EPERM);
	free_pair(&pair);
	free_pair(&other);
}

static void other_kinds_of_keys_are_refused(void **state)
{
	EVP_PKEY *keys[] = {EVP_RSA_gen(2048), EVP_EC_gen("P-256"), EVP_EC_gen("P-521"),
			    EVP_PKEY_Q_keygen(NULL, NULL, "ED448"),
			    EVP_PKEY_Q_keygen(NULL, NULL, "X25519")};
	struct pair pair = make_pair("ED25519", NULL);
	struct trust_key *key = NULL;
	unsigned char der[1024], *end;
	int length;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		end = der;
		length = i2d_PUBKEY(keys[i], &end);
		assert_true(length > 0);
		assert_int_equal(trust_key_open(der, (size_t)length, &key), -EINVAL);
		EVP_PKEY_free(keys[i]);
	}
	end = der;
	length = i2d_PUBKEY(pair.private, &end);
	assert_int_equal(trust_key_open(der, (size_t)length + 1, &key), -EINVAL);
	assert_int_equal(trust_key_open(der, (size_t)length - 1, &key), -EINVAL);
	assert_int_equal(trust_key_open(der, 0, &key), -EINVAL);
	free_pair(&pair);
}

#define DIGEST                                                                                     \
	"00000000000000000000000000000000000000000000000000000000000000000000000000000000"         \
	"0000000000000000"
#define HEAD	"karuta manifest 1\npurpose release\nrelease 7\n"
#define FILE_A	"file a card 1 1 " DIGEST "\n"
#define FILE_B	"file b card 1 1 " DIGEST "\n"
#define NAME_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void only_the_one_way_to_write_it_is_taken(void **state)
{
	static const char *const wrong[] = {
		"",
		HEAD,
		HEAD FILE_B FILE_A,
		HEAD FILE_A FILE_A,
		HEAD FILE_A "\n",
		HEAD " " FILE_A,
		"karuta manifest 2\npurpose release\nrelease 7\n" FILE_A,
		"karuta manifest 1\npurpose test\nrelease 7\n" FILE_A,
		"karuta manifest 1\npurpose release\nrelease 07\n" FILE_A,
		"karuta manifest 1\npurpose release\nrelease 0\n" FILE_A,
		"karuta manifest 1\npurpose release\nrelease -1\n" FILE_A,
		"karuta manifest 1\npurpose release\nrelease 4294967296\n" FILE_A,
		"karuta manifest 1\npurpose release\nrelease 18446744073709551617\n" FILE_A,
		HEAD "file a card 1 0 " DIGEST "\n",
		HEAD "file a card 1 268435457 " DIGEST "\n",
		HEAD "file a card 1 +1 " DIGEST "\n",
		HEAD "file a card 1  1 " DIGEST "\n",
		HEAD "file a card v1 1 " DIGEST "\n",
		HEAD "file a shell 1 1 " DIGEST "\n",
		HEAD "file ../a card 1 1 " DIGEST "\n",
		HEAD "file .a card 1 1 " DIGEST "\n",
		HEAD "file a/b card 1 1 " DIGEST "\n",
		HEAD "file " NAME_64 " card 1 1 " DIGEST "\n",
		HEAD "file a card 1 1 0" DIGEST "\n",
		HEAD "file a card 1 1 " DIGEST,
	};
	struct manifest manifest;

	(void)state;
	assert_int_equal(
		manifest_parse(&manifest, HEAD FILE_A FILE_B, strlen(HEAD FILE_A FILE_B), NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(manifest_parse(&manifest, wrong[i], strlen(wrong[i]), NULL),
				 -EBADMSG);
	assert_int_equal(manifest_parse(&manifest, HEAD "file a\0b card 1 1 " DIGEST "\n",
					sizeof(HEAD "file a\0b card 1 1 " DIGEST "\n") - 1, NULL),
			 -EBADMSG);
}

static void signed_nonsense_and_what_is_too_long_are_refused(void **state)
{
	struct pair pair = make_pair("ED25519", NULL);
	struct manifest manifest = example();
	char *text = calloc(1, MANIFEST_SIZE_MAX + 1024);
	size_t length = 0;

	(void)state;
	assert_int_equal(
		open_text(text, seal(text, (size_t)sprintf(text, "hello\n"), &pair), &pair),
		-EBADMSG);
	assert_int_equal(open_text(text, seal(text, 0, &pair), &pair), -EBADMSG);
	length = (size_t)sprintf(text, HEAD);
	for (unsigned i = 0; i <= MANIFEST_FILES_MAX; i++)
		length += (size_t)sprintf(text + length, "file a%02u card 1 1 " DIGEST "\n", i);
	assert_int_equal(open_text(text, seal(text, length, &pair), &pair), -EBADMSG);
	memset(text, 'a', MANIFEST_SIZE_MAX);
	assert_int_equal(open_text(text, seal(text, MANIFEST_SIZE_MAX, &pair), &pair), -EPERM);
	free(text);
	assert_int_equal(manifest_format(&manifest, (char[16]){0}, 16), -ENOSPC);
	manifest.files[1].name[0] = 'a';
	assert_int_equal(manifest_format(&manifest, (char[1024]){0}, 1024), -EINVAL);
	free_pair(&pair);
}

static void older_release_is_refused(void **state)
{
	struct manifest manifest = example();
	struct error error = {0};

	(void)state;
	assert_int_equal(manifest_check_release(&manifest, 0, NULL), 0);
	assert_int_equal(manifest_check_release(&manifest, 7, NULL), 0);
	assert_int_equal(manifest_check_release(&manifest, 8, &error), -EPERM);
	assert_non_null(strstr(error.text, "release 7 is older than 8"));
}

/* ---- the event log ---- */

static struct event measured(const char *what, uint8_t seed, enum event_result result)
{
	struct event event = {.result = result};

	snprintf(event.what, sizeof(event.what), "%s", what);
	memset(event.digest.bytes, seed, TRUST_DIGEST_SIZE);
	return event;
}

static void add(struct event_log *log, const char *what, uint8_t seed, enum event_result result)
{
	struct event event = measured(what, seed, result);

	assert_int_equal(event_log_add(log, &event), 0);
}

static void fill(struct event_log *log)
{
	assert_int_equal(event_log_begin(log, "4798d8ec-f747-4038-ae3a-cf4e6948cc35"), 0);
	add(log, "karuta.manifest", 1, EVENT_INTACT);
	add(log, "karuta-card-null", 2, EVENT_MISMATCH);
	add(log, "quarantine", 3, EVENT_RELEASED);
}

/* Anybody who has the log can say what a TPM's register must be. */
static void log_is_replayed_as_a_register_is_extended(void **state)
{
	static const char *const lines[] = {
		"karuta events 1 4798d8ec-f747-4038-ae3a-cf4e6948cc35\n",
		"a " DIGEST " intact\n",
	};
	struct trust_digest running = {0}, digest;
	struct event_log log, again;

	(void)state;
	assert_int_equal(event_log_begin(&log, "4798d8ec-f747-4038-ae3a-cf4e6948cc35"), 0);
	add(&log, "a", 0, EVENT_INTACT);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_int_equal(trust_digest(lines[i], strlen(lines[i]), &digest), 0);
		assert_int_equal(trust_digest_extend(&running, &digest), 0);
	}
	assert_true(trust_digest_same(&log.running, &running));
	assert_int_equal(event_log_open(&again, log.text, log.length, NULL), 0);
	assert_true(trust_digest_same(&again.running, &running));
	assert_int_equal(again.count, 1);
	assert_string_equal(again.text, log.text);
	event_log_free(&log);
	event_log_free(&again);
}

static void refuse_log(const char *text, size_t length)
{
	struct event_log log;
	char *exact = malloc(length + !length);

	memcpy(exact, text, length);
	assert_int_equal(event_log_open(&log, exact, length, NULL), -EBADMSG);
	free(exact);
}

static void log_with_a_line_changed_removed_or_moved_is_refused(void **state)
{
	struct event_log log, other;
	char text[2048], *line[4];

	(void)state;
	fill(&log);
	for (size_t i = 0; i < log.length; i++) {
		log.text[i] = (char)(log.text[i] ^ (1 << i % 8));
		refuse_log(log.text, log.length);
		log.text[i] = (char)(log.text[i] ^ (1 << i % 8));
		/* What ends with a line is a log of fewer events: a register tells the two apart.
		 */
		if (!i || log.text[i - 1] != '\n')
			refuse_log(log.text, i);
	}
	line[0] = strchr(log.text, '\n') + 1;
	for (unsigned i = 1; i < 4; i++)
		line[i] = strchr(line[i - 1], '\n') + 1;
	snprintf(text, sizeof(text), "%.*s%s", (int)(line[0] - log.text), log.text, line[1]);
	refuse_log(text, strlen(text));
	snprintf(text, sizeof(text), "%.*s%.*s%.*s%s", (int)(line[0] - log.text), log.text,
		 (int)(line[2] - line[1]), line[1], (int)(line[1] - line[0]), line[0], line[2]);
	refuse_log(text, strlen(text));
	assert_int_equal(event_log_open(&other, log.text, log.length, NULL), 0);
	event_log_free(&other);
	event_log_free(&log);
}

static void what_does_not_change_does_not_make_the_log_grow(void **state)
{
	struct event_log log;
	struct event bad = measured("a b", 1, EVENT_INTACT);
	size_t length;

	(void)state;
	fill(&log);
	length = log.length;
	add(&log, "karuta.manifest", 1, EVENT_INTACT);
	assert_int_equal(log.length, length);
	add(&log, "karuta.manifest", 1, EVENT_REFUSED);
	assert_true(log.length > length);
	length = log.length;
	add(&log, "karuta-card-null", 2, EVENT_MISMATCH);
	add(&log, "quarantine", 3, EVENT_RELEASED);
	assert_true(log.length > length);
	assert_int_equal(event_log_add(&log, &bad), -EINVAL);
	bad.what[0] = '\0';
	assert_int_equal(event_log_add(&log, &bad), -EINVAL);
	event_log_free(&log);
	assert_int_equal(event_log_begin(&log, "a b"), -EINVAL);
}

static void log_has_a_bound(void **state)
{
	struct event event = measured("a", 0, EVENT_INTACT);
	struct event_log log, again;
	int ret;

	(void)state;
	assert_int_equal(event_log_begin(&log, "boot"), 0);
	do {
		for (size_t i = 0; !++event.digest.bytes[i]; i++)
			;
		ret = event_log_add(&log, &event);
	} while (ret == 0);
	assert_int_equal(ret, -ENOSPC);
	/* What a person has to see still finds room. */
	event.result = EVENT_REFUSED;
	assert_int_equal(event_log_add(&log, &event), -ENOSPC);
	add(&log, "a", 1, EVENT_MISMATCH);
	add(&log, "quarantine", 2, EVENT_RELEASED);
	assert_true(log.length <= EVENTS_SIZE_MAX);
	assert_int_equal(event_log_open(&again, log.text, log.length, NULL), 0);
	event_log_free(&again);
	event_log_free(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_those_of_the_standard),
		cmocka_unit_test(signed_manifest_is_taken_and_no_change_of_it_is),
		cmocka_unit_test(key_of_another_that_claims_to_be_ours_is_refused),
		cmocka_unit_test(other_kinds_of_keys_are_refused),
		cmocka_unit_test(only_the_one_way_to_write_it_is_taken),
		cmocka_unit_test(signed_nonsense_and_what_is_too_long_are_refused),
		cmocka_unit_test(older_release_is_refused),
		cmocka_unit_test(log_is_replayed_as_a_register_is_extended),
		cmocka_unit_test(log_with_a_line_changed_removed_or_moved_is_refused),
		cmocka_unit_test(what_does_not_change_does_not_make_the_log_grow),
		cmocka_unit_test(log_has_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
