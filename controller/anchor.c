/* SPDX-License-Identifier: Apache-2.0 */
#include "anchor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit_check.h"
#include "audit_files.h"
#include "base/base.h"
#include "tpm.h"

#define IDLE_PAUSE_MS 1000

_Static_assert(TPM_IDENTITY_SIZE == AUDIT_ANCHOR_TPM, "a TPM's name fits");
_Static_assert(sizeof(struct audit_hash) == sizeof(struct trust_digest), "both are SHA-384");

static int read_value(struct tpm *tpm, struct audit_hash *value, struct error *error)
{
	struct trust_digest digest;
	int ret = tpm_log_read(tpm, &digest, error);

	memcpy(value->bytes, digest.bytes, sizeof(digest.bytes));
	return ret;
}

static int extend_value(struct tpm *tpm, const struct audit_hash *hash, struct error *error)
{
	struct trust_digest digest;

	memcpy(digest.bytes, hash->bytes, sizeof(digest.bytes));
	return tpm_log_extend(tpm, &digest, error);
}

/* ---- opening ---- */

/* From the newest file back to the one that has the anchor; whether that is whole is known then. */
static int look_for_proof(const struct anchor *anchor, struct audit_proof *proof,
			  struct error *error)
{
	uint64_t firsts[AUDIT_FILES_MAX];
	const struct audit_hash value = proof->value;
	int count = audit_files_list(anchor->audit->folder, firsts, error), ret = 0;
	struct audit_found found;

	/* There is none; what there may be instead, all of it tells. */
	if (count >= 0 && audit_anchor_is_none(&value))
		return audit_check(anchor->path, audit_proof_take, proof, &found, error);
	for (int i = count - 1; ret == 0 && i >= 0 && !proof->proved; i--) {
		if (firsts[i] <= anchor->audit->head.before.number)
			break;
		*proof = (struct audit_proof){.value = value};
		ret = audit_check_from(anchor->path, firsts[i], audit_proof_take, proof, &found,
				       error);
	}
	return count < 0 ? count : ret;
}

/* The index is made for a log that has no anchors yet. */
static int make_index(struct tpm *tpm, const struct audit_proof *proof, struct error *error)
{
	if (!proof->count)
		return tpm_log_make(tpm, error);
	return error_set(
		error, EBADMSG,
		"line %llu was anchored, and the TPM has no index of it: it is another TPM, "
		"or was cleared",
		(unsigned long long)proof->last);
}

/* What was left half-done. */
static int catch_up(struct anchor *anchor, struct tpm *tpm, const struct audit_proof *proof,
		    struct error *error)
{
	int ret = 0;

	anchor->value = proof->value;
	anchor->told = proof->proved;
	if (audit_proof_is_behind(proof)) {
		ret = extend_value(tpm, &proof->anchor.hash, error);
		anchor->value = proof->after;
		anchor->told = proof->last;
	}
	return ret;
}

static int compare(struct anchor *anchor, struct tpm *tpm, struct error *error)
{
	struct audit_proof proof = {0};
	struct error missing = {0};
	int ret = tpm_identify(tpm, anchor->tpm, error);
	int index = ret == 0 ? read_value(tpm, &proof.value, &missing) : ret;

	if (ret == 0 && index < 0 && index != -ENOENT) {
		*error = missing;
		ret = index;
	}
	if (ret == 0)
		ret = look_for_proof(anchor, &proof, error);
	if (ret == 0 && index == -ENOENT)
		ret = make_index(tpm, &proof, error);
	else if (ret == 0)
		ret = audit_proof_judge(&proof, anchor->tpm, audit_last(anchor->audit), error);
	return ret == 0 ? catch_up(anchor, tpm, &proof, error) : ret;
}

static int open_with(struct anchor *anchor, struct tpm *tpm, struct error *error)
{
	int ret = anchor->open ? 0 : compare(anchor, tpm, error);

	anchor->open = ret == 0;
	return ret;
}

int anchor_open(struct anchor *anchor, const char *how, struct audit *audit, const char *path,
		bool later, struct error *error)
{
	struct tpm *tpm = NULL;
	int ret;

	*anchor = (struct anchor){.how = how, .audit = audit, .path = path};
	if (!how)
		return 0;
	ret = tpm_open(&tpm, how, error);
	if (ret == 0)
		ret = open_with(anchor, tpm, error);
	tpm_close(tpm);
	if (ret == 0)
		return 0;
	error_prefix(error, "audit log %s", path);
	if (ret != -EBADMSG && later) {
		fprintf(stderr, "karuta-controller: %s; it is tried again\n", error->text);
		*error = (struct error){0};
		return 0;
	}
	anchor->how = NULL;
	return ret;
}

