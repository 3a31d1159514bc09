/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "os/fd.h"
#include "os/replace.h"
#include "state.h"

#define BOOT_ID	    "/proc/sys/kernel/random/boot_id"
#define RELEASE_MAX 256u

int state_read_file(int folder, const char *name, size_t limit, char **text, size_t *length)
{
	CLEANUP_CLOSE int file =
		openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	CLEANUP_FREE char *bytes = malloc(limit + 1);
	ssize_t got;

	if (file < 0)
		return -errno;
	if (!bytes)
		return -ENOMEM;
	got = os_read_full(file, bytes, limit + 1);
	if (got < 0)
		return (int)got;
	if ((size_t)got > limit)
		return -EFBIG;
	bytes[got] = '\0';
	*length = (size_t)got;
	*text = bytes;
	bytes = NULL;
	return 0;
}

int state_write_file(int folder, const char *name, const char *text, size_t length)
{
	int ret = os_replace(&os_file_calls, folder, name, text, length);

	return ret == 0 && fsync(folder) < 0 ? -errno : ret;
}

/* ---- the folder ---- */

int state_default_path(char *path, size_t size, struct error *error)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int length;

	if (geteuid() == 0)
		length = snprintf(path, size, "/var/lib/karuta/host");
	else if (state && state[0] == '/')
		length = snprintf(path, size, "%s/karuta", state);
	else if (home && home[0] == '/')
		length = snprintf(path, size, "%s/.local/state/karuta", home);
	else
		return error_set(error, ENOENT,
				 "where the host's state is to be kept is not known; use --state");
	return (size_t)length < size ? 0 : error_set(error, ENAMETOOLONG, "state: path too long");
}

/* As mkdir -p. */
static int make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int ret;

		*slash = '\0';
		ret = mkdir(path, 0755);
		*slash = '/';
		if (ret < 0 && errno != EEXIST)
			return -errno;
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* Whoever else could write there could make us forget. */
static int check_owner(int folder)
{
	struct stat status;

	if (fstat(folder, &status) < 0)
		return -errno;
	return status.st_uid == geteuid() && !(status.st_mode & 022) ? 0 : -EPERM;
}

static int open_folder(struct state *state, char *path)
{
	int ret = make_folders(path);

	if (ret < 0)
		return ret;
	state->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state->folder < 0)
		return -errno;
	return check_owner(state->folder);
}

