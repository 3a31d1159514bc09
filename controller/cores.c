/* SPDX-License-Identifier: Apache-2.0 */
#include "cores.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "os/fd.h"

#define NONE UINT32_MAX

/* ---- what there is ---- */

static int read_cpus(int folder, const char *file, struct cpus *cpus)
{
	char text[CPUS_TEXT_SIZE];
	int ret = os_read_text(folder, file, text, sizeof(text));

	return ret < 0 ? ret : cpus_parse(cpus, text);
}

/* All of `siblings` are of one core with `cpu`, and so is who was said to be of one with them. */
static void join(struct cores *cores, unsigned cpu, const struct cpus *siblings)
{
	for (unsigned other = 0; other < CPUS_MAX; other++) {
		unsigned low, high;

		if (!cpus_has(siblings, other) || !cpus_has(&cores->online, other))
			continue;
		low = (unsigned)min_u64(cores->core[cpu], cores->core[other]);
		high = (unsigned)max_u64(cores->core[cpu], cores->core[other]);
		for (unsigned i = 0; low != high && i < CPUS_MAX; i++) {
			if (cores->core[i] == high)
				cores->core[i] = (uint16_t)low;
		}
	}
}

static void read_cpu(struct cores *cores, int folder, unsigned cpu)
{
	char file[64], text[32];
	struct cpus siblings;

	/* Linux before 5.3 has the second name only. */
	snprintf(file, sizeof(file), "cpu%u/topology/core_cpus_list", cpu);
	if (read_cpus(folder, file, &siblings) == -ENOENT) {
		snprintf(file, sizeof(file), "cpu%u/topology/thread_siblings_list", cpu);
		if (read_cpus(folder, file, &siblings) < 0)
			siblings = (struct cpus){0};
	}
	join(cores, cpu, &siblings);
	snprintf(file, sizeof(file), "cpu%u/topology/physical_package_id", cpu);
	if (os_read_text(folder, file, text, sizeof(text)) == 0)
		cores->package[cpu] = (uint16_t)strtoul(text, NULL, 10);
}

int cores_read(struct cores *cores, const char *folder, struct error *error)
{
	CLEANUP_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : 0;

	*cores = (struct cores){0};
	if (ret == 0)
		ret = read_cpus(fd, "online", &cores->online);
	if (ret == 0 && cpus_is_empty(&cores->online))
		ret = -EINVAL;
	if (ret < 0)
		return error_set(error, -ret, "processors: %s/online: %s", folder, strerror(-ret));
	for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++)
		cores->core[cpu] = (uint16_t)cpu;
	for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++) {
		if (cpus_has(&cores->online, cpu))
			read_cpu(cores, fd, cpu);
	}
	return 0;
}

/* ---- which of them ---- */

/* By the number of its first processor: a core, and whether none of its processors is taken. */
static bool is_core(const struct cores *cores, unsigned cpu)
{
	return cpus_has(&cores->online, cpu) && cores->core[cpu] == cpu;
}

static bool is_free(const struct cores *cores, const struct cpus *taken, unsigned core)
{
	if (!is_core(cores, core))
		return false;
	for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++) {
		if (cores->core[cpu] == core && cpus_has(taken, cpu))
			return false;
	}
	return true;
}

/* `package` NONE: of all. */
static unsigned count_free(const struct cores *cores, const struct cpus *free, unsigned package)
{
	unsigned count = 0;

	for (unsigned core = 0; core < CPUS_MAX; core++)
		count += cpus_has(free, core) &&
			 (package == NONE || cores->package[core] == package);
	return count;
}

/* The package to take the next ones from: the fullest that has all of them, or else the emptiest.
 */
static unsigned best_package(const struct cores *cores, const struct cpus *free, unsigned wanted)
{
	unsigned best = NONE, best_count = 0;

	for (unsigned core = 0; core < CPUS_MAX; core++) {
		unsigned count;
		bool better;

		if (!cpus_has(free, core))
			continue;
		count = count_free(cores, free, cores->package[core]);
		if (count >= wanted)
			better = best_count < wanted || count <= best_count;
		else
			better = count >= best_count && best_count < wanted;
		if (best == NONE || better) {
			best = cores->package[core];
			best_count = count;
		}
	}
	return best;
}

static void take(const struct cores *cores, struct cpus *free, unsigned core, struct cpus *chosen)
{
	free->bits[core / 64] &= ~(UINT64_C(1) << core % 64);
	for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++) {
		if (cores->core[cpu] == core && cpus_has(&cores->online, cpu))
			cpus_add(chosen, cpu);
	}
}

static unsigned take_from(const struct cores *cores, struct cpus *free, unsigned package,
			  unsigned wanted, struct cpus *chosen)
{
	unsigned count = 0;

	for (unsigned core = CPUS_MAX; core-- && count < wanted;) {
		if (!cpus_has(free, core) || cores->package[core] != package)
			continue;
		take(cores, free, core, chosen);
		count++;
	}
	return count;
}

int cores_choose(const struct cores *cores, const struct cpus *taken, unsigned wanted,
		 struct cpus *chosen, struct error *error)
{
	struct cpus free = {0}; /* by their first processors */
	unsigned total = 0, spare;

	for (unsigned core = 0; core < CPUS_MAX; core++) {
		total += is_core(cores, core);
		if (is_free(cores, taken, core))
			cpus_add(&free, core);
	}
	spare = count_free(cores, &free, NONE);
	spare -= spare > 0;
	if (wanted > spare)
		return error_set(error, EBUSY,
				 "%u whole core%s wanted, %u of %u %s free: one always stays for "
				 "everybody else; ask for fewer, or end another instance that has "
				 "some",
				 wanted, wanted == 1 ? " is" : "s are", spare, total,
				 spare == 1 ? "is" : "are");
	*chosen = (struct cpus){0};
	while (wanted)
		wanted -=
			take_from(cores, &free, best_package(cores, &free, wanted), wanted, chosen);
	return 0;
}