/* ---- anchors ---- */

static int write_anchor(struct anchor *anchor, struct error *error)
{
	char value[AUDIT_HASH_TEXT + 1];
	struct audit_record record = {.caller = AUDIT_ANCHOR_CALLER,
				      .verb = AUDIT_ANCHOR_VERB,
				      .object = anchor->tpm,
				      .text = value};

	audit_anchor_format(&anchor->value, value);
	return audit_write(anchor->audit, &record, error);
}

/* It stays so until the next start, which does not take the log. */
static int give_up(struct anchor *anchor, struct error *error)
{
	const struct audit_record record = {.caller = AUDIT_ANCHOR_CALLER,
					    .verb = AUDIT_ANCHOR_VERB,
					    .object = anchor->tpm,
					    .code = EBADMSG,
					    .text = error->text};
	struct error other;

	anchor->lost = true;
	audit_write(anchor->audit, &record, &other);
	return -EBADMSG;
}

static int expect_value(const struct anchor *anchor, struct tpm *tpm, struct error *error)
{
	struct audit_hash value;
	int ret = read_value(tpm, &value, error);

	if (ret < 0 || !memcmp(&value, &anchor->value, sizeof(value)))
		return ret;
	return error_set(error, EBADMSG,
			 "somebody else has told the TPM something: the audit log is not anchored "
			 "any more");
}

/* First the line, on the disk, then the TPM. */
static int tell(struct anchor *anchor, struct tpm *tpm, struct error *error)
{
	const struct audit_link *anchored = &anchor->audit->head.last;
	struct audit_hash after;
	int ret = open_with(anchor, tpm, error);

	if (ret == 0)
		ret = expect_value(anchor, tpm, error);
	if (ret == -EBADMSG)
		return give_up(anchor, error);
	if (ret == 0)
		ret = write_anchor(anchor, error);
	if (ret == 0)
		ret = audit_anchor_after(&anchor->value, &anchored->hash, &after);
	if (ret == 0)
		ret = extend_value(tpm, &anchored->hash, error);
	if (ret < 0)
		return ret;
	anchor->value = after;
	anchor->told = anchored->number;
	return 0;
}

static void try_to_tell(struct anchor *anchor, uint64_t now)
{
	struct error error = {0};
	struct tpm *tpm = NULL;
	int ret = tpm_open(&tpm, anchor->how, &error);

	if (ret == 0)
		ret = tell(anchor, tpm, &error);
	tpm_close(tpm);
	anchor->since = 0;
	anchor->paid = max_u64(anchor->paid, now) + ANCHOR_EVERY;
	anchor->retry = ret < 0 ? now + ANCHOR_RETRY : 0;
	if (ret < 0)
		fprintf(stderr, "karuta-controller: audit log: %s\n", error.text);
}

static bool has_news(const struct anchor *anchor)
{
	return anchor->how && !anchor->lost && audit_last(anchor->audit) != anchor->told;
}

static uint64_t due(const struct anchor *anchor)
{
	const uint64_t allowance = ANCHOR_BURST * ANCHOR_EVERY;
	uint64_t soon = anchor->since + ANCHOR_AFTER;
	uint64_t later = anchor->paid > allowance ? anchor->paid - allowance : 0;

	if (audit_last(anchor->audit) - anchor->told < ANCHOR_LINES)
		soon = max_u64(soon, later);
	return max_u64(soon, anchor->retry);
}

int anchor_turn(struct anchor *anchor, uint64_t now)
{
	uint64_t when;

	if (!has_news(anchor))
		return IDLE_PAUSE_MS;
	if (!anchor->since)
		anchor->since = now;
	when = due(anchor);
	if (now >= when) {
		try_to_tell(anchor, now);
		return IDLE_PAUSE_MS;
	}
	return (int)min_u64((when - now) / NS_PER_MS + 1, IDLE_PAUSE_MS);
}

void anchor_close(struct anchor *anchor)
{
	if (has_news(anchor))
		try_to_tell(anchor, os_now());
	anchor->how = NULL;
}
