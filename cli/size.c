/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "size.h"

static const char suffixes[] = "KMGT";

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
