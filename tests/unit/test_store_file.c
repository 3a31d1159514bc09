/* SPDX-License-Identifier: Apache-2.0 */
/* The file store at the edges of files, and keys. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/base.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/store.h"

#define SIZE (256u * STORE_BLOCK)

/* /var/tmp is on a disk where /tmp is not. */
static int temporary_file(void)
{
	char path[] = "/var/tmp/karuta-test-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static struct store *open_store(int fd, uint64_t size)
{
	struct error error = {0};
	struct store *store = NULL;

	if (store_file_create(&store, fd, size, &error))
		fail_msg("%s", error.text);
	return store;
}

static void refuses(int fd, uint64_t size, const char *text)
{
	struct error error = {0};
	struct store *store = NULL;

	assert_true(store_file_create(&store, fd, size, &error) < 0);
	assert_null(store);
	assert_non_null(strstr(error.text, text));
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was the store's, which is not there */
}

static void size_is_checked(void **state)
{
	int pipe[2], fd = temporary_file();

	(void)state;
	assert_int_equal(os_pipe(pipe), 0);
	refuses(pipe[0], SIZE, "neither a regular file nor a block device");
	os_close(&pipe[1]);
	refuses(temporary_file(), 0, "empty");
	refuses(temporary_file(), 1000, "not a multiple");
	refuses(temporary_file(), UINT64_MAX - STORE_BLOCK + 1, "not a multiple");
	assert_int_equal(ftruncate(fd, 5000), 0);
	refuses(fd, 0, "not a multiple");
}

static void a_file_grows_but_never_shrinks(void **state)
{
	int fd = temporary_file(), kept = dup(fd);
	struct store *store = open_store(fd, SIZE);
	struct stat status;

	(void)state;
	store_destroy(store);
	store = open_store(dup(kept), 0);
	assert_int_equal(store->size, SIZE);
	store_destroy(store);
	store = open_store(dup(kept), SIZE / 2);
	assert_int_equal(store->size, SIZE / 2);
	store_destroy(store);
	assert_int_equal(fstat(kept, &status), 0);
	assert_int_equal(status.st_size, SIZE);
	assert_int_equal(status.st_blocks, 0);
	close(kept);
}

static void an_open_store_grows_with_its_file(void **state)
{
	static uint8_t block[STORE_BLOCK] = "new";
	int fd = temporary_file(), other = dup(fd);
	struct store *store = open_store(fd, SIZE), *ram = NULL;

	(void)state;
	assert_int_equal(store_grow(store, SIZE), 0);
	assert_int_equal(store_grow(store, SIZE + STORE_BLOCK), -EINVAL); /* the file is shorter */
	assert_int_equal(ftruncate(other, 2 * SIZE), 0);
	assert_int_equal(store_grow(store, SIZE - STORE_BLOCK), -EINVAL);
	assert_int_equal(store_grow(store, SIZE + 512), -EINVAL);
	assert_int_equal(store->size, SIZE);
	assert_int_equal(store_grow(store, 2 * SIZE), 0);
	assert_int_equal(store->size, 2 * SIZE);
	assert_int_equal(store_do(store, STORE_WRITE, 2 * SIZE - STORE_BLOCK, block, STORE_BLOCK),
			 0);
	store_destroy(store);
	close(other);
	assert_int_equal(store_ram_create(&ram, SIZE, NULL), 0);
	assert_int_equal(store_grow(ram, 2 * SIZE), -EOPNOTSUPP);
	store_destroy(ram);
}

static void a_file_that_was_cut_gives_errors(void **state)
{
	int fd = temporary_file(), kept = dup(fd);
	struct store *store = open_store(fd, SIZE);
	static uint8_t data[8 * STORE_BLOCK];

	(void)state;
	assert_int_equal(ftruncate(kept, SIZE / 2 + 100), 0);
	assert_int_equal(store_do(store, STORE_READ, SIZE - sizeof(data), data, sizeof(data)),
			 -EIO);
	assert_int_equal(store_do(store, STORE_READ, SIZE / 2 - STORE_BLOCK, data, sizeof(data)),
			 -EIO);
	assert_int_equal(store_do(store, STORE_READ, 0, data, sizeof(data)), 0);
	store_destroy(store);
	close(kept);
}

static void a_read_only_file_gives_errors(void **state)
{
	int fd = temporary_file();
	char path[32];
	struct store *store;
	uint8_t data[512] = {0};

	(void)state;
	assert_int_equal(ftruncate(fd, SIZE), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	store = open_store(open(path, O_RDONLY | O_CLOEXEC), 0);
	assert_int_equal(store_do(store, STORE_READ, 0, data, sizeof(data)), 0);
	assert_true(store_do(store, STORE_WRITE, 0, data, sizeof(data)) < 0);
	store_destroy(store);
	close(fd);
}

static void discarded_blocks_are_given_back(void **state)
{
	int fd = temporary_file(), kept = dup(fd);
	struct store *store = open_store(fd, SIZE);
	uint8_t *data = malloc(SIZE);
	struct stat full, less;

	(void)state;
	memset(data, 0xaa, SIZE);
	assert_int_equal(store_do(store, STORE_WRITE, 0, data, SIZE), 0);
	assert_int_equal(store_do(store, STORE_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(fstat(kept, &full), 0);
	assert_int_equal(store_do(store, STORE_DISCARD, 512, NULL, SIZE - 1024), 0);
	assert_int_equal(fstat(kept, &less), 0);
	assert_true(less.st_blocks < full.st_blocks);
	assert_int_equal(less.st_size, SIZE);
	assert_int_equal(store_do(store, STORE_READ, 0, data, SIZE), 0);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(data[i], i < 512 || i >= SIZE - 512 ? 0xaa : 0);
	free(data);
	store_destroy(store);
	close(kept);
}

/* ---- many at once ---- */

struct tally {
	struct store_request request; /* first */
	struct iovec iov;
	unsigned *ended;
	int error;
	uint8_t data[512];
};

static void ended(struct store_request *request, int error)
{
	struct tally *tally = (struct tally *)request;

	tally->error = error;
	++*tally->ended;
}

static void write_sectors(struct store *store, struct tally *tallies, unsigned count, unsigned *sum)
{
	*sum = 0;
	for (unsigned i = 0; i < count; i++) {
		struct tally *tally = &tallies[i];

		memset(tally->data, (int)(i % 255), sizeof(tally->data));
		tally->ended = sum;
		tally->iov = (struct iovec){.iov_base = tally->data, .iov_len = 512};
		tally->request = (struct store_request){.op = STORE_WRITE,
							.offset = i * 512,
							.length = 512,
							.iov = &tally->iov,
							.iov_count = 1,
							.done = ended};
		store_submit(store, &tally->request);
	}
	store_kick(store);
	while (*sum < count) {
		assert_int_not_equal(os_wait(store->event_fd, POLLIN, os_now() + 20 * NS_PER_S), 0);
		store_poll(store);
	}
}

static void more_than_the_ring_holds_waits(void **state)
{
	enum { MANY = 2000 };
	struct store *store = open_store(temporary_file(), SIZE);
	struct tally *tallies = calloc(MANY, sizeof(*tallies));
	uint8_t *data = malloc(MANY * 512);
	unsigned sum;

	(void)state;
	write_sectors(store, tallies, MANY, &sum);
	assert_int_equal(sum, MANY);
	assert_int_equal(store_do(store, STORE_READ, 0, data, MANY * 512), 0);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(tallies[i].error, 0);
		assert_int_equal(data[i * 512], i % 255);
	}
	free(data);
	free(tallies);
	store_destroy(store);
}

/* ---- no room ---- */

/* In a child of its own: limits and mounts end with it. */
static void run_in_child(int (*test)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child)
		_exit(test());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int write_past_the_limit(void)
{
	const struct rlimit limit = {.rlim_cur = SIZE / 2, .rlim_max = SIZE / 2};
	struct store *store = open_store(temporary_file(), SIZE);
	uint8_t data[8 * STORE_BLOCK] = {1};

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (store_do(store, STORE_WRITE, SIZE / 2, data, sizeof(data)) != -EFBIG)
		return 1;
	/* Half of it fits: the rest's error is the answer. */
	if (store_do(store, STORE_WRITE, SIZE / 2 - STORE_BLOCK, data, sizeof(data)) != -EFBIG)
		return 2;
	if (store_do(store, STORE_WRITE, 0, data, sizeof(data)))
		return 3;
	store_destroy(store);
	return 0;
}

static int write_to_a_full_disk(void)
{
	static uint8_t data[STORE_BLOCK] = {1};
	char path[] = "/var/tmp/karuta-test-XXXXXX", file[sizeof(path) + 5];
	int fd, error = 0;
	struct store *store;

	snprintf(file, sizeof(file), "%s/file", mkdtemp(path) ? path : "");
	if (geteuid() || unshare(CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", path, "tmpfs", 0, "size=64k")) {
		rmdir(path);
		return 77;
	}
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	store = open_store(fd, SIZE);
	for (uint64_t at = 0; at < SIZE && !error; at += sizeof(data))
		error = store_do(store, STORE_WRITE, at, data, sizeof(data));
	if (error != -ENOSPC)
		return 1;
	if (store_do(store, STORE_DISCARD, 0, NULL, 8 * STORE_BLOCK))
		return 2;
	if (store_do(store, STORE_WRITE, SIZE / 2, data, sizeof(data)))
		return 3;
	store_destroy(store);
	umount2(path, MNT_DETACH);
	rmdir(path);
	return 0;
}

static void a_limit_gives_an_error(void **state)
{
	(void)state;
	run_in_child(write_past_the_limit);
}

static void a_full_disk_gives_an_error(void **state)
{
	(void)state;
	run_in_child(write_to_a_full_disk);
}

/* ---- keys ---- */

static int read_key(const uint8_t *bytes, size_t length, uint8_t key[STORE_KEY_SIZE],
		    struct error *error)
{
	int pipe[2], result;

	assert_int_equal(os_pipe(pipe), 0);
	assert_int_equal(os_write_all(pipe[1], bytes, length), 0);
	close(pipe[1]);
	result = store_key_read(pipe[0], key, error);
	close(pipe[0]);
	return result;
}

static void keys_are_checked(void **state)
{
	uint8_t bytes[STORE_KEY_SIZE + 1], key[STORE_KEY_SIZE] = {0};
	struct error error = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(read_key(bytes, 0, key, &error), -EINVAL);
	assert_int_equal(read_key(bytes, STORE_KEY_SIZE - 1, key, &error), -EINVAL);
	assert_non_null(strstr(error.text, "too short"));
	assert_int_equal(read_key(bytes, STORE_KEY_SIZE + 1, key, &error), -EINVAL);
	assert_non_null(strstr(error.text, "too long"));
	assert_int_equal(store_key_read(-1, key, &error), -EBADF);
	assert_int_equal(read_key(bytes, STORE_KEY_SIZE, key, &error), 0);
	assert_memory_equal(key, bytes, STORE_KEY_SIZE);
	memcpy(bytes + STORE_KEY_SIZE / 2, bytes, STORE_KEY_SIZE / 2);
	assert_int_equal(read_key(bytes, STORE_KEY_SIZE, key, &error), -EINVAL);
	assert_non_null(strstr(error.text, "halves are equal"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_is_checked),
		cmocka_unit_test(a_file_grows_but_never_shrinks),
		cmocka_unit_test(an_open_store_grows_with_its_file),
		cmocka_unit_test(a_file_that_was_cut_gives_errors),
		cmocka_unit_test(a_read_only_file_gives_errors),
		cmocka_unit_test(discarded_blocks_are_given_back),
		cmocka_unit_test(more_than_the_ring_holds_waits),
		cmocka_unit_test(a_limit_gives_an_error),
		cmocka_unit_test(a_full_disk_gives_an_error),
		cmocka_unit_test(keys_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
