/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "size.h"

static const char suffixes[] = "KMGT";

static int scale(const char *suffix, uint64_t *bytes)
{
	const char *known = *suffix ? strchr(suffixes, *suffix) : NULL;
	unsigned shift = known ? 10 * ((unsigned)(known - suffixes) + 1) : 0;

	if (*suffix && (!known || suffix[1]))
		return -EINVAL;
	if (*bytes > (uint64_t)INT64_MAX >> shift)
		return -ERANGE;
	*bytes <<= shift;
	return 0;
}

int size_parse(const char *text, uint64_t *bytes)
{
	uint64_t value = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return -ERANGE;
	}
	if (at == text)
		return -EINVAL;
	*bytes = value;
	return scale(at, bytes);
}

const char *size_format(char text[SIZE_TEXT], uint64_t bytes)
{
	unsigned shift = 0;

	while (shift < 40 && bytes >> shift >= 1024)
		shift += 10;
	if (!shift)
		snprintf(text, SIZE_TEXT, "%u bytes", (unsigned)bytes);
	else if (bytes & (((uint64_t)1 << shift) - 1))
		snprintf(text, SIZE_TEXT, "%.1f %ciB", (double)bytes / (double)(1ull << shift),
			 suffixes[shift / 10 - 1]);
	else
		snprintf(text, SIZE_TEXT, "%llu %ciB", (unsigned long long)(bytes >> shift),
			 suffixes[shift / 10 - 1]);
	return text;
}
