/* SPDX-License-Identifier: Apache-2.0 */
/* A file of the book of instances from arbitrary bytes, as they are and with the digest that they
 * would need. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "book.h"
#include "trust/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken is what would be written, byte for byte. */
static void try_text(const char *text, size_t length)
{
	struct book_entry entry;
	CLEANUP_FREE char *again = NULL;

	if (book_entry_decode(&entry, "web", text, length) < 0)
		return;
	if (entry.length > INSTANCE_FILE_MAX || strcmp(entry.name, "web") != 0 ||
	    book_entry_encode(&entry, &again) != (ssize_t)length ||
	    memcmp(again, text, length) != 0)
		abort();
	book_entry_free(&entry);
}

static void seal(char *text, size_t length)
{
	struct trust_digest digest;

	if (trust_digest(text, length, &digest) < 0)
		abort();
	trust_hex(digest.bytes, TRUST_DIGEST_SIZE, text + length);
	text[length + TRUST_DIGEST_DIGITS] = '\n';
	text[length + TRUST_DIGEST_DIGITS + 1] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = calloc(1, size + TRUST_DIGEST_DIGITS + 2);

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	try_text(text, size);
	seal(text, size);
	try_text(text, size + TRUST_DIGEST_DIGITS + 1);
	return 0;
}
