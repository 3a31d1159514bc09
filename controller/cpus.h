/* SPDX-License-Identifier: Apache-2.0 */
/* A set of processors, and how the kernel writes one: "0-3,8" (cpuset(7), list format). */
#ifndef KARUTA_CONTROLLER_CPUS_H
#define KARUTA_CONTROLLER_CPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPUS_MAX       1024u
#define CPUS_TEXT_SIZE 4096u /* every second one of them */

struct cpus {
	uint64_t bits[CPUS_MAX / 64];
};

static inline bool cpus_has(const struct cpus *cpus, unsigned cpu)
{
	return cpus->bits[cpu / 64] >> cpu % 64 & 1;
}

static inline void cpus_add(struct cpus *cpus, unsigned cpu)
{
	cpus->bits[cpu / 64] |= UINT64_C(1) << cpu % 64;
}

void cpus_add_all(struct cpus *cpus, const struct cpus *more);
void cpus_take_away(struct cpus *cpus, const struct cpus *less);
bool cpus_is_empty(const struct cpus *cpus);

/* An empty text is an empty set. -EINVAL: it is no list, or names a processor that is out of range;
 * the set is empty then. */
int cpus_parse(struct cpus *cpus, const char *text);
void cpus_format(const struct cpus *cpus, char text[CPUS_TEXT_SIZE]);

#endif
