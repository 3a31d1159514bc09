/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host is believed: pure. From what its evidence has come to (the event log and the quote,
 * verified elsewhere) one state, what may be done there, and why.
 *
 *	quarantined   it says so itself, or evidence of it was wrong: until it is released,
 *	              whatever it shows later
 *	unreachable   it was not heard of for a while; nothing else is known of it then
 *	trusted       log, quote and policy match, and that is not long ago
 *	unattested    it has no TPM that could show it; whether it may be used is policy
 *
 * Keys go to trusted hosts and to no others, whatever the policy; but for the machine that the
 *plane itself is on, if it may be used at all: whoever has that has the keys already.
 */
#ifndef KARUTA_PLANE_TRUST_H
#define KARUTA_PLANE_TRUST_H

#include <stdbool.h>
#include <stdint.h>

enum trust_state {
	TRUST_UNREACHABLE,
	TRUST_QUARANTINED,
	TRUST_UNATTESTED,
	TRUST_TRUSTED,
};

enum trust_check {
	TRUST_NOT_CHECKED, /* there was nothing to check */
	TRUST_MATCHES,
	TRUST_DIFFERS, /* it was checked, and is not what it should be */
};

/* Of one host. Times: ms, of one clock that does not go back. */
struct trust_evidence {
	uint64_t heard; /* it has answered last; 0: never */
	bool here;	/* it is the machine that the plane is on */
	bool has_tpm; /* when it was enrolled: one that has lost it is not unattested, but wrong */
	bool given;   /* there is evidence since the host was enrolled or released */
	uint64_t taken; /* the nonce of that evidence was made then */
	enum trust_check log, quote, policy;
	bool quarantine_told; /* by the host itself */
	bool quarantined;     /* this was the outcome before, stored, and nobody has released it */
};

struct trust_policy {
	bool allow_unattested;
	uint64_t evidence_lasts; /* ms; older evidence says nothing */
	uint64_t silence;	 /* ms without an answer */
};

struct trust_verdict {
	enum trust_state state;
	bool reachable; /* also of one in quarantine: what runs there can be stopped */
	bool usable;	/* instances may be started there, those without keys at least */
	bool keys;
	bool quarantine; /* to be stored before anything else is done: see quarantined */
	const char *why; /* "" if trusted; for people */
};

struct trust_verdict trust_judge(const struct trust_evidence *evidence,
				 const struct trust_policy *policy, uint64_t now);
const char *trust_name(enum trust_state state);

#endif
