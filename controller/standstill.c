/* SPDX-License-Identifier: Apache-2.0 */
#include "standstill.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "fleet.h"
#include "programs.h"
#include "quarantine.h"

#define PAUSE	      NS_PER_S
#define IDLE_PAUSE_MS 1000

/* Those that look, and those that end something. */
static const char *const allowed[] = {"host",  "evidence", "list", "status", "events",
				      "audit", "release",  "stop", "kill"};

void standstill_begin(struct standstill *standstill, const struct error *why)
{
	*standstill = (struct standstill){.is_on = true, .marked = true};
	snprintf(standstill->why, sizeof(standstill->why), "%s", why->text);
}

static bool is_marked(char text[QUARANTINE_TEXT_MAX])
{
	struct error error = {0};

	/* A state that cannot be read says nothing of the end of anything. */
	if (quarantine_read(programs_state(), text, QUARANTINE_TEXT_MAX, &error) < 0)
		snprintf(text, QUARANTINE_TEXT_MAX, "%s", error.text);
	return text[0];
}

void standstill_go_on(struct fleet *fleet)
{
	char text[QUARANTINE_TEXT_MAX];
	struct error why = {0};

	if (fleet->adopted || !is_marked(text))
		return;
	error_set(&why, EPERM, "quarantine %s", text);
	standstill_begin(&fleet->standstill, &why);
}

int standstill_check(const struct fleet *fleet, const struct control_verb *verb,
		     struct error *error)
{
	char text[QUARANTINE_TEXT_MAX];

	if (!fleet->standstill.is_on)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		if (!strcmp(allowed[i], verb->name))
			return 0;
	}
	if (is_marked(text))
		return error_set(error, EPERM, "quarantine %s; nothing starts until it is released",
				 text);
	return error_set(error, EPERM, "nothing starts: %s", fleet->standstill.why);
}

int standstill_end(struct fleet *fleet, struct error *error)
{
	struct standstill *standstill = &fleet->standstill;
	struct programs_host host;
	char text[QUARANTINE_TEXT_MAX];
	int ret = programs_verify(&host, error);

	if (ret < 0) {
		snprintf(standstill->why, sizeof(standstill->why), "%s", error->text);
		standstill->marked = is_marked(text);
		fprintf(stderr, "karuta-controller: %s\n", error->text);
		return ret;
	}
	fprintf(stderr, "karuta-controller: the quarantine is over\n");
	*standstill = (struct standstill){0};
	fleet_attest_wrapping(fleet);
	fleet_resume(fleet);
	return 0;
}

int standstill_turn(struct fleet *fleet)
{
	struct standstill *standstill = &fleet->standstill;
	uint64_t now = os_now();
	char text[QUARANTINE_TEXT_MAX];
	struct error error = {0};
	bool was_marked = standstill->marked;

	if (!standstill->is_on || now < standstill->next)
		return IDLE_PAUSE_MS;
	standstill->next = now + PAUSE;
	standstill->marked = is_marked(text);
	/* Once: what else keeps the host from starting is not found again each second. */
	if (was_marked && !standstill->marked)
		standstill_end(fleet, &error);
	return IDLE_PAUSE_MS;
}
