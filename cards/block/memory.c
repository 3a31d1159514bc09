/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the process as /proc/self/smaps tells it: proc(5). Nothing that is done here
 * is needed for the card to be right, so what is not possible is left.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "options.h"

#define THP_EXCEPT_ADVISED 2ul /* PR_THP_DISABLE_EXCEPT_ADVISED, Linux 6.18 */

struct mapping {
	unsigned long start, end, inode;
	unsigned long changed_kib; /* copies of our own, in memory or already in swap */
	char access[5];
	bool heap;
};

static bool parse_header(const char *line, struct mapping *mapping)
{
	struct mapping found = {.heap = strstr(line, "[heap]")};

	if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu", &found.start, &found.end, found.access,
		   &found.inode) != 4)
		return false;
	*mapping = found;
	return true;
}

/*
 * The heap stays out of dumps, and out of swap where the limit on locked memory allows it. Not
 * mlockall(2): a locked stack cannot grow beyond the limit.
 *
 * Of programs and libraries, what was never changed in memory is dropped: it comes back from the
 * file when it is used. Relocating and initialising libcrypto touches some megabytes of it, serving
 * requests a few pages.
 */
static void settle(const struct mapping *mapping)
{
	void *start = (void *)mapping->start;
	size_t size = mapping->end - mapping->start;

	if (mapping->heap) {
		mlock2(start, size, MLOCK_ONFAULT);
		madvise(start, size, MADV_DONTDUMP);
	} else if (mapping->inode && mapping->access[1] == '-' && mapping->access[3] == 'p' &&
		   !mapping->changed_kib) {
		madvise(start, size, MADV_DONTNEED);
	}
}

/*
 * No huge pages: the first touch of a buffer of which a page is used would take 2 MiB. Guest memory
 * is mapped by small pages too, then; it is only copied or encrypted, a page at a time. The RAM
 * store asks for them; a kernel before 6.18 does not know this difference.
 */
static void stay_small(void)
{
	if (prctl(PR_SET_THP_DISABLE, 1, THP_EXCEPT_ADVISED, 0, 0) < 0)
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

void block_memory_settle(void)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	struct mapping mapping = {0};
	unsigned long kib;
	char line[4352]; /* a path of PATH_MAX and what stands before it */

	stay_small();
	while (maps && fgets(line, sizeof(line), maps)) {
		if (parse_header(line, &mapping))
			continue;
		if (sscanf(line, "Anonymous: %lu kB", &kib) == 1)
			mapping.changed_kib += kib;
		if (sscanf(line, "Swap: %lu kB", &kib) == 1) {
			mapping.changed_kib += kib;
			settle(&mapping);
		}
	}
	if (maps)
		fclose(maps);
}
