/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "fill.h"

/* As /proc/self/maps tells it: proc(5). */
void fill_lock_memory(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[4352]; /* a path of PATH_MAX and what stands before it */

	while (maps && fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "[heap]") || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		mlock2((void *)start, end - start, MLOCK_ONFAULT);
		madvise((void *)start, end - start, MADV_DONTDUMP);
	}
	if (maps)
		fclose(maps);
}
