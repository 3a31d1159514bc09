/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attest.h"
#include "base/base.h"
#include "mark.h"
#include "measure.h"
#include "os/clock.h"
#include "os/fd.h"
#include "programs.h"
#include "quarantine.h"
#include "state.h"
#include "suspect.h"
#include "trusted_key.h"

/* One controller has one host. */
static const char *state_path, *tpm_path, *folder_path;
static struct programs_host verified;

/* The host's state, locked, and a manifest that is believed. */
struct look {
	struct state state;
	struct tpm *tpm; /* NULL: not attested */
	bool marked;	 /* it is in a quarantine, which is known, and to which nothing is added */
	struct manifest manifest;
};

void programs_use_state(const char *path)
{
	state_path = path;
}

void programs_use_tpm(const char *how)
{
	tpm_path = how;
}

const char *programs_tpm(void)
{
	return tpm_path;
}

const char *programs_state(void)
{
	return state_path;
}

const struct programs_host *programs_host(void)
{
	return &verified;
}

const char *programs_attestation(const struct programs_host *host)
{
	return host->attested ? "tpm" : "unattested";
}

const char *programs_signer(const struct programs_host *host)
{
	return manifest_purpose_name(host->development ? MANIFEST_DEVELOPMENT : MANIFEST_RELEASE);
}

/* ---- files ---- */

void programs_use_folder(const char *path)
{
	folder_path = path;
}

