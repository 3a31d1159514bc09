/* SPDX-License-Identifier: Apache-2.0 */
/* karuta file check, export; and the table of all verbs for volumes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/size.h"
#include "base/cursor.h"
#include "content.h"
#include "interrupt.h"
#include "os/fd.h"
#include "os/sparse.h"
#include "progress.h"
#include "size.h"
#include "volume.h"

#define CHUNK	   ((size_t)1 << 20)
#define CHECK_SIZE ((size_t)64 << 10)

/* ---- opening ---- */

static int parse_fd(const char *text, int *fd)
{
	uint64_t number;

	if (size_parse(text, &number) || number < 3 || number > 1023)
		return -EINVAL;
	*fd = (int)number;
	return fcntl(*fd, F_GETFD) < 0 ? -EBADF : 0;
}

int volume_read_key(const struct invocation *call, uint8_t key[STORE_KEY_SIZE], struct error *error)
{
	const char *text = options_value(call, "key-fd");
	int fd, result;

	if (!text || parse_fd(text, &fd)) {
		error_set(
			error, EINVAL,
			"--key-fd %.30s: wanted is an open descriptor, 3 or higher, that gives the "
			"%u bytes of the key: --key-fd 5 5<KEY",
			text ? text : "is missing", STORE_KEY_SIZE);
		return CLI_USAGE;
	}
	result = store_key_read(fd, key, error);
	close(fd);
	return result;
}

int volume_open(struct store **volume, int fd, uint64_t size, uint8_t key[STORE_KEY_SIZE],
		struct error *error)
{
	struct store *file = NULL;
	int result = store_file_create(&file, fd, size, error);

	if (!result)
		result = store_crypt_create(volume, file, key, error);
	explicit_bzero(key, STORE_KEY_SIZE);
	return result;
}

/* *file, if wanted: a descriptor of the volume's file, the caller's. */
static int open_existing(const struct invocation *call, struct store **volume, int *file,
			 struct error *error)
{
	const char *path = call->operands[0];
	uint8_t key[STORE_KEY_SIZE];
	int result = volume_read_key(call, key, error), fd;

	if (result)
		return result;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		explicit_bzero(key, sizeof(key));
		return error_set(error, errno, "volume %.150s: %s", path, strerror(errno));
	}
	if (file)
		*file = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	result = volume_open(volume, fd, 0, key, error);
	if (result)
		error_prefix(error, "volume %.100s", path);
	return result;
}

/* ---- check ---- */

static uint64_t number(const uint8_t *bytes, size_t offset, size_t length)
{
	struct cursor cursor = cursor_make(bytes + offset, length);

	return length == 2 ? cursor_u16(&cursor) : cursor_u32(&cursor);
}

/* What a right key shows: something with a structure. Noise has none. */
static const char *recognise(const uint8_t *bytes)
{
	if (content_is_zero(bytes, CHECK_SIZE))
		return "empty: nothing was written at its beginning";
	if (number(bytes, 1024 + 0x38, 2) == 0xEF53)
		return "an ext2, ext3 or ext4 file system";
	if (!memcmp(bytes, "XFSB", 4))
		return "an xfs file system";
	if (!memcmp(bytes, "LUKS\xba\xbe", 6))
		return "a LUKS container";
	if (!memcmp(bytes + 512, "EFI PART", 8) || !memcmp(bytes + 4096, "EFI PART", 8))
		return "a GPT partition table";
	if (!memcmp(bytes + 4086, "SWAPSPACE2", 10))
		return "swap space";
	if (number(bytes, 510, 2) == 0xAA55)
		return "an MBR partition table or a boot sector";
	return NULL;
}

static int volume_check(const struct invocation *call, struct error *error)
{
	static uint8_t bytes[CHECK_SIZE];
	struct store *volume = NULL;
	const char *what;
	char size[SIZE_TEXT];
	int result = open_existing(call, &volume, NULL, error);

	if (result)
		return result;
	result = store_do(volume, STORE_READ, 0, bytes, min_u64(CHECK_SIZE, volume->size));
	size_format(size, volume->size);
	store_destroy(volume);
	what = result ? NULL : recognise(bytes);
	if (result)
		return error_set(error, -result, "volume %.150s: %s", call->operands[0],
				 strerror(-result));
	if (!what)
		return error_set(
			error, EBADMSG,
			"volume %.120s: nothing known at its beginning: a wrong key, or data "
			"that this check does not know",
			call->operands[0]);
	printf("%s: %s, %s\n", call->operands[0], size, what);
	return 0;
}

/* ---- export ---- */

/* Zeros stay a hole. */
static int write_blocks(int to, uint64_t offset, const uint8_t *bytes, uint64_t length)
{
	int result = 0;

	for (uint64_t at = 0; at < length && !result; at += STORE_BLOCK) {
		if (!content_is_zero(bytes + at, STORE_BLOCK))
			result = os_pwrite_all(to, bytes + at, STORE_BLOCK, offset + at);
	}
	return result;
}

