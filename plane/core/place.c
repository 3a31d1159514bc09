/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

#define SLOTS	31u
#define SHARES	65536u /* a whole, in shares of use */
#define REASONS 16u    /* kinds of unusable hosts that are told apart */

enum lack {
	LACK_LABEL,
	LACK_MEMORY,
	LACK_CPUS,
	LACK_CORES,
	LACK_ROOM,
	LACK_KINDS,
};

/* Why nothing fits, over all hosts. */
struct tally {
	size_t hosts;
	const char *why_not[REASONS];
	size_t unusable[REASONS];
	size_t reasons;
	size_t lacking[LACK_KINDS];
	const struct place_label *label; /* one that is missing */
	uint64_t memory;		 /* the most that is free where it is too little, ... */
	uint64_t cpus, cores;
};

/* ---- what a host has left ---- */

static uint64_t left(uint64_t all, uint64_t used)
{
	return all > used ? all - used : 0;
}

static unsigned threads(const struct place_host *host)
{
	return host->cores && host->cpus > host->cores ? host->cpus / host->cores : 1;
}

static uint64_t shared_cpus(const struct place_host *host, uint64_t cores_used)
{
	uint64_t shared = left(host->cpus, cores_used * threads(host));

	return shared * (host->overcommit ? host->overcommit : 1);
}

static uint64_t cpus_left(const struct place_host *host)
{
	return left(shared_cpus(host, host->cores_used), host->cpus_used);
}

static uint64_t cores_wanted(const struct place_host *host, const struct place_want *want)
{
	return ((uint64_t)want->cpus + threads(host) - 1) / threads(host);
}

/* One always stays for everybody else, as the host has it too, and as many as those that share have
 * been promised. */
static uint64_t cores_left(const struct place_host *host)
{
	uint64_t free = left(left(host->cores, 1), host->cores_used);

	while (free && shared_cpus(host, host->cores_used + free) < host->cpus_used)
		free--;
	return free;
}

static const struct place_label *missing_label(const struct place_host *host,
					       const struct place_want *want)
{
	for (size_t i = 0; i < want->label_count && i < PLACE_LABELS; i++) {
		const struct place_label *label = &want->labels[i];
		bool found = false;

		for (size_t j = 0; j < host->label_count && j < PLACE_LABELS; j++)
			found |= !strcmp(label->name, host->labels[j].name) &&
				 !strcmp(label->value, host->labels[j].value);
		if (!found)
			return label;
	}
	return NULL;
}

/* A bit for each that it has too little of. */
static unsigned lacks(const struct place_host *host, const struct place_want *want)
{
	unsigned bits = 0;

	if (missing_label(host, want))
		bits |= 1u << LACK_LABEL;
	if (left(host->memory, host->memory_used) < want->memory)
		bits |= 1u << LACK_MEMORY;
	if (!want->whole_cores && cpus_left(host) < want->cpus)
		bits |= 1u << LACK_CPUS;
	if (want->whole_cores && cores_left(host) < cores_wanted(host, want))
		bits |= 1u << LACK_CORES;
	/* A volume takes no instance's place. */
	if (want->memory && host->instances >= host->instances_most)
		bits |= 1u << LACK_ROOM;
	return bits;
}

/* ---- which of those that fit ---- */

static uint64_t share(uint64_t used, uint64_t all)
{
	if (!all)
		return SHARES;
	return used < UINT64_MAX / SHARES ? used * SHARES / all : used / (all / SHARES + 1);
}

/* Of what would be scarcest if it were there. */
static uint64_t use_with(const struct place_host *host, const struct place_want *want)
{
	uint64_t cores = host->cores_used + (want->whole_cores ? cores_wanted(host, want) : 0);
	uint64_t cpus = host->cpus_used + (want->whole_cores ? 0 : (uint64_t)want->cpus);
	uint64_t most = share(host->memory_used + want->memory, host->memory);

	most = max_u64(most, share(cpus, shared_cpus(host, cores)));
	return cores ? max_u64(most, share(cores, host->cores)) : most;
}

static bool is_better(const struct place_host *host, const struct place_host *best,
		      const struct place_want *want)
{
	uint64_t use = use_with(host, want), least = use_with(best, want);

	if (use != least)
		return use < least;
	if (host->instances != best->instances)
		return host->instances < best->instances;
	return strcmp(host->name, best->name) < 0;
}

/* ---- why none does ---- */

static void count_unusable(struct tally *tally, const char *why_not)
{
	const char *why = why_not ? why_not : "not usable";
	size_t i = 0;

	while (i < tally->reasons && strcmp(tally->why_not[i], why) != 0)
		i++;
	if (i == REASONS)
		i--;
	if (i == tally->reasons)
		tally->why_not[tally->reasons++] = why;
	tally->unusable[i]++;
}

