/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, signed or not, event logs, keys and quotes, from arbitrary bytes. The first byte says
 * which. What is taken is written again and has to be the same: there is one way to write each. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trust/events.h"
#include "trust/manifest.h"
#include "trust/quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 8032, 7.1, test 1. */
static const uint8_t public_key[] = {
	0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0xd7, 0x5a, 0x98,
	0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
	0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
};

static void check_files(const struct manifest *manifest)
{
	if (!manifest->release || manifest->release > MANIFEST_RELEASE_MAX ||
	    !manifest->file_count || manifest->file_count > MANIFEST_FILES_MAX)
		abort();
	for (size_t i = 0; i < manifest->file_count; i++) {
		const struct manifest_file *file = &manifest->files[i];

		if (!memchr(file->name, '\0', sizeof(file->name)) || strchr(file->name, '/') ||
		    !memchr(file->version, '\0', sizeof(file->version)) || !file->size ||
		    file->size > MANIFEST_FILE_MAX || file->role > MANIFEST_TOOL ||
		    manifest_find(manifest, file->name) != file)
			abort();
	}
}

static void try_body(const char *text, size_t length)
{
	static char again[MANIFEST_SIZE_MAX];
	static struct manifest manifest;

	if (length >= MANIFEST_SIZE_MAX || manifest_parse(&manifest, text, length, NULL) < 0)
		return;
	check_files(&manifest);
	if (manifest_format(&manifest, again, sizeof(again)) != (int)length ||
	    memcmp(text, again, length) != 0)
		abort();
}

static void try_signed(const char *text, size_t length)
{
	static struct manifest manifest;
	struct manifest_seal seal;
	struct trust_key *key;

	if (trust_key_open(public_key, sizeof(public_key), &key) < 0)
		return;
	if (manifest_find_seal(text, length, &seal, NULL) == 0) {
		if (seal.body_length > seal.signed_length || seal.signed_length > length ||
		    seal.signature_length > sizeof(seal.signature))
			abort();
		try_body(text, seal.body_length);
	}
	/* Nobody here has the private key. */
	if (manifest_open(&manifest, text, length, key, NULL) == 0)
		check_files(&manifest);
	trust_key_free(key);
}

static void try_log(const char *text, size_t length)
{
	struct event_log log;

	if (event_log_open(&log, text, length, NULL) < 0)
		return;
	if (log.length != length || memcmp(log.text, text, length) != 0)
		abort();
	event_log_free(&log);
}

static void try_quote(const char *text, size_t length)
{
	struct event_log log;
	struct quote quote;
	size_t again_length;
	char *again;

	if (quote_parse(&quote, &log, text, length, NULL) < 0)
		return;
	if (quote_format(&quote, &log, &again, &again_length) == 0) {
		if (again_length != length || memcmp(again, text, length) != 0)
			abort();
		free(again);
	}
	event_log_free(&log);
}

static void try_key(const uint8_t *der, size_t length)
{
	struct trust_key *key;

	if (trust_key_open(der, length, &key) == 0)
		trust_key_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;

	if (!size)
		return 0;
	switch (data[0] % 8) {
	case 0:
		try_body(text, size - 1);
		break;
	case 1:
		try_signed(text, size - 1);
		break;
	case 2:
		try_log(text, size - 1);
		break;
	case 3:
		try_key(data + 1, size - 1);
		break;
	case 4:
		try_quote(text, size - 1);
		break;
	}
	return 0;
}
