/* SPDX-License-Identifier: Apache-2.0 */
#include "fill.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "launch.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "os/sparse.h"

#define CHUNK	  ((size_t)1 << 20)
#define LEAST	  (60 * NS_PER_S)     /* that the program has */
#define BYTES_A_S (UINT64_C(4) << 20) /* and so much longer for what it may have to read */

static int publish(struct chore *chore)
{
	int ret = os_newfile_publish(&chore->file);

	return ret < 0 ? error_set(&chore->error, -ret, "%s: %s", chore->file.path, strerror(-ret))
		       : 0;
}

/* ---- an image ---- */

static int launch_it(struct chore *chore, struct launch *launch, int image, int key,
		     struct error *error)
{
	int ret = launch_open(launch, "karuta-fill", MANIFEST_TOOL, error);

	if (ret == 0)
		ret = area_create(&chore->words, "karuta-words", AREA_WORDS_SIZE, true, error);
	if (ret < 0)
		return ret;
	launch_give_option(launch, "--image", image);
	launch_give_option(launch, "--volume", chore->file.fd);
	launch_give_option(launch, "--key", key);
	launch_give_words(launch, chore->words.fd);
	return launch_run(launch, &chore->pid, &chore->process, error);
}

int fill_start(struct chore *chore, int image, struct error *error)
{
	CLEANUP_CLOSE int key = os_memfd_read_only(chore->keys.keys[0].key.fd);
	struct launch launch;
	struct stat status;
	int ret;

	if (key < 0 || fstat(image, &status) < 0)
		return error_set(error, key < 0 ? -key : errno, "image or key: %s",
				 strerror(key < 0 ? -key : errno));
	ret = launch_it(chore, &launch, image, key, error);
	launch_free(&launch);
	chore->deadline = os_now() + LEAST + (uint64_t)status.st_size / BYTES_A_S * NS_PER_S;
	return ret;
}

static void reap(struct chore *chore, siginfo_t *info)
{
	if (os_wait(chore->process, POLLIN, chore->deadline) <= 0)
		syscall(SYS_pidfd_send_signal, chore->process, SIGKILL, NULL, 0);
	if (waitid(P_PIDFD, (id_t)chore->process, info, WEXITED) < 0)
		info->si_code = CLD_DUMPED;
}

int fill_wait(struct chore *chore)
{
	const char *path = chore->file.path;
	char words[160];
	siginfo_t info = {0};

	reap(chore, &info);
	if (info.si_code == CLD_EXITED && info.si_status == 0)
		return publish(chore);
	if (atomic_load(&chore->stop))
		return error_set(&chore->error, ESHUTDOWN, "the controller is about to end");
	chore->signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
	if (area_words(&chore->words, words, sizeof(words)))
		return error_set(&chore->error, EIO, "%.80s: %s", path, words);
	return error_set(&chore->error, EIO, "%.80s: karuta-fill ended by %s %d", path,
			 chore->signal ? "signal" : "code", info.si_status);
}

/* ---- another volume ---- */

static int copy_data(struct chore *chore, uint64_t start, uint64_t end, uint8_t *buffer)
{
	int ret = 0;

	while (ret == 0 && start < end) {
		size_t length = (size_t)min_u64(CHUNK, end - start);

		ret = atomic_load(&chore->stop) ? -ESHUTDOWN
						: os_pread_all(chore->from, buffer, length, start);
		if (ret == 0)
			ret = os_pwrite_all(chore->file.fd, buffer, length, start);
		start += length;
	}
	return ret;
}

/* Holes stay holes. */
static int copy_all(struct chore *chore)
{
	CLEANUP_FREE uint8_t *buffer = malloc(CHUNK);
	uint64_t start = 0, end = 0, size;
	struct stat status;
	int ret = buffer ? 0 : -ENOMEM;

	if (fstat(chore->from, &status) < 0)
		return -errno;
	size = (uint64_t)status.st_size;
	if (ret == 0 && ftruncate(chore->file.fd, status.st_size) < 0)
		ret = -errno;
	while (ret == 0 && end < size) {
		ret = os_next_data(chore->from, end, size, &start, &end);
		if (ret == 0)
			ret = copy_data(chore, start, end, buffer);
	}
	return ret;
}

int fill_copy(struct chore *chore)
{
	int ret = ioctl(chore->file.fd, FICLONE, chore->from) < 0 ? copy_all(chore) : 0;

	if (ret < 0)
		return error_set(&chore->error, -ret, "%s: %s", chore->file.path, strerror(-ret));
	return publish(chore);
}
