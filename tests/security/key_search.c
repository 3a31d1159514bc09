/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds the keys of a process? Not told by the process: AES-256 key schedules are found in its
 * memory by the relation between their words (FIPS 197, 5.2), as one finds them in a dump. The
 * first 32 bytes of a schedule are the key, and those bytes are then looked for in all of the
 * process's memory, in that of all other processes, and in files.
 *
 *	karuta-key-search PID [FILE]...
 *
 * Prints "key N", then for each place where one is: "self MAPPING FLAGS" (of /proc/PID/smaps: lo
 * locked, dd not dumped), "process PID NAME MAPPING", or "file PATH". 0, or 77: no schedule in the
 * form in which processors with AES instructions use it.
 */
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "os/fd.h"

#define KEY	 32u
#define SCHEDULE 240u
#define CHUNK	 ((size_t)1 << 20)
#define OVERLAP	 SCHEDULE
#define PAGE	 4096u
#define MAX_KEYS 16u

static uint8_t substitute[256];
static uint8_t keys[MAX_KEYS][KEY];
static unsigned key_count;
static uint8_t chunk[CHUNK + OVERLAP];

/* ---- AES ---- */

static uint8_t multiply(uint8_t a, uint8_t b)
{
	uint8_t product = 0;

	for (; b; b >>= 1) {
		if (b & 1)
			product ^= a;
		a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0));
	}
	return product;
}

/* FIPS 197, 5.1.1: the inverse in GF(2^8), then an affine map. */
static void make_substitute(void)
{
	for (unsigned i = 0; i < 256; i++) {
		unsigned inverse = 0;

		while (i && multiply((uint8_t)i, (uint8_t)inverse) != 1)
			inverse++;
		substitute[i] = 0x63;
		for (unsigned turn = 0; turn < 5; turn++)
			substitute[i] ^= (uint8_t)(inverse << turn | inverse >> (8 - turn));
	}
}

static bool is_schedule(const uint8_t *at)
{
	uint8_t constant = 1;

	for (unsigned i = 8; i < 60; i++) {
		const uint8_t *before = at + 4 * (i - 1), *ago = at + 4 * (i - 8);
		uint8_t word[4] = {before[0], before[1], before[2], before[3]};

		if (i % 8 == 0) {
			for (unsigned j = 0; j < 4; j++)
				word[j] = substitute[before[(j + 1) % 4]];
			word[0] ^= constant;
			constant = multiply(constant, 2);
		} else if (i % 8 == 4) {
			for (unsigned j = 0; j < 4; j++)
				word[j] = substitute[before[j]];
		}
		for (unsigned j = 0; j < 4; j++)
			if (at[4 * i + j] != (word[j] ^ ago[j]))
				return false;
	}
	return true;
}

/* ---- what is done with each chunk ---- */

typedef bool (*look_fn)(const uint8_t *bytes, size_t length);

static bool collect(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i + SCHEDULE <= length; i += 4) {
		bool known = false;

		if (key_count == MAX_KEYS || !is_schedule(bytes + i))
			continue;
		for (unsigned k = 0; k < key_count; k++)
			known |= !memcmp(keys[k], bytes + i, KEY);
		if (!known)
			memcpy(keys[key_count++], bytes + i, KEY);
	}
	return false;
}

static bool holds_a_key(const uint8_t *bytes, size_t length)
{
	for (unsigned k = 0; k < key_count; k++)
		if (length >= KEY && memmem(bytes, length, keys[k], KEY))
			return true;
	return false;
}

/* Chunks overlap by what is looked for. */
static bool look_through(int fd, uint64_t at, uint64_t end, look_fn look)
{
	size_t kept = 0;

	while (at < end) {
		size_t wanted = (size_t)min_u64(CHUNK, end - at);
		ssize_t got = pread(fd, chunk + kept, wanted, (off_t)at);

		if (got <= 0) { /* it has gone meanwhile */
			at = align_up(at + 1, PAGE);
			kept = 0;
			continue;
		}
		if (look(chunk, kept + (size_t)got))
			return true;
		at += (uint64_t)got;
		kept += (size_t)got;
		if (kept > OVERLAP) {
			memmove(chunk, chunk + kept - OVERLAP, OVERLAP);
			kept = OVERLAP;
		}
	}
	return false;
}

