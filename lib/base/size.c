/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "size.h"

static const char suffixes[] = "KMGT";

int size_take(const char **text, bool units, uint64_t *value)
{
	const char *start = *text;
	const char *known;
	unsigned shift = 0;
	uint64_t number = 0;
	bool fits = true;

	for (; **text >= '0' && **text <= '9'; ++*text) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(**text - '0'), &number))
			fits = false;
	}
	if (*text == start)
		return -EINVAL;
	known = units && **text ? strchr(suffixes, **text) : NULL;
	if (known) {
		shift = 10 * ((unsigned)(known - suffixes) + 1);
		++*text;
	}
	if (!fits || number > (uint64_t)INT64_MAX >> shift)
		return -ERANGE;
	*value = number << shift;
	return 0;
}

int size_parse(const char *text, uint64_t *bytes)
{
	uint64_t value;
	int ret = size_take(&text, true, &value);

	if (ret == -EINVAL || *text)
		return -EINVAL;
	if (!ret)
		*bytes = value;
	return ret;
}
