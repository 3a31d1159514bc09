/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta-fill encrypts an image into a volume that is a hole so far, and ends. It is given three
 * descriptors and has nothing else once it has begun: no files, no network, no user that anybody
 * else is. Blocks of zeros stay holes; what is written is as store/crypt.h tells.
 *
 *	karuta-fill --image FD --volume FD --key FD
 *
 * Exit code: 0 all of it is on the disk, 1 it is not, 2 wrong usage. Whoever has started it gives
 * the volume its name only then.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "fill.h"
#include "os/fd.h"
#include "os/sparse.h"
#include "store/crypt.h"

#define CHUNK ((size_t)1 << 20)

struct fill {
	int image, volume, key;
	uint64_t size; /* of the image */
	struct store_cipher *cipher;
	uint8_t *buffer;
};

/* ---- the command line ---- */

static int usage(void)
{
	fputs("karuta-fill is started by karuta-controller, as\n"
	      "karuta-fill --image FD --volume FD --key FD\n",
	      stderr);
	return 2;
}

static bool read_number(const char *text, int *number)
{
	char *end;
	long value = strtol(text, &end, 10);

	*number = (int)value;
	return end != text && !*end && value > STDERR_FILENO && value <= INT16_MAX;
}

static bool read_options(struct fill *fill, int argc, char **argv)
{
	static const struct option options[] = {
		{"image", required_argument, NULL, 'i'},
		{"volume", required_argument, NULL, 'v'},
		{"key", required_argument, NULL, 'k'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		int *number = option == 'i'   ? &fill->image
			      : option == 'v' ? &fill->volume
					      : &fill->key;

		if (option == '?' || !read_number(optarg, number))
			return false;
	}
	return optind == argc && fill->image && fill->volume && fill->key;
}

/* ---- the start ---- */

static int check_files(struct fill *fill, struct error *error)
{
	struct stat image, volume;

	if (fstat(fill->image, &image) < 0 || fstat(fill->volume, &volume) < 0)
		return error_set(error, errno, "image or volume: %s", strerror(errno));
	if (!S_ISREG(image.st_mode) || !S_ISREG(volume.st_mode))
		return error_set(error, EINVAL, "image or volume: is not a file");
	if (image.st_size % STORE_BLOCK || volume.st_size % STORE_BLOCK)
		return error_set(error, EINVAL, "image or volume: not whole blocks of %u bytes",
				 STORE_BLOCK);
	if (image.st_size > volume.st_size)
		return error_set(error, EINVAL, "volume: smaller than the image");
	fill->size = (uint64_t)image.st_size;
	return 0;
}

static int open_cipher(struct fill *fill, struct error *error)
{
	uint8_t key[STORE_KEY_SIZE];
	int ret = store_key_read(fill->key, key, error);

	os_close(&fill->key);
	if (ret == 0)
		ret = store_cipher_create(&fill->cipher, key, error);
	OPENSSL_cleanse(key, sizeof(key));
	return ret;
}

static int enter_sandbox(struct error *error)
{
	const struct jail_limits limits = {.open_files = 8};
	int ret = jail_isolate(error);

	if (ret == 0)
		ret = jail_demote(0, &limits, error);
	return ret == 0 ? jail_filter(fill_syscalls, fill_syscall_count, error) : ret;
}

static int begin(struct fill *fill, struct error *error)
{
	int ret;

	prctl(PR_SET_DUMPABLE, 0);
	/* What is executed is a copy in memory, whose name says so. */
	prctl(PR_SET_NAME, program_invocation_short_name);
	/* A file that may not grow gives an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	ret = check_files(fill, error);
	fill->buffer = aligned_alloc(STORE_BLOCK, CHUNK);
	if (ret == 0 && !fill->buffer)
		ret = error_set(error, ENOMEM, "out of memory");
	fill_lock_memory();
	if (ret == 0)
		ret = open_cipher(fill, error);
	fill_lock_memory();
	return ret == 0 ? enter_sandbox(error) : ret;
}

/* ---- the work ---- */

/* Whole blocks, in place; how many from the first on are none of zeros. */
static size_t encrypt(struct fill *fill, uint64_t block, uint8_t *bytes, size_t count, int *ret)
{
	size_t done = 0;

	while (*ret == 0 && done < count && !store_block_is_zero(bytes + done * STORE_BLOCK)) {
		uint8_t *at = bytes + done * STORE_BLOCK;

		*ret = store_cipher_encrypt(fill->cipher, block + done, at, at);
		done++;
	}
	return done;
}

static int write_blocks(struct fill *fill, uint64_t block, size_t count)
{
	int ret = 0;

	for (size_t at = 0; ret == 0 && at < count;) {
		uint8_t *bytes = fill->buffer + at * STORE_BLOCK;
		size_t done = encrypt(fill, block + at, bytes, count - at, &ret);

		if (ret == 0 && done)
			ret = os_pwrite_all(fill->volume, bytes, done * STORE_BLOCK,
					    (block + at) * STORE_BLOCK);
		at += done + !done;
	}
	return ret;
}

/* Widened to whole blocks. */
static int copy_stretch(struct fill *fill, uint64_t start, uint64_t end)
{
	int ret = 0;

	start = align_down(start, STORE_BLOCK);
	end = align_up(end, STORE_BLOCK);
	while (ret == 0 && start < end) {
		size_t length = (size_t)min_u64(CHUNK, end - start);

		ret = os_pread_all(fill->image, fill->buffer, length, start);
		if (ret == 0)
			ret = write_blocks(fill, start / STORE_BLOCK, length / STORE_BLOCK);
		start += length;
	}
	return ret;
}

static int copy_all(struct fill *fill)
{
	uint64_t start = 0, end = 0;
	int ret = 0;

	while (ret == 0 && end < fill->size) {
		ret = os_next_data(fill->image, end, fill->size, &start, &end);
		if (ret == 0)
			ret = copy_stretch(fill, start, end);
	}
	if (ret == 0 && fsync(fill->volume) < 0)
		ret = -errno;
	return ret;
}

/* stdio would look at the descriptor first. */
static void say(const struct error *error)
{
	char text[ERROR_TEXT_SIZE + 32];
	int length = snprintf(text, sizeof(text), "karuta-fill: %s\n", error->text);

	os_write_all(STDERR_FILENO, text, (size_t)length);
}

int main(int argc, char **argv)
{
	struct fill fill = {0};
	struct error error = {0};
	int ret;

	if (!read_options(&fill, argc, argv))
		return usage();
	ret = begin(&fill, &error);
	if (ret == 0) {
		ret = copy_all(&fill);
		if (ret < 0)
			error_set(&error, -ret, "%s", strerror(-ret));
	}
	store_cipher_destroy(fill.cipher);
	free(fill.buffer);
	if (ret < 0)
		say(&error);
	/* What libraries do at the end of a process is on no list. */
	_exit(ret < 0);
}
