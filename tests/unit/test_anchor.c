/* SPDX-License-Identifier: Apache-2.0 */
/* When the TPM is told of the audit log: by a clock of our own, and a TPM that is not there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "anchor.h"
#include "audit_check.h"
#include "base/base.h"
#include "tpm.h"

#define SECOND NS_PER_S
#define BEGIN  (100 * SECOND)

static char folder[64];
static struct error error;
static struct audit audit;
static struct anchor anchor;

/* ---- the TPM ---- */

static struct trust_digest index_value;
static bool index_made;
static unsigned told;
static int failure; /* -errno: of all that it is asked for */

int tpm_open(struct tpm **tpm, const char *how, struct error *why)
{
	(void)tpm;
	(void)how;
	return failure ? error_set(why, -failure, "TPM: away") : 0;
}

void tpm_close(struct tpm *tpm)
{
	(void)tpm;
}

int tpm_identify(struct tpm *tpm, char text[TPM_IDENTITY_SIZE], struct error *why)
{
	(void)tpm;
	(void)why;
	snprintf(text, TPM_IDENTITY_SIZE, "0123456789abcdef");
	return 0;
}

int tpm_log_make(struct tpm *tpm, struct error *why)
{
	(void)tpm;
	(void)why;
	index_made = true;
	return 0;
}

int tpm_log_read(struct tpm *tpm, struct trust_digest *value, struct error *why)
{
	(void)tpm;
	*value = index_value;
	return index_made ? 0 : error_set(why, ENOENT, "TPM: no index");
}

int tpm_log_extend(struct tpm *tpm, const struct trust_digest *digest, struct error *why)
{
	(void)tpm;
	(void)why;
	told++;
	return trust_digest_extend(&index_value, digest);
}

/* ---- */

static void command(void)
{
	struct audit_record record = {
		.caller = "uid 0 pid 1", .verb = "pause", .object = "web", .text = "accepted"};

	assert_int_equal(audit_write(&audit, &record, &error), 0);
}

/* How often it was told from `from` to `to`, with a turn each time that there is something to do,
 * and a command every `every`. */
static unsigned told_within(uint64_t from, uint64_t to, uint64_t every)
{
	unsigned before = told;
	uint64_t next = from;

	for (uint64_t now = from; now < to; now += every ? min_u64(every, SECOND) : SECOND) {
		if (every && now >= next) {
			command();
			next += every;
		}
		assert_true(anchor_turn(&anchor, now) > 0);
	}
	return told - before;
}

static int open_log(void **state)
{
	(void)state;
	/* Where a flush costs nothing. */
	snprintf(folder, sizeof(folder), "/dev/shm/karuta-anchor-XXXXXX");
	index_value = (struct trust_digest){0};
	index_made = false;
	told = 0;
	failure = 0;
	if (!mkdtemp(folder) || audit_open(&audit, folder, &AUDIT_LIMITS, &error) < 0)
		return -1;
	return anchor_open(&anchor, "a TPM", &audit, folder, false, &error);
}

static int close_log(void **state)
{
	char remove[96];

	(void)state;
	audit_close(&audit);
	snprintf(remove, sizeof(remove), "rm -rf %s", folder);
	return system(remove);
}

static void a_line_is_told_after_a_second(void **state)
{
	(void)state;
	assert_true(index_made);
	assert_int_equal(told_within(BEGIN, BEGIN + 100 * SECOND, 0), 0);
	command();
	anchor_turn(&anchor, BEGIN);
	assert_int_equal(anchor_turn(&anchor, BEGIN + SECOND / 2), 501);
	assert_int_equal(told, 0);
	anchor_turn(&anchor, BEGIN + SECOND);
	assert_int_equal(told, 1);
	/* Its own line is no news. */
	assert_int_equal(told_within(BEGIN + SECOND, BEGIN + 100 * SECOND, 0), 0);
	command();
	command();
	assert_int_equal(told_within(BEGIN + 100 * SECOND, BEGIN + 200 * SECOND, 0), 1);
}

static void its_memory_is_spared(void **state)
{
	const uint64_t later = BEGIN + 1000 * SECOND, hours = 3600 * SECOND;
	unsigned often;

	(void)state;
	/* A command every five seconds: sixty times at once, and one more for each ten minutes. */
	often = told_within(BEGIN, later, 5 * SECOND);
	assert_in_range(often, ANCHOR_BURST, ANCHOR_BURST + 3);
	assert_in_range(told_within(later, later + 2 * hours, 5 * SECOND), 11, 13);
	/* Ten quiet hours, and it may be often again. */
	assert_in_range(
		told_within(later + 13 * hours, later + 13 * hours + 1000 * SECOND, 5 * SECOND),
		ANCHOR_BURST, ANCHOR_BURST + 3);
}

