/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "manifest.h"
#include "words.h"

#define NAME_OTHERS    "-_."
#define VERSION_OTHERS "-_.+~"

static const char *const purposes[] = {
	[MANIFEST_DEVELOPMENT] = "development",
	[MANIFEST_RELEASE] = "release",
};

static const char *const roles[] = {
	[MANIFEST_CONTROLLER] = "controller",
	[MANIFEST_HYPERVISOR] = "hypervisor",
	[MANIFEST_CARD] = "card",
	[MANIFEST_TOOL] = "tool",
};

const char *manifest_purpose_name(enum manifest_purpose purpose)
{
	return purposes[purpose];
}

const char *manifest_role_name(enum manifest_role role)
{
	return roles[role];
}

/* -EINVAL: it is none of them. */
static int find(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(names[i], name))
			return (int)i;
	}
	return -EINVAL;
}

int manifest_role_find(const char *name, enum manifest_role *role)
{
	int found = find(roles, ARRAY_LEN(roles), name);

	if (found >= 0)
		*role = (enum manifest_role)found;
	return found < 0 ? found : 0;
}

const struct manifest_file *manifest_find(const struct manifest *manifest, const char *name)
{
	for (size_t i = 0; i < manifest->file_count; i++) {
		if (!strcmp(manifest->files[i].name, name))
			return &manifest->files[i];
	}
	return NULL;
}

/* ---- its end ---- */

/* The start of the last line of text[0 .. length), or `length`: it does not end with a line. */
static size_t last_line(const char *text, size_t length)
{
	const char *before;

	if (!length || text[length - 1] != '\n')
		return length;
	before = memrchr(text, '\n', length - 1);
	return before ? (size_t)(before - text) + 1 : 0;
}

static bool read_signature(const char *line, size_t length, struct manifest_seal *seal)
{
	static const char word[] = "signature ";
	size_t digits, start = sizeof(word) - 1;

	if (length < start + 3 || memcmp(line, word, start) != 0)
		return false;
	digits = length - start - 1;
	if (digits > 2 * sizeof(seal->signature))
		return false;
	seal->signature_length = digits / 2;
	return trust_unhex(line + start, digits, seal->signature);
}

static bool read_key(const char *line, size_t length, struct manifest_seal *seal)
{
	struct words words = words_make(line, length);

	words_expect(&words, "key ");
	words_digest(&words, &seal->key);
	words_expect(&words, "\n");
	return !words.failed && words.at == words.end;
}

int manifest_find_seal(const char *text, size_t length, struct manifest_seal *seal,
		       struct error *error)
{
	if (length > MANIFEST_SIZE_MAX)
		return error_set(error, EPERM, "longer than %u bytes", MANIFEST_SIZE_MAX);
	seal->signed_length = last_line(text, length);
	seal->body_length = last_line(text, seal->signed_length);
	if (!read_signature(text + seal->signed_length, length - seal->signed_length, seal) ||
	    !read_key(text + seal->body_length, seal->signed_length - seal->body_length, seal))
		return error_set(error, EPERM, "it does not end with a key and a signature");
	return 0;
}

/* ---- its body ---- */