static int lock(struct state *state)
{
	state->lock =
		openat(state->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return state->lock < 0 || flock(state->lock, LOCK_EX) < 0 ? -errno : 0;
}

static int open_state(struct state *state, const char *path, bool locked, struct error *error)
{
	char place[PATH_MAX];
	int ret = 0;

	*state = STATE_NONE;
	if (!path)
		ret = state_default_path(place, sizeof(place), error);
	else if (!path[0] || (size_t)snprintf(place, sizeof(place), "%s", path) >= sizeof(place))
		ret = error_set(error, EINVAL, "--state %s: not a path", path);
	if (ret < 0)
		return ret;
	ret = open_folder(state, place);
	if (ret == 0 && locked)
		ret = lock(state);
	if (ret == 0)
		return 0;
	state_close(state);
	if (ret == -EPERM)
		return error_set(error, EPERM, "state %s: others may write there", place);
	return error_set(error, -ret, "state %s: %s", place, strerror(-ret));
}

int state_open(struct state *state, const char *path, struct error *error)
{
	return open_state(state, path, true, error);
}

int state_open_to_read(struct state *state, const char *path, struct error *error)
{
	return open_state(state, path, false, error);
}

void state_close(struct state *state)
{
	event_log_free(&state->log);
	os_close(&state->lock);
	os_close(&state->folder);
	*state = STATE_NONE;
}

/* ---- release ---- */

static int format_release(uint64_t release, char *text, size_t size)
{
	struct trust_digest digest;
	char digits[TRUST_DIGEST_DIGITS + 1];
	int length = snprintf(text, size, "karuta host 1\nrelease %" PRIu64 "\n", release);
	int ret = trust_digest(text, (size_t)length, &digest);

	if (ret < 0)
		return ret;
	trust_hex(digest.bytes, TRUST_DIGEST_SIZE, digits);
	return length + snprintf(text + length, size - (size_t)length, "%s\n", digits);
}

/* What is there is what we would write for the number that it has. */
static int load_release(struct state *state)
{
	CLEANUP_FREE char *text = NULL;
	char again[RELEASE_MAX];
	uint64_t release;
	size_t length;
	int ret = state_read_file(state->folder, "release", RELEASE_MAX, &text, &length);

	if (ret == -ENOENT)
		return 0;
	if (ret < 0)
		return ret == -EFBIG ? -EBADMSG : ret;
	if (sscanf(text, "karuta host 1\nrelease %20" SCNu64 "\n", &release) != 1)
		return -EBADMSG;
	ret = format_release(release, again, sizeof(again));
	if (ret < 0)
		return ret;
	if ((size_t)ret != length || memcmp(text, again, length) != 0)
		return -EBADMSG;
	state->release = state->saved_release = release;
	return 0;
}

static int save_release(struct state *state)
{
	char text[RELEASE_MAX];
	int ret = format_release(state->release, text, sizeof(text));

	if (ret >= 0)
		ret = state_write_file(state->folder, "release", text, (size_t)ret);
	if (ret == 0)
		state->saved_release = state->release;
	return ret;
}

/* ---- events ---- */

static int read_boot_id(char *boot, size_t size)
{
	CLEANUP_FREE char *text = NULL;
	size_t length;
	int ret = state_read_file(AT_FDCWD, BOOT_ID, size, &text, &length);

	if (ret < 0)
		return ret;
	snprintf(boot, size, "%s", text);
	boot[strcspn(boot, "\n")] = '\0';
	return 0;
}

static int begin_log(struct state *state, const char *boot, struct error *error)
{
	int ret = event_log_begin(&state->log, boot);

	return ret < 0 ? error_set(error, -ret, "event log: %s", strerror(-ret)) : 0;
}

/* A log of an earlier start of the host is put aside once it was seen to be whole. */
static int load_events(struct state *state, struct error *error)
{
	CLEANUP_FREE char *text = NULL;
	char boot[EVENTS_BOOT_MAX + 2];
	size_t length;
	int ret = read_boot_id(boot, sizeof(boot));

	if (ret < 0)
		return error_set(error, -ret, BOOT_ID ": %s", strerror(-ret));
	ret = state_read_file(state->folder, "events", EVENTS_SIZE_MAX, &text, &length);
	if (ret == -ENOENT)
		return begin_log(state, boot, error);
	if (ret < 0)
		return error_set(error, ret == -EFBIG ? EBADMSG : -ret, "event log: %s",
				 strerror(-ret));
	ret = event_log_open(&state->log, text, length, error);
	if (ret < 0)
		return ret;
	state->saved_length = length;
	if (!strcmp(state->log.boot, boot))
		return 0;
	if (renameat(state->folder, "events", state->folder, "events.old") < 0)
		return error_set(error, errno, "event log: %s", strerror(errno));
	event_log_free(&state->log);
	state->saved_length = 0;
	return begin_log(state, boot, error);
}

int state_load(struct state *state, const char **suspect, struct error *error)
{
	int ret = load_release(state);

	*suspect = "release";
	if (ret < 0)
		return error_set(error, -ret, "state: release: %s",
				 ret == -EBADMSG ? "not what was written" : strerror(-ret));
	*suspect = "events";
	return load_events(state, error);
}

int state_save(struct state *state, struct error *error)
{
	int ret = 0;

	if (state->log.length != state->saved_length)
		ret = state_write_file(state->folder, "events", state->log.text, state->log.length);
	if (ret == 0) {
		state->saved_length = state->log.length;
		if (state->release != state->saved_release)
			ret = save_release(state);
	}
	return ret < 0 ? error_set(error, -ret, "keep the host's state: %s", strerror(-ret)) : 0;
}
