/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "quarantine.h"

#define EVIDENCE_MAX 9999u /* folders; each needed a person to end the quarantine before it */
#define REASON_MAX   4096u

static void now_text(char *text, size_t size)
{
	time_t now = time(NULL);
	struct tm parts;

	if (!gmtime_r(&now, &parts) || !strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &parts))
		snprintf(text, size, "unknown");
}

/* ---- evidence ---- */

/* evidence/N, the first N that is free; *number is set. */
static int make_folder(const struct state *state, unsigned *number)
{
	CLEANUP_CLOSE int evidence = -1;
	char name[16];

	if (mkdirat(state->folder, "evidence", 0700) < 0 && errno != EEXIST)
		return -errno;
	evidence = openat(state->folder, "evidence", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (evidence < 0)
		return -errno;
	for (*number = 1; *number <= EVIDENCE_MAX; ++*number) {
		snprintf(name, sizeof(name), "%u", *number);
		if (mkdirat(evidence, name, 0700) == 0) {
			CLEANUP_CLOSE int folder =
				openat(evidence, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			if (folder >= 0 && fsync(evidence) == 0)
				return os_steal_fd(&folder);
			return -errno;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -ENOSPC;
}

static int copy_suspect(int folder, int copy)
{
	CLEANUP_CLOSE int file =
		openat(folder, "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	CLEANUP_FREE uint8_t *piece = malloc(64 * KIB);
	uint64_t done = 0;
	ssize_t got;
	int ret = 0;

	if (file < 0)
		return -errno;
	if (!piece)
		return -ENOMEM;
	while (ret == 0 && (got = pread(copy, piece, 64 * KIB, (off_t)done)) > 0) {
		ret = os_write_all(file, piece, (size_t)got);
		done += (uint64_t)got;
	}
	if (ret == 0 && (got < 0 || fsync(file) < 0))
		ret = -errno;
	return ret;
}

static void describe(FILE *to, const char *what, const struct trust_digest *digest)
{
	char digits[TRUST_DIGEST_DIGITS + 1] = "unknown";

	if (digest)
		trust_hex(digest->bytes, TRUST_DIGEST_SIZE, digits);
	fprintf(to, "%s %s\n", what, digits);
}

/* The text that goes with the files: what, when, why, and what their digests are. */
static int write_reason(const struct state *state, int folder, const struct suspect *suspect)
{
	struct trust_digest events;
	char text[REASON_MAX] = "", when[32];
	FILE *to = fmemopen(text, sizeof(text), "w");
	int ret = trust_digest(state->log.text, state->log.length, &events);

	if (!to)
		return -errno;
	now_text(when, sizeof(when));
	fprintf(to, "when %s\nwhat %s\nwhy %s\n", when, suspect->name, suspect->why);
	describe(to, "expected", suspect->expected);
	describe(to, "file", suspect->copy < 0 ? NULL : suspect->found);
	describe(to, "events", ret < 0 ? NULL : &events);
	if (fclose(to) != 0)
		return -EIO;
	ret = state_write_file(folder, "events", state->log.text, state->log.length);
	if (ret == 0 && suspect->copy >= 0)
		ret = copy_suspect(folder, suspect->copy);
	return ret < 0 ? ret : state_write_file(folder, "reason", text, strlen(text));
}

static int keep_evidence(const struct state *state, const struct suspect *suspect, unsigned *number)
{
	CLEANUP_CLOSE int folder = make_folder(state, number);

	return folder < 0 ? folder : write_reason(state, folder, suspect);
}

/* ---- the mark ---- */

static int log_suspect(struct state *state, const struct suspect *suspect)
{
	struct event event = {.result = EVENT_MISMATCH};
	struct error error;

	snprintf(event.what, sizeof(event.what), "%s", suspect->name);
	if (suspect->found)
		event.digest = *suspect->found;
	return event_log_add(&state->log, &event) < 0 ? -EIO : state_save(state, &error);
}

static int write_mark(const struct state *state, unsigned evidence, const char *why)
{
	char text[QUARANTINE_TEXT_MAX], when[32];

	now_text(when, sizeof(when));
	snprintf(text, sizeof(text), "%u\nsince %s: %s (evidence/%u)\n", evidence, when, why,
		 evidence);
	return state_write_file(state->folder, "quarantine", text, strlen(text));
}

/* Where there is no room for the text there is room for the name. */
static int mark(const struct state *state, const char *why)
{
	CLEANUP_CLOSE int file = -1;
	int ret = write_mark(state, 0, why);

	if (ret == 0)
		return 0;
	file = openat(state->folder, "quarantine", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		      0600);
	return file < 0 || fsync(file) < 0 || fsync(state->folder) < 0 ? ret : 0;
}

int quarantine_begin_with(const struct state *state, const char *name, struct error *error)
{
	if (renameat(state->folder, name, state->folder, "quarantine") < 0 ||
	    fsync(state->folder) < 0)
		return error_set(error, errno, "begin a quarantine: %s: %s", name, strerror(errno));
	return 0;
}

int quarantine_begin(struct state *state, const struct suspect *suspect, struct error *error)
{
	bool is_marked = quarantine_check(state, NULL) < 0;
	unsigned number = 0;
	/* First the mark: whatever goes wrong with the rest, nothing starts. And of the rest as
	 * much as can be kept. */
	int ret = is_marked ? 0 : mark(state, suspect->why);
	int logged = log_suspect(state, suspect);
	int kept = keep_evidence(state, suspect, &number);

	if (kept == 0)
		kept = write_mark(state, number, suspect->why);
	if (ret == 0)
		ret = logged < 0 ? logged : kept;
	if (ret < 0)
		return error_set(error, EPERM,
				 "quarantine: %s; not all of the evidence was kept: %s",
				 suspect->why, strerror(-ret));
	return error_set(error, EPERM,
			 "quarantine: %s (evidence/%u); see karuta-controller evidence",
			 suspect->why, number);
}

/* Its second line. A mark that cannot be read is one. */
static void read_mark(const struct state *state, char *text, size_t size)
{
	CLEANUP_FREE char *mark = NULL;
	size_t length;
	int ret = state_read_file(state->folder, "quarantine", QUARANTINE_TEXT_MAX, &mark, &length);
	const char *line = ret == 0 ? strchr(mark, '\n') : NULL;

	text[0] = '\0';
	if (ret == -ENOENT)
		return;
	snprintf(text, size, "%s", line ? line + 1 : "");
	text[strcspn(text, "\n")] = '\0';
	if (!text[0])
		snprintf(text, size, "its reason cannot be read");
}

int quarantine_check(const struct state *state, struct error *error)
{
	char text[QUARANTINE_TEXT_MAX];

	read_mark(state, text, sizeof(text));
	return text[0] ? error_set(error, EPERM,
				   "quarantine %s; nothing starts until "
				   "karuta-controller release",
				   text)
		       : 0;
}

int quarantine_read(const char *path, char *text, size_t size, struct error *error)
{
	struct state state;
	int ret = state_open_to_read(&state, path, error);

	if (ret < 0)
		return ret;
	read_mark(&state, text, size);
	state_close(&state);
	return 0;
}

/* In the folder that the mark names, if it is there. */
static int keep_release(const struct state *state, unsigned number, const char *text)
{
	CLEANUP_CLOSE int folder = -1;
	char path[32];

	snprintf(path, sizeof(path), "evidence/%u", number);
	folder = openat(state->folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder < 0 ? 0 : state_write_file(folder, "released", text, strlen(text));
}

static int log_release(struct state *state, const char *text, struct error *error)
{
	struct event event = {.what = "quarantine", .result = EVENT_RELEASED};
	int ret = trust_digest(text, strlen(text), &event.digest);

	if (ret == 0)
		ret = event_log_add(&state->log, &event);
	return ret < 0 ? error_set(error, -ret, "event log: %s", strerror(-ret))
		       : state_save(state, error);
}

int quarantine_check_reason(const char *reason, struct error *error)
{
	size_t length = strlen(reason);

	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)reason[i] < ' ' || reason[i] == 0x7f)
			length = 0;
	}
	if (length && length <= QUARANTINE_REASON_MAX)
		return 0;
	return error_set(error, EINVAL, "the reason is one line of at most %u characters",
			 QUARANTINE_REASON_MAX);
}

int quarantine_end(struct state *state, const char *who, const char *why, struct error *error)
{
	CLEANUP_FREE char *mark = NULL;
	char text[QUARANTINE_TEXT_MAX], when[32];
	size_t length;
	int ret = state_read_file(state->folder, "quarantine", QUARANTINE_TEXT_MAX, &mark, &length);

	if (ret == -ENOENT)
		return error_set(error, ENOENT, "there is no quarantine");
	now_text(when, sizeof(when));
	snprintf(text, sizeof(text), "when %s\nwho %s\nwhy %s\n", when, who, why);
	/* It is in the log before it is true. */
	ret = log_release(state, text, error);
	if (ret < 0)
		return ret;
	ret = keep_release(state, mark ? (unsigned)strtoul(mark, NULL, 10) : 0, text);
	if (ret == 0 && (unlinkat(state->folder, "quarantine", 0) < 0 || fsync(state->folder) < 0))
		ret = -errno;
	return ret < 0 ? error_set(error, -ret, "end the quarantine: %s", strerror(-ret)) : 0;
}

/* ---- for a person ---- */

static bool is_unchanged(int folder, const char *name, const char *digits)
{
	CLEANUP_CLOSE int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP_FREE char *bytes = NULL;
	struct trust_digest digest;
	char found[TRUST_DIGEST_DIGITS + 1];
	struct stat status;
	size_t length;

	if (file < 0 || fstat(file, &status) < 0 || !S_ISREG(status.st_mode) ||
	    state_read_file(folder, name, (size_t)status.st_size, &bytes, &length) < 0 ||
	    trust_digest(bytes, length, &digest) < 0)
		return false;
	trust_hex(digest.bytes, TRUST_DIGEST_SIZE, found);
	return !strcmp(found, digits);
}

static void list_one(int folder, const char *number, FILE *to)
{
	CLEANUP_FREE char *reason = NULL;
	CLEANUP_FREE char *released = NULL;
	char *rest, *line;
	size_t length;

	fprintf(to, "evidence/%s\n", number);
	if (state_read_file(folder, "reason", REASON_MAX, &reason, &length) < 0) {
		fputs("  its reason was not kept, or cannot be read\n", to);
		return;
	}
	rest = reason;
	while ((line = strsep(&rest, "\n"))) {
		bool file = !strncmp(line, "file ", 5), events = !strncmp(line, "events ", 7);

		if (!*line)
			continue;
		fprintf(to, "  %s", line);
		if ((file || events) && strcmp(strchr(line, ' ') + 1, "unknown") != 0)
			fputs(is_unchanged(folder, file ? "file" : "events", strchr(line, ' ') + 1)
				      ? ""
				      : " CHANGED SINCE",
			      to);
		fputc('\n', to);
	}
	if (state_read_file(folder, "released", QUARANTINE_TEXT_MAX, &released, &length) < 0)
		return;
	rest = released;
	while ((line = strsep(&rest, "\n"))) {
		if (*line)
			fprintf(to, "  released: %s\n", line);
	}
}

int quarantine_list(const struct state *state, FILE *to, struct error *error)
{
	char text[QUARANTINE_TEXT_MAX], path[32];

	read_mark(state, text, sizeof(text));
	fprintf(to, "%s%s\n", text[0] ? "quarantine " : "no quarantine", text);
	for (unsigned i = 1; i <= EVIDENCE_MAX; i++) {
		CLEANUP_CLOSE int folder = -1;

		snprintf(path, sizeof(path), "evidence/%u", i);
		folder = openat(state->folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (folder < 0)
			return errno == ENOENT
				       ? 0
				       : error_set(error, errno, "%s: %s", path, strerror(errno));
		list_one(folder, path + strlen("evidence/"), to);
	}
	return 0;
}
