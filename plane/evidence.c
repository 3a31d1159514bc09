/* SPDX-License-Identifier: Apache-2.0 */
#include "evidence.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "trust/events.h"
#include "trust/quote.h"

#define MANIFEST "karuta.manifest"

int evidence_allow(struct evidence_policy *policy, const char *text, size_t length,
		   const struct trust_key *key, struct error *error)
{
	struct manifest *manifest;
	int ret;

	if (policy->count == EVIDENCE_RELEASES)
		return error_set(error, ENOSPC, "more than %u releases", EVIDENCE_RELEASES);
	manifest = malloc(sizeof(*manifest));
	if (!manifest)
		return error_set(error, ENOMEM, "out of memory");
	ret = manifest_open(manifest, text, length, key, error);
	if (ret == 0)
		ret = trust_digest(text, length, &policy->digests[policy->count]);
	if (ret < 0) {
		free(manifest);
		return ret;
	}
	policy->manifests[policy->count++] = manifest;
	return 0;
}

void evidence_policy_free(struct evidence_policy *policy)
{
	for (size_t i = 0; i < policy->count; i++)
		free(policy->manifests[i]);
	policy->count = 0;
}

__attribute__((format(printf, 2, 3))) static enum trust_check differs(struct evidence *evidence,
								      const char *format, ...)
{
	va_list args;

	if (evidence->why[0])
		return TRUST_DIFFERS;
	va_start(args, format);
	vsnprintf(evidence->why, sizeof(evidence->why), format, args);
	va_end(args);
	return TRUST_DIFFERS;
}

/* ---- the policy ---- */

static bool is_allowed(const struct evidence_policy *policy, const char *what,
		       const struct trust_digest *digest)
{
	for (size_t i = 0; i < policy->count; i++) {
		const struct manifest_file *file = manifest_find(policy->manifests[i], what);

		if (!strcmp(what, MANIFEST) && trust_digest_same(digest, &policy->digests[i]))
			return true;
		if (file && trust_digest_same(digest, &file->digest))
			return true;
	}
	return false;
}

/* Its line "<what> <SHA-384> <result> <running hash>", which event_log_open() has checked. */
static void check_event(struct evidence *evidence, const char *line, bool *suspect,
			const struct evidence_policy *policy)
{
	char what[EVENTS_NAME_MAX + 1], digits[TRUST_DIGEST_DIGITS + 1], result[16];
	struct trust_digest digest;

	_Static_assert(EVENTS_NAME_MAX == 63 && TRUST_DIGEST_DIGITS == 96, "as below");
	if (sscanf(line, "%63s %96s %15s", what, digits, result) != 3 ||
	    !trust_unhex(digits, TRUST_DIGEST_DIGITS, digest.bytes)) {
		evidence->policy = differs(evidence, "event log: a line that is none");
		return;
	}
	if (!strcmp(result, event_result_name(EVENT_RELEASED)))
		*suspect = false;
	if (!strcmp(result, event_result_name(EVENT_MISMATCH)))
		*suspect = true;
	if (!strcmp(result, event_result_name(EVENT_INTACT)) && !is_allowed(policy, what, &digest))
		evidence->policy =
			differs(evidence, "%s: is of no release that the fleet may run", what);
}

/* A mismatch that was released counts no more. */
static void check_policy(struct evidence *evidence, const struct event_log *log,
			 const struct evidence_policy *policy)
{
	const char *line = strchr(log->text, '\n');
	bool suspect = false;

	if (!policy->count)
		return;
	evidence->policy = TRUST_MATCHES;
	for (; line && line[1]; line = strchr(line + 1, '\n'))
		check_event(evidence, line + 1, &suspect, policy);
	if (suspect)
		evidence->policy =
			differs(evidence, "the host has found something that is not of its "
					  "release");
}

/* ---- log and quote ---- */

static enum trust_check verify(struct evidence *evidence, const struct quote *quote,
			       const struct event_log *log, const char *expected, const void *nonce,
			       size_t nonce_length)
{
	struct trust_key *key;
	struct error error = {0};
	int ret;

	trust_hex(quote->key, quote->key_length, evidence->key);
	if (expected[0] && strcmp(expected, evidence->key) != 0)
		return differs(evidence, "quote: of another TPM than before");
	if (trust_key_open(quote->key, quote->key_length, &key) < 0)
		return differs(evidence, "quote: its key is of no use");
	ret = quote_verify(quote, log, key, nonce, nonce_length, &error);
	trust_key_free(key);
	return ret < 0 ? differs(evidence, "quote: %s", error.text) : TRUST_MATCHES;
}

static void check_quote(struct evidence *evidence, const char *text, const char *expected,
			const void *nonce, size_t nonce_length,
			const struct evidence_policy *policy)
{
	struct event_log log;
	struct quote quote;
	struct error error = {0};

	_Static_assert(2 * QUOTE_KEY_MAX + 1 == sizeof(evidence->key), "room for a key");
	if (quote_parse(&quote, &log, text, strlen(text), &error) < 0) {
		evidence->log = evidence->quote = differs(evidence, "quote: %s", error.text);
		return;
	}
	evidence->log = TRUST_MATCHES;
	evidence->quote = verify(evidence, &quote, &log, expected, nonce, nonce_length);
	check_policy(evidence, &log, policy);
	event_log_free(&log);
}

static void check_log(struct evidence *evidence, const char *text,
		      const struct evidence_policy *policy)
{
	struct event_log log;
	struct error error = {0};

	if (event_log_open(&log, text, strlen(text), &error) < 0) {
		evidence->log = differs(evidence, "event log: %s", error.text);
		return;
	}
	evidence->log = TRUST_MATCHES;
	check_policy(evidence, &log, policy);
	event_log_free(&log);
}

void evidence_check(struct evidence *evidence, const json_t *answer, const char *expected,
		    const void *nonce, size_t nonce_length, const struct evidence_policy *policy)
{
	const char *quote = json_string_value(json_object_get(answer, "quote"));
	const char *log = json_string_value(json_object_get(answer, "log"));

	*evidence = (struct evidence){0};
	if (quote)
		check_quote(evidence, quote, expected, nonce, nonce_length, policy);
	else if (expected[0])
		evidence->quote = differs(evidence, "no quote, where there was a TPM before");
	else if (log)
		check_log(evidence, log, policy);
	else
		evidence->log = differs(evidence, "neither quote nor event log");
}