static void count_lacks(struct tally *tally, const struct place_host *host,
			const struct place_want *want, unsigned bits)
{
	for (unsigned kind = 0; kind < LACK_KINDS; kind++)
		tally->lacking[kind] += bits >> kind & 1u;
	if (bits & 1u << LACK_LABEL)
		tally->label = missing_label(host, want);
	if (bits & 1u << LACK_MEMORY)
		tally->memory = max_u64(tally->memory, left(host->memory, host->memory_used));
	if (bits & 1u << LACK_CPUS)
		tally->cpus = max_u64(tally->cpus, cpus_left(host));
	if (bits & 1u << LACK_CORES)
		tally->cores = max_u64(tally->cores, cores_left(host));
}

struct text {
	char *at;
	size_t left;
	bool begun;
};

static __attribute__((format(printf, 2, 3))) void say(struct text *text, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text->at, text->left, format, args);
	va_end(args);
	if (length < 0 || !text->left)
		return;
	length = (size_t)length < text->left ? length : (int)text->left - 1;
	text->at += length;
	text->left -= (size_t)length;
}

/* "2 lack", "1 is": the front of a reason. */
static void say_hosts(struct text *text, size_t count, const char *one, const char *many)
{
	say(text, "%s%zu %s", text->begun ? ", " : "", count, count == 1 ? one : many);
	text->begun = true;
}

static void say_size(struct text *text, uint64_t bytes)
{
	uint64_t unit = bytes >= GIB ? GIB : MIB;

	say(text, "%llu.%llu %s", (unsigned long long)(bytes / unit),
	    (unsigned long long)(bytes % unit * 10 / unit), unit == GIB ? "GiB" : "MiB");
}

static void say_memory(struct text *text, const struct tally *tally, const struct place_want *want)
{
	say(text, " memory (");
	say_size(text, want->memory);
	say(text, " wanted, at most ");
	say_size(text, tally->memory);
	say(text, " free)");
}

static void say_lack(struct text *text, const struct tally *tally, const struct place_want *want,
		     enum lack kind)
{
	if (kind == LACK_ROOM) {
		say_hosts(text, tally->lacking[kind], "has", "have");
		say(text, " no room for another instance");
		return;
	}
	say_hosts(text, tally->lacking[kind], "lacks", "lack");
	if (kind == LACK_LABEL)
		say(text, " the label %s=%s", tally->label->name, tally->label->value);
	else if (kind == LACK_MEMORY)
		say_memory(text, tally, want);
	else if (kind == LACK_CPUS)
		say(text, " processors (%u wanted, at most %llu free)", want->cpus,
		    (unsigned long long)tally->cpus);
	else
		say(text, " whole cores (for %u processors, at most %llu free)", want->cpus,
		    (unsigned long long)tally->cores);
}

static void explain(const struct tally *tally, const struct place_want *want, char *why,
		    size_t size)
{
	struct text text = {.at = why, .left = size};

	if (want->host && !tally->hosts)
		say(&text, "there is no host %s", want->host);
	else if (want->host)
		say(&text, "host %s: ", want->host);
	else if (!tally->hosts)
		say(&text, "there are no hosts");
	else
		say(&text, "%zu host%s: ", tally->hosts, tally->hosts == 1 ? "" : "s");
	for (unsigned kind = 0; kind < LACK_KINDS; kind++) {
		if (tally->lacking[kind])
			say_lack(&text, tally, want, (enum lack)kind);
	}
	for (size_t i = 0; i < tally->reasons; i++) {
		say_hosts(&text, tally->unusable[i], "is", "are");
		say(&text, " %s", tally->why_not[i]);
	}
}

int place_choose(const struct place_host *hosts, size_t count, const struct place_want *want,
		 char *why, size_t why_size)
{
	struct tally tally = {0};
	int best = -1;

	if (why_size)
		why[0] = '\0';
	if (want->slots > SLOTS) {
		snprintf(why, why_size, "%u cards are wanted, and an instance has %u slots",
			 want->slots, SLOTS);
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		const struct place_host *host = &hosts[i];
		unsigned bits = lacks(host, want);

		if (want->host && strcmp(want->host, host->name) != 0)
			continue;
		tally.hosts++;
		if (!host->usable)
			count_unusable(&tally, host->why_not);
		else if (bits)
			count_lacks(&tally, host, want, bits);
		else if (best < 0 || is_better(host, &hosts[best], want))
			best = (int)i;
	}
	if (best < 0)
		explain(&tally, want, why, why_size);
	return best;
}
