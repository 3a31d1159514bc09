/* SPDX-License-Identifier: Apache-2.0 */
#include "trust.h"

#include <stddef.h>

static bool is_past(uint64_t since, uint64_t lasts, uint64_t now)
{
	return now > since && now - since > lasts;
}

/* What of it is proof that the host is not what it should be; NULL: nothing. */
static const char *wrong(const struct trust_evidence *evidence)
{
	if (evidence->quarantine_told)
		return "the host is in quarantine";
	if (!evidence->given)
		return NULL;
	if (evidence->log == TRUST_DIFFERS)
		return "its event log does not verify";
	if (evidence->quote == TRUST_DIFFERS)
		return "its quote does not verify";
	if (evidence->policy == TRUST_DIFFERS)
		return "what it runs is not what was released";
	return NULL;
}

/* Why it is not trusted although nothing is wrong; NULL: it is. */
static const char *missing(const struct trust_evidence *evidence, const struct trust_policy *policy,
			   uint64_t now)
{
	if (!evidence->has_tpm)
		return "it has no TPM";
	if (!evidence->given)
		return "it has not shown any evidence yet";
	if (evidence->log != TRUST_MATCHES || evidence->quote != TRUST_MATCHES ||
	    evidence->policy != TRUST_MATCHES)
		return "its evidence is not whole";
	return is_past(evidence->taken, policy->evidence_lasts, now) ? "its evidence is too old"
								     : NULL;
}

struct trust_verdict trust_judge(const struct trust_evidence *evidence,
				 const struct trust_policy *policy, uint64_t now)
{
	struct trust_verdict verdict = {.why = wrong(evidence)};

	verdict.reachable = evidence->heard && !is_past(evidence->heard, policy->silence, now);
	verdict.quarantine = verdict.why || evidence->quarantined;
	if (verdict.quarantine) {
		verdict.state = TRUST_QUARANTINED;
		verdict.why = verdict.why ? verdict.why : "it was quarantined and not released";
	} else if (!verdict.reachable) {
		verdict.state = TRUST_UNREACHABLE;
		verdict.why = "it does not answer";
	} else {
		verdict.why = missing(evidence, policy, now);
		verdict.state = verdict.why ? TRUST_UNATTESTED : TRUST_TRUSTED;
	}
	verdict.keys = verdict.state == TRUST_TRUSTED;
	/* A TPM that shows nothing is not the lack of one: policy does not stand in for it. */
	verdict.usable = verdict.keys || (verdict.state == TRUST_UNATTESTED && !evidence->has_tpm &&
					  policy->allow_unattested);
	verdict.keys |= verdict.usable && evidence->here;
	verdict.why = verdict.why ? verdict.why : "";
	return verdict;
}

const char *trust_name(enum trust_state state)
{
	static const char *const names[] = {
		[TRUST_UNREACHABLE] = "unreachable",
		[TRUST_QUARANTINED] = "quarantined",
		[TRUST_UNATTESTED] = "unattested",
		[TRUST_TRUSTED] = "trusted",
	};

	return names[state];
}