int programs_folder(char *folder, size_t size)
{
	ssize_t length;
	char *slash;

	if (folder_path)
		return (size_t)snprintf(folder, size, "%s", folder_path) < size ? 0 : -ENAMETOOLONG;
	length = readlink("/proc/self/exe", folder, size - 1);
	if (length < 0)
		return -errno;
	folder[length] = '\0';
	slash = strrchr(folder, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

static int open_beside(const char *name)
{
	static const char *const places[] = {"", "../libexec/karuta/"};
	char folder[PATH_MAX], path[PATH_MAX + 96];
	int ret = programs_folder(folder, sizeof(folder));

	for (size_t i = 0; ret == 0 && i < ARRAY_LEN(places); i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s%s", folder, places[i], name);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0 || errno != ENOENT)
			return fd >= 0 ? fd : -errno;
	}
	return ret < 0 ? ret : -ENOENT;
}

static int check_program(int file)
{
	struct stat status;

	if (fstat(file, &status) < 0)
		return -errno;
	return S_ISREG(status.st_mode) && status.st_mode & 0111 ? 0 : -EACCES;
}

static int open_program(const char *program, struct error *error)
{
	CLEANUP_CLOSE int file = open_beside(program);
	int ret = file < 0 ? file : check_program(file);

	if (ret < 0)
		return error_set(error, -ret,
				 "program %s: %s; it belongs beside karuta-controller or in "
				 "../libexec/karuta",
				 program, strerror(-ret));
	return os_steal_fd(&file);
}

/* ---- what is found ---- */

/* Authentic, or nobody's, and not to be used. `error` says why and stays. */
static int refuse(struct look *look, const char *what, const struct measured *measured,
		  struct error *error)
{
	struct error other;

	suspect_log_event(&look->state, what, &measured->digest, EVENT_REFUSED, &other);
	return -error->code;
}

/* What is wrong begins a quarantine, but in one. */
static int suspicious(struct look *look, const char *what, const struct measured *measured,
		      const struct trust_digest *expected, struct error *error)
{
	return look->marked ? refuse(look, what, measured, error)
			    : suspect_program(&look->state, what, measured, expected, error);
}

static int open_tpm(struct look *look, struct error *error)
{
	int ret = tpm_path ? tpm_open(&look->tpm, tpm_path, error) : 0;

	if (ret == 0 && look->tpm)
		ret = attest_follow(look->tpm, &look->state, error);
	/* It does not know this log, and will not any more. */
	if (ret == -EBADMSG && look->marked) {
		tpm_close(look->tpm);
		look->tpm = NULL;
		return 0;
	}
	return ret == -EBADMSG ? suspect_events(&look->state, error) : ret;
}

/* ---- the manifest ---- */

static int open_signed(struct look *look, const struct measured *text, struct error *error)
{
	CLEANUP_FREE char *bytes = malloc(MANIFEST_SIZE_MAX);
	struct trust_key *key = NULL;
	int ret = bytes ? trust_key_open(trusted_key, sizeof(trusted_key), &key) : -ENOMEM;

	if (ret == 0 && text->size <= MANIFEST_SIZE_MAX)
		ret = os_pread_all(text->sealed, bytes, text->size, 0);
	if (ret < 0)
		error_set(error, -ret, "%s", strerror(-ret));
	else if (text->size > MANIFEST_SIZE_MAX)
		ret = error_set(error, EPERM, "longer than %u bytes", MANIFEST_SIZE_MAX);
	else
		ret = manifest_open(&look->manifest, bytes, text->size, key, error);
	trust_key_free(key);
	return ret;
}

/* Authentic; is it for this host? */
static int check_manifest(const struct look *look, struct error *error)
{
	const struct manifest *manifest = &look->manifest;

	if ((manifest->purpose == MANIFEST_DEVELOPMENT) != trusted_key_is_development)
		return error_set(error, EPERM, "a %s manifest, which this controller does not take",
				 manifest_purpose_name(manifest->purpose));
	return manifest_check_release(manifest, look->state.release, error);
}

static int believe(struct look *look, const struct measured *text, struct error *error)
{
	int ret = open_signed(look, text, error);

	if (ret == -EPERM || ret == -EBADMSG) {
		error_prefix(error, PROGRAMS_MANIFEST);
		return suspicious(look, PROGRAMS_MANIFEST, text, NULL, error);
	}
	if (ret == 0)
		ret = check_manifest(look, error);
	if (ret == 0)
		return suspect_log_event(&look->state, PROGRAMS_MANIFEST, &text->digest,
					 EVENT_INTACT, error);
	error_prefix(error, PROGRAMS_MANIFEST);
	return ret == -EPERM ? refuse(look, PROGRAMS_MANIFEST, text, error) : ret;
}

static int read_manifest(struct look *look, int file, struct error *error)
{
	struct measured text = MEASURED_NONE;
	int ret = measure(file, PROGRAMS_MANIFEST, &text);

	if (ret == -EFBIG) {
		error_set(error, EPERM, "%s: bigger than any", PROGRAMS_MANIFEST);
		return suspicious(look, PROGRAMS_MANIFEST, &text, NULL, error);
	}
	if (ret < 0)
		error_set(error, -ret, "%s: %s", PROGRAMS_MANIFEST, strerror(-ret));
	else
		ret = believe(look, &text, error);
	measured_free(&text);
	return ret;
}

static int look_at_state(struct look *look, bool in_quarantine, struct error *error)
{
	int ret = state_open(&look->state, state_path, error);

	if (ret == 0 && !in_quarantine)
		ret = quarantine_check(&look->state, error);
	else if (ret == 0)
		look->marked = quarantine_check(&look->state, NULL) < 0;
	if (ret == 0)
		ret = suspect_load_state(&look->state, error);
	return ret < 0 ? ret : open_tpm(look, error);
}

/* `file`: the manifest; stays the caller's. */
static int look_begin(struct look *look, int file, bool in_quarantine, struct error *error)
{
	int ret = look_at_state(look, in_quarantine, error);

	return ret < 0 ? ret : read_manifest(look, file, error);
}

static int own_manifest(struct error *error)
{
	int file = open_beside(PROGRAMS_MANIFEST);

	if (file >= 0)
		return file;
	return error_set(error, -file,
			 "%s: %s; it belongs beside karuta-controller or in ../libexec/karuta, "
			 "signed by the maker of the release",
			 PROGRAMS_MANIFEST, strerror(-file));
}

static struct look *look_make(void)
{
	struct look *look = calloc(1, sizeof(*look));

	if (look)
		look->state = STATE_NONE;
	return look;
}

/* What was found is on the disk, and in the TPM, before it is used; also if it is not to be used.
 */
static int keep(struct look *look, struct error *error)
{
	int ret = look->state.log.text ? state_save(&look->state, error) : 0;

	if (ret == 0 && look->state.log.text && look->tpm)
		ret = attest_follow(look->tpm, &look->state, error);
	return ret;
}

static int look_end(struct look *look, int ret, struct error *error)
{
	struct error other;
	int kept = keep(look, ret < 0 ? &other : error);

	tpm_close(look->tpm);
	state_close(&look->state);
	free(look);
	return ret < 0 ? ret : kept;
}

/* ---- programs ---- */

static bool is_listed_so(const struct manifest_file *listed, const struct measured *measured)
{
	return listed->size == measured->size &&
	       trust_digest_same(&listed->digest, &measured->digest);
}

/* It has the name, and is something else. */
static int forged(struct look *look, const struct manifest_file *listed,
		  const struct measured *measured, struct error *error)
{
	error_set(error, EPERM, "%s is not what release %" PRIu64 " has under this name",
		  listed->name, look->manifest.release);
	return suspicious(look, listed->name, measured, &listed->digest, error);
}

static int compare(struct look *look, const struct manifest_file *listed,
		   const struct measured *measured, struct error *error)
{
	if (is_listed_so(listed, measured))
		return suspect_log_event(&look->state, listed->name, &measured->digest,
					 EVENT_INTACT, error);
	return forged(look, listed, measured, error);
}

/* 0: it is what is listed, and *measured is the caller's. */
static int measure_listed(struct look *look, const struct manifest_file *listed, int file,
			  struct measured *measured, struct error *error)
{
	int ret = measure(file, listed->name, measured);

	if (ret == -EFBIG)
		return forged(look, listed, measured, error);
	if (ret < 0)
		return error_set(error, -ret, "measure %s: %s", listed->name, strerror(-ret));
	return compare(look, listed, measured, error);
}

static int verify_file(struct look *look, const struct manifest_file *listed, int file,
		       struct error *error)
{
	struct measured measured = MEASURED_NONE;
	int ret = measure_listed(look, listed, file, &measured, error);

	measured_free(&measured);
	return ret;
}

static int verify_listed(struct look *look, const struct manifest_file *listed, struct error *error)
{
	CLEANUP_CLOSE int file = open_program(listed->name, error);

	return file < 0 ? file : verify_file(look, listed, file, error);
}

static int verify_self(struct look *look, struct error *error)
{
	CLEANUP_CLOSE int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const struct manifest_file *listed = manifest_find(&look->manifest, "karuta-controller");

	if (self < 0)
		return error_set(error, errno, "/proc/self/exe: %s", strerror(errno));
	if (!listed || listed->role != MANIFEST_CONTROLLER)
		return error_set(error, EPERM, "the manifest lists no controller");
	return verify_file(look, listed, self, error);
}

/* Who will use it reads it again, and it is looked at again then. */
static int verify_book(struct look *look, struct error *error)
{
	struct book_entry entries[BOOK_ENTRIES];
	size_t count;
	int ret = suspect_load_book(&look->state, entries, &count, error);

	for (size_t i = 0; ret == 0 && i < count; i++)
		book_entry_free(&entries[i]);
	return ret;
}

enum verify_what {
	VERIFY_ALL,
	VERIFY_OTHERS, /* but the controller */
	VERIFY_SELF,   /* in a quarantine too */
};

static int verify_those(struct look *look, enum verify_what what, struct error *error)
{
	int ret = what == VERIFY_OTHERS ? 0 : verify_self(look, error);

	if (what == VERIFY_SELF)
		return ret;
	for (size_t i = 0; ret == 0 && i < look->manifest.file_count; i++)
		ret = verify_listed(look, &look->manifest.files[i], error);
	if (ret == 0)
		ret = verify_book(look, error);
	if (ret == 0)
		look->state.release = max_u64(look->state.release, look->manifest.release);
	return ret;
}

static int verify(struct programs_host *host, enum verify_what what, struct error *error)
{
	CLEANUP_CLOSE int manifest = own_manifest(error);
	uint64_t begun = os_now();
	struct look *look;
	int ret;

	if (manifest < 0)
		return manifest;
	look = look_make();
	if (!look)
		return error_set(error, ENOMEM, "out of memory");
	ret = look_begin(look, manifest, what == VERIFY_SELF, error);
	if (ret == 0)
		ret = verify_those(look, what, error);
	*host = (struct programs_host){.release = look->manifest.release,
				       .count = what == VERIFY_SELF ? 1 : look->manifest.file_count,
				       .attested = look->tpm != NULL,
				       .development = trusted_key_is_development};
	ret = look_end(look, ret, error);
	host->took_ns = os_now() - begun;
	if (ret == 0)
		verified = *host;
	return ret;
}

int programs_verify(struct programs_host *host, struct error *error)
{
	return verify(host, VERIFY_ALL, error);
}

int programs_verify_again(struct programs_host *host, struct error *error)
{
	return verify(host, VERIFY_OTHERS, error);
}

int programs_verify_own(struct programs_host *host, struct error *error)
{
	return verify(host, VERIFY_SELF, error);
}

int programs_load_book(struct book_entry entries[BOOK_ENTRIES], size_t *count, bool again,
		       struct error *error)
{
	struct look *look = look_make();
	int ret;

	if (!look)
		return error_set(error, ENOMEM, "out of memory");
	ret = look_at_state(look, again, error);
	if (ret == 0)
		ret = suspect_load_book(&look->state, entries, count, error);
	if (ret < 0)
		*count = 0;
	ret = look_end(look, ret, error);
	for (size_t i = 0; ret < 0 && i < *count; i++)
		book_entry_free(&entries[i]);
	return ret;
}

int programs_note(const char *what, const void *bytes, size_t length, struct error *error)
{
	struct look *look = look_make();
	struct trust_digest digest;
	int ret = look ? trust_digest(bytes, length, &digest) : -ENOMEM;

	if (!look)
		return error_set(error, ENOMEM, "out of memory");
	if (ret == 0)
		ret = look_at_state(look, false, error);
	if (ret == 0)
		ret = suspect_log_event(&look->state, what, &digest, EVENT_MADE, error);
	return look_end(look, ret, error);
}

static int check_role(const struct manifest_file *listed, const char *program,
		      enum manifest_role role, struct error *error)
{
	if (listed && listed->role == role)
		return 0;
	return error_set(error, EPERM, "program %s: the manifest lists no such %s", program,
			 manifest_role_name(role));
}

static int refuse_measuring(const char *program, const struct measured *measured,
			    struct error *error)
{
	if (!mark_is_measuring(measured->sealed))
		return 0;
	return error_set(error, EPERM,
			 "program %s: refused: a measuring build, which does not encrypt", program);
}

static int take_installed(struct look *look, const char *program, enum manifest_role role,
			  struct measured *measured, struct error *error)
{
	CLEANUP_CLOSE int file = open_program(program, error);
	const struct manifest_file *listed = manifest_find(&look->manifest, program);
	int ret = file < 0 ? file : check_role(listed, program, role, error);

	if (ret == 0)
		ret = measure_listed(look, listed, file, measured, error);
	return ret < 0 ? ret : refuse_measuring(program, measured, error);
}

/* The sealed copy, if all went well. */
static int take(struct measured *measured, int ret)
{
	int sealed = ret < 0 ? ret : os_steal_fd(&measured->sealed);

	measured_free(measured);
	return sealed;
}

static int open_installed(const char *program, enum manifest_role role, bool in_quarantine,
			  struct error *error)
{
	CLEANUP_CLOSE int manifest = own_manifest(error);
	struct measured measured = MEASURED_NONE;
	struct look *look;
	int ret;

	if (manifest < 0)
		return manifest;
	look = look_make();
	if (!look)
		return error_set(error, ENOMEM, "out of memory");
	ret = look_begin(look, manifest, in_quarantine, error);
	if (ret == 0)
		ret = take_installed(look, program, role, &measured, error);
	return take(&measured, look_end(look, ret, error));
}

int programs_open(const char *program, enum manifest_role role, struct error *error)
{
	return open_installed(program, role, false, error);
}

int programs_open_own(const char *program, struct error *error)
{
	int file = open_installed(program, MANIFEST_CONTROLLER, true, error);
	struct error other;

	/* A quarantine that has begun here may be for something else. */
	return file == -EPERM ? open_installed(program, MANIFEST_CONTROLLER, true, &other) : file;
}

/* ---- anywhere ---- */

static bool is_any(const struct manifest *manifest, const struct measured *measured)
{
	for (size_t i = 0; i < manifest->file_count; i++) {
		if (is_listed_so(&manifest->files[i], measured))
			return true;
	}
	return false;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Whatever its file is called, it is the program by its content. What only has the name is a
 * forgery; what has neither is no business of ours. */
static int judge(struct look *look, const char *path, const char *program, enum manifest_role role,
		 const struct measured *measured, struct error *error)
{
	const struct manifest_file *wanted = manifest_find(&look->manifest, program);
	const struct manifest_file *named = manifest_find(&look->manifest, name_of(path));

	if (wanted && wanted->role == role && is_listed_so(wanted, measured))
		return compare(look, wanted, measured, error);
	if (named && !is_any(&look->manifest, measured))
		return compare(look, named, measured, error);
	error_set(error, EPERM, "program %s: the manifest does not have it as %s", path, program);
	return refuse(look, program, measured, error);
}

static int measure_given(int file, const char *path, struct measured *measured, struct error *error)
{
	int ret = measure(file, name_of(path), measured);

	return ret < 0 ? error_set(error, -ret, "measure %s: %s", path, strerror(-ret)) : 0;
}

static int manifest_beside(const char *path, struct error *error)
{
	char place[PATH_MAX + 32];
	int file;

	if (strlen(path) >= PATH_MAX)
		return error_set(error, ENAMETOOLONG, "program: path too long");
	snprintf(place, sizeof(place), "%.*s%s", (int)(name_of(path) - path), path,
		 PROGRAMS_MANIFEST);
	file = open(place, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file >= 0)
		return file;
	return errno == ENOENT ? own_manifest(error)
			       : error_set(error, errno, "%s: %s", place, strerror(errno));
}

int programs_open_path(const char *path, const char *program, enum manifest_role role,
		       struct error *error)
{
	CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	CLEANUP_CLOSE int manifest = -1;
	struct measured measured = MEASURED_NONE;
	int ret = file < 0 ? -errno : check_program(file);
	struct look *look;

	if (ret < 0)
		return error_set(error, -ret, "program %s: %s", path, strerror(-ret));
	manifest = manifest_beside(path, error);
	if (manifest < 0)
		return manifest;
	look = look_make();
	if (!look)
		return error_set(error, ENOMEM, "out of memory");
	ret = look_begin(look, manifest, false, error);
	if (ret == 0)
		ret = measure_given(file, path, &measured, error);
	if (ret == 0)
		ret = refuse_measuring(path, &measured, error);
	if (ret == 0)
		ret = judge(look, path, program, role, &measured, error);
	return take(&measured, look_end(look, ret, error));
}