/* So that no flood can push the last anchor out of the log. */
static void a_flood_is_told_of(void **state)
{
	unsigned before;

	(void)state;
	told_within(BEGIN, BEGIN + 500 * SECOND, 5 * SECOND);
	before = told;
	for (unsigned i = 0; i < ANCHOR_LINES / 2; i++)
		command();
	anchor_turn(&anchor, BEGIN + 500 * SECOND);
	assert_int_equal(told, before);
	for (unsigned i = 0; i < ANCHOR_LINES / 2; i++)
		command();
	anchor_turn(&anchor, BEGIN + 501 * SECOND);
	assert_int_equal(told, before + 1);
	assert_int_equal(told_within(BEGIN + 502 * SECOND, BEGIN + 510 * SECOND, 0), 0);
}

static void one_that_fails_is_tried_again(void **state)
{
	(void)state;
	failure = -EIO;
	command();
	assert_int_equal(told_within(BEGIN, BEGIN + 30 * SECOND, SECOND), 0);
	failure = 0;
	assert_int_equal(told_within(BEGIN + 30 * SECOND, BEGIN + 60 * SECOND, 0), 0);
	assert_int_equal(told_within(BEGIN + 60 * SECOND, BEGIN + 70 * SECOND, 0), 1);
}

/* The instances of a controller that died are not to wait for a TPM. */
static void one_that_is_away_is_waited_for(void **state)
{
	(void)state;
	command();
	anchor_close(&anchor);
	failure = -EIO;
	assert_int_equal(anchor_open(&anchor, "a TPM", &audit, folder, false, &error), -EIO);
	assert_int_equal(anchor_open(&anchor, "a TPM", &audit, folder, true, &error), 0);
	command();
	assert_int_equal(told_within(BEGIN, BEGIN + 30 * SECOND, 0), 0);
	failure = 0;
	assert_int_equal(told_within(BEGIN + 62 * SECOND, BEGIN + 70 * SECOND, 0), 1);
	/* It may come back as another one. */
	failure = -EIO;
	assert_int_equal(anchor_open(&anchor, "a TPM", &audit, folder, true, &error), 0);
	failure = 0;
	index_value.bytes[0] ^= 1;
	command();
	assert_int_equal(told_within(BEGIN, BEGIN + 10 * SECOND, 0), 0);
	assert_true(anchor.lost);
}

static void the_end_is_told_of(void **state)
{
	struct audit_proof proof = {0};
	struct audit_found found;

	(void)state;
	command();
	anchor_close(&anchor);
	assert_int_equal(told, 1);
	anchor_close(&anchor);
	assert_int_equal(told, 1);
	memcpy(proof.value.bytes, index_value.bytes, sizeof(index_value.bytes));
	assert_int_equal(audit_check(folder, audit_proof_take, &proof, &found, &error), 0);
	assert_int_equal(audit_proof_judge(&proof, anchor.tpm, found.last, &error), 0);
	assert_int_equal(proof.proved, found.last);
	/* Opened again, it goes on from there. */
	assert_int_equal(anchor_open(&anchor, "a TPM", &audit, folder, false, &error), 0);
	assert_int_equal(anchor.told, found.last);
}

/* The anchor may be some files back. */
static void the_last_anchor_is_looked_for(void **state)
{
	struct audit_limits small = {.bytes = 2000, .files = 16};

	(void)state;
	command();
	anchor_close(&anchor);
	audit_close(&audit);
	assert_int_equal(audit_open(&audit, folder, &small, &error), 0);
	for (unsigned i = 0; i < 40; i++)
		command();
	assert_int_equal(anchor_open(&anchor, "a TPM", &audit, folder, false, &error), 0);
	assert_int_equal(anchor.told, 2);
	assert_true(audit_last(&audit) > 40);
	/* When its file has been given up, nothing can be said. */
	for (unsigned i = 0; i < 100; i++)
		command();
	assert_true(audit.head.before.number > 2);
	assert_int_equal(anchor_open(&anchor, "a TPM", &audit, folder, false, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "it is not the log that the TPM was told of"));
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, open_log, close_log)
	const struct CMUnitTest tests[] = {
		EACH(a_line_is_told_after_a_second),
		EACH(its_memory_is_spared),
		EACH(a_flood_is_told_of),
		EACH(one_that_fails_is_tried_again),
		EACH(the_end_is_told_of),
		EACH(one_that_is_away_is_waited_for),
		EACH(the_last_anchor_is_looked_for),
	};
#undef EACH

	return cmocka_run_group_tests(tests, NULL, NULL);
}
