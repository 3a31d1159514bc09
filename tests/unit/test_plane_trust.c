/* SPDX-License-Identifier: Apache-2.0 */
/* What a host is believed, and whether keys go there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trust.h"

#define NOW 1000000u

static const struct trust_policy strict = {.evidence_lasts = 60000, .silence = 10000};
static const struct trust_policy lax = {
	.allow_unattested = true, .evidence_lasts = 60000, .silence = 10000};

static struct trust_evidence good(void)
{
	return (struct trust_evidence){.heard = NOW - 10,
				       .has_tpm = true,
				       .given = true,
				       .taken = NOW - 20,
				       .log = TRUST_MATCHES,
				       .quote = TRUST_MATCHES,
				       .policy = TRUST_MATCHES};
}

static void expect(const struct trust_evidence *evidence, const struct trust_policy *policy,
		   enum trust_state state, bool usable)
{
	struct trust_verdict verdict = trust_judge(evidence, policy, NOW);

	assert_string_equal(trust_name(verdict.state), trust_name(state));
	assert_int_equal(verdict.usable, usable);
	assert_int_equal(verdict.keys, state == TRUST_TRUSTED);
	assert_int_equal(verdict.quarantine, state == TRUST_QUARANTINED);
	assert_int_equal(verdict.why[0] == '\0', state == TRUST_TRUSTED);
}

static void whole_evidence_is_trusted(void **state)
{
	struct trust_evidence evidence = good();

	(void)state;
	expect(&evidence, &strict, TRUST_TRUSTED, true);
	expect(&evidence, &lax, TRUST_TRUSTED, true);
}

static void wrong_evidence_is_quarantine(void **state)
{
	struct trust_evidence evidence = good();

	(void)state;
	evidence.log = TRUST_DIFFERS;
	expect(&evidence, &lax, TRUST_QUARANTINED, false);
	evidence = good();
	evidence.quote = TRUST_DIFFERS;
	expect(&evidence, &lax, TRUST_QUARANTINED, false);
	evidence = good();
	evidence.policy = TRUST_DIFFERS;
	expect(&evidence, &lax, TRUST_QUARANTINED, false);
	evidence = good();
	evidence.quarantine_told = true;
	expect(&evidence, &lax, TRUST_QUARANTINED, false);
}

static void quarantine_lasts_until_it_is_released(void **state)
{
	struct trust_evidence evidence = good();

	(void)state;
	evidence.quarantined = true;
	expect(&evidence, &lax, TRUST_QUARANTINED, false);
	evidence.heard = 0;
	expect(&evidence, &lax, TRUST_QUARANTINED, false);
	assert_false(trust_judge(&evidence, &lax, NOW).reachable);
}

static void what_was_released_shows_new_evidence_first(void **state)
{
	struct trust_evidence evidence = good();

	(void)state;
	evidence.given = false;
	evidence.policy = TRUST_DIFFERS;
	expect(&evidence, &lax, TRUST_UNATTESTED, false);
}

static void silence_is_unreachable(void **state)
{
	struct trust_evidence evidence = good();

	(void)state;
	evidence.heard = NOW - strict.silence;
	expect(&evidence, &strict, TRUST_TRUSTED, true);
	evidence.heard--;
	expect(&evidence, &strict, TRUST_UNREACHABLE, false);
	evidence.heard = 0;
	expect(&evidence, &strict, TRUST_UNREACHABLE, false);
}

static void old_evidence_says_nothing(void **state)
{
	struct trust_evidence evidence = good();

	(void)state;
	evidence.taken = NOW - strict.evidence_lasts;
	expect(&evidence, &strict, TRUST_TRUSTED, true);
	evidence.taken--;
	expect(&evidence, &strict, TRUST_UNATTESTED, false);
}

static void half_evidence_is_none(void **state)
{
	struct trust_evidence evidence = good();

	(void)state;
	evidence.quote = TRUST_NOT_CHECKED;
	expect(&evidence, &strict, TRUST_UNATTESTED, false);
	evidence = good();
	evidence.log = TRUST_NOT_CHECKED;
	expect(&evidence, &strict, TRUST_UNATTESTED, false);
	evidence = good();
	evidence.policy = TRUST_NOT_CHECKED;
	expect(&evidence, &strict, TRUST_UNATTESTED, false);
}

static void without_a_tpm_it_is_a_matter_of_policy_and_never_of_keys(void **state)
{
	struct trust_evidence evidence = {.heard = NOW};

	(void)state;
	expect(&evidence, &strict, TRUST_UNATTESTED, false);
	expect(&evidence, &lax, TRUST_UNATTESTED, true);
	/* It may have a log; no quote makes it one that is trusted. */
	evidence = good();
	evidence.has_tpm = false;
	expect(&evidence, &lax, TRUST_UNATTESTED, true);
}

static void policy_does_not_stand_in_for_a_tpm_that_shows_nothing(void **state)
{
	struct trust_evidence evidence = {.heard = NOW, .has_tpm = true};

	(void)state;
	expect(&evidence, &lax, TRUST_UNATTESTED, false);
}

static void the_planes_own_machine_has_the_keys_already(void **state)
{
	struct trust_evidence evidence = good();
	struct trust_verdict verdict;

	(void)state;
	evidence.here = true;
	evidence.has_tpm = false;
	verdict = trust_judge(&evidence, &lax, NOW);
	assert_int_equal(verdict.state, TRUST_UNATTESTED);
	assert_true(verdict.usable && verdict.keys);
	assert_false(trust_judge(&evidence, &strict, NOW).keys);
	evidence.quarantine_told = true;
	assert_false(trust_judge(&evidence, &lax, NOW).keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_evidence_is_trusted),
		cmocka_unit_test(wrong_evidence_is_quarantine),
		cmocka_unit_test(quarantine_lasts_until_it_is_released),
		cmocka_unit_test(what_was_released_shows_new_evidence_first),
		cmocka_unit_test(silence_is_unreachable),
		cmocka_unit_test(old_evidence_says_nothing),
		cmocka_unit_test(half_evidence_is_none),
		cmocka_unit_test(without_a_tpm_it_is_a_matter_of_policy_and_never_of_keys),
		cmocka_unit_test(the_planes_own_machine_has_the_keys_already),
		cmocka_unit_test(policy_does_not_stand_in_for_a_tpm_that_shows_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
