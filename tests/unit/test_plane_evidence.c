/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a host is what it should be, from what it shows. Quotes of a real TPM: test_serve_tpm.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "evidence.h"
#include "trust/events.h"

#define NONCE "0123456789abcdef"

static struct evidence_policy policy;
static struct event_log events;

static struct trust_digest digest_of(const char *text)
{
	struct trust_digest digest;

	assert_int_equal(trust_digest(text, strlen(text), &digest), 0);
	return digest;
}

/* One release, with one card. */
static int begin(void **state)
{
	struct manifest *manifest = calloc(1, sizeof(*manifest));

	(void)state;
	assert_non_null(manifest);
	manifest->release = 7;
	manifest->file_count = 1;
	strcpy(manifest->files[0].name, "karuta-card-null");
	manifest->files[0].digest = digest_of("a card");
	policy.manifests[0] = manifest;
	policy.digests[0] = digest_of("the manifest");
	policy.count = 1;
	return event_log_begin(&events, "boot-1");
}

static int end(void **state)
{
	(void)state;
	event_log_free(&events);
	evidence_policy_free(&policy);
	return 0;
}

static void measured(const char *what, const char *content, enum event_result result)
{
	struct event event = {.digest = digest_of(content), .result = result};

	snprintf(event.what, sizeof(event.what), "%s", what);
	assert_int_equal(event_log_add(&events, &event), 0);
}

static struct evidence shown(const char *key)
{
	json_t *answer = json_pack("{s:s}", "log", events.text);
	struct evidence evidence;

	evidence_check(&evidence, answer, key, NONCE, strlen(NONCE), &policy);
	json_decref(answer);
	return evidence;
}

static void what_the_release_has_is_believed(void **state)
{
	struct evidence evidence;

	(void)state;
	measured("karuta.manifest", "the manifest", EVENT_INTACT);
	measured("karuta-card-null", "a card", EVENT_INTACT);
	measured("wrapping-key", "any", EVENT_MADE);
	evidence = shown("");
	assert_int_equal(evidence.log, TRUST_MATCHES);
	assert_int_equal(evidence.policy, TRUST_MATCHES);
	assert_int_equal(evidence.quote, TRUST_NOT_CHECKED);
	assert_string_equal(evidence.why, "");
}

static void what_no_release_has_is_named(void **state)
{
	struct evidence evidence;

	(void)state;
	measured("karuta-card-null", "another card", EVENT_INTACT);
	evidence = shown("");
	assert_int_equal(evidence.policy, TRUST_DIFFERS);
	assert_non_null(strstr(evidence.why, "karuta-card-null: is of no release"));
}

static void another_manifest_is_no_release_either(void **state)
{
	(void)state;
	measured("karuta.manifest", "another manifest", EVENT_INTACT);
	assert_int_equal(shown("").policy, TRUST_DIFFERS);
}

/* What the host has refused, it has not used. */
static void what_was_refused_does_no_harm(void **state)
{
	(void)state;
	measured("karuta-card-null", "another card", EVENT_REFUSED);
	assert_int_equal(shown("").policy, TRUST_MATCHES);
}

static void a_mismatch_counts_until_it_is_released(void **state)
{
	(void)state;
	measured("karuta-card-null", "another card", EVENT_MISMATCH);
	assert_int_equal(shown("").policy, TRUST_DIFFERS);
	measured("quarantine", "why", EVENT_RELEASED);
	assert_int_equal(shown("").policy, TRUST_MATCHES);
}

static void a_log_that_was_changed_is_none(void **state)
{
	struct evidence evidence;

	(void)state;
	measured("karuta-card-null", "a card", EVENT_INTACT);
	events.text[events.length - 3] ^= 1;
	evidence = shown("");
	assert_int_equal(evidence.log, TRUST_DIFFERS);
	assert_int_equal(evidence.policy, TRUST_NOT_CHECKED);
}

/* Who had a TPM has to go on showing it. */
static void a_tpm_that_is_gone_is_missed(void **state)
{
	struct evidence evidence = {0};
	json_t *nothing = json_object();

	(void)state;
	evidence = shown("0011");
	assert_int_equal(evidence.quote, TRUST_DIFFERS);
	evidence_check(&evidence, nothing, "", NONCE, strlen(NONCE), &policy);
	assert_int_equal(evidence.log, TRUST_DIFFERS);
	json_decref(nothing);
}

static void a_quote_that_is_none_is_refused(void **state)
{
	json_t *answer = json_pack("{s:s}", "quote", "karuta quote 1\n");
	struct evidence evidence;

	(void)state;
	evidence_check(&evidence, answer, "", NONCE, strlen(NONCE), &policy);
	assert_int_equal(evidence.quote, TRUST_DIFFERS);
	assert_int_equal(evidence.log, TRUST_DIFFERS);
	json_decref(answer);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_the_release_has_is_believed),	      CASE(what_no_release_has_is_named),
		CASE(another_manifest_is_no_release_either),  CASE(what_was_refused_does_no_harm),
		CASE(a_mismatch_counts_until_it_is_released), CASE(a_log_that_was_changed_is_none),
		CASE(a_tpm_that_is_gone_is_missed),	      CASE(a_quote_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
