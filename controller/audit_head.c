/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_head.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "base/cursor.h"
#include "os/fd.h"

#define MAGIC UINT64_C(0x3164616568617261) /* "arahead1" */

static void encode_link(struct writer *writer, const struct audit_link *link)
{
	writer_u64(writer, link->number);
	writer_put(writer, link->hash.bytes, AUDIT_HASH_SIZE);
}

static struct audit_link decode_link(struct cursor *cursor)
{
	struct audit_link link = {.number = cursor_u64(cursor)};

	cursor_copy(cursor, link.hash.bytes, AUDIT_HASH_SIZE);
	return link;
}

static bool checksum(const uint8_t *copy, uint8_t hash[AUDIT_HASH_SIZE])
{
	return EVP_Digest(copy, AUDIT_HEAD_COPY - AUDIT_HASH_SIZE, hash, NULL, EVP_sha384(),
			  NULL) == 1;
}

static bool encode(const struct audit_head *head, uint8_t copy[AUDIT_HEAD_COPY])
{
	struct writer writer = writer_make(copy, AUDIT_HEAD_COPY);

	memset(copy, 0, AUDIT_HEAD_COPY);
	writer_u64(&writer, MAGIC);
	writer_u64(&writer, head->generation);
	encode_link(&writer, &head->before);
	encode_link(&writer, &head->last);
	writer_u8(&writer, head->pending);
	writer_put(&writer, head->next.bytes, AUDIT_HASH_SIZE);
	return checksum(copy, copy + AUDIT_HEAD_COPY - AUDIT_HASH_SIZE);
}

static bool decode(const uint8_t copy[AUDIT_HEAD_COPY], struct audit_head *head)
{
	struct cursor cursor = cursor_make(copy, AUDIT_HEAD_COPY);
	uint8_t hash[AUDIT_HASH_SIZE];

	if (cursor_u64(&cursor) != MAGIC || !checksum(copy, hash) ||
	    memcmp(hash, copy + AUDIT_HEAD_COPY - AUDIT_HASH_SIZE, AUDIT_HASH_SIZE) != 0)
		return false;
	head->generation = cursor_u64(&cursor);
	head->before = decode_link(&cursor);
	head->last = decode_link(&cursor);
	head->pending = cursor_u8(&cursor);
	cursor_copy(&cursor, head->next.bytes, AUDIT_HASH_SIZE);
	return head->before.number <= head->last.number;
}

int audit_head_read(int fd, struct audit_head *head)
{
	uint8_t bytes[AUDIT_HEAD_SIZE];
	int ret = os_pread_all(fd, bytes, sizeof(bytes), 0);
	bool found = false;

	if (ret < 0)
		return ret == -EIO ? -EBADMSG : ret;
	for (unsigned i = 0; i < 2; i++) {
		struct audit_head copy;

		if (!decode(bytes + i * AUDIT_HEAD_COPY, &copy) ||
		    (found && copy.generation <= head->generation))
			continue;
		*head = copy;
		found = true;
	}
	return found ? 0 : -EBADMSG;
}

int audit_head_fits(const struct audit_head *head, const struct audit_link *end, ssize_t rest)
{
	bool same = end->number == head->last.number &&
		    !memcmp(&end->hash, &head->last.hash, sizeof(end->hash));
	bool ahead = head->pending && end->number == head->last.number + 1 &&
		     !memcmp(&end->hash, &head->next, sizeof(end->hash));

	if (ahead)
		return rest ? -EBADMSG : 0;
	/* Part of the entry that was to come, or some of its blocks. */
	if (same && rest <= (head->pending ? (ssize_t)AUDIT_LINE_MAX : 0))
		return 0;
	return -EBADMSG;
}

int audit_head_write(int fd, struct audit_head *head)
{
	struct audit_head next = *head;
	uint8_t copy[AUDIT_HEAD_COPY];
	int ret;

	/* After an error the same copy is written again: the other one may be the only whole one.
	 */
	next.generation++;
	if (!encode(&next, copy))
		return -ENOMEM;
	ret = os_pwrite_all(fd, copy, sizeof(copy), next.generation % 2 * AUDIT_HEAD_COPY);
	if (ret == 0 && fdatasync(fd) < 0)
		ret = -errno;
	if (ret == 0)
		*head = next;
	return ret;
}
