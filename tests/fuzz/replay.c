/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without libFuzzer: each seed of the directories given, then a few thousand
 * mutations of the seeds from a fixed starting point, so that every run of the tests does the same.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_LIMIT 65536
#define MUTATIONS   3000
#define MAX_SEEDS   256

struct seed {
	uint8_t *bytes;
	size_t size;
};

static struct seed seeds[MAX_SEEDS];
static size_t seed_count;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void load_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct seed *seed = &seeds[seed_count];

	if (!file)
		return;
	seed->bytes = malloc(INPUT_LIMIT);
	seed->size = seed->bytes ? fread(seed->bytes, 1, INPUT_LIMIT, file) : 0;
	seed_count++;
	fclose(file);
}

static void load_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	char name[4096];

	while (directory && seed_count < MAX_SEEDS && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		load_file(name);
	}
	if (directory)
		closedir(directory);
}

static size_t mutate(const struct seed *seed, uint8_t *out, uint64_t *random)
{
	size_t size = seed->size;
	unsigned changes = 1 + next_random(random) % 8;

	memcpy(out, seed->bytes, size);
	while (changes-- && size) {
		size_t at = next_random(random) % size;

		switch (next_random(random) % 4) {
		case 0:
			out[at] ^= (uint8_t)(1u << (next_random(random) % 8));
			break;
		case 1:
			out[at] = (uint8_t)next_random(random);
			break;
		case 2:
			out[at] = next_random(random) & 1 ? 0xff : 0;
			break;
		default:
			size = at;
			break;
		}
	}
	return size;
}

int main(int argc, char **argv)
{
	static uint8_t input[INPUT_LIMIT];
	uint64_t random = UINT64_C(0x9e3779b97f4a7c15);

	for (int i = 1; i < argc; i++)
		load_directory(argv[i]);
	if (!seed_count) {
		fprintf(stderr, "replay: no seeds in the directories given\n");
		return 1;
	}
	for (size_t i = 0; i < seed_count; i++)
		LLVMFuzzerTestOneInput(seeds[i].bytes, seeds[i].size);
	for (unsigned i = 0; i < MUTATIONS; i++) {
		const struct seed *seed = &seeds[next_random(&random) % seed_count];
		size_t size = mutate(seed, input, &random);

		LLVMFuzzerTestOneInput(input, size);
	}
	printf("%zu seeds, %u mutations\n", seed_count, MUTATIONS);
	for (size_t i = 0; i < seed_count; i++)
		free(seeds[i].bytes);
	return 0;
}
