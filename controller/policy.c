/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <string.h>

#include "base/base.h"

static const char *const names[] = {
	[POLICY_ON_FAILURE] = "on-failure",
	[POLICY_NEVER] = "never",
	[POLICY_ALWAYS] = "always",
};

bool policy_parse(const char *text, enum policy *policy)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(text, names[i])) {
			*policy = (enum policy)i;
			return true;
		}
	}
	return false;
}

const char *policy_name(enum policy policy)
{
	return names[policy];
}

bool policy_wants(enum policy policy, bool failed)
{
	return policy == POLICY_ALWAYS || (policy == POLICY_ON_FAILURE && failed);
}

bool restarts_add(struct restarts *restarts, uint64_t now, uint64_t *when)
{
	unsigned known = (unsigned)min_u64(restarts->count, POLICY_RESTARTS), recent = 0;

	for (unsigned i = 0; i < known; i++)
		recent += now - restarts->at[i] < POLICY_WINDOW;
	if (recent == POLICY_RESTARTS)
		return false;
	*when = now + (POLICY_PAUSE << recent);
	restarts->at[restarts->count++ % POLICY_RESTARTS] = now;
	return true;
}
