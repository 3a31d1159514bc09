/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "content.h"
#include "interrupt.h"
#include "os/fd.h"
#include "os/sparse.h"

#define CHUNK ((size_t)1 << 20)

bool content_is_zero(const void *bytes, size_t length)
{
	const char *at = bytes;

	return !length || (!at[0] && !memcmp(at, at + 1, length - 1));
}

struct hashing {
	EVP_MD_CTX *context;
	struct progress *progress;
	uint64_t done;
	uint8_t buffer[CHUNK];
};

static int update(struct hashing *hashing, size_t length)
{
	hashing->done += length;
	if (hashing->progress)
		progress_update(hashing->progress, hashing->done);
	if (interrupt_pending())
		return -EINTR;
	return EVP_DigestUpdate(hashing->context, hashing->buffer, length) == 1 ? 0 : -EIO;
}

static int hash_zeros(struct hashing *hashing, uint64_t until)
{
	int result = 0;

	if (hashing->done < until)
		memset(hashing->buffer, 0, CHUNK);
	while (hashing->done < until && !result)
		result = update(hashing, (size_t)min_u64(until - hashing->done, CHUNK));
	return result;
}

static int hash_data(struct hashing *hashing, int fd, uint64_t until)
{
	int result = 0;

	while (hashing->done < until && !result) {
		size_t length = (size_t)min_u64(until - hashing->done, CHUNK);

		result = os_pread_all(fd, hashing->buffer, length, hashing->done);
		if (!result)
			result = update(hashing, length);
	}
	return result;
}

static int hash_file(struct hashing *hashing, int fd, uint64_t size)
{
	int result = 0;

	while (hashing->done < size && !result) {
		uint64_t start, end;

		result = os_next_data(fd, hashing->done, size, &start, &end);
		if (!result)
			result = hash_zeros(hashing, start);
		if (!result)
			result = hash_data(hashing, fd, end);
	}
	return result;
}

static int digest_file(int fd, uint64_t size, const EVP_MD *kind, char *text,
		       struct progress *progress, struct error *error)
{
	CLEANUP_FREE struct hashing *hashing = calloc(1, sizeof(*hashing));
	uint8_t digest[EVP_MAX_MD_SIZE];
	int result = -ENOMEM;

	if (!hashing)
		return error_set(error, ENOMEM, "out of memory");
	hashing->progress = progress;
	hashing->context = EVP_MD_CTX_new();
	if (hashing->context && EVP_DigestInit_ex(hashing->context, kind, NULL) == 1)
		result = hash_file(hashing, fd, size);
	if (!result && EVP_DigestFinal_ex(hashing->context, digest, NULL) != 1)
		result = -EIO;
	EVP_MD_CTX_free(hashing->context);
	if (result)
		return error_set(error, -result, "checksum: %s",
				 result == -EINTR ? "interrupted" : strerror(-result));
	for (int i = 0; i < EVP_MD_get_size(kind); i++)
		sprintf(text + 2 * i, "%02x", digest[i]);
	return 0;
}

int content_sha256(int fd, uint64_t size, char text[CONTENT_SHA256_TEXT], struct progress *progress,
		   struct error *error)
{
	return digest_file(fd, size, EVP_sha256(), text, progress, error);
}

int content_sha384(int fd, uint64_t size, char text[CONTENT_SHA384_TEXT], struct progress *progress,
		   struct error *error)
{
	return digest_file(fd, size, EVP_sha384(), text, progress, error);
}
