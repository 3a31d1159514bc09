/* SPDX-License-Identifier: Apache-2.0 */
#include "cpus.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

void cpus_add_all(struct cpus *cpus, const struct cpus *more)
{
	for (size_t i = 0; i < ARRAY_LEN(cpus->bits); i++)
		cpus->bits[i] |= more->bits[i];
}

void cpus_take_away(struct cpus *cpus, const struct cpus *less)
{
	for (size_t i = 0; i < ARRAY_LEN(cpus->bits); i++)
		cpus->bits[i] &= ~less->bits[i];
}

bool cpus_is_empty(const struct cpus *cpus)
{
	uint64_t any = 0;

	for (size_t i = 0; i < ARRAY_LEN(cpus->bits); i++)
		any |= cpus->bits[i];
	return !any;
}

/* Digits, of a number below CPUS_MAX. */
static bool take_number(const char **text, unsigned *number)
{
	const char *at = *text;

	*number = 0;
	while (isdigit((unsigned char)*at)) {
		*number = *number * 10 + (unsigned)(*at++ - '0');
		if (*number >= CPUS_MAX)
			return false;
	}
	if (at == *text)
		return false;
	*text = at;
	return true;
}

static bool take_range(const char **text, struct cpus *cpus)
{
	unsigned first, last;

	if (!take_number(text, &first))
		return false;
	last = first;
	if (**text == '-') {
		++*text;
		if (!take_number(text, &last) || last < first)
			return false;
	}
	for (unsigned cpu = first; cpu <= last; cpu++)
		cpus_add(cpus, cpu);
	return true;
}

int cpus_parse(struct cpus *cpus, const char *text)
{
	*cpus = (struct cpus){0};
	while (*text) {
		bool good = take_range(&text, cpus) && (!*text || (*text == ',' && text[1]));

		if (!good) {
			*cpus = (struct cpus){0};
			return -EINVAL;
		}
		text += *text == ',';
	}
	return 0;
}

void cpus_format(const struct cpus *cpus, char text[CPUS_TEXT_SIZE])
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned first = 0; first < CPUS_MAX; first++) {
		unsigned last = first;

		if (!cpus_has(cpus, first))
			continue;
		while (last + 1 < CPUS_MAX && cpus_has(cpus, last + 1))
			last++;
		used += (size_t)snprintf(text + used, CPUS_TEXT_SIZE - used, "%s%u",
					 used ? "," : "", first);
		if (last > first)
			used += (size_t)snprintf(text + used, CPUS_TEXT_SIZE - used, "-%u", last);
		first = last;
	}
}