/* ---- processes ---- */

struct mapping {
	unsigned long start, end;
	char name[128];
	bool hit;
};

static bool parse_mapping(const char *line, struct mapping *mapping)
{
	struct mapping found = {.name = "anonymous"};

	if (sscanf(line, "%lx-%lx %*4s %*x %*x:%*x %*u %127[^\n]", &found.start, &found.end,
		   found.name) < 2)
		return false;
	*mapping = found;
	return true;
}

static FILE *open_of(const char *pid, const char *what)
{
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, what);
	return fopen(path, "re");
}

#define PAGES	      4096u		  /* asked about at once */
#define RESERVED      (UINT64_C(1) << 40) /* so much is address space, not memory */
#define PAGE_IS_THERE (UINT64_C(3) << 62) /* in memory or in swap: proc(5), pagemap */

static int open_descriptor(const char *pid, const char *what)
{
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, what);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* What the process has never touched is not read: that would bring it into memory. */
static bool in_pages(int memory, const uint64_t *pages, size_t count, uint64_t at, look_fn look)
{
	for (size_t i = 0, end; i < count; i = end + 1) {
		for (end = i; end < count && pages[end] & PAGE_IS_THERE; end++)
			;
		if (end > i && look_through(memory, at + i * PAGE, at + end * PAGE, look))
			return true;
	}
	return false;
}

static bool in_mapping(const char *pid, const struct mapping *mapping, look_fn look)
{
	static uint64_t pages[PAGES];
	CLEANUP_CLOSE int memory = open_descriptor(pid, "mem");
	CLEANUP_CLOSE int map = open_descriptor(pid, "pagemap");
	bool hit = false;

	if (mapping->end - mapping->start >= RESERVED || memory < 0 || map < 0)
		return false;
	for (uint64_t at = mapping->start; at < mapping->end && !hit; at += PAGES * PAGE) {
		size_t count = (size_t)min_u64(PAGES, (mapping->end - at) / PAGE);

		if (os_pread_all(map, pages, count * sizeof(*pages), at / PAGE * sizeof(*pages)))
			return false;
		hit = in_pages(memory, pages, count, at, look);
	}
	return hit;
}

/* The flags of a mapping come last in its entry. */
static void look_at_self(const char *pid, look_fn look)
{
	FILE *maps = open_of(pid, "smaps");
	struct mapping mapping = {0};
	char line[4352];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (parse_mapping(line, &mapping))
			mapping.hit = in_mapping(pid, &mapping, look);
		if (mapping.hit && !strncmp(line, "VmFlags:", 8))
			printf("self %s %s", mapping.name, line + 9);
	}
	if (maps)
		fclose(maps);
}

static void look_at_other(const char *pid)
{
	FILE *maps = open_of(pid, "maps"), *name = open_of(pid, "comm");
	struct mapping mapping;
	char line[4352], command[64] = "";

	if (name && fgets(command, sizeof(command), name))
		command[strcspn(command, "\n")] = '\0';
	while (maps && fgets(line, sizeof(line), maps))
		if (parse_mapping(line, &mapping) && in_mapping(pid, &mapping, holds_a_key))
			printf("process %s %s %s\n", pid, command, mapping.name);
	if (name)
		fclose(name);
	if (maps)
		fclose(maps);
}

static void look_at_others(const char *self)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;

	while (processes && (entry = readdir(processes))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    !strcmp(entry->d_name, self) || atoi(entry->d_name) == getpid())
			continue;
		look_at_other(entry->d_name);
	}
	if (processes)
		closedir(processes);
}

static void look_at_file(const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

	if (end > 0 && look_through(fd, 0, (uint64_t)end, holds_a_key))
		printf("file %s\n", path);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	make_substitute();
	look_at_self(argv[1], collect);
	for (unsigned k = 0; k < key_count; k++)
		printf("key %u\n", k);
	if (!key_count) {
		puts("no key schedule is to be seen in the process");
		return 77;
	}
	look_at_self(argv[1], holds_a_key);
	look_at_others(argv[1]);
	for (int i = 2; i < argc; i++)
		look_at_file(argv[i]);
	return 0;
}
