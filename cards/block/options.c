/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/size.h"
#include "limiter.h"
#include "options.h"

#define DEFAULT_SECTOR 4096u

int block_option_fd(const char *name, const char *text, int *fd, struct error *error)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || value > INT_MAX ||
	    value <= STDERR_FILENO || fcntl((int)value, F_SETFD, FD_CLOEXEC) < 0)
		return error_set(error, EBADF,
				 "--%s %s: no such descriptor was handed to the program", name,
				 text);
	*fd = (int)value;
	return 0;
}

static int parse_store(struct block_options *options, const char *text, struct error *error)
{
	options->store = text;
	if (!strncmp(text, "fd:", 3)) {
		options->where = BLOCK_FD;
		return block_option_fd("store fd:", text + 3, &options->fd, error);
	}
	if (!strncmp(text, "file:", 5) && text[5]) {
		options->where = BLOCK_PATH;
		options->path = text + 5;
		return 0;
	}
	if (!strcmp(text, "ram:")) {
		options->where = BLOCK_RAM;
		return 0;
	}
	return error_set(error, EINVAL, "--store %s: should be file:PATH, fd:N or ram:", text);
}

static int parse_size(const char *text, uint64_t *size, struct error *error)
{
	if (size_parse(text, size) < 0)
		return error_set(
			error, EINVAL,
			"--size %s: should be a number with K, M, G, T or nothing after it", text);
	if (!*size || *size % STORE_BLOCK)
		return error_set(error, EINVAL, "--size %s: should be a multiple of %u, above 0",
				 text, STORE_BLOCK);
	return 0;
}

static int parse_sector(const char *text, uint32_t *sector, struct error *error)
{
	if (!strcmp(text, "512"))
		*sector = 512;
	else if (!strcmp(text, "4096"))
		*sector = 4096;
	else
		return error_set(error, EINVAL, "--sector %s: should be 512 or 4096", text);
	return 0;
}

/* NVMe Base 2.0, 1.5: ASCII strings hold 20h to 7Eh only. */
static int parse_serial(const char *text, const char **serial, struct error *error)
{
	size_t length = strlen(text);
	bool fits = length && length <= sizeof(((struct nvme_setup *)0)->serial);

	for (size_t i = 0; i < length; i++)
		fits &= text[i] >= (i ? 0x20 : 0x21) && text[i] <= 0x7e;
	if (!fits)
		return error_set(error, EINVAL,
				 "--serial %s: should be 1 to 20 printable ASCII characters", text);
	*serial = text;
	return 0;
}

static int parse_limit(const char *name, const char *text, bool sizes, struct limiter_rate *rate,
		       struct error *error)
{
	int err = limiter_parse(text, sizes, rate, error);

	if (err)
		error_prefix(error, "--%s", name);
	return err;
}

int block_option_take(struct block_options *options, const char *name, const char *argument,
		      struct error *error)
{
	if (!strcmp(name, "store"))
		return parse_store(options, argument, error);
	if (!strcmp(name, "size"))
		return parse_size(argument, &options->size, error);
	if (!strcmp(name, "sector"))
		return parse_sector(argument, &options->sector, error);
	if (!strcmp(name, "serial"))
		return parse_serial(argument, &options->serial, error);
	if (!strcmp(name, "iops"))
		return parse_limit(name, argument, false, &options->limits.operations, error);
	if (!strcmp(name, "bandwidth"))
		return parse_limit(name, argument, true, &options->limits.bytes, error);
	options->direct = true;
	return 0;
}

uint32_t block_options_sector(const struct block_options *options)
{
	return options->sector ? options->sector : DEFAULT_SECTOR;
}

/* FNV-1a, with a finish that carries every byte into every bit. */
static uint64_t hash(uint64_t seed, const char *text, size_t length)
{
	uint64_t value = seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < length; i++)
		value = (value ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	value = (value ^ (value >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	return value ^ (value >> 32);
}

/* Identify's texts are padded with spaces (NVMe Base 2.0, 1.5). */
static void pad(char *field, size_t size, const char *text)
{
	size_t length = strnlen(text, size);

	memset(field, ' ', size);
	memcpy(field, text, length);
}

/* The namespace's identifier comes from the serial number: one disk, one number, on any host. */
void block_options_name(const struct block_options *options, const char *model,
			struct nvme_setup *setup)
{
	char made[17];
	uint64_t halves[2];

	snprintf(made, sizeof(made), "%016llx", (unsigned long long)options->identity);
	pad(setup->serial, sizeof(setup->serial), options->serial ? options->serial : made);
	pad(setup->model, sizeof(setup->model), model);
	pad(setup->firmware, sizeof(setup->firmware), KARUTA_VERSION);
	halves[0] = hash(1, setup->serial, sizeof(setup->serial));
	halves[1] = hash(2, setup->serial, sizeof(setup->serial));
	memcpy(setup->nguid, halves, sizeof(setup->nguid));
}