static int export_stretch(struct store *volume, int to, uint64_t start, uint64_t end,
			  uint8_t *buffer, struct progress *progress)
{
	int result = 0;

	for (uint64_t at = start; at < end && !result; at += CHUNK) {
		uint64_t length = min_u64(CHUNK, end - at);

		result = interrupt_pending() ? -EINTR
					     : store_do(volume, STORE_READ, at, buffer, length);
		if (!result)
			result = write_blocks(to, at, buffer, length);
		progress_update(progress, at);
	}
	return result;
}

/* A hole in the file is a hole in the volume. */
static int export_data(struct store *volume, int file, int to, struct progress *progress)
{
	CLEANUP_FREE uint8_t *buffer = aligned_alloc(STORE_BLOCK, CHUNK);
	uint64_t start = 0, end = 0;
	int result = buffer ? 0 : -ENOMEM;

	if (!result && ftruncate(to, (off_t)volume->size))
		result = -errno;
	while (end < volume->size && !result) {
		result = os_next_data(file, end, volume->size, &start, &end);
		start = align_down(start, STORE_BLOCK);
		end = min_u64(align_up(end, STORE_BLOCK), volume->size);
		if (!result)
			result = export_stretch(volume, to, start, end, buffer, progress);
	}
	return result;
}

static int export_all(struct store *volume, int file, int to)
{
	struct progress progress = {0};
	int result;

	progress_step(&progress, "decrypt", volume->size);
	result = export_data(volume, file, to, &progress);
	if (result)
		progress_abandon(&progress);
	else
		progress_end(&progress);
	return result;
}

int volume_lock_out_writers(int file, const char *path, struct error *error)
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	if (!fcntl(file, F_OFD_SETLK, &whole))
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return error_set(error, errno, "volume %.150s: cannot be locked: %s", path,
				 strerror(errno));
	return error_set(error, EBUSY, "volume %.150s: in use; stop its instance first", path);
}

/* A file that is not whole does not stay. */
static int export_to(struct store *volume, int file, const char *path, struct error *error)
{
	CLEANUP_CLOSE int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int result;

	if (to < 0)
		return error_set(error, errno, "%.150s: %s", path, strerror(errno));
	result = export_all(volume, file, to);
	if (!result)
		return 0;
	unlink(path);
	return error_set(error, -result, "%.150s: %s", path, strerror(-result));
}

static int volume_export(const struct invocation *call, struct error *error)
{
	CLEANUP_CLOSE int file = -1;
	struct store *volume = NULL;
	int result = open_existing(call, &volume, &file, error);

	if (result)
		return result;
	result = volume_lock_out_writers(file, call->operands[0], error);
	if (!result)
		result = export_to(volume, file, call->operands[1], error);
	store_destroy(volume);
	return result;
}

static const struct option_spec create_options[] = {
	{"size", "SIZE", "of the volume; not needed with --from-image"},
	{"key-fd", "N", "open descriptor that gives the key, 64 random bytes"},
	{"from-image", "NAME", "writes this image into it"},
	{"sector", "512|4096", "what a guest shall see, for the printed example"},
};

static const struct option_spec key_option[] = {
	{"key-fd", "N", "open descriptor that gives the key, 64 random bytes"},
};

const struct verb file_verbs[] = {
	{.noun = "file",
	 .name = "create",
	 .operands = "FILE",
	 .operand_count = 1,
	 .summary =
		 "Makes an encrypted volume: a sparse file in dm-crypt's aes-xts-plain64 format.",
	 .options = create_options,
	 .option_count = ARRAY_LEN(create_options),
	 .notes = "A key is never named by a file: --key-fd 5 5</dev/shm/key. Keep it: without it "
		  "the data is lost.",
	 .run = volume_create},
	{.noun = "file",
	 .name = "check",
	 .operands = "FILE",
	 .operand_count = 1,
	 .summary = "Tells whether the key is the volume's, by what is at its beginning.",
	 .options = key_option,
	 .option_count = 1,
	 .run = volume_check},
	{.noun = "file",
	 .name = "resize",
	 .operands = "FILE SIZE",
	 .operand_count = 2,
	 .summary = "Makes a volume larger: one that no instance uses, never smaller.",
	 .run = volume_resize},
	{.noun = "file",
	 .name = "clone",
	 .operands = "FILE NEW",
	 .operand_count = 2,
	 .summary =
		 "Copies a volume that no instance uses: by sharing blocks where that is possible.",
	 .notes = "The clone has the same key. Who sees both files sees which blocks of them are "
		  "the same.",
	 .run = volume_clone},
	{.noun = "file",
	 .name = "export",
	 .operands = "FILE RAW",
	 .operand_count = 2,
	 .summary = "Writes the volume, decrypted, as a raw disk into a new file.",
	 .options = key_option,
	 .option_count = 1,
	 .run = volume_export},
	{0},
};