static void parse_head(struct words *words, struct manifest *manifest)
{
	char purpose[16];
	int found;

	words_expect(words, "karuta manifest 1\npurpose ");
	words_copy(words, "", purpose, sizeof(purpose));
	found = find(purposes, ARRAY_LEN(purposes), purpose);
	if (found < 0)
		words->failed = true;
	else
		manifest->purpose = (enum manifest_purpose)found;
	words_expect(words, "\nrelease ");
	manifest->release = words_number(words, 1, MANIFEST_RELEASE_MAX);
	words_expect(words, "\n");
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void parse_file(struct words *words, struct manifest_file *file)
{
	char role[16];

	words_expect(words, "file ");
	words_copy(words, NAME_OTHERS, file->name, sizeof(file->name));
	words_expect(words, " ");
	words_copy(words, "", role, sizeof(role));
	words_expect(words, " ");
	words_copy(words, VERSION_OTHERS, file->version, sizeof(file->version));
	words_expect(words, " ");
	file->size = words_number(words, 1, MANIFEST_FILE_MAX);
	words_expect(words, " ");
	words_digest(words, &file->digest);
	words_expect(words, "\n");
	if (manifest_role_find(role, &file->role) < 0 || !is_letter(file->name[0]) ||
	    file->version[0] < '0' || file->version[0] > '9')
		words->failed = true;
}

static bool is_in_order(const struct manifest *manifest)
{
	for (size_t i = 1; i < manifest->file_count; i++) {
		if (strcmp(manifest->files[i - 1].name, manifest->files[i].name) >= 0)
			return false;
	}
	return manifest->file_count > 0;
}

int manifest_parse(struct manifest *manifest, const char *body, size_t length, struct error *error)
{
	struct words words = words_make(body, length);

	memset(manifest, 0, sizeof(*manifest));
	parse_head(&words, manifest);
	if (words.failed)
		return error_set(error, EBADMSG, "its head is not that of a manifest, version 1");
	while (words.at != words.end) {
		if (manifest->file_count == MANIFEST_FILES_MAX)
			return error_set(error, EBADMSG, "more than %u files", MANIFEST_FILES_MAX);
		parse_file(&words, &manifest->files[manifest->file_count++]);
		if (words.failed)
			return error_set(error, EBADMSG, "file %zu: not as it has to be written",
					 manifest->file_count);
	}
	if (!is_in_order(manifest))
		return error_set(error, EBADMSG, "no files, or not in the order of their names");
	return 0;
}

int manifest_open(struct manifest *manifest, const char *text, size_t length,
		  const struct trust_key *key, struct error *error)
{
	struct manifest_seal seal;
	char theirs[TRUST_DIGEST_DIGITS + 1], ours[TRUST_DIGEST_DIGITS + 1];
	int ret = manifest_find_seal(text, length, &seal, error);

	if (ret < 0)
		return ret;
	trust_hex(seal.key.bytes, TRUST_DIGEST_SIZE, theirs);
	trust_hex(trust_key_id(key)->bytes, TRUST_DIGEST_SIZE, ours);
	if (!trust_digest_same(&seal.key, trust_key_id(key)))
		return error_set(error, EPERM, "signed with key %.16s, not with %.16s", theirs,
				 ours);
	if (!trust_key_has_signed(key, text, seal.signed_length, seal.signature,
				  seal.signature_length))
		return error_set(error, EPERM, "key %.16s has not signed this", ours);
	return manifest_parse(manifest, text, seal.body_length, error);
}

int manifest_check_release(const struct manifest *manifest, uint64_t seen, struct error *error)
{
	if (manifest->release >= seen)
		return 0;
	return error_set(error, EPERM,
			 "release %" PRIu64 " is older than %" PRIu64
			 ", which this host has run already",
			 manifest->release, seen);
}

/* ---- as text ---- */

struct text {
	char *at;
	size_t left;
	bool failed;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list args;
	int length;

	if (text->failed)
		return;
	va_start(args, format);
	length = vsnprintf(text->at, text->left, format, args);
	va_end(args);
	text->failed = length < 0 || (size_t)length >= text->left;
	if (text->failed)
		return;
	text->at += length;
	text->left -= (size_t)length;
}

static void add_file(struct text *text, const struct manifest_file *file)
{
	char digest[TRUST_DIGEST_DIGITS + 1];

	trust_hex(file->digest.bytes, TRUST_DIGEST_SIZE, digest);
	add(text, "file %s %s %s %" PRIu64 " %s\n", file->name, manifest_role_name(file->role),
	    file->version, file->size, digest);
}

int manifest_format(const struct manifest *manifest, char *text, size_t size)
{
	struct text to = {.at = text, .left = min_u64(size, MANIFEST_SIZE_MAX)};
	struct manifest again;
	int length;

	add(&to, "karuta manifest 1\npurpose %s\nrelease %" PRIu64 "\n",
	    manifest_purpose_name(manifest->purpose), manifest->release);
	for (size_t i = 0; i < manifest->file_count; i++)
		add_file(&to, &manifest->files[i]);
	if (to.failed)
		return -ENOSPC;
	length = (int)(to.at - text);
	/* A name or an order that nobody will take is an error here and not there. */
	return manifest_parse(&again, text, (size_t)length, NULL) < 0 ? -EINVAL : length;
}
