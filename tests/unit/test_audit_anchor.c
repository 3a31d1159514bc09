/* SPDX-License-Identifier: Apache-2.0 */
/* What a TPM's index says of an audit log. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "audit_anchor.h"
#include "base/base.h"

#define TPM "0123456789abcdef"
#define MAX 16u

static char lines[MAX][AUDIT_LINE_MAX];
static unsigned count;
static struct audit_link chain;
static struct audit_hash known; /* as the TPM has it */
static struct error error;

static int begin(void **state)
{
	(void)state;
	count = 0;
	chain = (struct audit_link){0};
	known = (struct audit_hash){{0}};
	return 0;
}

static void add(const char *caller, const char *object, int code, const char *text)
{
	struct audit_record record = {
		.caller = caller, .verb = "anchor", .object = object, .code = code, .text = text};

	assert_true(count < MAX);
	assert_true(audit_chain_add(&chain, &record, lines[count++], AUDIT_LINE_MAX) > 0);
}

static void add_anchor(const struct audit_hash *before)
{
	char text[AUDIT_HASH_TEXT + 1];

	audit_anchor_format(before, text);
	add("controller", TPM, 0, text);
}

static void tell(void)
{
	assert_int_equal(audit_anchor_after(&known, &chain.hash, &known), 0);
}

static void add_told(void)
{
	add("uid 0 pid 1", "web", 0, "accepted");
	add_anchor(&known);
	tell();
}

/* Of the first `most` lines, from `from` on. */
static int judge(unsigned from, unsigned most, const char *tpm, struct audit_proof *proof)
{
	struct audit_link link = {0};

	*proof = (struct audit_proof){.value = known};
	error = (struct error){0};
	for (unsigned i = 0; i < most; i++) {
		size_t length = strlen(lines[i]) - 1, object_length;
		const char *object = audit_chain_object(lines[i], length, &object_length);

		assert_int_equal(audit_chain_check(&link, lines[i], length), 0);
		if (i >= from)
			audit_proof_take(proof, &link, object, object_length);
	}
	return audit_proof_judge(proof, tpm, most, &error);
}

static void the_last_anchor_proves_all_before_it(void **state)
{
	struct audit_proof proof;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		add_told();
	add("uid 0 pid 1", "web", 0, "accepted");
	assert_int_equal(judge(0, 7, TPM, &proof), 0);
	assert_int_equal(proof.proved, 6);
	assert_false(audit_proof_is_behind(&proof));
	/* Read from anywhere before it. */
	assert_int_equal(judge(5, 7, TPM, &proof), 0);
	assert_int_equal(judge(0, 6, TPM, &proof), 0);
	for (unsigned cut = 0; cut < 6; cut++)
		assert_int_equal(judge(0, cut, TPM, &proof), -EBADMSG);
	assert_non_null(strstr(error.text, "what came after line 5 was cut off"));
}

static void one_anchor_may_be_ahead(void **state)
{
	struct audit_proof proof;

	(void)state;
	/* The very first. */
	add_anchor(&known);
	assert_int_equal(judge(0, 1, TPM, &proof), 0);
	assert_true(audit_proof_is_behind(&proof));
	tell();
	assert_int_equal(judge(0, 1, TPM, &proof), 0);
	assert_int_equal(proof.proved, 1);
	add_anchor(&known);
	assert_int_equal(judge(0, 2, TPM, &proof), 0);
	assert_true(audit_proof_is_behind(&proof));
	/* The TPM failed; the next has the same before it. */
	add_anchor(&known);
	tell();
	assert_int_equal(judge(0, 3, TPM, &proof), 0);
	assert_int_equal(proof.proved, 3);
}

/* Without its past in the log, anybody could say that it goes on from there. */
static void an_anchor_ahead_proves_nothing_alone(void **state)
{
	struct audit_proof proof;
	struct audit_hash elsewhere;

	(void)state;
	add_told();
	elsewhere = known;
	begin(NULL);
	known = elsewhere;
	add_anchor(&known);
	assert_int_equal(judge(0, 1, TPM, &proof), -EBADMSG);
	assert_non_null(strstr(error.text, "it is not the log that the TPM was told of"));
}

static void what_the_tpm_was_told_between_is_found(void **state)
{
	struct audit_proof proof;

	(void)state;
	add_told();
	known.bytes[0] ^= 1;
	add_told();
	assert_int_equal(judge(0, 4, TPM, &proof), -EBADMSG);
	assert_string_equal(
		error.text,
		"line 4 was anchored in a TPM that had been told of another log before");
}

static void other_tpms_and_removed_indexes_are_named(void **state)
{
	struct audit_proof proof;

	(void)state;
	/* One that was never told anything, and a log that never was anchored. */
	assert_int_equal(judge(0, 0, TPM, &proof), 0);
	assert_int_equal(proof.proved, 0);
	add_told();
	known.bytes[0] ^= 1;
	assert_int_equal(judge(0, 2, "another", &proof), -EBADMSG);
	assert_string_equal(error.text,
			    "line 2 was anchored in another TPM (" TPM "; this one is another)");
	add_told();
	known = (struct audit_hash){{0}};
	assert_int_equal(judge(2, 4, TPM, &proof), -EBADMSG);
	assert_non_null(strstr(error.text, "its index was removed"));
}

static void only_the_controller_makes_anchors(void **state)
{
	struct audit_proof proof;
	char text[AUDIT_HASH_TEXT + 1];

	(void)state;
	audit_anchor_format(&known, text);
	add("controller (admin)", TPM, 0, text);
	add("controller", TPM, EBADMSG, text);
	add("controller", TPM "0", 0, text);
	add("controller", TPM, 0, text + 1);
	text[0] = 'A';
	add("controller", TPM, 0, text);
	text[0] = 'g';
	add("controller", TPM, 0, text);
	assert_int_equal(judge(0, count, TPM, &proof), 0);
	assert_int_equal(proof.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_last_anchor_proves_all_before_it, begin),
		cmocka_unit_test_setup(one_anchor_may_be_ahead, begin),
		cmocka_unit_test_setup(an_anchor_ahead_proves_nothing_alone, begin),
		cmocka_unit_test_setup(what_the_tpm_was_told_between_is_found, begin),
		cmocka_unit_test_setup(other_tpms_and_removed_indexes_are_named, begin),
		cmocka_unit_test_setup(only_the_controller_makes_anchors, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
