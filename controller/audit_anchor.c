/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_anchor.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

static bool same(const struct audit_hash *a, const struct audit_hash *b)
{
	return !memcmp(a->bytes, b->bytes, AUDIT_HASH_SIZE);
}

bool audit_anchor_is_none(const struct audit_hash *value)
{
	static const struct audit_hash zeros;

	return same(value, &zeros);
}

void audit_anchor_format(const struct audit_hash *value, char text[AUDIT_HASH_TEXT + 1])
{
	for (size_t i = 0; i < AUDIT_HASH_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", value->bytes[i]);
}

int audit_anchor_after(const struct audit_hash *before, const struct audit_hash *anchor,
		       struct audit_hash *after)
{
	return audit_chain_hash(before, anchor->bytes, AUDIT_HASH_SIZE, after);
}

/* ---- reading ---- */

static bool parse_value(const char *text, struct audit_hash *value)
{
	char again[AUDIT_HASH_TEXT + 1];

	if (strlen(text) != AUDIT_HASH_TEXT)
		return false;
	for (size_t i = 0; i < AUDIT_HASH_SIZE; i++) {
		if (sscanf(text + 2 * i, "%2hhx", &value->bytes[i]) != 1)
			return false;
	}
	audit_anchor_format(value, again);
	return !strcmp(text, again);
}

static const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

/* A caller is never called so: theirs are "NAME (ROLE)", or "uid N pid N". */
static bool take_anchor(struct audit_proof *proof, const json_t *object, struct audit_hash *before)
{
	const char *tpm = text_of(object, "object");

	if (strcmp(text_of(object, "caller"), AUDIT_ANCHOR_CALLER) != 0 ||
	    strcmp(text_of(object, "verb"), AUDIT_ANCHOR_VERB) != 0 ||
	    json_integer_value(json_object_get(object, "code")) != 0 ||
	    strlen(tpm) >= AUDIT_ANCHOR_TPM || !parse_value(text_of(object, "text"), before))
		return false;
	snprintf(proof->tpm, sizeof(proof->tpm), "%s", tpm);
	return true;
}

void audit_proof_take(void *context, const struct audit_link *entry, const char *text,
		      size_t length)
{
	struct audit_proof *proof = context;
	struct audit_hash before;
	json_t *object;

	/* Most entries are none. */
	if (!memmem(text, length, AUDIT_ANCHOR_VERB, strlen(AUDIT_ANCHOR_VERB)))
		return;
	object = json_loadb(text, length, 0, NULL);
	if (take_anchor(proof, object, &before)) {
		/* The TPM may have heard of the one before, or not. */
		if (proof->count && !same(&before, &proof->after) && !same(&before, &proof->before))
			proof->strayed = entry->number;
		proof->count++;
		proof->last = entry->number;
		proof->anchor = *entry;
		proof->before = before;
		if (audit_anchor_after(&before, &entry->hash, &proof->after) == 0 &&
		    same(&proof->after, &proof->value))
			proof->proved = entry->number;
	}
	json_decref(object);
}

/* ---- what that means ---- */

bool audit_proof_is_behind(const struct audit_proof *proof)
{
	return proof->count && proof->proved != proof->last && same(&proof->before, &proof->value);
}

static int judge_unproved(const struct audit_proof *proof, const char *tpm, uint64_t last,
			  struct error *error)
{
	if (audit_anchor_is_none(&proof->value) &&
	    (!proof->count || (proof->count == 1 && audit_anchor_is_none(&proof->before))))
		return 0;
	if (proof->count && strcmp(proof->tpm, tpm) != 0)
		return error_set(error, EBADMSG,
				 "line %llu was anchored in another TPM (%s; this one is %s)",
				 (unsigned long long)proof->last, proof->tpm, tpm);
	if (audit_anchor_is_none(&proof->value))
		return error_set(
			error, EBADMSG,
			"line %llu was anchored, and the TPM knows nothing of it: its index "
			"was removed",
			(unsigned long long)proof->last);
	return error_set(
		error, EBADMSG,
		"it is not the log that the TPM was told of: what came after line %llu was "
		"cut off, or an older or other log was put in its place",
		(unsigned long long)last);
}

int audit_proof_judge(const struct audit_proof *proof, const char *tpm, uint64_t last,
		      struct error *error)
{
	if (proof->strayed)
		return error_set(
			error, EBADMSG,
			"line %llu was anchored in a TPM that had been told of another log "
			"before",
			(unsigned long long)proof->strayed);
	return proof->proved ? 0 : judge_unproved(proof, tpm, last, error);
}
