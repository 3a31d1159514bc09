/* SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "call/tls.h"
#include "os/fd.h"
#include "os/replace.h"

#define KEY	      "ca.key"
#define CERTIFICATE   "ca.pem"
#define FILE_SIZE_MAX 8192u
#define AUTHORITY     "karuta-plane"
#define NAME	      "plane"

static int failed(const char *name, int ret, struct error *error)
{
	return error_set(error, -ret, "%s: %s", name, strerror(-ret));
}

/* Length or -errno; -ENOENT: it is not there. */
static ssize_t read_file(int folder, const char *name, mode_t others, void *bytes,
			 struct error *error)
{
	CLEANUP_CLOSE int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat status;
	ssize_t length;

	if (file < 0)
		return errno == ENOENT ? -ENOENT : failed(name, -errno, error);
	if (fstat(file, &status) < 0)
		return failed(name, -errno, error);
	if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_mode & others)
		return error_set(error, EPERM, "%s: must be a file of ours with mode %03o", name,
				 0666 & ~others);
	length = os_read_full(file, bytes, FILE_SIZE_MAX);
	if (length == FILE_SIZE_MAX)
		length = -EFBIG;
	return length < 0 ? failed(name, (int)length, error) : length;
}

static int make(struct identity *identity, int folder, struct error *error)
{
	size_t length = 0;
	uint8_t *key = NULL;
	int ret;

	if (faccessat(folder, KEY, F_OK, 0) == 0)
		return error_set(error, EEXIST,
				 KEY ": is there, and " CERTIFICATE " is not; put it back, every "
				     "host has a copy; or, if there is no host yet, remove " KEY);
	ret = ca_make(AUTHORITY, time(NULL), &identity->ca, error);

	if (ret == 0)
		ret = ca_key(identity->ca, &key, &length, error);
	if (ret < 0)
		return ret;
	ret = os_replace(&os_file_calls, folder, KEY, key, length);
	ca_wipe(key, length);
	if (ret == 0 && fsync(folder) < 0)
		ret = -errno;
	if (ret == 0)
		ret = os_replace(&os_file_calls, folder, CERTIFICATE, ca_certificate(identity->ca),
				 strlen(ca_certificate(identity->ca)));
	if (ret == 0 && fsync(folder) < 0)
		ret = -errno;
	return ret < 0 ? failed("authority", ret, error) : 0;
}

static int find(struct identity *identity, int folder, struct error *error)
{
	char certificate[FILE_SIZE_MAX + 1];
	uint8_t key[FILE_SIZE_MAX];
	ssize_t length = read_file(folder, CERTIFICATE, 022, certificate, error), key_length;
	int ret;

	if (length == -ENOENT)
		return make(identity, folder, error);
	if (length < 0)
		return (int)length;
	certificate[length] = '\0';
	key_length = read_file(folder, KEY, 077, key, error);
	if (key_length == -ENOENT)
		return error_set(error, ENOENT,
				 KEY ": is not there, and " CERTIFICATE " is; put it back: without "
				     "it no host believes this plane");
	if (key_length < 0)
		return (int)key_length;
	ret = ca_open(key, (size_t)key_length, certificate, &identity->ca, error);
	explicit_bzero(key, sizeof(key));
	return ret;
}

static void drop_issued(struct identity *identity)
{
	ca_issued_free(&identity->server);
	ca_issued_free(&identity->caller);
	SSL_CTX_free(identity->tls);
	identity->tls = NULL;
}

/* All of it anew, or as it was. */
static int issue(struct identity *identity, const char *const *names, size_t name_count,
		 int64_t now, struct error *error)
{
	struct ca_want server = {.kind = CA_SERVER,
				 .name = NAME,
				 .addresses = names,
				 .address_count = name_count,
				 .now = now,
				 .seconds = CA_SECONDS};
	struct ca_want caller = {.kind = CA_CALLER,
				 .name = NAME,
				 .role = "admin",
				 .now = now,
				 .seconds = CA_SECONDS};
	struct tls_files files = {.authority = ca_certificate(identity->ca), .are_texts = true};
	struct identity made = {.ca = identity->ca};
	int ret = ca_issue_own(identity->ca, &server, &made.server, error);

	if (ret == 0)
		ret = ca_issue_own(identity->ca, &caller, &made.caller, error);
	if (ret == 0) {
		files.certificate = made.caller.certificate;
		files.key = made.caller.key;
		made.tls = tls_context(&files, false, error);
		ret = made.tls ? 0 : -EINVAL;
	}
	drop_issued(ret == 0 ? identity : &made);
	if (ret == 0)
		*identity = made;
	return ret;
}

int identity_open(struct identity *identity, const char *path, const char *const *names,
		  size_t name_count, struct error *error)
{
	CLEANUP_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret;

	*identity = (struct identity){0};
	if (folder < 0)
		return failed(path, -errno, error);
	ret = find(identity, folder, error);
	if (ret == 0)
		ret = issue(identity, names, name_count, time(NULL), error);
	if (ret < 0)
		identity_close(identity);
	return ret;
}

bool identity_is_due(const struct identity *identity, int64_t now)
{
	return ca_is_due(identity->server.not_before, identity->server.not_after, now);
}

int identity_renew(struct identity *identity, const char *const *names, size_t name_count,
		   int64_t now, struct error *error)
{
	return issue(identity, names, name_count, now, error);
}

void identity_close(struct identity *identity)
{
	drop_issued(identity);
	ca_free(identity->ca);
	*identity = (struct identity){0};
}
